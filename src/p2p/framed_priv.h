/* Messages on streams, each behind its length as a varint: how libp2p's protocols talk. */
#ifndef P2P_FRAMED_PRIV_H
#define P2P_FRAMED_PRIV_H

#include "base/bytes.h"
#include "rt/stream.h"

/* [parks] The next message, in place of what `out` held; at most out->max bytes. 1, or 0 at the
 * peer's end, or E_TOO_LARGE, E_PROTOCOL (cut short, a malformed length), E_MEMORY, or the stream's
 * error. Reads not a byte too many: what follows belongs to whoever reads next. */
int framed_read(struct stream *s, struct buf *out, struct err *err) WARN_UNUSED;

/* [parks] Writes length and message. */
int framed_write(struct stream *s, struct bytes message, struct err *err) WARN_UNUSED;

#endif
