/* Requests of the Ollama dialect. Calls of tools have no ids in its older forms: they get some, by
 * their place in the conversation, and results find theirs by the tool's name and their order. */
#include "dialect/ollama.h"
#include "dialect/ollama_priv.h"
#include "dialect/read_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#define IMAGES_MAX       1024 /* of one message */
#define KEEP_ALIVE_MAX_S 1000000000

void ollama_name_normalise(char *name)
{
	static const char tag[] = ":latest";
	size_t n = strlen(name), tag_n = sizeof tag - 1;

	for (; n > tag_n && strcmp(name + n - tag_n, tag) == 0; n -= tag_n)
		name[n - tag_n] = 0;
}

bool ollama_is_load(const struct inference_request *req)
{
	if (req->continuation.text.n > 0)
		return false;
	return req->kind == INFERENCE_CHAT ? req->n_messages == 0
					   : req->prompt.n == 0 && req->suffix.n == 0;
}

/* ---- options ------------------------------------------------------------------------------- */

/* Parameters of sampling that we do not have: only the value that switches them off is fine. */
static int refuse_options(struct reading *r, const json_t *o, const struct place *at)
{
	static const struct {
		const char *key;
		double off, also;
	} table[] = {
	    {"mirostat", 0, 0}, {"tfs_z", 1, 1}, {"typical_p", 1, 1},
	    {"repeat_last_n", 64, 0}, /* 0: no penalty at all, see below */
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const json_t *v = json_member(o, table[i].key);

		if (v && json_number_value(v) != table[i].off &&
		    json_number_value(v) != table[i].also)
			return reading_fail(r, E_UNSUPPORTED, at, table[i].key,
			    "only %g is supported", table[i].off);
	}
	return 0;
}

static int read_integers(struct reading *r, const json_t *o, const struct place *at)
{
	struct inference_sampling *s = &r->req->sampling;
	int64_t top_k = 0, predict = 0;
	int rc = reading_integer(r, o, at, "top_k", 0, INT32_MAX, &s->has_top_k, &top_k);

	s->top_k = (int32_t)top_k;
	if (rc == 0)
		rc =
		    reading_integer(r, o, at, "seed", INT64_MIN, INT64_MAX, &s->has_seed, &s->seed);
	if (s->seed == -1) /* SPEC ollama: any */
		s->has_seed = false;
	/* SPEC ollama: −1 is without end, −2 to the context's end */
	if (rc == 0)
		rc = reading_integer(r, o, at, "num_predict", -2, INT32_MAX, NULL, &predict);
	r->req->max_tokens = predict > 0 ? predict : 0;
	return rc;
}

static int read_options(struct reading *r, const json_t *root)
{
	const struct place at = place_of(NULL, "options");
	const json_t *o = json_member(root, "options"), *last_n;
	struct inference_sampling *s = &r->req->sampling;
	int rc;

	if (!o)
		return 0;
	if (!json_is_object(o))
		return reading_fail(r, E_INVALID, &at, NULL, "must be an object");
	rc = refuse_options(r, o, &at);
	if (rc == 0)
		rc = reading_number(
		    r, o, &at, "temperature", 0, 2, &s->has_temperature, &s->temperature);
	if (rc == 0)
		rc = reading_number(r, o, &at, "top_p", 0, 1, &s->has_top_p, &s->top_p);
	if (rc == 0)
		rc = reading_number(r, o, &at, "min_p", 0, 1, &s->has_min_p, &s->min_p);
	if (rc == 0)
		rc = reading_number(r, o, &at, "repeat_penalty", 0.01, 100, &s->has_repeat_penalty,
		    &s->repeat_penalty);
	if (rc == 0)
		rc = reading_number(
		    r, o, &at, "frequency_penalty", -2, 2, NULL, &s->frequency_penalty);
	if (rc == 0)
		rc = reading_number(
		    r, o, &at, "presence_penalty", -2, 2, NULL, &s->presence_penalty);
	last_n = json_member(o, "repeat_last_n");
	if (last_n && json_number_value(last_n) == 0) {
		s->repeat_penalty = 1;
		s->frequency_penalty = s->presence_penalty = 0;
	}
	if (rc == 0)
		rc = read_integers(r, o, &at);
	return rc ? rc : reading_stops(r, o, &at, "stop");
}

/* ---- what both requests have --------------------------------------------------------------- */

