/* AVX-512 kernels, compiled twice: with VNNI (ENGINE_VNNI) and without. Multiplying unsigned bytes
 * (weights) by signed ones (activations) and adding four neighbours is one VNNI instruction;
 * without it, weights are split into nibbles so that 16-bit sums cannot saturate. */
#include "engine/kernels/blocks.h"
#include "engine/kernels/sets_priv.h"

#include <immintrin.h>
#include <math.h>

/* --- Integer dot products: acc + sum of four u8 * s8 per 32-bit lane. `wide`: u may be above 127.
 */

#ifdef ENGINE_VNNI
KERNEL_INLINE __m512i dot512(__m512i acc, __m512i u, __m512i s, bool wide)
{
	(void)wide;
	return _mm512_dpbusd_epi32(acc, u, s);
}

KERNEL_INLINE __m256i dot256(__m256i acc, __m256i u, __m256i s, bool wide)
{
	(void)wide;
	return _mm256_dpbusd_epi32(acc, u, s);
}
#else
KERNEL_INLINE __m512i dot512(__m512i acc, __m512i u, __m512i s, bool wide)
{
	__m512i one = _mm512_set1_epi16(1);
	if (!wide)
		return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), one));
	__m512i nibble = _mm512_set1_epi8(15);
	__m512i low = _mm512_maddubs_epi16(_mm512_and_si512(u, nibble), s);
	__m512i high = _mm512_maddubs_epi16(_mm512_and_si512(_mm512_srli_epi16(u, 4), nibble), s);
	acc = _mm512_add_epi32(acc, _mm512_madd_epi16(low, one));
	return _mm512_add_epi32(acc, _mm512_madd_epi16(high, _mm512_set1_epi16(16)));
}

KERNEL_INLINE __m256i dot256(__m256i acc, __m256i u, __m256i s, bool wide)
{
	__m256i one = _mm256_set1_epi16(1);
	if (!wide)
		return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), one));
	__m256i nibble = _mm256_set1_epi8(15);
	__m256i low = _mm256_maddubs_epi16(_mm256_and_si256(u, nibble), s);
	__m256i high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(u, 4), nibble), s);
	acc = _mm256_add_epi32(acc, _mm256_madd_epi16(low, one));
	return _mm256_add_epi32(acc, _mm256_madd_epi16(high, _mm256_set1_epi16(16)));
}
#endif

KERNEL_INLINE float sum256(__m256 v)
{
	__m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	h = _mm_add_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}

/* The sums of four vectors. */
KERNEL_INLINE __m128 sum256x4(__m256 a, __m256 b, __m256 c, __m256 d)
{
	__m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
	return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

KERNEL_INLINE __m256 half_bcast(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_set1_epi16((short)load_u16(p)));
}

/* --- Blocks of 32: a 256-bit lane per block, four blocks in flight -------------------------- */

/* The block's 32 weights as unsigned bytes, in order. */
typedef __m256i bytes32_fn(const uint8_t *b);

KERNEL_INLINE __m256i nibbles32(const uint8_t *qs)
{
	__m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)qs));
	__m256i shift = _mm256_set_epi64x(4, 4, 0, 0);
	return _mm256_and_si256(_mm256_srlv_epi64(both, shift), _mm256_set1_epi8(15));
}

KERNEL_INLINE __m256i fifth_bits32(const uint8_t *high)
{
	return _mm256_maskz_set1_epi8(_cvtu32_mask32(load_u32(high)), 16);
}

KERNEL_INLINE __m256i bytes32_q4_0(const uint8_t *b)
{
	return nibbles32(b + 2);
}

KERNEL_INLINE __m256i bytes32_q4_1(const uint8_t *b)
{
	return nibbles32(b + 4);
}

KERNEL_INLINE __m256i bytes32_q5_0(const uint8_t *b)
{
	return _mm256_or_si256(nibbles32(b + 6), fifth_bits32(b + 2));
}

KERNEL_INLINE __m256i bytes32_q5_1(const uint8_t *b)
{
	return _mm256_or_si256(nibbles32(b + 8), fifth_bits32(b + 4));
}

