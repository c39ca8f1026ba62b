/* How each block format is laid out, in plain C: unpacking to unsigned bytes with a scale and a
 * minimum per group, so that weight = scale*q - min. Included by every kernel file, so that the
 * compiler can vectorise it for each instruction set.
 * SPEC: ggml-common.h (block layouts), little-endian. */
#ifndef ENGINE_KERNELS_BLOCKS_H
#define ENGINE_KERNELS_BLOCKS_H

#include "engine/kernels/kernels.h"

#include <string.h>
#ifdef __F16C__
#include <immintrin.h>
#endif

#define KERNEL_INLINE static inline __attribute__((always_inline, unused))

/* X(name, type id, weights per block, bytes per block, weights per scale) */
#define QUANT_TYPES(X)                                                                             \
	X(q4_0, GGML_Q4_0, 32, 18, 32)                                                             \
	X(q4_1, GGML_Q4_1, 32, 20, 32)                                                             \
	X(q5_0, GGML_Q5_0, 32, 22, 32)                                                             \
	X(q5_1, GGML_Q5_1, 32, 24, 32)                                                             \
	X(q8_0, GGML_Q8_0, 32, 34, 32)                                                             \
	X(q4_k, GGML_Q4_K, 256, 144, 32)                                                           \
	X(q5_k, GGML_Q5_K, 256, 176, 32)                                                           \
	X(q6_k, GGML_Q6_K, 256, 210, 16)

KERNEL_INLINE uint16_t load_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

KERNEL_INLINE uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

KERNEL_INLINE float float_of_bits(uint32_t bits)
{
	float f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

KERNEL_INLINE uint32_t bits_of_float(float f)
{
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	return bits;
}

KERNEL_INLINE float float_of_bf16(uint16_t h)
{
	return float_of_bits((uint32_t)h << 16);
}

/* IEEE binary16 to binary32, exact: the exponent is rebiased by a multiplication, which also
 * normalises subnormals; infinities and NaNs are patched. */
KERNEL_INLINE float float_of_half(uint16_t h)
{
#ifdef __F16C__
	return _cvtsh_ss(h);
#else
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t rest = (uint32_t)(h & 0x7fff) << 13;
	float scaled = float_of_bits(rest) * 0x1p112f;
	uint32_t bits = rest >= 0x0f800000u ? rest | 0x7f800000u : bits_of_float(scaled);
	return float_of_bits(bits | sign);
#endif
}

/* binary32 to binary16, round to nearest even; overflow becomes infinity. */
KERNEL_INLINE uint16_t half_of_float(float f)
{
	uint32_t bits = bits_of_float(f);
	uint32_t sign = bits >> 16 & 0x8000;
	bits &= 0x7fffffff;
	if (bits >= 0x7f800000u)
		return (uint16_t)(sign | 0x7c00 | (bits > 0x7f800000u ? 0x200 : 0));
	if (bits >= 0x477ff000u)
		return (uint16_t)(sign | 0x7c00);
	if (bits < 0x38800000u) /* subnormal half: let the float adder do the rounding */
		return (uint16_t)(sign | (bits_of_float(float_of_bits(bits) + 0.5f) -
					     bits_of_float(0.5f)));
	bits += 0xc8000fffu + (bits >> 13 & 1);
	return (uint16_t)(sign | bits >> 13);
}

/* --- 32 weights under one scale ----------------------------------------------------------- */

KERNEL_INLINE void unpack_nibbles(const uint8_t *qs, uint8_t *q)
{
	for (int i = 0; i < 16; i++)
		q[i] = qs[i] & 15;
	for (int i = 0; i < 16; i++)
		q[i + 16] = qs[i] >> 4;
}

/* Adds bit i of `high` to weight i as its fifth bit. */
KERNEL_INLINE void unpack_fifth_bits(uint32_t high, uint8_t *q)
{
	for (int i = 0; i < 32; i++)
		q[i] = (uint8_t)(q[i] | (high >> i & 1) << 4);
}

KERNEL_INLINE void unpack_q4_0(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	unpack_nibbles(b + 2, q);
	scale[0] = float_of_half(load_u16(b));
	min[0] = 8 * scale[0];
}

KERNEL_INLINE void unpack_q4_1(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	unpack_nibbles(b + 4, q);
	scale[0] = float_of_half(load_u16(b));
	min[0] = -float_of_half(load_u16(b + 2));
}

KERNEL_INLINE void unpack_q5_0(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	unpack_nibbles(b + 6, q);
	unpack_fifth_bits(load_u32(b + 2), q);
	scale[0] = float_of_half(load_u16(b));
	min[0] = 16 * scale[0];
}

KERNEL_INLINE void unpack_q5_1(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	unpack_nibbles(b + 8, q);
	unpack_fifth_bits(load_u32(b + 4), q);
	scale[0] = float_of_half(load_u16(b));
	min[0] = -float_of_half(load_u16(b + 2));
}

KERNEL_INLINE void unpack_q8_0(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	for (int i = 0; i < 32; i++)
		q[i] = b[2 + i] ^ 0x80; /* signed to unsigned: + 128 */
	scale[0] = float_of_half(load_u16(b));
	min[0] = 128 * scale[0];
}

/* --- 256 weights: super-blocks -------------------------------------------------------------- */

/* The eight 6-bit scales and eight 6-bit minima of Q4_K and Q5_K, as bytes of two words. */
KERNEL_INLINE void unpack_k_scales(const uint8_t *p, uint64_t *scales, uint64_t *mins)
{
	uint32_t a = load_u32(p);
	uint32_t b = load_u32(p + 4);
	uint32_t c = load_u32(p + 8);
	uint32_t scale_hi = (c & 0x0f0f0f0f) | (a >> 6 & 0x03030303) << 4;
	uint32_t min_hi = (c >> 4 & 0x0f0f0f0f) | (b >> 6 & 0x03030303) << 4;
	*scales = (a & 0x3f3f3f3f) | (uint64_t)scale_hi << 32;
	*mins = (b & 0x3f3f3f3f) | (uint64_t)min_hi << 32;
}

KERNEL_INLINE void unpack_k_groups(const uint8_t *b, float *scale, float *min)
{
	uint64_t scales, mins;
	unpack_k_scales(b + 4, &scales, &mins);
	float d = float_of_half(load_u16(b));
	float dmin = float_of_half(load_u16(b + 2));
	for (int i = 0; i < 8; i++) {
		scale[i] = d * (float)(scales >> 8 * i & 0xff);
		min[i] = dmin * (float)(mins >> 8 * i & 0xff);
	}
}

KERNEL_INLINE void unpack_q4_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	unpack_k_groups(b, scale, min);
	for (int j = 0; j < 4; j++)
		for (int i = 0; i < 32; i++) {
			q[64 * j + i] = b[16 + 32 * j + i] & 15;
			q[64 * j + 32 + i] = b[16 + 32 * j + i] >> 4;
		}
}

