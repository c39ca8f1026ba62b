/* The inside of the cluster room: the membership (membership.c), the messages between members
 * (message.c), the peer table (table.c), the sessions (session.c) and what drives them (cluster.c).
 */
#ifndef CLUSTER_CLUSTER_PRIV_H
#define CLUSTER_CLUSTER_PRIV_H

#include "base/encode.h"
#include "cluster/cluster.h"
#include "cluster/invite_priv.h"
#include "cluster/pair_priv.h"
#include "crypto/crypto.h"
#include "p2p/reach.h"

#include <uthash.h>

#define MEMBER_PROTOCOL "/opengateway/member/1.0.0"

#define PROOFS_KEPT 256
struct shown_proof {
	p2p_conn_id conn;
	uint8_t proof[SHA256_SIZE];
};

/* Limits of one message between members. */
#define MEMBER_FRAME_MAX  (256u << 10)
#define MEMBER_MODELS_MAX 64
#define MEMBER_PEERS_MAX  64
#define MEMBER_ADDRS_MAX  8

/* ---- membership.c: which cluster we are in, on disk and in proofs ---------------------------- */

enum membership_origin {
	MEMBERSHIP_OWN,
	MEMBERSHIP_NAMED,
	MEMBERSHIP_JOINED
};

struct membership {
	char id[CLUSTER_ID_MAX]; /* "" while we ask to join one */
	uint8_t key[CLUSTER_KEY_SIZE];
	uint8_t hash[SHA256_SIZE]; /* of the id: what is shown to strangers */
	bool open;
	enum membership_origin origin;
};

/* E_INVALID for an id that is empty, too long or has control characters. */
int membership_set(struct membership *m, const char *id, const uint8_t key[CLUSTER_KEY_SIZE],
    enum membership_origin origin, struct err *err) WARN_UNUSED;
/* The cluster that --cluster (and its key, or NULL: open) names. */
int membership_named(
    struct membership *m, const char *name, const char *key_hex, struct err *err) WARN_UNUSED;
/* From and to <data dir>/cluster.json (mode 0600). E_NOT_FOUND, E_FORMAT, E_IO. */
int membership_load(
    struct world *w, const char *data_dir, struct membership *m, struct err *err) WARN_UNUSED;
int membership_save(
    struct world *w, const char *data_dir, const struct membership *m, struct err *err) WARN_UNUSED;

/* The proof that `prover` knows the key, for `verifier`, on the connection with this binding. */
void membership_proof(const struct membership *m, const uint8_t binding[P2P_BINDING_SIZE],
    const struct peer_id *prover, const struct peer_id *verifier, uint8_t out[SHA256_SIZE]);

/* The proof of an invitation's secret, by the one who joins or (with the cluster's key) by the
 * issuer who admits. */
void invitation_proof(const uint8_t secret[INVITE_SECRET_SIZE], const char *cluster,
    const uint8_t *key, const uint8_t binding[P2P_BINDING_SIZE], const struct peer_id *prover,
    const struct peer_id *verifier, uint8_t out[SHA256_SIZE]);
/* Tells clusters of the same name apart without giving the key away. */
void membership_fingerprint(const struct membership *m, uint8_t out[FINGERPRINT_SIZE]);

/* ---- message.c: what members say to each other ----------------------------------------------- */

/* The first message on a stream, from its opener. */
struct hello {
	char label[NODE_LABEL_MAX]; /* as given */
	bool join;                  /* no cluster yet: asks for this one's */
	bool invited; /* joins by an invitation, whose secret the proof is made with */
	uint8_t invitation[INVITE_ID_SIZE];
	uint8_t hash[SHA256_SIZE];
	uint8_t proof[SHA256_SIZE];
};

enum answer_kind {
	ANSWER_OK,
	ANSWER_REFUSED,
	ANSWER_PENDING,
	ANSWER_ADMITTED
};

/* The other side's answers on the same stream. */
struct answer {
	enum answer_kind kind;
	char reason[64];         /* REFUSED */
	char id[CLUSTER_ID_MAX]; /* ADMITTED */
	uint8_t key[CLUSTER_KEY_SIZE];
	bool open;
	bool proven; /* ADMITTED by an invitation: the proof shows that the issuer has its secret */
	uint8_t proof[SHA256_SIZE];
};

struct member_addr {
	struct peer_id id;
	struct multiaddr addrs[MEMBER_ADDRS_MAX];
	size_t n_addrs;
};

/* What a member tells about itself, whenever it changes and as a heartbeat. On the heap. */
struct member_state {
	struct model_entry models[MEMBER_MODELS_MAX];
	size_t n_models;
	uint32_t running, queued;
	struct multiaddr addrs[MEMBER_ADDRS_MAX];
	size_t n_addrs;
	struct member_addr peers[MEMBER_PEERS_MAX];
	size_t n_peers;
};

/* [parks] One length-prefixed JSON message. Reading: E_TOO_LARGE, E_PROTOCOL for anything
 * malformed.
 */
