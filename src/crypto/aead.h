/* ChaCha20-Poly1305 (RFC 8439) for bulk data: one keyed context, reused for every record, through
 * OpenSSL, which is more than twice as fast here as libsodium. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "base/bytes.h"

#define AEAD_KEY_SIZE   32
#define AEAD_NONCE_SIZE 12
#define AEAD_TAG_SIZE   16

struct aead;

/* Owned by the caller, who frees it (which wipes the key). E_MEMORY. */
int aead_new(const uint8_t key[AEAD_KEY_SIZE], struct aead **out, struct err *err) WARN_UNUSED;
void aead_free(struct aead *a);

/* Encrypts n bytes from `in` to `out` (the same memory, or apart) and writes the tag. A nonce must
 * never be used twice under a key. E_INTERNAL. */
int aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct bytes ad,
    const uint8_t *in, size_t n, uint8_t *out, uint8_t tag[AEAD_TAG_SIZE],
    struct err *err) WARN_UNUSED;

/* The reverse. E_BAD_SIGNATURE when the tag is wrong; then `out` holds nothing of use. */
int aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct bytes ad,
    const uint8_t *in, size_t n, uint8_t *out, const uint8_t tag[AEAD_TAG_SIZE],
    struct err *err) WARN_UNUSED;

#endif
