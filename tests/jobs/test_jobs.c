/* Jobs: who answers, what is tried again and what is not, waiting in line, silence, and the end. */
#include "fake.h"

#include "jobs/jobs.h"

#define SELF 1

struct rig {
	struct catalog *catalog;
	struct jobs *jobs;
	unsigned changed;
};

/* Who is said to be known, and no member. */
#define STRANGER "stranger"

static int absent(void *arg, const char *name, struct err *err)
{
	return strcmp(name, STRANGER) == 0 ? err_set(err, E_UNAVAILABLE, "no member: lost") : 0;
}

static void count_change(void *arg)
{
	struct rig *r = arg;

	r->changed++;
}

static void rig_make(struct rig *r, unsigned max_queue)
{
	*r = (struct rig){.catalog = catalog_new()};
	struct jobs_options opt = {.world = host_world,
	    .catalog = r->catalog,
	    .self = fake_peer(SELF),
	    .label = "self",
	    .max_queue = max_queue,
	    .changed = count_change,
	    .absent = absent,
	    .arg = r};
	r->jobs = jobs_new(&opt);
	assert_non_null(r->jobs);
}

static void rig_drop(struct rig *r)
{
	jobs_free(r->jobs);
	catalog_free(r->catalog);
}

static const struct fake_step good[] = {{FAKE_STARTED}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};
static const struct fake_step slow[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 5000}, {FAKE_TEXT, 0, "ur"}, {FAKE_FINISH}};
static const struct fake_step dies_early[] = {{FAKE_STARTED}, {FAKE_FAIL, E_RESET}};
static const struct fake_step dies_late[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_FAIL, E_RESET}};
static const struct fake_step is_down[] = {{FAKE_FAIL, E_UNAVAILABLE}};
static const struct fake_step dislikes[] = {{FAKE_FAIL, E_CONTEXT_LENGTH, "too long"}};
static const struct fake_step hangs[] = {{FAKE_STARTED}, {FAKE_WAIT, 3600000}};

/* ---- one question ---------------------------------------------------------------------------- */

struct asked {
	struct rig *rig;
	struct inference_request req;
	struct job job;
	char text[256];
	unsigned started, finished;
	int rc;
	struct err err;
	bool done;
	struct instant ended;
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct asked *a = arg;

	if (e->kind == INFERENCE_STARTED)
		a->started++;
	else
		assert_int_equal(a->started, 1); /* once, before all else */
	if (e->kind == INFERENCE_TEXT)
		strncat(a->text, (const char *)e->text.p, e->text.n);
	a->finished += e->kind == INFERENCE_FINISHED;
	return 0;
}

static void run(void *arg)
{
	struct asked *a = arg;

	a->job.req = &a->req;
	a->rc = jobs_run(a->rig->jobs, &a->job, hear, a, &a->err);
	a->done = true;
	a->ended = rt_now();
}

static struct asked ask(struct rig *r, const char *model, const char *target)
{
	struct asked a = {.rig = r, .job = {.target_node = target, .ctx = {.request_id = "req_1"}}};

	snprintf(a.req.model, sizeof a.req.model, "%s", model);
	run(&a);
	a.rig = NULL;
	return a;
}

static void served(const struct asked *a, unsigned node, const char *text)
{
	struct peer_id id = fake_peer(node);

	if (a->rc != 0)
		fail_msg("failed: %s", err_text(&a->err));
	assert_string_equal(a->text, text);
	assert_int_equal(a->finished, 1);
	assert_true(peer_id_equal(&a->job.served_by, &id));
}

/* ---- choosing -------------------------------------------------------------------------------- */

