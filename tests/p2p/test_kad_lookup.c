/* The lookup: finds the nearest, asks no more than it may, and is not led astray. */
#include "kad_help.h"
#include "p2p/kad_lookup_priv.h"

#define SELF 1000000

static void begin(struct kad_lookup *l, const struct kad_lookup_config *config, uint64_t target)
{
	struct peer_id self = peer_of(SELF), id = peer_of(target);
	struct kad_key key = kad_key_of_peer(&id);

	OK(kad_lookup_init(l, &key, &self, config, NULL));
}

static int by_distance(const void *a, const void *b, void *target)
{
	struct kad_key ka = kad_key_of_peer(a), kb = kad_key_of_peer(b);

	return kad_nearer(&ka, &kb, target);
}

/* A network in which every peer knows the nearest to anything among those that live in its
 * neighbourhood, a random part of all. */
#define PEERS 400
struct model {
	struct peer_id all[PEERS]; /* by distance to the target */
	bool knows[PEERS][PEERS];
	bool dead[PEERS];
	unsigned asked, most_waiting, waiting;
};

static struct model *model_new(uint64_t seed, const struct kad_key *target)
{
	struct model *m = calloc(1, sizeof *m);

	for (uint64_t i = 0; i < PEERS; i++)
		m->all[i] = peer_of(seed * PEERS + i);
	qsort_r(m->all, PEERS, sizeof m->all[0], by_distance, (void *)target);
	for (size_t i = 0; i < PEERS; i++) {
		m->dead[i] = draw(&seed) % 10 == 0;
		for (size_t j = 0; j < PEERS; j++) {
			/* Near ones are known to near ones, like in a real table. */
			size_t apart = i > j ? i - j : j - i;
			m->knows[i][j] = apart <= 20 || draw(&seed) % (1 + apart) < 4;
		}
	}
	return m;
}

static size_t index_of(const struct model *m, const struct peer_id *id)
{
	for (size_t i = 0; i < PEERS; i++)
		if (peer_id_equal(&m->all[i], id))
			return i;
	fail_msg("nobody of this network");
	return 0;
}

static void reply(struct model *m, struct kad_lookup *l, const struct peer_id *to)
{
	size_t at = index_of(m, to), n = 0;
	struct kad_peer told[20];

	m->waiting--;
	if (m->dead[at]) {
		kad_lookup_failed(l, to);
		return;
	}
	for (size_t j = 0; j < PEERS && n < 20; j++)
		if (m->knows[at][j])
			told[n++] = (struct kad_peer){.id = m->all[j]};
	kad_lookup_answered(l, to, told, n, NULL, NULL);
}

/* Runs with answers in random order. */
static void run(struct model *m, struct kad_lookup *l, uint64_t *seed)
{
	struct peer_id waiting[64], next;
	size_t n = 0;

	while (!kad_lookup_done(l)) {
		while (kad_lookup_next(l, &next)) {
			assert_true(n < 64);
			waiting[n++] = next;
			m->asked++;
			m->waiting++;
			if (m->waiting > m->most_waiting)
				m->most_waiting = m->waiting;
		}
		assert_true(n > 0);
		size_t pick = draw(seed) % n;
		struct peer_id who = waiting[pick];
		waiting[pick] = waiting[--n];
		reply(m, l, &who);
	}
	assert_int_equal(n, 0);
}

/* The living among the 20 nearest, in order. Whoever lies beyond those is not told of by peers that
 * take the dead ones for living. */
static void check_nearest(const struct model *m, const struct kad_lookup *l)
{
	struct peer_id found[20];
	size_t n = kad_lookup_closest(l, found, 20), next = 0;

	for (size_t at = 0; at < 20; at++) {
		if (m->dead[at])
			continue;
		assert_true(next < n);
		assert_true(peer_id_equal(&found[next++], &m->all[at]));
	}
}

