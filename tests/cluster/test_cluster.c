/* Clusters of hosts in a simulated universe: who gets in and who does not, how members find each
 * other, what they learn of each other, and what happens when one is lost. */
#include "member_help.h"

#include "p2p/reach.h"
#include "p2p/relay.h"

#include <stdio.h>

/* ---- joining --------------------------------------------------------------------------------- */

/* From the same machine: at once, and for good. */
static void loopback(struct net *n)
{
	struct member a, b;

	up(n, &a, "alpha", (struct how){.machine = "pc"});
	assert_int_equal(strncmp(cluster_id(a.cluster), "c-", 2), 0);
	up(n, &b, "beta", (struct how){.machine = "pc", .port = 4002, .through = &a, .bare = true});
	assert_string_equal(cluster_id(b.cluster), "");
	eventually(2, together(&a, &b));
	assert_string_equal(cluster_id(a.cluster), cluster_id(b.cluster));
	assert_string_equal(row_of(&a, &b).label, "beta");
	assert_string_equal(row_of(&b, &a).label, "alpha");
	assert_int_equal(net_logged(n, "Joined cluster c-"), 2);
	assert_int_equal(net_logged(n, "Peers: [beta]"), 1);
	assert_int_equal(net_logged(n, "Peers: [alpha]"), 1);
	assert_true(row_of(&b, &a).sources & SOURCE_BOOTSTRAP);
	/* Back without a bootstrap peer: it remembers its cluster and its members. */
	down(&b);
	eventually(2, !sees(&a, &b));
	up(n, &b, "beta", (struct how){.machine = "pc", .port = 4002});
	assert_string_equal(cluster_id(a.cluster), cluster_id(b.cluster));
	eventually(5, together(&a, &b));
	down(&b);
	down(&a);
}

/* From elsewhere: the owner is asked, both sides show it, and nothing is shared meanwhile. */
static void accepted(struct net *n)
{
	struct member a, b;
	struct err err = {0};

	up(n, &a, "alpha", (struct how){0});
	up(n, &b, "beta", (struct how){.through = &a});
	eventually(5, row_of(&a, &b).state == PEER_ASKING && row_of(&b, &a).state == PEER_WAITING);
	assert_int_equal(net_logged(n, "gate peers accept beta"), 1);
	OK(fiber_sleep(duration_s(60)));
	assert_int_equal(row_of(&a, &b).state, PEER_ASKING);
	assert_string_equal(cluster_id(b.cluster), "");
	assert_false(cluster_is_member(a.cluster, &b.node.id.peer_id));
	assert_int_equal(cluster_accept(a.cluster, "gamma", &err), E_NOT_FOUND);
	OK(cluster_accept(a.cluster, "beta", &err));
	eventually(5, together(&a, &b));
	assert_string_equal(cluster_id(a.cluster), cluster_id(b.cluster));
	down(&b);
	down(&a);
}

/* Rejected stays rejected, however often it asks, until the owner thinks better of it. */
static void rejected(struct net *n)
{
	struct member a, b;
	struct err err = {0};

	up(n, &a, "alpha", (struct how){0});
	up(n, &b, "beta", (struct how){.through = &a});
	eventually(5, row_of(&a, &b).state == PEER_ASKING);
	OK(cluster_reject(a.cluster, "beta", &err));
	eventually(5, row_of(&b, &a).state == PEER_CONNECTED);
	for (int i = 0; i < 300; i++) {
		OK(fiber_sleep(duration_ms(100)));
		assert_int_not_equal(row_of(&a, &b).state, PEER_ASKING);
	}
	assert_string_equal(row_of(&b, &a).failure, "rejected");
	assert_string_equal(cluster_id(b.cluster), "");
	OK(cluster_accept(a.cluster, "beta", &err));
	eventually(5, together(&a, &b));
	down(&b);
	down(&a);
}

static void auto_accept(struct net *n)
{
	struct member a, b;

	up(n, &a, "alpha", (struct how){.auto_accept = true});
	up(n, &b, "beta", (struct how){.through = &a});
	eventually(3, together(&a, &b));
	down(&b);
	down(&a);
}

