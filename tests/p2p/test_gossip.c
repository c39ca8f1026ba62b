/* The gossip router alone: meshes, messages, gossip. */
#include "gossip_rig.h"

#include <stdlib.h>

/* ---- meshes -------------------------------------------------------------------------------- */

static void test_greeting_and_joining(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_join(g, 0, 9);
	assert_int_equal(rig_total(g, GOSSIP_SUBSCRIBE), 0);
	rig_subscribe(g, NULL);
	assert_int_equal(rig_total(g, GOSSIP_SUBSCRIBE), 10);
	assert_int_equal(rig_total(g, GOSSIP_GRAFT), 6);
	assert_int_equal(rig_mesh_size(g), 6);
	rig_clear(g);
	rig_connect(g, 10, GOSSIP_MESHSUB_11, P2P_OUTBOUND);
	assert_int_equal(g->sent[10][GOSSIP_SUBSCRIBE], 1);

	gossip_router_unsubscribe(g->r, rig_topic(), g->now);
	rig_take(g);
	assert_int_equal(rig_total(g, GOSSIP_UNSUBSCRIBE), 11);
	assert_int_equal(rig_total(g, GOSSIP_PRUNE), 6);
	for (unsigned i = 0; i < 10; i++)
		assert_true(g->sent[i][GOSSIP_PRUNE] == 0 || g->backoff[i] == 10);
	assert_int_equal(rig_mesh_size(g), 0);
	rig_free(g);
}

static void test_the_mesh_keeps_its_size(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 30);
	rig_beat(g, 1);
	assert_int_equal(rig_mesh_size(g), 6);
	/* Inbound peers are accepted up to d_hi, outbound ones beyond. */
	for (unsigned i = 0; i < 25; i++)
		rig_graft(g, i);
	assert_int_equal(rig_mesh_size(g), 12);
	rig_connect(g, 35, GOSSIP_MESHSUB_11, P2P_OUTBOUND);
	rig_connect(g, 36, GOSSIP_MESHSUB_11, P2P_OUTBOUND);
	rig_say_subscribed(g, 35, true);
	rig_say_subscribed(g, 36, true);
	rig_graft(g, 35);
	rig_graft(g, 36);
	assert_int_equal(rig_mesh_size(g), 14);
	rig_clear(g);
	rig_beat(g, 1);
	assert_int_equal(rig_mesh_size(g), 6);
	assert_int_equal(rig_total(g, GOSSIP_PRUNE), 8);
	/* d_out of those that we dialled stay, whatever chance would have. */
	assert_true(rig_meshed(g, 35) && rig_meshed(g, 36));
	rig_free(g);
}

static void test_outbound_quota_is_filled(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 9);
	rig_beat(g, 1);
	assert_int_equal(rig_mesh_size(g), 6);
	for (unsigned i = 20; i < 23; i++) {
		rig_connect(g, i, GOSSIP_MESHSUB_10, P2P_OUTBOUND);
		rig_say_subscribed(g, i, true);
	}
	rig_beat(g, 1);
	assert_int_equal(rig_mesh_size(g), 8);
	assert_int_equal(rig_meshed(g, 20) + rig_meshed(g, 21) + rig_meshed(g, 22), 2);
	rig_free(g);
}

static void test_backoff(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 0);
	rig_beat(g, 1);
	assert_true(rig_meshed(g, 0));
	rig_prune(g, 0, 30);
	assert_false(rig_meshed(g, 0));
	rig_clear(g);
	rig_beat(g, 29);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 0);
	rig_beat(g, 3); /* the backoff, a grace, a heartbeat */
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 1);
	/* Without a number, as in v1.0, it is ours; a huge one is cut to an hour. */
	rig_prune(g, 0, 0);
	rig_clear(g);
	rig_beat(g, 59);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 0);
	rig_beat(g, 4);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 1);
	rig_prune(g, 0, UINT64_MAX);
	rig_clear(g);
	rig_beat(g, 3590);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 0);
	rig_beat(g, 13);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 1);
	rig_free(g);
}

