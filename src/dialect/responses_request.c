/* Requests of the Responses form. A conversation is a list of items: what an assistant thought,
 * said and called are items of their own there, and one message here. */
#include "dialect/read_priv.h"
#include "dialect/responses.h"
#include "dialect/responses_priv.h"

#include <talloc.h>

#define ITEMS_MAX   16384
#define INCLUDE_MAX 64

/* ---- content ------------------------------------------------------------------------------- */

static int read_image(
    struct reading *r, const json_t *part, const struct place *at, struct gathering *g)
{
	const json_t *url = json_member(part, "image_url");

	if (json_member(part, "file_id"))
		return reading_fail(
		    r, E_UNSUPPORTED, at, "file_id", "no files are kept here: send the picture");
	if (!json_is_string(url))
		return reading_fail(
		    r, E_INVALID, at, "image_url", url ? "must be a string" : "is required");
	return gather_image(
	    g, bytes_of("", 0), json_text(url), json_get_string(part, "detail", NULL));
}

static int read_part(
    struct reading *r, const json_t *part, const struct place *at, struct gathering *g)
{
	static const struct {
		const char *type, *key;
	} texts[] = {{"input_text", "text"}, {"output_text", "text"}, {"refusal", "refusal"}};
	const char *type = json_get_string(part, "type", "");

	if (!json_is_object(part))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	if (strcmp(type, "input_image") == 0)
		return read_image(r, part, at, g);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		const json_t *text = json_member(part, texts[i].key);

		if (strcmp(type, texts[i].type) != 0)
			continue;
		if (!json_is_string(text))
			return reading_fail(r, E_INVALID, at, texts[i].key,
			    text ? "must be a string" : "is required");
		return gather_text(g, json_text(text));
	}
	return reading_fail(
	    r, E_UNSUPPORTED, at, "type", "parts of the type \"%.32s\" are not supported", type);
}

/* A member that is a string or an array of parts. */
static int read_content(struct reading *r, const json_t *item, const struct place *at,
    const char *key, size_t limit, struct inference_message *m)
{
	const json_t *content = json_member(item, key);
	struct gathering g;
	int rc = 0;

	if (json_is_string(content))
		return reading_copy(r, json_text(content), &m->content);
	if (!json_is_array(content))
		return reading_fail(r, E_INVALID, at, key,
		    content ? "must be a string or an array of parts" : "is required");
	gather_begin(&g, r, "", limit);
	for (size_t i = 0; rc == 0 && i < json_array_size(content); i++) {
		const struct place in = place_at(at, key, i);

		rc = read_part(r, json_array_get(content, i), &in, &g);
	}
	return gathered(&g, m, rc);
}

/* ---- items --------------------------------------------------------------------------------- */

/* The assistant's message that an item belongs to: the last one, while nobody else has spoken and
 * it has none of what comes after such an item; else a new one. */
static int assistant(
    struct reading *r, bool may_have_text, bool may_have_calls, struct inference_message **out)
{
	struct inference_request *req = r->req;
	struct inference_message *last =
	    req->n_messages > 0 ? &req->messages[req->n_messages - 1] : NULL;

	if (!last || strcmp(last->role, "assistant") != 0 ||
	    (!may_have_text && last->content.n > 0) || (!may_have_calls && last->n_tool_calls > 0))
		return reading_add_message(r, "assistant", out);
	*out = last;
	return 0;
}

static int read_message(struct reading *r, const json_t *item, const struct place *at, size_t limit)
{
	static const char *const roles[] = {"user", "system", "developer"};
	const char *role = json_get_string(item, "role", "");
	struct inference_message *m;
	size_t i = 0;
	int rc;

	while (i < 3 && strcmp(roles[i], role) != 0)
		i++;
	if (strcmp(role, "assistant") == 0)
		rc = assistant(r, false, false, &m);
	else if (i < 3)
		rc = reading_add_message(r, role, &m);
	else
		return reading_fail(
		    r, E_INVALID, at, "role", "must be user, assistant, system or developer");
	return rc ? rc : read_content(r, item, at, "content", limit, m);
}

/* A group's tool goes by both names, as few forms know of groups. */
static int join_name(struct reading *r, const char *group, const struct place *at, char **name)
{
	char *joined = talloc_asprintf(r->mem, "%s__%s", group, *name);

	if (!joined)
		return reading_no_memory(r);
	if (strlen(joined) >= INFERENCE_TOOL_NAME_MAX)
		return reading_fail(r, E_INVALID, at, "name", "is too long with its group's");
	*name = joined;
	return 0;
}

