/* OpenAI-compatible servers, asked: our own nodes, the original, and all the others. */
#include "dialect/openai_priv.h"

#include <strings.h>

static int ask(const struct inference_request *req, enum openai_form form, const char **path,
    struct buf *out, struct err *err)
{
	struct inference_request asked = *req;

	/* Nodes stream always: an answer that breaks off can go on elsewhere. */
	asked.stream = req->stream || form == OPENAI_FORM_NODE;
	asked.include_usage = asked.stream;
	*path = req->kind == INFERENCE_CHAT ? "/v1/chat/completions" : "/v1/completions";
	return openai_put_request(&asked, form, out, err);
}

static int node_request(
    const struct inference_request *req, const char **path, struct buf *out, struct err *err)
{
	return ask(req, OPENAI_FORM_NODE, path, out, err);
}

static int foreign(const struct inference_request *req, enum openai_form form, const char **path,
    struct buf *out, struct err *err)
{
	if (req->continuation.text.n > 0 || req->continuation.n_tokens > 0)
		return err_set_param(err, E_UNSUPPORTED, "gate_continue",
		    "this server cannot go on with an answer that another began");
	return ask(req, form, path, out, err);
}

static int foreign_request(
    const struct inference_request *req, const char **path, struct buf *out, struct err *err)
{
	return foreign(req, OPENAI_FORM_OTHERS, path, out, err);
}

static int cloud_request(
    const struct inference_request *req, const char **path, struct buf *out, struct err *err)
{
	return foreign(req, OPENAI_FORM_CLOUD, path, out, err);
}

#define COMMON                                                                                     \
	.framing = UPSTREAM_SSE, .take = openai_take, .end = openai_end,                           \
	.error = openai_error_parse, .embed_request = openai_embed_request,                        \
	.embed_answer = openai_embed_answer, .models_path = "/v1/models",                          \
	.models = openai_models_parse

const struct upstream gate_upstream = {.name = "gate", .request = node_request, COMMON};
const struct upstream openai_upstream = {
    .name = "openai", .request = foreign_request, .whole = true, COMMON};
const struct upstream openai_cloud_upstream = {
    .name = "openai.cloud", .request = cloud_request, .whole = true, COMMON};

const struct upstream *openai_upstream_at(const char *host)
{
	static const char *const cloud[] = {"api.openai.com", ".openai.azure.com"};
	size_t n = strlen(host);

	for (size_t i = 0; i < sizeof(cloud) / sizeof(cloud[0]); i++) {
		size_t m = strlen(cloud[i]);

		if (n >= m && strcasecmp(host + n - m, cloud[i]) == 0 &&
		    (n == m || cloud[i][0] == '.'))
			return &openai_cloud_upstream;
	}
	return &openai_upstream;
}
