/* The HTTP surfaces: connections in, routes, answers. */
#include "gateway/gateway.h"

#include "base/encode.h"
#include "dialect/json.h"
#include "dialect/openai.h"
#include "dialect/responses.h"
#include "gateway/cors.h"
#include "gateway/gateway_priv.h"
#include "gateway/guard.h"
#include "gateway/proxy_priv.h"
#include "gateway/requests.h"
#include "provider/peer.h"

#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define MODELS_MAX      1024 /* (model, node) pairs in a list */
#define MODELS_BODY_MAX (2u << 20)
#define HEALTH_BODY_MAX 8192
#define HANDLERS_END_MS 10000
#define EXPLAIN_MAX     4096 /* bytes of a decision in a header */

struct gateway {
	struct gateway_options opt;
	struct scope scope;
	struct listener *listener;
	struct netaddr addr;
	struct http_group group;
	struct proxy *proxy;
	struct instant started;
	uint64_t requests;
	int peers_served; /* handlers of peer streams under way */
	struct waitq served;
};

/* ---- inferences and embeddings ------------------------------------------------------------- */

struct emitting {
	struct serve_call *call;
	struct job job;
	inference_emit_fn emit;
	void *arg;
	bool told;
};

/* For a header: of printable ASCII, and no longer than clients take. */
static void explain(struct emitting *m)
{
	struct serve_call *call = m->call;
	const struct buf *all = m->job.decisions;
	void *mem = call->embed ? (void *)(uintptr_t)call->embed : (void *)(uintptr_t)call->req;
	if (!call->explain || all->failed || all->n == 0)
		return;
	const char *text = (const char *)all->p + m->job.latest;
	size_t n = all->n - m->job.latest, plain = 0;
	while (plain < n && text[plain] >= ' ' && text[plain] <= '~')
		plain++;
	talloc_free(call->explanation);
	call->explanation =
	    n <= EXPLAIN_MAX && plain == n
		? talloc_strndup(mem, text, n)
		: talloc_strdup(mem, "too long: see " REQUESTS_PATH " with the request's id");
}

/* Before the first event, what the answer's head shows becomes known. */
static int emit_with_origin(void *arg, const struct inference_event *e, struct err *err)
{
	struct emitting *m = arg;
	if (!m->told) {
		m->told = true;
		if (node_id_print(&m->job.served_by, m->call->served_by, NULL) != 0)
			m->call->served_by[0] = '\0';
		memcpy(m->call->served_by_label, m->job.served_by_label,
		    sizeof m->call->served_by_label);
		memcpy(m->call->model, m->job.model, sizeof m->call->model);
		explain(m);
	}
	return m->emit(m->arg, e, err);
}

static int64_t usage_sum(const struct inference_usage *u)
{
	if (u->prompt_tok < 0 && u->completion_tok < 0)
		return -1;
	return (u->prompt_tok > 0 ? u->prompt_tok : 0) +
	       (u->completion_tok > 0 ? u->completion_tok : 0);
}

/* Embeddings are told in few words: their model, and how much text there is. */
static int64_t estimate(const struct serve_call *call)
{
	size_t bytes = 0;
	if (!call->embed)
		return access_estimate(call->req);
	for (size_t i = 0; i < call->embed->n_inputs; i++)
		bytes += call->embed->inputs[i].n;
	return (int64_t)(bytes / 4) + 1;
}

static int run_job(struct caller *caller, struct emitting *m, struct err *err)
{
	struct gateway *g = caller->gateway;
	struct serve_call *call = m->call;
	if (caller->peer && call->ctx.hops == 0)
		call->ctx.hops = 1;
	struct buf decisions = BUF_INIT(RECORD_CANDIDATES_MAX);
	struct record_origin origin = requests_origin(&caller->grant);
	m->job.req = call->req;
	m->job.ctx = call->ctx;
	m->job.target_node = call->target_node;
	m->job.decisions = &decisions;
	m->job.record = records_begin(g->opt.records, &origin, call->ctx.request_id,
	    call->dialect ? call->dialect->name : "embeddings", call->req->model);
	if (!call->embed)
		record_prompt(m->job.record, call->req);
	struct instant began = rt_now();
	int rc = guard_reserve(&caller->grant, call->req->model, estimate(call), err);
	if (rc == 0)
		rc = jobs_run(g->opt.jobs, &m->job, emit_with_origin, m, err);
	caller->tokens = m->told ? usage_sum(&m->job.usage) : 0;
	if (!m->told)
		explain(m);
	if (!decisions.failed)
		record_candidates(m->job.record, buf_view(&decisions));
	record_usage(m->job.record, &m->job.usage);
	records_end(g->opt.records, m->job.record, rc, err_text(err));
	buf_free(&decisions);
	char from[PEER_ID_TEXT_MAX] = "a client";
	if (caller->peer)
		peer_id_print(caller->peer, from);
	rt_log(LOG_DEBUG, "gateway", "%s from %s: %s%s%s in %lld ms", call->ctx.request_id, from,
	    rc ? err_text(err) : "answered", m->job.served_by_label[0] ? " by " : "",
	    m->job.served_by_label, (long long)duration_to_ms(instant_since(rt_now(), began)));
	return rc;
}

