/* The simulated world: a deterministic universe of hosts in virtual time.
 *
 * One universe has one scheduler; each host in it is a `struct world`. Links have seeded latency,
 * bandwidth, loss (seen by streams as delay, by datagrams as loss), partitions; hosts crash and
 * restart, losing what they had not synced. Equal seeds give equal runs: see universe_hash. */
#ifndef RT_WORLD_SIM_H
#define RT_WORLD_SIM_H

#include "rt/world.h"

struct universe;

struct universe_options {
	uint64_t seed;
	struct duration latency_min, latency_max; /* one way, per delivery, drawn between */
	uint32_t loss_ppm;       /* datagrams lost; stream segments delayed by a retransmission */
	struct duration retransmit; /* what a lost stream segment costs extra */
	struct duration time_limit; /* virtual; the run is cut off after it */
};

int universe_new(
    const struct universe_options *opt, struct universe **out, struct err *err) WARN_UNUSED;
void universe_free(struct universe *u);

/* A host named `name` with address 10.x.y.z (printed by world_interfaces). Its clock reads the
 * universe's. Owned by the universe. */
struct world *universe_host(struct universe *u, const char *name);

/* Starts `fn` as a host's main fiber; returns E_IN_USE when one is running. */
int universe_boot(struct universe *u, struct world *host, struct log *log, void (*fn)(void *),
    void *arg, struct err *err) WARN_UNUSED;

/* Power loss: the host's connections vanish without a goodbye (peers notice by their own timeouts, or
 * by a reset when `reset` is set, as after SIGKILL), its fibers are cancelled, file writes without sync are lost. */
void universe_crash(struct universe *u, struct world *host, bool reset);
/* Whether its main fiber runs. */
bool universe_alive(const struct universe *u, const struct world *host);

/* No byte passes between the two hosts until healed. */
void universe_partition(struct universe *u, struct world *a, struct world *b, bool cut);

/* What process_start(argv[0] = role) runs: a fiber that serves `s` and returns its exit status. */
void universe_role(struct universe *u, const char *role, int (*fn)(struct world *w, struct stream *s,
    const char *const *argv, void *arg), void *arg);
/* Kills or freezes a running simulated process, by host and role. */
void universe_kill_role(struct universe *u, struct world *host, const char *role);
void universe_stall_role(struct universe *u, struct world *host, const char *role, bool stalled);

/* Runs `fn` at a virtual time, outside any host, in a fiber of its own. */
int universe_at(struct universe *u, struct duration when, void (*fn)(void *), void *arg,
    struct err *err) WARN_UNUSED;

/* Runs until all fibers ended, universe_stop, or the time limit. */
void universe_run(struct universe *u);
void universe_stop(struct universe *u);
struct rt *universe_rt(struct universe *u);
struct instant universe_now(const struct universe *u);

/* Decisions worth comparing between runs: fold a line into the event log. */
void universe_record(struct universe *u, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* SHA-256-free 64-bit FNV-1a over (virtual time, record) pairs and every delivery's order. */
uint64_t universe_hash(const struct universe *u);

#endif
