/* HTTP over P2P between two nodes of a simulated universe, where hours pass in no time: limits,
 * deadlines, ends, and who may use what. What a service sees is tested with real ones
 * (tests/integration/proxy.test.mjs). */
#include "http_talk.h"
#include "site.h"

#include "http/route.h"

#define PORT 3000

static const struct fake_step none[] = {{FAKE_FINISH}};

/* ---- a service ------------------------------------------------------------------------------- */

struct service {
	struct scope scope;
	struct listener *listener;
	struct world *world;
	unsigned accepted, asked, hung_up;
};

static int h_hello(struct http_exchange *x, void *arg, struct err *err)
{
	return http_respond(x, 200, "text/plain", bytes_str("hello"), err);
}

static int h_silent(struct http_exchange *x, void *arg, struct err *err)
{
	struct service *s = arg;
	int rc = http_exchange_watch(x, err);

	s->asked++;
	if (rc == 0)
		rc = fiber_sleep(duration_s(86400));
	s->hung_up += rc == E_CANCELLED;
	return rc;
}

/* Says something every ten minutes. */
static int h_slow(struct http_exchange *x, void *arg, struct err *err)
{
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	for (int i = 0; i < 6 && rc == 0; i++) {
		rc = http_response_write(x, bytes_str("tick "), err);
		if (rc == 0)
			rc = fiber_sleep(duration_s(600));
	}
	return rc;
}

/* Begins and says no more. */
static int h_stuck(struct http_exchange *x, void *arg, struct err *err)
{
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	if (rc == 0)
		rc = http_response_write(x, bytes_str("begun"), err);
	return rc ? rc : fiber_sleep(duration_s(86400));
}

/* Another protocol: what comes in goes out. */
static int h_raw(struct http_exchange *x, void *arg, struct err *err)
{
	struct stream *s;
	struct bytes rest;
	uint8_t piece[64];
	ssize_t n;
	int rc = http_response_switch(x, "raw", &s, &rest, err);

	while (rc == 0 && (n = stream_read(s, piece, sizeof piece, err)) > 0)
		rc = stream_write(s, piece, (size_t)n, err);
	return rc;
}

static const struct http_route routes[] = {{"GET", "/hello", h_hello}, {"GET", "/silent", h_silent},
    {"GET", "/slow", h_slow}, {"GET", "/stuck", h_stuck}, {"GET", "/raw", h_raw}};

static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	return http_route(x, routes, sizeof routes / sizeof *routes, arg, err);
}

struct served {
	struct service *service;
	struct stream *stream;
};

static void serve_fiber(void *arg)
{
	struct served k = *(struct served *)arg;
	const struct http_service service = {.handle = handle};

	free(arg);
	(void)!http_serve(k.stream, &service, k.service, NULL);
	stream_close(k.stream);
}

static void accept_fiber(void *arg)
{
	struct service *s = arg;
	struct stream *c;

	while (listener_accept(s->listener, &c, NULL, NULL) == 0) {
		struct served *k = malloc(sizeof *k);
		*k = (struct served){s, c};
		s->accepted++;
		OK(fiber_spawn(&s->scope, "served", serve_fiber, k, NULL));
	}
}

static void service_up(struct site *t, struct service *s)
{
	struct netaddr at;

	*s = (struct service){.world = t->node.world};
	universe_host_addr(s->world, &at);
	at.port = PORT;
	OK(world_tcp_listen(s->world, &at, &s->listener, NULL));
	scope_init(&s->scope, NULL);
	OK(fiber_spawn(&s->scope, "service", accept_fiber, s, NULL));
}

static void service_down(struct service *s)
{
	scope_close(&s->scope);
	listener_close(s->listener);
}

/* ---- two nodes ------------------------------------------------------------------------------- */

struct pair {
	struct site attic, laptop;
	struct service service;
	char exposed[4][EXPOSE_TEXT_MAX];
};

