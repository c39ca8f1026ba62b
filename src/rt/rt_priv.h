/* The inside of the scheduler, shared by rt.c (scheduler, waits), scope.c and fiber.c (stacks and
 * context switches). */
#ifndef RT_RT_PRIV_H
#define RT_RT_PRIV_H

#include "rt/reactor_priv.h"
#include "rt/rt.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum fiber_state {
	FIBER_READY,
	FIBER_RUNNING,
	FIBER_PARKED,
	FIBER_ENDED
};

/* A stack: `base` is its lowest usable address. */
struct stack {
	uint8_t *base;
	size_t size;
};

struct stack_pool {
	enum stack_kind kind;
	struct stack *cached;
	size_t n_cached;
};

/* A saved execution context (boost fcontext): the stack pointer of something not running. */
typedef void *fcontext_t;

struct fiber {
	struct rt *rt;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	struct log *root_log;                    /* of a root fiber: what its root scope logs to */
	struct scope *home;                      /* where it was spawned; NULL for a root fiber */
	struct scope *scope;                     /* where it is now */
	struct fiber *inside_next, *inside_prev; /* scope->inside */
	enum fiber_state state;
	struct waitq *waiting;         /* what it is queued in; NULL when parked for time alone */
	struct fiber *q_next, *q_prev; /* the wait queue or the run queue */
	int wake_rc;
	bool uninterruptible;
	struct alarm alarm; /* at INSTANT_NEVER: not in the timer heap */
	fcontext_t context;
	struct stack stack;
	void *asan_fake_stack;
	void *tsan_fiber;
	unsigned valgrind_id;
};

struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct rt {
	struct reactor *reactor;
	struct fiber *running;
	struct waitq ready;
	size_t n_fibers;
	struct alarm **heap; /* of parked fibers with a time, and of timers; earliest first */
	size_t n_heap, cap_heap, n_timers;
	struct stack_pool stacks;
	pthread_mutex_t post_lock;
	struct post *posts, **posts_tail;
	fcontext_t loop_context;
	const void *loop_stack;
	size_t loop_stack_size;
	void *loop_fake_stack;
	void *loop_tsan;
};

/* ---- fiber.c ---- */
int stack_acquire(struct stack_pool *pool, struct stack *out, struct err *err);
/* Of the stack that the caller runs on, gives back what lies below its frame. */
void stack_trim(enum stack_kind kind, const struct stack *s);
void stack_release(struct stack_pool *pool, struct stack *s);
void stack_pool_free(struct stack_pool *pool);
/* Prepares f to run `main_fn(f)` on its stack. */
void fiber_prepare(struct fiber *f, void (*main_fn)(struct fiber *f));
void fiber_forget(struct fiber *f); /* undoes fiber_prepare; the fiber is not running */
void fiber_switch_in(struct rt *rt, struct fiber *f); /* loop to fiber, until it switches out */
void fiber_switch_out(struct fiber *f);               /* fiber to loop */
NORETURN void fiber_switch_out_forever(struct fiber *f);

/* ---- rt.c ---- */
/* The scheduler running on this thread, while rt_turn is under way; NULL otherwise. */
struct rt *rt_running(void);
struct fiber *fiber_running(void); /* aborts outside fibers */
/* Parks the current fiber in q (NULL: nowhere) until woken or `until`. Obeys the scope unless
 * `uninterruptible`. *own_limit tells that `until` ended it rather than the scope. */
int fiber_park(struct waitq *q, struct instant until, bool uninterruptible, bool *own_limit);
void fiber_wake(struct fiber *f, int rc); /* f must be parked */

/* ---- scope.c ---- */
void scope_init_root(struct scope *sc, struct rt *rt, struct log *log);
void scope_enter(struct scope *sc, struct fiber *f);
void scope_leave(struct fiber *f); /* takes f off its scope's list */
/* 0 or why waiting in `sc` is over. */
int scope_verdict(const struct scope *sc);
/* A fiber spawned in `sc` has ended. */
void scope_fiber_ended(struct scope *sc);

#endif
