/* Kademlia's routing table, pure: who is known in which part of the key space, who is to be checked
 * next, who is nearest to a key. The caller brings the time and sends the requests.
 * SPEC libp2p kad-dht, "Kademlia routing table".
 *
 * A peer is suggested, becomes a candidate, and enters only after it answered a request: then it is
 * a member. There are 256 buckets, by the number of leading bits shared with our own key, of at
 * most k members. A full bucket keeps its members as long as they answer; newcomers wait as spares,
 * few of them, and one moves up when a member has failed. So a flood of fresh identities displaces
 * nobody who is alive. Of one network (an IPv4 /24 or /16, an IPv6 /48 or /32, as seen on the
 * connection) only so many peers are taken; networks of private use are not limited.
 *
 * Must stay true: per bucket at most k members and KAD_SPARES_MAX spares; at most
 * KAD_CANDIDATES_MAX candidates; nobody twice; never ourselves. */
#ifndef P2P_KAD_TABLE_PRIV_H
#define P2P_KAD_TABLE_PRIV_H

#include "base/units.h"
#include "p2p/kad_wire_priv.h"

#define KAD_K              20
#define KAD_SPARES_MAX     4  /* per bucket */
#define KAD_CANDIDATES_MAX 64 /* in all */
#define KAD_FAILURES_MAX   3  /* requests in a row without an answer that cost a member its place */
#define KAD_RECHECK_S      600 /* a member that was silent so long is asked */
#define KAD_HURRY_S        60  /* and sooner while others wait for its place, or after a failure */
#define KAD_CHECK_S        30  /* a check without an outcome may begin again after so long */
#define KAD_REFRESH_BITS   14  /* deeper buckets are refreshed by looking for ourselves */

/* The network that a peer is seen in. n == 0: unknown or of private use, not limited. */
struct kad_net {
	uint8_t n;
	uint8_t wide; /* how many of the bytes make the wide network */
	uint8_t bytes[6];
};

/* From a connection's remote address. */
struct kad_net kad_net_of(const struct multiaddr *remote);

enum kad_standing {
	KAD_CANDIDATE, /* suggested, to be checked */
	KAD_SPARE,     /* suggested, its bucket is full */
	KAD_MEMBER
};

struct kad_entry {
	struct peer_id id;
	struct kad_key key;
	struct kad_net net;
	enum kad_standing standing;
	uint16_t bucket;
	uint8_t failures;
	struct instant since;    /* when it got its standing */
	struct instant answered; /* last answer; of members */
	struct instant checking; /* when the last check began; ns 0: none is under way */
	struct instant failed;   /* when the last failure was counted */
	struct addr_list addrs;  /* where it was reached; the caller's to fill */
};

struct kad_table_config {
	size_t k;
	/* Members of one network: 0 is no limit. */
	size_t narrow_per_bucket; /* of one /24 or /48 in a bucket */
	size_t narrow_per_table;
	size_t wide_per_table; /* of one /16 or /32 */
};

struct kad_table {
	struct kad_table_config config;
	struct peer_id self;
	struct kad_key key;
	struct kad_entry *v; /* malloc; in the order of arrival */
	size_t n, cap;
	struct instant refreshed[KAD_BITS]; /* a lookup into the bucket last ended */
};

struct kad_table_config kad_table_config_default(void);
void kad_table_init(struct kad_table *t, const struct peer_id *self,
    const struct kad_table_config *config, struct instant now);
void kad_table_free(struct kad_table *t);

/* Somebody serves the protocol, by its own word: candidate, spare, or ignored. True when it is new
 * and to be checked. */
bool kad_table_suggest(
    struct kad_table *t, const struct peer_id *id, const struct kad_net *net, struct instant now);

/* Who is to be asked next to see whether it is there: candidates first, then members that were
 * silent for long. False when nobody is due. Its outcome is told with the next two. */
bool kad_table_next_check(struct kad_table *t, struct instant now, struct peer_id *out);

/* It answered a request. A stranger or candidate enters when there is room; true when it is a
 * member now. */
bool kad_table_answered(
    struct kad_table *t, const struct peer_id *id, const struct kad_net *net, struct instant now);
/* It did not. Candidates are forgotten at once, members after KAD_FAILURES_MAX in a row; those that
 * come within KAD_CHECK_S of one another are one. */
void kad_table_failed(struct kad_table *t, const struct peer_id *id, struct instant now);
/* It does not serve the protocol any more. */
void kad_table_remove(struct kad_table *t, const struct peer_id *id, struct instant now);

/* Valid until the table changes. */
struct kad_entry *kad_table_find(const struct kad_table *t, const struct peer_id *id);

/* The members nearest to `target`, nearest first, without `except` (may be NULL); at most `cap`. */
size_t kad_table_closest(const struct kad_table *t, const struct kad_key *target,
    const struct peer_id *except, const struct kad_entry **out, size_t cap);
/* Members that are not among `near`, drawn by `seed`; at most `cap`. */
size_t kad_table_others(const struct kad_table *t, const struct kad_entry *const *near,
    size_t n_near, uint64_t seed, const struct kad_entry **out, size_t cap);
size_t kad_table_members(const struct kad_table *t);
size_t kad_table_count(const struct kad_table *t, unsigned bucket, enum kad_standing standing);

/* Whether a bucket has members, can be aimed at, and no lookup went into it for `age`. */
bool kad_table_refresh_due(
    const struct kad_table *t, unsigned bucket, struct instant now, struct duration age);
/* Puts a peer id into *out whose key falls into the bucket: the preimage is what goes over the
 * wire. `seed` is random and decides which. */
void kad_table_refresh_id(
    const struct kad_table *t, unsigned bucket, uint64_t seed, struct peer_id *out);
void kad_table_refreshed(struct kad_table *t, const struct kad_key *target, struct instant now);

#endif
