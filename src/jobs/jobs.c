/* From a request to an answer: see jobs.h. */
#include "jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 64
#define STOP_WAIT_MS   5000

/* One call of jobs_run, as long as it lasts. */
struct running {
	struct running *next, **prev;
	struct scope *scope;
};

struct jobs {
	struct jobs_options opt;
	struct sem slots; /* of the local engine */
	struct running *first;
	struct waitq idle;
	bool stopping;
	struct jobs_stats stats;
};

struct jobs *jobs_new(const struct jobs_options *opt)
{
	struct jobs *j = calloc(1, sizeof *j);
	if (!j)
		return NULL;
	j->opt = *opt;
	j->slots.free = (int)(opt->parallel ? opt->parallel : 1);
	return j;
}

void jobs_free(struct jobs *j)
{
	if (!j)
		return;
	INVARIANT(!j->first);
	free(j);
}

void jobs_stats(const struct jobs *j, struct jobs_stats *out)
{
	*out = j->stats;
}

/* ---- choosing ------------------------------------------------------------------------------ */

struct candidates {
	struct catalog_entry *entries[CANDIDATES_MAX];
	size_t n;
};

/* Negative when a is the better one. */
static int compare(const struct catalog_entry *a, const struct catalog_entry *b)
{
	if (a->node.local != b->node.local)
		return a->node.local ? -1 : 1;
	uint32_t work_a = a->node.running + a->node.queued;
	uint32_t work_b = b->node.running + b->node.queued;
	if (work_a != work_b)
		return work_a < work_b ? -1 : 1;
	if (a->node.rtt.ns != b->node.rtt.ns)
		return a->node.rtt.ns < b->node.rtt.ns ? -1 : 1;
	return peer_id_compare(&a->node.id, &b->node.id);
}

static int by_preference(const void *a, const void *b)
{
	return compare(*(struct catalog_entry *const *)a, *(struct catalog_entry *const *)b);
}

static void release(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		catalog_release(c->entries[i]);
	c->n = 0;
}

static void keep_only(struct candidates *c, const struct peer_id *node)
{
	size_t kept = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (peer_id_equal(&c->entries[i]->node.id, node))
			c->entries[kept++] = c->entries[i];
		else
			catalog_release(c->entries[i]);
	}
	c->n = kept;
}

static int target_id(struct jobs *j, const char *name, struct peer_id *out, struct err *err)
{
	if (strcmp(name, j->opt.label) == 0) {
		*out = j->opt.self;
		return 0;
	}
	return catalog_node(j->opt.catalog, name, out, err);
}

static int nobody_has(struct jobs *j, const struct job *job, struct err *err)
{
	struct model_entry *models = calloc(CANDIDATES_MAX, sizeof *models);
	size_t n = models ? catalog_models(j->opt.catalog, models, CANDIDATES_MAX) : 0;
	struct buf list = BUF_INIT(ERR_TEXT_MAX / 2);
	for (size_t i = 0; i < n; i++) {
		bool seen = false;
		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(models[k].id, models[i].id) == 0;
		if (!seen)
			buf_printf(&list, "%s%s", list.n ? ", " : "", models[i].id);
	}
	int rc = job->req->model[0]
		     ? err_set(err, E_MODEL_NOT_FOUND, "no node has the model \"%s\"; there is: %s",
			   job->req->model, list.n ? buf_cstr(&list) : "none")
		     : err_set(err, E_MODEL_NOT_FOUND, "no node of the cluster serves a model");
	buf_free(&list);
	free(models);
	return rc;
}

static int find_candidates(struct jobs *j, struct job *job, struct candidates *c, struct err *err)
{
	struct peer_id target;
	bool forced = job->target_node && job->target_node[0];
	if (forced) {
		int rc = target_id(j, job->target_node, &target, err);
		if (rc)
			return rc;
	}
	bool self_only = !forced && job->ctx.hops > 0;
	c->n = catalog_find(j->opt.catalog, job->req->model, self_only, c->entries, CANDIDATES_MAX);
	if (forced)
		keep_only(c, &target);
	if (c->n == 0 && forced && !job->req->model[0])
		return err_set(err, E_MODEL_NOT_FOUND, "node %s serves no model", job->target_node);
	if (c->n == 0 && forced)
		return err_set(err, E_MODEL_NOT_FOUND, "node %s has no model \"%s\"",
		    job->target_node, job->req->model);
	if (c->n == 0)
		return nobody_has(j, job, err);
	qsort(c->entries, c->n, sizeof(struct catalog_entry *), by_preference);
	return 0;
}

/* ---- one attempt --------------------------------------------------------------------------- */

struct attempt {
	struct jobs *jobs;
	struct job *job;
	inference_emit_fn emit;
	void *arg;
	struct scope scope;
	struct instant last_event;
	bool told; /* something of the answer went out: nothing is retried after it */
	bool stalled;
};

/* That a provider has begun is told with the first piece of its answer only: until then another may
 * have to begin, and the answer's head names who it was. */
