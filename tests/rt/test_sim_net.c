/* The simulated network: equal seeds, ordered bytes under loss, back-pressure, partitions, crashes,
 * datagrams, names. */
#include "sim_help.h"

#define PORT 4000

struct pair {
	struct universe *u;
	struct world *server, *client;
	struct listener *listener;
	uint8_t *sent, *got;
	size_t n, n_got;
	int rc, server_rc;
	struct err err;
	size_t step;
};

static void pair_open(struct pair *p, uint64_t seed)
{
	p->u = universe_of_seed(seed);
	p->server = universe_host(p->u, "server");
	p->client = universe_host(p->u, "client");
}

static void pair_boot(struct pair *p, void (*server)(void *), void (*client)(void *))
{
	if (server)
		OK(universe_boot(p->u, p->server, NULL, server, p, NULL));
	if (client)
		OK(universe_boot(p->u, p->client, NULL, client, p, NULL));
}

static void pair_run(struct pair *p, void (*server)(void *), void (*client)(void *))
{
	pair_boot(p, server, client);
	assert_int_equal(universe_run(p->u), UNIVERSE_DONE);
}

static struct stream *accept_one(struct pair *p)
{
	struct netaddr at = any_addr(PORT);
	struct listener *l;
	struct stream *s;

	OK(world_tcp_listen(p->server, &at, &l, NULL));
	OK(listener_accept(l, &s, NULL, NULL));
	listener_close(l);
	return s;
}

static struct stream *dial_server(struct pair *p)
{
	struct netaddr to = addr_of(p->server, PORT);
	struct stream *s;

	OK(fiber_sleep(duration_ms(1)));
	OK(world_tcp_dial(p->client, &to, &s, NULL));
	return s;
}

/* ---- echo ---------------------------------------------------------------------------------- */

static void echo_server(void *arg)
{
	struct stream *s = accept_one(arg);
	uint8_t chunk[4096];
	ssize_t n;

	while ((n = stream_read(s, chunk, sizeof(chunk), NULL)) > 0)
		OK(stream_write(s, chunk, (size_t)n, NULL));
	assert_int_equal(n, 0);
	stream_close(s);
}

struct sender {
	struct pair *p;
	struct stream *s;
};

static void send_all(void *arg)
{
	struct sender *sender = arg;

	OK(stream_write(sender->s, sender->p->sent, sender->p->n, NULL));
	OK(stream_close_write(sender->s, NULL));
}

static void echo_client(void *arg)
{
	struct pair *p = arg;
	struct netaddr local, remote, want = addr_of(p->server, PORT);
	struct sender sender = {p, dial_server(p)};
	uint8_t end;

	assert_true(stream_netaddrs(sender.s, &local, &remote));
	assert_true(netaddr_equal(&remote, &want));
	assert_string_equal(sender.s->remote, "10.0.0.1:4000");
	OK(fiber_spawn(NULL, "send", send_all, &sender, NULL));
	OK(stream_read_full(sender.s, p->got, p->n, NULL));
	assert_int_equal(stream_read(sender.s, &end, 1, NULL), 0);
	stream_close(sender.s);
}

/* One megabyte there and back; the hash of the run. */
static uint64_t echo_hash(uint64_t seed)
{
	struct pair p = {.n = 1000003};
	uint64_t hash;

	pair_open(&p, seed);
	p.sent = malloc(p.n);
	p.got = malloc(p.n);
	for (size_t i = 0; i < p.n; i++)
		p.sent[i] = (uint8_t)(i * 2654435761u >> 13);
	pair_run(&p, echo_server, echo_client);
	assert_memory_equal(p.sent, p.got, p.n);
	assert_true(universe_elapsed(p.u).ns > duration_ms(40 * 4).ns);
	hash = universe_hash(p.u);
	universe_free(p.u);
	free(p.sent);
	free(p.got);
	return hash;
}

static void test_a_seed_is_a_run(void **state)
{
	uint64_t first = echo_hash(7);

	(void)state;
	assert_true(echo_hash(7) == first);
	assert_true(echo_hash(8) != first);
	assert_true(echo_hash(9) != first);
}

static void test_random_bytes_come_from_the_seed(void **state)
{
	uint64_t draw[3], other;
	struct pair p = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		pair_open(&p, i < 2 ? 5 : 6);
		draw[i] = world_random_u64(p.server);
		other = world_random_u64(p.client);
		assert_true(other != draw[i]);
		universe_free(p.u);
	}
	assert_true(draw[0] == draw[1]);
	assert_true(draw[0] != draw[2]);
}

