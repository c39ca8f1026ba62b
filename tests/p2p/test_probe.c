/* Probing addresses in a simulated universe: each fault shows at its hop. */
#include "host_help.h"

#include <stdio.h>

#define LATENCY duration_ms(10)
#define WAYS    4

/* ---- servers that are no libp2p hosts -------------------------------------------------------- */

enum manner {
	SAYS,     /* its text, then waits for the end */
	HANGS_UP, /* at once */
	SILENT
};

struct stranger {
	struct world *world;
	struct scope scope;
	enum manner manner;
	struct bytes text;
	struct listener *listener;
};

static void stranger_fiber(void *arg)
{
	struct stranger *x = arg;
	struct stream *s;
	uint8_t in[256];

	while (listener_accept(x->listener, &s, NULL, NULL) == 0) {
		if (x->manner == SAYS)
			OK(stream_write(s, x->text.p, x->text.n, NULL));
		while (x->manner != HANGS_UP && stream_read(s, in, sizeof in, NULL) > 0) {
		}
		stream_close(s);
	}
	listener_close(x->listener);
}

static struct multiaddr stranger_new(
    struct net *n, const char *name, struct stranger *x, enum manner manner, const char *text)
{
	struct netaddr at;
	struct multiaddr addr;

	*x = (struct stranger){
	    .world = universe_host(n->u, name), .manner = manner, .text = bytes_str(text)};
	universe_host_addr(x->world, &at);
	multiaddr_from_tcp(bytes_of(at.ip, 4), NET_PORT, &addr);
	at.port = NET_PORT;
	OK(world_tcp_listen(x->world, &at, &x->listener, NULL));
	scope_init(&x->scope, NULL);
	OK(fiber_spawn(&x->scope, "stranger", stranger_fiber, x, NULL));
	return addr;
}

static void probe_one(struct node *a, const struct multiaddr *addr, struct p2p_probe *out)
{
	struct p2p_probe all[WAYS];

	assert_int_equal(p2p_probe(a->host, addr, all, WAYS), 1);
	*out = all[0];
	/* Nothing is kept. */
	assert_int_equal(p2p_conns(a->host, NULL, 0), 0);
}

static struct multiaddr address(const char *text)
{
	struct multiaddr m;

	OK(multiaddr_parse(bytes_str(text), &m, NULL));
	return m;
}

/* ---- stories --------------------------------------------------------------------------------- */

static void arrives(struct net *n)
{
	struct node a, b;
	struct p2p_probe p;
	struct multiaddr to;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	probe_one(&a, &b.addr, &p);
	assert_int_equal(p.hop, P2P_HOP_NONE);
	assert_int_equal(p.code, 0);
	assert_true(peer_id_equal(&p.met, &b.id.peer_id));
	assert_int_equal(duration_to_ms(p.took), 20);
	/* Another /p2p than the one that answers is the caller's to notice. */
	to = b.addr;
	OK(multiaddr_append_peer(&to, &a.id.peer_id, NULL));
	probe_one(&a, &to, &p);
	assert_true(peer_id_equal(&p.met, &b.id.peer_id));
	/* By name, and ourselves. */
	to = address("/dns4/b/tcp/4001");
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_NONE);
	assert_int_equal(p.at.port, NET_PORT);
	probe_one(&a, &a.addr, &p);
	assert_true(peer_id_equal(&p.met, &a.id.peer_id));
	/* An existing connection stays as it is. */
	node_connect(&a, &b);
	struct p2p_conn_info at_b;
	assert_true(p2p_preferred(b.host, &a.id.peer_id, &at_b));
	p2p_conn_id before = at_b.id;
	for (int i = 0; i < 9; i++)
		assert_int_equal(p2p_probe(a.host, &b.addr, &p, 1), 1);
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(p2p_conns(a.host, NULL, 0), 1);
	assert_true(p2p_preferred(b.host, &a.id.peer_id, &at_b));
	assert_int_equal(at_b.id, before);
	node_close(&a);
	node_close(&b);
}

