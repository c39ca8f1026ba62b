/* Hosts that do all that the simulated world offers at once, in a storm: they dial each other, send
 * a known pattern, half-close, reset, hang up in the middle, call out by multicast, run processes,
 * while hosts crash and links break all the time. Every byte read must be the one that the pattern
 * has there; when the storm is over, everyone reaches everyone. */
#include "sim/scenario.h"

#include <stdlib.h>

#define PORT    7200
#define N_HOSTS 8
#define N_CALLS 4 /* fibers that dial, per host */
#define STORM_S 60
#define CALM_S  180 /* the crash loop is over, and TCP's longest pause too */
#define BLOW_MS 400 /* between two blows of the storm */

struct storm;

struct ship {
	struct storm *storm;
	struct world *host;
	int boots;
	unsigned reached; /* after the storm: one bit per host */
};

struct storm {
	struct scenario_run *run;
	struct ship ship[N_HOSTS];
	uint64_t bytes, calls, datagrams, exits;
};

static bool calm(const struct storm *st)
{
	return universe_elapsed(scenario_universe(st->run)).ns >= duration_s(STORM_S).ns;
}

/* What every stream carries at a position. */
static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 0x9e3779b97f4a7c15u >> 56);
}

/* ---- streams ------------------------------------------------------------------------------- */

static int write_pattern(struct stream *s, uint64_t n)
{
	uint8_t chunk[700];
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < n) {
		size_t part = n - at < sizeof(chunk) ? (size_t)(n - at) : sizeof(chunk);

		for (size_t i = 0; i < part; i++)
			chunk[i] = pattern(at + i);
		rc = stream_write(s, chunk, part, NULL);
		at += part;
	}
	return rc;
}

/* At most n bytes; how many, or an error. */
static ssize_t read_pattern(struct storm *st, struct stream *s, uint64_t n)
{
	uint8_t chunk[900];
	uint64_t at = 0;
	ssize_t got = 1;

	while (at < n && (got = stream_read(s, chunk, sizeof(chunk), NULL)) > 0) {
		for (ssize_t i = 0; i < got; i++, at++)
			SCENARIO_CHECK(st->run, chunk[i] == pattern(at),
			    "byte %llu of a stream from %s is wrong", (unsigned long long)at,
			    s->remote);
	}
	st->bytes += at;
	return got < 0 ? got : (ssize_t)at;
}

struct visit {
	struct ship *ship;
	struct stream *s;
};

static void answer(void *arg)
{
	struct visit v = *(struct visit *)arg;
	struct world *w = v.ship->host;
	struct scope sc;

	free(arg);
	scope_open(&sc, duration_s(20));
	if (read_pattern(v.ship->storm, v.s, 1 + world_random_u64(w) % 60000) >= 0)
		(void)write_pattern(v.s, world_random_u64(w) % 9000);
	if (world_random_u64(w) % 4 == 0)
		stream_reset(v.s, E_CANCELLED);
	scope_close(&sc);
	stream_close(v.s);
}

static void accept_visits(void *arg)
{
	struct ship *ship = arg;
	struct netaddr at = {.family = NET_IP4, .port = PORT};
	struct visit v = {.ship = ship};
	struct listener *l;
	struct err err = {0};
	int rc = world_tcp_listen(ship->host, &at, &l, &err);

	if (rc != 0) {
		SCENARIO_CHECK(ship->storm->run, rc == E_CANCELLED, "listen: %s", err_text(&err));
		return;
	}
	while (listener_accept(l, &v.s, NULL, NULL) == 0) {
		struct visit *given = malloc(sizeof(*given));

		if (!given)
			BUG("no memory for a visit");
		*given = v;
		if (fiber_spawn(NULL, "answer", answer, given, NULL) == 0)
			continue;
		free(given);
		stream_close(v.s);
	}
	listener_close(l);
}

