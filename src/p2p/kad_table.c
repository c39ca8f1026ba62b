/* The routing table: one array of entries, at most some hundred, searched from end to end. */
#include "p2p/kad_table_priv.h"

#include <stdlib.h>

/* ---- networks ------------------------------------------------------------------------------ */

struct kad_net kad_net_of(const struct multiaddr *remote)
{
	struct cursor c = cursor_of(multiaddr_bytes(remote));
	struct multiaddr_part part;
	struct kad_net net = {0};

	if (multiaddr_reach(remote) != MA_REACH_PUBLIC || !multiaddr_next(&c, &part))
		return net;
	if (part.code == MA_IP4 && part.value.n == 4) {
		net.n = 3;
		net.wide = 2;
	} else if (part.code == MA_IP6 && part.value.n == 16) {
		net.n = 6;
		net.wide = 4;
	}
	memcpy(net.bytes, part.value.p, net.n);
	return net;
}

static bool same_net(const struct kad_net *a, const struct kad_net *b, size_t bytes)
{
	return a->n == b->n && memcmp(a->bytes, b->bytes, bytes) == 0;
}

/* ---- entries ------------------------------------------------------------------------------- */

struct kad_table_config kad_table_config_default(void)
{
	return (struct kad_table_config){
	    .k = KAD_K, .narrow_per_bucket = 2, .narrow_per_table = 6, .wide_per_table = 16};
}

void kad_table_init(struct kad_table *t, const struct peer_id *self,
    const struct kad_table_config *config, struct instant now)
{
	INVARIANT(config->k > 0);
	*t = (struct kad_table){.config = *config, .self = *self, .key = kad_key_of_peer(self)};
	for (size_t i = 0; i < KAD_BITS; i++)
		t->refreshed[i] = now;
}

void kad_table_free(struct kad_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		addr_list_free(&t->v[i].addrs);
	free(t->v);
	*t = (struct kad_table){0};
}

struct kad_entry *kad_table_find(const struct kad_table *t, const struct peer_id *id)
{
	for (size_t i = 0; i < t->n; i++)
		if (peer_id_equal(&t->v[i].id, id))
			return &t->v[i];
	return NULL;
}

size_t kad_table_count(const struct kad_table *t, unsigned bucket, enum kad_standing standing)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->v[i].bucket == bucket && t->v[i].standing == standing;
	return n;
}

static size_t count_all(const struct kad_table *t, enum kad_standing standing)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->v[i].standing == standing;
	return n;
}

size_t kad_table_members(const struct kad_table *t)
{
	return count_all(t, KAD_MEMBER);
}

static struct kad_entry *add(struct kad_table *t, const struct peer_id *id,
    const struct kad_net *net, enum kad_standing standing, struct instant now)
{
	struct kad_entry *v;

	if (t->n == t->cap) {
		size_t cap = t->cap > 0 ? 2 * t->cap : 32;
		if (!(v = realloc(t->v, cap * sizeof *v)))
			return NULL;
		t->v = v;
		t->cap = cap;
	}
	v = &t->v[t->n];
	*v = (struct kad_entry){
	    .id = *id, .key = kad_key_of_peer(id), .net = *net, .standing = standing, .since = now};
	unsigned shared = kad_shared_bits(&v->key, &t->key);
	if (shared == KAD_BITS) /* ourselves */
		return NULL;
	v->bucket = (uint16_t)shared;
	t->n++;
	return v;
}

static void drop(struct kad_table *t, struct kad_entry *e)
{
	size_t i = (size_t)(e - t->v);

	addr_list_free(&e->addrs);
	memmove(e, e + 1, (--t->n - i) * sizeof *e);
}

/* ---- who may enter ------------------------------------------------------------------------- */

/* Whether one more of this network fits beside those of `standing`. */
static bool net_fits(const struct kad_table *t, const struct kad_net *net, unsigned bucket,
    enum kad_standing standing)
{
	size_t here = 0, narrow = 0, wide = 0;

	if (net->n == 0)
		return true;
	for (size_t i = 0; i < t->n; i++) {
		const struct kad_entry *e = &t->v[i];
		if (e->standing != standing)
			continue;
		wide += same_net(&e->net, net, net->wide);
		if (same_net(&e->net, net, net->n)) {
			narrow++;
			here += e->bucket == bucket;
		}
	}
	return (t->config.narrow_per_bucket == 0 || here < t->config.narrow_per_bucket) &&
	       (t->config.narrow_per_table == 0 || narrow < t->config.narrow_per_table) &&
	       (t->config.wide_per_table == 0 || wide < t->config.wide_per_table);
}

