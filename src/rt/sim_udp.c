/* Datagrams, names and interfaces of the simulated world. All hosts are neighbours on one network
 * (interface 2) where multicast reaches everyone whom no partition hides. */
#include "rt/sim_priv.h"

#include <stdlib.h>
#include <utlist.h>

#define DATAGRAM_MAX 65507
#define QUEUE_MAX    256 /* waiting in a socket; more are lost */

static const struct duration resolve_min = {200 * 1000}, resolve_max = {5 * 1000 * 1000};

struct datagram {
	struct sim_event event; /* first */
	struct datagram *next;
	struct host *from_host, *to_host;
	struct netaddr from, to;
	uint32_t ifindex;
	size_t n;
	uint8_t data[];
};

struct sim_udp {
	struct udp base; /* first */
	struct host *host;
	struct sim_udp *next, *prev;
	struct netaddr addr, group;
	bool has_group;
	uint32_t ifindex;
	bool vanished, receiving;
	struct datagram *queue, *queue_last;
	size_t n_queued;
	struct waitq ready;
};

static bool is_multicast(const struct netaddr *a)
{
	return a->family == NET_IP4 && a->ip[0] >> 4 == 14; /* 224.0.0.0/4 */
}

/* ---- arriving ------------------------------------------------------------------------------ */

static bool wants(const struct sim_udp *s, const struct datagram *d)
{
	if (s->vanished || s->addr.port != d->to.port)
		return false;
	if (is_multicast(&d->to))
		return s->has_group && s->ifindex == d->ifindex &&
		       memcmp(s->group.ip, d->to.ip, 4) == 0;
	return s->addr.family == d->to.family &&
	       (netaddr_is_unspecified(&s->addr) || netaddr_equal(&s->addr, &d->to));
}

/* Takes `d` over. */
static void enqueue(struct sim_udp *s, struct datagram *d)
{
	if (s->n_queued == QUEUE_MAX) {
		free(d);
		return;
	}
	d->next = NULL;
	if (s->queue)
		s->queue_last->next = d;
	else
		s->queue = d;
	s->queue_last = d;
	s->n_queued++;
	waitq_wake_one(&s->ready);
}

static struct datagram *copy_of(const struct datagram *d)
{
	size_t size = sizeof(*d) + d->n;

	return memcpy(sim_alloc(size), d, size);
}

static void arrive_multicast(struct datagram *d)
{
	struct sim_udp *s;

	DL_FOREACH(d->to_host->udps, s)
	if (wants(s, d))
		enqueue(s, copy_of(d));
	free(d);
}

/* To the socket bound last, as with SO_REUSEADDR. */
static void arrive_unicast(struct datagram *d)
{
	struct sim_udp *s, *last = NULL;

	DL_FOREACH(d->to_host->udps, s)
	if (wants(s, d))
		last = s;
	if (last)
		enqueue(last, d);
	else
		free(d);
}

static void datagram_fire(struct universe *u, struct sim_event *e)
{
	struct datagram *d = (struct datagram *)e;

	if (!sim_reachable(d->from_host, d->to_host)) {
		free(d);
		return;
	}
	sim_note(u, "datagram", d->from_host->id, d->to_host->id, d->n);
	if (is_multicast(&d->to))
		arrive_multicast(d);
	else
		arrive_unicast(d);
}

static void datagram_drop(struct universe *u, struct sim_event *e)
{
	(void)u;
	free(e);
}

/* ---- sending ------------------------------------------------------------------------------- */

static struct sim_udp *udp_of(struct udp *u)
{
	return (struct sim_udp *)u;
}

static void launch(
    struct sim_udp *s, struct host *to_host, const struct netaddr *to, struct bytes data)
{
	struct universe *u = s->host->u;
	struct datagram *d;

	if (to_host != s->host && sim_lost(u))
		return;
	d = sim_alloc(sizeof(*d) + data.n);
	d->event = (struct sim_event){.fire = datagram_fire, .drop = datagram_drop};
	d->from_host = s->host;
	d->to_host = to_host;
	d->from = s->addr;
	d->to = *to;
	d->ifindex = s->ifindex;
	d->n = data.n;
	if (data.n > 0)
		memcpy(d->data, data.p, data.n);
	if (netaddr_is_unspecified(&s->addr)) {
		if (netaddr_is_loopback(to))
			d->from = *to;
		else
			host_addr(s->host, &d->from);
		d->from.port = s->addr.port;
	}
	sim_event_arm(u, &d->event, instant_add(u->now, sim_latency(u, s->host, to_host)));
}

static void launch_multicast(struct sim_udp *s, const struct netaddr *to, struct bytes data)
{
	struct universe *u = s->host->u;

	if (s->ifindex == SIM_IF_LOOPBACK) {
		launch(s, s->host, to, data);
		return;
	}
	for (size_t i = 0; i < u->n_hosts; i++)
		if (u->hosts[i]->udps)
			launch(s, u->hosts[i], to, data);
}

static int udp_sim_send(
    struct udp *base, const struct netaddr *to, struct bytes data, struct err *err)
{
	struct sim_udp *s = udp_of(base);
	struct host *target = host_by_addr(s->host, to);
	char text[NETADDR_TEXT_MAX];

