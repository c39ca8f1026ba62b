/* Hosts in a simulated universe finding, losing and mistaking each other. */
#include "host_help.h"

#include "p2p/host_priv.h"

#define LATENCY duration_ms(10)

static int dial(struct node *a, const struct multiaddr *addrs, size_t n, struct err *err)
{
	*err = (struct err){0};
	return p2p_dial(a->host, NULL, addrs, n, NULL, err);
}

static struct multiaddr text_addr(const char *text)
{
	struct multiaddr m;

	OK(multiaddr_parse(bytes_str(text), &m, NULL));
	return m;
}

/* ---- dialling ------------------------------------------------------------------------------ */

static void story_errors(struct net *n)
{
	struct node a, b, c;
	struct multiaddr to;
	struct stream *s;
	const char *echo = ECHO;
	struct err err;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_options(n, "c", &c, &(struct p2p_options){0}, &to); /* never started */

	to = b.addr;
	OK(multiaddr_append_peer(&to, &c.id.peer_id, NULL));
	assert_int_equal(dial(&a, &to, 1, &err), E_WRONG_PEER);
	assert_int_equal(p2p_conns(a.host, NULL, 0), 0);

	to = node_full_addr(&a);
	assert_int_equal(dial(&a, &to, 1, &err), E_INVALID);
	to = a.addr; /* ourselves, unnamed: found out by the handshake */
	assert_int_equal(dial(&a, &to, 1, &err), E_INVALID);
	assert_int_equal(p2p_conns(a.host, NULL, 0), 0);

	/* Each address stands in the text with its reason. */
	struct multiaddr two[2] = {b.addr, text_addr("/ip4/10.0.0.2/udp/1/quic-v1")};
	two[0].bytes[two[0].n - 1] ^= 1;
	assert_int_equal(dial(&a, two, 2, &err), E_REFUSED);
	assert_non_null(strstr(err.text, "/tcp/4000: "));
	assert_non_null(strstr(err.text, "/udp/1/quic-v1: "));

	assert_int_equal(
	    p2p_open_stream(a.host, &c.id.peer_id, &echo, 1, &s, NULL, NULL), E_NOT_FOUND);
	node_close(&a);
	node_close(&b);
}

static void test_dials_that_fail(void **state)
{
	net_run(20, LATENCY, story_errors);
}

static void story_fallback(struct net *n)
{
	struct node a, b, dark;
	struct multiaddr addrs[3];
	struct instant begin;
	struct err err;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_new(n, "dark", &dark);
	universe_partition(n->u, a.world, dark.world, true);
	addrs[0] = dark.addr;                        /* silence */
	addrs[1] = text_addr("/ip4/10.0.0.3/tcp/1"); /* refused */
	addrs[2] = node_full_addr(&b);
	begin = rt_now();
	OK(dial(&a, addrs, 3, &err));
	/* One stagger for the silent address; the refusal moves on at once. */
	assert_in_range(duration_to_ms(instant_since(rt_now(), begin)), 250, 600);
	assert_true(p2p_connected(a.host, &b.id.peer_id));
	node_close(&a);
	node_close(&b);
	node_close(&dark);
}

static void test_other_addresses_are_tried(void **state)
{
	net_run(21, LATENCY, story_fallback);
}

struct dialler {
	struct node *a;
	struct multiaddr to;
	unsigned done;
	p2p_conn_id conn;
};

static void dial_fiber(void *arg)
{
	struct dialler *d = arg;
	p2p_conn_id conn;

	OK(p2p_dial(d->a->host, NULL, &d->to, 1, &conn, NULL));
	assert_true(d->conn == 0 || d->conn == conn);
	d->conn = conn;
	d->done++;
}

static void give_up_fiber(void *arg)
{
	struct dialler *d = arg;
	struct scope sc;

	scope_open(&sc, duration_ms(5));
	assert_int_equal(p2p_dial(d->a->host, NULL, &d->to, 1, NULL, NULL), E_TIMEOUT);
	scope_close(&sc);
}

