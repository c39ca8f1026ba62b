/* The inside of a gossip router: what gossip_router.c (life, messages), gossip_out.c (decisions),
 * gossip_control.c (control from peers), gossip_unwanted.c, gossip_mesh.c (heartbeat, meshes),
 * gossip_score.c and gossip_cache.c share.
 *
 * A *link* is what one peer has to do with one topic: subscription, mesh, backoff, scores. Links
 * stand in a list of their peer and in one of their topic. A peer that has gone is remembered with
 * its links until its score and backoffs have lost their meaning.
 *
 * Must stay true (gossip_router_check): a link in a mesh belongs to a connected peer that is
 * neither direct nor floodsub, in a topic that we subscribe to; fan-out links belong to topics that
 * we do not subscribe to; each table keeps its limit. */
#ifndef P2P_GOSSIP_PRIV_H
#define P2P_GOSSIP_PRIV_H

/* Running out of memory in a table is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1

#include "base/encode.h"
#include "p2p/gossip_router.h"
#include "p2p/gossip_wire_priv.h"

#include <sodium.h>
#include <uthash.h>

#define GOSSIP_LINKS_MAX      512                /* topics of one peer */
#define GOSSIP_KNOWN_TOPICS   4096               /* topics in all */
#define GOSSIP_PEER_TOPICS    3584               /* below which peers bring new ones */
#define GOSSIP_SEEN_MAX       65536              /* messages remembered; the oldest go */
#define GOSSIP_PENDING_MAX    1024               /* messages waiting for a verdict */
#define GOSSIP_MCACHE_BYTES   ((size_t)64 << 20) /* of messages kept for others; the oldest go */
#define GOSSIP_AUTHORS_MAX    128                /* whose keys are kept at hand, 8 KiB each */
#define GOSSIP_SENDERS_MAX    12                 /* of one message that are told apart */
#define GOSSIP_ASKERS_MAX     256                /* peers that one message is given to on demand */
#define GOSSIP_PROMISES_MAX   64                 /* of one peer */
#define GOSSIP_SERVE_MAX      5000 /* messages given on demand to a peer per heartbeat */
#define GOSSIP_UNWANTED_MAX   512  /* messages of a peer's IDONTWANTs: per heartbeat, and kept */
#define GOSSIP_UNWANTED_TICKS 3    /* heartbeats that they are kept */
#define GOSSIP_PX_GIVEN_MAX   32   /* peers in one PRUNE of ours */
#define GOSSIP_PX_TAKEN_MAX   16   /* peers of one PRUNE that are looked at */
#define GOSSIP_DIALS_MAX      8    /* started by PRUNEs, per heartbeat */
#define GOSSIP_BACKOFF_MAX    3600 /* seconds that a PRUNE may ask for */
#define GOSSIP_GRACE_MS       1000 /* between the end of a backoff and our next GRAFT */
#define GOSSIP_CONTROL_SOFT   ((size_t)256 << 10) /* control bytes after which an RPC is sent off */

struct gossip_topic {
	UT_hash_handle hh;
	uint64_t number; /* never used again */
	struct gossip_link *links;
	size_t n_links;
	bool subscribed;
	struct instant fanout_until; /* ns 0: no fan-out */
	struct gossip_topic_params params;
	uint8_t name_n;
	uint8_t name[GOSSIP_TOPIC_MAX];
};

struct gossip_link {
	struct gossip_link *peer_next;
	struct gossip_link *topic_next, *topic_prev;
	struct gossip_peer *peer;
	struct gossip_topic *topic;
	bool subscribed, mesh, fanout;
	bool p3_active;               /* in the mesh for long enough */
	struct instant joined;        /* when it subscribed */
	struct instant grafted;       /* when it came into the mesh */
	struct instant pruned;        /* when it last left it by a PRUNE of either side */
	struct instant backoff_until; /* no GRAFT before */
	double first, delivered, failed, invalid; /* P2, P3, P3b, P4 */
};

/* A message that an IHAVE promised and that we asked for. */
struct gossip_promise {
	struct gossip_id id;
	struct instant until;
};

struct gossip_peer {
	UT_hash_handle hh;
	struct peer_id id;
	uint32_t serial; /* its slot and a count: for those who remember peers that may be gone */
	void *user;
	enum gossip_protocol protocol;
	enum p2p_direction direction;
	bool connected, direct;
	bool key_ids; /* names messages by the author's key instead of its id, as js does */
	uint8_t ip_n, ip[16];
	unsigned sharing;    /* connected peers with its address, itself included */
	struct instant gone; /* since when it is not connected */
	struct gossip_link *links;
	size_t n_links;
	double app, behaviour; /* P5, P7 */
	double score;          /* as of the last change */
	bool score_stale;
	unsigned ihaves, asked, served, refused; /* since the last heartbeat */
	struct gossip_unwanted *unwanted;        /* a ring; NULL until there are some */
	unsigned unwanted_at;
	struct gossip_promise *promises;
	size_t n_promises;
	struct buf control;               /* an RPC being written */
	struct gossip_peer *pending_next; /* among those with control to send */
	bool pending;
};

