/* The part of regular expressions that patterns in schemas use, as text of a JSON string.
 *
 * The expression becomes an automaton over code points (Thompson's construction); each of its
 * states, together with the number of characters written so far where that matters, becomes nodes.
 * Anchors stand at the ends of the whole expression, or of its top-level alternatives, only; a
 * pattern without them may match anywhere in the string. SPEC: ECMA-262 regular expressions,
 * without lookaround, back references, word boundaries and Unicode properties. */
#include "engine/grammar_priv.h"

#include "base/encode.h"

#include <stdlib.h>

#define STATES_MAX 8192
#define RANGES_MAX 64 /* of one class */
#define NEST_MAX   32
#define TOP        0x10ffffu

struct range {
	uint32_t low, high;
};

struct class
{
	struct range r[RANGES_MAX];
	size_t n;
};

enum state_kind {
	STATE_CLASS, /* a code point of a class, then x */
	STATE_SPLIT, /* x or y */
	STATE_MATCH
};

struct state {
	enum state_kind kind;
	uint32_t x, y;
	struct range *ranges; /* owned */
	size_t n_ranges;
};

#define NO_STATE UINT32_MAX

struct regex {
	struct builder *b;
	struct bytes text;
	size_t at;
	unsigned nest;
	struct state *states;
	size_t n, cap;
};

/* A piece of automaton: enters at `in`; `out` is a split whose x is still to be set. */
struct piece {
	uint32_t in, out;
};

static void regex_fail(struct regex *r, const char *what)
{
	build_fail(r->b, E_UNSUPPORTED, "'pattern': %s at byte %zu is not supported", what, r->at);
}

static uint32_t new_state(struct regex *r, enum state_kind kind, uint32_t x, uint32_t y)
{
	if (r->n == r->cap && built_ok(r->b)) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		struct state *more =
		    cap <= STATES_MAX ? realloc(r->states, cap * sizeof *more) : NULL;
		if (more) {
			r->states = more;
			r->cap = cap;
		} else {
			build_fail(r->b, cap > STATES_MAX ? E_TOO_LARGE : E_MEMORY,
			    "'pattern' is too large to compile");
		}
	}
	if (!built_ok(r->b))
		return NO_STATE;
	r->states[r->n] = (struct state){.kind = kind, .x = x, .y = y};
	return (uint32_t)r->n++;
}

static void regex_free(struct regex *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->states[i].ranges);
	free(r->states);
}

/* ---- pieces -------------------------------------------------------------------------------- */

static void link_to(struct regex *r, uint32_t out, uint32_t to)
{
	if (built_ok(r->b))
		r->states[out].x = to;
}

static struct piece empty_piece(struct regex *r)
{
	uint32_t s = new_state(r, STATE_SPLIT, NO_STATE, NO_STATE);
	return (struct piece){s, s};
}

static struct piece class_piece(struct regex *r, const struct class *c)
{
	struct piece end = empty_piece(r);
	uint32_t s = new_state(r, STATE_CLASS, end.in, NO_STATE);
	if (!built_ok(r->b))
		return end;
	struct state *state = &r->states[s];
	state->ranges = malloc((c->n + 1) * sizeof *state->ranges);
	if (!state->ranges) {
		build_fail(r->b, E_MEMORY, "no memory for the grammar");
		return end;
	}
	memcpy(state->ranges, c->r, c->n * sizeof *state->ranges);
	state->n_ranges = c->n;
	return (struct piece){s, end.out};
}

static struct piece then(struct regex *r, struct piece a, struct piece b)
{
	link_to(r, a.out, b.in);
	return (struct piece){a.in, b.out};
}

static struct piece either(struct regex *r, struct piece a, struct piece b)
{
	struct piece end = empty_piece(r);
	uint32_t s = new_state(r, STATE_SPLIT, a.in, b.in);
	link_to(r, a.out, end.in);
	link_to(r, b.out, end.in);
	return (struct piece){s, end.out};
}