KERNEL_INLINE __m256i bytes32_q8_0(const uint8_t *b)
{
	return _mm256_xor_si256(
	    _mm256_loadu_si256((const __m256i *)(b + 2)), _mm256_set1_epi8((char)0x80));
}

/* Running sums of a row: products, and what the minima take away (in every lane the same). */
struct sums256 {
	__m256 dot;
	__m256 min;
};

/* `zero` weights of value 0 for symmetric formats; a stored minimum (zero < 0) otherwise. */
KERNEL_INLINE void block32(struct sums256 *s, const uint8_t *b, const struct act_row *x, size_t g,
    bytes32_fn *get, float zero)
{
	__m256i q = _mm256_loadu_si256((const __m256i *)(x->q + g * 32));
	__m256 dot = _mm256_cvtepi32_ps(dot256(_mm256_setzero_si256(), get(b), q, zero == 128));
	__m256 d = half_bcast(b);
	s->dot = _mm256_fmadd_ps(dot, _mm256_mul_ps(d, _mm256_broadcast_ss(x->d + g)), s->dot);
	__m256 m = zero < 0 ? half_bcast(b + 2) : d;
	s->min = _mm256_fmadd_ps(m, _mm256_broadcast_ss(x->dsum32 + g), s->min);
}

/* A row's product as a vector still to be summed. */
KERNEL_INLINE __m256 row32(
    const uint8_t *w, size_t k, const struct act_row *x, bytes32_fn *get, size_t bytes, float zero)
{
	struct sums256 s[4] = {0};
	size_t g = 0;
	for (; g + 4 <= k / 32; g += 4)
		for (int i = 0; i < 4; i++)
			block32(&s[i], w + (g + (size_t)i) * bytes, x, g + (size_t)i, get, zero);
	for (; g < k / 32; g++)
		block32(&s[0], w + g * bytes, x, g, get, zero);
	__m256 dot =
	    _mm256_add_ps(_mm256_add_ps(s[0].dot, s[1].dot), _mm256_add_ps(s[2].dot, s[3].dot));
	__m256 min =
	    _mm256_add_ps(_mm256_add_ps(s[0].min, s[1].min), _mm256_add_ps(s[2].min, s[3].min));
	/* An eighth, because all eight lanes will be added. */
	return _mm256_fnmadd_ps(_mm256_set1_ps((zero < 0 ? -1 : zero) / 8), min, dot);
}

#define DEFINE_GEMV32(name, bytes, zero)                                                           \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		size_t r = 0;                                                                      \
		for (; r + 4 <= rows; r += 4, w += 4 * row_bytes) {                                \
			__m256 v[4];                                                               \
			for (size_t i = 0; i < 4; i++)                                             \
				v[i] =                                                             \
				    row32(w + i * row_bytes, k, x, bytes32_##name, bytes, zero);   \
			_mm_storeu_ps(y + r, sum256x4(v[0], v[1], v[2], v[3]));                    \
		}                                                                                  \
		for (; r < rows; r++, w += row_bytes)                                              \
			y[r] = sum256(row32(w, k, x, bytes32_##name, bytes, zero));                \
	}
DEFINE_GEMV32(q4_0, 18, 8)
DEFINE_GEMV32(q4_1, 20, -1)
DEFINE_GEMV32(q5_0, 22, 16)
DEFINE_GEMV32(q5_1, 24, -1)
DEFINE_GEMV32(q8_0, 34, 128)

/* --- Super-blocks of 256: 64 weights per instruction ---------------------------------------- */

struct sums512 {
	__m512 dot;
	__m512 min;
};

/* Adds dot products of 64 weights; `scales` has a scale per lane. */
KERNEL_INLINE void add64(struct sums512 *s, __m512i w, const int8_t *x, __m512 scales)
{
	__m512i dot = dot512(_mm512_setzero_si512(), w, _mm512_loadu_si512(x), false);
	s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scales, s->dot);
}

/* Lane i of the result is value `first + i/8` of the eight in v. */
KERNEL_INLINE __m512 spread8(__m512 v, int first)
{
	__m512i index = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
	return _mm512_permutexvar_ps(_mm512_add_epi32(index, _mm512_set1_epi32(first)), v);
}

/* Lane i of the result is value `first + i/4` of the sixteen in v. */
KERNEL_INLINE __m512 spread16(__m512 v, int first)
{
	__m512i index = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
	return _mm512_permutexvar_ps(_mm512_add_epi32(index, _mm512_set1_epi32(first)), v);
}

KERNEL_INLINE __m256 bytes_to_ps(uint64_t eight)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)eight)));
}

