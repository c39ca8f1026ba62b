/* What chat completions and legacy completions have in common: finding the members that we know,
 * keeping the others for upstreams, and the parameters of sampling and of the answer. */
#include "dialect/openai_read_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#define OPENAI_MEMBERS_MAX 1024 /* of a request; each is compared with all that we know */

static const struct field {
	const char *name;
	uint8_t n, kinds;
} fields[] = {
#define X(name, kinds) {#name, sizeof(#name) - 1, kinds},
    OPENAI_FIELDS(X)
#undef X
};

int openai_bad(struct openai_reading *r, int code, const char *why, const char *name_fmt, ...)
{
	char name[ERR_PARAM_MAX];
	va_list ap;

	va_start(ap, name_fmt);
	vsnprintf(name, sizeof(name), name_fmt, ap);
	va_end(ap);
	return err_set_param(r->err, code, name, "%s", why);
}

int openai_no_memory(struct openai_reading *r)
{
	return err_set(r->err, E_MEMORY, "no memory for a request");
}

int openai_copy_str(struct openai_reading *r, struct bytes from, char **to)
{
	*to = jdup(r->req, from);
	return *to ? 0 : openai_no_memory(r);
}

int openai_copy_text(struct openai_reading *r, struct bytes from, struct bytes *to)
{
	char *p = jdup(r->req, from);

	if (!p)
		return openai_no_memory(r);
	*to = bytes_of(p, from.n);
	return 0;
}

/* ---- numbers, flags, strings --------------------------------------------------------------- */

struct number_range {
	enum openai_field f;
	double min, max;
	const char *why;
};

/* Leaves *has and *out alone when the member is absent. */
static int read_number(
    struct openai_reading *r, const struct number_range *range, bool *has, double *out)
{
	const struct jnode *v = r->f[range->f];

	if (!v)
		return 0;
	if (!jis_number(v))
		return openai_bad(r, E_INVALID, "must be a number", "%s", fields[range->f].name);
	if (jnumber(v) < range->min || jnumber(v) > range->max)
		return openai_bad(r, E_INVALID, range->why, "%s", fields[range->f].name);
	*out = jnumber(v);
	if (has)
		*has = true;
	return 0;
}

int openai_read_int(struct openai_reading *r, enum openai_field f, int64_t min, int64_t max,
    bool *has, int64_t *out)
{
	const struct jnode *v = r->f[f];
	const char *name = fields[f].name;

	if (!v)
		return 0;
	if (v->kind != J_INT)
		return openai_bad(r, E_INVALID, "must be an integer", "%s", name);
	if (v->v.i < min)
		return openai_bad(
		    r, E_INVALID, min == 1 ? "must be at least 1" : "is too small", "%s", name);
	if (v->v.i > max)
		return openai_bad(r, E_INVALID, "is too large", "%s", name);
	*out = v->v.i;
	if (has)
		*has = true;
	return 0;
}

int openai_read_flag(struct openai_reading *r, const struct jnode *v, const char *name, bool *out)
{
	if (jhas(v) && !jis_bool(v))
		return openai_bad(r, E_INVALID, "must be true or false", "%s", name);
	*out = jis(v, J_TRUE);
	return 0;
}

static int read_model(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_model];

	if (!v)
		return 0;
	if (v->kind != J_TEXT)
		return openai_bad(r, E_INVALID, "must be a string", "model");
	if (v->n >= MODEL_ID_MAX)
		return openai_bad(r, E_INVALID, "is too long", "model");
	memcpy(r->req->model, v->v.text, v->n);
	return 0;
}

