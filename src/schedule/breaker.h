/* A circuit breaker for one provider, and how long to wait between tries. Pure: time and jitter are
 * arguments.
 *
 * CLOSED lets everything through. A failure of the provider itself opens it: nothing passes for a
 * while, which doubles with each failure in a row. Then it is HALF_OPEN: one trial passes, alone;
 * its success closes the breaker, its failure opens it again. */
#ifndef SCHEDULE_BREAKER_H
#define SCHEDULE_BREAKER_H

#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_HALF_OPEN
};

struct breaker {
	unsigned failures;    /* in a row */
	struct instant until; /* of being open; meaningless without failures */
	bool trial;           /* one is under way */
};

#define BREAKER_FIRST_MS 1000
#define BREAKER_MAX_MS   60000

/* "closed", "open", "half-open" */
const char *breaker_state_name(enum breaker_state s);
enum breaker_state breaker_state(const struct breaker *b, struct instant now);

/* Whether a request may go now. */
bool breaker_allows(const struct breaker *b, struct instant now);
/* When it may, INSTANT_NEVER while a trial is under way (its end decides). */
struct instant breaker_opens_at(const struct breaker *b, struct instant now);

/* A request that breaker_allows goes out; exactly one of the three ends follows. */
void breaker_begin(struct breaker *b, struct instant now);
void breaker_success(struct breaker *b);
/* `jitter` is any random number. */
void breaker_failure(struct breaker *b, struct instant now, uint32_t jitter);
/* It ended without telling anything about the provider: cancelled, refused as invalid, busy. */
void breaker_nothing(struct breaker *b);

/* The wait before try number `attempt` (0, 1, …): between half and all of base × 2^attempt, never
 * more than `max`. */
struct duration backoff_wait(
    unsigned attempt, struct duration base, struct duration max, uint32_t jitter);

#endif