enum gossip_status {
	GOSSIP_PENDING,
	GOSSIP_ACCEPTED,
	GOSSIP_IGNORED,
	GOSSIP_REJECTED
};

struct gossip_asker {
	uint32_t serial;
	uint32_t times;
};

/* A message seen. With its frame while it waits for a verdict, and for as many heartbeats after
 * that as others may ask for it. */
struct gossip_entry {
	UT_hash_handle hh;
	struct gossip_id id;
	struct gossip_entry *newer;                   /* by arrival */
	struct gossip_entry *kept_newer, *kept_older; /* by acceptance, while it has a frame */
	struct instant expires;
	struct instant accepted;
	enum gossip_status status;
	uint64_t topic; /* its number */
	uint64_t window;
	struct gossip_frame *frame;
	struct gossip_asker *askers;
	uint32_t n_askers;
	uint32_t n_senders;
	uint32_t senders[GOSSIP_SENDERS_MAX]; /* the first is who is credited */
};

struct gossip_frame {
	unsigned refs;
	struct gossip_message msg; /* when it holds a single message */
	size_t n;
	uint8_t bytes[];
};

struct gossip_decision {
	struct gossip_decision *next;
	struct gossip_out out;
};

struct gossip_router {
	struct gossip_params params;
	struct gossip_score_params score;
	struct gossip_router_options opt;
	struct identity identity;
	struct peer_id *direct;
	struct ed25519_keys *authors; /* made with the first message to be verified */
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	uint64_t random;
	uint64_t seqno, next_topic;
	uint32_t serials; /* given out so far */
	struct instant now;
	struct instant decayed;
	uint64_t ticks;
	unsigned px_dials; /* since the last heartbeat */

	struct gossip_peer *peers;  /* by id */
	struct gossip_peer **slots; /* by serial % peers_max */
	size_t n_peers, n_connected;
	struct gossip_topic *topics; /* by name */
	size_t n_topics, n_own;      /* all; those subscribed to */

	struct gossip_entry *seen; /* by id */
	struct gossip_entry *seen_oldest, *seen_newest;
	size_t n_seen, n_pending;
	struct gossip_entry *kept_oldest, *kept_newest;
	size_t kept_bytes;

	struct gossip_peer *control_first, *control_last;
	struct gossip_decision *first, *last;
	struct gossip_link **scratch; /* room for one link per peer */
	struct gossip_link **scratch2;
};

/* ---- gossip_router.c ---- */
uint64_t gossip_random(struct gossip_router *r);
struct gossip_peer *gossip_peer_find(const struct gossip_router *r, const struct peer_id *id);
struct gossip_peer *gossip_peer_serial(const struct gossip_router *r, uint32_t serial);
struct gossip_topic *gossip_topic_find(const struct gossip_router *r, struct bytes name);
struct gossip_link *gossip_link_find(const struct gossip_peer *p, const struct gossip_topic *topic);
/* Finds or makes; NULL at a limit or without memory. */
/* For ourselves: finds or makes it, in the place of one that only peers know if the table is full.
 * NULL without memory, or when all are ours. */
struct gossip_topic *gossip_topic_get(struct gossip_router *r, struct bytes name);
struct gossip_link *gossip_link_get(
    struct gossip_router *r, struct gossip_peer *p, struct gossip_topic *topic);
/* Frees it when nobody has to do with it any more. */
void gossip_topic_drop(struct gossip_router *r, struct gossip_topic *topic);
static inline struct bytes gossip_topic_name(const struct gossip_topic *t)
{
	return bytes_of(t->name, t->name_n);
}
static inline bool gossip_speaks_mesh(const struct gossip_peer *p)
{
	return p->connected && p->protocol != GOSSIP_FLOODSUB;
}
/* Drops remembered peers whose time has come. */
void gossip_forget_peers(struct gossip_router *r);

/* ---- gossip_out.c ---- */
/* The control RPC of a peer, to append to; it goes out with the end of the present call. */
struct buf *gossip_control(struct gossip_router *r, struct gossip_peer *p);
void gossip_send(
    struct gossip_router *r, struct gossip_peer *p, struct gossip_frame *f, bool control);
/* The decision to fill in, at the end of the queue; NULL without memory. */
struct gossip_out *gossip_decide(struct gossip_router *r, enum gossip_out_kind kind);
void gossip_flush(struct gossip_router *r);
/* Frame of one message; NULL without memory or above the limit. */
struct gossip_frame *gossip_frame_of_message(struct bytes raw);