/* Whoever merely happens to be connected is not asked, however willing it is. */
static void not_just_anybody(struct net *n)
{
	struct member a, b, stranger;
	struct multiaddr at;

	struct how how = {.through = &a, .bare = true};
	up(n, &stranger, "stranger", (struct how){.auto_accept = true});
	host_up(n, &a, "alpha", &(struct how){.auto_accept = true});
	up(n, &b, "beta", how);
	at = node_full_addr(&stranger.node);
	OK(p2p_dial(b.node.host, NULL, &at, 1, NULL, NULL));
	OK(fiber_sleep(duration_s(30)));
	assert_int_equal(row_of(&b, &stranger).state, PEER_CONNECTED);
	assert_string_equal(cluster_id(b.cluster), "");
	OK(member_join(&a, &(struct how){.auto_accept = true}, NULL));
	eventually(10, together(&a, &b));
	assert_string_equal(cluster_id(a.cluster), cluster_id(b.cluster));
	eventually(60, row_of(&b, &stranger).state == PEER_FOREIGN);
	down(&b);
	down(&a);
	down(&stranger);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void same_key(struct net *n)
{
	struct member a, b;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "house", .key = KEY_1, .through = &a});
	eventually(3, together(&a, &b));
	assert_false(cluster_is_open(a.cluster));
	assert_int_equal(net_logged(n, "has no key"), 0);
	down(&b);
	down(&a);
}

static void wrong_key(struct net *n)
{
	struct member a, b, c;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "house", .key = KEY_2, .through = &a});
	up(n, &c, "gamma", (struct how){.name = "house", .through = &a}); /* open, same name */
	eventually(5, row_of(&a, &b).state == PEER_FOREIGN && row_of(&b, &a).state == PEER_FOREIGN);
	eventually(5, row_of(&a, &c).state == PEER_FOREIGN && row_of(&c, &a).state == PEER_FOREIGN);
	for (int i = 0; i < 600; i++) {
		OK(fiber_sleep(duration_ms(100)));
		assert_false(cluster_is_member(a.cluster, &b.node.id.peer_id));
		assert_false(cluster_is_member(a.cluster, &c.node.id.peer_id));
		assert_false(sees(&a, &b) || sees(&b, &a) || sees(&c, &a));
	}
	assert_true(net_logged(n, "knows the cluster's id but not its key") > 0);
	down(&c);
	down(&b);
	down(&a);
}

static void other_cluster(struct net *n)
{
	struct member a, b;

	up(n, &a, "alpha", (struct how){.name = "house"});
	up(n, &b, "beta", (struct how){.name = "garden", .through = &a});
	assert_int_equal(net_logged(n, "has no key: everyone"), 2);
	eventually(5, row_of(&a, &b).state == PEER_FOREIGN && row_of(&b, &a).state == PEER_FOREIGN);
	OK(fiber_sleep(duration_s(30)));
	assert_false(sees(&a, &b) || sees(&b, &a));
	down(&b);
	down(&a);
}

/* The name of a saved, closed cluster does not open it. */
static void name_alone(struct net *n)
{
	struct member a;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	down(&a);
	up(n, &a, "alpha", (struct how){.name = "house"});
	assert_false(cluster_is_open(a.cluster));
	assert_int_equal(a.cluster->membership.key[31], 0x1f);
	down(&a);
	up(n, &a, "alpha", (struct how){.name = "garden"});
	assert_true(cluster_is_open(a.cluster));
	down(&a);
}

/* ---- finding each other ---------------------------------------------------------------------- */

static void exchange(struct net *n)
{
	struct member a, b, c;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "house", .key = KEY_1, .through = &a});
	up(n, &c, "gamma", (struct how){.name = "house", .key = KEY_1, .through = &a});
	eventually(10, together(&b, &c));
	assert_true(row_of(&b, &c).sources & (SOURCE_EXCHANGE | SOURCE_INBOUND));
	assert_true((row_of(&b, &c).sources | row_of(&c, &b).sources) & SOURCE_EXCHANGE);
	/* The two need their go-between no longer. */
	down(&a);
	eventually(2, row_of(&b, &a).state == PEER_LOST);
	OK(fiber_sleep(duration_s(30)));
	assert_true(together(&b, &c));
	down(&c);
	down(&b);
}

