/* The store in the simulated world: transactions, migrations, damage, a full disk, power cuts. */
#include "store_help.h"

#define PATH "/data/gate.db"

struct alone {
	struct world *world;
	void (*fn)(struct world *w);
};

/* The main fiber of a host with an empty data folder. */
static void on_host(void *arg)
{
	struct alone *a = arg;

	OK(file_mkdirs(a->world, "/data", 0700, NULL));
	a->fn(a->world);
}

static void in_world(void **state)
{
	void (*const *fn)(struct world *) = *state;
	struct universe *u = universe_of_seed(1);
	struct alone a = {universe_host(u, "alone"), *fn};

	OK(universe_boot(u, a.world, NULL, on_host, &a, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

#define WORLD_TEST(fn)                                                                             \
	{                                                                                          \
#fn, in_world, NULL, NULL, &(void (*[1])(struct world *))                          \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

static struct store *open_items(struct world *w, size_t version)
{
	struct store *s = NULL;
	struct err err = {0};

	if (items_open(w, PATH, version, &s, &err) != 0)
		fail_msg("%s", err_text(&err));
	return s;
}

/* ---- transactions ---------------------------------------------------------------------------- */

static const uint8_t raw[] = {0, 1, 0, 255};

static int put_values(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "INSERT INTO items (id, name, body) VALUES (?, ?, ?)");
	store_bind_int(&q, 1, INT64_MIN);
	store_bind_text(&q, 2, "Grüße");
	store_bind_blob(&q, 3, bytes_of(raw, sizeof raw));
	int rc = store_finish(&q, err);
	if (rc)
		return rc;
	assert_int_equal(store_changed(tx), 1);
	store_query(tx, &q, "INSERT INTO items (id, name, body) VALUES (?, ?, ?)");
	store_bind_int(&q, 1, INT64_MAX);
	store_bind_null(&q, 2);
	store_bind_blob(&q, 3, bytes_of(NULL, 0));
	return store_finish(&q, err);
}

static int check_values(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "SELECT id, name, body FROM items ORDER BY id");
	assert_int_equal(store_step(&q, err), STORE_ROW);
	assert_true(store_int(&q, 0) == INT64_MIN);
	assert_string_equal(store_text(&q, 1), "Grüße");
	assert_true(bytes_equal(store_blob(&q, 2), bytes_of(raw, sizeof raw)));
	assert_int_equal(store_step(&q, err), STORE_ROW);
	assert_true(store_int(&q, 0) == INT64_MAX);
	assert_true(store_is_null(&q, 1));
	assert_string_equal(store_text(&q, 1), "");
	assert_false(store_is_null(&q, 2));
	assert_int_equal(store_blob(&q, 2).n, 0);
	assert_int_equal(store_step(&q, err), 0);
	store_end(&q);
	return 0;
}

static void values(struct world *w)
{
	struct store *s = open_items(w, 1);
	struct file_info info;

	OK(store_run(s, put_values, NULL, NULL));
	OK(store_read(s, check_values, NULL, NULL));
	OK(file_stat(w, PATH, &info, NULL));
	assert_int_equal(info.mode, 0600);
	store_close(s);
	s = open_items(w, 1);
	OK(store_read(s, check_values, NULL, NULL));
	store_close(s);
	assert_int_equal(file_stat(w, PATH "-wal", &info, NULL), E_NOT_FOUND);
}

static int put_and_fail(struct store_tx *tx, void *arg, struct err *err)
{
	OK(put_item(tx, arg, err));
	return err_set(err, E_FORBIDDEN, "changed my mind");
}

static int put_orphan(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "INSERT INTO marks (item, n) VALUES (99, 1)");
	return store_finish(&q, err);
}

static int wrong_sql(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "SELECT something FROM nowhere");
	store_bind_int(&q, 1, 1);
	int rc = store_step(&q, err);
	store_end(&q);
	return rc;
}

static int run_on(struct store_tx *tx, void *arg, struct err *err)
{
	struct count c = {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
			  " SELECT count(*) FROM n",
	    0};

	return get_count(tx, &c, err);
}

