/* Bytes: borrowed views, a bounds-checked cursor for parsing, and a growable buffer with a limit.
 * Nothing here allocates from a size that was not checked against a limit first. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed, read-only run of bytes. `p` may be NULL when `n` is 0. Never owns. */
struct bytes {
	const uint8_t *p;
	size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
	return (struct bytes){(const uint8_t *)p, n};
}

static inline struct bytes bytes_str(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* A read position in borrowed bytes. Every getter returns false, and moves nothing, when too few
 * bytes are left; `bad` then stays true, so a run of getters can be checked once at the end. */
struct cursor {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct cursor cursor_of(struct bytes b)
{
	return (struct cursor){b.p, b.n, false};
}

bool cursor_take(struct cursor *c, size_t n, struct bytes *out);
bool cursor_u8(struct cursor *c, uint8_t *out);
bool cursor_u16be(struct cursor *c, uint16_t *out);
bool cursor_u32be(struct cursor *c, uint32_t *out);
bool cursor_u64be(struct cursor *c, uint64_t *out);
bool cursor_u32le(struct cursor *c, uint32_t *out);
bool cursor_u64le(struct cursor *c, uint64_t *out);

static inline void put_u16be(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_u32be(uint8_t *p, uint32_t v)
{
	put_u16be(p, (uint16_t)(v >> 16));
	put_u16be(p + 2, (uint16_t)v);
}

static inline void put_u64be(uint8_t *p, uint64_t v)
{
	put_u32be(p, (uint32_t)(v >> 32));
	put_u32be(p + 4, (uint32_t)v);
}

static inline uint16_t get_u16be(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_u32be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t get_u64be(const uint8_t *p)
{
	return (uint64_t)get_u32be(p) << 32 | get_u32be(p + 4);
}

/* A growable buffer that owns its memory (malloc) and never grows past `max` bytes.
 * Appends are sticky on failure: after one fails, `failed` is true and all later ones do nothing,
 * so a builder checks once at the end with buf_ok. Always NUL-terminated beyond `n`. */
struct buf {
	uint8_t *p;
	size_t n;
	size_t cap;
	size_t max;
	bool failed;
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

void buf_free(struct buf *b);                            /* frees and zeroes, keeping `max` */
void buf_reset(struct buf *b);                           /* forgets the content, keeps the memory */
int buf_reserve(struct buf *b, size_t more) WARN_UNUSED; /* 0, E_TOO_LARGE or E_MEMORY */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_bytes(struct buf *b, struct bytes v);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16be(struct buf *b, uint16_t v);
void buf_u32be(struct buf *b, uint32_t v);
void buf_u64be(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Inline, so that the length of a constant is one. */
static inline void buf_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}
void buf_consume(struct buf *b, size_t n);                    /* drops n bytes from the front */
int buf_ok(const struct buf *b, struct err *err) WARN_UNUSED; /* 0 or E_TOO_LARGE */

static inline struct bytes buf_view(const struct buf *b)
{
	return (struct bytes){b->p, b->n};
}

/* The content as a C string; "" when empty. Valid until the next append. */
const char *buf_cstr(const struct buf *b);

#endif
