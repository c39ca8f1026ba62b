/* Files of the real world. Each operation runs whole on a worker: a slow disk never stops the loop.
 *
 * Must stay true: file_write leaves either the old content or the new, on disk, also across a
 * power cut: temporary file in the same folder, fsync, rename, fsync of the folder. Writes of the
 * same file at once, in this process or in others, have a temporary file each. */
#include "rt/uv_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_STEP  (64u << 10)
#define TIDY_AGE_S 3600

/* One operation on its way to a worker and back: plain memory of its own. */
struct file_op {
	char *path;
	uint32_t mode;
	size_t max;
	struct buf data; /* to write, or what was read */
	struct file_info info;
	int fd;
	int rc;
	struct err err;
};

static void op_free(void *arg)
{
	struct file_op *op = arg;
	buf_free(&op->data);
	if (op->fd >= 0)
		close(op->fd);
	free(op->path);
	free(op);
}

static struct file_op *op_new(const char *path)
{
	struct file_op *op = calloc(1, sizeof *op);
	if (!op)
		return NULL;
	op->fd = -1;
	op->path = strdup(path);
	if (!op->path) {
		free(op);
		return NULL;
	}
	return op;
}

/* Runs it on a worker. On success *out has the finished operation; on failure it is gone. */
static int op_run(struct file_op *op, void (*fn)(void *), struct file_op **out, struct err *err)
{
	if (!op)
		return err_set(err, E_MEMORY, "no memory for a file operation");
	int rc = rt_work(fn, op, op_free, err);
	if (rc)
		return rc;
	if (op->rc) {
		rc = op->rc;
		if (err)
			*err = op->err;
		op_free(op);
		return rc;
	}
	*out = op;
	return 0;
}

static int op_run_only(struct file_op *op, void (*fn)(void *), struct err *err)
{
	int rc = op_run(op, fn, &op, err);
	if (rc == 0)
		op_free(op);
	return rc;
}

