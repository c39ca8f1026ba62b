/* Hosts in a simulated universe that reach each other through relays: limits, losses, and what
 * must not be relayed. */
#include "host_help.h"

#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/reach.h"
#include "p2p/relay_wire_priv.h"
#include "p2p/secure_priv.h"

#include <stdio.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#define LATENCY duration_ms(10)

static struct p2p_relay_limits unlimited(void)
{
	struct p2p_relay_limits l;

	p2p_relay_limits_default(&l);
	l.circuit = (struct duration){0};
	l.circuit_bytes = 0;
	return l;
}

static void serve_relay(struct node *r, const struct p2p_relay_limits *limits)
{
	OK(p2p_relay_serve(r->host, limits, NULL));
}

static size_t reserved(const struct node *n)
{
	struct p2p_relay_info info[P2P_RELAYS_MAX];
	size_t count = p2p_relays(n->host, info, P2P_RELAYS_MAX), n_reserved = 0;

	for (size_t i = 0; i < count; i++)
		n_reserved += info[i].reserved;
	return n_reserved;
}

static bool reserved_at(const struct node *n, const struct node *relay)
{
	struct p2p_relay_info info[P2P_RELAYS_MAX];
	size_t count = p2p_relays(n->host, info, P2P_RELAYS_MAX);

	for (size_t i = 0; i < count; i++)
		if (info[i].reserved && peer_id_equal(&info[i].relay, &relay->id.peer_id))
			return true;
	return false;
}

static void listen_through(struct node *b, struct node *relay)
{
	struct multiaddr at = node_full_addr(relay);
	struct err err = {0};

	if (p2p_relay_use(b->host, &at, &err) != 0)
		fail_msg("no relay: %s", err_text(&err));
}

/* /…/p2p/RELAY/p2p-circuit/p2p/TARGET */
static struct multiaddr circuit(struct node *relay, struct node *target)
{
	struct multiaddr a = node_full_addr(relay);

	OK(multiaddr_append(&a, MA_P2P_CIRCUIT, (struct bytes){0}, NULL));
	OK(multiaddr_append_peer(&a, &target->id.peer_id, NULL));
	return a;
}

static int dial_through(
    struct node *a, struct node *relay, struct node *b, p2p_conn_id *conn, struct err *err)
{
	struct multiaddr to = circuit(relay, b);

	*err = (struct err){0};
	return p2p_dial(a->host, NULL, &to, 1, conn, err);
}

static void reach_through(struct node *a, struct node *relay, struct node *b, p2p_conn_id *conn)
{
	struct err err;

	if (dial_through(a, relay, b, conn, &err) != 0)
		fail_msg("no circuit: %s", err_text(&err));
	eventually(5, p2p_peer_speaks(a->host, &b->id.peer_id, ECHO) &&
			  p2p_peer_speaks(b->host, &a->id.peer_id, ECHO));
}

/* a and b cannot reach each other; both reach the relay. */
static void separate(struct net *n, struct node *a, struct node *b)
{
	universe_partition(n->u, a->world, b->world, true);
}

struct trio {
	struct node a, b, r;
};

static void trio_new(struct net *n, struct trio *t, const struct p2p_relay_limits *limits)
{
	node_new(n, "a", &t->a);
	node_new(n, "b", &t->b);
	node_new(n, "r", &t->r);
	separate(n, &t->a, &t->b);
	serve_relay(&t->r, limits);
	listen_through(&t->b, &t->r);
	eventually(2, reserved(&t->b) == 1);
}

static void trio_close(struct trio *t)
{
	node_close(&t->a);
	node_close(&t->b);
	node_close(&t->r);
}

/* ---- reaching ------------------------------------------------------------------------------ */

static void story_reach(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits none = unlimited();
	struct p2p_conn_info info;
	struct p2p_relay_stats stats;
	struct multiaddr own[16];
	uint8_t ha[P2P_BINDING_SIZE], hb[P2P_BINDING_SIZE];
	struct instant begin = rt_now();
	p2p_conn_id conn;

	trio_new(n, &t, &none);
	assert_true(duration_to_ms(instant_since(rt_now(), begin)) < 1000);
	/* It sees the port that b listens on: what a hole will need. */
	assert_int_equal(p2p_conns(t.r.host, &info, 1), 1);
	assert_true(multiaddr_equal(&info.remote, &t.b.addr));
	size_t n_own = p2p_host_addrs(t.b.host, own, 16);
	assert_int_equal(n_own, 2);
	assert_true(multiaddr_is_relayed(&own[0]));
	assert_true(multiaddr_equal(&own[1], &t.b.addr));

	reach_through(&t.a, &t.r, &t.b, &conn);
	assert_true(p2p_conn_info(t.a.host, conn, &info));
	assert_true(peer_id_equal(&info.peer, &t.b.id.peer_id));
	assert_true(peer_id_equal(&info.relay, &t.r.id.peer_id));
	assert_true(info.direction == P2P_OUTBOUND && !info.limited);
	assert_true(multiaddr_is_relayed(&info.remote));
	/* One end-to-end handshake. */
	OK(p2p_conn_binding(t.a.host, conn, ha, NULL));
	OK(p2p_conn_binding(t.b.host, t.b.last_conn, hb, NULL));
	assert_memory_equal(ha, hb, sizeof ha);
	assert_true(p2p_conn_info(t.b.host, t.b.last_conn, &info));
	assert_true(info.relay.n > 0 && info.direction == P2P_INBOUND);

	echo_check(&t.a, &t.b, 300000);
	echo_check(&t.b, &t.a, 300000);
	p2p_relay_stats(t.r.host, &stats);
	assert_int_equal(stats.reservations, 1);
	assert_int_equal(stats.circuits, 1);
	assert_true(stats.bytes > 1200000);
	/* What nobody uses ends, and the relay forgets it. */
	p2p_conn_close(t.a.host, conn, "enough");
	eventually(5, (p2p_relay_stats(t.r.host, &stats), stats.circuits == 0));
	assert_int_equal(stats.circuits_total, 1);
	trio_close(&t);
}

