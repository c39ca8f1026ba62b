/* p2p: libp2p in C. A host has an identity, listens on addresses, keeps one secured and multiplexed
 * connection per peer, and carries named protocols over it as ordinary streams (rt/stream.h).
 *
 *   carrier: TCP            secured: Noise XX            multiplexed: yamux
 *   below Noise, optional: a private network's key (p2p/pnet.h)
 *   negotiated: multistream-select 1.0, inlined muxer    built in: identify, identify/push, ping
 *   found through: addresses given, identify, mDNS
 *
 * Everything here is for fibers of the world's loop thread. Functions marked [parks] wait within
 * their scope's deadline and end with E_TIMEOUT or E_CANCELLED like any other wait. A host's own
 * fibers live in a scope below the one that p2p_host_new was called in.
 *
 * Peers are hostile until proved otherwise: every table has a limit (struct p2p_limits) and every
 * wait for a peer a deadline (struct p2p_timeouts). A peer that breaks a rule loses its
 * connection, alone, with one line in the log.
 *
 * A peer is known when this host dialled it or it is protected (p2p_protect); the others are
 * strangers. Part of everything that is limited in total is kept for known peers. When the
 * strangers' part is used up, their idle streams give way, then streams of those who have many to
 * those who have few, and for connections the idle ones. Who is refused hears of it by a reset or
 * an end, and the reason stands in the log. */
#ifndef P2P_P2P_H
#define P2P_P2P_H

#include "crypto/identity.h"
#include "p2p/multiaddr.h"
#include "rt/world.h"

struct p2p_host;
struct pnet_key;

/* A connection of a host: never 0, never used again by the same host. */
typedef uint64_t p2p_conn_id;

/* Protocol names longer than this (without the NUL) are never accepted nor proposed. */
#define P2P_PROTOCOL_MAX 127
/* The size of the Noise handshake hash. */
#define P2P_BINDING_SIZE 32

/* ---- a host -------------------------------------------------------------------------------- */

/* With less, keepalives would wait for too long behind other bytes. */
#define P2P_RATE_MIN 65536

struct p2p_limits {
	uint32_t conns_in;       /* inbound connections that finished their handshake */
	uint32_t conns_out;      /* outbound ones, and dials under way */
	uint32_t conns_per_peer; /* crossed dials need two */
	uint32_t handshakes_in;  /* inbound, half open; above it the oldest is dropped */
	uint32_t streams_in;     /* inbound streams per connection; more are reset */
	uint32_t streams_out;    /* outbound streams per connection */
	uint32_t peers;          /* remembered with their addresses, beside those connected */
	size_t buffered;         /* bytes received and not yet read, per connection */
	uint32_t streams_in_per_peer, streams_in_total;
	/* Bytes of buffers: received and not read, waiting to be sent, of records and handshakes
	 * under way. */
	uint64_t memory_per_peer, memory_total;
	/* Bytes a second in each direction, of all and of each stranger; 0: no limit, otherwise at
	 * least P2P_RATE_MIN. Who is above has to wait, nothing is lost. */
	uint64_t rate_total, rate_per_stranger;
	unsigned reserve_percent; /* of conns_in and each total, for known peers; at most 50 */
};

struct p2p_timeouts {
	struct duration handshake;    /* an inbound connection, from accept to ready */
	struct duration dial_address; /* an outbound one, per address, from TCP to ready */
	struct duration dial;         /* a dial over all addresses of a peer */
	struct duration negotiate;    /* a protocol on a stream, either direction */
	struct duration ping_every;   /* keepalive on an established connection */
	struct duration ping_answer;  /* silence after a keepalive that ends the connection */
	struct duration idle;         /* an unprotected connection without streams */
};

struct p2p_options {
	const struct identity *identity; /* copied */
	const char *agent;               /* identify's agentVersion; copied */
	const struct multiaddr *listen;  /* TCP addresses; copied */
	size_t n_listen;
	struct p2p_limits limits;
	struct p2p_timeouts timeouts;
	bool mdns;                        /* announce on and learn from the local network */
	const struct pnet_key *swarm_key; /* of a private network (p2p/pnet.h), copied; or NULL */
};

/* Everything but the identity: no listener, no mDNS, sensible limits and timeouts. */
void p2p_options_default(struct p2p_options *opt);

/* Starts a host: all its listeners are bound on return. `world` must outlive it. E_IN_USE,
 * E_FORBIDDEN (privileged port), E_UNSUPPORTED (an address that is not TCP), with the address in
 * the text; nothing is left running then. */
int p2p_host_new(struct world *world, const struct p2p_options *opt, struct p2p_host **out,
    struct err *err) WARN_UNUSED;

