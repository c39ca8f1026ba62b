/* The routing table: who enters, who stays, who is checked, and that floods change little. */
#include "kad_help.h"
#include "p2p/kad_table_priv.h"

#define SELF 1000000

static const struct kad_net anywhere;

static struct instant at_s(int64_t s)
{
	return (struct instant){s * 1000000000};
}

static void begin(struct kad_table *t, size_t k)
{
	struct kad_table_config config = kad_table_config_default();
	struct peer_id self = peer_of(SELF);

	config.k = k;
	kad_table_init(t, &self, &config, at_s(1));
}

static struct kad_net net_of(const char *addr)
{
	struct multiaddr a = addr_of(addr);

	return kad_net_of(&a);
}

static unsigned bucket_of(const struct kad_table *t, const struct peer_id *id)
{
	struct kad_key key = kad_key_of_peer(id);

	return kad_shared_bits(&key, &t->key);
}

/* The next peer of a bucket, by number. */
static struct peer_id peer_in(const struct kad_table *t, unsigned bucket, uint64_t *n)
{
	struct peer_id id = peer_of(++*n);

	while (bucket_of(t, &id) != bucket)
		id = peer_of(++*n);
	return id;
}

static void check(const struct kad_table *t)
{
	size_t candidates = 0;

	for (unsigned b = 0; b < KAD_BITS; b++) {
		assert_true(kad_table_count(t, b, KAD_MEMBER) <= t->config.k);
		assert_true(kad_table_count(t, b, KAD_SPARE) <= KAD_SPARES_MAX);
		candidates += kad_table_count(t, b, KAD_CANDIDATE);
	}
	assert_true(candidates <= KAD_CANDIDATES_MAX);
	for (size_t i = 0; i < t->n; i++) {
		assert_false(peer_id_equal(&t->v[i].id, &t->self));
		assert_ptr_equal(kad_table_find(t, &t->v[i].id), &t->v[i]);
	}
}

static void test_nobody_enters_unverified(void **state)
{
	struct kad_table t;
	struct peer_id id = peer_of(1), self = peer_of(SELF), next;

	begin(&t, 20);
	assert_true(kad_table_suggest(&t, &id, &anywhere, at_s(1)));
	assert_false(kad_table_suggest(&t, &id, &anywhere, at_s(1)));
	assert_false(kad_table_suggest(&t, &self, &anywhere, at_s(1)));
	assert_false(kad_table_answered(&t, &self, &anywhere, at_s(1)));
	assert_int_equal(kad_table_members(&t), 0);
	assert_true(kad_table_next_check(&t, at_s(1), &next));
	assert_true(peer_id_equal(&next, &id));
	assert_false(kad_table_next_check(&t, at_s(2), &next)); /* under way */
	assert_true(kad_table_answered(&t, &id, &anywhere, at_s(2)));
	assert_int_equal(kad_table_members(&t), 1);
	check(&t);
	kad_table_free(&t);
}

static void test_a_candidate_that_fails_is_forgotten(void **state)
{
	struct kad_table t;
	struct peer_id id = peer_of(1), next;

	begin(&t, 20);
	assert_true(kad_table_suggest(&t, &id, &anywhere, at_s(1)));
	assert_true(kad_table_next_check(&t, at_s(1), &next));
	kad_table_failed(&t, &id, at_s(2));
	assert_int_equal(t.n, 0);
	/* A check whose outcome was never told is made again. */
	assert_true(kad_table_suggest(&t, &id, &anywhere, at_s(2)));
	assert_true(kad_table_next_check(&t, at_s(2), &next));
	assert_true(kad_table_next_check(&t, at_s(2 + KAD_CHECK_S), &next));
	kad_table_free(&t);
}