static void choice(void *arg)
{
	struct rig r;
	struct fake own, busy, idle, far;
	struct asked a;

	rig_make(&r, 10);
	fake_init(&own, "own", good);
	fake_init(&busy, "tiny", good);
	fake_init(&idle, "tiny", good);
	fake_init(&far, "tiny", good);
	struct catalog_entry *o = fake_add(r.catalog, &own, SELF, "self", true);
	struct catalog_entry *b = fake_add(r.catalog, &busy, 2, "busy", false);
	struct catalog_entry *i = fake_add(r.catalog, &idle, 3, "idle", false);
	struct catalog_entry *f = fake_add(r.catalog, &far, 4, "far", false);
	b->node.queued = 2;
	i->node.rtt = duration_ms(5);
	f->node.rtt = duration_ms(50);

	a = ask(&r, "own", NULL);
	served(&a, SELF, "Four");
	a = ask(&r, "tiny", NULL); /* the least work, then the shortest way */
	served(&a, 3, "Four");
	assert_string_equal(a.job.served_by_label, "idle");
	i->node.running = 100000; /* more than the way, and its cache of this prompt, are worth */
	a = ask(&r, "tiny", NULL);
	served(&a, 4, "Four");
	/* The model left open: our own, with the name filled in. */
	a = ask(&r, "", NULL);
	served(&a, SELF, "Four");
	assert_string_equal(a.job.model, "own");
	assert_string_equal(own.asked_model, "own");
	/* Once this node has it too, nobody else is asked. */
	own.n_models = 2;
	snprintf(own.models[1].id, MODEL_ID_MAX, "tiny");
	own.models[1].ready = true;
	catalog_models_changed(r.catalog, o);
	a = ask(&r, "tiny", NULL);
	served(&a, SELF, "Four");
	rig_drop(&r);
}

static void nobody(void *arg)
{
	struct rig r;
	struct fake own, other;
	struct asked a;

	rig_make(&r, 10);
	a = ask(&r, "", NULL);
	assert_int_equal(a.rc, E_MODEL_NOT_FOUND);
	fake_init(&own, "own", good);
	fake_init(&other, "own", good);
	fake_add(r.catalog, &own, SELF, "self", true);
	fake_add(r.catalog, &other, 2, "other", false);
	a = ask(&r, "tiny", NULL);
	assert_int_equal(a.rc, E_MODEL_NOT_FOUND);
	assert_string_equal(a.err.text, "no node has the model \"tiny\"; there is: own");
	assert_int_equal(own.calls + other.calls, 0);
	rig_drop(&r);
}

static void targets(void *arg)
{
	struct rig r;
	struct fake own, b, c, c2;
	struct asked a;
	struct peer_id two = fake_peer(2);
	char node_id[NODE_ID_TEXT_MAX], peer_id[PEER_ID_TEXT_MAX];

	rig_make(&r, 10);
	fake_init(&own, "tiny", good);
	fake_init(&b, "tiny", good);
	fake_init(&c, "tiny", is_down);
	fake_init(&c2, "tiny", good);
	fake_add(r.catalog, &own, SELF, "self", true);
	fake_add(r.catalog, &b, 2, "beta", false);
	fake_add(r.catalog, &c, 3, "twin", false);
	fake_add(r.catalog, &c2, 4, "twin", false);
	OK(node_id_print(&two, node_id, NULL));
	peer_id_print(&two, peer_id);
	const char *names[] = {"beta", node_id, peer_id};
	for (size_t i = 0; i < 3; i++) {
		a = ask(&r, "tiny", names[i]);
		served(&a, 2, "Four");
	}
	a = ask(&r, "tiny", "self");
	served(&a, SELF, "Four");
	a = ask(&r, "tiny", "");
	served(&a, SELF, "Four");
	a = ask(&r, "tiny", "twin");
	assert_int_equal(a.rc, E_INVALID);
	a = ask(&r, "tiny", "nobody");
	assert_int_equal(a.rc, E_NOT_FOUND);
	a = ask(&r, "tiny", STRANGER); /* why not is somebody else's to say */
	assert_int_equal(a.rc, E_UNAVAILABLE);
	assert_string_equal(a.err.text, "no member: lost");
	a = ask(&r, "big", "beta");
	assert_int_equal(a.rc, E_MODEL_NOT_FOUND);
	/* Who is named and fails is not replaced by another. */
	unsigned before = own.calls + b.calls + c2.calls;
	struct peer_id three = fake_peer(3);
	peer_id_print(&three, peer_id);
	a = ask(&r, "tiny", peer_id);
	assert_int_equal(a.rc, E_UNAVAILABLE);
	assert_int_equal(own.calls + b.calls + c2.calls, before);
	rig_drop(&r);
}

