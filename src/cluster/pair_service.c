/* Pairing over libp2p: the host shows a code and serves PAIR_PROTOCOL while it does; the guest
 * tries the code on the nodes nearby that serve it. */
#include "cluster/cluster_priv.h"

#include <stdio.h>
#include <string.h>

#define STEP_LIMIT_MS   8000  /* a whole attempt, each side */
#define SEARCH_LIMIT_MS 15000 /* until a node nearby that shows a code has been met */
#define SEARCH_TICK_MS  200
/* Each host that is tried learns whether one guess of its own was right: no more than a guest has.
 */
#define CANDIDATES_MAX PAIR_WRONG_MAX

/* ---- the host ------------------------------------------------------------------------------ */

struct pairing {
	struct pair_window window;
	bool busy; /* an attempt is under way */
	bool closed;
	struct peer_id guest;
	struct waitq changed;
};

static int channel_of(struct cluster *c, p2p_conn_id conn, const struct peer_id *guest,
    const struct peer_id *host, struct pair_channel *out, struct err *err)
{
	*out = (struct pair_channel){.guest = *guest, .host = *host};
	return p2p_conn_binding(c->opt.host, conn, out->binding, err);
}

static int decline(struct stream *s, enum pair_status status, struct err *err)
{
	uint8_t reply[PAIR_REPLY_SIZE] = {(uint8_t)status};
	int rc = stream_write(s, reply, sizeof reply, err);
	return rc ? rc : stream_close_write(s, err);
}

/* One attempt. It counts as wrong until its tag has been seen to be right. */
static int attempt(struct cluster *c, struct pairing *w, struct stream *s,
    const struct p2p_stream_info *info, const uint8_t offer[PAIR_OFFER_SIZE], struct err *err)
{
	uint8_t reply[PAIR_REPLY_SIZE], tag[CPACE_TAG_SIZE];
	uint8_t verdict[PAIR_VERDICT_SIZE], random[CPACE_RANDOM_SIZE];
	struct pair_channel ch;
	struct pair_run run = {0};
	int rc = channel_of(c, info->conn, &info->peer, &c->self, &ch, err);
	if (rc)
		return rc;
	world_random(c->opt.world, random, sizeof random);
	pair_window_attempt(&w->window);
	rc = pair_host_reply(&run, w->window.code, &ch, offer, random, reply, err);
	if (rc == 0)
		rc = stream_write(s, reply, sizeof reply, err);
	if (rc == 0)
		rc = stream_read_full(s, tag, sizeof tag, err);
	if (rc == 0) {
		rc = pair_host_verdict(&run, tag, verdict, err);
		int sent = stream_write(s, verdict, sizeof verdict, rc ? NULL : err);
		rc = rc ? rc : sent;
	}
	if (rc == 0)
		rc = session_admit(c, s, NULL, err);
	else if (rc == E_FORBIDDEN)
		(void)!stream_close_write(s, NULL); /* it may have gone: wrong all the same */
	secret_wipe(&run, sizeof run);
	secret_wipe(random, sizeof random);
	return rc;
}

/* On this network, by what mDNS or the connection says, or named by our owner; never through a
 * relay, whose address says nothing about the peer's. `p` may be NULL. */
static bool nearby(const struct peer *p, const struct p2p_conn_info *conn)
{
	if (conn->relay.n > 0)
		return false;
	if (p && p->sources & (SOURCE_MDNS | SOURCE_BOOTSTRAP))
		return true;
	enum multiaddr_reach reach = multiaddr_reach(&conn->remote);
	return reach == MA_REACH_LOOPBACK || reach == MA_REACH_LINK_LOCAL ||
	       reach == MA_REACH_PRIVATE;
}

/* What whoever is at the other end is told before its code is even looked at. */
static enum pair_status admits(const struct cluster *c, const struct p2p_stream_info *info)
{
	const struct pairing *w = c->pairing;
	struct p2p_conn_info conn;
	if (!w || w->closed || pair_window_state(&w->window, rt_now()) != WINDOW_OPEN)
		return PAIR_CLOSED;
	if (!p2p_conn_info(c->opt.host, info->conn, &conn) ||
	    !nearby(table_find(c, &info->peer), &conn))
		return PAIR_CLOSED;
	return w->busy ? PAIR_BUSY : PAIR_OK;
}

/* The window is the guest's alone from here to the end of its attempt. */
static int host_guest(struct cluster *c, struct stream *s, const struct p2p_stream_info *info,
    const uint8_t offer[PAIR_OFFER_SIZE], struct err *err)
{
	struct pairing *w = c->pairing;
	w->busy = true;
	int rc = attempt(c, w, s, info, offer, err);
	w->busy = false;
	if (rc == 0) {
		pair_window_success(&w->window);
		w->guest = info->peer;
		rt_log(LOG_INFO, "cluster", "paired with the node at %s", info->remote);
	} else {
		rt_log(LOG_WARN, "cluster", "the node at %s did not pair: %s (%u of %d)",
		    info->remote, err_text(err), w->window.wrong, PAIR_WRONG_MAX);
	}
	waitq_wake_all(&w->changed);
	return rc;
}

