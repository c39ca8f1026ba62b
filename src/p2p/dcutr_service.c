/* DCUtR: a direct connection in place of a relayed one. B, the inbound side, leads: it exchanges
 * addresses with A over the relayed connection, says when, and both dial. A runs the client's part
 * of Noise and yamux on what comes of it, B the server's, though both have dialled; should one's
 * dial reach the other's listener first, the roles are the same. SPEC libp2p DCUtR. */
#include "p2p/dcutr_priv.h"
#include "p2p/direct_priv.h"
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/pnet_priv.h"
#include "p2p/reach.h"

#include <talloc.h>

#define ATTEMPTS      3
#define TARGETS_MAX   8
#define OWN_MAX       (DCUTR_ADDRS_MAX - 2)
#define TALK_LIMIT_S  10  /* the exchange */
#define PUNCH_LIMIT_S 5   /* one attempt */
#define KNOCK_EVERY   100 /* milliseconds between dials that were turned away */
#define PEERS_AT_ONCE 32
/* What others can start: each exchange may dial for PUNCH_LIMIT_S wherever they say. On one
 * connection so many, and another one each FOLLOW_AGAIN_S. */
#define FOLLOWS_PER_CONN ATTEMPTS
#define FOLLOW_AGAIN_S   30
#define FOLLOWS_AT_ONCE  8

struct dcutr {
	struct p2p_host *host;
	struct p2p_dcutr_stats stats;
	unsigned running;   /* B's fibers */
	unsigned following; /* exchanges in which we are A */
};

/* ---- messages ------------------------------------------------------------------------------ */

/* Where a peer sees us: as it is, which is right when the router keeps a port's mapping, and with
 * the listener's port, which is right when it keeps ports. */
static int add_observed(const struct p2p_host *h, const struct multiaddr *seen, struct addr_list *l)
{
	struct multiaddr_tcp tcp;
	int rc = 0;

	if (multiaddr_tcp(seen, &tcp, NULL) == 0)
		rc = addr_list_add_once(l, seen, OWN_MAX);
	return rc != 0 ? rc : host_add_observed(h, seen, l, OWN_MAX);
}

/* Those whom we dialled say where they see us; strangers could point at others. */
static int own_addrs(const struct p2p_host *h, struct addr_list *l)
{
	int rc = 0;

	for (const struct conn *c = h->conns; rc == 0 && c; c = c->next)
		if (c->relay.n == 0 && c->direction == P2P_OUTBOUND && c->identified)
			rc = add_observed(h, &c->peer->said.observed, l);
	for (size_t i = 0; rc == 0 && i < h->n_addrs; i++)
		if (!multiaddr_is_relayed(&h->addrs[i]) &&
		    multiaddr_reach(&h->addrs[i]) != MA_REACH_LOOPBACK)
			rc = addr_list_add_once(l, &h->addrs[i], OWN_MAX);
	return rc;
}

static int say(struct stream *s, const struct dcutr_message *m, struct err *err)
{
	struct buf out = BUF_INIT(DCUTR_MESSAGE_MAX);

	dcutr_encode(m, &out);
	int rc = buf_ok(&out, err);
	if (rc == 0)
		rc = framed_write(s, buf_view(&out), err);
	buf_free(&out);
	return rc;
}

static int say_connect(const struct p2p_host *h, struct stream *s, struct err *err)
{
	struct dcutr_message m = {.type = DCUTR_CONNECT};
	int rc = own_addrs(h, &m.addrs);

	if (rc == 0)
		rc = say(s, &m, err);
	dcutr_free(&m);
	return rc;
}

static int hear(struct stream *s, enum dcutr_type type, struct dcutr_message *m, struct err *err)
{
	struct buf in = BUF_INIT(DCUTR_MESSAGE_MAX);
	int rc = framed_read(s, &in, err);

	if (rc == 0)
		rc = err_set(err, E_CLOSED, "closed in the middle");
	if (rc > 0)
		rc = dcutr_decode(buf_view(&in), m, err);
	if (rc == 0 && m->type != type) {
		dcutr_free(m);
		rc = err_set(err, E_PROTOCOL, "a message of type %d out of turn", (int)m->type);
	}
	buf_free(&in);
	return rc;
}

/* ---- the hole ------------------------------------------------------------------------------ */