static int take_event(void *arg, const struct inference_event *e, struct err *err)
{
	struct attempt *a = arg;
	a->last_event = rt_now();
	if (e->kind == INFERENCE_STARTED)
		return 0;
	if (!a->told) {
		a->told = true;
		int rc = a->emit(a->arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
		if (rc)
			return rc;
	}
	if (e->kind == INFERENCE_FINISHED) {
		a->jobs->stats.tokens_in += e->usage.prompt_tok > 0 ? e->usage.prompt_tok : 0;
		a->jobs->stats.tokens_out +=
		    e->usage.completion_tok > 0 ? e->usage.completion_tok : 0;
	}
	return a->emit(a->arg, e, err);
}

static void watch_stall(void *arg)
{
	struct attempt *a = arg;
	for (;;) {
		struct instant due = instant_add(a->last_event, duration_ms(JOB_STALL_MS));
		struct duration left = instant_since(due, rt_now());
		if (left.ns == 0)
			break;
		if (fiber_sleep(left) != 0)
			return;
	}
	a->stalled = true;
	scope_cancel(&a->scope);
}

static void describe(struct job *job, const struct catalog_entry *e)
{
	job->served_by = e->node.id;
	memcpy(job->served_by_label, e->node.label, sizeof job->served_by_label);
	memcpy(job->model, job->req->model, sizeof job->model);
	size_t n;
	const struct model_entry *models = provider_models(e->provider, &n);
	if (!job->model[0] && n > 0)
		memcpy(job->model, models[0].id, sizeof job->model);
}

static int infer(struct attempt *a, struct catalog_entry *e, struct err *err)
{
	/* A request that leaves the model open goes out with the one chosen here. */
	struct inference_request req = *a->job->req;
	memcpy(req.model, a->job->model, sizeof req.model);
	a->last_event = rt_now();
	scope_open(&a->scope, DURATION_FOREVER);
	int rc = fiber_spawn(NULL, "stall", watch_stall, a, err);
	if (rc == 0)
		rc = provider_infer(e->provider, &req, &a->job->ctx, take_event, a, err);
	scope_close(&a->scope);
	if (rc == E_CANCELLED && a->stalled)
		rc = err_set(
		    err, E_TIMEOUT, "%s: silent for %d s", e->node.label, JOB_STALL_MS / 1000);
	a->stalled = false;
	return rc;
}

static void load_changed(struct jobs *j, struct catalog_entry *e)
{
	e->node.running = j->stats.running;
	e->node.queued = j->stats.queued;
	j->opt.changed(j->opt.arg);
}

/* The local engine answers a few at a time; the others wait in line. */
static int infer_local(struct attempt *a, struct catalog_entry *e, struct err *err)
{
	struct jobs *j = a->jobs;
	if (j->slots.free == 0 && j->stats.queued >= j->opt.max_queue)
		return err_set(err, E_BUSY, "%u requests are waiting already", j->stats.queued);
	j->stats.queued++;
	load_changed(j, e);
	int rc = sem_acquire(&j->slots, err);
	j->stats.queued--;
	if (rc) {
		load_changed(j, e);
		return rc;
	}
	j->stats.running++;
	load_changed(j, e);
	rc = infer(a, e, err);
	j->stats.running--;
	sem_release(&j->slots);
	load_changed(j, e);
	return rc;
}

static int run_attempts(struct attempt *a, struct candidates *c, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; i < c->n && a->job->attempts < JOB_ATTEMPTS_MAX; i++) {
		struct catalog_entry *e = c->entries[i];
		a->job->attempts++;
		describe(a->job, e);
		err_clear(err);
		rc = e->node.local ? infer_local(a, e, err) : infer(a, e, err);
		if (rc == 0 || a->told || scope_check(NULL) != 0 ||
		    err_info(rc)->retry == RETRY_NEVER)
			return rc;
		a->jobs->stats.retried++;
		rt_log(LOG_WARN, "jobs", "%s: %s failed: %s%s", a->job->ctx.request_id,
		    e->node.label, err_text(err), i + 1 < c->n ? "; trying another node" : "");
	}
	return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void enter(struct jobs *j, struct running *r, struct scope *sc)
{
	r->scope = sc;
	r->next = j->first;
	r->prev = &j->first;
	if (r->next)
		r->next->prev = &r->next;
	j->first = r;
}

static void leave(struct jobs *j, struct running *r)
{
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	if (!j->first)
		waitq_wake_all(&j->idle);
}

int jobs_run(struct jobs *j, struct job *job, inference_emit_fn emit, void *arg, struct err *err)
{
	if (j->stopping)
		return err_set(err, E_UNAVAILABLE, "the node is shutting down");
	if (job->ctx.hops > HOPS_MAX)
		return err_set(err, E_LOOP, "passed %u nodes already", job->ctx.hops);
	struct candidates c = {.n = 0};
	int rc = find_candidates(j, job, &c, err);
	if (rc) {
		release(&c);
		return rc;
	}
	struct attempt a = {.jobs = j, .job = job, .emit = emit, .arg = arg};
	struct err why = {0};
	struct running r;
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	enter(j, &r, &sc);
	rc = run_attempts(&a, &c, &why);
	leave(j, &r);
	scope_close(&sc);
	release(&c);
	if (rc == E_CANCELLED && j->stopping)
		rc = err_set(&why, E_UNAVAILABLE, "the node is shutting down");
	if (rc)
		j->stats.failed++;
	else
		j->stats.completed++;
	why.code = rc;
	return rc ? err_copy(err, &why) : 0;
}

void jobs_stop(struct jobs *j, struct duration grace)
{
	j->stopping = true;
	struct scope sc;
	scope_open_shielded(&sc, grace);
	while (j->first && waitq_wait(&j->idle, NULL) == 0) {
	}
	scope_close(&sc);
	for (struct running *r = j->first; r; r = r->next)
		scope_cancel(r->scope);
	scope_open_shielded(&sc, duration_ms(STOP_WAIT_MS));
	while (j->first && waitq_wait(&j->idle, NULL) == 0) {
	}
	scope_close(&sc);
}
