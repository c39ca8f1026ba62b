/* When providers fail: breakers, hedging, patience, answers that go on elsewhere, and decisions
 * that can be computed again. */
#include "fake.h"

#include "dialect/json.h"
#include "jobs/jobs.h"

#define SELF 1

/* Says a to z, a token each, and dies after `dies_after` of them; goes on from what is there. */
struct copyist {
	struct provider base;
	struct model_entry model;
	size_t dies_after;
	int64_t first_ms, token_ms;
	bool tells_tokens;
	size_t continued_text, continued_tokens; /* of the last call */
	unsigned calls, cancelled;
};

static int say(struct copyist *c, size_t i, inference_emit_fn emit, void *arg, struct err *err)
{
	char letter = (char)('a' + i);
	int32_t token = (int32_t)i;
	struct inference_event e = {.kind = INFERENCE_TEXT, .text = bytes_of(&letter, 1)};
	int rc = fiber_sleep(duration_ms(c->token_ms));
	c->cancelled += rc == E_CANCELLED;
	if (rc)
		return err_set(err, rc, "cut short");
	if (c->tells_tokens) {
		e.tokens = &token;
		e.n_tokens = 1;
	}
	return emit(arg, &e, err);
}

static int copyist_infer(struct provider *p, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	struct copyist *c = (struct copyist *)p;
	c->calls++;
	c->continued_text = req->continuation.text.n;
	c->continued_tokens = req->continuation.n_tokens;
	int rc = fiber_sleep(duration_ms(c->first_ms));
	c->cancelled += rc == E_CANCELLED;
	if (rc)
		return err_set(err, rc, "cut short");
	for (size_t i = c->continued_text; i < 26; i++) {
		if (i == c->dies_after)
			return err_set(err, E_RESET, "killed");
		rc = say(c, i, emit, arg, err);
		if (rc)
			return rc;
	}
	struct inference_event end = {.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP};
	rc = emit(arg, &end, err);
	if (rc)
		return rc;
	struct inference_event e = {.kind = INFERENCE_FINISHED, .usage = {20, 26, -1, -1}};
	return emit(arg, &e, err);
}

static void copyist_status(struct provider *p, struct provider_status *out)
{
	*out = (struct provider_status){.health = PROVIDER_HEALTHY};
}

static const struct model_entry *copyist_models(struct provider *p, size_t *n)
{
	*n = 1;
	return &((struct copyist *)p)->model;
}

static void copyist_close(struct provider *p)
{
	(void)p;
}

