/* Gossip over streams: fibers around the router of gossip_router.h.
 *
 * SPEC pubsub "Stream management": two one-way streams per peer. We write on the one that we opened
 * (a writer fiber, in our scope) and read those that it opens (handlers, in the connection's
 * scope).
 *
 * A peer that reads too slowly loses messages first, then control; once it has lost control it is
 * told everything anew, so that both sides agree again on who subscribes to what.
 *
 * Handlers may outlive p2p_gossip_close by a moment: each holds a reference, and the last one
 * frees. */
#include "base/encode.h"
#include "p2p/gossip_router.h"
#include "p2p/host_priv.h"

#include <stdlib.h>

#define WRITE_BATCH      32    /* frames in one write */
#define WRITE_PATIENCE_S 30    /* for one write */
#define READ_IDLE        1024  /* bytes of room while nothing comes */
#define READ_BUSY        32768 /* while much comes */
#define OPEN_TRIES       5     /* failures in a row after which a peer is left alone */
#define READERS_PER_PEER 2     /* an old stream may linger beside a new one */
#define DIALLERS_MAX     8
#define PROTECT_TAG      "gossip direct"

static const char *const protocols[GOSSIP_PROTOCOLS_N] = {
    GOSSIP_PROTOCOL_12, GOSSIP_PROTOCOL_11, GOSSIP_PROTOCOL_10, GOSSIP_PROTOCOL_FLOOD};
static const enum gossip_protocol kinds[GOSSIP_PROTOCOLS_N] = {
    GOSSIP_MESHSUB_12, GOSSIP_MESHSUB_11, GOSSIP_MESHSUB_10, GOSSIP_FLOODSUB};

struct queued {
	struct queued *next;
	struct gossip_frame *frame;
};

struct queue {
	struct queued *first, *last;
	size_t bytes;
};

/* A peer with a writer. Its fiber frees it. */
struct member {
	struct p2p_gossip *gossip;
	struct member *next, *prev;
	struct peer_id id;
	const char *protocol;
	p2p_conn_id conn;    /* that our stream runs on */
	struct scope *scope; /* while its fiber runs */
	struct queue control, data;
	struct waitq work;
	uint64_t dropped;
	bool overrun; /* control was dropped */
	bool heard;   /* it has opened a stream */
	bool gone;
};

struct reader {
	struct reader *next, *prev;
	struct peer_id peer;
	struct stream *stream;
};

struct subscription {
	struct subscription *next;
	p2p_gossip_fn fn;
	void *arg;
	char topic[GOSSIP_TOPIC_MAX + 1];
};

struct p2p_gossip {
	struct p2p_host *host;
	struct gossip_router *router;
	struct p2p_gossip_options opt;
	struct peer_id *direct; /* opt.direct, ours */
	struct scope scope;
	struct member *members;
	struct reader *readers;
	struct subscription *subscriptions;
	unsigned diallers;
	unsigned refs;
	bool draining, closed;
};

void p2p_gossip_options_default(struct p2p_gossip_options *opt)
{
	*opt = (struct p2p_gossip_options){
	    .queue_control = (size_t)1 << 20,
	    .queue_data = (size_t)4 << 20,
	};
	gossip_params_default(&opt->params);
	gossip_score_params_default(&opt->score);
}

static void unref(struct p2p_gossip *g)
{
	if (--g->refs > 0)
		return;
	free(g->direct);
	free(g);
}

/* ---- queues -------------------------------------------------------------------------------- */

static bool queue_put(struct queue *q, struct gossip_frame *f, size_t limit)
{
	size_t n = gossip_frame_bytes(f).n;
	struct queued *item;

	/* One frame always fits. */
	if (q->bytes > 0 && q->bytes + n > limit)
		return false;
	item = malloc(sizeof *item);
	if (!item)
		return false;
	*item = (struct queued){.frame = gossip_frame_ref(f)};
	*(q->last ? &q->last->next : &q->first) = item;
	q->last = item;
	q->bytes += n;
	return true;
}

static struct gossip_frame *queue_take(struct queue *q)
{
	struct queued *item = q->first;
	struct gossip_frame *f;

	if (!item)
		return NULL;
	f = item->frame;
	q->first = item->next;
	if (!q->first)
		q->last = NULL;
	q->bytes -= gossip_frame_bytes(f).n;
	free(item);
	return f;
}

static void queue_clear(struct queue *q)
{
	struct gossip_frame *f;

	while ((f = queue_take(q)) != NULL)
		gossip_frame_unref(f);
}

