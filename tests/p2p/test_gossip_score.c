/* The gossip router alone: peer exchange, explicit peers, scores, hostile peers. */
#include "gossip_rig.h"

#include "p2p/peer_record_priv.h"

#include <stdlib.h>

/* ---- peer exchange ------------------------------------------------------------------------- */

static void prune_with_px(struct rig *g, unsigned from, const struct gossip_px *px)
{
	struct buf rpc = BUF_INIT(10000);

	gossip_put_prune(&rpc, rig_topic(), 60, px, 1);
	OK(rig_receive(g, from, &rpc));
}

static void test_px_is_taken_from_the_good_with_proof(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf record = BUF_INIT(1000);
	struct multiaddr addr;

	OK(multiaddr_parse(bytes_str("/ip4/192.0.2.1/tcp/4001"), &addr, NULL));
	peer_record_seal(&g->peers[30], 1, &addr, 1, &record);
	struct gossip_px px = {peer_id_bytes(&g->peers[30].peer_id), buf_view(&record)};
	rig_subscribe(g, NULL);
	rig_join(g, 0, 1);
	prune_with_px(g, 0, &px);
	assert_int_equal(g->dialled, 0); /* its score is too low */
	gossip_router_set_app_score(g->r, &g->peers[0].peer_id, 5);
	prune_with_px(g, 0, &px);
	assert_int_equal(g->dialled, 1);
	px.peer = peer_id_bytes(&g->peers[31].peer_id); /* a record of somebody else */
	prune_with_px(g, 0, &px);
	px.peer = peer_id_bytes(&g->peers[30].peer_id);
	record.p[record.n - 1] ^= 1; /* a bad signature */
	prune_with_px(g, 0, &px);
	px.record = (struct bytes){0};
	prune_with_px(g, 0, &px);
	assert_int_equal(g->dialled, 1);
	record.p[record.n - 1] ^= 1;
	px.record = buf_view(&record);
	for (unsigned i = 0; i < 20; i++)
		prune_with_px(g, 0, &px);
	assert_int_equal(g->dialled, GOSSIP_DIALS_MAX);
	buf_free(&record);
	rig_free(g);
}

static void test_px_is_given_of_the_good(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 15);
	for (unsigned i = 10; i < 16; i++)
		gossip_router_set_app_score(g->r, &g->peers[i].peer_id, -1);
	for (unsigned i = 0; i < 10; i++)
		rig_graft(g, i);
	rig_clear(g);
	gossip_router_unsubscribe(g->r, rig_topic(), g->now);
	rig_take(g);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(g->px[i], 9); /* the good ones, without itself */
	rig_free(g);
}

/* ---- explicit peers ------------------------------------------------------------------------ */

static struct peer_id direct_id;

static void with_direct(struct gossip_router_options *opt)
{
	struct identity id;

	rig_numbered_identity(0, &id);
	direct_id = id.peer_id;
	opt->direct = &direct_id;
	opt->n_direct = 1;
}

static void test_direct_peers(void **state)
{
	struct rig *g = rig_new(with_direct);

	rig_subscribe(g, NULL);
	rig_beat(g, 1);
	assert_int_equal(g->dialled, 1); /* it is not here */
	rig_join(g, 0, 3);
	rig_clear(g);
	rig_beat(g, 300);
	assert_int_equal(g->dialled, 0);
	assert_false(rig_meshed(g, 0));
	rig_graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 1);
	rig_message_from(g, 1, 1, 0);
	assert_int_equal(g->sent[0][GOSSIP_PUBLISH], 1); /* all the same */
	/* It is heard whatever its score. */
	gossip_router_set_app_score(g->r, &g->peers[0].peer_id, -1000);
	rig_message_from(g, 0, 5, 0);
	assert_int_equal(g->delivered, 2);
	rig_free(g);
}

/* ---- scores -------------------------------------------------------------------------------- */

