/* The inside of the real world, shared by world_uv.c (loop, clock, names), uv_socket.c, uv_udp.c,
 * uv_file.c and uv_process.c. */
#ifndef RT_UV_PRIV_H
#define RT_UV_PRIV_H

#include "rt/reactor_priv.h"
#include "rt/tcp_priv.h"
#include "rt/world_uv.h"

#include <uv.h>

#define SIGNALS_MAX 8

struct signal_handler {
	uv_signal_t handle;
	void (*fn)(void *arg, int signum);
	void *arg;
};

struct world_uv {
	struct world world;
	struct reactor reactor;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_async_t async;
	struct signal_handler signals[SIGNALS_MAX];
	int n_signals;
	char self_path[4096];
};

struct world_uv *world_uv_of(struct world *w);

/* A readiness watch on a nonblocking descriptor: at most one fiber waits for each direction. */
struct watch {
	uv_poll_t poll;
	int armed;   /* UV_READABLE | UV_WRITABLE now watched */
	bool unread; /* the latest readiness found no reader */
	struct waitq readable, writable;
	void (*freed)(struct watch *w); /* runs when the loop has let go of it */
};

int watch_init(struct watch *w, uv_loop_t *loop, int fd, void (*freed)(struct watch *w),
    struct err *err) WARN_UNUSED;
/* [parks] until the descriptor is ready for `event`. May wake early. */
int watch_wait(struct watch *w, int event, struct err *err) WARN_UNUSED;
/* Wakes all waiters and lets go; `freed` runs later. */
void watch_close(struct watch *w);

void netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *out, socklen_t *n);
bool netaddr_from_sockaddr(const struct sockaddr *sa, struct netaddr *out);

int uv_tcp_listen_at(
    struct world *w, const struct netaddr *at, struct listener **out, struct err *err);
int uv_tcp_dial_to(struct world *w, const struct netaddr *from, const struct netaddr *to,
    struct stream **out, struct err *err);
int uv_unix_listen_at(struct world *w, const char *path, struct listener **out, struct err *err);
int uv_unix_dial_to(struct world *w, const char *path, struct stream **out, struct err *err);
int uv_udp_open_at(struct world *w, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct udp **out, struct err *err);
int uv_file_read(struct world *w, const char *path, size_t max, struct buf *out, struct err *err);
int uv_file_write(
    struct world *w, const char *path, struct bytes data, uint32_t mode, struct err *err);
int uv_file_stat(struct world *w, const char *path, struct file_info *out, struct err *err);
int uv_file_remove(struct world *w, const char *path, struct err *err);
int uv_file_tidy(struct world *w, const char *folder, struct err *err);
int uv_file_mkdirs(struct world *w, const char *path, uint32_t mode, struct err *err);
int uv_file_lock(struct world *w, const char *path, struct file_lock **out, struct err *err);
int uv_process_start(
    struct world *w, const char *const *argv, struct process **out, struct err *err);

#endif