static int read_call(struct reading *r, const json_t *item, const struct place *at)
{
	struct inference_tool_call *call;
	struct inference_message *m;
	int rc = assistant(r, true, true, &m);

	if (rc == 0)
		rc = reading_add_call(r, m, &call);
	if (rc == 0)
		rc = reading_string(r, item, at, "call_id", REQUIRED, &call->id);
	if (rc == 0)
		rc = reading_tool_name(r, item, at, &call->name);
	if (rc == 0 && json_is_string(json_member(item, "namespace")))
		rc = join_name(r, json_get_string(item, "namespace", ""), at, &call->name);
	if (rc == 0)
		rc = reading_text(r, item, at, "arguments", REQUIRED, &call->arguments);
	return rc;
}

static int read_output(struct reading *r, const json_t *item, const struct place *at, size_t limit)
{
	struct inference_message *m;
	int rc = reading_add_message(r, "tool", &m);

	if (rc == 0)
		rc = reading_string(r, item, at, "call_id", REQUIRED, &m->tool_call_id);
	return rc ? rc : read_content(r, item, at, "output", limit, m);
}

/* The texts in one of the lists of a reasoning item. */
static int add_thoughts(
    struct reading *r, const json_t *item, const struct place *at, const char *key, struct buf *out)
{
	const json_t *list;
	int rc = reading_array(r, item, at, key, ITEMS_MAX, &list);

	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const json_t *text = json_member(json_array_get(list, i), "text");
		const struct place in = place_at(at, key, i);

		if (!json_is_string(text))
			return reading_fail(r, E_INVALID, &in, "text", "must be a string");
		if (out->n > 0)
			buf_str(out, "\n\n");
		buf_bytes(out, json_text(text));
	}
	return rc;
}

/* None holds for several. */
static int read_seal(struct reading *r, const json_t *item, const struct place *at, bool first,
    struct inference_message *m)
{
	const char *sealed = json_get_string(item, "encrypted_content", "");

	m->reasoning_seal = bytes_of(NULL, 0);
	if (!first || strcmp(sealed, RESPONSES_NO_SEAL) == 0)
		return 0;
	return reading_text(r, item, at, "encrypted_content", OPTIONAL, &m->reasoning_seal);
}

/* Thoughts given back: as they were, or their summary when there is nothing else. */
static int read_reasoning(
    struct reading *r, const json_t *item, const struct place *at, size_t limit)
{
	struct buf thoughts = BUF_INIT(limit);
	struct inference_message *m;
	int rc = assistant(r, false, false, &m);
	bool first = rc == 0 && m->reasoning.n == 0 && m->reasoning_seal.n == 0;

	if (rc == 0 && m->reasoning.n > 0) {
		buf_bytes(&thoughts, m->reasoning);
		buf_str(&thoughts, "\n\n");
	}
	size_t before = thoughts.n;
	if (rc == 0)
		rc = add_thoughts(r, item, at, "content", &thoughts);
	if (rc == 0 && thoughts.n == before)
		rc = add_thoughts(r, item, at, "summary", &thoughts);
	if (rc == 0 && thoughts.failed)
		rc = reading_no_memory(r);
	if (rc == 0 && thoughts.n > before)
		rc = reading_copy(r, buf_view(&thoughts), &m->reasoning);
	buf_free(&thoughts);
	return rc ? rc : read_seal(r, item, at, first, m);
}

static int read_item(struct reading *r, const json_t *item, const struct place *at, size_t limit)
{
	const char *type = json_get_string(item, "type", "message");

	if (!json_is_object(item))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	if (strcmp(type, "message") == 0)
		return read_message(r, item, at, limit);
	if (strcmp(type, "function_call") == 0)
		return read_call(r, item, at);
	if (strcmp(type, "function_call_output") == 0)
		return read_output(r, item, at, limit);
	if (strcmp(type, "reasoning") == 0)
		return read_reasoning(r, item, at, limit);
	if (strcmp(type, "item_reference") == 0)
		return reading_fail(r, E_UNSUPPORTED, at, "type",
		    "nothing is stored here: send the item itself (with store: false)");
	return reading_fail(
	    r, E_UNSUPPORTED, at, "type", "items of the type \"%.32s\" are not supported", type);
}

/* An item of thoughts alone, with nothing to read in it, is no message. */
static void drop_empty(struct inference_request *req)
{
	size_t kept = 0;

	for (size_t i = 0; i < req->n_messages; i++) {
		const struct inference_message *m = &req->messages[i];

		if (strcmp(m->role, "assistant") == 0 && m->content.n == 0 &&
		    m->n_tool_calls == 0 && m->reasoning.n == 0 && m->reasoning_seal.n == 0)
			continue;
		req->messages[kept++] = *m;
	}
	req->n_messages = kept;
}

