/* What the tests of the upper rooms share: each test is the main fiber of a simulated host, in
 * virtual time, and must leave nothing behind. */
#ifndef TESTS_PROVIDER_FIBER_TEST_H
#define TESTS_PROVIDER_FIBER_TEST_H

#include "sim_help.h"

/* The host of the test that runs. */
static struct world *host_world __attribute__((unused));

static inline void in_fiber(void **state)
{
	void (*const *fn)(void *) = *state;
	struct universe *u = universe_of_seed(1);

	host_world = universe_host(u, "alone");
	OK(universe_boot(u, host_world, NULL, *fn, NULL, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

/* An entry of a cmocka table for `static void fn(void *arg)`. */
#define FIBER_TEST(fn)                                                                             \
	{                                                                                          \
#fn, in_fiber, NULL, NULL, &(void (*[1])(void *))                                  \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

/* Waits up to `limit_s` of virtual time until the condition holds; a failure otherwise. */
#define eventually(limit_s, cond)                                                                  \
	do {                                                                                       \
		struct instant end_ = instant_add(rt_now(), duration_s(limit_s));                  \
		while (!(cond) && instant_before(rt_now(), end_))                                  \
			OK(fiber_sleep(duration_ms(20)));                                          \
		assert_true(cond);                                                                 \
	} while (0)

#endif
