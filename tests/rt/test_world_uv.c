/* The real world: sockets, datagrams, files, processes, names. */
#include "rt/world_uv.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct world *world;
static char folder[64];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/og-test-XXXXXX");
	return mkdtemp(folder) ? world_uv_new(&world, NULL) : -1;
}

static int teardown(void **state)
{
	(void)state;
	world_uv_free(world);
	char command[128];
	snprintf(command, sizeof command, "%s/x", folder);
	unlink(command);
	snprintf(command, sizeof command, "%s/lock", folder);
	unlink(command);
	snprintf(command, sizeof command, "%s/a/b", folder);
	rmdir(command);
	snprintf(command, sizeof command, "%s/a", folder);
	rmdir(command);
	return rmdir(folder);
}

static void run(void (*fn)(void *), void *arg)
{
	assert_int_equal(rt_start(world->rt, "test", NULL, fn, arg, NULL), 0);
	rt_run(world->rt);
}

static const struct netaddr loopback = {.family = NET_IP4, .ip = {127, 0, 0, 1}};

static const char *in_folder(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

/* ---- streams ------------------------------------------------------------------------------- */

static void echo(void *arg)
{
	struct listener *l = arg;
	struct stream *s;
	struct netaddr from;
	assert_int_equal(listener_accept(l, &s, &from, NULL), 0);
	char buf[8192];
	ssize_t n;
	while ((n = stream_read(s, buf, sizeof buf, NULL)) > 0)
		assert_int_equal(stream_write(s, buf, (size_t)n, NULL), 0);
	assert_int_equal(n, 0);
	stream_close(s);
}

#define BULK (3u << 20)

struct bulk {
	struct stream *s;
	uint8_t *data;
};

static void send_bulk(void *arg)
{
	struct bulk *b = arg;
	struct bytes parts[] = {bytes_of(b->data, 1), bytes_of(b->data + 1, 0),
	    bytes_of(b->data + 1, 70000), bytes_of(b->data + 70001, BULK - 70001)};
	assert_int_equal(stream_writev(b->s, parts, 4, NULL), 0);
	assert_int_equal(stream_close_write(b->s, NULL), 0);
}

static void check_echo(struct listener *l, struct stream *client)
{
	struct scope sc;
	scope_open(&sc, duration_s(30));
	assert_int_equal(fiber_spawn(NULL, "echo", echo, l, NULL), 0);
	struct bulk b = {client, malloc(BULK)};
	uint8_t *back = malloc(BULK);
	for (size_t i = 0; i < BULK; i++)
		b.data[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(fiber_spawn(NULL, "sender", send_bulk, &b, NULL), 0);
	assert_int_equal(stream_read_full(client, back, BULK, NULL), 0);
	assert_memory_equal(back, b.data, BULK);
	uint8_t more;
	assert_int_equal(stream_read(client, &more, 1, NULL), 0);
	assert_int_equal(scope_join(&sc), 0);
	scope_close(&sc);
	free(back);
	free(b.data);
}

static void tcp(void *arg)
{
	(void)arg;
	struct listener *l;
	struct stream *s;
	struct netaddr at, local, remote;
	assert_int_equal(world_tcp_listen(world, &loopback, &l, NULL), 0);
	listener_addr(l, &at);
	assert_true(at.port != 0);
	assert_int_equal(world_tcp_dial(world, &at, &s, NULL), 0);
	assert_true(stream_netaddrs(s, &local, &remote));
	assert_true(netaddr_equal(&remote, &at));
	check_echo(l, s);
	stream_close(s);

	struct listener *second;
	assert_int_equal(world_tcp_listen(world, &at, &second, NULL), E_IN_USE);
	listener_close(l);
	struct err err;
	assert_int_equal(world_tcp_dial(world, &at, &s, &err), E_REFUSED);
	assert_non_null(strstr(err.text, "127.0.0.1"));
}

static void test_tcp(void **state)
{
	(void)state;
	run(tcp, NULL);
}

static void unix_socket(void *arg)
{
	(void)arg;
	struct listener *l, *second;
	struct stream *s;
	const char *path = in_folder("x");
	assert_int_equal(world_unix_dial(world, path, &s, NULL), E_NOT_FOUND);
	assert_int_equal(world_unix_listen(world, path, &l, NULL), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(world_unix_dial(world, path, &s, NULL), 0);
	assert_false(stream_netaddrs(s, NULL, NULL));
	check_echo(l, s);
	stream_close(s);
	assert_int_equal(world_unix_listen(world, path, &second, NULL), E_IN_USE);
	listener_close(l);
	assert_int_not_equal(stat(path, &st), 0);
}

static void test_unix_socket(void **state)
{
	(void)state;
	run(unix_socket, NULL);
}

static void resets_peer(void *arg)
{
	struct stream *s;
	assert_int_equal(listener_accept(arg, &s, NULL, NULL), 0);
	char c;
	assert_int_equal(stream_read(s, &c, 1, NULL), 1);
	stream_reset(s, E_CANCELLED);
	assert_int_equal(stream_read(s, &c, 1, NULL), E_RESET);
	stream_close(s);
}

static void reset(void *arg)
{
	(void)arg;
	struct listener *l;
	struct stream *s;
	struct netaddr at;
	assert_int_equal(world_tcp_listen(world, &loopback, &l, NULL), 0);
	listener_addr(l, &at);
	struct scope sc;
	scope_open(&sc, duration_s(10));
	assert_int_equal(fiber_spawn(NULL, "resetter", resets_peer, l, NULL), 0);
	assert_int_equal(world_tcp_dial(world, &at, &s, NULL), 0);
	char c = 'x';
	assert_int_equal(stream_write(s, &c, 1, NULL), 0);
	assert_int_equal(stream_read(s, &c, 1, NULL), E_RESET);
	stream_close(s);
	scope_close(&sc);

	/* A read obeys its deadline and has consumed nothing. */
	scope_open(&sc, duration_ms(10));
	assert_int_equal(world_tcp_dial(world, &at, &s, NULL), 0);
	assert_int_equal(stream_read(s, &c, 1, NULL), E_TIMEOUT);
	stream_close(s);
	scope_close(&sc);
	listener_close(l);
}

static void test_reset_and_deadline(void **state)
{
	(void)state;
	run(reset, NULL);
}

/* ---- datagrams ----------------------------------------------------------------------------- */

static void datagrams(void *arg)
{
	(void)arg;
	struct udp *a, *b;
	const struct netaddr at_a = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = 45353};
	const struct netaddr at_b = {.family = NET_IP4, .ip = {127, 0, 0, 1}, .port = 45354};
	assert_int_equal(world_udp_open(world, &at_a, NULL, 0, &a, NULL), 0);
	assert_int_equal(world_udp_open(world, &at_b, NULL, 0, &b, NULL), 0);
	struct scope sc;
	scope_open(&sc, duration_s(5));
	assert_int_equal(udp_send(a, &at_b, bytes_str("hello"), NULL), 0);
	char buf[16];
	struct netaddr from;
	assert_int_equal(udp_recv(b, buf, sizeof buf, &from, NULL), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_true(netaddr_equal(&from, &at_a));
	scope_close(&sc);
	udp_close(a);
	udp_close(b);
}

static void test_datagrams(void **state)
{
	(void)state;
	run(datagrams, NULL);
}

/* ---- files --------------------------------------------------------------------------------- */

static void touch(const char *name)
{
	FILE *f = fopen(in_folder(name), "w");

	assert_non_null(f);
	fclose(f);
}

static bool is_there(const char *name)
{
	return access(in_folder(name), F_OK) == 0;
}

/* What crashes leave goes; what others are writing, and what merely looks alike, stays. */
static void tidy(void *arg)
{
	(void)arg;
	char theirs[64], ours[64];
	/* Our parent is alive, as if it wrote now. */
	(void)snprintf(theirs, sizeof theirs, "peers.json.%d-7f0012ab.new", (int)getppid());
	(void)snprintf(ours, sizeof ours, "cluster.json.%d-55d0c0ffee.new", (int)getpid());
	static const char *const gone[] = {"peers.json.999999999-7f00.new", ".x.999999999-0.new"};
	static const char *const kept[] = {"peers.json", "notes.new", "a-b.new", "x.12.new",
	    "x.-7f.new", "x.999999999-7g.new", "peers.json.999999999-7f00.newer", "x.9-.new"};
	touch(theirs);
	touch(ours);
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		touch(gone[i]);
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		touch(kept[i]);
	assert_int_equal(file_tidy(world, in_folder(""), NULL), 0);
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		assert_false(is_there(gone[i]));
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		assert_true(is_there(kept[i]));
		unlink(in_folder(kept[i]));
	}
	assert_false(is_there(ours));
	assert_true(is_there(theirs));
	unlink(in_folder(theirs));
	assert_int_not_equal(file_tidy(world, in_folder("nowhere"), NULL), 0);
}

static void test_left_overs(void **state)
{
	(void)state;
	run(tidy, NULL);
}

static void files(void *arg)
{
	(void)arg;
	struct buf got = BUF_INIT(100);
	struct err err;
	const char *path = in_folder("x");
	assert_int_equal(file_read(world, path, 10, &got, &err), E_NOT_FOUND);
	assert_int_equal(file_write(world, path, bytes_str("first"), 0600, NULL), 0);
	assert_int_equal(file_write(world, path, bytes_str("second"), 0640, NULL), 0);
	assert_int_equal(file_read(world, path, 6, &got, NULL), 0);
	assert_string_equal(buf_cstr(&got), "second");
	assert_int_equal(file_read(world, path, 5, &got, &err), E_TOO_LARGE);
	struct file_info info;
	assert_int_equal(file_stat(world, path, &info, NULL), 0);
	assert_int_equal(info.size, 6);
	assert_int_equal(info.mode, 0640);
	assert_true(info.mine);
	assert_int_equal(file_remove(world, path, NULL), 0);
	buf_free(&got);

	assert_int_equal(file_mkdirs(world, in_folder("a/b"), 0700, NULL), 0);
	assert_int_equal(file_mkdirs(world, in_folder("a/b"), 0700, NULL), 0);
	assert_int_equal(file_stat(world, in_folder("a/b"), &info, NULL), 0);
	assert_true(info.is_dir);

	struct file_lock *lock, *again;
	assert_int_equal(file_lock(world, in_folder("lock"), &lock, NULL), 0);
	assert_int_equal(file_lock(world, in_folder("lock"), &again, NULL), E_IN_USE);
	file_unlock(lock);
	assert_int_equal(file_lock(world, in_folder("lock"), &lock, NULL), 0);
	file_unlock(lock);
}

static void test_files(void **state)
{
	(void)state;
	run(files, NULL);
}

#define WRITERS 32

struct writer {
	char letter;
	int failures;
};

static void writer(void *arg)
{
	struct writer *w = arg;
	char text[4096];
	memset(text, w->letter, sizeof text);
	for (int i = 0; i < 8; i++)
		w->failures +=
		    file_write(world, in_folder("x"), bytes_of(text, sizeof text), 0600, NULL) != 0;
}

/* Writes of one file at once: each works, the last one stays, whole, and nothing else does. */
static void many_writers(void *arg)
{
	(void)arg;
	struct scope sc;
	struct buf got = BUF_INIT(4096);
	struct file_info info;
	struct writer writers[WRITERS];
	assert_int_equal(
	    file_write(world, in_folder("x.new"), bytes_str("from a crash"), 0600, NULL), 0);
	scope_open(&sc, duration_s(60));
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.letter = (char)('A' + i)};
		assert_int_equal(fiber_spawn(NULL, "writer", writer, &writers[i], NULL), 0);
	}
	assert_int_equal(scope_join(&sc), 0);
	scope_close(&sc);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(writers[i].failures, 0);
	assert_int_equal(file_read(world, in_folder("x"), 4096, &got, NULL), 0);
	assert_int_equal(got.n, 4096);
	for (size_t i = 1; i < got.n; i++)
		assert_int_equal(got.p[i], got.p[0]);
	buf_free(&got);
	assert_int_equal(file_stat(world, in_folder("x.new"), &info, NULL), E_NOT_FOUND);
}

