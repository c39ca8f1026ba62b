/* Answers of OpenAI-compatible servers, read back into events. Servers differ: a chunk may carry
 * anything from nothing to a whole answer, a call its id in every piece or an index that starts at
 * 1, the end its reason twice. What is doubtful about the answer itself is an error, though: text
 * after the end, a reason nobody knows, an end that never came. */
#include "dialect/jtree.h"
#include "dialect/openai_priv.h"

#include <stdio.h>
#include <talloc.h>

#define CALLS_MAX  128 /* tool calls of one choice */
#define TOKENS_MAX 4096
#define ID_MAX     64

/* A tool call under way: how the server tells it from others. */
struct call_seen {
	int64_t index;
	uint64_t id; /* a hash of it; 0 when it had none */
};

struct choice_seen {
	bool ended;
	struct call_seen *calls;
	unsigned n_calls;
};

/* An answer being read. */
struct reading {
	struct jtree *tree;
	struct choice_seen *choices;
	unsigned n_choices, n_ended;
	struct inference_usage usage;
};

/* What the events of one chunk need besides: freed after it. */
struct chunk {
	struct upstream_reader *reader;
	struct reading *state;
	void *mem; /* NULL until it is needed */
	struct bytes text;
	const struct jnode *choice;
	unsigned index;
	bool told_tokens;
	struct err *err;
};

static int bad_answer(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer is no completion: %s", why);
}

static int no_memory(struct err *err)
{
	return err_set(err, E_MEMORY, "no memory for an answer");
}

/* Memory for `n` bytes until the chunk has been told; NULL without any. */
static void *scratch(struct chunk *c, size_t n)
{
	if (!c->mem)
		c->mem = talloc_new(c->state);
	return c->mem ? talloc_zero_size(c->mem, n ? n : 1) : NULL;
}

/* ---- log probabilities and tokens ---------------------------------------------------------- */

/* The token's bytes: from `bytes` where given, else from its text. */
static int read_token(struct chunk *c, const struct jnode *v, struct bytes *out)
{
	const struct jnode *list = jget(v, "bytes");
	uint8_t *p;
	size_t n = 0;

	*out = jtext(jget(v, "token"));
	if (!jis(list, J_ARRAY) || list->n == 0)
		return 0;
	p = scratch(c, list->n);
	if (!p)
		return no_memory(c->err);
	for (const struct jnode *b = jfirst(list); b; b = jnext(list, b))
		p[n++] = jis(b, J_INT) ? (uint8_t)b->v.i : 0;
	*out = bytes_of(p, n);
	return 0;
}

static int read_logprob(struct chunk *c, const struct jnode *v, struct inference_logprob *out)
{
	const struct jnode *p = jget(v, "logprob");

	if (!jis_number(p))
		return bad_answer(c->err, "a log probability that is none");
	out->logprob = jnumber(p);
	return read_token(c, v, &out->token);
}

static int read_top(struct chunk *c, const struct jnode *list, struct inference_logprob *out)
{
	size_t n = jsize(list) < INFERENCE_TOP_LOGPROBS ? jsize(list) : INFERENCE_TOP_LOGPROBS;
	const struct jnode *v = jfirst(list);
	struct inference_logprob *top;
	int rc = 0;

	if (n == 0)
		return 0;
	top = scratch(c, n * sizeof(*top));
	if (!top)
		return no_memory(c->err);
	for (size_t i = 0; rc == 0 && i < n; i++, v = jnext(list, v))
		rc = read_logprob(c, v, &top[i]);
	out->top = top;
	out->n_top = n;
	return rc;
}

static int read_logprobs(struct chunk *c, struct inference_event *e)
{
	const struct jnode *list = jget(jget(c->choice, "logprobs"), "content");
	struct inference_logprob *all;
	size_t n = 0;
	int rc = 0;

	if (!jis(list, J_ARRAY) || list->n == 0)
		return 0;
	all = scratch(c, list->n * sizeof(*all));
	if (!all)
		return no_memory(c->err);
	for (const struct jnode *v = jfirst(list); rc == 0 && v; v = jnext(list, v), n++) {
		rc = read_logprob(c, v, &all[n]);
		if (rc == 0)
			rc = read_top(c, jget(v, "top_logprobs"), &all[n]);
	}
	e->logprobs = all;
	e->n_logprobs = n;
	return rc;
}

