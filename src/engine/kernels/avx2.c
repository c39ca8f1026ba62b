/* AVX2 kernels (with FMA and F16C). Bytes are multiplied by vpmaddubsw, whose 16-bit sums saturate:
 * weights below 128 cannot reach that, and those of 8 bits go in as magnitudes with the sign moved
 * to the activations (128 * 127 * 2 still fits). */
#include "engine/kernels/blocks.h"
#include "engine/kernels/sets_priv.h"

#include <immintrin.h>
#include <math.h>

/* Four u8 * s8 per 32-bit lane; u below 128. */
KERNEL_INLINE __m256i dot_small(__m256i u, __m256i s)
{
	return _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1));
}

/* Four s8 * s8 per 32-bit lane; s from -127 to 127, w any. */
KERNEL_INLINE __m256i dot_signed(__m256i w, __m256i s)
{
	return dot_small(_mm256_abs_epi8(w), _mm256_sign_epi8(s, w));
}

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

KERNEL_INLINE int sum256i(__m256i v)
{
	__m128i h = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
}

KERNEL_INLINE __m256 half_bcast(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_set1_epi16((short)load_u16(p)));
}

KERNEL_INLINE __m256i load32(const void *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

/* --- Blocks of 32 ------------------------------------------------------------------------------
 */

/* The block's 32 weights as unsigned bytes, in order. */
typedef __m256i bytes32_fn(const uint8_t *b);

KERNEL_INLINE __m256i nibbles32(const uint8_t *qs)
{
	__m128i both = _mm_loadu_si128((const __m128i *)qs);
	__m256i wide = _mm256_set_m128i(_mm_srli_epi16(both, 4), both);
	return _mm256_and_si256(wide, _mm256_set1_epi8(15));
}

/* 16 in each byte whose bit of the 32-bit word is set. */
KERNEL_INLINE __m256i fifth_bits32(const uint8_t *high)
{
	__m256i word = _mm256_set1_epi32((int)load_u32(high));
	__m256i byte = _mm256_shuffle_epi8(
	    word, _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
	__m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
	__m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit);
	return _mm256_and_si256(set, _mm256_set1_epi8(16));
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

/* Unsigned, for panels; the rows themselves are multiplied as they are, signed. */
KERNEL_INLINE __m256i bytes32_q8_0(const uint8_t *b)
{
	return _mm256_xor_si256(load32(b + 2), _mm256_set1_epi8((char)0x80));
}

/* Running sums of a row: products, and what the minima add or take away. */
struct sums {
	__m256 dot;
	__m256 min;
};

/* `zero` is what a weight of value 0 is stored as: 0 in signed bytes, otherwise unsigned; below 0,
 * the block has a minimum of its own. */
KERNEL_INLINE void block32(struct sums *s, const uint8_t *b, const struct act_row *x, size_t g,
    bytes32_fn *get, float zero)
{
	__m256i q = load32(x->q + g * 32);
	__m256 dot =
	    _mm256_cvtepi32_ps(zero == 0 ? dot_signed(load32(b + 2), q) : dot_small(get(b), q));
	__m256 d = half_bcast(b);
	s->dot = _mm256_fmadd_ps(dot, _mm256_mul_ps(d, _mm256_broadcast_ss(x->d + g)), s->dot);
	if (zero == 0)
		return;
	__m256 m = zero < 0 ? half_bcast(b + 2) : d;
	s->min = _mm256_fmadd_ps(m, _mm256_broadcast_ss(x->dsum32 + g), s->min);
}

/* A row's product as a vector still to be summed. */
KERNEL_INLINE __m256 row32(
    const uint8_t *w, size_t k, const struct act_row *x, bytes32_fn *get, size_t bytes, float zero)
{
	struct sums s[2] = {0};
	size_t g = 0;
	for (; g + 2 <= k / 32; g += 2) {
		block32(&s[0], w + g * bytes, x, g, get, zero);
		block32(&s[1], w + (g + 1) * bytes, x, g + 1, get, zero);
	}
	if (g < k / 32)
		block32(&s[0], w + g * bytes, x, g, get, zero);
	__m256 dot = _mm256_add_ps(s[0].dot, s[1].dot);
	__m256 min = _mm256_add_ps(s[0].min, s[1].min);
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
DEFINE_GEMV32(q8_0, 34, 0)

/* --- Super-blocks of 256 ------------------------------------------------------------------------
 */

KERNEL_INLINE __m256 bytes_to_ps(uint64_t eight)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)eight)));
}

