/* HTTP/1.1 client: exchanges, one after the other, over any stream. Where the stream comes from,
 * and whether to try again elsewhere, is the caller's business; http_client_began says what it
 * needs to know for that. Deadlines are those of the calling scope. SPEC http: RFC 9110, RFC 9112.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "http/message.h"
#include "rt/stream.h"

struct http_client;

struct http_call {
	const char *method; /* "POST" */
	const char *target; /* "/v1/models"; no spaces or control characters (E_INVALID) */
	const char *host;   /* the Host header */
	/* More of them; not Host, Content-Length and Transfer-Encoding. Connection is kept alive
	 * unless one says otherwise. */
	const struct http_header *headers;
	size_t n_headers;
	struct bytes body; /* sent with Content-Length, also when empty for POST, PUT and PATCH */
};

/* Takes `s` over (on failure, too). E_MEMORY. */
int http_client_new(struct stream *s, struct http_client **out, struct err *err) WARN_UNUSED;

/* Closes the stream, resetting it first when an exchange is unfinished, so that the server notices
 * at once. NULL is nothing to do. Never parks. */
void http_client_free(struct http_client *c);

/* [parks] Sends a request. A write that fails because the server has closed or reset the connection
 * is not reported here: it may have answered before (413), and http_client_head tells. */
int http_client_send(
    struct http_client *c, const struct http_call *call, struct err *err) WARN_UNUSED;

/* [parks] The same in pieces: the head, of a body of `length` bytes or HTTP_LENGTH_CHUNKED, …
 * (call->body is left out), … */
int http_client_begin(struct http_client *c, const struct http_call *call, int64_t length,
    struct err *err) WARN_UNUSED;
/* [parks] … the body, by one fiber while another may wait for the answer, … E_INVALID for more than
 * was announced; E_CLOSED, E_RESET: the server takes no more, but may have answered. */
int http_client_write(struct http_client *c, struct bytes data, struct err *err) WARN_UNUSED;
/* [parks] … and its end. E_INVALID for less than was announced. */
int http_client_finish(struct http_client *c, struct err *err) WARN_UNUSED;

/* [parks] Reads the answer's head, skipping 1xx. `*head` is valid until the next request. E_CLOSED
 * or E_RESET when the connection ended before, E_PROTOCOL, E_TOO_LARGE. */
int http_client_head(
    struct http_client *c, const struct http_head **head, struct err *err) WARN_UNUSED;

/* [parks] The same, but interim answers (a status below 200, not 101) are handed out too, and the
 * next call reads on; so is 101, after which http_client_switch has the stream. E_TIMEOUT and
 * E_CANCELLED leave everything as it was: it can be called again. */
int http_client_next_head(
    struct http_client *c, const struct http_head **head, struct err *err) WARN_UNUSED;

/* After 101: the stream is the caller's, what was read of it too far comes first. `c` is freed, on
 * failure too (E_MEMORY; the stream is closed then). */
int http_client_switch(struct http_client *c, struct stream **out, struct err *err) WARN_UNUSED;

/* [parks] Waits for more of the answer without the buffer that reading needs, for answers that may
 * be silent for long. 0 (also when more is there already), or an error as of reading. */
int http_client_wait(struct http_client *c, struct err *err) WARN_UNUSED;

/* [parks] At most cap > 0 bytes of the answer's body; 0 at its end, E_CLOSED when it was cut short.
 */
ssize_t http_client_read(struct http_client *c, void *buf, size_t cap, struct err *err);

/* [parks] The whole body, appended to `out`; E_TOO_LARGE above `limit` bytes. */
int http_client_read_all(
    struct http_client *c, size_t limit, struct buf *out, struct err *err) WARN_UNUSED;

/* Whether any byte of the present answer has arrived. When not, the request may not have reached a
 * handler, and on a reused connection it very likely did not. */
bool http_client_began(const struct http_client *c);

/* Whether another request can be sent: the exchange is complete and the server keeps the
 * connection. A server may still close it at any time. */
bool http_client_reusable(const struct http_client *c);

#endif
