/* Making nodes: see grammar_priv.h. What JSON itself consists of is here. */
#include "engine/grammar_priv.h"

#include <stdio.h>
#include <stdlib.h>

const struct grammar_alphabet GRAMMAR_ALL_BYTES = {.has = {[0 ... 255] = true}};

uint32_t build_fail(struct builder *b, int code, const char *fmt, ...)
{
	if (b->rc)
		return G_DEAD;
	char text[ERR_TEXT_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	b->rc = err_set_param(b->err, code, b->path ? b->path : "", "%s", text);
	return G_DEAD;
}

uint32_t build_refuse(struct builder *b, const char *keyword, const char *why)
{
	return build_fail(b, E_UNSUPPORTED, "'%s' %s", keyword, why);
}

/* Room for one more in an array that doubles; false when failed. */
static bool grow(struct builder *b, void **p, size_t *cap, size_t n, size_t size, size_t max)
{
	if (n < *cap)
		return true;
	if (n >= max) {
		build_fail(b, E_TOO_LARGE, "the schema is too large to compile");
		return false;
	}
	size_t more = *cap ? 2 * *cap : 256;
	void *bigger = realloc(*p, more * size);
	if (!bigger) {
		build_fail(b, E_MEMORY, "no memory for the grammar");
		return false;
	}
	*p = bigger;
	*cap = more;
	return true;
}

uint32_t build_node(struct builder *b, enum node_kind kind, uint32_t x, uint32_t y)
{
	struct grammar *g = b->g;
	if (!built_ok(b) || !grow(b, (void **)&g->nodes, &b->cap_nodes, g->n_nodes,
				sizeof *g->nodes, GRAMMAR_NODES_MAX))
		return G_DEAD;
	g->nodes[g->n_nodes] = (struct gnode){.kind = (uint8_t)kind, .a = x, .b = y};
	return (uint32_t)g->n_nodes++;
}

#define SETS_MAX 4096u

static uint32_t set_number(struct builder *b, const struct byte_set *set)
{
	struct grammar *g = b->g;
	for (size_t i = g->n_sets; i-- > 0;)
		if (memcmp(&g->sets[i], set, sizeof *set) == 0)
			return (uint32_t)i;
	if (!grow(b, (void **)&g->sets, &b->cap_sets, g->n_sets, sizeof *g->sets, SETS_MAX))
		return 0;
	g->sets[g->n_sets] = *set;
	return (uint32_t)g->n_sets++;
}

uint32_t build_set(struct builder *b, const struct byte_set *set, uint32_t next)
{
	static const struct byte_set none;
	if (next == G_DEAD || !built_ok(b) || memcmp(set, &none, sizeof none) == 0)
		return G_DEAD;
	return build_node(b, NODE_BYTES, set_number(b, set), next);
}

static void set_range(struct byte_set *s, unsigned low, unsigned high)
{
	for (unsigned c = low; c <= high; c++)
		s->bits[c >> 5] |= 1u << (c & 31);
}

uint32_t build_range(struct builder *b, uint8_t low, uint8_t high, uint32_t next)
{
	struct byte_set s = {0};
	set_range(&s, low, high);
	return build_set(b, &s, next);
}

uint32_t build_byte(struct builder *b, char c, uint32_t next)
{
	return build_range(b, (uint8_t)c, (uint8_t)c, next);
}

uint32_t build_any_of(struct builder *b, const char *bytes, uint32_t next)
{
	struct byte_set s = {0};
	for (; *bytes; bytes++)
		set_range(&s, (uint8_t)*bytes, (uint8_t)*bytes);
	return build_set(b, &s, next);
}

uint32_t build_literal(struct builder *b, struct bytes text, uint32_t next)
{
	for (size_t i = text.n; i-- > 0;)
		next = build_byte(b, (char)text.p[i], next);
	return next;
}

uint32_t build_split(struct builder *b, uint32_t x, uint32_t y)
{
	if (x == G_DEAD || x == y)
		return y;
	return y == G_DEAD ? x : build_node(b, NODE_SPLIT, x, y);
}

uint32_t build_call(struct builder *b, uint32_t rule, uint32_t next)
{
	return next == G_DEAD ? G_DEAD : build_node(b, NODE_CALL, rule, next);
}

uint32_t build_ws(struct builder *b, uint32_t next)
{
	return build_call(b, RULE_WS, next);
}

uint32_t build_digits(struct builder *b, unsigned low, unsigned high, uint32_t next)
{
	uint32_t at = next;
	for (unsigned i = high; i-- > 0;) {
		at = build_range(b, '0', '9', at);
		if (i >= low)
			at = build_split(b, at, next);
	}
	return at;
}

/* ---- UTF-8 --------------------------------------------------------------------------------- */

/* Code points low … high, all of the same length in UTF-8 (`n` bytes). */
static uint32_t build_utf8(
    struct builder *b, const uint8_t *low, const uint8_t *high, size_t n, uint32_t next)
{
	if (n == 0)
		return next;
	if (low[0] == high[0])
		return build_range(
		    b, low[0], low[0], build_utf8(b, low + 1, high + 1, n - 1, next));
	static const uint8_t least[3] = {0x80, 0x80, 0x80}, most[3] = {0xbf, 0xbf, 0xbf};
	unsigned first = low[0], last = high[0];
	uint32_t at = G_DEAD;
	if (memcmp(low + 1, least, n - 1) != 0) {
		at = build_range(b, low[0], low[0], build_utf8(b, low + 1, most, n - 1, next));
		first++;
	}
	if (memcmp(high + 1, most, n - 1) != 0) {
		at = build_split(b, at,
		    build_range(b, high[0], high[0], build_utf8(b, least, high + 1, n - 1, next)));
		last--;
	}
	if (first > last)
		return at;
	return build_split(b, at,
	    build_range(b, (uint8_t)first, (uint8_t)last, build_utf8(b, least, most, n - 1, next)));
}

static size_t put_utf8(uint32_t cp, uint8_t out[4])
{
	if (cp < 0x80) {
		out[0] = (uint8_t)cp;
		return 1;
	}
	size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	for (size_t i = n; i-- > 1; cp >>= 6)
		out[i] = (uint8_t)(0x80 | (cp & 0x3f));
	static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
	out[0] = (uint8_t)(lead[n] | cp);
	return n;
}

static uint32_t build_control(struct builder *b, uint32_t cp, uint32_t next)
{
	static const char letters[32] = {[8] = 'b', [9] = 't', [10] = 'n', [12] = 'f', [13] = 'r'};
	char text[8];
	if (letters[cp])
		snprintf(text, sizeof text, "\\%c", letters[cp]);
	else
		snprintf(text, sizeof text, "\\u%04x", (unsigned)cp);
	return build_literal(b, bytes_str(text), next);
}

/* What JSON wants escaped is escaped, NUL left out: readers refuse it. */
static uint32_t build_ascii(struct builder *b, uint32_t low, uint32_t high, uint32_t next)
{
	struct byte_set plain = {0};
	uint32_t at = G_DEAD;
	for (uint32_t cp = low ? low : 1; cp <= high && cp < 0x80; cp++) {
		char escaped[3] = {'\\', (char)cp, '\0'};
		if (cp < 0x20)
			at = build_split(b, at, build_control(b, cp, next));
		else if (cp == '"' || cp == '\\')
			at = build_split(b, at, build_literal(b, bytes_str(escaped), next));
		else
			set_range(&plain, cp, cp);
	}
	return build_split(b, at, build_set(b, &plain, next));
}

uint32_t build_code_points(struct builder *b, uint32_t low, uint32_t high, uint32_t next)
{
	/* Runs of equal length in UTF-8, the surrogates left out. */
	static const uint32_t runs[][2] = {
	    {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, 0x10ffff}};
	uint32_t at = low < 0x80 ? build_ascii(b, low, high, next) : G_DEAD;
	for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
		uint32_t from = low > runs[i][0] ? low : runs[i][0];
		uint32_t to = high < runs[i][1] ? high : runs[i][1];
		if (from > to)
			continue;
		uint8_t first[4], last[4];
		size_t n = put_utf8(from, first);
		put_utf8(to, last);
		at = build_split(b, at, build_utf8(b, first, last, n, next));
	}
	return at;
}