static void has_ip(struct net *n, const char *host, char out[NETADDR_TEXT_MAX])
{
	struct netaddr at;

	universe_host_addr(universe_host(n->u, host), &at);
	at.port = PORT;
	netaddr_print(&at, out);
}

static void pair_up_as(struct net *n, struct pair *p, enum site_kind laptop)
{
	struct model_entry models[4];
	char at[NETADDR_TEXT_MAX];

	memset(p, 0, sizeof *p);
	has_ip(n, "attic", at);
	snprintf(p->exposed[0], EXPOSE_TEXT_MAX, "web=http://%s", at);
	snprintf(p->exposed[1], EXPOSE_TEXT_MAX, "private@desk=http://%s", at);
	snprintf(p->exposed[2], EXPOSE_TEXT_MAX, "mine@laptop=http://%s", at);
	p->attic.exposed = (const char(*)[EXPOSE_TEXT_MAX])p->exposed;
	p->attic.n_exposed = 3;
	site_raise(n, &p->attic, SITE_OPEN, "attic", "tiny", none, NULL);
	site_up_as(n, &p->laptop, laptop, "laptop", "other", none, &p->attic);
	eventually(10, catalog_models(p->attic.catalog, models, 4) == 2 &&
			   catalog_models(p->laptop.catalog, models, 4) == 2);
	service_up(&p->attic, &p->service);
}

static void pair_up(struct net *n, struct pair *p)
{
	pair_up_as(n, p, SITE_OPEN);
}

static void pair_down(struct pair *p)
{
	service_down(&p->service);
	site_down(&p->laptop);
	site_down(&p->attic);
}

#define FOR(name) "X-Target-Node: attic\r\nX-Gate-Service: " name "\r\n"

static struct stream *client(struct net *n, struct pair *p, const char *line, const char *headers)
{
	struct stream *s;
	struct buf out = BUF_INIT(4096);

	OK(world_tcp_dial(universe_host(n->u, "client"), &p->laptop.http, &s, NULL));
	request_put(&out, line, headers, NULL);
	OK(stream_write(s, out.p, out.n, NULL));
	buf_free(&out);
	return s;
}

static struct reply *get(struct net *n, struct pair *p, const char *line, const char *headers)
{
	static struct reply r;
	struct stream *s = client(n, p, line, headers);

	memset(&r, 0, sizeof r);
	reply_read(s, &r, NULL);
	stream_close(s);
	return &r;
}

/* ---- stories --------------------------------------------------------------------------------- */

static void who_may(struct net *n)
{
	struct pair p;
	struct reply *r;

	pair_up(n, &p);
	assert_int_equal(get(n, &p, "GET /hello", FOR("web"))->status, 200);
	assert_int_equal(get(n, &p, "GET /hello", FOR("mine"))->status, 200);
	/* What is for others is not even there, whatever is asked for. */
	r = get(n, &p, "GET /hello", FOR("private"));
	assert_int_equal(r->status, 404);
	has(r, "there is: web, mine\"");
	r = get(n, &p, "GET /hello", FOR("*"));
	assert_int_equal(r->status, 404);
	has(r, "say which: web, mine\"");
	r = get(n, &p, "GET /hello", "X-Gate-Service: web\r\n");
	assert_int_equal(r->status, 400);
	r = get(n, &p, "GET /hello", "X-Target-Node: attic\r\nX-Gate-Service:\r\n");
	assert_int_equal(r->status, 400);
	r = get(n, &p, "GET /hello", FOR("web") "X-Gate-Service: private\r\n");
	assert_int_equal(r->status, 400);
	assert_int_equal(get(n, &p, "GET /hello", FOR("web"))->status, 200);
	assert_int_equal(p.service.accepted, 2); /* one connection each was enough */
	pair_down(&p);
}

