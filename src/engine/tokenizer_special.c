/* Special tokens: which ids mean begin, end and unknown; which texts are recognised whole inside a
 * prompt; which tokens end a generation. Files often leave the last to the reader, so well-known
 * texts are recognised, as other runtimes of these files do. */
#include "base/encode.h"
#include "engine/gguf.h"
#include "engine/tokenizer_priv.h"

#include <stdlib.h>
#include <strings.h>

#define SPECIAL_TEXT_MAX 256 /* a longer text is never recognised inside a prompt */

/* After these a turn is over, whatever the file says. */
static const char *const TURN_ENDS[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
    "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]",
    "<\xef\xbd\234end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", "<end_of_utterance>"};
static const char *const OTHER_ENDS[] = {
    "<|eom_id|>", "<|return|>", "<|call|>", "[EOS]", "<eos>", "</s>"};
/* Phi-3's own tokenizer drops white space after most of its special tokens. */
static const char *const PHI3_KEEPS[] = {"<unk>", "<s>", "<|endoftext|>"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void read_id(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t *id)
{
	uint32_t value;
	if (gguf_get_u32(g, key, &value) && value < t->n_vocab)
		*id = (int32_t)value;
	if (!token_known(t, *id))
		*id = TOKEN_NONE;
}

static void read_ids(struct tokenizer *t, const struct gguf *g)
{
	bool spm = t->family == FAMILY_SPM;
	t->unknown = spm ? 0 : TOKEN_NONE;
	t->bos = spm ? 1 : TOKEN_NONE;
	t->eos = spm ? 2 : TOKEN_NONE;
	t->eot = t->eom = TOKEN_NONE;
	read_id(t, g, "tokenizer.ggml.unknown_token_id", &t->unknown);
	read_id(t, g, "tokenizer.ggml.bos_token_id", &t->bos);
	read_id(t, g, "tokenizer.ggml.eos_token_id", &t->eos);
	read_id(t, g, "tokenizer.ggml.eot_token_id", &t->eot);
	read_id(t, g, "tokenizer.ggml.eom_token_id", &t->eom);
	gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos);
	gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos);
	gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->add_space_prefix);
	t->add_bos = t->add_bos && t->bos != TOKEN_NONE;
	t->add_eos = t->add_eos && t->eos != TOKEN_NONE;
}

static int32_t find_token(const struct tokenizer *t, const char *text)
{
	int32_t id = string_table_find(&t->strings, bytes_str(text));
	return token_known(t, id) ? id : TOKEN_NONE;
}

static void set_end(struct tokenizer *t, int32_t id)
{
	if (token_known(t, id))
		t->attrs[id] =
		    (uint16_t)((t->attrs[id] & ~TOKEN_NORMAL) | TOKEN_CONTROL | TOKEN_ENDS);
}

static void find_ends(struct tokenizer *t)
{
	for (size_t i = 0; i < COUNT(TURN_ENDS); i++) {
		int32_t id = find_token(t, TURN_ENDS[i]);
		if (id == TOKEN_NONE)
			continue;
		if (t->eot == TOKEN_NONE)
			t->eot = id;
		set_end(t, id);
	}
	for (size_t i = 0; i < COUNT(OTHER_ENDS); i++) {
		int32_t id = find_token(t, OTHER_ENDS[i]);
		/* "</s>" is HTML, too: such a text must be marked as more than a word. */
		if (id != TOKEN_NONE && !(t->attrs[id] & TOKEN_NORMAL))
			set_end(t, id);
	}
	set_end(t, t->eos);
	set_end(t, t->eot);
	set_end(t, t->eom);
}

static bool is_special(const struct tokenizer *t, int32_t id)
{
	size_t n = t->strings.texts[id].n;
	return n > 0 && n <= SPECIAL_TEXT_MAX &&
	       t->attrs[id] & (TOKEN_CONTROL | TOKEN_USER_DEFINED | TOKEN_UNKNOWN);
}

static bool contains_ignoring_case(struct bytes text, const char *what)
{
	size_t n = strlen(what);
	for (size_t i = 0; i + n <= text.n; i++)
		if (strncasecmp((const char *)text.p + i, what, n) == 0)
			return true;
	return false;
}

static void set_stripping(struct tokenizer *t, const struct gguf *g)
{
	struct bytes name = {0};
	gguf_get_str(g, "general.name", &name);
	if (!contains_ignoring_case(name, "phi-3") && !contains_ignoring_case(name, "phi3"))
		return;
	for (size_t i = 0; i < t->n_special; i++)
		t->attrs[t->special[i]] |= TOKEN_STRIPS_RIGHT;
	for (size_t i = 0; i < COUNT(PHI3_KEEPS); i++) {
		int32_t id = find_token(t, PHI3_KEEPS[i]);
		if (id != TOKEN_NONE)
			t->attrs[id] &= (uint16_t)~TOKEN_STRIPS_RIGHT;
	}
}

