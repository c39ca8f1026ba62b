/* What the gateway's files share: who asks, and what every dialect's routes need. */
#ifndef GATEWAY_GATEWAY_PRIV_H
#define GATEWAY_GATEWAY_PRIV_H

#include "gateway/gateway.h"
#include "http/route.h"
#include "provider/serve.h"

#define JSON_TYPE "application/json"

/* The paths of one dialect, and the form of their errors. */
struct surface {
	const struct http_route *routes; /* handlers take a struct caller */
	size_t n;
	void (*error)(const struct err *why, struct buf *out);
};
extern const struct surface anthropic_surface, ollama_surface;

/* One connection: who is at the other end. */
struct caller {
	struct gateway *gateway;
	const struct peer_id *peer; /* NULL: a client over TCP */
	struct stream *stream;
	/* Of the request under way. */
	const struct surface *surface;
	struct access_grant grant;
	int64_t tokens; /* that it took; −1: not known */
};

/* [parks] struct serve_service's infer: through the jobs. `arg` is the caller. */
int gateway_infer(void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg,
    struct err *err) WARN_UNUSED;
/* [parks] Its embed. */
int gateway_embed(void *arg, struct serve_call *call, void *mem, struct embedding_result *out,
    struct err *err) WARN_UNUSED;
/* Serving with those, for changes. */
struct serve_service gateway_service(struct caller *caller);

/* The models that the caller may know of; free() it. *n is 0 without memory. */
struct model_entry *gateway_models(struct caller *caller, size_t *n);
/* [parks] 200 with a JSON body, or the error that making it left. */
int gateway_respond_json(struct http_exchange *x, struct buf *body, struct err *err) WARN_UNUSED;

#endif
