/* See client.h. One exchange at a time; a connection is reused only after an answer whose end was
 * seen, with nothing behind it. */
#include "http/client.h"

#include "http/reader_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define REQUEST_HEAD_MAX (32u << 10)
/* Interim answers before the final one. */
#define INTERIM_MAX 8

enum client_state {
	CLIENT_IDLE,   /* a request can be sent */
	CLIENT_SENT,   /* the answer's head is awaited */
	CLIENT_BODY,   /* the head was read */
	CLIENT_BROKEN, /* good for nothing more */
};

struct http_client {
	struct stream *stream;
	struct http_reader in;
	struct http_parser parser;
	struct http_head head;
	enum client_state state;
	bool to_head;        /* the request was HEAD */
	bool sending;        /* the request's body is not complete */
	int64_t owed;        /* bytes of it; HTTP_LENGTH_CHUNKED */
	bool interim;        /* the last head was that of an interim answer */
	int interims;        /* how many there were */
	struct err send_err; /* why sending failed, when the answer may tell more */
};

int http_client_new(struct stream *s, struct http_client **out, struct err *err)
{
	struct http_client *c = calloc(1, sizeof(*c));

	if (!c) {
		stream_close(s);
		return err_set(err, E_MEMORY, "no memory for an HTTP client");
	}
	c->stream = s;
	http_reader_init(&c->in, s);
	http_head_init(&c->head);
	*out = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	if (c->stream && c->state != CLIENT_IDLE &&
	    !(c->state == CLIENT_BODY && c->parser.done && !c->sending))
		stream_reset(c->stream, E_CANCELLED);
	stream_close(c->stream);
	http_reader_free(&c->in);
	http_head_free(&c->head);
	free(c);
}

