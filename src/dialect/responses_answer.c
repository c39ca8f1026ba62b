/* Answers of the Responses form. A streamed one is a response in items: thoughts and text are open
 * one at a time; calls stay open until the answer ends, as providers may fill several in turn.
 * Clients rely on the events' order, on their indices and on the whole text in each `done`. */
#include "base/encode.h"
#include "dialect/openai_priv.h"
#include "dialect/responses.h"
#include "dialect/responses_priv.h"
#include "dialect/write_priv.h"
#include "http/sse.h"

#include <talloc.h>

#define ANSWER_MAX (16u << 20) /* bytes of one item's text */
#define EVENT_MAX  (64u << 20) /* bytes of one event's data */
#define ITEMS_MAX  4096

enum item_kind {
	ITEM_THOUGHTS,
	ITEM_TEXT,
	ITEM_CALL
};

/* One item of the output; a talloc object when it belongs to a stream. */
struct item {
	enum item_kind kind;
	size_t index;
	struct buf text;     /* or a call's arguments */
	struct buf logprobs; /* of a text: JSON, without its brackets */
	struct bytes seal;   /* of thoughts */
	const char *call_id, *name;
	bool done;
};

/* One streamed answer. */
struct response {
	struct buf data; /* of the event being written */
	bool begun;
	unsigned sequence;
	struct item **items;
	size_t n, cap;
	struct item *open; /* thoughts or text, or NULL */
	enum inference_finish finish;
};

/* How a response stands. */
struct standing {
	const char *status;     /* "in_progress", "completed", "incomplete", "failed" */
	const char *incomplete; /* the reason, or NULL */
	const struct err *error;
	const struct inference_usage *usage; /* NULL: not yet */
};

static const struct standing in_progress = {.status = "in_progress"};

static struct standing standing_of(
    enum inference_finish finish, const struct inference_usage *usage)
{
	switch (finish) {
	case FINISH_STOP:
	case FINISH_TOOL_CALLS:
		return (struct standing){.status = "completed", .usage = usage};
	case FINISH_LENGTH:
		return (struct standing){
		    .status = "incomplete", .incomplete = "max_output_tokens", .usage = usage};
	case FINISH_CONTENT_FILTER:
		return (struct standing){
		    .status = "incomplete", .incomplete = "content_filter", .usage = usage};
	}
	BUG("finish %d", (int)finish);
}

/* ---- items, as JSON ------------------------------------------------------------------------ */

/* The answer's randomness makes an item's id too, with its place. */
static void put_item_id(struct buf *out, const struct dialect_answer *a, const struct item *it)
{
	static const char *const prefixes[] = {
	    [ITEM_THOUGHTS] = "rs", [ITEM_TEXT] = "msg", [ITEM_CALL] = "fc"};
	char hex[2 * DIALECT_ID_RANDOM + 1];

	hex_encode(bytes_of(a->random, sizeof a->random), hex);
	buf_printf(out, "\"%s_%s%04zx\"", prefixes[it->kind], hex, it->index);
}

static void put_text_part(struct buf *out, const struct item *it)
{
	buf_str(out, "{\"type\":\"output_text\",\"text\":");
	json_put_text(out, buf_view(&it->text));
	buf_str(out, ",\"annotations\":[],\"logprobs\":[");
	buf_bytes(out, buf_view(&it->logprobs));
	buf_str(out, "]}");
}

static void put_summary_part(struct buf *out, const struct item *it)
{
	buf_str(out, "{\"type\":\"summary_text\",\"text\":");
	json_put_text(out, buf_view(&it->text));
	buf_u8(out, '}');
}

/* A group's tool has a name of its own, beside its group's. */
static void put_tool_name(
    struct buf *out, const struct inference_request *req, const char *name, bool with_group)
{
	const char *group = NULL;

	for (size_t i = 0; i < req->n_tools && !group; i++)
		if (req->tools[i].group && strcmp(req->tools[i].name, name) == 0)
			group = req->tools[i].group;
	put_member_text(out, "name", bytes_str(group ? name + strlen(group) + 2 : name));
	if (group && with_group)
		put_member_text(out, "namespace", bytes_str(group));
}

