/* The methods of control for keys and trusted peers. */
#include "control/control_priv.h"

#include <stdlib.h>
#include <string.h>

static int need_access(const struct control *c, struct err *err)
{
	return c->opt.access ? 0 : err_set(err, E_UNSUPPORTED, "this node keeps no keys");
}

/* ---- words to JSON and back ----------------------------------------------------------------- */

/* A list of strings, or one with commas, as one with commas. */
static int list_text(const json_t *params, const char *key, char *out, size_t cap, struct err *err)
{
	const json_t *v = json_object_get(params, key), *item;
	struct buf text = BUF_INIT(cap - 1);
	size_t i;
	if (json_is_string(v))
		buf_str(&text, json_string_value(v));
	json_array_foreach(v, i, item)
	{
		buf_printf(&text, "%s%s", i ? "," : "",
		    json_is_string(item) ? json_string_value(item) : "");
	}
	int rc = text.failed ? err_set(err, E_INVALID, "%s: more than %zu bytes", key, cap - 1) : 0;
	snprintf(out, cap, "%s", buf_cstr(&text));
	buf_free(&text);
	return rc;
}

static json_t *list_json(const char *text)
{
	json_t *list = json_array();
	while (*text) {
		size_t n = strcspn(text, ",");
		json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] == ',');
	}
	return list;
}

static json_t *rights_json(unsigned rights)
{
	char text[ACCESS_NAME_MAX];
	access_rights_print(rights, text);
	return rights ? list_json(text) : json_array();
}

static int read_rights(const json_t *params, unsigned *out, struct err *err)
{
	char text[ACCESS_NAME_MAX];
	*out = ACCESS_RIGHTS_USUAL;
	if (!json_object_get(params, "scopes"))
		return 0;
	int rc = list_text(params, "scopes", text, sizeof text, err);
	return rc ? rc : access_rights_parse(text[0] ? text : "none", out, err);
}

static int read_limits(const json_t *params, struct access_limits *out, struct err *err)
{
	int64_t concurrent = json_get_int(params, "concurrent", 0);
	if (concurrent < 0 || concurrent > UINT32_MAX)
		return err_set(err, E_INVALID, "concurrent: a number from 0 (no limit) on");
	*out =
	    (struct access_limits){.requests_per_min = json_get_int(params, "requests_per_min", 0),
		.tokens_per_min = json_get_int(params, "tokens_per_min", 0),
		.concurrent = (uint32_t)concurrent};
	return 0;
}

static json_t *limits_json(const struct access_limits *l)
{
	return json_pack("{s:I, s:I, s:I}", "requests_per_min", (json_int_t)l->requests_per_min,
	    "tokens_per_min", (json_int_t)l->tokens_per_min, "concurrent",
	    (json_int_t)l->concurrent);
}

static json_t *time_json(int64_t ms)
{
	return ms ? json_integer(ms) : json_null();
}

/* ---- keys ----------------------------------------------------------------------------------- */

static json_t *key_json(const struct access *a, const struct access_key *k)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "id", k->id, "name",
	    k->name, "state", access_key_state(a, k), "scopes", rights_json(k->rights), "models",
	    list_json(k->models), "limits", limits_json(&k->limits), "created_ms",
	    (json_int_t)k->created_ms, "expires_ms", time_json(k->expires_ms), "used_ms",
	    time_json(k->used_ms), "revoked_ms", time_json(k->revoked_ms));
}