static int read_input(struct reading *r, const json_t *root, size_t limit)
{
	const json_t *input = json_member(root, "input");
	struct inference_message *m;
	int rc = 0;

	if (json_member(root, "instructions")) {
		rc = reading_add_message(r, "system", &m);
		if (rc == 0)
			rc = reading_text(r, root, NULL, "instructions", REQUIRED, &m->content);
	}
	if (rc == 0 && json_is_string(input)) {
		rc = reading_add_message(r, "user", &m);
		return rc ? rc : reading_copy(r, json_text(input), &m->content);
	}
	if (rc == 0 && (!json_is_array(input) || json_array_size(input) == 0))
		rc = reading_fail(r, E_INVALID, NULL, "input",
		    input ? "must be a string or an array of at least one item" : "is required");
	if (rc == 0 && json_array_size(input) > ITEMS_MAX)
		rc = reading_fail(r, E_INVALID, NULL, "input", "more than %d items", ITEMS_MAX);
	for (size_t i = 0; rc == 0 && i < json_array_size(input); i++) {
		const struct place at = place_at(NULL, "input", i);

		rc = read_item(r, json_array_get(input, i), &at, limit);
	}
	if (rc == 0)
		drop_empty(r->req);
	return rc;
}

/* ---- tools --------------------------------------------------------------------------------- */

static int read_function(struct reading *r, const json_t *tool, const struct place *at,
    const char *group, struct inference_tool *t)
{
	const char *type = json_get_string(tool, "type", "");
	int rc;

	if (!json_is_object(tool))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	if (strcmp(type, "function") != 0)
		return reading_fail(r, E_UNSUPPORTED, at, "type",
		    "tools of the type \"%.32s\" are not supported, only functions", type);
	rc = reading_tool_name(r, tool, at, &t->name);
	if (rc == 0 && group)
		rc = join_name(r, group, at, &t->name);
	if (rc == 0 && group && !(t->group = talloc_strdup(r->mem, group)))
		rc = reading_no_memory(r);
	if (rc == 0)
		rc = reading_string(r, tool, at, "description", OPTIONAL, &t->description);
	if (rc == 0)
		rc = reading_schema(r, tool, at, "parameters", OPTIONAL, &t->parameters);
	if (rc == 0)
		rc = reading_flag(r, tool, at, "strict", &t->strict);
	return rc;
}

/* A search that is not to leave the server looks through what the server has stored: that is
 * nothing here, and so there is no such tool. Codex sends it unasked. */
static bool is_empty_search(const json_t *tool)
{
	return strcmp(json_get_string(tool, "type", ""), "web_search") == 0 &&
	       !json_get_bool(tool, "external_web_access", true);
}

/* The functions of a group, which its client runs like any other's; NULL for a tool that is none.
 */
static const json_t *group_of(const json_t *tool)
{
	const json_t *tools = json_member(tool, "tools");

	return strcmp(json_get_string(tool, "type", ""), "namespace") == 0 && json_is_array(tools)
		   ? tools
		   : NULL;
}

static size_t count_functions(const json_t *list)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *tool = json_array_get(list, i);

		if (group_of(tool))
			n += json_array_size(group_of(tool));
		else if (!is_empty_search(tool))
			n++;
	}
	return n;
}

/* One element of the list: a function or several, from `*next` on. */
static int read_tool(
    struct reading *r, const json_t *tool, const struct place *at, struct inference_tool **next)
{
	const json_t *group = group_of(tool);
	char *name = NULL;
	int rc = 0;

	if (is_empty_search(tool))
		return 0;
	if (!group)
		return read_function(r, tool, at, NULL, (*next)++);
	rc = reading_tool_name(r, tool, at, &name);
	for (size_t i = 0; rc == 0 && i < json_array_size(group); i++) {
		const struct place in = place_at(at, "tools", i);

		rc = read_function(r, json_array_get(group, i), &in, name, (*next)++);
	}
	return rc;
}

