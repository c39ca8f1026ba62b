/* A peer as a provider: the OpenAI dialect over a libp2p stream of protocol /http/1.1. */
#ifndef PROVIDER_PEER_H
#define PROVIDER_PEER_H

#include "p2p/p2p.h"
#include "provider/provider.h"

#define HTTP_OVER_P2P "/http/1.1"

/* `host` must outlive it. E_MEMORY. */
int peer_provider_new(struct p2p_host *host, const struct peer_id *id, const char *label,
    struct provider **out, struct err *err) WARN_UNUSED;

/* Replaces the list of models that the peer announced (copied). Keeps the old one without memory.
 */
void peer_provider_set_models(struct provider *p, const struct model_entry *models, size_t n);

#endif
