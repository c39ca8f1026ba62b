/* A flat tree of a JSON document, in one pass. Depth is bounded by a stack of our own, names of
 * large objects are compared by sorting, so that no document takes more than n log n. */
#include "dialect/jtree.h"

#include "base/encode.h"

#include <math.h>
#include <stdlib.h>
#include <talloc.h>

#define NODES_FIRST 32
#define FEW_MEMBERS 24 /* up to here names are compared each with each */

struct jtree {
	struct jnode *nodes;
	size_t cap;
	uint8_t *text; /* strings that had escapes */
	size_t text_cap;
};

struct reader {
	struct jtree *tree;
	const uint8_t *start, *p, *end;
	size_t n;       /* nodes so far */
	uint8_t *spare; /* next free byte of tree->text; NULL: no escape so far */
	uint32_t open[JSON_DEPTH_MAX];
	unsigned depth;
	const char *why;
	int code;
};

struct jtree *jtree_new(void *mem)
{
	return talloc_zero(mem, struct jtree);
}

static bool fail(struct reader *r, const char *why)
{
	r->why = why;
	r->code = E_SYNTAX;
	return false;
}

static bool no_memory(struct reader *r)
{
	r->why = "no memory for a document";
	r->code = E_MEMORY;
	return false;
}

/* ---- strings ------------------------------------------------------------------------------- */

static bool read_hex4(struct reader *r, uint32_t *out)
{
	uint32_t v = 0;

	if (r->end - r->p < 4)
		return fail(r, "an escape cut short");
	for (int i = 0; i < 4; i++, r->p++) {
		uint8_t c = *r->p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return fail(r, "a bad escape");
	}
	*out = v;
	return true;
}

