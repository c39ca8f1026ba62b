/* The real world: libuv, sockets, files, processes. One world_uv has one scheduler and serves one
 * loop thread. */
#ifndef RT_WORLD_UV_H
#define RT_WORLD_UV_H

#include "rt/world.h"

/* Made outside fibers; ignores SIGPIPE in the process. rt_run(w->rt) then runs it. */
int world_uv_new(struct world **out, struct err *err) WARN_UNUSED;
/* After rt_run has returned. */
void world_uv_free(struct world *w);

/* From now on `fn(arg, signum)` runs on the loop thread, outside fibers, for each such signal. At
 * most eight signals. The handlers alone do not keep rt_run from returning. */
int world_uv_on_signal(struct world *w, int signum, void (*fn)(void *arg, int signum), void *arg,
    struct err *err) WARN_UNUSED;

/* A stream over a connected socket descriptor that this process was given (a child's descriptor
 * 3). Takes the descriptor over, also on failure. */
int world_uv_stream(
    struct world *w, int fd, const char *name, struct stream **out, struct err *err) WARN_UNUSED;

#endif
