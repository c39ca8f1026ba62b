/* The face of the kernels: everything that costs time in a forward pass, one table of functions per
 * instruction set. The tables agree with each other up to the order of float additions; tests
 * compare each with the reference.
 *
 * Weights stay as the file has them. One token multiplies straight from the file's rows (gemv).
 * Several tokens at once (gemm) share every weight that is loaded; quantised rows are first
 * unpacked into a panel of 16, interleaved so that a vector lane is a row.
 *
 * Quantised weights meet activations quantised to 8 bits in groups of 32 (one float scale each);
 * F32, F16 and BF16 weights meet float activations. */
#ifndef ENGINE_KERNELS_KERNELS_H
#define ENGINE_KERNELS_KERNELS_H

#include "engine/engine.h"
#include "engine/kernels/types.h"

#include <stddef.h>

#define PANEL_ROWS  16  /* rows of a panel: float lanes of the widest vector */
#define ACT_GROUP   32  /* activations under one scale */
#define BLOCK_MAX   256 /* weights in the largest block */
#define TYPE_ID_CAP 31  /* computable type ids are below */

/* One token's activations. `f` always; the rest only when prepared for quantised weights. */
struct act_row {
	const float *f;
	const int8_t *q;     /* n values in [-127, 127] */
	const float *d;      /* n/32 scales: x is about d*q */
	const float *dsum16; /* n/16 sums of d*q */
	const float *dsum32; /* n/32 sums of d*q */
};

/* Where `quantize` writes; the same fields. */
struct act_out {
	int8_t *q;
	float *d;
	float *dsum16;
	float *dsum32;
};

/* Scratch memory for up to 16 unpacked rows of k quantised weights: weight = scale*q - min. */
struct panel {
	uint8_t *q;   /* [k/4][16][4] */
	float *scale; /* [k/group][16] */
	float *min;   /* [k/group][16] */
};

/* y[r] = row r . x for rows of k weights, row_bytes apart. */
typedef void engine_gemv_fn(
    const uint8_t *w, size_t row_bytes, size_t rows, size_t k, const struct act_row *x, float *y);
/* y[t*y_stride + r] = row r . x[t] for up to 16 rows and n tokens. */
typedef void engine_gemm_fn(const uint8_t *w, size_t row_bytes, size_t rows, size_t k,
    const struct act_row *x, size_t n, float *y, size_t y_stride, const struct panel *scratch);

/* y[i*y_stride + 0..15] (+)= sum over j < k of w[j*16 + 0..15] * x[i*x_stride + j], for i < n.
 * The F32 and F16 form differ in w only. Used for the attention over blocked keys and values. */
struct tile_args {
	const void *w;
	size_t k;
	const float *x;
	size_t x_stride;
	size_t n;
	float *y;
	size_t y_stride;
	bool accumulate;
};

struct engine_kernels {
	const char *name;
	/* By type id; NULL where the type is not computable. */
	engine_gemv_fn *gemv[TYPE_ID_CAP];
	engine_gemm_fn *gemm[TYPE_ID_CAP];
	void (*tile_f32)(const struct tile_args *a);
	void (*tile_f16)(const struct tile_args *a);
	/* n is a multiple of 32. A group with a value that is no finite number gets scale NaN. */
	void (*quantize)(const float *x, size_t n, const struct act_out *out);
	/* y = w * x / sqrt(mean(x^2) + eps); y may be x. */
	void (*rms_norm)(const float *x, const float *w, size_t n, float eps, float *y);
	/* g = silu(g) * u */
	void (*silu_mul)(float *g, const float *u, size_t n);
	/* s = exp(s - max); returns the sum of the new values. */
	float (*exp_sum)(float *s, size_t n, float max);
	float (*max)(const float *s, size_t n);
	void (*to_f16)(const float *x, size_t n, uint16_t *y);
};

/* True for types whose kernels want quantised activations. */
bool engine_type_quantised(uint32_t type);

/* One row of k weights as floats, exactly as the format defines them. */
void engine_row_to_f32(uint32_t type, const uint8_t *w, size_t k, float *y);

/* The table for a choice; E_UNSUPPORTED when this processor lacks the instructions. */
int engine_kernels_choose(enum engine_kernel_choice choice, const struct engine_kernels **out,
    struct err *err) WARN_UNUSED;

#endif
