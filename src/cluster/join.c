/* Joining by a token: on a running node, and as what a start has been asked to do.
 *
 * Must stay true: a node keeps its cluster until the new one is on disk; what the issuer sends is
 * believed only with the proof that it has the invitation's secret. */
#include "cluster/cluster_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOIN_LIMIT_MS     40000 /* one attempt, dialling included */
#define MEMBER_LIMIT_MS   8000  /* until both have proved themselves, afterwards */
#define JOIN_PAUSE_MS     2000  /* between the first attempts of a start; doubles */
#define JOIN_PAUSE_MAX_MS 60000
#define JOIN_FILE_MAX     4096
#define CLOCK_SLACK_S     600 /* clocks may differ; the issuer's decides */

/* ---- whether ------------------------------------------------------------------------------- */

static bool has_company(const struct cluster *c)
{
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next)
		if (p->was_member)
			return true;
	return false;
}

/* Whether a cluster holds its node: one that it made itself and that it is alone in does not. */
static int may_leave(const struct membership *m, bool company, const char *name,
    enum cluster_leave leave, struct err *err)
{
	if (name)
		return err_set(err, E_EXISTS,
		    "the settings of this node name the cluster %s: take --cluster out first",
		    name);
	if (leave == CLUSTER_LEAVE || !m->id[0] || (m->origin == MEMBERSHIP_OWN && !company))
		return 0;
	return err_set(err, E_EXISTS,
	    "this node belongs to the cluster %s%s: to leave that one say --leave", m->id,
	    company ? " with others" : "");
}

static bool same_cluster(
    const struct membership *m, const char *cluster, const uint8_t *fingerprint)
{
	uint8_t own[FINGERPRINT_SIZE];
	if (strcmp(m->id, cluster) != 0)
		return false;
	membership_fingerprint(m, own);
	return !fingerprint || memcmp(own, fingerprint, sizeof own) == 0;
}

int join_allowed(const struct cluster *c, const char *cluster, const uint8_t *fingerprint,
    enum cluster_leave leave, struct err *err)
{
	if (cluster[0] && same_cluster(&c->membership, cluster, fingerprint))
		return err_set(
		    err, E_EXISTS, "this node is already a member of the cluster %s", cluster);
	return may_leave(&c->membership, has_company(c), c->opt.name, leave, err);
}

/* ---- an attempt ---------------------------------------------------------------------------- */

static void print_time(int64_t s, char out[32])
{
	struct tm tm;
	time_t t = (time_t)s;
	if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(out, 32, "%lld", (long long)s);
}

static int refused(const struct token *t, const char *reason, struct err *err)
{
	char when[32];
	print_time(t->expires_s, when);
	if (strcmp(reason, "invitation expired") == 0)
		return err_set(err, E_FORBIDDEN, "the invitation expired on %s", when);
	if (strcmp(reason, "invitation revoked") == 0)
		return err_set(err, E_FORBIDDEN, "the invitation was revoked");
	if (strcmp(reason, "invitation used up") == 0)
		return err_set(err, E_FORBIDDEN, "the invitation is used up: ask for another one");
	if (strcmp(reason, "unknown invitation") == 0)
		return err_set(err, E_FORBIDDEN,
		    "the node that made the invitation does not know it any more");
	if (strcmp(reason, "too many attempts") == 0)
		return err_set(err, E_BUSY,
		    "there were too many wrong attempts from here: try again in a minute");
	return err_set(err, E_UNAVAILABLE, "not let in: %s", reason);
}

static int say_hello(struct cluster *c, const struct token *t, const uint8_t *binding,
    struct stream *s, struct err *err)
{
	struct hello h = {.join = true, .invited = true};
	snprintf(h.label, sizeof h.label, "%s", c->label);
	memcpy(h.invitation, t->id, sizeof h.invitation);
	invitation_proof(t->secret, t->cluster, NULL, binding, &c->self, &t->issuer, h.proof);
	return hello_send(s, &h, err);
}

