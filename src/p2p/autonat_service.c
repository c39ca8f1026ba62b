/* AutoNAT over streams: asking peers to dial back, and dialling back for them. SPEC autonat v1.
 *
 * A dial-back is a fresh connection under a passing identity: it neither replaces nor looks like
 * the connection that the question came on. */
#include "p2p/autonat_priv.h"
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"

#include <talloc.h>

#define TARGETS_MAX      4 /* addresses tried per request */
#define DIAL_BACK_S      4 /* per address */
#define ANSWER_LIMIT_S   30
#define ASK_AGAIN_S      60
#define FIRST_QUESTION_S 2

struct autonat {
	struct p2p_host *host;
	struct p2p_autonat_options opt;
	struct autonat_rate rate;
	struct autonat_votes votes;
	struct multiaddr addr; /* where a peer reached us last */
};

void p2p_autonat_options_default(struct p2p_autonat_options *opt)
{
	*opt = (struct p2p_autonat_options){
	    .ask = true,
	    .serve = true,
	    .per_peer = 3,
	    .per_minute = 30,
	    .retry = duration_s(10),
	    .refresh = duration_s(900),
	};
}

/* Whether being dialled at this address says anything about the reach from outside. */
static bool counts(const struct autonat *a, const struct multiaddr *addr)
{
	return a->opt.private_too || multiaddr_reach(addr) == MA_REACH_PUBLIC;
}

/* ---- dialling back ------------------------------------------------------------------------- */

static int dial_back(
    struct p2p_host *h, const struct netaddr *to, const struct peer_id *peer, struct err *err)
{
	struct peer_id met;
	struct stream *raw;
	struct scope sc;

	scope_open(&sc, duration_s(DIAL_BACK_S));
	int rc = world_tcp_dial(h->world, to, &raw, err);
	if (rc == 0) {
		rc = upgrade_probe(h, raw, peer, &met, err);
		stream_close(raw);
	}
	scope_close(&sc);
	return rc;
}

/* The first address that works. */
static void try_all(struct autonat *a, const struct netaddr *targets, size_t n,
    const struct peer_id *peer, struct autonat_response *out)
{
	struct err err = {0};

	*out = (struct autonat_response){
	    .status = AUTONAT_DIAL_ERROR, .text = "no address could be dialled"};
	for (size_t i = 0; i < n && scope_check(NULL) == 0; i++) {
		if (dial_back(a->host, &targets[i], peer, &err) != 0)
			continue;
		*out = (struct autonat_response){.status = AUTONAT_OK};
		netaddr_to_multiaddr(&targets[i], &out->addr);
		return;
	}
}

static void refuse(struct autonat_response *out, enum autonat_status status, const char *why)
{
	*out = (struct autonat_response){.status = (uint32_t)status, .text = why};
}

static void serve_dial(struct autonat *a, const struct autonat_dial *m,
    const struct p2p_stream_info *info, struct autonat_response *out)
{
	const struct conn *c = conn_find(a->host, info->conn);
	struct netaddr observed, targets[TARGETS_MAX];
	size_t n;

	if (m->peer.n > 0 && !peer_id_equal(&m->peer, &info->peer)) {
		refuse(out, AUTONAT_BAD_REQUEST, "another peer's addresses");
	} else if (!c || !conn_netaddr(c, &observed)) {
		refuse(out, AUTONAT_DIAL_REFUSED, "not over a relay");
	} else if (!counts(a, &c->remote)) {
		refuse(out, AUTONAT_DIAL_REFUSED, "not from a public address");
	} else if ((n = autonat_targets(&m->addrs, &observed, targets, TARGETS_MAX)) == 0) {
		refuse(out, AUTONAT_DIAL_REFUSED, "no address at the IP that this comes from");
	} else if (!autonat_admit(&a->rate, &info->peer, rt_now())) {
		refuse(out, AUTONAT_DIAL_REFUSED, "too many requests");
	} else {
		try_all(a, targets, n, &info->peer, out);
	}
}

static int answer(
    struct autonat *a, struct stream *s, const struct p2p_stream_info *info, struct err *err)
{
	struct buf b = BUF_INIT(AUTONAT_MESSAGE_MAX);
	struct autonat_response response;
	struct autonat_dial m = {0};
	int rc = framed_read(s, &b, err);

