/* Connections of the simulated world: two ends and a lane of segments each way.
 *
 * A lane models TCP as its users see it: ordered, at its own pace, with so many bytes on the way
 * before the writer waits. A segment that cannot pass (partition, host down, full backlog) is tried
 * again after growing pauses, as TCP retransmits; the ones behind it wait.
 *
 * Must stay true: the lane's event is armed exactly when a segment is flying; a connection is freed
 * when its users have closed both ends (or the second was never born) and nobody has pinned it, and
 * not before. */
#include "rt/sim_priv.h"

#include <stdlib.h>
#include <utlist.h>

#define WINDOW      (256u << 10) /* bytes written and not yet read by the other side */
#define SEGMENT_MAX (16u << 10)
#define CUT_ODDS    8 /* one write in so many is cut at a drawn place */

#define PAUSE_MAX_S       60
#define GIVE_UP_S         924 /* Linux' tcp_retries2 of 15 */
#define GIVE_UP_CONNECT_S 127 /* and tcp_syn_retries of 6 */

enum segment_kind {
	SEG_SYN,
	SEG_SYNACK,
	SEG_DATA,
	SEG_FIN,
	SEG_RST
};

static const char *const segment_verb[] = {"syn", "synack", "data", "fin", "rst"};

struct sim_segment {
	struct sim_segment *next;
	struct instant due;
	enum segment_kind kind;
	size_t n, at; /* bytes inside, and how many of them have been read */
	uint8_t data[];
};

/* ---- lanes --------------------------------------------------------------------------------- */

static struct sim_lane *lane_out(struct sim_end *e)
{
	return &e->conn->lane[e->side];
}

static struct sim_lane *lane_in(struct sim_end *e)
{
	return &e->conn->lane[1 - e->side];
}

static struct sim_end *lane_writer(struct sim_lane *l)
{
	return &l->conn->end[l->side];
}

static struct sim_end *lane_reader(struct sim_lane *l)
{
	return &l->conn->end[1 - l->side];
}

static void append(struct sim_segment **first, struct sim_segment **last, struct sim_segment *s)
{
	s->next = NULL;
	if (*first)
		(*last)->next = s;
	else
		*first = s;
	*last = s;
}

static void free_all(struct sim_segment **first)
{
	struct sim_segment *s, *next;

	LL_FOREACH_SAFE(*first, s, next)
	free(s);
	*first = NULL;
}

static void lane_drop_flying(struct sim_lane *l)
{
	sim_event_disarm(l->conn->u, &l->event);
	free_all(&l->flying);
}

static void lane_wake(struct sim_lane *l)
{
	waitq_wake_all(&l->readable);
	waitq_wake_all(&l->writable);
}

/* When a segment of n bytes sent now arrives: after those before it. */
static struct instant lane_due(struct sim_lane *l, size_t n)
{
	struct universe *u = l->conn->u;
	const struct host *from = lane_writer(l)->host, *to = lane_reader(l)->host;
	struct instant t = u->now;

	if (from != to && u->opt.bytes_per_s > 0) {
		if (instant_before(t, l->line_free))
			t = l->line_free;
		t = instant_add(t, duration_ns((int64_t)(n * 1000000000 / u->opt.bytes_per_s)));
		l->line_free = t;
	}
	t = instant_add(t, sim_latency(u, from, to));
	if (from != to && sim_lost(u))
		t = instant_add(t, u->opt.retransmit);
	if (instant_before(t, l->last_due))
		t = l->last_due;
	l->last_due = t;
	return t;
}

static void lane_push(struct sim_lane *l, enum segment_kind kind, const void *p, size_t n)
{
	struct sim_segment *s = sim_alloc(sizeof(*s) + n);

	s->kind = kind;
	s->n = n;
	if (n > 0)
		memcpy(s->data, p, n);
	s->due = lane_due(l, n);
	append(&l->flying, &l->flying_last, s);
	if (!l->event.armed)
		sim_event_arm(l->conn->u, &l->event, s->due);
}

static void lane_push_reset(struct sim_lane *l)
{
	if (l->rst_sent)
		return;
	l->rst_sent = true;
	lane_push(l, SEG_RST, NULL, 0);
}

static struct sim_segment *lane_pop_flying(struct sim_lane *l)
{
	struct sim_segment *s = l->flying;

