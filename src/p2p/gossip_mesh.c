/* Meshes, fan-out and gossip: whom a message goes to, and the heartbeat that keeps it so.
 * SPEC gossipsub-v1.0 "Router State", "Heartbeat"; v1.1 "Outbound Mesh Quotas", "Opportunistic
 * Grafting", "Adaptive Gossip Dissemination". */
#include "p2p/gossip_priv.h"

#include <stdlib.h>

#define NEWCOMER_BEATS 3 /* for how long a subscriber is one */

/* ---- choosing ------------------------------------------------------------------------------ */

static void shuffle(struct gossip_router *r, struct gossip_link **v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = gossip_random(r) % i;
		struct gossip_link *swap = v[j];
		v[j] = v[i - 1];
		v[i - 1] = swap;
	}
}

size_t gossip_collect(struct gossip_router *r, const struct gossip_topic *t, gossip_pick_fn pick,
    struct gossip_link **out)
{
	size_t n = 0;

	for (struct gossip_link *l = t->links; l; l = l->topic_next)
		if (pick(r, l))
			out[n++] = l;
	shuffle(r, out, n);
	return n;
}

static bool in_mesh(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->mesh;
}

/* May be grafted: it takes part, is not one of us or out already, and is no worse than nobody. */
static bool can_graft(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->subscribed && !l->mesh && gossip_speaks_mesh(l->peer) && !l->peer->direct &&
	       !instant_before(
		   r->now, instant_add(l->backoff_until, duration_ms(GOSSIP_GRACE_MS))) &&
	       gossip_score(r, l->peer) >= 0;
}

static bool can_graft_outbound(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->peer->direction == P2P_OUTBOUND && can_graft(r, l);
}

/* Just arrived, and dialled by us: whoever wants to surround us cannot choose to be that. */
static bool can_graft_newcomer(const struct gossip_router *r, const struct gossip_link *l)
{
	return instant_since(r->now, l->joined).ns <= NEWCOMER_BEATS * r->params.heartbeat.ns &&
	       can_graft_outbound(r, l);
}

static bool publishable(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->subscribed && l->peer->connected &&
	       (l->peer->direct || gossip_score(r, l->peer) >= r->score.publish_threshold);
}

static bool can_fan(const struct gossip_router *r, const struct gossip_link *l)
{
	return !l->fanout && gossip_speaks_mesh(l->peer) && !l->peer->direct && publishable(r, l);
}

static bool in_fanout(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->fanout;
}

static bool gossipable(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->subscribed && !l->mesh && !l->fanout && !l->peer->direct &&
	       gossip_speaks_mesh(l->peer) && gossip_score(r, l->peer) >= r->score.gossip_threshold;
}

static int by_score(const void *a, const void *b)
{
	const struct gossip_link *const *x = a, *const *y = b;

	return ((*x)->peer->score < (*y)->peer->score) - ((*x)->peer->score > (*y)->peer->score);
}

/* Best first; equal ones stay in their random order only as far as qsort likes, which is why ties
 * are broken by the shuffle's place. */
static void sort_by_score(struct gossip_router *r, struct gossip_link **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)gossip_score(r, v[i]->peer);
	for (size_t i = 1; i < n; i++) {
		struct gossip_link *l = v[i];
		size_t at = i;
		for (; at > 0 && by_score(&l, &v[at - 1]) < 0; at--)
			v[at] = v[at - 1];
		v[at] = l;
	}
}

/* ---- grafting and pruning ------------------------------------------------------------------ */

void gossip_backoff(struct gossip_router *r, struct gossip_link *l, struct duration d)
{
	struct instant until = instant_add(r->now, d);

	if (instant_before(l->backoff_until, until))
		l->backoff_until = until;
}

void gossip_graft(struct gossip_router *r, struct gossip_link *l)
{
	l->mesh = true;
	gossip_score_grafted(r, l);
	gossip_put_graft(gossip_control(r, l->peer), gossip_topic_name(l->topic));
}

