/* Chat completions and their chunks, written. Clients depend on details: the first delta of each
 * choice has a role, every choice has finish_reason (null until the last), a tool call begins with
 * its id, type and name, the usage chunk has no choices, and the end is [DONE]. */
#include "base/encode.h"
#include "dialect/json.h"
#include "dialect/openai_priv.h"
#include "dialect/write_priv.h"

#include <talloc.h>

#define ID_PREFIX      "chatcmpl-"
#define CHUNK_OBJECT   "chat.completion.chunk"
#define PREFIX_MAX     4096
#define LOGPROB_LOWEST (-9999.0) /* what OpenAI writes for an impossible token: JSON has no ∞ */

const char *openai_finish_name(enum inference_finish finish)
{
	switch (finish) {
	case FINISH_STOP:
		return "stop";
	case FINISH_LENGTH:
		return "length";
	case FINISH_TOOL_CALLS:
		return "tool_calls";
	case FINISH_CONTENT_FILTER:
		return "content_filter";
	}
	BUG("finish %d", (int)finish);
}

static const char *finish_name(const struct dialect_writer *w, enum inference_finish finish)
{
	if (finish == FINISH_TOOL_CALLS && w->answer->req->function_call)
		return "function_call";
	return openai_finish_name(finish);
}

void openai_put_head(
    struct buf *out, const struct dialect_answer *a, const char *id_prefix, const char *object)
{
	char id[2 * DIALECT_ID_RANDOM + 1];

	hex_encode(bytes_of(a->random, sizeof(a->random)), id);
	buf_printf(out, "{\"id\":\"%s%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", id_prefix,
	    id, object, (long long)a->created_s);
	json_put_text(out, bytes_str(a->model));
}

/* ---- pieces -------------------------------------------------------------------------------- */

void openai_put_int(struct buf *out, int64_t v)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		digits[--at] = (char)('0' + u % 10);
		u /= 10;
	} while (u > 0);
	if (v < 0)
		digits[--at] = '-';
	buf_put(out, digits + at, sizeof(digits) - at);
}

static void put_count(struct buf *out, const char *before, int64_t n)
{
	buf_str(out, before);
	openai_put_int(out, n);
}

void openai_put_usage(struct buf *out, const struct inference_usage *u)
{
	if (u->prompt_tok < 0 || u->completion_tok < 0)
		return;
	put_count(out, ",\"usage\":{\"prompt_tokens\":", u->prompt_tok);
	put_count(out, ",\"completion_tokens\":", u->completion_tok);
	put_count(out,
	    ",\"total_tokens\":", (int64_t)((uint64_t)u->prompt_tok + (uint64_t)u->completion_tok));
	if (u->cached_tok >= 0) {
		put_count(out, ",\"prompt_tokens_details\":{\"cached_tokens\":", u->cached_tok);
		buf_u8(out, '}');
	}
	if (u->reasoning_tok >= 0) {
		put_count(
		    out, ",\"completion_tokens_details\":{\"reasoning_tokens\":", u->reasoning_tok);
		buf_u8(out, '}');
	}
	buf_u8(out, '}');
}

double openai_logprob(double v)
{
	return v > LOGPROB_LOWEST ? v : LOGPROB_LOWEST; /* also for what is no number */
}

static void put_content_logprobs(struct buf *out, const struct inference_logprob *p, size_t n)
{
	if (n == 0) {
		buf_str(out, ",\"logprobs\":null");
		return;
	}
	buf_str(out, ",\"logprobs\":{\"content\":");
	put_logprobs(out, p, n);
	buf_str(out, ",\"refusal\":null}");
}

void openai_put_tokens(
    const struct dialect_writer *w, const int32_t *tokens, size_t n, struct buf *out)
{
	if (w->answer->req->want_tokens)
		openai_put_ids(out, tokens, n);
}

void openai_put_ids(struct buf *out, const int32_t *tokens, size_t n)
{
	if (n == 0)
		return;
	buf_str(out, ",\"token_ids\":[");
	for (size_t i = 0; i < n; i++)
		put_count(out, i ? "," : "", tokens[i]);
	buf_u8(out, ']');
}

/* vLLM's name for the stop string that was met. */
void openai_put_stop(struct buf *out, struct bytes stop)
{
	if (stop.n == 0)
		return;
	buf_str(out, ",\"stop_reason\":");
	json_put_text(out, stop);
}

