/* Token buckets: see bucket.h. */
#include "base/bucket.h"

#define MINUTE_NS INT64_C(60000000000)

static int64_t clamp(int64_t n)
{
	return n > BUCKET_RATE_MAX ? BUCKET_RATE_MAX : n < -BUCKET_RATE_MAX ? -BUCKET_RATE_MAX : n;
}

static int64_t burst_of(struct bucket_rate rate)
{
	return clamp(rate.burst > 0 ? rate.burst : rate.per_min);
}

/* How long it takes until n have come, rounded up. At most 60e18 / 1: beyond that, "for ever". */
static int64_t time_of(struct bucket_rate rate, int64_t n)
{
	__int128 ns = (__int128)n * MINUTE_NS;
	int64_t rate_min = clamp(rate.per_min);
	__int128 t = ns >= 0 ? (ns + rate_min - 1) / rate_min : -(-ns / rate_min);

	return t > INT64_MAX / 4 ? INT64_MAX / 4 : t < -INT64_MAX / 4 ? -INT64_MAX / 4 : (int64_t)t;
}

/* How far from full it is, as time. */
static int64_t missing(const struct token_bucket *b, struct instant now)
{
	return b->full.ns > now.ns ? b->full.ns - now.ns : 0;
}

struct duration token_bucket_take(
    struct token_bucket *b, struct bucket_rate rate, int64_t n, struct instant now)
{
	int64_t burst = burst_of(rate), wanted = n < burst ? n : burst;

	if (rate.per_min <= 0 || n <= 0)
		return duration_ns(0);
	int64_t wait = missing(b, now) + time_of(rate, wanted) - time_of(rate, burst);
	if (wait > 0)
		return duration_ns(wait);
	b->full = instant_add(now, duration_ns(missing(b, now) + time_of(rate, clamp(n))));
	return duration_ns(0);
}

void token_bucket_charge(struct token_bucket *b, struct bucket_rate rate, int64_t n,
    int64_t debt_max, struct instant now)
{
	if (rate.per_min <= 0)
		return;
	int64_t most = time_of(rate, burst_of(rate) + clamp(debt_max));
	int64_t left = missing(b, now) + time_of(rate, clamp(n));
	b->full = instant_add(now, duration_ns(left < most ? left : most));
}

int64_t token_bucket_level(
    const struct token_bucket *b, struct bucket_rate rate, struct instant now)
{
	if (rate.per_min <= 0)
		return BUCKET_RATE_MAX;
	__int128 gone = (__int128)missing(b, now) * clamp(rate.per_min);
	return burst_of(rate) - (int64_t)((gone + MINUTE_NS - 1) / MINUTE_NS);
}
