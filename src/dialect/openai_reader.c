/* Answers of OpenAI-compatible servers, read back into events. Servers differ: a chunk may carry
 * anything from nothing to a whole answer, a call its id in every piece or an index that starts at
 * 1, the end its reason twice. What is doubtful about the answer itself is an error, though: text
 * after the end, a reason nobody knows, an end that never came. */
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
	struct choice_seen *choices;
	unsigned n_choices, n_ended;
	struct inference_usage usage;
};

/* What the events of one chunk need besides: freed after it. */
struct chunk {
	struct upstream_reader *reader;
	struct reading *state;
	void *mem;
	const json_t *choice;
	unsigned index;
	bool told_tokens;
	struct err *err;
};

static int bad_answer(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer is no chat completion: %s", why);
}

static int no_memory(struct err *err)
{
	return err_set(err, E_MEMORY, "no memory for an answer");
}

static struct bytes text_of(const json_t *string)
{
	return bytes_of(json_string_value(string), json_string_length(string));
}

/* ---- log probabilities and tokens ---------------------------------------------------------- */

/* The token's bytes: from `bytes` where given, else from its text. */
static int read_token(struct chunk *c, const json_t *v, struct bytes *out)
{
	const json_t *list = json_object_get(v, "bytes");
	size_t n = json_array_size(list);
	uint8_t *p;

	*out = text_of(json_object_get(v, "token"));
	if (n == 0)
		return 0;
	p = talloc_size(c->mem, n);
	if (!p)
		return no_memory(c->err);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)json_integer_value(json_array_get(list, i));
	*out = bytes_of(p, n);
	return 0;
}

static int read_logprob(struct chunk *c, const json_t *v, struct inference_logprob *out)
{
	const json_t *p = json_object_get(v, "logprob");

	if (!json_is_number(p))
		return bad_answer(c->err, "a log probability that is none");
	out->logprob = json_number_value(p);
	return read_token(c, v, &out->token);
}

