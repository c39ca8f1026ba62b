/* Reading JSON from strangers, and small helpers around jansson. One strict reader for the whole
 * program: nesting is bounded before jansson recurses (fibers have small stacks), duplicate keys
 * and invalid UTF-8 are refused. SPEC json: RFC 8259. */
#ifndef DIALECT_JSON_H
#define DIALECT_JSON_H

#include "base/bytes.h"

#include <jansson.h>

#define JSON_DEPTH_MAX 64

/* A whole document: an object or an array. E_SYNTAX with line and column, also for nesting beyond
 * JSON_DEPTH_MAX, duplicate keys, invalid UTF-8, NUL characters and integers beyond 64 bits; the
 * text never quotes the document. The caller owns *out (json_decref). */
int json_read(struct bytes text, json_t **out, struct err *err) WARN_UNUSED;

/* Appends compact JSON. E_TOO_LARGE beyond the limit of `out`, E_MEMORY. */
int json_write(const json_t *value, struct buf *out, struct err *err) WARN_UNUSED;

/* Appends `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD, and so does NUL,
 * which json_read and many a client refuse. */
void json_put_text(struct buf *out, struct bytes text);

/* The first byte from `p` on that is not plain ASCII text within a JSON string: a quote, a
 * backslash, a control character, or one beyond ASCII; `end` when there is none. */
const uint8_t *json_plain_run(const uint8_t *p, const uint8_t *end);

/* Members of an object: the value when it is there with that type and in range, else `otherwise`.
 * Strings are borrowed from the object. */
const char *json_get_string(const json_t *object, const char *key, const char *otherwise);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);
bool json_get_bool(const json_t *object, const char *key, bool otherwise);
/* Exactly n bytes in hex digits; false when the member is anything else. */
bool json_get_hex(const json_t *object, const char *key, uint8_t *out, size_t n);
/* At most JSON_HEX_MAX bytes. The digits are wiped from everywhere but the object. */
#define JSON_HEX_MAX 64
void json_set_hex(json_t *object, const char *key, struct bytes value);

#endif