/* A silent loss is noticed, and its end too, in the time that the goal gives. */
static void loss_and_return(struct net *n)
{
	struct member a, b;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	up(n, &b, "beta", (struct how){.name = "house", .key = KEY_1, .through = &a});
	serve_model(&a);
	cluster_announce(a.cluster);
	struct model_entry models[4];
	eventually(10, together(&a, &b) && catalog_models(b.catalog, models, 4) == 1);
	universe_partition(n->u, a.node.world, b.node.world, true);
	eventually(10, !sees(&a, &b) && !sees(&b, &a));
	assert_int_equal(catalog_models(b.catalog, models, 4), 0);
	assert_int_equal(row_of(&b, &a).state, PEER_LOST);
	eventually(1, net_logged(n, "lost alpha: no sign of life") == 1);
	assert_int_equal(net_logged(n, "Peers: []"), 2);
	OK(fiber_sleep(duration_s(20)));
	universe_partition(n->u, a.node.world, b.node.world, false);
	eventually(10, together(&a, &b) && catalog_models(b.catalog, models, 4) == 1);
	down(&b);
	down(&a);
}

/* Relayed for some minutes, then directly connected: the sessions move over without a moment in
 * which one is no member of the other, and the circuit ends. */
static void moved(struct net *n)
{
	struct member a, b, c;
	struct how how = {.name = "house", .key = KEY_1, .through = &a, .gossip = true};

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1, .gossip = true});
	OK(p2p_relay_serve(a.node.host, NULL, NULL));
	host_up(n, &b, "beta", &how);
	host_up(n, &c, "gamma", &how);
	universe_partition(n->u, b.node.world, c.node.world, true);
	struct member *ends[] = {&b, &c};
	for (size_t i = 0; i < 2; i++) {
		OK(p2p_dcutr_start(ends[i]->node.host, NULL));
		OK(p2p_allow_limited(ends[i]->node.host, GOSSIP_PROTOCOL_11, NULL));
		OK(p2p_relay_want(ends[i]->node.host, 1, true, NULL));
		OK(member_join(ends[i], &how, NULL));
	}
	serve_model(&c);
	eventually(60, together(&b, &c));
	assert_int_equal(row_of(&b, &c).path, PATH_RELAYED);
	OK(fiber_sleep(duration_s(200)));
	assert_int_equal(row_of(&b, &c).path, PATH_RELAYED);
	universe_partition(n->u, b.node.world, c.node.world, false);
	for (int i = 0; i < 6500; i++) {
		OK(fiber_sleep(duration_ms(100)));
		assert_true(together(&b, &c));
		struct model_entry list[4];
		assert_int_equal(catalog_models(b.catalog, list, 4), 1);
	}
	assert_int_not_equal(row_of(&b, &c).path, PATH_RELAYED);
	assert_int_not_equal(row_of(&c, &b).path, PATH_RELAYED);
	assert_int_equal(row_of(&b, &c).n_conns, 1);
	assert_int_equal(row_of(&c, &b).n_conns, 1);
	down(&c);
	down(&b);
	down(&a);
}

/* Models show with the membership itself, not with the next heartbeat; changes at once. */
static void models(struct net *n)
{
	struct member a, b;
	struct model_entry list[4];

	struct how with_alpha = {.name = "house", .key = KEY_1, .through = &a};
	host_up(n, &a, "alpha", &(struct how){0});
	serve_model(&a);
	OK(member_join(&a, &(struct how){.name = "house", .key = KEY_1}, NULL));
	host_up(n, &b, "beta", &with_alpha);
	serve_model(&b);
	OK(member_join(&b, &with_alpha, NULL));
	/* One of them hears of the other's models before it has itself been welcomed there. */
	eventually(5, together(&a, &b));
	OK(fiber_sleep(duration_ms(500)));
	assert_int_equal(catalog_models(a.catalog, list, 4), 2);
	assert_int_equal(catalog_models(b.catalog, list, 4), 2);
	catalog_remove(b.catalog, b.local);
	b.local = NULL;
	assert_int_equal(catalog_models(b.catalog, list, 4), 1);
	assert_string_equal(list[0].id, "tiny");
	assert_int_equal(list[0].n_ctx, 128);
	assert_true(list[0].ready);
	assert_string_equal(list[0].owner_label, "alpha");
	assert_int_equal(row_of(&b, &a).n_models, 1);
	one_model.ready = false;
	cluster_announce(a.cluster);
	OK(fiber_sleep(duration_ms(500)));
	assert_int_equal(catalog_models(b.catalog, list, 4), 1);
	assert_false(list[0].ready);
	one_model.ready = true;
	catalog_remove(a.catalog, a.local);
	a.local = NULL;
	cluster_announce(a.cluster);
	OK(fiber_sleep(duration_ms(500)));
	assert_int_equal(catalog_models(b.catalog, list, 4), 0);
	down(&b);
	down(&a);
}

