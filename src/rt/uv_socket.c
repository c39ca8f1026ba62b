/* Sockets of the real world: TCP, Unix sockets and socketpairs as streams, and listeners.
 *
 * Reads and writes go straight to the kernel; only when it has nothing does the fiber park on a
 * readiness watch. The watch stays armed between reads, so a busy connection costs no extra system
 * call; it is disarmed when an event finds nobody waiting.
 *
 * Must stay true: no socket monopolises the loop: after a run of operations that never had to wait
 * the fiber yields once. */
#include "rt/uv_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG   1024
#define IOV_BATCH        16
#define OPS_BEFORE_YIELD 32
#define ACCEPT_RETRY_MS  100

/* ---- addresses ----------------------------------------------------------------------------- */

void netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *out, socklen_t *n)
{
	memset(out, 0, sizeof *out);
	if (a->family == NET_IP4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		*n = sizeof *in;
		return;
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	in6->sin6_scope_id = a->scope_id;
	memcpy(&in6->sin6_addr, a->ip, 16);
	*n = sizeof *in6;
}

bool netaddr_from_sockaddr(const struct sockaddr *sa, struct netaddr *out)
{
	memset(out, 0, sizeof *out);
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
		out->family = NET_IP4;
		out->port = ntohs(in->sin_port);
		memcpy(out->ip, &in->sin_addr, 4);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
		out->family = NET_IP6;
		out->port = ntohs(in6->sin6_port);
		out->scope_id = in6->sin6_scope_id;
		memcpy(out->ip, &in6->sin6_addr, 16);
		return true;
	}
	return false;
}

/* ---- readiness watches --------------------------------------------------------------------- */

static void watch_event(uv_poll_t *poll, int status, int events);

static void watch_arm(struct watch *w, int events)
{
	w->armed = events;
	if (events)
		uv_poll_start(&w->poll, events, watch_event);
	else
		uv_poll_stop(&w->poll);
}

static void watch_event(uv_poll_t *poll, int status, int events)
{
	struct watch *w = (struct watch *)poll;
	if (status < 0) { /* the error itself comes out of the next read or write */
		waitq_wake_all(&w->readable);
		waitq_wake_all(&w->writable);
		watch_arm(w, 0);
		return;
	}
	int armed = w->armed;
	/* Without a reader it is disarmed, but not at once: most come back for it soon. */
	if ((events & UV_READABLE) && w->readable.head) {
		waitq_wake_one(&w->readable);
		w->unread = false;
	} else if ((events & UV_READABLE) && !w->unread) {
		w->unread = true;
	} else if (events & UV_READABLE) {
		armed &= ~UV_READABLE;
	}
	if (events & UV_WRITABLE) {
		waitq_wake_one(&w->writable);
		armed &= ~UV_WRITABLE;
	}
	if (armed != w->armed)
		watch_arm(w, armed);
}

int watch_init(
    struct watch *w, uv_loop_t *loop, int fd, void (*freed)(struct watch *w), struct err *err)
{
	int rc = uv_poll_init(loop, &w->poll, fd);
	if (rc != 0)
		return err_set(err, E_LIMIT, "cannot watch a socket: %s", uv_strerror(rc));
	w->freed = freed;
	return 0;
}

int watch_wait(struct watch *w, int event, struct err *err)
{
	if (!(w->armed & event))
		watch_arm(w, w->armed | event);
	if (event == UV_READABLE)
		w->unread = false;
	struct waitq *q = event == UV_READABLE ? &w->readable : &w->writable;
	INVARIANT(!q->head);
	return waitq_wait(q, err);
}

static void watch_closed(uv_handle_t *handle)
{
	struct watch *w = (struct watch *)handle;
	w->freed(w);
}

void watch_close(struct watch *w)
{
	waitq_wake_all(&w->readable);
	waitq_wake_all(&w->writable);
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, watch_closed);
}

/* ---- streams ------------------------------------------------------------------------------- */

