/* gate-sim: plays scenarios in the simulated world, one seed after another.
 *
 *   gate-sim [--scenario NAME] [--seed N | --seeds COUNT] [--twice] [--trace] [--list]
 *
 * Without --scenario all (but the hidden ones) are played; without --seed, as many seeds as each
 * asks for, from 1. --twice plays each seed two times and fails when the event logs differ. Exit
 * status: 0 when all went well, 1 when something failed, 2 for wrong arguments. */
#include "sim/scenario.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEEDS_MAX 1000000

struct wishes {
	const struct scenario *only; /* NULL: all */
	uint64_t seed;
	bool one_seed, twice, trace, list;
	unsigned seeds; /* 0: the scenario's own number */
};

static const char usage[] =
    "usage: gate-sim [--scenario NAME] [--seed N | --seeds COUNT] [--twice] [--trace] [--list]\n";

/* ---- arguments ----------------------------------------------------------------------------- */

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != 0 || v > max)
		return false;
	*out = v;
	return true;
}

static const struct scenario *find(const char *name)
{
	for (const struct scenario *const *s = scenarios; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}

static bool take(struct wishes *w, int option, const char *value)
{
	uint64_t n = 0;

	switch (option) {
	case 's':
		w->only = find(value);
		if (!w->only)
			fprintf(stderr, "gate-sim: no scenario \"%s\"; --list names them\n", value);
		return w->only != NULL;
	case 'n':
		w->one_seed = true;
		if (!number(value, UINT64_MAX, &w->seed))
			fprintf(stderr, "gate-sim: --seed %s: not a number\n", value);
		else
			return true;
		return false;
	case 'c':
		if (!number(value, SEEDS_MAX, &n) || n == 0) {
			fprintf(stderr, "gate-sim: --seeds %s: a number from 1 to %d\n", value,
			    SEEDS_MAX);
			return false;
		}
		w->seeds = (unsigned)n;
		return true;
	case '2':
		return w->twice = true;
	case 't':
		return w->trace = true;
	case 'l':
		return w->list = true;
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, struct wishes *w)
{
	static const struct option options[] = {
	    {"scenario", required_argument, NULL, 's'},
	    {"seed", required_argument, NULL, 'n'},
	    {"seeds", required_argument, NULL, 'c'},
	    {"twice", no_argument, NULL, '2'},
	    {"trace", no_argument, NULL, 't'},
	    {"list", no_argument, NULL, 'l'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take(w, option, optarg))
			return false;
	return optind == argc && !(w->one_seed && w->seeds);
}

/* ---- playing ------------------------------------------------------------------------------- */

static void report_failure(const struct scenario *s, uint64_t seed, const struct scenario_result *r)
{
	printf("FAILED %s, seed %" PRIu64 ", after %.3f s: %s\n", s->name, seed,
	    (double)r->elapsed.ns / 1e9, r->text);
	printf("make sim SCENARIO=%s SEED=%" PRIu64 "\n", s->name, seed);
	fflush(stdout);
}

/* Whether it went well. */
static bool play_seed(
    const struct wishes *w, const struct scenario *s, uint64_t seed, struct scenario_result *out)
{
	struct scenario_result again;

	scenario_play(s, seed, w->trace, stdout, out);
	if (!out->failed && w->twice) {
		scenario_play(s, seed, false, NULL, &again);
		if (again.hash != out->hash) {
			out->failed = true;
			snprintf(out->text, sizeof(out->text),
			    "two runs differ: event log %016" PRIx64 " and %016" PRIx64, out->hash,
			    again.hash);
		}
	}
	if (out->failed)
		report_failure(s, seed, out);
	return !out->failed;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool play(const struct wishes *w, const struct scenario *s)
{
	uint64_t first = w->one_seed ? w->seed : 1, events = 0;
	unsigned n = w->one_seed ? 1 : w->seeds ? w->seeds : s->seeds, failed = 0;
	struct scenario_result r;
	double began = seconds();

	for (unsigned i = 0; i < n; i++) {
		failed += !play_seed(w, s, first + i, &r);
		events += r.events;
	}
	printf("%s: %u seeds, %u failed, %" PRIu64 " events, %.2f s", s->name, n, failed, events,
	    seconds() - began);
	if (n == 1)
		printf(", %.3f s of virtual time, event log %016" PRIx64,
		    (double)r.elapsed.ns / 1e9, r.hash);
	printf("\n");
	return failed == 0;
}

static void list(void)
{
	for (const struct scenario *const *s = scenarios; *s; s++)
		printf("%-12s %s%s\n", (*s)->name, (*s)->about, (*s)->hidden ? " [hidden]" : "");
}

int main(int argc, char **argv)
{
	struct wishes w = {0};
	bool well = true;

	if (!parse(argc, argv, &w)) {
		fputs(usage, stderr);
		return 2;
	}
	if (w.list) {
		list();
		return 0;
	}
	for (const struct scenario *const *s = scenarios; *s; s++)
		if (w.only ? *s == w.only : !(*s)->hidden)
			well &= play(&w, *s);
	return well ? 0 : 1;
}
