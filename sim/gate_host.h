/* A simulated host that runs a real node: `gate start`, as far as the world can tell. It is booted,
 * crashed and stopped like a machine; node_new, node_wait and node_close do the rest. */
#ifndef SIM_GATE_HOST_H
#define SIM_GATE_HOST_H

#include "node/node.h"
#include "sim/scenario.h"

#define GATE_HOST_P2P_PORT  41145
#define GATE_HOST_HTTP_PORT 31145

struct gate_host {
	struct scenario_run *run;
	struct world *world;
	struct config config;            /* to be changed before the first boot */
	struct node *node;               /* NULL unless it serves */
	void (*up)(struct gate_host *h); /* it serves now; NULL: nobody asks */
	void *arg;
	struct duration up_since; /* of the universe's time, while it serves */
	unsigned life;            /* so many boots and crashes */
	unsigned boots, crashes, closed;
	bool stopping;
};

/* A host of this name, which is its node's label too, with its own data folder and no model. */
void gate_host_init(struct gate_host *h, struct scenario_run *r, const char *name);
/* Dials `other` first; without a /p2p part. */
void gate_host_bootstrap(struct gate_host *h, const struct gate_host *other);
void gate_host_boot(struct gate_host *h);
bool gate_host_serves(const struct gate_host *h);
/* universe_crash. */
void gate_host_crash(struct gate_host *h, bool reset);
/* As SIGTERM. Ends within ten seconds or the scenario fails. */
void gate_host_stop(struct gate_host *h);

#endif