static void visit(struct ship *ship, struct ship *other)
{
	struct world *w = ship->host;
	struct netaddr to;
	struct stream *s;

	universe_host_addr(other->host, &to);
	to.port = PORT;
	if (world_tcp_dial(w, &to, &s, NULL) != 0)
		return;
	ship->storm->calls++;
	if (calm(ship->storm))
		ship->reached |= 1u << (other - ship->storm->ship);
	if (write_pattern(s, world_random_u64(w) % 50000) == 0 && world_random_u64(w) % 3 > 0)
		(void)stream_close_write(s, NULL);
	if (world_random_u64(w) % 2 == 0)
		(void)read_pattern(ship->storm, s, UINT64_MAX);
	stream_close(s);
}

static void make_visits(void *arg)
{
	struct ship *ship = arg;
	struct world *w = ship->host;
	int rc = 0;

	while (rc != E_CANCELLED) {
		struct scope sc;

		scope_open(&sc, duration_ms((int64_t)(world_random_u64(w) % 9000)));
		visit(ship, &ship->storm->ship[world_random_u64(w) % N_HOSTS]);
		scope_close(&sc);
		rc = fiber_sleep(duration_ms((int64_t)(world_random_u64(w) % 2000)));
	}
}

/* ---- datagrams and processes --------------------------------------------------------------- */

static void call_out(void *arg)
{
	struct ship *ship = arg;
	static const struct netaddr group = {
	    .family = NET_IP4, .ip = {224, 0, 0, 99}, .port = PORT};
	struct netaddr at = {.family = NET_IP4, .port = PORT}, from;
	struct udp *u;
	uint8_t got[64];
	int rc = world_udp_open(ship->host, &at, &group, 0, &u, NULL);

	if (rc != 0)
		return;
	while (rc != E_CANCELLED) {
		struct scope sc;
		ssize_t n;

		scope_open(&sc, duration_ms(700));
		while ((n = udp_recv(u, got, sizeof(got), &from, NULL)) == 4)
			ship->storm->datagrams++;
		scope_close(&sc);
		rc = n == E_TIMEOUT ? udp_send(u, &group, bytes_of("ahoy", 4), NULL) : (int)n;
	}
	udp_close(u);
}

/* Sends the pattern until its parent stops listening. */
static int engine(struct world *w, struct stream *s, const char *const *argv, void *arg)
{
	int rc = write_pattern(s, 100000);

	(void)w;
	(void)argv;
	(void)arg;
	stream_close(s);
	return rc == 0 ? 0 : 1;
}

static void run_engines(void *arg)
{
	struct ship *ship = arg;
	static const char *const argv[] = {"engine", NULL};
	int rc = 0, status;

	while (rc != E_CANCELLED) {
		struct process *p;
		struct stream *s;
		struct scope sc;

		if (process_start(ship->host, argv, &p, NULL) != 0)
			return;
		s = process_stream(p);
		scope_open(&sc, duration_s(3));
		(void)read_pattern(ship->storm, s, world_random_u64(ship->host) % 200000);
		scope_close(&sc);
		stream_close(s);
		if (world_random_u64(ship->host) % 2 == 0)
			process_kill(p);
		rc = process_wait(p, &status, NULL);
		ship->storm->exits += rc == 0;
		process_close(p);
		if (rc == 0)
			rc = fiber_sleep(duration_ms(500));
	}
}

/* ---- the storm ----------------------------------------------------------------------------- */

static void ship_main(void *arg)
{
	struct ship *ship = arg;
	struct scope sc;

	ship->boots++;
	scope_open(&sc, DURATION_FOREVER);
	if (fiber_spawn(&sc, "accept", accept_visits, ship, NULL) != 0 ||
	    fiber_spawn(&sc, "call", call_out, ship, NULL) != 0 ||
	    fiber_spawn(&sc, "engines", run_engines, ship, NULL) != 0)
		scope_cancel(&sc);
	for (int i = 0; i < N_CALLS; i++)
		if (fiber_spawn(&sc, "visit", make_visits, ship, NULL) != 0)
			scope_cancel(&sc);
	if (scope_join(&sc) != 0)
		rt_log(LOG_INFO, "storm", "sinking");
	scope_close(&sc);
}