/* The eight groups' scales times activation scales, and the minima's part of the row's sum. */
KERNEL_INLINE void k_scales(
    struct sums *s, const uint8_t *b, const struct act_row *x, size_t g, float scales_out[8])
{
	uint64_t scales, mins;
	unpack_k_scales(b + 4, &scales, &mins);
	__m256 scale = _mm256_mul_ps(bytes_to_ps(scales), half_bcast(b));
	__m256 min = _mm256_mul_ps(bytes_to_ps(mins), half_bcast(b + 2));
	s->min = _mm256_fmadd_ps(min, _mm256_loadu_ps(x->dsum32 + g), s->min);
	_mm256_storeu_ps(scales_out, _mm256_mul_ps(scale, _mm256_loadu_ps(x->d + g)));
}

KERNEL_INLINE __m256 add_group(__m256 acc, __m256i w, const int8_t *x, const float *scale)
{
	__m256 dot = _mm256_cvtepi32_ps(dot_small(w, load32(x)));
	return _mm256_fmadd_ps(dot, _mm256_broadcast_ss(scale), acc);
}

KERNEL_INLINE void block_q4_k(struct sums s[2], const uint8_t *b, const struct act_row *x, size_t j)
{
	float scale[8];
	k_scales(&s[0], b, x, j / 32, scale);
	__m256i nibble = _mm256_set1_epi8(15);
	for (int c = 0; c < 4; c++) {
		__m256i both = load32(b + 16 + 32 * c);
		__m256i low = _mm256_and_si256(both, nibble);
		__m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
		const int8_t *q = x->q + j + 64 * c;
		s[0].dot = add_group(s[0].dot, low, q, scale + 2 * c);
		s[1].dot = add_group(s[1].dot, high, q + 32, scale + 2 * c + 1);
	}
}

KERNEL_INLINE void block_q5_k(struct sums s[2], const uint8_t *b, const struct act_row *x, size_t j)
{
	float scale[8];
	k_scales(&s[0], b, x, j / 32, scale);
	__m256i nibble = _mm256_set1_epi8(15);
	__m256i sixteen = _mm256_set1_epi8(16);
	__m256i bits = load32(b + 16);
	for (int c = 0; c < 4; c++) {
		__m256i both = load32(b + 48 + 32 * c);
		__m256i fifth_low = _mm256_and_si256(_mm256_slli_epi16(bits, 4), sixteen);
		__m256i fifth_high = _mm256_and_si256(_mm256_slli_epi16(bits, 3), sixteen);
		__m256i low = _mm256_and_si256(both, nibble);
		__m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
		const int8_t *q = x->q + j + 64 * c;
		s[0].dot = add_group(s[0].dot, _mm256_or_si256(low, fifth_low), q, scale + 2 * c);
		s[1].dot = add_group(
		    s[1].dot, _mm256_or_si256(high, fifth_high), q + 32, scale + 2 * c + 1);
		bits = _mm256_srli_epi16(bits, 2);
	}
}

/* 32 weights in two groups of 16, each lane half under its own scale. */
KERNEL_INLINE __m256 add_two_groups(__m256 acc, __m256i w, const int8_t *x, const float *scale)
{
	__m256 dot = _mm256_cvtepi32_ps(dot_small(w, load32(x)));
	__m256 scales = _mm256_set_m128(_mm_broadcast_ss(scale + 1), _mm_broadcast_ss(scale));
	return _mm256_fmadd_ps(dot, scales, acc);
}

