/* Hosts of the simulation: boot and crash, files and what a power loss takes, processes, workers,
 * and the ends of a run. */
#include "sim_help.h"

#include <stdio.h>

struct box {
	struct universe *u;
	struct world *host;
	struct err err;
	int rc, step, status;
	char text[64];
	uint64_t seed;
	struct process *process;
	struct stream *stream;
};

static void box_open(struct box *b, uint64_t seed)
{
	*b = (struct box){.u = universe_of_seed(seed), .seed = seed};
	b->host = universe_host(b->u, "box");
}

static void box_run(struct box *b, void (*fn)(void *))
{
	OK(universe_boot(b->u, b->host, NULL, fn, b, NULL));
	assert_int_equal(universe_run(b->u), UNIVERSE_DONE);
}

static const char *content(struct box *b, const char *path)
{
	struct buf out = BUF_INIT(sizeof(b->text) - 1);
	int rc = file_read(b->host, path, sizeof(b->text) - 1, &out, NULL);

	snprintf(b->text, sizeof(b->text), "%s", rc == 0 ? buf_cstr(&out) : err_info(rc)->name);
	buf_free(&out);
	return b->text;
}

static int put(struct box *b, const char *path, const char *text)
{
	return file_write(b->host, path, bytes_str(text), 0600, &b->err);
}

/* ---- files --------------------------------------------------------------------------------- */

static void file_rules(void *arg)
{
	struct box *b = arg;
	struct file_info info;
	struct buf out = BUF_INIT(100);

	assert_int_equal(put(b, "/d/f", "x"), E_NOT_FOUND); /* no folder */
	OK(file_mkdirs(b->host, "/d/e/", 0700, NULL));
	OK(file_mkdirs(b->host, "/d/e", 0700, NULL));
	OK(put(b, "/d//./f", "one"));
	OK(put(b, "/d/f", "two"));
	assert_string_equal(content(b, "/d/f"), "two");
	assert_int_equal(file_read(b->host, "/d/f", 2, &out, NULL), E_TOO_LARGE);
	assert_int_equal(file_read(b->host, "/d/g", 9, &out, NULL), E_NOT_FOUND);
	assert_int_equal(file_read(b->host, "/d/e", 9, &out, NULL), E_IO);
	assert_int_equal(put(b, "/d/e", "x"), E_IO);
	assert_int_equal(file_mkdirs(b->host, "/d/f", 0700, NULL), E_EXISTS);
	OK(file_stat(b->host, "/d/f", &info, NULL));
	assert_int_equal(info.size, 3);
	assert_int_equal(info.mode, 0600);
	assert_true(info.mine && !info.is_dir);
	OK(file_stat(b->host, "/d/e", &info, NULL));
	assert_true(info.is_dir && info.mode == 0700);
	OK(file_remove(b->host, "/d/f", NULL));
	assert_int_equal(file_remove(b->host, "/d/f", NULL), E_NOT_FOUND);
	OK(put(b, "here", "relative"));
	assert_string_equal(content(b, "./here"), "relative");
	buf_free(&out);
}

static void test_files(void **state)
{
	struct box b;

	(void)state;
	box_open(&b, 1);
	box_run(&b, file_rules);
	universe_free(b.u);
}

/* Counts up in a file until the crash. */
static void counter(void *arg)
{
	struct box *b = arg;
	char text[16];

	for (;;) {
		snprintf(text, sizeof(text), "%d", b->step + 1);
		if ((b->rc = put(b, "/count", text)) != 0)
			return;
		b->step++;
	}
}

static void power_off(void *arg)
{
	struct box *b = arg;

	universe_crash(b->u, b->host, false);
}

/* What was reported as written is there; what was under way is there whole or not at all. */
static void test_a_crash_never_tears_a_file(void **state)
{
	int old = 0, new = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct box b;
		int count;

		box_open(&b, seed);
		OK(put(&b, "/count", "0"));
		OK(universe_at(b.u, duration_ms(100), power_off, &b, NULL));
		box_run(&b, counter);
		assert_int_equal(b.rc, E_CANCELLED);
		assert_true(b.step > 3);
		count = (int)strtol(content(&b, "/count"), NULL, 10);
		assert_in_range(count, b.step, b.step + 1);
		*(count == b.step ? &old : &new) += 1;
		universe_free(b.u);
	}
	assert_true(old > 0 && new > 0); /* the crash fell into both halves of a write */
}

