/* The guard: see guard.h. */
#include "gateway/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The first that fits; a final "*" stands for anything. */
static const struct {
	const char *path;
	unsigned rights;
} paths[] = {
    {"/v1/models*", ACCESS_MODELS},
    {"/api/tags", ACCESS_MODELS},
    {"/api/show", ACCESS_MODELS},
    {"/api/ps", ACCESS_MODELS},
    {"/api/version", 0},
    {"/v1/embeddings", ACCESS_EMBED},
    {"/api/embed*", ACCESS_EMBED},
    {"/v1/requests/*", 0}, /* whose record it is decides */
    {"/v1/*", ACCESS_INFER},
    {"/api/*", ACCESS_INFER},
};

static bool path_fits(const char *pattern, const char *path)
{
	size_t n = strlen(pattern);
	return pattern[n - 1] == '*' ? strncmp(path, pattern, n - 1) == 0
				     : strcmp(path, pattern) == 0;
}

unsigned guard_rights(const char *path)
{
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (path_fits(paths[i].path, path))
			return paths[i].rights;
	return 0;
}

bool guard_is_open(const char *method, const char *path)
{
	return strcmp(path, "/health") == 0 &&
	       (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
}

const char *guard_bearer(const struct http_head *head)
{
	static const char scheme[] = "Bearer ";
	const char *given = http_head_get(head, "authorization");
	if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0)
		return http_head_get(head, "x-api-key");
	given += sizeof scheme - 1;
	return given + strspn(given, " ");
}

/* RFC 9110, sections 10.2.3 and 11.6.1. */
static int refuse(struct http_exchange *x, const struct access_grant *g, int rc)
{
	char seconds[24];
	if (rc == E_UNAUTHORIZED)
		http_response_header(x, "WWW-Authenticate", "Bearer");
	if (rc == E_BUSY) {
		snprintf(
		    seconds, sizeof seconds, "%lld", (long long)(g->retry_after_ms + 999) / 1000);
		http_response_header(x, "Retry-After", seconds);
	}
	return rc;
}

int guard_check(struct access *a, struct access_caller who, struct http_exchange *x,
    struct access_grant *out, struct err *err)
{
	const struct http_head *head = http_request(x);
	const char *path = http_head_path(head);
	struct access_ask what = {.rights = guard_rights(path)};
	*out = (struct access_grant){0};
	if (!a || (!who.peer && guard_is_open(head->method, path)))
		return 0;
	who.bearer = guard_bearer(head);
	int rc = access_check(a, &who, &what, out, err);
	return rc ? refuse(x, out, rc) : 0;
}

int guard_reserve(struct access_grant *g, const char *model, int64_t tokens, struct err *err)
{
	return g->access ? access_reserve(g, model, tokens, err) : 0;
}
