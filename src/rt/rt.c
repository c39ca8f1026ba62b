/* The scheduler: a queue of ready fibers, a heap of those that wait for a time, and a reactor that
 * says what happens next.
 *
 * Must stay true: a fiber is in at most one of {running, ready queue, one wait queue}; a parked one
 * is in the timer heap exactly when its alarm is not at INSTANT_NEVER. */
#include "rt/rt_priv.h"

#include <stdlib.h>
#include <string.h>
#include <talloc.h>

/* The one piece of thread-local state: which scheduler this loop thread is turning. */
static _Thread_local struct rt *running_rt;

struct rt *rt_running(void)
{
	return running_rt;
}

struct fiber *fiber_running(void)
{
	if (!running_rt || !running_rt->running)
		BUG("this call needs a fiber");
	return running_rt->running;
}

/* ---- queues -------------------------------------------------------------------------------- */

static void queue_append(struct waitq *q, struct fiber *f)
{
	f->q_next = NULL;
	f->q_prev = q->tail;
	if (q->tail)
		q->tail->q_next = f;
	else
		q->head = f;
	q->tail = f;
}

static void queue_remove(struct waitq *q, struct fiber *f)
{
	if (f->q_prev)
		f->q_prev->q_next = f->q_next;
	else
		q->head = f->q_next;
	if (f->q_next)
		f->q_next->q_prev = f->q_prev;
	else
		q->tail = f->q_prev;
	f->q_next = f->q_prev = NULL;
}

/* ---- timers: a binary heap of alarms, the earliest first ------------------------------------ */

static void heap_place(struct rt *rt, size_t i, struct alarm *a)
{
	rt->heap[i] = a;
	a->index = i;
}

static void heap_up(struct rt *rt, size_t i, struct alarm *a)
{
	while (i > 0 && instant_before(a->at, rt->heap[(i - 1) / 2]->at)) {
		heap_place(rt, i, rt->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(rt, i, a);
}

static void heap_down(struct rt *rt, size_t i, struct alarm *a)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= rt->n_heap)
			break;
		if (child + 1 < rt->n_heap &&
		    instant_before(rt->heap[child + 1]->at, rt->heap[child]->at))
			child++;
		if (!instant_before(rt->heap[child]->at, a->at))
			break;
		heap_place(rt, i, rt->heap[child]);
		i = child;
	}
	heap_place(rt, i, a);
}

static void heap_insert(struct rt *rt, struct alarm *a)
{
	heap_up(rt, rt->n_heap++, a);
}

static void heap_remove(struct rt *rt, struct alarm *a)
{
	size_t i = a->index;
	struct alarm *last = rt->heap[--rt->n_heap];
	if (last == a)
		return;
	if (i > 0 && instant_before(last->at, rt->heap[(i - 1) / 2]->at))
		heap_up(rt, i, last);
	else
		heap_down(rt, i, last);
}

/* Every fiber and every timer that is set has a place in the heap, so that parking never fails. */
static int heap_room(struct rt *rt, struct err *err)
{
	if (rt->n_fibers + rt->n_timers < rt->cap_heap)
		return 0;
	size_t cap = rt->cap_heap ? rt->cap_heap * 2 : 64;
	struct alarm **heap = realloc(rt->heap, cap * sizeof(struct alarm *));
	if (!heap)
		return err_set(err, E_MEMORY, "no memory for another fiber");
	rt->heap = heap;
	rt->cap_heap = cap;
	return 0;
}

int timer_set(
    struct timer *t, struct duration after, void (*fn)(void *), void *arg, struct err *err)
{
	struct rt *rt = running_rt;
	INVARIANT(rt && !t->rt);
	int rc = heap_room(rt, err);
	if (rc)
		return rc;
	*t = (struct timer){.alarm = {.at = instant_add(rt_now(), after), .timer = t},
	    .rt = rt,
	    .fn = fn,
	    .arg = arg};
	rt->n_timers++;
	heap_insert(rt, &t->alarm);
	return 0;
}

void timer_stop(struct timer *t)
{
	if (!t->rt)
		return;
	heap_remove(t->rt, &t->alarm);
	t->rt->n_timers--;
	t->rt = NULL;
}

static void timer_ring(struct timer *t)
{
	void (*fn)(void *) = t->fn;
	void *arg = t->arg;
	timer_stop(t);
	fn(arg);
}

/* ---- parking and waking -------------------------------------------------------------------- */

int fiber_park(struct waitq *q, struct instant until, bool uninterruptible, bool *own_limit)
{
	struct fiber *f = fiber_running();
	if (own_limit)
		*own_limit = false;
	if (!uninterruptible) {
		int rc = scope_verdict(f->scope);
		if (rc)
			return rc;
		if (own_limit)
			*own_limit = instant_before(until, f->scope->deadline);
		until = instant_min(until, f->scope->deadline);
	}
	f->state = FIBER_PARKED;
	f->uninterruptible = uninterruptible;
	f->waiting = q;
	f->alarm.at = until;
	if (q)
		queue_append(q, f);
	if (until.ns != INT64_MAX)
		heap_insert(f->rt, &f->alarm);
	fiber_switch_out(f);
	return f->wake_rc;
}

