/* Sampling: every stage of the chain on distributions small enough to know, and determinism. */
#include "engine/sampler.h"

#include "text_test.h"

#include <math.h>

#define N 6

/* Draws `n` times from fresh copies of the logits; counts by id. */
static void draw(struct sampler_params p, const float logits[N], int n, int counts[N])
{
	memset(counts, 0, N * sizeof *counts);
	for (int i = 0; i < n; i++) {
		struct sampler *s;
		float copy[N];
		int32_t id;
		p.seed = (uint64_t)i;
		memcpy(copy, logits, sizeof copy);
		assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
		sampler_penalize(s, copy);
		assert_int_equal(sampler_pick(s, copy, &id, NULL), 0);
		assert_in_range(id, 0, N - 1);
		counts[id]++;
		sampler_free(s);
	}
}

/* Probabilities .4 .3 .15 .1 .04 .01, not in order. */
static const float LOGITS[N] = {
    -2.302585F, -0.916291F, -4.605170F, -1.203973F, -3.218876F, -1.897120F};

static void greedy_takes_the_best(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	int counts[N];
	p.temperature = 0;
	draw(p, LOGITS, 5, counts);
	assert_int_equal(counts[1], 5);
	const float equal[N] = {1, 2, 2, 2, 0, 1};
	draw(p, equal, 5, counts);
	assert_int_equal(counts[1], 5);
}

static void plain_draws_follow_the_probabilities(void **state)
{
	(void)state;
	static const double WANT[N] = {0.1, 0.4, 0.01, 0.3, 0.04, 0.15};
	int counts[N];
	draw(SAMPLER_DEFAULTS, LOGITS, 20000, counts);
	for (int i = 0; i < N; i++)
		assert_true(fabs(counts[i] / 20000.0 - WANT[i]) < 0.015);
}

static void temperature_sharpens(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	int counts[N];
	p.temperature = 0.1F;
	draw(p, LOGITS, 2000, counts);
	/* .4^10 against .3^10 */
	assert_true(counts[1] > 1800 && counts[3] > 50 && counts[0] == 0);
}

static void filters_keep_the_best(void **state)
{
	(void)state;
	static const struct {
		uint32_t top_k;
		float top_p, min_p;
		int kept; /* of the order 1 3 5 0 4 2 */
	} CASES[] = {{2, 1, 0, 2}, {1, 1, 0, 1}, {100, 1, 0, 6}, {0, 0.65F, 0, 2}, {0, 0.75F, 0, 3},
	    {0, 0, 0, 1}, {0, 1, 0.3F, 3}, {0, 1, 0.2F, 4}, {0, 1, 1, 1}, {3, 0.5F, 0, 2},
	    {4, 0.99F, 0.3F, 3}};
	static const int ORDER[N] = {1, 3, 5, 0, 4, 2};
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		struct sampler_params p = SAMPLER_DEFAULTS;
		int counts[N];
		p.top_k = CASES[i].top_k;
		p.top_p = CASES[i].top_p;
		p.min_p = CASES[i].min_p;
		draw(p, LOGITS, 3000, counts);
		for (int k = 0; k < N; k++)
			assert_int_equal(counts[ORDER[k]] > 0, k < CASES[i].kept);
	}
}

static int32_t pick(struct sampler *s)
{
	float logits[N] = {1, 3, 2.5F, 2, -1, -2};
	int32_t id;
	sampler_penalize(s, logits);
	assert_int_equal(sampler_pick(s, logits, &id, NULL), 0);
	sampler_see_generated(s, id);
	return id;
}

static void penalties_move_on(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	struct sampler *s;
	p.temperature = 0;
	p.presence_penalty = 0.8F;
	assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
	assert_int_equal(pick(s), 1); /* 3, now 2.2 */
	assert_int_equal(pick(s), 2); /* 2.5, now 1.7 */
	assert_int_equal(pick(s), 1); /* presence counts once */
	assert_int_equal(pick(s), 1);
	sampler_free(s);
	p.presence_penalty = 0;
	p.frequency_penalty = 0.3F;
	assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
	static const int32_t WANT[] = {1, 1, 2, 1, 2, 1, 3};
	for (size_t i = 0; i < sizeof WANT / sizeof WANT[0]; i++)
		assert_int_equal(pick(s), WANT[i]);
	sampler_free(s);
}

static void repetition_has_a_window(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	struct sampler *s;
	p.temperature = 0;
	p.repeat_penalty = 10;
	p.repeat_last_n = 2;
	assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
	sampler_see_prompt(s, 2);
	sampler_see_prompt(s, 1);
	assert_int_equal(pick(s), 3); /* 1 and 2 are recent; now 1 and 3 */
	assert_int_equal(pick(s), 2); /* 2 has left the window; now 3 and 2 */
	assert_int_equal(pick(s), 1);
	sampler_see_prompt(s, -1); /* ids outside the vocabulary are no tokens */
	sampler_see_prompt(s, N);
	sampler_free(s);
}

static void biases_ban_and_force(void **state)
{
	(void)state;
	static const struct logit_bias BIASES[] = {{1, -INFINITY}, {4, 100}};
	struct sampler_params p = SAMPLER_DEFAULTS;
	int counts[N];
	p.biases = BIASES;
	p.n_biases = 1;
	draw(p, LOGITS, 1000, counts);
	assert_int_equal(counts[1], 0);
	p.n_biases = 2;
	draw(p, LOGITS, 1000, counts);
	assert_int_equal(counts[4], 1000);
}

