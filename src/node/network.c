/* How this node is reached, and reaches others, beyond dialling an address: the services on its P2P
 * host.
 *
 * Whoever only dials out is reachable through members that relay, from its first connection on;
 * where a hole can be made between the ends of such a circuit, a direct connection takes over. */
#include "node/network_priv.h"

#include "p2p/reach.h"
#include "p2p/relay.h"

#define RELAYS_WANTED    2 /* through which a node listens at once */
#define CONNECTIONS_MAX  1000000
#define STREAMS_PER_CONN 8 /* at least so many, if each peer has one connection */

static int map_port(struct p2p_host *h, struct err *err)
{
	int rc = p2p_portmap_start(h, err);
	if (rc != E_NOT_FOUND)
		return rc;
	rt_log(LOG_WARN, "node", "--map-port has no effect: the P2P address is a loopback one");
	return 0;
}

static const char *const over_relays[] = {
    "/http/1.1", GOSSIP_PROTOCOL_11, GOSSIP_PROTOCOL_10, GOSSIP_PROTOCOL_FLOOD};

static int start_gossip(struct p2p_host *h, bool (*with)(void *arg, const struct peer_id *peer),
    void *arg, struct p2p_gossip **out, struct err *err)
{
	struct p2p_gossip_options opt;
	p2p_gossip_options_default(&opt);
	opt.with = with;
	opt.with_arg = arg;
	return p2p_gossip_new(h, &opt, out, err);
}

void network_close(struct network *n)
{
	p2p_gossip_close(n->gossip);
	p2p_kad_close(n->kad);
	*n = (struct network){0};
}

int network_limits(const struct config *c, struct p2p_limits *l, struct err *err)
{
	uint64_t rate = (uint64_t)c->bandwidth_kib << 10;
	if (rate > 0 && rate < P2P_RATE_MIN)
		return err_set(err, E_INVALID, "--bandwidth: at least %d", P2P_RATE_MIN >> 10);
	if (c->max_connections > CONNECTIONS_MAX)
		return err_set(
		    err, E_INVALID, "--max-connections: at most %u", (unsigned)CONNECTIONS_MAX);
	l->conns_in = c->max_connections;
	l->memory_total = (uint64_t)c->network_memory_mib << 20;
	if (l->memory_per_peer > l->memory_total)
		l->memory_per_peer = l->memory_total;
	l->rate_total = rate;
	if (l->streams_in_total / STREAMS_PER_CONN < l->conns_in)
		l->streams_in_total = l->conns_in * STREAMS_PER_CONN;
	return 0;
}

int network_services(struct p2p_host *h, const struct config *c,
    bool (*with)(void *arg, const struct peer_id *peer), void *arg, struct network *out,
    struct err *err)
{
	int rc = p2p_autonat_start(h, NULL, err);
	if (rc == 0)
		rc = p2p_dcutr_start(h, err);
	for (size_t i = 0; rc == 0 && i < sizeof over_relays / sizeof *over_relays; i++)
		rc = p2p_allow_limited(h, over_relays[i], err);
	if (rc == 0 && c->relay)
		rc = p2p_relay_serve(h, NULL, err);
	if (rc == 0)
		rc = p2p_relay_want(h, RELAYS_WANTED, true, err);
	if (rc == 0 && c->map_port)
		rc = map_port(h, err);
	if (rc == 0 && c->dht) {
		struct p2p_kad_options table;
		p2p_kad_options_default(&table);
		table.mode = c->dht_mode;
		rc = p2p_kad_new(h, &table, &out->kad, err);
	}
	return rc ? rc : start_gossip(h, with, arg, &out->gossip, err);
}