static void test_finds_the_nearest(void **state)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct kad_lookup_config config = kad_lookup_config_default();
		struct kad_lookup l;
		uint64_t s = seed;
		config.alpha = 1 + (unsigned)(seed % 10);
		config.paths = 1 + (unsigned)(seed % 4);
		begin(&l, &config, seed);
		struct model *m = model_new(seed, &l.target);
		for (size_t i = 0; i < 8; i++)
			kad_lookup_seed(&l, &m->all[PEERS - 1 - 9 * i], KAD_NEAR);
		run(m, &l, &s);
		check_nearest(m, &l);
		assert_true(m->most_waiting <= config.alpha);
		assert_true(m->asked <= config.max_asked);
		assert_true(kad_lookup_hops(&l) > 0 && kad_lookup_hops(&l) < 20);
		kad_lookup_free(&l);
		free(m);
	}
}

static void test_nobody_known(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id next, self = peer_of(SELF);

	begin(&l, &config, 1);
	assert_true(kad_lookup_done(&l));
	kad_lookup_seed(&l, &self, KAD_NEAR);
	assert_false(kad_lookup_next(&l, &next));
	assert_true(kad_lookup_done(&l));
	assert_int_equal(kad_lookup_closest(&l, &next, 1), 0);
	kad_lookup_free(&l);
}

static void test_tries(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id id = peer_of(1), next;

	config.tries = 3;
	begin(&l, &config, 1);
	kad_lookup_seed(&l, &id, KAD_NEAR);
	for (int i = 0; i < 3; i++) {
		assert_false(kad_lookup_done(&l));
		assert_true(kad_lookup_next(&l, &next));
		assert_false(kad_lookup_next(&l, &next));
		kad_lookup_failed(&l, &id);
	}
	assert_true(kad_lookup_done(&l));
	kad_lookup_failed(&l, &id); /* not asked: ignored */
	kad_lookup_free(&l);
}

static unsigned news_count;

static void count_news(void *arg, const struct kad_peer *p)
{
	news_count++;
}

static void test_unasked_answers_are_ignored(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id id = peer_of(1), stranger = peer_of(2), next;
	struct kad_peer told = {.id = peer_of(3)};

	begin(&l, &config, 9);
	kad_lookup_seed(&l, &id, KAD_NEAR);
	news_count = 0;
	kad_lookup_answered(&l, &stranger, &told, 1, count_news, NULL);
	kad_lookup_answered(&l, &id, &told, 1, count_news, NULL);
	assert_int_equal(news_count, 0);
	assert_int_equal(l.n, 1);
	assert_true(kad_lookup_next(&l, &next));
	kad_lookup_answered(&l, &id, &told, 1, count_news, NULL);
	kad_lookup_answered(&l, &id, &told, 1, count_news, NULL);
	assert_int_equal(news_count, 1);
	assert_int_equal(l.n, 2);
	kad_lookup_free(&l);
}

/* A peer that invents peers, each nearer than the last, is paid for with few requests. */
static void test_inventions_are_bounded(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id honest[25], liar = peer_of(77), next;
	uint64_t invented = 5000;
	unsigned lost = 0;

	begin(&l, &config, 1);
	kad_lookup_seed(&l, &liar, KAD_NEAR);
	for (uint64_t i = 0; i < 25; i++) {
		honest[i] = peer_of(100 + i);
		kad_lookup_seed(&l, &honest[i], KAD_NEAR);
	}
	while (!kad_lookup_done(&l)) {
		assert_true(kad_lookup_next(&l, &next));
		bool is_honest = false;
		for (size_t i = 0; i < 25; i++)
			is_honest |= peer_id_equal(&next, &honest[i]);
		if (is_honest) {
			kad_lookup_answered(&l, &next, NULL, 0, NULL, NULL);
		} else if (peer_id_equal(&next, &liar)) {
			struct kad_peer told[20];
			for (size_t i = 0; i < 20;) { /* all nearer than anybody real */
				told[i] = (struct kad_peer){.id = peer_of(++invented)};
				struct kad_key key = kad_key_of_peer(&told[i].id);
				i += kad_shared_bits(&key, &l.target) >= 6;
			}
			kad_lookup_answered(&l, &next, told, 20, NULL, NULL);
		} else {
			lost++;
			kad_lookup_failed(&l, &next);
		}
	}
	struct peer_id found[20];
	assert_int_equal(kad_lookup_closest(&l, found, 20), 20);
	assert_int_equal(lost, KAD_BLAME_MIN);
	kad_lookup_free(&l);
}