static void test_p1_p2(void **state)
{
	struct rig *g = rig_new(NULL);
	struct gossip_topic_params p;

	gossip_topic_params_default(&p);
	p.topic_weight = 2;
	p.p1_cap = 10;
	p.p2_decay = 0.5;
	rig_subscribe(g, &p);
	rig_join(g, 0, 0);
	rig_graft(g, 0);
	assert_close(rig_score(g, 0), 0);
	rig_beat(g, 4);
	assert_close(rig_score(g, 0), 2 * 4 * 0.01);
	rig_message_from(g, 0, 1, 0);
	rig_message_from(g, 0, 1, 0);
	assert_close(rig_score(g, 0), 2 * (4 * 0.01 + 2 * 0.5));
	rig_beat(g, 1);
	assert_close(rig_score(g, 0), 2 * (5 * 0.01 + 1 * 0.5));
	rig_beat(g, 20);
	assert_close(rig_score(g, 0), 2 * 10 * 0.01); /* capped; the rest has decayed to zero */
	for (unsigned i = 0; i < 100; i++)
		rig_message_from(g, 0, 1, 0);
	assert_close(rig_score(g, 0), 2 * (10 * 0.01 + p.p2_cap * 0.5));
	rig_free(g);
}

static void test_p3(void **state)
{
	struct rig *g = rig_new(NULL);
	struct gossip_topic_params p;

	gossip_topic_params_default(&p);
	p.p1_weight = p.p2_weight = 0;
	p.p3_weight = p.p3b_weight = -1;
	p.p3_decay = p.p3b_decay = 0.999999;
	p.p3_activation = duration_s(5);
	rig_subscribe(g, &p);
	rig_join(g, 0, 1);
	rig_graft(g, 0);
	rig_graft(g, 1);
	rig_message_from(g, 0, 5, 1);
	rig_message_from(g, 1, 5, 1); /* at once: as good */
	rig_message_from(g, 1, 5, 1); /* only once */
	rig_message_from(g, 0, 5, 2);
	rig_pass(g, 20);
	rig_message_from(g, 1, 5, 2); /* outside the window */
	assert_close(rig_score(g, 1), 0);
	rig_beat(g, 6);
	assert_in_range((int)(-1000 * rig_score(g, 0)), 3990, 4010); /* (4 - 2)^2 */
	assert_in_range((int)(-1000 * rig_score(g, 1)), 8990, 9010); /* (4 - 1)^2 */
	/* P3b: what was missing when it left stays with it. */
	rig_prune(g, 1, 60);
	assert_in_range((int)(-1000 * rig_score(g, 1)), 8990, 9010);
	rig_free(g);
}

static void test_p6(void **state)
{
	struct rig *g = rig_new(NULL);
	const uint8_t ip[4] = {192, 0, 2, 1};

	for (unsigned i = 0; i < 12; i++) {
		struct gossip_connect c = {.peer = g->peers[i].peer_id,
		    .protocol = GOSSIP_MESHSUB_11,
		    .ip = bytes_of(ip, 4)};
		OK(gossip_router_connect(g->r, &c, g->now, NULL));
		assert_int_equal(gossip_router_connect(g->r, &c, g->now, NULL), E_EXISTS);
	}
	rig_connect(g, 20, GOSSIP_MESHSUB_11, P2P_INBOUND);
	rig_take(g);
	for (unsigned i = 0; i < 12; i++)
		assert_close(rig_score(g, i), -5 * 4);
	assert_close(rig_score(g, 20), 0);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	gossip_router_disconnect(g->r, &g->peers[1].peer_id, g->now);
	assert_close(rig_score(g, 5), 0);
	rig_free(g);
}

static void test_scores_after_goodbye(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 2);
	rig_forgery_from(g, 0, 5, 1);
	rig_forgery_from(g, 0, 5, 2);
	rig_message_from(g, 1, 5, 3);
	assert_close(rig_score(g, 0), -40);
	assert_close(rig_score(g, 1), 0.5);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	gossip_router_disconnect(g->r, &g->peers[1].peer_id, g->now);
	rig_beat(g, 1000);
	rig_join(g, 0, 1);
	assert_close(rig_score(g, 0), -40); /* time away heals nothing */
	assert_close(rig_score(g, 1), 0);   /* and nobody is greeted as an old friend */
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	rig_beat(g, 3601);
	assert_int_equal(gossip_router_peers(g->r, NULL, 0), 2);
	rig_free(g);
}