static void fails_on_the_way(struct net *n)
{
	struct node a, b;
	struct p2p_probe p;
	struct multiaddr to;

	node_new(n, "a", &a);
	node_new(n, "b", &b);
	to = address("/dns4/nowhere/tcp/4001");
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_NAME);
	assert_int_equal(p.code, E_NOT_FOUND);
	assert_int_equal(p.at.family, 0);
	to = address("/ip4/10.0.0.2/udp/4001/quic-v1");
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_NAME);
	to = b.addr;
	to.bytes[to.n - 1] ^= 1; /* another port */
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_CONNECT);
	assert_int_equal(p.code, E_REFUSED);
	universe_partition(n->u, a.world, b.world, true);
	probe_one(&a, &b.addr, &p);
	assert_int_equal(p.hop, P2P_HOP_CONNECT);
	assert_int_equal(p.code, E_TIMEOUT);
	node_close(&a);
	node_close(&b);
}

static void meets_a_stranger(struct net *n)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	static const char no_noise[] = "\x13/multistream/1.0.0\n\x03na\n";
	struct node a;
	struct p2p_probe p;
	struct stranger x[5];
	struct multiaddr to;

	node_new(n, "a", &a);
	to = stranger_new(n, "web", &x[0], SAYS, http);
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_SECURE);
	assert_int_equal(p.code, E_PROTOCOL);
	assert_true(p.n_said > 0 && p.n_said <= sizeof p.said);
	assert_memory_equal(p.said, http, p.n_said);

	to = stranger_new(n, "old", &x[1], SAYS, no_noise);
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_SECURE);
	assert_int_equal(p.code, E_UNSUPPORTED);

	to = stranger_new(n, "rude", &x[2], HANGS_UP, "");
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_SECURE);
	assert_true(p.code == E_CLOSED || p.code == E_RESET);
	assert_int_equal(p.n_said, 0);

	to = stranger_new(n, "mute", &x[3], SILENT, "");
	probe_one(&a, &to, &p);
	assert_int_equal(p.hop, P2P_HOP_SECURE);
	assert_int_equal(p.code, E_TIMEOUT);
	assert_int_equal(p.n_said, 0);
	for (size_t i = 0; i < 4; i++)
		scope_close(&x[i].scope);
	node_close(&a);
}

/* The one who asks ends it: nothing is left behind. */
static void is_given_up(struct net *n)
{
	struct node a;
	struct p2p_probe p;
	struct stranger mute;
	struct scope sc;
	struct multiaddr to;

	node_new(n, "a", &a);
	to = stranger_new(n, "mute", &mute, SILENT, "");
	scope_open(&sc, duration_ms(100));
	assert_int_equal(p2p_probe(a.host, &to, &p, 1), 1);
	assert_int_equal(p.code, E_TIMEOUT);
	assert_int_equal(scope_check(NULL), E_TIMEOUT);
	scope_close(&sc);
	scope_close(&mute.scope);
	node_close(&a);
}

static void tells_of_discovery(struct net *n)
{
	struct node nodes[2];
	struct p2p_mdns_info info;
	struct p2p_options opt;
	struct multiaddr listen;

	node_new(n, "plain", &nodes[0]);
	p2p_mdns_info(nodes[0].host, &info);
	assert_false(info.enabled);
	node_close(&nodes[0]);
	for (int i = 0; i < 2; i++) {
		node_options(n, i ? "b" : "a", &nodes[i], &opt, &listen);
		opt.mdns = true;
		node_start(&nodes[i], &opt);
	}
	OK(fiber_sleep(duration_s(3)));
	for (int i = 0; i < 2; i++) {
		p2p_mdns_info(nodes[i].host, &info);
		assert_true(info.enabled);
		assert_int_equal(info.sockets, 1);
		assert_true(info.heard_itself);
		assert_true(info.heard > 0);
	}
	node_close(&nodes[0]);
	node_close(&nodes[1]);
}

static void in_net(void **state)
{
	void (*const *story)(struct net *) = *state;

	net_run(7, LATENCY, *story);
}

#define STORY(fn)                                                                                  \
	{                                                                                          \
#fn, in_net, NULL, NULL, &(void (*[1])(struct net *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(arrives), STORY(fails_on_the_way),
	    STORY(meets_a_stranger), STORY(is_given_up), STORY(tells_of_discovery)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
