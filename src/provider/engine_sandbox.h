/* The engine's cage: after this the process can compute and talk over what it has open, no more. */
#ifndef PROVIDER_ENGINE_SANDBOX_H
#define PROVIDER_ENGINE_SANDBOX_H

#include "base/err.h"

/* Denies this process, and every thread it makes, all system calls but those of memory, threads,
 * clocks and its open descriptors: no file can be opened, no socket made, no program started.
 * Denied calls fail with EPERM. E_UNSUPPORTED where the kernel has no seccomp filters. A no-op in
 * sanitizer builds, whose runtimes need more. */
int engine_sandbox(struct err *err) WARN_UNUSED;

#endif
