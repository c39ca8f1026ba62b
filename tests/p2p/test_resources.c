/* What peers may use: bounds, the reserve for known peers, sharing among strangers, bytes a second;
 * and seeded sequences of steps during which the accounts must always agree. */
#include "p2p/resources_priv.h"
#include "suites.h"

#include <string.h>

#define PEERS 24
#define SEEDS 200
#define STEPS 600

static const struct res_limits small = {
    .total = {100, 1000, 1u << 20},
    .per_peer = {4, 600, 1u << 19},
    .reserve_percent = 20,
};

static struct instant at_ms(int64_t ms)
{
	return instant_add((struct instant){1}, duration_ms(ms));
}

/* ---- bounds -------------------------------------------------------------------------------- */

static void test_a_peer_has_its_bound(void **state)
{
	struct resources r;
	struct res_peer p = {0};
	struct err err;

	resources_init(&r, &small);
	for (int i = 0; i < 4; i++)
		assert_int_equal(resources_take(&r, &p, RES_CONNS, 1), RES_TAKEN);
	enum res_answer no = resources_take(&r, &p, RES_CONNS, 1);
	assert_int_equal(no, RES_OVER_PEER);
	assert_int_equal(resources_explain(&r, &p, RES_CONNS, no, &err), E_LIMIT);
	assert_string_equal(err.text, "the peer has 4 inbound connections, one may have 4");
	assert_int_equal(r.refused[RES_CONNS], 1);
	resources_give(&r, &p, RES_CONNS, 1);
	assert_int_equal(resources_take(&r, &p, RES_CONNS, 1), RES_TAKEN);
	assert_int_equal(resources_explain(&r, &p, RES_CONNS, RES_TAKEN, &err), 0);
}

static void test_strangers_leave_the_reserve(void **state)
{
	struct resources r;
	struct res_peer many[PEERS + 1] = {0}, friend = {.class = RES_KNOWN};
	struct err err;
	unsigned taken = 0;
	enum res_answer last = RES_TAKEN;

	resources_init(&r, &small);
	for (int i = 0; i < PEERS; i++)
		while ((last = resources_take(&r, &many[i], RES_CONNS, 1)) == RES_TAKEN)
			taken++;
	assert_int_equal(taken, 80);
	assert_int_equal(last, RES_OVER_STRANGERS);
	assert_int_equal(resources_explain(&r, &many[PEERS], RES_CONNS, last, &err), E_LIMIT);
	assert_string_equal(err.text, "strangers have 80 inbound connections of 80, this one 0");
	assert_int_equal(resources_take(&r, &friend, RES_CONNS, 1), RES_TAKEN);

	/* A stranger that becomes known makes room for another, and back again. */
	resources_set_class(&r, &many[0], RES_KNOWN);
	assert_int_equal(resources_take(&r, &many[PEERS], RES_CONNS, 1), RES_TAKEN);
	resources_set_class(&r, &many[0], RES_STRANGER);
	assert_int_equal(r.used[RES_STRANGER][RES_CONNS], 81);
	assert_int_equal(resources_take(&r, &many[PEERS], RES_CONNS, 1), RES_OVER_STRANGERS);
}

static void test_known_peers_have_the_total(void **state)
{
	struct resources r;
	struct res_peer friends[2] = {{.class = RES_KNOWN}, {.class = RES_KNOWN}};

	resources_init(&r, &small);
	assert_int_equal(resources_take(&r, &friends[0], RES_STREAMS, 600), RES_TAKEN);
	assert_int_equal(resources_take(&r, &friends[1], RES_STREAMS, 401), RES_OVER_TOTAL);
	assert_int_equal(resources_take(&r, &friends[1], RES_STREAMS, 400), RES_TAKEN);
}

