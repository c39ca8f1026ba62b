/* The one door to the world: clocks, randomness, network, names, files, processes.
 *
 * world_uv is the real one. world_sim is a deterministic universe with virtual time. Code above
 * rt never calls the system itself. One world belongs to one node.
 *
 * Everything here is for fibers of the loop thread; calls that wait park. */
#ifndef RT_WORLD_H
#define RT_WORLD_H

#include "base/bytes.h"
#include "rt/rt.h"
#include "rt/stream.h"

struct world {
	const struct world_ops *ops;
	struct rt *rt;
};

/* ---- addresses ----------------------------------------------------------------------------- */

enum net_family {
	NET_IP4 = 4,
	NET_IP6 = 6
};

struct netaddr {
	enum net_family family;
	uint8_t ip[16];    /* 4 or 16 bytes, network order */
	uint16_t port;     /* host order */
	uint32_t scope_id; /* interface index for link-local IPv6, else 0 */
};

#define NETADDR_TEXT_MAX 72
/* "127.0.0.1:4001", "[::1]:4001" */
void netaddr_print(const struct netaddr *a, char out[NETADDR_TEXT_MAX]);
/* An IP address without port; E_SYNTAX otherwise. */
int netaddr_parse_ip(const char *text, struct netaddr *out, struct err *err) WARN_UNUSED;
bool netaddr_equal(const struct netaddr *a, const struct netaddr *b);
bool netaddr_is_loopback(const struct netaddr *a);
bool netaddr_is_unspecified(const struct netaddr *a);

struct netif {
	struct netaddr addr; /* port 0 */
	uint32_t index;
	bool loopback;
	bool multicast;
};

/* ---- time and chance ----------------------------------------------------------------------- */

struct instant world_now(struct world *w);
/* Milliseconds since the Unix epoch; may jump. */
int64_t world_wall_ms(struct world *w);
/* Cryptographic randomness (in the simulation: the seed's). Never fails. */
void world_random(struct world *w, void *buf, size_t n);
uint64_t world_random_u64(struct world *w);

/* ---- network ------------------------------------------------------------------------------- */

struct listener;

/* Port 0 picks a free one. E_IN_USE when taken, E_FORBIDDEN for privileged ports. */
int world_tcp_listen(
    struct world *w, const struct netaddr *at, struct listener **out, struct err *err) WARN_UNUSED;
/* Connects within the scope's deadline. E_REFUSED, E_UNREACHABLE, E_TIMEOUT. No Nagle delay. */
int world_tcp_dial(
    struct world *w, const struct netaddr *to, struct stream **out, struct err *err) WARN_UNUSED;
/* The same from the local address `from`, which may be one that this world listens on: how holes
 * are punched, and how others come to see the listener's port. E_IN_USE when a connection between
 * these two exists or is too fresh in its grave (not so in the simulation). */
int world_tcp_dial_from(struct world *w, const struct netaddr *from, const struct netaddr *to,
    struct stream **out, struct err *err) WARN_UNUSED;
/* A socket at `path`, created with mode 0600; a stale one (nobody answers) is replaced. */
int world_unix_listen(
    struct world *w, const char *path, struct listener **out, struct err *err) WARN_UNUSED;
int world_unix_dial(
    struct world *w, const char *path, struct stream **out, struct err *err) WARN_UNUSED;

/* `from` (may be NULL) is the remote address for TCP, untouched for Unix sockets. Running out of
 * descriptors parks and retries instead of failing. */
int listener_accept(
    struct listener *l, struct stream **out, struct netaddr *from, struct err *err) WARN_UNUSED;
/* The bound address, with the real port. */
void listener_addr(const struct listener *l, struct netaddr *out);
/* Frees it; removes a Unix socket's path. */
void listener_close(struct listener *l);

/* Local and remote address of a TCP stream of this world; false for anything else. */
bool stream_netaddrs(const struct stream *s, struct netaddr *local, struct netaddr *remote);

struct udp;