static void removes(void *arg)
{
	struct box *b = arg;

	OK(file_mkdirs(b->host, "/d", 0700, NULL));
	OK(put(b, "/d/kept", "1"));
	OK(put(b, "/d/gone", "2"));
	OK(file_remove(b->host, "/d/gone", NULL));
	if (b->step == 1)
		OK(put(b, "/d/kept", "3")); /* its fsync of the folder settles the removal */
	assert_string_equal(content(b, "/d/gone"), "E_NOT_FOUND");
}

static int removals_undone(int step, bool sigkill)
{
	int undone = 0;

	for (uint64_t seed = 0; seed < 30; seed++) {
		struct box b;

		box_open(&b, seed);
		b.step = step;
		box_run(&b, removes);
		universe_crash(b.u, b.host, sigkill);
		undone += strcmp(content(&b, "/d/gone"), "2") == 0;
		assert_string_equal(content(&b, "/d/kept"), step == 1 ? "3" : "1");
		universe_free(b.u);
	}
	return undone;
}

static void test_a_power_loss_may_undo_what_was_not_synced(void **state)
{
	(void)state;
	assert_in_range(removals_undone(0, false), 1, 29);
	assert_int_equal(removals_undone(1, false), 0);
	assert_int_equal(removals_undone(0, true), 0);
}

static void locks(void *arg)
{
	struct box *b = arg;
	struct file_lock *a, *c;

	OK(file_lock(b->host, "/lock", &a, NULL));
	assert_int_equal(file_lock(b->host, "/lock", &c, &b->err), E_IN_USE);
	file_unlock(a);
	OK(file_lock(b->host, "/lock", &a, NULL));
	b->step++;
	b->rc = fiber_sleep(duration_s(100));
	file_unlock(a);
}

static void boot_again(void *arg)
{
	struct box *b = arg;

	OK(universe_boot(b->u, b->host, NULL, locks, b, NULL));
}

static void test_a_lock_ends_with_its_process(void **state)
{
	struct box b;

	(void)state;
	box_open(&b, 1);
	OK(universe_at(b.u, duration_s(5), power_off, &b, NULL));
	OK(universe_at(b.u, duration_s(5), boot_again, &b, NULL));
	box_run(&b, locks);
	assert_int_equal(b.step, 2);
	universe_free(b.u);
}

/* ---- Unix sockets -------------------------------------------------------------------------- */

static void unix_server(void *arg)
{
	struct box *b = arg;
	struct listener *l;
	struct stream *s;

	OK(world_unix_listen(b->host, "/control.sock", &l, NULL));
	b->rc = listener_accept(l, &s, NULL, NULL);
	if (b->rc == 0) {
		OK(stream_write(s, "hi", 2, NULL));
		stream_close(s);
	}
	listener_close(l);
}

static void unix_client(void *arg)
{
	struct box *b = arg;
	struct netaddr x, y;
	struct file_info info;
	struct listener *l;
	struct stream *s;
	uint8_t got[2];

	assert_int_equal(world_unix_dial(b->host, "/control.sock", &s, NULL), E_NOT_FOUND);
	OK(fiber_spawn(NULL, "server", unix_server, b, NULL));
	fiber_yield();
	OK(file_stat(b->host, "/control.sock", &info, NULL));
	assert_int_equal(info.mode, 0600);
	assert_int_equal(world_unix_listen(b->host, "/control.sock", &l, NULL), E_IN_USE);
	OK(world_unix_dial(b->host, "/control.sock", &s, NULL));
	assert_false(stream_netaddrs(s, &x, &y));
	assert_string_equal(s->remote, "/control.sock");
	OK(stream_read_full(s, got, 2, NULL));
	stream_close(s);
	assert_int_equal(file_stat(b->host, "/control.sock", &info, NULL), E_NOT_FOUND);
}

