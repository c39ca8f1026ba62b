/* Browsers: whose pages may use this node. SPEC Fetch, "CORS protocol". Pure decisions, no I/O.
 *
 * A page may use it when it comes from this machine (localhost, a loopback address), from this node
 * itself, or from an origin that the owner has named. The Host header must be localhost or an
 * address, so that no foreign name can be made to point here (DNS rebinding). Origins are answered
 * by name, never with "*", and credentials are never allowed. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "base/err.h"
#include "http/message.h"

#include <stdbool.h>
#include <stddef.h>

#define CORS_ORIGIN_MAX  256 /* bytes of an origin, with its NUL */
#define CORS_ORIGINS_MAX 16

struct cors_policy {
	const char (*origins)[CORS_ORIGIN_MAX]; /* named by the owner; borrowed */
	size_t n;
};

/* Whether `text` can be named as an origin: scheme://host[:port], or "null" (files, sandboxed
 * frames). E_INVALID, with the form that it should have. */
int cors_origin_check(const char *text, struct err *err) WARN_UNUSED;

/* The host that a request is for, NULL without one; an absolute target's is copied to `out`. */
const char *cors_host(const struct http_head *head, char out[CORS_ORIGIN_MAX]);

/* Whether a request with these headers (NULL: absent) may be served. E_FORBIDDEN. A request without
 * an origin is not a page's. */
int cors_check(const struct cors_policy *policy, const char *host, const char *origin,
    struct err *err) WARN_UNUSED;

/* What a page may send, and may read of an answer; how long a browser may remember it. */
#define CORS_METHODS "GET, HEAD, POST, OPTIONS"
#define CORS_HEADERS                                                                               \
	"authorization, content-type, openai-organization, openai-project, openai-beta, "          \
	"x-stainless-lang, x-stainless-package-version, x-stainless-os, x-stainless-arch, "        \
	"x-stainless-runtime, x-stainless-runtime-version, x-stainless-retry-count, "              \
	"x-stainless-timeout, x-stainless-helper-method, x-api-key, anthropic-version, "           \
	"anthropic-beta, anthropic-dangerous-direct-browser-access, x-request-id, "                \
	"x-target-node, x-gate-service, x-gate-key, x-gate-deadline-ms, x-explain"
#define CORS_EXPOSED                                                                               \
	"x-request-id, request-id, x-served-by, x-served-by-label, x-explain, retry-after"
#define CORS_MAX_AGE_S "600"

#endif
