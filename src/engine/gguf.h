/* GGUF v2/v3 files: metadata and tensor directory over a read-only mapping.
 * Every count, size and offset is checked against the file before use; nothing is allocated from
 * a size that the file claims without a bound. SPEC: ggml docs/gguf.md. */
#ifndef ENGINE_GGUF_H
#define ENGINE_GGUF_H

#include "base/bytes.h"

enum gguf_type {
	GGUF_U8 = 0,
	GGUF_I8 = 1,
	GGUF_U16 = 2,
	GGUF_I16 = 3,
	GGUF_U32 = 4,
	GGUF_I32 = 5,
	GGUF_F32 = 6,
	GGUF_BOOL = 7,
	GGUF_STRING = 8,
	GGUF_ARRAY = 9,
	GGUF_U64 = 10,
	GGUF_I64 = 11,
	GGUF_F64 = 12,
};

#define GGUF_MAX_DIMS 4

/* A tensor of the directory. `data` points into the mapping and holds exactly `size` bytes.
 * dims[0] is the row length (fastest). Unused dims are 1. */
struct gguf_tensor {
	struct bytes name;
	uint32_t type; /* ggml type id, see engine/kernels/ */
	uint32_t n_dims;
	uint64_t dims[GGUF_MAX_DIMS];
	struct bytes data;
};

/* An array of the metadata: `n` elements of scalar `type`, little-endian and packed at `raw`, or
 * strings (then `strings` has n views into the mapping). Borrowed from the file object. */
struct gguf_array {
	enum gguf_type type;
	uint64_t n;
	struct bytes raw;
	const struct bytes *strings;
};

struct gguf; /* owns the mapping */

/* E_IO/E_NOT_FOUND when the file cannot be opened, E_FORMAT (what, and at which byte offset) when
 * it is no valid GGUF, E_UNSUPPORTED for a version or byte order we do not read. */
int gguf_open(const char *path, struct gguf **out, struct err *err) WARN_UNUSED;
/* The same over borrowed memory that outlives the object (tests, fuzzing). */
int gguf_open_memory(struct bytes file, struct gguf **out, struct err *err) WARN_UNUSED;
void gguf_close(struct gguf *g);
uint64_t gguf_size(const struct gguf *g); /* bytes of the file */

/* Getters: true and *out when the key is there with a fitting type (integers convert between widths
 * when the value fits; bool only from bool); false otherwise, *out untouched. */
bool gguf_has(const struct gguf *g, const char *key); /* of whatever type */
bool gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out);
bool gguf_get_f32(const struct gguf *g, const char *key, float *out);
bool gguf_get_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_get_str(const struct gguf *g, const char *key, struct bytes *out);
bool gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out);

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name); /* NULL if absent */
size_t gguf_tensor_count(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);

#endif
