/* Embeddings, both sides. Vectors travel as lists of numbers, or as base64 of their bytes: 32-bit
 * floats, least significant byte first, which many a client asks for and decodes unchecked. */
#include "base/encode.h"
#include "dialect/openai_read_priv.h"

#include <math.h>
#include <stdio.h>
#include <talloc.h>

/* ---- requests ------------------------------------------------------------------------------ */

struct embed_reading {
	const struct jnode *root;
	struct embedding_request *req;
	struct err *err;
};

static int no_memory(struct err *err)
{
	return err_set(err, E_MEMORY, "no memory for embeddings");
}

static int read_input(struct embed_reading *r, const struct jnode *v)
{
	char *text;

	if (jis(v, J_INT) || jis(v, J_ARRAY))
		return err_set_param(r->err, E_UNSUPPORTED, "input", "token ids are not supported");
	if (!jis(v, J_TEXT))
		return err_set_param(
		    r->err, E_INVALID, "input", "must be a string or an array of strings");
	text = jdup(r->req, jtext(v));
	if (!text)
		return no_memory(r->err);
	r->req->inputs[r->req->n_inputs++] = bytes_of(text, v->n);
	return 0;
}

static int read_inputs(struct embed_reading *r)
{
	const struct jnode *v = jget(r->root, "input");
	size_t n = jis(v, J_ARRAY) ? v->n : 1;
	int rc = 0;

	if (!jhas(v) || n == 0)
		return err_set_param(r->err, E_INVALID, "input",
		    jhas(v) ? "must have at least one string" : "is required");
	if (n > EMBEDDING_INPUTS_MAX)
		return err_set_param(
		    r->err, E_INVALID, "input", "has more than %d elements", EMBEDDING_INPUTS_MAX);
	r->req->inputs = talloc_array(r->req, struct bytes, (unsigned)n);
	if (!r->req->inputs)
		return no_memory(r->err);
	if (v->kind != J_ARRAY)
		return read_input(r, v);
	for (const struct jnode *e = jfirst(v); rc == 0 && e; e = jnext(v, e))
		rc = read_input(r, e);
	return rc;
}

static int read_details(struct embed_reading *r)
{
	const struct jnode *model = jget(r->root, "model"), *dims = jget(r->root, "dimensions");
	const struct jnode *format = jget(r->root, "encoding_format");

	if (jhas(model) && (model->kind != J_TEXT || model->n >= MODEL_ID_MAX))
		return err_set_param(r->err, E_INVALID, "model", "must be a short string");
	if (jhas(model))
		memcpy(r->req->model, model->v.text, model->n);
	if (jhas(dims) && (dims->kind != J_INT || dims->v.i < 1 || dims->v.i > EMBEDDING_DIMS_MAX))
		return err_set_param(r->err, E_INVALID, "dimensions",
		    "must be an integer between 1 and %d", EMBEDDING_DIMS_MAX);
	r->req->dimensions = jhas(dims) ? (int32_t)dims->v.i : 0;
	if (jhas(format) && !jtext_is(format, "float") && !jtext_is(format, "base64"))
		return err_set_param(
		    r->err, E_INVALID, "encoding_format", "must be float or base64");
	r->req->base64 = jtext_is(format, "base64");
	return 0;
}

static int parse(void *mem, struct bytes body, struct embedding_request **out, struct err *err)
{
	struct embed_reading r = {.req = talloc_zero(mem, struct embedding_request), .err = err};
	struct jtree *tree = r.req ? jtree_new(r.req) : NULL;
	int rc = tree ? jtree_read(tree, body, &r.root, err) : no_memory(err);

	if (rc == 0 && r.root->kind != J_OBJECT)
		rc = err_set(err, E_INVALID, "the request must be a JSON object");
	if (rc == 0)
		rc = read_details(&r);
	if (rc == 0)
		rc = read_inputs(&r);
	talloc_free(tree);
	if (rc == 0)
		*out = r.req;
	else
		talloc_free(r.req);
	return rc;
}

int openai_embed_request(
    const struct embedding_request *req, const char **path, struct buf *out, struct err *err)
{
	*path = "/v1/embeddings";
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(req->model));
	buf_str(out, ",\"input\":[");
	for (size_t i = 0; i < req->n_inputs; i++) {
		buf_str(out, i ? "," : "");
		json_put_text(out, req->inputs[i]);
	}
	buf_str(out, "],\"encoding_format\":\"base64\"");
	if (req->dimensions > 0)
		buf_printf(out, ",\"dimensions\":%d", (int)req->dimensions);
	buf_u8(out, '}');
	return buf_ok(out, err);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void put_base64(struct buf *out, const float *v, size_t dims)
{
	uint8_t *raw = talloc_size(NULL, 4 * dims + 1);
	char *text = talloc_size(raw, 4 * ((4 * dims + 2) / 3) + 1);

	if (!text) {
		out->failed = true;
		talloc_free(raw);
		return;
	}
	for (size_t i = 0; i < dims; i++) {
		uint32_t bits;

		memcpy(&bits, &v[i], 4);
		for (int k = 0; k < 4; k++)
			raw[4 * i + (size_t)k] = (uint8_t)(bits >> 8 * k);
	}
	base64_encode(bytes_of(raw, 4 * dims), text);
	buf_u8(out, '"');
	buf_str(out, text);
	buf_u8(out, '"');
	talloc_free(raw);
}

