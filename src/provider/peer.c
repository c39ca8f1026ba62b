/* A peer as a provider. */
#include "provider/peer.h"

#include "dialect/openai.h"
#include "provider/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer_provider {
	struct provider provider;
	struct p2p_host *host;
	struct peer_id id;
	char name[64];
	char host_name[PEER_ID_TEXT_MAX];
	struct model_entry *models;
	size_t n_models;
};

static struct upstream_server server_of(const struct peer_provider *p)
{
	return (struct upstream_server){
	    .dialect = &gate_upstream, .host = p->host_name, .base_path = "", .node = true};
}

static int open_stream(struct peer_provider *p, const struct request_context *ctx,
    struct stream **out, struct err *err)
{
	if (ctx->hops >= HOPS_MAX)
		return err_set(err, E_LOOP, "the request has passed %u nodes already", ctx->hops);
	const char *protocols[] = {HTTP_OVER_P2P};
	int rc = p2p_open_stream(p->host, &p->id, protocols, 1, out, NULL, err);
	if (rc == E_UNSUPPORTED) /* it does not serve us: others may */
		rc = err_set(err, E_UNAVAILABLE, "it does not serve us at present");
	return rc;
}

static int peer_infer(struct provider *base, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	struct peer_provider *p = (struct peer_provider *)base;
	struct upstream_server server = server_of(p);
	struct stream *s;
	int rc = open_stream(p, ctx, &s, err);
	if (rc == 0)
		rc = upstream_infer_once(s, &server, req, ctx, emit, arg, err);
	return rc ? err_wrap(err, rc, "%s", p->name) : 0;
}

static int peer_embed(struct provider *base, const struct embedding_request *req,
    const struct request_context *ctx, void *mem, struct embedding_result *out, struct err *err)
{
	struct peer_provider *p = (struct peer_provider *)base;
	struct upstream_server server = server_of(p);
	struct stream *s;
	int rc = open_stream(p, ctx, &s, err);
	if (rc == 0)
		rc = upstream_embed_once(s, &server, req, ctx, mem, out, err);
	return rc ? err_wrap(err, rc, "%s", p->name) : 0;
}

static void peer_status(struct provider *base, struct provider_status *out)
{
	struct peer_provider *p = (struct peer_provider *)base;
	*out = (struct provider_status){.health = PROVIDER_HEALTHY};
	if (!p2p_connected(p->host, &p->id)) {
		out->health = PROVIDER_UNHEALTHY;
		snprintf(out->reason, sizeof out->reason, "not connected");
	}
}

static const struct model_entry *peer_models(struct provider *base, size_t *n)
{
	struct peer_provider *p = (struct peer_provider *)base;
	*n = p->n_models;
	return p->models;
}

static void peer_close(struct provider *base)
{
	struct peer_provider *p = (struct peer_provider *)base;
	free(p->models);
	free(p);
}

static const struct provider_ops peer_ops = {
    .kind = "peer",
    .infer = peer_infer,
    .embed = peer_embed,
    .status = peer_status,
    .models = peer_models,
    .close = peer_close,
};

int peer_provider_new(struct p2p_host *host, const struct peer_id *id, const char *label,
    struct provider **out, struct err *err)
{
	struct peer_provider *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for a peer");
	p->provider.ops = &peer_ops;
	p->provider.name = p->name;
	p->host = host;
	p->id = *id;
	snprintf(p->name, sizeof p->name, "%s", label);
	peer_id_print(id, p->host_name);
	*out = &p->provider;
	return 0;
}

void peer_provider_set_models(struct provider *base, const struct model_entry *models, size_t n)
{
	struct peer_provider *p = (struct peer_provider *)base;
	struct model_entry *copy = n ? malloc(n * sizeof *copy) : NULL;
	if (n && !copy)
		return;
	if (n)
		memcpy(copy, models, n * sizeof *copy);
	free(p->models);
	p->models = copy;
	p->n_models = n;
}
