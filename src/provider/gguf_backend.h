/* A GGUF file as an engine backend: the engine library behind the fiber world. Loading, templates,
 * tokenizing and generating run on worker threads; pieces of text come back as they are made.
 *
 * Sampling that a request leaves open follows the file's own advice (general.sampling.*), else
 * temperature 0.8. */
#ifndef PROVIDER_GGUF_BACKEND_H
#define PROVIDER_GGUF_BACKEND_H

#include "engine/engine.h"
#include "provider/engine_serve.h"

struct gguf_backend;

struct gguf_backend_options {
	struct world *world;
	struct bytes file; /* the whole model file, mapped; outlives the backend */
	const char *path;  /* for messages and the model's id */
	struct engine_options engine;
	uint32_t n_ctx; /* 0: what the model was trained for, at most CTX_DEFAULT_MAX */
};

#define CTX_DEFAULT_MAX 4096

/* Never fails but for memory; loading happens on the first `ready` or `infer`. */
int gguf_backend_new(
    const struct gguf_backend_options *opt, struct gguf_backend **out, struct err *err) WARN_UNUSED;
void gguf_backend_free(struct gguf_backend *b);

struct engine_backend gguf_backend_interface(struct gguf_backend *b);

#endif