static void failures(struct world *w)
{
	struct store *s = open_items(w, 1);
	struct err err = {0};
	int64_t one = 1, two = 2;

	OK(store_run(s, put_item, &one, NULL));
	assert_int_equal(store_run(s, put_and_fail, &two, &err), E_FORBIDDEN);
	assert_string_equal(err.text, "changed my mind");
	assert_int_equal(store_run(s, put_item, &one, &err), E_EXISTS);
	assert_int_equal(store_run(s, put_orphan, NULL, &err), E_INVALID);
	assert_int_equal(store_run(s, wrong_sql, NULL, &err), E_INTERNAL);
	if (!strstr(err.text, "nowhere"))
		fail_msg("%s", err.text);
	assert_int_equal(store_run(s, run_on, NULL, &err), E_LIMIT);
	two = 3;
	assert_int_equal(store_read(s, put_item, &two, &err), E_FORBIDDEN);
	assert_int_equal(count_of(s, ITEMS_WHOLE), 1);
	assert_int_equal(count_of(s, "SELECT count(*) FROM items"), 1);
	OK(store_run(s, put_item, &two, NULL)); /* all is well after all that */
	assert_int_equal(count_of(s, ITEMS_WHOLE), 2);
	store_close(s);
}

#define WRITERS 200

struct writer {
	struct store *s;
	int64_t id;
	int rc;
};

/* Each third one fails; its neighbours in the group do not notice. */
static void write_one(void *arg)
{
	struct writer *wr = arg;

	wr->rc = store_run(wr->s, wr->id % 3 == 0 ? put_and_fail : put_item, &wr->id, NULL);
}

static void groups(struct world *w)
{
	struct store *s = open_items(w, 1);
	struct writer *all = calloc(WRITERS, sizeof *all);
	struct store_stats stats;
	struct scope sc;

	scope_init(&sc, NULL);
	for (int64_t i = 0; i < WRITERS; i++) {
		all[i] = (struct writer){s, i, -1};
		OK(fiber_spawn(&sc, "writer", write_one, &all[i], NULL));
	}
	OK(scope_join(&sc));
	scope_close(&sc);
	for (int64_t i = 0; i < WRITERS; i++)
		assert_int_equal(all[i].rc, i % 3 == 0 ? E_FORBIDDEN : 0);
	assert_int_equal(count_of(s, ITEMS_WHOLE), WRITERS - (WRITERS + 2) / 3);
	store_stats(s, &stats);
	assert_int_equal(stats.transactions + stats.failed, WRITERS);
	assert_int_equal(stats.failed, (WRITERS + 2) / 3);
	assert_true(stats.groups <= 1 + WRITERS / STORE_GROUP_MAX + 1);
	assert_int_equal(stats.waiting, 0);
	store_close(s);
	free(all);
}

/* Who is cancelled while it writes finds out what became of it. */
static void cancelled_writer(struct world *w)
{
	struct store *s = open_items(w, 1);
	struct writer wr = {s, 1, -1};
	struct scope sc;

	scope_init(&sc, NULL);
	OK(fiber_spawn(&sc, "writer", write_one, &wr, NULL));
	fiber_yield();
	scope_close(&sc);
	assert_int_equal(wr.rc, 0);
	assert_int_equal(count_of(s, ITEMS_WHOLE), 1);
	store_close(s);
}

/* ---- migrations ------------------------------------------------------------------------------ */

static void migrations(struct world *w)
{
	static const char *const other[] = {"CREATE TABLE others (x BIGINT)"};
	static const char *const bad[] = {
	    "CREATE TABLE others (x BIGINT)", "CREATE TABLE more (y BIGINT)", "CREATE nonsense"};
	struct store_schema both[] = {{"items", item_steps, 2}, {"others", bad, 3}};
	struct store_options opt = {.world = w, .path = PATH, .schemas = both, .n_schemas = 2};
	struct store *s = open_items(w, 1);
	struct err err = {0};
	int64_t one = 1;

	OK(store_run(s, put_item, &one, NULL));
	store_close(s);
	/* One bad step undoes all of them, of all rooms. */
	assert_int_equal(store_open(&opt, &s, &err), E_INTERNAL);
	assert_non_null(strstr(err.text, "tables of others, step 3"));
	s = open_items(w, 1);
	store_close(s);
	both[1] = (struct store_schema){"others", other, 1};
	OK(store_open(&opt, &s, &err));
	assert_int_equal(count_of(s, "SELECT rank FROM items WHERE id = 1"), 7);
	assert_int_equal(count_of(s, "SELECT count(*) FROM others"), 0);
	store_close(s);
	assert_int_equal(items_open(w, PATH, 1, &s, &err), E_UNSUPPORTED);
	assert_non_null(strstr(err.text, "a newer gate"));
	s = open_items(w, 2);
	assert_int_equal(count_of(s, ITEMS_WHOLE), 1);
	store_close(s);
}

/* ---- what is wrong with files ---------------------------------------------------------------- */

static void overwrite(struct world *w, const char *path, size_t at, const char *with)
{
	struct buf b = BUF_INIT(64u << 20);

	OK(file_read(w, path, 64u << 20, &b, NULL));
	assert_true(at + strlen(with) <= b.n);
	memcpy(b.p + at, with, strlen(with));
	OK(file_write(w, path, buf_view(&b), 0600, NULL));
	buf_free(&b);
}

