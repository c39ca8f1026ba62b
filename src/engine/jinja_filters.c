/* Filters and tests. */
#include "engine/jinja_priv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct call {
	struct jrun *r;
	struct jvalue v;
	const struct jargs *args;
};

typedef struct jvalue (*filter_fn)(const struct call *c);
typedef bool (*test_fn)(const struct call *c);

static struct jvalue argument(const struct call *c, size_t i, const char *name)
{
	struct jvalue v = j_undefined(bytes_str(name));
	jargs_get(c->args, i, name, &v);
	return v;
}

static bool flag(const struct call *c, size_t i, const char *name)
{
	return j_is_true(argument(c, i, name));
}

static struct bytes text_argument(const struct call *c, size_t i, const char *name)
{
	struct jvalue v = argument(c, i, name);
	return v.kind == J_STRING ? v.s : (struct bytes){0};
}

static struct jvalue f_trim(const struct call *c)
{
	return j_strip(c->r, j_text(c->r, c->v), c->args, STRIP_BOTH);
}

static struct jvalue f_upper(const struct call *c)
{
	return j_recase(c->r, j_text(c->r, c->v), CASE_UPPER);
}

static struct jvalue f_lower(const struct call *c)
{
	return j_recase(c->r, j_text(c->r, c->v), CASE_LOWER);
}

static struct jvalue f_title(const struct call *c)
{
	return j_recase(c->r, j_text(c->r, c->v), CASE_TITLE);
}

static struct jvalue f_capitalize(const struct call *c)
{
	return j_recase(c->r, j_text(c->r, c->v), CASE_CAPITALIZE);
}

static struct jvalue f_replace(const struct call *c)
{
	return j_replace(c->r, j_text(c->r, c->v), c->args);
}

static struct jvalue f_length(const struct call *c)
{
	if (c->v.kind == J_STRING)
		return run_spend(c->r, c->v.s.n / 16) ? j_int((int64_t)chars_count(c->v.s)) : c->v;
	if (c->v.kind == J_LIST)
		return j_int((int64_t)c->v.list->n);
	if (c->v.kind == J_DICT)
		return j_int((int64_t)c->v.dict->n);
	if (c->v.kind == J_UNDEFINED)
		return j_int(0);
	return run_fail(c->r, E_FORMAT, "%s has no length", j_kind_name(c->v));
}

static struct jvalue f_join(const struct call *c)
{
	return j_join(c->r, c->v, text_argument(c, 0, "d"), text_argument(c, 1, "attribute"));
}

static struct jvalue f_default(const struct call *c)
{
	bool missing = c->v.kind == J_UNDEFINED || (flag(c, 1, "boolean") && !j_is_true(c->v));
	struct jvalue otherwise = j_str(bytes_str(""));
	jargs_get(c->args, 0, "default_value", &otherwise);
	return missing ? otherwise : c->v;
}

static struct jvalue f_items(const struct call *c)
{
	return j_items(c->r, c->v);
}

static struct jvalue copy_list(struct jrun *r, struct jvalue v)
{
	struct jlist *from = j_iterate(r, v);
	struct jvalue list = j_new_list(r, from ? from->n : 0, false);
	for (size_t i = 0; from && i < from->n && run_ok(r); i++)
		j_append(r, list, from->items[i]);
	return list;
}

static struct jvalue f_list(const struct call *c)
{
	return copy_list(c->r, c->v);
}

static struct jvalue f_first(const struct call *c)
{
	struct jlist *l = j_iterate(c->r, c->v);
	return l && l->n ? l->items[0] : j_undefined(bytes_str("first item"));
}

static struct jvalue f_last(const struct call *c)
{
	struct jlist *l = j_iterate(c->r, c->v);
	return l && l->n ? l->items[l->n - 1] : j_undefined(bytes_str("last item"));
}

static struct jvalue f_reverse(const struct call *c)
{
	struct jvalue list = copy_list(c->r, c->v);
	for (size_t i = 0; run_ok(c->r) && i < list.list->n / 2; i++) {
		struct jvalue *a = &list.list->items[i],
			      *b = &list.list->items[list.list->n - 1 - i];
		struct jvalue swap = *a;
		*a = *b;
		*b = swap;
	}
	if (run_ok(c->r) && c->v.kind == J_STRING)
		return j_join(c->r, list, (struct bytes){0}, (struct bytes){0});
	return list;
}

static struct jvalue f_string(const struct call *c)
{
	return j_str(j_text(c->r, c->v));
}

