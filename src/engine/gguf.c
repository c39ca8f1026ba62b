/* Reading GGUF: one pass over the metadata and the tensor directory, then lookups.
 *
 * What must stay true: every length is compared with the bytes that are left before it is used;
 * allocations are at most a small multiple of the file's size; views never leave the mapping. */
#include "engine/gguf.h"

#include "engine/kernels/types.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GGUF_MAX_KEYS     65536
#define GGUF_MAX_TENSORS  65536
#define GGUF_MAX_KEY_LEN  65535 /* SPEC gguf: keys are at most 2^16 - 1 bytes */
#define GGUF_MAX_NAME_LEN 256
#define GGUF_MAX_ALIGN    (1u << 20)
#define GGUF_MIN_ALIGN    8
#define GGUF_HEADER_SIZE  24
/* The least a metadata pair or a tensor's entry can take in a file; bounds the counts. */
#define GGUF_MIN_KEY_SIZE    (8 + 4 + 1)
#define GGUF_MIN_TENSOR_SIZE (8 + 4 + 8 + 4 + 8)

struct gguf_kv {
	struct bytes key;
	enum gguf_type type;
	struct bytes raw;        /* scalars: their bytes; strings: their text */
	struct gguf_array array; /* arrays only */
	struct bytes *strings;   /* owned; what array.strings shows */
};

struct gguf {
	struct bytes file;
	void *map; /* NULL when the memory is borrowed */
	struct gguf_kv *kv;
	size_t n_kv;
	struct gguf_tensor *tensors; /* in file order */
	const struct gguf_tensor **by_name;
	size_t n_tensors;
	uint32_t version;
};

/* The parser: a cursor that knows where in the file it stands. */
struct gguf_reader {
	struct cursor c;
	size_t size;
	struct err *err;
};

static uint64_t reader_offset(const struct gguf_reader *r)
{
	return r->size - r->c.left;
}

static int reader_truncated(struct gguf_reader *r, const char *what)
{
	return err_set(r->err, E_FORMAT, "GGUF: file ends inside %s at offset %" PRIu64, what,
	    reader_offset(r));
}

static int read_u32(struct gguf_reader *r, const char *what, uint32_t *out)
{
	return cursor_u32le(&r->c, out) ? 0 : reader_truncated(r, what);
}

static int read_u64(struct gguf_reader *r, const char *what, uint64_t *out)
{
	return cursor_u64le(&r->c, out) ? 0 : reader_truncated(r, what);
}

static int read_string(struct gguf_reader *r, const char *what, struct bytes *out)
{
	uint64_t at = reader_offset(r);
	uint64_t n;
	int rc = read_u64(r, what, &n);
	if (rc)
		return rc;
	if (n > r->c.left || !cursor_take(&r->c, (size_t)n, out))
		return err_set(r->err, E_FORMAT,
		    "GGUF: %s at offset %" PRIu64 " claims %" PRIu64 " bytes, %zu are left", what,
		    at, n, r->c.left);
	return 0;
}

/* Bytes of one scalar; 0 for strings, arrays and unknown types. */
static size_t scalar_size(uint32_t type)
{
	static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
	return type < sizeof sizes ? sizes[type] : 0;
}

static int read_string_array(struct gguf_reader *r, struct gguf_kv *kv, uint64_t n)
{
	if (n > r->c.left / 8)
		return err_set(r->err, E_FORMAT,
		    "GGUF: array '%.*s' at offset %" PRIu64 " claims %" PRIu64
		    " strings, more than the file can hold",
		    (int)kv->key.n, (const char *)kv->key.p, reader_offset(r), n);
	kv->strings = calloc(n ? (size_t)n : 1, sizeof *kv->strings);
	if (!kv->strings)
		return err_set(r->err, E_MEMORY, "GGUF: no memory for %" PRIu64 " strings", n);
	for (uint64_t i = 0; i < n; i++) {
		int rc = read_string(r, "a string of an array", &kv->strings[i]);
		if (rc)
			return rc;
	}
	kv->array.strings = kv->strings;
	return 0;
}