struct sock {
	struct tcp_stream tcp; /* first: what stream_netaddrs looks at */
	struct watch watch;
	int fd;
	bool reset;
	bool drained; /* the latest read took all there was: the next one waits first */
	unsigned ops; /* since the last wait or yield */
};

static struct sock *sock_of(struct stream *s)
{
	return (struct sock *)s;
}

static int sock_error(struct sock *s, int errnum, const char *what, struct err *err)
{
	if (errnum == ECONNRESET || errnum == EPIPE)
		return err_set(
		    err, E_RESET, "%s: connection reset by the other side", s->tcp.stream.remote);
	return err_errno(err, errnum, "%s: %s", s->tcp.stream.remote, what);
}

static int sock_before(struct sock *s, struct err *err)
{
	if (s->reset)
		return err_set(err, E_RESET, "%s: reset", s->tcp.stream.remote);
	if (++s->ops >= OPS_BEFORE_YIELD) {
		s->ops = 0;
		fiber_yield();
		if (s->reset)
			return err_set(err, E_RESET, "%s: reset", s->tcp.stream.remote);
	}
	return scope_check(err);
}

/* A reset that comes after the other side's end stands behind that end: reading alone never tells.
 * Taken note of here, it stays. */
static bool sock_broken(struct sock *s)
{
	int code = 0;
	socklen_t n = sizeof code;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &n) == 0 && code != 0)
		s->reset = true;
	return s->reset;
}

static ssize_t sock_read(struct stream *stream, void *buf, size_t cap, struct err *err)
{
	struct sock *s = sock_of(stream);
	INVARIANT(cap > 0);
	for (;;) {
		int rc = sock_before(s, err);
		if (rc)
			return rc;
		ssize_t n = -1;
		errno = EAGAIN;
		if (!s->drained)
			n = recv(s->fd, buf, cap, 0);
		s->drained = n > 0 && (size_t)n < cap;
		if (n == 0 && sock_broken(s))
			return sock_error(s, ECONNRESET, "read", err);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return sock_error(s, errno, "read", err);
		s->ops = 0;
		if ((rc = watch_wait(&s->watch, UV_READABLE, err)))
			return rc;
	}
}

/* The next batch of what is left of `v`, `skip` bytes into its first element. */
static size_t fill_iov(const struct bytes *v, size_t count, size_t skip, struct iovec *iov)
{
	size_t n = 0;
	for (size_t i = 0; i < count && n < IOV_BATCH; i++) {
		iov[n].iov_base = (void *)(uintptr_t)(v[i].p + skip);
		iov[n].iov_len = v[i].n - skip;
		skip = 0;
		if (iov[n].iov_len > 0)
			n++;
	}
	return n;
}

static int sock_write(struct stream *stream, const struct bytes *v, size_t count, struct err *err)
{
	struct sock *s = sock_of(stream);
	size_t skip = 0;
	while (count > 0) {
		struct iovec iov[IOV_BATCH];
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = fill_iov(v, count, skip, iov)};
		if (msg.msg_iovlen == 0)
			return 0;
		int rc = sock_before(s, err);
		if (rc)
			return rc;
		ssize_t n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			s->ops = 0;
			if ((rc = watch_wait(&s->watch, UV_WRITABLE, err)))
				return rc;
			continue;
		}
		if (n < 0)
			return sock_error(s, errno, "write", err);
		for (skip += (size_t)n; count > 0 && skip >= v->n; v++, count--)
			skip -= v->n;
	}
	return 0;
}

static int sock_close_write(struct stream *stream, struct err *err)
{
	struct sock *s = sock_of(stream);
	if (shutdown(s->fd, SHUT_WR) != 0 && errno != ENOTCONN)
		return sock_error(s, errno, "half-close", err);
	return 0;
}

static void sock_reset(struct stream *stream, int code)
{
	(void)code; /* TCP has no room for a reason */
	struct sock *s = sock_of(stream);
	s->reset = true;
	struct linger hard = {.l_onoff = 1, .l_linger = 0};
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	waitq_wake_all(&s->watch.readable);
	waitq_wake_all(&s->watch.writable);
}

