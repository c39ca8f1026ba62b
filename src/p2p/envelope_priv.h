/* Signed envelopes: a payload of a stated type under a peer's identity key, for one purpose (the
 * domain). SPEC libp2p RFC 0002. */
#ifndef P2P_ENVELOPE_PRIV_H
#define P2P_ENVELOPE_PRIV_H

#include "crypto/identity.h"

#define ENVELOPE_MAX 16384 /* bytes of an envelope that we look at */

/* Verifies first, then hands out the payload, borrowed from `in`, and who signed it. E_PROTOCOL
 * when malformed or of another payload type, E_BAD_SIGNATURE, E_UNSUPPORTED (kind of key). */
int envelope_open(struct bytes in, const char *domain, struct bytes payload_type,
    struct bytes *payload, struct peer_id *signer, struct err *err) WARN_UNUSED;

/* Appends an envelope signed by `id`; failure shows in `out`. */
void envelope_seal(const struct identity *id, const char *domain, struct bytes payload_type,
    struct bytes payload, struct buf *out);

#endif
