/* Child processes of the real world: descriptor 3 is one end of a socketpair, stderr goes line by
 * line to the log of whoever started the child. */
#include "rt/uv_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STDERR_LINE_MAX 1024

struct uv_child {
	struct process process;
	uv_process_t uv;
	uv_pipe_t err_pipe;
	struct stream *stream; /* until taken over */
	struct log *log;
	struct waitq waiters;
	bool exited;
	bool closed; /* by its owner */
	int open_handles;
	int status;
	size_t line_n;
	char line[STDERR_LINE_MAX];
};

static void handle_closed(uv_handle_t *handle)
{
	struct uv_child *c = handle->data;
	if (--c->open_handles == 0)
		free(c);
}

/* Frees once the owner has let go and the process has been reaped. */
static void maybe_free(struct uv_child *c)
{
	if (!c->closed || !c->exited)
		return;
	uv_close((uv_handle_t *)&c->uv, handle_closed);
	uv_close((uv_handle_t *)&c->err_pipe, handle_closed);
}

static void exited(uv_process_t *uv, int64_t code, int signum)
{
	struct uv_child *c = uv->data;
	c->exited = true;
	c->status = signum ? 256 + signum : (int)(code & 255);
	waitq_wake_all(&c->waiters);
	maybe_free(c);
}

/* ---- its stderr ---------------------------------------------------------------------------- */

static void err_line(struct uv_child *c)
{
	if (c->line_n > 0 && !c->closed)
		log_event(c->log, LOG_INFO, "child", "[%lld] %.*s", (long long)c->process.id,
		    (int)c->line_n, c->line);
	c->line_n = 0;
}

static void err_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct uv_child *c = handle->data;
	if (c->line_n == sizeof c->line)
		err_line(c);
	*out = uv_buf_init(c->line + c->line_n, (unsigned)(sizeof c->line - c->line_n));
}

static void err_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	struct uv_child *c = stream->data;
	if (n < 0) {
		err_line(c);
		uv_read_stop(stream);
		return;
	}
	size_t end = c->line_n + (size_t)n;
	c->line_n = end;
	char *newline;
	while ((newline = memchr(c->line, '\n', end))) {
		size_t used = (size_t)(newline - c->line);
		c->line_n = used;
		err_line(c);
		end -= used + 1;
		memmove(c->line, newline + 1, end);
		c->line_n = end;
	}
}

/* ---- the interface ------------------------------------------------------------------------- */

static struct stream *child_stream(struct process *p)
{
	struct uv_child *c = (struct uv_child *)p;
	struct stream *s = c->stream;
	INVARIANT(s);
	c->stream = NULL;
	return s;
}

static int child_wait(struct process *p, int *status, struct err *err)
{
	struct uv_child *c = (struct uv_child *)p;
	while (!c->exited) {
		int rc = waitq_wait(&c->waiters, err);
		if (rc)
			return rc;
	}
	*status = c->status;
	return 0;
}

static void child_kill(struct process *p)
{
	struct uv_child *c = (struct uv_child *)p;
	if (!c->exited)
		uv_process_kill(&c->uv, SIGKILL);
}

static void child_close(struct process *p)
{
	struct uv_child *c = (struct uv_child *)p;
	child_kill(p);
	stream_close(c->stream);
	c->stream = NULL;
	c->closed = true;
	maybe_free(c);
}

static const struct process_ops child_ops = {
    .stream = child_stream,
    .wait = child_wait,
    .kill = child_kill,
    .close = child_close,
};

static int spawn(
    struct uv_child *c, uv_loop_t *loop, const char *const *argv, int fd, struct err *err)
{
	uv_stdio_container_t stdio[4] = {
	    {.flags = UV_IGNORE},
	    {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
	    {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		.data.stream = (uv_stream_t *)&c->err_pipe},
	    {.flags = UV_INHERIT_FD, .data.fd = fd},
	};
	uv_process_options_t options = {
	    .exit_cb = exited,
	    .file = argv[0],
	    .args = (char **)(uintptr_t)argv,
	    .stdio_count = 4,
	    .stdio = stdio,
	};
	int rc = uv_spawn(loop, &c->uv, &options);
	if (rc != 0)
		return err_set(err, rc == UV_ENOENT ? E_NOT_FOUND : E_IO, "cannot start %s: %s",
		    argv[0], uv_strerror(rc));
	return 0;
}

int uv_process_start(
    struct world *w, const char *const *argv, struct process **out, struct err *err)
{
	uv_loop_t *loop = &world_uv_of(w)->loop;
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return err_errno(err, errno, "cannot make a socketpair");
	struct uv_child *c = calloc(1, sizeof *c);
	if (!c) {
		close(fds[0]);
		close(fds[1]);
		return err_set(err, E_MEMORY, "no memory for a child process");
	}
	c->log = scope_log();
	c->open_handles = 2;
	c->uv.data = c->err_pipe.data = c;
	uv_pipe_init(loop, &c->err_pipe, 0);
	int rc = spawn(c, loop, argv, fds[1], err);
	close(fds[1]);
	if (rc == 0)
		rc = world_uv_stream(w, fds[0], argv[0], &c->stream, err);
	else
		close(fds[0]);
	c->process.ops = &child_ops;
	c->process.id = c->uv.pid;
	if (rc) { /* uv_spawn leaves both handles to be closed, started or not */
		c->exited = c->exited || c->uv.pid == 0;
		child_close(&c->process);
		return rc;
	}
	uv_read_start((uv_stream_t *)&c->err_pipe, err_alloc, err_read);
	*out = &c->process;
	return 0;
}
