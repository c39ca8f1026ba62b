/* A server at an address as a provider: Ollama, LM Studio, llama.cpp, vLLM, exo, a vendor in the
 * cloud. Its list of models is fetched in the background and answered from memory; it is healthy
 * when the latest look at it went well, degraded after one failed look, unhealthy after more. What
 * it listed last stays known. */
#ifndef PROVIDER_REMOTE_H
#define PROVIDER_REMOTE_H

#include "dialect/dialect.h"
#include "http/url.h"
#include "provider/provider.h"

struct tls_context;

#define REMOTE_REFRESH_MS                                                                          \
	30000 /* between looks while healthy; sooner and then later after a failure */
#define REMOTE_NAME_MAX 64
#define REMOTE_KEY_MAX  512

struct remote_options {
	struct world *world;
	const char *kind; /* "ollama", "openai", … static text */
	const char *name; /* for people; copied */
	struct http_url url;
	const struct upstream *dialect;
	const char *key;         /* copied; NULL or "": none. Never logged or shown */
	struct tls_context *tls; /* for https; borrowed */
	struct scope *scope;     /* of its background work: above its own */
	/* Called when the models or the health change; must not park. */
	void (*changed)(void *arg);
	void *arg;
};

/* Starts looking at it at once, without waiting for that. E_MEMORY, E_LIMIT. */
int remote_provider_new(
    const struct remote_options *opt, struct provider **out, struct err *err) WARN_UNUSED;

/* Looks again now instead of when it is due. */
void remote_provider_refresh(struct provider *p);

/* `changed` is not called any more: for an owner that goes while the provider is still in use. */
void remote_provider_detach(struct provider *p);

/* The address it was made for, without its key. */
const struct http_url *remote_provider_url(const struct provider *p);

#endif
