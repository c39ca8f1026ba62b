/* What the p2p room costs, on one core: two hosts in one process over TCP on loopback.
 *
 * baseline    records sealed, sent, received and opened, nothing else: what cannot be saved
 * stream      one libp2p stream carrying bytes one way; and the share of the baseline it reaches
 * streams     sixteen at once
 * handshakes  TCP, multistream-select, Noise, yamux, both sides, one after the other
 * opens       streams opened, negotiated, one byte there and back, closed; 64 at a time
 * memory      of an idle connection, both ends */
#include "crypto/crypto.h"
#include "p2p/p2p.h"
#include "rt/world_uv.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define TOTAL      ((uint64_t)512 << 20)
#define CHUNK      ((size_t)64 * 1024)
#define HANDSHAKES 300
#define OPENS      20000
#define OPEN_LANES 64
#define IDLE_CONNS 200

#define MUST(expr)                                                                                 \
	do {                                                                                       \
		struct err err = {0};                                                              \
		if ((expr) != 0) {                                                                 \
			fprintf(stderr, "p2p-bench: %s: %s\n", #expr, err_text(&err));             \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct bench {
	struct world *world;
	struct p2p_host *a, *b;
	struct multiaddr to; /* b, with /p2p */
	uint64_t received;
	struct waitq all_received;
	uint64_t expected;
	unsigned opens_left, served;
};

static double since(struct instant begin)
{
	return (double)instant_since(rt_now(), begin).ns / 1e9;
}

/* ---- baseline ------------------------------------------------------------------------------ */

#define RECORD       65000
#define RECORD_BATCH 2

struct pump {
	struct stream *s;
	struct aead *aead;
	uint64_t nonce;
	uint8_t bytes[RECORD_BATCH][RECORD + AEAD_TAG_SIZE];
};

static struct pump *pump_new(struct stream *s)
{
	static const uint8_t key[AEAD_KEY_SIZE] = {1, 2, 3};
	struct pump *p = calloc(1, sizeof *p);

	p->s = s;
	MUST(aead_new(key, &p->aead, &err));
	return p;
}

static void pump_free(struct pump *p)
{
	stream_close(p->s);
	aead_free(p->aead);
	free(p);
}

static void pump_nonce(struct pump *p, uint8_t out[AEAD_NONCE_SIZE])
{
	memset(out, 0, AEAD_NONCE_SIZE);
	put_u64be(out + 4, p->nonce++);
}

static void seal_fiber(void *arg)
{
	struct pump *p = arg;
	uint8_t nonce[AEAD_NONCE_SIZE];

	for (uint64_t sent = 0; sent < TOTAL; sent += RECORD_BATCH * RECORD) {
		for (int i = 0; i < RECORD_BATCH; i++) {
			uint8_t *r = p->bytes[i];
			memset(r, 1, RECORD); /* the one copy that a sender cannot avoid */
			pump_nonce(p, nonce);
			MUST(aead_seal(
			    p->aead, nonce, bytes_of(NULL, 0), r, RECORD, r, r + RECORD, &err));
		}
		MUST(stream_write(p->s, p->bytes, sizeof p->bytes, &err));
	}
	MUST(stream_close_write(p->s, &err));
}

static uint64_t open_all(struct pump *p)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint64_t got = 0;

	while (stream_read_full(p->s, p->bytes[0], sizeof p->bytes[0], NULL) == 0) {
		uint8_t *r = p->bytes[0];
		pump_nonce(p, nonce);
		MUST(aead_open(p->aead, nonce, bytes_of(NULL, 0), r, RECORD, r, r + RECORD, &err));
		got += RECORD;
	}
	return got;
}

static double baseline(struct bench *b)
{
	struct netaddr any = {.family = NET_IP4, .ip = {127, 0, 0, 1}}, at;
	struct listener *l;
	struct stream *left, *right;
	struct scope sc;

	MUST(world_tcp_listen(b->world, &any, &l, &err));
	listener_addr(l, &at);
	MUST(world_tcp_dial(b->world, &at, &left, &err));
	MUST(listener_accept(l, &right, NULL, &err));
	struct pump *tx = pump_new(left), *rx = pump_new(right);
	struct instant begin = rt_now();
	scope_open(&sc, DURATION_FOREVER);
	MUST(fiber_spawn(&sc, "seal", seal_fiber, tx, &err));
	uint64_t got = open_all(rx);
	double seconds = since(begin);
	scope_close(&sc);
	pump_free(tx);
	pump_free(rx);
	listener_close(l);
	return (double)got / seconds / 1e6;
}

/* ---- streams ------------------------------------------------------------------------------- */

static void serve_sink(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct bench *b = arg;
	uint8_t *buf = malloc(CHUNK);
	ssize_t n;

	while ((n = stream_read(s, buf, CHUNK, NULL)) > 0)
		b->received += (uint64_t)n;
	free(buf);
	stream_close(s);
	if (b->received >= b->expected)
		waitq_wake_all(&b->all_received);
}

static void serve_byte(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct bench *b = arg;
	uint8_t byte;

	b->served++;
	if (stream_read_full(s, &byte, 1, NULL) == 0 && stream_write(s, &byte, 1, NULL) != 0)
		stream_reset(s, E_IO);
	stream_close(s);
}

struct source {
	struct bench *bench;
	uint64_t bytes;
};

static void source_fiber(void *arg)
{
	struct source *src = arg;
	const char *sink = "/bench/sink";
	uint8_t *buf = calloc(1, CHUNK);
	struct stream *s;

	MUST(p2p_open_stream(src->bench->a, p2p_host_id(src->bench->b), &sink, 1, &s, NULL, &err));
	for (uint64_t sent = 0; sent < src->bytes; sent += CHUNK)
		MUST(stream_write(s, buf, CHUNK, &err));
	MUST(stream_close_write(s, &err));
	stream_close(s);
	free(buf);
}

static double streams(struct bench *b, unsigned n)
{
	struct source src = {b, TOTAL / n};
	struct instant begin = rt_now();

	b->received = 0;
	b->expected = TOTAL;
	for (unsigned i = 0; i < n; i++)
		MUST(fiber_spawn(NULL, "source", source_fiber, &src, &err));
	while (b->received < b->expected)
		MUST(waitq_wait(&b->all_received, &err));
	return (double)TOTAL / since(begin) / 1e6;
}

static void open_fiber(void *arg)
{
	struct bench *b = arg;
	const char *protocol = "/bench/byte";
	struct stream *s;
	uint8_t byte = 1;

	while (b->opens_left > 0) {
		b->opens_left--;
		MUST(p2p_open_stream(b->a, p2p_host_id(b->b), &protocol, 1, &s, NULL, &err));
		MUST(stream_write(s, &byte, 1, &err));
		MUST(stream_read_full(s, &byte, 1, &err));
		stream_close(s);
	}
}

static double opens(struct bench *b)
{
	struct scope sc;
	struct instant begin = rt_now();

	b->opens_left = OPENS;
	b->served = 0;
	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < OPEN_LANES; i++)
		MUST(fiber_spawn(&sc, "open", open_fiber, b, &err));
	MUST(scope_join(&sc));
	scope_close(&sc);
	return b->served / since(begin);
}

