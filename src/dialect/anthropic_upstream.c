/* Asking servers of the Anthropic dialect, and reading their streams. */
#include "dialect/anthropic.h"
#include "dialect/anthropic_priv.h"
#include "dialect/json.h"
#include "dialect/openai.h"
#include "dialect/refuse_priv.h"
#include "dialect/write_priv.h"

#include <talloc.h>

#define BLOCKS_MAX     4096 /* of one answer */
#define THINKING_LEAST 1024 /* SPEC anthropic: the smallest budget */
#define MODELS_MAX     4096
#define ERROR_TYPE_MAX 64

/* ---- requests: messages -------------------------------------------------------------------- */

static bool is_system(const struct inference_message *m)
{
	return strcmp(m->role, "system") == 0 || strcmp(m->role, "developer") == 0;
}

static void put_text_block(struct buf *out, struct bytes text)
{
	buf_str(out, "{\"type\":\"text\",\"text\":");
	json_put_text(out, text);
	buf_u8(out, '}');
}

static void put_image(struct buf *out, struct bytes url)
{
	struct bytes type, base64;

	buf_str(out, "{\"type\":\"image\",\"source\":{\"type\":");
	if (data_url_split(url, &type, &base64)) {
		buf_str(out, "\"base64\"");
		put_member_text(out, "media_type", type);
		put_member_text(out, "data", base64);
	} else {
		buf_str(out, "\"url\"");
		put_member_text(out, "url", url);
	}
	buf_str(out, "}}");
}

/* A separator before every element but the first of the open list. */
static void comma(struct buf *out)
{
	if (out->n > 0 && out->p[out->n - 1] != '[')
		buf_u8(out, ',');
}

/* The text and the parts of a message, as elements. SPEC anthropic: no text block is empty. */
static void put_blocks(struct buf *out, const struct inference_message *m)
{
	for (size_t i = 0; i < m->n_parts; i++) {
		if (m->parts[i].kind == INFERENCE_PART_TEXT && m->parts[i].text.n == 0)
			continue;
		comma(out);
		if (m->parts[i].kind == INFERENCE_PART_TEXT)
			put_text_block(out, m->parts[i].text);
		else
			put_image(out, m->parts[i].text);
	}
	if (m->n_parts == 0 && m->content.n > 0) {
		comma(out);
		put_text_block(out, m->content);
	}
}

static void put_tool_result(struct buf *out, const struct inference_message *m)
{
	comma(out);
	buf_str(out, "{\"type\":\"tool_result\"");
	put_member_text(out, "tool_use_id", bytes_str(m->tool_call_id ? m->tool_call_id : ""));
	buf_str(out, ",\"content\":[");
	put_blocks(out, m);
	buf_str(out, m->failed ? "],\"is_error\":true}" : "]}");
}

static void put_tool_use(struct buf *out, const struct inference_tool_call *call)
{
	comma(out);
	buf_str(out, "{\"type\":\"tool_use\"");
	put_member_text(out, "id", bytes_str(call->id));
	put_member_text(out, "name", bytes_str(call->name));
	buf_str(out, ",\"input\":");
	put_arguments_object(out, call->arguments);
	buf_u8(out, '}');
}

/* Thoughts given back need their maker's signature: without one they stay out. */
static void put_thinking(struct buf *out, const struct inference_message *m)
{
	if (m->reasoning_seal.n == 0)
		return;
	comma(out);
	buf_str(out, "{\"type\":\"thinking\",\"thinking\":");
	json_put_text(out, m->reasoning);
	put_member_text(out, "signature", m->reasoning_seal);
	buf_u8(out, '}');
}

static void put_message(struct buf *out, const struct inference_message *m)
{
	if (strcmp(m->role, "tool") == 0) {
		put_tool_result(out, m);
		return;
	}
	put_thinking(out, m);
	put_blocks(out, m);
	for (size_t i = 0; i < m->n_tool_calls; i++)
		put_tool_use(out, &m->tool_calls[i]);
}

static const char *turn_of(const struct inference_message *m)
{
	return strcmp(m->role, "assistant") == 0 ? "assistant" : "user";
}

/* SPEC anthropic: turns alternate, and the results of one turn's calls stand in the next one.
 * Messages of one side are one turn. */