static int read_array(struct gguf_reader *r, struct gguf_kv *kv)
{
	uint64_t at = reader_offset(r);
	uint32_t type;
	uint64_t n;
	int rc = read_u32(r, "an array's type", &type);
	if (!rc)
		rc = read_u64(r, "an array's length", &n);
	if (rc)
		return rc;
	kv->array.type = (enum gguf_type)type;
	kv->array.n = n;
	if (type == GGUF_STRING)
		return read_string_array(r, kv, n);
	if (type == GGUF_ARRAY)
		return err_set(r->err, E_UNSUPPORTED,
		    "GGUF: '%.*s' at offset %" PRIu64 " is an array of arrays", (int)kv->key.n,
		    (const char *)kv->key.p, at);
	size_t each = scalar_size(type);
	if (each == 0)
		return err_set(r->err, E_FORMAT,
		    "GGUF: array '%.*s' at offset %" PRIu64 " has unknown element type %u",
		    (int)kv->key.n, (const char *)kv->key.p, at, type);
	if (n > r->c.left / each)
		return err_set(r->err, E_FORMAT,
		    "GGUF: array '%.*s' at offset %" PRIu64 " claims %" PRIu64
		    " elements, more than the file can hold",
		    (int)kv->key.n, (const char *)kv->key.p, at, n);
	return cursor_take(&r->c, (size_t)n * each, &kv->array.raw)
		   ? 0
		   : reader_truncated(r, "an array");
}

static int read_kv(struct gguf_reader *r, struct gguf_kv *kv)
{
	uint64_t at = reader_offset(r);
	int rc = read_string(r, "a key", &kv->key);
	if (rc)
		return rc;
	if (kv->key.n == 0 || kv->key.n > GGUF_MAX_KEY_LEN || memchr(kv->key.p, 0, kv->key.n))
		return err_set(r->err, E_FORMAT,
		    "GGUF: key at offset %" PRIu64 " is empty, too long or contains NUL", at);
	uint32_t type;
	rc = read_u32(r, "a value's type", &type);
	if (rc)
		return rc;
	kv->type = (enum gguf_type)type;
	if (type == GGUF_STRING)
		return read_string(r, "a string value", &kv->raw);
	if (type == GGUF_ARRAY)
		return read_array(r, kv);
	size_t n = scalar_size(type);
	if (n == 0)
		return err_set(r->err, E_FORMAT,
		    "GGUF: value of '%.*s' at offset %" PRIu64 " has unknown type %u",
		    (int)kv->key.n, (const char *)kv->key.p, at, type);
	return cursor_take(&r->c, n, &kv->raw) ? 0 : reader_truncated(r, "a value");
}

static int bytes_order(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;
	return d ? d : (a.n > b.n) - (a.n < b.n);
}

static int kv_order(const void *a, const void *b)
{
	return bytes_order(((const struct gguf_kv *)a)->key, ((const struct gguf_kv *)b)->key);
}

static int tensor_order(const void *a, const void *b)
{
	const struct gguf_tensor *const *x = a;
	const struct gguf_tensor *const *y = b;
	return bytes_order((*x)->name, (*y)->name);
}

static int read_metadata(struct gguf *g, struct gguf_reader *r, uint64_t n)
{
	if (n > GGUF_MAX_KEYS || n > r->c.left / GGUF_MIN_KEY_SIZE)
		return err_set(
		    r->err, E_FORMAT, "GGUF: header claims %" PRIu64 " metadata keys", n);
	g->kv = calloc(n ? (size_t)n : 1, sizeof *g->kv);
	if (!g->kv)
		return err_set(r->err, E_MEMORY, "GGUF: no memory for the metadata");
	for (; g->n_kv < n; g->n_kv++) {
		int rc = read_kv(r, &g->kv[g->n_kv]);
		if (rc) {
			g->n_kv++; /* so that close frees what the failed one owns */
			return rc;
		}
	}
	qsort(g->kv, g->n_kv, sizeof *g->kv, kv_order);
	for (size_t i = 1; i < g->n_kv; i++)
		if (bytes_equal(g->kv[i - 1].key, g->kv[i].key))
			return err_set(r->err, E_FORMAT, "GGUF: key '%.*s' appears twice",
			    (int)g->kv[i].key.n, (const char *)g->kv[i].key.p);
	return 0;
}

