/* The OpenAI dialect: chat completion requests, answers, stream chunks, errors and model lists, to
 * and from the neutral terms of inference.h. Spoken with clients, between nodes, and with the
 * engine process. Pure: bytes in, structs out, and back.
 *
 * SPEC openai: the API reference of chat completions and models. What clients rely on beyond it is
 * in comments beside the code. Unknown fields are ignored; fields that would change what the answer
 * means and that we do not implement are refused by name (E_UNSUPPORTED). */
#ifndef DIALECT_OPENAI_H
#define DIALECT_OPENAI_H

#include "dialect/inference.h"

/* Which parameter of a request an error is about: "messages[0].role", or "". */
#define OPENAI_PARAM_MAX 64
struct openai_param {
	char name[OPENAI_PARAM_MAX];
};

#define OPENAI_STOPS_MAX 4

/* ---- requests ------------------------------------------------------------------------------ */

/* Reads the body of POST /v1/chat/completions. *out is a talloc child of `mem`; freeing it frees
 * all it holds. Sizes follow from the body's, which the caller has bounded. E_SYNTAX (no JSON),
 * E_INVALID and E_UNSUPPORTED (with *param, and in the text), E_MEMORY. */
int openai_request_parse(void *mem, struct bytes body, struct inference_request **out,
    struct openai_param *param, struct err *err) WARN_UNUSED;

/* Appends the request as a body that openai_request_parse reads back to the same. E_TOO_LARGE when
 * `out` has no room. */
int openai_request_write(
    const struct inference_request *req, struct buf *out, struct err *err) WARN_UNUSED;

/* ---- answers ------------------------------------------------------------------------------- */

/* "chatcmpl-" and 24 hex digits. */
#define OPENAI_ID_RANDOM 12
#define OPENAI_ID_MAX    (9 + 2 * OPENAI_ID_RANDOM + 1)
void openai_id(const uint8_t random[OPENAI_ID_RANDOM], char out[OPENAI_ID_MAX]);

/* What every part of one answer repeats. Borrowed strings. */
struct openai_answer {
	const char *id;
	const char *model;
	int64_t created_s;       /* Unix seconds */
	const char *fingerprint; /* system_fingerprint; NULL leaves it out */
};

/* "stop", "length" */
const char *openai_finish_name(enum inference_finish finish);

/* Appends a whole chat.completion. Unknown (negative) usage is left out. Invalid UTF-8 in `text`
 * becomes U+FFFD. Like all writers here it leaves errors in `out` (buf_ok). */
void openai_completion_write(struct buf *out, const struct openai_answer *a, struct bytes text,
    enum inference_finish finish, const struct inference_usage *usage);

/* What a chat.completion or one chat.completion.chunk says. */
struct openai_piece {
	struct bytes text; /* talloc child of `mem`, NUL-terminated; empty when there is none */
	bool has_finish, has_usage;
	enum inference_finish finish;
	struct inference_usage usage; /* −1 where absent */
};

/* Reads a chat.completion. E_UPSTREAM for anything that is none; when it is an error object, the
 * error it carries. */
int openai_completion_parse(
    void *mem, struct bytes body, struct openai_piece *out, struct err *err) WARN_UNUSED;

/* ---- streams: the data of one server-sent event each ---------------------------------------- */

#define OPENAI_DONE "[DONE]" /* the last event of a stream that did not fail */
bool openai_is_done(struct bytes data);

/* The order of a stream: role, text …, finish, usage when asked for, OPENAI_DONE. A failed one ends
 * with openai_error_write and nothing after it. */
void openai_chunk_role(struct buf *out, const struct openai_answer *a);
void openai_chunk_text(struct buf *out, const struct openai_answer *a, struct bytes text);
void openai_chunk_finish(
    struct buf *out, const struct openai_answer *a, enum inference_finish finish);
void openai_chunk_usage(
    struct buf *out, const struct openai_answer *a, const struct inference_usage *usage);

/* Reads one chunk; errors as openai_completion_parse. */
int openai_chunk_parse(
    void *mem, struct bytes data, struct openai_piece *out, struct err *err) WARN_UNUSED;

/* ---- errors -------------------------------------------------------------------------------- */

/* Appends {"error":{message,type,param,code}}. `param` may be NULL. */
void openai_error_write(struct buf *out, const struct err *why, const struct openai_param *param);

/* The error that an error answer carries: its code where it is one of ours and fits `status` (0:
 * unknown), else what the status means, E_UPSTREAM when nothing is known. Sets *err and returns its
 * code, never 0. An upstream cannot make us report a bug of our own. */
int openai_error_parse(struct bytes body, int status, struct err *err);

/* ---- models -------------------------------------------------------------------------------- */

#define OPENAI_MODELS_MAX 4096 /* entries of a list; longer ones are refused */

/* Appends the list of `models`, one element for each id: id, object, created, owned_by, and of our
 * own `ready`, `context_length`, `node` (the first owner's NodeId) and `nodes` (all owners').
 * Entries of one id may stand anywhere in the array. */
void openai_models_write(struct buf *out, const struct model_entry *models, size_t n);
/* Appends one element: all of `models` that have this id (at least one). */
void openai_model_write(
    struct buf *out, const char *id, const struct model_entry *models, size_t n);

/* Reads a list: one entry for each (id, node), for lists of others one for each id. *out is a
 * talloc child of `mem`. E_UPSTREAM, or the error that it carries. */
int openai_models_parse(
    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err) WARN_UNUSED;

#endif
