/* How each block format is laid out, in plain C: unpacking to unsigned bytes with a scale and a
 * minimum per group, so that weight = scale*q - min. Included by every kernel file, so that the
 * compiler can vectorise it for each instruction set.
 * SPEC: ggml-common.h (block layouts), little-endian. */
#ifndef ENGINE_KERNELS_BLOCKS_H
#define ENGINE_KERNELS_BLOCKS_H

#include "engine/kernels/kernels.h"

#include <string.h>

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
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t rest = (uint32_t)(h & 0x7fff) << 13;
	float scaled = float_of_bits(rest) * 0x1p112f;
	uint32_t bits = rest >= 0x0f800000u ? rest | 0x7f800000u : bits_of_float(scaled);
	return float_of_bits(bits | sign);
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
	for (int i = 0; i < 16; i++) {
		q[i] = qs[i] & 15;
		q[i + 16] = qs[i] >> 4;
	}
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

/* Row r of the panel: block after block, four weights at a time into the row's lane. */
KERNEL_INLINE void pack_quant_row(const uint8_t *w, size_t k, struct panel *p, unsigned r,
    unpack_fn *unpack, unsigned elems, unsigned bytes, unsigned group)
{
	uint8_t q[BLOCK_MAX];
	float scale[BLOCK_MAX / 16], min[BLOCK_MAX / 16];
	for (size_t j = 0; j < k; j += elems, w += bytes) {
		unpack(w, q, scale, min);
		for (unsigned i = 0; i < elems; i += 4)
			memcpy(p->q + (j + i) * PANEL_ROWS + 4 * r, q + i, 4);
		for (unsigned i = 0; i < elems / group; i++) {
			p->scale[(j / group + i) * PANEL_ROWS + r] = scale[i];
			p->min[(j / group + i) * PANEL_ROWS + r] = min[i];
		}
	}
}

KERNEL_INLINE void pack_quant_zero_row(size_t k, struct panel *p, unsigned r, unsigned group)
{
	for (size_t i = 0; i < k; i += 4)
		memset(p->q + i * PANEL_ROWS + 4 * r, 0, 4);
	for (size_t i = 0; i < k / group; i++)
		p->scale[i * PANEL_ROWS + r] = p->min[i * PANEL_ROWS + r] = 0;
}

#define DEFINE_PACK(name, id, elems, bytes, grp)                                                   \
	static void pack_##name(const uint8_t *w, size_t row_bytes, size_t k, struct panel *p)     \
	{                                                                                          \
		p->k = k;                                                                          \
		p->group = grp;                                                                    \
		p->wide = (id) == GGML_Q8_0;                                                       \
		for (unsigned r = 0; r < p->rows; r++)                                             \
			pack_quant_row(                                                            \
			    w + r * row_bytes, k, p, r, unpack_##name, elems, bytes, grp);         \
		for (unsigned r = p->rows; r < PANEL_ROWS; r++)                                    \
			pack_quant_zero_row(k, p, r, grp);                                         \
	}

/* Float rows: lane r of step i is weight i of row r. Eight weights of each row at a time, so that
 * the strided stores stay within a few cache lines. */
#define DEFINE_PACK_FLOAT(name, bytes, load)                                                       \
	static void pack_##name(const uint8_t *w, size_t row_bytes, size_t k, struct panel *p)     \
	{                                                                                          \
		p->k = k;                                                                          \
		p->group = 0;                                                                      \
		if (p->rows < PANEL_ROWS)                                                          \
			memset(p->f, 0, k *PANEL_ROWS * sizeof(float));                            \
		for (size_t i = 0; i < k; i += 8)                                                  \
			for (unsigned r = 0; r < p->rows; r++)                                     \
				for (size_t j = i; j < i + 8 && j < k; j++)                        \
					p->f[j * PANEL_ROWS + r] =                                 \
					    load(w + r * row_bytes + j * (bytes));                 \
	}

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

/* One of these per kernel file: the packers of every type, and the tables' entries for them. */
#define DEFINE_ALL_PACKERS()                                                                       \
	QUANT_TYPES(DEFINE_PACK)                                                                   \
	DEFINE_PACK_FLOAT(f32, 4, load_f32)                                                        \
	DEFINE_PACK_FLOAT(f16, 2, load_f16)                                                        \
	DEFINE_PACK_FLOAT(bf16, 2, load_bf16)

#define TABLE_PACK(name, id, ...) [id] = pack_##name,
#define TABLE_GEMV(name, id, ...) [id] = gemv_##name,
#define TABLE_PACKERS()                                                                            \
	{                                                                                          \
		QUANT_TYPES(TABLE_PACK)                                                            \
		TABLE_PACK(f32, GGML_F32)                                                          \
		TABLE_PACK(f16, GGML_F16)                                                          \
		TABLE_PACK(bf16, GGML_BF16)                                                        \
	}
#define TABLE_GEMVS()                                                                              \
	{                                                                                          \
		QUANT_TYPES(TABLE_GEMV)                                                            \
		TABLE_GEMV(f32, GGML_F32)                                                          \
		TABLE_GEMV(f16, GGML_F16)                                                          \
		TABLE_GEMV(bf16, GGML_BF16)                                                        \
	}

#endif