static void test_early_grafts_are_punished(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen[1];

	rig_subscribe(g, NULL);
	rig_join(g, 0, 0);
	rig_graft(g, 0);
	gossip_router_unsubscribe(g->r, rig_topic(), g->now);
	rig_subscribe(g, NULL);
	rig_clear(g);
	rig_pass(g, 9500); /* the backoff of 10 s is not over, and the PRUNE is recent */
	rig_graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 1);
	assert_int_equal(g->backoff[0], 60);
	assert_false(rig_meshed(g, 0));
	rig_pass(g, 30000); /* extended to 60 s by that; no longer within graft_flood */
	rig_graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 2);
	for (unsigned i = 0; i < 6; i++)
		rig_graft(g, 0);
	/* 2 + 1 + 4 * 2 = 11 counted, 6 forgiven: -5 * 25; the last two were not heard any more. */
	assert_int_equal(gossip_router_peers(g->r, seen, 1), 1);
	assert_close(seen[0].behaviour_penalty, -125);
	assert_close(seen[0].score, -125);
	rig_clear(g);
	rig_graft(g, 0);
	assert_int_equal(rig_total(g, GOSSIP_PRUNE), 0);
	rig_free(g);
}

static void test_backoff_outlives_a_reconnect(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 0);
	rig_graft(g, 0);
	rig_prune(g, 0, 60);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	rig_beat(g, 5);
	rig_join(g, 0, 0);
	rig_clear(g);
	rig_graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 1);
	rig_beat(g, 30);
	assert_false(rig_meshed(g, 0));
	rig_free(g);
}

static void test_grafts_that_are_refused(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf rpc = BUF_INIT(1000);

	/* An unknown topic: no answer. */
	rig_join(g, 0, 3);
	rig_clear(g);
	rig_graft(g, 0);
	assert_int_equal(rig_total(g, GOSSIP_PRUNE), 0);
	/* A negative score: PRUNE without peers. */
	rig_subscribe(g, NULL);
	rig_beat(g, 1);
	gossip_router_set_app_score(g->r, &g->peers[1].peer_id, -1);
	rig_beat(g, 1);
	assert_false(rig_meshed(g, 1));
	rig_clear(g);
	rig_beat(g, 61);
	assert_int_equal(g->sent[1][GOSSIP_GRAFT], 0);
	rig_graft(g, 1);
	assert_int_equal(g->sent[1][GOSSIP_PRUNE], 1);
	assert_int_equal(g->px[1], 0);
	/* A floodsub peer has no control messages. */
	rig_connect(g, 10, GOSSIP_FLOODSUB, P2P_INBOUND);
	gossip_put_graft(&rpc, rig_topic());
	OK(rig_receive(g, 10, &rpc));
	assert_false(rig_meshed(g, 10));
	rig_free(g);
}

/* ---- messages ------------------------------------------------------------------------------ */

static void test_the_way_of_a_message(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 5);
	rig_connect(g, 10, GOSSIP_FLOODSUB, P2P_INBOUND);
	rig_say_subscribed(g, 10, true);
	rig_connect(g, 11, GOSSIP_FLOODSUB, P2P_INBOUND); /* not subscribed */
	rig_beat(g, 1);
	rig_clear(g);
	/* From peer 0, written by peer 1: neither gets it back. */
	uint64_t seqno = rig_message_from(g, 0, 1, 0);
	assert_int_equal(g->delivered, 1);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 5);
	assert_int_equal(g->sent[0][GOSSIP_PUBLISH] + g->sent[1][GOSSIP_PUBLISH], 0);
	assert_int_equal(g->sent[10][GOSSIP_PUBLISH], 1);
	/* Again, from others: known. */
	rig_message_from(g, 2, 1, seqno);
	rig_message_from(g, 10, 1, seqno);
	assert_int_equal(g->delivered, 1);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 5);
	/* Two minutes later it is forgotten. */
	rig_beat(g, 121);
	rig_message_from(g, 2, 1, seqno);
	assert_int_equal(g->delivered, 2);
	rig_free(g);
}

