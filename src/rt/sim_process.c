/* Processes of the simulated world: each is a fiber that runs a role behind a pipe. A killed one
 * unwinds by E_CANCELLED while nothing it does has an effect; its parent sees the pipe end.
 *
 * Must stay true: a process is freed when its fiber has ended and its handle is closed; its
 * connection is pinned as long as the fiber runs, so that it can be cut off though its role has
 * closed its end. */
#include "rt/sim_priv.h"

#include <stdlib.h>
#include <utlist.h>

#define STATUS_KILLED (256 + 9) /* world.h: 256 + signal */

static struct sim_process *process_of(struct process *p)
{
	return (struct sim_process *)p;
}

static void process_release(struct sim_process *p)
{
	if (p->running || p->held)
		return;
	for (char **a = p->argv; *a; a++)
		free(*a);
	free(p->argv);
	free(p);
}

/* ---- the child's side ---------------------------------------------------------------------- */

static struct stream *child_stream(struct sim_process *p)
{
	return &p->conn->end[1].tcp.stream;
}

static void child_role(void *arg)
{
	struct sim_process *p = arg;
	int status = p->role->fn(
	    &p->host->world, child_stream(p), (const char *const *)p->argv, p->role->arg);

	if (p->status < 0)
		p->status = status & 255;
}

static void child_main(void *arg)
{
	struct sim_process *p = arg;
	struct host *h = p->host;

	guest_run(h->u, &p->guest, child_role, p);
	INVARIANT(p->conn->end[1].closed); /* its role owned it */
	conn_unpin(p->conn);
	sim_note(h->u, "exit", h->id, (uint64_t)p->base.id, (uint64_t)p->status);
	DL_DELETE(h->processes, p);
	p->running = false;
	waitq_wake_all(&p->ended);
	process_release(p);
	host_root_ended(h);
}

static void process_vanish(struct sim_process *p)
{
	if (p->status >= 0)
		return;
	p->status = STATUS_KILLED;
	sim_note(p->host->u, "kill", p->host->id, (uint64_t)p->base.id, 0);
	end_vanish(&p->conn->end[1], VANISH_END);
	guest_cancel(&p->guest);
}

void processes_crash(struct host *h)
{
	struct sim_process *p;

	DL_FOREACH(h->processes, p)
	process_vanish(p);
}

/* ---- the parent's side --------------------------------------------------------------------- */

static struct stream *sim_process_stream(struct process *base)
{
	struct sim_process *p = process_of(base);

	INVARIANT(!p->stream_taken);
	p->stream_taken = true;
	return &p->conn->end[0].tcp.stream;
}

static int sim_process_wait(struct process *base, int *status, struct err *err)
{
	struct sim_process *p = process_of(base);
	int rc;

	while (p->running)
		if ((rc = waitq_wait(&p->ended, err)))
			return rc;
	*status = p->status;
	return 0;
}

static void sim_process_kill(struct process *base)
{
	struct sim_process *p = process_of(base);

	if (p->running)
		process_vanish(p);
}

static void sim_process_close(struct process *base)
{
	struct sim_process *p = process_of(base);

	sim_process_kill(base);
	if (!p->stream_taken)
		stream_close(sim_process_stream(base));
	p->held = false;
	process_release(p);
}

static const struct process_ops sim_process_ops = {
    .stream = sim_process_stream,
    .wait = sim_process_wait,
    .kill = sim_process_kill,
    .close = sim_process_close,
};

/* ---- starting ------------------------------------------------------------------------------ */

static const struct sim_role *role_find(struct host *h, const char *const *argv)
{
	const char *name = argv[0];
	const struct sim_role *r;

	if (name && argv[1] && strcmp(name, world_self_path(&h->world)) == 0)
		name = argv[1];
	LL_FOREACH(h->u->roles, r)
	if (name && strcmp(r->name, name) == 0)
		return r;
	return NULL;
}

static char **argv_copy(const char *const *argv)
{
	size_t n = 0;
	char **copy;

	while (argv[n])
		n++;
	copy = sim_alloc((n + 1) * sizeof(copy[0]));
	for (size_t i = 0; i < n; i++)
		copy[i] = sim_strdup(argv[i]);
	return copy;
}

int sim_process_start(
    struct world *w, const char *const *argv, struct process **out, struct err *err)
{
	struct host *h = host_of(w);
	const struct sim_role *role = role_find(h, argv);
	struct sim_process *p;
	int rc = host_check(h, err);

	if (rc != 0)
		return rc;
	if (!role)
		return err_set(err, E_NOT_FOUND, "%s: no such program", argv[0] ? argv[0] : "");
	p = sim_alloc(sizeof(*p));
	p->base = (struct process){.ops = &sim_process_ops, .id = h->u->next_pid++};
	p->host = h;
	p->role = role;
	p->argv = argv_copy(argv);
	p->status = -1;
	rc = rt_start(h->u->rt, role->name, scope_log(), child_main, p, err);
	if (rc != 0) {
		process_release(p);
		return rc;
	}
	p->running = p->held = true;
	p->conn = conn_pair(h, role->name);
	DL_APPEND(h->processes, p);
	DL_APPEND(h->u->guests, &p->guest);
	host_root_began(h);
	sim_note(h->u, "spawn", h->id, (uint64_t)p->base.id, 0);
	*out = &p->base;
	return 0;
}

/* ---- the universe's hand ------------------------------------------------------------------- */

void universe_role(struct universe *u, const char *role, universe_role_fn fn, void *arg)
{
	struct sim_role *r = sim_alloc(sizeof(*r));

	*r = (struct sim_role){.name = sim_strdup(role), .fn = fn, .arg = arg};
	LL_PREPEND(u->roles, r);
}

void universe_kill_role(struct universe *u, struct world *host, const char *role)
{
	struct sim_process *p;

	INVARIANT(host_of(host)->u == u);
	DL_FOREACH(host_of(host)->processes, p)
	if (strcmp(p->role->name, role) == 0)
		process_vanish(p);
}

void universe_stall_role(struct universe *u, struct world *host, const char *role, bool stalled)
{
	struct sim_process *p;

	INVARIANT(host_of(host)->u == u);
	DL_FOREACH(host_of(host)->processes, p)
	{
		if (strcmp(p->role->name, role) != 0)
			continue;
		sim_note(u, stalled ? "stall" : "resume", p->host->id, (uint64_t)p->base.id, 0);
		end_freeze(&p->conn->end[1], stalled);
	}
}
