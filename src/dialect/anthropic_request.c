/* Requests of the Anthropic dialect. A user's message may carry the results of several tool calls:
 * each becomes a message of its own, before the rest of the user's. */
#include "dialect/anthropic.h"
#include "dialect/anthropic_priv.h"
#include "dialect/read_priv.h"

#include <stdio.h>
#include <talloc.h>

/* Between texts that stand in blocks of their own. */
#define BETWEEN "\n\n"

struct blocks {
	const struct place *at; /* of the message */
	size_t limit;           /* bytes of text: no more than the document has */
};

/* ---- images -------------------------------------------------------------------------------- */

static int read_image(
    struct reading *r, const json_t *block, const struct place *at, struct gathering *g)
{
	const json_t *source = json_member(block, "source");
	const struct place in = place_of(at, "source");
	const char *type = json_get_string(source, "type", "");
	const json_t *data = json_member(source, "data"), *url = json_member(source, "url");
	const char *media = json_get_string(source, "media_type", "");
	char prefix[64];

	if (strcmp(type, "url") == 0) {
		if (!json_is_string(url))
			return reading_fail(r, E_INVALID, &in, "url", "is required");
		return gather_image(g, bytes_of("", 0), json_text(url), NULL);
	}
	if (strcmp(type, "base64") != 0)
		return reading_fail(
		    r, *type ? E_UNSUPPORTED : E_INVALID, &in, "type", "must be base64 or url");
	if (!json_is_string(data))
		return reading_fail(r, E_INVALID, &in, "data", "is required");
	if (strncmp(media, "image/", 6) != 0 || strlen(media) > 32 || strpbrk(media, ";,"))
		return reading_fail(
		    r, E_INVALID, &in, "media_type", "must be a picture's, such as image/png");
	if (snprintf(prefix, sizeof prefix, "data:%s;base64,", media) < 0)
		prefix[0] = 0;
	return gather_image(g, bytes_str(prefix), json_text(data), NULL);
}

/* ---- blocks -------------------------------------------------------------------------------- */

static const char *type_of(const json_t *block)
{
	return json_get_string(block, "type", "");
}

/* Text and images; other types are refused. */
static int read_plain_block(
    struct reading *r, const json_t *block, const struct place *at, struct gathering *g)
{
	const json_t *text = json_member(block, "text");

	if (!json_is_object(block))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	if (strcmp(type_of(block), "image") == 0)
		return read_image(r, block, at, g);
	if (strcmp(type_of(block), "text") != 0)
		return reading_fail(r, E_UNSUPPORTED, at, "type",
		    "blocks of the type \"%.32s\" are not supported here", type_of(block));
	if (!json_is_string(text))
		return reading_fail(
		    r, E_INVALID, at, "text", text ? "must be a string" : "is required");
	return gather_text(g, json_text(text));
}

/* Content that is a string or an array of plain blocks. */
static int read_plain(struct reading *r, const json_t *content, const struct blocks *b,
    const char *key, struct inference_message *m)
{
	struct gathering g;
	int rc = 0;

	if (json_is_string(content))
		return reading_copy(r, json_text(content), &m->content);
	if (!json_is_array(content))
		return reading_fail(r, E_INVALID, b->at, key,
		    content ? "must be a string or an array of blocks" : "is required");
	gather_begin(&g, r, BETWEEN, b->limit);
	for (size_t i = 0; rc == 0 && i < json_array_size(content); i++) {
		const struct place at = place_at(b->at, key, i);

		rc = read_plain_block(r, json_array_get(content, i), &at, &g);
	}
	return gathered(&g, m, rc);
}

static int read_tool_result(
    struct reading *r, const json_t *block, const struct place *at, size_t limit)
{
	struct inference_message *m;
	const struct blocks b = {at, limit};
	int rc = reading_add_message(r, "tool", &m);

	if (rc == 0)
		rc = reading_string(r, block, at, "tool_use_id", REQUIRED, &m->tool_call_id);
	if (rc == 0)
		rc = reading_flag(r, block, at, "is_error", &m->failed);
	if (rc == 0 && json_member(block, "content"))
		rc = read_plain(r, json_member(block, "content"), &b, "content", m);
	return rc;
}

static int read_tool_use(
    struct reading *r, const json_t *block, const struct place *at, struct inference_message *m)
{
	const json_t *input = json_member(block, "input");
	struct inference_tool_call *call;
	int rc = reading_add_call(r, m, &call);

	if (rc == 0)
		rc = reading_string(r, block, at, "id", REQUIRED, &call->id);
	if (rc == 0)
		rc = reading_tool_name(r, block, at, &call->name);
	if (rc == 0 && !json_is_object(input))
		rc = reading_fail(
		    r, E_INVALID, at, "input", input ? "must be an object" : "is required");
	if (rc == 0)
		rc = reading_json(r, input, &call->arguments);
	return rc;
}

