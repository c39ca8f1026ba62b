/* Reading requests: see read_priv.h. Sizes follow from the body's, which the server has bounded;
 * counts have the limits of inference.h. */
#include "dialect/read_priv.h"

#include <stdio.h>
#include <talloc.h>

int reading_begin(struct reading *r, void *mem, struct bytes body, json_t **root, struct err *err)
{
	int rc = json_read(body, root, err);

	*r = (struct reading){.err = err};
	if (rc != 0)
		return rc;
	r->req = talloc_zero(mem, struct inference_request);
	r->mem = r->req;
	if (!r->req)
		return reading_no_memory(r);
	if (!json_is_object(*root))
		return err_set(err, E_INVALID, "the request must be a JSON object");
	return 0;
}

int reading_end(struct reading *r, json_t *root, int rc, struct inference_request **out)
{
	json_decref(root);
	if (rc == 0)
		*out = r->req;
	else
		talloc_free(r->req);
	return rc;
}

/* Each text may be followed by a separator, and needs at least as many bytes of JSON around it. */
size_t reading_text_limit(struct bytes body)
{
	return body.n + 64;
}

/* ---- places and errors --------------------------------------------------------------------- */

struct place place_of(const struct place *parent, const char *key)
{
	struct place p;

	if (snprintf(p.name, sizeof p.name, "%s%s%s", parent ? parent->name : "", parent ? "." : "",
		key) < 0)
		p.name[0] = 0;
	return p;
}

struct place place_at(const struct place *parent, const char *key, size_t i)
{
	struct place p;

	if (snprintf(p.name, sizeof p.name, "%s%s%s[%zu]", parent ? parent->name : "",
		parent && *key ? "." : "", key, i) < 0)
		p.name[0] = 0;
	return p;
}

int reading_fail(
    struct reading *r, int code, const struct place *at, const char *key, const char *why, ...)
{
	struct place p = {""};
	char text[ERR_TEXT_MAX];
	va_list ap;

	if (key)
		p = place_of(at, key);
	else if (at)
		p = *at;
	va_start(ap, why);
	vsnprintf(text, sizeof text, why, ap);
	va_end(ap);
	return p.name[0] ? err_set_param(r->err, code, p.name, "%s", text)
			 : err_set(r->err, code, "%s", text);
}

int reading_no_memory(struct reading *r)
{
	return err_set(r->err, E_MEMORY, "no memory for a request");
}

/* ---- members ------------------------------------------------------------------------------- */

json_t *json_member(const json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);

	return json_is_null(v) ? NULL : v;
}

struct bytes json_text(const json_t *string)
{
	return bytes_of(json_string_value(string), json_string_length(string));
}

int reading_copy(struct reading *r, struct bytes from, struct bytes *to)
{
	char *p = talloc_size(r->mem, from.n + 1);

	if (!p)
		return reading_no_memory(r);
	if (from.n > 0)
		memcpy(p, from.p, from.n);
	p[from.n] = 0;
	*to = bytes_of(p, from.n);
	return 0;
}

int reading_text(struct reading *r, const json_t *o, const struct place *at, const char *key,
    enum presence presence, struct bytes *out)
{
	const json_t *v = json_member(o, key);

	if (!v && presence == OPTIONAL)
		return 0;
	if (!json_is_string(v))
		return reading_fail(r, E_INVALID, at, key, v ? "must be a string" : "is required");
	return reading_copy(r, json_text(v), out);
}

int reading_string(struct reading *r, const json_t *o, const struct place *at, const char *key,
    enum presence presence, char **out)
{
	struct bytes text = {NULL, 0};
	int rc = reading_text(r, o, at, key, presence, &text);

	if (rc == 0 && text.p)
		*out = (char *)(uintptr_t)text.p;
	return rc;
}

int reading_json(struct reading *r, const json_t *v, struct bytes *out)
{
	struct buf text = BUF_INIT(SIZE_MAX / 2);
	int rc = json_write(v, &text, r->err);

	if (rc == 0)
		rc = reading_copy(r, buf_view(&text), out);
	buf_free(&text);
	return rc;
}

int reading_schema(struct reading *r, const json_t *o, const struct place *at, const char *key,
    enum presence presence, struct bytes *out)
{
	const json_t *v = json_member(o, key);
	int rc;

	if (!v && presence == OPTIONAL)
		return 0;
	if (!json_is_object(v))
		return reading_fail(
		    r, E_INVALID, at, key, v ? "must be a JSON Schema, an object" : "is required");
	rc = reading_json(r, v, out);
	if (rc == 0 && out->n > INFERENCE_SCHEMA_MAX)
		rc = reading_fail(r, E_TOO_LARGE, at, key, "has more than %u bytes",
		    (unsigned)INFERENCE_SCHEMA_MAX);
	return rc;
}

