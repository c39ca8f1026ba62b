/* Kademlia among liars: a network of routing tables and lookups without hosts or streams, in which
 * requests are lost and some nodes answer with inventions, with each other, or not at all.
 *
 *   build/sim/kad-sim [--nodes N] [--k K] [--drop PERCENT] [--byzantine PERCENT] [--lookups N]
 *                     [--paths N] [--seed S] [--seeds N] [--twice] [--quiet]
 *
 * For each seed the nodes join one after the other, refresh their tables, and honest ones then look
 * for random keys. A seed passes when its lookups together find at least RECALL_MIN of those honest
 * nodes that truly are among the k nearest that answer at all, when all but a few find the nearest
 * one of them (every request to it may be lost), and when no lookup needs more than log2(N) +
 * HOPS_SLACK steps. The seed decides everything: with --twice each is run again and must give the
 * same hash. */
#include "crypto/crypto.h"
#include "p2p/kad_lookup_priv.h"
#include "p2p/kad_table_priv.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define RECALL_MIN     0.98
#define MISSES_MAX     0.01 /* of the lookups, and one */
#define HOPS_SLACK     2
#define TRIES          3  /* a tenth of all requests is lost: two retries leave one in a thousand */
#define MS_PER_REQUEST 10 /* virtual */
#define KNOCKS         20 /* nodes that a Byzantine one presents itself to */
#define INVENTED       8  /* inventions to choose from, for each node: so much nearer they are */
#define CONTACTS       8  /* that a newcomer is told of; of 3, all would be liars for one in 50 */
#define WAITING_MAX    64

enum conduct {
	HONEST,
	INVENTS,  /* answers with nodes that do not exist, near to what is looked for */
	COLLUDES, /* answers with its accomplices alone */
	SILENT
};

struct node {
	struct peer_id id;
	struct kad_key key;
	struct kad_net net;
	enum conduct conduct;
	struct kad_table table;
};

struct options {
	size_t nodes, k, lookups;
	unsigned drop, byzantine, paths; /* percent */
	uint64_t seed, seeds;
	bool twice, quiet;
};

struct network {
	const struct options *opt;
	struct peer_id *invented;
	struct kad_key *invented_keys;
	struct node *nodes; /* sorted by id, to be found */
	size_t n;           /* that have joined */
	uint64_t chance, hash;
	struct instant now;
	uint64_t requests;
};

struct figures {
	unsigned lookups, perfect, missed_nearest, worst_hops;
	uint64_t wanted, found, hops, asked;
};

/* ---- chance and hash ----------------------------------------------------------------------- */

