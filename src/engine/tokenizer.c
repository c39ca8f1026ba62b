/* Tokenizers: making one, encoding around special tokens, and turning ids back into text. */
#include "engine/tokenizer.h"

#include "engine/gguf.h"
#include "engine/pretokenize.h"
#include "engine/tokenizer_priv.h"

#include <stdio.h>
#include <stdlib.h>

int token_list_push(struct token_list *list, int32_t id, struct err *err)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		int32_t *ids = realloc(list->ids, cap * sizeof *ids);
		if (!ids)
			return err_set(err, E_MEMORY, "no memory for %zu tokens", cap);
		list->ids = ids;
		list->cap = cap;
	}
	list->ids[list->n++] = id;
	return 0;
}

void token_list_free(struct token_list *list)
{
	free(list->ids);
	*list = (struct token_list){0};
}

static int read_family(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct bytes model;
	if (!gguf_get_str(g, "tokenizer.ggml.model", &model))
		return err_set(err, E_FORMAT, "tokenizer.ggml.model is missing");
	t->family = bytes_equal(model, bytes_str("gpt2")) ? FAMILY_BPE : FAMILY_SPM;
	if (t->family == FAMILY_SPM && !bytes_equal(model, bytes_str("llama")))
		return err_set(err, E_UNSUPPORTED,
		    "tokenizer '%.*s' is not supported (only llama and gpt2)",
		    (int)(model.n < 40 ? model.n : 40), (const char *)model.p);
	t->add_bos = t->add_space_prefix = t->family == FAMILY_SPM;
	return 0;
}

static void set_warning(struct tokenizer *t, struct bytes pre)
{
	char name[40];
	size_t n = 0;
	for (; n < pre.n && n < sizeof name - 1; n++)
		name[n] = pre.p[n] > ' ' && pre.p[n] < 0x7f ? (char)pre.p[n] : '?';
	name[n] = '\0';
	if (pre.n == 0)
		snprintf(t->warning, sizeof t->warning,
		    "the file names no pre-tokenizer; text may be cut into tokens badly");
	else
		snprintf(t->warning, sizeof t->warning,
		    "unknown pre-tokenizer '%s'; text may be cut into tokens badly", name);
}

static int load_pre(struct tokenizer *t, struct bytes pre, struct err *err)
{
	struct pretokenizer_traits traits;
	int rc = pretokenizer_new(pre, &t->pre, &traits, err);
	if (rc)
		return rc;
	t->ignore_merges = traits.ignore_merges;
	t->clean_spaces = traits.cleans_spaces;
	t->add_bos = traits.adds_bos;
	if (!traits.known)
		set_warning(t, pre);
	return 0;
}

static int load(struct tokenizer *t, const struct gguf *g, struct bytes pre, struct err *err)
{
	int rc = read_family(t, g, err);
	if (rc == 0 && t->family == FAMILY_BPE)
		rc = load_pre(t, pre, err);
	if (rc == 0)
		rc = tokenizer_load_vocab(t, g, err);
	if (rc == 0)
		rc = tokenizer_load_special(t, g, err);
	return rc ? rc : tokenizer_load_pieces(t, err);
}

int tokenizer_new_with_pre(
    const struct gguf *file, struct bytes pre, struct tokenizer **out, struct err *err)
{
	struct tokenizer *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(err, E_MEMORY, "no memory for a tokenizer");
	int rc = load(t, file, pre, err);
	if (rc)
		tokenizer_free(t);
	else
		*out = t;
	return rc;
}

int tokenizer_new(const struct gguf *file, struct tokenizer **out, struct err *err)
{
	struct bytes pre = {0};
	gguf_get_str(file, "tokenizer.ggml.pre", &pre);
	return tokenizer_new_with_pre(file, pre, out, err);
}

void tokenizer_free(struct tokenizer *t)
{
	if (!t)
		return;
	string_table_free(&t->strings);
	free(t->attrs);
	free(t->scores);
	free(t->piece_bytes);
	free(t->piece_ends);
	free(t->merges.slots);
	free(t->owned);
	pretokenizer_free(t->pre);
	free(t->special);
	free(t);
}

const char *tokenizer_warning(const struct tokenizer *t)
{
	return t->warning;
}

int append_bytes(
    const struct tokenizer *t, struct bytes text, struct token_list *out, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; i < text.n && rc == 0; i++) {
		int32_t id = t->byte_tokens[text.p[i]];
		if (!token_known(t, id))
			id = t->unknown;
		if (id != TOKEN_NONE)
			rc = token_list_push(out, id, err);
	}
	return rc;
}

