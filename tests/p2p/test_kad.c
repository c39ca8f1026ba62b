/* Hosts in a simulated universe that form a DHT. */
#include "host_help.h"
#include "p2p/framed_priv.h"
#include "p2p/kad_priv.h"
#include "p2p/reach.h"

#include <stdio.h>

#define LATENCY duration_ms(20)
#define KAD     "/opengateway/kad/1.0.0"
#define MANY    36

struct member {
	struct node node;
	struct p2p_kad *kad;
};

/* Values begin with 'v'; the greater one is better. */
static int begins_with_v(void *arg, struct bytes key, struct bytes value, struct err *err)
{
	return value.n > 0 && value.p[0] == 'v' ? 0 : err_set(err, E_INVALID, "no v");
}

static bool greater(void *arg, struct bytes key, struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = memcmp(a.p, b.p, n);

	return c < 0 || (c == 0 && a.n < b.n);
}

static int accept_all(void *arg, struct bytes key, struct bytes value, struct err *err)
{
	return 0;
}

static void options(struct p2p_kad_options *o, enum p2p_kad_mode mode)
{
	static const struct p2p_kad_validator strict = {
	    .prefix = "/t/", .validate = begins_with_v, .prefers = greater};

	p2p_kad_options_default(o);
	o->mode = mode;
	o->validators = &strict;
	o->n_validators = 1;
}

static void member_new(struct net *n, const char *name, enum p2p_kad_mode mode, struct member *m)
{
	struct p2p_kad_options o;

	node_new(n, name, &m->node);
	options(&o, mode);
	OK(p2p_kad_new(m->node.host, &o, &m->kad, NULL));
}

static void member_close(struct member *m)
{
	p2p_kad_close(m->kad);
	node_close(&m->node);
	m->kad = NULL;
}

static size_t table_size(const struct member *m)
{
	struct p2p_kad_info info;

	p2p_kad_info(m->kad, &info);
	return info.peers;
}

static bool holds(const struct peer_id *v, size_t n, const struct member *m)
{
	for (size_t i = 0; i < n; i++)
		if (peer_id_equal(&v[i], &m->node.id.peer_id))
			return true;
	return false;
}

/* `count` servers, each of which was told of the first one alone. */
static struct member *grow(struct net *n, size_t count)
{
	struct member *all = calloc(count, sizeof *all);
	char name[16];

	assert_non_null(all);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "m%zu", i);
		member_new(n, name, P2P_KAD_SERVER, &all[i]);
		if (i > 0)
			node_connect(&all[i].node, &all[0].node);
	}
	OK(fiber_sleep(duration_s(30)));
	return all;
}

static void end(struct member *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (all[i].kad)
			member_close(&all[i]);
	free(all);
}

static int put(struct member *m, const char *key, const char *value)
{
	return p2p_kad_put(m->kad, bytes_str(key), bytes_str(value), NULL);
}

static void check_get(struct member *m, const char *key, const char *value)
{
	struct buf out = BUF_INIT(P2P_KAD_VALUE_MAX);
	struct err err = {0};

	if (p2p_kad_get(m->kad, bytes_str(key), &out, &err) != 0)
		fail_msg("no value: %s", err_text(&err));
	assert_string_equal(buf_cstr(&out), value);
	buf_free(&out);
}

static int get_code(struct member *m, const char *key)
{
	struct buf out = BUF_INIT(P2P_KAD_VALUE_MAX);
	int rc = p2p_kad_get(m->kad, bytes_str(key), &out, NULL);

	buf_free(&out);
	return rc;
}

/* ---- a network ----------------------------------------------------------------------------- */

/* Told of one peer, they know many: by refreshing, nobody told them more. */
static void check_tables(struct member *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_in_range(table_size(&all[i]), count / 2, count - 1);
}

static void check_closest(struct member *all, size_t count)
{
	struct peer_id found[20];
	struct kad_key target = kad_key_of(bytes_str("some key"));
	size_t n = 0, nearer = 0;

	OK(p2p_kad_closest(all[7].kad, bytes_str("some key"), found, 20, &n, NULL));
	assert_int_equal(n, 20);
	/* Exactly the 20 nearest: of all others, the asker aside, no more than 19 are nearer than
	 * the last one. */
	struct kad_key last = kad_key_of_peer(&found[19]);
	for (size_t i = 0; i < count; i++) {
		struct kad_key key = kad_key_of_peer(&all[i].node.id.peer_id);
		nearer += i != 7 && kad_nearer(&key, &last, &target) < 0;
	}
	assert_int_equal(nearer, 19);
}