/* Sixteen scales times activation scales to `out`; the offset of 32 goes to the minima. */
KERNEL_INLINE void q6_scales(
    struct sums *s, const uint8_t *b, const struct act_row *x, size_t j, float out[16])
{
	__m256 d = half_bcast(b + 208);
	__m256 act = _mm256_loadu_ps(x->d + j / 32);
	__m256 act_pairs[2] = {
	    _mm256_permutevar8x32_ps(act, _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0)),
	    _mm256_permutevar8x32_ps(act, _mm256_set_epi32(7, 7, 6, 6, 5, 5, 4, 4))};
	for (int h = 0; h < 2; h++) {
		__m128i bytes = _mm_loadl_epi64((const __m128i *)(b + 192 + 8 * h));
		__m256 scale = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), d);
		__m256 sums = _mm256_loadu_ps(x->dsum16 + j / 16 + 8 * (size_t)h);
		s->min = _mm256_fmadd_ps(scale, sums, s->min);
		_mm256_storeu_ps(out + 8 * h, _mm256_mul_ps(scale, act_pairs[h]));
	}
}

KERNEL_INLINE void block_q6_k(struct sums s[2], const uint8_t *b, const struct act_row *x, size_t j)
{
	float scale[16];
	q6_scales(&s[0], b, x, j, scale);
	__m256i nibble = _mm256_set1_epi8(15);
	__m256i two = _mm256_set1_epi8(0x30);
	for (int h = 0; h < 2; h++) {
		__m256i a = load32(b + 64 * h);
		__m256i c = load32(b + 64 * h + 32);
		__m256i high = load32(b + 128 + 32 * h);
		__m256i w[4] = {
		    _mm256_or_si256(_mm256_and_si256(a, nibble),
			_mm256_and_si256(_mm256_slli_epi16(high, 4), two)),
		    _mm256_or_si256(_mm256_and_si256(c, nibble),
			_mm256_and_si256(_mm256_slli_epi16(high, 2), two)),
		    _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), nibble),
			_mm256_and_si256(high, two)),
		    _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(c, 4), nibble),
			_mm256_and_si256(_mm256_srli_epi16(high, 2), two)),
		};
		for (int i = 0; i < 4; i++)
			s[i % 2].dot = add_two_groups(
			    s[i % 2].dot, w[i], x->q + j + 128 * h + 32 * i, scale + 8 * h + 2 * i);
	}
}

#define DEFINE_GEMV256(name, bytes, zero)                                                          \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		for (size_t r = 0; r < rows; r++) {                                                \
			struct sums s[2] = {0};                                                    \
			const uint8_t *b = w + r * row_bytes;                                      \
			for (size_t j = 0; j < k; j += 256, b += (bytes))                          \
				block_##name(s, b, x, j);                                          \
			__m256 dot = _mm256_add_ps(s[0].dot, s[1].dot);                            \
			y[r] = sum256(_mm256_fnmadd_ps(_mm256_set1_ps(zero), s[0].min, dot));      \
		}                                                                                  \
	}
DEFINE_GEMV256(q4_k, 144, 1.0f)
DEFINE_GEMV256(q5_k, 176, 1.0f)
DEFINE_GEMV256(q6_k, 210, 32.0f)

/* --- Float rows ---------------------------------------------------------------------------------
 */

typedef __m256 get8_fn(const uint8_t *p);
typedef float get1_fn(const uint8_t *p);

KERNEL_INLINE __m256 get8_f32(const uint8_t *p)
{
	return _mm256_loadu_ps((const float *)(const void *)p);
}

KERNEL_INLINE __m256 get8_f16(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

KERNEL_INLINE __m256 get8_bf16(const uint8_t *p)
{
	__m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
	return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

KERNEL_INLINE float float_row(
    const uint8_t *w, size_t k, const float *x, get8_fn *get8, get1_fn *get1, size_t bytes)
{
	__m256 s[4] = {0};
	size_t j = 0;
	for (; j + 32 <= k; j += 32)
		for (size_t i = 0; i < 4; i++)
			s[i] = _mm256_fmadd_ps(
			    get8(w + (j + 8 * i) * bytes), _mm256_loadu_ps(x + j + 8 * i), s[i]);
	float sum = sum256(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])));
	for (; j < k; j++)
		sum += get1(w + j * bytes) * x[j];
	return sum;
}

#define DEFINE_GEMV_FLOAT(name, bytes)                                                             \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		for (size_t r = 0; r < rows; r++)                                                  \
			y[r] = float_row(                                                          \
			    w + r * row_bytes, k, x->f, get8_##name, load_##name, bytes);          \
	}