/* The teardown finds the folder empty, or fails. */
static void test_many_writers(void **state)
{
	(void)state;
	run(many_writers, NULL);
}

/* ---- processes and names ------------------------------------------------------------------- */

static void processes(void *arg)
{
	(void)arg;
	struct scope sc;
	scope_open(&sc, duration_s(20));
	const char *const argv[] = {
	    "/bin/sh", "-c", "echo note >&2; read x <&3; echo got $x >&3; exit 7", NULL};
	struct process *p;
	assert_int_equal(process_start(world, argv, &p, NULL), 0);
	struct stream *s = process_stream(p);
	assert_int_equal(stream_write(s, "hi\n", 3, NULL), 0);
	char buf[16] = "";
	assert_int_equal(stream_read_full(s, buf, 7, NULL), 0);
	assert_string_equal(buf, "got hi\n");
	int status;
	assert_int_equal(process_wait(p, &status, NULL), 0);
	assert_int_equal(status, 7);
	assert_int_equal(stream_read(s, buf, sizeof buf, NULL), 0);
	stream_close(s);
	process_close(p);

	const char *const sleeper[] = {"/bin/sleep", "1000", NULL};
	assert_int_equal(process_start(world, sleeper, &p, NULL), 0);
	process_kill(p);
	assert_int_equal(process_wait(p, &status, NULL), 0);
	assert_int_equal(status, 256 + SIGKILL);
	process_close(p);

	const char *const missing[] = {"/nonexistent/program", NULL};
	assert_int_equal(process_start(world, missing, &p, NULL), E_NOT_FOUND);
	scope_close(&sc);
}

