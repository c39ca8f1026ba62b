/* Verification with kept multiples. SPEC RFC 8032 section 5.1.7: a signature R, S by key A over a
 * message is true when S·B - h·A encodes to R, with h = SHA-512(R, A, message).
 *
 * A scalar is written as 64 digits of -8 to 8 in base 16, digit 8j + k standing for 16^k · 2^(32j).
 * Kept are the multiples 1 to 8 of 2^(32j)·B and of 2^(32j)·(-A) for j = 0 to 7; so the sum over j
 * and both scalars is taken for each k, from the highest, with four doublings in between: 128
 * additions and 28 doublings, where a key never met before needs some 250 doublings.
 *
 * Formulas: "Twisted Edwards Curves Revisited" (Hisil, Wong, Carter, Dawson 2008), for a = -1. */
#include "crypto/ed25519_keys.h"

#include "crypto/fe25519_priv.h"

#include <sodium.h>
#include <stdlib.h>

#define BLOCKS      8 /* of 32 bits */
#define BLOCK_BITS  32
#define BLOCK_STEPS 8 /* digits in a block */
#define MULTIPLES   8
#define DIGITS      (BLOCKS * BLOCK_STEPS)
#define TABLE_SIZE  (BLOCKS * MULTIPLES)

/* A point as (X/Z, Y/Z) with T = XY/Z. All coordinates are products: below 52 bits. */
struct point {
	struct fe x, y, z, t;
};

/* A point's affine y + x, y - x and 2d·xy. */
struct affine {
	struct fe sum, difference, t2d;
};

struct table {
	struct affine at[BLOCKS][MULTIPLES];
};

struct known {
	uint8_t key[ED25519_PUBLIC_SIZE];
	uint64_t used;          /* when last, counted in signatures; 0: free */
	struct table *negative; /* multiples of -A, from the second signature on */
};

struct ed25519_keys {
	struct table base;
	uint64_t clock;
	size_t cap, n;
	struct known known[];
};

static const struct fe one = {{1}};
static const struct fe d = {
    {0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff}};
static const struct fe d2 = {
    {0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff}};
static const struct fe root_of_minus_one = {
    {0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d}};
static const uint8_t base_point[32] = {0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
    0x66, 0x66, 0x66, 0x66, 0x66, 0x66};

/* ---- points -------------------------------------------------------------------------------- */

/* X = e·f, Y = g·h, Z = f·g, T = e·h. In all that follows `out` may be an argument, too. */
static inline void complete(struct point *out, const struct fe *e, const struct fe *f,
    const struct fe *g, const struct fe *h)
{
	out->x = fe_mul(e, f);
	out->y = fe_mul(g, h);
	out->z = fe_mul(f, g);
	out->t = fe_mul(e, h);
}

/* Bits: e 53.4, f 54.4, g 53.4, h 52.1. The paper's, all negated: the point is the same. */
static void point_double(struct point *out, const struct point *p)
{
	struct fe a = fe_square(&p->x), b = fe_square(&p->y), c = fe_square(&p->z);
	struct fe s = fe_add(&p->x, &p->y), h = fe_add(&a, &b), g = fe_sub(&b, &a), e, f;

	c = fe_add(&c, &c);
	s = fe_square(&s);
	e = fe_sub(&s, &h);
	f = fe_sub_large(&c, &g);
	complete(out, &e, &f, &g, &h);
}

/* The end of an addition or subtraction: a and b are the products of differences and of sums, c is
 * 2d·T·T' and z2 twice Z·Z'. Bits: e 53.4, less and more 53.6, h 52.1. */
static inline void point_sum(struct point *out, const struct fe *a, const struct fe *b,
    const struct fe *c, const struct fe *z2, bool minus)
{
	struct fe e = fe_sub(b, a), h = fe_add(b, a), less = fe_sub(z2, c), more = fe_add(z2, c);

	complete(out, &e, minus ? &more : &less, minus ? &less : &more, &h);
}

static void point_add_affine(
    struct point *out, const struct point *p, const struct affine *q, bool minus)
{
	struct fe difference = fe_sub(&p->y, &p->x), sum = fe_add(&p->y, &p->x);
	struct fe a = fe_mul(&difference, minus ? &q->sum : &q->difference);
	struct fe b = fe_mul(&sum, minus ? &q->difference : &q->sum);
	struct fe c = fe_mul(&p->t, &q->t2d), z2 = fe_add(&p->z, &p->z);

	point_sum(out, &a, &b, &c, &z2, minus);
}