/* SplitMix64. */
static uint64_t draw(struct network *w)
{
	uint64_t x = (w->chance += 0x9e3779b97f4a7c15u);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static bool percent(struct network *w, unsigned p)
{
	return draw(w) % 100 < p;
}

/* FNV-1a over decisions. */
static void record(struct network *w, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		w->hash = (w->hash ^ (value >> (8 * i) & 255)) * 1099511628211u;
}

static struct peer_id random_id(struct network *w)
{
	uint8_t digest[2 + SHA256_SIZE] = {0x12, SHA256_SIZE};
	struct peer_id id;

	for (size_t i = 0; i < 4; i++)
		put_u64be(digest + 2 + 8 * i, draw(w));
	INVARIANT(peer_id_from_bytes(bytes_of(digest, sizeof digest), &id, NULL) == 0);
	return id;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	return peer_id_compare(&((const struct node *)a)->id, &((const struct node *)b)->id);
}

/* NULL for an invention. */
static struct node *find(const struct network *w, const struct peer_id *id)
{
	const struct node wanted = {.id = *id};

	return bsearch(&wanted, w->nodes, w->opt->nodes, sizeof *w->nodes, by_id);
}

static void network_new(struct network *w, const struct options *opt, uint64_t seed)
{
	struct kad_table_config config = kad_table_config_default();

	config.k = opt->k;
	*w = (struct network){.opt = opt,
	    .nodes = calloc(opt->nodes, sizeof *w->nodes),
	    .chance = seed,
	    .hash = 14695981039346656037u,
	    .now = {1}};
	INVARIANT(w->nodes);
	for (size_t i = 0; i < opt->nodes; i++) {
		struct node *n = &w->nodes[i];
		uint64_t at = draw(w);
		n->id = random_id(w);
		n->key = kad_key_of_peer(&n->id);
		n->conduct = percent(w, opt->byzantine) ? 1 + (enum conduct)(draw(w) % 3) : HONEST;
		n->net = (struct kad_net){.n = 3, .wide = 2};
		memcpy(n->net.bytes, &at, 3);
		kad_table_init(&n->table, &n->id, &config, w->now);
	}
	qsort(w->nodes, opt->nodes, sizeof *w->nodes, by_id);
	w->invented = calloc(INVENTED * opt->nodes, sizeof *w->invented);
	w->invented_keys = calloc(INVENTED * opt->nodes, sizeof *w->invented_keys);
	INVARIANT(w->invented && w->invented_keys);
	for (size_t i = 0; i < INVENTED * opt->nodes; i++) {
		w->invented[i] = random_id(w);
		w->invented_keys[i] = kad_key_of_peer(&w->invented[i]);
	}
}

static void network_free(struct network *w)
{
	for (size_t i = 0; i < w->opt->nodes; i++)
		kad_table_free(&w->nodes[i].table);
	free(w->nodes);
	free(w->invented);
	free(w->invented_keys);
}

/* ---- requests ------------------------------------------------------------------------------ */

struct told {
	struct kad_peer v[KAD_K];
	size_t n;
};

static void tell_honestly(struct node *to, const struct node *from, const struct kad_key *target,
    size_t k, struct told *out)
{
	const struct kad_entry *near[KAD_K];

	out->n = kad_table_closest(&to->table, target, &from->id, near, k);
	for (size_t i = 0; i < out->n; i++)
		out->v[i] = (struct kad_peer){.id = near[i]->id};
}

/* Keeps the nearest of what it is shown, nearest first. */
struct nearest {
	const struct kad_key *target, *keys[KAD_K];
	size_t indices[KAD_K], n, cap;
};

static void show(struct nearest *l, const struct kad_key *key, size_t index)
{
	size_t at = l->n;

	if (l->n == l->cap && kad_nearer(key, l->keys[l->n - 1], l->target) >= 0)
		return;
	l->n += l->n < l->cap;
	at = at < l->cap ? at : l->cap - 1;
	for (; at > 0 && kad_nearer(key, l->keys[at - 1], l->target) < 0; at--) {
		l->keys[at] = l->keys[at - 1];
		l->indices[at] = l->indices[at - 1];
	}
	l->keys[at] = key;
	l->indices[at] = index;
}

static void invent(struct network *w, const struct kad_key *target, struct told *out)
{
	struct nearest near = {.target = target, .cap = w->opt->k};

	for (size_t i = 0; i < INVENTED * w->opt->nodes; i++)
		show(&near, &w->invented_keys[i], i);
	for (out->n = 0; out->n < near.n; out->n++)
		out->v[out->n] = (struct kad_peer){.id = w->invented[near.indices[out->n]]};
}

/* The accomplices nearest to the target. */
static void collude(struct network *w, const struct kad_key *target, struct told *out)
{
	struct nearest near = {.target = target, .cap = w->opt->k};

	for (size_t i = 0; i < w->n; i++)
		if (w->nodes[i].conduct == COLLUDES)
			show(&near, &w->nodes[i].key, i);
	for (out->n = 0; out->n < near.n; out->n++)
		out->v[out->n] = (struct kad_peer){.id = w->nodes[near.indices[out->n]].id};
}

/* A request and its outcome: whether an answer came. Both sides hear of each other. */
static bool request(struct network *w, struct node *from, const struct peer_id *id,
    const struct kad_key *target, struct told *out)
{
	struct node *to = find(w, id);
	bool lost = percent(w, w->opt->drop);

	w->requests++;
	w->now = instant_add(w->now, duration_ms(MS_PER_REQUEST));
	out->n = 0;
	if (!to || lost || to->conduct == SILENT) {
		record(w, 1);
		kad_table_failed(&from->table, id, w->now);
		return false;
	}
	(void)kad_table_suggest(&to->table, &from->id, &from->net, w->now);
	if (to->conduct == HONEST)
		tell_honestly(to, from, target, w->opt->k, out);
	else if (to->conduct == INVENTS)
		invent(w, target, out);
	else
		collude(w, target, out);
	(void)kad_table_answered(&from->table, id, &to->net, w->now);
	record(w, 2 + out->n);
	return true;
}

static void check_candidates(struct network *w, struct node *n)
{
	struct peer_id next;
	struct told told;

	while (kad_table_next_check(&n->table, w->now, &next))
		(void)request(w, n, &next, &n->key, &told);
}

/* ---- lookups ------------------------------------------------------------------------------- */

/* Alpha requests are under way at a time; their outcomes come in any order. */
static void run_lookup(struct network *w, struct node *n, struct kad_lookup *l)
{
	struct peer_id waiting[WAITING_MAX], next;
	struct told told;
	size_t count = 0;

	while (!kad_lookup_done(l)) {
		while (count < WAITING_MAX && kad_lookup_next(l, &next))
			waiting[count++] = next;
		size_t pick = draw(w) % count;
		next = waiting[pick];
		waiting[pick] = waiting[--count];
		if (request(w, n, &next, &l->target, &told))
			kad_lookup_answered(l, &next, told.v, told.n, NULL, NULL);
		else
			kad_lookup_failed(l, &next);
	}
}

static void lookup(
    struct network *w, struct node *n, const struct kad_key *target, struct kad_lookup *l)
{
	struct kad_lookup_config config = kad_lookup_config_default();
	const struct kad_entry *near[KAD_K], *others[KAD_OUTSIDERS];
	size_t count = kad_table_closest(&n->table, target, NULL, near, w->opt->k);
	size_t more = kad_table_others(&n->table, near, count, draw(w), others, KAD_OUTSIDERS);

	config.k = w->opt->k;
	config.tries = TRIES;
	config.paths = w->opt->paths;
	INVARIANT(kad_lookup_init(l, target, &n->id, &config, NULL) == 0);
	for (size_t i = 0; i < count; i++)
		kad_lookup_seed(l, &near[i]->id, KAD_NEAR);
	for (size_t i = 0; i < more; i++)
		kad_lookup_seed(l, &others[i]->id, KAD_OUTSIDER);
	run_lookup(w, n, l);
	record(w, l->asked);
}

static void visit(struct network *w, struct node *n, const struct kad_key *target)
{
	struct kad_lookup l;

	lookup(w, n, target, &l);
	kad_lookup_free(&l);
	kad_table_refreshed(&n->table, target, w->now);
}

/* Ourselves, and each bucket in use. */
static void refresh(struct network *w, struct node *n)
{
	struct peer_id id;
	struct kad_key key;

	visit(w, n, &n->key);
	for (unsigned b = 0; b <= KAD_REFRESH_BITS; b++) {
		if (!kad_table_refresh_due(&n->table, b, w->now, duration_s(0)))
			continue;
		kad_table_refresh_id(&n->table, b, draw(w), &id);
		key = kad_key_of_peer(&id);
		visit(w, n, &key);
	}
	check_candidates(w, n);
}

/* ---- the story ----------------------------------------------------------------------------- */

/* Byzantine nodes do not wait to be met. */
static void knock(struct network *w, struct node *n)
{
	struct told told;

	for (int i = 0; n->conduct != HONEST && i < KNOCKS; i++)
		(void)request(w, n, &w->nodes[draw(w) % w->n].id, &n->key, &told);
}

/* Knows some at random, again while lost requests or a young network leave it alone. */
static void join(struct network *w, struct node *n)
{
	for (int i = 0; i < CONTACTS || (i < 10 && kad_table_members(&n->table) == 0); i++) {
		const struct node *other = &w->nodes[draw(w) % w->n];
		(void)kad_table_suggest(&n->table, &other->id, &other->net, w->now);
		check_candidates(w, n);
	}
	visit(w, n, &n->key);
	knock(w, n);
}

static void grow(struct network *w)
{
	for (size_t i = 0; i < w->opt->nodes; i++) {
		w->n = i + 1;
		join(w, &w->nodes[i]);
	}
	for (size_t i = 0; i < w->n; i++) {
		if (w->nodes[i].conduct != HONEST)
			continue;
		if (kad_table_members(&w->nodes[i].table) == 0)
			join(w, &w->nodes[i]);
		refresh(w, &w->nodes[i]);
	}
	/* Those who were met meanwhile. */
	for (size_t i = 0; i < w->n; i++)
		if (w->nodes[i].conduct == HONEST)
			check_candidates(w, &w->nodes[i]);
}

/* The k nearest of all that answer at all. */
static void truth(const struct network *w, const struct node *asker, struct nearest *out)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->nodes[i].conduct != SILENT && &w->nodes[i] != asker)
			show(out, &w->nodes[i].key, i);
}