static void op_fail(struct file_op *op, int errnum)
{
	op->rc = err_errno(&op->err, errnum, "%s", op->path);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void do_read(void *arg)
{
	struct file_op *op = arg;
	int fd = open(op->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		op_fail(op, errno);
		return;
	}
	op->data = BUF_INIT(op->max + 1); /* one more, to see that there is more */
	for (;;) {
		uint8_t step[READ_STEP];
		ssize_t n = read(fd, step, sizeof step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			op_fail(op, errno);
		if (n <= 0)
			break;
		size_t room = op->max + 1 - op->data.n;
		buf_put(&op->data, step, (size_t)n < room ? (size_t)n : room);
		if (op->data.n > op->max)
			break;
	}
	if (op->rc == 0 && op->data.n > op->max)
		op->rc =
		    err_set(&op->err, E_TOO_LARGE, "%s: larger than %zu bytes", op->path, op->max);
	close(fd);
}

int uv_file_read(struct world *w, const char *path, size_t max, struct buf *out, struct err *err)
{
	(void)w;
	struct file_op *op = op_new(path);
	if (op)
		op->max = max;
	int rc = op_run(op, do_read, &op, err);
	if (rc)
		return rc;
	buf_bytes(out, buf_view(&op->data));
	op_free(op);
	return buf_ok(out, err);
}

/* ---- writing ------------------------------------------------------------------------------- */

static int write_all(int fd, struct bytes data)
{
	while (data.n > 0) {
		ssize_t n = write(fd, data.p, data.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data.p += n;
		data.n -= (size_t)n;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (!slash)
		snprintf(folder, sizeof folder, ".");
	else
		snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsync(fd);
	close(fd);
	return rc;
}

/* The operation's address tells it apart from all others under way here, the process id from those
 * of other processes. What a crash left under the same name, or under that of earlier versions,
 * goes. */
static int temporary_name(const struct file_op *op, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s.new", op->path);
	if (n < 0 || n >= PATH_MAX)
		return -1;
	unlink(out);
	n = snprintf(
	    out, PATH_MAX, "%s.%ld-%jx.new", op->path, (long)getpid(), (uintmax_t)(uintptr_t)op);
	if (n < 0 || n >= PATH_MAX)
		return -1;
	unlink(out);
	return 0;
}

static void do_write(void *arg)
{
	struct file_op *op = arg;
	char temporary[PATH_MAX];
	if (temporary_name(op, temporary) != 0) {
		op_fail(op, ENAMETOOLONG);
		return;
	}
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, op->mode);
	if (fd < 0) {
		op_fail(op, errno);
		return;
	}
	bool ok = write_all(fd, buf_view(&op->data)) == 0 && fsync(fd) == 0;
	if (close(fd) != 0 || !ok || rename(temporary, op->path) != 0) {
		op_fail(op, errno);
		unlink(temporary);
		return;
	}
	if (sync_folder(op->path) != 0)
		op_fail(op, errno);
}

int uv_file_write(
    struct world *w, const char *path, struct bytes data, uint32_t mode, struct err *err)
{
	(void)w;
	struct file_op *op = op_new(path);
	if (op) {
		op->mode = mode;
		op->data = BUF_INIT(data.n);
		buf_bytes(&op->data, data);
		if (op->data.failed) {
			op_free(op);
			op = NULL;
		}
	}
	return op_run_only(op, do_write, err);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void do_stat(void *arg)
{
	struct file_op *op = arg;
	struct stat st;
	if (stat(op->path, &st) != 0) {
		op_fail(op, errno);
		return;
	}
	op->info = (struct file_info){
	    .size = (uint64_t)st.st_size,
	    .mode = st.st_mode & 07777,
	    .is_dir = S_ISDIR(st.st_mode),
	    .mine = st.st_uid == geteuid(),
	};
}

int uv_file_stat(struct world *w, const char *path, struct file_info *out, struct err *err)
{
	(void)w;
	struct file_op *op;
	int rc = op_run(op_new(path), do_stat, &op, err);
	if (rc)
		return rc;
	*out = op->info;
	op_free(op);
	return 0;
}

static void do_remove(void *arg)
{
	struct file_op *op = arg;
	if (unlink(op->path) != 0)
		op_fail(op, errno);
}

int uv_file_remove(struct world *w, const char *path, struct err *err)
{
	(void)w;
	return op_run_only(op_new(path), do_remove, err);
}

/* The process that a temporary file's name ends with (see temporary_name), or 0 for any other name.
 */
static long writer_of(const char *name)
{
	size_t n = strlen(name);
	if (n < 5 || strcmp(name + n - 4, ".new") != 0)
		return 0;
	const char *end = name + n - 4, *hex = end;
	while (hex > name && strchr("0123456789abcdef", hex[-1]))
		hex--;
	if (hex == end || hex == name || hex[-1] != '-')
		return 0;
	const char *pid = hex - 1;
	while (pid > name && pid[-1] >= '0' && pid[-1] <= '9')
		pid--;
	return pid > name + 1 && pid[-1] == '.' && pid < hex - 1 ? strtol(pid, NULL, 10) : 0;
}

/* A process of that number may be another one by now: no write takes so long. */
static bool may_be_writing(long pid, const struct stat *st)
{
	return pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM) &&
	       time(NULL) - st->st_mtime < TIDY_AGE_S;
}

static void do_tidy(void *arg)
{
	struct file_op *op = arg;
	DIR *folder = opendir(op->path);
	const struct dirent *e;
	if (!folder) {
		op_fail(op, errno);
		return;
	}
	while ((e = readdir(folder))) {
		struct stat st;
		long pid = writer_of(e->d_name);
		if (pid > 0 && fstatat(dirfd(folder), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && !may_be_writing(pid, &st))
			(void)unlinkat(dirfd(folder), e->d_name, 0);
	}
	closedir(folder);
}

int uv_file_tidy(struct world *w, const char *folder, struct err *err)
{
	(void)w;
	return op_run_only(op_new(folder), do_tidy, err);
}

static void do_mkdirs(void *arg)
{
	struct file_op *op = arg;
	for (char *p = op->path + 1;; p++) {
		char c = *p;
		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		struct stat st;
		int failed = mkdir(op->path, op->mode);
		if (failed && (errno != EEXIST || stat(op->path, &st) != 0)) {
			op_fail(op, errno);
			return;
		}
		if (failed && !S_ISDIR(st.st_mode)) {
			op_fail(op, ENOTDIR);
			return;
		}
		*p = c;
		if (c == '\0')
			return;
	}
}

int uv_file_mkdirs(struct world *w, const char *path, uint32_t mode, struct err *err)
{
	(void)w;
	if (path[0] == '\0')
		return err_set(err, E_INVALID, "an empty path");
	struct file_op *op = op_new(path);
	if (op)
		op->mode = mode;
	return op_run_only(op, do_mkdirs, err);
}

struct uv_file_lock {
	struct file_lock lock;
	int fd;
};

static void unlock(struct file_lock *base)
{
	struct uv_file_lock *l = (struct uv_file_lock *)base;
	close(l->fd); /* the file stays: removing it would race with the next owner */
	free(l);
}

static void do_lock(void *arg)
{
	struct file_op *op = arg;
	op->fd = open(op->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (op->fd < 0)
		op_fail(op, errno);
	else if (flock(op->fd, LOCK_EX | LOCK_NB) != 0)
		op->rc = errno == EWOULDBLOCK ? err_set(&op->err, E_IN_USE,
						    "%s: locked by another process", op->path)
					      : err_errno(&op->err, errno, "%s", op->path);
}

int uv_file_lock(struct world *w, const char *path, struct file_lock **out, struct err *err)
{
	(void)w;
	struct uv_file_lock *l = malloc(sizeof *l);
	if (!l)
		return err_set(err, E_MEMORY, "no memory for a file lock");
	struct file_op *op;
	int rc = op_run(op_new(path), do_lock, &op, err);
	if (rc) {
		free(l);
		return rc;
	}
	l->lock.unlock = unlock;
	l->fd = op->fd;
	op->fd = -1;
	op_free(op);
	*out = &l->lock;
	return 0;
}
