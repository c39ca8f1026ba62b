/* The DHT's life: options, who is suggested to the table, checks, refresh, republishing. */
#include "p2p/kad_priv.h"
#include "p2p/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#define LOOK_S        5    /* between looks at how we are reached */
#define DIALLED_S     3600 /* for so long that somebody dialled us means something */
#define IDLE_CHECK_S  15   /* a checker without work looks again */
#define VISIT_S       10   /* SPEC kad-dht, "Bootstrap process": each lookup up to 10 s */
#define CLOSE_S       10   /* for handlers to end once their streams are reset */
#define AWAIT_PEERS_S 60

/* ---- addresses ----------------------------------------------------------------------------- */

const struct multiaddr *kad_remote(const struct p2p_kad *k, const struct peer_id *id)
{
	const struct peer *p = peer_find(k->host, id);
	const struct conn *c = p ? conn_preferred(k->host, p) : NULL;

	return c ? &c->remote : NULL;
}

struct kad_net kad_net_of_peer(const struct p2p_kad *k, const struct peer_id *id)
{
	const struct multiaddr *remote = kad_remote(k, id);

	return remote ? kad_net_of(remote) : (struct kad_net){0};
}

bool kad_addr_fits(const struct multiaddr *addr, const struct multiaddr *other)
{
	enum multiaddr_reach reach = multiaddr_reach(addr);
	enum multiaddr_reach seen = other ? multiaddr_reach(other) : MA_REACH_UNKNOWN;

	switch (reach) {
	case MA_REACH_UNSPECIFIED:
		return false;
	case MA_REACH_LOOPBACK:
		return seen == MA_REACH_LOOPBACK;
	case MA_REACH_LINK_LOCAL:
	case MA_REACH_PRIVATE:
		return seen != MA_REACH_PUBLIC;
	case MA_REACH_UNKNOWN:
	case MA_REACH_PUBLIC:
	case MA_REACH_NAME:
		return true;
	}
	return false;
}

/* The peer book forgets under pressure; a member's addresses are kept beside it. */
static void keep_addrs(struct p2p_kad *k, const struct peer_id *id)
{
	struct kad_entry *e = kad_table_find(&k->table, id);
	struct p2p_peer_info info;

	if (!e || !p2p_peer_info(k->host, id, &info) || info.n_addrs == 0)
		return;
	addr_list_free(&e->addrs);
	for (size_t i = 0; i < info.n_addrs; i++)
		if (addr_list_add(&e->addrs, &info.addrs[i], KAD_PEER_ADDRS_MAX) != 0)
			return; /* fewer addresses do no harm */
}

/* ---- the table's upkeep -------------------------------------------------------------------- */

void kad_note_answer(struct p2p_kad *k, const struct peer_id *id)
{
	const struct kad_entry *e = kad_table_find(&k->table, id);
	struct kad_net net = kad_net_of_peer(k, id);
	size_t before = kad_table_members(&k->table);

	/* Whoever answers and is gone at once has no network to be counted with. */
	if (!kad_remote(k, id) && !(e && e->standing == KAD_MEMBER))
		return;
	if (kad_table_answered(&k->table, id, &net, rt_now()))
		keep_addrs(k, id);
	if (kad_table_members(&k->table) > before)
		waitq_wake_all(&k->suggested);
}

void kad_note_failure(struct p2p_kad *k, const struct peer_id *id, int code)
{
	/* Without any connection it is we who are out of reach. */
	if (!k->host->conns)
		return;
	if (code == E_UNSUPPORTED)
		kad_table_remove(&k->table, id, rt_now());
	else
		kad_table_failed(&k->table, id, rt_now());
}

static void on_event(void *arg, const struct p2p_event *e)
{
	struct p2p_kad *k = arg;
	struct kad_net net;

	if (e->kind != P2P_PEER_IDENTIFIED)
		return;
	/* SPEC kad-dht: only servers, known by the protocol in identify, enter the table. */
	if (!p2p_peer_speaks(k->host, &e->peer, k->protocol)) {
		kad_table_remove(&k->table, &e->peer, rt_now());
		return;
	}
	net = kad_net_of_peer(k, &e->peer);
	if (kad_table_suggest(&k->table, &e->peer, &net, rt_now()))
		waitq_wake_all(&k->suggested);
}