/* Scales times activation scales of the eight groups (lower half of the result), and the minima's
 * part of the row's sum. */
KERNEL_INLINE __m512 k_scales(
    struct sums512 *s, const uint8_t *b, const struct act_row *x, size_t g)
{
	uint64_t scales, mins;
	unpack_k_scales(b + 4, &scales, &mins);
	__m256 scale = _mm256_mul_ps(bytes_to_ps(scales), half_bcast(b));
	__m256 min = _mm256_mul_ps(bytes_to_ps(mins), half_bcast(b + 2));
	min = _mm256_mul_ps(min, _mm256_loadu_ps(x->dsum32 + g));
	s->min = _mm512_add_ps(s->min, _mm512_zextps256_ps512(min));
	return _mm512_castps256_ps512(_mm256_mul_ps(scale, _mm256_loadu_ps(x->d + g)));
}

KERNEL_INLINE void block_q4_k(
    struct sums512 *s, const uint8_t *b, const struct act_row *x, size_t j)
{
	__m512 scales = k_scales(s, b, x, j / 32);
	__m512i nibble = _mm512_set1_epi8(15);
	for (int h = 0; h < 2; h++) {
		__m512i both = _mm512_loadu_si512(b + 16 + 64 * h);
		__m512i low = _mm512_and_si512(both, nibble);
		__m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
		const int8_t *q = x->q + j + 128 * h;
		add64(&s[0], _mm512_shuffle_i64x2(low, high, 0x44), q, spread8(scales, 4 * h));
		add64(&s[1], _mm512_shuffle_i64x2(low, high, 0xee), q + 64,
		    spread8(scales, 4 * h + 2));
	}
}

/* The fifth bits of weights 64h … 64h + 63 from the 32 bytes of high bits, in both halves. */
KERNEL_INLINE __m512i q5_high(__m512i bits, int pair)
{
	__m512i shift = _mm512_set_epi64(2 * pair + 1, 2 * pair + 1, 2 * pair + 1, 2 * pair + 1,
	    2 * pair, 2 * pair, 2 * pair, 2 * pair);
	__m512i bit = _mm512_and_si512(_mm512_srlv_epi64(bits, shift), _mm512_set1_epi8(1));
	return _mm512_slli_epi16(bit, 4);
}

KERNEL_INLINE void block_q5_k(
    struct sums512 *s, const uint8_t *b, const struct act_row *x, size_t j)
{
	__m512 scales = k_scales(s, b, x, j / 32);
	__m512i nibble = _mm512_set1_epi8(15);
	__m512i bits = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(b + 16)));
	for (int h = 0; h < 2; h++) {
		__m512i both = _mm512_loadu_si512(b + 48 + 64 * h);
		__m512i low = _mm512_and_si512(both, nibble);
		__m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
		const int8_t *q = x->q + j + 128 * h;
		__m512i first = _mm512_shuffle_i64x2(low, high, 0x44);
		__m512i second = _mm512_shuffle_i64x2(low, high, 0xee);
		add64(
		    &s[0], _mm512_or_si512(first, q5_high(bits, 2 * h)), q, spread8(scales, 4 * h));
		add64(&s[1], _mm512_or_si512(second, q5_high(bits, 2 * h + 1)), q + 64,
		    spread8(scales, 4 * h + 2));
	}
}

