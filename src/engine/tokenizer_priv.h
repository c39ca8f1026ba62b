/* Inside of the tokenizer room: the vocabulary's tables and the merge loop both families share. */
#ifndef ENGINE_TOKENIZER_PRIV_H
#define ENGINE_TOKENIZER_PRIV_H

#include "engine/tokenizer.h"

struct gguf;
struct pretokenizer;

enum token_family {
	FAMILY_SPM,
	FAMILY_BPE
};

/* What a vocabulary says of a token. The values of GGUF's tokenizer.ggml.token_type as bits. */
enum token_attr {
	TOKEN_NORMAL = 1 << 1,
	TOKEN_UNKNOWN = 1 << 2,
	TOKEN_CONTROL = 1 << 3,
	TOKEN_USER_DEFINED = 1 << 4,
	TOKEN_UNUSED = 1 << 5,
	TOKEN_BYTE = 1 << 6,
	TOKEN_STRIPS_RIGHT = 1 << 7, /* white space after it belongs to nobody */
	TOKEN_ENDS = 1 << 8,         /* ends a generation */
};

/* Strings numbered from 0, each once: the vocabulary first, then what only its merges mention.
 * Texts are borrowed from the file, or live in `owned`. */
struct string_table {
	struct bytes *texts;
	size_t n;
	size_t cap;
	uint32_t *slots; /* open addressing; number + 1, 0 is free */
	size_t n_slots;  /* a power of two, at least twice cap */
};

int string_table_init(struct string_table *s, size_t cap, struct err *err) WARN_UNUSED;
void string_table_free(struct string_table *s);
/* The number of `text`, or -1. */
int32_t string_table_find(const struct string_table *s, struct bytes text);
/* Gives `text` the next number, equal strings included (then the first keeps the name).
 * E_FORMAT when the strings collide beyond chance; the table must not be full. */
int string_table_add(struct string_table *s, struct bytes text, struct err *err) WARN_UNUSED;

/* A merge of BPE: the strings numbered `left` and `right`, joined, are `merged`. */
struct merge_rule {
	uint32_t left;
	uint32_t right;
	uint32_t rank; /* lower merges first */
	uint32_t merged;
	bool used;
};

struct merge_table {
	struct merge_rule *slots; /* open addressing */
	size_t n_slots;
};

const struct merge_rule *merge_table_find(
    const struct merge_table *m, uint32_t left, uint32_t right);

struct tokenizer {
	enum token_family family;
	size_t n_vocab;
	struct string_table strings;
	uint16_t *attrs;      /* token_attr bits by id */
	float *scores;        /* SPM, by id */
	uint8_t *piece_bytes; /* all pieces, end to end */
	uint32_t *piece_ends;
	size_t max_text;          /* bytes of the longest token text */
	int32_t byte_tokens[256]; /* the token of a single byte, or TOKEN_NONE */

	struct merge_table merges; /* BPE */
	uint8_t *owned;            /* texts of merges that are not in the file as such */
	struct pretokenizer *pre;
	bool ignore_merges; /* a word that is a token as it stands is not merged */
	bool clean_spaces;

	int32_t *special; /* ids of what partitioning looks for, sorted by text */
	size_t n_special;

	int32_t bos, eos, eot, eom, unknown;
	bool add_bos, add_eos, add_space_prefix;
	char warning[160];
};

static inline bool token_known(const struct tokenizer *t, int32_t id)
{
	return id >= 0 && (size_t)id < t->n_vocab;
}

/* tokenizer_vocab.c: fills the tables above from the file. */
int tokenizer_load_vocab(struct tokenizer *t, const struct gguf *g, struct err *err) WARN_UNUSED;
int tokenizer_load_merges(struct tokenizer *t, const struct gguf *g, struct err *err) WARN_UNUSED;

/* tokenizer_special.c: the special ids, who ends a generation, and the pieces. */
int tokenizer_load_special(struct tokenizer *t, const struct gguf *g, struct err *err) WARN_UNUSED;
/* The longest special token that `text` begins with, or TOKEN_NONE. */
int32_t tokenizer_match_special(const struct tokenizer *t, struct bytes text, bool control_too);
/* Pieces need the special attributes, so they come last. */
int tokenizer_load_pieces(struct tokenizer *t, struct err *err) WARN_UNUSED;

/* GPT-2's printable stand-ins for bytes: U+0021..U+007E, U+00A1..U+00AC and U+00AE..U+00FF stand
 * for themselves, the others count up from U+0100. */
uint32_t byte_to_stand_in(uint8_t byte);
int stand_in_to_byte(uint32_t cp); /* 0..255, or -1 */

/* tokenizer_merge.c: one symbol of a text being merged. Symbols form a list; a merged-away one
 * has n 0. */
struct symbol {
	uint32_t off;
	uint32_t n;
	int32_t id; /* number in the string table, or TOKEN_NONE */
	uint32_t prev;
	uint32_t next;
};
#define SYMBOL_END UINT32_MAX

struct merge_work {
	const uint8_t *text;
	struct symbol *symbols;
	size_t n_symbols;
	size_t cap_symbols;
	struct merge_candidate *heap;
	size_t n_heap;
	size_t cap_heap;
};

/* Asks whether two neighbours merge: how soon (smaller first) and into what. */
typedef bool (*merge_lookup_fn)(const struct tokenizer *t, const struct merge_work *w,
    const struct symbol *left, const struct symbol *right, uint32_t *order, int32_t *merged);

int merge_work_push(
    struct merge_work *w, uint32_t off, uint32_t n, int32_t id, struct err *err) WARN_UNUSED;
/* Merges the pushed symbols until nothing merges: always the pair with the least order, the
 * leftmost among equals. O(n log n) lookups for n symbols. */
int merge_work_run(struct merge_work *w, const struct tokenizer *t, merge_lookup_fn lookup,
    struct err *err) WARN_UNUSED;
void merge_work_free(struct merge_work *w);

/* tokenizer_spm.c, tokenizer_bpe.c: a run of plain text. */
int spm_encode(const struct tokenizer *t, struct bytes text, bool add_prefix,
    struct token_list *out, struct err *err) WARN_UNUSED;
int bpe_encode(const struct tokenizer *t, struct bytes text, struct token_list *out,
    struct err *err) WARN_UNUSED;
/* Appends the token of each byte, or the unknown token, or nothing. */
int append_bytes(const struct tokenizer *t, struct bytes text, struct token_list *out,
    struct err *err) WARN_UNUSED;

#endif