	if (rc == 0)
		rc = err_set(err, E_CLOSED, "closed without a request");
	if (rc > 0)
		rc = autonat_dial_decode(buf_view(&b), &m, err);
	if (rc == 0)
		serve_dial(a, &m, info, &response);
	else if (rc == E_PROTOCOL || rc == E_TOO_LARGE)
		refuse(&response, AUTONAT_BAD_REQUEST, "malformed");
	autonat_dial_free(&m);
	buf_reset(&b);
	p2p_report_end(a->host, &info->peer, rc, err_text(err));
	if (rc == 0 || rc == E_PROTOCOL || rc == E_TOO_LARGE) {
		autonat_response_encode(&response, &b);
		rc = buf_ok(&b, err);
		if (rc == 0)
			rc = framed_write(s, buf_view(&b), err);
	}
	buf_free(&b);
	return rc;
}

static void serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct err err = {0};
	struct scope sc;

	scope_open(&sc, duration_s(ANSWER_LIMIT_S));
	int rc = answer(arg, s, info, &err);
	scope_close(&sc);
	if (rc != 0) {
		rt_log(LOG_DEBUG, "p2p", "%s: autonat: %s", s->remote, err_text(&err));
		stream_reset(s, rc);
	}
	stream_close(s);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* Ours, and our port where the server sees us. */
static int own_addrs(const struct autonat *a, const struct peer *server, struct addr_list *l)
{
	const struct p2p_host *h = a->host;
	int rc = 0;

	if (counts(a, &server->said.observed))
		rc = host_add_observed(h, &server->said.observed, l, AUTONAT_ADDRS_MAX);
	for (size_t i = 0; rc == 0 && i < h->n_addrs; i++)
		if (!multiaddr_is_relayed(&h->addrs[i]) && counts(a, &h->addrs[i]))
			rc = addr_list_add_once(l, &h->addrs[i], AUTONAT_ADDRS_MAX);
	return rc;
}

/* Someone to ask: directly connected, serves it, and was asked longest ago. */
static bool choose(const struct autonat *a, struct peer_id *out, p2p_conn_id *conn)
{
	struct instant best = INSTANT_NEVER;

	for (const struct conn *c = a->host->conns; c; c = c->next) {
		struct instant asked = autonat_voted(&a->votes, &c->peer->id);
		if (c->relay.n > 0 || c->closing || !peer_speaks(c->peer, AUTONAT_PROTOCOL) ||
		    conn_preferred(a->host, c->peer) != c || !instant_before(asked, best))
			continue;
		if (asked.ns != 0 && instant_since(rt_now(), asked).ns < duration_s(ASK_AGAIN_S).ns)
			continue;
		best = asked;
		*out = c->peer->id;
		*conn = c->id;
	}
	return best.ns != INSTANT_NEVER.ns;
}

static int talk(
    struct stream *s, const struct autonat_dial *m, struct autonat_response *out, struct err *err)
{
	struct buf b = BUF_INIT(AUTONAT_MESSAGE_MAX);
	int rc;

	autonat_dial_encode(m, &b);
	rc = buf_ok(&b, err);
	if (rc == 0)
		rc = framed_write(s, buf_view(&b), err);
	if (rc == 0 && (rc = framed_read(s, &b, err)) == 0)
		rc = err_set(err, E_CLOSED, "closed without an answer");
	if (rc > 0)
		rc = autonat_response_decode(buf_view(&b), out, err);
	buf_free(&b);
	return rc;
}

static int ask(struct autonat *a, const struct peer_id *server, p2p_conn_id conn,
    struct autonat_response *out, struct err *err)
{
	static const char *const protocol = AUTONAT_PROTOCOL;
	struct autonat_dial m = {.peer = a->host->identity.peer_id};
	const struct peer *p = peer_find(a->host, server);
	struct stream *s;
	struct scope sc;
	int rc = p ? own_addrs(a, p, &m.addrs) : err_set(err, E_NOT_FOUND, "the peer is gone");

