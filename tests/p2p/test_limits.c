/* Hosts in a simulated universe whose peers want more than there is: strangers share what is
 * theirs, known peers always find their part, and all of it comes back. */
#include "host_help.h"

#include "p2p/host_priv.h"

#include <stdio.h>

#define LATENCY duration_ms(10)
#define HOLD    "/hold/1.0.0" /* reads until the end */
#define CROWD   12

/* A hub with small limits, a crowd of strangers, and a friend that the hub protects. */
struct scene {
	struct node hub, friend, crowd[CROWD];
};

static void hold(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	uint8_t buf[256];

	while (stream_read(s, buf, sizeof buf, NULL) > 0) {
	}
	stream_close(s);
}

static struct scene *scene_new(struct net *n, void (*adjust)(struct p2p_limits *l), size_t crowd)
{
	struct scene *sc = calloc(1, sizeof *sc);
	struct p2p_options opt;
	struct multiaddr listen;
	char name[16];

	assert_non_null(sc);
	node_options(n, "hub", &sc->hub, &opt, &listen);
	adjust(&opt.limits);
	node_start(&sc->hub, &opt);
	node_serve(&sc->hub);
	OK(p2p_handle(sc->hub.host, HOLD, hold, NULL, NULL));
	node_new(n, "friend", &sc->friend);
	OK(p2p_protect(sc->hub.host, &sc->friend.id.peer_id, "member", NULL));
	for (size_t i = 0; i < crowd; i++) {
		(void)snprintf(name, sizeof name, "stranger%zu", i);
		node_new(n, name, &sc->crowd[i]);
	}
	return sc;
}

static struct p2p_resources usage(const struct scene *sc)
{
	struct p2p_resources r;

	p2p_resources(sc->hub.host, &r);
	return r;
}

static void check_bounds(const struct scene *sc)
{
	struct p2p_resources r = usage(sc);
	const struct p2p_usage *all[] = {&r.conns_in, &r.streams_in, &r.memory};

	for (size_t i = 0; i < 3; i++) {
		assert_true(all[i]->used <= all[i]->limit);
		assert_true(all[i]->by_strangers <= all[i]->for_strangers);
	}
}

/* Everything comes back when the peers have gone. */
static void scene_end(struct scene *sc, size_t crowd)
{
	check_bounds(sc);
	for (size_t i = 0; i < crowd; i++)
		node_close(&sc->crowd[i]);
	node_close(&sc->friend);
	OK(fiber_sleep(duration_s(3)));
	struct p2p_resources r = usage(sc);
	assert_int_equal(r.conns_in.used, 0);
	assert_int_equal(r.streams_in.used, 0);
	assert_int_equal(r.memory.used, 0);
	assert_int_equal(r.handshakes_in, 0);
	node_close(&sc->hub);
	free(sc);
}

static struct stream *open_to(struct node *a, struct node *b, const char *protocol)
{
	struct stream *s;
	struct err err = {0};

	if (p2p_open_stream(a->host, &b->id.peer_id, &protocol, 1, &s, NULL, &err) != 0)
		fail_msg("no stream: %s", err_text(&err));
	return s;
}

/* Whether the hub keeps a stream that is opened for `protocol`. */
static bool is_kept(struct stream *s)
{
	struct scope sc;
	uint8_t byte;

	scope_open(&sc, duration_s(1));
	ssize_t n = stream_read(s, &byte, 1, NULL);
	scope_close(&sc);
	return n == E_TIMEOUT;
}

static int dial_hub(struct node *from, struct scene *sc)
{
	struct multiaddr to = node_full_addr(&sc->hub);
	int rc = p2p_dial(from->host, NULL, &to, 1, NULL, NULL);

	OK(fiber_sleep(duration_s(1)));
	return rc == 0 && p2p_connected(from->host, &sc->hub.id.peer_id) ? 0 : E_LIMIT;
}

/* ---- connections --------------------------------------------------------------------------- */

static void few_conns(struct p2p_limits *l)
{
	l->conns_in = 5; /* one of them kept */
}