static int read_sampling(struct openai_reading *r)
{
	static const struct number_range ranges[] = {
	    {F_temperature, 0, 2, "must be between 0 and 2"},
	    {F_top_p, 0, 1, "must be between 0 and 1"},
	    {F_min_p, 0, 1, "must be between 0 and 1"},
	    {F_repeat_penalty, 0.01, 100, "must be between 0.01 and 100"},
	    {F_repetition_penalty, 0.01, 100, "must be between 0.01 and 100"}, /* vLLM's */
	    {F_frequency_penalty, -2, 2, "must be between -2 and 2"},
	    {F_presence_penalty, -2, 2, "must be between -2 and 2"},
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
		rc = openai_read_int(r, F_top_k, 0, INT32_MAX, &s->has_top_k, &top_k);
	s->top_k = (int32_t)top_k;
	if (rc == 0)
		rc = openai_read_int(r, F_seed, INT64_MIN, INT64_MAX, &s->has_seed, &s->seed);
	return rc;
}

/* "50256": a token id in digits. */
static bool token_of(struct bytes key, int32_t *out)
{
	int64_t id = 0;

	if (key.n == 0 || key.n > 10)
		return false;
	for (size_t i = 0; i < key.n; i++) {
		if (key.p[i] < '0' || key.p[i] > '9')
			return false;
		id = id * 10 + (key.p[i] - '0');
	}
	*out = (int32_t)id;
	return id <= INT32_MAX;
}

static int read_biases(struct openai_reading *r)
{
	const struct jnode *all = r->f[F_logit_bias], *v;
	struct inference_bias *to;

	if (!all)
		return 0;
	if (all->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be an object", "logit_bias");
	if (all->n > INFERENCE_BIASES_MAX)
		return openai_bad(r, E_INVALID, "has too many members", "logit_bias");
	if (all->n == 0)
		return 0;
	to = talloc_array(r->req, struct inference_bias, all->n);
	if (!to)
		return openai_no_memory(r);
	r->req->biases = to;
	for (v = jfirst(all); v; v = jnext(all, v)) {
		if (!token_of(jkey(v), &to->token))
			return openai_bad(
			    r, E_INVALID, "has a name that is no token id", "logit_bias");
		if (!jis_number(v) || jnumber(v) < -100 || jnumber(v) > 100)
			return openai_bad(r, E_INVALID,
			    "has a value that is no number between -100 and 100", "logit_bias");
		to++->bias = jnumber(v);
		r->req->n_biases++;
	}
	return 0;
}

static int read_one_stop(struct openai_reading *r, const struct jnode *v)
{
	if (v->kind != J_TEXT || v->n == 0)
		return openai_bad(
		    r, E_INVALID, "must be a string or an array of strings, none empty", "stop");
	if (v->n > INFERENCE_STOP_MAX)
		return openai_bad(r, E_INVALID, "has a string of more than 256 bytes", "stop");
	return openai_copy_text(r, jtext(v), &r->req->stop[r->req->n_stop++]);
}

static int read_stops(struct openai_reading *r)
{
	const struct jnode *all = r->f[F_stop];
	int rc = 0;

	if (!all || all->kind != J_ARRAY)
		return all ? read_one_stop(r, all) : 0;
	if (all->n > INFERENCE_STOPS_MAX)
		return openai_bad(r, E_INVALID, "has more than 16 strings", "stop");
	for (const struct jnode *v = jfirst(all); rc == 0 && v; v = jnext(all, v))
		rc = read_one_stop(r, v);
	return rc;
}

/* ---- the answer's form --------------------------------------------------------------------- */

/* −1 is LM Studio's and llama.cpp's way to set no limit. */
static int read_max_tokens(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_max_tokens];
	int rc = 0;

	if (!jis(v, J_INT) || v->v.i != -1)
		rc = openai_read_int(r, F_max_tokens, 1, INT64_MAX, NULL, &r->req->max_tokens);
	if (rc == 0) /* the newer name wins */
		rc = openai_read_int(
		    r, F_max_completion_tokens, 1, INT64_MAX, NULL, &r->req->max_tokens);
	return rc;
}

static int read_choices(struct openai_reading *r)
{
	int64_t n = 1;
	int rc = openai_read_int(r, F_n, 1, INFERENCE_CHOICES_MAX, NULL, &n);

	r->req->choices = (unsigned)n;
	return rc;
}

static int read_streaming(struct openai_reading *r)
{
	const struct jnode *options = r->f[F_stream_options];
	int rc = openai_read_flag(r, r->f[F_stream], "stream", &r->req->stream);

	if (rc == 0 && options && options->kind != J_OBJECT)
		rc = openai_bad(r, E_INVALID, "must be an object", "stream_options");
	if (rc == 0)
		rc = openai_read_flag(r, jget(options, "include_usage"),
		    "stream_options.include_usage", &r->req->include_usage);
	return rc;
}

/* Our own: what of the answer is there already. */
static int read_continuation(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_gate_continue];
	const struct jnode *text = jget(v, "text"), *ids = jget(v, "token_ids");
	struct inference_continuation *c = &r->req->continuation;
	int rc;

	if (!v)
		return 0;
	if (!jis(text, J_TEXT) || (jhas(ids) && ids->kind != J_ARRAY))
		return openai_bad(
		    r, E_INVALID, "must have a text, and may have token_ids", "gate_continue");
	rc = openai_copy_text(r, jtext(text), &c->text);
	if (rc != 0 || jsize(ids) == 0)
		return rc;
	c->tokens = talloc_array(r->req, int32_t, ids->n);
	if (!c->tokens)
		return openai_no_memory(r);
	for (const struct jnode *id = jfirst(ids); id; id = jnext(ids, id)) {
		if (id->kind != J_INT || id->v.i < 0 || id->v.i > INT32_MAX)
			return openai_bad(r, E_INVALID, "has something that is no token id",
			    "gate_continue.token_ids");
		c->tokens[c->n_tokens++] = (int32_t)id->v.i;
	}
	return 0;
}

