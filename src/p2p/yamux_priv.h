/* Yamux: many streams over one connection, as a pure state machine. SPEC yamux (libp2p specs).
 *
 * The core owns ids, windows and flags; it never sees a payload byte. The driver moves bytes:
 *
 *   Reading   Read YAMUX_HEADER bytes, call yamux_receive. It says what happened to which stream,
 *             how many body bytes follow on the wire and whether they go to the stream's buffer or
 *             are to be thrown away, and it may hand back one control frame to send. Take the
 *             body off the wire before the next header. On E_PROTOCOL send the GoAway it made and
 *             close. Stop reading while control frames wait unsent, or a peer can fill memory.
 *   Writing   yamux_make_data gives a header for as many bytes as window and frame size allow;
 *             0 means: wait for YAMUX_EV_WINDOW. Frames go out whole, in the order they were made.
 *   Consuming When the application took n bytes from a stream's buffer, call yamux_consumed; when
 * it answers true, send what yamux_make_window makes. Ending    FIN half-closes (yamux_make_data
 * with YAMUX_LAST); both FINs or a reset finish a stream. yamux_release gives the stream back,
 * whatever its state.
 *
 * Accounting, true at every moment for each live stream:
 *   recv_window (the peer may still send) + buffered (arrived, not consumed) + credit (consumed,
 *   not yet granted again) == the configured window.
 * So a stream never buffers more than its window, and all of them together never more than
 * max_buffered: a stream that would go beyond is reset. */
#ifndef P2P_YAMUX_PRIV_H
#define P2P_YAMUX_PRIV_H

#include "base/bytes.h"
#include "base/units.h"

#include <uthash.h>

#define YAMUX_PROTOCOL       "/yamux/1.0.0" /* its name in multistream-select */
#define YAMUX_HEADER         12
#define YAMUX_INITIAL_WINDOW (256u << 10) /* both sides assume it for a new stream */

enum yamux_type {
	YAMUX_DATA = 0,
	YAMUX_WINDOW = 1,
	YAMUX_PING = 2,
	YAMUX_GOAWAY = 3
};
enum yamux_flag {
	YAMUX_SYN = 1,
	YAMUX_ACK = 2,
	YAMUX_FIN = 4,
	YAMUX_RST = 8
};
enum yamux_reason {
	YAMUX_NORMAL = 0,
	YAMUX_PROTOCOL_ERROR = 1,
	YAMUX_INTERNAL_ERROR = 2
};
enum yamux_role {
	YAMUX_CLIENT,
	YAMUX_SERVER
}; /* the dialler is the client */

struct yamux_header {
	enum yamux_type type;
	uint16_t flags; /* YAMUX_SYN | … */
	uint32_t id;
	uint32_t length;
};

void yamux_header_encode(const struct yamux_header *h, uint8_t out[YAMUX_HEADER]);
/* E_PROTOCOL for a wrong version, type or flag, and for types that do not fit the id. */
int yamux_header_decode(
    const uint8_t in[YAMUX_HEADER], struct yamux_header *out, struct err *err) WARN_UNUSED;

struct yamux_config {
	enum yamux_role role;
	uint32_t window;            /* per stream, at least YAMUX_INITIAL_WINDOW */
	uint32_t max_frame;         /* longest body we send */
	uint32_t max_inbound;       /* live streams opened by the peer; more are reset */
	uint32_t max_unacked;       /* streams we opened that the peer has not acknowledged */
	uint32_t max_orphans;       /* streams released before the peer's FIN; more are reset */
	uint64_t max_buffered;      /* bytes buffered over all streams */
	uint32_t ping_burst;        /* pings answered at once … */
	struct duration ping_every; /* … and one more each such time; beyond that is a violation */
};

/* 256 KiB windows, 32 KiB frames, 1,000 inbound, 256 unacknowledged, 1,024 orphans, 32 MiB
 * buffered, 64 pings and then 16 a second. */
struct yamux_config yamux_config_default(enum yamux_role role);

/* A stream. The driver may read the fields and owns `user`; everything else changes through the
 * functions below. Valid until yamux_release. */
struct yamux_stream {
	uint32_t id;
	bool inbound;
	bool syn_pending; /* our first frame carries SYN */
	bool ack_pending; /* our first frame carries ACK */
	bool unacked;     /* opened by us, not acknowledged yet */
	bool fin_sent;
	bool fin_received;
	bool finished;        /* reset, or FIN both ways: no frames any more, not in the table */
	bool orphan;          /* released, waiting for the peer's FIN */
	uint32_t send_window; /* what we may still send */
	uint32_t recv_window; /* what the peer may still send */
	uint32_t buffered;    /* arrived and not consumed */
	uint32_t credit;      /* consumed and not granted again */
	void *user;
	UT_hash_handle hh;
};

