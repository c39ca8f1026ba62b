/* Connections to one server that outlive their exchanges. A connection is taken, used for one
 * exchange, and given back; it is kept when the exchange ended in order.
 *
 * A kept connection may have been closed by the server meanwhile: whoever took one that was `used`
 * before and gets E_CLOSED or E_RESET with nothing of an answer (http_client_began) takes a fresh
 * one and tries again, once. */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

#include "http/client.h"
#include "http/url.h"
#include "rt/world.h"

struct tls_context;
struct http_pool; /* malloc */

#define HTTP_POOL_IDLE_MAX 64    /* connections kept */
#define HTTP_POOL_IDLE_MS  45000 /* for so long */

/* `tls` is needed for https URLs, and borrowed. E_MEMORY. */
int http_pool_new(struct world *w, const struct http_url *url, struct tls_context *tls,
    struct http_pool **out, struct err *err) WARN_UNUSED;
/* Closes what is kept; what is taken must have been given back. NULL is fine. */
void http_pool_free(struct http_pool *p);

const struct http_url *http_pool_url(const struct http_pool *p);

enum http_pool_wish {
	HTTP_POOL_ANY,
	HTTP_POOL_FRESH /* a new connection; those kept are stale and closed */
};

/* [parks] *used says whether it has served before. E_NOT_FOUND (no such name), E_REFUSED,
 * E_UNREACHABLE, E_TIMEOUT, TLS's errors. */
int http_pool_take(struct http_pool *p, enum http_pool_wish wish, struct http_client **out,
    bool *used, struct err *err) WARN_UNUSED;
void http_pool_give(struct http_pool *p, struct http_client *c);

#endif
