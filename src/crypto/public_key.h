/* Public keys as libp2p writes them: a protobuf {Type = 1, Data = 2}, in one canonical form only,
 * because peer ids are made from these bytes. SPEC libp2p peer-ids, "Keys".
 *
 * Our own keys are Ed25519. The other three types are understood so that foreign peers (RSA ids of
 * the public IPFS network, browsers' ECDSA) can be authenticated. */
#ifndef CRYPTO_PUBLIC_KEY_H
#define CRYPTO_PUBLIC_KEY_H

#include "base/bytes.h"

#define ED25519_PUBLIC_SIZE    32
#define ED25519_SIGNATURE_SIZE 64
#define PUBLIC_KEY_DATA_MAX    1100 /* an RSA key of 8192 bits */
#define PUBLIC_KEY_MAX         (PUBLIC_KEY_DATA_MAX + 5)
#define SIGNATURE_MAX          1024 /* RSA of 8192 bits */

enum key_type {
	KEY_RSA = 0,
	KEY_ED25519 = 1,
	KEY_SECP256K1 = 2,
	KEY_ECDSA = 3
};

/* `data` is borrowed: raw for Ed25519 and secp256k1 (compressed point), DER for the others. */
struct public_key {
	enum key_type type;
	struct bytes data;
};

static inline struct public_key public_key_ed25519(const uint8_t key[ED25519_PUBLIC_SIZE])
{
	return (struct public_key){KEY_ED25519, {key, ED25519_PUBLIC_SIZE}};
}

const char *key_type_name(enum key_type type); /* "Ed25519" */

/* Reads the protobuf; the result borrows from `in`. E_PROTOCOL for anything but the canonical form
 * with plausible sizes. That the data is a usable key shows when it verifies. */
int public_key_decode(struct bytes in, struct public_key *out, struct err *err) WARN_UNUSED;
/* Writes the protobuf, at most PUBLIC_KEY_MAX bytes; returns the length. */
size_t public_key_encode(const struct public_key *key, uint8_t out[PUBLIC_KEY_MAX]);

/* 0 when `signature` is `key`'s over `message`, by the spec's rules for the key's type (Ed25519
 * plain; the others over SHA-256, RSA with PKCS#1 v1.5, the curves in DER). E_BAD_SIGNATURE, or
 * E_UNSUPPORTED for RSA under 2048 or above 8192 bits and for ECDSA curves other than the NIST
 * three. */
int public_key_verify(const struct public_key *key, struct bytes message, struct bytes signature,
    struct err *err) WARN_UNUSED;

#endif