static void test_the_greediest_is_found(void **state)
{
	struct resources r;
	struct res_peer p[PEERS] = {0};

	resources_init(&r, &small);
	assert_null(resources_greediest(&r, RES_STREAMS, 1));
	for (unsigned i = 0; i < PEERS; i++)
		assert_int_equal(resources_take(&r, &p[i], RES_STREAMS, i + 1), RES_TAKEN);
	assert_int_equal(resources_take(&r, &p[3], RES_STREAMS, 96), RES_TAKEN);
	assert_ptr_equal(resources_greediest(&r, RES_STREAMS, 100), &p[3]);
	assert_null(resources_greediest(&r, RES_STREAMS, 101));
	assert_null(resources_greediest(&r, RES_MEMORY, 1));
	/* Known peers do not count. */
	resources_set_class(&r, &p[3], RES_KNOWN);
	struct res_peer *next = resources_greediest(&r, RES_STREAMS, 1);
	assert_non_null(next);
	assert_true(next->used[RES_STREAMS] >= PEERS / 2);
	assert_true(next != &p[3]);
	resources_set_class(&r, &p[3], RES_STRANGER);
	resources_give(&r, &p[3], RES_STREAMS, 99);
	assert_true(resources_greediest(&r, RES_STREAMS, 2) != &p[3]);
}

/* ---- bytes a second ------------------------------------------------------------------------ */

/* Many peers that always have a piece to move; a wait is for the next piece. */
struct mover {
	struct res_peer peer;
	struct instant next;
	uint64_t piece, moved;
};

static void move_for(struct resources *r, struct mover *m, size_t n, int64_t ms)
{
	for (int64_t t = 0; t < ms; t++)
		for (size_t i = 0; i < n; i++) {
			struct mover *one = &m[(i + (size_t)t) % n];
			if (instant_before(at_ms(t), one->next))
				continue;
			struct duration wait =
			    resources_pay(r, &one->peer, RES_IN, one->piece, at_ms(t));
			one->next = instant_add(at_ms(t), wait);
			one->moved += one->piece;
		}
}

static void test_the_rate_is_kept_and_shared(void **state)
{
	const struct res_limits limits = {
	    .total = {1, 1, 1}, .per_peer = {1, 1, 1}, .reserve_percent = 20, .rate = 1000000};
	struct mover m[41];
	struct resources r;
	uint64_t sum = 0, before;

	memset(m, 0, sizeof m);
	for (int i = 0; i < 41; i++)
		m[i].piece = 1000 + 100 * (uint64_t)i;
	m[40].peer.class = RES_KNOWN;
	resources_init(&r, &limits);
	move_for(&r, m, 41, 20000);
	for (int i = 0; i < 41; i++)
		sum += m[i].moved;
	/* 20 s, a second's burst, and a piece of each. */
	assert_in_range(sum, 19 * limits.rate, 21 * limits.rate + 41 * 5000);
	/* Forty strangers all the time: the known one has its fifth. */
	assert_in_range(m[40].moved, 20 * limits.rate / 5, 21 * limits.rate / 5 + 5000);

	/* Alone, it has all. */
	before = m[40].moved;
	resources_init(&r, &limits);
	m[40].next = (struct instant){0};
	move_for(&r, &m[40], 1, 20000);
	assert_in_range(m[40].moved - before, 19 * limits.rate, 21 * limits.rate + 5000);
}

static void test_a_stranger_has_its_own_rate(void **state)
{
	const struct res_limits limits = {
	    .total = {1, 1, 1}, .per_peer = {1, 1, 1}, .rate_per_peer = 100000};
	struct mover m[2] = {{.piece = 1500}, {.piece = 1500, .peer.class = RES_KNOWN}};
	struct resources r;

	resources_init(&r, &limits);
	move_for(&r, m, 2, 10000);
	assert_in_range(m[0].moved, 10 * limits.rate_per_peer, 11 * limits.rate_per_peer + 1500);
	assert_int_equal(m[1].moved, 10000 * 1500); /* a piece a millisecond */
}

/* ---- lists --------------------------------------------------------------------------------- */

static void test_the_longest_idle_come_first(void **state)
{
	struct res_list list = {0};
	struct res_idle v[5] = {0};

	for (int i = 0; i < 5; i++)
		res_touch(&list, &v[i], at_ms(i));
	res_touch(&list, &v[0], at_ms(5));
	res_unlist(&list, &v[2]);
	res_unlist(&list, &v[2]);
	const int order[] = {1, 3, 4, 0};
	for (int i = 0; i < 4; i++) {
		assert_ptr_equal(list.oldest, &v[order[i]]);
		res_unlist(&list, list.oldest);
	}
	assert_null(list.oldest);
	assert_null(list.newest);
}

