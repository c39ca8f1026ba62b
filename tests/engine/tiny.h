/* Tiny models made on the spot: a GGUF writer, and llama-architecture models whose weights follow
 * from their tensors' names alone. tests/engine/tiny_expected.py computes the same weights and,
 * independently, what such models answer. */
#ifndef TESTS_ENGINE_TINY_H
#define TESTS_ENGINE_TINY_H

#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/kernels/types.h"

enum tiny_rope {
	TINY_PLAIN,
	TINY_LINEAR,
	TINY_YARN,
	TINY_FACTORS
};

struct gguf_writer;

struct tiny_spec {
	const char *name;
	uint32_t type; /* of all matrices */
	uint32_t n_vocab, n_embd, n_layer, n_ff, n_head, n_head_kv;
	uint32_t head_dim; /* 0: n_embd / n_head */
	uint32_t n_rot;    /* 0: head_dim */
	enum tiny_rope rope;
	bool tied;
	bool biases;
	void (*extra)(struct gguf_writer *w); /* or NULL: puts more keys or tensors */
};

/* The models of the expected table, in its order. */
extern const struct tiny_spec tiny_specs[];
extern const size_t tiny_spec_count;

/* The whole file in *out (a fresh buffer; the caller frees it with buf_free). */
void tiny_model(const struct tiny_spec *spec, struct buf *out);

/* splitmix64: the one source of randomness of these tests. */
uint64_t tiny_random(uint64_t *state);
/* Fills n blocks' worth of valid weights of a type; deterministic in *state. */
void tiny_weights(uint32_t type, size_t n_weights, uint64_t *state, struct buf *out);
/* A float from [-1, 1) with 24 bits. */
float tiny_float(uint64_t *state);

/* A GGUF file under construction. Metadata first, then tensors, then finish. */
struct gguf_writer {
	struct buf kv;
	struct buf directory;
	struct buf data;
	uint64_t n_kv;
	uint64_t n_tensors;
};

void gguf_writer_init(struct gguf_writer *w);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_str(struct gguf_writer *w, const char *key, const char *v);
void gguf_put_strings(struct gguf_writer *w, const char *key, size_t n, const char *prefix);
void gguf_put_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint64_t cols,
    uint64_t rows, struct bytes data);
void gguf_writer_finish(struct gguf_writer *w, struct buf *out); /* frees the writer's memory */

#endif
