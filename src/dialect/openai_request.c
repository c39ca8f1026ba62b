/* Chat completion requests: from JSON to struct inference_request and back. Each parameter has its
 * range here and is named in its error. null means absent everywhere, as clients send it so. */
#include "dialect/json.h"
#include "dialect/openai.h"

#include <stdio.h>
#include <talloc.h>

/* A request being read. */
struct reading {
	json_t *root;
	struct inference_request *req;
	struct err *err;
};

static int fail(struct reading *r, int code, const char *why, const char *name_fmt, ...)
    PRINTF_LIKE(4, 5);

/* Names the parameter and sets the error: "messages[0].role: why". */
static int fail(struct reading *r, int code, const char *why, const char *name_fmt, ...)
{
	char name[ERR_PARAM_MAX];
	va_list ap;

	va_start(ap, name_fmt);
	vsnprintf(name, sizeof(name), name_fmt, ap);
	va_end(ap);
	return err_set_param(r->err, code, name, "%s", why);
}

/* A member that is there and not null. */
static json_t *member(const json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);

	return json_is_null(v) ? NULL : v;
}

static int no_memory(struct reading *r)
{
	return err_set(r->err, E_MEMORY, "no memory for a request");
}

static int copy_text(struct reading *r, struct bytes from, struct bytes *to)
{
	char *p = talloc_size(r->req, from.n + 1);

	if (!p)
		return no_memory(r);
	memcpy(p, from.p, from.n);
	p[from.n] = 0;
	*to = bytes_of(p, from.n);
	return 0;
}

static struct bytes text_of(const json_t *string)
{
	return bytes_of(json_string_value(string), json_string_length(string));
}

/* ---- messages ------------------------------------------------------------------------------ */

/* The text of one content part, or an error. */
static int part_text(struct reading *r, const json_t *part, size_t i, size_t k, struct bytes *out)
{
	const json_t *type = member(part, "type"), *text = member(part, "text");

	if (!json_is_object(part))
		return fail(r, E_INVALID, "must be an object", "messages[%zu].content[%zu]", i, k);
	if (!json_is_string(type))
		return fail(
		    r, E_INVALID, "must be a string", "messages[%zu].content[%zu].type", i, k);
	if (strcmp(json_string_value(type), "text") != 0)
		return fail(r, E_UNSUPPORTED, "only parts of type text are supported",
		    "messages[%zu].content[%zu].type", i, k);
	if (!json_is_string(text))
		return fail(
		    r, E_INVALID, "must be a string", "messages[%zu].content[%zu].text", i, k);
	*out = text_of(text);
	return 0;
}

/* An array of parts: their texts joined. */
static int read_parts(struct reading *r, const json_t *parts, size_t i, struct bytes *out)
{
	size_t total = 0, k;
	struct bytes text;
	const json_t *part;
	char *joined;
	int rc;

	json_array_foreach(parts, k, part)
	{
		if ((rc = part_text(r, part, i, k, &text)) != 0)
			return rc;
		total += text.n;
	}
	joined = talloc_size(r->req, total + 1);
	if (!joined)
		return no_memory(r);
	*out = bytes_of(joined, total);
	json_array_foreach(parts, k, part)
	{
		text = text_of(json_object_get(part, "text"));
		memcpy(joined, text.p, text.n);
		joined += text.n;
	}
	*joined = 0;
	return 0;
}

static int read_role(struct reading *r, const json_t *message, size_t i, char **out)
{
	static const char *const known[] = {"system", "developer", "user", "assistant"};
	const json_t *role = member(message, "role");

	if (!json_is_string(role))
		return fail(r, E_INVALID, role ? "must be a string" : "is required",
		    "messages[%zu].role", i);
	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
		if (strcmp(json_string_value(role), known[k]) == 0) {
			*out = talloc_strdup(r->req, known[k]);
			return *out ? 0 : no_memory(r);
		}
	if (strcmp(json_string_value(role), "tool") == 0 ||
	    strcmp(json_string_value(role), "function") == 0)
		return fail(
		    r, E_UNSUPPORTED, "tool messages are not supported", "messages[%zu].role", i);
	return fail(r, E_INVALID, "must be one of system, developer, user, assistant",
	    "messages[%zu].role", i);
}