static int read_top(struct chunk *c, const json_t *list, struct inference_logprob *out)
{
	size_t n = json_array_size(list);
	struct inference_logprob *top;
	int rc = 0;

	if (n == 0)
		return 0;
	n = n < INFERENCE_TOP_LOGPROBS ? n : INFERENCE_TOP_LOGPROBS;
	top = talloc_zero_array(c->mem, struct inference_logprob, (unsigned)n);
	if (!top)
		return no_memory(c->err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = read_logprob(c, json_array_get(list, i), &top[i]);
	out->top = top;
	out->n_top = n;
	return rc;
}

static int read_logprobs(struct chunk *c, struct inference_event *e)
{
	const json_t *list = json_object_get(json_object_get(c->choice, "logprobs"), "content");
	size_t n = json_array_size(list);
	struct inference_logprob *all;
	int rc = 0;

	if (n == 0)
		return 0;
	all = talloc_zero_array(c->mem, struct inference_logprob, (unsigned)n);
	if (!all)
		return no_memory(c->err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *v = json_array_get(list, i);

		rc = read_logprob(c, v, &all[i]);
		if (rc == 0)
			rc = read_top(c, json_object_get(v, "top_logprobs"), &all[i]);
	}
	e->logprobs = all;
	e->n_logprobs = n;
	return rc;
}

/* Token ids go with the first event of their chunk. */
static int read_tokens(struct chunk *c, struct inference_event *e)
{
	const json_t *list = json_object_get(c->choice, "token_ids");
	size_t n = json_array_size(list);
	int32_t *ids;

	if (n == 0 || c->told_tokens || !c->reader->req->want_tokens)
		return 0;
	if (n > TOKENS_MAX)
		return bad_answer(c->err, "too many token ids at once");
	ids = talloc_array(c->mem, int32_t, (unsigned)n);
	if (!ids)
		return no_memory(c->err);
	for (size_t i = 0; i < n; i++) {
		int64_t id = json_integer_value(json_array_get(list, i));

		if (!json_is_integer(json_array_get(list, i)) || id < 0 || id > INT32_MAX)
			return bad_answer(c->err, "a token id that is none");
		ids[i] = (int32_t)id;
	}
	c->told_tokens = true;
	e->tokens = ids;
	e->n_tokens = n;
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
static int text_member(struct chunk *c, const json_t *object, const char *key, struct bytes *out)
{
	const json_t *v = json_object_get(object, key);

	*out = text_of(v);
	if (!v || json_is_null(v) || json_is_string(v))
		return 0;
	return err_set(c->err, E_UPSTREAM,
	    "the provider's answer is no chat completion: %s is no string", key);
}

static int take_reasoning(struct chunk *c, const json_t *delta)
{
	struct inference_event e = {.kind = INFERENCE_REASONING};
	int rc = text_member(c, delta, "reasoning_content", &e.text);

	/* Two names for the same; some servers send both. */
	if (rc == 0 && e.text.n == 0 && json_is_string(json_object_get(delta, "reasoning")))
		e.text = text_of(json_object_get(delta, "reasoning"));
	return rc || e.text.n == 0 ? rc : emit(c, &e);
}

static int take_text(struct chunk *c, const json_t *delta)
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

/* ---- tool calls ---------------------------------------------------------------------------- */

static uint64_t hash_of(const char *id)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	if (!id || !*id)
		return 0;
	for (; *id; id++)
		h = (h ^ (uint8_t)*id) * 1099511628211u;
	return h ? h : 1;
}

/* The call that a piece belongs to, or n_calls for a new one. */
static unsigned call_of(const struct choice_seen *seen, const json_t *index, uint64_t id)
{
	unsigned last = seen->n_calls - 1;

	if (seen->n_calls == 0)
		return 0;
	if (!json_is_integer(index))
		return id && id != seen->calls[last].id ? seen->n_calls : last;
	for (unsigned i = seen->n_calls; i-- > 0;)
		if (seen->calls[i].index == json_integer_value(index))
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
static int read_arguments(struct chunk *c, const json_t *function, struct bytes *out)
{
	const json_t *v = json_object_get(function, "arguments");
	char *text;

	*out = text_of(v);
	if (!json_is_object(v))
		return v && !json_is_null(v) && !json_is_string(v)
			   ? bad_answer(c->err, "arguments that are none")
			   : 0;
	text = json_dumps(v, JSON_COMPACT);
	*out = bytes_str(text ? talloc_strdup(c->mem, text) : "");
	free(text);
	return out->n ? 0 : no_memory(c->err);
}

/* One element of tool_calls, or the function_call of old. */
static int take_call(struct chunk *c, const json_t *call, const json_t *function)
{
	struct choice_seen *seen = &c->state->choices[c->index];
	struct inference_event e = {.kind = INFERENCE_TOOL_CALL};
	const char *id = json_get_string(call, "id", "");
	const json_t *index = json_object_get(call, "index");
	char made[ID_MAX];
	int rc;

	e.tool_index = call_of(seen, index, hash_of(id));
	rc = read_arguments(c, function, &e.text);
	if (rc == 0 && e.tool_index == seen->n_calls) {
		e.tool_name = json_get_string(function, "name", "");
		if (!e.tool_name[0])
			return bad_answer(c->err, "a tool call without a name");
		/* Every call of a conversation must have its own: made where the server made none.
		 */
		(void)snprintf(made, sizeof(made), "call_%zu_%u_%u", c->reader->req->n_messages,
		    c->index, e.tool_index);
		e.tool_id = id[0] ? id : made;
		rc = begin_call(
		    c, seen, json_is_integer(index) ? json_integer_value(index) : -1, hash_of(id));
	} else if (rc == 0 && e.text.n == 0) {
		return 0;
	}
	return rc ? rc : emit(c, &e);
}

static int take_calls(struct chunk *c, const json_t *delta)
{
	const json_t *list = json_object_get(delta, "tool_calls"), *call;
	const json_t *old = json_object_get(delta, "function_call");
	size_t i;
	int rc = 0;

	if (list && !json_is_null(list) && !json_is_array(list))
		return bad_answer(c->err, "tool_calls is no array");
	json_array_foreach(list, i, call)
	{
		rc = take_call(c, call, json_object_get(call, "function"));
		if (rc != 0)
			return rc;
	}
	return json_is_object(old) ? take_call(c, NULL, old) : 0;
}

/* ---- the end of a choice ------------------------------------------------------------------- */

static bool finish_of(const char *s, enum inference_finish *out)
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

	for (size_t i = 0; s && i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].name, s) == 0) {
			*out = table[i].finish;
			return true;
		}
	return false;
}

