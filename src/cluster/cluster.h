/* The cluster: who belongs to it, how they are found, and one table of all peers heard of.
 *
 * A cluster has an id and a key. Over every connection each side proves, on a stream of protocol
 * /opengateway/member/1.0.0, that it knows the key, bound to the Noise handshake, so a proof cannot
 * be replayed elsewhere. Only peers with both proofs done are members: they may use this node,
 * their models go into the catalog, and they tell each other of further members.
 *
 * Sources of addresses: bootstrap peers, mDNS, the hash table (each member provides a key derived
 * from the cluster's), other members, and members of earlier runs. Lost
 * members are dialled again: at most 2 s apart for a minute, then less and less often.
 *
 * A node without a cluster that was given a bootstrap peer asks to join that node's cluster. Such
 * a request is accepted at once from loopback or with auto_accept, else it waits for
 * cluster_accept. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "p2p/gossip.h"
#include "p2p/kad.h"
#include "p2p/p2p.h"
#include "provider/catalog.h"

#define CLUSTER_ID_MAX      128 /* bytes of a cluster's id, with its NUL */
#define CLUSTER_KEY_SIZE    32
#define CLUSTER_PEERS_MAX   1024 /* peers in the table; strangers beyond it are not remembered */
#define CLUSTER_PENDING_MAX 64   /* requests to join that wait for a decision */

#define CLUSTER_INVITES_MAX           64
#define CLUSTER_INVITE_USES_MAX       64
#define CLUSTER_INVITE_ADDRS_MAX      6 /* in one token */
#define CLUSTER_INVITE_LIFETIME_MAX_S (366 * 86400)
#define CLUSTER_TOKEN_TEXT_MAX        1024
#define CLUSTER_PAIR_CODE_SIZE        7 /* six digits and a NUL */
#define CLUSTER_PAIR_SECONDS          120

struct cluster;