DEFINE_GEMV_FLOAT(f32, 4)
DEFINE_GEMV_FLOAT(f16, 2)
DEFINE_GEMV_FLOAT(bf16, 2)

/* Calls body(first, n) over `total` items with n a constant (4, 2 or 1), so that the tile's arrays
 * become registers. */
#define TILE_MAX 4
#define FOR_TILES(total, body)                                                                     \
	do {                                                                                       \
		size_t t = 0;                                                                      \
		for (; t + TILE_MAX <= (total); t += TILE_MAX)                                     \
			body(t, TILE_MAX);                                                         \
		if ((total)-t >= 2) {                                                              \
			body(t, 2);                                                                \
			t += 2;                                                                    \
		}                                                                                  \
		if (t < (total))                                                                   \
			body(t, 1);                                                                \
	} while (0)

/* `rows` rows (one or two) times `n` tokens: two rows share each load of the activations. */
KERNEL_INLINE void float_tile(const uint8_t *w, size_t row_bytes, size_t k, const struct act_row *x,
    float *y, size_t y_stride, size_t rows, size_t n, get8_fn *get8, get1_fn *get1, size_t bytes)
{
	__m256 acc[2][TILE_MAX] = {{{0}}};
	size_t j = 0;
	for (; j + 8 <= k; j += 8) {
		__m256 u[2];
		for (size_t r = 0; r < rows; r++)
			u[r] = get8(w + r * row_bytes + j * bytes);
		for (size_t t = 0; t < n; t++) {
			__m256 v = _mm256_loadu_ps(x[t].f + j);
			for (size_t r = 0; r < rows; r++)
				acc[r][t] = _mm256_fmadd_ps(u[r], v, acc[r][t]);
		}
	}
	for (size_t t = 0; t < n; t++)
		for (size_t r = 0; r < rows; r++) {
			float sum = sum256(acc[r][t]);
			for (size_t i = j; i < k; i++)
				sum += get1(w + r * row_bytes + i * bytes) * x[t].f[i];
			y[t * y_stride + r] = sum;
		}
}

