/* The engine's keeper: starts the child, learns its model, forwards inferences to it, starts it
 * again when it dies. */
#include "provider/engine.h"

#include "dialect/openai.h"
#include "p2p/mux.h"
#include "provider/upstream.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define ENGINE_HOST      "engine"
#define RESTART_FIRST_MS 200
#define RESTART_MAX_MS   30000
#define STEADY_MS        60000 /* a child that lived so long starts afresh in the count */
#define HASH_ASK_MS      5000
#define EXIT_LIMIT_MS    3000

struct engine_provider {
	struct provider provider;
	struct engine_provider_options opt;
	char *model;
	char threads[16], n_ctx[16];
	struct scope scope;
	struct process *process; /* of the present life */
	struct mux *mux;         /* NULL while there is none */
	bool ready;
	bool settled; /* the first load has succeeded or failed */
	struct err first;
	struct waitq settle;
	struct model_entry entry;
	char reason[160];
};

/* ---- learning what it serves --------------------------------------------------------------- */

static const struct upstream_server engine_server = {
    .dialect = &gate_upstream, .host = ENGINE_HOST, .base_path = "", .node = true};

static int read_models(struct http_client *http, struct model_entry *out, struct err *err)
{
	void *mem = talloc_new(NULL);
	struct model_entry *models;
	size_t n;
	int rc = upstream_models(http, &engine_server, mem, &models, &n, err);
	if (rc == 0 && n == 0)
		rc = err_set(err, E_UPSTREAM, "the engine lists no model");
	if (rc == 0)
		*out = models[0];
	talloc_free(mem);
	return rc;
}

static int ask_models(struct engine_provider *e, struct model_entry *out, struct err *err)
{
	struct stream *s;
	int rc = mux_open(e->mux, &s, err);
	if (rc)
		return rc;
	struct http_client *http;
	rc = http_client_new(s, &http, err);
	if (rc)
		return rc;
	rc = read_models(http, out, err);
	http_client_free(http);
	return rc;
}

/* ---- one life of the child ----------------------------------------------------------------- */

static int start_child(struct engine_provider *e, struct err *err)
{
	const char *argv[] = {world_self_path(e->opt.world), "engine", "--model", e->model,
	    "--kernels", e->opt.kernels, "--threads", e->threads, "--ctx", e->n_ctx, NULL};
	int rc = process_start(e->opt.world, argv, &e->process, err);
	if (rc)
		return rc;
	struct stream *s = process_stream(e->process);
	rc = mux_new(s, MUX_DIALER, NULL, NULL, &e->mux, err);
	if (rc)
		stream_close(s);
	return rc;
}

/* What became of a child that went without a word. */
static int death(struct engine_provider *e, struct err *err)
{
	int status = -1;
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(EXIT_LIMIT_MS));
	int rc = process_wait(e->process, &status, NULL);
	scope_close(&sc);
	if (rc)
		return err_set(err, E_UNAVAILABLE, "the engine hangs");
	if (status > 256)
		return err_set(err, E_UNAVAILABLE, "the engine died of signal %d (%s)",
		    status - 256, strsignal(status - 256));
	return err_set(err, E_UNAVAILABLE, "the engine ended with status %d", status);
}

static void set_ready(struct engine_provider *e, bool ready, const struct err *why)
{
	e->ready = e->entry.ready = ready;
	snprintf(e->reason, sizeof e->reason, "%s", ready ? "" : err_text(why));
	e->opt.changed(e->opt.arg);
}

static void settle(struct engine_provider *e, int rc, const struct err *why)
{
	if (e->settled)
		return;
	e->settled = true;
	e->first = *why;
	e->first.code = rc;
	waitq_wake_all(&e->settle);
}

/* The hash of a large file becomes known while it serves already. */
static void learn_hash(void *arg)
{
	struct engine_provider *e = arg;
	while (!e->entry.hash[0] && fiber_sleep(duration_ms(HASH_ASK_MS)) == 0) {
		struct model_entry told;
		if (ask_models(e, &told, NULL) != 0 || !told.hash[0])
			continue;
		memcpy(e->entry.hash, told.hash, sizeof e->entry.hash);
		e->opt.changed(e->opt.arg);
	}
}

/* Until the child ends. */
static void stay(struct engine_provider *e, struct err *why)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	if (fiber_spawn(&sc, "hash", learn_hash, e, NULL) != 0)
		rt_log(LOG_WARN, "engine", "the model's file stays without a hash: no memory");
	int rc = mux_wait(e->mux, why);
	scope_close(&sc);
	if (rc != E_CANCELLED)
		death(e, why);
}