struct cluster_options {
	struct world *world;
	struct p2p_host *host;
	struct p2p_kad
	    *kad; /* where to meet members, too; NULL: nowhere. Closed after the cluster. */
	/* To announce this node to members without a session; NULL: not. Should gossip with members
	 * alone (cluster_is_member); closed after the cluster. */
	struct p2p_gossip *gossip;
	struct catalog *catalog; /* members are added here; local entries are announced */
	const char *label;       /* this node's */
	const char *data_dir;    /* cluster.json and peers.json live here */
	const char *name;        /* --cluster, or NULL */
	const char *key;         /* its key, 64 hex digits, or NULL: an open cluster */
	const struct multiaddr *bootstrap;
	size_t n_bootstrap;
	bool auto_accept;
	const struct identity *identity; /* signs invitations; must outlive the cluster */
	const char *join;                /* a join token to use now, or NULL */
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

/* Why `who` (NodeId, PeerId or unique label) is no member, for whoever wants to use it: 0 when it
 * is one, or this node, or no such peer is known; else E_NOT_FOUND (of another cluster, or not let
 * in) or E_UNAVAILABLE (a member that is lost, or connecting), with a text that says what it is and
 * what to do. */
int cluster_absent(const struct cluster *c, const char *who, struct err *err) WARN_UNUSED;

/* Who is meant by `who` (NodeId, PeerId or unique label): this node, or a peer that is known.
 * E_NOT_FOUND, E_INVALID (several have that label). */
int cluster_find(
    const struct cluster *c, const char *who, struct peer_id *out, struct err *err) WARN_UNUSED;
/* The label of a peer; "" while unknown. Valid until the caller parks. */
const char *cluster_label(const struct cluster *c, const struct peer_id *peer);

/* What this node serves has changed: members are told now, not at the next heartbeat. */
void cluster_announce(struct cluster *c);

enum cluster_peer_state {
	PEER_KNOWN, /* heard of, not connected */
	PEER_CONNECTING,
	PEER_CONNECTED, /* connected, membership not settled yet */
	PEER_ASKING,    /* it asks to join us: waits for cluster_accept */
	PEER_WAITING,   /* we asked to join it: waits for its owner */
	PEER_MEMBER,
	PEER_ANNOUNCED, /* a member, as it has announced within three minutes; not connected */
	PEER_FOREIGN,   /* of another cluster, or no OpenGateway node */
	PEER_LOST,      /* was a member; being dialled again */
};
const char *cluster_peer_state_name(enum cluster_peer_state s);

/* Where an address came from; a peer may have several. */
enum cluster_source {
	SOURCE_BOOTSTRAP = 1,
	SOURCE_MDNS = 2,
	SOURCE_EXCHANGE = 4, /* another member told */
	SOURCE_INBOUND = 8,  /* it dialled us */
	SOURCE_SAVED = 16,   /* a member of an earlier run */
	SOURCE_INVITATION = 32,
	SOURCE_DHT = 64,     /* found in the hash table under the cluster's key */
	SOURCE_GOSSIP = 128, /* it announced itself */
};

/* What carries the connection to a peer. */
enum cluster_path {
	PATH_NONE, /* there is none */
	PATH_DIRECT,
	PATH_PUNCHED, /* direct, through a hole made in the routers between */
	PATH_RELAYED  /* a third node passes it on, and sees bytes only */
};
const char *cluster_path_name(enum cluster_path p);

/* One row of the table. The texts are copies. */
struct cluster_peer {
	struct peer_id id;
	char label[NODE_LABEL_MAX]; /* "" until it told */
	enum cluster_peer_state state;
	unsigned sources;                 /* enum cluster_source */
	char address[MULTIADDR_TEXT_MAX]; /* of the connection, or the best known; "" if none */
	enum cluster_path path;
	struct duration rtt;  /* 0 unknown */
	int64_t since_ms;     /* wall time of the last change of state */
	int64_t last_seen_ms; /* wall time; 0 never */
	char failure[160];    /* of the last attempt; "" if none */
	size_t n_models;
	unsigned n_conns; /* more than one for a while, when a better one has just been made */
	bool inbound;
	bool offended; /* it broke rules, within the last hour: */
	struct p2p_conduct conduct;
	bool gossips; /* we gossip with it, and this is its score: */
	double gossip_score;
};

/* Calls `fn` for each row; it must not park. */
void cluster_each(
    const struct cluster *c, void (*fn)(void *arg, const struct cluster_peer *p), void *arg);

/* ---- invitations -----------------------------------------------------------------------------
 *
 * A token carries the cluster's id, the issuer's key and addresses, and a secret. The issuer takes
 * the secret back in exchange for the cluster's key, over the encrypted connection, so expiry,
 * revocation and the number of uses are the issuer's to decide. The secret itself does not travel:
 * both sides prove to each other that they have it. */

enum cluster_invite_state {
	INVITE_OPEN,
	INVITE_EXPIRED,
	INVITE_REVOKED,
	INVITE_USED_UP
};
const char *cluster_invite_state_name(enum cluster_invite_state s);

/* One invitation, without its secret. */
struct cluster_invite {
	char id[17]; /* hex */
	enum cluster_invite_state state;
	int64_t created_s, expires_s; /* wall time */
	uint32_t uses, used;
};

/* [parks] Makes an invitation and writes its token, which the caller wipes; on disk when it
 * returns. `addrs` (may be 0) come before the node's own: what a port forward or a DNS name makes
 * reachable. E_INVALID (lifetime, uses), E_LIMIT, E_UNAVAILABLE (in no cluster yet), E_IO. */
int cluster_invite(struct cluster *c, int64_t lifetime_s, uint32_t uses,
    const struct multiaddr *addrs, size_t n_addrs, char token[CLUSTER_TOKEN_TEXT_MAX],
    struct cluster_invite *out, struct err *err) WARN_UNUSED;
/* Oldest first; `fn` must not park. */
void cluster_each_invite(
    const struct cluster *c, void (*fn)(void *arg, const struct cluster_invite *i), void *arg);
/* [parks] `id` may be shortened as long as it means one. E_NOT_FOUND, E_INVALID, E_IO. */
int cluster_invite_revoke(struct cluster *c, const char *id, struct err *err) WARN_UNUSED;

/* Whether `text` is a join token: whole, and signed by its issuer. E_INVALID, E_BAD_SIGNATURE. */
int cluster_token_check(const char *text, struct err *err) WARN_UNUSED;

/* What joining came to. */
struct cluster_join_result {
	char cluster[CLUSTER_ID_MAX];
	struct peer_id through;
	char label[NODE_LABEL_MAX]; /* of that member; "" while unknown */
};

/* Whether a present cluster may be left for the new one. A cluster that the node made for itself
 * and that nobody else is in gives way anyway. */
enum cluster_leave {
	CLUSTER_STAY,
	CLUSTER_LEAVE
};

/* [parks] Joins with a token; on disk when it returns 0. E_INVALID (no token, or damaged),
 * E_BAD_SIGNATURE (tampered with), E_EXISTS (already a member, or one of another cluster),
 * E_FORBIDDEN (expired, revoked, used up, unknown), E_BUSY (too many wrong attempts, or joining
 * already), E_UNREACHABLE (the issuer; the text has each address and why), E_WRONG_PEER (another
 * node is at its address). */
int cluster_join(struct cluster *c, const char *token, enum cluster_leave leave,
    struct cluster_join_result *out, struct err *err) WARN_UNUSED;

/* [parks] The same while no node runs: checked and stored in the data folder for the next start,
 * which tries until it is told yes or no. `out` without label. E_INVALID, E_BAD_SIGNATURE, E_EXISTS
 * as above; E_FORBIDDEN: it has expired. */
int cluster_join_later(struct world *w, const char *data_dir, const char *token,
    enum cluster_leave leave, struct cluster_join_result *out, struct err *err) WARN_UNUSED;

/* The cluster that the node is trying to join with a token given at its start, and why it did not
 * succeed so far; NULL when there is nothing to tell. Valid until the calling fiber parks. */
const char *cluster_joining(const struct cluster *c, const char **failure);

/* ---- pairing ---------------------------------------------------------------------------------
 *
 * Two machines on one network: one shows a six-digit code, the other is told it. The code is the
 * password of a PAKE (crypto/cpace.h), bound to the connection and both peer ids, so it neither
 * travels nor can be guessed from what does. Three wrong codes end it. */

/* [parks] Shows a code through `show` and lets in whoever is told it, for CLUSTER_PAIR_SECONDS: 0
 * and who it was; E_TIMEOUT, E_FORBIDDEN (three wrong codes), E_BUSY (already pairing),
 * E_UNAVAILABLE (in no cluster yet). */
int cluster_pair_show(struct cluster *c, int (*show)(void *arg, const char *code, struct err *err),
    void *arg, struct cluster_join_result *out, struct err *err) WARN_UNUSED;

/* [parks] Joins the cluster of the node nearby that shows this code. E_INVALID (not six digits),
 * E_NOT_FOUND (no node nearby shows a code), E_FORBIDDEN (wrong code), E_EXISTS as cluster_join. */
int cluster_pair(struct cluster *c, const char *code, enum cluster_leave leave,
    struct cluster_join_result *out, struct err *err) WARN_UNUSED;

/* ---- requests to join ------------------------------------------------------------------------
 */

/* Decides on a request to join, and on later ones of the same peer. `who`: NodeId, PeerId or unique
 * label. E_NOT_FOUND: nobody of that name has asked; E_INVALID: several have that label. */
int cluster_accept(struct cluster *c, const char *who, struct err *err) WARN_UNUSED;
int cluster_reject(struct cluster *c, const char *who, struct err *err) WARN_UNUSED;

#endif
