/* Chat completion requests: messages, tools, and what depends on them. */
#include "dialect/openai_read_priv.h"

#include <stdio.h>
#include <talloc.h>

#define CALL_ID_MAX 32

/* ---- content ------------------------------------------------------------------------------- */

/* A part of a message's content, which stands in messages[i].content[k]. */
struct part {
	const struct jnode *v;
	size_t i, k;
	struct inference_part out;
};

static int bad_part(
    struct openai_reading *r, const struct part *p, int code, const char *member, const char *why)
{
	return openai_bad(r, code, why, "messages[%zu].content[%zu]%s", p->i, p->k, member);
}

static int read_image(struct openai_reading *r, struct part *p)
{
	const struct jnode *image = jget(p->v, "image_url");
	/* Some clients give the address itself. */
	const struct jnode *url = jis(image, J_TEXT) ? image : jget(image, "url");
	struct bytes text = jtext(url);

	if (!jis(url, J_TEXT))
		return bad_part(
		    r, p, E_INVALID, ".image_url.url", url ? "must be a string" : "is required");
	if (!(text.n > 5 && memcmp(text.p, "data:", 5) == 0) &&
	    !(text.n > 8 && memcmp(text.p, "https://", 8) == 0) &&
	    !(text.n > 7 && memcmp(text.p, "http://", 7) == 0))
		return bad_part(
		    r, p, E_INVALID, ".image_url.url", "must be an https: or data: address");
	p->out = (struct inference_part){.kind = INFERENCE_PART_IMAGE, .text = text};
	if (jis(jget(image, "detail"), J_TEXT))
		return openai_copy_str(r, jtext(jget(image, "detail")), &p->out.detail);
	return 0;
}

/* p->out.text is the document's: copied by who keeps it. */
static int read_part(struct openai_reading *r, struct part *p)
{
	const struct jnode *type = jget(p->v, "type");
	bool refusal = jtext_is(type, "refusal");
	const struct jnode *text = jget(p->v, refusal ? "refusal" : "text");

	if (p->v->kind != J_OBJECT)
		return bad_part(r, p, E_INVALID, "", "must be an object");
	if (!jis(type, J_TEXT))
		return bad_part(r, p, E_INVALID, ".type", "must be a string");
	if (jtext_is(type, "image_url"))
		return read_image(r, p);
	if (!refusal && !jtext_is(type, "text"))
		return bad_part(
		    r, p, E_UNSUPPORTED, ".type", "only text and image_url are supported");
	if (!jis(text, J_TEXT))
		return bad_part(
		    r, p, E_INVALID, refusal ? ".refusal" : ".text", "must be a string");
	p->out = (struct inference_part){.kind = INFERENCE_PART_TEXT, .text = jtext(text)};
	return 0;
}

/* The texts of parts, joined. */
static int join_parts(struct openai_reading *r, struct inference_message *m,
    const struct inference_part *parts, size_t n)
{
	size_t total = 0;
	char *joined, *at;

	for (size_t k = 0; k < n; k++)
		total += parts[k].kind == INFERENCE_PART_TEXT ? parts[k].text.n : 0;
	joined = at = talloc_size(r->req, total + 1);
	if (!joined)
		return openai_no_memory(r);
	for (size_t k = 0; k < n; k++) {
		if (parts[k].kind != INFERENCE_PART_TEXT || parts[k].text.n == 0)
			continue;
		memcpy(at, parts[k].text.p, parts[k].text.n);
		at += parts[k].text.n;
	}
	*at = 0;
	m->content = bytes_of(joined, total);
	return 0;
}

/* Parts that are text alone are joined; with others among them, they are kept as well. */
static int read_parts(
    struct openai_reading *r, const struct jnode *list, size_t i, struct inference_message *m)
{
	struct inference_part *parts =
	    talloc_array(r->req, struct inference_part, list->n ? list->n : 1);
	struct part p = {.v = jfirst(list), .i = i};
	bool text_only = true;
	int rc = 0;