/* The form of legacy completions: {"a":-0.5,"b":-1.2}. */
static int read_old_top(struct chunk *c, const struct jnode *map, struct inference_logprob *out)
{
	size_t n = jsize(map) < INFERENCE_TOP_LOGPROBS ? jsize(map) : INFERENCE_TOP_LOGPROBS;
	const struct jnode *v = jfirst(map);
	struct inference_logprob *top;

	if (!jis(map, J_OBJECT) || n == 0)
		return 0;
	top = scratch(c, n * sizeof(*top));
	if (!top)
		return no_memory(c->err);
	for (size_t i = 0; i < n; i++, v = jnext(map, v)) {
		if (!jis_number(v))
			return bad_answer(c->err, "a log probability that is none");
		top[i] = (struct inference_logprob){.token = jkey(v), .logprob = jnumber(v)};
	}
	out->top = top;
	out->n_top = n;
	return 0;
}

/* … with an array for each of their sides. An unknown probability, of the first token of a prompt,
 * is null there. */
static int read_old_logprobs(struct chunk *c, struct inference_event *e)
{
	const struct jnode *all = jget(c->choice, "logprobs"), *texts = jget(all, "tokens");
	const struct jnode *probs = jget(all, "token_logprobs"), *tops = jget(all, "top_logprobs");
	const struct jnode *p = jfirst(probs), *top = jis(tops, J_ARRAY) ? jfirst(tops) : NULL;
	struct inference_logprob *to;
	int rc = 0;

	if (!jis(texts, J_ARRAY) || texts->n == 0)
		return 0;
	if (!jis(probs, J_ARRAY) || probs->n != texts->n)
		return bad_answer(c->err, "tokens without their log probabilities");
	e->logprobs = to = scratch(c, texts->n * sizeof(*to));
	if (!to)
		return no_memory(c->err);
	for (const struct jnode *t = jfirst(texts); rc == 0 && t; t = jnext(texts, t)) {
		to->token = jtext(t);
		to->logprob = jis_number(p) ? jnumber(p) : 0;
		rc = read_old_top(c, top, to++);
		p = jnext(probs, p);
		top = top ? jnext(tops, top) : NULL;
		e->n_logprobs++;
	}
	return rc;
}

/* Token ids go with the first event of their chunk. */
static int read_tokens(struct chunk *c, struct inference_event *e)
{
	const struct jnode *list = jget(c->choice, "token_ids");
	int32_t *ids;

	if (!jis(list, J_ARRAY) || list->n == 0 || c->told_tokens || !c->reader->req->want_tokens)
		return 0;
	if (list->n > TOKENS_MAX)
		return bad_answer(c->err, "too many token ids at once");
	e->tokens = ids = scratch(c, list->n * sizeof(*ids));
	if (!ids)
		return no_memory(c->err);
	for (const struct jnode *v = jfirst(list); v; v = jnext(list, v)) {
		if (v->kind != J_INT || v->v.i < 0 || v->v.i > INT32_MAX)
			return bad_answer(c->err, "a token id that is none");
		ids[e->n_tokens++] = (int32_t)v->v.i;
	}
	c->told_tokens = true;
	return 0;
}

static int emit(struct chunk *c, struct inference_event *e)
{
	int rc;

	if (c->state->choices[c->index].ended && e->kind != INFERENCE_CHOICE_END)
		return bad_answer(c->err, "more of it after its end");
	e->choice = c->index;
	rc = read_tokens(c, e);
	return rc ? rc : c->reader->emit(c->reader->arg, e, c->err);
}

/* ---- text ---------------------------------------------------------------------------------- */

/* A member that is a string, absent or null. */
static int text_member(
    struct chunk *c, const struct jnode *object, const char *key, struct bytes *out)
{
	const struct jnode *v = jget(object, key);