static void equal_seeds_give_equal_tokens(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	struct sampler *a, *b, *c;
	int same = 0;
	p.seed = 7;
	assert_int_equal(sampler_new(&p, N, &a, NULL), 0);
	assert_int_equal(sampler_new(&p, N, &b, NULL), 0);
	p.seed = 8;
	assert_int_equal(sampler_new(&p, N, &c, NULL), 0);
	for (int i = 0; i < 100; i++) {
		int32_t x = pick(a);
		assert_int_equal(x, pick(b));
		same += x == pick(c);
	}
	assert_true(same < 100);
	sampler_free(a);
	sampler_free(b);
	sampler_free(c);
}

/* Whoever takes over after k tokens draws what the first would have drawn. */
static void a_sampler_that_takes_over_draws_alike(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	p.seed = 11;
	p.frequency_penalty = 0.4F;
	p.repeat_penalty = 1.1F;
	int32_t whole[40];
	struct sampler *s;
	assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
	for (int i = 0; i < 40; i++)
		whole[i] = pick(s);
	sampler_free(s);
	for (int k = 0; k < 40; k++) {
		assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
		for (int i = 0; i < k; i++)
			sampler_see_generated(s, whole[i]);
		for (int i = k; i < 40; i++)
			assert_int_equal(pick(s), whole[i]);
		sampler_free(s);
	}
}

static void choices_have_seeds_of_their_own(void **state)
{
	(void)state;
	assert_int_equal(sampler_seed_of_choice(5, 0), 5);
	for (unsigned i = 0; i < 10; i++)
		for (unsigned k = 0; k < i; k++)
			assert_true(sampler_seed_of_choice(5, i) != sampler_seed_of_choice(5, k));
	assert_true(sampler_seed_of_choice(5, 1) != sampler_seed_of_choice(6, 1));
}

static void chances_are_the_models(void **state)
{
	(void)state;
	struct token_chance top[TOKEN_CHANCES_MAX];
	float logits[N], chance;
	for (int i = 0; i < N; i++)
		logits[i] = LOGITS[i] + 7; /* a constant makes no difference */
	assert_int_equal(token_chances(logits, N, 5, &chance, top, 3), 3);
	assert_true(fabsf(chance - logf(0.15F)) < 1e-4F);
	static const int32_t ids[] = {1, 3, 5};
	static const float want[] = {0.4F, 0.3F, 0.15F};
	for (int i = 0; i < 3; i++) {
		assert_int_equal(top[i].id, ids[i]);
		assert_true(fabsf(top[i].logprob - logf(want[i])) < 1e-4F);
	}
	assert_int_equal(token_chances(logits, N, 0, &chance, top, 20), N);
	assert_int_equal(token_chances(logits, N, 0, &chance, top, 0), 0);
	logits[0] = -INFINITY;
	token_chances(logits, N, 0, &chance, top, 0);
	assert_true(isinf(chance));
}

static void no_numbers_is_an_error(void **state)
{
	(void)state;
	struct sampler_params p = SAMPLER_DEFAULTS;
	struct sampler *s;
	float logits[N] = {NAN, NAN, -INFINITY, INFINITY, NAN, NAN};
	int32_t id;
	assert_int_equal(sampler_new(&p, N, &s, NULL), 0);
	assert_int_equal(sampler_pick(s, logits, &id, NULL), E_FORMAT);
	logits[4] = -5;
	assert_int_equal(sampler_pick(s, logits, &id, NULL), 0);
	assert_int_equal(id, 4);
	sampler_free(s);
}

static void parameters_are_checked(void **state)
{
	(void)state;
	struct sampler_params p[8];
	struct sampler *s;
	struct err err;
	static const struct logit_bias OUTSIDE = {N, 1};
	static const char *const NAMES[8] = {"temperature", "top_p", "min_p", "repeat_penalty",
	    "frequency_penalty", "presence_penalty", "repeat_last_n", "logit_bias"};
	for (int i = 0; i < 8; i++)
		p[i] = SAMPLER_DEFAULTS;
	p[0].temperature = NAN;
	p[1].top_p = 1.5F;
	p[2].min_p = -1;
	p[3].repeat_penalty = 0;
	p[4].frequency_penalty = 1e9F;
	p[5].presence_penalty = INFINITY;
	p[6].repeat_last_n = SAMPLER_LAST_N_MAX + 1;
	p[7].biases = &OUTSIDE;
	p[7].n_biases = 1;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(sampler_new(&p[i], N, &s, &err), E_INVALID);
		assert_non_null(strstr(err.text, NAMES[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(greedy_takes_the_best),
	    cmocka_unit_test(plain_draws_follow_the_probabilities),
	    cmocka_unit_test(temperature_sharpens),
	    cmocka_unit_test(filters_keep_the_best),
	    cmocka_unit_test(penalties_move_on),
	    cmocka_unit_test(repetition_has_a_window),
	    cmocka_unit_test(biases_ban_and_force),
	    cmocka_unit_test(equal_seeds_give_equal_tokens),
	    cmocka_unit_test(a_sampler_that_takes_over_draws_alike),
	    cmocka_unit_test(choices_have_seeds_of_their_own),
	    cmocka_unit_test(chances_are_the_models),
	    cmocka_unit_test(no_numbers_is_an_error),
	    cmocka_unit_test(parameters_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
