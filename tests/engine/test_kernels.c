/* Every set of kernels against the reference: all types, awkward sizes, extreme values. The
 * reference itself against the formats read weight by weight (engine_row_to_f32, which
 * test_forward checks against an independent implementation). */
#include "engine/kernels/blocks.h"
#include "engine/kernels/sets_priv.h"
#include "tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define K_MAX    2304
#define ROWS_MAX 17
#define TOK_MAX  19

static const struct engine_kernels *const ref = &engine_kernels_ref;

static const uint32_t all_types[] = {GGML_F32, GGML_F16, GGML_BF16, GGML_Q8_0, GGML_Q4_0, GGML_Q4_1,
    GGML_Q5_0, GGML_Q5_1, GGML_Q4_K, GGML_Q5_K, GGML_Q6_K};
#define N_TYPES (sizeof all_types / sizeof all_types[0])

/* The sets that this processor runs, the reference included. */
static size_t sets(const struct engine_kernels *out[4])
{
	size_t n = 0;
	out[n++] = ref;
#ifdef __x86_64__
	const struct engine_kernels *k;
	if (engine_kernels_choose(ENGINE_KERNELS_AVX2, &k, NULL) == 0)
		out[n++] = k;
	if (engine_kernels_choose(ENGINE_KERNELS_AVX512, &k, NULL) == 0) {
		out[n++] = k;
		if (k != &engine_kernels_avx512) /* runs without VNNI too */
			out[n++] = &engine_kernels_avx512;
	}
#endif
	return n;
}

/* Calls body with each set. */
static void for_sets(void (*body)(const struct engine_kernels *k))
{
	const struct engine_kernels *k[4];
	size_t n = sets(k);
	for (size_t i = 0; i < n; i++)
		body(k[i]);
}

/* --- Activations and weights of a test
 * ------------------------------------------------------------- */

struct acts {
	size_t n, k;
	float *f;
	int8_t *q;
	float *d, *dsum16, *dsum32;
	struct act_row row[TOK_MAX];
};

static void *take(size_t n)
{
	void *p = calloc(n ? n : 1, 1);
	assert_non_null(p);
	return p;
}

/* n rows of k values; quantised by the reference where k allows it. */
static void acts_init(struct acts *a, size_t n, size_t k, uint64_t *rnd, bool extreme)
{
	*a = (struct acts){
	    n, k, take(n * k * 4), take(n * k), take(n * k), take(n * k), take(n * k), {{0}}};
	for (size_t i = 0; i < n * k; i++)
		a->f[i] = extreme ? (tiny_random(rnd) % 8 ? 1.0f : -1.0f) : tiny_float(rnd) * 3;
	for (size_t t = 0; t < n; t++) {
		struct act_out out = {a->q + t * k, a->d + t * k / 32, a->dsum16 + t * k / 16,
		    a->dsum32 + t * k / 32};
		if (k % 32 == 0)
			ref->quantize(a->f + t * k, k, &out);
		a->row[t] = (struct act_row){a->f + t * k, out.q, out.d, out.dsum16, out.dsum32};
	}
}

static void acts_free(struct acts *a)
{
	free(a->f);
	free(a->q);
	free(a->d);
	free(a->dsum16);
	free(a->dsum32);
}

struct weights {
	uint32_t type;
	size_t rows, k, row_bytes;
	struct buf data;
};

/* All bits set, or all high bits, where the format allows any bits: the sums that saturate first.
 */
static void make_extreme(struct weights *w, uint8_t byte)
{
	const struct ggml_type *type = ggml_type_info(w->type);
	for (size_t at = 0; type->elems > 1 && at < w->data.n; at += type->bytes) {
		uint8_t *b = w->data.p + at;
		switch (w->type) {
		case GGML_Q6_K:
			memset(b, byte, 192);
			break;
		case GGML_Q4_K:
		case GGML_Q5_K:
			memset(b + 16, byte, type->bytes - 16u);
			break;
		case GGML_Q4_1:
		case GGML_Q5_1:
			memset(b + 4, byte, type->bytes - 4u);
			break;
		default:
			memset(b + 2, byte, type->bytes - 2u);
		}
	}
}

static void weights_init(struct weights *w, uint32_t type, size_t rows, size_t k, uint64_t *rnd)
{
	const struct ggml_type *t = ggml_type_info(type);
	*w = (struct weights){type, rows, k, k / t->elems * t->bytes, BUF_INIT(1u << 24)};
	tiny_weights(type, rows * k, rnd, &w->data);
	assert_int_equal(w->data.n, rows * w->row_bytes);
}