/* [parks] Says goodbye on every connection (at most a second), cancels the handlers' fibers, waits
 * for them, frees. Streams that other fibers still hold stay valid objects, reset. No other fiber
 * may be inside a call on the host, so not from a handler. NULL is nothing to do. */
void p2p_host_close(struct p2p_host *h);

const struct peer_id *p2p_host_id(const struct p2p_host *h);

/* The addresses others may dial, without /p2p: real ports, 0.0.0.0 and :: replaced by the machine's
 * own addresses. At most `cap` are written; returns how many there are. */
size_t p2p_host_addrs(const struct p2p_host *h, struct multiaddr *out, size_t cap);

/* ---- protocols ----------------------------------------------------------------------------- */

enum p2p_direction {
	P2P_INBOUND,
	P2P_OUTBOUND
};

/* Where a stream comes from. The pointers are valid as long as the stream. */
struct p2p_stream_info {
	struct peer_id peer; /* authenticated */
	p2p_conn_id conn;
	enum p2p_direction direction; /* of the stream: who opened it */
	const char *protocol;
	const char *remote; /* the connection's remote multiaddr as text */
};

/* Runs in a fiber of its own, in the connection's scope: it is cancelled when the connection
 * ends. Owns `s` and closes it before it returns. */
typedef void (*p2p_handler_fn)(void *arg, struct stream *s, const struct p2p_stream_info *info);

/* Serves `protocol` from now on; connected peers are told. E_EXISTS, E_INVALID (empty, too long, or
 * a newline inside), E_LIMIT. `arg` must stay valid until p2p_unhandle and the end of the handlers
 * under way, or p2p_host_close. */
int p2p_handle(struct p2p_host *h, const char *protocol, p2p_handler_fn fn, void *arg,
    struct err *err) WARN_UNUSED;
/* Handlers under way go on. */
void p2p_unhandle(struct p2p_host *h, const char *protocol);

/* Asked once per inbound stream, when its protocol is known (info->protocol) and before it is
 * agreed to: false answers as if the protocol did not exist. Never asked about identify and ping.
 * Must not park. NULL admits all. */
typedef bool (*p2p_gate_fn)(void *arg, const struct p2p_stream_info *info);
void p2p_set_gate(struct p2p_host *h, p2p_gate_fn fn, void *arg);

/* ---- dialling and streams ------------------------------------------------------------------ */

/* [parks] Connects to `peer` (NULL: whoever the addresses' /p2p part names, or, without one,
 * whoever answers) at `addrs` and at what else is known of it. A connection that exists is used.
 * Addresses are tried at a stagger of 250 ms, the first to become ready wins; dials to one peer
 * under way are shared. *out (may be NULL) is the connection. Circuit addresses (p2p/relay.h) come
 * after the direct ones.
 * E_INVALID: dialling ourselves, no usable address, or /p2p parts that differ. E_WRONG_PEER:
 * another peer answered. E_LIMIT: too many connections. Otherwise the code of the most telling
 * failure; the text lists each address with its reason. */
int p2p_dial(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n_addrs, p2p_conn_id *out, struct err *err) WARN_UNUSED;

/* [parks] Opens a stream to `peer` for the first of `protocols` that it speaks, on the preferred
 * connection, dialling when there is none (after failures no sooner than a growing pause; E_BUSY
 * says so). The caller owns *out. *chosen (may be NULL) points into `protocols`.
 * With a single protocol that the peer is known to serve, no round trip is waited for: a refusal
 * then shows as E_UNSUPPORTED on the first read. E_UNSUPPORTED: it speaks none of them.
 * E_FORBIDDEN: the connection is limited and none of them may run on such (p2p/relay.h). */
int p2p_open_stream(struct p2p_host *h, const struct peer_id *peer, const char *const *protocols,
    size_t n, struct stream **out, const char **chosen, struct err *err) WARN_UNUSED;

/* [parks] The same on one given connection. E_NOT_FOUND when it is gone. */
int p2p_open_stream_on(struct p2p_host *h, p2p_conn_id conn, const char *const *protocols, size_t n,
    struct stream **out, const char **chosen, struct err *err) WARN_UNUSED;

/* False when `s` is not a stream of a p2p host. */
bool p2p_stream_info(const struct stream *s, struct p2p_stream_info *out);

/* The hash of the connection's Noise handshake, unique to it and known to both ends alone: what
 * proofs made over the connection are bound to. E_NOT_FOUND when it is gone. */
int p2p_conn_binding(const struct p2p_host *h, p2p_conn_id conn, uint8_t out[P2P_BINDING_SIZE],
    struct err *err) WARN_UNUSED;

/* Closes one connection, or all connections to a peer; soon, with a GoAway. `why` goes to the log
 * and to the event. */
void p2p_conn_close(struct p2p_host *h, p2p_conn_id conn, const char *why);
void p2p_disconnect(struct p2p_host *h, const struct peer_id *peer, const char *why);

