/* Frames on their way out of a session: the queue, the fair turn of the streams, the writer fiber.
 *
 * Streams' writers copy a frame into the queue themselves while there is room; beyond that they
 * park with their bytes in place, and the writer fiber takes one frame from each in turn.
 * Cancelling a stream's writer therefore never leaves half a frame in the channel.
 *
 * Must stay true: `out` holds whole frames only; a stream is on the ready list exactly when its
 * writer is parked, bytes are left and the peer gave window for them. */
#include "p2p/session_inner_priv.h"

/* A batch that the peer's side does not take in this time ends the connection. */
#define WRITE_LIMIT_S   60
#define GOODBYE_LIMIT_S 1
/* Memory kept between bursts by a quiet session. */
#define OUT_KEEP 4096

/* Room for a frame of n bytes, or NULL: the session is over, or thereby ends. */
static uint8_t *frame_room(struct session *s, size_t n)
{
	uint8_t *p;

	if (s->over)
		return NULL;
	p = secure_out_frame(s->sec, &s->out, n);
	if (!p)
		session_fail(s, E_LIMIT, "too much waits to be sent: it does not read");
	else
		waitq_wake_one(&s->out_ready);
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
	waitq_wake_one(&s->out_ready);
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
static int write_batch(struct session *s, struct duration limit, struct err *err)
{
	struct scope sc;
	struct secure_out swap = s->sending;
	size_t n;
	int rc;

	s->sending = s->out;
	s->out = swap;
	n = s->sending.n;
	s->in_write = true;
	scope_open_shielded(&sc, limit);
	rc = secure_send(s->sec, &s->sending, err);
	scope_close(&sc);
	s->in_write = false;
	s->last_write = rt_now();
	s->bytes_out += n;
	return rc;
}

void session_writer(void *arg)
{
	struct session *s = arg;
	struct err err = {0};
	int rc = 0;

	while (rc == 0) {
		if (!s->over)
			fill_patiently(s);
		if (s->out.n > 0)
			rc = write_batch(
			    s, duration_s(s->over ? GOODBYE_LIMIT_S : WRITE_LIMIT_S), &err);
		else if (s->over)
			break;
		else if (waitq_wait(&s->out_ready, NULL) != 0)
			break; /* cancelled: the reader ends too and says so */
	}
	if (rc != 0)
		session_fail(s, rc, "cannot write: %s", err_text(&err));
	s->writer_alive = false;
	waitq_wake_all(&s->written);
}