/* A peer that speaks for itself gets no further than a polite one, nor to a third node. */
static void rude_peer(struct net *n)
{
	static const struct {
		const char *headers;
		int status;
	} cases[] = {{"X-Gate-Service: web\r\n", 200}, {"X-Gate-Service: private\r\n", 404},
	    {"X-Gate-Service: web\r\nX-Target-Node: attic\r\n", 508},
	    {"X-Gate-Service: web\r\nX-Gate-Service: mine\r\n", 400}};
	const char *protocols[] = {HTTP_OVER_P2P};
	struct pair p;

	pair_up(n, &p);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct reply r;
		struct stream *s;
		OK(p2p_open_stream(
		    p.laptop.node.host, &p.attic.node.id.peer_id, protocols, 1, &s, NULL, NULL));
		talk(s, "GET /hello", cases[i].headers, NULL, &r);
		assert_int_equal(r.status, cases[i].status);
	}
	pair_down(&p);
}

/* Hours of a stream that lives; minutes of one that does not. */
static void deadlines(struct net *n)
{
	struct pair p;
	struct instant began;
	struct reply *r;

	pair_up(n, &p);
	r = get(n, &p, "GET /slow", FOR("web"));
	assert_int_equal(r->status, 200);
	has(r, "0\r\n\r\n");
	began = rt_now();
	r = get(n, &p, "GET /silent", FOR("web"));
	assert_int_equal(r->status, 504);
	has(r, "attic/web: no answer within 300 s");
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 300000, 302000);
	eventually(2, p.service.hung_up == 1);
	began = rt_now();
	r = get(n, &p, "GET /stuck", FOR("web"));
	assert_int_equal(r->status, 200);
	has_not(r, "0\r\n\r\n"); /* visibly broken */
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 900000, 905000);
	pair_down(&p);
}

static void idle_tunnel(struct net *n)
{
	struct pair p;
	struct reply r = {0};
	struct instant began;

	pair_up(n, &p);
	struct stream *s =
	    client(n, &p, "GET /raw", FOR("web") "Connection: Upgrade\r\nUpgrade: raw\r\n");
	assert_true(reply_read(s, &r, "\r\n\r\n"));
	assert_int_equal(r.status, 101);
	for (int i = 0; i < 5; i++) { /* longer than it may be silent, in all */
		OK(fiber_sleep(duration_s(600)));
		OK(stream_write(s, "ping", 4, NULL));
		memset(&r, 0, sizeof r);
		assert_true(reply_read(s, &r, "ping"));
	}
	began = rt_now();
	assert_true(stream_read(s, r.all, 1, NULL) <= 0);
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 899000, 905000);
	stream_close(s);
	pair_down(&p);
}

/* One peer cannot use up what is for all, and what it leaves is free again. */
static void limits(struct net *n)
{
	const char *protocols[] = {HTTP_OVER_P2P};
	static const char ask[] = "GET /silent HTTP/1.1\r\nHost: a\r\nX-Gate-Service: web\r\n\r\n";
	struct stream *held[PROXY_PER_PEER_MAX];
	struct pair p;
	struct reply *r;

	pair_up(n, &p);
	for (size_t i = 0; i < PROXY_PER_PEER_MAX; i++) {
		OK(p2p_open_stream(p.laptop.node.host, &p.attic.node.id.peer_id, protocols, 1,
		    &held[i], NULL, NULL));
		OK(stream_write(held[i], ask, sizeof ask - 1, NULL));
	}
	eventually(5, p.service.asked == PROXY_PER_PEER_MAX);
	r = get(n, &p, "GET /hello", FOR("web"));
	assert_int_equal(r->status, 503);
	has(r, "64 requests are being passed on already");
	stream_reset(held[0], E_CANCELLED);
	eventually(2, p.service.hung_up == 1);
	assert_int_equal(get(n, &p, "GET /hello", FOR("web"))->status, 200);
	for (size_t i = 0; i < PROXY_PER_PEER_MAX; i++)
		stream_close(held[i]);
	pair_down(&p);
}

