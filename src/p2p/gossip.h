/* Gossip: publish and subscribe among many peers. SPEC libp2p pubsub, gossipsub-v1.0,
 * gossipsub-v1.1, gossipsub-v1.2.
 *
 * Peers that speak /meshsub/1.2.0, 1.1.0 or 1.0.0, or /floodsub/1.0.0, are served. Every message is
 * signed by its author (StrictSign) and checked before anybody sees it.
 *
 * Who misbehaves loses score, and with it, step by step: our gossip, our own messages, our ear. The
 * weights are in the parameters below; everything is bounded by the limits beside the code.
 *
 * For fibers of the world's loop thread, like p2p.h. */
#ifndef P2P_GOSSIP_H
#define P2P_GOSSIP_H

#include "p2p/p2p.h"

struct p2p_gossip;

#define GOSSIP_TOPIC_MAX   255                     /* bytes of a topic's name */
#define GOSSIP_RPC_MAX     ((size_t)1 << 20)       /* bytes of an RPC, either way */
#define GOSSIP_DATA_MAX    (GOSSIP_RPC_MAX - 4096) /* bytes of a message's content */
#define GOSSIP_TOPICS_MAX  256                     /* that we subscribe to or publish on */
#define GOSSIP_SEQNO_SIZE  8
#define GOSSIP_ID_MAX      64 /* bytes of a message id */
#define GOSSIP_PROTOCOLS_N 4

#define GOSSIP_PROTOCOL_12    "/meshsub/1.2.0"
#define GOSSIP_PROTOCOL_11    "/meshsub/1.1.0"
#define GOSSIP_PROTOCOL_10    "/meshsub/1.0.0"
#define GOSSIP_PROTOCOL_FLOOD "/floodsub/1.0.0"

/* ---- parameters ---------------------------------------------------------------------------- */

/* SPEC gossipsub-v1.0 "Parameters", v1.1 "Overview of New Parameters". */
struct gossip_params {
	unsigned d, d_lo, d_hi; /* peers in a mesh: wanted, at least, at most */
	unsigned d_score;       /* kept by score, when there are too many */
	unsigned d_out;         /* of those that we dialled; < d_lo and <= d / 2 */
	unsigned d_lazy;        /* peers gossiped to, at least */
	double gossip_factor;   /* … and this part of those outside the mesh */
	struct duration heartbeat;
	struct duration fanout_ttl;
	struct duration seen_ttl;
	unsigned mcache_len, mcache_gossip; /* heartbeats: a message is kept, is gossiped about */
	struct duration prune_backoff, unsubscribe_backoff;
	struct duration graft_flood;    /* a GRAFT this soon after a PRUNE counts twice */
	struct duration iwant_followup; /* a promised message must have come by then */
	unsigned ihave_messages_max;    /* from a peer, per heartbeat */
	unsigned ihave_ids_max;         /* in one IHAVE of ours; asked of a peer per heartbeat */
	unsigned iwant_repeats_max;     /* the same message to the same peer */
	size_t idontwant_min;           /* bytes of content that make an IDONTWANT worth it */
	unsigned opportunistic_ticks;   /* heartbeats between opportunistic grafts */
	unsigned opportunistic_peers;
	unsigned direct_ticks; /* heartbeats between attempts to reach direct peers */
	unsigned px_peers;     /* in a PRUNE of ours; 0: no peer exchange */
	bool flood_publish;    /* own messages go to all subscribers, not the mesh alone */
};

/* SPEC gossipsub-v1.1 "Topic Parameter Calculation and Decay". Weights of penalties are negative;
 * a weight of 0 turns its part off. Decays are factors per decay interval. */
struct gossip_topic_params {
	double topic_weight;
	double p1_weight, p1_cap; /* time in mesh, in quanta */
	struct duration p1_quantum;
	double p2_weight, p2_decay, p2_cap; /* first deliveries */
	double p3_weight, p3_decay, p3_cap, p3_threshold;
	struct duration p3_window, p3_activation;
	double p3b_weight, p3b_decay; /* mesh failures: sticky */
	double p4_weight, p4_decay;   /* invalid messages, squared */
};

struct gossip_score_params {
	double topic_cap;  /* of the positive part of all topics together; 0: none */
	double app_weight; /* P5 */
	double ip_weight;  /* P6, squared above the threshold */
	unsigned ip_threshold;
	double behaviour_weight, behaviour_threshold, behaviour_decay; /* P7, squared */
	struct duration decay_interval;
	double decay_to_zero;
	struct duration retain; /* a score after the peer has gone */
	/* graylist <= publish <= gossip <= 0; px and opportunistic >= 0 */
	double gossip_threshold, publish_threshold, graylist_threshold;
	double px_threshold, opportunistic_threshold;
};

void gossip_params_default(struct gossip_params *p);
/* What a topic gets that was subscribed to without parameters: P1, P2 and P4. P3 is off, since it
 * needs to know how much traffic a topic has. */
