/* Reservations and circuits in two dense tables: short enough to be walked, as requests are rare
 * beside the bytes that they lead to. */
#include "p2p/relay_core_priv.h"

#include <stdlib.h>

#define RESERVATION_MIN_S 60

struct reservation {
	struct peer_id peer;
	p2p_conn_id conn;
	uint8_t ip[16];
	struct instant until;
};

struct circuit {
	uint64_t id;
	struct peer_id end[2]; /* by enum relay_direction: who sends there */
	uint64_t spent[2];
};

struct relay_core {
	struct p2p_relay_limits limits;
	struct reservation *reservations;
	struct circuit *circuits;
	uint32_t n_reservations, n_circuits;
	uint64_t next_circuit, bytes, refused;
};

void p2p_relay_limits_default(struct p2p_relay_limits *limits)
{
	*limits = (struct p2p_relay_limits){
	    .reservations = 256,
	    .reservations_per_ip = 16,
	    .circuits = 256,
	    .circuits_per_peer = 16,
	    .reservation = duration_s(3600),
	    .circuit = duration_s(3600),
	    .circuit_bytes = (uint64_t)64 << 20,
	};
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool in_range(uint32_t v, uint32_t max)
{
	return v > 0 && v <= max;
}

int relay_core_new(const struct p2p_relay_limits *limits, struct relay_core **out, struct err *err)
{
	struct relay_core *r;

	if (!in_range(limits->reservations, P2P_RELAY_RESERVATIONS_MAX) ||
	    !in_range(limits->circuits, P2P_RELAY_CIRCUITS_MAX) ||
	    limits->reservation.ns < duration_s(RESERVATION_MIN_S).ns ||
	    limits->circuit.ns > duration_s(UINT32_MAX).ns ||
	    limits->circuit.ns % duration_s(1).ns != 0)
		return err_set(err, E_INVALID, "a relay's limits are out of range");
	r = calloc(1, sizeof *r);
	if (!r)
		return err_set(err, E_MEMORY, "no memory for a relay");
	r->limits = *limits;
	r->reservations = calloc(limits->reservations, sizeof *r->reservations);
	r->circuits = calloc(limits->circuits, sizeof *r->circuits);
	if (!r->reservations || !r->circuits) {
		relay_core_free(r);
		return err_set(err, E_MEMORY, "no memory for a relay");
	}
	*out = r;
	return 0;
}

void relay_core_free(struct relay_core *r)
{
	if (!r)
		return;
	free(r->reservations);
	free(r->circuits);
	free(r);
}

/* ---- reservations -------------------------------------------------------------------------- */

static struct reservation *find_reservation(const struct relay_core *r, const struct peer_id *peer)
{
	for (uint32_t i = 0; i < r->n_reservations; i++)
		if (peer_id_equal(&r->reservations[i].peer, peer))
			return &r->reservations[i];
	return NULL;
}

static void drop_reservation(struct relay_core *r, uint32_t i)
{
	r->reservations[i] = r->reservations[--r->n_reservations];
}

void relay_expire(struct relay_core *r, struct instant now)
{
	for (uint32_t i = r->n_reservations; i > 0; i--)
		if (!instant_before(now, r->reservations[i - 1].until))
			drop_reservation(r, i - 1);
}

void relay_conn_gone(struct relay_core *r, p2p_conn_id conn)
{
	for (uint32_t i = r->n_reservations; i > 0; i--)
		if (r->reservations[i - 1].conn == conn)
			drop_reservation(r, i - 1);
}

bool relay_reserved(const struct relay_core *r, const struct peer_id *peer, struct instant now)
{
	const struct reservation *v = find_reservation(r, peer);

	return v && instant_before(now, v->until);
}

/* Reservations of one address, the client's own left out. */
static uint32_t at_same_ip(const struct relay_core *r, const struct relay_client *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_reservations; i++)
		n += memcmp(r->reservations[i].ip, c->ip, sizeof c->ip) == 0 &&
		     !peer_id_equal(&r->reservations[i].peer, &c->peer);
	return n;
}

