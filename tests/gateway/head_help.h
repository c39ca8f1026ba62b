/* Heads as a parser would make them, from lines of text. */
#ifndef TESTS_GATEWAY_HEAD_HELP_H
#define TESTS_GATEWAY_HEAD_HELP_H

#include "http/message.h"

#include <stdlib.h>
#include <strings.h>

static inline uint32_t head_put(struct http_head *h, struct bytes text)
{
	uint32_t at = (uint32_t)h->text.n;

	buf_bytes(&h->text, text);
	buf_u8(&h->text, 0);
	return at;
}

/* One "Name: value"; what is no header is left out. */
static inline void head_add(struct http_head *h, struct bytes line)
{
	const uint8_t *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	struct buf out = BUF_INIT(HTTP_HEAD_MAX + 16);
	size_t name = colon ? (size_t)(colon - line.p) : 0, value = name + 1;

	if (!colon || h->n_fields == HTTP_FIELDS_MAX || h->text.n + line.n > HTTP_HEAD_MAX)
		return;
	while (value < line.n && line.p[value] == ' ')
		value++;
	struct http_field f;
	f.name = head_put(h, bytes_of(line.p, name));
	f.value = head_put(h, bytes_of(line.p + value, line.n - value));
	h->fields[h->n_fields] = f;
	if (http_put_header(&out, (const char *)h->text.p + f.name,
		(const char *)h->text.p + f.value, NULL) == 0)
		h->n_fields++;
	buf_free(&out);
}

/* Of fields, each ended by CRLF. http_head_free frees it. */
static inline void head_of(struct http_head *h, struct bytes fields)
{
	http_head_init(h);
	h->method = "GET";
	h->minor = 1;
	buf_u8(&h->text, 0);
	while (fields.n > 0) {
		const uint8_t *end = memchr(fields.p, '\n', fields.n);
		size_t n = end ? (size_t)(end - fields.p) : fields.n;
		size_t line = n > 0 && fields.p[n - 1] == '\r' ? n - 1 : n;

		head_add(h, bytes_of(fields.p, line));
		n += end != NULL;
		fields = bytes_of(fields.p + n, fields.n - n);
	}
	const char *length = http_head_get(h, "content-length");
	h->content_length = http_head_get(h, "transfer-encoding") ? HTTP_LENGTH_CHUNKED
			    : length                              ? atoi(length)
								  : 0;
}

#endif
