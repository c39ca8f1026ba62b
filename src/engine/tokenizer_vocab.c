/* The vocabulary's tables: strings by number, numbers by string, merge rules by pair.
 * The file is hostile until proven otherwise: every count is bounded before memory is taken for it,
 * and a hash chain longer than chance allows is refused, so that a crafted vocabulary cannot make
 * loading quadratic. */
#include "base/encode.h"
#include "engine/gguf.h"
#include "engine/tokenizer_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBES_MAX 4096

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15U;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9U;
	return h ^ h >> 32;
}

static uint64_t hash_bytes(struct bytes text)
{
	uint64_t h = text.n;
	while (text.n >= 8) {
		uint64_t word;
		memcpy(&word, text.p, 8);
		h = mix(h ^ word);
		text = bytes_of(text.p + 8, text.n - 8);
	}
	uint64_t tail = 0;
	for (size_t i = 0; i < text.n; i++)
		tail = tail << 8 | text.p[i];
	return mix(h ^ tail);
}

static size_t power_of_two_above(size_t n)
{
	size_t p = 16;
	while (p < n)
		p *= 2;
	return p;
}

static int place(struct string_table *s, uint32_t number, bool *duplicate, struct err *err)
{
	size_t mask = s->n_slots - 1, at = hash_bytes(s->texts[number]) & mask;
	for (size_t i = 0; i < PROBES_MAX; i++, at = (at + 1) & mask) {
		uint32_t slot = s->slots[at];
		*duplicate = slot && bytes_equal(s->texts[slot - 1], s->texts[number]);
		if (*duplicate)
			return 0;
		if (slot)
			continue;
		s->slots[at] = number + 1;
		return 0;
	}
	return err_set(err, E_FORMAT, "the vocabulary's strings collide (token %u)", number);
}

static int rehash(struct string_table *s, size_t n_slots, struct err *err)
{
	uint32_t *slots = calloc(n_slots, sizeof *slots);
	if (!slots)
		return err_set(err, E_MEMORY, "no memory for %zu vocabulary slots", n_slots);
	free(s->slots);
	s->slots = slots;
	s->n_slots = n_slots;
	int rc = 0;
	bool duplicate;
	for (uint32_t i = 0; i < s->n && rc == 0; i++)
		rc = place(s, i, &duplicate, err);
	return rc;
}

static int resize(struct string_table *s, size_t cap, struct err *err)
{
	struct bytes *texts = realloc(s->texts, cap * sizeof *texts);
	if (!texts)
		return err_set(err, E_MEMORY, "no memory for %zu strings", cap);
	s->texts = texts;
	s->cap = cap;
	return rehash(s, power_of_two_above(2 * cap), err);
}

int string_table_init(struct string_table *s, size_t cap, struct err *err)
{
	*s = (struct string_table){0};
	return resize(s, cap ? cap : 1, err);
}

void string_table_free(struct string_table *s)
{
	free(s->texts);
	free(s->slots);
	*s = (struct string_table){0};
}

int32_t string_table_find(const struct string_table *s, struct bytes text)
{
	size_t mask = s->n_slots - 1, at = hash_bytes(text) & mask;
	while (s->slots[at]) {
		uint32_t number = s->slots[at] - 1;
		if (bytes_equal(s->texts[number], text))
			return (int32_t)number;
		at = (at + 1) & mask;
	}
	return -1;
}

int string_table_add(struct string_table *s, struct bytes text, struct err *err)
{
	bool duplicate;
	int rc = s->n < s->cap ? 0 : resize(s, s->cap * 2, err);
	if (rc)
		return rc;
	s->texts[s->n] = text;
	rc = place(s, (uint32_t)s->n, &duplicate, err);
	if (rc == 0)
		s->n++;
	return rc;
}

static uint64_t hash_pair(uint32_t left, uint32_t right)
{
	return mix((uint64_t)left << 32 | right);
}

const struct merge_rule *merge_table_find(
    const struct merge_table *m, uint32_t left, uint32_t right)
{
	size_t mask = m->n_slots - 1, at = hash_pair(left, right) & mask;
	for (; m->slots[at].used; at = (at + 1) & mask)
		if (m->slots[at].left == left && m->slots[at].right == right)
			return &m->slots[at];
	return NULL;
}

