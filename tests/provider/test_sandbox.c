/* The engine's cage, tried from inside: a forked child locks itself in and then attempts what a
 * hostile model file would make it do. */
#include "provider/engine_sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t parent;

/* Each returns whether the attempt was refused. */

static int refused(long rc)
{
	return rc < 0 && (errno == EPERM || errno == ENOSYS);
}

static int open_file(void)
{
	return refused(open("/etc/passwd", O_RDONLY));
}

static int write_file(void)
{
	return refused(open("/tmp/gate-sandbox-test", O_WRONLY | O_CREAT, 0600));
}

static int make_socket(void)
{
	return refused(socket(AF_INET, SOCK_STREAM, 0)) && refused(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int run_program(void)
{
	char *argv[] = {(char *)"/bin/true", NULL};

	return refused(execv("/bin/true", argv));
}

static int make_process(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (pid == 0)
		_exit(0);
	return refused(pid);
}

static int kill_parent(void)
{
	return refused(kill(parent, 0)) && refused(syscall(SYS_tgkill, parent, parent, 0));
}

static int change_parent(void)
{
	struct rlimit limit;

	return refused(syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, NULL, &limit));
}

static int trace_parent(void)
{
	return refused(syscall(SYS_ptrace, 16L, (long)parent, 0L, 0L)) &&
	       refused(syscall(SYS_process_vm_readv, (long)parent, NULL, 0L, NULL, 0L, 0L));
}

static int remove_file(void)
{
	return refused(unlink("/tmp/gate-sandbox-test")) && refused(mkdir("/tmp/gate-x", 0700)) &&
	       refused(rename("/tmp/a", "/tmp/b")) && refused(chdir("/"));
}

static void *add_one(void *arg)
{
	++*(int *)arg;
	return NULL;
}

/* What it needs goes on: memory, threads that are caged too, its pipe. */
static void *thread_opens(void *arg)
{
	*(int *)arg = open_file();
	return NULL;
}

static int works(void)
{
	int fds[2], n = 0, caged = 0;
	char byte = 0;
	pthread_t t;

	if (pipe2(fds, O_CLOEXEC) != 0 || write(fds[1], "x", 1) != 1 ||
	    read(fds[0], &byte, 1) != 1 || byte != 'x')
		return 0;
	char *p = malloc(64u << 20);
	if (!p)
		return 0;
	memset(p, 1, 64u << 20);
	free(p);
	if (pthread_create(&t, NULL, add_one, &n) != 0 || pthread_join(t, NULL) != 0 || n != 1)
		return 0;
	if (pthread_create(&t, NULL, thread_opens, &caged) != 0 || pthread_join(t, NULL) != 0)
		return 0;
	return caged;
}

/* The child's exit status: 0 when `attempt` behaved, 2 when there is no cage. */
static void in_cage(void **state)
{
	int (*const *attempt)(void) = *state;
	int status;

	parent = getpid();
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (engine_sandbox(NULL) != 0)
			_exit(2);
		_exit((*attempt)() ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		skip(); /* a kernel without seccomp filters */
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CAGED(fn)                                                                                  \
	{                                                                                          \
#fn, in_cage, NULL, NULL, &(int (*[1])(void))                                      \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

/* In sanitizer builds the cage does nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAGE_IS_OPEN 1
#else
#define CAGE_IS_OPEN 0
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {CAGED(open_file), CAGED(write_file), CAGED(make_socket),
	    CAGED(run_program), CAGED(make_process), CAGED(kill_parent), CAGED(change_parent),
	    CAGED(trace_parent), CAGED(remove_file), CAGED(works)};

	if (CAGE_IS_OPEN)
		return 77; /* skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
