/* A stream of a session. Received bytes go straight into a parked reader's memory, else into a ring
 * that grows up to the window; credit goes back as the owner reads, half a window at a time.
 *
 * Must stay true: bytes in the ring and in a parked reader's memory are the core's `buffered`, less
 * the body still on its way. */
#include "p2p/negotiate_priv.h"
#include "p2p/session_inner_priv.h"

#include <stdlib.h>

#define RING_FIRST 1024

static struct ystream *ystream_of(struct stream *s)
{
	return (struct ystream *)s;
}

/* ---- the ring ------------------------------------------------------------------------------ */

static size_t ring_take(struct ring *r, uint8_t *to, size_t cap)
{
	size_t n = cap < r->count ? cap : r->count;
	size_t part = n < r->cap - r->first ? n : r->cap - r->first;

	memcpy(to, r->p + r->first, part);
	memcpy(to + part, r->p, n - part);
	r->count -= n;
	r->first = r->count ? (r->first + n) & (r->cap - 1) : 0;
	return n;
}

/* Room for n more bytes; the window bounds the size. */
static bool ring_reserve(struct ring *r, size_t n, struct account *a)
{
	size_t cap = r->cap ? r->cap : RING_FIRST;
	struct ring bigger = {0};

	while (cap < r->count + n)
		cap *= 2;
	if (cap == r->cap)
		return true;
	if (!account_resize(a, r->cap, cap))
		return false;
	bigger.p = malloc(cap);
	if (!bigger.p) {
		account_shrink(a, cap, r->cap);
		return false;
	}
	bigger.cap = cap;
	bigger.count = r->count;
	if (r->count > 0)
		(void)ring_take(r, bigger.p, r->count);
	free(r->p);
	*r = bigger;
	return true;
}

static void ring_put(struct ring *r, const uint8_t *p, size_t n)
{
	size_t at = (r->first + r->count) & (r->cap - 1);
	size_t part = n < r->cap - at ? n : r->cap - at;

	memcpy(r->p + at, p, part);
	memcpy(r->p, p + part, n - part);
	r->count += n;
}

void ring_free(struct ring *r, struct account *a)
{
	account_shrink(a, r->cap, 0);
	free(r->p);
	*r = (struct ring){0};
}

/* Memory of an empty ring stays with the session, counted as before, where a stream that fills one
 * again finds it: a reader that keeps up empties its ring many times a second. */
static void ring_retire(struct session *s, struct ring *r)
{
	struct ring smaller = s->spare;

	INVARIANT(r->count == 0);
	if (s->over || r->cap <= smaller.cap) {
		ring_free(r, s->opt.account);
		return;
	}
	s->spare = *r;
	s->spare.first = 0;
	*r = (struct ring){0};
	ring_free(&smaller, s->opt.account);
}

/* In the place of an empty one. */
static void ring_renew(struct session *s, struct ring *r)
{
	if (s->spare.cap <= r->cap)
		return;
	ring_free(r, s->opt.account);
	*r = s->spare;
	s->spare = (struct ring){0};
}

/* ---- what the session tells ---------------------------------------------------------------- */

static void send_fin(struct ystream *ys)
{
	uint8_t header[YAMUX_HEADER];
	bool made;

	ys->fin_due = false;
	(void)yamux_make_data(&ys->session->core, ys->core, 0, YAMUX_LAST, header, &made);
	if (made)
		session_control(ys->session, header);
}

void ystream_deliver(struct ystream *ys, const uint8_t *p, size_t n)
{
	account_stream_moved(ys->session->opt.account, ys);
	if (ys->fin_due)
		send_fin(ys);
	if (ys->want && ys->in.count == 0) {
		size_t room = ys->want_cap - ys->want_got;
		size_t direct = n < room ? n : room;
		memcpy(ys->want + ys->want_got, p, direct);
		ys->want_got += direct;
		p += direct;
		n -= direct;
		waitq_wake_one(&ys->readable);
	}
	if (n == 0)
		return;
	if (ys->in.count == 0 && n > ys->in.cap)
		ring_renew(ys->session, &ys->in);
	if (!ring_reserve(&ys->in, n, ys->session->opt.account))
		stream_reset(&ys->stream, E_LIMIT);
	else
		ring_put(&ys->in, p, n);
}

static void wake_both(struct ystream *ys)
{
	session_unready(ys->session, ys);
	waitq_wake_all(&ys->readable);
	waitq_wake_all(&ys->writable);
}

void ystream_got_fin(struct ystream *ys)
{
	ys->ended = true;
	waitq_wake_all(&ys->readable);
}

void ystream_wake_writer(struct ystream *ys)
{
	if (ys->src_left > 0)
		session_ready(ys->session, ys);
}

