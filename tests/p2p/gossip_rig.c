/* See gossip_rig.h. */
#include "gossip_rig.h"

#include <stdlib.h>

struct bytes rig_topic(void)
{
	return bytes_str(TOPIC);
}

void rig_numbered_identity(unsigned n, struct identity *out)
{
	uint8_t seed[ED25519_SEED_SIZE] = {(uint8_t)n, (uint8_t)(n >> 8), 0x5e};

	identity_from_seed(seed, out);
}

struct rig *rig_new(void (*adjust)(struct gossip_router_options *opt))
{
	struct rig *g = calloc(1, sizeof *g);
	struct err err = {0};

	assert_non_null(g);
	rig_numbered_identity(1000, &g->self);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		rig_numbered_identity(i, &g->peers[i]);
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

void rig_free(struct rig *g)
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
	if (item->kind == GOSSIP_IHAVE || item->kind == GOSSIP_IWANT ||
	    item->kind == GOSSIP_IDONTWANT) {
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

void rig_take(struct rig *g)
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

void rig_clear(struct rig *g)
{
	rig_take(g);
	memset(g->sent, 0, sizeof g->sent);
	memset(g->ids, 0, sizeof g->ids);
	memset(g->px, 0, sizeof g->px);
	memset(g->backoff, 0, sizeof g->backoff);
	g->delivered = g->dialled = 0;
}

unsigned rig_total(const struct rig *g, enum gossip_item_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		n += g->sent[i][kind];
	return n;
}

void rig_pass(struct rig *g, int64_t ms)
{
	g->now = instant_add(g->now, duration_ms(ms));
}

/* Seconds with their heartbeats. */
void rig_beat(struct rig *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		rig_pass(g, 1000);
		gossip_router_heartbeat(g->r, g->now);
		rig_take(g);
	}
}

int rig_receive(struct rig *g, unsigned from, struct buf *rpc)
{
	int rc = gossip_router_receive(g->r, &g->peers[from].peer_id, buf_view(rpc), g->now, NULL);

	assert_false(rpc->failed);
	buf_free(rpc);
	rig_take(g);
	return rc;
}

void rig_connect(struct rig *g, unsigned n, enum gossip_protocol protocol, enum p2p_direction d)
{
	struct gossip_connect c = {
	    .peer = g->peers[n].peer_id, .protocol = protocol, .direction = d};

	OK(gossip_router_connect(g->r, &c, g->now, NULL));
	rig_take(g);
}

void rig_say_subscribed(struct rig *g, unsigned n, bool yes)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_subscription(&rpc, yes ? GOSSIP_SUBSCRIBE : GOSSIP_UNSUBSCRIBE, rig_topic());
	OK(rig_receive(g, n, &rpc));
}

/* Peers first..last, who subscribe to the topic; inbound. */
void rig_join(struct rig *g, unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++) {
		rig_connect(g, i, GOSSIP_MESHSUB_11, P2P_INBOUND);
		rig_say_subscribed(g, i, true);
	}
}

void rig_graft(struct rig *g, unsigned n)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_graft(&rpc, rig_topic());
	OK(rig_receive(g, n, &rpc));
}

void rig_prune(struct rig *g, unsigned n, uint64_t backoff)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_prune(&rpc, rig_topic(), backoff, NULL, 0);
	OK(rig_receive(g, n, &rpc));
}

static void message(
    struct rig *g, unsigned author, uint64_t seqno, const char *data, struct buf *raw)
{
	uint8_t number[GOSSIP_SEQNO_SIZE];

	put_u64be(number, seqno);
	gossip_sign(&g->peers[author], rig_topic(), bytes_str(data), number, raw);
}

/* A message of `author` comes from `from`; its number. */
uint64_t rig_message_from(struct rig *g, unsigned from, unsigned author, uint64_t seqno)
{
	struct buf rpc = BUF_INIT(10000), raw = BUF_INIT(10000);

	if (seqno == 0)
		seqno = ++g->seqno;
	message(g, author, seqno, "something new", &raw);
	gossip_put_message(&rpc, buf_view(&raw));
	buf_free(&raw);
	OK(rig_receive(g, from, &rpc));
	return seqno;
}

void rig_forgery_from(struct rig *g, unsigned from, unsigned author, uint64_t seqno)
{
	struct buf rpc = BUF_INIT(10000), raw = BUF_INIT(10000);

	message(g, author, seqno, "something new", &raw);
	raw.p[raw.n - 1] ^= 1;
	gossip_put_message(&rpc, buf_view(&raw));
	buf_free(&raw);
	OK(rig_receive(g, from, &rpc));
}

double rig_score(const struct rig *g, unsigned n)
{
	return gossip_router_score(g->r, &g->peers[n].peer_id);
}

bool rig_meshed(const struct rig *g, unsigned n)
{
	return gossip_router_in_mesh(g->r, rig_topic(), &g->peers[n].peer_id);
}

size_t rig_mesh_size(const struct rig *g)
{
	size_t mesh, all;

	gossip_router_topic_peers(g->r, rig_topic(), &mesh, &all);
	return mesh;
}

void rig_subscribe(struct rig *g, const struct gossip_topic_params *params)
{
	OK(gossip_router_subscribe(g->r, rig_topic(), params, g->now, NULL));
	rig_take(g);
}

void assert_close(double a, double b)
{
	if (a < b - 1e-6 || a > b + 1e-6)
		fail_msg("%f is not %f", a, b);
}
