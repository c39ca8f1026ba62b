/* The inside of private networks: the cipher (pnet_core.c, pure) and the stream over a stream
 * (pnet.c). */
#ifndef P2P_PNET_PRIV_H
#define P2P_PNET_PRIV_H

#include "p2p/pnet.h"
#include "rt/stream.h"

#define PNET_NONCE_SIZE 24
#define PNET_BLOCK      64

/* What is added to an error that another key explains best. */
#define PNET_HINT " (does the other side have the same swarm key?)"

/* ---- pnet_core.c ---- */

/* One direction. Secret. */
struct pnet_cipher {
	uint8_t key[PNET_KEY_SIZE]; /* HSalsa20 of the key and the nonce's first 16 bytes */
	uint8_t nonce[8];           /* its last 8 */
	uint64_t at;                /* bytes done */
	uint8_t block[PNET_BLOCK];  /* key stream of the block that `at` is within */
};

void pnet_cipher_init(
    struct pnet_cipher *c, const struct pnet_key *key, const uint8_t nonce[PNET_NONCE_SIZE]);
/* Encrypts or decrypts the next n bytes, in place. */
void pnet_cipher_apply(struct pnet_cipher *c, uint8_t *p, size_t n);

/* ---- pnet.c ---- */

/* [parks] Sends the nonce and wraps `inner`, which is taken over on success. `key` is copied. */
int pnet_wrap(struct stream *inner, const struct pnet_key *key,
    const uint8_t nonce[PNET_NONCE_SIZE], struct stream **out, struct err *err) WARN_UNUSED;
/* Frees the wrapper and gives the inner stream back. */
struct stream *pnet_unwrap(struct stream *s);

#endif
