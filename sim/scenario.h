/* Scenarios: stories told to the simulated world, and what must be true in each of them.
 *
 * A scenario lays out hosts and plans events in `setup`, outside fibers; the universe runs; `check`
 * looks at the end. In between, any fiber may check too. The first check that fails ends the run;
 * the runner prints what failed, when, the hosts' last log lines, and the command that repeats it.
 *
 * A scenario draws everything it chooses from the universe (universe_random_below, world_random),
 * so that its seed repeats it. To add one: a file with a `const struct scenario`, and its line in
 * the table of scenario.c. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "rt/world_sim.h"

struct scenario_run;

struct scenario {
	const char *name;  /* "echo" */
	const char *about; /* one line */
	/* Its network; the seed is filled in. A run that reaches time_limit has failed. */
	struct universe_options net;
	unsigned seeds; /* how many a run without --seed or --seeds tries */
	bool hidden;    /* runs only when named: it fails by design */
	void (*setup)(struct scenario_run *r);
	void (*check)(struct scenario_run *r); /* may be NULL */
};

/* All of them, NULL at the end. */
extern const struct scenario *const scenarios[];

struct universe *scenario_universe(struct scenario_run *r);
uint64_t scenario_seed(const struct scenario_run *r);

/* The scenario's state: n zeroed bytes, the same ones at each call. */
void *scenario_state(struct scenario_run *r, size_t n);
/* More memory, zeroed. Both live as long as the run. */
void *scenario_memory(struct scenario_run *r, size_t n);

/* universe_host and universe_boot, with a log per host whose last lines are printed on failure. */
struct world *scenario_host(struct scenario_run *r, const char *name);
void scenario_boot(struct scenario_run *r, struct world *host, void (*fn)(void *), void *arg);
/* The log that scenario_boot gives to a host. */
struct log *scenario_log(struct scenario_run *r, struct world *host);
/* universe_at. */
void scenario_at(struct scenario_run *r, struct duration when, void (*fn)(void *), void *arg);
/* A time drawn between two. */
struct duration scenario_draw(struct scenario_run *r, struct duration min, struct duration max);

/* The story has come to its end: stops the universe. */
void scenario_done(struct scenario_run *r);

/* Notes a failure and stops the universe; only the first one counts. */
void scenario_fail(struct scenario_run *r, const char *file, int line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
#define SCENARIO_CHECK(r, cond, ...)                                                               \
	((cond) ? (void)0 : scenario_fail((r), __FILE__, __LINE__, __VA_ARGS__))

/* ---- for the runner ------------------------------------------------------------------------ */

struct scenario_result {
	bool failed;
	char text[512]; /* what failed, where */
	struct duration elapsed;
	uint64_t hash, events;
};

/* Runs it once. `trace` prints the event log to stderr; `report` is where a failure's log lines go
 * (NULL: nowhere). */
void scenario_play(
    const struct scenario *s, uint64_t seed, bool trace, FILE *report, struct scenario_result *out);

#endif
