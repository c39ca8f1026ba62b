/* Two yamux cores joined by two byte pipes, driven by a seeded sequence of random steps: open,
 * send, consume, half-close, reset, release, deliver. After every step the accounting must hold; at
 * the end every byte sent on a stream that was not reset must have arrived, in order. */
#include "p2p/yamux_priv.h"
#include "suites.h"

#include <stdlib.h>

#define STREAMS_MAX 64
#define SEEDS       300
#define STEPS       400
#define PIPE_MAX    (8u << 20)

/* What the application at one end knows of a stream. */
struct app_stream {
	struct yamux_stream *s; /* NULL when released, or not there yet */
	uint32_t id;
	uint64_t sent, received, consumed;
	bool fin_sent, fin_received, dead;
};

struct end {
	struct yamux_core core;
	struct app_stream apps[STREAMS_MAX];
	size_t apps_n;
	struct buf out; /* on the wire to the other end */
};

struct world {
	struct end ends[2];
	uint64_t random;
	uint64_t seed;
};

static uint32_t draw(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 33) % below;
}

/* Byte number `at` of what `side` sends on stream `id`. */
static uint8_t pattern(int side, uint32_t id, uint64_t at)
{
	return (uint8_t)(at * 31 + id * 7 + (uint64_t)side * 101 + (at >> 8));
}

static struct app_stream *app_of(struct end *e, uint32_t id)
{
	for (size_t i = 0; i < e->apps_n; i++)
		if (e->apps[i].id == id)
			return &e->apps[i];
	return NULL;
}

static void put_header(struct end *e, const uint8_t raw[YAMUX_HEADER])
{
	buf_put(&e->out, raw, YAMUX_HEADER);
}

static void add_app(struct end *e, struct yamux_stream *s)
{
	assert_true(e->apps_n < STREAMS_MAX);
	e->apps[e->apps_n++] = (struct app_stream){.s = s, .id = s->id};
	s->user = &e->apps[e->apps_n - 1];
}

static void step_open(struct world *w, struct end *e)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s;

	if (w->ends[0].apps_n >= STREAMS_MAX - 1 || w->ends[1].apps_n >= STREAMS_MAX - 1 ||
	    yamux_open(&e->core, &s, NULL) != 0)
		return;
	add_app(e, s);
	if (draw(w, 2) && yamux_make_window(&e->core, s, raw))
		put_header(e, raw);
}

static void step_send(struct world *w, int side, struct app_stream *a, enum yamux_last last)
{
	struct end *e = &w->ends[side];
	uint8_t raw[YAMUX_HEADER];
	bool made;
	uint32_t n;

	if (!a->s || a->dead || a->fin_sent)
		return;
	n = yamux_make_data(
	    &e->core, a->s, last == YAMUX_LAST ? draw(w, 3) : draw(w, 60000), last, raw, &made);
	if (!made)
		return;
	put_header(e, raw);
	for (uint32_t i = 0; i < n; i++)
		buf_u8(&e->out, pattern(side, a->id, a->sent + i));
	a->sent += n;
	a->fin_sent = get_u16be(raw + 2) & YAMUX_FIN;
}

static void step_consume(struct world *w, struct end *e, struct app_stream *a)
{
	uint8_t raw[YAMUX_HEADER];
	uint32_t n;

	if (!a->s || a->s->buffered == 0)
		return;
	n = draw(w, a->s->buffered) + 1;
	a->consumed += n;
	if (yamux_consumed(&e->core, a->s, n) && yamux_make_window(&e->core, a->s, raw))
		put_header(e, raw);
}

static void step_release(struct end *e, struct app_stream *a)
{
	uint8_t raw[YAMUX_HEADER];
	struct yamux_stream *s = a->s;

	if (!s)
		return;
	a->s = NULL;
	a->dead = true;
	if (yamux_release(&e->core, s, raw))
		put_header(e, raw);
}

/* One whole frame from the other end, if there is one. */
static bool step_deliver(struct world *w, int side)
{
	struct end *e = &w->ends[side], *from = &w->ends[!side];
	uint8_t raw[YAMUX_HEADER];
	struct yamux_event ev;
	struct app_stream *a;
	uint32_t body;

	if (from->out.n < YAMUX_HEADER)
		return false;
	if (yamux_receive(&e->core, from->out.p, (struct instant){0}, &ev, NULL) != 0)
		fail_msg(
		    "seed %llu: a violation between two honest cores", (unsigned long long)w->seed);
	body = ev.body;
	assert_true(from->out.n >= YAMUX_HEADER + body);
	if (ev.what & YAMUX_EV_OPENED) {
		add_app(e, ev.stream);
		if (draw(w, 2) && yamux_make_window(&e->core, ev.stream, raw))
			put_header(e, raw);
	}
	a = ev.stream ? ev.stream->user : NULL;
	for (uint32_t i = 0; ev.keep_body && i < body; i++)
		assert_int_equal(
		    from->out.p[YAMUX_HEADER + i], pattern(!side, a->id, a->received + i));
	if (ev.keep_body)
		a->received += body;
	if (ev.what & YAMUX_EV_FIN)
		a->fin_received = true;
	if (ev.what & YAMUX_EV_RESET)
		a->dead = true;
	if (ev.reply_n)
		put_header(e, ev.reply);
	buf_consume(&from->out, YAMUX_HEADER + body);
	return true;
}

