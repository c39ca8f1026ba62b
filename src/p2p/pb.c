/* Protocol buffers: the reader trusts no length and stops at the first thing it does not know how
 * to skip. */
#include "p2p/pb_priv.h"

#define PB_VARINT_MAX 10
#define PB_NUMBER_MAX ((1u << 29) - 1)

/* Up to ten bytes, 64 bits; padding with zero groups is legal here, unlike in multiformats. */
static bool take_varint(struct cursor *c, uint64_t *out)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned i = 0; i < PB_VARINT_MAX; i++) {
		if (!cursor_u8(c, &b) || (i == PB_VARINT_MAX - 1 && b > 1))
			return false;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*out = v;
			return true;
		}
	}
	return false;
}

static bool take_value(struct cursor *c, struct pb_field *out)
{
	uint64_t n;
	uint32_t v32;

	switch (out->wire) {
	case PB_VARINT:
		return take_varint(c, &out->value);
	case PB_FIXED64:
		return cursor_u64le(c, &out->value);
	case PB_BYTES:
		return take_varint(c, &n) && n <= c->left && cursor_take(c, (size_t)n, &out->data);
	case PB_FIXED32:
		if (!cursor_u32le(c, &v32))
			return false;
		out->value = v32;
		return true;
	}
	return false;
}

int pb_next(struct cursor *c, struct pb_field *out, struct err *err)
{
	uint64_t tag;

	if (c->left == 0)
		return 0;
	*out = (struct pb_field){0};
	if (!take_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > PB_NUMBER_MAX)
		return err_set(err, E_PROTOCOL, "malformed protobuf tag");
	out->number = (uint32_t)(tag >> 3);
	out->wire = (enum pb_wire)(tag & 7);
	if (!take_value(c, out))
		return err_set(err, E_PROTOCOL, "malformed protobuf field %u", out->number);
	return 1;
}

void pb_put_raw_varint(struct buf *b, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buf_u8(b, (uint8_t)(value | 0x80));
	buf_u8(b, (uint8_t)value);
}

void pb_put_varint(struct buf *b, uint32_t number, uint64_t value)
{
	pb_put_raw_varint(b, (uint64_t)number << 3 | PB_VARINT);
	pb_put_raw_varint(b, value);
}

void pb_put_bytes(struct buf *b, uint32_t number, struct bytes value)
{
	pb_put_raw_varint(b, (uint64_t)number << 3 | PB_BYTES);
	pb_put_raw_varint(b, value.n);
	buf_bytes(b, value);
}