static void enqueue(struct member *m, const struct gossip_out *out)
{
	bool fits = out->control ? queue_put(&m->control, out->frame, m->gossip->opt.queue_control)
				 : queue_put(&m->data, out->frame, m->gossip->opt.queue_data);

	if (!fits) {
		m->dropped++;
		m->overrun |= out->control;
	}
	waitq_wake_one(&m->work);
}

/* ---- dialling whom the router wants -------------------------------------------------------- */

struct dialler {
	struct p2p_gossip *gossip;
	struct peer_id peer;
	struct multiaddr *addrs;
	size_t n;
};

static void dial_fiber(void *arg)
{
	struct dialler *d = arg;
	struct err err = {0};
	char id[PEER_ID_TEXT_MAX];

	if (p2p_dial(d->gossip->host, &d->peer, d->addrs, d->n, NULL, &err) != 0 &&
	    err.code != E_CANCELLED) {
		peer_id_print(&d->peer, id);
		rt_log(LOG_DEBUG, "gossip", "%s: not reached: %s", id, err_text(&err));
	}
	d->gossip->diallers--;
	free(d->addrs);
	free(d);
}

static void dial(struct p2p_gossip *g, struct gossip_out *out)
{
	struct dialler *d = NULL;

	if (g->diallers >= DIALLERS_MAX || p2p_connected(g->host, &out->peer) ||
	    (d = malloc(sizeof *d)) == NULL)
		return;
	*d = (struct dialler){
	    .gossip = g, .peer = out->peer, .addrs = out->addrs, .n = out->n_addrs};
	if (fiber_spawn(&g->scope, "gossip dial", dial_fiber, d, NULL) != 0) {
		free(d);
		return;
	}
	g->diallers++;
	out->addrs = NULL;
}

/* ---- decisions ----------------------------------------------------------------------------- */

static struct subscription **find_subscription(struct p2p_gossip *g, struct bytes topic)
{
	struct subscription **at = &g->subscriptions;

	while (*at && !bytes_equal(bytes_str((*at)->topic), topic))
		at = &(*at)->next;
	return at;
}

static void judge(struct p2p_gossip *g, const struct gossip_out *out)
{
	const struct subscription *s = *find_subscription(g, out->message.topic);
	enum gossip_verdict v = s ? s->fn(s->arg, &out->message) : GOSSIP_IGNORE;

	gossip_router_verdict(g->router, &out->id, v, rt_now());
}

/* Handlers publish and unsubscribe: what that decides is done by the loop that called them. */
static void drain(struct p2p_gossip *g)
{
	struct gossip_out out;

	if (g->draining)
		return;
	g->draining = true;
	while (gossip_router_next(g->router, &out)) {
		switch (out.kind) {
		case GOSSIP_OUT_SEND:
			enqueue(out.user, &out);
			break;
		case GOSSIP_OUT_DELIVER:
			judge(g, &out);
			break;
		case GOSSIP_OUT_DIAL:
			dial(g, &out);
			break;
		}
		gossip_out_free(&out);
	}
	g->draining = false;
}

/* ---- writing ------------------------------------------------------------------------------- */

static size_t take_batch(struct member *m, struct gossip_frame *frames[WRITE_BATCH])
{
	size_t n = 0;

	while (n < WRITE_BATCH && (frames[n] = queue_take(&m->control)) != NULL)
		n++;
	while (n < WRITE_BATCH && (frames[n] = queue_take(&m->data)) != NULL)
		n++;
	return n;
}

static int write_batch(struct member *m, struct stream *s, struct err *err)
{
	struct gossip_frame *frames[WRITE_BATCH];
	struct bytes views[WRITE_BATCH];
	size_t n = take_batch(m, frames);
	struct scope sc;
	int rc;

	for (size_t i = 0; i < n; i++)
		views[i] = gossip_frame_bytes(frames[i]);
	scope_open(&sc, duration_s(WRITE_PATIENCE_S));
	rc = n > 0 ? stream_writev(s, views, n, err) : 0;
	scope_close(&sc);
	for (size_t i = 0; i < n; i++)
		gossip_frame_unref(frames[i]);
	return rc;
}

static void renew(struct member *m)
{
	m->overrun = false;
	if (m->gone)
		return;
	gossip_router_renew(m->gossip->router, &m->id, rt_now());
	drain(m->gossip);
}