KERNEL_INLINE void block_q6_k(
    struct sums512 *s, const uint8_t *b, const struct act_row *x, size_t j)
{
	__m512 scales =
	    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(b + 192))));
	scales = _mm512_mul_ps(scales, _mm512_set1_ps(float_of_half(load_u16(b + 208))));
	s->min = _mm512_fmadd_ps(scales, _mm512_loadu_ps(x->dsum16 + j / 16), s->min);
	__m512i pairs = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
	__m512 d = _mm512_castps256_ps512(_mm256_loadu_ps(x->d + j / 32));
	scales = _mm512_mul_ps(scales, _mm512_permutexvar_ps(pairs, d));
	__m512i nibble = _mm512_set1_epi8(15);
	__m512i two = _mm512_set1_epi8(0x30);
	for (int h = 0; h < 2; h++) {
		__m512i both = _mm512_loadu_si512(b + 64 * h);
		__m512i high =
		    _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(b + 128 + 32 * h)));
		__m512i h0 = _mm512_sllv_epi64(high, _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4));
		__m512i h1 = _mm512_srlv_epi64(high, _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0));
		__m512i w0 =
		    _mm512_or_si512(_mm512_and_si512(both, nibble), _mm512_and_si512(h0, two));
		__m512i w1 = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(both, 4), nibble),
		    _mm512_and_si512(h1, two));
		const int8_t *q = x->q + j + 128 * h;
		add64(&s[0], w0, q, spread16(scales, 8 * h));
		add64(&s[1], w1, q + 64, spread16(scales, 8 * h + 4));
	}
}

#define DEFINE_GEMV256(name, bytes, zero)                                                          \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		for (size_t r = 0; r < rows; r++) {                                                \
			struct sums512 s[2] = {0};                                                 \
			const uint8_t *b = w + r * row_bytes;                                      \
			for (size_t j = 0; j < k; j += 256, b += (bytes))                          \
				block_##name(s, b, x, j);                                          \
			y[r] = _mm512_reduce_add_ps(_mm512_add_ps(s[0].dot, s[1].dot)) -           \
			       (zero)*_mm512_reduce_add_ps(s[0].min);                              \
		}                                                                                  \
	}
DEFINE_GEMV256(q4_k, 144, 1.0f)
DEFINE_GEMV256(q5_k, 176, 1.0f)
DEFINE_GEMV256(q6_k, 210, 32.0f)

/* --- Float rows: four rows share each load of the activations -------------------------------- */

KERNEL_INLINE __m512 get16_f32(const uint8_t *p, __mmask16 mask)
{
	return _mm512_maskz_loadu_ps(mask, p);
}

KERNEL_INLINE __m512 get16_f16(const uint8_t *p, __mmask16 mask)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p));
}

