/* The universe and its hosts: their life and death, and the table that makes a host a world. See
 * world_sim.h for what is modelled.
 *
 * Must stay true: once a host has crashed, nothing that its old fibers do changes anything outside
 * them, and a new main fiber starts only when the old ones have ended. */
#include "rt/world_sim.h"
#include "rt/rt_priv.h"
#include "rt/sim_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

/* Virtual time begins here, so that no instant is ever zero or in the past of a deadline. */
#define ORIGIN_NS    (INT64_C(1000) * 1000 * 1000)
#define WALL_BASE_MS INT64_C(1704067200000) /* 2024-01-01 */
#define WALL_SKEW_MS 250                    /* each host's clock is off by up to this much */

#define RETRANSMIT_DEFAULT_MS 200
#define UNWIND_LIMIT_S        600

#define FIRST_PORT 49152

/* ---- the universe -------------------------------------------------------------------------- */

static int options_check(const struct universe_options *o, struct err *err)
{
	if (o->latency_max.ns < o->latency_min.ns || o->latency_min.ns < 0)
		return err_set(err, E_INVALID, "latency_max is below latency_min");
	if (o->loss_ppm > 1000000)
		return err_set(err, E_INVALID, "loss_ppm is above a million");
	return 0;
}

int universe_new(const struct universe_options *opt, struct universe **out, struct err *err)
{
	struct universe *u;
	int rc = options_check(opt, err);

	if (rc != 0)
		return rc;
	u = sim_alloc(sizeof(*u));
	u->reactor.ops = &sim_reactor_ops;
	u->opt = *opt;
	if (u->opt.retransmit.ns == 0)
		u->opt.retransmit = duration_ms(RETRANSMIT_DEFAULT_MS);
	u->now = (struct instant){ORIGIN_NS};
	u->limit = opt->time_limit.ns == 0 ? INSTANT_NEVER : instant_add(u->now, opt->time_limit);
	u->hash = 0xcbf29ce484222325u;
	u->next_conn = 1;
	u->next_pid = 1000;
	prng_seed(&u->prng, opt->seed);
	u->rt = rt_new(&u->reactor, STACK_CANARY);
	if (!u->rt) {
		free(u);
		return err_set(err, E_MEMORY, "no memory for a universe");
	}
	*out = u;
	return 0;
}

static void host_free(struct host *h)
{
	struct sim_var *v, *next;

	files_free(h);
	LL_FOREACH_SAFE(h->vars, v, next)
	{
		free(v->name);
		free(v->value);
		free(v);
	}
	free(h->name);
	free(h);
}

static void unwind(struct universe *u)
{
	struct sim_guest *g;

	for (size_t i = 0; i < u->n_hosts; i++)
		u->hosts[i]->next_boot.wanted = false;
	DL_FOREACH(u->guests, g)
	guest_cancel(g);
	u->running = u->ending = true;
	u->stuck = u->stopped = false;
	u->limit = instant_add(u->now, duration_s(UNWIND_LIMIT_S));
	while (rt_turn(u->rt, u->limit))
		if (u->stuck || !instant_before(u->now, u->limit))
			BUG("%zu fibers of the simulation do not end after their cancellation",
			    rt_fiber_count(u->rt));
}

void universe_free(struct universe *u)
{
	struct cut_pair *cut, *next_cut;
	struct sim_role *role, *next_role;

	if (!u)
		return;
	unwind(u);
	sim_events_drop(u);
	HASH_CLEAR(hh, u->by_name);
	for (size_t i = 0; i < u->n_hosts; i++)
		host_free(u->hosts[i]);
	free(u->hosts);
	HASH_ITER (hh, u->cuts, cut, next_cut) {
		HASH_DEL(u->cuts, cut);
		free(cut);
	}
	LL_FOREACH_SAFE(u->roles, role, next_role)
	{
		free(role->name);
		free(role);
	}
	rt_free(u->rt);
	free(u);
}

enum universe_end universe_run(struct universe *u)
{
	u->running = true;
	u->stopped = u->stuck = false;
	while (!u->stopped && !u->stuck && instant_before(u->now, u->limit)) {
		if (rt_turn(u->rt, u->limit))
			continue;
		if (u->n_waking == 0)
			break;
		sim_reactor_ops.poll(&u->reactor, u->limit);
	}
	u->running = false;
	if (u->stopped)
		return UNIVERSE_STOPPED;
	if (u->stuck)
		return UNIVERSE_STUCK;
	return instant_before(u->now, u->limit) ? UNIVERSE_DONE : UNIVERSE_TIME_LIMIT;
}

