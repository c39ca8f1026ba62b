/* Signed peer records: a peer's own statement of its addresses, in an envelope that others may pass
 * on. SPEC libp2p RFC 0003, with the domain and payload type that go and js deploy. */
#ifndef P2P_PEER_RECORD_PRIV_H
#define P2P_PEER_RECORD_PRIV_H

#include "crypto/identity.h"
#include "p2p/multiaddr.h"

#define PEER_RECORD_ADDRS_MAX 64 /* more are ignored */

struct addr_list {
	struct multiaddr *v; /* malloc */
	size_t n;
};

/* Appends a copy unless the list holds `max` already. 0 or E_MEMORY. */
int addr_list_add(struct addr_list *l, const struct multiaddr *a, size_t max) WARN_UNUSED;
/* The same, unless the address is in it. */
int addr_list_add_once(struct addr_list *l, const struct multiaddr *a, size_t max) WARN_UNUSED;
bool addr_list_has(const struct addr_list *l, const struct multiaddr *a);
void addr_list_free(struct addr_list *l);

struct peer_record {
	struct peer_id peer;
	uint64_t seq; /* grows with each new record of that peer; no clock */
	struct addr_list addrs;
};

/* Verifies the envelope and that it was signed by the peer it speaks of. Addresses of protocols
 * that we cannot read are left out. E_PROTOCOL, E_BAD_SIGNATURE, E_WRONG_PEER, E_UNSUPPORTED,
 * E_MEMORY. The caller frees the record; after a failure there is nothing to free. */
int peer_record_open(struct bytes envelope, struct peer_record *out, struct err *err) WARN_UNUSED;
/* Appends the envelope of the identity's own record; failure shows in `out`. */
void peer_record_seal(const struct identity *id, uint64_t seq, const struct multiaddr *addrs,
    size_t n, struct buf *out);
void peer_record_free(struct peer_record *r);

#endif