/* Members keep their place as long as they answer, however many newcomers there are. */
static void test_long_lived_stay(void **state)
{
	struct kad_table t;
	struct peer_id old[4], next;
	uint64_t n = 0;

	begin(&t, 4);
	for (int i = 0; i < 4; i++) {
		old[i] = peer_in(&t, 0, &n);
		assert_true(kad_table_answered(&t, &old[i], &anywhere, at_s(10)));
	}
	for (int i = 0; i < 1000; i++) {
		struct peer_id id = peer_in(&t, 0, &n);
		assert_false(kad_table_suggest(&t, &id, &anywhere, at_s(20)));
		id = peer_in(&t, 0, &n);
		assert_false(kad_table_answered(&t, &id, &anywhere, at_s(20)));
	}
	check(&t);
	assert_int_equal(t.n, 4 + KAD_SPARES_MAX);
	for (int i = 0; i < 4; i++)
		assert_int_equal(kad_table_find(&t, &old[i])->standing, KAD_MEMBER);
	/* Others wait: the silent ones are asked sooner, the longest silent first. */
	assert_false(kad_table_next_check(&t, at_s(10 + KAD_HURRY_S - 1), &next));
	assert_true(kad_table_answered(&t, &old[0], &anywhere, at_s(50)));
	assert_true(kad_table_next_check(&t, at_s(10 + KAD_HURRY_S), &next));
	assert_false(peer_id_equal(&next, &old[0]));
	/* One that fails for good gives way to the freshest spare, once that is checked. */
	struct peer_id gone = next;
	for (int i = 0; i < KAD_FAILURES_MAX; i++) {
		assert_non_null(kad_table_find(&t, &gone));
		for (int j = 0; j < 5; j++) /* at one time: one failure */
			kad_table_failed(&t, &gone, at_s(100 + i * KAD_CHECK_S));
	}
	assert_null(kad_table_find(&t, &gone));
	assert_int_equal(kad_table_count(&t, 0, KAD_CANDIDATE), 1);
	assert_true(kad_table_next_check(&t, at_s(301), &next));
	assert_int_equal(kad_table_find(&t, &next)->standing, KAD_CANDIDATE);
	assert_true(kad_table_answered(&t, &next, &anywhere, at_s(302)));
	assert_int_equal(kad_table_count(&t, 0, KAD_MEMBER), 4);
	check(&t);
	kad_table_free(&t);
}

static void test_an_answer_forgives_failures(void **state)
{
	struct kad_table t;
	struct peer_id id = peer_of(1);

	begin(&t, 4);
	assert_true(kad_table_answered(&t, &id, &anywhere, at_s(1)));
	for (int i = 0; i < 10; i++) {
		for (int j = 0; j < KAD_FAILURES_MAX - 1; j++)
			kad_table_failed(&t, &id, at_s(1000 * i + KAD_CHECK_S * j));
		assert_true(kad_table_answered(&t, &id, &anywhere, at_s(1000 * i + 500)));
	}
	kad_table_remove(&t, &id, at_s(3));
	assert_int_equal(t.n, 0);
	kad_table_free(&t);
}

static void test_networks(void **state)
{
	struct kad_net a = net_of("/ip4/8.8.8.1/tcp/1"), b = net_of("/ip6/2600:1:2:3::1/tcp/1");

	assert_int_equal(a.n, 3);
	assert_int_equal(a.wide, 2);
	assert_memory_equal(a.bytes, "\x08\x08\x08", 3);
	assert_int_equal(b.n, 6);
	assert_memory_equal(b.bytes, "\x26\x00\x00\x01\x00\x02", 6);
	assert_int_equal(net_of("/ip4/127.0.0.1/tcp/1").n, 0);
	assert_int_equal(net_of("/ip4/10.1.2.3/tcp/1").n, 0);
	assert_int_equal(net_of("/dns4/example.org/tcp/1").n, 0);
}

/* One who has a /24 or a /16 and any number of identities takes only so many places. */
static void test_diversity(void **state)
{
	struct kad_table t;
	struct kad_net narrow = net_of("/ip4/8.8.8.1/tcp/1");
	uint64_t n = 0;

	begin(&t, 20);
	for (int i = 0; i < 20000; i++) {
		struct peer_id id = peer_of(++n);
		(void)kad_table_answered(&t, &id, &narrow, at_s(1));
	}
	assert_int_equal(kad_table_members(&t), t.config.narrow_per_table);
	for (unsigned b = 0; b < KAD_BITS; b++)
		assert_true(kad_table_count(&t, b, KAD_MEMBER) <= t.config.narrow_per_bucket);
	for (int i = 0; i < 20000; i++) {
		struct peer_id id = peer_of(++n);
		struct kad_net net = narrow;
		net.bytes[2] = (uint8_t)i;
		(void)kad_table_answered(&t, &id, &net, at_s(1));
	}
	assert_int_equal(kad_table_members(&t), t.config.wide_per_table);
	/* Others still find room. */
	struct kad_net other = net_of("/ip4/9.9.9.9/tcp/1");
	struct peer_id id = peer_of(++n);
	assert_true(kad_table_answered(&t, &id, &other, at_s(1)));
	check(&t);
	kad_table_free(&t);
}

static void test_candidates_of_one_network_do_not_crowd_out_others(void **state)
{
	struct kad_table t;
	struct kad_net flood = net_of("/ip4/8.8.8.1/tcp/1"), other = net_of("/ip4/9.9.9.9/tcp/1");
	struct peer_id id;

	begin(&t, 20);
	for (uint64_t n = 1; n < 10000; n++) {
		id = peer_of(n);
		(void)kad_table_suggest(&t, &id, &flood, at_s(1));
	}
	id = peer_of(10000);
	assert_true(kad_table_suggest(&t, &id, &other, at_s(1)));
	check(&t);
	kad_table_free(&t);
}

