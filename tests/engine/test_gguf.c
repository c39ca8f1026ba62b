/* Files that are wrong: named mistakes get the right code and a message that says where; every
 * truncation and 10,000 random mutations are refused or work, and never more than that. */
#include "tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MUTATIONS 10000

static const struct tiny_spec small_spec = {
    "small", GGML_F32, 12, 32, 1, 32, 2, 1, 0, 0, TINY_YARN, false, false, NULL};
static const struct tiny_spec small_quant_spec = {
    "small", GGML_Q8_0, 12, 32, 1, 32, 2, 1, 0, 0, TINY_PLAIN, true, true, NULL};

/* --- Reading what is right
 * ------------------------------------------------------------------------ */

static void put_all_kinds(struct gguf_writer *w)
{
	gguf_put_u32(w, "t.u32", 4000000000u);
	gguf_put_f32(w, "t.f32", 1.5f);
	gguf_put_bool(w, "t.bool", true);
	gguf_put_str(w, "t.str", "hello");
	gguf_put_strings(w, "t.strings", 3, "x");
}

static void test_getters(void **state)
{
	(void)state;
	struct tiny_spec spec = small_spec;
	spec.extra = put_all_kinds;
	struct buf file;
	struct gguf *g;
	tiny_model(&spec, &file);
	assert_int_equal(gguf_open_memory(buf_view(&file), &g, NULL), 0);
	uint32_t u = 7;
	float f = 7;
	bool b = false;
	struct bytes s;
	struct gguf_array a;
	assert_true(gguf_get_u32(g, "t.u32", &u) && u == 4000000000u);
	assert_true(gguf_get_f32(g, "t.f32", &f) && f == 1.5f);
	assert_true(gguf_get_bool(g, "t.bool", &b) && b);
	assert_true(gguf_get_str(g, "t.str", &s) && bytes_equal(s, bytes_str("hello")));
	assert_true(gguf_get_array(g, "t.strings", &a) && a.n == 3 && a.type == GGUF_STRING);
	assert_true(bytes_equal(a.strings[2], bytes_str("x2")));
	u = 7;
	assert_false(gguf_get_u32(g, "t.f32", &u) || gguf_get_u32(g, "t.none", &u));
	assert_false(gguf_get_u32(g, "t.bool", &u) || gguf_get_str(g, "t.u32", &s));
	assert_int_equal(u, 7);
	assert_true(gguf_has(g, "t.bool") && !gguf_has(g, "t.boo"));
	const struct gguf_tensor *t = gguf_tensor(g, "blk.0.ffn_down.weight");
	assert_non_null(t);
	assert_int_equal(t->data.n, 32 * 32 * 4);
	assert_null(gguf_tensor(g, "blk.0.ffn_down.weigh"));
	assert_int_equal(gguf_tensor_count(g), 12);
	gguf_close(g);
	buf_free(&file);
}

static void test_paths(void **state)
{
	(void)state;
	struct engine_model *m;
	struct err err = {0};
	assert_int_equal(engine_model_load("/nonexistent/x.gguf", NULL, &m, &err), E_NOT_FOUND);
	assert_non_null(strstr(err.text, "/nonexistent/x.gguf"));
	assert_int_equal(engine_model_load("/", NULL, &m, &err), E_FORMAT);
	char path[] = "/tmp/test_gguf.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(engine_model_load(path, NULL, &m, &err), E_FORMAT);
	assert_non_null(strstr(err.text, path));
	struct buf file;
	tiny_model(&small_spec, &file);
	assert_int_equal(write(fd, file.p, file.n), (ssize_t)file.n);
	close(fd);
	assert_int_equal(engine_model_load(path, NULL, &m, &err), 0);
	assert_int_equal(engine_model_file_size(m), file.n);
	engine_model_free(m);
	unlink(path);
	buf_free(&file);
}

/* --- Named mistakes
 * ---------------------------------------------------------------------------------- */

/* Where the value of a key, or the shape of a tensor, begins in the file. */
static uint8_t *after_name(struct buf *file, const char *name, size_t skip)
{
	uint8_t *at = memmem(file->p, file->n, name, strlen(name));
	assert_non_null(at);
	return at + strlen(name) + skip;
}

