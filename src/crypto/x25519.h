/* X25519 key agreement, RFC 7748 section 5. */
#ifndef CRYPTO_X25519_H
#define CRYPTO_X25519_H

#include "base/bytes.h"

#define X25519_SIZE 32

/* The public key of 32 random bytes. */
void x25519_public(const uint8_t secret[X25519_SIZE], uint8_t out[X25519_SIZE]);

/* The shared secret. E_PROTOCOL when the peer's point has a low order, which makes the result all
 * zero whatever our secret is (RFC 7748 section 6.1). */
int x25519(const uint8_t secret[X25519_SIZE], const uint8_t peer[X25519_SIZE],
    uint8_t out[X25519_SIZE], struct err *err) WARN_UNUSED;

#endif
