/* The iterative lookup, pure: which peer to ask next, what an answer means, when it is over.
 * SPEC libp2p kad-dht, "Peer routing"; S/Kademlia (Baumgart, Mies 2007) section 4.4 for the paths.
 *
 * Peers are kept by their distance to the target. At most `alpha` are asked at a time. With several
 * paths each one follows only what its own peers told it, and no peer is asked by two: a liar
 * leads its own path astray, not the others. A path ends when, of the k nearest peers it knows and
 * that did not fail, all have answered; the lookup ends with its last path, or at its limits.
 *
 * Answers are not believed: at most k peers of one are looked at, the table is bounded (the
 * farthest go), and of a source whose peers keep failing the rest is asked only when nobody else
 * is left, unless another source names them as well.
 *
 * Must stay true: asked <= max_asked; at most alpha waiting; sorted by distance; nobody twice. */
#ifndef P2P_KAD_LOOKUP_PRIV_H
#define P2P_KAD_LOOKUP_PRIV_H

#include "p2p/kad_wire_priv.h"

#define KAD_ALPHA            10  /* SPEC kad-dht: alpha 10 */
#define KAD_LOOKUP_PEERS_MAX 512 /* known to one lookup */
#define KAD_PATHS_MAX        8
#define KAD_ASKED_MAX        1000
#define KAD_OUTSIDERS        4 /* to seed a lookup with */
#define KAD_BLAME_MIN        4 /* failures of one source's peers before it loses its credit */

struct kad_lookup_config {
	size_t k;
	unsigned alpha;
	unsigned paths;     /* 1..KAD_PATHS_MAX */
	unsigned tries;     /* requests to a peer before it counts as failed */
	unsigned max_asked; /* requests in all, at most KAD_ASKED_MAX */
};

enum kad_asked {
	KAD_NOT_ASKED,
	KAD_WAITING,
	KAD_ANSWERED,
	KAD_FAILED
};

/* How the peers did that one source told of: requests answered and not. */
struct kad_credit {
	uint16_t good, bad;
};

struct kad_lookup_peer {
	struct peer_id id;
	struct kad_key key;
	enum kad_asked state;
	uint8_t paths; /* bits: whose it is to follow */
	uint8_t path;  /* the one that asks it */
	uint8_t tries;
	uint8_t hops;    /* steps from our own table */
	uint16_t credit; /* its own, once asked; 0: none */
	uint16_t
	    sources[2]; /* the credits of the first two that told of it; 0: none, our own table */
	bool trusted;   /* from our own table */
	bool outsider;
};

struct kad_lookup {
	struct kad_lookup_config config;
	struct kad_key target;
	struct peer_id self;
	struct kad_lookup_peer *v; /* malloc; nearest first */
	size_t n;
	struct kad_credit *credits;      /* malloc; one for each request, from 1 */
	unsigned waiting[KAD_PATHS_MAX]; /* requests under way */
	unsigned asked;                  /* requests begun */
	unsigned turn;                   /* the path to ask next */
	unsigned outsiders;              /* not asked yet */
};

struct kad_lookup_config kad_lookup_config_default(void);
/* E_MEMORY. `self` is never asked. */
int kad_lookup_init(struct kad_lookup *l, const struct kad_key *target, const struct peer_id *self,
    const struct kad_lookup_config *config, struct err *err) WARN_UNUSED;
void kad_lookup_free(struct kad_lookup *l);

/* A peer from our own table, to begin with; the next call goes to the next path. Outsiders, from
 * elsewhere in the key space, are asked before all others: when those whom we know near the target
 * are accomplices, who name only each other, somebody else must be heard. */
enum kad_seed {
	KAD_NEAR,
	KAD_OUTSIDER
};
void kad_lookup_seed(struct kad_lookup *l, const struct peer_id *id, enum kad_seed kind);

/* Whom to ask now; false when nobody, for the moment or for good (kad_lookup_done). Each peer so
 * named is to be followed by one of the next two. */
bool kad_lookup_next(struct kad_lookup *l, struct peer_id *out);
/* `news` (may be NULL) is called for each peer that the lookup takes up. Answers of peers that were
 * not asked are ignored. */
void kad_lookup_answered(struct kad_lookup *l, const struct peer_id *from,
    const struct kad_peer *closer, size_t n, void (*news)(void *arg, const struct kad_peer *p),
    void *arg);
void kad_lookup_failed(struct kad_lookup *l, const struct peer_id *from);

/* Whether nothing more is to be asked or waited for. */
bool kad_lookup_done(const struct kad_lookup *l);

/* The nearest that answered, nearest first; at most min(cap, k). */
size_t kad_lookup_closest(const struct kad_lookup *l, struct peer_id *out, size_t cap);
/* How many steps from our own table the farthest of those was found. */
unsigned kad_lookup_hops(const struct kad_lookup *l);

#endif
