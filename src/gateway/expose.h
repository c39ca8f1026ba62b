/* What this node lets members of its cluster use: HTTP services on this machine or its local
 * network, each under a name. Nothing is exposed unless the owner names it. Pure, no I/O. */
#ifndef GATEWAY_EXPOSE_H
#define GATEWAY_EXPOSE_H

#include "http/url.h"
#include "rt/world.h"

#define EXPOSES_MAX     32
#define EXPOSE_NAME_MAX 33  /* bytes of a name, with its NUL */
#define EXPOSE_WHO_MAX  72  /* of a node id, a peer id or a label */
#define EXPOSE_TEXT_MAX 896 /* of a whole setting */
#define EXPOSE_ONLY_MAX 16  /* nodes that one service may be restricted to */

struct exposure {
	char name[EXPOSE_NAME_MAX];
	struct http_url url; /* without a path */
	char only[EXPOSE_ONLY_MAX][EXPOSE_WHO_MAX];
	size_t n_only; /* 0: every member */
};

/* Whether `name` can be a service's: letters, digits, '.', '_' and '-', beginning with a letter or
 * a digit. */
bool expose_name_ok(const char *name);

/* "NAME=URL" or "NAME@NODE+NODE=URL". E_INVALID, saying what is wrong: the form, another scheme
 * than http and https, a path, an address that may not be exposed. */
int expose_parse(const char *text, struct exposure *out, struct err *err) WARN_UNUSED;

/* Whether a service may be at this address: this machine's loopback, or a private network's (RFC
 * 1918, RFC 4193). Link-local ones, where clouds keep their credentials, and public ones may not,
 * whatever a name resolves to. E_FORBIDDEN. */
int expose_address_check(const struct netaddr *a, struct err *err) WARN_UNUSED;

#endif
