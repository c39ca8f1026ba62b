/* The key schedule is set up once; each record only sets its nonce. */
#include "crypto/aead.h"

#include "crypto/hash.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum direction {
	OPEN = 0,
	SEAL = 1
}; /* as OpenSSL numbers them */

struct aead {
	EVP_CIPHER_CTX *ctx;
};

int aead_new(const uint8_t key[AEAD_KEY_SIZE], struct aead **out, struct err *err)
{
	struct aead *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(err, E_MEMORY, "no memory for a cipher");
	a->ctx = EVP_CIPHER_CTX_new();
	if (!a->ctx || !EVP_CipherInit_ex(a->ctx, EVP_chacha20_poly1305(), NULL, key, NULL, SEAL)) {
		aead_free(a);
		return err_set(err, E_MEMORY, "ChaCha20-Poly1305 cannot be set up");
	}
	*out = a;
	return 0;
}

void aead_free(struct aead *a)
{
	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->ctx);
	free(a);
}

static bool crypt(struct aead *a, enum direction direction, const uint8_t nonce[AEAD_NONCE_SIZE],
    struct bytes ad, const uint8_t *in, size_t n, uint8_t *out)
{
	int done;

	if (n > INT_MAX || ad.n > INT_MAX)
		return false;
	if (!EVP_CipherInit_ex(a->ctx, NULL, NULL, NULL, nonce, (int)direction))
		return false;
	if (ad.n && !EVP_CipherUpdate(a->ctx, NULL, &done, ad.p, (int)ad.n))
		return false;
	return n == 0 || EVP_CipherUpdate(a->ctx, out, &done, in, (int)n);
}

int aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct bytes ad,
    const uint8_t *in, size_t n, uint8_t *out, uint8_t tag[AEAD_TAG_SIZE], struct err *err)
{
	uint8_t none[1];
	int done;

	if (!crypt(a, SEAL, nonce, ad, in, n, out) || !EVP_CipherFinal_ex(a->ctx, none, &done) ||
	    !EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag))
		return err_set(err, E_INTERNAL, "encryption failed");
	return 0;
}

int aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct bytes ad,
    const uint8_t *in, size_t n, uint8_t *out, const uint8_t tag[AEAD_TAG_SIZE], struct err *err)
{
	uint8_t expected[AEAD_TAG_SIZE], none[1];
	int done;

	memcpy(expected, tag, sizeof(expected));
	if (!crypt(a, OPEN, nonce, ad, in, n, out))
		return err_set(err, E_INTERNAL, "decryption failed");
	if (!EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, expected) ||
	    !EVP_CipherFinal_ex(a->ctx, none, &done)) {
		secret_wipe(out, n);
		return err_set(err, E_BAD_SIGNATURE, "a record fails authentication");
	}
	return 0;
}
