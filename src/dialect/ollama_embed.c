/* Embeddings in the Ollama dialect, both sides. */
#include "dialect/json.h"
#include "dialect/ollama.h"
#include "dialect/ollama_priv.h"
#include "dialect/openai.h"
#include "dialect/read_priv.h"
#include "dialect/write_priv.h"

#include <talloc.h>

/* ---- requests ------------------------------------------------------------------------------ */

static int read_inputs(struct reading *r, const json_t *root, struct embedding_request *req)
{
	const json_t *v = json_member(root, "input");
	size_t n = json_is_array(v) ? json_array_size(v) : 1;
	int rc = 0;

	if (!json_is_string(v) && (!json_is_array(v) || n == 0))
		return reading_fail(r, E_INVALID, NULL, "input",
		    v ? "must be a string or an array of strings" : "is required");
	if (n > EMBEDDING_INPUTS_MAX)
		return reading_fail(
		    r, E_INVALID, NULL, "input", "has more than %d texts", EMBEDDING_INPUTS_MAX);
	req->inputs = talloc_zero_array(req, struct bytes, (unsigned)n);
	if (!req->inputs)
		return reading_no_memory(r);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *text = json_is_array(v) ? json_array_get(v, i) : v;
		const struct place at = place_at(NULL, "input", i);

		rc = json_is_string(text)
			 ? reading_copy(r, json_text(text), &req->inputs[i])
			 : reading_fail(r, E_INVALID, &at, NULL, "must be a string");
	}
	req->n_inputs = n;
	return rc;
}

static int read_prompt(struct reading *r, const json_t *root, struct embedding_request *req)
{
	req->inputs = talloc_zero_array(req, struct bytes, 1);
	if (!req->inputs)
		return reading_no_memory(r);
	req->n_inputs = 1;
	return reading_text(r, root, NULL, "prompt", REQUIRED, &req->inputs[0]);
}

static int parse(void *mem, struct bytes body,
    int (*read_texts)(struct reading *, const json_t *, struct embedding_request *),
    struct embedding_request **out, struct err *err)
{
	struct embedding_request *req = talloc_zero(mem, struct embedding_request);
	struct reading r = {.mem = req, .err = err};
	int64_t dimensions = 0;
	json_t *root = NULL;
	int rc = req ? json_read(body, &root, err) : reading_no_memory(&r);

	if (rc == 0 && !json_is_object(root))
		rc = err_set(err, E_INVALID, "the request must be a JSON object");
	if (rc == 0)
		rc = reading_model(&r, root, "model", req->model);
	if (rc == 0)
		rc = read_texts(&r, root, req);
	if (rc == 0)
		rc = reading_integer(
		    &r, root, NULL, "dimensions", 1, EMBEDDING_DIMS_MAX, NULL, &dimensions);
	json_decref(root);
	if (rc != 0) {
		talloc_free(req);
		return rc;
	}
	ollama_name_normalise(req->model);
	req->dimensions = (int32_t)dimensions;
	*out = req;
	return 0;
}

static int parse_embed(
    void *mem, struct bytes body, struct embedding_request **out, struct err *err)
{
	return parse(mem, body, read_inputs, out, err);
}

static int parse_embeddings(
    void *mem, struct bytes body, struct embedding_request **out, struct err *err)
{
	return parse(mem, body, read_prompt, out, err);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void put_vector(struct buf *out, const float *v, size_t n)
{
	buf_u8(out, '[');
	for (size_t i = 0; i < n; i++)
		buf_printf(out, i ? ",%.9g" : "%.9g", (double)v[i]);
	buf_u8(out, ']');
}

static void write_embed(const struct embedding_request *req, const struct embedding_result *result,
    const char *model, int64_t took_us, struct buf *out)
{
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(model));
	buf_str(out, ",\"embeddings\":[");
	for (size_t i = 0; i < result->n; i++) {
		if (i > 0)
			buf_u8(out, ',');
		put_vector(out, result->values + i * result->dims, result->dims);
	}
	buf_u8(out, ']');
	put_member_int(out, "total_duration", took_us * 1000);
	buf_str(out, ",\"load_duration\":0");
	if (result->prompt_tok >= 0)
		put_member_int(out, "prompt_eval_count", result->prompt_tok);
	buf_u8(out, '}');
}

static void write_embeddings(const struct embedding_request *req,
    const struct embedding_result *result, const char *model, int64_t took_us, struct buf *out)
{
	buf_str(out, "{\"embedding\":");
	put_vector(out, result->values, result->n > 0 ? result->dims : 0);
	buf_u8(out, '}');
}

const struct embedding_dialect ollama_embed = {
    .name = "ollama.embed",
    .parse = parse_embed,
    .write = write_embed,
    .error = ollama_error_write,
};

const struct embedding_dialect ollama_embeddings = {
    .name = "ollama.embeddings",
    .parse = parse_embeddings,
    .write = write_embeddings,
    .error = ollama_error_write,
};

/* ---- the client's side --------------------------------------------------------------------- */

int ollama_embed_request(
    const struct embedding_request *req, const char **path, struct buf *out, struct err *err)
{
	*path = "/api/embed";
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(req->model));
	buf_str(out, ",\"input\":[");
	for (size_t i = 0; i < req->n_inputs; i++) {
		if (i > 0)
			buf_u8(out, ',');
		json_put_text(out, req->inputs[i]);
	}
	buf_u8(out, ']');
	if (req->dimensions > 0)
		put_member_int(out, "dimensions", req->dimensions);
	buf_u8(out, '}');
	return buf_ok(out, err);
}

static int bad(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer has no embeddings: %s", why);
}

static int read_vector(const json_t *v, size_t dims, float *to, struct err *err)
{
	for (size_t k = 0; k < dims; k++) {
		const json_t *number = json_array_get(v, k);

		if (!json_is_number(number))
			return bad(err, "one is no list of numbers");
		to[k] = (float)json_number_value(number);
	}
	return 0;
}

static int read_vectors(
    void *mem, const json_t *list, struct embedding_result *out, struct err *err)
{
	size_t n = json_array_size(list), dims = json_array_size(json_array_get(list, 0));
	int rc = 0;

	if (n == 0 || n > EMBEDDING_INPUTS_MAX || dims == 0 || dims > EMBEDDING_DIMS_MAX)
		return bad(err, "none, or too many");
	for (size_t i = 0; i < n; i++) /* before there is room for all of them */
		if (json_array_size(json_array_get(list, i)) != dims)
			return bad(err, "they differ in size");
	out->values = talloc_zero_array(mem, float, (unsigned)(n * dims));
	if (!out->values)
		return err_set(err, E_MEMORY, "no memory for embeddings");
	out->n = n;
	out->dims = dims;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = read_vector(json_array_get(list, i), dims, out->values + i * dims, err);
	if (rc != 0) {
		talloc_free(out->values);
		out->values = NULL;
	}
	return rc;
}

int ollama_embed_answer(void *mem, struct bytes body, struct embedding_result *out, struct err *err)
{
	json_t *root;
	int rc;

	*out = (struct embedding_result){.prompt_tok = -1};
	if (json_read(body, &root, err) != 0)
		return bad(err, "not valid JSON");
	if (json_is_string(json_object_get(root, "error")))
		rc = openai_error_parse(body, 0, err);
	else
		rc = read_vectors(mem, json_object_get(root, "embeddings"), out, err);
	if (rc == 0)
		out->prompt_tok = json_get_int(root, "prompt_eval_count", -1);
	json_decref(root);
	return rc;
}
