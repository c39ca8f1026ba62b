/* The server's side of a chat completion: one HTTP exchange in, an inference run, its events out as
 * SSE or as one JSON document. The gateway (for clients and peers) and the engine's child serve the
 * same dialect through this.
 *
 * Rules kept here: no status line before the first event of the answer or PULSE seconds, so that a
 * failure before it has its true status; comments keep a silent stream alive after that; a failure
 * in mid-answer is an error event without [DONE], never an invented finish_reason; a client that
 * hangs up cancels the inference, streaming or not. */
#ifndef PROVIDER_CHAT_H
#define PROVIDER_CHAT_H

#include "dialect/openai.h"
#include "http/server.h"
#include "provider/provider.h"

#define CHAT_BODY_MAX (16u << 20) /* bytes of a request */

struct chat_call {
	const struct inference_request *req;
	struct request_context ctx;
	const char *target_node; /* the X-Target-Node header, or NULL */
	/* Filled by the service before its first event. The answering node's id and label are shown
	 * in response headers; "" leaves them out. */
	char served_by[65];
	char served_by_label[64];
	char model[MODEL_ID_MAX]; /* the request's; filled in when that left it open */
};

struct chat_service {
	struct world *world;
	/* [parks] As provider_infer. */
	int (*infer)(void *arg, struct chat_call *call, inference_emit_fn emit, void *emit_arg,
	    struct err *err);
	void *arg;
	struct duration limit; /* for a whole answer; a caller's shorter one holds */
};

/* [parks] Handles POST …/chat/completions. Errors are answered here in OpenAI's form; a negative
 * return is for the log (E_CANCELLED when the client hung up). */
int chat_serve(
    struct http_exchange *x, const struct chat_service *svc, struct err *err) WARN_UNUSED;

/* Answers with an error in OpenAI's form; `param` may be NULL. */
int chat_respond_error(struct http_exchange *x, const struct err *why,
    const struct openai_param *param, struct err *err) WARN_UNUSED;

/* "req_" and 24 hex digits. */
void chat_new_request_id(struct world *w, char out[64]);

#endif