static int by_distance(const void *a, const void *b, void *target)
{
	struct kad_key ka = kad_key_of_peer(a), kb = kad_key_of_peer(b);

	return kad_nearer(&ka, &kb, target);
}

static void test_closest_against_a_sort(void **state)
{
	const struct kad_entry *near[25];
	struct peer_id all[500], except;
	struct kad_table t;
	uint64_t seed = 3;

	begin(&t, 500);
	for (uint64_t i = 0; i < 500; i++) {
		all[i] = peer_of(i);
		assert_true(kad_table_answered(&t, &all[i], &anywhere, at_s(1)));
	}
	for (int round = 0; round < 50; round++) {
		struct peer_id target_id = peer_of(draw(&seed));
		struct kad_key target = kad_key_of_peer(&target_id);
		size_t cap = draw(&seed) % 26, skipped = 0;
		qsort_r(all, 500, sizeof all[0], by_distance, &target);
		except = all[draw(&seed) % 30];
		size_t n = kad_table_closest(&t, &target, &except, near, cap);
		assert_int_equal(n, cap);
		for (size_t i = 0; i < n; i++) {
			skipped += peer_id_equal(&all[i + skipped], &except);
			assert_true(peer_id_equal(&near[i]->id, &all[i + skipped]));
		}
	}
	kad_table_free(&t);
}

static void test_refresh(void **state)
{
	struct kad_table t;
	struct peer_id id;
	struct kad_key key;
	uint64_t n = 0;

	begin(&t, 20);
	for (unsigned b = 0; b <= KAD_REFRESH_BITS; b++) {
		kad_table_refresh_id(&t, b, 12345 + b, &id);
		assert_int_equal(bucket_of(&t, &id), b);
	}
	assert_false(kad_table_refresh_due(&t, 2, at_s(1000), duration_s(600)));
	id = peer_in(&t, 2, &n);
	assert_true(kad_table_answered(&t, &id, &anywhere, at_s(1)));
	assert_true(kad_table_refresh_due(&t, 2, at_s(1000), duration_s(600)));
	assert_false(kad_table_refresh_due(&t, 3, at_s(1000), duration_s(600)));
	assert_false(kad_table_refresh_due(&t, 2, at_s(600), duration_s(600)));
	kad_table_refresh_id(&t, 2, 1, &id);
	key = kad_key_of_peer(&id);
	kad_table_refreshed(&t, &key, at_s(900));
	assert_false(kad_table_refresh_due(&t, 2, at_s(1000), duration_s(600)));
	kad_table_refreshed(&t, &t.key, at_s(900)); /* ourselves: no bucket */
	kad_table_free(&t);
}

/* Anything in any order: the invariants hold. */
static void test_random_walk(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct kad_table t;
		uint64_t s = seed;
		begin(&t, 3);
		for (int i = 0; i < 2000; i++) {
			struct peer_id id = peer_of(draw(&s) % 200), next;
			struct kad_net net = {
			    .n = 3, .wide = 2, .bytes = {1, draw(&s) % 2, draw(&s) % 4}};
			struct instant now = at_s(1 + i * (int64_t)(draw(&s) % 40));
			switch (draw(&s) % 5) {
			case 0:
				(void)kad_table_suggest(&t, &id, &net, now);
				break;
			case 1:
				(void)kad_table_answered(&t, &id, &net, now);
				break;
			case 2:
				kad_table_failed(&t, &id, now);
				break;
			case 3:
				if (kad_table_next_check(&t, now, &next))
					assert_non_null(kad_table_find(&t, &next));
				break;
			default:
				if (draw(&s) % 8 == 0)
					kad_table_remove(&t, &id, now);
			}
			if (i % 50 == 0)
				check(&t);
		}
		check(&t);
		kad_table_free(&t);
	}
}

int run_kad_table_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nobody_enters_unverified),
	    cmocka_unit_test(test_a_candidate_that_fails_is_forgotten),
	    cmocka_unit_test(test_long_lived_stay),
	    cmocka_unit_test(test_an_answer_forgives_failures),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_diversity),
	    cmocka_unit_test(test_candidates_of_one_network_do_not_crowd_out_others),
	    cmocka_unit_test(test_closest_against_a_sort),
	    cmocka_unit_test(test_refresh),
	    cmocka_unit_test(test_random_walk),
	};

	return cmocka_run_group_tests_name("kad table", tests, NULL, NULL);
}