KERNEL_INLINE __m512 get16_bf16(const uint8_t *p, __mmask16 mask)
{
	__m256i half = _mm256_maskz_loadu_epi16(mask, p);
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

typedef __m512 get16_fn(const uint8_t *p, __mmask16 mask);

KERNEL_INLINE void float_rows(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,
    const float *x, float *y, get16_fn *get, size_t bytes)
{
	__m512 a[4] = {0}, b[4] = {0};
	size_t j = 0;
	for (; j + 32 <= k; j += 32) {
		__m512 x0 = _mm512_loadu_ps(x + j);
		__m512 x1 = _mm512_loadu_ps(x + j + 16);
		for (size_t r = 0; r < rows; r++) {
			const uint8_t *p = w + r * row_bytes + j * bytes;
			a[r] = _mm512_fmadd_ps(get(p, 0xffff), x0, a[r]);
			b[r] = _mm512_fmadd_ps(get(p + 16 * bytes, 0xffff), x1, b[r]);
		}
	}
	for (; j < k; j += 16) {
		__mmask16 mask = (__mmask16)(k - j >= 16 ? 0xffff : (1u << (k - j)) - 1);
		__m512 x0 = _mm512_maskz_loadu_ps(mask, x + j);
		for (size_t r = 0; r < rows; r++)
			a[r] = _mm512_fmadd_ps(get(w + r * row_bytes + j * bytes, mask), x0, a[r]);
	}
	for (size_t r = 0; r < rows; r++)
		y[r] = _mm512_reduce_add_ps(_mm512_add_ps(a[r], b[r]));
}

#define DEFINE_GEMV_FLOAT(name, bytes)                                                             \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		size_t r = 0;                                                                      \
		for (; r + 4 <= rows; r += 4)                                                      \
			float_rows(                                                                \
			    w + r * row_bytes, row_bytes, 4, k, x->f, y + r, get16_##name, bytes); \
		for (; r < rows; r++)                                                              \
			float_rows(                                                                \
			    w + r * row_bytes, row_bytes, 1, k, x->f, y + r, get16_##name, bytes); \
	}
DEFINE_GEMV_FLOAT(f32, 4)
DEFINE_GEMV_FLOAT(f16, 2)
DEFINE_GEMV_FLOAT(bf16, 2)

/* Calls body(first, n) over `total` items with n a constant (8, 4, 2 or 1), so that the tile's
 * arrays become registers. */
#define FOR_TILES(total, most, body)                                                               \
	do {                                                                                       \
		size_t t = 0;                                                                      \
		for (; t + (most) <= (total); t += (most))                                         \
			body(t, most);                                                             \
		if ((most) > 4 && (total)-t >= 4) {                                                \
			body(t, 4);                                                                \
			t += 4;                                                                    \
		}                                                                                  \
		for (; t + 2 <= (total); t += 2)                                                   \
			body(t, 2);                                                                \
		if (t < (total))                                                                   \
			body(t, 1);                                                                \
	} while (0)

/* `rows` rows (up to 4) times `n` tokens (up to 4): each load serves four products. */
KERNEL_INLINE void float_tile(const uint8_t *w, size_t row_bytes, size_t k, const struct act_row *x,
    float *y, size_t y_stride, size_t rows, size_t n, get16_fn *get, size_t bytes)
{
	__m512 acc[4][4] = {{{0}}};
	for (size_t j = 0; j < k; j += 16) {
		__mmask16 mask = (__mmask16)(k - j >= 16 ? 0xffff : (1u << (k - j)) - 1);
		__m512 v[4];
		for (size_t t = 0; t < n; t++)
			v[t] = _mm512_maskz_loadu_ps(mask, x[t].f + j);
		for (size_t r = 0; r < rows; r++) {
			__m512 u = get(w + r * row_bytes + j * bytes, mask);
			for (size_t t = 0; t < n; t++)
				acc[r][t] = _mm512_fmadd_ps(u, v[t], acc[r][t]);
		}
	}
	for (size_t t = 0; t < n; t++)
		for (size_t r = 0; r < rows; r++)
			y[t * y_stride + r] = _mm512_reduce_add_ps(acc[r][t]);
}

#define DEFINE_GEMM_FLOAT(name)                                                                    \
	static void gemm_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, size_t n, float *y, size_t y_stride,                          \
	    const struct panel *scratch)                                                           \
	{                                                                                          \
		(void)scratch;                                                                     \
		size_t r = 0;                                                                      \
		for (; r + 4 <= rows; r += 4)                                                      \
			FOR_TILES(n, 4, BODY4_##name);                                             \
		for (; r < rows; r++)                                                              \
			FOR_TILES(n, 4, BODY1_##name);                                             \
	}
#define FLOAT_TILE(name, t, count, some, bytes)                                                    \
	float_tile(w + r * row_bytes, row_bytes, k, x + (t), y + (t)*y_stride + r, y_stride, some, \
	    count, get16_##name, bytes)
#define BODY4_f32(t, count)  FLOAT_TILE(f32, t, count, 4, 4)
#define BODY1_f32(t, count)  FLOAT_TILE(f32, t, count, 1, 4)
#define BODY4_f16(t, count)  FLOAT_TILE(f16, t, count, 4, 2)
#define BODY1_f16(t, count)  FLOAT_TILE(f16, t, count, 1, 2)
#define BODY4_bf16(t, count) FLOAT_TILE(bf16, t, count, 4, 2)
#define BODY1_bf16(t, count) FLOAT_TILE(bf16, t, count, 1, 2)
DEFINE_GEMM_FLOAT(f32)
DEFINE_GEMM_FLOAT(f16)
DEFINE_GEMM_FLOAT(bf16)

/* --- Panels: lanes are rows; a tile of up to eight tokens keeps its sums in registers --------- */

#define TILE_MAX 8

KERNEL_INLINE void q8_tile(const struct panel_args *a, const struct act_row *x, float *y,
    size_t y_stride, int n, bool wide)
{
	__m512 acc[TILE_MAX];
	const float *dsum[TILE_MAX];
	for (int t = 0; t < n; t++) {
		acc[t] = _mm512_setzero_ps();
		dsum[t] = a->group == 16 ? x[t].dsum16 : x[t].dsum32;
	}
	const uint8_t *w = a->p->q;
	for (size_t g = 0, j = 0; j < a->k; g++) {
		__m512i dot[TILE_MAX];
		for (int t = 0; t < n; t++)
			dot[t] = _mm512_setzero_si512();
		for (size_t end = j + a->group; j < end; j += 4, w += 64) {
			__m512i four = _mm512_loadu_si512(w);
			for (int t = 0; t < n; t++)
				dot[t] = dot512(dot[t], four,
				    _mm512_set1_epi32((int)load_u32((const uint8_t *)x[t].q + j)),
				    wide);
		}
		__m512 scale = _mm512_loadu_ps(a->p->scale + g * PANEL_ROWS);
		__m512 min = _mm512_loadu_ps(a->p->min + g * PANEL_ROWS);
		for (int t = 0; t < n; t++) {
			__m512 d = _mm512_set1_ps(x[t].d[(j - 1) / ACT_GROUP]);
			acc[t] = _mm512_fmadd_ps(
			    _mm512_cvtepi32_ps(dot[t]), _mm512_mul_ps(scale, d), acc[t]);
			acc[t] = _mm512_fnmadd_ps(min, _mm512_set1_ps(dsum[t][g]), acc[t]);
		}
	}
	__mmask16 mask = (__mmask16)((1u << a->rows) - 1);
	for (int t = 0; t < n; t++)
		_mm512_mask_storeu_ps(y + (size_t)t * y_stride, mask, acc[t]);
}

static void gemm_panel(
    const struct panel_args *a, const struct act_row *x, size_t n, float *y, size_t y_stride)
{
#define NARROW(t, count) q8_tile(a, x + (t), y + (t)*y_stride, y_stride, count, false)
#define WIDE(t, count)   q8_tile(a, x + (t), y + (t)*y_stride, y_stride, count, true)
	if (a->wide)
		FOR_TILES(n, TILE_MAX, WIDE);
	else
		FOR_TILES(n, TILE_MAX, NARROW);
#undef NARROW
#undef WIDE
}

/* A transposition of 16 x 16 words, in four steps of pairs. */
KERNEL_INLINE void interleave(const uint8_t *rows, uint8_t *out, unsigned groups)
{
	__m512i a[16], b[16];
	for (int i = 0; i < 16; i++)
		a[i] = _mm512_load_si512(rows + i * BLOCK_MAX);
	for (int i = 0; i < 16; i += 2) {
		b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
		b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
	}
	for (int i = 0; i < 16; i += 4) {
		a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
		a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
		a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
		a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
	}
	/* Quarter L of a[4i + c] now has words 4L + c of rows 4i to 4i + 3. */
	for (int c = 0; c < 4; c++) {
		__m512i low0 = _mm512_shuffle_i32x4(a[c], a[c + 4], 0x44);
		__m512i low1 = _mm512_shuffle_i32x4(a[c + 8], a[c + 12], 0x44);
		_mm512_storeu_si512(out + 64 * c, _mm512_shuffle_i32x4(low0, low1, 0x88));
		_mm512_storeu_si512(out + 64 * (c + 4), _mm512_shuffle_i32x4(low0, low1, 0xdd));
		if (groups < 16)
			continue;
		__m512i high0 = _mm512_shuffle_i32x4(a[c], a[c + 4], 0xee);
		__m512i high1 = _mm512_shuffle_i32x4(a[c + 8], a[c + 12], 0xee);
		_mm512_storeu_si512(out + 64 * (c + 8), _mm512_shuffle_i32x4(high0, high1, 0x88));
		_mm512_storeu_si512(out + 64 * (c + 12), _mm512_shuffle_i32x4(high0, high1, 0xdd));
	}
}

DEFINE_ALL_FAST()
QUANT_TYPES(DEFINE_GEMM)

KERNEL_INLINE __m512 kv_load(const void *w, size_t j, bool half)
{
	if (!half)
		return _mm512_loadu_ps((const float *)w + j * PANEL_ROWS);
	const uint16_t *halves = (const uint16_t *)w + j * PANEL_ROWS;
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)halves));
}

/* Few rows take several steps of k at once, so that additions need not wait for each other. */
KERNEL_INLINE void kv_tile(const struct tile_args *a, size_t from, int n, bool half)
{
	const int chains = n > 4 ? 1 : n > 2 ? 2 : 4;
	__m512 acc[4][TILE_MAX];
	const float *x = a->x + from * a->x_stride;
	float *y = a->y + from * a->y_stride;
	for (int t = 0; t < n; t++) {
		for (int c = 1; c < chains; c++)
			acc[c][t] = _mm512_setzero_ps();
		acc[0][t] = a->accumulate ? _mm512_loadu_ps(y + (size_t)t * a->y_stride)
					  : _mm512_setzero_ps();
	}
	size_t j = 0;
	for (; j + (size_t)chains <= a->k; j += (size_t)chains)
		for (int c = 0; c < chains; c++) {
			__m512 w = kv_load(a->w, j + (size_t)c, half);
			for (int t = 0; t < n; t++)
				acc[c][t] = _mm512_fmadd_ps(w,
				    _mm512_set1_ps(x[(size_t)t * a->x_stride + j + (size_t)c]),
				    acc[c][t]);
		}
	for (; j < a->k; j++)
		for (int t = 0; t < n; t++)
			acc[0][t] = _mm512_fmadd_ps(kv_load(a->w, j, half),
			    _mm512_set1_ps(x[(size_t)t * a->x_stride + j]), acc[0][t]);
	for (int t = 0; t < n; t++) {
		for (int c = 1; c < chains; c++)
			acc[0][t] = _mm512_add_ps(acc[0][t], acc[c][t]);
		_mm512_storeu_ps(y + (size_t)t * a->y_stride, acc[0][t]);
	}
}

static void tile_f32(const struct tile_args *a)
{
#define BODY(t, count) kv_tile(a, t, count, false)
	FOR_TILES(a->n, TILE_MAX, BODY);
#undef BODY
}

static void tile_f16(const struct tile_args *a)
{
#define BODY(t, count) kv_tile(a, t, count, true)
	FOR_TILES(a->n, TILE_MAX, BODY);
#undef BODY
}

/* --- Vectors ---------------------------------------------------------------------------------- */

KERNEL_INLINE void quantize_group(const float *x, const struct act_out *out, size_t g)
{
	__m512 a = _mm512_loadu_ps(x);
	__m512 b = _mm512_loadu_ps(x + 16);
	__m512 most = _mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b));
	__m512 top = _mm512_set1_ps(__FLT_MAX__);
	bool finite = (_mm512_cmp_ps_mask(_mm512_abs_ps(a), top, _CMP_LE_OQ) &
			  _mm512_cmp_ps_mask(_mm512_abs_ps(b), top, _CMP_LE_OQ)) == 0xffff;
	float max = _mm512_reduce_max_ps(most);
	float d = finite ? max / 127 : NAN;
	float inverse = finite && max > 0 ? 127 / max : 0;
	inverse = inverse <= __FLT_MAX__ ? inverse : 0;
	__mmask16 keep = finite ? 0xffff : 0;
	__m512 scale = _mm512_set1_ps(inverse);
	__m512i qa = _mm512_cvtps_epi32(_mm512_maskz_mul_ps(keep, a, scale));
	__m512i qb = _mm512_cvtps_epi32(_mm512_maskz_mul_ps(keep, b, scale));
	_mm_storeu_si128((__m128i *)(out->q + g * 32), _mm512_cvtepi32_epi8(qa));
	_mm_storeu_si128((__m128i *)(out->q + g * 32 + 16), _mm512_cvtepi32_epi8(qb));
	int sum_a = _mm512_reduce_add_epi32(qa);
	int sum_b = _mm512_reduce_add_epi32(qb);
	out->d[g] = d;
	out->dsum16[2 * g] = d * (float)sum_a;
	out->dsum16[2 * g + 1] = d * (float)sum_b;
	out->dsum32[g] = d * (float)(sum_a + sum_b);
}

