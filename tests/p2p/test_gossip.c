/* The gossip router alone: one router, and peers whose every RPC is written by the test. */
#include "suites.h"

#include "p2p/gossip_priv.h"
#include "p2p/peer_record_priv.h"

#include <stdlib.h>

#define PEERS_MAX 40
#define TOPIC     "news"
#define OK(expr)  assert_int_equal((expr), 0)

struct rig {
	struct gossip_router *r;
	struct gossip_router_options opt;
	struct identity self, peers[PEERS_MAX];
	struct instant now;
	uint64_t seqno;
	/* since the last clear */
	unsigned sent[PEERS_MAX][GOSSIP_PRUNE + 1]; /* items of each kind sent to a peer */
	unsigned ids[PEERS_MAX];                    /* in IWANTs */
	uint64_t backoff[PEERS_MAX];
	unsigned px[PEERS_MAX];
	struct bytes last_id[PEERS_MAX];
	uint8_t last_id_bytes[PEERS_MAX][GOSSIP_ID_MAX];
	unsigned delivered, dialled;
	struct gossip_id last;
	enum gossip_verdict verdict;
	bool hold; /* verdicts are given by the test */
};

static struct bytes topic(void)
{
	return bytes_str(TOPIC);
}

static void numbered_identity(unsigned n, struct identity *out)
{
	uint8_t seed[ED25519_SEED_SIZE] = {(uint8_t)n, (uint8_t)(n >> 8), 0x5e};

	identity_from_seed(seed, out);
}

static struct rig *rig_new(void (*adjust)(struct gossip_router_options *opt))
{
	struct rig *g = calloc(1, sizeof *g);
	struct err err = {0};

	assert_non_null(g);
	numbered_identity(1000, &g->self);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		numbered_identity(i, &g->peers[i]);
	g->now = (struct instant){duration_s(1000).ns};
	g->opt = (struct gossip_router_options){
	    .identity = &g->self, .seed = 7, .first_seqno = 100, .peers_max = PEERS_MAX};
	gossip_params_default(&g->opt.params);
	gossip_score_params_default(&g->opt.score);
	if (adjust)
		adjust(&g->opt);
	if (gossip_router_new(&g->opt, g->now, &g->r, &err) != 0)
		fail_msg("no router: %s", err_text(&err));
	return g;
}

static void rig_free(struct rig *g)
{
	gossip_router_free(g->r);
	free(g);
}

static unsigned number_of(const struct rig *g, const struct peer_id *id)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (peer_id_equal(&g->peers[i].peer_id, id))
			return i;
	fail_msg("an RPC for nobody");
	return 0;
}

static void count_item(struct rig *g, unsigned to, const struct gossip_item *item)
{
	struct cursor c = cursor_of(item->body);
	struct bytes id, record;

	g->sent[to][item->kind]++;
	if (item->kind == GOSSIP_IHAVE || item->kind == GOSSIP_IWANT) {
		while (gossip_ids_next(&c, item->kind, &id)) {
			assert_in_range(id.n, 1, GOSSIP_ID_MAX);
			g->ids[to]++;
			memcpy(g->last_id_bytes[to], id.p, id.n);
			g->last_id[to] = bytes_of(g->last_id_bytes[to], id.n);
		}
	} else if (item->kind == GOSSIP_PRUNE) {
		g->backoff[to] = item->backoff;
		while (gossip_px_next(&c, &id, &record))
			g->px[to]++;
	} else if (item->kind == GOSSIP_PUBLISH) {
		OK(g->opt.verify ? 0 : gossip_verify(&item->msg, NULL));
	}
}

static void count_frame(struct rig *g, const struct gossip_out *out)
{
	struct bytes all = gossip_frame_bytes(out->frame);
	unsigned to = number_of(g, &out->peer);
	struct gossip_item item;
	uint64_t n;
	int used = varint_decode(all, &n), rc;

	assert_true(used > 0 && n + (uint64_t)used == all.n);
	struct bytes rpc = bytes_of(all.p + used, (size_t)n);
	OK(gossip_rpc_check(rpc, NULL));
	struct gossip_walk w = gossip_walk_of(rpc);
	while ((rc = gossip_walk_next(&w, &item, NULL)) > 0)
		count_item(g, to, &item);
	OK(rc);
}

