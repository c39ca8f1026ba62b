/* What the tests on the simulated world share: cmocka's includes and one-line universes. */
#ifndef TESTS_RT_SIM_HELP_H
#define TESTS_RT_SIM_HELP_H

#include "rt/world_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), 0)

/* 20 to 60 ms between hosts, 2 % loss, an hour at most. */
static inline struct universe *universe_of_seed(uint64_t seed)
{
	struct universe_options opt = {
	    .seed = seed,
	    .latency_min = duration_ms(20),
	    .latency_max = duration_ms(60),
	    .loss_ppm = 20000,
	    .retransmit = duration_ms(200),
	    .time_limit = duration_s(3600),
	};
	struct universe *u;

	OK(universe_new(&opt, &u, NULL));
	return u;
}

static inline struct netaddr addr_of(const struct world *host, uint16_t port)
{
	struct netaddr a;

	universe_host_addr(host, &a);
	a.port = port;
	return a;
}

static inline struct netaddr any_addr(uint16_t port)
{
	return (struct netaddr){.family = NET_IP4, .port = port};
}

/* Runs fn(arg) as a host's main fiber, to its end. */
static inline void run_alone(void (*fn)(void *), void *arg)
{
	struct universe *u = universe_of_seed(1);

	OK(universe_boot(u, universe_host(u, "alone"), NULL, fn, arg, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

#endif