static void story_conns(struct net *n)
{
	struct scene *sc = scene_new(n, few_conns, 6);
	struct stream *s[4];

	/* Four strangers that use their connections: there is no room for a fifth. */
	for (int i = 0; i < 4; i++) {
		node_connect(&sc->crowd[i], &sc->hub);
		s[i] = open_to(&sc->crowd[i], &sc->hub, HOLD);
	}
	assert_int_equal(dial_hub(&sc->crowd[4], sc), E_LIMIT);
	assert_int_equal(net_logged(n, "strangers have 4 inbound connections of 4"), 1);
	assert_int_equal(usage(sc).conns_in.refused, 1);
	/* For the friend there is. */
	assert_int_equal(dial_hub(&sc->friend, sc), 0);
	check_bounds(sc);
	/* The hub is full now: nobody's handshake begins. */
	assert_int_equal(dial_hub(&sc->crowd[4], sc), E_LIMIT);
	assert_int_equal(net_logged(n, "refused: 5 are open"), 1);

	/* A connection without streams makes way, and so does one on which nothing moves. */
	stream_close(s[2]);
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(dial_hub(&sc->crowd[4], sc), 0);
	assert_false(p2p_connected(sc->hub.host, &sc->crowd[2].id.peer_id));
	s[2] = open_to(&sc->crowd[4], &sc->hub, HOLD);
	for (int i = 0; i < 40; i++) {
		OK(stream_write(s[0], "x", 1, NULL));
		OK(stream_write(s[2], "x", 1, NULL));
		OK(stream_write(s[3], "x", 1, NULL));
		OK(fiber_sleep(duration_s(1)));
	}
	assert_int_equal(dial_hub(&sc->crowd[5], sc), 0);
	assert_false(p2p_connected(sc->hub.host, &sc->crowd[1].id.peer_id));
	assert_int_equal(usage(sc).conns_in.evicted, 2);
	assert_true(p2p_connected(sc->hub.host, &sc->friend.id.peer_id));
	for (int i = 0; i < 4; i++)
		stream_close(s[i]);
	scene_end(sc, 6);
}

static void test_strangers_leave_connections_to_friends(void **state)
{
	net_run(70, LATENCY, story_conns);
}

/* Whom the hub dials is known to it, and whom it no longer protects is a stranger again. */
static void story_classes(struct net *n)
{
	struct scene *sc = scene_new(n, few_conns, 2);
	struct multiaddr to = node_full_addr(&sc->crowd[0]);

	OK(p2p_dial(sc->hub.host, NULL, &to, 1, NULL, NULL));
	node_connect(&sc->crowd[1], &sc->hub);
	node_connect(&sc->friend, &sc->hub);
	struct stream *s[3] = {open_to(&sc->crowd[0], &sc->hub, HOLD),
	    open_to(&sc->crowd[1], &sc->hub, HOLD), open_to(&sc->friend, &sc->hub, HOLD)};
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(usage(sc).streams_in.used, 3);
	assert_int_equal(usage(sc).streams_in.by_strangers, 1);
	assert_int_equal(usage(sc).conns_in.used, 2);
	assert_int_equal(usage(sc).conns_in.by_strangers, 1);
	p2p_unprotect(sc->hub.host, &sc->friend.id.peer_id, "member");
	OK(p2p_protect(sc->hub.host, &sc->crowd[1].id.peer_id, "member", NULL));
	p2p_disconnect(sc->hub.host, &sc->crowd[0].id.peer_id, "test");
	OK(fiber_sleep(duration_s(2)));
	assert_int_equal(usage(sc).streams_in.used, 2);
	assert_int_equal(usage(sc).streams_in.by_strangers, 1);
	assert_int_equal(usage(sc).conns_in.by_strangers, 1);
	for (int i = 0; i < 3; i++)
		stream_close(s[i]);
	scene_end(sc, 2);
}

static void test_known_peers_and_strangers(void **state)
{
	net_run(71, LATENCY, story_classes);
}

/* ---- streams ------------------------------------------------------------------------------- */

