/* The forward pass: every tiny model against the independent answers of tiny_expected.h, on every
 * set of kernels; then what a context promises (batches, prefixes, errors, threads). */
#include "tiny.h"
#include "tiny_expected.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define N_TOKENS (sizeof expected_tokens / sizeof expected_tokens[0])
#define LONG     300 /* more than one batch */

struct fixture {
	struct buf file;
	struct engine_model *m;
	struct engine_context *c;
};

/* False when this processor lacks the kernels. */
static bool open_fixture(struct fixture *f, const struct tiny_spec *spec,
    const struct engine_options *opts, uint32_t n_ctx)
{
	struct err err = {0};
	tiny_model(spec, &f->file);
	int rc = engine_model_load_memory(buf_view(&f->file), opts, &f->m, &err);
	if (rc == E_UNSUPPORTED) {
		buf_free(&f->file);
		return false;
	}
	if (rc)
		fail_msg("%s: %s", spec->name, err.text);
	assert_int_equal(engine_context_new(f->m, n_ctx, &f->c, &err), 0);
	return true;
}

static void close_fixture(struct fixture *f)
{
	engine_context_free(f->c);
	engine_model_free(f->m);
	buf_free(&f->file);
}

static void decode(struct engine_context *c, const int32_t *tokens, size_t n, float **logits)
{
	struct err err = {0};
	if (engine_decode(c, tokens, n, logits, &err))
		fail_msg("decode: %s", err.text);
}

static double deviation(const float *v, size_t n)
{
	double mean = 0, square = 0;
	for (size_t i = 0; i < n; i++)
		mean += (double)v[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		square += ((double)v[i] - mean) * ((double)v[i] - mean);
	return sqrt(square / (double)n);
}

struct difference {
	double rms, max; /* in standard deviations of the expected values */
};

static struct difference compare(const float *got, const float *want, size_t n)
{
	struct difference d = {0};
	for (size_t i = 0; i < n; i++) {
		double x = fabs((double)got[i] - (double)want[i]);
		d.rms += x * x;
		d.max = x > d.max ? x : d.max;
	}
	double s = deviation(want, n);
	return (struct difference){sqrt(d.rms / (double)n) / s, d.max / s};
}

static int32_t argmax(const float *v, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (v[i] > v[best])
			best = i;
	return (int32_t)best;
}

/* --- Against the independent implementation ----------------------------------------------------
 */

static bool is_float(uint32_t type)
{
	return type == GGML_F32 || type == GGML_F16 || type == GGML_BF16;
}

static void check_greedy(struct fixture *f, const struct expected *e, float *logits, uint32_t n)
{
	for (int i = 0; i < EXPECTED_GREEDY && e->margin[i] > 1e-3f; i++) {
		int32_t id = argmax(logits, n);
		assert_int_equal(id, e->greedy[i]);
		decode(f->c, &id, 1, &logits);
	}
}

static unsigned check_spec(size_t i, const struct engine_options *opts)
{
	const struct tiny_spec *spec = &tiny_specs[i];
	struct fixture f;
	assert_string_equal(spec->name, expected[i].name);
	if (!open_fixture(&f, spec, opts, 64))
		return 0;
	float *logits;
	decode(f.c, expected_tokens, N_TOKENS, &logits);
	struct difference d = compare(logits, expected[i].logits, spec->n_vocab);
	/* Quantised weights meet activations of 8 bits: their error is that of the activations. */
	double bound = !is_float(spec->type) ? 0.04 : opts->kv == ENGINE_KV_F32 ? 2e-5 : 5e-3;
	if (d.rms > bound)
		fail_msg("%s on %s: rms %g of the deviation, allowed %g", spec->name,
		    engine_model_kernels(f.m), d.rms, bound);
	if (is_float(spec->type) && opts->kv == ENGINE_KV_F32)
		check_greedy(&f, &expected[i], logits, spec->n_vocab);
	close_fixture(&f);
	return 1;
}

static void check_all(enum engine_kernel_choice kernels, enum engine_kv kv)
{
	unsigned ran = 0;
	for (size_t i = 0; i < tiny_spec_count; i++)
		ran += check_spec(
		    i, &(struct engine_options){.kernels = kernels, .kv = kv, .threads = 1});
	if (ran == 0)
		skip();
	assert_int_equal(ran, sizeof expected / sizeof expected[0]);
}

static void test_expected_ref(void **state)
{
	(void)state;
	check_all(ENGINE_KERNELS_REF, ENGINE_KV_F32);
}

static void test_expected_avx2(void **state)
{
	(void)state;
	check_all(ENGINE_KERNELS_AVX2, ENGINE_KV_F32);
}

static void test_expected_avx512(void **state)
{
	(void)state;
	check_all(ENGINE_KERNELS_AVX512, ENGINE_KV_F32);
}

static void test_expected_half_cache(void **state)
{
	(void)state;
	check_all(ENGINE_KERNELS_AUTO, ENGINE_KV_F16);
	check_all(ENGINE_KERNELS_REF, ENGINE_KV_F16);
}

/* --- What a context promises ---------------------------------------------------------------------
 */

static void long_tokens(int32_t *tokens, uint32_t n_vocab)
{
	uint64_t state = 42;
	for (int i = 0; i < LONG; i++)
		tokens[i] = (int32_t)(tiny_random(&state) % n_vocab);
}

static void check_close(const float *a, const float *b, size_t n, double bound)
{
	struct difference d = compare(a, b, n);
	if (d.max > bound)
		fail_msg("differ by %g of the deviation, allowed %g", d.max, bound);
}

/* One call, single tokens, and uneven pieces must agree. */
static void check_pieces(const struct tiny_spec *spec)
{
	struct fixture f;
	struct engine_options opts = {.kv = ENGINE_KV_F32, .threads = 1};
	assert_true(open_fixture(&f, spec, &opts, LONG));
	int32_t tokens[LONG];
	long_tokens(tokens, spec->n_vocab);
	float *logits, want[64];
	decode(f.c, tokens, LONG, &logits);
	memcpy(want, logits, spec->n_vocab * sizeof *want);
	double bound = is_float(spec->type) ? 2e-5 : 2e-2;

	engine_context_truncate(f.c, 0);
	for (int i = 0; i < LONG; i++)
		decode(f.c, tokens + i, 1, &logits);
	check_close(logits, want, spec->n_vocab, bound);

	engine_context_truncate(f.c, 0);
	static const size_t pieces[] = {2, 3, 17, 1, 260, 17};
	size_t at = 0;
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; at += pieces[i++])
		decode(f.c, tokens + at, pieces[i], &logits);
	assert_int_equal(at, LONG);
	assert_int_equal(engine_context_pos(f.c), LONG);
	check_close(logits, want, spec->n_vocab, bound);
	close_fixture(&f);
}