/* Who says nothing holds nobody up: the window is taken once the offer is here, which counts as an
 * attempt. It may have closed meanwhile, or be another. */
static void pair_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct cluster *c = arg;
	uint8_t offer[PAIR_OFFER_SIZE];
	struct err err = {0};
	struct scope sc;
	int rc = 0;
	c->serving++;
	scope_open(&sc, duration_ms(STEP_LIMIT_MS));
	enum pair_status status = admits(c, info);
	if (status == PAIR_OK) {
		rc = stream_read_full(s, offer, sizeof offer, &err);
		status = admits(c, info);
	}
	if (rc == 0)
		rc = status == PAIR_OK ? host_guest(c, s, info, offer, &err)
				       : decline(s, status, &err);
	scope_close(&sc);
	if (rc && rc != E_FORBIDDEN) /* whose verdict is still to arrive */
		stream_reset(s, rc);
	stream_close(s);
	if (--c->serving == 0)
		waitq_wake_all(&c->served);
}

static int await_guest(struct pairing *w, struct err *err)
{
	int rc = 0;
	while (rc == 0 && (w->busy || pair_window_state(&w->window, rt_now()) == WINDOW_OPEN)) {
		rc = waitq_wait_for(&w->changed, instant_since(w->window.ends, rt_now()), err);
		if (rc == E_TIMEOUT)
			rc = scope_check(err);
		if (w->busy && !instant_before(rt_now(), w->window.ends))
			rc = waitq_wait(&w->changed, err); /* it ends by itself */
	}
	if (rc)
		return rc;
	switch (pair_window_state(&w->window, rt_now())) {
	case WINDOW_DONE:
		return 0;
	case WINDOW_WRONG:
		return err_set(err, E_FORBIDDEN,
		    "%d wrong codes: pairing has ended; run gate pair again for a new code",
		    PAIR_WRONG_MAX);
	case WINDOW_EXPIRED:
	case WINDOW_OPEN:
		break;
	}
	return err_set(err, E_TIMEOUT, "nobody has paired within %d seconds", CLUSTER_PAIR_SECONDS);
}

/* An attempt under way ends by its own limit; its memory is ours until then. */
static void close_window(struct cluster *c, struct pairing *w)
{
	struct scope sc;
	w->closed = true;
	p2p_unhandle(c->opt.host, PAIR_PROTOCOL);
	scope_open_shielded(&sc, duration_ms(2 * STEP_LIMIT_MS));
	while (w->busy)
		if (waitq_wait(&w->changed, NULL) != 0)
			BUG("an attempt to pair did not end");
	scope_close(&sc);
	c->pairing = NULL;
	secret_wipe(&w->window, sizeof w->window);
}

int cluster_pair_show(struct cluster *c, int (*show)(void *arg, const char *code, struct err *err),
    void *arg, struct cluster_join_result *out, struct err *err)
{
	struct pairing w = {0};
	*out = (struct cluster_join_result){0};
	if (!c->membership.id[0])
		return err_set(err, E_UNAVAILABLE, "this node has not joined a cluster itself yet");
	if (c->pairing)
		return err_set(err, E_BUSY, "this node shows a code already");
	pair_window_open(&w.window, world_random_u64(c->opt.world), rt_now());
	int rc = p2p_handle(c->opt.host, PAIR_PROTOCOL, pair_serve, c, err);
	if (rc)
		return rc;
	c->pairing = &w;
	rc = show(arg, w.window.code, err);
	if (rc == 0)
		rc = await_guest(&w, err);
	struct peer_id guest = w.guest;
	close_window(c, &w);
	if (rc)
		return rc;
	memcpy(out->cluster, c->membership.id, sizeof out->cluster);
	out->through = guest;
	join_await(c, &guest, out);
	return 0;
}

/* ---- the guest ----------------------------------------------------------------------------- */

static size_t find_hosts(const struct cluster *c, struct peer_id *out)
{
	size_t n = 0;
	struct peer *p, *next;
	struct p2p_conn_info conn;
	HASH_ITER (hh, c->peers, p, next)
		if (n < CANDIDATES_MAX && p->connected && !peer_is_member(p) &&
		    p2p_preferred(c->opt.host, &p->id, &conn) && nearby(p, &conn) &&
		    p2p_peer_speaks(c->opt.host, &p->id, PAIR_PROTOCOL))
			out[n++] = p->id;
	return n;
}