/* ---- strings ------------------------------------------------------------------------------- */

#define HEX "0123456789abcdefABCDEF"

/* After "\u": no NUL, and surrogates only in pairs. */
static uint32_t build_unicode_escape(struct builder *b, uint32_t next)
{
	uint32_t h1 = build_any_of(b, HEX, next), h2 = build_any_of(b, HEX, h1),
		 h3 = build_any_of(b, HEX, h2);
	uint32_t low = build_literal(
	    b, bytes_str("\\u"), build_any_of(b, "dD", build_any_of(b, "cdefCDEF", h2)));
	uint32_t pair = build_any_of(b, "89abAB", build_any_of(b, HEX, build_any_of(b, HEX, low)));
	uint32_t d = build_any_of(b, "dD", build_split(b, pair, build_any_of(b, "01234567", h2)));
	uint32_t zeros = build_byte(b, '0', build_any_of(b, HEX + 1, next));
	uint32_t x3 = build_split(b, zeros, build_any_of(b, HEX + 1, h1));
	uint32_t x2 = build_split(b, build_byte(b, '0', x3), build_any_of(b, HEX + 1, h2));
	uint32_t at = build_split(b, build_byte(b, '0', x2), d);
	return build_split(b, at, build_any_of(b, "123456789abcefABCEF", h3));
}

