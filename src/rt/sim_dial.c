/* Listening and dialling in the simulated world, over TCP and over a host's Unix sockets. */
#include "rt/sim_priv.h"

#include <stdlib.h>
#include <utlist.h>

#define BACKLOG_MAX 128
#define PRIVILEGED  1024

/* ---- who listens --------------------------------------------------------------------------- */

/* Whether what is bound to `bound` hears what is sent to `a` (equal ports taken for granted). */
static bool hears(const struct netaddr *bound, const struct netaddr *a)
{
	return bound->family == a->family &&
	       (netaddr_is_unspecified(bound) || netaddr_equal(bound, a));
}

static bool tcp_taken(const struct host *h, const struct netaddr *at)
{
	const struct sim_listener *l;

	DL_FOREACH(h->listeners, l)
	if (!l->vanished && !l->path && l->base.addr.port == at->port &&
	    (hears(&l->base.addr, at) || hears(at, &l->base.addr)))
		return true;
	return false;
}

static bool listens_for(const struct sim_listener *l, const struct sim_conn *c)
{
	const struct netaddr *to = &c->end[0].tcp.remote;

	if (l->vanished || !l->path != !c->path)
		return false;
	if (l->path)
		return strcmp(l->path, c->path) == 0;
	return l->base.addr.port == to->port && hears(&l->base.addr, to);
}

enum knock listener_knock(struct host *h, struct sim_conn *c)
{
	struct sim_listener *l;
	struct sim_end *e = &c->end[1];

	DL_FOREACH(h->listeners, l)
	if (listens_for(l, c))
		break;
	if (!l)
		return KNOCK_REFUSED;
	if (l->n_backlog == BACKLOG_MAX)
		return KNOCK_FULL;
	conn_accept(c);
	if (l->backlog)
		l->backlog_last->backlog_next = e;
	else
		l->backlog = e;
	l->backlog_last = e;
	l->n_backlog++;
	waitq_wake_one(&l->ready);
	return KNOCK_TAKEN;
}

/* ---- listeners ----------------------------------------------------------------------------- */

static struct sim_listener *listener_of(struct listener *l)
{
	return (struct sim_listener *)l;
}

static struct sim_end *backlog_pop(struct sim_listener *l)
{
	struct sim_end *e = l->backlog;

	if (!e)
		return NULL;
	l->backlog = e->backlog_next;
	e->backlog_next = NULL;
	l->n_backlog--;
	return e;
}

static int sim_accept(
    struct listener *base, struct stream **out, struct netaddr *from, struct err *err)
{
	struct sim_listener *l = listener_of(base);
	struct sim_end *e;
	int rc = 0;

	INVARIANT(!l->accepting);
	l->accepting = true;
	while (rc == 0 && !l->vanished && !l->backlog)
		rc = waitq_wait(&l->ready, err);
	l->accepting = false;
	if (rc != 0)
		return rc;
	if (l->vanished)
		return err_set(err, E_CANCELLED, "%s has crashed", l->host->name);
	e = backlog_pop(l);
	if (from && !l->path)
		*from = e->tcp.remote;
	*out = &e->tcp.stream;
	return 0;
}

static void sim_listener_close(struct listener *base)
{
	struct sim_listener *l = listener_of(base);
	struct sim_end *e;

	INVARIANT(!l->accepting);
	while ((e = backlog_pop(l))) {
		stream_reset(&e->tcp.stream, E_REFUSED);
		stream_close(&e->tcp.stream);
	}
	if (l->path && !l->vanished)
		files_socket_gone(l->host, l->path);
	DL_DELETE(l->host->listeners, l);
	free(l->path);
	free(l);
}

void listeners_crash(struct host *h)
{
	struct sim_listener *l;

	DL_FOREACH(h->listeners, l)
	{
		l->vanished = true;
		waitq_wake_all(&l->ready);
	}
}

static const struct listener_ops sim_listener_ops = {
    .accept = sim_accept,
    .close = sim_listener_close,
};

