/* The serving half of the engine's process: HTTP in the OpenAI dialect on every stream of a
 * multiplexed pipe, answered by a backend. The real backend (engine_backend.h) is a loaded GGUF
 * file; the simulation has one of its own. */
#ifndef PROVIDER_ENGINE_SERVE_H
#define PROVIDER_ENGINE_SERVE_H

#include "dialect/inference.h"
#include "rt/world.h"

struct engine_backend {
	/* [parks] Waits until the model is there: 0 and *out, or why it cannot be loaded. */
	int (*ready)(void *arg, struct model_entry *out, struct err *err);
	/* [parks] As provider_infer. */
	int (*infer)(void *arg, const struct inference_request *req, inference_emit_fn emit,
	    void *emit_arg, struct err *err);
	/* [parks] out->values becomes a talloc child of `mem`. NULL: there are no embeddings. */
	int (*embed)(void *arg, void *mem, const struct embedding_request *req,
	    struct embedding_result *out, struct err *err);
	void *arg;
};

/* [parks] Serves until the pipe ends. Takes `s` over. The reason it ended, never 0. */
int engine_serve(
    struct world *w, struct stream *s, const struct engine_backend *backend, struct err *err);

#endif
