/* The inside of the simulated world, shared by world_sim.c (universe, hosts, the world's table),
 * sim_clock.c (virtual time, events, chance, the event log), sim_stream.c (connections), sim_dial.c
 * (listening and dialling), sim_udp.c (datagrams, names), sim_file.c (files as wholes), sim_disk.c
 * (files in place) and sim_process.c.
 *
 * Must stay true: nothing here asks the system for time, chance or order; no decision depends on an
 * address in memory or on the order of a hash table that is not insertion order. */
#ifndef RT_SIM_PRIV_H
#define RT_SIM_PRIV_H

#include "rt/reactor_priv.h"
#include "rt/tcp_priv.h"
#include "rt/world_sim.h"

#include <uthash.h>

struct host;

/* ---- sim_clock.c --------------------------------------------------------------------------- */

/* Something that happens at a virtual time: embedded first in what it is about. */
struct sim_event {
	struct instant at;
	uint64_t order; /* among equal times */
	size_t index;   /* in the heap */
	bool armed;
	void (*fire)(struct universe *u, struct sim_event *e);
	void (*drop)(struct universe *u, struct sim_event *e); /* the universe ends before it */
};

/* xoshiro256**, seeded by splitmix64. */
struct prng {
	uint64_t s[4];
};

void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t n); /* 0 when n is 0 */
void prng_fill(struct prng *p, void *buf, size_t n);

void sim_event_arm(struct universe *u, struct sim_event *e, struct instant at);
void sim_event_disarm(struct universe *u, struct sim_event *e); /* harmless when not armed */
void sim_events_drop(struct universe *u);

extern const struct reactor_ops sim_reactor_ops;

/* Folds an event into the hash; and, as text, into the trace. `verb` is a literal. */
void sim_note(struct universe *u, const char *verb, uint64_t a, uint64_t b, uint64_t c);
/* A duration drawn between two. */
struct duration sim_draw(struct universe *u, struct duration min, struct duration max);
bool sim_lost(struct universe *u); /* draws whether the network loses this one */
/* One way between two hosts, or within one. */
struct duration sim_latency(struct universe *u, const struct host *a, const struct host *b);

/* malloc that aborts: the simulator has no use for running on without memory. */
void *sim_alloc(size_t n); /* zeroed */
char *sim_strdup(const char *s);

/* ---- world_sim.c --------------------------------------------------------------------------- */

struct sim_role {
	struct sim_role *next;
	char *name;
	universe_role_fn fn;
	void *arg;
};

struct cut_pair {
	uint64_t key;
	UT_hash_handle hh;
};

/* Fibers that the universe started: so that it can cancel them. */
struct sim_guest {
	struct sim_guest *next, *prev;
	struct scope *scope; /* NULL until it runs */
	bool cancelled;
};

struct universe {
	struct reactor reactor; /* first */
	struct rt *rt;
	struct universe_options opt;
	struct instant now;
	struct instant limit; /* INSTANT_NEVER: none */
	bool stopped, stuck, interrupted, running;
	bool ending; /* being freed: nothing stops what unwinds */
	struct sim_event **heap;
	size_t n_heap, cap_heap;
	uint64_t next_order;
	size_t n_waking; /* armed events that start fibers */
	uint64_t hash, n_events;
	struct prng prng;
	struct host **hosts;
	size_t n_hosts, cap_hosts;
	struct host *by_name; /* uthash */
	struct cut_pair *cuts;
	struct sim_role *roles;
	struct sim_guest *guests;
	uint64_t next_conn;
	int64_t next_pid;
};

struct sim_var {
	struct sim_var *next;
	char *name, *value;
};

struct pending_boot {
	bool wanted;
	struct log *log;
	void (*fn)(void *);
	void *arg;
};

struct host {
	struct world world; /* first */
	struct universe *u;
	uint32_t id; /* its index; the address is 10.0.0.1 + id */
	char *name;
	UT_hash_handle hh;
	struct prng prng;
	int64_t wall_skew_ms;
	bool powered;   /* answers the network */
	bool ghost;     /* crashed, and its fibers still unwind */
	bool running;   /* the main fiber lives */
	size_t n_roots; /* main fiber and processes */
	struct sim_guest main;
	struct pending_boot next_boot;
	size_t n_cuts;
	uint16_t next_port;
	struct sim_end *ends;           /* utlist, DL */
	struct sim_listener *listeners; /* utlist, DL */
	struct sim_udp *udps;           /* utlist, DL */
	struct sim_process *processes;  /* utlist, DL */
	struct sim_file *files;         /* uthash by path */
	uint64_t disk_limit;            /* bytes in all files together; 0: no limit */
	struct sim_var *vars;
};

