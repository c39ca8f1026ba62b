/* Records and providers: validators decide, limits hold, time removes. */
#include "kad_help.h"
#include "p2p/kad_store_priv.h"

#include <stdio.h>

static struct instant at_s(int64_t s)
{
	return (struct instant){s * 1000000000};
}

/* Values begin with 'v'; the greater one is better. */
static int begins_with_v(void *arg, struct bytes key, struct bytes value, struct err *err)
{
	if (value.n > 0 && value.p[0] == 'v')
		return 0;
	return err_set(err, E_INVALID, "no v");
}

static bool greater(void *arg, struct bytes key, struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = memcmp(a.p, b.p, n);

	return c < 0 || (c == 0 && a.n < b.n);
}

static const struct p2p_kad_validator validators[] = {
    {.prefix = "/v/", .validate = begins_with_v, .prefers = greater},
    {.prefix = "/first/", .validate = begins_with_v},
};

static void begin(struct kad_store *s)
{
	struct kad_key self = kad_key_of(bytes_str("self"));

	kad_store_init(s, &self, validators, 2);
}

static int put(struct kad_store *s, const char *key, const char *value, int64_t now)
{
	return kad_store_put(s, bytes_str(key), bytes_str(value), at_s(now), now * 1000, NULL);
}

static void check_value(struct kad_store *s, const char *key, int64_t now, const char *value)
{
	struct kad_stored found;

	assert_int_equal(kad_store_get(s, bytes_str(key), at_s(now), &found), value != NULL);
	if (value)
		assert_true(bytes_equal(found.value, bytes_str(value)));
}

static void test_validators(void **state)
{
	struct kad_store s;

	begin(&s);
	OK(put(&s, "/v/a", "v1", 1));
	assert_int_equal(put(&s, "/v/a", "x", 1), E_INVALID);
	assert_int_equal(put(&s, "/other/a", "v1", 1), E_UNSUPPORTED);
	assert_int_equal(put(&s, "/v", "v1", 1), E_UNSUPPORTED);
	assert_int_equal(put(&s, "/v/", "v1", 1), E_UNSUPPORTED); /* a prefix and nothing else */
	check_value(&s, "/v/a", 1, "v1");
	check_value(&s, "/v/b", 1, NULL);
	kad_store_free(&s);
}

/* SPEC kad-dht: a value is overwritten only by one that the validator selects. */
static void test_selection(void **state)
{
	struct kad_store s;
	struct kad_stored found;

	begin(&s);
	OK(put(&s, "/v/a", "v2", 1));
	assert_int_equal(put(&s, "/v/a", "v1", 2), E_EXISTS);
	OK(put(&s, "/v/a", "v3", 3));
	check_value(&s, "/v/a", 3, "v3");
	OK(put(&s, "/first/a", "v1", 1));
	assert_int_equal(put(&s, "/first/a", "v2", 1), E_EXISTS);
	OK(put(&s, "/first/a", "v1", 100)); /* the same: renewed */
	assert_true(kad_store_get(&s, bytes_str("/first/a"), at_s(100), &found));
	assert_int_equal(found.received_wall_ms, 100000);
	assert_int_equal(s.n_records, 2);
	kad_store_free(&s);
}

static void test_records_expire(void **state)
{
	struct kad_store s;

	begin(&s);
	OK(put(&s, "/v/a", "v9", 1));
	check_value(&s, "/v/a", KAD_EXPIRE_S, "v9");
	check_value(&s, "/v/a", 1 + KAD_EXPIRE_S, NULL);
	OK(put(&s, "/v/a", "v1", 1 + KAD_EXPIRE_S)); /* the old one counts no more */
	check_value(&s, "/v/a", 2 + KAD_EXPIRE_S, "v1");
	kad_store_sweep(&s, at_s(2 + 2 * KAD_EXPIRE_S));
	assert_int_equal(s.n_records, 0);
	assert_int_equal(s.record_bytes, 0);
	kad_store_free(&s);
}