static void stale_socket(void *arg)
{
	struct box *b = arg;
	struct listener *l;
	struct stream *s;

	assert_int_equal(world_unix_dial(b->host, "/control.sock", &s, NULL), E_REFUSED);
	OK(world_unix_listen(b->host, "/control.sock", &l, NULL));
	listener_close(l);
}

static void kill_box(void *arg)
{
	struct box *b = arg;

	universe_crash(b->u, b->host, true);
	OK(universe_boot(b->u, b->host, NULL, stale_socket, b, NULL));
}

static void test_unix_sockets(void **state)
{
	struct box b;

	(void)state;
	box_open(&b, 1);
	box_run(&b, unix_client);
	universe_free(b.u);
	box_open(&b, 1);
	OK(universe_at(b.u, duration_s(1), kill_box, &b, NULL));
	box_run(&b, unix_server);
	assert_int_equal(b.rc, E_CANCELLED);
	universe_free(b.u);
}

/* ---- processes ----------------------------------------------------------------------------- */

/* Answers each byte with the next one; ends with the pipe, with argv[1]'s length as status. */
static int successor(struct world *w, struct stream *s, const char *const *argv, void *arg)
{
	struct box *b = arg;
	uint8_t byte;
	ssize_t n;

	assert_ptr_equal(w, b->host);
	while ((n = stream_read(s, &byte, 1, NULL)) == 1) {
		byte++;
		if (stream_write(s, &byte, 1, NULL) != 0)
			break;
	}
	b->rc = (int)n;
	stream_close(s);
	return argv[1] ? (int)strlen(argv[1]) : 0;
}

static uint8_t ask(struct box *b, uint8_t byte)
{
	OK(stream_write(b->stream, &byte, 1, NULL));
	OK(stream_read_full(b->stream, &byte, 1, NULL));
	return byte;
}

static void start(struct box *b)
{
	static const char *const argv[] = {"successor", "seven77", NULL};

	OK(process_start(b->host, argv, &b->process, NULL));
	b->stream = process_stream(b->process);
}

static void process_lives_and_ends(void *arg)
{
	struct box *b = arg;
	static const char *const missing[] = {"nothing", NULL};
	const char *const self[] = {world_self_path(b->host), "successor", NULL};
	struct process *p;

	assert_int_equal(process_start(b->host, missing, &p, NULL), E_NOT_FOUND);
	OK(process_start(b->host, self, &p, NULL));
	process_close(p);
	start(b);
	assert_int_equal(ask(b, 'a'), 'b');
	assert_true(process_id(b->process) > 0);
	OK(stream_close_write(b->stream, NULL));
	OK(process_wait(b->process, &b->status, NULL));
	assert_int_equal(b->status, 7);
	OK(b->rc);
	process_kill(b->process);
	stream_close(b->stream);
	process_close(b->process);
}

static void kill_role(void *arg)
{
	struct box *b = arg;

	universe_kill_role(b->u, b->host, "successor");
}

static void process_is_killed(void *arg)
{
	struct box *b = arg;
	uint8_t byte;

	start(b);
	assert_int_equal(ask(b, 'a'), 'b');
	assert_int_equal(stream_read(b->stream, &byte, 1, NULL), 0); /* killed meanwhile */
	OK(process_wait(b->process, &b->status, NULL));
	assert_int_equal(b->status, 256 + 9);
	assert_int_equal(b->rc, E_CANCELLED);
	stream_close(b->stream);
	process_close(b->process);
}

static void stall(void *arg)
{
	struct box *b = arg;

	universe_stall_role(b->u, b->host, "successor", true);
}

static void resume(void *arg)
{
	struct box *b = arg;

	universe_stall_role(b->u, b->host, "successor", false);
}

static void process_is_stalled(void *arg)
{
	struct box *b = arg;
	struct scope sc;
	uint8_t byte = 'a';

	start(b);
	OK(fiber_sleep(duration_s(2)));
	OK(stream_write(b->stream, &byte, 1, NULL));
	scope_open(&sc, duration_s(5));
	assert_int_equal(stream_read(b->stream, &byte, 1, NULL), E_TIMEOUT);
	scope_close(&sc);
	OK(stream_read_full(b->stream, &byte, 1, NULL));
	assert_int_equal(byte, 'b');
	assert_in_range((uint64_t)duration_to_ms(universe_elapsed(b->u)), 10000, 10010);
	stream_close(b->stream);
	process_close(b->process);
}