static void check_find_peer(struct member *from, struct member *to)
{
	struct multiaddr *addrs = calloc(8, sizeof *addrs);
	size_t n = 0;

	assert_false(p2p_connected(from->node.host, &to->node.id.peer_id));
	OK(p2p_kad_find_peer(from->kad, &to->node.id.peer_id, addrs, 8, &n, NULL));
	assert_true(n > 0);
	assert_true(multiaddr_equal(&addrs[0], &to->node.addr));
	free(addrs);
}

/* A pair that never met. */
static void find_strangers(struct member *all, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		for (size_t j = 1; j < count; j++) {
			if (i == j || p2p_connected(all[i].node.host, &all[j].node.id.peer_id))
				continue;
			check_find_peer(&all[i], &all[j]);
			return;
		}
	}
}

static void check_providers(struct member *all)
{
	uint8_t key[P2P_KAD_MULTIHASH_SIZE];
	struct peer_id found[20];
	size_t n = 9;

	p2p_kad_multihash(bytes_str("cluster"), key);
	struct bytes k = bytes_of(key, sizeof key);
	OK(p2p_kad_find_providers(all[30].kad, k, found, 20, &n, NULL));
	assert_int_equal(n, 0);
	OK(p2p_kad_provide(all[3].kad, k, NULL));
	OK(p2p_kad_provide(all[4].kad, k, NULL));
	OK(p2p_kad_find_providers(all[30].kad, k, found, 20, &n, NULL));
	assert_int_equal(n, 2);
	assert_true(holds(found, n, &all[3]) && holds(found, n, &all[4]));
	OK(p2p_kad_find_providers(all[3].kad, k, found, 20, &n, NULL)); /* not itself */
	assert_int_equal(n, 1);
	OK(p2p_kad_find_providers(all[20].kad, k, found, 1, &n, NULL)); /* one is enough */
	assert_int_equal(n, 1);
	assert_int_equal(p2p_kad_provide(all[3].kad, bytes_str("no multihash"), NULL), E_INVALID);
}

static void check_values(struct member *all)
{
	OK(put(&all[4], "/t/x", "v1"));
	check_get(&all[25], "/t/x", "v1");
	OK(put(&all[9], "/t/x", "v2"));
	check_get(&all[26], "/t/x", "v2");
	check_get(&all[4], "/t/x", "v2"); /* its own is worse */
	assert_int_equal(put(&all[4], "/t/x", "x"), E_INVALID);
	assert_int_equal(put(&all[4], "/u/x", "v"), E_UNSUPPORTED);
	assert_int_equal(get_code(&all[4], "/u/x"), E_UNSUPPORTED);
	assert_int_equal(get_code(&all[4], "/t/none"), E_NOT_FOUND);
	assert_int_equal(get_code(&all[4], ""), E_INVALID);
}

static void story_network(struct net *n)
{
	struct member *all = grow(n, MANY);

	check_tables(all, MANY);
	check_closest(all, MANY);
	find_strangers(all, MANY);
	check_providers(all);
	check_values(all);
	/* A third of them vanishes: what was stored is still found. */
	for (size_t i = 10; i < 22; i++)
		member_close(&all[i]);
	check_get(&all[30], "/t/x", "v2");
	end(all, MANY);
}

static void test_network(void **state)
{
	net_run(40, LATENCY, story_network);
}

/* The same seed, the same number of requests: nothing depends on chance outside the universe. */
static uint64_t requests_of_a_run;

static void story_counted(struct net *n)
{
	struct member *all = grow(n, 8);
	struct p2p_kad_info info;

	requests_of_a_run = 0;
	for (size_t i = 0; i < 8; i++) {
		p2p_kad_info(all[i].kad, &info);
		requests_of_a_run = requests_of_a_run * 31 + info.requests_out;
	}
	end(all, 8);
}

static void test_runs_repeat(void **state)
{
	net_run(41, LATENCY, story_counted);
	uint64_t first = requests_of_a_run;
	net_run(41, LATENCY, story_counted);
	assert_int_equal(first, requests_of_a_run);
}

/* ---- sides --------------------------------------------------------------------------------- */

