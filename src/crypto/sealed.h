/* Secrets at rest: sealed with a key that is derived from the node's identity, so that a copy of
 * the database alone tells nothing. HKDF-SHA256 (RFC 5869) with a fresh salt for each sealing gives
 * a key that is used once, for ChaCha20-Poly1305 (RFC 8439) with a nonce of zeros; the secret's
 * name is bound to it, so that rows of a database cannot be exchanged. Pure: randomness is an
 * argument. */
#ifndef CRYPTO_SEALED_H
#define CRYPTO_SEALED_H

#include "crypto/identity.h"

#define SEALED_SALT_SIZE 32
#define SEALED_OVERHEAD  (1 + SEALED_SALT_SIZE + 16) /* version, salt, tag */
#define SEALED_MAX       4096                        /* bytes of a secret */

/* Appends the sealed form to `out`. E_TOO_LARGE, E_MEMORY. */
int sealed_close(const struct identity *id, const char *name, struct bytes secret,
    const uint8_t salt[SEALED_SALT_SIZE], struct buf *out, struct err *err) WARN_UNUSED;

/* Appends the secret to `out`; the caller wipes it. E_BAD_SIGNATURE when it was sealed by another
 * identity, under another name, or has been changed; E_FORMAT when it is no sealed secret. */
int sealed_open(const struct identity *id, const char *name, struct bytes sealed, struct buf *out,
    struct err *err) WARN_UNUSED;

#endif