static void put_turns(struct buf *out, const struct inference_request *req)
{
	const char *turn = NULL;

	buf_str(out, ",\"messages\":[");
	for (size_t i = 0; i < req->n_messages; i++) {
		const struct inference_message *m = &req->messages[i];

		if (is_system(m))
			continue;
		if (!turn || strcmp(turn, turn_of(m)) != 0) {
			buf_str(out, turn ? "]}," : "");
			turn = turn_of(m);
			buf_printf(out, "{\"role\":\"%s\",\"content\":[", turn);
		}
		put_message(out, m);
	}
	if (turn)
		buf_str(out, "]}");
	if (req->continuation.text.n > 0) {
		buf_str(out, turn ? ",{\"role\":\"assistant\",\"content\":"
				  : "{\"role\":\"assistant\",\"content\":");
		json_put_text(out, req->continuation.text);
		buf_u8(out, '}');
	}
	buf_u8(out, ']');
}

static void put_system(struct buf *out, const struct inference_request *req)
{
	bool any = false;

	for (size_t i = 0; i < req->n_messages; i++) {
		if (!is_system(&req->messages[i]) || req->messages[i].content.n == 0)
			continue;
		buf_str(out, any ? "," : ",\"system\":[");
		put_text_block(out, req->messages[i].content);
		any = true;
	}
	if (any)
		buf_u8(out, ']');
}

/* ---- requests: the rest -------------------------------------------------------------------- */

static void put_tools(struct buf *out, const struct inference_request *req)
{
	if (req->n_tools == 0)
		return;
	buf_str(out, ",\"tools\":[");
	for (size_t i = 0; i < req->n_tools; i++) {
		const struct inference_tool *t = &req->tools[i];

		buf_str(out, i ? ",{\"name\":" : "{\"name\":");
		json_put_text(out, bytes_str(t->name));
		if (t->description)
			put_member_text(out, "description", bytes_str(t->description));
		buf_str(out, ",\"input_schema\":");
		if (t->parameters.n > 0)
			buf_bytes(out, t->parameters);
		else
			buf_str(out, "{\"type\":\"object\",\"properties\":{}}");
		buf_str(out, t->strict ? ",\"strict\":true}" : "}");
	}
	buf_u8(out, ']');
}

static void put_tool_choice(struct buf *out, const struct inference_request *req)
{
	static const char *const names[] = {
	    [TOOL_CHOICE_AUTO] = "auto",
	    [TOOL_CHOICE_NONE] = "none",
	    [TOOL_CHOICE_REQUIRED] = "any",
	    [TOOL_CHOICE_NAMED] = "tool",
	};

	if (req->n_tools == 0 ||
	    (req->tool_choice == TOOL_CHOICE_AUTO && !req->no_parallel_tool_calls))
		return;
	buf_printf(out, ",\"tool_choice\":{\"type\":\"%s\"", names[req->tool_choice]);
	if (req->tool_choice == TOOL_CHOICE_NAMED)
		put_member_text(out, "name", bytes_str(req->tool_name));
	if (req->no_parallel_tool_calls && req->tool_choice != TOOL_CHOICE_NONE)
		buf_str(out, ",\"disable_parallel_tool_use\":true");
	buf_u8(out, '}');
}

/* While the results of calls are being given back, the turn of the calls must begin with its signed
 * thoughts: whether it does not. */
static bool in_unsigned_turn(const struct inference_request *req)
{
	size_t i = req->n_messages;

	if (i == 0 || strcmp(req->messages[i - 1].role, "tool") != 0)
		return false;
	while (i > 0 && strcmp(req->messages[i - 1].role, "tool") == 0)
		i--;
	return i == 0 || req->messages[i - 1].reasoning_seal.n == 0;
}

/* The budget that stands for the effort, below `max`; 0 for no thoughts. */
static int64_t budget_of(const struct inference_request *req, int64_t max)
{
	int64_t budget = 0;

	if (!req->reasoning_effort[0] || strcmp(req->reasoning_effort, "none") == 0 ||
	    in_unsigned_turn(req) || req->continuation.text.n > 0)
		return 0;
	for (size_t i = 0; i < ANTHROPIC_EFFORTS; i++)
		if (strcmp(anthropic_efforts[i].name, req->reasoning_effort) == 0)
			budget = anthropic_efforts[i].tokens;
	if (budget == 0) /* an effort that others know: the most of ours */
		budget = anthropic_efforts[ANTHROPIC_EFFORTS - 1].tokens;
	if (max > 0 && budget >= max)
		budget = max - 1;
	return budget >= THINKING_LEAST ? budget : 0;
}

