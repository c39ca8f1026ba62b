/* The guard: which right an HTTP request needs, and whether its sender has it. Every path is
 * guarded but GET /health and a browser's preflight. */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include "access/access.h"
#include "http/server.h"

/* The rights (of enum access_right) that a request for this path needs; 0: to be known at all. */
unsigned guard_rights(const char *path);
/* Whether the path is open to everybody. */
bool guard_is_open(const char *method, const char *path);

/* The key of `Authorization: Bearer` or, without that, of `x-api-key`; NULL: none. Borrowed. */
const char *guard_bearer(const struct http_head *head);

/* Asks access about this exchange; `who` without its bearer. What the answer needs to say then
 * (WWW-Authenticate, Retry-After) is added to it. `a` NULL: everything is allowed. On 0 the
 * grant is to be given back. Errors are access_check's. */
int guard_check(struct access *a, struct access_caller who, struct http_exchange *x,
    struct access_grant *out, struct err *err) WARN_UNUSED;

/* The same for what is known once the body was read. */
int guard_reserve(
    struct access_grant *g, const char *model, int64_t tokens, struct err *err) WARN_UNUSED;

#endif
