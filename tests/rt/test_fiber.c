/* The scheduler, scopes, deadlines, cancellation, channels and workers, on the real loop. */
#include "rt/feed.h"
#include "rt/world_uv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <talloc.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct world *world;

static int setup(void **state)
{
	(void)state;
	return world_uv_new(&world, NULL);
}

static int teardown(void **state)
{
	(void)state;
	world_uv_free(world);
	return 0;
}

static void run(void (*fn)(void *), void *arg)
{
	assert_int_equal(rt_start(world->rt, "test", NULL, fn, arg, NULL), 0);
	rt_run(world->rt);
}

struct trace {
	char text[256];
	struct waitq q;
	struct chan *chan;
	struct sem sem;
	int rc;
};

static void mark(struct trace *t, const char *what)
{
	assert_true(strlen(t->text) + strlen(what) < sizeof t->text);
	strcat(t->text, what);
}

/* ---- order --------------------------------------------------------------------------------- */

static void child_ab(void *arg)
{
	mark(arg, "a");
	fiber_yield();
	mark(arg, "b");
}

static void parent_order(void *arg)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	assert_int_equal(fiber_spawn(NULL, "one", child_ab, arg, NULL), 0);
	assert_int_equal(fiber_spawn(NULL, "two", child_ab, arg, NULL), 0);
	mark(arg, "P");
	assert_int_equal(scope_join(&sc), 0);
	mark(arg, "J");
	scope_close(&sc);
}

static void test_fibers_take_turns(void **state)
{
	(void)state;
	struct trace t = {0};
	run(parent_order, &t);
	assert_string_equal(t.text, "PaabbJ");
}

/* ---- cancellation and deadlines ------------------------------------------------------------ */

static void sleeps_long(void *arg)
{
	struct trace *t = arg;
	t->rc = fiber_sleep(duration_s(3600));
	mark(t, "x");
}

static void closes_at_once(void *arg)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	assert_int_equal(fiber_spawn(NULL, "sleeper", sleeps_long, arg, NULL), 0);
	fiber_yield();
	scope_close(&sc);
	mark(arg, "c");
}

static void test_closing_a_scope_cancels_and_joins(void **state)
{
	(void)state;
	struct trace t = {0};
	run(closes_at_once, &t);
	assert_int_equal(t.rc, E_CANCELLED);
	assert_string_equal(t.text, "xc");
}

static void nested_deadlines(void *arg)
{
	struct trace *t = arg;
	struct scope outer, inner;
	scope_open(&outer, duration_ms(20));
	scope_open(&inner, duration_s(100));
	assert_int_equal(fiber_sleep(duration_s(50)), E_TIMEOUT);
	assert_int_equal(scope_check(NULL), E_TIMEOUT);
	struct scope goodbye;
	scope_open_shielded(&goodbye, duration_s(5));
	assert_int_equal(fiber_sleep(duration_ms(1)), 0);
	scope_close(&goodbye);
	assert_int_equal(waitq_wait(&t->q, NULL), E_TIMEOUT);
	scope_close(&inner);
	scope_close(&outer);
	assert_int_equal(scope_check(NULL), 0);
	assert_int_equal(waitq_wait_for(&t->q, duration_ms(1), NULL), E_TIMEOUT);
	mark(t, "ok");
}

static void test_the_earliest_deadline_holds(void **state)
{
	(void)state;
	struct trace t = {0};
	run(nested_deadlines, &t);
	assert_string_equal(t.text, "ok");
}

static void shielded_sleeper(void *arg)
{
	struct trace *t = arg;
	struct scope sc;
	scope_open_shielded(&sc, duration_s(5));
	t->rc = fiber_sleep(duration_ms(10));
	scope_close(&sc);
	assert_int_equal(fiber_sleep(duration_ms(10)), E_CANCELLED);
}

static void cancels_a_shield(void *arg)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	assert_int_equal(fiber_spawn(NULL, "shielded", shielded_sleeper, arg, NULL), 0);
	fiber_yield();
	scope_cancel(&sc);
	assert_int_equal(fiber_spawn(&sc, "late", shielded_sleeper, arg, NULL), E_CANCELLED);
	scope_close(&sc);
}

