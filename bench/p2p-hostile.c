/* How a healthy peer fares while 500 others do their worst: a host in one process, the hostile
 * peers in another, and in a third a peer that pings every ten milliseconds. Five rounds, each
 * without and with the hostile ones; prints the 99th percentiles and their medians.
 *
 *   half open   a third never speaks, or stops in the middle of its handshake; comes again when cut
 * off slow        a third opens streams and drips bytes into them, and asks for more than it reads
 *   flooding    a third, ten times a second: pings, streams for garbage protocols, streams of which
 *               nothing comes, requests to the DHT, gossip control, 16 KiB of data; some of it
 *               malformed
 *
 * usage: p2p-hostile [PEERS [PINGS]] */
#include "crypto/crypto.h"
#include "p2p/gossip.h"
#include "p2p/kad.h"
#include "p2p/p2p.h"
#include "rt/world_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS    5
#define PING_MS   10
#define FLOOD_MS  100 /* between two bursts of one flooding peer */
#define DATA      16384
#define SETTLE_S  3 /* after the hostile peers came or went */
#define ECHO      "/bench/echo"
#define SINK      "/bench/sink"
#define KAD       "/opengateway/kad/1.0.0"
#define TOPIC     "bench"
#define PINGS_MAX 10000
#define DRIPPED   8 /* streams of a slow peer */

#define MUST(expr)                                                                                 \
	do {                                                                                       \
		struct err err = {0};                                                              \
		if ((expr) != 0) {                                                                 \
			fprintf(stderr, "p2p-hostile: %s: %s\n", #expr, err_text(&err));           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct bench {
	struct world *world;
	unsigned peers, pings;
	int out; /* where a child tells its result */
	struct multiaddr to;
	struct netaddr at;
	unsigned ready; /* hostile peers that have begun */
};

struct foe {
	struct bench *bench;
	unsigned number;
	struct p2p_host *host;
	const struct peer_id *victim;
};

static struct p2p_host *host_new(struct bench *b, const char *name, bool listens)
{
	uint8_t seed[ED25519_SEED_SIZE];
	struct identity id;
	struct p2p_options opt;
	struct multiaddr listen;
	struct p2p_host *h;

	sha256(bytes_str(name), seed);
	identity_from_seed(seed, &id);
	MUST(multiaddr_parse(bytes_str("/ip4/127.0.0.1/tcp/0"), &listen, &err));
	p2p_options_default(&opt);
	opt.identity = &id;
	opt.listen = &listen;
	opt.n_listen = listens;
	MUST(p2p_host_new(b->world, &opt, &h, &err));
	return h;
}

static void tell(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		exit(1);
}

/* ---- the host ------------------------------------------------------------------------------ */

static void serve_echo(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = stream_read(s, buf, sizeof buf, NULL)) > 0 &&
	       stream_write(s, buf, (size_t)n, NULL) == 0) {
	}
	stream_close(s);
}

static void serve_sink(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t buf[4096];

	while (stream_read(s, buf, sizeof buf, NULL) > 0) {
	}
	stream_close(s);
}

static enum gossip_verdict on_message(void *arg, const struct p2p_gossip_message *m)
{
	return GOSSIP_ACCEPT;
}

static void host_fiber(void *arg)
{
	struct bench *b = arg;
	struct p2p_host *h = host_new(b, "host", true);
	struct p2p_gossip_options gossip;
	struct p2p_kad_options table;
	struct p2p_gossip *g;
	struct p2p_kad *k;

	p2p_gossip_options_default(&gossip);
	p2p_kad_options_default(&table);
	table.mode = P2P_KAD_SERVER;
	MUST(p2p_gossip_new(h, &gossip, &g, &err));
	MUST(p2p_gossip_subscribe(g, TOPIC, NULL, on_message, NULL, &err));
	MUST(p2p_kad_new(h, &table, &k, &err));
	MUST(p2p_handle(h, ECHO, serve_echo, NULL, &err));
	MUST(p2p_handle(h, SINK, serve_sink, NULL, &err));
	(void)p2p_host_addrs(h, &b->to, 1);
	MUST(multiaddr_append_peer(&b->to, p2p_host_id(h), &err));
	tell(b->out, &b->to, sizeof b->to);
	for (;;)
		MUST(fiber_sleep(duration_s(3600)));
}

