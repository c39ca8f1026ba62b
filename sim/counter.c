/* A host counts in a file and tells another what it has counted; it loses power again and again.
 * What it told must be what is stored: never more than the file holds.
 *
 * The hidden twin "broken" tells first and stores afterwards. For some seeds the power goes between
 * the two, and the check must catch it: this is how we know that checks can fail. */
#include "sim/scenario.h"

#include <stdlib.h>

#define PORT      7100
#define N_CRASHES 5
#define GOAL      60

struct counter {
	struct scenario_run *run;
	struct world *keeper, *witness;
	bool tells_first;
	uint64_t told; /* the highest number that arrived at the witness */
};

/* ---- the keeper ---------------------------------------------------------------------------- */

static const char path[] = "/count";

static int load(struct counter *c, uint64_t *count, struct err *err)
{
	struct buf text = BUF_INIT(32);
	int rc = file_read(c->keeper, path, 32, &text, err);

	if (rc == E_NOT_FOUND)
		err_clear(err);
	*count = rc == 0 ? strtoull(buf_cstr(&text), NULL, 10) : 0;
	buf_free(&text);
	return rc == E_NOT_FOUND ? 0 : rc;
}

static int store(struct counter *c, uint64_t count, struct err *err)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count);

	return file_write(c->keeper, path, bytes_of(text, (size_t)n), 0600, err);
}

static int tell(struct stream *s, uint64_t count, struct err *err)
{
	uint8_t raw[8];

	put_u64be(raw, count);
	return stream_write(s, raw, sizeof(raw), err);
}

static int count_up(struct counter *c, struct stream *s, uint64_t count, struct err *err)
{
	int rc = c->tells_first ? tell(s, count, err) : store(c, count, err);

	if (rc != 0)
		return rc;
	return c->tells_first ? store(c, count, err) : tell(s, count, err);
}

static int keep_counting(struct counter *c, struct stream *s, struct err *err)
{
	uint64_t count;
	int rc = load(c, &count, err);

	/* After a power loss: what the file says now is all there is. */
	SCENARIO_CHECK(c->run, rc != 0 || count >= c->told,
	    "the witness was told %llu, the file holds %llu", (unsigned long long)c->told,
	    (unsigned long long)count);
	while (rc == 0 && count < GOAL) {
		rc = count_up(c, s, ++count, err);
		if (rc == 0)
			rc = fiber_sleep(duration_ms(100));
	}
	return rc;
}

static void keeper_main(void *arg)
{
	struct counter *c = arg;
	struct netaddr to;
	struct stream *s;
	struct err err = {0};
	int rc = 0;

	universe_host_addr(c->witness, &to);
	to.port = PORT;
	while (rc != E_CANCELLED && c->told < GOAL) {
		rc = world_tcp_dial(c->keeper, &to, &s, &err);
		if (rc == 0) {
			rc = keep_counting(c, s, &err);
			stream_close(s);
		}
		rt_log(LOG_INFO, "counter", "%s", rc == 0 ? "done" : err_text(&err));
		if (rc != E_CANCELLED)
			rc = fiber_sleep(duration_ms(200));
	}
}

/* ---- the witness --------------------------------------------------------------------------- */

static void hear(struct counter *c, uint64_t count)
{
	universe_record(scenario_universe(c->run), "told %llu", (unsigned long long)count);
	if (count > c->told)
		c->told = count;
	if (c->told == GOAL)
		scenario_done(c->run);
}

/* Until the keeper is silent for longer than it ever pauses. */
static void listen_to(struct counter *c, struct stream *s)
{
	uint8_t raw[8];
	int rc;

	do {
		struct scope sc;

		scope_open(&sc, duration_s(1));
		rc = stream_read_full(s, raw, sizeof(raw), NULL);
		scope_close(&sc);
		if (rc == 0)
			hear(c, get_u64be(raw));
	} while (rc == 0);
	stream_close(s);
}

static void witness_main(void *arg)
{
	struct counter *c = arg;
	struct netaddr at = {.family = NET_IP4, .port = PORT};
	struct listener *l;
	struct stream *s;
	struct err err = {0};

	if (world_tcp_listen(c->witness, &at, &l, &err) != 0) {
		SCENARIO_CHECK(c->run, false, "listen: %s", err_text(&err));
		return;
	}
	while (listener_accept(l, &s, NULL, &err) == 0)
		listen_to(c, s);
	listener_close(l);
}

/* ---- the story ----------------------------------------------------------------------------- */

static void lose_power(void *arg)
{
	struct counter *c = arg;
	struct universe *u = scenario_universe(c->run);

	universe_crash(u, c->keeper, false);
	if (fiber_sleep(scenario_draw(c->run, duration_ms(10), duration_s(2))) == 0 &&
	    !universe_alive(u, c->keeper))
		scenario_boot(c->run, c->keeper, keeper_main, c);
}

static struct counter *lay_out(struct scenario_run *r)
{
	struct counter *c = scenario_state(r, sizeof(*c));

	c->run = r;
	c->keeper = scenario_host(r, "keeper");
	c->witness = scenario_host(r, "witness");
	scenario_boot(r, c->witness, witness_main, c);
	scenario_boot(r, c->keeper, keeper_main, c);
	for (int i = 0; i < N_CRASHES; i++)
		scenario_at(r, scenario_draw(r, duration_ms(500), duration_s(9)), lose_power, c);
	return c;
}

static void setup(struct scenario_run *r)
{
	lay_out(r);
}

static void setup_broken(struct scenario_run *r)
{
	lay_out(r)->tells_first = true;
}

static void check(struct scenario_run *r)
{
	SCENARIO_CHECK(r, universe_events(scenario_universe(r)) > GOAL, "nothing happened");
}

#define NETWORK                                                                                    \
	{                                                                                          \
		.latency_min = {200000}, .latency_max = {2000000}, .loss_ppm = 1000,               \
		.retransmit = {200000000}, .time_limit = {                                         \
			INT64_C(300) * 1000 * 1000 * 1000                                          \
		}                                                                                  \
	}

const struct scenario scenario_counter = {
    .name = "counter",
    .about = "what was told after storing it survives any power loss",
    .net = NETWORK,
    .seeds = 200,
    .setup = setup,
    .check = check,
};

const struct scenario scenario_broken = {
    .name = "broken",
    .about = "tells before storing: its invariant breaks, and must be caught",
    .net = NETWORK,
    .seeds = 50,
    .hidden = true,
    .setup = setup_broken,
};
