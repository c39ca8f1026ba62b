/* A host's life: options, listeners, inbound handshakes, the once-a-second round, events. */
#include "p2p/host_priv.h"
#include "p2p/pnet_priv.h"

#include <stdlib.h>
#include <talloc.h>

#define REFRESH_EVERY_S 30
#define INTERFACES_MAX  64
#define RELAYED_FIRST   2 /* relayed addresses before those of the interfaces */

void p2p_options_default(struct p2p_options *opt)
{
	*opt = (struct p2p_options){
	    .agent = "p2p",
	    .limits =
		{
		    .conns_in = 512,
		    .conns_out = 512,
		    .conns_per_peer = 4,
		    .handshakes_in = 512,
		    .streams_in = 1024,
		    .streams_out = 4096,
		    .peers = 1024,
		    .buffered = (size_t)64 << 20,
		    .streams_in_per_peer = 2048,
		    .streams_in_total = 16384,
		    .memory_per_peer = (uint64_t)64 << 20,
		    .memory_total = (uint64_t)256 << 20,
		    .reserve_percent = 20,
		},
	    .timeouts =
		{
		    .handshake = duration_s(10),
		    .dial_address = duration_s(6),
		    .dial = duration_s(30),
		    .negotiate = duration_s(10),
		    .ping_every = duration_s(15),
		    .ping_answer = duration_s(10),
		    .idle = duration_s(600),
		},
	};
}

/* ---- events -------------------------------------------------------------------------------- */

void host_emit(struct p2p_host *h, const struct p2p_event *e)
{
	/* Subscribers may come and go during the call. */
	for (size_t i = 0; i < h->n_subscribers; i++)
		h->subscribers[i].fn(h->subscribers[i].arg, e);
}

void p2p_on_event(struct p2p_host *h, p2p_event_fn fn, void *arg)
{
	INVARIANT(h->n_subscribers < P2P_LISTENERS_MAX);
	h->subscribers[h->n_subscribers].fn = fn;
	h->subscribers[h->n_subscribers++].arg = arg;
}

void p2p_off_event(struct p2p_host *h, p2p_event_fn fn, void *arg)
{
	for (size_t i = 0; i < h->n_subscribers; i++) {
		if (h->subscribers[i].fn != fn || h->subscribers[i].arg != arg)
			continue;
		h->n_subscribers--;
		memmove(&h->subscribers[i], &h->subscribers[i + 1],
		    (h->n_subscribers - i) * sizeof h->subscribers[0]);
		return;
	}
}

/* ---- own addresses ------------------------------------------------------------------------- */

void netaddr_to_multiaddr(const struct netaddr *a, struct multiaddr *out)
{
	multiaddr_from_tcp(bytes_of(a->ip, a->family == NET_IP4 ? 4 : 16), a->port, out);
}

static void put_unique(struct multiaddr *list, size_t *n, const struct multiaddr *m)
{
	for (size_t i = 0; i < *n; i++)
		if (multiaddr_equal(&list[i], m))
			return;
	if (*n < HOST_ADDRS_MAX)
		list[(*n)++] = *m;
}

static void put_addr(struct multiaddr *list, size_t *n, const struct netaddr *a)
{
	struct multiaddr m;

	netaddr_to_multiaddr(a, &m);
	/* Without its zone a link-local address leads nowhere. */
	if (a->family == NET_IP4 || multiaddr_reach(&m) != MA_REACH_LINK_LOCAL)
		put_unique(list, n, &m);
}

/* Where a listener listens: at the machine's addresses of its family, or at one; those on loopback
 * or the others. */
static void put_bound(struct multiaddr *list, size_t *n, const struct netaddr *bound,
    const struct netif *ifs, size_t n_ifs, bool loopback)
{
	if (!netaddr_is_unspecified(bound)) {
		if (netaddr_is_loopback(bound) == loopback)
			put_addr(list, n, bound);
		return;
	}
	for (size_t i = 0; i < n_ifs; i++) {
		struct netaddr a = ifs[i].addr;
		if (a.family != bound->family || ifs[i].loopback != loopback)
			continue;
		a.port = bound->port;
		put_addr(list, n, &a);
	}
}

