/* The methods of control for invitations, joining and pairing. */
#include "control/control_priv.h"

#include <stdlib.h>
#include <string.h>

#define LIFETIME_DEFAULT_S 86400

/* ---- invitations --------------------------------------------------------------------------- */

static json_t *invite_json(const struct cluster_invite *i)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "id", i->id, "state",
	    cluster_invite_state_name(i->state), "created_ms", (json_int_t)(i->created_s * 1000),
	    "expires_ms", (json_int_t)(i->expires_s * 1000), "uses", (json_int_t)i->uses, "used",
	    (json_int_t)i->used);
}

/* *out is the caller's to free. */
static int addresses_of(const json_t *params, struct multiaddr **out, size_t *n, struct err *err)
{
	const json_t *list = json_object_get(params, "addresses"), *v;
	size_t i;
	*n = json_array_size(list);
	*out = NULL;
	if (*n > CLUSTER_INVITE_ADDRS_MAX)
		return err_set(err, E_INVALID, "at most %d addresses", CLUSTER_INVITE_ADDRS_MAX);
	*out = calloc(*n + 1, sizeof **out);
	if (!*out)
		return err_set(err, E_MEMORY, "no memory for addresses");
	json_array_foreach(list, i, v)
	{
		struct multiaddr_tcp tcp;
		struct err why = {0};
		const char *text = json_string_value(v);
		int rc = multiaddr_parse(bytes_str(text ? text : ""), &(*out)[i], &why);
		if (rc == 0)
			rc = multiaddr_tcp(&(*out)[i], &tcp, &why);
		if (rc) {
			free(*out);
			return err_set(err, E_INVALID, "--address: %s", err_text(&why));
		}
	}
	return 0;
}

int control_invite_create(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	char token[CLUSTER_TOKEN_TEXT_MAX];
	struct cluster_invite invite;
	struct multiaddr *addrs;
	size_t n;
	(void)notify;
	int64_t uses = json_get_int(params, "uses", 1);
	if (uses < 0 || uses > UINT32_MAX)
		uses = 0; /* refused there, with the limits */
	int rc = addresses_of(params, &addrs, &n, err);
	if (rc)
		return rc;
	rc = cluster_invite(c->opt.cluster, json_get_int(params, "expires_s", LIFETIME_DEFAULT_S),
	    (uint32_t)uses, addrs, n, token, &invite, err);
	free(addrs);
	if (rc)
		return rc;
	*result = invite_json(&invite);
	json_object_set_new(*result, "cluster", json_string(cluster_id(c->opt.cluster)));
	json_object_set_new(*result, "token", json_string(token));
	explicit_bzero(token, sizeof token);
	return 0;
}

static void list_invite(void *arg, const struct cluster_invite *i)
{
	json_array_append_new(arg, invite_json(i));
}

int control_invite_list(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)params;
	(void)notify;
	(void)err;
	*result = json_array();
	cluster_each_invite(c->opt.cluster, list_invite, *result);
	return 0;
}

int control_invite_revoke(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	int rc = cluster_invite_revoke(c->opt.cluster, json_get_string(params, "id", ""), err);
	if (rc == 0)
		*result = json_true();
	return rc;
}

/* ---- joining and pairing ------------------------------------------------------------------- */

static json_t *joined_json(const char *status, const struct cluster_join_result *r)
{
	return json_pack("{s:s, s:s, s:o}", "status", status, "cluster", r->cluster, "through",
	    control_node_json(&r->through, r->label));
}

static enum cluster_leave leave_of(const json_t *params)
{
	return json_get_bool(params, "leave", false) ? CLUSTER_LEAVE : CLUSTER_STAY;
}

int control_cluster_join(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct cluster_join_result out;
	(void)notify;
	int rc = cluster_join(
	    c->opt.cluster, json_get_string(params, "token", ""), leave_of(params), &out, err);
	if (rc == 0)
		*result = joined_json("joined", &out);
	return rc;
}

static int show_code(void *arg, const char *code, struct err *err)
{
	const struct rpc_notify *notify = arg;
	return notify->send(notify->arg,
	    json_pack("{s:s, s:s, s:{s:O?, s:s, s:i}}", "jsonrpc", "2.0", "method", "pair.code",
		"params", "id", notify->id, "code", code, "seconds", CLUSTER_PAIR_SECONDS),
	    err);
}

int control_pair_show(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct cluster_join_result out;
	(void)params;
	if (!notify)
		return err_set(err, E_UNSUPPORTED, "pair.show works on the Unix socket only");
	int rc = cluster_pair_show(c->opt.cluster, show_code, (void *)(uintptr_t)notify, &out, err);
	if (rc == 0)
		*result = joined_json("paired", &out);
	return rc;
}

int control_pair_enter(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct cluster_join_result out;
	(void)notify;
	int rc = cluster_pair(
	    c->opt.cluster, json_get_string(params, "code", ""), leave_of(params), &out, err);
	if (rc == 0)
		*result = joined_json("joined", &out);
	return rc;
}