/* ---- any sequence -------------------------------------------------------------------------- */

static uint32_t draw(uint64_t *random, uint32_t below)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)(*random >> 33) % below;
}

static void check_greediest(const struct resources *r, const struct res_peer *p, enum res_kind k)
{
	const struct res_peer *found = resources_greediest(r, k, 1);
	uint64_t most = 0;

	for (int i = 0; i < PEERS; i++)
		if (p[i].class == RES_STRANGER && p[i].used[k] > most)
			most = p[i].used[k];
	assert_int_equal(found != NULL, most > 0);
	if (found) {
		assert_int_equal(found->class, RES_STRANGER);
		assert_true(found->used[k] * 2 > most);
	}
}

static void check(const struct resources *r, const struct res_peer *p, bool demoted)
{
	for (int k = 0; k < RES_KINDS; k++) {
		uint64_t sum[RES_CLASSES] = {0};
		for (int i = 0; i < PEERS; i++) {
			sum[p[i].class] += p[i].used[k];
			assert_true(p[i].used[k] <= r->limits.per_peer[k]);
		}
		assert_int_equal(sum[RES_STRANGER], r->used[RES_STRANGER][k]);
		assert_int_equal(sum[RES_KNOWN], r->used[RES_KNOWN][k]);
		assert_true(sum[RES_STRANGER] + sum[RES_KNOWN] <= r->limits.total[k]);
		assert_true(demoted || sum[RES_STRANGER] <= r->strangers_max[k]);
		check_greediest(r, p, (enum res_kind)k);
	}
}

static void step(struct resources *r, struct res_peer *p, uint64_t *random, bool *demoted)
{
	enum res_kind kind = (enum res_kind)draw(random, RES_KINDS);
	uint64_t n = kind == RES_MEMORY ? draw(random, 1u << 17) : 1 + draw(random, 3);
	enum res_answer expected;

	switch (draw(random, 8)) {
	case 0:
		*demoted |= p->class == RES_KNOWN;
		resources_set_class(r, p, p->class == RES_KNOWN ? RES_STRANGER : RES_KNOWN);
		break;
	case 1:
	case 2:
	case 3:
		n = n < p->used[kind] ? n : p->used[kind];
		resources_give(r, p, kind, n);
		break;
	default:
		expected = resources_judge(r, p, kind, n);
		assert_int_equal(resources_take(r, p, kind, n), expected);
	}
}

static void test_any_sequence_stays_within_bounds(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint64_t random = seed * 0x9E3779B97F4A7C15u;
		struct res_peer p[PEERS] = {0};
		struct resources r;
		bool demoted = false;

		resources_init(&r, &small);
		for (int i = 0; i < STEPS; i++) {
			step(&r, &p[draw(&random, PEERS)], &random, &demoted);
			check(&r, p, demoted);
		}
		for (int i = 0; i < PEERS; i++)
			for (int k = 0; k < RES_KINDS; k++)
				resources_give(&r, &p[i], (enum res_kind)k, p[i].used[k]);
		for (int k = 0; k < RES_KINDS; k++)
			assert_int_equal(r.used[RES_STRANGER][k] + r.used[RES_KNOWN][k], 0);
	}
}

int run_resources_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_peer_has_its_bound),
	    cmocka_unit_test(test_strangers_leave_the_reserve),
	    cmocka_unit_test(test_known_peers_have_the_total),
	    cmocka_unit_test(test_the_greediest_is_found),
	    cmocka_unit_test(test_the_rate_is_kept_and_shared),
	    cmocka_unit_test(test_a_stranger_has_its_own_rate),
	    cmocka_unit_test(test_the_longest_idle_come_first),
	    cmocka_unit_test(test_any_sequence_stays_within_bounds),
	};

	return cmocka_run_group_tests_name("resources", tests, NULL, NULL);
}
