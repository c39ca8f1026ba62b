/* Pre-tokenizers of byte-level BPE: each model family cuts text into words in its own way before
 * merging, and files only name the way ("llama-bpe", "qwen2"). The patterns are facts about those
 * models; here they are in PCRE2's dialect, one row per family. */
#ifndef ENGINE_PRETOKENIZE_H
#define ENGINE_PRETOKENIZE_H

#include "base/bytes.h"

struct pretokenizer; /* immutable once made; shared by threads */

/* What else goes with a family, besides its patterns. */
struct pretokenizer_traits {
	bool known; /* false: the name was not, and this is the default family */
	bool ignore_merges;
	bool adds_bos;
	bool cleans_spaces;
};

/* Ends of words as offsets into the text, ascending; the last one is the length of the text. */
struct word_list {
	uint32_t *ends;
	size_t n;
	size_t cap;
};

void word_list_free(struct word_list *words);

/* E_MEMORY. An unknown name yields the default family. */
int pretokenizer_new(struct bytes name, struct pretokenizer **out,
    struct pretokenizer_traits *traits, struct err *err) WARN_UNUSED;
void pretokenizer_free(struct pretokenizer *p); /* NULL is fine */

/* Cuts valid UTF-8 of at most UINT32_MAX bytes. Every byte belongs to exactly one word, no word is
 * empty. E_LIMIT when a pattern exceeds its budget, E_MEMORY. */
int pretokenizer_split(const struct pretokenizer *p, struct bytes utf8, struct word_list *out,
    struct err *err) WARN_UNUSED;

#endif