/* The first rule for a pair counts. */
static int merge_table_add(struct merge_table *m, struct merge_rule rule, struct err *err)
{
	size_t mask = m->n_slots - 1, at = hash_pair(rule.left, rule.right) & mask;
	for (size_t i = 0; i < PROBES_MAX; i++, at = (at + 1) & mask) {
		struct merge_rule *slot = &m->slots[at];
		if (slot->used && (slot->left != rule.left || slot->right != rule.right))
			continue;
		if (!slot->used)
			*slot = rule;
		return 0;
	}
	return err_set(err, E_FORMAT, "the merges collide (merge %u)", rule.rank);
}

uint32_t byte_to_stand_in(uint8_t byte)
{
	if (byte < 0x21)
		return 0x100U + byte;
	if (byte < 0x7f)
		return byte;
	if (byte < 0xa1)
		return 0x121U + byte - 0x7f;
	return byte == 0xad ? 0x143U : byte;
}

int stand_in_to_byte(uint32_t cp)
{
	if (cp >= 0x100 && cp < 0x121)
		return (int)(cp - 0x100);
	if (cp >= 0x121 && cp < 0x143)
		return (int)(cp - 0x121 + 0x7f);
	if (cp == 0x143)
		return 0xad;
	return cp < 0x100 && byte_to_stand_in((uint8_t)cp) == cp ? (int)cp : -1;
}

static int load_texts(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_array tokens;
	if (!gguf_get_array(g, "tokenizer.ggml.tokens", &tokens) || tokens.type != GGUF_STRING)
		return err_set(
		    err, E_FORMAT, "tokenizer.ggml.tokens is missing or no list of strings");
	if (tokens.n == 0 || tokens.n > TOKENIZER_VOCAB_MAX)
		return err_set(err, E_FORMAT, "tokenizer.ggml.tokens: %llu tokens, not 1 to %zu",
		    (unsigned long long)tokens.n, TOKENIZER_VOCAB_MAX);
	t->n_vocab = tokens.n;
	int rc = string_table_init(&t->strings, t->n_vocab, err);
	for (size_t i = 0; i < t->n_vocab && rc == 0; i++) {
		struct bytes text = tokens.strings[i];
		if (text.n > TOKENIZER_TOKEN_TEXT_MAX)
			return err_set(err, E_FORMAT, "token %zu: %zu bytes long", i, text.n);
		if (text.n > t->max_text)
			t->max_text = text.n;
		rc = string_table_add(&t->strings, text, err);
	}
	return rc;
}

static int load_attrs(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_array types = {0};
	bool given = gguf_get_array(g, "tokenizer.ggml.token_type", &types);
	if (given && (types.type != GGUF_I32 || types.n < t->n_vocab))
		return err_set(err, E_FORMAT, "tokenizer.ggml.token_type: not one int32 a token");
	t->attrs = calloc(t->n_vocab, sizeof *t->attrs);
	if (!t->attrs)
		return err_set(err, E_MEMORY, "no memory for %zu token types", t->n_vocab);
	for (size_t i = 0; i < t->n_vocab; i++) {
		int32_t type = 1;
		if (given)
			memcpy(&type, types.raw.p + i * sizeof type, sizeof type);
		t->attrs[i] = (uint16_t)(type >= 1 && type <= 6 ? 1U << type : TOKEN_NORMAL);
	}
	return 0;
}

static int load_scores(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_array scores = {0};
	bool given = gguf_get_array(g, "tokenizer.ggml.scores", &scores);
	if (given && (scores.type != GGUF_F32 || scores.n < t->n_vocab))
		return err_set(err, E_FORMAT, "tokenizer.ggml.scores: not one float a token");
	t->scores = calloc(t->n_vocab, sizeof *t->scores);
	if (!t->scores)
		return err_set(err, E_MEMORY, "no memory for %zu token scores", t->n_vocab);
	if (given)
		memcpy(t->scores, scores.raw.p, t->n_vocab * sizeof *t->scores);
	for (size_t i = 0; i < t->n_vocab; i++)
		if (isnan(t->scores[i]))
			return err_set(
			    err, E_FORMAT, "tokenizer.ggml.scores: token %zu has none", i);
	return 0;
}

/* SPM writes a byte "<0x0A>" (a few vocabularies only as itself), BPE as its stand-in. */
static void find_byte_tokens(struct tokenizer *t)
{
	for (unsigned b = 0; b < 256; b++) {
		char name[8];
		size_t n = 6;
		uint8_t raw = (uint8_t)b;
		if (t->family == FAMILY_BPE)
			n = utf8_encode(byte_to_stand_in(raw), name);
		else
			snprintf(name, sizeof name, "<0x%02X>", b);
		t->byte_tokens[b] = string_table_find(&t->strings, bytes_of(name, n));
		if (t->byte_tokens[b] == TOKEN_NONE && t->family == FAMILY_SPM)
			t->byte_tokens[b] = string_table_find(&t->strings, bytes_of(&raw, 1));
	}
}

