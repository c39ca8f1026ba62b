/* Generation: see generate.h. Sampled tokens become bytes, bytes whole characters, characters text
 * free of stop strings, in that order; only what comes out at the end is emitted.
 *
 * Must stay true: what is emitted, and when, follows from the tokens alone, so that a continued
 * answer is the uninterrupted one. */
#include "engine/generate.h"

#include "engine/constraint.h"
#include "engine/detokenize.h"
#include "engine/engine.h"
#include "engine/sequences_priv.h"
#include "engine/stop.h"
#include "engine/tokenizer.h"

#include <math.h>
#include <stdlib.h>

#define EMIT_MAX ((size_t)1 << 24) /* text that one token can set free */

struct generator {
	struct sequences sequences;
	struct engine_model *model;
	const struct tokenizer *tokenizer;
	struct token_trie *trie; /* NULL: not needed so far */
	uint32_t n_ctx;
	size_t n_vocab;
};

/* What lives as long as one job. */
struct run {
	struct generator *g;
	const struct generate_job *job;
	struct sequence *seq;
	struct sampler *sampler;
	struct constraint *constraint;
	struct detokenizer detokenizer;
	struct stop_filter filter;
	struct buf text; /* fresh from the detokenizer */
	struct buf free; /* past the filter */
	struct generate_token
	    *waiting; /* for the text that they are emitted with; `top` is owned */
	size_t n_waiting, cap_waiting;
	size_t skip; /* bytes of text that the caller has already */
	float *logits;
	float *before; /* the logits as they came, for the log probabilities */
};

const char *generate_finish_name(enum generate_finish finish)
{
	switch (finish) {
	case GENERATE_STOP:
		return "stop";
	case GENERATE_LENGTH:
		return "length";
	case GENERATE_CANCELLED:
		return "cancelled";
	}
	return "unknown";
}

/* ---- the generator ------------------------------------------------------------------------- */

int generator_new(struct engine_model *model, const struct tokenizer *tokenizer, uint32_t n_ctx,
    unsigned n_sequences, struct generator **out, struct err *err)
{
	if (engine_model_n_vocab(model) != tokenizer_n_vocab(tokenizer))
		return err_set(err, E_FORMAT, "the model has %u tokens, its vocabulary %zu",
		    engine_model_n_vocab(model), tokenizer_n_vocab(tokenizer));
	struct generator *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(err, E_MEMORY, "no memory for a generator");
	g->tokenizer = tokenizer;
	g->model = model;
	g->n_ctx = n_ctx;
	g->n_vocab = tokenizer_n_vocab(tokenizer);
	int rc = sequences_init(&g->sequences, model, n_ctx, n_sequences, err);
	if (rc)
		generator_free(g);
	else
		*out = g;
	return rc;
}

void generator_free(struct generator *g)
{
	if (!g)
		return;
	sequences_free(&g->sequences);
	token_trie_free(g->trie);
	free(g);
}

const struct token_trie *generator_trie(struct generator *g)
{
	if (!g->trie && token_trie_new(g->tokenizer, &g->trie, NULL))
		return NULL;
	return g->trie;
}

int generator_embed(struct generator *g, const int32_t *tokens, size_t n, const atomic_bool *cancel,
    float *out, struct err *err)
{
	enum engine_pooling pooling;
	struct sequence *s;
	int rc = engine_model_pooling(g->model, &pooling, err);
	if (rc == 0)
		rc = sequences_oldest(&g->sequences, &s, err);
	if (rc)
		return rc;
	engine_context_set_cancel(s->context, cancel);
	rc = engine_embed(s->context, tokens, n, pooling, out, err);
	engine_context_set_cancel(s->context, NULL);
	return rc;
}

/* ---- text ---------------------------------------------------------------------------------- */

static bool cancelled(const struct run *r)
{
	return r->job->cancel && atomic_load_explicit(r->job->cancel, memory_order_relaxed);
}

static void forget_waiting(struct run *r)
{
	for (size_t i = 0; i < r->n_waiting; i++)
		free((void *)(uintptr_t)r->waiting[i].top);
	r->n_waiting = 0;
}

