/* The examination: which addresses to try, what to ask a connected peer, and the answers to what
 * others ask us. Judging is doctor_judge.c's. */
#include "cluster/doctor_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUESTION_LIMIT_MS 5000
#define SETTLE_LIMIT_MS   3000 /* for membership, after connecting */
#define SETTLE_STEP_MS    50
#define ADDRS_MAX         32

struct exam {
	struct cluster *c;
	doctor_fn fn;
	void *arg;
};

static int tell(const struct exam *x, const struct doctor_finding *f, struct err *err)
{
	return x->fn(x->arg, f, err);
}

/* ---- what others ask us ---------------------------------------------------------------------- */

static bool is_relayed(const struct cluster *c, const struct peer_id *id)
{
	struct p2p_conn_info conn;
	return p2p_preferred(c->opt.host, id, &conn) && conn.relay.n > 0;
}

static enum p2p_mapping mapping_of(struct cluster *c)
{
	struct p2p_mapping_info info;
	p2p_mapping(c->opt.host, &info);
	return info.kind;
}

static int answer_look(
    struct cluster *c, struct stream *s, const struct p2p_stream_info *info, struct err *err)
{
	struct look look;
	int rc = look_recv(s, &look, err);
	if (rc)
		return rc;
	const struct peer *p = table_find(c, &info->peer);
	struct p2p_mdns_info mdns;
	p2p_mdns_info(c->opt.host, &mdns);
	struct seen seen = {
	    .now_ms = world_wall_ms(c->opt.world),
	    .mdns_listens = mdns.sockets > 0,
	    .mdns_heard = p && p->sources & SOURCE_MDNS,
	    .pad = look.pad,
	};
	/* It takes a while, which the small question about the clock must not. */
	if (look.pad > 0 && cluster_is_member(c, &info->peer) && is_relayed(c, &info->peer))
		seen.mapping = mapping_of(c);
	rc = seen_send(s, &seen, err);
	return rc ? rc : stream_close_write(s, err);
}

void doctor_serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct cluster *c = arg;
	struct scope sc;
	struct err err = {0};
	c->serving++;
	scope_open(&sc, duration_ms(QUESTION_LIMIT_MS));
	int rc = answer_look(c, s, info, &err);
	scope_close(&sc);
	if (rc) {
		rt_log(LOG_DEBUG, "cluster", "a question about us: %s", err_text(&err));
		p2p_report_end(c->opt.host, &info->peer, rc, err_text(&err));
		stream_reset(s, rc);
	}
	stream_close(s);
	c->serving--;
	waitq_wake_all(&c->served);
}

/* ---- the way there --------------------------------------------------------------------------- */

/* One address of several, tried at the same time: some take seconds to fail. */
struct attempt {
	struct p2p_host *host;
	const struct multiaddr *addr;
	struct p2p_probe probes[P2P_PROBES_MAX];
	size_t n;
};

static void attempt_fiber(void *arg)
{
	struct attempt *a = arg;
	a->n = p2p_probe(a->host, a->addr, a->probes, P2P_PROBES_MAX);
}

static int try_all(const struct exam *x, const struct multiaddr *addrs, struct attempt *attempts,
    size_t n, struct err *err)
{
	struct scope sc;
	int rc = 0;
	scope_open(&sc, DURATION_FOREVER);
	for (size_t i = 0; i < n && rc == 0; i++) {
		attempts[i] = (struct attempt){.host = x->c->opt.host, .addr = &addrs[i]};
		rc = fiber_spawn(&sc, "doctor address", attempt_fiber, &attempts[i], err);
	}
	if (rc == 0 && (rc = scope_join(&sc)) != 0)
		rc = err_set(err, rc, "the examination was ended");
	scope_close(&sc);
	return rc;
}

static const struct p2p_probe *arrived(
    const struct exam *x, const struct attempt *attempts, size_t n, const struct peer_id *id)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < attempts[i].n; k++) {
			const struct p2p_probe *p = &attempts[i].probes[k];
			if (p->met.n > 0 && !peer_id_equal(&p->met, &x->c->self) &&
			    (id->n == 0 || peer_id_equal(&p->met, id)))
				return p;
		}
	return NULL;
}