static void sock_freed(struct watch *w)
{
	free((char *)w - offsetof(struct sock, watch));
}

static void sock_close(struct stream *stream)
{
	struct sock *s = sock_of(stream);
	watch_close(&s->watch);
	close(s->fd);
}

static const struct stream_ops sock_ops = {
    .kind = "socket",
    .read = sock_read,
    .write = sock_write,
    .close_write = sock_close_write,
    .reset = sock_reset,
    .close = sock_close,
};

static const struct stream_ops tcp_ops = {
    .kind = tcp_stream_kind,
    .read = sock_read,
    .write = sock_write,
    .close_write = sock_close_write,
    .reset = sock_reset,
    .close = sock_close,
};

/* Takes the descriptor over, also on failure. */
static int sock_new(
    struct world *w, int fd, const struct stream_ops *ops, struct sock **out, struct err *err)
{
	struct sock *s = calloc(1, sizeof *s);
	if (!s) {
		close(fd);
		return err_set(err, E_MEMORY, "no memory for a connection");
	}
	int rc = watch_init(&s->watch, &world_uv_of(w)->loop, fd, sock_freed, err);
	if (rc) {
		close(fd);
		free(s);
		return rc;
	}
	s->fd = fd;
	s->tcp.stream.ops = ops;
	s->tcp.stream.remote = s->tcp.remote_text;
	*out = s;
	return 0;
}

int world_uv_stream(struct world *w, int fd, const char *name, struct stream **out, struct err *err)
{
	struct sock *s;
	int rc = sock_new(w, fd, &sock_ops, &s, err);
	if (rc)
		return rc;
	snprintf(s->tcp.remote_text, sizeof s->tcp.remote_text, "%s", name);
	*out = &s->tcp.stream;
	return 0;
}

static void tcp_set_addresses(struct sock *s)
{
	struct netaddr local = {.family = NET_IP4}, remote = {.family = NET_IP4};
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;
	if (getsockname(s->fd, (struct sockaddr *)&ss, &n) == 0)
		netaddr_from_sockaddr((struct sockaddr *)&ss, &local);
	n = sizeof ss;
	if (getpeername(s->fd, (struct sockaddr *)&ss, &n) == 0)
		netaddr_from_sockaddr((struct sockaddr *)&ss, &remote);
	tcp_stream_init(&s->tcp, &local, &remote);
	int on = 1;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int wait_connected(struct sock *s, struct err *err)
{
	for (;;) {
		int rc = watch_wait(&s->watch, UV_WRITABLE, err);
		if (rc)
			return rc;
		int errnum = 0;
		socklen_t n = sizeof errnum;
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &n);
		if (errnum)
			return err_errno(err, errnum, "connect to %s", s->tcp.remote_text);
		struct sockaddr_storage ss;
		n = sizeof ss;
		if (getpeername(s->fd, (struct sockaddr *)&ss, &n) == 0)
			return 0;
	}
}

/* Several sockets may be bound to a port that we listen on, as each connects elsewhere; see
 * uv_tcp_listen_at. */
static int bind_shared(int fd, const struct netaddr *from, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t n;
	int on = 1;

	netaddr_to_sockaddr(from, &ss, &n);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&ss, n) == 0)
		return 0;
	char text[NETADDR_TEXT_MAX];
	int errnum = errno;
	netaddr_print(from, text);
	return err_errno(err, errnum, "bind to %s", text);
}

