/* The inside of a host: what host.c (life, listening), conn.c (connections), peers.c (the peer
 * book), dial.c, keep.c, protocols.c, identify_service.c, ping_service.c and mdns_service.c share.
 *
 * Ownership: host > peers, connections, handlers, all talloc children of the host. A connection
 * belongs to its fiber, which unlinks and frees it. Fibers live in host->scope; those of a
 * connection (handlers, identify) in connection->scope, below it.
 *
 * Must stay true: a peer with connections is never dropped from the book, nor is one that holds
 * anything of the host's resources (conn->account of its connections, peer->account); whoever parks
 * looks up connections and peers again by id. */
#ifndef P2P_HOST_PRIV_H
#define P2P_HOST_PRIV_H

#include "p2p/bans_priv.h"
#include "p2p/identify_priv.h"
#include "p2p/p2p.h"
#include "p2p/pnet.h"
#include "p2p/relay.h"
#include "p2p/session_priv.h"

#include <uthash.h>

#define PROTOCOL_PING    "/ipfs/ping/1.0.0"
#define PROTOCOL_DCUTR   "/libp2p/dcutr"
#define PROTOCOL_VERSION "ipfs/0.1.0" /* identify's protocolVersion, shared by all deployments */

#define HANDLERS_MAX   64
#define LISTEN_MAX     16
#define HOST_ADDRS_MAX 32
#define KEEPS_MAX      64
#define TAGS_MAX       8
#define TAG_SIZE       32
#define PEER_BUCKETS   4096
/* Steps of inbound handshakes in a turn of the loop: each takes a good part of a millisecond, and
 * hundreds may come at once. */
#define SHAKING_MAX 4
/* What a handshake under way counts as. */
#define HALF_OPEN_MEMORY 16384

struct handler {
	char protocol[P2P_PROTOCOL_MAX + 1];
	p2p_handler_fn fn;
	void *arg;
	bool builtin; /* the gate is not asked */
};

struct peer {
	struct peer_id id;
	struct peer *hash_next;
	struct peer *newer, *older; /* while idle, by last use; the oldest is dropped first */
	bool idle;                  /* neither connected nor protected */
	struct res_peer account;
	struct conn *conns;      /* linked by conn->peer_next */
	struct multiaddr *addrs; /* newest first, without /p2p */
	size_t n_addrs;
	struct identify said; /* what identify and pushes told */
	bool identified;
	bool was_relayed; /* a relay has carried a connection to it */
	char tags[TAGS_MAX][TAG_SIZE];
	size_t n_tags;
	unsigned failures; /* dials in a row that failed */
	struct instant dial_after;
	struct instant discovered; /* last told of, by mDNS */
};

struct conn {
	struct p2p_host *host;
	struct conn *next, *prev; /* host->conns, oldest first */
	struct conn *peer_next;
	struct peer *peer;
	UT_hash_handle hh; /* host->by_id */
	struct account account;
	p2p_conn_id id;
	enum p2p_direction direction;
	struct multiaddr remote;
	uint8_t binding[P2P_BINDING_SIZE];
	struct peer_id relay; /* empty: a direct connection */
	bool limited, punched;
	bool led;                   /* DCUtR was tried on it */
	bool following;             /* they lead an exchange of DCUtR on it now */
	unsigned followed;          /* such exchanges, less those long ago */
	struct instant follow_paid; /* up to when they were taken off */
	struct direct_plan *direct; /* for a relayed one: when to try without; NULL: not yet */
	struct session *session;
	struct scope *scope; /* on its fiber's stack, while that runs */
	struct instant opened;
	struct instant surplus_since; /* another connection is preferred; ns 0: not so */
	unsigned pings_in;
	bool identified; /* it said itself what it speaks */
	bool announce;   /* the peer's first connection */
	bool closing;
	char why[96]; /* when we close it */
};

struct p2p_listener {
	struct p2p_host *host;
	struct listener *socket;
	struct netaddr bound;
};

/* An inbound connection before its handshake is done. */
struct half_open {
	struct half_open *next, *prev; /* oldest first */
	struct p2p_host *host;
	struct stream *raw;
	struct netaddr from;
	struct scope *scope; /* while its fiber runs */
	bool dropped;
};

struct dial;
struct keep;
struct mdns;
struct relay_service;
struct relay_listening;
struct autonat;
struct dcutr;
struct direct_plan;
struct mapping;
struct portmap;

/* Addresses that are ours beside those of the listeners. */
enum addr_source {
	ADDRS_RELAYED,
	ADDRS_MAPPED,
	ADDRS_CONFIRMED,
	ADDR_SOURCES
};
#define SOURCE_ADDRS_MAX 8

