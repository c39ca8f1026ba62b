/* Model lists. A model that several nodes serve is one element, with its nodes. */
#include "dialect/openai_priv.h"

#include <stdlib.h>
#include <talloc.h>

static const struct {
	const char *name;
	unsigned ability;
} abilities[] = {
    {"chat", MODEL_CHAT},
    {"completion", MODEL_COMPLETION},
    {"embedding", MODEL_EMBEDDING},
    {"tools", MODEL_TOOLS},
    {"vision", MODEL_VISION},
};

#define ABILITIES_N (sizeof(abilities) / sizeof(abilities[0]))

/* ---- names of abilities -------------------------------------------------------------------- */

static void put_abilities(struct buf *out, unsigned set)
{
	bool any = false;

	buf_u8(out, '[');
	for (size_t i = 0; i < ABILITIES_N; i++) {
		if (!(set & abilities[i].ability))
			continue;
		buf_printf(out, "%s\"%s\"", any ? "," : "", abilities[i].name);
		any = true;
	}
	buf_u8(out, ']');
}

static unsigned ability_of(const char *name)
{
	for (size_t i = 0; name && i < ABILITIES_N; i++)
		if (strcmp(name, abilities[i].name) == 0)
			return abilities[i].ability;
	return 0;
}

static unsigned read_abilities(const json_t *list)
{
	unsigned set = 0;
	size_t i;
	const json_t *v;

	json_array_foreach(list, i, v)
	{
		set |= ability_of(json_string_value(v));
	}
	return set;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* What the entries of one id say together. */
struct together {
	int64_t created_s;
	uint32_t n_ctx;
	bool ready;
	unsigned abilities;
	const char *hash; /* where all that know one know the same; "" otherwise */
};

static struct together sum_up(const struct model_entry *const *same, size_t n)
{
	struct together t = {.created_s = same[0]->created_s, .hash = ""};
	bool differ = false;

	for (size_t i = 0; i < n; i++) {
		const struct model_entry *m = same[i];

		t.created_s = m->created_s < t.created_s ? m->created_s : t.created_s;
		t.n_ctx = m->n_ctx > t.n_ctx ? m->n_ctx : t.n_ctx;
		t.ready = t.ready || m->ready;
		t.abilities |= m->abilities;
		differ = differ || (m->hash[0] && t.hash[0] && strcmp(m->hash, t.hash) != 0);
		t.hash = t.hash[0] ? t.hash : m->hash;
	}
	t.hash = differ ? "" : t.hash;
	return t;
}

/* A node may have a model several times, from several providers, and is named once. */
static bool named_before(const struct model_entry *const *same, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(same[k]->owner, same[i]->owner) == 0)
			return true;
	return false;
}

static void put_nodes(struct buf *out, const struct model_entry *const *same, size_t n)
{
	bool any = false;

	buf_str(out, ",\"nodes\":[");
	for (size_t i = 0; i < n; i++) {
		if (!same[i]->owner[0] || named_before(same, i))
			continue;
		if (any)
			buf_u8(out, ',');
		json_put_text(out, bytes_str(same[i]->owner));
		any = true;
	}
	buf_u8(out, ']');
}

/* At least one. */
static void put_model(struct buf *out, const struct model_entry *const *same, size_t n)
{
	struct together t = sum_up(same, n);

	buf_str(out, "{\"id\":");
	json_put_text(out, bytes_str(same[0]->id));
	buf_printf(
	    out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":", (long long)t.created_s);
	json_put_text(
	    out, bytes_str(same[0]->owner_label[0] ? same[0]->owner_label : "opengateway"));
	buf_printf(out, ",\"ready\":%s", t.ready ? "true" : "false");
	if (t.n_ctx > 0)
		buf_printf(out, ",\"context_length\":%u", (unsigned)t.n_ctx);
	if (t.abilities) {
		buf_str(out, ",\"abilities\":");
		put_abilities(out, t.abilities);
	}
	if (t.hash[0]) {
		buf_str(out, ",\"hash\":");
		json_put_text(out, bytes_str(t.hash));
	}
	if (same[0]->owner[0]) {
		buf_str(out, ",\"node\":");
		json_put_text(out, bytes_str(same[0]->owner));
	}
	put_nodes(out, same, n);
	buf_u8(out, '}');
}

static int by_id(const void *a, const void *b)
{
	const struct model_entry *x = *(const struct model_entry *const *)a,
				 *y = *(const struct model_entry *const *)b;
	int order = strcmp(x->id, y->id);

	return order ? order : x < y ? -1 : x > y;
}

/* Entries of one id, which stand together. */
struct group {
	const struct model_entry *const *same;
	size_t n;
};

static int by_place(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return *x->same < *y->same ? -1 : *x->same > *y->same;
}

/* Groups the entries by id, in the order of each id's first. The sorted pointers and the groups
 * become children of `mem`; 0 groups without memory. */
