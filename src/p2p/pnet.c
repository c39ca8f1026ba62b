/* A stream encrypted under the key of a private network. Holds no buffers of its own between
 * calls: reading decrypts where the bytes lie, writing borrows memory for as long as it takes. */
#include "p2p/pnet_priv.h"

#include "crypto/hash.h"

#include <stdlib.h>

#define PIECE ((size_t)64 * 1024) /* written at once */

struct pnet {
	struct stream stream;
	struct stream *inner;
	struct pnet_key key; /* wiped when the peer's nonce has come */
	size_t nonce_have;
	uint8_t nonce[PNET_NONCE_SIZE]; /* the peer's */
	struct pnet_cipher tx, rx;
};

static struct pnet *pnet_of(struct stream *s)
{
	return (struct pnet *)s;
}

/* Read in steps, so that a read which is cut short loses nothing. */
static int await_nonce(struct pnet *p, struct err *err)
{
	while (p->nonce_have < PNET_NONCE_SIZE) {
		ssize_t n = stream_read(
		    p->inner, p->nonce + p->nonce_have, PNET_NONCE_SIZE - p->nonce_have, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(
			    err, E_CLOSED, "%s: the end came before the nonce", p->stream.remote);
		p->nonce_have += (size_t)n;
		if (p->nonce_have == PNET_NONCE_SIZE) {
			pnet_cipher_init(&p->rx, &p->key, p->nonce);
			secret_wipe(&p->key, sizeof p->key);
		}
	}
	return 0;
}

static ssize_t pnet_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct pnet *p = pnet_of(s);
	int rc = await_nonce(p, err);
	if (rc)
		return rc;
	ssize_t n = stream_read(p->inner, buf, cap, err);
	if (n > 0)
		pnet_cipher_apply(&p->rx, buf, (size_t)n);
	return n;
}

/* Copies up to `cap` bytes from where *at and *from stand in the pieces. */
static size_t gather(
    const struct bytes *v, size_t count, size_t *at, size_t *from, uint8_t *out, size_t cap)
{
	size_t n = 0;
	while (*at < count && n < cap) {
		size_t left = v[*at].n - *from, take = left < cap - n ? left : cap - n;
		if (take > 0)
			memcpy(out + n, v[*at].p + *from, take);
		n += take;
		*from += take;
		if (*from == v[*at].n) {
			*from = 0;
			(*at)++;
		}
	}
	return n;
}

static int pnet_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	struct pnet *p = pnet_of(s);
	size_t total = 0, at = 0, from = 0, n;
	for (size_t i = 0; i < count; i++)
		total += v[i].n;
	if (total == 0)
		return 0;
	size_t cap = total < PIECE ? total : PIECE;
	uint8_t *piece = malloc(cap);
	if (!piece)
		return err_set(err, E_MEMORY, "no memory to encrypt");
	int rc = 0;
	while (rc == 0 && (n = gather(v, count, &at, &from, piece, cap)) > 0) {
		pnet_cipher_apply(&p->tx, piece, n);
		rc = stream_write(p->inner, piece, n, err);
	}
	free(piece);
	return rc;
}

static int pnet_close_write(struct stream *s, struct err *err)
{
	return stream_close_write(pnet_of(s)->inner, err);
}

static void pnet_reset(struct stream *s, int code)
{
	stream_reset(pnet_of(s)->inner, code);
}

static void pnet_close(struct stream *s)
{
	stream_close(pnet_unwrap(s));
}

static const struct stream_ops pnet_ops = {
    .kind = "pnet",
    .read = pnet_read,
    .write = pnet_write,
    .close_write = pnet_close_write,
    .reset = pnet_reset,
    .close = pnet_close,
};

/* SPEC pnet: both sides send their nonce at once; the other may wait for it before it says a
 * word. */
int pnet_wrap(struct stream *inner, const struct pnet_key *key,
    const uint8_t nonce[PNET_NONCE_SIZE], struct stream **out, struct err *err)
{
	struct pnet *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for a private network");
	int rc = stream_write(inner, nonce, PNET_NONCE_SIZE, err);
	if (rc) {
		free(p);
		return rc;
	}
	p->stream = (struct stream){&pnet_ops, inner->remote};
	p->inner = inner;
	p->key = *key;
	pnet_cipher_init(&p->tx, key, nonce);
	*out = &p->stream;
	return 0;
}

struct stream *pnet_unwrap(struct stream *s)
{
	struct pnet *p = pnet_of(s);
	struct stream *inner = p->inner;
	secret_wipe(p, sizeof *p);
	free(p);
	return inner;
}