static bool holds(const struct peer_id *v, size_t n, const struct peer_id *id)
{
	for (size_t i = 0; i < n; i++)
		if (peer_id_equal(&v[i], id))
			return true;
	return false;
}

static void judge(
    struct network *w, const struct node *asker, const struct kad_lookup *l, struct figures *f)
{
	struct nearest wanted = {.target = &l->target, .cap = w->opt->k};
	struct peer_id found[KAD_K];
	size_t n_found = kad_lookup_closest(l, found, w->opt->k);
	unsigned honest = 0, met = 0, hops = kad_lookup_hops(l);

	truth(w, asker, &wanted);
	for (size_t i = 0; i < wanted.n; i++) {
		const struct node *node = &w->nodes[wanted.indices[i]];
		if (node->conduct != HONEST)
			continue;
		bool there = holds(found, n_found, &node->id);
		f->missed_nearest += honest == 0 && !there;
		honest++;
		met += there;
	}
	f->lookups++;
	f->wanted += honest;
	f->found += met;
	f->perfect += met == honest;
	f->hops += hops;
	f->asked += l->asked;
	if (hops > f->worst_hops)
		f->worst_hops = hops;
	record(w, (uint64_t)met << 8 | hops);
}

static void measure(struct network *w, struct figures *f)
{
	for (size_t i = 0; i < w->opt->lookups; i++) {
		struct peer_id target_id = random_id(w);
		struct kad_key target = kad_key_of_peer(&target_id);
		struct kad_lookup l;
		struct node *asker;
		do
			asker = &w->nodes[draw(w) % w->n];
		while (asker->conduct != HONEST);
		lookup(w, asker, &target, &l);
		judge(w, asker, &l, f);
		kad_lookup_free(&l);
	}
}