static void check_fiber(void *arg)
{
	struct p2p_kad *k = arg;
	struct peer_id next;

	while (scope_check(NULL) == 0) {
		if (kad_table_next_check(&k->table, rt_now(), &next))
			kad_check_peer(k, &next);
		else if (waitq_wait_for(&k->suggested, duration_s(IDLE_CHECK_S), NULL) ==
			 E_CANCELLED)
			return;
	}
}

static int visit(struct p2p_kad *k, const struct peer_id *target, struct err *err)
{
	struct scope sc;
	int rc;

	scope_open(&sc, duration_s(VISIT_S));
	rc = kad_visit(k, target, err);
	scope_close(&sc);
	return rc;
}

/* SPEC kad-dht, "Bootstrap process": ourselves, and a random key in each bucket in use. */
static int refresh(struct p2p_kad *k, struct duration age, struct err *err)
{
	struct peer_id target;
	int rc;

	if (kad_table_members(&k->table) == 0)
		return err_set(err, E_UNAVAILABLE, "no peer of the DHT is known");
	rc = visit(k, &k->host->identity.peer_id, err);
	for (unsigned b = 0; b <= KAD_REFRESH_BITS && scope_check(NULL) == 0; b++) {
		if (!kad_table_refresh_due(&k->table, b, rt_now(), age))
			continue;
		kad_table_refresh_id(&k->table, b, world_random_u64(k->host->world), &target);
		if (visit(k, &target, NULL) != 0)
			rt_log(LOG_DEBUG, "p2p", "kad: bucket %u was not refreshed", b);
	}
	return rc == E_TIMEOUT ? 0 : rc;
}

int p2p_kad_bootstrap(struct p2p_kad *k, struct err *err)
{
	return refresh(k, duration_s(0), err);
}

/* The next of our own that is due, or was never taken, and was not tried since `round`. */
static struct kad_own *next_due(const struct p2p_kad *k, struct instant round)
{
	struct kad_own *o = k->own;

	for (; o; o = o->next) {
		bool due = o->published.ns == 0 || instant_since(rt_now(), o->published).ns >=
						       duration_s(KAD_REPUBLISH_S).ns;
		if (due && instant_before(o->tried, round))
			break;
	}
	return o;
}

/* Each one once: what nobody takes does not hold up the others. */
static void republish(struct p2p_kad *k)
{
	struct instant round = rt_now();
	struct kad_own *o;
	struct err err = {0};

	while (scope_check(NULL) == 0 && (o = next_due(k, round)))
		if (kad_publish(k, o, &err) != 0)
			rt_log(LOG_DEBUG, "p2p", "kad: not published: %s", err_text(&err));
}

/* Somewhere between 90 % and 110 %, so that many nodes do not refresh together. */
static struct duration jitter(struct p2p_kad *k, struct duration d)
{
	uint64_t tenth = (uint64_t)d.ns / 10 + 1;

	return duration_ns(
	    d.ns - (int64_t)tenth + (int64_t)(world_random_u64(k->host->world) % (2 * tenth)));
}

static void refresh_fiber(void *arg)
{
	struct p2p_kad *k = arg;
	struct duration age = duration_s(0);
	struct err err;

	while (scope_check(NULL) == 0) {
		while (kad_table_members(&k->table) == 0)
			if (waitq_wait_for(&k->suggested, duration_s(AWAIT_PEERS_S), NULL) ==
			    E_CANCELLED)
				return;
		if (refresh(k, age, &err) != 0)
			rt_log(LOG_DEBUG, "p2p", "kad: not refreshed: %s", err_text(&err));
		age = k->options.refresh_every;
		republish(k);
		kad_store_sweep(&k->store, rt_now());
		if (fiber_sleep(jitter(k, k->options.refresh_every)) != 0)
			return;
	}
}

/* ---- life ---------------------------------------------------------------------------------- */