void fiber_wake(struct fiber *f, int rc)
{
	INVARIANT(f->state == FIBER_PARKED);
	if (f->waiting)
		queue_remove(f->waiting, f);
	f->waiting = NULL;
	if (f->alarm.at.ns != INT64_MAX)
		heap_remove(f->rt, &f->alarm);
	f->alarm.at = INSTANT_NEVER;
	f->wake_rc = rc;
	f->state = FIBER_READY;
	queue_append(&f->rt->ready, f);
}

static int wait_error(int rc, struct err *err)
{
	return rc ? err_set(err, rc, "%s", err_info(rc)->text) : 0;
}

int waitq_wait(struct waitq *q, struct err *err)
{
	return wait_error(fiber_park(q, INSTANT_NEVER, false, NULL), err);
}

int waitq_wait_for(struct waitq *q, struct duration limit, struct err *err)
{
	return wait_error(fiber_park(q, instant_add(rt_now(), limit), false, NULL), err);
}

void waitq_wake_one(struct waitq *q)
{
	if (q->head)
		fiber_wake(q->head, 0);
}

void waitq_wake_all(struct waitq *q)
{
	while (q->head)
		fiber_wake(q->head, 0);
}

int fiber_sleep(struct duration d)
{
	bool own;
	int rc = fiber_park(NULL, instant_add(rt_now(), d), false, &own);
	return rc == E_TIMEOUT && own ? 0 : rc;
}

void fiber_yield(void)
{
	struct fiber *f = fiber_running();
	f->state = FIBER_READY;
	queue_append(&f->rt->ready, f);
	fiber_switch_out(f);
}

void fiber_trim(void)
{
	const struct fiber *f = fiber_running();

	stack_trim(f->rt->stacks.kind, &f->stack);
}

const char *fiber_name(void)
{
	return fiber_running()->name;
}

/* ---- fibers -------------------------------------------------------------------------------- */

static void fiber_main(struct fiber *f)
{
	f->fn(f->arg);
	f->state = FIBER_ENDED;
	fiber_switch_out_forever(f);
}

static void root_main(struct fiber *f)
{
	/* A root scope has no parent; it lives on the root fiber's stack. Its fibers are joined by
	 * closing a scope below it, which scope_close can leave. */
	struct scope root, sc;
	scope_init_root(&root, f->rt, f->root_log);
	scope_enter(&root, f);
	scope_open(&sc, DURATION_FOREVER);
	f->fn(f->arg);
	scope_close(&sc);
	scope_leave(f);
	talloc_free(root.mem);
	f->state = FIBER_ENDED;
	fiber_switch_out_forever(f);
}

static int fiber_new(struct rt *rt, const char *name, void (*fn)(void *), void *arg,
    struct fiber **out, struct err *err)
{
	int rc = heap_room(rt, err);
	if (rc)
		return rc;
	struct fiber *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(err, E_MEMORY, "no memory for another fiber");
	rc = stack_acquire(&rt->stacks, &f->stack, err);
	if (rc) {
		free(f);
		return rc;
	}
	f->rt = rt;
	f->name = name;
	f->fn = fn;
	f->arg = arg;
	f->alarm.at = INSTANT_NEVER;
	f->state = FIBER_READY;
	rt->n_fibers++;
	queue_append(&rt->ready, f);
	*out = f;
	return 0;
}

int rt_start(struct rt *rt, const char *name, struct log *log, void (*fn)(void *), void *arg,
    struct err *err)
{
	struct fiber *f;
	int rc = fiber_new(rt, name, fn, arg, &f, err);
	if (rc)
		return rc;
	f->root_log = log;
	fiber_prepare(f, root_main);
	return 0;
}

int fiber_spawn(struct scope *sc, const char *name, void (*fn)(void *), void *arg, struct err *err)
{
	if (!sc)
		sc = fiber_running()->scope;
	if (sc->cancelled)
		return err_set(err, E_CANCELLED, "cancelled");
	struct fiber *f;
	int rc = fiber_new(sc->rt, name, fn, arg, &f, err);
	if (rc)
		return rc;
	f->home = sc;
	sc->n_fibers++;
	scope_enter(sc, f);
	fiber_prepare(f, fiber_main);
	return 0;
}