void universe_stop(struct universe *u)
{
	if (!u->ending)
		u->stopped = true;
}

struct rt *universe_rt(struct universe *u)
{
	return u->rt;
}

struct instant universe_now(const struct universe *u)
{
	return u->now;
}

struct duration universe_elapsed(const struct universe *u)
{
	return duration_ns(u->now.ns - ORIGIN_NS);
}

uint64_t universe_hash(const struct universe *u)
{
	return u->hash;
}

uint64_t universe_events(const struct universe *u)
{
	return u->n_events;
}

uint64_t universe_random_below(struct universe *u, uint64_t n)
{
	return prng_below(&u->prng, n);
}

/* ---- fibers of the universe ---------------------------------------------------------------- */

void guest_run(struct universe *u, struct sim_guest *g, void (*fn)(void *), void *arg)
{
	struct scope sc;

	scope_open(&sc, DURATION_FOREVER);
	g->scope = &sc;
	if (g->cancelled)
		scope_cancel(&sc);
	fn(arg);
	g->scope = NULL;
	scope_close(&sc);
	DL_DELETE(u->guests, g);
}

void guest_cancel(struct sim_guest *g)
{
	g->cancelled = true;
	if (g->scope)
		scope_cancel(g->scope);
}

struct sim_at {
	struct sim_event event; /* first */
	struct sim_guest guest;
	struct universe *u;
	void (*fn)(void *);
	void *arg;
};

static void at_main(void *arg)
{
	struct sim_at *a = arg;

	guest_run(a->u, &a->guest, a->fn, a->arg);
	free(a);
}

static void at_fire(struct universe *u, struct sim_event *e)
{
	struct sim_at *a = (struct sim_at *)e;
	struct err err = {0};

	u->n_waking--;
	DL_APPEND(u->guests, &a->guest);
	if (rt_start(u->rt, "at", NULL, at_main, a, &err) != 0)
		BUG("cannot start a fiber: %s", err_text(&err));
}

static void at_drop(struct universe *u, struct sim_event *e)
{
	u->n_waking--;
	free(e);
}

int universe_at(
    struct universe *u, struct duration when, void (*fn)(void *), void *arg, struct err *err)
{
	struct sim_at *a = sim_alloc(sizeof(*a));

	(void)err;
	*a = (struct sim_at){
	    .event = {.fire = at_fire, .drop = at_drop}, .u = u, .fn = fn, .arg = arg};
	u->n_waking++;
	sim_event_arm(u, &a->event, instant_add((struct instant){ORIGIN_NS}, when));
	return 0;
}

int sim_pause(struct host *h, struct duration min, struct duration max, struct err *err)
{
	struct rt *rt = rt_running();
	int rc;

	if (!rt || !rt->running)
		return 0; /* laid out from outside, before the run */
	rc = fiber_sleep(sim_draw(h->u, min, max));
	return rc == 0 ? host_check(h, err) : err_set(err, rc, "%s", err_info(rc)->text);
}

/* ---- hosts --------------------------------------------------------------------------------- */

static const struct world_ops sim_world_ops;

static struct host *host_new(struct universe *u, const char *name)
{
	struct host *h = sim_alloc(sizeof(*h));

	h->world = (struct world){.ops = &sim_world_ops, .rt = u->rt};
	h->u = u;
	h->id = (uint32_t)u->n_hosts;
	h->name = sim_strdup(name);
	h->powered = true;
	h->next_port = FIRST_PORT;
	prng_seed(&h->prng, u->opt.seed ^ (uint64_t)(h->id + 1) * 0xd1342543de82ef95u);
	h->wall_skew_ms = (int64_t)prng_below(&h->prng, 2 * WALL_SKEW_MS + 1) - WALL_SKEW_MS;
	return h;
}

struct world *universe_host(struct universe *u, const char *name)
{
	struct host *h;

	HASH_FIND_STR(u->by_name, name, h);
	if (h)
		return &h->world;
	if (u->n_hosts == UNIVERSE_HOSTS_MAX)
		BUG("more than %d hosts in a universe", UNIVERSE_HOSTS_MAX);
	if (u->n_hosts == u->cap_hosts) {
		u->cap_hosts = u->cap_hosts ? u->cap_hosts * 2 : 16;
		u->hosts = realloc(u->hosts, u->cap_hosts * sizeof(struct host *));
		if (!u->hosts)
			BUG("the simulation has no memory for %zu hosts", u->cap_hosts);
	}
	h = host_new(u, name);
	u->hosts[u->n_hosts++] = h;
	HASH_ADD_KEYPTR(hh, u->by_name, h->name, strlen(h->name), h);
	return &h->world;
}