/* ---- dialling ------------------------------------------------------------------------------ */

static void refused_client(void *arg)
{
	struct pair *p = arg;
	struct netaddr to = addr_of(p->server, PORT),
		       nowhere = {.family = NET_IP4, .ip = {8, 8, 8, 8}, .port = 53};
	struct stream *s;
	struct instant before = world_now(p->client);

	assert_int_equal(world_tcp_dial(p->client, &to, &s, &p->err), E_REFUSED);
	assert_non_null(strstr(p->err.text, "10.0.0.1:4000"));
	assert_true(instant_since(world_now(p->client), before).ns >= duration_ms(40).ns);
	assert_int_equal(world_tcp_dial(p->client, &nowhere, &s, NULL), E_UNREACHABLE);
}

static void test_nobody_listens(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, NULL, refused_client);
	universe_free(p.u);
}

static void hanging_client(void *arg)
{
	struct pair *p = arg;
	struct netaddr to = addr_of(p->server, PORT);
	struct stream *s;
	struct scope sc;

	universe_partition(p->u, p->server, p->client, true);
	scope_open(&sc, duration_s(5));
	p->rc = world_tcp_dial(p->client, &to, &s, &p->err);
	scope_close(&sc);
	assert_int_equal(p->rc, E_TIMEOUT);
	assert_int_equal(world_tcp_dial(p->client, &to, &s, &p->err), E_TIMEOUT);
}

static void test_a_dial_into_a_partition_hangs_to_its_deadline(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, NULL, hanging_client);
	/* five seconds, and then as long as the system itself tries */
	assert_true(universe_elapsed(p.u).ns > duration_s(5 + 127).ns);
	assert_true(universe_elapsed(p.u).ns < duration_s(5 + 127 + 1).ns);
	universe_free(p.u);
}

static void listen_rules(void *arg)
{
	struct pair *p = arg;
	struct netaddr any = any_addr(0), web = any_addr(80), foreign = addr_of(p->client, 5000);
	struct netaddr loop = {.family = NET_IP4, .ip = {127, 0, 0, 1}}, bound;
	struct listener *a, *b;

	OK(world_tcp_listen(p->server, &any, &a, NULL));
	listener_addr(a, &bound);
	assert_true(bound.port >= 1024);
	loop.port = bound.port;
	assert_int_equal(world_tcp_listen(p->server, &bound, &b, NULL), E_IN_USE);
	assert_int_equal(world_tcp_listen(p->server, &loop, &b, &p->err), E_IN_USE);
	assert_non_null(strstr(p->err.text, "127.0.0.1:"));
	assert_int_equal(world_tcp_listen(p->server, &web, &b, NULL), E_FORBIDDEN);
	assert_int_equal(world_tcp_listen(p->server, &foreign, &b, NULL), E_UNREACHABLE);
	listener_close(a);
	OK(world_tcp_listen(p->server, &bound, &b, NULL));
	OK(world_tcp_listen(p->client, &bound, &a, NULL)); /* another machine */
	listener_close(a);
	listener_close(b);
}

static void test_listening(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, listen_rules, NULL);
	universe_free(p.u);
}

static void never_accepts(void *arg)
{
	struct pair *p = arg;
	struct netaddr at = any_addr(PORT);
	struct listener *l;

	OK(world_tcp_listen(p->server, &at, &l, NULL));
	OK(fiber_sleep(duration_s(10)));
	listener_close(l);
}

static void dials_and_waits(void *arg)
{
	struct pair *p = arg;
	struct netaddr to = addr_of(p->server, PORT);
	struct stream *s;
	uint8_t byte;
	int rc = world_tcp_dial(p->client, &to, &s, NULL);

	if (rc != 0) {
		assert_int_equal(rc, E_REFUSED); /* tried again when nobody listened any more */
		p->n_got++;
		return;
	}
	assert_true(universe_elapsed(p->u).ns < duration_s(2).ns);
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_RESET);
	stream_close(s);
	p->n++;
}

