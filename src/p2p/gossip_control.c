/* Control messages from peers: each may be a lie, and each is counted. SPEC gossipsub-v1.0 "Control
 * Messages", v1.1 "Prune Backoff and Peer Exchange", "Spam Protection Measures". */
#include "p2p/gossip_priv.h"
#include "p2p/peer_record_priv.h"

#include <stdlib.h>

/* ---- IHAVE --------------------------------------------------------------------------------- */

/* The ids of an IHAVE that we lack, as the peer wrote them; malloc. */
static struct bytes *wanted(
    struct gossip_router *r, struct gossip_peer *p, struct bytes body, size_t *n)
{
	struct cursor c = cursor_of(body);
	size_t cap = r->params.ihave_ids_max - p->asked, seen = 0;
	struct bytes *ids = calloc(cap, sizeof *ids), wire;
	struct gossip_id id;

	*n = 0;
	/* What lies beyond the cap of one IHAVE is not even looked at. */
	while (ids && *n < cap && seen++ < r->params.ihave_ids_max &&
	       gossip_ids_next(&c, GOSSIP_IHAVE, &wire)) {
		if (!gossip_id_of(wire, &id))
			continue;
		p->key_ids = gossip_id_is_key_form(wire);
		if (!gossip_seen(r, &id))
			ids[(*n)++] = wire;
	}
	return ids;
}

/* SPEC "Broken Promises": one of the ids, chosen by chance, must come in time. */
static void promise(struct gossip_router *r, struct gossip_peer *p, struct bytes wire)
{
	struct gossip_promise *all;

	if (p->n_promises == GOSSIP_PROMISES_MAX)
		return;
	all = realloc(p->promises, (p->n_promises + 1) * sizeof *all);
	if (!all)
		return;
	p->promises = all;
	if (gossip_id_of(wire, &all[p->n_promises].id))
		all[p->n_promises++].until = instant_add(r->now, r->params.iwant_followup);
}

static void take_ihave(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	const struct gossip_topic *t = gossip_topic_find(r, item->topic);
	struct bytes *ids;
	size_t n;

	if (gossip_score(r, p) < r->score.gossip_threshold || !t || !t->subscribed ||
	    ++p->ihaves > r->params.ihave_messages_max || p->asked >= r->params.ihave_ids_max)
		return;
	ids = wanted(r, p, item->body, &n);
	/* Shuffled, so that two liars cannot arrange which ids are asked of whom. */
	for (size_t i = n; i > 1; i--) {
		size_t j = gossip_random(r) % i;
		struct bytes swap = ids[j];
		ids[j] = ids[i - 1];
		ids[i - 1] = swap;
	}
	if (n > 0) {
		gossip_put_ids(gossip_control(r, p), GOSSIP_IWANT, (struct bytes){0}, ids, n);
		promise(r, p, ids[0]);
		p->asked += (unsigned)n;
	}
	free(ids);
}

/* ---- IWANT --------------------------------------------------------------------------------- */

static void take_iwant(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	struct cursor c = cursor_of(item->body);
	struct bytes wire;
	struct gossip_id id;

	if (gossip_score(r, p) < r->score.gossip_threshold)
		return;
	while (p->served < GOSSIP_SERVE_MAX && gossip_ids_next(&c, GOSSIP_IWANT, &wire)) {
		struct gossip_entry *e;
		p->served++; /* asking for what is not there costs us as well */
		if (!gossip_id_of(wire, &id))
			continue;
		e = gossip_seen(r, &id);
		if (e && e->status == GOSSIP_ACCEPTED && e->frame && gossip_may_ask(r, e, p))
			gossip_send(r, p, e->frame, false);
	}
}

/* ---- GRAFT --------------------------------------------------------------------------------- */

/* SPEC v1.1 "Prune Backoff": an early GRAFT is refused, and punished; one right after the PRUNE
 * twice. */
static void graft_too_early(struct gossip_router *r, struct gossip_link *l)
{
	gossip_penalize(l->peer, 1);
	if (instant_since(r->now, l->pruned).ns < r->params.graft_flood.ns)
		gossip_penalize(l->peer, 1);
	gossip_prune(r, l, r->params.prune_backoff, GOSSIP_WITHOUT_PX);
}