static void take(struct rig *g)
{
	struct gossip_out out;

	while (gossip_router_next(g->r, &out)) {
		if (out.kind == GOSSIP_OUT_SEND)
			count_frame(g, &out);
		g->dialled += out.kind == GOSSIP_OUT_DIAL;
		if (out.kind == GOSSIP_OUT_DELIVER) {
			g->delivered++;
			g->last = out.id;
			if (!g->hold)
				gossip_router_verdict(g->r, &out.id, g->verdict, g->now);
		}
		gossip_out_free(&out);
	}
	gossip_router_check(g->r);
}

static void clear(struct rig *g)
{
	take(g);
	memset(g->sent, 0, sizeof g->sent);
	memset(g->ids, 0, sizeof g->ids);
	memset(g->px, 0, sizeof g->px);
	memset(g->backoff, 0, sizeof g->backoff);
	g->delivered = g->dialled = 0;
}

static unsigned total(const struct rig *g, enum gossip_item_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		n += g->sent[i][kind];
	return n;
}

static void pass(struct rig *g, int64_t ms)
{
	g->now = instant_add(g->now, duration_ms(ms));
}

/* Seconds with their heartbeats. */
static void beat(struct rig *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		pass(g, 1000);
		gossip_router_heartbeat(g->r, g->now);
		take(g);
	}
}

static int receive(struct rig *g, unsigned from, struct buf *rpc)
{
	int rc = gossip_router_receive(g->r, &g->peers[from].peer_id, buf_view(rpc), g->now, NULL);

	assert_false(rpc->failed);
	buf_free(rpc);
	take(g);
	return rc;
}

static void connect(struct rig *g, unsigned n, enum gossip_protocol protocol, enum p2p_direction d)
{
	struct gossip_connect c = {
	    .peer = g->peers[n].peer_id, .protocol = protocol, .direction = d};

	OK(gossip_router_connect(g->r, &c, g->now, NULL));
	take(g);
}

static void say_subscribed(struct rig *g, unsigned n, bool yes)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_subscription(&rpc, yes ? GOSSIP_SUBSCRIBE : GOSSIP_UNSUBSCRIBE, topic());
	OK(receive(g, n, &rpc));
}

/* Peers first..last, who subscribe to the topic; inbound. */
static void join(struct rig *g, unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++) {
		connect(g, i, GOSSIP_MESHSUB_11, P2P_INBOUND);
		say_subscribed(g, i, true);
	}
}

static void graft(struct rig *g, unsigned n)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_graft(&rpc, topic());
	OK(receive(g, n, &rpc));
}

static void prune(struct rig *g, unsigned n, uint64_t backoff)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_prune(&rpc, topic(), backoff, NULL, 0);
	OK(receive(g, n, &rpc));
}

static void message(
    struct rig *g, unsigned author, uint64_t seqno, const char *data, struct buf *raw)
{
	uint8_t number[GOSSIP_SEQNO_SIZE];

	put_u64be(number, seqno);
	gossip_sign(&g->peers[author], topic(), bytes_str(data), number, raw);
}

/* A message of `author` comes from `from`; its number. */
static uint64_t message_from(struct rig *g, unsigned from, unsigned author, uint64_t seqno)
{
	struct buf rpc = BUF_INIT(10000), raw = BUF_INIT(10000);

	if (seqno == 0)
		seqno = ++g->seqno;
	message(g, author, seqno, "something new", &raw);
	gossip_put_message(&rpc, buf_view(&raw));
	buf_free(&raw);
	OK(receive(g, from, &rpc));
	return seqno;
}

static void forgery_from(struct rig *g, unsigned from, unsigned author, uint64_t seqno)
{
	struct buf rpc = BUF_INIT(10000), raw = BUF_INIT(10000);

	message(g, author, seqno, "something new", &raw);
	raw.p[raw.n - 1] ^= 1;
	gossip_put_message(&rpc, buf_view(&raw));
	buf_free(&raw);
	OK(receive(g, from, &rpc));
}

static double score(const struct rig *g, unsigned n)
{
	return gossip_router_score(g->r, &g->peers[n].peer_id);
}

