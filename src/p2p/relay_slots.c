/* Reservations that stay alive: a fiber per slot picks a relay, reserves there, refreshes early,
 * looks every few seconds whether the relay still answers, and moves on when it does not.
 *
 * Must stay true: a relay that dies is left within DEAD_AFTER; no two slots hold the same relay. */
#include "p2p/relay_client_priv.h"

#include <limits.h>
#include <stdio.h>
#include <talloc.h>

#define WANT_AT_FIRST   2
#define LOOK_EVERY_MS   3000 /* is the relay still there? */
#define LOOK_LIMIT_MS   3000 /* so long may its answer take */
#define RESERVE_LIMIT_S 5
#define PAUSE_FIRST_MS  1000 /* before a relay that failed is tried again */
#define PAUSE_DOUBLINGS 6
#define IDLE_LOOK_MS    1000 /* nothing to pick: look again */
#define STEADY_S        10   /* a connection lost sooner is the relay's failure */
/* Reservations are taken to last so long, whatever a foreign clock says. */
#define LASTS_MIN_S 120
#define LASTS_MAX_S 86400
#define TAG         "relay"

/* ---- our addresses ------------------------------------------------------------------------- */

static void publish(const struct relay_listening *l)
{
	struct multiaddr all[SOURCE_ADDRS_MAX];
	size_t n = 0;

	/* Each relay's best address first, so that all of them are told. */
	for (size_t k = 0; k < CANDIDATE_ADDRS_MAX; k++)
		for (size_t i = 0; i < P2P_RELAYS_MAX; i++)
			if (l->v[i].reserved && k < l->v[i].n_addrs && n < SOURCE_ADDRS_MAX)
				all[n++] = l->v[i].addrs[k];
	host_set_addrs(l->host, ADDRS_RELAYED, all, n);
}

/* Adds <relay>/p2p-circuit, once. */
static void put_addr(struct candidate *c, const struct multiaddr *relay)
{
	struct multiaddr a = *relay;

	multiaddr_strip_peer(&a);
	if (c->n_addrs == CANDIDATE_ADDRS_MAX || multiaddr_append_peer(&a, &c->relay, NULL) != 0 ||
	    multiaddr_append(&a, MA_P2P_CIRCUIT, (struct bytes){0}, NULL) != 0)
		return;
	for (size_t i = 0; i < c->n_addrs; i++)
		if (multiaddr_equal(&c->addrs[i], &a))
			return;
	c->addrs[c->n_addrs++] = a;
}

/* The address that we reached it at, then those that it tells and that may lead there for others:
 * its loopback only if ours is the same. */
static void take_addrs(struct candidate *c, const struct conn *conn, const struct addr_list *told)
{
	bool near = multiaddr_reach(&conn->remote) == MA_REACH_LOOPBACK;

	c->n_addrs = 0;
	if (conn->direction == P2P_OUTBOUND)
		put_addr(c, &conn->remote);
	for (size_t i = 0; i < told->n; i++) {
		enum multiaddr_reach reach = multiaddr_reach(&told->v[i]);
		if (!multiaddr_is_relayed(&told->v[i]) && reach != MA_REACH_UNKNOWN &&
		    reach != MA_REACH_UNSPECIFIED && (reach != MA_REACH_LOOPBACK || near))
			put_addr(c, &told->v[i]);
	}
}

/* ---- reserving ----------------------------------------------------------------------------- */

static int check_voucher(
    const struct p2p_host *h, const struct candidate *c, struct bytes sealed, struct err *err)
{
	struct relay_voucher v;

	if (sealed.n == 0)
		return 0;
	int rc = relay_voucher_open(sealed, &v, err);
	if (rc == 0 &&
	    (!peer_id_equal(&v.relay, &c->relay) || !peer_id_equal(&v.peer, &h->identity.peer_id)))
		rc = err_set(err, E_PROTOCOL, "a voucher for another reservation");
	return rc;
}

static int take_reservation(struct relay_listening *l, struct candidate *c, p2p_conn_id conn,
    const struct relay_hop *m, struct err *err)
{
	const struct conn *at = conn_find(l->host, conn);
	int64_t lasts_s = (int64_t)(m->expire_s & INT64_MAX) - world_wall_ms(l->host->world) / 1000;
	int rc;

	if (!m->has_reservation)
		return err_set(err, E_PROTOCOL, "the relay accepts without a reservation");
	if (!at)
		return err_set(err, E_CLOSED, "the connection to the relay is gone");
	if ((rc = check_voucher(l->host, c, m->voucher, err)) != 0)
		return rc;
	take_addrs(c, at, &m->addrs);
	if (c->n_addrs == 0)
		return err_set(err, E_INVALID, "the relay has no address for others");
	lasts_s = lasts_s < LASTS_MIN_S   ? LASTS_MIN_S
		  : lasts_s > LASTS_MAX_S ? LASTS_MAX_S
					  : lasts_s;
	c->until = instant_add(rt_now(), duration_s(lasts_s));
	c->reserved = true;
	c->failure[0] = 0;
	return 0;
}

