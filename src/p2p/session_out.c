/* Frames on their way out of a session: the queue, the fair turn of the streams, the writer fiber.
 *
 * Streams' writers copy a frame into the queue themselves while there is room; beyond that they
 * park with their bytes in place, and the writer fiber takes one frame from each in turn.
 * Cancelling a stream's writer therefore never leaves half a frame in the channel. A session
 * without anything to write has no writer fiber and no buffer.
 *
 * Must stay true: `out` holds whole frames only; a stream is on the ready list exactly when its
 * writer is parked, bytes are left and the peer gave window for them. */
#include "p2p/session_inner_priv.h"

/* A batch that the peer's side does not take in this time ends the connection. */
#define WRITE_LIMIT_S   60
#define GOODBYE_LIMIT_S 1
/* After so long without anything to write the writer ends; the next frame starts another. */
#define QUIET_S 1

static bool count_out(struct session *s)
{
	size_t now = s->out.cap + s->sending.cap;
	bool counted = account_resize(s->opt.account, s->out_counted, now);

	s->out_counted = counted ? now : s->out_counted;
	return counted;
}

void session_out_shrunk(struct session *s)
{
	account_shrink(s->opt.account, s->out_counted, s->out.cap + s->sending.cap);
	s->out_counted = s->out.cap + s->sending.cap;
}

/* Room for a frame of n bytes, or NULL: the session is over, or thereby ends. */
static uint8_t *frame_room(struct session *s, size_t n)
{
	uint8_t *p;

	/* Once the session is cancelled, handlers that give up must not look as if they were done.
	 */
	if (s->over || (s->writers && scope_cancelled(s->writers)))
		return NULL;
	p = secure_out_frame(s->sec, &s->out, n);
	if (p && !count_out(s))
		session_fail(s, E_LIMIT, "no memory is left for what waits to be sent");
	else if (!p)
		session_fail(s, E_LIMIT, "too much waits to be sent: it does not read");
	else
		session_wake_writer(s);
	return p;
}

void session_control(struct session *s, const uint8_t header[YAMUX_HEADER])
{
	uint8_t *p = frame_room(s, YAMUX_HEADER);

	if (p)
		memcpy(p, header, YAMUX_HEADER);
}

void session_ready(struct session *s, struct ystream *ys)
{
	if (ys->ready)
		return;
	ys->ready = true;
	ys->ready_next = NULL;
	ys->ready_prev = s->ready_tail;
	if (s->ready_tail)
		s->ready_tail->ready_next = ys;
	else
		s->ready_head = ys;
	s->ready_tail = ys;
	session_wake_writer(s);
}

void session_unready(struct session *s, struct ystream *ys)
{
	if (!ys->ready)
		return;
	ys->ready = false;
	if (ys->ready_prev)
		ys->ready_prev->ready_next = ys->ready_next;
	else
		s->ready_head = ys->ready_next;
	if (ys->ready_next)
		ys->ready_next->ready_prev = ys->ready_prev;
	else
		s->ready_tail = ys->ready_prev;
	ys->ready_next = ys->ready_prev = NULL;
}

/* Moves n bytes from the writer's pieces. */
static void take_source(struct ystream *ys, uint8_t *to, size_t n)
{
	ys->src_left -= n;
	while (n > 0) {
		size_t part = ys->src->n - ys->src_at;
		if (part > n)
			part = n;
		if (part > 0)
			memcpy(to, ys->src->p + ys->src_at, part);
		to += part;
		n -= part;
		ys->src_at += part;
		if (ys->src_at == ys->src->n) {
			ys->src++;
			ys->src_at = 0;
		}
	}
}

bool session_pull(struct session *s, struct ystream *ys)
{
	uint8_t header[YAMUX_HEADER];
	bool made = false;
	uint32_t n = yamux_make_data(&s->core, ys->core, ys->src_left, YAMUX_MORE, header, &made);
	uint8_t *p = made ? frame_room(s, YAMUX_HEADER + n) : NULL;

	if (!p)
		return false;
	memcpy(p, header, YAMUX_HEADER);
	take_source(ys, p + YAMUX_HEADER, n);
	account_stream_moved(s->opt.account, ys);
	return true;
}

