/* A session's life, its table of streams, and the frames that come in.
 * SPEC yamux. Frames for streams that are gone are discarded: the peer may not know yet. */
#include "p2p/session_inner_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define GOODBYE_LIMIT_S 1
/* After so many bytes all others have their turn, however fast the next come. */
#define TURN_BYTES ((size_t)64 << 10)
/* What a stream that begins counts as: its fiber and its first answer. */
#define OPEN_BYTES 1024

/* ---- ends ---------------------------------------------------------------------------------- */

void session_fail(struct session *s, int code, const char *fmt, ...)
{
	va_list ap;

	if (s->failure.code == 0) {
		s->failure.code = code;
		va_start(ap, fmt);
		(void)vsnprintf(s->failure.text, sizeof s->failure.text, fmt, ap);
		va_end(ap);
	}
	secure_reset(s->sec, code);
}

static void send_goaway(struct session *s, enum yamux_reason reason)
{
	uint8_t header[YAMUX_HEADER];

	if (s->core.goaway_sent)
		return;
	yamux_make_goaway(&s->core, reason, header);
	session_control(s, header);
}

/* ---- frames in ----------------------------------------------------------------------------- */

/* A stream that the peer opened: its owner's, or reset. The peer's own limit is on live streams;
 * ours counts those that it has reset already and whose owners have not noticed. */
static struct ystream *accept_stream(struct session *s, struct yamux_stream *core)
{
	uint8_t header[YAMUX_HEADER];
	struct ystream *ys;
	struct err err = {0};

	s->work += OPEN_BYTES;
	if (s->n_in >= s->opt.max_in || ystream_new(s, core, true, &ys, &err) != 0) {
		rt_log(LOG_DEBUG, "p2p", "%s: a stream is refused: %s", s->remote,
		    s->n_in >= s->opt.max_in ? "the connection has as many as it may"
					     : err_text(&err));
		if (yamux_release(&s->core, core, header))
			session_control(s, header);
		return NULL;
	}
	if (s->opt.on_stream(s->opt.arg, &ys->stream) == 0)
		return ys;
	stream_reset(&ys->stream, E_LIMIT);
	stream_close(&ys->stream);
	return NULL;
}

static int stream_event(struct session *s, const struct yamux_event *ev)
{
	struct ystream *ys = NULL;

	if (ev->what & YAMUX_EV_OPENED)
		ys = accept_stream(s, ev->stream);
	else if (ev->stream)
		ys = ev->stream->user;
	if (ev->what & YAMUX_EV_ACKED)
		waitq_wake_one(&s->openable);
	if (!s->peer_serves && (ev->what & YAMUX_EV_OPENED || ev->keep_body)) {
		s->peer_serves = true;
		waitq_wake_all(&s->openable);
	}
	s->body_left = ev->body;
	s->body = ev->keep_body ? ys : NULL;
	s->body_ends = ev->what & YAMUX_EV_FIN;
	if (!ys)
		return 0;
	if (ev->what & YAMUX_EV_WINDOW)
		ystream_wake_writer(ys);
	if (ev->what & YAMUX_EV_RESET) {
		s->body = NULL;
		ystream_got_reset(ys);
		waitq_wake_one(&s->openable);
	} else if (s->body_ends && s->body_left == 0) {
		ystream_got_fin(ys);
	}
	return 0;
}

static int goaway_event(struct session *s, struct err *err)
{
	waitq_wake_all(&s->openable);
	if (s->core.goaway_reason == YAMUX_NORMAL)
		return 0;
	return err_set(err, E_CLOSED, "the peer ended the session: %s",
	    s->core.goaway_reason == YAMUX_PROTOCOL_ERROR ? "protocol error" : "internal error");
}

static int frame_begin(struct session *s, struct err *err)
{
	struct yamux_event ev;
	int rc = yamux_receive(&s->core, s->header, s->last_read, &ev, err);

	s->header_have = 0;
	if (ev.reply_n > 0)
		session_control(s, ev.reply);
	if (rc != 0)
		return rc;
	if (ev.what & YAMUX_EV_PONG)
		s->rtt = instant_since(s->last_read, s->ping_sent);
	if (ev.what & YAMUX_EV_GOAWAY)
		return goaway_event(s, err);
	return stream_event(s, &ev);
}

