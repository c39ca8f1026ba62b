/* The gossip router's life, its peers and topics, and the way of a message through it.
 * SPEC libp2p pubsub, gossipsub-v1.0, gossipsub-v1.1, gossipsub-v1.2. */
#include "p2p/gossip_priv.h"

#include <stdlib.h>

void gossip_params_default(struct gossip_params *p)
{
	*p = (struct gossip_params){
	    .d = 6,
	    .d_lo = 4,
	    .d_hi = 12,
	    .d_score = 4,
	    .d_out = 2,
	    .d_lazy = 6,
	    .gossip_factor = 0.25,
	    .heartbeat = duration_s(1),
	    .fanout_ttl = duration_s(60),
	    .seen_ttl = duration_s(120),
	    .mcache_len = 5,
	    .mcache_gossip = 3,
	    .prune_backoff = duration_s(60),
	    .unsubscribe_backoff = duration_s(10),
	    .graft_flood = duration_s(10),
	    .iwant_followup = duration_s(3),
	    .ihave_messages_max = 10,
	    .ihave_ids_max = 5000,
	    .iwant_repeats_max = 3,
	    .idontwant_min = 1024,
	    .opportunistic_ticks = 60,
	    .opportunistic_peers = 2,
	    .direct_ticks = 300,
	    .px_peers = 16,
	    .flood_publish = true,
	};
}