static int read_message(struct reading *r, const json_t *message, size_t i)
{
	struct inference_message *m = &r->req->messages[i];
	const json_t *content = member(message, "content");
	int rc;

	if (!json_is_object(message))
		return fail(r, E_INVALID, "must be an object", "messages[%zu]", i);
	if ((rc = read_role(r, message, i, &m->role)) != 0)
		return rc;
	if (json_array_size(member(message, "tool_calls")) > 0)
		return fail(
		    r, E_UNSUPPORTED, "tools are not supported", "messages[%zu].tool_calls", i);
	if (json_is_string(content))
		return copy_text(r, text_of(content), &m->content);
	if (json_is_array(content))
		return read_parts(r, content, i, &m->content);
	if (!content && json_object_get(message, "content") && strcmp(m->role, "assistant") == 0)
		return copy_text(r, bytes_str(""), &m->content);
	return fail(r, E_INVALID, content ? "must be a string or an array of parts" : "is required",
	    "messages[%zu].content", i);
}

static int read_messages(struct reading *r)
{
	const json_t *list = member(r->root, "messages");
	size_t n = json_array_size(list);
	int rc = 0;

	if (!list)
		return fail(r, E_INVALID, "is required", "messages");
	if (!json_is_array(list) || n == 0)
		return fail(r, E_INVALID, "must be an array of at least one message", "messages");
	if (n > INFERENCE_MESSAGES_MAX)
		return fail(r, E_INVALID, "has too many elements", "messages");
	r->req->messages = talloc_zero_array(r->req, struct inference_message, (unsigned)n);
	if (!r->req->messages)
		return no_memory(r);
	r->req->n_messages = n;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = read_message(r, json_array_get(list, i), i);
	return rc;
}

/* ---- numbers, flags, strings --------------------------------------------------------------- */

struct number_range {
	const char *key;
	double min, max;
	const char *why;
};

/* Leaves *has and *out alone when the member is absent. */
static int read_number(struct reading *r, const struct number_range *range, bool *has, double *out)
{
	const json_t *v = member(r->root, range->key);

	if (!v)
		return 0;
	if (!json_is_number(v))
		return fail(r, E_INVALID, "must be a number", "%s", range->key);
	/* written so that no-numbers fail */
	if (!(json_number_value(v) >= range->min && json_number_value(v) <= range->max))
		return fail(r, E_INVALID, range->why, "%s", range->key);
	*out = json_number_value(v);
	if (has)
		*has = true;
	return 0;
}

static int read_integer(
    struct reading *r, const char *key, int64_t min, int64_t max, bool *has, int64_t *out)
{
	const json_t *v = member(r->root, key);

	if (!v)
		return 0;
	if (!json_is_integer(v))
		return fail(r, E_INVALID, "must be an integer", "%s", key);
	if (json_integer_value(v) < min)
		return fail(
		    r, E_INVALID, min == 1 ? "must be at least 1" : "is too small", "%s", key);
	if (json_integer_value(v) > max)
		return fail(r, E_INVALID, "is too large", "%s", key);
	*out = json_integer_value(v);
	if (has)
		*has = true;
	return 0;
}

static int read_flag(
    struct reading *r, const json_t *object, const char *key, const char *name, bool *out)
{
	const json_t *v = member(object, key);

	if (v && !json_is_boolean(v))
		return fail(r, E_INVALID, "must be true or false", "%s", name);
	*out = json_is_true(v);
	return 0;
}