static struct jvalue f_int(const struct call *c)
{
	struct jvalue otherwise = j_int(0);
	char text[32];
	jargs_get(c->args, 0, "default", &otherwise);
	if (c->v.kind == J_INT)
		return c->v;
	if (j_is_number(c->v)) {
		double f = trunc(j_number(c->v));
		return fabs(f) < 9e18 ? j_int((int64_t)f) : otherwise;
	}
	if (c->v.kind != J_STRING || c->v.s.n == 0 || c->v.s.n >= sizeof text)
		return otherwise;
	memcpy(text, c->v.s.p, c->v.s.n);
	text[c->v.s.n] = '\0';
	char *end;
	errno = 0;
	long long i = strtoll(text, &end, 10);
	return errno || end == text || *end ? otherwise : j_int(i);
}

static struct jvalue f_float(const struct call *c)
{
	struct jvalue otherwise = j_float(0);
	char text[64];
	jargs_get(c->args, 0, "default", &otherwise);
	if (j_is_number(c->v))
		return j_float(j_number(c->v));
	if (c->v.kind != J_STRING || c->v.s.n == 0 || c->v.s.n >= sizeof text)
		return otherwise;
	memcpy(text, c->v.s.p, c->v.s.n);
	text[c->v.s.n] = '\0';
	char *end;
	double f = strtod(text, &end);
	return end == text || *end ? otherwise : j_float(f);
}

static struct jvalue f_abs(const struct call *c)
{
	if (c->v.kind == J_FLOAT)
		return j_float(fabs(c->v.f));
	int64_t i;
	if (!j_as_int(c->v, &i) || i == INT64_MIN)
		return run_fail(c->r, E_FORMAT, "%s has no absolute value", j_kind_name(c->v));
	return j_int(i < 0 ? -i : i);
}

static struct jvalue f_round(const struct call *c)
{
	struct jvalue digits = j_int(0);
	int64_t n;
	jargs_get(c->args, 0, "precision", &digits);
	if (!j_is_number(c->v) || !j_as_int(digits, &n) || n < -15 || n > 15)
		return run_fail(c->r, E_FORMAT, "%s cannot be rounded", j_kind_name(c->v));
	double scale = pow(10, (double)n);
	return j_float(rint(j_number(c->v) * scale) / scale);
}

#define INDENT_MAX 16

static struct jvalue f_tojson(const struct call *c)
{
	struct jvalue indent = argument(c, 0, "indent");
	int64_t n = -1;
	j_as_int(indent, &n);
	struct buf b = BUF_INIT(JINJA_OUTPUT_MAX);
	j_write_json(c->r, c->v, (int)(n < 0 ? -1 : n > INDENT_MAX ? INDENT_MAX : n), &b);
	if (b.failed)
		run_fail(c->r, E_LIMIT, "the JSON text grows too large");
	struct jvalue text = j_copy(c->r, buf_view(&b));
	buf_free(&b);
	return text;
}

static struct jvalue f_same(const struct call *c)
{
	return c->v;
}

