/* The gossip router alone: a state machine that is told what happens and answers with decisions. It
 * does no I/O and has neither clock nor randomness of its own: every call is given the time, and
 * all chance comes from the seed. p2p_gossip (gossip.h) drives one over a host; simulators drive
 * thousands.
 *
 * After each call the driver takes the decisions with gossip_router_next until there are none.
 * Time must not run backwards. */
#ifndef P2P_GOSSIP_ROUTER_H
#define P2P_GOSSIP_ROUTER_H

#include "p2p/gossip.h"

struct gossip_router;
struct gossip_message;

enum gossip_protocol {
	GOSSIP_FLOODSUB,
	GOSSIP_MESHSUB_10,
	GOSSIP_MESHSUB_11,
	GOSSIP_MESHSUB_12
};

struct gossip_id {
	uint8_t n;
	uint8_t bytes[GOSSIP_ID_MAX];
};

/* An RPC as it goes over the wire, length first; counted references. */
struct gossip_frame;
struct bytes gossip_frame_bytes(const struct gossip_frame *f);
struct gossip_frame *gossip_frame_ref(struct gossip_frame *f);
void gossip_frame_unref(struct gossip_frame *f); /* NULL is nothing to do */

struct gossip_router_options {
	struct gossip_params params;
	struct gossip_score_params score;
	const struct identity *identity; /* copied */
	uint64_t seed;
	uint64_t first_seqno;         /* above any that this identity has used: from a clock */
	const struct peer_id *direct; /* copied */
	size_t n_direct;
	size_t peers_max; /* connected and remembered */
	/* Checks an author's signature; NULL: the real check. For simulators, where the cost of a
	 * thousand nodes' elliptic curves would drown all else. */
	int (*verify)(void *arg, const struct gossip_message *m);
	/* The signed record of a peer, to offer it to others; empty when there is none. May be
	 * NULL. */
	struct bytes (*record)(void *arg, const struct peer_id *peer);
	void *arg;
};

/* E_INVALID (parameters), E_MEMORY. */
int gossip_router_new(const struct gossip_router_options *opt, struct instant now,
    struct gossip_router **out, struct err *err) WARN_UNUSED;
void gossip_router_free(struct gossip_router *r);

/* ---- what happens -------------------------------------------------------------------------- */

struct gossip_connect {
	struct peer_id peer;
	enum gossip_protocol protocol;
	enum p2p_direction direction;
	struct bytes ip; /* at most 16 bytes; empty: P6 does not count it */
	void *user;      /* comes back with each frame for it */
};
/* E_LIMIT when there is no room for another peer, E_EXISTS, E_MEMORY. */
int gossip_router_connect(struct gossip_router *r, const struct gossip_connect *c,
    struct instant now, struct err *err) WARN_UNUSED;
void gossip_router_disconnect(
    struct gossip_router *r, const struct peer_id *peer, struct instant now);

/* What was sent may not have arrived: tells the peer all subscriptions and meshes once more. */
void gossip_router_renew(struct gossip_router *r, const struct peer_id *peer, struct instant now);

/* An RPC, without its length. E_PROTOCOL when malformed: nothing of it counted then, and the peer
 * has lost score. E_NOT_FOUND: not connected. */
int gossip_router_receive(struct gossip_router *r, const struct peer_id *peer, struct bytes rpc,
    struct instant now, struct err *err) WARN_UNUSED;

int gossip_router_subscribe(struct gossip_router *r, struct bytes topic,
    const struct gossip_topic_params *params, struct instant now, struct err *err) WARN_UNUSED;
void gossip_router_unsubscribe(struct gossip_router *r, struct bytes topic, struct instant now);
int gossip_router_publish(struct gossip_router *r, struct bytes topic, struct bytes data,
    struct instant now, struct err *err) WARN_UNUSED;

/* The answer to GOSSIP_OUT_DELIVER. Late answers are nothing to do. */
void gossip_router_verdict(struct gossip_router *r, const struct gossip_id *id,
    enum gossip_verdict verdict, struct instant now);
/* Once per params.heartbeat. */
void gossip_router_heartbeat(struct gossip_router *r, struct instant now);

void gossip_router_set_app_score(struct gossip_router *r, const struct peer_id *peer, double score);

/* ---- what is decided ----------------------------------------------------------------------- */

enum gossip_out_kind {
	GOSSIP_OUT_SEND,    /* frame to peer */
	GOSSIP_OUT_DELIVER, /* message: to be judged */
	GOSSIP_OUT_DIAL     /* peer, perhaps at addrs */
};

struct gossip_out {
	enum gossip_out_kind kind;
	struct peer_id peer; /* DELIVER: who sent it */
	void *user;
	struct gossip_frame *frame; /* SEND, DELIVER */
	bool control;               /* SEND: no message inside */
	struct gossip_id id;        /* DELIVER */
	struct p2p_gossip_message message;
	struct multiaddr *addrs; /* DIAL */
	size_t n_addrs;
};
/* False when there is nothing more. What it gives is freed with gossip_out_free. */
bool gossip_router_next(struct gossip_router *r, struct gossip_out *out);
void gossip_out_free(struct gossip_out *out);

/* ---- what can be seen ---------------------------------------------------------------------- */

/* At most `cap`; returns how many there are. `dropped` stays 0. */
size_t gossip_router_peers(const struct gossip_router *r, struct p2p_gossip_peer *out, size_t cap);
/* 0 for a peer never heard of. */
double gossip_router_score(const struct gossip_router *r, const struct peer_id *peer);
bool gossip_router_in_mesh(
    const struct gossip_router *r, struct bytes topic, const struct peer_id *peer);
void gossip_router_topic_peers(
    const struct gossip_router *r, struct bytes topic, size_t *mesh, size_t *subscribers);
/* Aborts when a table contradicts another: for tests. */
void gossip_router_check(const struct gossip_router *r);

#endif
