/* Vocabularies built in memory, for tests and fuzzing. What goes wrong here aborts. */
#ifndef TESTS_ENGINE_VOCAB_H
#define TESTS_ENGINE_VOCAB_H

#include "base/bytes.h"
#include "engine/gguf.h"

/* A GGUF file of metadata only, being written. Owns its bytes. */
struct vocab_writer {
	struct buf kv;
	uint64_t n_kv;
};

void vocab_writer_init(struct vocab_writer *w);
void vocab_put_str(struct vocab_writer *w, const char *key, const char *value);
void vocab_put_u32(struct vocab_writer *w, const char *key, uint32_t value);
void vocab_put_bool(struct vocab_writer *w, const char *key, bool value);
void vocab_put_strs(struct vocab_writer *w, const char *key, const char *const *values, size_t n);
void vocab_put_i32s(struct vocab_writer *w, const char *key, const int32_t *values, size_t n);
void vocab_put_f32s(struct vocab_writer *w, const char *key, const float *values, size_t n);
/* The whole file; the writer is used up. */
struct buf vocab_writer_finish(struct vocab_writer *w);

/* A vocabulary: a file in memory, opened. */
struct tiny_vocab {
	struct buf bytes;
	struct gguf *file;
};

/* SentencePiece: <unk> <s> </s>, 256 bytes, <|im_start|> <|im_end|> (control), <tool>
 * (user-defined), then "\u2581", letters and the pieces of "hello world" with scores. */
struct tiny_vocab tiny_spm(void);
/* Byte-level BPE: 256 bytes, a dozen merges, <|endoftext|> <|im_start|> <|im_end|>; `pre` as given.
 */
struct tiny_vocab tiny_bpe(const char *pre);
void tiny_vocab_free(struct tiny_vocab *v);

#endif