static int request(
    struct relay_listening *l, struct candidate *c, p2p_conn_id conn, struct err *err)
{
	static const char *const hop = P2P_RELAY_HOP;
	struct relay_hop ask = {.type = RELAY_HOP_RESERVE}, answer;
	struct buf in = BUF_INIT(RELAY_MESSAGE_MAX);
	struct stream *s;
	int rc = p2p_open_stream_on(l->host, conn, &hop, 1, &s, NULL, err);

	if (rc != 0)
		return rc;
	rc = relay_ask(s, &ask, &in, &answer, err);
	if (rc == 0) {
		rc = take_reservation(l, c, conn, &answer, err);
		relay_hop_free(&answer);
	}
	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
	buf_free(&in);
	return rc;
}

/* Connects where needed, reserves, and tells the world. */
static int reserve(
    struct relay_listening *l, struct candidate *c, p2p_conn_id *conn, struct err *err)
{
	bool new_one = !c->reserved;
	struct scope sc;
	int rc;

	scope_open(&sc, duration_s(RESERVE_LIMIT_S));
	rc = dial_relay(l->host, &c->relay, &c->addr, c->addr.n > 0, conn, err);
	if (rc == 0)
		rc = request(l, c, *conn, err);
	scope_close(&sc);
	if (rc == 0 && new_one) {
		char id[PEER_ID_TEXT_MAX];
		peer_id_print(&c->relay, id);
		rt_log(LOG_INFO, "p2p", "reachable through the relay %s", id);
		if (p2p_protect(l->host, &c->relay, TAG, NULL) != 0)
			rt_log(LOG_DEBUG, "p2p", "a relay's connection cannot be protected");
	}
	if (rc == 0)
		publish(l);
	return rc;
}

/* ---- holding ------------------------------------------------------------------------------- */

static bool is_trusted(const struct relay_listening *l, const struct candidate *c)
{
	return c->given || !l->trust || l->trust(l->trust_arg, &c->relay);
}

static bool is_wanted(const struct slot *s, const struct candidate *c)
{
	return s->index < s->l->want && !c->forgotten && is_trusted(s->l, c);
}

/* Whether the relay answers. */
static int look(const struct relay_listening *l, const struct candidate *c, struct err *err)
{
	struct duration rtt;
	struct scope sc;
	int rc;

	scope_open(&sc, duration_ms(LOOK_LIMIT_MS));
	rc = p2p_ping(l->host, &c->relay, &rtt, err);
	scope_close(&sc);
	return rc;
}

/* Until the reservation is half over (0), no longer wanted (E_CANCELLED), the connection is lost
 * (E_CLOSED), or the relay falls silent. */
static int watch(struct slot *s, struct candidate *c, p2p_conn_id conn, struct err *err)
{
	struct relay_listening *l = s->l;
	int64_t half = instant_since(c->until, rt_now()).ns / 2;
	struct instant refresh = instant_add(rt_now(), duration_ns(half));
	struct instant next = instant_add(rt_now(), duration_ms(LOOK_EVERY_MS));

	for (;;) {
		if (!is_wanted(s, c))
			return err_set(err, E_CANCELLED, "no longer wanted");
		if (!conn_find(l->host, conn))
			return err_set(err, E_CLOSED, "the connection to the relay is lost");
		if (!instant_before(rt_now(), refresh))
			return 0;
		if (!instant_before(rt_now(), next)) {
			int rc = look(l, c, err);
			if (rc != 0 && conn_find(l->host, conn))
				return rc;
			next = instant_add(rt_now(), duration_ms(LOOK_EVERY_MS));
			continue;
		}
		struct duration pause = instant_since(instant_min(refresh, next), rt_now());
		if (waitq_wait_for(&l->host->conns_changed, pause, err) != 0) {
			int rc = scope_check(err);
			if (rc != 0)
				return rc;
		}
	}
}

static void failed(struct relay_listening *l, struct candidate *c, const struct err *err)
{
	unsigned doublings = c->failures < PAUSE_DOUBLINGS ? c->failures : PAUSE_DOUBLINGS;
	int64_t ms = PAUSE_FIRST_MS << doublings;
	char id[PEER_ID_TEXT_MAX];

	ms += (int64_t)(world_random_u64(l->host->world) % (uint64_t)(ms / 4));
	c->failures++;
	c->retry_at = instant_add(rt_now(), duration_ms(ms));
	(void)snprintf(c->failure, sizeof c->failure, "%s", err_text(err));
	peer_id_print(&c->relay, id);
	rt_log(LOG_DEBUG, "p2p", "no relaying through %s: %s", id, c->failure);
}