static void story_client(struct net *n)
{
	struct member a, b, c;
	const char *protocol = KAD;
	struct stream *s;

	member_new(n, "a", P2P_KAD_SERVER, &a);
	member_new(n, "b", P2P_KAD_SERVER, &b);
	member_new(n, "c", P2P_KAD_CLIENT, &c);
	node_connect(&b.node, &a.node);
	node_connect(&c.node, &a.node);
	OK(fiber_sleep(duration_s(20)));
	assert_int_equal(table_size(&a), 1);
	assert_int_equal(table_size(&b), 1);
	assert_int_equal(table_size(&c), 2);
	assert_false(p2p_peer_speaks(a.node.host, &c.node.id.peer_id, KAD));
	assert_int_equal(
	    p2p_open_stream(a.node.host, &c.node.id.peer_id, &protocol, 1, &s, NULL, NULL),
	    E_UNSUPPORTED);
	OK(put(&c, "/t/from-client", "v"));
	check_get(&b, "/t/from-client", "v");
	/* It changes sides, and back. */
	OK(p2p_kad_set_mode(c.kad, P2P_KAD_SERVER, NULL));
	eventually(20, table_size(&a) == 2);
	OK(p2p_kad_set_mode(c.kad, P2P_KAD_CLIENT, NULL));
	eventually(20, table_size(&a) == 1);
	member_close(&c);
	member_close(&b);
	member_close(&a);
}

static void test_clients(void **state)
{
	net_run(42, LATENCY, story_client);
}

/* Alone at first: what could not be published is, once somebody is there. */
/* A node that decides by itself: a client until somebody dials it, and again when AutoNAT knows
 * better. Others hear of each change by identify's push. */
static void story_auto(struct net *n)
{
	struct member a, b;
	struct p2p_kad_info info;

	member_new(n, "a", P2P_KAD_AUTO, &a);
	member_new(n, "b", P2P_KAD_SERVER, &b);
	node_connect(&a.node, &b.node);
	OK(fiber_sleep(duration_s(30)));
	p2p_kad_info(a.kad, &info);
	assert_int_equal(info.mode, P2P_KAD_CLIENT);
	assert_false(p2p_peer_speaks(b.node.host, &a.node.id.peer_id, KAD));
	assert_int_equal(table_size(&a), 1);
	assert_int_equal(table_size(&b), 0);
	/* It was we who dialled: that others can shows when they do. */
	p2p_disconnect(a.node.host, &b.node.id.peer_id, "test");
	eventually(5, !p2p_connected(b.node.host, &a.node.id.peer_id));
	node_connect(&b.node, &a.node);
	eventually(10, p2p_peer_speaks(b.node.host, &a.node.id.peer_id, KAD));
	p2p_kad_info(a.kad, &info);
	assert_int_equal(info.mode, P2P_KAD_SERVER);
	eventually(10, table_size(&b) == 1);
	/* By decree, and back to its own judgement. */
	OK(p2p_kad_set_mode(a.kad, P2P_KAD_CLIENT, NULL));
	eventually(10, table_size(&b) == 0);
	OK(fiber_sleep(duration_s(30)));
	assert_false(p2p_peer_speaks(b.node.host, &a.node.id.peer_id, KAD));
	OK(p2p_kad_set_mode(a.kad, P2P_KAD_AUTO, NULL));
	eventually(10, table_size(&b) == 1);
	/* An hour after the last one who could, nobody can any more, as far as we know. */
	p2p_disconnect(a.node.host, &b.node.id.peer_id, "test");
	OK(fiber_sleep(duration_s(3610)));
	p2p_kad_info(a.kad, &info);
	assert_int_equal(info.mode, P2P_KAD_CLIENT);
	member_close(&a);
	member_close(&b);
}

static void test_a_side_that_fits(void **state)
{
	net_run_for(80, LATENCY, duration_s(7200), story_auto);
}

#define TOWN 6