static void quantize(const float *x, size_t n, const struct act_out *out)
{
	for (size_t g = 0; g < n / ACT_GROUP; g++)
		quantize_group(x + g * ACT_GROUP, out, g);
}

KERNEL_INLINE __mmask16 tail_mask(size_t left)
{
	return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
}

static void rms_norm(const float *x, const float *w, size_t n, float eps, float *y)
{
	__m512 sum = _mm512_setzero_ps();
	for (size_t i = 0; i < n; i += 16) {
		__m512 v = _mm512_maskz_loadu_ps(tail_mask(n - i), x + i);
		sum = _mm512_fmadd_ps(v, v, sum);
	}
	float mean = _mm512_reduce_add_ps(sum) / (float)n;
	__m512 scale = _mm512_set1_ps(1 / sqrtf(mean + eps));
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 mask = tail_mask(n - i);
		__m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), scale);
		v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i));
		_mm512_mask_storeu_ps(y + i, mask, v);
	}
}

/* e^x within 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2].
 * Coefficients: minimax of degree 6 (Cephes, expf). NaN stays NaN. */
KERNEL_INLINE __m512 exp512(__m512 x)
{
	/* The first operand yields to a NaN in the second. */
	x = _mm512_max_ps(_mm512_set1_ps(-104.0f), x);
	x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);
	__m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)),
	    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	__m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
	r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
	__m512 p = _mm512_set1_ps(1.9875691500e-4f);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
	p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1)));
	return _mm512_scalef_ps(p, n);
}

