/* The session over a private carrier: see mux.h. */
#include "p2p/mux.h"

#include "p2p/session_priv.h"

#include <stdlib.h>

/* Both sides are parts of one program: the limits are there to bound a mistake. */
#define MUX_STREAMS_MAX  4096
#define MUX_BUFFERED_MAX ((size_t)256 << 20)

struct mux {
	struct scope scope;
	struct session *session;
	mux_serve_fn serve;
	void *arg;
	struct waitq ended_q;
	bool ended;
	struct err why;
};

struct serving {
	struct mux *mux;
	struct stream *stream;
};

static void serve_fiber(void *arg)
{
	struct serving now = *(struct serving *)arg;

	free(arg);
	now.mux->serve(now.mux->arg, now.stream);
}

static int inbound(void *arg, struct stream *s)
{
	struct mux *m = arg;
	struct serving *job = m->serve ? malloc(sizeof *job) : NULL;

	if (!job)
		return m->serve ? E_MEMORY : E_UNSUPPORTED;
	*job = (struct serving){m, s};
	int rc = fiber_spawn(&m->scope, "mux stream", serve_fiber, job, NULL);
	if (rc != 0)
		free(job);
	return rc;
}

static void run_fiber(void *arg)
{
	struct mux *m = arg;

	(void)session_run(m->session, &m->why);
	m->ended = true;
	waitq_wake_all(&m->ended_q);
	/* Nobody is left to serve: what still runs hears of it. */
	scope_cancel(&m->scope);
}

static int start(struct mux *m, struct stream *carrier, enum mux_side side, struct err *err)
{
	struct session_options opt = {
	    .dialer = side == MUX_DIALER,
	    .max_in = MUX_STREAMS_MAX,
	    .max_out = MUX_STREAMS_MAX,
	    .max_early = MUX_STREAMS_MAX,
	    .max_buffered = MUX_BUFFERED_MAX,
	    .ping_every = DURATION_FOREVER,
	    .ping_answer = DURATION_FOREVER,
	    .on_stream = inbound,
	    .arg = m,
	    .remote = carrier->remote,
	};
	struct secure *channel;
	int rc = secure_new_plain(carrier, &channel, err);

	if (rc != 0)
		return rc;
	if ((rc = session_new(channel, &opt, &m->session, err)) != 0) {
		secure_detach(channel);
		return rc;
	}
	scope_init(&m->scope, NULL);
	if ((rc = fiber_spawn(&m->scope, "mux", run_fiber, m, err)) == 0)
		return 0;
	scope_close(&m->scope);
	secure_detach(session_detach(m->session));
	return rc;
}

int mux_new(struct stream *carrier, enum mux_side side, mux_serve_fn serve, void *arg,
    struct mux **out, struct err *err)
{
	struct mux *m = calloc(1, sizeof *m);

	if (!m)
		return err_set(err, E_MEMORY, "no memory for a multiplexer");
	m->serve = serve;
	m->arg = arg;
	int rc = start(m, carrier, side, err);
	if (rc != 0) {
		free(m);
		return rc;
	}
	*out = m;
	return 0;
}

int mux_open(struct mux *m, struct stream **out, struct err *err)
{
	return session_open(m->session, out, err);
}

int mux_wait(struct mux *m, struct err *err)
{
	int rc = 0;

	while (!m->ended && rc == 0)
		rc = waitq_wait(&m->ended_q, err);
	return m->ended ? err_set(err, m->why.code, "%s", err_text(&m->why)) : rc;
}

void mux_close(struct mux *m)
{
	scope_close(&m->scope);
	session_release(m->session);
	free(m);
}
