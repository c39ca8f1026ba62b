/* See breaker.h. */
#include "schedule/breaker.h"

const char *breaker_state_name(enum breaker_state s)
{
	switch (s) {
	case BREAKER_CLOSED:
		return "closed";
	case BREAKER_OPEN:
		return "open";
	case BREAKER_HALF_OPEN:
		return "half-open";
	}
	return "";
}

enum breaker_state breaker_state(const struct breaker *b, struct instant now)
{
	if (b->failures == 0)
		return BREAKER_CLOSED;
	return instant_before(now, b->until) ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

bool breaker_allows(const struct breaker *b, struct instant now)
{
	switch (breaker_state(b, now)) {
	case BREAKER_CLOSED:
		return true;
	case BREAKER_OPEN:
		return false;
	case BREAKER_HALF_OPEN:
		return !b->trial;
	}
	return false;
}

struct instant breaker_opens_at(const struct breaker *b, struct instant now)
{
	if (breaker_allows(b, now))
		return now;
	return b->trial ? INSTANT_NEVER : b->until;
}

void breaker_begin(struct breaker *b, struct instant now)
{
	if (breaker_state(b, now) == BREAKER_HALF_OPEN)
		b->trial = true;
}

void breaker_success(struct breaker *b)
{
	*b = (struct breaker){0};
}

void breaker_failure(struct breaker *b, struct instant now, uint32_t jitter)
{
	/* Requests that were under way when it opened do not make it wait longer. */
	if (breaker_state(b, now) == BREAKER_OPEN && !b->trial)
		return;
	b->trial = false;
	b->until = instant_add(now, backoff_wait(b->failures, duration_ms(BREAKER_FIRST_MS),
					duration_ms(BREAKER_MAX_MS), jitter));
	b->failures++;
}

void breaker_nothing(struct breaker *b)
{
	b->trial = false;
}

struct duration backoff_wait(
    unsigned attempt, struct duration base, struct duration max, uint32_t jitter)
{
	int64_t wait = base.ns;
	for (unsigned i = 0; i < attempt && wait < max.ns; i++)
		wait = wait > max.ns / 2 ? max.ns : wait * 2;
	if (wait > max.ns)
		wait = max.ns;
	int64_t half = wait / 2;
	return duration_ns(half + (int64_t)((__int128)(wait - half) * jitter / UINT32_MAX));
}