/* What the product is exactly for the activations as the kernels see them, and the sum of the
 * magnitudes of its terms: the scale of rounding errors. */
static double exact(const struct weights *w, size_t r, const struct act_row *x, double *size)
{
	static float row[K_MAX];
	engine_row_to_f32(w->type, w->data.p + r * w->row_bytes, w->k, row);
	double sum = 0;
	*size = 1e-30;
	for (size_t j = 0; j < w->k; j++) {
		double v = engine_type_quantised(w->type) ? (double)x->d[j / 32] * x->q[j]
							  : (double)x->f[j];
		sum += v * (double)row[j];
		*size += fabs(v * (double)row[j]);
	}
	return sum;
}

static void check_product(const char *set, const char *what, const struct weights *w, size_t r,
    const struct act_row *x, float got)
{
	double size;
	double want = exact(w, r, x, &size);
	if (!(fabs((double)got - want) <= 2e-5 * size))
		fail_msg("%s %s of %s, k %zu, row %zu: %.9g, expected %.9g (terms %g)", set, what,
		    ggml_type_info(w->type)->name, w->k, r, (double)got, want, size);
}

/* --- Products
 * ------------------------------------------------------------------------------------------ */

static void check_gemv(
    const struct engine_kernels *k, const struct weights *w, const struct acts *a)
{
	float y[ROWS_MAX + 1];
	y[w->rows] = 12345;
	k->gemv[w->type](w->data.p, w->row_bytes, w->rows, w->k, &a->row[0], y);
	for (size_t r = 0; r < w->rows; r++)
		check_product(k->name, "gemv", w, r, &a->row[0], y[r]);
	assert_true(y[w->rows] == 12345);
}

static void check_gemm(
    const struct engine_kernels *k, const struct weights *w, const struct acts *a)
{
	struct panel p = {take(w->k * 16), take(w->k * 4), take(w->k * 4)};
	size_t rows = w->rows < PANEL_ROWS ? w->rows : PANEL_ROWS;
	float y[TOK_MAX * ROWS_MAX];
	for (size_t i = 0; i < TOK_MAX * ROWS_MAX; i++)
		y[i] = 12345;
	k->gemm[w->type](w->data.p, w->row_bytes, rows, w->k, a->row, a->n, y, ROWS_MAX, &p);
	for (size_t t = 0; t < a->n; t++) {
		for (size_t r = 0; r < rows; r++)
			check_product(k->name, "gemm", w, r, &a->row[t], y[t * ROWS_MAX + r]);
		for (size_t r = rows; r < ROWS_MAX; r++) /* nothing beyond the real rows */
			assert_true(y[t * ROWS_MAX + r] == 12345);
	}
	free(p.q);
	free(p.scale);
	free(p.min);
}

static void check_products(const struct engine_kernels *k, uint32_t type, size_t rows, size_t width,
    size_t tokens, int extreme)
{
	uint64_t rnd = type * 1000 + rows + width;
	struct weights w;
	struct acts a;
	weights_init(&w, type, rows, width, &rnd);
	if (extreme)
		make_extreme(&w, extreme == 1 ? 0xff : extreme == 2 ? 0x80 : 0x7f);
	acts_init(&a, tokens, width, &rnd, extreme != 0);
	check_gemv(k, &w, &a);
	check_gemm(k, &w, &a);
	acts_free(&a);
	buf_free(&w.data);
}

static void products(const struct engine_kernels *k)
{
	static const size_t rows[] = {1, 3, 4, 5, 8, 9, 15, 16, 17};
	static const size_t float_widths[] = {1, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257};
	static const size_t blocks[] = {1, 2, 3, 4, 5, 9};
	for (size_t t = 0; t < N_TYPES; t++) {
		uint32_t type = all_types[t];
		size_t elems = ggml_type_info(type)->elems;
		for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
			check_products(k, type, rows[i], elems == 1 ? 70 : elems * 2, i * 2 + 1, 0);
		for (size_t i = 0; elems == 1 && i < sizeof float_widths / sizeof(size_t); i++)
			check_products(k, type, 5, float_widths[i], i + 1, 0);
		for (size_t i = 0; elems > 1 && i < sizeof blocks / sizeof(size_t); i++)
			check_products(k, type, 6, elems * blocks[i], i + 1, 0);
		for (int extreme = 1; elems > 1 && extreme <= 3; extreme++)
			check_products(k, type, 16, elems * 3, 9, extreme);
	}
}

static void test_products(void **state)
{
	(void)state;
	for_sets(products);
}

/* --- Attention tiles
 * ------------------------------------------------------------------------------------- */