static inline struct host *host_of(struct world *w)
{
	return (struct host *)w;
}

bool sim_reachable(const struct host *from, const struct host *to); /* powered and not cut off */
bool sim_cut(const struct host *a, const struct host *b);
/* 0, or E_CANCELLED for what a crashed host's fibers still try. */
int host_check(const struct host *h, struct err *err) WARN_UNUSED;
void host_addr(const struct host *h, struct netaddr *out);
/* The host that `a` means to programs on `from`; NULL when there is none. */
struct host *host_by_addr(struct host *from, const struct netaddr *a);
bool host_owns_addr(const struct host *h, const struct netaddr *a); /* or unspecified */
void host_root_began(struct host *h);
void host_root_ended(struct host *h); /* starts a boot that waited for it */
/* A port for outgoing connections and "any": never one that `taken` says is in use. */
uint16_t host_free_port(struct host *h,
    bool (*taken)(const struct host *h, const struct netaddr *at), const struct netaddr *at);
/* Enters a scope that the universe can cancel, runs fn, leaves it. */
void guest_run(struct universe *u, struct sim_guest *g, void (*fn)(void *), void *arg);
void guest_cancel(struct sim_guest *g);
/* [parks] Lets a little time pass when the caller is a fiber. */
int sim_pause(
    struct host *h, struct duration min, struct duration max, struct err *err) WARN_UNUSED;

/* ---- sim_stream.c: connections ------------------------------------------------------------- */

struct sim_segment;

/* One direction of a connection. */
struct sim_lane {
	struct sim_event event; /* the arrival of the first flying segment */
	struct sim_conn *conn;
	int side;                   /* of the end that writes here */
	struct sim_segment *flying; /* utlist, SLL by hand: first and last */
	struct sim_segment *flying_last;
	struct sim_segment *arrived, *arrived_last;
	size_t outstanding; /* bytes written and not yet read */
	struct instant last_due, line_free, stuck_since;
	unsigned tries;
	uint64_t n_sent;
	bool fin_sent, fin_arrived, rst_sent;
	bool reading, writing;
	struct waitq readable, writable;
};

struct sim_end {
	struct tcp_stream tcp; /* first */
	struct sim_conn *conn;
	struct host *host;
	struct sim_end *next, *prev; /* host->ends */
	struct sim_end *backlog_next;
	int side;
	bool born, connected, closed;
	bool vanished; /* its host or process crashed: nothing it does has an effect */
	int broken;    /* 0, or what reads and writes answer */
	bool frozen;
};

struct sim_conn {
	struct universe *u;
	uint64_t id;
	char *path;              /* Unix sockets and processes; NULL for TCP */
	bool pinned;             /* a process looks at it: lives on though both ends are closed */
	struct sim_end end[2];   /* 0 dials */
	struct sim_lane lane[2]; /* lane[i] is written by end[i] */
};

enum vanish {
	VANISH_SILENT,
	VANISH_RESET,
	VANISH_END
};

struct sim_conn *conn_new(struct host *a, struct host *b, const char *path);
void conn_addrs(struct sim_conn *c, const struct netaddr *a, const struct netaddr *b);
/* The end begins to exist: it is listed with its host. */
void end_born(struct sim_end *e);
void end_vanish(struct sim_end *e, enum vanish how);
void ends_crash(struct host *h, bool reset);
void end_freeze(struct sim_end *e, bool frozen);
/* Sends a connection request; end_wait_connected parks until it is answered. */
void conn_request(struct sim_conn *c);
void conn_accept(struct sim_conn *c);
int end_wait_connected(struct sim_end *e, struct err *err) WARN_UNUSED;
/* Two connected ends at once, for a process and its parent; pinned until conn_unpin. */
struct sim_conn *conn_pair(struct host *h, const char *name);
void conn_unpin(struct sim_conn *c);

/* ---- sim_dial.c ---------------------------------------------------------------------------- */

struct sim_listener {
	struct listener base; /* first */
	struct host *host;
	struct sim_listener *next, *prev;
	char *path; /* NULL for TCP */
	bool vanished;
	bool accepting;
	struct sim_end *backlog, *backlog_last;
	size_t n_backlog;
	struct waitq ready;
};

