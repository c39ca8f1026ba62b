/* A sequence: its memory, and the forward pass of the dense llama architecture.
 *
 * One batch of tokens goes through all layers before the next begins. Work is shared with the pool
 * operation by operation; between layers the cancel flag is looked at. The position moves only
 * when everything succeeded. */
#include "engine/context_priv.h"

#include <math.h>
#include <stdlib.h>

#define BATCH_BYTES      (64u << 20) /* a bound for the batch's scratch memory */
#define POOLED_STEP_WORK (4u << 20)  /* bytes of weights times tokens: below, stay on one thread */
#define POOLED_OP_WORK   (256u << 10)

struct pool *step_pool(const struct step *s, uint64_t work)
{
	return work >= POOLED_OP_WORK ? s->pool : NULL;
}

/* --- Memory --------------------------------------------------------------------------------- */

static uint32_t widest_input(const struct hparams *h)
{
	uint32_t q = h->n_head * h->head_dim;
	uint32_t most = h->n_embd > q ? h->n_embd : q;
	return most > h->n_ff ? most : h->n_ff;
}

static size_t batch_bytes_per_token(const struct hparams *h)
{
	size_t q = (size_t)h->n_head * h->head_dim;
	size_t kv = (size_t)h->n_head_kv * h->head_dim;
	size_t floats = 2 * (size_t)h->n_embd + 2 * q + 2 * kv + 2 * (size_t)h->n_ff + h->n_rot;
	return floats * sizeof(float) + 2 * (size_t)widest_input(h);
}

/* Hands out pieces of one allocation; with base NULL it only counts. */
struct arena {
	uint8_t *base;
	size_t used;
};

static void *carve(struct arena *a, size_t n, size_t size)
{
	void *p = a->base ? a->base + a->used : NULL;
	a->used += (n * size + 63) & ~(size_t)63;
	return p;
}

static void lay_out_thread(struct arena *a, const struct hparams *h, struct thread_scratch *ts)
{
	size_t k = widest_input(h);
	float *query = carve(a, ATTN_ROWS * (size_t)h->head_dim, sizeof(float));
	float *scores = carve(a, (size_t)ATTN_ROWS * ATTN_BLOCK, sizeof(float));
	float *mix = carve(a, ATTN_ROWS * (size_t)round_up16(h->head_dim), sizeof(float));
	uint8_t *q = carve(a, k, PANEL_ROWS);
	float *scale = carve(a, k, sizeof(float)); /* k/16 groups of 16 rows */
	float *min = carve(a, k, sizeof(float));
	if (a->base)
		*ts = (struct thread_scratch){
		    .panel = {q, scale, min}, .query = query, .scores = scores, .mix = mix};
}

static void lay_out_quantised(struct arena *a, struct engine_context *c, size_t k, uint32_t t)
{
	struct act_out q = {.q = carve(a, k, 1),
	    .d = carve(a, k / 32 + 1, sizeof(float)),
	    .dsum16 = carve(a, k / 16 + 1, sizeof(float)),
	    .dsum32 = carve(a, k / 32 + 1, sizeof(float))};
	if (a->base)
		c->quant[t] = q;
}

static void lay_out(struct arena *a, struct engine_context *c)
{
	const struct hparams *h = &c->m->h;
	size_t n = c->n_batch;
	size_t q = (size_t)h->n_head * h->head_dim;
	size_t kv = (size_t)h->n_head_kv * h->head_dim;
	c->x = carve(a, n * h->n_embd, sizeof(float));
	c->h = carve(a, n * h->n_embd, sizeof(float));
	c->q = carve(a, n * q, sizeof(float));
	c->k = carve(a, n * kv, sizeof(float));
	c->v = carve(a, n * kv, sizeof(float));
	c->att = carve(a, n * q, sizeof(float));
	c->gate = carve(a, n * h->n_ff, sizeof(float));
	c->up = carve(a, n * h->n_ff, sizeof(float));
	c->turns = carve(a, n * h->n_rot, sizeof(float));
	c->logits = carve(a, h->n_vocab, sizeof(float));
	c->rows = carve(a, n, sizeof *c->rows);
	c->quant = carve(a, n, sizeof *c->quant);
	c->threads = carve(a, c->m->n_threads, sizeof *c->threads);
	for (uint32_t t = 0; t < n; t++)
		lay_out_quantised(a, c, widest_input(h), t);
	for (unsigned i = 0; i < c->m->n_threads; i++)
		lay_out_thread(a, h, a->base ? &c->threads[i] : NULL);
}

