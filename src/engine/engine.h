/* The narrow face of the engine: weights loaded once (engine_model), any number of sequences over
 * them (engine_context), tokens in, logits out.
 *
 * A model is read-only after loading and may be used by several contexts from several threads at
 * once; a context belongs to one thread at a time. Models of the dense `llama` architecture are
 * supported; everything else is refused by name. No file can make these functions crash, read
 * outside the mapping or allocate without a bound: shapes and hyperparameters are checked at load.
 * (A file that somebody truncates while it is mapped raises SIGBUS: the daemon therefore runs
 * models in a child process.) */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/bytes.h"

#include <stdatomic.h>

struct gguf;
struct engine_model;
struct engine_context;

/* Which kernels compute. AUTO takes the best that this processor has; a forced set that the
 * processor lacks is E_UNSUPPORTED. AVX512 uses VNNI where present. */
enum engine_kernel_choice {
	ENGINE_KERNELS_AUTO,
	ENGINE_KERNELS_REF,
	ENGINE_KERNELS_AVX2,
	ENGINE_KERNELS_AVX512,
};

/* How keys and values are kept. F16 halves the memory and its traffic; F32 is for comparing. */
enum engine_kv {
	ENGINE_KV_F16,
	ENGINE_KV_F32
};

#define ENGINE_THREADS_MAX 64
#define ENGINE_CTX_MAX     (1u << 20) /* tokens of one context */

/* Zeroed options are the defaults. */
struct engine_options {
	enum engine_kernel_choice kernels;
	enum engine_kv kv;
	unsigned
	    threads; /* 0: one per processor this process may use; at most ENGINE_THREADS_MAX */
};

/* "auto", "ref", "avx2", "avx512"; E_INVALID naming the choices otherwise. */
int engine_kernel_choice_parse(
    const char *text, enum engine_kernel_choice *out, struct err *err) WARN_UNUSED;

/* Maps the file and checks everything that decoding relies on. `opts` may be NULL (defaults).
 * E_NOT_FOUND, E_IO, E_FORMAT (which key or tensor is wrong, and how), E_UNSUPPORTED (architecture,
 * tensor type, mixture of experts, kernels), E_MEMORY. */
int engine_model_load(const char *path, const struct engine_options *opts,
    struct engine_model **out, struct err *err) WARN_UNUSED;
/* The same over borrowed memory, aligned to 8 bytes, that outlives the model (tests, fuzzing). */
int engine_model_load_memory(struct bytes file, const struct engine_options *opts,
    struct engine_model **out, struct err *err) WARN_UNUSED;
/* All contexts must be freed first. NULL is fine. */
void engine_model_free(struct engine_model *m);

/* Facts about a loaded model. Views are borrowed from it. */
const struct gguf *engine_model_gguf(const struct engine_model *m);
uint32_t engine_model_n_vocab(const struct engine_model *m);
uint32_t engine_model_n_ctx_train(const struct engine_model *m); /* what the file was trained for */
uint64_t engine_model_n_params(const struct engine_model *m);
uint64_t engine_model_file_size(const struct engine_model *m);
struct bytes engine_model_arch(const struct engine_model *m);
struct bytes engine_model_name(const struct engine_model *m);   /* general.name, or empty */
const char *engine_model_kernels(const struct engine_model *m); /* "ref", "avx2", … */
unsigned engine_model_threads(const struct engine_model *m);
/* Bytes of weights that decoding one token reads: the bandwidth-bound cost of a token. */
uint64_t engine_model_bytes_per_token(const struct engine_model *m);
/* Bytes of keys and values that a context of n_ctx tokens will hold. */
uint64_t engine_model_kv_bytes(const struct engine_model *m, uint32_t n_ctx);

/* A sequence with room for n_ctx tokens (1 … ENGINE_CTX_MAX; more than n_ctx_train is allowed and
 * extrapolates). Memory is taken now, from n_ctx and not from what the file claims. E_INVALID,
 * E_MEMORY. */
int engine_context_new(struct engine_model *m, uint32_t n_ctx, struct engine_context **out,
    struct err *err) WARN_UNUSED;
void engine_context_free(struct engine_context *c);

/* Appends n tokens at the present position and computes the logits after the last of them:
 * *logits has n_vocab floats, owned by the context; the caller may change them; they stay until the
 * next decode. Long input is computed in batches. On any failure the position is what it was.
 * E_INVALID (a token outside the vocabulary, n == 0), E_CONTEXT_LENGTH (with both numbers),
 * E_CANCELLED, E_FORMAT when the weights yield values that are no numbers. */
int engine_decode(struct engine_context *c, const int32_t *tokens, size_t n, float **logits,
    struct err *err) WARN_UNUSED;

/* As engine_decode, with the very bits that decoding the tokens one call at a time gives (whose
 * sums a batch adds up in another order). Slower than a batch, faster than single calls: for tokens
 * that a sequence elsewhere has generated one by one and this one goes on from. */
int engine_decode_exact(struct engine_context *c, const int32_t *tokens, size_t n, float **logits,
    struct err *err) WARN_UNUSED;

/* How the states of a sequence's tokens become one vector. */
enum engine_pooling {
	ENGINE_POOLING_MEAN,
	ENGINE_POOLING_LAST
};

/* What the file asks for (<arch>.pooling_type), the mean where it asks for nothing. E_UNSUPPORTED
 * for pooling that needs weights or tokens of its own (CLS, rank). */
int engine_model_pooling(
    const struct engine_model *m, enum engine_pooling *out, struct err *err) WARN_UNUSED;
uint32_t engine_model_n_embd(const struct engine_model *m);

/* The sequence's vector: its tokens' final states, pooled, of length 1. `out` has n_embd floats.
 * What the context held before is forgotten. Errors as engine_decode. */
int engine_embed(struct engine_context *c, const int32_t *tokens, size_t n,
    enum engine_pooling pooling, float *out, struct err *err) WARN_UNUSED;

/* Takes over the first n_pos tokens of another context of the same model and size, which has them:
 * this context then holds those and nothing else. */
void engine_context_copy(
    struct engine_context *c, const struct engine_context *from, uint32_t n_pos);

/* Forgets everything from position n_pos on: the next decode continues after the kept prefix.
 * n_pos beyond the present position is a no-op. */
void engine_context_truncate(struct engine_context *c, uint32_t n_pos);
uint32_t engine_context_pos(const struct engine_context *c);
uint32_t engine_context_size(const struct engine_context *c); /* n_ctx */

/* A flag that engine_decode polls between layers: when true it stops with E_CANCELLED. Borrowed;
 * NULL (the default) means never. */
void engine_context_set_cancel(struct engine_context *c, const atomic_bool *cancel);

#endif
