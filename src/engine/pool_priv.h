/* A small thread pool for kernels: one job at a time, items handed out one by one.
 *
 * The calling thread works too. Workers spin for a few microseconds after a job, because the next
 * operation of a forward pass follows at once, and then sleep: an idle pool costs nothing. A worker
 * that the system has not scheduled when a job ends is not waited for. */
#ifndef ENGINE_POOL_PRIV_H
#define ENGINE_POOL_PRIV_H

#include "base/err.h"

#include <stddef.h>

struct pool;

/* Does item `item`; `thread` (0 … n_threads - 1) names the scratch memory to use. */
typedef void pool_item_fn(void *arg, size_t item, unsigned thread);

/* n_threads counts the caller: n_threads - 1 workers are started. E_MEMORY, E_LIMIT. */
int pool_new(unsigned n_threads, struct pool **out, struct err *err) WARN_UNUSED;
void pool_free(struct pool *p);

/* A pool serves one caller at a time: run only between enter and leave, which queue first come,
 * first served. */
void pool_enter(struct pool *p);
void pool_leave(struct pool *p);

/* Runs items 0 … n - 1 and returns when all are done. NULL: on the calling thread alone. */
void pool_run(struct pool *p, size_t n, pool_item_fn *fn, void *arg);

#endif
