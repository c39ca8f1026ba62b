/* HTTP messages: the head of a request or a response, its limits, and small helpers for targets
 * and header values. SPEC http: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).
 *
 * A head that reaches a handler or a caller has passed all framing checks of parser.c: exactly one
 * way to find the end of its body, no folded lines, no control characters. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/bytes.h"

/* Limits of one head. Beyond them a request is answered 431 (or 414) and a response is
 * E_TOO_LARGE. Bodies are limited by whoever reads them. */
#define HTTP_HEAD_MAX   (32u << 10) /* bytes of start line and headers, as sent */
#define HTTP_TARGET_MAX (8u << 10)  /* bytes of a request target */
#define HTTP_FIELDS_MAX 128         /* headers */

/* Values of http_head.content_length that are no length. */
#define HTTP_LENGTH_CHUNKED  (-1) /* the body is chunked */
#define HTTP_LENGTH_TO_CLOSE (-2) /* the body of a response ends with the connection */

/* A header to be sent. Both strings are borrowed for the call. Names must be tokens and values free
 * of control characters: E_INVALID otherwise, so nothing can be injected. */
struct http_header {
	const char *name, *value;
};

/* Offsets of two NUL-terminated strings in http_head.text. */
struct http_field {
	uint32_t name, value;
};

/* A received head. Strings are owned by the head and stay until it is reset or freed. */
struct http_head {
	const char *method; /* requests: "GET"; static */
	int status;         /* responses: 100..999 */
	int minor;          /* HTTP/1.minor: 0 or 1 */
	int64_t content_length;
	bool keep_alive;              /* the sender lets the connection live on */
	bool expect_continue;         /* requests: Expect: 100-continue */
	uint32_t target, path, query; /* offsets; see the accessors */
	struct http_field fields[HTTP_FIELDS_MAX];
	size_t n_fields;
	struct buf text;
};

void http_head_init(struct http_head *h);
void http_head_reset(struct http_head *h); /* empties it, keeps its memory */
void http_head_free(struct http_head *h);

/* The request target as sent; its path, still percent-encoded ("*" for the asterisk form, "/" when
 * an absolute target has none); its query without "?" ("" without one). */
const char *http_head_target(const struct http_head *h);
const char *http_head_path(const struct http_head *h);
const char *http_head_query(const struct http_head *h);

/* The value of the first header called `name` (any case), or NULL. */
const char *http_head_get(const struct http_head *h, const char *name);
/* Name and value of header i < n_fields. */
const char *http_field_name(const struct http_head *h, size_t i);
const char *http_field_value(const struct http_head *h, size_t i);
/* How many headers are called `name`. */
size_t http_head_count(const struct http_head *h, const char *name);

/* Whether any header called `name` has `token` (any case) in its comma-separated list. */
bool http_head_has_token(const struct http_head *h, const char *name, const char *token);

/* Whether the media type of the Content-Type header is `type` ("application/json"), parameters
 * aside. False without that header. */
bool http_head_is_type(const struct http_head *h, const char *type);

/* Decodes %XX. E_SYNTAX for a bad escape or %00, E_TOO_LARGE when out_cap is too small. */
int http_percent_decode(const char *in, char *out, size_t out_cap) WARN_UNUSED;

/* The standard reason phrase; "Unknown" for statuses that have none. */
const char *http_reason(int status);

#define HTTP_DATE_MAX 30
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7) of milliseconds since the epoch. */
void http_date(int64_t wall_ms, char out[HTTP_DATE_MAX]);

/* Appends "name: value\r\n". E_INVALID when it would not be one header line. */
int http_put_header(
    struct buf *out, const char *name, const char *value, struct err *err) WARN_UNUSED;

#endif
