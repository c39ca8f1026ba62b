/* Sealed secrets: round trips, and everything that must not open. */
#include "suites.h"

#include "crypto/sealed.h"

static struct identity identity_of(uint8_t first)
{
	uint8_t seed[ED25519_SEED_SIZE] = {first, 9};
	struct identity id;

	identity_from_seed(seed, &id);
	return id;
}

static const uint8_t salt[SEALED_SALT_SIZE] = {4, 2};

static void round_trips(void **state)
{
	static const size_t sizes[] = {0, 1, 51, SEALED_MAX};
	struct identity id = identity_of(1);
	uint8_t secret[SEALED_MAX + 1];

	memset(secret, 's', sizeof secret);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct buf sealed = BUF_INIT(10000), out = BUF_INIT(10000);
		struct bytes in = bytes_of(secret, sizes[i]);
		assert_int_equal(sealed_close(&id, "openai", in, salt, &sealed, NULL), 0);
		assert_int_equal(sealed.n, sizes[i] + SEALED_OVERHEAD);
		assert_int_equal(sealed_open(&id, "openai", buf_view(&sealed), &out, NULL), 0);
		assert_true(bytes_equal(buf_view(&out), in));
		if (sizes[i] > 20)
			assert_null(memmem(sealed.p, sealed.n, "ssssssss", 8));
		buf_free(&sealed);
		buf_free(&out);
	}
	struct buf sealed = BUF_INIT(10000);
	assert_int_equal(
	    sealed_close(&id, "openai", bytes_of(secret, sizeof secret), salt, &sealed, NULL),
	    E_TOO_LARGE);
	assert_int_equal(sealed.n, 0);
}

/* Each salt gives a key of its own: equal secrets look different. */
static void salts_matter(void **state)
{
	uint8_t other[SEALED_SALT_SIZE] = {4, 3};
	struct identity id = identity_of(1);
	struct buf a = BUF_INIT(1000), b = BUF_INIT(1000);
	struct bytes in = bytes_str("sk-0123456789");

	assert_int_equal(sealed_close(&id, "x", in, salt, &a, NULL), 0);
	assert_int_equal(sealed_close(&id, "x", in, other, &b, NULL), 0);
	assert_memory_not_equal(a.p + 1 + SEALED_SALT_SIZE, b.p + 1 + SEALED_SALT_SIZE, in.n + 16);
	buf_free(&a);
	buf_free(&b);
}

static void refuses(void **state)
{
	struct identity id = identity_of(1), stranger = identity_of(2);
	struct buf sealed = BUF_INIT(1000), out = BUF_INIT(1000);
	struct err err;

	assert_int_equal(
	    sealed_close(&id, "openai", bytes_str("sk-012345"), salt, &sealed, NULL), 0);
	assert_int_equal(
	    sealed_open(&stranger, "openai", buf_view(&sealed), &out, &err), E_BAD_SIGNATURE);
	assert_non_null(strstr(err.text, "another identity"));
	assert_int_equal(
	    sealed_open(&id, "anthropic", buf_view(&sealed), &out, NULL), E_BAD_SIGNATURE);
	for (size_t i = 0; i < sealed.n; i++) {
		sealed.p[i] ^= 1;
		assert_true(sealed_open(&id, "openai", buf_view(&sealed), &out, NULL) < 0);
		sealed.p[i] ^= 1;
	}
	for (size_t n = 0; n < sealed.n; n++)
		assert_true(sealed_open(&id, "openai", bytes_of(sealed.p, n), &out, NULL) < 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(sealed_open(&id, "openai", buf_view(&sealed), &out, NULL), 0);
	buf_free(&sealed);
	buf_free(&out);
}

int run_sealed_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trips),
	    cmocka_unit_test(salts_matter),
	    cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests_name("crypto/sealed", tests, NULL, NULL);
}
