/* Life and death of a host with a node. See gate_host.h.
 *
 * Must stay true: what a crashed life still does while it unwinds changes nothing here. */
#include "sim/gate_host.h"

#include <stdio.h>

#define CLOSE_LIMIT_S     10
#define REQUEST_TIMEOUT_S 20

void gate_host_init(struct gate_host *h, struct scenario_run *r, const char *name)
{
	struct config *c = &h->config;

	h->run = r;
	h->world = scenario_host(r, name);
	config_defaults(c);
	(void)snprintf(c->node_id, sizeof(c->node_id), "%s", name);
	(void)snprintf(c->data_dir, sizeof(c->data_dir), "/var/lib/gate/%s", name);
	(void)snprintf(c->model, sizeof(c->model), "none");
	c->request_timeout_s = REQUEST_TIMEOUT_S;
}

void gate_host_bootstrap(struct gate_host *h, const struct gate_host *other)
{
	struct config *c = &h->config;
	struct netaddr at;

	universe_host_addr(other->world, &at);
	(void)snprintf(c->bootstrap[c->n_bootstrap++], CONFIG_TEXT_MAX, "/ip4/%u.%u.%u.%u/tcp/%d",
	    at.ip[0], at.ip[1], at.ip[2], at.ip[3], GATE_HOST_P2P_PORT);
}

bool gate_host_serves(const struct gate_host *h)
{
	return h->node && !h->stopping;
}

static void serve(struct gate_host *h, unsigned life, struct node *n)
{
	struct universe *u = scenario_universe(h->run);
	struct duration began;

	h->node = n;
	h->up_since = universe_elapsed(u);
	universe_record(u, "%s is up", h->config.node_id);
	if (h->up)
		h->up(h);
	if (node_wait(n, NULL) != 0 && h->life == life)
		SCENARIO_CHECK(h->run, false, "%s ended unasked", h->config.node_id);
	began = universe_elapsed(u);
	node_close(n);
	if (h->life != life)
		return;
	h->node = NULL;
	h->closed++;
	universe_record(u, "%s is closed", h->config.node_id);
	SCENARIO_CHECK(h->run, universe_elapsed(u).ns - began.ns <= duration_s(CLOSE_LIMIT_S).ns,
	    "%s took %.3f s to close", h->config.node_id,
	    (double)(universe_elapsed(u).ns - began.ns) / 1e9);
}

static void gate_main(void *arg)
{
	struct gate_host *h = arg;
	unsigned life = h->life;
	struct node *n;
	struct err err = {0};

	if (node_new(h->world, &h->config, scenario_log(h->run, h->world), &n, &err) == 0)
		serve(h, life, n);
	else
		SCENARIO_CHECK(h->run, h->life != life, "%s does not start: %s", h->config.node_id,
		    err_text(&err));
}

void gate_host_boot(struct gate_host *h)
{
	h->life++;
	h->boots++;
	scenario_boot(h->run, h->world, gate_main, h);
}

void gate_host_crash(struct gate_host *h, bool reset)
{
	h->life++;
	h->crashes++;
	h->node = NULL;
	universe_crash(scenario_universe(h->run), h->world, reset);
}

void gate_host_stop(struct gate_host *h)
{
	h->stopping = true;
	if (h->node)
		node_stop(h->node);
}
