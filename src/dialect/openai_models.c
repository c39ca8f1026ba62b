/* Model lists. A model that several nodes serve is one element, with its nodes. */
#include "dialect/openai_priv.h"

#include <talloc.h>

/* What the entries of one id say together. */
struct together {
	const struct model_entry *first;
	int64_t created_s;
	uint32_t n_ctx;
	bool ready;
};

static void put_nodes(struct buf *out, const char *id, const struct model_entry *models, size_t n)
{
	bool any = false;

	buf_str(out, ",\"nodes\":[");
	for (size_t i = 0; i < n; i++) {
		if (!models[i].owner[0] || strcmp(models[i].id, id) != 0)
			continue;
		if (any)
			buf_u8(out, ',');
		json_put_text(out, bytes_str(models[i].owner));
		any = true;
	}
	buf_u8(out, ']');
}

void openai_model_write(struct buf *out, const char *id, const struct model_entry *models, size_t n)
{
	struct together t = {0};

	for (size_t i = 0; i < n; i++) {
		if (strcmp(models[i].id, id) != 0)
			continue;
		if (!t.first || models[i].created_s < t.created_s)
			t.created_s = models[i].created_s;
		if (!t.first)
			t.first = &models[i];
		t.ready = t.ready || models[i].ready;
		t.n_ctx = models[i].n_ctx > t.n_ctx ? models[i].n_ctx : t.n_ctx;
	}
	INVARIANT(t.first);
	buf_str(out, "{\"id\":");
	json_put_text(out, bytes_str(id));
	buf_printf(
	    out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":", (long long)t.created_s);
	json_put_text(
	    out, bytes_str(t.first->owner_label[0] ? t.first->owner_label : "opengateway"));
	buf_printf(out, ",\"ready\":%s", t.ready ? "true" : "false");
	if (t.n_ctx > 0)
		buf_printf(out, ",\"context_length\":%u", (unsigned)t.n_ctx);
	if (t.first->owner[0]) {
		buf_str(out, ",\"node\":");
		json_put_text(out, bytes_str(t.first->owner));
	}
	put_nodes(out, id, models, n);
	buf_u8(out, '}');
}

static bool listed_before(const struct model_entry *models, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(models[k].id, models[i].id) == 0)
			return true;
	return false;
}

void openai_models_write(struct buf *out, const struct model_entry *models, size_t n)
{
	bool any = false;

	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < n; i++) {
		if (listed_before(models, i))
			continue;
		if (any)
			buf_u8(out, ',');
		openai_model_write(out, models[i].id, models, n);
		any = true;
	}
	buf_str(out, "]}");
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Copies a string that fits; "" otherwise. */
static void take_text(char *to, size_t cap, const char *from)
{
	size_t n = from ? strlen(from) : 0;

	to[0] = 0;
	if (n > 0 && n < cap)
		memcpy(to, from, n + 1);
}

static bool read_model(const json_t *v, struct model_entry *m)
{
	int64_t n_ctx = json_get_int(v, "context_length", 0);

	*m = (struct model_entry){
	    .created_s = json_get_int(v, "created", 0),
	    .n_ctx = n_ctx > 0 && n_ctx <= INT32_MAX ? (uint32_t)n_ctx : 0,
	    .ready = json_get_bool(v, "ready", true), /* others list what they can run */
	};
	take_text(m->id, sizeof(m->id), json_get_string(v, "id", ""));
	take_text(m->owner_label, sizeof(m->owner_label), json_get_string(v, "owned_by", ""));
	return m->id[0] != 0;
}

/* How many entries an element stands for. */
static size_t spread(const json_t *v)
{
	size_t n = json_array_size(json_object_get(v, "nodes"));

	return n > 0 ? n : 1;
}

static size_t read_element(const json_t *v, struct model_entry *out)
{
	const json_t *nodes = json_object_get(v, "nodes");
	size_t n = 0;

	if (!read_model(v, &out[0]))
		return 0;
	if (json_array_size(nodes) == 0) {
		take_text(out[0].owner, sizeof(out[0].owner), json_get_string(v, "node", ""));
		return 1;
	}
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		if (i > 0)
			out[n] = out[0];
		take_text(out[n].owner, sizeof(out[n].owner),
		    json_string_value(json_array_get(nodes, i)));
		n++;
	}
	return n;
}

static int read_list(
    void *mem, const json_t *data, struct model_entry **out, size_t *n, struct err *err)
{
	size_t total = 0, i;
	const json_t *v;

	json_array_foreach(data, i, v)
	{
		size_t more = spread(v);

		if (more > OPENAI_MODELS_MAX - total)
			return err_set(
			    err, E_UPSTREAM, "the provider's list of models is too long");
		total += more;
	}
	*out = talloc_zero_array(mem, struct model_entry, (unsigned)total);
	if (!*out)
		return err_set(err, E_MEMORY, "no memory for a list of models");
	*n = 0;
	json_array_foreach(data, i, v) *n += read_element(v, *out + *n);
	return 0;
}

int openai_models_parse(
    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err)
{
	const json_t *data;
	json_t *root;
	int rc;

	if (json_read(body, &root, err) != 0)
		return err_set(err, E_UPSTREAM, "the provider's list of models is not valid JSON");
	data = json_object_get(root, "data");
	rc = openai_error_in(root, 0, err);
	if (rc == 0 && !json_is_array(data))
		rc = err_set(err, E_UPSTREAM, "the provider's list of models has no data");
	else if (rc == 0)
		rc = read_list(mem, data, out, n, err);
	json_decref(root);
	return rc;
}
