/* Generation with a tiny model of random weights: whatever it says, the rules of the loop hold. */
#include "engine/generate.h"

#include "base/encode.h"
#include "engine/engine.h"
#include "engine/tokenizer.h"
#include "text_test.h"

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
	assert_int_equal(generator_new(w.model, w.tokenizer, N_CTX, &w.generator, NULL), 0);
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

struct answer {
	struct buf text;
	size_t calls;
	size_t stop_after; /* calls; 0 is never */
};

static int collect(void *arg, const char *utf8, size_t n)
{
	struct answer *a = arg;
	assert_true(n > 0);
	assert_int_equal(utf8_valid_prefix(bytes_of(utf8, n)), n);
	buf_put(&a->text, utf8, n);
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
	assert_int_equal(r.reused_tokens, N_PROMPT - 1);
	assert_string_equal(buf_cstr(&a.text), buf_cstr(&b.text));
	const int32_t other[] = {72, 101, 8};
	buf_free(&b.text);
	job = new_job(w, &b, bans);
	job.prompt = other;
	job.n_prompt = 3;
	assert_int_equal(generator_run(w->generator, &job, &r, NULL), 0);
	assert_int_equal(r.reused_tokens, 2);
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
	assert_int_equal(generator_new(w->model, t, N_CTX, &g, NULL), E_FORMAT);
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
	    cmocka_unit_test(cancelling_ends_it),
	    cmocka_unit_test(a_foreign_vocabulary_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