/* Asked by AutoNAT, peers say whether they can dial it. */
static void story_autonat(struct net *n)
{
	struct member me;
	static struct node peers[TOWN];
	struct p2p_autonat_options opt;
	struct p2p_kad_info info;
	char name[8];

	p2p_autonat_options_default(&opt);
	opt.private_too = true;
	member_new(n, "me", P2P_KAD_AUTO, &me);
	OK(p2p_autonat_start(me.node.host, &opt, NULL));
	opt.ask = false;
	for (int i = 0; i < TOWN; i++) {
		(void)snprintf(name, sizeof name, "p%d", i);
		node_new(n, name, &peers[i]);
		OK(p2p_autonat_start(peers[i].host, &opt, NULL));
		node_connect(&me.node, &peers[i]);
	}
	eventually(120, p2p_peer_speaks(peers[0].host, &me.node.id.peer_id, KAD));
	p2p_kad_info(me.kad, &info);
	assert_int_equal(info.mode, P2P_KAD_SERVER);
	member_close(&me);
	for (int i = 0; i < TOWN; i++)
		node_close(&peers[i]);
}

static void test_reachable_nodes_serve(void **state)
{
	net_run(81, LATENCY, story_autonat);
}

static void story_alone(struct net *n)
{
	struct member a, b;
	uint8_t key[P2P_KAD_MULTIHASH_SIZE];
	struct peer_id found[4];
	struct multiaddr addr;
	size_t count = 0;

	member_new(n, "a", P2P_KAD_SERVER, &a);
	p2p_kad_multihash(bytes_str("x"), key);
	assert_int_equal(p2p_kad_bootstrap(a.kad, NULL), E_UNAVAILABLE);
	assert_int_equal(put(&a, "/t/x", "v"), E_UNAVAILABLE);
	assert_int_equal(p2p_kad_provide(a.kad, bytes_of(key, sizeof key), NULL), E_UNAVAILABLE);
	assert_int_equal(
	    p2p_kad_find_peer(a.kad, &a.node.id.peer_id, &addr, 1, &count, NULL), E_UNAVAILABLE);
	check_get(&a, "/t/x", "v"); /* our own */
	member_new(n, "b", P2P_KAD_SERVER, &b);
	node_connect(&a.node, &b.node);
	OK(fiber_sleep(duration_s(10)));
	member_close(&a);
	check_get(&b, "/t/x", "v");
	OK(p2p_kad_find_providers(b.kad, bytes_of(key, sizeof key), found, 4, &count, NULL));
	assert_int_equal(count, 1);
	member_close(&b);
}

static void test_alone_at_first(void **state)
{
	net_run(43, LATENCY, story_alone);
}

/* ---- time ---------------------------------------------------------------------------------- */

#define HOUR_S 3600

static size_t providers_at(struct member *m, struct bytes key)
{
	struct peer_id found[4];
	size_t n = 0;

	OK(p2p_kad_find_providers(m->kad, key, found, 4, &n, NULL));
	return n;
}

/* SPEC kad-dht: renewed every 22 hours, forgotten after 48. */
static void story_days(struct net *n)
{
	struct member *all = grow(n, 3);
	uint8_t raw[P2P_KAD_MULTIHASH_SIZE];
	struct bytes key = bytes_of(raw, sizeof raw);
	struct kad_stored found;

	p2p_kad_multihash(bytes_str("x"), raw);
	OK(p2p_kad_provide(all[0].kad, key, NULL));
	OK(put(&all[0], "/t/x", "v"));
	OK(fiber_sleep(duration_s(60 * HOUR_S)));
	assert_int_equal(providers_at(&all[2], key), 1);
	assert_true(kad_store_get(&all[1].kad->store, bytes_str("/t/x"), rt_now(), &found));
	p2p_kad_unprovide(all[0].kad, key);
	OK(fiber_sleep(duration_s(49 * HOUR_S)));
	assert_int_equal(providers_at(&all[2], key), 0);
	assert_int_equal(all[1].kad->store.n_providers, 0);
	/* The value is still renewed; the tables are still full. */
	check_get(&all[2], "/t/x", "v");
	assert_int_equal(table_size(&all[2]), 2);
	end(all, 3);
}

static void test_days_pass(void **state)
{
	net_run_for(48, LATENCY, duration_s(200 * HOUR_S), story_days);
}

/* A machine that was offline for half an hour finds the others again by itself, though nobody dials
 * it and it keeps no connection. */