static void put_limits(struct buf *out, const struct inference_request *req)
{
	const struct inference_sampling *s = &req->sampling;
	int64_t budget = budget_of(req, req->max_tokens);

	put_member_int(out, "max_tokens",
	    req->max_tokens > 0 ? req->max_tokens : ANTHROPIC_MAX_TOKENS + budget);
	if (budget > 0)
		buf_printf(out, ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":%lld}",
		    (long long)budget);
	put_member_number(out, "temperature", s->has_temperature, s->temperature);
	put_member_number(out, "top_p", s->has_top_p, s->top_p);
	if (s->has_top_k && s->top_k > 0)
		put_member_int(out, "top_k", s->top_k);
	if (req->n_stop > 0) {
		buf_str(out, ",\"stop_sequences\":[");
		for (size_t i = 0; i < req->n_stop; i++) {
			comma(out);
			json_put_text(out, req->stop[i]);
		}
		buf_u8(out, ']');
	}
}

static int check(const struct inference_request *req, struct err *err)
{
	int rc = refuse_parameters(req,
	    REFUSE_CHOICES | REFUSE_BIASES | REFUSE_LOGPROBS | REFUSE_PENALTIES | REFUSE_MIN_P |
		REFUSE_SEED | REFUSE_ANY_JSON | REFUSE_COMPLETION,
	    "an Anthropic server", err);

	if (rc == 0 && req->sampling.has_temperature && req->sampling.temperature > 1)
		rc = err_set_param(
		    err, E_UNSUPPORTED, "temperature", "an Anthropic server takes at most 1");
	return rc;
}

static int write_request(
    const struct inference_request *req, const char **path, struct buf *out, struct err *err)
{
	int rc = check(req, err);

	if (rc != 0)
		return rc;
	*path = "/v1/messages";
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(req->model));
	put_system(out, req);
	put_turns(out, req);
	put_tools(out, req);
	put_tool_choice(out, req);
	put_limits(out, req);
	if (req->format == FORMAT_SCHEMA) {
		buf_str(
		    out, ",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":");
		buf_bytes(out, req->schema);
		buf_str(out, "}}");
	}
	buf_str(out, ",\"stream\":true}");
	return buf_ok(out, err);
}

/* ---- streams ------------------------------------------------------------------------------- */

enum block {
	BLOCK_OTHER, /* nothing that we asked for */
	BLOCK_TEXT,
	BLOCK_THINKING,
	BLOCK_TOOL
};

struct block_state {
	enum block kind;
	unsigned tool_index;
	bool filled; /* a call has arguments */
};

struct progress {
	struct block_state *blocks;
	size_t n, cap;
	unsigned n_tools;
	bool has_finish;
	enum inference_finish finish;
	struct bytes stop;
	struct inference_usage usage;
	int64_t anew_tok, written_tok, cached_tok; /* parts of the prompt */
};

static int bad(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer is no stream of messages: %s", why);
}

static int progress_of(struct upstream_reader *r, struct progress **out, struct err *err)
{
	struct progress *p = r->state;

	if (!p) {
		p = talloc_zero(r, struct progress);
		if (!p)
			return err_set(err, E_MEMORY, "no memory for an answer");
		p->usage = INFERENCE_USAGE_UNKNOWN;
		r->state = p;
	}
	*out = p;
	return 0;
}

