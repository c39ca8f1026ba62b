/* Relaying for others: the hop protocol, driven by relay_core's book. A request's fiber stays with
 * its circuit and copies until an end, a limit, or a loss. SPEC circuit-v2. */
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/relay_core_priv.h"

#include <talloc.h>

struct relay_service {
	struct p2p_host *host;
	struct relay_core *core;
};

/* ---- messages ------------------------------------------------------------------------------ */

static int send_hop(struct stream *s, const struct relay_hop *m, struct err *err)
{
	struct buf out = BUF_INIT(RELAY_MESSAGE_MAX);

	relay_hop_encode(m, &out);
	int rc = buf_ok(&out, err);
	if (rc == 0)
		rc = framed_write(s, buf_view(&out), err);
	buf_free(&out);
	return rc;
}

static int send_status(struct stream *s, enum relay_status status, struct err *err)
{
	struct relay_hop m = {.type = RELAY_HOP_STATUS, .status = (uint32_t)status};

	return send_hop(s, &m, err);
}

static struct relay_limit limit_of(const struct relay_service *r)
{
	const struct p2p_relay_limits *l = relay_core_limits(r->core);

	return (struct relay_limit){
	    .duration_s = (uint32_t)(l->circuit.ns / duration_s(1).ns), .bytes = l->circuit_bytes};
}

/* ---- reservations -------------------------------------------------------------------------- */

/* Where clients are to say that they can be found: our addresses, not those through other relays.
 */
static int put_addrs(const struct p2p_host *h, struct addr_list *out)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < h->n_addrs; i++) {
		struct multiaddr full = h->addrs[i];
		if (!multiaddr_is_relayed(&full) &&
		    multiaddr_append_peer(&full, &h->identity.peer_id, NULL) == 0)
			rc = addr_list_add(out, &full, RELAY_ADDRS_MAX);
	}
	return rc;
}

static int grant(struct relay_service *r, struct stream *s, const struct peer_id *peer,
    struct instant until, struct err *err)
{
	struct p2p_host *h = r->host;
	int64_t wall_s =
	    (world_wall_ms(h->world) + duration_to_ms(instant_since(until, rt_now()))) / 1000;
	struct relay_voucher voucher = {
	    .relay = h->identity.peer_id, .peer = *peer, .expire_s = (uint64_t)wall_s};
	struct buf sealed = BUF_INIT(RELAY_VOUCHER_MAX);
	struct relay_hop m = {.type = RELAY_HOP_STATUS,
	    .has_reservation = true,
	    .expire_s = (uint64_t)wall_s,
	    .limit = limit_of(r),
	    .status = RELAY_OK};
	int rc = put_addrs(h, &m.addrs);

	m.has_limit = relay_limits(&m.limit);
	relay_voucher_seal(&h->identity, &voucher, &sealed);
	m.voucher = buf_view(&sealed);
	if (rc != 0)
		rc = err_set(err, rc, "no memory for a reservation");
	if (rc == 0)
		rc = buf_ok(&sealed, err);
	if (rc == 0)
		rc = send_hop(s, &m, err);
	buf_free(&sealed);
	relay_hop_free(&m);
	return rc;
}

/* A whole IPv6 network of 64 bits counts as one address: its owner has them all. */
static void client_ip(const struct conn *c, uint8_t out[16])
{
	struct netaddr at;

	memset(out, 0, 16);
	if (conn_netaddr(c, &at))
		memcpy(out, at.ip, at.family == NET_IP4 ? 4 : 8);
}

static int reserve(struct relay_service *r, struct stream *s, const struct conn *c, struct err *err)
{
	struct relay_client client = {.peer = c->peer->id, .conn = c->id};
	struct instant until;

	client_ip(c, client.ip);
	enum relay_status status = relay_reserve(r->core, &client, rt_now(), &until);
	if (status == RELAY_OK)
		return grant(r, s, &client.peer, until, err);
	return send_status(s, status, err);
}

/* ---- circuits ------------------------------------------------------------------------------ */

/* One end of a circuit: counts what is read from it. */
struct meter {
	struct stream stream;
	struct stream *inner; /* borrowed */
	struct relay_core *core;
	uint64_t circuit;
	enum relay_direction direction;
};

static ssize_t meter_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct meter *m = (struct meter *)s;
	uint64_t left = relay_left(m->core, m->circuit, m->direction);
	size_t room = left == 0 ? 1 : left < cap ? (size_t)left : cap;
	ssize_t n = stream_read(m->inner, buf, room, err);

	if (n <= 0)
		return n;
	if (left == 0)
		return err_set(err, E_LIMIT, "the circuit has used up its bytes");
	relay_spend(m->core, m->circuit, m->direction, (uint64_t)n);
	return n;
}

