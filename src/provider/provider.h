/* Providers: everything that answers. The embedded engine, a peer, later Ollama, LM Studio, any
 * OpenAI-compatible server, a market. One small interface; routing, retry and failover are written
 * once, against it. */
#ifndef PROVIDER_PROVIDER_H
#define PROVIDER_PROVIDER_H

#include "dialect/inference.h"
#include "rt/world.h"

struct provider;

/* What travels along with a request from node to node. The remaining time is the scope's. */
struct request_context {
	char request_id[64]; /* "req_…"; the same at every node it touches */
	unsigned hops;       /* nodes it has passed already */
};

/* A request is forwarded at most this often. */
#define HOPS_MAX 4

enum provider_health {
	PROVIDER_HEALTHY,
	PROVIDER_DEGRADED, /* answers, but badly: the last resort */
	PROVIDER_STARTING,
	PROVIDER_UNHEALTHY
};

struct provider_status {
	enum provider_health health;
	char reason[160]; /* why it is not healthy; "" otherwise */
};

struct provider_ops {
	const char *kind; /* "engine", "peer" */
	int (*infer)(struct provider *p, const struct inference_request *req,
	    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err);
	void (*status)(struct provider *p, struct provider_status *out);
	const struct model_entry *(*models)(struct provider *p, size_t *n);
	void (*close)(struct provider *p);
	/* NULL: it makes no embeddings. */
	int (*embed)(struct provider *p, const struct embedding_request *req,
	    const struct request_context *ctx, void *mem, struct embedding_result *out,
	    struct err *err);
};

/* Implementations embed this first. */
struct provider {
	const struct provider_ops *ops;
	const char *name; /* for people and logs; owned by the implementation */
};

/* [parks] Runs one inference to its end: events go to `emit` in the calling fiber, the last is
 * INFERENCE_FINISHED and 0 is returned. On an error no FINISHED was emitted; whether any TEXT was
 * tells the caller whether another provider may be tried. Cancelling the calling scope stops the
 * work at its source. E_MODEL_NOT_FOUND, E_CONTEXT_LENGTH, E_INVALID (the request), E_BUSY,
 * E_UNAVAILABLE, E_CLOSED or E_RESET (it died), E_UPSTREAM, E_TIMEOUT, E_CANCELLED, or what `emit`
 * returned. */
static inline int provider_infer(struct provider *p, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	return p->ops->infer(p, req, ctx, emit, arg, err);
}

/* [parks] One vector for each input; out->values is a talloc child of `mem`. Errors as
 * provider_infer. */
static inline int provider_embed(struct provider *p, const struct embedding_request *req,
    const struct request_context *ctx, void *mem, struct embedding_result *out, struct err *err)
{
	if (!p->ops->embed)
		return err_set(err, E_UNSUPPORTED, "%s makes no embeddings", p->name);
	return p->ops->embed(p, req, ctx, mem, out, err);
}

/* Never parks: what is known now. */
static inline void provider_status(struct provider *p, struct provider_status *out)
{
	p->ops->status(p, out);
}

/* Never parks: the models it serves, borrowed until the caller parks. */
static inline const struct model_entry *provider_models(struct provider *p, size_t *n)
{
	return p->ops->models(p, n);
}

/* [parks] Ends what runs on it and frees it. */
static inline void provider_close(struct provider *p)
{
	if (p)
		p->ops->close(p);
}

#endif