/* Another connection to the peer is the better one now, a direct one in place of a relay. */
static bool should_move(const struct member *m)
{
	const struct p2p_host *h = m->gossip->host;
	const struct peer *p = peer_find(h, &m->id);
	const struct conn *best = p ? conn_preferred(h, p) : NULL;

	return best && best->id != m->conn;
}

/* 0 when it is time to move. */
static int write_on(struct member *m, struct stream *s, struct err *err)
{
	int rc = 0;

	while (rc == 0 && !should_move(m)) {
		if (!m->control.first && !m->data.first && m->overrun)
			renew(m);
		else if (!m->control.first && !m->data.first)
			rc = waitq_wait(&m->work, err);
		else
			rc = write_batch(m, s, err);
	}
	return rc;
}

/* One stream's life: 0 when the next one should follow at once, on a better connection. *worked:
 * something went out on it. */
static int serve_stream(struct member *m, bool *worked, struct err *err)
{
	struct p2p_stream_info info;
	struct stream *s;
	int rc = p2p_open_stream(m->gossip->host, &m->id, &m->protocol, 1, &s, NULL, err);

	if (rc != 0)
		return rc;
	m->conn = p2p_stream_info(s, &info) ? info.conn : 0;
	rc = write_batch(m, s, err);
	*worked = rc == 0;
	if (rc == 0)
		rc = write_on(m, s, err);
	if (rc == 0)
		rc = stream_close_write(s, err);
	if (rc != 0)
		stream_reset(s, rc);
	stream_close(s);
	return rc;
}

static void write_until_gone(struct member *m)
{
	struct err err = {0};
	unsigned failures = 0;
	bool worked = false;

	while (!m->gone && failures < OPEN_TRIES) {
		int rc = serve_stream(m, &worked, &err);
		if (rc == E_CANCELLED)
			return;
		if (rc == 0)
			continue;
		failures = worked ? 1 : failures + 1;
		worked = false;
		/* What was under way is lost; the next stream begins with all that matters. */
		queue_clear(&m->control);
		queue_clear(&m->data);
		if (fiber_sleep(duration_s((int64_t)1 << failures)) != 0)
			return;
		if (m->gone || !p2p_connected(m->gossip->host, &m->id))
			return;
		renew(m);
	}
	if (!m->gone)
		rt_log(
		    LOG_INFO, "gossip", "a peer left alone, its streams fail: %s", err_text(&err));
}

static void detach(struct member *m)
{
	if (m->gone)
		return;
	m->gone = true;
	gossip_router_disconnect(m->gossip->router, &m->id, rt_now());
	if (m->scope)
		scope_cancel(m->scope);
}

static void member_fiber(void *arg)
{
	struct member *m = arg;
	struct scope sc;

	scope_open(&sc, DURATION_FOREVER);
	m->scope = &sc;
	write_until_gone(m);
	m->scope = NULL;
	scope_close(&sc);
	detach(m);
	*(m->prev ? &m->prev->next : &m->gossip->members) = m->next;
	if (m->next)
		m->next->prev = m->prev;
	queue_clear(&m->control);
	queue_clear(&m->data);
	free(m);
}

/* ---- peers coming and going ---------------------------------------------------------------- */

static struct member *find_member(const struct p2p_gossip *g, const struct peer_id *id)
{
	struct member *m = g->members;

	while (m && (m->gone || !peer_id_equal(&m->id, id)))
		m = m->next;
	return m;
}

/* The address that P6 counts. Loopback is everybody's, a relay's is many people's; of an IPv6
 * address the network counts, since one customer is given all of it. */
static struct bytes counted_ip(const struct multiaddr *remote)
{
	struct cursor c = cursor_of(multiaddr_bytes(remote));
	struct multiaddr_part part;
	struct bytes ip = {0};

	if (multiaddr_reach(remote) == MA_REACH_LOOPBACK)
		return ip;
	while (multiaddr_next(&c, &part)) {
		if (part.code == MA_P2P_CIRCUIT)
			return (struct bytes){0};
		if (ip.n == 0 && part.code == MA_IP4)
			ip = part.value;
		else if (ip.n == 0 && part.code == MA_IP6)
			ip = bytes_of(part.value.p, 8);
	}
	return ip;
}

