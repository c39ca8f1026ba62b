/* Units: one-member structs, so that milliseconds are never added to tokens by accident.
 * Durations saturate at "forever" instead of overflowing. Money joins when the market does. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* A length of time in nanoseconds, never negative. DURATION_FOREVER means no limit. */
struct duration {
	int64_t ns;
};

/* A point on the world's monotonic clock in nanoseconds since an arbitrary origin. */
struct instant {
	int64_t ns;
};

#define DURATION_FOREVER ((struct duration){INT64_MAX})
#define INSTANT_NEVER    ((struct instant){INT64_MAX})

static inline struct duration duration_ns(int64_t ns)
{
	return (struct duration){ns < 0 ? 0 : ns};
}

static inline struct duration duration_us(int64_t us)
{
	return us > INT64_MAX / 1000 ? DURATION_FOREVER : duration_ns(us * 1000);
}

static inline struct duration duration_ms(int64_t ms)
{
	return ms > INT64_MAX / 1000000 ? DURATION_FOREVER : duration_ns(ms * 1000000);
}

static inline struct duration duration_s(int64_t s)
{
	return s > INT64_MAX / 1000000000 ? DURATION_FOREVER : duration_ns(s * 1000000000);
}

static inline int64_t duration_to_ms(struct duration d)
{
	return d.ns / 1000000;
}

static inline struct instant instant_add(struct instant t, struct duration d)
{
	return d.ns > INT64_MAX - t.ns ? INSTANT_NEVER : (struct instant){t.ns + d.ns};
}

/* Time from `earlier` to `later`; zero when `later` is not later. */
static inline struct duration instant_since(struct instant later, struct instant earlier)
{
	if (later.ns == INT64_MAX)
		return DURATION_FOREVER;
	return duration_ns(later.ns > earlier.ns ? later.ns - earlier.ns : 0);
}

static inline bool instant_before(struct instant a, struct instant b)
{
	return a.ns < b.ns;
}

static inline struct instant instant_min(struct instant a, struct instant b)
{
	return a.ns < b.ns ? a : b;
}

#endif
