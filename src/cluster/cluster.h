/* The cluster: who belongs to it, how they are found, and one table of all peers heard of.
 *
 * A cluster has an id and a key. Over every connection each side proves, on a stream of protocol
 * /opengateway/member/1.0.0, that it knows the key, bound to the Noise handshake, so a proof cannot
 * be replayed elsewhere. Only peers with both proofs done are members: they may use this node,
 * their models go into the catalog, and they tell each other of further members.
 *
 * Sources of addresses: bootstrap peers, mDNS, other members, and members of earlier runs. Lost
 * members are dialled again: at most 2 s apart for a minute, then less and less often.
 *
 * A node without a cluster that was given a bootstrap peer asks to join that node's cluster. Such
 * a request is accepted at once from loopback or with auto_accept, else it waits for
 * cluster_accept. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "p2p/p2p.h"
#include "provider/catalog.h"

#define CLUSTER_ID_MAX      128 /* bytes of a cluster's id, with its NUL */
#define CLUSTER_KEY_SIZE    32
#define CLUSTER_PEERS_MAX   1024 /* peers in the table; strangers beyond it are not remembered */
#define CLUSTER_PENDING_MAX 64   /* requests to join that wait for a decision */

struct cluster;

struct cluster_options {
	struct world *world;
	struct p2p_host *host;
	struct catalog *catalog; /* members are added here; local entries are announced */
	const char *label;       /* this node's */
	const char *data_dir;    /* cluster.json and peers.json live here */
	const char *name;        /* --cluster, or NULL */
	const char *key;         /* its key, 64 hex digits, or NULL: an open cluster */
	const struct multiaddr *bootstrap;
	size_t n_bootstrap;
	bool auto_accept;
};

/* [parks] Reads or makes the membership and starts to look for peers. E_INVALID (a bad key or
 * name), E_FORMAT (a damaged cluster.json), E_IO. */
int cluster_new(
    const struct cluster_options *opt, struct cluster **out, struct err *err) WARN_UNUSED;
/* [parks] Leaves: members drop us from their lists at once. The host is closed by its owner, after
 * this. */
void cluster_close(struct cluster *c);

/* "" while asking to join. The text stays until the cluster changes. */
const char *cluster_id(const struct cluster *c);
/* Whether anyone who knows the name may join. */
bool cluster_is_open(const struct cluster *c);

/* Whether `peer` has proved membership. */
bool cluster_is_member(const struct cluster *c, const struct peer_id *peer);

/* What this node serves has changed: members are told now, not at the next heartbeat. */
void cluster_announce(struct cluster *c);

enum cluster_peer_state {
	PEER_KNOWN, /* heard of, not connected */
	PEER_CONNECTING,
	PEER_CONNECTED, /* connected, membership not settled yet */
	PEER_ASKING,    /* it asks to join us: waits for cluster_accept */
	PEER_WAITING,   /* we asked to join it: waits for its owner */
	PEER_MEMBER,
	PEER_FOREIGN, /* of another cluster, or no OpenGateway node */
	PEER_LOST,    /* was a member; being dialled again */
};
const char *cluster_peer_state_name(enum cluster_peer_state s);

/* Where an address came from; a peer may have several. */
enum cluster_source {
	SOURCE_BOOTSTRAP = 1,
	SOURCE_MDNS = 2,
	SOURCE_EXCHANGE = 4, /* another member told */
	SOURCE_INBOUND = 8,  /* it dialled us */
	SOURCE_SAVED = 16,   /* a member of an earlier run */
};

/* One row of the table. The texts are copies. */
struct cluster_peer {
	struct peer_id id;
	char label[NODE_LABEL_MAX]; /* "" until it told */
	enum cluster_peer_state state;
	unsigned sources;                 /* enum cluster_source */
	char address[MULTIADDR_TEXT_MAX]; /* of the connection, or the best known; "" if none */
	struct duration rtt;              /* 0 unknown */
	int64_t since_ms;                 /* wall time of the last change of state */
	int64_t last_seen_ms;             /* wall time; 0 never */
	char failure[160];                /* of the last attempt; "" if none */
	size_t n_models;
	bool inbound;
};

/* Calls `fn` for each row; it must not park. */
void cluster_each(
    const struct cluster *c, void (*fn)(void *arg, const struct cluster_peer *p), void *arg);

/* Decides on a request to join, and on later ones of the same peer. `who`: NodeId, PeerId or unique
 * label. E_NOT_FOUND: nobody of that name has asked; E_INVALID: several have that label. */
int cluster_accept(struct cluster *c, const char *who, struct err *err) WARN_UNUSED;
int cluster_reject(struct cluster *c, const char *who, struct err *err) WARN_UNUSED;

#endif
