/* One end of the comparison in bench/p2p.mjs: the one that dials. The other end is
 * examples/p2p-peer; bench/p2p-end.mjs is the same made of the JavaScript libp2p.
 *
 * Prints "ready", then does what standard input says, one command per line, and answers each with
 * "done SECONDS" ("heard": the count) or "failed WHY":
 *
 *	dial MULTIADDR          connects; all else is done with that peer
 *	sink BYTES              one stream, one way, until the other end tells the count
 *	echo BYTES              one stream, out and back
 *	opens COUNT LANES       streams: opened, negotiated, closed by both; LANES at a time
 *	handshakes COUNT LANES  connections: TCP, multistream-select, Noise, yamux, closed
 *	meshed                  waits until the peer is in the topic's mesh
 *	publish COUNT           messages, until the subscriber tells that it has heard the last
 *	expect COUNT            begins to count such messages
 *	heard                   how many there were */
#include "crypto/crypto.h"
#include "p2p/gossip.h"
#include "rt/world_uv.h"

#include <stdio.h>
#include <stdlib.h>

#define ECHO "/echo/1.0.0"
#define SINK "/sink/1.0.0"
#define BULK "og-bulk" /* the topic that examples/p2p-peer passes on */

#define PIECE        ((size_t)64 * 1024)
#define MESSAGE      64   /* bytes of a gossip message, which carries its number */
#define TOLD         4    /* bytes of an answer: the number of the last one heard */
#define WINDOW       1024 /* messages under way */
#define TELL_EVERY   128
#define PUBLISH_RUN  16 /* messages between two looks at what else is to do */
#define LANES_MAX    64
#define LINE_SIZE    512
#define MESH_LIMIT_S 15
#define SILENCE_S    5 /* of the subscriber: something was lost */

struct end {
	struct world *world;
	struct p2p_host *host;
	struct p2p_gossip *gossip;
	struct multiaddr address; /* of the other end, with /p2p */
	struct peer_id peer;
	uint32_t told;          /* of our messages, by the subscriber */
	uint32_t heard, wanted; /* of others' */
	struct waitq told_more;
};

/* ---- hosts --------------------------------------------------------------------------------- */

static int host_new(struct end *e, struct p2p_host **out, struct err *err)
{
	uint8_t seed[ED25519_SEED_SIZE];
	struct identity id;
	struct p2p_options opt;

	world_random(e->world, seed, sizeof seed);
	identity_from_seed(seed, &id);
	p2p_options_default(&opt);
	opt.identity = &id;
	return p2p_host_new(e->world, &opt, out, err);
}

static int do_dial(struct end *e, const char *text, double *seconds, struct err *err)
{
	struct p2p_conn_info info;
	p2p_conn_id conn;
	int rc = multiaddr_parse(bytes_str(text), &e->address, err);

	if (rc == 0)
		rc = p2p_dial(e->host, NULL, &e->address, 1, &conn, err);
	if (rc == 0 && !p2p_conn_info(e->host, conn, &info))
		rc = err_set(err, E_CLOSED, "the connection ended at once");
	if (rc == 0)
		e->peer = info.peer;
	*seconds = 0;
	return rc;
}

static double since(struct instant begin)
{
	return (double)instant_since(rt_now(), begin).ns / 1e9;
}

/* ---- bytes on one stream ------------------------------------------------------------------- */

struct sending {
	struct stream *stream;
	uint64_t bytes;
	int rc;
	struct err err;
};

static void send_fiber(void *arg)
{
	static const uint8_t zeros[PIECE];
	struct sending *s = arg;

	for (uint64_t left = s->bytes; s->rc == 0 && left > 0;) {
		size_t n = left < PIECE ? (size_t)left : PIECE;
		s->rc = stream_write(s->stream, zeros, n, &s->err);
		left -= n;
	}
	if (s->rc == 0)
		s->rc = stream_close_write(s->stream, &s->err);
	if (s->rc != 0)
		stream_reset(s->stream, s->rc);
}

/* Reads to the end: the count, or an error. */
static int64_t drain(struct stream *s, struct err *err)
{
	uint8_t *piece = malloc(PIECE);
	int64_t count = 0;
	ssize_t n = piece ? 1 : err_set(err, E_MEMORY, "no memory");

	while (n > 0 && (n = stream_read(s, piece, PIECE, err)) > 0)
		count += n;
	free(piece);
	return n < 0 ? n : count;
}

/* Sends so many bytes while it reads what comes back, which must be `expected` bytes. */
static int transfer(struct stream *stream, uint64_t bytes, uint64_t expected, struct err *err)
{
	struct sending s = {.stream = stream, .bytes = bytes};
	struct scope sc;
	int64_t count = 0;
	int rc;

	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(&sc, "send", send_fiber, &s, err);
	if (rc == 0)
		count = drain(stream, err);
	if (rc == 0)
		rc = scope_join(&sc);
	scope_close(&sc);
	if (rc == 0 && s.rc != 0)
		return err_set(err, s.rc, "%s", err_text(&s.err));
	if (rc == 0 && count < 0)
		return (int)count;
	if (rc == 0 && (uint64_t)count != expected)
		return err_set(err, E_PROTOCOL, "%lld bytes came back", (long long)count);
	return rc;
}