int gateway_infer(
    void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg, struct err *err)
{
	struct emitting m = {.call = call, .emit = emit, .arg = emit_arg};
	return run_job(arg, &m, err);
}

static int ignore(void *arg, const struct inference_event *e, struct err *err)
{
	(void)arg;
	(void)e;
	(void)err;
	return 0;
}

int gateway_embed(
    void *arg, struct serve_call *call, void *mem, struct embedding_result *out, struct err *err)
{
	struct inference_request req = {.choices = 1};
	struct emitting m = {.call = call, .emit = ignore};
	memcpy(req.model, call->embed->model, sizeof req.model);
	call->req = &req;
	m.job.embed = call->embed;
	m.job.mem = mem;
	int rc = run_job(arg, &m, err);
	call->req = NULL;
	*out = m.job.embedded;
	return rc;
}

struct serve_service gateway_service(struct caller *caller)
{
	return (struct serve_service){
	    .world = caller->gateway->opt.world,
	    .infer = gateway_infer,
	    .embed = gateway_embed,
	    .arg = caller,
	    .limit = caller->gateway->opt.request_limit,
	};
}

static int post_chat(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	return serve_inference(x, &openai_chat, &service, err);
}

static int post_completions(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	return serve_inference(x, &openai_completions, &service, err);
}

static int post_responses(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	return serve_inference(x, &openai_responses, &service, err);
}

static int post_embeddings(struct http_exchange *x, void *arg, struct err *err)
{
	struct serve_service service = gateway_service(arg);
	return serve_embeddings(x, &openai_embeddings, &service, err);
}

/* ---- models and health --------------------------------------------------------------------- */

/* This node's own come first: they are what it answers with. */
static struct model_entry *list_models(struct gateway *g, bool own_only, size_t *n)
{
	struct model_entry *models = calloc(MODELS_MAX, sizeof *models);
	*n = models ? catalog_models(g->opt.catalog, models, MODELS_MAX) : 0;
	char self[NODE_ID_TEXT_MAX] = "";
	if (node_id_print(p2p_host_id(g->opt.host), self, NULL) != 0)
		return models;
	size_t own = 0;
	for (size_t i = 0; i < *n; i++) {
		struct model_entry m = models[i];
		if (strcmp(m.owner, self) != 0)
			continue;
		memmove(&models[own + 1], &models[own], (i - own) * sizeof m);
		models[own++] = m;
	}
	if (own_only)
		*n = own;
	return models;
}

/* Aliases of what is listed, for this node's own clients: as the first model that they mean. */
static size_t add_aliases(struct gateway *g, struct model_entry *models, size_t n)
{
	size_t n_aliases, total = n;
	const struct alias *a = jobs_aliases(g->opt.jobs, &n_aliases);
	for (const struct alias *end = a + n_aliases; a && a < end; a++) {
		size_t before = total;
		for (size_t t = 0; t < a->n_targets && total == before; t++)
			for (size_t i = 0; i < n && total < MODELS_MAX; i++) {
				if (strcmp(models[i].id, a->targets[t]) != 0)
					continue;
				models[total] = models[i];
				memcpy(models[total++].id, a->name, sizeof a->name);
			}
	}
	return total;
}

/* Peers see what this node serves itself: what others serve they hear from those. Nobody sees what
 * it may not use. */
struct model_entry *gateway_models(struct caller *caller, size_t *n)
{
	struct model_entry *models = list_models(caller->gateway, caller->peer != NULL, n);
	if (models && !caller->peer)
		*n = add_aliases(caller->gateway, models, *n);
	size_t kept = 0;
	for (size_t i = 0; i < *n; i++)
		if (access_allows_model(&caller->grant, models[i].id))
			models[kept++] = models[i];
	*n = kept;
	return models;
}

