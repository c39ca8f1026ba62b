/* Asking the router for a port: the part that blocks, for a worker, and the way to put another in
 * its place in tests. */
#ifndef P2P_PORTMAP_PRIV_H
#define P2P_PORTMAP_PRIV_H

#include "p2p/reach.h"

enum portmap_method {
	PORTMAP_NONE,
	PORTMAP_NATPMP,
	PORTMAP_UPNP,
};

/* One request to the router; nothing in it points anywhere. */
struct portmap_job {
	enum portmap_method
	    method;       /* the one that worked before; NONE: try all. Then what worked */
	uint16_t port;    /* where we listen */
	uint16_t outside; /* the port wanted outside, then the one granted */
	uint32_t lease_s; /* wanted, then granted; 0 removes the mapping */
	uint8_t ip[4];    /* the router's address outside */
	int rc;
	char why[128]; /* unless rc is 0 */
};

/* Runs a struct portmap_job against the real router. Blocks for some seconds. */
void portmap_router(void *job);

/* p2p_portmap_start with another router. */
int portmap_start(struct p2p_host *h, void (*router)(void *job), struct err *err) WARN_UNUSED;

#endif
