/* The real world's frame: libuv's loop as the reactor, clocks, randomness, names, interfaces,
 * signals. */
#include "rt/uv_priv.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct world_uv *world_uv_of(struct world *w)
{
	return (struct world_uv *)w;
}

static struct world_uv *of_reactor(struct reactor *r)
{
	return (struct world_uv *)((char *)r - offsetof(struct world_uv, reactor));
}

/* ---- the reactor --------------------------------------------------------------------------- */

static struct instant monotonic_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct instant){(int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec};
}

static struct instant reactor_now(struct reactor *r)
{
	(void)r;
	return monotonic_now();
}

static void timer_fired(uv_timer_t *timer)
{
	(void)timer; /* it has made uv_run return, which is all it is for */
}

static void reactor_poll(struct reactor *r, struct instant until)
{
	struct world_uv *u = of_reactor(r);
	struct duration left = instant_since(until, monotonic_now());
	if (until.ns != INT64_MAX && left.ns == 0) {
		uv_run(&u->loop, UV_RUN_NOWAIT);
		return;
	}
	if (until.ns != INT64_MAX) {
		uv_update_time(&u->loop);
		uint64_t ms = (uint64_t)(left.ns / 1000000) + 1;
		uv_timer_start(&u->timer, timer_fired, ms, 0);
	}
	uv_run(&u->loop, UV_RUN_ONCE);
	uv_timer_stop(&u->timer);
}

static void reactor_interrupt(struct reactor *r)
{
	uv_async_send(&of_reactor(r)->async);
}

static void interrupted(uv_async_t *async)
{
	(void)async; /* posts are run by the scheduler once uv_run has returned */
}

struct work_request {
	uv_work_t uv;
	void (*fn)(void *arg);
	void *arg;
	void (*done)(void *arg);
	void *done_arg;
};

static void work_run(uv_work_t *uv)
{
	struct work_request *req = (struct work_request *)uv;
	req->fn(req->arg);
}

static void work_after(uv_work_t *uv, int status)
{
	(void)status; /* never cancelled */
	struct work_request *req = (struct work_request *)uv;
	req->done(req->done_arg);
	free(req);
}

static int reactor_work(
    struct reactor *r, void (*fn)(void *), void *arg, void (*done)(void *), void *done_arg)
{
	struct work_request *req = malloc(sizeof *req);
	if (!req)
		return E_MEMORY;
	req->fn = fn;
	req->arg = arg;
	req->done = done;
	req->done_arg = done_arg;
	if (uv_queue_work(&of_reactor(r)->loop, &req->uv, work_run, work_after) != 0) {
		free(req);
		return E_LIMIT;
	}
	return 0;
}

static const struct reactor_ops reactor_ops = {
    .now = reactor_now,
    .poll = reactor_poll,
    .interrupt = reactor_interrupt,
    .work = reactor_work,
};

/* ---- clocks, chance, surroundings ---------------------------------------------------------- */

static struct instant uv_world_now(struct world *w)
{
	(void)w;
	return monotonic_now();
}