/* ---- seeds --------------------------------------------------------------------------------- */

static unsigned log2_up(size_t n)
{
	unsigned bits = 0;

	while (((size_t)1 << bits) < n)
		bits++;
	return bits;
}

static const char *verdict(const struct options *opt, const struct figures *f)
{
	if ((double)f->found < RECALL_MIN * (double)f->wanted)
		return "too few of the nearest honest nodes were found";
	if (f->missed_nearest > 1 + MISSES_MAX * f->lookups)
		return "lookups missed the nearest honest node";
	if (f->worst_hops > log2_up(opt->nodes) + HOPS_SLACK)
		return "a lookup took too many steps";
	return NULL;
}

static void print(const struct options *opt, uint64_t seed, const struct figures *f,
    const struct network *w, size_t members)
{
	printf("seed %llu: %zu nodes, %u lookups, %.2f %% of the nearest honest nodes found, %u "
	       "lookups found all, %u missed the nearest one, hops %.2f (most %u, log2 %u), "
	       "%.1f requests a lookup, %.1f members a table, %llu requests, hash %016llx\n",
	    (unsigned long long)seed, opt->nodes, f->lookups,
	    100.0 * (double)f->found / (double)f->wanted, f->perfect, f->missed_nearest,
	    (double)f->hops / f->lookups, f->worst_hops, log2_up(opt->nodes),
	    (double)f->asked / f->lookups, (double)members / (double)opt->nodes,
	    (unsigned long long)w->requests, (unsigned long long)w->hash);
}