static uint32_t build_unescaped(struct builder *b, uint32_t next)
{
	struct byte_set plain = {0};
	set_range(&plain, 0x20, 0x7f);
	plain.bits['"' >> 5] &= ~(1u << ('"' & 31));
	plain.bits['\\' >> 5] &= ~(1u << ('\\' & 31));
	return build_split(
	    b, build_set(b, &plain, next), build_code_points(b, 0x80, 0x10ffff, next));
}

uint32_t build_char(struct builder *b, uint32_t next)
{
	uint32_t escaped = build_split(b, build_any_of(b, "\"\\/bfnrt", next),
	    build_byte(b, 'u', build_unicode_escape(b, next)));
	return build_split(b, build_unescaped(b, next), build_byte(b, '\\', escaped));
}

static uint32_t build_star(struct builder *b, bool escapes, uint32_t next)
{
	uint32_t loop = build_node(b, NODE_SPLIT, G_DEAD, next);
	uint32_t body = escapes ? build_char(b, loop) : build_unescaped(b, loop);
	if (built_ok(b))
		b->g->nodes[loop].a = body;
	return loop;
}

static uint32_t build_any_string(struct builder *b, uint32_t next)
{
	return build_byte(b, '"', build_star(b, true, build_byte(b, '"', next)));
}

static int order_names(const void *x, const void *y)
{
	const struct bytes *p = x, *q = y;
	int c = memcmp(p->p, q->p, p->n < q->n ? p->n : q->n);
	return c ? c : (p->n > q->n) - (p->n < q->n);
}

/* Strings that begin as all of names[0, n) do for `at` bytes and become none of them. A name that
 * ends here must go on; a byte that no name has next sets us free. */
