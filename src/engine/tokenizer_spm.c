/* SentencePiece-style encoding: characters merge into the piece with the best score, again and
 * again; what is no piece falls back to byte tokens. Spaces are written U+2581. */
#include "engine/tokenizer_priv.h"

#include <string.h>

static const char SPACE_MARK[] = "\xe2\x96\x81";

/* Bytes of a character by its first byte alone: the text need not be valid UTF-8. */
static size_t char_length(uint8_t lead)
{
	if (lead < 0xc0)
		return 1;
	return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Floats as integers in the opposite order: the best score comes first. */
static uint32_t score_order(float score)
{
	uint32_t bits;
	score += 0.0F; /* -0 is 0 */
	memcpy(&bits, &score, sizeof bits);
	uint32_t ascending = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
	return ~ascending;
}

static bool piece_of_pair(const struct tokenizer *t, const struct merge_work *w,
    const struct symbol *left, const struct symbol *right, uint32_t *order, int32_t *merged)
{
	size_t n = (size_t)left->n + right->n;
	if (n > t->max_text)
		return false;
	*merged = string_table_find(&t->strings, bytes_of(w->text + left->off, n));
	if (*merged == TOKEN_NONE)
		return false;
	*order = score_order(t->scores[*merged]);
	return true;
}

static int push_characters(
    struct merge_work *w, const struct tokenizer *t, struct bytes text, struct err *err)
{
	int rc = 0;
	for (size_t off = 0; off < text.n && rc == 0;) {
		size_t n = char_length(text.p[off]);
		if (n > text.n - off)
			n = text.n - off;
		int32_t id = string_table_find(&t->strings, bytes_of(text.p + off, n));
		rc = merge_work_push(w, (uint32_t)off, (uint32_t)n, id, err);
		off += n;
	}
	return rc;
}

static int emit(
    const struct merge_work *w, const struct tokenizer *t, struct token_list *out, struct err *err)
{
	int rc = 0;
	for (uint32_t i = 0; i != SYMBOL_END && rc == 0; i = w->symbols[i].next) {
		const struct symbol *s = &w->symbols[i];
		if (s->id != TOKEN_NONE)
			rc = token_list_push(out, s->id, err);
		else
			rc = append_bytes(t, bytes_of(w->text + s->off, s->n), out, err);
	}
	return rc;
}

int spm_encode(const struct tokenizer *t, struct bytes text, bool add_prefix,
    struct token_list *out, struct err *err)
{
	struct buf marked = BUF_INIT(3 * (TOKENIZER_TEXT_MAX + 1));
	if (add_prefix)
		buf_str(&marked, SPACE_MARK);
	for (size_t i = 0; i < text.n;) {
		const uint8_t *space = memchr(text.p + i, ' ', text.n - i);
		size_t run = space ? (size_t)(space - text.p) - i : text.n - i;
		buf_put(&marked, text.p + i, run);
		if (space)
			buf_str(&marked, SPACE_MARK);
		i += run + (space != NULL);
	}
	struct merge_work w = {.text = marked.p};
	int rc = buf_ok(&marked, err);
	if (rc == 0)
		rc = push_characters(&w, t, buf_view(&marked), err);
	if (rc == 0)
		rc = merge_work_run(&w, t, piece_of_pair, err);
	if (rc == 0 && w.n_symbols > 0)
		rc = emit(&w, t, out, err);
	merge_work_free(&w);
	buf_free(&marked);
	return rc;
}
