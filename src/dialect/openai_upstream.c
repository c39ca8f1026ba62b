/* OpenAI-compatible servers, asked. */
#include "dialect/openai_priv.h"

static int request(
    const struct inference_request *req, const char **path, struct buf *out, struct err *err)
{
	struct inference_request streamed = *req;

	streamed.stream = streamed.include_usage = true;
	*path = "/v1/chat/completions";
	return openai_request_write(&streamed, out, err);
}

const struct upstream openai_upstream = {
    .name = "openai",
    .framing = UPSTREAM_SSE,
    .request = request,
    .take = openai_take,
    .end = openai_end,
    .error = openai_error_parse,
    .models_path = "/v1/models",
    .models = openai_models_parse,
};