static void blow(struct storm *st)
{
	struct universe *u = scenario_universe(st->run);
	struct ship *a = &st->ship[universe_random_below(u, N_HOSTS)];
	struct ship *b = &st->ship[universe_random_below(u, N_HOSTS)];

	switch (universe_random_below(u, 6)) {
	case 0:
		universe_crash(u, a->host, universe_random_below(u, 2) == 0);
		break;
	case 1:
		universe_kill_role(u, a->host, "engine");
		break;
	case 2:
		universe_stall_role(u, a->host, "engine", true);
		break;
	case 3:
		if (a != b)
			universe_partition(u, a->host, b->host, false);
		break;
	default:
		if (a != b)
			universe_partition(u, a->host, b->host, true);
		break;
	}
	if (!universe_alive(u, b->host))
		scenario_boot(st->run, b->host, ship_main, b);
}

static void end_storm(struct storm *st)
{
	struct universe *u = scenario_universe(st->run);

	for (int i = 0; i < N_HOSTS; i++) {
		universe_stall_role(u, st->ship[i].host, "engine", false);
		if (!universe_alive(u, st->ship[i].host))
			scenario_boot(st->run, st->ship[i].host, ship_main, &st->ship[i]);
		for (int j = 0; j < i; j++)
			universe_partition(u, st->ship[i].host, st->ship[j].host, false);
	}
}

static void rage(void *arg)
{
	struct storm *st = arg;

	while (!calm(st)) {
		blow(st);
		if (fiber_sleep(duration_ms(BLOW_MS)) != 0)
			return;
	}
	end_storm(st);
	if (fiber_sleep(duration_s(CALM_S - STORM_S)) == 0)
		scenario_done(st->run);
}

static void setup(struct scenario_run *r)
{
	struct storm *st = scenario_state(r, sizeof(*st));
	char name[16];

	st->run = r;
	universe_role(scenario_universe(r), "engine", engine, NULL);
	for (int i = 0; i < N_HOSTS; i++) {
		snprintf(name, sizeof(name), "ship-%d", i);
		st->ship[i] = (struct ship){.storm = st, .host = scenario_host(r, name)};
		scenario_boot(r, st->ship[i].host, ship_main, &st->ship[i]);
	}
	scenario_at(r, duration_s(1), rage, st);
}

static void check(struct scenario_run *r)
{
	struct storm *st = scenario_state(r, sizeof(*st));
	unsigned all = (1u << N_HOSTS) - 1;
	int boots = 0;

	for (int i = 0; i < N_HOSTS; i++) {
		SCENARIO_CHECK(r, st->ship[i].reached == all, "ship-%d reached only %#x", i,
		    st->ship[i].reached);
		boots += st->ship[i].boots;
	}
	SCENARIO_CHECK(r, boots > N_HOSTS, "nobody crashed");
	SCENARIO_CHECK(r, st->bytes > 1000000 && st->calls > 100 && st->datagrams > 100,
	    "little happened: %llu bytes, %llu calls, %llu datagrams",
	    (unsigned long long)st->bytes, (unsigned long long)st->calls,
	    (unsigned long long)st->datagrams);
	SCENARIO_CHECK(r, st->exits > 10, "%llu processes ended", (unsigned long long)st->exits);
}

const struct scenario scenario_storm = {
    .name = "storm",
    .about = "everything at once while hosts crash and links break; then calm",
    .net = {.latency_min = {1000000},
	.latency_max = {120000000},
	.loss_ppm = 30000,
	.retransmit = {200000000},
	.time_limit = {INT64_C(600) * 1000 * 1000 * 1000}},
    .seeds = 30,
    .setup = setup,
    .check = check,
};