static int64_t uv_world_wall_ms(struct world *w)
{
	(void)w;
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void uv_world_random(struct world *w, void *buf, size_t n)
{
	(void)w;
	uint8_t *p = buf;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno != EINTR)
			BUG("no randomness from the system: %s", strerror(errno));
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

static const char *uv_self_path(struct world *w)
{
	return world_uv_of(w)->self_path;
}

static const char *uv_env(struct world *w, const char *name)
{
	(void)w;
	return getenv(name);
}

/* ---- names --------------------------------------------------------------------------------- */

struct resolve {
	uv_getaddrinfo_t uv;
	struct waitq waiter;
	struct addrinfo *result;
	int status;
	bool done;
	bool abandoned;
};

static void resolve_free(struct resolve *r)
{
	uv_freeaddrinfo(r->result);
	free(r);
}

static void resolve_done(uv_getaddrinfo_t *uv, int status, struct addrinfo *result)
{
	struct resolve *r = (struct resolve *)uv;
	r->status = status;
	r->result = result;
	r->done = true;
	if (r->abandoned)
		resolve_free(r);
	else
		waitq_wake_all(&r->waiter);
}

static int resolve_collect(const struct resolve *r, const char *name, struct netaddr *out,
    size_t cap, size_t *n, struct err *err)
{
	if (r->status == UV_EAI_NONAME || r->status == UV_EAI_NODATA)
		return err_set(err, E_NOT_FOUND, "no such host name: %s", name);
	if (r->status != 0)
		return err_set(
		    err, E_UNREACHABLE, "cannot resolve %s: %s", name, uv_strerror(r->status));
	for (struct addrinfo *ai = r->result; ai && *n < cap; ai = ai->ai_next)
		if (netaddr_from_sockaddr(ai->ai_addr, &out[*n]))
			(*n)++;
	return *n > 0 ? 0 : err_set(err, E_NOT_FOUND, "no address for %s", name);
}

static int ask_resolver(struct world *w, const char *name, int family, struct netaddr *out,
    size_t cap, size_t *n, struct err *err)
{
	struct resolve *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(err, E_MEMORY, "no memory to resolve %s", name);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	    .ai_family = family == NET_IP4   ? AF_INET
			 : family == NET_IP6 ? AF_INET6
					     : AF_UNSPEC};
	int rc = uv_getaddrinfo(&world_uv_of(w)->loop, &r->uv, resolve_done, name, NULL, &hints);
	if (rc != 0) {
		free(r);
		return err_set(err, E_INVALID, "cannot resolve %s: %s", name, uv_strerror(rc));
	}
	rc = 0;
	while (!r->done && rc == 0)
		rc = waitq_wait(&r->waiter, err);
	if (!r->done) {
		r->abandoned = true;
		uv_cancel((uv_req_t *)&r->uv);
		return err_wrap(err, rc, "resolving %s", name);
	}
	rc = resolve_collect(r, name, out, cap, n, err);
	resolve_free(r);
	return rc;
}

/* Whether the name is `top` or ends in a dot and it. */
static bool is_below(const char *name, const char *top)
{
	size_t n = strlen(name), t = strlen(top);
	if (n > 0 && name[n - 1] == '.')
		n--;
	return n >= t && strncasecmp(name + n - t, top, t) == 0 &&
	       (n == t || name[n - t - 1] == '.');
}

static size_t loopback(int family, struct netaddr *out, size_t cap)
{
	static const struct netaddr both[] = {
	    {.family = NET_IP4, .ip = {127, 0, 0, 1}}, {.family = NET_IP6, .ip = {[15] = 1}}};
	size_t n = 0;
	for (size_t i = 0; i < 2; i++)
		if (n < cap && (family == 0 || family == (int)both[i].family))
			out[n++] = both[i];
	return n;
}

/* Names that need no resolver, and that a machine without one knows as well. SPEC RFC 6761,
 * sections 6.3 and 6.4. */
static int uv_resolve(struct world *w, const char *name, int family, struct netaddr *out,
    size_t cap, size_t *n, struct err *err)
{
	*n = 0;
	if (is_below(name, "invalid"))
		return err_set(err, E_NOT_FOUND, "no such host name: %s", name);
	if (is_below(name, "localhost")) {
		*n = loopback(family, out, cap);
		return 0;
	}
	return ask_resolver(w, name, family, out, cap, n, err);
}

static int uv_interfaces(struct world *w, struct netif *out, size_t cap, size_t *n, struct err *err)
{
	(void)w;
	*n = 0;
	struct ifaddrs *list;
	if (getifaddrs(&list) != 0)
		return err_errno(err, errno, "cannot list the network interfaces");
	for (struct ifaddrs *i = list; i && *n < cap; i = i->ifa_next) {
		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
			continue;
		struct netif *nif = &out[*n];
		if (!netaddr_from_sockaddr(i->ifa_addr, &nif->addr))
			continue;
		nif->addr.port = 0;
		nif->index = if_nametoindex(i->ifa_name);
		nif->loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
		nif->multicast = (i->ifa_flags & IFF_MULTICAST) != 0;
		(*n)++;
	}
	freeifaddrs(list);
	return 0;
}

