/* The fleet: see fleet.h. */
#include "provider/fleet.h"

#include "crypto/hash.h"
#include "crypto/tls.h"
#include "dialect/anthropic.h"
#include "dialect/ollama.h"
#include "dialect/openai.h"
#include "http/pool.h"
#include "provider/fleet_priv.h"
#include "provider/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define PROBE_LIMIT_MS 2000

struct fleet {
	struct fleet_options opt;
	struct tls_context *tls; /* made with the first https server */
	struct server *first;
	size_t n;
	struct scope scope;  /* of the servers */
	struct scope watch;  /* of the discoverer */
	struct waitq looked; /* a server's models or health changed */
	struct sem turn;     /* adding, removing and discovering take turns */
};

/* ---- kinds ----------------------------------------------------------------------------------- */

const struct fleet_kind fleet_kinds[] = {
    {"ollama", &ollama_upstream, "http://127.0.0.1:11434", true},
    {"lmstudio", &openai_upstream, "http://127.0.0.1:1234", true},
    {"llamacpp", &openai_upstream, "http://127.0.0.1:8080", true},
    {"vllm", &openai_upstream, "http://127.0.0.1:8000", true},
    {"exo", &openai_upstream, "http://127.0.0.1:52415", true},
    {"openai", &openai_upstream, NULL, false},
    {"anthropic", &anthropic_upstream, "https://api.anthropic.com", false},
};
const size_t fleet_n_kinds = sizeof fleet_kinds / sizeof *fleet_kinds;

const struct fleet_kind *fleet_kind_find(const char *name)
{
	for (size_t i = 0; i < fleet_n_kinds; i++)
		if (strcmp(fleet_kinds[i].name, name) == 0)
			return &fleet_kinds[i];
	return NULL;
}

/* ---- servers --------------------------------------------------------------------------------- */

static void server_changed(void *arg)
{
	struct server *s = arg;
	struct fleet *f = s->fleet;
	if (s->entry)
		catalog_models_changed(f->opt.catalog, s->entry);
	waitq_wake_all(&f->looked);
	f->opt.changed(f->opt.arg);
}

static int check_name(const char *name, struct err *err)
{
	size_t n =
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	if (n == 0 || name[n])
		return err_set(err, E_INVALID,
		    "\"%.64s\" is no name for a provider: letters, digits, '.', '_' and '-'", name);
	return 0;
}

static int check_kind(const char *name, const struct fleet_kind **out, struct err *err)
{
	*out = fleet_kind_find(name);
	return *out
		   ? 0
		   : err_set(err, E_INVALID,
			 "\"%.32s\" is no kind of provider: ollama, lmstudio, llamacpp, vllm, exo, "
			 "openai or anthropic",
			 name);
}

static int trust(struct fleet *f, const struct http_url *url, struct err *err)
{
	return url->tls && !f->tls ? tls_client_context(NULL, &f->tls, err) : 0;
}

static struct server *find(struct fleet *f, const char *name)
{
	struct server *s = f->first;
	while (s && strcmp(s->spec.name, name) != 0)
		s = s->next;
	return s;
}

static int start(struct server *s, const char *key, const struct http_url *url, struct err *err)
{
	struct fleet *f = s->fleet;
	struct remote_options remote = {
	    .world = f->opt.world,
	    .kind = s->kind->name,
	    .name = s->spec.name,
	    .url = *url,
	    .dialect = s->kind->dialect,
	    .key = key,
	    .tls = f->tls,
	    .scope = &f->scope, /* it outlives whoever asked for it */
	    .changed = server_changed,
	    .arg = s,
	};
	struct catalog_node node = {
	    .id = f->opt.identity->peer_id,
	    .local = true,
	    .unshared = !s->spec.shared,
	    .price_in_msat = s->spec.price_in_msat,
	    .price_out_msat = s->spec.price_out_msat,
	};
	snprintf(node.label, sizeof node.label, "%s", f->opt.label);
	int rc = remote_provider_new(&remote, &s->provider, err);
	if (rc)
		return rc;
	rc = catalog_add(f->opt.catalog, s->provider, &node, &s->entry, err);
	if (rc)
		provider_close(s->provider);
	return rc;
}

