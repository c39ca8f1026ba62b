/* gossip-sim: networks of gossip routers under attack, one seed after another.
 *
 *   gossip-sim [--nodes N] [--seed N | --seeds COUNT] [--messages N] [--drop PART]
 *              [--byzantine PART] [--latency-min MS] [--latency-max MS] [--twice] [--verbose]
 *
 * Over all messages and seeds at least 99 % of the honest must have a message within six hops, and
 * 99.9 % in the end; each mesh heals within ten heartbeats of a partition; no forgery is taken and
 * nothing is taken twice. Victims of a complete eclipse count apart. Exit status: 0 when that held,
 * 1 when not (the seed is printed), 2 for wrong arguments. */
#include "crypto/hash.h"
#include "sim/p2p/gossip_net.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WITHIN_WANTED  0.99
#define FINALLY_WANTED 0.999

struct wishes {
	struct net_options net;
	uint64_t first;
	unsigned seeds;
	bool twice, verbose;
};

struct sums {
	double within, finally, worst;
	uint64_t worst_seed, events;
	unsigned failed, heal_beats, hops, eclipsed;
};

static bool number(const char *text, double min, double max, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && *end == 0 && *out >= min && *out <= max;
}

static bool take(struct wishes *w, int option, const char *value)
{
	double v = 0;

	switch (option) {
	case 'n':
		if (!number(value, 20, 20000, &v))
			return false;
		w->net.nodes = (unsigned)v;
		return true;
	case 's':
		if (!number(value, 0, 1e15, &v))
			return false;
		w->first = (uint64_t)v;
		w->seeds = 1;
		return true;
	case 'c':
		if (!number(value, 1, 1e6, &v))
			return false;
		w->seeds = (unsigned)v;
		return true;
	case 'm':
		if (!number(value, 1, NET_MESSAGES_MAX * 4 / 5, &v))
			return false;
		w->net.messages = (unsigned)v;
		return true;
	case 'l':
		if (!number(value, 1, 10000, &v))
			return false;
		w->net.latency_min_ms = (uint64_t)v;
		return true;
	case 'L':
		if (!number(value, 1, 10000, &v))
			return false;
		w->net.latency_max_ms = (uint64_t)v;
		return true;
	case 'd':
		return number(value, 0, 0.9, &w->net.drop);
	case 'b':
		return number(value, 0.01, 0.5, &w->net.byzantine);
	case '2':
		return w->twice = true;
	case 'v':
		return w->verbose = true;
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, struct wishes *w)
{
	static const struct option options[] = {
	    {"nodes", required_argument, NULL, 'n'},
	    {"seed", required_argument, NULL, 's'},
	    {"seeds", required_argument, NULL, 'c'},
	    {"messages", required_argument, NULL, 'm'},
	    {"latency-min", required_argument, NULL, 'l'},
	    {"latency-max", required_argument, NULL, 'L'},
	    {"drop", required_argument, NULL, 'd'},
	    {"byzantine", required_argument, NULL, 'b'},
	    {"twice", no_argument, NULL, '2'},
	    {"verbose", no_argument, NULL, 'v'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take(w, option, optarg))
			return false;
	return optind == argc && w->net.latency_min_ms <= w->net.latency_max_ms;
}

static void report(const struct wishes *w, uint64_t seed, const struct net_result *r)
{
	printf("seed %" PRIu64
	       ": %.3f %% within %d hops, %.3f %% in the end (worst message %.3f %%), "
	       "%u hops at most, healed in %u heartbeats, %u eclipsed, %" PRIu64
	       " events, hash %016" PRIx64 "\n",
	    seed, 100 * r->within, HOPS_WANTED, 100 * r->finally, 100 * r->worst, r->hops,
	    r->heal_beats, r->eclipsed, r->events, r->hash);
	if (r->failure[0])
		printf("FAILED %s\nbuild/sim/gossip-sim --nodes %u --seed %" PRIu64 "\n",
		    r->failure, w->net.nodes, seed);
	fflush(stdout);
}

static void play(struct wishes *w, uint64_t seed, struct sums *sums)
{
	struct net_result r, again;

	w->net.seed = seed;
	net_play(&w->net, &r);
	if (w->twice) {
		net_play(&w->net, &again);
		if (again.hash != r.hash || again.events != r.events)
			(void)snprintf(r.failure, sizeof r.failure, "two runs differ");
	}
	if (w->verbose || r.failure[0] || w->seeds == 1)
		report(w, seed, &r);
	sums->failed += r.failure[0] != 0;
	sums->within += r.within / w->seeds;
	sums->finally += r.finally / w->seeds;
	sums->events += r.events;
	sums->eclipsed += r.eclipsed;
	sums->heal_beats = r.heal_beats > sums->heal_beats ? r.heal_beats : sums->heal_beats;
	sums->hops = r.hops > sums->hops ? r.hops : sums->hops;
	if (r.finally < sums->worst) {
		sums->worst = r.finally;
		sums->worst_seed = seed;
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct wishes w = {.first = 1,
	    .seeds = 1,
	    .net = {.nodes = 100,
		.byzantine = 0.2,
		.drop = 0.1,
		.dials = 10,
		.latency_min_ms = 40,
		.latency_max_ms = 120,
		.messages = 20}};
	struct sums sums = {.worst = 1};

	if (!parse(argc, argv, &w) || crypto_init(NULL) != 0) {
		fputs("usage: gossip-sim [--nodes N] [--seed N | --seeds COUNT] [--messages N]\n"
		      "                  [--drop PART] [--byzantine PART] [--latency-min MS]\n"
		      "                  [--latency-max MS] [--twice] [--verbose]\n",
		    stderr);
		return 2;
	}
	for (unsigned i = 0; i < w.seeds; i++)
		play(&w, w.first + i, &sums);
	bool well =
	    sums.failed == 0 && sums.within >= WITHIN_WANTED && sums.finally >= FINALLY_WANTED;
	printf("%s: %u nodes, %u seeds: %.3f %% within %d hops, %.4f %% in the end (worst seed "
	       "%" PRIu64 ": %.3f %%), healed in at most %u heartbeats, %u eclipsed apart, %" PRIu64
	       " events, %.1f s\n",
	    well ? "well" : "FAILED", w.net.nodes, w.seeds, 100 * sums.within, HOPS_WANTED,
	    100 * sums.finally, sums.worst_seed, 100 * sums.worst, sums.heal_beats, sums.eclipsed,
	    sums.events, seconds());
	return well ? 0 : 1;
}
