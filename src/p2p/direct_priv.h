/* Relayed peers are tried directly, again and again, for as long as they stay relayed: a link
 * heals, a firewall goes, an address changes, and nobody says so. When is it time: pure. */
#ifndef P2P_DIRECT_PRIV_H
#define P2P_DIRECT_PRIV_H

#include "p2p/peer_record_priv.h"
#include "rt/world.h"

struct p2p_host;

#define DIRECT_FIRST_MS 30000  /* after the first failure; twice as long after each further one */
#define DIRECT_MAX_MS   600000 /* but never longer */
#define DIRECT_GAP_MS   15000  /* between tries at least, whatever happens */
#define DIRECT_SEEN_MS  60000  /* the same where a peer was merely seen nearby once more */

/* Addresses as a set: hashes of their bytes. More than it holds are left out. */
#define DIRECT_SET_MAX 16
struct direct_set {
	uint64_t v[DIRECT_SET_MAX];
	size_t n;
};
void direct_set_add(struct direct_set *s, const struct multiaddr *a);
/* Whether `now` has what `before` has not. */
bool direct_set_grew(const struct direct_set *before, const struct direct_set *now);

/* Of one relayed connection. Zero: no try yet. */
struct direct_plan {
	struct instant next, last;
	unsigned failures;
	bool begun;
	bool running;            /* a try is under way: leave it alone */
	struct direct_set known; /* the peer's addresses */
};
/* A try ended without a direct connection, or the first one was not for us to make. `random`: any
 * bits. */
void direct_plan_wait(struct direct_plan *p, struct instant now, uint64_t random);
/* Something changed that may help: at once, but no sooner than `gap_ms` after the last try. The
 * pause after it is a short one again. */
void direct_plan_hint(struct direct_plan *p, struct instant now, int64_t gap_ms);
bool direct_plan_due(const struct direct_plan *p, struct instant now);

/* ---- direct_service.c ---- */
struct err;
/* Starts it on a host. E_EXISTS, E_MEMORY, E_LIMIT. */
int direct_start(struct p2p_host *h, struct err *err) WARN_UNUSED;

#endif
