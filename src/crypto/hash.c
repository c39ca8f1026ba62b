/* SHA-256, HMAC and HKDF on libsodium. States that held secrets are wiped before returning. */
#include "crypto/hash.h"

int crypto_init(struct err *err)
{
	if (sodium_init() < 0)
		return err_set(err, E_INTERNAL, "libsodium cannot be initialised");
	return 0;
}

void sha256(struct bytes in, uint8_t out[SHA256_SIZE])
{
	crypto_hash_sha256(out, in.p, in.n);
}

void sha256_begin(struct sha256 *h)
{
	crypto_hash_sha256_init(&h->state);
}

void sha256_add(struct sha256 *h, struct bytes in)
{
	crypto_hash_sha256_update(&h->state, in.p, in.n);
}

void sha256_end(struct sha256 *h, uint8_t out[SHA256_SIZE])
{
	crypto_hash_sha256_final(&h->state, out);
}

/* libsodium declares its pointers nonnull even where the length is zero. */
static void hmac_add(crypto_auth_hmacsha256_state *st, struct bytes in)
{
	if (in.n)
		crypto_auth_hmacsha256_update(st, in.p, in.n);
}

void hmac_sha256(struct bytes key, struct bytes in, uint8_t out[SHA256_SIZE])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key.n ? key.p : (const uint8_t *)"", key.n);
	hmac_add(&st, in);
	crypto_auth_hmacsha256_final(&st, out);
	secret_wipe(&st, sizeof(st));
}

void hkdf_sha256_extract(struct bytes salt, struct bytes ikm, uint8_t prk[SHA256_SIZE])
{
	hmac_sha256(salt, ikm, prk);
}

/* T(i) = HMAC(PRK, T(i-1) | info | i), RFC 5869 section 2.3 */
void hkdf_sha256_expand(
    const uint8_t prk[SHA256_SIZE], struct bytes info, uint8_t *out, size_t out_n)
{
	crypto_auth_hmacsha256_state st;
	uint8_t t[SHA256_SIZE];
	size_t t_n = 0;

	INVARIANT(out_n <= 255 * SHA256_SIZE);
	for (uint8_t i = 1; out_n > 0; i++) {
		size_t part = out_n < SHA256_SIZE ? out_n : SHA256_SIZE;

		crypto_auth_hmacsha256_init(&st, prk, SHA256_SIZE);
		hmac_add(&st, bytes_of(t, t_n));
		hmac_add(&st, info);
		crypto_auth_hmacsha256_update(&st, &i, 1);
		crypto_auth_hmacsha256_final(&st, t);
		t_n = SHA256_SIZE;
		memcpy(out, t, part);
		out += part;
		out_n -= part;
	}
	secret_wipe(&st, sizeof(st));
	secret_wipe(t, sizeof(t));
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

void secret_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}