static struct listener *listener_new(struct host *h, const struct netaddr *at, const char *path)
{
	struct sim_listener *l = sim_alloc(sizeof(*l));

	l->base = (struct listener){.ops = &sim_listener_ops, .addr = *at};
	l->host = h;
	l->path = path ? sim_strdup(path) : NULL;
	DL_APPEND(h->listeners, l);
	return &l->base;
}

int sim_tcp_listen(
    struct world *w, const struct netaddr *at, struct listener **out, struct err *err)
{
	struct host *h = host_of(w);
	struct netaddr addr = *at;
	char text[NETADDR_TEXT_MAX];
	int rc = host_check(h, err);

	if (rc != 0)
		return rc;
	netaddr_print(at, text);
	if (!host_owns_addr(h, at))
		return err_set(err, E_UNREACHABLE, "%s: no such address on this machine", text);
	if (at->port != 0 && at->port < PRIVILEGED)
		return err_set(err, E_FORBIDDEN, "%s: a privileged port", text);
	if (at->port == 0)
		addr.port = host_free_port(h, tcp_taken, at);
	if (addr.port == 0 || tcp_taken(h, &addr))
		return err_set(err, E_IN_USE, "%s: address already in use", text);
	*out = listener_new(h, &addr, NULL);
	return 0;
}

int sim_unix_listen(struct world *w, const char *path, struct listener **out, struct err *err)
{
	static const struct netaddr none = {.family = NET_IP4};
	struct host *h = host_of(w);
	struct sim_listener *l;
	int rc = host_check(h, err);

	if (rc != 0)
		return rc;
	DL_FOREACH(h->listeners, l)
	if (l->path && !l->vanished && strcmp(l->path, path) == 0)
		return err_set(err, E_IN_USE, "%s: someone listens there already", path);
	rc = files_socket(h, path, err);
	if (rc != 0)
		return rc;
	*out = listener_new(h, &none, path);
	return 0;
}

/* ---- dialling ------------------------------------------------------------------------------ */

static bool port_free_always(const struct host *h, const struct netaddr *at)
{
	(void)h;
	(void)at;
	return false;
}

/* Asks and waits. The connection is gone when it fails. */
static int dial(struct sim_conn *c, struct stream **out, struct err *err)
{
	struct stream *s = &c->end[0].tcp.stream;
	int rc;

	conn_request(c);
	rc = end_wait_connected(&c->end[0], err);
	if (rc != 0) {
		stream_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

int sim_tcp_dial(struct world *w, const struct netaddr *from, const struct netaddr *to,
    struct stream **out, struct err *err)
{
	struct host *h = host_of(w), *target = host_by_addr(h, to);
	struct netaddr local, remote = *to;
	struct sim_conn *c;
	char text[NETADDR_TEXT_MAX];
	int rc = host_check(h, err);

	if (rc != 0)
		return rc;
	netaddr_print(to, text);
	if (!target || to->port == 0)
		return err_set(err, E_UNREACHABLE, "%s: no route to it", text);
	if (netaddr_is_unspecified(to)) {
		memset(remote.ip, 0, sizeof(remote.ip));
		remote.ip[to->family == NET_IP4 ? 0 : 15] = to->family == NET_IP4 ? 127 : 1;
		if (to->family == NET_IP4)
			remote.ip[3] = 1;
	}
	local = remote;
	if (target != h)
		host_addr(h, &local);
	local.port = from && from->port ? from->port : host_free_port(h, port_free_always, &local);
	c = conn_new(h, target, NULL);
	conn_addrs(c, &local, &remote);
	return dial(c, out, err);
}

int sim_unix_dial(struct world *w, const char *path, struct stream **out, struct err *err)
{
	struct host *h = host_of(w);
	int rc = host_check(h, err);

	if (rc != 0)
		return rc;
	if (!files_exists(h, path))
		return err_set(err, E_NOT_FOUND, "%s: no such socket", path);
	return dial(conn_new(h, h, path), out, err);
}
