/* Dialling: from a peer and its addresses to a connection. A dial has a fiber of its own, so that
 * several callers can share it and the one who asked first may go away; it ends early when the last
 * caller has. Addresses are tried at a stagger, each in a fiber: the first to become ready wins. */
#include "p2p/host_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#define STAGGER_MS        250
#define TARGETS_MAX       32 /* socket addresses tried in one dial */
#define RESOLVE_MAX       8  /* per name */
#define RESOLVE_LIMIT_S   5
#define BACKOFF_FIRST_MS  500
#define BACKOFF_DOUBLINGS 6 /* at most 32 s */

enum dial_way {
	DIAL_ANY,
	DIAL_DIRECT, /* not through relays */
	DIAL_RELAY   /* nor, and from a listener's port */
};

/* One socket address of a dial, or one circuit. */
struct target {
	struct dial *dial;
	struct netaddr to;
	bool circuit; /* through `relay` instead of to `to` */
	struct multiaddr relay;
	struct multiaddr remote; /* what it is called */
	bool begun, ended;
	int code; /* once ended: 0 for the winner */
	char why[160];
};

struct dial {
	struct dial *next;
	struct p2p_host *host;
	struct peer_id peer; /* empty: whoever answers */
	enum dial_way way;
	struct multiaddr *addrs;
	size_t n_addrs;
	struct target targets[TARGETS_MAX];
	size_t n_targets;
	struct scope *scope; /* while its fiber runs */
	struct waitq step;   /* a target ended */
	struct waitq done_q;
	unsigned callers;
	bool done;
	int rc;
	p2p_conn_id conn;
	struct err err;
};

/* ---- targets ------------------------------------------------------------------------------- */

/* The address is named already. */
static const char *reason(const char *why)
{
	const char *rest = strncmp(why, "connect to ", 11) == 0 ? strstr(why, ": ") : NULL;

	return rest ? rest + 2 : why;
}

static void note(struct buf *text, const struct multiaddr *addr, const char *why)
{
	char name[MULTIADDR_TEXT_MAX];

	multiaddr_print(addr, name);
	buf_printf(text, "%s%s: %s", text->n > 0 ? "; " : "", name, reason(why));
}

static void add_target(struct dial *d, const struct netaddr *to)
{
	struct target *t = &d->targets[d->n_targets];

	for (size_t i = 0; i < d->n_targets; i++)
		if (netaddr_equal(&d->targets[i].to, to))
			return;
	if (d->n_targets == TARGETS_MAX)
		return;
	*t = (struct target){.dial = d, .to = *to};
	netaddr_to_multiaddr(to, &t->remote);
	d->n_targets++;
}

static int add_circuit(struct dial *d, const struct multiaddr *a, const struct multiaddr *relay,
    const struct peer_id *named, struct err *err)
{
	struct target *t = &d->targets[d->n_targets];
	struct peer_id relay_id;

	if (d->way != DIAL_ANY)
		return err_set(err, E_INVALID, "a circuit where a direct address is needed");
	if (d->peer.n == 0)
		return err_set(err, E_INVALID, "a circuit to nobody: no /p2p behind it");
	if (named->n > 0 && !peer_id_equal(named, &d->peer))
		return err_set(err, E_INVALID, "a circuit to another peer");
	if (!multiaddr_peer(relay, &relay_id))
		return err_set(err, E_INVALID, "a circuit without the relay's /p2p");
	if (peer_id_equal(&relay_id, &d->peer))
		return err_set(err, E_INVALID, "its end is the relay itself");
	/* Peers whose relay we are tell everybody of it, us too: that way begins with them. */
	if (d->n_targets == TARGETS_MAX || peer_id_equal(&relay_id, &d->host->identity.peer_id))
		return 0;
	*t = (struct target){.dial = d, .circuit = true, .relay = *relay, .remote = *a};
	multiaddr_strip_peer(&t->remote);
	for (size_t i = 0; i < d->n_targets; i++)
		if (multiaddr_equal(&d->targets[i].remote, &t->remote))
			return 0;
	d->n_targets++;
	return 0;
}

static int resolve(struct dial *d, const struct multiaddr_tcp *tcp, struct err *err)
{
	struct netaddr found[RESOLVE_MAX];
	struct scope sc;
	size_t n = 0;
	int family = tcp->kind == MA_HOST_DNS4 ? NET_IP4 : tcp->kind == MA_HOST_DNS6 ? NET_IP6 : 0;
	int rc;

	scope_open(&sc, duration_s(RESOLVE_LIMIT_S));
	rc = world_resolve(d->host->world, tcp->host, family, found, RESOLVE_MAX, &n, err);
	scope_close(&sc);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		found[i].port = tcp->port;
		add_target(d, &found[i]);
	}
	return rc;
}

