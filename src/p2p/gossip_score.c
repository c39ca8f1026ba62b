/* What peers are worth. SPEC gossipsub-v1.1 "Peer Scoring": counters per peer and topic, decaying,
 * from which a score is computed anew when one of them has changed.
 *
 *   score = min(sum over topics of weight * (P1 + P2 + P3 + P3b + P4), cap) + P5 + P6 + P7 */
#include "p2p/gossip_priv.h"

/* ---- parameters ---------------------------------------------------------------------------- */

void gossip_topic_params_default(struct gossip_topic_params *p)
{
	*p = (struct gossip_topic_params){
	    .topic_weight = 1,
	    .p1_weight = 0.01,
	    .p1_quantum = duration_s(1),
	    .p1_cap = 300,
	    .p2_weight = 0.5,
	    .p2_decay = 0.97,
	    .p2_cap = 20,
	    .p3_decay = 0.97,
	    .p3_cap = 20,
	    .p3_threshold = 4,
	    .p3_window = duration_ms(10),
	    .p3_activation = duration_s(30),
	    .p3b_decay = 0.97,
	    .p4_weight = -10,
	    .p4_decay = 0.99,
	};
}

void gossip_score_params_default(struct gossip_score_params *p)
{
	*p = (struct gossip_score_params){
	    .topic_cap = 50,
	    .app_weight = 1,
	    .ip_weight = -5,
	    .ip_threshold = 10,
	    .behaviour_weight = -5,
	    .behaviour_threshold = 6,
	    .behaviour_decay = 0.98,
	    .decay_interval = duration_s(1),
	    .decay_to_zero = 0.01,
	    .retain = duration_s(3600),
	    .gossip_threshold = -40,
	    .publish_threshold = -60,
	    .graylist_threshold = -80,
	    .px_threshold = 5,
	    .opportunistic_threshold = 2,
	};
}

static bool is_decay(double d)
{
	return d > 0 && d < 1;
}

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond))                                                                       \
			return err_set(err, E_INVALID, "gossip: a parameter breaks %s", #cond);    \
	} while (0)

int gossip_topic_params_check(const struct gossip_topic_params *p, struct err *err)
{
	REQUIRE(p->topic_weight >= 0 && p->topic_weight <= 1e6);
	REQUIRE(p->p1_weight >= 0 && p->p1_quantum.ns > 0 && p->p1_cap >= 0);
	REQUIRE(p->p2_weight >= 0 && is_decay(p->p2_decay) && p->p2_cap >= 0);
	REQUIRE(p->p3_weight <= 0 && is_decay(p->p3_decay) && p->p3_cap >= p->p3_threshold);
	REQUIRE(p->p3b_weight <= 0 && is_decay(p->p3b_decay));
	REQUIRE(p->p4_weight <= 0 && is_decay(p->p4_decay));
	return 0;
}

int gossip_score_params_check(const struct gossip_score_params *p, struct err *err)
{
	REQUIRE(p->graylist_threshold <= p->publish_threshold);
	REQUIRE(p->publish_threshold <= p->gossip_threshold && p->gossip_threshold <= 0);
	REQUIRE(p->px_threshold >= 0 && p->opportunistic_threshold >= 0 && p->topic_cap >= 0);
	REQUIRE(p->ip_weight <= 0 && p->ip_threshold >= 1);
	REQUIRE(p->behaviour_weight <= 0 && is_decay(p->behaviour_decay));
	REQUIRE(p->behaviour_threshold >= 0 && p->decay_to_zero > 0);
	REQUIRE(p->decay_interval.ns > 0);
	return 0;
}

int gossip_params_check(const struct gossip_params *p, struct err *err)
{
	REQUIRE(p->d_lo <= p->d && p->d <= p->d_hi && p->d > 0 && p->d_score <= p->d_hi);
	REQUIRE(p->d_out < p->d_lo && p->d_out <= p->d / 2);
	REQUIRE(p->gossip_factor >= 0 && p->gossip_factor <= 1);
	REQUIRE(p->heartbeat.ns > 0 && p->seen_ttl.ns > p->iwant_followup.ns);
	REQUIRE(p->mcache_gossip > 0 && p->mcache_gossip <= p->mcache_len);
	REQUIRE(p->ihave_ids_max > 0 && p->ihave_ids_max <= 10000);
	REQUIRE(p->opportunistic_ticks > 0 && p->direct_ticks > 0 &&
		p->px_peers <= GOSSIP_PX_GIVEN_MAX);
	return 0;
}

