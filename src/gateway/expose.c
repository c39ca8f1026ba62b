/* Exposed services: see expose.h. */
#include "gateway/expose.h"

#include <stdio.h>
#include <string.h>

#define LETTERS_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool expose_name_ok(const char *name)
{
	size_t n = strspn(name, LETTERS_DIGITS "._-");
	return n > 0 && n < EXPOSE_NAME_MAX && name[n] == '\0' &&
	       strchr(LETTERS_DIGITS, name[0]) != NULL;
}

/* ::ffff:10.0.0.1 is 10.0.0.1 to the system. */
static struct netaddr unmapped(const struct netaddr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
	struct netaddr out = *a;
	if (a->family == NET_IP6 && memcmp(a->ip, prefix, sizeof prefix) == 0) {
		out.family = NET_IP4;
		memcpy(out.ip, a->ip + 12, 4);
	}
	return out;
}

static bool is_private(const struct netaddr *a)
{
	const uint8_t *ip = a->ip;
	if (a->family == NET_IP6)
		return (ip[0] & 0xfe) == 0xfc;
	return ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
	       (ip[0] == 192 && ip[1] == 168);
}

int expose_address_check(const struct netaddr *a, struct err *err)
{
	struct netaddr plain = unmapped(a);
	char text[NETADDR_TEXT_MAX];
	if (netaddr_is_loopback(&plain) || is_private(&plain))
		return 0;
	netaddr_print(a, text);
	return err_set(err, E_FORBIDDEN,
	    "%s is neither on this machine (127.0.0.1, ::1) nor on a private network", text);
}

/* The nodes behind '@', with '+' between them. */
static int parse_only(const char *list, size_t n, struct exposure *out, struct err *err)
{
	const char *end = list + n;
	while (list <= end) {
		size_t one = strcspn(list, "+=");
		if (one == 0 || one >= EXPOSE_WHO_MAX || strspn(list, LETTERS_DIGITS "._-") < one)
			return err_set(err, E_INVALID,
			    "\"%.*s\" names no nodes: NODE+NODE after '@'", (int)n, end - n);
		if (out->n_only == EXPOSE_ONLY_MAX)
			return err_set(
			    err, E_INVALID, "%s: more than %d nodes", out->name, EXPOSE_ONLY_MAX);
		memcpy(out->only[out->n_only], list, one);
		out->only[out->n_only++][one] = '\0';
		list += one + 1;
	}
	return 0;
}

static int check_url(const char *text, struct exposure *out, struct err *err)
{
	struct netaddr ip;
	int rc = http_url_parse(text, &out->url, err);
	if (rc)
		return rc;
	if (out->url.path[0])
		return err_set(err, E_INVALID,
		    "%s: a service is exposed whole: its address has no path", out->name);
	if (netaddr_parse_ip(out->url.host, &ip, NULL) != 0)
		return 0; /* a name: judged when it is resolved */
	ip.port = out->url.port;
	rc = expose_address_check(&ip, err);
	return rc ? err_set(err, E_INVALID, "%s: %s", out->name, err ? err_text(err) : "") : 0;
}

int expose_parse(const char *text, struct exposure *out, struct err *err)
{
	size_t n = strcspn(text, "@="), who = 0;
	*out = (struct exposure){.n_only = 0};
	if (n < sizeof out->name)
		memcpy(out->name, text, n);
	if (!expose_name_ok(out->name) || !text[n])
		return err_set(err, E_INVALID,
		    "\"%.64s\" exposes nothing: the form is NAME=http://127.0.0.1:PORT or "
		    "NAME@NODE+NODE=URL",
		    text);
	if (text[n] == '@') {
		who = strcspn(text + n, "=");
		if (!text[n + who])
			return err_set(
			    err, E_INVALID, "%s: no address behind the nodes", out->name);
		int rc = parse_only(text + n + 1, who - 1, out, err);
		if (rc)
			return rc;
	}
	return check_url(text + n + who + 1, out, err);
}
