/* Deciding: from the catalog to facts, from facts to an order. */
#include "jobs/jobs_priv.h"

#include <stdlib.h>
#include <string.h>

#define DRAWN       3 /* of many candidates */
#define NAMES_MAX   64
#define TRUST_FULL  1000
#define TRUST_LOW   500
#define REFUSAL_MAX 200

/* ---- standings ------------------------------------------------------------------------------- */

struct catalog_standing *standing_of(struct jobs *j, struct catalog_entry *e)
{
	if (!e->standing && (e->standing = calloc(1, sizeof *e->standing))) {
		while (e->standing->id == 0)
			e->standing->id = world_random_u64(j->opt.world);
		e->standing->places.free = (int)e->node.slots;
	}
	return e->standing;
}

const char *jobs_breaker(const struct catalog_entry *e)
{
	return breaker_state_name(
	    e->standing ? breaker_state(&e->standing->breaker, rt_now()) : BREAKER_CLOSED);
}

/* ---- candidates ------------------------------------------------------------------------------ */

struct gathering {
	struct run *run;
	struct decision *d;
	bool forced, own_only;
	bool nodes_only; /* a request that names no model is for nodes' own, where there are any */
	struct peer_id target;
};

static void take(struct decision *d, struct catalog_entry *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < d->n; i++)
		if (d->entries[i] == e) {
			catalog_release(e);
			return;
		}
	d->entries[d->n++] = e;
}

/* SPEC Lamping, Veach: "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014). When a node
 * comes, one in n conversations moves, and no others. */
static size_t consistent(uint64_t key, size_t n)
{
	int64_t b = -1, j = 0;
	while (j < (int64_t)n) {
		b = j;
		key = key * 2862933555777941757u + 1;
		j = (int64_t)((double)(b + 1) *
			      ((double)(INT64_C(1) << 31) / (double)((key >> 33) + 1)));
	}
	return (size_t)b;
}

/* The power of two choices, twice the same two for all turns of one conversation, so that it comes
 * back to who holds its beginning; and one at random, for conversations that begin alike. */
static void draw(struct gathering *g, const char *model)
{
	struct jobs *j = g->run->jobs;
	size_t known = g->d->known;
	uint64_t seed = g->run->conversation.start + g->run->n_failed;
	uint64_t drawn[DRAWN] = {consistent(seed, known), consistent(~seed, known),
	    world_random_u64(j->opt.world) % known};
	for (size_t i = 0; i < DRAWN; i++)
		take(g->d, catalog_at(j->opt.catalog, model, (size_t)drawn[i]));
	struct catalog_entry *own[DRAWN];
	size_t n = catalog_find(j->opt.catalog, model, true, own, DRAWN);
	for (size_t i = 0; i < n; i++)
		take(g->d, own[i]);
}

static void find_target(struct gathering *g, const char *model)
{
	for (size_t i = 0; i < g->d->known && g->d->n < g->d->cap; i++) {
		struct catalog_entry *e = catalog_at(g->run->jobs->opt.catalog, model, i);
		if (peer_id_equal(&e->node.id, &g->target))
			g->d->entries[g->d->n++] = e;
		else
			catalog_release(e);
	}
}

/* A server at an address, not a node's engine: it may cost, and what it is good for nobody knows.
 */
static bool is_server(const struct catalog_entry *e)
{
	return strcmp(e->provider->ops->kind, "remote") == 0;
}

static void gather(struct gathering *g)
{
	struct catalog *catalog = g->run->jobs->opt.catalog;
	const char *model = run_model(g->run);
	struct decision *d = g->d;
	if (d->known > DECIDE_ALL_MAX && g->forced)
		find_target(g, model);
	else if (d->known > DECIDE_ALL_MAX && !g->own_only)
		draw(g, model);
	else
		d->n = catalog_find(catalog, model, g->own_only, d->entries, d->cap);
	for (size_t i = 0; i < d->n && !model[0]; i++)
		g->nodes_only = g->nodes_only || !is_server(d->entries[i]);
}

/* ---- facts ----------------------------------------------------------------------------------- */

const struct model_entry *entry_model(const struct catalog_entry *e, const char *model)
{
	size_t n;
	const struct model_entry *models = provider_models(e->provider, &n);
	for (size_t i = 0; i < n; i++)
		if (!model[0] || strcmp(models[i].id, model) == 0)
			return &models[i];
	return NULL;
}

static bool has_failed(const struct run *r, uint64_t id)
{
	for (size_t i = 0; i < r->n_failed; i++)
		if (r->failed[i] == id)
			return true;
	return false;
}

static void wait_until(struct decision *d, struct instant when)
{
	d->opens_at = instant_min(d->opens_at, when);
}

