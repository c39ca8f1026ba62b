/* A node's identity: one Ed25519 key pair (RFC 8032), kept as PKCS#8 PEM (RFC 5958, RFC 8410), the
 * form that `openssl genpkey -algorithm ed25519` writes. Everything here works on memory: files,
 * their modes and randomness are the caller's. */
#ifndef CRYPTO_IDENTITY_H
#define CRYPTO_IDENTITY_H

#include "crypto/peer_id.h"

#define ED25519_SEED_SIZE 32
#define IDENTITY_PEM_MAX  256  /* what identity_to_pem writes, with its NUL */
#define PEM_INPUT_MAX     4096 /* the longest text identity_from_pem looks at */

struct identity {
	uint8_t seed[ED25519_SEED_SIZE]; /* secret */
	uint8_t public_key[ED25519_PUBLIC_SIZE];
	struct peer_id peer_id;
};

/* From 32 random bytes. */
void identity_from_seed(const uint8_t seed[ED25519_SEED_SIZE], struct identity *out);
void identity_wipe(struct identity *id);

void identity_sign(
    const struct identity *id, struct bytes message, uint8_t out[ED25519_SIGNATURE_SIZE]);

/* Reads one unencrypted Ed25519 private key; versions 1 and 2 of PKCS#8. Text around the PEM block
 * is allowed. E_FORMAT when malformed (a public half that does not belong to the private one
 * included), E_UNSUPPORTED for other kinds of keys; the text says what was found. */
int identity_from_pem(struct bytes text, struct identity *out, struct err *err) WARN_UNUSED;

/* Writes the PEM text and a NUL; returns the length without it. The caller wipes it. */
size_t identity_to_pem(const struct identity *id, char out[IDENTITY_PEM_MAX]);

#endif
