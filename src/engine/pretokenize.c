/* A family is a row of stages. Each stage cuts the words of the stage before it further: whatever
 * its pattern matches becomes a word, and so does the text between two matches. A pattern sees one
 * word at a time, so its look-arounds end at the word's borders.
 *
 * What must stay true: no pattern backtracks more than linearly in the text (every run of white
 * space, letters or digits is consumed by the alternative that scanned it), so a hostile prompt
 * cannot buy quadratic time; the match limit is only the seat belt. */
#include "engine/pretokenize.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STAGES_MAX  6
#define MATCH_LIMIT 50000000U
#define HEAP_KIB    65536U

/* Unicode's White_Space, for use inside a class; \s of PCRE2 differs by U+180E. */
#define WS "\\p{Z}\\t-\\r\\x{85}"
/* "\s+(?!\S)|\s+": a run of white space, but its last character goes with the word behind it. */
#define SPACES "[" WS "]+(?![^" WS "])|[" WS "]+"

#define ENGLISH       "'s|'t|'re|'ve|'m|'ll|'d"
#define ENGLISH_CASE  "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define SYMBOLS       " ?[^" WS "\\p{L}\\p{N}]+"
#define LINES         "[" WS "]*[\\r\\n]+"
#define WORD          "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define GPT2          ENGLISH "| ?\\p{L}+| ?\\p{N}+|" SYMBOLS "|" SPACES
#define LLAMA3(digit) ENGLISH_CASE "|" WORD "|" digit "|" SYMBOLS "[\\r\\n]*|" LINES "|" SPACES
/* Words that begin with capitals and go on in small letters; other scripts count as either. */
#define CAPITALS "[^\\P{L}a-z]"
#define SMALL    "[^\\P{L}A-Z]"
#define CASED(tail)                                                                                \
	"[^\\r\\n\\p{L}\\p{N}]?" CAPITALS "*" SMALL "+" tail "|[^\\r\\n\\p{L}\\p{N}]?" CAPITALS    \
	"+" SMALL "*" tail
#define CJK_DEEPSEEK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define KANJI_KANA   "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define ASCII_PUNCT  "[!-/:-@\\[-`{-~]"
#define NOT_FINNISH                                                                                \
	" ?[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define HAN                                                                                        \
	"\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{20000}-\\x{2a6df}\\x{2a700}-\\x{2ebef}"         \
	"\\x{f900}-\\x{faff}\\x{2f800}-\\x{2fa1f}"
/* The letters with case, as DeepSeek LLM lists them. */
#define DEEPSEEK_LETTERS                                                                           \
	"A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"             \
	"\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}"                      \
	"\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}"              \
	"\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"                     \
	"\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}"             \
	"\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}"             \
	"\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}"             \
	"\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}"                        \
	"\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"                       \
	"\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}"             \
	"\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}"              \
	"\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}"               \
	"\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}"              \
	"\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"              \
	"\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"              \
	"\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"             \
	"\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"           \
	"\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}"                          \
	"\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

/* Stands in a row of stages for cutting runs of ASCII digits into groups of three from the right;
 * as a pattern this would look ahead over the whole run at every digit. */
static const char DIGITS_BY_THREE[] = "digits by three";

enum {
	IGNORE_MERGES = 1,
	ADDS_BOS = 2,
	KEEPS_SPACES = 4
};

struct family {
	const char *names; /* separated by spaces */
	unsigned traits;
	const char *stages[STAGES_MAX];
};