static int check_answer(struct cluster *c, const struct token *t, const uint8_t *binding,
    const struct answer *a, struct err *err)
{
	uint8_t proof[SHA256_SIZE];
	if (a->kind == ANSWER_REFUSED)
		return refused(t, a->reason, err);
	if (a->kind != ANSWER_ADMITTED || !a->proven)
		return err_set(err, E_UNSUPPORTED,
		    "the node that made the invitation does not honour it: is it an older "
		    "version?");
	invitation_proof(t->secret, t->cluster, a->key, binding, &t->issuer, &c->self, proof);
	if (strcmp(a->id, t->cluster) != 0 || !secret_equal(proof, a->proof, sizeof proof))
		return err_set(err, E_PROTOCOL, "another cluster than the invitation's is offered");
	return 0;
}

static int exchange(
    struct cluster *c, const struct token *t, p2p_conn_id conn, struct answer *a, struct err *err)
{
	const char *protocols[] = {MEMBER_PROTOCOL};
	uint8_t binding[P2P_BINDING_SIZE];
	struct stream *s;
	int rc = p2p_conn_binding(c->opt.host, conn, binding, err);
	if (rc == 0)
		rc = p2p_open_stream_on(c->opt.host, conn, protocols, 1, &s, NULL, err);
	if (rc)
		return rc;
	rc = say_hello(c, t, binding, s, err);
	if (rc == 0)
		rc = answer_recv(s, a, err);
	if (rc == 0)
		rc = check_answer(c, t, binding, a, err);
	stream_close(s);
	return rc;
}

/* Whether the connection that was there had died without our notice: the issuer may have been
 * started anew. */
static bool worn_out(int rc)
{
	return rc == E_RESET || rc == E_CLOSED || rc == E_NOT_FOUND;
}

/* Asks the issuer for the cluster's key. */
static int ask(struct cluster *c, const struct token *t, struct answer *a, struct err *err)
{
	struct scope sc;
	int rc = E_RESET;
	if (t->n_addrs == 0 && !p2p_connected(c->opt.host, &t->issuer))
		return err_set(err, E_UNREACHABLE, "the invitation names no address");
	scope_open(&sc, duration_ms(JOIN_LIMIT_MS));
	for (int i = 0; i < 2 && worn_out(rc); i++) {
		p2p_conn_id conn = 0;
		struct err why = {0};
		rc = p2p_dial(c->opt.host, &t->issuer, t->addrs, t->n_addrs, &conn, &why);
		if (rc) {
			int code = rc == E_CANCELLED || rc == E_WRONG_PEER ? rc : E_UNREACHABLE;
			rc = err_set(err, code,
			    "cannot reach the node that made the invitation: %s", err_text(&why));
			break;
		}
		rc = exchange(c, t, conn, a, err);
		if (worn_out(rc))
			p2p_conn_close(c->opt.host, conn, "it does not answer");
	}
	scope_close(&sc);
	return rc;
}

/* Until both sides have proved themselves; it will come to that anyway. */
void join_await(struct cluster *c, const struct peer_id *id, struct cluster_join_result *out)
{
	struct instant end = instant_add(rt_now(), duration_ms(MEMBER_LIMIT_MS));
	struct peer *p = table_find(c, id);
	if (!p)
		return;
	p->holds++;
	int rc = 0;
	while (rc == 0 && !peer_is_member(p) && instant_before(rt_now(), end))
		rc = waitq_wait_for(&p->changed, instant_since(end, rt_now()), NULL);
	snprintf(out->label, sizeof out->label, "%s", p->label);
	p->holds--;
}

int join_enter(struct cluster *c, const struct answer *a, const struct peer_id *issuer,
    const struct multiaddr *addrs, size_t n_addrs, struct cluster_join_result *out, struct err *err)
{
	struct membership m;
	int rc = membership_set(&m, a->id, a->key, MEMBERSHIP_JOINED, err);
	if (rc)
		return err_wrap(err, rc, "admitted to a cluster that cannot be used");
	m.open = a->open;
	rc = cluster_switch(c, &m, issuer, addrs, n_addrs, err);
	secret_wipe(&m, sizeof m);
	if (rc)
		return err_wrap(err, rc, "admitted, but the membership cannot be saved");
	memcpy(out->cluster, a->id, sizeof out->cluster);
	out->through = *issuer;
	join_await(c, issuer, out);
	return 0;
}

