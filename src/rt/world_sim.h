/* The simulated world: a deterministic universe of hosts in virtual time.
 *
 * One universe has one scheduler; each host in it is a `struct world`. Links have seeded latency,
 * loss (seen by streams as delay, by datagrams as loss), bandwidth and partitions; hosts crash and
 * restart, losing what they had not synced. Equal seeds give equal runs: see universe_hash.
 *
 * What is modelled, so that code which lives here lives in the real world too:
 * - TCP: a round trip to connect, ordered bytes cut into segments at seeded places, 256 KiB on
 *   the way before a writer waits, retransmission with growing pauses while the other side cannot
 *   be reached, given up (E_RESET) after 924 s, or 127 s (E_TIMEOUT) while connecting. A host that
 *   does not know a connection answers its segments with a reset. Closing with unread bytes resets.
 * - UDP: unicast and IPv4 multicast with loss and reordering; one broadcast domain.
 * - Addresses: 10.x.y.z each, 127.0.0.1 and ::1 within a host, Unix sockets per host.
 * - Files: a file system per host; file_write replaces durably, file_remove and file_mkdirs are
 *   durable only after the next file_write in the same folder. Changes made in place (databases)
 *   are durable after a sync; at a power loss each of the others is kept, torn or undone.
 * - Processes: fibers behind a pipe. Workers: run inline, at a seeded later time.
 * - Time passes by events alone; a loop that only yields sees 1 us pass per turn.
 *
 * All calls here are for the universe's thread; none parks. */
#ifndef RT_WORLD_SIM_H
#define RT_WORLD_SIM_H

#include "rt/world.h"

struct universe;

/* All of it may be zero: no latency between hosts, no loss, no limits, no trace. */
struct universe_options {
	uint64_t seed;
	struct duration latency_min, latency_max; /* one way, per delivery, drawn between */
	uint32_t loss_ppm; /* datagrams lost; stream segments delayed by a retransmission */
	struct duration retransmit; /* what a lost stream segment costs extra; 0: 200 ms */
	uint64_t bytes_per_s;       /* of each direction of a stream between hosts; 0: unlimited */
	struct duration time_limit; /* virtual; the run is cut off after it; 0: none */
	/* Called with each line of the event log, for people. NULL: not wanted. */
	void (*trace)(void *arg, struct instant at, const char *line);
	void *trace_arg;
};

#define UNIVERSE_HOSTS_MAX 65536

/* E_INVALID when latency_max is below latency_min or loss_ppm above a million; E_MEMORY. */
int universe_new(
    const struct universe_options *opt, struct universe **out, struct err *err) WARN_UNUSED;

/* Cancels what still runs, lets it unwind (for up to ten virtual minutes: after that it aborts and
 * names the fibers), and frees all. What those fibers point to must live until then. */
void universe_free(struct universe *u);

/* The host named `name` (copied), made when it is not there yet, with an address of its own:
 * 10.0.0.1, 10.0.0.2 … in the order of making. Owned by the universe. */
struct world *universe_host(struct universe *u, const char *name);
/* Its address, port 0. */
void universe_host_addr(const struct world *host, struct netaddr *out);

/* Starts `fn` as a host's main fiber, with the power on; E_IN_USE while one is running. After a
 * crash the old fibers may still be unwinding: the new one then starts when they have. */
int universe_boot(struct universe *u, struct world *host, struct log *log, void (*fn)(void *),
    void *arg, struct err *err) WARN_UNUSED;

/* The end of all that runs on a host, its processes included: fibers are cancelled, and whatever
 * they still do has no effect on the world (E_CANCELLED). File locks are free. Without `reset`, as
 * power loss: connections vanish without a goodbye, so that peers notice by their own timeouts;
 * unsynced file changes may be undone; nothing answers until the next boot. With `reset`, as
 * SIGKILL: connections end with a reset, new ones are refused, files are as they were. */
void universe_crash(struct universe *u, struct world *host, bool reset);
/* Whether its main fiber runs, or is about to. */
bool universe_alive(const struct universe *u, const struct world *host);

/* No byte passes between the two hosts until healed. */
void universe_partition(struct universe *u, struct world *a, struct world *b, bool cut);

/* What process_start runs for a role: a fiber that serves `s`, which it owns and must have closed
 * when it returns the exit status. The role is argv[0], or argv[1] where argv[0] is
 * world_self_path. `role` is copied. */
typedef int (*universe_role_fn)(
    struct world *w, struct stream *s, const char *const *argv, void *arg);
void universe_role(struct universe *u, const char *role, universe_role_fn fn, void *arg);
/* Kills (SIGKILL) or freezes the running processes of a role on a host. A frozen one neither reads
 * nor writes its stream. */
void universe_kill_role(struct universe *u, struct world *host, const char *role);
void universe_stall_role(struct universe *u, struct world *host, const char *role, bool stalled);

/* From now on a host's files hold no more than so many bytes together: what is written in place
 * beyond that finds the disk full. 0: no limit. */
void universe_disk_limit(struct world *host, uint64_t bytes);

/* Sets an environment variable of a host (copied); NULL unsets. */
void universe_setenv(struct universe *u, struct world *host, const char *name, const char *value);

/* Runs `fn` at a time since the universe's beginning (now, when that has passed), outside any host,
 * in a fiber of its own. */
int universe_at(struct universe *u, struct duration when, void (*fn)(void *), void *arg,
    struct err *err) WARN_UNUSED;

/* Why a run ended. STUCK: fibers are left, and all of them wait for what can no longer happen. */
enum universe_end {
	UNIVERSE_DONE,
	UNIVERSE_STOPPED,
	UNIVERSE_TIME_LIMIT,
	UNIVERSE_STUCK
};

/* Runs until all fibers ended, universe_stop, or the time limit. May be called again. */
enum universe_end universe_run(struct universe *u);
/* Ends a run. While universe_free lets fibers unwind there is none, and nothing happens. */
void universe_stop(struct universe *u);
struct rt *universe_rt(struct universe *u);
struct instant universe_now(const struct universe *u);
/* The virtual time since the universe's beginning. */
struct duration universe_elapsed(const struct universe *u);

/* Decisions worth comparing between runs: folds a line into the event log. */
void universe_record(struct universe *u, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* 64-bit FNV-1a over (virtual time, record) pairs and every delivery: who, when, how much, in which
 * order; never the bytes themselves. */
uint64_t universe_hash(const struct universe *u);
/* Deliveries, records, and everything else that happened: the length of the event log. */
uint64_t universe_events(const struct universe *u);

/* A number below `n` from the universe's own seed, for scenarios that choose. */
uint64_t universe_random_below(struct universe *u, uint64_t n);

#endif
