/* Announcements: what a node tells about itself, to all members, also those that it has no session
 * with. They travel on gossip, topic /opengateway/<cluster hash>/announce/1, signed by their author
 * (StrictSign) and sealed under a key derived from the cluster's: strangers who carry them learn
 * nothing, and can make none.
 *
 * Must stay true: nothing is passed on that was not opened with the cluster's key, in its author's
 * name, and newer than what came before; what fails costs the one who passed it on. */
#include "cluster/cluster_priv.h"
#include "crypto/aead.h"
#include "dialect/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANNOUNCE_CONTEXT  "opengateway announce 1"
#define ANNOUNCE_MAX      (16u << 10) /* bytes of one, sealed */
#define ANNOUNCE_EVERY_MS 60000       /* where nothing changes */
#define ANNOUNCE_GAP_MS   2000        /* between two of ours at least */
#define WINDOW_MS         300000      /* around our clock; SPEC DESIGN "Wire", envelopes */
/* Honest nodes pass on what is newer than this: gossip remembers for two minutes what it has seen.
 */
#define STALE_MS  180000
#define BURST     5    /* of one author … */
#define REFILL_MS 2000 /* … and one more in this time */
#define FORGERY   10   /* points */
#define REPLAY    40
#define OVERHEAD  (AEAD_NONCE_SIZE + AEAD_TAG_SIZE)

struct announcer {
	uint8_t key[SHA256_SIZE]; /* of the membership that it is for */
	char topic[128];          /* "" while there is none */
	struct aead *aead;
	uint64_t version; /* of what was announced last */
	int64_t last_seq;
	struct instant last;
	bool told;
};

/* ---- sealing ------------------------------------------------------------------------------- */

static void associated(const struct peer_id *author, struct buf *out)
{
	buf_str(out, ANNOUNCE_CONTEXT);
	buf_bytes(out, peer_id_bytes(author));
}

static int seal(struct cluster *c, struct bytes plain, struct buf *out, struct err *err)
{
	struct buf ad = BUF_INIT(256);
	uint8_t nonce[AEAD_NONCE_SIZE], tag[AEAD_TAG_SIZE];
	int rc = buf_reserve(out, plain.n + OVERHEAD);
	if (rc)
		return err_set(err, E_TOO_LARGE, "an announcement of %zu bytes", plain.n);
	world_random(c->opt.world, nonce, sizeof nonce);
	associated(&c->self, &ad);
	buf_put(out, nonce, sizeof nonce);
	rc = aead_seal(
	    c->announcer->aead, nonce, buf_view(&ad), plain.p, plain.n, out->p + out->n, tag, err);
	out->n += rc ? 0 : plain.n;
	buf_put(out, tag, sizeof tag);
	buf_free(&ad);
	return rc;
}

static int unseal(
    struct cluster *c, const struct p2p_gossip_message *m, struct buf *out, struct err *err)
{
	struct buf ad = BUF_INIT(256);
	size_t n = m->data.n - OVERHEAD;
	int rc = buf_reserve(out, n + 1);
	if (rc)
		return err_set(err, rc, "no memory for an announcement");
	associated(&m->from, &ad);
	rc = aead_open(c->announcer->aead, m->data.p, buf_view(&ad), m->data.p + AEAD_NONCE_SIZE, n,
	    out->p, m->data.p + AEAD_NONCE_SIZE + n, err);
	out->n = rc ? 0 : n;
	buf_free(&ad);
	return rc;
}

/* ---- what others announce -------------------------------------------------------------------- */

/* Each author may say so much; what is more is not passed on, and held against nobody: others may
 * have passed it in good faith. */
static bool within_rate(struct peer *p)
{
	int64_t gone = duration_to_ms(instant_since(rt_now(), p->announce_paid)) / REFILL_MS;
	if (gone >= p->announces) {
		p->announces = 0;
		p->announce_paid = rt_now();
	} else {
		p->announces -= (unsigned)gone;
		p->announce_paid = instant_add(p->announce_paid, duration_ms(gone * REFILL_MS));
	}
	return p->announces < BURST && ++p->announces;
}

static void take(struct cluster *c, struct peer *p, const json_t *j, int64_t seq)
{
	struct member_state *st = calloc(1, sizeof *st);
	p->announce_seq = seq;
	p->announced_at = rt_now();
	p->announced = true;
	p->last_seen_ms = world_wall_ms(c->opt.world);
	if (!p->label[0])
		peer_set_label(p, json_get_string(j, "label", ""));
	if (!st)
		return;
	state_parse(j, st);
	state_leave_out_loopback(st);
	for (size_t i = st->n_addrs; i-- > 0;)
		table_add_addr(p, &st->addrs[i]);
	if (p->entry) { /* its own session is as fresh */
		free(st);
	} else {
		free(p->state);
		p->state = st;
	}
	cluster_peer_changed(c, p);
	waitq_wake_all(&c->dial);
}

/* What is inside, from whom it says. */
static enum gossip_verdict judge_opened(
    struct cluster *c, const struct p2p_gossip_message *m, const json_t *j)
{
	int64_t seq = json_get_int(j, "seq", 0), now = world_wall_ms(c->opt.world);
	struct peer *p = table_find(c, &m->from);
	bool again = p && seq <= p->announce_seq;
	if (seq < now - STALE_MS && (again || seq < now - WINDOW_MS)) {
		p2p_report(
		    c->opt.host, &m->source, P2P_REPLAYED, REPLAY, "an announcement of long ago");
		return GOSSIP_REJECT;
	}
	if (again || seq > now + WINDOW_MS)
		return GOSSIP_IGNORE;
	p = table_add(c, &m->from, SOURCE_GOSSIP);
	if (!p || !within_rate(p))
		return GOSSIP_IGNORE;
	take(c, p, j, seq);
	return GOSSIP_ACCEPT;
}

