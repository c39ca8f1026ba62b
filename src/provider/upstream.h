/* A server of any dialect as an upstream, reached over any stream: what the engine's child, a peer
 * and any base URL have in common. */
#ifndef PROVIDER_UPSTREAM_H
#define PROVIDER_UPSTREAM_H

#include "dialect/dialect.h"
#include "http/client.h"
#include "provider/provider.h"

/* Headers between nodes. */
#define HEADER_REQUEST_ID  "x-request-id"
#define HEADER_HOPS        "x-gate-hops"        /* nodes passed already */
#define HEADER_DEADLINE    "x-gate-deadline-ms" /* time left for the answer */
#define HEADER_TARGET_NODE "x-target-node"
#define HEADER_SERVED_BY   "x-served-by" /* NodeId of the node that answers */
#define HEADER_EXPLAIN     "x-explain"

#define UPSTREAM_HEADERS_MAX 8
#define UPSTREAM_PATH_MAX    1024

/* How a server is spoken to. Borrowed. */
struct upstream_server {
	const struct upstream *dialect;
	const char *host;      /* the Host header */
	const char *base_path; /* before the dialect's paths: "" or "/api"; no slash at its end */
	const struct http_header *headers; /* more of them, such as authorization */
	size_t n_headers;                  /* ≤ UPSTREAM_HEADERS_MAX */
	bool node;                         /* one of ours: hops and the time left go along */
};

/* [parks] One streamed inference over a connection that the caller keeps. As provider_infer.
 * An answer that ends without its end is E_CLOSED, never a success. Afterwards
 * http_client_reusable tells whether another exchange may follow. */
int upstream_infer(struct http_client *http, const struct upstream_server *server,
    const struct inference_request *req, const struct request_context *ctx, inference_emit_fn emit,
    void *arg, struct err *err) WARN_UNUSED;

/* [parks] The same over a stream of its own, which it takes over and closes. */
int upstream_infer_once(struct stream *s, const struct upstream_server *server,
    const struct inference_request *req, const struct request_context *ctx, inference_emit_fn emit,
    void *arg, struct err *err) WARN_UNUSED;

/* [parks] One vector for each input; out->values is a talloc child of `mem`. */
int upstream_embed(struct http_client *http, const struct upstream_server *server,
    const struct embedding_request *req, const struct request_context *ctx, void *mem,
    struct embedding_result *out, struct err *err) WARN_UNUSED;
int upstream_embed_once(struct stream *s, const struct upstream_server *server,
    const struct embedding_request *req, const struct request_context *ctx, void *mem,
    struct embedding_result *out, struct err *err) WARN_UNUSED;

/* [parks] The models that the server lists: *out is a talloc child of `mem`. E_UPSTREAM for no such
 * list, the error that it answers with, the stream's errors. */
int upstream_models(struct http_client *http, const struct upstream_server *server, void *mem,
    struct model_entry **out, size_t *n, struct err *err) WARN_UNUSED;

#endif
