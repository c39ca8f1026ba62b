/* The gateway: HTTP surfaces of this node, over TCP for clients and over libp2p streams for peers.
 *
 *   POST /v1/chat/completions   POST /v1/responses   GET /v1/models   GET /v1/models/{id}
 *   GET /v1/requests/{id}
 *   POST /v1/messages   POST /v1/messages/count_tokens
 *   POST /api/chat   POST /api/generate   POST /api/embed   POST /api/embeddings
 *   POST /api/show   GET /api/tags   GET /api/ps   GET /api/version   GET /   GET /health
 *
 * With X-Gate-Service any method and path: a service that a node exposes (proxy.h).
 *
 * A peer is served exactly as a client is, with its peer id as its credential. Requests over TCP
 * are checked for whose pages they come from: see cors.h; all are for what their sender may do: see
 * guard.h. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "access/access.h"
#include "cluster/cluster.h"
#include "gateway/cors.h"
#include "gateway/proxy.h"
#include "jobs/jobs.h"
#include "jobs/records.h"

struct gateway;

struct gateway_options {
	struct world *world;
	struct jobs *jobs;
	struct catalog *catalog;
	struct cluster *cluster;
	struct p2p_host *host;
	struct access *access;   /* NULL: everybody may do everything */
	struct records *records; /* NULL: none are kept */
	const char *label;
	struct netaddr listen;
	unsigned max_connections;                    /* TCP connections at once */
	struct duration request_limit;               /* for a whole answer */
	const char (*cors_origins)[CORS_ORIGIN_MAX]; /* whose pages may use it; borrowed */
	size_t n_cors_origins;
	const char (*exposed)[EXPOSE_TEXT_MAX]; /* services for members; borrowed */
	size_t n_exposed;
};

#define GATEWAY_CONNECTIONS_DEFAULT 16384

/* Binds and serves, over TCP and as handler of HTTP_OVER_P2P. E_IN_USE, E_FORBIDDEN from the bind;
 * the errors of proxy_new. */
int gateway_new(
    const struct gateway_options *opt, struct gateway **out, struct err *err) WARN_UNUSED;
void gateway_addr(const struct gateway *g, struct netaddr *out);
/* HTTP over P2P; lives as long as the gateway. */
struct proxy *gateway_proxy(const struct gateway *g);
/* Stops accepting and ends idle connections; busy ones finish their answer. */
void gateway_drain(struct gateway *g);
/* [parks] Cancels what still runs and waits for it. */
void gateway_close(struct gateway *g);

struct gateway_stats {
	uint64_t requests;
	size_t connections;
};
void gateway_stats(const struct gateway *g, struct gateway_stats *out);

#endif