#define DEFINE_GEMM_FLOAT(name)                                                                    \
	static void gemm_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, size_t n, float *y, size_t y_stride,                          \
	    const struct panel *scratch)                                                           \
	{                                                                                          \
		(void)scratch;                                                                     \
		size_t r = 0;                                                                      \
		for (; r + 2 <= rows; r += 2)                                                      \
			FOR_TILES(n, BODY2_##name);                                                \
		if (r < rows)                                                                      \
			FOR_TILES(n, BODY1_##name);                                                \
	}
#define FLOAT_TILE(name, t, count, some, bytes)                                                    \
	float_tile(w + r * row_bytes, row_bytes, k, x + (t), y + (t)*y_stride + r, y_stride, some, \
	    count, get8_##name, load_##name, bytes)
#define BODY2_f32(t, count)  FLOAT_TILE(f32, t, count, 2, 4)
#define BODY1_f32(t, count)  FLOAT_TILE(f32, t, count, 1, 4)
#define BODY2_f16(t, count)  FLOAT_TILE(f16, t, count, 2, 2)
#define BODY1_f16(t, count)  FLOAT_TILE(f16, t, count, 1, 2)
#define BODY2_bf16(t, count) FLOAT_TILE(bf16, t, count, 2, 2)
#define BODY1_bf16(t, count) FLOAT_TILE(bf16, t, count, 1, 2)
DEFINE_GEMM_FLOAT(f32)
DEFINE_GEMM_FLOAT(f16)
DEFINE_GEMM_FLOAT(bf16)

/* --- Panels: eight rows (half a panel) times up to four tokens stay in registers -----------------
 */

/* Stores the half panel's results that belong to real rows. */
KERNEL_INLINE void store_rows(float *y, __m256 v, size_t first, size_t rows)
{
	if (rows >= first + 8) {
		_mm256_storeu_ps(y + first, v);
		return;
	}
	float eight[8];
	_mm256_storeu_ps(eight, v);
	for (size_t r = first; r < rows; r++)
		y[r] = eight[r - first];
}

KERNEL_INLINE void q8_tile(const struct panel_args *a, size_t first, const struct act_row *x,
    float *y, size_t y_stride, int n, bool wide)
{
	__m256 acc[TILE_MAX];
	for (int t = 0; t < n; t++)
		acc[t] = _mm256_setzero_ps();
	const uint8_t *w = a->p->q + first * 4;
	for (size_t g = 0, j = 0; j < a->k; g++) {
		__m256i dot[TILE_MAX];
		for (int t = 0; t < n; t++)
			dot[t] = _mm256_setzero_si256();
		for (size_t end = j + a->group; j < end; j += 4, w += 64) {
			__m256i four = load32(w);
			if (wide) /* back from offset 128 to signed */
				four = _mm256_xor_si256(four, _mm256_set1_epi8((char)0x80));
			for (int t = 0; t < n; t++) {
				__m256i q =
				    _mm256_set1_epi32((int)load_u32((const uint8_t *)x[t].q + j));
				dot[t] = _mm256_add_epi32(
				    dot[t], wide ? dot_signed(four, q) : dot_small(four, q));
			}
		}
		__m256 scale = _mm256_loadu_ps(a->p->scale + g * PANEL_ROWS + first);
		__m256 min = _mm256_loadu_ps(a->p->min + g * PANEL_ROWS + first);
		for (int t = 0; t < n; t++) {
			__m256 d = _mm256_set1_ps(x[t].d[(j - 1) / ACT_GROUP]);
			acc[t] = _mm256_fmadd_ps(
			    _mm256_cvtepi32_ps(dot[t]), _mm256_mul_ps(scale, d), acc[t]);
			if (!wide) {
				const float *dsum = a->group == 16 ? x[t].dsum16 : x[t].dsum32;
				acc[t] = _mm256_fnmadd_ps(min, _mm256_set1_ps(dsum[g]), acc[t]);
			}
		}
	}
	for (int t = 0; t < n; t++)
		store_rows(y + (size_t)t * y_stride, acc[t], first, a->rows);
}

static void gemm_panel(
    const struct panel_args *a, const struct act_row *x, size_t n, float *y, size_t y_stride)
{
#define NARROW(t, count) q8_tile(a, first, x + (t), y + (t)*y_stride, y_stride, count, false)
#define WIDE(t, count)   q8_tile(a, first, x + (t), y + (t)*y_stride, y_stride, count, true)
	for (size_t first = 0; first < a->rows; first += 8) {
		if (a->wide)
			FOR_TILES(n, WIDE);
		else
			FOR_TILES(n, NARROW);
	}
#undef NARROW
#undef WIDE
}

/* A transposition of 8 x 8 words, in three steps of pairs. */
KERNEL_INLINE void interleave8(const uint8_t *rows, uint8_t *out)
{
	__m256i a[8], b[8];
	for (int i = 0; i < 8; i++)
		a[i] = load32(rows + i * BLOCK_MAX);
	for (int i = 0; i < 8; i += 2) {
		b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
		b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
	}
	for (int i = 0; i < 8; i += 4) {
		a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
		a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
		a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
		a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
	}
	/* Half L of a[4i + c] now has words 4L + c of rows 4i to 4i + 3. */
	for (int c = 0; c < 4; c++) {
		_mm256_storeu_si256((__m256i *)(void *)(out + 64 * c),
		    _mm256_permute2x128_si256(a[c], a[c + 4], 0x20));
		_mm256_storeu_si256((__m256i *)(void *)(out + 64 * (c + 4)),
		    _mm256_permute2x128_si256(a[c], a[c + 4], 0x31));
	}
}

KERNEL_INLINE void interleave(const uint8_t *rows, uint8_t *out, unsigned groups)
{
	for (unsigned g = 0; g < groups; g += 8) {
		interleave8(rows + 4 * g, out + (size_t)64 * g);
		interleave8(rows + 8 * BLOCK_MAX + 4 * g, out + (size_t)64 * g + 32);
	}
}

DEFINE_ALL_FAST()
QUANT_TYPES(DEFINE_GEMM)

/* Few rows take several steps of k at once, so that additions need not wait for each other. */
KERNEL_INLINE void kv_tile(const struct tile_args *a, size_t from, int n, bool half)
{
	const int chains = n > 2 ? 1 : 2;
	const size_t step = PANEL_ROWS * (half ? 2 : 4);
	__m256 acc[2][TILE_MAX][2];
	const float *x = a->x + from * a->x_stride;
	float *y = a->y + from * a->y_stride;
	for (int t = 0; t < n; t++)
		for (size_t h = 0; h < 2; h++) {
			acc[1][t][h] = _mm256_setzero_ps();
			acc[0][t][h] = a->accumulate
					   ? _mm256_loadu_ps(y + (size_t)t * a->y_stride + 8 * h)
					   : _mm256_setzero_ps();
		}
	const uint8_t *w = a->w;
	for (size_t j = 0; j < a->k; j += (size_t)chains)
		for (int c = 0; c < chains && j + (size_t)c < a->k; c++, w += step) {
			__m256 w0 = half ? get8_f16(w) : get8_f32(w);
			__m256 w1 = half ? get8_f16(w + 16) : get8_f32(w + 32);
			for (int t = 0; t < n; t++) {
				__m256 v = _mm256_broadcast_ss(
				    x + (size_t)t * a->x_stride + j + (size_t)c);
				acc[c][t][0] = _mm256_fmadd_ps(w0, v, acc[c][t][0]);
				acc[c][t][1] = _mm256_fmadd_ps(w1, v, acc[c][t][1]);
			}
		}
	for (int t = 0; t < n; t++)
		for (size_t h = 0; h < 2; h++)
			_mm256_storeu_ps(y + (size_t)t * a->y_stride + 8 * h,
			    chains > 1 ? _mm256_add_ps(acc[0][t][h], acc[1][t][h]) : acc[0][t][h]);
}

static void tile_f32(const struct tile_args *a)
{
#define BODY(t, count) kv_tile(a, t, count, false)
	FOR_TILES(a->n, BODY);
#undef BODY
}

static void tile_f16(const struct tile_args *a)
{
#define BODY(t, count) kv_tile(a, t, count, true)
	FOR_TILES(a->n, BODY);
#undef BODY
}

/* --- Vectors
 * --------------------------------------------------------------------------------------- */

KERNEL_INLINE __m256 abs256(__m256 v)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

/* The largest magnitude of the 32; *finite is false when one is infinite or no number. */
KERNEL_INLINE float group_max(const __m256 v[4], bool *finite)
{
	__m256 most = abs256(v[0]);
	__m256 ok = _mm256_cmp_ps(most, _mm256_set1_ps(__FLT_MAX__), _CMP_LE_OQ);
	for (int i = 1; i < 4; i++) {
		__m256 a = abs256(v[i]);
		ok = _mm256_and_ps(ok, _mm256_cmp_ps(a, _mm256_set1_ps(__FLT_MAX__), _CMP_LE_OQ));
		most = _mm256_max_ps(most, a);
	}
	*finite = _mm256_movemask_ps(ok) == 0xff;
	__m128 h = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
	h = _mm_max_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

KERNEL_INLINE void quantize_group(const float *x, const struct act_out *out, size_t g)
{
	__m256 v[4];
	for (int i = 0; i < 4; i++)
		v[i] = _mm256_loadu_ps(x + 8 * i);
	bool finite;
	float max = group_max(v, &finite);
	float d = finite ? max / 127 : NAN;
	float inverse = finite && max > 0 ? 127 / max : 0;
	inverse = inverse <= __FLT_MAX__ ? inverse : 0;
	__m256i q[4];
	for (int i = 0; i < 4; i++)
		q[i] = finite ? _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)))
			      : _mm256_setzero_si256();
	int sums[2] = {
	    sum256i(_mm256_add_epi32(q[0], q[1])), sum256i(_mm256_add_epi32(q[2], q[3]))};
	__m256i words = _mm256_packs_epi32(q[0], q[1]);
	__m256i bytes = _mm256_packs_epi16(words, _mm256_packs_epi32(q[2], q[3]));
	bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
	_mm256_storeu_si256((__m256i *)(void *)(out->q + g * 32), bytes);
	out->d[g] = d;
	out->dsum16[2 * g] = d * (float)sums[0];
	out->dsum16[2 * g + 1] = d * (float)sums[1];
	out->dsum32[g] = d * (float)(sums[0] + sums[1]);
}

static void quantize(const float *x, size_t n, const struct act_out *out)
{
	for (size_t g = 0; g < n / ACT_GROUP; g++)
		quantize_group(x + g * ACT_GROUP, out, g);
}

static void rms_norm(const float *x, const float *w, size_t n, float eps, float *y)
{
	__m256 acc = _mm256_setzero_ps();
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		__m256 v = _mm256_loadu_ps(x + i);
		acc = _mm256_fmadd_ps(v, v, acc);
	}
	float sum = sum256(acc);
	for (; i < n; i++)
		sum += x[i] * x[i];
	float scale = 1 / sqrtf(sum / (float)n + eps);
	for (i = 0; i + 8 <= n; i += 8) {
		__m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale));
		_mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_loadu_ps(w + i)));
	}
	for (; i < n; i++)
		y[i] = x[i] * scale * w[i];
}