static int tell_router(struct member *m, size_t protocol, struct err *err)
{
	const struct p2p_host *h = m->gossip->host;
	const struct peer *p = peer_find(h, &m->id);
	const struct conn *c = p ? conn_preferred(h, p) : NULL;
	struct gossip_connect info = {.peer = m->id, .protocol = kinds[protocol], .user = m};

	if (!c)
		return err_set(err, E_CLOSED, "the connection is gone");
	info.direction = c->direction;
	info.ip = counted_ip(&c->remote);
	return gossip_router_connect(m->gossip->router, &info, rt_now(), err);
}

static void attach(struct p2p_gossip *g, const struct peer_id *id, size_t protocol)
{
	struct member *m;
	struct err err = {0};
	int rc;

	if (g->closed || find_member(g, id) || (g->opt.with && !g->opt.with(g->opt.with_arg, id)) ||
	    (m = calloc(1, sizeof *m)) == NULL)
		return;
	m->gossip = g;
	m->id = *id;
	m->protocol = protocols[protocol];
	rc = tell_router(m, protocol, &err);
	if (rc == 0) {
		rc = fiber_spawn(&g->scope, "gossip write", member_fiber, m, &err);
		if (rc != 0)
			gossip_router_disconnect(g->router, id, rt_now());
	}
	if (rc != 0) {
		rt_log(LOG_DEBUG, "gossip", "a peer without gossip: %s", err_text(&err));
		drain(g); /* what the router has for it already */
		queue_clear(&m->control);
		queue_clear(&m->data);
		free(m);
	} else {
		m->next = g->members;
		if (m->next)
			m->next->prev = m;
		g->members = m;
	}
}

/* The best protocol that identify lists. A peer that lists none any more has stopped gossiping. */
static void attach_identified(struct p2p_gossip *g, const struct peer_id *id)
{
	struct member *m = find_member(g, id);

	for (size_t i = 0; i < GOSSIP_PROTOCOLS_N; i++) {
		if (!p2p_peer_speaks(g->host, id, protocols[i]))
			continue;
		attach(g, id, i);
		return;
	}
	if (m)
		detach(m);
}

void p2p_gossip_meet(struct p2p_gossip *g, const struct peer_id *peer)
{
	attach_identified(g, peer);
	drain(g);
}

