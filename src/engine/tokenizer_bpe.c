/* Byte-level BPE: the pre-tokenizer cuts the text into words, and in each word bytes merge by rank.
 * Merges work on numbers of the string table, never on text; a symbol that ends up as no token is
 * written byte by byte. Ill-formed bytes of the text read as U+FFFD, as in the models' own
 * tokenizers, whose input is Unicode. */
#include "base/encode.h"
#include "engine/pretokenize.h"
#include "engine/tokenizer_priv.h"

static bool rule_of_pair(const struct tokenizer *t, const struct merge_work *w,
    const struct symbol *left, const struct symbol *right, uint32_t *order, int32_t *merged)
{
	(void)w;
	if (left->id == TOKEN_NONE || right->id == TOKEN_NONE)
		return false;
	const struct merge_rule *rule =
	    merge_table_find(&t->merges, (uint32_t)left->id, (uint32_t)right->id);
	if (!rule)
		return false;
	*order = rule->rank;
	*merged = (int32_t)rule->merged;
	return true;
}

/* The token that is exactly this word, or TOKEN_NONE. */
static int32_t whole_word(const struct tokenizer *t, struct bytes word)
{
	char text[TOKENIZER_TOKEN_TEXT_MAX + 4];
	size_t n = 0;
	for (size_t i = 0; i < word.n; i++) {
		if (n >= TOKENIZER_TOKEN_TEXT_MAX)
			return TOKEN_NONE;
		n += utf8_encode(byte_to_stand_in(word.p[i]), text + n);
	}
	int32_t id = string_table_find(&t->strings, bytes_of(text, n));
	return token_known(t, id) ? id : TOKEN_NONE;
}

static int encode_word(const struct tokenizer *t, struct merge_work *w, struct bytes word,
    struct token_list *out, struct err *err)
{
	if (t->ignore_merges) {
		int32_t id = whole_word(t, word);
		if (id != TOKEN_NONE)
			return token_list_push(out, id, err);
	}
	int rc = 0;
	w->text = word.p;
	w->n_symbols = 0;
	for (size_t i = 0; i < word.n && rc == 0; i++)
		rc = merge_work_push(w, (uint32_t)i, 1, t->byte_tokens[word.p[i]], err);
	if (rc == 0)
		rc = merge_work_run(w, t, rule_of_pair, err);
	for (uint32_t i = 0; i != SYMBOL_END && rc == 0; i = w->symbols[i].next) {
		const struct symbol *s = &w->symbols[i];
		if (token_known(t, s->id))
			rc = token_list_push(out, s->id, err);
		else
			rc = append_bytes(t, bytes_of(word.p + s->off, s->n), out, err);
	}
	return rc;
}

static int encode_words(
    const struct tokenizer *t, struct bytes text, struct token_list *out, struct err *err)
{
	struct word_list words = {0};
	struct merge_work w = {0};
	int rc = pretokenizer_split(t->pre, text, &words, err);
	size_t from = 0;
	for (size_t i = 0; i < words.n && rc == 0; i++) {
		rc = encode_word(t, &w, bytes_of(text.p + from, words.ends[i] - from), out, err);
		from = words.ends[i];
	}
	merge_work_free(&w);
	word_list_free(&words);
	return rc;
}

int bpe_encode(
    const struct tokenizer *t, struct bytes text, struct token_list *out, struct err *err)
{
	size_t good = utf8_valid_prefix(text);
	if (good == text.n)
		return encode_words(t, text, out, err);
	struct buf mended = BUF_INIT(3 * TOKENIZER_TEXT_MAX);
	while (text.n > 0) {
		buf_put(&mended, text.p, good);
		if (good < text.n)
			buf_str(&mended, "\xef\xbf\xbd");
		size_t used = good + (good < text.n);
		text = bytes_of(text.p + used, text.n - used);
		good = utf8_valid_prefix(text);
	}
	int rc = buf_ok(&mended, err);
	if (rc == 0)
		rc = encode_words(t, buf_view(&mended), out, err);
	buf_free(&mended);
	return rc;
}
