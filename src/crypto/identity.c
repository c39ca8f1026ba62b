/* The secret half is kept as its 32-byte seed; libsodium's 64-byte form is made when needed and
 * wiped again. */
#include "crypto/identity.h"

#include "crypto/hash.h"

void identity_from_seed(const uint8_t seed[ED25519_SEED_SIZE], struct identity *out)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	struct public_key pub = public_key_ed25519(out->public_key);

	memcpy(out->seed, seed, ED25519_SEED_SIZE);
	INVARIANT(crypto_sign_seed_keypair(out->public_key, secret, seed) == 0);
	secret_wipe(secret, sizeof(secret));
	peer_id_of_key(&pub, &out->peer_id);
}

void identity_wipe(struct identity *id)
{
	secret_wipe(id, sizeof(*id));
}

void identity_sign(
    const struct identity *id, struct bytes message, uint8_t out[ED25519_SIGNATURE_SIZE])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	memcpy(secret, id->seed, ED25519_SEED_SIZE);
	memcpy(secret + ED25519_SEED_SIZE, id->public_key, ED25519_PUBLIC_SIZE);
	INVARIANT(crypto_sign_detached(out, NULL, message.p, message.n, secret) == 0);
	secret_wipe(secret, sizeof(secret));
}