/* A request has arrived: whether someone listens and took it, refuses it, or has no room for it. */
enum knock {
	KNOCK_TAKEN,
	KNOCK_REFUSED,
	KNOCK_FULL
};
enum knock listener_knock(struct host *h, struct sim_conn *c);
void listeners_crash(struct host *h);

int sim_tcp_listen(
    struct world *w, const struct netaddr *at, struct listener **out, struct err *err);
int sim_tcp_dial(struct world *w, const struct netaddr *from, const struct netaddr *to,
    struct stream **out, struct err *err);
int sim_unix_listen(struct world *w, const char *path, struct listener **out, struct err *err);
int sim_unix_dial(struct world *w, const char *path, struct stream **out, struct err *err);

/* ---- sim_udp.c ----------------------------------------------------------------------------- */

#define SIM_IF_LOOPBACK 1
#define SIM_IF_LAN      2

void udps_crash(struct host *h);
int sim_udp_open(struct world *w, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct udp **out, struct err *err);
int sim_resolve(struct world *w, const char *name, int family, struct netaddr *out, size_t cap,
    size_t *n, struct err *err);
int sim_interfaces(struct world *w, struct netif *out, size_t cap, size_t *n, struct err *err);

/* ---- sim_file.c ---------------------------------------------------------------------------- */

#define SIM_PATH_MAX 1024

struct node_state {
	bool exists, is_dir;
	uint32_t mode;
};

struct sim_file {
	char *path; /* the key */
	UT_hash_handle hh;
	struct node_state now, durable;
	uint8_t *data; /* of a file; kept as long as one of both states exists */
	size_t n, cap;
	struct sim_change *changes; /* made in place and not synced, newest first */
	struct sim_lock *lock;
};

/* "/a//b/./c/" to "/a/b/c". */
int sim_path_clean(const char *path, char out[SIM_PATH_MAX], struct err *err) WARN_UNUSED;
/* What programs see at a clean path; NULL when nothing is there. */
struct sim_file *sim_file_find(struct host *h, const char *path);
/* The entry, made when there is none; whether it exists is the caller's to say. */
struct sim_file *sim_file_made(struct host *h, const char *path);
int sim_parent_check(struct host *h, const char *path, struct err *err) WARN_UNUSED;
/* The fsync of the folder in which the file is. */
void sim_folder_sync(struct host *h, const char *path);
int sim_file_read(struct world *w, const char *path, size_t max, struct buf *out, struct err *err);
int sim_file_write(
    struct world *w, const char *path, struct bytes data, uint32_t mode, struct err *err);
int sim_file_stat(struct world *w, const char *path, struct file_info *out, struct err *err);
int sim_file_remove(struct world *w, const char *path, struct err *err);
int sim_file_tidy(struct world *w, const char *folder, struct err *err);
int sim_file_mkdirs(struct world *w, const char *path, uint32_t mode, struct err *err);
int sim_file_lock(struct world *w, const char *path, struct file_lock **out, struct err *err);
/* A Unix socket's name in the file system. */
int files_socket(struct host *h, const char *path, struct err *err) WARN_UNUSED;
void files_socket_gone(struct host *h, const char *path);
bool files_exists(struct host *h, const char *path);
/* Power loss (unsynced changes may be undone) or the end of a process (locks are free). */
void files_crash(struct host *h, bool power_loss);
void files_free(struct host *h);

/* ---- sim_disk.c ---------------------------------------------------------------------------- */

extern const struct disk_ops sim_disk_ops;
/* The content as it is counts as written and synced. */
void sim_changes_settle(struct sim_file *f);
/* Power loss: each change is kept, torn or undone by a draw. */
void sim_changes_crash(struct host *h, struct sim_file *f);

/* ---- sim_process.c ------------------------------------------------------------------------- */

struct sim_process {
	struct process base; /* first */
	struct host *host;
	struct sim_process *next, *prev; /* host->processes while it runs */
	const struct sim_role *role;
	char **argv;
	struct sim_conn *conn; /* end 0: the parent's, end 1: the child's */
	struct sim_guest guest;
	bool stream_taken, running, held; /* held: its struct process is not closed yet */
	int status;
	struct waitq ended;
};

void processes_crash(struct host *h);
int sim_process_start(
    struct world *w, const char *const *argv, struct process **out, struct err *err);

#endif
