/* Connections: one fiber each, which runs the session and cleans up after it.
 *
 * Of several connections to a peer one is preferred for new streams, by a rule that both ends
 * compute alike: a direct one before a relayed one; the one dialled by the peer with the smaller
 * id; among those of one dialler the newest, because it dialled again only if it had lost the
 * others. The rest close once they have carried no stream for a grace time. */
/* Running out of memory in the table is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#include "p2p/host_priv.h"

#include <stdio.h>
#include <talloc.h>

#define SURPLUS_GRACE_S 5
/* A connection whose streams are idle for so long is idle. */
#define IDLE_STREAM_S 30
/* For a broken rule of the connection's own protocols: the third in a few minutes is a ban. */
#define OFFENCE_POINTS 40
/* For one on a stream, which an older version may break in good faith. */
#define SLIP_POINTS 10
/* js-libp2p ends a connection that opens eleven streams before its upgrade is through. */
#define EARLY_STREAMS_MAX 8

/* ---- tables -------------------------------------------------------------------------------- */

struct conn *conn_find(const struct p2p_host *h, p2p_conn_id id)
{
	struct conn *c;

	HASH_FIND(hh, h->by_id, &id, sizeof id, c);
	return c;
}

static void link_conn(struct p2p_host *h, struct conn *c)
{
	c->prev = h->last_conn;
	if (h->last_conn)
		h->last_conn->next = c;
	else
		h->conns = c;
	h->last_conn = c;
	c->peer_next = c->peer->conns;
	c->peer->conns = c;
	if (c->direction == P2P_INBOUND)
		h->n_in++;
	else
		h->n_out++;
	peer_settle(h, c->peer);
}

static void unlink_conn(struct p2p_host *h, struct conn *c)
{
	struct conn **at = &c->peer->conns;

	while (*at != c)
		at = &(*at)->peer_next;
	*at = c->peer_next;
	if (c->prev)
		c->prev->next = c->next;
	else
		h->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		h->last_conn = c->prev;
	if (c->direction == P2P_INBOUND)
		h->n_in--;
	else
		h->n_out--;
	HASH_DEL(h->by_id, c);
	peer_settle(h, c->peer);
}

static bool usable(const struct conn *c)
{
	return !c->closing && session_usable(c->session);
}

/* Whether `a` is to be preferred to `b`, both of one peer. */
static bool better(const struct p2p_host *h, const struct conn *a, const struct conn *b)
{
	if (usable(a) != usable(b))
		return usable(a);
	if ((a->relay.n > 0) != (b->relay.n > 0))
		return b->relay.n > 0;
	if (a->direction != b->direction) {
		bool we_are_smaller = peer_id_compare(&h->identity.peer_id, &a->peer->id) < 0;
		return (a->direction == P2P_OUTBOUND) == we_are_smaller;
	}
	return a->id > b->id;
}

struct conn *conn_preferred(const struct p2p_host *h, const struct peer *p)
{
	struct conn *best = p->conns;

	for (struct conn *c = best; c; c = c->peer_next)
		if (better(h, c, best))
			best = c;
	return best && usable(best) ? best : NULL;
}

struct conn *conn_direct(const struct p2p_host *h, const struct peer *p)
{
	struct conn *best = conn_preferred(h, p);

	return best && best->relay.n == 0 ? best : NULL;
}

static bool has_streams(const struct conn *c)
{
	struct session_stats st;

	session_stats(c->session, &st);
	return st.streams_in + st.streams_out > 0;
}

bool conn_netaddr(const struct conn *c, struct netaddr *out)
{
	struct multiaddr_tcp tcp;

	if (c->relay.n > 0 || multiaddr_tcp(&c->remote, &tcp, NULL) != 0 ||
	    (tcp.kind != MA_HOST_IP4 && tcp.kind != MA_HOST_IP6) ||
	    netaddr_parse_ip(tcp.host, out, NULL) != 0)
		return false;
	out->port = tcp.port;
	return true;
}

/* ---- limits -------------------------------------------------------------------------------- */

static bool is_protected(const struct conn *c)
{
	return peer_protected(c->peer) || relay_holds(c->host, &c->peer->id);
}