static int meter_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	return stream_writev(((struct meter *)s)->inner, v, count, err);
}

static int meter_close_write(struct stream *s, struct err *err)
{
	return stream_close_write(((struct meter *)s)->inner, err);
}

static void meter_reset(struct stream *s, int code)
{
	stream_reset(((struct meter *)s)->inner, code);
}

/* Copying neither closes nor frees what it copies. */
static const struct stream_ops meter_ops = {
    .kind = "relayed",
    .read = meter_read,
    .write = meter_write,
    .close_write = meter_close_write,
    .reset = meter_reset,
};

/* [parks] Until it ends. SPEC: beyond a limit both streams are reset. */
static void copy(
    struct relay_service *r, uint64_t circuit, struct stream *source, struct stream *target)
{
	const struct p2p_relay_limits *l = relay_core_limits(r->core);
	struct meter a = {.stream = {&meter_ops, source->remote},
	    .inner = source,
	    .core = r->core,
	    .circuit = circuit,
	    .direction = RELAY_FROM_SOURCE};
	struct meter b = a;
	struct scope sc;
	struct err err = {0};

	b.stream.remote = target->remote;
	b.inner = target;
	b.direction = RELAY_FROM_TARGET;
	scope_open(&sc, l->circuit.ns > 0 ? l->circuit : DURATION_FOREVER);
	int rc = stream_splice(&a.stream, &b.stream, NULL, NULL, &err);
	scope_close(&sc);
	rt_log(LOG_DEBUG, "p2p", "circuit %llu ended: %s", (unsigned long long)circuit,
	    rc == 0 ? "both sides are done" : err_text(&err));
}

static int send_stop(
    const struct relay_service *r, struct stream *s, const struct peer_id *source, struct err *err)
{
	struct relay_stop m = {.type = RELAY_STOP_CONNECT, .peer = *source, .limit = limit_of(r)};
	struct buf out = BUF_INIT(RELAY_MESSAGE_MAX);

	m.has_limit = relay_limits(&m.limit);
	relay_stop_encode(&m, &out);
	int rc = buf_ok(&out, err);
	if (rc == 0)
		rc = framed_write(s, buf_view(&out), err);
	buf_free(&out);
	return rc;
}

/* The target's answer. */
static int hear_stop(struct stream *s, struct err *err)
{
	struct buf in = BUF_INIT(RELAY_MESSAGE_MAX);
	struct relay_stop m = {0};
	int rc = framed_read(s, &in, err);

	if (rc == 0)
		rc = err_set(err, E_CLOSED, "closed without an answer");
	if (rc > 0)
		rc = relay_stop_decode(buf_view(&in), &m, err);
	if (rc == 0 && (m.type != RELAY_STOP_STATUS || m.status != RELAY_OK))
		rc = err_set(err, E_REFUSED, "the target refused: status %u", m.status);
	buf_free(&in);
	return rc;
}

/* A stream to the target that it has agreed to take a circuit on. */
static int knock(struct relay_service *r, p2p_conn_id conn, const struct peer_id *source,
    struct stream **out, struct err *err)
{
	static const char *const stop = RELAY_STOP_PROTOCOL;
	struct stream *s;
	struct scope sc;
	int rc = p2p_open_stream_on(r->host, conn, &stop, 1, &s, NULL, err);

	if (rc != 0)
		return rc;
	scope_open(&sc, r->host->timeouts.negotiate);
	rc = send_stop(r, s, source, err);
	if (rc == 0)
		rc = hear_stop(s, err);
	scope_close(&sc);
	if (rc == 0) {
		*out = s;
		return 0;
	}
	stream_reset(s, rc);
	stream_close(s);
	return rc;
}

/* Tells the source that its circuit is open, and then carries it. */
static int carry(struct relay_service *r, uint64_t circuit, struct stream *s, struct stream *target,
    struct err *err)
{
	struct relay_hop m = {.type = RELAY_HOP_STATUS, .limit = limit_of(r), .status = RELAY_OK};
	int rc;

	m.has_limit = relay_limits(&m.limit);
	rc = send_hop(s, &m, err);
	if (rc == 0)
		copy(r, circuit, s, target);
	else
		stream_reset(target, rc);
	return rc;
}