/* Name, shape and type; the size in bytes goes to *size, the offset in the data part to *offset. */
static int read_tensor(
    struct gguf_reader *r, struct gguf_tensor *t, uint64_t *offset, uint64_t *size)
{
	uint64_t at = reader_offset(r);
	int rc = read_string(r, "a tensor's name", &t->name);
	if (!rc && (t->name.n == 0 || t->name.n > GGUF_MAX_NAME_LEN))
		rc = err_set(r->err, E_FORMAT,
		    "GGUF: tensor name at offset %" PRIu64 " has %zu bytes", at, t->name.n);
	if (!rc)
		rc = read_u32(r, "a tensor's shape", &t->n_dims);
	if (rc)
		return rc;
	int len = (int)t->name.n;
	const char *name = (const char *)t->name.p;
	if (t->n_dims == 0 || t->n_dims > GGUF_MAX_DIMS)
		return err_set(r->err, E_FORMAT,
		    "GGUF: tensor '%.*s' at offset %" PRIu64 " has %u dimensions", len, name, at,
		    t->n_dims);
	uint64_t count = 1;
	for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++) {
		t->dims[d] = 1;
		if (d < t->n_dims && (rc = read_u64(r, "a tensor's shape", &t->dims[d])) != 0)
			return rc;
		if (t->dims[d] == 0 || t->dims[d] > INT64_MAX / count)
			return err_set(r->err, E_FORMAT,
			    "GGUF: tensor '%.*s' at offset %" PRIu64 ": dimension %u is %" PRIu64,
			    len, name, at, d, t->dims[d]);
		count *= t->dims[d];
	}
	rc = read_u32(r, "a tensor's type", &t->type);
	if (!rc)
		rc = read_u64(r, "a tensor's offset", offset);
	if (rc)
		return rc;
	const struct ggml_type *type = ggml_type_info(t->type);
	if (!type)
		return err_set(r->err, E_UNSUPPORTED,
		    "GGUF: tensor '%.*s' at offset %" PRIu64 " has unknown type %u", len, name, at,
		    t->type);
	if (t->dims[0] % type->elems != 0)
		return err_set(r->err, E_FORMAT,
		    "GGUF: tensor '%.*s': row of %" PRIu64
		    " is no multiple of the %u weights in a block of %s",
		    len, name, t->dims[0], type->elems, type->name);
	uint64_t blocks = count / type->elems;
	*size = blocks > INT64_MAX / type->bytes ? UINT64_MAX : blocks * type->bytes;
	return 0;
}

/* The extents of the data, kept beside the tensors until the data part's start is known. */
struct gguf_extent {
	uint64_t offset;
	uint64_t size;
};

static int place_tensors(
    struct gguf *g, const struct gguf_extent *x, uint64_t align, struct gguf_reader *r)
{
	uint64_t start = (reader_offset(r) + align - 1) / align * align;
	uint64_t room = start > g->file.n ? 0 : g->file.n - start;
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct gguf_tensor *t = &g->tensors[i];
		if (x[i].offset % align != 0)
			return err_set(r->err, E_FORMAT,
			    "GGUF: tensor '%.*s': offset %" PRIu64 " is not aligned to %" PRIu64,
			    (int)t->name.n, (const char *)t->name.p, x[i].offset, align);
		if (x[i].offset > room || x[i].size > room - x[i].offset)
			return err_set(r->err, E_FORMAT,
			    "GGUF: tensor '%.*s' needs %" PRIu64 " bytes at offset %" PRIu64
			    " of the data, which has %" PRIu64 " (file truncated?)",
			    (int)t->name.n, (const char *)t->name.p, x[i].size, x[i].offset, room);
		t->data = bytes_of(g->file.p + start + x[i].offset, (size_t)x[i].size);
	}
	return 0;
}

static int read_directory(struct gguf *g, struct gguf_reader *r, struct gguf_extent *x, uint64_t n)
{
	for (; g->n_tensors < n; g->n_tensors++) {
		size_t i = g->n_tensors;
		int rc = read_tensor(r, &g->tensors[i], &x[i].offset, &x[i].size);
		if (rc)
			return rc;
		g->by_name[i] = &g->tensors[i];
	}
	qsort(g->by_name, g->n_tensors, sizeof(const struct gguf_tensor *), tensor_order);
	for (size_t i = 1; i < g->n_tensors; i++)
		if (bytes_equal(g->by_name[i - 1]->name, g->by_name[i]->name))
			return err_set(r->err, E_FORMAT, "GGUF: tensor '%.*s' appears twice",
			    (int)g->by_name[i]->name.n, (const char *)g->by_name[i]->name.p);
	return 0;
}