static bool meshed(const struct rig *g, unsigned n)
{
	return gossip_router_in_mesh(g->r, topic(), &g->peers[n].peer_id);
}

static size_t mesh_size(const struct rig *g)
{
	size_t mesh, all;

	gossip_router_topic_peers(g->r, topic(), &mesh, &all);
	return mesh;
}

static void subscribe(struct rig *g, const struct gossip_topic_params *params)
{
	OK(gossip_router_subscribe(g->r, topic(), params, g->now, NULL));
	take(g);
}

static void close_to(double a, double b)
{
	if (a < b - 1e-6 || a > b + 1e-6)
		fail_msg("%f is not %f", a, b);
}

/* ---- meshes -------------------------------------------------------------------------------- */

static void test_greeting_and_joining(void **state)
{
	struct rig *g = rig_new(NULL);

	join(g, 0, 9);
	assert_int_equal(total(g, GOSSIP_SUBSCRIBE), 0);
	subscribe(g, NULL);
	assert_int_equal(total(g, GOSSIP_SUBSCRIBE), 10);
	assert_int_equal(total(g, GOSSIP_GRAFT), 6);
	assert_int_equal(mesh_size(g), 6);
	clear(g);
	connect(g, 10, GOSSIP_MESHSUB_11, P2P_OUTBOUND);
	assert_int_equal(g->sent[10][GOSSIP_SUBSCRIBE], 1);

	gossip_router_unsubscribe(g->r, topic(), g->now);
	take(g);
	assert_int_equal(total(g, GOSSIP_UNSUBSCRIBE), 11);
	assert_int_equal(total(g, GOSSIP_PRUNE), 6);
	for (unsigned i = 0; i < 10; i++)
		assert_true(g->sent[i][GOSSIP_PRUNE] == 0 || g->backoff[i] == 10);
	assert_int_equal(mesh_size(g), 0);
	rig_free(g);
}

static void test_the_mesh_keeps_its_size(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 30);
	beat(g, 1);
	assert_int_equal(mesh_size(g), 6);
	/* Inbound peers are accepted up to d_hi, outbound ones beyond. */
	for (unsigned i = 0; i < 25; i++)
		graft(g, i);
	assert_int_equal(mesh_size(g), 12);
	connect(g, 35, GOSSIP_MESHSUB_11, P2P_OUTBOUND);
	connect(g, 36, GOSSIP_MESHSUB_11, P2P_OUTBOUND);
	say_subscribed(g, 35, true);
	say_subscribed(g, 36, true);
	graft(g, 35);
	graft(g, 36);
	assert_int_equal(mesh_size(g), 14);
	clear(g);
	beat(g, 1);
	assert_int_equal(mesh_size(g), 6);
	assert_int_equal(total(g, GOSSIP_PRUNE), 8);
	/* d_out of those that we dialled stay, whatever chance would have. */
	assert_true(meshed(g, 35) && meshed(g, 36));
	rig_free(g);
}

static void test_outbound_quota_is_filled(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 9);
	beat(g, 1);
	assert_int_equal(mesh_size(g), 6);
	for (unsigned i = 20; i < 23; i++) {
		connect(g, i, GOSSIP_MESHSUB_10, P2P_OUTBOUND);
		say_subscribed(g, i, true);
	}
	beat(g, 1);
	assert_int_equal(mesh_size(g), 8);
	assert_int_equal(meshed(g, 20) + meshed(g, 21) + meshed(g, 22), 2);
	rig_free(g);
}

static void test_backoff(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 0);
	beat(g, 1);
	assert_true(meshed(g, 0));
	prune(g, 0, 30);
	assert_false(meshed(g, 0));
	clear(g);
	beat(g, 29);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 0);
	beat(g, 3); /* the backoff, a grace, a heartbeat */
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 1);
	/* Without a number, as in v1.0, it is ours; a huge one is cut to an hour. */
	prune(g, 0, 0);
	clear(g);
	beat(g, 59);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 0);
	beat(g, 4);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 1);
	prune(g, 0, UINT64_MAX);
	clear(g);
	beat(g, 3590);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 0);
	beat(g, 13);
	assert_int_equal(g->sent[0][GOSSIP_GRAFT], 1);
	rig_free(g);
}

