/* The reading side of a connection: a buffer in front of a stream, and the body of the message
 * that is being read. Shared by server and client.
 *
 * The big buffer exists only while bytes flow: reader_rest frees it when the connection goes idle,
 * and a small one waits instead. */
#ifndef HTTP_READER_PRIV_H
#define HTTP_READER_PRIV_H

#include "http/parser_priv.h"
#include "rt/stream.h"

#define HTTP_READ_SIZE (16u << 10) /* the buffer while bytes flow */
#define HTTP_REST_SIZE 128         /* the buffer of an idle connection */

struct http_reader {
	struct stream *stream;
	uint8_t *buf; /* HTTP_READ_SIZE bytes, or NULL at rest */
	size_t start, end;
	bool ended;        /* the peer's end was read */
	struct bytes body; /* piece of the present body not yet handed out; points into buf */
	uint8_t rest[HTTP_REST_SIZE];
};

void http_reader_init(struct http_reader *r, struct stream *s);
void http_reader_free(struct http_reader *r);

/* Bytes read and not yet taken by a parser. */
static inline size_t http_reader_held(const struct http_reader *r)
{
	return r->end - r->start;
}

/* [parks] Reads once more behind what is held: the count, 0 at the peer's end, E_LIMIT when the
 * buffer is full, E_MEMORY, or the stream's error. */
ssize_t http_reader_fill(struct http_reader *r, struct err *err);

/* [parks] The same for an idle connection (nothing held): waits in a small buffer, having given
 * back the big one. */
ssize_t http_reader_rest(struct http_reader *r, struct err *err);

/* [parks] Reads until the parser has a complete head. E_CLOSED at an early end. */
int http_reader_head(struct http_reader *r, struct http_parser *p, struct err *err) WARN_UNUSED;

/* Goes on with what is held, without waiting: HTTP_PARSE_BODY when r->body has bytes,
 * HTTP_PARSE_DONE, HTTP_PARSE_MORE when bytes are needed, or an error of the parser. */
int http_reader_poll(struct http_reader *r, struct http_parser *p, struct err *err) WARN_UNUSED;

/* [parks] At most `cap` bytes of the body; 0 at its end. E_CLOSED when the connection ended first.
 */
ssize_t http_reader_body(
    struct http_reader *r, struct http_parser *p, void *buf, size_t cap, struct err *err);

#endif
