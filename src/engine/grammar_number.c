/* Numbers between bounds, as digits. */
#include "engine/grammar_priv.h"

#include <math.h>
#include <stdio.h>

#define DIGITS_MAX   15
#define MOST         999999999999999LL /* DIGITS_MAX digits */
#define DECIMALS_MAX 6

/* Digits from low to high (n of each), a point before the last `point` of them (0: none). */
static uint32_t build_span(
    struct builder *b, const char *low, const char *high, unsigned n, unsigned point, uint32_t next)
{
	static const char zeros[] = "00000000000000000000000", nines[] = "99999999999999999999999";
	if (n == 0)
		return next;
	uint32_t at = G_DEAD;
	char first = low[0], last = high[0];
	if (first == last) {
		at = build_byte(b, first, build_span(b, low + 1, high + 1, n - 1, point, next));
	} else {
		if (memcmp(low + 1, zeros, n - 1) != 0) {
			at =
			    build_byte(b, first, build_span(b, low + 1, nines, n - 1, point, next));
			first++;
		}
		if (memcmp(high + 1, nines, n - 1) != 0) {
			at = build_split(b, at,
			    build_byte(
				b, last, build_span(b, zeros, high + 1, n - 1, point, next)));
			last--;
		}
		if (first <= last)
			at = build_split(b, at,
			    build_range(b, (uint8_t)first, (uint8_t)last,
				build_span(b, zeros, nines, n - 1, point, next)));
	}
	return point && point == n ? build_byte(b, '.', at) : at;
}

/* Whole numbers low … high, both >= 0, the last `decimals` digits behind a point. */
static uint32_t build_naturals(
    struct builder *b, long long low, long long high, unsigned decimals, uint32_t next)
{
	uint32_t at = G_DEAD;
	long long least = 0, power = 10;
	for (unsigned n = 1; n <= DIGITS_MAX + DECIMALS_MAX && built_ok(b); n++, power *= 10) {
		bool short_of_point = n <= decimals;
		long long from = low > least ? low : least;
		long long to = high < power - 1 ? high : power - 1;
		if (!short_of_point && from <= to) {
			char a[24], c[24];
			snprintf(a, sizeof a, "%0*lld", (int)n, from);
			snprintf(c, sizeof c, "%0*lld", (int)n, to);
			at = build_split(b, at, build_span(b, a, c, n, decimals, next));
		}
		if (!short_of_point)
			least = power;
		if (power > MOST)
			break;
	}
	return at;
}

static uint32_t build_integers(
    struct builder *b, long long low, long long high, unsigned decimals, uint32_t next)
{
	uint32_t at = G_DEAD;
	if (low < 0 && low <= high) {
		long long least = high < 0 ? -high : 1;
		at = build_byte(b, '-', build_naturals(b, least, -low, decimals, next));
	}
	if (high >= 0)
		at = build_split(b, build_naturals(b, low > 0 ? low : 0, high, decimals, next), at);
	return at;
}

/* Digits that are not all zeros. */
static uint32_t build_nonzero(struct builder *b, uint32_t next)
{
	uint32_t at = build_range(b, '1', '9', next);
	for (unsigned i = 1; i < DIGITS_MAX; i++)
		at = build_split(b, build_byte(b, '0', at),
		    build_range(b, '1', '9', build_digits(b, 0, i, next)));
	return at;
}

/* Numbers with a fraction whose whole part says already that they are within the bounds. */
static uint32_t build_fractions(
    struct builder *b, const struct number_bounds *n, long long low, long long high, uint32_t next)
{
	bool low_whole = ceil(n->low) <= n->low, high_whole = floor(n->high) >= n->high;
	uint32_t fraction = build_byte(b, '.', build_digits(b, 1, DIGITS_MAX, next));
	uint32_t at = G_DEAD;
	if (high - 1 >= 0)
		at = build_naturals(b, low > 0 ? low : 0, high - 1, 0, fraction);
	if (n->has_low && n->low_open && low_whole && n->low >= 0 && low <= high)
		at = build_split(b, at,
		    build_naturals(
			b, low - 1, low - 1, 0, build_byte(b, '.', build_nonzero(b, next))));
	uint32_t below = G_DEAD;
	if (-low - 1 >= 0)
		below = build_naturals(b, high < 0 ? -high : 0, -low - 1, 0, fraction);
	if (n->has_high && n->high_open && high_whole && n->high <= 0 && low <= high)
		below = build_split(b, below,
		    build_naturals(
			b, -high - 1, -high - 1, 0, build_byte(b, '.', build_nonzero(b, next))));
	return build_split(b, at, build_byte(b, '-', below));
}

/* How many decimals the bounds have; -1: too many. */
static int decimals_of(const struct number_bounds *n)
{
	double scale = 1;
	for (int d = 0; d <= DECIMALS_MAX; d++, scale *= 10) {
		double low = n->has_low ? n->low * scale : 0;
		double high = n->has_high ? n->high * scale : 0;
		if (fabs(low - nearbyint(low)) < 1e-6 && fabs(high - nearbyint(high)) < 1e-6)
			return d;
	}
	return -1;
}

/* The least and greatest whole number within the bounds scaled by 10^decimals. */
static void whole_bounds(
    const struct number_bounds *n, int decimals, long long *low, long long *high)
{
	double scale = pow(10, decimals), most = (double)MOST;
	*low = -MOST;
	*high = MOST;
	if (n->has_low) {
		double x = n->low * scale, whole = nearbyint(x);
		whole = fabs(x - whole) < 1e-6 ? whole + n->low_open : ceil(x);
		*low = whole > most ? MOST + 1 : whole > -most ? (long long)whole : -MOST;
	}
	if (n->has_high) {
		double x = n->high * scale, whole = nearbyint(x);
		whole = fabs(x - whole) < 1e-6 ? whole - n->high_open : floor(x);
		*high = whole < -most ? -MOST - 1 : whole < most ? (long long)whole : MOST;
	}
}

uint32_t build_bounded(
    struct builder *b, const struct number_bounds *n, bool integer, uint32_t next)
{
	long long low, high;
	whole_bounds(n, 0, &low, &high);
	uint32_t at = low <= high ? build_integers(b, low, high, 0, next) : G_DEAD;
	if (integer)
		return at;
	int decimals = decimals_of(n);
	if (decimals < 0)
		return build_refuse(b, "minimum",
		    "or maximum with so many decimals is not "
		    "supported");
	/* The whole part alone cannot tell for a bound at the edge of what is representable. */
	at = build_split(b, at, build_fractions(b, n, low, high, next));
	if (decimals > 0) {
		whole_bounds(n, decimals, &low, &high);
		if (low <= high)
			at = build_split(
			    b, at, build_integers(b, low, high, (unsigned)decimals, next));
	}
	return at;
}
