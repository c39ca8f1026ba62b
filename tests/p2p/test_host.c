/* Two and more hosts in a simulated universe: connections, streams, identify, limits. */
#include "host_help.h"

#define LATENCY duration_ms(10)

static struct stream *open_stream(struct node *a, struct node *b, const char *protocol)
{
	struct stream *s;
	struct err err = {0};

	if (p2p_open_stream(a->host, &b->id.peer_id, &protocol, 1, &s, NULL, &err) != 0)
		fail_msg("no stream: %s", err_text(&err));
	return s;
}

/* ---- the first connection ------------------------------------------------------------------ */

static void story_connect(struct net *n)
{
	struct node a, b;
	struct p2p_conn_info ia, ib;
	uint8_t ha[P2P_BINDING_SIZE], hb[P2P_BINDING_SIZE];
	struct p2p_peer_info info;
	struct duration rtt;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	assert_int_equal(p2p_conns(a.host, &ia, 1), 1);
	assert_int_equal(p2p_conns(b.host, &ib, 1), 1);
	assert_int_equal(ia.direction, P2P_OUTBOUND);
	assert_int_equal(ib.direction, P2P_INBOUND);
	assert_true(ia.preferred && ib.preferred && !ia.protected);
	OK(p2p_conn_binding(a.host, ia.id, ha, NULL));
	OK(p2p_conn_binding(b.host, ib.id, hb, NULL));
	assert_memory_equal(ha, hb, sizeof ha);
	assert_true(p2p_peer_info(a.host, &b.id.peer_id, &info));
	assert_true(info.connected && info.identified);
	assert_string_equal(info.agent, "p2p");
	assert_true(info.n_addrs >= 1);
	OK(p2p_ping(a.host, &b.id.peer_id, &rtt, NULL));
	assert_in_range(duration_to_ms(rtt), 20, 25);
	assert_int_equal(a.connected, 1);
	assert_int_equal(b.connected, 1);
	node_close(&a);
	eventually(2, b.disconnected == 1);
	assert_int_equal(p2p_conns(b.host, NULL, 0), 0);
	assert_int_equal(p2p_conn_binding(b.host, ib.id, hb, NULL), E_NOT_FOUND);
	node_close(&b);
}

static void test_connect_identify_ping(void **state)
{
	net_run(1, LATENCY, story_connect);
}

/* ---- streams ------------------------------------------------------------------------------- */

static void story_echo(struct net *n)
{
	struct node a, b;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	echo_check(&a, &b, 0);
	echo_check(&a, &b, 1);
	echo_check(&b, &a, 3 << 20);
	assert_int_equal(p2p_conns(a.host, NULL, 0), 1);
	node_close(&a);
	node_close(&b);
}

static void test_echo_both_ways(void **state)
{
	net_run(2, LATENCY, story_echo);
}

struct many {
	struct node *a, *b;
	unsigned done;
	unsigned open, most;
};

static void one_of_many(void *arg)
{
	struct many *m = arg;
	struct stream *s = open_stream(m->a, m->b, ECHO);
	uint8_t back[5];

	if (++m->open > m->most)
		m->most = m->open;
	OK(stream_write(s, "hello", 5, NULL));
	OK(stream_read_full(s, back, 5, NULL));
	assert_memory_equal(back, "hello", 5);
	OK(fiber_sleep(duration_s(5))); /* all of them are open now */
	m->open--;
	stream_close(s);
	m->done++;
}