static int read_sampling(struct reading *r)
{
	static const struct number_range ranges[] = {
	    {"temperature", 0, 2, "must be between 0 and 2"},
	    {"top_p", 0, 1, "must be between 0 and 1"},
	    {"min_p", 0, 1, "must be between 0 and 1"},
	    {"repeat_penalty", 0.01, 100, "must be between 0.01 and 100"},
	    {"repetition_penalty", 0.01, 100, "must be between 0.01 and 100"}, /* vLLM's name */
	    {"frequency_penalty", -2, 2, "must be between -2 and 2"},
	    {"presence_penalty", -2, 2, "must be between -2 and 2"},
	};
	struct inference_sampling *s = &r->req->sampling;
	bool *has[] = {&s->has_temperature, &s->has_top_p, &s->has_min_p, &s->has_repeat_penalty,
	    &s->has_repeat_penalty, NULL, NULL};
	double *out[] = {&s->temperature, &s->top_p, &s->min_p, &s->repeat_penalty,
	    &s->repeat_penalty, &s->frequency_penalty, &s->presence_penalty};
	int64_t top_k = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(ranges) / sizeof(ranges[0]); i++)
		rc = read_number(r, &ranges[i], has[i], out[i]);
	if (rc == 0)
		rc = read_integer(r, "top_k", 0, INT32_MAX, &s->has_top_k, &top_k);
	s->top_k = (int32_t)top_k;
	if (rc == 0)
		rc = read_integer(r, "seed", INT64_MIN, INT64_MAX, &s->has_seed, &s->seed);
	return rc;
}

static int read_model(struct reading *r)
{
	const json_t *v = member(r->root, "model");

	if (!v)
		return 0;
	if (!json_is_string(v))
		return fail(r, E_INVALID, "must be a string", "model");
	if (json_string_length(v) >= MODEL_ID_MAX)
		return fail(r, E_INVALID, "is too long", "model");
	memcpy(r->req->model, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

static int read_one_stop(struct reading *r, const json_t *v)
{
	if (!json_is_string(v) || json_string_length(v) == 0)
		return fail(
		    r, E_INVALID, "must be a string or an array of strings, none empty", "stop");
	if (json_string_length(v) > INFERENCE_STOP_MAX)
		return fail(r, E_INVALID, "has a string of more than 256 bytes", "stop");
	return copy_text(r, text_of(v), &r->req->stop[r->req->n_stop++]);
}

static int read_stops(struct reading *r)
{
	const json_t *v = member(r->root, "stop");
	int rc = 0;

	if (!v || !json_is_array(v))
		return v ? read_one_stop(r, v) : 0;
	if (json_array_size(v) > OPENAI_STOPS_MAX)
		return fail(r, E_INVALID, "has more than 4 strings", "stop");
	for (size_t i = 0; rc == 0 && i < json_array_size(v); i++)
		rc = read_one_stop(r, json_array_get(v, i));
	return rc;
}

static int read_limits(struct reading *r)
{
	struct inference_request *req = r->req;
	const json_t *options = member(r->root, "stream_options");
	int rc = read_integer(r, "max_tokens", 1, INT64_MAX, NULL, &req->max_tokens);

	if (rc == 0) /* the newer name wins */
		rc = read_integer(r, "max_completion_tokens", 1, INT64_MAX, NULL, &req->max_tokens);
	if (rc == 0)
		rc = read_flag(r, r->root, "stream", "stream", &req->stream);
	if (rc == 0 && options && !json_is_object(options))
		rc = fail(r, E_INVALID, "must be an object", "stream_options");
	if (rc == 0)
		rc = read_flag(r, options, "include_usage", "stream_options.include_usage",
		    &req->include_usage);
	return rc;
}

/* ---- what we do not do --------------------------------------------------------------------- */

static bool is_one(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) == 1;
}

static bool is_zero(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) == 0;
}

static bool is_false(const json_t *v)
{
	return json_is_false(v);
}