static void test_verdicts(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 5);
	rig_beat(g, 1);
	rig_clear(g);
	g->hold = true;
	rig_message_from(g, 0, 1, 50);
	assert_int_equal(g->delivered, 1);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 0);
	/* Peer 2 sends it as well while it is judged: it pays too, and would not get it back. */
	rig_message_from(g, 2, 1, 50);
	double before = rig_score(g, 2);
	gossip_router_verdict(g->r, &g->last, GOSSIP_REJECT, g->now);
	rig_take(g);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 0);
	assert_close(rig_score(g, 2) - before, -10);
	/* And so does whoever comes with it afterwards. */
	before = rig_score(g, 3);
	rig_message_from(g, 3, 1, 50);
	assert_close(rig_score(g, 3) - before, -10);

	rig_message_from(g, 4, 1, 51);
	before = rig_score(g, 4);
	gossip_router_verdict(g->r, &g->last, GOSSIP_IGNORE, g->now);
	rig_take(g);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 0);
	assert_close(rig_score(g, 4), before);

	rig_message_from(g, 4, 1, 52);
	rig_message_from(g, 5, 1, 52);
	gossip_router_verdict(g->r, &g->last, GOSSIP_ACCEPT, g->now);
	gossip_router_verdict(g->r, &g->last, GOSSIP_REJECT, g->now); /* too late */
	rig_take(g);
	assert_int_equal(g->sent[5][GOSSIP_PUBLISH] + g->sent[4][GOSSIP_PUBLISH], 0);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 3); /* the rest, without the author */
	rig_free(g);
}

static void test_forgeries(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 5);
	rig_beat(g, 1);
	rig_clear(g);
	double before = rig_score(g, 0);
	rig_forgery_from(g, 0, 1, 9);
	assert_int_equal(g->delivered, 0);
	assert_close(rig_score(g, 0) - before, -10);
	/* The true one is not shut out by it. */
	rig_message_from(g, 2, 1, 9);
	assert_int_equal(g->delivered, 1);
	/* P4 grows with the square; below the graylist threshold nothing is heard any more. */
	rig_forgery_from(g, 0, 1, 10);
	rig_forgery_from(g, 0, 1, 11);
	assert_close(rig_score(g, 0) - before, -90);
	assert_true(rig_score(g, 0) < g->opt.score.graylist_threshold);
	rig_message_from(g, 0, 1, 12);
	assert_int_equal(g->delivered, 1);
	rig_beat(g, 1);
	assert_false(rig_meshed(g, 0));
	rig_free(g);
}

static void test_own_messages(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf rpc = BUF_INIT(10000), raw = BUF_INIT(10000);
	uint8_t seqno[8] = {0, 0, 0, 0, 0, 0, 0, 101};
	uint8_t *large = calloc(1, GOSSIP_DATA_MAX + 1);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 19);
	rig_beat(g, 1);
	rig_clear(g);
	OK(gossip_router_publish(g->r, rig_topic(), bytes_str("mine"), g->now, NULL));
	rig_take(g);
	assert_int_equal(
	    rig_total(g, GOSSIP_PUBLISH), 20); /* flood publishing: not the mesh alone */
	assert_int_equal(g->delivered, 0);
	gossip_sign(&g->self, rig_topic(), bytes_str("mine"), seqno, &raw);
	gossip_put_message(&rpc, buf_view(&raw));
	buf_free(&raw);
	OK(rig_receive(g, 0, &rpc));
	assert_int_equal(g->delivered, 0);
	/* Not to those below the publish threshold. */
	gossip_router_set_app_score(g->r, &g->peers[3].peer_id, -61);
	rig_beat(g, 1);
	rig_clear(g);
	OK(gossip_router_publish(g->r, rig_topic(), bytes_str("mine"), g->now, NULL));
	rig_take(g);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 19);
	assert_int_equal(g->sent[3][GOSSIP_PUBLISH], 0);
	assert_int_equal(gossip_router_publish(
			     g->r, rig_topic(), bytes_of(large, GOSSIP_DATA_MAX + 1), g->now, NULL),
	    E_TOO_LARGE);
	OK(gossip_router_publish(
	    g->r, rig_topic(), bytes_of(large, GOSSIP_DATA_MAX), g->now, NULL));
	rig_clear(g);
	free(large);
	rig_free(g);
}

static void no_flood(struct gossip_router_options *opt)
{
	opt->params.flood_publish = false;
}

static void test_fanout(void **state)
{
	struct rig *g = rig_new(no_flood);

	rig_join(g, 0, 19);
	OK(gossip_router_publish(g->r, rig_topic(), bytes_str("one"), g->now, NULL));
	rig_take(g);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 6);
	unsigned first[20];
	for (unsigned i = 0; i < 20; i++)
		first[i] = g->sent[i][GOSSIP_PUBLISH];
	rig_clear(g);
	rig_beat(g, 1);
	assert_int_equal(rig_total(g, GOSSIP_IHAVE), 6); /* d_lazy others are told */
	rig_clear(g);
	OK(gossip_router_publish(g->r, rig_topic(), bytes_str("two"), g->now, NULL));
	rig_take(g);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(g->sent[i][GOSSIP_PUBLISH], first[i]); /* the same ones */
	/* They become the mesh, and messages go there. */
	rig_clear(g);
	rig_subscribe(g, NULL);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(g->sent[i][GOSSIP_GRAFT], first[i]);
	rig_free(g);
}

