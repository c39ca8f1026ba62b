/* The engine of the simulated world: answers sums token by token, through the very code that serves
 * the pipe of a real engine process. Its answers follow from the question alone, so that whoever
 * asks knows every byte that has to come back. */
#ifndef SIM_SUMS_H
#define SIM_SUMS_H

#include "rt/world_sim.h"

#include <stddef.h>

#define SUMS_MODEL      "sums"
#define SUMS_ANSWER_MAX 4096 /* bytes of an answer, with its NUL */

/* What a universe's engines have done. Must live as long as the universe. */
struct sums {
	bool drops; /* broken on purpose: now and then a token is lost */
	unsigned loads, answers, cut_short;
	int working; /* answers under way */
};

/* The answer to `question`: "What is 2+2?", "Count to 5.", or anything else, which is beyond it. */
void sums_answer(const char *question, char out[SUMS_ANSWER_MAX]);
/* How many tokens `text` has: a token is a run up to the next blank. */
int64_t sums_count_tokens(const char *text);
/* The first `n` tokens of `text`, in bytes. */
size_t sums_prefix(const char *text, int64_t n);

/* A universe_role_fn; `arg` is a struct sums. */
int sums_engine(struct world *w, struct stream *s, const char *const *argv, void *arg);

#endif