static uint32_t build_unlike(struct builder *b, const struct bytes *names, size_t n, size_t at,
    uint32_t free, uint32_t close)
{
	bool ends = n && names[0].n == at;
	size_t i = ends ? 1 : 0;
	while (i < n && names[i].n == at)
		i++;
	struct byte_set others = {0};
	set_range(&others, 0x20, 0x7f);
	others.bits['"' >> 5] &= ~(1u << ('"' & 31));
	others.bits['\\' >> 5] &= ~(1u << ('\\' & 31));
	uint32_t out = ends ? G_DEAD : close;
	while (i < n && built_ok(b)) {
		uint8_t byte = names[i].p[at];
		size_t same = i;
		while (same < n && names[same].p[at] == byte)
			same++;
		others.bits[byte >> 5] &= ~(1u << (byte & 31));
		/* Beyond ASCII, and for what would be escaped, the key is simply not offered. */
		if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\')
			out = build_split(b, out,
			    build_range(b, byte, byte,
				build_unlike(b, names + i, same - i, at + 1, free, close)));
		i = same;
	}
	return build_split(b, out, build_set(b, &others, free));
}

#define KEY_MAX 256u

uint32_t build_other_key(struct builder *b, const struct bytes *names, size_t n, uint32_t next)
{
	uint32_t close = build_byte(b, '"', next);
	uint32_t free_part = build_star(b, false, close);
	struct bytes *sorted = calloc(n + 1, sizeof *sorted);
	size_t kept = 0;
	if (!sorted)
		return build_fail(b, E_MEMORY, "no memory for the grammar");
	for (size_t i = 0; i < n; i++)
		if (names[i].n <= KEY_MAX)
			sorted[kept++] = names[i];
	uint32_t at = G_DEAD;
	if (kept < n)
		build_fail(b, E_UNSUPPORTED,
		    "a property with a name of more than %u bytes beside additional ones", KEY_MAX);
	qsort(sorted, kept, sizeof *sorted, order_names);
	if (built_ok(b))
		at = build_byte(b, '"', build_unlike(b, sorted, kept, 0, free_part, close));
	free(sorted);
	return at;
}

/* ---- free text ----------------------------------------------------------------------------- */

#define MARK_MAX 64

/* Knuth, Morris and Pratt: after the first i bytes of the mark and then `byte`, how many of its
 * bytes the text now ends in. */
static size_t fall_back(struct bytes mark, size_t i, uint8_t byte)
{
	for (size_t n = i + 1; n > 0; n--)
		if (mark.p[n - 1] == byte && memcmp(mark.p, mark.p + i - (n - 1), n - 1) == 0)
			return n;
	return 0;
}

uint32_t build_until(struct builder *b, struct bytes mark, uint32_t next)
{
	uint32_t at[MARK_MAX + 1];
	if (mark.n == 0 || mark.n > MARK_MAX)
		return build_fail(b, E_INVALID, "a mark of %zu bytes", mark.n);
	for (size_t i = 0; i < mark.n; i++)
		at[i] = build_node(b, NODE_SPLIT, G_DEAD, G_RETURN);
	at[mark.n] = next;
	for (size_t i = 0; i < mark.n && built_ok(b); i++) {
		uint32_t moves = G_DEAD;
		for (size_t to = 0; to <= i + 1; to++) {
			struct byte_set s = {0};
			for (unsigned c = 0; c < 256; c++)
				if (fall_back(mark, i, (uint8_t)c) == to)
					set_range(&s, c, c);
			moves = build_split(b, moves, build_set(b, &s, at[to]));
		}
		b->g->nodes[at[i]].a = moves;
	}
	return at[0];
}

uint32_t build_plain_text(struct builder *b)
{
	struct byte_set first = {0};
	set_range(&first, 0, 255);
	for (const char *c = " \t\r\n[{"; *c; c++)
		first.bits[(uint8_t)*c >> 5] &= ~(1u << (*c & 31));
	uint32_t any = build_node(b, NODE_SPLIT, G_DEAD, G_RETURN);
	uint32_t more = build_range(b, 0, 255, any);
	uint32_t space = build_node(b, NODE_SPLIT, G_DEAD, build_set(b, &first, any));
	uint32_t again = build_any_of(b, " \t\r\n", space);
	if (built_ok(b)) {
		b->g->nodes[any].a = more;
		b->g->nodes[space].a = again;
	}
	return space;
}

