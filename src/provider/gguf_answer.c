/* An answer on its way back: the worker that generates writes records into a feed, the fiber that
 * reads makes events of them.
 *
 * Must stay true: the loop thread never computes; text waiting for a slow reader is bounded, the
 * generator then waits. */
#include "provider/gguf_priv.h"

#include "base/encode.h"
#include "rt/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_MAX (64u << 10) /* bytes of records that wait for the reader */
#define RECORD_MAX  (32u << 20)
#define CALL_ID_MAX 32

/* A record: this head, then `text_n` bytes of text, `name_n` of a tool's name, the tokens, and for
 * each of them, with log probabilities, how many alternatives it has and then those. */
struct record {
	uint32_t kind; /* enum inference_event_kind */
	uint32_t choice, tool_index;
	uint32_t finish;
	int32_t stop; /* index of the stop string, or -1 */
	uint32_t text_n, name_n, n_tokens;
	uint32_t with_chances;
};

/* Shared by the worker that generates and the fiber that reads. */
struct answer {
	struct gguf_backend *backend;
	const struct inference_request *req;
	uint64_t seed;
	int64_t now_s;
	struct feed *feed;
	/* The worker's. */
	struct gguf_prompt prompt;
	struct reply_parser parser;
	unsigned choice;
	bool enough;     /* the one call that is wanted has come */
	bool muted;      /* the parser sees what was emitted before */
	struct buf told; /* the tokens since the last event, as in a record */
	size_t n_told;
	size_t reasoning_tokens;
	/* The reader's. */
	bool started;
	/* The outcome, once the feed has ended. */
	struct inference_usage usage;
	int rc;
	struct err err;
};

/* ---- the worker ---------------------------------------------------------------------------- */

static int put_record(struct answer *a, struct record *r, struct bytes text, struct bytes name)
{
	struct buf out = BUF_INIT(RECORD_MAX);
	r->choice = a->choice;
	r->text_n = (uint32_t)text.n;
	r->name_n = (uint32_t)name.n;
	r->n_tokens = (uint32_t)a->n_told;
	buf_put(&out, r, sizeof *r);
	buf_bytes(&out, text);
	buf_bytes(&out, name);
	buf_bytes(&out, buf_view(&a->told));
	bool whole = !out.failed && !a->told.failed;
	buf_reset(&a->told);
	a->n_told = 0;
	bool taken = whole && feed_put(a->feed, out.p, out.n);
	buf_free(&out);
	return taken ? 0 : -1;
}

static int on_part(void *arg, enum reply_part part, struct bytes text, struct bytes name)
{
	static const enum inference_event_kind kinds[] = {[REPLY_TEXT] = INFERENCE_TEXT,
	    [REPLY_REASONING] = INFERENCE_REASONING,
	    [REPLY_CALL] = INFERENCE_TOOL_CALL};
	struct answer *a = arg;
	struct record r = {.kind = kinds[part], .with_chances = a->req->logprobs};
	if (a->muted)
		return 0;
	if (part == REPLY_REASONING)
		a->reasoning_tokens += a->n_told;
	if (part == REPLY_CALL)
		r.tool_index = a->parser.n_calls - 1;
	int rc = put_record(a, &r, text, name);
	a->enough = rc == 0 && part == REPLY_CALL && a->req->no_parallel_tool_calls;
	return a->enough ? -1 : rc;
}

static void tell_token(struct answer *a, const struct generate_token *t)
{
	uint32_t n_top = (uint32_t)t->n_top;
	struct token_chance chance = {t->id, t->logprob};
	buf_put(&a->told, &chance, sizeof chance);
	buf_put(&a->told, &n_top, sizeof n_top);
	buf_put(&a->told, t->top, t->n_top * sizeof *t->top);
	a->n_told++;
}

static int on_piece(void *arg, const struct generate_piece *p)
{
	struct answer *a = arg;
	struct bytes text = bytes_of(p->utf8, p->n);
	for (size_t i = 0; i < p->n_tokens; i++)
		tell_token(a, &p->tokens[i]);
	a->muted = p->replayed;
	if (!a->prompt.plain)
		return reply_parser_push(&a->parser, text);
	return p->replayed ? 0 : on_part(a, REPLY_TEXT, text, (struct bytes){0});
}

static struct sampler_params sampling_of(const struct answer *a)
{
	const struct inference_sampling *s = &a->req->sampling;
	struct sampler_params p = a->backend->defaults;
	if (s->has_temperature)
		p.temperature = (float)s->temperature;
	if (s->has_top_p)
		p.top_p = (float)s->top_p;
	if (s->has_top_k)
		p.top_k = (uint32_t)s->top_k;
	if (s->has_min_p)
		p.min_p = (float)s->min_p;
	if (s->has_repeat_penalty)
		p.repeat_penalty = (float)s->repeat_penalty;
	p.frequency_penalty = (float)s->frequency_penalty;
	p.presence_penalty = (float)s->presence_penalty;
	p.seed = sampler_seed_of_choice(s->has_seed ? (uint64_t)s->seed : a->seed, a->choice);
	p.biases = a->prompt.biases;
	p.n_biases = a->req->n_biases;
	return p;
}

