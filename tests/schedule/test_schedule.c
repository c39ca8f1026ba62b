/* The scheduler's pure pieces: scoring and ranking, breakers, back-off, means, affinity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schedule/affinity.h"
#include "schedule/breaker.h"
#include "schedule/schedule.h"
#include "schedule/speed.h"

#include <stdlib.h>
#include <string.h>

#define N 64

/* A small generator, so that a failure repeats. */
static uint64_t next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	uint64_t z = *state;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static const struct schedule_ask usual = {SCHEDULE_LOAD_BALANCE, 1000, 100};

static size_t best(const struct schedule_ask *ask, const struct schedule_facts *facts, size_t n)
{
	struct schedule_verdict verdicts[N];
	size_t order[N];
	size_t eligible = schedule_rank(ask, facts, n, verdicts, order);
	return eligible ? order[0] : SIZE_MAX;
}

/* Two equal candidates; `field` of the second is made worse, so the first wins, and the other way
 * round. */
#define WORSE_LOSES(field, good, bad)                                                              \
	do {                                                                                       \
		struct schedule_facts f[2] = {                                                     \
		    {.running = 3, .ready = true, .trust_permille = 1000},                         \
		    {.running = 3, .ready = true, .trust_permille = 1000}};                        \
		f[0].field = good;                                                                 \
		f[1].field = bad;                                                                  \
		assert_int_equal(best(&usual, f, 2), 0);                                           \
		f[0].field = bad;                                                                  \
		f[1].field = good;                                                                 \
		assert_int_equal(best(&usual, f, 2), 1);                                           \
	} while (0)

static void each_term_counts(void **state)
{
	WORSE_LOSES(queued, 0, 1);
	WORSE_LOSES(running, 0, 1);
	WORSE_LOSES(slots, 4, 0);
	WORSE_LOSES(rtt_us, 100, 200);
	WORSE_LOSES(ready, true, false);
	WORSE_LOSES(degraded, false, true);
	WORSE_LOSES(prefill_ns, 1000, 2000);
	WORSE_LOSES(decode_ns, 1000, 2000);
	WORSE_LOSES(cached_tok, 900, 0);
	WORSE_LOSES(price_in_msat, 0, 1000000);
	WORSE_LOSES(price_out_msat, 0, 1000000);
	WORSE_LOSES(failed_permille, 0, 500);
	WORSE_LOSES(trust_permille, 1000, 900);
	WORSE_LOSES(tie, 1, 2);
}

static void strategies(void **state)
{
	struct schedule_facts f[3] = {
	    {.local = true, .ready = true, .trust_permille = 1000, .decode_ns = 100000000},
	    {.ready = true,
		.trust_permille = 1000,
		.decode_ns = 50000000,
		.price_out_msat = 1000000},
	    {.ready = true,
		.trust_permille = 1000,
		.decode_ns = 1000000,
		.price_out_msat = 500000000},
	};
	struct schedule_ask ask = {SCHEDULE_PREFER_LOCAL, 100, 100};
	assert_int_equal(best(&ask, f, 3), 0); /* 5 s slower, but here */
	f[0].queued = 10;
	assert_int_equal(best(&ask, f, 3), 1);
	ask.strategy = SCHEDULE_LOCAL_ONLY;
	assert_int_equal(best(&ask, f, 3), 0);
	assert_int_equal(best(&ask, f + 1, 2), SIZE_MAX);
	ask.strategy = SCHEDULE_FASTEST;
	assert_int_equal(best(&ask, f, 3), 2);
	ask.strategy = SCHEDULE_CHEAPEST;
	assert_int_equal(best(&ask, f, 3), 0);
	ask.strategy = SCHEDULE_LOAD_BALANCE; /* 50,000 msat for 5 s saved are too much */
	assert_int_equal(best(&ask, f, 3), 1);
	for (int s = SCHEDULE_PREFER_LOCAL; s <= SCHEDULE_FASTEST; s++) {
		enum schedule_strategy back;
		assert_true(schedule_strategy_parse(
		    schedule_strategy_name((enum schedule_strategy)s), &back));
		assert_int_equal(back, s);
	}
	enum schedule_strategy none;
	assert_false(schedule_strategy_parse("cheap", &none));
}

