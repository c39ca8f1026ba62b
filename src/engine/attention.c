/* Attention over the cache. A work item is up to 16 queries of one key head (the heads of a group,
 * and neighbouring tokens): they share every key and value that is loaded. Positions are taken in
 * blocks under a running softmax (maximum and sum so far), so that scratch memory does not grow
 * with the context. SPEC: Milakov and Gimelshein, arXiv 1805.02867. */
#include "engine/context_priv.h"

#include <math.h>

struct attention_job {
	struct step *s;
	uint32_t layer;
	uint32_t group;     /* query heads per key head */
	uint32_t first_row; /* rows count (token, head of the group) pairs */
	uint32_t n_rows;
	uint32_t items_per_head;
};

static const uint8_t *cache_keys(const struct engine_context *c, uint32_t layer, uint32_t head)
{
	return c->kv + layer * c->kv_layer_bytes + head * c->kv_head_bytes;
}

static size_t value_size(const struct engine_context *c)
{
	return c->m->kv == ENGINE_KV_F16 ? sizeof(uint16_t) : sizeof(float);
}

/* Writes `dim` values of one key and one value to their places, `elem` bytes each. */
static void scatter(const struct engine_context *c, uint8_t *head, size_t pos, const void *key,
    const void *value, size_t elem)
{
	uint32_t dim = c->m->h.head_dim;
	uint8_t *keys = head + (pos / 16 * dim * 16 + pos % 16) * elem;
	uint8_t *values = head + c->v_offset + pos * 16 * elem;
	for (uint32_t i = 0; i < dim; i++)
		memcpy(keys + (size_t)i * 16 * elem, (const uint8_t *)key + i * elem, elem);
	for (uint32_t i = 0; i < dim; i += 16) {
		size_t n = (dim - i < 16 ? dim - i : 16) * elem;
		memcpy(
		    values + (size_t)i * c->n_ctx16 * elem, (const uint8_t *)value + i * elem, n);
	}
}

void cache_store(struct step *s, uint32_t layer, uint32_t t)
{
	struct engine_context *c = s->c;
	const struct hparams *h = &c->m->h;
	uint16_t key[HPARAM_HEAD_DIM_MAX], value[HPARAM_HEAD_DIM_MAX];
	for (uint32_t i = 0; i < h->n_head_kv; i++) {
		size_t from = ((size_t)t * h->n_head_kv + i) * h->head_dim;
		uint8_t *head = c->kv + layer * c->kv_layer_bytes + i * c->kv_head_bytes;
		if (c->m->kv == ENGINE_KV_F32) {
			scatter(c, head, s->pos + t, c->k + from, c->v + from, sizeof(float));
			continue;
		}
		c->m->kernels->to_f16(c->k + from, h->head_dim, key);
		c->m->kernels->to_f16(c->v + from, h->head_dim, value);
		scatter(c, head, s->pos + t, key, value, sizeof(uint16_t));
	}
}

/* One item's running state, per query. */
struct attention_rows {
	uint32_t n;
	uint32_t limit[ATTN_ROWS]; /* positions that the query may see */
	float max[ATTN_ROWS];
	float sum[ATTN_ROWS];
};

static void tile(const struct engine_context *c, const struct tile_args *a)
{
	if (c->m->kv == ENGINE_KV_F16)
		c->m->kernels->tile_f16(a);
	else
		c->m->kernels->tile_f32(a);
}

/* Turns one query's scores of a block into weights and rescales what was mixed so far. */
static void softmax_block(const struct engine_context *c, struct attention_rows *r, uint32_t i,
    uint32_t base, uint32_t n, struct thread_scratch *ts, uint32_t dim16)
{
	const struct engine_kernels *k = c->m->kernels;
	float *scores = ts->scores + i * ATTN_BLOCK;
	uint32_t seen = r->limit[i] <= base ? 0 : r->limit[i] - base;
	seen = seen < n ? seen : n;
	memset(scores + seen, 0, (n - seen) * sizeof *scores);
	if (seen == 0)
		return;
	float most = k->max(scores, seen);
	most = most > r->max[i] ? most : r->max[i];
	float sum = k->exp_sum(scores, seen, most);
	float shrink = expf(r->max[i] - most);
	r->sum[i] = r->sum[i] * shrink + sum;
	r->max[i] = most;
	if (shrink == 1)
		return;
	float *mix = ts->mix + i * dim16;
	for (uint32_t d = 0; d < dim16; d++)
		mix[d] *= shrink;
}

