/* Parity with llama.cpp on the golden data that OG_GOLDEN_DIR names: every dense llama model of a
 * supported type, every sequence, every set of kernels; and that the others are refused by name.
 * Tolerances are those of the golden data's README. Without the folder the test is skipped (77);
 * test_forward covers the same ground with fixtures of the project's own. */
#include "engine/engine.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#define SEQUENCES  3
#define TOKENS_MAX 512
#define GREEDY     32

struct golden {
	const char *dir;
	json_t *json;
	int32_t tokens[SEQUENCES][TOKENS_MAX];
	size_t n_tokens[SEQUENCES];
};

static struct golden *golden_of(void **state)
{
	return *state;
}

static bool read_file(const char *path, void *out, size_t n)
{
	FILE *f = fopen(path, "rb");
	size_t got = f ? fread(out, 1, n, f) : 0;
	if (f)
		fclose(f);
	return got == n;
}

static void read_sequences(struct golden *g)
{
	char path[512], line[8192];
	snprintf(path, sizeof path, "%s/sequences.txt", g->dir);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (int i = 0; i < SEQUENCES; i++) {
		assert_non_null(fgets(line, sizeof line, f));
		char *end = line;
		while (g->n_tokens[i] < TOKENS_MAX) {
			char *from = end;
			long id = strtol(from, &end, 10);
			if (end == from)
				break;
			g->tokens[i][g->n_tokens[i]++] = (int32_t)id;
		}
	}
	fclose(f);
	assert_int_equal(g->n_tokens[0], 8);
	assert_int_equal(g->n_tokens[2], 300);
}

/* --- One model, one sequence
 * ---------------------------------------------------------------------- */

struct run {
	const struct golden *g;
	const char *name;
	int sequence;
	struct engine_context *c;
	uint32_t n_vocab;
	const char *kernels;
};

static void read_logits(const struct run *r, const char *kind, float *out)
{
	char path[512];
	snprintf(path, sizeof path, "%s/logits/%s.%s.%d.last.f32", r->g->dir, r->name, kind,
	    r->sequence);
	if (!read_file(path, out, r->n_vocab * sizeof *out))
		fail_msg("cannot read %s", path);
}

static double rms(const float *a, const float *b, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return sqrt(sum / (double)n);
}

static int32_t argmax(const float *v, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (v[i] > v[best])
			best = i;
	return (int32_t)best;
}

/* Greedy tokens must be the same up to the first step whose margin is below `least`. */
static void check_greedy(const struct run *r, const json_t *seq, const char *ids,
    const char *margins, float *logits, double least)
{
	struct err err = {0};
	for (size_t i = 0; i < GREEDY; i++) {
		if (json_number_value(json_array_get(json_object_get(seq, margins), i)) < least)
			return;
		int32_t id = argmax(logits, r->n_vocab);
		long want = (long)json_integer_value(json_array_get(json_object_get(seq, ids), i));
		if (id != want)
			fail_msg("%s, sequence %d, %s: greedy token %zu is %d, expected %ld",
			    r->name, r->sequence, r->kernels, i, id, want);
		assert_int_equal(engine_decode(r->c, &id, 1, &logits, &err), 0);
	}
}

static void check_float_model(const struct run *r, const json_t *seq, float *logits)
{
	float want[4096];
	read_logits(r, "ref", want);
	double std = json_number_value(json_object_get(seq, "logits_std"));
	for (uint32_t i = 0; i < r->n_vocab; i++)
		if (!(fabs((double)logits[i] - (double)want[i]) <= 1e-3 * std))
			fail_msg("%s, sequence %d, %s: logit %u is %g, expected %g", r->name,
			    r->sequence, r->kernels, i, (double)logits[i], (double)want[i]);
	check_greedy(r, seq, "greedy32", "margin32", logits, 2e-3);
}