/* Where one way is open, the others are worth a note only. */
static int tell_attempt(const struct exam *x, const struct attempt *a, const struct peer_id *id,
    bool reached, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; i < a->n && rc == 0; i++) {
		struct doctor_finding f;
		judge_probe(&a->probes[i], a->addr, &x->c->self, id, &f);
		if (reached && f.verdict == DOCTOR_FAULT)
			f.verdict = DOCTOR_NOTE;
		rc = tell(x, &f, err);
	}
	return rc;
}

static int no_address(const struct exam *x, struct err *err)
{
	struct doctor_finding f = {
	    .verdict = DOCTOR_FAULT,
	    .hop = "address",
	    .fault = "no-address",
	    .seen = "no address of this peer is known",
	    .fix = "name one: gate doctor /ip4/…/tcp/41145 (\"gate status\" shows it there)",
	};
	return tell(x, &f, err);
}

/* *reached: some address led to the right peer, whose id is then *id. `relayed`: there are other
 * ways than these. */
static int try_addrs(const struct exam *x, const struct multiaddr *addrs, size_t n,
    struct peer_id *id, bool relayed, bool *reached, struct err *err)
{
	*reached = p2p_connected(x->c->opt.host, id);
	if (n == 0)
		return *reached ? 0 : no_address(x, err);
	struct attempt *attempts = calloc(n, sizeof *attempts);
	if (!attempts)
		return err_set(err, E_MEMORY, "no memory for an examination");
	int rc = try_all(x, addrs, attempts, n, err);
	const struct p2p_probe *there = rc ? NULL : arrived(x, attempts, n, id);
	*reached = *reached || there;
	if (there)
		*id = there->met;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = tell_attempt(x, &attempts[i], id, *reached || relayed, err);
	free(attempts);
	return rc;
}

/* ---- the connected peer ---------------------------------------------------------------------- */

static int ask(
    const struct exam *x, const struct peer_id *id, size_t pad, struct seen *out, struct err *err)
{
	const char *protocols[] = {DOCTOR_PROTOCOL};
	struct look look = {.pad = pad};
	struct stream *s;
	struct scope sc;
	scope_open(&sc, duration_ms(QUESTION_LIMIT_MS));
	int rc = p2p_open_stream(x->c->opt.host, id, protocols, 1, &s, NULL, err);
	if (rc == 0) {
		rc = look_send(s, &look, err);
		if (rc == 0)
			rc = seen_recv(s, out, err);
		if (rc == 0 && out->pad != pad)
			rc = err_set(err, E_PROTOCOL, "the answer has another size");
		if (rc)
			stream_reset(s, rc);
		stream_close(s);
	}
	scope_close(&sc);
	return rc;
}

static int ask_small(const struct exam *x, const struct peer_id *id, struct seen *out,
    int64_t *ahead_ms, struct err *err)
{
	int64_t before = world_wall_ms(x->c->opt.world);
	int rc = ask(x, id, 0, out, err);
	int64_t after = world_wall_ms(x->c->opt.world);
	*ahead_ms = out->now_ms - (before + (after - before) / 2);
	return rc;
}

static int mdns_both_ways(
    const struct exam *x, const struct peer_id *id, const struct seen *seen, struct err *err)
{
	const struct peer *p = table_find(x->c, id);
	struct p2p_mdns_info info;
	p2p_mdns_info(x->c->opt.host, &info);
	struct mdns_facts facts = {
	    .we_listen = info.sockets > 0,
	    .they_listen = seen->mdns_listens,
	    .we_heard = p && p->sources & SOURCE_MDNS,
	    .they_heard = seen->mdns_heard,
	    .connected_ms = p ? world_wall_ms(x->c->opt.world) - p->connected_ms : 0,
	};
	struct doctor_finding f;
	return judge_mdns_pair(&facts, &f) ? tell(x, &f, err) : 0;
}

/* The routers matter where nothing but a relay leads there. */
static int way(
    const struct exam *x, const struct peer_id *id, const struct seen *seen, struct err *err)
{
	struct doctor_finding f;
	if (!is_relayed(x->c, id))
		return 0;
	judge_relayed(mapping_of(x->c), seen->mapping, &f);
	return tell(x, &f, err);
}

