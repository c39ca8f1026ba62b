/* A yamux session over a secured channel: one reader (the fiber in session_run), one writer fiber,
 * and any number of streams, each a struct stream. Knows nothing of hosts and peers beyond labels.
 * SPEC yamux.
 *
 * Must stay true: the reader never waits for the writer (a peer that does not read cannot stop us
 * from reading); what waits to be sent is bounded; a stream object outlives the session as long as
 * its owner holds it. */
#ifndef P2P_SESSION_PRIV_H
#define P2P_SESSION_PRIV_H

#include "p2p/accounts_priv.h"
#include "p2p/p2p.h"
#include "p2p/secure_priv.h"

struct session;

struct session_options {
	bool dialer; /* odd stream ids */
	uint32_t max_in, max_out;
	uint32_t max_early;  /* outbound ones before the peer has shown that it serves any */
	size_t max_buffered; /* received and not read, over all streams */
	struct duration ping_every, ping_answer;
	/* An inbound stream, taken over on 0; otherwise it is reset. Called by the reader: must not
	 * park. */
	int (*on_stream)(void *arg, struct stream *s);
	void *arg;
	/* Labels for p2p_stream_info; the text is copied. */
	struct peer_id peer;
	p2p_conn_id conn;
	const char *remote;
	/* What it uses is counted there, until session_run returns; or NULL. */
	struct account *account;
};

struct session_stats {
	uint32_t streams_in, streams_out; /* not yet closed by their owners */
	uint64_t bytes_in, bytes_out;
	struct duration rtt;
	struct instant last_stream; /* when the last stream closed, or the session began */
};

/* Takes `sec` over on success. E_MEMORY. */
int session_new(struct secure *sec, const struct session_options *opt, struct session **out,
    struct err *err) WARN_UNUSED;
/* Gives up the owner's hold; session_run has returned or never ran. Streams held elsewhere stay. */
void session_release(struct session *s);
/* The same, but hands the channel back open. */
struct secure *session_detach(struct session *s);

/* [parks] Reads until the session ends, then says goodbye (at most a second), resets the streams
 * and returns why: E_CLOSED (the peer's end or GoAway), E_PROTOCOL, E_TIMEOUT (no answer to a
 * keepalive), E_RESET, E_CANCELLED… Never 0. */
int session_run(struct session *s, struct err *err);

/* To be called about once a second while it runs: keepalive, buffers of the idle. */
void session_tick(struct session *s);

/* A keepalive now: the peer may have lost its end. Its machine, if it runs, then says so at once.
 */
void session_probe(struct session *s);

/* [parks] while too many opened streams wait for their acknowledgement. The stream's first frame
 * opens it at the peer. E_CLOSED after a GoAway either way, E_LIMIT. */
int session_open(struct session *s, struct stream **out, struct err *err) WARN_UNUSED;
/* Whether session_open may work: running, and no GoAway came. */
bool session_usable(const struct session *s);

/* The label given as options.remote. */
const char *session_remote(const struct session *s);
void session_stats(const struct session *s, struct session_stats *out);

/* ---- its streams --------------------------------------------------------------------------- */

/* The protocol agreed on, for p2p_stream_info; copied. With `unconfirmed`, the peer's answer to its
 * proposal is still to come and is checked by the first read. */
int ystream_set_protocol(
    struct stream *s, const char *protocol, bool unconfirmed, struct err *err) WARN_UNUSED;
bool ystream_info(const struct stream *s, struct p2p_stream_info *out);

#endif
