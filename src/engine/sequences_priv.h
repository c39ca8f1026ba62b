/* The sequences that a generator keeps: what each holds, and which serves a prompt best. */
#ifndef ENGINE_SEQUENCES_PRIV_H
#define ENGINE_SEQUENCES_PRIV_H

#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/tokenizer.h"

struct sequence {
	struct engine_context *context; /* NULL: not made yet */
	struct token_list history;      /* what the context holds */
	/* The logits after the first n_kept tokens, when the prompt ended there: another answer to
	 * the same prompt computes nothing, and begins with the same bits. 0: none. */
	float *kept;
	size_t n_kept;
	float *logits; /* a copy that may be changed */
	size_t n_vocab;
	uint64_t used; /* when, in jobs */
};

struct sequences {
	struct engine_model *model;
	uint32_t n_ctx;
	unsigned n;
	uint64_t clock;
	struct sequence all[GENERATOR_SEQUENCES_MAX];
};

/* Makes the first sequence. E_INVALID, E_MEMORY. */
int sequences_init(struct sequences *s, struct engine_model *model, uint32_t n_ctx, unsigned n,
    struct err *err) WARN_UNUSED;
void sequences_free(struct sequences *s);

/* The sequence to compute this prompt in, its cancel flag set. A beginning that another one shares
 * with the prompt and still needs is copied. E_MEMORY. */
int sequences_find(struct sequences *s, const int32_t *prompt, size_t n, const atomic_bool *cancel,
    struct sequence **out, struct err *err) WARN_UNUSED;
/* The one that was not used for the longest time, emptied. */
int sequences_oldest(struct sequences *s, struct sequence **out, struct err *err) WARN_UNUSED;

/* Keeps what the prompt shares with the sequence, computes the rest. */
int sequence_prefill(struct sequence *s, const int32_t *prompt, size_t n, size_t *reused,
    float **logits, struct err *err) WARN_UNUSED;
/* Appends tokens of the answer: the bits are the same however they are divided among calls. */
int sequence_decode(struct sequence *s, const int32_t *tokens, size_t n, float **logits,
    struct err *err) WARN_UNUSED;

#endif