static bool has_room(const struct kad_table *t, unsigned bucket)
{
	return kad_table_count(t, bucket, KAD_MEMBER) < t->config.k;
}

/* A new spare; of too many the oldest goes, which was seen least recently. */
static void keep_spare(struct kad_table *t, const struct peer_id *id, const struct kad_net *net,
    unsigned bucket, struct instant now)
{
	if (!net_fits(t, net, bucket, KAD_SPARE))
		return;
	if (kad_table_count(t, bucket, KAD_SPARE) >= KAD_SPARES_MAX) {
		for (size_t i = 0; i < t->n; i++) {
			if (t->v[i].bucket == bucket && t->v[i].standing == KAD_SPARE) {
				drop(t, &t->v[i]);
				break;
			}
		}
	}
	(void)add(t, id, net, KAD_SPARE, now);
}

bool kad_table_suggest(
    struct kad_table *t, const struct peer_id *id, const struct kad_net *net, struct instant now)
{
	struct kad_key key = kad_key_of_peer(id);
	unsigned bucket = kad_shared_bits(&key, &t->key);

	if (bucket == KAD_BITS || kad_table_find(t, id) || !net_fits(t, net, bucket, KAD_MEMBER))
		return false;
	if (!has_room(t, bucket)) {
		keep_spare(t, id, net, bucket, now);
		return false;
	}
	if (count_all(t, KAD_CANDIDATE) >= KAD_CANDIDATES_MAX ||
	    !net_fits(t, net, bucket, KAD_CANDIDATE))
		return false;
	return add(t, id, net, KAD_CANDIDATE, now) != NULL;
}

/* The freshest spare of a bucket that has room again is the next candidate. */
static void promote(struct kad_table *t, unsigned bucket, struct instant now)
{
	struct kad_entry *best = NULL;

	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].bucket == bucket && t->v[i].standing == KAD_SPARE)
			best = &t->v[i];
	if (best && has_room(t, bucket)) {
		best->standing = KAD_CANDIDATE;
		best->since = now;
	}
}

/* ---- checks and their outcomes ------------------------------------------------------------- */

static bool waited_for(const struct kad_table *t, unsigned bucket)
{
	return kad_table_count(t, bucket, KAD_SPARE) > 0;
}

static bool is_due(const struct kad_table *t, const struct kad_entry *e, struct instant now)
{
	int64_t silent = instant_since(now, e->answered).ns;

	if (e->checking.ns != 0 && instant_since(now, e->checking).ns < duration_s(KAD_CHECK_S).ns)
		return false;
	if (e->standing != KAD_MEMBER)
		return e->standing == KAD_CANDIDATE;
	return silent >= duration_s(KAD_RECHECK_S).ns ||
	       (silent >= duration_s(KAD_HURRY_S).ns &&
		   (e->failures > 0 || waited_for(t, e->bucket)));
}

bool kad_table_next_check(struct kad_table *t, struct instant now, struct peer_id *out)
{
	struct kad_entry *next = NULL;

	for (size_t i = 0; i < t->n; i++) {
		struct kad_entry *e = &t->v[i];
		if (!is_due(t, e, now))
			continue;
		if (!next || (e->standing == KAD_CANDIDATE && next->standing == KAD_MEMBER) ||
		    (e->standing == next->standing && instant_before(e->answered, next->answered)))
			next = e;
	}
	if (!next)
		return false;
	next->checking = now;
	*out = next->id;
	return true;
}

static void enter(struct kad_entry *e, struct instant now)
{
	if (e->standing != KAD_MEMBER)
		e->since = now;
	e->standing = KAD_MEMBER;
	e->answered = now;
	e->failures = 0;
	e->checking = (struct instant){0};
}

/* A stranger that answered us, met in a lookup: verified already. */
static bool take_in(
    struct kad_table *t, const struct peer_id *id, const struct kad_net *net, struct instant now)
{
	struct kad_key key = kad_key_of_peer(id);
	unsigned bucket = kad_shared_bits(&key, &t->key);
	struct kad_entry *e;

	if (bucket == KAD_BITS || !net_fits(t, net, bucket, KAD_MEMBER))
		return false;
	if (!has_room(t, bucket)) {
		keep_spare(t, id, net, bucket, now);
		return false;
	}
	if (!(e = add(t, id, net, KAD_MEMBER, now)))
		return false;
	enter(e, now);
	return true;
}