/* ---- connections --------------------------------------------------------------------------- */

static struct p2p_host *host(struct bench *b, const char *name)
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
	opt.n_listen = 1;
	MUST(p2p_host_new(b->world, &opt, &h, &err));
	return h;
}

static double handshakes(struct bench *b)
{
	struct instant begin = rt_now();
	p2p_conn_id conn;

	for (int i = 0; i < HANDSHAKES; i++) {
		MUST(p2p_dial(b->a, NULL, &b->to, 1, &conn, &err));
		p2p_disconnect(b->a, p2p_host_id(b->b), "measured");
		while (p2p_connected(b->a, p2p_host_id(b->b)))
			fiber_yield();
	}
	return HANDSHAKES / since(begin);
}

static double idle_memory(struct bench *b)
{
	struct p2p_host *h[IDLE_CONNS];
	char name[32];

	for (int i = 0; i < IDLE_CONNS; i++) {
		(void)snprintf(name, sizeof name, "idle %d", i);
		h[i] = host(b, name);
	}
	size_t before = mallinfo2().uordblks;
	for (int i = 0; i < IDLE_CONNS; i++)
		MUST(p2p_dial(h[i], NULL, &b->to, 1, NULL, &err));
	MUST(fiber_sleep(duration_s(4)));
	size_t after = mallinfo2().uordblks;
	for (int i = 0; i < IDLE_CONNS; i++)
		p2p_host_close(h[i]);
	return (double)(after - before) / IDLE_CONNS / 1024;
}

static void main_fiber(void *arg)
{
	struct bench *b = arg;
	double base, one;

	b->a = host(b, "a");
	b->b = host(b, "b");
	(void)p2p_host_addrs(b->b, &b->to, 1);
	MUST(multiaddr_append_peer(&b->to, p2p_host_id(b->b), &err));
	MUST(p2p_handle(b->b, "/bench/sink", serve_sink, b, &err));
	MUST(p2p_handle(b->b, "/bench/byte", serve_byte, b, &err));
	base = baseline(b);
	printf("baseline    %8.0f MB/s\n", base);
	printf("handshakes  %8.0f /s\n", handshakes(b));
	MUST(p2p_dial(b->a, NULL, &b->to, 1, NULL, &err));
	MUST(fiber_sleep(duration_ms(100)));
	one = streams(b, 1);
	printf("stream      %8.0f MB/s   %.0f %% of the baseline\n", one, 100 * one / base);
	one = streams(b, 16);
	printf("16 streams  %8.0f MB/s   %.0f %%\n", one, 100 * one / base);
	printf("opens       %8.0f /s\n", opens(b));
	printf("memory      %8.1f KiB of heap per idle connection, both ends\n", idle_memory(b));
	p2p_host_close(b->a);
	p2p_host_close(b->b);
}

int main(void)
{
	struct bench b = {0};

	MUST(crypto_init(&err));
	MUST(world_uv_new(&b.world, &err));
	MUST(rt_start(b.world->rt, "bench", NULL, main_fiber, &b, &err));
	rt_run(b.world->rt);
	world_uv_free(b.world);
	return 0;
}
