/* See tiny.h. Whatever changes here changes in tiny_expected.py too. */
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_LIMIT ((size_t)16 << 30) /* the benchmark makes models of real size */

const struct tiny_spec tiny_specs[] = {
    {"plain", GGML_F32, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"tied-factors", GGML_F32, 48, 64, 2, 96, 4, 4, 0, 0, TINY_FACTORS, true, false, NULL},
    {"linear", GGML_F32, 48, 64, 2, 96, 4, 1, 0, 0, TINY_LINEAR, false, false, NULL},
    {"yarn", GGML_F32, 48, 64, 2, 96, 4, 2, 0, 0, TINY_YARN, false, false, NULL},
    {"odd-heads-biases", GGML_F32, 37, 60, 2, 52, 6, 2, 22, 10, TINY_PLAIN, false, true, NULL},
    {"f16", GGML_F16, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"bf16", GGML_BF16, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q8_0", GGML_Q8_0, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q4_0", GGML_Q4_0, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, true, false, NULL},
    {"q4_1", GGML_Q4_1, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q5_0", GGML_Q5_0, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q5_1", GGML_Q5_1, 48, 64, 2, 96, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q4_k", GGML_Q4_K, 48, 256, 1, 256, 4, 1, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q5_k", GGML_Q5_K, 48, 256, 1, 256, 4, 2, 0, 0, TINY_PLAIN, false, false, NULL},
    {"q6_k", GGML_Q6_K, 48, 256, 1, 512, 8, 2, 0, 0, TINY_PLAIN, false, false, NULL},
};
const size_t tiny_spec_count = sizeof tiny_specs / sizeof tiny_specs[0];

/* --- Randomness and weights ------------------------------------------------------------------- */

uint64_t tiny_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

float tiny_float(uint64_t *state)
{
	return (float)((int64_t)(tiny_random(state) >> 40) - (1 << 23)) / (float)(1 << 23);
}

static void put_u16le(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

/* A half of random mantissa with this exponent: from 2^e to 2^(e+1). */
static unsigned half_of_exponent(int e, uint64_t random)
{
	return (unsigned)(e + 15) << 10 | (random & 0x3ff);
}

/* Where a block keeps its scale and its minimum (-1: nowhere), and their exponents: chosen so that
 * weights are about 0.15 large. */
struct scale_place {
	uint32_t type;
	int scale_at, scale_exp;
	int min_at, min_exp;
	bool min_negative;
};

static const struct scale_place places[] = {
    {GGML_Q8_0, 0, -9, -1, 0, false},
    {GGML_Q4_0, 0, -5, -1, 0, false},
    {GGML_Q4_1, 0, -5, 2, -2, true},
    {GGML_Q5_0, 0, -6, -1, 0, false},
    {GGML_Q5_1, 0, -6, 2, -2, true},
    {GGML_Q4_K, 0, -10, 2, -7, false},
    {GGML_Q5_K, 0, -11, 2, -7, false},
    {GGML_Q6_K, 208, -13, -1, 0, false},
};

static void fill_block(const struct ggml_type *type, uint64_t *state, uint8_t *block)
{
	for (unsigned i = 0; i < type->bytes; i++)
		block[i] = (uint8_t)(tiny_random(state) >> 56);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		const struct scale_place *p = &places[i];
		if (p->type != type->id)
			continue;
		put_u16le(block + p->scale_at, half_of_exponent(p->scale_exp, tiny_random(state)));
		if (p->min_at >= 0)
			put_u16le(block + p->min_at,
			    (p->min_negative ? 0x8000u : 0) |
				half_of_exponent(p->min_exp, tiny_random(state)));
	}
}

static void fill_float(uint32_t type, uint64_t *state, uint8_t *out)
{
	if (type == GGML_F32) {
		float v = tiny_float(state) / 4;
		memcpy(out, &v, sizeof v);
		return;
	}
	uint64_t r = tiny_random(state);
	unsigned sign = (unsigned)(r >> 63) << 15;
	if (type == GGML_F16) /* 2^-5 to 2^-2 */
		put_u16le(out, sign | (unsigned)(10 + (r >> 32) % 3) << 10 | (r & 0x3ff));
	else /* BF16, the same range */
		put_u16le(out, sign | (unsigned)(122 + (r >> 32) % 3) << 7 | (r & 0x7f));
}