static int run_job(struct answer *a, struct generate_result *result, struct err *err)
{
	const struct inference_request *req = a->req;
	const struct gguf_prompt *p = &a->prompt;
	struct generate_job job = {
	    .prompt = p->tokens.ids,
	    .n_prompt = p->tokens.n,
	    .continued = p->continued.ids,
	    .n_continued = p->continued.n,
	    .continued_text = p->continued_text,
	    .replay = !p->plain,
	    .max_tokens = req->max_tokens > 0 ? (size_t)req->max_tokens : GENERATE_UNLIMITED,
	    .sampling = sampling_of(a),
	    .stops = req->stop,
	    .n_stops = req->n_stop,
	    .grammar = p->grammar,
	    .visible = p->visible,
	    .n_visible = p->n_visible,
	    .logprobs = req->logprobs,
	    .top_logprobs = req->top_logprobs,
	    .emit = on_piece,
	    .arg = a,
	    .cancel = feed_cut_flag(a->feed),
	};
	return generator_run(a->backend->generator, &job, result, err);
}

static void count(struct answer *a, const struct generate_result *r)
{
	struct inference_usage *u = &a->usage;
	u->prompt_tok = (int64_t)r->prompt_tokens;
	u->completion_tok += (int64_t)r->completion_tokens;
	if (a->choice == 0)
		u->cached_tok = (int64_t)r->reused_tokens;
	if (a->backend->style.thinks && a->req->kind == INFERENCE_CHAT)
		u->reasoning_tok = (int64_t)a->reasoning_tokens;
}

/* The answer has ended, or was ended because it has all that is wanted of it. */
static int end_choice(struct answer *a, const struct generate_result *result, struct err *err)
{
	struct record end = {.kind = INFERENCE_CHOICE_END, .stop = result->stop};
	if (!a->enough && !a->prompt.plain && reply_parser_finish(&a->parser) && !a->enough)
		return err_set(err, E_CANCELLED, "cancelled");
	count(a, result);
	end.finish = result->finish == GENERATE_LENGTH ? FINISH_LENGTH
		     : a->parser.n_calls               ? FINISH_TOOL_CALLS
						       : FINISH_STOP;
	if (put_record(a, &end, (struct bytes){0}, (struct bytes){0}))
		return err_set(err, E_CANCELLED, "cancelled");
	return 0;
}

static int generate_choice(struct answer *a, struct err *err)
{
	struct generate_result result;
	reply_parser_init(&a->parser, &a->prompt.reply, on_part, a);
	a->enough = false;
	int rc = run_job(a, &result, err);
	a->muted = false;
	if (rc == 0 && result.finish == GENERATE_CANCELLED && !a->enough)
		rc = err_set(err, E_CANCELLED, "cancelled");
	if (rc == 0)
		rc = end_choice(a, &result, err);
	reply_parser_free(&a->parser);
	return rc;
}

static int generate(struct answer *a, struct err *err)
{
	int rc = gguf_prompt_make(a->backend, a->req, a->now_s, &a->prompt, err);
	if (rc)
		return rc;
	for (; rc == 0 && (a->choice == 0 || a->choice < a->req->choices); a->choice++) {
		if (a->req->echo)
			rc = on_part(a, REPLY_TEXT, a->req->prompt, (struct bytes){0});
		rc = rc ? err_set(err, E_CANCELLED, "cancelled") : generate_choice(a, err);
	}
	gguf_prompt_free(&a->prompt);
	return rc;
}

static void generate_work(void *arg)
{
	struct answer *a = arg;
	a->rc = generate(a, &a->err);
}

/* ---- the reader ---------------------------------------------------------------------------- */

static void generate_fiber(void *arg)
{
	struct answer *a = arg;
	int rc = rt_work(generate_work, a, NULL, &a->err);
	if (rc)
		a->rc = rc;
	feed_end(a->feed);
}

static bool take(struct bytes *from, void *out, size_t n)
{
	if (from->n < n)
		return false;
	memcpy(out, from->p, n);
	*from = bytes_of(from->p + n, from->n - n);
	return true;
}

static struct bytes take_bytes(struct bytes *from, size_t n)
{
	struct bytes b = bytes_of(from->p, n);
	INVARIANT(n <= from->n);
	*from = bytes_of(from->p + n, from->n - n);
	return b;
}

/* The tokens of an event: ids, and log probabilities where wanted. Owns both arrays. */
struct event_tokens {
	int32_t *ids;
	struct inference_logprob *chances;
	struct inference_logprob *tops;
};

static void free_tokens(struct event_tokens *t)
{
	free(t->ids);
	free(t->chances);
	free(t->tops);
}

static struct inference_logprob chance_of(const struct answer *a, struct token_chance c)
{
	return (struct inference_logprob){
	    .token = tokenizer_piece(a->backend->tokenizer, c.id), .logprob = (double)c.logprob};
}