static bool is_empty(const json_t *v)
{
	return (json_is_array(v) && json_array_size(v) == 0) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

/* "auto" without tools is "none". */
static bool is_no_choice(const json_t *v)
{
	return json_is_string(v) && (strcmp(json_string_value(v), "none") == 0 ||
					strcmp(json_string_value(v), "auto") == 0);
}

static bool is_text_format(const json_t *v)
{
	return json_is_object(v) && strcmp(json_get_string(v, "type", ""), "text") == 0;
}

static bool is_text_only(const json_t *v)
{
	const char *s = json_string_value(json_array_get(v, 0));

	return json_array_size(v) == 1 && s && strcmp(s, "text") == 0;
}

static bool is_never(const json_t *v)
{
	return false;
}

/* Ignoring these would give another answer than the one asked for. */
static int refuse_unsupported(struct reading *r)
{
	static const struct {
		const char *key;
		bool (*harmless)(const json_t *v);
		const char *why;
	} table[] = {
	    {"n", is_one, "only one choice is supported"},
	    {"best_of", is_one, "only one choice is supported"},
	    {"tools", is_empty, "tools are not supported"},
	    {"tool_choice", is_no_choice, "tools are not supported"},
	    {"functions", is_empty, "functions are not supported"},
	    {"function_call", is_no_choice, "functions are not supported"},
	    {"logprobs", is_false, "log probabilities are not supported"},
	    {"top_logprobs", is_zero, "log probabilities are not supported"},
	    {"logit_bias", is_empty, "logit bias is not supported"},
	    {"response_format", is_text_format, "only the type text is supported"},
	    {"modalities", is_text_only, "only text is supported"},
	    {"audio", is_never, "audio is not supported"},
	    {"web_search_options", is_never, "web search is not supported"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const json_t *v = member(r->root, table[i].key);

		if (v && !table[i].harmless(v))
			return fail(r, E_UNSUPPORTED, table[i].why, "%s", table[i].key);
	}
	return 0;
}

int openai_request_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err)
{
	struct reading r = {.err = err};
	int rc;

	rc = json_read(body, &r.root, err);
	if (rc != 0)
		return rc;
	r.req = talloc_zero(mem, struct inference_request);
	if (!r.req)
		rc = no_memory(&r);
	else
		r.req->choices = 1;
	if (rc == 0 && !json_is_object(r.root))
		rc = err_set(err, E_INVALID, "the request must be a JSON object");
	if (rc == 0)
		rc = refuse_unsupported(&r);
	if (rc == 0)
		rc = read_model(&r);
	if (rc == 0)
		rc = read_messages(&r);
	if (rc == 0)
		rc = read_sampling(&r);
	if (rc == 0)
		rc = read_limits(&r);
	if (rc == 0)
		rc = read_stops(&r);
	json_decref(r.root);
	if (rc == 0)
		*out = r.req;
	else
		talloc_free(r.req);
	return rc;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put_number(struct buf *out, const char *key, bool has, double v)
{
	if (has)
		buf_printf(out, ",\"%s\":%.17g", key, v);
}

static void put_sampling(struct buf *out, const struct inference_sampling *s)
{
	put_number(out, "temperature", s->has_temperature, s->temperature);
	put_number(out, "top_p", s->has_top_p, s->top_p);
	put_number(out, "min_p", s->has_min_p, s->min_p);
	put_number(out, "repeat_penalty", s->has_repeat_penalty, s->repeat_penalty);
	put_number(out, "frequency_penalty", s->frequency_penalty != 0, s->frequency_penalty);
	put_number(out, "presence_penalty", s->presence_penalty != 0, s->presence_penalty);
	if (s->has_top_k)
		buf_printf(out, ",\"top_k\":%d", (int)s->top_k);
	if (s->has_seed)
		buf_printf(out, ",\"seed\":%lld", (long long)s->seed);
}

int openai_request_write(const struct inference_request *req, struct buf *out, struct err *err)
{
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(req->model));
	buf_str(out, ",\"messages\":[");
	for (size_t i = 0; i < req->n_messages; i++) {
		buf_str(out, i ? ",{\"role\":" : "{\"role\":");
		json_put_text(out, bytes_str(req->messages[i].role));
		buf_str(out, ",\"content\":");
		json_put_text(out, req->messages[i].content);
		buf_u8(out, '}');
	}
	buf_u8(out, ']');
	put_sampling(out, &req->sampling);
	if (req->max_tokens > 0)
		buf_printf(out, ",\"max_tokens\":%lld", (long long)req->max_tokens);
	if (req->n_stop > 0)
		buf_str(out, ",\"stop\":[");
	for (size_t i = 0; i < req->n_stop; i++) {
		if (i > 0)
			buf_u8(out, ',');
		json_put_text(out, req->stop[i]);
	}
	if (req->n_stop > 0)
		buf_u8(out, ']');
	if (req->stream)
		buf_str(out, ",\"stream\":true");
	if (req->include_usage)
		buf_str(out, ",\"stream_options\":{\"include_usage\":true}");
	buf_u8(out, '}');
	return buf_ok(out, err);
}
