/* Gossip between hosts in a simulated universe: streams, queues, coming and going. */
#include "host_help.h"

#include "base/encode.h"
#include "p2p/gossip_wire_priv.h"

#define LATENCY duration_ms(10)
#define HOSTS   12
#define TOPIC   "news"

struct gossiper {
	struct node node;
	struct p2p_gossip *gossip;
	unsigned heard;
	char last[64];
	struct peer_id from;
	enum gossip_verdict verdict;
	bool answer;
};

static enum gossip_verdict hear(void *arg, const struct p2p_gossip_message *m)
{
	struct gossiper *g = arg;
	size_t n = m->data.n < sizeof g->last - 1 ? m->data.n : sizeof g->last - 1;

	g->heard++;
	memcpy(g->last, m->data.p, n);
	g->last[n] = 0;
	g->from = m->from;
	if (g->answer) {
		g->answer = false;
		OK(p2p_gossip_publish(g->gossip, TOPIC, bytes_str("an answer"), NULL));
	}
	return g->verdict;
}

static void start(struct net *n, const char *name, struct gossiper *g)
{
	struct p2p_gossip_options opt;

	*g = (struct gossiper){.verdict = GOSSIP_ACCEPT};
	node_new(n, name, &g->node);
	p2p_gossip_options_default(&opt);
	OK(p2p_gossip_new(g->node.host, &opt, &g->gossip, NULL));
}

static void subscribe(struct gossiper *g)
{
	OK(p2p_gossip_subscribe(g->gossip, TOPIC, NULL, hear, g, NULL));
}

static void stop(struct gossiper *g)
{
	p2p_gossip_close(g->gossip);
	node_close(&g->node);
}

static size_t subscribers(const struct gossiper *g)
{
	size_t mesh, all;

	p2p_gossip_topic_peers(g->gossip, TOPIC, &mesh, &all);
	return all;
}

static size_t mesh_size(const struct gossiper *g)
{
	size_t mesh, all;

	p2p_gossip_topic_peers(g->gossip, TOPIC, &mesh, &all);
	return mesh;
}

static void story_two(struct net *n)
{
	struct gossiper a, b;
	struct p2p_gossip_peer seen[4];

	start(n, "a", &a);
	start(n, "b", &b);
	subscribe(&a);
	assert_int_equal(p2p_gossip_subscribe(a.gossip, TOPIC, NULL, hear, &a, NULL), E_EXISTS);
	node_connect(&a.node, &b.node);
	subscribe(&b);
	eventually(5, mesh_size(&a) == 1 && mesh_size(&b) == 1);

	b.answer = true; /* from within the handler */
	OK(p2p_gossip_publish(a.gossip, TOPIC, bytes_str("hello"), NULL));
	eventually(2, b.heard == 1 && a.heard == 1);
	assert_string_equal(b.last, "hello");
	assert_string_equal(a.last, "an answer");
	assert_true(peer_id_equal(&a.from, &b.node.id.peer_id));

	assert_int_equal(p2p_gossip_peers(a.gossip, seen, 4), 1);
	assert_string_equal(seen[0].protocol, GOSSIP_PROTOCOL_12);
	assert_true(seen[0].connected && seen[0].outbound && seen[0].score > 0);
	assert_int_equal(seen[0].meshes, 1);

	p2p_gossip_unsubscribe(b.gossip, TOPIC);
	eventually(2, subscribers(&a) == 0 && mesh_size(&a) == 0);
	stop(&a);
	stop(&b);
}

static void test_two_hosts(void **state)
{
	net_run(40, LATENCY, story_two);
}

static void story_many(struct net *n)
{
	static struct gossiper g[HOSTS];
	char name[] = "host-a";

	for (int i = 0; i < HOSTS; i++, name[5]++) {
		start(n, name, &g[i]);
		subscribe(&g[i]);
		/* A ring with chords: nobody is connected to all. */
		if (i > 0)
			node_connect(&g[i].node, &g[i - 1].node);
		if (i > 2)
			node_connect(&g[i].node, &g[i / 2].node);
	}
	eventually(10, mesh_size(&g[0]) > 0 && mesh_size(&g[HOSTS - 1]) > 0);
	for (int k = 0; k < HOSTS; k++)
		OK(p2p_gossip_publish(g[k].gossip, TOPIC, bytes_str("to all"), NULL));
	for (int i = 0; i < HOSTS; i++)
		eventually(10, g[i].heard == HOSTS - 1);
	OK(fiber_sleep(duration_s(3)));
	for (int i = 0; i < HOSTS; i++)
		assert_int_equal(g[i].heard, HOSTS - 1); /* nothing twice */
	for (int i = 0; i < HOSTS; i++)
		stop(&g[i]);
}