/* A datagram socket bound to `at` with address reuse. When `group` is given, joins that multicast
 * group on interface `ifindex` and sends there with TTL 255 and loopback on. */
int world_udp_open(struct world *w, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct udp **out, struct err *err) WARN_UNUSED;
int udp_send(
    struct udp *u, const struct netaddr *to, struct bytes data, struct err *err) WARN_UNUSED;
/* The datagram's length; longer ones are cut to cap. */
ssize_t udp_recv(struct udp *u, void *buf, size_t cap, struct netaddr *from, struct err *err);
void udp_close(struct udp *u);

/* Addresses of a host name, at most `cap`, ports 0. `family` 0 for both. E_NOT_FOUND, E_TIMEOUT. */
int world_resolve(struct world *w, const char *name, int family, struct netaddr *out, size_t cap,
    size_t *n, struct err *err) WARN_UNUSED;
int world_interfaces(
    struct world *w, struct netif *out, size_t cap, size_t *n, struct err *err) WARN_UNUSED;

/* ---- files --------------------------------------------------------------------------------- */

struct file_info {
	uint64_t size;
	uint32_t mode; /* permission bits */
	bool is_dir;
	bool mine; /* owned by the effective user */
};

/* All of a file, at most `max` bytes (E_TOO_LARGE), appended to `out`. E_NOT_FOUND. */
int file_read(
    struct world *w, const char *path, size_t max, struct buf *out, struct err *err) WARN_UNUSED;
/* Replaces it whole or not at all: temporary file, fsync, rename, fsync of the folder. */
int file_write(struct world *w, const char *path, struct bytes data, uint32_t mode,
    struct err *err) WARN_UNUSED;
int file_stat(
    struct world *w, const char *path, struct file_info *out, struct err *err) WARN_UNUSED;
int file_remove(struct world *w, const char *path, struct err *err) WARN_UNUSED;
/* Removes from a folder what crashes in the middle of file_write have left there, and nothing else.
 * No file_write of this process may be under way in it; those of others are left alone. */
int file_tidy(struct world *w, const char *folder, struct err *err) WARN_UNUSED;
/* Creates a folder and its parents; there already is fine. */
int file_mkdirs(struct world *w, const char *path, uint32_t mode, struct err *err) WARN_UNUSED;
/* An exclusive lock held until file_unlock or the end of the process. E_IN_USE when another
 * process holds it. */
struct file_lock;
int file_lock(
    struct world *w, const char *path, struct file_lock **out, struct err *err) WARN_UNUSED;
void file_unlock(struct file_lock *lock);

/* ---- files in place ------------------------------------------------------------------------ */

/* How a database engine uses its files: in place, from a worker, never parking. What is written is
 * on the disk only after a sync; before that a power loss keeps, tears or undoes each change.
 * Results are 0, or counts, or E_NOT_FOUND, E_IO, E_TOO_LARGE (the disk is full), E_CANCELLED (the
 * host has crashed). */
struct disk_file;
struct disk_ops {
	int (*open)(struct world *w, const char *path, bool create, struct disk_file **out);
	void (*close)(struct disk_file *f);
	/* At most n bytes; fewer at the end of the file. */
	ssize_t (*read)(struct disk_file *f, void *buf, size_t n, uint64_t at);
	int (*write)(struct disk_file *f, const void *buf, size_t n, uint64_t at);
	int (*truncate)(struct disk_file *f, uint64_t size);
	int (*sync)(struct disk_file *f, bool folder); /* `folder`: its name as well */
	int64_t (*size)(const struct disk_file *f);
	int (*remove)(struct world *w, const char *path);
	bool (*exists)(struct world *w, const char *path);
};

/* NULL in the real world: there a database uses the system itself. */
const struct disk_ops *world_disk(const struct world *w);

/* ---- processes ----------------------------------------------------------------------------- */

struct process;

