/* Messages on a stream, each with its length before it as an unsigned varint: the framing of
 * identify, Kademlia and others. SPEC libp2p: varint-prefixed protobuf. */
#ifndef P2P_FRAME_PRIV_H
#define P2P_FRAME_PRIV_H

#include "rt/stream.h"

/* [parks] Reads one message of 1 to `max` bytes into `out`, which is reset before: 1, or 0 when the
 * peer ended before it. E_PROTOCOL (a bad length, cut short), E_MEMORY, and what reading says. */
int frame_read(struct stream *s, size_t max, struct buf *out, struct err *err) WARN_UNUSED;

/* [parks] Length and message in one write. */
int frame_write(struct stream *s, struct bytes message, struct err *err) WARN_UNUSED;

#endif