static void attend_block(const struct engine_context *c, struct attention_rows *r,
    const uint8_t *keys, uint32_t base, uint32_t n, struct thread_scratch *ts)
{
	uint32_t dim = c->m->h.head_dim;
	uint32_t dim16 = round_up16(dim);
	size_t size = value_size(c);
	for (uint32_t p = 0; p < n; p += 16)
		tile(c, &(struct tile_args){.w = keys + (size_t)(base + p) * dim * size,
			    .k = dim,
			    .x = ts->query,
			    .x_stride = dim,
			    .n = r->n,
			    .y = ts->scores + p,
			    .y_stride = ATTN_BLOCK});
	for (uint32_t i = 0; i < r->n; i++)
		softmax_block(c, r, i, base, n, ts, dim16);
	const uint8_t *values = keys + c->v_offset;
	for (uint32_t d = 0; d < dim16; d += 16)
		tile(c, &(struct tile_args){
			    .w = values + ((size_t)d * c->n_ctx16 + (size_t)base * 16) * size,
			    .k = n,
			    .x = ts->scores,
			    .x_stride = ATTN_BLOCK,
			    .n = r->n,
			    .y = ts->mix + d,
			    .y_stride = dim16,
			    .accumulate = true});
}

/* Copies the item's queries, scaled, side by side. */
static void gather_queries(const struct attention_job *j, uint32_t head, uint32_t row,
    struct attention_rows *r, float *query)
{
	const struct hparams *h = &j->s->c->m->h;
	for (uint32_t i = 0; i < r->n; i++) {
		uint32_t t = (row + i) / j->group;
		uint32_t q_head = head * j->group + (row + i) % j->group;
		const float *q = j->s->c->q + ((size_t)t * h->n_head + q_head) * h->head_dim;
		for (uint32_t d = 0; d < h->head_dim; d++)
			query[i * h->head_dim + d] = q[d] * h->attn_scale;
		r->limit[i] = j->s->pos + t + 1;
		r->max[i] = -INFINITY;
		r->sum[i] = 0;
	}
}

static void scatter_result(const struct attention_job *j, uint32_t head, uint32_t row,
    const struct attention_rows *r, const float *mix)
{
	const struct hparams *h = &j->s->c->m->h;
	uint32_t dim16 = round_up16(h->head_dim);
	for (uint32_t i = 0; i < r->n; i++) {
		uint32_t t = (row + i) / j->group;
		uint32_t q_head = head * j->group + (row + i) % j->group;
		float *out = j->s->c->att + ((size_t)t * h->n_head + q_head) * h->head_dim;
		for (uint32_t d = 0; d < h->head_dim; d++)
			out[d] = mix[i * dim16 + d] / r->sum[i];
	}
}

static void attention_item(void *arg, size_t item, unsigned thread)
{
	const struct attention_job *j = arg;
	const struct engine_context *c = j->s->c;
	struct thread_scratch *ts = &c->threads[thread];
	uint32_t head = (uint32_t)(item / j->items_per_head);
	uint32_t at = (uint32_t)(item % j->items_per_head) * ATTN_ROWS;
	struct attention_rows r;
	r.n = j->n_rows - at < ATTN_ROWS ? j->n_rows - at : ATTN_ROWS;
	gather_queries(j, head, j->first_row + at, &r, ts->query);
	memset(ts->mix, 0, r.n * round_up16(c->m->h.head_dim) * sizeof *ts->mix);
	const uint8_t *keys = cache_keys(c, j->layer, head);
	uint32_t n_pos = r.limit[r.n - 1];
	for (uint32_t base = 0; base < n_pos; base += ATTN_BLOCK) {
		uint32_t n = n_pos - base < ATTN_BLOCK ? n_pos - base : ATTN_BLOCK;
		attend_block(c, &r, keys, base, n, ts);
	}
	scatter_result(j, head, j->first_row + at, &r, ts->mix);
}

/* Tokens first … first + n - 1 of the batch. Kernels divide their sums by how many queries share an
 * item: the bits of a token depend on who it shares with. */
static void attend_tokens(struct step *s, uint32_t layer, uint32_t first, uint32_t n)
{
	const struct hparams *h = &s->c->m->h;
	struct attention_job j = {.s = s, .layer = layer, .group = h->n_head / h->n_head_kv};
	j.first_row = first * j.group;
	j.n_rows = n * j.group;
	j.items_per_head = (j.n_rows + ATTN_ROWS - 1) / ATTN_ROWS;
	uint64_t work = (uint64_t)j.n_rows * h->n_head_kv * h->head_dim * (s->pos + first + n);
	pool_run(step_pool(s, work), (size_t)h->n_head_kv * j.items_per_head, attention_item, &j);
}

void attention(struct step *s, uint32_t layer)
{
	uint32_t at_once = s->c->one_by_one ? 1 : s->n - s->first;
	for (uint32_t t = s->first; t < s->n; t += at_once)
		attend_tokens(s, layer, t, at_once);
}
