/* Kademlia's messages and its key space. SPEC libp2p kad-dht, "RPC messages" and "Distance".
 *
 * A message is one protobuf with a length before it on the stream. The reader borrows texts from
 * the input; only the lists of peers are its own. Entries beyond the limits, ids and addresses that
 * we cannot read are left out; broken protobuf and unknown types are errors. */
#ifndef P2P_KAD_WIRE_PRIV_H
#define P2P_KAD_WIRE_PRIV_H

#include "crypto/hash.h"
#include "p2p/peer_record_priv.h"

#define KAD_REQUEST_MAX    (40u << 10)  /* a message that we read as a server */
#define KAD_ANSWER_MAX     (128u << 10) /* and as a client */
#define KAD_KEY_MAX        256          /* bytes of a record's, provider's or node's key */
#define KAD_VALUE_MAX      (32u << 10)  /* bytes of a record's value */
#define KAD_PEERS_MAX      32           /* peers in one list of a message */
#define KAD_PEER_ADDRS_MAX 8            /* addresses of one of them */
#define KAD_TIME_MAX       64           /* bytes of timeReceived */

/* ---- the key space ------------------------------------------------------------------------- */

#define KAD_BITS 256

/* SPEC kad-dht: distance = XOR of the SHA-256 of both keys. */
struct kad_key {
	uint8_t b[SHA256_SIZE];
};

static inline struct kad_key kad_key_of(struct bytes preimage)
{
	struct kad_key k;

	sha256(preimage, k.b);
	return k;
}

static inline struct kad_key kad_key_of_peer(const struct peer_id *id)
{
	return kad_key_of(peer_id_bytes(id));
}

/* Which of a and b is nearer to `target`: <0 a, >0 b, 0 only when they are equal. */
int kad_nearer(const struct kad_key *a, const struct kad_key *b, const struct kad_key *target);
/* Leading bits that a and b share: 0..256. */
unsigned kad_shared_bits(const struct kad_key *a, const struct kad_key *b);

/* ---- messages ------------------------------------------------------------------------------ */

enum kad_type {
	KAD_PUT_VALUE = 0,
	KAD_GET_VALUE = 1,
	KAD_ADD_PROVIDER = 2,
	KAD_GET_PROVIDERS = 3,
	KAD_FIND_NODE = 4,
	KAD_PING = 5 /* dead, but a known number */
};

enum kad_connection {
	KAD_NOT_CONNECTED = 0,
	KAD_CONNECTED = 1,
	KAD_CAN_CONNECT = 2,
	KAD_CANNOT_CONNECT = 3
};

struct kad_peer {
	struct peer_id id;
	enum kad_connection connection;
	struct addr_list addrs; /* without a /p2p of their own peer */
};

struct kad_peers {
	struct kad_peer *v; /* malloc */
	size_t n;
};

struct kad_record {
	struct bytes key, value, received; /* borrowed */
};

struct kad_message {
	enum kad_type type;
	struct bytes key; /* borrowed */
	bool has_record;
	struct kad_record record;
	struct kad_peers closer, providers;
};

/* Reads one message, without its length. E_PROTOCOL, E_TOO_LARGE (a key or value above its limit),
 * E_MEMORY. The caller frees it; after a failure there is nothing to free. */
int kad_message_decode(struct bytes in, struct kad_message *out, struct err *err) WARN_UNUSED;
/* Appends it, without length; failure (the buffer's limit) shows in `out`. */
void kad_message_encode(const struct kad_message *m, struct buf *out);
void kad_message_free(struct kad_message *m);

/* Appends a peer without addresses; NULL when the list is full or memory is out. */
struct kad_peer *kad_peers_add(struct kad_peers *l, const struct peer_id *id);
void kad_peers_free(struct kad_peers *l);

#endif