int uv_tcp_dial_to(struct world *w, const struct netaddr *from, const struct netaddr *to,
    struct stream **out, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t n;
	netaddr_to_sockaddr(to, &ss, &n);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	struct sock *s;
	int rc = sock_new(w, fd, &tcp_ops, &s, err);
	if (rc)
		return rc;
	netaddr_print(to, s->tcp.remote_text);
	if (from)
		rc = bind_shared(fd, from, err);
	if (rc == 0 && connect(fd, (struct sockaddr *)&ss, n) != 0) {
		if (errno == EINPROGRESS)
			rc = wait_connected(s, err);
		else if (errno == EADDRNOTAVAIL && from)
			rc = err_set(err, E_IN_USE, "connect to %s: the local address is in use",
			    s->tcp.remote_text);
		else
			rc = err_errno(err, errno, "connect to %s", s->tcp.remote_text);
	}
	if (rc) {
		sock_close(&s->tcp.stream);
		return rc;
	}
	tcp_set_addresses(s);
	*out = &s->tcp.stream;
	return 0;
}

/* ---- listeners ----------------------------------------------------------------------------- */

struct uv_listener {
	struct listener listener;
	struct world *world;
	struct watch watch;
	int fd;
	char *unix_path; /* to remove at the end; NULL for TCP */
};

static int accept_one(struct uv_listener *l, int *fd, struct err *err)
{
	for (;;) {
		int rc = scope_check(err);
		if (rc)
			return rc;
		*fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (*fd >= 0)
			return 0;
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if ((rc = watch_wait(&l->watch, UV_READABLE, err)))
				return rc;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			rt_log(LOG_WARN, "rt", "cannot accept a connection: %s", strerror(errno));
			if ((rc = fiber_sleep(duration_ms(ACCEPT_RETRY_MS))))
				return err_set(err, rc, "accept: %s", err_info(rc)->text);
		} else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
			return err_errno(err, errno, "accept");
		}
	}
}

static int accept_stream(
    struct listener *base, struct stream **out, struct netaddr *from, struct err *err)
{
	struct uv_listener *l = (struct uv_listener *)base;
	int fd;
	int rc = accept_one(l, &fd, err);
	if (rc)
		return rc;
	struct sock *s;
	rc = sock_new(l->world, fd, l->unix_path ? &sock_ops : &tcp_ops, &s, err);
	if (rc)
		return rc;
	if (l->unix_path) {
		snprintf(s->tcp.remote_text, sizeof s->tcp.remote_text, "unix");
	} else {
		tcp_set_addresses(s);
		if (from)
			*from = s->tcp.remote;
	}
	*out = &s->tcp.stream;
	return 0;
}

static void listener_freed(struct watch *w)
{
	struct uv_listener *l =
	    (struct uv_listener *)((char *)w - offsetof(struct uv_listener, watch));
	free(l->unix_path);
	free(l);
}

static void uv_listener_close(struct listener *base)
{
	struct uv_listener *l = (struct uv_listener *)base;
	if (l->unix_path)
		unlink(l->unix_path);
	close(l->fd);
	watch_close(&l->watch);
}

static const struct listener_ops uv_listener_ops = {
    .accept = accept_stream,
    .close = uv_listener_close,
};

/* Listens on the bound `fd`, which it takes over, also on failure. */
static int listener_new(
    struct world *w, int fd, const char *unix_path, struct listener **out, struct err *err)
{
	int rc = 0;
	struct uv_listener *l = calloc(1, sizeof *l);
	if (!l || (unix_path && !(l->unix_path = strdup(unix_path))))
		rc = err_set(err, E_MEMORY, "no memory for a listener");
	else if (listen(fd, LISTEN_BACKLOG) != 0)
		rc = err_errno(err, errno, "listen");
	else
		rc = watch_init(&l->watch, &world_uv_of(w)->loop, fd, listener_freed, err);
	if (rc) {
		close(fd);
		if (l)
			free(l->unix_path);
		free(l);
		return rc;
	}
	/* Only now: binding went without it, so that a port in use was found to be so; from here on
	 * our own dials may share the port. */
	int on = 1;
	if (!unix_path)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	l->listener.ops = &uv_listener_ops;
	l->world = w;
	l->fd = fd;
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;
	if (getsockname(fd, (struct sockaddr *)&ss, &n) == 0)
		netaddr_from_sockaddr((struct sockaddr *)&ss, &l->listener.addr);
	*out = &l->listener;
	return 0;
}

