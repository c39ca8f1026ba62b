/* The engine's cage, with libseccomp: an allow list, everything else fails with EPERM. */
#include "provider/engine_sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Names, not numbers: libseccomp knows which exist on this architecture. */
static const char *const allowed[] = {
    /* descriptors that are open */
    "read",
    "write",
    "readv",
    "writev",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "shutdown",
    "close",
    "fstat",
    "newfstatat",
    "lseek",
    "fcntl",
    "ioctl",
    "poll",
    "ppoll",
    /* the event loop */
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "pipe2",
    /* memory */
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "membarrier",
    /* threads */
    "futex",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "set_tid_address",
    "gettid",
    "getpid",
    "sched_yield",
    "sched_getaffinity",
    "getcpu",
    "exit",
    "exit_group",
    "prctl",
    /* signals */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "restart_syscall",
    /* clocks and facts */
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "nanosleep",
    "clock_nanosleep",
    "getrandom",
    "getrusage",
    "sysinfo",
    "uname",
    "getrlimit",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
};

int engine_sandbox(struct err *err)
{
#ifdef SANITIZED
	(void)err;
	(void)allowed;
	return 0;
#else
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return err_set(err, E_MEMORY, "no memory for the engine's sandbox");
	int rc = 0;
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed && rc == 0; i++) {
		int number = seccomp_syscall_resolve_name(allowed[i]);
		if (number != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
		if (rc == -EDOM || rc == -EINVAL)
			rc = 0; /* not on this architecture */
	}
	/* Signals to itself (abort), limits of its own: not those of the node or of anybody else.
	 */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (rc == 0)
		rc = seccomp_rule_add(
		    filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
	/* Threads, no processes. clone3 hides its flags from filters: the C library falls back to
	 * clone when it does not exist. */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc)
		return err_set(
		    err, E_UNSUPPORTED, "cannot enter the engine's sandbox: %s", strerror(-rc));
	return 0;
#endif
}