/* Starts a child. In the real world `argv` is executed with one end of a socketpair as descriptor
 * 3, stdin from /dev/null, and its stderr lines go to the log. In the simulation argv[0]'s
 * registered fiber runs with the other end of a pipe. */
int process_start(
    struct world *w, const char *const *argv, struct process **out, struct err *err) WARN_UNUSED;
/* The stream to the child's descriptor 3. The caller takes it over; once. */
struct stream *process_stream(struct process *p);
/* Waits for its end. `status`: exit code 0..255, or 256 + signal. */
int process_wait(struct process *p, int *status, struct err *err) WARN_UNUSED;
void process_kill(struct process *p); /* SIGKILL; harmless when it has ended */
int64_t process_id(const struct process *p);
/* Kills it when it still runs, and frees. */
void process_close(struct process *p);

/* The path of the running program, for starting itself in another role. */
const char *world_self_path(struct world *w);
/* An environment variable or NULL. Borrowed. */
const char *world_env(struct world *w, const char *name);

/* ---- implementations ----------------------------------------------------------------------- */

struct world_ops {
	struct instant (*now)(struct world *w);
	int64_t (*wall_ms)(struct world *w);
	void (*random)(struct world *w, void *buf, size_t n);
	int (*tcp_listen)(
	    struct world *w, const struct netaddr *at, struct listener **out, struct err *err);
	/* `from` NULL: any */
	int (*tcp_dial)(struct world *w, const struct netaddr *from, const struct netaddr *to,
	    struct stream **out, struct err *err);
	int (*unix_listen)(
	    struct world *w, const char *path, struct listener **out, struct err *err);
	int (*unix_dial)(struct world *w, const char *path, struct stream **out, struct err *err);
	int (*udp_open)(struct world *w, const struct netaddr *at, const struct netaddr *group,
	    uint32_t ifindex, struct udp **out, struct err *err);
	int (*resolve)(struct world *w, const char *name, int family, struct netaddr *out,
	    size_t cap, size_t *n, struct err *err);
	int (*interfaces)(
	    struct world *w, struct netif *out, size_t cap, size_t *n, struct err *err);
	int (*file_read)(
	    struct world *w, const char *path, size_t max, struct buf *out, struct err *err);
	int (*file_write)(
	    struct world *w, const char *path, struct bytes data, uint32_t mode, struct err *err);
	int (*file_stat)(struct world *w, const char *path, struct file_info *out, struct err *err);
	int (*file_remove)(struct world *w, const char *path, struct err *err);
	int (*file_tidy)(struct world *w, const char *folder, struct err *err);
	int (*file_mkdirs)(struct world *w, const char *path, uint32_t mode, struct err *err);
	int (*file_lock)(
	    struct world *w, const char *path, struct file_lock **out, struct err *err);
	int (*process_start)(
	    struct world *w, const char *const *argv, struct process **out, struct err *err);
	const char *(*self_path)(struct world *w);
	const char *(*env)(struct world *w, const char *name);
	const struct disk_ops *disk; /* may be NULL */
};

/* Objects that both worlds make: each embeds its ops first. */
struct listener_ops {
	int (*accept)(
	    struct listener *l, struct stream **out, struct netaddr *from, struct err *err);
	void (*close)(struct listener *l);
};
struct listener {
	const struct listener_ops *ops;
	struct netaddr addr;
};

struct udp_ops {
	int (*send)(struct udp *u, const struct netaddr *to, struct bytes data, struct err *err);
	ssize_t (*recv)(
	    struct udp *u, void *buf, size_t cap, struct netaddr *from, struct err *err);
	void (*close)(struct udp *u);
};
struct udp {
	const struct udp_ops *ops;
};

struct file_lock {
	void (*unlock)(struct file_lock *lock);
};

struct process_ops {
	struct stream *(*stream)(struct process *p);
	int (*wait)(struct process *p, int *status, struct err *err);
	void (*kill)(struct process *p);
	void (*close)(struct process *p);
};
struct process {
	const struct process_ops *ops;
	int64_t id;
};

#endif