static size_t group(void *mem, const struct model_entry *models, size_t n, struct group **out)
{
	const struct model_entry **sorted =
	    talloc_array(mem, const struct model_entry *, (unsigned)n);
	struct group *groups = talloc_zero_array(mem, struct group, (unsigned)n);
	size_t n_groups = 0;

	if (!sorted || !groups)
		return 0;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &models[i];
	qsort(sorted, n, sizeof(*sorted), by_id);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(sorted[i]->id, sorted[i - 1]->id) != 0)
			groups[n_groups++].same = &sorted[i];
		groups[n_groups - 1].n++;
	}
	qsort(groups, n_groups, sizeof(*groups), by_place);
	*out = groups;
	return n_groups;
}

void openai_model_write(struct buf *out, const char *id, const struct model_entry *models, size_t n)
{
	void *mem = talloc_new(NULL);
	struct group *groups;
	size_t n_groups = mem ? group(mem, models, n, &groups) : 0;

	out->failed |= n_groups == 0;
	for (size_t i = 0; i < n_groups; i++)
		if (strcmp(groups[i].same[0]->id, id) == 0)
			put_model(out, groups[i].same, groups[i].n);
	talloc_free(mem);
}

void openai_models_write(struct buf *out, const struct model_entry *models, size_t n)
{
	void *mem = talloc_new(NULL);
	struct group *groups;
	size_t n_groups = mem && n > 0 ? group(mem, models, n, &groups) : 0;

	out->failed |= n > 0 && n_groups == 0;
	buf_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < n_groups; i++) {
		if (i > 0)
			buf_u8(out, ',');
		put_model(out, groups[i].same, groups[i].n);
	}
	buf_str(out, "]}");
	talloc_free(mem);
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

/* The context of a model in tokens: ours and OpenRouter's name for it, vLLM's, LM Studio's (of what
 * is loaded, and at most), Groq's, llama.cpp's. */
static uint32_t read_context(const json_t *v)
{
	static const char *const names[] = {"context_length", "max_model_len",
	    "loaded_context_length", "context_window", "max_context_length"};
	const json_t *meta = json_object_get(v, "meta");
	int64_t n = 0;

	for (size_t i = 0; n <= 0 && i < sizeof(names) / sizeof(names[0]); i++)
		n = json_get_int(v, names[i], 0);
	if (n <= 0)
		n = json_get_int(meta, "n_ctx", 0);
	if (n <= 0)
		n = json_get_int(meta, "n_ctx_train", 0);
	return n > 0 && n <= INT32_MAX ? (uint32_t)n : 0;
}

/* In the words of LM Studio (type, capabilities), Mistral (capabilities as an object), Together. */
static unsigned read_foreign_abilities(const json_t *v)
{
	static const struct {
		const char *name;
		unsigned set;
	} words[] = {
	    {"llm", MODEL_CHAT | MODEL_COMPLETION},
	    {"vlm", MODEL_CHAT | MODEL_COMPLETION | MODEL_VISION},
	    {"embeddings", MODEL_EMBEDDING},
	    {"embedding", MODEL_EMBEDDING},
	    {"chat", MODEL_CHAT},
	    {"language", MODEL_COMPLETION},
	    {"tool_use", MODEL_TOOLS},
	    {"tools", MODEL_TOOLS},
	    {"multimodal", MODEL_VISION},
	    {"vision", MODEL_VISION},
	    {"completion_chat", MODEL_CHAT},
	    {"completion", MODEL_COMPLETION},
	    {"function_calling", MODEL_TOOLS},
	};
	const json_t *all = json_object_get(v, "capabilities"), *word;
	const char *type = json_get_string(v, "type", "");
	unsigned set = 0;
	size_t k;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(type, words[i].name) == 0 || json_get_bool(all, words[i].name, false))
			set |= words[i].set;
		json_array_foreach(all, k, word)
		{
			if (json_is_string(word) &&
			    strcmp(json_string_value(word), words[i].name) == 0)
				set |= words[i].set;
		}
	}
	return set;
}

/* SHA-256 in lower-case hex, or nothing. */
static void take_hash(char to[MODEL_HASH_MAX], const char *from)
{
	if (strlen(from) == MODEL_HASH_MAX - 1 &&
	    strspn(from, "0123456789abcdef") == MODEL_HASH_MAX - 1)
		memcpy(to, from, MODEL_HASH_MAX);
}

static bool read_model(const json_t *v, struct model_entry *m)
{
	const json_t *ours = json_object_get(v, "abilities");

	*m = (struct model_entry){
	    .created_s = json_get_int(v, "created", 0),
	    .n_ctx = read_context(v),
	    .ready = json_get_bool(v, "ready", true), /* others list what they can run */
	    .abilities = json_is_array(ours) ? read_abilities(ours) : read_foreign_abilities(v),
	};
	take_text(m->id, sizeof(m->id), json_get_string(v, "id", ""));
	take_text(m->owner_label, sizeof(m->owner_label), json_get_string(v, "owned_by", ""));
	take_hash(m->hash, json_get_string(v, "hash", ""));
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