static struct piece star(struct regex *r, struct piece a)
{
	struct piece end = empty_piece(r);
	uint32_t s = new_state(r, STATE_SPLIT, a.in, end.in);
	link_to(r, a.out, s);
	return (struct piece){s, end.out};
}

/* ---- classes ------------------------------------------------------------------------------- */

static void class_add(struct regex *r, struct class *c, uint32_t low, uint32_t high)
{
	if (low > high || c->n == RANGES_MAX)
		regex_fail(r, low > high ? "a range in reverse" : "a class of so many ranges");
	else
		c->r[c->n++] = (struct range){low, high};
}

static int order_ranges(const void *x, const void *y)
{
	const struct range *a = x, *c = y;
	return (a->low > c->low) - (a->low < c->low);
}

static void class_invert(struct regex *r, struct class *c)
{
	struct class out = {.n = 0};
	uint32_t next = 0;
	qsort(c->r, c->n, sizeof c->r[0], order_ranges);
	for (size_t i = 0; i < c->n; i++) {
		if (c->r[i].low > next)
			class_add(r, &out, next, c->r[i].low - 1);
		if (c->r[i].high + 1 > next)
			next = c->r[i].high + 1;
	}
	if (next <= TOP)
		class_add(r, &out, next, TOP);
	*c = out;
}

static void class_add_all(struct regex *r, struct class *c, const struct class *more)
{
	for (size_t i = 0; i < more->n; i++)
		class_add(r, c, more->r[i].low, more->r[i].high);
}