static void put_source(const struct p2p_host *h, struct multiaddr *list, size_t *n,
    enum addr_source source, size_t max)
{
	for (size_t i = 0; i < h->more_addrs[source].n && i < max; i++)
		put_unique(list, n, &h->more_addrs[source].v[i]);
}

/* Others keep the first few only: what is known to lead here from outside comes first, loopback
 * last. */
static void put_all(const struct p2p_host *h, struct multiaddr *list, size_t *n,
    const struct netif *ifs, size_t n_ifs)
{
	put_source(h, list, n, ADDRS_CONFIRMED, SOURCE_ADDRS_MAX);
	put_source(h, list, n, ADDRS_MAPPED, SOURCE_ADDRS_MAX);
	put_source(h, list, n, ADDRS_RELAYED, RELAYED_FIRST);
	for (size_t i = 0; i < h->n_listeners; i++)
		put_bound(list, n, &h->listeners[i].bound, ifs, n_ifs, false);
	put_source(h, list, n, ADDRS_RELAYED, SOURCE_ADDRS_MAX);
	for (size_t i = 0; i < h->n_listeners; i++)
		put_bound(list, n, &h->listeners[i].bound, ifs, n_ifs, true);
}

static bool same_addrs(const struct multiaddr *a, size_t n_a, const struct multiaddr *b, size_t n_b)
{
	bool same = n_a == n_b;

	for (size_t i = 0; same && i < n_a; i++)
		same = multiaddr_equal(&a[i], &b[i]);
	return same;
}

void host_refresh_addrs(struct p2p_host *h)
{
	struct netif *ifs = calloc(INTERFACES_MAX, sizeof *ifs);
	struct multiaddr *list = calloc(HOST_ADDRS_MAX, sizeof *list);
	size_t n_ifs = 0, n = 0;
	struct err err;

	if (!ifs || !list)
		goto out;
	if (world_interfaces(h->world, ifs, INTERFACES_MAX, &n_ifs, &err) != 0)
		rt_log(LOG_DEBUG, "p2p", "cannot list the interfaces: %s", err_text(&err));
	put_all(h, list, &n, ifs, n_ifs);
	if (!same_addrs(list, n, h->addrs, h->n_addrs)) {
		memcpy(h->addrs, list, n * sizeof *list);
		h->n_addrs = n;
		h->push_due = true;
		buf_free(&h->record);
	}
out:
	free(ifs);
	free(list);
}

int host_add_observed(
    const struct p2p_host *h, const struct multiaddr *seen, struct addr_list *out, size_t max)
{
	struct multiaddr_tcp tcp;
	struct netaddr at;
	int rc = 0;

	if (multiaddr_tcp(seen, &tcp, NULL) != 0 || netaddr_parse_ip(tcp.host, &at, NULL) != 0)
		return 0;
	for (size_t i = 0; rc == 0 && i < h->n_listeners; i++) {
		struct multiaddr a;
		if (h->listeners[i].bound.family != at.family)
			continue;
		at.port = h->listeners[i].bound.port;
		netaddr_to_multiaddr(&at, &a);
		rc = addr_list_add_once(out, &a, max);
	}
	return rc;
}

void host_set_addrs(
    struct p2p_host *h, enum addr_source source, const struct multiaddr *addrs, size_t n)
{
	n = n < SOURCE_ADDRS_MAX ? n : SOURCE_ADDRS_MAX;
	if (n > 0)
		memcpy(h->more_addrs[source].v, addrs, n * sizeof *addrs);
	h->more_addrs[source].n = n;
	host_refresh_addrs(h);
}

size_t p2p_host_addrs(const struct p2p_host *h, struct multiaddr *out, size_t cap)
{
	size_t n = h->n_addrs < cap ? h->n_addrs : cap;

	memcpy(out, h->addrs, n * sizeof *out);
	return h->n_addrs;
}

