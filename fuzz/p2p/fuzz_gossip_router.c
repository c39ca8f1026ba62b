/* The gossip router against everybody at once. The input is a sequence of steps: peers come and go
 * and send RPCs, built from the input or raw; the application subscribes, publishes and judges
 * late; time passes. After each step the tables must agree (gossip_router_check), and what the
 * router sends must be well formed, to somebody who is there, no message to its author or once more
 * to who sent it first, and no GRAFT before the backoff that the peer asked for. */
#include "p2p/gossip_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS   8
#define TOPICS  3
#define HELD    16
#define ID_SIZE 34

struct held {
	struct gossip_id id;
	bool used;
};

struct play {
	struct gossip_router *r;
	struct peer_id ids[PEERS];
	bool here[PEERS];
	struct instant now, graft_after[PEERS][TOPICS];
	struct held held[HELD];
	unsigned next_held;
};

static struct bytes topic_name(unsigned i)
{
	static const char *const names[TOPICS] = {"a", "topic b", "c"};

	return bytes_str(names[i % TOPICS]);
}

/* Seven in eight messages are signed well. */
static int verify_bit(void *arg, const struct gossip_message *m)
{
	return m->signature.n > 0 && m->signature.p[0] % 8 != 0 ? 0 : E_BAD_SIGNATURE;
}

static unsigned number_of(const struct play *p, const struct peer_id *id)
{
	unsigned i = 0;

	while (i < PEERS && !peer_id_equal(&p->ids[i], id))
		i++;
	INVARIANT(i < PEERS);
	return i;
}

static void check_item(const struct play *p, unsigned to, const struct gossip_item *item)
{
	if (item->kind == GOSSIP_PUBLISH)
		INVARIANT(!bytes_equal(item->msg.from, peer_id_bytes(&p->ids[to])) ||
			  verify_bit(NULL, &item->msg) == 0);
	for (unsigned t = 0; item->kind == GOSSIP_GRAFT && t < TOPICS; t++)
		if (bytes_equal(item->topic, topic_name(t)))
			INVARIANT(!instant_before(p->now, p->graft_after[to][t]));
	if (item->kind == GOSSIP_PRUNE)
		INVARIANT(item->backoff <= GOSSIP_BACKOFF_MAX);
}

static void check_frame(const struct play *p, const struct gossip_out *out)
{
	struct bytes all = gossip_frame_bytes(out->frame);
	unsigned to = number_of(p, &out->peer);
	struct gossip_item item;
	uint64_t n;
	int used = varint_decode(all, &n);

	INVARIANT(p->here[to] && used > 0 && n + (uint64_t)used == all.n && n <= GOSSIP_RPC_MAX);
	struct gossip_walk w = gossip_walk_of(bytes_of(all.p + used, (size_t)n));
	while (gossip_walk_next(&w, &item, NULL) > 0)
		check_item(p, to, &item);
}

static void take(struct play *p)
{
	struct gossip_out out;

	while (gossip_router_next(p->r, &out)) {
		if (out.kind == GOSSIP_OUT_SEND)
			check_frame(p, &out);
		if (out.kind == GOSSIP_OUT_DELIVER) {
			INVARIANT(verify_bit(NULL, &out.frame->msg) == 0);
			INVARIANT(p->here[number_of(p, &out.message.source)]);
			p->held[p->next_held++ % HELD] = (struct held){out.id, true};
		}
		gossip_out_free(&out);
	}
	gossip_router_check(p->r);
}

/* ---- RPCs ---------------------------------------------------------------------------------- */

static void put_message(struct play *p, uint8_t a, uint8_t b, struct buf *rpc)
{
	uint8_t seqno[GOSSIP_SEQNO_SIZE] = {0}, signature[4] = {b, 1, 2, 3};
	struct buf raw = BUF_INIT(1000);

	seqno[7] = b & 15;
	pb_put_bytes(&raw, 1, peer_id_bytes(&p->ids[a % PEERS]));
	pb_put_bytes(&raw, 2, bytes_of(seqno, sizeof seqno));
	pb_put_bytes(&raw, 3, bytes_of(seqno, sizeof seqno));
	pb_put_bytes(&raw, 4, topic_name(b >> 4));
	pb_put_bytes(&raw, 5, bytes_of(signature, sizeof signature));
	gossip_put_message(rpc, buf_view(&raw));
	buf_free(&raw);
}

