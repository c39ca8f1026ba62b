/* HTTP over the pipe between a node and its engine: the OpenAI dialect. */
#include "provider/engine_serve.h"

#include "dialect/openai.h"
#include "http/route.h"
#include "p2p/mux.h"
#include "provider/serve.h"

#define MODELS_BODY_MAX 65536

struct engine_server {
	struct world *world;
	const struct engine_backend *backend;
};

static int infer(
    void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg, struct err *err)
{
	struct engine_server *server = arg;
	int rc = openai_refuse_extra(call->req, err);
	if (rc)
		return rc;
	return server->backend->infer(server->backend->arg, call->req, emit, emit_arg, err);
}

static int post(struct http_exchange *x, const struct dialect *dialect, void *arg, struct err *err)
{
	struct engine_server *server = arg;
	struct serve_service service = {
	    .world = server->world, .infer = infer, .arg = server, .limit = DURATION_FOREVER};
	return serve_inference(x, dialect, &service, err);
}

static int post_chat(struct http_exchange *x, void *arg, struct err *err)
{
	return post(x, &openai_chat, arg, err);
}

static int get_models(struct http_exchange *x, void *arg, struct err *err)
{
	struct engine_server *server = arg;
	struct model_entry model;
	struct err why = {0};
	int rc = server->backend->ready(server->backend->arg, &model, &why);
	if (rc)
		return serve_error(x, &openai_chat, &why, err);
	struct buf body = BUF_INIT(MODELS_BODY_MAX);
	openai_models_write(&body, &model, 1);
	rc = buf_ok(&body, err);
	if (rc == 0)
		rc = http_respond(x, 200, "application/json", buf_view(&body), err);
	buf_free(&body);
	return rc;
}

static int post_completions(struct http_exchange *x, void *arg, struct err *err)
{
	return post(x, &openai_completions, arg, err);
}

static int embed(
    void *arg, struct serve_call *call, void *mem, struct embedding_result *out, struct err *err)
{
	const struct engine_backend *backend = ((struct engine_server *)arg)->backend;
	if (!backend->embed)
		return err_set(err, E_UNSUPPORTED, "this engine makes no embeddings");
	return backend->embed(backend->arg, mem, call->embed, out, err);
}

static int post_embeddings(struct http_exchange *x, void *arg, struct err *err)
{
	struct engine_server *server = arg;
	struct serve_service service = {
	    .world = server->world, .embed = embed, .arg = server, .limit = DURATION_FOREVER};
	return serve_embeddings(x, &openai_embeddings, &service, err);
}

static const struct http_route routes[] = {
    {"POST", "/v1/chat/completions", post_chat},
    {"POST", "/v1/completions", post_completions},
    {"POST", "/v1/embeddings", post_embeddings},
    {"GET", "/v1/models", get_models},
};

static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	return http_route(x, routes, sizeof routes / sizeof *routes, arg, err);
}

static void serve_stream(void *arg, struct stream *s)
{
	static const struct http_service service = {.handle = handle, .mode = HTTP_ONE_SHOT};
	struct err err = {0};
	int rc = http_serve(s, &service, arg, &err);
	if (rc)
		rt_log(LOG_DEBUG, "engine", "request: %s", err_text(&err));
	stream_close(s);
}

int engine_serve(
    struct world *w, struct stream *s, const struct engine_backend *backend, struct err *err)
{
	struct engine_server server = {w, backend};
	struct mux *mux;
	int rc = mux_new(s, MUX_LISTENER, serve_stream, &server, &mux, err);
	if (rc) {
		stream_close(s);
		return rc;
	}
	rc = mux_wait(mux, err);
	mux_close(mux);
	return rc;
}
