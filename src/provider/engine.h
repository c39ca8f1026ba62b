/* The embedded engine as a provider: a child process, `gate engine`, that holds one model and is
 * reached over a socketpair. It is watched and started again when it dies; a hostile file or a
 * crash in a kernel never touches this process. */
#ifndef PROVIDER_ENGINE_H
#define PROVIDER_ENGINE_H

#include "provider/provider.h"

struct engine_provider_options {
	struct world *world;
	const char *model;   /* path of a GGUF file */
	const char *kernels; /* "auto" … */
	unsigned threads;    /* 0: the engine decides */
	unsigned n_ctx;      /* tokens; 0: the model's, within reason */
	/* Called on the loop thread when the model comes or goes; must not park. */
	void (*changed)(void *arg);
	void *arg;
};

/* How long a first load may take. */
#define ENGINE_LOAD_LIMIT_MS 300000

/* [parks] Starts the child and waits until its model is loaded. The failure of a first load is the
 * caller's to report: E_NOT_FOUND, E_FORMAT, E_UNSUPPORTED, E_MEMORY, or E_UNAVAILABLE when the
 * child died of it. Later deaths are handled here. */
int engine_provider_new(
    const struct engine_provider_options *opt, struct provider **out, struct err *err) WARN_UNUSED;

#endif
