/* The store on a real disk: ends without goodbye, other processes, folders that are not ours. */
#include "store_help.h"

#include "rt/world_uv.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static char folder[64], path[128];

static int setup(void **state)
{
	strcpy(folder, "/tmp/og-store-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/gate.db", folder);
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
	char name[160];

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		snprintf(name, sizeof name, "%s%s", path, ends[i]);
		unlink(name);
	}
	return rmdir(folder);
}

struct errand {
	void (*fn)(struct world *w, void *arg);
	void *arg;
	struct world *world;
};

static void errand_fiber(void *arg)
{
	struct errand *e = arg;

	e->fn(e->world, e->arg);
}

static void in_world(void (*fn)(struct world *w, void *arg), void *arg)
{
	struct errand e = {fn, arg, NULL};

	OK(world_uv_new(&e.world, NULL));
	OK(rt_start(e.world->rt, "test", NULL, errand_fiber, &e, NULL));
	rt_run(e.world->rt);
	world_uv_free(e.world);
}

/* fn in a process of its own; what fails there shows in its status. */
static pid_t in_child(void (*fn)(struct world *w, void *arg), void *arg)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child > 0)
		return child;
	in_world(fn, arg);
	_exit(0);
}

/* ---- an end without goodbye ------------------------------------------------------------------ */

#define LIVES 8

/* Writes items, and says so, until it is killed. */
static void write_for_ever(struct world *w, void *arg)
{
	int out = *(int *)arg;
	struct store *s;
	struct err err = {0};

	if (items_open(w, path, 1, &s, &err) != 0) {
		fprintf(stderr, "%s\n", err_text(&err));
		_exit(1);
	}
	for (int64_t id = count_of(s, "SELECT count(*) FROM items");; id++) {
		if (store_run(s, put_item, &id, &err) != 0) {
			fprintf(stderr, "%s\n", err_text(&err));
			_exit(1);
		}
		if (write(out, &id, sizeof id) != sizeof id)
			_exit(1);
	}
}

static void read_all(struct world *w, void *arg)
{
	int64_t *n = arg;
	struct store *s;

	OK(items_open(w, path, 1, &s, NULL));
	*n = count_of(s, ITEMS_WHOLE);
	assert_int_equal(*n, count_of(s, "SELECT count(*) FROM items"));
	store_close(s);
}

static void killed(void **state)
{
	int64_t told = 0;

	for (int i = 0; i < LIVES; i++) {
		int ends[2], status;
		int64_t id, found = 0, wanted = told + 20 + 17 * i;
		OK(pipe(ends));
		pid_t child = in_child(write_for_ever, &ends[1]);
		close(ends[1]);
		while (told < wanted && read(ends[0], &id, sizeof id) == sizeof id)
			told = id + 1;
		kill(child, SIGKILL);
		while (read(ends[0], &id, sizeof id) == sizeof id)
			told = id + 1;
		close(ends[0]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_true(told >= wanted);
		in_world(read_all, &found);
		/* One may have been written, but not told. */
		assert_true(found == told || found == told + 1);
		told = found;
	}
}

/* ---- other processes ------------------------------------------------------------------------- */

struct holder {
	int ready[2], release[2];
};

static int hold_lock(struct store_tx *tx, void *arg, struct err *err)
{
	struct holder *h = arg;
	int64_t id = 1;
	char c = 1;

	OK(put_item(tx, &id, err));
	assert_int_equal(write(h->ready[1], &c, 1), 1);
	assert_int_equal(read(h->release[0], &c, 1), 1);
	return 0;
}

static void hold(struct world *w, void *arg)
{
	struct store *s;

	OK(items_open(w, path, 1, &s, NULL));
	OK(store_run(s, hold_lock, arg, NULL));
	store_close(s);
}

/* Readers go on; a writer waits, and then says who is in the way. */
static void meet_lock(struct world *w, void *arg)
{
	struct store *s;
	struct err err = {0};
	int64_t id = 2;

	OK(items_open(w, path, 1, &s, &err));
	struct holder *h = arg;
	pid_t child = in_child(hold, h);
	char c;
	assert_int_equal(read(h->ready[0], &c, 1), 1);
	struct instant began = rt_now();
	assert_int_equal(count_of(s, ITEMS_WHOLE), 0);
	assert_true(duration_to_ms(instant_since(rt_now(), began)) < STORE_BUSY_MS / 2);
	assert_int_equal(store_run(s, put_item, &id, &err), E_IN_USE);
	assert_non_null(strstr(err.text, "another process keeps it locked"));
	assert_true(duration_to_ms(instant_since(rt_now(), began)) >= STORE_BUSY_MS - 100);
	assert_int_equal(write(h->release[1], &c, 1), 1);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	OK(store_run(s, put_item, &id, &err));
	assert_int_equal(count_of(s, ITEMS_WHOLE), 2);
	store_close(s);
}

static void locked(void **state)
{
	struct holder h;

	OK(pipe(h.ready));
	OK(pipe(h.release));
	in_world(meet_lock, &h);
	for (int i = 0; i < 2; i++) {
		close(h.ready[i]);
		close(h.release[i]);
	}
}

/* ---- folders that are not ours --------------------------------------------------------------- */

static void make(struct world *w, void *arg)
{
	struct store *s;
	int64_t id = 1;

	OK(items_open(w, path, 1, &s, NULL));
	OK(store_run(s, put_item, &id, NULL));
	store_close(s);
}

static void meet_refusal(struct world *w, void *arg)
{
	struct store *s;
	struct err err = {0};
	int rc = items_open(w, path, 1, &s, &err);

	if (rc != E_FORBIDDEN || !strstr(err.text, path)) {
		fprintf(stderr, "%d: %s\n", rc, err_text(&err));
		_exit(1);
	}
}

/* As a user without rights, if we can become one. */
static void refused_to_nobody(void)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (getuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
			_exit(2);
		in_world(meet_refusal, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void read_only(void **state)
{
	OK(chmod(folder, 0555));
	refused_to_nobody(); /* nothing there, and nothing can be made */
	OK(chmod(folder, 0755));
	in_world(make, NULL);
	if (getuid() == 0)
		OK(chown(path, NOBODY, NOBODY));
	OK(chmod(path, 0400));
	OK(chmod(folder, 0555));
	refused_to_nobody(); /* the file can be read only */
	OK(chmod(path, 0600));
	refused_to_nobody(); /* there is no room for its log */
	OK(chmod(folder, 0700));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(killed, setup, teardown),
	    cmocka_unit_test_setup_teardown(locked, setup, teardown),
	    cmocka_unit_test_setup_teardown(read_only, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