/* After \u: one code point, of a pair where it begins one. */
static bool read_code_point(struct reader *r)
{
	uint32_t cp, low;

	if (!read_hex4(r, &cp))
		return false;
	if (cp >= 0xd800 && cp < 0xdc00) {
		if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u')
			return fail(r, "half a surrogate pair");
		r->p += 2;
		if (!read_hex4(r, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return fail(r, "half a surrogate pair");
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
	}
	if (cp == 0 || (cp >= 0xdc00 && cp < 0xe000))
		return fail(r, cp ? "half a surrogate pair" : "a NUL character");
	r->spare += utf8_encode(cp, (char *)r->spare);
	return true;
}

/* At a backslash. */
static bool read_escape(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (r->end - r->p < 2)
		return fail(r, "a string without its end");
	r->p += 2;
	if (r->p[-1] == 'u')
		return read_code_point(r);
	at = r->p[-1] ? strchr(from, r->p[-1]) : NULL;
	if (!at)
		return fail(r, "a bad escape");
	*r->spare++ = (uint8_t)to[at - from];
	return true;
}

/* Room for every string of the document: none grows by being read. */
static bool make_spare(struct reader *r)
{
	size_t need = (size_t)(r->end - r->start) + 4; /* utf8_encode may touch 4 bytes */

	if (r->spare)
		return true;
	if (r->tree->text_cap < need) {
		talloc_free(r->tree->text);
		r->tree->text = talloc_size(r->tree, need);
		r->tree->text_cap = r->tree->text ? need : 0;
	}
	r->spare = r->tree->text;
	return r->spare ? true : no_memory(r);
}

static bool skip_utf8(struct reader *r)
{
	uint32_t cp;
	size_t n = utf8_decode(r->p, (size_t)(r->end - r->p), &cp);

	if (n == 0)
		return fail(r, *r->p < 0x20 ? "a control character in a string" : "invalid UTF-8");
	r->p += n;
	return true;
}

/* A run without escapes, from r->p to the quote or the backslash that ends it. */
static bool skip_run(struct reader *r)
{
	for (;;) {
		r->p = json_plain_run(r->p, r->end);
		if (r->p == r->end)
			return fail(r, "a string without its end");
		if (*r->p == '"' || *r->p == '\\')
			return true;
		if (*r->p < 0x20)
			return fail(r, "a control character in a string");
		if (!skip_utf8(r))
			return false;
	}
}

/* At the opening quote. */
static bool read_string(struct reader *r, const uint8_t **out, uint32_t *out_n)
{
	const uint8_t *run = ++r->p, *copy;

	if (!skip_run(r))
		return false;
	if (*r->p == '"') {
		*out = run;
		*out_n = (uint32_t)(r->p++ - run);
		return true;
	}
	if (!make_spare(r))
		return false;
	copy = r->spare;
	for (;;) {
		memcpy(r->spare, run, (size_t)(r->p - run));
		r->spare += r->p - run;
		if (*r->p == '"')
			break;
		if (!read_escape(r))
			return false;
		run = r->p;
		if (!skip_run(r))
			return false;
	}
	r->p++;
	*out = copy;
	*out_n = (uint32_t)(r->spare - copy);
	return true;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static bool is_digit(const struct reader *r)
{
	return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

static bool skip_digits(struct reader *r)
{
	if (!is_digit(r))
		return fail(r, "a bad number");
	while (is_digit(r))
		r->p++;
	return true;
}

/* Every number is followed by something: a document is an object or an array. So strtod, which
 * stops at the end of what was checked here, never reads beyond it. */
static bool read_real(struct reader *r, const uint8_t *start, struct jnode *v)
{
	if (*r->p == '.') {
		r->p++;
		if (!skip_digits(r))
			return false;
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
		r->p++;
		if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
		if (!skip_digits(r))
			return false;
	}
	if (r->p == r->end)
		return fail(r, "it ends too soon");
	v->kind = J_REAL;
	v->v.d = strtod((const char *)start, NULL);
	return isfinite(v->v.d) ? true : fail(r, "a number out of range");
}

static bool read_number(struct reader *r, struct jnode *v)
{
	const uint8_t *start = r->p;
	bool negative = *r->p == '-', over = false;
	uint64_t u = 0;

	r->p += negative;
	if (!is_digit(r))
		return fail(r, "a bad number");
	if (*r->p == '0' && r->end - r->p > 1 && r->p[1] >= '0' && r->p[1] <= '9')
		return fail(r, "a number that begins with 0");
	for (; is_digit(r); r->p++) {
		unsigned digit = *r->p - '0';

		over |= u > (UINT64_MAX - digit) / 10;
		u = u * 10 + digit;
	}
	if (r->p < r->end && (*r->p == '.' || *r->p == 'e' || *r->p == 'E'))
		return read_real(r, start, v);
	if (over || u > (uint64_t)INT64_MAX + negative)
		return fail(r, "an integer out of range");
	v->kind = J_INT;
	v->v.i = negative ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

/* ---- objects ------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const struct jnode *x = *(const struct jnode *const *)a,
			   *y = *(const struct jnode *const *)b;

	if (x->key_n != y->key_n)
		return x->key_n < y->key_n ? -1 : 1;
	return memcmp(x->key, y->key, x->key_n);
}

static bool few_are_distinct(const struct jnode *object)
{
	for (const struct jnode *v = jfirst(object); v; v = jnext(object, v))
		for (const struct jnode *w = jfirst(object); w != v; w = jnext(object, w))
			if (v->key_n == w->key_n && memcmp(v->key, w->key, v->key_n) == 0)
				return false;
	return true;
}

static bool names_are_distinct(struct reader *r, const struct jnode *object)
{
	const struct jnode **all;
	size_t n = 0;
	bool distinct = true;

	if (object->n <= FEW_MEMBERS)
		return few_are_distinct(object) ? true : fail(r, "a name twice in an object");
	all = talloc_array(r->tree, const struct jnode *, object->n);
	if (!all)
		return no_memory(r);
	for (const struct jnode *v = jfirst(object); v; v = jnext(object, v))
		all[n++] = v;
	qsort(all, n, sizeof(*all), by_key);
	for (size_t i = 1; i < n && distinct; i++)
		distinct = by_key(&all[i - 1], &all[i]) != 0;
	talloc_free(all);
	return distinct ? true : fail(r, "a name twice in an object");
}

/* ---- the document -------------------------------------------------------------------------- */

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
		r->p++;
}

static bool grow(struct reader *r)
{
	size_t cap = r->tree->cap ? r->tree->cap * 2 : NODES_FIRST;
	struct jnode *nodes;

	if (cap > JTREE_VALUES_MAX)
		return fail(r, "too many values");
	nodes = talloc_realloc(r->tree, r->tree->nodes, struct jnode, (unsigned)cap);
	if (!nodes)
		return no_memory(r);
	r->tree->nodes = nodes;
	r->tree->cap = cap;
	return true;
}

static struct jnode *add_node(struct reader *r)
{
	struct jnode *v;

	if (r->n == r->tree->cap && !grow(r))
		return NULL;
	v = &r->tree->nodes[r->n++];
	*v = (struct jnode){.span = 1};
	if (r->depth > 0)
		r->tree->nodes[r->open[r->depth - 1]].n++;
	return v;
}

static bool read_word(struct reader *r, const char *word, enum jkind kind, struct jnode *v)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return fail(r, "something that is no value");
	r->p += n;
	v->kind = kind;
	return true;
}

static bool open_container(struct reader *r, struct jnode *v, enum jkind kind)
{
	if (r->depth == JSON_DEPTH_MAX)
		return fail(r, "nested too deep");
	v->kind = kind;
	r->open[r->depth++] = (uint32_t)(r->n - 1);
	r->p++;
	return true;
}

/* At a value: a scalar is read, a container opened. */
static bool read_value(struct reader *r, struct jnode *v)
{
	v->at = (uint32_t)(r->p - r->start);
	switch (r->p < r->end ? *r->p : 0) {
	case '{':
		return open_container(r, v, J_OBJECT);
	case '[':
		return open_container(r, v, J_ARRAY);
	case '"':
		v->kind = J_TEXT;
		return read_string(r, &v->v.text, &v->n);
	case 't':
		return read_word(r, "true", J_TRUE, v);
	case 'f':
		return read_word(r, "false", J_FALSE, v);
	case 'n':
		return read_word(r, "null", J_NULL, v);
	default:
		return read_number(r, v);
	}
}

static bool read_key(struct reader *r, struct jnode *v)
{
	if (r->p == r->end || *r->p != '"')
		return fail(r, "a member without a name");
	if (!read_string(r, &v->key, &v->key_n))
		return false;
	skip_space(r);
	if (r->p == r->end || *r->p != ':')
		return fail(r, "a name without a value");
	r->p++;
	skip_space(r);
	return true;
}

static bool close_container(struct reader *r)
{
	struct jnode *v = &r->tree->nodes[r->open[--r->depth]];

	r->p++;
	v->end = (uint32_t)(r->p - r->start);
	v->span = (uint32_t)(r->n - (size_t)(v - r->tree->nodes));
	return v->kind == J_OBJECT ? names_are_distinct(r, v) : true;
}

/* One value of the container that is open now, or its end. */
static bool step(struct reader *r)
{
	const struct jnode *in = &r->tree->nodes[r->open[r->depth - 1]];
	bool object = in->kind == J_OBJECT;
	struct jnode *v;
	unsigned depth = r->depth;

	skip_space(r);
	if (r->p < r->end && *r->p == (object ? '}' : ']'))
		return close_container(r);
	if (in->n > 0) {
		if (r->p == r->end || *r->p != ',')
			return fail(r, "a comma or an end is missing");
		r->p++;
		skip_space(r);
	}
	v = add_node(r);
	if (!v || (object && !read_key(r, v)) || !read_value(r, v))
		return false;
	if (r->depth == depth)
		v->end = (uint32_t)(r->p - r->start);
	return true;
}

static bool read_all(struct reader *r)
{
	struct jnode *root;

	skip_space(r);
	if (r->p == r->end || (*r->p != '{' && *r->p != '['))
		return fail(r, "neither an object nor an array");
	root = add_node(r);
	if (!root || !read_value(r, root))
		return false;
	while (r->depth > 0)
		if (!step(r))
			return false;
	skip_space(r);
	return r->p == r->end ? true : fail(r, "more after the end");
}

static int tell(const struct reader *r, struct err *err)
{
	unsigned line = 1, column = 1;

	if (r->code == E_MEMORY)
		return err_set(err, E_MEMORY, "%s", r->why);
	for (const uint8_t *p = r->start; p < r->p; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	return err_set(
	    err, E_SYNTAX, "not valid JSON: %s (line %u, column %u)", r->why, line, column);
}

int jtree_read(struct jtree *t, struct bytes text, const struct jnode **root, struct err *err)
{
	struct reader r = {.tree = t, .start = text.p, .p = text.p, .end = text.p + text.n};

	if (text.n == 0)
		return err_set(err, E_SYNTAX, "not valid JSON: it is empty");
	if (text.n > INT32_MAX)
		return err_set(err, E_SYNTAX, "not valid JSON here: too long");
	if (!read_all(&r))
		return tell(&r, err);
	*root = t->nodes;
	return 0;
}

/* ---- looking ------------------------------------------------------------------------------- */

const struct jnode *jmember(const struct jnode *object, const char *key, size_t n)
{
	if (!jis(object, J_OBJECT))
		return NULL;
	for (const struct jnode *v = jfirst(object); v; v = jnext(object, v))
		if (v->key_n == n && memcmp(v->key, key, n) == 0)
			return v;
	return NULL;
}

int64_t jget_int(const struct jnode *object, const char *key, int64_t otherwise)
{
	const struct jnode *v = jget(object, key);

	return jis(v, J_INT) ? v->v.i : otherwise;
}

char *jdup(void *mem, struct bytes text)
{
	char *p = talloc_size(mem, text.n + 1);

	if (!p)
		return NULL;
	if (text.n > 0)
		memcpy(p, text.p, text.n);
	p[text.n] = 0;
	return p;
}