static int take_finish(struct chunk *c)
{
	struct inference_event e = {.kind = INFERENCE_CHOICE_END};
	const json_t *v = json_object_get(c->choice, "finish_reason");
	struct choice_seen *seen = &c->state->choices[c->index];

	if (!v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0))
		return 0;
	if (!finish_of(json_string_value(v), &e.finish))
		return bad_answer(c->err, "an unknown finish_reason");
	if (seen->ended)
		return 0;
	e.stop = text_of(json_object_get(c->choice, "stop_reason"));
	seen->ended = true;
	c->state->n_ended++;
	return emit(c, &e);
}

/* ---- chunks -------------------------------------------------------------------------------- */

static int take_choice(struct chunk *c, const json_t *choice)
{
	const json_t *delta = json_object_get(choice, "delta");
	const json_t *index = json_object_get(choice, "index");
	int rc;

	if (!json_is_object(choice))
		return bad_answer(c->err, "a choice is no object");
	if (!json_is_object(delta))
		delta = json_object_get(choice, "message");
	c->choice = choice;
	c->told_tokens = false;
	c->index = 0;
	if (json_is_integer(index)) {
		if (json_integer_value(index) < 0 ||
		    json_integer_value(index) >= c->state->n_choices)
			return bad_answer(c->err, "more choices than were asked for");
		c->index = (unsigned)json_integer_value(index);
	}
	rc = take_reasoning(c, delta);
	if (rc == 0)
		rc = take_text(c, delta);
	if (rc == 0)
		rc = take_calls(c, delta);
	return rc ? rc : take_finish(c);
}

static int64_t token_count(const json_t *usage, const char *key)
{
	int64_t n = json_get_int(usage, key, -1);

	return n < 0 || n > INT32_MAX ? -1 : n;
}

static void take_usage(struct inference_usage *u, const json_t *usage)
{
	if (!json_is_object(usage))
		return;
	u->prompt_tok = token_count(usage, "prompt_tokens");
	u->completion_tok = token_count(usage, "completion_tokens");
	u->cached_tok =
	    token_count(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
	if (u->cached_tok < 0)
		u->cached_tok = token_count(usage, "prompt_cache_hit_tokens"); /* DeepSeek's */
	u->reasoning_tok =
	    token_count(json_object_get(usage, "completion_tokens_details"), "reasoning_tokens");
}

static int begin(struct upstream_reader *r, struct err *err)
{
	unsigned n = r->req->choices ? r->req->choices : 1;
	struct reading *state = talloc_zero(r, struct reading);

	if (!state)
		return no_memory(err);
	state->choices = talloc_zero_array(state, struct choice_seen, n);
	if (!state->choices) {
		talloc_free(state);
		return no_memory(err);
	}
	state->n_choices = n;
	state->usage = INFERENCE_USAGE_UNKNOWN;
	r->state = state;
	return 0;
}

static int take_root(struct upstream_reader *r, const json_t *root, struct err *err)
{
	const json_t *choices = json_object_get(root, "choices"), *choice;
	struct chunk c = {.reader = r, .state = r->state, .err = err};
	size_t i;
	/* An error may come with status 200, or in the middle of a stream. */
	int rc = openai_error_in(root, 0, err);

	if (rc == 0 && !json_is_array(choices))
		rc = bad_answer(err, "no choices");
	if (rc == 0 && !r->started) {
		r->started = true;
		rc = r->emit(r->arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	}
	if (rc != 0)
		return rc;
	c.mem = talloc_new(c.state);
	if (!c.mem)
		return no_memory(err);
	json_array_foreach(choices, i, choice)
	{
		rc = take_choice(&c, choice);
		if (rc != 0)
			break;
	}
	take_usage(&c.state->usage, json_object_get(root, "usage"));
	talloc_free(c.mem);
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
	json_t *root;
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
	if (json_read(data, &root, err) != 0)
		return err_set(err, E_UPSTREAM, "the provider's answer is not valid JSON");
	rc = take_root(r, root, err);
	json_decref(root);
	return rc;
}

int openai_end(struct upstream_reader *r, struct err *err)
{
	return r->finished ? 0 : finish(r, err);
}
