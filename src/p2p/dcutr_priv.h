/* DCUtR's messages, and which addresses are worth a hole: pure. SPEC libp2p DCUtR. */
#ifndef P2P_DCUTR_PRIV_H
#define P2P_DCUTR_PRIV_H

#include "p2p/peer_record_priv.h"
#include "rt/world.h"

struct p2p_host;

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

/* Whether a peer's address is worth a dial in its own right: as above, and names. */
bool dcutr_worth(const struct multiaddr *theirs, const struct multiaddr *own, size_t n_own);

/* ---- dcutr_service.c ---- */
/* [parks] One more exchange and attempt on a relayed connection, where it is ours to lead. 0 when
 * there is a direct connection; E_NOT_FOUND, E_UNSUPPORTED (theirs to lead, or they do not know
 * how), E_UNREACHABLE, or why the exchange failed. */
int dcutr_once(struct p2p_host *h, uint64_t conn, struct err *err) WARN_UNUSED;

#endif