static void put_floats(struct buf *out, const float *v, size_t dims)
{
	buf_u8(out, '[');
	for (size_t i = 0; i < dims; i++)
		buf_printf(out, "%s%.9g", i ? "," : "", (double)(isfinite(v[i]) ? v[i] : 0));
	buf_u8(out, ']');
}

static void write(const struct embedding_request *req, const struct embedding_result *result,
    const char *model, int64_t took_us, struct buf *out)
{
	(void)took_us;
	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < result->n; i++) {
		const float *v = result->values + i * result->dims;

		buf_printf(out,
		    "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
		if (req->base64)
			put_base64(out, v, result->dims);
		else
			put_floats(out, v, result->dims);
		buf_u8(out, '}');
	}
	buf_str(out, "],\"model\":");
	json_put_text(out, bytes_str(model));
	if (result->prompt_tok >= 0)
		buf_printf(out, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}",
		    (long long)result->prompt_tok, (long long)result->prompt_tok);
	buf_u8(out, '}');
}

const struct embedding_dialect openai_embeddings = {
    .name = "openai.embeddings",
    .parse = parse,
    .write = write,
    .error = openai_error_write,
};

/* ---- answers, read ------------------------------------------------------------------------- */

static int bad_answer(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer is no list of embeddings: %s", why);
}

/* Numbers of a vector, in either form; 0 when it is none. */
static size_t dims_of(const struct jnode *v)
{
	if (jis(v, J_ARRAY))
		return v->n;
	return jis(v, J_TEXT) && v->n % 4 == 0 ? v->n / 4 * 3 / 4 : 0;
}

static int read_base64(struct bytes text, float *out, size_t dims, struct err *err)
{
	size_t n = 0, cap = 3 * (text.n / 4);
	uint8_t *raw = talloc_size(NULL, cap + 1);
	int rc = 0;

	if (!raw)
		return no_memory(err);
	if (base64_decode(text, raw, cap, &n) != 0 || n != 4 * dims)
		rc = bad_answer(err, "not base64 of 32-bit floats");
	for (size_t i = 0; rc == 0 && i < dims; i++) {
		uint32_t bits = (uint32_t)raw[4 * i] | (uint32_t)raw[4 * i + 1] << 8 |
				(uint32_t)raw[4 * i + 2] << 16 | (uint32_t)raw[4 * i + 3] << 24;

		memcpy(&out[i], &bits, 4);
		if (!isfinite(out[i]))
			rc = bad_answer(err, "a number that is none");
	}
	talloc_free(raw);
	return rc;
}

static int read_vector(const struct jnode *v, float *out, size_t dims, struct err *err)
{
	size_t i = 0;

	if (dims_of(v) != dims)
		return bad_answer(err, "vectors of different lengths");
	if (v->kind == J_TEXT)
		return read_base64(jtext(v), out, dims, err);
	for (const struct jnode *e = jfirst(v); e; e = jnext(v, e)) {
		if (!jis_number(e) || !isfinite((float)jnumber(e)))
			return bad_answer(err, "a number that is none");
		out[i++] = (float)jnumber(e);
	}
	return 0;
}

static int read_data(
    void *mem, const struct jnode *data, struct embedding_result *out, struct err *err)
{
	size_t i = 0, dims = jis(data, J_ARRAY) ? dims_of(jget(jfirst(data), "embedding")) : 0;
	bool *seen;
	int rc = 0;

	if (dims == 0 || dims > EMBEDDING_DIMS_MAX || data->n > EMBEDDING_INPUTS_MAX)
		return bad_answer(err, "no vectors");
	*out = (struct embedding_result){.n = data->n, .dims = dims, .prompt_tok = -1};
	out->values = talloc_array(mem, float, (unsigned)(data->n * dims));
	seen = out->values ? talloc_zero_array(out->values, bool, data->n) : NULL;
	if (!seen)
		return no_memory(err);
	for (const struct jnode *v = jfirst(data); rc == 0 && v; v = jnext(data, v), i++) {
		int64_t at = jget_int(v, "index", (int64_t)i);

		if (at < 0 || (size_t)at >= out->n || seen[at])
			return bad_answer(err, "an index that is none");
		seen[at] = true;
		rc = read_vector(jget(v, "embedding"), out->values + (size_t)at * dims, dims, err);
	}
	talloc_free(seen);
	return rc;
}

int openai_embed_answer(void *mem, struct bytes body, struct embedding_result *out, struct err *err)
{
	struct jtree *tree = jtree_new(mem);
	const struct jnode *root;
	int64_t tok;
	int rc = tree ? jtree_read(tree, body, &root, err) : no_memory(err);

	*out = (struct embedding_result){.prompt_tok = -1};
	if (rc == E_SYNTAX)
		rc = bad_answer(err, "not valid JSON");
	if (rc == 0 && jhas(jget(root, "error")))
		rc = openai_error_parse(body, 0, err);
	if (rc == 0)
		rc = read_data(mem, jget(root, "data"), out, err);
	tok = rc == 0 ? jget_int(jget(root, "usage"), "prompt_tokens", -1) : -1;
	out->prompt_tok = tok <= INT32_MAX ? tok : -1;
	talloc_free(tree);
	if (rc != 0) {
		talloc_free(out->values);
		out->values = NULL;
	}
	return rc;
}