	if (!parts)
		return openai_no_memory(r);
	for (; rc == 0 && p.v; p.v = jnext(list, p.v), p.k++) {
		rc = read_part(r, &p);
		parts[p.k] = p.out;
		text_only = text_only && p.out.kind == INFERENCE_PART_TEXT;
	}
	if (rc == 0)
		rc = join_parts(r, m, parts, list->n);
	if (rc != 0 || text_only) {
		talloc_free(parts);
		return rc;
	}
	for (size_t k = 0; rc == 0 && k < list->n; k++)
		rc = openai_copy_text(r, parts[k].text, &parts[k].text);
	m->parts = parts;
	m->n_parts = list->n;
	return rc;
}

static int read_content(
    struct openai_reading *r, const struct jnode *message, size_t i, struct inference_message *m)
{
	const struct jnode *content = jget(message, "content");

	if (jis(content, J_ARRAY))
		return read_parts(r, content, i, m);
	if (jhas(content) && content->kind != J_TEXT)
		return openai_bad(r, E_INVALID, "must be a string or an array of parts",
		    "messages[%zu].content", i);
	if (!jhas(content) && strcmp(m->role, "assistant") != 0)
		return openai_bad(r, E_INVALID, "is required", "messages[%zu].content", i);
	if (!jhas(content)) /* an assistant that refused said that instead */
		content = jget(message, "refusal");
	return openai_copy_text(r, jtext(content), &m->content);
}

/* ---- tool calls of messages ---------------------------------------------------------------- */

