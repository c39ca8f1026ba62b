/* Cursors and growable buffers. A getter never reads past the view it was given, and an append
 * never lets a buffer grow past the limit it was made with. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool cursor_take(struct cursor *c, size_t n, struct bytes *out)
{
	if (n > c->left) {
		c->bad = true;
		return false;
	}
	*out = (struct bytes){c->p, n};
	if (n != 0) /* NULL + 0 is undefined */
		c->p += n;
	c->left -= n;
	return true;
}

bool cursor_u8(struct cursor *c, uint8_t *out)
{
	struct bytes b;

	if (!cursor_take(c, 1, &b))
		return false;
	*out = b.p[0];
	return true;
}

bool cursor_u16be(struct cursor *c, uint16_t *out)
{
	struct bytes b;

	if (!cursor_take(c, 2, &b))
		return false;
	*out = get_u16be(b.p);
	return true;
}

bool cursor_u32be(struct cursor *c, uint32_t *out)
{
	struct bytes b;

	if (!cursor_take(c, 4, &b))
		return false;
	*out = get_u32be(b.p);
	return true;
}

bool cursor_u64be(struct cursor *c, uint64_t *out)
{
	struct bytes b;

	if (!cursor_take(c, 8, &b))
		return false;
	*out = get_u64be(b.p);
	return true;
}

bool cursor_u32le(struct cursor *c, uint32_t *out)
{
	if (!cursor_u32be(c, out))
		return false;
	*out = __builtin_bswap32(*out);
	return true;
}

bool cursor_u64le(struct cursor *c, uint64_t *out)
{
	if (!cursor_u64be(c, out))
		return false;
	*out = __builtin_bswap64(*out);
	return true;
}

void buf_free(struct buf *b)
{
	size_t max = b->max;

	free(b->p);
	*b = BUF_INIT(max);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = 0;
}

/* The next capacity: doubles from 64, but never beyond what `max` can use. One byte is always
 * kept for the closing NUL. */
static size_t grown(const struct buf *b, size_t need)
{
	size_t cap = b->cap < 64 ? 64 : b->cap;

	while (cap < need + 1)
		cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
	if (b->max < SIZE_MAX && cap > b->max + 1)
		cap = b->max + 1;
	return cap;
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t cap;
	uint8_t *p;

	if (b->n > b->max || more > b->max - b->n || more > SIZE_MAX / 4 - b->n)
		return E_TOO_LARGE;
	if (b->p && b->n + more < b->cap)
		return 0;
	cap = grown(b, b->n + more);
	p = realloc(b->p, cap);
	if (!p)
		return E_MEMORY;
	b->p = p;
	b->cap = cap;
	b->p[b->n] = 0;
	return 0;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	if (b->failed || n == 0)
		return;
	if (buf_reserve(b, n) != 0) {
		b->failed = true;
		return;
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void buf_bytes(struct buf *b, struct bytes v)
{
	buf_put(b, v.p, v.n);
}

void buf_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_u16be(struct buf *b, uint16_t v)
{
	uint8_t raw[2];

	put_u16be(raw, v);
	buf_put(b, raw, sizeof(raw));
}

void buf_u32be(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	put_u32be(raw, v);
	buf_put(b, raw, sizeof(raw));
}

void buf_u64be(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	put_u64be(raw, v);
	buf_put(b, raw, sizeof(raw));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n < sizeof(small)) {
		buf_put(b, small, (size_t)n);
		return;
	}
	if (b->failed || buf_reserve(b, (size_t)n) != 0) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	INVARIANT(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = 0;
}

int buf_ok(const struct buf *b, struct err *err)
{
	if (b->failed)
		return err_set(err, E_TOO_LARGE, "larger than the limit of %zu bytes", b->max);
	return 0;
}

const char *buf_cstr(const struct buf *b)
{
	return b->p ? (const char *)b->p : "";
}