/* A peer's request is served here, or forwarded when it names somebody; never on a whim. */
static void hops(void *arg)
{
	struct rig r;
	struct fake own, b;

	rig_make(&r, 10);
	fake_init(&own, "own", good);
	fake_init(&b, "tiny", good);
	fake_add(r.catalog, &own, SELF, "self", true);
	fake_add(r.catalog, &b, 2, "beta", false);
	struct asked a = {.rig = &r, .req = {.model = "tiny"}, .job = {.ctx = {.hops = 1}}};
	run(&a);
	assert_int_equal(a.rc, E_MODEL_NOT_FOUND);
	a = (struct asked){.rig = &r, .req = {.model = "own"}, .job = {.ctx = {.hops = 1}}};
	run(&a);
	served(&a, SELF, "Four");
	a = (struct asked){.rig = &r,
	    .req = {.model = "tiny"},
	    .job = {.ctx = {.hops = 1}, .target_node = "beta"}};
	run(&a);
	served(&a, 2, "Four");
	assert_int_equal(b.ctx.hops, 1);
	a = (struct asked){.rig = &r, .req = {.model = "own"}, .job = {.ctx = {.hops = HOPS_MAX}}};
	run(&a);
	served(&a, SELF, "Four");
	a = (struct asked){
	    .rig = &r, .req = {.model = "own"}, .job = {.ctx = {.hops = HOPS_MAX + 1}}};
	run(&a);
	assert_int_equal(a.rc, E_LOOP);
	rig_drop(&r);
}

/* ---- trying again ---------------------------------------------------------------------------- */

/* Node 2 fails as scripted, node 3 is well; node 2 is asked first. */
static struct asked after_failure(
    const struct fake_step *failing, struct fake *bad, struct fake *well)
{
	struct rig r;
	struct jobs_stats stats;

	rig_make(&r, 10);
	fake_init(bad, "tiny", failing);
	fake_init(well, "tiny", good);
	fake_add(r.catalog, bad, 2, "bad", false);
	struct catalog_entry *w = fake_add(r.catalog, well, 3, "well", false);
	w->node.queued = 5;
	struct asked a = ask(&r, "tiny", NULL);
	jobs_stats(r.jobs, &stats);
	assert_int_equal(stats.completed, a.rc == 0);
	assert_int_equal(stats.failed, a.rc != 0);
	assert_int_equal(stats.retried, a.rc == 0);
	assert_int_equal(bad->calls, 1);
	rig_drop(&r);
	return a;
}

static void retries(void *arg)
{
	struct fake bad, well;
	struct asked a;

	a = after_failure(is_down, &bad, &well);
	served(&a, 3, "Four");
	assert_int_equal(a.job.attempts, 2);
	assert_string_equal(a.job.served_by_label, "well");
	/* It had begun, but nothing of the answer had come: the client hears of one beginning. */
	a = after_failure(dies_early, &bad, &well);
	served(&a, 3, "Four");
	/* After the first words another would begin anew: not for the client to see. */
	a = after_failure(dies_late, &bad, &well);
	assert_int_equal(a.rc, E_RESET);
	assert_string_equal(a.text, "Fo");
	assert_int_equal(a.finished, 0);
	assert_int_equal(well.calls, 0);
	/* The request itself is at fault: nobody else would like it better. */
	a = after_failure(dislikes, &bad, &well);
	assert_int_equal(a.rc, E_CONTEXT_LENGTH);
	assert_string_equal(a.err.text, "too long");
	assert_int_equal(well.calls, 0);
}