/* Ends it in both directions and forgets what was not read. */
static void break_off(struct ystream *ys, int code)
{
	if (ys->reset == 0)
		ys->reset = code;
	ys->ended = false;
	ring_free(&ys->in, ys->session->opt.account);
	if (ys->session->body == ys)
		ys->session->body = NULL;
	wake_both(ys);
}

void ystream_got_reset(struct ystream *ys)
{
	break_off(ys, E_RESET);
}

void ystream_orphaned(struct ystream *ys)
{
	ys->core = NULL;
	if (ys->reset == 0)
		ys->reset = E_RESET;
	wake_both(ys);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The owner took n bytes: the peer may send as many again, told half a window at a time. */
static void credit(struct ystream *ys, size_t n)
{
	uint8_t header[YAMUX_HEADER];
	struct session *s = ys->session;

	if (ys->core && yamux_consumed(&s->core, ys->core, (uint32_t)n) &&
	    yamux_make_window(&s->core, ys->core, header))
		session_control(s, header);
}

static int broken(const struct ystream *ys, struct err *err)
{
	return err_set(err, ys->reset, "%s: stream %s", ys->stream.remote,
	    ys->reset == E_RESET ? "reset" : err_info(ys->reset)->text);
}

/* Parks until the session has put something into buf. */
static ssize_t read_parked(struct ystream *ys, uint8_t *buf, size_t cap, struct err *err)
{
	int rc = 0;

	ys->want = buf;
	ys->want_cap = cap;
	ys->want_got = 0;
	while (rc == 0 && ys->want_got == 0 && !ys->ended && ys->reset == 0)
		rc = waitq_wait(&ys->readable, err);
	ys->want = NULL;
	if (ys->want_got > 0) {
		credit(ys, ys->want_got);
		return (ssize_t)ys->want_got;
	}
	if (rc != 0)
		return rc;
	return ys->ended ? 0 : broken(ys, err);
}

static ssize_t read_plain(struct ystream *ys, uint8_t *buf, size_t cap, struct err *err)
{
	if (ys->in.count > 0) {
		size_t n = ring_take(&ys->in, buf, cap);
		if (ys->in.count == 0 && ys->in.cap > RING_FIRST)
			ring_retire(ys->session, &ys->in);
		credit(ys, n);
		return (ssize_t)n;
	}
	if (ys->ended)
		return 0;
	if (ys->reset != 0)
		return broken(ys, err);
	return read_parked(ys, buf, cap, err);
}

/* The answer to a proposal that was not waited for. Consumes as it compares, so a read that is cut
 * short goes on where it was. */
static int confirm(struct ystream *ys, struct err *err)
{
	uint8_t got[64];

	while (ys->expect_at < ys->expect.n) {
		size_t left = ys->expect.n - ys->expect_at;
		ssize_t n = read_plain(ys, got, left < sizeof got ? left : sizeof got, err);
		if (n < 0)
			return (int)n;
		int rc = n == 0 ? err_set(err, E_CLOSED, "%s: closed while agreeing on %s",
				      ys->stream.remote, ys->protocol)
				: negotiate_compare(buf_view(&ys->expect), ys->expect_at,
				      bytes_of(got, (size_t)n), ys->protocol, err);
		if (rc != 0) {
			stream_reset(&ys->stream, rc);
			return rc;
		}
		ys->expect_at += (size_t)n;
	}
	buf_free(&ys->expect);
	return 0;
}

static ssize_t ystream_read(struct stream *stream, void *buf, size_t cap, struct err *err)
{
	struct ystream *ys = ystream_of(stream);
	ssize_t n = 0;

	INVARIANT(cap > 0 && !ys->reading);
	ys->reading = true;
	if (ys->expect.n > 0)
		n = confirm(ys, err);
	if (n == 0)
		n = read_plain(ys, buf, cap, err);
	ys->reading = false;
	return n;
}

/* ---- writing ------------------------------------------------------------------------------- */

static int writable(const struct ystream *ys, struct err *err)
{
	if (ys->reset != 0)
		return broken(ys, err);
	if (ys->core->fin_sent || ys->fin_due)
		return err_set(err, E_CLOSED, "%s: written to after its end", ys->stream.remote);
	return 0;
}

/* Straight into the queue while nobody else waits for room there. */
static void write_direct(struct ystream *ys)
{
	struct session *s = ys->session;

	while (
	    ys->src_left > 0 && ys->core->send_window > 0 && !s->ready_head && s->out.n < OUT_BATCH)
		if (!session_pull(s, ys))
			return;
}

static int ystream_write(
    struct stream *stream, const struct bytes *v, size_t count, struct err *err)
{
	struct ystream *ys = ystream_of(stream);
	int rc = writable(ys, err);

	if (rc != 0)
		return rc;
	INVARIANT(!ys->writing && ys->src_left == 0);
	ys->writing = true;
	ys->src = v;
	ys->src_at = 0;
	for (size_t i = 0; i < count; i++)
		ys->src_left += v[i].n;
	write_direct(ys);
	if (ys->core && ys->src_left > 0 && ys->core->send_window > 0)
		session_ready(ys->session, ys);
	while (rc == 0 && ys->src_left > 0 && (rc = writable(ys, err)) == 0)
		rc = waitq_wait(&ys->writable, err);
	session_unready(ys->session, ys);
	ys->src_left = 0;
	ys->writing = false;
	return rc;
}

/* Nothing of the peer's answer to the proposal has come yet. */
static bool unanswered(const struct ystream *ys)
{
	return ys->expect.n > 0 && ys->expect_at == 0 && ys->in.count == 0 && ys->want_got == 0;
}

/* js-libp2p 3 loses an end that arrives before its handler runs: behind a proposal that is not
 * answered yet, ours waits for the answer. */
static int ystream_close_write(struct stream *stream, struct err *err)
{
	struct ystream *ys = ystream_of(stream);

	if (ys->reset != 0)
		return broken(ys, err);
	if (unanswered(ys))
		ys->fin_due = true;
	else
		send_fin(ys);
	return 0;
}

static void ystream_reset(struct stream *stream, int code)
{
	struct ystream *ys = ystream_of(stream);
	uint8_t header[YAMUX_HEADER];

	if (ys->core && yamux_make_reset(&ys->session->core, ys->core, header))
		session_control(ys->session, header);
	break_off(ys, code != 0 ? code : E_RESET);
	waitq_wake_one(&ys->session->openable);
}

/* What was written stays queued and goes out before the FIN. Should the peer send on, the core
 * answers with a reset. */
static void ystream_close(struct stream *stream)
{
	struct ystream *ys = ystream_of(stream);
	struct session *s = ys->session;
	uint8_t header[YAMUX_HEADER];

	INVARIANT(!ys->reading && !ys->writing);
	if (s->body == ys)
		s->body = NULL;
	if (ys->core && !ys->core->syn_pending)
		send_fin(ys);
	if (ys->core && yamux_release(&s->core, ys->core, header))
		session_control(s, header);
	waitq_wake_one(&s->openable);
	ring_free(&ys->in, s->opt.account);
	buf_free(&ys->expect);
	account_stream_end(s->opt.account, ys);
	if (ys->inbound)
		s->n_in--;
	else
		s->n_out--;
	s->last_stream = rt_now();
	free(ys->protocol);
	free(ys);
	session_unref(s);
}

static const struct stream_ops ystream_ops = {
    .kind = "yamux",
    .read = ystream_read,
    .write = ystream_write,
    .close_write = ystream_close_write,
    .reset = ystream_reset,
    .close = ystream_close,
};

/* ---- making and naming --------------------------------------------------------------------- */

int ystream_new(struct session *s, struct yamux_stream *core, bool inbound, struct ystream **out,
    struct err *err)
{
	struct ystream *ys = calloc(1, sizeof *ys);
	int rc;

	if (!ys)
		return err_set(err, E_MEMORY, "no memory for a stream");
	ys->stream.ops = &ystream_ops;
	ys->stream.remote = s->remote;
	ys->session = s;
	ys->core = core;
	ys->inbound = inbound;
	if ((rc = account_stream_begin(s->opt.account, ys, err)) != 0) {
		free(ys);
		return rc;
	}
	ys->expect = BUF_INIT(NEGOTIATE_EXPECT_MAX);
	core->user = ys;
	s->refs++;
	if (inbound)
		s->n_in++;
	else
		s->n_out++;
	*out = ys;
	return 0;
}

int ystream_set_protocol(
    struct stream *stream, const char *protocol, bool unconfirmed, struct err *err)
{
	struct ystream *ys = ystream_of(stream);
	char *copy = strdup(protocol);

	if (!copy)
		return err_set(err, E_MEMORY, "no memory for a stream");
	free(ys->protocol);
	ys->protocol = copy;
	if (!unconfirmed)
		return 0;
	negotiate_expected(protocol, &ys->expect);
	return buf_ok(&ys->expect, err);
}

bool ystream_info(const struct stream *stream, struct p2p_stream_info *out)
{
	if (stream->ops != &ystream_ops)
		return false;
	const struct ystream *ys = (const struct ystream *)stream;
	*out = (struct p2p_stream_info){
	    .peer = ys->session->opt.peer,
	    .conn = ys->session->opt.conn,
	    .direction = ys->inbound ? P2P_INBOUND : P2P_OUTBOUND,
	    .protocol = ys->protocol ? ys->protocol : "",
	    .remote = ys->session->remote,
	};
	return true;
}
