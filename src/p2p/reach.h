/* Can others dial this host, and if not, can a hole be made? AutoNAT: peers are asked to dial back,
 * and do the same for others. SPEC libp2p autonat v1. */
#ifndef P2P_REACH_H
#define P2P_REACH_H

#include "p2p/p2p.h"

enum p2p_reach {
	P2P_REACH_UNKNOWN,
	P2P_REACH_PUBLIC,
	P2P_REACH_PRIVATE
};

struct p2p_autonat_options {
	bool ask;   /* find out about this host */
	bool serve; /* dial back for others */
	/* Addresses that are not public, too: for tests and networks without an outside. Elsewhere
	 * a dial-back from the same network says nothing about the reach from outside. */
	bool private_too;
	/* Dial-backs in a minute, for one peer and in total; 0: no limit. */
	uint32_t per_peer, per_minute;
	/* A question to one peer each; `refresh` once it is decided. One peer is asked no sooner
	 * than a minute after its last answer. */
	struct duration retry, refresh;
};
void p2p_autonat_options_default(struct p2p_autonat_options *opt);

/* Starts it, once. `opt` NULL: the default. E_EXISTS, E_MEMORY, E_LIMIT. */
int p2p_autonat_start(
    struct p2p_host *h, const struct p2p_autonat_options *opt, struct err *err) WARN_UNUSED;

struct p2p_reach_info {
	enum p2p_reach reach;
	unsigned dialled, failed; /* peers whose last answer, within the hour, says so */
	struct multiaddr addr;    /* where the last of them reached us; n 0: none did */
};
/* Decided by more than three peers of one opinion. Where it is public the address is among the
 * host's. */
void p2p_reachability(const struct p2p_host *h, struct p2p_reach_info *out);

/* ---- DCUtR --------------------------------------------------------------------------------- */

/* From now on relayed connections are followed by attempts at a direct one: both ends dial at the
 * same time, each from the port that it listens on, three times. Where that fails, both try again
 * for as long as the connection is relayed, by dialling what addresses are known and by one more
 * such attempt: after 30 s, then less and less often down to each 10 minutes, and soon after either
 * side's addresses have changed or mDNS has seen the peer. Once a direct connection stands, new
 * streams use it, and the relayed connection ends when its last stream has. SPEC libp2p DCUtR.
 * E_EXISTS, E_MEMORY, E_LIMIT. */
int p2p_dcutr_start(struct p2p_host *h, struct err *err) WARN_UNUSED;

struct p2p_dcutr_stats {
	uint32_t tried;     /* relayed connections */
	uint32_t succeeded; /* of them */
	uint32_t attempts;  /* at a hole, both roles */
};
void p2p_dcutr_stats(const struct p2p_host *h, struct p2p_dcutr_stats *out);

/* ---- how the router maps ports ----------------------------------------------------------------
 */

enum p2p_mapping {
	P2P_MAPPING_UNKNOWN, /* fewer than two peers beyond the router to ask */
	P2P_MAPPING_NONE,    /* peers see this machine's own address */
	P2P_MAPPING_ONE,     /* one port for all peers: holes can be made */
	P2P_MAPPING_BY_PEER  /* another port, or address, for each peer: "symmetric NAT" */
};

#define P2P_MAPPING_SEEN_MAX 3
struct p2p_mapping_info {
	enum p2p_mapping kind;
	unsigned peers;                            /* beyond the router, that told */
	struct netaddr seen[P2P_MAPPING_SEEN_MAX]; /* where they see the port that we listen on */
};
/* [parks] Asks connected peers that this host has dialled, at most some seconds; what was found
 * holds for 90 s. SPEC RFC 5780, endpoint-independent and -dependent mapping. */
void p2p_mapping(struct p2p_host *h, struct p2p_mapping_info *out);

/* ---- the router ---------------------------------------------------------------------------- */

/* Asks the router (NAT-PMP, then UPnP) to forward a port to the first IPv4 listener that is not on
 * loopback, renews that, and takes it back when the host closes (which may take 5 s more). While it
 * lasts the address outside is among the host's. E_EXISTS, E_NOT_FOUND without such a listener,
 * E_MEMORY. */
int p2p_portmap_start(struct p2p_host *h, struct err *err) WARN_UNUSED;

struct p2p_portmap_info {
	const char *method;       /* "NAT-PMP", "UPnP", or "" while nothing is mapped */
	struct multiaddr addr;    /* outside; n 0 while nothing is mapped */
	struct duration left;     /* of the lease */
	const char *last_failure; /* "" when the last request worked; valid until the fiber parks */
};
void p2p_portmap(const struct p2p_host *h, struct p2p_portmap_info *out);

#endif
