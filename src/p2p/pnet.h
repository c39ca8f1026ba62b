/* Private networks: a pre-shared key below Noise, so that whoever lacks it cannot even begin to
 * talk. SPEC libp2p pnet, "Private-Networks-PSK-V1": each side sends a random nonce of 24 bytes,
 * then everything XSalsa20-encrypted under the key and that nonce. It keeps strangers out and hides
 * that this is libp2p; integrity and identity remain the business of Noise above it. */
#ifndef P2P_PNET_H
#define P2P_PNET_H

#include "base/bytes.h"

#define PNET_KEY_SIZE 32
#define PNET_FILE_MAX 1024 /* the longest key file looked at */

/* Secret. */
struct pnet_key {
	uint8_t bytes[PNET_KEY_SIZE];
};

/* Reads a key file ("swarm.key"): the lines `/key/swarm/psk/1.0.0/`, then `/base16/` and 64 hex
 * digits, or `/base64/` and their base64. White space at the ends of lines does not count. E_FORMAT
 * with the reason, never with the key. */
int pnet_key_parse(struct bytes text, struct pnet_key *out, struct err *err) WARN_UNUSED;

#endif