static void story_offline(struct net *n)
{
	struct member *all = grow(n, 5);

	OK(put(&all[1], "/t/x", "v"));
	for (size_t i = 0; i < 4; i++)
		universe_partition(n->u, all[4].node.world, all[i].node.world, true);
	OK(fiber_sleep(duration_s(1800)));
	assert_int_equal(p2p_conns(all[4].node.host, NULL, 0), 0);
	assert_int_equal(table_size(&all[0]), 3); /* the others see that it is gone */
	assert_true(table_size(&all[4]) > 0);
	for (size_t i = 0; i < 4; i++)
		universe_partition(n->u, all[4].node.world, all[i].node.world, false);
	OK(fiber_sleep(duration_s(1000)));
	assert_int_equal(table_size(&all[4]), 4);
	assert_int_equal(table_size(&all[0]), 4);
	check_get(&all[4], "/t/x", "v");
	end(all, 5);
}

static void test_offline(void **state)
{
	net_run_for(49, LATENCY, duration_s(2 * HOUR_S), story_offline);
}

/* ---- hostile peers ------------------------------------------------------------------------- */

/* Serves the protocol and answers each request with the same bytes. */
struct liar {
	struct node node;
	struct buf answer;
	unsigned asked;
};

static void lie(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct liar *l = arg;
	struct buf in = BUF_INIT(KAD_REQUEST_MAX);

	while (framed_read(s, &in, NULL) > 0) {
		l->asked++;
		/* Or with nothing at all. */
		while (l->answer.n == 0 && fiber_sleep(duration_s(1)) == 0) {
		}
		if (stream_write(s, l->answer.p, l->answer.n, NULL) != 0)
			break;
	}
	buf_free(&in);
	stream_close(s);
}

static void liar_new(struct net *n, const char *name, struct bytes answer, struct liar *l)
{
	*l = (struct liar){.answer = BUF_INIT(KAD_ANSWER_MAX)};
	node_new(n, name, &l->node);
	buf_bytes(&l->answer, answer);
	OK(p2p_handle(l->node.host, KAD, lie, l, NULL));
}

static void story_liars(struct net *n)
{
	static const char *const answers[] = {"", "\x01\xff", "\xff\xff\xff\x7f", "\x02\x08\x01"};
	struct member a, b;
	struct liar liars[4];
	char name[8];

	member_new(n, "a", P2P_KAD_SERVER, &a);
	member_new(n, "b", P2P_KAD_SERVER, &b);
	node_connect(&a.node, &b.node);
	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof name, "l%zu", i);
		liar_new(n, name, bytes_str(answers[i]), &liars[i]);
		node_connect(&a.node, &liars[i].node);
	}
	OK(fiber_sleep(duration_s(40)));
	for (size_t i = 0; i < 4; i++)
		assert_true(liars[i].asked > 0);
	assert_int_equal(table_size(&a), 1); /* none of them passed the check */
	OK(put(&a, "/t/x", "v"));
	check_get(&b, "/t/x", "v");
	member_close(&a);
	member_close(&b);
	for (size_t i = 0; i < 4; i++) {
		node_close(&liars[i].node);
		buf_free(&liars[i].answer);
	}
}

static void test_liars_do_not_enter(void **state)
{
	net_run(44, LATENCY, story_liars);
}

/* A record that its validator refuses is not believed, whoever has it. */
static void story_bad_value(struct net *n)
{
	static const struct p2p_kad_validator lax = {.prefix = "/t/", .validate = accept_all};
	struct p2p_kad_options o;
	struct member strict, bad;

	member_new(n, "strict", P2P_KAD_SERVER, &strict);
	node_new(n, "bad", &bad.node);
	options(&o, P2P_KAD_SERVER);
	o.validators = &lax;
	OK(p2p_kad_new(bad.node.host, &o, &bad.kad, NULL));
	node_connect(&strict.node, &bad.node);
	OK(fiber_sleep(duration_s(5)));
	/* Refused by the strict one, kept by the lax one itself. */
	assert_int_equal(put(&bad, "/t/x", "x"), E_UNAVAILABLE);
	assert_int_equal(get_code(&strict, "/t/x"), E_NOT_FOUND);
	check_get(&bad, "/t/x", "x");
	member_close(&bad);
	member_close(&strict);
}

static void test_bad_values(void **state)
{
	net_run(45, LATENCY, story_bad_value);
}