/* Seconds of a Go duration: "1h30m", "300ms", "-1s", "0". false when it is none. */
static bool duration_of(const char *text, double *out)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\xc2\xb5s", 1e-6}, {"ms", 1e-3}, {"s", 1},
	    {"m", 60}, {"h", 3600}};
	double sign = *text == '-' ? -1 : 1, total = 0;

	if (*text == '-' || *text == '+')
		text++;
	if (strcmp(text, "0") == 0) {
		*out = 0;
		return true;
	}
	do {
		size_t i = 0, n = strspn(text, "0123456789.");
		char *end = NULL;
		double v = n > 0 ? strtod(text, &end) : -1;

		if (end != text + n)
			return false;
		text += n;
		n = strcspn(text, "0123456789.");
		while (i < sizeof units / sizeof units[0] &&
		       (strlen(units[i].unit) != n || memcmp(units[i].unit, text, n) != 0))
			i++;
		if (v < 0 || i == sizeof units / sizeof units[0])
			return false;
		total += v * units[i].s;
		text += n;
	} while (*text);
	*out = sign * total;
	return true;
}

/* Rounded up: a moment is not nothing. */
static int64_t whole_seconds(double s)
{
	int64_t n = s < KEEP_ALIVE_MAX_S ? (int64_t)s : KEEP_ALIVE_MAX_S;

	return n < KEEP_ALIVE_MAX_S && (double)n < s ? n + 1 : n;
}

static int read_keep_alive(struct reading *r, const json_t *root)
{
	const json_t *v = json_member(root, "keep_alive");
	double s = 0;

	if (!v)
		return 0;
	if (json_is_number(v))
		s = json_number_value(v);
	else if (!json_is_string(v) || !duration_of(json_string_value(v), &s))
		return reading_fail(
		    r, E_INVALID, NULL, "keep_alive", "must be seconds or a duration such as 5m");
	r->req->has_keep_alive = true;
	if (s < 0)
		r->req->keep_alive_s = -1;
	else
		r->req->keep_alive_s = whole_seconds(s);
	return 0;
}

/* Levels are for models that have them; true stands for the one in the middle. */
static int read_think(struct reading *r, const json_t *root)
{
	static const char *const levels[] = {"low", "medium", "high", "max"};
	const json_t *v = json_member(root, "think");
	const char *effort = NULL;

	if (!v)
		return 0;
	if (json_is_boolean(v))
		effort = json_is_true(v) ? "medium" : "none";
	for (size_t i = 0; json_is_string(v) && i < sizeof levels / sizeof levels[0]; i++)
		if (strcmp(levels[i], json_string_value(v)) == 0)
			effort = levels[i];
	if (!effort)
		return reading_fail(
		    r, E_INVALID, NULL, "think", "must be true, false, low, medium, high or max");
	memcpy(r->req->reasoning_effort, effort, strlen(effort) + 1);
	return 0;
}

static int read_format(struct reading *r, const json_t *root)
{
	const json_t *v = json_member(root, "format");
	const char *s = json_is_string(v) ? json_string_value(v) : NULL;

	if (!v || (s && *s == 0))
		return 0;
	if (s && strcmp(s, "json") == 0) {
		r->req->format = FORMAT_JSON;
		return 0;
	}
	if (s)
		return reading_fail(r, E_INVALID, NULL, "format", "must be json or a JSON Schema");
	r->req->format = FORMAT_SCHEMA;
	return reading_schema(r, root, NULL, "format", REQUIRED, &r->req->schema);
}

static int read_common(struct reading *r, const json_t *root)
{
	struct inference_request *req = r->req;
	int64_t top = 0;
	int rc = reading_model(r, root, "model", req->model);

	ollama_name_normalise(req->model);
	req->choices = 1;
	req->stream = req->include_usage = true;
	if (rc == 0)
		rc = reading_flag(r, root, NULL, "stream", &req->stream);
	if (rc == 0)
		rc = read_options(r, root);
	if (rc == 0)
		rc = read_keep_alive(r, root);
	if (rc == 0)
		rc = read_think(r, root);
	if (rc == 0)
		rc = read_format(r, root);
	if (rc == 0)
		rc = reading_flag(r, root, NULL, "logprobs", &req->logprobs);
	if (rc == 0)
		rc = reading_integer(
		    r, root, NULL, "top_logprobs", 0, INFERENCE_TOP_LOGPROBS, NULL, &top);
	req->top_logprobs = (unsigned)top;
	return rc;
}

/* ---- messages ------------------------------------------------------------------------------ */

/* The last message with calls, and which of them have their results. */
struct calls {
	size_t message;
	bool any, answered[READING_CALLS_MAX];
};

/* Pictures are bare base64: their kind is told by how they begin. */
static int read_images(
    struct reading *r, const json_t *o, const struct place *at, struct gathering *g)
{
	const json_t *list;
	int rc = reading_array(r, o, at, "images", IMAGES_MAX, &list);

	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		const char *type = image_type_of_base64(json_text(v));
		char prefix[64];