static struct bytes seal_of(const struct item *it)
{
	return it->seal.n > 0 ? it->seal : bytes_str(RESPONSES_NO_SEAL);
}

/* With `empty`, as it was when it began. */
static void put_item(struct buf *out, const struct dialect_answer *a, const struct item *it,
    const char *status, bool empty)
{
	buf_str(out, "{\"id\":");
	put_item_id(out, a, it);
	switch (it->kind) {
	case ITEM_THOUGHTS:
		buf_str(out, ",\"type\":\"reasoning\",\"summary\":[");
		if (!empty)
			put_summary_part(out, it);
		buf_u8(out, ']');
		if (a->req->sealed_reasoning)
			put_member_text(out, "encrypted_content", seal_of(it));
		buf_u8(out, '}');
		return;
	case ITEM_TEXT:
		buf_printf(out,
		    ",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\",\"content\":[",
		    status);
		if (!empty)
			put_text_part(out, it);
		buf_str(out, "]}");
		return;
	case ITEM_CALL:
		buf_printf(out, ",\"type\":\"function_call\",\"status\":\"%s\"", status);
		put_member_text(out, "call_id", bytes_str(it->call_id));
		put_tool_name(out, a->req, it->name, true);
		put_member_text(out, "arguments", empty ? bytes_of(NULL, 0) : buf_view(&it->text));
		buf_u8(out, '}');
		return;
	}
}

/* ---- the response, as JSON ----------------------------------------------------------------- */

static void put_error(struct buf *out, const struct err *why)
{
	const char *code = "server_error";

	if (why->code == E_BUSY)
		code = "rate_limit_exceeded";
	else if (err_info(why->code)->http_status < 500)
		code = "invalid_prompt";
	buf_printf(out, ",\"error\":{\"code\":\"%s\"", code);
	put_member_text(out, "message", bytes_str(err_text(why)));
	buf_u8(out, '}');
}

static void put_usage(struct buf *out, const struct inference_usage *u)
{
	if (!u || u->prompt_tok < 0 || u->completion_tok < 0) {
		buf_str(out, ",\"usage\":null");
		return;
	}
	buf_printf(out,
	    ",\"usage\":{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld},"
	    "\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":%lld},"
	    "\"total_tokens\":%lld}",
	    (long long)u->prompt_tok, (long long)(u->cached_tok > 0 ? u->cached_tok : 0),
	    (long long)u->completion_tok, (long long)(u->reasoning_tok > 0 ? u->reasoning_tok : 0),
	    (long long)((uint64_t)u->prompt_tok + (uint64_t)u->completion_tok));
}

/* Everything up to the output's elements; end_response comes after them. */
static void begin_response(
    struct buf *out, const struct dialect_writer *w, const struct standing *st)
{
	const struct dialect_answer *a = w->answer;
	char hex[2 * DIALECT_ID_RANDOM + 1];

	hex_encode(bytes_of(a->random, sizeof a->random), hex);
	buf_printf(out,
	    "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\"",
	    hex, (long long)a->created_s, st->status);
	if (strcmp(st->status, "completed") == 0)
		put_member_int(
		    out, "completed_at", a->created_s + (w->now_us - a->began_us) / 1000000);
	else
		buf_str(out, ",\"completed_at\":null");
	if (st->error)
		put_error(out, st->error);
	else
		buf_str(out, ",\"error\":null");
	if (st->incomplete)
		buf_printf(out, ",\"incomplete_details\":{\"reason\":\"%s\"}", st->incomplete);
	else
		buf_str(out, ",\"incomplete_details\":null");
	put_member_text(out, "model", bytes_str(a->model));
	buf_str(out, ",\"output\":[");
}

static void end_response(struct buf *out, const struct dialect_writer *w, const struct standing *st)
{
	buf_u8(out, ']');
	if (w->answer->req->repeated.n > 0) {
		buf_u8(out, ',');
		buf_bytes(out, w->answer->req->repeated);
	}
	put_usage(out, st->usage);
	buf_u8(out, '}');
}

/* ---- events -------------------------------------------------------------------------------- */

static void begin_event(struct response *s, const char *type)
{
	buf_printf(&s->data, "{\"type\":\"%s\",\"sequence_number\":%u", type, s->sequence++);
}

