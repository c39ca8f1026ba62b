/* Published vectors for the primitives: NIST, RFC 4231, RFC 5869, RFC 7748, RFC 8439. */
#include "crypto/crypto.h"
#include "suites.h"

static void check(const uint8_t *got, size_t n, const char *hex)
{
	struct bytes want = unhex(7, hex);

	assert_int_equal(want.n, n);
	assert_memory_equal(got, want.p, n);
}

/* FIPS 180-4 examples */
static void sha256_examples(void **state)
{
	struct sha256 h;
	uint8_t out[SHA256_SIZE];

	sha256(bytes_str("abc"), out);
	check(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256(bytes_of(NULL, 0), out);
	check(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_begin(&h);
	sha256_add(&h, bytes_str("abcdbcdecdefdefgefghfghighij"));
	sha256_add(&h, bytes_str("hijkijkljklmklmnlmnomnopnopq"));
	sha256_end(&h, out);
	check(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* RFC 4231 test cases 2 and 6 */
static void hmac_examples(void **state)
{
	uint8_t key[131], out[SHA256_SIZE];

	hmac_sha256(bytes_str("Jefe"), bytes_str("what do ya want for nothing?"), out);
	check(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	hmac_sha256(bytes_of(key, sizeof(key)),
	    bytes_str("Test Using Larger Than Block-Size Key - Hash Key First"), out);
	check(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869 appendix A.1 and A.3 */
static void hkdf_examples(void **state)
{
	uint8_t prk[32], okm[42];

	hkdf_sha256_extract(unhex(0, "000102030405060708090a0b0c"),
	    unhex(1, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), prk);
	check(prk, 32, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
	hkdf_sha256_expand(prk, unhex(0, "f0f1f2f3f4f5f6f7f8f9"), okm, sizeof(okm));
	check(okm, 42,
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	hkdf_sha256_extract(
	    bytes_of(NULL, 0), unhex(1, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), prk);
	hkdf_sha256_expand(prk, bytes_of(NULL, 0), okm, sizeof(okm));
	check(okm, 42,
	    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

/* RFC 7748 sections 5.2 and 6.1 */
static void x25519_examples(void **state)
{
	uint8_t a[32], b[32], out[32];
	struct bytes alice =
	    unhex(0, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	struct bytes bob =
	    unhex(1, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");

	x25519_public(alice.p, a);
	check(a, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	x25519_public(bob.p, b);
	check(b, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_int_equal(x25519(alice.p, b, out, NULL), 0);
	check(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(x25519(bob.p, a, out, NULL), 0);
	check(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(
	    x25519(unhex(0, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4").p,
		unhex(1, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c").p, out,
		NULL),
	    0);
	check(out, 32, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
}

/* The points of order 1, 2, 4 and 8, their twist companions and non-canonical spellings. */
static void x25519_refuses_low_order(void **state)
{
	static const char *const low[] = {
	    "0000000000000000000000000000000000000000000000000000000000000000",
	    "0100000000000000000000000000000000000000000000000000000000000000",
	    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t secret[32], out[32];

	memset(secret, 0x42, sizeof(secret));
	for (size_t i = 0; i < sizeof(low) / sizeof(low[0]); i++)
		assert_int_equal(x25519(secret, unhex(0, low[i]).p, out, NULL), E_PROTOCOL);
}

static const char rfc8439_text[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    "sunscreen would be it.";

/* RFC 8439 section 2.8.2 */
static void aead_example(void **state)
{
	uint8_t key[32], text[114], tag[16];
	struct bytes nonce = unhex(0, "070000004041424344454647");
	struct bytes ad = unhex(1, "50515253c0c1c2c3c4c5c6c7");
	struct aead *a;

	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	assert_int_equal(aead_new(key, &a, NULL), 0);
	memcpy(text, rfc8439_text, sizeof(text));
	assert_int_equal(aead_seal(a, nonce.p, ad, text, sizeof(text), text, tag, NULL), 0);
	check(tag, 16, "1ae10b594f09e26a7e902ecbd0600691");
	check(text, 16, "d31a8d34648e60db7b86afbc53ef7ec2");
	assert_int_equal(aead_open(a, nonce.p, ad, text, sizeof(text), text, tag, NULL), 0);
	assert_memory_equal(text, rfc8439_text, sizeof(text));
	aead_free(a);
}

static void aead_refuses_changes(void **state)
{
	uint8_t key[32] = {1}, nonce[12] = {2}, text[40] = {3}, sealed[40], tag[16], out[40];
	struct bytes ad = bytes_str("with");
	struct aead *a;

	assert_int_equal(aead_new(key, &a, NULL), 0);
	for (size_t i = 0; i < 56; i++) {
		assert_int_equal(aead_seal(a, nonce, ad, text, 40, sealed, tag, NULL), 0);
		*(i < 40 ? &sealed[i] : &tag[i - 40]) ^= 0x10;
		assert_int_equal(
		    aead_open(a, nonce, ad, sealed, 40, out, tag, NULL), E_BAD_SIGNATURE);
	}
	assert_int_equal(aead_seal(a, nonce, ad, text, 40, sealed, tag, NULL), 0);
	assert_int_equal(
	    aead_open(a, nonce, bytes_str("wiht"), sealed, 40, out, tag, NULL), E_BAD_SIGNATURE);
	assert_int_equal(aead_open(a, nonce, ad, sealed, 39, out, tag, NULL), E_BAD_SIGNATURE);
	assert_int_equal(aead_open(a, nonce, ad, sealed, 40, out, tag, NULL), 0);
	assert_memory_equal(out, text, 40);
	/* no bytes, no additional data */
	assert_int_equal(aead_seal(a, nonce, bytes_of(NULL, 0), NULL, 0, NULL, tag, NULL), 0);
	assert_int_equal(aead_open(a, nonce, bytes_of(NULL, 0), NULL, 0, NULL, tag, NULL), 0);
	tag[0] ^= 1;
	assert_int_equal(
	    aead_open(a, nonce, bytes_of(NULL, 0), NULL, 0, NULL, tag, NULL), E_BAD_SIGNATURE);
	aead_free(a);
}

static void secrets_compare_and_wipe(void **state)
{
	uint8_t a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5};

	assert_false(secret_equal(a, b, 4));
	assert_true(secret_equal(a, b, 3));
	secret_wipe(a, 4);
	assert_memory_equal(a, "\0\0\0\0", 4);
}

int run_hash_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sha256_examples),
	    cmocka_unit_test(hmac_examples),
	    cmocka_unit_test(hkdf_examples),
	    cmocka_unit_test(x25519_examples),
	    cmocka_unit_test(x25519_refuses_low_order),
	    cmocka_unit_test(aead_example),
	    cmocka_unit_test(aead_refuses_changes),
	    cmocka_unit_test(secrets_compare_and_wipe),
	};

	return cmocka_run_group_tests_name("crypto/primitives", tests, NULL, NULL);
}