static void test_two_meet_through_a_third(void **state)
{
	net_run(40, LATENCY, story_reach);
}

static void story_dials_only(struct net *n)
{
	struct node a, b, r;
	struct p2p_relay_limits none = unlimited();
	struct p2p_options opt;
	struct multiaddr listen, own[4];
	p2p_conn_id conn;

	node_new(n, "r", &r);
	serve_relay(&r, &none);
	node_new(n, "a", &a);
	node_options(n, "b", &b, &opt, &listen);
	opt.n_listen = 0;
	struct instant begin = rt_now();
	node_start(&b, &opt);
	node_serve(&b);
	listen_through(&b, &r);
	eventually(1, p2p_host_addrs(b.host, own, 4) == 1);
	assert_true(multiaddr_is_relayed(&own[0]));
	reach_through(&a, &r, &b, &conn);
	assert_true(duration_to_ms(instant_since(rt_now(), begin)) < 1000);
	echo_check(&a, &b, 10000);
	/* Its addresses travel: who knows it by name alone finds it. */
	struct p2p_peer_info info;
	assert_true(p2p_peer_info(a.host, &b.id.peer_id, &info) && info.n_addrs > 0);
	p2p_conn_close(a.host, conn, "again");
	eventually(5, !p2p_connected(a.host, &b.id.peer_id));
	echo_check(&a, &b, 10000);
	node_close(&a);
	node_close(&b);
	node_close(&r);
}

static void test_who_only_dials_is_reached_within_a_second(void **state)
{
	net_run(55, LATENCY, story_dials_only);
}

static void story_limited(struct net *n)
{
	struct trio t;
	struct p2p_conn_info info;
	struct duration rtt;
	struct stream *s;
	const char *two[] = {SINK, ECHO};
	const char *chosen;
	p2p_conn_id conn;

	trio_new(n, &t, NULL);
	reach_through(&t.a, &t.r, &t.b, &conn);
	assert_true(p2p_conn_info(t.a.host, conn, &info) && info.limited);
	assert_true(p2p_conn_info(t.b.host, t.b.last_conn, &info) && info.limited);
	OK(p2p_ping(t.a.host, &t.b.id.peer_id, &rtt, NULL));
	assert_int_equal(
	    p2p_open_stream(t.a.host, &t.b.id.peer_id, two, 2, &s, NULL, NULL), E_FORBIDDEN);
	/* Both ends have to allow it. */
	OK(p2p_allow_limited(t.a.host, ECHO, NULL));
	OK(p2p_open_stream(t.a.host, &t.b.id.peer_id, two, 2, &s, &chosen, NULL));
	assert_string_equal(chosen, ECHO);
	uint8_t byte = 1;
	OK(stream_write(s, &byte, 1, NULL));
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_UNSUPPORTED);
	stream_close(s);
	OK(p2p_allow_limited(t.b.host, ECHO, NULL));
	OK(p2p_allow_limited(t.b.host, ECHO, NULL));
	echo_check(&t.a, &t.b, 100000);
	trio_close(&t);
}

static void test_limited_connections_run_what_is_allowed(void **state)
{
	net_run(41, LATENCY, story_limited);
}

static void story_direct_is_better(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits none = unlimited();
	struct p2p_conn_info info;
	p2p_conn_id conn, direct;
	struct multiaddr to;

	trio_new(n, &t, &none);
	reach_through(&t.a, &t.r, &t.b, &conn);
	universe_partition(n->u, t.a.world, t.b.world, false);
	to = node_full_addr(&t.b);
	OK(dial_direct(t.a.host, &t.b.id.peer_id, &to, 1, &direct, NULL));
	assert_true(direct != conn);
	assert_true(p2p_conn_info(t.a.host, direct, &info) && info.preferred);
	eventually(10, !p2p_conn_info(t.a.host, conn, &info));
	assert_int_equal(t.a.disconnected + t.b.disconnected, 0);
	echo_check(&t.a, &t.b, 1000);
	trio_close(&t);
}

