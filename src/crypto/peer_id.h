/* Peer ids: the multihash of a peer's public key. Keys of up to 42 bytes stand in it as they are
 * (so an Ed25519 id contains its key), longer ones as SHA-256. SPEC libp2p peer-ids, "Peer Ids".
 *
 * NodeId, OpenGateway's own name for a node, is the Ed25519 public key in hex. */
#ifndef CRYPTO_PEER_ID_H
#define CRYPTO_PEER_ID_H

#include "crypto/public_key.h"

#define PEER_ID_MAX      44 /* 00 2a + 42 */
#define PEER_ID_TEXT_MAX 64 /* base58btc with its NUL */
#define NODE_ID_TEXT_MAX 65 /* hex with its NUL */

/* Always a valid multihash, or empty (n == 0) for "nobody". Bytes beyond n are zero, so whole
 * structs may be compared and hashed as memory. */
struct peer_id {
	uint8_t n;
	uint8_t bytes[PEER_ID_MAX];
};

bool peer_id_equal(const struct peer_id *a, const struct peer_id *b);
/* Order of the binary form, for deterministic choices between two peers: <0, 0, >0. */
int peer_id_compare(const struct peer_id *a, const struct peer_id *b);

static inline struct bytes peer_id_bytes(const struct peer_id *id)
{
	return bytes_of(id->bytes, id->n);
}

void peer_id_of_key(const struct public_key *key, struct peer_id *out);
/* The multihash itself. E_PROTOCOL unless it is SHA-256 or holds a canonical public key. */
int peer_id_from_bytes(struct bytes in, struct peer_id *out, struct err *err) WARN_UNUSED;
/* base58btc ("12D3KooW…", "Qm…") or CIDv1 with codec libp2p-key in base32 or base58btc ("bafz…",
 * "z…"). E_INVALID with the reason. */
int peer_id_parse(struct bytes text, struct peer_id *out, struct err *err) WARN_UNUSED;
/* base58btc; "" for the empty id. */
void peer_id_print(const struct peer_id *id, char out[PEER_ID_TEXT_MAX]);
/* The key inside; it borrows from `id`. E_UNSUPPORTED when the id is only a hash. */
int peer_id_key(const struct peer_id *id, struct public_key *out, struct err *err) WARN_UNUSED;

/* NodeId <-> peer id. E_INVALID when the text is not 64 hex digits; E_UNSUPPORTED when the peer's
 * key is not Ed25519. */
int node_id_parse(struct bytes text, struct peer_id *out, struct err *err) WARN_UNUSED;
int node_id_print(
    const struct peer_id *id, char out[NODE_ID_TEXT_MAX], struct err *err) WARN_UNUSED;

#endif
