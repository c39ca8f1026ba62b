/* Hosts in a simulated universe that reach each other through relays: limits, losses, and what
 * must not be relayed. */
#include "relay_help.h"

#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/relay_wire_priv.h"
#include "p2p/secure_priv.h"

#include <stdio.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

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
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