/* ---- the score ----------------------------------------------------------------------------- */

static double square(double x)
{
	return x * x;
}

static double link_score(const struct gossip_router *r, const struct gossip_link *l)
{
	const struct gossip_topic_params *p = &l->topic->params;
	double score = 0, quanta, deficit;

	if (l->mesh) {
		quanta = (double)instant_since(r->now, l->grafted).ns / (double)p->p1_quantum.ns;
		score += p->p1_weight * (quanta < p->p1_cap ? quanta : p->p1_cap);
	}
	score += p->p2_weight * l->first;
	deficit = p->p3_threshold - l->delivered;
	if (l->mesh && l->p3_active && deficit > 0)
		score += p->p3_weight * square(deficit);
	score += p->p3b_weight * l->failed;
	score += p->p4_weight * square(l->invalid);
	return score * p->topic_weight;
}

static bool same_ip(const struct gossip_peer *a, const struct gossip_peer *b)
{
	return a->ip_n == b->ip_n && memcmp(a->ip, b->ip, a->ip_n) == 0;
}

void gossip_score_address(struct gossip_router *r, struct gossip_peer *p, int change)
{
	struct gossip_peer *other, *next;

	p->sharing = 0;
	if (p->ip_n == 0)
		return;
	HASH_ITER (hh, r->peers, other, next) {
		if (other == p || !other->connected || !same_ip(p, other))
			continue;
		other->sharing += change > 0 ? 1u : -1u;
		other->score_stale = true;
		p->sharing++;
	}
	p->sharing = change > 0 ? p->sharing + 1 : 0;
	p->score_stale = true;
}

double gossip_score_of(
    const struct gossip_router *r, const struct gossip_peer *p, struct gossip_score_parts *parts)
{
	double excess = p->behaviour - r->score.behaviour_threshold;
	double surplus = (double)p->sharing - (double)r->score.ip_threshold;

	*parts = (struct gossip_score_parts){.app = r->score.app_weight * p->app};
	for (const struct gossip_link *l = p->links; l; l = l->peer_next)
		if (l->topic->subscribed)
			parts->topics += link_score(r, l);
	if (r->score.topic_cap > 0 && parts->topics > r->score.topic_cap)
		parts->topics = r->score.topic_cap;
	/* P6: peers behind one address, beyond as many as may live in one house. */
	parts->ip = surplus > 0 ? r->score.ip_weight * square(surplus) : 0;
	parts->behaviour = excess > 0 ? r->score.behaviour_weight * square(excess) : 0;
	return parts->topics + parts->app + parts->ip + parts->behaviour;
}

double gossip_score(const struct gossip_router *r, struct gossip_peer *p)
{
	struct gossip_score_parts parts;

	if (p->score_stale) {
		p->score = gossip_score_of(r, p, &parts);
		p->score_stale = false;
	}
	return p->score;
}

void gossip_penalize(struct gossip_peer *p, double count)
{
	p->behaviour += count;
	p->score_stale = true;
}

/* ---- meshes -------------------------------------------------------------------------------- */

void gossip_score_grafted(struct gossip_router *r, struct gossip_link *l)
{
	l->grafted = r->now;
	l->p3_active = false;
	l->peer->score_stale = true;
}

/* SPEC "P3b": leaving the mesh must not wipe out that too little was delivered there. */
void gossip_score_pruned(struct gossip_router *r, struct gossip_link *l)
{
	double deficit = l->topic->params.p3_threshold - l->delivered;

	if (l->p3_active && deficit > 0)
		l->failed += square(deficit);
	l->p3_active = false;
	l->peer->score_stale = true;
}

/* Good scores are not kept: coming back must not be a way to be greeted as an old friend. */
void gossip_score_gone(struct gossip_router *r, struct gossip_peer *p)
{
	bool good = gossip_score(r, p) > 0;

	for (struct gossip_link *l = p->links; l; l = l->peer_next) {
		l->first = 0;
		if (good)
			l->delivered = l->failed = l->invalid = 0;
	}
	if (good)
		p->app = p->behaviour = 0;
	p->score_stale = true;
}