static void story_shared(struct net *n)
{
	struct node a, b;
	struct dialler d = {.a = &a};
	struct scope sc;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	d.to = node_full_addr(&b);
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(&sc, "first, gives up", give_up_fiber, &d, NULL));
	for (int i = 0; i < 10; i++)
		OK(fiber_spawn(&sc, "dial", dial_fiber, &d, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_int_equal(d.done, 10);
	assert_int_equal(a.opened, 1);
	assert_int_equal(p2p_conns(a.host, NULL, 0), 1);
	node_close(&a);
	node_close(&b);
}

static void test_concurrent_dials_are_shared(void **state)
{
	net_run(22, LATENCY, story_shared);
}

static void story_crossed(struct net *n)
{
	struct node a, b;
	struct dialler da = {.a = &a}, db = {.a = &b};
	struct p2p_conn_info ia[4], ib[4];
	uint8_t ha[P2P_BINDING_SIZE], hb[P2P_BINDING_SIZE];
	struct scope sc;
	const char *stall = STALL;
	struct stream *on_surplus;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	da.to = node_full_addr(&b);
	db.to = node_full_addr(&a);
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(&sc, "a dials", dial_fiber, &da, NULL));
	OK(fiber_spawn(&sc, "b dials", dial_fiber, &db, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
	eventually(1, p2p_conns(a.host, ia, 4) == 2 && p2p_conns(b.host, ib, 4) == 2);
	assert_int_equal(a.connected, 1);

	/* Both ends prefer the same one. */
	assert_true(ia[0].preferred != ia[1].preferred && ib[0].preferred != ib[1].preferred);
	OK(p2p_conn_binding(a.host, ia[ia[0].preferred ? 0 : 1].id, ha, NULL));
	OK(p2p_conn_binding(b.host, ib[ib[0].preferred ? 0 : 1].id, hb, NULL));
	assert_memory_equal(ha, hb, sizeof ha);

	/* The other one stays as long as it carries a stream. */
	p2p_conn_id surplus = ia[ia[0].preferred ? 1 : 0].id;
	OK(p2p_open_stream_on(a.host, surplus, &stall, 1, &on_surplus, NULL, NULL));
	OK(fiber_sleep(duration_s(20)));
	assert_int_equal(p2p_conns(a.host, NULL, 0), 2);
	stream_reset(on_surplus, E_CANCELLED);
	stream_close(on_surplus);
	eventually(20, p2p_conns(a.host, ia, 4) == 1 && p2p_conns(b.host, ib, 4) == 1);
	assert_true(ia[0].preferred && ia[0].id != surplus);
	assert_int_equal(a.disconnected + b.disconnected, 0);
	echo_check(&a, &b, 5000);
	node_close(&a);
	node_close(&b);
}

static void test_crossed_dials_leave_one(void **state)
{
	net_run(23, LATENCY, story_crossed);
}

static void story_back_off(struct net *n)
{
	struct node a, b;
	const char *echo = ECHO;
	struct stream *s;
	struct err err;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	node_close(&b);
	eventually(3, a.disconnected == 1);
	assert_int_equal(
	    p2p_open_stream(a.host, &b.id.peer_id, &echo, 1, &s, NULL, NULL), E_REFUSED);
	assert_int_equal(p2p_open_stream(a.host, &b.id.peer_id, &echo, 1, &s, NULL, &err), E_BUSY);
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(
	    p2p_open_stream(a.host, &b.id.peer_id, &echo, 1, &s, NULL, NULL), E_REFUSED);
	node_new(n, "b", &b);
	/* Whoever asks explicitly is not held back, and success forgets the failures. */
	node_connect(&a, &b);
	echo_check(&a, &b, 10);
	node_close(&a);
	node_close(&b);
}

static void test_streams_to_the_unreachable_back_off(void **state)
{
	net_run(24, LATENCY, story_back_off);
}

/* ---- losing and keeping -------------------------------------------------------------------- */

static void story_partition(struct net *n)
{
	struct node a, b;
	struct instant cut;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	OK(fiber_sleep(duration_s(60)));
	assert_int_equal(a.disconnected, 0);
	universe_partition(n->u, a.world, b.world, true);
	cut = rt_now();
	eventually(40, a.disconnected == 1 && b.disconnected == 1);
	assert_in_range(duration_to_ms(instant_since(rt_now(), cut)), 9000, 28000);
	assert_int_equal(a.last_code, E_TIMEOUT);
	assert_non_null(strstr(a.last_text, "no sign of life"));
	node_close(&a);
	node_close(&b);
}

static void test_a_dead_peer_is_noticed(void **state)
{
	net_run(25, LATENCY, story_partition);
}

/* A host of its own that can crash. */
static void lonely_fiber(void *arg)
{
	struct node *b = arg;
	struct net *n = b->net;

	node_new(n, "b", b);
	while (fiber_sleep(duration_s(1)) == 0) {
	}
	node_close(b);
}

static void boot_b(struct net *n, struct node *b)
{
	b->net = n;
	OK(universe_boot(n->u, universe_host(n->u, "b"), n->log, lonely_fiber, b, NULL));
}

static void story_keep(struct net *n)
{
	static struct node a, b;
	struct multiaddr to;
	struct instant since;

	node_new(n, "a", &a);
	boot_b(n, &b);
	OK(fiber_sleep(duration_ms(100)));
	to = b.addr; /* no /p2p: whoever answers */
	OK(p2p_keep(a.host, &to, NULL));
	assert_int_equal(p2p_keep(a.host, &to, NULL), E_EXISTS);
	eventually(2, a.connected == 1);
	for (unsigned round = 1; round <= 3; round++) {
		universe_crash(n->u, b.world, true);
		eventually(2, a.disconnected == round);
		OK(fiber_sleep(duration_s(30)));
		assert_int_equal(a.keep_failed, round); /* one reason, told once */
		boot_b(n, &b);
		since = rt_now();
		eventually(10, a.connected == round + 1);
		assert_in_range(duration_to_ms(instant_since(rt_now(), since)), 0, 2200);
	}
	/* After a minute the pauses grow, to a minute at most. */
	universe_crash(n->u, b.world, true);
	OK(fiber_sleep(duration_s(600)));
	boot_b(n, &b);
	since = rt_now();
	eventually(62, a.connected == 5);
	assert_true(duration_to_ms(instant_since(rt_now(), since)) < 61000);
	p2p_unkeep(a.host, &to);
	universe_crash(n->u, b.world, true);
	OK(fiber_sleep(duration_s(2)));
	boot_b(n, &b);
	OK(fiber_sleep(duration_s(90)));
	assert_int_equal(a.connected, 5);
	node_close(&a);
	universe_crash(n->u, b.world, true);
}

static void test_kept_connections_come_back(void **state)
{
	net_run(26, LATENCY, story_keep);
}

struct waiter {
	struct node *a;
	p2p_conn_id conn;
	unsigned failed;
};

static void open_fiber(void *arg)
{
	struct waiter *w = arg;
	const char *two[] = {ECHO, SINK};
	struct stream *s;

	assert_int_not_equal(p2p_open_stream_on(w->a->host, w->conn, two, 2, &s, NULL, NULL), 0);
	w->failed++;
}

static void story_waiting_opens(struct net *n)
{
	struct node a, b;
	struct waiter w = {.a = &a};
	struct multiaddr to;
	struct scope sc;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	to = node_full_addr(&b);
	OK(p2p_dial(a.host, NULL, &to, 1, &w.conn, NULL));
	universe_partition(n->u, a.world, b.world, true);
	/* More than may be opened before the peer has answered anything. */
	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < 20; i++)
		OK(fiber_spawn(&sc, "open", open_fiber, &w, NULL));
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(w.failed, 0);
	p2p_conn_close(a.host, w.conn, "enough");
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_int_equal(w.failed, 20);
	node_close(&a);
	node_close(&b);
}

static void test_connections_end_while_streams_wait_to_open(void **state)
{
	net_run(33, LATENCY, story_waiting_opens);
}

/* ---- mDNS ---------------------------------------------------------------------------------- */

static void story_mdns(struct net *n)
{
	struct node a, b;
	struct p2p_options opt;
	struct multiaddr listen;
	struct p2p_peer_info info;

	node_options(n, "a", &a, &opt, &listen);
	opt.mdns = true;
	node_start(&a, &opt);
	OK(fiber_sleep(duration_s(5)));
	node_options(n, "b", &b, &opt, &listen);
	opt.mdns = true;
	node_start(&b, &opt);
	node_serve(&a);
	node_serve(&b);
	eventually(3, a.discovered > 0 && b.discovered > 0);
	assert_true(p2p_peer_info(b.host, &a.id.peer_id, &info));
	assert_int_equal(info.n_addrs, 1);
	assert_true(multiaddr_equal(&info.addrs[0], &a.addr));
	assert_false(info.connected);
	echo_check(&b, &a, 100); /* known addresses are enough to open a stream */
	node_close(&a);
	node_close(&b);
}

static void test_mdns(void **state)
{
	net_run(27, LATENCY, story_mdns);
}

/* ---- peers that break the rules, before the handshake is done ------------------------------- */

static struct stream *raw_dial(struct node *from, struct node *to)
{
	struct netaddr at;
	struct stream *s;

	universe_host_addr(to->world, &at);
	at.port = NET_PORT;
	OK(world_tcp_dial(from->world, &at, &s, NULL));
	return s;
}

/* Sends `n` bytes and returns how long the connection lived after that. */
static struct duration provoke(struct node *from, struct node *to, const void *bytes, size_t n)
{
	struct stream *s = raw_dial(from, to);
	struct instant begin = rt_now();
	uint8_t in[256];

	if (n > 0)
		OK(stream_write(s, bytes, n, NULL));
	while (stream_read(s, in, sizeof in, NULL) > 0) {
	}
	stream_close(s);
	return instant_since(rt_now(), begin);
}

static void story_garbage(struct net *n)
{
	struct node a, b;
	uint8_t junk[3000];
	static const char noise[] = "\x13/multistream/1.0.0\n\7/noise\n";

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	world_random(a.world, junk, sizeof junk);
	assert_true(provoke(&a, &b, junk, sizeof junk).ns < duration_s(1).ns);
	assert_int_equal(net_logged(n, "inbound connection from"), 1);
	assert_true(provoke(&a, &b, "GET / HTTP/1.1\r\n\r\n", 18).ns < duration_s(1).ns);
	assert_int_equal(net_logged(n, "inbound connection from"), 2);
	/* An ephemeral key of zeroes. */
	uint8_t zero[sizeof noise - 1 + 34] = {0};
	memcpy(zero, noise, sizeof noise - 1);
	zero[sizeof noise] = 32;
	assert_true(provoke(&a, &b, zero, sizeof zero).ns < duration_s(1).ns);
	assert_int_equal(net_logged(n, "inbound connection from"), 3);
	/* Silence, and half a handshake, end with the handshake's deadline. */
	int64_t ms = duration_to_ms(provoke(&a, &b, NULL, 0));
	assert_in_range(ms, 9900, 10200);
	ms = duration_to_ms(provoke(&a, &b, zero, sizeof zero - 20));
	assert_in_range(ms, 9900, 10200);
	assert_int_equal(net_logged(n, "inbound connection from"), 5);
	assert_int_equal(p2p_conns(b.host, NULL, 0), 0);
	node_connect(&a, &b);
	node_close(&a);
	node_close(&b);
}

static void test_garbage_instead_of_a_handshake(void **state)
{
	net_run(28, LATENCY, story_garbage);
}

static void story_half_open(struct net *n)
{
	struct node a, b, c;
	struct p2p_options opt;
	struct multiaddr listen;
	struct stream *raw[500];
	uint8_t byte;

	node_options(n, "b", &b, &opt, &listen);
	opt.limits.handshakes_in = 300;
	node_start(&b, &opt);
	node_serve(&b);
	node_new(n, "a", &a);
	node_new(n, "c", &c);
	struct instant begin = rt_now();
	for (int i = 0; i < 500; i++)
		raw[i] = raw_dial(&a, &b);
	OK(fiber_sleep(duration_ms(100)));
	/* The oldest 200 made room for newer ones. */
	assert_int_equal(net_logged(n, "dropped for newer ones"), 200);
	assert_true(stream_read(raw[0], &byte, 1, NULL) <= 0);
	node_connect(&c, &b); /* who means it gets through */
	for (int i = 0; i < 500; i++) {
		assert_true(stream_read(raw[i], &byte, 1, NULL) <= 0);
		stream_close(raw[i]);
	}
	assert_true(instant_since(rt_now(), begin).ns < duration_s(21).ns);
	assert_int_equal(net_logged(n, "inbound connection from"), 500);
	node_close(&c);
	OK(fiber_sleep(duration_s(2)));
	assert_int_equal(b.host->n_half_open, 0);
	assert_int_equal(b.host->shaking.free, SHAKING_MAX);
	assert_int_equal(p2p_conns(b.host, NULL, 0), 0);
	node_close(&a);
	node_close(&b);
}

static void test_five_hundred_half_open(void **state)
{
	net_run(29, LATENCY, story_half_open);
}

/* ---- whoever carries the bytes ------------------------------------------------------------- */

/* Carries bytes to `to`, and changes one of them when told to. */
struct carrier {
	struct node node, *to;
	struct listener *listener;
	struct stream *from_dialler, *to_target;
	bool corrupt;
};

static void carry_on(struct carrier *c, struct stream *from, struct stream *to, bool corruptible)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = stream_read(from, buf, sizeof buf, NULL)) > 0) {
		if (corruptible && c->corrupt) {
			buf[n - 1] ^= 1;
			c->corrupt = false;
		}
		if (stream_write(to, buf, (size_t)n, NULL) != 0)
			break;
	}
	stream_reset(from, E_RESET);
	stream_reset(to, E_RESET);
}

