/* network.c: the services on a node's P2P host. */
#ifndef NODE_NETWORK_PRIV_H
#define NODE_NETWORK_PRIV_H

#include "node/config.h"
#include "p2p/kad.h"

/* What peers may use of the node. E_INVALID, with the flag in the text. */
int network_limits(const struct config *c, struct p2p_limits *l, struct err *err) WARN_UNUSED;

/* Relays, AutoNAT, hole punching, port mapping, the hash table, as the settings say. *kad stays as
 * it is where the table is switched off. What is started ends with the host, *kad before it. */
int network_services(
    struct p2p_host *h, const struct config *c, struct p2p_kad **kad, struct err *err) WARN_UNUSED;

#endif
