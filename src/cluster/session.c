/* Sessions between members. Each side opens one stream to the other and speaks on it: hello with a
 * proof, then its state as it changes. The other side only answers the hello. So no tie needs to be
 * broken when both connect at once, and each direction proves itself.
 *
 * Must stay true: a proof counts only together with the binding of the very connection that its
 * stream runs on; the cluster's key leaves this node only towards a peer that its owner (or
 * loopback, or auto_accept) admitted. */
#include "cluster/cluster_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS       5000
#define HEARTBEAT_LIMIT_MS 20000
#define RETRY_MS           2000
#define FOREIGN_RETRY_MS   60000
#define UNSURE_RETRIES     5 /* a peer that is still starting does not speak our protocol yet */
#define INTERFACES_MAX     64
/* Two nodes of one name and different keys meet once a minute, in good faith. */
#define WRONG_KEY_POINTS 5
#define REPLAY_POINTS    40

/* ---- their side: a peer opened a stream to us ---------------------------------------------- */

int session_refuse(struct stream *s, const char *reason, struct err *err)
{
	struct answer a = {.kind = ANSWER_REFUSED};
	memcpy(a.reason, reason, strlen(reason) + 1);
	int rc = answer_send(s, &a, NULL);
	if (rc == 0)
		rc = stream_close_write(s, NULL);
	return err_set(err, E_FORBIDDEN, "refused: %s", reason);
}

/* Whoever can dial us from one of our own addresses runs on this machine. */
static bool from_this_machine(const struct cluster *c, const struct p2p_stream_info *info)
{
	struct multiaddr a;
	struct multiaddr_tcp tcp;
	struct netaddr ip;
	if (multiaddr_parse(bytes_str(info->remote), &a, NULL) != 0 ||
	    multiaddr_tcp(&a, &tcp, NULL) != 0 || netaddr_parse_ip(tcp.host, &ip, NULL) != 0)
		return false;
	if (netaddr_is_loopback(&ip))
		return true;
	struct netif nifs[INTERFACES_MAX];
	size_t n;
	if (world_interfaces(c->opt.world, nifs, INTERFACES_MAX, &n, NULL) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		ip.port = nifs[i].addr.port;
		ip.scope_id = nifs[i].addr.scope_id;
		if (netaddr_equal(&ip, &nifs[i].addr))
			return true;
	}
	return false;
}

int session_admit(struct cluster *c, struct stream *s, const uint8_t *proof, struct err *err)
{
	struct answer a = {
	    .kind = ANSWER_ADMITTED, .open = c->membership.open, .proven = proof != NULL};
	memcpy(a.id, c->membership.id, sizeof a.id);
	memcpy(a.key, c->membership.key, sizeof a.key);
	if (proof)
		memcpy(a.proof, proof, sizeof a.proof);
	int rc = answer_send(s, &a, err);
	secret_wipe(a.key, sizeof a.key);
	return rc ? rc : stream_close_write(s, err);
}

/* Waits for cluster_accept or cluster_reject. */
static int wait_decision(struct cluster *c, struct peer *p, struct stream *s, struct err *err)
{
	if (c->n_pending >= CLUSTER_PENDING_MAX)
		return session_refuse(s, "too many requests are waiting", err);
	struct answer a = {.kind = ANSWER_PENDING};
	int rc = answer_send(s, &a, err);
	if (rc)
		return rc;
	p->asking = true;
	c->n_pending++;
	cluster_peer_changed(c, p);
	while (rc == 0 && p->decision == UNDECIDED)
		rc = waitq_wait(&p->changed, err);
	p->asking = false;
	c->n_pending--;
	cluster_peer_changed(c, p);
	if (rc)
		return rc;
	return p->decision == ADMITTED ? session_admit(c, s, NULL, err)
				       : session_refuse(s, "rejected", err);
}

static int serve_join(struct cluster *c, struct peer *p, struct stream *s,
    const struct p2p_stream_info *info, struct err *err)
{
	if (!c->membership.id[0])
		return session_refuse(s, "joining", err);
	if (p->asking)
		return session_refuse(s, "already asking", err);
	if (p->decision == REJECTED)
		return session_refuse(s, "rejected", err);
	if (p->decision == ADMITTED || c->opt.auto_accept || c->membership.open ||
	    from_this_machine(c, info)) {
		rt_log(LOG_INFO, "cluster", "%s joins the cluster", p->label);
		return session_admit(c, s, NULL, err);
	}
	return wait_decision(c, p, s, err);
}