static uint64_t run(const struct options *opt, uint64_t seed, struct figures *f, bool quiet)
{
	struct network w;
	size_t members = 0;
	uint64_t hash;

	*f = (struct figures){0};
	network_new(&w, opt, seed);
	grow(&w);
	measure(&w, f);
	for (size_t i = 0; i < opt->nodes; i++)
		members += kad_table_members(&w.nodes[i].table);
	if (!quiet)
		print(opt, seed, f, &w, members);
	hash = w.hash;
	network_free(&w);
	return hash;
}

/* False, with the seed on standard error, when it did not pass. */
static bool run_seed(const struct options *opt, uint64_t seed, struct figures *sum)
{
	struct figures f, again;
	uint64_t hash = run(opt, seed, &f, opt->quiet);
	const char *wrong = verdict(opt, &f);

	if (!wrong && opt->twice && run(opt, seed, &again, true) != hash)
		wrong = "the same seed gave another run";
	sum->lookups += f.lookups;
	sum->perfect += f.perfect;
	sum->wanted += f.wanted;
	sum->found += f.found;
	sum->hops += f.hops;
	sum->asked += f.asked;
	if (f.worst_hops > sum->worst_hops)
		sum->worst_hops = f.worst_hops;
	if (!wrong)
		return true;
	fprintf(stderr,
	    "kad-sim: %s; again with: kad-sim --nodes %zu --k %zu --drop %u --byzantine %u "
	    "--lookups %zu --paths %u --seed %llu\n",
	    wrong, opt->nodes, opt->k, opt->drop, opt->byzantine, opt->lookups, opt->paths,
	    (unsigned long long)seed);
	return false;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	*out = v;
	return end != text && *end == 0 && v >= min && v <= max;
}

static bool take(struct options *o, int which, const char *value)
{
	uint64_t v = 0;
	bool good = true;

	switch (which) {
	case 'n':
		good = number(value, 8, 100000, &v);
		o->nodes = v;
		return good;
	case 'k':
		good = number(value, 1, KAD_K, &v);
		o->k = v;
		return good;
	case 'l':
		good = number(value, 1, 1000000, &v);
		o->lookups = v;
		return good;
	case 'd':
		good = number(value, 0, 99, &v);
		o->drop = (unsigned)v;
		return good;
	case 'b':
		good = number(value, 0, 90, &v);
		o->byzantine = (unsigned)v;
		return good;
	case 'p':
		good = number(value, 1, KAD_PATHS_MAX, &v);
		o->paths = (unsigned)v;
		return good;
	case 's':
		return number(value, 0, UINT64_MAX, &o->seed);
	case 'S':
		return number(value, 1, 1000000, &o->seeds);
	case 't':
		o->twice = true;
		return true;
	case 'q':
		o->quiet = true;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"nodes", required_argument, NULL, 'n'},
	    {"k", required_argument, NULL, 'k'},
	    {"drop", required_argument, NULL, 'd'},
	    {"byzantine", required_argument, NULL, 'b'},
	    {"lookups", required_argument, NULL, 'l'},
	    {"paths", required_argument, NULL, 'p'},
	    {"seed", required_argument, NULL, 's'},
	    {"seeds", required_argument, NULL, 'S'},
	    {"twice", no_argument, NULL, 't'},
	    {"quiet", no_argument, NULL, 'q'},
	    {0},
	};
	struct options o = {.nodes = 1000,
	    .k = KAD_K,
	    .lookups = 200,
	    .drop = 10,
	    .byzantine = 20,
	    .paths = 4,
	    .seed = 1,
	    .seeds = 1};
	struct figures sum = {0};
	unsigned failed = 0;
	int which;

	while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take(&o, which, optarg))
			return 2;
	if (optind < argc || crypto_init(NULL) != 0)
		return 2;
	for (uint64_t i = 0; i < o.seeds; i++)
		failed += !run_seed(&o, o.seed + i, &sum);
	printf("%llu seeds, %u failed: %u lookups, %.3f %% of the nearest honest nodes found, %u "
	       "lookups found all, hops %.2f (most %u), %.1f requests a lookup\n",
	    (unsigned long long)o.seeds, failed, sum.lookups,
	    100.0 * (double)sum.found / (double)sum.wanted, sum.perfect,
	    (double)sum.hops / sum.lookups, sum.worst_hops, (double)sum.asked / sum.lookups);
	return failed > 0;
}
