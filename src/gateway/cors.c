/* Whose pages may use this node: see cors.h. */
#include "gateway/cors.h"

#include "rt/world.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 64 /* of a host that can be one of ours */
#define LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

#define DIGITS "0123456789"

/* Nothing, or a colon and a port. */
static bool is_port(const char *p)
{
	return !*p || (p[0] == ':' && p[1 + strspn(p + 1, DIGITS)] == '\0');
}

/* The host of "127.0.0.1:31145", "[::1]", "localhost:8080". */
static bool host_of(const char *authority, char out[HOST_MAX])
{
	bool bracket = authority[0] == '[';
	const char *start = authority + bracket;
	size_t n = strcspn(start, bracket ? "]" : ":");
	if (n >= HOST_MAX || (bracket && start[n] != ']') || !is_port(start + n + bracket))
		return false;
	memcpy(out, start, n);
	out[n] = '\0';
	return true;
}

static bool is_loopback(const struct netaddr *ip)
{
	static const uint8_t one[16] = {[15] = 1};
	return ip->family == NET_IP4 ? ip->ip[0] == 127 : memcmp(ip->ip, one, sizeof one) == 0;
}

/* localhost or an address; of this machine's own kind alone when `loopback` is asked for. */
static bool is_local(const char *authority, bool loopback)
{
	char name[HOST_MAX];
	struct netaddr ip;
	if (!host_of(authority, name))
		return false;
	if (strcasecmp(name, "localhost") == 0)
		return true;
	return netaddr_parse_ip(name, &ip, NULL) == 0 && (!loopback || is_loopback(&ip));
}

/* SPEC RFC 6454, section 7: scheme "://" host [":" port], nothing behind it. */
int cors_origin_check(const char *text, struct err *err)
{
	size_t scheme = strspn(text, LETTERS "+");
	const char *host = text + scheme + 3; /* once "://" has been seen */
	if (strcmp(text, "null") == 0)
		return 0;
	if (strcmp(text, "*") == 0)
		return err_set(err, E_INVALID,
		    "\"*\" would let every page use this node: name the origins, like "
		    "https://chat.example");
	if (scheme > 0 && strncmp(text + scheme, "://", 3) == 0 && host[0] &&
	    host[strspn(host, LETTERS "_:[]")] == '\0' && strlen(text) < CORS_ORIGIN_MAX)
		return 0;
	return err_set(err, E_INVALID,
	    "\"%.128s\" is no origin: scheme://host or scheme://host:port, without a path, like "
	    "https://chat.example",
	    text);
}

static bool may_use(const struct cors_policy *policy, const char *host, const char *origin)
{
	const char *scheme = strstr(origin, "://");
	for (size_t i = 0; i < policy->n; i++)
		if (strcasecmp(policy->origins[i], origin) == 0)
			return true;
	if (!scheme)
		return false;
	return is_local(scheme + 3, true) || (host && strcasecmp(scheme + 3, host) == 0);
}

/* SPEC RFC 9112, section 3.2.2: the host of an absolute target replaces that of the header. */
const char *cors_host(const struct http_head *head, char out[CORS_ORIGIN_MAX])
{
	const char *target = http_head_target(head), *host = strstr(target, "://");
	if (target[0] == '/' || !host)
		return http_head_get(head, "host");
	host += strlen("://");
	snprintf(out, CORS_ORIGIN_MAX, "%.*s", (int)strcspn(host, "/?#"), host);
	return out;
}

int cors_check(
    const struct cors_policy *policy, const char *host, const char *origin, struct err *err)
{
	if (host && host[0] && !is_local(host, false))
		return err_set(err, E_FORBIDDEN,
		    "the Host header names neither localhost nor an address of this machine");
	if (origin && !may_use(policy, host, origin))
		return err_set(err, E_FORBIDDEN,
		    "pages of %.128s may not use this node (gate start --cors-origin allows them)",
		    origin);
	return 0;
}