int openai_read_format(struct openai_reading *r)
{
	const struct jnode *v = r->f[F_response_format], *type = jget(v, "type");
	const struct jnode *more = jget(v, "json_schema"), *schema = jget(more, "schema");
	struct inference_request *req = r->req;
	int rc;

	if (!v || jtext_is(type, "text"))
		return 0;
	if (v->kind != J_OBJECT)
		return openai_bad(r, E_INVALID, "must be an object", "response_format");
	if (jtext_is(type, "json_object")) {
		req->format = FORMAT_JSON;
		return 0;
	}
	if (!jtext_is(type, "json_schema"))
		return openai_bad(r, jis(type, J_TEXT) ? E_UNSUPPORTED : E_INVALID,
		    "must be text, json_object or json_schema", "response_format.type");
	if (!jis(schema, J_OBJECT))
		return openai_bad(r, E_INVALID, schema ? "must be an object" : "is required",
		    "response_format.json_schema.schema");
	if (jsource(schema, r->text).n > INFERENCE_SCHEMA_MAX)
		return openai_bad(
		    r, E_INVALID, "is too large", "response_format.json_schema.schema");
	req->format = FORMAT_SCHEMA;
	rc = openai_copy_text(r, jsource(schema, r->text), &req->schema);
	if (rc == 0 && jis(jget(more, "name"), J_TEXT))
		rc = openai_copy_str(r, jtext(jget(more, "name")), &req->schema_name);
	if (rc == 0 && jis(jget(more, "description"), J_TEXT))
		rc = openai_copy_str(r, jtext(jget(more, "description")), &req->schema_description);
	if (rc == 0)
		rc = openai_read_flag(r, jget(more, "strict"), "response_format.json_schema.strict",
		    &req->schema_strict);
	return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int field_of(struct bytes key, unsigned kind)
{
	for (int i = 0; i < OPENAI_FIELDS_N; i++)
		if (fields[i].n == key.n && (fields[i].kinds & kind) &&
		    memcmp(fields[i].name, key.p, key.n) == 0)
			return i;
	return -1;
}

/* A member that is not ours to understand goes on to upstreams in the client's own words. */
static void keep(struct openai_reading *r, const struct jnode *v, struct buf *extra)
{
	if (extra->n > 0)
		buf_u8(extra, ',');
	json_put_text(extra, jkey(v));
	buf_u8(extra, ':');
	buf_bytes(extra, jsource(v, r->text));
}

static int sort_out(struct openai_reading *r, enum inference_kind kind)
{
	struct buf extra = BUF_INIT(2 * r->text.n + 64);
	int rc = 0;

	if (r->root->n > OPENAI_MEMBERS_MAX)
		return err_set(
		    r->err, E_INVALID, "the request has more than %d members", OPENAI_MEMBERS_MAX);
	for (const struct jnode *v = jfirst(r->root); v; v = jnext(r->root, v)) {
		int f = field_of(jkey(v), kind == INFERENCE_CHAT ? 1 : 2);

		if (v->kind == J_NULL)
			continue;
		if (f >= 0)
			r->f[f] = v;
		else
			keep(r, v, &extra);
	}
	if (extra.n > 0)
		rc = buf_ok(&extra, NULL) == 0
			 ? openai_copy_text(r, buf_view(&extra), &r->req->extra)
			 : openai_no_memory(r);
	buf_free(&extra);
	return rc;
}

static int read_common(struct openai_reading *r)
{
	static int (*const all[])(struct openai_reading * r) = {read_model, read_sampling,
	    read_biases, read_stops, read_max_tokens, read_choices, read_streaming,
	    openai_read_format, read_continuation};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(all) / sizeof(all[0]); i++)
		rc = all[i](r);
	return rc ? rc
		  : openai_read_flag(
			r, r->f[F_return_token_ids], "return_token_ids", &r->req->want_tokens);
}

int openai_read_request(void *mem, struct bytes body, enum inference_kind kind,
    int (*own)(struct openai_reading *r), struct inference_request **out, struct err *err)
{
	struct openai_reading r = {.text = body, .err = err};
	struct jtree *tree = jtree_new(mem);
	int rc;

	r.req = tree ? talloc_zero(mem, struct inference_request) : NULL;
	rc = r.req ? jtree_read(tree, body, &r.root, err) : openai_no_memory(&r);
	if (rc == 0 && r.root->kind != J_OBJECT)
		rc = err_set(err, E_INVALID, "the request must be a JSON object");
	if (rc == 0) {
		r.req->kind = kind;
		rc = sort_out(&r, kind);
	}
	if (rc == 0)
		rc = own(&r);
	if (rc == 0)
		rc = read_common(&r);
	talloc_free(tree);
	if (rc == 0)
		*out = r.req;
	else
		talloc_free(r.req);
	return rc;
}
