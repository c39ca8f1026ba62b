/* The issuer's side of invitations: making, listing, revoking, honouring, and invites.json.
 *
 * Must stay true: an invitation is on disk before its token leaves, a revocation before it is
 * reported, a use before the cluster's key is given away. Why an invitation is refused is told only
 * to one who has proved its secret. */
#include "cluster/cluster_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INVITES_FILE_MAX (1u << 20)
#define TOKEN_POINTS     10
#define SOURCE_MAX       48 /* as much as the guard tells apart */

static int64_t now_s(const struct cluster *c)
{
	return world_wall_ms(c->opt.world) / 1000;
}

/* ---- on disk ------------------------------------------------------------------------------- */

static void file_path(const struct cluster *c, struct buf *out)
{
	buf_printf(out, "%s/invites.json", c->data_dir);
}

static int write_file(struct cluster *c, struct err *err)
{
	uint8_t fingerprint[FINGERPRINT_SIZE];
	struct buf path = BUF_INIT(8192), text = BUF_INIT(INVITES_FILE_MAX);
	membership_fingerprint(&c->membership, fingerprint);
	json_t *j = json_pack("{s:o}", "invites", invites_json(&c->invites));
	json_set_hex(j, "cluster", bytes_of(fingerprint, sizeof fingerprint));
	file_path(c, &path);
	int rc = json_write(j, &text, err);
	if (rc == 0)
		rc = file_write(c->opt.world, buf_cstr(&path), buf_view(&text), 0600, err);
	json_decref(j);
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

/* Not cut short by whoever asked for it going away; one at a time, or an older state could be the
 * last to reach the disk. */
static int save_invites(struct cluster *c, struct err *err)
{
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(INVITES_SAVE_LIMIT_MS));
	int rc = sem_acquire(&c->save_turn, err);
	if (rc == 0) {
		rc = write_file(c, err);
		sem_release(&c->save_turn);
	}
	scope_close(&sc);
	return rc;
}

static int parse_file(struct cluster *c, struct bytes text, struct err *err)
{
	uint8_t own[FINGERPRINT_SIZE], theirs[FINGERPRINT_SIZE];
	json_t *j = NULL;
	int rc = json_read(text, &j, err);
	if (rc)
		return rc;
	membership_fingerprint(&c->membership, own);
	if (!json_get_hex(j, "cluster", theirs, sizeof theirs))
		rc = err_set(err, E_FORMAT, "it names no cluster");
	else if (memcmp(own, theirs, sizeof own) == 0)
		rc = invites_read(json_object_get(j, "invites"), &c->invites, err);
	else
		rt_log(LOG_INFO, "cluster", "the invitations to an earlier cluster are void");
	json_decref(j);
	return rc;
}

/* Without the file nobody can use an invitation, which is the safe side: not worth a failed
 * start. */
void invites_load(struct cluster *c)
{
	struct buf path = BUF_INIT(8192), text = BUF_INIT(INVITES_FILE_MAX);
	struct err err = {0};
	file_path(c, &path);
	int rc = file_read(c->opt.world, buf_cstr(&path), INVITES_FILE_MAX, &text, &err);
	if (rc == 0)
		rc = parse_file(c, buf_view(&text), &err);
	if (rc && rc != E_NOT_FOUND)
		rt_log(LOG_ERROR, "cluster", "%s is unusable, its invitations are void: %s",
		    buf_cstr(&path), err_text(&err));
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	buf_free(&path);
}

void invites_forget(struct cluster *c)
{
	struct err err = {0};
	if (c->invites.n == 0)
		return;
	invites_free(&c->invites);
	if (save_invites(c, &err) != 0)
		rt_log(LOG_WARN, "cluster", "cannot save the invitations: %s", err_text(&err));
}

/* ---- for the owner ------------------------------------------------------------------------- */

const char *cluster_invite_state_name(enum cluster_invite_state s)
{
	switch (s) {
	case INVITE_OPEN:
		return "open";
	case INVITE_EXPIRED:
		return "expired";
	case INVITE_REVOKED:
		return "revoked";
	case INVITE_USED_UP:
		return "used up";
	}
	return "unknown";
}

static void describe(
    const struct cluster *c, const struct invitation *i, struct cluster_invite *out)
{
	*out = (struct cluster_invite){
	    .state = invitation_state(i, now_s(c)),
	    .created_s = i->created_s,
	    .expires_s = i->expires_s,
	    .uses = i->uses,
	    .used = i->used,
	};
	hex_encode(bytes_of(i->id, sizeof i->id), out->id);
}

static void add_addr(struct token *t, const struct multiaddr *addr)
{
	struct multiaddr bare = *addr;
	multiaddr_strip_peer(&bare);
	if (t->n_addrs < CLUSTER_INVITE_ADDRS_MAX)
		t->addrs[t->n_addrs++] = bare;
}

