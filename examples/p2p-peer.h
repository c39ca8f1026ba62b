/* What the two halves of the example share: p2p-peer.c serves, p2p-peer-client.c dials. */
#ifndef EXAMPLES_P2P_PEER_H
#define EXAMPLES_P2P_PEER_H

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
};

/* [parks] Does what --dial and --protocol ask for and reports on standard output. */
int peer_dial(struct p2p_host *h, const struct peer_options *opt, struct err *err) WARN_UNUSED;

/* Gossip on both topics; the caller closes it before the host. */
int peer_gossip(struct p2p_host *h, struct p2p_gossip **out, struct err *err) WARN_UNUSED;

#endif
