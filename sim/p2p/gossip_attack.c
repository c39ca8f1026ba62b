/* What Byzantine nodes do: each kind with all its might, to everybody it is connected to. None of
 * them ever passes a message on. */
#include "sim/p2p/gossip_net.h"

#define SPAM_PER_BEAT   3
#define FLOODS_PER_BEAT 3
#define FLOOD_IDS       200
#define LIES_PER_BEAT   2
#define LIE_IDS         50

static struct bytes topic(void)
{
	return bytes_str(NET_TOPIC);
}

void attack_greet(struct net *n, unsigned node, struct net_link *link)
{
	struct buf rpc = BUF_INIT(1000);

	gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, topic());
	gossip_put_graft(&rpc, topic());
	net_send_raw(n, link, node, &rpc);
}

/* Ids are remembered, to be asked for again and again. */
void attack_receive(struct net *n, unsigned node, struct bytes rpc)
{
	struct net_node *a = &n->nodes[node];
	struct gossip_walk w = gossip_walk_of(rpc);
	struct gossip_item item;

	if (a->role != ROLE_IWANT)
		return;
	while (gossip_walk_next(&w, &item, NULL) > 0) {
		struct gossip_id *id = &a->recent[a->n_recent % NET_RECENT];
		if (item.kind != GOSSIP_PUBLISH || item.msg.from.n > PEER_ID_MAX ||
		    item.msg.seqno.n != GOSSIP_SEQNO_SIZE)
			continue;
		memcpy(id->bytes, item.msg.from.p, item.msg.from.n);
		memcpy(id->bytes + item.msg.from.n, item.msg.seqno.p, item.msg.seqno.n);
		id->n = (uint8_t)(item.msg.from.n + item.msg.seqno.n);
		a->n_recent++;
	}
}

/* In the name of somebody honest; the signature is zeros. */
static void put_forgery(struct net *n, struct net_node *a, struct buf *rpc)
{
	const struct identity *victim = &n->nodes[net_random(n) % n->opt.nodes].id;
	const uint8_t zeros[ED25519_SIGNATURE_SIZE] = {0};
	uint8_t seqno[GOSSIP_SEQNO_SIZE];
	struct buf raw = BUF_INIT(1000);

	put_u64be(seqno, 1 + a->spam++);
	pb_put_bytes(&raw, 1, peer_id_bytes(&victim->peer_id));
	pb_put_bytes(&raw, 2, bytes_of(zeros, 4));
	pb_put_bytes(&raw, 3, bytes_of(seqno, sizeof seqno));
	pb_put_bytes(&raw, 4, topic());
	pb_put_bytes(&raw, 5, bytes_of(zeros, sizeof zeros));
	gossip_put_message(rpc, buf_view(&raw));
	buf_free(&raw);
}

static void put_ids(
    struct net *n, struct net_node *a, enum gossip_item_kind kind, unsigned count, struct buf *rpc)
{
	uint8_t fake[FLOOD_IDS][48];
	struct bytes ids[FLOOD_IDS];
	unsigned known = a->n_recent < NET_RECENT ? a->n_recent : NET_RECENT;

	for (unsigned i = 0; i < count; i++) {
		if (kind == GOSSIP_IWANT && i < known) {
			ids[i] = bytes_of(a->recent[i].bytes, a->recent[i].n);
			continue;
		}
		for (size_t at = 0; at < sizeof fake[i]; at += 8)
			put_u64be(fake[i] + at, net_random(n));
		ids[i] = bytes_of(fake[i], sizeof fake[i]);
	}
	gossip_put_ids(rpc, kind, topic(), ids, count);
}

static void attack_one(struct net *n, unsigned node, struct net_link *link)
{
	struct net_node *a = &n->nodes[node];
	struct buf rpc = BUF_INIT(GOSSIP_RPC_MAX);

	switch (a->role) {
	case ROLE_HONEST:
		return;
	case ROLE_ECLIPSE:
		gossip_put_graft(&rpc, topic());
		break;
	case ROLE_SPAM:
		for (unsigned i = 0; i < SPAM_PER_BEAT; i++)
			put_forgery(n, a, &rpc);
		break;
	case ROLE_IWANT:
		for (unsigned i = 0; i < FLOODS_PER_BEAT; i++)
			put_ids(n, a, GOSSIP_IWANT, FLOOD_IDS, &rpc);
		break;
	case ROLE_CHURN:
		gossip_put_prune(&rpc, topic(), 1, NULL, 0);
		gossip_put_graft(&rpc, topic());
		break;
	case ROLE_IHAVE:
		for (unsigned i = 0; i < LIES_PER_BEAT; i++)
			put_ids(n, a, GOSSIP_IHAVE, LIE_IDS, &rpc);
		break;
	}
	net_send_raw(n, link, node, &rpc);
}

void attack_beat(struct net *n, unsigned node)
{
	struct net_node *a = &n->nodes[node];

	for (size_t i = 0; i < a->n_links; i++)
		if (a->links[i]->up && n->nodes[net_other(a->links[i], node)].role == ROLE_HONEST)
			attack_one(n, node, a->links[i]);
}