static void test_room_for_peers(void **state)
{
	struct rig *g = rig_new(NULL);
	struct identity more;
	struct gossip_connect c = {.protocol = GOSSIP_MESHSUB_11};

	rig_subscribe(g, NULL);
	rig_join(g, 0, PEERS_MAX - 1);
	rig_numbered_identity(5000, &more);
	c.peer = more.peer_id;
	assert_int_equal(gossip_router_connect(g->r, &c, g->now, NULL), E_LIMIT);
	rig_forgery_from(g, 7, 5, 1);
	gossip_router_disconnect(g->r, &g->peers[7].peer_id, g->now);
	OK(gossip_router_connect(g->r, &c, g->now, NULL)); /* in the place of who has gone */
	gossip_router_check(g->r);
	rig_free(g);
}

static void test_opportunistic_grafting(void **state)
{
	struct rig *g = rig_new(NULL);

	rig_subscribe(g, NULL);
	rig_join(g, 0, 5);
	rig_beat(g, 2);
	assert_int_equal(rig_mesh_size(g), 6);
	rig_join(g, 10, 15);
	for (unsigned i = 10; i < 16; i++)
		gossip_router_set_app_score(g->r, &g->peers[i].peer_id, 10);
	rig_beat(g, 30);
	assert_int_equal(rig_mesh_size(g), 6);
	rig_beat(g, 30); /* each minute */
	assert_int_equal(rig_mesh_size(g), 8);
	rig_free(g);
}

static void test_parameters_are_checked(void **state)
{
	struct gossip_params p;
	struct gossip_score_params s;
	struct gossip_topic_params t;
	struct err err;

	gossip_params_default(&p);
	OK(gossip_params_check(&p, NULL));
	p.d_out = 4; /* not below d_lo */
	assert_int_equal(gossip_params_check(&p, &err), E_INVALID);
	assert_non_null(strstr(err.text, "d_out"));
	gossip_score_params_default(&s);
	OK(gossip_score_params_check(&s, NULL));
	s.publish_threshold = -100; /* below the graylist's */
	assert_int_equal(gossip_score_params_check(&s, NULL), E_INVALID);
	gossip_topic_params_default(&t);
	OK(gossip_topic_params_check(&t, NULL));
	t.p4_weight = 1;
	assert_int_equal(gossip_topic_params_check(&t, NULL), E_INVALID);
}

/* ---- hostile RPCs -------------------------------------------------------------------------- */

static void test_malformed_rpcs(void **state)
{
	struct rig *g = rig_new(NULL);
	const struct {
		const char *hex;
	} bad[] = {{"0a7f00"}, {"ff"}, {"1a020a05"}, {"1a04220212ff"}, {"12030a0500"}};

	rig_subscribe(g, NULL);
	rig_join(g, 0, 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct bytes rpc = unhex(0, bad[i].hex);
		assert_int_equal(
		    gossip_router_receive(g->r, &g->peers[0].peer_id, rpc, g->now, NULL),
		    E_PROTOCOL);
	}
	assert_int_equal(
	    gossip_router_receive(g->r, &g->peers[9].peer_id, (struct bytes){0}, g->now, NULL),
	    E_NOT_FOUND);
	rig_free(g);
}