static int read_alignment(const struct gguf *g, struct err *err, uint32_t *align)
{
	*align = 32; /* SPEC gguf: the default */
	gguf_get_u32(g, "general.alignment", align);
	if (*align < GGUF_MIN_ALIGN || *align > GGUF_MAX_ALIGN || (*align & (*align - 1)) != 0)
		return err_set(err, E_FORMAT,
		    "GGUF: general.alignment is %u, not a power of two from %d to %u", *align,
		    GGUF_MIN_ALIGN, GGUF_MAX_ALIGN);
	return 0;
}

static int read_tensors(struct gguf *g, struct gguf_reader *r, uint64_t n)
{
	if (n > GGUF_MAX_TENSORS || n > r->c.left / GGUF_MIN_TENSOR_SIZE)
		return err_set(r->err, E_FORMAT, "GGUF: header claims %" PRIu64 " tensors", n);
	uint32_t align;
	int rc = read_alignment(g, r->err, &align);
	if (rc)
		return rc;
	g->tensors = calloc(n ? (size_t)n : 1, sizeof *g->tensors);
	g->by_name = calloc(n ? (size_t)n : 1, sizeof(const struct gguf_tensor *));
	struct gguf_extent *x = calloc(n ? (size_t)n : 1, sizeof *x);
	if (!g->tensors || !g->by_name || !x)
		rc = err_set(r->err, E_MEMORY, "GGUF: no memory for the tensor directory");
	if (!rc)
		rc = read_directory(g, r, x, n);
	if (!rc)
		rc = place_tensors(g, x, align, r);
	free(x);
	return rc;
}

static int read_header(
    struct gguf_reader *r, uint64_t *n_tensors, uint64_t *n_kv, uint32_t *version)
{
	struct bytes magic;
	if (r->size < GGUF_HEADER_SIZE || !cursor_take(&r->c, 4, &magic))
		return err_set(r->err, E_FORMAT,
		    "GGUF: the file has %zu bytes, too few for a header", r->size);
	if (memcmp(magic.p, "GGUF", 4) != 0)
		return err_set(r->err, E_FORMAT,
		    "GGUF: the file begins with %02x %02x %02x %02x, not with 'GGUF'", magic.p[0],
		    magic.p[1], magic.p[2], magic.p[3]);
	int rc = read_u32(r, "the header", version);
	if (rc)
		return rc;
	if ((*version & 0xffff) == 0 && *version != 0)
		return err_set(r->err, E_UNSUPPORTED, "GGUF: the file is big-endian");
	if (*version != 2 && *version != 3)
		return err_set(r->err, E_UNSUPPORTED,
		    "GGUF: version %u is not supported (2 and 3 are)", *version);
	rc = read_u64(r, "the header", n_tensors);
	return rc ? rc : read_u64(r, "the header", n_kv);
}

static int gguf_parse(struct gguf *g, struct err *err)
{
	struct gguf_reader r = {cursor_of(g->file), g->file.n, err};
	uint64_t n_tensors, n_kv;
	int rc = read_header(&r, &n_tensors, &n_kv, &g->version);
	if (!rc)
		rc = read_metadata(g, &r, n_kv);
	return rc ? rc : read_tensors(g, &r, n_tensors);
}

static int gguf_new(struct bytes file, void *map, struct gguf **out, struct err *err)
{
	struct gguf *g = calloc(1, sizeof *g);
	if (!g) {
		if (map)
			munmap(map, file.n);
		return err_set(err, E_MEMORY, "GGUF: no memory");
	}
	g->file = file;
	g->map = map;
	int rc = gguf_parse(g, err);
	if (rc) {
		gguf_close(g);
		return rc;
	}
	*out = g;
	return 0;
}

int gguf_open_memory(struct bytes file, struct gguf **out, struct err *err)
{
	if ((uintptr_t)file.p % GGUF_MIN_ALIGN != 0)
		return err_set(
		    err, E_INVALID, "GGUF: the memory is not aligned to %d bytes", GGUF_MIN_ALIGN);
	return gguf_new(file, NULL, out, err);
}

/* Maps the open file; refuses what is no regular file or is empty. */
static int map_file(int fd, const char *path, void **map, size_t *n, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, E_FORMAT, "%s: not a regular file", path);
	if (st.st_size < GGUF_HEADER_SIZE)
		return err_set(err, E_FORMAT, "%s: %lld bytes, too few for a GGUF header", path,
		    (long long)st.st_size);
	*n = (size_t)st.st_size;
	*map = mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0);
	return *map == MAP_FAILED ? err_errno(err, errno, "%s: mmap", path) : 0;
}

