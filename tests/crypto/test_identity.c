/* Identities: RFC 8032 and RFC 8410 vectors, and every kind of file that is not ours. */
#include "crypto/crypto.h"
#include "suites.h"

#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

static const char rfc8410_v1[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----\n";

static const char rfc8410_v2[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n"
    "Z9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PRIVATE KEY-----\n";

static const char rfc8410_public[] =
    "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

/* RFC 8032 section 7.1, tests 1 and 3 */
static void signs_like_rfc8032(void **state)
{
	struct identity id;
	uint8_t sig[64];

	identity_from_seed(
	    unhex(0, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").p, &id);
	assert_memory_equal(id.public_key,
	    unhex(0, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").p, 32);
	identity_sign(&id, bytes_of(NULL, 0), sig);
	assert_memory_equal(sig,
	    unhex(0, "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb88215"
		     "90a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
		.p,
	    64);
	identity_from_seed(
	    unhex(0, "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").p, &id);
	identity_sign(&id, unhex(1, "af82"), sig);
	assert_memory_equal(sig,
	    unhex(0, "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b53"
		     "8d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")
		.p,
	    64);
	identity_wipe(&id);
	assert_int_equal(id.seed[0] | id.seed[31], 0);
}

static void reads_both_versions(void **state)
{
	static const char *const texts[] = {rfc8410_v1, rfc8410_v2};
	struct identity id;

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(identity_from_pem(bytes_str(texts[i]), &id, NULL), 0);
		assert_memory_equal(id.public_key, unhex(0, rfc8410_public).p, 32);
	}
}

static void writes_what_it_reads(void **state)
{
	struct identity id;
	char pem[IDENTITY_PEM_MAX], around[1024];

	assert_int_equal(identity_from_pem(bytes_str(rfc8410_v2), &id, NULL), 0);
	assert_int_equal(identity_to_pem(&id, pem), strlen(rfc8410_v1));
	assert_string_equal(pem, rfc8410_v1);
	snprintf(around, sizeof(around), "a note\r\n\r\n%s\r\nmore", pem);
	assert_int_equal(identity_from_pem(bytes_str(around), &id, NULL), 0);
}

static void openssl_agrees(void **state)
{
	struct identity id;
	char pem[IDENTITY_PEM_MAX];
	uint8_t raw[32];
	size_t n = sizeof(raw);
	BIO *bio = BIO_new(BIO_s_mem());
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *back;
	char *text;
	long text_n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	text_n = BIO_get_mem_data(bio, &text);
	assert_int_equal(identity_from_pem(bytes_of(text, (size_t)text_n), &id, NULL), 0);
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &n), 1);
	assert_memory_equal(raw, id.public_key, 32);
	BIO_free(bio);

	bio = BIO_new_mem_buf(pem, (int)identity_to_pem(&id, pem));
	back = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	assert_non_null(back);
	assert_int_equal(EVP_PKEY_eq(key, back), 1);
	BIO_free(bio);
	EVP_PKEY_free(key);
	EVP_PKEY_free(back);
}

static void foreign_keys_are_named(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} bad[] = {
	    {"", E_FORMAT, "no PEM block"},
	    {"-----BEGIN PRIVATE KEY-----\n", E_FORMAT, "no PEM block"},
	    {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nxx", E_UNSUPPORTED, "encrypted"},
	    {"-----BEGIN OPENSSH PRIVATE KEY-----\n", E_UNSUPPORTED, "OpenSSH"},
	    {"-----BEGIN RSA PRIVATE KEY-----\n", E_UNSUPPORTED, "RSA"},
	    {"-----BEGIN EC PRIVATE KEY-----\n", E_UNSUPPORTED, "EC key"},
	    {"-----BEGIN PUBLIC KEY-----\n", E_UNSUPPORTED, "public key"},
	    {"-----BEGIN PRIVATE KEY-----\nM!==\n-----END PRIVATE KEY-----", E_FORMAT, "base64"},
	    {"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", E_FORMAT, "malformed"},
	    {"-----BEGIN PRIVATE KEY-----\n" /* the same key as X25519 (1.3.101.110) */
	     "MC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
	     "-----END PRIVATE KEY-----\n",
		E_UNSUPPORTED, "not an Ed25519 key"},
	};
	struct identity id;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {0};

		assert_int_equal(identity_from_pem(bytes_str(bad[i].text), &id, &err), bad[i].code);
		assert_non_null(strstr(err.text, bad[i].says));
	}
	char big[PEM_INPUT_MAX + 1];

	memset(big, ' ', sizeof(big));
	assert_int_equal(identity_from_pem(bytes_of(big, sizeof(big)), &id, NULL), E_FORMAT);
}

static int parse_der_bytes(const uint8_t *der, size_t n, struct identity *id)
{
	char b64[512], pem[600];

	base64_encode(bytes_of(der, n), b64);
	snprintf(
	    pem, sizeof(pem), "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----", b64);
	return identity_from_pem(bytes_str(pem), id, NULL);
}

/* Whatever single byte of the structure is changed, the key is refused or only its seed and its
 * attributes differ; whatever is cut off, it is refused. */
static void damaged_keys_are_refused(void **state)
{
	struct bytes v2 = unhex(0,
	    "3072020101300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a8"
	    "8f44755842a01f301d060a2a864886f70d01090914310f0c0d437572646c6520436861697273812100"
	    "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
	uint8_t der[200];
	struct identity id;

	assert_int_equal(parse_der_bytes(v2.p, v2.n, &id), 0);
	for (size_t n = 0; n < v2.n; n++)
		assert_true(parse_der_bytes(v2.p, n, &id) < 0);
	for (size_t i = 0; i < v2.n; i++) {
		bool attribute = i >= 50 && i < 81;

		memcpy(der, v2.p, v2.n);
		der[i] ^= 0x01;
		if (!attribute)
			assert_true(parse_der_bytes(der, v2.n, &id) < 0);
	}
	memcpy(der, v2.p, v2.n);
	der[v2.n] = 0;
	assert_true(parse_der_bytes(der, v2.n + 1, &id) < 0);
}

int run_identity_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signs_like_rfc8032),
	    cmocka_unit_test(reads_both_versions),
	    cmocka_unit_test(writes_what_it_reads),
	    cmocka_unit_test(openssl_agrees),
	    cmocka_unit_test(foreign_keys_are_named),
	    cmocka_unit_test(damaged_keys_are_refused),
	};

	return cmocka_run_group_tests_name("crypto/identity", tests, NULL, NULL);
}