/* ---- the rules of JSON --------------------------------------------------------------------- */

/* Nothing, one space, or a new line and its indentation. */
static uint32_t ws_rule(struct builder *b)
{
	uint32_t spaces = G_RETURN, tabs = G_RETURN;
	for (int i = 0; i < 20; i++)
		spaces = build_split(b, build_byte(b, ' ', spaces), G_RETURN);
	for (int i = 0; i < 8; i++)
		tabs = build_split(b, build_byte(b, '\t', tabs), G_RETURN);
	uint32_t line = build_byte(b, '\n', build_split(b, spaces, tabs));
	return build_split(b, build_split(b, line, build_byte(b, ' ', G_RETURN)), G_RETURN);
}

/* At most 15 digits and exponents of two: every reader's numbers hold these. */
static uint32_t build_integer_part(struct builder *b, uint32_t next)
{
	uint32_t digits = build_split(
	    b, build_byte(b, '0', next), build_range(b, '1', '9', build_digits(b, 0, 14, next)));
	return build_split(b, build_byte(b, '-', digits), digits);
}

static uint32_t number_rule(struct builder *b)
{
	uint32_t power = build_digits(b, 1, 2, G_RETURN);
	uint32_t exponent =
	    build_any_of(b, "eE", build_split(b, build_any_of(b, "+-", power), power));
	uint32_t tail = build_split(b, exponent, G_RETURN);
	uint32_t fraction = build_byte(b, '.', build_digits(b, 1, 15, tail));
	return build_integer_part(b, build_split(b, fraction, tail));
}

/* open (element (, element)*)? close: any object or array. */
static uint32_t build_list(struct builder *b, char open, bool pairs, char close)
{
	uint32_t again = build_node(b, NODE_SPLIT, G_DEAD, G_DEAD);
	uint32_t end = build_byte(b, close, G_RETURN);
	uint32_t value = build_call(b, RULE_ANY, again);
	uint32_t spaced = build_split(b, build_byte(b, ' ', value), value);
	uint32_t element = pairs ? build_call(b, RULE_STRING, build_byte(b, ':', spaced)) : value;
	if (built_ok(b)) {
		uint32_t comma = build_byte(b, ',', build_ws(b, element));
		uint32_t last = build_ws(b, end);
		b->g->nodes[again].a = comma;
		b->g->nodes[again].b = last;
	}
	return build_byte(b, open, build_ws(b, build_split(b, element, end)));
}

static uint32_t any_rule(struct builder *b)
{
	static const char *const words[] = {"true", "false", "null"};
	uint32_t at = G_DEAD;
	for (size_t i = 0; i < 3; i++)
		at = build_split(b, at, build_literal(b, bytes_str(words[i]), G_RETURN));
	at = build_split(b, at, build_call(b, RULE_NUMBER, G_RETURN));
	at = build_split(b, at, build_call(b, RULE_STRING, G_RETURN));
	at = build_split(b, at, build_call(b, RULE_ARRAY, G_RETURN));
	return build_split(b, at, build_call(b, RULE_OBJECT, G_RETURN));
}

void build_builtin_rules(struct builder *b)
{
	uint32_t *start = b->g->starts;
	start[RULE_WS] = ws_rule(b);
	start[RULE_CHAR] = build_char(b, G_RETURN);
	start[RULE_STRING] = build_any_string(b, G_RETURN);
	start[RULE_NUMBER] = number_rule(b);
	start[RULE_INTEGER] = build_integer_part(b, G_RETURN);
	start[RULE_ANY] = any_rule(b);
	start[RULE_OBJECT] = build_list(b, '{', true, '}');
	start[RULE_ARRAY] = build_list(b, '[', false, ']');
}