/* Hands on what is free; false when the caller wants no more. */
static bool emit_free(struct run *r)
{
	size_t skip = r->skip < r->free.n ? r->skip : r->free.n;
	buf_consume(&r->free, skip);
	r->skip -= skip;
	struct generate_piece piece = {.utf8 = (const char *)r->free.p,
	    .n = r->free.n,
	    .tokens = r->waiting,
	    .n_tokens = r->n_waiting};
	bool go_on = piece.n == 0 || r->job->emit(r->job->arg, &piece) == 0;
	if (piece.n)
		forget_waiting(r);
	buf_reset(&r->free);
	return go_on;
}

static bool shown(const struct run *r, int32_t token)
{
	if (!tokenizer_is_control(r->g->tokenizer, token))
		return true;
	for (size_t i = 0; i < r->job->n_visible; i++)
		if (r->job->visible[i] == token)
			return true;
	return false;
}

/* Through the detokenizer and the filter, into `free`; true when a stop string came. */
static bool push_piece(struct run *r, int32_t token)
{
	buf_reset(&r->text);
	if (shown(r, token))
		detokenizer_push(
		    &r->detokenizer, tokenizer_piece(r->g->tokenizer, token), &r->text);
	return stop_filter_push(&r->filter, buf_view(&r->text), &r->free);
}

/* Text is never lost in silence. */
static int check_text(const struct run *r, struct err *err)
{
	int rc = buf_ok(&r->text, err);
	if (rc == 0)
		rc = buf_ok(&r->free, err);
	return rc ? rc : buf_ok(&r->filter.held, err);
}

/* The text ended by itself: what was held back comes out. */
static bool flush(struct run *r)
{
	buf_reset(&r->text);
	detokenizer_finish(&r->detokenizer, &r->text);
	if (!stop_filter_push(&r->filter, buf_view(&r->text), &r->free))
		stop_filter_finish(&r->filter, &r->free);
	return emit_free(r);
}

/* ---- prompt and continuation --------------------------------------------------------------- */

/* Where the prompt stops being something that the sampler counts as recent. */
static void see_prompt(struct run *r)
{
	const struct generate_job *job = r->job;
	size_t recent = job->sampling.repeat_last_n;
	for (size_t i = job->n_prompt > recent ? job->n_prompt - recent : 0; i < job->n_prompt; i++)
		sampler_see_prompt(r->sampler, job->prompt[i]);
}

/* What was generated before goes the way of what will be, except that it is not emitted again. True
 * in *stopped when it had come to a stop string. */
static int replay(struct run *r, struct generate_result *result, bool *stopped, struct err *err)
{
	const struct generate_job *job = r->job;
	int rc = 0;
	size_t emitted = 0;
	*stopped = false;
	for (size_t i = 0; i < job->n_continued && rc == 0 && !*stopped; i++) {
		int32_t token = job->continued[i];
		if (token < 0 || (size_t)token >= r->g->n_vocab)
			return err_set(err, E_INVALID, "no token %d to go on from", token);
		*stopped = push_piece(r, token);
		emitted += r->free.n;
		struct generate_piece old = {
		    .utf8 = (const char *)r->free.p, .n = r->free.n, .replayed = true};
		if (job->replay && old.n && job->emit(job->arg, &old))
			rc = E_CANCELLED;
		buf_reset(&r->free);
		sampler_see_generated(r->sampler, token);
		if (r->constraint && rc == 0)
			rc = constraint_accept(r->constraint, token, err);
		result->completion_tokens++;
	}
	r->skip = job->continued_text > emitted ? job->continued_text - emitted : 0;
	return rc;
}

static int compute(struct run *r, struct generate_result *result, struct err *err)
{
	const struct generate_job *job = r->job;
	int rc =
	    sequences_find(&r->g->sequences, job->prompt, job->n_prompt, job->cancel, &r->seq, err);
	if (rc == 0)
		rc = sequence_prefill(
		    r->seq, job->prompt, job->n_prompt, &result->reused_tokens, &r->logits, err);
	if (rc == 0 && job->n_continued)
		rc = sequence_decode(r->seq, job->continued, job->n_continued, &r->logits, err);
	return rc;
}