/* Three attempts at most, each at another provider; then the last reason. */
static void attempts(void *arg)
{
	struct rig r;
	struct fake f[6];
	unsigned calls = 0;

	rig_make(&r, 10);
	for (unsigned i = 0; i < 6; i++) {
		fake_init(&f[i], "tiny", is_down);
		fake_add(r.catalog, &f[i], i + 2, "x", false);
	}
	struct asked a = ask(&r, "tiny", NULL);
	assert_int_equal(a.rc, E_UNAVAILABLE);
	assert_int_equal(a.job.attempts, JOB_ATTEMPTS_MAX);
	for (unsigned i = 0; i < 6; i++) {
		assert_true(f[i].calls <= 1);
		calls += f[i].calls;
	}
	assert_int_equal(calls, JOB_ATTEMPTS_MAX);
	rig_drop(&r);
}

/* ---- waiting in line ------------------------------------------------------------------------- */

static void queue(void *arg)
{
	struct rig r;
	struct fake own;
	struct asked a[4];
	struct jobs_stats stats;

	rig_make(&r, 2);
	fake_init(&own, "tiny", slow);
	struct catalog_entry *e = fake_add(r.catalog, &own, SELF, "self", true);
	struct scope sc;
	scope_open(&sc, duration_s(60));
	for (size_t i = 0; i < 4; i++) {
		a[i] = (struct asked){.rig = &r, .req = {.model = "tiny"}};
		OK(fiber_spawn(&sc, "ask", run, &a[i], NULL));
	}
	OK(fiber_sleep(duration_s(1)));
	jobs_stats(r.jobs, &stats);
	assert_int_equal(stats.running, 1);
	assert_int_equal(stats.queued, 2);
	assert_int_equal(e->node.running, 1);
	assert_int_equal(e->node.queued, 2);
	assert_int_equal(own.running, 1); /* one answer at a time */
	assert_true(a[3].done);
	assert_int_equal(a[3].rc, E_BUSY);
	OK(scope_join(&sc));
	for (size_t i = 0; i < 3; i++) {
		served(&a[i], SELF, "Four");
		if (i > 0)
			assert_true(instant_before(a[i - 1].ended, a[i].ended)); /* in order */
	}
	jobs_stats(r.jobs, &stats);
	assert_int_equal(stats.running + stats.queued, 0);
	assert_int_equal(stats.completed, 3);
	assert_int_equal(stats.tokens_in, 15);
	assert_int_equal(stats.tokens_out, 6);
	assert_true(r.changed > 0);
	scope_close(&sc);
	rig_drop(&r);
}

/* A full line here is no reason to fail when another node has the model. */
static void overflow(void *arg)
{
	struct rig r;
	struct fake own, b;
	struct asked a = {.rig = &r, .req = {.model = "tiny"}};

	rig_make(&r, 0);
	fake_init(&own, "tiny", slow);
	fake_init(&b, "tiny", good);
	fake_add(r.catalog, &own, SELF, "self", true);
	fake_add(r.catalog, &b, 2, "beta", false);
	struct scope sc;
	scope_open(&sc, duration_s(60));
	OK(fiber_spawn(&sc, "ask", run, &a, NULL));
	OK(fiber_sleep(duration_s(1)));
	struct asked second = ask(&r, "tiny", NULL);
	served(&second, 2, "Four");
	OK(scope_join(&sc));
	served(&a, SELF, "Four");
	scope_close(&sc);
	rig_drop(&r);
}

/* Who waits in line and leaves makes room for others. */
static void leaving_the_line(void *arg)
{
	struct rig r;
	struct fake own;
	struct asked first = {.rig = &r, .req = {.model = "tiny"}}, second = first, third = first;

	rig_make(&r, 1);
	fake_init(&own, "tiny", slow);
	fake_add(r.catalog, &own, SELF, "self", true);
	struct scope sc, leaver;
	scope_open(&sc, duration_s(60));
	scope_init(&leaver, NULL);
	OK(fiber_spawn(&sc, "ask", run, &first, NULL));
	OK(fiber_sleep(duration_ms(10)));
	OK(fiber_spawn(&leaver, "ask", run, &second, NULL));
	OK(fiber_sleep(duration_ms(10)));
	scope_close(&leaver);
	assert_int_equal(second.rc, E_CANCELLED);
	OK(fiber_spawn(&sc, "ask", run, &third, NULL));
	OK(scope_join(&sc));
	served(&first, SELF, "Four");
	served(&third, SELF, "Four");
	assert_int_equal(own.calls, 2);
	struct jobs_stats stats;
	jobs_stats(r.jobs, &stats);
	assert_int_equal(stats.completed, 2);
	assert_int_equal(stats.cancelled, 1); /* no failure of ours */
	assert_int_equal(stats.failed, 0);
	scope_close(&sc);
	rig_drop(&r);
}

