/* Length-prefixed messages: the length is read byte by byte, so that nothing behind the message is
 * taken from the stream. */
#include "p2p/frame_priv.h"

#include "base/encode.h"

/* 1 with a length, 0 at the end. */
static int read_length(struct stream *s, size_t max, size_t *out, struct err *err)
{
	uint8_t prefix[VARINT_MAX];
	uint64_t length = 0;
	size_t n = 0;
	int used = 0;

	while (used == 0 && n < sizeof prefix) {
		ssize_t got = stream_read(s, prefix + n, 1, err);
		if (got < 0)
			return (int)got;
		if (got == 0 && n == 0)
			return 0;
		if (got == 0)
			return err_set(err, E_PROTOCOL, "cut short");
		n++;
		used = varint_decode(bytes_of(prefix, n), &length);
	}
	if (used <= 0 || length == 0 || length > max)
		return err_set(err, E_PROTOCOL, "a message of a bad length");
	*out = (size_t)length;
	return 1;
}

int frame_read(struct stream *s, size_t max, struct buf *out, struct err *err)
{
	size_t n = 0;
	int rc = read_length(s, max, &n, err);

	if (rc <= 0)
		return rc;
	out->max = out->max > max ? out->max : max;
	buf_reset(out);
	if ((rc = buf_reserve(out, n)) != 0)
		return err_set(err, rc, "no memory for a message");
	if ((rc = stream_read_full(s, out->p, n, err)) != 0)
		return rc == E_CLOSED ? err_set(err, E_PROTOCOL, "cut short") : rc;
	out->n = n;
	out->p[n] = 0;
	return 1;
}

int frame_write(struct stream *s, struct bytes message, struct err *err)
{
	uint8_t prefix[VARINT_MAX];
	struct bytes v[2] = {{prefix, varint_encode(message.n, prefix)}, message};

	return stream_writev(s, v, 2, err);
}