struct punch {
	struct p2p_host *host;
	struct peer_id peer;
	enum p2p_direction role; /* OUTBOUND: A, the client */
	struct netaddr targets[TARGETS_MAX];
	size_t n;
};

struct knock {
	const struct punch *p;
	const struct netaddr *to;
};

static bool is_direct(const struct p2p_host *h, const struct peer_id *peer)
{
	const struct peer *p = peer_find(h, peer);

	return p && conn_direct(h, p);
}

static int secure_hole(
    const struct punch *p, struct stream *raw, struct upgraded *up, struct err *err)
{
	int rc;

	if (p->role == P2P_OUTBOUND)
		return upgrade_outbound(p->host, raw, &p->peer, up, err);
	rc = upgrade_inbound(p->host, raw, up, err);
	if (rc == 0 && !peer_id_equal(&up->peer, &p->peer)) {
		struct stream *in = secure_detach(up->secure);
		if (in != raw)
			pnet_unwrap(in);
		rc = err_set(err, E_WRONG_PEER, "another peer came through the hole");
	}
	return rc;
}

static int through(const struct punch *p, const struct netaddr *to, struct err *err)
{
	struct multiaddr remote;
	struct upgraded up;
	struct stream *raw;
	p2p_conn_id conn;
	int rc = host_dial_from_port(p->host, to, &raw, err);

	if (rc == E_NOT_FOUND)
		rc = world_tcp_dial(p->host->world, to, &raw, err);
	if (rc != 0)
		return rc;
	if ((rc = secure_hole(p, raw, &up, err)) != 0) {
		stream_reset(raw, rc);
		stream_close(raw);
		return rc;
	}
	up.punched = true;
	netaddr_to_multiaddr(to, &remote);
	return conn_start(p->host, &up, p->role, &remote, &conn, err);
}

/* Knocks until it is open, or the attempt's time is over. */
static void knock_fiber(void *arg)
{
	struct knock k = *(struct knock *)arg;
	struct err err = {0};

	while (scope_check(NULL) == 0 && !is_direct(k.p->host, &k.p->peer)) {
		char to[NETADDR_TEXT_MAX];
		if (through(k.p, k.to, &err) == 0)
			return;
		netaddr_print(k.to, to);
		rt_log(LOG_DEBUG, "p2p", "no hole to %s: %s", to, err_text(&err));
		if (fiber_sleep(duration_ms(KNOCK_EVERY)) != 0)
			return;
	}
}

/* Whether there is a direct connection in the end: through the hole, or from their side. */
static bool punch(const struct punch *p)
{
	struct knock knocks[TARGETS_MAX];
	struct scope sc;
	bool direct;
	int rc = 0;

	scope_open(&sc, duration_s(PUNCH_LIMIT_S));
	for (size_t i = 0; i < p->n; i++) {
		knocks[i] = (struct knock){p, &p->targets[i]};
		if (fiber_spawn(&sc, "p2p hole", knock_fiber, &knocks[i], NULL) != 0)
			break;
	}
	while (!(direct = is_direct(p->host, &p->peer)) && rc == 0)
		rc = waitq_wait(&p->host->conns_changed, NULL);
	scope_close(&sc);
	return direct || is_direct(p->host, &p->peer);
}

/* What to knock at, of what they say. E_NOT_FOUND when there is nothing. */
static int aim(
    const struct p2p_host *h, const struct dcutr_message *m, struct punch *p, struct err *err)
{
	p->n = dcutr_targets(&m->addrs, h->addrs, h->n_addrs, p->targets, TARGETS_MAX);
	return p->n > 0 ? 0 : err_set(err, E_NOT_FOUND, "they have no address to dial");
}

/* ---- A ------------------------------------------------------------------------------------- */

static int follow(struct dcutr *d, struct stream *s, struct punch *p, struct err *err)
{
	struct dcutr_message m;
	struct scope sc;

	scope_open(&sc, duration_s(TALK_LIMIT_S));
	int rc = hear(s, DCUTR_CONNECT, &m, err);
	if (rc == 0) {
		rc = aim(d->host, &m, p, err);
		dcutr_free(&m);
	}
	if (rc == 0)
		rc = say_connect(d->host, s, err);
	if (rc == 0 && (rc = hear(s, DCUTR_SYNC, &m, err)) == 0)
		dcutr_free(&m);
	scope_close(&sc);
	return rc;
}

