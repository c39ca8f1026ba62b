/* Server-sent events: cuts make no difference, and what is read survives being written again. */
#include "http/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes each event that is read to `out`, canonically. */
static int canonical(struct bytes in, size_t step, struct buf *out)
{
	struct sse_parser p;
	struct sse_event e;
	int rc = 0;

	sse_parser_init(&p, 4096);
	while (in.n > 0 && rc == 0) {
		struct bytes piece = bytes_of(in.p, in.n < step ? in.n : step);

		in = bytes_of(in.p + piece.n, in.n - piece.n);
		while ((rc = sse_parser_next(&p, &piece, &e, NULL)) == 1)
			sse_put_event(out, e.event, e.data);
		if (rc == 0 && piece.n != 0)
			abort();
	}
	sse_parser_free(&p);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct buf whole = BUF_INIT(16u << 20), bits = whole, again = whole;
	int rc, rc2;

	if (size > 65536)
		return 0;
	rc = canonical(in, size + 1, &whole);
	rc2 = canonical(in, 1, &bits);
	if (rc != rc2 || !bytes_equal(buf_view(&whole), buf_view(&bits)))
		abort();
	if (canonical(buf_view(&whole), 5, &again) != 0 ||
	    !bytes_equal(buf_view(&whole), buf_view(&again)))
		abort();
	buf_free(&whole);
	buf_free(&bits);
	buf_free(&again);
	return 0;
}
