/* What clients of the Ollama dialect ask about models, and the list of a server's. We do not know
 * of a model's file what its own server knows: what is unknown is empty or 0, never made up. */
#include "crypto/hash.h"
#include "dialect/json.h"
#include "dialect/ollama.h"
#include "dialect/ollama_priv.h"
#include "dialect/openai.h"
#include "dialect/write_priv.h"

#include "base/encode.h"

#include <stdio.h>
#include <talloc.h>

#define MODELS_MAX 4096
#define FOREVER_US 10990080000000000 /* the year 2318: as far away as its servers say */

void ollama_version_write(struct buf *out)
{
	buf_str(out, "{\"version\":\"" OLLAMA_VERSION "\"}");
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Its clients cut the digest: it always has all its digits. Without the file's hash it stands for
 * the name. */
static void put_digest(struct buf *out, const struct model_entry *m)
{
	uint8_t hash[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	if (m->hash[0]) {
		put_member_text(out, "digest", bytes_str(m->hash));
		return;
	}
	sha256(bytes_str(m->id), hash);
	hex_encode(bytes_of(hash, sizeof hash), hex);
	put_member_text(out, "digest", bytes_str(hex));
}

static void put_details(struct buf *out)
{
	buf_str(out, ",\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"\","
		     "\"families\":[],\"parameter_size\":\"\",\"quantization_level\":\"\"}");
}

/* Names have tags there: one without has the tag "latest". */
static void put_name(struct buf *out, const char *key, const char *id)
{
	char name[MODEL_ID_MAX + sizeof ":latest"];
	const char *slash = strrchr(id, '/');

	if (snprintf(name, sizeof name, "%s%s", id,
		strchr(slash ? slash : id, ':') ? "" : ":latest") < 0)
		name[0] = 0;
	put_member_text(out, key, bytes_str(name));
}

static void put_capabilities(struct buf *out, unsigned abilities)
{
	static const struct {
		unsigned ability;
		const char *name;
	} table[] = {
	    {MODEL_CHAT | MODEL_COMPLETION, "completion"},
	    {MODEL_TOOLS, "tools"},
	    {MODEL_VISION, "vision"},
	    {MODEL_EMBEDDING, "embedding"},
	};
	const char *comma = "";

	buf_str(out, ",\"capabilities\":[");
	if (abilities == 0) /* unknown: what nearly all can */
		abilities = MODEL_CHAT;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (abilities & table[i].ability) {
			buf_printf(out, "%s\"%s\"", comma, table[i].name);
			comma = ",";
		}
	buf_u8(out, ']');
}

static bool listed_before(const struct model_entry *models, size_t i, bool ready_only)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(models[k].id, models[i].id) == 0 && (models[k].ready || !ready_only))
			return true;
	return false;
}

static void put_head(struct buf *out, const struct model_entry *m)
{
	buf_str(out, "{\"size\":0");
	put_name(out, "name", m->id);
	put_name(out, "model", m->id);
	put_digest(out, m);
	put_details(out);
}

void ollama_tags_write(struct buf *out, const struct model_entry *models, size_t n)
{
	const char *comma = "";

	buf_str(out, "{\"models\":[");
	for (size_t i = 0; i < n; i++) {
		if (listed_before(models, i, false))
			continue;
		buf_str(out, comma);
		put_head(out, &models[i]);
		put_capabilities(out, models[i].abilities);
		buf_str(out, ",\"modified_at\":");
		put_time(out, models[i].created_s * 1000000);
		buf_u8(out, '}');
		comma = ",";
	}
	buf_str(out, "]}");
}

void ollama_ps_write(struct buf *out, const struct model_entry *models, size_t n)
{
	const char *comma = "";

	buf_str(out, "{\"models\":[");
	for (size_t i = 0; i < n; i++) {
		if (!models[i].ready || listed_before(models, i, true))
			continue;
		buf_str(out, comma);
		put_head(out, &models[i]);
		buf_str(out, ",\"size_vram\":0,\"expires_at\":");
		put_time(out, FOREVER_US);
		if (models[i].n_ctx > 0)
			put_member_int(out, "context_length", models[i].n_ctx);
		buf_u8(out, '}');
		comma = ",";
	}
	buf_str(out, "]}");
}

