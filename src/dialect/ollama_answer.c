/* Answers of the Ollama dialect: one JSON object a line, the last with `done` and what it took.
 * Tool calls are told whole, with their arguments as objects: they are kept until the answer ends.
 */
#include "dialect/json.h"
#include "dialect/ollama.h"
#include "dialect/ollama_priv.h"
#include "dialect/openai_priv.h"
#include "dialect/write_priv.h"

#include <talloc.h>

#define CALLS_LIMIT (8u << 20) /* bytes of the tool calls of one answer */

/* One answer under way. Times are on the writer's clock; 0: not yet. */
struct answer {
	struct inference_result *calls; /* holds nothing else */
	int64_t started_us, first_us;
	enum inference_finish finish;
};

static bool is_chat(const struct dialect_writer *w)
{
	return w->dialect == &ollama_chat;
}

/* ---- lines --------------------------------------------------------------------------------- */

static void put_begin(struct dialect_writer *w, struct buf *out)
{
	const struct dialect_answer *a = w->answer;

	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(a->model));
	buf_str(out, ",\"created_at\":");
	put_time(out, a->created_s * 1000000 + (w->now_us - a->began_us));
}

static void put_calls(const struct inference_choice *c, struct buf *out)
{
	buf_str(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < c->n_tool_calls; i++) {
		buf_str(out, i ? ",{\"id\":" : "{\"id\":");
		json_put_text(out, bytes_str(c->tool_calls[i].id));
		buf_printf(out, ",\"function\":{\"index\":%zu", i);
		put_member_text(out, "name", bytes_str(c->tool_calls[i].name));
		buf_str(out, ",\"arguments\":");
		put_arguments_object(out, c->tool_calls[i].arguments);
		buf_str(out, "}}");
	}
	buf_u8(out, ']');
}

/* Text and thoughts; `calls` may be NULL. */
static void put_content(struct dialect_writer *w, struct bytes text, struct bytes thoughts,
    const struct inference_choice *calls, struct buf *out)
{
	if (is_chat(w))
		buf_str(out, ",\"message\":{\"role\":\"assistant\"");
	put_member_text(out, is_chat(w) ? "content" : "response", text);
	if (thoughts.n > 0)
		put_member_text(out, "thinking", thoughts);
	if (!is_chat(w))
		return;
	if (calls && calls->n_tool_calls > 0)
		put_calls(calls, out);
	buf_u8(out, '}');
}

static const char *reason_of(const struct dialect_writer *w, enum inference_finish finish)
{
	const struct inference_request *req = w->answer->req;

	if (req && ollama_is_load(req))
		return req->has_keep_alive && req->keep_alive_s == 0 ? "unload" : "load";
	switch (finish) {
	case FINISH_STOP:
	case FINISH_TOOL_CALLS:
		return "stop";
	case FINISH_LENGTH:
		return "length";
	case FINISH_CONTENT_FILTER:
		return "content_filter";
	}
	BUG("finish %d", (int)finish);
}

static void put_count(struct buf *out, const char *key, int64_t n)
{
	if (n >= 0)
		put_member_int(out, key, n);
}

static int64_t ns_between(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? (to_us - from_us) * 1000 : 0;
}

/* `done` and what follows it. Loading is the time until the provider began; reading the prompt that
 * until the first piece; writing the rest. */
static void put_done(struct dialect_writer *w, enum inference_finish finish,
    const struct inference_usage *u, struct buf *out)
{
	const struct answer *a = w->state;
	int64_t began = w->answer->began_us, now = w->now_us;
	int64_t started = a->started_us ? a->started_us : began;
	int64_t first = a->first_us ? a->first_us : now;

	buf_printf(out, ",\"done\":true,\"done_reason\":\"%s\"", reason_of(w, finish));
	put_member_int(out, "total_duration", ns_between(began, now));
	put_member_int(out, "load_duration", ns_between(began, started));
	put_count(out, "prompt_eval_count", u->prompt_tok);
	put_member_int(out, "prompt_eval_duration", ns_between(started, first));
	put_count(out, "eval_count", u->completion_tok);
	put_member_int(out, "eval_duration", ns_between(first, now));
	buf_u8(out, '}');
}

/* ---- streams ------------------------------------------------------------------------------- */

