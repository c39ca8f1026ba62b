/* Keeps a port open at the router: asks, renews at half the lease, takes it back at the end. What
 * blocks runs in a worker. */
#include "p2p/portmap_priv.h"

#include "p2p/host_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#define LEASE_S       600 /* wanted: a router that restarts has forgotten us for half of it at most */
#define LEASE_MIN_S   60
#define RETRY_FIRST_S 60
#define RETRY_MAX_S   1800
#define FAREWELL_S    5

struct portmap {
	struct p2p_host *host;
	void (*router)(void *job);
	uint16_t port;              /* of our listener */
	enum portmap_method method; /* NONE: not mapped */
	uint16_t outside;
	struct multiaddr addr;
	struct instant until;
	char failure[128];
};

static const char *method_name(enum portmap_method m)
{
	switch (m) {
	case PORTMAP_NONE:
		return "";
	case PORTMAP_NATPMP:
		return "NAT-PMP";
	case PORTMAP_UPNP:
		return "UPnP";
	}
	BUG("port mapping method %d", (int)m);
}

static void publish(struct portmap *m)
{
	bool useful = m->method != PORTMAP_NONE && multiaddr_reach(&m->addr) == MA_REACH_PUBLIC;

	host_set_addrs(m->host, ADDRS_MAPPED, &m->addr, useful ? 1 : 0);
}

static void granted(struct portmap *m, const struct portmap_job *job)
{
	bool news = m->method == PORTMAP_NONE || m->outside != job->outside;
	char text[MULTIADDR_TEXT_MAX];
	uint32_t lease = job->lease_s < LEASE_MIN_S ? LEASE_MIN_S : job->lease_s;

	m->method = job->method;
	m->outside = job->outside;
	m->until = instant_add(rt_now(), duration_s(lease));
	m->failure[0] = 0;
	multiaddr_from_tcp(bytes_of(job->ip, 4), job->outside, &m->addr);
	multiaddr_print(&m->addr, text);
	/* Another NAT above this one: the mapping leads nowhere from outside. */
	if (news && multiaddr_reach(&m->addr) != MA_REACH_PUBLIC)
		rt_log(
		    LOG_INFO, "p2p", "the router is behind another: %s is no public address", text);
	else if (news)
		rt_log(LOG_INFO, "p2p", "the router forwards %s, by %s", text,
		    method_name(job->method));
	publish(m);
}

static void refused(struct portmap *m, const char *why)
{
	if (strcmp(m->failure, why) != 0)
		rt_log(LOG_INFO, "p2p", "the router forwards no port: %s", why);
	(void)snprintf(m->failure, sizeof m->failure, "%s", why);
	m->method = PORTMAP_NONE;
	publish(m);
}

/* [parks] One request, in a worker. */
static int request(struct portmap *m, uint32_t lease_s, struct portmap_job *out, struct err *err)
{
	struct portmap_job *job = calloc(1, sizeof *job);

	if (!job)
		return err_set(err, E_MEMORY, "no memory to ask the router");
	*job = (struct portmap_job){
	    .method = m->method,
	    .port = m->port,
	    .outside = m->method != PORTMAP_NONE ? m->outside : m->port,
	    .lease_s = lease_s,
	};
	int rc = rt_work(m->router, job, free, err);
	if (rc != 0)
		return rc; /* the job is the runtime's now */
	*out = *job;
	free(job);
	return out->rc != 0 ? err_set(err, out->rc, "%s", out->why) : 0;
}

static void farewell(struct portmap *m)
{
	struct portmap_job job;
	struct scope sc;
	struct err err = {0};

	if (m->method == PORTMAP_NONE)
		return;
	scope_open_shielded(&sc, duration_s(FAREWELL_S));
	if (request(m, 0, &job, &err) != 0)
		rt_log(LOG_INFO, "p2p", "a port stays open at the router: %s", err_text(&err));
	scope_close(&sc);
	m->method = PORTMAP_NONE;
}

static void portmap_fiber(void *arg)
{
	struct portmap *m = arg;
	int64_t retry_s = RETRY_FIRST_S;
	struct duration pause = {0};

	while (fiber_sleep(pause) == 0) {
		struct portmap_job job;
		struct err err = {0};
		int rc = request(m, LEASE_S, &job, &err);
		if (rc == E_CANCELLED)
			break;
		if (rc == 0) {
			granted(m, &job);
			pause = duration_ns(instant_since(m->until, rt_now()).ns / 2);
			retry_s = RETRY_FIRST_S;
		} else {
			refused(m, err_text(&err));
			pause = duration_s(retry_s);
			retry_s = retry_s * 2 < RETRY_MAX_S ? retry_s * 2 : RETRY_MAX_S;
		}
	}
	farewell(m);
}

/* The first listener that a router could forward to. */
static uint16_t port_to_map(const struct p2p_host *h)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		const struct netaddr *at = &h->listeners[i].bound;
		if (at->family == NET_IP4 && !netaddr_is_loopback(at))
			return at->port;
	}
	return 0;
}

int portmap_start(struct p2p_host *h, void (*router)(void *job), struct err *err)
{
	struct portmap *m;

	if (h->portmap)
		return err_set(err, E_EXISTS, "ports are mapped already");
	if (port_to_map(h) == 0)
		return err_set(err, E_NOT_FOUND, "no listener that a router could forward to");
	if (!(m = talloc_zero(h, struct portmap)))
		return err_set(err, E_MEMORY, "no memory to map a port");
	*m = (struct portmap){.host = h, .router = router, .port = port_to_map(h)};
	int rc = fiber_spawn(&h->scope, "p2p portmap", portmap_fiber, m, err);
	if (rc != 0) {
		talloc_free(m);
		return rc;
	}
	h->portmap = m;
	return 0;
}

int p2p_portmap_start(struct p2p_host *h, struct err *err)
{
	return portmap_start(h, portmap_router, err);
}

void p2p_portmap(const struct p2p_host *h, struct p2p_portmap_info *out)
{
	const struct portmap *m = h->portmap;

	*out = (struct p2p_portmap_info){.method = "", .last_failure = ""};
	if (!m)
		return;
	out->method = method_name(m->method);
	out->last_failure = m->failure;
	if (m->method == PORTMAP_NONE)
		return;
	out->addr = m->addr;
	out->left = instant_since(m->until, rt_now());
}