/* e^x within 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2].
 * Coefficients: minimax of degree 6 (Cephes, expf). 2^n is applied in two halves, so that it may
 * reach below and above the normal range. NaN stays NaN. */
KERNEL_INLINE __m256 exp256(__m256 x)
{
	/* The first operand yields to a NaN in the second. */
	x = _mm256_max_ps(_mm256_set1_ps(-104.0f), x);
	x = _mm256_min_ps(_mm256_set1_ps(89.0f), x);
	__m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)),
	    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	__m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
	r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
	__m256 p = _mm256_set1_ps(1.9875691500e-4f);
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
	p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
	p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1)));
	__m256i e = _mm256_cvtps_epi32(n);
	__m256i e0 = _mm256_srai_epi32(e, 1);
	__m256i e1 = _mm256_sub_epi32(e, e0);
	__m256i bias = _mm256_set1_epi32(127);
	__m256 s0 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e0, bias), 23));
	__m256 s1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e1, bias), 23));
	return _mm256_mul_ps(_mm256_mul_ps(p, s0), s1);
}

/* Eight values from p, zeros beyond the n that are left; and the way back. */
KERNEL_INLINE __m256i lanes(size_t n)
{
	__m256i index = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), index);
}

static void silu_mul(float *g, const float *u, size_t n)
{
	__m256 one = _mm256_set1_ps(1);
	for (size_t i = 0; i < n; i += 8) {
		__m256i mask = lanes(n - i);
		__m256 v = _mm256_maskload_ps(g + i, mask);
		__m256 e = exp256(_mm256_sub_ps(_mm256_setzero_ps(), v));
		v = _mm256_div_ps(v, _mm256_add_ps(one, e));
		_mm256_maskstore_ps(g + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(u + i, mask)));
	}
}