static int add_addr(struct dial *d, const struct multiaddr *a, struct err *err)
{
	struct multiaddr_tcp tcp;
	struct multiaddr relay;
	struct peer_id named;
	struct netaddr to;
	int rc;

	if (multiaddr_circuit(a, &relay, &named))
		return add_circuit(d, a, &relay, &named, err);
	if ((rc = multiaddr_tcp(a, &tcp, err)) != 0)
		return rc;
	if (tcp.port == 0)
		return err_set(err, E_INVALID, "port 0 cannot be dialled");
	if (tcp.kind != MA_HOST_IP4 && tcp.kind != MA_HOST_IP6)
		return resolve(d, &tcp, err);
	if ((rc = netaddr_parse_ip(tcp.host, &to, err)) != 0)
		return rc;
	to.port = tcp.port;
	add_target(d, &to);
	return 0;
}

/* ---- attempts ------------------------------------------------------------------------------ */

/* From nothing to a started connection, within the limit per address. */
static int reach(struct target *t, p2p_conn_id *conn, struct err *err)
{
	struct dial *d = t->dial;
	struct p2p_host *h = d->host;
	const struct peer_id *expect = d->peer.n > 0 ? &d->peer : NULL;
	struct upgraded up;
	struct stream *raw;
	int rc = E_NOT_FOUND;

	/* Who is to tell us where it sees us (a relay) should see the listener's port. */
	if (d->way == DIAL_RELAY)
		rc = host_dial_from_port(h, &t->to, &raw, err);
	if (rc == E_NOT_FOUND || rc == E_IN_USE)
		rc = world_tcp_dial(h->world, &t->to, &raw, err);
	if (rc != 0)
		return rc;
	rc = upgrade_outbound(h, raw, expect, &up, err);
	if (rc == 0 && peer_id_equal(&up.peer, &h->identity.peer_id)) {
		raw = secure_detach(up.secure);
		rc = err_set(err, E_INVALID, "this is the host itself");
	}
	if (rc != 0) {
		stream_reset(raw, rc);
		stream_close(raw);
		return rc;
	}
	if (d->conn != 0) { /* another address was faster */
		secure_close(up.secure);
		return err_set(err, E_CANCELLED, "not needed");
	}
	rc = conn_start(h, &up, P2P_OUTBOUND, &t->remote, conn, err);
	return rc;
}

static void target_fiber(void *arg)
{
	struct target *t = arg;
	struct dial *d = t->dial;
	struct scope sc;
	struct err err = {0};
	p2p_conn_id conn = 0;

	scope_open(&sc, d->host->timeouts.dial_address);
	t->code = t->circuit ? relay_reach(d->host, &t->relay, &d->peer, &conn, &err)
			     : reach(t, &conn, &err);
	scope_close(&sc);
	(void)snprintf(t->why, sizeof t->why, "%s", err_text(&err));
	if (t->code == 0 && d->conn == 0)
		d->conn = conn;
	t->ended = true;
	waitq_wake_all(&d->step);
}

/* Which failure tells most about a peer that could not be reached. */
static int telling(int code)
{
	switch (code) {
	case E_WRONG_PEER:
		return 6;
	case E_INVALID:
	case E_BAD_SIGNATURE:
	case E_PROTOCOL:
		return 5;
	case E_REFUSED:
		return 4;
	case E_TIMEOUT:
		return 3;
	case E_UNREACHABLE:
		return 2;
	default:
		return 1;
	}
}

static bool any_running(const struct dial *d)
{
	for (size_t i = 0; i < d->n_targets; i++)
		if (d->targets[i].begun && !d->targets[i].ended)
			return true;
	return false;
}

/* Begins the targets one after the other, waiting a stagger, or until all begun ones failed. */
static int race(struct dial *d, struct scope *sc, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < d->n_targets && d->conn == 0; i++) {
		struct instant next = instant_add(rt_now(), duration_ms(STAGGER_MS));
		rc = fiber_spawn(sc, "p2p dial address", target_fiber, &d->targets[i], err);
		if (rc != 0)
			return rc;
		d->targets[i].begun = true;
		while (d->conn == 0 && any_running(d) && instant_before(rt_now(), next)) {
			rc = waitq_wait_for(&d->step, instant_since(next, rt_now()), err);
			if (rc != 0 && (rc = scope_check(err)) != 0)
				return rc;
		}
	}
	while (d->conn == 0 && any_running(d))
		if ((rc = waitq_wait(&d->step, err)) != 0)
			return rc;
	return 0;
}

