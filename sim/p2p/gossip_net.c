/* See gossip_net.h. The story of each seed: connections in the first two seconds, ten seconds to
 * settle, messages from honest nodes, then a partition into halves for ten seconds, ten heartbeats
 * to heal, and more messages. */
#include "sim/p2p/gossip_net.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS       2000
#define SETTLE_S         10
#define PUBLISH_EVERY_MS 500
#define QUIET_S          8  /* after the last message, for gossip to find those who lack it */
#define CUT_S            10 /* of partition */
#define HEAL_BEATS       10
#define VICTIMS          100 /* one node in so many is crowded around */
#define DATA_SIZE        4

uint64_t net_random(struct net *n)
{
	uint64_t z = n->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool chance(struct net *n, double p)
{
	return (double)(net_random(n) >> 11) * 0x1p-53 < p;
}

static void must(bool ok)
{
	if (!ok)
		BUG("the simulator is out of memory, or an RPC of its own is too long");
}

static void fail(struct net *n, const char *text, unsigned a, unsigned b)
{
	if (!n->failure[0])
		(void)snprintf(n->failure, sizeof n->failure, "after %.3f s: %s (%u, %u)",
		    (double)n->now.ns / 1e9, text, a, b);
}

/* FNV-1a over what was decided. */
static void note(struct net *n, uint64_t what)
{
	for (int i = 0; i < 8; i++, what >>= 8)
		n->hash = (n->hash ^ (what & 0xff)) * 0x100000001b3u;
}

/* ---- events -------------------------------------------------------------------------------- */

static bool sooner(const struct net_event *a, const struct net_event *b)
{
	return a->at.ns != b->at.ns ? a->at.ns < b->at.ns : a->seq < b->seq;
}

static void post(struct net *n, struct net_event e)
{
	size_t i = n->n_heap++;

	if (n->n_heap > n->heap_cap) {
		n->heap_cap = n->heap_cap ? n->heap_cap * 2 : 1024;
		n->heap = realloc(n->heap, n->heap_cap * sizeof *n->heap);
		must(n->heap != NULL);
	}
	e.seq = n->seq++;
	for (; i > 0 && sooner(&e, &n->heap[(i - 1) / 2]); i = (i - 1) / 2)
		n->heap[i] = n->heap[(i - 1) / 2];
	n->heap[i] = e;
}

static struct net_event next_event(struct net *n)
{
	struct net_event first = n->heap[0], last = n->heap[--n->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < n->n_heap) {
		if (child + 1 < n->n_heap && sooner(&n->heap[child + 1], &n->heap[child]))
			child++;
		if (!sooner(&n->heap[child], &last))
			break;
		n->heap[i] = n->heap[child];
		i = child;
	}
	n->heap[i] = last;
	return first;
}

static struct instant in_ms(const struct net *n, uint64_t ms)
{
	return instant_add(n->now, duration_ms((int64_t)ms));
}

/* ---- links --------------------------------------------------------------------------------- */

/* When an RPC sent now arrives: never before the one sent earlier. */
static struct instant arrival(struct net *n, struct net_link *l, unsigned from)
{
	struct instant *last = &l->arrival[from == l->b];
	uint64_t span = n->opt.latency_max_ms - n->opt.latency_min_ms + 1;
	struct instant at = in_ms(n, n->opt.latency_min_ms + net_random(n) % span);

	if (instant_before(at, *last))
		at = *last;
	*last = at;
	return at;
}

void net_send_raw(struct net *n, struct net_link *l, unsigned from, struct buf *rpc)
{
	must(!rpc->failed);
	if (chance(n, n->opt.drop)) {
		buf_free(rpc);
		return;
	}
	post(n, (struct net_event){.at = arrival(n, l, from),
		    .kind = EVENT_RPC,
		    .node = net_other(l, from),
		    .link = l,
		    .epoch = l->epoch,
		    .raw = *rpc});
}

static struct net_link *link_between(const struct net_node *a, unsigned node, unsigned other)
{
	for (size_t i = 0; i < a->n_links; i++)
		if (net_other(a->links[i], node) == other)
			return a->links[i];
	return NULL;
}

/* As the service does: what control could not be sent is told anew. */
static void send_frame(struct net *n, unsigned from, const struct gossip_out *out)
{
	struct net_node *peer = out->user;
	unsigned to = (unsigned)(peer - n->nodes);
	struct net_link *l = link_between(&n->nodes[from], from, to);

	if (!l || !l->up)
		return;
	if (!chance(n, n->opt.drop)) {
		post(n, (struct net_event){.at = arrival(n, l, from),
			    .kind = EVENT_RPC,
			    .node = to,
			    .link = l,
			    .epoch = l->epoch,
			    .frame = gossip_frame_ref(out->frame)});
	} else if (out->control && !l->renew_due[from == l->b]) {
		l->renew_due[from == l->b] = true;
		post(n, (struct net_event){.at = in_ms(n, 1000),
			    .kind = EVENT_RENEW,
			    .node = from,
			    .link = l,
			    .epoch = l->epoch});
	}
}

/* ---- routers ------------------------------------------------------------------------------- */

static void take_message(struct net *n, unsigned node, const struct gossip_out *out)
{
	const struct p2p_gossip_message *m = &out->message;
	const struct net_node *source = NULL;
	struct net_node *self = &n->nodes[node];
	uint32_t number = m->data.n == DATA_SIZE ? get_u32be(m->data.p) : UINT32_MAX;

	for (size_t i = 0; i < self->n_links && !source; i++) {
		const struct net_node *other = &n->nodes[net_other(self->links[i], node)];
		if (peer_id_equal(&other->id.peer_id, &out->peer))
			source = other;
	}
	if (number >= n->published || !source || source->role != ROLE_HONEST) {
		n->forged_taken++;
		return;
	}
	n->taken_twice += self->hops[number] != HOP_NONE;
	self->hops[number] = (uint8_t)(source->hops[number] + 1);
	note(n, (uint64_t)n->now.ns ^ (uint64_t)node << 40 ^ number);
}

static void drain(struct net *n, unsigned node)
{
	struct gossip_router *r = n->nodes[node].router;
	struct gossip_out out;

	while (gossip_router_next(r, &out)) {
		if (out.kind == GOSSIP_OUT_SEND) {
			send_frame(n, node, &out);
		} else if (out.kind == GOSSIP_OUT_DELIVER) {
			take_message(n, node, &out);
			gossip_router_verdict(r, &out.id, GOSSIP_ACCEPT, n->now);
		}
		gossip_out_free(&out);
	}
}

/* The bit that stands for a signature. */
static int verify_bit(void *arg, const struct gossip_message *m)
{
	static const uint8_t zeros[ED25519_SIGNATURE_SIZE];

	return m->signature.n == sizeof zeros && memcmp(m->signature.p, zeros, sizeof zeros) != 0
		   ? 0
		   : E_BAD_SIGNATURE;
}

static void new_router(struct net *n, struct net_node *node)
{
	struct gossip_router_options opt = {
	    .identity = &node->id, .seed = net_random(n), .peers_max = 512, .verify = verify_bit};

	gossip_params_default(&opt.params);
	gossip_score_params_default(&opt.score);
	must(gossip_router_new(&opt, n->now, &node->router, NULL) == 0);
	must(gossip_router_subscribe(node->router, bytes_str(NET_TOPIC), NULL, n->now, NULL) == 0);
}

/* ---- connections --------------------------------------------------------------------------- */

static void connect_end(struct net *n, struct net_link *l, unsigned node)
{
	struct net_node *self = &n->nodes[node], *peer = &n->nodes[net_other(l, node)];
	struct gossip_connect c = {.peer = peer->id.peer_id,
	    .protocol = GOSSIP_MESHSUB_11,
	    .direction = node == l->a ? P2P_OUTBOUND : P2P_INBOUND,
	    .ip = bytes_of(peer->ip, sizeof peer->ip),
	    .user = peer};

	if (self->role != ROLE_HONEST)
		attack_greet(n, node, l);
	else if (gossip_router_connect(self->router, &c, n->now, NULL) == 0)
		drain(n, node);
}

static void link_up(struct net *n, struct net_link *l)
{
	if (l->up)
		return;
	l->up = true;
	l->renew_due[0] = l->renew_due[1] = false;
	connect_end(n, l, l->a);
	connect_end(n, l, l->b);
}

static void link_down(struct net *n, struct net_link *l)
{
	const unsigned ends[2] = {l->a, l->b};

	l->up = false;
	l->epoch++;
	for (int i = 0; i < 2; i++) {
		struct net_node *self = &n->nodes[ends[i]];
		if (self->role == ROLE_HONEST)
			gossip_router_disconnect(
			    self->router, &n->nodes[net_other(l, ends[i])].id.peer_id, n->now);
	}
}

static void attach_link(struct net_node *node, struct net_link *l)
{
	if (node->n_links == node->cap) {
		node->cap = node->cap ? node->cap * 2 : 16;
		node->links = realloc(node->links, node->cap * sizeof(struct net_link *));
		must(node->links != NULL);
	}
	node->links[node->n_links++] = l;
}

static void dial(struct net *n, unsigned a, unsigned b)
{
	if (a == b || link_between(&n->nodes[a], a, b) || n->n_links == n->links_cap)
		return;
	struct net_link *l = &n->links[n->n_links++];
	*l = (struct net_link){.a = a, .b = b};
	attach_link(&n->nodes[a], l);
	attach_link(&n->nodes[b], l);
	post(n, (struct net_event){
		    .at = in_ms(n, net_random(n) % CONNECT_MS), .kind = EVENT_UP, .link = l});
}

/* ---- the beginning ------------------------------------------------------------------------- */

static unsigned n_byzantine(const struct net *n)
{
	return (unsigned)((double)n->opt.nodes * n->opt.byzantine);
}

static void make_node(struct net *n, unsigned i)
{
	struct net_node *node = &n->nodes[i];
	unsigned byzantine = n_byzantine(n);
	uint8_t seed[ED25519_SEED_SIZE];

	for (size_t at = 0; at < sizeof seed; at += 8)
		put_u64be(seed + at, net_random(n));
	identity_from_seed(seed, &node->id);
	node->role = i < byzantine ? (enum net_role)(ROLE_ECLIPSE + i % 5) : ROLE_HONEST;
	node->half = net_random(n) & 1;
	memset(node->hops, HOP_NONE, sizeof node->hops);
	put_u32be(node->ip, 0x0a000000 + i);
	if (node->role == ROLE_ECLIPSE)
		put_u32be(node->ip, 0x0b000000 + i / 100); /* twenty on one machine */
	if (node->role == ROLE_HONEST)
		new_router(n, node);
	post(n, (struct net_event){.at = in_ms(n, net_random(n) % 1000),
		    .kind = node->role == ROLE_HONEST ? EVENT_HEARTBEAT : EVENT_ATTACK,
		    .node = i});
}

/* The first honest node knows nobody but attackers: completely eclipsed. The next ones are crowded
 * around, and have friends. */
static void make_links(struct net *n)
{
	unsigned byzantine = n_byzantine(n), eclipsed = byzantine;
	unsigned victims = 1 + n->opt.nodes / VICTIMS;

	for (unsigned i = 0; i < n->opt.nodes; i++)
		for (unsigned k = 0; k < n->opt.dials; k++) {
			unsigned to = (unsigned)(net_random(n) % n->opt.nodes);
			if (i == eclipsed)
				to = (unsigned)(net_random(n) % byzantine);
			if (to != eclipsed || n->nodes[i].role != ROLE_HONEST)
				dial(n, i, to);
		}
	for (unsigned i = 0; i < byzantine; i++)
		for (unsigned v = 0; n->nodes[i].role == ROLE_ECLIPSE && v <= victims; v++)
			if (eclipsed + v < n->opt.nodes)
				dial(n, i, eclipsed + v);
}

static void mark_eclipsed(struct net *n)
{
	for (unsigned i = 0; i < n->opt.nodes; i++) {
		struct net_node *node = &n->nodes[i];
		node->eclipsed = true;
		for (size_t k = 0; k < node->n_links; k++)
			if (n->nodes[net_other(node->links[k], i)].role == ROLE_HONEST)
				node->eclipsed = false;
		n->honest += node->role == ROLE_HONEST && !node->eclipsed;
	}
}

static void plan(struct net *n)
{
	unsigned after = n->opt.messages / 4;
	int64_t cut_s = SETTLE_S + (int64_t)n->opt.messages * PUBLISH_EVERY_MS / 1000 + QUIET_S;

	n->n_messages = n->opt.messages + after;
	for (unsigned i = 0; i < n->n_messages; i++) {
		int64_t ms = SETTLE_S * 1000 + (int64_t)i * PUBLISH_EVERY_MS;
		if (i >= n->opt.messages)
			ms = (cut_s + CUT_S + HEAL_BEATS + 1) * 1000 +
			     (int64_t)(i - n->opt.messages) * PUBLISH_EVERY_MS;
		post(n, (struct net_event){
			    .at = {duration_ms(ms).ns}, .kind = EVENT_PUBLISH, .message = i});
	}
	post(n, (struct net_event){.at = {duration_s(cut_s).ns}, .kind = EVENT_CUT});
	for (int64_t i = 1; i <= HEAL_BEATS; i++)
		post(n, (struct net_event){.at = {duration_s(cut_s + CUT_S + i).ns},
			    .kind = EVENT_CHECK,
			    .message = (unsigned)i});
	n->end.ns = duration_s(cut_s + CUT_S + HEAL_BEATS + 1 + QUIET_S).ns +
		    (int64_t)after * duration_ms(PUBLISH_EVERY_MS).ns;
}

/* ---- the partition ------------------------------------------------------------------------- */

static void cut(struct net *n)
{
	for (size_t i = 0; i < n->n_links; i++) {
		struct net_link *l = &n->links[i];
		if (!l->up || n->nodes[l->a].half == n->nodes[l->b].half)
			continue;
		link_down(n, l);
		post(n, (struct net_event){.at = in_ms(n, CUT_S * 1000 + net_random(n) % 1000),
			    .kind = EVENT_UP,
			    .link = l});
	}
}

static bool mutual(const struct net *n, const struct net_link *l)
{
	const struct net_node *a = &n->nodes[l->a], *b = &n->nodes[l->b];

	return l->up && a->role == ROLE_HONEST && b->role == ROLE_HONEST &&
	       gossip_router_in_mesh(a->router, bytes_str(NET_TOPIC), &b->id.peer_id) &&
	       gossip_router_in_mesh(b->router, bytes_str(NET_TOPIC), &a->id.peer_id);
}

static unsigned root(unsigned *up, unsigned i)
{
	while (up[i] != i)
		i = up[i] = up[up[i]];
	return i;
}

/* Whether all the honest hang together through their meshes alone, and across the former cut. */
static bool healed(struct net *n)
{
	unsigned *up = calloc(n->opt.nodes, sizeof *up), parts = 0, across = 0;

	must(up != NULL);
	for (unsigned i = 0; i < n->opt.nodes; i++)
		up[i] = i;
	for (size_t i = 0; i < n->n_links; i++) {
		const struct net_link *l = &n->links[i];
		if (!mutual(n, l))
			continue;
		up[root(up, l->a)] = root(up, l->b);
		across += n->nodes[l->a].half != n->nodes[l->b].half;
	}
	for (unsigned i = 0; i < n->opt.nodes; i++)
		parts += up[i] == i && n->nodes[i].role == ROLE_HONEST && !n->nodes[i].eclipsed;
	free(up);
	return parts == 1 && across > 0;
}

static void check_healing(struct net *n, unsigned beats)
{
	if (n->heal_beats == 0 && healed(n))
		n->heal_beats = beats;
	else if (n->heal_beats == 0 && beats == HEAL_BEATS)
		fail(n, "the mesh has not healed", beats, 0);
}

/* ---- the story ----------------------------------------------------------------------------- */

static void publish(struct net *n, unsigned message)
{
	uint8_t data[DATA_SIZE];
	unsigned i;

	do
		i = (unsigned)(net_random(n) % n->opt.nodes);
	while (n->nodes[i].role != ROLE_HONEST || n->nodes[i].eclipsed);
	put_u32be(data, message);
	n->published = message + 1;
	n->nodes[i].hops[message] = 0;
	must(gossip_router_publish(n->nodes[i].router, bytes_str(NET_TOPIC),
		 bytes_of(data, sizeof data), n->now, NULL) == 0);
	drain(n, i);
}

static void arrive(struct net *n, struct net_event *e)
{
	struct net_node *self = &n->nodes[e->node];
	unsigned from = net_other(e->link, e->node);
	struct bytes rpc = e->frame ? gossip_frame_bytes(e->frame) : buf_view(&e->raw);

	if (e->frame) { /* its length goes before it */
		size_t head = rpc.n < 128 + 1 ? 1 : rpc.n < 16384 + 2 ? 2 : 3;
		rpc = bytes_of(rpc.p + head, rpc.n - head);
	}
	if (e->link->epoch != e->epoch)
		return;
	if (self->role != ROLE_HONEST) {
		attack_receive(n, e->node, rpc);
		return;
	}
	if (gossip_router_receive(self->router, &n->nodes[from].id.peer_id, rpc, n->now, NULL) ==
	    E_PROTOCOL)
		fail(n, "an RPC is malformed", from, e->node);
	drain(n, e->node);
}

static void again(struct net *n, const struct net_event *e)
{
	struct net_event next = *e;

	next.at = in_ms(n, 1000);
	post(n, next);
}

static void happen(struct net *n, struct net_event *e)
{
	struct net_node *self = &n->nodes[e->node];

	switch (e->kind) {
	case EVENT_RPC:
		arrive(n, e);
		return;
	case EVENT_HEARTBEAT:
		gossip_router_heartbeat(self->router, n->now);
		drain(n, e->node);
		again(n, e);
		return;
	case EVENT_ATTACK:
		attack_beat(n, e->node);
		again(n, e);
		return;
	case EVENT_RENEW:
		if (e->link->epoch != e->epoch)
			return;
		e->link->renew_due[e->node == e->link->b] = false;
		gossip_router_renew(
		    self->router, &n->nodes[net_other(e->link, e->node)].id.peer_id, n->now);
		drain(n, e->node);
		return;
	case EVENT_UP:
		link_up(n, e->link);
		return;
	case EVENT_PUBLISH:
		publish(n, e->message);
		return;
	case EVENT_CUT:
		cut(n);
		return;
	case EVENT_CHECK:
		check_healing(n, e->message);
		return;
	}
}

static void event_free(struct net_event *e)
{
	gossip_frame_unref(e->frame);
	buf_free(&e->raw);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void count_message(const struct net *n, unsigned message, struct net_result *out)
{
	unsigned have = 0, within = 0;

	for (unsigned i = 0; i < n->opt.nodes; i++) {
		const struct net_node *node = &n->nodes[i];
		if (node->role != ROLE_HONEST || node->eclipsed || node->hops[message] == HOP_NONE)
			continue;
		have++;
		within += node->hops[message] <= HOPS_WANTED;
		if (node->hops[message] > out->hops)
			out->hops = node->hops[message];
	}
	out->within += (double)within / n->honest / n->n_messages;
	out->finally += (double)have / n->honest / n->n_messages;
	if ((double)have / n->honest < out->worst)
		out->worst = (double)have / n->honest;
}

static void count(struct net *n, struct net_result *out)
{
	*out = (struct net_result){.worst = 1, .messages = n->n_messages, .honest = n->honest};
	for (unsigned i = 0; i < n->n_messages; i++)
		count_message(n, i, out);
	for (unsigned i = 0; i < n->opt.nodes; i++) {
		out->eclipsed += n->nodes[i].role == ROLE_HONEST && n->nodes[i].eclipsed;
		if (n->nodes[i].router)
			gossip_router_check(n->nodes[i].router);
	}
	if (n->forged_taken > 0)
		fail(n, "forged messages were taken", (unsigned)n->forged_taken, 0);
	if (n->taken_twice > 0)
		fail(n, "messages were taken twice", (unsigned)n->taken_twice, 0);
	out->heal_beats = n->heal_beats;
	out->hash = n->hash;
	out->events = n->events;
	memcpy(out->failure, n->failure, sizeof out->failure);
}

static void release(struct net *n)
{
	while (n->n_heap > 0)
		event_free(&n->heap[--n->n_heap]);
	for (unsigned i = 0; i < n->opt.nodes; i++) {
		gossip_router_free(n->nodes[i].router);
		free(n->nodes[i].links);
	}
	free(n->nodes);
	free(n->links);
	free(n->heap);
	free(n);
}

void net_play(const struct net_options *opt, struct net_result *out)
{
	struct net *n = calloc(1, sizeof *n);

	must(n != NULL);
	n->opt = *opt;
	n->random = opt->seed * 0x2545f4914f6cdd1du + 1;
	n->hash = 0xcbf29ce484222325u;
	n->links_cap = (size_t)opt->nodes * (opt->dials + 2u + opt->nodes / VICTIMS);
	n->nodes = calloc(opt->nodes, sizeof *n->nodes);
	n->links = calloc(n->links_cap, sizeof *n->links);
	must(n->nodes && n->links);
	for (unsigned i = 0; i < opt->nodes; i++)
		make_node(n, i);
	make_links(n);
	mark_eclipsed(n);
	plan(n);
	while (n->n_heap > 0 && !instant_before(n->end, n->heap[0].at)) {
		struct net_event e = next_event(n);
		n->now = e.at;
		n->events++;
		happen(n, &e);
		event_free(&e);
	}
	count(n, out);
	release(n);
}