/* Will not go quietly. */
static int stubborn(struct world *w, struct stream *s, const char *const *argv, void *arg)
{
	struct box *b = arg;
	struct scope sc;
	uint8_t byte;

	(void)w;
	(void)argv;
	b->rc = (int)stream_read(s, &byte, 1, NULL);
	scope_open_shielded(&sc, duration_s(5));
	OK(fiber_sleep(duration_s(1)));
	assert_int_equal(stream_write(s, "x", 1, NULL), E_CANCELLED);
	b->step = 1;
	scope_close(&sc);
	stream_close(s);
	return 3;
}

/* Hangs up on its parent and works on. */
static int loner(struct world *w, struct stream *s, const char *const *argv, void *arg)
{
	struct box *b = arg;

	(void)w;
	(void)argv;
	stream_close(s);
	b->rc = fiber_sleep(duration_s(5));
	return 4;
}

static void hang_up(struct box *b)
{
	static const char *const argv[] = {"loner", NULL};
	uint8_t byte;

	OK(process_start(b->host, argv, &b->process, NULL));
	b->stream = process_stream(b->process);
	assert_int_equal(stream_read(b->stream, &byte, 1, NULL), 0);
	stream_close(b->stream);
}

static void process_outlives_its_pipe(void *arg)
{
	struct box *b = arg;

	hang_up(b);
	OK(process_wait(b->process, &b->status, NULL));
	assert_int_equal(b->status, 4);
	OK(b->rc);
	process_close(b->process);
	hang_up(b);
	process_kill(b->process);
	OK(process_wait(b->process, &b->status, NULL));
	assert_int_equal(b->status, 256 + 9);
	assert_int_equal(b->rc, E_CANCELLED);
	process_close(b->process);
}

static void kill_stubborn(void *arg)
{
	struct box *b = arg;

	universe_kill_role(b->u, b->host, "stubborn");
}

static void ghosts_are_silent(void *arg)
{
	struct box *b = arg;
	static const char *const argv[] = {"stubborn", NULL};
	uint8_t byte;

	OK(process_start(b->host, argv, &b->process, NULL));
	b->stream = process_stream(b->process);
	assert_int_equal(stream_read(b->stream, &byte, 1, NULL), 0);
	assert_in_range((uint64_t)duration_to_ms(universe_elapsed(b->u)), 1000, 1010);
	assert_int_equal(b->step, 0); /* it still unwinds */
	OK(process_wait(b->process, &b->status, NULL));
	assert_int_equal(b->status, 256 + 9);
	assert_int_equal(b->step, 1);
	stream_close(b->stream);
	process_close(b->process);
}

static void process_run(void (*fn)(void *), void (*at_1s)(void *), void (*at_10s)(void *))
{
	struct box b;

	box_open(&b, 1);
	universe_role(b.u, "successor", successor, &b);
	universe_role(b.u, "stubborn", stubborn, &b);
	universe_role(b.u, "loner", loner, &b);
	if (at_1s)
		OK(universe_at(b.u, duration_s(1), at_1s, &b, NULL));
	if (at_10s)
		OK(universe_at(b.u, duration_s(10), at_10s, &b, NULL));
	box_run(&b, fn);
	universe_free(b.u);
}

static void dies_with_its_host(void *arg)
{
	struct box *b = arg;
	uint8_t byte;

	start(b);
	assert_int_equal(stream_read(b->stream, &byte, 1, NULL), E_CANCELLED);
	stream_close(b->stream);
	process_close(b->process);
}

static void test_processes(void **state)
{
	(void)state;
	process_run(process_lives_and_ends, NULL, NULL);
	process_run(process_is_killed, kill_role, NULL);
	process_run(process_is_stalled, stall, resume);
	process_run(dies_with_its_host, power_off, NULL);
	process_run(ghosts_are_silent, kill_stubborn, NULL);
	process_run(process_outlives_its_pipe, NULL, NULL);
}