static void test_topics_of_a_peer_are_limited(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen;

	rig_connect(g, 0, GOSSIP_MESHSUB_11, P2P_INBOUND);
	for (unsigned i = 0; i < 1000; i++) {
		struct buf rpc = BUF_INIT(1000), name = BUF_INIT(100);
		buf_printf(&name, "topic %u", i);
		gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, buf_view(&name));
		buf_free(&name);
		OK(rig_receive(g, 0, &rpc));
	}
	assert_int_equal(gossip_router_peers(g->r, &seen, 1), 1);
	assert_int_equal(seen.topics, GOSSIP_LINKS_MAX);
	assert_int_equal(g->r->n_topics, GOSSIP_LINKS_MAX);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	rig_beat(g, 1);
	assert_int_equal(g->r->n_topics, 0);
	rig_free(g);
}

static void say_topic(struct rig *g, unsigned peer, const char *format, unsigned i)
{
	struct buf rpc = BUF_INIT(1000), name = BUF_INIT(100);

	buf_printf(&name, format, peer, i);
	gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, buf_view(&name));
	buf_free(&name);
	OK(rig_receive(g, peer, &rpc));
}

/* However many peers bring topics: the next peer's and our own find a place. */
static void test_the_table_of_topics_is_shared(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen[12];
	char name[32];

	for (unsigned p = 0; p < 11; p++)
		rig_connect(g, p, GOSSIP_MESHSUB_11, P2P_INBOUND);
	for (unsigned i = 0; i < GOSSIP_LINKS_MAX; i++)
		for (unsigned p = 0; p < 10; p++)
			say_topic(g, p, "topic %u of %u", i);
	assert_true(g->r->n_topics < GOSSIP_PEER_TOPICS);
	for (unsigned i = 0; i < 100; i++)
		say_topic(g, 10, "topic %u of %u", i);
	assert_int_equal(gossip_router_peers(g->r, seen, 12), 11);
	for (unsigned p = 0; p < 11; p++)
		if (peer_id_equal(&seen[p].id, &g->peers[10].peer_id))
			assert_int_equal(seen[p].topics, 100);
	for (unsigned i = 0; i < GOSSIP_TOPICS_MAX; i++) {
		(void)snprintf(name, sizeof name, "own %u", i);
		OK(gossip_router_subscribe(g->r, bytes_str(name), NULL, g->now, NULL));
	}
	rig_take(g);
	rig_free(g);
}

/* Topics of ours that we left and that peers keep alive make way for new ones. */
static void test_own_topics_always_find_a_place(void **state)
{
	struct rig *g = rig_new(NULL);
	char name[32];

	for (unsigned p = 0; p < 10; p++)
		rig_connect(g, p, GOSSIP_MESHSUB_11, P2P_INBOUND);
	for (unsigned i = 0; i < GOSSIP_KNOWN_TOPICS + 500; i++) {
		(void)snprintf(name, sizeof name, "own %u %u", i / 450 % 10, i);
		OK(gossip_router_subscribe(g->r, bytes_str(name), NULL, g->now, NULL));
		say_topic(g, i / 450 % 10, "own %u %u", i);
		gossip_router_unsubscribe(g->r, bytes_str(name), g->now);
		rig_take(g);
	}
	assert_int_equal(g->r->n_topics, GOSSIP_KNOWN_TOPICS);
	rig_free(g);
}

int run_gossip_score_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_px_is_taken_from_the_good_with_proof),
	    cmocka_unit_test(test_px_is_given_of_the_good),
	    cmocka_unit_test(test_direct_peers),
	    cmocka_unit_test(test_p1_p2),
	    cmocka_unit_test(test_p3),
	    cmocka_unit_test(test_p6),
	    cmocka_unit_test(test_scores_after_goodbye),
	    cmocka_unit_test(test_room_for_peers),
	    cmocka_unit_test(test_opportunistic_grafting),
	    cmocka_unit_test(test_parameters_are_checked),
	    cmocka_unit_test(test_malformed_rpcs),
	    cmocka_unit_test(test_topics_of_a_peer_are_limited),
	    cmocka_unit_test(test_the_table_of_topics_is_shared),
	    cmocka_unit_test(test_own_topics_always_find_a_place),
	};

	return cmocka_run_group_tests_name("gossip scores", tests, NULL, NULL);
}