int gateway_respond_json(struct http_exchange *x, struct buf *body, struct err *err)
{
	int rc = buf_ok(body, err);
	return rc ? rc : http_respond(x, 200, JSON_TYPE, buf_view(body), err);
}

static int get_models(struct http_exchange *x, void *arg, struct err *err)
{
	struct caller *caller = arg;
	size_t n;
	struct model_entry *models = gateway_models(caller, &n);
	struct buf body = BUF_INIT(MODELS_BODY_MAX);
	openai_models_write(&body, models, n);
	int rc = gateway_respond_json(x, &body, err);
	buf_free(&body);
	free(models);
	return rc;
}

static int get_model(struct http_exchange *x, void *arg, struct err *err)
{
	struct caller *caller = arg;
	const char *path = http_head_path(http_request(x)) + strlen("/v1/models/");
	char id[MODEL_ID_MAX];
	int rc = http_percent_decode(path, id, sizeof id);
	if (rc)
		return err_set(err, E_INVALID, "a model's name that cannot be decoded");
	size_t n, kept = 0;
	struct model_entry *models = gateway_models(caller, &n);
	for (size_t i = 0; i < n; i++)
		if (strcmp(models[i].id, id) == 0)
			models[kept++] = models[i];
	struct buf body = BUF_INIT(MODELS_BODY_MAX);
	if (kept > 0) {
		openai_model_write(&body, id, models, kept);
		rc = gateway_respond_json(x, &body, err);
	} else {
		rc = err_set(err, E_MODEL_NOT_FOUND, "no node has the model \"%s\"", id);
	}
	buf_free(&body);
	free(models);
	return rc;
}

static void count_member(void *arg, const struct cluster_peer *p)
{
	if (p->state == PEER_MEMBER)
		(*(int64_t *)arg)++;
}

static int get_health(struct http_exchange *x, void *arg, struct err *err)
{
	struct caller *caller = arg;
	struct gateway *g = caller->gateway;
	size_t n_models;
	free(list_models(g, false, &n_models));
	int64_t members = 0;
	cluster_each(g->opt.cluster, count_member, &members);
	struct jobs_stats stats;
	jobs_stats(g->opt.jobs, &stats);
	char node_id[NODE_ID_TEXT_MAX] = "";
	if (node_id_print(p2p_host_id(g->opt.host), node_id, NULL) != 0)
		node_id[0] = '\0';
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "status", "ok",
	    "version", GATE_VERSION, "node_id", node_id, "label", g->opt.label, "cluster",
	    cluster_id(g->opt.cluster), "peers", (json_int_t)members, "models",
	    (json_int_t)n_models, "running", (json_int_t)stats.running, "queued",
	    (json_int_t)stats.queued, "uptime_s",
	    (json_int_t)(duration_to_ms(instant_since(rt_now(), g->started)) / 1000));
	struct buf body = BUF_INIT(HEALTH_BODY_MAX);
	int rc = json_write(j, &body, err);
	json_decref(j);
	if (rc == 0)
		rc = gateway_respond_json(x, &body, err);
	buf_free(&body);
	return rc;
}

/* ---- who may ask --------------------------------------------------------------------------- */

/* Before anything that may fail: errors have to be readable for the page, too. */
static int check_browser(struct gateway *g, struct http_exchange *x, struct err *err)
{
	const struct http_head *head = http_request(x);
	const char *origin = http_head_get(head, "origin");
	struct cors_policy policy = {g->opt.cors_origins, g->opt.n_cors_origins};
	char host[CORS_ORIGIN_MAX];
	int rc = cors_check(&policy, cors_host(head, host), origin, err);
	if (rc || !origin)
		return rc;
	http_response_header(x, "Access-Control-Allow-Origin", origin);
	http_response_header(x, "Vary", "Origin");
	http_response_header(x, "Access-Control-Expose-Headers", CORS_EXPOSED);
	return 0;
}

/* What a browser asks before it lets a page send more than a form could. */
static int preflight(struct http_exchange *x, struct err *err)
{
	const struct http_head *head = http_request(x);
	http_response_header(x, "Allow", CORS_METHODS);
	if (http_head_get(head, "origin")) {
		http_response_header(x, "Access-Control-Allow-Methods", CORS_METHODS);
		http_response_header(x, "Access-Control-Allow-Headers", CORS_HEADERS);
		http_response_header(x, "Access-Control-Max-Age", CORS_MAX_AGE_S);
	}
	if (http_head_has_token(head, "access-control-request-private-network", "true"))
		http_response_header(x, "Access-Control-Allow-Private-Network", "true");
	return http_respond(x, 204, NULL, bytes_str(""), err);
}

