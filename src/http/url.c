/* See url.h. */
#include "http/url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int invalid(struct err *err, const char *text, const char *why)
{
	return err_set(err, E_INVALID, "\"%.120s\" is no address of a server: %s", text, why);
}

static const char *scheme(const char *text, struct http_url *out)
{
	if (strncasecmp(text, "http://", 7) == 0)
		return text + 7;
	out->tls = true;
	return strncasecmp(text, "https://", 8) == 0 ? text + 8 : NULL;
}

/* "host", "host:80", "[::1]:80" */
static bool split_authority(struct http_url *out, const char *p, size_t n)
{
	bool bracketed = n > 0 && p[0] == '[';
	const char *end = bracketed ? memchr(p, ']', n) : memchr(p, ':', n);
	size_t host_n = end ? (size_t)(end - p) : n;
	if (bracketed && !end)
		return false;
	const char *rest = bracketed ? end + 1 : p + host_n;
	size_t rest_n = n - (size_t)(rest - p);
	p += bracketed;
	host_n -= bracketed;
	if (host_n == 0 || host_n >= URL_HOST_MAX)
		return false;
	memcpy(out->host, p, host_n);
	out->host[host_n] = '\0';
	out->port = out->tls ? 443 : 80;
	if (rest_n == 0)
		return true;
	unsigned long port = 0;
	for (size_t i = 1; i < rest_n; i++) {
		if (!isdigit((unsigned char)rest[i]) || port > UINT16_MAX)
			return false;
		port = port * 10 + (unsigned long)(rest[i] - '0');
	}
	out->port = (uint16_t)port;
	return rest[0] == ':' && rest_n > 1 && port > 0 && port <= UINT16_MAX;
}

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f ||
		    strchr("\"<>\\^`{|}", *text))
			return false;
	return true;
}

int http_url_parse(const char *text, struct http_url *out, struct err *err)
{
	*out = (struct http_url){.tls = false};
	const char *p = scheme(text, out);
	if (!p)
		return invalid(err, text, "it must begin with http:// or https://");
	if (!is_plain(p))
		return invalid(err, text, "it has characters that belong into no URL");
	if (strpbrk(p, "?#"))
		return invalid(err, text, "it must have no query and no fragment");
	size_t n = strcspn(p, "/"), path_n = strlen(p + n);
	if (memchr(p, '@', n))
		return invalid(err, text, "keys and passwords do not belong into it");
	if (!split_authority(out, p, n))
		return invalid(err, text, "it has no valid host and port");
	while (path_n > 0 && p[n + path_n - 1] == '/')
		path_n--;
	if (path_n >= sizeof out->path)
		return invalid(err, text, "its path is too long");
	memcpy(out->path, p + n, path_n);
	snprintf(out->authority, sizeof out->authority, "%.*s", (int)n, p);
	return 0;
}