		if (!json_is_string(v) || !type) {
			const struct place in = place_at(at, "images", i);

			return reading_fail(r, E_INVALID, &in, NULL,
			    "must be a PNG, JPEG, GIF or WebP picture in base64");
		}
		if (snprintf(prefix, sizeof prefix, "data:%s;base64,", type) < 0)
			prefix[0] = 0;
		rc = gather_image(g, bytes_str(prefix), json_text(v), NULL);
	}
	return rc;
}

static int read_content(struct reading *r, const json_t *o, const struct place *at, const char *key,
    size_t limit, struct inference_message *m)
{
	const json_t *content = json_member(o, key);
	struct gathering g;
	int rc = 0;

	if (content && !json_is_string(content))
		return reading_fail(r, E_INVALID, at, key, "must be a string");
	gather_begin(&g, r, "", limit);
	if (json_string_length(content) > 0)
		rc = gather_text(&g, json_text(content));
	if (rc == 0)
		rc = read_images(r, o, at, &g);
	return gathered(&g, m, rc);
}

static int read_call(struct reading *r, const json_t *v, const struct place *at, size_t message,
    struct inference_message *m)
{
	const struct place in = place_of(at, "function");
	const json_t *function = json_member(v, "function");
	const json_t *arguments = json_member(function, "arguments");
	struct inference_tool_call *call;
	int rc = reading_add_call(r, m, &call);

	if (rc == 0)
		rc = reading_string(r, v, at, "id", OPTIONAL, &call->id);
	if (rc == 0)
		rc = reading_tool_name(r, function, &in, &call->name);
	if (rc == 0 && arguments && !json_is_object(arguments))
		rc = reading_fail(r, E_INVALID, &in, "arguments", "must be an object");
	if (rc == 0 && arguments)
		rc = reading_json(r, arguments, &call->arguments);
	if (rc == 0 && !call->id)
		call->id = talloc_asprintf(r->mem, "call_%zu_%zu", message, m->n_tool_calls - 1);
	return rc == 0 && !call->id ? reading_no_memory(r) : rc;
}

static int read_calls(struct reading *r, const json_t *o, const struct place *at,
    struct inference_message *m, struct calls *calls)
{
	const json_t *list;
	size_t message = r->req->n_messages - 1;
	int rc = reading_array(r, o, at, "tool_calls", READING_CALLS_MAX, &list);

	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const struct place in = place_at(at, "tool_calls", i);

		rc = read_call(r, json_array_get(list, i), &in, message, m);
	}
	if (m->n_tool_calls > 0)
		*calls = (struct calls){.message = message, .any = true};
	return rc;
}

/* Which call a result without an id answers: the first of its tool's that has none yet. */
static void find_call(struct reading *r, struct inference_message *m, struct calls *calls)
{
	const struct inference_message *with = &r->req->messages[calls->message];

	if (!calls->any)
		return;
	for (size_t i = 0; i < with->n_tool_calls; i++) {
		const struct inference_tool_call *call = &with->tool_calls[i];

		if (calls->answered[i] || (m->name && strcmp(m->name, call->name) != 0) ||
		    (m->tool_call_id && strcmp(m->tool_call_id, call->id) != 0))
			continue;
		calls->answered[i] = true;
		m->tool_call_id = call->id;
		return;
	}
}

static int read_message(
    struct reading *r, const json_t *v, const struct place *at, struct calls *calls, size_t limit)
{
	static const char *const roles[] = {"system", "user", "assistant", "tool"};
	const char *role = json_get_string(v, "role", "");
	struct inference_message *m;
	size_t i = 0;
	int rc;

	if (!json_is_object(v))
		return reading_fail(r, E_INVALID, at, NULL, "must be an object");
	while (i < 4 && strcmp(roles[i], role) != 0)
		i++;
	if (i == 4)
		return reading_fail(
		    r, E_INVALID, at, "role", "must be system, user, assistant or tool");
	rc = reading_add_message(r, role, &m);
	if (rc == 0)
		rc = read_content(r, v, at, "content", limit, m);
	if (rc == 0)
		rc = reading_text(r, v, at, "thinking", OPTIONAL, &m->reasoning);
	if (rc == 0)
		rc = read_calls(r, v, at, m, calls);
	if (rc == 0)
		rc = reading_string(r, v, at, "tool_name", OPTIONAL, &m->name);
	if (rc == 0)
		rc = reading_string(r, v, at, "tool_call_id", OPTIONAL, &m->tool_call_id);
	if (rc == 0 && strcmp(role, "tool") == 0)
		find_call(r, m, calls);
	return rc;
}

