/* The twelve bytes of a yamux header, and which combinations of them mean something. */
#include "p2p/yamux_priv.h"

#define FLAGS_ALL (YAMUX_SYN | YAMUX_ACK | YAMUX_FIN | YAMUX_RST)

void yamux_header_encode(const struct yamux_header *h, uint8_t out[YAMUX_HEADER])
{
	out[0] = 0; /* version */
	out[1] = (uint8_t)h->type;
	put_u16be(out + 2, h->flags);
	put_u32be(out + 4, h->id);
	put_u32be(out + 8, h->length);
}

/* Streams have an id above 0; pings are asked (SYN) or answered (ACK) on id 0. */
static bool fits(const struct yamux_header *h)
{
	switch (h->type) {
	case YAMUX_DATA:
	case YAMUX_WINDOW:
		return h->id != 0;
	case YAMUX_PING:
		return h->id == 0 && (h->flags == YAMUX_SYN || h->flags == YAMUX_ACK);
	case YAMUX_GOAWAY:
		return h->id == 0;
	}
	return false;
}

int yamux_header_decode(const uint8_t in[YAMUX_HEADER], struct yamux_header *out, struct err *err)
{
	if (in[0] != 0)
		return err_set(err, E_PROTOCOL, "yamux version %u", in[0]);
	if (in[1] > YAMUX_GOAWAY)
		return err_set(err, E_PROTOCOL, "yamux frame of unknown type %u", in[1]);
	out->type = (enum yamux_type)in[1];
	out->flags = get_u16be(in + 2);
	out->id = get_u32be(in + 4);
	out->length = get_u32be(in + 8);
	if (out->flags & ~FLAGS_ALL)
		return err_set(err, E_PROTOCOL, "yamux frame with unknown flags 0x%x", out->flags);
	if (!fits(out))
		return err_set(err, E_PROTOCOL,
		    "yamux frame of type %u with flags 0x%x on stream %u", in[1], out->flags,
		    out->id);
	return 0;
}