/* Lets the parked writers, one frame each in turn, fill what goes out next. True when some of them
 * were woken, having no more, and there is room for what they may write next. */
static bool fill(struct session *s)
{
	bool woken = false;

	while (s->out.n < OUT_BATCH && s->ready_head) {
		struct ystream *ys = s->ready_head;
		session_unready(s, ys);
		if (!session_pull(s, ys))
			return false;
		if (ys->src_left == 0) {
			waitq_wake_one(&ys->writable);
			woken = true;
		} else if (ys->core->send_window > 0)
			session_ready(s, ys);
	}
	return woken && s->out.n < OUT_BATCH;
}

/* Whoever writes much writes on at once: two pieces then go out in one batch. */
static void fill_patiently(struct session *s)
{
	if (!fill(s))
		return;
	fiber_yield();
	if (!s->over)
		(void)fill(s);
}

/* Writes one batch. Not cut short by cancellation, which would tear a record. */
static int write_batch(
    struct session *s, struct duration limit, struct duration *pause, struct err *err)
{
	struct scope sc;
	struct secure_out swap = s->sending;
	size_t n;
	int rc;

	*pause = account_pay(s->opt.account, RES_OUT, s->out.n);
	s->sending = s->out;
	s->out = swap;
	n = s->sending.n;
	scope_open_shielded(&sc, limit);
	rc = secure_send(s->sec, &s->sending, err);
	scope_close(&sc);
	s->bytes_out += n;
	return rc;
}

/* More to write, or the end of a while without: then the buffers go, too. */
static int wait_for_more(struct session *s)
{
	int rc = waitq_wait_for(&s->out_ready, duration_s(QUIET_S), NULL);

	if (rc != E_TIMEOUT || s->out.n > 0 || s->ready_head)
		return rc == E_TIMEOUT ? 0 : rc;
	secure_out_free(&s->out);
	secure_out_free(&s->sending);
	session_out_shrunk(s);
	return rc;
}

static void writer_fiber(void *arg)
{
	struct session *s = arg;
	struct duration pause = {0};
	struct err err = {0};
	int rc = 0;

	while (rc == 0) {
		if (pause.ns > 0 && !s->over && fiber_sleep(pause) != 0)
			break;
		pause = (struct duration){0};
		if (!s->over)
			fill_patiently(s);
		if (s->out.n > 0)
			rc = write_batch(
			    s, duration_s(s->over ? GOODBYE_LIMIT_S : WRITE_LIMIT_S), &pause, &err);
		else if (s->over || wait_for_more(s) != 0)
			break; /* quiet, or cancelled: the reader ends too and says so */
	}
	if (rc != 0)
		session_fail(s, rc, "cannot write: %s", err_text(&err));
	s->writer_alive = false;
	waitq_wake_all(&s->written);
}

void session_wake_writer(struct session *s)
{
	struct err err = {0};

	if (s->writer_alive) {
		waitq_wake_one(&s->out_ready);
		return;
	}
	/* Not before session_run, and while that ends it writes the rest itself. */
	if (!s->writers || scope_cancelled(s->writers))
		return;
	int rc = fiber_spawn(s->writers, "p2p writer", writer_fiber, s, &err);
	if (rc == 0)
		s->writer_alive = true;
	else
		session_fail(s, rc, "cannot write: %s", err_text(&err));
}

void session_write_rest(struct session *s)
{
	struct duration pause;
	struct scope sc;
	int rc = 0;

	session_wake_writer(s);
	scope_open_shielded(&sc, duration_s(GOODBYE_LIMIT_S));
	while (s->writer_alive && rc == 0)
		rc = waitq_wait(&s->written, NULL);
	scope_close(&sc);
	if (!s->writer_alive && s->out.n > 0 && s->failure.code == 0 &&
	    write_batch(s, duration_s(GOODBYE_LIMIT_S), &pause, NULL) != 0)
		rt_log(LOG_DEBUG, "p2p", "%s: the goodbye did not go out", s->remote);
}
