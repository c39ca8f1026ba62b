/* `gate start`: one node in the real world. */
#include "node/node.h"

#include "rt/world_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOG_BUFFER 4096

enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2
};

struct program {
	struct world *world;
	struct config *config;
	struct log *log;
	struct node *node;
	struct scope scope;
	int signals;
	enum exit_status status;
};

/* The first signal ends the node politely, the second at once. */
static void on_signal(void *arg, int signum)
{
	struct program *p = arg;
	if (++p->signals > 1)
		_exit(128 + signum);
	log_event(p->log, LOG_INFO, "node", "shutting down (%s)", strsignal(signum));
	if (p->node)
		node_stop(p->node);
	else
		scope_cancel(&p->scope); /* still starting */
}

static void run(struct program *p)
{
	struct err err = {0};
	int rc = node_new(p->world, p->config, p->log, &p->node, &err);
	if (rc == 0) {
		rc = node_wait(p->node, &err);
		node_close(p->node);
	}
	if (rc && !(rc == E_CANCELLED && p->signals > 0)) {
		log_event(p->log, LOG_ERROR, "node", "%s", err_text(&err));
		p->status = rc == E_INVALID ? EXIT_USAGE : EXIT_FAILED;
	} else {
		log_event(p->log, LOG_INFO, "node", "stopped");
	}
}

static void main_fiber(void *arg)
{
	struct program *p = arg;
	struct err err = {0};
	scope_open(&p->scope, DURATION_FOREVER);
	int rc = world_uv_on_signal(p->world, SIGINT, on_signal, p, &err);
	if (rc == 0)
		rc = world_uv_on_signal(p->world, SIGTERM, on_signal, p, &err);
	if (rc == 0)
		run(p);
	else
		log_event(p->log, LOG_ERROR, "node", "%s", err_text(&err));
	scope_close(&p->scope);
}

static int64_t wall_clock(void *arg)
{
	return world_wall_ms(arg);
}

/* Many connections need many descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void run_world(struct program *p)
{
	struct err err = {0};
	if (world_uv_new(&p->world, &err) != 0) {
		fprintf(stderr, "gate start: %s\n", err_text(&err));
		p->status = EXIT_FAILED;
		return;
	}
	setvbuf(stderr, NULL, _IOLBF, LOG_BUFFER); /* a line is one write */
	p->log = log_new(p->config->node_id, p->config->log_level, p->config->log_format,
	    log_write_file, stderr, wall_clock, p->world);
	if (p->log && rt_start(p->world->rt, "node", p->log, main_fiber, p, &err) == 0)
		rt_run(p->world->rt);
	else
		p->status = EXIT_FAILED;
	world_uv_free(p->world);
	log_free(p->log);
}

int node_main(int argc, char **argv)
{
	struct program p = {.config = malloc(sizeof *p.config)};
	struct err err = {0};
	bool help;
	if (!p.config)
		return EXIT_FAILED;
	if (config_read(argc, argv, p.config, &help, &err) != 0) {
		fprintf(stderr, "gate start: %s\n", err_text(&err));
		p.status = EXIT_USAGE;
	} else if (help) {
		config_print_help(stdout);
	} else {
		raise_descriptor_limit();
		run_world(&p);
	}
	free(p.config);
	return (int)p.status;
}