/* \d \w \s and their inverses; false for any other letter. */
static bool add_named(struct regex *r, struct class *c, uint8_t letter)
{
	static const struct range digits[] = {{'0', '9'}};
	static const struct range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
	static const struct range spaces[] = {{9, 13}, {' ', ' '}, {0xa0, 0xa0}, {0x1680, 0x1680},
	    {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
	    {0x3000, 0x3000}, {0xfeff, 0xfeff}};
	struct class named = {.n = 0};
	uint8_t lower = letter | 0x20;
	if (lower != 'd' && lower != 'w' && lower != 's')
		return false;
	const struct range *from = lower == 'd' ? digits : lower == 'w' ? words : spaces;
	/* Readers of \s differ beyond ASCII: those spaces are neither \s nor \S here. */
	size_t all = sizeof spaces / sizeof *spaces;
	size_t n = lower == 'd' ? 1 : lower == 'w' ? 4 : lower == letter ? 2 : all;
	for (size_t i = 0; i < n; i++)
		class_add(r, &named, from[i].low, from[i].high);
	if (lower != letter)
		class_invert(r, &named);
	class_add_all(r, c, &named);
	return true;
}

static uint32_t take_hex(struct regex *r, size_t digits)
{
	uint8_t out[2] = {0};
	if (r->text.n - r->at < digits ||
	    hex_decode(bytes_of(r->text.p + r->at, digits), out, digits / 2)) {
		regex_fail(r, "such an escape");
		return 0;
	}
	r->at += digits;
	return digits == 2 ? out[0] : (uint32_t)out[0] << 8 | out[1];
}

/* After the backslash: one character. */
static uint32_t take_escape(struct regex *r)
{
	static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
	uint8_t c = r->at < r->text.n ? r->text.p[r->at++] : 0;
	const char *hit = c ? strchr(from, c) : NULL;
	if (hit)
		return (uint8_t)to[hit - from];
	if (c == 'x' || c == 'u')
		return take_hex(r, c == 'x' ? 2 : 4);
	bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
	if (letter || c >= 0x80 || c == 0)
		regex_fail(r, "such an escape");
	return c;
}

static uint32_t take_code_point(struct regex *r)
{
	uint32_t cp = 0;
	size_t n = utf8_decode(r->text.p + r->at, r->text.n - r->at, &cp);
	if (n == 0)
		regex_fail(r, "text that is no UTF-8");
	r->at += n ? n : 1;
	return cp;
}

/* One end of a range, or \d and its like (then true in *named). */
static uint32_t take_class_atom(struct regex *r, struct class *c, bool *named)
{
	*named = false;
	if (r->text.p[r->at] != '\\')
		return take_code_point(r);
	r->at++;
	if (r->at < r->text.n && add_named(r, c, r->text.p[r->at])) {
		r->at++;
		*named = true;
		return 0;
	}
	if (r->at < r->text.n && r->text.p[r->at] == 'b') {
		r->at++;
		return 8;
	}
	if (r->at < r->text.n && r->text.p[r->at] == '-') {
		r->at++;
		return '-';
	}
	return take_escape(r);
}

/* After "[". */
static void take_class(struct regex *r, struct class *c)
{
	bool invert = r->at < r->text.n && r->text.p[r->at] == '^', named, other;
	r->at += invert;
	while (built_ok(r->b) && r->at < r->text.n && r->text.p[r->at] != ']') {
		uint32_t low = take_class_atom(r, c, &named), high = low;
		bool range =
		    r->text.n - r->at > 1 && r->text.p[r->at] == '-' && r->text.p[r->at + 1] != ']';
		if (named)
			continue;
		if (range) {
			r->at++;
			high = take_class_atom(r, c, &other);
			if (other)
				regex_fail(r, "such a range");
		}
		class_add(r, c, low, high);
	}
	if (r->at >= r->text.n)
		regex_fail(r, "a class without an end");
	r->at++;
	if (invert)
		class_invert(r, c);
}

/* ---- the expression ------------------------------------------------------------------------ */

static struct piece take_choice(struct regex *r);

static struct piece take_group(struct regex *r)
{
	static const char *const kinds[] = {"?:", NULL};
	struct bytes rest = bytes_of(r->text.p + r->at, r->text.n - r->at);
	if (rest.n >= 2 && memcmp(rest.p, kinds[0], 2) == 0) {
		r->at += 2;
	} else if (rest.n >= 3 && memcmp(rest.p, "?<", 2) == 0 && rest.p[2] != '=' &&
		   rest.p[2] != '!') {
		const uint8_t *end = memchr(rest.p, '>', rest.n);
		r->at += end ? (size_t)(end - rest.p) + 1 : rest.n;
	} else if (rest.n && rest.p[0] == '?') {
		regex_fail(r, "a lookaround");
	}
	if (++r->nest > NEST_MAX)
		regex_fail(r, "nesting so deep");
	struct piece p = built_ok(r->b) ? take_choice(r) : empty_piece(r);
	r->nest--;
	if (r->at >= r->text.n || r->text.p[r->at] != ')')
		regex_fail(r, "a group without an end");
	r->at++;
	return p;
}

static struct piece take_atom(struct regex *r)
{
	struct class c = {.n = 0};
	uint8_t first = r->text.p[r->at];
	if (first == '(') {
		r->at++;
		return take_group(r);
	}
	if (first == '[') {
		r->at++;
		take_class(r, &c);
	} else if (first == '.') {
		static const struct range lines[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
		r->at++;
		for (size_t i = 0; i < 3; i++)
			class_add(r, &c, lines[i].low, lines[i].high);
		class_invert(r, &c);
	} else if (first == '\\') {
		r->at++;
		bool named = r->at < r->text.n && add_named(r, &c, r->text.p[r->at]);
		uint32_t cp = named ? 0 : take_escape(r);
		r->at += named;
		if (!named)
			class_add(r, &c, cp, cp);
	} else if (strchr("*+?{}^$", first)) {
		regex_fail(r, first == '^' || first == '$' ? "an anchor" : "such a repetition");
	} else {
		uint32_t cp = take_code_point(r);
		class_add(r, &c, cp, cp);
	}
	return class_piece(r, &c);
}

static unsigned take_number(struct regex *r, bool *there)
{
	unsigned n = 0;
	*there = false;
	while (r->at < r->text.n && r->text.p[r->at] >= '0' && r->text.p[r->at] <= '9') {
		n = n < 100000 ? 10 * n + (unsigned)(r->text.p[r->at] - '0') : n;
		r->at++;
		*there = true;
	}
	return n;
}

/* "{2}", "{2,}", "{2,5}", "*", "+", "?"; false when there is none. */
static bool take_repeat(struct regex *r, unsigned *min, unsigned *max)
{
	uint8_t c = r->at < r->text.n ? r->text.p[r->at] : 0;
	bool there;
	*min = c == '+';
	*max = c == '?' ? 1 : UINT32_MAX;
	if (c != '*' && c != '+' && c != '?' && c != '{')
		return false;
	r->at++;
	if (c == '{') {
		*min = *max = take_number(r, &there);
		if (!there)
			regex_fail(r, "such a repetition");
		if (r->at < r->text.n && r->text.p[r->at] == ',') {
			r->at++;
			*max = take_number(r, &there);
			*max = there ? *max : UINT32_MAX;
		}
		if (r->at >= r->text.n || r->text.p[r->at] != '}' || *min > *max)
			regex_fail(r, "such a repetition");
		r->at++;
	}
	if (r->at < r->text.n && r->text.p[r->at] == '?')
		r->at++; /* lazy: the same strings */
	return built_ok(r->b);
}

/* An atom and its repetition; the atom is read again for each copy but the first. */
static struct piece take_factor(struct regex *r)
{
	size_t start = r->at;
	struct piece p = take_atom(r);
	unsigned min, max;
	if (!built_ok(r->b) || !take_repeat(r, &min, &max))
		return p;
	size_t end = r->at;
	struct piece all = empty_piece(r);
	unsigned copies = max == UINT32_MAX ? min + 1 : max;
	for (unsigned i = 0; i < copies && built_ok(r->b); i++) {
		r->at = start;
		struct piece one = i == 0 ? p : take_atom(r);
		if (i >= min)
			one = max == UINT32_MAX ? star(r, one) : either(r, one, empty_piece(r));
		all = then(r, all, one);
	}
	r->at = end;
	return all;
}

static struct class everything(void)
{
	return (struct class){.r = {{0, TOP}}, .n = 1};
}

static bool at_end(const struct regex *r)
{
	return r->at >= r->text.n || r->text.p[r->at] == '|' || r->text.p[r->at] == ')';
}

/* One alternative. At the top its ends are anchored, or open to anything. */
static struct piece take_branch(struct regex *r)
{
	bool top = r->nest == 0;
	bool head = top && r->at < r->text.n && r->text.p[r->at] == '^', tail = false;
	struct class any = everything();
	r->at += head;
	struct piece p = empty_piece(r);
	if (top && !head)
		p = then(r, p, star(r, class_piece(r, &any)));
	while (built_ok(r->b) && !at_end(r)) {
		if (top && r->text.p[r->at] == '$') {
			r->at++;
			tail = true;
			if (!at_end(r))
				regex_fail(r, "an anchor in the middle");
			break;
		}
		p = then(r, p, take_factor(r));
	}
	if (top && !tail)
		p = then(r, p, star(r, class_piece(r, &any)));
	return p;
}

static struct piece take_choice(struct regex *r)
{
	struct piece p = take_branch(r);
	while (built_ok(r->b) && r->at < r->text.n && r->text.p[r->at] == '|') {
		r->at++;
		p = either(r, p, take_branch(r));
	}
	return p;
}

static uint32_t regex_read(struct regex *r)
{
	if (r->text.n > GRAMMAR_PATTERN_MAX) {
		build_fail(
		    r->b, E_TOO_LARGE, "'pattern' has more than %u bytes", GRAMMAR_PATTERN_MAX);
		return NO_STATE;
	}
	struct piece p = take_choice(r);
	if (built_ok(r->b) && r->at < r->text.n)
		regex_fail(r, "a bracket without its partner");
	link_to(r, p.out, new_state(r, STATE_MATCH, NO_STATE, NO_STATE));
	return p.in;
}

/* ---- to nodes ------------------------------------------------------------------------------ */

struct emission {
	struct regex *r;
	unsigned min, max, counts; /* counts: how many are told apart */
	uint32_t close;
	uint32_t *nodes; /* [state][count]; 0 is not made yet */
	uint32_t *todo;  /* made and not filled in */
	size_t n_todo;
};

/* Every (state, count) gets a split node first, filled in when its turn comes: no recursion. */
static uint32_t slot_of(struct emission *e, uint32_t state, unsigned count)
{
	size_t i = (size_t)state * e->counts + count;
	if (e->nodes[i] == 0 && built_ok(e->r->b)) {
		e->nodes[i] = build_node(e->r->b, NODE_SPLIT, G_DEAD, G_DEAD);
		if (built_ok(e->r->b))
			e->todo[e->n_todo++] = (uint32_t)i;
	}
	return e->nodes[i];
}

static void fill(struct emission *e, uint32_t state, unsigned count, uint32_t node)
{
	struct builder *b = e->r->b;
	const struct state *s = &e->r->states[state];
	uint32_t x = G_DEAD, y = G_DEAD;
	bool full = e->max != UINT32_MAX && count == e->max;
	unsigned next_count = count + 1 < e->counts ? count + 1 : count;
	switch (s->kind) {
	case STATE_MATCH:
		x = count >= e->min ? e->close : G_DEAD;
		break;
	case STATE_SPLIT:
		x = slot_of(e, s->x, count);
		y = s->y == NO_STATE ? G_DEAD : slot_of(e, s->y, count);
		break;
	case STATE_CLASS:
		for (size_t i = 0; i < s->n_ranges && !full && built_ok(b); i++)
			x = build_split(b, x,
			    build_code_points(b, s->ranges[i].low, s->ranges[i].high,
				slot_of(e, s->x, next_count)));
		break;
	}
	if (built_ok(b)) {
		b->g->nodes[node].a = x;
		b->g->nodes[node].b = y;
	}
}

static uint32_t emit_all(struct emission *e, uint32_t start)
{
	uint32_t entry = slot_of(e, start, 0);
	while (e->n_todo && built_ok(e->r->b)) {
		uint32_t i = e->todo[--e->n_todo];
		fill(e, i / e->counts, i % e->counts, e->nodes[i]);
	}
	return entry;
}

#define PRODUCT_MAX ((size_t)1 << 22) /* states times counts */

uint32_t build_pattern(
    struct builder *b, struct bytes pattern, unsigned min, unsigned max, uint32_t close)
{
	struct regex r = {.b = b, .text = pattern};
	uint32_t start = regex_read(&r), at = G_DEAD;
	struct emission e = {.r = &r, .min = min, .max = max, .close = close};
	e.counts = (max == UINT32_MAX ? min : max) + 1;
	if (built_ok(b) && r.n * e.counts > PRODUCT_MAX)
		build_fail(b, E_TOO_LARGE, "'pattern' and 'maxLength' are too large together");
	if (built_ok(b)) {
		e.nodes = calloc(r.n * e.counts, sizeof *e.nodes);
		e.todo = calloc(GRAMMAR_NODES_MAX, sizeof *e.todo);
	}
	if (built_ok(b) && (!e.nodes || !e.todo))
		build_fail(b, E_MEMORY, "no memory for the grammar");
	if (built_ok(b))
		at = emit_all(&e, start);
	free(e.nodes);
	free(e.todo);
	regex_free(&r);
	return at;
}

/* ---- matching ------------------------------------------------------------------------------ */

static void reach(const struct regex *r, bool *set, uint32_t *stack, uint32_t state)
{
	size_t n = 0;
	stack[n++] = state;
	while (n) {
		uint32_t s = stack[--n];
		if (s == NO_STATE || set[s])
			continue;
		set[s] = true;
		if (r->states[s].kind == STATE_SPLIT) {
			stack[n++] = r->states[s].x;
			stack[n++] = r->states[s].y;
		}
	}
}

static bool class_has(const struct state *s, uint32_t cp)
{
	for (size_t i = 0; i < s->n_ranges; i++)
		if (cp >= s->ranges[i].low && cp <= s->ranges[i].high)
			return true;
	return false;
}

static bool run_states(const struct regex *r, struct bytes text, uint32_t start, bool *now,
    bool *then_set, uint32_t *stack)
{
	reach(r, now, stack, start);
	for (size_t at = 0; at < text.n;) {
		uint32_t cp;
		size_t n = utf8_decode(text.p + at, text.n - at, &cp);
		if (n == 0)
			return false;
		at += n;
		memset(then_set, 0, r->n);
		for (size_t s = 0; s < r->n; s++)
			if (now[s] && r->states[s].kind == STATE_CLASS &&
			    class_has(&r->states[s], cp))
				reach(r, then_set, stack, r->states[s].x);
		memcpy(now, then_set, r->n);
	}
	for (size_t s = 0; s < r->n; s++)
		if (now[s] && r->states[s].kind == STATE_MATCH)
			return true;
	return false;
}

bool pattern_matches(struct builder *b, struct bytes pattern, struct bytes text)
{
	struct regex r = {.b = b, .text = pattern};
	uint32_t start = regex_read(&r);
	bool *sets = calloc(2, r.n + 1), hit = false;
	uint32_t *stack = calloc(2 * r.n + 2, sizeof *stack);
	if (!sets || !stack)
		build_fail(b, E_MEMORY, "no memory for the grammar");
	else if (built_ok(b))
		hit = run_states(&r, text, start, sets, sets + r.n, stack);
	free(sets);
	free(stack);
	regex_free(&r);
	return hit;
}

/* ---- formats ------------------------------------------------------------------------------- */

#define DATE                                                                                       \
	"(19|20)[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|"        \
	"(0[13578]|1[02])-31)"
#define TIME                                                                                       \
	"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):"       \
	"[0-5][0-9])"
#define LABEL "[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?"
#define HOST  LABEL "(\\." LABEL "){0,4}"
#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

const char *format_pattern(const char *format)
{
	static const char *const known[][2] = {{"date", "^" DATE "$"}, {"time", "^" TIME "$"},
	    {"date-time", "^" DATE "T" TIME "$"},
	    {"duration", "^P([0-9]{1,4}Y)?([0-9]{1,4}M)?[0-9]{1,4}D(T[0-9]{1,4}H([0-9]{1,4}M("
			 "[0-9]{1,4}S)?)?)?$|^PT[0-9]{1,4}(S|M([0-9]{1,4}S)?|H([0-9]{1,4}M("
			 "[0-9]{1,4}S)?)?)$|^P[0-9]{1,4}[YMW]$"},
	    {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
	    {"email",
		"^[a-zA-Z0-9_+-]{1,32}(\\.[a-zA-Z0-9_+-]{1,16}){0,2}@" HOST "\\.[a-zA-Z]{2,12}$"},
	    {"hostname", "^" HOST "$"}, {"ipv4", "^" OCTET "(\\." OCTET "){3}$"},
	    {"ipv6", "^[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}$"},
	    {"uri", "^https?://" HOST "(:[1-9][0-9]{1,3})?(/[a-zA-Z0-9._~-]*)*(\\?[a-zA-Z0-9._~=&-"
		    "]*)?(#[a-zA-Z0-9._~-]*)?$"}};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(format, known[i][0]) == 0)
			return known[i][1];
	return NULL;
}