static void the_excluded_lose(void **state)
{
	struct schedule_facts f[2] = {{.ready = true}, {.ready = false, .queued = 99}};
	for (int e = SCHEDULE_NOT_TARGET; e <= SCHEDULE_FORBIDDEN; e++) {
		f[0].excluded = (enum schedule_exclusion)e;
		assert_int_equal(best(&usual, f, 2), 1);
		assert_true(schedule_exclusion_text((enum schedule_exclusion)e)[0] != '\0');
	}
	f[1].excluded = SCHEDULE_BROKEN;
	assert_int_equal(best(&usual, f, 2), SIZE_MAX);
}

static struct schedule_facts any_facts(uint64_t *rng, bool absurd)
{
	uint64_t top = absurd ? UINT64_MAX : 100000;
	struct schedule_facts f = {
	    .excluded = next(rng) % 4 ? SCHEDULE_ELIGIBLE : SCHEDULE_FAILED,
	    .local = next(rng) % 2,
	    .ready = next(rng) % 2,
	    .degraded = next(rng) % 2,
	    .running = (uint32_t)(next(rng) % top),
	    .queued = (uint32_t)(next(rng) % top),
	    .slots = (uint32_t)(next(rng) % 5),
	    .rtt_us = (int64_t)(next(rng) % top),
	    .answer_us = (int64_t)(next(rng) % top),
	    .load_us = (int64_t)(next(rng) % top),
	    .prefill_ns = (int64_t)(next(rng) % top),
	    .decode_ns = (int64_t)(next(rng) % top),
	    .cached_tok = (int64_t)(next(rng) % top),
	    .price_in_msat = (int64_t)(next(rng) % top),
	    .price_out_msat = (int64_t)(next(rng) % top),
	    .failed_permille = (uint32_t)(next(rng) % 1001),
	    .trust_permille = (uint32_t)(next(rng) % top),
	    .tie = next(rng),
	};
	return f;
}

/* Whatever a peer claims: terms stay in range, add up, and the order is that of the totals. */
static void ranking_holds(void **state)
{
	uint64_t rng = 7;
	for (int round = 0; round < 2000; round++) {
		struct schedule_facts facts[N];
		struct schedule_verdict v[N];
		size_t order[N], n = next(&rng) % (N + 1);
		struct schedule_ask ask = {(enum schedule_strategy)(next(&rng) % 5),
		    (int64_t)(next(&rng) % 100000), (int64_t)(next(&rng) % 100000)};
		for (size_t i = 0; i < n; i++)
			facts[i] = any_facts(&rng, round % 2);
		size_t eligible = schedule_rank(&ask, facts, n, v, order), counted = 0;
		for (size_t i = 0; i < n; i++) {
			const struct schedule_terms *t = &v[i].terms;
			int64_t sum = t->queue + t->network + t->load + t->prefill + t->decode +
				      t->risk + t->away + t->price;
			assert_true(t->total >= 0 && t->total <= SCHEDULE_CAP_US);
			assert_int_equal(t->total, sum < SCHEDULE_CAP_US ? sum : SCHEDULE_CAP_US);
			counted += v[i].excluded == SCHEDULE_ELIGIBLE;
		}
		assert_int_equal(eligible, counted);
		for (size_t i = 1; i < eligible; i++)
			assert_true(v[order[i - 1]].terms.total <= v[order[i]].terms.total);
	}
}

static struct instant at_ms(int64_t ms)
{
	return (struct instant){ms * 1000000};
}

