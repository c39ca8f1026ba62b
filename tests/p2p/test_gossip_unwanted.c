/* IDONTWANT in both directions: who is told, who is spared, for how long, and how much of it. */
#include "gossip_rig.h"

static void everything_is_large(struct gossip_router_options *opt)
{
	opt->params.idontwant_min = 1;
}

/* Peers 0 to 4 in the mesh; the last one speaks 1.1. */
static struct rig *meshed(void (*adjust)(struct gossip_router_options *opt))
{
	struct rig *g = rig_new(adjust);

	rig_subscribe(g, NULL);
	for (unsigned i = 0; i < 5; i++) {
		rig_connect(g, i, i < 4 ? GOSSIP_MESHSUB_12 : GOSSIP_MESHSUB_11, P2P_INBOUND);
		rig_say_subscribed(g, i, true);
	}
	rig_beat(g, 1);
	for (unsigned i = 0; i < 5; i++)
		assert_true(rig_meshed(g, i));
	rig_clear(g);
	return g;
}

/* The id of the author's message with that number. */
static struct bytes id_of(
    const struct rig *g, unsigned author, uint64_t seqno, struct gossip_id *id)
{
	const struct peer_id *from = &g->peers[author].peer_id;

	memcpy(id->bytes, from->bytes, from->n);
	put_u64be(id->bytes + from->n, seqno);
	id->n = (uint8_t)(from->n + GOSSIP_SEQNO_SIZE);
	return bytes_of(id->bytes, id->n);
}

/* `from` does not want the author's messages first to first + n - 1. */
static void refuse(struct rig *g, unsigned from, unsigned author, uint64_t first, unsigned n)
{
	struct buf rpc = BUF_INIT(1 << 20);
	struct gossip_id *ids = calloc(n, sizeof *ids);
	struct bytes *views = calloc(n, sizeof *views);

	for (unsigned i = 0; i < n; i++)
		views[i] = id_of(g, author, first + i, &ids[i]);
	gossip_put_ids(&rpc, GOSSIP_IDONTWANT, (struct bytes){0}, views, n);
	OK(rig_receive(g, from, &rpc));
	free(ids);
	free(views);
}

static void test_the_mesh_is_told(void **state)
{
	struct rig *g = meshed(everything_is_large);
	struct gossip_id id;

	g->hold = true;
	uint64_t seqno = rig_message_from(g, 0, 10, 0);
	/* Before the verdict: all but the sender and who would not understand. */
	assert_int_equal(g->sent[0][GOSSIP_IDONTWANT] + g->sent[4][GOSSIP_IDONTWANT], 0);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(g->sent[i][GOSSIP_IDONTWANT], 1);
		assert_true(bytes_equal(g->last_id[i], id_of(g, 10, seqno, &id)));
	}
	/* Once. */
	rig_message_from(g, 1, 10, seqno);
	assert_int_equal(rig_total(g, GOSSIP_IDONTWANT), 3);
	rig_free(g);
}

static void test_small_and_forged_ones_are_not_told(void **state)
{
	struct rig *g = meshed(NULL);

	rig_message_from(g, 0, 10, 0);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 4);
	assert_int_equal(rig_total(g, GOSSIP_IDONTWANT), 0);
	rig_free(g);
	g = meshed(everything_is_large);
	rig_forgery_from(g, 0, 10, 7);
	assert_int_equal(rig_total(g, GOSSIP_IDONTWANT), 0);
	rig_free(g);
}

static void test_who_refuses_is_spared(void **state)
{
	struct rig *g = meshed(NULL);

	refuse(g, 1, 10, 7, 1);
	refuse(g, 4, 10, 7, 1); /* of version 1.1: not heard */
	rig_message_from(g, 0, 10, 7);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 0);
	assert_int_equal(rig_total(g, GOSSIP_PUBLISH), 3);
	/* That message alone. */
	rig_message_from(g, 0, 10, 8);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 1);
	/* Too late is too late, and does no harm. */
	refuse(g, 1, 10, 8, 1);
	/* What it asks for it gets. */
	struct buf rpc = BUF_INIT(1000);
	struct gossip_id id;
	struct bytes view = id_of(g, 10, 7, &id);
	gossip_put_ids(&rpc, GOSSIP_IWANT, (struct bytes){0}, &view, 1);
	OK(rig_receive(g, 1, &rpc));
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 2);
	rig_free(g);
}

static void test_it_does_not_last(void **state)
{
	struct rig *g = meshed(NULL);

	refuse(g, 1, 10, 100, 2);
	rig_beat(g, GOSSIP_UNWANTED_TICKS - 1);
	rig_message_from(g, 0, 10, 100);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 0);
	rig_beat(g, 1);
	rig_message_from(g, 0, 10, 101);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 1);
	rig_free(g);
}

static void test_a_flood_is_cut_off(void **state)
{
	struct rig *g = meshed(NULL);

	refuse(g, 1, 10, 1000, GOSSIP_UNWANTED_MAX + 1);
	rig_message_from(g, 0, 10, 1000);
	rig_message_from(g, 0, 10, 1000 + GOSSIP_UNWANTED_MAX - 1);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 0);
	rig_message_from(g, 0, 10, 1000 + GOSSIP_UNWANTED_MAX);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 1);
	/* The next heartbeat it may again; then its oldest make room. */
	rig_beat(g, 1);
	rig_clear(g);
	refuse(g, 1, 11, 1, 1);
	rig_message_from(g, 0, 11, 1);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 0);
	rig_free(g);
}

static void test_nothing_stays_of_who_leaves(void **state)
{
	struct rig *g = meshed(NULL);

	refuse(g, 1, 10, 7, 1);
	gossip_router_disconnect(g->r, &g->peers[1].peer_id, g->now);
	assert_null(gossip_peer_find(g->r, &g->peers[1].peer_id)->unwanted);
	rig_connect(g, 1, GOSSIP_MESHSUB_12, P2P_INBOUND);
	rig_say_subscribed(g, 1, true);
	rig_beat(g, 1);
	rig_graft(g, 1);
	assert_true(rig_meshed(g, 1));
	rig_message_from(g, 0, 10, 7);
	assert_int_equal(g->sent[1][GOSSIP_PUBLISH], 1);
	rig_free(g);
}

int run_gossip_unwanted_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_mesh_is_told),
	    cmocka_unit_test(test_small_and_forged_ones_are_not_told),
	    cmocka_unit_test(test_who_refuses_is_spared),
	    cmocka_unit_test(test_it_does_not_last),
	    cmocka_unit_test(test_a_flood_is_cut_off),
	    cmocka_unit_test(test_nothing_stays_of_who_leaves),
	};

	return cmocka_run_group_tests_name("gossip unwanted", tests, NULL, NULL);
}