void p2p_kad_options_default(struct p2p_kad_options *opt)
{
	*opt = (struct p2p_kad_options){
	    .mode = P2P_KAD_SERVER,
	    .prefix = P2P_KAD_PREFIX_DEFAULT,
	    .alpha = KAD_ALPHA,
	    .paths = 2,
	    .quorum = 6,
	    .request = duration_s(10),
	    .lookup = duration_s(60),
	    .refresh_every = duration_s(600),
	};
}

static int take_options(struct p2p_kad *k, const struct p2p_kad_options *opt, struct err *err)
{
	size_t n = strlen(opt->prefix);

	if (n == 0 || n > KAD_PREFIX_MAX || opt->prefix[0] != '/' || strchr(opt->prefix, '\n'))
		return err_set(err, E_INVALID, "not a protocol prefix: \"%s\"", opt->prefix);
	if (opt->n_validators > KAD_VALIDATORS_MAX)
		return err_set(err, E_LIMIT, "at most %d validators", KAD_VALIDATORS_MAX);
	INVARIANT(opt->alpha > 0 && opt->paths > 0 && opt->paths <= KAD_PATHS_MAX);
	k->options = *opt;
	(void)snprintf(k->protocol, sizeof k->protocol, "%s/kad/1.0.0", opt->prefix);
	k->options.prefix = NULL;
	k->options.validators = NULL;
	for (size_t i = 0; i < opt->n_validators; i++) {
		k->validators[i] = opt->validators[i];
		k->validators[i].prefix = talloc_strdup(k, opt->validators[i].prefix);
		if (!k->validators[i].prefix)
			return err_set(err, E_MEMORY, "no memory for the DHT");
	}
	return 0;
}

/* Peers that were identified before we came. */
static void suggest_connected(struct p2p_kad *k)
{
	for (struct conn *c = k->host->conns; c; c = c->next) {
		struct kad_net net = kad_net_of(&c->remote);
		if (peer_speaks(c->peer, k->protocol))
			(void)kad_table_suggest(&k->table, &c->peer->id, &net, rt_now());
	}
}

static int take_side(struct p2p_kad *k, enum p2p_kad_mode mode, struct err *err)
{
	int rc = 0;

	if (mode == k->mode)
		return 0;
	if (mode == P2P_KAD_SERVER)
		rc = p2p_handle(k->host, k->protocol, kad_serve, k, err);
	else
		p2p_unhandle(k->host, k->protocol);
	if (rc == 0)
		k->mode = mode;
	return rc;
}

/* ---- which side ---------------------------------------------------------------------------- */

/* Whether somebody who is connected has dialled us across a network: not through a hole, which only
 * its maker can pass. */
static bool dialled(const struct p2p_host *h)
{
	for (const struct conn *c = h->conns; c; c = c->next)
		if (c->direction == P2P_INBOUND && c->relay.n == 0 && !c->punched &&
		    !c->peer->was_relayed && multiaddr_reach(&c->remote) != MA_REACH_LOOPBACK)
			return true;
	return false;
}

static enum p2p_kad_mode fitting_side(struct p2p_kad *k)
{
	struct p2p_reach_info info;

	p2p_reachability(k->host, &info);
	if (dialled(k->host))
		k->dialled = rt_now();
	switch (info.reach) {
	case P2P_REACH_PUBLIC:
		return P2P_KAD_SERVER;
	case P2P_REACH_PRIVATE:
		return P2P_KAD_CLIENT;
	case P2P_REACH_UNKNOWN:
		break;
	}
	bool lately =
	    k->dialled.ns != 0 && instant_since(rt_now(), k->dialled).ns < duration_s(DIALLED_S).ns;
	return lately ? P2P_KAD_SERVER : P2P_KAD_CLIENT;
}