/* [parks] One /ipfs/ping/1.0.0 round trip. */
int p2p_ping(struct p2p_host *h, const struct peer_id *peer, struct duration *rtt,
    struct err *err) WARN_UNUSED;

/* ---- peers --------------------------------------------------------------------------------- */

/* Remembers addresses of a peer for later dials (at most P2P_PEER_ADDRS_MAX, the oldest go). */
#define P2P_PEER_ADDRS_MAX 16
void p2p_add_addrs(
    struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs, size_t n);

/* Keeps a connection to the peer at `addr` (a /p2p part is optional), from now on and again after
 * each loss: attempts come at most 2 s apart in the first minute, then back off to 60 s, with
 * jitter. Failures are told as P2P_KEEP_FAILED. The connection is protected. E_EXISTS, E_LIMIT,
 * E_INVALID (ourselves, or neither a TCP nor a circuit address). */
int p2p_keep(struct p2p_host *h, const struct multiaddr *addr, struct err *err) WARN_UNUSED;
void p2p_unkeep(struct p2p_host *h, const struct multiaddr *addr);
/* Whether `peer` is the one at a kept address: named by it, or met there. */
bool p2p_kept(const struct p2p_host *h, const struct peer_id *peer);

/* Protects a peer's connections from idle closing and pruning, or stops doing so. Each tag counts;
 * at most eight per peer, names of at most 31 bytes. */
int p2p_protect(
    struct p2p_host *h, const struct peer_id *peer, const char *tag, struct err *err) WARN_UNUSED;
void p2p_unprotect(struct p2p_host *h, const struct peer_id *peer, const char *tag);

bool p2p_connected(const struct p2p_host *h, const struct peer_id *peer);

enum p2p_offence {
	P2P_MALFORMED, /* against the rules of a protocol */
	P2P_OVERSIZED, /* more bytes than it allows */
	P2P_FORGED,    /* a signature or proof that does not hold */
	P2P_REPLAYED,  /* what held once, in another place */
	P2P_TOKEN,     /* an invitation that expired, was revoked, or was never made */
	P2P_OFFENCES
};
const char *p2p_offence_name(enum p2p_offence kind);

/* Misbehaviour. Reports add up, and fade by 10 points a minute: at 100 points the peer's
 * connections end and it is neither dialled nor let in (E_FORBIDDEN, with the reason) until it is
 * down to 50. More points last longer, to 25 minutes at most. The host itself reports what breaks a
 * connection's protocols with 40, as far as it is proved to come from the peer. */
void p2p_report(struct p2p_host *h, const struct peer_id *peer, enum p2p_offence kind,
    unsigned points, const char *why);
/* How a protocol's handler ended: reported with 10 points where the code says that the peer broke a
 * rule (E_PROTOCOL, E_TOO_LARGE), with 40 where it lied (E_BAD_SIGNATURE, E_WRONG_PEER). */
void p2p_report_end(struct p2p_host *h, const struct peer_id *peer, int code, const char *why);

/* What a peer has done within the last hour. */
struct p2p_conduct {
	unsigned points;
	bool banned;
	struct duration left; /* while it is banned */
	uint32_t counts[P2P_OFFENCES];
	char why[96]; /* the last report */
};
/* False for one that nothing is held against. */
bool p2p_conduct(const struct p2p_host *h, const struct peer_id *peer, struct p2p_conduct *out);
/* *left and *why (both may be NULL): for how long, and the last report, valid until the calling
 * fiber parks. */
bool p2p_banned(
    const struct p2p_host *h, const struct peer_id *peer, struct duration *left, const char **why);
void p2p_forgive(struct p2p_host *h, const struct peer_id *peer);

/* What identify told of a peer. The pointers are valid until the calling fiber parks. */
struct p2p_peer_info {
	const char *agent; /* "" while unknown; at most 128 bytes of valid UTF-8 */
	const char *const *protocols;
	size_t n_protocols;
	const struct multiaddr *addrs; /* known addresses from all sources, without /p2p */
	size_t n_addrs;
	bool identified;
	bool connected;
	unsigned n_conns;
};
/* False for a peer never heard of. */
bool p2p_peer_info(const struct p2p_host *h, const struct peer_id *peer, struct p2p_peer_info *out);
bool p2p_peer_speaks(const struct p2p_host *h, const struct peer_id *peer, const char *protocol);