static void test_pieces(void **state)
{
	(void)state;
	check_pieces(&tiny_specs[0]);
	check_pieces(&tiny_specs[4]);
	check_pieces(&tiny_specs[7]);
}

/* A kept prefix and a new ending give what a fresh sequence gives, to the bit. */
static void test_truncate(void **state)
{
	(void)state;
	struct fixture f;
	struct engine_options opts = {.threads = 1};
	assert_true(open_fixture(&f, &tiny_specs[0], &opts, 64));
	float *logits, want[64];
	decode(f.c, expected_tokens, 10, &logits);
	decode(f.c, expected_tokens + 10, 5, &logits);
	memcpy(want, logits, 48 * sizeof *want);
	decode(f.c, expected_tokens, 6, &logits);
	engine_context_truncate(f.c, 10);
	assert_int_equal(engine_context_pos(f.c), 10);
	engine_context_truncate(f.c, 30);
	assert_int_equal(engine_context_pos(f.c), 10);
	decode(f.c, expected_tokens + 10, 5, &logits);
	assert_memory_equal(logits, want, 48 * sizeof *want);
	close_fixture(&f);
}

static void test_errors(void **state)
{
	(void)state;
	struct fixture f;
	struct err err = {0};
	struct engine_context *c;
	float *logits;
	assert_true(open_fixture(&f, &tiny_specs[0], NULL, 8));
	assert_int_equal(engine_context_new(f.m, 0, &c, &err), E_INVALID);
	assert_int_equal(engine_context_new(f.m, ENGINE_CTX_MAX + 1, &c, &err), E_INVALID);
	decode(f.c, expected_tokens, 3, &logits);
	assert_int_equal(engine_decode(f.c, NULL, 0, &logits, &err), E_INVALID);
	assert_int_equal(engine_decode(f.c, expected_tokens, 6, &logits, &err), E_CONTEXT_LENGTH);
	assert_non_null(strstr(err.text, "6 tokens after 3"));
	assert_non_null(strstr(err.text, "8 tokens"));
	assert_int_equal(engine_decode(f.c, (int32_t[]){1, 48}, 2, &logits, &err), E_INVALID);
	assert_non_null(strstr(err.text, "48"));
	assert_int_equal(engine_decode(f.c, (int32_t[]){-1}, 1, &logits, &err), E_INVALID);
	assert_int_equal(engine_context_pos(f.c), 3);
	decode(f.c, expected_tokens, 5, &logits);
	assert_int_equal(engine_context_pos(f.c), 8);
	close_fixture(&f);
}

static void test_cancel(void **state)
{
	(void)state;
	struct fixture f;
	struct err err = {0};
	float *logits;
	atomic_bool cancel = true;
	assert_true(open_fixture(&f, &tiny_specs[0], NULL, 64));
	engine_context_set_cancel(f.c, &cancel);
	assert_int_equal(engine_decode(f.c, expected_tokens, N_TOKENS, &logits, &err), E_CANCELLED);
	assert_int_equal(engine_context_pos(f.c), 0);
	cancel = false;
	decode(f.c, expected_tokens, N_TOKENS, &logits);
	assert_int_equal(argmax(logits, 48), expected[0].greedy[0]);
	close_fixture(&f);
}