static void dials_200_times(void *arg)
{
	struct scope sc;

	scope_open(&sc, DURATION_FOREVER);
	for (int i = 0; i < 200; i++)
		OK(fiber_spawn(NULL, "dial", dials_and_waits, arg, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
}

static void test_a_backlog_is_bounded(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, never_accepts, dials_200_times);
	assert_int_equal(p.n, 128);
	assert_int_equal(p.n_got, 200 - 128);
	universe_free(p.u);
}

/* ---- back-pressure ------------------------------------------------------------------------- */

static void slow_reader(void *arg)
{
	struct pair *p = arg;
	struct stream *s = accept_one(p);
	uint8_t *all = malloc(4 << 20);

	OK(fiber_sleep(duration_s(10)));
	assert_in_range(p->n, 1, 512 << 10); /* the writer waits */
	OK(stream_read_full(s, all, 4 << 20, NULL));
	free(all);
	stream_close(s);
}

static void fast_writer(void *arg)
{
	struct pair *p = arg;
	struct stream *s = dial_server(p);
	uint8_t chunk[1024] = {0};

	for (int i = 0; i < 4096; i++) {
		OK(stream_write(s, chunk, sizeof(chunk), NULL));
		p->n += sizeof(chunk);
	}
	stream_close(s);
}

static void test_a_writer_waits_for_a_slow_reader(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, slow_reader, fast_writer);
	universe_free(p.u);
}

static void counting_reader(void *arg)
{
	struct pair *p = arg;
	struct netaddr at = any_addr(PORT);
	struct listener *l;
	struct stream *s;
	uint8_t chunk[1000];
	ssize_t n;

	OK(world_tcp_listen(p->server, &at, &l, NULL));
	OK(listener_accept(l, &s, NULL, NULL));
	while ((n = stream_read(s, chunk, sizeof(chunk), NULL)) > 0)
		p->n_got += (size_t)n;
	stream_close(s);
	listener_close(l);
}

static void test_bandwidth(void **state)
{
	struct universe_options opt = {.seed = 1, .bytes_per_s = 1 << 20};
	struct pair p = {0};

	(void)state;
	OK(universe_new(&opt, &p.u, NULL));
	p.server = universe_host(p.u, "server");
	p.client = universe_host(p.u, "client");
	pair_run(&p, counting_reader, fast_writer);
	assert_int_equal(p.n_got, 4 << 20);
	assert_in_range((uint64_t)duration_to_ms(universe_elapsed(p.u)), 3990, 4200);
	universe_free(p.u);
}

/* ---- partitions ---------------------------------------------------------------------------- */

static void cut(void *arg)
{
	struct pair *p = arg;

	universe_partition(p->u, p->server, p->client, true);
}

static void heal(void *arg)
{
	struct pair *p = arg;

	universe_partition(p->u, p->server, p->client, false);
}

static void reads_after_healing(void *arg)
{
	struct pair *p = arg;
	struct stream *s = accept_one(p);
	uint8_t got[5];

	OK(stream_read_full(s, got, 5, NULL));
	assert_memory_equal(got, "hello", 5);
	stream_close(s);
}

static void writes_in_partition(void *arg)
{
	struct pair *p = arg;
	struct stream *s = dial_server(p);

	OK(fiber_sleep(duration_s(2)));
	OK(stream_write(s, "hello", 5, NULL));
	stream_close(s);
}

static void test_a_partition_delays_what_it_does_not_break(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 3);
	OK(universe_at(p.u, duration_s(1), cut, &p, NULL));
	OK(universe_at(p.u, duration_s(20), heal, &p, NULL));
	pair_run(&p, reads_after_healing, writes_in_partition);
	assert_in_range((uint64_t)duration_to_ms(universe_elapsed(p.u)), 20000, 40000);
	universe_free(p.u);
}

static void writes_for_ever(void *arg)
{
	struct pair *p = arg;
	struct stream *s = dial_server(p);
	uint8_t byte;

	OK(fiber_sleep(duration_s(2)));
	OK(stream_write(s, "hello", 5, NULL));
	assert_int_equal(stream_read(s, &byte, 1, &p->err), E_RESET);
	stream_close(s);
}

static void reads_with_patience(void *arg)
{
	struct pair *p = arg;
	struct stream *s = accept_one(p);
	struct scope sc;
	uint8_t byte;

	scope_open(&sc, duration_s(3000));
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_TIMEOUT);
	scope_close(&sc);
	stream_close(s);
}

static void test_a_stream_gives_up_in_the_end(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 3);
	OK(universe_at(p.u, duration_s(1), cut, &p, NULL));
	pair_run(&p, reads_with_patience, writes_for_ever);
	universe_free(p.u);
}