/* Full: the nearest to us stay, in number and in bytes. */
static void test_records_are_bounded(void **state)
{
	struct kad_store s;
	char key[32];
	char *big = malloc(KAD_VALUE_MAX + 2);
	struct kad_key farthest;
	unsigned refused = 0;

	begin(&s);
	farthest = s.self;
	for (int i = 0; i < 4 * KAD_RECORDS_MAX; i++) {
		snprintf(key, sizeof key, "/v/%d", i);
		int rc = put(&s, key, "v", 1);
		assert_true(rc == 0 || rc == E_LIMIT);
		refused += rc != 0;
	}
	assert_int_equal(s.n_records, KAD_RECORDS_MAX);
	assert_true(refused > 0);
	for (int i = 0; i < 4 * KAD_RECORDS_MAX; i++) {
		struct kad_stored found;
		snprintf(key, sizeof key, "/v/%d", i);
		struct kad_key place = kad_key_of(bytes_str(key));
		if (kad_store_get(&s, bytes_str(key), at_s(1), &found) &&
		    kad_nearer(&farthest, &place, &s.self) < 0)
			farthest = place;
	}
	size_t nearest = 0;
	for (int i = 0; i < 4 * KAD_RECORDS_MAX; i++) {
		snprintf(key, sizeof key, "/v/%d", i);
		struct kad_key place = kad_key_of(bytes_str(key));
		nearest += kad_nearer(&place, &farthest, &s.self) <= 0;
	}
	assert_int_equal(nearest, KAD_RECORDS_MAX); /* of all that came, exactly the nearest */
	memset(big, 'v', KAD_VALUE_MAX + 1);
	big[KAD_VALUE_MAX + 1] = 0;
	assert_int_equal(put(&s, "/v/big", big, 1), E_TOO_LARGE);
	big[KAD_VALUE_MAX] = 0;
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "/v/big%d", i);
		(void)put(&s, key, big, 1);
		assert_true(s.record_bytes <= KAD_RECORD_BYTES_MAX);
	}
	free(big);
	kad_store_free(&s);
}

/* ---- providers ----------------------------------------------------------------------------- */

static struct bytes multihash(uint64_t n, uint8_t out[34])
{
	struct peer_id id = peer_of(n);

	memcpy(out, id.bytes, 34);
	return bytes_of(out, 34);
}

struct seen {
	size_t n, with_addrs;
	struct peer_id last;
};

static void see(void *arg, const struct kad_provider *p)
{
	struct seen *s = arg;

	s->n++;
	s->with_addrs += p->addrs.n > 0;
	s->last = p->id;
}

static struct seen providers(struct kad_store *s, struct bytes key, int64_t now)
{
	struct seen seen = {0};

	kad_store_providers(s, key, at_s(now), see, &seen);
	return seen;
}

static int provide(struct kad_store *s, struct bytes key, uint64_t peer, int64_t now)
{
	struct multiaddr a = addr_of("/ip4/1.2.3.4/tcp/5");
	struct peer_id id = peer_of(peer);

	return kad_store_provide(s, key, &id, &a, 1, at_s(now), NULL);
}

static void test_keys_are_multihashes(void **state)
{
	struct kad_store s;

	begin(&s);
	assert_int_equal(provide(&s, bytes_str("key"), 1, 1), E_INVALID);
	assert_int_equal(provide(&s, bytes_str(""), 1, 1), E_INVALID);
	assert_int_equal(provide(&s, bytes_of("\x12\x02xyz", 5), 1, 1), E_INVALID);
	assert_int_equal(provide(&s, bytes_of("\x12\x00", 2), 1, 1), E_INVALID);
	OK(provide(&s, bytes_of("\x12\x03xyz", 5), 1, 1));
	assert_int_equal(s.n_provided, 1);
	kad_store_free(&s);
}