static void test_a_direct_connection_takes_over(void **state)
{
	net_run(42, LATENCY, story_direct_is_better);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void story_bytes(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits limits;
	const char *sink = SINK;
	struct stream *s;
	static uint8_t block[32768];
	p2p_conn_id conn;
	int rc = 0;

	p2p_relay_limits_default(&limits);
	limits.circuit_bytes = 200000;
	trio_new(n, &t, &limits);
	OK(p2p_allow_limited(t.a.host, SINK, NULL));
	OK(p2p_allow_limited(t.b.host, SINK, NULL));
	reach_through(&t.a, &t.r, &t.b, &conn);
	OK(p2p_open_stream(t.a.host, &t.b.id.peer_id, &sink, 1, &s, NULL, NULL));
	for (int i = 0; i < 100 && rc == 0; i++)
		rc = stream_write(s, block, sizeof block, NULL);
	assert_int_not_equal(rc, 0);
	stream_close(s);
	eventually(5, t.a.disconnected == 1 && t.b.disconnected == 1);
	struct p2p_relay_stats stats;
	p2p_relay_stats(t.r.host, &stats);
	assert_int_equal(stats.circuits, 0);
	assert_true(stats.bytes >= 200000 && stats.bytes <= 400000);
	/* The reservation is untouched: another circuit may be opened. */
	reach_through(&t.a, &t.r, &t.b, &conn);
	trio_close(&t);
}

static void test_a_circuit_uses_up_its_bytes(void **state)
{
	net_run(43, LATENCY, story_bytes);
}

static void story_duration(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits limits;
	p2p_conn_id conn;

	p2p_relay_limits_default(&limits);
	limits.circuit = duration_s(30);
	trio_new(n, &t, &limits);
	reach_through(&t.a, &t.r, &t.b, &conn);
	OK(fiber_sleep(duration_s(28)));
	assert_int_equal(t.a.disconnected, 0);
	eventually(4, t.a.disconnected == 1 && t.b.disconnected == 1);
	trio_close(&t);
}

static void test_a_circuit_runs_out_of_time(void **state)
{
	net_run(44, LATENCY, story_duration);
}

/* ---- relays that die ----------------------------------------------------------------------- */

/* A relay on a host of its own that can crash. */
static void relay_fiber(void *arg)
{
	struct node *r = arg;
	struct p2p_relay_limits none = unlimited();
	char name[sizeof r->last_text];

	(void)snprintf(name, sizeof name, "%s", r->last_text); /* node_new clears it */
	node_new(r->net, name, r);
	serve_relay(r, &none);
	while (fiber_sleep(duration_s(1)) == 0) {
	}
	node_close(r);
}

static void boot_relay(struct net *n, struct node *r, const char *name)
{
	r->net = n;
	(void)snprintf(r->last_text, sizeof r->last_text, "%s", name);
	OK(universe_boot(n->u, universe_host(n->u, name), n->log, relay_fiber, r, NULL));
	OK(fiber_sleep(duration_ms(100)));
}

static void move_on(struct net *n, bool reset, int64_t within_ms)
{
	static struct node a, b, r1, r2;
	p2p_conn_id conn;

	memset(&r1, 0, sizeof r1);
	memset(&r2, 0, sizeof r2);
	boot_relay(n, &r1, "r1");
	boot_relay(n, &r2, "r2");
	node_new(n, "a", &a);
	node_new(n, "b", &b);
	separate(n, &a, &b);
	OK(p2p_relay_want(b.host, 1, false, NULL));
	listen_through(&b, &r1);
	eventually(2, reserved_at(&b, &r1));
	reach_through(&a, &r1, &b, &conn);
	listen_through(&b, &r2); /* one is wanted, so it waits */
	OK(fiber_sleep(duration_s(20)));
	assert_int_equal(reserved(&b), 1);
	assert_true(reserved_at(&b, &r1));

	struct instant dead = rt_now();
	universe_crash(n->u, r1.world, reset);
	eventually(30, reserved_at(&b, &r2));
	assert_true(duration_to_ms(instant_since(rt_now(), dead)) < within_ms);
	assert_false(reserved_at(&b, &r1));
	struct multiaddr own[16];
	size_t n_own = p2p_host_addrs(b.host, own, 16), relayed = 0;
	for (size_t i = 0; i < n_own; i++)
		relayed += multiaddr_is_relayed(&own[i]);
	assert_int_equal(relayed, 1);
	eventually(40, !p2p_connected(a.host, &b.id.peer_id));
	reach_through(&a, &r2, &b, &conn);
	echo_check(&a, &b, 1000);
	node_close(&a);
	node_close(&b);
	universe_crash(n->u, r2.world, true);
}

static void story_killed(struct net *n)
{
	move_on(n, true, 2000);
}

static void test_a_killed_relay_is_replaced(void **state)
{
	net_run(45, LATENCY, story_killed);
}

static void story_powerless(struct net *n)
{
	move_on(n, false, 10000);
}

static void test_a_silent_relay_is_replaced_within_ten_seconds(void **state)
{
	net_run(46, LATENCY, story_powerless);
}

static void story_back(struct net *n)
{
	static struct node b, r1;

	memset(&r1, 0, sizeof r1);
	boot_relay(n, &r1, "r1");
	node_new(n, "b", &b);
	listen_through(&b, &r1);
	eventually(2, reserved(&b) == 1);
	universe_crash(n->u, r1.world, true);
	eventually(2, reserved(&b) == 0);
	OK(fiber_sleep(duration_s(20)));
	boot_relay(n, &r1, "r1");
	eventually(40, reserved(&b) == 1);
	/* Forgotten, it is left, and not taken again. */
	struct multiaddr at = node_full_addr(&r1);
	p2p_relay_forget(b.host, &at);
	eventually(5, p2p_relays(b.host, NULL, 0) == 0);
	struct multiaddr own[16];
	eventually(2, p2p_host_addrs(b.host, own, 16) == 1);
	/* Relays among the peers are found when they are wanted. */
	OK(p2p_relay_want(b.host, 1, true, NULL));
	p2p_disconnect(b.host, &r1.id.peer_id, "again");
	OK(fiber_sleep(duration_s(2)));
	OK(p2p_dial(b.host, NULL, &at, 1, NULL, NULL));
	eventually(5, reserved(&b) == 1);
	node_close(&b);
	universe_crash(n->u, r1.world, true);
}

static void test_relays_come_back_and_are_found(void **state)
{
	net_run(47, LATENCY, story_back);
}

static bool trust_one(void *arg, const struct peer_id *relay)
{
	const struct peer_id *const *one = arg;

	return *one && peer_id_equal(*one, relay);
}

static void story_strangers(struct net *n)
{
	struct node b, r[2];
	struct p2p_relay_limits none = unlimited();
	const struct peer_id *trusted = NULL;

	node_new(n, "b", &b);
	OK(p2p_relay_trust(b.host, trust_one, &trusted, NULL));
	OK(p2p_relay_want(b.host, 2, true, NULL));
	for (int i = 0; i < 2; i++) {
		node_new(n, i == 0 ? "r0" : "r1", &r[i]);
		serve_relay(&r[i], &none);
		node_connect(&b, &r[i]);
	}
	OK(fiber_sleep(duration_s(10)));
	for (int i = 0; i < 2; i++) {
		struct p2p_relay_stats stats;
		p2p_relay_stats(r[i].host, &stats);
		assert_int_equal(stats.reservations, 0); /* nobody asked */
	}
	trusted = &r[1].id.peer_id;
	eventually(5, reserved(&b) == 1);
	assert_true(reserved_at(&b, &r[1]));
	/* One that is trusted no longer is left; one that was given needs no trust. */
	trusted = NULL;
	eventually(5, reserved(&b) == 0);
	listen_through(&b, &r[0]);
	eventually(5, reserved_at(&b, &r[0]));
	node_close(&b);
	node_close(&r[0]);
	node_close(&r[1]);
}

static void test_strangers_are_no_relays(void **state)
{
	net_run(56, LATENCY, story_strangers);
}

static void story_fickle(struct net *n)
{
	struct node b, r;
	struct p2p_relay_limits none = unlimited();
	unsigned granted = 0;

	node_new(n, "b", &b);
	node_new(n, "r", &r);
	serve_relay(&r, &none);
	listen_through(&b, &r);
	for (int i = 0; i < 3000; i++) {
		OK(fiber_sleep(duration_ms(10)));
		if (reserved(&b) == 0)
			continue;
		granted++;
		p2p_disconnect(r.host, &b.id.peer_id, "fickle");
		while (reserved(&b) > 0)
			OK(fiber_sleep(duration_ms(10)));
	}
	assert_in_range(granted, 2, 6);
	node_close(&b);
	node_close(&r);
}

static void test_a_fickle_relay_is_asked_ever_less(void **state)
{
	net_run(57, LATENCY, story_fickle);
}

static void story_long(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits limits = unlimited();
	p2p_conn_id conn;

	limits.reservation = duration_s(60);
	trio_new(n, &t, &limits);
	for (int i = 0; i < 30; i++) {
		OK(fiber_sleep(duration_s(11)));
		assert_int_equal(reserved(&t.b), 1);
		struct p2p_relay_stats stats;
		p2p_relay_stats(t.r.host, &stats);
		assert_int_equal(stats.reservations, 1);
	}
	reach_through(&t.a, &t.r, &t.b, &conn);
	trio_close(&t);
}

static void test_reservations_are_refreshed_early(void **state)
{
	net_run(48, LATENCY, story_long);
}

/* ---- rules --------------------------------------------------------------------------------- */

/* Sends `raw` as a message on a new hop stream and returns the answer's status; 0 when there is
 * none. */
static uint32_t ask_raw(struct node *from, p2p_conn_id conn, const char *protocol, struct bytes raw)
{
	struct buf in = BUF_INIT(RELAY_MESSAGE_MAX);
	struct relay_hop hop = {0};
	struct relay_stop stop = {0};
	struct stream *s;
	uint32_t status = 0;

	OK(p2p_open_stream_on(from->host, conn, &protocol, 1, &s, NULL, NULL));
	OK(framed_write(s, raw, NULL));
	if (framed_read(s, &in, NULL) == 1) {
		if (strcmp(protocol, P2P_RELAY_HOP) == 0) {
			OK(relay_hop_decode(buf_view(&in), &hop, NULL));
			status = hop.status;
			relay_hop_free(&hop);
		} else {
			OK(relay_stop_decode(buf_view(&in), &stop, NULL));
			status = stop.status;
		}
	}
	buf_free(&in);
	stream_close(s);
	return status;
}

static uint32_t ask(struct node *from, p2p_conn_id conn, const struct relay_hop *m)
{
	struct buf out = BUF_INIT(RELAY_MESSAGE_MAX);

	relay_hop_encode(m, &out);
	uint32_t status = ask_raw(from, conn, P2P_RELAY_HOP, buf_view(&out));
	buf_free(&out);
	return status;
}

static p2p_conn_id conn_to(struct node *a, struct node *b)
{
	struct multiaddr to = node_full_addr(b);
	p2p_conn_id conn;

	OK(p2p_dial(a->host, NULL, &to, 1, &conn, NULL));
	return conn;
}

static void story_rules(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits limits = unlimited();
	struct relay_hop m = {.type = RELAY_HOP_CONNECT};
	static const uint8_t junk[] = {0xff, 0xff, 0xff};
	struct identity nobody;
	uint8_t seed[ED25519_SEED_SIZE] = {1};

	identity_from_seed(seed, &nobody);
	limits.circuits_per_peer = 1;
	limits.reservation = duration_s(60);
	trio_new(n, &t, &limits);
	p2p_conn_id conn = conn_to(&t.a, &t.r);
	assert_int_equal(ask_raw(&t.a, conn, P2P_RELAY_HOP, bytes_of(junk, 3)), 400);
	assert_int_equal(ask_raw(&t.a, conn, P2P_RELAY_HOP, bytes_of(junk, 0)), 400);
	assert_int_equal(ask(&t.a, conn, &m), 400); /* to nobody */
	m.peer = nobody.peer_id;
	assert_int_equal(ask(&t.a, conn, &m), 204);
	m.peer = t.a.id.peer_id;
	assert_int_equal(ask(&t.a, conn, &m), 202);
	m.peer = t.r.id.peer_id;
	assert_int_equal(ask(&t.a, conn, &m), 204);
	m.type = RELAY_HOP_STATUS;
	assert_int_equal(ask(&t.a, conn, &m), 401);
	/* A target that takes no circuits: a reserves, but serves no stop protocol. */
	m = (struct relay_hop){.type = RELAY_HOP_RESERVE};
	assert_int_equal(ask(&t.a, conn, &m), 100);
	m = (struct relay_hop){.type = RELAY_HOP_CONNECT, .peer = t.a.id.peer_id};
	p2p_conn_id from_b = conn_to(&t.b, &t.r);
	assert_int_equal(ask(&t.b, from_b, &m), 203);
	/* Nobody refreshes it. */
	OK(fiber_sleep(duration_s(61)));
	assert_int_equal(ask(&t.b, from_b, &m), 204);
	/* One circuit per peer. */
	p2p_conn_id relayed;
	struct err err;
	reach_through(&t.a, &t.r, &t.b, &relayed);
	m.peer = t.b.id.peer_id;
	assert_int_equal(ask(&t.a, conn, &m), 201);
	/* A reservation dies with its connection. */
	p2p_disconnect(t.b.host, &t.r.id.peer_id, "gone");
	struct multiaddr at = node_full_addr(&t.r);
	p2p_relay_forget(t.b.host, &at);
	eventually(3, !p2p_connected(t.r.host, &t.b.id.peer_id));
	assert_int_equal(ask(&t.a, conn, &m), 204);
	assert_int_equal(dial_through(&t.a, &t.r, &t.b, NULL, &err), E_REFUSED);
	assert_non_null(strstr(err.text, "no reservation"));
	trio_close(&t);
}

static void test_the_relay_keeps_its_rules(void **state)
{
	net_run(49, LATENCY, story_rules);
}

static void story_nesting(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits none = unlimited();
	struct relay_hop m = {.type = RELAY_HOP_RESERVE};
	struct relay_stop stop = {.type = RELAY_STOP_CONNECT};
	struct buf out = BUF_INIT(256);
	p2p_conn_id relayed;
	struct err err;

	trio_new(n, &t, &none);
	serve_relay(&t.b, &none);
	reach_through(&t.a, &t.r, &t.b, &relayed);
	assert_int_equal(ask(&t.a, relayed, &m), 202);
	m = (struct relay_hop){.type = RELAY_HOP_CONNECT, .peer = t.r.id.peer_id};
	assert_int_equal(ask(&t.a, relayed, &m), 202);
	/* Circuits come from relays of ours only, and not through circuits. */
	stop.peer = t.r.id.peer_id;
	relay_stop_encode(&stop, &out);
	assert_int_equal(ask_raw(&t.a, relayed, RELAY_STOP_PROTOCOL, buf_view(&out)), 202);
	buf_free(&out);
	struct multiaddr twice = circuit(&t.r, &t.b);
	OK(multiaddr_append(&twice, MA_P2P_CIRCUIT, (struct bytes){0}, NULL));
	assert_int_equal(p2p_dial(t.a.host, NULL, &twice, 1, NULL, &err), E_UNSUPPORTED);
	trio_close(&t);
}

static void test_no_circuits_within_circuits(void **state)
{
	net_run(50, LATENCY, story_nesting);
}

static void story_nowhere(struct net *n)
{
	struct trio t;
	struct node c;
	p2p_conn_id conn;
	struct err err;

	trio_new(n, &t, NULL);
	node_new(n, "c", &c);
	separate(n, &t.a, &c);
	/* The relay itself, through ourselves, nobody: no circuits. */
	assert_int_equal(dial_through(&t.a, &t.r, &t.r, &conn, &err), E_INVALID);
	assert_int_equal(dial_through(&t.a, &t.a, &t.b, &conn, &err), E_NOT_FOUND);
	/* c listens through no relay. */
	assert_int_equal(dial_through(&t.a, &t.r, &c, &conn, &err), E_REFUSED);
	assert_non_null(strstr(err.text, "reservation"));
	struct multiaddr to = circuit(&t.r, &t.b);
	multiaddr_strip_peer(&to);
	assert_int_equal(p2p_dial(t.a.host, NULL, &to, 1, NULL, &err), E_INVALID);
	to = circuit(&t.r, &t.b);
	OK(p2p_keep(t.a.host, &to, NULL));
	eventually(5, t.a.connected == 2);
	node_close(&c);
	trio_close(&t);
}

static void test_addresses_that_lead_nowhere(void **state)
{
	net_run(51, LATENCY, story_nowhere);
}

/* ---- a private network --------------------------------------------------------------------- */

static void node_in_private(struct net *n, const char *name, struct node *node)
{
	static const struct pnet_key key = {{7}};
	struct p2p_options opt;
	struct multiaddr listen;

	node_options(n, name, node, &opt, &listen);
	opt.swarm_key = &key;
	node_start(node, &opt);
	node_serve(node);
}

/* r announces a, and answers itself. */
static void announce_another(struct node *r, struct node *b, const struct peer_id *a)
{
	const char *protocol = RELAY_STOP_PROTOCOL;
	struct relay_stop stop = {.type = RELAY_STOP_CONNECT, .peer = *a};
	struct buf b1 = BUF_INIT(RELAY_MESSAGE_MAX);
	struct upgraded up;
	struct stream *s;
	uint8_t byte;

	relay_stop_encode(&stop, &b1);
	OK(p2p_open_stream_on(r->host, conn_to(r, b), &protocol, 1, &s, NULL, NULL));
	OK(framed_write(s, buf_view(&b1), NULL));
	assert_int_equal(framed_read(s, &b1, NULL), 1);
	buf_free(&b1);
	OK(upgrade_outbound(r->host, s, &b->id.peer_id, &up, NULL));
	assert_true(stream_read(secure_stream(up.secure), &byte, 1, NULL) < 0);
	secure_close(up.secure);
}

static size_t heap_used(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
	return mallinfo2().uordblks;
#else
	return 0; /* LeakSanitizer has to tell */
#endif
}

static void story_private(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits none = unlimited();
	size_t before = 0, after = 0;

	node_in_private(n, "a", &t.a);
	node_in_private(n, "b", &t.b);
	node_in_private(n, "r", &t.r);
	serve_relay(&t.r, &none);
	listen_through(&t.b, &t.r);
	eventually(2, reserved(&t.b) == 1);
	for (int i = 0; i < 200; i++) {
		announce_another(&t.r, &t.b, &t.a.id.peer_id);
		*(i < 100 ? &before : &after) = heap_used();
	}
	/* The wrappers of what was refused are gone, about 300 bytes each. */
	assert_in_range(after, 0, before + 8192);
	trio_close(&t);
}

static void test_the_wrong_peer_leaves_nothing_behind(void **state)
{
	net_run(70, LATENCY, story_private);
}

/* ---- DCUtR --------------------------------------------------------------------------------- */

static size_t relayed_conns(const struct node *n)
{
	struct p2p_conn_info info[8];
	size_t count = p2p_conns(n->host, info, 8), relayed = 0;

	for (size_t i = 0; i < count && i < 8; i++)
		relayed += info[i].relay.n > 0;
	return relayed;
}

static bool any_punched(const struct node *n)
{
	struct p2p_conn_info info[8];
	size_t count = p2p_conns(n->host, info, 8);

	for (size_t i = 0; i < count && i < 8; i++)
		if (info[i].punched)
			return true;
	return false;
}

static struct p2p_dcutr_stats dcutr_stats(const struct node *n)
{
	struct p2p_dcutr_stats st;

	p2p_dcutr_stats(n->host, &st);
	return st;
}

static void story_hole(struct net *n)
{
	struct trio t;
	struct p2p_conn_info info;
	const char *stall = STALL;
	struct stream *s;
	p2p_conn_id conn;

	trio_new(n, &t, NULL);
	OK(p2p_dcutr_start(t.a.host, NULL));
	OK(p2p_dcutr_start(t.b.host, NULL));
	assert_int_equal(p2p_dcutr_start(t.b.host, NULL), E_EXISTS);
	OK(p2p_allow_limited(t.a.host, STALL, NULL));
	OK(p2p_allow_limited(t.b.host, STALL, NULL));
	reach_through(&t.a, &t.r, &t.b, &conn);
	OK(p2p_open_stream_on(t.a.host, conn, &stall, 1, &s, NULL, NULL));
	OK(fiber_sleep(duration_s(7)));
	assert_int_equal(dcutr_stats(&t.b).succeeded, 0);
	/* The routers let them through from now on: the second attempt finds out. */
	universe_partition(n->u, t.a.world, t.b.world, false);
	eventually(5, dcutr_stats(&t.b).succeeded == 1);
	assert_int_equal(dcutr_stats(&t.b).attempts, 2);
	assert_true(any_punched(&t.a) || any_punched(&t.b));
	echo_check(&t.a, &t.b, 1000); /* no limits here */
	/* The relayed connection stays as long as its stream, and not much longer. */
	OK(fiber_sleep(duration_s(10)));
	assert_true(p2p_conn_info(t.a.host, conn, &info) && !info.preferred);
	stream_reset(s, E_CANCELLED);
	stream_close(s);
	eventually(10, relayed_conns(&t.a) == 0 && relayed_conns(&t.b) == 0);
	echo_check(&t.b, &t.a, 1000);
	assert_int_equal(t.a.disconnected + t.b.disconnected, 0);
	trio_close(&t);
}

static void test_a_hole_is_punched(void **state)
{
	net_run(52, LATENCY, story_hole);
}

static void story_no_hole(struct net *n)
{
	struct trio t;
	struct p2p_relay_limits none = unlimited();
	p2p_conn_id conn;

	trio_new(n, &t, &none);
	OK(p2p_dcutr_start(t.a.host, NULL));
	OK(p2p_dcutr_start(t.b.host, NULL));
	reach_through(&t.a, &t.r, &t.b, &conn);
	OK(fiber_sleep(duration_s(30)));
	assert_int_equal(dcutr_stats(&t.b).tried, 1);
	assert_int_equal(dcutr_stats(&t.b).attempts, 3);
	assert_int_equal(dcutr_stats(&t.a).attempts, 3);
	assert_int_equal(dcutr_stats(&t.b).succeeded, 0);
	assert_int_equal(relayed_conns(&t.a), 1);
	echo_check(&t.a, &t.b, 100000);
	trio_close(&t);
}

static void test_without_a_hole_they_stay_relayed(void **state)
{
	net_run(53, LATENCY, story_no_hole);
}

/* What comes back on a new DCUtR stream after `raw` was sent as a message. */
static ssize_t provoke_dcutr(struct node *from, p2p_conn_id conn, struct bytes raw)
{
	const char *protocol = PROTOCOL_DCUTR;
	struct stream *s;
	uint8_t byte;

	OK(p2p_open_stream_on(from->host, conn, &protocol, 1, &s, NULL, NULL));
	OK(framed_write(s, raw, NULL));
	ssize_t n = stream_read(s, &byte, 1, NULL);
	stream_close(s);
	return n;
}

static void story_bad_dcutr(struct net *n)
{
	struct trio t;
	static const uint8_t empty[] = {8, 100}, sync[] = {8, 172, 2}, odd[] = {8, 1};
	/* CONNECT with 8.8.8.8:53 would be knocked at; 192.168.9.9 and loopback would not. */
	static const uint8_t elsewhere[] = {
	    8, 100, 18, 8, 4, 192, 168, 9, 9, 6, 0, 53, 18, 8, 4, 127, 0, 0, 1, 6, 0, 53};
	p2p_conn_id relayed;

	trio_new(n, &t, NULL);
	OK(p2p_dcutr_start(t.a.host, NULL));
	reach_through(&t.a, &t.r, &t.b, &relayed);
	p2p_conn_id back = t.b.last_conn;
	assert_int_equal(provoke_dcutr(&t.b, back, bytes_of(empty, 2)), E_RESET);
	assert_int_equal(provoke_dcutr(&t.b, back, bytes_of(sync, 3)), E_RESET);
	assert_int_equal(provoke_dcutr(&t.b, back, bytes_of(odd, 2)), E_RESET);
	assert_int_equal(provoke_dcutr(&t.b, back, bytes_of(elsewhere, sizeof elsewhere)), E_RESET);
	assert_int_equal(dcutr_stats(&t.a).attempts, 0);
	/* Not on a direct connection. */
	p2p_conn_id direct = conn_to(&t.r, &t.a);
	assert_int_equal(provoke_dcutr(&t.r, direct, bytes_of(empty, 2)), E_RESET);
	trio_close(&t);
}

/* A leader's part, as often as it likes: CONNECT with an address nearby, and SYNC. */
static struct stream *lead_dcutr(struct node *from, p2p_conn_id conn)
{
	static const uint8_t connect[] = {8, 100, 18, 8, 4, 10, 0, 0, 77, 6, 0, 53};
	static const uint8_t sync[] = {8, 172, 2};
	const char *protocol = PROTOCOL_DCUTR;
	struct stream *s;

	if (p2p_open_stream_on(from->host, conn, &protocol, 1, &s, NULL, NULL) != 0)
		return NULL;
	if (framed_write(s, bytes_of(connect, sizeof connect), NULL) == 0 &&
	    framed_write(s, bytes_of(sync, sizeof sync), NULL) == 0)
		return s;
	stream_close(s);
	return NULL;
}

static void lead_often(struct node *from, p2p_conn_id conn, struct stream **s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s[i] = lead_dcutr(from, conn);
	OK(fiber_sleep(duration_s(1)));
}

static void close_all(struct stream **s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i])
			stream_close(s[i]);
}

