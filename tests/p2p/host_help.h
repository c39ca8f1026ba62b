/* What the tests of p2p hosts share: a simulated universe of named hosts, small protocols, and a
 * record of events and log lines. */
#ifndef TESTS_P2P_HOST_HELP_H
#define TESTS_P2P_HOST_HELP_H

#include "crypto/hash.h"
#include "p2p/p2p.h"
#include "rt/world_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), 0)

#define ECHO  "/echo/1.0.0"
#define SINK  "/sink/1.0.0"
#define STALL "/stall/1.0.0" /* never reads */

#define NET_PORT 4001

/* A universe and what happened in it. */
struct net {
	struct universe *u;
	struct log *log;
	char lines[65536];
	size_t n_lines;
	void (*story)(struct net *n);
	unsigned served; /* handlers that ran */
};

/* One host with its events counted. */
struct node {
	struct net *net;
	struct world *world;
	struct p2p_host *host;
	struct identity id;
	struct multiaddr addr; /* without /p2p */
	unsigned opened, closed, connected, disconnected, identified, discovered, keep_failed;
	int last_code;
	char last_text[128];
	p2p_conn_id last_conn;
};

/* Runs `story` as the main fiber of host "driver", to its end, and checks that nothing is left. */
void net_run(uint64_t seed, struct duration latency, void (*story)(struct net *n));
/* The same for stories longer than an hour of virtual time. */
void net_run_for(
    uint64_t seed, struct duration latency, struct duration limit, void (*story)(struct net *n));

/* The options that tests begin with: one listener on NET_PORT of the host's address. */
void node_options(struct net *n, const char *name, struct node *node, struct p2p_options *opt,
    struct multiaddr *listen);
void node_start(struct node *node, const struct p2p_options *opt);
/* Options and start in one; serves ECHO, SINK and STALL. */
void node_new(struct net *n, const char *name, struct node *node);
void node_serve(struct node *node);
void node_close(struct node *node);

/* b's address with its /p2p. */
struct multiaddr node_full_addr(const struct node *b);
/* Connects a to b and waits until both know each other. */
void node_connect(struct node *a, struct node *b);

/* Waits up to `limit` of virtual time until the condition holds; a failure otherwise. */
#define eventually(limit_s, cond)                                                                  \
	do {                                                                                       \
		struct instant end_ = instant_add(rt_now(), duration_s(limit_s));                  \
		while (!(cond) && instant_before(rt_now(), end_))                                  \
			OK(fiber_sleep(duration_ms(20)));                                          \
		assert_true(cond);                                                                 \
	} while (0)

/* Sends n pattern bytes on a new echo stream, half-closes, and checks what comes back. */
void echo_check(struct node *a, struct node *b, size_t n);

/* How often `text` stands in the log. */
size_t net_logged(const struct net *n, const char *text);

#endif
