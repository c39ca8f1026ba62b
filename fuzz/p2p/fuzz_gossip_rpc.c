/* Gossip's RPCs. What passes the check is walked to its end without an error, every view lies
 * inside the input, and what is written anew of it reads the same. */
#include "p2p/gossip_wire_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct bytes all, struct bytes part)
{
	INVARIANT(part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n));
}

static void rewrite_ids(struct bytes all, const struct gossip_item *item, struct buf *out)
{
	struct cursor c = cursor_of(item->body);
	struct bytes ids[64];
	size_t n = 0;

	while (n < 64 && gossip_ids_next(&c, item->kind, &ids[n]))
		inside(all, ids[n++]);
	gossip_put_ids(out, item->kind, item->topic, ids, n);
}

static void rewrite_prune(struct bytes all, const struct gossip_item *item, struct buf *out)
{
	struct cursor c = cursor_of(item->body);
	struct gossip_px px[16];
	size_t n = 0;

	while (n < 16 && gossip_px_next(&c, &px[n].peer, &px[n].record)) {
		inside(all, px[n].peer);
		inside(all, px[n++].record);
	}
	gossip_put_prune(out, item->topic, item->backoff, px, n);
}

static void rewrite(struct bytes all, const struct gossip_item *item, struct buf *out)
{
	switch (item->kind) {
	case GOSSIP_SUBSCRIBE:
	case GOSSIP_UNSUBSCRIBE:
		gossip_put_subscription(out, item->kind, item->topic);
		return;
	case GOSSIP_PUBLISH:
		inside(all, item->msg.raw);
		inside(item->msg.raw, item->msg.signature);
		INVARIANT(gossip_verify(&item->msg, NULL) <= 0);
		gossip_put_message(out, item->msg.raw);
		return;
	case GOSSIP_IHAVE:
	case GOSSIP_IWANT:
	case GOSSIP_IDONTWANT:
		rewrite_ids(all, item, out);
		return;
	case GOSSIP_GRAFT:
		gossip_put_graft(out, item->topic);
		return;
	case GOSSIP_PRUNE:
		rewrite_prune(all, item, out);
		return;
	}
}

static unsigned walk(struct bytes rpc, struct buf *out)
{
	struct gossip_walk w = gossip_walk_of(rpc);
	struct gossip_item item;
	unsigned n = 0;
	int rc;

	for (; (rc = gossip_walk_next(&w, &item, NULL)) > 0; n++) {
		inside(rpc, item.topic);
		inside(rpc, item.body);
		if (out)
			rewrite(rpc, &item, out);
	}
	INVARIANT(rc == 0);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rpc = bytes_of(data, size);
	struct buf again = BUF_INIT(4 << 20);

	if (gossip_rpc_check(rpc, NULL) != 0)
		return 0;
	unsigned n = walk(rpc, &again);
	INVARIANT(!again.failed);
	if (again.n <= GOSSIP_RPC_MAX) {
		INVARIANT(gossip_rpc_check(buf_view(&again), NULL) == 0);
		INVARIANT(walk(buf_view(&again), NULL) == n);
	}
	buf_free(&again);
	return 0;
}