static void story_many_streams(struct net *n)
{
	struct node a, b;
	struct many m = {.a = &a, .b = &b};
	struct p2p_conn_info info;
	struct scope sc;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < 1000; i++)
		OK(fiber_spawn(&sc, "one", one_of_many, &m, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_int_equal(m.done, 1000);
	assert_int_equal(m.most, 1000);
	assert_int_equal(n->served, 1000);
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(p2p_conns(b.host, &info, 1), 1);
	assert_int_equal(info.streams_in, 0);
	node_close(&a);
	node_close(&b);
}

static void test_a_thousand_streams(void **state)
{
	net_run(3, LATENCY, story_many_streams);
}

static void story_half_close(struct net *n)
{
	struct node a, b;
	uint8_t answer[8], more;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	struct stream *s = open_stream(&a, &b, SINK);
	OK(stream_write(s, "12345", 5, NULL));
	OK(stream_close_write(s, NULL));
	assert_int_equal(stream_write(s, "6", 1, NULL), E_CLOSED);
	OK(stream_read_full(s, answer, 8, NULL));
	assert_int_equal(get_u64be(answer), 5);
	assert_int_equal(stream_read(s, &more, 1, NULL), 0);
	stream_close(s);
	/* Nothing sent, only the half-close: the proposal and the end are all that travels. */
	s = open_stream(&a, &b, SINK);
	OK(stream_close_write(s, NULL));
	OK(stream_read_full(s, answer, 8, NULL));
	assert_int_equal(get_u64be(answer), 0);
	stream_close(s);
	node_close(&a);
	node_close(&b);
}

static void test_half_close(void **state)
{
	net_run(4, LATENCY, story_half_close);
}

/* What the handler of the reset test saw. */
static int reset_seen;

static void serve_until_error(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t buf[64];
	ssize_t n;

	assert_string_equal(info->protocol, "/reset/1");
	while ((n = stream_read(s, buf, sizeof buf, NULL)) > 0) {
	}
	reset_seen = (int)n;
	stream_close(s);
}

static void story_reset(struct net *n)
{
	struct node a, b;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	OK(p2p_handle(b.host, "/reset/1", serve_until_error, NULL, NULL));
	node_connect(&a, &b);
	reset_seen = 1;
	struct stream *s = open_stream(&a, &b, "/reset/1");
	OK(stream_write(s, "x", 1, NULL));
	OK(fiber_sleep(duration_ms(100)));
	stream_reset(s, E_CANCELLED);
	assert_int_equal(stream_write(s, "y", 1, NULL), E_CANCELLED);
	stream_close(s);
	eventually(2, reset_seen == E_RESET);
	echo_check(&a, &b, 1000); /* the connection is unharmed */
	node_close(&a);
	node_close(&b);
}

static void test_reset_reaches_the_other_side(void **state)
{
	net_run(5, LATENCY, story_reset);
}

/* A write that is cut short by a deadline must not tear what others send. */
static void story_cancelled_write(struct net *n)
{
	struct node a, b;
	struct scope sc;
	uint8_t *big = calloc(1, 1 << 20);

	assert_non_null(big);
	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	struct stream *s = open_stream(&a, &b, STALL);
	scope_open(&sc, duration_s(2));
	assert_int_equal(stream_write(s, big, 1 << 20, NULL), E_TIMEOUT);
	scope_close(&sc);
	echo_check(&a, &b, 100000);
	stream_reset(s, E_TIMEOUT);
	stream_close(s);
	echo_check(&b, &a, 100000);
	node_close(&a);
	node_close(&b);
	free(big);
}

static void test_a_cancelled_write_harms_nobody(void **state)
{
	net_run(6, LATENCY, story_cancelled_write);
}

static void story_held_stream(struct net *n)
{
	struct node a, b;
	struct p2p_stream_info info;
	uint8_t buf[8];

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	struct stream *s = open_stream(&a, &b, ECHO);
	OK(stream_write(s, "abc", 3, NULL));
	OK(fiber_sleep(duration_ms(100)));
	node_close(&b);
	OK(fiber_sleep(duration_s(2)));
	assert_int_equal(p2p_conns(a.host, NULL, 0), 0);
	OK(stream_read_full(s, buf, 3, NULL)); /* what came before the end is still there */
	assert_int_equal(stream_read(s, buf, 1, NULL), E_RESET);
	assert_int_equal(stream_write(s, "x", 1, NULL), E_RESET);
	node_close(&a);
	assert_true(p2p_stream_info(s, &info));
	assert_true(peer_id_equal(&info.peer, &b.id.peer_id));
	assert_string_equal(info.protocol, ECHO);
	assert_int_equal(stream_read(s, buf, 1, NULL), E_RESET);
	stream_close(s);
}

static void test_a_stream_outlives_its_host(void **state)
{
	net_run(7, LATENCY, story_held_stream);
}

/* ---- protocols ----------------------------------------------------------------------------- */

static bool refuse_echo(void *arg, const struct p2p_stream_info *info)
{
	assert_true(peer_id_equal(&info->peer, arg));
	assert_int_equal(info->direction, P2P_INBOUND);
	return strcmp(info->protocol, ECHO) != 0;
}

static void story_protocols(struct net *n)
{
	struct node a, b;
	const char *names[] = {"/nothing/1", "/nothing/2", SINK};
	const char *chosen = NULL;
	struct stream *s;
	uint8_t byte;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	assert_int_equal(
	    p2p_open_stream(a.host, &b.id.peer_id, names, 2, &s, NULL, NULL), E_UNSUPPORTED);
	OK(p2p_open_stream(a.host, &b.id.peer_id, names, 3, &s, &chosen, NULL));
	assert_ptr_equal(chosen, names[2]);
	stream_close(s);

	/* A protocol known from identify is presumed; its refusal shows on the first read. */
	p2p_set_gate(b.host, refuse_echo, &a.id.peer_id);
	s = open_stream(&a, &b, ECHO);
	OK(stream_write(s, "x", 1, NULL));
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_UNSUPPORTED);
	stream_close(s);
	assert_int_equal(n->served, 1);
	p2p_set_gate(b.host, NULL, NULL);
	echo_check(&a, &b, 10);

	assert_int_equal(p2p_handle(b.host, ECHO, NULL, NULL, NULL), E_EXISTS);
	assert_int_equal(p2p_handle(b.host, "", NULL, NULL, NULL), E_INVALID);
	assert_int_equal(p2p_handle(b.host, "/two\nlines", NULL, NULL, NULL), E_INVALID);
	node_close(&a);
	node_close(&b);
}

