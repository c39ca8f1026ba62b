/* A port of this machine that stands for one service of one node, as long as somebody asks for it:
 * see proxy_forward. */
#include "dialect/openai.h"
#include "gateway/cors.h"
#include "gateway/proxy_priv.h"

#include <stdlib.h>

#define CONNECTIONS_MAX 256

struct forwarding {
	struct proxy *proxy;
	const struct proxy_forward *what;
	struct listener *listener;
	struct http_group group;
	struct scope scope;
};

/* As the node's own port does: no foreign name can be made to point here, no foreign page's script
 * gets in. */
static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	struct forwarding *f = arg;
	const struct http_head *head = http_request(x);
	const struct cors_policy nobody = {NULL, 0};
	struct proxy_request r = {.node = f->what->node, .service = f->what->service};
	int rc = f->what->any_host ? 0
				   : cors_check(&nobody, http_head_get(head, "host"),
					 http_head_get(head, "origin"), err);
	return rc ? rc : proxy_ask(f->proxy, x, &r, err);
}

static void error_body(
    void *arg, int status, const struct err *why, struct buf *body, const char **type)
{
	(void)arg;
	(void)status;
	*type = "application/json";
	openai_error_write(why, body);
}

struct client {
	struct forwarding *forwarding;
	struct stream *stream;
};

static void client_fiber(void *arg)
{
	struct client c = *(struct client *)arg;
	free(arg);
	struct err err = {0};
	struct http_service service = {
	    .handle = handle,
	    .error_body = error_body,
	    .world = proxy_world(c.forwarding->proxy),
	    .group = &c.forwarding->group,
	};
	int rc = http_serve(c.stream, &service, c.forwarding, &err);
	if (rc && rc != E_CANCELLED)
		rt_log(LOG_DEBUG, "proxy", "%s: %s", c.stream->remote, err_text(&err));
	stream_close(c.stream);
}

static void admit(struct forwarding *f, struct stream *s)
{
	struct client *c = f->group.connections < CONNECTIONS_MAX ? malloc(sizeof *c) : NULL;
	if (c) {
		*c = (struct client){f, s};
		if (fiber_spawn(&f->scope, "client", client_fiber, c, NULL) == 0)
			return;
		free(c);
	}
	rt_log(LOG_WARN, "proxy", "%s turned away: %zu connections are open", s->remote,
	    f->group.connections);
	stream_reset(s, E_LIMIT);
	stream_close(s);
}

static int accept_all(struct forwarding *f, struct err *err)
{
	for (;;) {
		struct stream *s;
		int rc = listener_accept(f->listener, &s, NULL, err);
		if (rc == 0)
			admit(f, s);
		else if (rc == E_CANCELLED || rc == E_TIMEOUT || fiber_sleep(duration_ms(100)) != 0)
			return rc;
	}
}

int proxy_forward(struct proxy *p, const struct proxy_forward *what,
    int (*ready)(void *arg, const struct netaddr *at, struct err *err), void *arg, struct err *err)
{
	struct forwarding f = {.proxy = p, .what = what};
	struct netaddr at;
	int rc = proxy_check(p, what->node, what->service, err);
	if (rc == 0)
		rc = world_tcp_listen(proxy_world(p), &what->listen, &f.listener, err);
	if (rc)
		return rc;
	scope_open(&f.scope, DURATION_FOREVER);
	listener_addr(f.listener, &at);
	rc = ready(arg, &at, err);
	if (rc == 0)
		rc = accept_all(&f, err);
	scope_close(&f.scope);
	listener_close(f.listener);
	return rc;
}
