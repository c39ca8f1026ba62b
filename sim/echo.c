/* Two clients keep asking an echo server for their own bytes, over a lossy network, while the
 * server is killed or loses power and comes back, and one client is cut off for a while. What comes
 * back is what was sent, and everybody gets there. */
#include "sim/scenario.h"

#include <talloc.h>

#define PORT        7000
#define ROUNDS      20
#define MESSAGE_MAX 65536
#define N_CLIENTS   2
#define N_CRASHES   3

struct client {
	struct echo *echo;
	struct world *host;
	int rounds, attempts;
};

struct echo {
	struct scenario_run *run;
	struct world *server;
	struct client client[N_CLIENTS];
};

/* ---- the server ---------------------------------------------------------------------------- */

static void serve(void *arg)
{
	struct stream *s = arg;
	uint8_t chunk[4096];
	struct err err = {0};
	ssize_t n;

	while ((n = stream_read(s, chunk, sizeof(chunk), &err)) > 0)
		if (stream_write(s, chunk, (size_t)n, &err) != 0)
			break;
	if (n != 0)
		rt_log(LOG_DEBUG, "echo", "%s: %s", s->remote, err_text(&err));
	stream_close(s);
}

static void server_main(void *arg)
{
	struct echo *e = arg;
	struct netaddr at = {.family = NET_IP4, .port = PORT};
	struct listener *l;
	struct stream *s;
	struct scope connections;
	struct err err = {0};

	if (world_tcp_listen(e->server, &at, &l, &err) != 0) {
		SCENARIO_CHECK(e->run, false, "listen: %s", err_text(&err));
		return;
	}
	rt_log(LOG_INFO, "echo", "listening");
	scope_open(&connections, DURATION_FOREVER);
	while (listener_accept(l, &s, NULL, &err) == 0)
		if (fiber_spawn(&connections, "serve", serve, s, NULL) != 0)
			stream_close(s);
	scope_close(&connections);
	listener_close(l);
}

/* ---- a client ------------------------------------------------------------------------------ */

struct exchange {
	struct stream *s;
	const uint8_t *sent;
	size_t n;
};

static void send_all(void *arg)
{
	struct exchange *x = arg;

	if (stream_write(x->s, x->sent, x->n, NULL) == 0)
		(void)stream_close_write(x->s, NULL);
}

static int exchange(struct client *c, const uint8_t *sent, uint8_t *got, size_t n, struct err *err)
{
	struct netaddr to;
	struct exchange x = {.sent = sent, .n = n};
	struct scope sc;
	int rc;

	universe_host_addr(c->echo->server, &to);
	to.port = PORT;
	rc = world_tcp_dial(c->host, &to, &x.s, err);
	if (rc != 0)
		return rc;
	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(&sc, "send", send_all, &x, err);
	if (rc == 0)
		rc = stream_read_full(x.s, got, n, err);
	if (rc == 0 && stream_read(x.s, got, 1, NULL) > 0)
		SCENARIO_CHECK(c->echo->run, false, "more came back than was sent");
	scope_close(&sc);
	stream_close(x.s);
	return rc;
}

/* Whether the round was completed. */
static bool attempt(struct client *c)
{
	uint8_t *sent, *got;
	size_t n = 1 + world_random_u64(c->host) % MESSAGE_MAX;
	struct scope sc;
	struct err err = {0};
	int rc;

	c->attempts++;
	scope_open(&sc, duration_s(5));
	sent = talloc_size(scope_mem(&sc), n);
	got = talloc_size(scope_mem(&sc), n);
	if (!sent || !got)
		BUG("no memory for a message");
	world_random(c->host, sent, n);
	rc = exchange(c, sent, got, n, &err);
	if (rc == 0)
		SCENARIO_CHECK(c->echo->run, memcmp(sent + 1, got + 1, n - 1) == 0,
		    "round %d: other bytes came back", c->rounds);
	else
		rt_log(LOG_INFO, "echo", "attempt %d: %s", c->attempts, err_text(&err));
	scope_close(&sc);
	return rc == 0;
}

static void client_main(void *arg)
{
	struct client *c = arg;
	struct echo *e = c->echo;

	while (c->rounds < ROUNDS && scope_check(NULL) == 0) {
		if (attempt(c))
			c->rounds++;
		if (fiber_sleep(duration_ms(300)) != 0)
			return;
	}
	universe_record(scenario_universe(e->run), "client done after %d attempts", c->attempts);
	for (int i = 0; i < N_CLIENTS; i++)
		if (e->client[i].rounds < ROUNDS)
			return;
	scenario_done(e->run);
}

/* ---- misfortune ---------------------------------------------------------------------------- */

static void crash_server(void *arg)
{
	struct echo *e = arg;
	struct universe *u = scenario_universe(e->run);

	universe_crash(u, e->server, universe_random_below(u, 2) == 0);
	if (fiber_sleep(scenario_draw(e->run, duration_ms(0), duration_s(3))) == 0 &&
	    !universe_alive(u, e->server))
		scenario_boot(e->run, e->server, server_main, e);
}

static void cut_off_client(void *arg)
{
	struct echo *e = arg;
	struct universe *u = scenario_universe(e->run);

	universe_partition(u, e->server, e->client[1].host, true);
	if (fiber_sleep(scenario_draw(e->run, duration_ms(100), duration_s(8))) == 0)
		universe_partition(u, e->server, e->client[1].host, false);
}

static void setup(struct scenario_run *r)
{
	struct echo *e = scenario_state(r, sizeof(*e));

	e->run = r;
	e->server = scenario_host(r, "server");
	scenario_boot(r, e->server, server_main, e);
	for (int i = 0; i < N_CLIENTS; i++) {
		e->client[i] = (struct client){
		    .echo = e, .host = scenario_host(r, i == 0 ? "client-a" : "client-b")};
		scenario_boot(r, e->client[i].host, client_main, &e->client[i]);
	}
	for (int i = 0; i < N_CRASHES; i++)
		scenario_at(r, scenario_draw(r, duration_s(1), duration_s(15)), crash_server, e);
	scenario_at(r, scenario_draw(r, duration_s(1), duration_s(10)), cut_off_client, e);
}

const struct scenario scenario_echo = {
    .name = "echo",
    .about = "bytes come back as they were sent, over loss, crashes and a partition",
    .net = {.latency_min = {5000000},
	.latency_max = {80000000},
	.loss_ppm = 20000,
	.retransmit = {200000000},
	.time_limit = {INT64_C(300) * 1000 * 1000 * 1000}},
    .seeds = 200,
    .setup = setup,
};
