/* Identify messages: who a peer is, where it listens, what it speaks. SPEC libp2p identify.
 *
 * Bounds: a peer's answer is at most IDENTIFY_MESSAGES_MAX messages of IDENTIFY_MESSAGE_MAX bytes
 * (each length-prefixed on its stream), and what is kept of it is limited below. Repeated fields
 * beyond the limits, texts that are too long or no UTF-8, and addresses that we cannot read are
 * left out; only broken protobuf is an error. */
#ifndef P2P_IDENTIFY_PRIV_H
#define P2P_IDENTIFY_PRIV_H

#include "p2p/peer_record_priv.h"

#define IDENTIFY_PROTOCOL      "/ipfs/id/1.0.0"
#define IDENTIFY_PUSH_PROTOCOL "/ipfs/id/push/1.0.0"
#define IDENTIFY_MESSAGE_MAX   8192
#define IDENTIFY_MESSAGES_MAX  10
#define IDENTIFY_ADDRS_MAX     64
#define IDENTIFY_PROTOCOLS_MAX 128
#define IDENTIFY_TEXT_MAX      255 /* bytes of a version or a protocol name */

/* Empty fields are absent. Zero-initialise; free with identify_free. */
struct identify {
	uint8_t public_key[PUBLIC_KEY_MAX];
	size_t public_key_n;
	char protocol_version[IDENTIFY_TEXT_MAX + 1];
	char agent_version[IDENTIFY_TEXT_MAX + 1];
	struct addr_list listen;
	struct multiaddr observed;
	char **protocols; /* malloc, each string too */
	size_t protocols_n;
	struct buf record; /* the signed peer record as it came; see peer_record_open */
};

void identify_free(struct identify *id);

/* Copies a protocol name in; ignored beyond the limits. 0 or E_MEMORY. */
int identify_add_protocol(struct identify *id, struct bytes name) WARN_UNUSED;
bool identify_speaks(const struct identify *id, const char *protocol);

/* Takes in one message (without length prefix), on top of those before it: single fields replace,
 * repeated ones add. E_PROTOCOL, E_MEMORY; then `id` holds part of it and is to be dropped. */
int identify_add_message(struct identify *id, struct bytes in, struct err *err) WARN_UNUSED;

/* Whether the public key, if one was sent, belongs to the authenticated peer. E_WRONG_PEER when it
 * does not: then nothing of the message may be used. */
int identify_check(
    const struct identify *id, const struct peer_id *peer, struct err *err) WARN_UNUSED;

/* What a push means: fields present in `update` replace those of `id`, which keeps the rest.
 * Empties `update`. */
void identify_apply_push(struct identify *id, struct identify *update);

/* Appends the message without length prefix; failure (a buffer limit) shows in `out`. */
void identify_encode(const struct identify *id, struct buf *out);

#endif