static bool offerable(const struct gossip_router *r, const struct gossip_link *l)
{
	return l->subscribed && l->peer->connected && gossip_score(r, l->peer) >= 0;
}

/* SPEC v1.1 "Peer Exchange": peers of the topic that are worth something. */
static size_t choose_px(struct gossip_router *r, const struct gossip_link *to, struct gossip_px *px)
{
	size_t n = gossip_collect(r, to->topic, offerable, r->scratch2), count = 0;

	for (size_t i = 0; i < n && count < r->params.px_peers; i++) {
		const struct gossip_peer *p = r->scratch2[i]->peer;
		if (p == to->peer)
			continue;
		px[count].peer = peer_id_bytes(&p->id);
		px[count++].record =
		    r->opt.record ? r->opt.record(r->opt.arg, &p->id) : (struct bytes){0};
	}
	return count;
}

void gossip_prune(
    struct gossip_router *r, struct gossip_link *l, struct duration d, enum gossip_px_wish wish)
{
	struct gossip_px px[GOSSIP_PX_GIVEN_MAX];
	bool v11 = l->peer->protocol >= GOSSIP_MESHSUB_11;
	size_t n = v11 && wish == GOSSIP_WITH_PX ? choose_px(r, l, px) : 0;

	if (l->mesh) {
		l->mesh = false;
		gossip_score_pruned(r, l);
	}
	l->pruned = r->now;
	gossip_backoff(r, l, d);
	/* SPEC v1.1: the backoff is in seconds. */
	gossip_put_prune(gossip_control(r, l->peer), gossip_topic_name(l->topic),
	    v11 ? (uint64_t)(d.ns / 1000000000) : 0, px, n);
}

void gossip_mesh_join(struct gossip_router *r, struct gossip_topic *t)
{
	size_t n = 0, count;

	/* Fan-out peers first: they are known to work. */
	for (struct gossip_link *l = t->links; l; l = l->topic_next) {
		bool was = l->fanout;
		l->fanout = false;
		if (was && n < r->params.d && can_graft(r, l)) {
			gossip_graft(r, l);
			n++;
		}
	}
	t->fanout_until = (struct instant){0};
	count = gossip_collect(r, t, can_graft, r->scratch);
	for (size_t i = 0; i < count && n < r->params.d; i++, n++)
		gossip_graft(r, r->scratch[i]);
}

void gossip_mesh_leave(struct gossip_router *r, struct gossip_topic *t)
{
	for (struct gossip_link *l = t->links; l; l = l->topic_next)
		if (l->mesh)
			gossip_prune(r, l, r->params.unsubscribe_backoff, GOSSIP_WITH_PX);
}

/* ---- sending messages ---------------------------------------------------------------------- */

static bool sent_by(const struct gossip_entry *e, const struct gossip_peer *p)
{
	for (uint32_t i = 0; i < e->n_senders; i++)
		if (e->senders[i] == p->serial)
			return true;
	return bytes_equal(e->frame->msg.from, peer_id_bytes(&p->id));
}

static void refill_fanout(struct gossip_router *r, struct gossip_topic *t)
{
	size_t n = gossip_collect(r, t, in_fanout, r->scratch), have = n;

	for (size_t i = 0; i < n; i++) {
		if (publishable(r, r->scratch[i]))
			continue;
		r->scratch[i]->fanout = false;
		have--;
	}
	n = gossip_collect(r, t, can_fan, r->scratch);
	for (size_t i = 0; i < n && have < r->params.d; i++, have++)
		r->scratch[i]->fanout = true;
}

void gossip_forward(
    struct gossip_router *r, struct gossip_topic *t, const struct gossip_entry *e, bool own)
{
	bool flood = own && r->params.flood_publish;