/* ---- one token ----------------------------------------------------------------------------- */

static void mask_logits(struct run *r, const uint32_t *mask)
{
	bool may_end = constraint_may_end(r->constraint);
	for (size_t w = 0; w < (r->g->n_vocab + 31) / 32; w++) {
		size_t n = r->g->n_vocab - 32 * w < 32 ? r->g->n_vocab - 32 * w : 32;
		if (mask[w] == UINT32_MAX)
			continue;
		for (size_t i = 0; i < n; i++) {
			int32_t id = (int32_t)(32 * w + i);
			if (!(mask[w] >> i & 1) &&
			    !(may_end && tokenizer_is_end_of_generation(r->g->tokenizer, id)))
				r->logits[id] = -INFINITY;
		}
	}
}

static bool permitted(struct run *r, int32_t token)
{
	return !r->constraint || constraint_allows(r->constraint, token) ||
	       (constraint_may_end(r->constraint) &&
		   tokenizer_is_end_of_generation(r->g->tokenizer, token));
}

static int pick_masked(struct run *r, int32_t *token, struct err *err)
{
	const uint32_t *mask = constraint_mask(r->constraint);
	if (!mask)
		return err_set(err, E_MEMORY, "no memory for the grammar");
	mask_logits(r, mask);
	return sampler_pick(r->sampler, r->logits, token, err);
}

/* A greedy choice that the grammar allows anyway needs no mask: it is the best of what is allowed,
 * too. */
static int pick(struct run *r, int32_t *token, struct err *err)
{
	sampler_penalize(r->sampler, r->logits);
	if (r->constraint && r->job->sampling.temperature > 0)
		return pick_masked(r, token, err);
	int rc = sampler_pick(r->sampler, r->logits, token, err);
	if (rc == 0 && !permitted(r, *token))
		rc = pick_masked(r, token, err);
	return rc;
}

/* The token joins those that wait for their text. */
static int note_token(struct run *r, int32_t id, struct err *err)
{
	struct generate_token t = {.id = id};
	if (r->n_waiting == r->cap_waiting) {
		size_t cap = r->cap_waiting ? 2 * r->cap_waiting : 16;
		struct generate_token *more = realloc(r->waiting, cap * sizeof *more);
		if (!more)
			return err_set(err, E_MEMORY, "no memory for the answer's tokens");
		r->waiting = more;
		r->cap_waiting = cap;
	}
	if (r->before) {
		struct token_chance *top = calloc(TOKEN_CHANCES_MAX, sizeof *top);
		if (!top)
			return err_set(err, E_MEMORY, "no memory for the answer's tokens");
		t.n_top = token_chances(
		    r->before, r->g->n_vocab, id, &t.logprob, top, r->job->top_logprobs);
		t.top = top;
	}
	r->waiting[r->n_waiting++] = t;
	return 0;
}

/* The answer has as many tokens as it may have. */
static bool is_full(const struct run *r, const struct generate_result *result)
{
	return result->completion_tokens >= r->job->max_tokens ||
	       r->job->n_prompt + result->completion_tokens > r->g->n_ctx;
}

static void end(struct run *r, struct generate_result *result, enum generate_finish finish)
{
	result->finish = flush(r) ? finish : GENERATE_CANCELLED;
}

/* A token was taken: its text, and whether the answer ends with it. */
static int follow(
    struct run *r, int32_t token, struct generate_result *result, bool *done, struct err *err)
{
	int rc = note_token(r, token, err);
	if (rc == 0 && r->constraint)
		rc = constraint_accept(r->constraint, token, err);
	if (rc)
		return rc;
	result->completion_tokens++;
	sampler_see_generated(r->sampler, token);
	bool stopped = push_piece(r, token);
	result->stop = stopped ? (int)r->filter.hit : -1;
	if (!emit_free(r))
		result->finish = GENERATE_CANCELLED;
	else if (stopped)
		result->finish = GENERATE_STOP;
	else if (r->constraint && constraint_must_end(r->constraint))
		end(r, result, GENERATE_STOP);
	else if (is_full(r, result))
		end(r, result, GENERATE_LENGTH);
	else
		*done = false;
	rc = *done ? 0 : check_text(r, err);
	return rc || *done ? rc : sequence_decode(r->seq, &token, 1, &r->logits, err);
}

