/* Sequences of requests, losses and time against a relay's book, beside a slow model of it: each
 * byte pair is an action and its operand. */
#include "p2p/relay_core_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS        8
#define RESERVATIONS 3
#define PER_IP       2
#define CIRCUITS     4
#define PER_PEER     2
#define BYTES        1000
#define LASTS_S      60

struct model {
	struct relay_core *core;
	struct instant now;
	struct instant until[PEERS]; /* ns 0: none */
	p2p_conn_id conn[PEERS];
	struct {
		uint64_t id; /* 0: free */
		unsigned end[2];
		uint64_t spent[2];
	} circuits[CIRCUITS];
	uint64_t total, bytes;
};

static struct peer_id peer_no(unsigned i)
{
	static const uint8_t head[] = {0, 36, 8, 1, 18, 32};
	struct peer_id id = {.n = 38};

	memcpy(id.bytes, head, sizeof head);
	id.bytes[6] = (uint8_t)(i + 1);
	return id;
}

static bool alive(const struct model *m, unsigned peer)
{
	return m->until[peer].ns != 0 && instant_before(m->now, m->until[peer]);
}

static unsigned count(const struct model *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PEERS; i++)
		n += alive(m, i);
	return n;
}

/* Two peers share an address. */
static unsigned neighbours(const struct model *m, unsigned peer)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PEERS; i++)
		n += i != peer && i % 3 == peer % 3 && alive(m, i);
	return n;
}

static unsigned circuits_of(const struct model *m, unsigned peer)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CIRCUITS; i++)
		n += m->circuits[i].id &&
		     (m->circuits[i].end[0] == peer || m->circuits[i].end[1] == peer);
	return n;
}

static void reserve(struct model *m, unsigned peer, p2p_conn_id conn)
{
	struct relay_client c = {.peer = peer_no(peer), .conn = conn, .ip = {(uint8_t)(peer % 3)}};
	struct instant until;
	enum relay_status want = RELAY_OK;

	if (neighbours(m, peer) >= PER_IP)
		want = RELAY_RESERVATION_REFUSED;
	else if (!alive(m, peer) && count(m) == RESERVATIONS)
		want = RELAY_RESOURCE_LIMIT;
	INVARIANT(relay_reserve(m->core, &c, m->now, &until) == want);
	if (want != RELAY_OK)
		return;
	m->until[peer] = instant_add(m->now, duration_s(LASTS_S));
	m->conn[peer] = conn;
	INVARIANT(until.ns == m->until[peer].ns);
}

static void connect(struct model *m, unsigned from, unsigned to)
{
	struct peer_id source = peer_no(from), target = peer_no(to);
	enum relay_status want = RELAY_OK;
	uint64_t id = 0;
	p2p_conn_id conn = 0;
	unsigned i = 0;

	while (i < CIRCUITS && m->circuits[i].id)
		i++;
	if (from == to)
		want = RELAY_PERMISSION_DENIED;
	else if (!alive(m, to))
		want = RELAY_NO_RESERVATION;
	else if (i == CIRCUITS || circuits_of(m, from) >= PER_PEER ||
		 circuits_of(m, to) >= PER_PEER)
		want = RELAY_RESOURCE_LIMIT;
	INVARIANT(relay_connect(m->core, &source, &target, m->now, &id, &conn) == want);
	if (want != RELAY_OK)
		return;
	INVARIANT(id != 0 && conn == m->conn[to]);
	m->circuits[i].id = id;
	m->circuits[i].end[0] = from;
	m->circuits[i].end[1] = to;
	m->circuits[i].spent[0] = m->circuits[i].spent[1] = 0;
	m->total++;
}

static void spend(struct model *m, unsigned i, unsigned direction, uint64_t n)
{
	uint64_t id = m->circuits[i].id, left;

	if (!id)
		return;
	left = relay_left(m->core, id, (enum relay_direction)direction);
	INVARIANT(left == BYTES - m->circuits[i].spent[direction]);
	n = n < left ? n : left;
	relay_spend(m->core, id, (enum relay_direction)direction, n);
	m->circuits[i].spent[direction] += n;
	m->bytes += n;
}

static void lose(struct model *m, p2p_conn_id conn)
{
	relay_conn_gone(m->core, conn);
	for (unsigned i = 0; i < PEERS; i++)
		if (m->conn[i] == conn)
			m->until[i].ns = 0;
}

static void act(struct model *m, uint8_t action, uint8_t x)
{
	unsigned low = x % PEERS, high = x / PEERS % PEERS;

	switch (action % 6) {
	case 0:
		reserve(m, low, high + 1);
		return;
	case 1:
		connect(m, low, high);
		return;
	case 2:
		spend(m, x % CIRCUITS, x / CIRCUITS % 2, (uint64_t)x * 7);
		return;
	case 3:
		if (m->circuits[x % CIRCUITS].id)
			relay_circuit_end(m->core, m->circuits[x % CIRCUITS].id);
		m->circuits[x % CIRCUITS].id = 0;
		return;
	case 4:
		lose(m, low + 1);
		return;
	case 5:
		m->now = instant_add(m->now, duration_s(x));
		return;
	}
}

static void check(const struct model *m)
{
	struct p2p_relay_stats st;
	unsigned open = 0;

	for (unsigned i = 0; i < PEERS; i++) {
		struct peer_id id = peer_no(i);
		INVARIANT(relay_reserved(m->core, &id, m->now) == alive(m, i));
		INVARIANT(circuits_of(m, i) <= PER_PEER);
	}
	for (unsigned i = 0; i < CIRCUITS; i++)
		open += m->circuits[i].id != 0;
	relay_expire(m->core, m->now);
	relay_core_stats(m->core, &st);
	INVARIANT(st.reservations == count(m) && st.circuits == open);
	INVARIANT(st.circuits_total == m->total && st.bytes == m->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct p2p_relay_limits limits = {.reservations = RESERVATIONS,
	    .reservations_per_ip = PER_IP,
	    .circuits = CIRCUITS,
	    .circuits_per_peer = PER_PEER,
	    .reservation = duration_s(LASTS_S),
	    .circuit_bytes = BYTES};
	struct model m = {.now = {1}};

	INVARIANT(relay_core_new(&limits, &m.core, NULL) == 0);
	for (size_t i = 0; i + 1 < size; i += 2) {
		act(&m, data[i], data[i + 1]);
		check(&m);
	}
	relay_core_free(m.core);
	return 0;
}
