/* Generation with a tiny model of random weights: whatever it says, the rules of the loop hold. */
#include "engine/generate.h"

#include "base/encode.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/tokenizer.h"
#include "text_test.h"

#include <jansson.h>

#include "tiny.h"

#define N_CTX 64

struct world {
	struct tiny_vocab vocab;
	struct tokenizer *tokenizer;
	struct buf file;
	struct engine_model *model;
	struct generator *generator;
};

static int setup(void **state)
{
	static struct world w;
	w.vocab = tiny_bpe("gpt-2");
	assert_int_equal(tokenizer_new(w.vocab.file, &w.tokenizer, NULL), 0);
	struct tiny_spec spec = tiny_specs[0];
	spec.n_vocab = (uint32_t)tokenizer_n_vocab(w.tokenizer);
	tiny_model(&spec, &w.file);
	struct engine_options options = {.threads = 1};
	assert_int_equal(engine_model_load_memory(buf_view(&w.file), &options, &w.model, NULL), 0);
	assert_int_equal(generator_new(w.model, w.tokenizer, N_CTX, 2, &w.generator, NULL), 0);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	generator_free(w->generator);
	engine_model_free(w->model);
	tokenizer_free(w->tokenizer);
	tiny_vocab_free(&w->vocab);
	buf_free(&w->file);
	return 0;
}

#define TOKENS_KEPT 256

/* After so many tokens, so much text was out. */
struct cut {
	size_t tokens, text;
};

struct answer {
	struct buf text;
	int32_t ids[TOKENS_KEPT], tops[TOKENS_KEPT];
	float logprobs[TOKENS_KEPT];
	size_t n_ids;
	struct cut cuts[TOKENS_KEPT];
	size_t n_cuts;
	size_t calls;
	size_t stop_after; /* calls; 0 is never */
};

static int collect(void *arg, const struct generate_piece *p)
{
	struct answer *a = arg;
	assert_true(p->n > 0);
	assert_int_equal(utf8_valid_prefix(bytes_of(p->utf8, p->n)), p->n);
	buf_put(&a->text, p->utf8, p->n);
	for (size_t i = 0; i < p->n_tokens && a->n_ids < TOKENS_KEPT; i++) {
		a->logprobs[a->n_ids] = p->tokens[i].logprob;
		a->tops[a->n_ids] = p->tokens[i].n_top ? p->tokens[i].top[0].id : -1;
		a->ids[a->n_ids++] = p->tokens[i].id;
	}
	if (a->n_cuts < TOKENS_KEPT)
		a->cuts[a->n_cuts++] = (struct cut){a->n_ids, a->text.n};
	a->calls++;
	return a->stop_after && a->calls >= a->stop_after;
}

static const int32_t PROMPT[] = {72, 101, 5, 9, 33, 70};
#define N_PROMPT (sizeof PROMPT / sizeof PROMPT[0])

/* The end tokens are banned, so that random weights never end a turn by chance. */
static struct generate_job new_job(
    const struct world *w, struct answer *a, struct logit_bias bans[3])
{
	int32_t end = (int32_t)tokenizer_n_vocab(w->tokenizer) - 3;
	*a = (struct answer){.text = BUF_INIT(1 << 20)};
	for (int i = 0; i < 3; i++)
		bans[i] = (struct logit_bias){end + i, -__builtin_inff()};
	struct generate_job job = {.prompt = PROMPT,
	    .n_prompt = N_PROMPT,
	    .max_tokens = 20,
	    .sampling = SAMPLER_DEFAULTS,
	    .emit = collect,
	    .arg = a};
	job.sampling.temperature = 0;
	job.sampling.biases = bans;
	job.sampling.n_biases = 3;
	return job;
}

