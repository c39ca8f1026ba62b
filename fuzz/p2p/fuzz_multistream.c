/* multistream-select: the input is what the other side sends, to a listener and to a dialer. The
 * first byte says in how large pieces it comes. */
#include "p2p/mss_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool accepts(void *arg, struct bytes name)
{
	INVARIANT(name.n > 0 && name.n <= MSS_NAME_MAX && !memchr(name.p, 0, name.n));
	return bytes_equal(name, bytes_str("/b/1"));
}

static void run(struct mss *m, struct bytes in, size_t piece)
{
	struct buf out = BUF_INIT(MSS_OUT_MAX);
	int rc = 0;

	mss_start(m, &out);
	while (rc == 0 && in.n) {
		size_t n = mss_wanted(m);

		INVARIANT(n >= 1 && n <= MSS_LINE_MAX);
		n = n < piece ? n : piece;
		n = n < in.n ? n : in.n;
		buf_reset(&out); /* as if it had been sent */
		rc = mss_receive(m, bytes_of(in.p, n), &out, NULL);
		INVARIANT(!out.failed);
		in.p += n;
		in.n -= n;
	}
	if (rc == 1)
		INVARIANT(m->chosen[0] == '/');
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"/a/1", "/b/1"};
	struct mss m;

	if (size == 0)
		return 0;
	mss_listener(&m, accepts, NULL);
	run(&m, bytes_of(data + 1, size - 1), data[0] + 1u);
	mss_dialer(&m, names, 2);
	run(&m, bytes_of(data + 1, size - 1), data[0] + 1u);
	return 0;
}
