/* Server-sent events: writing them into a buffer, and an incremental parser. Pure.
 * SPEC sse: WHATWG HTML, section 9.2 "Server-sent events". Fields other than `event` and `data`
 * (`id`, `retry`) are for reconnecting, which answers to a POST do not do: they are skipped. */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "base/bytes.h"

#define SSE_MEDIA_TYPE "text/event-stream"

/* Appends one event. `event` NULL: no event field. A CR, LF or CRLF in `data` starts another data
 * line, so that nothing in it can pass for framing. `event` must have none. */
void sse_put_event(struct buf *out, const char *event, struct bytes data);
/* Appends a comment, which clients ignore: keeps a silent connection alive. One line. */
void sse_put_comment(struct buf *out, const char *text);

#define SSE_EVENT_NAME_MAX 64
#define SSE_LINE_MAX       (1u << 20) /* bytes of a line that is not data */

struct sse_event {
	const char *event; /* "message" unless said otherwise */
	struct bytes data; /* NUL-terminated; valid until the next call */
};

/* Fields are private. */
struct sse_parser {
	struct buf line, data;
	char event[SSE_EVENT_NAME_MAX];
	bool seen_data, after_cr, delivered, begun;
};

/* `max` bounds the data of one event. */
void sse_parser_init(struct sse_parser *p, size_t max);
void sse_parser_free(struct sse_parser *p);

/* Takes bytes from the front of `*in`: 1 when `*out` is a complete event (call again with the
 * rest), 0 when all input is used, E_TOO_LARGE when an event exceeds the limit. Incomplete events
 * at the stream's end are dropped, as the specification says. */
int sse_parser_next(
    struct sse_parser *p, struct bytes *in, struct sse_event *out, struct err *err) WARN_UNUSED;

#endif
