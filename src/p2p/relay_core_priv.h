/* The book of a relay: who has a reservation, which circuits run, and what they may still use.
 * Pure: times are arguments, connections are numbers.
 *
 * Must stay true: a reservation belongs to one connection and ends with it; a circuit is counted
 * against both its peers until relay_circuit_end; nothing grows beyond struct p2p_relay_limits. */
#ifndef P2P_RELAY_CORE_PRIV_H
#define P2P_RELAY_CORE_PRIV_H

#include "p2p/relay.h"
#include "p2p/relay_wire_priv.h"

struct relay_core;

/* E_INVALID for limits outside their ranges, E_MEMORY. */
int relay_core_new(
    const struct p2p_relay_limits *limits, struct relay_core **out, struct err *err) WARN_UNUSED;
void relay_core_free(struct relay_core *r);

/* Where a request comes from. */
struct relay_client {
	struct peer_id peer;
	p2p_conn_id conn;
	uint8_t ip[16]; /* IPv4 in its first four bytes, the rest zero */
};

/* Makes or renews the client's reservation: RELAY_OK and *until, or RELAY_RESERVATION_REFUSED
 * (too many of one address), RELAY_RESOURCE_LIMIT. */
enum relay_status relay_reserve(
    struct relay_core *r, const struct relay_client *c, struct instant now, struct instant *until);

/* Asks for a circuit: RELAY_OK with its number and the target's connection, or
 * RELAY_NO_RESERVATION, RELAY_RESOURCE_LIMIT, RELAY_PERMISSION_DENIED (to itself). */
enum relay_status relay_connect(struct relay_core *r, const struct peer_id *source,
    const struct peer_id *target, struct instant now, uint64_t *circuit, p2p_conn_id *conn);

enum relay_direction {
	RELAY_FROM_SOURCE,
	RELAY_FROM_TARGET
};
/* How many bytes that direction may still carry; UINT64_MAX without a limit. */
uint64_t relay_left(const struct relay_core *r, uint64_t circuit, enum relay_direction d);
/* Counts n bytes carried, at most relay_left. */
void relay_spend(struct relay_core *r, uint64_t circuit, enum relay_direction d, uint64_t n);
void relay_circuit_end(struct relay_core *r, uint64_t circuit);

/* A connection is gone, and with it the reservation made on it. */
void relay_conn_gone(struct relay_core *r, p2p_conn_id conn);
/* Drops the reservations that have run out. */
void relay_expire(struct relay_core *r, struct instant now);

bool relay_reserved(const struct relay_core *r, const struct peer_id *peer, struct instant now);
const struct p2p_relay_limits *relay_core_limits(const struct relay_core *r);
void relay_core_stats(const struct relay_core *r, struct p2p_relay_stats *out);

#endif