static bool line_is_full(const struct jobs *j, const struct catalog_entry *e)
{
	return e->node.slots > 0 && e->standing->places.free <= 0 &&
	       e->standing->queued >= j->opt.max_queue;
}

/* Whether the answer that has begun can go on there. */
static bool other_file(const struct run *r, const struct model_entry *m)
{
	return r->told && (!m || !m->hash[0] || strcmp(m->hash, r->hash) != 0);
}

static enum schedule_exclusion exclusion(
    struct gathering *g, const struct catalog_entry *e, const struct model_entry *m)
{
	const struct catalog_standing *s = e->standing;
	struct provider_status status;
	provider_status(e->provider, &status);
	if (g->forced && !peer_id_equal(&e->node.id, &g->target))
		return SCHEDULE_NOT_TARGET;
	if (g->nodes_only && is_server(e))
		return SCHEDULE_UNNAMED;
	if (e->node.unshared && g->run->job->ctx.hops > 0)
		return SCHEDULE_FORBIDDEN;
	if (has_failed(g->run, s->id))
		return SCHEDULE_FAILED;
	if (other_file(g->run, m))
		return SCHEDULE_OTHER_FILE;
	if (status.health == PROVIDER_UNHEALTHY)
		return SCHEDULE_UNHEALTHY;
	if (line_is_full(g->run->jobs, e))
		return SCHEDULE_FULL;
	if (instant_before(rt_now(), s->busy_until)) {
		wait_until(g->d, s->busy_until);
		return SCHEDULE_FULL;
	}
	if (!breaker_allows(&s->breaker, rt_now())) {
		wait_until(g->d, breaker_opens_at(&s->breaker, rt_now()));
		return SCHEDULE_BROKEN;
	}
	return SCHEDULE_ELIGIBLE;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void state_facts(struct gathering *g, struct catalog_entry *e, struct schedule_facts *f)
{
	const struct model_entry *m = entry_model(e, run_model(g->run));
	const struct catalog_standing *s = e->standing;
	const struct catalog_node *node = &e->node;
	struct provider_status status;
	provider_status(e->provider, &status);
	*f = (struct schedule_facts){
	    .excluded = exclusion(g, e, m),
	    .local = node->local,
	    .ready = m && m->ready && status.health != PROVIDER_STARTING,
	    .degraded = status.health == PROVIDER_DEGRADED,
	    /* What it told is old by a heartbeat; what we gave it, we know. */
	    .running = larger(node->running, s->running),
	    .queued = larger(node->queued, s->queued),
	    .slots = node->slots,
	    .rtt_us = node->rtt.ns / 1000,
	    .answer_us = s->speed.answer_us,
	    .prefill_ns = s->speed.prefill_ns,
	    .decode_ns = s->speed.decode_ns,
	    .price_in_msat = node->price_in_msat,
	    .price_out_msat = node->price_out_msat,
	    .failed_permille = s->speed.failed_permille,
	    .trust_permille = node->distrusted ? TRUST_LOW : TRUST_FULL,
	    .tie = node->id.n >= 8 ? get_u64be(node->id.bytes + node->id.n - 8) : 0,
	};
}

/* Who gave the latest answer in this conversation has all of it up to there. */
static void recall(struct run *r, struct decision *d)
{
	const struct conversation *c = &r->conversation;
	uint64_t provider = 0;
	int64_t tok = 0;
	for (size_t i = c->n; i > 0 && !provider; i--)
		if (!affinity_get(r->jobs->affinity, c->prints[i - 1], &provider, &tok))
			provider = 0;
	for (size_t i = 0; provider && i < d->n; i++)
		if (d->entries[i]->standing->id == provider)
			d->facts[i].cached_tok = tok;
}

/* ---- the decision ---------------------------------------------------------------------------- */

static int target_id(struct jobs *j, const char *name, struct peer_id *out, struct err *err)
{
	if (strcmp(name, j->opt.label) == 0) {
		*out = j->opt.self;
		return 0;
	}
	int rc = catalog_node(j->opt.catalog, name, out, err);
	int why = rc == E_NOT_FOUND && j->opt.absent ? j->opt.absent(j->opt.arg, name, err) : 0;
	return why ? why : rc;
}

/* The named node is in no list of providers with this model. */
static int target_cannot(const struct run *r, struct err *err)
{
	const struct jobs *j = r->jobs;
	const char *target = r->job->target_node, *model = run_model(r);
	int why = j->opt.absent ? j->opt.absent(j->opt.arg, target, err) : 0;
	if (why)
		return why;
	if (!model[0])
		return err_set(err, E_MODEL_NOT_FOUND, "node %s serves no model", target);
	return err_set(err, E_MODEL_NOT_FOUND, "node %s has no model \"%s\"", target, model);
}

static int nobody_has(struct run *r, bool forced, struct err *err)
{
	const char *model = run_model(r);
	if (forced)
		return target_cannot(r, err);
	if (!model[0])
		return err_set(err, E_MODEL_NOT_FOUND, "no node of the cluster serves a model");
	struct model_entry *models = calloc(NAMES_MAX, sizeof *models);
	size_t n = models ? catalog_models(r->jobs->opt.catalog, models, NAMES_MAX) : 0;
	struct buf list = BUF_INIT(ERR_TEXT_MAX / 2);
	for (size_t i = 0; i < n; i++) {
		bool seen = false;
		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(models[k].id, models[i].id) == 0;
		if (!seen)
			buf_printf(&list, "%s%s", list.n ? ", " : "", models[i].id);
	}
	int rc = err_set(err, E_MODEL_NOT_FOUND, "no node has the model \"%s\"; there is: %s",
	    model, list.n ? buf_cstr(&list) : "none");
	buf_free(&list);
	free(models);
	return rc;
}

static int judge(struct gathering *g, struct err *err)
{
	struct decision *d = g->d;
	for (size_t i = 0; i < d->n; i++) {
		if (!standing_of(g->run->jobs, d->entries[i]))
			return err_set(err, E_MEMORY, "no memory for a decision");
		state_facts(g, d->entries[i], &d->facts[i]);
	}
	recall(g->run, d);
	d->eligible = schedule_rank(&d->ask, d->facts, d->n, d->verdicts, d->order);
	return 0;
}

static bool target_absent(const struct gathering *g)
{
	for (size_t i = 0; i < g->d->n; i++)
		if (peer_id_equal(&g->d->entries[i]->node.id, &g->target))
			return false;
	return g->forced;
}

static struct decision *decision_new(size_t known)
{
	size_t cap = known < DECIDE_ALL_MAX ? known : DECIDE_ALL_MAX;
	struct decision *d;
	d = calloc(1, sizeof *d + cap * (sizeof *d->facts + sizeof *d->verdicts +
					    sizeof *d->entries + sizeof *d->order));
	if (!d)
		return NULL;
	d->known = known;
	d->cap = cap;
	d->facts = (struct schedule_facts *)(d + 1);
	d->verdicts = (struct schedule_verdict *)(d->facts + cap);
	d->entries = (struct catalog_entry **)(d->verdicts + cap);
	d->order = (size_t *)(d->entries + cap);
	d->opens_at = INSTANT_NEVER;
	return d;
}

int decide(struct run *r, struct decision **out, struct err *err)
{
	struct job *job = r->job;
	struct gathering g = {.run = r, .forced = job->target_node && job->target_node[0]};
	g.own_only = !g.forced && job->ctx.hops > 0;
	int rc = g.forced ? target_id(r->jobs, job->target_node, &g.target, err) : 0;
	if (rc)
		return rc;
	g.d = decision_new(catalog_count(r->jobs->opt.catalog, run_model(r)));
	if (!g.d)
		return err_set(err, E_MEMORY, "no memory for a decision");
	g.d->ask = (struct schedule_ask){
	    .strategy = job->has_strategy ? job->strategy : r->jobs->opt.strategy,
	    .prompt_tok = r->conversation.prompt_tok,
	    .answer_tok = job->req->max_tokens > 0 && job->req->max_tokens < SCHEDULE_ANSWER_TOK
			      ? job->req->max_tokens
			      : SCHEDULE_ANSWER_TOK,
	};
	gather(&g);
	rc = g.d->n == 0 || target_absent(&g) ? nobody_has(r, g.forced, err) : judge(&g, err);
	if (rc)
		decision_free(g.d);
	else
		*out = g.d;
	return rc;
}

void decision_free(struct decision *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		catalog_release(d->entries[i]);
	free(d);
}

/* The state of the first that the request was meant for: of several, one reason is enough. */
int decision_refusal(const struct decision *d, struct err *err)
{
	for (size_t i = 0; i < d->n; i++) {
		struct provider_status status;
		enum schedule_exclusion why = d->verdicts[i].excluded;
		const char *label = d->entries[i]->node.label;
		if (why == SCHEDULE_NOT_TARGET)
			continue;
		if (why == SCHEDULE_FULL)
			return err_set(err, E_BUSY, "%s: %u requests are waiting already", label,
			    d->facts[i].queued);
		if (why == SCHEDULE_NOT_LOCAL)
			continue;
		provider_status(d->entries[i]->provider, &status);
		return err_set(err, E_UNAVAILABLE, "%s: %s", label,
		    why == SCHEDULE_UNHEALTHY && status.reason[0] ? status.reason
								  : schedule_exclusion_text(why));
	}
	return err_set(err, E_MODEL_NOT_FOUND, "this node has no such model of its own");
}