/* Puts a server into the list and starts it. */
static int enlist(struct fleet *f, const struct fleet_spec *spec, bool found, struct server **out,
    struct err *err)
{
	struct http_url url;
	const struct fleet_kind *kind;
	int rc = check_name(spec->name, err);
	if (rc == 0)
		rc = check_kind(spec->kind, &kind, err);
	if (rc)
		return rc;
	if (!spec->url[0] && !kind->url)
		return err_set(
		    err, E_INVALID, "a provider of kind %s needs its address", kind->name);
	rc = http_url_parse(spec->url[0] ? spec->url : kind->url, &url, err);
	if (rc == 0 && find(f, spec->name))
		rc = err_set(err, E_EXISTS, "there is a provider %s already", spec->name);
	if (rc == 0 && f->n >= FLEET_SERVERS_MAX)
		rc = err_set(err, E_LIMIT, "there are %d providers already", FLEET_SERVERS_MAX);
	if (rc == 0)
		rc = trust(f, &url, err);
	struct server *s = rc == 0 ? calloc(1, sizeof *s) : NULL;
	if (!s)
		return rc ? rc : err_set(err, E_MEMORY, "no memory for a provider");
	*s = (struct server){.fleet = f, .spec = *spec, .kind = kind, .found = found};
	secret_wipe(s->spec.key, sizeof s->spec.key);
	size_t n = strlen(spec->key);
	if (n > 4 * FLEET_TAIL)
		memcpy(s->key_tail, spec->key + n - FLEET_TAIL, FLEET_TAIL);
	snprintf(s->spec.url, sizeof s->spec.url, "%s", spec->url[0] ? spec->url : kind->url);
	rc = start(s, spec->key, &url, err);
	if (rc) {
		free(s);
		return rc;
	}
	s->next = f->first;
	f->first = s;
	f->n++;
	*out = s;
	return 0;
}

static void dismiss(struct fleet *f, struct server *s)
{
	struct server **at = &f->first;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	f->n--;
	remote_provider_detach(s->provider); /* it may live on for those who are inside */
	catalog_remove(f->opt.catalog, s->entry);
	free(s);
	f->opt.changed(f->opt.arg);
}

/* ---- discovery ------------------------------------------------------------------------------- */

static const char *canonical(const char *host)
{
	return strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
}

static bool same_place(const struct server *s, const struct http_url *url)
{
	const struct http_url *u = remote_provider_url(s->provider);
	return u->port == url->port && strcasecmp(canonical(u->host), canonical(url->host)) == 0;
}

static bool is_known(struct fleet *f, const struct http_url *url)
{
	for (const struct server *s = f->first; s; s = s->next)
		if (same_place(s, url))
			return true;
	return url->port == f->opt.own_port;
}

/* Whether something of that kind answers there: it lists models in the kind's dialect. */
static bool answers(struct fleet *f, const struct fleet_kind *kind, const struct http_url *url)
{
	struct http_pool *pool;
	struct http_client *http;
	struct model_entry *models;
	size_t n;
	bool used, yes = false;
	if (http_pool_new(f->opt.world, url, NULL, &pool, NULL) != 0)
		return false;
	void *mem = talloc_new(NULL);
	struct upstream_server server = {
	    .dialect = kind->dialect, .host = url->authority, .base_path = url->path};
	struct scope sc;
	scope_open(&sc, duration_ms(PROBE_LIMIT_MS));
	if (mem && http_pool_take(pool, HTTP_POOL_FRESH, &http, &used, NULL) == 0) {
		yes = upstream_models(http, &server, mem, &models, &n, NULL) == 0;
		http_pool_give(pool, http);
	}
	scope_close(&sc);
	talloc_free(mem);
	http_pool_free(pool);
	return yes;
}

static void discover_kind(struct fleet *f, const struct fleet_kind *kind)
{
	struct http_url url;
	struct server *s;
	struct err err = {0};
	struct fleet_spec spec = {.shared = true};
	if (http_url_parse(kind->url, &url, NULL) != 0 || is_known(f, &url) ||
	    !answers(f, kind, &url) || find(f, kind->name))
		return;
	snprintf(spec.name, sizeof spec.name, "%s", kind->name);
	snprintf(spec.kind, sizeof spec.kind, "%s", kind->name);
	int rc = enlist(f, &spec, true, &s, &err);
	if (rc)
		rt_log(LOG_WARN, "provider", "found %s at %s: %s", kind->name, url.authority,
		    err_text(&err));
	else
		rt_log(LOG_INFO, "provider", "found %s at %s", kind->name, url.authority);
}

static bool is_gone(const struct server *s)
{
	struct provider_status status;
	provider_status(s->provider, &status);
	return s->found && status.health == PROVIDER_UNHEALTHY;
}

static void drop_gone(struct fleet *f)
{
	for (struct server *s = f->first, *next; s; s = next) {
		next = s->next;
		if (is_gone(s))
			dismiss(f, s);
	}
}