static void test_early_grafts_are_punished(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen[1];

	subscribe(g, NULL);
	join(g, 0, 0);
	graft(g, 0);
	gossip_router_unsubscribe(g->r, topic(), g->now);
	subscribe(g, NULL);
	clear(g);
	pass(g, 9500); /* the backoff of 10 s is not over, and the PRUNE is recent */
	graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 1);
	assert_int_equal(g->backoff[0], 60);
	assert_false(meshed(g, 0));
	pass(g, 30000); /* extended to 60 s by that; no longer within graft_flood */
	graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 2);
	for (unsigned i = 0; i < 6; i++)
		graft(g, 0);
	/* 2 + 1 + 4 * 2 = 11 counted, 6 forgiven: -5 * 25; the last two were not heard any more. */
	assert_int_equal(gossip_router_peers(g->r, seen, 1), 1);
	close_to(seen[0].behaviour_penalty, -125);
	close_to(seen[0].score, -125);
	clear(g);
	graft(g, 0);
	assert_int_equal(total(g, GOSSIP_PRUNE), 0);
	rig_free(g);
}

static void test_backoff_outlives_a_reconnect(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 0);
	graft(g, 0);
	prune(g, 0, 60);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	beat(g, 5);
	join(g, 0, 0);
	clear(g);
	graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 1);
	beat(g, 30);
	assert_false(meshed(g, 0));
	rig_free(g);
}

static void test_grafts_that_are_refused(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf rpc = BUF_INIT(1000);

	/* An unknown topic: no answer. */
	join(g, 0, 3);
	clear(g);
	graft(g, 0);
	assert_int_equal(total(g, GOSSIP_PRUNE), 0);
	/* A negative score: PRUNE without peers. */
	subscribe(g, NULL);
	beat(g, 1);
	gossip_router_set_app_score(g->r, &g->peers[1].peer_id, -1);
	beat(g, 1);
	assert_false(meshed(g, 1));
	clear(g);
	beat(g, 61);
	assert_int_equal(g->sent[1][GOSSIP_GRAFT], 0);
	graft(g, 1);
	assert_int_equal(g->sent[1][GOSSIP_PRUNE], 1);
	assert_int_equal(g->px[1], 0);
	/* A floodsub peer has no control messages. */
	connect(g, 10, GOSSIP_FLOODSUB, P2P_INBOUND);
	gossip_put_graft(&rpc, topic());
	OK(receive(g, 10, &rpc));
	assert_false(meshed(g, 10));
	rig_free(g);
}

/* ---- messages ------------------------------------------------------------------------------ */

static void test_the_way_of_a_message(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 5);
	connect(g, 10, GOSSIP_FLOODSUB, P2P_INBOUND);
	say_subscribed(g, 10, true);
	connect(g, 11, GOSSIP_FLOODSUB, P2P_INBOUND); /* not subscribed */
	beat(g, 1);
	clear(g);
	/* From peer 0, written by peer 1: neither gets it back. */
	uint64_t seqno = message_from(g, 0, 1, 0);
	assert_int_equal(g->delivered, 1);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 5);
	assert_int_equal(g->sent[0][GOSSIP_PUBLISH] + g->sent[1][GOSSIP_PUBLISH], 0);
	assert_int_equal(g->sent[10][GOSSIP_PUBLISH], 1);
	/* Again, from others: known. */
	message_from(g, 2, 1, seqno);
	message_from(g, 10, 1, seqno);
	assert_int_equal(g->delivered, 1);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 5);
	/* Two minutes later it is forgotten. */
	beat(g, 121);
	message_from(g, 2, 1, seqno);
	assert_int_equal(g->delivered, 2);
	rig_free(g);
}