/* The owner's addresses, then ours. What this machine alone calls itself would lead others to
 * themselves: only for a node that listens nowhere else. */
static void fill_addrs(
    const struct cluster *c, struct token *t, const struct multiaddr *addrs, size_t n_addrs)
{
	struct multiaddr own[MEMBER_ADDRS_MAX];
	size_t n = p2p_host_addrs(c->opt.host, own, MEMBER_ADDRS_MAX);
	for (size_t i = 0; i < n_addrs; i++)
		add_addr(t, &addrs[i]);
	n = n < MEMBER_ADDRS_MAX ? n : MEMBER_ADDRS_MAX;
	for (size_t i = 0; i < n; i++)
		if (multiaddr_reach(&own[i]) != MA_REACH_LOOPBACK)
			add_addr(t, &own[i]);
	for (size_t i = 0; i < n && t->n_addrs == 0; i++)
		add_addr(t, &own[i]);
}

int cluster_invite(struct cluster *c, int64_t lifetime_s, uint32_t uses,
    const struct multiaddr *addrs, size_t n_addrs, char token[CLUSTER_TOKEN_TEXT_MAX],
    struct cluster_invite *out, struct err *err)
{
	uint8_t random[INVITE_ID_SIZE + INVITE_SECRET_SIZE];
	struct invitation *i;
	if (!c->membership.id[0])
		return err_set(err, E_UNAVAILABLE, "this node has not joined a cluster itself yet");
	world_random(c->opt.world, random, sizeof random);
	int rc = invites_add(&c->invites, random, now_s(c), lifetime_s, uses, &i, err);
	secret_wipe(random, sizeof random);
	if (rc)
		return rc;
	struct token t = {.expires_s = i->expires_s};
	memcpy(t.id, i->id, sizeof t.id);
	memcpy(t.secret, i->secret, sizeof t.secret);
	memcpy(t.cluster, c->membership.id, sizeof t.cluster);
	membership_fingerprint(&c->membership, t.fingerprint);
	fill_addrs(c, &t, addrs, n_addrs);
	describe(c, i, out);
	rc = save_invites(c, err);
	if (rc == 0) {
		token_write(&t, c->opt.identity, token);
		rt_log(LOG_INFO, "cluster", "made invitation %s", out->id);
	} else {
		i = invites_find(&c->invites, t.id);
		if (i)
			i->revoked = true; /* its token was never seen */
		rc = err_wrap(err, rc, "the invitation cannot be recorded");
	}
	secret_wipe(&t, sizeof t);
	return rc;
}

void cluster_each_invite(
    const struct cluster *c, void (*fn)(void *arg, const struct cluster_invite *i), void *arg)
{
	for (size_t k = 0; k < c->invites.n; k++) {
		struct cluster_invite row;
		describe(c, c->invites.list[k], &row);
		fn(arg, &row);
	}
}

static int named(struct cluster *c, const char *id, struct invitation **out, struct err *err)
{
	size_t n = strlen(id);
	*out = NULL;
	for (size_t k = 0; n > 0 && k < c->invites.n; k++) {
		char hex[2 * INVITE_ID_SIZE + 1];
		hex_encode(bytes_of(c->invites.list[k]->id, INVITE_ID_SIZE), hex);
		if (strncmp(hex, id, n) != 0)
			continue;
		if (*out)
			return err_set(
			    err, E_INVALID, "several invitations begin with \"%.32s\"", id);
		*out = c->invites.list[k];
	}
	return *out ? 0
		    : err_set(err, E_NOT_FOUND,
			  "no invitation \"%.32s\" was made here (see gate invite --list)", id);
}

int cluster_invite_revoke(struct cluster *c, const char *id, struct err *err)
{
	struct invitation *i;
	int rc = named(c, id, &i, err);
	if (rc)
		return rc;
	i->revoked = true;
	rc = save_invites(c, err);
	return rc ? err_wrap(err, rc, "revoked until the next restart, but not recorded") : 0;
}

/* ---- for the one who joins ----------------------------------------------------------------- */

/* Whoever comes through a relay shows the relay's address, that of all who come through it: one who
 * guesses is not to keep the others out. */
static void source_behind(
    const struct peer_id *relay, const struct peer_id *peer, char out[SOURCE_MAX])
{
	struct sha256 h;
	uint8_t digest[SHA256_SIZE];
	sha256_begin(&h);
	sha256_add(&h, peer_id_bytes(relay));
	sha256_add(&h, peer_id_bytes(peer));
	sha256_end(&h, digest);
	hex_encode(bytes_of(digest, SOURCE_MAX / 4), out);
}

