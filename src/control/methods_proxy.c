/* The method behind `gate proxy`. */
#include "control/control_priv.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *out)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || v > UINT16_MAX)
		return false;
	*out = (uint16_t)v;
	return true;
}

/* "9000", "127.0.0.1:9000", "[::1]:9000"; nothing: any free port of this machine's. */
static int parse_listen(const char *text, struct netaddr *out, struct err *err)
{
	char ip[NETADDR_TEXT_MAX] = "127.0.0.1";
	const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
	size_t n = colon ? (size_t)(colon - text) : 0;
	bool bracketed = n >= 2 && text[0] == '[' && colon[-1] == ']';
	if (n > 0 && n < sizeof ip) {
		memcpy(ip, text + bracketed, n - 2 * bracketed);
		ip[n - 2 * bracketed] = '\0';
	}
	*out = (struct netaddr){.family = NET_IP4};
	bool plain = bracketed || !memchr(text, ':', n);
	if (n < sizeof ip && plain && netaddr_parse_ip(ip, out, NULL) == 0 &&
	    (!text[0] || parse_port(port, &out->port)))
		return 0;
	return err_set(err, E_INVALID,
	    "--listen: \"%.64s\" is no address to listen on: the form is 9000, 127.0.0.1:9000 or "
	    "[::1]:9000",
	    text);
}

static int ready(void *arg, const struct netaddr *at, struct err *err)
{
	const struct rpc_notify *notify = arg;
	char text[NETADDR_TEXT_MAX];
	netaddr_print(at, text);
	return notify->send(notify->arg,
	    json_pack("{s:s, s:s, s:{s:O?, s:s}}", "jsonrpc", "2.0", "method", "proxy.ready",
		"params", "id", notify->id, "address", text),
	    err);
}

int control_proxy_open(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct control_forward what = {.node = json_get_string(params, "node", ""),
	    .service = json_get_string(params, "service", "*"),
	    .any_host = json_get_bool(params, "any_host", false)};
	if (!notify)
		return err_set(err, E_UNSUPPORTED, "proxy.open works on the Unix socket only");
	int rc = parse_listen(json_get_string(params, "listen", ""), &what.listen, err);
	if (rc == 0)
		rc = c->opt.forward(c->opt.arg, &what, ready, (void *)(uintptr_t)notify, err);
	if (rc == 0)
		*result = json_true();
	return rc;
}