static void end_event(struct response *s, const char *type, struct buf *out)
{
	buf_u8(&s->data, '}');
	if (s->data.failed)
		out->failed = true;
	sse_put_event(out, type, buf_view(&s->data));
	buf_reset(&s->data);
}

/* An event about the whole response. */
static void response_event(
    struct dialect_writer *w, const char *type, const struct standing *st, struct buf *out)
{
	struct response *s = w->state;

	begin_event(s, type);
	buf_str(&s->data, ",\"response\":");
	begin_response(&s->data, w, st);
	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			buf_u8(&s->data, ',');
		put_item(&s->data, w->answer, s->items[i],
		    s->items[i]->done ? "completed" : "incomplete", false);
	}
	end_response(&s->data, w, st);
	end_event(s, type, out);
}

/* An event that says that an item begins or is done. */
static void item_event(struct dialect_writer *w, const char *type, const struct item *it,
    const char *status, bool empty, struct buf *out)
{
	struct response *s = w->state;

	begin_event(s, type);
	put_member_int(&s->data, "output_index", (int64_t)it->index);
	buf_str(&s->data, ",\"item\":");
	put_item(&s->data, w->answer, it, status, empty);
	end_event(s, type, out);
}

/* The start of an event inside an item. */
static void begin_inner(struct dialect_writer *w, const char *type, const struct item *it)
{
	struct response *s = w->state;

	begin_event(s, type);
	buf_str(&s->data, ",\"item_id\":");
	put_item_id(&s->data, w->answer, it);
	put_member_int(&s->data, "output_index", (int64_t)it->index);
	if (it->kind == ITEM_TEXT)
		buf_str(&s->data, ",\"content_index\":0");
	if (it->kind == ITEM_THOUGHTS)
		buf_str(&s->data, ",\"summary_index\":0");
}

/* What the events of an item's kind are called; calls have no parts. */
struct names {
	const char *part_added, *delta, *done, *part_done, *whole;
};

static const struct names names_of[] = {
    [ITEM_THOUGHTS] = {"response.reasoning_summary_part.added",
	"response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
	"response.reasoning_summary_part.done", "text"},
    [ITEM_TEXT] = {"response.content_part.added", "response.output_text.delta",
	"response.output_text.done", "response.content_part.done", "text"},
    [ITEM_CALL] = {NULL, "response.function_call_arguments.delta",
	"response.function_call_arguments.done", NULL, "arguments"},
};

static void part_event(
    struct dialect_writer *w, const char *type, const struct item *it, struct buf *out)
{
	struct response *s = w->state;

	begin_inner(w, type, it);
	buf_str(&s->data, ",\"part\":");
	if (it->kind == ITEM_TEXT)
		put_text_part(&s->data, it);
	else
		put_summary_part(&s->data, it);
	end_event(s, type, out);
}

static void close_item(
    struct dialect_writer *w, struct item *it, const char *status, struct buf *out)
{
	const struct names *names = &names_of[it->kind];
	struct response *s = w->state;

	it->done = strcmp(status, "completed") == 0;
	begin_inner(w, names->done, it);
	put_member_text(&s->data, names->whole, buf_view(&it->text));
	if (it->kind == ITEM_TEXT) {
		buf_str(&s->data, ",\"logprobs\":[");
		buf_bytes(&s->data, buf_view(&it->logprobs));
		buf_u8(&s->data, ']');
	}
	if (it->kind == ITEM_CALL)
		put_tool_name(&s->data, w->answer->req, it->name, false);
	end_event(s, names->done, out);
	if (names->part_done)
		part_event(w, names->part_done, it, out);
	item_event(w, "response.output_item.done", it, status, false, out);
}

static void close_open(struct dialect_writer *w, const char *status, struct buf *out)
{
	struct response *s = w->state;

	if (s->open)
		close_item(w, s->open, status, out);
	s->open = NULL;
}

static int free_item(struct item *it)
{
	buf_free(&it->text);
	buf_free(&it->logprobs);
	return 0;
}

/* Another item at the end of the output, empty; NULL, with out->failed, without room. */
static struct item *add_item(struct response *s, enum item_kind kind, struct buf *out)
{
	size_t cap = s->cap ? 2 * s->cap : 8;
	struct item *it = s->n < ITEMS_MAX ? talloc_zero(s, struct item) : NULL;

