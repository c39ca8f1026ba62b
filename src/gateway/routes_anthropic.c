/* The Anthropic surface: messages, and how many tokens they would be. */
#include "dialect/anthropic.h"
#include "gateway/gateway_priv.h"

/* Where its clients look for a request's id. */
#define ID_HEADER "request-id"

static int post_messages(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	service.id_header = ID_HEADER;
	return serve_inference(x, &anthropic_messages, &service, err);
}

/* ---- counting ------------------------------------------------------------------------------ */

struct counting {
	inference_emit_fn emit;
	void *arg;
};

/* The count is the model's own, told with its answer's end; or there is none. */
static int emit_counted(void *arg, const struct inference_event *e, struct err *err)
{
	struct counting *c = arg;
	if (e->kind == INFERENCE_FINISHED && e->usage.prompt_tok < 0)
		return err_set(
		    err, E_UNSUPPORTED, "whoever serves this model does not count tokens");
	return c->emit(c->arg, e, err);
}

static int infer_counted(
    void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg, struct err *err)
{
	struct counting c = {emit, emit_arg};
	return gateway_infer(arg, call, emit_counted, &c, err);
}

static int post_count_tokens(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	service.infer = infer_counted;
	service.id_header = ID_HEADER;
	return serve_inference(x, &anthropic_count_tokens, &service, err);
}

static const struct http_route routes[] = {
    {"POST", "/v1/messages", post_messages},
    {"POST", "/v1/messages/count_tokens", post_count_tokens},
};

static void write_error(const struct err *why, struct buf *out)
{
	anthropic_messages.error(why, out);
}

const struct surface anthropic_surface = {routes, sizeof routes / sizeof *routes, write_error};
