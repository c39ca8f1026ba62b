/* DCUtR's messages, and which addresses are worth a hole: pure. SPEC libp2p DCUtR. */
#ifndef P2P_DCUTR_PRIV_H
#define P2P_DCUTR_PRIV_H

#include "p2p/peer_record_priv.h"
#include "rt/world.h"

#define DCUTR_MESSAGE_MAX 4096 /* SPEC: more is refused */
#define DCUTR_ADDRS_MAX   16   /* of a message; more are ignored */

enum dcutr_type {
	DCUTR_CONNECT = 100,
	DCUTR_SYNC = 300,
};

struct dcutr_message {
	enum dcutr_type type;
	struct addr_list addrs; /* CONNECT */
};

/* E_PROTOCOL, E_MEMORY; nothing to free then. */
int dcutr_decode(struct bytes in, struct dcutr_message *out, struct err *err) WARN_UNUSED;
void dcutr_free(struct dcutr_message *m);
void dcutr_encode(const struct dcutr_message *m, struct buf *out);

/* The socket addresses to dial: TCP on an IP address, public, or private and in the same network
 * (by its first two bytes) as one of `own`: a peer does not get to choose whom we knock at. At most
 * `cap`. */
size_t dcutr_targets(const struct addr_list *theirs, const struct multiaddr *own, size_t n_own,
    struct netaddr *out, size_t cap);

#endif