/* splitmix64: choices that nobody can foresee who does not know the seed. */
uint64_t gossip_random(struct gossip_router *r)
{
	uint64_t z = r->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- peers --------------------------------------------------------------------------------- */

static unsigned hash_of(const struct gossip_router *r, struct bytes key)
{
	uint8_t out[crypto_shorthash_BYTES];

	(void)crypto_shorthash(out, key.p, key.n, r->hash_key);
	return get_u32be(out);
}

struct gossip_peer *gossip_peer_find(const struct gossip_router *r, const struct peer_id *id)
{
	struct gossip_peer *p;

	HASH_FIND_BYHASHVALUE(hh, r->peers, id, sizeof *id, hash_of(r, peer_id_bytes(id)), p);
	return p;
}

struct gossip_peer *gossip_peer_serial(const struct gossip_router *r, uint32_t serial)
{
	struct gossip_peer *p = r->slots[serial % r->opt.peers_max];

	return p && p->serial == serial ? p : NULL;
}

static bool is_direct(const struct gossip_router *r, const struct peer_id *id)
{
	for (size_t i = 0; i < r->opt.n_direct; i++)
		if (peer_id_equal(&r->direct[i], id))
			return true;
	return false;
}

static void free_link(struct gossip_router *r, struct gossip_link **at)
{
	struct gossip_link *l = *at;

	*at = l->peer_next;
	l->peer->n_links--;
	l->topic->n_links--;
	*(l->topic_prev ? &l->topic_prev->topic_next : &l->topic->links) = l->topic_next;
	if (l->topic_next)
		l->topic_next->topic_prev = l->topic_prev;
	gossip_topic_drop(r, l->topic);
	free(l);
}

static void free_peer(struct gossip_router *r, struct gossip_peer *p)
{
	while (p->links)
		free_link(r, &p->links);
	HASH_DEL(r->peers, p);
	r->slots[p->serial % r->opt.peers_max] = NULL;
	r->n_peers--;
	buf_free(&p->control);
	gossip_forget_unwanted(p);
	free(p->promises);
	free(p);
}

/* Makes room by forgetting whoever has been gone for longest. */
static bool make_room(struct gossip_router *r)
{
	struct gossip_peer *p, *next, *oldest = NULL;

	if (r->n_peers < r->opt.peers_max)
		return true;
	HASH_ITER (hh, r->peers, p, next)
		if (!p->connected && (!oldest || instant_before(p->gone, oldest->gone)))
			oldest = p;
	if (oldest)
		free_peer(r, oldest);
	return oldest != NULL;
}

static struct gossip_peer *add_peer(struct gossip_router *r, const struct peer_id *id)
{
	struct gossip_peer *p = calloc(1, sizeof *p);
	uint32_t slots = (uint32_t)r->opt.peers_max;

	if (!p)
		return NULL;
	p->id = *id;
	HASH_ADD_KEYPTR_BYHASHVALUE(
	    hh, r->peers, &p->id, sizeof p->id, hash_of(r, peer_id_bytes(id)), p);
	if (!p->hh.tbl) {
		free(p);
		return NULL;
	}
	while (r->slots[r->serials % slots])
		r->serials++;
	p->serial = r->serials++;
	r->slots[p->serial % slots] = p;
	p->direct = is_direct(r, id);
	p->score_stale = true;
	r->n_peers++;
	return p;
}

static void greet(struct gossip_router *r, struct gossip_peer *p)
{
	struct gossip_topic *t, *next;

	/* SPEC pubsub: the first RPC tells all subscriptions. */
	HASH_ITER (hh, r->topics, t, next)
		if (t->subscribed)
			gossip_put_subscription(
			    gossip_control(r, p), GOSSIP_SUBSCRIBE, gossip_topic_name(t));
}

int gossip_router_connect(
    struct gossip_router *r, const struct gossip_connect *c, struct instant now, struct err *err)
{
	struct gossip_peer *p = gossip_peer_find(r, &c->peer);

	r->now = now;
	if (p && p->connected)
		return err_set(err, E_EXISTS, "connected already");
	if (!p && !make_room(r))
		return err_set(err, E_LIMIT, "%zu gossip peers", r->n_peers);
	if (!p && (p = add_peer(r, &c->peer)) == NULL)
		return err_set(err, E_MEMORY, "no memory for a gossip peer");
	INVARIANT(c->ip.n <= sizeof p->ip);
	p->protocol = c->protocol;
	p->direction = c->direction;
	p->user = c->user;
	p->ip_n = (uint8_t)c->ip.n;
	if (c->ip.n)
		memcpy(p->ip, c->ip.p, c->ip.n);
	p->connected = true;
	r->n_connected++;
	gossip_score_address(r, p, 1);
	greet(r, p);
	gossip_flush(r);
	return 0;
}

void gossip_router_renew(struct gossip_router *r, const struct peer_id *peer, struct instant now)
{
	struct gossip_peer *p = gossip_peer_find(r, peer);

	r->now = now;
	if (!p || !p->connected)
		return;
	greet(r, p);
	for (const struct gossip_link *l = p->links; l; l = l->peer_next) {
		struct duration left = instant_since(l->backoff_until, r->now);
		if (l->mesh)
			gossip_put_graft(gossip_control(r, p), gossip_topic_name(l->topic));
		else if (l->topic->subscribed && left.ns > 0 && p->protocol != GOSSIP_FLOODSUB)
			gossip_put_prune(gossip_control(r, p), gossip_topic_name(l->topic),
			    1 + (uint64_t)(left.ns / 1000000000), NULL, 0);
	}
	gossip_flush(r);
}

static bool in_backoff(const struct gossip_router *r, const struct gossip_peer *p)
{
	for (const struct gossip_link *l = p->links; l; l = l->peer_next)
		if (instant_before(r->now, l->backoff_until))
			return true;
	return false;
}

void gossip_router_disconnect(struct gossip_router *r, const struct peer_id *id, struct instant now)
{
	struct gossip_peer *p = gossip_peer_find(r, id);

	r->now = now;
	if (!p || !p->connected)
		return;
	for (struct gossip_link *l = p->links; l; l = l->peer_next) {
		if (l->mesh)
			gossip_score_pruned(r, l);
		l->mesh = l->fanout = l->subscribed = false;
	}
	gossip_score_gone(r, p);
	gossip_score_address(r, p, -1);
	p->connected = false;
	p->user = NULL;
	p->gone = now;
	p->n_promises = 0;
	gossip_forget_unwanted(p);
	r->n_connected--;
}

/* A link that says nothing any more. */
static bool is_idle(const struct gossip_router *r, const struct gossip_link *l)
{
	return !l->subscribed && !l->mesh && !l->fanout && l->first == 0 && l->delivered == 0 &&
	       l->failed == 0 && l->invalid == 0 && !instant_before(r->now, l->backoff_until);
}

void gossip_forget_peers(struct gossip_router *r)
{
	struct gossip_peer *p, *next;

	HASH_ITER (hh, r->peers, p, next) {
		for (struct gossip_link **at = &p->links; *at;)
			if (is_idle(r, *at))
				free_link(r, at);
			else
				at = &(*at)->peer_next;
		if (!p->connected && (instant_since(r->now, p->gone).ns >= r->score.retain.ns ||
					 (gossip_score(r, p) >= 0 && !in_backoff(r, p))))
			free_peer(r, p);
	}
}

void gossip_router_set_app_score(struct gossip_router *r, const struct peer_id *peer, double score)
{
	struct gossip_peer *p = gossip_peer_find(r, peer);

	if (!p)
		return;
	p->app = score;
	p->score_stale = true;
}

/* ---- topics -------------------------------------------------------------------------------- */

struct gossip_topic *gossip_topic_find(const struct gossip_router *r, struct bytes name)
{
	struct gossip_topic *t = NULL;

	if (name.n > 0 && name.n <= GOSSIP_TOPIC_MAX)
		HASH_FIND_BYHASHVALUE(hh, r->topics, name.p, name.n, hash_of(r, name), t);
	return t;
}

/* The links' topic goes with the last of them. */
static void forget_topic(struct gossip_router *r, struct gossip_topic *t)
{
	for (size_t left = t->n_links; left > 0; left--) {
		struct gossip_link **at = &t->links->peer->links;
		while (*at != t->links)
			at = &(*at)->peer_next;
		free_link(r, at);
	}
}

/* A place for one of ours: the topic goes that concerns the fewest peers. */
static bool topic_room(struct gossip_router *r)
{
	struct gossip_topic *t, *next, *least = NULL;

	if (r->n_topics < GOSSIP_KNOWN_TOPICS)
		return true;
	HASH_ITER (hh, r->topics, t, next)
		if (!t->subscribed && t->fanout_until.ns == 0 &&
		    (!least || t->n_links < least->n_links))
			least = t;
	if (least)
		forget_topic(r, least);
	return least != NULL;
}

struct gossip_topic *gossip_topic_get(struct gossip_router *r, struct bytes name)
{
	struct gossip_topic *t = gossip_topic_find(r, name);

	if (t || name.n == 0 || name.n > GOSSIP_TOPIC_MAX || !topic_room(r))
		return t;
	t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	memcpy(t->name, name.p, name.n);
	t->name_n = (uint8_t)name.n;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, r->topics, t->name, name.n, hash_of(r, name), t);
	if (!t->hh.tbl) {
		free(t);
		return NULL;
	}
	t->number = ++r->next_topic;
	gossip_topic_params_default(&t->params);
	r->n_topics++;
	return t;
}

