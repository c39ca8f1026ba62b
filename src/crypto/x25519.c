/* X25519 on libsodium, which refuses low-order points itself. */
#include "crypto/x25519.h"

#include <sodium.h>

void x25519_public(const uint8_t secret[X25519_SIZE], uint8_t out[X25519_SIZE])
{
	/* Fails for no scalar: clamping makes every one of them usable. */
	INVARIANT(crypto_scalarmult_base(out, secret) == 0);
}

int x25519(const uint8_t secret[X25519_SIZE], const uint8_t peer[X25519_SIZE],
    uint8_t out[X25519_SIZE], struct err *err)
{
	if (crypto_scalarmult(out, secret, peer) != 0)
		return err_set(err, E_PROTOCOL, "the peer's X25519 key has a low order");
	return 0;
}