static int read_tool_choice(struct reading *r, const json_t *root)
{
	const json_t *choice = json_member(root, "tool_choice");
	const struct place at = place_of(NULL, "tool_choice");
	const char *name = json_is_string(choice) ? json_string_value(choice) : NULL;
	struct inference_request *req = r->req;

	if (!choice || (name && strcmp(name, "auto") == 0))
		return 0;
	if (name && strcmp(name, "none") == 0) {
		req->tool_choice = TOOL_CHOICE_NONE;
		return 0;
	}
	if (name && strcmp(name, "required") == 0) {
		req->tool_choice = TOOL_CHOICE_REQUIRED;
		return 0;
	}
	if (name || !json_is_object(choice))
		return reading_fail(
		    r, E_INVALID, NULL, "tool_choice", "must be auto, none, required or a tool");
	if (strcmp(json_get_string(choice, "type", ""), "function") != 0)
		return reading_fail(r, E_UNSUPPORTED, &at, "type", "only functions are supported");
	req->tool_choice = TOOL_CHOICE_NAMED;
	return reading_tool_name(r, choice, &at, &req->tool_name);
}

static int read_tools(struct reading *r, const json_t *root)
{
	struct inference_tool *next;
	bool parallel = true;
	const json_t *list;
	int rc = reading_array(r, root, NULL, "tools", INFERENCE_TOOLS_MAX, &list);

	size_t n = count_functions(list);

	if (rc == 0 && n > INFERENCE_TOOLS_MAX)
		rc = reading_fail(
		    r, E_INVALID, NULL, "tools", "more than %d tools", INFERENCE_TOOLS_MAX);
	if (rc == 0 && n > 0)
		rc = reading_new_tools(r, n);
	next = r->req->tools;
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const struct place at = place_at(NULL, "tools", i);

		rc = read_tool(r, json_array_get(list, i), &at, &next);
	}
	if (rc == 0)
		rc = read_tool_choice(r, root);
	if (rc == 0)
		rc = reading_flag(r, root, NULL, "parallel_tool_calls", &parallel);
	r->req->no_parallel_tool_calls = !parallel;
	return rc;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int read_format(struct reading *r, const json_t *root)
{
	const struct place text = place_of(NULL, "text"), at = place_of(&text, "format");
	const json_t *format = json_member(json_member(root, "text"), "format");
	const char *type = json_get_string(format, "type", "");
	struct inference_request *req = r->req;
	int rc;

	if (!format || strcmp(type, "text") == 0)
		return 0;
	if (strcmp(type, "json_object") == 0) {
		req->format = FORMAT_JSON;
		return 0;
	}
	if (strcmp(type, "json_schema") != 0)
		return reading_fail(
		    r, E_INVALID, &at, "type", "must be text, json_object or json_schema");
	req->format = FORMAT_SCHEMA;
	rc = reading_string(r, format, &at, "name", OPTIONAL, &req->schema_name);
	if (rc == 0)
		rc = reading_string(
		    r, format, &at, "description", OPTIONAL, &req->schema_description);
	if (rc == 0)
		rc = reading_flag(r, format, &at, "strict", &req->schema_strict);
	return rc ? rc : reading_schema(r, format, &at, "schema", REQUIRED, &req->schema);
}

