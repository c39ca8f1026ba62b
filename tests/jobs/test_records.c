/* Request records: what they tell, how they are kept, written, found again and let go. */
#include "fiber_test.h"

#include "dialect/json.h"
#include "jobs/records.h"

#include <stdio.h>

#define PATH "/data/gate.db"

struct rig {
	struct world *world;
	struct store *store;
	struct records *book;
};

static void rig_up(struct rig *r, uint64_t keep_count, int64_t keep_s)
{
	struct store_options store = {
	    .world = r->world, .path = PATH, .schemas = &records_schema, .n_schemas = 1};

	OK(file_mkdirs(r->world, "/data", 0700, NULL));
	OK(store_open(&store, &r->store, NULL));
	struct records_options opt = {
	    .world = r->world, .store = r->store, .keep_count = keep_count, .keep_s = keep_s};
	OK(records_new(&opt, &r->book, NULL));
}

static void rig_down(struct rig *r)
{
	records_close(r->book);
	store_close(r->store);
}

struct alone {
	struct world *world;
	void (*fn)(struct rig *r);
};

static void alone_fiber(void *arg)
{
	struct alone *a = arg;
	struct rig r = {.world = a->world};

	a->fn(&r);
}

static void in_rig(void **state)
{
	void (*const *fn)(struct rig *) = *state;
	struct universe *u = universe_of_seed(1);
	struct alone a = {universe_host(u, "alone"), *fn};

	OK(universe_boot(u, a.world, NULL, alone_fiber, &a, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

#define RIG_TEST(fn)                                                                               \
	{                                                                                          \
#fn, in_rig, NULL, NULL, &(void (*[1])(struct rig *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

static void one(struct records *book, const char *id, int code)
{
	struct record_origin origin = {RECORD_ADDRESS, "10.0.0.1", ""};
	struct record *r = records_begin(book, &origin, id, "openai", "tiny");
	unsigned a = record_attempt(r, "attic", "own", "tiny");

	record_attempt_end(r, a, code, "why");
	records_end(book, r, code, "why");
}

/* ---- what a record tells --------------------------------------------------------------------- */

static int take_json(void *arg, const struct request_record *r, struct err *err)
{
	json_decref(*(json_t **)arg);
	*(json_t **)arg = record_json(r);
	return 0;
}

/* Compares the JSON with its times of this run put to round numbers. */
static void check_full(struct rig *r, bool from_store)
{
	json_t *j = NULL;
	struct err err = {0};

	if (records_get(r->book, "req_1", take_json, &j, &err) != 0)
		fail_msg("%s", err_text(&err));
	char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	static const char *const parts[] = {
	    "\"attempts\":[{\"began_us\":",
	    "\"error\":{\"code\":\"connection_reset\",\"message\":\"died\",\"name\":\"E_RESET\"},"
	    "\"provider\":\"own\",\"target\":\"attic\"}",
	    "\"error\":null,\"provider\":\"own\",\"target\":\"cellar\"}]",
	    "\"candidates\":[{\"ms\":12.5,\"node\":\"attic\"},{\"node\":\"cellar\"}]",
	    "\"cost_msat\":42",
	    "\"dialect\":\"anthropic\",\"error\":null,\"id\":\"req_1\",\"model\":\"big\"",
	    "\"object\":\"request\",\"outcome\":\"ok\",\"prompt_sha256\":\"",
	    "\"served_model\":\"big-q4\",\"source\":{\"kind\":\"key\",\"name\":\"laptop\"},"
	    "\"target\":\"cellar\"",
	    "\"usage\":{\"completion_tokens\":7,\"prompt_tokens\":5}",
	};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (!strstr(text, parts[i]))
			fail_msg("%s: no %s in %s", from_store ? "stored" : "kept", parts[i], text);
	const json_t *t = json_object_get(j, "timings_us");
	int64_t queued = json_get_int(t, "queued", -1), first = json_get_int(t, "first_event", -1);
	int64_t last = json_get_int(t, "last_event", -1), total = json_get_int(t, "total", -1);
	assert_true(queued >= 100000 && queued < 101000);
	assert_true(first >= 350000 && first < 352000);
	assert_true(last >= first + 50000 && last < first + 51000);
	assert_true(total >= last + 10000 && total < last + 11000);
	free(text);
	json_decref(j);
}

static void full(struct rig *r)
{
	struct record_origin origin = {RECORD_KEY, "laptop", "key:abc"};
	struct inference_message m = {.role = "user", .content = bytes_str("my secret prompt")};
	struct inference_request req = {.messages = &m, .n_messages = 1};
	struct inference_usage usage = {5, 7, -1, -1};

	rig_up(r, 100, 3600);
	struct record *rec = records_begin(r->book, &origin, "req_1", "anthropic", "big");
	record_prompt(rec, &req);
	record_candidates(rec, bytes_str("{\"node\":\"attic\",\"ms\":12.5},{\"node\":\"cellar\"}"));
	OK(fiber_sleep(duration_ms(100)));
	unsigned a = record_attempt(rec, "attic", "own", "big-q4");
	OK(fiber_sleep(duration_ms(50)));
	record_attempt_end(rec, a, E_RESET, "died");
	a = record_attempt(rec, "cellar", "own", "big-q4");
	OK(fiber_sleep(duration_ms(200)));
	record_event(rec);
	OK(fiber_sleep(duration_ms(50)));
	record_event(rec);
	record_attempt_end(rec, a, 0, NULL);
	record_usage(rec, &usage);
	record_cost(rec, 42);
	OK(fiber_sleep(duration_ms(10)));
	records_end(r->book, rec, 0, NULL);
	check_full(r, false);
	rig_down(r);
	/* The same from the store, and no prompt in its files. */
	struct buf file = BUF_INIT(1 << 20);
	OK(file_read(r->world, PATH, 1 << 20, &file, NULL));
	assert_non_null(memmem(file.p, file.n, "req_1", 5));
	assert_null(memmem(file.p, file.n, "my secret", 9));
	buf_free(&file);
	rig_up(r, 100, 3600);
	check_full(r, true);
	rig_down(r);
}

/* Two prompts that only look alike when run together have hashes of their own. */
static void hashes(struct rig *r)
{
	struct inference_message m[2] = {{.role = "user", .content = bytes_str("ab")},
	    {.role = "user", .content = bytes_str("c")}};
	struct inference_request req = {.messages = m, .n_messages = 2};
	struct record_origin origin = {RECORD_COMMAND, NULL, NULL};
	json_t *j = NULL;
	char first[65];

	rig_up(r, 100, 3600);
	for (int i = 0; i < 2; i++) {
		struct record *rec = records_begin(r->book, &origin, "x", "openai", "");
		record_prompt(rec, &req);
		records_end(r->book, rec, 0, NULL);
		OK(records_get(r->book, "x", take_json, &j, NULL));
		const char *hash = json_get_string(j, "prompt_sha256", "");
		assert_int_equal(strlen(hash), 64);
		if (i == 0)
			memcpy(first, hash, 65);
		else
			assert_string_not_equal(hash, first);
		m[0].content = bytes_str("a");
		m[1].content = bytes_str("bc");
	}
	json_decref(j);
	rig_down(r);
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct heard {
	char ids[4096];
	unsigned n;
};

static int hear(void *arg, const struct request_record *r, struct err *err)
{
	struct heard *h = arg;
	size_t at = strlen(h->ids);

	snprintf(h->ids + at, sizeof h->ids - at, "%s%s", at ? " " : "", r->id);
	h->n++;
	return 0;
}

static void lists(struct rig *r)
{
	struct record_origin origin = {RECORD_COMMAND, NULL, NULL};
	struct heard h = {0};

	rig_up(r, 100, 3600);
	one(r->book, "a", 0);
	one(r->book, "b", E_UPSTREAM);
	rig_down(r);
	rig_up(r, 100, 3600);
	one(r->book, "c", E_CANCELLED);
	struct record *open = records_begin(r->book, &origin, "d", "ollama", "");
	OK(records_list(r->book, 10, hear, &h, NULL));
	assert_string_equal(h.ids, "d c b a");
	h = (struct heard){0};
	OK(records_list(r->book, 3, hear, &h, NULL));
	assert_string_equal(h.ids, "d c b");
	/* Also when some have been written meanwhile: none twice. */
	OK(fiber_sleep(duration_s(2)));
	h = (struct heard){0};
	OK(records_list(r->book, 10, hear, &h, NULL));
	assert_string_equal(h.ids, "d c b a");
	json_t *j = NULL;
	OK(records_get(r->book, "d", take_json, &j, NULL));
	assert_string_equal(json_get_string(j, "outcome", ""), "running");
	OK(records_get(r->book, "c", take_json, &j, NULL));
	assert_string_equal(json_get_string(j, "outcome", ""), "cancelled");
	OK(records_get(r->book, "b", take_json, &j, NULL));
	assert_string_equal(json_get_string(j, "outcome", ""), "failed");
	assert_string_equal(json_get_string(json_object_get(j, "error"), "message", ""), "why");
	assert_int_equal(records_get(r->book, "e", take_json, &j, NULL), E_NOT_FOUND);
	json_decref(j);
	records_end(r->book, open, 0, NULL);
	rig_down(r);
}

struct follower {
	struct rig *rig;
	struct heard heard;
	uint64_t seq;
	int rc;
};

static void follow_fiber(void *arg)
{
	struct follower *f = arg;

	f->seq = records_seq(f->rig->book);
	while ((f->rc = records_follow(f->rig->book, &f->seq, hear, &f->heard, NULL)) == 0) {
	}
}

static void follow(struct rig *r)
{
	struct follower f = {.rig = r};
	struct scope sc;

	rig_up(r, 100, 3600);
	one(r->book, "before", 0);
	scope_init(&sc, NULL);
	OK(fiber_spawn(&sc, "follower", follow_fiber, &f, NULL));
	OK(fiber_sleep(duration_ms(1)));
	assert_int_equal(f.heard.n, 0);
	one(r->book, "a", 0);
	one(r->book, "b", 0);
	OK(fiber_sleep(duration_ms(1)));
	assert_string_equal(f.heard.ids, "a b");
	one(r->book, "c", 0);
	OK(fiber_sleep(duration_ms(1)));
	assert_string_equal(f.heard.ids, "a b c");
	scope_close(&sc);
	assert_int_equal(f.rc, E_CANCELLED);
	rig_down(r);
}

/* Several may have one id: whoever reads passes by what is not for it. */
static int only_failed(void *arg, const struct request_record *r, struct err *err)
{
	*(uint64_t *)arg = r->seq;
	return r->code ? 0 : E_NOT_FOUND;
}

static void same_ids(struct rig *r)
{
	uint64_t seq = 0;

	rig_up(r, 100, 3600);
	one(r->book, "a", E_UPSTREAM);
	one(r->book, "a", 0);
	OK(records_get(r->book, "a", only_failed, &seq, NULL));
	assert_int_equal(seq, 1);
	rig_down(r);
	rig_up(r, 100, 3600);
	one(r->book, "b", 0);
	seq = 0;
	OK(records_get(r->book, "a", only_failed, &seq, NULL));
	assert_int_equal(seq, 1);
	assert_int_equal(records_get(r->book, "b", only_failed, &seq, NULL), E_NOT_FOUND);
	rig_down(r);
}

/* ---- keeping and losing ---------------------------------------------------------------------- */

static size_t count(struct rig *r, size_t limit)
{
	struct heard h = {0};

	OK(records_list(r->book, limit, hear, &h, NULL));
	return h.n;
}

static void retention(struct rig *r)
{
	char id[32];

	rig_up(r, 50, 3600);
	for (int i = 0; i < 120; i++) {
		snprintf(id, sizeof id, "req_%d", i);
		one(r->book, id, 0);
	}
	OK(fiber_sleep(duration_s(2 * RECORDS_PRUNE_S + 5)));
	rig_down(r);
	rig_up(r, 50, 3600);
	assert_int_equal(count(r, 1000), 50);
	json_t *j = NULL;
	assert_int_equal(records_get(r->book, "req_69", take_json, &j, NULL), E_NOT_FOUND);
	OK(records_get(r->book, "req_70", take_json, &j, NULL));
	json_decref(j);
	rig_down(r);
	rig_up(r, 50, 100); /* they are older than that */
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(count(r, 1000), 0);
	one(r->book, "new", 0);
	rig_down(r);
	rig_up(r, 0, 0); /* nothing is kept but in memory */
	one(r->book, "newer", 0);
	rig_down(r);
	rig_up(r, 50, 3600);
	assert_int_equal(count(r, 1000), 1);
	rig_down(r);
}

/* More than memory holds and the store takes: bounded, and counted. */
static void overflow(struct rig *r)
{
	struct records_stats stats;
	char id[32];

	rig_up(r, 100000, 3600);
	for (int i = 0; i < RECORDS_PENDING_MAX + 100; i++) {
		snprintf(id, sizeof id, "req_%d", i);
		one(r->book, id, 0);
	}
	records_stats(r->book, &stats);
	assert_true(stats.pending <= RECORDS_PENDING_MAX);
	assert_true(stats.lost >= 100);
	assert_int_equal(stats.pending + stats.lost, RECORDS_PENDING_MAX + 100);
	OK(fiber_sleep(duration_s(5)));
	records_stats(r->book, &stats);
	assert_int_equal(stats.pending, 0);
	assert_int_equal(stats.written + stats.lost, RECORDS_PENDING_MAX + 100);
	/* What is written and old is forgotten, and found in the store. */
	snprintf(id, sizeof id, "req_%d", (int)stats.lost + 1);
	json_t *j = NULL;
	OK(records_get(r->book, id, take_json, &j, NULL));
	json_decref(j);
	assert_int_equal(count(r, 1000), 1000);
	rig_down(r);
}

/* A store that fails costs records, and nothing else. */
static void full_disk(struct rig *r)
{
	struct records_stats stats;

	rig_up(r, 100, 3600);
	universe_disk_limit(r->world, 1);
	one(r->book, "a", 0);
	OK(fiber_sleep(duration_s(2)));
	records_stats(r->book, &stats);
	assert_int_equal(stats.lost, 1);
	assert_int_equal(count(r, 10), 1);
	universe_disk_limit(r->world, 0);
	one(r->book, "b", 0);
	OK(fiber_sleep(duration_s(2)));
	records_stats(r->book, &stats);
	assert_int_equal(stats.written, 1);
	rig_down(r);
	rig_up(r, 100, 3600);
	assert_int_equal(count(r, 10), 1);
	rig_down(r);
}

/* ---- a power cut ----------------------------------------------------------------------------- */

struct story {
	struct rig rig;
	struct universe *u;
	unsigned boots;
	size_t found;
};

static void live(void *arg)
{
	struct story *s = arg;
	char id[32];

	rig_up(&s->rig, 1000, 3600);
	if (s->boots++ > 0) {
		s->found = count(&s->rig, 1000);
		rig_down(&s->rig);
		return;
	}
	for (int i = 0; fiber_sleep(duration_ms(10)) == 0; i++) {
		snprintf(id, sizeof id, "req_%d", i);
		one(s->rig.book, id, 0);
	}
	rig_down(&s->rig);
}

static void cut(void *arg)
{
	struct story *s = arg;

	universe_crash(s->u, s->rig.world, false);
	OK(universe_boot(s->u, s->rig.world, NULL, live, s, NULL));
}

/* 100 a second for 5 s: the last half second may be lost, and what was just being written. */
static void power_cut(void **state)
{
	struct universe *u = universe_of_seed(3);
	struct story s = {.u = u, .rig.world = universe_host(u, "alone")};

	OK(universe_boot(u, s.rig.world, NULL, live, &s, NULL));
	OK(universe_at(u, duration_s(5), cut, &s, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	assert_int_equal(s.boots, 2);
	assert_true(s.found >= 500 - 100 * RECORDS_FLUSH_MS / 1000 - 15 && s.found < 500);
	universe_free(u);
}

/* Without a book, or without memory for a record, nothing breaks. */
static void nobody(void **state)
{
	struct record_origin origin = {RECORD_COMMAND, NULL, NULL};
	struct record *r = records_begin(NULL, &origin, "a", "openai", "m");

	assert_null(r);
	record_candidates(r, bytes_str("{}"));
	record_attempt_end(r, record_attempt(r, "t", "own", "m"), 0, NULL);
	record_event(r);
	record_cost(r, 1);
	records_end(NULL, r, 0, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(full),
	    RIG_TEST(hashes),
	    RIG_TEST(lists),
	    RIG_TEST(follow),
	    RIG_TEST(same_ids),
	    RIG_TEST(retention),
	    RIG_TEST(overflow),
	    RIG_TEST(full_disk),
	    cmocka_unit_test(power_cut),
	    cmocka_unit_test(nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
