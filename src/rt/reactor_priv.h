/* What drives a scheduler: the real event loop or the simulation's event queue. The scheduler runs
 * ready fibers until none is ready, then asks its reactor for the next thing that happens. */
#ifndef RT_REACTOR_PRIV_H
#define RT_REACTOR_PRIV_H

#include "rt/rt.h"

/* Where fiber stacks come from. GUARDED: each with a guard page. CANARY: thousands of fibers in one
 * process, checked by a pattern at the stack's end on each switch. */
enum stack_kind {
	STACK_GUARDED,
	STACK_CANARY
};

struct reactor {
	const struct reactor_ops *ops;
	struct rt *rt; /* set by rt_new */
};

struct reactor_ops {
	struct instant (*now)(struct reactor *r);
	/* Waits until something happened or `until` is reached (INSTANT_NEVER: no limit), and
	 * handles what happened: that makes fibers ready. `until` in the past: looks without
	 * waiting. */
	void (*poll)(struct reactor *r, struct instant until);
	/* Makes a poll that is under way, or the next one, return soon. Any thread. */
	void (*interrupt)(struct reactor *r);
	/* Runs fn(arg) away from the fibers, then `done(arg2)` on the loop thread from within poll.
	 * A negative E_ code when it cannot. */
	int (*work)(
	    struct reactor *r, void (*fn)(void *), void *arg, void (*done)(void *), void *arg2);
};

struct rt *rt_new(struct reactor *reactor, enum stack_kind stacks);
/* After rt_run has returned; every fiber has ended. */
void rt_free(struct rt *rt);

/* One turn of the loop: runs the ready fibers, then polls once (until `until` or the next timer).
 * False when no fiber is left. rt_run is a loop over this. */
bool rt_turn(struct rt *rt, struct instant until);

/* Called by reactors and worlds, on the loop thread, outside or inside fibers: the building block
 * of everything that waits for an event. Park order and results are those of waitq_wait. */

/* Fibers alive, for leak checks and metrics. */
size_t rt_fiber_count(const struct rt *rt);

#endif