static void check_quantised_model(const struct run *r, const json_t *seq, float *logits)
{
	float ref[4096], exact[4096];
	read_logits(r, "ref", ref);
	read_logits(r, "exact", exact);
	double ours = rms(logits, exact, r->n_vocab);
	double theirs = rms(ref, exact, r->n_vocab);
	if (!(ours <= 1.5 * theirs + 1e-3))
		fail_msg("%s, sequence %d, %s: rms %g from exact, llama.cpp's is %g", r->name,
		    r->sequence, r->kernels, ours, theirs);
	/* Where the exact answer is far from a tie, so must ours be. */
	check_greedy(r, seq, "exact_greedy32", "exact_margin32", logits, 25 * theirs + 1e-2);
}

static void check_model(struct golden *g, const char *name, struct engine_model *m)
{
	struct run r = {.g = g,
	    .name = name,
	    .n_vocab = engine_model_n_vocab(m),
	    .kernels = engine_model_kernels(m)};
	const json_t *seqs = json_object_get(json_object_get(g->json, name), "seqs");
	size_t len = strlen(name);
	bool is_f32 = len > 4 && strcmp(name + len - 4, "-F32") == 0;
	assert_true(r.n_vocab <= 4096);
	for (r.sequence = 0; r.sequence < SEQUENCES; r.sequence++) {
		const json_t *seq = json_array_get(seqs, (size_t)r.sequence);
		struct err err = {0};
		float *logits;
		size_t n = g->n_tokens[r.sequence];
		assert_non_null(seq);
		assert_int_equal(engine_context_new(m, (uint32_t)n + GREEDY, &r.c, &err), 0);
		assert_int_equal(engine_decode(r.c, g->tokens[r.sequence], n, &logits, &err), 0);
		if (is_f32)
			check_float_model(&r, seq, logits);
		else
			check_quantised_model(&r, seq, logits);
		engine_context_free(r.c);
	}
}

/* --- All models
 * --------------------------------------------------------------------------------------- */

static const char *const supported[] = {"llama-F32", "llama-linear-F32", "llama-ropefreqs-tied-F32",
    "llama-yarn-F32", "k-llama-F32", "k-llama-F16", "k-llama-BF16", "k-llama-Q8_0", "k-llama-Q4_0",
    "k-llama-Q4_1", "k-llama-Q5_0", "k-llama-Q5_1", "k-llama-Q4_K", "k-llama-Q5_K", "k-llama-Q6_K",
    "k-llama-mix-Q4_K_M"};

static void check_supported(struct golden *g, enum engine_kernel_choice kernels, unsigned threads)
{
	struct engine_options opts = {.kernels = kernels, .kv = ENGINE_KV_F32, .threads = threads};
	unsigned ran = 0;
	for (size_t i = 0; i < sizeof supported / sizeof supported[0]; i++) {
		char path[512];
		struct engine_model *m;
		struct err err = {0};
		snprintf(path, sizeof path, "%s/models/%s.gguf", g->dir, supported[i]);
		int rc = engine_model_load(path, &opts, &m, &err);
		if (rc == E_UNSUPPORTED && strstr(err.text, "this processor lacks"))
			skip();
		if (rc == E_NOT_FOUND) /* Q5_1 was not made */
			continue;
		if (rc)
			fail_msg("%s", err.text);
		check_model(g, supported[i], m);
		engine_model_free(m);
		ran++;
	}
	assert_true(ran >= 15);
}

static void test_ref(void **state)
{
	check_supported(golden_of(state), ENGINE_KERNELS_REF, 1);
}

static void test_avx2(void **state)
{
	check_supported(golden_of(state), ENGINE_KERNELS_AVX2, 1);
}

static void test_avx512(void **state)
{
	check_supported(golden_of(state), ENGINE_KERNELS_AVX512, 2);
}

/* Tokens given at once, exactly, leave the bits that single tokens leave, with every type and every
 * set of kernels: what continuing an answer elsewhere relies on. (Batches only come close.) */