static size_t head_bytes(const struct engine_model *m, uint32_t n_ctx16, size_t *v_offset)
{
	size_t size = m->kv == ENGINE_KV_F16 ? sizeof(uint16_t) : sizeof(float);
	*v_offset = (size_t)n_ctx16 * m->h.head_dim * size;
	return *v_offset + (size_t)n_ctx16 * round_up16(m->h.head_dim) * size;
}

uint64_t engine_model_kv_bytes(const struct engine_model *m, uint32_t n_ctx)
{
	size_t v_offset;
	return (uint64_t)head_bytes(m, round_up16(n_ctx), &v_offset) * m->h.n_head_kv *
	       m->h.n_layer;
}

static int allocate(struct engine_context *c, struct err *err)
{
	const struct hparams *h = &c->m->h;
	size_t fits = BATCH_BYTES / batch_bytes_per_token(h);
	c->n_batch = fits < 1 ? 1 : fits > BATCH_MAX ? BATCH_MAX : (uint32_t)fits;
	c->n_batch = c->n_batch > c->n_ctx ? c->n_ctx : c->n_batch;
	c->kv_head_bytes = head_bytes(c->m, c->n_ctx16, &c->v_offset);
	c->kv_layer_bytes = c->kv_head_bytes * h->n_head_kv;
	c->kv = calloc(h->n_layer, c->kv_layer_bytes);
	struct arena a = {0};
	lay_out(&a, c);
	c->arena = aligned_alloc(64, a.used);
	if (!c->kv || !c->arena)
		return err_set(err, E_MEMORY,
		    "no memory for a context of %u tokens (%zu MiB of keys and values)", c->n_ctx,
		    (size_t)h->n_layer * c->kv_layer_bytes >> 20);
	a = (struct arena){.base = c->arena};
	lay_out(&a, c);
	return 0;
}

