/* Weights times activations: splits the rows of up to three matrices into items for the pool.
 * One to three tokens read the rows one token after the other; more share them, 16 rows at a time,
 * which adds up in another order. */
#include "engine/context_priv.h"

#define ITEM_BYTES      65536 /* weights per item when every byte is read once */
#define PANEL_TOKENS    4     /* from this many tokens on, unpacking pays */
#define BIG_ITEM_TOKENS 32    /* from here on a single panel is work enough for an item */

struct matmul_job {
	struct step *s;
	const struct product *p;
	uint32_t item_rows[PRODUCTS_MAX];
	size_t items_end[PRODUCTS_MAX]; /* running total */
	uint32_t n;                     /* tokens */
};

static uint32_t rows_per_item(const struct matrix *w, uint32_t n)
{
	size_t rows = n >= BIG_ITEM_TOKENS ? PANEL_ROWS : ITEM_BYTES / w->row_bytes;
	if (rows > w->rows)
		rows = w->rows;
	return round_up16((uint32_t)rows + !rows);
}

static void rows_gemv(
    const struct matmul_job *j, const struct product *p, uint32_t row, uint32_t rows)
{
	const struct matrix *w = p->w;
	engine_gemv_fn *gemv = j->s->c->m->kernels->gemv[w->type];
	const struct act_row *x = j->s->c->rows;
	for (uint32_t r = row; r < row + rows; r += PANEL_ROWS) {
		uint32_t some = row + rows - r < PANEL_ROWS ? row + rows - r : PANEL_ROWS;
		for (uint32_t t = j->s->first; t < j->s->n; t++)
			gemv(w->data + r * w->row_bytes, w->row_bytes, some, w->cols, &x[t],
			    p->y + (size_t)(t - p->origin) * w->rows + r);
	}
}

static void rows_gemm(const struct matmul_job *j, const struct product *p, uint32_t row,
    uint32_t rows, const struct panel *scratch)
{
	const struct matrix *w = p->w;
	engine_gemm_fn *gemm = j->s->c->m->kernels->gemm[w->type];
	uint32_t first = j->s->first;
	for (uint32_t r = row; r < row + rows; r += PANEL_ROWS) {
		uint32_t some = row + rows - r < PANEL_ROWS ? row + rows - r : PANEL_ROWS;
		gemm(w->data + r * w->row_bytes, w->row_bytes, some, w->cols, j->s->c->rows + first,
		    j->n, p->y + (size_t)(first - p->origin) * w->rows + r, w->rows, scratch);
	}
}

static void matmul_item(void *arg, size_t item, unsigned thread)
{
	const struct matmul_job *j = arg;
	unsigned i = 0;
	while (item >= j->items_end[i])
		i++;
	const struct product *p = &j->p[i];
	size_t index = item - (i ? j->items_end[i - 1] : 0);
	uint32_t row = (uint32_t)index * j->item_rows[i];
	uint32_t rows = p->w->rows - row < j->item_rows[i] ? p->w->rows - row : j->item_rows[i];
	if (j->n < PANEL_TOKENS || j->s->c->one_by_one)
		rows_gemv(j, p, row, rows);
	else
		rows_gemm(j, p, row, rows, &j->s->c->threads[thread].panel);
}

void matmul(struct step *s, const struct product *p, unsigned n_products)
{
	struct matmul_job j = {.s = s, .p = p, .n = s->n - s->first};
	size_t items = 0;
	uint64_t work = 0;
	for (unsigned i = 0; i < n_products; i++) {
		j.item_rows[i] = rows_per_item(p[i].w, j.n);
		items += (p[i].w->rows + j.item_rows[i] - 1) / j.item_rows[i];
		j.items_end[i] = items;
		work += (uint64_t)p[i].w->rows * p[i].w->row_bytes * j.n;
	}
	pool_run(step_pool(s, work), items, matmul_item, &j);
}