static void on_event(void *arg, const struct p2p_event *e)
{
	struct p2p_gossip *g = arg;
	struct member *m;

	if (e->kind == P2P_PEER_IDENTIFIED) {
		attach_identified(g, &e->peer);
	} else if (e->kind == P2P_PEER_DISCONNECTED) {
		m = find_member(g, &e->peer);
		if (m)
			detach(m);
	}
	drain(g);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Takes the whole RPCs at the front of `in`. */
static int take_rpcs(
    struct p2p_gossip *g, const struct peer_id *peer, struct buf *in, struct err *err)
{
	size_t at = 0;
	uint64_t n;
	int rc = 0;

	while (rc == 0 && at < in->n && !g->closed) {
		int used = varint_decode(bytes_of(in->p + at, in->n - at), &n);
		if (used < 0)
			rc = err_set(err, E_PROTOCOL, "malformed length of an RPC");
		else if (used > 0 && n > GOSSIP_RPC_MAX)
			rc =
			    err_set(err, E_PROTOCOL, "an RPC of %llu bytes", (unsigned long long)n);
		if (rc != 0 || used == 0 || in->n - at - (size_t)used < n)
			break;
		at += (size_t)used;
		rc = gossip_router_receive(
		    g->router, peer, bytes_of(in->p + at, (size_t)n), rt_now(), err);
		rc = rc == E_NOT_FOUND ? 0 : rc;
		at += (size_t)n;
		drain(g);
	}
	buf_consume(in, at);
	return rc;
}

/* Until the end or an error. Memory is held only while an RPC is under way. */
static int read_all(struct p2p_gossip *g, const struct reader *rd, struct err *err)
{
	struct buf in = BUF_INIT(GOSSIP_RPC_MAX + VARINT_MAX + READ_BUSY);
	size_t room = READ_IDLE;
	int rc = 0;

	while (rc == 0 && !g->closed) {
		if ((rc = buf_reserve(&in, room)) != 0)
			break;
		ssize_t n = stream_read(rd->stream, in.p + in.n, room, err);
		if (n <= 0 || g->closed) {
			rc = n < 0 ? (int)n : E_CLOSED;
			break;
		}
		in.n += (size_t)n;
		rc = take_rpcs(g, &rd->peer, &in, err);
		room = (size_t)n == room || in.n > 0 ? READ_BUSY : READ_IDLE;
		if (room == READ_IDLE)
			buf_free(&in);
		fiber_yield();
	}
	buf_free(&in);
	return rc;
}

static bool too_many_readers(const struct p2p_gossip *g, const struct peer_id *peer)
{
	unsigned n = 0;

	for (const struct reader *rd = g->readers; rd; rd = rd->next)
		n += peer_id_equal(&rd->peer, peer);
	return n >= READERS_PER_PEER;
}

static void read_stream(struct p2p_gossip *g, struct stream *s, const struct p2p_stream_info *info)
{
	struct reader rd = {.next = g->readers, .peer = info->peer, .stream = s};
	struct err err = {0};
	int rc;

	if (rd.next)
		rd.next->prev = &rd;
	g->readers = &rd;
	rc = read_all(g, &rd, &err);
	if (rc == E_PROTOCOL)
		rt_log(LOG_INFO, "gossip", "%s: %s", s->remote, err_text(&err));
	p2p_report_end(g->host, &info->peer, rc, err_text(&err));
	*(rd.prev ? &rd.prev->next : &g->readers) = rd.next;
	if (rd.next)
		rd.next->prev = rd.prev;
	if (rc != E_CLOSED)
		stream_reset(s, rc);
}

/* A peer that opens another stream may have begun anew, and then knows nothing of us; our own
 * stream is tried by telling it. */
static void greet_stream(struct p2p_gossip *g, const struct p2p_stream_info *info)
{
	struct member *m;

	for (size_t i = 0; i < GOSSIP_PROTOCOLS_N; i++)
		if (strcmp(info->protocol, protocols[i]) == 0)
			attach(g, &info->peer, i);
	m = find_member(g, &info->peer);
	if (m && m->heard)
		renew(m);
	else if (m)
		m->heard = true;
	drain(g);
}

static void serve(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct p2p_gossip *g = arg;

	g->refs++;
	if (g->closed || too_many_readers(g, &info->peer)) {
		stream_reset(s, E_LIMIT);
	} else {
		greet_stream(g, info);
		read_stream(g, s, info);
	}
	stream_close(s);
	unref(g);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void heartbeat_fiber(void *arg)
{
	struct p2p_gossip *g = arg;

	while (fiber_sleep(g->opt.params.heartbeat) == 0) {
		gossip_router_heartbeat(g->router, rt_now());
		drain(g);
		for (struct member *m = g->members; m; m = m->next)
			if (should_move(m))
				waitq_wake_one(&m->work);
	}
}

/* What the peer itself has signed, for others to dial. */
static struct bytes record_of(void *arg, const struct peer_id *id)
{
	const struct p2p_gossip *g = arg;
	const struct peer *p = peer_find(g->host, id);

	return p ? buf_view(&p->said.record) : (struct bytes){0};
}

static int make_router(struct p2p_gossip *g, struct err *err)
{
	struct world *w = g->host->world;
	struct gossip_router_options opt = {
	    .params = g->opt.params,
	    .score = g->opt.score,
	    .identity = &g->host->identity,
	    .seed = world_random_u64(w),
	    /* Nanoseconds: a restart continues above whatever was sent before. */
	    .first_seqno = (uint64_t)world_wall_ms(w) * 1000000,
	    .direct = g->opt.direct,
	    .n_direct = g->opt.n_direct,
	    .peers_max =
		g->host->limits.peers + g->host->limits.conns_in + g->host->limits.conns_out,
	    .record = record_of,
	    .arg = g,
	};

	return gossip_router_new(&opt, rt_now(), &g->router, err);
}

static int serve_protocols(struct p2p_gossip *g, struct err *err)
{
	for (size_t i = 0; i < GOSSIP_PROTOCOLS_N; i++) {
		int rc = p2p_handle(g->host, protocols[i], serve, g, err);
		if (rc == 0)
			continue;
		while (i-- > 0)
			p2p_unhandle(g->host, protocols[i]);
		return rc;
	}
	return 0;
}

static void protect_direct(struct p2p_gossip *g)
{
	for (size_t i = 0; i < g->opt.n_direct; i++)
		if (p2p_protect(g->host, &g->opt.direct[i], PROTECT_TAG, NULL) != 0)
			rt_log(LOG_WARN, "gossip", "a direct peer cannot be protected");
}

/* Peers that were there before us. */
static void attach_all(struct p2p_gossip *g)
{
	for (const struct conn *c = g->host->conns; c; c = c->next)
		if (c->peer->identified)
			attach_identified(g, &c->peer->id);
	drain(g);
}

static struct p2p_gossip *make(struct p2p_host *host, const struct p2p_gossip_options *opt)
{
	struct p2p_gossip *g = calloc(1, sizeof *g);
	struct peer_id *direct = calloc(opt->n_direct + 1, sizeof *direct);

	if (!g || !direct) {
		free(g);
		free(direct);
		return NULL;
	}
	if (opt->n_direct)
		memcpy(direct, opt->direct, opt->n_direct * sizeof *direct);
	g->host = host;
	g->opt = *opt;
	g->direct = direct;
	g->opt.direct = direct;
	g->refs = 1;
	return g;
}

int p2p_gossip_new(struct p2p_host *host, const struct p2p_gossip_options *opt,
    struct p2p_gossip **out, struct err *err)
{
	struct p2p_gossip *g = make(host, opt);
	int rc = g ? make_router(g, err) : err_set(err, E_MEMORY, "no memory for gossip");

	if (rc != 0) {
		if (g)
			unref(g);
		return rc;
	}
	scope_init(&g->scope, NULL);
	rc = fiber_spawn(&g->scope, "gossip heartbeat", heartbeat_fiber, g, err);
	if (rc == 0)
		rc = serve_protocols(g, err);
	if (rc != 0) {
		scope_close(&g->scope);
		gossip_router_free(g->router);
		unref(g);
		return rc;
	}
	p2p_on_event(host, on_event, g);
	protect_direct(g);
	attach_all(g);
	*out = g;
	return 0;
}

void p2p_gossip_close(struct p2p_gossip *g)
{
	struct subscription *s;

	if (!g)
		return;
	p2p_off_event(g->host, on_event, g);
	for (size_t i = 0; i < GOSSIP_PROTOCOLS_N; i++)
		p2p_unhandle(g->host, protocols[i]);
	for (size_t i = 0; i < g->opt.n_direct; i++)
		p2p_unprotect(g->host, &g->opt.direct[i], PROTECT_TAG);
	g->closed = true;
	for (const struct reader *rd = g->readers; rd; rd = rd->next)
		stream_reset(rd->stream, E_CLOSED);
	scope_close(&g->scope);
	gossip_router_free(g->router);
	g->router = NULL;
	while ((s = g->subscriptions) != NULL) {
		g->subscriptions = s->next;
		free(s);
	}
	unref(g);
}

/* ---- the application ----------------------------------------------------------------------- */

int p2p_gossip_subscribe(struct p2p_gossip *g, const char *topic,
    const struct gossip_topic_params *params, p2p_gossip_fn fn, void *arg, struct err *err)
{
	struct subscription *s = calloc(1, sizeof *s);
	int rc = s ? gossip_router_subscribe(g->router, bytes_str(topic), params, rt_now(), err)
		   : err_set(err, E_MEMORY, "no memory for a subscription");

	if (rc != 0) {
		free(s);
		return rc;
	}
	s->fn = fn;
	s->arg = arg;
	memcpy(s->topic, topic, strlen(topic) + 1);
	s->next = g->subscriptions;
	g->subscriptions = s;
	drain(g);
	return 0;
}

void p2p_gossip_unsubscribe(struct p2p_gossip *g, const char *topic)
{
	struct subscription **at = find_subscription(g, bytes_str(topic)), *s = *at;

	if (!s)
		return;
	*at = s->next;
	free(s);
	gossip_router_unsubscribe(g->router, bytes_str(topic), rt_now());
	drain(g);
}

int p2p_gossip_publish(struct p2p_gossip *g, const char *topic, struct bytes data, struct err *err)
{
	int rc = gossip_router_publish(g->router, bytes_str(topic), data, rt_now(), err);

	drain(g);
	return rc;
}

void p2p_gossip_set_app_score(struct p2p_gossip *g, const struct peer_id *peer, double score)
{
	gossip_router_set_app_score(g->router, peer, score);
}

size_t p2p_gossip_peers(const struct p2p_gossip *g, struct p2p_gossip_peer *out, size_t cap)
{
	size_t n = gossip_router_peers(g->router, out, cap);

	for (size_t i = 0; i < n && i < cap; i++) {
		const struct member *m = find_member(g, &out[i].id);
		out[i].dropped = m ? m->dropped : 0;
	}
	return n;
}

void p2p_gossip_topic_peers(
    const struct p2p_gossip *g, const char *topic, size_t *mesh, size_t *subscribers)
{
	gossip_router_topic_peers(g->router, bytes_str(topic), mesh, subscribers);
}