int ollama_show_parse(struct bytes body, char model[MODEL_ID_MAX], struct err *err)
{
	const char *name;
	json_t *root;
	int rc = json_read(body, &root, err);

	if (rc != 0)
		return rc;
	name = json_get_string(root, "model", NULL);
	if (!name) /* the older member */
		name = json_get_string(root, "name", "");
	if (!*name)
		rc = err_set_param(err, E_INVALID, "model", "is required");
	else if (strlen(name) >= MODEL_ID_MAX)
		rc = err_set_param(err, E_INVALID, "model", "is too long");
	else
		memcpy(model, name, strlen(name) + 1);
	if (rc == 0)
		ollama_name_normalise(model);
	json_decref(root);
	return rc;
}

/* Clients look for the length of the context under the architecture's name. */
void ollama_show_write(struct buf *out, const struct model_entry *models, size_t n)
{
	unsigned abilities = 0;
	uint32_t n_ctx = 0;

	INVARIANT(n > 0);
	for (size_t i = 0; i < n; i++) {
		abilities |= models[i].abilities;
		n_ctx = models[i].n_ctx > n_ctx ? models[i].n_ctx : n_ctx;
	}
	buf_str(out, "{\"license\":\"\",\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"\"");
	put_details(out);
	buf_str(out, ",\"model_info\":{\"general.architecture\":\"unknown\"");
	if (n_ctx > 0)
		put_member_int(out, "unknown.context_length", n_ctx);
	buf_u8(out, '}');
	put_capabilities(out, abilities);
	buf_str(out, ",\"modified_at\":");
	put_time(out, models[0].created_s * 1000000);
	buf_u8(out, '}');
}

/* ---- reading ------------------------------------------------------------------------------- */

static unsigned abilities_of(const json_t *capabilities)
{
	static const struct {
		const char *name;
		unsigned abilities;
	} table[] = {
	    {"completion", MODEL_CHAT | MODEL_COMPLETION},
	    {"tools", MODEL_TOOLS},
	    {"vision", MODEL_VISION},
	    {"embedding", MODEL_EMBEDDING},
	};
	unsigned abilities = 0;
	const json_t *v;
	size_t i;

	json_array_foreach(capabilities, i, v)
	{
		for (size_t k = 0; json_is_string(v) && k < sizeof table / sizeof table[0]; k++)
			if (strcmp(table[k].name, json_string_value(v)) == 0)
				abilities |= table[k].abilities;
	}
	return abilities;
}

static bool read_model(const json_t *v, struct model_entry *m)
{
	const char *name = json_get_string(v, "model", NULL);
	const char *digest = json_get_string(v, "digest", "");

	if (!name)
		name = json_get_string(v, "name", "");
	if (!*name || strlen(name) >= MODEL_ID_MAX)
		return false;
	memcpy(m->id, name, strlen(name) + 1);
	ollama_name_normalise(m->id);
	m->created_s = time_of_text(json_get_string(v, "modified_at", ""));
	m->ready = true;
	m->abilities = abilities_of(json_object_get(v, "capabilities"));
	if (strlen(digest) == 2 * SHA256_SIZE)
		memcpy(m->hash, digest, strlen(digest) + 1);
	return true;
}

static int read_list(
    void *mem, const json_t *list, struct model_entry **out, size_t *n, struct err *err)
{
	if (!json_is_array(list) || json_array_size(list) > MODELS_MAX)
		return err_set(err, E_UPSTREAM, "the provider's list of models is none");
	*out = talloc_zero_array(mem, struct model_entry, (unsigned)json_array_size(list) + 1);
	if (!*out)
		return err_set(err, E_MEMORY, "no memory for a list of models");
	*n = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		*n += read_model(json_array_get(list, i), &(*out)[*n]);
	return 0;
}

int ollama_models_parse(
    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err)
{
	json_t *root;
	int rc;

	if (json_read(body, &root, err) != 0)
		return err_set(err, E_UPSTREAM, "the provider's list of models is not valid JSON");
	if (json_is_string(json_object_get(root, "error")))
		rc = openai_error_parse(body, 0, err);
	else
		rc = read_list(mem, json_object_get(root, "models"), out, n, err);
	json_decref(root);
	return rc;
}