static const struct family FAMILIES[] = {
    {"default", 0, {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", IGNORE_MERGES | ADDS_BOS,
	{LLAMA3("\\p{N}{1,3}")}},
    {"dbrx smaug-bpe chatglm-bpe glm4", 0, {LLAMA3("\\p{N}{1,3}")}},
    {"qwen2 deepseek-r1-qwen hunyuan grok-2 solar-open megrez", KEEPS_SPACES, {LLAMA3("\\p{N}")}},
    {"stablelm2", 0, {LLAMA3("\\p{N}")}},
    {"qwen35", KEEPS_SPACES,
	{ENGLISH_CASE "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" WS
		      "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" SPACES}},
    {"seed-coder", KEEPS_SPACES,
	{ENGLISH_CASE "|" WORD "|\\p{N}| ?[^" WS "\\p{L}\\p{N}\\r\\n]+|" LINES "|" SPACES}},
    {"bailingmoe bailingmoe2 llada-moe", KEEPS_SPACES,
	{"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" WORD "|\\p{N}|" SYMBOLS "[\\r\\n]*|[" WS
	 "]*[\\r\\n]|" SPACES}},
    {"gpt-2 phi-2 mpt olmo jais gigachat a.x-4.0 mellum modern-bert exaone4", 0, {GPT2}},
    {"trillion granite-docling", KEEPS_SPACES, {GPT2}},
    {"starcoder refact codeshell exaone minerva-7b", 0, {"\\p{N}", GPT2}},
    {"command-r smollm", KEEPS_SPACES, {"\\p{N}", GPT2}},
    {"falcon", 0, {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"deepseek-llm", KEEPS_SPACES,
	{"[\\r\\n]", "[" WS "]?[" DEEPSEEK_LETTERS "]+",
	    "[" WS "]?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
	    "\\x{3000}-\\x{3002}]+",
	    "(?<![" WS "])[" WS "]++\\z", CJK_DEEPSEEK, "\\p{N}+"}},
    {"deepseek-coder", KEEPS_SPACES,
	{"[\\r\\n]", "[" WS "]?\\p{L}+", "[" WS "]?\\p{P}+", CJK_DEEPSEEK, "\\p{N}"}},
    {"deepseek-v3 hunyuan-dense joyai-llm", KEEPS_SPACES,
	{"\\p{N}{1,3}", KANJI_KANA,
	    ASCII_PUNCT "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
			"[\\r\\n]*|" LINES "|" SPACES}},
    {"gpt-4o llama4 kanana2 minimax-m2", KEEPS_SPACES,
	{CASED(ENGLISH_CASE "?") "|\\p{N}{1,3}|" SYMBOLS "[\\r\\n/]*|" LINES "|" SPACES}},
    {"tekken", KEEPS_SPACES | IGNORE_MERGES | ADDS_BOS,
	{CASED("") "|\\p{N}|" SYMBOLS "[\\r\\n/]*|" LINES "|" SPACES}},
    {"kimi-k2", KEEPS_SPACES,
	{"[" HAN "]+|[^\\r\\n\\p{L}\\p{N}]?[^\\P{L}" HAN "]+" ENGLISH_CASE "?|\\p{N}{1,3}|" SYMBOLS
	 "[\\r\\n]*|" LINES "|" SPACES}},
    {"bloom gpt3-finnish", 0, {NOT_FINNISH}},
    {"poro-chat", KEEPS_SPACES, {NOT_FINNISH}},
    {"viking", KEEPS_SPACES, {NOT_FINNISH, "\\p{N}"}},
    {"superbpe", KEEPS_SPACES, {"\\p{N}+", DIGITS_BY_THREE}},
};

struct pretokenizer {
	size_t n_stages;
	pcre2_code *codes[STAGES_MAX]; /* NULL: DIGITS_BY_THREE */
};

void word_list_free(struct word_list *words)
{
	free(words->ends);
	*words = (struct word_list){0};
}

static int word_end(struct word_list *words, size_t end, struct err *err)
{
	if (words->n == words->cap) {
		size_t cap = words->cap ? words->cap * 2 : 256;
		uint32_t *ends = realloc(words->ends, cap * sizeof *ends);
		if (!ends)
			return err_set(err, E_MEMORY, "no memory to cut text into words");
		words->ends = ends;
		words->cap = cap;
	}
	words->ends[words->n++] = (uint32_t)end;
	return 0;
}

static bool has_name(const char *names, struct bytes name)
{
	while (*names) {
		size_t n = strcspn(names, " ");
		if (bytes_equal(name, bytes_of(names, n)))
			return true;
		names += n + (names[n] == ' ');
	}
	return false;
}

static const struct family *family_find(struct bytes name, bool *known)
{
	for (size_t i = 0; i < sizeof FAMILIES / sizeof FAMILIES[0]; i++) {
		*known = has_name(FAMILIES[i].names, name);
		if (*known)
			return &FAMILIES[i];
	}
	return &FAMILIES[0];
}

static int compile(const char *pattern, pcre2_code **out, struct err *err)
{
	int code;
	size_t at;
	*out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_NO_AUTO_CAPTURE, &code, &at, NULL);
	if (*out)
		return 0;
	if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
		return err_set(err, E_MEMORY, "no memory for a pre-tokenizer");
	return err_set(err, E_INTERNAL, "pre-tokenizer pattern: error %d at %zu", code, at);
}

int pretokenizer_new(struct bytes name, struct pretokenizer **out,
    struct pretokenizer_traits *traits, struct err *err)
{
	const struct family *family = family_find(name, &traits->known);
	traits->ignore_merges = family->traits & IGNORE_MERGES;
	traits->adds_bos = family->traits & ADDS_BOS;
	traits->cleans_spaces = !(family->traits & KEEPS_SPACES);
	struct pretokenizer *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for a pre-tokenizer");
	int rc = 0;
	while (rc == 0 && p->n_stages < STAGES_MAX && family->stages[p->n_stages]) {
		const char *pattern = family->stages[p->n_stages];
		if (pattern != DIGITS_BY_THREE)
			rc = compile(pattern, &p->codes[p->n_stages], err);
		p->n_stages++;
	}
	if (rc)
		pretokenizer_free(p);
	else
		*out = p;
	return rc;
}

void pretokenizer_free(struct pretokenizer *p)
{
	for (size_t i = 0; p && i < p->n_stages; i++)
		pcre2_code_free(p->codes[i]);
	free(p);
}

struct matcher {
	pcre2_match_context *context;
	pcre2_match_data *data;
};

static int matcher_init(struct matcher *m, struct err *err)
{
	m->context = pcre2_match_context_create(NULL);
	m->data = pcre2_match_data_create(1, NULL);
	if (!m->context || !m->data)
		return err_set(err, E_MEMORY, "no memory for a pre-tokenizer");
	pcre2_set_match_limit(m->context, MATCH_LIMIT);
	pcre2_set_heap_limit(m->context, HEAP_KIB);
	return 0;
}

static void matcher_free(struct matcher *m)
{
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->context);
}