int reading_number(struct reading *r, const json_t *o, const struct place *at, const char *key,
    double min, double max, bool *has, double *out)
{
	const json_t *v = json_member(o, key);

	if (!v)
		return 0;
	if (!json_is_number(v))
		return reading_fail(r, E_INVALID, at, key, "must be a number");
	/* written so that no-numbers fail */
	if (!(json_number_value(v) >= min && json_number_value(v) <= max))
		return reading_fail(r, E_INVALID, at, key, "must be between %g and %g", min, max);
	*out = json_number_value(v);
	if (has)
		*has = true;
	return 0;
}

int reading_integer(struct reading *r, const json_t *o, const struct place *at, const char *key,
    int64_t min, int64_t max, bool *has, int64_t *out)
{
	const json_t *v = json_member(o, key);

	if (!v)
		return 0;
	if (!json_is_integer(v))
		return reading_fail(r, E_INVALID, at, key, "must be an integer");
	if (json_integer_value(v) < min)
		return reading_fail(r, E_INVALID, at, key, "must be at least %lld", (long long)min);
	if (json_integer_value(v) > max)
		return reading_fail(r, E_INVALID, at, key, "must be at most %lld", (long long)max);
	*out = json_integer_value(v);
	if (has)
		*has = true;
	return 0;
}

int reading_flag(
    struct reading *r, const json_t *o, const struct place *at, const char *key, bool *out)
{
	const json_t *v = json_member(o, key);

	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return reading_fail(r, E_INVALID, at, key, "must be true or false");
	*out = json_is_true(v);
	return 0;
}

int reading_array(struct reading *r, const json_t *o, const struct place *at, const char *key,
    size_t max, const json_t **out)
{
	const json_t *v = json_member(o, key);

	*out = NULL;
	if (!v)
		return 0;
	if (!json_is_array(v))
		return reading_fail(r, E_INVALID, at, key, "must be an array");
	if (json_array_size(v) > max)
		return reading_fail(r, E_INVALID, at, key, "has more than %zu elements", max);
	*out = v;
	return 0;
}

