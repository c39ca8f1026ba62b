/* Ed25519 (RFC 8032) signatures by authors who sign again and again, as gossip's do: multiples of a
 * key that has signed before are kept, and its next signature costs a third of the first one's.
 *
 * Accepts exactly what public_key_verify accepts. Only public values are worked on: nothing here
 * takes the same time for all of them. */
#ifndef CRYPTO_ED25519_KEYS_H
#define CRYPTO_ED25519_KEYS_H

#include "crypto/public_key.h"

struct ed25519_keys;

/* Remembers up to `cap` keys, of about 8 KiB each, the least recently used ones going first.
 * E_MEMORY.
 */
int ed25519_keys_new(size_t cap, struct ed25519_keys **out, struct err *err) WARN_UNUSED;
void ed25519_keys_free(struct ed25519_keys *k); /* NULL is nothing to do */

/* 0 or E_BAD_SIGNATURE. A key is remembered with its first true signature. */
int ed25519_keys_verify(struct ed25519_keys *k, const uint8_t key[ED25519_PUBLIC_SIZE],
    struct bytes message, struct bytes signature, struct err *err) WARN_UNUSED;

#endif
