/* Standard input, read before there is a world. Ctrl-C and --timeout end the wait through
 * descriptors, so that each has its own answer. */
#include "cli/cli_priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define READ_SIZE 4096

enum waited_for {
	WAIT_INPUT,
	WAIT_INTERRUPT,
	WAIT_TIMEOUT,
	WAITS
};

static int open_waits(const struct cli_options *o, struct pollfd fds[WAITS], struct err *err)
{
	sigset_t interrupt;
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	struct itimerspec limit = {.it_value.tv_sec = o->timeout_s}; /* 0: never */
	fds[WAIT_INPUT] = (struct pollfd){STDIN_FILENO, POLLIN, 0};
	fds[WAIT_INTERRUPT] = (struct pollfd){signalfd(-1, &interrupt, SFD_CLOEXEC), POLLIN, 0};
	fds[WAIT_TIMEOUT] =
	    (struct pollfd){timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), POLLIN, 0};
	if (fds[WAIT_INTERRUPT].fd < 0 || fds[WAIT_TIMEOUT].fd < 0 ||
	    timerfd_settime(fds[WAIT_TIMEOUT].fd, 0, &limit, NULL) != 0)
		return err_errno(err, errno, "cannot wait for standard input");
	return 0;
}

/* One piece: 1, 0 at the end, or an error. */
static int read_piece(struct pollfd fds[WAITS], struct buf *out, struct err *err)
{
	char piece[READ_SIZE];
	if (poll(fds, WAITS, -1) < 0)
		return errno == EINTR ? 1 : err_errno(err, errno, "standard input");
	if (fds[WAIT_INTERRUPT].revents)
		return err_set(err, E_CANCELLED, "interrupted");
	if (fds[WAIT_TIMEOUT].revents)
		return err_set(err, E_TIMEOUT, "timed out while reading standard input");
	ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
	if (n < 0)
		return errno == EINTR ? 1 : err_errno(err, errno, "standard input");
	buf_put(out, piece, (size_t)n);
	if (out->failed)
		return err_set(err, E_TOO_LARGE, "more than %zu bytes", out->max);
	return n > 0;
}

int cli_read_input(const struct cli_options *o, struct buf *out, struct err *err)
{
	struct pollfd fds[WAITS];
	int rc = open_waits(o, fds, err);
	if (rc == 0)
		do
			rc = read_piece(fds, out, err);
		while (rc > 0);
	close(fds[WAIT_INTERRUPT].fd);
	close(fds[WAIT_TIMEOUT].fd);
	return rc;
}