static void copyist_init(struct copyist *c, const char *hash, size_t dies_after)
{
	static const struct provider_ops ops = {
	    "fake", copyist_infer, copyist_status, copyist_models, copyist_close};
	*c = (struct copyist){.base = {&ops, "copyist"},
	    .dies_after = dies_after,
	    .first_ms = 10,
	    .token_ms = 1,
	    .tells_tokens = true,
	    .model = {.id = "abc", .ready = true}};
	snprintf(c->model.hash, sizeof c->model.hash, "%s", hash);
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct rig {
	struct catalog *catalog;
	struct jobs *jobs;
};

static void nothing_changed(void *arg)
{
	(void)arg;
}

static void rig_make(struct rig *r, struct duration hedge)
{
	r->catalog = catalog_new();
	struct jobs_options opt = {.world = host_world,
	    .catalog = r->catalog,
	    .self = fake_peer(SELF),
	    .label = "self",
	    .max_queue = 10,
	    .hedge = hedge,
	    .changed = nothing_changed};
	r->jobs = jobs_new(&opt);
}

static void rig_drop(struct rig *r)
{
	jobs_free(r->jobs);
	catalog_free(r->catalog);
}

static struct catalog_entry *add(struct rig *r, struct copyist *c, unsigned node)
{
	struct catalog_node n = {.id = fake_peer(node)};
	struct catalog_entry *e;
	snprintf(n.label, sizeof n.label, "n%u", node);
	n.rtt = duration_ms(node); /* the smaller number is asked first */
	OK(catalog_add(r->catalog, &c->base, &n, &e, NULL));
	return e;
}

struct asked {
	struct job job;
	struct inference_request req;
	char text[64], notice[256];
	unsigned started, ended, finished;
	struct buf decisions;
	struct err err;
	int rc;
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct asked *a = arg;
	a->started += e->kind == INFERENCE_STARTED;
	a->ended += e->kind == INFERENCE_CHOICE_END;
	a->finished += e->kind == INFERENCE_FINISHED;
	assert_int_equal(a->started, 1);
	if (e->kind == INFERENCE_TEXT)
		strncat(a->text, (const char *)e->text.p, e->text.n);
	if (e->kind == INFERENCE_NOTICE)
		snprintf(
		    a->notice, sizeof a->notice, "%.*s", (int)e->text.n, (const char *)e->text.p);
	return 0;
}

static void ask(struct rig *r, struct asked *a, struct duration limit)
{
	struct scope sc;
	static struct inference_message hello = {.role = "user"};
	hello.content = bytes_str("say the alphabet");
	a->req = (struct inference_request){.model = "abc", .messages = &hello, .n_messages = 1};
	a->decisions = BUF_INIT(1u << 20);
	a->job = (struct job){
	    .req = &a->req, .ctx = {.request_id = "req_1"}, .decisions = &a->decisions};
	scope_open(&sc, limit);
	a->rc = jobs_run(r->jobs, &a->job, hear, a, &a->err);
	scope_close(&sc);
}

#define ALPHABET "abcdefghijklmnopqrstuvwxyz"

/* ---- going on elsewhere ---------------------------------------------------------------------- */

/* Wherever it dies, the client sees one whole answer. */
static void another_continues(void *arg)
{
	for (size_t k = 1; k < 26; k++) {
		struct rig r;
		struct copyist one, two, other;
		struct asked a = {0};
		rig_make(&r, duration_ms(0));
		copyist_init(&one, "aa", k);
		copyist_init(&other, "bb", SIZE_MAX);
		copyist_init(&two, "aa", SIZE_MAX);
		add(&r, &one, 2);
		add(&r, &other, 3); /* nearer, but another file */
		add(&r, &two, 4);
		ask(&r, &a, duration_s(60));
		OK(a.rc);
		assert_string_equal(a.text, ALPHABET);
		assert_int_equal(a.ended, 1);
		assert_int_equal(a.finished, 1);
		assert_int_equal(two.continued_text, k);
		assert_int_equal(two.continued_tokens, k);
		assert_int_equal(other.calls, 0);
		assert_string_equal(a.job.served_by_label, "n4");
		assert_int_equal(a.job.continuations, 1);
		assert_non_null(strstr(a.notice, "killed"));
		buf_free(&a.decisions);
		rig_drop(&r);
	}
}

/* A chain of deaths; and the end of it, when nobody is left. */
static void several_continue(void *arg)
{
	struct rig r;
	struct copyist c[4];
	struct asked a = {0};
	rig_make(&r, duration_ms(0));
	for (unsigned i = 0; i < 4; i++) {
		copyist_init(&c[i], "aa", 5 * (i + 1));
		add(&r, &c[i], i + 2);
	}
	ask(&r, &a, duration_s(60));
	assert_int_equal(a.rc, E_RESET);
	assert_string_equal(a.text, "abcdefghijklmnopqrst");
	assert_int_equal(a.finished, 0);
	buf_free(&a.decisions);
	rig_drop(&r);
}

/* Without the token ids text has to do; without a hash nobody goes on. */
static void what_continuing_needs(void *arg)
{
	struct rig r;
	struct copyist one, two;
	struct asked a = {0}, b = {0};
	rig_make(&r, duration_ms(0));
	copyist_init(&one, "aa", 3);
	copyist_init(&two, "aa", SIZE_MAX);
	one.tells_tokens = false;
	struct catalog_entry *e1 = add(&r, &one, 2), *e2 = add(&r, &two, 3);
	ask(&r, &a, duration_s(60));
	OK(a.rc);
	assert_int_equal(two.continued_text, 3);
	assert_int_equal(two.continued_tokens, 0);
	buf_free(&a.decisions);
	catalog_remove(r.catalog, e1);
	catalog_remove(r.catalog, e2);
	copyist_init(&one, "", 3);
	copyist_init(&two, "", SIZE_MAX);
	add(&r, &one, 2);
	add(&r, &two, 3);
	ask(&r, &b, duration_s(60));
	assert_int_equal(b.rc, E_RESET);
	assert_string_equal(b.text, "abc");
	assert_int_equal(two.calls, 0);
	buf_free(&b.decisions);
	rig_drop(&r);
}

/* ---- breakers, hedges, patience -------------------------------------------------------------- */

static void breaker(void *arg)
{
	struct rig r;
	struct copyist bad, well;
	struct asked a;
	rig_make(&r, duration_ms(0));
	copyist_init(&bad, "", 0);
	copyist_init(&well, "", SIZE_MAX);
	struct catalog_entry *e = add(&r, &bad, 2);
	add(&r, &well, 3);
	for (unsigned i = 0; i < 20; i++) { /* within the first second */
		a = (struct asked){0};
		ask(&r, &a, duration_s(60));
		OK(a.rc);
		buf_free(&a.decisions);
	}
	assert_in_range(bad.calls, 1, 2);
	assert_string_equal(jobs_breaker(e), "open");
	OK(fiber_sleep(duration_s(3)));
	assert_string_equal(jobs_breaker(e), "half-open");
	bad.dies_after = SIZE_MAX;
	bad.calls = 0;
	e->node.rtt = duration_ms(0);
	for (unsigned i = 0; i < 30 && bad.calls == 0; i++) {
		a = (struct asked){0};
		ask(&r, &a, duration_s(60));
		buf_free(&a.decisions);
		well.first_ms = 100000;
	}
	assert_int_equal(bad.calls, 1);
	assert_string_equal(jobs_breaker(e), "closed");
	rig_drop(&r);
}

/* The only one is broken: the request waits for the trial instead of failing at once. */
static void waits_for_the_trial(void *arg)
{
	struct rig r;
	struct copyist only;
	struct asked a = {0}, b = {0};
	rig_make(&r, duration_ms(0));
	copyist_init(&only, "", 0);
	add(&r, &only, 2);
	ask(&r, &a, duration_s(60));
	assert_int_equal(a.rc, E_RESET);
	only.dies_after = SIZE_MAX;
	struct instant began = rt_now();
	ask(&r, &b, duration_s(60));
	OK(b.rc);
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 400, 3000);
	buf_free(&a.decisions);
	buf_free(&b.decisions);
	rig_drop(&r);
}