const struct peer_id *p2p_host_id(const struct p2p_host *h)
{
	return &h->identity.peer_id;
}

/* ---- inbound ------------------------------------------------------------------------------- */

static void half_link(struct p2p_host *h, struct half_open *o)
{
	o->prev = h->half_last;
	if (h->half_last)
		h->half_last->next = o;
	else
		h->half_first = o;
	h->half_last = o;
	h->n_half_open++;
}

static void half_unlink(struct p2p_host *h, struct half_open *o)
{
	if (o->prev)
		o->prev->next = o->next;
	else
		h->half_first = o->next;
	if (o->next)
		o->next->prev = o->prev;
	else
		h->half_last = o->prev;
	h->n_half_open--;
}

static int half_open_upgrade(struct half_open *o, struct upgraded *up, struct err *err)
{
	struct p2p_host *h = o->host;
	struct scope sc;
	int rc;

	scope_open(&sc, h->timeouts.handshake);
	o->scope = &sc;
	if (o->dropped)
		scope_cancel(&sc);
	rc = upgrade_inbound(h, o->raw, up, err);
	o->scope = NULL;
	scope_close(&sc);
	if (rc == E_TIMEOUT)
		return err_set(err, rc, "no handshake in %lld ms%s",
		    (long long)duration_to_ms(h->timeouts.handshake),
		    h->swarm_key ? PNET_HINT : "");
	if (rc == E_CANCELLED && o->dropped)
		return err_set(err, rc, "dropped for newer ones, %u handshakes are under way",
		    h->limits.handshakes_in);
	if (rc == 0 && peer_id_equal(&up->peer, &h->identity.peer_id)) {
		o->raw = secure_detach(up->secure);
		return err_set(err, E_WRONG_PEER, "this host dialled itself");
	}
	return rc;
}

static void half_open_fiber(void *arg)
{
	struct half_open *o = arg;
	struct p2p_host *h = o->host;
	struct upgraded up;
	struct err err = {0};
	p2p_conn_id id;
	char from[NETADDR_TEXT_MAX];
	int rc = half_open_upgrade(o, &up, &err);

	half_unlink(h, o);
	resources_give(&h->resources, &h->unknown, RES_MEMORY, HALF_OPEN_MEMORY);
	netaddr_print(&o->from, from);
	if (rc == 0) {
		struct multiaddr remote;
		netaddr_to_multiaddr(&o->from, &remote);
		rc = conn_start(h, &up, P2P_INBOUND, &remote, &id, &err);
	} else {
		stream_close(o->raw);
	}
	if (rc != 0 && (rc != E_CANCELLED || o->dropped))
		rt_log(LOG_INFO, "p2p", "inbound connection from %s refused: %s", from,
		    err_text(&err));
	talloc_free(o);
}

/* Takes its memory. */
static bool half_open_fits(struct p2p_host *h, const struct netaddr *from)
{
	enum res_answer answer =
	    resources_take(&h->resources, &h->unknown, RES_MEMORY, HALF_OPEN_MEMORY);
	char text[NETADDR_TEXT_MAX];
	struct err err = {0};

	if (resources_explain(&h->resources, &h->unknown, RES_MEMORY, answer, &err) == 0)
		return true;
	netaddr_print(from, text);
	rt_log(LOG_INFO, "p2p", "inbound connection from %s refused: %s", text, err_text(&err));
	return false;
}

/* Takes `raw` over. */
static void half_open_start(struct p2p_host *h, struct stream *raw, const struct netaddr *from)
{
	struct half_open *o = talloc_zero(h, struct half_open);
	struct half_open *oldest = h->half_first;

	if (!o || !half_open_fits(h, from)) {
		stream_close(raw);
		talloc_free(o);
		return;
	}
	*o = (struct half_open){.host = h, .raw = raw, .from = *from};
	if (h->n_half_open >= h->limits.handshakes_in && oldest) {
		while (oldest->dropped && oldest->next)
			oldest = oldest->next;
		oldest->dropped = true;
		if (oldest->scope)
			scope_cancel(oldest->scope);
	}
	if (fiber_spawn(&h->scope, "p2p inbound", half_open_fiber, o, NULL) != 0) {
		resources_give(&h->resources, &h->unknown, RES_MEMORY, HALF_OPEN_MEMORY);
		stream_close(raw);
		talloc_free(o);
		return;
	}
	half_link(h, o);
}

