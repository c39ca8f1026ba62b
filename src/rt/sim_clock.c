/* Virtual time, the queue of events, chance, and the event log of the simulated world.
 *
 * Must stay true: time never goes back; events of one instant fire in the order in which they were
 * armed; every draw comes from the universe's or a host's generator. */
#include "rt/rt_priv.h"
#include "rt/sim_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define FNV_PRIME 0x100000001b3u

/* What a turn costs in which fibers run without waiting: so that loops that yield until a deadline
 * reach it. */
#define TURN_COST_NS 1000

/* How long a worker takes. */
static const struct duration work_min = {20 * 1000}, work_max = {500 * 1000};

/* Within a host: one way through its loopback interface or a Unix socket. */
static const struct duration local_min = {5 * 1000}, local_max = {50 * 1000};

void *sim_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		BUG("the simulation has no memory for %zu bytes", n);
	return p;
}

char *sim_strdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(sim_alloc(n), s, n);
}

/* ---- chance -------------------------------------------------------------------------------- */

static uint64_t rotated(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

void prng_seed(struct prng *p, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15u;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		p->s[i] = z ^ z >> 31;
	}
}

uint64_t prng_next(struct prng *p)
{
	uint64_t result = rotated(p->s[1] * 5, 7) * 9;
	uint64_t t = p->s[1] << 17;

	p->s[2] ^= p->s[0];
	p->s[3] ^= p->s[1];
	p->s[1] ^= p->s[2];
	p->s[0] ^= p->s[3];
	p->s[2] ^= t;
	p->s[3] = rotated(p->s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
	return (uint64_t)((unsigned __int128)prng_next(p) * n >> 64);
}

void prng_fill(struct prng *p, void *buf, size_t n)
{
	uint8_t *to = buf;

	while (n > 0) {
		uint8_t raw[8];
		size_t part = n < sizeof(raw) ? n : sizeof(raw);

		put_u64be(raw, prng_next(p));
		memcpy(to, raw, part);
		to += part;
		n -= part;
	}
}

struct duration sim_draw(struct universe *u, struct duration min, struct duration max)
{
	return (struct duration){
	    min.ns + (int64_t)prng_below(&u->prng, (uint64_t)(max.ns - min.ns) + 1)};
}

bool sim_lost(struct universe *u)
{
	return prng_below(&u->prng, 1000000) < u->opt.loss_ppm;
}

struct duration sim_latency(struct universe *u, const struct host *a, const struct host *b)
{
	if (a == b)
		return sim_draw(u, local_min, local_max);
	return sim_draw(u, u->opt.latency_min, u->opt.latency_max);
}

/* ---- the event log ------------------------------------------------------------------------- */

static void fold(struct universe *u, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		u->hash = (u->hash ^ b[i]) * FNV_PRIME;
}

static void fold_u64(struct universe *u, uint64_t v)
{
	uint8_t raw[8];

	put_u64be(raw, v);
	fold(u, raw, sizeof(raw));
}

static void fold_line(struct universe *u, const char *text)
{
	u->n_events++;
	fold_u64(u, (uint64_t)u->now.ns);
	fold(u, text, strlen(text));
}

void sim_note(struct universe *u, const char *verb, uint64_t a, uint64_t b, uint64_t c)
{
	char line[160];

	fold_line(u, verb);
	fold_u64(u, a);
	fold_u64(u, b);
	fold_u64(u, c);
	if (!u->opt.trace)
		return;
	snprintf(line, sizeof(line), "%s %llu %llu %llu", verb, (unsigned long long)a,
	    (unsigned long long)b, (unsigned long long)c);
	u->opt.trace(u->opt.trace_arg, u->now, line);
}

void universe_record(struct universe *u, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fold_line(u, line);
	if (u->opt.trace)
		u->opt.trace(u->opt.trace_arg, u->now, line);
}

/* ---- events: a binary heap ordered by time, then by the order of arming ---------------------- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at.ns != b->at.ns ? a->at.ns < b->at.ns : a->order < b->order;
}

static void place(struct universe *u, size_t i, struct sim_event *e)
{
	u->heap[i] = e;
	e->index = i;
}

static void sift_up(struct universe *u, size_t i, struct sim_event *e)
{
	while (i > 0 && earlier(e, u->heap[(i - 1) / 2])) {
		place(u, i, u->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(u, i, e);
}

static void sift_down(struct universe *u, size_t i, struct sim_event *e)
{
	for (size_t child; (child = 2 * i + 1) < u->n_heap; i = child) {
		if (child + 1 < u->n_heap && earlier(u->heap[child + 1], u->heap[child]))
			child++;
		if (!earlier(u->heap[child], e))
			break;
		place(u, i, u->heap[child]);
	}
	place(u, i, e);
}

void sim_event_arm(struct universe *u, struct sim_event *e, struct instant at)
{
	INVARIANT(!e->armed);
	if (u->n_heap == u->cap_heap) {
		u->cap_heap = u->cap_heap ? u->cap_heap * 2 : 256;
		u->heap = realloc(u->heap, u->cap_heap * sizeof(u->heap[0]));
		if (!u->heap)
			BUG("the simulation has no memory for %zu events", u->cap_heap);
	}
	e->at = at.ns < u->now.ns ? u->now : at;
	e->order = u->next_order++;
	e->armed = true;
	sift_up(u, u->n_heap++, e);
}

void sim_event_disarm(struct universe *u, struct sim_event *e)
{
	struct sim_event *last;

	if (!e->armed)
		return;
	e->armed = false;
	last = u->heap[--u->n_heap];
	if (last == e)
		return;
	if (e->index > 0 && earlier(last, u->heap[(e->index - 1) / 2]))
		sift_up(u, e->index, last);
	else
		sift_down(u, e->index, last);
}

void sim_events_drop(struct universe *u)
{
	while (u->n_heap > 0) {
		struct sim_event *e = u->heap[0];

		sim_event_disarm(u, e);
		e->drop(u, e);
	}
	free(u->heap);
	u->heap = NULL;
}

/* ---- the reactor --------------------------------------------------------------------------- */

static struct universe *universe_of(struct reactor *r)
{
	return (struct universe *)r;
}

static struct instant sim_now(struct reactor *r)
{
	return universe_of(r)->now;
}

/* Fires what is due, but not what that arms in turn: fibers come first. */
static void fire_due(struct universe *u)
{
	uint64_t before = u->next_order;

	while (u->n_heap > 0) {
		struct sim_event *e = u->heap[0];

		if (instant_before(u->now, e->at) || e->order >= before)
			return;
		sim_event_disarm(u, e);
		e->fire(u, e);
	}
}

static void sim_poll(struct reactor *r, struct instant until)
{
	struct universe *u = universe_of(r);
	bool nothing = u->n_heap == 0 && (until.ns == INT64_MAX || until.ns == u->limit.ns) &&
		       u->rt->n_heap == 0;

	if (u->interrupted || u->stopped) {
		u->interrupted = false;
		return;
	}
	if (nothing) {
		if (!u->running)
			BUG("every fiber of the simulation waits for what can no longer happen");
		u->stuck = true;
		return;
	}
	if (!instant_before(u->now, until))
		until = (struct instant){u->now.ns + TURN_COST_NS};
	if (u->n_heap > 0)
		until = instant_min(until, u->heap[0]->at);
	until = instant_min(until, u->limit);
	if (instant_before(u->now, until))
		u->now = until;
	fire_due(u);
}

/* Fibers and posts of this same thread alone; what they leave is looked at before time passes. */
static void sim_interrupt(struct reactor *r)
{
	universe_of(r)->interrupted = true;
}

struct sim_work {
	struct sim_event event; /* first */
	void (*fn)(void *);
	void *arg;
	void (*done)(void *);
	void *done_arg;
};

static void work_fire(struct universe *u, struct sim_event *e)
{
	struct sim_work w = *(struct sim_work *)e;

	free(e);
	sim_note(u, "work", 0, 0, 0);
	w.fn(w.arg);
	w.done(w.done_arg);
}

static int sim_work(
    struct reactor *r, void (*fn)(void *), void *arg, void (*done)(void *), void *done_arg)
{
	struct universe *u = universe_of(r);
	struct sim_work *w = sim_alloc(sizeof(*w));

	*w = (struct sim_work){
	    .event = {.fire = work_fire, .drop = work_fire},
	    .fn = fn,
	    .arg = arg,
	    .done = done,
	    .done_arg = done_arg,
	};
	sim_event_arm(u, &w->event, instant_add(u->now, sim_draw(u, work_min, work_max)));
	return 0;
}

const struct reactor_ops sim_reactor_ops = {
    .now = sim_now,
    .poll = sim_poll,
    .interrupt = sim_interrupt,
    .work = sim_work,
};
