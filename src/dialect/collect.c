/* An answer put together from its events, within a limit that counts everything kept. */
#include "dialect/dialect.h"

#include <talloc.h>

#define ROOM_FIRST 64 /* bytes of a piece of memory that grows */

static int free_buffers(struct inference_result *r)
{
	for (size_t i = 0; i < r->n_choices; i++) {
		buf_free(&r->choices[i].text);
		buf_free(&r->choices[i].reasoning);
	}
	return 0;
}

struct inference_result *inference_result_new(void *mem, unsigned choices, size_t limit)
{
	struct inference_result *r = talloc_zero(mem, struct inference_result);

	if (!r)
		return NULL;
	r->choices = talloc_zero_array(r, struct inference_choice, choices ? choices : 1);
	if (!r->choices) {
		talloc_free(r);
		return NULL;
	}
	r->n_choices = choices ? choices : 1;
	r->usage = INFERENCE_USAGE_UNKNOWN;
	r->left = limit;
	for (size_t i = 0; i < r->n_choices; i++) {
		r->choices[i].text = BUF_INIT(limit);
		r->choices[i].reasoning = BUF_INIT(limit);
	}
	talloc_set_destructor(r, free_buffers);
	return r;
}

static int misfit(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer does not fit the request: %s", why);
}

static int spend(struct inference_result *r, size_t n, struct err *err)
{
	if (n > r->left)
		return err_set(err, E_TOO_LARGE, "the answer is too large");
	r->left -= n;
	return 0;
}

/* `p` (NULL at first) with room for `need` bytes, grown by doubling; NULL without memory. */
static void *roomy(struct inference_result *r, void *p, size_t need)
{
	size_t cap = p ? talloc_get_size(p) : 0, want = cap > ROOM_FIRST ? cap : ROOM_FIRST;

	if (cap >= need)
		return p;
	while (want < need)
		want *= 2;
	return talloc_realloc_size(r, p, want);
}

static int no_memory(struct err *err)
{
	return err_set(err, E_MEMORY, "no memory for an answer");
}

static int append(struct inference_result *r, struct bytes *to, struct bytes piece, struct err *err)
{
	char *p;
	int rc = spend(r, piece.n, err);

	if (rc != 0 || piece.n == 0)
		return rc;
	p = roomy(r, (void *)(uintptr_t)to->p, to->n + piece.n + 1);
	if (!p)
		return no_memory(err);
	memcpy(p + to->n, piece.p, piece.n);
	p[to->n + piece.n] = 0;
	*to = bytes_of(p, to->n + piece.n);
	return 0;
}

static int add_text(struct inference_result *r, struct buf *to, struct bytes piece, struct err *err)
{
	int rc = spend(r, piece.n, err);

	if (rc != 0)
		return rc;
	buf_bytes(to, piece);
	return buf_ok(to, err);
}

/* ---- log probabilities and tokens ---------------------------------------------------------- */

static int copy_logprobs(struct inference_result *r, struct inference_logprob *to,
    const struct inference_logprob *from, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct inference_logprob *top = NULL;
		int rc = spend(r, sizeof(*to), err);

		to[i] = (struct inference_logprob){.logprob = from[i].logprob};
		if (rc == 0)
			rc = append(r, &to[i].token, from[i].token, err);
		if (rc == 0 && from[i].n_top > 0) {
			top =
			    talloc_zero_array(r, struct inference_logprob, (unsigned)from[i].n_top);
			rc = top ? copy_logprobs(r, top, from[i].top, from[i].n_top, err)
				 : no_memory(err);
		}
		if (rc != 0)
			return rc;
		to[i].top = top;
		to[i].n_top = from[i].n_top;
	}
	return 0;
}

static int add_logprobs(struct inference_result *r, struct inference_choice *c,
    const struct inference_event *e, struct err *err)
{
	struct inference_logprob *all;
	int rc;

	if (e->n_logprobs == 0)
		return 0;
	all = roomy(r, c->logprobs, (c->n_logprobs + e->n_logprobs) * sizeof(*all));
	if (!all)
		return no_memory(err);
	c->logprobs = all;
	rc = copy_logprobs(r, all + c->n_logprobs, e->logprobs, e->n_logprobs, err);
	if (rc == 0)
		c->n_logprobs += e->n_logprobs;
	return rc;
}

