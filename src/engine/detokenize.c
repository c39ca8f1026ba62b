/* Streaming text: see detokenize.h. */
#include "engine/detokenize.h"

#include "base/encode.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* How many more bytes the sequence at p[0, n) needs, when all of it could begin a character; 0 when
 * it is complete; -1 when p[n - 1] cannot follow p[0, n - 1). SPEC Unicode table 3-7. */
static int still_needed(const uint8_t *p, size_t n)
{
	uint8_t lead = p[0];
	if (lead < 0x80)
		return 0;
	if (lead < 0xc2 || lead > 0xf4)
		return -1;
	size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (n > 1) {
		uint8_t low = 0x80, high = 0xbf, last = p[n - 1];
		if (n == 2) {
			low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : low;
			high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : high;
		}
		if (last < low || last > high)
			return -1;
	}
	return (int)(length - n);
}

static void push_byte(struct detokenizer *d, uint8_t byte, struct buf *out)
{
	d->held[d->n_held++] = byte;
	int needed = still_needed(d->held, d->n_held);
	if (needed == 0) {
		buf_put(out, d->held, d->n_held);
		d->n_held = 0;
	} else if (needed < 0) {
		bool again = d->n_held > 1; /* the byte may begin something else */
		buf_str(out, REPLACEMENT);
		d->n_held = 0;
		if (again)
			push_byte(d, byte, out);
	}
}

void detokenizer_push(struct detokenizer *d, struct bytes piece, struct buf *out)
{
	size_t good = d->n_held ? 0 : utf8_valid_prefix(piece);
	buf_put(out, piece.p, good);
	for (size_t i = good; i < piece.n; i++)
		push_byte(d, piece.p[i], out);
}

void detokenizer_finish(struct detokenizer *d, struct buf *out)
{
	if (d->n_held)
		buf_str(out, REPLACEMENT);
	d->n_held = 0;
}
