/* network.c: the services on a node's P2P host. */
#ifndef NODE_NETWORK_PRIV_H
#define NODE_NETWORK_PRIV_H

#include "node/config.h"
#include "p2p/gossip.h"
#include "p2p/kad.h"

/* What peers may use of the node. E_INVALID, with the flag in the text. */
int network_limits(const struct config *c, struct p2p_limits *l, struct err *err) WARN_UNUSED;

/* What has to be closed before the host; NULL where it is switched off. */
struct network {
	struct p2p_kad *kad;
	struct p2p_gossip *gossip;
};

/* Relays, AutoNAT, hole punching, port mapping, the hash table, as the settings say, and gossip
 * with those whom `with` lets in. Also after a failure network_close is due. */
int network_services(struct p2p_host *h, const struct config *c,
    bool (*with)(void *arg, const struct peer_id *peer), void *arg, struct network *out,
    struct err *err) WARN_UNUSED;
/* [parks] */
void network_close(struct network *n);

#endif
