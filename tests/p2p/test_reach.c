/* AutoNAT between hosts in a simulated universe, and its count. */
#include "host_help.h"

#include "p2p/autonat_priv.h"
#include "p2p/framed_priv.h"
#include "p2p/host_priv.h"
#include "p2p/mapping_priv.h"
#include "p2p/portmap_priv.h"

#include <stdio.h>

#define LATENCY duration_ms(10)
#define SERVERS 6

struct town {
	struct node me;
	struct node server[SERVERS];
};

static void start_servers(struct net *n, struct town *t, bool private_too)
{
	struct p2p_autonat_options opt;
	char name[8];

	p2p_autonat_options_default(&opt);
	opt.ask = false;
	opt.private_too = private_too;
	for (int i = 0; i < SERVERS; i++) {
		(void)snprintf(name, sizeof name, "s%d", i);
		node_new(n, name, &t->server[i]);
		OK(p2p_autonat_start(t->server[i].host, &opt, NULL));
	}
}

/* The universe's addresses are private ones. */
static void ask(struct town *t, bool private_too)
{
	struct p2p_autonat_options opt;

	p2p_autonat_options_default(&opt);
	opt.private_too = private_too;
	OK(p2p_autonat_start(t->me.host, &opt, NULL));
}

static void meet_servers(struct town *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		node_connect(&t->me, &t->server[i]);
}

static void town_close(struct town *t)
{
	node_close(&t->me);
	for (int i = 0; i < SERVERS; i++)
		node_close(&t->server[i]);
}

static struct p2p_reach_info reach(const struct town *t)
{
	struct p2p_reach_info info;

	p2p_reachability(t->me.host, &info);
	return info;
}

static void story_public(struct net *n)
{
	struct town t;
	struct p2p_conn_info before[SERVERS], after[SERVERS + 4];

	start_servers(n, &t, true);
	node_new(n, "me", &t.me);
	assert_int_equal(reach(&t).reach, P2P_REACH_UNKNOWN);
	ask(&t, true);
	assert_int_equal(p2p_autonat_start(t.me.host, NULL, NULL), E_EXISTS);
	meet_servers(&t, 3);
	OK(fiber_sleep(duration_s(60)));
	/* Three of one opinion are not enough. */
	assert_int_equal(reach(&t).dialled, 3);
	assert_int_equal(reach(&t).reach, P2P_REACH_UNKNOWN);
	node_connect(&t.me, &t.server[3]);
	assert_int_equal(p2p_conns(t.me.host, before, SERVERS), 4);
	eventually(60, reach(&t).reach == P2P_REACH_PUBLIC);
	assert_int_equal(reach(&t).failed, 0);
	struct p2p_reach_info info = reach(&t);
	assert_true(multiaddr_equal(&info.addr, &t.me.addr));
	/* Being dialled back leaves the connections as they are. */
	OK(fiber_sleep(duration_s(10)));
	assert_int_equal(p2p_conns(t.me.host, after, SERVERS), 4);
	for (int i = 0; i < 4; i++)
		assert_true(after[i].id == before[i].id && after[i].preferred);
	assert_int_equal(t.server[0].disconnected, 0);
	town_close(&t);
}

static void test_public(void **state)
{
	net_run(60, LATENCY, story_public);
}

static void story_private(struct net *n)
{
	struct town t;
	struct p2p_options opt;
	struct multiaddr listen;

	start_servers(n, &t, true);
	node_options(n, "me", &t.me, &opt, &listen);
	/* Nobody outside can dial this. */
	OK(multiaddr_parse(bytes_str("/ip4/127.0.0.1/tcp/4001"), &listen, NULL));
	node_start(&t.me, &opt);
	node_serve(&t.me);
	ask(&t, true);
	meet_servers(&t, 5);
	eventually(120, reach(&t).reach == P2P_REACH_PRIVATE);
	assert_int_equal(reach(&t).dialled, 0);
	town_close(&t);
}