KERNEL_INLINE void unpack_q5_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	unpack_k_groups(b, scale, min);
	for (int j = 0; j < 4; j++)
		for (int i = 0; i < 32; i++) {
			uint8_t low = b[48 + 32 * j + i];
			uint8_t high = (uint8_t)(b[16 + i] >> 2 * j);
			q[64 * j + i] = (uint8_t)((low & 15) | (high & 1) << 4);
			q[64 * j + 32 + i] = (uint8_t)(low >> 4 | (high & 2) << 3);
		}
}

KERNEL_INLINE void unpack_q6_k(const uint8_t *b, uint8_t *q, float *scale, float *min)
{
	float d = float_of_half(load_u16(b + 208));
	for (int i = 0; i < 16; i++) {
		scale[i] = d * (float)(int8_t)b[192 + i];
		min[i] = 32 * scale[i];
	}
	for (int h = 0; h < 2; h++)
		for (int i = 0; i < 32; i++) {
			const uint8_t *low = b + 64 * h + i;
			uint8_t high = b[128 + 32 * h + i];
			uint8_t *out = q + 128 * h + i;
			out[0] = (uint8_t)((low[0] & 15) | (high & 3) << 4);
			out[32] = (uint8_t)((low[32] & 15) | (high >> 2 & 3) << 4);
			out[64] = (uint8_t)(low[0] >> 4 | (high >> 4 & 3) << 4);
			out[96] = (uint8_t)(low[32] >> 4 | (high >> 6) << 4);
		}
}

/* --- Panels --------------------------------------------------------------------------------- */

typedef void unpack_fn(const uint8_t *b, uint8_t *q, float *scale, float *min);
/* Moves 16 rows of 64 bytes (BLOCK_MAX apart) to 16 groups of 64: group i has bytes 4i … 4i + 3 of
 * each row. Only the first `groups` (8 or 16) are written. */
typedef void interleave_fn(const uint8_t *rows, uint8_t *out, unsigned groups);

