/* The iterative lookup: a sorted array of peers and a state for each. */
#include "p2p/kad_lookup_priv.h"

#include <stdlib.h>

struct kad_lookup_config kad_lookup_config_default(void)
{
	return (struct kad_lookup_config){
	    .k = 20, .alpha = KAD_ALPHA, .paths = 1, .tries = 2, .max_asked = 300};
}

int kad_lookup_init(struct kad_lookup *l, const struct kad_key *target, const struct peer_id *self,
    const struct kad_lookup_config *config, struct err *err)
{
	INVARIANT(config->k > 0 && config->alpha > 0 && config->paths > 0 &&
		  config->paths <= KAD_PATHS_MAX && config->tries > 0 &&
		  config->max_asked <= KAD_ASKED_MAX);
	*l = (struct kad_lookup){.config = *config, .target = *target, .self = *self};
	l->v = malloc(KAD_LOOKUP_PEERS_MAX * sizeof *l->v);
	l->credits = calloc(config->max_asked + 1, sizeof *l->credits);
	if (l->v && l->credits)
		return 0;
	kad_lookup_free(l);
	return err_set(err, E_MEMORY, "no memory for a lookup");
}

void kad_lookup_free(struct kad_lookup *l)
{
	free(l->v);
	free(l->credits);
	*l = (struct kad_lookup){0};
}

/* ---- the peers, by distance ---------------------------------------------------------------- */

/* Where a key stands or would stand. */
static size_t place_of(const struct kad_lookup *l, const struct kad_key *key)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (kad_nearer(&l->v[middle].key, key, &l->target) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct kad_lookup_peer *find(const struct kad_lookup *l, const struct kad_key *key)
{
	size_t at = place_of(l, key);

	return at < l->n && kad_nearer(&l->v[at].key, key, &l->target) == 0 ? &l->v[at] : NULL;
}

/* When the array is full the farthest goes that is not asked (yet) and lies beyond `key`. */
static bool make_room(struct kad_lookup *l, const struct kad_key *key)
{
	size_t i = l->n;

	if (l->n < KAD_LOOKUP_PEERS_MAX)
		return true;
	while (i > 0 && (l->v[i - 1].state != KAD_NOT_ASKED || l->v[i - 1].outsider))
		i--;
	if (i == 0 || kad_nearer(&l->v[i - 1].key, key, &l->target) < 0)
		return false;
	memmove(&l->v[i - 1], &l->v[i], (l->n - i) * sizeof *l->v);
	l->n--;
	return true;
}

static struct kad_lookup_peer *insert(
    struct kad_lookup *l, const struct peer_id *id, const struct kad_key *key)
{
	size_t at;

	if (!make_room(l, key))
		return NULL;
	at = place_of(l, key);
	memmove(&l->v[at + 1], &l->v[at], (l->n - at) * sizeof *l->v);
	l->n++;
	l->v[at] = (struct kad_lookup_peer){.id = *id, .key = *key};
	return &l->v[at];
}

static uint8_t bit(unsigned path)
{
	return (uint8_t)(1u << path);
}

void kad_lookup_seed(struct kad_lookup *l, const struct peer_id *id, enum kad_seed kind)
{
	struct kad_key key = kad_key_of_peer(id);
	struct kad_lookup_peer *p;

	if (peer_id_equal(id, &l->self) || find(l, &key) || !(p = insert(l, id, &key)))
		return;
	p->trusted = true;
	p->outsider = kind == KAD_OUTSIDER;
	l->outsiders += p->outsider;
	p->paths = bit(l->turn);
	l->turn = (l->turn + 1) % l->config.paths;
}

/* ---- whom to ask --------------------------------------------------------------------------- */

/* A source whose peers failed, and hardly ever answered, is not believed for the rest of them. */
static bool is_liar(const struct kad_lookup *l, uint16_t credit)
{
	const struct kad_credit *c = &l->credits[credit];

	return credit == 0 || (c->bad >= KAD_BLAME_MIN && c->bad > 4 * c->good);
}

static bool discredited(const struct kad_lookup *l, const struct kad_lookup_peer *p)
{
	return !p->trusted && is_liar(l, p->sources[0]) && is_liar(l, p->sources[1]);
}

static struct kad_lookup_peer *unheard(const struct kad_lookup *l, unsigned path)
{
	for (size_t i = 0; l->outsiders > 0 && i < l->n; i++) {
		struct kad_lookup_peer *p = &l->v[i];
		if (p->outsider && p->tries == 0 && (p->paths & bit(path)))
			return p;
	}
	return NULL;
}

/* The next peer of a path: an outsider, else the nearest not yet asked among its k nearest that did
 * not fail. One asked before without success comes after those, and those of liars when nobody else
 * is left. */
static struct kad_lookup_peer *candidate(const struct kad_lookup *l, unsigned path)
{
	struct kad_lookup_peer *again = NULL, *last_resort = NULL, *first = unheard(l, path);
	size_t seen = 0;

	if (first)
		return first;
	for (size_t i = 0; i < l->n && seen < l->config.k; i++) {
		struct kad_lookup_peer *p = &l->v[i];
		if (!(p->paths & bit(path)) || p->state == KAD_FAILED)
			continue;
		if (p->state == KAD_NOT_ASKED && discredited(l, p)) {
			last_resort = last_resort ? last_resort : p;
			continue; /* and takes nobody's place */
		}
		seen++;
		if (p->state != KAD_NOT_ASKED)
			continue;
		if (p->tries == 0)
			return p;
		again = again ? again : p;
	}
	return again ? again : seen < l->config.k ? last_resort : NULL;
}

static bool exhausted(const struct kad_lookup *l)
{
	return l->asked >= l->config.max_asked;
}

/* Requests that a path may have under way: its share of alpha, at least one. */
static unsigned share(const struct kad_lookup *l)
{
	unsigned part = l->config.alpha / l->config.paths;

	return part > 0 ? part : 1;
}

static unsigned all_waiting(const struct kad_lookup *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->config.paths; i++)
		n += l->waiting[i];
	return n;
}