static void test_a_shield_holds_off_cancellation(void **state)
{
	(void)state;
	struct trace t = {.rc = 1};
	run(cancels_a_shield, &t);
	assert_int_equal(t.rc, 0);
}

static int destroyed(struct trace **object)
{
	mark(*object, "d");
	return 0;
}

static void memory_after_fibers(void *arg)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	struct trace **object = talloc(scope_mem(&sc), struct trace *);
	*object = arg;
	talloc_set_destructor(object, destroyed);
	assert_int_equal(fiber_spawn(NULL, "sleeper", sleeps_long, arg, NULL), 0);
	fiber_yield();
	scope_close(&sc);
}

static void test_memory_goes_after_the_fibers(void **state)
{
	(void)state;
	struct trace t = {0};
	run(memory_after_fibers, &t);
	assert_string_equal(t.text, "xd");
}

/* ---- many timers --------------------------------------------------------------------------- */

#define MANY 2000

struct timed {
	struct instant base;
	int ms;
	int *last, *count;
};

static void timed_sleep(void *arg)
{
	struct timed *s = arg;
	struct instant at = instant_add(s->base, duration_ms(s->ms));
	bool in_time = instant_before(rt_now(), at); /* not on a machine too busy for this */
	assert_int_equal(fiber_sleep(instant_since(at, rt_now())), 0);
	(*s->count)++;
	if (!in_time)
		return;
	assert_true(*s->last <= s->ms);
	*s->last = s->ms;
}

static void many_timers(void *arg)
{
	(void)arg;
	struct timed *all = calloc(MANY, sizeof *all);
	struct instant base = rt_now();
	int last = 0, count = 0;
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < MANY; i++) {
		all[i] = (struct timed){base, 500 + (i * 7919) % 97 * 3, &last, &count};
		assert_int_equal(fiber_spawn(NULL, "timed", timed_sleep, &all[i], NULL), 0);
	}
	assert_int_equal(scope_join(&sc), 0);
	scope_close(&sc);
	assert_int_equal(count, MANY);
	free(all);
}

static void test_timers_fire_in_order(void **state)
{
	(void)state;
	struct trace t = {0};
	run(many_timers, &t);
}

/* ---- workers ------------------------------------------------------------------------------- */

struct job {
	int in, out;
	atomic_bool *release;
	bool *dropped;
};

static void square(void *arg)
{
	struct job *j = arg;
	j->out = j->in * j->in;
}

