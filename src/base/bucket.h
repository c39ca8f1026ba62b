/* Token buckets: so much a minute, and a burst at once. Pure: the time is an argument. Integer
 * arithmetic, in nanoseconds: a bucket is no more than the time at which it is full again, so an
 * empty struct is a full bucket, and one that was long left alone needs no care. */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include "base/units.h"

/* `per_min` 0: no limit at all. `burst` is what a full bucket holds; 0: what comes in a minute. */
struct bucket_rate {
	int64_t per_min, burst;
};

#define BUCKET_RATE_MAX INT64_C(1000000000) /* of per_min, burst and amounts */

struct token_bucket {
	struct instant full; /* when it is full again */
};

/* Takes n, when that much is there; n beyond the burst needs a full bucket and leaves a debt, so
 * that nobody asks for ever in vain. 0 when taken; otherwise nothing is taken, and the result is
 * how long it takes until it would be. */
struct duration token_bucket_take(
    struct token_bucket *b, struct bucket_rate rate, int64_t n, struct instant now);

/* Takes n in any case, or gives -n back. What is missing becomes debt: at most `debt_max`, beyond
 * which it is forgiven. */
void token_bucket_charge(struct token_bucket *b, struct bucket_rate rate, int64_t n,
    int64_t debt_max, struct instant now);

/* What is there now; negative: debt. BUCKET_RATE_MAX without a limit. */
int64_t token_bucket_level(
    const struct token_bucket *b, struct bucket_rate rate, struct instant now);

#endif