void gossip_topic_params_default(struct gossip_topic_params *p);
void gossip_score_params_default(struct gossip_score_params *p);
/* Whether they obey the spec's rules; E_INVALID names the one that is broken. */
int gossip_params_check(const struct gossip_params *p, struct err *err) WARN_UNUSED;
int gossip_score_params_check(const struct gossip_score_params *p, struct err *err) WARN_UNUSED;
int gossip_topic_params_check(const struct gossip_topic_params *p, struct err *err) WARN_UNUSED;

/* ---- the service --------------------------------------------------------------------------- */

struct p2p_gossip_options {
	struct gossip_params params;
	struct gossip_score_params score;
	const struct peer_id *direct; /* explicit peers: always told, never in a mesh; copied */
	size_t n_direct;
	size_t queue_control; /* bytes waiting for one peer, above which control is dropped */
	size_t queue_data;    /* … above which messages are dropped */
	/* With whom to gossip at all; NULL: with everybody. Must not park. Who may only later is
	 * met by p2p_gossip_meet. */
	bool (*with)(void *arg, const struct peer_id *peer);
	void *with_arg;
};
void p2p_gossip_options_default(struct p2p_gossip_options *opt);

/* A message. The views are valid during the call that shows them. */
struct p2p_gossip_message {
	struct peer_id from;   /* the author, whose signature was checked */
	struct peer_id source; /* who sent it to us */
	struct bytes topic, data, seqno;
};

enum gossip_verdict {
	GOSSIP_ACCEPT, /* good: passed on */
	GOSSIP_IGNORE, /* of no use, nobody's fault: not passed on */
	GOSSIP_REJECT  /* against the rules: whoever sent it loses score (P4) */
};

/* Judges a message of a topic before it is passed on, and takes it. On the loop thread; must not
 * park. */
typedef enum gossip_verdict (*p2p_gossip_fn)(void *arg, const struct p2p_gossip_message *m);

/* Serves the protocols above on `host`, which must outlive it, and opens a stream to each peer that
 * speaks one, as soon as identify says so. E_EXISTS when they are served already, E_INVALID for
 * parameters against the rules, E_MEMORY, E_LIMIT. Its fibers live below the current scope. */
int p2p_gossip_new(struct p2p_host *host, const struct p2p_gossip_options *opt,
    struct p2p_gossip **out, struct err *err) WARN_UNUSED;
/* Begins to gossip with a connected peer whom options.with lets in now. */
void p2p_gossip_meet(struct p2p_gossip *g, const struct peer_id *peer);
/* [parks] Before p2p_host_close. Not from a handler. NULL is nothing to do. */
void p2p_gossip_close(struct p2p_gossip *g);

/* From now on `fn` sees what others publish on `topic` (not what we publish ourselves). `params` is
 * copied; NULL: the default ones. E_EXISTS, E_INVALID (empty, too long, or bad parameters),
 * E_LIMIT, E_MEMORY. */
int p2p_gossip_subscribe(struct p2p_gossip *g, const char *topic,
    const struct gossip_topic_params *params, p2p_gossip_fn fn, void *arg,
    struct err *err) WARN_UNUSED;
/* Also from within `fn`. Unknown topics are nothing to do. */
void p2p_gossip_unsubscribe(struct p2p_gossip *g, const char *topic);

/* Signs and sends, subscribed or not; never parks. Having nobody to send to is no error: later
 * peers may hear of it by gossip. E_TOO_LARGE, E_INVALID (topic), E_LIMIT, E_MEMORY. */
int p2p_gossip_publish(
    struct p2p_gossip *g, const char *topic, struct bytes data, struct err *err) WARN_UNUSED;

/* The application's own opinion of a peer (P5). Unknown peers are nothing to do. */
void p2p_gossip_set_app_score(struct p2p_gossip *g, const struct peer_id *peer, double score);

/* What is known of a peer, and where its score comes from. */
struct p2p_gossip_peer {
	struct peer_id id;
	const char *protocol; /* one of the names above */
	bool connected;       /* or only remembered for its score */
	bool outbound;        /* we dialled it */
	bool direct;
	unsigned topics, meshes; /* it subscribes to; we share with it */
	double score;
	double topics_score, app_score, ip_penalty, behaviour_penalty; /* parts of the score */
	double invalid;                                                /* P4's count, all topics */
	uint64_t dropped; /* frames not sent because it reads too slowly */
};
/* At most `cap`; returns how many there are. */
size_t p2p_gossip_peers(const struct p2p_gossip *g, struct p2p_gossip_peer *out, size_t cap);
/* How many peers are in our mesh of `topic`, and how many known to subscribe to it. */
void p2p_gossip_topic_peers(
    const struct p2p_gossip *g, const char *topic, size_t *mesh, size_t *subscribers);

#endif