	if (it && s->n == s->cap) {
		struct item **all = talloc_realloc(s, s->items, struct item *, (unsigned)cap);

		if (!all) {
			out->failed = true;
			return NULL;
		}
		s->items = all;
		s->cap = cap;
	}
	if (!it) {
		out->failed = true;
		return NULL;
	}
	it->kind = kind;
	it->index = s->n;
	it->text = BUF_INIT(ANSWER_MAX);
	it->logprobs = BUF_INIT(ANSWER_MAX);
	talloc_set_destructor(it, free_item);
	s->items[s->n++] = it;
	return it;
}

static void begin_item(struct dialect_writer *w, const struct item *it, struct buf *out)
{
	item_event(w, "response.output_item.added", it, "in_progress", true, out);
	if (names_of[it->kind].part_added)
		part_event(w, names_of[it->kind].part_added, it, out);
}

/* ---- the answer's events ------------------------------------------------------------------- */

static void begin_answer(struct dialect_writer *w, struct buf *out)
{
	struct response *s = w->state;

	if (s->begun)
		return;
	s->begun = true;
	response_event(w, "response.created", &in_progress, out);
	response_event(w, "response.in_progress", &in_progress, out);
}

/* The elements of a list of log probabilities, added to those before. */
static void add_logprobs(struct buf *to, const struct inference_logprob *l, size_t n)
{
	struct buf list = BUF_INIT(ANSWER_MAX);

	if (n == 0)
		return;
	put_logprobs(&list, l, n);
	if (to->n > 0)
		buf_u8(to, ',');
	if (!list.failed && list.n > 2)
		buf_put(to, list.p + 1, list.n - 2);
	to->failed = to->failed || list.failed;
	buf_free(&list);
}

static void put_delta(
    struct dialect_writer *w, struct item *it, const struct inference_event *e, struct buf *out)
{
	const char *type = names_of[it->kind].delta;
	struct response *s = w->state;

	buf_bytes(&it->text, e->text);
	if (it->text.failed)
		out->failed = true;
	begin_inner(w, type, it);
	put_member_text(&s->data, "delta", e->text);
	if (it->kind == ITEM_TEXT) {
		add_logprobs(&it->logprobs, e->logprobs, e->n_logprobs);
		buf_str(&s->data, ",\"logprobs\":");
		put_logprobs(&s->data, e->logprobs, e->n_logprobs);
	}
	end_event(s, type, out);
}

/* Thoughts with their seal are complete: others are another item. */
static void keep_seal(struct item *it, struct bytes seal, struct buf *out)
{
	char *copy = talloc_strndup(it, (const char *)seal.p, seal.n);

	if (copy)
		it->seal = bytes_str(copy);
	else
		out->failed = true;
}

static void put_content(
    struct dialect_writer *w, enum item_kind kind, const struct inference_event *e, struct buf *out)
{
	struct response *s = w->state;

	if (!s->open || s->open->kind != kind || s->open->seal.n > 0) {
		close_open(w, "completed", out);
		s->open = add_item(s, kind, out);
		if (!s->open)
			return;
		begin_item(w, s->open, out);
	}
	if (e->seal.n > 0)
		keep_seal(s->open, e->seal, out);
	else
		put_delta(w, s->open, e, out);
}

/* The item of the tool call with this index, or NULL. */
static struct item *call_of(const struct response *s, unsigned index)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->items[i]->kind == ITEM_CALL && index-- == 0)
			return s->items[i];
	return NULL;
}

static void put_call(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	struct response *s = w->state;
	struct item *it = call_of(s, e->tool_index);

	if (!it && e->tool_id) {
		close_open(w, "completed", out);
		it = add_item(s, ITEM_CALL, out);
		if (!it)
			return;
		it->call_id = talloc_strdup(it, e->tool_id);
		it->name = talloc_strdup(it, e->tool_name);
		if (!it->call_id || !it->name) {
			out->failed = true;
			it->call_id = it->name = "";
		}
		begin_item(w, it, out);
	}
	if (it && e->text.n > 0)
		put_delta(w, it, e, out);
}