/* Neither this node's own ports nor, whatever a name says, an address far away. */
static void own_ports(struct net *n)
{
	struct pair p;
	struct netaddr at;
	struct err err = {0};

	pair_up(n, &p);
	universe_host_addr(p.attic.node.world, &at);
	at.port = PORT;
	assert_int_equal(proxy_forbid(gateway_proxy(p.attic.gateway), &at, &err), E_INVALID);
	struct reply *r = get(n, &p, "GET /hello", FOR("web"));
	assert_int_equal(r->status, 502);
	assert_int_equal(net_logged(n, "port 3000 is this node's own"), 1);
	has_not(r, "3000"); /* where it is, is not for others to know */
	pair_down(&p);
}

/* The node that serves is switched off in mid-answer. */
static void far_end(struct net *n)
{
	struct pair p;
	struct reply r = {0};

	pair_up(n, &p);
	struct stream *s = client(n, &p, "GET /stuck", FOR("web"));
	struct stream *waiting = client(n, &p, "GET /silent", FOR("web"));
	assert_true(reply_read(s, &r, "\r\n\r\n"));
	eventually(2, p.service.asked == 1);
	site_down(&p.attic);
	reply_read(s, &r, NULL);
	has_not(&r, "0\r\n\r\n");
	stream_close(s);
	memset(&r, 0, sizeof r);
	reply_read(waiting, &r, NULL);
	assert_in_range(r.status, 502, 503);
	stream_close(waiting);
	service_down(&p.service);
	site_down(&p.laptop);
}

/* A node that is open to all peers is so for its models. */
static void strangers(struct net *n)
{
	const char *protocols[] = {HTTP_OVER_P2P};
	struct pair p;
	struct node stranger;
	struct stream *s;
	struct reply r;

	pair_up(n, &p);
	p2p_set_gate(p.attic.node.host, NULL, NULL);
	node_new(n, "stranger", &stranger);
	OK(p2p_dial(stranger.host, &p.attic.node.id.peer_id, &p.attic.node.addr, 1, NULL, NULL));
	OK(p2p_open_stream(stranger.host, &p.attic.node.id.peer_id, protocols, 1, &s, NULL, NULL));
	talk(s, "GET /hello", "X-Gate-Service: web\r\n", NULL, &r);
	assert_int_equal(r.status, 404);
	has(&r, "attic exposes nothing to this node");
	assert_int_equal(p.service.accepted, 0);
	node_close(&stranger);
	pair_down(&p);
}

static void key_of(struct access *a, unsigned rights, const char *name, char out[256])
{
	struct access_key key = {.rights = rights};
	char text[ACCESS_KEY_TEXT_MAX];

	snprintf(key.name, sizeof key.name, "%s", name);
	OK(access_key_create(a, &key, text, NULL));
	snprintf(out, 256, FOR("web") "X-Gate-Key: %s\r\n", text);
}

/* Where keys are asked for, services ask for one of their scope, and leave the service's own
 * credentials alone. */
static void keys(struct net *n)
{
	struct pair p;
	char models[256], services[256];

	pair_up_as(n, &p, SITE_GUARDED);
	assert_int_equal(get(n, &p, "GET /hello", FOR("web"))->status, 401);
	assert_int_equal(get(n, &p, "GET /health", FOR("web"))->status, 401);
	key_of(p.laptop.access, ACCESS_RIGHTS_USUAL, "models", models);
	key_of(p.laptop.access, ACCESS_SERVICES, "services", services);
	assert_int_equal(get(n, &p, "GET /hello", models)->status, 403);
	strcat(services, "Authorization: Bearer the-services-own\r\n");
	assert_int_equal(get(n, &p, "GET /hello", services)->status, 200);
	pair_down(&p);
}

static void in_net(void **state)
{
	void (*const *story)(struct net *) = *state;

	net_run_for(1, duration_ms(10), duration_s(6 * 3600), *story);
}

#define STORY(fn)                                                                                  \
	{                                                                                          \
#fn, in_net, NULL, NULL, &(void (*[1])(struct net *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(who_may), STORY(rude_peer), STORY(deadlines),
	    STORY(idle_tunnel), STORY(limits), STORY(own_ports), STORY(far_end), STORY(strangers),
	    STORY(keys)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