/* The text lists each address with its reason; the code is the most telling one. */
static int all_failed(const struct dial *d, struct buf *text, int code, struct err *err)
{
	for (size_t i = 0; i < d->n_targets; i++) {
		const struct target *t = &d->targets[i];
		if (t->ended) {
			if (telling(t->code) > telling(code) || code == 0)
				code = t->code;
			note(text, &t->remote, t->why);
		} else {
			note(text, &t->remote, t->begun ? "timed out" : "not tried");
			code = code == 0 ? E_TIMEOUT : code;
		}
	}
	if (text->n == 0)
		return err_set(err, code == 0 ? E_NOT_FOUND : code, "no address is known");
	return err_set(err, code, "%s", buf_cstr(text));
}

/* Those through relays, or the others. What cannot be dialled stands in the text. */
static void add_addrs(struct dial *d, bool relayed, struct buf *text, int *failed)
{
	for (size_t i = 0; i < d->n_addrs; i++) {
		struct err why = {0};
		if (multiaddr_is_relayed(&d->addrs[i]) != relayed)
			continue;
		int rc = add_addr(d, &d->addrs[i], &why);
		if (rc != 0) {
			note(text, &d->addrs[i], err_text(&why));
			*failed = rc;
		}
	}
}

static int run(struct dial *d, struct err *err)
{
	struct p2p_host *h = d->host;
	struct buf text = BUF_INIT(4096);
	struct scope sc;
	int rc, failed = 0;

	if (h->n_out + h->n_dialling > h->limits.conns_out)
		return err_set(err, E_LIMIT, "%u outbound connections are open or under way",
		    h->n_out + h->n_dialling);
	scope_open(&sc, h->timeouts.dial);
	d->scope = &sc;
	if (d->callers == 0)
		scope_cancel(&sc);
	add_addrs(d, false, &text, &failed);
	add_addrs(d, true, &text, &failed);
	rc = race(d, &sc, err);
	d->scope = NULL;
	scope_close(&sc);
	if (d->conn != 0)
		rc = 0;
	else if (rc == 0 || rc == E_TIMEOUT)
		rc = all_failed(d, &text, failed, err);
	buf_free(&text);
	return rc;
}

/* ---- a dial and its callers ---------------------------------------------------------------- */

static void leave(struct dial *d)
{
	if (--d->callers > 0)
		return;
	if (d->done)
		talloc_free(d);
	else if (d->scope)
		scope_cancel(d->scope);
}

static void unlink_dial(struct dial *d)
{
	struct dial **at = &d->host->dials;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
}

static void back_off(struct p2p_host *h, const struct dial *d)
{
	struct peer *p = d->peer.n > 0 ? peer_find(h, &d->peer) : NULL;

	if (!p || d->way != DIAL_ANY || d->rc == E_CANCELLED || d->rc == E_LIMIT)
		return;
	unsigned doublings = p->failures < BACKOFF_DOUBLINGS ? p->failures : BACKOFF_DOUBLINGS;
	p->failures++;
	p->dial_after = instant_add(rt_now(), duration_ms(BACKOFF_FIRST_MS << doublings));
}

static void dial_fiber(void *arg)
{
	struct dial *d = arg;

	d->host->n_dialling++;
	d->rc = run(d, &d->err);
	d->host->n_dialling--;
	if (d->rc != 0)
		back_off(d->host, d);
	unlink_dial(d);
	d->done = true;
	waitq_wake_all(&d->done_q);
	if (d->callers == 0)
		talloc_free(d);
}

/* The given addresses first, then what else is known. */
static bool gather(struct dial *d, const struct multiaddr *addrs, size_t n)
{
	const struct peer *p = d->peer.n > 0 ? peer_find(d->host, &d->peer) : NULL;
	size_t known = p ? p->n_addrs : 0;

	d->addrs = talloc_array(d, struct multiaddr, (unsigned)(n + known + 1));
	if (!d->addrs)
		return false;
	if (n > 0)
		memcpy(d->addrs, addrs, n * sizeof *addrs);
	if (known > 0)
		memcpy(d->addrs + n, p->addrs, known * sizeof *addrs);
	d->n_addrs = n + known;
	return true;
}

/* What is to be dialled. */
struct wish {
	const struct peer_id *peer;
	const struct multiaddr *addrs;
	size_t n;
	enum dial_way way;
};