	if (rc == 0 && m.addrs.n == 0)
		rc = err_set(err, E_NOT_FOUND, "this host has no public address to ask about");
	scope_open(&sc, duration_s(ANSWER_LIMIT_S));
	if (rc == 0)
		rc = p2p_open_stream_on(a->host, conn, &protocol, 1, &s, NULL, err);
	if (rc == 0) {
		rc = talk(s, &m, out, err);
		if (rc != 0)
			stream_reset(s, rc);
		else if (!addr_list_has(&m.addrs, &out->addr))
			out->addr.n = 0; /* not for the server to make up */
		stream_close(s);
	}
	scope_close(&sc);
	autonat_dial_free(&m);
	return rc;
}

static const char *reach_name(enum p2p_reach reach)
{
	switch (reach) {
	case P2P_REACH_UNKNOWN:
		return "of unknown reach";
	case P2P_REACH_PUBLIC:
		return "reachable from outside";
	case P2P_REACH_PRIVATE:
		return "not reachable from outside";
	}
	BUG("reach %d", (int)reach);
}

static void take_answer(
    struct autonat *a, const struct peer_id *server, const struct autonat_response *m)
{
	enum p2p_reach before = a->votes.reach;

	if (m->status == AUTONAT_OK && m->addr.n > 0)
		a->addr = m->addr;
	char id[PEER_ID_TEXT_MAX];
	peer_id_print(server, id);
	rt_log(LOG_DEBUG, "p2p", "autonat: %s answers %u", id, m->status);
	/* SPEC: refusals say nothing about us. */
	if (m->status == AUTONAT_OK || m->status == AUTONAT_DIAL_ERROR)
		autonat_vote(&a->votes, server, m->status == AUTONAT_OK, rt_now());
	if (a->votes.reach == before)
		return;
	rt_log(LOG_INFO, "p2p", "this host is %s, as its peers find", reach_name(a->votes.reach));
	bool tell = a->votes.reach == P2P_REACH_PUBLIC && a->addr.n > 0;
	host_set_addrs(a->host, ADDRS_CONFIRMED, &a->addr, tell ? 1 : 0);
}

static void ask_fiber(void *arg)
{
	struct autonat *a = arg;
	struct duration pause = duration_s(FIRST_QUESTION_S);
	struct peer_id server;
	p2p_conn_id conn;

	while (fiber_sleep(pause) == 0) {
		struct autonat_response response;
		struct err err = {0};
		unsigned yes, no;
		if (choose(a, &server, &conn)) {
			int rc = ask(a, &server, conn, &response, &err);
			if (rc == 0)
				take_answer(a, &server, &response);
			else
				rt_log(LOG_DEBUG, "p2p", "autonat: no answer: %s", err_text(&err));
		}
		autonat_count(&a->votes, rt_now(), &yes, &no);
		pause = a->votes.reach == P2P_REACH_UNKNOWN ? a->opt.retry : a->opt.refresh;
	}
}

/* ---- public -------------------------------------------------------------------------------- */

int p2p_autonat_start(struct p2p_host *h, const struct p2p_autonat_options *opt, struct err *err)
{
	struct autonat *a;
	int rc = 0;

	if (h->autonat)
		return err_set(err, E_EXISTS, "autonat runs already");
	if (!(a = talloc_zero(h, struct autonat)))
		return err_set(err, E_MEMORY, "no memory for autonat");
	a->host = h;
	if (opt)
		a->opt = *opt;
	else
		p2p_autonat_options_default(&a->opt);
	a->rate.per_peer = a->opt.per_peer;
	a->rate.per_minute = a->opt.per_minute;
	if (a->opt.serve)
		rc = p2p_handle(h, AUTONAT_PROTOCOL, serve, a, err);
	if (rc == 0 && a->opt.ask)
		rc = fiber_spawn(&h->scope, "p2p autonat", ask_fiber, a, err);
	if (rc != 0) {
		if (a->opt.serve)
			p2p_unhandle(h, AUTONAT_PROTOCOL);
		talloc_free(a);
		return rc;
	}
	h->autonat = a;
	return 0;
}

void p2p_reachability(const struct p2p_host *h, struct p2p_reach_info *out)
{
	*out = (struct p2p_reach_info){.reach = P2P_REACH_UNKNOWN};
	if (!h->autonat)
		return;
	autonat_count(&h->autonat->votes, rt_now(), &out->dialled, &out->failed);
	out->reach = h->autonat->votes.reach;
	out->addr = h->autonat->addr;
}