static int encode_plain(const struct tokenizer *t, struct bytes text, bool after_special,
    struct token_list *out, struct err *err)
{
	if (text.n == 0)
		return 0;
	if (t->family == FAMILY_SPM)
		return spm_encode(t, text, t->add_space_prefix && after_special, out, err);
	return bpe_encode(t, text, out, err);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts the text at special tokens, leftmost first and the longest at each place. */
static int encode_around_special(const struct tokenizer *t, struct bytes text, bool control_too,
    struct token_list *out, struct err *err)
{
	size_t from = 0, at = 0;
	bool after_special = true;
	int rc = 0;
	while (at < text.n && rc == 0) {
		struct bytes rest = bytes_of(text.p + at, text.n - at);
		int32_t id = tokenizer_match_special(t, rest, control_too);
		if (id == TOKEN_NONE) {
			at++;
			continue;
		}
		rc = encode_plain(t, bytes_of(text.p + from, at - from), after_special, out, err);
		if (rc == 0)
			rc = token_list_push(out, id, err);
		after_special = true;
		at += t->strings.texts[id].n;
		while (t->attrs[id] & TOKEN_STRIPS_RIGHT && at < text.n && is_space(text.p[at]))
			at++;
		from = at;
	}
	if (rc == 0)
		rc = encode_plain(t, bytes_of(text.p + from, at - from), after_special, out, err);
	return rc;
}

static bool wants_bos(const struct tokenizer *t, struct bytes text, enum tokenize_flags flags)
{
	if (!t->add_bos)
		return false;
	if (flags & TOKENIZE_ADD_SPECIAL)
		return true;
	return flags & TOKENIZE_BOS_ONCE &&
	       tokenizer_match_special(t, text, flags & TOKENIZE_PARSE_SPECIAL) != t->bos;
}

int tokenizer_encode(const struct tokenizer *t, struct bytes text, enum tokenize_flags flags,
    struct token_list *out, struct err *err)
{
	if (text.n > TOKENIZER_TEXT_MAX)
		return err_set(err, E_TOO_LARGE, "%zu bytes of text; at most %zu can be tokenized",
		    text.n, TOKENIZER_TEXT_MAX);
	int rc = 0;
	if (wants_bos(t, text, flags))
		rc = token_list_push(out, t->bos, err);
	if (rc == 0)
		rc = encode_around_special(t, text, flags & TOKENIZE_PARSE_SPECIAL, out, err);
	if (rc == 0 && flags & TOKENIZE_ADD_SPECIAL && t->add_eos)
		rc = token_list_push(out, t->eos, err);
	return rc;
}

struct bytes tokenizer_piece(const struct tokenizer *t, int32_t id)
{
	if (!token_known(t, id))
		return (struct bytes){0};
	size_t from = id ? t->piece_ends[id - 1] : 0;
	return bytes_of(t->piece_bytes + from, t->piece_ends[id] - from);
}

/* The fixed strings of `from` become those of `to`, in place and left to right. */
struct replacement {
	const char *from;
	const char *to;
};

static size_t replace_all(uint8_t *text, size_t n, const struct replacement *rules, size_t n_rules)
{
	size_t out = 0;
	for (size_t i = 0; i < n;) {
		size_t r = 0;
		while (
		    r < n_rules && (strlen(rules[r].from) > n - i ||
				       memcmp(text + i, rules[r].from, strlen(rules[r].from)) != 0))
			r++;
		if (r == n_rules) {
			text[out++] = text[i++];
			continue;
		}
		memcpy(text + out, rules[r].to, strlen(rules[r].to));
		out += strlen(rules[r].to);
		i += strlen(rules[r].from);
	}
	return out;
}

static size_t clean_spaces(uint8_t *text, size_t n)
{
	static const struct replacement PUNCTUATION[] = {
	    {" ?", "?"}, {" !", "!"}, {" .", "."}, {" ,", ","}};
	static const struct replacement QUOTES[] = {{" ' ", "'"}};
	static const struct replacement CONTRACTIONS[] = {
	    {" 's", "'s"}, {" 'm", "'m"}, {" 're", "'re"}, {" 've", "'ve"}};
	n = replace_all(text, n, PUNCTUATION, sizeof PUNCTUATION / sizeof PUNCTUATION[0]);
	n = replace_all(text, n, QUOTES, sizeof QUOTES / sizeof QUOTES[0]);
	return replace_all(text, n, CONTRACTIONS, sizeof CONTRACTIONS / sizeof CONTRACTIONS[0]);
}

int tokenizer_detokenize(const struct tokenizer *t, const int32_t *ids, size_t n,
    enum detokenize_flags flags, struct buf *out, struct err *err)
{
	size_t start = out->n;
	bool drop_space = t->add_space_prefix;
	for (size_t i = 0; i < n; i++) {
		if (!token_known(t, ids[i]))
			return err_set(err, E_INVALID, "token %d is not in the vocabulary of %zu",
			    ids[i], t->n_vocab);
		if (tokenizer_is_control(t, ids[i]) && !(flags & DETOKENIZE_SPECIAL))
			continue;
		struct bytes piece = tokenizer_piece(t, ids[i]);
		if (drop_space && piece.n > 0 && piece.p[0] == ' ')
			piece = bytes_of(piece.p + 1, piece.n - 1);
		drop_space = false;
		buf_bytes(out, piece);
	}
	int rc = buf_ok(out, err);
	if (rc == 0 && t->clean_spaces && out->n > start) {
		out->n = start + clean_spaces(out->p + start, out->n - start);
		out->p[out->n] = 0;
	}
	return rc;
}

size_t tokenizer_n_vocab(const struct tokenizer *t)
{
	return t->n_vocab;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}

int32_t tokenizer_eot(const struct tokenizer *t)
{
	return t->eot;
}

int32_t tokenizer_unknown(const struct tokenizer *t)
{
	return t->unknown;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
	return t->add_bos;
}

int32_t tokenizer_find(const struct tokenizer *t, struct bytes text)
{
	int32_t id = string_table_find(&t->strings, text);
	return token_known(t, id) ? id : TOKEN_NONE;
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
	return token_known(t, id) && t->attrs[id] & (TOKEN_CONTROL | TOKEN_UNKNOWN);
}

bool tokenizer_is_end_of_generation(const struct tokenizer *t, int32_t id)
{
	return token_known(t, id) && t->attrs[id] & TOKEN_ENDS;
}