static void put_ids(
    struct play *p, enum gossip_item_kind kind, uint8_t a, uint8_t b, struct buf *rpc)
{
	uint8_t bytes[4][PEER_ID_MAX + GOSSIP_SEQNO_SIZE] = {{0}};
	struct bytes ids[4];

	for (unsigned i = 0; i < 4; i++) {
		const struct peer_id *id = &p->ids[(a + i) % PEERS];
		memcpy(bytes[i], id->bytes, id->n);
		bytes[i][id->n + 7] = (uint8_t)((b + i) & 15);
		ids[i] = bytes_of(bytes[i], id->n + GOSSIP_SEQNO_SIZE);
	}
	gossip_put_ids(rpc, kind, topic_name(b >> 4), ids, 1 + a % 4);
}

static void rpc_step(struct play *p, unsigned from, uint8_t kind, uint8_t a, uint8_t b)
{
	struct buf rpc = BUF_INIT(10000);
	struct instant *after = &p->graft_after[from][a % TOPICS];
	int rc;

	switch ((enum gossip_item_kind)(kind % (GOSSIP_IDONTWANT + 1))) {
	case GOSSIP_SUBSCRIBE:
		gossip_put_subscription(&rpc, GOSSIP_SUBSCRIBE, topic_name(a));
		break;
	case GOSSIP_UNSUBSCRIBE:
		gossip_put_subscription(&rpc, GOSSIP_UNSUBSCRIBE, topic_name(a));
		break;
	case GOSSIP_PUBLISH:
		put_message(p, a, b, &rpc);
		break;
	case GOSSIP_IHAVE:
		put_ids(p, GOSSIP_IHAVE, a, b, &rpc);
		break;
	case GOSSIP_IWANT:
		put_ids(p, GOSSIP_IWANT, a, b, &rpc);
		break;
	case GOSSIP_GRAFT:
		gossip_put_graft(&rpc, topic_name(a));
		break;
	case GOSSIP_PRUNE:
		gossip_put_prune(&rpc, topic_name(a), 1u + b, NULL, 0);
		break;
	case GOSSIP_IDONTWANT:
		put_ids(p, GOSSIP_IDONTWANT, a, b, &rpc);
		break;
	}
	/* Obeyed where it was heard: by who knows the topic, from who is listened to. */
	const struct gossip_peer *peer = gossip_peer_find(p->r, &p->ids[from]);
	const struct gossip_topic *t = gossip_topic_find(p->r, topic_name(a));
	bool heard = peer && peer->connected && peer->protocol != GOSSIP_FLOODSUB && t &&
		     t->subscribed &&
		     gossip_router_score(p->r, &p->ids[from]) >= p->r->score.graylist_threshold;
	rc = gossip_router_receive(p->r, &p->ids[from], buf_view(&rpc), p->now, NULL);
	INVARIANT(rc == (p->here[from] ? 0 : E_NOT_FOUND));
	if (kind % (GOSSIP_IDONTWANT + 1) == GOSSIP_PRUNE && heard) {
		struct instant until = instant_add(p->now, duration_s(1 + b));
		*after = instant_before(*after, until) ? until : *after;
	}
	buf_free(&rpc);
}

/* ---- steps --------------------------------------------------------------------------------- */

static void connect_step(struct play *p, unsigned i, uint8_t a)
{
	struct gossip_connect c = {.peer = p->ids[i],
	    .protocol = (enum gossip_protocol)(a % 4),
	    .direction = a & 4 ? P2P_OUTBOUND : P2P_INBOUND,
	    .ip = bytes_of("\x0a\x00\x00\x01", a & 8 ? 4 : 0)};
	int rc = gossip_router_connect(p->r, &c, p->now, NULL);

	INVARIANT(rc == (p->here[i] ? E_EXISTS : rc));
	INVARIANT(rc == 0 || rc == E_EXISTS || rc == E_LIMIT);
	p->here[i] = p->here[i] || rc == 0;
}