static int step(struct run *r, struct generate_result *result, bool *done, struct err *err)
{
	int32_t token;
	*done = true;
	if (r->before)
		memcpy(r->before, r->logits, r->g->n_vocab * sizeof *r->before);
	int rc = pick(r, &token, err);
	if (rc)
		return rc;
	if (!tokenizer_is_end_of_generation(r->g->tokenizer, token))
		return follow(r, token, result, done, err);
	end(r, result, GENERATE_STOP);
	return 0;
}

/* ---- a job --------------------------------------------------------------------------------- */

/* What is there already may be the whole answer. */
static int begin(struct run *r, struct generate_result *result, bool *done, struct err *err)
{
	bool stopped;
	see_prompt(r);
	int rc = replay(r, result, &stopped, err);
	if (rc)
		return rc;
	*done = true;
	result->stop = stopped ? (int)r->filter.hit : -1;
	if (stopped)
		result->finish = GENERATE_STOP;
	else if (r->constraint && constraint_must_end(r->constraint))
		end(r, result, GENERATE_STOP);
	else if (r->job->n_continued && is_full(r, result))
		end(r, result, GENERATE_LENGTH);
	else
		*done = false;
	return *done ? 0 : compute(r, result, err);
}

static int generate(struct run *r, struct generate_result *result, struct err *err)
{
	result->finish = GENERATE_LENGTH;
	bool done = r->job->max_tokens == 0;
	int rc = done ? 0 : begin(r, result, &done, err);
	while (rc == 0 && !done)
		rc = cancelled(r) ? E_CANCELLED : step(r, result, &done, err);
	if (rc != E_CANCELLED)
		return rc;
	result->finish = GENERATE_CANCELLED;
	err_clear(err);
	return 0;
}

static int begin_constraint(struct run *r, struct err *err)
{
	const struct generate_job *job = r->job;
	if (!job->grammar)
		return 0;
	const struct token_trie *trie = generator_trie(r->g);
	if (!trie)
		return err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	return constraint_new(
	    job->grammar, trie, job->visible, job->n_visible, &r->constraint, err);
}

static int begin_run(struct run *r, struct err *err)
{
	const struct generate_job *job = r->job;
	int rc = stop_filter_init(&r->filter, job->stops, job->n_stops, err);
	if (rc == 0)
		rc = sampler_new(&job->sampling, r->g->n_vocab, &r->sampler, err);
	if (rc == 0)
		rc = begin_constraint(r, err);
	if (rc == 0 && job->logprobs) {
		r->before = calloc(r->g->n_vocab, sizeof *r->before);
		if (!r->before)
			rc = err_set(err, E_MEMORY, "no memory for log probabilities");
	}
	return rc;
}

static void free_run(struct run *r)
{
	if (r->seq)
		engine_context_set_cancel(r->seq->context, NULL);
	forget_waiting(r);
	free(r->waiting);
	free(r->before);
	constraint_free(r->constraint);
	sampler_free(r->sampler);
	stop_filter_free(&r->filter);
	buf_free(&r->text);
	buf_free(&r->free);
}

int generator_run(struct generator *g, const struct generate_job *job,
    struct generate_result *result, struct err *err)
{
	*result = (struct generate_result){.prompt_tokens = job->n_prompt, .stop = -1};
	if (job->n_prompt == 0)
		return err_set(err, E_INVALID, "the prompt is empty");
	if (job->n_prompt + job->n_continued > g->n_ctx)
		return err_set(err, E_CONTEXT_LENGTH,
		    "the prompt has %zu tokens, the context only %u",
		    job->n_prompt + job->n_continued, g->n_ctx);
	struct run r = {.g = g, .job = job, .text = BUF_INIT(EMIT_MAX), .free = BUF_INIT(EMIT_MAX)};
	int rc = begin_run(&r, err);
	if (rc == 0)
		rc = generate(&r, result, err);
	free_run(&r);
	return rc;
}