/* Thoughts that a client gives back. Those that only their maker can read are of no use here. */
static int read_thinking(
    struct reading *r, const json_t *block, const struct place *at, struct inference_message *m)
{
	struct bytes more = {NULL, 0};
	struct buf joined = BUF_INIT(SIZE_MAX / 2);
	bool first = m->reasoning.n == 0 && m->reasoning_seal.n == 0;
	int rc = reading_text(r, block, at, "thinking", REQUIRED, &more);

	if (rc == 0 && first) {
		m->reasoning = more;
		return reading_text(r, block, at, "signature", OPTIONAL, &m->reasoning_seal);
	}
	m->reasoning_seal = bytes_of(NULL, 0); /* none holds for several */
	if (rc != 0)
		return rc;
	buf_bytes(&joined, m->reasoning);
	buf_str(&joined, BETWEEN);
	buf_bytes(&joined, more);
	rc = joined.failed ? reading_no_memory(r)
			   : reading_copy(r, buf_view(&joined), &m->reasoning);
	buf_free(&joined);
	return rc;
}

static int read_assistant_block(struct reading *r, const json_t *block, const struct place *at,
    struct gathering *g, struct inference_message *m)
{
	const char *type = type_of(block);

	if (strcmp(type, "tool_use") == 0)
		return read_tool_use(r, block, at, m);
	if (strcmp(type, "thinking") == 0)
		return read_thinking(r, block, at, m);
	if (strcmp(type, "redacted_thinking") == 0)
		return 0;
	if (strcmp(type, "image") == 0)
		return reading_fail(
		    r, E_UNSUPPORTED, at, "type", "an assistant's images are not supported");
	return read_plain_block(r, block, at, g);
}

static int read_assistant(struct reading *r, const json_t *content, const struct blocks *b)
{
	struct inference_message *m;
	struct gathering g;
	int rc = reading_add_message(r, "assistant", &m);

	if (rc != 0 || !json_is_array(content))
		return rc ? rc : read_plain(r, content, b, "content", m);
	gather_begin(&g, r, BETWEEN, b->limit);
	for (size_t i = 0; rc == 0 && i < json_array_size(content); i++) {
		const struct place at = place_at(b->at, "content", i);

		rc = read_assistant_block(r, json_array_get(content, i), &at, &g, m);
	}
	return gathered(&g, m, rc);
}

/* The results of tools first, then what else the user says. */
static int read_user(struct reading *r, const json_t *content, const struct blocks *b)
{
	struct inference_message *m;
	struct gathering g;
	size_t results = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(content); i++) {
		const json_t *block = json_array_get(content, i);
		const struct place at = place_at(b->at, "content", i);

		if (strcmp(type_of(block), "tool_result") != 0)
			continue;
		rc = read_tool_result(r, block, &at, b->limit);
		results++;
	}
	if (rc != 0 || (results > 0 && results == json_array_size(content)))
		return rc;
	rc = reading_add_message(r, "user", &m);
	if (rc != 0 || !json_is_array(content))
		return rc ? rc : read_plain(r, content, b, "content", m);
	gather_begin(&g, r, BETWEEN, b->limit);
	for (size_t i = 0; rc == 0 && i < json_array_size(content); i++) {
		const json_t *block = json_array_get(content, i);
		const struct place at = place_at(b->at, "content", i);

		if (strcmp(type_of(block), "tool_result") != 0)
			rc = read_plain_block(r, block, &at, &g);
	}
	return gathered(&g, m, rc);
}

/* ---- messages ------------------------------------------------------------------------------ */

static int read_system_text(
    struct reading *r, const json_t *content, const struct blocks *b, const char *key)
{
	struct inference_message *m;
	int rc = reading_add_message(r, "system", &m);

	if (rc == 0)
		rc = read_plain(r, content, b, key, m);
	if (rc == 0 && m->n_parts > 0)
		rc = reading_fail(r, E_INVALID, b->at, key, "must be text alone");
	return rc;
}

static int read_message(
    struct reading *r, const json_t *message, const struct place *at, size_t limit)
{
	const char *role = json_get_string(message, "role", "");
	const json_t *content = json_member(message, "content");
	const struct blocks b = {at, limit};

	if (!json_is_object(message))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	if (strcmp(role, "user") == 0)
		return read_user(r, content, &b);
	if (strcmp(role, "assistant") == 0)
		return read_assistant(r, content, &b);
	if (strcmp(role, "system") == 0)
		return read_system_text(r, content, &b, "content");
	return reading_fail(r, E_INVALID, at, "role", "must be user, assistant or system");
}