/* Whether one more exchange may begin on this connection, which it then does. */
static int begin(struct dcutr *d, struct conn *c, struct err *err)
{
	if (!c || c->relay.n == 0 || c->direction != P2P_OUTBOUND)
		return err_set(err, E_PROTOCOL, "not on a connection that we made through a relay");
	while (c->followed > 0 &&
	       instant_since(rt_now(), c->follow_paid).ns >= duration_s(FOLLOW_AGAIN_S).ns) {
		c->followed--;
		c->follow_paid = instant_add(c->follow_paid, duration_s(FOLLOW_AGAIN_S));
	}
	if (c->following || c->followed >= FOLLOWS_PER_CONN || d->following >= FOLLOWS_AT_ONCE)
		return err_set(err, E_LIMIT, "%u attempts on this connection, %u in all",
		    c->followed, d->following);
	if (c->followed == 0)
		c->follow_paid = rt_now();
	c->following = true;
	c->followed++;
	d->following++;
	return 0;
}

static void end(struct dcutr *d, p2p_conn_id conn)
{
	struct conn *c = conn_find(d->host, conn);

	if (c)
		c->following = false;
	d->following--;
}

static void serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct dcutr *d = arg;
	struct punch p = {.host = d->host, .peer = info->peer, .role = P2P_OUTBOUND};
	struct err err = {0};
	int rc = begin(d, conn_find(d->host, info->conn), &err);

	if (rc == 0) {
		rc = follow(d, s, &p, &err);
		if (rc == 0) {
			d->stats.attempts++;
			(void)punch(&p);
		}
		end(d, info->conn);
	}
	if (rc != 0) {
		rt_log(LOG_DEBUG, "p2p", "%s: dcutr: %s", s->remote, err_text(&err));
		p2p_report_end(d->host, &info->peer, rc, err_text(&err));
		stream_reset(s, rc);
	}
	stream_close(s);
}

/* ---- B ------------------------------------------------------------------------------------- */

struct lead {
	struct dcutr *d;
	struct peer_id peer;
	p2p_conn_id conn;
};

/* The exchange; returns when it is time to dial. */
static int agree(struct stream *s, struct punch *p, struct err *err)
{
	struct dcutr_message m, sync = {.type = DCUTR_SYNC};
	struct instant asked = rt_now();
	int rc = say_connect(p->host, s, err);

	if (rc == 0 && (rc = hear(s, DCUTR_CONNECT, &m, err)) == 0) {
		rc = aim(p->host, &m, p, err);
		dcutr_free(&m);
	}
	struct duration rtt = instant_since(rt_now(), asked);
	if (rc == 0)
		rc = say(s, &sync, err);
	if (rc == 0)
		rc = fiber_sleep(duration_ns(rtt.ns / 2));
	return rc;
}

/* One attempt: 0 when there is a direct connection now. */
static int attempt(const struct lead *l, struct err *err)
{
	static const char *const protocol = PROTOCOL_DCUTR;
	struct p2p_host *h = l->d->host;
	struct punch p = {.host = h, .peer = l->peer, .role = P2P_INBOUND};
	struct stream *s;
	struct scope sc;
	int rc;

	if ((rc = p2p_open_stream_on(h, l->conn, &protocol, 1, &s, NULL, err)) != 0)
		return rc;
	scope_open(&sc, duration_s(TALK_LIMIT_S));
	rc = agree(s, &p, err);
	scope_close(&sc);
	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
	if (rc != 0)
		return rc;
	l->d->stats.attempts++;
	return punch(&p) ? 0 : err_set(err, E_UNREACHABLE, "no hole in %d s", PUNCH_LIMIT_S);
}

/* SPEC: where A has public addresses, B first tries to dial it outright. */
static bool dial_outright(const struct lead *l)
{
	const struct peer *p = peer_find(l->d->host, &l->peer);
	bool worth = false;
	struct scope sc;
	p2p_conn_id conn;

	for (size_t i = 0; p && i < p->n_addrs; i++)
		worth |= multiaddr_reach(&p->addrs[i]) == MA_REACH_PUBLIC &&
			 !multiaddr_is_relayed(&p->addrs[i]);
	if (!worth)
		return false;
	scope_open(&sc, duration_s(PUNCH_LIMIT_S));
	int rc = dial_direct(l->d->host, &l->peer, NULL, 0, &conn, NULL);
	scope_close(&sc);
	return rc == 0;
}