void host_addr(const struct host *h, struct netaddr *out)
{
	*out = (struct netaddr){.family = NET_IP4};
	put_u32be(out->ip, (UINT32_C(10) << 24) + 1 + h->id);
}

void universe_host_addr(const struct world *host, struct netaddr *out)
{
	host_addr((const struct host *)host, out);
}

struct host *host_by_addr(struct host *from, const struct netaddr *a)
{
	uint32_t ip, first = (UINT32_C(10) << 24) + 1;

	if (netaddr_is_loopback(a) || netaddr_is_unspecified(a))
		return from;
	ip = get_u32be(a->ip);
	if (a->family != NET_IP4 || ip < first || ip - first >= from->u->n_hosts)
		return NULL;
	return from->u->hosts[ip - first];
}

bool host_owns_addr(const struct host *h, const struct netaddr *a)
{
	struct netaddr own;

	host_addr(h, &own);
	own.port = a->port;
	return netaddr_is_unspecified(a) || netaddr_is_loopback(a) || netaddr_equal(a, &own);
}

uint16_t host_free_port(struct host *h,
    bool (*taken)(const struct host *h, const struct netaddr *at), const struct netaddr *at)
{
	struct netaddr try = *at;

	for (int i = 0; i < 65536 - FIRST_PORT; i++) {
		try.port = h->next_port;
		h->next_port = h->next_port == 65535 ? FIRST_PORT : (uint16_t)(h->next_port + 1);
		if (!taken(h, &try))
			return try.port;
	}
	return 0;
}

int host_check(const struct host *h, struct err *err)
{
	return h->ghost ? err_set(err, E_CANCELLED, "%s has crashed", h->name) : 0;
}

/* ---- life and death ------------------------------------------------------------------------ */

struct boot {
	struct host *host;
	void (*fn)(void *);
	void *arg;
};

static void host_main(void *arg)
{
	struct boot b = *(struct boot *)arg;

	free(arg);
	guest_run(b.host->u, &b.host->main, b.fn, b.arg);
	b.host->running = false;
	host_root_ended(b.host);
}

static int boot_now(struct host *h, struct log *log, void (*fn)(void *), void *arg, struct err *err)
{
	struct boot *b = sim_alloc(sizeof(*b));
	int rc;

	*b = (struct boot){h, fn, arg};
	rc = rt_start(h->u->rt, h->name, log, host_main, b, err);
	if (rc != 0) {
		free(b);
		return rc;
	}
	sim_note(h->u, "boot", h->id, 0, 0);
	h->powered = true;
	h->running = true;
	h->main = (struct sim_guest){0};
	DL_APPEND(h->u->guests, &h->main);
	host_root_began(h);
	return 0;
}

void host_root_began(struct host *h)
{
	h->n_roots++;
}

void host_root_ended(struct host *h)
{
	struct pending_boot p = h->next_boot;
	struct err err = {0};

	INVARIANT(h->n_roots > 0);
	if (--h->n_roots > 0)
		return;
	h->ghost = false;
	h->next_boot.wanted = false;
	if (p.wanted && boot_now(h, p.log, p.fn, p.arg, &err) != 0)
		BUG("cannot boot %s again: %s", h->name, err_text(&err));
}

int universe_boot(struct universe *u, struct world *host, struct log *log, void (*fn)(void *),
    void *arg, struct err *err)
{
	struct host *h = host_of(host);

	INVARIANT(h->u == u);
	if (universe_alive(u, host))
		return err_set(err, E_IN_USE, "%s is running already", h->name);
	if (!h->ghost)
		return boot_now(h, log, fn, arg, err);
	h->next_boot = (struct pending_boot){.wanted = true, .log = log, .fn = fn, .arg = arg};
	return 0;
}

bool universe_alive(const struct universe *u, const struct world *host)
{
	const struct host *h = (const struct host *)host;

	INVARIANT(h->u == u);
	return (h->running && !h->ghost) || h->next_boot.wanted;
}