/* SPEC anthropic: when the last message is the assistant's, the answer goes on from its end. */
static void take_prefill(struct inference_request *req)
{
	struct inference_message *last = &req->messages[req->n_messages - 1];

	if (strcmp(last->role, "assistant") != 0 || last->n_tool_calls > 0 || last->content.n == 0)
		return;
	req->continuation.text = last->content;
	req->n_messages--;
}

static int read_messages(struct reading *r, const json_t *root, size_t limit)
{
	const struct blocks top = {NULL, limit};
	const json_t *system = json_member(root, "system"), *list;
	int rc = reading_array(r, root, NULL, "messages", INFERENCE_MESSAGES_MAX, &list);

	if (rc == 0 && json_array_size(list) == 0)
		rc = reading_fail(r, E_INVALID, NULL, "messages",
		    list ? "must have at least one message" : "is required");
	if (rc == 0 && system && (!json_is_array(system) || json_array_size(system) > 0))
		rc = read_system_text(r, system, &top, "system");
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const struct place at = place_at(NULL, "messages", i);

		rc = read_message(r, json_array_get(list, i), &at, limit);
	}
	if (rc == 0)
		take_prefill(r->req);
	return rc;
}

/* ---- tools --------------------------------------------------------------------------------- */

static int read_tool(
    struct reading *r, const json_t *tool, const struct place *at, struct inference_tool *t)
{
	const json_t *type = json_member(tool, "type");
	int rc;

	if (!json_is_object(tool))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	if (type && strcmp(json_get_string(tool, "type", ""), "custom") != 0)
		return reading_fail(r, E_UNSUPPORTED, at, "type",
		    "tools of the type \"%.32s\" are not supported", type_of(tool));
	rc = reading_tool_name(r, tool, at, &t->name);
	if (rc == 0)
		rc = reading_string(r, tool, at, "description", OPTIONAL, &t->description);
	if (rc == 0)
		rc = reading_schema(r, tool, at, "input_schema", REQUIRED, &t->parameters);
	if (rc == 0)
		rc = reading_flag(r, tool, at, "strict", &t->strict);
	return rc;
}

static int read_tool_choice(struct reading *r, const json_t *root)
{
	const struct place at = place_of(NULL, "tool_choice");
	const json_t *choice = json_member(root, "tool_choice");
	const char *type = json_get_string(choice, "type", "");
	struct inference_request *req = r->req;

	if (!choice)
		return 0;
	if (strcmp(type, "auto") == 0)
		req->tool_choice = TOOL_CHOICE_AUTO;
	else if (strcmp(type, "any") == 0)
		req->tool_choice = TOOL_CHOICE_REQUIRED;
	else if (strcmp(type, "none") == 0)
		req->tool_choice = TOOL_CHOICE_NONE;
	else if (strcmp(type, "tool") == 0)
		req->tool_choice = TOOL_CHOICE_NAMED;
	else
		return reading_fail(r, E_INVALID, &at, "type", "must be auto, any, tool or none");
	if (req->tool_choice == TOOL_CHOICE_NAMED) {
		int rc = reading_tool_name(r, choice, &at, &req->tool_name);

		if (rc != 0)
			return rc;
	}
	return reading_flag(
	    r, choice, &at, "disable_parallel_tool_use", &req->no_parallel_tool_calls);
}

static int read_tools(struct reading *r, const json_t *root)
{
	const json_t *list;
	int rc = reading_array(r, root, NULL, "tools", INFERENCE_TOOLS_MAX, &list);

	if (rc == 0 && json_array_size(list) > 0)
		rc = reading_new_tools(r, json_array_size(list));
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const struct place at = place_at(NULL, "tools", i);

		rc = read_tool(r, json_array_get(list, i), &at, &r->req->tools[i]);
	}
	return rc ? rc : read_tool_choice(r, root);
}

/* ---- thoughts and format ------------------------------------------------------------------- */

const struct anthropic_effort anthropic_efforts[ANTHROPIC_EFFORTS] = {
    {"minimal", 1024, 1535},
    {"low", 2048, 3071},
    {"medium", 4096, 8192},
    {"high", 16384, 24575},
    {"xhigh", 32768, INT64_MAX},
};

static const char *effort_of_budget(int64_t budget)
{
	for (size_t i = 0; i + 1 < ANTHROPIC_EFFORTS; i++)
		if (budget <= anthropic_efforts[i].most)
			return anthropic_efforts[i].name;
	return anthropic_efforts[ANTHROPIC_EFFORTS - 1].name;
}

static int set_effort(struct reading *r, const char *effort, const struct place *at)
{
	if (strlen(effort) >= sizeof r->req->reasoning_effort)
		return reading_fail(r, E_INVALID, at, "effort", "is too long");
	memcpy(r->req->reasoning_effort, effort, strlen(effort) + 1);
	return 0;
}