	l->flying = s->next;
	return s;
}

/* The end can be used no more; `code` is what it answers from now on. */
static void end_break(struct sim_end *e, int code)
{
	e->broken = code;
	lane_drop_flying(lane_out(e));
	free_all(&lane_in(e)->arrived);
	lane_wake(lane_in(e));
	lane_wake(lane_out(e));
}

/* Whether the first segment gets through now. A reset that does not is not sent again. */
static bool lane_passes(struct sim_lane *l, const struct sim_segment *s)
{
	if (!sim_reachable(lane_writer(l)->host, lane_reader(l)->host))
		return false;
	if (s->kind != SEG_SYN)
		return true;
	switch (listener_knock(lane_reader(l)->host, l->conn)) {
	case KNOCK_TAKEN:
		break;
	case KNOCK_REFUSED:
		lane_push_reset(&l->conn->lane[1]);
		break;
	case KNOCK_FULL:
		return false;
	}
	return true;
}

static void lane_retry(struct sim_lane *l)
{
	struct universe *u = l->conn->u;
	enum segment_kind kind = l->flying->kind;
	struct duration pause = u->opt.retransmit, limit = duration_s(GIVE_UP_S);

	if (kind == SEG_RST) {
		free(lane_pop_flying(l));
		l->rst_sent = false;
		return;
	}
	if (kind == SEG_SYN)
		limit = duration_s(GIVE_UP_CONNECT_S);
	if (l->tries++ == 0)
		l->stuck_since = u->now;
	if (instant_since(u->now, l->stuck_since).ns >= limit.ns) {
		sim_note(u, "give-up", l->conn->id, (uint64_t)l->side, l->tries);
		end_break(lane_writer(l), kind == SEG_SYN ? E_TIMEOUT : E_RESET);
		return;
	}
	for (unsigned i = 1; i < l->tries && pause.ns < duration_s(PAUSE_MAX_S).ns; i++)
		pause.ns *= 2;
	sim_event_arm(u, &l->event,
	    instant_min(instant_add(u->now, pause), instant_add(l->stuck_since, limit)));
}

/* What the reader's host makes of a segment. Takes it over. */
static void lane_deliver(struct sim_lane *l, struct sim_segment *s)
{
	struct sim_end *r = lane_reader(l);
	bool gone = r->vanished || r->closed || r->broken != 0;

	sim_note(l->conn->u, segment_verb[s->kind], l->conn->id * 2 + (uint64_t)l->side,
	    l->n_sent++, s->n);
	if (s->kind == SEG_DATA && !gone) {
		append(&l->arrived, &l->arrived_last, s);
		waitq_wake_all(&l->readable);
		return;
	}
	if (s->kind == SEG_DATA || (s->kind == SEG_FIN && r->vanished))
		lane_push_reset(lane_out(r));
	else if (s->kind == SEG_FIN)
		l->fin_arrived = true;
	else if (s->kind == SEG_SYNACK)
		r->connected = true;
	else if (s->kind == SEG_RST && !gone)
		end_break(r, r->connected ? E_RESET : E_REFUSED);
	waitq_wake_all(&l->readable);
	free(s);
}

static void lane_fire(struct universe *u, struct sim_event *e)
{
	struct sim_lane *l = (struct sim_lane *)e;

	while (l->flying && !instant_before(u->now, l->flying->due)) {
		if (!lane_passes(l, l->flying)) {
			lane_retry(l);
			break;
		}
		l->tries = 0;
		lane_deliver(l, lane_pop_flying(l));
	}
	if (l->flying && !l->event.armed)
		sim_event_arm(u, &l->event, l->flying->due);
}

/* The users of the two ends close them before the universe ends, which disarms the lanes. */
static void lane_dropped(struct universe *u, struct sim_event *e)
{
	(void)u;
	(void)e;
}

/* ---- connections --------------------------------------------------------------------------- */

static const struct stream_ops sim_tcp_ops, sim_unix_ops;

struct sim_conn *conn_new(struct host *a, struct host *b, const char *path)
{
	struct sim_conn *c = sim_alloc(sizeof(*c));