/* What the loop should say, computed step by step on a context of its own. */
static void greedy_by_hand(const struct world *w, size_t n, struct buf *text)
{
	struct engine_context *c;
	float *logits;
	struct buf raw = BUF_INIT(1 << 20);
	assert_int_equal(engine_context_new(w->model, N_CTX, &c, NULL), 0);
	assert_int_equal(engine_decode(c, PROMPT, N_PROMPT, &logits, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		int32_t best = 0;
		for (int32_t id = 1; id < (int32_t)tokenizer_n_vocab(w->tokenizer) - 3; id++)
			if (logits[id] > logits[best])
				best = id;
		buf_bytes(&raw, tokenizer_piece(w->tokenizer, best));
		assert_int_equal(engine_decode(c, &best, 1, &logits, NULL), 0);
	}
	struct bytes rest = buf_view(&raw);
	while (rest.n) { /* ill-formed bytes one by one: random pieces rarely begin a sequence */
		size_t good = utf8_valid_prefix(rest);
		buf_put(text, rest.p, good);
		if (good < rest.n)
			buf_str(text, "\xef\xbf\xbd");
		good += good < rest.n;
		rest = bytes_of(rest.p + good, rest.n - good);
	}
	buf_free(&raw);
	engine_context_free(c);
}

static void says_what_greedy_decoding_says(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct logit_bias bans[3];
	struct generate_job job = new_job(w, &a, bans);
	struct generate_result r;
	struct buf want = BUF_INIT(1 << 20);
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.finish, GENERATE_LENGTH);
	assert_int_equal(r.prompt_tokens, N_PROMPT);
	assert_int_equal(r.completion_tokens, 20);
	greedy_by_hand(w, 20, &want);
	assert_string_equal(buf_cstr(&a.text), buf_cstr(&want));
	buf_free(&want);
	buf_free(&a.text);
}

static void a_prefix_is_not_computed_twice(void **state)
{
	struct world *w = *state;
	struct answer a, b;
	struct logit_bias bans[3];
	struct generate_result r;
	struct generate_job job = new_job(w, &a, bans);
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	job = new_job(w, &b, bans);
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.reused_tokens, N_PROMPT);
	assert_string_equal(buf_cstr(&a.text), buf_cstr(&b.text));
	const int32_t other[] = {72, 101, 8};
	buf_free(&b.text);
	job = new_job(w, &b, bans);
	job.prompt = other;
	job.n_prompt = 3;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.reused_tokens, 0); /* two tokens are not worth the first sequence */
	buf_free(&a.text);
	buf_free(&b.text);
}

static void stop_strings_end_it(void **state)
{
	struct world *w = *state;
	struct answer all, a;
	struct logit_bias bans[3];
	struct generate_result r;
	struct generate_job job = new_job(w, &all, bans);
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	/* every three-byte stretch of the answer that is text of its own */
	size_t tried = 0;
	for (size_t i = 0; i + 3 <= all.text.n; i++) {
		struct bytes stop = bytes_of(all.text.p + i, 3);
		if (utf8_valid_prefix(stop) != 3)
			continue;
		job = new_job(w, &a, bans);
		job.stops = &stop;
		job.n_stops = 1;
		assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
		assert_int_equal(r.finish, GENERATE_STOP);
		const uint8_t *first = memmem(all.text.p, all.text.n, stop.p, 3);
		assert_int_equal(a.text.n, first - all.text.p);
		assert_true(a.text.n == 0 || memcmp(a.text.p, all.text.p, a.text.n) == 0);
		buf_free(&a.text);
		tried++;
	}
	assert_true(tried > 0);
	buf_free(&all.text);
}

static void an_end_token_ends_it(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct logit_bias bans[3];
	struct generate_result r;
	struct generate_job job = new_job(w, &a, bans);
	bans[2].bias = 1000; /* <|im_end|> comes at once */
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.finish, GENERATE_STOP);
	assert_int_equal(r.completion_tokens, 0);
	assert_int_equal(a.calls, 0);
	buf_free(&a.text);
}

static void limits_hold(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct logit_bias bans[3];
	struct generate_result r;
	struct err err = {0};
	int32_t long_prompt[N_CTX + 1] = {0};
	struct generate_job job = new_job(w, &a, bans);
	job.max_tokens = GENERATE_UNLIMITED;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.finish, GENERATE_LENGTH);
	assert_int_equal(r.completion_tokens, N_CTX - N_PROMPT + 1);
	job.max_tokens = 0;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.completion_tokens, 0);
	job.prompt = long_prompt;
	job.n_prompt = N_CTX + 1;
	assert_int_equal(generator_run(w->generator, &job, &r, &err), E_CONTEXT_LENGTH);
	assert_non_null(strstr(err.text, "65"));
	assert_non_null(strstr(err.text, "64"));
	job.n_prompt = N_CTX;
	job.max_tokens = 5;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.completion_tokens, 1);
	job.n_prompt = 0;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), E_INVALID);
	long_prompt[0] = 1 << 20;
	job.n_prompt = 1;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), E_INVALID);
	buf_free(&a.text);
}

