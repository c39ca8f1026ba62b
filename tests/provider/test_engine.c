/* The engine's keeper in a simulated universe, where the child is a fiber behind the same protocol:
 * loading, failing to load, dying, hanging, being cancelled. */
#include "fake.h"

#include "provider/engine.h"
#include "provider/engine_serve.h"

/* What the child of the present test is like. */
struct child {
	struct fake fake;
	int load_fails; /* an E_ code */
	int64_t load_ms;
	int dies_with; /* exit status instead of serving, when not 0 */
	unsigned births;
	bool hashed; /* knows the hash of its file */
	char model[256], n_ctx[16], threads[16], kernels[16];
};

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct child child;
static struct universe *u;
static struct world *host;

static int ready(void *arg, struct model_entry *out, struct err *err)
{
	int rc = child.load_ms ? fiber_sleep(duration_ms(child.load_ms)) : 0;

	if (rc == 0 && child.load_fails)
		rc = err_set(err, child.load_fails, "bad.gguf: no such luck");
	*out = (struct model_entry){.id = "tiny", .n_ctx = 512, .ready = true, .created_s = 1};
	if (child.hashed)
		snprintf(out->hash, sizeof out->hash, "%s", HASH);
	return rc;
}

static int infer(void *arg, const struct inference_request *req, inference_emit_fn emit,
    void *emit_arg, struct err *err)
{
	struct request_context ctx = {0};

	return provider_infer(&child.fake.base, req, &ctx, emit, emit_arg, err);
}

static int role(struct world *w, struct stream *s, const char *const *argv, void *arg)
{
	static const struct engine_backend backend = {.ready = ready, .infer = infer};

	child.births++;
	for (size_t i = 2; argv[i] && argv[i + 1]; i += 2) {
		char *out = strcmp(argv[i], "--model") == 0     ? child.model
			    : strcmp(argv[i], "--ctx") == 0     ? child.n_ctx
			    : strcmp(argv[i], "--threads") == 0 ? child.threads
								: child.kernels;
		snprintf(out, 16, "%s", argv[i + 1]);
	}
	if (child.dies_with) {
		stream_close(s);
		return child.dies_with;
	}
	engine_serve(w, s, &backend, NULL);
	return 0;
}

static unsigned changes;

static void count_change(void *arg)
{
	changes++;
}

static int start(struct provider **p, struct err *err)
{
	struct engine_provider_options opt = {.world = host,
	    .model = "/m.gguf",
	    .kernels = "ref",
	    .threads = 3,
	    .n_ctx = 99,
	    .changed = count_change};

	return engine_provider_new(&opt, p, err);
}

struct heard {
	struct provider *p;
	char text[64];
	unsigned finished;
	int rc;
	bool done;
	struct err err;
	struct duration limit;
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct heard *h = arg;

	if (e->kind == INFERENCE_TEXT)
		strncat(h->text, (const char *)e->text.p, e->text.n);
	h->finished += e->kind == INFERENCE_FINISHED;
	return 0;
}

static void ask(void *arg)
{
	struct heard *h = arg;
	struct inference_message m = {"user", {(const uint8_t *)"2+2?", 4}};
	struct inference_request req = {.model = "tiny", .messages = &m, .n_messages = 1};
	struct request_context ctx = {"req_1", 0};
	struct scope sc;

	scope_open(&sc, h->limit.ns ? h->limit : duration_s(60));
	h->rc = provider_infer(h->p, &req, &ctx, hear, h, &h->err);
	scope_close(&sc);
	h->done = true;
}

static enum provider_health health(struct provider *p)
{
	struct provider_status s;

	provider_status(p, &s);
	return s.health;
}

static const struct fake_step good[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_TEXT, 0, "ur"}, {FAKE_FINISH}};
static const struct fake_step hangs[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 3600000}};
static const struct fake_step fails[] = {{FAKE_FAIL, E_CONTEXT_LENGTH, "600 tokens are too many"}};