/* ---- crashes ------------------------------------------------------------------------------- */

static void serve_until_crash(void *arg)
{
	struct pair *p = arg;
	struct netaddr at = any_addr(PORT);
	struct listener *l;
	struct stream *s;
	struct scope goodbye;
	uint8_t byte;

	OK(world_tcp_listen(p->server, &at, &l, NULL));
	OK(listener_accept(l, &s, NULL, NULL));
	OK(stream_write(s, "A", 1, NULL));
	p->server_rc = (int)stream_read(s, &byte, 1, NULL);
	scope_open_shielded(&goodbye, duration_s(3));
	assert_int_equal(stream_write(s, "B", 1, NULL), E_CANCELLED); /* a dead host says nothing */
	assert_int_equal(world_tcp_dial(p->server, &at, &s, NULL), E_CANCELLED);
	OK(fiber_sleep(duration_s(1))); /* slow to unwind */
	scope_close(&goodbye);
	stream_close(s);
	listener_close(l);
	p->step++;
}

static void kill_server(void *arg)
{
	struct pair *p = arg;

	universe_crash(p->u, p->server, true);
	assert_false(universe_alive(p->u, p->server));
}

static void power_off_server(void *arg)
{
	struct pair *p = arg;

	universe_crash(p->u, p->server, false);
}

static void watch_reset(void *arg)
{
	struct pair *p = arg;
	struct netaddr to = addr_of(p->server, PORT);
	struct stream *s = dial_server(p);
	uint8_t byte;

	OK(stream_read_full(s, &byte, 1, NULL));
	assert_int_equal(byte, 'A');
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_RESET);
	assert_in_range((uint64_t)duration_to_ms(universe_elapsed(p->u)), 5000, 5300);
	stream_close(s);
	assert_int_equal(world_tcp_dial(p->client, &to, &s, NULL), E_REFUSED);
}

static void test_a_killed_host_resets_its_connections(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 4);
	OK(universe_at(p.u, duration_s(5), kill_server, &p, NULL));
	pair_run(&p, serve_until_crash, watch_reset);
	assert_int_equal(p.server_rc, E_CANCELLED);
	assert_int_equal(p.step, 1);
	universe_free(p.u);
}

static void serve_again(void *arg)
{
	struct pair *p = arg;
	struct netaddr at = any_addr(PORT);
	struct listener *l;
	struct stream *s;

	assert_int_equal(p->step, 1); /* the old fibers have ended */
	OK(world_tcp_listen(p->server, &at, &l, NULL));
	OK(listener_accept(l, &s, NULL, NULL));
	OK(stream_write(s, "C", 1, NULL));
	stream_close(s);
	listener_close(l);
}

static void boot_server_again(void *arg)
{
	struct pair *p = arg;

	OK(universe_boot(p->u, p->server, NULL, serve_again, p, NULL));
	assert_true(universe_alive(p->u, p->server));
	assert_int_equal(universe_boot(p->u, p->server, NULL, serve_again, p, NULL), E_IN_USE);
}

static void watch_silence(void *arg)
{
	struct pair *p = arg;
	struct stream *s = dial_server(p);
	struct scope sc;
	uint8_t byte;

	OK(stream_read_full(s, &byte, 1, NULL));
	scope_open(&sc, duration_s(8)); /* nothing tells that the host went down at 5 s … */
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_TIMEOUT);
	scope_close(&sc);
	if (p->n == 0) /* … until, up again, it is asked, or told that this is the end */
		OK(stream_write(s, "?", 1, NULL));
	else
		OK(stream_close_write(s, NULL));
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_RESET);
	stream_close(s);
	s = dial_server(p);
	OK(stream_read_full(s, &byte, 1, NULL));
	assert_int_equal(byte, 'C');
	stream_close(s);
}

static void test_power_loss_is_silent_and_the_host_boots_again(void **state)
{
	(void)state;
	for (size_t half_close = 0; half_close < 2; half_close++) {
		struct pair p = {.n = half_close};

		pair_open(&p, 4);
		OK(universe_at(p.u, duration_s(5), power_off_server, &p, NULL));
		OK(universe_at(p.u, duration_ms(5500), boot_server_again, &p, NULL));
		pair_run(&p, serve_until_crash, watch_silence);
		universe_free(p.u);
	}
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void closes_with_unread(void *arg)
{
	struct stream *s = accept_one(arg);

	OK(fiber_sleep(duration_s(1)));
	stream_close(s);
}

static void sees_reset(void *arg)
{
	struct pair *p = arg;
	struct stream *s = dial_server(p);
	uint8_t byte;

	OK(stream_write(s, "unread", 6, NULL));
	assert_int_equal(stream_read(s, &byte, 1, NULL), E_RESET);
	assert_int_equal(stream_write(s, "x", 1, NULL), E_RESET);
	stream_close(s);
}

static void test_closing_with_unread_bytes_resets(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, closes_with_unread, sees_reset);
	universe_free(p.u);
}