void tiny_weights(uint32_t type, size_t n_weights, uint64_t *state, struct buf *out)
{
	const struct ggml_type *info = ggml_type_info(type);
	uint8_t block[256];
	for (size_t i = 0; i < n_weights; i += info->elems) {
		if (info->elems > 1)
			fill_block(info, state, block);
		else
			fill_float(type, state, block);
		buf_put(out, block, info->bytes);
	}
}

/* FNV-1a of the tensor's name: its weights' seed. */
static uint64_t name_seed(const char *name)
{
	uint64_t h = 0xcbf29ce484222325;
	for (const char *p = name; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	return h;
}

/* --- Writing GGUF --------------------------------------------------------------------------------
 */

static void buf_u32le(struct buf *b, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		buf_u8(b, (uint8_t)(v >> 8 * i));
}

static void buf_u64le(struct buf *b, uint64_t v)
{
	buf_u32le(b, (uint32_t)v);
	buf_u32le(b, (uint32_t)(v >> 32));
}

static void buf_string(struct buf *b, const char *s)
{
	buf_u64le(b, strlen(s));
	buf_str(b, s);
}

void gguf_writer_init(struct gguf_writer *w)
{
	*w = (struct gguf_writer){.kv = BUF_INIT(FILE_LIMIT),
	    .directory = BUF_INIT(FILE_LIMIT),
	    .data = BUF_INIT(FILE_LIMIT)};
}

static void put_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
	buf_string(&w->kv, key);
	buf_u32le(&w->kv, (uint32_t)type);
	w->n_kv++;
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
	put_key(w, key, GGUF_U32);
	buf_u32le(&w->kv, v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof bits);
	put_key(w, key, GGUF_F32);
	buf_u32le(&w->kv, bits);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
	put_key(w, key, GGUF_BOOL);
	buf_u8(&w->kv, v);
}

void gguf_put_str(struct gguf_writer *w, const char *key, const char *v)
{
	put_key(w, key, GGUF_STRING);
	buf_string(&w->kv, v);
}

void gguf_put_strings(struct gguf_writer *w, const char *key, size_t n, const char *prefix)
{
	put_key(w, key, GGUF_ARRAY);
	buf_u32le(&w->kv, GGUF_STRING);
	buf_u64le(&w->kv, n);
	for (size_t i = 0; i < n; i++) {
		char text[64];
		snprintf(text, sizeof text, "%s%zu", prefix, i);
		buf_string(&w->kv, text);
	}
}

void gguf_put_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint64_t cols,
    uint64_t rows, struct bytes data)
{
	buf_string(&w->directory, name);
	buf_u32le(&w->directory, rows ? 2 : 1);
	buf_u64le(&w->directory, cols);
	if (rows)
		buf_u64le(&w->directory, rows);
	buf_u32le(&w->directory, type);
	while (w->data.n % 32)
		buf_u8(&w->data, 0);
	buf_u64le(&w->directory, w->data.n);
	buf_bytes(&w->data, data);
	w->n_tensors++;
}

void gguf_writer_finish(struct gguf_writer *w, struct buf *out)
{
	*out = BUF_INIT(FILE_LIMIT);
	buf_str(out, "GGUF");
	buf_u32le(out, 3);
	buf_u64le(out, w->n_tensors);
	buf_u64le(out, w->n_kv);
	buf_bytes(out, buf_view(&w->kv));
	buf_bytes(out, buf_view(&w->directory));
	while (out->n % 32)
		buf_u8(out, 0);
	buf_bytes(out, buf_view(&w->data));
	INVARIANT(!w->kv.failed && !w->directory.failed && !w->data.failed && !out->failed);
	buf_free(&w->kv);
	buf_free(&w->directory);
	buf_free(&w->data);
}

/* --- Models
 * ---------------------------------------------------------------------------------------- */

static void put_random(
    struct gguf_writer *w, const char *name, uint32_t type, uint32_t cols, uint32_t rows)
{
	struct buf data = BUF_INIT(FILE_LIMIT);
	uint64_t state = name_seed(name);
	tiny_weights(type, (size_t)cols * rows, &state, &data);
	gguf_put_tensor(w, name, type, cols, rows, buf_view(&data));
	buf_free(&data);
}

