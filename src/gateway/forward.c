/* Headers of messages that are passed on: see forward.h. */
#include "gateway/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names --------------------------------------------------------------------------------- */

static char folded(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 32);
	return c == '_' ? '-' : c;
}

/* Whether `name` is `known` (lower case), or with a final '*' begins so. */
static bool is_called(const char *name, const char *known)
{
	for (; *known && *known != '*'; name++, known++)
		if (folded(*name) != *known)
			return false;
	return *known == '*' || *name == '\0';
}

static bool is_any(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (is_called(name, *list))
			return true;
	return false;
}

/* SPEC RFC 9110, section 7.6.1; RFC 9112, section 6. Content-Length, Upgrade and Expect are made
 * anew; what a proxy is told about itself is not for those behind it. */
static const char *const per_hop[] = {"connection", "proxy-connection", "keep-alive", "te",
    "trailer", "transfer-encoding", "content-length", "upgrade", "http2-settings", "expect",
    "proxy-authorization", "proxy-authenticate", "proxy-authentication-info", NULL};

/* What this node says of a request, and nobody else. */
static const char *const vouched[] = {"host", "x-gate-*", "x-target-node", "x-forwarded-*",
    "forwarded", "x-real-ip", "x-client-ip", "true-client-ip", NULL};

static const char *const answer_vouched[] = {"x-gate-*", NULL};

static const char *const cors[] = {"access-control-allow-origin",
    "access-control-allow-credentials", "access-control-expose-headers", NULL};

/* Named by the sender as meant for us alone. */
static bool is_named_per_hop(const struct http_head *in, const char *name)
{
	return http_head_has_token(in, "connection", name);
}

static void add(struct forward_headers *out, const char *name, const char *value)
{
	if (out->n < sizeof out->list / sizeof *out->list)
		out->list[out->n++] = (struct http_header){name, value};
}

/* ---- Via ----------------------------------------------------------------------------------- */

void forward_via(const char *node_id, char out[FORWARD_VIA_MAX])
{
	snprintf(out, FORWARD_VIA_MAX, "gate-%.16s", node_id);
}

bool forward_looped(const struct http_head *request, const char *via)
{
	for (size_t i = 0; i < request->n_fields; i++)
		if (is_called(http_field_name(request, i), "via") &&
		    strstr(http_field_value(request, i), via))
			return true;
	return false;
}

/* ---- Upgrade ------------------------------------------------------------------------------- */

/* SPEC RFC 9110, section 7.8. */
void forward_upgrade(const struct http_head *request, char out[FORWARD_UPGRADE_MAX])
{
	static const char *const versions[] = {"h2c*", "http*", "tls*", NULL};
	const char *value = http_head_get(request, "upgrade");
	out[0] = '\0';
	if (!value || request->minor == 0 || request->content_length != 0 ||
	    http_head_count(request, "upgrade") != 1 || strlen(value) >= FORWARD_UPGRADE_MAX ||
	    !http_head_has_token(request, "connection", "upgrade"))
		return;
	for (const char *p = value; *p; p += strcspn(p, ","), p += strspn(p, ", \t"))
		if (is_any(p, versions))
			return;
	memcpy(out, value, strlen(value) + 1);
}

bool forward_upgrade_agreed(const struct http_head *answer, const char *upgrade)
{
	const char *value = http_head_get(answer, "upgrade");
	size_t n = value ? strlen(value) : 0;
	if (n == 0 || !upgrade[0] || http_head_count(answer, "upgrade") != 1)
		return false;
	for (const char *p = upgrade; *p; p += strcspn(p, ","), p += strspn(p, ", \t"))
		if (strncasecmp(p, value, n) == 0 && (p[n] == '\0' || strchr(", \t", p[n])))
			return true;
	return false;
}

/* ---- requests ------------------------------------------------------------------------------ */