	*out = jtext(v);
	if (!jhas(v) || v->kind == J_TEXT)
		return 0;
	return err_set(
	    c->err, E_UPSTREAM, "the provider's answer is no completion: %s is no string", key);
}

static int take_reasoning(struct chunk *c, const struct jnode *delta)
{
	struct inference_event e = {.kind = INFERENCE_REASONING};
	int rc = text_member(c, delta, "reasoning_content", &e.text);

	/* Two names for the same; some servers send both. */
	if (rc == 0 && e.text.n == 0)
		e.text = jtext(jget(delta, "reasoning"));
	return rc || e.text.n == 0 ? rc : emit(c, &e);
}

static int take_text(struct chunk *c, const struct jnode *delta)
{
	struct inference_event e = {.kind = INFERENCE_TEXT};
	int rc = text_member(c, delta, "content", &e.text);

	/* A refusal comes in the place of the answer, and is the answer. */
	if (rc == 0 && e.text.n == 0)
		rc = text_member(c, delta, "refusal", &e.text);
	if (rc == 0)
		rc = read_logprobs(c, &e);
	return rc || (e.text.n == 0 && e.n_logprobs == 0) ? rc : emit(c, &e);
}

static int take_old_text(struct chunk *c)
{
	struct inference_event e = {.kind = INFERENCE_TEXT};
	int rc = text_member(c, c->choice, "text", &e.text);

	if (rc == 0)
		rc = read_old_logprobs(c, &e);
	return rc || (e.text.n == 0 && e.n_logprobs == 0) ? rc : emit(c, &e);
}

/* ---- tool calls ---------------------------------------------------------------------------- */

static uint64_t hash_of(struct bytes id)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	if (id.n == 0)
		return 0;
	for (size_t i = 0; i < id.n; i++)
		h = (h ^ id.p[i]) * 1099511628211u;
	return h ? h : 1;
}

/* The call that a piece belongs to, or n_calls for a new one. */
static unsigned call_of(const struct choice_seen *seen, const struct jnode *index, uint64_t id)
{
	unsigned last = seen->n_calls - 1;

	if (seen->n_calls == 0)
		return 0;
	if (!jis(index, J_INT))
		return id && id != seen->calls[last].id ? seen->n_calls : last;
	for (unsigned i = seen->n_calls; i-- > 0;)
		if (seen->calls[i].index == index->v.i)
			/* Some give every call the index 0. */
			return id && seen->calls[i].id && id != seen->calls[i].id ? seen->n_calls
										  : i;
	return seen->n_calls;
}

static int begin_call(struct chunk *c, struct choice_seen *seen, int64_t index, uint64_t id)
{
	if (seen->n_calls == CALLS_MAX)
		return bad_answer(c->err, "too many tool calls");
	if (!seen->calls)
		seen->calls = talloc_array(c->state, struct call_seen, CALLS_MAX);
	if (!seen->calls)
		return no_memory(c->err);
	seen->calls[seen->n_calls++] = (struct call_seen){index, id};
	return 0;
}

/* Arguments as text; a server that gives them as an object means its JSON. */
static int read_arguments(struct chunk *c, const struct jnode *function, struct bytes *out)
{
	const struct jnode *v = jget(function, "arguments");

	*out = jis(v, J_OBJECT) ? jsource(v, c->text) : jtext(v);
	return !jhas(v) || v->kind == J_TEXT || v->kind == J_OBJECT
		   ? 0
		   : bad_answer(c->err, "arguments that are none");
}

static int name_call(struct chunk *c, struct bytes id, struct bytes name, struct inference_event *e)
{
	char made[ID_MAX];

	if (name.n == 0)
		return bad_answer(c->err, "a tool call without a name");
	/* Every call of a conversation must have its own: made where the server made none. */
	(void)snprintf(made, sizeof(made), "call_%zu_%u_%u", c->reader->req->n_messages, c->index,
	    e->tool_index);
	if (!scratch(c, 0))
		return no_memory(c->err);
	e->tool_name = jdup(c->mem, name);
	e->tool_id = jdup(c->mem, id.n ? id : bytes_str(made));
	return e->tool_name && e->tool_id ? 0 : no_memory(c->err);
}