/* ---- going on ------------------------------------------------------------------------------ */

/* Wherever an answer was cut, another generator over the same file goes on to the same end. */
static void goes_on_as_if_uninterrupted(
    struct world *w, struct generate_job *job, struct answer *whole)
{
	struct generate_result want, r;
	struct generator *other;
	job->arg = whole;
	assert_int_equal(generator_run(w->generator, job, &want, NULL), 0);
	assert_true(whole->n_cuts > 3);
	for (size_t i = 0; i < whole->n_cuts; i++) {
		struct answer rest = {.text = BUF_INIT(1 << 20)};
		struct generate_job again = *job;
		assert_int_equal(generator_new(w->model, w->tokenizer, N_CTX, 1, &other, NULL), 0);
		again.arg = &rest;
		again.continued = whole->ids;
		again.n_continued = whole->cuts[i].tokens;
		again.continued_text = whole->cuts[i].text;
		assert_int_equal(generator_run(other, &again, &r, NULL), 0);
		assert_int_equal(r.finish, want.finish);
		assert_int_equal(r.completion_tokens, want.completion_tokens);
		size_t done = whole->cuts[i].text;
		assert_int_equal(done + rest.text.n, whole->text.n);
		if (rest.text.n)
			assert_memory_equal(rest.text.p, whole->text.p + done, rest.text.n);
		buf_free(&rest.text);
		generator_free(other);
	}
}

static void a_cut_answer_goes_on(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	for (int i = 0; i < 8; i++) {
		struct answer whole;
		struct generate_job job = new_job(w, &whole, bans);
		job.max_tokens = 40;
		job.sampling.temperature = i % 2 ? 0.9F : 0;
		job.sampling.seed = (uint64_t)i;
		job.sampling.frequency_penalty = i & 2 ? 0.5F : 0;
		job.sampling.repeat_penalty = i & 4 ? 1.3F : 1;
		goes_on_as_if_uninterrupted(w, &job, &whole);
		buf_free(&whole.text);
	}
}

static void a_cut_answer_stops_where_it_would(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	struct answer whole, stopped;
	struct generate_result r;
	struct generate_job job = new_job(w, &whole, bans);
	job.max_tokens = 40;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	size_t from = whole.text.n / 2;
	while (utf8_valid_prefix(bytes_of(whole.text.p + from, 4)) < 4)
		from++;
	struct bytes stops[2] = {bytes_str("never"), bytes_of(whole.text.p + from, 4)};
	job = new_job(w, &stopped, bans);
	job.max_tokens = 40;
	job.stops = stops;
	job.n_stops = 2;
	goes_on_as_if_uninterrupted(w, &job, &stopped);
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.finish, GENERATE_STOP);
	assert_int_equal(r.stop, 1);
	/* nothing comes after the stop string */
	size_t before = stopped.text.n;
	job.continued = whole.ids;
	job.n_continued = whole.n_ids;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.finish, GENERATE_STOP);
	assert_int_equal(r.stop, 1);
	assert_int_equal(stopped.text.n, before);
	buf_free(&whole.text);
	buf_free(&stopped.text);
}

/* ---- several answers, several conversations ------------------------------------------------ */

static void choices_share_the_prompt(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	struct answer a[3];
	struct generate_result r;
	for (unsigned i = 0; i < 3; i++) {
		struct generate_job job = new_job(w, &a[i], bans);
		job.sampling.temperature = 2;
		job.sampling.seed = sampler_seed_of_choice(99, i);
		assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
		if (i)
			assert_int_equal(r.reused_tokens, N_PROMPT);
	}
	assert_string_not_equal(buf_cstr(&a[0].text), buf_cstr(&a[1].text));
	assert_string_not_equal(buf_cstr(&a[1].text), buf_cstr(&a[2].text));
	for (int i = 0; i < 3; i++)
		buf_free(&a[i].text);
}