/* ---- workers ------------------------------------------------------------------------------- */

static void count_work(void *arg)
{
	((struct box *)arg)->step++;
}

static void count_drop(void *arg)
{
	((struct box *)arg)->status++;
}

static void works(void *arg)
{
	struct box *b = arg;
	struct scope sc;
	struct instant before = world_now(b->host);

	OK(rt_work(count_work, b, NULL, NULL));
	assert_int_equal(b->step, 1);
	assert_true(instant_before(before, world_now(b->host)));
	scope_open(&sc, duration_ns(1));
	assert_int_equal(rt_work(count_work, b, count_drop, NULL), E_TIMEOUT);
	scope_close(&sc);
	assert_int_equal(b->step, 1);
	OK(fiber_sleep(duration_ms(1)));
	assert_int_equal(b->step, 2); /* it went on unattended */
	assert_int_equal(b->status, 1);
}

static void test_workers(void **state)
{
	struct box b;

	(void)state;
	box_open(&b, 1);
	box_run(&b, works);
	universe_free(b.u);
}

/* ---- time, environment --------------------------------------------------------------------- */

static void spins(void *arg)
{
	struct box *b = arg;
	struct instant until = instant_add(world_now(b->host), duration_ms(1));

	while (instant_before(world_now(b->host), until))
		fiber_yield();
	b->step = 1;
}

static void environment(void *arg)
{
	struct box *b = arg;

	assert_null(world_env(b->host, "HOME"));
	universe_setenv(b->u, b->host, "HOME", "/root");
	assert_string_equal(world_env(b->host, "HOME"), "/root");
	universe_setenv(b->u, b->host, "HOME", "/");
	assert_string_equal(world_env(b->host, "HOME"), "/");
	universe_setenv(b->u, b->host, "HOME", NULL);
	assert_null(world_env(b->host, "HOME"));
	assert_in_range(
	    (uint64_t)world_wall_ms(b->host), 1704067200000 - 250, 1704067200000 + 9999);
}

static void test_time_and_environment(void **state)
{
	struct box b;

	(void)state;
	box_open(&b, 1);
	box_run(&b, spins); /* a loop that yields gets there */
	assert_int_equal(b.step, 1);
	box_run(&b, environment);
	universe_free(b.u);
}

/* ---- how a run ends ------------------------------------------------------------------------ */

static void waits_for_nothing(void *arg)
{
	struct box *b = arg;
	struct waitq q = {0};

	b->rc = waitq_wait(&q, NULL);
}

static void sleeps_long(void *arg)
{
	struct box *b = arg;

	b->rc = fiber_sleep(duration_s(10000));
}

static void stops(void *arg)
{
	struct box *b = arg;

	universe_stop(b->u);
	b->rc = fiber_sleep(duration_s(1));
}

/* And again while it unwinds, with a goodbye that takes time. */
static void stops_twice(void *arg)
{
	struct box *b = arg;
	struct scope sc;

	stops(b);
	universe_stop(b->u);
	scope_open_shielded(&sc, duration_s(5));
	OK(fiber_sleep(duration_s(1)));
	scope_close(&sc);
}

static void test_how_a_run_ends(void **state)
{
	static const struct {
		void (*fn)(void *);
		enum universe_end end;
	} cases[] = {{waits_for_nothing, UNIVERSE_STUCK}, {sleeps_long, UNIVERSE_TIME_LIMIT},
	    {stops, UNIVERSE_STOPPED}, {stops_twice, UNIVERSE_STOPPED}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct box b;

		box_open(&b, 1);
		OK(universe_boot(b.u, b.host, NULL, cases[i].fn, &b, NULL));
		assert_int_equal(universe_run(b.u), cases[i].end);
		assert_true(universe_alive(b.u, b.host));
		universe_free(b.u); /* cancels what is left */
		assert_int_equal(b.rc, E_CANCELLED);
	}
}

static void nothing(void *arg)
{
	((struct box *)arg)->step++;
}

