/* Circuit relay v2: peers that cannot be dialled are reached through one that can.
 * SPEC libp2p circuit-v2.
 *
 * Three roles, independent of each other:
 *   - p2p_relay_serve: this host relays for others, within limits;
 *   - p2p_relay_use: this host listens through relays: it holds reservations, refreshes them, moves
 *     to another relay when one dies, and its addresses then contain /p2p-circuit ones;
 *   - dialling: p2p_dial takes /…/p2p/RELAY/p2p-circuit/p2p/TARGET like any other address.
 *
 * A relayed connection is secured and multiplexed end to end: the relay sees bytes. Where the relay
 * sets limits the connection is `limited` (p2p_conn_info), and only protocols that were allowed to
 * run on it do: identify, ping, DCUtR, and those of p2p_allow_limited. */
#ifndef P2P_RELAY_H
#define P2P_RELAY_H

#include "p2p/p2p.h"

/* ---- relaying for others ------------------------------------------------------------------- */

/* What clients ask a relay with: for p2p_set_gate. */
#define P2P_RELAY_HOP "/libp2p/circuit/relay/0.2.0/hop"

/* Zero means: no limit, except where a maximum is named. */
struct p2p_relay_limits {
	uint32_t reservations;        /* peers; 1 to P2P_RELAY_RESERVATIONS_MAX */
	uint32_t reservations_per_ip; /* 0 where peers share one address, as in tests */
	uint32_t circuits;            /* at once; 1 to P2P_RELAY_CIRCUITS_MAX */
	uint32_t circuits_per_peer;   /* in either role */
	struct duration reservation;  /* how long one lasts; at least a minute */
	struct duration circuit;      /* whole seconds */
	uint64_t circuit_bytes;       /* in each direction */
};
#define P2P_RELAY_RESERVATIONS_MAX 4096
#define P2P_RELAY_CIRCUITS_MAX     4096

void p2p_relay_limits_default(struct p2p_relay_limits *limits);

/* Serves the hop protocol from now on. `limits` NULL: the default ones. E_EXISTS when it does
 * already, E_INVALID for limits outside their ranges, E_MEMORY. */
int p2p_relay_serve(
    struct p2p_host *h, const struct p2p_relay_limits *limits, struct err *err) WARN_UNUSED;

struct p2p_relay_stats {
	uint32_t reservations, circuits; /* now */
	uint64_t circuits_total;         /* since the beginning */
	uint64_t bytes;                  /* relayed, both directions */
	uint64_t refused;                /* requests */
};
/* Zeroes where the host does not relay. */
void p2p_relay_stats(const struct p2p_host *h, struct p2p_relay_stats *out);

/* ---- listening through relays -------------------------------------------------------------- */

#define P2P_RELAYS_MAX 32 /* candidates */

/* Adds a relay at `addr` (with its /p2p) to the candidates, and listens through as many of them at
 * once as p2p_relay_want says (2 at the start). Returns at once; the addresses appear among the
 * host's when the relay has agreed. E_INVALID (no TCP address, no /p2p, ourselves, or itself
 * relayed), E_EXISTS, E_LIMIT. */
int p2p_relay_use(struct p2p_host *h, const struct multiaddr *addr, struct err *err) WARN_UNUSED;
/* Forgets it; a reservation there ends. */
void p2p_relay_forget(struct p2p_host *h, const struct multiaddr *addr);
/* At how many relays to hold reservations, 1 to 8; and whether connected peers that say (by
 * identify) that they relay become candidates, too. E_INVALID, E_MEMORY. */
int p2p_relay_want(struct p2p_host *h, unsigned relays, bool discover, struct err *err) WARN_UNUSED;

/* Whether a relay that was discovered may be ours now; not to park. */
typedef bool (*p2p_relay_trust_fn)(void *arg, const struct peer_id *relay);
/* Asks `fn` before and while a discovered relay is used; those of p2p_relay_use need no trust.
 * NULL, as at the start: all are trusted. E_MEMORY. */
int p2p_relay_trust(
    struct p2p_host *h, p2p_relay_trust_fn fn, void *arg, struct err *err) WARN_UNUSED;

struct p2p_relay_info {
	struct peer_id relay;
	struct multiaddr addr; /* as given, or as found */
	bool reserved;
	struct duration left;     /* of the reservation */
	const char *last_failure; /* "" when the last attempt worked; valid until the fiber parks */
};
/* The candidates, at most `cap`; returns how many there are. */
size_t p2p_relays(const struct p2p_host *h, struct p2p_relay_info *out, size_t cap);

/* ---- what may run over limited connections -------------------------------------------------- */

#define P2P_LIMITED_PROTOCOLS_MAX 32
/* Lets streams of `protocol` be opened and accepted over limited connections. Repeats are fine.
 * E_INVALID for no protocol name, E_LIMIT. */
int p2p_allow_limited(struct p2p_host *h, const char *protocol, struct err *err) WARN_UNUSED;

#endif
