/* Gossip's RPCs in and out. SPEC libp2p pubsub "The RPC" and "The Message", gossipsub-v1.0
 * "Protobuf", v1.1 "Protobuf Extension" and v1.2.
 *
 * Reading borrows and never allocates: an RPC is walked once to see that all of it is well formed,
 * and then again, item by item. Unknown fields are skipped, and kept inside messages. */
#ifndef P2P_GOSSIP_WIRE_PRIV_H
#define P2P_GOSSIP_WIRE_PRIV_H

#include "crypto/ed25519_keys.h"
#include "p2p/gossip.h"
#include "p2p/pb_priv.h"

/* A message; the views lie in `raw`, its encoding without tag and length. A field that is absent
 * has p == NULL. */
struct gossip_message {
	struct bytes raw;
	struct bytes from, data, seqno, topic, signature, key;
};

enum gossip_item_kind {
	GOSSIP_SUBSCRIBE,
	GOSSIP_UNSUBSCRIBE,
	GOSSIP_PUBLISH,
	GOSSIP_IHAVE,
	GOSSIP_IWANT,
	GOSSIP_GRAFT,
	GOSSIP_PRUNE,
	GOSSIP_IDONTWANT
};

struct gossip_item {
	enum gossip_item_kind kind;
	struct bytes topic;
	struct bytes body;         /* lists and PRUNE: for gossip_ids_next, gossip_px_next */
	uint64_t backoff;          /* PRUNE: seconds; 0 when not said */
	struct gossip_message msg; /* PUBLISH */
};

/* A read position in an RPC; begin with gossip_walk_of. */
struct gossip_walk {
	struct cursor rpc, control;
};

static inline struct gossip_walk gossip_walk_of(struct bytes rpc)
{
	return (struct gossip_walk){.rpc = cursor_of(rpc)};
}

/* 1, or 0 at the end, or E_PROTOCOL. */
int gossip_walk_next(struct gossip_walk *w, struct gossip_item *out, struct err *err) WARN_UNUSED;
/* Whether the whole RPC is well formed, to the last list. */
int gossip_rpc_check(struct bytes rpc, struct err *err) WARN_UNUSED;

/* The next message id of an IHAVE, IWANT or IDONTWANT, which number their ids differently. */
bool gossip_ids_next(struct cursor *body, enum gossip_item_kind kind, struct bytes *id);
/* The next peer offered by a PRUNE; either part may be empty. */
bool gossip_px_next(struct cursor *body, struct bytes *peer, struct bytes *record);

/* A message's encoding taken apart. E_PROTOCOL. */
int gossip_message_decode(
    struct bytes raw, struct gossip_message *out, struct err *err) WARN_UNUSED;

/* Appends items of an RPC; failure shows in `out`. */
void gossip_put_subscription(struct buf *out, enum gossip_item_kind kind, struct bytes topic);
void gossip_put_message(struct buf *out, struct bytes raw);
void gossip_put_graft(struct buf *out, struct bytes topic);
struct gossip_px {
	struct bytes peer, record;
};
/* `backoff` in seconds; 0 leaves it out, as for peers of version 1.0. */
void gossip_put_prune(
    struct buf *out, struct bytes topic, uint64_t backoff, const struct gossip_px *px, size_t n_px);
/* `topic` counts for IHAVE alone. */
void gossip_put_ids(struct buf *out, enum gossip_item_kind kind, struct bytes topic,
    const struct bytes *ids, size_t n);

/* Appends a message by `id`, signed. SPEC pubsub "Message Signing": "libp2p-pubsub:" and the
 * message without its signature. */
void gossip_sign(const struct identity *id, struct bytes topic, struct bytes data,
    const uint8_t seqno[GOSSIP_SEQNO_SIZE], struct buf *out);
/* StrictSign over the bytes that came, signature (and, as deployed, key) left out. E_PROTOCOL for
 * missing or malformed fields, E_BAD_SIGNATURE, E_UNSUPPORTED (kind of key), E_WRONG_PEER (the key
 * is not the author's), E_MEMORY. */
int gossip_verify(const struct gossip_message *m, struct err *err) WARN_UNUSED;
/* The same, sooner done with authors that `keys` has met before. NULL: without. */
int gossip_verify_with(
    struct ed25519_keys *keys, const struct gossip_message *m, struct err *err) WARN_UNUSED;

#endif
