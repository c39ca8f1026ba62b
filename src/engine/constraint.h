/* A grammar, walked token by token: which tokens may come next, and whether the text may end.
 *
 * The automaton's configurations (sets of places in the grammar, each with its stack) are kept by
 * value and numbered; their transitions are remembered, so that walking the whole vocabulary costs
 * a table look-up per byte, and the set of allowed tokens is remembered for each. */
#ifndef ENGINE_CONSTRAINT_H
#define ENGINE_CONSTRAINT_H

#include "engine/grammar.h"

struct tokenizer;
struct token_trie; /* a vocabulary as a tree of bytes; immutable, shared by threads */
struct constraint; /* one walk; one thread at a time */

#define CONSTRAINT_VISIBLE_MAX 16

/* The tokenizer is borrowed. E_MEMORY. */
int token_trie_new(
    const struct tokenizer *tokenizer, struct token_trie **out, struct err *err) WARN_UNUSED;
void token_trie_free(struct token_trie *t); /* NULL is fine */

/* The bytes that some token stands for alone. */
const struct grammar_alphabet *token_trie_alphabet(const struct token_trie *t);

/* At the beginning of the text. Control tokens are never allowed, except the `n_visible` ones
 * (borrowed), whose names count as text. Both arguments are borrowed. E_MEMORY, E_LIMIT. */
int constraint_new(const struct grammar *grammar, const struct token_trie *trie,
    const int32_t *visible, size_t n_visible, struct constraint **out, struct err *err) WARN_UNUSED;
void constraint_free(struct constraint *c); /* NULL is fine */

/* Whether the text is complete, and whether nothing can follow. */
bool constraint_may_end(const struct constraint *c);
bool constraint_must_end(const struct constraint *c);

/* Whether this token may come next. */
bool constraint_allows(struct constraint *c, int32_t id);

/* One bit for each token, in words of 32; valid until the next call. NULL without memory. Where
 * the text may end, ending it is allowed besides. */
const uint32_t *constraint_mask(struct constraint *c);

/* Moves on. E_INVALID when the token is not allowed (nothing changes), E_MEMORY. */
int constraint_accept(struct constraint *c, int32_t id, struct err *err) WARN_UNUSED;
/* The same by bytes, whatever tokens they are. */
int constraint_accept_bytes(struct constraint *c, struct bytes text, struct err *err) WARN_UNUSED;

#endif