static void test_private(void **state)
{
	net_run(61, LATENCY, story_private);
}

static void story_lan(struct net *n, bool servers_too)
{
	struct town t;

	start_servers(n, &t, servers_too);
	node_new(n, "me", &t.me);
	ask(&t, !servers_too);
	meet_servers(&t, 6);
	OK(fiber_sleep(duration_s(200)));
	assert_int_equal(reach(&t).dialled + reach(&t).failed, 0);
	assert_int_equal(reach(&t).reach, P2P_REACH_UNKNOWN);
	town_close(&t);
}

static void story_lan_asker(struct net *n)
{
	story_lan(n, true);
}

static void story_lan_server(struct net *n)
{
	story_lan(n, false);
}

static void test_the_lan_is_not_outside(void **state)
{
	net_run(66, LATENCY, story_lan_asker);
	net_run(67, LATENCY, story_lan_server);
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void story_order(struct net *n)
{
	struct node a;
	struct multiaddr own[16], more[ADDR_SOURCES][3];

	node_new(n, "a", &a);
	for (int i = 0; i < ADDR_SOURCES; i++) {
		for (int k = 0; k < 3; k++) {
			char text[64];
			(void)snprintf(text, sizeof text, "/ip4/5.5.%d.%d/tcp/1", i, k);
			OK(multiaddr_parse(bytes_str(text), &more[i][k], NULL));
		}
		host_set_addrs(a.host, (enum addr_source)i, more[i], 3);
	}
	assert_int_equal(p2p_host_addrs(a.host, own, 16), 10);
	const struct multiaddr *expect[] = {&more[ADDRS_CONFIRMED][0], &more[ADDRS_CONFIRMED][1],
	    &more[ADDRS_CONFIRMED][2], &more[ADDRS_MAPPED][0], &more[ADDRS_MAPPED][1],
	    &more[ADDRS_MAPPED][2], &more[ADDRS_RELAYED][0], &more[ADDRS_RELAYED][1], &a.addr,
	    &more[ADDRS_RELAYED][2]};
	for (size_t i = 0; i < 10; i++)
		assert_true(multiaddr_equal(&own[i], expect[i]));
	node_close(&a);
}

static void test_the_best_addresses_come_first(void **state)
{
	net_run(68, LATENCY, story_order);
}

/* ---- what is not dialled ------------------------------------------------------------------- */

static uint32_t request(struct node *from, struct node *server, const struct multiaddr *addr,
    const struct peer_id *named)
{
	const char *protocol = AUTONAT_PROTOCOL;
	struct autonat_dial m = {.peer = *named};
	struct autonat_response response;
	struct buf b = BUF_INIT(AUTONAT_MESSAGE_MAX);
	struct stream *s;

	OK(addr_list_add(&m.addrs, addr, 1));
	autonat_dial_encode(&m, &b);
	OK(p2p_open_stream(from->host, &server->id.peer_id, &protocol, 1, &s, NULL, NULL));
	OK(framed_write(s, buf_view(&b), NULL));
	assert_int_equal(framed_read(s, &b, NULL), 1);
	OK(autonat_response_decode(buf_view(&b), &response, NULL));
	buf_free(&b);
	stream_close(s);
	autonat_dial_free(&m);
	return response.status;
}

static void story_rules(struct net *n)
{
	struct town t;
	struct multiaddr wrong;

	start_servers(n, &t, true);
	node_new(n, "me", &t.me);
	meet_servers(&t, 2);
	struct node *s = &t.server[0], *victim = &t.server[5];
	/* Another machine, even with our port and name, is never dialled. */
	assert_int_equal(request(&t.me, s, &victim->addr, &t.me.id.peer_id), 101);
	assert_int_equal(victim->opened, 0);
	assert_int_equal(net_logged(n, "inbound connection from"), 0);
	assert_int_equal(request(&t.me, s, &t.me.addr, &victim->id.peer_id), 200);
	/* Someone else may not answer there. */
	wrong = t.me.addr;
	wrong.bytes[wrong.n - 1] ^= 1;
	assert_int_equal(request(&t.me, s, &wrong, &t.me.id.peer_id), 100);
	assert_int_equal(request(&t.me, s, &t.me.addr, &t.me.id.peer_id), 0);
	assert_int_equal(request(&t.me, s, &t.me.addr, &t.me.id.peer_id), 0);
	/* Three dials a minute and peer. */
	assert_int_equal(request(&t.me, s, &t.me.addr, &t.me.id.peer_id), 101);
	OK(fiber_sleep(duration_s(61)));
	assert_int_equal(request(&t.me, s, &t.me.addr, &t.me.id.peer_id), 0);
	town_close(&t);
}

static void test_what_is_not_dialled(void **state)
{
	net_run(62, LATENCY, story_rules);
}

static void story_relayed(struct net *n)
{
	struct town t;
	struct node r;
	struct p2p_relay_limits limits;
	struct multiaddr to;

	start_servers(n, &t, true);
	node_new(n, "me", &t.me);
	node_new(n, "r", &r);
	p2p_relay_limits_default(&limits);
	limits.circuit = (struct duration){0};
	limits.circuit_bytes = 0;
	OK(p2p_relay_serve(r.host, &limits, NULL));
	to = node_full_addr(&r);
	OK(p2p_relay_use(t.server[0].host, &to, NULL));
	OK(fiber_sleep(duration_s(1)));
	OK(multiaddr_append(&to, MA_P2P_CIRCUIT, (struct bytes){0}, NULL));
	OK(multiaddr_append_peer(&to, &t.server[0].id.peer_id, NULL));
	OK(p2p_dial(t.me.host, NULL, &to, 1, NULL, NULL));
	assert_int_equal(request(&t.me, &t.server[0], &t.me.addr, &t.me.id.peer_id), 101);
	node_close(&r);
	town_close(&t);
}

static void test_not_over_relays(void **state)
{
	net_run(63, LATENCY, story_relayed);
}

/* ---- ports at the router ------------------------------------------------------------------- */

/* A router that does as it is told; one per test program, as a worker knows its job alone. */
static struct {
	unsigned asked, removed;
	bool absent, nested;
} router;

static void fake_router(void *arg)
{
	struct portmap_job *job = arg;

	router.asked++;
	router.removed += job->lease_s == 0;
	if (router.absent) {
		job->rc = E_NOT_FOUND;
		(void)snprintf(job->why, sizeof job->why, "nobody home");
		return;
	}
	assert_true(job->method == PORTMAP_NONE || job->method == PORTMAP_UPNP);
	job->method = PORTMAP_UPNP;
	memcpy(job->ip, router.nested ? "\x0a\x09\x08\x07" : "\x05\x05\x05\x05", 4);
	if (job->outside == NET_PORT)
		job->outside = 9999;
	job->rc = 0;
}

static bool advertises(const struct node *n, const char *text)
{
	struct multiaddr own[16];
	char one[MULTIADDR_TEXT_MAX];
	size_t count = p2p_host_addrs(n->host, own, 16);

	for (size_t i = 0; i < count && i < 16; i++) {
		multiaddr_print(&own[i], one);
		if (strcmp(one, text) == 0)
			return true;
	}
	return false;
}

static void story_router(struct net *n)
{
	struct node a;
	struct p2p_portmap_info info;

	memset(&router, 0, sizeof router);
	node_new(n, "a", &a);
	OK(portmap_start(a.host, fake_router, NULL));
	assert_int_equal(portmap_start(a.host, fake_router, NULL), E_EXISTS);
	eventually(2, advertises(&a, "/ip4/5.5.5.5/tcp/9999"));
	p2p_portmap(a.host, &info);
	assert_string_equal(info.method, "UPnP");
	assert_in_range(duration_to_ms(info.left), 590000, 600000);
	/* Renewed at half time; lost and found again. */
	OK(fiber_sleep(duration_s(310)));
	assert_int_equal(router.asked, 2);
	router.absent = true;
	OK(fiber_sleep(duration_s(300)));
	assert_false(advertises(&a, "/ip4/5.5.5.5/tcp/9999"));
	p2p_portmap(a.host, &info);
	assert_string_equal(info.last_failure, "nobody home");
	router.absent = false;
	OK(fiber_sleep(duration_s(130)));
	assert_true(advertises(&a, "/ip4/5.5.5.5/tcp/9999"));
	assert_int_equal(router.removed, 0);
	node_close(&a);
	assert_int_equal(router.removed, 1);
}

static void test_a_port_at_the_router(void **state)
{
	net_run(64, LATENCY, story_router);
}

static void story_nested(struct net *n)
{
	struct node a, none;
	struct p2p_options opt;
	struct multiaddr listen;

	memset(&router, 0, sizeof router);
	router.nested = true;
	node_new(n, "a", &a);
	OK(portmap_start(a.host, fake_router, NULL));
	OK(fiber_sleep(duration_s(5)));
	assert_int_equal(router.asked, 1);
	assert_false(advertises(&a, "/ip4/10.9.8.7/tcp/9999"));
	assert_int_equal(net_logged(n, "behind another"), 1);
	node_options(n, "none", &none, &opt, &listen);
	opt.n_listen = 0;
	node_start(&none, &opt);
	assert_int_equal(portmap_start(none.host, fake_router, NULL), E_NOT_FOUND);
	node_close(&none);
	node_close(&a);
	assert_int_equal(router.removed, 1);
}

static void test_a_router_behind_a_router(void **state)
{
	net_run(65, LATENCY, story_nested);
}

/* ---- pure parts ---------------------------------------------------------------------------- */

static struct peer_id voter(uint8_t i)
{
	uint8_t seed[ED25519_SEED_SIZE] = {i, 7};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

static void vote(struct autonat_votes *v, uint8_t who, bool dialled, int64_t at_s)
{
	struct peer_id id = voter(who);

	autonat_vote(v, &id, dialled, (struct instant){at_s * 1000000000});
}

static void test_votes(void **state)
{
	struct autonat_votes v = {0};
	unsigned yes, no;

	for (int i = 0; i < 20; i++)
		vote(&v, 1, true, i); /* one peer, one vote */
	assert_int_equal(v.reach, P2P_REACH_UNKNOWN);
	for (uint8_t i = 2; i <= 4; i++)
		vote(&v, i, true, 20);
	assert_int_equal(v.reach, P2P_REACH_PUBLIC);
	for (uint8_t i = 11; i <= 14; i++)
		vote(&v, i, false, 30);
	assert_int_equal(v.reach, P2P_REACH_PUBLIC); /* as many against it change nothing */
	vote(&v, 15, false, 31);
	assert_int_equal(v.reach, P2P_REACH_PRIVATE);
	for (uint8_t i = 20; i < 60; i++)
		vote(&v, i, true, 40);
	assert_int_equal(v.n, AUTONAT_VOTERS_MAX);
	assert_int_equal(v.reach, P2P_REACH_PUBLIC);
	autonat_count(&v, (struct instant){(40 + AUTONAT_VOTE_AGE_S) * 1000000000LL}, &yes, &no);
	assert_int_equal(yes + no, 0);
	assert_int_equal(v.reach, P2P_REACH_UNKNOWN);
}

static void test_messages(void **state)
{
	struct autonat_response m = {.status = AUTONAT_OK}, back;
	struct autonat_dial dial;
	struct buf b = BUF_INIT(64);
	static const uint8_t ok[] = {8, 1, 26, 2, 8, 0};
	static const uint8_t bad[][6] = {{8, 0}, {8, 0, 18, 2, 10, 1}, {8, 1, 18, 0}, {18, 0}};

	autonat_response_encode(&m, &b);
	assert_int_equal(b.n, sizeof ok); /* OK is written */
	assert_memory_equal(b.p, ok, sizeof ok);
	OK(autonat_response_decode(buf_view(&b), &back, NULL));
	buf_free(&b);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(autonat_dial_decode(bytes_of(bad[i], i == 1   ? 6
								      : i == 2 ? 4
									       : 2),
				     &dial, NULL),
		    E_PROTOCOL);
}

/* ---- how the router maps ports --------------------------------------------------------------- */

static struct netaddr at(const char *ip, uint16_t port)
{
	struct netaddr a;

	OK(netaddr_parse_ip(ip, &a, NULL));
	a.port = port;
	return a;
}

static enum p2p_mapping judged(const struct netaddr *seen, size_t n)
{
	struct netaddr own[] = {at("192.168.1.2", 0), at("127.0.0.1", 0)};
	struct p2p_mapping_info info;

	mapping_judge(seen, n, own, 2, &info);
	return info.kind;
}

static void test_mappings(void **state)
{
	struct netaddr own = at("192.168.1.2", 41145);
	struct netaddr out = at("5.5.5.1", 41145), other = at("5.5.5.1", 2000),
		       wan2 = at("6.6.6.1", 41145);

	assert_int_equal(judged(NULL, 0), P2P_MAPPING_UNKNOWN);
	assert_int_equal(judged(&own, 1), P2P_MAPPING_NONE);
	assert_int_equal(judged(&out, 1), P2P_MAPPING_UNKNOWN);
	assert_int_equal(judged((struct netaddr[]){own, out}, 2), P2P_MAPPING_UNKNOWN);
	assert_int_equal(judged((struct netaddr[]){out, out}, 2), P2P_MAPPING_ONE);
	assert_int_equal(judged((struct netaddr[]){out, own, out}, 3), P2P_MAPPING_ONE);
	assert_int_equal(judged((struct netaddr[]){out, other}, 2), P2P_MAPPING_BY_PEER);
	assert_int_equal(judged((struct netaddr[]){out, wan2}, 2), P2P_MAPPING_BY_PEER);
	assert_int_equal(judged((struct netaddr[]){other, out, out}, 3), P2P_MAPPING_BY_PEER);
	assert_int_equal(judged((struct netaddr[]){out, out, other}, 3), P2P_MAPPING_BY_PEER);
}

static void story_mapping(struct net *n)
{
	struct town t;
	struct p2p_mapping_info info;

	node_new(n, "me", &t.me);
	start_servers(n, &t, true);
	p2p_mapping(t.me.host, &info);
	assert_int_equal(info.kind, P2P_MAPPING_UNKNOWN);
	meet_servers(&t, 3);
	OK(fiber_sleep(duration_s(100)));
	p2p_mapping(t.me.host, &info);
	assert_int_equal(info.kind, P2P_MAPPING_NONE);
	/* Nobody noticed more than a stranger who came and went. */
	for (int i = 0; i < 3; i++)
		eventually(2, t.server[i].disconnected == 1);
	assert_int_equal(t.me.disconnected, 0);
	OK(fiber_sleep(duration_s(10)));
	p2p_mapping(t.me.host, &info);
	assert_int_equal(t.server[0].connected, 2);
	town_close(&t);
}

static void test_without_a_router(void **state)
{
	net_run(29, LATENCY, story_mapping);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mappings),
	    cmocka_unit_test(test_without_a_router),
	    cmocka_unit_test(test_votes),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_public),
	    cmocka_unit_test(test_private),
	    cmocka_unit_test(test_the_lan_is_not_outside),
	    cmocka_unit_test(test_the_best_addresses_come_first),
	    cmocka_unit_test(test_what_is_not_dialled),
	    cmocka_unit_test(test_not_over_relays),
	    cmocka_unit_test(test_a_port_at_the_router),
	    cmocka_unit_test(test_a_router_behind_a_router),
	};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