static void put_piece(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	const struct bytes none = {NULL, 0};
	bool thoughts = e->kind == INFERENCE_REASONING;

	put_begin(w, out);
	put_content(w, thoughts ? none : e->text, thoughts ? e->text : none, NULL, out);
	if (e->n_logprobs > 0) {
		buf_str(out, ",\"logprobs\":");
		put_logprobs(out, e->logprobs, e->n_logprobs);
	}
	buf_str(out, ",\"done\":false}\n");
}

static void put_call_line(struct dialect_writer *w, struct buf *out)
{
	const struct answer *a = w->state;

	if (a->calls->choices[0].n_tool_calls == 0)
		return;
	put_begin(w, out);
	put_content(w, bytes_of(NULL, 0), bytes_of(NULL, 0), &a->calls->choices[0], out);
	buf_str(out, ",\"done\":false}\n");
}

static void note_times(struct dialect_writer *w, enum inference_event_kind kind)
{
	struct answer *a = w->state;

	if (kind == INFERENCE_NOTICE)
		return;
	if (!a->started_us)
		a->started_us = w->now_us;
	if (!a->first_us && kind != INFERENCE_STARTED)
		a->first_us = w->now_us;
}

static void write_event(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	struct answer *a = w->state;

	note_times(w, e->kind);
	if (e->choice > 0) /* never asked for */
		return;
	switch (e->kind) {
	case INFERENCE_STARTED:
	case INFERENCE_NOTICE: /* lines of JSON have no comments */
		break;
	case INFERENCE_TEXT:
	case INFERENCE_REASONING:
		if (e->seal.n == 0) /* there is no place for it */
			put_piece(w, e, out);
		break;
	case INFERENCE_TOOL_CALL:
		if (inference_collect(a->calls, e, NULL) != 0)
			out->failed = true;
		break;
	case INFERENCE_CHOICE_END:
		put_call_line(w, out);
		a->finish = e->finish;
		break;
	case INFERENCE_FINISHED:
		put_begin(w, out);
		put_content(w, bytes_of(NULL, 0), bytes_of(NULL, 0), NULL, out);
		put_done(w, a->finish, &e->usage, out);
		buf_u8(out, '\n');
		break;
	}
}

/* An empty piece says nothing and keeps clients from giving up. */
static void pulse(struct dialect_writer *w, struct buf *out)
{
	static const struct inference_event nothing = {.kind = INFERENCE_TEXT};

	put_piece(w, &nothing, out);
}

/* ---- whole, errors ------------------------------------------------------------------------- */

static void whole(struct dialect_writer *w, const struct inference_result *r, struct buf *out)
{
	const struct inference_choice *c = &r->choices[0];

	put_begin(w, out);
	put_content(w, buf_view(&c->text), buf_view(&c->reasoning), c, out);
	if (c->n_logprobs > 0) {
		buf_str(out, ",\"logprobs\":");
		put_logprobs(out, c->logprobs, c->n_logprobs);
	}
	put_done(w, c->finish, &r->usage, out);
}

void ollama_error_write(const struct err *why, struct buf *out)
{
	buf_str(out, "{\"error\":");
	json_put_text(out, bytes_str(err_text(why)));
	buf_u8(out, '}');
}

static void failure(struct dialect_writer *w, const struct err *why, struct buf *out)
{
	ollama_error_write(why, out);
	buf_u8(out, '\n');
}

static int begin(struct dialect_writer *w, struct err *err)
{
	struct answer *a = talloc_zero(w, struct answer);

	if (a)
		a->calls = inference_result_new(a, 1, CALLS_LIMIT);
	if (!a || !a->calls)
		return err_set(err, E_MEMORY, "no memory for an answer");
	w->state = a;
	return 0;
}

const struct dialect ollama_chat = {
    .name = "ollama.chat",
    .stream_type = OLLAMA_LINES_TYPE,
    .parse = ollama_chat_parse,
    .begin = begin,
    .event = write_event,
    .pulse = pulse,
    .failure = failure,
    .whole = whole,
    .error = ollama_error_write,
};

const struct dialect ollama_generate = {
    .name = "ollama.generate",
    .stream_type = OLLAMA_LINES_TYPE,
    .parse = ollama_generate_parse,
    .begin = begin,
    .event = write_event,
    .pulse = pulse,
    .failure = failure,
    .whole = whole,
    .error = ollama_error_write,
};