static int add_tokens(struct inference_result *r, struct inference_choice *c,
    const struct inference_event *e, struct err *err)
{
	int rc = spend(r, e->n_tokens * sizeof(int32_t), err);
	int32_t *all;

	if (rc != 0 || e->n_tokens == 0)
		return rc;
	all = roomy(r, c->tokens, (c->n_tokens + e->n_tokens) * sizeof(*all));
	if (!all)
		return no_memory(err);
	memcpy(all + c->n_tokens, e->tokens, e->n_tokens * sizeof(*all));
	c->tokens = all;
	c->n_tokens += e->n_tokens;
	return 0;
}

/* ---- tool calls ---------------------------------------------------------------------------- */

static int begin_call(struct inference_result *r, struct inference_choice *c,
    const struct inference_event *e, struct err *err)
{
	struct inference_tool_call *calls;
	int rc = spend(r, sizeof(*calls) + strlen(e->tool_id) + strlen(e->tool_name), err);

	if (rc != 0)
		return rc;
	calls = roomy(r, c->tool_calls, (c->n_tool_calls + 1) * sizeof(*calls));
	if (!calls)
		return no_memory(err);
	c->tool_calls = calls;
	calls[c->n_tool_calls] = (struct inference_tool_call){
	    talloc_strdup(r, e->tool_id), talloc_strdup(r, e->tool_name), {NULL, 0}};
	if (!calls[c->n_tool_calls].id || !calls[c->n_tool_calls].name)
		return no_memory(err);
	c->n_tool_calls++;
	return 0;
}

static int add_call(struct inference_result *r, struct inference_choice *c,
    const struct inference_event *e, struct err *err)
{
	int rc = 0;

	if (e->tool_id && e->tool_name && e->tool_index == c->n_tool_calls)
		rc = begin_call(r, c, e, err);
	else if (e->tool_index >= c->n_tool_calls)
		return misfit(err, "a piece of a tool call that did not begin");
	if (rc != 0)
		return rc;
	return append(r, &c->tool_calls[e->tool_index].arguments, e->text, err);
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* A seal is of all the thoughts: of several, each with its own, none holds for the whole. */
static int add_thoughts(struct inference_result *r, struct inference_choice *c,
    const struct inference_event *e, struct err *err)
{
	if (c->reasoning_seal.n > 0) {
		c->reasoning_seal = bytes_of(NULL, 0);
		c->resealed = true;
	}
	if (e->seal.n > 0 && !c->resealed)
		return append(r, &c->reasoning_seal, e->seal, err);
	return add_text(r, &c->reasoning, e->text, err);
}

static int end_choice(struct inference_result *r, struct inference_choice *c,
    const struct inference_event *e, struct err *err)
{
	if (c->ended)
		return misfit(err, "a choice ended twice");
	c->ended = true;
	c->finish = e->finish;
	return append(r, &c->stop, e->stop, err);
}

static int of_choice(struct inference_result *r, const struct inference_event *e, struct err *err)
{
	struct inference_choice *c = &r->choices[e->choice < r->n_choices ? e->choice : 0];
	int rc;

	if (e->choice >= r->n_choices)
		return misfit(err, "more choices than were asked for");
	rc = add_tokens(r, c, e, err);
	if (rc == 0)
		rc = add_logprobs(r, c, e, err);
	if (rc != 0)
		return rc;
	if (e->kind == INFERENCE_TEXT)
		return add_text(r, &c->text, e->text, err);
	if (e->kind == INFERENCE_REASONING)
		return add_thoughts(r, c, e, err);
	if (e->kind == INFERENCE_TOOL_CALL)
		return add_call(r, c, e, err);
	return end_choice(r, c, e, err);
}

int inference_collect(void *result, const struct inference_event *e, struct err *err)
{
	struct inference_result *r = result;

	switch (e->kind) {
	case INFERENCE_STARTED:
	case INFERENCE_NOTICE:
		return 0;
	case INFERENCE_TEXT:
	case INFERENCE_REASONING:
	case INFERENCE_TOOL_CALL:
	case INFERENCE_CHOICE_END:
		return of_choice(r, e, err);
	case INFERENCE_FINISHED:
		r->usage = e->usage;
		r->finished = true;
		return 0;
	}
	BUG("event %d", (int)e->kind);
}
