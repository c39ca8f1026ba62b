/* Sampling: one token from the logits of a step. Deterministic: equal parameters, seed, logits and
 * history give equal tokens, whatever else the process does. The draw for a token depends on the
 * seed and on how many tokens were generated before it, on nothing else: whoever goes on from the
 * same tokens with the same seed draws alike.
 *
 * The chain, in this order, each stage off by default: logit bias; repetition, frequency and
 * presence penalties; top-k; top-p; min-p (both on the probabilities at temperature 1);
 * temperature; a draw. A temperature of 0 takes the best token after the penalties (the lowest id
 * among equals). */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "base/bytes.h"

#define SAMPLER_LAST_N_MAX 4096u
#define SAMPLER_BIASES_MAX 1024u

struct logit_bias {
	int32_t id;
	float bias; /* added; -INFINITY bans */
};

struct sampler_params {
	float temperature;    /* 0 is greedy; 0 … 100 */
	uint32_t top_k;       /* 0 is off */
	float top_p;          /* 1 is off; 0 … 1 */
	float min_p;          /* 0 is off; 0 … 1, relative to the best token's probability */
	float repeat_penalty; /* 1 is off; divides positive logits of recent tokens; 0.01 … 100 */
	uint32_t repeat_last_n;  /* how many tokens are recent, prompt included */
	float frequency_penalty; /* subtracted for each time a token was generated; -100 … 100 */
	float presence_penalty;  /* subtracted once if it was */
	uint64_t seed;
	const struct logit_bias *biases; /* borrowed by the sampler for its lifetime */
	size_t n_biases;
};

/* Plain sampling at temperature 1: what the OpenAI API does when nothing is asked for. */
#define SAMPLER_DEFAULTS                                                                           \
	((struct sampler_params){                                                                  \
	    .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64})

struct sampler;

/* E_INVALID naming the parameter that is out of range, E_MEMORY. */
int sampler_new(const struct sampler_params *params, size_t n_vocab, struct sampler **out,
    struct err *err) WARN_UNUSED;
void sampler_free(struct sampler *s); /* NULL is fine */

/* Tells of a token of the prompt (for the repetition penalty), oldest first. */
void sampler_see_prompt(struct sampler *s, int32_t id);

/* Tells of a token that was generated: picked here, or before this sampler took over. */
void sampler_see_generated(struct sampler *s, int32_t id);

/* Logit bias and penalties; `logits` (n_vocab of them) are changed. Once for each token. */
void sampler_penalize(const struct sampler *s, float *logits);

/* Picks a token from penalized logits. E_FORMAT when none of them is a number. */
int sampler_pick(struct sampler *s, const float *logits, int32_t *out, struct err *err) WARN_UNUSED;

/* The seed of one of several answers to the same prompt; of the first, `seed` itself. */
uint64_t sampler_seed_of_choice(uint64_t seed, unsigned choice);

/* ---- log probabilities --------------------------------------------------------------------- */

#define TOKEN_CHANCES_MAX 20

struct token_chance {
	int32_t id;
	float logprob;
};

/* Natural logarithms of the model's own probabilities, from its logits as they come: before bias,
 * penalties, temperature and every filter, a grammar's mask included. Writes the chance of `id` and
 * the n_top likeliest tokens, best first (at most TOKEN_CHANCES_MAX); returns how many there are.
 */
size_t token_chances(const float *logits, size_t n_vocab, int32_t id, float *logprob,
    struct token_chance *top, size_t n_top);

#endif
