/* A server at an address: see remote.h. Inferences and looks share a pool of connections. */
#include "provider/remote.h"

#include "crypto/hash.h"
#include "dialect/openai.h"
#include "http/pool.h"
#include "provider/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define LOOK_LIMIT_MS     10000
#define RETRY_FIRST_MS    2000
#define RETRY_MAX_MS      60000
#define UNHEALTHY_AFTER   2 /* failed looks in a row */
#define MODELS_MAX        256
#define ANTHROPIC_VERSION "2023-06-01"

struct remote_provider {
	struct provider provider;
	struct remote_options opt;
	char name[REMOTE_NAME_MAX];
	char key[REMOTE_KEY_MAX + 8]; /* as its header has it */
	struct http_header headers[2];
	struct upstream_server server;
	struct http_pool *pool;
	struct scope scope;
	struct waitq look; /* woken when a look is wanted now */
	bool looked;       /* at least once */
	bool reached;      /* a look went well at least once */
	bool wanted;
	unsigned failures; /* looks in a row */
	char reason[160];
	struct model_entry *models;
	size_t n_models;
};

/* ---- looking --------------------------------------------------------------------------------- */

static void tell(struct remote_provider *r)
{
	if (r->opt.changed)
		r->opt.changed(r->opt.arg);
}

void remote_provider_detach(struct provider *base)
{
	((struct remote_provider *)base)->opt.changed = NULL;
}

static void set_models(struct remote_provider *r, const struct model_entry *models, size_t n)
{
	if (n > MODELS_MAX)
		n = MODELS_MAX;
	struct model_entry *copy = n ? malloc(n * sizeof *copy) : NULL;
	if (n && !copy)
		return;
	for (size_t i = 0; i < n; i++) {
		copy[i] = models[i];
		copy[i].ready = true; /* it loads what is asked for */
		copy[i].owner[0] = copy[i].owner_label[0] = '\0';
	}
	free(r->models);
	r->models = copy;
	r->n_models = n;
}

/* A use of one connection, repeated on a fresh one when it was kept and had gone stale. */
static int exchange(struct remote_provider *r,
    int (*use)(struct remote_provider *r, struct http_client *http, void *arg, struct err *err),
    void *arg, struct err *err)
{
	struct http_client *http;
	bool used;
	int rc = http_pool_take(r->pool, HTTP_POOL_ANY, &http, &used, err);
	if (rc)
		return rc;
	rc = use(r, http, arg, err);
	bool stale = used && (rc == E_CLOSED || rc == E_RESET) && !http_client_began(http);
	http_pool_give(r->pool, http);
	if (!stale)
		return rc;
	rc = http_pool_take(r->pool, HTTP_POOL_FRESH, &http, &used, err);
	if (rc)
		return rc;
	rc = use(r, http, arg, err);
	http_pool_give(r->pool, http);
	return rc;
}

struct listing {
	void *mem;
	struct model_entry *models;
	size_t n;
};

static int list(struct remote_provider *r, struct http_client *http, void *arg, struct err *err)
{
	struct listing *l = arg;
	return upstream_models(http, &r->server, l->mem, &l->models, &l->n, err);
}

static void look_failed(struct remote_provider *r, const struct err *why)
{
	r->failures++;
	snprintf(r->reason, sizeof r->reason, "%s", err_text(why));
	if (r->failures < UNHEALTHY_AFTER && r->reached)
		return; /* degraded: its models stay listed */
	if (r->failures == UNHEALTHY_AFTER || !r->looked)
		rt_log(LOG_WARN, "provider", "%s is out of reach: %s", r->name, r->reason);
}

static void look_went_well(struct remote_provider *r, const struct listing *l)
{
	if (r->failures > 0 || !r->looked)
		rt_log(LOG_INFO, "provider", "%s at %s serves %zu models", r->name,
		    r->opt.url.authority, l->n);
	r->failures = 0;
	r->reached = true;
	r->reason[0] = '\0';
	set_models(r, l->models, l->n);
}

static void look(struct remote_provider *r)
{
	struct err err = {0};
	struct listing l = {.mem = talloc_new(NULL)};
	struct scope sc;
	scope_open(&sc, duration_ms(LOOK_LIMIT_MS));
	int rc = exchange(r, list, &l, &err);
	scope_close(&sc);
	if (rc && rc != E_CANCELLED)
		look_failed(r, &err);
	if (rc == 0)
		look_went_well(r, &l);
	talloc_free(l.mem);
	if (rc != E_CANCELLED) {
		r->looked = true;
		tell(r);
	}
}

