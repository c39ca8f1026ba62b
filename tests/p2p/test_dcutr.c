/* Holes in place of circuits: made where they can be, given up where not, and not for everybody at
 * once. */
#include "relay_help.h"

#include "p2p/dcutr_priv.h"
#include "p2p/direct_priv.h"
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/pnet_priv.h"

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

/* ---- again and again ----------------------------------------------------------------------- */

/* A trio whose circuit is up and whose first attempts at a hole have failed. */
static void trio_relayed(struct net *n, struct trio *t)
{
	struct p2p_relay_limits none = unlimited();
	p2p_conn_id conn;

	trio_new(n, t, &none);
	OK(p2p_protect(t->a.host, &t->b.id.peer_id, "test", NULL));
	OK(p2p_protect(t->b.host, &t->a.id.peer_id, "test", NULL));
	OK(p2p_dcutr_start(t->a.host, NULL));
	OK(p2p_dcutr_start(t->b.host, NULL));
	reach_through(&t->a, &t->r, &t->b, &conn);
	eventually(30, dcutr_stats(&t->b).attempts == 3);
	OK(fiber_sleep(duration_s(6)));
	assert_int_equal(relayed_conns(&t->a), 1);
}

static bool is_direct_now(struct node *from, const struct node *to)
{
	struct p2p_conn_info info;

	return p2p_preferred(from->host, &to->id.peer_id, &info) && info.relay.n == 0;
}

/* Each half of a second something goes from a to b and back, until they are directly connected. */
static unsigned talk_until_direct(struct trio *t, unsigned limit_s)
{
	unsigned halves = 0;

	for (; halves < 2 * limit_s && !is_direct_now(&t->a, &t->b); halves++) {
		echo_check(&t->a, &t->b, 2000);
		OK(fiber_sleep(duration_ms(500)));
	}
	assert_true(is_direct_now(&t->a, &t->b) && is_direct_now(&t->b, &t->a));
	return halves / 2;
}

static void story_healed(struct net *n)
{
	struct trio t;

	trio_relayed(n, &t);
	/* Minutes later the link heals, and nobody says so. */
	OK(fiber_sleep(duration_s(100)));
	uint32_t attempts = dcutr_stats(&t.b).attempts;
	assert_true(attempts > 3 && attempts <= 6);
	universe_partition(n->u, t.a.world, t.b.world, false);
	(void)talk_until_direct(&t, 130);
	eventually(10, relayed_conns(&t.a) == 0 && relayed_conns(&t.b) == 0);
	echo_check(&t.b, &t.a, 2000);
	assert_int_equal(t.a.disconnected + t.b.disconnected, 0);
	/* Attempts end with success. */
	attempts = dcutr_stats(&t.b).attempts;
	OK(fiber_sleep(duration_s(700)));
	assert_int_equal(dcutr_stats(&t.b).attempts, attempts);
	trio_close(&t);
}

static void test_a_healed_link_is_found(void **state)
{
	net_run(60, LATENCY, story_healed);
}

static void story_rare(struct net *n)
{
	struct trio t;

	trio_relayed(n, &t);
	uint32_t first = dcutr_stats(&t.b).attempts;
	/* 30, 60, 120 … 600 s: some twelve in an hour and a half, whatever chance takes off. */
	OK(fiber_sleep(duration_s(5400)));
	uint32_t more = dcutr_stats(&t.b).attempts - first;
	assert_in_range(more, 10, 18);
	assert_int_equal(relayed_conns(&t.a), 1);
	/* A new address is a reason to try at once. */
	universe_partition(n->u, t.a.world, t.b.world, false);
	struct multiaddr other;
	OK(multiaddr_parse(bytes_str("/ip4/10.0.0.99/tcp/99"), &other, NULL));
	p2p_add_addrs(t.a.host, &t.b.id.peer_id, &other, 1);
	assert_true(talk_until_direct(&t, 20) <= 17);
	trio_close(&t);
}

static void test_hopeless_links_are_tried_rarely(void **state)
{
	net_run_for(61, LATENCY, duration_s(7200), story_rare);
}

static struct multiaddr addr(const char *text)
{
	struct multiaddr a;

	OK(multiaddr_parse(bytes_str(text), &a, NULL));
	return a;
}