/* Attempts are counted by network, not by peer id, of which anybody has as many as he likes: an
 * IPv4 address, or the half of an IPv6 address that a provider gives to one customer. */
static void source_of(
    const struct cluster *c, const struct p2p_stream_info *info, char out[SOURCE_MAX])
{
	struct p2p_conn_info conn;
	if (p2p_conn_info(c->opt.host, info->conn, &conn) && conn.relay.n > 0) {
		source_behind(&conn.relay, &info->peer, out);
		return;
	}
	struct multiaddr a;
	struct multiaddr_tcp tcp;
	struct netaddr ip;
	if (multiaddr_parse(bytes_str(info->remote), &a, NULL) != 0 ||
	    multiaddr_tcp(&a, &tcp, NULL) != 0 || netaddr_parse_ip(tcp.host, &ip, NULL) != 0) {
		snprintf(out, SOURCE_MAX, "elsewhere");
		return;
	}
	if (ip.family == NET_IP6)
		hex_encode(bytes_of(ip.ip, 8), out);
	else
		snprintf(out, SOURCE_MAX, "%.*s", SOURCE_MAX - 1, tcp.host);
}

static const char *reason_of(enum cluster_invite_state s)
{
	switch (s) {
	case INVITE_OPEN:
		return "";
	case INVITE_EXPIRED:
		return "invitation expired";
	case INVITE_REVOKED:
		return "invitation revoked";
	case INVITE_USED_UP:
		return "invitation used up";
	}
	return "unknown invitation";
}

/* The invitation whose secret the peer has proved, or NULL. */
static struct invitation *proved(
    struct cluster *c, const struct hello *h, const uint8_t *binding, const struct peer_id *peer)
{
	uint8_t proof[SHA256_SIZE];
	struct invitation *i = invites_find(&c->invites, h->invitation);
	if (!i)
		return NULL;
	invitation_proof(i->secret, c->membership.id, NULL, binding, peer, &c->self, proof);
	return secret_equal(proof, h->proof, sizeof proof) ? i : NULL;
}

/* Records the use and hands the key over. */
static int honour(struct cluster *c, struct peer *p, struct stream *s, struct invitation *i,
    const uint8_t *binding, const char *source, const struct p2p_stream_info *info, struct err *err)
{
	uint8_t id[INVITE_ID_SIZE], proof[SHA256_SIZE];
	char text[2 * INVITE_ID_SIZE + 1];
	uint32_t used = i->used;
	memcpy(id, i->id, sizeof id);
	hex_encode(bytes_of(id, sizeof id), text);
	enum cluster_invite_state state = invitation_use(i, &info->peer, now_s(c));
	if (state != INVITE_OPEN) {
		rt_log(LOG_WARN, "cluster", "%s comes with invitation %s: refused, %s", p->label,
		    text, cluster_invite_state_name(state));
		guard_failed(&c->guard, source, now_s(c));
		p2p_report(c->opt.host, &info->peer, P2P_TOKEN, TOKEN_POINTS, reason_of(state));
		return session_refuse(s, reason_of(state), err);
	}
	invitation_proof(
	    i->secret, c->membership.id, c->membership.key, binding, &c->self, &info->peer, proof);
	struct err why = {0};
	if (i->used != used && save_invites(c, &why) != 0) {
		rt_log(LOG_ERROR, "cluster", "cannot record the use of invitation %s: %s", text,
		    err_text(&why));
		i = invites_find(&c->invites, id);
		if (i)
			invitation_unuse(i, &info->peer);
		return session_refuse(s, "cannot be recorded", err);
	}
	rt_log(LOG_INFO, "cluster", "%s joins the cluster by invitation %s", p->label, text);
	return session_admit(c, s, proof, err);
}

int join_serve(struct cluster *c, struct peer *p, struct stream *s, const struct hello *h,
    const struct p2p_stream_info *info, struct err *err)
{
	char source[SOURCE_MAX];
	uint8_t binding[P2P_BINDING_SIZE];
	source_of(c, info, source);
	if (!guard_allows(&c->guard, source, now_s(c)))
		return session_refuse(s, "too many attempts", err);
	if (!c->membership.id[0])
		return session_refuse(s, "joining", err);
	int rc = p2p_conn_binding(c->opt.host, info->conn, binding, err);
	if (rc)
		return rc;
	struct invitation *i = proved(c, h, binding, &info->peer);
	if (i)
		return honour(c, p, s, i, binding, source, info, err);
	guard_failed(&c->guard, source, now_s(c));
	rt_log(LOG_WARN, "cluster", "%s at %s comes with an invitation that was not made here",
	    p->label, info->remote);
	p2p_report(c->opt.host, &info->peer, P2P_TOKEN, TOKEN_POINTS,
	    "an invitation that was not made here, or was tampered with");
	return session_refuse(s, "unknown invitation", err);
}