/* ---- streaming ----------------------------------------------------------------------------- */

static int free_writing(struct openai_writing *s)
{
	buf_free(&s->prefix);
	return 0;
}

int openai_begin(struct dialect_writer *w, struct err *err)
{
	struct openai_writing *s = talloc_zero(w, struct openai_writing);

	if (!s)
		return err_set(err, E_MEMORY, "no memory for an answer");
	s->prefix = BUF_INIT(PREFIX_MAX);
	talloc_set_destructor(s, free_writing);
	w->state = s;
	return 0;
}

void openai_put_prefix(
    struct dialect_writer *w, const char *id_prefix, const char *object, struct buf *out)
{
	struct openai_writing *s = w->state;

	if (s->prefix.n == 0) {
		buf_str(&s->prefix, "data: ");
		openai_put_head(&s->prefix, w->answer, id_prefix, object);
		buf_str(&s->prefix, ",\"choices\":[");
	}
	buf_bytes(out, buf_view(&s->prefix));
	out->failed |= s->prefix.failed;
}

static void chunk_begin(struct dialect_writer *w, unsigned choice, struct buf *out)
{
	openai_put_prefix(w, ID_PREFIX, CHUNK_OBJECT, out);
	put_count(out, "{\"index\":", choice);
	buf_str(out, ",\"delta\":{");
}

/* What comes after the delta of a chunk that ends nothing. */
static void chunk_end(
    const struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	buf_u8(out, '}');
	put_content_logprobs(out, e->logprobs, e->n_logprobs);
	openai_put_tokens(w, e->tokens, e->n_tokens, out);
	buf_str(out, ",\"finish_reason\":null}]}\n\n");
}

/* The first chunks of every answer have the roles. */
static void put_roles(struct dialect_writer *w, struct buf *out)
{
	static const struct inference_event bare = {.kind = INFERENCE_STARTED};
	const struct openai_writing *s = w->state;

	if (s->prefix.n > 0)
		return;
	for (unsigned i = 0; i == 0 || i < w->answer->req->choices; i++) {
		chunk_begin(w, i, out);
		buf_str(out, "\"role\":\"assistant\",\"content\":\"\"");
		chunk_end(w, &bare, out);
	}
}

static void put_call_delta(
    const struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	bool old = w->answer->req->function_call;

	if (old)
		buf_str(out, "\"function_call\":{");
	else
		put_count(out, "\"tool_calls\":[{\"index\":", e->tool_index);
	if (!old && e->tool_id) {
		buf_str(out, ",\"id\":");
		json_put_text(out, bytes_str(e->tool_id));
		buf_str(out, ",\"type\":\"function\"");
	}
	if (!old)
		buf_str(out, ",\"function\":{");
	if (e->tool_name) {
		buf_str(out, "\"name\":");
		json_put_text(out, bytes_str(e->tool_name));
		buf_u8(out, ',');
	}
	buf_str(out, "\"arguments\":");
	json_put_text(out, e->text);
	buf_str(out, old ? "}" : "}}]");
}

static void put_delta(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	chunk_begin(w, e->choice, out);
	if (e->kind == INFERENCE_TOOL_CALL) {
		put_call_delta(w, e, out);
	} else {
		buf_str(out, e->kind == INFERENCE_TEXT ? "\"content\":" : "\"reasoning_content\":");
		json_put_text(out, e->text);
	}
	chunk_end(w, e, out);
}

static void put_choice_end(
    struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	chunk_begin(w, e->choice, out);
	buf_str(out, "},\"logprobs\":null");
	openai_put_tokens(w, e->tokens, e->n_tokens, out);
	openai_put_stop(out, e->stop);
	buf_str(out, ",\"finish_reason\":\"");
	buf_str(out, finish_name(w, e->finish));
	buf_str(out, "\"}]}\n\n");
}

void openai_put_finished(struct dialect_writer *w, const char *id_prefix, const char *object,
    const struct inference_usage *usage, struct buf *out)
{
	if (w->answer->req->include_usage && usage->prompt_tok >= 0 && usage->completion_tok >= 0) {
		openai_put_prefix(w, id_prefix, object, out);
		buf_u8(out, ']');
		openai_put_usage(out, usage);
		buf_str(out, "}\n\n");
	}
	buf_str(out, "data: " OPENAI_DONE "\n\n");
}