static void two_conversations_both_keep_their_beginning(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	struct answer a;
	struct generate_result r;
	int32_t prompts[2][24];
	for (int i = 0; i < 24; i++) {
		prompts[0][i] = 40 + i;
		prompts[1][i] = 90 - i;
	}
	for (int turn = 0; turn < 4; turn++)
		for (int who = 0; who < 2; who++) {
			struct generate_job job = new_job(w, &a, bans);
			job.prompt = prompts[who];
			job.n_prompt = 16 + 2 * (size_t)turn;
			job.max_tokens = 2;
			assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
			assert_int_equal(r.reused_tokens, turn ? 14 + 2 * (size_t)turn : 0);
			buf_free(&a.text);
		}
}

/* A beginning that two conversations share is copied for the second, bit by bit. */
static void a_shared_beginning_is_copied(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	struct answer a, b, c;
	struct generate_result r;
	struct generator *g;
	int32_t one[50], two[30];
	for (int i = 0; i < 50; i++)
		one[i] = 33 + i;
	memcpy(two, one, sizeof two);
	two[20] = 5;
	assert_int_equal(generator_new(w->model, w->tokenizer, N_CTX, 2, &g, NULL), 0);
	struct generate_job job = new_job(w, &a, bans);
	job.max_tokens = 3;
	job.prompt = one;
	job.n_prompt = 50;
	assert_int_equal(generator_run(g, &job, &r, NULL), 0);
	job.arg = memset(&b, 0, sizeof b);
	b.text.max = 1 << 20;
	job.prompt = two;
	job.n_prompt = 30;
	assert_int_equal(generator_run(g, &job, &r, NULL), 0);
	assert_int_equal(r.reused_tokens, 20);
	job.arg = memset(&c, 0, sizeof c);
	c.text.max = 1 << 20;
	job.prompt = one;
	job.n_prompt = 50;
	assert_int_equal(generator_run(g, &job, &r, NULL), 0);
	assert_int_equal(r.reused_tokens, 50); /* it was not given up for the other */
	assert_string_equal(buf_cstr(&a.text), buf_cstr(&c.text));
	generator_free(g);
	/* the copy says what a computed beginning says */
	struct answer d = {.text = BUF_INIT(1 << 20)};
	assert_int_equal(generator_new(w->model, w->tokenizer, N_CTX, 1, &g, NULL), 0);
	job.prompt = two;
	job.n_prompt = 30;
	job.arg = &d;
	assert_int_equal(generator_run(g, &job, &r, NULL), 0);
	assert_string_equal(buf_cstr(&b.text), buf_cstr(&d.text));
	generator_free(g);
	buf_free(&a.text);
	buf_free(&b.text);
	buf_free(&c.text);
	buf_free(&d.text);
}

static void log_probabilities_are_of_the_model(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	struct answer a, b;
	struct generate_result r;
	struct generate_job job = new_job(w, &a, bans);
	job.logprobs = true;
	job.top_logprobs = 2;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_true(a.n_ids > 10);
	for (size_t i = 0; i < a.n_ids; i++)
		assert_true(a.logprobs[i] < 0);
	/* a bias moves the choice, not what the model thinks of it */
	job = new_job(w, &b, bans);
	struct logit_bias force[4] = {bans[0], bans[1], bans[2], {a.ids[0] == 7 ? 8 : 7, 1000}};
	job.logprobs = true;
	job.top_logprobs = 1;
	job.sampling.biases = force;
	job.sampling.n_biases = 4;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(b.ids[0], force[3].id);
	assert_int_equal(b.tops[0], a.tops[0]);
	assert_true(b.logprobs[0] < a.logprobs[0]);
	buf_free(&a.text);
	buf_free(&b.text);
}