	if (own && !t->subscribed) {
		t->fanout_until = instant_add(r->now, r->params.fanout_ttl);
		if (!flood)
			refill_fanout(r, t);
	}
	for (struct gossip_link *l = t->links; l; l = l->topic_next)
		if ((l->mesh ||
			(publishable(r, l) && (flood || (own && l->fanout) || l->peer->direct ||
						  l->peer->protocol == GOSSIP_FLOODSUB))) &&
		    !sent_by(e, l->peer) && !gossip_is_unwanted(r, l->peer, &e->id))
			gossip_send(r, l->peer, e->frame, false);
}

/* ---- the heartbeat ------------------------------------------------------------------------- */

static void drop_bad(struct gossip_router *r, struct gossip_topic *t)
{
	for (struct gossip_link *l = t->links; l; l = l->topic_next)
		if (l->mesh && gossip_score(r, l->peer) < 0)
			gossip_prune(r, l, r->params.prune_backoff, GOSSIP_WITHOUT_PX);
}

static size_t graft_up_to(
    struct gossip_router *r, const struct gossip_topic *t, gossip_pick_fn pick, size_t want)
{
	size_t n = gossip_collect(r, t, pick, r->scratch), i;

	for (i = 0; i < n && i < want; i++)
		gossip_graft(r, r->scratch[i]);
	return i;
}

/* Brings peers that we dialled to the front until d_out of them are among the first d. */
static void keep_outbound(struct gossip_router *r, struct gossip_link **v, size_t n)
{
	size_t d = r->params.d, outbound = 0, at = d;

	for (size_t i = 0; i < d; i++)
		outbound += v[i]->peer->direction == P2P_OUTBOUND;
	for (size_t i = d; i-- > r->params.d_score && outbound < r->params.d_out;) {
		if (v[i]->peer->direction == P2P_OUTBOUND)
			continue;
		while (at < n && v[at]->peer->direction != P2P_OUTBOUND)
			at++;
		if (at == n)
			return;
		struct gossip_link *swap = v[i];
		v[i] = v[at];
		v[at] = swap;
		outbound++;
	}
}

/* SPEC v1.1: the d_score best stay; the rest by chance, with enough outbound ones among them. */
static void shrink(struct gossip_router *r, struct gossip_topic *t)
{
	struct gossip_link **v = r->scratch;
	size_t n = gossip_collect(r, t, in_mesh, v), best = r->params.d_score;

	if (n <= r->params.d_hi)
		return;
	sort_by_score(r, v, n);
	shuffle(r, v + best, n - best);
	keep_outbound(r, v, n);
	for (size_t i = r->params.d; i < n; i++)
		gossip_prune(r, v[i], r->params.prune_backoff, GOSSIP_WITH_PX);
}

static void graft_better(struct gossip_router *r, struct gossip_topic *t)
{
	size_t n = gossip_collect(r, t, in_mesh, r->scratch), added = 0;
	double median;

	if (n < 2)
		return;
	sort_by_score(r, r->scratch, n);
	median = r->scratch[n / 2]->peer->score;
	if (median >= r->score.opportunistic_threshold)
		return;
	n = gossip_collect(r, t, can_graft, r->scratch);
	for (size_t i = 0; i < n && added < r->params.opportunistic_peers; i++) {
		if (gossip_score(r, r->scratch[i]->peer) <= median)
			continue;
		gossip_graft(r, r->scratch[i]);
		added++;
	}
}

static void maintain(struct gossip_router *r, struct gossip_topic *t)
{
	size_t n = 0, outbound = 0;

	drop_bad(r, t);
	for (const struct gossip_link *l = t->links; l; l = l->topic_next)
		n += l->mesh;
	/* One newcomer beyond d: so that meshes which grew apart while the network was cut in two
	 * grow together again, although neither half lacks anybody. */
	if (n < r->params.d_lo)
		n += graft_up_to(r, t, can_graft, r->params.d - n);
	else if (n <= r->params.d && n < r->params.d_hi)
		n += graft_up_to(r, t, can_graft_newcomer, 1);
	if (n > r->params.d_hi)
		shrink(r, t);
	for (const struct gossip_link *l = t->links; l; l = l->topic_next)
		outbound += l->mesh && l->peer->direction == P2P_OUTBOUND;
	if (n >= r->params.d_lo && outbound < r->params.d_out)
		(void)graft_up_to(r, t, can_graft_outbound, r->params.d_out - outbound);
	if (r->ticks % r->params.opportunistic_ticks == 0)
		graft_better(r, t);
}

