/* Tokens of a template. White space around tags is settled here: "-" strips all of it, a block tag
 * or comment takes the blanks before it on its line and the newline behind it along, "+" keeps
 * them. */
#include "engine/jinja_priv.h"

#include "base/encode.h"

#include <errno.h>
#include <stdlib.h>

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(uint8_t c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool looks_at(const struct jlexer *l, size_t at, const char *text)
{
	size_t n = strlen(text);
	return l->source.n - at >= n && memcmp(l->source.p + at, text, n) == 0;
}

static int fail(const struct jlexer *l, const char *what, struct err *err)
{
	return err_set(err, E_FORMAT, "template line %u: %s", l->line, what);
}

int jlexer_init(struct jlexer *l, struct arena *a, struct bytes source, struct err *err)
{
	if (source.n > JINJA_SOURCE_MAX)
		return err_set(err, E_TOO_LARGE, "a template of %zu bytes", source.n);
	uint8_t *copy = arena_alloc(a, source.n + 1);
	if (!copy)
		return err_set(err, E_MEMORY, "no memory for a template");
	size_t n = 0;
	for (size_t i = 0; i < source.n; i++) {
		bool cr = source.p[i] == '\r';
		if (cr && i + 1 < source.n && source.p[i + 1] == '\n')
			continue;
		copy[n++] = cr ? '\n' : source.p[i];
	}
	if (n && copy[n - 1] == '\n')
		n--;
	*l =
	    (struct jlexer){.arena = a, .source = bytes_of(copy, n), .line = 1, .line_start = true};
	return 0;
}

static void advance(struct jlexer *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->line += l->source.p[l->at + i] == '\n';
	l->at += n;
}

static bool at_tag(const struct jlexer *l, size_t at)
{
	return looks_at(l, at, "{{") || looks_at(l, at, "{%") || looks_at(l, at, "{#");
}

/* Where the text from `from` ends once a tag at `end` has taken its white space. */
static size_t trim_before_tag(const struct jlexer *l, size_t from, size_t end, bool line_start)
{
	uint8_t kind = l->source.p[end + 1],
		mark = end + 2 < l->source.n ? l->source.p[end + 2] : 0;
	size_t to = end;
	if (mark == '-') {
		while (to > from && is_space(l->source.p[to - 1]))
			to--;
		return to;
	}
	if (kind == '{' || mark == '+')
		return end;
	while (to > from && l->source.p[to - 1] != '\n' && is_space(l->source.p[to - 1]))
		to--;
	bool whole_line = to > from ? l->source.p[to - 1] == '\n' : line_start;
	return whole_line ? to : end;
}

/* White space after a tag that ended with `mark`; a newline is only taken by blocks and comments.
 */
static void after_tag(struct jlexer *l, uint8_t mark, bool takes_newline)
{
	l->strip_next = mark == '-';
	l->line_start = false;
	if (takes_newline && mark != '-' && mark != '+' && looks_at(l, l->at, "\n")) {
		advance(l, 1);
		l->line_start = true;
	}
}

static int skip_comment(struct jlexer *l, struct err *err)
{
	const uint8_t *from = l->source.p + l->at + 2;
	const uint8_t *end = memmem(from, l->source.n - l->at - 2, "#}", 2);
	if (!end)
		return fail(l, "a comment does not end", err);
	uint8_t mark = end > from ? end[-1] : 0;
	advance(l, (size_t)(end + 2 - (l->source.p + l->at)));
	after_tag(l, mark, true);
	return 0;
}

static void begin_tag(struct jlexer *l, struct jtoken *out)
{
	l->in_tag = true;
	l->tag_is_block = l->source.p[l->at + 1] == '%';
	out->kind = l->tag_is_block ? T_BLOCK_BEGIN : T_OUTPUT_BEGIN;
	out->line = l->line;
	advance(l, 2);
	if (looks_at(l, l->at, "-") || looks_at(l, l->at, "+"))
		advance(l, 1);
}

/* Text up to the next tag, or that tag when there is none; comments vanish. */
static int next_outside(struct jlexer *l, struct jtoken *out, struct err *err)
{
	for (;;) {
		while (l->strip_next && l->at < l->source.n && is_space(l->source.p[l->at]))
			advance(l, 1);
		l->strip_next = false;
		size_t end = l->at;
		while (end < l->source.n && !at_tag(l, end))
			end++;
		bool tag = end < l->source.n;
		size_t to = tag ? trim_before_tag(l, l->at, end, l->line_start) : end;
		*out = (struct jtoken){
		    T_TEXT, bytes_of(l->source.p + l->at, to - l->at), {0}, l->line};
		bool empty = to == l->at;
		advance(l, end - l->at);
		l->line_start = false;
		if (!empty)
			return 0;
		if (!tag) {
			out->kind = T_END;
			return 0;
		}
		if (!looks_at(l, l->at, "{#")) {
			begin_tag(l, out);
			return 0;
		}
		int rc = skip_comment(l, err);
		if (rc)
			return rc;
	}
}

static bool end_of_tag(struct jlexer *l, struct jtoken *out)
{
	if (l->nested)
		return false;
	uint8_t mark = l->at < l->source.n ? l->source.p[l->at] : 0;
	size_t skip = mark == '-' || mark == '+';
	if (!looks_at(l, l->at + skip, l->tag_is_block ? "%}" : "}}"))
		return false;
	out->kind = l->tag_is_block ? T_BLOCK_END : T_OUTPUT_END;
	advance(l, skip + 2);
	l->in_tag = false;
	after_tag(l, skip ? mark : 0, l->tag_is_block);
	return true;
}

static int hex_value(const struct jlexer *l, size_t at, size_t digits, uint32_t *out)
{
	*out = 0;
	for (size_t i = 0; i < digits; i++) {
		uint8_t c = at + i < l->source.n ? l->source.p[at + i] : 0;
		if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'f'))
			return -1;
		*out = *out << 4 | (uint32_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return 0;
}

/* The escape at the backslash: bytes used; its text in `to`, length in *n. Unknown ones stay. */
static size_t unescape(const struct jlexer *l, size_t at, uint8_t *to, size_t *n)
{
	static const char NAMES[] = "ntrabfv\\'\"", VALUES[] = "\n\t\r\a\b\f\v\\'\"";
	uint8_t c = at + 1 < l->source.n ? l->source.p[at + 1] : 0;
	const char *known = c ? strchr(NAMES, c) : NULL;
	uint32_t cp;
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	*n = 1;
	if (known) {
		to[0] = (uint8_t)VALUES[known - NAMES];
		return 2;
	}
	if (c == '\n') {
		*n = 0;
		return 2;
	}
	if (digits && hex_value(l, at + 2, digits, &cp) == 0) {
		char utf8[4];
		*n = utf8_encode(cp, utf8);
		memcpy(to, utf8, *n);
		if (*n)
			return 2 + digits;
	}
	*n = 1;
	to[0] = '\\';
	return 1;
}

static int lex_string(struct jlexer *l, struct jtoken *out, struct err *err)
{
	uint8_t quote = l->source.p[l->at];
	size_t end = l->at + 1;
	while (end < l->source.n && l->source.p[end] != quote)
		end += l->source.p[end] == '\\' ? 2 : 1;
	if (end >= l->source.n)
		return fail(l, "a string does not end", err);
	uint8_t *text = arena_alloc(l->arena, end - l->at);
	if (!text)
		return err_set(err, E_MEMORY, "no memory for a template");
	size_t n = 0;
	for (size_t i = l->at + 1; i < end;) {
		size_t more = 1;
		if (l->source.p[i] == '\\') {
			i += unescape(l, i, text + n, &more);
		} else {
			text[n] = l->source.p[i++];
		}
		n += more;
	}
	out->kind = T_STRING;
	out->text = bytes_of(text, n);
	advance(l, end + 1 - l->at);
	return 0;
}

static size_t digits_at(const struct jlexer *l, size_t at)
{
	size_t n = 0;
	while (
	    at + n < l->source.n && (is_digit(l->source.p[at + n]) || l->source.p[at + n] == '_'))
		n++;
	return n;
}

static int lex_number(struct jlexer *l, struct jtoken *out, struct err *err)
{
	size_t from = l->at, at = from + digits_at(l, from);
	bool real = false;
	if (looks_at(l, at, ".") && digits_at(l, at + 1)) {
		real = true;
		at += 1 + digits_at(l, at + 1);
	}
	if (looks_at(l, at, "e") || looks_at(l, at, "E")) {
		size_t sign = looks_at(l, at + 1, "-") || looks_at(l, at + 1, "+");
		size_t n = digits_at(l, at + 1 + sign);
		real = real || n;
		at += n ? 1 + sign + n : 0;
	}
	char text[64], *p = text;
	for (size_t i = from; i < at; i++) {
		if (l->source.p[i] == '_')
			continue;
		if (p == text + sizeof text - 1)
			return fail(l, "a number is too long", err);
		*p++ = (char)l->source.p[i];
	}
	*p = '\0';
	errno = 0;
	out->kind = real ? T_FLOAT : T_INT;
	if (real)
		out->value = j_float(strtod(text, NULL));
	else
		out->value = j_int(strtoll(text, NULL, 10));
	if (errno)
		return fail(l, "a number is too large", err);
	advance(l, at - from);
	return 0;
}

static int lex_operator(struct jlexer *l, struct jtoken *out, struct err *err)
{
	static const char *const OPERATORS[] = {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*",
	    "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")", "[", "]", "{", "}"};
	for (size_t i = 0; i < sizeof OPERATORS / sizeof OPERATORS[0]; i++) {
		if (!looks_at(l, l->at, OPERATORS[i]))
			continue;
		out->kind = T_OP;
		out->text = bytes_str(OPERATORS[i]);
		uint8_t c = out->text.p[0];
		if (c == '(' || c == '[' || c == '{')
			l->nested++;
		if ((c == ')' || c == ']' || c == '}') && l->nested-- == 0)
			return fail(l, "a bracket closes that was not open", err);
		advance(l, out->text.n);
		return 0;
	}
	return fail(l, "an unexpected character", err);
}

int jlexer_next(struct jlexer *l, struct jtoken *out, struct err *err)
{
	*out = (struct jtoken){.line = l->line};
	if (!l->in_tag)
		return next_outside(l, out, err);
	while (l->at < l->source.n && is_space(l->source.p[l->at]))
		advance(l, 1);
	out->line = l->line;
	if (l->at == l->source.n)
		return fail(l, "a tag does not end", err);
	if (end_of_tag(l, out))
		return 0;
	uint8_t c = l->source.p[l->at];
	if (c == '"' || c == '\'')
		return lex_string(l, out, err);
	if (is_digit(c))
		return lex_number(l, out, err);
	if (!is_word(c))
		return lex_operator(l, out, err);
	size_t n = 0;
	while (l->at + n < l->source.n &&
	       (is_word(l->source.p[l->at + n]) || is_digit(l->source.p[l->at + n])))
		n++;
	out->kind = T_NAME;
	out->text = bytes_of(l->source.p + l->at, n);
	advance(l, n);
	return 0;
}