static int join_with(struct cluster *c, const struct token *t, enum cluster_leave leave,
    struct cluster_join_result *out, struct err *err)
{
	struct answer a = {0};
	if (peer_id_equal(&t->issuer, &c->self))
		return err_set(err, E_INVALID, "this node made the invitation itself");
	int rc = join_allowed(c, t->cluster, t->fingerprint, leave, err);
	if (rc)
		return rc;
	if (c->joining)
		return err_set(err, E_BUSY, "this node is joining a cluster just now");
	c->joining = true;
	rc = ask(c, t, &a, err);
	/* It may have come in some other way meanwhile. */
	if (rc == 0)
		rc = join_allowed(c, t->cluster, t->fingerprint, leave, err);
	if (rc == 0)
		rc = join_enter(c, &a, &t->issuer, t->addrs, t->n_addrs, out, err);
	c->joining = false;
	secret_wipe(&a, sizeof a);
	return rc;
}

int cluster_join(struct cluster *c, const char *token, enum cluster_leave leave,
    struct cluster_join_result *out, struct err *err)
{
	struct token t;
	*out = (struct cluster_join_result){0};
	int rc = token_read(token, &t, err);
	if (rc == 0)
		rc = join_with(c, &t, leave, out, err);
	secret_wipe(&t, sizeof t);
	return rc;
}

/* ---- for the next start -------------------------------------------------------------------- */

static void pending_path(const char *data_dir, struct buf *out)
{
	buf_printf(out, "%s/join.json", data_dir);
}

