/* The Ollama surface. Its clients write names with or without the tag "latest": here a model is
 * found by either. */
#include "dialect/ollama.h"
#include "gateway/gateway_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_BODY_MAX (2u << 20)
#define SHOW_BODY_MAX (64u << 10)

/* ---- names --------------------------------------------------------------------------------- */

/* The name under which the model is listed, which may have the tag that `asked` has not; `asked`
 * itself when nobody lists it. */
static void listed_name(
    const struct model_entry *models, size_t n, const char *asked, char out[MODEL_ID_MAX])
{
	if (snprintf(out, MODEL_ID_MAX, "%s", asked) < 0)
		out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		char name[MODEL_ID_MAX];
		memcpy(name, models[i].id, sizeof name);
		if (strcmp(name, asked) == 0)
			return;
		ollama_name_normalise(name);
		if (strcmp(name, asked) == 0)
			memcpy(out, models[i].id, sizeof name);
	}
}

/* Moves the entries of one model to the front; returns how many there are. */
static size_t only(struct model_entry *models, size_t n, const char *id)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (strcmp(models[i].id, id) == 0)
			models[kept++] = models[i];
	return kept;
}

static int not_found(const char *model, struct err *err)
{
	return err_set(err, E_MODEL_NOT_FOUND, "model \"%s\" not found", model);
}

/* ---- prompts ------------------------------------------------------------------------------- */

/* Models are loaded and unloaded by the node that has them: a request for that alone is answered
 * when there is such a model. */
static int answer_load(inference_emit_fn emit, void *arg, struct err *err)
{
	static const struct inference_event events[] = {
	    {.kind = INFERENCE_STARTED},
	    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP},
	    {.kind = INFERENCE_FINISHED, .usage = {-1, -1, -1, -1}},
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof events / sizeof *events; i++)
		rc = emit(arg, &events[i], err);
	return rc;
}

static int infer_named(
    void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg, struct err *err)
{
	struct inference_request req = *call->req;
	size_t n;
	struct model_entry *models = gateway_models(arg, &n);
	listed_name(models, n, call->req->model, req.model);
	bool known = req.model[0] == '\0' || only(models, n, req.model) > 0;
	free(models);
	memcpy(call->model, req.model, sizeof req.model);
	if (ollama_is_load(call->req))
		return known ? answer_load(emit, emit_arg, err) : not_found(req.model, err);
	const struct inference_request *asked = call->req;
	call->req = &req;
	int rc = gateway_infer(arg, call, emit, emit_arg, err);
	call->req = asked;
	return rc;
}

static int post_chat(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	service.infer = infer_named;
	return serve_inference(x, &ollama_chat, &service, err);
}

static int post_generate(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	service.infer = infer_named;
	return serve_inference(x, &ollama_generate, &service, err);
}

/* ---- embeddings ---------------------------------------------------------------------------- */

static int embed_named(
    void *arg, struct serve_call *call, void *mem, struct embedding_result *out, struct err *err)
{
	struct embedding_request req = *call->embed;
	size_t n;
	struct model_entry *models = gateway_models(arg, &n);
	listed_name(models, n, call->embed->model, req.model);
	free(models);
	const struct embedding_request *asked = call->embed;
	call->embed = &req;
	int rc = gateway_embed(arg, call, mem, out, err);
	call->embed = asked;
	return rc;
}

static int post_embed(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	service.embed = embed_named;
	return serve_embeddings(x, &ollama_embed, &service, err);
}

static int post_embeddings(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	service.embed = embed_named;
	return serve_embeddings(x, &ollama_embeddings, &service, err);
}

/* ---- models -------------------------------------------------------------------------------- */

static int respond_list(struct http_exchange *x, struct caller *caller,
    void (*write)(struct buf *, const struct model_entry *, size_t), struct err *err)
{
	size_t n;
	struct model_entry *models = gateway_models(caller, &n);
	struct buf body = BUF_INIT(LIST_BODY_MAX);
	write(&body, models, n);
	int rc = gateway_respond_json(x, &body, err);
	buf_free(&body);
	free(models);
	return rc;
}

static int get_tags(struct http_exchange *x, void *arg, struct err *err)
{
	return respond_list(x, arg, ollama_tags_write, err);
}

static int get_ps(struct http_exchange *x, void *arg, struct err *err)
{
	return respond_list(x, arg, ollama_ps_write, err);
}

static int get_version(struct http_exchange *x, void *arg, struct err *err)
{
	struct buf body = BUF_INIT(SHOW_BODY_MAX);
	ollama_version_write(&body);
	int rc = gateway_respond_json(x, &body, err);
	buf_free(&body);
	return rc;
}

static int show(struct http_exchange *x, struct caller *caller, const char *asked, struct err *err)
{
	char name[MODEL_ID_MAX];
	size_t n;
	struct model_entry *models = gateway_models(caller, &n);
	listed_name(models, n, asked, name);
	n = only(models, n, name);
	struct buf body = BUF_INIT(SHOW_BODY_MAX);
	int rc = 0;
	if (n > 0)
		ollama_show_write(&body, models, n);
	else
		rc = not_found(asked, err);
	if (rc == 0)
		rc = gateway_respond_json(x, &body, err);
	buf_free(&body);
	free(models);
	return rc;
}

static int post_show(struct http_exchange *x, void *arg, struct err *err)
{
	struct buf body = BUF_INIT(SHOW_BODY_MAX);
	char asked[MODEL_ID_MAX];
	int rc = http_body_read_all(x, SHOW_BODY_MAX, &body, err);
	if (rc == 0)
		rc = ollama_show_parse(buf_view(&body), asked, err);
	buf_free(&body);
	return rc ? rc : show(x, arg, asked, err);
}

/* How its clients find out that it is there. */
static int get_root(struct http_exchange *x, void *arg, struct err *err)
{
	return http_respond(
	    x, 200, "text/plain; charset=utf-8", bytes_str("Ollama is running"), err);
}

static const struct http_route routes[] = {
    {"POST", "/api/chat", post_chat},
    {"POST", "/api/generate", post_generate},
    {"POST", "/api/embed", post_embed},
    {"POST", "/api/embeddings", post_embeddings},
    {"GET", "/api/tags", get_tags},
    {"GET", "/api/ps", get_ps},
    {"GET", "/api/version", get_version},
    {"POST", "/api/show", post_show},
    {"GET", "/", get_root},
};

const struct surface ollama_surface = {routes, sizeof routes / sizeof *routes, ollama_error_write};
