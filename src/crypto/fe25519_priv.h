/* Arithmetic modulo p = 2^255 - 19 on public values: nothing here hides its running time, so no
 * secret may come near it.
 *
 * A number is five limbs of 51 bits. Its limbs may be larger for a while; `bits` in the comments is
 * the bound on each. Products are below 52 bits; fe_mul takes factors whose bounds add up to 108
 * bits, which keeps its sums below 2^115 and their carries in 64 bits. */
#ifndef CRYPTO_FE25519_PRIV_H
#define CRYPTO_FE25519_PRIV_H

#include "base/bytes.h"

#define FE_BITS 51
#define FE_MASK (((uint64_t)1 << FE_BITS) - 1)

struct fe {
	uint64_t v[5];
};

__extension__ typedef unsigned __int128 fe_wide;

/* One bit more than the larger of both. */
static inline struct fe fe_add(const struct fe *a, const struct fe *b)
{
	struct fe r;

	for (int i = 0; i < 5; i++)
		r.v[i] = a->v[i] + b->v[i];
	return r;
}

/* a - b, with 4p added so that no limb goes below zero: b has at most 52.9 bits, the result as many
 * as a + 2^53. */
static inline struct fe fe_sub(const struct fe *a, const struct fe *b)
{
	struct fe r;

	r.v[0] = a->v[0] + 4 * (FE_MASK - 18) - b->v[0];
	for (int i = 1; i < 5; i++)
		r.v[i] = a->v[i] + 4 * FE_MASK - b->v[i];
	return r;
}

/* The same with 8p: b has at most 53.9 bits, the result as many as a + 2^54. */
static inline struct fe fe_sub_large(const struct fe *a, const struct fe *b)
{
	struct fe r;

	r.v[0] = a->v[0] + 8 * (FE_MASK - 18) - b->v[0];
	for (int i = 1; i < 5; i++)
		r.v[i] = a->v[i] + 8 * FE_MASK - b->v[i];
	return r;
}

/* Carries the five sums, each below 2^115, into limbs below 52 bits. */
static inline struct fe fe_carried(fe_wide r0, fe_wide r1, fe_wide r2, fe_wide r3, fe_wide r4)
{
	struct fe r;
	uint64_t top;

	r1 += (uint64_t)(r0 >> FE_BITS);
	r2 += (uint64_t)(r1 >> FE_BITS);
	r3 += (uint64_t)(r2 >> FE_BITS);
	r4 += (uint64_t)(r3 >> FE_BITS);
	top = (uint64_t)(r4 >> FE_BITS);
	r.v[0] = ((uint64_t)r0 & FE_MASK) + 19 * top;
	r.v[1] = ((uint64_t)r1 & FE_MASK) + (r.v[0] >> FE_BITS);
	r.v[0] &= FE_MASK;
	r.v[2] = (uint64_t)r2 & FE_MASK;
	r.v[3] = (uint64_t)r3 & FE_MASK;
	r.v[4] = (uint64_t)r4 & FE_MASK;
	return r;
}

static inline struct fe fe_mul(const struct fe *a, const struct fe *b)
{
	uint64_t a0 = a->v[0], a1 = a->v[1], a2 = a->v[2], a3 = a->v[3], a4 = a->v[4];
	uint64_t b0 = b->v[0], b1 = b->v[1], b2 = b->v[2], b3 = b->v[3], b4 = b->v[4];
	/* 2^255 = 19: what goes beyond the top limb comes back at the bottom. */
	uint64_t c1 = 19 * b1, c2 = 19 * b2, c3 = 19 * b3, c4 = 19 * b4;

	return fe_carried((fe_wide)a0 * b0 + (fe_wide)a1 * c4 + (fe_wide)a2 * c3 +
			      (fe_wide)a3 * c2 + (fe_wide)a4 * c1,
	    (fe_wide)a0 * b1 + (fe_wide)a1 * b0 + (fe_wide)a2 * c4 + (fe_wide)a3 * c3 +
		(fe_wide)a4 * c2,
	    (fe_wide)a0 * b2 + (fe_wide)a1 * b1 + (fe_wide)a2 * b0 + (fe_wide)a3 * c4 +
		(fe_wide)a4 * c3,
	    (fe_wide)a0 * b3 + (fe_wide)a1 * b2 + (fe_wide)a2 * b1 + (fe_wide)a3 * b0 +
		(fe_wide)a4 * c4,
	    (fe_wide)a0 * b4 + (fe_wide)a1 * b3 + (fe_wide)a2 * b2 + (fe_wide)a3 * b1 +
		(fe_wide)a4 * b0);
}

/* Of at most 54 bits. */
static inline struct fe fe_square(const struct fe *a)
{
	uint64_t a0 = a->v[0], a1 = a->v[1], a2 = a->v[2], a3 = a->v[3], a4 = a->v[4];
	uint64_t d0 = 2 * a0, d1 = 2 * a1, c3 = 19 * a3, c4 = 19 * a4;

	return fe_carried((fe_wide)a0 * a0 + (fe_wide)d1 * c4 + (fe_wide)(2 * a2) * c3,
	    (fe_wide)d0 * a1 + (fe_wide)(2 * a2) * c4 + (fe_wide)a3 * c3,
	    (fe_wide)d0 * a2 + (fe_wide)a1 * a1 + (fe_wide)(2 * a3) * c4,
	    (fe_wide)d0 * a3 + (fe_wide)d1 * a2 + (fe_wide)a4 * c4,
	    (fe_wide)d0 * a4 + (fe_wide)d1 * a3 + (fe_wide)a2 * a2);
}

