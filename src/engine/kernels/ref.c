/* The reference kernels: plain C, in the order one would explain them. Everything else is compared
 * with these, so clarity comes before speed. */
#include "engine/kernels/blocks.h"
#include "engine/kernels/sets_priv.h"

#include <math.h>

static int32_t dot_u8s8(const uint8_t *a, const int8_t *b, size_t n)
{
	int32_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (int32_t)a[i] * b[i];
	return sum;
}

/* One row of blocks times quantised activations: per group, an integer sum under two scales. */
KERNEL_INLINE float dot_quant(const uint8_t *w, size_t k, const struct act_row *x,
    unpack_fn *unpack, unsigned elems, unsigned bytes, unsigned group)
{
	uint8_t q[BLOCK_MAX];
	float scale[BLOCK_MAX / 16], min[BLOCK_MAX / 16];
	const float *dsum = group == 16 ? x->dsum16 : x->dsum32;
	float sum = 0;
	for (size_t j = 0; j < k; j += elems, w += bytes) {
		unpack(w, q, scale, min);
		for (unsigned i = 0; i < elems / group; i++) {
			size_t at = j + i * group;
			int32_t dot = dot_u8s8(q + i * group, x->q + at, group);
			sum += scale[i] * x->d[at / ACT_GROUP] * (float)dot -
			       min[i] * dsum[at / group];
		}
	}
	return sum;
}

#define DEFINE_GEMV(name, id, elems, bytes, group)                                                 \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		for (size_t r = 0; r < rows; r++)                                                  \
			y[r] = dot_quant(                                                          \
			    w + r * row_bytes, k, x, unpack_##name, elems, bytes, group);          \
	}
QUANT_TYPES(DEFINE_GEMV)

#define DEFINE_GEMV_FLOAT(name, bytes, load)                                                       \
	static void gemv_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, float *y)                                                     \
	{                                                                                          \
		for (size_t r = 0; r < rows; r++) {                                                \
			const uint8_t *row = w + r * row_bytes;                                    \
			float sum = 0;                                                             \
			for (size_t j = 0; j < k; j++)                                             \
				sum += load(row + j * (bytes)) * x->f[j];                          \
			y[r] = sum;                                                                \
		}                                                                                  \
	}
DEFINE_GEMV_FLOAT(f32, 4, load_f32)
DEFINE_GEMV_FLOAT(f16, 2, load_f16)
DEFINE_GEMV_FLOAT(bf16, 2, load_bf16)

/* Several tokens: one after the other. */
#define DEFINE_REF_GEMM(name, ...)                                                                 \
	static void gemm_##name(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,         \
	    const struct act_row *x, size_t n, float *y, size_t y_stride,                          \
	    const struct panel *scratch)                                                           \
	{                                                                                          \
		(void)scratch;                                                                     \
		for (size_t t = 0; t < n; t++)                                                     \
			gemv_##name(w, row_bytes, rows, k, &x[t], y + t * y_stride);               \
	}
QUANT_TYPES(DEFINE_REF_GEMM)
DEFINE_REF_GEMM(f32)
DEFINE_REF_GEMM(f16)
DEFINE_REF_GEMM(bf16)

#define DEFINE_TILE(name, type, convert)                                                           \
	static void tile_##name(const struct tile_args *a)                                         \
	{                                                                                          \
		const type *w = a->w;                                                              \
		for (size_t i = 0; i < a->n; i++)                                                  \
			for (unsigned r = 0; r < PANEL_ROWS; r++) {                                \
				float sum = a->accumulate ? a->y[i * a->y_stride + r] : 0;         \
				for (size_t j = 0; j < a->k; j++)                                  \
					sum += convert(w[j * PANEL_ROWS + r]) *                    \
					       a->x[i * a->x_stride + j];                          \
				a->y[i * a->y_stride + r] = sum;                                   \
			}                                                                          \
	}
DEFINE_TILE(f32, float, (float))
DEFINE_TILE(f16, uint16_t, float_of_half)

static void quantize_group(const float *x, const struct act_out *out, size_t g)
{
	float most = 0;
	bool finite = true;
	for (int i = 0; i < ACT_GROUP; i++) {
		finite = finite && isfinite(x[i]);
		most = fmaxf(most, fabsf(x[i]));
	}
	float d = finite ? most / 127 : NAN;
	float inverse = finite && most > 0 ? 127 / most : 0;
	inverse = isfinite(inverse) ? inverse : 0; /* a group of subnormals reads as zeros */
	int32_t sums[2] = {0, 0};
	for (int i = 0; i < ACT_GROUP; i++) {
		int8_t q = inverse > 0 ? (int8_t)lrintf(x[i] * inverse) : 0;
		out->q[g * ACT_GROUP + (size_t)i] = q;
		sums[i / 16] += q;
	}
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
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	float scale = 1 / sqrtf((float)(sum / (double)n) + eps);
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * scale * w[i];
}

static void silu_mul(float *g, const float *u, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g[i] = g[i] / (1 + expf(-g[i])) * u[i];
}

static float exp_sum(float *s, size_t n, float max)
{
	float sum = 0;
	for (size_t i = 0; i < n; i++) {
		s[i] = expf(s[i] - max);
		sum += s[i];
	}
	return sum;
}

static float max_of(const float *s, size_t n)
{
	float most = -INFINITY;
	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, s[i]);
	return most;
}

static void to_f16(const float *x, size_t n, uint16_t *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = half_of_float(x[i]);
}

const struct engine_kernels engine_kernels_ref = {
    .name = "ref",
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

#define DEFINE_ROW(name, id, elems, bytes, group)                                                  \
	case id:                                                                                   \
		for (size_t j = 0; j < k; j += (elems), w += (bytes)) {                            \
			unpack_##name(w, q, scale, min);                                           \
			for (unsigned i = 0; i < (elems); i++)                                     \
				y[j + i] = scale[i / (group)] * (float)q[i] - min[i / (group)];    \
		}                                                                                  \
		break;

void engine_row_to_f32(uint32_t type, const uint8_t *w, size_t k, float *y)
{
	uint8_t q[BLOCK_MAX];
	float scale[BLOCK_MAX / 16], min[BLOCK_MAX / 16];
	switch (type) {
		QUANT_TYPES(DEFINE_ROW)
	case GGML_F32:
		memcpy(y, w, k * sizeof *y);
		break;
	case GGML_F16:
		for (size_t j = 0; j < k; j++)
			y[j] = load_f16(w + 2 * j);
		break;
	case GGML_BF16:
		for (size_t j = 0; j < k; j++)
			y[j] = load_bf16(w + 2 * j);
		break;
	default:
		BUG("no kernel for tensor type %u", type);
	}
}
