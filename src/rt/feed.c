/* Bytes from a worker to a fiber: a buffer under a lock, and a message to the loop when it stops
 * being empty. */
#include "rt/feed.h"

#include <pthread.h>
#include <stdlib.h>

struct feed {
	struct rt *rt;
	pthread_mutex_t lock; /* pending */
	pthread_cond_t room;
	struct buf pending;
	size_t cap;
	atomic_bool cut;
	/* Loop thread. */
	struct waitq reader;
	bool ended;
};

int feed_new(size_t cap, struct feed **out, struct err *err)
{
	struct feed *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(err, E_MEMORY, "no memory for a feed");
	f->rt = rt_current();
	f->cap = cap;
	f->pending = BUF_INIT(SIZE_MAX / 2);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->room, NULL);
	*out = f;
	return 0;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	buf_free(&f->pending);
	pthread_cond_destroy(&f->room);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void wake_reader(void *arg)
{
	struct feed *f = arg;
	waitq_wake_all(&f->reader);
}

bool feed_put(struct feed *f, const void *p, size_t n)
{
	pthread_mutex_lock(&f->lock);
	while (f->pending.n >= f->cap && !atomic_load(&f->cut))
		pthread_cond_wait(&f->room, &f->lock);
	bool was_empty = f->pending.n == 0;
	bool cut = atomic_load(&f->cut);
	if (!cut)
		buf_put(&f->pending, p, n);
	bool failed = f->pending.failed;
	pthread_mutex_unlock(&f->lock);
	if (was_empty && !cut)
		rt_post(f->rt, wake_reader, f);
	return !cut && !failed;
}

void feed_end(struct feed *f)
{
	f->ended = true;
	waitq_wake_all(&f->reader);
}

int feed_take(struct feed *f, struct buf *out, struct err *err)
{
	for (;;) {
		bool ended = f->ended;
		pthread_mutex_lock(&f->lock);
		*out = f->pending;
		f->pending = BUF_INIT(out->max);
		pthread_cond_signal(&f->room);
		pthread_mutex_unlock(&f->lock);
		if (out->n > 0)
			return 0;
		buf_free(out);
		if (ended)
			return err_set(err, E_CLOSED, "the feed has ended");
		int rc = waitq_wait(&f->reader, err);
		if (rc)
			return rc;
	}
}

void feed_cut(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	atomic_store(&f->cut, true);
	pthread_cond_signal(&f->room);
	pthread_mutex_unlock(&f->lock);
}

const atomic_bool *feed_cut_flag(const struct feed *f)
{
	return &f->cut;
}