static struct jvalue f_escape(const struct call *c)
{
	struct bytes s = j_text(c->r, c->v);
	struct buf b = BUF_INIT(JINJA_OUTPUT_MAX);
	static const char SPECIAL[] = "&<>'\"";
	static const char *const NAMES[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
	for (size_t i = 0; i < s.n; i++) {
		const char *hit = s.p[i] ? strchr(SPECIAL, s.p[i]) : NULL;
		if (hit)
			buf_str(&b, NAMES[hit - SPECIAL]);
		else
			buf_u8(&b, s.p[i]);
	}
	if (b.failed)
		run_fail(c->r, E_LIMIT, "a string grows too large");
	struct jvalue text = j_copy(c->r, buf_view(&b));
	buf_free(&b);
	return text;
}

/* indent(width=4, first=False, blank=False) */
static struct jvalue f_indent(const struct call *c)
{
	struct jvalue width = j_int(4);
	int64_t n = 4;
	jargs_get(c->args, 0, "width", &width);
	if (!j_as_int(width, &n) || n < 0 || n > 256)
		return run_fail(c->r, E_FORMAT, "indent needs a small width");
	bool first = flag(c, 1, "first"), blank = flag(c, 2, "blank");
	struct bytes s = j_text(c->r, c->v);
	struct buf b = BUF_INIT(JINJA_OUTPUT_MAX);
	for (size_t i = 0; i <= s.n; i++) {
		bool line_start = i == 0 ? first : s.p[i - 1] == '\n';
		bool empty = i == s.n || s.p[i] == '\n';
		for (int64_t k = 0; line_start && (blank || !empty) && k < n; k++)
			buf_u8(&b, ' ');
		if (i < s.n)
			buf_u8(&b, s.p[i]);
	}
	if (b.failed)
		run_fail(c->r, E_LIMIT, "a string grows too large");
	struct jvalue text = j_copy(c->r, buf_view(&b));
	buf_free(&b);
	return text;
}

/* "a.b" through dicts; "0" into lists. */
static struct jvalue follow(struct jrun *r, struct jvalue v, struct bytes path)
{
	while (run_ok(r) && path.n) {
		const uint8_t *dot = memchr(path.p, '.', path.n);
		size_t n = dot ? (size_t)(dot - path.p) : path.n;
		v = j_attribute(r, v, bytes_of(path.p, n));
		path = dot ? bytes_of(dot + 1, path.n - n - 1) : (struct bytes){0};
	}
	return v;
}

/* The arguments from the i-th on. */
static struct jargs rest_of(const struct jargs *args, size_t i)
{
	struct jargs rest = {.n = 0};
	for (; i < args->n; i++)
		rest.pos[rest.n++] = args->pos[i];
	return rest;
}

static struct jvalue f_map(const struct call *c)
{
	struct jvalue list = j_new_list(c->r, 0, false), otherwise = j_undefined((struct bytes){0});
	struct jlist *from = j_iterate(c->r, c->v);
	struct jvalue attribute;
	bool by_attribute = jargs_get(c->args, JARGS_MAX, "attribute", &attribute);
	struct bytes filter = text_argument(c, 0, "filter");
	struct jargs rest = rest_of(c->args, 1);
	jargs_get(c->args, JARGS_MAX, "default", &otherwise);
	for (size_t i = 0; from && i < from->n && run_ok(c->r); i++) {
		struct jvalue item = from->items[i];
		if (!by_attribute) {
			j_append(c->r, list, j_filter(c->r, filter, item, &rest));
			continue;
		}
		item = attribute.kind == J_STRING ? follow(c->r, item, attribute.s)
						  : j_item(c->r, item, attribute);
		j_append(c->r, list, item.kind == J_UNDEFINED ? otherwise : item);
	}
	return list;
}

/* select, reject: by a test of the item; selectattr, rejectattr: by a test of an attribute of it.
 */
static struct jvalue pick(const struct call *c, bool by_attribute, bool wanted)
{
	struct jvalue list = j_new_list(c->r, 0, false);
	struct jlist *from = j_iterate(c->r, c->v);
	size_t at = by_attribute;
	struct bytes path = by_attribute ? text_argument(c, 0, "attribute") : (struct bytes){0};
	struct bytes test = text_argument(c, at, "test");
	struct jargs rest = rest_of(c->args, at + 1);
	for (size_t i = 0; from && i < from->n && run_ok(c->r); i++) {
		struct jvalue v = follow(c->r, from->items[i], path);
		bool passes = test.n ? j_test(c->r, test, v, &rest) : j_is_true(v);
		if (passes == wanted)
			j_append(c->r, list, from->items[i]);
	}
	return list;
}

static struct jvalue f_select(const struct call *c)
{
	return pick(c, false, true);
}

static struct jvalue f_reject(const struct call *c)
{
	return pick(c, false, false);
}

static struct jvalue f_selectattr(const struct call *c)
{
	return pick(c, true, true);
}

static struct jvalue f_rejectattr(const struct call *c)
{
	return pick(c, true, false);
}

struct sort_key {
	struct jrun *r;
	struct bytes path;
	bool reverse;
	bool fold;
};

static int compare_items(struct sort_key *key, struct jvalue a, struct jvalue b)
{
	struct jrun *r = key->r;
	a = follow(r, a, key->path);
	b = follow(r, b, key->path);
	if (key->fold && a.kind == J_STRING)
		a = j_recase(r, a.s, CASE_LOWER);
	if (key->fold && b.kind == J_STRING)
		b = j_recase(r, b.s, CASE_LOWER);
	int order = run_ok(r) ? j_order(r, a, b) : 0;
	return key->reverse ? -order : order;
}

/* Merge sort, stable: items[0, n) with as much room to spare. */
static void merge_sort(struct sort_key *key, struct jvalue *items, struct jvalue *spare, size_t n)
{
	if (n < 2 || !run_spend(key->r, n))
		return;
	size_t half = n / 2, i = 0, j = half, k = 0;
	merge_sort(key, items, spare, half);
	merge_sort(key, items + half, spare, n - half);
	while (i < half && j < n)
		spare[k++] = compare_items(key, items[j], items[i]) < 0 ? items[j++] : items[i++];
	while (i < half)
		spare[k++] = items[i++];
	while (j < n)
		spare[k++] = items[j++];
	memcpy(items, spare, n * sizeof *items);
}

static struct jvalue sort_by(const struct call *c, struct jvalue list, struct sort_key key)
{
	if (!run_ok(c->r) || list.list->n == 0)
		return list;
	struct jvalue *spare = run_alloc(c->r, list.list->n * sizeof *spare);
	if (spare)
		merge_sort(&key, list.list->items, spare, list.list->n);
	return list;
}

static struct jvalue f_sort(const struct call *c)
{
	struct sort_key key = {c->r, text_argument(c, 2, "attribute"), flag(c, 0, "reverse"),
	    !flag(c, 1, "case_sensitive")};
	return sort_by(c, copy_list(c->r, c->v), key);
}

static struct jvalue f_dictsort(const struct call *c)
{
	return sort_by(c, j_items(c->r, c->v), (struct sort_key){.r = c->r});
}

static struct jvalue f_unique(const struct call *c)
{
	struct jlist *from = j_iterate(c->r, c->v);
	struct jvalue list = j_new_list(c->r, 0, false);
	for (size_t i = 0; from && i < from->n && run_ok(c->r); i++)
		if (!j_contains(c->r, list, from->items[i]))
			j_append(c->r, list, from->items[i]);
	return list;
}

static struct jvalue extreme(const struct call *c, int sign)
{
	struct jlist *l = j_iterate(c->r, c->v);
	struct jvalue best = j_undefined(bytes_str("item"));
	for (size_t i = 0; l && i < l->n && run_spend(c->r, 1); i++)
		if (i == 0 || j_order(c->r, l->items[i], best) * sign > 0)
			best = l->items[i];
	return best;
}

static struct jvalue f_min(const struct call *c)
{
	return extreme(c, -1);
}

static struct jvalue f_max(const struct call *c)
{
	return extreme(c, 1);
}

static struct jvalue f_sum(const struct call *c)
{
	struct jlist *l = j_iterate(c->r, c->v);
	struct bytes path = text_argument(c, 0, "attribute");
	int64_t whole = 0, i = 0;
	double part = 0;
	bool real = false;
	for (size_t k = 0; l && k < l->n && run_spend(c->r, 1); k++) {
		struct jvalue v = follow(c->r, l->items[k], path);
		if (j_as_int(v, &i) && !__builtin_add_overflow(whole, i, &whole))
			continue;
		if (v.kind != J_FLOAT)
			return run_fail(c->r, E_FORMAT, "%s cannot be added up", j_kind_name(v));
		part += v.f;
		real = true;
	}
	return real ? j_float((double)whole + part) : j_int(whole);
}

static const struct {
	const char *name;
	filter_fn call;
} FILTERS[] = {{"trim", f_trim}, {"strip", f_trim}, {"upper", f_upper}, {"lower", f_lower},
    {"title", f_title}, {"capitalize", f_capitalize}, {"replace", f_replace}, {"length", f_length},
    {"count", f_length}, {"join", f_join}, {"default", f_default}, {"d", f_default},
    {"items", f_items}, {"list", f_list}, {"first", f_first}, {"last", f_last},
    {"reverse", f_reverse}, {"string", f_string}, {"int", f_int}, {"float", f_float},
    {"abs", f_abs}, {"round", f_round}, {"tojson", f_tojson}, {"safe", f_same}, {"e", f_escape},
    {"escape", f_escape}, {"indent", f_indent}, {"map", f_map}, {"select", f_select},
    {"reject", f_reject}, {"selectattr", f_selectattr}, {"rejectattr", f_rejectattr},
    {"sort", f_sort}, {"dictsort", f_dictsort}, {"unique", f_unique}, {"min", f_min},
    {"max", f_max}, {"sum", f_sum}};

struct jvalue j_filter(struct jrun *r, struct bytes name, struct jvalue v, const struct jargs *args)
{
	for (size_t i = 0; i < sizeof FILTERS / sizeof FILTERS[0]; i++)
		if (is_name(name, FILTERS[i].name))
			return FILTERS[i].call(&(struct call){r, v, args});
	return run_fail(r, E_UNSUPPORTED, "unknown filter '%.*s'", (int)(name.n < 60 ? name.n : 60),
	    name.n ? (const char *)name.p : "");
}

static bool t_defined(const struct call *c)
{
	return c->v.kind != J_UNDEFINED;
}

static bool t_undefined(const struct call *c)
{
	return c->v.kind == J_UNDEFINED;
}

static bool t_none(const struct call *c)
{
	return c->v.kind == J_NONE;
}

static bool t_string(const struct call *c)
{
	return c->v.kind == J_STRING;
}

static bool t_number(const struct call *c)
{
	return j_is_number(c->v);
}

static bool t_integer(const struct call *c)
{
	return c->v.kind == J_INT;
}

static bool t_float(const struct call *c)
{
	return c->v.kind == J_FLOAT;
}

static bool t_boolean(const struct call *c)
{
	return c->v.kind == J_BOOL;
}

static bool t_true(const struct call *c)
{
	return c->v.kind == J_BOOL && c->v.b;
}

static bool t_false(const struct call *c)
{
	return c->v.kind == J_BOOL && !c->v.b;
}

static bool t_mapping(const struct call *c)
{
	return c->v.kind == J_DICT;
}

static bool t_sequence(const struct call *c)
{
	return c->v.kind == J_LIST || c->v.kind == J_STRING || c->v.kind == J_DICT;
}

static bool t_iterable(const struct call *c)
{
	return t_sequence(c) || c->v.kind == J_UNDEFINED;
}

static bool t_callable(const struct call *c)
{
	return c->v.kind == J_CALLABLE;
}

static bool t_equal(const struct call *c)
{
	return j_equal(c->r, c->v, argument(c, 0, "other"));
}

static bool t_different(const struct call *c)
{
	return !t_equal(c);
}

static bool t_less(const struct call *c)
{
	return j_order(c->r, c->v, argument(c, 0, "other")) < 0;
}

static bool t_at_most(const struct call *c)
{
	return j_order(c->r, c->v, argument(c, 0, "other")) <= 0;
}

static bool t_greater(const struct call *c)
{
	return j_order(c->r, c->v, argument(c, 0, "other")) > 0;
}

static bool t_at_least(const struct call *c)
{
	return j_order(c->r, c->v, argument(c, 0, "other")) >= 0;
}

static bool t_in(const struct call *c)
{
	return j_contains(c->r, argument(c, 0, "seq"), c->v);
}

static bool t_divisible(const struct call *c)
{
	int64_t x, y;
	if (j_as_int(c->v, &x) && j_as_int(argument(c, 0, "num"), &y) && y != 0)
		return y == -1 || x % y == 0;
	run_fail(c->r, E_FORMAT, "divisibleby needs integers");
	return false;
}

static bool t_odd(const struct call *c)
{
	int64_t x;
	return j_as_int(c->v, &x) && x % 2 != 0;
}

static bool t_even(const struct call *c)
{
	int64_t x;
	return j_as_int(c->v, &x) && x % 2 == 0;
}

static bool t_lower(const struct call *c)
{
	return c->v.kind == J_STRING && bytes_equal(c->v.s, j_recase(c->r, c->v.s, CASE_LOWER).s);
}

static bool t_upper(const struct call *c)
{
	return c->v.kind == J_STRING && bytes_equal(c->v.s, j_recase(c->r, c->v.s, CASE_UPPER).s);
}

static const struct {
	const char *name;
	test_fn call;
} TESTS[] = {{"defined", t_defined}, {"undefined", t_undefined}, {"none", t_none},
    {"string", t_string}, {"number", t_number}, {"integer", t_integer}, {"float", t_float},
    {"boolean", t_boolean}, {"true", t_true}, {"false", t_false}, {"mapping", t_mapping},
    {"sequence", t_sequence}, {"iterable", t_iterable}, {"callable", t_callable},
    {"equalto", t_equal}, {"eq", t_equal}, {"==", t_equal}, {"sameas", t_equal},
    {"ne", t_different}, {"!=", t_different}, {"lt", t_less}, {"lessthan", t_less}, {"<", t_less},
    {"le", t_at_most}, {"<=", t_at_most}, {"gt", t_greater}, {"greaterthan", t_greater},
    {">", t_greater}, {"ge", t_at_least}, {">=", t_at_least}, {"in", t_in},
    {"divisibleby", t_divisible}, {"odd", t_odd}, {"even", t_even}, {"lower", t_lower},
    {"upper", t_upper}};

bool j_test(struct jrun *r, struct bytes name, struct jvalue v, const struct jargs *args)
{
	for (size_t i = 0; i < sizeof TESTS / sizeof TESTS[0]; i++)
		if (is_name(name, TESTS[i].name))
			return TESTS[i].call(&(struct call){r, v, args});
	run_fail(r, E_UNSUPPORTED, "unknown test '%.*s'", (int)(name.n < 60 ? name.n : 60),
	    name.n ? (const char *)name.p : "");
	return false;
}
