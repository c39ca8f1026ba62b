/* What the tests of relays share: reservations, circuits, and three hosts of which two cannot reach
 * each other. */
#ifndef TESTS_P2P_RELAY_HELP_H
#define TESTS_P2P_RELAY_HELP_H

#include "host_help.h"

#include "p2p/reach.h"
#include "p2p/relay.h"

#define LATENCY duration_ms(10)

/* a and b reach each other through r, where b has a reservation. */
struct trio {
	struct node a, b, r;
};

struct p2p_relay_limits unlimited(void);
void serve_relay(struct node *r, const struct p2p_relay_limits *limits);
size_t reserved(const struct node *n);
bool reserved_at(const struct node *n, const struct node *relay);
void listen_through(struct node *b, struct node *relay);
struct multiaddr circuit(struct node *relay, struct node *target);
int dial_through(
    struct node *a, struct node *relay, struct node *b, p2p_conn_id *conn, struct err *err);
void reach_through(struct node *a, struct node *relay, struct node *b, p2p_conn_id *conn);
void separate(struct net *n, struct node *a, struct node *b);
void trio_new(struct net *n, struct trio *t, const struct p2p_relay_limits *limits);
void trio_close(struct trio *t);
p2p_conn_id conn_to(struct node *a, struct node *b);

#endif