static void test_verdicts(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 5);
	beat(g, 1);
	clear(g);
	g->hold = true;
	message_from(g, 0, 1, 50);
	assert_int_equal(g->delivered, 1);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 0);
	/* Peer 2 sends it as well while it is judged: it pays too, and would not get it back. */
	message_from(g, 2, 1, 50);
	double before = score(g, 2);
	gossip_router_verdict(g->r, &g->last, GOSSIP_REJECT, g->now);
	take(g);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 0);
	close_to(score(g, 2) - before, -10);
	/* And so does whoever comes with it afterwards. */
	before = score(g, 3);
	message_from(g, 3, 1, 50);
	close_to(score(g, 3) - before, -10);

	message_from(g, 4, 1, 51);
	before = score(g, 4);
	gossip_router_verdict(g->r, &g->last, GOSSIP_IGNORE, g->now);
	take(g);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 0);
	close_to(score(g, 4), before);

	message_from(g, 4, 1, 52);
	message_from(g, 5, 1, 52);
	gossip_router_verdict(g->r, &g->last, GOSSIP_ACCEPT, g->now);
	gossip_router_verdict(g->r, &g->last, GOSSIP_REJECT, g->now); /* too late */
	take(g);
	assert_int_equal(g->sent[5][GOSSIP_PUBLISH] + g->sent[4][GOSSIP_PUBLISH], 0);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 3); /* the rest, without the author */
	rig_free(g);
}

static void test_forgeries(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 5);
	beat(g, 1);
	clear(g);
	double before = score(g, 0);
	forgery_from(g, 0, 1, 9);
	assert_int_equal(g->delivered, 0);
	close_to(score(g, 0) - before, -10);
	/* The true one is not shut out by it. */
	message_from(g, 2, 1, 9);
	assert_int_equal(g->delivered, 1);
	/* P4 grows with the square; below the graylist threshold nothing is heard any more. */
	forgery_from(g, 0, 1, 10);
	forgery_from(g, 0, 1, 11);
	close_to(score(g, 0) - before, -90);
	assert_true(score(g, 0) < g->opt.score.graylist_threshold);
	message_from(g, 0, 1, 12);
	assert_int_equal(g->delivered, 1);
	beat(g, 1);
	assert_false(meshed(g, 0));
	rig_free(g);
}

static void test_own_messages(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf rpc = BUF_INIT(10000), raw = BUF_INIT(10000);
	uint8_t seqno[8] = {0, 0, 0, 0, 0, 0, 0, 101};
	uint8_t *large = calloc(1, GOSSIP_DATA_MAX + 1);

	subscribe(g, NULL);
	join(g, 0, 19);
	beat(g, 1);
	clear(g);
	OK(gossip_router_publish(g->r, topic(), bytes_str("mine"), g->now, NULL));
	take(g);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 20); /* flood publishing: not the mesh alone */
	assert_int_equal(g->delivered, 0);
	gossip_sign(&g->self, topic(), bytes_str("mine"), seqno, &raw);
	gossip_put_message(&rpc, buf_view(&raw));
	buf_free(&raw);
	OK(receive(g, 0, &rpc));
	assert_int_equal(g->delivered, 0);
	/* Not to those below the publish threshold. */
	gossip_router_set_app_score(g->r, &g->peers[3].peer_id, -61);
	beat(g, 1);
	clear(g);
	OK(gossip_router_publish(g->r, topic(), bytes_str("mine"), g->now, NULL));
	take(g);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 19);
	assert_int_equal(g->sent[3][GOSSIP_PUBLISH], 0);
	assert_int_equal(gossip_router_publish(
			     g->r, topic(), bytes_of(large, GOSSIP_DATA_MAX + 1), g->now, NULL),
	    E_TOO_LARGE);
	OK(gossip_router_publish(g->r, topic(), bytes_of(large, GOSSIP_DATA_MAX), g->now, NULL));
	clear(g);
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

	join(g, 0, 19);
	OK(gossip_router_publish(g->r, topic(), bytes_str("one"), g->now, NULL));
	take(g);
	assert_int_equal(total(g, GOSSIP_PUBLISH), 6);
	unsigned first[20];
	for (unsigned i = 0; i < 20; i++)
		first[i] = g->sent[i][GOSSIP_PUBLISH];
	clear(g);
	beat(g, 1);
	assert_int_equal(total(g, GOSSIP_IHAVE), 6); /* d_lazy others are told */
	clear(g);
	OK(gossip_router_publish(g->r, topic(), bytes_str("two"), g->now, NULL));
	take(g);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(g->sent[i][GOSSIP_PUBLISH], first[i]); /* the same ones */
	/* They become the mesh, and messages go there. */
	clear(g);
	subscribe(g, NULL);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(g->sent[i][GOSSIP_GRAFT], first[i]);
	rig_free(g);
}