static int write_pending(struct world *w, const char *data_dir, const char *token,
    enum cluster_leave leave, struct err *err)
{
	struct buf path = BUF_INIT(8192), text = BUF_INIT(JOIN_FILE_MAX);
	json_t *j =
	    json_pack("{s:s, s:b}", "token", token, "leave", leave == CLUSTER_LEAVE ? 1 : 0);
	pending_path(data_dir, &path);
	int rc = json_write(j, &text, err);
	json_decref(j);
	if (rc == 0)
		rc = file_mkdirs(w, data_dir, 0700, err);
	if (rc == 0)
		rc = file_write(w, buf_cstr(&path), buf_view(&text), 0600, err);
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

static bool had_company(struct world *w, const char *data_dir)
{
	json_t *list = NULL;
	int rc = cluster_read_peers(w, data_dir, &list, NULL);
	bool some = rc == 0 && json_array_size(list) > 0;
	json_decref(list);
	return some;
}

static int check_later(struct world *w, const char *data_dir, const struct token *t,
    enum cluster_leave leave, struct err *err)
{
	struct membership m = {0};
	char when[32];
	int rc = membership_load(w, data_dir, &m, err);
	if (rc && rc != E_NOT_FOUND)
		return rc;
	if (rc == 0 && same_cluster(&m, t->cluster, t->fingerprint))
		rc = err_set(
		    err, E_EXISTS, "this node is already a member of the cluster %s", t->cluster);
	else
		rc = may_leave(&m, had_company(w, data_dir), NULL, leave, err);
	secret_wipe(&m, sizeof m);
	print_time(t->expires_s, when);
	if (rc == 0 && world_wall_ms(w) / 1000 > t->expires_s + CLOCK_SLACK_S)
		rc = err_set(err, E_FORBIDDEN, "the invitation expired on %s", when);
	return rc;
}

int cluster_join_later(struct world *w, const char *data_dir, const char *token,
    enum cluster_leave leave, struct cluster_join_result *out, struct err *err)
{
	struct token t;
	*out = (struct cluster_join_result){0};
	int rc = token_read(token, &t, err);
	if (rc == 0)
		rc = check_later(w, data_dir, &t, leave, err);
	if (rc == 0)
		rc = write_pending(w, data_dir, token, leave, err);
	memcpy(out->cluster, t.cluster, sizeof out->cluster);
	out->through = t.issuer;
	secret_wipe(&t, sizeof t);
	return rc;
}

/* ---- at the start -------------------------------------------------------------------------- */

/* What this start has been asked to join. */
struct pending_join {
	struct token token;
	enum cluster_leave leave;
	bool stored; /* in join.json */
	char failure[ERR_TEXT_MAX];
};

const char *cluster_joining(const struct cluster *c, const char **failure)
{
	if (!c->pending)
		return NULL;
	*failure = c->pending->failure;
	return c->pending->token.cluster;
}

static void pending_free(struct cluster *c)
{
	if (!c->pending)
		return;
	secret_wipe(c->pending, sizeof *c->pending);
	free(c->pending);
	c->pending = NULL;
}

void join_free(struct cluster *c)
{
	pending_free(c);
	invites_free(&c->invites);
}

static void forget_pending(struct cluster *c)
{
	struct err err = {0};
	struct buf path = BUF_INIT(8192);
	pending_path(c->data_dir, &path);
	int rc = c->pending->stored ? file_remove(c->opt.world, buf_cstr(&path), &err) : 0;
	if (rc && rc != E_NOT_FOUND && rc != E_CANCELLED)
		rt_log(
		    LOG_WARN, "cluster", "cannot remove %s: %s", buf_cstr(&path), err_text(&err));
	buf_free(&path);
}

/* Whether asking again may give another answer. */
static bool may_pass(int code)
{
	switch (code) {
	case E_INVALID:
	case E_BAD_SIGNATURE:
	case E_FORBIDDEN:
	case E_EXISTS:
		return false;
	default:
		return true;
	}
}

static void note_failure(struct cluster *c, int rc, const struct err *err)
{
	struct pending_join *j = c->pending;
	if (strcmp(j->failure, err_text(err)) == 0)
		return;
	snprintf(j->failure, sizeof j->failure, "%s", err_text(err));
	rt_log(may_pass(rc) ? LOG_WARN : LOG_ERROR, "cluster", "cannot join the cluster %s: %s%s",
	    j->token.cluster, j->failure, may_pass(rc) ? "; still trying" : "");
}

static void join_fiber(void *arg)
{
	struct cluster *c = arg;
	int64_t pause = JOIN_PAUSE_MS;
	for (;;) {
		struct err err = {0};
		struct cluster_join_result out = {0};
		int rc = join_with(c, &c->pending->token, c->pending->leave, &out, &err);
		if (rc == E_CANCELLED)
			return;
		if (rc == 0 || same_cluster(&c->membership, c->pending->token.cluster,
				   c->pending->token.fingerprint)) {
			forget_pending(c);
			pending_free(c);
			return;
		}
		note_failure(c, rc, &err);
		if (!may_pass(rc)) {
			forget_pending(c);
			return;
		}
		int64_t jitter = (int64_t)(world_random_u64(c->opt.world) % (uint64_t)(pause / 4));
		if (fiber_sleep(duration_ms(pause - jitter)) != 0)
			return;
		pause = 2 * pause < JOIN_PAUSE_MAX_MS ? 2 * pause : JOIN_PAUSE_MAX_MS;
	}
}

static int read_pending(struct cluster *c, struct pending_join *j, struct err *err)
{
	struct buf path = BUF_INIT(8192), text = BUF_INIT(JOIN_FILE_MAX);
	json_t *v = NULL;
	pending_path(c->data_dir, &path);
	int rc = file_read(c->opt.world, buf_cstr(&path), JOIN_FILE_MAX, &text, err);
	if (rc == 0)
		rc = json_read(buf_view(&text), &v, err);
	if (rc == 0)
		rc = token_read(json_get_string(v, "token", ""), &j->token, err);
	j->leave = json_get_bool(v, "leave", false) ? CLUSTER_LEAVE : CLUSTER_STAY;
	j->stored = true;
	if (rc && rc != E_NOT_FOUND)
		rt_log(LOG_ERROR, "cluster", "%s is unusable: %s", buf_cstr(&path), err_text(err));
	json_decref(v);
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

/* A token that was stored is newer than the settings, which say the same at each start. */
int join_start(struct cluster *c, struct err *err)
{
	struct pending_join *j = calloc(1, sizeof *j);
	if (!j)
		return err_set(err, E_MEMORY, "no memory for joining");
	c->pending = j;
	int rc = read_pending(c, j, &(struct err){0});
	if (rc && c->opt.join) {
		*j = (struct pending_join){0};
		struct err why = {0};
		if (token_read(c->opt.join, &j->token, &why) != 0)
			return err_set(err, E_INVALID, "--join: %s", err_text(&why));
	} else if (rc) {
		pending_free(c);
		return 0;
	}
	if (same_cluster(&c->membership, j->token.cluster, j->token.fingerprint)) {
		forget_pending(c);
		pending_free(c);
		return 0;
	}
	return fiber_spawn(&c->scope, "join", join_fiber, c, err);
}