static void test_a_planned_event_outlives_quiet_times(void **state)
{
	struct box b;

	(void)state;
	box_open(&b, 1);
	OK(universe_at(b.u, duration_s(100), nothing, &b, NULL));
	OK(universe_at(b.u, duration_s(50), nothing, &b, NULL));
	assert_int_equal(universe_run(b.u), UNIVERSE_DONE);
	assert_int_equal(b.step, 2);
	assert_int_equal(universe_elapsed(b.u).ns, duration_s(100).ns);
	universe_free(b.u);
}

static void test_records_are_part_of_the_hash(void **state)
{
	struct box a, b;

	(void)state;
	box_open(&a, 1);
	box_open(&b, 1);
	assert_true(universe_hash(a.u) == universe_hash(b.u));
	universe_record(a.u, "award %d", 1);
	assert_true(universe_hash(a.u) != universe_hash(b.u));
	universe_record(b.u, "award %d", 2);
	assert_true(universe_hash(a.u) != universe_hash(b.u));
	universe_free(a.u);
	universe_free(b.u);
}

/* ---- many hosts ---------------------------------------------------------------------------- */

#define N_CROWD 2000

struct crowd {
	struct universe *u;
	struct world *hub;
	int served;
};

struct guest {
	struct crowd *crowd;
	struct world *host;
};

static void serve_guest(void *arg)
{
	struct stream *s = arg;
	uint8_t byte;

	OK(stream_read_full(s, &byte, 1, NULL));
	OK(stream_write(s, &byte, 1, NULL));
	stream_close(s);
}

static void hub_main(void *arg)
{
	struct crowd *c = arg;
	struct netaddr at = any_addr(4000);
	struct listener *l;
	struct stream *s;
	struct scope sc;

	OK(world_tcp_listen(c->hub, &at, &l, NULL));
	scope_open(&sc, DURATION_FOREVER);
	while (c->served < N_CROWD) {
		OK(listener_accept(l, &s, NULL, NULL));
		OK(fiber_spawn(NULL, "serve", serve_guest, s, NULL));
		c->served++;
	}
	OK(scope_join(&sc));
	scope_close(&sc);
	listener_close(l);
}

static void crowd_main(void *arg)
{
	struct guest *g = arg;
	struct netaddr to = addr_of(g->crowd->hub, 4000);
	struct stream *s;
	uint8_t byte = 1;

	OK(fiber_sleep(duration_ms(1)));
	OK(world_tcp_dial(g->host, &to, &s, NULL));
	OK(stream_write(s, &byte, 1, NULL));
	OK(stream_read_full(s, &byte, 1, NULL));
	stream_close(s);
}

/* They all dial in the same millisecond: the backlog overflows, and nobody is turned away. */
static void test_thousands_of_hosts(void **state)
{
	struct crowd c = {.u = universe_of_seed(1)};
	struct guest *guests = calloc(N_CROWD, sizeof(*guests));
	char name[16];

	(void)state;
	c.hub = universe_host(c.u, "hub");
	OK(universe_boot(c.u, c.hub, NULL, hub_main, &c, NULL));
	for (int i = 0; i < N_CROWD; i++) {
		snprintf(name, sizeof(name), "guest-%d", i);
		guests[i] = (struct guest){&c, universe_host(c.u, name)};
		OK(universe_boot(c.u, guests[i].host, NULL, crowd_main, &guests[i], NULL));
	}
	assert_int_equal(universe_run(c.u), UNIVERSE_DONE);
	assert_int_equal(c.served, N_CROWD);
	universe_free(c.u);
	free(guests);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_a_crash_never_tears_a_file),
	    cmocka_unit_test(test_a_power_loss_may_undo_what_was_not_synced),
	    cmocka_unit_test(test_a_lock_ends_with_its_process),
	    cmocka_unit_test(test_unix_sockets),
	    cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_workers),
	    cmocka_unit_test(test_time_and_environment),
	    cmocka_unit_test(test_how_a_run_ends),
	    cmocka_unit_test(test_a_planned_event_outlives_quiet_times),
	    cmocka_unit_test(test_records_are_part_of_the_hash),
	    cmocka_unit_test(test_thousands_of_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