int reading_model(struct reading *r, const json_t *o, const char *key, char out[MODEL_ID_MAX])
{
	const json_t *v = json_member(o, key);

	if (!v)
		return 0;
	if (!json_is_string(v))
		return reading_fail(r, E_INVALID, NULL, key, "must be a string");
	if (json_string_length(v) >= MODEL_ID_MAX)
		return reading_fail(r, E_INVALID, NULL, key, "is too long");
	memcpy(out, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

int reading_tool_name(struct reading *r, const json_t *o, const struct place *at, char **out)
{
	const json_t *v = json_member(o, "name");

	if (json_is_string(v) &&
	    (json_string_length(v) == 0 || json_string_length(v) >= INFERENCE_TOOL_NAME_MAX))
		return reading_fail(r, E_INVALID, at, "name", "must have 1 to %d bytes",
		    INFERENCE_TOOL_NAME_MAX - 1);
	return reading_string(r, o, at, "name", REQUIRED, out);
}

static int read_stop(struct reading *r, const json_t *v, const struct place *at, const char *key)
{
	if (!json_is_string(v) || json_string_length(v) == 0)
		return reading_fail(r, E_INVALID, at, key, "must be strings, none empty");
	if (json_string_length(v) > INFERENCE_STOP_MAX)
		return reading_fail(r, E_INVALID, at, key, "has a string of more than %d bytes",
		    INFERENCE_STOP_MAX);
	return reading_copy(r, json_text(v), &r->req->stop[r->req->n_stop++]);
}

int reading_stops(struct reading *r, const json_t *o, const struct place *at, const char *key)
{
	const json_t *v = json_member(o, key);
	int rc;

	if (json_is_string(v))
		return read_stop(r, v, at, key);
	rc = reading_array(r, o, at, key, INFERENCE_STOPS_MAX, &v);
	for (size_t i = 0; rc == 0 && i < json_array_size(v); i++)
		rc = read_stop(r, json_array_get(v, i), at, key);
	return rc;
}

int reading_new_tools(struct reading *r, size_t n)
{
	r->req->tools = talloc_zero_array(r->req, struct inference_tool, (unsigned)n);
	if (!r->req->tools)
		return reading_no_memory(r);
	r->req->n_tools = n;
	return 0;
}

/* ---- messages ------------------------------------------------------------------------------ */

int reading_add_message(struct reading *r, const char *role, struct inference_message **out)
{
	struct inference_request *req = r->req;
	struct inference_message *m;

	if (req->n_messages >= INFERENCE_MESSAGES_MAX)
		return reading_fail(r, E_INVALID, NULL, "messages", "more than %d messages",
		    INFERENCE_MESSAGES_MAX);
	if (req->n_messages == r->messages_cap) {
		size_t cap = r->messages_cap ? 2 * r->messages_cap : 8;

		m = talloc_realloc(req, req->messages, struct inference_message, (unsigned)cap);
		if (!m)
			return reading_no_memory(r);
		req->messages = m;
		r->messages_cap = cap;
	}
	m = &req->messages[req->n_messages++];
	*m = (struct inference_message){.role = talloc_strdup(req, role)};
	*out = m;
	return m->role ? 0 : reading_no_memory(r);
}

int reading_add_call(
    struct reading *r, struct inference_message *m, struct inference_tool_call **out)
{
	struct inference_tool_call *calls;

	if (m->n_tool_calls >= READING_CALLS_MAX)
		return reading_fail(r, E_INVALID, NULL, "messages",
		    "a message with more than %d tool calls", READING_CALLS_MAX);
	calls = talloc_realloc(
	    r->req, m->tool_calls, struct inference_tool_call, (unsigned)m->n_tool_calls + 1);
	if (!calls)
		return reading_no_memory(r);
	m->tool_calls = calls;
	*out = &calls[m->n_tool_calls++];
	**out = (struct inference_tool_call){0};
	return 0;
}

/* ---- content ------------------------------------------------------------------------------- */

void gather_begin(struct gathering *g, struct reading *r, const char *between, size_t limit)
{
	*g = (struct gathering){.r = r, .between = between, .text = BUF_INIT(limit)};
}

static struct inference_part *another(struct gathering *g)
{
	size_t cap = g->cap ? 2 * g->cap : 4;
	struct inference_part *parts;

	if (g->n == g->cap) {
		parts = talloc_realloc(g->r->req, g->parts, struct inference_part, (unsigned)cap);
		if (!parts) {
			(void)reading_no_memory(g->r);
			return NULL;
		}
		g->parts = parts;
		g->cap = cap;
	}
	g->parts[g->n] = (struct inference_part){0};
	return &g->parts[g->n++];
}

int gather_text(struct gathering *g, struct bytes text)
{
	struct inference_part *part = another(g);

	if (!part)
		return E_MEMORY;
	if (g->any_text)
		buf_str(&g->text, g->between);
	g->any_text = true;
	buf_bytes(&g->text, text);
	part->kind = INFERENCE_PART_TEXT;
	return reading_copy(g->r, text, &part->text);
}

int gather_image(struct gathering *g, struct bytes prefix, struct bytes rest, const char *detail)
{
	struct inference_part *part = another(g);
	char *url;

	if (!part)
		return E_MEMORY;
	g->other = true;
	part->kind = INFERENCE_PART_IMAGE;
	url = talloc_size(g->r->req, prefix.n + rest.n + 1);
	part->detail = detail ? talloc_strdup(g->r->req, detail) : NULL;
	if (!url || (detail && !part->detail))
		return reading_no_memory(g->r);
	memcpy(url, prefix.p, prefix.n);
	memcpy(url + prefix.n, rest.p, rest.n);
	url[prefix.n + rest.n] = 0;
	part->text = bytes_of(url, prefix.n + rest.n);
	return 0;
}

static void drop_parts(struct gathering *g)
{
	for (size_t i = 0; i < g->n; i++) {
		talloc_free((void *)(uintptr_t)g->parts[i].text.p);
		talloc_free(g->parts[i].detail);
	}
	talloc_free(g->parts);
}

int gathered(struct gathering *g, struct inference_message *m, int rc)
{
	struct reading *r = g->r;

	if (rc == 0 && g->text.failed)
		rc = reading_no_memory(r);
	if (rc == 0)
		rc = reading_copy(r, buf_view(&g->text), &m->content);
	if (rc == 0 && g->other) {
		m->parts = g->parts;
		m->n_parts = g->n;
	} else {
		drop_parts(g);
	}
	buf_free(&g->text);
	return rc;
}

const char *image_type_of_base64(struct bytes text)
{
	/* the first bytes of such files, in base64 */
	static const struct {
		const char *begin, *type;
	} known[] = {
	    {"iVBORw0KGgo", "image/png"},
	    {"/9j/", "image/jpeg"},
	    {"R0lGOD", "image/gif"},
	    {"UklGR", "image/webp"},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (text.n >= strlen(known[i].begin) &&
		    memcmp(text.p, known[i].begin, strlen(known[i].begin)) == 0)
			return known[i].type;
	return NULL;
}
