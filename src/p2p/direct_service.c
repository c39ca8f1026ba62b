/* Tries relayed peers directly now and then: dials the addresses that they are known by, and, where
 * the circuit is theirs, leads an exchange of DCUtR. What comes of it is a connection like any
 * other, which new streams prefer; the circuit ends when its last stream has. */
#include "p2p/dcutr_priv.h"
#include "p2p/direct_priv.h"
#include "p2p/host_priv.h"

#include <talloc.h>

#define TRIES_AT_ONCE 8
#define DIAL_LIMIT_S  8

struct direct {
	struct p2p_host *host;
	struct direct_set own; /* our addresses, as we and others know them */
	unsigned running;
};

struct
try {
	struct direct *d;
	struct peer_id peer;
	p2p_conn_id conn;
};

/* Known addresses, of which one at least may lead there without a relay. */
static bool may_dial(const struct p2p_host *h, const struct peer *p)
{
	for (size_t i = 0; i < p->n_addrs; i++)
		if (dcutr_worth(&p->addrs[i], h->addrs, h->n_addrs))
			return true;
	return false;
}

static int dial_known(struct p2p_host *h, const struct peer_id *peer, struct err *err)
{
	const struct peer *p = peer_find(h, peer);
	struct scope sc;

	if (!p || !may_dial(h, p))
		return err_set(err, E_NOT_FOUND, "no direct address is known");
	scope_open(&sc, duration_s(DIAL_LIMIT_S));
	int rc = dial_direct(h, peer, NULL, 0, NULL, err);
	scope_close(&sc);
	return rc;
}

static void try_fiber(void *arg)
{
	struct try *t = arg;
	struct p2p_host *h = t->d->host;
	char id[PEER_ID_TEXT_MAX];
	struct err err = {0};
	int rc = dial_known(h, &t->peer, &err);

	if (rc != 0 && rc != E_CANCELLED)
		rc = dcutr_once(h, t->conn, &err);
	peer_id_print(&t->peer, id);
	if (rc == 0)
		rt_log(LOG_INFO, "p2p", "directly connected to %s, no longer by relay", id);
	else
		rt_log(LOG_DEBUG, "p2p", "%s stays relayed: %s", id, err_text(&err));
	struct conn *c = conn_find(h, t->conn);
	if (c && c->direct) {
		c->direct->running = false;
		direct_plan_wait(c->direct, rt_now(), world_random_u64(h->world));
	}
	t->d->running--;
	talloc_free(t);
}

static void try_again(struct direct *d, struct conn *c)
{
	struct try *t = d->running < TRIES_AT_ONCE ? talloc_zero(d, struct try) : NULL;

	if (!t)
		return;
	*t = (struct try){.d = d, .peer = c->peer->id, .conn = c->id};
	if (fiber_spawn(&d->host->scope, "p2p direct", try_fiber, t, NULL) != 0) {
		talloc_free(t);
		return;
	}
	c->direct->running = true;
	d->running++;
}

/* Whether an address of ours is new since the last look: another network, or a router that lets us
 * in. */
static bool own_news(struct direct *d)
{
	const struct p2p_host *h = d->host;
	struct addr_list l = {0};
	struct direct_set now = {0};

	for (const struct conn *c = h->conns; c; c = c->next)
		if (c->relay.n == 0 && c->direction == P2P_OUTBOUND && c->identified &&
		    host_add_observed(h, &c->peer->said.observed, &l, DIRECT_SET_MAX) != 0)
			break;
	for (size_t i = 0; i < l.n; i++)
		direct_set_add(&now, &l.v[i]);
	addr_list_free(&l);
	for (size_t i = 0; i < h->n_addrs; i++)
		if (!multiaddr_is_relayed(&h->addrs[i]))
			direct_set_add(&now, &h->addrs[i]);
	bool grew = direct_set_grew(&d->own, &now);
	d->own = now;
	return grew;
}

static bool peer_news(struct direct_plan *plan, const struct peer *p)
{
	struct direct_set now = {0};

	for (size_t i = 0; i < p->n_addrs; i++)
		if (!multiaddr_is_relayed(&p->addrs[i]))
			direct_set_add(&now, &p->addrs[i]);
	bool grew = direct_set_grew(&plan->known, &now);
	plan->known = now;
	return grew;
}

static void look_after(struct direct *d, struct conn *c, bool moved)
{
	struct direct_plan *plan = c->direct;
	struct instant now = rt_now();

	if (!c->identified)
		return;
	if (!plan && !(plan = c->direct = talloc_zero(c, struct direct_plan)))
		return;
	bool news = peer_news(plan, c->peer);
	if (plan->running)
		return;
	if (!plan->begun)
		direct_plan_wait(plan, now, world_random_u64(d->host->world));
	else if (news || moved)
		direct_plan_hint(plan, now, DIRECT_GAP_MS);
	if (direct_plan_due(plan, now))
		try_again(d, c);
}

static void tick_fiber(void *arg)
{
	struct direct *d = arg;
	bool moved = false;

	while (fiber_sleep(duration_s(1)) == 0) {
		bool any = false;
		for (struct conn *c = d->host->conns; c; c = c->next) {
			if (c->relay.n == 0 || c->closing || conn_preferred(d->host, c->peer) != c)
				continue;
			if (!any)
				moved = own_news(d);
			any = true;
			look_after(d, c, moved);
		}
	}
}

/* Seen on our own network: then there is a way. */
static void on_event(void *arg, const struct p2p_event *e)
{
	struct direct *d = arg;
	const struct peer *p = e->kind == P2P_PEER_DISCOVERED ? peer_find(d->host, &e->peer) : NULL;

	for (struct conn *c = p ? p->conns : NULL; c; c = c->peer_next)
		if (c->direct && c->direct->begun)
			direct_plan_hint(c->direct, rt_now(), DIRECT_SEEN_MS);
}

int direct_start(struct p2p_host *h, struct err *err)
{
	struct direct *d = talloc_zero(h, struct direct);

	if (!d)
		return err_set(err, E_MEMORY, "no memory for direct connections");
	d->host = h;
	int rc = fiber_spawn(&h->scope, "p2p direct", tick_fiber, d, err);
	if (rc != 0) {
		talloc_free(d);
		return rc;
	}
	p2p_on_event(h, on_event, d);
	return 0;
}
