/* A network of gossip routers without sockets, fibers or signatures' cost: the production router, a
 * queue of events, and a seed.
 *
 * What is modelled: links with latency that keep their order, as streams do; dropped RPCs, in the
 * way the service drops them (a sender that lost control tells all anew a second later); Byzantine
 * nodes; a partition and its end. Signatures are abstracted to one bit: a forged message carries
 * zeros. Everything else is real, the encoding of RPCs included.
 *
 * Hops are those of the copy that came first. The wider the spread of latencies, the more often
 * that is one that took many quick hops instead of a few slow ones. */
#ifndef SIM_P2P_GOSSIP_NET_H
#define SIM_P2P_GOSSIP_NET_H

#include "p2p/gossip_router.h"
#include "p2p/gossip_wire_priv.h"

#define NET_TOPIC        "sim"
#define NET_MESSAGES_MAX 64
#define NET_RECENT       64  /* ids that an attacker remembers */
#define HOP_NONE         255 /* has not got it */
#define HOPS_WANTED      6

enum net_role {
	ROLE_HONEST,
	ROLE_ECLIPSE, /* crowds around victims, grafts, swallows everything */
	ROLE_SPAM,    /* forged messages */
	ROLE_IWANT,   /* floods of IWANT */
	ROLE_CHURN,   /* GRAFT and PRUNE without end, backoff or not */
	ROLE_IHAVE    /* promises what does not exist */
};

struct net_options {
	uint64_t seed;
	unsigned nodes;
	double byzantine, drop;                  /* parts of 1 */
	unsigned dials;                          /* of each node */
	uint64_t latency_min_ms, latency_max_ms; /* of an RPC */
	unsigned messages; /* before the partition; a quarter as many after it */
};

struct net_link {
	unsigned a, b; /* a dialled */
	bool up;
	bool renew_due[2];         /* a told b, or b told a, too little */
	struct instant arrival[2]; /* of the last RPC to b, to a */
	uint32_t epoch;            /* grows each time it goes down */
};

struct net_node {
	enum net_role role;
	struct identity id;
	struct gossip_router *router; /* of honest ones */
	bool eclipsed;                /* by completely Byzantine company */
	bool half;                    /* its side of the partition */
	uint8_t ip[4];
	struct net_link **links;
	size_t n_links, cap;
	uint8_t hops[NET_MESSAGES_MAX];
	/* attackers */
	struct gossip_id recent[NET_RECENT];
	unsigned n_recent;
	uint64_t spam;
};

enum net_event_kind {
	EVENT_RPC,
	EVENT_HEARTBEAT,
	EVENT_ATTACK,
	EVENT_RENEW,
	EVENT_UP,
	EVENT_PUBLISH,
	EVENT_CUT,
	EVENT_CHECK
};

struct net_event {
	struct instant at;
	uint64_t seq;
	enum net_event_kind kind;
	unsigned node;         /* whom it happens to */
	struct net_link *link; /* RPC, RENEW, UP */
	uint32_t epoch;
	unsigned message;
	struct gossip_frame *frame; /* RPC from a router */
	struct buf raw;             /* RPC from an attacker */
};

struct net {
	struct net_options opt;
	struct net_node *nodes;
	struct net_link *links;
	size_t n_links, links_cap;
	struct net_event *heap;
	size_t n_heap, heap_cap;
	uint64_t seq, random, hash, events;
	struct instant now, end;
	unsigned n_messages, published;
	unsigned honest; /* those that count */
	uint64_t forged_taken, taken_twice;
	unsigned heal_beats; /* heartbeats that the mesh needed; 0 before */
	char failure[200];
};

struct net_result {
	double within, finally; /* parts of the honest, over all messages; within HOPS_WANTED */
	double worst;           /* message, finally */
	unsigned heal_beats, messages, honest, eclipsed, hops;
	uint64_t hash, events;
	char failure[200]; /* "" */
};

/* Plays one seed to its end. */
void net_play(const struct net_options *opt, struct net_result *out);

/* ---- gossip_net.c, for gossip_attack.c ---- */
uint64_t net_random(struct net *n);
/* Sends an RPC of an attacker; takes `rpc` over. */
void net_send_raw(struct net *n, struct net_link *link, unsigned from, struct buf *rpc);
static inline unsigned net_other(const struct net_link *l, unsigned node)
{
	return l->a == node ? l->b : l->a;
}

/* ---- gossip_attack.c ---- */
void attack_greet(struct net *n, unsigned node, struct net_link *link);
void attack_receive(struct net *n, unsigned node, struct bytes rpc);
/* Once per heartbeat. */
void attack_beat(struct net *n, unsigned node);

#endif
