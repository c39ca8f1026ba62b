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
/* ,"token_ids":[…], or nothing. */
void openai_put_tokens(struct buf *out, const int32_t *tokens, size_t n);
/* ,"stop_reason":"…", or nothing. */
void openai_put_stop(struct buf *out, struct bytes stop);
/* A number that JSON can say. */
double openai_logprob(double v);
void openai_put_comment(struct buf *out, struct bytes text);

/* struct dialect's pulse and failure in server-sent events. */
void openai_pulse(struct dialect_writer *w, struct buf *out);
void openai_failure(struct dialect_writer *w, const struct err *why, struct buf *out);

/* ---- reading answers ----------------------------------------------------------------------- */

/* struct upstream's take and end. */
int openai_take(struct upstream_reader *r, const char *name, struct bytes data, struct err *err);
int openai_end(struct upstream_reader *r, struct err *err);

/* The error in an answer's `error` member, or 0 when there is none. */
int openai_error_in(const json_t *root, int status, struct err *err);

#endif
