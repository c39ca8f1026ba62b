/* Token buckets, against a plain model. */
#include "base/bucket.h"

#include "suites.h"

static struct instant at(int64_t ms)
{
	return (struct instant){INT64_C(1000000000) + ms * 1000000};
}

static void takes_and_refills(void **state)
{
	struct bucket_rate rate = {60, 10}; /* one a second, ten at once */
	struct token_bucket b = {0};

	for (int i = 0; i < 10; i++)
		assert_int_equal(token_bucket_take(&b, rate, 1, at(0)).ns, 0);
	assert_int_equal(token_bucket_take(&b, rate, 1, at(0)).ns, 1000000000);
	assert_int_equal(token_bucket_take(&b, rate, 1, at(400)).ns, 600000000);
	assert_int_equal(token_bucket_level(&b, rate, at(400)), -1 + 1); /* part of one is none */
	assert_int_equal(token_bucket_take(&b, rate, 1, at(1000)).ns, 0);
	assert_int_equal(token_bucket_level(&b, rate, at(1000)), 0);
	assert_int_equal(token_bucket_level(&b, rate, at(4500)), 3);
	assert_int_equal(token_bucket_level(&b, rate, at(3600000)), 10); /* never more */
	assert_int_equal(token_bucket_take(&b, rate, 10, at(3600000)).ns, 0);
	assert_true(token_bucket_take(&b, rate, 1, at(3600000)).ns > 0);
}

static void large_requests(void **state)
{
	struct bucket_rate rate = {6000, 0}; /* a minute's at once */
	struct token_bucket b = {0};

	assert_int_equal(token_bucket_level(&b, rate, at(0)), 6000);
	assert_int_equal(token_bucket_take(&b, rate, 9000, at(0)).ns, 0);
	assert_int_equal(token_bucket_level(&b, rate, at(0)), -3000);
	/* Only a full bucket lets such a one pass again: 90 s. */
	assert_int_equal(token_bucket_take(&b, rate, 9000, at(0)).ns, INT64_C(90000000000));
	assert_int_equal(token_bucket_take(&b, rate, 9000, at(90000)).ns, 0);
}

static void debts(void **state)
{
	struct bucket_rate rate = {60, 10};
	struct token_bucket b = {0};

	token_bucket_charge(&b, rate, 15, 20, at(0));
	assert_int_equal(token_bucket_level(&b, rate, at(0)), -5);
	assert_int_equal(token_bucket_take(&b, rate, 1, at(0)).ns, INT64_C(6000000000));
	token_bucket_charge(&b, rate, 1000000, 20, at(0));
	assert_int_equal(token_bucket_level(&b, rate, at(0)), -20); /* and no deeper */
	token_bucket_charge(&b, rate, -25, 20, at(0));
	assert_int_equal(token_bucket_level(&b, rate, at(0)), 5);
	token_bucket_charge(&b, rate, -1000, 20, at(0));
	assert_int_equal(token_bucket_level(&b, rate, at(0)), 10);
}

static void no_limit(void **state)
{
	struct bucket_rate rate = {0, 0};
	struct token_bucket b = {0};

	for (int i = 0; i < 1000; i++)
		assert_int_equal(token_bucket_take(&b, rate, 1000000, at(0)).ns, 0);
	token_bucket_charge(&b, rate, BUCKET_RATE_MAX, 0, at(0));
	assert_int_equal(b.full.ns, 0);
}

/* Whatever numbers come, nothing overflows and nobody waits for ever. */
static void extremes(void **state)
{
	static const int64_t all[] = {INT64_MIN, -BUCKET_RATE_MAX, -1, 0, 1, 7, 1000000,
	    BUCKET_RATE_MAX, BUCKET_RATE_MAX + 1, INT64_MAX};
	const size_t n = sizeof all / sizeof *all;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			for (size_t k = 0; k < n; k++) {
				struct bucket_rate rate = {all[i], all[j]};
				struct token_bucket b = {0};
				token_bucket_charge(&b, rate, all[k], all[j], at(0));
				token_bucket_charge(&b, rate, all[k], all[i], at(1));
				assert_true(token_bucket_level(&b, rate, at(2)) <= BUCKET_RATE_MAX);
				struct duration w = token_bucket_take(&b, rate, all[k], at(3));
				assert_true(w.ns >= 0);
			}
}

/* A model that counts in nanotokens a step at a time agrees to one token. */
static void model(void **state)
{
	static const int64_t rates[] = {1, 7, 59, 600, 99991};
	uint64_t seed = 88172645463325252u;

	for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
		struct bucket_rate rate = {rates[r], 1 + rates[r] / 2};
		struct token_bucket b = {0};
		double level = (double)rate.burst;
		int64_t now = 0;
		for (int i = 0; i < 2000; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			int64_t step = (int64_t)(seed % 5000), n = 1 + (int64_t)(seed >> 32) % 5;
			now += step;
			level += (double)step * (double)rate.per_min / 60000;
			if (level > (double)rate.burst)
				level = (double)rate.burst;
			if (n > rate.burst)
				continue;
			bool taken = token_bucket_take(&b, rate, n, at(now)).ns == 0;
			if (taken != (level >= (double)n))
				assert_true(level - (double)n < 0.001 && (double)n - level < 0.001);
			if (taken)
				level -= (double)n;
			double seen = (double)token_bucket_level(&b, rate, at(now));
			assert_true(seen <= level + 0.001 && seen >= level - 1.001);
		}
	}
}

int run_bucket_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(takes_and_refills),
	    cmocka_unit_test(large_requests),
	    cmocka_unit_test(debts),
	    cmocka_unit_test(no_limit),
	    cmocka_unit_test(extremes),
	    cmocka_unit_test(model),
	};

	return cmocka_run_group_tests_name("base/bucket", tests, NULL, NULL);
}
