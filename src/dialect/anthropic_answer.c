/* Answers of the Anthropic dialect. A streamed one is a message in blocks of text, thoughts and
 * tool calls: one is open at a time, each is begun, filled and closed under its index. */
#include "base/encode.h"
#include "dialect/anthropic.h"
#include "dialect/anthropic_priv.h"
#include "dialect/openai_priv.h"
#include "dialect/write_priv.h"
#include "http/sse.h"

#include <talloc.h>

#define EVENT_MAX (8u << 20) /* bytes of one event's data */

enum block {
	BLOCK_NONE,
	BLOCK_TEXT,
	BLOCK_THINKING,
	BLOCK_TOOL
};

/* One streamed answer. */
struct message {
	struct buf data; /* of the event being written */
	bool begun;
	enum block open;
	bool sealed;         /* the open block has its signature */
	size_t blocks;       /* begun so far; the open one is the last */
	size_t *tool_blocks; /* for each tool call: its block */
	size_t n_tools, tools_cap;
	enum inference_finish finish;
	char *stop; /* the stop string that was met, or NULL */
};

/* ---- pieces of JSON ------------------------------------------------------------------------ */

static void put_id(struct buf *out, const struct dialect_answer *a)
{
	char hex[2 * DIALECT_ID_RANDOM + 1];

	hex_encode(bytes_of(a->random, sizeof a->random), hex);
	buf_printf(out, "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\"", hex);
	put_member_text(out, "model", bytes_str(a->model));
}

/* A forced call ends with "stop" at some providers: here each call is announced by the reason. */
static const char *stop_reason(enum inference_finish finish, bool stop_string, bool tools)
{
	switch (finish) {
	case FINISH_STOP:
		if (tools)
			return "tool_use";
		return stop_string ? "stop_sequence" : "end_turn";
	case FINISH_LENGTH:
		return "max_tokens";
	case FINISH_TOOL_CALLS:
		return "tool_use";
	case FINISH_CONTENT_FILTER:
		return "refusal";
	}
	BUG("finish %d", (int)finish);
}