	c->u = a->u;
	c->id = a->u->next_conn++;
	c->path = path ? sim_strdup(path) : NULL;
	for (int i = 0; i < 2; i++) {
		struct sim_end *e = &c->end[i];

		e->conn = c;
		e->host = i == 0 ? a : b;
		e->side = i;
		e->tcp.stream.ops = path ? &sim_unix_ops : &sim_tcp_ops;
		e->tcp.stream.remote = path ? c->path : e->tcp.remote_text;
		c->lane[i] = (struct sim_lane){
		    .event = {.fire = lane_fire, .drop = lane_dropped}, .conn = c, .side = i};
	}
	return c;
}

void conn_addrs(struct sim_conn *c, const struct netaddr *a, const struct netaddr *b)
{
	tcp_stream_init(&c->end[0].tcp, a, b);
	tcp_stream_init(&c->end[1].tcp, b, a);
}

void end_born(struct sim_end *e)
{
	e->born = true;
	DL_APPEND(e->host->ends, e);
}

static void conn_release(struct sim_conn *c)
{
	if (c->pinned)
		return;
	for (int i = 0; i < 2; i++)
		if (c->end[i].born && !c->end[i].closed)
			return;
	for (int i = 0; i < 2; i++) {
		lane_drop_flying(&c->lane[i]);
		free_all(&c->lane[i].arrived);
	}
	free(c->path);
	free(c);
}

void conn_request(struct sim_conn *c)
{
	end_born(&c->end[0]);
	lane_push(&c->lane[0], SEG_SYN, NULL, 0);
}

void conn_accept(struct sim_conn *c)
{
	end_born(&c->end[1]);
	c->end[1].connected = true;
	lane_push(&c->lane[1], SEG_SYNACK, NULL, 0);
}

struct sim_conn *conn_pair(struct host *h, const char *name)
{
	struct sim_conn *c = conn_new(h, h, name);

	c->pinned = true;
	for (int i = 0; i < 2; i++) {
		end_born(&c->end[i]);
		c->end[i].connected = true;
	}
	return c;
}

void conn_unpin(struct sim_conn *c)
{
	c->pinned = false;
	conn_release(c);
}

/* 0, or why the end is good for nothing any more. */
static int end_verdict(const struct sim_end *e, struct err *err)
{
	if (e->vanished)
		return err_set(err, E_CANCELLED, "%s has crashed", e->host->name);
	if (e->broken == E_REFUSED)
		return err_set(err, E_REFUSED, "%s refused the connection", e->tcp.stream.remote);
	if (e->broken == E_TIMEOUT)
		return err_set(err, E_TIMEOUT, "%s does not answer", e->tcp.stream.remote);
	if (e->broken != 0)
		return err_set(err, e->broken, "connection with %s reset", e->tcp.stream.remote);
	return 0;
}

int end_wait_connected(struct sim_end *e, struct err *err)
{
	int rc;

	while ((rc = end_verdict(e, err)) == 0 && !e->connected)
		if ((rc = waitq_wait(&lane_in(e)->readable, err)))
			return rc;
	return rc;
}

void end_vanish(struct sim_end *e, enum vanish how)
{
	if (e->vanished)
		return;
	e->vanished = true;
	switch (how) {
	case VANISH_SILENT:
		lane_drop_flying(lane_out(e));
		break;
	case VANISH_RESET:
		if (e->broken == 0)
			lane_push_reset(lane_out(e));
		break;
	case VANISH_END:
		if (e->broken == 0 && !lane_out(e)->fin_sent)
			lane_push(lane_out(e), SEG_FIN, NULL, 0);
		break;
	}
	free_all(&lane_in(e)->arrived);
	lane_wake(lane_in(e));
	lane_wake(lane_out(e));
}

void ends_crash(struct host *h, bool reset)
{
	struct sim_end *e;

	DL_FOREACH(h->ends, e)
	end_vanish(e, reset ? VANISH_RESET : VANISH_SILENT);
}

void end_freeze(struct sim_end *e, bool frozen)
{
	e->frozen = frozen;
	waitq_wake_all(&lane_in(e)->readable);
	waitq_wake_all(&lane_out(e)->writable);
}

/* ---- streams ------------------------------------------------------------------------------- */

static struct sim_end *end_of(struct stream *s)
{
	return (struct sim_end *)s;
}