static void breaker_opens_and_closes(void **state)
{
	struct breaker b = {0};
	assert_true(breaker_allows(&b, at_ms(0)));
	breaker_begin(&b, at_ms(0));
	breaker_failure(&b, at_ms(0), UINT32_MAX); /* the longest jitter */
	assert_int_equal(breaker_state(&b, at_ms(999)), BREAKER_OPEN);
	assert_false(breaker_allows(&b, at_ms(999)));
	assert_int_equal(breaker_opens_at(&b, at_ms(10)).ns, at_ms(1000).ns);
	/* Late failures of requests that were under way do not count again. */
	breaker_failure(&b, at_ms(500), UINT32_MAX);
	assert_int_equal(breaker_opens_at(&b, at_ms(10)).ns, at_ms(1000).ns);
	/* One trial, alone. */
	assert_int_equal(breaker_state(&b, at_ms(1000)), BREAKER_HALF_OPEN);
	assert_true(breaker_allows(&b, at_ms(1000)));
	breaker_begin(&b, at_ms(1000));
	assert_false(breaker_allows(&b, at_ms(1001)));
	assert_int_equal(breaker_opens_at(&b, at_ms(1001)).ns, INSTANT_NEVER.ns);
	breaker_failure(&b, at_ms(1100), UINT32_MAX);
	assert_false(breaker_allows(&b, at_ms(3099)));
	assert_true(breaker_allows(&b, at_ms(3100)));
	/* A cancelled trial tells nothing: the next one may try. */
	breaker_begin(&b, at_ms(3100));
	breaker_nothing(&b);
	assert_true(breaker_allows(&b, at_ms(3101)));
	breaker_begin(&b, at_ms(3101));
	breaker_success(&b);
	assert_int_equal(breaker_state(&b, at_ms(3102)), BREAKER_CLOSED);
	breaker_begin(&b, at_ms(3102));
	breaker_failure(&b, at_ms(3102), UINT32_MAX); /* from the start again */
	assert_true(breaker_allows(&b, at_ms(4102)));
}

static void backoff_grows_to_its_end(void **state)
{
	uint64_t rng = 3;
	for (unsigned attempt = 0; attempt < 70; attempt++) {
		int64_t full = attempt < 6 ? 1000 << attempt : 60000;
		if (full > 60000)
			full = 60000;
		for (int i = 0; i < 50; i++) {
			struct duration d = backoff_wait(
			    attempt, duration_ms(1000), duration_ms(60000), (uint32_t)next(&rng));
			assert_in_range(d.ns, full * 500000, full * 1000000);
		}
	}
}

static void means_follow(void **state)
{
	struct speed s = {0};
	struct speed_sample slow = {duration_ms(100), duration_ms(1100), 100, 10};
	speed_answered(&s, &slow);
	assert_int_equal(s.answer_us, 1100000);
	assert_int_equal(s.prefill_ns, 1000000);
	assert_int_equal(s.decode_ns, 100000000);
	struct speed_sample fast = {duration_ms(10), duration_ms(110), 100, 10};
	for (int i = 0; i < 100; i++)
		speed_answered(&s, &fast);
	assert_in_range(s.prefill_ns, 100000, 101000);
	/* What is not known changes nothing. */
	struct speed before = s;
	speed_answered(&s, &(struct speed_sample){duration_ms(10),
			       s.answer_us ? duration_us(s.answer_us) : duration_ms(1), -1, -1});
	assert_int_equal(s.prefill_ns, before.prefill_ns);
	assert_int_equal(s.decode_ns, before.decode_ns);
	for (int i = 0; i < 100; i++)
		speed_failed(&s);
	assert_in_range(s.failed_permille, 990, 1000);
	for (int i = 0; i < 100; i++)
		speed_answered(&s, &fast);
	assert_in_range(s.failed_permille, 0, 10);
}

static void affinity_remembers_the_latest(void **state)
{
	struct affinity *a = affinity_new();
	uint64_t provider, rng = 11;
	int64_t tok;
	assert_false(affinity_get(a, 5, &provider, &tok));
	affinity_put(a, 5, 1, 100);
	affinity_put(a, 5, 2, 200); /* moved */
	assert_true(affinity_get(a, 5, &provider, &tok));
	assert_int_equal(provider, 2);
	assert_int_equal(tok, 200);
	for (int i = 0; i < 100000; i++)
		affinity_put(a, next(&rng), 3, 1);
	assert_false(affinity_get(a, 5, &provider, &tok)); /* made room */
	affinity_put(a, 0, 4, 7);                          /* no fingerprint is special */
	assert_true(affinity_get(a, 0, &provider, &tok));
	assert_int_equal(provider, 4);
	affinity_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_term_counts),
	    cmocka_unit_test(strategies),
	    cmocka_unit_test(the_excluded_lose),
	    cmocka_unit_test(ranking_holds),
	    cmocka_unit_test(breaker_opens_and_closes),
	    cmocka_unit_test(backoff_grows_to_its_end),
	    cmocka_unit_test(means_follow),
	    cmocka_unit_test(affinity_remembers_the_latest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
