/* Misbehaviour, counted without I/O or clock: an offence costs points, points fall with time, and a
 * peer with too many is banned until half of those are gone. Repeating it lasts longer, up to a
 * limit, so that a mistake is forgiven and a habit is not. */
#ifndef P2P_BANS_PRIV_H
#define P2P_BANS_PRIV_H

#include "p2p/p2p.h"

#define BAN_POINTS      100  /* from here on a peer is banned … */
#define BAN_POINTS_FREE 50   /* … until it is down to this */
#define BAN_POINTS_MAX  300  /* none has more */
#define BAN_FALL_MS     6000 /* for one point */
#define BANS_MAX        1024 /* peers remembered; the least guilty gives way */
#define BAN_WHY_MAX     96
#define BAN_RECALL_MS   3600000 /* for so long an offence is shown */

struct bans;

struct bans *bans_new(void); /* NULL without memory */
void bans_free(struct bans *b);

/* Adds an offence; true when it makes a ban of it. */
bool bans_offend(struct bans *b, const struct peer_id *peer, enum p2p_offence kind, unsigned points,
    const char *why, struct instant now);
/* False when nothing is held against it. */
bool bans_conduct(
    const struct bans *b, const struct peer_id *peer, struct instant now, struct p2p_conduct *out);
/* Whether it is banned now; *left (may be NULL) is for how long, *why (may be NULL) what the last
 * offence was, valid until the next call that changes something. */
bool bans_check(const struct bans *b, const struct peer_id *peer, struct instant now,
    struct duration *left, const char **why);
void bans_forgive(struct bans *b, const struct peer_id *peer);
size_t bans_count(const struct bans *b);

#endif
