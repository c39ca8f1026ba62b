/* The runtime: fibers, scopes, waits.
 *
 * A fiber is a stackful coroutine pinned to one loop thread. Code in a fiber is written top to
 * bottom; a call that has to wait parks the fiber and lets others run. Nothing else interrupts a
 * fiber, so state shared between fibers needs no locks, only care across calls that may park.
 *
 * A scope is a lifetime: it owns memory (a talloc context) and fibers, has a deadline and can be
 * cancelled. Scopes form a tree. Cancelling one cancels all below it, except behind a shield.
 * Closing one cancels its fibers, waits for them, then frees its memory, in that order.
 *
 * Every wait obeys the deadline and the cancellation of the scope that the fiber is in, and says
 * so with E_TIMEOUT or E_CANCELLED. Nobody unwinds by jumping: these are ordinary errors.
 *
 * Unless a comment says otherwise, every function here is for the loop thread alone, and those
 * marked [parks] for a fiber alone. */
#ifndef RT_RT_H
#define RT_RT_H

#include "base/err.h"
#include "base/log.h"
#include "base/units.h"

#include <stddef.h>

struct rt;
struct fiber;

/* ---- the scheduler ------------------------------------------------------------------------- */

/* Runs fibers until none is left. Returns when the last one ends. */
void rt_run(struct rt *rt);

/* The scheduler of the calling fiber. */
struct rt *rt_current(void);

/* The monotonic clock of the current fiber's scheduler. */
struct instant rt_now(void);

/* Starts `fn` as the first fiber of `rt`, in a root scope without deadline that logs to `log`.
 * The root scope ends with it. May be called several times (several nodes in one simulation). */
int rt_start(struct rt *rt, const char *name, struct log *log, void (*fn)(void *), void *arg,
    struct err *err) WARN_UNUSED;

/* Runs `fn(arg)` on the loop thread soon, outside any fiber; it must not park. The one function
 * that any thread may call. `rt` must outlive the call. */
void rt_post(struct rt *rt, void (*fn)(void *), void *arg);

/* [parks] Runs `fn(arg)` on a worker thread and waits for it. `fn` touches only what `arg` holds.
 * 0 when it ran to its end. When the wait is cut short (E_CANCELLED, E_TIMEOUT) the work goes on
 * unattended and the runtime calls `drop(arg)` once it has ended; E_MEMORY or E_LIMIT when it could
 * not be started, after drop(arg): on every error `arg` is the runtime's. `drop` NULL means that
 * the caller cannot let go: the wait is then not interruptible and `arg` stays the caller's. */
int rt_work(void (*fn)(void *), void *arg, void (*drop)(void *), struct err *err) WARN_UNUSED;

/* ---- scopes -------------------------------------------------------------------------------- */

/* Fields are private. Lives on a fiber's stack (scope_open) or in an object (scope_init). */
struct scope {
	struct scope *parent, *first_child, *next, *prev;
	struct fiber *inside; /* fibers now in this scope */
	struct fiber *joiner; /* the fiber waiting in scope_close or scope_join */
	struct rt *rt;
	struct log *log;
	void *mem;               /* talloc context, made when first asked for */
	struct instant deadline; /* effective: never later than the parent's, unless shielded */
	int n_fibers;            /* fibers spawned here and not yet ended */
	bool cancelled;
	bool shielded;
	bool entered;
};

/* Opens a scope below the current one and enters it: until scope_close, waits of this fiber end
 * by `limit` from now. Strictly nested. */
void scope_open(struct scope *sc, struct duration limit);

/* The same, but cancellations and deadlines from outside do not reach it: for polite goodbyes.
 * `limit` must be finite. */
void scope_open_shielded(struct scope *sc, struct duration limit);

/* A scope for a long-lived object: below `parent` (NULL: the current scope), not entered, without
 * a deadline of its own. End it with scope_close too. */
void scope_init(struct scope *sc, struct scope *parent);

/* [parks] Cancels what is left in it, waits for its fibers (not interruptible), frees its memory,
 * and leaves it when it was entered. Scopes below it must be closed already. Never called from a
 * fiber spawned in it. */
void scope_close(struct scope *sc);

/* Marks it and everything below as cancelled and wakes who waits there. Repeats do nothing. */
void scope_cancel(struct scope *sc);
bool scope_cancelled(const struct scope *sc);

/* [parks] Waits until all fibers spawned in `sc` have ended. 0, E_TIMEOUT or E_CANCELLED (of the
 * caller's own scope). */