int hello_send(struct stream *s, const struct hello *h, struct err *err) WARN_UNUSED;
int hello_recv(struct stream *s, struct hello *h, struct err *err) WARN_UNUSED;
int answer_send(struct stream *s, const struct answer *a, struct err *err) WARN_UNUSED;
int answer_recv(struct stream *s, struct answer *a, struct err *err) WARN_UNUSED;
int state_send(struct stream *s, const struct member_state *st, struct err *err) WARN_UNUSED;
int state_recv(struct stream *s, struct member_state *st, struct err *err) WARN_UNUSED;
/* The same without a stream. `st` is zeroed before. */
json_t *state_json(const struct member_state *st);
void state_parse(const json_t *j, struct member_state *st);

/* A question of the doctor, padded to see whether large messages pass, and its answer. */
struct look {
	size_t pad; /* bytes */
};
struct seen {
	int64_t now_ms;                /* the answerer's wall clock */
	bool mdns_listens, mdns_heard; /* whether it has found the asker by mDNS */
	enum p2p_mapping mapping;      /* of the router in front of it, as far as it looked */
	size_t pad;                    /* as many as were asked with */
};
#define LOOK_PAD_MAX (64u << 10)
int look_send(struct stream *s, const struct look *l, struct err *err) WARN_UNUSED;
int look_recv(struct stream *s, struct look *l, struct err *err) WARN_UNUSED;
int seen_send(struct stream *s, const struct seen *a, struct err *err) WARN_UNUSED;
int seen_recv(struct stream *s, struct seen *a, struct err *err) WARN_UNUSED;

/* ---- table.c: all peers heard of --------------------------------------------------------------
 */

/* cluster_accept and cluster_reject. They hold for requests to come, too: who was rejected does not
 * show up again, whose connection broke before the answer need not be accepted twice. */
enum decision {
	UNDECIDED,
	ADMITTED,
	REJECTED
};

struct peer {
	struct peer_id id;
	char label[NODE_LABEL_MAX];
	unsigned sources;
	struct multiaddr addrs[MEMBER_ADDRS_MAX]; /* newest first */
	size_t n_addrs;

	bool connected, inbound, dialing;
	p2p_conn_id conn; /* the newest connection */
	uint64_t proof;   /* the session on which its proof holds; 0: none */
	bool welcomed;    /* it accepted our proof */
	bool asking, waiting, foreign, was_member;
	enum decision decision; /* about its requests to join, past and to come */
	struct waitq changed;   /* membership news: wakes its sessions */
	bool speaking;          /* our session towards it runs */
	int holds;              /* fibers that keep this row in use */

	/* By gossip; forgotten when a session with it ends, since that is the later news. */
	bool announced;
	struct instant announced_at;
	int64_t announce_seq;
	unsigned announces; /* within the rate, less those long ago */
	struct instant announce_paid;

	struct catalog_entry *entry; /* while it is a member */
	struct member_state *state;  /* what it told last; NULL before */

	enum cluster_peer_state shown;
	int64_t since_ms, last_seen_ms, connected_ms;
	char failure[160];
	struct instant lost_at, next_dial; /* for redialling */
	unsigned failures;
	UT_hash_handle hh;
};

struct cluster {
	struct cluster_options opt;
	struct peer_id self;
	char *label, *data_dir;
	struct scope scope;
	struct instant started;
	struct membership membership;
	struct peer *peers;
	size_t n_pending;
	uint64_t version; /* of what we announce */
	struct waitq announce;
	struct waitq dial;                     /* wakes the connector */
	int dials;                             /* under way */
	int serving;                           /* handlers under way */
	uint64_t sessions;                     /* proved so far: their numbers */
	struct shown_proof shown[PROOFS_KEPT]; /* that came last: none may come over another */
	size_t n_shown;
	struct waitq served;
	bool save_due;
	struct sem state_turn; /* one writer of cluster.json and peers.json */
	bool closing;
	char last_peers[512]; /* what was logged last */

	struct invites invites; /* ours, for the present cluster */
	struct sem save_turn;   /* one writer of invites.json */
	struct guard guard;
	bool joining; /* cluster_join or cluster_pair is under way */
	struct pending_join *pending;
	struct pairing *pairing;     /* while a code is shown */
	struct announcer *announcer; /* NULL without gossip */
};

struct peer *table_find(const struct cluster *c, const struct peer_id *id);
/* Finds or makes the row; NULL when the table is full or memory is out. Makes room by forgetting
 * strangers, then lost members. */
struct peer *table_add(struct cluster *c, const struct peer_id *id, enum cluster_source source);
void table_add_addr(struct peer *p, const struct multiaddr *addr);
/* Forgets who merely came and went: nothing is known of them that would help to meet again, and
 * `keep` sees no reason. */
void table_forget_passing(
    struct cluster *c, bool (*keep)(const struct cluster *c, const struct peer *p));