/* ---- silence and the end --------------------------------------------------------------------- */

static void stall(void *arg)
{
	struct rig r;
	struct fake b, c;

	rig_make(&r, 10);
	fake_init(&b, "tiny", hangs);
	fake_init(&c, "tiny", good);
	fake_add(r.catalog, &b, 2, "beta", false);
	struct catalog_entry *e = fake_add(r.catalog, &c, 3, "gamma", false);
	e->node.queued = 9;
	struct instant began = rt_now();
	struct asked a = ask(&r, "tiny", NULL);
	served(&a, 3, "Four");
	assert_int_equal(b.cancelled, 1);
	assert_in_range(
	    duration_to_ms(instant_since(rt_now(), began)), JOB_STALL_MS, JOB_STALL_MS + 100);
	a = ask(&r, "tiny", "beta");
	assert_int_equal(a.rc, E_TIMEOUT);
	assert_string_equal(a.err.text, "beta: silent for 300 s");
	rig_drop(&r);
}

struct stopping {
	struct rig *rig;
	struct duration grace;
	struct instant ended;
};

static void stop(void *arg)
{
	struct stopping *s = arg;

	jobs_stop(s->rig->jobs, s->grace);
	s->ended = rt_now();
}

static void ending(void *arg)
{
	struct rig r;
	struct fake own, remote;

	rig_make(&r, 10);
	fake_init(&own, "tiny", slow); /* five seconds */
	fake_init(&remote, "far", hangs);
	fake_add(r.catalog, &own, SELF, "self", true);
	fake_add(r.catalog, &remote, 2, "beta", false);
	struct asked quick = {.rig = &r, .req = {.model = "tiny"}};
	struct asked waiting = quick;
	struct asked endless = {.rig = &r, .req = {.model = "far"}};
	struct stopping s = {&r, duration_ms(7000), {0}};
	struct scope sc;
	scope_open(&sc, duration_s(600));
	OK(fiber_spawn(&sc, "ask", run, &quick, NULL));
	OK(fiber_spawn(&sc, "ask", run, &endless, NULL));
	OK(fiber_sleep(duration_ms(10)));
	OK(fiber_spawn(&sc, "ask", run, &waiting, NULL));
	OK(fiber_sleep(duration_ms(10)));
	struct instant began = rt_now();
	OK(fiber_spawn(&sc, "stop", stop, &s, NULL));
	OK(fiber_sleep(duration_ms(10)));
	struct asked late = ask(&r, "tiny", NULL);
	assert_int_equal(late.rc, E_UNAVAILABLE);
	OK(scope_join(&sc));
	scope_close(&sc);
	served(&quick, SELF, "Four");
	assert_int_equal(endless.rc, E_UNAVAILABLE);
	assert_non_null(strstr(endless.err.text, "shutting down"));
	assert_int_equal(waiting.rc, E_UNAVAILABLE);
	assert_in_range(duration_to_ms(instant_since(s.ended, began)), 7000, 7100);
	rig_drop(&r);
}

static void idle_end(void *arg)
{
	struct rig r;
	struct instant began = rt_now();

	rig_make(&r, 10);
	jobs_stop(r.jobs, duration_ms(7000));
	assert_true(duration_to_ms(instant_since(rt_now(), began)) < 100);
	rig_drop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(choice), FIBER_TEST(nobody),
	    FIBER_TEST(targets), FIBER_TEST(hops), FIBER_TEST(retries), FIBER_TEST(attempts),
	    FIBER_TEST(queue), FIBER_TEST(overflow), FIBER_TEST(leaving_the_line),
	    FIBER_TEST(stall), FIBER_TEST(ending), FIBER_TEST(idle_end)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