int gguf_open(const char *path, struct gguf **out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? err_set(err, E_NOT_FOUND, "%s: no such file", path)
				       : err_errno(err, errno, "%s", path);
	void *map;
	size_t n = 0;
	int rc = map_file(fd, path, &map, &n, err);
	close(fd);
	if (rc)
		return rc;
	rc = gguf_new(bytes_of(map, n), map, out, err);
	return rc ? err_wrap(err, rc, "%s", path) : 0;
}

void gguf_close(struct gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_kv; i++)
		free(g->kv[i].strings);
	free(g->kv);
	free(g->tensors);
	free(g->by_name);
	if (g->map)
		munmap(g->map, g->file.n);
	free(g);
}

uint64_t gguf_size(const struct gguf *g)
{
	return g->file.n;
}

static const struct gguf_kv *find_kv(const struct gguf *g, const char *key)
{
	struct gguf_kv want = {.key = bytes_str(key)};
	return g->n_kv ? bsearch(&want, g->kv, g->n_kv, sizeof *g->kv, kv_order) : NULL;
}

/* Little-endian bytes of a scalar as a number of 64 bits, not yet sign-extended. */
static uint64_t raw_u64(struct bytes raw)
{
	uint64_t v = 0;
	for (size_t i = raw.n; i-- > 0;)
		v = v << 8 | raw.p[i];
	return v;
}

static bool kv_integer(const struct gguf_kv *kv, uint64_t *magnitude, bool *negative)
{
	switch (kv->type) {
	case GGUF_U8:
	case GGUF_U16:
	case GGUF_U32:
	case GGUF_U64:
		*magnitude = raw_u64(kv->raw);
		*negative = false;
		return true;
	case GGUF_I8:
	case GGUF_I16:
	case GGUF_I32:
	case GGUF_I64:
		*magnitude = raw_u64(kv->raw);
		*negative = kv->raw.p[kv->raw.n - 1] >> 7;
		return true;
	case GGUF_F32:
	case GGUF_BOOL:
	case GGUF_STRING:
	case GGUF_ARRAY:
	case GGUF_F64:
		return false;
	}
	return false;
}

bool gguf_has(const struct gguf *g, const char *key)
{
	return find_kv(g, key) != NULL;
}

bool gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out)
{
	const struct gguf_kv *kv = find_kv(g, key);
	uint64_t v;
	bool negative;
	if (!kv || !kv_integer(kv, &v, &negative) || negative || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

bool gguf_get_f32(const struct gguf *g, const char *key, float *out)
{
	const struct gguf_kv *kv = find_kv(g, key);
	if (!kv)
		return false;
	if (kv->type == GGUF_F32) {
		memcpy(out, kv->raw.p, sizeof *out);
		return true;
	}
	double d;
	if (kv->type != GGUF_F64)
		return false;
	memcpy(&d, kv->raw.p, sizeof d);
	if (isfinite(d) && fabs(d) > (double)__FLT_MAX__)
		return false;
	*out = (float)d;
	return true;
}

bool gguf_get_bool(const struct gguf *g, const char *key, bool *out)
{
	const struct gguf_kv *kv = find_kv(g, key);
	if (!kv || kv->type != GGUF_BOOL)
		return false;
	*out = kv->raw.p[0] != 0;
	return true;
}

bool gguf_get_str(const struct gguf *g, const char *key, struct bytes *out)
{
	const struct gguf_kv *kv = find_kv(g, key);
	if (!kv || kv->type != GGUF_STRING)
		return false;
	*out = kv->raw;
	return true;
}

bool gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out)
{
	const struct gguf_kv *kv = find_kv(g, key);
	if (!kv || kv->type != GGUF_ARRAY)
		return false;
	*out = kv->array;
	return true;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
	struct gguf_tensor want = {.name = bytes_str(name)};
	const struct gguf_tensor *key = &want;
	const struct gguf_tensor **at =
	    g->n_tensors ? bsearch(&key, g->by_name, g->n_tensors, sizeof key, tensor_order) : NULL;
	return at ? *at : NULL;
}

size_t gguf_tensor_count(const struct gguf *g)
{
	return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
	return &g->tensors[i];
}