/* ---- a healthy peer ------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void healthy_fiber(void *arg)
{
	static double ms[PINGS_MAX];
	struct bench *b = arg;
	struct p2p_host *h = host_new(b, "healthy", false);
	struct duration rtt;
	struct peer_id peer;

	MUST(p2p_dial(h, NULL, &b->to, 1, NULL, &err));
	if (!multiaddr_peer(&b->to, &peer))
		exit(1);
	MUST(fiber_sleep(duration_ms(500)));
	for (unsigned i = 0; i < b->pings; i++) {
		MUST(p2p_ping(h, &peer, &rtt, &err));
		ms[i] = (double)rtt.ns / 1e6;
		MUST(fiber_sleep(duration_ms(PING_MS)));
	}
	qsort(ms, b->pings, sizeof ms[0], by_size);
	double p99 = ms[b->pings * 99 / 100];
	tell(b->out, &p99, sizeof p99);
	exit(0);
}

/* ---- hostile peers ------------------------------------------------------------------------- */

/* Says nothing, or the beginning of what is expected; waits to be cut off; comes again. */
static void half_open(struct foe *f)
{
	static const char begun[] = "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20half a handsh";
	struct stream *s;
	uint8_t in[256];

	f->bench->ready++;
	for (;;) {
		if (world_tcp_dial(f->bench->world, &f->bench->at, &s, NULL) == 0) {
			size_t n = f->number / 3 % 3 * (sizeof begun / 2 - 1);
			if (n == 0 || stream_write(s, begun, n, NULL) == 0)
				while (stream_read(s, in, sizeof in, NULL) > 0) {
				}
			stream_close(s);
		}
		MUST(fiber_sleep(duration_ms(500)));
	}
}

static struct stream *open_stream(struct foe *f, const char *protocol)
{
	struct stream *s = NULL;
	struct scope sc;

	scope_open(&sc, duration_s(5));
	if (p2p_open_stream(f->host, f->victim, &protocol, 1, &s, NULL, NULL) != 0)
		s = NULL;
	scope_close(&sc);
	return s;
}

static bool reach(struct foe *f)
{
	struct scope sc;

	scope_open(&sc, duration_s(20));
	int rc = p2p_dial(f->host, NULL, &f->bench->to, 1, NULL, NULL);
	scope_close(&sc);
	return rc == 0;
}

/* Writes without caring whether it gets through at once. */
static bool put(struct stream *s, const void *p, size_t n)
{
	struct scope sc;

	scope_open(&sc, duration_ms(50));
	int rc = stream_write(s, p, n, NULL);
	scope_close(&sc);
	return rc == 0;
}

static void slow(struct foe *f)
{
	struct stream *s[DRIPPED] = {0};
	uint8_t *much = calloc(1, 1 << 20);

	f->bench->ready += reach(f);
	for (;;) {
		for (int i = 0; i < DRIPPED; i++) {
			if (!s[i] && (s[i] = open_stream(f, i % 2 ? ECHO : SINK)) && i % 2)
				(void)put(s[i], much, 1 << 20); /* and reads none of it back */
			else if (s[i] && !put(s[i], "x", 1) && i % 2 == 0) {
				stream_close(s[i]);
				s[i] = NULL;
			}
		}
		MUST(fiber_sleep(duration_s(1)));
		if (!p2p_connected(f->host, f->victim))
			(void)reach(f);
	}
}

/* IHAVE of fifty unknown messages, GRAFTs and PRUNEs, subscriptions to topics of its own. */
static void gossip_junk(struct foe *f, unsigned round, struct buf *out)
{
	char name[32];
	struct buf body = BUF_INIT(8192);
	int n = snprintf(name, sizeof name, "topic %u %u", f->number, round);

	buf_printf(&body, "\x0a%c\x08\x01\x12%c%s", n + 4, n, name);
	if (round % 8 == 7) /* malformed */
		buf_printf(&body, "\x1a\x7f");
	buf_printf(&body, "\x1a%c\x1a%c\x0a%c%s", n + 4, n + 2, n, name);
	buf_u8(out, (uint8_t)body.n);
	buf_bytes(out, buf_view(&body));
	buf_free(&body);
}

static void once(struct foe *f, const char *protocol, const void *p, size_t n)
{
	struct stream *s = open_stream(f, protocol);

	if (s && n > 0)
		(void)put(s, p, n);
	if (s)
		stream_reset(s, E_CANCELLED);
	stream_close(s);
}

static void burst(struct foe *f, unsigned round, struct stream **held)
{
	static const uint8_t find_node[] = {6, 0x08, 0x04, 0x52, 0x02, 'a', 'b'};
	struct buf junk = BUF_INIT(8192);
	static const uint8_t data[DATA];
	char garbage[64];

	(void)snprintf(garbage, sizeof garbage, "/garbage/%u/%u", f->number, round);
	once(f, "/ipfs/ping/1.0.0", data, 32);
	once(f, garbage, data, 32);
	once(f, ECHO, data, 0);
	once(f, KAD, find_node, sizeof find_node);
	once(f, SINK, data, DATA);
	gossip_junk(f, round, &junk);
	if (!*held)
		*held = open_stream(f, GOSSIP_PROTOCOL_11);
	if (*held && !put(*held, junk.p, junk.n)) {
		stream_close(*held);
		*held = NULL;
	}
	buf_free(&junk);
}