static void side_fiber(void *arg)
{
	struct p2p_kad *k = arg;
	struct err err;

	while (fiber_sleep(duration_s(LOOK_S)) == 0) {
		enum p2p_kad_mode was = k->mode;
		if (!k->automatic)
			continue;
		if (take_side(k, fitting_side(k), &err) != 0)
			rt_log(LOG_WARN, "p2p", "kad: cannot serve: %s", err_text(&err));
		else if (k->mode != was)
			rt_log(LOG_INFO, "p2p", "%s the hash table",
			    k->mode == P2P_KAD_SERVER ? "others can dial us: serving"
						      : "nobody can dial us: only asking");
	}
}

int p2p_kad_set_mode(struct p2p_kad *k, enum p2p_kad_mode mode, struct err *err)
{
	k->automatic = mode == P2P_KAD_AUTO;
	return take_side(k, k->automatic ? fitting_side(k) : mode, err);
}

static int start(struct p2p_kad *k, enum p2p_kad_mode mode, struct err *err)
{
	int rc = 0;

	k->mode = P2P_KAD_CLIENT;
	for (int i = 0; rc == 0 && i < KAD_CHECKERS; i++)
		rc = fiber_spawn(&k->scope, "p2p kad check", check_fiber, k, err);
	if (rc == 0)
		rc = fiber_spawn(&k->scope, "p2p kad refresh", refresh_fiber, k, err);
	if (rc == 0)
		rc = fiber_spawn(&k->scope, "p2p kad side", side_fiber, k, err);
	if (rc == 0)
		rc = p2p_kad_set_mode(k, mode, err);
	return rc;
}

int p2p_kad_new(
    struct p2p_host *h, const struct p2p_kad_options *opt, struct p2p_kad **out, struct err *err)
{
	struct kad_table_config config = kad_table_config_default();
	struct p2p_kad *k = talloc_zero(h, struct p2p_kad);
	int rc;

	if (!k)
		return err_set(err, E_MEMORY, "no memory for the DHT");
	k->host = h;
	if ((rc = take_options(k, opt, err)) != 0) {
		talloc_free(k);
		return rc;
	}
	kad_table_init(&k->table, &h->identity.peer_id, &config, rt_now());
	kad_store_init(&k->store, &k->table.key, k->validators, opt->n_validators);
	scope_init(&k->scope, NULL);
	p2p_on_event(h, on_event, k);
	suggest_connected(k);
	if ((rc = start(k, opt->mode, err)) != 0) {
		p2p_kad_close(k);
		return rc;
	}
	*out = k;
	return 0;
}

/* Handlers wait for their streams alone: resetting those ends them. */
static void end_serving(struct p2p_kad *k)
{
	struct scope sc;
	int rc = 0;

	scope_open_shielded(&sc, duration_s(CLOSE_S));
	kad_end_serving(k);
	while (k->n_serving > 0 && rc == 0)
		rc = waitq_wait(&k->served, NULL);
	scope_close(&sc);
	INVARIANT(k->n_serving == 0);
}

void p2p_kad_close(struct p2p_kad *k)
{
	struct kad_own *o;

	if (!k)
		return;
	k->closed = true;
	p2p_off_event(k->host, on_event, k);
	if (k->mode == P2P_KAD_SERVER)
		p2p_unhandle(k->host, k->protocol);
	scope_close(&k->scope);
	end_serving(k);
	while ((o = k->own)) {
		k->own = o->next;
		buf_free(&o->key);
		buf_free(&o->value);
		free(o);
	}
	kad_table_free(&k->table);
	kad_store_free(&k->store);
}

const char *p2p_kad_protocol(const struct p2p_kad *k)
{
	return k->protocol;
}

void p2p_kad_info(const struct p2p_kad *k, struct p2p_kad_info *out)
{
	*out = (struct p2p_kad_info){
	    .mode = k->mode,
	    .peers = kad_table_members(&k->table),
	    .records = k->store.n_records,
	    .provided_keys = k->store.n_provided,
	    .providers = k->store.n_providers,
	    .requests_in = k->requests_in,
	    .requests_out = k->requests_out,
	    .refused_in = k->refused_in,
	    .lookups = k->lookups,
	};
	for (unsigned b = 0; b < KAD_BITS; b++)
		out->candidates += kad_table_count(&k->table, b, KAD_CANDIDATE);
}