static void few_streams(struct p2p_limits *l)
{
	l->streams_in_total = 100; /* twenty of them kept */
	l->streams_in_per_peer = 60;
}

static void story_streams(struct net *n)
{
	enum {
		EACH = 40
	};
	struct scene *sc = scene_new(n, few_streams, CROWD);
	struct stream *s[CROWD - 1][EACH], *mine[3], *friends[30];
	size_t of_friend = 0;

	for (int i = 0; i < CROWD; i++)
		node_connect(&sc->crowd[i], &sc->hub);
	node_connect(&sc->friend, &sc->hub);
	OK(fiber_sleep(duration_s(2))); /* the streams of identify have gone */
	for (int k = 0; k < EACH; k++)
		for (int i = 0; i < CROWD - 1; i++)
			s[i][k] = open_to(&sc->crowd[i], &sc->hub, HOLD);
	OK(fiber_sleep(duration_s(1)));
	check_bounds(sc);
	assert_int_equal(usage(sc).streams_in.by_strangers, 80);
	/* The twelfth finds some, though eleven take what they can. */
	for (int k = 0; k < 3; k++) {
		mine[k] = open_to(&sc->crowd[CROWD - 1], &sc->hub, HOLD);
		assert_true(is_kept(mine[k]));
	}
	for (int k = 0; k < 30; k++) {
		friends[k] = open_to(&sc->friend, &sc->hub, HOLD);
		of_friend += is_kept(friends[k]);
	}
	/* The reserve, and more: idle strangers give way to a friend. */
	assert_int_equal(of_friend, 30);
	assert_true(usage(sc).streams_in.evicted > 0);
	check_bounds(sc);
	echo_check(&sc->friend, &sc->hub, 100000);
	for (int k = 0; k < 30; k++)
		stream_close(friends[k]);
	for (int k = 0; k < 3; k++)
		stream_close(mine[k]);
	for (int i = 0; i < CROWD - 1; i++)
		for (int k = 0; k < EACH; k++)
			stream_close(s[i][k]);
	scene_end(sc, CROWD);
}

static void test_strangers_share_streams(void **state)
{
	net_run(72, duration_ms(1), story_streams);
}

/* A byte on each; how many streams are still there. */
static size_t drip(struct stream **s, size_t n)
{
	size_t there = 0;

	for (size_t i = 0; i < n; i++)
		there += stream_write(s[i], "x", 1, NULL) == 0;
	return there;
}

/* Those who drip bytes on all of their streams keep as many as others have; friends find theirs. */
static void story_drip(struct net *n)
{
	enum {
		EACH = 10,
		DRIPPING = 8
	};
	struct scene *sc = scene_new(n, few_streams, CROWD);
	struct stream *s[DRIPPING][EACH], *late;
	unsigned kept = 0;

	for (int i = 0; i < CROWD; i++)
		node_connect(&sc->crowd[i], &sc->hub);
	node_connect(&sc->friend, &sc->hub);
	OK(fiber_sleep(duration_s(2))); /* the streams of identify have gone */
	for (int k = 0; k < EACH; k++)
		for (int i = 0; i < DRIPPING; i++)
			s[i][k] = open_to(&sc->crowd[i], &sc->hub, HOLD);
	for (int t = 0; t < 20; t++) {
		assert_int_equal(drip(&s[0][0], DRIPPING * EACH), DRIPPING * EACH);
		OK(fiber_sleep(duration_s(1)));
	}
	assert_int_equal(usage(sc).streams_in.by_strangers, 80);
	assert_int_equal(usage(sc).streams_in.evicted, 0);
	echo_check(&sc->friend, &sc->hub, 100000);
	/* One of those gets no more of them, one who comes gets half as many. */
	late = open_to(&sc->crowd[0], &sc->hub, HOLD);
	assert_false(is_kept(late));
	stream_close(late);
	assert_int_equal(usage(sc).streams_in.evicted, 0);
	struct stream *new[EACH];
	for (int k = 0; k < EACH; k++) {
		new[k] = open_to(&sc->crowd[CROWD - 1], &sc->hub, HOLD);
		kept += is_kept(new[k]);
		(void)drip(&s[0][0], DRIPPING * EACH);
	}
	assert_in_range(kept, 4, 6);
	assert_int_equal(usage(sc).streams_in.evicted, kept);
	check_bounds(sc);
	for (int k = 0; k < EACH; k++)
		stream_close(new[k]);
	for (int i = 0; i < DRIPPING; i++)
		for (int k = 0; k < EACH; k++)
			stream_close(s[i][k]);
	scene_end(sc, CROWD);
}