static int authorize(
    struct caller *caller, struct http_exchange *x, const char *service, struct err *err)
{
	struct gateway *g = caller->gateway;
	struct netaddr local, remote;
	struct access_caller who = {.peer = caller->peer,
	    .member = caller->peer && cluster_is_member(g->opt.cluster, caller->peer)};
	if (!caller->peer && stream_netaddrs(caller->stream, &local, &remote))
		who.address = &remote;
	caller->tokens = -1;
	if (service)
		return guard_check_service(g->opt.access, who, x, &caller->grant, err);
	return guard_check(g->opt.access, who, x, &caller->grant, err);
}

static int get_request(struct http_exchange *x, void *arg, struct err *err)
{
	struct caller *caller = arg;
	return requests_get(x, caller->gateway->opt.records, &caller->grant, err);
}

static const struct http_route openai_routes[] = {
    {"POST", "/v1/chat/completions", post_chat},
    {"POST", "/v1/completions", post_completions},
    {"POST", "/v1/embeddings", post_embeddings},
    {"POST", "/v1/responses", post_responses},
    {"GET", "/v1/models", get_models},
    {"GET", "/v1/models/*", get_model},
    {"GET", REQUESTS_PATH "*", get_request},
    {"GET", "/health", get_health},
};

static const struct surface openai_surface = {
    openai_routes, sizeof openai_routes / sizeof *openai_routes, openai_error_write};

static const struct surface services_surface = {NULL, 0, openai_error_write};

/* A request for a service that a node exposes: its path is the service's. */
static int pass_on(
    struct caller *caller, struct http_exchange *x, const char *service, struct err *err)
{
	const struct http_head *head = http_request(x);
	struct proxy *proxy = caller->gateway->proxy;
	struct proxy_request r = {
	    .service = service, .own_cors = http_head_get(head, "origin") != NULL};
	if (caller->peer)
		return proxy_serve(proxy, x, caller->peer, caller->remote, err);
	int rc = proxy_header(head, "x-target-node", &r.node, err);
	if (rc == 0 && !r.node)
		rc = err_set(err, E_INVALID, "x-gate-service without x-target-node: whose?");
	return rc ? rc : proxy_ask(proxy, x, &r, err);
}

/* Whose path it is tells in which form errors are, those of the server too. */
static const struct surface *surface_of(const char *path)
{
	static const char messages[] = "/v1/messages", api[] = "/api/";

	if (strncmp(path, messages, sizeof messages - 1) == 0)
		return &anthropic_surface;
	if (strcmp(path, "/") == 0 || strncmp(path, api, sizeof api - 1) == 0)
		return &ollama_surface;
	return &openai_surface;
}

static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	struct caller *caller = arg;
	caller->gateway->requests++;
	caller->surface = surface_of(http_head_path(http_request(x)));
	const char *service;
	int rc = caller->peer ? 0 : check_browser(caller->gateway, x, err);
	if (rc)
		return rc;
	rc = proxy_header(http_request(x), "x-gate-service", &service, err);
	if (rc)
		return rc;
	if (service)
		caller->surface = &services_surface;
	else if (!caller->peer && strcmp(http_request(x)->method, "OPTIONS") == 0)
		return preflight(x, err);
	rc = authorize(caller, x, service, err);
	if (rc == 0 && service)
		rc = pass_on(caller, x, service, err);
	else if (rc == 0)
		rc = http_route(x, caller->surface->routes, caller->surface->n, arg, err);
	access_done(&caller->grant, caller->tokens);
	return rc;
}

static void error_body(
    void *arg, int status, const struct err *why, struct buf *body, const char **type)
{
	const struct caller *caller = arg;
	(void)status;
	*type = JSON_TYPE;
	caller->surface->error(why, body);
}

/* ---- connections --------------------------------------------------------------------------- */

static void serve(struct caller *caller, struct stream *s, enum http_mode mode)
{
	struct gateway *g = caller->gateway;
	struct http_service service = {
	    .handle = handle,
	    .error_body = error_body,
	    .world = g->opt.world,
	    .group = &g->group,
	    .mode = mode,
	};
	struct err err = {0};
	int rc = http_serve(s, &service, caller, &err);
	if (rc && rc != E_CANCELLED)
		rt_log(LOG_DEBUG, "gateway", "%s: %s", s->remote, err_text(&err));
}

