/* What the parts of the example share: p2p-peer.c serves, p2p-peer-client.c dials,
 * p2p-peer-relay.c relays and is relayed to. */
#ifndef EXAMPLES_P2P_PEER_H
#define EXAMPLES_P2P_PEER_H

#include "p2p-peer-kad.h"
#include "p2p/gossip.h"
#include "p2p/p2p.h"

#define PROTOCOL_ECHO "/echo/1.0.0" /* everything comes back, until the half-close */
#define PROTOCOL_SINK                                                                              \
	"/sink/1.0.0"               /* read to the end; answered by the count, 8 bytes big-endian  \
				     */
#define PROTOCOL_PERF "/perf/1.0.0" /* SPEC libp2p perf */

#define TOPIC_INTEROP "og-interop" /* ping:x is answered by pong:x */
#define TOPIC_BULK    "og-bulk"    /* passed on, not answered */

#define COPY_SIZE ((size_t)64 * 1024)

struct peer_options {
	struct multiaddr listen[8];
	size_t n_listen;
	struct multiaddr dial;
	bool has_dial;
	const char *protocol;
	uint64_t bytes; /* test pattern per stream; 0: standard input */
	uint32_t streams;
	uint32_t count;       /* pings */
	const char *identity; /* a PEM file, or NULL: a fresh key */
	enum log_level log_level;
	bool mdns;
	const char *swarm_key; /* a key file, or NULL */
	struct peer_kad_options kad;
	struct multiaddr relays[8]; /* to listen through */
	size_t n_relays;
	uint64_t relay_bytes; /* of a circuit and direction; 0: the library's default */
	bool no_address_limit;
	bool map_port;
	bool direct; /* streams wait for a connection that no relay carries */
};

/* [parks] Does what --dial and --protocol ask for and reports on standard output. */
int peer_dial(struct p2p_host *h, const struct peer_options *opt, struct err *err) WARN_UNUSED;

/* [parks] Until a connection to the peer is direct; E_TIMEOUT. */
int peer_wait_direct(struct p2p_host *h, const struct peer_id *peer, struct err *err) WARN_UNUSED;

/* Relays for others and listens through opt->relays. A fiber in `scope`, which ends before the
 * host, prints the addresses that come by it. */
int peer_relay(struct p2p_host *h, const struct peer_options *opt, struct scope *scope,
    struct err *err) WARN_UNUSED;
/* Gossip on both topics; the caller closes it before the host. */
int peer_gossip(struct p2p_host *h, struct p2p_gossip **out, struct err *err) WARN_UNUSED;

#endif