static void accept_fiber(void *arg)
{
	struct p2p_listener *l = arg;
	struct p2p_host *h = l->host;
	struct stream *raw;
	struct netaddr from = {.family = NET_IP4};
	struct err err;
	char text[NETADDR_TEXT_MAX];

	while (scope_check(NULL) == 0) {
		int rc = listener_accept(l->socket, &raw, &from, &err);
		if (rc == E_CANCELLED)
			return;
		netaddr_print(&from, text);
		if (rc != 0) {
			rt_log(LOG_WARN, "p2p", "cannot accept a connection: %s", err_text(&err));
			if (fiber_sleep(duration_ms(100)) != 0)
				return;
		} else if (!conn_room_in(h)) {
			rt_log(LOG_INFO, "p2p", "inbound connection from %s refused: %u are open",
			    text, h->n_in);
			stream_close(raw);
		} else {
			half_open_start(h, raw, &from);
		}
	}
}

/* ---- listening ----------------------------------------------------------------------------- */

static int listen_netaddr(const struct multiaddr *a, struct netaddr *out, struct err *err)
{
	struct multiaddr_tcp tcp;
	int rc = multiaddr_tcp(a, &tcp, err);

	if (rc != 0)
		return rc;
	if (tcp.kind != MA_HOST_IP4 && tcp.kind != MA_HOST_IP6)
		return err_set(err, E_UNSUPPORTED, "one listens on an IP address, not on a name");
	rc = netaddr_parse_ip(tcp.host, out, err);
	out->port = tcp.port;
	return rc;
}

static int listen_on(struct p2p_host *h, const struct multiaddr *a, struct err *err)
{
	struct p2p_listener *l = &h->listeners[h->n_listeners];
	struct netaddr at;
	int rc = listen_netaddr(a, &at, err);

	if (rc == 0)
		rc = world_tcp_listen(h->world, &at, &l->socket, err);
	if (rc == 0) {
		l->host = h;
		listener_addr(l->socket, &l->bound);
		h->n_listeners++;
		return fiber_spawn(&h->scope, "p2p accept", accept_fiber, l, err);
	}
	char text[MULTIADDR_TEXT_MAX];
	multiaddr_print(a, text);
	return err_wrap(err, rc, "cannot listen on %s", text);
}

/* Whether a dial to `to` may leave from where `l` listens: loopback does not lead outside. */
static bool leads_to(const struct p2p_listener *l, const struct netaddr *to)
{
	return l->bound.family == to->family &&
	       (netaddr_is_unspecified(&l->bound) ||
		   netaddr_is_loopback(&l->bound) == netaddr_is_loopback(to));
}

int host_dial_from_port(
    struct p2p_host *h, const struct netaddr *to, struct stream **out, struct err *err)
{
	for (size_t i = 0; i < h->n_listeners; i++)
		if (leads_to(&h->listeners[i], to))
			return world_tcp_dial_from(h->world, &h->listeners[i].bound, to, out, err);
	return err_set(err, E_NOT_FOUND, "nothing listens that could dial there");
}

/* ---- life ---------------------------------------------------------------------------------- */

static void tick_fiber(void *arg)
{
	struct p2p_host *h = arg;

	for (unsigned round = 1; fiber_sleep(duration_s(1)) == 0; round++) {
		conns_tick(h);
		if (round % REFRESH_EVERY_S == 0)
			host_refresh_addrs(h);
		if (h->push_due) {
			h->push_due = false;
			identify_push_all(h);
		}
	}
}