static void test_processes(void **state)
{
	(void)state;
	run(processes, NULL);
}

static void names(void *arg)
{
	(void)arg;
	struct netaddr found[8];
	size_t n;
	assert_int_equal(world_resolve(world, "localhost", NET_IP4, found, 8, &n, NULL), 0);
	assert_true(n == 1 && netaddr_is_loopback(&found[0]));
	assert_int_equal(world_resolve(world, "A.LocalHost.", 0, found, 8, &n, NULL), 0);
	assert_true(n == 2 && netaddr_is_loopback(&found[1]));
	assert_int_equal(
	    world_resolve(world, "nowhere.invalid", 0, found, 8, &n, NULL), E_NOT_FOUND);
	/* Through the system's resolver, which knows numbers even where it knows no names. */
	assert_int_equal(world_resolve(world, "127.0.0.9", 0, found, 8, &n, NULL), 0);
	assert_true(n >= 1 && found[0].ip[3] == 9);
	struct netif nifs[64];
	assert_int_equal(world_interfaces(world, nifs, 64, &n, NULL), 0);
	uint8_t random[64] = {0}, zero[64] = {0};
	world_random(world, random, sizeof random);
	assert_memory_not_equal(random, zero, sizeof zero);
	assert_true(world_wall_ms(world) > 1700000000000);
}