/* A proof is made for one connection: on another one it cannot hold, and tells that somebody kept
 * it. */
static bool shown_before(struct cluster *c, p2p_conn_id conn, const uint8_t proof[SHA256_SIZE])
{
	size_t n = c->n_shown < PROOFS_KEPT ? c->n_shown : PROOFS_KEPT;
	for (size_t i = 0; i < n; i++)
		if (memcmp(c->shown[i].proof, proof, SHA256_SIZE) == 0)
			return c->shown[i].conn != conn;
	struct shown_proof *s = &c->shown[c->n_shown++ % PROOFS_KEPT];
	s->conn = conn;
	memcpy(s->proof, proof, SHA256_SIZE);
	return false;
}

static int check_proof(struct cluster *c, struct peer *p, struct stream *s, const struct hello *h,
    const struct p2p_stream_info *info, struct err *err)
{
	if (!c->membership.id[0])
		return session_refuse(s, "joining", err);
	if (!secret_equal(h->hash, c->membership.hash, sizeof h->hash)) {
		peer_set_foreign(p);
		return session_refuse(s, "other cluster", err);
	}
	uint8_t binding[P2P_BINDING_SIZE], proof[SHA256_SIZE];
	int rc = p2p_conn_binding(c->opt.host, info->conn, binding, err);
	if (rc)
		return rc;
	membership_proof(&c->membership, binding, &info->peer, &c->self, proof);
	bool again = shown_before(c, info->conn, h->proof);
	if (!secret_equal(proof, h->proof, sizeof proof)) {
		rt_log(LOG_WARN, "cluster", "%s knows the cluster's id but not its key", p->label);
		if (again)
			p2p_report(c->opt.host, &info->peer, P2P_REPLAYED, REPLAY_POINTS,
			    "a proof of membership from another connection");
		else
			p2p_report(c->opt.host, &info->peer, P2P_FORGED, WRONG_KEY_POINTS,
			    "a proof of membership made with another key");
		peer_set_foreign(p);
		return session_refuse(s, "wrong key", err);
	}
	return 0;
}

static void leave_out_loopback(struct multiaddr *addrs, size_t *n)
{
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++)
		if (multiaddr_reach(&addrs[i]) != MA_REACH_LOOPBACK)
			addrs[kept++] = addrs[i];
	*n = kept;
}

void state_leave_out_loopback(struct member_state *st)
{
	leave_out_loopback(st->addrs, &st->n_addrs);
	for (size_t i = 0; i < st->n_peers; i++)
		leave_out_loopback(st->peers[i].addrs, &st->peers[i].n_addrs);
}

static int serve_member(struct cluster *c, struct peer *p, struct stream *s,
    const struct p2p_stream_info *info, struct err *err)
{
	bool near = from_this_machine(c, info);
	struct answer ok = {.kind = ANSWER_OK};
	int rc = answer_send(s, &ok, err);
	while (rc == 0) {
		struct member_state *st = calloc(1, sizeof *st);
		if (!st)
			return err_set(err, E_MEMORY, "no memory for a member's state");
		struct scope sc;
		scope_open(&sc, duration_ms(HEARTBEAT_LIMIT_MS));
		rc = state_recv(s, st, err);
		scope_close(&sc);
		if (rc) {
			free(st);
			break;
		}
		if (!near)
			state_leave_out_loopback(st);
		cluster_peer_told(c, p, st);
	}
	return rc;
}

static int serve(struct cluster *c, struct stream *s, const struct p2p_stream_info *info,
    struct peer *p, struct err *err)
{
	struct hello h;
	struct scope sc;
	scope_open(&sc, duration_ms(HELLO_LIMIT_MS));
	int rc = hello_recv(s, &h, err);
	scope_close(&sc);
	if (rc)
		return rc;
	peer_set_label(p, h.label);
	if (h.invited)
		return join_serve(c, p, s, &h, info, err);
	if (h.join)
		return serve_join(c, p, s, info, err);
	rc = check_proof(c, p, s, &h, info, err);
	if (rc)
		return rc;
	/* A newer session may come before this one has noticed its end: each ends its own proof. */
	uint64_t proof = p->proof = ++c->sessions;
	p->foreign = false;
	cluster_peer_changed(c, p);
	rc = serve_member(c, p, s, info, err);
	if (p->proof == proof)
		p->proof = 0;
	cluster_peer_changed(c, p);
	return rc;
}