static void serve_builtin(struct p2p_host *h, const char *protocol, p2p_handler_fn fn)
{
	struct handler *entry = &h->handlers[h->n_handlers++];

	*entry = (struct handler){.fn = fn, .arg = h, .builtin = true};
	memcpy(entry->protocol, protocol, strlen(protocol) + 1);
}

static int start(struct p2p_host *h, const struct p2p_options *opt, struct err *err)
{
	int rc = 0;

	protocols_allow_builtin(h);
	serve_builtin(h, IDENTIFY_PROTOCOL, identify_serve);
	serve_builtin(h, IDENTIFY_PUSH_PROTOCOL, identify_push_serve);
	serve_builtin(h, PROTOCOL_PING, ping_serve);
	if (opt->n_listen > LISTEN_MAX)
		return err_set(err, E_LIMIT, "at most %d listen addresses", LISTEN_MAX);
	for (size_t i = 0; rc == 0 && i < opt->n_listen; i++)
		rc = listen_on(h, &opt->listen[i], err);
	if (rc == 0)
		rc = fiber_spawn(&h->scope, "p2p tick", tick_fiber, h, err);
	if (rc != 0)
		return rc;
	host_refresh_addrs(h);
	h->push_due = false;
	if (opt->mdns)
		mdns_start(h);
	return 0;
}

static void count_resources(struct p2p_host *h)
{
	const struct p2p_limits *l = &h->limits;
	struct res_limits limits = {
	    .total = {l->conns_in, l->streams_in_total, l->memory_total},
	    .per_peer = {l->conns_per_peer, l->streams_in_per_peer, l->memory_per_peer},
	    .reserve_percent = l->reserve_percent,
	    .rate = l->rate_total,
	    .rate_per_peer = l->rate_per_stranger,
	};

	INVARIANT(l->rate_total == 0 || l->rate_total >= P2P_RATE_MIN);
	INVARIANT(l->rate_per_stranger == 0 || l->rate_per_stranger >= P2P_RATE_MIN);
	resources_init(&h->resources, &limits);
}

int p2p_host_new(
    struct world *world, const struct p2p_options *opt, struct p2p_host **out, struct err *err)
{
	struct p2p_host *h = talloc_zero(scope_mem(scope_current()), struct p2p_host);

	INVARIANT(opt->identity && opt->limits.conns_per_peer > 0);
	if (!h || !(h->agent = talloc_strdup(h, opt->agent)) || !(h->bans = bans_new())) {
		talloc_free(h);
		return err_set(err, E_MEMORY, "no memory for a p2p host");
	}
	if (opt->swarm_key &&
	    !(h->swarm_key = talloc_memdup(h, opt->swarm_key, sizeof *h->swarm_key))) {
		talloc_free(h);
		return err_set(err, E_MEMORY, "no memory for a p2p host");
	}
	h->world = world;
	h->identity = *opt->identity;
	h->limits = opt->limits;
	count_resources(h);
	h->shaking.free = SHAKING_MAX;
	h->peers_seed = world_random_u64(world);
	h->timeouts = opt->timeouts;
	/* Grows over restarts, as long as the clock does. */
	h->record_seq = (uint64_t)world_wall_ms(world);
	scope_init(&h->scope, NULL);
	int rc = start(h, opt, err);
	if (rc != 0) {
		p2p_host_close(h);
		return rc;
	}
	*out = h;
	return 0;
}

void p2p_host_close(struct p2p_host *h)
{
	if (!h)
		return;
	scope_close(&h->scope);
	INVARIANT(!h->conns && h->n_half_open == 0);
	for (int k = 0; k < RES_KINDS; k++)
		INVARIANT(
		    h->resources.used[RES_STRANGER][k] + h->resources.used[RES_KNOWN][k] == 0);
	for (size_t i = 0; i < h->n_listeners; i++)
		listener_close(h->listeners[i].socket);
	identity_wipe(&h->identity);
	if (h->swarm_key)
		secret_wipe(h->swarm_key, sizeof *h->swarm_key);
	buf_free(&h->record);
	bans_free(h->bans);
	talloc_free(h);
}