static void check_exact(struct golden *g, const char *name, struct engine_model *m, size_t *batch)
{
	struct engine_context *one, *many;
	float *a, *b;
	size_t n = engine_model_n_vocab(m) * sizeof(float), from = 20, len = 200;
	const int32_t *t = g->tokens[2];
	assert_int_equal(engine_context_new(m, 256, &one, NULL), 0);
	assert_int_equal(engine_context_new(m, 256, &many, NULL), 0);
	assert_int_equal(engine_decode(one, t, from, &a, NULL), 0);
	assert_int_equal(engine_decode(many, t, from, &b, NULL), 0);
	for (size_t i = from; i < len; i++)
		assert_int_equal(engine_decode(one, t + i, 1, &a, NULL), 0);
	assert_int_equal(engine_decode_exact(many, t + from, len - from, &b, NULL), 0);
	if (memcmp(a, b, n) != 0)
		fail_msg("%s, %s: other bits", name, engine_model_kernels(m));
	for (size_t i = len; i < len + 5; i++) { /* and so do the keys and values */
		assert_int_equal(engine_decode(one, t + i, 1, &a, NULL), 0);
		assert_int_equal(engine_decode(many, t + i, 1, &b, NULL), 0);
		assert_memory_equal(a, b, n);
	}
	engine_context_truncate(many, (uint32_t)from);
	engine_context_truncate(one, (uint32_t)from);
	assert_int_equal(engine_decode_exact(one, t + from, len - from, &a, NULL), 0);
	assert_int_equal(engine_decode(many, t + from, len - from, &b, NULL), 0);
	*batch += memcmp(a, b, n) == 0;
	engine_context_free(one);
	engine_context_free(many);
}

static void test_exact(void **state)
{
	struct golden *g = golden_of(state);
	static const enum engine_kernel_choice kernels[] = {
	    ENGINE_KERNELS_REF, ENGINE_KERNELS_AVX2, ENGINE_KERNELS_AVX512};
	size_t ran = 0, batch = 0;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < sizeof supported / sizeof supported[0]; i++) {
			struct engine_options opts = {.kernels = kernels[k], .threads = 2};
			char path[512];
			struct engine_model *m;
			snprintf(path, sizeof path, "%s/models/%s.gguf", g->dir, supported[i]);
			if (engine_model_load(path, &opts, &m, NULL))
				continue;
			check_exact(g, supported[i], m, &batch);
			engine_model_free(m);
			ran++;
		}
	print_message("exact in %zu of %zu cases, batches in %zu\n", ran, ran, batch);
	assert_true(ran >= 15);
}

static bool is_supported(const char *file)
{
	for (size_t i = 0; i < sizeof supported / sizeof supported[0]; i++) {
		size_t n = strlen(supported[i]);
		if (strncmp(file, supported[i], n) == 0 && strcmp(file + n, ".gguf") == 0)
			return true;
	}
	return false;
}

/* Every other model is refused as unsupported, and never computed wrongly. */
static void test_refused(void **state)
{
	struct golden *g = golden_of(state);
	char path[512];
	snprintf(path, sizeof path, "%s/models", g->dir);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	unsigned refused = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.' || is_supported(e->d_name))
			continue;
		struct engine_model *m;
		struct err err = {0};
		snprintf(path, sizeof path, "%s/models/%s", g->dir, e->d_name);
		int rc = engine_model_load(path, NULL, &m, &err);
		if (rc != E_UNSUPPORTED)
			fail_msg("%s: %d %s", e->d_name, rc, err.text);
		assert_non_null(strstr(err.text, "not supported"));
		refused++;
	}
	closedir(dir);
	assert_true(refused > 20);
}

int main(void)
{
	static struct golden g;
	g.dir = getenv("OG_GOLDEN_DIR");
	if (!g.dir || !*g.dir) {
		printf("OG_GOLDEN_DIR is not set: nothing to compare with\n");
		return 77;
	}
	char path[512];
	snprintf(path, sizeof path, "%s/golden.json", g.dir);
	g.json = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	if (!g.json) {
		printf("cannot read %s\n", path);
		return 1;
	}
	read_sequences(&g);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_prestate(test_ref, &g),
	    cmocka_unit_test_prestate(test_avx2, &g),
	    cmocka_unit_test_prestate(test_avx512, &g),
	    cmocka_unit_test_prestate(test_exact, &g),
	    cmocka_unit_test_prestate(test_refused, &g),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(g.json);
	return failed;
}