/* Cuts text[from, to) at the matches of `code`; offsets in `out` count from the whole text. */
static int cut_by_pattern(const pcre2_code *code, struct matcher *m, struct bytes text, size_t from,
    size_t to, struct word_list *out, struct err *err)
{
	PCRE2_SPTR subject = text.p + from;
	size_t n = to - from, last = 0;
	int rc = 0;
	while (rc == 0 && last < n) {
		int hit = pcre2_match(code, subject, n, last, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
		    m->data, m->context);
		if (hit == PCRE2_ERROR_NOMATCH)
			break;
		if (hit < 0)
			return err_set(
			    err, E_LIMIT, "the text is too intricate to tokenize (%d)", hit);
		const size_t *span = pcre2_get_ovector_pointer(m->data);
		if (span[0] > last)
			rc = word_end(out, from + span[0], err);
		if (rc == 0)
			rc = word_end(out, from + span[1], err);
		last = span[1];
	}
	if (rc == 0 && last < n)
		rc = word_end(out, to, err);
	return rc;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int cut_digits(
    struct bytes text, size_t from, size_t to, struct word_list *out, struct err *err)
{
	int rc = 0;
	for (size_t i = from; i < to && rc == 0;) {
		if (!is_digit(text.p[i])) {
			i++;
			continue;
		}
		size_t end = i;
		while (end < to && is_digit(text.p[end]))
			end++;
		for (size_t at = end - (end - i) / 3 * 3; at < end && rc == 0; at += 3)
			if (at > from)
				rc = word_end(out, at, err);
		i = end;
	}
	return rc ? rc : word_end(out, to, err);
}

static int run_stage(const struct pretokenizer *p, size_t stage, struct matcher *m,
    struct bytes text, const struct word_list *in, struct word_list *out, struct err *err)
{
	int rc = 0;
	size_t from = 0;
	out->n = 0;
	for (size_t i = 0; i < in->n && rc == 0; i++) {
		if (p->codes[stage])
			rc = cut_by_pattern(p->codes[stage], m, text, from, in->ends[i], out, err);
		else
			rc = cut_digits(text, from, in->ends[i], out, err);
		from = in->ends[i];
	}
	return rc;
}

int pretokenizer_split(
    const struct pretokenizer *p, struct bytes utf8, struct word_list *out, struct err *err)
{
	struct word_list next = {0};
	struct matcher m;
	int rc = matcher_init(&m, err);
	out->n = 0;
	if (rc == 0 && utf8.n > 0)
		rc = word_end(out, utf8.n, err);
	for (size_t stage = 0; stage < p->n_stages && rc == 0; stage++) {
		rc = run_stage(p, stage, &m, utf8, out, &next, err);
		struct word_list swap = *out;
		*out = next;
		next = swap;
	}
	matcher_free(&m);
	word_list_free(&next);
	return rc;
}