int uv_tcp_listen_at(
    struct world *w, const struct netaddr *at, struct listener **out, struct err *err)
{
	struct sockaddr_storage ss;
	socklen_t n;
	netaddr_to_sockaddr(at, &ss, &n);
	char text[NETADDR_TEXT_MAX];
	netaddr_print(at, text);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (at->family == NET_IP6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&ss, n) != 0) {
		int errnum = errno;
		close(fd);
		return err_errno(err, errnum, "bind to %s", text);
	}
	return listener_new(w, fd, NULL, out, err);
}

/* ---- Unix sockets -------------------------------------------------------------------------- */

/* Fills `un` for `path`. A path too long for sun_path is reached through a descriptor of its
 * folder, which must stay open while `un` is in use: *dir, or -1. */
static int unix_address(const char *path, struct sockaddr_un *un, int *dir, struct err *err)
{
	memset(un, 0, sizeof *un);
	un->sun_family = AF_UNIX;
	*dir = -1;
	if (strlen(path) < sizeof un->sun_path) {
		memcpy(un->sun_path, path, strlen(path) + 1);
		return 0;
	}
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path)) : NULL;
	if (folder)
		*dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	int n = *dir < 0 ? -1
			 : snprintf(un->sun_path, sizeof un->sun_path, "/proc/self/fd/%d/%s", *dir,
			       slash + 1);
	if (n > 0 && (size_t)n < sizeof un->sun_path)
		return 0;
	if (*dir >= 0)
		close(*dir);
	*dir = -1;
	return err_set(err, E_TOO_LARGE, "%s: too long for a socket's path", path);
}

static int unix_connect(struct world *w, const struct sockaddr_un *un, const char *path,
    struct sock **out, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)un, sizeof *un) != 0) {
		int errnum = errno;
		close(fd);
		return err_errno(err, errnum, "%s", path);
	}
	return sock_new(w, fd, &sock_ops, out, err);
}

int uv_unix_dial_to(struct world *w, const char *path, struct stream **out, struct err *err)
{
	struct sockaddr_un un;
	int dir;
	int rc = unix_address(path, &un, &dir, err);
	if (rc)
		return rc;
	struct sock *s;
	rc = unix_connect(w, &un, path, &s, err);
	if (dir >= 0)
		close(dir);
	if (rc)
		return rc;
	snprintf(s->tcp.remote_text, sizeof s->tcp.remote_text, "unix");
	*out = &s->tcp.stream;
	return 0;
}

/* Binds with mode 0600. A path where nobody answers is left over from a crash and replaced. */
static int unix_bind(
    struct world *w, int fd, const struct sockaddr_un *un, const char *path, struct err *err)
{
	for (int attempt = 0;; attempt++) {
		mode_t before = umask(0177);
		int failed = bind(fd, (const struct sockaddr *)un, sizeof *un);
		int errnum = errno;
		umask(before);
		if (!failed)
			return 0;
		if (errnum != EADDRINUSE || attempt > 0)
			return err_errno(err, errnum, "%s", path);
		struct sock *other;
		if (unix_connect(w, un, path, &other, NULL) == 0) {
			sock_close(&other->tcp.stream);
			return err_set(err, E_IN_USE, "%s: another process answers there", path);
		}
		struct stat st;
		if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
			return err_set(
			    err, E_EXISTS, "%s: there is a file that is no socket", path);
		unlink(un->sun_path);
	}
}

int uv_unix_listen_at(struct world *w, const char *path, struct listener **out, struct err *err)
{
	struct sockaddr_un un;
	int dir;
	int rc = unix_address(path, &un, &dir, err);
	if (rc)
		return rc;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		rc = err_errno(err, errno, "cannot make a socket");
	else if ((rc = unix_bind(w, fd, &un, path, err)))
		close(fd);
	if (dir >= 0)
		close(dir);
	return rc ? rc : listener_new(w, fd, path, out, err);
}