static void reads_to_the_end(void *arg)
{
	struct pair *p = arg;
	struct stream *s = accept_one(p);
	uint8_t got[11];

	OK(stream_read_full(s, got, 11, NULL));
	assert_memory_equal(got, "last words.", 11);
	assert_int_equal(stream_read(s, got, 1, NULL), 0);
	stream_close(s);
}

static void writes_and_closes(void *arg)
{
	struct stream *s = dial_server(arg);

	OK(stream_write(s, "last words.", 11, NULL));
	stream_close(s);
}

static void resets(void *arg)
{
	struct stream *s = dial_server(arg);

	OK(fiber_sleep(duration_s(1)));
	stream_reset(s, E_CANCELLED);
	assert_int_equal(stream_write(s, "x", 1, NULL), E_RESET);
	stream_close(s);
}

static void is_reset(void *arg)
{
	struct stream *s = accept_one(arg);
	uint8_t byte;

	assert_int_equal(stream_read(s, &byte, 1, NULL), E_RESET);
	stream_close(s);
}

static void test_what_was_written_arrives_before_the_end(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, reads_to_the_end, writes_and_closes);
	universe_free(p.u);
	pair_open(&p, 1);
	pair_run(&p, is_reset, resets);
	universe_free(p.u);
}

/* ---- datagrams ----------------------------------------------------------------------------- */

#define N_MEMBERS 5

struct group {
	struct universe *u;
	struct world *host[N_MEMBERS];
	struct member {
		struct group *group;
		int index;
		unsigned heard; /* bit per member */
		struct netaddr from[N_MEMBERS];
		int n;
	} member[N_MEMBERS];
};

static const struct netaddr mdns_group = {.family = NET_IP4, .ip = {224, 0, 0, 251}, .port = 5353};

static void member_main(void *arg)
{
	struct member *m = arg;
	struct world *w = m->group->host[m->index];
	struct netaddr at = any_addr(5353), from;
	struct netif ifs[4];
	struct udp *u;
	struct scope sc;
	uint8_t who = (uint8_t)m->index, got[8];
	size_t n_ifs;

	OK(world_interfaces(w, ifs, 4, &n_ifs, NULL));
	assert_int_equal(n_ifs, 2);
	assert_true(ifs[0].loopback && !ifs[0].multicast && ifs[1].multicast);
	OK(world_udp_open(w, &at, &mdns_group, ifs[1].index, &u, NULL));
	OK(fiber_sleep(duration_s(1)));
	OK(udp_send(u, &mdns_group, bytes_of(&who, 1), NULL));
	scope_open(&sc, duration_s(1));
	while (udp_recv(u, got, sizeof(got), &from, NULL) == 1) {
		m->heard |= 1u << got[0];
		m->from[got[0]] = from;
		m->n++;
	}
	scope_close(&sc);
	udp_close(u);
}

static void group_run(struct group *g, uint32_t loss_ppm, bool split)
{
	struct universe_options opt = {.seed = 2,
	    .latency_min = duration_ms(1),
	    .latency_max = duration_ms(9),
	    .loss_ppm = loss_ppm};
	char name[8];

	OK(universe_new(&opt, &g->u, NULL));
	for (int i = 0; i < N_MEMBERS; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		g->host[i] = universe_host(g->u, name);
		g->member[i] = (struct member){.group = g, .index = i};
		OK(universe_boot(g->u, g->host[i], NULL, member_main, &g->member[i], NULL));
	}
	if (split)
		for (int i = 1; i < N_MEMBERS; i++)
			universe_partition(g->u, g->host[0], g->host[i], true);
	assert_int_equal(universe_run(g->u), UNIVERSE_DONE);
	universe_free(g->u);
}