static int dial_new(struct p2p_host *h, const struct wish *wish, struct dial **out, struct err *err)
{
	struct dial *d = talloc_zero(h, struct dial);

	if (!d)
		return err_set(err, E_MEMORY, "no memory to dial");
	d->host = h;
	d->peer = *wish->peer;
	d->way = wish->way;
	if (!gather(d, wish->addrs, wish->n)) {
		talloc_free(d);
		return err_set(err, E_MEMORY, "no memory to dial");
	}
	int rc = fiber_spawn(&h->scope, "p2p dial", dial_fiber, d, err);
	if (rc != 0) {
		talloc_free(d);
		return rc;
	}
	d->next = h->dials;
	h->dials = d;
	*out = d;
	return 0;
}

static int wait_for(struct dial *d, p2p_conn_id *out, struct err *err)
{
	int rc = 0;

	d->callers++;
	while (!d->done && rc == 0)
		rc = waitq_wait(&d->done_q, err);
	if (d->done && (rc = d->rc) == 0)
		*out = d->conn;
	else if (d->done)
		rc = err_set(err, d->rc, "%s", err_text(&d->err));
	leave(d);
	return rc;
}

/* A dial under way to the same peer, or, while the peer is unknown, to the same address. */
static struct dial *find_dial(const struct p2p_host *h, const struct wish *wish)
{
	struct dial *d = h->dials;

	for (; d; d = d->next) {
		if (d->scope && scope_cancelled(d->scope))
			continue;
		if (d->way != wish->way || !peer_id_equal(&d->peer, wish->peer))
			continue;
		if (wish->peer->n > 0 || (wish->n == 1 && d->n_addrs == 1 &&
					     multiaddr_equal(&d->addrs[0], &wish->addrs[0])))
			break;
	}
	return d;
}

/* Who is meant: the argument and the addresses' own /p2p parts have to agree. */
static int target_peer(const struct p2p_host *h, const struct peer_id *peer,
    const struct multiaddr *addrs, size_t n, struct peer_id *out, struct err *err)
{
	struct peer_id named;

	*out = peer ? *peer : (struct peer_id){0};
	for (size_t i = 0; i < n; i++) {
		if (!multiaddr_peer(&addrs[i], &named))
			continue;
		if (out->n > 0 && !peer_id_equal(out, &named))
			return err_set(err, E_INVALID, "the addresses name different peers");
		*out = named;
	}
	if (peer_id_equal(out, &h->identity.peer_id))
		return err_set(err, E_INVALID, "a host does not dial itself");
	if (out->n == 0 && n == 0)
		return err_set(err, E_INVALID, "nobody to dial");
	return 0;
}

static int dial_or_join(
    struct p2p_host *h, const struct wish *wish, p2p_conn_id *out, struct err *err)
{
	struct dial *d = find_dial(h, wish);
	bool joined = d != NULL;
	int rc = 0;

	if (!d)
		rc = dial_new(h, wish, &d, err);
	if (rc == 0)
		rc = wait_for(d, out, err);
	/* The dial that we joined did not know our addresses. */
	if (rc != 0 && joined && wish->n > 0 && scope_check(NULL) == 0) {
		rc = dial_new(h, wish, &d, err);
		if (rc == 0)
			rc = wait_for(d, out, err);
	}
	return rc;
}

static int dial(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n_addrs, enum dial_way way, p2p_conn_id *out, struct err *err)
{
	struct peer_id who;
	struct wish wish = {.peer = &who, .addrs = addrs, .n = n_addrs, .way = way};
	p2p_conn_id conn = 0;
	int rc = target_peer(h, peer, addrs, n_addrs, &who, err);

	if (rc != 0)
		return rc;
	const struct peer *p = who.n > 0 ? peer_find(h, &who) : NULL;
	const struct conn *c = !p                ? NULL
			       : way == DIAL_ANY ? conn_preferred(h, p)
						 : conn_direct(h, p);
	if (c)
		conn = c->id;
	else if (who.n > 0 && (rc = conn_check_ban(h, &who, err)) != 0)
		return rc;
	else
		rc = dial_or_join(h, &wish, &conn, err);
	if (rc == 0 && out)
		*out = conn;
	return rc;
}

int p2p_dial(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n_addrs, p2p_conn_id *out, struct err *err)
{
	return dial(h, peer, addrs, n_addrs, DIAL_ANY, out, err);
}

int dial_direct(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n, p2p_conn_id *out, struct err *err)
{
	return dial(h, peer, addrs, n, DIAL_DIRECT, out, err);
}

int dial_relay(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n, p2p_conn_id *out, struct err *err)
{
	return dial(h, peer, addrs, n, DIAL_RELAY, out, err);
}
