/* The messages of circuit relay v2, without their length prefixes. SPEC libp2p circuit-v2.
 *
 * Bounds: a message is at most RELAY_MESSAGE_MAX bytes; a reservation keeps RELAY_ADDRS_MAX of its
 * addresses, the others and those that we cannot read are left out. A message without a type is
 * malformed, as are peer ids that are none. */
#ifndef P2P_RELAY_WIRE_PRIV_H
#define P2P_RELAY_WIRE_PRIV_H

#include "p2p/peer_record_priv.h"

#define RELAY_STOP_PROTOCOL "/libp2p/circuit/relay/0.2.0/stop"
#define RELAY_MESSAGE_MAX   4096
#define RELAY_ADDRS_MAX     16

enum relay_status {
	RELAY_NO_STATUS = 0, /* the field is absent */
	RELAY_OK = 100,
	RELAY_RESERVATION_REFUSED = 200,
	RELAY_RESOURCE_LIMIT = 201,
	RELAY_PERMISSION_DENIED = 202,
	RELAY_CONNECTION_FAILED = 203,
	RELAY_NO_RESERVATION = 204,
	RELAY_MALFORMED = 400,
	RELAY_UNEXPECTED = 401,
};
/* For people; "status N" for numbers that are not in the specification. Never NULL. */
const char *relay_status_text(uint32_t status);

enum relay_hop_type {
	RELAY_HOP_RESERVE = 0,
	RELAY_HOP_CONNECT = 1,
	RELAY_HOP_STATUS = 2,
};

enum relay_stop_type {
	RELAY_STOP_CONNECT = 0,
	RELAY_STOP_STATUS = 1,
};

/* Of one circuit; zero is unlimited. */
struct relay_limit {
	uint32_t duration_s; /* SPEC: seconds; js-libp2p sends milliseconds */
	uint64_t bytes;      /* in each direction */
};

/* Whether it limits anything. */
static inline bool relay_limits(const struct relay_limit *l)
{
	return l->duration_s > 0 || l->bytes > 0;
}

struct relay_hop {
	enum relay_hop_type type;
	struct peer_id peer; /* CONNECT: the target; empty when absent or without an id */
	bool has_reservation;
	uint64_t expire_s;      /* UNIX seconds */
	struct addr_list addrs; /* of the relay, with its /p2p */
	struct bytes voucher;   /* a signed envelope; borrowed */
	bool has_limit;
	struct relay_limit limit;
	uint32_t status;
};

struct relay_stop {
	enum relay_stop_type type;
	struct peer_id peer; /* CONNECT: the source */
	bool has_limit;
	struct relay_limit limit;
	uint32_t status;
};

/* E_PROTOCOL when malformed, E_MEMORY. After success free with relay_hop_free; voucher borrows
 * from `in`. */
int relay_hop_decode(struct bytes in, struct relay_hop *out, struct err *err) WARN_UNUSED;
void relay_hop_free(struct relay_hop *m);
int relay_stop_decode(struct bytes in, struct relay_stop *out, struct err *err) WARN_UNUSED;

/* Append; failure (a buffer limit) shows in `out`. Fields that are empty or absent are left out,
 * the type never is. */
void relay_hop_encode(const struct relay_hop *m, struct buf *out);
void relay_stop_encode(const struct relay_stop *m, struct buf *out);

/* A relay's word that a peer may be reached through it until then. */
struct relay_voucher {
	struct peer_id relay, peer;
	uint64_t expire_s;
};
#define RELAY_VOUCHER_MAX 512 /* bytes of the envelope that we make */
void relay_voucher_seal(
    const struct identity *relay, const struct relay_voucher *v, struct buf *out);
/* Verifies that the relay it names signed it. E_PROTOCOL, E_BAD_SIGNATURE, E_WRONG_PEER,
 * E_UNSUPPORTED. */
int relay_voucher_open(
    struct bytes envelope, struct relay_voucher *out, struct err *err) WARN_UNUSED;

#endif