int tokenizer_load_vocab(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	int rc = load_texts(t, g, err);
	if (rc == 0)
		rc = load_attrs(t, g, err);
	if (rc == 0 && t->family == FAMILY_SPM)
		rc = load_scores(t, g, err);
	if (rc == 0 && t->family == FAMILY_BPE)
		rc = tokenizer_load_merges(t, g, err);
	if (rc == 0)
		find_byte_tokens(t);
	return rc;
}

struct merge_parts {
	struct bytes left;
	struct bytes right;
	uint8_t joined[TOKENIZER_TOKEN_TEXT_MAX];
	size_t n;
};

static int split_merge(struct bytes text, size_t i, struct merge_parts *out, struct err *err)
{
	const uint8_t *space = text.n > 1 ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
	if (!space)
		return err_set(err, E_FORMAT, "merge %zu is no pair", i);
	size_t at = (size_t)(space - text.p);
	out->left = bytes_of(text.p, at);
	out->right = bytes_of(space + 1, text.n - at - 1);
	out->n = out->left.n + out->right.n;
	if (out->n > sizeof out->joined)
		return err_set(err, E_FORMAT, "merge %zu: %zu bytes long", i, out->n);
	memcpy(out->joined, out->left.p, out->left.n);
	memcpy(out->joined + out->left.n, out->right.p, out->right.n);
	return 0;
}

/* Memory for the joined texts that are no tokens; commonly none. */
static int reserve_joined(struct tokenizer *t, const struct gguf_array *merges, struct err *err)
{
	struct merge_parts parts;
	size_t total = 0;
	for (size_t i = 0; i < merges->n; i++) {
		int rc = split_merge(merges->strings[i], i, &parts, err);
		if (rc)
			return rc;
		if (string_table_find(&t->strings, bytes_of(parts.joined, parts.n)) < 0)
			total += parts.n;
	}
	t->owned = malloc(total + 1);
	return t->owned ? 0 : err_set(err, E_MEMORY, "no memory for the merges");
}

static int number_of(struct tokenizer *t, struct bytes text, uint32_t *out, struct err *err)
{
	int32_t found = string_table_find(&t->strings, text);
	*out = found < 0 ? (uint32_t)t->strings.n : (uint32_t)found;
	return found < 0 ? string_table_add(&t->strings, text, err) : 0;
}

static int add_merge(
    struct tokenizer *t, const struct merge_parts *m, size_t rank, size_t *used, struct err *err)
{
	struct merge_rule rule = {.rank = (uint32_t)rank, .used = true};
	struct bytes joined = bytes_of(m->joined, m->n);
	if (string_table_find(&t->strings, joined) < 0) {
		memcpy(t->owned + *used, m->joined, m->n);
		joined = bytes_of(t->owned + *used, m->n);
		*used += m->n;
	}
	int rc = number_of(t, m->left, &rule.left, err);
	if (rc == 0)
		rc = number_of(t, m->right, &rule.right, err);
	if (rc == 0)
		rc = number_of(t, joined, &rule.merged, err);
	return rc ? rc : merge_table_add(&t->merges, rule, err);
}

int tokenizer_load_merges(struct tokenizer *t, const struct gguf *g, struct err *err)
{
	struct gguf_array merges;
	if (!gguf_get_array(g, "tokenizer.ggml.merges", &merges) || merges.type != GGUF_STRING)
		return err_set(
		    err, E_FORMAT, "tokenizer.ggml.merges is missing or no list of strings");
	if (merges.n > TOKENIZER_MERGES_MAX)
		return err_set(err, E_FORMAT, "tokenizer.ggml.merges: more than %zu merges",
		    TOKENIZER_MERGES_MAX);
	t->merges.n_slots = power_of_two_above(2 * merges.n);
	t->merges.slots = calloc(t->merges.n_slots, sizeof *t->merges.slots);
	if (!t->merges.slots)
		return err_set(err, E_MEMORY, "no memory for the merges");
	struct merge_parts parts;
	size_t used = 0;
	int rc = reserve_joined(t, &merges, err);
	for (size_t i = 0; i < merges.n && rc == 0; i++) {
		rc = split_merge(merges.strings[i], i, &parts, err);
		if (rc == 0)
			rc = add_merge(t, &parts, i, &used, err);
	}
	return rc;
}