static void tend_fanout(struct gossip_router *r, struct gossip_topic *t)
{
	if (r->now.ns < t->fanout_until.ns) {
		refill_fanout(r, t);
		return;
	}
	t->fanout_until = (struct instant){0};
	for (struct gossip_link *l = t->links; l; l = l->topic_next)
		l->fanout = false;
}

static void tell_ids(struct gossip_router *r, struct gossip_topic *t, size_t n)
{
	const struct gossip_entry **recent = calloc(n, sizeof *recent);
	struct bytes *ids = calloc(n, sizeof *ids);
	size_t count = recent && ids ? gossip_collect(r, t, gossipable, r->scratch) : 0;
	size_t part = (size_t)((double)count * r->params.gossip_factor);

	if (part < r->params.d_lazy)
		part = r->params.d_lazy;
	if (count > 0)
		n = gossip_recent(r, t, recent, n);
	for (size_t i = 0; i < count && i < part; i++) {
		struct gossip_peer *p = r->scratch[i]->peer;
		for (size_t j = 0; j < n; j++)
			ids[j] = gossip_id_for(p, &recent[j]->id);
		gossip_put_ids(gossip_control(r, p), GOSSIP_IHAVE, gossip_topic_name(t), ids, n);
	}
	free(recent);
	free(ids);
}

/* What the peers outside the mesh may have missed. */
static void gossip_about(struct gossip_router *r, struct gossip_topic *t)
{
	size_t n = gossip_recent(r, t, NULL, r->params.ihave_ids_max);

	if (n > 0)
		tell_ids(r, t, n);
}

/* SPEC v1.1 "Explicit Peering Agreements": the connection is kept up. */
static void reach_direct(struct gossip_router *r)
{
	for (size_t i = 0; i < r->opt.n_direct; i++) {
		const struct gossip_peer *p = gossip_peer_find(r, &r->direct[i]);
		struct gossip_out *out =
		    p && p->connected ? NULL : gossip_decide(r, GOSSIP_OUT_DIAL);
		if (out)
			out->peer = r->direct[i];
	}
}

/* Promises that have run out, and were not kept by anybody: P7. */
static void judge_promises(struct gossip_router *r, struct gossip_peer *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n_promises; i++) {
		if (gossip_seen(r, &p->promises[i].id))
			continue;
		if (instant_before(p->promises[i].until, r->now))
			gossip_penalize(p, 1);
		else
			p->promises[kept++] = p->promises[i];
	}
	p->n_promises = kept;
}

static void tend_peer(struct gossip_router *r, struct gossip_peer *p)
{
	p->ihaves = p->asked = p->served = p->refused = 0;
	if (p->connected)
		judge_promises(r, p);
}

void gossip_router_heartbeat(struct gossip_router *r, struct instant now)
{
	struct gossip_peer *p, *next_peer;
	struct gossip_topic *t, *next_topic;

	r->now = now;
	r->px_dials = 0;
	HASH_ITER (hh, r->peers, p, next_peer)
		tend_peer(r, p);
	gossip_score_tick(r);
	HASH_ITER (hh, r->topics, t, next_topic) {
		if (t->subscribed)
			maintain(r, t);
		else if (t->fanout_until.ns != 0)
			tend_fanout(r, t);
		if (t->subscribed || t->fanout_until.ns != 0)
			gossip_about(r, t);
		gossip_topic_drop(r, t);
	}
	if (r->ticks % r->params.direct_ticks == 0)
		reach_direct(r);
	r->ticks++;
	gossip_cache_tick(r);
	gossip_forget_peers(r);
	gossip_flush(r);
}