static int take_tokens(const struct answer *a, const struct record *r, struct bytes *from,
    struct event_tokens *t, struct err *err)
{
	t->ids = calloc(r->n_tokens + 1, sizeof *t->ids);
	t->chances = calloc(r->n_tokens + 1, sizeof *t->chances);
	t->tops = calloc((size_t)r->n_tokens * TOKEN_CHANCES_MAX + 1, sizeof *t->tops);
	if (!t->ids || !t->chances || !t->tops)
		return err_set(err, E_MEMORY, "no memory for an answer's tokens");
	struct inference_logprob *top = t->tops;
	for (uint32_t i = 0; i < r->n_tokens; i++) {
		struct token_chance c;
		uint32_t n_top;
		INVARIANT(take(from, &c, sizeof c) && take(from, &n_top, sizeof n_top));
		t->ids[i] = c.id;
		t->chances[i] = chance_of(a, c);
		t->chances[i].top = top;
		t->chances[i].n_top = n_top;
		for (uint32_t k = 0; k < n_top; k++) {
			INVARIANT(take(from, &c, sizeof c));
			*top++ = chance_of(a, c);
		}
	}
	return 0;
}

static void name_call(struct answer *a, char id[CALL_ID_MAX])
{
	uint8_t random[12];
	world_random(a->backend->opt.world, random, sizeof random);
	memcpy(id, "call_", 5);
	hex_encode(bytes_of(random, sizeof random), id + 5);
}

static int emit_record(struct answer *a, const struct record *r, struct bytes *from,
    inference_emit_fn emit, void *arg, struct err *err)
{
	struct event_tokens tokens = {0};
	char id[CALL_ID_MAX], name[INFERENCE_TOOL_NAME_MAX];
	struct inference_event e = {.kind = (enum inference_event_kind)r->kind,
	    .choice = r->choice,
	    .text = take_bytes(from, r->text_n),
	    .tool_index = r->tool_index,
	    .finish = (enum inference_finish)r->finish};
	struct bytes called = take_bytes(from, r->name_n);
	int rc = take_tokens(a, r, from, &tokens, err);
	if (e.kind == INFERENCE_TOOL_CALL) {
		snprintf(name, sizeof name, "%.*s", (int)called.n, (const char *)called.p);
		name_call(a, id);
		e.tool_id = id;
		e.tool_name = name;
	}
	if (e.kind == INFERENCE_CHOICE_END && r->stop >= 0)
		e.stop = a->req->stop[r->stop];
	if (a->req->want_tokens && e.kind != INFERENCE_CHOICE_END) {
		e.tokens = tokens.ids;
		e.n_tokens = r->n_tokens;
	}
	if (r->with_chances && e.kind == INFERENCE_TEXT) {
		e.logprobs = tokens.chances;
		e.n_logprobs = r->n_tokens;
	}
	rc = rc ? rc : emit(arg, &e, err);
	free_tokens(&tokens);
	return rc;
}

static int emit_records(
    struct answer *a, struct bytes records, inference_emit_fn emit, void *arg, struct err *err)
{
	struct record r;
	int rc = 0;
	if (!a->started)
		rc = emit(arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	a->started = true;
	while (rc == 0 && records.n) { /* a record is put as a whole, so it comes as a whole */
		INVARIANT(take(&records, &r, sizeof r));
		rc = emit_record(a, &r, &records, emit, arg, err);
	}
	return rc;
}

static int pass_on(struct answer *a, inference_emit_fn emit, void *arg, struct err *err)
{
	for (;;) {
		struct buf records;
		int rc = feed_take(a->feed, &records, err);
		if (rc)
			return rc == E_CLOSED ? 0 : rc;
		rc = emit_records(a, buf_view(&records), emit, arg, err);
		buf_free(&records);
		if (rc)
			return rc;
	}
}

static int finish(struct answer *a, inference_emit_fn emit, void *arg, struct err *err)
{
	if (a->rc) {
		a->err.code = a->rc;
		return err_copy(err, &a->err);
	}
	struct inference_event e = {.kind = INFERENCE_FINISHED, .usage = a->usage};
	return emit(arg, &e, err);
}

int gguf_answer(struct gguf_backend *b, const struct inference_request *req, inference_emit_fn emit,
    void *arg, struct err *err)
{
	struct answer a = {
	    .backend = b,
	    .req = req,
	    .seed = world_random_u64(b->opt.world),
	    .now_s = world_wall_ms(b->opt.world) / 1000,
	    .told = BUF_INIT(RECORD_MAX),
	    .usage = {0, 0, 0, -1},
	};
	int rc = feed_new(PENDING_MAX, &a.feed, err);
	if (rc)
		return rc;
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(NULL, "generate", generate_fiber, &a, err);
	if (rc == 0)
		rc = pass_on(&a, emit, arg, err);
	feed_cut(a.feed);
	scope_close(&sc); /* waits for the worker: it ends within a token */
	if (rc == 0)
		rc = finish(&a, emit, arg, err);
	feed_free(a.feed);
	buf_free(&a.told);
	return rc;
}