static bool lead(const struct lead *l)
{
	struct err err = {0};

	if (is_direct(l->d->host, &l->peer) || dial_outright(l))
		return true;
	for (int i = 0; i < ATTEMPTS && scope_check(NULL) == 0; i++) {
		if (!conn_find(l->d->host, l->conn))
			return false;
		if (attempt(l, &err) == 0)
			return true;
		rt_log(LOG_DEBUG, "p2p", "dcutr, attempt %d: %s", i + 1, err_text(&err));
	}
	return is_direct(l->d->host, &l->peer);
}

static void lead_fiber(void *arg)
{
	struct lead *l = arg;
	char id[PEER_ID_TEXT_MAX];

	peer_id_print(&l->peer, id);
	l->d->stats.tried++;
	if (lead(l)) {
		l->d->stats.succeeded++;
		rt_log(LOG_INFO, "p2p", "directly connected to %s, no longer by relay", id);
	} else {
		rt_log(LOG_INFO, "p2p", "%s stays reachable by relay only", id);
	}
	struct conn *c = conn_find(l->d->host, l->conn);
	if (c && c->direct) {
		c->direct->running = false;
		direct_plan_wait(c->direct, rt_now(), world_random_u64(l->d->host->world));
	}
	l->d->running--;
	talloc_free(l);
}

int dcutr_once(struct p2p_host *h, uint64_t conn, struct err *err)
{
	const struct conn *c = conn_find(h, conn);

	if (!c)
		return err_set(err, E_NOT_FOUND, "the relayed connection is gone");
	struct lead l = {.d = h->dcutr, .peer = c->peer->id, .conn = conn};
	if (is_direct(h, &l.peer))
		return 0;
	if (!h->dcutr || c->relay.n == 0 || c->direction != P2P_INBOUND ||
	    !peer_speaks(c->peer, PROTOCOL_DCUTR))
		return err_set(err, E_UNSUPPORTED, "a hole is not for us to make");
	return attempt(&l, err);
}

/* ---- public -------------------------------------------------------------------------------- */

static void on_event(void *arg, const struct p2p_event *e)
{
	struct dcutr *d = arg;
	struct conn *c = e->kind == P2P_PEER_IDENTIFIED ? conn_find(d->host, e->conn) : NULL;
	struct lead *l;

	if (!c || c->relay.n == 0 || c->direction != P2P_INBOUND || c->led ||
	    !peer_speaks(c->peer, PROTOCOL_DCUTR) || d->running == PEERS_AT_ONCE)
		return;
	if (!c->direct && !(c->direct = talloc_zero(c, struct direct_plan)))
		return;
	if (c->direct->running || !(l = talloc_zero(d, struct lead)))
		return;
	*l = (struct lead){.d = d, .peer = e->peer, .conn = e->conn};
	if (fiber_spawn(&d->host->scope, "p2p dcutr", lead_fiber, l, NULL) != 0) {
		talloc_free(l);
		return;
	}
	c->led = c->direct->running = true;
	d->running++;
}

int p2p_dcutr_start(struct p2p_host *h, struct err *err)
{
	struct dcutr *d;

	if (h->dcutr)
		return err_set(err, E_EXISTS, "DCUtR runs already");
	if (!(d = talloc_zero(h, struct dcutr)))
		return err_set(err, E_MEMORY, "no memory for DCUtR");
	d->host = h;
	int rc = p2p_handle(h, PROTOCOL_DCUTR, serve, d, err);
	if (rc != 0) {
		talloc_free(d);
		return rc;
	}
	if ((rc = direct_start(h, err)) != 0) {
		p2p_unhandle(h, PROTOCOL_DCUTR);
		talloc_free(d);
		return rc;
	}
	p2p_on_event(h, on_event, d);
	h->dcutr = d;
	return 0;
}

void p2p_dcutr_stats(const struct p2p_host *h, struct p2p_dcutr_stats *out)
{
	*out = h->dcutr ? h->dcutr->stats : (struct p2p_dcutr_stats){0};
}