/* ---- decay --------------------------------------------------------------------------------- */

static void decay(const struct gossip_router *r, double *v, double factor)
{
	*v *= factor;
	if (*v < r->score.decay_to_zero)
		*v = 0;
}

static void decay_peer(const struct gossip_router *r, struct gossip_peer *p)
{
	for (struct gossip_link *l = p->links; l; l = l->peer_next) {
		const struct gossip_topic_params *t = &l->topic->params;
		decay(r, &l->first, t->p2_decay);
		decay(r, &l->delivered, t->p3_decay);
		decay(r, &l->failed, t->p3b_decay);
		decay(r, &l->invalid, t->p4_decay);
		if (l->mesh && instant_since(r->now, l->grafted).ns > t->p3_activation.ns)
			l->p3_active = true;
	}
	decay(r, &p->behaviour, r->score.behaviour_decay);
	p->score_stale = true;
}

/* A peer that has gone keeps its score as it was: time away heals nothing. */
void gossip_score_tick(struct gossip_router *r)
{
	struct gossip_peer *p, *next;

	while (instant_since(r->now, r->decayed).ns >= r->score.decay_interval.ns) {
		r->decayed = instant_add(r->decayed, r->score.decay_interval);
		/* After a long pause, once is enough to catch up with: nobody was judged. */
		if (instant_since(r->now, r->decayed).ns > duration_s(600).ns)
			r->decayed = r->now;
		HASH_ITER (hh, r->peers, p, next)
			if (p->connected)
				decay_peer(r, p);
	}
}

/* ---- messages ------------------------------------------------------------------------------ */

static struct gossip_link *sender_link(
    const struct gossip_router *r, const struct gossip_entry *e, uint32_t i)
{
	struct gossip_peer *p = gossip_peer_serial(r, e->senders[i]);

	for (struct gossip_link *l = p ? p->links : NULL; l; l = l->peer_next)
		if (l->topic->number == e->topic)
			return l;
	return NULL;
}

static void credit(double *counter, double cap)
{
	*counter = *counter + 1 < cap ? *counter + 1 : cap;
}

static void credit_mesh(struct gossip_link *l)
{
	if (!l->mesh)
		return;
	credit(&l->delivered, l->topic->params.p3_cap);
	l->peer->score_stale = true;
}

void gossip_score_first(struct gossip_router *r, const struct gossip_entry *e)
{
	for (uint32_t i = 0; i < e->n_senders; i++) {
		struct gossip_link *l = sender_link(r, e, i);
		if (!l)
			continue;
		if (i == 0)
			credit(&l->first, l->topic->params.p2_cap);
		credit_mesh(l);
		l->peer->score_stale = true;
	}
}

void gossip_score_invalid(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_topic *t)
{
	struct gossip_link *l = gossip_link_find(p, t);

	if (l)
		l->invalid += 1;
	else
		p->behaviour += 1; /* no room for the link: it pays all the same */
	p->score_stale = true;
}

void gossip_score_rejected(struct gossip_router *r, const struct gossip_entry *e)
{
	for (uint32_t i = 0; i < e->n_senders; i++) {
		struct gossip_link *l = sender_link(r, e, i);
		if (!l)
			continue;
		l->invalid += 1;
		l->peer->score_stale = true;
	}
}

void gossip_score_duplicate(struct gossip_router *r, struct gossip_peer *p, struct gossip_entry *e)
{
	for (uint32_t i = 0; i < e->n_senders; i++)
		if (e->senders[i] == p->serial)
			return;
	if (e->n_senders == GOSSIP_SENDERS_MAX)
		return;
	e->senders[e->n_senders++] = p->serial;
	struct gossip_link *l = sender_link(r, e, e->n_senders - 1);
	if (!l)
		return;
	if (e->status == GOSSIP_REJECTED) {
		l->invalid += 1;
		p->score_stale = true;
	} else if (e->status == GOSSIP_ACCEPTED &&
		   instant_since(r->now, e->accepted).ns <= l->topic->params.p3_window.ns) {
		credit_mesh(l);
	}
}
