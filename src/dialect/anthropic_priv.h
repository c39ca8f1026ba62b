/* What the files of the Anthropic dialect share. */
#ifndef DIALECT_ANTHROPIC_PRIV_H
#define DIALECT_ANTHROPIC_PRIV_H

#include "dialect/inference.h"

int anthropic_parse(void *mem, struct bytes body, struct inference_request **out, struct err *err);

int anthropic_count_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err);

/* As upstream.error. */
int anthropic_error_parse(struct bytes body, int status, struct err *err);

/* Efforts, and the budgets of thoughts that stand for them: `tokens` when writing, up to `most`
 * when reading. */
struct anthropic_effort {
	const char *name;
	int64_t tokens, most;
};
#define ANTHROPIC_EFFORTS 5
extern const struct anthropic_effort anthropic_efforts[ANTHROPIC_EFFORTS];

#endif
