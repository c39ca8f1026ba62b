/* What the proxy's files share. */
#ifndef GATEWAY_PROXY_PRIV_H
#define GATEWAY_PROXY_PRIV_H

#include "gateway/proxy.h"

/* A header that steers: *out is NULL when it is absent. E_INVALID when it is empty or repeated. */
int proxy_header(
    const struct http_head *head, const char *name, const char **out, struct err *err) WARN_UNUSED;
/* Whether a node is known and a service could be called so. E_NOT_FOUND, E_INVALID. */
int proxy_check(
    struct proxy *p, const char *node, const char *service, struct err *err) WARN_UNUSED;
struct world *proxy_world(const struct proxy *p);

#endif