static struct duration until_next_look(const struct remote_provider *r)
{
	int64_t ms = r->failures ? RETRY_FIRST_MS : REMOTE_REFRESH_MS;
	for (unsigned i = 1; i < r->failures && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	return duration_ms(ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
}

static void looker(void *arg)
{
	struct remote_provider *r = arg;
	while (scope_check(NULL) == 0) {
		look(r);
		r->wanted = false;
		int rc = 0;
		while (!r->wanted && rc == 0)
			rc = waitq_wait_for(&r->look, until_next_look(r), NULL);
	}
}

void remote_provider_refresh(struct provider *base)
{
	struct remote_provider *r = (struct remote_provider *)base;
	r->wanted = true;
	waitq_wake_all(&r->look);
}

/* ---- answering ------------------------------------------------------------------------------- */

struct inferring {
	const struct inference_request *req;
	const struct request_context *ctx;
	inference_emit_fn emit;
	void *arg;
};

static int infer(struct remote_provider *r, struct http_client *http, void *arg, struct err *err)
{
	const struct inferring *i = arg;
	return upstream_infer(http, &r->server, i->req, i->ctx, i->emit, i->arg, err);
}

/* What our own key or a vanished server did is not the client's mistake. */
static int as_provider_fault(struct remote_provider *r, int rc, struct err *err)
{
	if (rc == E_UNAUTHORIZED || rc == E_FORBIDDEN)
		return err_set(err, E_UPSTREAM, "%s does not accept our key", r->name);
	if (rc == E_REFUSED || rc == E_UNREACHABLE || rc == E_NOT_FOUND || rc == E_CLOSED)
		remote_provider_refresh(&r->provider);
	return err_wrap(err, rc, "%s", r->name);
}

static int remote_infer(struct provider *base, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	struct remote_provider *r = (struct remote_provider *)base;
	struct inferring i = {req, ctx, emit, arg};
	int rc = exchange(r, infer, &i, err);
	return rc ? as_provider_fault(r, rc, err) : 0;
}

struct embedding {
	const struct embedding_request *req;
	const struct request_context *ctx;
	void *mem;
	struct embedding_result *out;
};

static int embed(struct remote_provider *r, struct http_client *http, void *arg, struct err *err)
{
	const struct embedding *e = arg;
	return upstream_embed(http, &r->server, e->req, e->ctx, e->mem, e->out, err);
}

static int remote_embed(struct provider *base, const struct embedding_request *req,
    const struct request_context *ctx, void *mem, struct embedding_result *out, struct err *err)
{
	struct remote_provider *r = (struct remote_provider *)base;
	struct embedding e = {req, ctx, mem, out};
	int rc = exchange(r, embed, &e, err);
	return rc ? as_provider_fault(r, rc, err) : 0;
}

static void remote_status(struct provider *base, struct provider_status *out)
{
	const struct remote_provider *r = (const struct remote_provider *)base;
	*out = (struct provider_status){.health = PROVIDER_HEALTHY};
	if (r->failures > 0)
		out->health = r->reached && r->failures < UNHEALTHY_AFTER ? PROVIDER_DEGRADED
									  : PROVIDER_UNHEALTHY;
	else if (!r->looked)
		out->health = PROVIDER_STARTING;
	snprintf(out->reason, sizeof out->reason, "%s", r->reason);
}

static const struct model_entry *remote_models(struct provider *base, size_t *n)
{
	const struct remote_provider *r = (const struct remote_provider *)base;
	*n = r->n_models;
	return r->models;
}

static void remote_close(struct provider *base)
{
	struct remote_provider *r = (struct remote_provider *)base;
	scope_close(&r->scope);
	http_pool_free(r->pool);
	free(r->models);
	secret_wipe(r->key, sizeof r->key);
	free(r);
}

static const struct provider_ops remote_ops = {
    .kind = "remote",
    .infer = remote_infer,
    .embed = remote_embed,
    .status = remote_status,
    .models = remote_models,
    .close = remote_close,
};

const struct http_url *remote_provider_url(const struct provider *p)
{
	return p->ops == &remote_ops ? &((const struct remote_provider *)p)->opt.url : NULL;
}

/* ---- making ---------------------------------------------------------------------------------- */

static void set_key(struct remote_provider *r, const char *key)
{
	bool anthropic = strcmp(r->opt.dialect->name, "anthropic") == 0;
	size_t n = 0;
	if (anthropic)
		r->headers[n++] = (struct http_header){"anthropic-version", ANTHROPIC_VERSION};
	if (key && key[0]) {
		snprintf(r->key, sizeof r->key, "%s%s", anthropic ? "" : "Bearer ", key);
		r->headers[n++] =
		    (struct http_header){anthropic ? "x-api-key" : "authorization", r->key};
	}
	r->server.headers = r->headers;
	r->server.n_headers = n;
}

/* "https://host/v1" and "https://host" are the same server: the dialect's paths begin with /v1. */
static void strip_version(struct http_url *url)
{
	size_t n = strlen(url->path);
	if (n >= 3 && strcmp(url->path + n - 3, "/v1") == 0)
		url->path[n - 3] = '\0';
}

int remote_provider_new(const struct remote_options *opt, struct provider **out, struct err *err)
{
	if (opt->key && strlen(opt->key) > REMOTE_KEY_MAX)
		return err_set(err, E_TOO_LARGE, "%s: the key is too long", opt->name);
	struct remote_provider *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(err, E_MEMORY, "no memory for a provider");
	r->provider = (struct provider){&remote_ops, r->name};
	r->opt = *opt;
	r->opt.key = NULL;
	strip_version(&r->opt.url);
	snprintf(r->name, sizeof r->name, "%s", opt->name);
	if (opt->dialect == &openai_upstream)
		r->opt.dialect = openai_upstream_at(r->opt.url.host);
	r->server = (struct upstream_server){
	    .dialect = r->opt.dialect, .host = r->opt.url.authority, .base_path = r->opt.url.path};
	set_key(r, opt->key);
	scope_init(&r->scope, opt->scope);
	int rc = http_pool_new(opt->world, &r->opt.url, opt->tls, &r->pool, err);
	if (rc == 0)
		rc = fiber_spawn(&r->scope, "provider", looker, r, err);
	if (rc) {
		remote_close(&r->provider);
		return rc;
	}
	*out = &r->provider;
	return 0;
}
