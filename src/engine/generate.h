/* Generation: a prompt in, text out piece by piece, until the model, a stop string, a limit or the
 * caller ends it.
 *
 * A generator holds a few sequences and remembers what is in them: the next prompt is computed only
 * from where it differs from the one that it shares most with, so that the turns of a conversation
 * do not start over, nor do those of another one in between. */
#ifndef ENGINE_GENERATE_H
#define ENGINE_GENERATE_H

#include "base/bytes.h"
#include "engine/sampler.h"

#include <stdatomic.h>

struct engine_model;
struct grammar;
struct token_trie;
struct tokenizer;
struct generator;

#define GENERATE_UNLIMITED SIZE_MAX /* as many tokens as the context has room for */

/* A token of the answer. */
struct generate_token {
	int32_t id;
	float logprob; /* see token_chances; 0 unless asked for */
	const struct token_chance *top;
	size_t n_top;
};

/* Text as it becomes final: whole UTF-8 characters, no part of a stop string, never empty; and the
 * tokens that were sampled since the piece before. Whoever goes on from all tokens emitted so far
 * goes on exactly after the text emitted so far. */
struct generate_piece {
	const char *utf8;
	size_t n;
	const struct generate_token *tokens;
	size_t n_tokens;
	bool replayed; /* of the continued part; without tokens */
};

/* The piece is not kept after the call. Any result but 0 ends the generation as cancelled. */
typedef int (*generate_emit_fn)(void *arg, const struct generate_piece *piece);

struct generate_job {
	const int32_t *prompt; /* borrowed */
	size_t n_prompt;
	/* The beginning of the answer, generated already (here or elsewhere): the job goes on as if
	 * it had generated it, and emits only what comes after it. Borrowed. */
	const int32_t *continued;
	size_t n_continued;
	size_t continued_text; /* bytes of text emitted of it, where known; else 0 */
	bool replay;           /* hand on the text of the continued part, too, marked as such */
	size_t max_tokens;     /* of the answer, the continued part included */
	struct sampler_params sampling;
	const struct bytes *stops; /* borrowed; see engine/stop.h for the limits */
	size_t n_stops;
	/* What the answer must be, or NULL; borrowed. It ends when it is complete, or cut short by
	 * a limit or a stop string, nowhere else. */
	const struct grammar *grammar;
	/* Control tokens whose names are part of the text (others are left out of it). */
	const int32_t *visible; /* borrowed; at most CONSTRAINT_VISIBLE_MAX */
	size_t n_visible;
	bool logprobs;
	unsigned top_logprobs; /* at most TOKEN_CHANCES_MAX */
	generate_emit_fn emit;
	void *arg;
	const atomic_bool *cancel; /* polled, also inside a long prompt; NULL is never */
};

enum generate_finish {
	GENERATE_STOP,      /* the model ended its turn, a stop string came, the grammar is done */
	GENERATE_LENGTH,    /* max_tokens, or the context is full */
	GENERATE_CANCELLED, /* `cancel` was set, or `emit` said so */
};

struct generate_result {
	enum generate_finish finish;
	int stop; /* STOP: index of the stop string, or -1 */
	size_t prompt_tokens;
	size_t reused_tokens;     /* of the prompt, already computed by a job before */
	size_t completion_tokens; /* continued and sampled; not the one that ends the turn */
};

/* "stop", "length", "cancelled" */
const char *generate_finish_name(enum generate_finish finish);

#define GENERATOR_SEQUENCES_MAX 16

/* Sequences of n_ctx tokens each, up to `n_sequences` of them (1 …  GENERATOR_SEQUENCES_MAX), made
 * when needed. Model and tokenizer are borrowed and outlive the generator; they must have the same
 * number of tokens (E_FORMAT). E_INVALID, E_MEMORY from engine_context_new. */
int generator_new(struct engine_model *model, const struct tokenizer *tokenizer, uint32_t n_ctx,
    unsigned n_sequences, struct generator **out, struct err *err) WARN_UNUSED;
void generator_free(struct generator *g); /* NULL is fine */

/* Runs one job to its end, on the calling thread. 0 with *result filled, also when cancelled;
 * E_CONTEXT_LENGTH (with both numbers) when the prompt does not fit, E_INVALID for parameters and
 * for a continuation that the grammar rules out, E_MEMORY, E_FORMAT when the model
 * yields no numbers. The generator stays usable. */
int generator_run(struct generator *g, const struct generate_job *job,
    struct generate_result *result, struct err *err) WARN_UNUSED;

/* The vector of a text, of engine_model_n_embd floats and length 1. Errors as generator_run. */
int generator_embed(struct generator *g, const int32_t *tokens, size_t n, const atomic_bool *cancel,
    float *out, struct err *err) WARN_UNUSED;

/* The vocabulary as a tree, made when first asked for; the generator's. NULL without memory. */
const struct token_trie *generator_trie(struct generator *g);

#endif