static int question(const struct exam *x, const struct peer_id *id, struct err *err)
{
	struct seen seen = {0}, large = {0};
	struct doctor_finding f;
	struct err why = {0};
	int64_t ahead_ms;
	int rc = ask_small(x, id, &seen, &ahead_ms, &why);
	if (rc == E_CANCELLED)
		return err_set(err, rc, "%s", err_text(&why));
	if (rc) {
		f = (struct doctor_finding){
		    .verdict = DOCTOR_NOTE, .hop = "questions", .fault = "no-answers"};
		(void)snprintf(f.seen, sizeof f.seen,
		    "the peer answers no questions about the connection: %s", err_text(&why));
		return tell(x, &f, err);
	}
	judge_clock(ahead_ms, &f);
	rc = tell(x, &f, err);
	if (rc)
		return rc;
	err_clear(&why);
	judge_size(ask(x, id, DOCTOR_PAD, &large, &why), err_text(&why), &f);
	rc = scope_check(err);
	if (rc == 0)
		rc = tell(x, &f, err);
	if (rc == 0)
		rc = way(x, id, &large, err);
	return rc ? rc : mdns_both_ways(x, id, &seen, err);
}

struct row {
	const struct peer_id *id;
	struct cluster_peer *out;
	bool found;
};

static void take_row(void *arg, const struct cluster_peer *p)
{
	struct row *row = arg;
	if (!peer_id_equal(&p->id, row->id))
		return;
	*row->out = *p;
	row->found = true;
}

static bool settled(const struct cluster_peer *p)
{
	return p->state != PEER_CONNECTED && p->state != PEER_KNOWN &&
	       p->state != PEER_CONNECTING && p->state != PEER_LOST && p->state != PEER_ANNOUNCED;
}

/* The peer's row, once its membership is settled, or as it is after some seconds. */
static int await_row(
    const struct exam *x, const struct peer_id *id, struct cluster_peer *out, struct err *err)
{
	struct instant end = instant_add(rt_now(), duration_ms(SETTLE_LIMIT_MS));
	struct row row = {id, out, false};
	int rc = 0;
	do {
		row.found = false;
		cluster_each(x->c, take_row, &row);
		if (row.found && settled(out))
			return 0;
		rc = fiber_sleep(duration_ms(SETTLE_STEP_MS));
	} while (rc == 0 && instant_before(rt_now(), end));
	if (rc == 0 && !row.found)
		return err_set(err, E_LIMIT, "the peer table is full");
	return rc ? err_set(err, rc, "the examination was ended") : 0;
}

static int connected(const struct exam *x, const struct peer_id *id, const struct multiaddr *addrs,
    size_t n, struct err *err)
{
	struct doctor_finding f;
	struct err why = {0};
	int rc = p2p_dial(x->c->opt.host, id, addrs, n, NULL, &why);
	if (rc == E_CANCELLED)
		return err_set(err, rc, "%s", err_text(&why));
	if (rc) {
		f = (struct doctor_finding){
		    .verdict = DOCTOR_FAULT, .hop = "connect", .fault = "no-connection"};
		(void)snprintf(f.seen, sizeof f.seen, "cannot connect: %s", err_text(&why));
		return tell(x, &f, err);
	}
	struct cluster_peer *row = calloc(1, sizeof *row);
	if (!row)
		return err_set(err, E_MEMORY, "no memory for an examination");
	rc = await_row(x, id, row, err);
	if (rc == 0) {
		judge_membership(row, &f);
		rc = tell(x, &f, err);
	}
	free(row);
	return rc ? rc : question(x, id, err);
}

/* ---- whole examinations ---------------------------------------------------------------------- */

/* Circuits are not tried step by step: their first step is a relay that others use as well. */
static int examine_peer(const struct exam *x, struct peer_id id, const struct multiaddr *addrs,
    size_t n, struct err *err)
{
	struct multiaddr *direct = calloc(n + 1, sizeof *direct);
	size_t n_direct = 0;
	bool reached = false;
	if (!direct)
		return err_set(err, E_MEMORY, "no memory for an examination");
	for (size_t i = 0; i < n; i++)
		if (!multiaddr_is_relayed(&addrs[i]))
			direct[n_direct++] = addrs[i];
	bool relayed = n_direct < n;
	int rc = 0;
	if (n_direct > 0 || !relayed)
		rc = try_addrs(x, direct, n_direct, &id, relayed, &reached, err);
	free(direct);
	if (rc || !(reached || relayed))
		return rc;
	return connected(x, &id, addrs, n, err);
}