static void refuses(struct world *w, int code, const char *text)
{
	struct store *s;
	struct err err = {0};

	assert_int_equal(items_open(w, PATH, 1, &s, &err), code);
	if (!strstr(err.text, text) || !strstr(err.text, PATH))
		fail_msg("%s", err.text);
}

static void damage(struct world *w)
{
	struct store *s = open_items(w, 1);
	struct buf junk = BUF_INIT(20000);

	for (int64_t i = 0; i < 300; i++)
		OK(store_run(s, put_item, &i, NULL));
	store_close(s);
	overwrite(w, PATH, 0, "no such header");
	refuses(w, E_FORMAT, "damaged, or no database");
	overwrite(w, PATH, 0, "SQLite format 3");
	s = open_items(w, 1);
	store_close(s);
	/* A page in the middle, and a log that tells of an end without goodbye. */
	overwrite(w, PATH, 2 * 4096, "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@");
	OK(file_write(w, PATH "-wal", bytes_str("x"), 0600, NULL));
	refuses(w, E_FORMAT, "damaged");
	(void)!file_remove(w, PATH "-wal", NULL); /* SQLite may have done it */
	while (junk.n < 10000)
		buf_str(&junk, "This is no database. ");
	OK(file_write(w, PATH, buf_view(&junk), 0600, NULL));
	refuses(w, E_FORMAT, "no database");
	buf_free(&junk);
}

static void permissions(struct world *w)
{
	store_close(open_items(w, 1));
	struct buf b = BUF_INIT(1 << 20);

	OK(file_read(w, PATH, 1 << 20, &b, NULL));
	OK(file_write(w, PATH, buf_view(&b), 0644, NULL));
	refuses(w, E_FORBIDDEN, "chmod 600");
	buf_free(&b);
	OK(file_remove(w, PATH, NULL));
	OK(file_mkdirs(w, PATH, 0700, NULL));
	refuses(w, E_INVALID, "is a folder");
}

static void full_disk(struct world *w)
{
	struct store *s = open_items(w, 1);
	struct err err = {0};
	int64_t i = 0, kept;
	int rc = 0;

	universe_disk_limit(w, 400000);
	while (rc == 0 && i < 10000)
		if ((rc = store_run(s, put_item, &i, &err)) == 0)
			i++;
	assert_int_equal(rc, E_IO);
	assert_non_null(strstr(err.text, "the disk is full"));
	kept = i;
	assert_true(kept > 10);
	assert_int_equal(count_of(s, ITEMS_WHOLE), kept);
	assert_int_equal(store_run(s, put_item, &i, &err), E_IO);
	universe_disk_limit(w, 0);
	OK(store_run(s, put_item, &i, &err));
	assert_int_equal(count_of(s, ITEMS_WHOLE), kept + 1);
	store_close(s);
	universe_disk_limit(w, 1000);
	OK(file_remove(w, PATH, NULL));
	refuses(w, E_IO, "the disk is full");
}

/* ---- power cuts ------------------------------------------------------------------------------ */

#define CUTS       6
#define CUT_SEEDS  20
#define CUT_FIBERS 4
#define CUT_IDS    100000

struct story {
	struct universe *u;
	struct world *host;
	bool *acknowledged; /* by id */
	int64_t next, told, checked;
	unsigned boots;
	struct store *s;
};

static void write_on(void *arg)
{
	struct story *st = arg;

	while (fiber_sleep(duration_us((int64_t)universe_random_below(st->u, 3000))) == 0) {
		int64_t id = st->next++;
		if (store_run(st->s, put_item, &id, NULL) == 0) {
			st->acknowledged[id] = true;
			st->told++;
		}
	}
}

static int check_all(struct store_tx *tx, void *arg, struct err *err)
{
	struct story *st = arg;
	struct store_query q;
	int64_t found = 0;
	int rc;

	store_query(tx, &q,
	    "SELECT i.id, m.n FROM items i LEFT JOIN marks m ON m.item = i.id ORDER BY i.id");
	while ((rc = store_step(&q, err)) == STORE_ROW) {
		int64_t id = store_int(&q, 0);
		assert_int_equal(store_int(&q, 1), 3 * id); /* never half of a transaction */
		found += st->acknowledged[id];
	}
	store_end(&q);
	assert_int_equal(found, st->told);
	st->checked += found;
	return rc;
}