struct p2p_conn_info {
	p2p_conn_id id;
	struct peer_id peer;
	enum p2p_direction direction;
	struct multiaddr remote;
	struct duration rtt; /* of the last keepalive; 0 while unknown */
	struct duration age;
	uint32_t streams_in, streams_out;
	uint64_t bytes_in, bytes_out; /* plaintext, frames included */
	bool preferred;               /* new streams to the peer go here */
	bool protected;
	bool punched;         /* through a hole that DCUtR made */
	bool limited;         /* only some protocols run on it, see p2p/relay.h */
	struct peer_id relay; /* that carries it; empty: a direct connection */
};
/* At most `cap`, oldest first; returns how many there are. */
size_t p2p_conns(const struct p2p_host *h, struct p2p_conn_info *out, size_t cap);
bool p2p_conn_info(const struct p2p_host *h, p2p_conn_id conn, struct p2p_conn_info *out);
/* The connection that new streams to a peer use; false where there is none. */
bool p2p_preferred(const struct p2p_host *h, const struct peer_id *peer, struct p2p_conn_info *out);

/* ---- resources ----------------------------------------------------------------------------- */

struct p2p_usage {
	uint64_t used, by_strangers;
	uint64_t limit, for_strangers, per_peer;
	uint64_t refused, evicted; /* since the host began; evicted: gave way to others */
};

struct p2p_resources {
	struct p2p_usage conns_in, streams_in, memory;
	uint32_t conns_out, max_conns_out;
	uint32_t handshakes_in, max_handshakes_in; /* under way */
	uint64_t rate_total, rate_per_stranger;    /* 0: no limit */
	uint32_t peers;                            /* remembered */
};
/* What peers use of this host now. */
void p2p_resources(const struct p2p_host *h, struct p2p_resources *out);

/* ---- probing ------------------------------------------------------------------------------- */

/* The step at which a probe failed. */
enum p2p_hop {
	P2P_HOP_NONE,    /* it got through */
	P2P_HOP_NAME,    /* no socket address: a name unknown to the resolver, or not TCP */
	P2P_HOP_CONNECT, /* no TCP connection */
	P2P_HOP_SECURE   /* no handshake on it */
};

struct p2p_probe {
	enum p2p_hop hop;
	int code;             /* 0 or the E_ code of the failed step */
	char why[160];        /* its text */
	struct netaddr at;    /* what was tried; family 0 at P2P_HOP_NAME */
	struct duration took; /* to connect, or until connecting failed */
	struct peer_id met;   /* who proved to be there; empty if nobody did */
	uint8_t said[64];     /* how the answer began */
	size_t n_said;
	bool swarm_key; /* we spoke under a private network's key */
};

/* [parks] Tries an address afresh, step by step, one attempt per socket address that its name
 * stands for, each on a connection of its own that is closed again. A /p2p part is ignored: compare
 * `met`. Whoever is there sees a stranger come and go: existing connections are not touched. At
 * most `cap` (not 0) and P2P_PROBES_MAX are made; returns their number, at least 1. */
#define P2P_PROBES_MAX 8
size_t p2p_probe(
    struct p2p_host *h, const struct multiaddr *addr, struct p2p_probe *out, size_t cap);

/* Whether discovery on the local network works, as far as this host can tell. */
struct p2p_mdns_info {
	bool enabled;      /* by the options */
	unsigned sockets;  /* one per interface and IP version, loopback not counted */
	bool heard_itself; /* its own packets came back from one of those */
	unsigned heard;    /* packets of others */
};
void p2p_mdns_info(const struct p2p_host *h, struct p2p_mdns_info *out);

/* ---- events -------------------------------------------------------------------------------- */

enum p2p_event_kind {
	P2P_CONN_OPENED,       /* peer, conn, text (remote address) */
	P2P_CONN_CLOSED,       /* peer, conn, code and text: why */
	P2P_PEER_CONNECTED,    /* peer, conn: its first connection */
	P2P_PEER_DISCONNECTED, /* peer, code and text: its last connection is gone */
	P2P_PEER_IDENTIFIED,   /* peer, conn: see p2p_peer_info; again when a push changes it */
	P2P_PEER_DISCOVERED,   /* peer, addrs: by mDNS; again every 10 s at most, as it answers */
	P2P_KEEP_FAILED        /* addrs[0], code and text; once per change of reason */
};

/* The pointers are valid during the call. */
struct p2p_event {
	enum p2p_event_kind kind;
	struct peer_id peer; /* empty where unknown */
	p2p_conn_id conn;    /* 0 where none */
	const struct multiaddr *addrs;
	size_t n_addrs;
	int code;
	const char *text;
};

/* Called on the loop thread, in order; must not park (send to a channel or spawn a fiber). At most
 * P2P_LISTENERS_MAX: one more is a bug. */
#define P2P_LISTENERS_MAX 16
typedef void (*p2p_event_fn)(void *arg, const struct p2p_event *e);
void p2p_on_event(struct p2p_host *h, p2p_event_fn fn, void *arg);
void p2p_off_event(struct p2p_host *h, p2p_event_fn fn, void *arg);

#endif