static int stream_bytes(
    struct end *e, const char *protocol, uint64_t bytes, double *seconds, struct err *err)
{
	struct instant begin = rt_now();
	struct stream *s;
	int rc = p2p_open_stream(e->host, &e->peer, &protocol, 1, &s, NULL, err);

	if (rc != 0)
		return rc;
	rc = transfer(s, bytes, strcmp(protocol, ECHO) == 0 ? bytes : sizeof(uint64_t), err);
	stream_close(s);
	*seconds = since(begin);
	return rc;
}

/* ---- many small things, some at a time ----------------------------------------------------- */

struct many;
typedef int (*one_fn)(struct many *m, unsigned lane, struct err *err);

struct many {
	struct end *end;
	one_fn one;
	uint64_t left;
	unsigned lanes_begun;
	struct p2p_host *hosts[LANES_MAX]; /* of handshakes: one connection per pair of hosts */
	struct waitq gone;
	int rc;
	struct err err;
};

static void lane_fiber(void *arg)
{
	struct many *m = arg;
	unsigned lane = m->lanes_begun++;
	struct err err = {0};

	while (m->rc == 0 && m->left > 0) {
		m->left--;
		int rc = m->one(m, lane, &err);
		if (rc != 0 && m->rc == 0)
			m->rc = err_set(&m->err, rc, "%s", err_text(&err));
	}
}

static int run_lanes(struct many *m, unsigned lanes, double *seconds, struct err *err)
{
	struct instant begin = rt_now();
	struct scope sc;
	int rc = 0;

	scope_open(&sc, DURATION_FOREVER);
	for (unsigned i = 0; rc == 0 && i < lanes; i++)
		rc = fiber_spawn(&sc, "lane", lane_fiber, m, err);
	if (rc == 0)
		rc = scope_join(&sc);
	scope_close(&sc);
	*seconds = since(begin);
	return rc == 0 && m->rc != 0 ? err_set(err, m->rc, "%s", err_text(&m->err)) : rc;
}

static int open_and_close(struct many *m, unsigned lane, struct err *err)
{
	const char *protocol = ECHO;
	struct stream *s;
	uint8_t byte;
	int rc = p2p_open_stream(m->end->host, &m->end->peer, &protocol, 1, &s, NULL, err);

	if (rc != 0)
		return rc;
	rc = stream_close_write(s, err);
	ssize_t n = rc == 0 ? stream_read(s, &byte, 1, err) : rc;
	stream_close(s);
	return n > 0 ? err_set(err, E_PROTOCOL, "a byte that was never sent came back") : (int)n;
}

static int do_opens(struct end *e, uint64_t count, unsigned lanes, double *seconds, struct err *err)
{
	struct many m = {.end = e, .one = open_and_close, .left = count};

	return run_lanes(&m, lanes, seconds, err);
}

static void on_event(void *arg, const struct p2p_event *ev)
{
	struct many *m = arg;

	if (ev->kind == P2P_PEER_DISCONNECTED)
		waitq_wake_all(&m->gone);
}

static int connect_and_close(struct many *m, unsigned lane, struct err *err)
{
	struct p2p_host *h = m->hosts[lane];
	p2p_conn_id conn;
	int rc = p2p_dial(h, NULL, &m->end->address, 1, &conn, err);

	if (rc == 0)
		p2p_conn_close(h, conn, "measured");
	while (rc == 0 && p2p_connected(h, &m->end->peer))
		rc = waitq_wait(&m->gone, err);
	return rc;
}

static int do_handshakes(
    struct end *e, uint64_t count, unsigned lanes, double *seconds, struct err *err)
{
	struct many m = {.end = e, .one = connect_and_close, .left = count};
	unsigned made = 0;
	int rc = 0;

	while (rc == 0 && made < lanes && (rc = host_new(e, &m.hosts[made], err)) == 0)
		p2p_on_event(m.hosts[made++], on_event, &m);
	if (rc == 0)
		rc = run_lanes(&m, lanes, seconds, err);
	while (made-- > 0) {
		p2p_off_event(m.hosts[made], on_event, &m);
		p2p_host_close(m.hosts[made]);
	}
	return rc;
}

/* ---- gossip -------------------------------------------------------------------------------- */

static void tell(struct end *e, uint32_t number)
{
	uint8_t told[TOLD];
	struct err err = {0};

	put_u32be(told, number);
	if (p2p_gossip_publish(e->gossip, BULK, bytes_of(told, TOLD), &err) != 0)
		fprintf(stderr, "p2p-end: %s\n", err_text(&err));
}

static enum gossip_verdict on_bulk(void *arg, const struct p2p_gossip_message *msg)
{
	struct end *e = arg;
	uint32_t number = msg->data.n >= TOLD ? get_u32be(msg->data.p) : 0;

