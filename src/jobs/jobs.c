/* From a request to an answer: rounds of deciding and asking. See jobs.h. */
#include "jobs/jobs_priv.h"

#include <stdlib.h>
#include <string.h>

#define STOP_WAIT_MS   5000
#define TRANSCRIPT_MAX (4u << 20)
#define WAIT_FIRST_MS  50
#define WAITS_MAX      8
#define LANES          2

/* One call of jobs_run, as long as it lasts. */
struct running {
	struct running *next, **prev;
	struct scope *scope;
};

struct jobs *jobs_new(const struct jobs_options *opt)
{
	struct jobs *j = calloc(1, sizeof *j);
	if (!j)
		return NULL;
	j->opt = *opt;
	world_random(opt->world, j->key, sizeof j->key);
	j->affinity = affinity_new();
	if (j->affinity)
		return j;
	free(j);
	return NULL;
}

void jobs_free(struct jobs *j)
{
	if (!j)
		return;
	INVARIANT(!j->first);
	affinity_free(j->affinity);
	free(j);
}

void jobs_stats(const struct jobs *j, struct jobs_stats *out)
{
	*out = j->stats;
}

const struct alias *jobs_aliases(const struct jobs *j, size_t *n)
{
	*n = j->opt.n_aliases;
	return j->opt.aliases;
}

/* ---- one round ------------------------------------------------------------------------------- */

/* A document is silent for as long as it takes to make it. */
static bool comes_at_once(const struct run *r, const struct catalog_entry *e)
{
	return !r->job->req->stream && strcmp(e->provider->ops->kind, "remote") == 0;
}

/* While others could answer, one gets half of the time that is left. */
static struct duration patience(
    const struct run *r, const struct decision *d, const struct catalog_entry *e)
{
	struct duration left = scope_remaining();
	struct duration stall = comes_at_once(r, e) ? DURATION_FOREVER : duration_ms(JOB_STALL_MS);
	if (d->eligible < 2 || left.ns / 2 > stall.ns)
		return stall;
	return duration_ns(left.ns / 2);
}

static struct lane lane_of(struct run *r, struct decision *d, size_t rank)
{
	struct catalog_entry *e = d->entries[d->order[rank]];
	return (struct lane){.run = r, .e = e, .patience = patience(r, d, e)};
}

static void lane_fiber(void *arg)
{
	attempt(arg);
}

/* Waits until a lane has won or all have ended, at most `limit`. */
static int wait_for_lanes(struct run *r, struct lane *lanes, size_t n, struct duration limit)
{
	struct instant due = instant_add(rt_now(), limit);
	for (;;) {
		bool all = true;
		for (size_t i = 0; i < n; i++)
			all = all && lanes[i].done;
		if (all || r->winner)
			return 0;
		struct duration left = instant_since(due, rt_now());
		int rc = waitq_wait_for(&r->progress, left, NULL);
		if (rc)
			return rc;
	}
}

static int start_lane(struct lane *l, struct err *err)
{
	scope_init(&l->life, NULL);
	return fiber_spawn(&l->life, "attempt", lane_fiber, l, err);
}

/* The best, and when it has not begun in time, the next best too: the first to begin wins, the
 * other is cancelled. Returns the lane whose result counts. */
static struct lane *race(struct run *r, struct decision *d, struct lane lanes[LANES])
{
	size_t n = 1;
	lanes[0].rc = start_lane(&lanes[0], &lanes[0].err);
	lanes[0].done = lanes[0].rc != 0;
	if (wait_for_lanes(r, lanes, 1, r->jobs->opt.hedge) == E_TIMEOUT &&
	    scope_check(NULL) == 0) {
		lanes[1] = lane_of(r, d, 1);
		lanes[1].rc = start_lane(&lanes[1], &lanes[1].err);
		lanes[1].done = lanes[1].rc != 0;
		r->job->attempts++;
		r->jobs->stats.hedged++;
		n = 2;
	}
	int rc = wait_for_lanes(r, lanes, n, DURATION_FOREVER);
	for (size_t i = 0; i < n && rc == 0 && r->winner; i++)
		if (&lanes[i] != r->winner)
			scope_cancel(&lanes[i].life);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = scope_join(&lanes[i].life);
	for (size_t i = n; i-- > 0;)
		scope_close(&lanes[i].life);
	return r->winner ? r->winner : &lanes[n - 1];
}