static void back_fiber(void *arg)
{
	struct carrier *c = arg;

	carry_on(c, c->to_target, c->from_dialler, false);
}

static void carrier_fiber(void *arg)
{
	struct carrier *c = arg;
	struct scope sc;

	while (listener_accept(c->listener, &c->from_dialler, NULL, NULL) == 0) {
		c->to_target = raw_dial(&c->node, c->to);
		scope_open(&sc, DURATION_FOREVER);
		OK(fiber_spawn(&sc, "back", back_fiber, c, NULL));
		carry_on(c, c->from_dialler, c->to_target, true);
		if (scope_join(&sc) != 0)
			scope_cancel(&sc);
		scope_close(&sc);
		stream_close(c->from_dialler);
		stream_close(c->to_target);
	}
}

static void carry_badly(struct net *n, const struct pnet_key *key)
{
	struct p2p_options opt;
	struct multiaddr listen, at;
	struct node a, b;
	struct carrier c = {.to = &b};
	struct netaddr here;
	struct scope sc;

	node_options(n, "a", &a, &opt, &listen);
	opt.swarm_key = key;
	node_start(&a, &opt);
	node_serve(&a);
	node_options(n, "b", &b, &opt, &listen);
	opt.swarm_key = key;
	node_start(&b, &opt);
	node_serve(&b);
	node_new(n, "m", &c.node);
	universe_host_addr(c.node.world, &here);
	here.port = NET_PORT + 1;
	OK(world_tcp_listen(c.node.world, &here, &c.listener, NULL));
	netaddr_to_multiaddr(&here, &at);
	OK(multiaddr_append_peer(&at, &b.id.peer_id, NULL));
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(&sc, "carrier", carrier_fiber, &c, NULL));
	/* Five times in a few seconds: a broken rule would be a ban at the third. */
	for (unsigned i = 0; i < 5; i++) {
		OK(p2p_dial(a.host, NULL, &at, 1, NULL, NULL));
		eventually(2, b.identified > i);
		c.corrupt = true;
		assert_int_not_equal(
		    p2p_ping(a.host, &b.id.peer_id, &(struct duration){0}, NULL), 0);
		assert_false(c.corrupt);
		eventually(2,
		    !p2p_connected(a.host, &b.id.peer_id) && !p2p_connected(b.host, &a.id.peer_id));
		assert_int_equal(b.last_code, E_BAD_SIGNATURE);
	}
	assert_false(p2p_banned(b.host, &a.id.peer_id, NULL, NULL));
	assert_false(p2p_banned(a.host, &b.id.peer_id, NULL, NULL));
	scope_cancel(&sc);
	scope_close(&sc);
	listener_close(c.listener);
	node_close(&c.node);
	node_close(&a);
	node_close(&b);
}

static void story_bad_carrier(struct net *n)
{
	carry_badly(n, NULL);
}

static void story_bad_private_carrier(struct net *n)
{
	struct pnet_key key = {{7}};

	carry_badly(n, &key);
}

static void test_changed_bytes_are_nobodys_offence(void **state)
{
	net_run(30, LATENCY, story_bad_carrier);
	net_run(30, LATENCY, story_bad_private_carrier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dials_that_fail),
	    cmocka_unit_test(test_other_addresses_are_tried),
	    cmocka_unit_test(test_concurrent_dials_are_shared),
	    cmocka_unit_test(test_crossed_dials_leave_one),
	    cmocka_unit_test(test_streams_to_the_unreachable_back_off),
	    cmocka_unit_test(test_a_dead_peer_is_noticed),
	    cmocka_unit_test(test_kept_connections_come_back),
	    cmocka_unit_test(test_connections_end_while_streams_wait_to_open),
	    cmocka_unit_test(test_mdns),
	    cmocka_unit_test(test_garbage_instead_of_a_handshake),
	    cmocka_unit_test(test_five_hundred_half_open),
	    cmocka_unit_test(test_changed_bytes_are_nobodys_offence),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