static enum gossip_verdict offence(
    struct cluster *c, const struct peer_id *who, enum p2p_offence kind, const char *what)
{
	p2p_report(c->opt.host, who, kind, FORGERY, what);
	return GOSSIP_REJECT;
}

static enum gossip_verdict on_announcement(void *arg, const struct p2p_gossip_message *m)
{
	struct cluster *c = arg;
	struct buf plain = BUF_INIT(ANNOUNCE_MAX);
	enum gossip_verdict v;
	json_t *j = NULL;
	if (peer_id_equal(&m->from, &c->self))
		return GOSSIP_IGNORE;
	if (m->data.n > ANNOUNCE_MAX)
		return offence(c, &m->source, P2P_OVERSIZED, "an announcement that is too long");
	if (m->data.n < OVERHEAD || unseal(c, m, &plain, NULL) != 0)
		v = offence(c, &m->source, P2P_FORGED, "an announcement that no member made");
	else if (json_read(buf_view(&plain), &j, NULL) != 0 || !json_is_object(j))
		v = offence(c, &m->from, P2P_MALFORMED, "an announcement that is no JSON");
	else
		v = judge_opened(c, m, j);
	json_decref(j);
	buf_free(&plain);
	return v;
}

/* ---- ours ---------------------------------------------------------------------------------- */

/* The clock, but never the same twice. */
static int64_t next_seq(struct cluster *c)
{
	int64_t now = world_wall_ms(c->opt.world);
	struct announcer *a = c->announcer;
	a->last_seq = now > a->last_seq ? now : a->last_seq + 1;
	return a->last_seq;
}

static int announce(struct cluster *c, struct err *err)
{
	struct buf plain = BUF_INIT(ANNOUNCE_MAX - OVERHEAD), sealed = BUF_INIT(ANNOUNCE_MAX);
	struct member_state *st = malloc(sizeof *st);
	if (!st)
		return err_set(err, E_MEMORY, "no memory for an announcement");
	cluster_local_state(c, st);
	st->n_peers = 0; /* they speak for themselves */
	json_t *j = state_json(st);
	free(st);
	json_object_set_new(j, "label", json_string(c->label));
	json_object_set_new(j, "seq", json_integer(next_seq(c)));
	int rc = json_write(j, &plain, err);
	json_decref(j);
	if (rc == 0)
		rc = seal(c, buf_view(&plain), &sealed, err);
	if (rc == 0)
		rc = p2p_gossip_publish(c->opt.gossip, c->announcer->topic, buf_view(&sealed), err);
	buf_free(&plain);
	buf_free(&sealed);
	return rc;
}

static void leave_topic(struct cluster *c)
{
	struct announcer *a = c->announcer;
	if (a->topic[0])
		p2p_gossip_unsubscribe(c->opt.gossip, a->topic);
	aead_free(a->aead);
	a->aead = NULL;
	a->topic[0] = '\0';
	a->told = false;
	secret_wipe(a->key, sizeof a->key);
}

/* To the topic of the membership that we have now. */
static int follow_membership(struct cluster *c, struct err *err)
{
	struct announcer *a = c->announcer;
	uint8_t key[SHA256_SIZE];
	char hash[2 * SHA256_SIZE + 1];
	hmac_sha256(
	    bytes_of(c->membership.key, CLUSTER_KEY_SIZE), bytes_str(ANNOUNCE_CONTEXT), key);
	if (a->topic[0] && memcmp(key, a->key, sizeof key) == 0)
		return 0;
	leave_topic(c);
	hex_encode(bytes_of(c->membership.hash, SHA256_SIZE), hash);
	int rc = aead_new(key, &a->aead, err);
	if (rc == 0) {
		snprintf(a->topic, sizeof a->topic, "/opengateway/%s/announce/1", hash);
		memcpy(a->key, key, sizeof key);
		rc = p2p_gossip_subscribe(c->opt.gossip, a->topic, NULL, on_announcement, c, err);
	}
	secret_wipe(key, sizeof key);
	return rc;
}

static bool due(const struct cluster *c)
{
	const struct announcer *a = c->announcer;
	return !a->told || a->version != c->version ||
	       duration_to_ms(instant_since(rt_now(), a->last)) >= ANNOUNCE_EVERY_MS;
}

/* A little by chance: members that heard of the same change should not all speak at once. */
static struct duration pause(const struct cluster *c)
{
	return duration_ms(
	    ANNOUNCE_GAP_MS + (int64_t)(world_random_u64(c->opt.world) % ANNOUNCE_GAP_MS));
}

static void announce_fiber(void *arg)
{
	struct cluster *c = arg;
	struct announcer *a = c->announcer;
	while (fiber_sleep(pause(c)) == 0) {
		struct err err = {0};
		if (!c->membership.id[0])
			continue;
		int rc = follow_membership(c, &err);
		if (rc == 0 && due(c)) {
			a->version = c->version;
			a->last = rt_now();
			a->told = true;
			rc = announce(c, &err);
		}
		if (rc)
			rt_log(
			    LOG_WARN, "cluster", "cannot announce this node: %s", err_text(&err));
	}
}

int announce_start(struct cluster *c, struct err *err)
{
	if (!c->opt.gossip)
		return 0;
	c->announcer = calloc(1, sizeof *c->announcer);
	if (!c->announcer)
		return err_set(err, E_MEMORY, "no memory for the cluster");
	return fiber_spawn(&c->scope, "announce", announce_fiber, c, err);
}

void announce_end(struct cluster *c)
{
	if (!c->announcer)
		return;
	leave_topic(c);
	free(c->announcer);
	c->announcer = NULL;
}
