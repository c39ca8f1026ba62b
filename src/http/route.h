/* A table of routes: method and path to handler. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "http/server.h"

struct http_route {
	const char *method; /* "GET" also answers HEAD */
	const char *path;   /* exact, or with a final "*" everything that begins so */
	int (*handle)(struct http_exchange *x, void *arg, struct err *err);
};

/* Calls the first route that fits. E_NOT_FOUND for an unknown path; E_METHOD for a known path with
 * another method, with the Allow header set. */
int http_route(struct http_exchange *x, const struct http_route *routes, size_t n, void *arg,
    struct err *err) WARN_UNUSED;

#endif