static struct conn *conn_of(struct res_idle *item)
{
	return (struct conn *)((uint8_t *)item - offsetof(struct conn, account.idle));
}

static struct conn *conn_with(const struct account *a)
{
	return (struct conn *)((uintptr_t)a - offsetof(struct conn, account));
}

static bool may_give_way(const struct account *a)
{
	return a->place && !is_protected(conn_with(a));
}

/* The stranger's inbound connection that is missed least: the one without streams for longest, or
 * else the one with the stream that is idle for longest. */
static struct conn *victim(struct p2p_host *h)
{
	struct res_idle *item = h->resources.idle_conns.oldest;
	const struct account *a;

	/* Few have a reservation. */
	while (item && relay_holds(h, &conn_of(item)->peer->id))
		item = item->newer;
	if (item)
		return conn_of(item);
	a = account_idlest(&h->resources, duration_s(IDLE_STREAM_S), may_give_way);
	return a ? conn_with(a) : NULL;
}

bool conn_room_in(struct p2p_host *h)
{
	struct res_peer known = {.class = RES_KNOWN};

	return resources_judge(&h->resources, &known, RES_CONNS, 1) == RES_TAKEN ||
	       victim(h) != NULL;
}

static void make_room(struct p2p_host *h, const struct peer *p, enum p2p_direction direction)
{
	uint32_t of_peer = 0;
	struct conn *v = NULL;

	for (struct conn *c = p->conns; c; c = c->peer_next) {
		of_peer += !c->closing;
		if (!c->closing && (!v || c->id < v->id))
			v = c;
	}
	/* The peer may have lost them without our knowing: the oldest makes way. */
	if (of_peer >= h->limits.conns_per_peer)
		conn_close(v, "replaced by a newer connection");
	if (direction == P2P_OUTBOUND ||
	    resources_judge(&h->resources, &p->account, RES_CONNS, 1) == RES_TAKEN ||
	    !(v = victim(h)))
		return;
	h->resources.evicted[RES_CONNS]++;
	conn_close(v, "makes room for another");
}

/* ---- life ---------------------------------------------------------------------------------- */

static void say_opened(struct conn *c)
{
	char id[PEER_ID_TEXT_MAX];
	const char *addr = session_remote(c->session);
	struct p2p_event e = {
	    .kind = P2P_CONN_OPENED, .peer = c->peer->id, .conn = c->id, .text = addr};

	peer_id_print(&c->peer->id, id);
	rt_log(LOG_DEBUG, "p2p", "%s %s at %s",
	    c->direction == P2P_INBOUND ? "accepted" : "reached", id, addr);
	host_emit(c->host, &e);
	if (c->announce) {
		e.kind = P2P_PEER_CONNECTED;
		host_emit(c->host, &e);
	}
}

/* After unlink_conn. */
static void say_closed(struct conn *c, int code, const char *text)
{
	char id[PEER_ID_TEXT_MAX];
	bool last = !c->peer->conns;
	bool quiet = c->closing || code == E_CANCELLED || code == E_CLOSED;
	struct p2p_event e = {.kind = P2P_CONN_CLOSED,
	    .peer = c->peer->id,
	    .conn = c->id,
	    .code = code,
	    .text = text};

	peer_id_print(&e.peer, id);
	rt_log(quiet ? LOG_DEBUG : LOG_INFO, "p2p", "connection to %s at %s ended: %s", id,
	    session_remote(c->session), text);
	host_emit(c->host, &e);
	if (last) {
		e.kind = P2P_PEER_DISCONNECTED;
		host_emit(c->host, &e);
	}
}

