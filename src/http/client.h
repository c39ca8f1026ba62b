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
	const struct http_header *headers; /* more of them; not Host, Content-Length, Connection */
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

/* [parks] Reads the answer's head, skipping 1xx. `*head` is valid until the next request. E_CLOSED
 * or E_RESET when the connection ended before, E_PROTOCOL, E_TOO_LARGE. */
int http_client_head(
    struct http_client *c, const struct http_head **head, struct err *err) WARN_UNUSED;

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
