/* HTTP over P2P: see proxy.h. Which service, whether it may be used, how many at once; the exchange
 * itself is passage.c's, its headers are forward.c's. */
#include "gateway/proxy.h"

#include "crypto/tls.h"
#include "gateway/passage_priv.h"
#include "gateway/proxy_priv.h"
#include "http/pool.h"
#include "provider/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN_MAX        4 /* addresses of our own listeners */
#define INTERFACES_MAX 64
#define ASK_HEAD_MS    (PROXY_HEAD_MS + PROXY_CONNECT_MS + 5000) /* the other node says it first */

struct service {
	struct exposure what;
	struct proxy *proxy;
	struct http_pool *pool;
	char origin[URL_HOST_MAX + 32];
};

/* One exchange under way. */
struct passing {
	struct scope scope;
	struct peer_id peer;
	struct passing *next, **prev;
};

struct proxy {
	struct proxy_options opt;
	char node_id[NODE_ID_TEXT_MAX], via[FORWARD_VIA_MAX];
	struct service *services;
	size_t n_services;
	struct tls_context *tls; /* made with the first https service */
	struct netaddr own[OWN_MAX];
	size_t n_own;
	struct passing *passing;
	size_t n_passing;
	bool stopping;
};

/* ---- who may use what ---------------------------------------------------------------------- */

/* The one place that decides whether a peer (NULL: this node's own clients) may use a service.
 * Others than members may have streams, where the node is public, but no services. */
static bool may_use(const struct proxy *p, const struct service *s, const struct peer_id *peer)
{
	struct peer_id id;
	if (!peer)
		return true;
	if (!cluster_is_member(p->opt.cluster, peer))
		return false;
	for (size_t i = 0; i < s->what.n_only; i++)
		if (cluster_find(p->opt.cluster, s->what.only[i], &id, NULL) == 0 &&
		    peer_id_equal(&id, peer))
			return true;
	return s->what.n_only == 0;
}

static bool is_called(const struct service *s, const char *name)
{
	return strcmp(s->what.name, name) == 0;
}

/* Only what the peer may use is told: what it may not is not there. */
static int not_exposed(
    const struct proxy *p, const struct peer_id *peer, const char *name, struct err *err)
{
	struct buf list = BUF_INIT(200);
	for (size_t i = 0; i < p->n_services; i++)
		if (may_use(p, &p->services[i], peer))
			buf_printf(&list, "%s%s", list.n ? ", " : "", p->services[i].what.name);
	const char *more = list.failed ? ", …" : "";
	int rc;
	if (list.n == 0)
		rc = err_set(err, E_NOT_FOUND, "%s exposes nothing to this node", p->opt.label);
	else if (strcmp(name, "*") == 0)
		rc = err_set(err, E_NOT_FOUND, "%s exposes several services, say which: %s%s",
		    p->opt.label, buf_cstr(&list), more);
	else
		rc = err_set(err, E_NOT_FOUND,
		    "%s exposes no \"%.32s\" to this node; there is: %s%s", p->opt.label, name,
		    buf_cstr(&list), more);
	buf_free(&list);
	return rc;
}

static int find_service(const struct proxy *p, const struct peer_id *peer, const char *name,
    struct service **out, struct err *err)
{
	bool any = strcmp(name, "*") == 0;
	size_t found = 0;
	for (size_t i = 0; i < p->n_services; i++) {
		struct service *s = &p->services[i];
		if ((!any && !is_called(s, name)) || !may_use(p, s, peer))
			continue;
		*out = s;
		found++;
	}
	return found == 1 ? 0 : not_exposed(p, peer, name, err);
}

/* ---- how many at once ---------------------------------------------------------------------- */

static int enter(struct proxy *p, struct passing *g, const struct peer_id *peer, struct err *err)
{
	size_t same = 0;
	for (const struct passing *o = p->passing; o; o = o->next)
		same += peer_id_equal(&o->peer, peer);
	if (p->stopping)
		return err_set(err, E_UNAVAILABLE, "the node is shutting down");
	if (p->n_passing >= PROXY_PASSING_MAX || same >= PROXY_PER_PEER_MAX)
		return err_set(err, E_LIMIT, "%zu requests are being passed on already",
		    same >= PROXY_PER_PEER_MAX ? same : p->n_passing);
	g->peer = *peer;
	g->next = p->passing;
	g->prev = &p->passing;
	if (g->next)
		g->next->prev = &g->next;
	p->passing = g;
	p->n_passing++;
	scope_open(&g->scope, DURATION_FOREVER);
	return 0;
}

