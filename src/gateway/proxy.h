/* HTTP over P2P: this node's services for members of its cluster, and theirs for this node's
 * clients.
 *
 * A client names both: X-Target-Node says whose, X-Gate-Service which service ("*": the only one).
 * The request goes to that node on a stream of HTTP_OVER_P2P of its own, with X-Gate-Service, and
 * from there to the address that its owner has exposed under the name. */
#ifndef GATEWAY_PROXY_H
#define GATEWAY_PROXY_H

#include "cluster/cluster.h"
#include "gateway/expose.h"
#include "http/server.h"

struct proxy;

/* Passed on at once, in all and for one peer. */
#define PROXY_PASSING_MAX  512
#define PROXY_PER_PEER_MAX 64

#define PROXY_CONNECT_MS 10000
#define PROXY_HEAD_MS    300000 /* from the last byte of the request to the answer's head */
#define PROXY_IDLE_MS    900000 /* without a byte in either direction */

struct proxy_options {
	struct world *world;
	struct cluster *cluster;
	struct p2p_host *host;
	const char *label;
	const char (*exposed)[EXPOSE_TEXT_MAX]; /* see expose_parse */
	size_t n_exposed;
};

/* E_INVALID (an exposure), E_EXISTS (two of one name), E_IO (no certificates for https). */
int proxy_new(const struct proxy_options *opt, struct proxy **out, struct err *err) WARN_UNUSED;
/* Everything that is passed on ends soon. */
void proxy_stop(struct proxy *p);
/* After the end of all exchanges. NULL is fine. */
void proxy_free(struct proxy *p);

/* Takes note that this node itself listens there: no service of anybody. E_INVALID when one is
 * exposed there already. */
int proxy_forbid(struct proxy *p, const struct netaddr *own, struct err *err) WARN_UNUSED;

/* [parks] A client's request for a service of a node. `own_cors`: the answer's CORS headers are
 * this node's. Errors are for the client: E_NOT_FOUND, E_UNAVAILABLE (the node), E_FORBIDDEN (it
 * does not serve us), E_LOOP, E_LIMIT, those of connections. */
struct proxy_request {
	const char *node;    /* node id, peer id or label */
	const char *service; /* "*": the only one */
	bool own_cors;
};
int proxy_ask(struct proxy *p, struct http_exchange *x, const struct proxy_request *r,
    struct err *err) WARN_UNUSED;
/* [parks] A peer's request for a service of ours; `remote`: its multiaddr. */
int proxy_serve(struct proxy *p, struct http_exchange *x, const struct peer_id *peer,
    const char *remote, struct err *err) WARN_UNUSED;

/* Who a request is for. */
struct proxy_forward {
	struct netaddr listen; /* port 0 picks a free one */
	const char *node, *service;
	bool any_host; /* serve whatever the Host and Origin headers say */
};
/* [parks] Listens and passes everything on to one service, until the calling scope ends
 * (E_CANCELLED); `ready` is told the address first. E_NOT_FOUND, E_INVALID (the node or the
 * service's name), E_IN_USE, E_FORBIDDEN from the bind. */
int proxy_forward(struct proxy *p, const struct proxy_forward *f,
    int (*ready)(void *arg, const struct netaddr *at, struct err *err), void *arg,
    struct err *err) WARN_UNUSED;

#endif