static void test_many_hosts(void **state)
{
	net_run(41, LATENCY, story_many);
}

static void story_reconnect(struct net *n)
{
	struct gossiper a, b;

	start(n, "a", &a);
	start(n, "b", &b);
	subscribe(&a);
	subscribe(&b);
	node_connect(&a.node, &b.node);
	eventually(5, mesh_size(&a) == 1 && mesh_size(&b) == 1);
	for (unsigned i = 1; i <= 3; i++) {
		p2p_disconnect(a.node.host, &b.node.id.peer_id, "a test");
		eventually(5, subscribers(&a) == 0 && subscribers(&b) == 0);
		assert_int_equal(mesh_size(&a), 0);
		node_connect(&a.node, &b.node);
		eventually(5, mesh_size(&a) == 1 && mesh_size(&b) == 1);
		OK(p2p_gossip_publish(b.gossip, TOPIC, bytes_str("again"), NULL));
		eventually(5, a.heard == i);
	}
	/* One stops gossiping, and begins again: on the same connection. */
	p2p_gossip_close(b.gossip);
	eventually(60, !p2p_peer_speaks(a.node.host, &b.node.id.peer_id, GOSSIP_PROTOCOL_11));
	struct p2p_gossip_options opt;
	p2p_gossip_options_default(&opt);
	OK(p2p_gossip_new(b.node.host, &opt, &b.gossip, NULL));
	subscribe(&b);
	eventually(120, mesh_size(&b) == 1 && subscribers(&a) == 1);
	stop(&a);
	stop(&b);
}

static void test_reconnects(void **state)
{
	net_run(42, LATENCY, story_reconnect);
}

/* ---- hostile and slow peers ---------------------------------------------------------------- */

/* What a peer of ours writes by hand, on a stream of its own. */
static struct stream *raw_stream(struct node *from, const struct gossiper *to)
{
	const char *protocol = GOSSIP_PROTOCOL_11;
	struct stream *s;

	OK(p2p_open_stream(from->host, &to->node.id.peer_id, &protocol, 1, &s, NULL, NULL));
	return s;
}

static void write_rpc(struct stream *s, const struct buf *rpc)
{
	struct buf out = BUF_INIT(2 << 20);

	buf_varint(&out, rpc->n);
	buf_bytes(&out, buf_view(rpc));
	OK(stream_write(s, out.p, out.n, NULL));
	buf_free(&out);
}

/* Accepts a gossip stream and never reads from it. */
static void never_read(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	unsigned *streams = arg;

	++*streams;
	while (fiber_sleep(duration_s(1)) == 0) {
	}
	stream_close(s);
}

static void story_slow(struct net *n)
{
	struct gossiper a, c;
	struct node b;
	struct p2p_gossip_peer seen[4];
	struct buf rpc = BUF_INIT(1000);
	unsigned streams = 0;
	uint8_t *large = calloc(1, 500000);

	start(n, "a", &a);
	start(n, "c", &c);
	node_new(n, "b", &b);
	OK(p2p_handle(b.host, GOSSIP_PROTOCOL_11, never_read, &streams, NULL));
	subscribe(&a);
	subscribe(&c);
	node_connect(&a.node, &c.node);
	node_connect(&a.node, &b);
	struct stream *s = raw_stream(&b, &a);
	gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, bytes_str(TOPIC));
	write_rpc(s, &rpc);
	eventually(5, subscribers(&a) == 2 && mesh_size(&a) == 2 && streams == 1);
	for (int i = 0; i < 40; i++) {
		OK(p2p_gossip_publish(a.gossip, TOPIC, bytes_of(large, 500000), NULL));
		OK(fiber_sleep(duration_ms(100)));
	}
	/* The fast one has all; the slow one has lost most, and holds a bounded queue. */
	eventually(10, c.heard == 40);
	assert_int_equal(p2p_gossip_peers(a.gossip, seen, 4), 2);
	for (int i = 0; i < 2; i++) {
		bool slow = peer_id_equal(&seen[i].id, &b.id.peer_id);
		assert_in_range(seen[i].dropped, slow ? 25 : 0, slow ? 40 : 0);
	}
	/* After half a minute of silence its stream is given up, and another one tried. */
	eventually(120, streams >= 2);
	stream_close(s);
	buf_free(&rpc);
	free(large);
	stop(&a);
	stop(&c);
	node_close(&b);
}

