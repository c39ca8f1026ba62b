/* multistream-select: one incoming line at a time, and what it means for each role. */
#include "p2p/mss_priv.h"

#include "base/encode.h"

static const char na[] = "na";

void mss_put_line(struct buf *out, struct bytes text)
{
	INVARIANT(text.n > 0 && text.n <= MSS_NAME_MAX);
	buf_varint(out, text.n + 1);
	buf_bytes(out, text);
	buf_u8(out, '\n');
}

void mss_dialer(struct mss *m, const char *const *names, size_t count)
{
	INVARIANT(count > 0);
	*m = (struct mss){.names = names, .count = count};
}

void mss_listener(struct mss *m, mss_accept_fn accept, void *arg)
{
	*m = (struct mss){.accept = accept, .accept_arg = arg};
}

void mss_start(struct mss *m, struct buf *out)
{
	if (!m->names)
		return;
	mss_put_line(out, bytes_str(MSS_HEADER));
	mss_put_line(out, bytes_str(m->names[0]));
}

size_t mss_wanted(const struct mss *m)
{
	return m->length ? m->length - m->have : 1;
}

/* One byte of the length prefix. 0, or E_PROTOCOL. */
static int take_prefix(struct mss *m, uint8_t byte, struct err *err)
{
	uint64_t length;
	int n;

	m->prefix[m->have++] = byte;
	n = varint_decode(bytes_of(m->prefix, m->have), &length);
	if (n == 0 && m->have < sizeof(m->prefix))
		return 0;
	if (n <= 0 || length == 0 || length > MSS_LINE_MAX)
		return err_set(err, E_PROTOCOL, "a multistream line of a bad length");
	if (!m->greeted && length != sizeof(MSS_HEADER)) /* its newline for the NUL */
		return err_set(err, E_PROTOCOL, "the other side does not speak " MSS_HEADER);
	m->length = (size_t)length;
	m->have = 0;
	return 0;
}

static int agree(struct mss *m, struct bytes name)
{
	memcpy(m->chosen, name.p, name.n);
	m->chosen[name.n] = 0;
	return 1;
}

/* The dialer hears its proposal again, or "na". */
static int dialer_line(struct mss *m, struct bytes line, struct buf *out, struct err *err)
{
	if (bytes_equal(line, bytes_str(m->names[m->next])))
		return agree(m, line);
	if (!bytes_equal(line, bytes_str(na)))
		return err_set(err, E_PROTOCOL, "an unexpected answer to %s", m->names[m->next]);
	m->next++;
	if (m->next == m->count)
		return err_set(err, E_UNSUPPORTED, "the other side does not speak %s%s",
		    m->names[0], m->count > 1 ? " nor the alternatives" : "");
	mss_put_line(out, bytes_str(m->names[m->next]));
	return 0;
}

/* The listener repeats what it accepts. "ls" is obsolete and unknown like any other name. */
static int listener_line(struct mss *m, struct bytes line, struct buf *out, struct err *err)
{
	if (++m->proposals > MSS_PROPOSALS_MAX)
		return err_set(err, E_PROTOCOL, "too many protocol proposals");
	if (line.n > 0 && !memchr(line.p, 0, line.n) && m->accept(m->accept_arg, line)) {
		mss_put_line(out, line);
		return agree(m, line);
	}
	mss_put_line(out, bytes_str(na));
	return 0;
}

static int take_line(struct mss *m, struct bytes line, struct buf *out, struct err *err)
{
	if (line.p[line.n - 1] != '\n')
		return err_set(err, E_PROTOCOL, "a multistream line without a newline");
	line.n--;
	if (m->greeted)
		return m->names ? dialer_line(m, line, out, err) : listener_line(m, line, out, err);
	if (!bytes_equal(line, bytes_str(MSS_HEADER)))
		return err_set(err, E_PROTOCOL, "the other side does not speak " MSS_HEADER);
	m->greeted = true;
	if (!m->names)
		mss_put_line(out, line);
	return 0;
}

int mss_receive(struct mss *m, struct bytes in, struct buf *out, struct err *err)
{
	int rc;

	INVARIANT(in.n <= mss_wanted(m));
	if (in.n == 0)
		return 0;
	if (m->length == 0)
		return take_prefix(m, in.p[0], err);
	memcpy(m->line + m->have, in.p, in.n);
	m->have += in.n;
	if (m->have < m->length)
		return 0;
	rc = take_line(m, bytes_of(m->line, m->length), out, err);
	m->length = 0;
	m->have = 0;
	return rc;
}
