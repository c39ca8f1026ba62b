/* Methods of strings, dicts and lists, as templates call them in Python's way, and the functions
 * that every template has. Nothing here changes a value in place. */
#include "engine/jinja_priv.h"

#include <time.h>

struct call {
	struct jrun *r;
	struct jvalue self;
	const struct jargs *args;
};

typedef struct jvalue (*method_fn)(const struct call *c);

struct method {
	const char *name;
	method_fn call;
};

static struct jvalue argument(const struct call *c, size_t i, const char *name)
{
	struct jvalue v = j_undefined(bytes_str(name));
	jargs_get(c->args, i, name, &v);
	return v;
}

static struct jvalue string_argument(const struct call *c, const char *method)
{
	struct jvalue v = argument(c, 0, "text");
	if (v.kind != J_STRING)
		run_fail(c->r, E_FORMAT, "%s needs a string, not %s", method, j_kind_name(v));
	return v;
}

static struct jvalue str_strip(const struct call *c)
{
	return j_strip(c->r, c->self.s, c->args, STRIP_BOTH);
}

static struct jvalue str_lstrip(const struct call *c)
{
	return j_strip(c->r, c->self.s, c->args, STRIP_LEFT);
}

static struct jvalue str_rstrip(const struct call *c)
{
	return j_strip(c->r, c->self.s, c->args, STRIP_RIGHT);
}

static struct jvalue str_upper(const struct call *c)
{
	return j_recase(c->r, c->self.s, CASE_UPPER);
}

static struct jvalue str_lower(const struct call *c)
{
	return j_recase(c->r, c->self.s, CASE_LOWER);
}

static struct jvalue str_title(const struct call *c)
{
	return j_recase(c->r, c->self.s, CASE_TITLE);
}

static struct jvalue str_capitalize(const struct call *c)
{
	return j_recase(c->r, c->self.s, CASE_CAPITALIZE);
}

static struct jvalue str_replace(const struct call *c)
{
	return j_replace(c->r, c->self.s, c->args);
}

static struct jvalue str_join(const struct call *c)
{
	return j_join(c->r, argument(c, 0, "iterable"), c->self.s, (struct bytes){0});
}

static bool starts(struct bytes s, struct bytes with)
{
	return s.n >= with.n && (with.n == 0 || memcmp(s.p, with.p, with.n) == 0);
}

static bool ends(struct bytes s, struct bytes with)
{
	return s.n >= with.n && starts(bytes_of(s.p + s.n - with.n, with.n), with);
}

/* A string or a tuple of strings, any of which will do. */
static struct jvalue affix(const struct call *c, bool (*has)(struct bytes, struct bytes))
{
	struct jvalue with = argument(c, 0, "text");
	bool found = false;
	if (with.kind == J_STRING)
		return j_bool(has(c->self.s, with.s));
	if (with.kind != J_LIST)
		return run_fail(c->r, E_FORMAT, "startswith and endswith need a string");
	for (size_t i = 0; i < with.list->n; i++)
		found = found || (with.list->items[i].kind == J_STRING &&
				     has(c->self.s, with.list->items[i].s));
	return j_bool(found);
}

static struct jvalue str_startswith(const struct call *c)
{
	return affix(c, starts);
}

static struct jvalue str_endswith(const struct call *c)
{
	return affix(c, ends);
}

static struct jvalue str_removeprefix(const struct call *c)
{
	struct jvalue what = string_argument(c, "removeprefix");
	struct bytes s = c->self.s;
	bool there = what.kind == J_STRING && starts(s, what.s);
	return j_str(there ? bytes_of(s.p + what.s.n, s.n - what.s.n) : s);
}

static struct jvalue str_removesuffix(const struct call *c)
{
	struct jvalue what = string_argument(c, "removesuffix");
	struct bytes s = c->self.s;
	bool there = what.kind == J_STRING && ends(s, what.s);
	return j_str(there ? bytes_of(s.p, s.n - what.s.n) : s);
}

/* Where `what` is in `s`, or -1; the last place when `last`. */
static int64_t find_bytes(struct bytes s, struct bytes what, bool last)
{
	int64_t found = -1;
	for (size_t at = 0; at <= s.n && what.n <= s.n - at;) {
		const uint8_t *hit = what.n ? memmem(s.p + at, s.n - at, what.p, what.n) : s.p + at;
		if (!hit)
			break;
		found = hit - s.p;
		if (!last)
			break;
		at = (size_t)found + 1;
	}
	return found;
}