int engine_context_new(
    struct engine_model *m, uint32_t n_ctx, struct engine_context **out, struct err *err)
{
	if (n_ctx == 0 || n_ctx > ENGINE_CTX_MAX)
		return err_set(err, E_INVALID, "a context of %u tokens: from 1 to %u are possible",
		    n_ctx, ENGINE_CTX_MAX);
	struct engine_context *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, E_MEMORY, "no memory for a context");
	c->m = m;
	c->n_ctx = n_ctx;
	c->n_ctx16 = round_up16(n_ctx);
	int rc = allocate(c, err);
	if (rc) {
		engine_context_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void engine_context_free(struct engine_context *c)
{
	if (!c)
		return;
	free(c->kv);
	free(c->arena);
	free(c);
}

void engine_context_truncate(struct engine_context *c, uint32_t n_pos)
{
	if (n_pos < c->pos)
		c->pos = n_pos;
}

uint32_t engine_context_pos(const struct engine_context *c)
{
	return c->pos;
}

uint32_t engine_context_size(const struct engine_context *c)
{
	return c->n_ctx;
}

void engine_context_set_cancel(struct engine_context *c, const atomic_bool *cancel)
{
	c->cancel = cancel;
}

/* --- Row by row: what happens to each token alone ------------------------------------------- */

/* in += add; out = norm(in) or silu(out) * mul; then prepared as input of a matrix. */
struct rows_job {
	struct step *s;
	size_t n; /* width of in, add, out, mul */
	float *in;
	const float *add;  /* or NULL */
	const float *norm; /* or NULL */
	const float *mul;  /* or NULL */
	float *out;
	bool quantise;
};

static void rows_item(void *arg, size_t item, unsigned thread)
{
	(void)thread;
	const struct rows_job *j = arg;
	struct engine_context *c = j->s->c;
	const struct engine_kernels *k = c->m->kernels;
	size_t t = j->s->first + item;
	float *out = j->out + t * j->n;
	if (j->add)
		for (size_t i = 0; i < j->n; i++)
			j->in[t * j->n + i] += j->add[t * j->n + i];
	if (j->norm)
		k->rms_norm(j->in + t * j->n, j->norm, j->n, c->m->h.rms_eps, out);
	if (j->mul)
		k->silu_mul(out, j->mul + t * j->n, j->n);
	if (j->quantise)
		k->quantize(out, j->n, &c->quant[t]);
	const struct act_out *q = &c->quant[t];
	c->rows[t] = (struct act_row){
	    .f = out, .q = q->q, .d = q->d, .dsum16 = q->dsum16, .dsum32 = q->dsum32};
}

static void run_rows(struct rows_job *j)
{
	uint32_t n = j->s->n - j->s->first;
	pool_run(step_pool(j->s, (uint64_t)n * j->n * 4), n, rows_item, j);
}

static void add_bias(const struct step *s, float *y, const float *bias, size_t n)
{
	if (!bias)
		return;
	for (uint32_t t = s->first; t < s->n; t++)
		for (size_t i = 0; i < n; i++)
			y[t * n + i] += bias[i];
}

static void compute_turns(struct step *s)
{
	const struct engine_model *m = s->c->m;
	uint32_t n_rot = m->h.n_rot;
	for (uint32_t t = 0; t < s->n; t++)
		for (uint32_t i = 0; i < n_rot / 2; i++) {
			float angle = (float)(s->pos + t) * m->rope.freq[i];
			s->c->turns[t * n_rot + 2 * i] = cosf(angle) * m->rope.mscale;
			s->c->turns[t * n_rot + 2 * i + 1] = sinf(angle) * m->rope.mscale;
		}
}

/* Turns neighbouring values (2i, 2i+1) of each head. */
static void rotate(const struct hparams *h, const float *turns, float *x, uint32_t n_heads)
{
	for (uint32_t head = 0; head < n_heads; head++, x += h->head_dim)
		for (uint32_t i = 0; i < h->n_rot; i += 2) {
			float a = x[i];
			float b = x[i + 1];
			x[i] = a * turns[i] - b * turns[i + 1];
			x[i + 1] = a * turns[i + 1] + b * turns[i];
		}
}

struct place_job {
	struct step *s;
	uint32_t layer;
};

static void place_item(void *arg, size_t item, unsigned thread)
{
	(void)thread;
	const struct place_job *j = arg;
	struct engine_context *c = j->s->c;
	const struct hparams *h = &c->m->h;
	uint32_t t = (uint32_t)item;
	const float *turns = c->turns + (size_t)t * h->n_rot;
	rotate(h, turns, c->q + (size_t)t * h->n_head * h->head_dim, h->n_head);
	rotate(h, turns, c->k + (size_t)t * h->n_head_kv * h->head_dim, h->n_head_kv);
	cache_store(j->s, j->layer, t);
}

/* --- The layers: each half leaves in c->h what is still to be added to the residual stream. --- */

static bool any_quantised(const struct matrix *a, const struct matrix *b, const struct matrix *c)
{
	return engine_type_quantised(a->type) || engine_type_quantised(b->type) ||
	       engine_type_quantised(c->type);
}

static void project_qkv(struct step *s, const struct layer *y, uint32_t layer)
{
	struct engine_context *c = s->c;
	const struct hparams *h = &c->m->h;
	run_rows(&(struct rows_job){.s = s,
	    .n = h->n_embd,
	    .in = c->x,
	    .add = layer > 0 ? c->h : NULL,
	    .norm = y->attn_norm,
	    .out = c->h,
	    .quantise = any_quantised(&y->wq, &y->wk, &y->wv)});
	matmul(s, (struct product[]){{&y->wq, c->q, 0}, {&y->wk, c->k, 0}, {&y->wv, c->v, 0}}, 3);
	add_bias(s, c->q, y->bq, y->wq.rows);
	add_bias(s, c->k, y->bk, y->wk.rows);
	add_bias(s, c->v, y->bv, y->wv.rows);
	struct place_job place = {s, layer};
	pool_run(step_pool(s, (uint64_t)s->n * y->wq.rows * 4), s->n, place_item, &place);
}

static void attend(struct step *s, const struct layer *y, uint32_t layer)
{
	struct engine_context *c = s->c;
	attention(s, layer);
	run_rows(&(struct rows_job){
	    .s = s, .n = y->wo.cols, .out = c->att, .quantise = engine_type_quantised(y->wo.type)});
	matmul(s, &(struct product){&y->wo, c->h, 0}, 1);
	add_bias(s, c->h, y->bo, y->wo.rows);
}

static void feed_forward(struct step *s, const struct layer *y)
{
	struct engine_context *c = s->c;
	const struct hparams *h = &c->m->h;
	run_rows(&(struct rows_job){.s = s,
	    .n = h->n_embd,
	    .in = c->x,
	    .add = c->h,
	    .norm = y->ffn_norm,
	    .out = c->h,
	    .quantise = any_quantised(&y->gate, &y->up, &y->up)});
	matmul(s, (struct product[]){{&y->gate, c->gate, 0}, {&y->up, c->up, 0}}, 2);
	add_bias(s, c->gate, y->b_gate, h->n_ff);
	add_bias(s, c->up, y->b_up, h->n_ff);
	run_rows(&(struct rows_job){.s = s,
	    .n = h->n_ff,
	    .mul = c->up,
	    .out = c->gate,
	    .quantise = engine_type_quantised(y->down.type)});
	matmul(s, &(struct product){&y->down, c->h, 0}, 1);
	add_bias(s, c->h, y->b_down, h->n_embd);
}

static void embed(struct step *s)
{
	const struct matrix *w = &s->c->m->embd;
	for (uint32_t t = 0; t < s->n; t++)
		engine_row_to_f32(w->type, w->data + (size_t)s->tokens[t] * w->row_bytes, w->cols,
		    s->c->x + (size_t)t * w->cols);
}

static void project_output(struct step *s)
{
	struct engine_context *c = s->c;
	const struct engine_model *m = c->m;
	run_rows(&(struct rows_job){.s = s,
	    .n = m->h.n_embd,
	    .in = c->x,
	    .add = c->h,
	    .norm = m->output_norm,
	    .out = c->h,
	    .quantise = engine_type_quantised(m->output.type)});
	/* One row remains, the last: its logits are all there is room for. */
	matmul(s, &(struct product){&m->output, c->logits, s->first}, 1);
}

/* The final states of the batch's tokens, in c->h. */
static void finish_states(struct step *s)
{
	struct engine_context *c = s->c;
	run_rows(&(struct rows_job){.s = s,
	    .n = c->m->h.n_embd,
	    .in = c->x,
	    .add = c->h,
	    .norm = c->m->output_norm,
	    .out = c->h});
}

enum step_goal {
	STEP_CACHE,  /* keys and values only */
	STEP_LOGITS, /* and the logits after the last token */
	STEP_STATES  /* and the final states of all tokens */
};

/* One batch through all layers. In the last layer only the keys and values of all tokens matter,
 * and of the very last token (when logits are wanted) everything. */
static int run_step(struct step *s, enum step_goal goal, struct err *err)
{
	struct engine_context *c = s->c;
	const struct hparams *h = &c->m->h;
	embed(s);
	compute_turns(s);
	for (uint32_t i = 0; i < h->n_layer; i++) {
		const struct layer *y = &c->m->layers[i];
		if (c->cancel && atomic_load_explicit(c->cancel, memory_order_relaxed))
			return err_set(err, E_CANCELLED, "decoding was cancelled");
		project_qkv(s, y, i);
		if (i + 1 == h->n_layer) {
			if (goal == STEP_CACHE)
				return 0;
			s->first = goal == STEP_LOGITS ? s->n - 1 : 0;
		}
		attend(s, y, i);
		feed_forward(s, y);
	}
	if (goal == STEP_LOGITS)
		project_output(s);
	else
		finish_states(s);
	return 0;
}

static int check_logits(const struct engine_context *c, struct err *err)
{
	for (uint32_t i = 0; i < c->m->h.n_vocab; i++)
		if (!isfinite(c->logits[i]))
			return err_set(err, E_FORMAT,
			    "the model's weights yield no finite number for token %u", i);
	return 0;
}

int context_check_tokens(
    const struct engine_context *c, const int32_t *tokens, size_t n, struct err *err)
{
	if (n == 0)
		return err_set(err, E_INVALID, "no tokens to decode");
	if (n > c->n_ctx - c->pos)
		return err_set(err, E_CONTEXT_LENGTH,
		    "%zu tokens after %u do not fit into a context of %u tokens", n, c->pos,
		    c->n_ctx);
	for (size_t i = 0; i < n; i++)
		if (tokens[i] < 0 || (uint32_t)tokens[i] >= c->m->h.n_vocab)
			return err_set(err, E_INVALID, "token %d is outside the vocabulary of %u",
			    tokens[i], c->m->h.n_vocab);
	return 0;
}

static int decode_batch(struct engine_context *c, const int32_t *tokens, uint32_t n, uint32_t pos,
    enum step_goal goal, struct err *err)
{
	bool shared = c->m->bytes_per_token * n >= POOLED_STEP_WORK;
	struct step s = {
	    .c = c, .pool = shared ? c->m->pool : NULL, .tokens = tokens, .n = n, .pos = pos};
	pool_enter(s.pool);
	int rc = run_step(&s, goal, err);
	pool_leave(s.pool);
	return rc;
}

int context_states(
    struct engine_context *c, const int32_t *tokens, uint32_t n, uint32_t pos, struct err *err)
{
	return decode_batch(c, tokens, n, pos, STEP_STATES, err);
}

int engine_decode(
    struct engine_context *c, const int32_t *tokens, size_t n, float **logits, struct err *err)
{
	int rc = context_check_tokens(c, tokens, n, err);
	for (size_t done = 0; !rc && done < n;) {
		size_t some = n - done < c->n_batch ? n - done : c->n_batch;
		rc = decode_batch(c, tokens + done, (uint32_t)some, c->pos + (uint32_t)done,
		    done + some == n ? STEP_LOGITS : STEP_CACHE, err);
		done += some;
	}
	if (!rc)
		rc = check_logits(c, err);
	if (rc)
		return rc;
	c->pos += (uint32_t)n;
	*logits = c->logits;
	return 0;
}

int engine_decode_exact(
    struct engine_context *c, const int32_t *tokens, size_t n, float **logits, struct err *err)
{
	c->one_by_one = true;
	int rc = engine_decode(c, tokens, n, logits, err);
	c->one_by_one = false;
	return rc;
}

/* --- Copies of sequences -------------------------------------------------------------------- */

void engine_context_copy(struct engine_context *c, const struct engine_context *from, uint32_t n)
{
	const struct hparams *h = &c->m->h;
	INVARIANT(c->m == from->m && c->n_ctx == from->n_ctx && n <= from->pos);
	size_t size = c->m->kv == ENGINE_KV_F16 ? sizeof(uint16_t) : sizeof(float);
	size_t key_bytes = (size_t)round_up16(n) * h->head_dim * size;
	size_t column = (size_t)c->n_ctx16 * 16 * size; /* of 16 numbers of all values */
	for (size_t i = 0; i < (size_t)h->n_layer * h->n_head_kv; i++) {
		uint8_t *to = c->kv + i * c->kv_head_bytes;
		const uint8_t *old = from->kv + i * c->kv_head_bytes;
		memcpy(to, old, key_bytes);
		for (uint32_t d = 0; d < round_up16(h->head_dim) / 16; d++)
			memcpy(to + c->v_offset + d * column, old + c->v_offset + d * column,
			    (size_t)n * 16 * size);
	}
	c->pos = n;
}