static void hedge(void *arg)
{
	struct rig r;
	struct copyist slow, quick;
	struct asked a = {0};
	rig_make(&r, duration_ms(200));
	copyist_init(&slow, "", SIZE_MAX);
	copyist_init(&quick, "", SIZE_MAX);
	slow.first_ms = 5000;
	add(&r, &slow, 2);
	add(&r, &quick, 3);
	struct instant began = rt_now();
	ask(&r, &a, duration_s(60));
	OK(a.rc);
	assert_string_equal(a.text, ALPHABET);
	assert_string_equal(a.job.served_by_label, "n3");
	assert_int_equal(slow.cancelled, 1);
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 210, 400);
	struct jobs_stats stats;
	jobs_stats(r.jobs, &stats);
	assert_int_equal(stats.hedged, 1);
	buf_free(&a.decisions);
	rig_drop(&r);
}

/* One that hangs gets half of the time; the answer comes within the deadline. */
static void patience(void *arg)
{
	struct rig r;
	struct copyist hangs, well;
	struct asked a = {0};
	rig_make(&r, duration_ms(0));
	copyist_init(&hangs, "", SIZE_MAX);
	copyist_init(&well, "", SIZE_MAX);
	hangs.first_ms = 1000000;
	add(&r, &hangs, 2);
	add(&r, &well, 3);
	struct instant began = rt_now();
	ask(&r, &a, duration_s(10));
	OK(a.rc);
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 5000, 5500);
	assert_int_equal(hangs.cancelled, 1);
	buf_free(&a.decisions);
	rig_drop(&r);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static struct schedule_facts read_facts(const json_t *candidate)
{
	const json_t *f = json_object_get(candidate, "facts");
	struct schedule_facts out = {
	    .local = json_get_bool(f, "local", false),
	    .ready = json_get_bool(f, "ready", false),
	    .degraded = json_get_bool(f, "degraded", false),
	    .running = (uint32_t)json_get_int(f, "running", -1),
	    .queued = (uint32_t)json_get_int(f, "queued", -1),
	    .slots = (uint32_t)json_get_int(f, "slots", -1),
	    .rtt_us = json_get_int(f, "rtt_us", -1),
	    .answer_us = json_get_int(f, "answer_us", -1),
	    .load_us = json_get_int(f, "load_us", -1),
	    .prefill_ns = json_get_int(f, "prefill_ns", -1),
	    .decode_ns = json_get_int(f, "decode_ns", -1),
	    .cached_tok = json_get_int(f, "cached_tok", -1),
	    .price_in_msat = json_get_int(f, "price_in_msat", -1),
	    .price_out_msat = json_get_int(f, "price_out_msat", -1),
	    .failed_permille = (uint32_t)json_get_int(f, "failed_permille", -1),
	    .trust_permille = (uint32_t)json_get_int(f, "trust_permille", -1),
	    .tie = strtoull(json_get_string(f, "tie", ""), NULL, 16),
	};
	if (json_get_int(candidate, "rank", -1) == 0)
		out.excluded = SCHEDULE_FORBIDDEN; /* some reason */
	return out;
}