static void test_dripping_strangers_leave_friends_alone(void **state)
{
	net_run(73, duration_ms(1), story_drip);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void little_memory(struct p2p_limits *l)
{
	l->memory_total = 4 << 20;
	l->memory_per_peer = 2 << 20;
}

struct pouring {
	struct node *from;
	struct scene *scene;
	unsigned reset;
};

/* Sends what nobody reads on stream after stream. */
static void pour_fiber(void *arg)
{
	struct pouring *p = arg;
	uint8_t *bytes = calloc(1, 200000);

	for (int i = 0; i < 20; i++) {
		struct stream *s;
		const char *stall = STALL;
		if (p2p_open_stream(
			p->from->host, &p->scene->hub.id.peer_id, &stall, 1, &s, NULL, NULL) != 0)
			break;
		if (stream_write(s, bytes, 200000, NULL) != 0 || !is_kept(s))
			p->reset++;
		check_bounds(p->scene);
		stream_close(s);
	}
	free(bytes);
}

static void story_memory(struct net *n)
{
	struct scene *sc = scene_new(n, little_memory, CROWD);
	struct pouring p[CROWD];
	struct scope scope;
	unsigned reset = 0;

	for (int i = 0; i < CROWD; i++)
		node_connect(&sc->crowd[i], &sc->hub);
	node_connect(&sc->friend, &sc->hub);
	scope_open(&scope, DURATION_FOREVER);
	for (int i = 0; i < CROWD; i++) {
		p[i] = (struct pouring){.from = &sc->crowd[i], .scene = sc};
		OK(fiber_spawn(&scope, "pour", pour_fiber, &p[i], NULL));
	}
	for (int i = 0; i < 10; i++) {
		OK(fiber_sleep(duration_s(1)));
		echo_check(&sc->friend, &sc->hub, 300000);
	}
	OK(scope_join(&scope));
	scope_close(&scope);
	for (int i = 0; i < CROWD; i++)
		reset += p[i].reset;
	assert_true(reset > CROWD * 10);
	assert_true(usage(sc).memory.refused > 0);
	assert_true(p2p_connected(sc->hub.host, &sc->friend.id.peer_id));
	scene_end(sc, CROWD);
}

static void test_what_is_not_read_stays_within_memory(void **state)
{
	net_run(74, LATENCY, story_memory);
}

static void as_ever(struct p2p_limits *l)
{
}

/* Who has nothing to say holds no buffers, whatever it has said before. */
static void story_quiet(struct net *n)
{
	struct scene *sc = scene_new(n, as_ever, 1);
	struct stream *s;

	node_connect(&sc->crowd[0], &sc->hub);
	s = open_to(&sc->crowd[0], &sc->hub, HOLD);
	echo_check(&sc->crowd[0], &sc->hub, 1 << 20);
	assert_true(usage(sc).memory.used > 0);
	for (int minute = 0; minute < 3; minute++) {
		OK(fiber_sleep(duration_s(58)));
		assert_true(usage(sc).memory.used <= 1024); /* the open stream's first */
	}
	assert_int_equal(usage(sc).streams_in.used, 1);
	stream_close(s);
	scene_end(sc, 1);
}

static void test_the_quiet_hold_no_buffers(void **state)
{
	net_run(77, LATENCY, story_quiet);
}

static void no_memory_for_handshakes(struct p2p_limits *l)
{
	l->memory_total = 10 * HALF_OPEN_MEMORY;
	l->memory_per_peer = 10 * HALF_OPEN_MEMORY;
}

static void story_handshakes(struct net *n)
{
	struct scene *sc = scene_new(n, no_memory_for_handshakes, 1);
	struct stream *raw[10];
	struct netaddr at;

	universe_host_addr(sc->hub.world, &at);
	at.port = NET_PORT;
	for (int i = 0; i < 10; i++)
		OK(world_tcp_dial(sc->crowd[0].world, &at, &raw[i], NULL));
	OK(fiber_sleep(duration_ms(100)));
	/* Two tenths are for those who are known. */
	assert_int_equal(usage(sc).handshakes_in, 8);
	assert_int_equal(usage(sc).memory.used, 8 * HALF_OPEN_MEMORY);
	assert_int_equal(net_logged(n, "inbound connection from"), 2);
	for (int i = 0; i < 10; i++)
		stream_close(raw[i]);
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(dial_hub(&sc->friend, sc), 0);
	scene_end(sc, 1);
}

static void test_handshakes_have_their_part_of_memory(void **state)
{
	net_run(75, LATENCY, story_handshakes);
}

/* ---- bytes a second ------------------------------------------------------------------------ */

static void slow(struct p2p_limits *l)
{
	l->rate_total = 2000000;
	l->rate_per_stranger = 150000;
}

struct sending {
	struct node *from, *to;
	uint64_t sent;
	bool stop;
};

static void send_fiber(void *arg)
{
	struct sending *s = arg;
	struct stream *out = open_to(s->from, s->to, SINK);
	uint8_t bytes[1000] = {0};

	while (!s->stop && stream_write(out, bytes, sizeof bytes, NULL) == 0)
		s->sent += sizeof bytes;
	stream_reset(out, E_CANCELLED);
	stream_close(out);
}

static void story_rate(struct net *n)
{
	struct scene *sc = scene_new(n, slow, CROWD);
	struct sending s[CROWD + 1];
	struct scope scope;

	for (int i = 0; i < CROWD; i++)
		node_connect(&sc->crowd[i], &sc->hub);
	node_connect(&sc->friend, &sc->hub);
	scope_open(&scope, DURATION_FOREVER);
	for (int i = 0; i <= CROWD; i++) {
		s[i] = (struct sending){
		    .from = i < CROWD ? &sc->crowd[i] : &sc->friend, .to = &sc->hub};
		OK(fiber_spawn(&scope, "send", send_fiber, &s[i], NULL));
	}
	OK(fiber_sleep(duration_s(60)));
	struct p2p_conn_info conns[CROWD + 1];
	uint64_t sum = 0, most = 0, friends = 0;
	assert_int_equal(p2p_conns(sc->hub.host, conns, CROWD + 1), CROWD + 1);
	for (int i = 0; i <= CROWD; i++) {
		bool friendly = peer_id_equal(&conns[i].peer, &sc->friend.id.peer_id);
		sum += conns[i].bytes_in;
		if (friendly)
			friends = conns[i].bytes_in;
		else if (conns[i].bytes_in > most)
			most = conns[i].bytes_in;
	}
	/* A minute, a second's burst, and a buffer of each; what strangers leave is the friend's.
	 */
	assert_in_range(sum, 55 * 2000000, 61 * 2000000 + (CROWD + 1) * 131072);
	assert_true(most <= 61 * 150000 + 131072);
	assert_true(friends >= 55 * 400000);
	for (int i = 0; i <= CROWD; i++)
		s[i].stop = true;
	scope_cancel(&scope);
	scope_close(&scope);
	scene_end(sc, CROWD);
}

static void test_the_rate_is_kept(void **state)
{
	net_run(76, LATENCY, story_rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_strangers_leave_connections_to_friends),
	    cmocka_unit_test(test_known_peers_and_strangers),
	    cmocka_unit_test(test_strangers_share_streams),
	    cmocka_unit_test(test_dripping_strangers_leave_friends_alone),
	    cmocka_unit_test(test_what_is_not_read_stays_within_memory),
	    cmocka_unit_test(test_the_quiet_hold_no_buffers),
	    cmocka_unit_test(test_handshakes_have_their_part_of_memory),
	    cmocka_unit_test(test_the_rate_is_kept),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