/* stop_reason and stop_sequence, with nothing before them. */
static void put_stop(struct buf *out, enum inference_finish finish, struct bytes stop, bool tools)
{
	const char *reason = stop_reason(finish, stop.n > 0, tools);

	buf_printf(out, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
	if (strcmp(reason, "stop_sequence") == 0)
		json_put_text(out, stop);
	else
		buf_str(out, "null");
}

/* SPEC anthropic: input_tokens are those that were computed anew; cached ones are beside them. What
 * is not known is 0: the form has no other way. */
static void put_usage(struct buf *out, const struct inference_usage *u)
{
	int64_t cached = u->cached_tok > 0 ? u->cached_tok : 0;
	int64_t input = u->prompt_tok > cached ? u->prompt_tok - cached : 0;

	buf_printf(out,
	    ",\"usage\":{\"input_tokens\":%lld,\"cache_creation_input_tokens\":0,"
	    "\"cache_read_input_tokens\":%lld,\"output_tokens\":%lld",
	    (long long)input, (long long)cached,
	    (long long)(u->completion_tok > 0 ? u->completion_tok : 0));
	if (u->reasoning_tok >= 0)
		buf_printf(out, ",\"output_tokens_details\":{\"thinking_tokens\":%lld}",
		    (long long)u->reasoning_tok);
	buf_u8(out, '}');
}

/* ---- events -------------------------------------------------------------------------------- */

/* Frames what was written to m->data. */
static void send(struct message *m, const char *name, struct buf *out)
{
	if (m->data.failed)
		out->failed = true;
	sse_put_event(out, name, buf_view(&m->data));
	buf_reset(&m->data);
}

static void begin_message(struct dialect_writer *w, struct buf *out)
{
	struct message *m = w->state;
	static const struct inference_usage nothing = {0, 0, 0, -1};

	if (m->begun)
		return;
	m->begun = true;
	buf_str(&m->data, "{\"type\":\"message_start\",\"message\":");
	put_id(&m->data, w->answer);
	buf_str(&m->data, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null");
	put_usage(&m->data, &nothing);
	buf_str(&m->data, "}}");
	send(m, "message_start", out);
}

static void close_block(struct message *m, struct buf *out)
{
	if (m->open == BLOCK_NONE)
		return;
	m->open = BLOCK_NONE;
	buf_printf(&m->data, "{\"type\":\"content_block_stop\",\"index\":%zu}", m->blocks - 1);
	send(m, "content_block_stop", out);
}

/* Closes the open block and begins another. The caller ends it with end_begin. */
static void begin_block(struct message *m, enum block kind, struct buf *out)
{
	close_block(m, out);
	m->open = kind;
	buf_printf(&m->data, "{\"type\":\"content_block_start\",\"index\":%zu,\"content_block\":{",
	    m->blocks++);
}

static void end_begin(struct message *m, struct buf *out)
{
	buf_str(&m->data, "}}");
	send(m, "content_block_start", out);
}

static void put_delta(struct message *m, size_t block, const char *type, const char *key,
    struct bytes text, struct buf *out)
{
	buf_printf(&m->data,
	    "{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":{\"type\":\"%s\"", block,
	    type);
	put_member_text(&m->data, key, text);
	buf_str(&m->data, "}}");
	send(m, "content_block_delta", out);
}

static void put_text(struct message *m, struct bytes text, struct buf *out)
{
	if (m->open != BLOCK_TEXT) {
		begin_block(m, BLOCK_TEXT, out);
		buf_str(&m->data, "\"type\":\"text\",\"text\":\"\"");
		end_begin(m, out);
	}
	put_delta(m, m->blocks - 1, "text_delta", "text", text, out);
}

static void put_thinking(struct message *m, const struct inference_event *e, struct buf *out)
{
	if (m->open != BLOCK_THINKING || m->sealed) {
		begin_block(m, BLOCK_THINKING, out);
		buf_str(&m->data, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"");
		end_begin(m, out);
	}
	m->sealed = e->seal.n > 0;
	if (m->sealed)
		put_delta(m, m->blocks - 1, "signature_delta", "signature", e->seal, out);
	else
		put_delta(m, m->blocks - 1, "thinking_delta", "thinking", e->text, out);
}

/* Remembers that the block about to begin is the next call's. */
static bool note_tool(struct message *m)
{
	size_t cap = m->tools_cap ? 2 * m->tools_cap : 8;
	size_t *all = m->tool_blocks;

	if (m->n_tools == m->tools_cap) {
		all = talloc_realloc(m, all, size_t, (unsigned)cap);
		if (!all)
			return false;
		m->tool_blocks = all;
		m->tools_cap = cap;
	}
	all[m->n_tools++] = m->blocks;
	return true;
}

/* Providers may fill several calls in turn: each piece goes to its own call's block. */
static void put_tool_call(struct message *m, const struct inference_event *e, struct buf *out)
{
	if (e->tool_id && e->tool_index == m->n_tools) {
		close_block(m, out);
		if (!note_tool(m)) {
			out->failed = true;
			return;
		}
		begin_block(m, BLOCK_TOOL, out);
		buf_str(&m->data, "\"type\":\"tool_use\"");
		put_member_text(&m->data, "id", bytes_str(e->tool_id));
		put_member_text(&m->data, "name", bytes_str(e->tool_name));
		buf_str(&m->data, ",\"input\":{}");
		end_begin(m, out);
	}
	if (e->tool_index < m->n_tools && e->text.n > 0)
		put_delta(m, m->tool_blocks[e->tool_index], "input_json_delta", "partial_json",
		    e->text, out);
}

static void end_choice(struct message *m, const struct inference_event *e, struct buf *out)
{
	close_block(m, out);
	m->finish = e->finish;
	if (e->stop.n == 0)
		return;
	m->stop = talloc_strndup(m, (const char *)e->stop.p, e->stop.n);
	if (!m->stop)
		out->failed = true;
}

static void end_message(struct message *m, const struct inference_usage *usage, struct buf *out)
{
	buf_str(&m->data, "{\"type\":\"message_delta\",\"delta\":{");
	put_stop(&m->data, m->finish, bytes_str(m->stop ? m->stop : ""), m->n_tools > 0);
	buf_u8(&m->data, '}');
	put_usage(&m->data, usage);
	buf_u8(&m->data, '}');
	send(m, "message_delta", out);
	buf_str(&m->data, "{\"type\":\"message_stop\"}");
	send(m, "message_stop", out);
}

static void write_event(struct dialect_writer *w, const struct inference_event *e, struct buf *out)
{
	struct message *m = w->state;

	if (e->kind == INFERENCE_NOTICE) {
		openai_put_comment(out, e->text);
		return;
	}
	if (e->choice > 0) /* never asked for */
		return;
	begin_message(w, out);
	switch (e->kind) {
	case INFERENCE_STARTED:
	case INFERENCE_NOTICE:
		break;
	case INFERENCE_TEXT:
		put_text(m, e->text, out);
		break;
	case INFERENCE_REASONING:
		put_thinking(m, e, out);
		break;
	case INFERENCE_TOOL_CALL:
		put_tool_call(m, e, out);
		break;
	case INFERENCE_CHOICE_END:
		end_choice(m, e, out);
		break;
	case INFERENCE_FINISHED:
		end_message(m, &e->usage, out);
		break;
	}
}

static void pulse(struct dialect_writer *w, struct buf *out)
{
	sse_put_event(out, "ping", bytes_str("{\"type\":\"ping\"}"));
}

/* ---- whole --------------------------------------------------------------------------------- */

static void whole(struct dialect_writer *w, const struct inference_result *r, struct buf *out)
{
	const struct inference_choice *c = &r->choices[0];
	const char *comma = "";

	put_id(out, w->answer);
	buf_str(out, ",\"content\":[");
	if (c->reasoning.n > 0 || c->reasoning_seal.n > 0) {
		buf_str(out, "{\"type\":\"thinking\",\"thinking\":");
		json_put_text(out, buf_view(&c->reasoning));
		put_member_text(out, "signature", c->reasoning_seal);
		buf_u8(out, '}');
		comma = ",";
	}
	if (c->text.n > 0) {
		buf_printf(out, "%s{\"type\":\"text\",\"text\":", comma);
		json_put_text(out, buf_view(&c->text));
		buf_u8(out, '}');
		comma = ",";
	}
	for (size_t i = 0; i < c->n_tool_calls; i++, comma = ",") {
		buf_printf(out, "%s{\"type\":\"tool_use\"", comma);
		put_member_text(out, "id", bytes_str(c->tool_calls[i].id));
		put_member_text(out, "name", bytes_str(c->tool_calls[i].name));
		buf_str(out, ",\"input\":");
		put_arguments_object(out, c->tool_calls[i].arguments);
		buf_u8(out, '}');
	}
	buf_str(out, "],");
	put_stop(out, c->finish, c->stop, c->n_tool_calls > 0);
	put_usage(out, &r->usage);
	buf_u8(out, '}');
}

static void whole_count(struct dialect_writer *w, const struct inference_result *r, struct buf *out)
{
	buf_printf(out, "{\"input_tokens\":%lld}", (long long)r->usage.prompt_tok);
}

/* ---- errors -------------------------------------------------------------------------------- */

const char *anthropic_error_type(int code)
{
	switch (err_info(code)->http_status) {
	case 401:
		return "authentication_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 409:
		return "conflict_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	case 503:
		return "overloaded_error";
	case 504:
		return "timeout_error";
	default:
		return err_info(code)->http_status < 500 ? "invalid_request_error" : "api_error";
	}
}

static void write_error(const struct err *why, struct buf *out)
{
	buf_printf(
	    out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\"", anthropic_error_type(why->code));
	put_member_text(out, "message", bytes_str(err_text(why)));
	/* the exchange's header request-id has it */
	buf_str(out, "},\"request_id\":null}");
}

static void failure(struct dialect_writer *w, const struct err *why, struct buf *out)
{
	struct message *m = w->state;

	buf_reset(&m->data);
	write_error(why, &m->data);
	send(m, "error", out);
}

/* ---- the dialect --------------------------------------------------------------------------- */

static int free_data(struct message *m)
{
	buf_free(&m->data);
	return 0;
}

static int begin(struct dialect_writer *w, struct err *err)
{
	struct message *m = talloc_zero(w, struct message);

	if (!m)
		return err_set(err, E_MEMORY, "no memory for an answer");
	m->data = BUF_INIT(EVENT_MAX);
	talloc_set_destructor(m, free_data);
	w->state = m;
	return 0;
}

const struct dialect anthropic_messages = {
    .name = "anthropic.messages",
    .stream_type = SSE_MEDIA_TYPE,
    .parse = anthropic_parse,
    .begin = begin,
    .event = write_event,
    .pulse = pulse,
    .failure = failure,
    .whole = whole,
    .error = write_error,
};

const struct dialect anthropic_count_tokens = {
    .name = "anthropic.count_tokens",
    .stream_type = SSE_MEDIA_TYPE,
    .parse = anthropic_count_parse,
    .begin = begin,
    .event = write_event,
    .pulse = pulse,
    .failure = failure,
    .whole = whole_count,
    .error = write_error,
};
