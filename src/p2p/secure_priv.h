/* A secured channel: Noise transport records over any stream, made by upgrade.c.
 *
 * It is a stream (for negotiations inside the channel) and has a second face for the multiplexer,
 * without copies: secure_view lends the decrypted bytes where they lie, and a secure_out collects
 * frames so that records are encrypted in place and leave in one write. For the multiplexer between
 * two processes of one program there is a plain form: the same faces, the bytes as they are.
 *
 * Must stay true: no frame is split over two records; an idle channel holds no large buffer. */
#ifndef P2P_SECURE_PRIV_H
#define P2P_SECURE_PRIV_H

#include "p2p/noise_priv.h"
#include "rt/stream.h"

struct account;
struct secure;

/* Wraps `carrier` and moves the ciphers out of `keys`, both on success only. `early`: bytes that
 * were read from the carrier behind the handshake, at most a record. E_MEMORY. */
int secure_new(struct stream *carrier, struct noise_result *keys, struct bytes early,
    struct secure **out, struct err *err) WARN_UNUSED;
/* Without encryption. */
int secure_new_plain(struct stream *carrier, struct secure **out, struct err *err) WARN_UNUSED;
/* Counts its large buffer in `account` from now on, which must live as long as it. E_LIMIT. */
int secure_count(struct secure *s, struct account *account, struct err *err) WARN_UNUSED;
/* The account ends before it. */
void secure_uncount(struct secure *s);
/* Closes the carrier and wipes the keys. */
void secure_close(struct secure *s);

/* The same, but hands the carrier back open. */
struct stream *secure_detach(struct secure *s);

/* The channel as a stream; still owned by `s`, so never closed through it. */
struct stream *secure_stream(struct secure *s);

/* Cuts the carrier off: every call under way ends with E_RESET. */
void secure_reset(struct secure *s, int code);

/* [parks] Ends the carrier's writing side and throws away what still comes, until the peer's end or
 * `limit`: closing with bytes unread would make TCP take back our last words. */
void secure_linger(struct secure *s, struct duration limit);

/* [parks] Lends the next decrypted bytes, valid until the next call; n is 0 at the peer's end.
 * E_PROTOCOL and E_BAD_SIGNATURE for bad records, E_CLOSED for an end inside one. */
int secure_view(struct secure *s, struct bytes *out, struct err *err) WARN_UNUSED;

/* Plaintext frames on their way out, laid out as records with room for length and tag.
 * Zero-initialised is empty. */
struct secure_out {
	uint8_t *p;
	size_t n, cap;
	size_t record; /* where the record being filled begins, while `open` */
	bool open;
};

/* Bytes held by it at most; a frame that would pass it is refused. */
#define SECURE_OUT_MAX (512 * 1024)

/* Room for a frame of n bytes (at most NOISE_PLAIN_MAX), to be filled by the caller before the
 * next call; NULL when there is no memory or the limit is passed. */
uint8_t *secure_out_frame(struct secure *s, struct secure_out *o, size_t n);
void secure_out_free(struct secure_out *o);

/* [parks] Encrypts and writes all of `o`, which is empty afterwards (its memory kept). */
int secure_send(struct secure *s, struct secure_out *o, struct err *err) WARN_UNUSED;

#endif