/* One element of tool_calls, or the function_call of old. */
static int take_call(struct chunk *c, const struct jnode *call, const struct jnode *function)
{
	struct choice_seen *seen = &c->state->choices[c->index];
	struct inference_event e = {.kind = INFERENCE_TOOL_CALL};
	const struct jnode *index = jget(call, "index");
	struct bytes id = jtext(jget(call, "id"));
	int rc;

	e.tool_index = call_of(seen, index, hash_of(id));
	rc = read_arguments(c, function, &e.text);
	if (rc == 0 && e.tool_index == seen->n_calls) {
		rc = name_call(c, id, jtext(jget(function, "name")), &e);
		if (rc == 0)
			rc = begin_call(c, seen, jis(index, J_INT) ? index->v.i : -1, hash_of(id));
	} else if (rc == 0 && e.text.n == 0) {
		return 0;
	}
	return rc ? rc : emit(c, &e);
}

static int take_calls(struct chunk *c, const struct jnode *delta)
{
	const struct jnode *list = jget(delta, "tool_calls"), *old = jget(delta, "function_call");
	int rc = 0;

	if (jhas(list) && list->kind != J_ARRAY)
		return bad_answer(c->err, "tool_calls is no array");
	for (const struct jnode *v = jfirst(list); rc == 0 && v; v = jnext(list, v))
		rc = take_call(c, v, jget(v, "function"));
	return rc == 0 && jis(old, J_OBJECT) ? take_call(c, NULL, old) : rc;
}

/* ---- the end of a choice ------------------------------------------------------------------- */