static void test_fanout_ends(void **state)
{
	struct rig *g = rig_new(no_flood);

	join(g, 0, 2);
	OK(gossip_router_publish(g->r, topic(), bytes_str("one"), g->now, NULL));
	beat(g, 61);
	for (const struct gossip_link *l = gossip_topic_find(g->r, topic())->links; l;
	     l = l->topic_next)
		assert_false(l->fanout);
	for (unsigned i = 0; i < 3; i++)
		gossip_router_disconnect(g->r, &g->peers[i].peer_id, g->now);
	beat(g, 1);
	assert_null(gossip_topic_find(g->r, topic())); /* nobody has to do with it any more */
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

	gossip_put_ids(&rpc, GOSSIP_IHAVE, topic(), ids, n);
	OK(receive(g, from, &rpc));
	free(ids);
	free(bytes);
}

static void test_ihave_is_capped(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 1);
	clear(g);
	ihave(g, 0, 6000, 1);
	assert_int_equal(g->ids[0], 5000);
	ihave(g, 0, 10, 2);
	assert_int_equal(g->ids[0], 5000);
	for (unsigned i = 0; i < 15; i++)
		ihave(g, 1, 1, (uint8_t)(10 + i));
	assert_int_equal(g->ids[1], 10); /* messages per heartbeat */
	beat(g, 1);
	clear(g);
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

	subscribe(g, NULL);
	join(g, 0, 1);
	for (unsigned i = 0; i < 10; i++) {
		beat(g, 1);
		ihave(g, 0, 3, (uint8_t)(1 + i));
	}
	beat(g, 5);
	assert_int_equal(gossip_router_peers(g->r, seen, 2), 2);
	assert_true(seen[0].behaviour_penalty < -5);
	assert_true(seen[1].behaviour_penalty == 0);
	rig_free(g);
}

static void test_kept_promises(void **state)
{
	struct rig *g = rig_new(NULL);
	struct p2p_gossip_peer seen[2];

	subscribe(g, NULL);
	join(g, 0, 1);
	for (unsigned i = 1; i <= 20; i++) {
		struct buf rpc = BUF_INIT(1000);
		struct gossip_id id = {0};
		beat(g, 1);
		memcpy(id.bytes, g->peers[1].peer_id.bytes, g->peers[1].peer_id.n);
		put_u64be(id.bytes + g->peers[1].peer_id.n, i);
		struct bytes wire = bytes_of(id.bytes, g->peers[1].peer_id.n + 8u);
		gossip_put_ids(&rpc, GOSSIP_IHAVE, topic(), &wire, 1);
		clear(g);
		OK(receive(g, 0, &rpc));
		assert_true(bytes_equal(g->last_id[0], wire));
		message_from(g, 0, 1, i);
	}
	beat(g, 5);
	assert_int_equal(gossip_router_peers(g->r, seen, 2), 2);
	assert_true(seen[0].behaviour_penalty == 0 && seen[1].behaviour_penalty == 0);
	rig_free(g);
}

static void want(struct rig *g, unsigned from, struct bytes id)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_ids(&rpc, GOSSIP_IWANT, (struct bytes){0}, &id, 1);
	OK(receive(g, from, &rpc));
}

static void test_gossip_and_iwant(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 29);
	beat(g, 1);
	message_from(g, 0, 0, 5);
	clear(g);
	beat(g, 1);
	/* 24 outside the mesh: a quarter of them, and at least d_lazy. */
	assert_int_equal(total(g, GOSSIP_IHAVE), 6);
	unsigned told = 0;
	while (!g->sent[told][GOSSIP_IHAVE])
		told++;
	assert_false(meshed(g, told));
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
	clear(g);
	beat(g, 2);
	assert_int_equal(total(g, GOSSIP_IHAVE), 12);
	clear(g);
	beat(g, 1);
	assert_int_equal(total(g, GOSSIP_IHAVE), 0);
	want(g, other, g->last_id[told]);
	assert_int_equal(g->sent[other][GOSSIP_PUBLISH], 1);
	beat(g, 1);
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

	subscribe(g, NULL);
	join(g, 0, 0);
	memcpy(id, g->peers[5].peer_id.bytes, n);
	put_u64be(id + n, 77);
	struct bytes key_form = bytes_of(id + 2, n + 8 - 2);
	gossip_put_ids(&rpc, GOSSIP_IHAVE, topic(), &key_form, 1);
	clear(g);
	OK(receive(g, 0, &rpc));
	assert_true(bytes_equal(g->last_id[0], key_form)); /* asked for in its own words */
	prune(g, 0, 60);
	message_from(g, 0, 5, 77);
	clear(g);
	beat(g, 1);
	assert_int_equal(g->sent[0][GOSSIP_IHAVE], 1);
	assert_true(bytes_equal(g->last_id[0], key_form)); /* and told so */
	rig_free(g);
}