struct p2p_host {
	struct world *world;
	struct scope scope;
	struct identity identity;
	char *agent;
	struct p2p_limits limits;
	struct p2p_timeouts timeouts;
	struct pnet_key *swarm_key; /* NULL: no private network */

	struct p2p_listener listeners[LISTEN_MAX];
	size_t n_listeners;
	struct multiaddr addrs[HOST_ADDRS_MAX]; /* p2p_host_addrs, refreshed now and then */
	size_t n_addrs;
	struct {
		struct multiaddr v[SOURCE_ADDRS_MAX];
		size_t n;
	} more_addrs[ADDR_SOURCES];
	struct half_open *half_first, *half_last;
	size_t n_half_open;
	struct sem shaking; /* inbound handshakes that compute in one turn of the loop */

	struct handler handlers[HANDLERS_MAX];
	size_t n_handlers;
	p2p_gate_fn gate;
	void *gate_arg;
	char limited_ok[P2P_LIMITED_PROTOCOLS_MAX][P2P_PROTOCOL_MAX + 1];
	size_t n_limited_ok;
	struct buf record;   /* our signed peer record; empty when the addresses have changed */
	uint64_t record_seq; /* its number */
	bool push_due;       /* protocols or addresses changed since identify last told */

	struct {
		p2p_event_fn fn;
		void *arg;
	} subscribers[P2P_LISTENERS_MAX];
	size_t n_subscribers;

	struct peer *buckets[PEER_BUCKETS];
	uint64_t peers_seed;          /* so that nobody can choose ids of one bucket */
	struct peer *newest, *oldest; /* idle ones */
	size_t n_peers, n_idle;

	struct resources resources;
	struct res_peer unknown; /* whoever is behind the handshakes under way */
	struct conn *conns, *last_conn;
	struct conn *by_id;
	uint32_t n_in, n_out, n_dialling;
	p2p_conn_id next_conn;
	struct dial *dials;
	struct keep *keeps;
	struct mdns *mdns; /* NULL: off */
	struct bans *bans;
	size_t n_keeps;
	uint64_t next_keep;
	struct waitq conns_changed;              /* a connection opened or closed */
	struct relay_service *relay_service;     /* NULL: does not relay */
	struct relay_listening *relay_listening; /* NULL: listens through no relay */
	struct autonat *autonat;
	struct dcutr *dcutr;
	struct portmap *portmap;
	struct mapping *mapping; /* NULL: never asked for */
};

/* ---- host.c ---- */
void host_emit(struct p2p_host *h, const struct p2p_event *e);
/* [parks] Dials from a listener's port. E_NOT_FOUND when no listener fits, E_IN_USE when that port
 * has a connection there already; otherwise like world_tcp_dial. */
int host_dial_from_port(
    struct p2p_host *h, const struct netaddr *to, struct stream **out, struct err *err) WARN_UNUSED;
void netaddr_to_multiaddr(const struct netaddr *a, struct multiaddr *out);
/* Adds our listeners' ports at the IP address where a peer sees us (`seen`, from identify): what a
 * router that keeps or forwards ports makes of us. 0 or E_MEMORY. */
int host_add_observed(const struct p2p_host *h, const struct multiaddr *seen, struct addr_list *out,
    size_t max) WARN_UNUSED;
/* Own addresses anew from the listeners and the interfaces. */
void host_refresh_addrs(struct p2p_host *h);
/* Replaces what a source contributes to our addresses; more than SOURCE_ADDRS_MAX are ignored. */
void host_set_addrs(
    struct p2p_host *h, enum addr_source source, const struct multiaddr *addrs, size_t n);

/* ---- peers.c ---- */
struct peer *peer_find(const struct p2p_host *h, const struct peer_id *id);
/* Finds or makes it and marks it used; the least recently used idle one may go. NULL when memory is
 * out. */
struct peer *peer_get(struct p2p_host *h, const struct peer_id *id);
bool peer_has_addr(const struct peer *p, const struct multiaddr *bare);
void peer_add_addr(struct peer *p, const struct multiaddr *addr);
/* Takes over what identify (or a push: absent fields stay) said; `msg` is empty afterwards. What is
 * wrong with its signed record, which then does not count: E_BAD_SIGNATURE, E_WRONG_PEER … */
int peer_learn(struct peer *p, struct identify *msg, bool push, struct err *err) WARN_UNUSED;
bool peer_speaks(const struct peer *p, const char *protocol);
bool peer_protected(const struct peer *p);
/* After a connection or a tag of it came or went: whether it may be dropped, whether it is known.
 */
void peer_settle(struct p2p_host *h, struct peer *p);