/* Remembered peers may be forgotten for lack of room, and their backoffs with them. */
static void disconnect_step(struct play *p, unsigned i)
{
	gossip_router_disconnect(p->r, &p->ids[i], p->now);
	p->here[i] = false;
	memset(p->graft_after[i], 0, sizeof p->graft_after[i]);
}

static void judge_step(struct play *p, uint8_t a, uint8_t b)
{
	struct held *h = &p->held[a % HELD];

	if (h->used)
		gossip_router_verdict(p->r, &h->id, (enum gossip_verdict)(b % 3), p->now);
	h->used = false;
}

static void time_step(struct play *p, uint8_t a)
{
	for (unsigned i = 0; i <= a % 8; i++) {
		p->now = instant_add(p->now, duration_ms(a & 128 ? 20000 : 1000));
		gossip_router_heartbeat(p->r, p->now);
		take(p);
	}
}

static void own_step(struct play *p, uint8_t a, uint8_t b)
{
	int rc = 0;

	if (a % 4 == 0)
		rc = gossip_router_subscribe(p->r, topic_name(b), NULL, p->now, NULL);
	else if (a % 4 == 1)
		gossip_router_unsubscribe(p->r, topic_name(b), p->now);
	else if (a % 4 == 2)
		rc = gossip_router_publish(p->r, topic_name(b), bytes_str("x"), p->now, NULL);
	else
		gossip_router_set_app_score(p->r, &p->ids[b % PEERS], (double)(int8_t)b);
	INVARIANT(rc == 0 || rc == E_EXISTS);
}

static void step(struct play *p, uint8_t op, uint8_t a, uint8_t b, struct cursor *c)
{
	unsigned peer = op % PEERS;
	struct bytes raw;

	switch (op / PEERS % 8) {
	case 0:
		connect_step(p, peer, a);
		break;
	case 1:
		if (b % 4 == 0)
			disconnect_step(p, peer);
		else
			gossip_router_renew(p->r, &p->ids[peer], p->now);
		break;
	case 2:
		time_step(p, a);
		break;
	case 3:
		own_step(p, a, b);
		break;
	case 4:
		judge_step(p, a, b);
		break;
	case 5:
		if (cursor_take(c, a, &raw))
			(void)!gossip_router_receive(p->r, &p->ids[peer], raw, p->now, NULL);
		break;
	default:
		rpc_step(p, peer, op >> 6 | (uint8_t)(b << 2), a, b);
	}
	take(p);
}

static void start(struct play *p, uint8_t options)
{
	const uint8_t seed[ED25519_SEED_SIZE] = {1};
	struct gossip_router_options opt = {
	    .seed = options, .peers_max = options & 1 ? PEERS : PEERS / 2, .verify = verify_bit};
	struct identity self;

	identity_from_seed(seed, &self);
	for (unsigned i = 0; i < PEERS; i++) {
		uint8_t multihash[ID_SIZE] = {0x12, 0x20, (uint8_t)i};
		INVARIANT(peer_id_from_bytes(
			      bytes_of(multihash, sizeof multihash), &p->ids[i], NULL) == 0);
	}
	p->now = (struct instant){duration_s(5000).ns};
	opt.identity = &self;
	opt.direct = &p->ids[0];
	opt.n_direct = options >> 1 & 1;
	gossip_params_default(&opt.params);
	gossip_score_params_default(&opt.score);
	opt.params.flood_publish = options & 4;
	INVARIANT(gossip_router_new(&opt, p->now, &p->r, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(bytes_of(data, size));
	struct play p = {0};
	uint8_t op, a, b;

	if (!cursor_u8(&c, &op))
		return 0;
	start(&p, op);
	while (cursor_u8(&c, &op) && cursor_u8(&c, &a) && cursor_u8(&c, &b))
		step(&p, op, a, b, &c);
	gossip_router_free(p.r);
	return 0;
}
