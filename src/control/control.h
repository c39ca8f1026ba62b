/* Control: how commands and tools talk to a running node. JSON-RPC 2.0, one object a line, over the
 * Unix socket <data dir>/control.sock (whoever may open it is the owner), and one object a request
 * as POST /rpc on the TCP control port, where the token of <data dir>/control.token is asked for.
 *
 *   node.status   node.stop   peers.list {all}   peers.accept {peer}   peers.reject {peer}
 *   models.list   route.explain {model, prompt, target, strategy, max_tokens}
 *   providers.list   providers.add {name, kind, url, key, shared, price_in_msat, price_out_msat}
 *   providers.remove {name}   providers.refresh
 *   chat.ask {prompt, model, target, system, max_tokens, temperature, seed}
 *   invite.create {expires_s, uses, addresses}   invite.list   invite.revoke {id}
 *   keys.create {name, scopes, models, requests_per_min, tokens_per_min, concurrent, expires_s}
 *   keys.list   keys.revoke {id}   peers.trust {peer, name, scopes, models, requests_per_min,
 *   tokens_per_min, concurrent}   peers.untrust {peer}   peers.trusted
 *   requests.list {limit}   requests.get {id}   requests.follow
 *   cluster.join {token, leave}   pair.show   pair.enter {code, leave}
 *
 * pair.show sends one notification "pair.code" {id, code, seconds} and has its result when somebody
 * was let in; hanging up ends it (Unix socket only). chat.ask sends notifications "chat.text" {id,
 * text} as the answer comes (Unix socket only), then its result. requests.follow sends
 * notifications "requests.ended" {id, request} until its caller hangs up (Unix socket only). SPEC
 * JSON-RPC 2.0; errors carry data {code} with our own name for the error. */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "access/access.h"
#include "cluster/cluster.h"
#include "jobs/jobs.h"
#include "jobs/records.h"
#include "provider/fleet.h"

struct control;

struct control_options {
	struct world *world;
	const char *data_dir;
	const char *label;
	struct netaddr listen; /* the TCP control port */
	struct p2p_host *host;
	struct cluster *cluster;
	struct catalog *catalog;
	struct jobs *jobs;
	struct access *access;   /* NULL: its methods are E_UNSUPPORTED */
	struct records *records; /* may be NULL likewise */
	struct fleet *fleet;
	struct netaddr http;           /* where the gateway listens */
	struct duration request_limit; /* for a whole answer */
	void (*stop)(void *arg);       /* node.stop was called; must not park */
	void *arg;
};

#define CONTROL_SOCKET "control.sock"
#define CONTROL_TOKEN  "control.token"

/* [parks] Binds the socket and the port and serves. */
int control_new(
    const struct control_options *opt, struct control **out, struct err *err) WARN_UNUSED;
void control_addr(const struct control *c, struct netaddr *out);
/* [parks] */
void control_close(struct control *c);

#endif