/* The record alone yields the same choice, and the same order. */
static void recompute(const json_t *decision)
{
	struct schedule_facts facts[16];
	struct schedule_verdict verdicts[16];
	size_t order[16];
	const json_t *candidates = json_object_get(decision, "candidates");
	size_t n = json_array_size(candidates);
	struct schedule_ask req = {.prompt_tok = json_get_int(decision, "prompt_tok", -1),
	    .answer_tok = json_get_int(decision, "answer_tok", -1)};
	assert_true(
	    schedule_strategy_parse(json_get_string(decision, "strategy", ""), &req.strategy));
	for (size_t i = 0; i < n; i++)
		facts[i] = read_facts(json_array_get(candidates, i));
	size_t eligible = schedule_rank(&req, facts, n, verdicts, order);
	for (size_t i = 0; i < eligible; i++) {
		const json_t *c = json_array_get(candidates, order[i]);
		assert_int_equal(json_get_int(c, "rank", -1), i + 1);
		assert_int_equal(json_get_int(c, "total_us", -1), verdicts[order[i]].terms.total);
	}
}

static void decisions(void *arg)
{
	struct rig r;
	struct copyist c[10];
	uint32_t rng = 5;
	rig_make(&r, duration_ms(0));
	for (unsigned i = 0; i < 10; i++) {
		copyist_init(&c[i], "aa", i < 2 ? 0 : i == 2 ? 7 : SIZE_MAX);
		add(&r, &c[i], i + 2);
	}
	for (unsigned round = 0; round < 100; round++) {
		struct asked a = {0};
		for (unsigned i = 0; i < 10; i++) {
			rng = rng * 1664525u + 1013904223u;
			c[i].first_ms = rng >> 27;
			c[i].token_ms = rng >> 12 & 3;
		}
		ask(&r, &a, duration_s(60));
		OK(a.rc);
		assert_string_equal(a.text, ALPHABET);
		struct buf list = BUF_INIT(1u << 20);
		buf_str(&list, "[");
		buf_bytes(&list, buf_view(&a.decisions));
		buf_str(&list, "]");
		json_t *all;
		OK(json_read(buf_view(&list), &all, NULL));
		assert_in_range(json_array_size(all), a.job.attempts, a.job.attempts + 1);
		for (size_t i = 0; i < json_array_size(all); i++)
			recompute(json_array_get(all, i));
		const json_t *last = json_array_get(all, json_array_size(all) - 1);
		const json_t *best = json_array_get(json_object_get(last, "candidates"), 0);
		assert_string_equal(json_get_string(best, "label", ""), a.job.served_by_label);
		json_decref(all);
		buf_free(&list);
		buf_free(&a.decisions);
	}
	rig_drop(&r);
}

/* Among many: few are looked at, the load spreads, and a conversation comes back. */
static void crowd(void *arg)
{
	enum {
		MANY = 1000
	};
	static struct copyist c[MANY];
	struct rig r;
	unsigned asked = 0, most = 0;
	rig_make(&r, duration_ms(0));
	for (unsigned i = 0; i < MANY; i++) {
		copyist_init(&c[i], "", SIZE_MAX);
		struct catalog_node n = {.id = fake_peer(i + 2)};
		struct catalog_entry *e;
		OK(catalog_add(r.catalog, &c[i].base, &n, &e, NULL));
	}
	struct inference_message turns[3] = {
	    {.role = "user"}, {.role = "assistant"}, {.role = "user"}};
	for (unsigned i = 0; i < 300; i++) {
		char question[32];
		snprintf(question, sizeof question, "question %u", i);
		turns[0].content = bytes_str(question);
		turns[1].content = bytes_str(ALPHABET);
		turns[2].content = bytes_str("again");
		struct asked a = {.req = {.model = "abc", .messages = turns, .n_messages = 1}};
		a.decisions = BUF_INIT(1u << 20);
		a.job = (struct job){.req = &a.req, .decisions = &a.decisions};
		OK(jobs_run(r.jobs, &a.job, hear, &a, &a.err));
		struct peer_id first = a.job.served_by;
		assert_true(a.decisions.n < 4000); /* three candidates */
		a.req.n_messages = 3;
		a.started = 0;
		OK(jobs_run(r.jobs, &a.job, hear, &a, &a.err));
		asked += peer_id_equal(&first, &a.job.served_by);
		buf_free(&a.decisions);
	}
	for (unsigned i = 0; i < MANY; i++)
		most = c[i].calls > most ? c[i].calls : most;
	assert_true(most <= 10);
	assert_true(asked >= 180); /* two of the three candidates are the conversation's own */
	rig_drop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(another_continues),
	    FIBER_TEST(several_continue), FIBER_TEST(what_continuing_needs), FIBER_TEST(breaker),
	    FIBER_TEST(waits_for_the_trial), FIBER_TEST(hedge), FIBER_TEST(patience),
	    FIBER_TEST(decisions), FIBER_TEST(crowd)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