void table_free(struct cluster *c);
bool peer_is_member(const struct peer *p);
/* It belongs to another cluster now: no member that was lost. */
void peer_set_foreign(struct peer *p);
/* Takes the label that a peer gives itself, made harmless: it is shown, logged and typed. */
void peer_set_label(struct peer *p, const char *label);
enum cluster_peer_state peer_state(const struct peer *p);
/* Whether `who` (NodeId, PeerId or label) is this node itself. */
bool table_is_self(const struct cluster *c, const char *who);
/* The row that `who` names. */
int table_named(
    const struct cluster *c, const char *who, struct peer **out, struct err *err) WARN_UNUSED;

/* ---- session.c --------------------------------------------------------------------------------
 */

/* How long a peer that opened a stream may take over its hello, and how long the disk may take to
 * record an invitation, which nothing cuts short: a handler of a closed connection ends within
 * both. */
#define HELLO_LIMIT_MS        10000
#define INVITES_SAVE_LIMIT_MS 20000

/* The handler of MEMBER_PROTOCOL. */
void session_serve(void *arg, struct stream *s, const struct p2p_stream_info *info);
/* What is told to whoever asked, before the end of the stream. */
int session_refuse(struct stream *s, const char *reason, struct err *err) WARN_UNUSED;
/* The cluster's id and key, to one who may have them; `proof` may be NULL. */
int session_admit(
    struct cluster *c, struct stream *s, const uint8_t *proof, struct err *err) WARN_UNUSED;
/* Starts our side towards a peer that has just been connected. */
void session_start(struct cluster *c, struct peer *p);

/* What another machine calls 127.0.0.1 is not there for us. */
void state_leave_out_loopback(struct member_state *st);

/* ---- announce.c -------------------------------------------------------------------------------
 */

/* An announcement counts for so long; each node makes one a minute. */
#define ANNOUNCED_FOR_MS 180000

int announce_start(struct cluster *c, struct err *err) WARN_UNUSED;
/* After the fibers of the cluster. */
void announce_end(struct cluster *c);

/* ---- rendezvous.c: for as long as the cluster lives; needs opt.kad -----------------------------
 */

void rendezvous_fiber(void *arg);

/* ---- doctor.c: the handler of DOCTOR_PROTOCOL -------------------------------------------------
 */

void doctor_serve(void *arg, struct stream *s, const struct p2p_stream_info *info);

/* ---- cluster.c --------------------------------------------------------------------------------
 */

/* Something about the peer's membership changed: catalog, log, waiters. */
void cluster_peer_changed(struct cluster *c, struct peer *p);
/* New state from a member. Takes `st` over. */
void cluster_peer_told(struct cluster *c, struct peer *p, struct member_state *st);
/* We were admitted: a new membership of our own. E_INVALID when it cannot be used. */
int cluster_joined(struct cluster *c, const struct answer *a, struct err *err) WARN_UNUSED;
/* [parks] Becomes a member of `m` through `issuer`: on disk first, then here; all connections are
 * made anew. */
int cluster_switch(struct cluster *c, const struct membership *m, const struct peer_id *issuer,
    const struct multiaddr *addrs, size_t n_addrs, struct err *err) WARN_UNUSED;
/* [parks] The array in peers.json, the caller's. E_NOT_FOUND, else why it is unusable. */
int cluster_read_peers(
    struct world *w, const char *data_dir, json_t **out, struct err *err) WARN_UNUSED;
/* What we announce now. */
void cluster_local_state(struct cluster *c, struct member_state *out);

/* ---- invite_service.c -------------------------------------------------------------------------
 */

void invites_load(struct cluster *c); /* [parks] */
/* [parks] They were for a cluster that we have left. */
void invites_forget(struct cluster *c);
/* A peer that joins by an invitation of ours. */
int join_serve(struct cluster *c, struct peer *p, struct stream *s, const struct hello *h,
    const struct p2p_stream_info *info, struct err *err) WARN_UNUSED;

/* ---- join.c -----------------------------------------------------------------------------------
 */

int join_start(struct cluster *c, struct err *err) WARN_UNUSED; /* [parks] */
void join_free(struct cluster *c);
/* [parks] A little while, until `id` is a member and has told its label. */
void join_await(struct cluster *c, const struct peer_id *id, struct cluster_join_result *out);
/* 0 when joining `cluster` is in order; E_EXISTS, E_BUSY. `fingerprint` may be NULL: unknown. */
int join_allowed(const struct cluster *c, const char *cluster, const uint8_t *fingerprint,
    enum cluster_leave leave, struct err *err) WARN_UNUSED;
/* [parks] From an answer to the membership that it gives, and into it. */
int join_enter(struct cluster *c, const struct answer *a, const struct peer_id *issuer,
    const struct multiaddr *addrs, size_t n_addrs, struct cluster_join_result *out,
    struct err *err) WARN_UNUSED;

#endif