/* On the loop's stack, after its last switch. */
static void fiber_bury(struct fiber *f)
{
	struct rt *rt = f->rt;
	if (f->home) {
		if (f->scope != f->home)
			BUG("fiber %s ended inside a scope that it did not close", f->name);
		scope_leave(f);
		scope_fiber_ended(f->home);
	}
	fiber_forget(f);
	stack_release(&rt->stacks, &f->stack);
	rt->n_fibers--;
	free(f);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void run_fiber(struct rt *rt, struct fiber *f)
{
	queue_remove(&rt->ready, f);
	f->state = FIBER_RUNNING;
	rt->running = f;
	fiber_switch_in(rt, f);
	rt->running = NULL;
	if (f->state == FIBER_ENDED)
		fiber_bury(f);
}

/* Runs who is ready now, not who becomes ready meanwhile: events get their turn between. */
static void run_ready(struct rt *rt)
{
	struct fiber *last = rt->ready.tail;
	while (last) {
		struct fiber *f = rt->ready.head;
		bool was_last = f == last;
		run_fiber(rt, f);
		if (was_last)
			return;
	}
}

static void run_posts(struct rt *rt)
{
	pthread_mutex_lock(&rt->post_lock);
	struct post *p = rt->posts;
	rt->posts = NULL;
	rt->posts_tail = &rt->posts;
	pthread_mutex_unlock(&rt->post_lock);
	while (p) {
		struct post *next = p->next;
		p->fn(p->arg);
		free(p);
		p = next;
	}
}

static struct fiber *fiber_of(struct alarm *a)
{
	return (struct fiber *)((char *)a - offsetof(struct fiber, alarm));
}

static void wake_due(struct rt *rt)
{
	if (rt->n_heap == 0)
		return;
	struct instant now = rt->reactor->ops->now(rt->reactor);
	while (rt->n_heap > 0 && !instant_before(now, rt->heap[0]->at)) {
		struct alarm *a = rt->heap[0];
		if (a->timer)
			timer_ring(a->timer);
		else
			fiber_wake(fiber_of(a), E_TIMEOUT);
	}
}

bool rt_turn(struct rt *rt, struct instant until)
{
	struct rt *outer = running_rt;
	running_rt = rt;
	run_posts(rt);
	run_ready(rt);
	bool alive = rt->n_fibers > 0;
	if (alive) {
		if (rt->ready.head)
			until = (struct instant){0};
		else if (rt->n_heap > 0)
			until = instant_min(until, rt->heap[0]->at);
		rt->reactor->ops->poll(rt->reactor, until);
		wake_due(rt);
	}
	running_rt = outer;
	return alive;
}

void rt_run(struct rt *rt)
{
	while (rt_turn(rt, INSTANT_NEVER)) {
	}
}

struct rt *rt_current(void)
{
	return fiber_running()->rt;
}

struct instant rt_now(void)
{
	if (!running_rt)
		BUG("rt_now outside the loop");
	return running_rt->reactor->ops->now(running_rt->reactor);
}

size_t rt_fiber_count(const struct rt *rt)
{
	return rt->n_fibers;
}

struct rt *rt_new(struct reactor *reactor, enum stack_kind stacks)
{
	struct rt *rt = calloc(1, sizeof *rt);
	if (!rt)
		return NULL;
	rt->reactor = reactor;
	rt->stacks.kind = stacks;
	rt->posts_tail = &rt->posts;
	pthread_mutex_init(&rt->post_lock, NULL);
	reactor->rt = rt;
	return rt;
}

void rt_free(struct rt *rt)
{
	if (!rt)
		return;
	INVARIANT(rt->n_fibers == 0);
	run_posts(rt);
	stack_pool_free(&rt->stacks);
	pthread_mutex_destroy(&rt->post_lock);
	free(rt->heap);
	free(rt);
}

/* ---- threads ------------------------------------------------------------------------------- */

void rt_post(struct rt *rt, void (*fn)(void *), void *arg)
{
	struct post *p = malloc(sizeof *p);
	if (!p)
		BUG("no memory for a message to the loop");
	*p = (struct post){NULL, fn, arg};
	pthread_mutex_lock(&rt->post_lock);
	*rt->posts_tail = p;
	rt->posts_tail = &p->next;
	pthread_mutex_unlock(&rt->post_lock);
	rt->reactor->ops->interrupt(rt->reactor);
}

struct work {
	void *arg;
	void (*drop)(void *arg);
	struct waitq waiter;
	bool done;
	bool abandoned;
};

static void work_done(void *arg)
{
	struct work *w = arg;
	w->done = true;
	if (w->abandoned) {
		w->drop(w->arg);
		free(w);
		return;
	}
	waitq_wake_all(&w->waiter);
}

int rt_work(void (*fn)(void *), void *arg, void (*drop)(void *), struct err *err)
{
	struct reactor *reactor = rt_current()->reactor;
	struct work *w = malloc(sizeof *w);
	if (!w) {
		if (drop)
			drop(arg);
		return err_set(err, E_MEMORY, "no memory for a piece of work");
	}
	*w = (struct work){.arg = arg, .drop = drop};
	int rc = reactor->ops->work(reactor, fn, arg, work_done, w);
	if (rc) {
		free(w);
		if (drop)
			drop(arg);
		return err_set(err, rc, "cannot start a worker: %s", err_info(rc)->text);
	}
	while (!w->done && rc == 0)
		rc = fiber_park(&w->waiter, INSTANT_NEVER, drop == NULL, NULL);
	if (w->done) {
		free(w);
		return 0;
	}
	w->abandoned = true;
	return wait_error(rc, err);
}
