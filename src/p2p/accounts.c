/* See accounts_priv.h.
 *
 * Under pressure strangers' idle streams give way, the longest idle first; then the quietest stream
 * of whoever has at least twice as much as the one that asks. Room is taken only from strangers
 * that have more than who asks, so a flood cannot push others out. */
#include "p2p/accounts_priv.h"
#include "p2p/session_inner_priv.h"

/* A stream on which nothing moved for so long gives way when there is no room. */
#define GIVES_WAY_S 5
/* Streams looked at for one that holds memory. */
#define LOOK_AT_MAX 32

static bool is_open(const struct account *a)
{
	return a && a->resources;
}

static bool stranger(const struct account *a)
{
	return a->peer->class == RES_STRANGER;
}

static struct ystream *stream_of(struct res_idle *item)
{
	return (struct ystream *)((uint8_t *)item - offsetof(struct ystream, idle));
}

static struct ystream *member_of(struct res_idle *item)
{
	return (struct ystream *)((uint8_t *)item - offsetof(struct ystream, member));
}

static struct account *account_of(struct res_idle *item)
{
	return (struct account *)((uint8_t *)item - offsetof(struct account, of_peer));
}

/* ---- life ---------------------------------------------------------------------------------- */

/* A connection without streams is idle. */
static void settle_place(struct account *a)
{
	if (a->place && !a->open.oldest && stranger(a))
		res_touch(&a->resources->idle_conns, &a->idle, rt_now());
	else
		res_unlist(&a->resources->idle_conns, &a->idle);
}

int account_open(struct account *a, struct resources *r, struct res_peer *peer, bool inbound,
    bool carried, struct err *err)
{
	enum res_answer answer = inbound ? resources_take(r, peer, RES_CONNS, 1) : RES_TAKEN;

	*a = (struct account){.carried = carried};
	if (answer != RES_TAKEN)
		return resources_explain(r, peer, RES_CONNS, answer, err);
	a->resources = r;
	a->peer = peer;
	a->place = inbound;
	res_touch(&peer->accounts, &a->of_peer, rt_now());
	settle_place(a);
	return 0;
}

void account_give_place(struct account *a)
{
	if (!is_open(a) || !a->place)
		return;
	resources_give(a->resources, a->peer, RES_CONNS, 1);
	a->place = false;
	settle_place(a);
}

void account_close(struct account *a)
{
	if (!is_open(a))
		return;
	account_give_place(a);
	account_streams_end(a);
	resources_give(a->resources, a->peer, RES_STREAMS, a->streams);
	resources_give(a->resources, a->peer, RES_MEMORY, a->memory);
	res_unlist(&a->peer->accounts, &a->of_peer);
	*a = (struct account){0};
}

/* ---- who gives way ------------------------------------------------------------------------- */

/* Those whose peers became known meanwhile leave the list here. */
static struct ystream *idlest(struct resources *r, struct duration least)
{
	struct res_idle *item;

	while ((item = r->idle_streams.oldest)) {
		struct ystream *ys = stream_of(item);
		if (stranger(ys->session->opt.account))
			return instant_since(rt_now(), item->since).ns >= least.ns ? ys : NULL;
		res_unlist(&r->idle_streams, item);
	}
	return NULL;
}

struct account *account_idlest(
    struct resources *r, struct duration least, bool (*may)(const struct account *a))
{
	struct ystream *ys = idlest(r, least);
	struct res_idle *item = ys ? &ys->idle : NULL;

	for (int i = 0; item && i < LOOK_AT_MAX; i++, item = item->newer) {
		struct account *a = stream_of(item)->session->opt.account;
		if (instant_since(rt_now(), item->since).ns < least.ns)
			return NULL;
		if (stranger(a) && may(a))
			return a;
	}
	return NULL;
}

static void put_out(struct ystream *ys, enum res_kind kind)
{
	struct account *a = ys->session->opt.account;

	a->resources->evicted[kind]++;
	account_stream_end(a, ys);
	stream_reset(&ys->stream, E_LIMIT);
}

/* Whether resetting it would give back some of `kind`. */
static bool holds(const struct ystream *ys, enum res_kind kind)
{
	return ys->inbound && (kind == RES_STREAMS || ys->in.cap > 0);
}

/* Of all strangers' streams the one that is idle for longest. */
static struct ystream *idle_victim(const struct account *a, enum res_kind kind)
{
	struct ystream *ys = idlest(a->resources, duration_s(GIVES_WAY_S));
	struct res_idle *item = ys ? &ys->idle : NULL;