/* What an answer was cut off in is incomplete; what came before it is whole. */
static void end_choice(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	struct response *s = w->state;
	const char *status = standing_of(e->finish, NULL).status;

	s->finish = e->finish;
	close_open(w, status, out);
	for (size_t i = 0; i < s->n; i++)
		if (s->items[i]->kind == ITEM_CALL)
			close_item(w, s->items[i], status, out);
}

static void finish(struct dialect_writer *w, const struct inference_usage *usage, struct buf *out)
{
	struct response *s = w->state;
	struct standing st = standing_of(s->finish, usage);

	response_event(w, st.incomplete ? "response.incomplete" : "response.completed", &st, out);
}

static void write_event(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	if (e->kind == INFERENCE_NOTICE) {
		openai_put_comment(out, e->text);
		return;
	}
	if (e->choice > 0) /* never asked for */
		return;
	begin_answer(w, out);
	switch (e->kind) {
	case INFERENCE_STARTED:
	case INFERENCE_NOTICE:
		break;
	case INFERENCE_TEXT:
		put_content(w, ITEM_TEXT, e, out);
		break;
	case INFERENCE_REASONING:
		put_content(w, ITEM_THOUGHTS, e, out);
		break;
	case INFERENCE_TOOL_CALL:
		put_call(w, e, out);
		break;
	case INFERENCE_CHOICE_END:
		end_choice(w, e, out);
		break;
	case INFERENCE_FINISHED:
		finish(w, &e->usage, out);
		break;
	}
}

static void failure(struct dialect_writer *w, const struct err *why, struct buf *out)
{
	const struct standing st = {.status = "failed", .error = why};
	struct response *s = w->state;

	buf_reset(&s->data);
	begin_answer(w, out);
	response_event(w, "response.failed", &st, out);
}

/* ---- whole --------------------------------------------------------------------------------- */

static void whole(struct dialect_writer *w, const struct inference_result *r, struct buf *out)
{
	const struct inference_choice *c = &r->choices[0];
	struct standing st = standing_of(c->finish, &r->usage);
	struct item it = {.kind = ITEM_THOUGHTS, .text = c->reasoning, .seal = c->reasoning_seal};

	begin_response(out, w, &st);
	if (it.text.n > 0 || it.seal.n > 0) {
		put_item(out, w->answer, &it, "completed", false);
		it.index++;
	}
	it.kind = ITEM_TEXT;
	it.text = c->text;
	it.logprobs = BUF_INIT(EVENT_MAX);
	if (it.text.n > 0) {
		add_logprobs(&it.logprobs, c->logprobs, c->n_logprobs);
		out->failed = out->failed || it.logprobs.failed;
		buf_str(out, it.index ? "," : "");
		put_item(out, w->answer, &it, st.status, false);
		it.index++;
	}
	buf_free(&it.logprobs);
	it.kind = ITEM_CALL;
	for (size_t i = 0; i < c->n_tool_calls; i++, it.index++) {
		it.call_id = c->tool_calls[i].id;
		it.name = c->tool_calls[i].name;
		it.text = (struct buf){.p = (uint8_t *)(uintptr_t)c->tool_calls[i].arguments.p,
		    .n = c->tool_calls[i].arguments.n};
		buf_str(out, it.index ? "," : "");
		put_item(out, w->answer, &it, st.status, false);
	}
	end_response(out, w, &st);
}

/* ---- the dialect --------------------------------------------------------------------------- */

static int free_data(struct response *s)
{
	buf_free(&s->data);
	return 0;
}

static int begin(struct dialect_writer *w, struct err *err)
{
	struct response *s = talloc_zero(w, struct response);

	if (!s)
		return err_set(err, E_MEMORY, "no memory for an answer");
	s->data = BUF_INIT(EVENT_MAX);
	talloc_set_destructor(s, free_data);
	w->state = s;
	return 0;
}

const struct dialect openai_responses = {
    .name = "openai.responses",
    .stream_type = SSE_MEDIA_TYPE,
    .parse = responses_parse,
    .begin = begin,
    .event = write_event,
    .pulse = openai_pulse,
    .failure = failure,
    .whole = whole,
    .error = openai_error_write,
};
