/* HTTP/1.1 server: one connection of any stream, served in the calling fiber.
 *
 * Keep-alive, pipelining (one after the other), Expect: 100-continue, streaming bodies both ways
 * with back-pressure, deadlines at every stage, and refusal of every request whose end is
 * doubtful (see parser_priv.h). SPEC http: RFC 9110, RFC 9112. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "http/message.h"
#include "rt/world.h"

struct http_exchange;

/* Default deadlines; a zero in struct http_service means the default. */
#define HTTP_HEAD_LIMIT_MS  10000 /* from a request's first byte to the end of its head */
#define HTTP_IDLE_LIMIT_MS  60000 /* between requests of a connection */
#define HTTP_BODY_GRACE_MS  30000 /* waiting for body bytes in all, plus … */
#define HTTP_BODY_RATE      2048  /* … one second for each so many bytes received */
#define HTTP_WRITE_LIMIT_MS 60000 /* for each piece of at most 64 KiB of a response */

enum http_mode {
	HTTP_PERSISTENT, /* TCP and the like: many requests */
	HTTP_ONE_SHOT,   /* one request a stream: the client's end is not a hang-up, a reset is */
};

/* The connections of one server, so that a shutdown can end the idle ones at once and let the busy
 * ones finish. Zero-initialised; must outlive them. */
struct http_group {
	bool draining;
	size_t connections;       /* being served */
	size_t busy;              /* of these, within a request */
	struct http_server *idle; /* private */
};

/* From now on idle connections end, and busy ones end after their present response. */
void http_group_drain(struct http_group *g);

struct http_service {
	/* [parks] Answers one request through the functions below. When it returns without an
	 * answer, one is made from its error (0: 500). An error after the answer began aborts the
	 * connection, so that the client sees a broken answer, not a short one. */
	int (*handle)(struct http_exchange *x, void *arg, struct err *err);
	/* Writes the body of an error answer and its media type (static text). NULL: plain text. */
	void (*error_body)(
	    void *arg, int status, const struct err *why, struct buf *body, const char **type);
	struct world *world;      /* for the Date header; NULL leaves it out */
	struct http_group *group; /* may be NULL */
	enum http_mode mode;
	struct duration head_limit, idle_limit, body_grace, write_limit;
};

/* [parks] Serves `s` until its end. The caller still owns `s` and closes it. 0 when the connection
 * ended in order (by either side, between requests), else why it was ended: E_PROTOCOL, E_TIMEOUT,
 * E_TOO_LARGE (all answered where possible), E_CANCELLED (hang-up or the caller's scope), the
 * stream's errors, or a handler's error after its answer began. */
int http_serve(
    struct stream *s, const struct http_service *service, void *arg, struct err *err) WARN_UNUSED;

/* ---- the request --------------------------------------------------------------------------- */

/* The request's head, valid until the handler returns. */
const struct http_head *http_request(const struct http_exchange *x);
struct stream *http_exchange_stream(struct http_exchange *x);

/* [parks] At most cap > 0 bytes of the body, 0 at its end. Asks for it first where the client waits
 * to be asked. E_TIMEOUT when the client is too slow, E_PROTOCOL for bad chunks, E_CLOSED when it
 * left; when the handler returns one of these, the answer is 408 or 400. */
ssize_t http_body_read(struct http_exchange *x, void *buf, size_t cap, struct err *err);

/* From now on each wait for bytes of the body, and each write of the answer, may take this long,
 * whatever the rate: for exchanges that are passed on, where the other end sets the pace. */
void http_exchange_patience(struct http_exchange *x, struct duration each);

/* [parks] The whole body, appended to `out`. E_TOO_LARGE above `limit` bytes, known lengths before
 * any byte is read. */
int http_body_read_all(
    struct http_exchange *x, size_t limit, struct buf *out, struct err *err) WARN_UNUSED;

/* Starts to watch the client, once its body has been read: when it hangs up, the scope in which
 * the handler runs is cancelled. Ends with the handler. Bytes of pipelined requests are kept.
 * E_INVALID before the end of the body; E_MEMORY, E_LIMIT.
 *
 * Over TCP the end of what the client sends may mean two things: it has hung up, or it has merely
 * finished sending and waits for its answer. Whoever has hung up refuses further bytes with a
 * reset. So the watch sends harmless ones: an interim 100 (Continue) before the answer (RFC 9110
 * section 15.2: every client has to read past it), the handler's pulse within it. Where neither is
 * possible (HTTP/1.0, an answer without pulse) the end is taken for a hang-up. */
int http_exchange_watch(struct http_exchange *x, struct err *err) WARN_UNUSED;

/* Bytes of the answer's body that the client ignores, wherever they stand between two calls of
 * http_response_write (a comment of an event stream): what the watch sends within an answer of
 * unknown length. Borrowed until the handler ends. */
void http_exchange_pulse(struct http_exchange *x, struct bytes pulse);

/* Whether the client has hung up (known while watched, or after a failed read). */
bool http_exchange_hung_up(const struct http_exchange *x);

/* ---- the answer ---------------------------------------------------------------------------- */

/* Adds a header to the answer to come, error answers included. A header that is none fails the
 * answer with E_INVALID. Content-Length, Transfer-Encoding and Connection are the server's, and
 * Date unless one is added. */
void http_response_header(struct http_exchange *x, const char *name, const char *value);

/* [parks] A whole answer. `type` NULL: no Content-Type. */
int http_respond(struct http_exchange *x, int status, const char *type, struct bytes body,
    struct err *err) WARN_UNUSED;

/* [parks] An answer in the form of error_body, with the status of why->code. */
int http_respond_error(struct http_exchange *x, const struct err *why, struct err *err) WARN_UNUSED;

/* An answer in pieces. `length` is its exact length or HTTP_LENGTH_CHUNKED (sent to the
 * connection's end to HTTP/1.0 clients). Nothing goes out before the first write, flush or end. */
int http_response_begin(struct http_exchange *x, int status, const char *type, int64_t length,
    struct err *err) WARN_UNUSED;
/* [parks] More than the announced length is E_INVALID. Bodies of answers to HEAD are left out. */
int http_response_write(struct http_exchange *x, struct bytes data, struct err *err) WARN_UNUSED;
/* [parks] Sends the head now if it has not gone out. */
int http_response_flush(struct http_exchange *x, struct err *err) WARN_UNUSED;
/* [parks] Less than the announced length is E_INVALID. */
int http_response_end(struct http_exchange *x, struct err *err) WARN_UNUSED;
/* [parks] Both: the last piece and the end go out together. */
int http_response_last(struct http_exchange *x, struct bytes data, struct err *err) WARN_UNUSED;

/* [parks] An interim answer (100 to 199, not 101) with these headers, before the answer begins.
 * Left out for HTTP/1.0 clients, which know none. */
int http_response_interim(struct http_exchange *x, int status, const struct http_header *headers,
    size_t n, struct err *err) WARN_UNUSED;

/* [parks] Ends HTTP on this connection: 101 with the headers added so far, to another `protocol`.
 * *out is the raw stream, the handler's until it returns; *rest is what the client has sent
 * already, valid as long. E_INVALID when the body was not read to its end, or while the client is
 * watched. */
int http_response_switch(struct http_exchange *x, const char *protocol, struct stream **out,
    struct bytes *rest, struct err *err) WARN_UNUSED;

/* Whether an answer has begun (http_response_begin succeeded), and whether any of it went out. */
bool http_response_begun(const struct http_exchange *x);
bool http_response_sent(const struct http_exchange *x);

#endif
