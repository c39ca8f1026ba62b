/* Generation: see generate.h. Sampled tokens become bytes, bytes whole characters, characters text
 * free of stop strings, in that order; only what comes out at the end is emitted. */
#include "engine/generate.h"

#include "engine/detokenize.h"
#include "engine/engine.h"
#include "engine/stop.h"
#include "engine/tokenizer.h"

#include <stdlib.h>

#define EMIT_MAX ((size_t)1 << 24) /* text that one token can set free */

struct generator {
	struct engine_context *context;
	const struct tokenizer *tokenizer;
	uint32_t n_ctx;
	struct token_list history; /* what the context holds */
};

/* What lives as long as one job. */
struct run {
	struct generator *g;
	const struct generate_job *job;
	struct sampler *sampler;
	struct detokenizer detokenizer;
	struct stop_filter filter;
	struct buf text; /* fresh from the detokenizer */
	struct buf free; /* past the filter */
	float *logits;
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

int generator_new(struct engine_model *model, const struct tokenizer *tokenizer, uint32_t n_ctx,
    struct generator **out, struct err *err)
{
	if (engine_model_n_vocab(model) != tokenizer_n_vocab(tokenizer))
		return err_set(err, E_FORMAT, "the model has %u tokens, its vocabulary %zu",
		    engine_model_n_vocab(model), tokenizer_n_vocab(tokenizer));
	struct generator *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(err, E_MEMORY, "no memory for a generator");
	int rc = engine_context_new(model, n_ctx, &g->context, err);
	g->tokenizer = tokenizer;
	g->n_ctx = n_ctx;
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
	engine_context_free(g->context);
	token_list_free(&g->history);
	free(g);
}

/* Computes tokens and remembers them. The history grows first: it must never lack what is computed.
 */
static int decode(struct run *r, const int32_t *tokens, size_t n, struct err *err)
{
	size_t before = r->g->history.n;
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = token_list_push(&r->g->history, tokens[i], err);
	if (rc == 0)
		rc = engine_decode(r->g->context, tokens, n, &r->logits, err);
	if (rc)
		r->g->history.n = before;
	return rc;
}

/* Keeps what the new prompt shares with the sequence, computes the rest. At least one token is
 * computed, for its logits. */
static int prefill(struct run *r, struct generate_result *result, struct err *err)
{
	struct token_list *history = &r->g->history;
	const struct generate_job *job = r->job;
	size_t same = 0;
	while (same < history->n && same + 1 < job->n_prompt &&
	       history->ids[same] == job->prompt[same])
		same++;
	engine_context_truncate(r->g->context, (uint32_t)same);
	history->n = same;
	result->reused_tokens = same;
	size_t recent = job->sampling.repeat_last_n;
	for (size_t i = job->n_prompt > recent ? job->n_prompt - recent : 0; i < job->n_prompt; i++)
		sampler_see_prompt(r->sampler, job->prompt[i]);
	return decode(r, job->prompt + same, job->n_prompt - same, err);
}

static bool cancelled(const struct run *r)
{
	return r->job->cancel && atomic_load_explicit(r->job->cancel, memory_order_relaxed);
}

/* Hands on what is free; false when the caller wants no more. */
static bool emit_free(struct run *r)
{
	bool go_on = r->free.n == 0 || r->job->emit(r->job->arg, (char *)r->free.p, r->free.n) == 0;
	buf_reset(&r->free);
	return go_on;
}

static bool push_piece(struct run *r, int32_t token, bool *stopped)
{
	buf_reset(&r->text);
	if (!tokenizer_is_control(r->g->tokenizer, token))
		detokenizer_push(
		    &r->detokenizer, tokenizer_piece(r->g->tokenizer, token), &r->text);
	*stopped = stop_filter_push(&r->filter, buf_view(&r->text), &r->free);
	return emit_free(r);
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

static int step(struct run *r, struct generate_result *result, bool *done, struct err *err)
{
	int32_t token;
	bool stopped;
	*done = true;
	int rc = sampler_pick(r->sampler, r->logits, &token, err);
	if (rc)
		return rc;
	result->finish = GENERATE_STOP;
	if (tokenizer_is_end_of_generation(r->g->tokenizer, token)) {
		if (!flush(r))
			result->finish = GENERATE_CANCELLED;
		return 0;
	}
	result->completion_tokens++;
	if (!push_piece(r, token, &stopped)) {
		result->finish = GENERATE_CANCELLED;
		return 0;
	}
	if (stopped)
		return 0;
	if (result->completion_tokens == r->job->max_tokens || r->g->history.n == r->g->n_ctx) {
		result->finish = flush(r) ? GENERATE_LENGTH : GENERATE_CANCELLED;
		return 0;
	}
	*done = false;
	rc = check_text(r, err);
	return rc ? rc : decode(r, &token, 1, err);
}

static int generate(struct run *r, struct generate_result *result, struct err *err)
{
	bool done = r->job->max_tokens == 0;
	result->finish = GENERATE_LENGTH;
	int rc = done ? 0 : prefill(r, result, err);
	while (rc == 0 && !done)
		rc = cancelled(r) ? E_CANCELLED : step(r, result, &done, err);
	if (rc != E_CANCELLED)
		return rc;
	result->finish = GENERATE_CANCELLED;
	err_clear(err);
	return 0;
}

int generator_run(struct generator *g, const struct generate_job *job,
    struct generate_result *result, struct err *err)
{
	*result = (struct generate_result){.prompt_tokens = job->n_prompt};
	if (job->n_prompt == 0)
		return err_set(err, E_INVALID, "the prompt is empty");
	if (job->n_prompt > g->n_ctx)
		return err_set(err, E_CONTEXT_LENGTH,
		    "the prompt has %zu tokens, the context only %u", job->n_prompt, g->n_ctx);
	struct run r = {.g = g, .job = job, .text = BUF_INIT(EMIT_MAX), .free = BUF_INIT(EMIT_MAX)};
	int rc = stop_filter_init(&r.filter, job->stops, job->n_stops, err);
	if (rc == 0)
		rc = sampler_new(&job->sampling, tokenizer_n_vocab(g->tokenizer), &r.sampler, err);
	engine_context_set_cancel(g->context, job->cancel);
	if (rc == 0)
		rc = generate(&r, result, err);
	engine_context_set_cancel(g->context, NULL);
	sampler_free(r.sampler);
	stop_filter_free(&r.filter);
	buf_free(&r.text);
	buf_free(&r.free);
	return rc;
}