static void take_prefill(struct inference_request *req)
{
	const struct inference_message *last;

	if (req->n_messages == 0)
		return;
	last = &req->messages[req->n_messages - 1];
	if (strcmp(last->role, "assistant") != 0 || last->n_tool_calls > 0 || last->content.n == 0)
		return;
	req->continuation.text = last->content;
	req->n_messages--;
}

static int read_messages(struct reading *r, const json_t *root, size_t limit)
{
	struct calls calls = {0};
	const json_t *list;
	int rc = reading_array(r, root, NULL, "messages", INFERENCE_MESSAGES_MAX, &list);

	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		const struct place at = place_at(NULL, "messages", i);

		rc = read_message(r, json_array_get(list, i), &at, &calls, limit);
	}
	if (rc == 0)
		take_prefill(r->req);
	return rc;
}

static int read_tool(
    struct reading *r, const json_t *v, const struct place *at, struct inference_tool *t)
{
	const struct place in = place_of(at, "function");
	const json_t *function = json_member(v, "function");
	int rc;

	if (strcmp(json_get_string(v, "type", "function"), "function") != 0)
		return reading_fail(
		    r, E_UNSUPPORTED, at, "type", "only the type function is supported");
	if (!json_is_object(function))
		return reading_fail(r, E_INVALID, &in, NULL, "must be an object");
	rc = reading_tool_name(r, function, &in, &t->name);
	if (rc == 0)
		rc = reading_string(r, function, &in, "description", OPTIONAL, &t->description);
	if (rc == 0)
		rc = reading_schema(r, function, &in, "parameters", OPTIONAL, &t->parameters);
	return rc;
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
	return rc;
}

int ollama_chat_parse(void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	struct reading r;
	json_t *root;
	int rc = reading_begin(&r, mem, body, &root, err);

	if (rc == 0)
		rc = read_common(&r, root);
	if (rc == 0)
		rc = read_messages(&r, root, reading_text_limit(body));
	if (rc == 0)
		rc = read_tools(&r, root);
	return reading_end(&r, root, rc, out);
}

/* ---- generate ------------------------------------------------------------------------------ */

static bool is_given(const json_t *root, const char *key)
{
	const json_t *v = json_member(root, key);

	return v && !(json_is_string(v) && json_string_length(v) == 0) &&
	       !(json_is_array(v) && json_array_size(v) == 0);
}

static int refuse_generate(struct reading *r, const json_t *root, bool bare)
{
	static const struct {
		const char *key, *why;
		bool bare_only;
	} table[] = {
	    {"context", "is not kept here: send the conversation to /api/chat", false},
	    {"template", "the model's own template is used; raw takes prompts without one", false},
	    {"system", "has no place in a prompt without a template", true},
	    {"images", "have no place in a prompt without a template", true},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (is_given(root, table[i].key) && (bare || !table[i].bare_only))
			return reading_fail(
			    r, E_UNSUPPORTED, NULL, table[i].key, "%s", table[i].why);
	return 0;
}

/* A prompt for the template is a conversation of one message. */
static int read_templated(struct reading *r, const json_t *root, size_t limit)
{
	struct inference_message *m;
	int rc = 0;

	if (!is_given(root, "prompt") && !is_given(root, "images"))
		return 0; /* only loads the model */
	if (is_given(root, "system")) {
		rc = reading_add_message(r, "system", &m);
		if (rc == 0)
			rc = reading_text(r, root, NULL, "system", REQUIRED, &m->content);
	}
	if (rc == 0)
		rc = reading_add_message(r, "user", &m);
	return rc ? rc : read_content(r, root, NULL, "prompt", limit, m);
}

static int read_bare(struct reading *r, const json_t *root)
{
	struct inference_request *req = r->req;
	int rc = reading_text(r, root, NULL, "prompt", OPTIONAL, &req->prompt);

	req->kind = INFERENCE_COMPLETION;
	if (rc == 0)
		rc = reading_text(r, root, NULL, "suffix", OPTIONAL, &req->suffix);
	return rc;
}

int ollama_generate_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	struct reading r;
	bool raw = false, bare;
	json_t *root;
	int rc = reading_begin(&r, mem, body, &root, err);

	if (rc == 0)
		rc = reading_flag(&r, root, NULL, "raw", &raw);
	bare = rc == 0 && (raw || is_given(root, "suffix"));
	if (rc == 0)
		rc = refuse_generate(&r, root, bare);
	if (rc == 0)
		rc = read_common(&r, root);
	if (rc == 0)
		rc =
		    bare ? read_bare(&r, root) : read_templated(&r, root, reading_text_limit(body));
	return reading_end(&r, root, rc, out);
}