/* Weights that are no numbers are reported, not handed on. */
static void test_not_a_number(void **state)
{
	(void)state;
	for (size_t i = 0; i < 8; i += 7) { /* float and quantised */
		struct buf file;
		tiny_model(&tiny_specs[i], &file);
		struct gguf *g;
		assert_int_equal(gguf_open_memory(buf_view(&file), &g, NULL), 0);
		const struct gguf_tensor *t = gguf_tensor(g, "blk.1.ffn_norm.weight");
		memset(file.p + (t->data.p - file.p), 0xff, 4);
		gguf_close(g);
		struct engine_model *m;
		struct engine_context *c;
		struct err err = {0};
		float *logits;
		assert_int_equal(engine_model_load_memory(buf_view(&file), NULL, &m, &err), 0);
		assert_int_equal(engine_context_new(m, 8, &c, &err), 0);
		assert_int_equal(engine_decode(c, expected_tokens, 3, &logits, &err), E_FORMAT);
		assert_non_null(strstr(err.text, "no finite number"));
		assert_int_equal(engine_context_pos(c), 0);
		engine_context_free(c);
		engine_model_free(m);
		buf_free(&file);
	}
}

/* --- Threads
 * ---------------------------------------------------------------------------------------- */

/* Large enough that batches and single tokens are shared with the pool. */
static const struct tiny_spec wide_spec = {
    "wide", GGML_F32, 64, 512, 2, 1024, 8, 2, 0, 0, TINY_PLAIN, false, false, NULL};

static void decode_long(struct engine_model *m, float *out)
{
	struct engine_context *c;
	float *logits;
	int32_t tokens[LONG];
	long_tokens(tokens, 64);
	assert_int_equal(engine_context_new(m, LONG, &c, NULL), 0);
	decode(c, tokens, 40, &logits);
	for (int i = 40; i < 50; i++)
		decode(c, tokens + i, 1, &logits);
	memcpy(out, logits, 64 * sizeof *out);
	engine_context_free(c);
}

struct runner {
	struct engine_model *m;
	float out[64];
};

static void *run(void *arg)
{
	struct runner *r = arg;
	decode_long(r->m, r->out);
	return NULL;
}

/* However many threads share the work, and however many sequences share the model: same bits. */
static void test_threads(void **state)
{
	(void)state;
	struct buf file;
	float want[64];
	tiny_model(&wide_spec, &file);
	for (unsigned threads = 1; threads <= 4; threads++) {
		struct engine_options opts = {.threads = threads};
		struct runner r[3] = {0};
		pthread_t id[3];
		struct engine_model *m;
		assert_int_equal(engine_model_load_memory(buf_view(&file), &opts, &m, NULL), 0);
		assert_int_equal(engine_model_threads(m), threads);
		for (int i = 0; i < 3; i++) {
			r[i].m = m;
			assert_int_equal(pthread_create(&id[i], NULL, run, &r[i]), 0);
		}
		for (int i = 0; i < 3; i++)
			pthread_join(id[i], NULL);
		if (threads == 1)
			memcpy(want, r[0].out, sizeof want);
		for (int i = 0; i < 3; i++)
			assert_memory_equal(r[i].out, want, sizeof want);
		engine_model_free(m);
	}
	buf_free(&file);
}

static void test_facts(void **state)
{
	(void)state;
	struct fixture f;
	assert_true(open_fixture(&f, &tiny_specs[0], NULL, 20));
	assert_int_equal(engine_model_n_vocab(f.m), 48);
	assert_int_equal(engine_model_n_ctx_train(f.m), 256);
	/* 2 embeddings, 3 norms more than 2 layers of 4 attention and 3 feed-forward matrices */
	uint64_t layer = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 96 + 2 * 64;
	assert_int_equal(engine_model_n_params(f.m), 2 * 64 * 48 + 64 + 2 * layer);
	assert_int_equal(engine_model_bytes_per_token(f.m), 4 * (64 * 48 + 64 + 64 + 2 * layer));
	assert_int_equal(engine_model_file_size(f.m), f.file.n);
	/* 32 positions (20 rounded up), 2 key heads of 16, keys and values, 2 layers, halves */
	assert_int_equal(engine_model_kv_bytes(f.m, 20), 32 * 2 * 16 * 2 * 2 * 2);
	assert_true(bytes_equal(engine_model_name(f.m), bytes_str("plain")));
	assert_true(bytes_equal(engine_model_arch(f.m), bytes_str("llama")));
	assert_int_equal(engine_context_size(f.c), 20);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_expected_ref),
	    cmocka_unit_test(test_expected_avx2),
	    cmocka_unit_test(test_expected_avx512),
	    cmocka_unit_test(test_expected_half_cache),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_truncate),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_not_a_number),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_facts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