static void life(void *arg)
{
	struct story *st = arg;
	struct err err = {0};
	struct scope sc;

	st->boots++;
	int rc = file_mkdirs(st->host, "/data", 0700, &err);
	if (rc == 0)
		rc = items_open(st->host, PATH, 2, &st->s, &err);
	if (rc) {
		/* Nothing but another crash may keep a node from its database. */
		if (rc != E_CANCELLED && scope_check(NULL) == 0)
			fail_msg("boot %u: %s", st->boots, err_text(&err));
		return;
	}
	rc = store_read(st->s, check_all, st, &err);
	if (rc && scope_check(NULL) == 0)
		fail_msg("boot %u: %s", st->boots, err_text(&err));
	scope_init(&sc, NULL);
	for (int i = 0; i < CUT_FIBERS; i++)
		if (fiber_spawn(&sc, "writer", write_on, st, NULL) != 0)
			break;
	(void)!scope_join(&sc);
	scope_close(&sc);
	store_close(st->s);
}

static void cut(void *arg)
{
	struct story *st = arg;

	universe_crash(st->u, st->host, universe_random_below(st->u, 3) == 0);
	OK(universe_boot(st->u, st->host, NULL, life, st, NULL));
}

static void the_end(void *arg)
{
	struct story *st = arg;

	universe_crash(st->u, st->host, false);
	universe_stop(st->u);
}

static void power_cuts(void **state)
{
	int64_t checked = 0;

	for (uint64_t seed = 1; seed <= CUT_SEEDS; seed++) {
		struct universe *u = universe_of_seed(seed);
		struct story st = {.u = u,
		    .host = universe_host(u, "alone"),
		    .acknowledged = calloc(CUT_IDS, sizeof(bool))};
		int64_t at = 0;

		OK(universe_boot(u, st.host, NULL, life, &st, NULL));
		for (int i = 0; i < CUTS; i++) {
			at += (int64_t)universe_random_below(u, 150000);
			OK(universe_at(u, duration_us(at), cut, &st, NULL));
		}
		OK(universe_at(u, duration_us(at + 100000), the_end, &st, NULL));
		assert_int_equal(universe_run(u), UNIVERSE_STOPPED);
		assert_true(st.boots >= 2 && st.next < CUT_IDS);
		checked += st.checked;
		universe_free(u);
		free(st.acknowledged);
	}
	assert_true(checked > 10000);
}

/* The simulated disk does lose what was not synced, or the test above could not fail. */
#define PIECES 60

static void write_pieces(void *arg)
{
	struct world *w = arg;
	const struct disk_ops *ops = world_disk(w);
	uint8_t data[2048];

	memset(data, 'n', sizeof data);
	for (int i = 0; i < PIECES; i++) {
		char path[32];
		struct disk_file *f;
		snprintf(path, sizeof path, "/piece%d", i);
		OK(ops->open(w, path, true, &f));
		OK(ops->write(f, "old", 3, 0));
		OK(ops->sync(f, true));
		OK(ops->write(f, data, sizeof data, 3));
		if (i % 2)
			OK(ops->sync(f, false));
		ops->close(f);
	}
	assert_int_equal(fiber_sleep(duration_s(1000)), E_CANCELLED);
}

struct pieces {
	struct universe *u;
	struct world *w;
};

static void cut_pieces(void *arg)
{
	struct pieces *p = arg;

	universe_crash(p->u, p->w, false);
}

static void unsynced_is_lost(void **state)
{
	struct universe *u = universe_of_seed(7);
	struct world *w = universe_host(u, "alone");
	struct pieces p = {u, w};
	unsigned lost = 0, torn = 0, kept = 0;

	OK(universe_boot(u, w, NULL, write_pieces, w, NULL));
	OK(universe_at(u, duration_s(1), cut_pieces, &p, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	for (int i = 0; i < PIECES; i++) {
		char path[32];
		struct buf b = BUF_INIT(10000);
		snprintf(path, sizeof path, "/piece%d", i);
		OK(file_read(w, path, 10000, &b, NULL));
		assert_memory_equal(b.p, "old", 3);
		if (i % 2) {
			assert_int_equal(b.n, 3 + 2048);
		} else {
			lost += b.n == 3;
			torn += b.n > 3 && b.n < 3 + 2048;
			kept += b.n == 3 + 2048;
			assert_int_equal((b.n - 3) % 512, 0);
		}
		buf_free(&b);
	}
	assert_int_equal(lost + torn + kept, PIECES / 2);
	assert_true(lost > 0 && torn > 0 && kept > 0);
	universe_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(values),
	    WORLD_TEST(failures),
	    WORLD_TEST(groups),
	    WORLD_TEST(cancelled_writer),
	    WORLD_TEST(migrations),
	    WORLD_TEST(damage),
	    WORLD_TEST(permissions),
	    WORLD_TEST(full_disk),
	    cmocka_unit_test(power_cuts),
	    cmocka_unit_test(unsynced_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
