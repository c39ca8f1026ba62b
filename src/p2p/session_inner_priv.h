/* What session.c (life, frames in), session_out.c (frames out) and ystream.c (streams) share. The
 * rules of yamux are in the core (yamux_priv.h); here its bytes are moved. */
#ifndef P2P_SESSION_INNER_PRIV_H
#define P2P_SESSION_INNER_PRIV_H

#include "p2p/session_priv.h"
#include "p2p/yamux_priv.h"

/* The largest payload we send in a frame: two such frames fill a record, and a stream cannot keep
 * the others waiting for long. */
#define FRAME_PAYLOAD_MAX (NOISE_PLAIN_MAX / 2 - YAMUX_HEADER)

/* What waits to be sent before writers have to wait. */
#define OUT_BATCH (128 * 1024)

/* A growable ring of received bytes; the window bounds it. */
struct ring {
	uint8_t *p;
	size_t cap, first, count;
};

struct ystream {
	struct stream stream;
	struct session *session;
	struct yamux_stream *core; /* NULL once the session is over */
	bool inbound;
	struct res_idle member, idle; /* of the account's lists */
	bool reading, writing;
	bool ended;   /* no more bytes will come: the peer's FIN */
	bool fin_due; /* a half-close that waits for the answer to our proposal */
	int reset;    /* 0, or the E_ code that reads and writes end with */
	char *protocol;
	struct buf expect; /* an answer still to be read: see ystream_set_protocol */
	size_t expect_at;

	struct ring in;
	uint8_t *want; /* a parked reader's memory, filled past the ring */
	size_t want_cap, want_got;
	struct waitq readable;

	const struct bytes *src; /* a parked writer's pieces; src_left bytes of them remain */
	size_t src_at, src_left;
	struct ystream *ready_next, *ready_prev; /* session->ready */
	bool ready;
	struct waitq writable;
};

struct session {
	unsigned refs; /* the owner's and one per stream */
	struct secure *sec;
	struct session_options opt;
	char *remote;
	struct yamux_core core;
	uint32_t n_in, n_out; /* streams held by their owners */
	bool peer_serves;     /* it opened a stream or answered on one */
	struct waitq openable;

	/* The frame being read. */
	uint8_t header[YAMUX_HEADER];
	size_t header_have;
	uint32_t body_left;
	struct ystream *body; /* NULL: thrown away */
	bool body_ends;       /* FIN came with it */
	size_t work;          /* done for the peer since others had their turn */
	struct ring spare;    /* an empty ring's memory, for the next stream that needs one */

	/* Frames out: `out` is filled while `sending` is being written. */
	struct secure_out out, sending;
	size_t out_counted;                      /* their sizes, as the account knows them */
	struct ystream *ready_head, *ready_tail; /* streams with bytes and window */
	struct waitq out_ready, written;
	struct scope *writers; /* where the writer fiber belongs, while session_run reads */
	bool writer_alive;

	uint32_t ping_value;
	struct instant ping_sent, last_read, last_stream;
	struct duration rtt;
	uint64_t bytes_in, bytes_out;
	bool paused;        /* reading waits for its rate */
	bool over;          /* no more frames from streams */
	struct err failure; /* the first reason, when code is not 0 */
};

/* ---- session.c ---- */
/* Notes why the session ends and cuts the channel, which wakes reader and writer. */
void session_fail(struct session *s, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void session_unref(struct session *s);

/* ---- session_out.c ---- */
/* Queues a frame without payload. */
void session_control(struct session *s, const uint8_t header[YAMUX_HEADER]);
/* There is something to write. */
void session_wake_writer(struct session *s);
/* [parks] Gives what is queued a second to go out. */
void session_write_rest(struct session *s);
void session_ready(struct session *s, struct ystream *ys);
void session_unready(struct session *s, struct ystream *ys);
/* One frame from the stream's pending bytes. False when there is no room for it. */
bool session_pull(struct session *s, struct ystream *ys);
/* Tells the account of the queues' sizes. */
void session_out_shrunk(struct session *s);

/* ---- ystream.c ---- */
/* Takes `core` over on success. */
int ystream_new(struct session *s, struct yamux_stream *core, bool inbound, struct ystream **out,
    struct err *err) WARN_UNUSED;
/* Bytes that arrived. Never parks; may reset the stream. */
void ystream_deliver(struct ystream *ys, const uint8_t *p, size_t n);
void ystream_got_fin(struct ystream *ys);
/* The window grew. */
void ystream_wake_writer(struct ystream *ys);
/* The peer reset it: what was received and not read is gone. */
void ystream_got_reset(struct ystream *ys);
/* The session is over: what was received can still be read. The core is gone. */
void ystream_orphaned(struct ystream *ys);
void ring_free(struct ring *r, struct account *a);

#endif