static void give_up(struct relay_listening *l, struct candidate *c)
{
	if (!c->reserved)
		return;
	c->reserved = false;
	p2p_unprotect(l->host, &c->relay, TAG);
	publish(l);
}

/* As long as it goes well. A connection that was lost is made anew: the relay may have closed it
 * for its own reasons. Where it does so at once, or again and again, that is a failure. */
static void hold(struct slot *s, struct candidate *c)
{
	struct relay_listening *l = s->l;
	struct err err = {0};
	p2p_conn_id conn = 0;
	int rc = 0;

	c->busy = true;
	while (rc == 0) {
		rc = reserve(l, c, &conn, &err);
		if (rc != 0)
			break;
		struct instant since = rt_now();
		rc = watch(s, c, conn, &err);
		bool steady = instant_since(rt_now(), since).ns >= duration_s(STEADY_S).ns;
		if (steady)
			c->failures = 0;
		if (rc == E_CLOSED && steady) {
			give_up(l, c);
			rc = 0;
		}
	}
	if (rc != E_CANCELLED && scope_check(NULL) == 0) {
		failed(l, c, &err);
		if (rc == E_TIMEOUT && c->reserved) /* it is connected, and silent */
			p2p_conn_close(l->host, conn, "the relay does not answer");
	}
	give_up(l, c);
	c->busy = false;
	if (c->forgotten)
		*c = (struct candidate){0};
}

/* ---- slots --------------------------------------------------------------------------------- */

static bool rather(const struct candidate *a, const struct candidate *b)
{
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return a->given && !b->given;
}

/* Those that failed least, and among equals any: clients are to spread over the relays. */
static struct candidate *pick(struct relay_listening *l)
{
	size_t first = (size_t)(world_random_u64(l->host->world) % P2P_RELAYS_MAX);
	struct candidate *best = NULL;

	for (size_t i = 0; i < P2P_RELAYS_MAX; i++) {
		struct candidate *c = &l->v[(first + i) % P2P_RELAYS_MAX];
		if (!c->used || c->busy || c->forgotten || instant_before(rt_now(), c->retry_at) ||
		    !is_trusted(l, c))
			continue;
		if (!best || rather(c, best))
			best = c;
	}
	return best;
}

static void slot_fiber(void *arg)
{
	struct slot *s = arg;

	while (s->index < s->l->want && scope_check(NULL) == 0) {
		struct candidate *c = pick(s->l);
		if (c)
			hold(s, c);
		else if (waitq_wait_for(&s->l->changed, duration_ms(IDLE_LOOK_MS), NULL) ==
			 E_CANCELLED)
			break;
	}
	s->running = false;
}

static int run_slots(struct relay_listening *l, struct err *err)
{
	for (size_t i = 0; i < l->want; i++) {
		struct slot *s = &l->slots[i];
		if (s->running)
			continue;
		*s = (struct slot){.l = l, .index = i, .running = true};
		int rc = fiber_spawn(&l->host->scope, "p2p relay slot", slot_fiber, s, err);
		if (rc != 0) {
			s->running = false;
			return rc;
		}
	}
	return 0;
}

/* ---- candidates ---------------------------------------------------------------------------- */

bool relay_is_ours(const struct relay_listening *l, const struct peer_id *relay)
{
	for (size_t i = 0; i < P2P_RELAYS_MAX; i++)
		if (l->v[i].reserved && peer_id_equal(&l->v[i].relay, relay))
			return true;
	return false;
}

static struct candidate *find(struct relay_listening *l, const struct peer_id *relay)
{
	for (size_t i = 0; i < P2P_RELAYS_MAX; i++)
		if (l->v[i].used && !l->v[i].forgotten && peer_id_equal(&l->v[i].relay, relay))
			return &l->v[i];
	return NULL;
}

/* The less a found relay is worth, the more: its failures, or that it is not trusted. */
static unsigned uselessness(const struct relay_listening *l, const struct candidate *c)
{
	return is_trusted(l, c) ? c->failures : UINT_MAX;
}

/* A free place, or that of a relay that was found and does not work or is not trusted. */
static struct candidate *place(struct relay_listening *l)
{
	struct candidate *worst = NULL;

	for (size_t i = 0; i < P2P_RELAYS_MAX; i++) {
		struct candidate *c = &l->v[i];
		if (!c->used)
			return c;
		if (!c->given && !c->busy && uselessness(l, c) > 0 &&
		    (!worst || uselessness(l, c) > uselessness(l, worst)))
			worst = c;
	}
	return worst;
}