void session_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct cluster *c = arg;
	struct err err = {0};
	c->serving++;
	struct peer *p = table_add(c, &info->peer, SOURCE_INBOUND);
	int rc = p ? 0 : err_set(&err, E_LIMIT, "the peer table is full");
	if (rc == 0) {
		p->holds++;
		rc = serve(c, s, info, p, &err);
		p->holds--;
	}
	if (rc)
		rt_log(LOG_DEBUG, "cluster", "session of %s: %s", p ? p->label : info->remote,
		    err_text(&err));
	p2p_report_end(c->opt.host, &info->peer, rc, err_text(&err));
	stream_close(s);
	if (--c->serving == 0)
		waitq_wake_all(&c->served);
}

/* ---- our side ------------------------------------------------------------------------------ */

static int say_hello(struct cluster *c, struct peer *p, struct stream *s, struct err *err)
{
	struct hello h = {.join = !c->membership.id[0]};
	snprintf(h.label, sizeof h.label, "%s", c->label);
	if (!h.join) {
		struct p2p_stream_info info;
		uint8_t binding[P2P_BINDING_SIZE];
		if (!p2p_stream_info(s, &info))
			return err_set(err, E_INTERNAL, "no stream of the host");
		int rc = p2p_conn_binding(c->opt.host, info.conn, binding, err);
		if (rc)
			return rc;
		memcpy(h.hash, c->membership.hash, sizeof h.hash);
		membership_proof(&c->membership, binding, &c->self, &p->id, h.proof);
	}
	return hello_send(s, &h, err);
}

static bool conn_ended(const struct cluster *c, p2p_conn_id conn)
{
	struct p2p_conn_info info;
	return !p2p_conn_info(c->opt.host, conn, &info);
}

/* Waits for something to tell, or for the heartbeat. E_RESET when the connection ends: we only
 * write, and would learn of it with the next heartbeat. */
static int await_news(struct cluster *c, p2p_conn_id conn, uint64_t told, struct err *err)
{
	struct instant next = instant_add(rt_now(), duration_ms(HEARTBEAT_MS));
	int rc = 0;
	while (rc == 0 && told == c->version && instant_before(rt_now(), next)) {
		if (conn_ended(c, conn))
			return err_set(err, E_RESET, "its connection has ended");
		rc = waitq_wait_for(&c->announce, instant_since(next, rt_now()), err);
		if (rc == E_TIMEOUT)
			rc = 0;
	}
	return rc;
}

/* Whether another connection to the peer is the better one now: a direct one in place of a relay.
 * The session moves there, so that the old one can end. */
static bool should_move(const struct cluster *c, const struct peer *p, p2p_conn_id conn)
{
	struct p2p_conn_info best;
	return p2p_preferred(c->opt.host, &p->id, &best) && best.id != conn;
}

/* Our state, whenever it changed and at least at each heartbeat. 0 when it is time to move. */
static int tell_state(struct cluster *c, struct peer *p, struct stream *s, struct err *err)
{
	struct p2p_stream_info info;
	if (!p2p_stream_info(s, &info))
		return err_set(err, E_INTERNAL, "no stream of the host");
	struct member_state *st = malloc(sizeof *st);
	if (!st)
		return err_set(err, E_MEMORY, "no memory for our state");
	int rc = 0;
	do {
		uint64_t version = c->version;
		cluster_local_state(c, st);
		struct scope sc;
		scope_open(&sc, duration_ms(HEARTBEAT_LIMIT_MS));
		rc = state_send(s, st, err);
		scope_close(&sc);
		if (rc == 0)
			rc = await_news(c, info.conn, version, err);
	} while (rc == 0 && !should_move(c, p, info.conn));
	free(st);
	return rc;
}

static int await_answer(
    struct cluster *c, struct peer *p, struct stream *s, struct answer *a, struct err *err)
{
	struct scope sc;
	scope_open(&sc, duration_ms(HELLO_LIMIT_MS));
	int rc = answer_recv(s, a, err);
	scope_close(&sc);
	if (rc || a->kind != ANSWER_PENDING)
		return rc;
	p->waiting = true;
	cluster_peer_changed(c, p);
	rc = answer_recv(s, a, err); /* for as long as its owner needs */
	p->waiting = false;
	cluster_peer_changed(c, p);
	return rc;
}

/* Without a cluster we ask those whom our owner named, and nobody else: whoever else is near (mDNS)
 * may be of any cluster. */
static bool may_ask_to_join(struct cluster *c, struct peer *p)
{
	if (p2p_kept(c->opt.host, &p->id))
		p->sources |= SOURCE_BOOTSTRAP;
	return p->sources & SOURCE_BOOTSTRAP;
}