static void client_fiber(void *arg)
{
	struct caller *caller = arg;
	serve(caller, caller->stream, HTTP_PERSISTENT);
	stream_close(caller->stream);
	free(caller);
}

static void admit_client(struct gateway *g, struct stream *s)
{
	struct err err = {0};
	struct caller *caller = NULL;
	int rc = 0;
	if (g->group.connections >= g->opt.max_connections)
		rc = err_set(&err, E_LIMIT, "%zu connections are open", g->group.connections);
	else if (!(caller = malloc(sizeof *caller)))
		rc = err_set(&err, E_MEMORY, "no memory for a connection");
	if (rc == 0) {
		*caller = (struct caller){.gateway = g, .stream = s, .surface = &openai_surface};
		rc = fiber_spawn(&g->scope, "client", client_fiber, caller, &err);
	}
	if (rc) {
		rt_log(LOG_WARN, "gateway", "%s turned away: %s", s->remote, err_text(&err));
		free(caller);
		stream_reset(s, rc);
		stream_close(s);
	}
}

static void accept_fiber(void *arg)
{
	struct gateway *g = arg;
	struct err err;
	for (;;) {
		struct stream *s;
		int rc = listener_accept(g->listener, &s, NULL, &err);
		if (rc == E_CANCELLED || g->group.draining) {
			if (rc == 0)
				stream_close(s);
			return;
		}
		if (rc == 0) {
			admit_client(g, s);
			continue;
		}
		rt_log(LOG_ERROR, "gateway", "accept: %s", err_text(&err));
		if (fiber_sleep(duration_ms(100)) != 0)
			return;
	}
}

static void serve_peer(void *arg, struct stream *s, const struct p2p_stream_info *info)
{
	struct gateway *g = arg;
	struct caller caller = {.gateway = g,
	    .peer = &info->peer,
	    .stream = s,
	    .surface = &openai_surface,
	    .remote = info->remote};
	g->peers_served++;
	serve(&caller, s, HTTP_ONE_SHOT);
	stream_close(s);
	if (--g->peers_served == 0)
		waitq_wake_all(&g->served);
}

/* ---- making and ending --------------------------------------------------------------------- */

int gateway_new(const struct gateway_options *opt, struct gateway **out, struct err *err)
{
	struct gateway *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(err, E_MEMORY, "no memory for the gateway");
	g->opt = *opt;
	g->started = rt_now();
	struct proxy_options proxy = {.world = opt->world,
	    .cluster = opt->cluster,
	    .host = opt->host,
	    .label = opt->label,
	    .exposed = opt->exposed,
	    .n_exposed = opt->n_exposed};
	int rc = proxy_new(&proxy, &g->proxy, err);
	if (rc == 0)
		rc = world_tcp_listen(opt->world, &opt->listen, &g->listener, err);
	if (rc) {
		proxy_free(g->proxy);
		free(g);
		return rc;
	}
	listener_addr(g->listener, &g->addr);
	scope_init(&g->scope, NULL);
	rc = proxy_forbid(g->proxy, &g->addr, err);
	if (rc == 0)
		rc = p2p_handle(opt->host, HTTP_OVER_P2P, serve_peer, g, err);
	if (rc == 0)
		rc = fiber_spawn(&g->scope, "accept", accept_fiber, g, err);
	if (rc) {
		gateway_close(g);
		return rc;
	}
	*out = g;
	return 0;
}

void gateway_addr(const struct gateway *g, struct netaddr *out)
{
	*out = g->addr;
}

struct proxy *gateway_proxy(const struct gateway *g)
{
	return g->proxy;
}

void gateway_stats(const struct gateway *g, struct gateway_stats *out)
{
	*out = (struct gateway_stats){g->requests, g->group.connections};
}

void gateway_drain(struct gateway *g)
{
	http_group_drain(&g->group);
}

void gateway_close(struct gateway *g)
{
	if (!g)
		return;
	gateway_drain(g);
	proxy_stop(g->proxy);
	p2p_unhandle(g->opt.host, HTTP_OVER_P2P);
	scope_close(&g->scope);
	listener_close(g->listener);
	/* Streams of peers belong to their connections, which the host's owner closes; their jobs
	 * have been stopped. */
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(HANDLERS_END_MS));
	while (g->peers_served > 0)
		if (waitq_wait(&g->served, NULL) != 0)
			BUG("%d requests of peers did not end", g->peers_served);
	scope_close(&sc);
	proxy_free(g->proxy);
	free(g);
}