static void waits_for_release(void *arg)
{
	struct job *j = arg;
	while (!atomic_load(j->release))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void drop_job(void *arg)
{
	struct job *j = arg;
	*j->dropped = true;
	free(j);
}

struct abandoning {
	atomic_bool release;
	bool dropped;
};

static void works(void *arg)
{
	struct abandoning *a = arg;
	struct job j = {.in = 7};
	assert_int_equal(rt_work(square, &j, NULL, NULL), 0);
	assert_int_equal(j.out, 49);

	struct job *abandoned = malloc(sizeof *abandoned);
	*abandoned = (struct job){.release = &a->release, .dropped = &a->dropped};
	struct scope sc;
	scope_open(&sc, duration_ms(5));
	assert_int_equal(rt_work(waits_for_release, abandoned, drop_job, NULL), E_TIMEOUT);
	scope_close(&sc);
	assert_false(a->dropped);
	atomic_store(&a->release, true);
}

static void test_workers(void **state)
{
	(void)state;
	struct abandoning a = {0};
	run(works, &a);
	teardown(NULL); /* waits for the abandoned one */
	assert_true(a.dropped);
	assert_int_equal(setup(NULL), 0);
}

static void posted(void *arg)
{
	struct trace *t = arg;
	mark(t, "p");
	waitq_wake_all(&t->q);
}

static void post_from_thread(void *arg)
{
	rt_post(world->rt, posted, arg);
}

static void waits_for_post(void *arg)
{
	struct trace *t = arg;
	assert_int_equal(rt_work(post_from_thread, t, NULL, NULL), 0);
	while (!t->text[0])
		assert_int_equal(waitq_wait_for(&t->q, duration_s(5), NULL), 0);
}

static void test_posts_from_threads(void **state)
{
	(void)state;
	struct trace t = {0};
	run(waits_for_post, &t);
	assert_string_equal(t.text, "p");
}

/* ---- feeds --------------------------------------------------------------------------------- */

#define FED (96u << 10)

struct feeding {
	struct feed *feed;
	size_t put; /* pieces */
	bool cut;
};

static void feed_work(void *arg)
{
	struct feeding *f = arg;
	for (size_t i = 0; i < FED && !f->cut; i += 64) {
		uint8_t piece[64];
		memset(piece, (int)(i / 64 % 251), sizeof piece);
		f->cut = !feed_put(f->feed, piece, sizeof piece);
		f->put++;
	}
}

static void feed_fiber(void *arg)
{
	struct feeding *f = arg;
	assert_int_equal(rt_work(feed_work, f, NULL, NULL), 0);
	feed_end(f->feed);
}

static void reads_feed(void *arg)
{
	(void)arg;
	struct feeding f = {0};
	assert_int_equal(feed_new(1000, &f.feed, NULL), 0);
	struct scope sc;
	scope_open(&sc, duration_s(60));
	assert_int_equal(fiber_spawn(NULL, "feeder", feed_fiber, &f, NULL), 0);
	size_t got = 0;
	struct buf piece;
	int rc;
	while ((rc = feed_take(f.feed, &piece, NULL)) == 0) {
		assert_true(piece.n < 1000 + 64);
		for (size_t i = 0; i < piece.n; i++, got++)
			assert_int_equal(piece.p[i], got / 64 % 251);
		buf_free(&piece);
	}
	assert_int_equal(rc, E_CLOSED);
	assert_int_equal(got, FED);
	scope_close(&sc);
	feed_free(f.feed);
}

static void test_a_feed_loses_nothing(void **state)
{
	(void)state;
	run(reads_feed, NULL);
}

static void cuts_feed(void *arg)
{
	(void)arg;
	struct feeding f = {0};
	assert_int_equal(feed_new(128, &f.feed, NULL), 0);
	struct scope sc;
	scope_open(&sc, duration_s(60));
	assert_int_equal(fiber_spawn(NULL, "feeder", feed_fiber, &f, NULL), 0);
	struct buf piece;
	assert_int_equal(feed_take(f.feed, &piece, NULL), 0);
	buf_free(&piece);
	feed_cut(f.feed);
	scope_close(&sc);
	assert_true(f.cut);
	assert_true(f.put < FED / 64);
	feed_free(f.feed);
}

static void test_a_cut_feed_frees_its_worker(void **state)
{
	(void)state;
	run(cuts_feed, NULL);
}

/* ---- stacks -------------------------------------------------------------------------------- */

#define DEEP 60000

/* Touches stack far below its caller's frame; where. */
static __attribute__((noinline)) uintptr_t touch_deep(void)
{
	volatile uint8_t bytes[DEEP];

	for (size_t i = 0; i < DEEP; i++)
		bytes[i] = (uint8_t)i;
	return (uintptr_t)&bytes[DEEP / 2] + bytes[DEEP / 2] - bytes[DEEP / 2];
}

static bool is_resident(uintptr_t at)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	unsigned char state = 0;

	assert_int_equal(mincore((void *)(at - at % page), page, &state), 0);
	return state & 1;
}

static void trims(void *arg)
{
	bool *given_back = arg;
	uint8_t mine[256];

	memset(mine, 7, sizeof mine);
	uintptr_t deep = touch_deep();
	assert_true(is_resident(deep));
	fiber_trim();
	*given_back = !is_resident(deep);
	for (size_t i = 0; i < sizeof mine; i++)
		assert_int_equal(mine[i], 7);
	assert_int_equal(touch_deep(), deep); /* and it can be used again */
	assert_int_equal(fiber_sleep(duration_ms(1)), 0);
}

static void test_a_stack_gives_back_what_it_touched(void **state)
{
	bool given_back = false;

	(void)state;
	run(trims, &given_back);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(given_back);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_fibers_take_turns, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_closing_a_scope_cancels_and_joins, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_the_earliest_deadline_holds, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_shield_holds_off_cancellation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_memory_goes_after_the_fibers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_timers_fire_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_workers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_posts_from_threads, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_feed_loses_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_cut_feed_frees_its_worker, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_stack_gives_back_what_it_touched, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