static void check_tile(
    const struct engine_kernels *k, bool half, size_t width, size_t n, bool accumulate)
{
	uint64_t rnd = width + n;
	float *w = take(width * 64), x[16 * 300], want[16 * 20], got[16 * 20];
	uint16_t *w16 = take(width * 32);
	for (size_t i = 0; i < width * 16; i++) {
		w[i] = tiny_float(&rnd);
		w16[i] = half_of_float(w[i]);
	}
	for (size_t i = 0; i < n * 300; i++)
		x[i] = tiny_float(&rnd);
	for (size_t i = 0; i < 16 * 20; i++)
		want[i] = got[i] = tiny_float(&rnd);
	struct tile_args a = {
	    half ? (void *)w16 : (void *)w, width, x, 300, n, want, 20, accumulate};
	struct tile_args b = a;
	b.y = got;
	(half ? ref->tile_f16 : ref->tile_f32)(&a);
	(half ? k->tile_f16 : k->tile_f32)(&b);
	for (size_t i = 0; i < 16 * 20; i++)
		assert_true(fabsf(want[i] - got[i]) <= 1e-5f * (1 + sqrtf((float)width)));
	free(w);
	free(w16);
}

static void tiles(const struct engine_kernels *k)
{
	for (size_t n = 1; n <= 16; n++)
		for (size_t width = 1; width <= 256; width = width * 2 + n % 3)
			for (int mode = 0; mode < 4; mode++)
				check_tile(k, mode & 1, width, n, mode & 2);
}

static void test_tiles(void **state)
{
	(void)state;
	for_sets(tiles);
}

/* --- Vectors
 * --------------------------------------------------------------------------------------------- */

/* Groups of odd kinds: zeros, subnormals, huge, infinite, no number, ties. */
static void odd_groups(float *x, size_t groups, uint64_t *rnd)
{
	for (size_t g = 0; g < groups; g++)
		for (size_t i = 0; i < 32; i++) {
			float v = tiny_float(rnd);
			float odd[] = {
			    v, 0, v * 1e-44f, v * 3e38f, v, v, (float)(int)(v * 254) / 2};
			x[g * 32 + i] = odd[g % 7];
			if (i == g % 32 && g % 7 == 4)
				x[g * 32 + i] = g % 2 ? INFINITY : -INFINITY;
			if (i == g % 32 && g % 7 == 5)
				x[g * 32 + i] = NAN;
			if (i == 0 && g % 7 == 6)
				x[g * 32 + i] = 127;
		}
}

static void quantising(const struct engine_kernels *k)
{
	enum {
		GROUPS = 70,
		N = GROUPS * 32
	};
	static float x[N];
	static int8_t q[2][N];
	static float d[2][GROUPS], s16[2][2 * GROUPS], s32[2][GROUPS];
	uint64_t rnd = 5;
	odd_groups(x, GROUPS, &rnd);
	ref->quantize(x, N, &(struct act_out){q[0], d[0], s16[0], s32[0]});
	k->quantize(x, N, &(struct act_out){q[1], d[1], s16[1], s32[1]});
	for (size_t g = 0; g < GROUPS; g++) {
		if (isnan(d[0][g])) {
			assert_true(isnan(d[1][g]) && isnan(s32[1][g]) && isnan(s16[1][2 * g]));
			continue;
		}
		assert_memory_equal(q[0] + g * 32, q[1] + g * 32, 32);
		assert_true(d[0][g] == d[1][g] && s32[0][g] == s32[1][g]);
		assert_true(s16[0][2 * g] == s16[1][2 * g]);
		assert_true(s16[0][2 * g + 1] == s16[1][2 * g + 1]);
		for (size_t i = 0; i < 32; i++)
			assert_true(q[1][g * 32 + i] >= -127);
	}
	assert_true(isnan(d[0][4]) && isnan(d[0][5]) && !isnan(d[0][0]));
}

static void test_quantising(void **state)
{
	(void)state;
	for_sets(quantising);
}

static void check_near(const float *want, const float *got, size_t n, float rel)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabsf(want[i] - got[i]) <= rel * fabsf(want[i]) + 1e-37f))
			fail_msg("value %zu of %zu: %.9g, expected %.9g", i, n, (double)got[i],
			    (double)want[i]);
}