static void discover(struct fleet *f)
{
	if (sem_acquire(&f->turn, NULL) != 0)
		return;
	drop_gone(f);
	for (size_t i = 0; i < fleet_n_kinds && scope_check(NULL) == 0; i++)
		if (fleet_kinds[i].discovered)
			discover_kind(f, &fleet_kinds[i]);
	sem_release(&f->turn);
}

static void discoverer(void *arg)
{
	struct fleet *f = arg;
	do
		discover(f);
	while (fiber_sleep(duration_ms(FLEET_DISCOVER_MS)) == 0);
}

/* ---- for the owner --------------------------------------------------------------------------- */

static bool is_starting(const struct server *s)
{
	struct provider_status status;
	provider_status(s->provider, &status);
	return status.health == PROVIDER_STARTING;
}

static void await_first_look(struct fleet *f, const char *name)
{
	struct scope sc;
	scope_open(&sc, duration_ms(FLEET_ANNOUNCED_MS));
	for (struct server *s; (s = find(f, name)) && is_starting(s);)
		if (waitq_wait(&f->looked, NULL) != 0)
			break;
	scope_close(&sc);
}

int fleet_add(struct fleet *f, const struct fleet_spec *spec, struct err *err)
{
	struct server *s;
	int rc = sem_acquire(&f->turn, err);
	if (rc)
		return rc;
	struct server *found = find(f, spec->name);
	if (found && found->found) /* naming what was found makes it the owner's */
		dismiss(f, found);
	rc = enlist(f, spec, false, &s, err);
	if (rc == 0 && f->opt.store) {
		rc = fleet_save(f->opt.store, f->opt.world, f->opt.identity, spec, err);
		if (rc)
			dismiss(f, s);
	}
	sem_release(&f->turn);
	if (rc == 0)
		await_first_look(f, spec->name);
	return rc;
}

int fleet_remove(struct fleet *f, const char *name, struct err *err)
{
	int rc = sem_acquire(&f->turn, err);
	if (rc)
		return rc;
	struct server *s = find(f, name);
	if (!s)
		rc = err_set(err, E_NOT_FOUND, "there is no provider \"%.64s\"", name);
	else if (s->found)
		rc = err_set(err, E_INVALID,
		    "%s was found on its usual port, and would be found again: stop it there, or "
		    "start "
		    "the node with --discover-providers=false",
		    s->spec.name);
	else if (f->opt.store)
		rc = fleet_forget(f->opt.store, name, err);
	if (rc == 0)
		dismiss(f, s);
	sem_release(&f->turn);
	return rc;
}

void fleet_refresh(struct fleet *f)
{
	if (f->opt.discover)
		discover(f);
	for (struct server *s = f->first; s; s = s->next)
		remote_provider_refresh(s->provider);
}

void fleet_each(
    struct fleet *f, void (*fn)(void *arg, const struct fleet_server *server), void *arg)
{
	for (const struct server *s = f->first; s; s = s->next) {
		struct fleet_server out = {.spec = s->spec, .found = s->found, .entry = s->entry};
		memcpy(out.key_tail, s->key_tail, sizeof out.key_tail);
		provider_status(s->provider, &out.status);
		provider_models(s->provider, &out.n_models);
		fn(arg, &out);
	}
}

/* ---- making and ending ----------------------------------------------------------------------- */

/* A server that cannot be started does not keep the node from starting. */
static int load_one(void *arg, struct fleet_spec *spec, struct err *err)
{
	struct fleet *f = arg;
	struct server *s;
	struct err why = {0};
	if (enlist(f, spec, false, &s, &why) != 0)
		rt_log(LOG_ERROR, "provider", "provider %s: %s", spec->name, err_text(&why));
	return 0;
}

int fleet_new(const struct fleet_options *opt, struct fleet **out, struct err *err)
{
	struct fleet *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(err, E_MEMORY, "no memory for providers");
	f->opt = *opt;
	f->turn.free = 1;
	scope_init(&f->scope, NULL);
	scope_init(&f->watch, NULL);
	int rc = opt->store ? fleet_load(opt->store, opt->identity, load_one, f, err) : 0;
	if (rc == 0 && opt->discover)
		rc = fiber_spawn(&f->watch, "discover", discoverer, f, err);
	if (rc) {
		fleet_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

void fleet_close(struct fleet *f)
{
	if (!f)
		return;
	scope_close(&f->watch);
	while (f->first)
		dismiss(f, f->first);
	scope_close(&f->scope);
	tls_context_free(f->tls);
	free(f);
}