/* More streams than one peer may have: the rest is reset, the first ones go on. */
static void story_many_streams(struct net *n)
{
	struct stream *s[KAD_SERVING_PER_PEER_MAX + 8];
	const size_t count = sizeof s / sizeof s[0];
	struct kad_message m = {.type = KAD_FIND_NODE, .key = bytes_str("key")};
	struct buf request = BUF_INIT(256), in = BUF_INIT(KAD_ANSWER_MAX);
	const char *protocol = KAD;
	struct member a;
	struct node b;
	size_t served = 0;

	member_new(n, "a", P2P_KAD_SERVER, &a);
	node_new(n, "b", &b);
	node_connect(&b, &a.node);
	kad_message_encode(&m, &request);
	for (size_t i = 0; i < count; i++)
		OK(p2p_open_stream(b.host, &a.node.id.peer_id, &protocol, 1, &s[i], NULL, NULL));
	OK(fiber_sleep(duration_s(1)));
	for (size_t i = 0; i < count; i++)
		if (framed_write(s[i], buf_view(&request), NULL) == 0 &&
		    framed_read(s[i], &in, NULL) > 0)
			served++;
	assert_int_equal(served, KAD_SERVING_PER_PEER_MAX);
	/* Silent ones are ended after a while, and make room. */
	OK(fiber_sleep(duration_s(12)));
	assert_int_equal(a.kad->n_serving, 0);
	for (size_t i = 0; i < count; i++)
		stream_close(s[i]);
	OK(p2p_open_stream(b.host, &a.node.id.peer_id, &protocol, 1, &s[0], NULL, NULL));
	OK(framed_write(s[0], buf_view(&request), NULL));
	assert_int_equal(framed_read(s[0], &in, NULL), 1);
	/* Closing ends a stream that is being served. */
	assert_int_equal(a.kad->n_serving, 1);
	p2p_kad_close(a.kad);
	assert_true(framed_read(s[0], &in, NULL) < 0);
	stream_close(s[0]);
	/* And it may begin again. */
	struct p2p_kad_options o;
	options(&o, P2P_KAD_SERVER);
	OK(p2p_kad_new(a.node.host, &o, &a.kad, NULL));
	buf_free(&request);
	buf_free(&in);
	node_close(&b);
	member_close(&a);
}

static void test_many_streams(void **state)
{
	net_run(46, LATENCY, story_many_streams);
}

/* Enough hostile peers to take every place, silent on each: who asks is served. */
static void story_all_places(struct net *n)
{
	enum {
		HOSTILE = KAD_SERVING_MAX / KAD_SERVING_PER_PEER_MAX
	};
	struct stream *s[HOSTILE * KAD_SERVING_PER_PEER_MAX], *mine;
	struct kad_message m = {.type = KAD_FIND_NODE, .key = bytes_str("key")};
	struct buf request = BUF_INIT(256), in = BUF_INIT(KAD_ANSWER_MAX);
	const char *protocol = KAD;
	struct node *hostile = calloc(HOSTILE, sizeof *hostile), b;
	struct member a;
	char name[16];

	member_new(n, "a", P2P_KAD_SERVER, &a);
	node_new(n, "b", &b);
	node_connect(&b, &a.node);
	for (size_t i = 0; i < HOSTILE; i++) {
		snprintf(name, sizeof name, "h%zu", i);
		node_new(n, name, &hostile[i]);
		node_connect(&hostile[i], &a.node);
	}
	for (size_t i = 0; i < sizeof s / sizeof s[0]; i++)
		OK(p2p_open_stream(hostile[i % HOSTILE].host, &a.node.id.peer_id, &protocol, 1,
		    &s[i], NULL, NULL));
	OK(fiber_sleep(duration_s(2)));
	assert_int_equal(a.kad->n_serving, KAD_SERVING_MAX);
	kad_message_encode(&m, &request);
	OK(p2p_open_stream(b.host, &a.node.id.peer_id, &protocol, 1, &mine, NULL, NULL));
	OK(framed_write(mine, buf_view(&request), NULL));
	assert_int_equal(framed_read(mine, &in, NULL), 1);
	assert_int_equal(a.kad->n_serving, KAD_SERVING_MAX);
	assert_int_equal(a.kad->n_ending, 0);
	stream_close(mine);
	for (size_t i = 0; i < sizeof s / sizeof s[0]; i++)
		stream_close(s[i]);
	for (size_t i = 0; i < HOSTILE; i++)
		node_close(&hostile[i]);
	free(hostile);
	buf_free(&request);
	buf_free(&in);
	node_close(&b);
	member_close(&a);
}

static void test_all_places_taken(void **state)
{
	net_run(51, LATENCY, story_all_places);
}