static void set_u32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static void expect(struct buf *file, int code, const char *text)
{
	struct engine_model *m;
	struct err err = {0};
	int rc = engine_model_load_memory(buf_view(file), NULL, &m, &err);
	if (rc == 0)
		engine_model_free(m);
	if (rc != code || !strstr(err.text, text))
		fail_msg("got %d '%s', expected %d '%s'", rc, err.text, code, text);
	buf_free(file);
}

struct bad_number {
	const char *key;
	uint32_t bits; /* of the number, integer or float */
	int code;
	const char *text;
};

static void test_hyperparameters(void **state)
{
	(void)state;
	static const struct bad_number bad[] = {
	    {"llama.context_length", 0, E_FORMAT, "llama.context_length is 0"},
	    {"llama.context_length", UINT32_MAX, E_FORMAT, "llama.context_length is 4294967295"},
	    {"llama.embedding_length", 0, E_FORMAT, "embedding_length is 0"},
	    {"llama.embedding_length", 1u << 31, E_FORMAT, "embedding_length is 2147483648"},
	    {"llama.embedding_length", 64, E_FORMAT, "tensor 'token_embd.weight' is 32 x 12"},
	    {"llama.block_count", 0, E_FORMAT, "block_count is 0"},
	    {"llama.block_count", UINT32_MAX, E_FORMAT, "block_count is"},
	    {"llama.block_count", 2, E_FORMAT, "tensor 'blk.1.attn_norm.weight' is missing"},
	    {"llama.feed_forward_length", 33, E_FORMAT,
		"tensor 'blk.0.ffn_gate.weight' is 32 x 32"},
	    {"llama.feed_forward_length", UINT32_MAX, E_FORMAT, "feed_forward_length"},
	    {"llama.attention.head_count", 0, E_FORMAT, "head_count is 0"},
	    {"llama.attention.head_count", 3, E_FORMAT, "no multiple of head_count 3"},
	    {"llama.attention.head_count", 4, E_FORMAT, "tensor 'blk.0.attn_k.weight'"},
	    {"llama.attention.head_count_kv", 0, E_FORMAT, "head_count_kv is 0"},
	    {"llama.attention.head_count_kv", 4, E_FORMAT, "no multiple of head_count_kv 4"},
	    {"llama.attention.layer_norm_rms_epsilon", 0x7fc00000, E_FORMAT, "rms_epsilon is nan"},
	    {"llama.attention.layer_norm_rms_epsilon", 0xbf000000, E_FORMAT, "rms_epsilon is -0.5"},
	    {"llama.attention.layer_norm_rms_epsilon", 0, E_FORMAT, "rms_epsilon is 0"},
	    {"llama.rope.freq_base", 0x7f800000, E_FORMAT, "freq_base is inf"},
	    {"llama.rope.freq_base", 0, E_FORMAT, "freq_base is 0"},
	    {"llama.rope.scaling.factor", 0x7fc00000, E_FORMAT, "scaling.factor is nan"},
	    {"llama.rope.scaling.factor", 0xbf800000, E_FORMAT, "scaling.factor is -1"},
	    {"llama.rope.scaling.original_context_length", 0, E_FORMAT, "original_context_length"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct buf file;
		tiny_model(&small_spec, &file);
		set_u32(after_name(&file, bad[i].key, 4), bad[i].bits);
		expect(&file, bad[i].code, bad[i].text);
	}
}

/* Keys and tensors of models that this engine does not compute. */
static void put_experts(struct gguf_writer *w)
{
	gguf_put_u32(w, "llama.expert_count", 4);
}

static void put_longrope(struct gguf_writer *w)
{
	gguf_put_str(w, "llama.rope.scaling.type", "longrope");
}

static void put_encoder(struct gguf_writer *w)
{
	gguf_put_bool(w, "llama.attention.causal", false);
}

static void put_foreign_tensor(struct gguf_writer *w)
{
	static const float zeros[32];
	gguf_put_tensor(w, "blk.0.attn_q_norm.weight", GGML_F32, 32, 0, bytes_of(zeros, 128));
}

static void put_second_name(struct gguf_writer *w)
{
	gguf_put_str(w, "general.name", "again");
}

static void put_second_tensor(struct gguf_writer *w)
{
	static const float zeros[32];
	gguf_put_tensor(w, "output_norm.weight", GGML_F32, 32, 0, bytes_of(zeros, 128));
}

static void put_alignment(struct gguf_writer *w)
{
	gguf_put_u32(w, "general.alignment", 12);
}

static void put_key_length_text(struct gguf_writer *w)
{
	gguf_put_str(w, "llama.attention.key_length", "16");
}

static void test_unsupported(void **state)
{
	(void)state;
	static const struct {
		void (*extra)(struct gguf_writer *w);
		int code;
		const char *text;
	} bad[] = {
	    {put_experts, E_UNSUPPORTED, "llama.expert_count is 4"},
	    {put_longrope, E_UNSUPPORTED, "'longrope' is not supported"},
	    {put_encoder, E_UNSUPPORTED, "only causal models"},
	    {put_foreign_tensor, E_UNSUPPORTED, "'blk.0.attn_q_norm.weight' is no part"},
	    {put_second_name, E_FORMAT, "key 'general.name' appears twice"},
	    {put_second_tensor, E_FORMAT, "tensor 'output_norm.weight' appears twice"},
	    {put_alignment, E_FORMAT, "general.alignment is 12"},
	    {put_key_length_text, E_UNSUPPORTED, "key_length is no single whole number"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct tiny_spec spec = small_spec;
		spec.rope = TINY_PLAIN;
		spec.extra = bad[i].extra;
		struct buf file;
		tiny_model(&spec, &file);
		expect(&file, bad[i].code, bad[i].text);
	}
	struct buf file;
	tiny_model(&small_spec, &file);
	memcpy(after_name(&file, "general.architecture", 12), "gemma", 5);
	expect(&file, E_UNSUPPORTED, "architecture 'gemma' is not supported (supported: llama)");
}

/* A tensor's entry: name, u32 dims, u64 each, u32 type, u64 offset. */
static void test_directory(void **state)
{
	(void)state;
	static const struct {
		size_t skip;
		uint32_t value;
		int code;
		const char *text;
	} bad[] = {
	    {0, 0, E_FORMAT, "has 0 dimensions"},
	    {0, 5, E_FORMAT, "has 5 dimensions"},
	    {4, 0, E_FORMAT, "dimension 0 is 0"},
	    {8, 0xffffffff, E_FORMAT, "dimension 0 is"},
	    {12, 0x1000000, E_FORMAT, "(file truncated?)"},
	    {20, 777, E_UNSUPPORTED, "unknown type 777"},
	    {20, 10, E_FORMAT, "no multiple of the 256 weights in a block of Q2_K"},
	    {20, 26, E_UNSUPPORTED, "'blk.0.attn_k.weight' has type I32"},
	    {24, 1, E_FORMAT, "offset"},
	    {28, 1, E_FORMAT, "(file truncated?)"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct buf file;
		tiny_model(&small_spec, &file);
		set_u32(after_name(&file, "blk.0.attn_k.weight", bad[i].skip), bad[i].value);
		expect(&file, bad[i].code, bad[i].text);
	}
}

static void test_header(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint32_t value;
		int code;
		const char *text;
	} bad[] = {
	    {0, 0x46554746, E_FORMAT, "begins with 46 47 55 46"},
	    {4, 1, E_UNSUPPORTED, "version 1"},
	    {4, 4, E_UNSUPPORTED, "version 4"},
	    {4, 3u << 24, E_UNSUPPORTED, "big-endian"},
	    {8, 0xffffffff, E_FORMAT, "claims 4294967295 tensors"},
	    {12, 1, E_FORMAT, "tensors"},
	    {16, 0xffffffff, E_FORMAT, "claims 4294967295 metadata keys"},
	    {24, 0xffffff00, E_FORMAT, "key at offset 24 claims 4294967040 bytes"},
	    {24, 0, E_FORMAT, "key at offset 24 is empty"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct buf file;
		tiny_model(&small_spec, &file);
		set_u32(file.p + bad[i].at, bad[i].value);
		expect(&file, bad[i].code, bad[i].text);
	}
}

/* --- Random damage
 * -------------------------------------------------------------------------------------- */

/* An exact copy in memory of its own, so that AddressSanitizer sees one byte too far. */
static uint8_t *exact_copy(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	assert_non_null(copy);
	memcpy(copy, p, n);
	return copy;
}

/* Loads and decodes; true when that worked. Anything but an explained refusal fails the test. */
static bool try_file(const uint8_t *p, size_t n)
{
	struct engine_options opts = {.threads = 1};
	struct engine_model *m;
	struct engine_context *c;
	struct err err = {0};
	int rc = engine_model_load_memory(bytes_of(p, n), &opts, &m, &err);
	if (rc) {
		assert_true(rc == E_FORMAT || rc == E_UNSUPPORTED);
		assert_int_equal(err.code, rc);
		assert_true(strlen(err.text) > 8);
		return false;
	}
	float *logits;
	assert_int_equal(engine_context_new(m, 24, &c, &err), 0);
	int32_t last = (int32_t)engine_model_n_vocab(m) - 1;
	int32_t tokens[] = {0, last, 0, last, 0};
	rc = engine_decode(c, tokens, 5, &logits, &err);
	if (!rc)
		rc = engine_decode(c, tokens, 1, &logits, &err);
	assert_true(rc == 0 || rc == E_FORMAT);
	for (uint32_t i = 0; rc == 0 && i < engine_model_n_vocab(m); i++)
		assert_true(isfinite(logits[i]));
	engine_context_free(c);
	engine_model_free(m);
	return rc == 0;
}

static void test_truncations(void **state)
{
	(void)state;
	struct buf file;
	tiny_model(&small_quant_spec, &file);
	for (size_t n = 0; n < file.n; n += n < 4096 ? 1 : 97) {
		uint8_t *copy = exact_copy(file.p, n);
		assert_false(try_file(copy, n));
		free(copy);
	}
	assert_true(try_file(file.p, file.n));
	buf_free(&file);
}

static const uint64_t nasty[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
    0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0x7f800000,
    0x7fc00000, 0xff800000};

/* One to four changes, most of them among the metadata; now and then the end is missing. */
static size_t mutate(uint8_t *p, size_t n, size_t meta, uint64_t *rnd)
{
	unsigned changes = 1 + tiny_random(rnd) % 4;
	for (unsigned i = 0; i < changes; i++) {
		size_t within = tiny_random(rnd) % 8 ? meta : n;
		size_t at = tiny_random(rnd) % within;
		uint64_t v = nasty[tiny_random(rnd) % (sizeof nasty / sizeof nasty[0])];
		size_t width = (size_t)1 << tiny_random(rnd) % 4;
		switch (tiny_random(rnd) % 3) {
		case 0:
			p[at] ^= (uint8_t)(1u << tiny_random(rnd) % 8);
			break;
		case 1:
			p[at] = (uint8_t)tiny_random(rnd);
			break;
		default:
			memcpy(p + at, &v, width < n - at ? width : n - at);
		}
	}
	return tiny_random(rnd) % 50 ? n : tiny_random(rnd) % n;
}

static void test_mutations(void **state)
{
	(void)state;
	unsigned worked = 0;
	uint64_t rnd = 20261120;
	for (unsigned i = 0; i < MUTATIONS; i++) {
		struct buf file;
		tiny_model(i % 2 ? &small_spec : &small_quant_spec, &file);
		const uint8_t *end = memmem(file.p, file.n, "blk.0.ffn_down.weight", 21);
		size_t n = mutate(file.p, file.n, (size_t)(end - file.p) + 60, &rnd);
		uint8_t *copy = exact_copy(file.p, n);
		worked += try_file(copy, n);
		free(copy);
		buf_free(&file);
	}
	print_message("%u of %u mutated files still decoded\n", worked, MUTATIONS);
	assert_true(worked > MUTATIONS / 50 && worked < MUTATIONS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_getters),
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_hyperparameters),
	    cmocka_unit_test(test_unsupported),
	    cmocka_unit_test(test_directory),
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_truncations),
	    cmocka_unit_test(test_mutations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