/* ---- peer exchange ------------------------------------------------------------------------- */

static void prune_with_px(struct rig *g, unsigned from, const struct gossip_px *px)
{
	struct buf rpc = BUF_INIT(10000);

	gossip_put_prune(&rpc, topic(), 60, px, 1);
	OK(receive(g, from, &rpc));
}

static void test_px_is_taken_from_the_good_with_proof(void **state)
{
	struct rig *g = rig_new(NULL);
	struct buf record = BUF_INIT(1000);
	struct multiaddr addr;

	OK(multiaddr_parse(bytes_str("/ip4/192.0.2.1/tcp/4001"), &addr, NULL));
	peer_record_seal(&g->peers[30], 1, &addr, 1, &record);
	struct gossip_px px = {peer_id_bytes(&g->peers[30].peer_id), buf_view(&record)};
	subscribe(g, NULL);
	join(g, 0, 1);
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

	subscribe(g, NULL);
	join(g, 0, 15);
	for (unsigned i = 10; i < 16; i++)
		gossip_router_set_app_score(g->r, &g->peers[i].peer_id, -1);
	for (unsigned i = 0; i < 10; i++)
		graft(g, i);
	clear(g);
	gossip_router_unsubscribe(g->r, topic(), g->now);
	take(g);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(g->px[i], 9); /* the good ones, without itself */
	rig_free(g);
}

/* ---- explicit peers ------------------------------------------------------------------------ */

static struct peer_id direct_id;

static void with_direct(struct gossip_router_options *opt)
{
	struct identity id;

	numbered_identity(0, &id);
	direct_id = id.peer_id;
	opt->direct = &direct_id;
	opt->n_direct = 1;
}

static void test_direct_peers(void **state)
{
	struct rig *g = rig_new(with_direct);

	subscribe(g, NULL);
	beat(g, 1);
	assert_int_equal(g->dialled, 1); /* it is not here */
	join(g, 0, 3);
	clear(g);
	beat(g, 300);
	assert_int_equal(g->dialled, 0);
	assert_false(meshed(g, 0));
	graft(g, 0);
	assert_int_equal(g->sent[0][GOSSIP_PRUNE], 1);
	message_from(g, 1, 1, 0);
	assert_int_equal(g->sent[0][GOSSIP_PUBLISH], 1); /* all the same */
	/* It is heard whatever its score. */
	gossip_router_set_app_score(g->r, &g->peers[0].peer_id, -1000);
	message_from(g, 0, 5, 0);
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
	subscribe(g, &p);
	join(g, 0, 0);
	graft(g, 0);
	close_to(score(g, 0), 0);
	beat(g, 4);
	close_to(score(g, 0), 2 * 4 * 0.01);
	message_from(g, 0, 1, 0);
	message_from(g, 0, 1, 0);
	close_to(score(g, 0), 2 * (4 * 0.01 + 2 * 0.5));
	beat(g, 1);
	close_to(score(g, 0), 2 * (5 * 0.01 + 1 * 0.5));
	beat(g, 20);
	close_to(score(g, 0), 2 * 10 * 0.01); /* capped; the rest has decayed to zero */
	for (unsigned i = 0; i < 100; i++)
		message_from(g, 0, 1, 0);
	close_to(score(g, 0), 2 * (10 * 0.01 + p.p2_cap * 0.5));
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
	subscribe(g, &p);
	join(g, 0, 1);
	graft(g, 0);
	graft(g, 1);
	message_from(g, 0, 5, 1);
	message_from(g, 1, 5, 1); /* at once: as good */
	message_from(g, 1, 5, 1); /* only once */
	message_from(g, 0, 5, 2);
	pass(g, 20);
	message_from(g, 1, 5, 2); /* outside the window */
	close_to(score(g, 1), 0);
	beat(g, 6);
	assert_in_range((int)(-1000 * score(g, 0)), 3990, 4010); /* (4 - 2)^2 */
	assert_in_range((int)(-1000 * score(g, 1)), 8990, 9010); /* (4 - 1)^2 */
	/* P3b: what was missing when it left stays with it. */
	prune(g, 1, 60);
	assert_in_range((int)(-1000 * score(g, 1)), 8990, 9010);
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
	connect(g, 20, GOSSIP_MESHSUB_11, P2P_INBOUND);
	take(g);
	for (unsigned i = 0; i < 12; i++)
		close_to(score(g, i), -5 * 4);
	close_to(score(g, 20), 0);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	gossip_router_disconnect(g->r, &g->peers[1].peer_id, g->now);
	close_to(score(g, 5), 0);
	rig_free(g);
}