/* ---- conn.c ---- */
/* What upgrade.c makes of a raw stream, and, where it is a circuit, whose. */
struct upgraded {
	struct secure *secure;
	struct peer_id peer;
	uint8_t binding[P2P_BINDING_SIZE];
	struct peer_id relay; /* empty: none */
	bool limited;
	bool punched; /* a direct connection made by DCUtR */
};
/* Starts a connection: its fiber, its place in the tables, its events. Takes up->secure over also
 * on failure. E_LIMIT, E_MEMORY. */
int conn_start(struct p2p_host *h, struct upgraded *up, enum p2p_direction direction,
    const struct multiaddr *remote, p2p_conn_id *out, struct err *err) WARN_UNUSED;
struct conn *conn_find(const struct p2p_host *h, p2p_conn_id id);
/* The connection for new streams to a peer, or NULL. */
struct conn *conn_preferred(const struct p2p_host *h, const struct peer *p);
/* The same among those that no relay carries. */
struct conn *conn_direct(const struct p2p_host *h, const struct peer *p);
void conn_close(struct conn *c, const char *why);
/* The socket address at its other end; false where a relay or a name stands there. */
bool conn_netaddr(const struct conn *c, struct netaddr *out);
/* Whether one more inbound connection fits, perhaps in the place of an idle one, or if its peer is
 * known. */
bool conn_room_in(struct p2p_host *h);
/* Once a second: keepalives, idle and surplus connections. */
void conns_tick(struct p2p_host *h);

/* E_FORBIDDEN, with how long and why, for a peer that is banned. */
int conn_check_ban(
    const struct p2p_host *h, const struct peer_id *peer, struct err *err) WARN_UNUSED;

/* ---- dial.c ---- */
/* [parks] p2p_dial without relays: neither a relayed connection nor a circuit address will do. That
 * it fails says nothing about other ways: the peer is dialled by those as soon as before. */
int dial_direct(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n, p2p_conn_id *out, struct err *err) WARN_UNUSED;
/* [parks] The same from a listener's port where that is possible: a relay is to tell us where it
 * sees that. */
int dial_relay(struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs,
    size_t n, p2p_conn_id *out, struct err *err) WARN_UNUSED;

/* ---- relay_service.c ---- */
/* Whether the peer has a reservation with us: its connection then stays. */
bool relay_holds(const struct p2p_host *h, const struct peer_id *peer);

/* ---- relay_client.c ---- */
/* [parks] From a circuit address to a started connection with `target`, within the scope's
 * deadline. */
int relay_reach(struct p2p_host *h, const struct multiaddr *relay, const struct peer_id *target,
    p2p_conn_id *out, struct err *err) WARN_UNUSED;

/* ---- upgrade.c ---- */
/* [parks] Secures `raw`, which is taken over on success. `expect` is the peer to be met, or NULL.
 */
int upgrade_outbound(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct upgraded *out, struct err *err) WARN_UNUSED;
/* [parks] Who is at the other end of `raw` (E_WRONG_PEER when that is not `expect`, which may be
 * NULL), found out under an identity that is made for this. The caller closes `raw`. */
int upgrade_probe(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct peer_id *met, struct err *err) WARN_UNUSED;
/* [parks] upgrade_outbound under an identity made for the moment: a second connection of ours could
 * cost us the first. */
int upgrade_passing(struct p2p_host *h, struct stream *raw, const struct peer_id *expect,
    struct upgraded *out, struct err *err) WARN_UNUSED;
int upgrade_inbound(
    struct p2p_host *h, struct stream *raw, struct upgraded *out, struct err *err) WARN_UNUSED;

/* ---- protocols.c ---- */
int protocols_inbound(void *conn, struct stream *s); /* session_options.on_stream */
/* What runs on limited connections from the start. */
void protocols_allow_builtin(struct p2p_host *h);
int protocols_open(struct conn *c, const char *const *protocols, size_t n, struct stream **out,
    const char **chosen, struct err *err) WARN_UNUSED;

/* ---- identify_service.c ---- */
void identify_serve(void *arg, struct stream *s, const struct p2p_stream_info *info);
void identify_push_serve(void *arg, struct stream *s, const struct p2p_stream_info *info);
void identify_ask(void *conn);              /* a fiber: asks once */
void identify_push_all(struct p2p_host *h); /* tells every peer that listens for it */

/* ---- ping_service.c ---- */
void ping_serve(void *arg, struct stream *s, const struct p2p_stream_info *info);

/* ---- mdns_service.c ---- */
void mdns_start(struct p2p_host *h); /* failures are logged once and leave it off */

#endif