	if (msg->data.n == TOLD) {
		e->told = number;
		waitq_wake_all(&e->told_more);
	} else if (++e->heard % TELL_EVERY == 0 || number == e->wanted) {
		tell(e, number);
	}
	return GOSSIP_ACCEPT;
}

static int gossip_start(struct end *e, struct err *err)
{
	struct p2p_gossip_options opt;
	int rc;

	p2p_gossip_options_default(&opt);
	rc = p2p_gossip_new(e->host, &opt, &e->gossip, err);
	return rc == 0 ? p2p_gossip_subscribe(e->gossip, BULK, NULL, on_bulk, e, err) : rc;
}

static int do_meshed(struct end *e, double *seconds, struct err *err)
{
	struct instant begin = rt_now();
	size_t mesh = 0, subscribers;
	int rc = 0;

	while (rc == 0 && mesh == 0 && since(begin) < MESH_LIMIT_S) {
		rc = fiber_sleep(duration_ms(50));
		p2p_gossip_topic_peers(e->gossip, BULK, &mesh, &subscribers);
	}
	*seconds = since(begin);
	return rc == 0 && mesh == 0 ? err_set(err, E_TIMEOUT, "no mesh") : rc;
}

static int publish_one(struct end *e, uint32_t number, struct err *err)
{
	uint8_t message[MESSAGE] = {0};

	put_u32be(message, number);
	if (number % PUBLISH_RUN == 0)
		fiber_yield();
	return p2p_gossip_publish(e->gossip, BULK, bytes_of(message, sizeof message), err);
}

static int do_publish(struct end *e, uint32_t count, double *seconds, struct err *err)
{
	struct instant begin = rt_now();
	int rc = 0;

	e->told = 0;
	for (uint32_t sent = 0; rc == 0 && e->told < count;)
		if (sent < count && sent - e->told < WINDOW)
			rc = publish_one(e, ++sent, err);
		else
			rc = waitq_wait_for(&e->told_more, duration_s(SILENCE_S), err);
	*seconds = since(begin);
	return rc == 0 ? 0 : err_wrap(err, rc, "no word after %u messages", e->told);
}

/* ---- commands ------------------------------------------------------------------------------ */

static int obey(struct end *e, const char *line, double *seconds, struct err *err)
{
	char name[LINE_SIZE], arg[LINE_SIZE] = "";
	unsigned lanes = 1;
	int fields = sscanf(line, "%511s %511s %u", name, arg, &lanes);
	uint64_t n = strtoull(arg, NULL, 10);

	if (fields >= 1 && strcmp(name, "meshed") == 0)
		return do_meshed(e, seconds, err);
	if (fields >= 1 && strcmp(name, "heard") == 0) {
		*seconds = e->heard;
		return 0;
	}
	if (fields < 2 || lanes < 1 || lanes > LANES_MAX)
		return err_set(err, E_INVALID, "not a command: %s", line);
	if (strcmp(name, "dial") == 0)
		return do_dial(e, arg, seconds, err);
	if (strcmp(name, "sink") == 0)
		return stream_bytes(e, SINK, n, seconds, err);
	if (strcmp(name, "echo") == 0)
		return stream_bytes(e, ECHO, n, seconds, err);
	if (strcmp(name, "opens") == 0)
		return do_opens(e, n, lanes, seconds, err);
	if (strcmp(name, "handshakes") == 0)
		return do_handshakes(e, n, lanes, seconds, err);
	if (strcmp(name, "publish") == 0)
		return do_publish(e, (uint32_t)n, seconds, err);
	if (strcmp(name, "expect") == 0) {
		e->heard = 0;
		e->wanted = (uint32_t)n;
		return 0;
	}
	return err_set(err, E_INVALID, "not a command: %s", name);
}

/* Standard input may block: a worker waits for it. */
static void read_line(void *arg)
{
	char *line = arg;

	if (!fgets(line, LINE_SIZE, stdin))
		line[0] = 0;
}

static void main_fiber(void *arg)
{
	struct end *e = arg;
	char line[LINE_SIZE];
	struct err err = {0};
	int rc = host_new(e, &e->host, &err);

	if (rc == 0)
		rc = gossip_start(e, &err);
	if (rc == 0)
		puts("ready");
	while (rc == 0) {
		double seconds = 0;
		fflush(stdout);
		rc = rt_work(read_line, line, NULL, &err);
		if (rc != 0 || line[0] == 0)
			break;
		if (obey(e, line, &seconds, &err) == 0)
			printf("done %.6f\n", seconds);
		else
			printf("failed %s\n", err_text(&err));
	}
	if (rc != 0)
		fprintf(stderr, "p2p-end: %s\n", err_text(&err));
	p2p_gossip_close(e->gossip);
	p2p_host_close(e->host);
}

int main(void)
{
	static struct end e;
	struct err err = {0};

	if (crypto_init(&err) != 0 || world_uv_new(&e.world, &err) != 0 ||
	    rt_start(e.world->rt, "main", NULL, main_fiber, &e, &err) != 0) {
		fprintf(stderr, "p2p-end: %s\n", err_text(&err));
		return 1;
	}
	rt_run(e.world->rt);
	world_uv_free(e.world);
	return 0;
}