static void test_scores_after_goodbye(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 2);
	forgery_from(g, 0, 5, 1);
	forgery_from(g, 0, 5, 2);
	message_from(g, 1, 5, 3);
	close_to(score(g, 0), -40);
	close_to(score(g, 1), 0.5);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	gossip_router_disconnect(g->r, &g->peers[1].peer_id, g->now);
	beat(g, 1000);
	join(g, 0, 1);
	close_to(score(g, 0), -40); /* time away heals nothing */
	close_to(score(g, 1), 0);   /* and nobody is greeted as an old friend */
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	beat(g, 3601);
	assert_int_equal(gossip_router_peers(g->r, NULL, 0), 2);
	rig_free(g);
}

static void test_room_for_peers(void **state)
{
	struct rig *g = rig_new(NULL);
	struct identity more;
	struct gossip_connect c = {.protocol = GOSSIP_MESHSUB_11};

	subscribe(g, NULL);
	join(g, 0, PEERS_MAX - 1);
	numbered_identity(5000, &more);
	c.peer = more.peer_id;
	assert_int_equal(gossip_router_connect(g->r, &c, g->now, NULL), E_LIMIT);
	forgery_from(g, 7, 5, 1);
	gossip_router_disconnect(g->r, &g->peers[7].peer_id, g->now);
	OK(gossip_router_connect(g->r, &c, g->now, NULL)); /* in the place of who has gone */
	gossip_router_check(g->r);
	rig_free(g);
}

static void test_opportunistic_grafting(void **state)
{
	struct rig *g = rig_new(NULL);

	subscribe(g, NULL);
	join(g, 0, 5);
	beat(g, 2);
	assert_int_equal(mesh_size(g), 6);
	join(g, 10, 15);
	for (unsigned i = 10; i < 16; i++)
		gossip_router_set_app_score(g->r, &g->peers[i].peer_id, 10);
	beat(g, 30);
	assert_int_equal(mesh_size(g), 6);
	beat(g, 30); /* each minute */
	assert_int_equal(mesh_size(g), 8);
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

	subscribe(g, NULL);
	join(g, 0, 0);
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

	connect(g, 0, GOSSIP_MESHSUB_11, P2P_INBOUND);
	for (unsigned i = 0; i < 1000; i++) {
		struct buf rpc = BUF_INIT(1000), name = BUF_INIT(100);
		buf_printf(&name, "topic %u", i);
		gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, buf_view(&name));
		buf_free(&name);
		OK(receive(g, 0, &rpc));
	}
	assert_int_equal(gossip_router_peers(g->r, &seen, 1), 1);
	assert_int_equal(seen.topics, GOSSIP_LINKS_MAX);
	assert_int_equal(g->r->n_topics, GOSSIP_LINKS_MAX);
	gossip_router_disconnect(g->r, &g->peers[0].peer_id, g->now);
	beat(g, 1);
	assert_int_equal(g->r->n_topics, 0);
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
	};

	return cmocka_run_group_tests_name("gossip", tests, NULL, NULL);
}
