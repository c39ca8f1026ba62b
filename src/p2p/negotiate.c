/* Drives the multistream-select core over streams. */
#include "p2p/negotiate_priv.h"

static int run(struct mss *m, struct stream *s, struct err *err)
{
	struct buf out = BUF_INIT(MSS_OUT_MAX);
	uint8_t in[128];
	int rc = 0;

	mss_start(m, &out);
	while (rc >= 0) {
		int sent = buf_ok(&out, err);
		if (sent == 0 && out.n > 0)
			sent = stream_write(s, out.p, out.n, err);
		if (sent != 0)
			rc = sent;
		if (rc != 0)
			break;
		buf_reset(&out);
		size_t want = mss_wanted(m);
		ssize_t n = stream_read(s, in, want < sizeof in ? want : sizeof in, err);
		if (n > 0)
			rc = mss_receive(m, bytes_of(in, (size_t)n), &out, err);
		else
			rc = n < 0 ? (int)n
				   : err_set(err, E_CLOSED, "closed while agreeing on a protocol");
	}
	buf_free(&out);
	return rc < 0 ? rc : 0;
}

int negotiate_dial(
    struct stream *s, const char *const *names, size_t count, size_t *chosen, struct err *err)
{
	struct mss m;

	mss_dialer(&m, names, count);
	int rc = run(&m, s, err);
	if (rc == 0)
		*chosen = m.next;
	return rc;
}

int negotiate_listen(struct stream *s, mss_accept_fn accept, void *arg,
    char chosen[MSS_NAME_MAX + 1], struct err *err)
{
	struct mss m;

	mss_listener(&m, accept, arg);
	int rc = run(&m, s, err);
	if (rc == 0)
		memcpy(chosen, m.chosen, sizeof m.chosen);
	return rc;
}

void negotiate_expected(const char *name, struct buf *out)
{
	mss_put_line(out, bytes_str(MSS_HEADER));
	mss_put_line(out, bytes_str(name));
}

/* "na" as it goes over the wire begins with its length; no proposal of ours is that short. */
#define REFUSAL_LENGTH 3

int negotiate_compare(
    struct bytes expected, size_t at, struct bytes got, const char *name, struct err *err)
{
	size_t header = strlen(MSS_HEADER) + 2;

	INVARIANT(at + got.n <= expected.n);
	for (size_t i = 0; i < got.n; i++) {
		if (got.p[i] == expected.p[at + i])
			continue;
		if (at + i == header && got.p[i] == REFUSAL_LENGTH)
			return err_set(err, E_UNSUPPORTED, "the peer does not speak %s", name);
		return err_set(err, E_PROTOCOL, "a wrong answer to the proposal of %s", name);
	}
	return 0;
}
