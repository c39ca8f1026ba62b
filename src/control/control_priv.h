/* The inside of control: connections (control.c) and methods (methods.c). */
#ifndef CONTROL_CONTROL_PRIV_H
#define CONTROL_CONTROL_PRIV_H

#include "control/control.h"
#include "dialect/json.h"

struct control {
	struct control_options opt;
	struct scope scope;
	struct listener *unix_socket, *tcp;
	struct netaddr addr;
	struct instant started;
	int connections;
	char token[65];
};

/* Where notifications of a call go; may be NULL. */
struct rpc_notify {
	int (*send)(void *arg, json_t *message, struct err *err); /* takes message over */
	void *arg;
	const json_t *id; /* of the call; borrowed */
};

/* [parks] Runs one method. *result is owned by the caller. E_METHOD for an unknown method,
 * E_INVALID for wrong parameters, else the method's errors. */
int control_call(struct control *c, const char *method, const json_t *params,
    const struct rpc_notify *notify, json_t **result, struct err *err) WARN_UNUSED;

/* The parameters of chat.ask as a request: prompt, model, system, max_tokens … *req is the caller's
 * (talloc_free). */
int control_read_request(
    const json_t *params, struct inference_request **req, struct err *err) WARN_UNUSED;

/* {label, node_id, peer_id}. */
json_t *control_node_json(const struct peer_id *id, const char *label);

/* ---- methods_join.c ---- */
#define CONTROL_METHOD(name)                                                                       \
	int name(struct control *c, const json_t *params, const struct rpc_notify *notify,         \
	    json_t **result, struct err *err) WARN_UNUSED
CONTROL_METHOD(control_invite_create);
CONTROL_METHOD(control_invite_list);
CONTROL_METHOD(control_invite_revoke);
CONTROL_METHOD(control_cluster_join);
CONTROL_METHOD(control_pair_show);
CONTROL_METHOD(control_pair_enter);

/* ---- methods_keys.c ---- */
CONTROL_METHOD(control_keys_create);
CONTROL_METHOD(control_keys_list);
CONTROL_METHOD(control_keys_revoke);
CONTROL_METHOD(control_peers_trust);
CONTROL_METHOD(control_peers_untrust);
CONTROL_METHOD(control_peers_trusted);

/* ---- methods_requests.c ---- */
CONTROL_METHOD(control_requests_list);
CONTROL_METHOD(control_requests_get);
CONTROL_METHOD(control_requests_follow);
/* ---- methods_route.c ---- */
CONTROL_METHOD(control_route_explain);
CONTROL_METHOD(control_providers_list);
CONTROL_METHOD(control_providers_add);
CONTROL_METHOD(control_providers_remove);
CONTROL_METHOD(control_providers_refresh);

#endif