void gossip_topic_drop(struct gossip_router *r, struct gossip_topic *t)
{
	if (t->subscribed || t->fanout_until.ns != 0 || t->links)
		return;
	HASH_DEL(r->topics, t);
	r->n_topics--;
	free(t);
}

struct gossip_link *gossip_link_find(const struct gossip_peer *p, const struct gossip_topic *topic)
{
	struct gossip_link *l = p->links;

	while (l && l->topic != topic)
		l = l->peer_next;
	return l;
}

struct gossip_link *gossip_link_get(
    struct gossip_router *r, struct gossip_peer *p, struct gossip_topic *t)
{
	struct gossip_link *l = gossip_link_find(p, t);

	if (l || p->n_links >= GOSSIP_LINKS_MAX || (l = calloc(1, sizeof *l)) == NULL)
		return l;
	l->peer = p;
	l->topic = t;
	l->peer_next = p->links;
	p->links = l;
	p->n_links++;
	l->topic_next = t->links;
	if (t->links)
		t->links->topic_prev = l;
	t->links = l;
	t->n_links++;
	l->pruned = (struct instant){INT64_MIN / 2};
	return l;
}

static void tell_all(struct gossip_router *r, enum gossip_item_kind kind, struct gossip_topic *t)
{
	struct gossip_peer *p, *next;

	HASH_ITER (hh, r->peers, p, next)
		if (p->connected)
			gossip_put_subscription(gossip_control(r, p), kind, gossip_topic_name(t));
}