bool kad_lookup_next(struct kad_lookup *l, struct peer_id *out)
{
	if (exhausted(l) || all_waiting(l) >= l->config.alpha)
		return false;
	for (unsigned i = 0; i < l->config.paths; i++) {
		unsigned path = (l->turn + i) % l->config.paths;
		struct kad_lookup_peer *p = l->waiting[path] < share(l) ? candidate(l, path) : NULL;
		if (!p)
			continue;
		l->outsiders -= p->outsider && p->tries == 0;
		p->state = KAD_WAITING;
		p->path = (uint8_t)path;
		p->tries++;
		l->waiting[path]++;
		l->asked++;
		p->credit = (uint16_t)l->asked;
		l->turn = (path + 1) % l->config.paths;
		*out = p->id;
		return true;
	}
	return false;
}

bool kad_lookup_done(const struct kad_lookup *l)
{
	if (all_waiting(l) > 0)
		return false;
	for (unsigned i = 0; !exhausted(l) && i < l->config.paths; i++)
		if (candidate(l, i))
			return false;
	return true;
}

/* ---- answers ------------------------------------------------------------------------------- */

static struct kad_lookup_peer *end_wait(struct kad_lookup *l, const struct peer_id *from)
{
	struct kad_key key = kad_key_of_peer(from);
	struct kad_lookup_peer *p = find(l, &key);

	if (!p || p->state != KAD_WAITING)
		return NULL;
	l->waiting[p->path]--;
	return p;
}

static void add_source(struct kad_lookup_peer *p, uint16_t credit)
{
	if (p->sources[0] == 0)
		p->sources[0] = credit;
	else if (p->sources[1] == 0 && p->sources[0] != credit)
		p->sources[1] = credit;
}

/* One peer out of an answer to a request of `path`. Told of by two paths it is both's; whoever gets
 * there first asks. */
static bool learn(
    struct kad_lookup *l, const struct kad_peer *told, unsigned path, uint8_t hops, uint16_t credit)
{
	struct kad_key key = kad_key_of_peer(&told->id);
	struct kad_lookup_peer *p = find(l, &key);
	bool fresh = !p;

	if (peer_id_equal(&told->id, &l->self))
		return false;
	if (fresh) {
		if (!(p = insert(l, &told->id, &key)))
			return false;
		p->hops = hops;
	}
	add_source(p, credit);
	p->paths |= bit(path);
	return fresh;
}

void kad_lookup_answered(struct kad_lookup *l, const struct peer_id *from,
    const struct kad_peer *closer, size_t n, void (*news)(void *arg, const struct kad_peer *p),
    void *arg)
{
	struct kad_lookup_peer *p = end_wait(l, from);

	if (!p)
		return;
	p->state = KAD_ANSWERED;
	for (int i = 0; i < 2; i++)
		l->credits[p->sources[i]].good++;
	unsigned path = p->path;
	uint16_t credit = p->credit;
	uint8_t hops = p->hops < UINT8_MAX ? (uint8_t)(p->hops + 1) : UINT8_MAX;
	for (size_t i = 0; i < n && i < l->config.k; i++)
		if (learn(l, &closer[i], path, hops, credit) && news)
			news(arg, &closer[i]);
}

void kad_lookup_failed(struct kad_lookup *l, const struct peer_id *from)
{
	struct kad_lookup_peer *p = end_wait(l, from);

	if (!p)
		return;
	p->state = p->tries < l->config.tries ? KAD_NOT_ASKED : KAD_FAILED;
	for (int i = 0; i < 2; i++)
		l->credits[p->sources[i]].bad++;
}

size_t kad_lookup_closest(const struct kad_lookup *l, struct peer_id *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n && n < cap && n < l->config.k; i++)
		if (l->v[i].state == KAD_ANSWERED)
			out[n++] = l->v[i].id;
	return n;
}

unsigned kad_lookup_hops(const struct kad_lookup *l)
{
	unsigned hops = 0;
	size_t seen = 0;

	for (size_t i = 0; i < l->n && seen < l->config.k; i++) {
		if (l->v[i].state != KAD_ANSWERED)
			continue;
		seen++;
		if (l->v[i].hops > hops)
			hops = l->v[i].hops;
	}
	return hops;
}
