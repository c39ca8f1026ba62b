/* A node: everything put together. Takes its surroundings as an argument, so the same node runs in
 * the real world and, by the thousand, in the simulated one. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "node/config.h"
#include "rt/world.h"

struct node;

/* [parks] Starts a node as configured: data folder and its lock, identity, engine, p2p host,
 * cluster, gateway, control. On return it serves. `config` and `log` must outlive it. Errors name
 * what failed and what to do; nothing is left running then. */
int node_new(struct world *w, const struct config *config, struct log *log, struct node **out,
    struct err *err) WARN_UNUSED;

/* Asks it to end. Never parks: for signal handlers of the loop and for control. */
void node_stop(struct node *n);

/* [parks] Until node_stop, or the scope's end (whose error it returns). */
int node_wait(struct node *n, struct err *err) WARN_UNUSED;

/* [parks] Ends it: no new work, running answers get NODE_GRACE_MS to finish, members are told. */
#define NODE_GRACE_MS 7000
void node_close(struct node *n);

/* `gate start`: reads the configuration and runs one node in the real world. The exit status. */
int node_main(int argc, char **argv);

#endif
