/* Moves bytes from a stream through the parser, one borrowed piece at a time. `body` points into
 * the buffer, so the buffer is not refilled before that piece has been handed out. */
#include "http/reader_priv.h"

#include <stdlib.h>

void http_reader_init(struct http_reader *r, struct stream *s)
{
	*r = (struct http_reader){.stream = s};
}

void http_reader_free(struct http_reader *r)
{
	free(r->buf);
	r->buf = NULL;
	r->start = r->end = 0;
}

static int reader_grow(struct http_reader *r, struct err *err)
{
	if (r->buf)
		return 0;
	r->buf = malloc(HTTP_READ_SIZE);
	if (!r->buf)
		return err_set(err, E_MEMORY, "no memory for a read buffer");
	return 0;
}

ssize_t http_reader_fill(struct http_reader *r, struct err *err)
{
	ssize_t n;
	int rc = reader_grow(r, err);

	if (rc != 0)
		return rc;
	INVARIANT(r->body.n == 0);
	if (r->start > 0) {
		memmove(r->buf, r->buf + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (r->end == HTTP_READ_SIZE)
		return err_set(err, E_LIMIT, "the read buffer is full");
	n = stream_read(r->stream, r->buf + r->end, HTTP_READ_SIZE - r->end, err);
	if (n > 0)
		r->end += (size_t)n;
	r->ended = n == 0;
	return n;
}

ssize_t http_reader_rest(struct http_reader *r, struct err *err)
{
	ssize_t n;
	int rc;

	INVARIANT(http_reader_held(r) == 0 && r->body.n == 0);
	http_reader_free(r);
	n = stream_read(r->stream, r->rest, sizeof(r->rest), err);
	r->ended = n == 0;
	if (n <= 0)
		return n;
	rc = reader_grow(r, err);
	if (rc != 0)
		return rc;
	memcpy(r->buf, r->rest, (size_t)n);
	r->end = (size_t)n;
	return n;
}

/* One step of the parser over what is held. */
static int reader_step(struct http_reader *r, struct http_parser *p, struct err *err)
{
	struct bytes in = bytes_of(r->buf ? r->buf + r->start : NULL, http_reader_held(r));
	size_t used;
	int rc = http_parser_step(p, in, &used, &r->body, err);

	r->start += used;
	return rc;
}

int http_reader_head(struct http_reader *r, struct http_parser *p, struct err *err)
{
	for (;;) {
		int rc = http_reader_held(r) > 0 ? reader_step(r, p, err) : HTTP_PARSE_MORE;
		ssize_t n;

		if (rc < 0 || rc == HTTP_PARSE_HEAD)
			return rc < 0 ? rc : 0;
		n = http_reader_fill(r, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return http_parser_end(p, err);
	}
}

int http_reader_poll(struct http_reader *r, struct http_parser *p, struct err *err)
{
	int rc;

	if (r->body.n > 0)
		return HTTP_PARSE_BODY;
	do
		rc = reader_step(r, p, err);
	while (rc == HTTP_PARSE_MORE && http_reader_held(r) > 0);
	return rc;
}

ssize_t http_reader_body(
    struct http_reader *r, struct http_parser *p, void *buf, size_t cap, struct err *err)
{
	for (;;) {
		int rc = http_reader_poll(r, p, err);
		ssize_t n;

		if (rc < 0 || rc == HTTP_PARSE_DONE)
			return rc < 0 ? rc : 0;
		if (rc == HTTP_PARSE_BODY) {
			size_t take = r->body.n < cap ? r->body.n : cap;

			memcpy(buf, r->body.p, take);
			r->body = bytes_of(r->body.p + take, r->body.n - take);
			return (ssize_t)take;
		}
		n = http_reader_fill(r, err);
		if (n < 0)
			return n;
		if (n == 0 && (rc = http_parser_end(p, err)) != 0)
			return rc;
	}
}