static void story_many_dcutr(struct net *n)
{
	struct trio t;
	struct stream *s[10];
	p2p_conn_id relayed;

	trio_new(n, &t, NULL);
	OK(p2p_dcutr_start(t.a.host, NULL));
	reach_through(&t.a, &t.r, &t.b, &relayed);
	/* One at a time, and three in all. */
	for (uint32_t round = 1; round <= 4; round++) {
		lead_often(&t.b, t.b.last_conn, s, 10);
		assert_int_equal(dcutr_stats(&t.a).attempts, round < 3 ? round : 3);
		close_all(s, 10);
		OK(fiber_sleep(duration_s(6)));
	}
	trio_close(&t);
}

static void test_dcutr_is_followed_thrice(void **state)
{
	net_run(58, LATENCY, story_many_dcutr);
}

#define CROWD 10

static void story_crowd(struct net *n)
{
	static struct node a, r, b[CROWD];
	struct p2p_relay_limits limits = unlimited();
	struct stream *s[CROWD];
	char name[8];
	p2p_conn_id relayed;

	limits.circuits_per_peer = limits.reservations_per_ip = 0;
	node_new(n, "a", &a);
	node_new(n, "r", &r);
	serve_relay(&r, &limits);
	OK(p2p_dcutr_start(a.host, NULL));
	for (size_t i = 0; i < CROWD; i++) {
		(void)snprintf(name, sizeof name, "b%zu", i);
		node_new(n, name, &b[i]);
		separate(n, &a, &b[i]);
		listen_through(&b[i], &r);
		eventually(5, reserved(&b[i]) == 1);
		reach_through(&a, &r, &b[i], &relayed);
	}
	for (size_t i = 0; i < CROWD; i++)
		s[i] = lead_dcutr(&b[i], b[i].last_conn);
	OK(fiber_sleep(duration_s(2)));
	assert_int_equal(dcutr_stats(&a).attempts, 8);
	close_all(s, CROWD);
	for (size_t i = 0; i < CROWD; i++)
		node_close(&b[i]);
	node_close(&a);
	node_close(&r);
}

