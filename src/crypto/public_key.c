/* Decoding is byte-exact: an encoding that this file would not write is refused. Keys are handed to
 * OpenSSL only when their DER begins as we expect, so no exotic curve parameters reach it. */
#include "crypto/public_key.h"

#include "base/encode.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>

#define SECP256K1_PUBLIC_SIZE 33
#define RSA_BITS_MIN          2048
#define RSA_BITS_MAX          8192

const char *key_type_name(enum key_type type)
{
	switch (type) {
	case KEY_RSA:
		return "RSA";
	case KEY_ED25519:
		return "Ed25519";
	case KEY_SECP256K1:
		return "secp256k1";
	case KEY_ECDSA:
		return "ECDSA";
	}
	BUG("key type %d", (int)type);
}

static bool size_fits(enum key_type type, size_t n)
{
	switch (type) {
	case KEY_ED25519:
		return n == ED25519_PUBLIC_SIZE;
	case KEY_SECP256K1:
		return n == SECP256K1_PUBLIC_SIZE;
	case KEY_RSA:
	case KEY_ECDSA:
		return n > 0 && n <= PUBLIC_KEY_DATA_MAX;
	}
	return false;
}

int public_key_decode(struct bytes in, struct public_key *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	uint8_t tag1, type, tag2;
	uint64_t n;

	if (!cursor_u8(&c, &tag1) || !cursor_u8(&c, &type) || !cursor_u8(&c, &tag2) ||
	    !cursor_varint(&c, &n) || tag1 != 0x08 || tag2 != 0x12)
		return err_set(err, E_PROTOCOL, "malformed public key");
	if (type > KEY_ECDSA)
		return err_set(err, E_PROTOCOL, "public key of unknown type %d", type);
	if (n != c.left || !size_fits((enum key_type)type, c.left))
		return err_set(err, E_PROTOCOL, "%s public key of the wrong size",
		    key_type_name((enum key_type)type));
	out->type = (enum key_type)type;
	out->data = (struct bytes){c.p, c.left};
	return 0;
}

size_t public_key_encode(const struct public_key *key, uint8_t out[PUBLIC_KEY_MAX])
{
	size_t n = 3;

	INVARIANT(size_fits(key->type, key->data.n));
	out[0] = 0x08;
	out[1] = (uint8_t)key->type;
	out[2] = 0x12;
	n += varint_encode(key->data.n, out + n);
	memcpy(out + n, key->data.p, key->data.n);
	return n + key->data.n;
}

/* SubjectPublicKeyInfo up to the point, for the named curves we take (RFC 5480). */
struct spki_prefix {
	size_t n;
	uint8_t der[24];
	size_t total;
};

static const struct spki_prefix ecdsa_curves[] = {
    {24,
	{0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
	    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03},
	91},
    {21,
	{0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05,
	    0x2b, 0x81, 0x04, 0x00, 0x22, 0x03},
	120},
    {22,
	{0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
	    0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03},
	158},
};

static const uint8_t secp256k1_prefix[] = {0x30, 0x36, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a, 0x03, 0x22, 0x00};

static bool is_known_curve(struct bytes der)
{
	for (size_t i = 0; i < sizeof(ecdsa_curves) / sizeof(ecdsa_curves[0]); i++) {
		const struct spki_prefix *c = &ecdsa_curves[i];

		if (der.n == c->total && memcmp(der.p, c->der, c->n) == 0)
			return true;
	}
	return false;
}

/* The key as OpenSSL's object, or NULL. Trailing bytes after the DER are refused. */
static EVP_PKEY *pkey_of_spki(struct bytes der, int type)
{
	const uint8_t *p = der.p;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, (long)der.n);

	if (pkey && (p != der.p + der.n || EVP_PKEY_get_base_id(pkey) != type)) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	return pkey;
}

static EVP_PKEY *pkey_of(const struct public_key *key)
{
	uint8_t der[sizeof(secp256k1_prefix) + SECP256K1_PUBLIC_SIZE];

	switch (key->type) {
	case KEY_RSA:
		return pkey_of_spki(key->data, EVP_PKEY_RSA);
	case KEY_ECDSA:
		return is_known_curve(key->data) ? pkey_of_spki(key->data, EVP_PKEY_EC) : NULL;
	case KEY_SECP256K1:
		memcpy(der, secp256k1_prefix, sizeof(secp256k1_prefix));
		memcpy(der + sizeof(secp256k1_prefix), key->data.p, SECP256K1_PUBLIC_SIZE);
		return pkey_of_spki(bytes_of(der, sizeof(der)), EVP_PKEY_EC);
	case KEY_ED25519:
		return NULL;
	}
	return NULL;
}

static bool pkey_verifies(EVP_PKEY *pkey, struct bytes message, struct bytes signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
	     EVP_DigestVerify(ctx, signature.p, signature.n, message.p, message.n) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

static int verify_openssl(
    const struct public_key *key, struct bytes message, struct bytes signature, struct err *err)
{
	EVP_PKEY *pkey = pkey_of(key);
	int bits = pkey ? EVP_PKEY_get_bits(pkey) : 0;
	int rc = 0;

	if (!pkey)
		rc = err_set(
		    err, E_UNSUPPORTED, "an %s key that cannot be used", key_type_name(key->type));
	else if (key->type == KEY_RSA && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
		rc = err_set(err, E_UNSUPPORTED, "an RSA key of %d bits", bits);
	else if (!pkey_verifies(pkey, message, signature))
		rc = err_set(err, E_BAD_SIGNATURE, "wrong %s signature", key_type_name(key->type));
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return rc;
}

int public_key_verify(
    const struct public_key *key, struct bytes message, struct bytes signature, struct err *err)
{
	if (signature.n > SIGNATURE_MAX || signature.n == 0 || !size_fits(key->type, key->data.n))
		return err_set(err, E_BAD_SIGNATURE, "a signature of %zu bytes", signature.n);
	if (key->type != KEY_ED25519)
		return verify_openssl(key, message, signature, err);
	if (signature.n != ED25519_SIGNATURE_SIZE ||
	    crypto_sign_verify_detached(signature.p, message.p, message.n, key->data.p) != 0)
		return err_set(err, E_BAD_SIGNATURE, "wrong Ed25519 signature");
	return 0;
}