/* ---- peers that break the rules -------------------------------------------------------------- */

static struct stream *open_session(struct node *from, struct member *to, const char *name,
    const char *key, const struct peer_id *prover)
{
	const char *protocols[] = {MEMBER_PROTOCOL};
	struct p2p_stream_info info;
	struct membership m;
	struct hello h = {.label = "raw"};
	uint8_t binding[P2P_BINDING_SIZE];
	struct stream *s;

	OK(p2p_open_stream(from->host, &to->node.id.peer_id, protocols, 1, &s, NULL, NULL));
	assert_true(p2p_stream_info(s, &info));
	OK(p2p_conn_binding(from->host, info.conn, binding, NULL));
	OK(membership_named(&m, name, key, NULL));
	memcpy(h.hash, m.hash, sizeof h.hash);
	membership_proof(&m, binding, prover, &to->node.id.peer_id, h.proof);
	OK(hello_send(s, &h, NULL));
	return s;
}

static enum answer_kind answer_of(struct stream *s)
{
	struct answer a;

	OK(answer_recv(s, &a, NULL));
	return a.kind;
}

/* A session that ends late does not take the proof of its successor along. */
static void late_end(struct net *n)
{
	struct member a;
	struct node raw;
	const struct peer_id *self = &raw.id.peer_id;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	node_new(n, "raw", &raw);
	struct multiaddr at = node_full_addr(&a.node);
	OK(p2p_dial(raw.host, NULL, &at, 1, NULL, NULL));
	struct stream *first = open_session(&raw, &a, "house", KEY_1, self);
	assert_int_equal(answer_of(first), ANSWER_OK);
	struct stream *second = open_session(&raw, &a, "house", KEY_1, self);
	assert_int_equal(answer_of(second), ANSWER_OK);
	assert_true(cluster_is_member(a.cluster, self));
	stream_reset(first, E_CANCELLED);
	stream_close(first);
	OK(fiber_sleep(duration_s(2)));
	assert_true(cluster_is_member(a.cluster, self));
	stream_reset(second, E_CANCELLED);
	stream_close(second);
	OK(fiber_sleep(duration_s(2)));
	assert_false(cluster_is_member(a.cluster, self));
	node_close(&raw);
	down(&a);
}

static void forged(struct net *n)
{
	struct member a;
	struct node raw;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	node_new(n, "raw", &raw);
	struct multiaddr at = node_full_addr(&a.node);
	OK(p2p_dial(raw.host, NULL, &at, 1, NULL, NULL));
	/* Right key, but the proof of another: a's own, reflected. */
	struct stream *s = open_session(&raw, &a, "house", KEY_1, &a.node.id.peer_id);
	assert_int_equal(answer_of(s), ANSWER_REFUSED);
	stream_close(s);
	s = open_session(&raw, &a, "house", KEY_2, &raw.id.peer_id);
	assert_int_equal(answer_of(s), ANSWER_REFUSED);
	stream_close(s);
	assert_false(cluster_is_member(a.cluster, &raw.id.peer_id));
	node_close(&raw);
	down(&a);
}

/* Garbage after a good beginning, and silence, end the session and nothing else. */
static void garbage(struct net *n)
{
	struct member a;
	struct node raw;
	char end;

	up(n, &a, "alpha", (struct how){.name = "house", .key = KEY_1});
	node_new(n, "raw", &raw);
	struct multiaddr at = node_full_addr(&a.node);
	OK(p2p_dial(raw.host, NULL, &at, 1, NULL, NULL));
	struct stream *s = open_session(&raw, &a, "house", KEY_1, &raw.id.peer_id);
	assert_int_equal(answer_of(s), ANSWER_OK);
	OK(stream_write(s, "\xff\xff\xff\xff{}", 6, NULL));
	assert_true(stream_read(s, &end, 1, NULL) <= 0);
	assert_false(cluster_is_member(a.cluster, &raw.id.peer_id));
	stream_close(s);
	s = open_session(&raw, &a, "house", KEY_1, &raw.id.peer_id);
	assert_int_equal(answer_of(s), ANSWER_OK);
	struct instant began = rt_now();
	assert_true(stream_read(s, &end, 1, NULL) <= 0); /* no heartbeat comes */
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 15000, 25000);
	assert_false(cluster_is_member(a.cluster, &raw.id.peer_id));
	stream_close(s);
	node_close(&raw);
	down(&a);
}

struct liar {
	struct answer answer;
	unsigned asked;
};