static void point_add(struct point *out, const struct point *p, const struct point *q)
{
	struct fe difference = fe_sub(&p->y, &p->x), sum = fe_add(&p->y, &p->x);
	struct fe difference2 = fe_sub(&q->y, &q->x), sum2 = fe_add(&q->y, &q->x);
	struct fe a = fe_mul(&difference, &difference2), b = fe_mul(&sum, &sum2);
	struct fe c = fe_mul(&p->t, &q->t), z2 = fe_mul(&p->z, &q->z);

	c = fe_mul(&c, &d2);
	z2 = fe_add(&z2, &z2);
	point_sum(out, &a, &b, &c, &z2, false);
}

/* SPEC RFC 8032 section 5.1.3. False when there is no such point. */
static bool decode(const uint8_t in[32], struct point *out)
{
	struct fe y = fe_from_bytes(in), yy = fe_square(&y), u = fe_sub(&yy, &one);
	struct fe v = fe_mul(&yy, &d), v3, x, t, zero = {0};

	v = fe_add(&v, &one);
	/* x = u·v^3 · (u·v^7)^((p - 5) / 8), perhaps times the root of -1 */
	t = fe_square(&v);
	v3 = fe_mul(&t, &v);
	t = fe_square(&v3);
	t = fe_mul(&t, &v);
	t = fe_mul(&t, &u);
	t = fe_power_root(&t);
	x = fe_mul(&v3, &u);
	x = fe_mul(&x, &t);
	t = fe_square(&x);
	t = fe_mul(&t, &v);
	if (!fe_equal(&t, &u)) {
		u = fe_sub(&zero, &u);
		fe_carry(&u);
		if (!fe_equal(&t, &u))
			return false;
		x = fe_mul(&x, &root_of_minus_one);
	}
	if (fe_is_odd(&x) != (in[31] >> 7)) {
		x = fe_sub(&zero, &x);
		fe_carry(&x);
	}
	*out = (struct point){x, y, one, fe_mul(&x, &y)};
	return true;
}

static void encode(const struct point *p, uint8_t out[32])
{
	struct fe z = fe_invert(&p->z), x = fe_mul(&p->x, &z), y = fe_mul(&p->y, &z);

	fe_to_bytes(&y, out);
	if (fe_is_odd(&x))
		out[31] |= 0x80;
}

/* Whether its order divides 8: three doublings lead to the neutral point (0, 1). */
static bool has_small_order(const struct point *p)
{
	struct point q;

	point_double(&q, p);
	point_double(&q, &q);
	point_double(&q, &q);
	return fe_is_zero(&q.x) && fe_equal(&q.y, &q.z);
}

/* ---- multiples ----------------------------------------------------------------------------- */

/* Divides all Z out with one inversion. */
static void to_affine(const struct point p[TABLE_SIZE], struct table *t)
{
	struct affine *out = t->at[0];
	struct fe before[TABLE_SIZE], product = one, inverse; /* before[i]: Z of 0 … i - 1 */

	for (int i = 0; i < TABLE_SIZE; i++) {
		before[i] = product;
		product = fe_mul(&product, &p[i].z);
	}
	inverse = fe_invert(&product);
	for (int i = TABLE_SIZE - 1; i >= 0; i--) {
		struct fe z = fe_mul(&inverse, &before[i]);
		struct fe x = fe_mul(&p[i].x, &z), y = fe_mul(&p[i].y, &z), xy = fe_mul(&x, &y);
		inverse = fe_mul(&inverse, &p[i].z);
		out[i].sum = fe_add(&y, &x);
		out[i].difference = fe_sub(&y, &x);
		fe_carry(&out[i].sum);
		fe_carry(&out[i].difference);
		out[i].t2d = fe_mul(&xy, &d2);
	}
}

static void table_fill(struct table *t, const struct point *first)
{
	struct point all[TABLE_SIZE], p = *first;

	for (int j = 0; j < BLOCKS; j++) {
		struct point *at = &all[j * MULTIPLES];
		at[0] = p;
		for (int i = 1; i < MULTIPLES; i++)
			point_add(&at[i], &at[i - 1], &p);
		p = at[MULTIPLES - 1]; /* 2^3 of it already */
		for (int i = 3; i < BLOCK_BITS; i++)
			point_double(&p, &p);
	}
	to_affine(all, t);
}

/* Digits of -8 to 8; the scalar is below 2^253. */
static void digits_of(const uint8_t scalar[32], int8_t out[DIGITS])
{
	int carry = 0;

	for (int i = 0; i < DIGITS; i++) {
		int digit = (scalar[i / 2] >> (4 * (i % 2)) & 15) + carry;
		carry = digit > 8;
		out[i] = (int8_t)(digit - 16 * carry);
	}
}

static void add_digit(struct point *sum, const struct affine multiples[MULTIPLES], int digit)
{
	if (digit != 0)
		point_add_affine(sum, sum, &multiples[(digit < 0 ? -digit : digit) - 1], digit < 0);
}