/* A comment is one line. */
void openai_put_comment(struct buf *out, struct bytes text)
{
	buf_str(out, ": ");
	for (size_t i = 0; i < text.n; i++)
		buf_u8(out, text.p[i] < 0x20 ? ' ' : text.p[i]);
	buf_str(out, "\n\n");
}

static void event(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	if (e->kind == INFERENCE_NOTICE) {
		openai_put_comment(out, e->text);
		return;
	}
	put_roles(w, out);
	switch (e->kind) {
	case INFERENCE_STARTED:
	case INFERENCE_NOTICE:
		break;
	case INFERENCE_TEXT:
	case INFERENCE_REASONING:
	case INFERENCE_TOOL_CALL:
		put_delta(w, e, out);
		break;
	case INFERENCE_CHOICE_END:
		put_choice_end(w, e, out);
		break;
	case INFERENCE_FINISHED:
		openai_put_finished(w, ID_PREFIX, CHUNK_OBJECT, &e->usage, out);
		break;
	}
}

void openai_pulse(struct dialect_writer *w, struct buf *out)
{
	(void)w;
	openai_put_comment(out, bytes_str("keep-alive"));
}

void openai_failure(struct dialect_writer *w, const struct err *why, struct buf *out)
{
	(void)w;
	buf_str(out, "data: ");
	openai_error_write(why, out);
	buf_str(out, "\n\n");
}

/* ---- whole --------------------------------------------------------------------------------- */

static void put_calls(struct dialect_writer *w, const struct inference_choice *c, struct buf *out)
{
	bool old = w->answer->req->function_call;

	if (c->n_tool_calls == 0)
		return;
	buf_str(out, old ? ",\"function_call\":{" : ",\"tool_calls\":[");
	for (size_t i = 0; i < c->n_tool_calls && !(old && i > 0); i++) {
		const struct inference_tool_call *call = &c->tool_calls[i];

		if (!old) {
			buf_str(out, i ? ",{\"id\":" : "{\"id\":");
			json_put_text(out, bytes_str(call->id));
			buf_str(out, ",\"type\":\"function\",\"function\":{");
		}
		buf_str(out, "\"name\":");
		json_put_text(out, bytes_str(call->name));
		buf_str(out, ",\"arguments\":");
		json_put_text(out, call->arguments);
		buf_str(out, old ? "}" : "}}");
	}
	if (!old)
		buf_u8(out, ']');
}

static void put_message(struct dialect_writer *w, const struct inference_choice *c, struct buf *out)
{
	buf_str(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
	if (c->text.n == 0 && c->n_tool_calls > 0)
		buf_str(out, "null");
	else
		json_put_text(out, buf_view(&c->text));
	buf_str(out, ",\"refusal\":null");
	if (c->reasoning.n > 0) {
		buf_str(out, ",\"reasoning_content\":");
		json_put_text(out, buf_view(&c->reasoning));
	}
	put_calls(w, c, out);
	buf_u8(out, '}');
}

static void whole(struct dialect_writer *w, const struct inference_result *r, struct buf *out)
{
	openai_put_head(out, w->answer, ID_PREFIX, "chat.completion");
	buf_str(out, ",\"choices\":[");
	for (size_t i = 0; i < r->n_choices; i++) {
		const struct inference_choice *c = &r->choices[i];

		put_count(out, i ? ",{\"index\":" : "{\"index\":", (int64_t)i);
		put_message(w, c, out);
		put_content_logprobs(out, c->logprobs, c->n_logprobs);
		openai_put_tokens(w, c->tokens, c->n_tokens, out);
		openai_put_stop(out, c->stop);
		buf_str(out, ",\"finish_reason\":\"");
		buf_str(out, finish_name(w, c->finish));
		buf_str(out, "\"}");
	}
	buf_u8(out, ']');
	openai_put_usage(out, &r->usage);
	buf_u8(out, '}');
}

const struct dialect openai_chat = {
    .name = "openai.chat",
    .stream_type = "text/event-stream",
    .parse = openai_request_parse,
    .begin = openai_begin,
    .event = event,
    .pulse = openai_pulse,
    .failure = openai_failure,
    .whole = whole,
    .error = openai_error_write,
};