/* ---- signals ------------------------------------------------------------------------------- */

static void signal_arrived(uv_signal_t *handle, int signum)
{
	struct signal_handler *h = (struct signal_handler *)handle;
	h->fn(h->arg, signum);
}

int world_uv_on_signal(
    struct world *w, int signum, void (*fn)(void *arg, int signum), void *arg, struct err *err)
{
	struct world_uv *u = world_uv_of(w);
	if (u->n_signals == SIGNALS_MAX)
		return err_set(err, E_LIMIT, "too many signal handlers");
	struct signal_handler *h = &u->signals[u->n_signals++];
	h->fn = fn;
	h->arg = arg;
	uv_signal_init(&u->loop, &h->handle);
	int rc = uv_signal_start(&h->handle, signal_arrived, signum);
	if (rc != 0)
		return err_set(err, E_INVALID, "signal %d: %s", signum, uv_strerror(rc));
	return 0;
}

/* ---- making and ending --------------------------------------------------------------------- */

static const struct world_ops world_ops = {
    .now = uv_world_now,
    .wall_ms = uv_world_wall_ms,
    .random = uv_world_random,
    .tcp_listen = uv_tcp_listen_at,
    .tcp_dial = uv_tcp_dial_to,
    .unix_listen = uv_unix_listen_at,
    .unix_dial = uv_unix_dial_to,
    .udp_open = uv_udp_open_at,
    .resolve = uv_resolve,
    .interfaces = uv_interfaces,
    .file_read = uv_file_read,
    .file_write = uv_file_write,
    .file_stat = uv_file_stat,
    .file_remove = uv_file_remove,
    .file_tidy = uv_file_tidy,
    .file_mkdirs = uv_file_mkdirs,
    .file_lock = uv_file_lock,
    .process_start = uv_process_start,
    .self_path = uv_self_path,
    .env = uv_env,
};

int world_uv_new(struct world **out, struct err *err)
{
	struct world_uv *u = calloc(1, sizeof *u);
	if (!u)
		return err_set(err, E_MEMORY, "no memory for the event loop");
	int rc = uv_loop_init(&u->loop);
	if (rc != 0) {
		free(u);
		return err_set(err, E_LIMIT, "cannot make an event loop: %s", uv_strerror(rc));
	}
	uv_timer_init(&u->loop, &u->timer);
	uv_async_init(&u->loop, &u->async, interrupted);
	u->reactor.ops = &reactor_ops;
	u->world.ops = &world_ops;
	u->world.rt = rt_new(&u->reactor, STACK_GUARDED);
	if (!u->world.rt) {
		world_uv_free(&u->world);
		return err_set(err, E_MEMORY, "no memory for the scheduler");
	}
	ssize_t n = readlink("/proc/self/exe", u->self_path, sizeof u->self_path - 1);
	u->self_path[n > 0 ? n : 0] = '\0';
	signal(SIGPIPE, SIG_IGN);
	*out = &u->world;
	return 0;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void world_uv_free(struct world *w)
{
	if (!w)
		return;
	struct world_uv *u = world_uv_of(w);
	uv_close((uv_handle_t *)&u->timer, NULL);
	for (int i = 0; i < u->n_signals; i++)
		uv_close((uv_handle_t *)&u->signals[i].handle, NULL);
	/* Abandoned work still has to drop what it was given, by way of the loop. */
	uv_unref((uv_handle_t *)&u->async);
	uv_run(&u->loop, UV_RUN_DEFAULT);
	uv_walk(&u->loop, close_handle, NULL);
	uv_run(&u->loop, UV_RUN_DEFAULT);
	INVARIANT(uv_loop_close(&u->loop) == 0);
	rt_free(w->rt);
	free(u);
}