static int emit(struct upstream_reader *r, const struct inference_event *e, struct err *err)
{
	int rc = 0;

	if (!r->started) {
		r->started = true;
		rc = r->emit(r->arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	}
	return rc || e->kind == INFERENCE_STARTED ? rc : r->emit(r->arg, e, err);
}

static void take_count(const json_t *usage, const char *key, int64_t *to)
{
	int64_t n = json_get_int(usage, key, -1);

	if (n >= 0 && n <= INT32_MAX)
		*to = n;
}

/* Counts come in several events, each the newest total. */
static void take_usage(struct progress *p, const json_t *usage)
{
	if (!json_is_object(usage))
		return;
	p->usage.prompt_tok = 0;
	take_count(usage, "input_tokens", &p->anew_tok);
	take_count(usage, "cache_creation_input_tokens", &p->written_tok);
	take_count(usage, "cache_read_input_tokens", &p->cached_tok);
	take_count(usage, "output_tokens", &p->usage.completion_tok);
	take_count(json_object_get(usage, "output_tokens_details"), "thinking_tokens",
	    &p->usage.reasoning_tok);
	p->usage.prompt_tok = p->anew_tok + p->written_tok + p->cached_tok;
	p->usage.cached_tok = p->cached_tok;
}

static int add_block(struct upstream_reader *r, struct progress *p, const json_t *root,
    struct block_state **out, struct err *err)
{
	size_t cap = p->cap ? 2 * p->cap : 8;

	if (json_get_int(root, "index", -1) != (int64_t)p->n || p->n >= BLOCKS_MAX)
		return bad(err, "a block with a wrong index");
	if (p->n == p->cap) {
		struct block_state *all =
		    talloc_realloc(p, p->blocks, struct block_state, (unsigned)cap);

		if (!all)
			return err_set(err, E_MEMORY, "no memory for an answer");
		p->blocks = all;
		p->cap = cap;
	}
	*out = &p->blocks[p->n++];
	**out = (struct block_state){0};
	return 0;
}

static int piece(
    struct upstream_reader *r, struct block_state *b, struct bytes text, struct err *err)
{
	static const enum inference_event_kind kinds[] = {
	    [BLOCK_TEXT] = INFERENCE_TEXT,
	    [BLOCK_THINKING] = INFERENCE_REASONING,
	    [BLOCK_TOOL] = INFERENCE_TOOL_CALL,
	};
	struct inference_event e = {.text = text, .tool_index = b->tool_index};

	if (text.n == 0 || b->kind == BLOCK_OTHER)
		return 0;
	e.kind = kinds[b->kind];
	b->filled = true;
	return emit(r, &e, err);
}

static struct bytes text_member(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return bytes_of(json_string_value(v), json_string_length(v));
}

static int begin_tool(struct upstream_reader *r, struct progress *p, struct block_state *b,
    const json_t *block, struct err *err)
{
	const struct inference_event e = {
	    .kind = INFERENCE_TOOL_CALL,
	    .tool_index = p->n_tools,
	    .tool_id = json_get_string(block, "id", NULL),
	    .tool_name = json_get_string(block, "name", NULL),
	};
	const json_t *input = json_object_get(block, "input");
	struct buf text = BUF_INIT(SIZE_MAX / 2);
	int rc;

	if (!e.tool_id || !e.tool_name)
		return bad(err, "a tool call without id or name");
	b->kind = BLOCK_TOOL;
	b->tool_index = p->n_tools++;
	rc = emit(r, &e, err);
	if (rc == 0 && json_object_size(input) > 0) { /* some say all at once */
		rc = json_write(input, &text, err);
		if (rc == 0)
			rc = piece(r, b, buf_view(&text), err);
	}
	buf_free(&text);
	return rc;
}

static int begin_block(
    struct upstream_reader *r, struct progress *p, const json_t *root, struct err *err)
{
	const json_t *block = json_object_get(root, "content_block");
	const char *type = json_get_string(block, "type", "");
	struct block_state *b = NULL;
	int rc = add_block(r, p, root, &b, err);

	if (rc != 0)
		return rc;
	if (strcmp(type, "tool_use") == 0)
		return begin_tool(r, p, b, block, err);
	if (strcmp(type, "text") == 0) {
		b->kind = BLOCK_TEXT;
		return piece(r, b, text_member(block, "text"), err);
	}
	if (strcmp(type, "thinking") == 0) {
		b->kind = BLOCK_THINKING;
		return piece(r, b, text_member(block, "thinking"), err);
	}
	return 0;
}

static int seal(
    struct upstream_reader *r, const struct block_state *b, struct bytes text, struct err *err)
{
	const struct inference_event e = {.kind = INFERENCE_REASONING, .seal = text};

	return b->kind == BLOCK_THINKING && text.n > 0 ? emit(r, &e, err) : 0;
}

static struct block_state *block_of(struct progress *p, const json_t *root)
{
	int64_t index = json_get_int(root, "index", -1);

	return index >= 0 && (uint64_t)index < p->n ? &p->blocks[index] : NULL;
}

static int fill_block(
    struct upstream_reader *r, struct progress *p, const json_t *root, struct err *err)
{
	static const struct {
		enum block kind;
		const char *type, *key;
	} deltas[] = {
	    {BLOCK_TEXT, "text_delta", "text"},
	    {BLOCK_THINKING, "thinking_delta", "thinking"},
	    {BLOCK_TOOL, "input_json_delta", "partial_json"},
	};
	const json_t *delta = json_object_get(root, "delta");
	const char *type = json_get_string(delta, "type", "");
	struct block_state *b = block_of(p, root);

	if (!b)
		return bad(err, "a piece of a block that did not begin");
	if (strcmp(type, "signature_delta") == 0)
		return seal(r, b, text_member(delta, "signature"), err);
	for (size_t i = 0; i < sizeof deltas / sizeof deltas[0]; i++)
		if (strcmp(deltas[i].type, type) == 0 && deltas[i].kind == b->kind)
			return piece(r, b, text_member(delta, deltas[i].key), err);
	return 0; /* citations */
}

/* A call without arguments has the empty object. */
static int end_block(
    struct upstream_reader *r, struct progress *p, const json_t *root, struct err *err)
{
	struct block_state *b = block_of(p, root);

	if (!b)
		return bad(err, "the end of a block that did not begin");
	return b->kind == BLOCK_TOOL && !b->filled ? piece(r, b, bytes_str("{}"), err) : 0;
}

static int take_reason(struct progress *p, const json_t *delta, struct err *err)
{
	static const struct {
		const char *name;
		enum inference_finish finish;
	} reasons[] = {
	    {"end_turn", FINISH_STOP},
	    {"stop_sequence", FINISH_STOP},
	    {"pause_turn", FINISH_STOP},
	    {"max_tokens", FINISH_LENGTH},
	    {"model_context_window_exceeded", FINISH_LENGTH},
	    {"tool_use", FINISH_TOOL_CALLS},
	    {"refusal", FINISH_CONTENT_FILTER},
	};
	const char *reason = json_get_string(delta, "stop_reason", NULL);
	const json_t *stop = json_object_get(delta, "stop_sequence");
	char *copy;

	for (size_t i = 0; reason && i < sizeof reasons / sizeof reasons[0]; i++)
		if (strcmp(reasons[i].name, reason) == 0) {
			p->has_finish = true;
			p->finish = reasons[i].finish;
		}
	if (reason && !p->has_finish)
		return bad(err, "an unknown stop_reason");
	if (!json_is_string(stop) || json_string_length(stop) > INFERENCE_STOP_MAX)
		return 0;
	copy = talloc_strdup(p, json_string_value(stop));
	if (!copy)
		return err_set(err, E_MEMORY, "no memory for an answer");
	p->stop = bytes_str(copy);
	return 0;
}

static int finish(struct upstream_reader *r, struct progress *p, struct err *err)
{
	const struct inference_event end = {
	    .kind = INFERENCE_CHOICE_END, .finish = p->finish, .stop = p->stop};
	const struct inference_event last = {.kind = INFERENCE_FINISHED, .usage = p->usage};
	int rc;

	if (!p->has_finish)
		return bad(err, "no stop_reason");
	rc = emit(r, &end, err);
	if (rc == 0)
		rc = emit(r, &last, err);
	r->finished = rc == 0;
	return rc;
}

static int take_object(
    struct upstream_reader *r, const json_t *root, struct bytes data, struct err *err)
{
	const char *type = json_get_string(root, "type", "");
	struct progress *p = NULL;
	int rc = progress_of(r, &p, err);

	if (rc != 0)
		return rc;
	if (strcmp(type, "error") == 0)
		return anthropic_error_parse(data, 0, err);
	if (strcmp(type, "message_start") == 0) {
		take_usage(p, json_object_get(json_object_get(root, "message"), "usage"));
		return emit(r, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	}
	if (strcmp(type, "content_block_start") == 0)
		return begin_block(r, p, root, err);
	if (strcmp(type, "content_block_delta") == 0)
		return fill_block(r, p, root, err);
	if (strcmp(type, "content_block_stop") == 0)
		return end_block(r, p, root, err);
	if (strcmp(type, "message_delta") == 0) {
		take_usage(p, json_object_get(root, "usage"));
		return take_reason(p, json_object_get(root, "delta"), err);
	}
	if (strcmp(type, "message_stop") == 0)
		return finish(r, p, err);
	return 0; /* pings, and what may be added */
}

static int take(struct upstream_reader *r, const char *name, struct bytes data, struct err *err)
{
	json_t *root;
	int rc;

	if (r->finished)
		return 0;
	if (json_read(data, &root, err) != 0)
		return bad(err, "not valid JSON");
	rc = take_object(r, root, data, err);
	json_decref(root);
	return rc;
}

static int end(struct upstream_reader *r, struct err *err)
{
	return r->finished ? 0 : err_set(err, E_CLOSED, "the answer broke off before its end");
}

/* ---- errors and models --------------------------------------------------------------------- */

int anthropic_error_parse(struct bytes body, int status, struct err *err)
{
	static const struct {
		const char *type;
		int code;
	} types[] = {
	    {"invalid_request_error", E_INVALID},
	    {"authentication_error", E_UNAUTHORIZED},
	    {"permission_error", E_FORBIDDEN},
	    {"billing_error", E_FORBIDDEN},
	    {"not_found_error", E_NOT_FOUND},
	    {"request_too_large", E_TOO_LARGE},
	    {"rate_limit_error", E_BUSY},
	    {"timeout_error", E_TIMEOUT},
	    {"overloaded_error", E_UNAVAILABLE},
	    {"api_error", E_UPSTREAM},
	};
	int code = openai_error_parse(body, status, err); /* the message, and what status says */
	const char *type, *message;
	json_t *root = NULL;

	if (json_read(body, &root, NULL) != 0)
		return code;
	type = json_get_string(json_object_get(root, "error"), "type", "");
	message = json_get_string(json_object_get(root, "error"), "message", "");
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (strcmp(types[i].type, type) == 0)
			code = types[i].code;
	/* SPEC anthropic: these two are told by their words alone. */
	if (code == E_NOT_FOUND && strncmp(message, "model:", 6) == 0)
		code = E_MODEL_NOT_FOUND;
	if (code == E_INVALID && strncmp(message, "prompt is too long", 18) == 0)
		code = E_CONTEXT_LENGTH;
	if (*type)
		err_set(err, code, "%s", *message ? message : err_info(code)->text);
	json_decref(root);
	return code;
}

static int read_models(
    void *mem, const json_t *data, struct model_entry **out, size_t *n, struct err *err)
{
	if (!json_is_array(data) || json_array_size(data) > MODELS_MAX)
		return err_set(err, E_UPSTREAM, "the provider's list of models is none");
	*out = talloc_zero_array(mem, struct model_entry, (unsigned)json_array_size(data) + 1);
	if (!*out)
		return err_set(err, E_MEMORY, "no memory for a list of models");
	*n = 0;
	for (size_t i = 0; i < json_array_size(data); i++) {
		const json_t *v = json_array_get(data, i);
		const char *id = json_get_string(v, "id", "");
		struct model_entry *m = &(*out)[*n];

		if (!*id || strlen(id) >= MODEL_ID_MAX)
			continue;
		memcpy(m->id, id, strlen(id) + 1);
		m->created_s = time_of_text(json_get_string(v, "created_at", ""));
		m->ready = true;
		m->abilities = MODEL_CHAT | MODEL_TOOLS;
		(*n)++;
	}
	return 0;
}

static int models(
    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err)
{
	json_t *root;
	int rc;

	if (json_read(body, &root, err) != 0)
		return err_set(err, E_UPSTREAM, "the provider's list of models is not valid JSON");
	if (strcmp(json_get_string(root, "type", ""), "error") == 0)
		rc = anthropic_error_parse(body, 0, err);
	else
		rc = read_models(mem, json_object_get(root, "data"), out, n, err);
	json_decref(root);
	return rc;
}

const struct upstream anthropic_upstream = {
    .name = "anthropic",
    .framing = UPSTREAM_SSE,
    .request = write_request,
    .take = take,
    .end = end,
    .error = anthropic_error_parse,
    .models_path = "/v1/models?limit=1000",
    .models = models,
};
