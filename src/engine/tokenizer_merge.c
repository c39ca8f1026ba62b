/* The merge loop of both tokenizer families: symbols in a linked list, candidate pairs in a heap.
 * A candidate names the symbols it would join and the length they had together; when that no
 * longer holds, one of them has been merged meanwhile and the candidate is dropped on its way out.
 * A merge queues at most two candidates, so heap and time stay linear (times log n) in the text. */
#include "engine/tokenizer_priv.h"

#include <stdlib.h>

struct merge_candidate {
	uint64_t key; /* order, then position of the left symbol */
	uint32_t right;
	uint32_t n;
	int32_t merged;
};

static int grow(void **p, size_t *cap, size_t n, size_t size, struct err *err)
{
	if (n < *cap)
		return 0;
	size_t wanted = *cap ? *cap * 2 : 64;
	void *bigger = realloc(*p, wanted * size);
	if (!bigger)
		return err_set(err, E_MEMORY, "no memory to tokenize %zu symbols", wanted);
	*p = bigger;
	*cap = wanted;
	return 0;
}

int merge_work_push(struct merge_work *w, uint32_t off, uint32_t n, int32_t id, struct err *err)
{
	void *p = w->symbols;
	int rc = grow(&p, &w->cap_symbols, w->n_symbols, sizeof(struct symbol), err);
	w->symbols = p;
	if (rc)
		return rc;
	uint32_t i = (uint32_t)w->n_symbols++;
	w->symbols[i] = (struct symbol){off, n, id, i ? i - 1 : SYMBOL_END, SYMBOL_END};
	if (i)
		w->symbols[i - 1].next = i;
	return 0;
}

static int heap_push(struct merge_work *w, struct merge_candidate c, struct err *err)
{
	void *p = w->heap;
	int rc = grow(&p, &w->cap_heap, w->n_heap, sizeof(struct merge_candidate), err);
	w->heap = p;
	if (rc)
		return rc;
	size_t i = w->n_heap++;
	while (i && c.key < w->heap[(i - 1) / 2].key) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = c;
	return 0;
}

static struct merge_candidate heap_pop(struct merge_work *w)
{
	struct merge_candidate top = w->heap[0], last = w->heap[--w->n_heap];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= w->n_heap)
			break;
		if (child + 1 < w->n_heap && w->heap[child + 1].key < w->heap[child].key)
			child++;
		if (last.key <= w->heap[child].key)
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return top;
}

static int consider(struct merge_work *w, const struct tokenizer *t, merge_lookup_fn lookup,
    uint32_t left, uint32_t right, struct err *err)
{
	if (left == SYMBOL_END || right == SYMBOL_END)
		return 0;
	uint32_t order;
	int32_t merged;
	const struct symbol *l = &w->symbols[left], *r = &w->symbols[right];
	if (!lookup(t, w, l, r, &order, &merged))
		return 0;
	return heap_push(w,
	    (struct merge_candidate){(uint64_t)order << 32 | left, right, l->n + r->n, merged},
	    err);
}

static void join(struct merge_work *w, uint32_t left, uint32_t right, int32_t merged)
{
	struct symbol *l = &w->symbols[left], *r = &w->symbols[right];
	l->n += r->n;
	l->id = merged;
	l->next = r->next;
	if (r->next != SYMBOL_END)
		w->symbols[r->next].prev = left;
	r->n = 0;
}

int merge_work_run(
    struct merge_work *w, const struct tokenizer *t, merge_lookup_fn lookup, struct err *err)
{
	int rc = 0;
	w->n_heap = 0;
	for (uint32_t i = 1; i < w->n_symbols && rc == 0; i++)
		rc = consider(w, t, lookup, i - 1, i, err);
	while (rc == 0 && w->n_heap > 0) {
		struct merge_candidate c = heap_pop(w);
		uint32_t left = (uint32_t)c.key;
		const struct symbol *l = &w->symbols[left], *r = &w->symbols[c.right];
		if (l->n == 0 || r->n == 0 || l->n + r->n != c.n)
			continue;
		join(w, left, c.right, c.merged);
		rc = consider(w, t, lookup, l->prev, left, err);
		if (rc == 0)
			rc = consider(w, t, lookup, left, l->next, err);
	}
	return rc;
}

void merge_work_free(struct merge_work *w)
{
	free(w->symbols);
	free(w->heap);
	*w = (struct merge_work){0};
}