static void test_fanout_ends(void **state)
{
	struct rig *g = rig_new(no_flood);

	rig_join(g, 0, 2);
	OK(gossip_router_publish(g->r, rig_topic(), bytes_str("one"), g->now, NULL));
	rig_beat(g, 61);
	for (const struct gossip_link *l = gossip_topic_find(g->r, rig_topic())->links; l;
	     l = l->topic_next)
		assert_false(l->fanout);
	for (unsigned i = 0; i < 3; i++)
		gossip_router_disconnect(g->r, &g->peers[i].peer_id, g->now);
	rig_beat(g, 1);
	assert_null(gossip_topic_find(g->r, rig_topic())); /* nobody has to do with it any more */
	rig_free(g);
}

/* ---- gossip -------------------------------------------------------------------------------- */

static struct bytes *fake_ids(unsigned n, uint8_t tag, uint8_t (*bytes)[48])
{
	struct bytes *ids = calloc(n, sizeof *ids);

	for (unsigned i = 0; i < n; i++) {
		memset(bytes[i], tag, sizeof bytes[i]);
		put_u32be(bytes[i], i);
		ids[i] = bytes_of(bytes[i], sizeof bytes[i]);
	}
	return ids;
}

static void ihave(struct rig *g, unsigned from, unsigned n, uint8_t tag)
{
	uint8_t(*bytes)[48] = calloc(n, sizeof *bytes);
	struct bytes *ids = fake_ids(n, tag, bytes);
	struct buf rpc = BUF_INIT(1 << 20);

	gossip_put_ids(&rpc, GOSSIP_IHAVE, rig_topic(), ids, n);
	OK(rig_receive(g, from, &rpc));
	free(ids);
	free(bytes);
}

static void test_ihave_is_capped(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 1);
	rig_clear(g);
	ihave(g, 0, 6000, 1);
	assert_int_equal(g->ids[0], 5000);
	ihave(g, 0, 10, 2);
	assert_int_equal(g->ids[0], 5000);
	for (unsigned i = 0; i < 15; i++)
		ihave(g, 1, 1, (uint8_t)(10 + i));
	assert_int_equal(g->ids[1], 10); /* messages per heartbeat */
	rig_beat(g, 1);
	rig_clear(g);
	ihave(g, 1, 1, 99);
	assert_int_equal(g->ids[1], 1);
	/* Below the gossip threshold it is not asked. */
	gossip_router_set_app_score(g->r, &g->peers[1].peer_id, -41);
	ihave(g, 1, 1, 100);
	assert_int_equal(g->ids[1], 1);
	rig_free(g);
}

static void test_broken_promises(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen[2];

	rig_subscribe(g, NULL);
	rig_join(g, 0, 1);
	for (unsigned i = 0; i < 10; i++) {
		rig_beat(g, 1);
		ihave(g, 0, 3, (uint8_t)(1 + i));
	}
	rig_beat(g, 5);
	assert_int_equal(gossip_router_peers(g->r, seen, 2), 2);
	assert_true(seen[0].behaviour_penalty < -5);
	assert_true(seen[1].behaviour_penalty == 0);
	rig_free(g);
}

static void test_kept_promises(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen[2];

	rig_subscribe(g, NULL);
	rig_join(g, 0, 1);
	for (unsigned i = 1; i <= 20; i++) {
		struct buf rpc = BUF_INIT(1000);
		struct gossip_id id = {0};
		rig_beat(g, 1);
		memcpy(id.bytes, g->peers[1].peer_id.bytes, g->peers[1].peer_id.n);
		put_u64be(id.bytes + g->peers[1].peer_id.n, i);
		struct bytes wire = bytes_of(id.bytes, g->peers[1].peer_id.n + 8u);
		gossip_put_ids(&rpc, GOSSIP_IHAVE, rig_topic(), &wire, 1);
		rig_clear(g);
		OK(rig_receive(g, 0, &rpc));
		assert_true(bytes_equal(g->last_id[0], wire));
		rig_message_from(g, 0, 1, i);
	}
	rig_beat(g, 5);
	assert_int_equal(gossip_router_peers(g->r, seen, 2), 2);
	assert_true(seen[0].behaviour_penalty == 0 && seen[1].behaviour_penalty == 0);
	rig_free(g);
}