static struct jvalue find_in(const struct call *c, bool last)
{
	struct jvalue what = string_argument(c, "find");
	if (what.kind != J_STRING || !run_spend(c->r, c->self.s.n / 16))
		return j_int(-1);
	int64_t at = find_bytes(c->self.s, what.s, last);
	return j_int(at < 0 ? at : (int64_t)chars_count(bytes_of(c->self.s.p, (size_t)at)));
}

static struct jvalue str_find(const struct call *c)
{
	return find_in(c, false);
}

static struct jvalue str_rfind(const struct call *c)
{
	return find_in(c, true);
}

static struct jvalue str_index(const struct call *c)
{
	struct jvalue at = find_in(c, false);
	return at.i < 0 ? run_fail(c->r, E_FORMAT, "substring not found") : at;
}

static struct jvalue str_count(const struct call *c)
{
	struct jvalue what = string_argument(c, "count");
	int64_t n = 0;
	if (what.kind != J_STRING || what.s.n == 0)
		return j_int(0);
	struct bytes rest = c->self.s;
	int64_t at;
	while (run_spend(c->r, 1) && (at = find_bytes(rest, what.s, false)) >= 0) {
		size_t used = (size_t)at + what.s.n;
		rest = bytes_of(rest.p + used, rest.n - used);
		n++;
	}
	return j_int(n);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without a separator: at runs of white space, none at the ends. */
static struct jvalue split_blank(struct jrun *r, struct bytes s, int64_t most)
{
	struct jvalue list = j_new_list(r, 0, false);
	size_t at = 0;
	while (run_ok(r)) {
		while (at < s.n && is_blank(s.p[at]))
			at++;
		if (at == s.n)
			break;
		size_t end = at;
		while (end < s.n && (most == 0 || !is_blank(s.p[end])))
			end++;
		j_append(r, list, j_str(bytes_of(s.p + at, end - at)));
		at = most == 0 ? s.n : end;
		most--;
	}
	return list;
}

static struct jvalue split_at(struct jrun *r, struct bytes s, struct bytes separator, int64_t most)
{
	struct jvalue list = j_new_list(r, 0, false);
	int64_t at;
	while (most-- != 0 && run_ok(r) && (at = find_bytes(s, separator, false)) >= 0) {
		size_t used = (size_t)at + separator.n;
		j_append(r, list, j_str(bytes_of(s.p, (size_t)at)));
		s = bytes_of(s.p + used, s.n - used);
	}
	j_append(r, list, j_str(s));
	return list;
}

static struct jvalue rsplit_at(struct jrun *r, struct bytes s, struct bytes separator, int64_t most)
{
	struct jvalue backwards = j_new_list(r, 0, false), list = j_new_list(r, 0, false);
	int64_t at;
	while (
	    most-- != 0 && run_spend(r, s.n / 16) && (at = find_bytes(s, separator, true)) >= 0) {
		size_t used = (size_t)at + separator.n;
		j_append(r, backwards, j_str(bytes_of(s.p + used, s.n - used)));
		s.n = (size_t)at;
	}
	j_append(r, backwards, j_str(s));
	for (size_t i = run_ok(r) ? backwards.list->n : 0; i-- > 0;)
		j_append(r, list, backwards.list->items[i]);
	return list;
}

static struct jvalue split(const struct call *c, bool from_right)
{
	struct jvalue separator = argument(c, 0, "sep"), count = j_int(-1);
	int64_t most;
	jargs_get(c->args, 1, "maxsplit", &count);
	if (!j_as_int(count, &most))
		return run_fail(c->r, E_FORMAT, "split needs an integer limit");
	if (separator.kind != J_STRING)
		return split_blank(c->r, c->self.s, from_right ? -1 : most);
	if (separator.s.n == 0)
		return run_fail(c->r, E_FORMAT, "empty separator");
	return from_right && most >= 0 ? rsplit_at(c->r, c->self.s, separator.s, most)
				       : split_at(c->r, c->self.s, separator.s, most);
}

static struct jvalue str_split(const struct call *c)
{
	return split(c, false);
}

static struct jvalue str_rsplit(const struct call *c)
{
	return split(c, true);
}

static struct jvalue str_splitlines(const struct call *c)
{
	struct jvalue list = j_new_list(c->r, 0, false), keep = argument(c, 0, "keepends");
	struct bytes s = c->self.s;
	for (size_t at = 0; at < s.n && run_ok(c->r);) {
		size_t end = at;
		while (end < s.n && s.p[end] != '\n' && s.p[end] != '\r')
			end++;
		size_t next = end + (end < s.n);
		if (end + 1 < s.n && s.p[end] == '\r' && s.p[end + 1] == '\n')
			next++;
		j_append(
		    c->r, list, j_str(bytes_of(s.p + at, (j_is_true(keep) ? next : end) - at)));
		at = next;
	}
	return list;
}

static struct jvalue all_in(const struct call *c, uint8_t low, uint8_t high)
{
	bool all = c->self.s.n > 0;
	for (size_t i = 0; i < c->self.s.n; i++)
		all = all && c->self.s.p[i] >= low && c->self.s.p[i] <= high;
	return j_bool(all);
}

static struct jvalue str_isdigit(const struct call *c)
{
	return all_in(c, '0', '9');
}

static struct jvalue str_isspace(const struct call *c)
{
	bool all = c->self.s.n > 0;
	for (size_t i = 0; i < c->self.s.n; i++)
		all = all && is_blank(c->self.s.p[i]);
	return j_bool(all);
}

static const struct method STRING_METHODS[] = {{"strip", str_strip}, {"lstrip", str_lstrip},
    {"rstrip", str_rstrip}, {"upper", str_upper}, {"lower", str_lower}, {"title", str_title},
    {"capitalize", str_capitalize}, {"replace", str_replace}, {"join", str_join},
    {"startswith", str_startswith}, {"endswith", str_endswith}, {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix}, {"find", str_find}, {"rfind", str_rfind},
    {"index", str_index}, {"count", str_count}, {"split", str_split}, {"rsplit", str_rsplit},
    {"splitlines", str_splitlines}, {"isdigit", str_isdigit}, {"isspace", str_isspace},
    {NULL, NULL}};

static struct jvalue dict_items(const struct call *c)
{
	return j_items(c->r, c->self);
}

static struct jvalue dict_keys(const struct call *c)
{
	struct jvalue list = j_new_list(c->r, 0, false);
	for (size_t i = 0; i < c->self.dict->n && run_ok(c->r); i++)
		j_append(c->r, list, c->self.dict->items[i].key);
	return list;
}

static struct jvalue dict_values(const struct call *c)
{
	struct jvalue list = j_new_list(c->r, 0, false);
	for (size_t i = 0; i < c->self.dict->n && run_ok(c->r); i++)
		j_append(c->r, list, c->self.dict->items[i].value);
	return list;
}

static struct jvalue dict_get(const struct call *c)
{
	struct jvalue otherwise = j_none();
	jargs_get(c->args, 1, "default", &otherwise);
	struct jvalue *there = j_get(c->r, c->self.dict, argument(c, 0, "key"));
	return there ? *there : otherwise;
}

static const struct method DICT_METHODS[] = {{"items", dict_items}, {"keys", dict_keys},
    {"values", dict_values}, {"get", dict_get}, {NULL, NULL}};

/* loop.cycle(a, b): the argument whose turn it is. */
static struct jvalue loop_cycle(const struct call *c)
{
	struct jvalue *at = j_get_str(c->r, c->self.dict, bytes_str("index0"));
	if (c->args->n == 0 || !at)
		return run_fail(c->r, E_FORMAT, "cycle needs arguments");
	return c->args->pos[(size_t)at->i % c->args->n];
}

static const struct method LOOP_METHODS[] = {{"cycle", loop_cycle}, {NULL, NULL}};

static struct jvalue list_index(const struct call *c)
{
	struct jvalue what = argument(c, 0, "value");
	for (size_t i = 0; i < c->self.list->n && run_spend(c->r, 1); i++)
		if (j_equal(c->r, c->self.list->items[i], what))
			return j_int((int64_t)i);
	return run_fail(c->r, E_FORMAT, "the value is not in the list");
}

static struct jvalue list_count(const struct call *c)
{
	struct jvalue what = argument(c, 0, "value");
	int64_t n = 0;
	for (size_t i = 0; i < c->self.list->n && run_spend(c->r, 1); i++)
		n += j_equal(c->r, c->self.list->items[i], what);
	return j_int(n);
}

static const struct method LIST_METHODS[] = {
    {"index", list_index}, {"count", list_count}, {NULL, NULL}};

bool j_method(struct jrun *r, struct jvalue self, struct bytes name, const struct jargs *args,
    struct jvalue *out)
{
	const struct method *m = self.kind == J_STRING          ? STRING_METHODS
				 : self.kind == J_LIST          ? LIST_METHODS
				 : self.kind != J_DICT          ? NULL
				 : self.dict->role == DICT_LOOP ? LOOP_METHODS
								: DICT_METHODS;
	while (m && m->name && !is_name(name, m->name))
		m++;
	if (!m || !m->name)
		return false;
	*out = m->call(&(struct call){r, self, args});
	return true;
}

static struct jvalue fn_range(const struct call *c)
{
	int64_t bound[3] = {0, 0, 1}, n = (int64_t)c->args->n;
	for (int64_t i = 0; i < n && i < 3; i++)
		if (!j_as_int(c->args->pos[i], &bound[n == 1 ? 1 : i]))
			return run_fail(c->r, E_FORMAT, "range needs integers");
	if (n < 1 || n > 3 || bound[2] == 0)
		return run_fail(c->r, E_FORMAT, "range needs one to three integers");
	struct jvalue list = j_new_list(c->r, 0, false);
	int64_t i = bound[0];
	while ((bound[2] > 0 ? i < bound[1] : i > bound[1]) && run_ok(c->r)) {
		j_append(c->r, list, j_int(i));
		if (__builtin_add_overflow(i, bound[2], &i))
			break;
	}
	return list;
}

static struct jvalue make_dict(const struct call *c, enum jdict_role role)
{
	struct jvalue dict = j_new_dict(c->r, role);
	if (c->args->n && c->args->pos[0].kind == J_DICT)
		for (size_t i = 0; i < c->args->pos[0].dict->n && run_ok(c->r); i++)
			j_put(c->r, dict, c->args->pos[0].dict->items[i].key,
			    c->args->pos[0].dict->items[i].value);
	for (size_t i = 0; i < c->args->n_named; i++)
		j_put(c->r, dict, j_str(c->args->named[i].name), c->args->named[i].value);
	return dict;
}

static struct jvalue fn_namespace(const struct call *c)
{
	return make_dict(c, DICT_NAMESPACE);
}

static struct jvalue fn_dict(const struct call *c)
{
	return make_dict(c, DICT_PLAIN);
}

static struct jvalue fn_raise_exception(const struct call *c)
{
	struct bytes text = j_text(c->r, argument(c, 0, "message"));
	if (run_ok(c->r))
		c->r->rc = err_set(c->r->err, E_INVALID, "%.*s", (int)(text.n < 250 ? text.n : 250),
		    text.n ? (const char *)text.p : "");
	return j_undefined((struct bytes){0});
}

static struct jvalue fn_strftime_now(const struct call *c)
{
	char format[128], text[256];
	struct jvalue v = argument(c, 0, "format");
	struct tm tm;
	time_t now = (time_t)c->r->now_s;
	if (v.kind != J_STRING || v.s.n >= sizeof format || !gmtime_r(&now, &tm))
		return run_fail(c->r, E_FORMAT, "strftime_now needs a short format");
	memcpy(format, v.s.p, v.s.n);
	format[v.s.n] = '\0';
	size_t n = strftime(text, sizeof text, format, &tm);
	return j_copy(c->r, bytes_of(text, n));
}

static const struct method FUNCTIONS[] = {{"range", fn_range}, {"namespace", fn_namespace},
    {"dict", fn_dict}, {"raise_exception", fn_raise_exception}, {"strftime_now", fn_strftime_now},
    {NULL, NULL}};

static const struct method *find_function(struct bytes name)
{
	const struct method *m = FUNCTIONS;
	while (m->name && !is_name(name, m->name))
		m++;
	return m;
}

bool j_is_function(struct bytes name)
{
	return find_function(name)->name != NULL;
}

struct jvalue j_call_function(struct jrun *r, struct bytes name, const struct jargs *args)
{
	return find_function(name)->call(&(struct call){r, j_none(), args});
}
