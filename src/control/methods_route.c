/* Methods about who answers: providers, and the choice between them. */
#include "control/control_priv.h"

#include "crypto/hash.h"

#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define DECISION_MAX (1u << 20)

/* ---- route.explain --------------------------------------------------------------------------- */

/* A prompt is welcome, but the choice does without. */
static int read_request(const json_t *params, struct inference_request **req, struct err *err)
{
	json_t *copy = params ? json_copy((json_t *)(uintptr_t)params) : json_object();
	if (!json_object_get(copy, "prompt"))
		json_object_set_new(copy, "prompt", json_string(""));
	int rc = control_read_request(copy, req, err);
	json_decref(copy);
	return rc;
}

int control_route_explain(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	struct inference_request *req;
	const char *strategy = json_get_string(params, "strategy", NULL);
	struct job job = {.target_node = json_get_string(params, "target", NULL),
	    .has_strategy = strategy != NULL};
	if (strategy && !schedule_strategy_parse(strategy, &job.strategy))
		return err_set(err, E_INVALID,
		    "\"%.32s\" is no strategy: prefer-local, local-only, load-balance, cheapest or "
		    "fastest",
		    strategy);
	int rc = read_request(params, &req, err);
	if (rc)
		return rc;
	job.req = req;
	struct buf text = BUF_INIT(DECISION_MAX);
	rc = jobs_explain(c->opt.jobs, &job, &text, err);
	if (rc == 0)
		rc = json_read(buf_view(&text), result, err);
	buf_free(&text);
	talloc_free(req);
	return rc;
}

/* ---- providers ------------------------------------------------------------------------------- */

static const char *health_name(enum provider_health h)
{
	switch (h) {
	case PROVIDER_HEALTHY:
		return "healthy";
	case PROVIDER_DEGRADED:
		return "degraded";
	case PROVIDER_STARTING:
		return "starting";
	case PROVIDER_UNHEALTHY:
		return "unhealthy";
	}
	return "";
}

static json_t *models_json(const struct catalog_entry *e)
{
	size_t n;
	const struct model_entry *models = provider_models(e->provider, &n);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(models[i].id));
	return list;
}

static void add_server(void *arg, const struct fleet_server *s)
{
	json_t *list = arg;
	json_array_append_new(list,
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:o}", "name",
		s->spec.name, "kind", s->spec.kind, "url", s->spec.url, "health",
		health_name(s->status.health), "reason", s->status.reason, "breaker",
		jobs_breaker(s->entry), "found", s->found, "shared", s->spec.shared, "key",
		s->key_tail, "price_in_msat", (json_int_t)s->spec.price_in_msat, "price_out_msat",
		(json_int_t)s->spec.price_out_msat, "models", models_json(s->entry)));
}

int control_providers_list(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)params;
	(void)notify;
	(void)err;
	*result = json_array();
	fleet_each(c->opt.fleet, add_server, *result);
	return 0;
}

static int read_text(const json_t *params, const char *key, char *out, size_t cap, struct err *err)
{
	const char *text = json_get_string(params, key, "");
	if (strlen(text) >= cap)
		return err_set(err, E_INVALID, "%s: longer than %zu bytes", key, cap - 1);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int read_spec(const json_t *params, struct fleet_spec *spec, struct err *err)
{
	*spec = (struct fleet_spec){
	    .shared = json_get_bool(params, "shared", false),
	    .price_in_msat = json_get_int(params, "price_in_msat", 0),
	    .price_out_msat = json_get_int(params, "price_out_msat", 0),
	};
	int rc = read_text(params, "name", spec->name, sizeof spec->name, err);
	if (rc == 0)
		rc = read_text(params, "kind", spec->kind, sizeof spec->kind, err);
	if (rc == 0)
		rc = read_text(params, "url", spec->url, sizeof spec->url, err);
	if (rc == 0)
		rc = read_text(params, "key", spec->key, sizeof spec->key, err);
	if (rc == 0 && (spec->price_in_msat < 0 || spec->price_out_msat < 0))
		rc = err_set(err, E_INVALID, "a price is not negative");
	return rc;
}

int control_providers_add(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	struct fleet_spec spec;
	int rc = read_spec(params, &spec, err);
	if (rc == 0)
		rc = fleet_add(c->opt.fleet, &spec, err);
	secret_wipe(spec.key, sizeof spec.key);
	return rc ? rc : control_providers_list(c, params, NULL, result, err);
}

int control_providers_remove(struct control *c, const json_t *params,
    const struct rpc_notify *notify, json_t **result, struct err *err)
{
	(void)notify;
	int rc = fleet_remove(c->opt.fleet, json_get_string(params, "name", ""), err);
	if (rc == 0)
		*result = json_object();
	return rc;
}

int control_providers_refresh(struct control *c, const json_t *params,
    const struct rpc_notify *notify, json_t **result, struct err *err)
{
	(void)notify;
	fleet_refresh(c->opt.fleet);
	return control_providers_list(c, params, NULL, result, err);
}
