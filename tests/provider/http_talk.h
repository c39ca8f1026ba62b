/* HTTP as a client on the wire writes it: whole requests as text, answers as they come. */
#ifndef TESTS_PROVIDER_HTTP_TALK_H
#define TESTS_PROVIDER_HTTP_TALK_H

#include "fake.h"

#include "rt/stream.h"

struct reply {
	int status;
	char all[65536]; /* head and body; chunked bodies with their sizes */
	const char *body;
	size_t n;
};

/* Reads until the end, or until `until` has come. False at the end. */
static inline bool reply_read(struct stream *s, struct reply *r, const char *until)
{
	ssize_t n = 1;

	while (n > 0 && !(until && strstr(r->all, until))) {
		n = stream_read(s, r->all + r->n, sizeof r->all - 1 - r->n, NULL);
		if (n > 0)
			r->n += (size_t)n;
		r->all[r->n] = '\0';
	}
	const char *gap = strstr(r->all, "\r\n\r\n");
	r->body = gap ? gap + 4 : "";
	r->status = strncmp(r->all, "HTTP/1.1 ", 9) == 0 ? atoi(r->all + 9) : 0;
	return n > 0;
}

/* "POST /path" with a JSON body and, after `headers`, the end of the connection. */
static inline void request_put(
    struct buf *out, const char *line, const char *headers, const char *body)
{
	buf_printf(
	    out, "%s HTTP/1.1\r\nHost: 127.0.0.1:31145\r\nConnection: close\r\n%s", line, headers);
	if (body)
		buf_printf(
		    out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
	buf_printf(out, "\r\n%s", body ? body : "");
}

/* One request on its own stream. Closes it. */
static inline void talk(
    struct stream *s, const char *line, const char *headers, const char *body, struct reply *r)
{
	struct buf out = BUF_INIT(32u << 20);

	memset(r, 0, sizeof *r);
	request_put(&out, line, headers, body);
	assert_false(out.failed);
	(void)!stream_write(s, out.p, out.n, NULL);
	buf_free(&out);
	reply_read(s, r, NULL);
	stream_close(s);
}

static inline void has(const struct reply *r, const char *text)
{
	if (!strstr(r->all, text))
		fail_msg("no \"%s\" in:\n%s", text, r->all);
}

static inline void has_not(const struct reply *r, const char *text)
{
	if (strstr(r->all, text))
		fail_msg("\"%s\" in:\n%s", text, r->all);
}

#endif