static void test_names_and_chance(void **state)
{
	(void)state;
	run(names, NULL);
}

static void from_the_listeners_port(void *arg)
{
	(void)arg;
	struct netaddr any = {.family = NET_IP4, .ip = {127, 0, 0, 1}}, mine, theirs, seen;
	struct listener *own, *other, *third;
	struct stream *out, *in, *again;
	assert_int_equal(world_tcp_listen(world, &any, &own, NULL), 0);
	assert_int_equal(world_tcp_listen(world, &any, &other, NULL), 0);
	listener_addr(own, &mine);
	listener_addr(other, &theirs);
	/* The port is still ours alone to listen on. */
	assert_int_equal(world_tcp_listen(world, &mine, &third, NULL), E_IN_USE);
	assert_int_equal(world_tcp_dial_from(world, &mine, &theirs, &out, NULL), 0);
	assert_int_equal(listener_accept(other, &in, &seen, NULL), 0);
	assert_true(netaddr_equal(&seen, &mine));
	assert_int_equal(world_tcp_listen(world, &mine, &third, NULL), E_IN_USE);
	assert_int_equal(world_tcp_dial_from(world, &mine, &theirs, &again, NULL), E_IN_USE);
	stream_close(out);
	stream_close(in);
	listener_close(own);
	listener_close(other);
}

static void test_dialling_from_the_listeners_port(void **state)
{
	(void)state;
	run(from_the_listeners_port, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reset_and_deadline, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_datagrams, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_files, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_left_overs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_many_writers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_names_and_chance, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_dialling_from_the_listeners_port, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
