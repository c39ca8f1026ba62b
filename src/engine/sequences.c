/* See sequences_priv.h. */
#include "engine/sequences_priv.h"

#include <stdlib.h>

/* Sharing less than this is no reason to give up what a sequence holds. */
#define SHARED_LEAST 16

static int make(struct sequences *s, struct sequence *q, struct err *err)
{
	if (q->context)
		return 0;
	q->n_vocab = engine_model_n_vocab(s->model);
	q->kept = calloc(q->n_vocab, sizeof *q->kept);
	q->logits = calloc(q->n_vocab, sizeof *q->logits);
	if (!q->kept || !q->logits)
		return err_set(err, E_MEMORY, "no memory for a sequence");
	return engine_context_new(s->model, s->n_ctx, &q->context, err);
}

static void unmake(struct sequence *q)
{
	engine_context_free(q->context);
	token_list_free(&q->history);
	free(q->kept);
	free(q->logits);
	*q = (struct sequence){0};
}

int sequences_init(
    struct sequences *s, struct engine_model *model, uint32_t n_ctx, unsigned n, struct err *err)
{
	*s = (struct sequences){.model = model, .n_ctx = n_ctx, .n = n};
	if (n < 1 || n > GENERATOR_SEQUENCES_MAX)
		return err_set(err, E_INVALID, "%u sequences: from 1 to %d are possible", n,
		    GENERATOR_SEQUENCES_MAX);
	return make(s, &s->all[0], err);
}

void sequences_free(struct sequences *s)
{
	for (unsigned i = 0; i < GENERATOR_SEQUENCES_MAX; i++)
		unmake(&s->all[i]);
}

static size_t shared_with(const struct sequence *q, const int32_t *prompt, size_t n)
{
	size_t same = 0;
	while (same < q->history.n && same < n && q->history.ids[same] == prompt[same])
		same++;
	return same;
}

static struct sequence *oldest(struct sequences *s)
{
	struct sequence *q = &s->all[0];
	for (unsigned i = 1; i < s->n; i++)
		if (s->all[i].used < q->used)
			q = &s->all[i];
	return q;
}

/* The sequence takes over the first n tokens of another. Without memory for their ids it stays
 * empty. */
static void copy_beginning(struct sequence *to, const struct sequence *from, size_t n)
{
	to->history.n = 0;
	for (size_t i = 0; i < n; i++)
		if (token_list_push(&to->history, from->history.ids[i], NULL)) {
			to->history.n = 0;
			return;
		}
	engine_context_copy(to->context, from->context, (uint32_t)n);
	to->n_kept = 0;
}

int sequences_oldest(struct sequences *s, struct sequence **out, struct err *err)
{
	struct sequence *q = oldest(s);
	int rc = make(s, q, err);
	if (rc == E_MEMORY && q != &s->all[0]) {
		unmake(q); /* they are made in order: this many and no more, then */
		s->n = (unsigned)(q - s->all);
		err_clear(err);
		return sequences_oldest(s, out, err);
	}
	if (rc)
		return rc;
	q->history.n = 0;
	q->n_kept = 0;
	engine_context_truncate(q->context, 0);
	*out = q;
	return 0;
}

int sequences_find(struct sequences *s, const int32_t *prompt, size_t n, const atomic_bool *cancel,
    struct sequence **out, struct err *err)
{
	struct sequence *best = &s->all[0], *q = NULL;
	size_t shared = shared_with(best, prompt, n);
	for (unsigned i = 1; i < s->n; i++) {
		size_t same = shared_with(&s->all[i], prompt, n);
		if (same > shared) {
			best = &s->all[i];
			shared = same;
		}
	}
	/* It goes on from most of what one holds, or is the same prompt again; or there is no
	 * choice.
	 */
	bool again = shared == n && best->n_kept == n;
	bool most = shared >= SHARED_LEAST && 2 * shared >= best->history.n;
	if (s->n == 1 || best->history.n == 0 || again || most || oldest(s) == best) {
		q = best;
	} else {
		int rc = sequences_oldest(s, &q, err);
		if (rc)
			return rc;
		if (q != best && shared >= SHARED_LEAST)
			copy_beginning(q, best, shared);
	}
	q->used = ++s->clock;
	engine_context_set_cancel(q->context, cancel);
	*out = q;
	return 0;
}

/* Computes tokens and remembers them. The history grows first: it must never lack what is computed.
 */
static int append(struct sequence *s, const int32_t *tokens, size_t n, bool exact, float **logits,
    struct err *err)
{
	size_t before = s->history.n;
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = token_list_push(&s->history, tokens[i], err);
	if (rc == 0)
		rc = exact ? engine_decode_exact(s->context, tokens, n, logits, err)
			   : engine_decode(s->context, tokens, n, logits, err);
	if (rc)
		s->history.n = before;
	return rc;
}

static void truncate_to(struct sequence *s, size_t n)
{
	engine_context_truncate(s->context, (uint32_t)n);
	s->history.n = n < s->history.n ? n : s->history.n;
	if (s->n_kept > n)
		s->n_kept = 0;
}

int sequence_prefill(struct sequence *s, const int32_t *prompt, size_t n, size_t *reused,
    float **logits, struct err *err)
{
	size_t same = shared_with(s, prompt, n);
	if (same == n && s->n_kept != n)
		same--; /* one token is computed for its logits */
	truncate_to(s, same);
	*reused = same;
	int rc = 0;
	if (same < n) {
		rc = append(s, prompt + same, n - same, false, logits, err);
		if (rc)
			return rc;
		memcpy(s->kept, *logits, s->n_vocab * sizeof *s->kept);
		s->n_kept = n;
	}
	memcpy(s->logits, s->kept, s->n_vocab * sizeof *s->logits);
	*logits = s->logits;
	return 0;
}

int sequence_decode(
    struct sequence *s, const int32_t *tokens, size_t n, float **logits, struct err *err)
{
	return append(s, tokens, n, true, logits, err);
}