static void test_the_plan(void **state)
{
	struct direct_plan p = {0};
	struct instant now = {INT64_C(1000000000000)};

	assert_false(direct_plan_due(&p, now));
	for (int64_t ms = DIRECT_FIRST_MS; ms < 2 * DIRECT_MAX_MS; ms *= 2) {
		int64_t most = ms < DIRECT_MAX_MS ? ms : DIRECT_MAX_MS;
		direct_plan_wait(&p, now, 0);
		assert_int_equal(duration_to_ms(instant_since(p.next, now)), most);
		assert_false(direct_plan_due(&p, now));
		assert_true(direct_plan_due(&p, p.next));
	}
	for (int i = 0; i < 1000; i++)
		direct_plan_wait(&p, now, (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
	assert_in_range(
	    duration_to_ms(instant_since(p.next, now)), DIRECT_MAX_MS * 3 / 4, DIRECT_MAX_MS);
	/* A hint brings it forward, never back, and not below the gap. */
	direct_plan_hint(&p, now, DIRECT_GAP_MS);
	assert_int_equal(duration_to_ms(instant_since(p.next, now)), DIRECT_GAP_MS);
	direct_plan_hint(&p, now, DIRECT_SEEN_MS);
	assert_int_equal(duration_to_ms(instant_since(p.next, now)), DIRECT_GAP_MS);
	struct instant later = instant_add(now, duration_ms(DIRECT_GAP_MS - 1));
	direct_plan_wait(&p, now, 0);
	assert_int_equal(duration_to_ms(instant_since(p.next, now)), DIRECT_FIRST_MS);
	direct_plan_hint(&p, later, 1000);
	assert_true(direct_plan_due(&p, later));
	p.running = true;
	assert_false(direct_plan_due(&p, later));
}

static void test_sets_of_addresses(void **state)
{
	struct direct_set one = {0}, two = {0};
	struct multiaddr a = addr("/ip4/1.2.3.4/tcp/1"), b = addr("/ip4/1.2.3.4/tcp/2");

	direct_set_add(&one, &a);
	direct_set_add(&one, &a);
	assert_int_equal(one.n, 1);
	direct_set_add(&two, &b);
	direct_set_add(&two, &a);
	assert_true(direct_set_grew(&one, &two));
	assert_false(direct_set_grew(&two, &one));
	for (int i = 0; i < 100; i++) {
		char text[40];
		(void)snprintf(text, sizeof text, "/ip4/1.2.3.5/tcp/%d", i + 1);
		a = addr(text);
		direct_set_add(&one, &a);
	}
	assert_int_equal(one.n, DIRECT_SET_MAX);
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

/* ---- in a private network ------------------------------------------------------------------ */

static void private_node(
    struct net *n, const char *name, struct node *node, const struct pnet_key *key)
{
	struct p2p_options opt;
	struct multiaddr listen;

	node_options(n, name, node, &opt, &listen);
	opt.swarm_key = key;
	node_start(node, &opt);
	node_serve(node);
}

static void private_trio(struct net *n, struct trio *t, const struct pnet_key *key)
{
	private_node(n, "a", &t->a, key);
	private_node(n, "b", &t->b, key);
	private_node(n, "r", &t->r, key);
	separate(n, &t->a, &t->b);
	serve_relay(&t->r, NULL);
	listen_through(&t->b, &t->r);
	eventually(2, reserved(&t->b) == 1);
}

/* Where holes lead to that are none: a listener that keeps what it hears first; or, with `as`, that
 * speaks first, as that host. */
struct trap {
	struct node node, *as;
	struct listener *listener;
	struct netaddr at;
	uint8_t heard[512];
	size_t n_heard;
	unsigned knocks, met;
	struct peer_id last;
};

static void spring(struct trap *t, struct stream *raw)
{
	struct upgraded up;
	struct scope sc;

	t->knocks++;
	scope_open(&sc, duration_s(1));
	if (!t->as)
		while (t->n_heard < sizeof t->heard &&
		       stream_read_full(raw, t->heard + t->n_heard, 1, NULL) == 0)
			t->n_heard++;
	if (t->as && upgrade_outbound(t->as->host, raw, NULL, &up, NULL) == 0) {
		t->met++;
		t->last = up.peer;
		secure_close(up.secure);
		raw = NULL;
	}
	scope_close(&sc);
	stream_close(raw);
}

static void trap_fiber(void *arg)
{
	struct trap *t = arg;
	struct stream *raw;

	while (listener_accept(t->listener, &raw, NULL, NULL) == 0)
		spring(t, raw);
}

static void trap_set(struct net *n, struct trap *t, struct node *as, struct scope *sc)
{
	*t = (struct trap){.as = as};
	node_new(n, "trap", &t->node);
	universe_host_addr(t->node.world, &t->at);
	t->at.port = NET_PORT + 1;
	OK(world_tcp_listen(t->node.world, &t->at, &t->listener, NULL));
	scope_open(sc, DURATION_FOREVER);
	OK(fiber_spawn(sc, "trap", trap_fiber, t, NULL));
}

static void trap_close(struct trap *t, struct scope *sc)
{
	scope_cancel(sc);
	scope_close(sc);
	listener_close(t->listener);
	node_close(&t->node);
}

/* CONNECT with the trap's address. */
static int say_trap(struct stream *s, const struct trap *t)
{
	uint8_t connect[] = {8, 100, 18, 8, 4, 0, 0, 0, 0, 6, 0, 0};

	memcpy(connect + 5, t->at.ip, 4);
	put_u16be(connect + 10, t->at.port);
	return framed_write(s, bytes_of(connect, sizeof connect), NULL);
}

static bool contains(const uint8_t *p, size_t n, const char *text)
{
	size_t m = strlen(text);

	for (size_t i = 0; i + m <= n; i++)
		if (memcmp(p + i, text, m) == 0)
			return true;
	return false;
}

/* Whoever leads a member out of the private network hears nothing but noise. */
static void story_led_outside(struct net *n)
{
	static const uint8_t sync[] = {8, 172, 2};
	const char *protocol = PROTOCOL_DCUTR;
	struct pnet_key key = {{9}};
	struct trio t;
	struct trap trap;
	struct stream *s;
	struct scope sc;
	p2p_conn_id relayed;

	private_trio(n, &t, &key);
	trap_set(n, &trap, NULL, &sc);
	OK(p2p_dcutr_start(t.a.host, NULL));
	reach_through(&t.a, &t.r, &t.b, &relayed);
	OK(p2p_open_stream_on(t.b.host, t.b.last_conn, &protocol, 1, &s, NULL, NULL));
	OK(say_trap(s, &trap));
	OK(framed_write(s, bytes_of(sync, sizeof sync), NULL));
	OK(fiber_sleep(duration_s(7)));
	assert_int_equal(dcutr_stats(&t.a).attempts, 1);
	assert_true(trap.knocks > 0);
	/* The nonce, and a proposal of which not a word can be read. */
	assert_true(trap.n_heard > PNET_NONCE_SIZE + 10);
	assert_false(contains(trap.heard, trap.n_heard, "multistream"));
	assert_false(contains(trap.heard, trap.n_heard, "noise"));
	stream_close(s);
	trap_close(&trap, &sc);
	trio_close(&t);
}

struct follower {
	const struct trap *trap;
	unsigned led;
};

/* A's part of the exchange, with an address that is not A's. */
static void follow_falsely(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct follower *f = arg;
	struct buf in = BUF_INIT(DCUTR_MESSAGE_MAX);

	if (framed_read(s, &in, NULL) > 0 && say_trap(s, f->trap) == 0 &&
	    framed_read(s, &in, NULL) > 0)
		f->led++;
	buf_free(&in);
	stream_close(s);
}

/* Another member comes through the hole: it is not taken for the one that was meant, and what was
 * made for it is freed. */
static void story_another_member(struct net *n)
{
	struct pnet_key key = {{9}};
	struct trio t;
	struct trap trap;
	struct follower f = {.trap = &trap};
	struct node other;
	struct scope sc;
	p2p_conn_id relayed;

	private_trio(n, &t, &key);
	private_node(n, "other", &other, &key);
	trap_set(n, &trap, &other, &sc);
	OK(p2p_handle(t.a.host, PROTOCOL_DCUTR, follow_falsely, &f, NULL));
	OK(p2p_dcutr_start(t.b.host, NULL));
	reach_through(&t.a, &t.r, &t.b, &relayed);
	eventually(30, trap.met > 0 && f.led > 0);
	assert_true(peer_id_equal(&trap.last, &t.b.id.peer_id));
	OK(fiber_sleep(duration_s(30)));
	assert_true(dcutr_stats(&t.b).attempts > 0);
	assert_int_equal(dcutr_stats(&t.b).succeeded, 0);
	assert_false(p2p_connected(t.b.host, &other.id.peer_id));
	assert_false(any_punched(&t.b));
	trap_close(&trap, &sc);
	node_close(&other);
	trio_close(&t);
}

static void test_holes_in_a_private_network(void **state)
{
	net_run(60, LATENCY, story_led_outside);
	net_run(61, LATENCY, story_another_member);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_hole_is_punched),
	    cmocka_unit_test(test_without_a_hole_they_stay_relayed),
	    cmocka_unit_test(test_a_healed_link_is_found),
	    cmocka_unit_test(test_hopeless_links_are_tried_rarely),
	    cmocka_unit_test(test_the_plan),
	    cmocka_unit_test(test_sets_of_addresses),
	    cmocka_unit_test(test_dcutr_out_of_place),
	    cmocka_unit_test(test_dcutr_is_followed_thrice),
	    cmocka_unit_test(test_a_crowd_is_followed_by_eights),
	    cmocka_unit_test(test_holes_in_a_private_network),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
