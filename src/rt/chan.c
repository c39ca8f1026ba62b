/* The semaphore and the channel, both made of waitqs.
 *
 * A wait that ends with 0 was ended by a wake and by nothing else, and each wake ends one wait: so
 * a permit handed over by sem_release is never lost, whatever happens to the woken fiber's scope.
 */
#include "rt/rt.h"

#include <stdint.h>
#include <talloc.h>

/* ---- semaphore ----------------------------------------------------------------------------- */

int sem_acquire(struct sem *s, struct err *err)
{
	if (s->free > 0) {
		s->free--;
		return 0;
	}
	return waitq_wait(&s->q, err); /* woken: the permit was handed to us */
}

void sem_release(struct sem *s)
{
	if (s->q.head)
		waitq_wake_one(&s->q);
	else
		s->free++;
}

/* ---- channel ------------------------------------------------------------------------------- */

struct chan {
	size_t capacity;
	size_t first, count; /* the ring: items[first] is the oldest of count */
	bool closed;
	struct waitq senders, receivers;
	void *items[];
};

struct chan *chan_new(void *mem, size_t capacity)
{
	struct chan *c;

	INVARIANT(capacity > 0);
	if (capacity > (SIZE_MAX / 2 - sizeof(*c)) / sizeof(c->items[0]))
		return NULL;
	c = talloc_zero_size(mem, sizeof(*c) + capacity * sizeof(c->items[0]));
	if (!c)
		return NULL;
	talloc_set_name_const(c, "struct chan");
	c->capacity = capacity;
	return c;
}

static void push(struct chan *c, void *item)
{
	c->items[(c->first + c->count) % c->capacity] = item;
	c->count++;
	waitq_wake_one(&c->receivers);
}

int chan_send(struct chan *c, void *item, struct err *err)
{
	int rc;

	while (!c->closed && c->count == c->capacity)
		if ((rc = waitq_wait(&c->senders, err)))
			return rc;
	if (c->closed)
		return err_set(err, E_CLOSED, "the channel is closed");
	push(c, item);
	return 0;
}

int chan_try_send(struct chan *c, void *item, struct err *err)
{
	if (c->closed)
		return err_set(err, E_CLOSED, "the channel is closed");
	if (c->count == c->capacity)
		return err_set(err, E_LIMIT, "the channel is full (%zu items)", c->capacity);
	push(c, item);
	return 0;
}

int chan_recv(struct chan *c, void **item, struct err *err)
{
	int rc;

	while (c->count == 0 && !c->closed)
		if ((rc = waitq_wait(&c->receivers, err)))
			return rc;
	if (c->count == 0)
		return err_set(err, E_CLOSED, "the channel is closed");
	*item = c->items[c->first];
	c->first = (c->first + 1) % c->capacity;
	c->count--;
	waitq_wake_one(&c->senders);
	return 0;
}

void chan_close(struct chan *c)
{
	c->closed = true;
	waitq_wake_all(&c->senders);
	waitq_wake_all(&c->receivers);
}

size_t chan_count(const struct chan *c)
{
	return c->count;
}