/* Starts a child and stays with it until it ends. */
static void live(struct engine_provider *e, struct err *why)
{
	int rc = start_child(e, why);
	if (rc == 0) {
		struct scope sc;
		scope_open(&sc, duration_ms(ENGINE_LOAD_LIMIT_MS));
		rc = ask_models(e, &e->entry, why);
		scope_close(&sc);
		if (rc == E_CLOSED || rc == E_RESET)
			rc = death(e, why);
	}
	settle(e, rc, why);
	if (rc == 0) {
		set_ready(e, true, NULL);
		rt_log(LOG_INFO, "engine", "model %s is ready (context %u tokens)", e->entry.id,
		    e->entry.n_ctx);
		stay(e, why);
	}
	struct mux *mux = e->mux;
	e->mux = NULL;
	if (e->ready)
		set_ready(e, false, why);
	/* Inferences under way end with E_RESET and let go of it. */
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(EXIT_LIMIT_MS));
	if (mux)
		mux_close(mux);
	scope_close(&sc);
	if (e->process)
		process_close(e->process);
	e->process = NULL;
}

static void keeper(void *arg)
{
	struct engine_provider *e = arg;
	int64_t pause_ms = RESTART_FIRST_MS;
	for (;;) {
		struct err why = {0};
		struct instant born = rt_now();
		live(e, &why);
		if (scope_check(NULL) != 0 || e->first.code)
			return;
		if (duration_to_ms(instant_since(rt_now(), born)) > STEADY_MS)
			pause_ms = RESTART_FIRST_MS;
		rt_log(LOG_ERROR, "engine", "%s; starting it again in %lld ms", err_text(&why),
		    (long long)pause_ms);
		if (fiber_sleep(duration_ms(pause_ms)) != 0)
			return;
		pause_ms = pause_ms * 2 < RESTART_MAX_MS ? pause_ms * 2 : RESTART_MAX_MS;
	}
}

/* ---- the provider -------------------------------------------------------------------------- */

static int open_stream(struct engine_provider *e, struct stream **out, struct err *err)
{
	if (!e->ready)
		return err_set(err, E_UNAVAILABLE, "the engine is not ready: %s", e->reason);
	int rc = mux_open(e->mux, out, err);
	return rc ? err_wrap(err, rc, "engine") : 0;
}

static int engine_infer(struct provider *base, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	struct engine_provider *e = (struct engine_provider *)base;
	struct stream *s;
	int rc = open_stream(e, &s, err);
	if (rc)
		return rc;
	return upstream_infer_once(s, &engine_server, req, ctx, emit, arg, err);
}

static int engine_embed(struct provider *base, const struct embedding_request *req,
    const struct request_context *ctx, void *mem, struct embedding_result *out, struct err *err)
{
	struct engine_provider *e = (struct engine_provider *)base;
	struct stream *s;
	int rc = open_stream(e, &s, err);
	if (rc)
		return rc;
	return upstream_embed_once(s, &engine_server, req, ctx, mem, out, err);
}

static void engine_status(struct provider *base, struct provider_status *out)
{
	struct engine_provider *e = (struct engine_provider *)base;
	*out = (struct provider_status){.health = e->ready ? PROVIDER_HEALTHY : PROVIDER_UNHEALTHY};
	snprintf(out->reason, sizeof out->reason, "%s", e->reason);
}

static const struct model_entry *engine_models(struct provider *base, size_t *n)
{
	struct engine_provider *e = (struct engine_provider *)base;
	*n = e->entry.id[0] ? 1 : 0;
	return &e->entry;
}

static void engine_close(struct provider *base)
{
	struct engine_provider *e = (struct engine_provider *)base;
	scope_close(&e->scope);
	free(e->model);
	free(e);
}

static const struct provider_ops engine_ops = {
    .kind = "engine",
    .infer = engine_infer,
    .embed = engine_embed,
    .status = engine_status,
    .models = engine_models,
    .close = engine_close,
};

int engine_provider_new(
    const struct engine_provider_options *opt, struct provider **out, struct err *err)
{
	struct engine_provider *e = calloc(1, sizeof *e);
	if (!e || !(e->model = strdup(opt->model))) {
		free(e);
		return err_set(err, E_MEMORY, "no memory for the engine");
	}
	e->provider.ops = &engine_ops;
	e->provider.name = "engine";
	e->opt = *opt;
	snprintf(e->threads, sizeof e->threads, "%u", opt->threads);
	snprintf(e->n_ctx, sizeof e->n_ctx, "%u", opt->n_ctx);
	scope_init(&e->scope, NULL);
	int rc = fiber_spawn(&e->scope, "engine", keeper, e, err);
	while (rc == 0 && !e->settled)
		rc = waitq_wait(&e->settle, err);
	if (rc == 0 && e->first.code)
		rc = err_copy(err, &e->first);
	if (rc) {
		engine_close(&e->provider);
		return rc;
	}
	*out = &e->provider;
	return 0;
}
