/* Hashes and the small tools beside them: SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869),
 * comparing and erasing secrets. Nothing here fails, and nothing draws randomness: random bytes
 * come from the world and are passed in. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include "base/bytes.h"

#include <sodium.h>

#define SHA256_SIZE 32

/* Picks the fastest implementations for this processor. Once, when the program starts; without it
 * everything works, more slowly. E_INTERNAL when the library refuses. */
int crypto_init(struct err *err) WARN_UNUSED;

void sha256(struct bytes in, uint8_t out[SHA256_SIZE]);

/* The same over several pieces. */
struct sha256 {
	crypto_hash_sha256_state state;
};
void sha256_begin(struct sha256 *h);
void sha256_add(struct sha256 *h, struct bytes in);
void sha256_end(struct sha256 *h, uint8_t out[SHA256_SIZE]); /* h must begin again after this */

/* `out` may be the same memory as the key or the input. Keys of any length. */
void hmac_sha256(struct bytes key, struct bytes in, uint8_t out[SHA256_SIZE]);

void hkdf_sha256_extract(struct bytes salt, struct bytes ikm, uint8_t prk[SHA256_SIZE]);
/* At most 255 * 32 bytes: more is a bug. */
void hkdf_sha256_expand(
    const uint8_t prk[SHA256_SIZE], struct bytes info, uint8_t *out, size_t out_n);

/* Whether n bytes are equal, in a time that depends on n alone. */
bool secret_equal(const void *a, const void *b, size_t n);
/* Overwrites memory in a way the compiler keeps. */
void secret_wipe(void *p, size_t n);

#endif