static int check_topic(struct bytes topic, struct err *err)
{
	if (topic.n == 0 || topic.n > GOSSIP_TOPIC_MAX)
		return err_set(err, E_INVALID, "a topic has 1 to %d bytes", GOSSIP_TOPIC_MAX);
	return 0;
}

int gossip_router_subscribe(struct gossip_router *r, struct bytes topic,
    const struct gossip_topic_params *params, struct instant now, struct err *err)
{
	struct gossip_topic *t;
	int rc = check_topic(topic, err);

	r->now = now;
	if (rc == 0 && params)
		rc = gossip_topic_params_check(params, err);
	if (rc != 0)
		return rc;
	if (r->n_own >= GOSSIP_TOPICS_MAX || (t = gossip_topic_get(r, topic)) == NULL)
		return err_set(err, E_LIMIT, "too many topics");
	if (t->subscribed)
		return err_set(err, E_EXISTS, "subscribed already");
	t->subscribed = true;
	r->n_own++;
	if (params)
		t->params = *params;
	tell_all(r, GOSSIP_SUBSCRIBE, t);
	gossip_mesh_join(r, t);
	gossip_flush(r);
	return 0;
}

void gossip_router_unsubscribe(struct gossip_router *r, struct bytes topic, struct instant now)
{
	struct gossip_topic *t = gossip_topic_find(r, topic);

	r->now = now;
	if (!t || !t->subscribed)
		return;
	gossip_mesh_leave(r, t);
	t->subscribed = false;
	r->n_own--;
	tell_all(r, GOSSIP_UNSUBSCRIBE, t);
	gossip_flush(r);
	gossip_topic_drop(r, t);
}

/* ---- messages ------------------------------------------------------------------------------ */

static int compose(struct gossip_router *r, struct bytes topic, struct bytes data,
    struct gossip_frame **out, struct err *err)
{
	uint8_t seqno[GOSSIP_SEQNO_SIZE];
	struct buf raw = BUF_INIT(GOSSIP_RPC_MAX);

	put_u64be(seqno, ++r->seqno);
	gossip_sign(&r->identity, topic, data, seqno, &raw);
	int rc = buf_ok(&raw, err);
	*out = rc == 0 ? gossip_frame_of_message(buf_view(&raw)) : NULL;
	buf_free(&raw);
	return rc == 0 && !*out ? err_set(err, E_MEMORY, "no memory for a message") : rc;
}

int gossip_router_publish(struct gossip_router *r, struct bytes topic, struct bytes data,
    struct instant now, struct err *err)
{
	struct gossip_frame *f = NULL;
	struct gossip_entry *e = NULL;
	struct gossip_topic *t;
	struct gossip_id id;
	int rc = check_topic(topic, err);

	r->now = now;
	if (rc == 0 && data.n > GOSSIP_DATA_MAX)
		rc = err_set(err, E_TOO_LARGE, "a message of %zu bytes", data.n);
	if (rc == 0)
		rc = compose(r, topic, data, &f, err);
	if (rc != 0)
		return rc;
	t = gossip_topic_get(r, topic);
	if (t && gossip_id_of_message(&f->msg, &id))
		e = gossip_remember(r, &id, t, f);
	if (!e) {
		gossip_frame_unref(f);
		return err_set(err, E_LIMIT, "too many topics, or messages under way");
	}
	gossip_settle(r, e, GOSSIP_ACCEPTED);
	gossip_forward(r, t, e, true);
	gossip_flush(r);
	return 0;
}

static void deliver(struct gossip_router *r, struct gossip_peer *p, struct gossip_entry *e)
{
	struct gossip_out *out = gossip_decide(r, GOSSIP_OUT_DELIVER);
	const struct gossip_message *m = &e->frame->msg;

	if (!out)
		return;
	out->peer = p->id;
	out->frame = gossip_frame_ref(e->frame);
	out->id = e->id;
	out->message = (struct p2p_gossip_message){
	    .source = p->id, .topic = m->topic, .data = m->data, .seqno = m->seqno};
	memcpy(out->message.from.bytes, m->from.p, m->from.n);
	out->message.from.n = (uint8_t)m->from.n;
}