static float exp_sum(float *s, size_t n, float max)
{
	__m256 sum = _mm256_setzero_ps();
	for (size_t i = 0; i < n; i += 8) {
		__m256i mask = lanes(n - i);
		__m256 v = _mm256_sub_ps(_mm256_maskload_ps(s + i, mask), _mm256_set1_ps(max));
		v = exp256(v);
		_mm256_maskstore_ps(s + i, mask, v);
		sum = _mm256_add_ps(sum, _mm256_and_ps(v, _mm256_castsi256_ps(mask)));
	}
	return sum256(sum);
}

static float max_of(const float *s, size_t n)
{
	float most = -INFINITY;
	size_t i = 0;
	__m256 acc = _mm256_set1_ps(-INFINITY);
	for (; i + 8 <= n; i += 8)
		acc = _mm256_max_ps(acc, _mm256_loadu_ps(s + i));
	float eight[8];
	_mm256_storeu_ps(eight, acc);
	for (int j = 0; j < 8; j++)
		most = eight[j] > most ? eight[j] : most;
	for (; i < n; i++)
		most = s[i] > most ? s[i] : most;
	return most;
}

static void to_f16(const float *x, size_t n, uint16_t *y)
{
	size_t i = 0;
	for (; i + 8 <= n; i += 8)
		_mm_storeu_si128(
		    (__m128i *)(void *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i),
						    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
	for (; i < n; i++)
		y[i] = half_of_float(x[i]);
}

const struct engine_kernels engine_kernels_avx2 = {
    .name = "avx2",
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