static void test_slow_peers(void **state)
{
	net_run(43, LATENCY, story_slow);
}

static void story_hostile(struct net *n)
{
	struct gossiper a;
	struct node b;
	uint8_t byte[4];
	const uint8_t huge[] = {0xff, 0xff, 0xff, 0x7f}, broken[] = {3, 0x0a, 0x7f, 0};
	const struct bytes bad[] = {bytes_of(huge, sizeof huge), bytes_of(broken, sizeof broken)};

	start(n, "a", &a);
	node_new(n, "b", &b);
	subscribe(&a);
	node_connect(&a.node, &b);
	for (size_t i = 0; i < 2; i++) {
		struct stream *s = raw_stream(&b, &a);
		OK(stream_write(s, bad[i].p, bad[i].n, NULL));
		assert_int_equal(stream_read(s, byte, sizeof byte, NULL), E_RESET);
		stream_close(s);
	}
	assert_int_equal(net_logged(n, "an RPC of 268435455 bytes"), 1);
	assert_true(p2p_connected(a.node.host, &b.id.peer_id));
	/* Two streams at a time, no more. */
	struct stream *s[3];
	for (int i = 0; i < 3; i++)
		s[i] = raw_stream(&b, &a);
	assert_int_equal(stream_read(s[2], byte, sizeof byte, NULL), E_RESET);
	/* Byte by byte is as good as at once. */
	struct buf rpc = BUF_INIT(1000);
	gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, bytes_str(TOPIC));
	byte[0] = (uint8_t)rpc.n;
	OK(stream_write(s[0], byte, 1, NULL));
	for (size_t i = 0; i < rpc.n; i++) {
		OK(fiber_sleep(duration_ms(20)));
		OK(stream_write(s[0], rpc.p + i, 1, NULL));
	}
	eventually(2, subscribers(&a) == 1);
	buf_free(&rpc);
	for (int i = 0; i < 3; i++)
		stream_close(s[i]);
	stop(&a);
	node_close(&b);
}

static void test_hostile_peers(void **state)
{
	net_run(44, LATENCY, story_hostile);
}

static void story_reject(struct net *n)
{
	struct gossiper a, b, c;

	start(n, "a", &a);
	start(n, "b", &b);
	start(n, "c", &c);
	subscribe(&a);
	subscribe(&b);
	subscribe(&c);
	node_connect(&a.node, &b.node);
	node_connect(&b.node, &c.node);
	eventually(5, mesh_size(&b) == 2 && mesh_size(&a) == 1 && mesh_size(&c) == 1);
	b.verdict = GOSSIP_REJECT;
	for (unsigned i = 0; i < 2; i++)
		OK(p2p_gossip_publish(a.gossip, TOPIC, bytes_str("spam"), NULL));
	eventually(5, b.heard == 2);
	OK(fiber_sleep(duration_s(2)));
	assert_int_equal(c.heard, 0);
	struct p2p_gossip_peer seen[4];
	size_t count = p2p_gossip_peers(b.gossip, seen, 4);
	for (size_t i = 0; i < count; i++)
		if (peer_id_equal(&seen[i].id, &a.node.id.peer_id))
			assert_true(seen[i].score < -30 && seen[i].meshes == 0);
	stop(&a);
	stop(&b);
	stop(&c);
}

static void test_rejected_messages(void **state)
{
	net_run(45, LATENCY, story_reject);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_two_hosts),
	    cmocka_unit_test(test_many_hosts),
	    cmocka_unit_test(test_reconnects),
	    cmocka_unit_test(test_slow_peers),
	    cmocka_unit_test(test_hostile_peers),
	    cmocka_unit_test(test_rejected_messages),
	};

	return cmocka_run_group_tests_name("gossip hosts", tests, NULL, NULL);
}