static void conn_fiber(void *arg)
{
	struct conn *c = arg;
	struct p2p_host *h = c->host;
	struct scope sc;
	struct err err = {0};

	scope_open(&sc, DURATION_FOREVER);
	c->scope = &sc;
	if (c->closing)
		scope_cancel(&sc);
	say_opened(c);
	waitq_wake_all(&h->conns_changed);
	if (fiber_spawn(&sc, "p2p identify", identify_ask, c, NULL) != 0)
		rt_log(LOG_DEBUG, "p2p", "cannot identify a peer: no fiber");
	int code = session_run(c->session, &err);
	/* A bad tag is no proof: whoever carries the bytes can change them. */
	if (!c->closing && code == E_PROTOCOL)
		p2p_report(h, &c->peer->id, P2P_MALFORMED, OFFENCE_POINTS, err_text(&err));
	account_close(&c->account);
	unlink_conn(h, c);
	say_closed(c, code, c->closing ? c->why : err_text(&err));
	waitq_wake_all(&h->conns_changed);
	scope_close(&sc);
	session_release(c->session);
	talloc_free(c);
}

static int make_session(struct conn *c, struct upgraded *up, struct err *err)
{
	char addr[MULTIADDR_TEXT_MAX];
	const struct p2p_host *h = c->host;

	multiaddr_print(&c->remote, addr);
	struct session_options opt = {
	    .dialer = c->direction == P2P_OUTBOUND,
	    .max_in = h->limits.streams_in,
	    .max_out = h->limits.streams_out,
	    .max_early = EARLY_STREAMS_MAX,
	    .max_buffered = h->limits.buffered,
	    .ping_every = h->timeouts.ping_every,
	    .ping_answer = h->timeouts.ping_answer,
	    .on_stream = protocols_inbound,
	    .arg = c,
	    .peer = up->peer,
	    .conn = c->id,
	    .remote = addr,
	    .account = &c->account,
	};
	return session_new(up->secure, &opt, &c->session, err);
}

/* Its place among the host's resources, its session, its entry in the table. */
static int equip(struct conn *c, struct upgraded *up, struct err *err)
{
	struct p2p_host *h = c->host;
	bool inbound = c->direction == P2P_INBOUND;
	int rc = account_open(
	    &c->account, &h->resources, &c->peer->account, inbound, c->relay.n > 0, err);

	if (rc == 0)
		rc = secure_count(up->secure, &c->account, err);
	if (rc != 0)
		return rc;
	HASH_ADD(hh, h->by_id, id, sizeof c->id, c);
	if (!c->hh.tbl)
		return err_set(err, E_MEMORY, "no memory for a connection");
	if ((rc = make_session(c, up, err)) != 0)
		HASH_DEL(h->by_id, c);
	return rc;
}