static void test_a_crowd_is_followed_by_eights(void **state)
{
	net_run(59, LATENCY, story_crowd);
}

static void test_dcutr_out_of_place(void **state)
{
	net_run(54, LATENCY, story_bad_dcutr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_two_meet_through_a_third),
	    cmocka_unit_test(test_who_only_dials_is_reached_within_a_second),
	    cmocka_unit_test(test_limited_connections_run_what_is_allowed),
	    cmocka_unit_test(test_a_direct_connection_takes_over),
	    cmocka_unit_test(test_a_circuit_uses_up_its_bytes),
	    cmocka_unit_test(test_a_circuit_runs_out_of_time),
	    cmocka_unit_test(test_a_killed_relay_is_replaced),
	    cmocka_unit_test(test_a_silent_relay_is_replaced_within_ten_seconds),
	    cmocka_unit_test(test_relays_come_back_and_are_found),
	    cmocka_unit_test(test_strangers_are_no_relays),
	    cmocka_unit_test(test_a_fickle_relay_is_asked_ever_less),
	    cmocka_unit_test(test_reservations_are_refreshed_early),
	    cmocka_unit_test(test_the_relay_keeps_its_rules),
	    cmocka_unit_test(test_no_circuits_within_circuits),
	    cmocka_unit_test(test_addresses_that_lead_nowhere),
	    cmocka_unit_test(test_the_wrong_peer_leaves_nothing_behind),
	    cmocka_unit_test(test_a_hole_is_punched),
	    cmocka_unit_test(test_without_a_hole_they_stay_relayed),
	    cmocka_unit_test(test_dcutr_out_of_place),
	    cmocka_unit_test(test_dcutr_is_followed_thrice),
	    cmocka_unit_test(test_a_crowd_is_followed_by_eights),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
