/* Server-sent events. The parser keeps one line and one event's data, both bounded; a line's end
 * may be CR, LF or CRLF, and input may be cut anywhere, also between CR and LF. */
#include "http/sse.h"

/* Bytes of the next line of `data` and, in *skip, of its terminator. */
static size_t line_of(struct bytes data, size_t *skip)
{
	size_t n = 0;

	while (n < data.n && data.p[n] != '\r' && data.p[n] != '\n')
		n++;
	*skip = 0;
	if (n < data.n)
		*skip = data.p[n] == '\r' && n + 1 < data.n && data.p[n + 1] == '\n' ? 2 : 1;
	return n;
}

void sse_put_event(struct buf *out, const char *event, struct bytes data)
{
	size_t skip;

	if (event) {
		buf_str(out, "event: ");
		buf_str(out, event);
		buf_u8(out, '\n');
	}
	do {
		size_t n = line_of(data, &skip);

		buf_str(out, "data: ");
		buf_put(out, data.p, n);
		buf_u8(out, '\n');
		if (n + skip > 0)
			data = bytes_of(data.p + n + skip, data.n - n - skip);
	} while (skip > 0);
	buf_u8(out, '\n');
}

void sse_put_comment(struct buf *out, const char *text)
{
	buf_str(out, ": ");
	buf_str(out, text);
	buf_str(out, "\n\n");
}

void sse_parser_init(struct sse_parser *p, size_t max)
{
	*p = (struct sse_parser){
	    .line = BUF_INIT(max + 16 > SSE_LINE_MAX ? max + 16 : SSE_LINE_MAX),
	    .data = BUF_INIT(max + 1),
	};
}

void sse_parser_free(struct sse_parser *p)
{
	buf_free(&p->line);
	buf_free(&p->data);
}

static bool is_field(struct bytes line, size_t name_n, const char *name)
{
	return name_n == strlen(name) && memcmp(line.p, name, name_n) == 0;
}

static void take_field(struct sse_parser *p, struct bytes line)
{
	const uint8_t *colon = memchr(line.p, ':', line.n);
	size_t name_n = colon ? (size_t)(colon - line.p) : line.n;
	struct bytes value = bytes_of(line.p + line.n, 0);

	if (colon) {
		size_t skip = name_n + 1;

		if (skip < line.n && line.p[skip] == ' ')
			skip++;
		value = bytes_of(line.p + skip, line.n - skip);
	}
	if (is_field(line, name_n, "data")) {
		buf_bytes(&p->data, value);
		buf_u8(&p->data, '\n');
		p->seen_data = true;
	} else if (is_field(line, name_n, "event") && value.n < sizeof(p->event)) {
		memcpy(p->event, value.p, value.n);
		p->event[value.n] = 0;
	}
}

/* An event was handed out by the last call: forget it. */
static void forget(struct sse_parser *p)
{
	buf_reset(&p->data);
	p->event[0] = 0;
	p->seen_data = p->delivered = false;
}

/* A complete line: true when it ends an event. */
static bool take_line(struct sse_parser *p)
{
	struct bytes line = buf_view(&p->line);

	if (!p->begun && line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
		line = bytes_of(line.p + 3, line.n - 3);
	p->begun = true;
	if (line.n == 0) {
		if (p->seen_data)
			return true;
		forget(p);
		return false;
	}
	if (line.p[0] != ':')
		take_field(p, line);
	return false;
}

int sse_parser_next(struct sse_parser *p, struct bytes *in, struct sse_event *out, struct err *err)
{
	if (p->delivered)
		forget(p);
	if (p->after_cr && in->n > 0) {
		if (in->p[0] == '\n')
			*in = bytes_of(in->p + 1, in->n - 1);
		p->after_cr = false;
	}
	while (in->n > 0) {
		size_t skip, n = line_of(*in, &skip);
		bool complete;

		buf_put(&p->line, in->p, n);
		p->after_cr = skip == 1 && in->p[n] == '\r' && n + 1 == in->n;
		*in = bytes_of(in->p + n + skip, in->n - n - skip);
		complete = skip > 0 && !p->line.failed && take_line(p);
		if (p->line.failed || p->data.failed)
			return err_set(
			    err, E_TOO_LARGE, "an event of more than %zu bytes", p->data.max - 1);
		if (skip > 0)
			buf_reset(&p->line);
		if (!complete)
			continue;
		p->data.p[--p->data.n] = 0; /* the last line's LF */
		p->delivered = true;
		out->event = p->event[0] ? p->event : "message";
		out->data = buf_view(&p->data);
		return 1;
	}
	return 0;
}