struct yamux_core {
	struct yamux_config config;
	struct yamux_stream *streams; /* live ones, by id */
	uint32_t inbound, unacked, orphans;
	uint64_t buffered;
	uint64_t next_id; /* 64 bits, so that running out shows */
	bool goaway_sent;
	bool goaway_received;
	uint32_t goaway_reason; /* the peer's, when received */
	bool ping_out;          /* we wait for the answer to ping_value */
	uint32_t ping_value;
	uint32_t ping_tokens;
	struct instant ping_filled; /* when tokens were last counted */
};

void yamux_init(struct yamux_core *core, const struct yamux_config *config, struct instant now);
/* Frees every live stream, without a word to the peer, held by the driver or not; finished ones
 * that it holds it must still release, before or after. */
void yamux_free(struct yamux_core *core);

/* What a header brought, as bits of yamux_event.what. */
enum yamux_what {
	YAMUX_EV_OPENED = 1,  /* a new inbound stream: accept it, or release it (which resets it) */
	YAMUX_EV_ACKED = 2,   /* one stream of ours less waits for the peer: accepted, or reset */
	YAMUX_EV_WINDOW = 4,  /* the send window grew */
	YAMUX_EV_FIN = 8,     /* no bytes after this frame's body */
	YAMUX_EV_RESET = 16,  /* the stream ended; what is buffered may be dropped */
	YAMUX_EV_PONG = 32,   /* the answer to our ping */
	YAMUX_EV_GOAWAY = 64, /* the peer opens and accepts no more streams */
};

struct yamux_event {
	unsigned what;
	struct yamux_stream *stream; /* NULL when no stream that the driver holds is concerned */
	uint32_t body;               /* bytes that follow on the wire */
	bool keep_body; /* into the stream's buffer; otherwise thrown away. So is the rest
			 * of a body whose stream is released while it comes in. */
	size_t reply_n; /* 0, or YAMUX_HEADER bytes to send */
	uint8_t reply[YAMUX_HEADER];
};

/* One header. `now` is for the ping allowance alone. E_PROTOCOL: send the reply (GoAway) and close
 * the connection. E_MEMORY: the same. Nothing else fails. */
int yamux_receive(struct yamux_core *core, const uint8_t header[YAMUX_HEADER], struct instant now,
    struct yamux_event *out, struct err *err) WARN_UNUSED;

/* Whether yamux_open would succeed; it may again after YAMUX_EV_ACKED, a reset or a release. */
bool yamux_can_open(const struct yamux_core *core);

/* A new stream of ours; its SYN travels with the first frame made for it (yamux_make_window will
 * make one at once). E_LIMIT when too many wait for acknowledgement, E_CLOSED after a GoAway in
 * either direction or when the ids are used up, E_MEMORY. */
int yamux_open(struct yamux_core *core, struct yamux_stream **out, struct err *err) WARN_UNUSED;

/* The header for the next data frame with up to `want` bytes; returns how many it covers, which
 * the driver must send right behind it. With `last`, FIN rides on the frame that covers all of
 * `want`, and an empty frame is made if want is 0. *made is false when there is nothing to send:
 * no window, or the stream's sending side is over. */
enum yamux_last {
	YAMUX_MORE,
	YAMUX_LAST
};
uint32_t yamux_make_data(struct yamux_core *core, struct yamux_stream *s, size_t want,
    enum yamux_last last, uint8_t header[YAMUX_HEADER], bool *made);

/* A window update when one is due: a SYN or ACK waits, or half the window can be granted again.
 * False when nothing is due. */
bool yamux_make_window(
    struct yamux_core *core, struct yamux_stream *s, uint8_t header[YAMUX_HEADER]);
bool yamux_window_due(const struct yamux_core *core, const struct yamux_stream *s);

/* The application consumed n bytes of the stream's buffer (more than are buffered is a bug). True
 * when a window update is due. */
bool yamux_consumed(struct yamux_core *core, struct yamux_stream *s, uint32_t n);

/* Ends the stream in both directions; true when a reset frame was made, false when it had ended. */
bool yamux_make_reset(
    struct yamux_core *core, struct yamux_stream *s, uint8_t header[YAMUX_HEADER]);

/* The driver lets go of the stream and must not use it again. A stream whose FIN was sent stays in
 * the table, unseen, until the peer's FIN (and is reset should data still come). One that is
 * neither finished nor half-closed is reset: true, with the frame. */
bool yamux_release(struct yamux_core *core, struct yamux_stream *s, uint8_t header[YAMUX_HEADER]);

/* Starts a ping; false while one is out. */
bool yamux_make_ping(struct yamux_core *core, uint32_t value, uint8_t header[YAMUX_HEADER]);
/* From now on inbound streams are refused and none can be opened. */
void yamux_make_goaway(
    struct yamux_core *core, enum yamux_reason reason, uint8_t header[YAMUX_HEADER]);

#endif
