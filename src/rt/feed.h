/* A feed: bytes from a worker thread to a fiber, as they are made. Bounded: a worker that is faster
 * than its reader waits. The reader may cut the feed at any time; the worker then hears of it at
 * its next put, or by polling the flag.
 *
 * Needs a worker that runs beside the loop: not for the simulated world, whose workers run inline.
 */
#ifndef RT_FEED_H
#define RT_FEED_H

#include "base/bytes.h"
#include "rt/rt.h"

#include <stdatomic.h>

struct feed;

/* For a reader on the current scheduler. `cap` bytes may wait. E_MEMORY. */
int feed_new(size_t cap, struct feed **out, struct err *err) WARN_UNUSED;
/* Once the worker has ended. */
void feed_free(struct feed *f);

/* Worker: appends, waiting while `cap` bytes wait already. False once the feed is cut. */
bool feed_put(struct feed *f, const void *p, size_t n);

/* Loop thread: nothing more will come. */
void feed_end(struct feed *f);

/* [parks] until there is something: fills *out (empty before; the caller frees it), or E_CLOSED at
 * the end. */
int feed_take(struct feed *f, struct buf *out, struct err *err) WARN_UNUSED;

/* Loop thread: no more is wanted. A waiting worker goes on at once. */
void feed_cut(struct feed *f);
/* True once cut; any thread may read it as long as the feed lives. */
const atomic_bool *feed_cut_flag(const struct feed *f);

#endif