void universe_crash(struct universe *u, struct world *host, bool reset)
{
	struct host *h = host_of(host);

	INVARIANT(h->u == u);
	sim_note(u, "crash", h->id, reset, 0);
	h->next_boot.wanted = false;
	h->powered = reset;
	h->ghost = h->n_roots > 0;
	ends_crash(h, reset);
	listeners_crash(h);
	udps_crash(h);
	processes_crash(h);
	files_crash(h, !reset);
	if (h->running)
		guest_cancel(&h->main);
}

/* ---- partitions ---------------------------------------------------------------------------- */

static uint64_t pair_key(const struct host *a, const struct host *b)
{
	uint64_t low = a->id < b->id ? a->id : b->id;
	uint64_t high = a->id < b->id ? b->id : a->id;

	return high << 32 | low;
}

static struct cut_pair *cut_find(const struct host *a, const struct host *b)
{
	uint64_t key = pair_key(a, b);
	struct cut_pair *cut;

	if (a->n_cuts == 0 || b->n_cuts == 0)
		return NULL;
	HASH_FIND(hh, a->u->cuts, &key, sizeof(key), cut);
	return cut;
}

bool sim_cut(const struct host *a, const struct host *b)
{
	return cut_find(a, b) != NULL;
}

bool sim_reachable(const struct host *from, const struct host *to)
{
	return from->powered && to->powered && !sim_cut(from, to);
}

void universe_partition(struct universe *u, struct world *a, struct world *b, bool cut)
{
	struct host *x = host_of(a), *y = host_of(b);
	struct cut_pair *pair = cut_find(x, y);

	INVARIANT(x->u == u && y->u == u && x != y);
	if (cut == (pair != NULL))
		return;
	sim_note(u, cut ? "cut" : "heal", x->id, y->id, 0);
	if (pair) {
		HASH_DEL(u->cuts, pair);
		free(pair);
		x->n_cuts--;
		y->n_cuts--;
		return;
	}
	pair = sim_alloc(sizeof(*pair));
	pair->key = pair_key(x, y);
	HASH_ADD(hh, u->cuts, key, sizeof(pair->key), pair);
	x->n_cuts++;
	y->n_cuts++;
}

/* ---- the world's table --------------------------------------------------------------------- */

static struct instant sim_world_now(struct world *w)
{
	return host_of(w)->u->now;
}

static int64_t sim_wall_ms(struct world *w)
{
	const struct host *h = host_of(w);

	return WALL_BASE_MS + h->wall_skew_ms + h->u->now.ns / 1000000;
}

static void sim_random(struct world *w, void *buf, size_t n)
{
	prng_fill(&host_of(w)->prng, buf, n);
}

static const char *sim_self_path(struct world *w)
{
	(void)w;
	return "/usr/bin/gate";
}

static struct sim_var *var_find(const struct host *h, const char *name)
{
	struct sim_var *v;

	LL_FOREACH(h->vars, v)
	if (strcmp(v->name, name) == 0)
		return v;
	return NULL;
}

static const char *sim_env(struct world *w, const char *name)
{
	const struct sim_var *v = var_find(host_of(w), name);

	return v ? v->value : NULL;
}

void universe_setenv(struct universe *u, struct world *host, const char *name, const char *value)
{
	struct host *h = host_of(host);
	struct sim_var *v = var_find(h, name);

	INVARIANT(h->u == u);
	if (v) {
		LL_DELETE(h->vars, v);
		free(v->name);
		free(v->value);
		free(v);
	}
	if (!value)
		return;
	v = sim_alloc(sizeof(*v));
	*v = (struct sim_var){.name = sim_strdup(name), .value = sim_strdup(value)};
	LL_PREPEND(h->vars, v);
}

static const struct world_ops sim_world_ops = {
    .now = sim_world_now,
    .wall_ms = sim_wall_ms,
    .random = sim_random,
    .tcp_listen = sim_tcp_listen,
    .tcp_dial = sim_tcp_dial,
    .unix_listen = sim_unix_listen,
    .unix_dial = sim_unix_dial,
    .udp_open = sim_udp_open,
    .resolve = sim_resolve,
    .interfaces = sim_interfaces,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_stat = sim_file_stat,
    .file_remove = sim_file_remove,
    .file_tidy = sim_file_tidy,
    .file_mkdirs = sim_file_mkdirs,
    .file_lock = sim_file_lock,
    .process_start = sim_process_start,
    .self_path = sim_self_path,
    .env = sim_env,
    .disk = &sim_disk_ops,
};
