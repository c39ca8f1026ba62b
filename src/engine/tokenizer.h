/* Tokenizers: text to token ids and back, from the vocabulary inside a GGUF file.
 *
 * Two families: SentencePiece-style ("llama": pieces with scores, byte fallback) and byte-level BPE
 * ("gpt2": ranked merges behind a pre-tokenizer). A tokenizer is immutable once made: any number of
 * threads may use one at the same time. It borrows the strings of its file, which must outlive it.
 *
 * Text may come from anywhere and need not be valid UTF-8; the vocabulary may be hostile. */
#ifndef ENGINE_TOKENIZER_H
#define ENGINE_TOKENIZER_H

#include "base/bytes.h"

struct gguf;
struct tokenizer;

#define TOKENIZER_TEXT_MAX       ((size_t)4 << 20) /* bytes of text in one call */
#define TOKENIZER_VOCAB_MAX      ((size_t)1 << 20) /* tokens in a vocabulary */
#define TOKENIZER_MERGES_MAX     ((size_t)1 << 21)
#define TOKENIZER_TOKEN_TEXT_MAX 1024 /* bytes of one token's text */

#define TOKEN_NONE (-1) /* "the vocabulary has no such token" */

/* Ids in order. Owns `ids`; start from {0} and end with token_list_free. */
struct token_list {
	int32_t *ids;
	size_t n;
	size_t cap;
};

int token_list_push(struct token_list *list, int32_t id, struct err *err) WARN_UNUSED;
void token_list_free(struct token_list *list); /* frees and zeroes */

enum tokenize_flags {
	TOKENIZE_PLAIN = 0,
	/* Adds what the file asks for: BOS before (add_bos_token), EOS after (add_eos_token). */
	TOKENIZE_ADD_SPECIAL = 1,
	/* Recognises the text of control tokens ("<|im_start|>"). Without it such text is plain
	 * text; the vocabulary's user-defined tokens are recognised in any case. */
	TOKENIZE_PARSE_SPECIAL = 2,
	/* Adds BOS as ADD_SPECIAL would, unless the ids begin with BOS already, and never EOS: for
	 * a rendered chat template, which may or may not write its own BOS. */
	TOKENIZE_BOS_ONCE = 4,
};

/* E_FORMAT when the vocabulary is missing or broken, E_UNSUPPORTED (naming it) for another family
 * of tokenizer, E_MEMORY. An unknown pre-tokenizer is replaced by the default one, as its models'
 * other runtimes do, and tokenizer_warning says so. */
int tokenizer_new(const struct gguf *file, struct tokenizer **out, struct err *err) WARN_UNUSED;

/* The same with another pre-tokenizer than the file names ("" for none named): lets a known
 * vocabulary exercise every pre-tokenizer. Only meaningful for byte-level BPE. */
int tokenizer_new_with_pre(
    const struct gguf *file, struct bytes pre, struct tokenizer **out, struct err *err) WARN_UNUSED;
void tokenizer_free(struct tokenizer *t); /* NULL is fine */

/* What made the vocabulary second best ("unknown pre-tokenizer …"), or "". Never NULL. */
const char *tokenizer_warning(const struct tokenizer *t);

/* Appends the ids of `text` to `out`. Bytes that no token covers become the unknown token, or
 * nothing when there is none. E_TOO_LARGE, E_LIMIT (the pre-tokenizer's budget), E_MEMORY; `out`
 * then holds what was appended so far. */
int tokenizer_encode(const struct tokenizer *t, struct bytes text, enum tokenize_flags flags,
    struct token_list *out, struct err *err) WARN_UNUSED;

/* The bytes that a token stands for; its name for a control token; empty for an id outside the
 * vocabulary. A piece may begin or end inside a UTF-8 sequence. Lives as long as the tokenizer. */
struct bytes tokenizer_piece(const struct tokenizer *t, int32_t id);

enum detokenize_flags {
	DETOKENIZE_PLAIN = 0,
	DETOKENIZE_SPECIAL = 1, /* control tokens appear by name; otherwise they are left out */
};

/* Appends the text of a whole list: the space that encoding put in front is dropped, and the spaces
 * before punctuation where the vocabulary's family asks for it (this is why streaming, which sees
 * one piece at a time, may keep a space that this drops). E_INVALID for an unknown id. */
int tokenizer_detokenize(const struct tokenizer *t, const int32_t *ids, size_t n,
    enum detokenize_flags flags, struct buf *out, struct err *err) WARN_UNUSED;

size_t tokenizer_n_vocab(const struct tokenizer *t);
int32_t tokenizer_bos(const struct tokenizer *t); /* each an id or TOKEN_NONE */
int32_t tokenizer_eos(const struct tokenizer *t);
int32_t tokenizer_eot(const struct tokenizer *t); /* end of turn, where it differs from EOS */
int32_t tokenizer_unknown(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);

/* The id whose vocabulary text is exactly this ("<|im_end|>"), or TOKEN_NONE. */
int32_t tokenizer_find(const struct tokenizer *t, struct bytes text);

bool tokenizer_is_control(const struct tokenizer *t, int32_t id);

/* True for every token after which a model has nothing more to say: EOS, EOT and their kin. */
bool tokenizer_is_end_of_generation(const struct tokenizer *t, int32_t id);

#endif