static size_t mesh_size(const struct gossip_topic *t)
{
	size_t n = 0;

	for (const struct gossip_link *l = t->links; l; l = l->topic_next)
		n += l->mesh;
	return n;
}

static void take_graft(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	/* SPEC v1.1: a GRAFT for a topic that we do not know is ignored, not answered. */
	struct gossip_topic *t = gossip_topic_find(r, item->topic);
	struct gossip_link *l = t && t->subscribed ? gossip_link_get(r, p, t) : NULL;

	if (!l || l->mesh)
		return;
	if (p->direct)
		gossip_prune(r, l, r->params.prune_backoff, GOSSIP_WITHOUT_PX);
	else if (instant_before(r->now, l->backoff_until))
		graft_too_early(r, l);
	else if (gossip_score(r, p) < 0)
		gossip_prune(r, l, r->params.prune_backoff, GOSSIP_WITHOUT_PX);
	else if (mesh_size(t) >= r->params.d_hi && p->direction != P2P_OUTBOUND)
		gossip_prune(r, l, r->params.prune_backoff, GOSSIP_WITH_PX);
	else {
		l->mesh = true;
		gossip_score_grafted(r, l);
	}
}

/* ---- PRUNE --------------------------------------------------------------------------------- */

/* Only a valid record that speaks of its own signer is worth a dial. */
static void dial_offered(struct gossip_router *r, struct bytes peer, struct bytes record)
{
	struct peer_record rec;
	struct gossip_out *out;

	if (record.n == 0 || peer_record_open(record, &rec, NULL) != 0)
		return;
	if (bytes_equal(peer, peer_id_bytes(&rec.peer)) && rec.addrs.n > 0 &&
	    !peer_id_equal(&rec.peer, &r->identity.peer_id)) {
		const struct gossip_peer *known = gossip_peer_find(r, &rec.peer);
		out = known && known->connected ? NULL : gossip_decide(r, GOSSIP_OUT_DIAL);
		if (out) {
			r->px_dials++;
			out->peer = rec.peer;
			out->addrs = rec.addrs.v;
			out->n_addrs = rec.addrs.n;
			rec.addrs = (struct addr_list){0};
		}
	}
	peer_record_free(&rec);
}

static void take_px(struct gossip_router *r, struct gossip_peer *p, struct bytes body)
{
	struct cursor c = cursor_of(body);
	struct bytes peer, record;

	if (gossip_score(r, p) < r->score.px_threshold)
		return;
	for (int i = 0; i < GOSSIP_PX_TAKEN_MAX && r->px_dials < GOSSIP_DIALS_MAX &&
			gossip_px_next(&c, &peer, &record);
	     i++)
		dial_offered(r, peer, record);
}

static void take_prune(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	struct gossip_topic *t = gossip_topic_find(r, item->topic);
	struct gossip_link *l = t && t->subscribed ? gossip_link_get(r, p, t) : NULL;
	uint64_t seconds = item->backoff;

	if (!l)
		return;
	if (l->mesh) {
		l->mesh = false;
		gossip_score_pruned(r, l);
	}
	l->pruned = r->now;
	if (seconds > GOSSIP_BACKOFF_MAX)
		seconds = GOSSIP_BACKOFF_MAX;
	gossip_backoff(r, l, seconds ? duration_s((int64_t)seconds) : r->params.prune_backoff);
	if (p->protocol >= GOSSIP_MESHSUB_11)
		take_px(r, p, item->body);
}

void gossip_take_control(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	switch (item->kind) {
	case GOSSIP_IHAVE:
		take_ihave(r, p, item);
		return;
	case GOSSIP_IWANT:
		take_iwant(r, p, item);
		return;
	case GOSSIP_GRAFT:
		take_graft(r, p, item);
		return;
	case GOSSIP_PRUNE:
		take_prune(r, p, item);
		return;
	case GOSSIP_IDONTWANT:
		gossip_take_unwanted(r, p, item);
		return;
	case GOSSIP_SUBSCRIBE:
	case GOSSIP_UNSUBSCRIBE:
	case GOSSIP_PUBLISH:
		BUG("no control message");
	}
}