/* The answer may hold the cluster's key: the caller wipes it. */
static int speak(
    struct cluster *c, struct peer *p, struct stream *s, struct answer *a, struct err *err)
{
	bool joining = !c->membership.id[0];
	if (joining && !may_ask_to_join(c, p))
		return err_set(err, E_UNAVAILABLE, "we have not joined a cluster yet");
	int rc = say_hello(c, p, s, err);
	if (rc == 0)
		rc = await_answer(c, p, s, a, err);
	if (rc)
		return rc;
	if (joining ? a->kind == ANSWER_OK : a->kind == ANSWER_ADMITTED)
		return err_set(err, E_PROTOCOL, "an answer to a question that was not asked");
	switch (a->kind) {
	case ANSWER_OK:
		p->welcomed = true;
		p->foreign = false;
		cluster_peer_changed(c, p);
		return 0;
	case ANSWER_ADMITTED:
		return cluster_joined(c, a, err);
	case ANSWER_REFUSED:
		if (strcmp(a->reason, "other cluster") == 0 || strcmp(a->reason, "wrong key") == 0)
			peer_set_foreign(p);
		return err_set(err, E_FORBIDDEN, "%s", a->reason);
	case ANSWER_PENDING:
		return err_set(err, E_PROTOCOL, "asked to wait twice");
	}
	return err_set(err, E_PROTOCOL, "an unknown answer");
}

struct out_session {
	struct cluster *c;
	struct peer *p;
};

static void let_go(struct stream **s)
{
	if (*s)
		stream_close(*s);
	*s = NULL;
}

/* Begins a session, and speaks until it ends or it is time to move: 0 with its stream still in
 * *held, which the next one takes the place of. So we stay welcome all the time. *conn is the
 * connection that it ran on, 0 when it came to none. */
static int speak_once(
    struct cluster *c, struct peer *p, struct stream **held, p2p_conn_id *conn, struct err *err)
{
	const char *protocols[] = {MEMBER_PROTOCOL};
	struct stream *s = NULL;
	struct p2p_stream_info info;
	struct answer a = {.kind = ANSWER_REFUSED};
	int rc = p2p_open_stream(c->opt.host, &p->id, protocols, 1, &s, NULL, err);
	*conn = rc == 0 && p2p_stream_info(s, &info) ? info.conn : 0;
	if (rc == 0)
		rc = speak(c, p, s, &a, err);
	let_go(held);
	*held = s;
	secret_wipe(a.key, sizeof a.key);
	if (rc == 0 && a.kind == ANSWER_OK && (rc = tell_state(c, p, s, err)) == 0)
		return 0;
	let_go(held);
	if (p->welcomed) {
		p->welcomed = false;
		cluster_peer_changed(c, p);
	}
	return rc;
}

/* Tries again for as long as the peer is connected: refusals may be temporary (both sides joining,
 * a membership that changed). */
static void out_fiber(void *arg)
{
	struct out_session o = *(struct out_session *)arg;
	struct cluster *c = o.c;
	struct peer *p = o.p;
	free(arg);
	struct stream *held = NULL;
	int unsure = 0;
	while (p->connected && !c->closing) {
		struct err err = {0};
		p2p_conn_id conn;
		int rc = speak_once(c, p, &held, &conn, &err);
		if (rc == E_CANCELLED)
			break;
		/* Of two connections the one that we spoke on ended: on with the other. */
		if (rc && conn && p->connected && conn_ended(c, conn))
			continue;
		if (rc == E_UNSUPPORTED && ++unsure > UNSURE_RETRIES)
			p->foreign = true;
		if (rc && p->connected) {
			snprintf(p->failure, sizeof p->failure, "%s", err_text(&err));
			rt_log(LOG_DEBUG, "cluster", "session to %s: %s",
			    p->label[0] ? p->label : "a peer", p->failure);
			cluster_peer_changed(c, p);
			rc = waitq_wait_for(&p->changed,
			    duration_ms(p->foreign ? FOREIGN_RETRY_MS : RETRY_MS), &err);
			if (rc == E_CANCELLED)
				break;
		}
	}
	let_go(&held);
	p->speaking = false;
}

void session_start(struct cluster *c, struct peer *p)
{
	if (p->speaking)
		return;
	struct out_session *o = malloc(sizeof *o);
	if (!o)
		return;
	*o = (struct out_session){c, p};
	p->speaking = fiber_spawn(&c->scope, "member", out_fiber, o, NULL) == 0;
	if (!p->speaking)
		free(o);
}
