/* What can be seen of a gossip router: for people, and for tests. */
#include "p2p/gossip_priv.h"

static const char *const protocol_names[] = {
    [GOSSIP_FLOODSUB] = GOSSIP_PROTOCOL_FLOOD,
    [GOSSIP_MESHSUB_10] = GOSSIP_PROTOCOL_10,
    [GOSSIP_MESHSUB_12] = GOSSIP_PROTOCOL_12,
    [GOSSIP_MESHSUB_11] = GOSSIP_PROTOCOL_11,
};

static void describe(
    const struct gossip_router *r, const struct gossip_peer *p, struct p2p_gossip_peer *out)
{
	struct gossip_score_parts parts;

	*out = (struct p2p_gossip_peer){
	    .id = p->id,
	    .protocol = protocol_names[p->protocol],
	    .connected = p->connected,
	    .outbound = p->direction == P2P_OUTBOUND,
	    .direct = p->direct,
	    .score = gossip_score_of(r, p, &parts),
	};
	out->topics_score = parts.topics;
	out->app_score = parts.app;
	out->ip_penalty = parts.ip;
	out->behaviour_penalty = parts.behaviour;
	for (const struct gossip_link *l = p->links; l; l = l->peer_next) {
		out->topics += l->subscribed;
		out->meshes += l->mesh;
		out->invalid += l->invalid;
	}
}

size_t gossip_router_peers(const struct gossip_router *r, struct p2p_gossip_peer *out, size_t cap)
{
	const struct gossip_peer *p, *next;
	size_t n = 0;

	HASH_ITER (hh, r->peers, p, next) {
		if (n < cap)
			describe(r, p, &out[n]);
		n++;
	}
	return n;
}

double gossip_router_score(const struct gossip_router *r, const struct peer_id *peer)
{
	const struct gossip_peer *p = gossip_peer_find(r, peer);
	struct gossip_score_parts parts;

	return p ? gossip_score_of(r, p, &parts) : 0;
}

bool gossip_router_in_mesh(
    const struct gossip_router *r, struct bytes topic, const struct peer_id *peer)
{
	const struct gossip_topic *t = gossip_topic_find(r, topic);
	const struct gossip_peer *p = gossip_peer_find(r, peer);
	const struct gossip_link *l = t && p ? gossip_link_find(p, t) : NULL;

	return l && l->mesh;
}

void gossip_router_topic_peers(
    const struct gossip_router *r, struct bytes topic, size_t *mesh, size_t *subscribers)
{
	const struct gossip_topic *t = gossip_topic_find(r, topic);

	*mesh = *subscribers = 0;
	for (const struct gossip_link *l = t ? t->links : NULL; l; l = l->topic_next) {
		*mesh += l->mesh;
		*subscribers += l->subscribed;
	}
}

/* ---- what must stay true ------------------------------------------------------------------- */

static void check_link(const struct gossip_link *l, const struct gossip_peer *p)
{
	INVARIANT(l->peer == p);
	INVARIANT(!l->mesh || (gossip_speaks_mesh(p) && !p->direct && l->topic->subscribed));
	INVARIANT(!l->fanout || (p->connected && !l->topic->subscribed && l->subscribed));
	INVARIANT(!l->subscribed || p->connected);
	INVARIANT(l->first >= 0 && l->delivered >= 0 && l->failed >= 0 && l->invalid >= 0);
}

static void check_peers(const struct gossip_router *r)
{
	const struct gossip_peer *p, *next;
	size_t n = 0, connected = 0;

	HASH_ITER (hh, r->peers, p, next) {
		size_t links = 0;
		for (const struct gossip_link *l = p->links; l; l = l->peer_next, links++)
			check_link(l, p);
		INVARIANT(links == p->n_links && links <= GOSSIP_LINKS_MAX);
		INVARIANT(
		    p->n_promises <= GOSSIP_PROMISES_MAX && p->asked <= r->params.ihave_ids_max);
		INVARIANT(gossip_peer_serial(r, p->serial) == p && !p->pending);
		n++;
		connected += p->connected;
	}
	INVARIANT(n == r->n_peers && connected == r->n_connected && n <= r->opt.peers_max);
}

static void check_topics(const struct gossip_router *r)
{
	const struct gossip_topic *t, *next;
	size_t n = 0, own = 0;

	HASH_ITER (hh, r->topics, t, next) {
		size_t links = 0;
		for (const struct gossip_link *l = t->links; l; l = l->topic_next, links++)
			INVARIANT(l->topic == t);
		INVARIANT(links == t->n_links);
		INVARIANT(!t->subscribed || t->fanout_until.ns == 0);
		n++;
		own += t->subscribed;
	}
	INVARIANT(n == r->n_topics && own == r->n_own);
	INVARIANT(n <= GOSSIP_KNOWN_TOPICS && own <= GOSSIP_TOPICS_MAX);
}

static void check_messages(const struct gossip_router *r)
{
	size_t n = 0, pending = 0, kept = 0, bytes = 0;

	for (const struct gossip_entry *e = r->seen_oldest; e; e = e->newer) {
		n++;
		pending += e->status == GOSSIP_PENDING;
		INVARIANT(e->status != GOSSIP_PENDING || e->frame);
		INVARIANT(e->n_senders <= GOSSIP_SENDERS_MAX && e->n_askers <= GOSSIP_ASKERS_MAX);
		kept += e->status == GOSSIP_ACCEPTED && e->frame;
	}
	for (const struct gossip_entry *e = r->kept_oldest; e; e = e->kept_newer, kept--)
		bytes += e->frame->n;
	INVARIANT(n == r->n_seen && n <= GOSSIP_SEEN_MAX && n == HASH_COUNT(r->seen));
	INVARIANT(pending == r->n_pending && pending <= GOSSIP_PENDING_MAX);
	INVARIANT(kept == 0 && bytes == r->kept_bytes);
	INVARIANT(bytes <= GOSSIP_MCACHE_BYTES + GOSSIP_RPC_MAX);
}

void gossip_router_check(const struct gossip_router *r)
{
	check_peers(r);
	check_topics(r);
	check_messages(r);
	INVARIANT(!r->control_first && !r->control_last);
}
