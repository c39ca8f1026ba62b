/* What peers may use of this host, counted without I/O or clock: inbound connections, inbound
 * streams, memory whose size peers decide, and bytes per second.
 *
 * There are three bounds on each: for one peer, for all strangers together, and in total. A peer is
 * known when we dialled it or somebody protects it; the difference between the last two bounds is
 * kept for those, so strangers never starve them.
 *
 * What strangers hold idle stands in lists, the longest idle first: it gives way under pressure.
 * And strangers stand in lists by how much they have: whoever has by far the most gives way to
 * those who have little, so that many who take all they can leave some to the next.
 *
 * Must stay true: each sum in `used` is that of its class's peers; nothing is taken beyond a bound;
 * all is 0 once everything was given back. */
#ifndef P2P_RESOURCES_PRIV_H
#define P2P_RESOURCES_PRIV_H

#include "base/err.h"
#include "base/units.h"

#include <stdbool.h>

enum res_kind {
	RES_CONNS,   /* inbound connections */
	RES_STREAMS, /* inbound streams */
	RES_MEMORY   /* bytes of buffers that grow as peers send, or do not read */
};
#define RES_KINDS 3

enum res_class {
	RES_STRANGER,
	RES_KNOWN
};
#define RES_CLASSES 2

enum res_direction {
	RES_IN,
	RES_OUT
};

/* What may be used at once without waiting, after a pause: a second's worth. */
#define RES_BURST_S  1
#define RES_RATE_MIN 100

struct res_limits {
	uint64_t total[RES_KINDS];
	uint64_t per_peer[RES_KINDS];
	unsigned reserve_percent; /* of the totals and the rate, for known peers; at most 50 */
	/* Bytes a second in each direction, 0: no limit, otherwise at least RES_RATE_MIN. The one
	 * per peer is for strangers. */
	uint64_t rate, rate_per_peer;
};

/* Something idle that gives way: embedded in what it stands for. Zero-initialised is unlisted. */
struct res_idle {
	struct res_idle *older, *newer;
	struct instant since;
	bool listed;
};

struct res_list {
	struct res_idle *oldest, *newest;
};

/* One peer's account. Zero-initialised is a stranger without anything. */
struct res_peer {
	enum res_class class;
	uint64_t used[RES_KINDS];
	struct instant paid[2]; /* its bytes are paid for until then */
	/* A stranger's, in resources.by_amount; and whatever the owner keeps of its connections. */
	struct res_idle by_amount[RES_KINDS];
	struct res_list accounts;
};

struct resources {
	struct res_limits limits;
	uint64_t strangers_max[RES_KINDS];
	uint64_t used[RES_CLASSES][RES_KINDS];
	uint64_t refused[RES_KINDS], evicted[RES_KINDS];
	struct instant paid[RES_CLASSES][2]; /* what is there for all; the reserve */
	struct res_list idle_streams, idle_conns;
	struct res_list by_amount[RES_KINDS][64]; /* of [2^i, 2^(i+1)) */
};

enum res_answer {
	RES_TAKEN,
	RES_OVER_PEER,      /* the peer has as much as one may have */
	RES_OVER_STRANGERS, /* what is left is kept for known peers */
	RES_OVER_TOTAL
};

void resources_init(struct resources *r, const struct res_limits *limits);

/* Whether `n` more would be taken. */
enum res_answer resources_judge(
    const struct resources *r, const struct res_peer *p, enum res_kind kind, uint64_t n);
/* Takes it, or counts a refusal. */
enum res_answer resources_take(
    struct resources *r, struct res_peer *p, enum res_kind kind, uint64_t n);
/* More than was taken is a bug. */
void resources_give(struct resources *r, struct res_peer *p, enum res_kind kind, uint64_t n);
/* "strangers have 400 inbound connections of 400, this one 2": E_LIMIT, or 0 for RES_TAKEN. */
int resources_explain(const struct resources *r, const struct res_peer *p, enum res_kind kind,
    enum res_answer answer, struct err *err) WARN_UNUSED;

/* Moves what the peer has from one class to the other: strangers may then hold more than their
 * bound, and get nothing until they are below it. */
void resources_set_class(struct resources *r, struct res_peer *p, enum res_class class);

/* Pays for `n` bytes that were moved; for how long the next ones are to wait. */
struct duration resources_pay(struct resources *r, struct res_peer *p, enum res_direction way,
    uint64_t n, struct instant now);

/* A stranger that has at least `least` (not 0), and at least half as much as whoever has the most;
 * or NULL. */
struct res_peer *resources_greediest(const struct resources *r, enum res_kind kind, uint64_t least);

/* ---- what is idle -------------------------------------------------------------------------- */

void res_touch(struct res_list *list, struct res_idle *item, struct instant now);
void res_unlist(struct res_list *list, struct res_idle *item); /* repeats do nothing */

#endif