static int compare_texts(const void *a, const void *b, void *arg)
{
	const struct tokenizer *t = arg;
	int32_t ia = *(const int32_t *)a, ib = *(const int32_t *)b;
	struct bytes x = t->strings.texts[ia], y = t->strings.texts[ib];
	int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
	if (order)
		return order;
	if (x.n != y.n)
		return x.n < y.n ? -1 : 1;
	return ia < ib ? -1 : ia > ib;
}

int tokenizer_load_special(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	read_ids(t, g);
	find_ends(t);
	size_t n = 0;
	for (int32_t id = 0; token_known(t, id); id++)
		n += is_special(t, id);
	t->special = calloc(n + 1, sizeof *t->special);
	if (!t->special)
		return err_set(err, E_MEMORY, "no memory for %zu special tokens", n);
	for (int32_t id = 0; token_known(t, id); id++)
		if (is_special(t, id))
			t->special[t->n_special++] = id;
	qsort_r(t->special, n, sizeof *t->special, compare_texts, t);
	set_stripping(t, g);
	return 0;
}

/* First of special[lo, hi), all longer than `at`, whose byte there is at least `least`. */
static size_t first_at_least(
    const struct tokenizer *t, size_t lo, size_t hi, size_t at, unsigned least)
{
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (t->strings.texts[t->special[mid]].p[at] < least)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int32_t tokenizer_match_special(const struct tokenizer *t, struct bytes text, bool control_too)
{
	size_t lo = 0, hi = t->n_special;
	int32_t best = TOKEN_NONE;
	for (size_t at = 0; at < text.n && lo < hi; at++) {
		lo = first_at_least(t, lo, hi, at, text.p[at]);
		hi = first_at_least(t, lo, hi, at, text.p[at] + 1U);
		/* Those that end here come first; among equals the lowest id. */
		bool found = false;
		for (; lo < hi && t->strings.texts[t->special[lo]].n == at + 1; lo++) {
			bool control = t->attrs[t->special[lo]] & (TOKEN_CONTROL | TOKEN_UNKNOWN);
			if ((control_too || !control) && !found) {
				best = t->special[lo];
				found = true;
			}
		}
	}
	return best;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0x0A>" */
static bool byte_of_name(struct bytes name, uint8_t *out)
{
	if (name.n != 6 || memcmp(name.p, "<0x", 3) != 0 || name.p[5] != '>')
		return false;
	int high = hex_digit(name.p[3]), low = hex_digit(name.p[4]);
	if (high < 0 || low < 0)
		return false;
	*out = (uint8_t)(high << 4 | low);
	return true;
}

static size_t decode_spaces(struct bytes text, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n;) {
		bool mark = text.n - i >= 3 && memcmp(text.p + i, "\xe2\x96\x81", 3) == 0;
		out[n++] = mark ? ' ' : text.p[i];
		i += mark ? 3 : 1;
	}
	return n;
}

static size_t decode_stand_ins(struct bytes text, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < text.n;) {
		uint32_t cp;
		size_t used = utf8_decode(text.p + i, text.n - i, &cp);
		int byte = used ? stand_in_to_byte(cp) : -1;
		if (byte >= 0) {
			out[n++] = (uint8_t)byte;
		} else {
			used = used ? used : 1;
			memcpy(out + n, text.p + i, used);
			n += used;
		}
		i += used;
	}
	return n;
}

/* Never longer than the text. */
static size_t decode_piece(const struct tokenizer *t, int32_t id, uint8_t *out)
{
	struct bytes text = t->strings.texts[id];
	if (text.n == 0)
		return 0;
	if (t->attrs[id] & (TOKEN_CONTROL | TOKEN_UNKNOWN | TOKEN_USER_DEFINED)) {
		memcpy(out, text.p, text.n);
		return text.n;
	}
	if (t->attrs[id] & TOKEN_BYTE && byte_of_name(text, out))
		return 1;
	return t->family == FAMILY_SPM ? decode_spaces(text, out) : decode_stand_ins(text, out);
}

int tokenizer_load_pieces(struct tokenizer *t, struct err *err)
{
	size_t total = 0;
	for (size_t i = 0; i < t->n_vocab; i++)
		total += t->strings.texts[i].n;
	t->piece_bytes = malloc(total + 1);
	t->piece_ends = calloc(t->n_vocab, sizeof *t->piece_ends);
	if (!t->piece_bytes || !t->piece_ends)
		return err_set(err, E_MEMORY, "no memory for %zu token texts", t->n_vocab);
	size_t used = 0;
	for (int32_t id = 0; token_known(t, id); id++) {
		used += decode_piece(t, id, t->piece_bytes + used);
		t->piece_ends[id] = (uint32_t)used;
	}
	return 0;
}