/* ---- stories --------------------------------------------------------------------------------- */

static void answers(void *arg)
{
	struct provider *p;
	struct err err = {0};
	size_t n;

	child.load_ms = 5000;
	changes = 0;
	OK(start(&p, &err));
	assert_int_equal(changes, 1);
	assert_int_equal(health(p), PROVIDER_HEALTHY);
	const struct model_entry *m = provider_models(p, &n);
	/* A large file is hashed while it serves: whoever chooses hears of it then. */
	assert_string_equal(m->hash, "");
	child.hashed = true;
	eventually(20, m->hash[0]);
	assert_string_equal(m->hash, HASH);
	assert_int_equal(changes, 2);
	assert_int_equal(n, 1);
	assert_string_equal(m->id, "tiny");
	assert_int_equal(m->n_ctx, 512);
	assert_true(m->ready);
	assert_string_equal(child.model, "/m.gguf");
	assert_string_equal(child.n_ctx, "99");
	assert_string_equal(child.threads, "3");
	assert_string_equal(child.kernels, "ref");
	struct heard h = {.p = p};
	ask(&h);
	OK(h.rc);
	assert_string_equal(h.text, "Four");
	assert_int_equal(h.finished, 1);
	assert_string_equal(child.fake.prompt, "2+2?");
	child.fake.script = fails;
	h = (struct heard){.p = p};
	ask(&h);
	assert_int_equal(h.rc, E_CONTEXT_LENGTH);
	assert_string_equal(h.err.text, "600 tokens are too many");
	assert_int_equal(child.births, 1);
	provider_close(p);
}

/* The first load's failure is the caller's to report, with the child's own words. */
static void bad_model(void *arg)
{
	static const int codes[] = {E_FORMAT, E_UNSUPPORTED, E_NOT_FOUND, E_MEMORY};
	struct provider *p;

	for (size_t i = 0; i < 4; i++) {
		struct err err = {0};
		child.load_fails = codes[i];
		assert_int_equal(start(&p, &err), codes[i]);
		assert_non_null(strstr(err.text, "bad.gguf: no such luck"));
	}
	OK(fiber_sleep(duration_s(60)));
	assert_int_equal(child.births, 4); /* and is not tried again */
}

static void stillborn(void *arg)
{
	struct provider *p;
	struct err err = {0};

	child.dies_with = 3;
	assert_int_equal(start(&p, &err), E_UNAVAILABLE);
	assert_non_null(strstr(err.text, "the engine ended with status 3"));
	assert_int_equal(child.births, 1);
}

static void loading_cancelled(void *arg)
{
	struct provider *p;
	struct err err = {0};
	struct scope sc;

	child.load_ms = 3600000;
	scope_open(&sc, duration_s(2));
	assert_int_equal(start(&p, &err), E_TIMEOUT);
	scope_close(&sc);
}

static void death(void *arg)
{
	struct provider *p;
	struct err err = {0};
	struct provider_status s;
	size_t n;

	OK(start(&p, &err));
	changes = 0;
	child.load_ms = 1000;
	universe_kill_role(u, host, "engine");
	OK(fiber_sleep(duration_ms(50)));
	assert_int_equal(changes, 1);
	provider_status(p, &s);
	assert_int_equal(s.health, PROVIDER_UNHEALTHY);
	assert_non_null(strstr(s.reason, "signal 9"));
	assert_false(provider_models(p, &n)->ready);
	assert_int_equal(n, 1); /* still ours, only not now */
	struct heard h = {.p = p};
	ask(&h);
	assert_int_equal(h.rc, E_UNAVAILABLE);
	assert_non_null(strstr(h.err.text, "not ready"));
	eventually(5, health(p) == PROVIDER_HEALTHY);
	assert_int_equal(changes, 2);
	assert_int_equal(child.births, 2);
	h = (struct heard){.p = p};
	ask(&h);
	OK(h.rc);
	provider_close(p);
}

