/* Signatures by keys that come again: RFC 8032's vectors, and the same verdict as libsodium's on
 * all that is damaged, ambiguous or of the wrong order. */
#include "crypto/crypto.h"
#include "suites.h"

#include <sodium.h>
#include <stdio.h>

#define CAP 4

static struct ed25519_keys *keys;

static int setup(void **state)
{
	return ed25519_keys_new(CAP, &keys, NULL);
}

static int teardown(void **state)
{
	ed25519_keys_free(keys);
	return 0;
}

struct author {
	uint8_t public[32], secret[64];
};

static struct author author_of(const char *name)
{
	struct author a;
	uint8_t seed[32];

	sha256(bytes_str(name), seed);
	assert_int_equal(crypto_sign_seed_keypair(a.public, a.secret, seed), 0);
	return a;
}

static bool good(const uint8_t key[32], struct bytes message, const uint8_t signature[64])
{
	int rc = ed25519_keys_verify(keys, key, message, bytes_of(signature, 64), NULL);

	assert_true(rc == 0 || rc == E_BAD_SIGNATURE);
	return rc == 0;
}

/* After two true signatures the key's multiples are at hand. */
static void introduce(const struct author *a)
{
	uint8_t signature[64];

	crypto_sign_detached(signature, NULL, (const uint8_t *)"hello", 5, a->secret);
	for (int i = 0; i < 2; i++)
		assert_true(good(a->public, bytes_str("hello"), signature));
}

/* Some bytes that differ from round to round. */
static void stir(unsigned round, uint8_t *out, size_t n)
{
	uint8_t seed[randombytes_SEEDBYTES] = {0};

	put_u32be(seed, round);
	randombytes_buf_deterministic(out, n, seed);
}

static void rfc_8032_vectors(void **state)
{
	static const struct {
		const char *key, *message, *signature;
	} ex[] = {
	    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc6"
		"1e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e45"
		"8f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae"
		"67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	};

	for (size_t i = 0; i < 3; i++) {
		struct bytes key = unhex(0, ex[i].key), message = unhex(1, ex[i].message);
		for (int again = 0; again < 4; again++)
			assert_true(good(key.p, message, unhex(2, ex[i].signature).p));
	}
}

static void damage_is_found(void **state)
{
	struct author a = author_of("damage");
	uint8_t signature[64], message[100];

	introduce(&a);
	for (unsigned i = 0; i < 64 * 8; i++) {
		size_t n = i % sizeof message;
		stir(i, message, sizeof message);
		crypto_sign_detached(signature, NULL, message, n, a.secret);
		assert_true(good(a.public, bytes_of(message, n), signature));
		signature[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(good(a.public, bytes_of(message, n), signature));
		signature[i / 8] ^= (uint8_t)(1 << i % 8);
		message[n] ^= 1;
		assert_false(good(a.public, bytes_of(message, n + 1), signature));
	}
	assert_int_equal(ed25519_keys_verify(
			     keys, a.public, bytes_of(message, 1), bytes_of(signature, 63), NULL),
	    E_BAD_SIGNATURE);
}

/* S plus the group's order signs the same: refused, or each message would have two signatures. */
static void no_twins(void **state)
{
	static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6,
	    0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
	struct author a = author_of("twins");
	uint8_t signature[64];
	unsigned carry = 0;

	introduce(&a);
	crypto_sign_detached(signature, NULL, (const uint8_t *)"x", 1, a.secret);
	for (int i = 0; i < 32; i++) {
		carry += (unsigned)signature[32 + i] + order[i];
		signature[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_false(good(a.public, bytes_str("x"), signature));
	assert_int_not_equal(
	    crypto_sign_verify_detached(signature, (const uint8_t *)"x", 1, a.public), 0);
}

/* The scalar behind a secret key. */
static void scalar_of(const struct author *a, uint8_t out[32])
{
	uint8_t hash[64] = {0}, wide[64] = {0};

	crypto_hash_sha512(hash, a->secret, 32);
	hash[0] &= 248;
	hash[31] &= 127;
	hash[31] |= 64;
	memcpy(wide, hash, 32);
	crypto_core_ed25519_scalar_reduce(out, wide);
}

/* h = SHA-512(R, A, message), as a scalar */
static void challenge(
    const uint8_t r[32], const uint8_t key[32], struct bytes message, uint8_t out[32])
{
	uint8_t hash[64];
	crypto_hash_sha512_state state;

	crypto_hash_sha512_init(&state);
	crypto_hash_sha512_update(&state, r, 32);
	crypto_hash_sha512_update(&state, key, 32);
	crypto_hash_sha512_update(&state, message.p, message.n);
	crypto_hash_sha512_final(&state, hash);
	crypto_core_ed25519_scalar_reduce(out, hash);
}

/* A signature whose R is the neutral point: the equation holds, libsodium refuses it. */
static void no_small_order(void **state)
{
	struct author a = author_of("small");
	uint8_t signature[64] = {1}, h[32], secret[32];

	introduce(&a);
	scalar_of(&a, secret);
	challenge(signature, a.public, bytes_str("x"), h);
	crypto_core_ed25519_scalar_mul(signature + 32, h, secret);
	assert_int_not_equal(
	    crypto_sign_verify_detached(signature, (const uint8_t *)"x", 1, a.public), 0);
	assert_false(good(a.public, bytes_str("x"), signature));
}

/* A key with a part of order two: whether the equation holds depends on the message, and on whether
 * the cofactor is multiplied in. Both must say the same, message by message. */
static void mixed_order(void **state)
{
	static const uint8_t order_two[32] = {0xec, [1] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
	struct author a = author_of("mixed");
	uint8_t key[32], secret[32], signature[64], r[32], h[32], message[8];
	unsigned accepted = 0;

	scalar_of(&a, secret);
	assert_int_equal(crypto_core_ed25519_add(key, a.public, order_two), 0);
	for (unsigned i = 0; i < 64; i++) {
		stir(i, r, sizeof r);
		r[31] &= 15;
		stir(1000 + i, message, sizeof message);
		assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(signature, r), 0);
		challenge(signature, key, bytes_of(message, sizeof message), h);
		crypto_core_ed25519_scalar_mul(h, h, secret);
		crypto_core_ed25519_scalar_add(signature + 32, r, h);
		bool theirs =
		    crypto_sign_verify_detached(signature, message, sizeof message, key) == 0;
		assert_int_equal(good(key, bytes_of(message, sizeof message), signature), theirs);
		accepted += theirs;
	}
	assert_in_range(accepted, 16, 48);
}

/* More authors than there is room for, each in turn and then often. */
static void authors_come_and_go(void **state)
{
	uint8_t signature[64], message[32];

	for (unsigned i = 0; i < 200; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "author %u", i < 100 ? i % 9 : i / 20);
		struct author a = author_of(name), other = author_of("other");
		stir(i, message, sizeof message);
		crypto_sign_detached(signature, NULL, message, sizeof message, a.secret);
		assert_true(good(a.public, bytes_of(message, sizeof message), signature));
		assert_false(good(other.public, bytes_of(message, sizeof message), signature));
	}
}

int run_ed25519_keys_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(rfc_8032_vectors, setup, teardown),
	    cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_twins, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_small_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(mixed_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(authors_come_and_go, setup, teardown),
	};

	return cmocka_run_group_tests_name("ed25519_keys", tests, NULL, NULL);
}