static void test_protocols_and_the_gate(void **state)
{
	net_run(8, LATENCY, story_protocols);
}

static void story_push(struct net *n)
{
	struct node a, b;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	assert_false(p2p_peer_speaks(a.host, &b.id.peer_id, "/later/1"));
	OK(p2p_handle(b.host, "/later/1", serve_until_error, NULL, NULL));
	eventually(3, p2p_peer_speaks(a.host, &b.id.peer_id, "/later/1"));
	assert_true(p2p_peer_speaks(a.host, &b.id.peer_id, ECHO));
	p2p_unhandle(b.host, "/later/1");
	eventually(3, !p2p_peer_speaks(a.host, &b.id.peer_id, "/later/1"));
	node_close(&a);
	node_close(&b);
}

static void test_changes_are_pushed(void **state)
{
	net_run(9, LATENCY, story_push);
}

/* A protocol whose last act is to leave the table: what it was served with is gone then. */
struct leaving {
	struct node *node;
	unsigned asked, called;
};

static void serve_leaving(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct leaving *l = arg;

	l->called++;
	stream_close(s);
}

static bool leave_when_asked(void *arg, const struct p2p_stream_info *info)
{
	struct leaving *l = arg;

	if (strcmp(info->protocol, "/leaving/1") == 0) {
		l->asked++;
		p2p_unhandle(l->node->host, "/leaving/1");
	}
	return true;
}

static void story_leaving(struct net *n)
{
	struct node a, b;
	struct leaving first = {.node = &b}, second = {.node = &b};
	uint8_t byte;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	OK(p2p_handle(b.host, "/leaving/1", serve_leaving, &first, NULL));
	p2p_set_gate(b.host, leave_when_asked, &first);
	node_connect(&a, &b);
	struct stream *s = open_stream(&a, &b, "/leaving/1");
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_RESET);
	stream_close(s);
	assert_int_equal(first.asked, 1);
	assert_int_equal(first.called, 0);
	/* Served again, it is. */
	p2p_set_gate(b.host, NULL, NULL);
	OK(p2p_handle(b.host, "/leaving/1", serve_leaving, &second, NULL));
	s = open_stream(&a, &b, "/leaving/1");
	assert_int_equal(stream_read(s, &byte, 1, NULL), 0);
	stream_close(s);
	assert_int_equal(second.called, 1);
	node_close(&a);
	node_close(&b);
}

static void test_a_handler_that_left_is_not_called(void **state)
{
	net_run(15, LATENCY, story_leaving);
}

/* Writes what a peer, cut off, does not take. */
static void write_fiber(void *arg)
{
	struct stream *s = arg;
	uint8_t *much = calloc(1, 1 << 20);

	while (stream_write(s, much, 1 << 20, NULL) == 0) {
	}
	free(much);
	stream_close(s);
}