static void vectors(const struct engine_kernels *k)
{
	float x[200], w[200], want[201], got[201];
	for (size_t n = 1; n <= 200; n += 1 + n / 20) {
		uint64_t rnd = n;
		for (size_t i = 0; i < n; i++) {
			x[i] = tiny_float(&rnd) * (i % 3 ? 1 : 90);
			w[i] = tiny_float(&rnd);
		}
		want[n] = got[n] = 12345;
		ref->rms_norm(x, w, n, 1e-5f, want);
		k->rms_norm(x, w, n, 1e-5f, got);
		check_near(want, got, n, 1e-5f);
		memcpy(want, x, n * sizeof *x);
		memcpy(got, x, n * sizeof *x);
		ref->silu_mul(want, w, n);
		k->silu_mul(got, w, n);
		check_near(want, got, n, 2e-6f);
		float most = ref->max(x, n);
		assert_true(k->max(x, n) == most);
		memcpy(want, x, n * sizeof *x);
		memcpy(got, x, n * sizeof *x);
		float a = ref->exp_sum(want, n, most);
		float b = k->exp_sum(got, n, most);
		assert_true(fabsf(a - b) <= 2e-6f * a);
		check_near(want, got, n, 2e-6f);
		assert_true(got[n] == 12345);
	}
}

static void test_vectors(void **state)
{
	(void)state;
	for_sets(vectors);
}

static void edges(const struct engine_kernels *k)
{
	float s[] = {-INFINITY, -200, 0, -1};
	assert_true(k->max((float[]){-INFINITY, -5, -7}, 3) == -5);
	float sum = k->exp_sum(s, 4, 0);
	assert_true(s[0] <= 1e-40f && s[1] <= 1e-40f && s[2] == 1);
	assert_true(fabsf(sum - 1.36787944f) < 1e-6f);
	float g[] = {-1000, 1000, NAN, 0}, u[] = {1, 1, 1, 1};
	k->silu_mul(g, u, 4);
	assert_true(g[0] == 0 && g[1] == 1000 && isnan(g[2]) && g[3] == 0);
	float bad[] = {1, NAN};
	assert_true(isnan(k->exp_sum(bad, 2, 1)));
}

static void test_edges(void **state)
{
	(void)state;
	for_sets(edges);
}

/* --- Half precision
 * ----------------------------------------------------------------------------------------- */

/* binary16 by its definition. */
static double half_value(unsigned h)
{
	double sign = h & 0x8000 ? -1 : 1;
	int e = (int)(h >> 10 & 31);
	double m = h & 0x3ff;
	return sign * (e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25));
}

static void test_halves(void **state)
{
	(void)state;
	for (unsigned h = 0; h < 65536; h++) {
		float f = float_of_half((uint16_t)h);
		if ((h >> 10 & 31) == 31) {
			assert_true((h & 0x3ff) ? isnan(f) : isinf(f));
			continue;
		}
		assert_true((double)f == half_value(h));
		assert_int_equal(half_of_float(f), h);
	}
}

static void to_halves(const struct engine_kernels *k)
{
	float x[37];
	uint16_t want[37], got[37];
	uint64_t rnd = 3;
	for (int round = 0; round < 3000; round++) {
		for (size_t i = 0; i < 37; i++) {
			/* all magnitudes around the range of halves, infinities among them */
			uint32_t bits = (uint32_t)tiny_random(&rnd);
			bits = (bits & 0x807fffff) | (100 + bits % 47) << 23;
			memcpy(&x[i], &bits, 4);
			if (tiny_random(&rnd) % 40 == 0)
				x[i] = INFINITY;
		}
		size_t n = 1 + (size_t)round % 37;
		ref->to_f16(x, n, want);
		k->to_f16(x, n, got);
		assert_memory_equal(want, got, n * sizeof *got);
	}
}

static void test_to_halves(void **state)
{
	(void)state;
	for_sets(to_halves);
}

static void test_choice(void **state)
{
	(void)state;
	enum engine_kernel_choice c = ENGINE_KERNELS_AUTO;
	struct err err = {0};
	assert_int_equal(engine_kernel_choice_parse("avx2", &c, &err), 0);
	assert_int_equal(c, ENGINE_KERNELS_AVX2);
	assert_int_equal(engine_kernel_choice_parse("sse", &c, &err), E_INVALID);
	assert_non_null(strstr(err.text, "avx512"));
	const struct engine_kernels *k;
	assert_int_equal(engine_kernels_choose(ENGINE_KERNELS_REF, &k, &err), 0);
	assert_ptr_equal(k, ref);
	assert_int_equal(engine_kernels_choose(ENGINE_KERNELS_AUTO, &k, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_products),
	    cmocka_unit_test(test_tiles),
	    cmocka_unit_test(test_quantising),
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_edges),
	    cmocka_unit_test(test_halves),
	    cmocka_unit_test(test_to_halves),
	    cmocka_unit_test(test_choice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
