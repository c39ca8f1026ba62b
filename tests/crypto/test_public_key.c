/* Public keys: the vectors of the libp2p peer-ids specification, canonical form only, and
 * signatures of all four kinds made by OpenSSL. */
#include "crypto/crypto.h"
#include "suites.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

static const char ed25519_hex[] =
    "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
static const char secp256k1_hex[] =
    "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99";
static const char ecdsa_hex[] =
    "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83"
    "abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9"
    "f77c409e62";

static void spec_vectors(void **state)
{
	static const struct {
		const char *hex;
		enum key_type type;
		const char *name;
	} ex[] = {{ed25519_hex, KEY_ED25519, "Ed25519"},
	    {secp256k1_hex, KEY_SECP256K1, "secp256k1"}, {ecdsa_hex, KEY_ECDSA, "ECDSA"}};
	uint8_t raw[PUBLIC_KEY_MAX];
	struct public_key key;

	for (size_t i = 0; i < 3; i++) {
		struct bytes in = unhex(0, ex[i].hex);

		assert_int_equal(public_key_decode(in, &key, NULL), 0);
		assert_int_equal(key.type, ex[i].type);
		assert_string_equal(key_type_name(key.type), ex[i].name);
		assert_true(bytes_equal(bytes_of(raw, public_key_encode(&key, raw)), in));
	}
	/* the private half of the Ed25519 vector */
	struct identity id;

	identity_from_seed(
	    unhex(1, "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d").p, &id);
	assert_memory_equal(id.public_key, unhex(0, ed25519_hex).p + 4, 32);
}

static void only_the_canonical_form(void **state)
{
	static const char *const bad[] = {"", "08", "0801", "080112", "08011220", "08041200",
	    "08011200",                                                                 /* empty */
	    "12201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e0801", /* order */
	    "0801121f1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce2",   /* short */
	    "08011220"
	    "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e00", /* more */
	    "0881001220"
	    "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e", /* overlong type */
	    "080112a000"
	    "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e", /* overlong size */
	    "0800120", "080012ffffffffffffffff7f00"};
	struct public_key key;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t n = strlen(bad[i]) / 2;
		uint8_t raw[64];

		assert_int_equal(hex_decode(bytes_of(bad[i], 2 * n), raw, n), 0);
		assert_int_equal(public_key_decode(bytes_of(raw, n), &key, NULL), E_PROTOCOL);
	}
	uint8_t big[PUBLIC_KEY_MAX + 1] = {0x08, 0, 0x12, 0xcd, 0x08}; /* RSA of 1101 bytes */

	assert_int_equal(public_key_decode(bytes_of(big, sizeof(big)), &key, NULL), E_PROTOCOL);
}

static void ed25519_signatures(void **state)
{
	struct identity id;
	uint8_t seed[32] = {9}, sig[64];
	struct public_key key = public_key_ed25519(id.public_key);

	identity_from_seed(seed, &id);
	identity_sign(&id, bytes_str("hello"), sig);
	assert_int_equal(public_key_verify(&key, bytes_str("hello"), bytes_of(sig, 64), NULL), 0);
	assert_int_equal(
	    public_key_verify(&key, bytes_str("hullo"), bytes_of(sig, 64), NULL), E_BAD_SIGNATURE);
	assert_int_equal(
	    public_key_verify(&key, bytes_str("hello"), bytes_of(sig, 63), NULL), E_BAD_SIGNATURE);
	assert_int_equal(
	    public_key_verify(&key, bytes_str("hello"), bytes_of(NULL, 0), NULL), E_BAD_SIGNATURE);
	sig[40] ^= 1;
	assert_int_equal(
	    public_key_verify(&key, bytes_str("hello"), bytes_of(sig, 64), NULL), E_BAD_SIGNATURE);
	/* a key of order one would verify anything */
	uint8_t weak[32] = {1}, zero[64] = {1};
	struct public_key bad = public_key_ed25519(weak);

	assert_int_equal(
	    public_key_verify(&bad, bytes_str("hello"), bytes_of(zero, 64), NULL), E_BAD_SIGNATURE);
}

static size_t openssl_sign(EVP_PKEY *pkey, struct bytes message, uint8_t sig[SIGNATURE_MAX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = SIGNATURE_MAX;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n, message.p, message.n), 1);
	EVP_MD_CTX_free(ctx);
	return n;
}

/* The key's DER as libp2p carries it: SubjectPublicKeyInfo, or the last 33 bytes of it for
 * secp256k1. */
static void check_openssl(EVP_PKEY *pkey, enum key_type type, int expected)
{
	uint8_t der[PUBLIC_KEY_DATA_MAX], *p = der, sig[SIGNATURE_MAX];
	size_t n, sig_n = openssl_sign(pkey, bytes_str("message"), sig);
	struct public_key key = {type, {der, 0}};

	assert_true(i2d_PUBKEY(pkey, NULL) <= (int)sizeof(der));
	n = (size_t)i2d_PUBKEY(pkey, &p);
	key.data = type == KEY_SECP256K1 ? bytes_of(der + n - 33, 33) : bytes_of(der, n);
	assert_int_equal(
	    public_key_verify(&key, bytes_str("message"), bytes_of(sig, sig_n), NULL), expected);
	if (expected == 0) {
		assert_int_equal(
		    public_key_verify(&key, bytes_str("massage"), bytes_of(sig, sig_n), NULL),
		    E_BAD_SIGNATURE);
		sig[sig_n - 1] ^= 1;
		assert_int_equal(
		    public_key_verify(&key, bytes_str("message"), bytes_of(sig, sig_n), NULL),
		    E_BAD_SIGNATURE);
	}
	der[0] ^= 1;
	der[n - 1] ^= 1; /* for secp256k1 another point, or none */
	assert_true(public_key_verify(&key, bytes_str("message"), bytes_of(sig, sig_n), NULL) < 0);
	EVP_PKEY_free(pkey);
}

static EVP_PKEY *secp256k1_key(void)
{
	EVP_PKEY *pkey = EVP_EC_gen("secp256k1");

	assert_int_equal(EVP_PKEY_set_utf8_string_param(pkey, "point-format", "compressed"), 1);
	return pkey;
}

static void openssl_signatures(void **state)
{
	check_openssl(EVP_RSA_gen(2048), KEY_RSA, 0);
	check_openssl(EVP_RSA_gen(1024), KEY_RSA, E_UNSUPPORTED);
	check_openssl(EVP_EC_gen("P-256"), KEY_ECDSA, 0);
	check_openssl(EVP_EC_gen("P-384"), KEY_ECDSA, 0);
	check_openssl(EVP_EC_gen("P-521"), KEY_ECDSA, 0);
	check_openssl(EVP_EC_gen("brainpoolP256r1"), KEY_ECDSA, E_UNSUPPORTED);
	check_openssl(EVP_EC_gen("P-256"), KEY_RSA, E_UNSUPPORTED);
	check_openssl(secp256k1_key(), KEY_SECP256K1, 0);
}

int run_public_key_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(spec_vectors),
	    cmocka_unit_test(only_the_canonical_form),
	    cmocka_unit_test(ed25519_signatures),
	    cmocka_unit_test(openssl_signatures),
	};

	return cmocka_run_group_tests_name("crypto/public_key", tests, NULL, NULL);
}
