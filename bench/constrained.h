/* What constrained decoding costs: tokens per second of a free answer and of answers held to
 * schemas, side by side. */
#ifndef BENCH_CONSTRAINED_H
#define BENCH_CONSTRAINED_H

#include "engine/engine.h"

/* The model's vocabulary is invented: bytes, words with and without a space before them, and the
 * punctuation that JSON is made of. `n` tokens an answer. Prints a table. */
int measure_constrained(
    struct engine_model *m, unsigned rounds, unsigned n, struct err *err) WARN_UNUSED;

#endif