/* A vector of `base` plus up to a quarter either way. */
static void put_vector(struct gguf_writer *w, const char *name, uint32_t n, float base)
{
	struct buf data = BUF_INIT(FILE_LIMIT);
	uint64_t state = name_seed(name);
	for (uint32_t i = 0; i < n; i++) {
		float v = base + tiny_float(&state) / 4;
		buf_put(&data, &v, sizeof v);
	}
	gguf_put_tensor(w, name, GGML_F32, n, 0, buf_view(&data));
	buf_free(&data);
}

static void put_layer_matrix(struct gguf_writer *w, const struct tiny_spec *s, uint32_t layer,
    const char *part, uint32_t cols, uint32_t rows)
{
	char name[64];
	snprintf(name, sizeof name, "blk.%u.%s.weight", layer, part);
	put_random(w, name, s->type, cols, rows);
	snprintf(name, sizeof name, "blk.%u.%s.bias", layer, part);
	if (s->biases)
		put_vector(w, name, rows, 0);
}

static void put_layer(struct gguf_writer *w, const struct tiny_spec *s, uint32_t layer)
{
	uint32_t dim = s->head_dim ? s->head_dim : s->n_embd / s->n_head;
	char name[64];
	snprintf(name, sizeof name, "blk.%u.attn_norm.weight", layer);
	put_vector(w, name, s->n_embd, 1);
	put_layer_matrix(w, s, layer, "attn_q", s->n_embd, s->n_head * dim);
	put_layer_matrix(w, s, layer, "attn_k", s->n_embd, s->n_head_kv * dim);
	put_layer_matrix(w, s, layer, "attn_v", s->n_embd, s->n_head_kv * dim);
	put_layer_matrix(w, s, layer, "attn_output", s->n_head * dim, s->n_embd);
	snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
	put_vector(w, name, s->n_embd, 1);
	put_layer_matrix(w, s, layer, "ffn_gate", s->n_embd, s->n_ff);
	put_layer_matrix(w, s, layer, "ffn_up", s->n_embd, s->n_ff);
	put_layer_matrix(w, s, layer, "ffn_down", s->n_ff, s->n_embd);
}

static void put_hparams(struct gguf_writer *w, const struct tiny_spec *s)
{
	gguf_put_str(w, "general.architecture", "llama");
	gguf_put_str(w, "general.name", s->name);
	gguf_put_u32(w, "llama.context_length", 256);
	gguf_put_u32(w, "llama.embedding_length", s->n_embd);
	gguf_put_u32(w, "llama.block_count", s->n_layer);
	gguf_put_u32(w, "llama.feed_forward_length", s->n_ff);
	gguf_put_u32(w, "llama.attention.head_count", s->n_head);
	gguf_put_u32(w, "llama.attention.head_count_kv", s->n_head_kv);
	gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	gguf_put_f32(w, "llama.rope.freq_base", 10000);
	if (s->head_dim) {
		gguf_put_u32(w, "llama.attention.key_length", s->head_dim);
		gguf_put_u32(w, "llama.attention.value_length", s->head_dim);
	}
	if (s->n_rot)
		gguf_put_u32(w, "llama.rope.dimension_count", s->n_rot);
	if (s->rope == TINY_LINEAR || s->rope == TINY_YARN) {
		gguf_put_str(
		    w, "llama.rope.scaling.type", s->rope == TINY_YARN ? "yarn" : "linear");
		gguf_put_f32(w, "llama.rope.scaling.factor", 4);
	}
	if (s->rope == TINY_YARN)
		gguf_put_u32(w, "llama.rope.scaling.original_context_length", 64);
	gguf_put_strings(w, "tokenizer.ggml.tokens", s->n_vocab, "t");
}

void tiny_model(const struct tiny_spec *s, struct buf *out)
{
	struct gguf_writer w;
	gguf_writer_init(&w);
	put_hparams(&w, s);
	put_random(&w, "token_embd.weight", s->type, s->n_embd, s->n_vocab);
	if (!s->tied)
		put_random(&w, "output.weight", s->type, s->n_embd, s->n_vocab);
	put_vector(&w, "output_norm.weight", s->n_embd, 1);
	uint32_t n_rot = s->n_rot ? s->n_rot : s->n_embd / s->n_head;
	if (s->rope == TINY_FACTORS)
		put_vector(&w, "rope_freqs.weight", n_rot / 2, 2);
	for (uint32_t i = 0; i < s->n_layer; i++)
		put_layer(&w, s, i);
	if (s->extra)
		s->extra(&w);
	gguf_writer_finish(&w, out);
}