static void lie(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct liar *liar = arg;
	struct hello h;

	liar->asked++;
	if (hello_recv(s, &h, NULL) == 0 && answer_send(s, &liar->answer, NULL) == 0)
		(void)!stream_close_write(s, NULL);
	stream_close(s);
}

/* Answers that do not fit the question are neither believed nor asked for again in a hurry. */
static void liars(struct net *n)
{
	static const struct answer answers[] = {
	    {.kind = ANSWER_ADMITTED, .id = "trap"},
	    {.kind = ANSWER_ADMITTED, .id = "tr\x01p"},
	    {.kind = ANSWER_OK},
	};
	for (size_t i = 0; i < 3; i++) {
		struct member a, server = {.label = "liar"};
		struct liar liar = {.answer = answers[i]};
		char label[] = "alpha0";
		node_new(n, "liar", &server.node);
		OK(p2p_handle(server.node.host, MEMBER_PROTOCOL, lie, &liar, NULL));
		label[5] = (char)('0' + (int)i);
		up(n, &a, label,
		    i == 0 ? (struct how){.name = "house", .key = KEY_1, .through = &server}
			   : (struct how){.through = &server});
		OK(fiber_sleep(duration_s(20)));
		assert_string_equal(cluster_id(a.cluster), i == 0 ? "house" : "");
		assert_false(sees(&a, &server));
		assert_in_range(liar.asked, 2, 12);
		down(&a);
		node_close(&server.node);
	}
}

/* ---- the hash table -------------------------------------------------------------------------- */

/* Members who know nobody but a stranger find each other through it, and the stranger learns
 * nothing that would let it in. */
static void hash_table(struct net *n)
{
	struct member s, a, b, c;
	struct how in = {.name = "club", .key = KEY_1, .through = &s, .dht = true};

	up(n, &s, "stranger", (struct how){.name = "other", .key = KEY_2, .dht = true});
	up(n, &a, "alpha", in);
	up(n, &b, "beta", in);
	eventually(90, together(&a, &b));
	/* Upkeep of the table alone may have connected them; the search by the key follows. */
	eventually(
	    1300, row_of(&a, &b).sources & SOURCE_DHT && row_of(&b, &a).sources & SOURCE_DHT);
	assert_false(row_of(&a, &s).sources & SOURCE_DHT);
	assert_int_equal(row_of(&a, &s).state, PEER_FOREIGN);
	assert_int_equal(row_of(&s, &a).state, PEER_FOREIGN);
	/* A newcomer finds those who have settled. */
	up(n, &c, "gamma", in);
	eventually(90, together(&a, &c) && together(&b, &c));
	down(&c);
	down(&b);
	down(&a);
	down(&s);
}

/* ---- what is on disk ------------------------------------------------------------------------- */

static void damaged_files(struct net *n)
{
	struct member a;
	struct how how = {0};
	struct err err = {0};

	host_up(n, &a, "alpha", &how);
	OK(file_write(a.node.world, "/alpha/cluster.json", bytes_str("{\"id\":"), 0600, NULL));
	assert_int_equal(member_join(&a, &how, &err), E_FORMAT);
	assert_non_null(strstr(err.text, "/alpha/cluster.json is damaged"));
	OK(file_remove(a.node.world, "/alpha/cluster.json", NULL));
	OK(file_write(
	    a.node.world, "/alpha/peers.json", bytes_str("[{\"id\":7},[],\"x\""), 0600, NULL));
	OK(member_join(&a, &how, &err));
	assert_int_equal(net_logged(n, "/alpha/peers.json is unusable"), 1);
	down(&a);
}

static void itself(struct net *n)
{
	struct member a;
	struct how how = {.through = &a};
	struct err err = {0};

	host_up(n, &a, "alpha", &how);
	assert_int_equal(member_join(&a, &how, &err), E_INVALID);
	assert_non_null(strstr(err.text, "itself"));
	catalog_free(a.catalog);
	node_close(&a.node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(loopback), STORY(accepted), STORY(rejected),
	    STORY(auto_accept), STORY(not_just_anybody), STORY(same_key), STORY(wrong_key),
	    STORY(other_cluster), STORY(name_alone), STORY(exchange), STORY(moved),
	    STORY(hash_table), STORY(loss_and_return), STORY(models), STORY(late_end),
	    STORY(forged), STORY(garbage), STORY(liars), STORY(damaged_files), STORY(itself)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