static int check_signature(struct gossip_router *r, const struct gossip_message *m)
{
	if (r->opt.verify)
		return r->opt.verify(r->opt.arg, m);
	if (!r->authors && ed25519_keys_new(GOSSIP_AUTHORS_MAX, &r->authors, NULL) != 0)
		return E_MEMORY;
	return gossip_verify_with(r->authors, m, NULL);
}

/* Only what is signed is remembered: a forgery must not shut out the message that it imitates. */
static void accept_new(struct gossip_router *r, struct gossip_peer *p, struct gossip_topic *t,
    const struct gossip_message *m, const struct gossip_id *id)
{
	struct gossip_frame *f;
	struct gossip_entry *e;
	int rc = check_signature(r, m);

	if (rc != 0) {
		if (rc != E_MEMORY)
			gossip_score_invalid(r, p, t);
		return;
	}
	f = gossip_frame_of_message(m->raw);
	e = f ? gossip_remember(r, id, t, f) : NULL;
	if (!e) {
		gossip_frame_unref(f);
		p->n_promises = 0; /* not its fault */
		return;
	}
	e->senders[e->n_senders++] = p->serial;
	gossip_tell_unwanted(r, p, t, e);
	deliver(r, p, e);
}

static void take_message(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_message *m)
{
	struct gossip_topic *t = gossip_topic_find(r, m->topic);
	struct gossip_entry *e;
	struct gossip_id id;

	if (!t || !t->subscribed || !gossip_link_get(r, p, t))
		return;
	if (!gossip_id_of_message(m, &id)) {
		gossip_score_invalid(r, p, t);
		return;
	}
	if (bytes_equal(m->from, peer_id_bytes(&r->identity.peer_id)))
		return; /* our own, coming back */
	e = gossip_seen(r, &id);
	if (e)
		gossip_score_duplicate(r, p, e);
	else if (r->n_pending < GOSSIP_PENDING_MAX)
		accept_new(r, p, t, m, &id);
	else
		p->n_promises = 0; /* we are too slow; not its fault */
}

void gossip_router_verdict(struct gossip_router *r, const struct gossip_id *id,
    enum gossip_verdict verdict, struct instant now)
{
	struct gossip_entry *e = gossip_seen(r, id);
	struct gossip_topic *t;

	r->now = now;
	if (!e || e->status != GOSSIP_PENDING)
		return;
	switch (verdict) {
	case GOSSIP_ACCEPT:
		gossip_score_first(r, e);
		gossip_settle(r, e, GOSSIP_ACCEPTED);
		t = gossip_topic_find(r, e->frame->msg.topic);
		if (t && t->subscribed)
			gossip_forward(r, t, e, false);
		break;
	case GOSSIP_IGNORE:
		gossip_settle(r, e, GOSSIP_IGNORED);
		break;
	case GOSSIP_REJECT:
		gossip_score_rejected(r, e);
		gossip_settle(r, e, GOSSIP_REJECTED);
		break;
	}
	gossip_flush(r);
}

/* ---- RPCs ---------------------------------------------------------------------------------- */

/* Of what is left, a peer brings as much as it leaves to the others. */
static struct gossip_topic *topic_of_peer(
    struct gossip_router *r, const struct gossip_peer *p, struct bytes name)
{
	struct gossip_topic *t = gossip_topic_find(r, name);

	return t || r->n_topics + p->n_links >= GOSSIP_PEER_TOPICS ? t : gossip_topic_get(r, name);
}

static void take_subscription(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	bool wanted = item->kind == GOSSIP_SUBSCRIBE;
	struct gossip_topic *t =
	    wanted ? topic_of_peer(r, p, item->topic) : gossip_topic_find(r, item->topic);
	struct gossip_link *l = NULL;

	if (t)
		l = wanted ? gossip_link_get(r, p, t) : gossip_link_find(p, t);
	if (t && !l)
		gossip_topic_drop(r, t);
	if (!l)
		return;
	if (wanted && !l->subscribed)
		l->joined = r->now;
	l->subscribed = wanted;
	if (!wanted && l->mesh) {
		l->mesh = false;
		gossip_score_pruned(r, l);
	}
	l->fanout &= wanted;
}