static void test_providers_expire(void **state)
{
	struct kad_store s;
	uint8_t raw[34];
	struct bytes key = multihash(1, raw);

	begin(&s);
	OK(provide(&s, key, 1, 1));
	OK(provide(&s, key, 2, 2));
	OK(provide(&s, key, 1, 3)); /* renewed: now the freshest */
	struct seen seen = providers(&s, key, 4);
	struct peer_id first = peer_of(1);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.with_addrs, 2);
	assert_true(peer_id_equal(&seen.last, &first));
	seen = providers(&s, key, 2 + KAD_ADDRESS_EXPIRE_S);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.with_addrs, 1);
	assert_int_equal(providers(&s, key, 2 + KAD_EXPIRE_S).n, 1);
	kad_store_sweep(&s, at_s(2 + KAD_EXPIRE_S));
	assert_int_equal(s.n_providers, 1);
	kad_store_sweep(&s, at_s(3 + KAD_EXPIRE_S));
	assert_int_equal(s.n_provided, 0);
	assert_null(s.loads);
	kad_store_free(&s);
}

/* A crowd of identities does not displace those who renew. */
static void test_providers_of_a_key_are_bounded(void **state)
{
	struct kad_store s;
	uint8_t raw[34];
	struct bytes key = multihash(1, raw);

	begin(&s);
	for (uint64_t i = 0; i < KAD_PROVIDERS_PER_KEY_MAX; i++)
		OK(provide(&s, key, i, 1));
	for (uint64_t i = 1000; i < 2000; i++)
		assert_int_equal(provide(&s, key, i, 2), E_LIMIT);
	OK(provide(&s, key, 0, KAD_REPUBLISH_S)); /* one renews, the others missed it */
	for (uint64_t i = 1000; i < 2000; i++)
		(void)provide(&s, key, i, KAD_REPUBLISH_S + 3700);
	struct peer_id faithful = peer_of(0);
	bool stays = false;
	struct seen seen = providers(&s, key, KAD_REPUBLISH_S + 3700);
	assert_int_equal(seen.n, KAD_PROVIDERS_PER_KEY_MAX);
	OK(provide(&s, key, 0, KAD_REPUBLISH_S + 3701));
	seen = providers(&s, key, KAD_REPUBLISH_S + 3701);
	stays = peer_id_equal(&seen.last, &faithful);
	assert_true(stays && seen.n == KAD_PROVIDERS_PER_KEY_MAX);
	kad_store_free(&s);
}

static void test_keys_are_bounded(void **state)
{
	struct kad_store s;
	uint8_t raw[34];
	int last = 0;

	begin(&s);
	for (uint64_t i = 0; i <= KAD_KEYS_PER_PROVIDER_MAX; i++)
		last = provide(&s, multihash(i, raw), 1, 1);
	assert_int_equal(last, E_LIMIT); /* one peer */
	assert_int_equal(s.n_provided, KAD_KEYS_PER_PROVIDER_MAX);
	for (uint64_t i = 0; i < 4 * KAD_PROVIDED_KEYS_MAX; i++)
		(void)provide(&s, multihash(10000 + i, raw), 2 + i / 100, 1);
	assert_int_equal(s.n_provided, KAD_PROVIDED_KEYS_MAX);
	for (uint64_t i = 0; i < 300; i++)
		for (uint64_t peer = 0; peer < 40; peer++)
			(void)provide(&s, multihash(10000 + i, raw), 5000 + peer, 1);
	assert_true(s.n_providers <= KAD_PROVIDERS_MAX);
	kad_store_free(&s);
}

int run_kad_store_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_validators),
	    cmocka_unit_test(test_selection),
	    cmocka_unit_test(test_records_expire),
	    cmocka_unit_test(test_records_are_bounded),
	    cmocka_unit_test(test_keys_are_multihashes),
	    cmocka_unit_test(test_providers_expire),
	    cmocka_unit_test(test_providers_of_a_key_are_bounded),
	    cmocka_unit_test(test_keys_are_bounded),
	};

	return cmocka_run_group_tests_name("kad store", tests, NULL, NULL);
}