/* A store of our own that takes nothing more keeps nobody from being found. */
static void story_full_store(struct net *n)
{
	struct member *all = grow(n, 3);
	struct kad_store *store = &all[0].kad->store;
	uint8_t raw[P2P_KAD_MULTIHASH_SIZE];
	struct peer_id found[4];
	char text[32];
	size_t full = 0, count = 0;

	/* The key has all its providers already, here alone. */
	p2p_kad_multihash(bytes_str("cluster"), raw);
	struct bytes key = bytes_of(raw, sizeof raw);
	for (unsigned i = 0; full == 0; i++) {
		uint8_t digest[SHA256_SIZE];
		struct identity passing;
		(void)snprintf(text, sizeof text, "provider %u", i);
		sha256(bytes_str(text), digest);
		identity_from_seed(digest, &passing);
		int rc = kad_store_provide(
		    store, key, &passing.peer_id, &all[1].node.addr, 1, rt_now(), NULL);
		full += rc == E_LIMIT;
		assert_true(rc == 0 || rc == E_LIMIT);
	}
	OK(p2p_kad_provide(all[0].kad, key, NULL));
	OK(p2p_kad_find_providers(all[2].kad, key, found, 4, &count, NULL));
	assert_true(holds(found, count, &all[0]));
	end(all, 3);
}

static void test_a_full_store_of_our_own(void **state)
{
	net_run(52, LATENCY, story_full_store);
}

/* ---- options and addresses ----------------------------------------------------------------- */

static void story_options(struct net *n)
{
	struct p2p_kad_options o;
	struct p2p_kad *k;
	struct member a;

	member_new(n, "a", P2P_KAD_SERVER, &a);
	assert_string_equal(p2p_kad_protocol(a.kad), KAD);
	options(&o, P2P_KAD_SERVER);
	assert_int_equal(p2p_kad_new(a.node.host, &o, &k, NULL), E_EXISTS);
	o.prefix = "no slash";
	assert_int_equal(p2p_kad_new(a.node.host, &o, &k, NULL), E_INVALID);
	o.prefix = "/x";
	o.n_validators = KAD_VALIDATORS_MAX + 1;
	assert_int_equal(p2p_kad_new(a.node.host, &o, &k, NULL), E_LIMIT);
	o.n_validators = 1;
	OK(p2p_kad_new(a.node.host, &o, &k, NULL));
	assert_string_equal(p2p_kad_protocol(k), "/x/kad/1.0.0");
	p2p_kad_close(k);
	p2p_kad_close(NULL);
	member_close(&a);
}

static void test_options(void **state)
{
	net_run(47, LATENCY, story_options);
}

static bool fits(const char *addr, const char *other)
{
	struct multiaddr a, b;

	OK(multiaddr_parse(bytes_str(addr), &a, NULL));
	OK(multiaddr_parse(bytes_str(other), &b, NULL));
	return kad_addr_fits(&a, &b);
}

static void test_addresses_that_are_passed_on(void **state)
{
	static const char near[] = "/ip4/127.0.0.1/tcp/1", lan[] = "/ip4/192.168.0.1/tcp/1",
			  far[] = "/ip4/8.8.8.8/tcp/1";

	assert_true(fits(near, near) && fits(lan, near) && fits(far, near));
	assert_true(!fits(near, lan) && fits(lan, lan) && fits(far, lan));
	assert_true(!fits(near, far) && !fits(lan, far) && fits(far, far));
	assert_false(fits("/ip4/0.0.0.0/tcp/1", near));
	assert_true(fits("/dns4/example.org/tcp/1", far));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_network),
	    cmocka_unit_test(test_runs_repeat),
	    cmocka_unit_test(test_clients),
	    cmocka_unit_test(test_alone_at_first),
	    cmocka_unit_test(test_days_pass),
	    cmocka_unit_test(test_offline),
	    cmocka_unit_test(test_liars_do_not_enter),
	    cmocka_unit_test(test_bad_values),
	    cmocka_unit_test(test_many_streams),
	    cmocka_unit_test(test_all_places_taken),
	    cmocka_unit_test(test_a_full_store_of_our_own),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_a_side_that_fits),
	    cmocka_unit_test(test_reachable_nodes_serve),
	    cmocka_unit_test(test_addresses_that_are_passed_on),
	};

	return cmocka_run_group_tests_name("kad", tests, NULL, NULL);
}