static int read_function_of_call(struct openai_reading *r, const struct jnode *function,
    const char *where, struct inference_tool_call *call)
{
	const struct jnode *name = jget(function, "name"), *args = jget(function, "arguments");

	if (!jis(name, J_TEXT) || name->n == 0 || name->n >= INFERENCE_TOOL_NAME_MAX)
		return openai_bad(r, E_INVALID, "must be a string", "%s.name", where);
	if (jhas(args) && args->kind != J_TEXT && args->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be a string", "%s.arguments", where);
	if (openai_copy_str(r, jtext(name), &call->name) != 0)
		return E_MEMORY;
	return openai_copy_text(
	    r, jis(args, J_OBJECT) ? jsource(args, r->text) : jtext(args), &call->arguments);
}

/* Where a client left the id out, or the form had none, calls get one by their place. */
static int read_call_id(struct openai_reading *r, const struct jnode *id, size_t i, size_t k,
    struct inference_tool_call *call)
{
	char made[CALL_ID_MAX];

	(void)snprintf(made, sizeof(made), "call_%zu_%zu", i, k);
	return openai_copy_str(
	    r, jis(id, J_TEXT) && id->n > 0 ? jtext(id) : bytes_str(made), &call->id);
}

static int read_call(struct openai_reading *r, const struct jnode *v, size_t i, size_t k,
    struct inference_tool_call *call)
{
	const struct jnode *type = jget(v, "type");
	char where[ERR_PARAM_MAX];
	int rc;

	(void)snprintf(where, sizeof(where), "messages[%zu].tool_calls[%zu]", i, k);
	if (v->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be an object", "%s", where);
	if (jhas(type) && !jtext_is(type, "function"))
		return openai_bad(r, jis(type, J_TEXT) ? E_UNSUPPORTED : E_INVALID,
		    "only functions are supported", "%s.type", where);
	(void)snprintf(where, sizeof(where), "messages[%zu].tool_calls[%zu].function", i, k);
	rc = read_function_of_call(r, jget(v, "function"), where, call);
	return rc ? rc : read_call_id(r, jget(v, "id"), i, k, call);
}

static int read_calls(
    struct openai_reading *r, const struct jnode *message, size_t i, struct inference_message *m)
{
	const struct jnode *list = jget(message, "tool_calls"),
			   *old = jget(message, "function_call");
	size_t n = jsize(list) > 0 ? jsize(list) : jis(old, J_OBJECT) ? 1 : 0;
	char where[ERR_PARAM_MAX];
	size_t k = 0;
	int rc = 0;

	if (jhas(list) && list->kind != J_ARRAY)
		return openai_bad(r, E_INVALID, "must be an array", "messages[%zu].tool_calls", i);
	if (n == 0)
		return 0;
	m->tool_calls = talloc_zero_array(r->req, struct inference_tool_call, (unsigned)n);
	if (!m->tool_calls)
		return openai_no_memory(r);
	m->n_tool_calls = n;
	for (const struct jnode *v = jfirst(list); rc == 0 && v; v = jnext(list, v), k++)
		rc = read_call(r, v, i, k, &m->tool_calls[k]);
	if (k > 0)
		return rc;
	(void)snprintf(where, sizeof(where), "messages[%zu].function_call", i);
	rc = read_function_of_call(r, old, where, &m->tool_calls[0]);
	return rc ? rc : read_call_id(r, NULL, i, 0, &m->tool_calls[0]);
}

/* ---- messages ------------------------------------------------------------------------------ */

static int read_role(struct openai_reading *r, const struct jnode *message, size_t i, char **out)
{
	static const char *const known[][2] = {{"system", "system"}, {"developer", "developer"},
	    {"user", "user"}, {"assistant", "assistant"}, {"tool", "tool"}, {"function", "tool"}};
	const struct jnode *role = jget(message, "role");

	if (!jis(role, J_TEXT))
		return openai_bad(r, E_INVALID, jhas(role) ? "must be a string" : "is required",
		    "messages[%zu].role", i);
	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
		if (jtext_is(role, known[k][0]))
			return openai_copy_str(r, bytes_str(known[k][1]), out);
	return openai_bad(r, E_INVALID, "must be one of system, developer, user, assistant, tool",
	    "messages[%zu].role", i);
}

/* A member that is a string, or absent. */
static int read_str(
    struct openai_reading *r, const struct jnode *message, const char *key, size_t i, char **out)
{
	const struct jnode *v = jget(message, key);

	if (!jhas(v))
		return 0;
	if (v->kind != J_TEXT)
		return openai_bad(r, E_INVALID, "must be a string", "messages[%zu].%s", i, key);
	return openai_copy_str(r, jtext(v), out);
}

/* The old form answers the call before it, by its name alone. */
static int answer_last_call(struct openai_reading *r, size_t i, struct inference_message *m)
{
	for (size_t k = i; k-- > 0;) {
		const struct inference_message *before = &r->req->messages[k];

		if (before->n_tool_calls > 0)
			return openai_copy_str(
			    r, bytes_str(before->tool_calls[0].id), &m->tool_call_id);
	}
	return 0;
}

static int read_message(struct openai_reading *r, const struct jnode *message, size_t i)
{
	struct inference_message *m = &r->req->messages[i];
	const struct jnode *thoughts = jget(message, "reasoning_content");
	int rc;

	if (message->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be an object", "messages[%zu]", i);
	if (!jhas(thoughts))
		thoughts = jget(message, "reasoning");
	rc = read_role(r, message, i, &m->role);
	if (rc == 0)
		rc = read_calls(r, message, i, m);
	if (rc == 0)
		rc = read_content(r, message, i, m);
	if (rc == 0)
		rc = read_str(r, message, "name", i, &m->name);
	if (rc == 0)
		rc = read_str(r, message, "tool_call_id", i, &m->tool_call_id);
	if (rc == 0 && jtext_is(jget(message, "role"), "function"))
		rc = answer_last_call(r, i, m);
	if (rc == 0 && jis(thoughts, J_TEXT))
		rc = openai_copy_text(r, jtext(thoughts), &m->reasoning);
	return rc;
}

static int read_messages(struct openai_reading *r)
{
	const struct jnode *list = r->f[F_messages];
	size_t i = 0;
	int rc = 0;

	if (!list)
		return openai_bad(r, E_INVALID, "is required", "messages");
	if (list->kind != J_ARRAY || list->n == 0)
		return openai_bad(
		    r, E_INVALID, "must be an array of at least one message", "messages");
	if (list->n > INFERENCE_MESSAGES_MAX)
		return openai_bad(r, E_INVALID, "has too many elements", "messages");
	r->req->messages = talloc_zero_array(r->req, struct inference_message, list->n);
	if (!r->req->messages)
		return openai_no_memory(r);
	r->req->n_messages = list->n;
	for (const struct jnode *v = jfirst(list); rc == 0 && v; v = jnext(list, v))
		rc = read_message(r, v, i++);
	return rc;
}

/* ---- tools --------------------------------------------------------------------------------- */

static int read_function(
    struct openai_reading *r, const struct jnode *v, const char *where, struct inference_tool *tool)
{
	const struct jnode *name = jget(v, "name"), *text = jget(v, "description");
	const struct jnode *schema = jget(v, "parameters");
	char strict[ERR_PARAM_MAX + 8];
	int rc;

	(void)snprintf(strict, sizeof(strict), "%s.strict", where);
	if (!jis(name, J_TEXT) || name->n == 0)
		return openai_bad(r, E_INVALID, jhas(name) ? "must be a string" : "is required",
		    "%s.name", where);
	if (name->n >= INFERENCE_TOOL_NAME_MAX)
		return openai_bad(r, E_INVALID, "is too long", "%s.name", where);
	if (jhas(schema) && schema->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be an object", "%s.parameters", where);
	if (jhas(schema) && jsource(schema, r->text).n > INFERENCE_SCHEMA_MAX)
		return openai_bad(r, E_INVALID, "is too large", "%s.parameters", where);
	rc = openai_copy_str(r, jtext(name), &tool->name);
	if (rc == 0 && jis(text, J_TEXT))
		rc = openai_copy_str(r, jtext(text), &tool->description);
	if (rc == 0 && jhas(schema))
		rc = openai_copy_text(r, jsource(schema, r->text), &tool->parameters);
	return rc ? rc : openai_read_flag(r, jget(v, "strict"), strict, &tool->strict);
}

static int read_tool(struct openai_reading *r, const struct jnode *v, size_t i, bool old)
{
	const struct jnode *type = jget(v, "type");
	char where[ERR_PARAM_MAX];

	(void)snprintf(where, sizeof(where), old ? "functions[%zu]" : "tools[%zu]", i);
	if (v->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be an object", "%s", where);
	if (!old && !jis(type, J_TEXT))
		return openai_bad(r, E_INVALID, jhas(type) ? "must be a string" : "is required",
		    "%s.type", where);
	if (!old && !jtext_is(type, "function"))
		return openai_bad(
		    r, E_UNSUPPORTED, "only functions are supported", "%s.type", where);
	(void)snprintf(where, sizeof(where), old ? "functions[%zu]" : "tools[%zu].function", i);
	return read_function(r, old ? v : jget(v, "function"), where, &r->req->tools[i]);
}

static int read_tool_list(struct openai_reading *r, const struct jnode *list, bool old)
{
	const char *name = old ? "functions" : "tools";
	size_t i = 0;
	int rc = 0;

	if (list->kind != J_ARRAY)
		return openai_bad(r, E_INVALID, "must be an array", "%s", name);
	if (list->n > INFERENCE_TOOLS_MAX)
		return openai_bad(r, E_INVALID, "has too many elements", "%s", name);
	if (list->n == 0)
		return 0;
	r->req->tools = talloc_zero_array(r->req, struct inference_tool, list->n);
	if (!r->req->tools)
		return openai_no_memory(r);
	r->req->n_tools = list->n;
	r->req->function_call = old;
	r->req->no_parallel_tool_calls = old;
	for (const struct jnode *v = jfirst(list); rc == 0 && v; v = jnext(list, v))
		rc = read_tool(r, v, i++, old);
	return rc;
}

static bool has_tool(const struct inference_request *req, struct bytes name)
{
	for (size_t i = 0; i < req->n_tools; i++)
		if (bytes_equal(bytes_str(req->tools[i].name), name))
			return true;
	return false;
}

/* "none", "auto", "required" (of tools only), or an object with the name of a function. */
static int read_choice_of(
    struct openai_reading *r, const struct jnode *v, const struct jnode *name, const char *field)
{
	bool old = r->f[F_tool_choice] != v;

	if (jtext_is(v, "none"))
		r->req->tool_choice = TOOL_CHOICE_NONE;
	else if (!old && jtext_is(v, "required"))
		r->req->tool_choice = TOOL_CHOICE_REQUIRED;
	else if (jis(name, J_TEXT))
		r->req->tool_choice = TOOL_CHOICE_NAMED;
	else if (!jtext_is(v, "auto"))
		return openai_bad(r, v->kind == J_OBJECT ? E_UNSUPPORTED : E_INVALID,
		    "must be none, auto, required, or a function", "%s", field);
	if (r->req->n_tools == 0 && (r->req->tool_choice == TOOL_CHOICE_REQUIRED ||
					r->req->tool_choice == TOOL_CHOICE_NAMED))
		return openai_bad(r, E_INVALID, "is given without any tools", "%s", field);
	if (r->req->tool_choice != TOOL_CHOICE_NAMED)
		return 0;
	if (!has_tool(r->req, jtext(name)))
		return openai_bad(r, E_INVALID, "names no tool of the request", "%s", field);
	return openai_copy_str(r, jtext(name), &r->req->tool_name);
}

static int read_tool_choice(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_tool_choice], *old = r->f[F_function_call];

	if (v)
		return read_choice_of(r, v,
		    jtext_is(jget(v, "type"), "function") ? jget(jget(v, "function"), "name")
							  : NULL,
		    "tool_choice");
	return old ? read_choice_of(r, old, jget(old, "name"), "function_call") : 0;
}

static int read_tools(struct openai_reading *r)
{
	const struct jnode *parallel = r->f[F_parallel_tool_calls];
	bool many = true;
	int rc = 0;

	if (r->f[F_tools])
		rc = read_tool_list(r, r->f[F_tools], false);
	if (rc == 0 && r->f[F_functions] && r->req->n_tools == 0)
		rc = read_tool_list(r, r->f[F_functions], true);
	if (rc == 0)
		rc = read_tool_choice(r);
	if (rc == 0 && parallel)
		rc = openai_read_flag(r, parallel, "parallel_tool_calls", &many);
	r->req->no_parallel_tool_calls |= !many;
	return rc;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int read_logprobs(struct openai_reading *r)
{
	int64_t top = 0;
	int rc = openai_read_flag(r, r->f[F_logprobs], "logprobs", &r->req->logprobs);

	if (rc == 0)
		rc = openai_read_int(r, F_top_logprobs, 0, INFERENCE_TOP_LOGPROBS, NULL, &top);
	if (rc == 0 && top > 0 && !r->req->logprobs)
		rc = openai_bad(r, E_INVALID, "needs logprobs", "top_logprobs");
	r->req->top_logprobs = (unsigned)top;
	return rc;
}

static int read_effort(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_reasoning_effort];

	if (!v)
		return 0;
	if (v->kind != J_TEXT || v->n >= sizeof(r->req->reasoning_effort))
		return openai_bad(r, E_INVALID, "must be one of none, minimal, low, medium, high",
		    "reasoning_effort");
	memcpy(r->req->reasoning_effort, v->v.text, v->n);
	return 0;
}

static int read_chat(struct openai_reading *r)
{
	int rc = read_messages(r);

	if (rc == 0)
		rc = read_tools(r);
	if (rc == 0)
		rc = read_logprobs(r);
	return rc ? rc : read_effort(r);
}

int openai_request_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	return openai_read_request(mem, body, INFERENCE_CHAT, read_chat, out, err);
}