static void body_part(struct session *s, const uint8_t *p, size_t n)
{
	s->body_left -= (uint32_t)n;
	if (s->body)
		ystream_deliver(s->body, p, n);
	/* Delivering may have reset the stream: then body is NULL. */
	if (s->body_left == 0 && s->body) {
		if (s->body_ends)
			ystream_got_fin(s->body);
		s->body = NULL;
	}
}

static int feed(struct session *s, struct bytes v, struct err *err)
{
	int rc = 0;

	while (v.n > 0 && rc == 0) {
		size_t n = s->body_left ? s->body_left : YAMUX_HEADER - s->header_have;
		if (n > v.n)
			n = v.n;
		if (s->body_left) {
			body_part(s, v.p, n);
		} else {
			memcpy(s->header + s->header_have, v.p, n);
			s->header_have += n;
			if (s->header_have == YAMUX_HEADER)
				rc = frame_begin(s, err);
		}
		s->work += n;
		if (s->work >= TURN_BYTES) {
			s->work = 0;
			fiber_yield();
		}
		v = bytes_of(v.p + n, v.n - n);
	}
	return rc;
}

/* Keeps to the rate; the peer's silence meanwhile is our doing. */
static int pause_reading(struct session *s, size_t n, struct err *err)
{
	struct duration wait = account_pay(s->opt.account, RES_IN, n);

	if (wait.ns == 0)
		return 0;
	s->paused = true;
	int rc = fiber_sleep(wait);
	s->paused = false;
	s->last_read = rt_now();
	return rc == 0 ? 0 : err_set(err, rc, "while reading had to wait");
}

static int read_frames(struct session *s, struct err *err)
{
	struct bytes v;
	int rc;

	while ((rc = secure_view(s->sec, &v, err)) == 0) {
		if (v.n == 0)
			return err_set(err, E_CLOSED, "closed by the other side");
		s->last_read = rt_now();
		s->bytes_in += v.n;
		if ((rc = feed(s, v, err)) != 0 || (rc = pause_reading(s, v.n, err)) != 0)
			return rc;
	}
	return rc;
}

/* ---- life ---------------------------------------------------------------------------------- */

static struct yamux_config core_config(const struct session_options *opt)
{
	struct yamux_config config =
	    yamux_config_default(opt->dialer ? YAMUX_CLIENT : YAMUX_SERVER);

	config.max_frame = FRAME_PAYLOAD_MAX;
	config.max_inbound = opt->max_in;
	config.max_buffered = opt->max_buffered;
	return config;
}

int session_new(
    struct secure *sec, const struct session_options *opt, struct session **out, struct err *err)
{
	struct session *s = calloc(1, sizeof *s);
	struct yamux_config config = core_config(opt);

	if (s)
		s->remote = strdup(opt->remote);
	if (!s || !s->remote) {
		free(s);
		return err_set(err, E_MEMORY, "no memory for a session");
	}
	s->refs = 1;
	s->sec = sec;
	s->opt = *opt;
	s->opt.remote = s->remote;
	s->last_read = s->last_stream = rt_now();
	yamux_init(&s->core, &config, s->last_read);
	*out = s;
	return 0;
}

void session_unref(struct session *s)
{
	if (--s->refs > 0)
		return;
	free(s->remote);
	free(s);
}

/* No frames from here on; the core lets go of the streams, their owners keep the objects. */
static void end_streams(struct session *s)
{
	struct yamux_stream *y, *next;

	s->over = true;
	ring_free(&s->spare, s->opt.account);
	s->core.goaway_received = true;
	s->body = NULL;
	waitq_wake_all(&s->openable);
	HASH_ITER (hh, s->core.streams, y, next)
		if (y->user)
			ystream_orphaned(y->user);
	account_streams_end(s->opt.account);
	s->opt.account = NULL;
	yamux_free(&s->core);
	s->core.streams = NULL;
}

struct secure *session_detach(struct session *s)
{
	struct secure *sec = s->sec;

	end_streams(s);
	s->sec = NULL;
	secure_out_free(&s->out);
	secure_out_free(&s->sending);
	session_unref(s);
	return sec;
}

void session_release(struct session *s)
{
	secure_close(session_detach(s));
}