static void test_multicast_reaches_the_group(void **state)
{
	struct group g;
	int n = 0;

	(void)state;
	group_run(&g, 0, false);
	for (int i = 0; i < N_MEMBERS; i++) {
		struct netaddr want = {.family = NET_IP4, .ip = {10, 0, 0, 3}, .port = 5353};

		assert_int_equal(g.member[i].heard, (1u << N_MEMBERS) - 1); /* itself too */
		assert_int_equal(g.member[i].n, N_MEMBERS);
		assert_true(netaddr_equal(&g.member[i].from[2], &want));
	}
	group_run(&g, 0, true);
	assert_int_equal(g.member[0].heard, 1);
	assert_int_equal(g.member[1].heard, (1u << N_MEMBERS) - 2);
	group_run(&g, 500000, false);
	for (int i = 0; i < N_MEMBERS; i++)
		n += g.member[i].n;
	assert_in_range(n, N_MEMBERS, N_MEMBERS * N_MEMBERS - 1); /* one's own are not lost */
}

static void udp_server(void *arg)
{
	struct pair *p = arg;
	struct netaddr at = any_addr(PORT), from;
	struct udp *u;
	uint8_t got[4];

	OK(world_udp_open(p->server, &at, NULL, 0, &u, NULL));
	assert_int_equal(udp_recv(u, got, sizeof(got), &from, NULL), 4); /* cut to cap */
	assert_memory_equal(got, "long", 4);
	OK(udp_send(u, &from, bytes_of("ok", 2), NULL));
	udp_close(u);
}

static void udp_client(void *arg)
{
	struct pair *p = arg;
	struct netaddr at = any_addr(0), to = addr_of(p->server, PORT), from;
	struct udp *u;
	uint8_t got[4];

	OK(fiber_sleep(duration_ms(1)));
	OK(world_udp_open(p->client, &at, NULL, 0, &u, NULL));
	OK(udp_send(u, &to, bytes_of("longer than that", 16), NULL));
	assert_int_equal(udp_recv(u, got, sizeof(got), &from, NULL), 2);
	assert_true(netaddr_equal(&from, &to));
	udp_close(u);
}

static void test_unicast_datagrams(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, udp_server, udp_client);
	universe_free(p.u);
}

/* ---- names --------------------------------------------------------------------------------- */

static void resolves(void *arg)
{
	struct pair *p = arg;
	struct netaddr got[2], want = addr_of(p->server, 0);
	size_t n;

	OK(world_resolve(p->client, "server", 0, got, 2, &n, NULL));
	assert_int_equal(n, 1);
	assert_true(netaddr_equal(&got[0], &want));
	assert_int_equal(
	    world_resolve(p->client, "server", NET_IP6, got, 2, &n, NULL), E_NOT_FOUND);
	assert_int_equal(world_resolve(p->client, "nobody", 0, got, 2, &n, &p->err), E_NOT_FOUND);
	assert_non_null(strstr(p->err.text, "nobody"));
	OK(world_resolve(p->client, "localhost", 0, got, 2, &n, NULL));
	assert_true(netaddr_is_loopback(&got[0]));
	OK(world_resolve(p->client, "192.168.1.1", 0, got, 2, &n, NULL));
	assert_int_equal(got[0].ip[0], 192);
}

static void test_names(void **state)
{
	struct pair p = {0};

	(void)state;
	pair_open(&p, 1);
	pair_run(&p, NULL, resolves);
	universe_free(p.u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_seed_is_a_run),
	    cmocka_unit_test(test_random_bytes_come_from_the_seed),
	    cmocka_unit_test(test_nobody_listens),
	    cmocka_unit_test(test_a_dial_into_a_partition_hangs_to_its_deadline),
	    cmocka_unit_test(test_listening),
	    cmocka_unit_test(test_a_backlog_is_bounded),
	    cmocka_unit_test(test_a_writer_waits_for_a_slow_reader),
	    cmocka_unit_test(test_bandwidth),
	    cmocka_unit_test(test_a_partition_delays_what_it_does_not_break),
	    cmocka_unit_test(test_a_stream_gives_up_in_the_end),
	    cmocka_unit_test(test_a_killed_host_resets_its_connections),
	    cmocka_unit_test(test_power_loss_is_silent_and_the_host_boots_again),
	    cmocka_unit_test(test_closing_with_unread_bytes_resets),
	    cmocka_unit_test(test_what_was_written_arrives_before_the_end),
	    cmocka_unit_test(test_multicast_reaches_the_group),
	    cmocka_unit_test(test_unicast_datagrams),
	    cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
