/* One attempt: a provider is asked, watched for silence, its events are passed on, and what it
 * teaches about the provider is remembered. */
#include "jobs/jobs_priv.h"
#include "jobs/records.h"

#include <string.h>

#define BUSY_FIRST_MS 500
#define BUSY_MAX_MS   30000
#define PATIENT_MS    10000 /* who waited so long for nothing has seen a failure, whoever gave up */

/* ---- silence --------------------------------------------------------------------------------- */

/* When it may have been silent for too long: events only take note of when they came. */
static struct duration until_stall(const struct lane *l)
{
	bool begun = l->run->winner == l;
	struct duration may = begun ? duration_ms(JOB_STALL_MS) : l->patience;
	return instant_since(instant_add(l->last_event, may), rt_now());
}

static void watch_stall(void *arg)
{
	struct lane *l = arg;
	struct duration left = until_stall(l);
	if (left.ns > 0 && timer_set(&l->stall, left, watch_stall, l, NULL) == 0)
		return;
	l->stalled = true;
	scope_cancel(&l->scope);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void describe(struct lane *l)
{
	struct job *job = l->run->job;
	const struct model_entry *m = entry_model(l->e, run_model(l->run));
	job->served_by = l->e->node.id;
	memcpy(job->served_by_label, l->e->node.label, sizeof job->served_by_label);
	snprintf(job->model, sizeof job->model, "%s", m ? m->id : run_model(l->run));
	memcpy(l->run->hash, m ? m->hash : "", m ? sizeof m->hash : 1);
	job->started = l->began;
}

/* The first piece of an answer decides the race, tells what its head needs, and begins the answer.
 * That a provider has begun is not told before: until then another may have to begin. */
static int win(struct lane *l, struct err *err)
{
	struct run *r = l->run;
	int rc = 0;
	if (r->winner)
		return r->winner == l ? 0 : err_set(err, E_CANCELLED, "another was faster");
	r->winner = l;
	waitq_wake_all(&r->progress);
	/* From now on it is the pauses that count. Without memory for it the deadline ends them. */
	timer_stop(&l->stall);
	(void)!timer_set(&l->stall, until_stall(l), watch_stall, l, NULL);
	describe(l);
	if (!r->told) {
		r->told = true;
		r->job->first = rt_now();
		rc = r->emit(r->arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	}
	if (rc == 0 && r->notice[0]) {
		struct inference_event e = {.kind = INFERENCE_NOTICE, .text = bytes_str(r->notice)};
		rc = r->emit(r->arg, &e, err);
		r->notice[0] = '\0';
	}
	return rc;
}

static void note_text(struct transcript *t, const struct inference_event *e)
{
	buf_bytes(&t->text, e->text);
	buf_put(&t->tokens, e->tokens, e->n_tokens * sizeof *e->tokens);
	t->has_tokens = t->has_tokens && e->n_tokens > 0;
	t->whole = t->whole && !t->text.failed && !t->tokens.failed;
}

static void note(struct run *r, const struct inference_event *e)
{
	switch (e->kind) {
	case INFERENCE_TEXT:
		note_text(&r->transcript, e);
		break;
	case INFERENCE_REASONING:
	case INFERENCE_TOOL_CALL:
	case INFERENCE_CHOICE_END:
		r->transcript.whole = false;
		break;
	case INFERENCE_FINISHED:
		r->job->usage = e->usage;
		break;
	case INFERENCE_STARTED:
	case INFERENCE_NOTICE:
		break;
	}
}

static int take_event(void *arg, const struct inference_event *e, struct err *err)
{
	struct lane *l = arg;
	l->last_event = rt_now();
	l->heard = true;
	if (e->kind == INFERENCE_STARTED)
		return 0;
	int rc = win(l, err);
	if (rc == 0) {
		record_event(l->run->job->record);
		note(l->run, e);
		rc = l->run->emit(l->run->arg, e, err);
	}
	l->refused_by_client = rc != 0;
	return rc;
}

/* ---- what is learnt -------------------------------------------------------------------------- */

static void learn_success(struct lane *l)
{
	struct run *r = l->run;
	struct catalog_standing *s = l->e->standing;
	const struct inference_usage *u = &r->job->usage;
	struct speed_sample sample = {
	    .first = instant_since(r->job->first, l->began),
	    .whole = instant_since(rt_now(), l->began),
	    .prompt_tok = u->prompt_tok - (u->cached_tok > 0 ? u->cached_tok : 0),
	    .answer_tok = u->completion_tok,
	};
	s->busy = 0;
	breaker_success(&s->breaker);
	if (r->job->continuations == 0)
		speed_answered(&s->speed, &sample);
	affinity_put(r->jobs->affinity, r->conversation.whole, s->id,
	    u->prompt_tok > 0 ? u->prompt_tok : r->conversation.prompt_tok);
}

static void learn_busy(struct lane *l)
{
	struct catalog_standing *s = l->e->standing;
	struct duration wait = backoff_wait(s->busy++, duration_ms(BUSY_FIRST_MS),
	    duration_ms(BUSY_MAX_MS), (uint32_t)world_random_u64(l->run->jobs->opt.world));
	if (l->err.retry_ms > 0 && l->err.retry_ms < BUSY_MAX_MS)
		wait = duration_ms(l->err.retry_ms);
	breaker_nothing(&s->breaker);
	s->busy_until = instant_add(rt_now(), wait);
}

/* Whether the provider is at fault, not the request, the client or the clock. */
static bool is_its_fault(const struct lane *l)
{
	if (l->refused_by_client || (l->run->winner && l->run->winner != l))
		return false;
	if (l->rc == E_CANCELLED || (l->rc == E_TIMEOUT && !l->stalled))
		return !l->heard && l->rc == E_TIMEOUT &&
		       instant_since(rt_now(), l->began).ns >= duration_ms(PATIENT_MS).ns;
	const struct err_info *info = err_info(l->rc);
	return info->blame != ERR_SELF && info->retry != RETRY_NEVER;
}

static void learn(struct lane *l)
{
	struct catalog_standing *s = l->e->standing;
	if (l->rc == 0) {
		learn_success(l);
	} else if (l->rc == E_BUSY) {
		learn_busy(l);
	} else if (is_its_fault(l)) {
		speed_failed(&s->speed);
		breaker_failure(
		    &s->breaker, rt_now(), (uint32_t)world_random_u64(l->run->jobs->opt.world));
	} else {
		breaker_nothing(&s->breaker);
	}
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The request as it goes out: with the model chosen here, and what of the answer is there. */
static struct inference_request outgoing(const struct lane *l)
{
	const struct run *r = l->run;
	const struct model_entry *m = entry_model(l->e, run_model(r));
	struct inference_request req = *r->job->req;
	if (m)
		memcpy(req.model, m->id, sizeof req.model);
	if (m && m->hash[0] && req.choices <= 1)
		req.want_tokens = true;
	if (r->told) {
		const struct transcript *t = &r->transcript;
		req.continuation.text = buf_view(&t->text);
		if (t->has_tokens) {
			req.continuation.tokens = (int32_t *)(void *)t->tokens.p;
			req.continuation.n_tokens = t->tokens.n / sizeof(int32_t);
		}
	}
	return req;
}

/* Embeddings come all at once: the end of an answer, which wins the race. */
static int embed(struct lane *l, const struct inference_request *out)
{
	struct job *job = l->run->job;
	struct embedding_request req = *job->embed;
	struct embedding_result result;
	memcpy(req.model, out->model, sizeof req.model);
	int rc = provider_embed(l->e->provider, &req, &job->ctx, job->mem, &result, &l->err);
	if (rc == 0)
		rc = take_event(l,
		    &(struct inference_event){.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP},
		    &l->err);
	if (rc == 0) {
		struct inference_event e = {
		    .kind = INFERENCE_FINISHED, .usage = {result.prompt_tok, 0, -1, -1}};
		job->embedded = result;
		rc = take_event(l, &e, &l->err);
	}
	return rc;
}

static void infer(struct lane *l)
{
	struct inference_request req = outgoing(l);
	l->began = l->last_event = rt_now();
	scope_open(&l->scope, DURATION_FOREVER);
	l->rc = timer_set(&l->stall, until_stall(l), watch_stall, l, &l->err);
	if (l->rc == 0 && l->run->job->embed)
		l->rc = embed(l, &req);
	else if (l->rc == 0)
		l->rc =
		    provider_infer(l->e->provider, &req, &l->run->job->ctx, take_event, l, &l->err);
	timer_stop(&l->stall);
	scope_close(&l->scope);
	if (l->rc == E_CANCELLED && l->stalled) {
		struct duration silent = instant_since(rt_now(), l->last_event);
		l->rc = err_set(&l->err, E_TIMEOUT, "%s: silent for %lld s", l->e->node.label,
		    (long long)(duration_to_ms(silent) + 500) / 1000);
	}
}

static void load_changed(struct lane *l)
{
	struct jobs *j = l->run->jobs;
	if (l->e->node.slots == 0)
		return;
	l->e->node.running = l->e->standing->running;
	l->e->node.queued = l->e->standing->queued;
	j->opt.changed(j->opt.arg);
}

/* Adds to the counts of the provider, and to ours where we keep its line. */
static void count(struct lane *l, int running, int queued)
{
	struct jobs_stats *stats = &l->run->jobs->stats;
	struct catalog_standing *s = l->e->standing;
	s->running += (uint32_t)running;
	s->queued += (uint32_t)queued;
	if (l->e->node.slots > 0) {
		stats->running += (uint32_t)running;
		stats->queued += (uint32_t)queued;
	}
	load_changed(l);
}

/* Waits for a place where we keep the line. */
static int wait_in_line(struct lane *l)
{
	struct sem *places = &l->e->standing->places;
	if (l->e->node.slots == 0)
		return 0;
	if (places->free <= 0 && l->e->standing->queued >= l->run->jobs->opt.max_queue)
		return err_set(
		    &l->err, E_BUSY, "%u requests are waiting already", l->e->standing->queued);
	count(l, 0, 1);
	int rc = sem_acquire(places, &l->err);
	count(l, 0, -1);
	return rc;
}

static unsigned begin_record(struct lane *l)
{
	struct job *job = l->run->job;
	const struct model_entry *m = entry_model(l->e, job->req->model);
	return record_attempt(
	    job->record, l->e->node.label, l->e->provider->name, m ? m->id : job->req->model);
}

void attempt(struct lane *l)
{
	struct catalog_standing *s = l->e->standing;
	l->rc = wait_in_line(l);
	if (l->rc == 0) {
		breaker_begin(&s->breaker, rt_now());
		count(l, 1, 0);
		unsigned a = begin_record(l);
		infer(l);
		record_attempt_end(l->run->job->record, a, l->rc, err_text(&l->err));
		count(l, -1, 0);
		learn(l);
		if (l->e->node.slots > 0)
			sem_release(&s->places);
	}
	l->done = true;
	waitq_wake_all(&l->run->progress);
}
