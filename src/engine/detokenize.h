/* Streaming text: pieces in, complete UTF-8 out. A piece may end in the middle of a character; its
 * bytes are held back (three at most) until the rest comes. What can never become a character is
 * replaced by U+FFFD, one for each maximal ill-formed part (Unicode 15, section 3.9). */
#ifndef ENGINE_DETOKENIZE_H
#define ENGINE_DETOKENIZE_H

#include "base/bytes.h"

/* Zeroed is ready. Owns nothing. */
struct detokenizer {
	uint8_t held[4];
	size_t n_held;
};

/* Appends to `out` what has become complete. */
void detokenizer_push(struct detokenizer *d, struct bytes piece, struct buf *out);

/* The text ends here: a character still incomplete becomes U+FFFD. */
void detokenizer_finish(struct detokenizer *d, struct buf *out);

#endif
