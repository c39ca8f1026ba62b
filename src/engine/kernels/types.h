/* The tensor types of GGML files: ids, block geometry, and which of them the kernels compute with.
 * SPEC: ggml docs/gguf.md (ids), ggml-common.h (block layouts; described beside the code that
 * reads them in blocks.h). */
#ifndef ENGINE_KERNELS_TYPES_H
#define ENGINE_KERNELS_TYPES_H

#include <stdbool.h>
#include <stdint.h>

enum ggml_type_id {
	GGML_F32 = 0,
	GGML_F16 = 1,
	GGML_Q4_0 = 2,
	GGML_Q4_1 = 3,
	GGML_Q5_0 = 6,
	GGML_Q5_1 = 7,
	GGML_Q8_0 = 8,
	GGML_Q4_K = 12,
	GGML_Q5_K = 13,
	GGML_Q6_K = 14,
	GGML_BF16 = 30,
};

/* One type: rows are made of blocks of `elems` weights in `bytes` bytes. */
struct ggml_type {
	uint32_t id;
	const char *name;
	uint16_t elems;
	uint16_t bytes;
	bool computable; /* the kernels can multiply by it */
};

/* NULL for an id that is in no table. */
const struct ggml_type *ggml_type_info(uint32_t id);

#endif