static bool finish_of(const struct jnode *v, enum inference_finish *out)
{
	static const struct {
		const char *name;
		enum inference_finish finish;
	} table[] = {
	    {"stop", FINISH_STOP},
	    {"length", FINISH_LENGTH},
	    {"tool_calls", FINISH_TOOL_CALLS},
	    {"function_call", FINISH_TOOL_CALLS},
	    {"content_filter", FINISH_CONTENT_FILTER},
	    /* of servers that pass their model's own words on */
	    {"eos", FINISH_STOP},
	    {"eos_token", FINISH_STOP},
	    {"end_turn", FINISH_STOP},
	    {"stop_sequence", FINISH_STOP},
	    {"max_tokens", FINISH_LENGTH},
	    {"tool_use", FINISH_TOOL_CALLS},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (jtext_is(v, table[i].name)) {
			*out = table[i].finish;
			return true;
		}
	return false;
}

static int take_finish(struct chunk *c)
{
	struct inference_event e = {.kind = INFERENCE_CHOICE_END};
	const struct jnode *v = jget(c->choice, "finish_reason");
	struct choice_seen *seen = &c->state->choices[c->index];

	if (!jhas(v) || (v->kind == J_TEXT && v->n == 0))
		return 0;
	if (!finish_of(v, &e.finish))
		return bad_answer(c->err, "an unknown finish_reason");
	if (seen->ended)
		return 0;
	e.stop = jtext(jget(c->choice, "stop_reason"));
	seen->ended = true;
	c->state->n_ended++;
	return emit(c, &e);
}

/* ---- chunks -------------------------------------------------------------------------------- */

static int take_choice(struct chunk *c, const struct jnode *choice)
{
	const struct jnode *delta = jget(choice, "delta"), *index = jget(choice, "index");
	int rc;

	if (choice->kind != J_OBJECT)
		return bad_answer(c->err, "a choice is no object");
	if (!jis(delta, J_OBJECT))
		delta = jget(choice, "message");
	c->choice = choice;
	c->told_tokens = false;
	c->index = 0;
	if (jis(index, J_INT)) {
		if (index->v.i < 0 || index->v.i >= c->state->n_choices)
			return bad_answer(c->err, "more choices than were asked for");
		c->index = (unsigned)index->v.i;
	}
	if (c->reader->req->kind == INFERENCE_COMPLETION) {
		rc = take_old_text(c);
		return rc ? rc : take_finish(c);
	}
	rc = take_reasoning(c, delta);
	if (rc == 0)
		rc = take_text(c, delta);
	if (rc == 0)
		rc = take_calls(c, delta);
	return rc ? rc : take_finish(c);
}

static int64_t token_count(const struct jnode *usage, const char *key)
{
	int64_t n = jget_int(usage, key, -1);

	return n < 0 || n > INT32_MAX ? -1 : n;
}

static void take_usage(struct inference_usage *u, const struct jnode *usage)
{
	if (!jis(usage, J_OBJECT))
		return;
	u->prompt_tok = token_count(usage, "prompt_tokens");
	u->completion_tok = token_count(usage, "completion_tokens");
	u->cached_tok = token_count(jget(usage, "prompt_tokens_details"), "cached_tokens");
	if (u->cached_tok < 0)
		u->cached_tok = token_count(usage, "prompt_cache_hit_tokens"); /* DeepSeek's */
	u->reasoning_tok =
	    token_count(jget(usage, "completion_tokens_details"), "reasoning_tokens");
}

static int begin(struct upstream_reader *r, struct err *err)
{
	unsigned n = r->req->choices ? r->req->choices : 1;
	struct reading *state = talloc_zero(r, struct reading);

	if (!state)
		return no_memory(err);
	state->tree = jtree_new(state);
	state->choices = talloc_zero_array(state, struct choice_seen, n);
	if (!state->tree || !state->choices) {
		talloc_free(state);
		return no_memory(err);
	}
	state->n_choices = n;
	state->usage = INFERENCE_USAGE_UNKNOWN;
	r->state = state;
	return 0;
}

static int take_root(struct upstream_reader *r, struct chunk *c, const struct jnode *root)
{
	const struct jnode *choices = jget(root, "choices");
	int rc = 0;

	/* An error may come with status 200, or in the middle of a stream. */
	if (jhas(jget(root, "error")))
		return openai_error_parse(c->text, 0, c->err);
	if (!jis(choices, J_ARRAY))
		return bad_answer(c->err, "no choices");
	if (!r->started) {
		r->started = true;
		rc = r->emit(r->arg, &(struct inference_event){.kind = INFERENCE_STARTED}, c->err);
	}
	for (const struct jnode *v = jfirst(choices); rc == 0 && v; v = jnext(choices, v))
		rc = take_choice(c, v);
	take_usage(&c->state->usage, jget(root, "usage"));
	return rc;
}

static int finish(struct upstream_reader *r, struct err *err)
{
	struct reading *state = r->state;
	struct inference_event e = {.kind = INFERENCE_FINISHED};

	if (!state || state->n_ended < state->n_choices)
		return err_set(err, E_CLOSED, "the answer broke off before its end");
	e.usage = state->usage;
	r->finished = true;
	return r->emit(r->arg, &e, err);
}

int openai_take(struct upstream_reader *r, const char *name, struct bytes data, struct err *err)
{
	struct chunk c = {.reader = r, .text = data, .err = err};
	const struct jnode *root;
	int rc = 0;

	(void)name;
	if (r->finished)
		return bad_answer(err, "more of it after its end");
	if (data.n >= sizeof(OPENAI_DONE) - 1 &&
	    memcmp(data.p, OPENAI_DONE, sizeof(OPENAI_DONE) - 1) == 0)
		return finish(r, err);
	if (!r->state)
		rc = begin(r, err);
	if (rc != 0)
		return rc;
	c.state = r->state;
	rc = jtree_read(c.state->tree, data, &root, err);
	if (rc == E_SYNTAX)
		return err_set(err, E_UPSTREAM, "the provider's answer is not valid JSON");
	if (rc == 0)
		rc = take_root(r, &c, root);
	talloc_free(c.mem);
	return rc;
}

int openai_end(struct upstream_reader *r, struct err *err)
{
	return r->finished ? 0 : finish(r, err);
}
