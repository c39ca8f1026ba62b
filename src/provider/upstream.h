/* An OpenAI-compatible server as an upstream, reached over any stream: what the engine's child, a
 * peer and (later) any base URL have in common. */
#ifndef PROVIDER_UPSTREAM_H
#define PROVIDER_UPSTREAM_H

#include "provider/provider.h"

/* Headers between nodes. */
#define HEADER_REQUEST_ID  "x-request-id"
#define HEADER_HOPS        "x-gate-hops"        /* nodes passed already */
#define HEADER_DEADLINE    "x-gate-deadline-ms" /* time left for the answer */
#define HEADER_TARGET_NODE "x-target-node"
#define HEADER_SERVED_BY   "x-served-by" /* NodeId of the node that answers */

/* [parks] One streamed chat completion over `s`, which it takes over and closes. As provider_infer.
 * An answer that ends without finish_reason is E_CLOSED, never a success. */
int upstream_infer(struct stream *s, const char *host, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg,
    struct err *err) WARN_UNUSED;

#endif
