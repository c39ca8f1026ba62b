/* The thread pool.
 *
 * What must stay true: `state` orders everything. A job's fields are written only while the job is
 * closed and nobody is in it; a worker reads them only after joining. Joining is a compare-exchange
 * on state, so that a worker that comes late finds the job closed and stays out. */
#include "engine/pool_priv.h"

#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* state: generation << 32 | OPEN | number of workers inside */
#define STATE_OPEN   0x80000000ull
#define STATE_INSIDE 0x7fffffffull

#define SPINS_BEFORE_SLEEP 4000 /* about 50 us: longer than the gap between two operations */
#define SPINS_BEFORE_YIELD 2000

struct pool_worker {
	struct pool *pool;
	pthread_t thread;
	unsigned index;
};

struct pool {
	_Atomic uint64_t state;
	atomic_size_t next;
	size_t n;
	pool_item_fn *fn;
	void *arg;

	pthread_mutex_t lock; /* sleeping workers, and the queue of callers */
	pthread_cond_t wake;
	atomic_uint sleeping;
	atomic_bool stop;

	pthread_cond_t turn;
	uint64_t ticket_next;
	uint64_t ticket_served;

	unsigned n_workers;
	struct pool_worker workers[ENGINE_THREADS_MAX];
};

static void relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

static void work(struct pool *p, unsigned thread)
{
	size_t item;
	while ((item = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->n)
		p->fn(p->arg, item, thread);
}

static bool is_news(uint64_t state, uint64_t seen)
{
	return (state & STATE_OPEN) && state >> 32 != seen;
}

/* Waits for an open job of another generation than `seen`; false when the pool ends. */
static bool wait_for_job(struct pool *p, uint64_t seen)
{
	for (unsigned i = 0; i < SPINS_BEFORE_SLEEP; i++) {
		if (is_news(atomic_load(&p->state), seen))
			return true;
		relax();
	}
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->sleeping, 1);
	while (!atomic_load(&p->stop) && !is_news(atomic_load(&p->state), seen))
		pthread_cond_wait(&p->wake, &p->lock);
	atomic_fetch_sub(&p->sleeping, 1);
	pthread_mutex_unlock(&p->lock);
	return !atomic_load(&p->stop);
}

/* True when the job is still open and we are in it; *seen is its generation. */
static bool join_job(struct pool *p, uint64_t *seen)
{
	uint64_t state = atomic_load(&p->state);
	while (is_news(state, *seen))
		if (atomic_compare_exchange_weak(&p->state, &state, state + 1)) {
			*seen = state >> 32;
			return true;
		}
	return false;
}

static void *worker_main(void *arg)
{
	struct pool_worker *w = arg;
	uint64_t seen = 0;
	while (wait_for_job(w->pool, seen))
		if (join_job(w->pool, &seen)) {
			work(w->pool, w->index);
			atomic_fetch_sub(&w->pool->state, 1);
		}
	return NULL;
}

void pool_run(struct pool *p, size_t n, pool_item_fn *fn, void *arg)
{
	if (!p || n <= 1) {
		for (size_t i = 0; i < n; i++)
			fn(arg, i, 0);
		return;
	}
	p->fn = fn;
	p->arg = arg;
	p->n = n;
	atomic_store_explicit(&p->next, 0, memory_order_relaxed);
	uint64_t generation = ((atomic_load(&p->state) >> 32) + 1) & 0xffffffff;
	atomic_store(&p->state, generation << 32 | STATE_OPEN);
	if (atomic_load(&p->sleeping) > 0) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_broadcast(&p->wake);
		pthread_mutex_unlock(&p->lock);
	}
	work(p, 0);
	atomic_fetch_and(&p->state, ~STATE_OPEN);
	for (unsigned i = 0; atomic_load(&p->state) & STATE_INSIDE; i++) {
		if (i < SPINS_BEFORE_YIELD)
			relax();
		else
			sched_yield();
	}
}

void pool_enter(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	uint64_t mine = p->ticket_next++;
	while (p->ticket_served != mine)
		pthread_cond_wait(&p->turn, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_leave(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ticket_served++;
	pthread_cond_broadcast(&p->turn);
	pthread_mutex_unlock(&p->lock);
}

int pool_new(unsigned n_threads, struct pool **out, struct err *err)
{
	struct pool *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for the thread pool");
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->turn, NULL);
	for (unsigned i = 1; i < n_threads && i < ENGINE_THREADS_MAX; i++) {
		struct pool_worker *w = &p->workers[p->n_workers];
		*w = (struct pool_worker){.pool = p, .index = i};
		if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
			pool_free(p);
			return err_set(err, E_LIMIT, "cannot start %u threads", n_threads);
		}
		p->n_workers++;
	}
	*out = p;
	return 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->stop, true);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_workers; i++)
		pthread_join(p->workers[i].thread, NULL);
	pthread_cond_destroy(&p->turn);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
