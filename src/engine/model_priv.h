/* The inside of a loaded model: hyperparameters, weights as views of the file, rotary frequencies.
 * Everything here was checked at load; the forward pass relies on it without looking again. */
#ifndef ENGINE_MODEL_PRIV_H
#define ENGINE_MODEL_PRIV_H

#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/kernels/kernels.h"
#include "engine/pool_priv.h"

/* Bounds on what a file may claim. Far above any real model, low enough that no product of two of
 * them overflows 64 bits. */
#define HPARAM_CTX_MAX      (1u << 27)
#define HPARAM_EMBD_MAX     (1u << 16)
#define HPARAM_LAYER_MAX    1024u
#define HPARAM_FF_MAX       (1u << 19)
#define HPARAM_HEAD_MAX     1024u
#define HPARAM_HEAD_DIM_MAX 1024u
#define HPARAM_VOCAB_MAX    (1u << 22)

struct hparams {
	uint32_t n_vocab;
	uint32_t n_ctx_train;
	uint32_t n_embd;
	uint32_t n_layer;
	uint32_t n_ff;
	uint32_t n_head;
	uint32_t n_head_kv; /* divides n_head */
	uint32_t head_dim;  /* of queries, keys and values */
	uint32_t n_rot;     /* even, at most head_dim: how much of a head is rotated */
	float rms_eps;
	float attn_scale;
};

/* Rotary embedding: value pair i at position p turns by p * freq[i]; cosine and sine are
 * multiplied by mscale (YaRN's attention factor). */
struct rope {
	float freq[HPARAM_HEAD_DIM_MAX / 2];
	float mscale;
};

/* rows x cols weights in the file; a row is contiguous. */
struct matrix {
	uint32_t type;
	uint32_t rows;
	uint32_t cols;
	size_t row_bytes;
	const uint8_t *data;
};

struct layer {
	const float *attn_norm, *ffn_norm;
	struct matrix wq, wk, wv, wo;
	struct matrix gate, up, down;
	/* NULL where the file has none */
	const float *bq, *bk, *bv, *bo, *b_gate, *b_up, *b_down;
};

struct engine_model {
	struct gguf *gguf;
	uint64_t n_params;
	uint64_t bytes_per_token;
	struct hparams h;
	struct rope rope;
	struct matrix embd, output;
	const float *output_norm;
	struct layer *layers;
	const struct engine_kernels *kernels;
	enum engine_kv kv;
	unsigned n_threads;
	struct pool *pool; /* NULL with one thread */
};

/* From the metadata alone (n_vocab excepted, which the embedding's shape gives). */
int hparams_read(const struct gguf *g, struct hparams *h, struct err *err) WARN_UNUSED;
/* Needs hparams; `factors` is rope_freqs.weight (n_rot/2 values) or NULL. */
int rope_read(const struct gguf *g, const struct hparams *h, const float *factors, struct rope *out,
    struct err *err) WARN_UNUSED;

#endif
