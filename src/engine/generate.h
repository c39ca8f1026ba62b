/* Generation: a prompt in, text out piece by piece, until the model, a stop string, a limit or the
 * caller ends it. A generator holds one sequence and remembers what is in it: the next prompt is
 * computed only from where it differs, so the turns of a conversation do not start over. */
#ifndef ENGINE_GENERATE_H
#define ENGINE_GENERATE_H

#include "base/bytes.h"
#include "engine/sampler.h"

#include <stdatomic.h>

struct engine_model;
struct tokenizer;
struct generator;

#define GENERATE_UNLIMITED SIZE_MAX /* as many tokens as the context has room for */

/* Text as it becomes final: whole UTF-8 characters, no part of a stop string, never empty. Not kept
 * after the call. Any result but 0 ends the generation as cancelled. */
typedef int (*generate_emit_fn)(void *arg, const char *utf8, size_t n);

struct generate_job {
	const int32_t *prompt; /* borrowed */
	size_t n_prompt;
	size_t max_tokens; /* of the answer */
	struct sampler_params sampling;
	const struct bytes *stops; /* borrowed; see engine/stop.h for the limits */
	size_t n_stops;
	generate_emit_fn emit;
	void *arg;
	const atomic_bool *cancel; /* polled, also inside a long prompt; NULL is never */
};

enum generate_finish {
	GENERATE_STOP,      /* the model ended its turn, or a stop string came */
	GENERATE_LENGTH,    /* max_tokens, or the context is full */
	GENERATE_CANCELLED, /* `cancel` was set, or `emit` said so */
};

struct generate_result {
	enum generate_finish finish;
	size_t prompt_tokens;
	size_t reused_tokens;     /* of the prompt, already computed by the job before */
	size_t completion_tokens; /* sampled, the token that ends the turn not counted */
};

/* "stop", "length", "cancelled" */
const char *generate_finish_name(enum generate_finish finish);

/* Room for n_ctx tokens. Model and tokenizer are borrowed and outlive the generator; they must have
 * the same number of tokens (E_FORMAT). E_INVALID, E_MEMORY from engine_context_new. */
int generator_new(struct engine_model *model, const struct tokenizer *tokenizer, uint32_t n_ctx,
    struct generator **out, struct err *err) WARN_UNUSED;
void generator_free(struct generator *g); /* NULL is fine */

/* Runs one job to its end, on the calling thread. 0 with *result filled, also when cancelled;
 * E_CONTEXT_LENGTH (with both numbers) when the prompt does not fit, E_INVALID for parameters,
 * E_MEMORY, E_FORMAT when the model yields no numbers. The generator stays usable. */
int generator_run(struct generator *g, const struct generate_job *job,
    struct generate_result *result, struct err *err) WARN_UNUSED;

#endif