static int add(struct relay_listening *l, const struct peer_id *relay, const struct multiaddr *addr,
    struct err *err)
{
	struct candidate *c = find(l, relay);

	if (c && c->given)
		return err_set(err, E_EXISTS, "this relay is known already");
	if (!c && !(c = place(l)))
		return err_set(err, E_LIMIT, "at most %d relays", P2P_RELAYS_MAX);
	if (!c->busy)
		*c = (struct candidate){.used = true, .relay = *relay};
	c->given = addr != NULL;
	if (addr)
		c->addr = *addr;
	waitq_wake_all(&l->changed);
	return 0;
}

static void on_event(void *arg, const struct p2p_event *e)
{
	struct relay_listening *l = arg;

	if (e->kind != P2P_PEER_IDENTIFIED || !l->discover || find(l, &e->peer) ||
	    !p2p_peer_speaks(l->host, &e->peer, P2P_RELAY_HOP))
		return;
	if (add(l, &e->peer, NULL, NULL) != 0)
		rt_log(LOG_DEBUG, "p2p", "a relay more than can be remembered");
}

/* ---- public -------------------------------------------------------------------------------- */

static int listening(struct p2p_host *h, struct relay_listening **out, struct err *err)
{
	struct relay_listening *l = h->relay_listening;

	*out = l;
	if (l)
		return 0;
	if (!(l = talloc_zero(h, struct relay_listening)))
		return err_set(err, E_MEMORY, "no memory to listen through relays");
	*l = (struct relay_listening){.host = h, .want = WANT_AT_FIRST};
	int rc = p2p_handle(h, RELAY_STOP_PROTOCOL, relay_stop_serve, l, err);
	if (rc != 0) {
		talloc_free(l);
		return rc;
	}
	p2p_on_event(h, on_event, l);
	h->relay_listening = *out = l;
	return run_slots(l, err);
}

int p2p_relay_use(struct p2p_host *h, const struct multiaddr *addr, struct err *err)
{
	struct relay_listening *l;
	struct multiaddr_tcp tcp;
	struct err why = {0};
	int rc = multiaddr_tcp(addr, &tcp, &why);

	if (rc != 0)
		return err_set(err, E_INVALID, "not a relay's address: %s", err_text(&why));
	if (!tcp.has_peer)
		return err_set(err, E_INVALID, "a relay's address ends in its /p2p");
	if (peer_id_equal(&tcp.peer, &h->identity.peer_id))
		return err_set(err, E_INVALID, "a host is no relay for itself");
	if ((rc = listening(h, &l, err)) != 0)
		return rc;
	return add(l, &tcp.peer, addr, err);
}

void p2p_relay_forget(struct p2p_host *h, const struct multiaddr *addr)
{
	struct peer_id relay;
	struct candidate *c;

	if (!h->relay_listening || !multiaddr_peer(addr, &relay) ||
	    !(c = find(h->relay_listening, &relay)))
		return;
	if (c->busy)
		c->forgotten = true; /* its slot clears the place */
	else
		*c = (struct candidate){0};
	waitq_wake_all(&h->conns_changed);
}

int p2p_relay_want(struct p2p_host *h, unsigned relays, bool discover, struct err *err)
{
	struct relay_listening *l;
	int rc;

	if (relays == 0 || relays > SLOTS_MAX)
		return err_set(err, E_INVALID, "reservations at 1 to %d relays", SLOTS_MAX);
	if ((rc = listening(h, &l, err)) != 0)
		return rc;
	l->want = relays;
	l->discover = discover;
	waitq_wake_all(&h->conns_changed);
	return run_slots(l, err);
}

int p2p_relay_trust(struct p2p_host *h, p2p_relay_trust_fn fn, void *arg, struct err *err)
{
	struct relay_listening *l;
	int rc = listening(h, &l, err);

	if (rc != 0)
		return rc;
	l->trust = fn;
	l->trust_arg = arg;
	waitq_wake_all(&l->changed);
	waitq_wake_all(&h->conns_changed);
	return 0;
}

size_t p2p_relays(const struct p2p_host *h, struct p2p_relay_info *out, size_t cap)
{
	const struct relay_listening *l = h->relay_listening;
	size_t n = 0;

	for (size_t i = 0; l && i < P2P_RELAYS_MAX; i++) {
		const struct candidate *c = &l->v[i];
		if (!c->used || c->forgotten)
			continue;
		if (n < cap)
			out[n] = (struct p2p_relay_info){.relay = c->relay,
			    .addr = c->addr,
			    .reserved = c->reserved,
			    .left = c->reserved ? instant_since(c->until, rt_now())
						: (struct duration){0},
			    .last_failure = c->failure};
		n++;
	}
	return n;
}
