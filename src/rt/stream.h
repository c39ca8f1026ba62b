/* Streams: everything that carries bytes. TCP, Unix sockets, in-memory pipes, secured channels,
 * multiplexed streams and simulated links look alike, so servers and clients are written once.
 *
 * At any moment one fiber may read and one may write (the same or another); a second reader or
 * writer is a bug. Closing while another fiber is inside is a bug too: cancel it first. */
#ifndef RT_STREAM_H
#define RT_STREAM_H

#include "base/bytes.h"
#include "rt/rt.h"

#include <sys/types.h>

struct stream;

struct stream_ops {
	const char *kind; /* "tcp", "yamux" … for messages */
	ssize_t (*read)(struct stream *s, void *buf, size_t cap, struct err *err);
	int (*write)(struct stream *s, const struct bytes *v, size_t count, struct err *err);
	int (*close_write)(struct stream *s, struct err *err);
	void (*reset)(struct stream *s, int code);
	void (*close)(struct stream *s);
};

/* Implementations embed this first and set ops. */
struct stream {
	const struct stream_ops *ops;
	/* Who is at the other end, for people and logs: "127.0.0.1:4001", a peer id. Owned by the
	 * implementation; never NULL after creation. */
	const char *remote;
};

/* [parks] At most `cap` bytes: the count, 0 at the peer's end, or E_RESET, E_CLOSED, E_TIMEOUT,
 * E_CANCELLED, E_PROTOCOL, E_IO. `cap` must not be 0. A read that ends with E_TIMEOUT or
 * E_CANCELLED has consumed nothing. Reading again after the end gives 0 again, or E_RESET once the
 * other side has reset the stream or refused what was written to it since. */
static inline ssize_t stream_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	return s->ops->read(s, buf, cap, err);
}

/* [parks] All of the bytes or an error; after an error part of them may have gone out and the
 * stream is good for nothing but reset and close. */
static inline int stream_writev(
    struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	return s->ops->write(s, v, count, err);
}

static inline int stream_write(struct stream *s, const void *p, size_t n, struct err *err)
{
	struct bytes v = bytes_of(p, n);
	return s->ops->write(s, &v, 1, err);
}

/* Tells the peer that no more bytes come; reading goes on. E_UNSUPPORTED where the carrier has no
 * half-close. */
static inline int stream_close_write(struct stream *s, struct err *err)
{
	return s->ops->close_write(s, err);
}

/* Aborts both directions: the peer's reads and writes fail with E_RESET. `code` is an E_ code that
 * says why; carriers pass it on where they can. Safe to call while other fibers are inside: they
 * are woken with E_RESET. */
static inline void stream_reset(struct stream *s, int code)
{
	s->ops->reset(s, code);
}

/* Frees it. Bytes already written are still delivered where the carrier can; without a
 * close_write before, the peer may see either an end or a reset. NULL is nothing to do. Never
 * parks. */
static inline void stream_close(struct stream *s)
{
	if (s)
		s->ops->close(s);
}

/* [parks] Exactly n bytes, else E_CLOSED when the end comes first. */
int stream_read_full(struct stream *s, void *buf, size_t n, struct err *err) WARN_UNUSED;

/* Two ends of an in-memory pipe with `capacity` bytes of room each way, allocated with malloc and
 * freed by closing both. `name` is copied and becomes the `remote` of both. */
int stream_pipe(const char *name, size_t capacity, struct stream **a, struct stream **b,
    struct err *err) WARN_UNUSED;

/* A stream that first reads `prefix` (copied) and then `inner`, which it takes over. For protocols
 * that read ahead and hand on. On failure `inner` still belongs to the caller. */
int stream_prefixed(
    struct stream *inner, struct bytes prefix, struct stream **out, struct err *err) WARN_UNUSED;

/* [parks] Copies until the end of both directions (half-closing each as it ends) or an error of
 * one, which resets both. An end that a carrier cannot express (E_UNSUPPORTED) is kept to
 * ourselves. Closes neither. The byte counts may be NULL. */
int stream_splice(struct stream *a, struct stream *b, uint64_t *a_to_b, uint64_t *b_to_a,
    struct err *err) WARN_UNUSED;

#endif