static int nobody_shows(struct err *err)
{
	return err_set(err, E_NOT_FOUND,
	    "no node nearby shows a code: run gate pair on the other machine, on the same network");
}

/* Nodes that begin to show a code tell their neighbours, who may not even be connected yet. */
static int await_hosts(struct cluster *c, struct peer_id *out, size_t *n, struct err *err)
{
	struct instant end = instant_add(rt_now(), duration_ms(SEARCH_LIMIT_MS));
	int rc = 0;
	while ((*n = find_hosts(c, out)) == 0 && rc == 0 && instant_before(rt_now(), end))
		rc = fiber_sleep(duration_ms(SEARCH_TICK_MS));
	if (rc || *n > 0)
		return rc ? scope_check(err) : 0;
	return nobody_shows(err);
}

static int talk(struct cluster *c, const char *code, const struct peer_id *host, struct stream *s,
    struct answer *a, struct err *err)
{
	uint8_t random[PAIR_NONCE_SIZE + CPACE_RANDOM_SIZE], offer[PAIR_OFFER_SIZE];
	uint8_t reply[PAIR_REPLY_SIZE], tag[CPACE_TAG_SIZE], verdict[PAIR_VERDICT_SIZE];
	struct p2p_stream_info info;
	struct pair_channel ch;
	struct pair_run run = {0};
	if (!p2p_stream_info(s, &info))
		return err_set(err, E_INTERNAL, "no stream of the host");
	world_random(c->opt.world, random, sizeof random);
	int rc = channel_of(c, info.conn, &c->self, host, &ch, err);
	if (rc == 0)
		rc = pair_guest_offer(&run, code, &ch, random, offer, err);
	if (rc == 0)
		rc = stream_write(s, offer, sizeof offer, err);
	if (rc == 0)
		rc = stream_read_full(s, reply, sizeof reply, err);
	if (rc == 0)
		rc = pair_guest_confirm(&run, reply, tag, err);
	if (rc == 0)
		rc = stream_write(s, tag, sizeof tag, err);
	if (rc == 0)
		rc = stream_read_full(s, verdict, sizeof verdict, err);
	if (rc == 0)
		rc = pair_guest_finish(&run, verdict, err);
	if (rc == 0)
		rc = answer_recv(s, a, err);
	if (rc == 0 && a->kind != ANSWER_ADMITTED)
		rc = err_set(err, E_PROTOCOL, "paired, but not let in");
	secret_wipe(&run, sizeof run);
	secret_wipe(random, sizeof random);
	return rc;
}

static int try_host(struct cluster *c, const char *code, const struct peer_id *host,
    struct answer *a, struct err *err)
{
	const char *protocols[] = {PAIR_PROTOCOL};
	struct stream *s;
	struct scope sc;
	scope_open(&sc, duration_ms(STEP_LIMIT_MS));
	int rc = p2p_open_stream(c->opt.host, host, protocols, 1, &s, NULL, err);
	if (rc == 0) {
		rc = talk(c, code, host, s, a, err);
		stream_close(s);
	}
	scope_close(&sc);
	return rc;
}

/* Several may show codes: ours is right at one of them at most. One that has just ended may not
 * have told its neighbours yet. */
static int try_hosts(struct cluster *c, const char *code, enum cluster_leave leave,
    struct cluster_join_result *out, struct err *err)
{
	struct peer_id hosts[CANDIDATES_MAX];
	size_t n = 0;
	int rc = await_hosts(c, hosts, &n, err), verdict = n > 0 ? nobody_shows(err) : rc;
	for (size_t i = 0; i < n; i++) {
		struct answer a = {0};
		struct err why = {0};
		rc = try_host(c, code, &hosts[i], &a, &why);
		if (rc == 0)
			rc = join_allowed(c, a.id, NULL, leave, &why);
		if (rc == 0)
			rc = join_enter(c, &a, &hosts[i], NULL, 0, out, &why);
		secret_wipe(&a, sizeof a);
		if (rc != E_UNSUPPORTED && rc != E_UNAVAILABLE)
			verdict = rc ? err_set(err, rc, "%s", err_text(&why)) : 0;
		if (rc == 0 || rc == E_CANCELLED || rc == E_EXISTS)
			break;
	}
	return verdict;
}

int cluster_pair(struct cluster *c, const char *code, enum cluster_leave leave,
    struct cluster_join_result *out, struct err *err)
{
	*out = (struct cluster_join_result){0};
	if (!pair_code_valid(code))
		return err_set(err, E_INVALID, "a pairing code has six digits");
	int rc = join_allowed(c, "", NULL, leave, err);
	if (rc)
		return rc;
	if (c->joining)
		return err_set(err, E_BUSY, "this node is joining a cluster just now");
	c->joining = true;
	rc = try_hosts(c, code, leave, out, err);
	c->joining = false;
	return rc;
}