static inline struct fe fe_square_times(const struct fe *a, int n)
{
	struct fe r = *a;

	while (n-- > 0)
		r = fe_square(&r);
	return r;
}

/* a^(2^250 - 1), and a^11 beside it: where both long powers begin. */
static inline struct fe fe_power_250(const struct fe *a, struct fe *a11)
{
	struct fe a2 = fe_square(a), t = fe_square_times(&a2, 2);
	struct fe a9 = fe_mul(a, &t), e5, e10, e20, e40, e50, e100, e200;

	*a11 = fe_mul(&a2, &a9);
	t = fe_square(a11);
	e5 = fe_mul(&a9, &t); /* e_n is a^(2^n - 1) */
	t = fe_square_times(&e5, 5);
	e10 = fe_mul(&t, &e5);
	t = fe_square_times(&e10, 10);
	e20 = fe_mul(&t, &e10);
	t = fe_square_times(&e20, 20);
	e40 = fe_mul(&t, &e20);
	t = fe_square_times(&e40, 10);
	e50 = fe_mul(&t, &e10);
	t = fe_square_times(&e50, 50);
	e100 = fe_mul(&t, &e50);
	t = fe_square_times(&e100, 100);
	e200 = fe_mul(&t, &e100);
	t = fe_square_times(&e200, 50);
	return fe_mul(&t, &e50);
}

/* 1/a = a^(p - 2) = a^(2^255 - 21); 0 of 0. */
static inline struct fe fe_invert(const struct fe *a)
{
	struct fe a11, t = fe_power_250(a, &a11);

	t = fe_square_times(&t, 5);
	return fe_mul(&t, &a11);
}

/* a^((p - 5) / 8) = a^(2^252 - 3) */
static inline struct fe fe_power_root(const struct fe *a)
{
	struct fe a11, t = fe_power_250(a, &a11);

	t = fe_square_times(&t, 2);
	return fe_mul(&t, a);
}

/* The top bit is not looked at. */
static inline struct fe fe_from_bytes(const uint8_t in[32])
{
	uint64_t w[4];
	struct fe r;

	for (int i = 0; i < 4; i++) {
		w[i] = 0;
		for (int k = 7; k >= 0; k--)
			w[i] = w[i] << 8 | in[8 * i + k];
	}
	r.v[0] = w[0] & FE_MASK;
	r.v[1] = (w[0] >> 51 | w[1] << 13) & FE_MASK;
	r.v[2] = (w[1] >> 38 | w[2] << 26) & FE_MASK;
	r.v[3] = (w[2] >> 25 | w[3] << 39) & FE_MASK;
	r.v[4] = w[3] >> 12 & FE_MASK;
	return r;
}

static inline void fe_carry(struct fe *a)
{
	for (int i = 0; i < 4; i++) {
		a->v[i + 1] += a->v[i] >> FE_BITS;
		a->v[i] &= FE_MASK;
	}
	a->v[0] += 19 * (a->v[4] >> FE_BITS);
	a->v[4] &= FE_MASK;
}

/* The one encoding below p. */
static inline void fe_to_bytes(const struct fe *a, uint8_t out[32])
{
	struct fe t = *a;
	uint64_t q, w[4];

	fe_carry(&t);
	fe_carry(&t); /* now below 2^255 + 19 */
	q = (t.v[0] + 19) >> FE_BITS;
	for (int i = 1; i < 5; i++)
		q = (t.v[i] + q) >> FE_BITS;
	t.v[0] += 19 * q; /* q: whether it is p or more; then 2^255 falls off the top */
	for (int i = 0; i < 4; i++) {
		t.v[i + 1] += t.v[i] >> FE_BITS;
		t.v[i] &= FE_MASK;
	}
	t.v[4] &= FE_MASK;
	w[0] = t.v[0] | t.v[1] << 51;
	w[1] = t.v[1] >> 13 | t.v[2] << 38;
	w[2] = t.v[2] >> 26 | t.v[3] << 25;
	w[3] = t.v[3] >> 39 | t.v[4] << 12;
	for (int i = 0; i < 32; i++)
		out[i] = (uint8_t)(w[i / 8] >> (8 * (i % 8)));
}

static inline bool fe_equal(const struct fe *a, const struct fe *b)
{
	uint8_t x[32], y[32];

	fe_to_bytes(a, x);
	fe_to_bytes(b, y);
	return memcmp(x, y, 32) == 0;
}

static inline bool fe_is_zero(const struct fe *a)
{
	static const struct fe zero;

	return fe_equal(a, &zero);
}

/* The sign of a point's x: whether its encoding is odd. */
static inline bool fe_is_odd(const struct fe *a)
{
	uint8_t x[32];

	fe_to_bytes(a, x);
	return x[0] & 1;
}

#endif