/* A budget of tokens is the older way to say how hard to think, an effort the newer. */
static int read_thinking_mode(struct reading *r, const json_t *root)
{
	const struct place at = place_of(NULL, "thinking"), out = place_of(NULL, "output_config");
	const json_t *thinking = json_member(root, "thinking");
	const char *type = json_get_string(thinking, "type", "");
	const char *effort = json_get_string(json_member(root, "output_config"), "effort", "");
	int64_t budget = 0;
	int rc;

	if (!thinking)
		return set_effort(r, effort, &out);
	if (strcmp(type, "disabled") == 0)
		return set_effort(r, "none", &out);
	if (strcmp(type, "adaptive") == 0 || strcmp(type, "between_tools") == 0)
		return set_effort(r, *effort ? effort : "medium", &out);
	if (strcmp(type, "enabled") != 0)
		return reading_fail(
		    r, E_INVALID, &at, "type", "must be enabled, adaptive or disabled");
	rc = reading_integer(r, thinking, &at, "budget_tokens", 1024, INT32_MAX, NULL, &budget);
	if (rc == 0 && budget == 0)
		rc = reading_fail(r, E_INVALID, &at, "budget_tokens", "is required");
	return rc ? rc : set_effort(r, *effort ? effort : effort_of_budget(budget), &out);
}

static int read_format(struct reading *r, const json_t *root)
{
	const struct place out = place_of(NULL, "output_config");
	const struct place at = place_of(&out, "format");
	const json_t *format = json_member(json_member(root, "output_config"), "format");

	if (!format)
		return 0;
	if (strcmp(type_of(format), "json_schema") != 0)
		return reading_fail(r, E_INVALID, &at, "type", "must be json_schema");
	r->req->format = FORMAT_SCHEMA;
	return reading_schema(r, format, &at, "schema", REQUIRED, &r->req->schema);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int read_sampling(struct reading *r, const json_t *root)
{
	struct inference_sampling *s = &r->req->sampling;
	int64_t top_k = 0;
	int rc = reading_number(
	    r, root, NULL, "temperature", 0, 1, &s->has_temperature, &s->temperature);

	if (rc == 0)
		rc = reading_number(r, root, NULL, "top_p", 0, 1, &s->has_top_p, &s->top_p);
	if (rc == 0)
		rc = reading_integer(r, root, NULL, "top_k", 0, INT32_MAX, &s->has_top_k, &top_k);
	s->top_k = (int32_t)top_k;
	return rc;
}

static int refuse_unsupported(struct reading *r, const json_t *root)
{
	static const struct {
		const char *key, *why;
	} table[] = {
	    {"mcp_servers", "this node connects to no MCP servers"},
	    {"container", "there are no containers here"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const json_t *v = json_member(root, table[i].key);

		if (v && !(json_is_array(v) && json_array_size(v) == 0))
			return reading_fail(
			    r, E_UNSUPPORTED, NULL, table[i].key, "%s", table[i].why);
	}
	return 0;
}

/* Order matters only for which of several errors is told. */
static int read_all(struct reading *r, const json_t *root, size_t limit, bool counting)
{
	struct inference_request *req = r->req;
	bool has_max = false;
	int rc = refuse_unsupported(r, root);

	req->choices = 1;
	if (rc == 0)
		rc = reading_model(r, root, "model", req->model);
	if (rc == 0)
		rc = reading_integer(
		    r, root, NULL, "max_tokens", 1, INT32_MAX, &has_max, &req->max_tokens);
	if (rc == 0 && !has_max && !counting)
		rc = reading_fail(r, E_INVALID, NULL, "max_tokens", "is required");
	if (rc == 0)
		rc = read_messages(r, root, limit);
	if (rc == 0)
		rc = read_tools(r, root);
	if (rc == 0)
		rc = read_thinking_mode(r, root);
	if (rc == 0)
		rc = read_format(r, root);
	if (rc == 0)
		rc = read_sampling(r, root);
	if (rc == 0)
		rc = reading_stops(r, root, NULL, "stop_sequences");
	if (rc == 0)
		rc = reading_flag(r, root, NULL, "stream", &req->stream);
	req->include_usage = true;
	return rc;
}

static int parse(
    void *mem, struct bytes body, bool counting, struct inference_request **out, struct err *err)
{
	struct reading r;
	json_t *root;
	int rc = reading_begin(&r, mem, body, &root, err);

	if (rc == 0)
		rc = read_all(&r, root, reading_text_limit(body), counting);
	return reading_end(&r, root, rc, out);
}

int anthropic_parse(void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	return parse(mem, body, false, out, err);
}

int anthropic_count_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	int rc = parse(mem, body, true, out, err);

	if (rc == 0) {
		(*out)->max_tokens = 1;
		(*out)->stream = false;
	}
	return rc;
}