/* What our own end has cancelled is no fault of the client's. */
static int leave(struct proxy *p, struct passing *g, int rc, struct err *err)
{
	scope_close(&g->scope);
	*g->prev = g->next;
	if (g->next)
		g->next->prev = g->prev;
	p->n_passing--;
	if (rc == E_CANCELLED && p->stopping && scope_check(NULL) == 0)
		return err_set(err, E_UNAVAILABLE, "the node is shutting down");
	return rc;
}

void proxy_stop(struct proxy *p)
{
	p->stopping = true;
	for (struct passing *g = p->passing; g; g = g->next)
		scope_cancel(&g->scope);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* SPEC RFC 9110, sections 9.3.6 and 9.3.8: neither a tunnel nor an echo of what was added. */
static int check_request(const struct proxy *p, const struct http_head *head, struct err *err)
{
	if (strcmp(head->method, "CONNECT") == 0 || strcmp(head->method, "TRACE") == 0)
		return err_set(err, E_METHOD, "%s is not passed on", head->method);
	if (forward_looped(head, p->via))
		return err_set(err, E_LOOP, "the request has passed this node before");
	return 0;
}

int proxy_header(const struct http_head *head, const char *name, const char **out, struct err *err)
{
	*out = http_head_get(head, name);
	if (*out && http_head_count(head, name) > 1)
		return err_set(err, E_INVALID, "%s is there more than once", name);
	if (*out && !(*out)[0])
		return err_set(err, E_INVALID, "%s is empty", name);
	return 0;
}

/* A Host that is too long for us to repeat is not told. */
static const char *short_host(const char *host)
{
	return host && strlen(host) < FORWARD_HOST_MAX &&
		       host[strcspn(host, " \t,/?#@\\\"<>{}|^`;")] == '\0'
		   ? host
		   : "";
}

/* ---- to a service -------------------------------------------------------------------------- */

/* Where the service is, is the owner's business: the log has it, peers hear that it is down. */
static int out_of_reach(const struct service *s, int rc, struct err *err)
{
	const char *label = s->proxy->opt.label, *name = s->what.name;
	rt_log(LOG_INFO, "proxy", "%s is out of reach: %s", name, err ? err_text(err) : "");
	if (rc == E_NOT_FOUND || rc == E_FORBIDDEN) /* of an address, not of the request */
		rc = E_UNREACHABLE;
	return err_set(err, rc, "%s/%s is out of reach: %s", label, name, err_info(rc)->text);
}

/* The exchange over one connection; *stale: a kept one had been closed, and nothing happened. */
static int pass_over(struct service *s, struct http_exchange *x, const struct passage_options *opt,
    enum http_pool_wish wish, bool *stale, struct err *err)
{
	struct http_client *client;
	bool used;
	*stale = false;
	int rc = http_pool_take(s->pool, wish, &client, &used, err);
	if (rc && rc != E_CANCELLED)
		return out_of_reach(s, rc, err);
	if (rc)
		return rc;
	rc = passage_run(x, &client, opt, err);
	*stale = used && client && (rc == E_CLOSED || rc == E_RESET) &&
		 !http_client_began(client) && !http_response_begun(x);
	if (client)
		http_pool_give(s->pool, client);
	return rc ? err_wrap(err, rc, "%s/%s", s->proxy->opt.label, s->what.name) : 0;
}

static int pass_to_service(
    struct service *s, struct http_exchange *x, struct forward_hop *hop, struct err *err)
{
	struct passage_options opt = {.hop = hop,
	    .host = s->what.url.authority,
	    .head_limit = duration_ms(PROXY_HEAD_MS),
	    .idle_limit = duration_ms(PROXY_IDLE_MS)};
	bool stale;
	char upgrade[FORWARD_UPGRADE_MAX];
	forward_upgrade(http_request(x), upgrade);
	hop->to = FORWARD_TO_SERVICE;
	hop->origin = s->origin;
	hop->upgrade = upgrade;
	hop->expect = http_request(x)->expect_continue;
	hop->via = s->proxy->via;
	bool kept = passage_repeatable(x) && !upgrade[0];
	int rc = pass_over(s, x, &opt, kept ? HTTP_POOL_ANY : HTTP_POOL_NEW, &stale, err);
	return stale ? pass_over(s, x, &opt, HTTP_POOL_FRESH, &stale, err) : rc;
}

/* "192.0.2.7" of "/ip4/192.0.2.7/tcp/41145"; "" for whoever comes through a relay. */
static void ip_of(const char *remote, char out[FORWARD_IP_MAX])
{
	struct multiaddr addr;
	struct multiaddr_tcp tcp;
	out[0] = '\0';
	if (multiaddr_parse(bytes_str(remote), &addr, NULL) == 0 &&
	    multiaddr_tcp(&addr, &tcp, NULL) == 0 && strlen(tcp.host) < FORWARD_IP_MAX)
		memcpy(out, tcp.host, strlen(tcp.host) + 1);
}

int proxy_serve(struct proxy *p, struct http_exchange *x, const struct peer_id *peer,
    const char *remote, struct err *err)
{
	const struct http_head *head = http_request(x);
	const char *name, *proto = http_head_get(head, "x-forwarded-proto");
	char asker[NODE_ID_TEXT_MAX] = "", ip[FORWARD_IP_MAX];
	struct service *s = NULL;
	struct passing passing;
	int rc = check_request(p, head, err);
	if (rc == 0)
		rc = proxy_header(head, "x-gate-service", &name, err);
	if (rc == 0 && http_head_get(head, "x-target-node"))
		rc = err_set(err, E_LOOP, "a peer's request goes no further than this node");
	if (rc == 0)
		rc = find_service(p, peer, name, &s, err);
	if (rc == 0)
		rc = node_id_print(peer, asker, err);
	if (rc == 0)
		rc = enter(p, &passing, peer, err);
	if (rc)
		return rc;
	ip_of(remote, ip);
	struct forward_hop hop = {
	    .host = short_host(http_head_get(head, "x-forwarded-host")),
	    .proto = proto && strcmp(proto, "https") == 0 ? "https" : "http",
	    .asker = asker,
	    .ip = ip,
	};
	rc = pass_to_service(s, x, &hop, err);
	if (rc)
		rt_log(LOG_DEBUG, "proxy", "%s for %s: %s", s->what.name, asker, err_text(err));
	return leave(p, &passing, rc, err);
}

/* ---- to a node ----------------------------------------------------------------------------- */

static int open_stream(
    struct proxy *p, const struct peer_id *to, struct http_client **out, struct err *err)
{
	const char *protocols[] = {HTTP_OVER_P2P};
	struct stream *s;
	struct scope sc;
	scope_open(&sc, duration_ms(PROXY_CONNECT_MS));
	int rc = p2p_open_stream(p->opt.host, to, protocols, 1, &s, NULL, err);
	scope_close(&sc);
	return rc ? rc : http_client_new(s, out, err);
}

static int ask_failed(const char *node, int rc, struct err *err)
{
	if (rc == E_UNSUPPORTED)
		return err_set(err, E_FORBIDDEN,
		    "%s does not serve this node: is it a member of the same cluster there?", node);
	if (rc == E_BUSY || rc == E_NOT_FOUND) /* of the connection */
		return err_set(err, E_UNREACHABLE, "%s: %s", node, err ? err_text(err) : "");
	return err_wrap(err, rc, "%s", node);
}

static int pass_to_node(struct proxy *p, struct http_exchange *x, const struct peer_id *to,
    const struct proxy_request *r, struct forward_hop *hop, struct err *err)
{
	char host[PEER_ID_TEXT_MAX], upgrade[FORWARD_UPGRADE_MAX];
	struct passage_options opt = {.hop = hop,
	    .host = host,
	    .head_limit = duration_ms(ASK_HEAD_MS),
	    .idle_limit = duration_ms(PROXY_IDLE_MS)};
	struct http_client *client = NULL;
	peer_id_print(to, host);
	forward_upgrade(http_request(x), upgrade);
	hop->to = FORWARD_TO_NODE;
	hop->service = r->service;
	hop->upgrade = upgrade;
	hop->expect = http_request(x)->expect_continue;
	hop->via = p->via;
	hop->own_cors = r->own_cors;
	int rc = open_stream(p, to, &client, err);
	if (rc == 0)
		rc = passage_run(x, &client, &opt, err);
	http_client_free(client);
	return rc ? ask_failed(r->node, rc, err) : 0;
}

static int resolve(struct proxy *p, const char *node, struct peer_id *out, struct err *err)
{
	int rc = cluster_find(p->opt.cluster, node, out, err);
	return rc ? rc : cluster_absent(p->opt.cluster, node, err);
}

int proxy_check(struct proxy *p, const char *node, const char *service, struct err *err)
{
	struct peer_id to;
	if (strcmp(service, "*") != 0 && !expose_name_ok(service))
		return err_set(err, E_INVALID, "\"%.64s\" is no name of a service", service);
	return cluster_find(p->opt.cluster, node, &to, err);
}

/* This node's own services are for its own clients too. */
static int pass(struct proxy *p, struct http_exchange *x, const struct peer_id *to,
    const struct proxy_request *r, struct err *err)
{
	struct service *s = NULL;
	struct forward_hop hop = {.host = short_host(http_head_get(http_request(x), "host")),
	    .proto = "http",
	    .asker = "",
	    .ip = "",
	    .own_cors = r->own_cors};
	if (!peer_id_equal(to, p2p_host_id(p->opt.host)))
		return pass_to_node(p, x, to, r, &hop, err);
	int rc = find_service(p, NULL, r->service, &s, err);
	return rc ? rc : pass_to_service(s, x, &hop, err);
}

int proxy_ask(
    struct proxy *p, struct http_exchange *x, const struct proxy_request *r, struct err *err)
{
	struct peer_id to;
	struct passing passing;
	int rc = check_request(p, http_request(x), err);
	if (rc == 0)
		rc = proxy_check(p, r->node, r->service, err);
	if (rc == 0)
		rc = resolve(p, r->node, &to, err);
	if (rc == 0)
		rc = enter(p, &passing, &to, err);
	if (rc)
		return rc;
	rc = pass(p, x, &to, r, err);
	return leave(p, &passing, rc, err);
}

struct world *proxy_world(const struct proxy *p)
{
	return p->opt.world;
}

/* ---- addresses ----------------------------------------------------------------------------- */

/* Whether `to` reaches this machine. */
static bool is_here(const struct proxy *p, const struct netaddr *to)
{
	struct netif list[INTERFACES_MAX];
	struct netaddr ip = *to;
	size_t n = 0;
	if (netaddr_is_loopback(to))
		return true;
	if (world_interfaces(p->opt.world, list, INTERFACES_MAX, &n, NULL) != 0)
		return true;
	ip.port = 0;
	for (size_t i = 0; i < n && i < INTERFACES_MAX; i++)
		if (netaddr_equal(&list[i].addr, &ip))
			return true;
	return false;
}

static int guard(void *arg, const struct netaddr *to, struct err *err)
{
	const struct service *s = arg;
	const struct proxy *p = s->proxy;
	int rc = expose_address_check(to, err);
	for (size_t i = 0; i < p->n_own && rc == 0; i++)
		if (p->own[i].port == to->port && is_here(p, to))
			rc = err_set(err, E_FORBIDDEN, "port %u is this node's own", to->port);
	return rc;
}

int proxy_forbid(struct proxy *p, const struct netaddr *own, struct err *err)
{
	INVARIANT(p->n_own < OWN_MAX);
	p->own[p->n_own++] = *own;
	for (size_t i = 0; i < p->n_services; i++) {
		struct service *s = &p->services[i];
		struct netaddr at;
		bool local = strcmp(s->what.url.host, "localhost") == 0;
		if (s->what.url.port != own->port ||
		    (!local && netaddr_parse_ip(s->what.url.host, &at, NULL) != 0))
			continue;
		if (local || is_here(p, &at))
			return err_set(err, E_INVALID,
			    "--expose %s: port %u is this node's own, which is not for exposing",
			    s->what.name, own->port);
	}
	return 0;
}

/* ---- making and ending --------------------------------------------------------------------- */

static int add_service(struct proxy *p, const char *text, struct err *err)
{
	struct service *s = &p->services[p->n_services];
	int rc = expose_parse(text, &s->what, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < p->n_services; i++)
		if (is_called(&p->services[i], s->what.name))
			return err_set(err, E_EXISTS, "two services are called %s", s->what.name);
	if (s->what.url.tls && !p->tls)
		rc = tls_client_context(NULL, &p->tls, err);
	if (rc == 0)
		rc = http_pool_new(p->opt.world, &s->what.url, p->tls, &s->pool, err);
	if (rc)
		return rc;
	s->proxy = p;
	snprintf(s->origin, sizeof s->origin, "%s://%s", s->what.url.tls ? "https" : "http",
	    s->what.url.authority);
	http_pool_guard(s->pool, guard, s);
	p->n_services++;
	return 0;
}

int proxy_new(const struct proxy_options *opt, struct proxy **out, struct err *err)
{
	struct proxy *p = calloc(1, sizeof *p);
	if (!p || !(p->services = calloc(opt->n_exposed + 1, sizeof *p->services))) {
		free(p);
		return err_set(err, E_MEMORY, "no memory for services");
	}
	p->opt = *opt;
	int rc = node_id_print(p2p_host_id(opt->host), p->node_id, err);
	if (rc == 0)
		forward_via(p->node_id, p->via);
	for (size_t i = 0; i < opt->n_exposed && rc == 0; i++) {
		rc = add_service(p, opt->exposed[i], err);
		if (rc)
			rc = err_wrap(err, rc, "--expose");
	}
	if (rc) {
		proxy_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_services; i++)
		http_pool_free(p->services[i].pool);
	tls_context_free(p->tls);
	free(p->services);
	free(p);
}