/* The sums that the header of yamux_priv.h promises. */
static void check(struct world *w)
{
	for (int side = 0; side < 2; side++) {
		struct yamux_core *c = &w->ends[side].core;
		uint32_t inbound = 0, unacked = 0, orphans = 0;
		uint64_t buffered = 0;
		struct yamux_stream *s, *next;

		HASH_ITER (hh, c->streams, s, next) {
			assert_true(
			    (uint64_t)s->recv_window + s->buffered + s->credit == c->config.window);
			assert_false(s->finished);
			inbound += s->inbound;
			unacked += s->unacked;
			orphans += s->orphan;
		}
		for (size_t i = 0; i < w->ends[side].apps_n; i++)
			buffered += w->ends[side].apps[i].s ? w->ends[side].apps[i].s->buffered : 0;
		assert_int_equal(inbound, c->inbound);
		assert_int_equal(unacked, c->unacked);
		assert_int_equal(orphans, c->orphans);
		assert_true(buffered == c->buffered && buffered <= c->config.max_buffered);
		assert_false(w->ends[side].out.failed);
	}
}

static void random_step(struct world *w)
{
	int side = (int)draw(w, 2);
	struct end *e = &w->ends[side];
	uint32_t what = draw(w, 100);
	struct app_stream *a = e->apps_n ? &e->apps[draw(w, (uint32_t)e->apps_n)] : NULL;
	uint8_t raw[YAMUX_HEADER];

	if (what < 6)
		step_open(w, e);
	else if (what < 55)
		step_deliver(w, side);
	else if (!a)
		return;
	else if (what < 75)
		step_send(w, side, a, YAMUX_MORE);
	else if (what < 90)
		step_consume(w, e, a);
	else if (what < 95)
		step_send(w, side, a, YAMUX_LAST);
	else if (what < 97 && a->s && !a->dead) {
		a->dead = true;
		if (yamux_make_reset(&e->core, a->s, raw))
			put_header(e, raw);
	} else if (what == 97 && (a->dead || a->fin_sent))
		step_release(e, a);
}

/* Delivers and consumes until nothing moves, then half-closes what is open and does so again. */
static void settle(struct world *w)
{
	for (int round = 0; round < 3; round++) {
		for (bool moved = true; moved;) {
			moved = false;
			for (int side = 0; side < 2; side++) {
				while (step_deliver(w, side))
					moved = true;
				for (size_t i = 0; i < w->ends[side].apps_n; i++)
					step_consume(w, &w->ends[side], &w->ends[side].apps[i]);
			}
		}
		for (int side = 0; side < 2; side++)
			for (size_t i = 0; i < w->ends[side].apps_n; i++)
				step_send(w, side, &w->ends[side].apps[i], YAMUX_LAST);
	}
	check(w);
}

/* A stream that neither application gave up carries everything. */
static size_t check_streams(struct world *w)
{
	size_t whole = 0;

	for (size_t i = 0; i < w->ends[0].apps_n; i++) {
		struct app_stream *a = &w->ends[0].apps[i];
		struct app_stream *b = app_of(&w->ends[1], a->id);

		if (!b || a->dead || b->dead)
			continue;
		assert_true(a->sent == b->received && b->sent == a->received);
		assert_true(a->fin_sent && b->fin_sent && a->fin_received && b->fin_received);
		assert_true(a->s->finished && b->s->finished);
		whole++;
	}
	return whole;
}

static size_t run_world(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t whole;

	assert_non_null(w);
	w->seed = seed;
	w->random = seed * 0x9e3779b97f4a7c15ull + 1;
	for (int side = 0; side < 2; side++) {
		struct yamux_config c = yamux_config_default(side ? YAMUX_SERVER : YAMUX_CLIENT);

		c.max_unacked = 5 + draw(w, 20);
		c.max_inbound = 8 + draw(w, 30);
		c.max_orphans = draw(w, 8);
		c.window = YAMUX_INITIAL_WINDOW + draw(w, 2) * draw(w, 1 << 20);
		c.max_frame = 1 + draw(w, 70000);
		c.max_buffered = seed % 4 ? 256u << 20 : (1 + draw(w, 4)) << 18;
		yamux_init(&w->ends[side].core, &c, (struct instant){0});
		w->ends[side].out = BUF_INIT(PIPE_MAX);
	}
	for (int i = 0; i < STEPS; i++) {
		random_step(w);
		check(w);
	}
	settle(w);
	whole = check_streams(w);
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < w->ends[side].apps_n; i++)
			step_release(&w->ends[side], &w->ends[side].apps[i]);
		assert_true(w->ends[side].core.buffered == 0);
		yamux_free(&w->ends[side].core);
		assert_null(w->ends[side].core.streams);
		assert_int_equal(w->ends[side].core.inbound + w->ends[side].core.unacked +
				     w->ends[side].core.orphans,
		    0);
		buf_free(&w->ends[side].out);
	}
	free(w);
	return whole;
}

static void random_interleavings(void **state)
{
	size_t whole = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		whole += run_world(seed);
	assert_true(whole > SEEDS); /* the run did carry streams to their end */
}

int run_yamux_property_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_interleavings),
	};

	return cmocka_run_group_tests_name("p2p/yamux properties", tests, NULL, NULL);
}