static void mark_failed(struct run *r, const struct lane *l)
{
	if (r->n_failed < sizeof r->failed / sizeof *r->failed)
		r->failed[r->n_failed++] = l->e->standing->id;
}

/* Asks the best; *err is why it failed. */
static int ask(struct run *r, struct decision *d, bool *again, struct err *err)
{
	struct lane lanes[LANES] = {lane_of(r, d, 0)};
	struct lane *l = lanes;
	r->winner = NULL;
	r->job->attempts++;
	if (r->jobs->opt.hedge.ns > 0 && d->eligible > 1 && !r->told)
		l = race(r, d, lanes);
	else
		attempt(l);
	for (size_t i = 0; i < LANES; i++)
		if (lanes[i].rc && (!r->winner || r->winner == &lanes[i]))
			mark_failed(r, &lanes[i]);
	if (l->rc)
		*err = l->err;
	err->code = l->rc;
	*again = l->rc != 0 && !l->refused_by_client && scope_check(NULL) == 0 &&
		 err_info(l->rc)->retry != RETRY_NEVER;
	if (*again)
		rt_log(LOG_WARN, "jobs", "%s: %s failed: %s", r->job->ctx.request_id,
		    l->e->node.label, err_text(err));
	return l->rc;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* Nobody can be asked now. Waits for a breaker that opens soon; else says why. */
static int wait_or_refuse(struct run *r, const struct decision *d, unsigned waits,
    const struct err *last, struct err *err)
{
	struct duration soon = instant_since(d->opens_at, rt_now());
	struct duration pause = backoff_wait(waits, duration_ms(WAIT_FIRST_MS),
	    duration_ms(JOB_WAIT_MS), (uint32_t)world_random_u64(r->jobs->opt.world));
	if (soon.ns > pause.ns)
		pause = soon;
	bool in_time = pause.ns < duration_ms(JOB_WAIT_MS).ns && pause.ns < scope_remaining().ns;
	if (d->opens_at.ns != INSTANT_NEVER.ns && in_time && waits < WAITS_MAX)
		return fiber_sleep(pause);
	int rc = decision_refusal(d, err);
	if (last->code) {
		*err = *last;
		rc = last->code;
	} else if (rc == E_BUSY || rc == E_UNAVAILABLE) {
		err->retry_ms = soon.ns < duration_s(60).ns ? (unsigned)duration_to_ms(soon) : 0;
	}
	return rc;
}

/* The answer broke off after the client had some of it: another node with the same file can go on
 * when what the client has is all there is. */
static bool can_continue(struct run *r, const struct err *why)
{
	if (!r->transcript.whole || !r->hash[0] || r->job->req->choices > 1 ||
	    r->job->continuations >= JOB_CONTINUATIONS_MAX)
		return false;
	r->job->continuations++;
	r->jobs->stats.continued++;
	snprintf(r->notice, sizeof r->notice, "continued on another node: %s", err_text(why));
	return true;
}

static void explain(struct run *r, const struct decision *d)
{
	struct buf *out = r->job->decisions;
	if (!out)
		return;
	buf_str(out, out->n ? "," : "");
	r->job->latest = out->n;
	decision_explain(d, out);
}

/* Of a virtual model, the next that would do; not once an answer has begun. */
static bool next_wish(struct run *r)
{
	if (r->told || r->at + 1 >= r->n_names)
		return false;
	r->at++;
	return true;
}

static int run_rounds(struct run *r, struct err *err)
{
	struct err last = {0};
	unsigned waits = 0;
	for (;;) {
		struct decision *d;
		bool again = false;
		int rc = decide(r, &d, err);
		if (rc == E_MODEL_NOT_FOUND && next_wish(r))
			continue;
		if (rc) {
			if (last.code) /* they all left meanwhile */
				*err = last;
			return last.code ? last.code : rc;
		}
		if (d->eligible > 0 || waits == 0)
			explain(r, d);
		if (d->eligible == 0 && next_wish(r)) {
			again = true;
		} else if (d->eligible == 0) {
			rc = wait_or_refuse(r, d, waits++, &last, err);
			again = rc == 0;
		} else {
			rc = ask(r, d, &again, &last);
			*err = last;
			again =
			    again && r->job->attempts < JOB_ATTEMPTS_MAX + r->job->continuations;
			again = again && (!r->told || can_continue(r, &last));
			r->jobs->stats.retried += again;
		}
		decision_free(d);
		if (!again)
			return rc;
	}
}

/* ---- the whole ------------------------------------------------------------------------------- */

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

static void tally(struct jobs *j, const struct job *job, int rc)
{
	if (rc == 0)
		j->stats.completed++;
	else if (rc == E_CANCELLED)
		j->stats.cancelled++;
	else
		j->stats.failed++;
	if (job->usage.prompt_tok > 0)
		j->stats.tokens_in += job->usage.prompt_tok;
	if (job->usage.completion_tok > 0)
		j->stats.tokens_out += job->usage.completion_tok;
}

static void resolve(struct run *r)
{
	const struct jobs_options *opt = &r->jobs->opt;
	const struct alias *a = alias_find(opt->aliases, opt->n_aliases, r->job->req->model);
	r->names[0] = r->job->req->model;
	r->n_names = 1;
	for (size_t i = 0; a && i < a->n_targets; i++)
		r->names[i] = a->targets[i];
	if (a)
		r->n_names = a->n_targets;
}

static void run_begin(
    struct run *r, struct jobs *j, struct job *job, inference_emit_fn emit, void *arg)
{
	*r = (struct run){
	    .jobs = j,
	    .job = job,
	    .emit = emit,
	    .arg = arg,
	    .transcript = {.text = BUF_INIT(TRANSCRIPT_MAX),
		.tokens = BUF_INIT(TRANSCRIPT_MAX),
		.whole = true,
		.has_tokens = true},
	};
	resolve(r);
	conversation_read(&r->conversation, j->key, job->req);
	job->started = job->first = job->last = INSTANT_NEVER;
	job->usage = INFERENCE_USAGE_UNKNOWN;
}

static void run_end(struct run *r)
{
	r->job->last = rt_now();
	buf_free(&r->transcript.text);
	buf_free(&r->transcript.tokens);
}

int jobs_run(struct jobs *j, struct job *job, inference_emit_fn emit, void *arg, struct err *err)
{
	if (j->stopping)
		return err_set(err, E_UNAVAILABLE, "the node is shutting down");
	if (job->ctx.hops > HOPS_MAX)
		return err_set(err, E_LOOP, "passed %u nodes already", job->ctx.hops);
	struct err why = {0};
	struct run r;
	struct running here;
	struct scope sc;
	run_begin(&r, j, job, emit, arg);
	scope_open(&sc, DURATION_FOREVER);
	enter(j, &here, &sc);
	int rc = run_rounds(&r, &why);
	leave(j, &here);
	scope_close(&sc);
	run_end(&r);
	if (rc == E_CANCELLED && j->stopping)
		rc = err_set(&why, E_UNAVAILABLE, "the node is shutting down");
	tally(j, job, rc);
	why.code = rc;
	return rc ? err_copy(err, &why) : 0;
}

int jobs_explain(struct jobs *j, const struct job *job, struct buf *out, struct err *err)
{
	struct run r;
	struct job copy = *job;
	struct decision *d;
	run_begin(&r, j, &copy, NULL, NULL);
	int rc;
	do
		rc = decide(&r, &d, err);
	while (rc == E_MODEL_NOT_FOUND && next_wish(&r));
	if (rc == 0) {
		decision_explain(d, out);
		decision_free(d);
		rc = buf_ok(out, err);
	}
	run_end(&r);
	return rc;
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