/* s·B + h·(-A) */
static void combine(struct point *sum, const struct table *base, const uint8_t s[32],
    const struct table *negative, const uint8_t h[32])
{
	int8_t ds[DIGITS], dh[DIGITS];

	*sum = (struct point){.y = one, .z = one};
	digits_of(s, ds);
	digits_of(h, dh);
	for (int k = BLOCK_STEPS - 1; k >= 0; k--) {
		for (int i = 0; i < 4 && k < BLOCK_STEPS - 1; i++)
			point_double(sum, sum);
		for (int j = 0; j < BLOCKS; j++) {
			add_digit(sum, base->at[j], ds[BLOCK_STEPS * j + k]);
			add_digit(sum, negative->at[j], dh[BLOCK_STEPS * j + k]);
		}
	}
}

/* ---- signatures ---------------------------------------------------------------------------- */

/* SPEC RFC 8032 section 5.1.7, step 1: S below the group's order, or each signature has a twin. */
static bool is_reduced(const uint8_t s[32])
{
	static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6,
	    0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};

	for (int i = 31; i >= 0; i--)
		if (s[i] != order[i])
			return s[i] < order[i];
	return false;
}

static bool verify_with(const struct ed25519_keys *k, const struct known *a, struct bytes message,
    const uint8_t signature[ED25519_SIGNATURE_SIZE])
{
	crypto_hash_sha512_state state;
	uint8_t hash[crypto_hash_sha512_BYTES], h[32], r[32];
	const uint8_t *s = signature + 32;
	struct point sum;

	if (!is_reduced(s))
		return false;
	crypto_hash_sha512_init(&state);
	crypto_hash_sha512_update(&state, signature, 32);
	crypto_hash_sha512_update(&state, a->key, sizeof a->key);
	if (message.n > 0)
		crypto_hash_sha512_update(&state, message.p, message.n);
	crypto_hash_sha512_final(&state, hash);
	crypto_core_ed25519_scalar_reduce(h, hash);
	combine(&sum, &k->base, s, a->negative, h);
	encode(&sum, r);
	return memcmp(r, signature, sizeof r) == 0 && !has_small_order(&sum);
}

static struct known *find(struct ed25519_keys *k, const uint8_t key[ED25519_PUBLIC_SIZE])
{
	for (size_t i = 0; i < k->n; i++)
		if (memcmp(k->known[i].key, key, ED25519_PUBLIC_SIZE) == 0)
			return &k->known[i];
	return NULL;
}

/* A new key takes the place of the one unused for longest. */
static void remember(struct ed25519_keys *k, const uint8_t key[ED25519_PUBLIC_SIZE])
{
	struct known *a = &k->known[0];

	if (k->n < k->cap)
		a = &k->known[k->n++];
	for (size_t i = 0; i < k->n; i++)
		if (k->known[i].used < a->used)
			a = &k->known[i];
	free(a->negative);
	*a = (struct known){.used = k->clock};
	memcpy(a->key, key, sizeof a->key);
}

/* The table takes as long as one signature: made when a key has come twice. Without memory it is
 * simply not there. */
static void prepare(struct known *a)
{
	struct point p;
	struct fe zero = {0};

	a->negative = decode(a->key, &p) ? malloc(sizeof *a->negative) : NULL;
	if (!a->negative)
		return;
	p.x = fe_sub(&zero, &p.x);
	p.t = fe_sub(&zero, &p.t);
	fe_carry(&p.x);
	fe_carry(&p.t);
	table_fill(a->negative, &p);
}

int ed25519_keys_verify(struct ed25519_keys *k, const uint8_t key[ED25519_PUBLIC_SIZE],
    struct bytes message, struct bytes signature, struct err *err)
{
	const struct public_key plain = public_key_ed25519(key);
	struct known *a = find(k, key);
	int rc;

	k->clock++;
	if (a)
		a->used = k->clock;
	if (a && a->negative && signature.n == ED25519_SIGNATURE_SIZE)
		return verify_with(k, a, message, signature.p)
			   ? 0
			   : err_set(err, E_BAD_SIGNATURE, "wrong Ed25519 signature");
	rc = public_key_verify(&plain, message, signature, err);
	if (rc == 0 && a)
		prepare(a);
	else if (rc == 0)
		remember(k, key);
	return rc;
}

int ed25519_keys_new(size_t cap, struct ed25519_keys **out, struct err *err)
{
	struct ed25519_keys *k = calloc(1, sizeof *k + cap * sizeof k->known[0]);
	struct point base;

	INVARIANT(cap > 0);
	if (!k)
		return err_set(err, E_MEMORY, "no memory for %zu keys", cap);
	k->cap = cap;
	INVARIANT(decode(base_point, &base));
	table_fill(&k->base, &base);
	*out = k;
	return 0;
}

void ed25519_keys_free(struct ed25519_keys *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n; i++)
		free(k->known[i].negative);
	free(k);
}