/* In mid-answer: the answer breaks off with an error, at once. */
static void death_in_mid_answer(void *arg)
{
	struct provider *p;
	struct err err = {0};
	struct scope sc;

	child.fake.script = hangs;
	OK(start(&p, &err));
	struct heard h = {.p = p};
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(&sc, "ask", ask, &h, NULL));
	eventually(1, strcmp(h.text, "Fo") == 0);
	universe_kill_role(u, host, "engine");
	eventually(1, h.done);
	assert_true(h.rc == E_RESET || h.rc == E_CLOSED);
	assert_int_equal(h.finished, 0);
	eventually(5, health(p) == PROVIDER_HEALTHY);
	scope_close(&sc);
	provider_close(p);
}

/* A model that kills its engine again and again is started ever less often, not never. */
static void backoff(void *arg)
{
	struct provider *p;
	struct err err = {0};

	OK(start(&p, &err));
	child.dies_with = 1;
	universe_kill_role(u, host, "engine");
	OK(fiber_sleep(duration_s(10)));
	unsigned early = child.births;
	assert_in_range(early, 5, 8); /* 0.2, 0.4, 0.8, 1.6, 3.2, 6.4 s */
	OK(fiber_sleep(duration_s(300)));
	assert_in_range(child.births - early, 9, 13); /* at most 30 s apart */
	child.dies_with = 0;
	eventually(40, health(p) == PROVIDER_HEALTHY);
	/* After a steady minute a death counts as the first again. */
	OK(fiber_sleep(duration_s(61)));
	universe_kill_role(u, host, "engine");
	OK(fiber_sleep(duration_ms(500)));
	assert_int_equal(health(p), PROVIDER_HEALTHY);
	provider_close(p);
}

static void frozen(void *arg)
{
	struct provider *p;
	struct err err = {0};

	OK(start(&p, &err));
	universe_stall_role(u, host, "engine", true);
	struct heard h = {.p = p, .limit = duration_s(7)};
	struct instant began = rt_now();
	ask(&h);
	assert_int_equal(h.rc, E_TIMEOUT);
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 7000, 7100);
	provider_close(p); /* does not wait for it */
	assert_true(duration_to_ms(instant_since(rt_now(), began)) < 15000);
}

/* Whoever stops listening stops the work in the child. */
static void cancelled(void *arg)
{
	struct provider *p;
	struct err err = {0};
	struct scope sc;

	child.fake.script = hangs;
	OK(start(&p, &err));
	struct heard h = {.p = p};
	scope_open(&sc, DURATION_FOREVER);
	OK(fiber_spawn(&sc, "ask", ask, &h, NULL));
	eventually(1, strcmp(h.text, "Fo") == 0);
	assert_int_equal(child.fake.running, 1);
	scope_close(&sc);
	assert_int_equal(h.rc, E_CANCELLED);
	eventually(1, child.fake.running == 0);
	assert_int_equal(child.fake.cancelled, 1);
	child.fake.script = good;
	h = (struct heard){.p = p};
	ask(&h);
	OK(h.rc);
	assert_int_equal(child.births, 1);
	provider_close(p);
}

static void on_host(void **state)
{
	void (*const *fn)(void *) = *state;

	u = universe_of_seed(1);
	host = universe_host(u, "alone");
	child = (struct child){0};
	fake_init(&child.fake, "tiny", good);
	universe_role(u, "engine", role, NULL);
	OK(universe_boot(u, host, NULL, *fn, NULL, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

#define ON_HOST(fn)                                                                                \
	{                                                                                          \
#fn, on_host, NULL, NULL, &(void (*[1])(void *))                                   \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_HOST(answers), ON_HOST(bad_model), ON_HOST(stillborn),
	    ON_HOST(loading_cancelled), ON_HOST(death), ON_HOST(death_in_mid_answer),
	    ON_HOST(backoff), ON_HOST(frozen), ON_HOST(cancelled)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