struct tellers {
	struct doctor_finding *findings;
	size_t n, cap;
};

static bool worth_a_word(const struct cluster_peer *p)
{
	return p->state != PEER_MEMBER && (p->failure[0] || p->state != PEER_KNOWN);
}

/* cluster_each must not park, telling may. */
static void note_peer(void *arg, const struct cluster_peer *p)
{
	struct tellers *t = arg;
	if (!worth_a_word(p) || t->n == t->cap)
		return;
	struct doctor_finding *f = &t->findings[t->n++];
	char id[PEER_ID_TEXT_MAX];
	peer_id_print(&p->id, id);
	*f = (struct doctor_finding){.verdict = DOCTOR_NOTE, .hop = "peers", .fault = "no-member"};
	(void)snprintf(f->seen, sizeof f->seen, "%s: %s%s%.160s", p->label[0] ? p->label : id,
	    cluster_peer_state_name(p->state), p->failure[0] ? ": " : "", p->failure);
	(void)snprintf(f->fix, sizeof f->fix, "gate doctor %s", p->label[0] ? p->label : id);
}

#define PEERS_NOTED 16

static int note_peers(const struct exam *x, struct err *err)
{
	struct doctor_finding *list = calloc(PEERS_NOTED, sizeof *list);
	struct tellers t = {list, 0, list ? PEERS_NOTED : 0};
	int rc = 0;
	cluster_each(x->c, note_peer, &t);
	for (size_t i = 0; i < t.n && rc == 0; i++)
		rc = tell(x, &list[i], err);
	free(list);
	return rc;
}

static int examine_router(const struct exam *x, struct err *err)
{
	struct p2p_host *h = x->c->opt.host;
	struct p2p_mapping_info router;
	struct p2p_reach_info reach;
	struct p2p_portmap_info forward;
	struct doctor_finding f;
	p2p_mapping(h, &router);
	p2p_reachability(h, &reach);
	p2p_portmap(h, &forward);
	bool dialable = reach.reach == P2P_REACH_PUBLIC || forward.addr.n > 0;
	return judge_router(&router, dialable, &f) ? tell(x, &f, err) : 0;
}

static int examine_self(const struct exam *x, struct err *err)
{
	struct multiaddr *addrs = calloc(ADDRS_MAX, sizeof *addrs);
	if (!addrs)
		return err_set(err, E_MEMORY, "no memory for an examination");
	size_t n = p2p_host_addrs(x->c->opt.host, addrs, ADDRS_MAX);
	struct doctor_finding f;
	judge_listening(addrs, n < ADDRS_MAX ? n : ADDRS_MAX, &f);
	free(addrs);
	int rc = tell(x, &f, err);
	if (rc)
		return rc;
	struct p2p_mdns_info mdns;
	p2p_mdns_info(x->c->opt.host, &mdns);
	judge_mdns(&mdns, duration_to_ms(instant_since(rt_now(), x->c->started)), &f);
	rc = tell(x, &f, err);
	if (rc == 0)
		rc = examine_router(x, err);
	return rc ? rc : note_peers(x, err);
}

/* Its own name means this node, unless a peer goes by that name as well. */
static int examine_named(const struct exam *x, const char *who, struct err *err)
{
	struct multiaddr addrs[MEMBER_ADDRS_MAX];
	struct peer_id id = {0};
	struct peer *p;
	if (who[0] == '/') {
		int rc = multiaddr_parse(bytes_str(who), &addrs[0], err);
		if (rc)
			return rc;
		(void)multiaddr_peer(&addrs[0], &id);
		return examine_peer(x, id, addrs, 1, err);
	}
	int rc = table_named(x->c, who, &p, err);
	if (rc == E_NOT_FOUND && table_is_self(x->c, who))
		return examine_self(x, err);
	if (rc)
		return rc;
	id = p->id;
	size_t n = p->n_addrs;
	memcpy(addrs, p->addrs, n * sizeof *addrs);
	return examine_peer(x, id, addrs, n, err);
}

int cluster_doctor(struct cluster *c, const char *who, doctor_fn fn, void *arg, struct err *err)
{
	struct exam x = {c, fn, arg};
	return who && who[0] ? examine_named(&x, who, err) : examine_self(&x, err);
}