/* Fills a panel, block after block; rows that do not exist become zeros. */
KERNEL_INLINE void pack_panel(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,
    const struct panel *p, unpack_fn *unpack, interleave_fn *interleave, unsigned elems,
    unsigned bytes, unsigned group)
{
	_Alignas(64) uint8_t q[PANEL_ROWS][BLOCK_MAX];
	float scale[BLOCK_MAX / 16], min[BLOCK_MAX / 16];
	unsigned groups = elems / group;
	memset(q, 0, sizeof q);
	for (size_t r = rows; r < PANEL_ROWS; r++)
		for (size_t i = 0; i < k / group; i++)
			p->scale[i * PANEL_ROWS + r] = p->min[i * PANEL_ROWS + r] = 0;
	for (size_t j = 0; j < k; j += elems, w += bytes) {
		for (size_t r = 0; r < rows; r++) {
			unpack(w + r * row_bytes, q[r], scale, min);
			size_t at = j / group * PANEL_ROWS + r;
			for (unsigned i = 0; i < groups; i++, at += PANEL_ROWS) {
				p->scale[at] = scale[i];
				p->min[at] = min[i];
			}
		}
		for (unsigned i = 0; i < elems; i += 64)
			interleave(q[0] + i, p->q + (j + i) * PANEL_ROWS, elems < 64 ? 8 : 16);
	}
}

/* What a tile kernel computes from: a filled panel of `rows` real rows. `wide` says that q uses
 * all 8 bits, and then min is 128*scale throughout. */
struct panel_args {
	const struct panel *p;
	size_t k;
	size_t rows;
	unsigned group; /* weights under one scale: 16 or 32 */
	bool wide;
};

/* Defines gemm_NAME: fills the panel, then computes. The including file has fast_NAME (an
 * unpack_fn), interleave and gemm_panel. */
#define DEFINE_GEMM(name, id, elems, bytes, grp)                                                   \
	static void gemm_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, size_t n, float *y, size_t y_stride,                          \
	    const struct panel *scratch)                                                           \
	{                                                                                          \
		pack_panel(                                                                        \
		    w, row_bytes, rows, k, scratch, fast_##name, interleave, elems, bytes, grp);   \
		struct panel_args args = {scratch, k, rows, grp, (id) == GGML_Q8_0};               \
		gemm_panel(&args, x, n, y, y_stride);                                              \
	}

/* Defines fast_NAME for a format of 32 from bytes32_NAME; the parameters of unpack_NAME's scales.
 */
#define DEFINE_FAST32(name, zero)                                                                  \
	KERNEL_INLINE void fast_##name(const uint8_t *b, uint8_t *q, float *scale, float *min)     \
	{                                                                                          \
		_mm256_storeu_si256((__m256i *)(void *)q, bytes32_##name(b));                      \
		scale[0] = float_of_half(load_u16(b));                                             \
		min[0] = (zero) < 0 ? -float_of_half(load_u16(b + 2)) : (zero)*scale[0];           \
	}
#define DEFINE_ALL_FAST()                                                                          \
	DEFINE_FAST32(q4_0, 8)                                                                     \
	DEFINE_FAST32(q4_1, -1)                                                                    \
	DEFINE_FAST32(q5_0, 16)                                                                    \
	DEFINE_FAST32(q5_1, -1)                                                                    \
	DEFINE_FAST32(q8_0, 128)
/* Compilers vectorise these well as they are. */
#define fast_q4_k unpack_q4_k
#define fast_q5_k unpack_q5_k
#define fast_q6_k unpack_q6_k

KERNEL_INLINE float load_f32(const uint8_t *p)
{
	float f;
	memcpy(&f, p, sizeof f);
	return f;
}

KERNEL_INLINE float load_f16(const uint8_t *p)
{
	return float_of_half(load_u16(p));
}

KERNEL_INLINE float load_bf16(const uint8_t *p)
{
	return float_of_bf16(load_u16(p));
}

/* A table of gemv_NAME or gemm_NAME by type id. */
#define TABLE_GEMM(name, id, ...) [id] = gemm_##name,
#define TABLE_GEMV(name, id, ...) [id] = gemv_##name,
#define TABLE_OF(entry)                                                                            \
	{                                                                                          \
		QUANT_TYPES(entry)                                                                 \
		entry(f32, GGML_F32) entry(f16, GGML_F16) entry(bf16, GGML_BF16)                   \
	}

#endif