int session_run(struct session *s, struct err *err)
{
	struct scope sc;
	int rc;

	scope_open(&sc, DURATION_FOREVER);
	s->writers = &sc;
	if (s->out.n > 0 || s->ready_head)
		session_wake_writer(s);
	rc = read_frames(s, err);
	s->writers = NULL;
	if (s->failure.code != 0)
		rc = err_set(err, s->failure.code, "%s", s->failure.text);
	if (rc == E_CANCELLED)
		send_goaway(s, YAMUX_NORMAL);
	end_streams(s);
	if (s->core.goaway_sent)
		session_write_rest(s);
	if (s->writer_alive)
		secure_reset(s->sec, rc);
	else if (rc == E_PROTOCOL && s->core.goaway_sent)
		secure_linger(s->sec, duration_s(GOODBYE_LIMIT_S));
	scope_close(&sc);
	return rc;
}

/* ---- housekeeping -------------------------------------------------------------------------- */

static void send_keepalive(struct session *s, struct instant now)
{
	uint8_t header[YAMUX_HEADER];

	s->ping_sent = now;
	if (yamux_make_ping(&s->core, ++s->ping_value, header))
		session_control(s, header);
}

static void keepalive(struct session *s, struct instant now)
{
	if (!s->core.ping_out) {
		bool first = s->ping_value == 0;
		if (first || instant_since(now, s->ping_sent).ns >= s->opt.ping_every.ns)
			send_keepalive(s, now);
		return;
	}
	/* Any byte since the ping shows that the peer lives: its answer may queue behind much data.
	 */
	struct instant heard =
	    instant_before(s->ping_sent, s->last_read) ? s->last_read : s->ping_sent;
	if (!s->paused && instant_since(now, heard).ns >= s->opt.ping_answer.ns)
		session_fail(s, E_TIMEOUT, "no sign of life for %lld ms",
		    (long long)duration_to_ms(instant_since(now, heard)));
}

void session_tick(struct session *s)
{
	struct instant now = rt_now();

	if (s->over)
		return;
	keepalive(s, now);
	if (instant_since(now, s->last_read).ns > duration_s(1).ns)
		ring_free(&s->spare, s->opt.account);
}

void session_probe(struct session *s)
{
	if (!s->over && !s->core.ping_out)
		send_keepalive(s, rt_now());
}

bool session_usable(const struct session *s)
{
	return !s->over && !s->core.goaway_received && !s->core.goaway_sent;
}

/* Until one more stream may be opened, or none ever. */
static int wait_openable(struct session *s, struct err *err)
{
	int rc = 0;

	while (rc == 0 && session_usable(s) &&
	       (s->core.unacked >= s->core.config.max_unacked ||
		   (!s->peer_serves && s->n_out >= s->opt.max_early)))
		rc = waitq_wait(&s->openable, err);
	return rc == 0 ? 0 : err_wrap(err, rc, "waiting to open a stream");
}

static int open_now(struct session *s, struct stream **out, struct err *err)
{
	uint8_t header[YAMUX_HEADER];
	struct yamux_stream *core;
	struct ystream *ys;
	int rc;

	if (s->n_out >= s->opt.max_out)
		return err_set(err, E_LIMIT, "%u streams are open already", s->n_out);
	if ((rc = yamux_open(&s->core, &core, err)) != 0)
		return rc;
	if ((rc = ystream_new(s, core, false, &ys, err)) != 0) {
		(void)yamux_release(&s->core, core, header); /* unheard of by the peer */
		return rc;
	}
	*out = &ys->stream;
	return 0;
}

int session_open(struct session *s, struct stream **out, struct err *err)
{
	s->refs++; /* its owner may let go while we wait */
	int rc = wait_openable(s, err);
	if (rc == 0)
		rc = open_now(s, out, err);
	session_unref(s);
	return rc;
}

const char *session_remote(const struct session *s)
{
	return s->remote;
}

void session_stats(const struct session *s, struct session_stats *out)
{
	*out = (struct session_stats){
	    .streams_in = s->n_in,
	    .streams_out = s->n_out,
	    .bytes_in = s->bytes_in,
	    .bytes_out = s->bytes_out,
	    .rtt = s->rtt,
	    .last_stream = s->last_stream,
	};
}