int control_keys_create(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct access_key key = {0};
	char text[ACCESS_KEY_TEXT_MAX];
	const char *name = json_get_string(params, "name", "");
	int64_t lives_s = json_get_int(params, "expires_s", 0);
	(void)notify;
	int rc = need_access(c, err);
	if (rc == 0 && strlen(name) >= sizeof key.name)
		rc = err_set(err, E_INVALID, "a name of more than %zu bytes", sizeof key.name - 1);
	if (rc == 0 && (lives_s < 0 || lives_s > INT32_MAX))
		rc = err_set(err, E_INVALID, "expires_s: seconds from now, or 0 for never");
	if (rc == 0)
		rc = read_rights(params, &key.rights, err);
	if (rc == 0)
		rc = list_text(params, "models", key.models, sizeof key.models, err);
	if (rc == 0)
		rc = read_limits(params, &key.limits, err);
	if (rc)
		return rc;
	snprintf(key.name, sizeof key.name, "%s", name);
	key.expires_ms = lives_s ? world_wall_ms(c->opt.world) + lives_s * 1000 : 0;
	rc = access_key_create(c->opt.access, &key, text, err);
	if (rc)
		return rc;
	*result = key_json(c->opt.access, &key);
	json_object_set_new(*result, "key", json_string(text));
	explicit_bzero(text, sizeof text);
	return 0;
}

struct listing {
	const struct access *access;
	json_t *list;
};

static void list_key(void *arg, const struct access_key *k)
{
	struct listing *l = arg;
	json_array_append_new(l->list, key_json(l->access, k));
}

int control_keys_list(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct listing l = {c->opt.access, NULL};
	(void)params;
	(void)notify;
	int rc = need_access(c, err);
	if (rc)
		return rc;
	l.list = *result = json_array();
	access_each_key(c->opt.access, list_key, &l);
	return 0;
}

int control_keys_revoke(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	int rc = need_access(c, err);
	if (rc == 0)
		rc = access_key_revoke(c->opt.access, json_get_string(params, "id", ""), err);
	if (rc == 0)
		*result = json_pack("{s:b}", "key_required", access_guarded(c->opt.access));
	return rc;
}

/* ---- peers ---------------------------------------------------------------------------------- */

/* A node id, a peer id, or the label of a node that is known. */
static int read_peer(struct control *c, const json_t *params, struct peer_id *out, struct err *err)
{
	const char *text = json_get_string(params, "peer", "");
	if (node_id_parse(bytes_str(text), out, NULL) == 0 ||
	    peer_id_parse(bytes_str(text), out, NULL) == 0)
		return 0;
	return catalog_node(c->opt.catalog, text, out, err);
}

int control_peers_trust(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct access_peer p = {0};
	(void)notify;
	int rc = need_access(c, err);
	if (rc == 0)
		rc = read_peer(c, params, &p.id, err);
	if (rc == 0)
		rc = read_rights(params, &p.rights, err);
	if (rc == 0)
		rc = list_text(params, "models", p.models, sizeof p.models, err);
	if (rc == 0)
		rc = read_limits(params, &p.limits, err);
	const char *name = json_get_string(params, "name", "");
	if (rc == 0 && strlen(name) >= sizeof p.name)
		rc = err_set(err, E_INVALID, "a name of more than %zu bytes", sizeof p.name - 1);
	if (rc)
		return rc;
	snprintf(p.name, sizeof p.name, "%s", name);
	rc = access_peer_trust(c->opt.access, &p, err);
	if (rc == 0)
		*result = control_node_json(&p.id, p.name);
	return rc;
}

int control_peers_untrust(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct peer_id id;
	(void)notify;
	int rc = need_access(c, err);
	if (rc == 0)
		rc = read_peer(c, params, &id, err);
	if (rc == 0)
		rc = access_peer_untrust(c->opt.access, &id, err);
	if (rc == 0)
		*result = control_node_json(&id, "");
	return rc;
}

static void list_peer(void *arg, const struct access_peer *p)
{
	json_t *j = control_node_json(&p->id, p->name);
	json_object_set_new(j, "scopes", rights_json(p->rights));
	json_object_set_new(j, "models", list_json(p->models));
	json_object_set_new(j, "limits", limits_json(&p->limits));
	json_object_set_new(j, "since_ms", json_integer(p->since_ms));
	json_array_append_new(arg, j);
}

int control_peers_trusted(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)params;
	(void)notify;
	int rc = need_access(c, err);
	if (rc)
		return rc;
	*result = json_array();
	access_each_peer(c->opt.access, list_peer, *result);
	return 0;
}