/* "http://127.0.0.1:9000" where that is how the client came here. */
static bool is_own_origin(const struct forward_hop *hop, const char *origin, size_t n)
{
	size_t proto = strlen(hop->proto), host = strlen(hop->host);
	return host > 0 && n == proto + 3 + host && strncmp(origin, hop->proto, proto) == 0 &&
	       strncmp(origin + proto, "://", 3) == 0 &&
	       strncasecmp(origin + proto + 3, hop->host, host) == 0;
}

/* SPEC RFC 7239: an obfuscated identifier begins with '_'. A service that trusts what comes from
 * its own machine must not take peers for that. */
static void add_origin_of_request(const struct forward_hop *hop, struct forward_headers *out)
{
	int n = snprintf(out->forwarded, sizeof out->forwarded, "for=_%.64s;proto=%.8s",
	    hop->asker[0] ? hop->asker : "owner", hop->proto);
	if (hop->host[0])
		snprintf(out->forwarded + n, sizeof out->forwarded - (size_t)n, ";host=\"%s\"",
		    hop->host);
	add(out, "Forwarded", out->forwarded);
	if (hop->ip[0])
		add(out, "X-Forwarded-For", hop->ip);
	if (hop->asker[0])
		add(out, "X-Gate-Node", hop->asker);
}

static void add_own(const struct forward_hop *hop, struct forward_headers *out)
{
	snprintf(out->via, sizeof out->via, "1.1 %s", hop->via);
	add(out, "Via", out->via);
	add(out, "X-Forwarded-Proto", hop->proto);
	if (hop->host[0])
		add(out, "X-Forwarded-Host", hop->host);
	if (hop->to == FORWARD_TO_NODE)
		add(out, "X-Gate-Service", hop->service);
	else
		add_origin_of_request(hop, out);
	if (hop->expect)
		add(out, "Expect", "100-continue");
	if (hop->upgrade[0]) {
		add(out, "Connection", "Upgrade");
		add(out, "Upgrade", hop->upgrade);
	}
}

void forward_request(
    const struct http_head *in, const struct forward_hop *hop, struct forward_headers *out)
{
	out->n = 0;
	for (size_t i = 0; i < in->n_fields; i++) {
		const char *name = http_field_name(in, i), *value = http_field_value(in, i);
		if (is_any(name, per_hop) || is_any(name, vouched) || is_named_per_hop(in, name))
			continue;
		/* Services compare it with their Host, which is another one than the client's. */
		if (hop->to == FORWARD_TO_SERVICE && is_called(name, "origin") &&
		    is_own_origin(hop, value, strlen(value)))
			value = hop->origin;
		add(out, name, value);
	}
	add_own(hop, out);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* A service that sends the client to its own address means the one by which the client came. */
static const char *location_of(
    const char *value, const struct forward_hop *hop, struct forward_headers *out)
{
	size_t n = strlen(hop->origin);
	if (strncasecmp(value, hop->origin, n) != 0 || (value[n] && !strchr("/?#", value[n])))
		return value;
	if (!hop->host[0])
		return value[n] ? value + n : "/";
	int length = snprintf(
	    out->location, sizeof out->location, "%s://%s%s", hop->proto, hop->host, value + n);
	return length >= 0 && (size_t)length < sizeof out->location ? out->location : value;
}

void forward_answer(
    const struct http_head *in, const struct forward_hop *hop, struct forward_headers *out)
{
	out->n = 0;
	for (size_t i = 0; i < in->n_fields; i++) {
		const char *name = http_field_name(in, i), *value = http_field_value(in, i);
		if (is_any(name, per_hop) || is_any(name, answer_vouched) ||
		    is_named_per_hop(in, name) || (hop->own_cors && is_any(name, cors)))
			continue;
		if (hop->to == FORWARD_TO_SERVICE && is_called(name, "location"))
			value = location_of(value, hop, out);
		add(out, name, value);
	}
}

int64_t forward_told_length(const struct http_head *answer)
{
	const char *value = http_head_get(answer, "content-length");
	return value ? strtoll(value, NULL, 10) : HTTP_LENGTH_CHUNKED;
}
