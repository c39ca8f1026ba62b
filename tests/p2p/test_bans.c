/* Points for offences, bans, and how they fall with time. */
#include "p2p/bans_priv.h"
#include "suites.h"

#include <string.h>

static struct peer_id peer(unsigned n)
{
	struct peer_id id = {.n = 2};

	put_u16be(id.bytes, (uint16_t)n);
	return id;
}

static struct instant at_ms(int64_t ms)
{
	return instant_add((struct instant){1}, duration_ms(ms));
}

static void test_a_ban_comes_and_goes(void **state)
{
	struct bans *b = bans_new();
	struct peer_id p = peer(1), other = peer(2);
	struct duration left;
	const char *why;

	assert_false(bans_check(b, &p, at_ms(0), NULL, NULL));
	assert_false(bans_offend(b, &p, P2P_FORGED, 40, "first", at_ms(0)));
	assert_false(bans_offend(b, &p, P2P_FORGED, 40, "second", at_ms(0)));
	assert_false(bans_check(b, &p, at_ms(0), NULL, NULL));
	assert_true(bans_offend(b, &p, P2P_FORGED, 40, "third", at_ms(0)));
	assert_true(bans_check(b, &p, at_ms(0), &left, &why));
	assert_int_equal(duration_to_ms(left), (120 - BAN_POINTS_FREE) * BAN_FALL_MS);
	assert_string_equal(why, "third");
	assert_false(bans_check(b, &other, at_ms(0), NULL, NULL));
	/* Until half is gone, not only until it is below the threshold. */
	assert_true(bans_check(b, &p, at_ms(duration_to_ms(left) - 1), NULL, NULL));
	assert_false(bans_check(b, &p, at_ms(duration_to_ms(left)), NULL, NULL));
	bans_free(b);
}

static void test_what_is_held_against_a_peer(void **state)
{
	struct bans *b = bans_new();
	struct peer_id p = peer(1), other = peer(2);
	struct p2p_conduct c;

	assert_false(bans_conduct(b, &p, at_ms(0), &c));
	assert_false(bans_offend(b, &p, P2P_MALFORMED, 10, "one", at_ms(0)));
	assert_false(bans_offend(b, &p, P2P_MALFORMED, 10, "two", at_ms(0)));
	assert_true(bans_offend(b, &p, P2P_REPLAYED, 80, "three", at_ms(0)));
	assert_true(bans_conduct(b, &p, at_ms(0), &c));
	assert_true(c.banned);
	assert_int_equal(duration_to_ms(c.left), (100 - BAN_POINTS_FREE) * BAN_FALL_MS);
	assert_int_equal(c.counts[P2P_MALFORMED], 2);
	assert_int_equal(c.counts[P2P_REPLAYED], 1);
	assert_int_equal(c.counts[P2P_FORGED], 0);
	assert_string_equal(c.why, "three");
	assert_false(bans_conduct(b, &other, at_ms(0), &c));
	/* Shown for an hour, though the points are gone long before. */
	assert_true(bans_conduct(b, &p, at_ms(BAN_RECALL_MS - 1), &c));
	assert_int_equal(c.points, 0);
	assert_false(c.banned);
	assert_false(bans_conduct(b, &p, at_ms(BAN_RECALL_MS), &c));
	bans_free(b);
}

static void test_points_fall(void **state)
{
	struct bans *b = bans_new();
	struct peer_id p = peer(1);

	/* One offence now and then is never a ban. */
	for (int64_t i = 0; i < 100; i++)
		assert_false(bans_offend(b, &p, P2P_FORGED, 40, "x", at_ms(i * 40 * BAN_FALL_MS)));
	bans_free(b);
}

static void test_repeating_lasts_longer_up_to_a_limit(void **state)
{
	struct bans *b = bans_new();
	struct peer_id p = peer(1);
	struct duration left, before = {0};

	assert_true(bans_offend(b, &p, P2P_FORGED, BAN_POINTS, "x", at_ms(0)));
	for (int i = 0; i < 20; i++) {
		assert_true(bans_check(b, &p, at_ms(0), &left, NULL));
		assert_true(left.ns >= before.ns);
		before = left;
		assert_false(bans_offend(
		    b, &p, P2P_FORGED, UINT32_MAX, "x", at_ms(0))); /* it is one already */
	}
	assert_int_equal(duration_to_ms(left), (BAN_POINTS_MAX - BAN_POINTS_FREE) * BAN_FALL_MS);
	bans_forgive(b, &p);
	assert_false(bans_check(b, &p, at_ms(0), NULL, NULL));
	bans_forgive(b, &p);
	bans_free(b);
}

static void test_the_table_is_bounded(void **state)
{
	struct bans *b = bans_new();
	struct peer_id worst = peer(60000);

	assert_true(bans_offend(b, &worst, P2P_FORGED, BAN_POINTS_MAX, "x", at_ms(0)));
	for (unsigned i = 0; i < 3 * BANS_MAX; i++) {
		struct peer_id p = peer(i);
		bans_offend(b, &p, P2P_FORGED, 10 + i % 80, "x", at_ms(0));
		assert_true(bans_count(b) <= BANS_MAX);
	}
	assert_true(bans_check(b, &worst, at_ms(0), NULL, NULL));
	/* Those with nothing left to answer for go together. */
	struct peer_id late = peer(50000);
	assert_false(
	    bans_offend(b, &late, P2P_FORGED, 1, "x", at_ms(BAN_POINTS_MAX * BAN_FALL_MS)));
	assert_int_equal(bans_count(b), 1);
	bans_free(b);
}

int run_bans_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_ban_comes_and_goes),
	    cmocka_unit_test(test_what_is_held_against_a_peer),
	    cmocka_unit_test(test_points_fall),
	    cmocka_unit_test(test_repeating_lasts_longer_up_to_a_limit),
	    cmocka_unit_test(test_the_table_is_bounded),
	};

	return cmocka_run_group_tests_name("p2p/bans", tests, NULL, NULL);
}