/* Every answer brings only new, living, useless peers, for ever: the limits end it. */
static void test_endless_answers_end(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id first = peer_of(1), next;
	uint64_t fresh = 100;
	unsigned asked = 0;

	config.max_asked = 200;
	begin(&l, &config, 5);
	kad_lookup_seed(&l, &first, KAD_NEAR);
	while (!kad_lookup_done(&l)) {
		struct kad_peer told[40];
		assert_true(kad_lookup_next(&l, &next));
		asked++;
		for (size_t i = 0; i < 40; i++)
			told[i] = (struct kad_peer){.id = peer_of(++fresh)};
		size_t before = l.n;
		kad_lookup_answered(&l, &next, told, 40, NULL, NULL);
		assert_true(l.n <= before + config.k);
		assert_true(l.n <= KAD_LOOKUP_PEERS_MAX);
	}
	assert_true(asked <= 200);
	for (size_t i = 1; i < l.n; i++)
		assert_true(kad_nearer(&l.v[i - 1].key, &l.v[i].key, &l.target) < 0);
	kad_lookup_free(&l);
}

/* With several paths no peer is asked by two, and a path of lies does not stop the others. */
static void test_paths_are_disjoint(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id seeds[4], next[8];
	struct kad_peer shared = {.id = peer_of(50)};
	unsigned n = 0;

	config.paths = 4;
	config.alpha = 8;
	begin(&l, &config, 3);
	for (uint64_t i = 0; i < 4; i++) {
		seeds[i] = peer_of(10 + i);
		kad_lookup_seed(&l, &seeds[i], KAD_NEAR);
	}
	while (kad_lookup_next(&l, &next[n]))
		n++;
	assert_int_equal(n, 4); /* each path knows one */
	for (int i = 0; i < 4; i++)
		kad_lookup_answered(&l, &seeds[i], &shared, 1, NULL, NULL);
	assert_true(kad_lookup_next(&l, &next[0]));
	assert_false(kad_lookup_next(&l, &next[1]));
	assert_true(peer_id_equal(&next[0], &shared.id));
	kad_lookup_answered(&l, &shared.id, NULL, 0, NULL, NULL);
	assert_true(kad_lookup_done(&l));
	assert_int_equal(kad_lookup_closest(&l, next, 8), 5);
	assert_int_equal(kad_lookup_hops(&l), 1);
	kad_lookup_free(&l);
}

/* All that we know near the target name only each other. The one outsider knows better, though it
 * is farther away than all of them. */
static void test_a_clique_does_not_close_the_lookup(void **state)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	struct kad_lookup l;
	struct peer_id all[60], outsider, next, found[20];
	bool met = false;

	config.alpha = 1;
	begin(&l, &config, 4);
	for (uint64_t i = 0; i < 60; i++)
		all[i] = peer_of(900 + i);
	qsort_r(all, 60, sizeof all[0], by_distance, &l.target);
	outsider = all[59];
	for (size_t i = 1; i <= 20; i++)
		kad_lookup_seed(&l, &all[i], KAD_NEAR);
	kad_lookup_seed(&l, &outsider, KAD_OUTSIDER);
	while (!kad_lookup_done(&l)) {
		struct kad_peer told[20];
		assert_true(kad_lookup_next(&l, &next));
		met |= peer_id_equal(&next, &outsider);
		assert_true(met); /* it comes first */
		for (size_t i = 0; i < 20; i++)
			told[i].id = all[i + !peer_id_equal(&next, &outsider)];
		kad_lookup_answered(&l, &next, told, 20, NULL, NULL);
	}
	assert_int_equal(kad_lookup_closest(&l, found, 20), 20);
	assert_true(peer_id_equal(&found[0], &all[0]));
	kad_lookup_free(&l);
}

int run_kad_lookup_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_finds_the_nearest),
	    cmocka_unit_test(test_nobody_known),
	    cmocka_unit_test(test_tries),
	    cmocka_unit_test(test_unasked_answers_are_ignored),
	    cmocka_unit_test(test_inventions_are_bounded),
	    cmocka_unit_test(test_endless_answers_end),
	    cmocka_unit_test(test_paths_are_disjoint),
	    cmocka_unit_test(test_a_clique_does_not_close_the_lookup),
	};

	return cmocka_run_group_tests_name("kad lookup", tests, NULL, NULL);
}
