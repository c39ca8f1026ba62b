/* The server's side of an inference, in any dialect: one HTTP exchange in, an inference run, its
 * events out as a stream or as one JSON document. The gateway (for clients and peers) and the
 * engine's child serve through this.
 *
 * Rules kept here: no status line before the first event of the answer or PULSE seconds, so that a
 * failure before it has its true status; a silent stream is kept alive after that, where its form
 * has a way; a failure in mid-answer is told as such, never an invented end; a client that hangs up
 * cancels the inference, streaming or not. */
#ifndef PROVIDER_SERVE_H
#define PROVIDER_SERVE_H

#include "dialect/dialect.h"
#include "http/server.h"
#include "provider/provider.h"

#define SERVE_BODY_MAX (16u << 20) /* bytes of a request */

struct serve_call {
	const struct dialect *dialect;
	const struct inference_request *req;   /* of an inference, or … */
	const struct embedding_request *embed; /* … of embeddings */
	struct request_context ctx;
	const char *target_node; /* the X-Target-Node header, or NULL */
	int64_t deadline_ms;     /* the X-Gate-Deadline-Ms header, or −1 */
	bool explain;            /* the X-Explain header is there, and not "0" */
	/* Of the service, when it is asked for: why who answers was chosen, for a header. A talloc
	 * child of the request; NULL: nothing is known. */
	char *explanation;
	/* Filled by the service before its first event. The answering node's id and label are shown
	 * in response headers; "" leaves them out. */
	char served_by[65];
	char served_by_label[64];
	char model[MODEL_ID_MAX]; /* the request's; filled in when that left it open */
};

struct serve_service {
	struct world *world;
	/* [parks] As provider_infer. */
	int (*infer)(void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg,
	    struct err *err);
	/* [parks] As provider_embed. NULL: none are made here. */
	int (*embed)(void *arg, struct serve_call *call, void *mem, struct embedding_result *out,
	    struct err *err);
	void *arg;
	struct duration limit; /* for a whole answer; a caller's shorter one holds */
	const char *id_header; /* another name under which the request's id is told; may be NULL */
};

/* [parks] Handles a POST in the dialect `d`. Errors are answered here in its form; a negative
 * return is for the log (E_CANCELLED when the client hung up). */
int serve_inference(struct http_exchange *x, const struct dialect *d,
    const struct serve_service *svc, struct err *err) WARN_UNUSED;

/* [parks] The same for embeddings. */
int serve_embeddings(struct http_exchange *x, const struct embedding_dialect *d,
    const struct serve_service *svc, struct err *err) WARN_UNUSED;

/* [parks] Answers with an error in the dialect's form. */
int serve_error(struct http_exchange *x, const struct dialect *d, const struct err *why,
    struct err *err) WARN_UNUSED;

/* "req_" and 24 hex digits. */
void serve_new_request_id(struct world *w, char out[64]);

#endif