static void a_grammar_shapes_the_answer(void **state)
{
	struct world *w = *state;
	struct logit_bias bans[3];
	struct grammar *g;
	const char *schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},"
			     "\"b\":{\"enum\":[\"x\",\"y\"]}},\"required\":[\"a\",\"b\"],"
			     "\"additionalProperties\":false}";
	assert_int_equal(grammar_of_document(bytes_str(schema), "s",
			     token_trie_alphabet(generator_trie(w->generator)), &g, NULL),
	    0);
	size_t stopped = 0;
	for (int i = 0; i < 20; i++) {
		struct answer a;
		struct generate_result r;
		struct generate_job job = new_job(w, &a, bans);
		json_error_t why;
		job.grammar = g;
		job.max_tokens = 55;
		job.sampling.temperature = i == 0 ? 0 : 1.5F;
		job.sampling.seed = (uint64_t)i;
		assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
		if (r.finish == GENERATE_STOP) {
			json_t *v = json_loads(buf_cstr(&a.text), JSON_REJECT_DUPLICATES, &why);
			if (!v)
				fail_msg("%s: %s", buf_cstr(&a.text), why.text);
			assert_int_equal(json_object_size(v), 2);
			assert_true(json_is_integer(json_object_get(v, "a")));
			json_decref(v);
			stopped++;
		}
		struct answer whole = {.text = BUF_INIT(1 << 20)};
		goes_on_as_if_uninterrupted(w, &job, &whole);
		buf_free(&whole.text);
		buf_free(&a.text);
	}
	assert_true(stopped > 10);
	grammar_free(g);
}

static void vectors_are_of_length_one(void **state)
{
	struct world *w = *state;
	size_t n = engine_model_n_embd(w->model);
	float a[512], b[512], dot = 0, sum = 0;
	assert_in_range(n, 1, 512);
	assert_int_equal(generator_embed(w->generator, PROMPT, N_PROMPT, NULL, a, NULL), 0);
	assert_int_equal(generator_embed(w->generator, PROMPT, 3, NULL, b, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		sum += a[i] * a[i];
		dot += a[i] * b[i];
	}
	assert_true(sum > 0.999F && sum < 1.001F);
	assert_true(dot < 0.9999F);
	int32_t long_text[N_CTX + 1] = {0};
	assert_int_equal(
	    generator_embed(w->generator, long_text, N_CTX + 1, NULL, a, NULL), E_CONTEXT_LENGTH);
	assert_int_equal(generator_embed(w->generator, PROMPT, 0, NULL, a, NULL), E_INVALID);
}

static void cancelling_ends_it(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct logit_bias bans[3];
	struct generate_result r;
	atomic_bool cancel = true;
	struct generate_job job = new_job(w, &a, bans);
	job.cancel = &cancel;
	struct err err = {0};
	assert_int_equal(generator_run(w->generator, &job, &r, &err), 0);
	assert_int_equal(r.finish, GENERATE_CANCELLED);
	assert_int_equal(a.calls, 0);
	assert_int_equal(err.code, 0);
	job = new_job(w, &a, bans);
	a.stop_after = 2;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.finish, GENERATE_CANCELLED);
	assert_int_equal(a.calls, 2);
	buf_free(&a.text);
	says_what_greedy_decoding_says(state); /* and the generator is none the worse */
}

static void a_foreign_vocabulary_is_refused(void **state)
{
	struct world *w = *state;
	struct tiny_vocab other = tiny_spm();
	struct tokenizer *t;
	struct generator *g;
	assert_int_equal(tokenizer_new(other.file, &t, NULL), 0);
	assert_int_equal(generator_new(w->model, t, N_CTX, 1, &g, NULL), E_FORMAT);
	tokenizer_free(t);
	tiny_vocab_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(says_what_greedy_decoding_says),
	    cmocka_unit_test(a_prefix_is_not_computed_twice),
	    cmocka_unit_test(stop_strings_end_it),
	    cmocka_unit_test(an_end_token_ends_it),
	    cmocka_unit_test(limits_hold),
	    cmocka_unit_test(a_cut_answer_goes_on),
	    cmocka_unit_test(a_cut_answer_stops_where_it_would),
	    cmocka_unit_test(choices_share_the_prompt),
	    cmocka_unit_test(two_conversations_both_keep_their_beginning),
	    cmocka_unit_test(a_shared_beginning_is_copied),
	    cmocka_unit_test(log_probabilities_are_of_the_model),
	    cmocka_unit_test(a_grammar_shapes_the_answer),
	    cmocka_unit_test(vectors_are_of_length_one),
	    cmocka_unit_test(cancelling_ends_it),
	    cmocka_unit_test(a_foreign_vocabulary_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
