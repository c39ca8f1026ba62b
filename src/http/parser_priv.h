/* The message parser: llhttp in strict mode, plus the checks that it leaves out, as a pull parser
 * over borrowed bytes. Pure: no I/O.
 *
 * What must stay true: two readers of one accepted message agree on where it ends. Everything on
 * which HTTP implementations are known to differ is refused, not interpreted. */
#ifndef HTTP_PARSER_PRIV_H
#define HTTP_PARSER_PRIV_H

#include "http/message.h"

#include <llhttp.h>

/* Framing (chunk sizes, extensions, trailers) may not outweigh the data it carries by more. */
#define HTTP_FRAMING_SLACK (32u << 10) /* bytes free of charge */
#define HTTP_FRAMING_RATIO 16          /* bytes per byte of data, beyond the slack */

enum http_parse {
	HTTP_PARSE_MORE, /* all input used, nothing complete */
	HTTP_PARSE_HEAD, /* the head is complete */
	HTTP_PARSE_BODY, /* a piece of the body; more may follow in the same input */
	HTTP_PARSE_DONE, /* the message is complete; input beyond `used` belongs to the next */
};

struct http_parser {
	llhttp_t ll;
	struct http_head *head; /* filled; the caller's */
	bool head_done, done;
	bool no_body;      /* a response to HEAD */
	int status;        /* after a failure: what a server should answer */
	const char *why;   /* after a failure of our own checks: static text */
	size_t head_bytes; /* raw bytes of the head so far */
	uint64_t body_bytes, framing_bytes;
	struct bytes span;     /* the piece of body found by the present step */
	const char *unscanned; /* where the line scanner stands in the present input */
	uint8_t prev;          /* the line scanner's last byte */
	size_t trailer_n;
	char trailer[24]; /* beginning of the present trailer's name */
};

/* Ready for one message. `head` is reset. */
void http_parser_request(struct http_parser *p, struct http_head *head);
void http_parser_response(struct http_parser *p, struct http_head *head, bool to_head_request);

/* Takes input until something is to be said: an enum http_parse, or E_PROTOCOL / E_TOO_LARGE with
 * p->status set. `*used` bytes of `in` are done with; `*body` (with HTTP_PARSE_BODY) points into
 * `in`. Empty input is allowed and may complete a message. */
int http_parser_step(struct http_parser *p, struct bytes in, size_t *used, struct bytes *body,
    struct err *err) WARN_UNUSED;

/* The connection's end: 0 when that completes the message (a response to close), else E_CLOSED. */
int http_parser_end(struct http_parser *p, struct err *err) WARN_UNUSED;

#endif
