/* The inside of a context: the cache of keys and values, and the scratch memory of one batch.
 *
 * Keys are kept in blocks of 16 positions, [block][value][16], and values in blocks of 16 numbers,
 * [block][position][16], per layer and key head: both are panels that the tile kernels read
 * directly. Positions from `pos` on hold garbage that nothing reads. */
#ifndef ENGINE_CONTEXT_PRIV_H
#define ENGINE_CONTEXT_PRIV_H

#include "engine/model_priv.h"

#define BATCH_MAX  256 /* tokens computed at once */
#define ATTN_ROWS  16  /* queries that one attention item serves */
#define ATTN_BLOCK 256 /* positions between two rescalings of the running softmax */

/* Scratch memory of one thread. */
struct thread_scratch {
	struct panel panel;
	float *query;  /* [ATTN_ROWS][head_dim] */
	float *scores; /* [ATTN_ROWS][ATTN_BLOCK] */
	float *mix;    /* [ATTN_ROWS][head_dim rounded up to 16] */
};

struct engine_context {
	struct engine_model *m;
	uint32_t n_ctx;
	uint32_t n_ctx16; /* rounded up to 16 */
	uint32_t pos;
	uint32_t n_batch;
	bool one_by_one; /* batches must give the bits that single tokens give */
	const atomic_bool *cancel;

	uint8_t *kv;
	size_t kv_layer_bytes;
	size_t kv_head_bytes; /* keys, then values */
	size_t v_offset;      /* of the values within a head */

	/* The batch: [n_batch][…]. */
	float *x;      /* residual stream, n_embd */
	float *h;      /* input of a matrix, n_embd */
	float *q;      /* n_head * head_dim */
	float *k, *v;  /* n_head_kv * head_dim */
	float *att;    /* n_head * head_dim */
	float *gate;   /* n_ff */
	float *up;     /* n_ff */
	float *turns;  /* n_rot: cosine and sine per pair */
	float *logits; /* n_vocab, of the last token only */
	struct act_row *rows;
	struct act_out *quant;
	struct thread_scratch *threads;
	uint8_t *arena;
};

/* One batch on its way through the layers. */
struct step {
	struct engine_context *c;
	struct pool *pool; /* NULL: this step is too small to share */
	const int32_t *tokens;
	uint32_t n;     /* tokens of the batch */
	uint32_t first; /* tokens before this one are no longer needed */
	uint32_t pos;   /* of token 0 */
};

static inline uint32_t round_up16(uint32_t n)
{
	return (n + 15) & ~15u;
}

/* A pool for work of about this many bytes of weights (or as many multiplications), or NULL when
 * waking threads would cost more than it gains. */
struct pool *step_pool(const struct step *s, uint64_t work);

/* y = W x for the batch's prepared activations (rows first … n - 1), for up to three matrices that
 * share them. */
struct product {
	const struct matrix *w;
	float *y;        /* [n][w->rows] */
	uint32_t origin; /* the batch row that y[0] belongs to */
};
#define PRODUCTS_MAX 3
void matmul(struct step *s, const struct product *p, unsigned n_products);

/* Whether these may come next: E_INVALID, E_CONTEXT_LENGTH. */
int context_check_tokens(
    const struct engine_context *c, const int32_t *tokens, size_t n, struct err *err) WARN_UNUSED;
/* One batch (at most n_batch tokens) at `pos`: the final states of its tokens are in c->h. The
 * position of the context stays. */
int context_states(struct engine_context *c, const int32_t *tokens, uint32_t n, uint32_t pos,
    struct err *err) WARN_UNUSED;

/* att = softmax(q k^T) v over the cache of `layer`, for rows first … n - 1. */
void attention(struct step *s, uint32_t layer);
/* Puts k and v of batch row t, at position pos + t, into the cache. */
void cache_store(struct step *s, uint32_t layer, uint32_t t);

#endif