enum relay_status relay_reserve(
    struct relay_core *r, const struct relay_client *c, struct instant now, struct instant *until)
{
	struct reservation *v;

	relay_expire(r, now);
	v = find_reservation(r, &c->peer);
	if (r->limits.reservations_per_ip > 0 &&
	    at_same_ip(r, c) >= r->limits.reservations_per_ip) {
		r->refused++;
		return RELAY_RESERVATION_REFUSED;
	}
	if (!v && r->n_reservations == r->limits.reservations) {
		r->refused++;
		return RELAY_RESOURCE_LIMIT;
	}
	if (!v)
		v = &r->reservations[r->n_reservations++];
	*v = (struct reservation){
	    .peer = c->peer, .conn = c->conn, .until = instant_add(now, r->limits.reservation)};
	memcpy(v->ip, c->ip, sizeof v->ip);
	*until = v->until;
	return RELAY_OK;
}

/* ---- circuits ------------------------------------------------------------------------------ */

static struct circuit *find_circuit(const struct relay_core *r, uint64_t id)
{
	for (uint32_t i = 0; i < r->n_circuits; i++)
		if (r->circuits[i].id == id)
			return &r->circuits[i];
	BUG("circuit %llu is not open", (unsigned long long)id);
}

static bool peer_is_full(const struct relay_core *r, const struct peer_id *peer)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_circuits; i++)
		n += peer_id_equal(&r->circuits[i].end[0], peer) ||
		     peer_id_equal(&r->circuits[i].end[1], peer);
	return r->limits.circuits_per_peer > 0 && n >= r->limits.circuits_per_peer;
}

static enum relay_status may_connect(const struct relay_core *r, const struct peer_id *source,
    const struct peer_id *target, struct instant now)
{
	if (peer_id_equal(source, target))
		return RELAY_PERMISSION_DENIED;
	if (!relay_reserved(r, target, now))
		return RELAY_NO_RESERVATION;
	if (r->n_circuits == r->limits.circuits || peer_is_full(r, source) ||
	    peer_is_full(r, target))
		return RELAY_RESOURCE_LIMIT;
	return RELAY_OK;
}

enum relay_status relay_connect(struct relay_core *r, const struct peer_id *source,
    const struct peer_id *target, struct instant now, uint64_t *circuit, p2p_conn_id *conn)
{
	enum relay_status status = may_connect(r, source, target, now);
	struct circuit *c;

	if (status != RELAY_OK) {
		r->refused++;
		return status;
	}
	c = &r->circuits[r->n_circuits++];
	*c = (struct circuit){.id = ++r->next_circuit, .end = {*source, *target}};
	*circuit = c->id;
	*conn = find_reservation(r, target)->conn;
	return RELAY_OK;
}

uint64_t relay_left(const struct relay_core *r, uint64_t circuit, enum relay_direction d)
{
	if (r->limits.circuit_bytes == 0)
		return UINT64_MAX;
	return r->limits.circuit_bytes - find_circuit(r, circuit)->spent[d];
}

void relay_spend(struct relay_core *r, uint64_t circuit, enum relay_direction d, uint64_t n)
{
	INVARIANT(n <= relay_left(r, circuit, d));
	find_circuit(r, circuit)->spent[d] += n;
	r->bytes += n;
}

void relay_circuit_end(struct relay_core *r, uint64_t circuit)
{
	struct circuit *c = find_circuit(r, circuit);

	*c = r->circuits[--r->n_circuits];
}

/* ---- what is seen from outside ------------------------------------------------------------- */

const struct p2p_relay_limits *relay_core_limits(const struct relay_core *r)
{
	return &r->limits;
}

void relay_core_stats(const struct relay_core *r, struct p2p_relay_stats *out)
{
	*out = (struct p2p_relay_stats){
	    .reservations = r->n_reservations,
	    .circuits = r->n_circuits,
	    .circuits_total = r->next_circuit,
	    .bytes = r->bytes,
	    .refused = r->refused,
	};
}