static bool is_target(const char *s)
{
	if (*s != '/' && *s != '*')
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static bool expects_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

static int put_request(
    struct buf *out, const struct http_call *call, int64_t length, struct err *err)
{
	int rc;

	if (!is_target(call->target) || !*call->method ||
	    call->method[strspn(call->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")])
		return err_set(err, E_INVALID, "no HTTP request line: %.16s %.64s", call->method,
		    call->target);
	buf_printf(out, "%s %s HTTP/1.1\r\n", call->method, call->target);
	rc = http_put_header(out, "Host", call->host, err);
	for (size_t i = 0; rc == 0 && i < call->n_headers; i++)
		rc = http_put_header(out, call->headers[i].name, call->headers[i].value, err);
	if (rc != 0)
		return rc;
	if (length == HTTP_LENGTH_CHUNKED)
		buf_str(out, "Transfer-Encoding: chunked\r\n");
	else if (length > 0 || expects_body(call->method))
		buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
	buf_put(out, "\r\n", 2);
	return buf_ok(out, err);
}

/* Sends the head and what there is of the body. */
static int send_request(
    struct http_client *c, const struct http_call *call, int64_t length, struct err *err)
{
	struct buf head = BUF_INIT(REQUEST_HEAD_MAX);
	struct bytes v[2];
	int rc;

	if (c->state == CLIENT_BODY && http_client_reusable(c))
		c->state = CLIENT_IDLE;
	if (c->state != CLIENT_IDLE)
		return err_set(err, E_INVALID, "a request on a connection that is in use");
	rc = put_request(&head, call, length, err);
	if (rc != 0)
		goto out;
	c->state = CLIENT_SENT;
	c->to_head = strcmp(call->method, "HEAD") == 0;
	c->interim = false;
	c->interims = 0;
	err_clear(&c->send_err);
	http_parser_response(&c->parser, &c->head, c->to_head);
	v[0] = buf_view(&head);
	v[1] = call->body;
	rc = stream_writev(c->stream, v, call->body.n > 0 ? 2 : 1, &c->send_err);
	if (rc == E_CLOSED || rc == E_RESET) {
		rc = 0; /* the answer may be here already */
	} else if (rc != 0) {
		c->state = CLIENT_BROKEN;
		rc = err_set(err, rc, "%s", err_text(&c->send_err));
	}
out:
	buf_free(&head);
	return rc;
}

int http_client_send(struct http_client *c, const struct http_call *call, struct err *err)
{
	int rc = send_request(c, call, (int64_t)call->body.n, err);

	if (rc == 0)
		c->sending = false;
	return rc;
}

int http_client_begin(
    struct http_client *c, const struct http_call *call, int64_t length, struct err *err)
{
	struct http_call head = *call;
	int rc;

	head.body = bytes_of(NULL, 0);
	rc = send_request(c, &head, length, err);
	if (rc == 0) {
		c->sending = length != 0;
		c->owed = length;
	}
	return rc;
}

int http_client_write(struct http_client *c, struct bytes data, struct err *err)
{
	char size[24];
	struct bytes v[3] = {data};
	size_t n = 1;

	if (data.n == 0)
		return 0;
	if (!c->sending || (c->owed >= 0 && (uint64_t)c->owed < data.n))
		return err_set(err, E_INVALID, "a request longer than announced");
	if (c->owed == HTTP_LENGTH_CHUNKED) {
		snprintf(size, sizeof size, "%zx\r\n", data.n);
		v[0] = bytes_str(size);
		v[1] = data;
		v[2] = bytes_str("\r\n");
		n = 3;
	} else {
		c->owed -= (int64_t)data.n;
	}
	return stream_writev(c->stream, v, n, err);
}

int http_client_finish(struct http_client *c, struct err *err)
{
	int rc = 0;

	if (c->owed > 0)
		return err_set(err, E_INVALID, "a request shorter than announced");
	if (c->sending && c->owed == HTTP_LENGTH_CHUNKED)
		rc = stream_write(c->stream, "0\r\n\r\n", 5, err);
	if (rc == 0)
		c->sending = false;
	return rc;
}

/* One head; the parser is made ready for it when the one before was interim. */
static int read_head(struct http_client *c, struct err *err)
{
	int rc;

	if (c->interim) {
		rc = http_reader_poll(&c->in, &c->parser, err); /* 1xx have no body: done */
		if (rc < 0)
			return rc;
		http_parser_response(&c->parser, &c->head, c->to_head);
		c->interim = false;
	}
	rc = http_reader_head(&c->in, &c->parser, err);
	if (rc != 0)
		return rc;
	c->interim = c->head.status < 200 && c->head.status != 101;
	if (c->interim && ++c->interims > INTERIM_MAX)
		return err_set(err, E_PROTOCOL, "too many interim answers");
	return 0;
}

/* Reads heads until one is final. */
static int read_final_head(struct http_client *c, struct err *err)
{
	int rc;

	do
		rc = read_head(c, err);
	while (rc == 0 && c->interim);
	if (rc == 0 && c->head.status == 101)
		rc = err_set(err, E_PROTOCOL, "an unasked change of protocols");
	return rc;
}

/* What follows from a head, or from none. */
static int settle(struct http_client *c, int rc, struct err *err)
{
	if (rc == 0 && c->head.content_length == 0 && c->head.status != 101 && !c->interim) {
		rc = http_reader_poll(&c->in, &c->parser, err);
		rc = rc < 0 ? rc : 0;
	}
	if (rc != 0 && c->send_err.code != 0)
		rc = err_set(err, c->send_err.code, "%s", err_text(&c->send_err));
	if (c->send_err.code != 0)
		c->head.keep_alive = false;
	if (rc != 0)
		c->state = CLIENT_BROKEN;
	else if (!c->interim)
		c->state = CLIENT_BODY;
	return rc;
}

int http_client_next_head(struct http_client *c, const struct http_head **head, struct err *err)
{
	int rc;

	if (c->state != CLIENT_SENT)
		return err_set(err, E_INVALID, "no answer is awaited");
	rc = read_head(c, err);
	*head = &c->head;
	return rc == E_TIMEOUT || rc == E_CANCELLED ? rc : settle(c, rc, err);
}

int http_client_switch(struct http_client *c, struct stream **out, struct err *err)
{
	struct bytes rest = bytes_of(c->in.buf + c->in.start, http_reader_held(&c->in));
	int rc = 0;

	INVARIANT(c->state == CLIENT_BODY && c->head.status == 101);
	*out = c->stream;
	if (rest.n > 0)
		rc = stream_prefixed(c->stream, rest, out, err);
	if (rc == 0)
		c->stream = NULL;
	http_client_free(c);
	return rc;
}

int http_client_head(struct http_client *c, const struct http_head **head, struct err *err)
{
	int rc;

	if (c->state != CLIENT_SENT)
		return err_set(err, E_INVALID, "no answer is awaited");
	rc = settle(c, read_final_head(c, err), err);
	*head = &c->head;
	return rc;
}

ssize_t http_client_read(struct http_client *c, void *buf, size_t cap, struct err *err)
{
	ssize_t n;

	if (c->state != CLIENT_BODY)
		return err_set(err, E_INVALID, "no answer to read");
	n = http_reader_body(&c->in, &c->parser, buf, cap, err);
	if (n < 0 && n != E_TIMEOUT && n != E_CANCELLED)
		c->state = CLIENT_BROKEN;
	return n;
}

int http_client_wait(struct http_client *c, struct err *err)
{
	ssize_t n;

	if (c->state != CLIENT_BODY)
		return err_set(err, E_INVALID, "no answer to wait for");
	if (c->parser.done || c->in.body.n > 0 || http_reader_held(&c->in) > 0)
		return 0;
	n = http_reader_rest(&c->in, err);
	if (n < 0 && n != E_TIMEOUT && n != E_CANCELLED)
		c->state = CLIENT_BROKEN;
	return n < 0 ? (int)n : 0;
}

int http_client_read_all(struct http_client *c, size_t limit, struct buf *out, struct err *err)
{
	size_t total = 0;
	uint8_t beyond;
	ssize_t n;

	while (total < limit) {
		size_t want = limit - total < HTTP_READ_SIZE ? limit - total : HTTP_READ_SIZE;
		int rc = buf_reserve(out, want);

		if (rc != 0)
			return err_set(err, rc, "no room for an answer's body");
		n = http_client_read(c, out->p + out->n, want, err);
		if (n <= 0)
			return (int)n;
		out->n += (size_t)n;
		out->p[out->n] = 0;
		total += (size_t)n;
	}
	n = http_client_read(c, &beyond, 1, err);
	if (n > 0)
		return err_set(err, E_TOO_LARGE, "the answer is larger than %zu bytes", limit);
	return (int)n;
}

bool http_client_began(const struct http_client *c)
{
	return c->state != CLIENT_IDLE &&
	       (c->parser.head_bytes > 0 || c->interims > 0 || http_reader_held(&c->in) > 0 ||
		   c->state == CLIENT_BODY);
}

bool http_client_reusable(const struct http_client *c)
{
	if (c->state == CLIENT_IDLE)
		return !c->in.ended;
	return c->state == CLIENT_BODY && c->parser.done && !c->sending && c->in.body.n == 0 &&
	       c->head.keep_alive && !c->in.ended && http_reader_held(&c->in) == 0;
}
