/* What the files of the OpenAI dialect share. */
#ifndef DIALECT_OPENAI_PRIV_H
#define DIALECT_OPENAI_PRIV_H

#include "dialect/json.h"
#include "dialect/openai.h"

#define OPENAI_DONE "[DONE]" /* the last event of a stream that did not fail */

/* ---- pieces of answers --------------------------------------------------------------------- */

/* {"id":…,"object":…,"created":…,"model":… */
void openai_put_head(
    struct buf *out, const struct dialect_answer *a, const char *id_prefix, const char *object);
void openai_put_int(struct buf *out, int64_t v);
/* ,"usage":{…}, or nothing when the counts are unknown. */
void openai_put_usage(struct buf *out, const struct inference_usage *u);
/* ,"token_ids":[…], where they were asked for. */
void openai_put_tokens(
    const struct dialect_writer *w, const int32_t *tokens, size_t n, struct buf *out);
/* ,"stop_reason":"…", or nothing. */
void openai_put_stop(struct buf *out, struct bytes stop);
/* A number that JSON can say. */
double openai_logprob(double v);
void openai_put_comment(struct buf *out, struct bytes text);

/* The state of a writer. */
struct openai_writing {
	struct buf prefix; /* of every chunk, up to its choices; made once the model is known */
	int64_t *offsets;  /* of completions */
};
int openai_begin(struct dialect_writer *w, struct err *err);
/* The beginning of a chunk. */
void openai_put_prefix(
    struct dialect_writer *w, const char *id_prefix, const char *object, struct buf *out);
/* Usage, where it was asked for and is known, and the end. */
void openai_put_finished(struct dialect_writer *w, const char *id_prefix, const char *object,
    const struct inference_usage *usage, struct buf *out);

/* struct dialect's pulse and failure in server-sent events. */
void openai_pulse(struct dialect_writer *w, struct buf *out);
void openai_failure(struct dialect_writer *w, const struct err *why, struct buf *out);

/* ---- requests ------------------------------------------------------------------------------ */

/* Who is to read a request. */
enum openai_form {
	OPENAI_FORM_NODE, /* a node of ours: everything */
	OPENAI_FORM_OTHERS,
	OPENAI_FORM_CLOUD /* the original, which has renamed max_tokens and refuses the old name */
};

int openai_put_request(const struct inference_request *req, enum openai_form form, struct buf *out,
    struct err *err) WARN_UNUSED;

/* ,"token_ids":[…], or nothing. */
void openai_put_ids(struct buf *out, const int32_t *tokens, size_t n);

int openai_embed_request(
    const struct embedding_request *req, const char **path, struct buf *out, struct err *err);
int openai_embed_answer(
    void *mem, struct bytes body, struct embedding_result *out, struct err *err);

/* ---- reading answers ----------------------------------------------------------------------- */

/* struct upstream's take and end. */
int openai_take(struct upstream_reader *r, const char *name, struct bytes data, struct err *err);
int openai_end(struct upstream_reader *r, struct err *err);

/* The error in an answer's `error` member, or 0 when there is none. */
int openai_error_in(const json_t *root, int status, struct err *err);

#endif
