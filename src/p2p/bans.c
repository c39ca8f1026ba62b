/* See bans_priv.h. */
#include "p2p/bans_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct ban {
	struct peer_id id;
	unsigned points; /* as they were at `at` */
	struct instant at;
	bool banned; /* at `at` */
	uint32_t counts[P2P_OFFENCES];
	char why[BAN_WHY_MAX];
	UT_hash_handle hh;
};

struct bans {
	struct ban *all;
};

struct bans *bans_new(void)
{
	return calloc(1, sizeof(struct bans));
}

static unsigned points_now(const struct ban *e, struct instant now)
{
	int64_t gone = duration_to_ms(instant_since(now, e->at)) / BAN_FALL_MS;

	return gone >= e->points ? 0 : e->points - (unsigned)gone;
}

static bool banned_now(const struct ban *e, struct instant now)
{
	return e->banned && points_now(e, now) > BAN_POINTS_FREE;
}

/* Of a ban. */
static struct instant end_of(const struct ban *e)
{
	return instant_add(
	    e->at, duration_ms((int64_t)(e->points - BAN_POINTS_FREE) * BAN_FALL_MS));
}

static struct ban *find(const struct bans *b, const struct peer_id *peer)
{
	struct ban *e;

	HASH_FIND(hh, b->all, peer, sizeof *peer, e);
	return e;
}

static void forget(struct bans *b, struct ban *e)
{
	HASH_DEL(b->all, e);
	free(e);
}

/* Who has nothing left to answer for goes; if nobody has, the least guilty. */
static void make_room(struct bans *b, struct instant now)
{
	struct ban *e, *next, *least = NULL;

	if (HASH_COUNT(b->all) < BANS_MAX)
		return;
	HASH_ITER (hh, b->all, e, next) {
		if (points_now(e, now) == 0)
			forget(b, e);
		else if (!least || points_now(e, now) < points_now(least, now))
			least = e;
	}
	if (HASH_COUNT(b->all) >= BANS_MAX)
		forget(b, least);
}

static struct ban *get(struct bans *b, const struct peer_id *peer, struct instant now)
{
	struct ban *e = find(b, peer);

	if (e)
		return e;
	make_room(b, now);
	if (!(e = calloc(1, sizeof *e)))
		return NULL;
	e->id = *peer;
	e->at = now;
	HASH_ADD(hh, b->all, id, sizeof e->id, e);
	return e;
}

bool bans_offend(struct bans *b, const struct peer_id *peer, enum p2p_offence kind, unsigned points,
    const char *why, struct instant now)
{
	struct ban *e = get(b, peer, now);

	if (!e)
		return false;
	bool before = banned_now(e, now);
	points = points < BAN_POINTS_MAX ? points : BAN_POINTS_MAX;
	points += points_now(e, now);
	e->points = points < BAN_POINTS_MAX ? points : BAN_POINTS_MAX;
	e->at = now;
	e->counts[kind] += e->counts[kind] < UINT32_MAX;
	e->banned = before || e->points >= BAN_POINTS;
	(void)snprintf(e->why, sizeof e->why, "%s", why);
	return e->banned && !before;
}

bool bans_check(const struct bans *b, const struct peer_id *peer, struct instant now,
    struct duration *left, const char **why)
{
	const struct ban *e = find(b, peer);

	if (!e || !banned_now(e, now))
		return false;
	if (left)
		*left = instant_since(end_of(e), now);
	if (why)
		*why = e->why;
	return true;
}

bool bans_conduct(
    const struct bans *b, const struct peer_id *peer, struct instant now, struct p2p_conduct *out)
{
	const struct ban *e = find(b, peer);

	if (!e)
		return false;
	*out = (struct p2p_conduct){.points = points_now(e, now), .banned = banned_now(e, now)};
	if (out->points == 0 && duration_to_ms(instant_since(now, e->at)) >= BAN_RECALL_MS)
		return false;
	if (out->banned)
		out->left = instant_since(end_of(e), now);
	memcpy(out->counts, e->counts, sizeof out->counts);
	memcpy(out->why, e->why, sizeof out->why);
	return true;
}

void bans_forgive(struct bans *b, const struct peer_id *peer)
{
	struct ban *e = find(b, peer);

	if (e)
		forget(b, e);
}

void bans_free(struct bans *b)
{
	struct ban *e, *next;

	if (!b)
		return;
	HASH_ITER (hh, b->all, e, next)
		forget(b, e);
	free(b);
}

size_t bans_count(const struct bans *b)
{
	return HASH_COUNT(b->all);
}