int scope_join(struct scope *sc) WARN_UNUSED;

struct scope *scope_current(void);

/* The talloc context whose children live as long as the scope. */
void *scope_mem(struct scope *sc);

/* Time left before the current scope's deadline; DURATION_FOREVER without one. */
struct duration scope_remaining(void);

/* 0, E_CANCELLED or E_TIMEOUT: whether the current scope still lets its fibers wait. For loops that
 * do much without waiting. */
int scope_check(struct err *err) WARN_UNUSED;

/* The log of the current scope, inherited from its parents; and a way to replace it from here on.
 */
struct log *scope_log(void);
void scope_set_log(struct scope *sc, struct log *log);

/* Logs to the current fiber's log. */
#define rt_log(level, room, ...) log_event(scope_log(), level, room, __VA_ARGS__)

/* ---- fibers -------------------------------------------------------------------------------- */

/* Starts a fiber in `sc` (NULL: the current scope). It begins to run later, never inside this call.
 * `name` is not copied. E_CANCELLED when `sc` is cancelled, E_MEMORY or E_LIMIT without a stack:
 * `arg` then still belongs to the caller. */
int fiber_spawn(
    struct scope *sc, const char *name, void (*fn)(void *), void *arg, struct err *err) WARN_UNUSED;

/* [parks] Lets the other ready fibers run once. */
void fiber_yield(void);

/* [parks] 0 after the time has passed; E_CANCELLED or E_TIMEOUT when the scope ends the wait. */
int fiber_sleep(struct duration d) WARN_UNUSED;

/* ---- timers -------------------------------------------------------------------------------- */

/* A place in the scheduler's heap. Fields are private. */
struct alarm {
	struct instant at;
	size_t index;
	struct timer *timer; /* NULL: a fiber's own */
};

/* For what usually does not happen, where a fiber that sleeps would cost too much. Fields are
 * private; zero-initialised is not set. Lives at least until it rang or was stopped. */
struct timer {
	struct alarm alarm;
	struct rt *rt; /* NULL: not set */
	void (*fn)(void *arg);
	void *arg;
};

/* Runs `fn(arg)` once, after `after`, on the loop outside any fiber: it must not park, but
 * may set a timer again and spawn fibers in a scope that it names. E_MEMORY. */
int timer_set(struct timer *t, struct duration after, void (*fn)(void *), void *arg,
    struct err *err) WARN_UNUSED;
void timer_stop(struct timer *t); /* one that is not set, too */

/* Gives back the memory that the calling fiber's stack has touched and does not use any more:
 * before a wait that may be long. */
void fiber_trim(void);

const char *fiber_name(void);

/* ---- waits --------------------------------------------------------------------------------- */

/* Fibers waiting for a condition, first come first woken. Zero-initialised is empty. Conditions are
 * checked in a loop by the waiter: `while (!ready) if ((rc = waitq_wait(&q, err))) return rc;` */
struct waitq {
	struct fiber *head, *tail;
};

/* [parks] 0 when woken, else E_TIMEOUT or E_CANCELLED. */
int waitq_wait(struct waitq *q, struct err *err) WARN_UNUSED;

/* [parks] The same, with a limit of its own: E_TIMEOUT when `limit` passes first. */
int waitq_wait_for(struct waitq *q, struct duration limit, struct err *err) WARN_UNUSED;

void waitq_wake_one(struct waitq *q);
void waitq_wake_all(struct waitq *q);

/* A counting semaphore, fair. */
struct sem {
	int free;
	struct waitq q;
};
int sem_acquire(struct sem *s, struct err *err) WARN_UNUSED; /* [parks] */
void sem_release(struct sem *s);

/* A bounded queue of pointers between fibers. */
struct chan;
struct chan *chan_new(void *mem, size_t capacity); /* talloc child of mem; NULL without memory */
/* [parks] while full. E_CLOSED after chan_close; the item then still belongs to the caller. */
int chan_send(struct chan *c, void *item, struct err *err) WARN_UNUSED;
/* Never parks: E_LIMIT when full. */
int chan_try_send(struct chan *c, void *item, struct err *err) WARN_UNUSED;
/* [parks] while empty. E_CLOSED when closed and drained. */
int chan_recv(struct chan *c, void **item, struct err *err) WARN_UNUSED;
void chan_close(struct chan *c); /* wakes all; items inside can still be received */
size_t chan_count(const struct chan *c);

#endif