static int read_effort(struct reading *r, const json_t *root)
{
	const struct place at = place_of(NULL, "reasoning");
	const json_t *v = json_member(json_member(root, "reasoning"), "effort");

	if (!v)
		return 0;
	if (!json_is_string(v) || json_string_length(v) >= sizeof r->req->reasoning_effort)
		return reading_fail(r, E_INVALID, &at, "effort", "must be a short string");
	memcpy(r->req->reasoning_effort, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

/* Log probabilities are asked for by the list of what to include; how many by a number. */
static int read_include(struct reading *r, const json_t *root)
{
	const json_t *include;
	int64_t top = 0;
	int rc = reading_array(r, root, NULL, "include", INCLUDE_MAX, &include);

	for (size_t i = 0; rc == 0 && i < json_array_size(include); i++) {
		const json_t *v = json_array_get(include, i);

		if (!json_is_string(v))
			rc = reading_fail(r, E_INVALID, NULL, "include", "must be strings");
		else if (strcmp(json_string_value(v), "message.output_text.logprobs") == 0)
			r->req->logprobs = true;
		else if (strcmp(json_string_value(v), "reasoning.encrypted_content") == 0)
			r->req->sealed_reasoning = true;
	}
	if (rc == 0)
		rc = reading_integer(
		    r, root, NULL, "top_logprobs", 0, INFERENCE_TOP_LOGPROBS, NULL, &top);
	r->req->top_logprobs = (unsigned)top;
	if (top > 0)
		r->req->logprobs = true;
	return rc;
}

static int refuse_unsupported(struct reading *r, const json_t *root)
{
	static const struct {
		const char *key, *why;
	} table[] = {
	    {"previous_response_id", "nothing is stored here: send the whole conversation"},
	    {"conversation", "nothing is stored here: send the whole conversation"},
	    {"background", "answers come while the client waits"},
	    {"prompt", "no prompts are stored here"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const json_t *v = json_member(root, table[i].key);

		if (v && !json_is_false(v))
			return reading_fail(
			    r, E_UNSUPPORTED, NULL, table[i].key, "%s", table[i].why);
	}
	return 0;
}

static int read_sampling(struct reading *r, const json_t *root)
{
	struct inference_sampling *s = &r->req->sampling;
	int rc = reading_number(
	    r, root, NULL, "temperature", 0, 2, &s->has_temperature, &s->temperature);

	if (rc == 0)
		rc = reading_number(r, root, NULL, "top_p", 0, 1, &s->has_top_p, &s->top_p);
	if (rc == 0)
		rc = reading_integer(
		    r, root, NULL, "max_output_tokens", 1, INT32_MAX, NULL, &r->req->max_tokens);
	return rc;
}

/* ---- what the answer repeats --------------------------------------------------------------- */

/* `text` with its format, which is plain when nothing was said. */
static int put_text_config(struct buf *out, const json_t *text, struct err *err)
{
	json_t *config =
	    json_is_object(text) ? json_copy((json_t *)(uintptr_t)text) : json_object();
	int rc = 0;

	if (!json_member(config, "format") &&
	    json_object_set_new(config, "format", json_pack("{s:s}", "type", "text")) != 0)
		rc = err_set(err, E_MEMORY, "no memory for a request");
	buf_str(out, ",\"text\":");
	if (rc == 0)
		rc = json_write(config, out, err);
	json_decref(config);
	return rc;
}

/* Nothing is stored, and nothing cut from a conversation, whatever was asked: the answer says so.
 */
static int keep_repeated(struct reading *r, const json_t *root)
{
	static const struct {
		const char *key, *otherwise;
	} table[] = {
	    {"instructions", "null"},
	    {"max_output_tokens", "null"},
	    {"metadata", "{}"},
	    {"parallel_tool_calls", "true"},
	    {"reasoning", "{\"effort\":null,\"summary\":null}"},
	    {"temperature", "null"},
	    {"tool_choice", "\"auto\""},
	    {"tools", "[]"},
	    {"top_logprobs", "0"},
	    {"top_p", "null"},
	    {"user", "null"},
	    {"safety_identifier", "null"},
	    {"prompt_cache_key", "null"},
	};
	struct buf out = BUF_INIT(SIZE_MAX / 2);
	int rc = 0;

	buf_str(&out, "\"background\":false,\"previous_response_id\":null,\"store\":false,"
		      "\"service_tier\":\"default\",\"truncation\":\"disabled\"");
	for (size_t i = 0; rc == 0 && i < sizeof table / sizeof table[0]; i++) {
		const json_t *v = json_member(root, table[i].key);

		buf_printf(&out, ",\"%s\":", table[i].key);
		if (v)
			rc = json_write(v, &out, r->err);
		else
			buf_str(&out, table[i].otherwise);
	}
	if (rc == 0)
		rc = put_text_config(&out, json_member(root, "text"), r->err);
	if (rc == 0 && out.failed)
		rc = reading_no_memory(r);
	if (rc == 0)
		rc = reading_copy(r, buf_view(&out), &r->req->repeated);
	buf_free(&out);
	return rc;
}

/* Order matters only for which of several errors is told. */
static int read_all(struct reading *r, const json_t *root, size_t limit)
{
	struct inference_request *req = r->req;
	int rc = refuse_unsupported(r, root);

	req->choices = 1;
	req->include_usage = true;
	if (rc == 0)
		rc = reading_model(r, root, "model", req->model);
	if (rc == 0)
		rc = read_input(r, root, limit);
	if (rc == 0)
		rc = read_tools(r, root);
	if (rc == 0)
		rc = read_format(r, root);
	if (rc == 0)
		rc = read_effort(r, root);
	if (rc == 0)
		rc = read_include(r, root);
	if (rc == 0)
		rc = read_sampling(r, root);
	if (rc == 0)
		rc = reading_flag(r, root, NULL, "stream", &req->stream);
	return rc ? rc : keep_repeated(r, root);
}

int responses_parse(void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	struct reading r;
	json_t *root;
	int rc = reading_begin(&r, mem, body, &root, err);

	if (rc == 0)
		rc = read_all(&r, root, reading_text_limit(body));
	return reading_end(&r, root, rc, out);
}
