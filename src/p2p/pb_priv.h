/* Protocol buffers, as much as libp2p's messages need: a reader that borrows and never allocates,
 * and appenders to a bounded buffer. SPEC protobuf encoding, "Message structure".
 *
 * Unknown fields are the caller's to skip (they simply ask for the next); groups are refused. When
 * a field that should occur once comes twice, the last one counts, as in every implementation. */
#ifndef P2P_PB_PRIV_H
#define P2P_PB_PRIV_H

#include "base/bytes.h"

enum pb_wire {
	PB_VARINT = 0,
	PB_FIXED64 = 1,
	PB_BYTES = 2,
	PB_FIXED32 = 5
};

struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t value;    /* of varints and fixed fields */
	struct bytes data; /* of PB_BYTES; borrowed */
};

/* The next field: 1, or 0 at the end, or E_PROTOCOL. */
int pb_next(struct cursor *c, struct pb_field *out, struct err *err) WARN_UNUSED;

/* Whether this is field `number`, carried as it should be. A known number with the wrong wire type
 * reads as an unknown field. */
static inline bool pb_is(const struct pb_field *f, uint32_t number, enum pb_wire wire)
{
	return f->number == number && f->wire == wire;
}

void pb_put_varint(struct buf *b, uint32_t number, uint64_t value);
void pb_put_bytes(struct buf *b, uint32_t number, struct bytes value);
/* The bare varint, up to ten bytes, as in length prefixes of signed payloads. */
void pb_put_raw_varint(struct buf *b, uint64_t value);

#endif