/* ---- gossip_control.c ---- */
void gossip_take_control(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item);

/* ---- gossip_unwanted.c ---- */
/* Tells the mesh, but `source`, that we have the message. */
void gossip_tell_unwanted(struct gossip_router *r, const struct gossip_peer *source,
    const struct gossip_topic *t, const struct gossip_entry *e);
void gossip_take_unwanted(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_item *item);
bool gossip_is_unwanted(
    const struct gossip_router *r, const struct gossip_peer *p, const struct gossip_id *id);
void gossip_forget_unwanted(struct gossip_peer *p);

/* ---- gossip_mesh.c ---- */
void gossip_mesh_join(struct gossip_router *r, struct gossip_topic *t);
void gossip_mesh_leave(struct gossip_router *r, struct gossip_topic *t);
void gossip_graft(struct gossip_router *r, struct gossip_link *l);
enum gossip_px_wish {
	GOSSIP_WITHOUT_PX,
	GOSSIP_WITH_PX
};
/* Takes it out of the mesh when it is there, tells the peer, and keeps the backoff. */
void gossip_prune(struct gossip_router *r, struct gossip_link *l, struct duration backoff,
    enum gossip_px_wish px);
void gossip_backoff(struct gossip_router *r, struct gossip_link *l, struct duration d);
/* To whom a message goes: mesh, direct and floodsub peers; or fan-out; or all, when it is ours. */
void gossip_forward(
    struct gossip_router *r, struct gossip_topic *t, const struct gossip_entry *e, bool own);
typedef bool (*gossip_pick_fn)(const struct gossip_router *r, const struct gossip_link *l);
/* Links of a topic for which `pick` holds, shuffled, in `out` (r->scratch or r->scratch2). */
size_t gossip_collect(struct gossip_router *r, const struct gossip_topic *t, gossip_pick_fn pick,
    struct gossip_link **out);

/* ---- gossip_score.c ---- */
double gossip_score(const struct gossip_router *r, struct gossip_peer *p);
struct gossip_score_parts {
	double topics, app, ip, behaviour;
};
double gossip_score_of(
    const struct gossip_router *r, const struct gossip_peer *p, struct gossip_score_parts *parts);
void gossip_penalize(struct gossip_peer *p, double count); /* P7 */
void gossip_score_grafted(struct gossip_router *r, struct gossip_link *l);
void gossip_score_pruned(struct gossip_router *r, struct gossip_link *l);
/* `p` comes (+1) or goes (-1): those behind the same address are told. */
void gossip_score_address(struct gossip_router *r, struct gossip_peer *p, int change);
void gossip_score_gone(struct gossip_router *r, struct gossip_peer *p);
void gossip_score_tick(struct gossip_router *r);
/* One more sender of a message. */
void gossip_score_first(struct gossip_router *r, const struct gossip_entry *e);
void gossip_score_duplicate(struct gossip_router *r, struct gossip_peer *p, struct gossip_entry *e);
void gossip_score_rejected(struct gossip_router *r, const struct gossip_entry *e);
void gossip_score_invalid(
    struct gossip_router *r, struct gossip_peer *p, const struct gossip_topic *t);

/* ---- gossip_cache.c ---- */
/* False when there is no such id: too long. Ids made of the author's key become ids of the author.
 */
bool gossip_id_of(struct bytes wire, struct gossip_id *out);
bool gossip_id_is_key_form(struct bytes wire);
/* How `p` calls it. */
struct bytes gossip_id_for(const struct gossip_peer *p, const struct gossip_id *id);
bool gossip_id_of_message(const struct gossip_message *m, struct gossip_id *out);
/* A keyed hash of it. */
uint64_t gossip_id_key(const struct gossip_router *r, const struct gossip_id *id);
struct gossip_entry *gossip_seen(const struct gossip_router *r, const struct gossip_id *id);
/* Remembers a message and takes the frame over; NULL without memory, or when too many are pending.
 */
struct gossip_entry *gossip_remember(struct gossip_router *r, const struct gossip_id *id,
    const struct gossip_topic *t, struct gossip_frame *f);
/* Keeps the frame for others, or lets it go. */
void gossip_settle(struct gossip_router *r, struct gossip_entry *e, enum gossip_status status);
/* Whether `p` may have the message once more; counted. */
bool gossip_may_ask(struct gossip_router *r, struct gossip_entry *e, const struct gossip_peer *p);
/* Messages of a topic to gossip about, newest first, at most `cap`; `out` may be NULL to count. */
size_t gossip_recent(const struct gossip_router *r, const struct gossip_topic *t,
    const struct gossip_entry **out, size_t cap);
void gossip_cache_tick(struct gossip_router *r);
void gossip_cache_free(struct gossip_router *r);

#endif