/* Fills a new connection; on failure up->secure is still open. */
static int conn_new(struct p2p_host *h, struct upgraded *up, enum p2p_direction direction,
    const struct multiaddr *remote, struct conn **out, struct err *err)
{
	struct peer *p = peer_get(h, &up->peer);
	struct conn *c;
	int rc;

	if (!p)
		return err_set(err, E_MEMORY, "no memory for a peer");
	make_room(h, p, direction);
	if (!(c = talloc_zero(h, struct conn)))
		return err_set(err, E_MEMORY, "no memory for a connection");
	c->host = h;
	c->peer = p;
	c->id = ++h->next_conn;
	c->direction = direction;
	c->remote = *remote;
	c->opened = rt_now();
	c->relay = up->relay;
	c->limited = up->limited;
	c->punched = up->punched;
	memcpy(c->binding, up->binding, sizeof c->binding);
	if ((rc = equip(c, up, err)) != 0) {
		secure_uncount(up->secure);
		account_close(&c->account);
		talloc_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

int conn_start(struct p2p_host *h, struct upgraded *up, enum p2p_direction direction,
    const struct multiaddr *remote, p2p_conn_id *out, struct err *err)
{
	struct conn *c = NULL;
	int rc = conn_check_ban(h, &up->peer, err);

	if (rc == 0)
		rc = conn_new(h, up, direction, remote, &c, err);
	if (rc != 0) {
		secure_close(up->secure);
		return rc;
	}
	if ((rc = fiber_spawn(&h->scope, "p2p connection", conn_fiber, c, err)) != 0) {
		HASH_DEL(h->by_id, c);
		session_release(c->session);
		account_close(&c->account);
		talloc_free(c);
		return rc;
	}
	c->announce = !c->peer->conns;
	/* A peer that connects again may have restarted: its old connections are dead then, and
	 * one of them may be the preferred one. */
	for (struct conn *old = c->peer->conns; old; old = old->peer_next)
		session_probe(old->session);
	link_conn(h, c);
	c->peer->failures = 0;
	c->peer->was_relayed |= c->relay.n > 0;
	c->peer->dial_after = (struct instant){0};
	if (direction == P2P_OUTBOUND)
		peer_add_addr(c->peer, remote);
	*out = c->id;
	return 0;
}

void conn_close(struct conn *c, const char *why)
{
	if (c->closing)
		return;
	c->closing = true;
	(void)snprintf(c->why, sizeof c->why, "%s", why);
	account_give_place(&c->account);
	if (c->scope)
		scope_cancel(c->scope);
}

/* ---- bans ---------------------------------------------------------------------------------- */

int conn_check_ban(const struct p2p_host *h, const struct peer_id *peer, struct err *err)
{
	struct duration left;
	const char *why;

	if (!bans_check(h->bans, peer, rt_now(), &left, &why))
		return 0;
	return err_set(err, E_FORBIDDEN, "banned for another %lld s: %s",
	    (long long)(duration_to_ms(left) / 1000 + 1), why);
}

const char *p2p_offence_name(enum p2p_offence kind)
{
	switch (kind) {
	case P2P_MALFORMED:
		return "malformed";
	case P2P_OVERSIZED:
		return "oversized";
	case P2P_FORGED:
		return "forged";
	case P2P_REPLAYED:
		return "replayed";
	case P2P_TOKEN:
		return "token";
	case P2P_OFFENCES:
		break;
	}
	BUG("offence %d", (int)kind);
}

void p2p_report_end(struct p2p_host *h, const struct peer_id *peer, int code, const char *why)
{
	if (code == E_PROTOCOL)
		p2p_report(h, peer, P2P_MALFORMED, SLIP_POINTS, why);
	else if (code == E_TOO_LARGE)
		p2p_report(h, peer, P2P_OVERSIZED, SLIP_POINTS, why);
	else if (code == E_BAD_SIGNATURE || code == E_WRONG_PEER)
		p2p_report(h, peer, P2P_FORGED, OFFENCE_POINTS, why);
}

bool p2p_conduct(const struct p2p_host *h, const struct peer_id *peer, struct p2p_conduct *out)
{
	return bans_conduct(h->bans, peer, rt_now(), out);
}

void p2p_report(struct p2p_host *h, const struct peer_id *peer, enum p2p_offence kind,
    unsigned points, const char *why)
{
	char id[PEER_ID_TEXT_MAX];
	struct err err = {0};

	if (!bans_offend(h->bans, peer, kind, points, why, rt_now()) ||
	    conn_check_ban(h, peer, &err) == 0)
		return;
	peer_id_print(peer, id);
	rt_log(LOG_WARN, "p2p", "%s is %s", id, err_text(&err));
	p2p_disconnect(h, peer, err_text(&err));
}

bool p2p_banned(
    const struct p2p_host *h, const struct peer_id *peer, struct duration *left, const char **why)
{
	return bans_check(h->bans, peer, rt_now(), left, why);
}

void p2p_forgive(struct p2p_host *h, const struct peer_id *peer)
{
	bans_forgive(h->bans, peer);
}

/* ---- once a second ------------------------------------------------------------------------- */

static bool surplus_over(struct conn *c, struct instant now)
{
	const struct conn *best = conn_preferred(c->host, c->peer);

	if (!best || best == c) {
		c->surplus_since = (struct instant){0};
		return false;
	}
	if (c->surplus_since.ns == 0 || has_streams(c))
		c->surplus_since = now;
	return instant_since(now, c->surplus_since).ns >= duration_s(SURPLUS_GRACE_S).ns;
}

static bool idle_over(const struct conn *c, struct instant now)
{
	struct session_stats st;

	session_stats(c->session, &st);
	return st.streams_in + st.streams_out == 0 &&
	       instant_since(now, st.last_stream).ns >= c->host->timeouts.idle.ns &&
	       !is_protected(c);
}

void conns_tick(struct p2p_host *h)
{
	struct instant now = rt_now();

	for (struct conn *c = h->conns; c; c = c->next) {
		if (c->closing)
			continue;
		session_tick(c->session);
		if (surplus_over(c, now))
			conn_close(c, "another connection to the peer is preferred");
		else if (idle_over(c, now))
			conn_close(c, "idle");
	}
}

/* ---- resources ----------------------------------------------------------------------------- */

static struct p2p_usage usage(const struct resources *r, enum res_kind kind)
{
	return (struct p2p_usage){
	    .used = r->used[RES_STRANGER][kind] + r->used[RES_KNOWN][kind],
	    .by_strangers = r->used[RES_STRANGER][kind],
	    .limit = r->limits.total[kind],
	    .for_strangers = r->strangers_max[kind],
	    .per_peer = r->limits.per_peer[kind],
	    .refused = r->refused[kind],
	    .evicted = r->evicted[kind],
	};
}

void p2p_resources(const struct p2p_host *h, struct p2p_resources *out)
{
	*out = (struct p2p_resources){
	    .conns_in = usage(&h->resources, RES_CONNS),
	    .streams_in = usage(&h->resources, RES_STREAMS),
	    .memory = usage(&h->resources, RES_MEMORY),
	    .conns_out = h->n_out,
	    .max_conns_out = h->limits.conns_out,
	    .handshakes_in = (uint32_t)h->n_half_open,
	    .max_handshakes_in = h->limits.handshakes_in,
	    .rate_total = h->limits.rate_total,
	    .rate_per_stranger = h->limits.rate_per_stranger,
	    .peers = (uint32_t)h->n_peers,
	};
}

/* ---- public -------------------------------------------------------------------------------- */

static void describe(const struct p2p_host *h, const struct conn *c, struct p2p_conn_info *out)
{
	struct session_stats st;

	session_stats(c->session, &st);
	*out = (struct p2p_conn_info){
	    .id = c->id,
	    .peer = c->peer->id,
	    .direction = c->direction,
	    .remote = c->remote,
	    .rtt = st.rtt,
	    .age = instant_since(rt_now(), c->opened),
	    .streams_in = st.streams_in,
	    .streams_out = st.streams_out,
	    .bytes_in = st.bytes_in,
	    .bytes_out = st.bytes_out,
	    .preferred = conn_preferred(h, c->peer) == c,
	    .protected = peer_protected(c->peer),
	    .limited = c->limited,
	    .punched = c->punched,
	    .relay = c->relay,
	};
}

size_t p2p_conns(const struct p2p_host *h, struct p2p_conn_info *out, size_t cap)
{
	size_t n = 0;

	for (const struct conn *c = h->conns; c; c = c->next, n++)
		if (n < cap)
			describe(h, c, &out[n]);
	return n;
}

bool p2p_conn_info(const struct p2p_host *h, p2p_conn_id conn, struct p2p_conn_info *out)
{
	const struct conn *c = conn_find(h, conn);

	if (c)
		describe(h, c, out);
	return c != NULL;
}

bool p2p_preferred(const struct p2p_host *h, const struct peer_id *peer, struct p2p_conn_info *out)
{
	const struct peer *p = peer_find(h, peer);
	const struct conn *c = p ? conn_preferred(h, p) : NULL;

	if (c)
		describe(h, c, out);
	return c != NULL;
}

int p2p_conn_binding(
    const struct p2p_host *h, p2p_conn_id conn, uint8_t out[P2P_BINDING_SIZE], struct err *err)
{
	const struct conn *c = conn_find(h, conn);

	if (!c)
		return err_set(err, E_NOT_FOUND, "the connection is gone");
	memcpy(out, c->binding, P2P_BINDING_SIZE);
	return 0;
}

void p2p_conn_close(struct p2p_host *h, p2p_conn_id conn, const char *why)
{
	struct conn *c = conn_find(h, conn);

	if (c)
		conn_close(c, why);
}

void p2p_disconnect(struct p2p_host *h, const struct peer_id *peer, const char *why)
{
	const struct peer *p = peer_find(h, peer);

	for (struct conn *c = p ? p->conns : NULL; c; c = c->peer_next)
		conn_close(c, why);
}