static int serve_connect(struct relay_service *r, struct stream *s, const struct peer_id *source,
    const struct peer_id *target, struct err *err)
{
	struct stream *other;
	uint64_t circuit;
	p2p_conn_id conn;
	enum relay_status status =
	    relay_connect(r->core, source, target, rt_now(), &circuit, &conn);

	if (status != RELAY_OK)
		return send_status(s, status, err);
	int rc = knock(r, conn, source, &other, err);
	if (rc == 0) {
		rc = carry(r, circuit, s, other, err);
		stream_close(other);
	} else if (scope_check(NULL) == 0) {
		rt_log(LOG_DEBUG, "p2p", "a circuit's target does not take it: %s", err_text(err));
		rc = send_status(s, RELAY_CONNECTION_FAILED, err);
	}
	relay_circuit_end(r->core, circuit);
	return rc;
}

/* ---- requests ------------------------------------------------------------------------------ */

/* What is asked for, within the time for it: 0, or the error; then *status is what to answer. */
static int hear(const struct relay_service *r, struct stream *s, struct relay_hop *m,
    enum relay_status *status, struct err *err)
{
	struct buf in = BUF_INIT(RELAY_MESSAGE_MAX);
	struct scope sc;
	int rc;

	scope_open(&sc, r->host->timeouts.negotiate);
	rc = framed_read(s, &in, err);
	if (rc == 0)
		rc = err_set(err, E_CLOSED, "closed without a request");
	if (rc > 0)
		rc = relay_hop_decode(buf_view(&in), m, err);
	scope_close(&sc);
	m->voucher = (struct bytes){0}; /* it borrowed from `in` */
	buf_free(&in);
	*status = rc == E_PROTOCOL || rc == E_TOO_LARGE ? RELAY_MALFORMED : RELAY_NO_STATUS;
	if (rc == 0 && m->type == RELAY_HOP_STATUS)
		*status = RELAY_UNEXPECTED;
	if (rc == 0 && m->type == RELAY_HOP_CONNECT && m->peer.n == 0)
		*status = RELAY_MALFORMED;
	return rc;
}

static int answer(
    struct relay_service *r, struct stream *s, const struct p2p_stream_info *info, struct err *err)
{
	const struct conn *c;
	enum relay_status status = RELAY_NO_STATUS;
	struct relay_hop m = {0};
	struct peer_id target;
	int rc = hear(r, s, &m, &status, err);
	enum relay_hop_type type = m.type;

	p2p_report_end(r->host, &info->peer, rc, err_text(err));

	target = m.peer;
	relay_hop_free(&m);
	if (status != RELAY_NO_STATUS)
		return send_status(s, status, err);
	if (rc != 0)
		return rc;
	c = conn_find(r->host, info->conn);
	if (!c)
		return err_set(err, E_CLOSED, "the connection is gone");
	/* SPEC: relaying what a relay carries already is refused. */
	if (c->relay.n > 0)
		return send_status(s, RELAY_PERMISSION_DENIED, err);
	if (type == RELAY_HOP_RESERVE)
		return reserve(r, s, c, err);
	return serve_connect(r, s, &info->peer, &target, err);
}

static void hop_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct err err = {0};
	int rc = answer(arg, s, info, &err);

	if (rc != 0) {
		rt_log(LOG_DEBUG, "p2p", "%s: no relaying: %s", s->remote, err_text(&err));
		stream_reset(s, rc);
	}
	stream_close(s);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void on_event(void *arg, const struct p2p_event *e)
{
	struct relay_service *r = arg;

	if (e->kind == P2P_CONN_CLOSED)
		relay_conn_gone(r->core, e->conn);
}

static int free_core(struct relay_service *r)
{
	relay_core_free(r->core);
	return 0;
}

int p2p_relay_serve(struct p2p_host *h, const struct p2p_relay_limits *limits, struct err *err)
{
	struct p2p_relay_limits standard;
	struct relay_service *r;

	p2p_relay_limits_default(&standard);
	if (h->relay_service)
		return err_set(err, E_EXISTS, "this host relays already");
	if (!(r = talloc_zero(h, struct relay_service)))
		return err_set(err, E_MEMORY, "no memory for a relay");
	r->host = h;
	int rc = relay_core_new(limits ? limits : &standard, &r->core, err);
	if (rc == 0) {
		talloc_set_destructor(r, free_core);
		rc = p2p_handle(h, P2P_RELAY_HOP, hop_serve, r, err);
	}
	if (rc != 0) {
		talloc_free(r);
		return rc;
	}
	p2p_on_event(h, on_event, r);
	h->relay_service = r;
	return 0;
}

void p2p_relay_stats(const struct p2p_host *h, struct p2p_relay_stats *out)
{
	*out = (struct p2p_relay_stats){0};
	if (!h->relay_service)
		return;
	relay_expire(h->relay_service->core, rt_now());
	relay_core_stats(h->relay_service->core, out);
}

bool relay_holds(const struct p2p_host *h, const struct peer_id *peer)
{
	return h->relay_service && relay_reserved(h->relay_service->core, peer, rt_now());
}