static void silu_mul(float *g, const float *u, size_t n)
{
	__m512 one = _mm512_set1_ps(1);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 mask = tail_mask(n - i);
		__m512 v = _mm512_maskz_loadu_ps(mask, g + i);
		__m512 e = exp512(_mm512_sub_ps(_mm512_setzero_ps(), v));
		v = _mm512_div_ps(v, _mm512_add_ps(one, e));
		v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, u + i));
		_mm512_mask_storeu_ps(g + i, mask, v);
	}
}

static float exp_sum(float *s, size_t n, float max)
{
	__m512 sum = _mm512_setzero_ps();
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 mask = tail_mask(n - i);
		__m512 v = _mm512_maskz_loadu_ps(mask, s + i);
		v = exp512(_mm512_sub_ps(v, _mm512_set1_ps(max)));
		_mm512_mask_storeu_ps(s + i, mask, v);
		sum = _mm512_mask_add_ps(sum, mask, sum, v);
	}
	return _mm512_reduce_add_ps(sum);
}

static float max_of(const float *s, size_t n)
{
	__m512 most = _mm512_set1_ps(-INFINITY);
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 mask = tail_mask(n - i);
		most = _mm512_mask_max_ps(most, mask, most, _mm512_maskz_loadu_ps(mask, s + i));
	}
	return _mm512_reduce_max_ps(most);
}

static void to_f16(const float *x, size_t n, uint16_t *y)
{
	for (size_t i = 0; i < n; i += 16) {
		__mmask16 mask = tail_mask(n - i);
		__m256i half = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, x + i),
		    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
		_mm256_mask_storeu_epi16(y + i, mask, half);
	}
}

#ifdef ENGINE_VNNI
#define TABLE engine_kernels_avx512vnni
#define NAME  "avx512vnni"
#else
#define TABLE engine_kernels_avx512
#define NAME  "avx512"
#endif

const struct engine_kernels TABLE = {
    .name = NAME,
    .gemv = TABLE_OF(TABLE_GEMV),
    .gemm = TABLE_OF(TABLE_GEMM),
    .tile_f32 = tile_f32,
    .tile_f16 = tile_f16,
    .quantize = quantize,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .exp_sum = exp_sum,
    .max = max_of,
    .to_f16 = to_f16,
};