	if (s->vanished)
		return err_set(err, E_CANCELLED, "%s has crashed", s->host->name);
	if (data.n > DATAGRAM_MAX)
		return err_set(err, E_TOO_LARGE, "a datagram of %zu bytes", data.n);
	if (is_multicast(to)) {
		launch_multicast(s, to, data);
		return 0;
	}
	netaddr_print(to, text);
	if (!target || to->port == 0 || (target != s->host && netaddr_is_loopback(&s->addr)))
		return err_set(err, E_UNREACHABLE, "%s: no route to it", text);
	launch(s, target, to, data);
	return 0;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static ssize_t udp_sim_recv(
    struct udp *base, void *buf, size_t cap, struct netaddr *from, struct err *err)
{
	struct sim_udp *s = udp_of(base);
	struct datagram *d;
	size_t n;
	int rc = 0;

	INVARIANT(!s->receiving);
	s->receiving = true;
	while (rc == 0 && !s->vanished && !s->queue)
		rc = waitq_wait(&s->ready, err);
	s->receiving = false;
	if (rc != 0)
		return rc;
	if (s->vanished)
		return err_set(err, E_CANCELLED, "%s has crashed", s->host->name);
	d = s->queue;
	s->queue = d->next;
	s->n_queued--;
	n = d->n < cap ? d->n : cap;
	memcpy(buf, d->data, n);
	if (from)
		*from = d->from;
	free(d);
	return (ssize_t)n;
}

static void udp_sim_close(struct udp *base)
{
	struct sim_udp *s = udp_of(base);
	struct datagram *d, *next;

	INVARIANT(!s->receiving);
	LL_FOREACH_SAFE(s->queue, d, next)
	free(d);
	DL_DELETE(s->host->udps, s);
	free(s);
}

void udps_crash(struct host *h)
{
	struct sim_udp *s;

	DL_FOREACH(h->udps, s)
	{
		s->vanished = true;
		waitq_wake_all(&s->ready);
	}
}

static const struct udp_ops sim_udp_ops = {
    .send = udp_sim_send,
    .recv = udp_sim_recv,
    .close = udp_sim_close,
};

/* Address reuse is on: only "any free port" looks at who else is there. */
static bool udp_taken(const struct host *h, const struct netaddr *at)
{
	const struct sim_udp *s;

	DL_FOREACH(h->udps, s)
	if (!s->vanished && s->addr.port == at->port)
		return true;
	return false;
}

int sim_udp_open(struct world *w, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct udp **out, struct err *err)
{
	struct host *h = host_of(w);
	struct sim_udp *s;
	char text[NETADDR_TEXT_MAX];
	int rc = host_check(h, err);

	if (rc != 0)
		return rc;
	netaddr_print(group ? group : at, text);
	if (group && group->family != NET_IP4)
		return err_set(err, E_UNSUPPORTED, "%s: this network has no IPv6", text);
	if (group && !is_multicast(group))
		return err_set(err, E_INVALID, "%s is not a multicast group", text);
	if (!host_owns_addr(h, at) || ifindex > SIM_IF_LAN)
		return err_set(err, E_UNREACHABLE, "%s: no such address or interface", text);
	s = sim_alloc(sizeof(*s));
	s->base.ops = &sim_udp_ops;
	s->host = h;
	s->addr = *at;
	if (at->port == 0)
		s->addr.port = host_free_port(h, udp_taken, at);
	s->has_group = group != NULL;
	if (group)
		s->group = *group;
	s->ifindex = ifindex != 0 ? ifindex : SIM_IF_LAN;
	DL_APPEND(h->udps, s);
	*out = &s->base;
	return 0;
}

/* ---- names and interfaces ------------------------------------------------------------------ */

static bool name_known(const struct universe *u, const char *name, int family, struct netaddr *out)
{
	const struct host *h;

	if (netaddr_parse_ip(name, out, NULL) == 0)
		return family == 0 || family == (int)out->family;
	if (strcmp(name, "localhost") == 0)
		return netaddr_parse_ip(family == NET_IP6 ? "::1" : "127.0.0.1", out, NULL) == 0;
	HASH_FIND_STR(u->by_name, name, h);
	if (!h || family == NET_IP6)
		return false;
	host_addr(h, out);
	return true;
}

int sim_resolve(struct world *w, const char *name, int family, struct netaddr *out, size_t cap,
    size_t *n, struct err *err)
{
	struct host *h = host_of(w);
	int rc = sim_pause(h, resolve_min, resolve_max, err);

	if (rc != 0)
		return rc;
	*n = 0;
	if (cap == 0)
		return 0;
	if (!name_known(h->u, name, family, out))
		return err_set(err, E_NOT_FOUND, "%.100s: no such host", name);
	*n = 1;
	return 0;
}

int sim_interfaces(struct world *w, struct netif *out, size_t cap, size_t *n, struct err *err)
{
	struct netif all[2] = {
	    {.addr = {.family = NET_IP4, .ip = {127, 0, 0, 1}},
		.index = SIM_IF_LOOPBACK,
		.loopback = true},
	    {.index = SIM_IF_LAN, .multicast = true},
	};
	int rc = host_check(host_of(w), err);

	if (rc != 0)
		return rc;
	host_addr(host_of(w), &all[1].addr);
	*n = cap < 2 ? cap : 2;
	for (size_t i = 0; i < *n; i++)
		out[i] = all[i];
	return 0;
}