/* From the first segment alone: readers see the cuts. */
static ssize_t lane_take(struct sim_lane *l, void *buf, size_t cap)
{
	struct sim_segment *s = l->arrived;
	size_t n = s->n - s->at < cap ? s->n - s->at : cap;

	memcpy(buf, s->data + s->at, n);
	s->at += n;
	if (s->at == s->n) {
		l->arrived = s->next;
		free(s);
	}
	l->outstanding -= n;
	waitq_wake_one(&l->writable);
	return (ssize_t)n;
}

static ssize_t sim_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct sim_end *e = end_of(s);
	struct sim_lane *in = lane_in(e);
	int rc;

	INVARIANT(cap > 0 && !in->reading);
	in->reading = true;
	while ((rc = end_verdict(e, err)) == 0 && (e->frozen || (!in->arrived && !in->fin_arrived)))
		if ((rc = waitq_wait(&in->readable, err)))
			break;
	in->reading = false;
	if (rc != 0)
		return rc;
	return in->arrived ? lane_take(in, buf, cap) : 0;
}

/* How much of n bytes goes into one segment. */
static size_t segment_size(struct sim_lane *l, size_t n)
{
	size_t room = WINDOW - l->outstanding;

	if (n > room)
		n = room;
	if (n > SEGMENT_MAX)
		n = SEGMENT_MAX;
	if (n > 1 && prng_below(&l->conn->u->prng, CUT_ODDS) == 0)
		n = 1 + prng_below(&l->conn->u->prng, n);
	return n;
}

static int write_part(struct sim_end *e, struct bytes v, struct err *err)
{
	struct sim_lane *out = lane_out(e);
	size_t n;
	int rc;

	while ((rc = end_verdict(e, err)) == 0 && v.n > 0) {
		if (out->fin_sent)
			return err_set(
			    err, E_CLOSED, "%s: written to after its end", e->tcp.stream.remote);
		if (e->frozen || out->outstanding == WINDOW) {
			if ((rc = waitq_wait(&out->writable, err)))
				return rc;
			continue;
		}
		n = segment_size(out, v.n);
		lane_push(out, SEG_DATA, v.p, n);
		out->outstanding += n;
		v = bytes_of(v.p + n, v.n - n);
	}
	return rc;
}

static int sim_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	struct sim_end *e = end_of(s);
	struct sim_lane *out = lane_out(e);
	int rc = 0;

	INVARIANT(!out->writing);
	out->writing = true;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = write_part(e, v[i], err);
	out->writing = false;
	return rc;
}

static int sim_close_write(struct stream *s, struct err *err)
{
	struct sim_end *e = end_of(s);
	int rc = end_verdict(e, err);

	if (rc != 0 || lane_out(e)->fin_sent)
		return rc;
	lane_out(e)->fin_sent = true;
	lane_push(lane_out(e), SEG_FIN, NULL, 0);
	return 0;
}

static void sim_reset(struct stream *s, int code)
{
	struct sim_end *e = end_of(s);

	(void)code; /* TCP carries none */
	if (e->vanished || e->broken != 0)
		return;
	end_break(e, E_RESET);
	lane_push_reset(lane_out(e));
}

static void sim_close(struct stream *s)
{
	struct sim_end *e = end_of(s);
	struct sim_lane *in = lane_in(e), *out = lane_out(e);

	INVARIANT(!in->reading && !out->writing);
	if (!e->vanished && e->broken == 0) {
		if (in->arrived || (e->side == 0 && !e->connected))
			lane_push_reset(out);
		else if (!out->fin_sent)
			lane_push(out, SEG_FIN, NULL, 0);
	}
	free_all(&in->arrived);
	out->fin_sent = true;
	e->closed = true;
	DL_DELETE(e->host->ends, e);
	conn_release(e->conn);
}

static const struct stream_ops sim_tcp_ops = {
    .kind = tcp_stream_kind,
    .read = sim_read,
    .write = sim_write,
    .close_write = sim_close_write,
    .reset = sim_reset,
    .close = sim_close,
};

static const struct stream_ops sim_unix_ops = {
    .kind = "unix",
    .read = sim_read,
    .write = sim_write,
    .close_write = sim_close_write,
    .reset = sim_reset,
    .close = sim_close,
};