/* Closing a host takes a second at most for the goodbyes, though writes are stuck; the peer's own
 * end comes as fast. */
static void story_stuck_close(struct net *n)
{
	struct node a, b;
	struct scope sc;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	struct stream *s[40];
	for (int i = 0; i < 40; i++)
		s[i] = open_stream(&a, &b, SINK);
	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < 40; i++)
		OK(fiber_spawn(&sc, "write", write_fiber, s[i], NULL));
	OK(fiber_sleep(duration_s(1)));
	universe_partition(n->u, a.world, b.world, true);
	OK(fiber_sleep(duration_s(1)));
	struct instant begin = rt_now();
	node_close(&a);
	assert_true(instant_since(rt_now(), begin).ns <= duration_ms(2100).ns);
	scope_close(&sc);
	begin = rt_now();
	node_close(&b);
	assert_true(instant_since(rt_now(), begin).ns <= duration_ms(2100).ns);
}

static void test_closing_does_not_wait_for_stuck_peers(void **state)
{
	net_run(16, LATENCY, story_stuck_close);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void story_stream_limit(struct net *n)
{
	struct node a, b;
	struct p2p_options opt;
	struct multiaddr listen;
	struct stream *held[20];
	uint8_t byte;

	node_new(n, "a", &a);
	node_options(n, "b", &b, &opt, &listen);
	opt.limits.streams_in = 20;
	node_start(&b, &opt);
	node_serve(&b);
	node_connect(&a, &b);
	for (int i = 0; i < 20; i++)
		held[i] = open_stream(&a, &b, STALL);
	OK(fiber_sleep(duration_s(1)));
	struct stream *extra = open_stream(&a, &b, STALL);
	assert_int_equal(stream_read(extra, &byte, 1, NULL), E_RESET);
	stream_close(extra);
	for (int i = 0; i < 20; i++) {
		stream_reset(held[i], E_CANCELLED);
		stream_close(held[i]);
	}
	assert_int_equal(p2p_conns(a.host, NULL, 0), 1);
	node_close(&a);
	node_close(&b);
}

static void test_more_streams_than_allowed_are_reset(void **state)
{
	net_run(10, LATENCY, story_stream_limit);
}

static void story_conn_limit(struct net *n)
{
	struct node hub, leaf[4];
	struct p2p_options opt;
	struct multiaddr listen;
	const char *names[] = {"l0", "l1", "l2", "l3"};

	node_options(n, "hub", &hub, &opt, &listen);
	opt.limits.conns_in = 2;
	node_start(&hub, &opt);
	node_serve(&hub);
	for (int i = 0; i < 4; i++)
		node_new(n, names[i], &leaf[i]);
	node_connect(&leaf[0], &hub);
	OK(p2p_protect(hub.host, &leaf[0].id.peer_id, "friend", NULL));
	node_connect(&leaf[1], &hub);
	node_connect(&leaf[2], &hub); /* takes the place of the idle l1 */
	eventually(2, leaf[1].disconnected == 1);
	assert_int_equal(leaf[0].disconnected, 0);
	assert_int_equal(p2p_conns(hub.host, NULL, 0), 2);
	OK(p2p_protect(hub.host, &leaf[2].id.peer_id, "friend", NULL));
	struct multiaddr to = node_full_addr(&hub);
	assert_int_not_equal(p2p_dial(leaf[3].host, NULL, &to, 1, NULL, NULL), 0);
	assert_int_equal(net_logged(n, "refused"), 1);
	for (int i = 0; i < 4; i++)
		node_close(&leaf[i]);
	node_close(&hub);
}

static void test_connections_are_limited_and_pruned(void **state)
{
	net_run(11, LATENCY, story_conn_limit);
}

static void story_idle(struct net *n)
{
	struct node a, b, c;
	struct p2p_options opt;
	struct multiaddr listen;

	node_options(n, "a", &a, &opt, &listen);
	opt.timeouts.idle = duration_s(30);
	node_start(&a, &opt);
	node_serve(&a);
	node_new(n, "b", &b);
	node_new(n, "c", &c);
	node_connect(&a, &b);
	node_connect(&a, &c);
	OK(p2p_protect(a.host, &c.id.peer_id, "kept", NULL));
	struct stream *s = open_stream(&a, &b, STALL);
	OK(fiber_sleep(duration_s(60)));
	assert_int_equal(a.disconnected, 0); /* a stream is open, a tag is set */
	stream_reset(s, E_CANCELLED);
	stream_close(s);
	OK(fiber_sleep(duration_s(25)));
	assert_int_equal(a.disconnected, 0);
	eventually(10, a.disconnected == 1);
	assert_false(p2p_connected(a.host, &b.id.peer_id));
	assert_true(p2p_connected(a.host, &c.id.peer_id));
	p2p_unprotect(a.host, &c.id.peer_id, "kept");
	eventually(3, !p2p_connected(a.host, &c.id.peer_id));
	node_close(&a);
	node_close(&b);
	node_close(&c);
}

static void test_idle_connections_close(void **state)
{
	net_run(12, LATENCY, story_idle);
}

static void story_banned(struct net *n)
{
	struct node a, b;
	struct duration left;
	struct multiaddr to;
	struct err err = {0};
	const char *why;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	node_connect(&a, &b);
	p2p_report(a.host, &b.id.peer_id, P2P_MALFORMED, 60, "shouts");
	OK(fiber_sleep(duration_s(1)));
	assert_true(p2p_connected(a.host, &b.id.peer_id));
	assert_false(p2p_banned(a.host, &b.id.peer_id, NULL, NULL));
	p2p_report(a.host, &b.id.peer_id, P2P_MALFORMED, 60, "lies");
	assert_true(p2p_banned(a.host, &b.id.peer_id, &left, &why));
	assert_string_equal(why, "lies");
	eventually(2, !p2p_connected(a.host, &b.id.peer_id));
	assert_int_equal(net_logged(n, "is banned for another "), 1);
	/* Neither out nor in. */
	to = node_full_addr(&b);
	assert_int_equal(p2p_dial(a.host, NULL, &to, 1, NULL, &err), E_FORBIDDEN);
	assert_non_null(strstr(err.text, ": lies"));
	to = b.addr; /* without a name: found out by the handshake */
	assert_int_equal(p2p_dial(a.host, NULL, &to, 1, NULL, &err), E_FORBIDDEN);
	to = node_full_addr(&a);
	for (int i = 0; i < 3; i++) {
		int rc = p2p_dial(b.host, NULL, &to, 1, NULL, NULL);
		assert_true(rc <= 0); /* it may have seen the handshake succeed */
		OK(fiber_sleep(duration_s(5)));
		assert_false(p2p_connected(a.host, &b.id.peer_id));
		assert_false(p2p_connected(b.host, &a.id.peer_id));
	}
	/* It passes. */
	OK(fiber_sleep(left));
	node_connect(&b, &a);
	p2p_report(a.host, &b.id.peer_id, P2P_MALFORMED, 100, "again");
	eventually(2, !p2p_connected(a.host, &b.id.peer_id));
	p2p_forgive(a.host, &b.id.peer_id);
	OK(fiber_sleep(duration_s(40))); /* b waits longer after each failure */
	node_connect(&a, &b);
	node_close(&a);
	node_close(&b);
}

static void test_bans_come_and_go(void **state)
{
	net_run(13, LATENCY, story_banned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_connect_identify_ping),
	    cmocka_unit_test(test_echo_both_ways),
	    cmocka_unit_test(test_a_thousand_streams),
	    cmocka_unit_test(test_half_close),
	    cmocka_unit_test(test_reset_reaches_the_other_side),
	    cmocka_unit_test(test_a_cancelled_write_harms_nobody),
	    cmocka_unit_test(test_a_stream_outlives_its_host),
	    cmocka_unit_test(test_protocols_and_the_gate),
	    cmocka_unit_test(test_changes_are_pushed),
	    cmocka_unit_test(test_a_handler_that_left_is_not_called),
	    cmocka_unit_test(test_closing_does_not_wait_for_stuck_peers),
	    cmocka_unit_test(test_more_streams_than_allowed_are_reset),
	    cmocka_unit_test(test_connections_are_limited_and_pruned),
	    cmocka_unit_test(test_idle_connections_close),
	    cmocka_unit_test(test_bans_come_and_go),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