static void flood(struct foe *f)
{
	struct stream *held = NULL;

	f->bench->ready += reach(f);
	MUST(fiber_sleep(duration_ms((int64_t)f->number * 7 % FLOOD_MS)));
	for (unsigned round = 0;; round++) {
		struct instant next = instant_add(rt_now(), duration_ms(FLOOD_MS));
		if (p2p_connected(f->host, f->victim))
			burst(f, round, &held);
		else if (!reach(f))
			MUST(fiber_sleep(duration_s(1)));
		if (instant_before(rt_now(), next))
			MUST(fiber_sleep(instant_since(next, rt_now())));
	}
}

static void foe_fiber(void *arg)
{
	static void (*const ways[])(struct foe * f) = {half_open, slow, flood};
	struct foe *f = arg;

	ways[f->number % 3](f);
}

static void hostile_fiber(void *arg)
{
	struct bench *b = arg;
	struct foe *foes = calloc(b->peers, sizeof *foes);
	struct multiaddr_tcp tcp;
	struct peer_id victim;
	char name[32];

	MUST(multiaddr_tcp(&b->to, &tcp, &err));
	MUST(netaddr_parse_ip(tcp.host, &b->at, &err));
	b->at.port = tcp.port;
	if (!multiaddr_peer(&b->to, &victim))
		exit(1);
	for (unsigned i = 0; i < b->peers; i++) {
		foes[i] = (struct foe){.bench = b, .number = i, .victim = &victim};
		(void)snprintf(name, sizeof name, "foe %u", i);
		if (i % 3 != 0)
			foes[i].host = host_new(b, name, false);
		MUST(fiber_spawn(NULL, "foe", foe_fiber, &foes[i], &err));
	}
	for (int i = 0; i < 300 && b->ready < b->peers; i++)
		MUST(fiber_sleep(duration_ms(100)));
	tell(b->out, &b->ready, sizeof b->ready);
	for (;;)
		MUST(fiber_sleep(duration_s(3600)));
}

/* ---- processes ----------------------------------------------------------------------------- */

static pid_t begin(struct bench *b, void (*fn)(void *), int *from)
{
	int ends[2];

	if (pipe(ends) != 0)
		exit(1);
	pid_t child = fork();
	if (child < 0)
		exit(1);
	*from = ends[0];
	if (child > 0) {
		close(ends[1]);
		return child;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	b->out = ends[1];
	MUST(crypto_init(&err));
	MUST(world_uv_new(&b->world, &err));
	MUST(rt_start(b->world->rt, "bench", NULL, fn, b, &err));
	rt_run(b->world->rt);
	exit(1);
}

static void hear(int from, void *p, size_t n)
{
	if (read(from, p, n) != (ssize_t)n) {
		fprintf(stderr, "p2p-hostile: a process has ended\n");
		exit(1);
	}
	close(from);
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static double measure(struct bench *b)
{
	double p99;
	int from;
	pid_t child = begin(b, healthy_fiber, &from);

	hear(from, &p99, sizeof p99);
	waitpid(child, NULL, 0);
	return p99;
}

int main(int argc, char **argv)
{
	struct bench b = {.peers = argc > 1 ? (unsigned)atoi(argv[1]) : 500,
	    .pings = argc > 2 ? (unsigned)atoi(argv[2]) : 500};
	double alone[ROUNDS], among[ROUNDS];
	struct rlimit files;
	int from;

	if (b.pings == 0 || b.pings > PINGS_MAX || getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 1;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	pid_t host = begin(&b, host_fiber, &from);
	hear(from, &b.to, sizeof b.to);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned ready;
		alone[i] = measure(&b);
		pid_t hostile = begin(&b, hostile_fiber, &from);
		hear(from, &ready, sizeof ready);
		sleep(SETTLE_S);
		among[i] = measure(&b);
		end(hostile);
		printf("round %d     p99 %6.2f ms alone, %6.2f ms among %u hostile peers\n", i + 1,
		    alone[i], among[i], ready);
		fflush(stdout);
		sleep(SETTLE_S);
	}
	end(host);
	qsort(alone, ROUNDS, sizeof alone[0], by_size);
	qsort(among, ROUNDS, sizeof among[0], by_size);
	double bound = 2 * alone[ROUNDS / 2] > 20 ? 2 * alone[ROUNDS / 2] : 20;
	printf("medians     p99 %6.2f ms alone, %6.2f ms among hostile peers: %s %.0f ms\n",
	    alone[ROUNDS / 2], among[ROUNDS / 2], among[ROUNDS / 2] <= bound ? "within" : "ABOVE",
	    bound);
	return among[ROUNDS / 2] <= bound ? 0 : 1;
}
