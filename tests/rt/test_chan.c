/* Channels and semaphores: order, bounds, fairness, and what a cancelled waiter leaves behind. */
#include "sim_help.h"

#include <talloc.h>

struct shared {
	struct chan *chan;
	struct sem sem;
	struct scope *scope;
	char order[64];
	int rc;
	int held, held_max;
};

static void mark(struct shared *s, char c)
{
	size_t n = strlen(s->order);

	assert_true(n + 1 < sizeof(s->order));
	s->order[n] = c;
}

/* ---- channels ------------------------------------------------------------------------------ */

static void producer(void *arg)
{
	struct shared *s = arg;

	for (char c = 'a'; c <= 'e'; c++) {
		OK(chan_send(s->chan, (void *)(intptr_t)c, NULL));
		mark(s, (char)(c - 'a' + 'A'));
	}
	chan_close(s->chan);
}

static void consumer(void *arg)
{
	struct shared *s = arg;
	void *item;

	s->chan = chan_new(scope_mem(scope_current()), 2);
	OK(fiber_spawn(NULL, "producer", producer, s, NULL));
	OK(fiber_sleep(duration_ms(1)));
	assert_string_equal(s->order, "AB"); /* full: the third waits */
	assert_int_equal(chan_count(s->chan), 2);
	assert_int_equal(chan_try_send(s->chan, s, NULL), E_LIMIT);
	while ((s->rc = chan_recv(s->chan, &item, NULL)) == 0)
		mark(s, (char)(intptr_t)item);
}

static void test_bounded_in_order_and_drained_after_close(void **state)
{
	struct shared s = {0};
	char seen[sizeof(s.order)] = "";
	size_t n = 0;

	(void)state;
	run_alone(consumer, &s);
	assert_int_equal(s.rc, E_CLOSED);
	for (const char *p = s.order; *p; p++)
		if (*p >= 'a')
			seen[n++] = *p;
	assert_string_equal(seen, "abcde");
	assert_int_equal(strlen(s.order), 10);
}

static void send_after_close(void *arg)
{
	struct shared *s = arg;

	s->chan = chan_new(scope_mem(scope_current()), 1);
	chan_close(s->chan);
	assert_int_equal(chan_send(s->chan, s, NULL), E_CLOSED);
	assert_int_equal(chan_try_send(s->chan, s, NULL), E_CLOSED);
}

static void test_a_closed_channel_takes_nothing(void **state)
{
	struct shared s = {0};

	(void)state;
	run_alone(send_after_close, &s);
}

static void blocked_sender(void *arg)
{
	struct shared *s = arg;

	s->rc = chan_send(s->chan, s, NULL);
}

static void close_on_sender(void *arg)
{
	struct shared *s = arg;

	s->chan = chan_new(scope_mem(scope_current()), 1);
	OK(chan_send(s->chan, s, NULL));
	OK(fiber_spawn(NULL, "sender", blocked_sender, s, NULL));
	OK(fiber_sleep(duration_ms(1)));
	chan_close(s->chan);
	OK(fiber_sleep(duration_ms(1)));
	assert_int_equal(s->rc, E_CLOSED);
	assert_int_equal(chan_count(s->chan), 1);
}

static void test_close_wakes_a_waiting_sender(void **state)
{
	struct shared s = {0};

	(void)state;
	run_alone(close_on_sender, &s);
}

static void recv_with_deadline(void *arg)
{
	struct shared *s = arg;
	struct scope sc;
	void *item;

	s->chan = chan_new(scope_mem(scope_current()), 1);
	scope_open(&sc, duration_ms(5));
	assert_int_equal(chan_recv(s->chan, &item, NULL), E_TIMEOUT);
	scope_close(&sc);
	OK(chan_send(s->chan, s, NULL));
	OK(chan_recv(s->chan, &item, NULL));
	assert_ptr_equal(item, s);
}

static void test_a_wait_obeys_its_deadline(void **state)
{
	struct shared s = {0};

	(void)state;
	run_alone(recv_with_deadline, &s);
}

/* ---- semaphores ---------------------------------------------------------------------------- */

static void holder(void *arg)
{
	struct shared *s = arg;

	OK(sem_acquire(&s->sem, NULL));
	if (++s->held > s->held_max)
		s->held_max = s->held;
	mark(s, fiber_name()[0]);
	OK(fiber_sleep(duration_ms(10)));
	s->held--;
	sem_release(&s->sem);
}

static void five_holders(void *arg)
{
	static const char *const names[] = {"1", "2", "3", "4", "5"};
	struct scope sc;

	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < 5; i++)
		OK(fiber_spawn(NULL, names[i], holder, arg, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
}

static void test_first_come_first_served(void **state)
{
	struct shared s = {.sem.free = 2};

	(void)state;
	run_alone(five_holders, &s);
	assert_string_equal(s.order, "12345");
	assert_int_equal(s.held_max, 2);
	assert_int_equal(s.sem.free, 2);
}

static void waiter(void *arg)
{
	struct shared *s = arg;

	s->rc = sem_acquire(&s->sem, NULL);
	if (s->rc == 0)
		sem_release(&s->sem);
}

/* The permit is handed over and the waiter's scope is cancelled in the same turn. */
static void release_then_cancel(void *arg)
{
	struct shared *s = arg;
	struct scope sc;

	OK(sem_acquire(&s->sem, NULL));
	scope_init(&sc, NULL);
	OK(fiber_spawn(&sc, "waiter", waiter, s, NULL));
	OK(fiber_sleep(duration_ms(1)));
	sem_release(&s->sem);
	scope_cancel(&sc);
	scope_close(&sc);
	OK(s->rc);
	assert_int_equal(s->sem.free, 1);
}

static void cancel_then_release(void *arg)
{
	struct shared *s = arg;
	struct scope sc;

	OK(sem_acquire(&s->sem, NULL));
	scope_init(&sc, NULL);
	OK(fiber_spawn(&sc, "waiter", waiter, s, NULL));
	OK(fiber_sleep(duration_ms(1)));
	scope_cancel(&sc);
	sem_release(&s->sem);
	scope_close(&sc);
	assert_int_equal(s->rc, E_CANCELLED);
	assert_int_equal(s->sem.free, 1);
}

static void test_no_permit_is_lost_to_a_cancellation(void **state)
{
	struct shared a = {.sem.free = 1}, b = {.sem.free = 1};

	(void)state;
	run_alone(release_then_cancel, &a);
	run_alone(cancel_then_release, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bounded_in_order_and_drained_after_close),
	    cmocka_unit_test(test_a_closed_channel_takes_nothing),
	    cmocka_unit_test(test_close_wakes_a_waiting_sender),
	    cmocka_unit_test(test_a_wait_obeys_its_deadline),
	    cmocka_unit_test(test_first_come_first_served),
	    cmocka_unit_test(test_no_permit_is_lost_to_a_cancellation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
