/* multistream-select 1.0: agreeing on a protocol at the start of a stream, without I/O.
 * SPEC libp2p connections, "multistream-select".
 *
 * The driver reads exactly mss_wanted() bytes at a time and gives them to mss_receive; so it never
 * takes a byte that belongs to the protocol agreed on. What there is to send collects in a buffer:
 *
 *	mss_dialer(&m, names, count); (or mss_listener)
 *	mss_start(&m, &out);
 *	do { write and reset out; read mss_wanted(&m) bytes; rc = mss_receive(&m, bytes, &out, err)
 *} while (rc == 0); write out; rc == 1: m.chosen is the protocol; rc < 0: reset the stream
 */
#ifndef P2P_MSS_PRIV_H
#define P2P_MSS_PRIV_H

#include "base/bytes.h"

#define MSS_HEADER        "/multistream/1.0.0"
#define MSS_LINE_MAX      1024 /* of a line, its newline included */
#define MSS_NAME_MAX      (MSS_LINE_MAX - 1)
#define MSS_PROPOSALS_MAX 64                       /* a listener's patience, in proposals */
#define MSS_OUT_MAX       (4 * (MSS_LINE_MAX + 2)) /* the limit to give the output buffer */

/* Whether the listener serves this name. */
typedef bool (*mss_accept_fn)(void *arg, struct bytes name);

struct mss {
	/* dialer */
	const char *const *names;
	size_t count;
	size_t next; /* the proposal that is out: names[next] */
	/* listener */
	mss_accept_fn accept;
	void *accept_arg;
	int proposals;
	/* the line that is coming in */
	size_t length;     /* 0 while its length is being read */
	uint8_t prefix[2]; /* at most two bytes make a length of 1024 */
	size_t have;       /* bytes of the prefix, then of the line */
	uint8_t line[MSS_LINE_MAX];

	bool greeted;                  /* the other side's header came */
	char chosen[MSS_NAME_MAX + 1]; /* valid after mss_receive answered 1 */
};

/* Proposes names[0], then names[1] …; the names are borrowed, at least one, each of 1 to
 * MSS_NAME_MAX bytes without newline. */
void mss_dialer(struct mss *m, const char *const *names, size_t count);
void mss_listener(struct mss *m, mss_accept_fn accept, void *arg);

/* What is to be sent before anything is received (nothing for a listener: it answers the dialer's
 * header, so that both its lines leave in one packet). */
void mss_start(struct mss *m, struct buf *out);

/* How many bytes to read next: at least 1, never beyond the present line. */
size_t mss_wanted(const struct mss *m);

/* Takes at most mss_wanted() bytes (more is a bug) and appends to `out` what is to be sent.
 * 1 when a protocol is agreed on, 0 to go on; E_PROTOCOL when the other side breaks the rules (or
 * proposes too often), E_UNSUPPORTED when it refused everything a dialer proposed. */
int mss_receive(struct mss *m, struct bytes in, struct buf *out, struct err *err) WARN_UNUSED;

/* One line: length, text, newline. For drivers that send a proposal together with first data. */
void mss_put_line(struct buf *out, struct bytes text);

#endif
