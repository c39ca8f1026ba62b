/* Pieces of JSON that several dialects write. Errors stay in `out` (buf_ok). */
#ifndef DIALECT_WRITE_PRIV_H
#define DIALECT_WRITE_PRIV_H

#include "dialect/inference.h"

/* Appends `,"key":` and the value; nothing when `has` is false. */
void put_member_number(struct buf *out, const char *key, bool has, double v);
void put_member_int(struct buf *out, const char *key, int64_t v);
void put_member_text(struct buf *out, const char *key, struct bytes v);

/* The arguments of a tool call as a JSON object, for forms that take nothing else: compact, on one
 * line. Nothing said is {}; what is no object is kept as the member ARGUMENTS_RAW of one, so that
 * a model's slip neither ends a conversation nor gets lost. */
#define ARGUMENTS_RAW "_raw"
void put_arguments_object(struct buf *out, struct bytes arguments);

/* [{"token","logprob","bytes","top_logprobs":[…]}, …] */
void put_logprobs(struct buf *out, const struct inference_logprob *l, size_t n);

/* "2026-01-31T12:00:00.000001Z" with quotes. */
void put_time(struct buf *out, int64_t unix_us);
/* Seconds since 1970 of such a text, with any offset; 0 when it is none. */
int64_t time_of_text(const char *text);

/* Whether `url` is data:TYPE;base64,DATA. Both parts are borrowed from it. */
bool data_url_split(struct bytes url, struct bytes *type, struct bytes *base64);

#endif