	for (int i = 0; item && i < LOOK_AT_MAX; i++, item = item->newer) {
		const struct account *other = stream_of(item)->session->opt.account;
		if (instant_since(rt_now(), item->since).ns < duration_s(GIVES_WAY_S).ns)
			return NULL;
		if (holds(stream_of(item), kind) && stranger(other) &&
		    (!stranger(a) || other->peer->used[kind] > a->peer->used[kind]))
			return stream_of(item);
	}
	return NULL;
}

/* Of the peer that has by far the most, the one on which nothing moved for longest. */
static struct ystream *greedy_victim(const struct account *a, enum res_kind kind, uint64_t n)
{
	uint64_t mine = stranger(a) ? a->peer->used[kind] : 0;
	const struct res_peer *p = resources_greediest(a->resources, kind, 2 * (mine + n));

	for (struct res_idle *of = p ? p->accounts.oldest : NULL; of; of = of->newer) {
		struct res_idle *item = account_of(of)->open.oldest;
		for (int i = 0; item && i < LOOK_AT_MAX; i++, item = item->newer)
			if (holds(member_of(item), kind))
				return member_of(item);
	}
	return NULL;
}

static enum res_answer take(struct account *a, enum res_kind kind, uint64_t n)
{
	enum res_answer answer = resources_judge(a->resources, a->peer, kind, n);

	while (answer == RES_OVER_STRANGERS || answer == RES_OVER_TOTAL) {
		struct ystream *ys = idle_victim(a, kind);
		if (!ys)
			ys = greedy_victim(a, kind, n);
		if (!ys)
			break;
		put_out(ys, kind);
		answer = resources_judge(a->resources, a->peer, kind, n);
	}
	return resources_take(a->resources, a->peer, kind, n);
}

/* ---- streams ------------------------------------------------------------------------------- */

int account_stream_begin(struct account *a, struct ystream *ys, struct err *err)
{
	if (!is_open(a))
		return 0;
	if (ys->inbound) {
		enum res_answer answer = take(a, RES_STREAMS, 1);
		if (answer != RES_TAKEN)
			return resources_explain(a->resources, a->peer, RES_STREAMS, answer, err);
		a->streams++;
	}
	res_touch(&a->open, &ys->member, rt_now());
	account_stream_moved(a, ys);
	settle_place(a);
	return 0;
}

void account_stream_end(struct account *a, struct ystream *ys)
{
	if (!is_open(a) || !ys->member.listed)
		return;
	res_unlist(&a->open, &ys->member);
	res_unlist(&a->resources->idle_streams, &ys->idle);
	if (ys->inbound) {
		a->streams--;
		resources_give(a->resources, a->peer, RES_STREAMS, 1);
	}
	settle_place(a);
}

void account_streams_end(struct account *a)
{
	while (is_open(a) && a->open.oldest)
		account_stream_end(a, member_of(a->open.oldest));
}

void account_stream_moved(struct account *a, struct ystream *ys)
{
	struct instant now;

	if (!is_open(a) || !ys->member.listed)
		return;
	now = rt_now();
	res_touch(&a->open, &ys->member, now);
	if (ys->inbound && stranger(a))
		res_touch(&a->resources->idle_streams, &ys->idle, now);
}

void account_settle(struct account *a)
{
	if (!is_open(a))
		return;
	for (struct res_idle *item = a->open.oldest; item && stranger(a); item = item->newer)
		if (member_of(item)->inbound)
			res_touch(&a->resources->idle_streams, &member_of(item)->idle, rt_now());
	settle_place(a);
}

/* ---- memory and bytes ---------------------------------------------------------------------- */

void account_shrink(struct account *a, size_t from, size_t to)
{
	if (!is_open(a) || to >= from)
		return;
	INVARIANT(a->memory >= from - to);
	a->memory -= from - to;
	resources_give(a->resources, a->peer, RES_MEMORY, from - to);
}

bool account_resize(struct account *a, size_t from, size_t to)
{
	if (!is_open(a) || to <= from) {
		account_shrink(a, from, to);
		return true;
	}
	if (take(a, RES_MEMORY, to - from) != RES_TAKEN)
		return false;
	a->memory += to - from;
	return true;
}

struct duration account_pay(struct account *a, enum res_direction way, uint64_t n)
{
	if (!is_open(a) || a->carried)
		return (struct duration){0};
	return resources_pay(a->resources, a->peer, way, n, rt_now());
}
