/* Length-prefixed messages over a stream. */
#include "p2p/framed_priv.h"

#include "base/encode.h"

/* 1 and the length, or 0 at the end. */
static int read_length(struct stream *s, uint64_t *length, struct err *err)
{
	uint8_t prefix[VARINT_MAX];
	int used = 0;

	for (size_t n = 0; used == 0 && n < sizeof prefix;) {
		ssize_t got = stream_read(s, prefix + n, 1, err);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return n == 0 ? 0 : err_set(err, E_PROTOCOL, "a message cut short");
		used = varint_decode(bytes_of(prefix, ++n), length);
	}
	return used > 0 ? 1 : err_set(err, E_PROTOCOL, "a message with a malformed length");
}

int framed_read(struct stream *s, struct buf *out, struct err *err)
{
	uint64_t length = 0;
	int rc = read_length(s, &length, err);

	buf_reset(out);
	if (rc <= 0)
		return rc;
	if (length > out->max)
		return err_set(err, E_TOO_LARGE, "a message of %llu bytes, %zu are allowed",
		    (unsigned long long)length, out->max);
	if ((rc = buf_reserve(out, (size_t)length)) != 0)
		return err_set(err, rc, "no memory for a message");
	if (length > 0 && (rc = stream_read_full(s, out->p, (size_t)length, err)) != 0)
		return rc == E_CLOSED ? err_set(err, E_PROTOCOL, "a message cut short") : rc;
	out->n = (size_t)length;
	return 1;
}

int framed_write(struct stream *s, struct bytes message, struct err *err)
{
	uint8_t prefix[VARINT_MAX];
	struct bytes v[2] = {bytes_of(prefix, varint_encode(message.n, prefix)), message};

	return stream_writev(s, v, 2, err);
}