bool kad_table_answered(
    struct kad_table *t, const struct peer_id *id, const struct kad_net *net, struct instant now)
{
	struct kad_entry *e = kad_table_find(t, id);

	if (!e)
		return take_in(t, id, net, now);
	if (e->standing != KAD_MEMBER) {
		struct peer_id copy = *id; /* may lie in the entry */
		if (!has_room(t, e->bucket) || !net_fits(t, net, e->bucket, KAD_MEMBER)) {
			drop(t, e);
			return take_in(t, &copy, net, now); /* as a spare, or not at all */
		}
		e->net = *net;
	}
	enter(e, now);
	return true;
}

void kad_table_remove(struct kad_table *t, const struct peer_id *id, struct instant now)
{
	struct kad_entry *e = kad_table_find(t, id);

	if (!e)
		return;
	unsigned bucket = e->bucket;
	drop(t, e);
	promote(t, bucket, now);
}

void kad_table_failed(struct kad_table *t, const struct peer_id *id, struct instant now)
{
	struct kad_entry *e = kad_table_find(t, id);

	if (!e)
		return;
	e->checking = now; /* not again at once */
	if (e->failures == 0 || instant_since(now, e->failed).ns >= duration_s(KAD_CHECK_S).ns) {
		e->failures++;
		e->failed = now;
	}
	if (e->standing != KAD_MEMBER || e->failures >= KAD_FAILURES_MAX)
		kad_table_remove(t, id, now);
}

/* ---- asking -------------------------------------------------------------------------------- */

size_t kad_table_closest(const struct kad_table *t, const struct kad_key *target,
    const struct peer_id *except, const struct kad_entry **out, size_t cap)
{
	size_t n = 0, at;

	for (size_t i = 0; i < t->n; i++) {
		const struct kad_entry *e = &t->v[i];
		if (e->standing != KAD_MEMBER || (except && peer_id_equal(&e->id, except)))
			continue;
		for (at = n; at > 0 && kad_nearer(&e->key, &out[at - 1]->key, target) < 0; at--)
			if (at < cap)
				out[at] = out[at - 1];
		if (at < cap) {
			out[at] = e;
			n += n < cap;
		}
	}
	return n;
}

static bool among(const struct kad_entry *const *v, size_t n, const struct kad_entry *e)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == e)
			return true;
	return false;
}

/* One pass that keeps each with the same chance (reservoir sampling), by a linear congruential
 * generator: who is drawn need not be secret. */
size_t kad_table_others(const struct kad_table *t, const struct kad_entry *const *near,
    size_t n_near, uint64_t seed, const struct kad_entry **out, size_t cap)
{
	size_t seen = 0;

	for (size_t i = 0; cap > 0 && i < t->n; i++) {
		const struct kad_entry *e = &t->v[i];
		if (e->standing != KAD_MEMBER || among(near, n_near, e))
			continue;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		size_t at = seen < cap ? seen : (size_t)((seed >> 33) % (seen + 1));
		if (at < cap)
			out[at] = e;
		seen++;
	}
	return seen < cap ? seen : cap;
}

bool kad_table_refresh_due(
    const struct kad_table *t, unsigned bucket, struct instant now, struct duration age)
{
	return bucket <= KAD_REFRESH_BITS &&
	       instant_since(now, t->refreshed[bucket]).ns >= age.ns &&
	       kad_table_count(t, bucket, KAD_MEMBER) > 0;
}

/* SHA-256 cannot be turned round: one preimage in 2^(bucket + 1) fits, so this tries some. */
void kad_table_refresh_id(
    const struct kad_table *t, unsigned bucket, uint64_t seed, struct peer_id *out)
{
	uint8_t digest[2 + SHA256_SIZE] = {0x12, SHA256_SIZE}; /* a multihash: SHA-256, 32 bytes */
	struct kad_key key;

	INVARIANT(bucket <= KAD_REFRESH_BITS);
	for (uint64_t i = 0;; i++) {
		put_u64be(digest + 2, seed);
		put_u64be(digest + 10, i);
		key = kad_key_of(bytes_of(digest, sizeof digest));
		if (kad_shared_bits(&key, &t->key) == bucket)
			break;
	}
	INVARIANT(peer_id_from_bytes(bytes_of(digest, sizeof digest), out, NULL) == 0);
}

void kad_table_refreshed(struct kad_table *t, const struct kad_key *target, struct instant now)
{
	unsigned shared = kad_shared_bits(target, &t->key);

	/* Looking for ourselves passes through all that is deeper than what we can aim at. */
	if (shared < KAD_BITS)
		t->refreshed[shared] = now;
}
