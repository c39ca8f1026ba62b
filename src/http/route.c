/* Routes are tried in order; tables are short. */
#include "http/route.h"

static bool path_fits(const char *pattern, const char *path)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, path, n - 1) == 0;
	return strcmp(pattern, path) == 0;
}

static bool method_fits(const char *allowed, const char *method)
{
	return strcmp(allowed, method) == 0 ||
	       (strcmp(allowed, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

int http_route(
    struct http_exchange *x, const struct http_route *routes, size_t n, void *arg, struct err *err)
{
	const struct http_head *head = http_request(x);
	const char *path = http_head_path(head);
	struct buf allow = BUF_INIT(256);

	for (size_t i = 0; i < n; i++) {
		if (!path_fits(routes[i].path, path))
			continue;
		if (method_fits(routes[i].method, head->method)) {
			buf_free(&allow);
			return routes[i].handle(x, arg, err);
		}
		buf_printf(&allow, "%s%s%s", allow.n ? ", " : "", routes[i].method,
		    strcmp(routes[i].method, "GET") == 0 ? ", HEAD" : "");
	}
	if (allow.n == 0)
		return err_set(err, E_NOT_FOUND, "no such path: %.128s", path);
	http_response_header(x, "Allow", buf_cstr(&allow));
	buf_free(&allow);
	return err_set(err, E_METHOD, "%s is not allowed for %.128s", head->method, path);
}