static bool is_deaf_to(const struct gossip_router *r, struct gossip_peer *p)
{
	return !p->direct && gossip_score(r, p) < r->score.graylist_threshold;
}

static void take_item(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item)
{
	switch (item->kind) {
	case GOSSIP_SUBSCRIBE:
	case GOSSIP_UNSUBSCRIBE:
		take_subscription(r, p, item);
		return;
	case GOSSIP_PUBLISH:
		take_message(r, p, &item->msg);
		return;
	case GOSSIP_IHAVE:
	case GOSSIP_IWANT:
	case GOSSIP_GRAFT:
	case GOSSIP_PRUNE:
	case GOSSIP_IDONTWANT:
		if (gossip_speaks_mesh(p))
			gossip_take_control(r, p, item);
	}
}

int gossip_router_receive(struct gossip_router *r, const struct peer_id *peer, struct bytes rpc,
    struct instant now, struct err *err)
{
	struct gossip_peer *p = gossip_peer_find(r, peer);
	struct gossip_walk w = gossip_walk_of(rpc);
	struct gossip_item item;
	int rc;

	r->now = now;
	if (!p || !p->connected)
		return err_set(err, E_NOT_FOUND, "not a gossip peer");
	if (is_deaf_to(r, p))
		return 0;
	rc = gossip_rpc_check(rpc, err);
	if (rc < 0) {
		gossip_penalize(p, 1);
		return rc;
	}
	/* Each forged message costs a signature check, so the patience is measured anew each time.
	 */
	while (!is_deaf_to(r, p) && gossip_walk_next(&w, &item, NULL) > 0)
		take_item(r, p, &item);
	gossip_flush(r);
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int allocate(struct gossip_router *r, const struct gossip_router_options *opt)
{
	r->slots = calloc(opt->peers_max, sizeof *r->slots);
	r->scratch = calloc(opt->peers_max, sizeof *r->scratch);
	r->scratch2 = calloc(opt->peers_max, sizeof *r->scratch2);
	r->direct = calloc(opt->n_direct + 1, sizeof *r->direct);
	if (!r->slots || !r->scratch || !r->scratch2 || !r->direct)
		return E_MEMORY;
	if (opt->n_direct)
		memcpy(r->direct, opt->direct, opt->n_direct * sizeof *r->direct);
	return 0;
}

int gossip_router_new(const struct gossip_router_options *opt, struct instant now,
    struct gossip_router **out, struct err *err)
{
	struct gossip_router *r;
	int rc = gossip_params_check(&opt->params, err);

	if (rc == 0)
		rc = gossip_score_params_check(&opt->score, err);
	if (rc != 0)
		return rc;
	if (opt->peers_max == 0 || opt->peers_max > 1u << 20)
		return err_set(err, E_INVALID, "gossip: peers_max %zu", opt->peers_max);
	r = calloc(1, sizeof *r);
	if (!r || allocate(r, opt) != 0) {
		gossip_router_free(r);
		return err_set(err, E_MEMORY, "no memory for a gossip router");
	}
	r->params = opt->params;
	r->score = opt->score;
	r->opt = *opt;
	r->identity = *opt->identity;
	r->random = opt->seed;
	r->seqno = opt->first_seqno;
	r->now = r->decayed = now;
	for (size_t i = 0; i < sizeof r->hash_key; i++)
		r->hash_key[i] = (uint8_t)(gossip_random(r) >> 32);
	*out = r;
	return 0;
}

void gossip_router_free(struct gossip_router *r)
{
	struct gossip_peer *p, *next_peer;
	struct gossip_topic *t, *next_topic;
	struct gossip_out out;

	if (!r)
		return;
	while (gossip_router_next(r, &out))
		gossip_out_free(&out);
	HASH_ITER (hh, r->peers, p, next_peer)
		free_peer(r, p);
	HASH_ITER (hh, r->topics, t, next_topic) {
		t->subscribed = false;
		t->fanout_until = (struct instant){0};
		gossip_topic_drop(r, t);
	}
	gossip_cache_free(r);
	identity_wipe(&r->identity);
	ed25519_keys_free(r->authors);
	free(r->slots);
	free(r->scratch);
	free(r->scratch2);
	free(r->direct);
	free(r);
}