static void want(struct rig *g, unsigned from, struct bytes id)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_ids(&rpc, GOSSIP_IWANT, (struct bytes){0}, &id, 1);
	OK(rig_receive(g, from, &rpc));
}

static void test_gossip_and_iwant(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 29);
	rig_beat(g, 1);
	rig_message_from(g, 0, 0, 5);
	rig_clear(g);
	rig_beat(g, 1);
	/* 24 outside the mesh: a quarter of them, and at least d_lazy. */
	assert_int_equal(rig_total(g, GOSSIP_IHAVE), 6);
	unsigned told = 0;
	while (!g->sent[told][GOSSIP_IHAVE])
		told++;
	assert_false(rig_meshed(g, told));
	for (unsigned i = 0; i < 5; i++)
		want(g, told, g->last_id[told]);
	assert_int_equal(g->sent[told][GOSSIP_PUBLISH], 3);
	/* Another way to name it: by the author's key. */
	unsigned other = told + 1;
	want(g, other, bytes_of(g->last_id[told].p + 2, g->last_id[told].n - 2));
	assert_int_equal(g->sent[other][GOSSIP_PUBLISH], 1);
	want(g, other, bytes_str("no such message"));
	assert_int_equal(g->sent[other][GOSSIP_PUBLISH], 1);
	/* Three heartbeats of gossip, five of memory. */
	rig_clear(g);
	rig_beat(g, 2);
	assert_int_equal(rig_total(g, GOSSIP_IHAVE), 12);
	rig_clear(g);
	rig_beat(g, 1);
	assert_int_equal(rig_total(g, GOSSIP_IHAVE), 0);
	want(g, other, g->last_id[told]);
	assert_int_equal(g->sent[other][GOSSIP_PUBLISH], 1);
	rig_beat(g, 1);
	want(g, other, g->last_id[told]);
	assert_int_equal(g->sent[other][GOSSIP_PUBLISH], 1);
	rig_free(g);
}

static void test_ids_as_the_peer_writes_them(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf rpc = BUF_INIT(1000);
	uint8_t id[PEER_ID_MAX + 8];
	size_t n = g->peers[5].peer_id.n;

	rig_subscribe(g, NULL);
	rig_join(g, 0, 0);
	memcpy(id, g->peers[5].peer_id.bytes, n);
	put_u64be(id + n, 77);
	struct bytes key_form = bytes_of(id + 2, n + 8 - 2);
	gossip_put_ids(&rpc, GOSSIP_IHAVE, rig_topic(), &key_form, 1);
	rig_clear(g);
	OK(rig_receive(g, 0, &rpc));
	assert_true(bytes_equal(g->last_id[0], key_form)); /* asked for in its own words */
	rig_prune(g, 0, 60);
	rig_message_from(g, 0, 5, 77);
	rig_clear(g);
	rig_beat(g, 1);
	assert_int_equal(g->sent[0][GOSSIP_IHAVE], 1);
	assert_true(bytes_equal(g->last_id[0], key_form)); /* and told so */
	rig_free(g);
}

int run_gossip_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_greeting_and_joining),
	    cmocka_unit_test(test_the_mesh_keeps_its_size),
	    cmocka_unit_test(test_outbound_quota_is_filled),
	    cmocka_unit_test(test_backoff),
	    cmocka_unit_test(test_early_grafts_are_punished),
	    cmocka_unit_test(test_backoff_outlives_a_reconnect),
	    cmocka_unit_test(test_grafts_that_are_refused),
	    cmocka_unit_test(test_the_way_of_a_message),
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_forgeries),
	    cmocka_unit_test(test_own_messages),
	    cmocka_unit_test(test_fanout),
	    cmocka_unit_test(test_fanout_ends),
	    cmocka_unit_test(test_ihave_is_capped),
	    cmocka_unit_test(test_broken_promises),
	    cmocka_unit_test(test_kept_promises),
	    cmocka_unit_test(test_gossip_and_iwant),
	    cmocka_unit_test(test_ids_as_the_peer_writes_them),
	};

	return cmocka_run_group_tests_name("gossip", tests, NULL, NULL);
}
