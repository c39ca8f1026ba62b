/* Values of the interpreter: memory, construction, comparison and iteration. */
#include "engine/jinja_priv.h"

#include "base/encode.h"

#include <stdio.h>
#include <stdlib.h>

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	_Alignas(16) uint8_t bytes[];
};

#define BLOCK_SIZE ((size_t)16 << 10)

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	if (n > a->limit || a->limit - n < a->used)
		return NULL;
	n = (n + 15) & ~(size_t)15;
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;
		b = calloc(1, sizeof *b + size);
		if (!b)
			return NULL;
		b->size = size;
		b->next = a->blocks;
		a->blocks = b;
	}
	void *p = b->bytes + b->used;
	b->used += n;
	a->used += n;
	return p;
}

void arena_free(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
	a->used = 0;
}

struct jvalue run_fail(struct jrun *r, int code, const char *fmt, ...)
{
	if (r->rc == 0) {
		char text[ERR_TEXT_MAX];
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(text, sizeof text, fmt, ap);
		va_end(ap);
		r->rc = err_set(r->err, code, "template line %u: %s", r->line, text);
	}
	return j_undefined((struct bytes){0});
}

bool run_spend(struct jrun *r, size_t cost)
{
	if (run_ok(r) && cost <= JINJA_STEPS_MAX - r->steps) {
		r->steps += cost;
		return true;
	}
	run_fail(r, E_LIMIT, "the template takes too many steps");
	return false;
}

void *run_alloc(struct jrun *r, size_t n)
{
	void *p = run_ok(r) ? arena_alloc(&r->arena, n ? n : 1) : NULL;
	if (!p)
		run_fail(r, E_LIMIT, "the template takes too much memory");
	return p;
}

struct jvalue j_none(void)
{
	return (struct jvalue){.kind = J_NONE};
}

struct jvalue j_bool(bool b)
{
	return (struct jvalue){.kind = J_BOOL, .b = b};
}

struct jvalue j_int(int64_t i)
{
	return (struct jvalue){.kind = J_INT, .i = i};
}

struct jvalue j_float(double f)
{
	return (struct jvalue){.kind = J_FLOAT, .f = f};
}

struct jvalue j_str(struct bytes s)
{
	return (struct jvalue){.kind = J_STRING, .s = s};
}

struct jvalue j_undefined(struct bytes name)
{
	return (struct jvalue){.kind = J_UNDEFINED, .s = name};
}

struct jvalue j_copy(struct jrun *r, struct bytes s)
{
	uint8_t *p = run_spend(r, s.n / 64) ? run_alloc(r, s.n) : NULL;
	if (!p)
		return j_undefined((struct bytes){0});
	if (s.n)
		memcpy(p, s.p, s.n);
	return j_str(bytes_of(p, s.n));
}

struct jvalue j_new_list(struct jrun *r, size_t cap, bool tuple)
{
	struct jlist *list = run_alloc(r, sizeof *list);
	struct jvalue *items = cap && list ? run_alloc(r, cap * sizeof *items) : NULL;
	if (!list || (cap && !items))
		return j_undefined((struct bytes){0});
	*list = (struct jlist){.items = items, .cap = cap, .tuple = tuple};
	return (struct jvalue){.kind = J_LIST, .list = list};
}

struct jvalue j_new_dict(struct jrun *r, enum jdict_role role)
{
	struct jdict *dict = run_alloc(r, sizeof *dict);
	if (!dict)
		return j_undefined((struct bytes){0});
	dict->role = role;
	return (struct jvalue){.kind = J_DICT, .dict = dict};
}

void j_append(struct jrun *r, struct jvalue list, struct jvalue item)
{
	if (!run_spend(r, 1) || list.kind != J_LIST)
		return;
	struct jlist *l = list.list;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		struct jvalue *items = run_alloc(r, cap * sizeof *items);
		if (!items)
			return;
		if (l->n)
			memcpy(items, l->items, l->n * sizeof *items);
		l->items = items;
		l->cap = cap;
	}
	l->items[l->n++] = item;
}

struct jvalue *j_get(struct jrun *r, const struct jdict *d, struct jvalue key)
{
	run_spend(r, d->n / 8);
	for (size_t i = 0; i < d->n && run_ok(r); i++)
		if (j_equal(r, d->items[i].key, key))
			return &d->items[i].value;
	return NULL;
}

struct jvalue *j_get_str(struct jrun *r, const struct jdict *d, struct bytes key)
{
	return j_get(r, d, j_str(key));
}

void j_put(struct jrun *r, struct jvalue dict, struct jvalue key, struct jvalue value)
{
	if (dict.kind != J_DICT || !run_spend(r, 1))
		return;
	struct jdict *d = dict.dict;
	struct jvalue *there = j_get(r, d, key);
	if (there) {
		*there = value;
		return;
	}
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 8;
		struct jpair *items = run_alloc(r, cap * sizeof *items);
		if (!items)
			return;
		if (d->n)
			memcpy(items, d->items, d->n * sizeof *items);
		d->items = items;
		d->cap = cap;
	}
	d->items[d->n++] = (struct jpair){key, value};
}

static struct jvalue dict_from_json(struct jrun *r, const json_t *json)
{
	struct jvalue dict = j_new_dict(r, DICT_PLAIN);
	const char *key;
	json_t *member;
	json_object_foreach((json_t *)(uintptr_t)json, key, member)
	{
		if (!run_ok(r))
			break;
		struct jvalue value = j_from_json(r, member);
		j_put(r, dict, j_str(bytes_str(key)), value);
	}
	return dict;
}

static struct jvalue list_from_json(struct jrun *r, const json_t *json)
{
	struct jvalue list = j_new_list(r, json_array_size(json), false);
	for (size_t i = 0; i < json_array_size(json) && run_ok(r); i++)
		j_append(r, list, j_from_json(r, json_array_get(json, i)));
	return list;
}

struct jvalue j_from_json(struct jrun *r, const json_t *json)
{
	struct jvalue v = j_none();
	if (r->depth >= JINJA_NEST_MAX)
		return run_fail(r, E_LIMIT, "the messages nest too deeply");
	r->depth++;
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		v = dict_from_json(r, json);
		break;
	case JSON_ARRAY:
		v = list_from_json(r, json);
		break;
	case JSON_STRING:
		v = j_str(bytes_of(json_string_value(json), json_string_length(json)));
		break;
	case JSON_INTEGER:
		v = j_int(json_integer_value(json));
		break;
	case JSON_REAL:
		v = j_float(json_real_value(json));
		break;
	case JSON_TRUE:
		v = j_bool(true);
		break;
	case JSON_FALSE:
		v = j_bool(false);
		break;
	case JSON_NULL:
		break;
	}
	r->depth--;
	return v;
}

bool j_is_true(struct jvalue v)
{
	switch (v.kind) {
	case J_UNDEFINED:
	case J_NONE:
		return false;
	case J_BOOL:
		return v.b;
	case J_INT:
		return v.i != 0;
	case J_FLOAT:
		return v.f < 0 || v.f > 0;
	case J_STRING:
		return v.s.n > 0;
	case J_LIST:
		return v.list->n > 0;
	case J_DICT:
		return v.dict->n > 0 || v.dict->role != DICT_PLAIN;
	case J_CALLABLE:
		return true;
	}
	return false;
}

bool j_is_number(struct jvalue v)
{
	return v.kind == J_INT || v.kind == J_FLOAT || v.kind == J_BOOL;
}

double j_number(struct jvalue v)
{
	if (v.kind == J_FLOAT)
		return v.f;
	return v.kind == J_BOOL ? (double)v.b : (double)v.i;
}

bool j_as_int(struct jvalue v, int64_t *out)
{
	if (v.kind != J_INT && v.kind != J_BOOL)
		return false;
	*out = v.kind == J_INT ? v.i : v.b;
	return true;
}

static bool lists_equal(struct jrun *r, const struct jlist *a, const struct jlist *b)
{
	if (a->n != b->n || a->tuple != b->tuple)
		return false;
	for (size_t i = 0; i < a->n && run_ok(r); i++)
		if (!j_equal(r, a->items[i], b->items[i]))
			return false;
	return true;
}

static bool dicts_equal(struct jrun *r, const struct jdict *a, const struct jdict *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n && run_ok(r); i++) {
		struct jvalue *other = j_get(r, b, a->items[i].key);
		if (!other || !j_equal(r, a->items[i].value, *other))
			return false;
	}
	return true;
}

bool j_equal(struct jrun *r, struct jvalue a, struct jvalue b)
{
	int64_t x, y;
	bool equal = false;
	if (j_as_int(a, &x) && j_as_int(b, &y))
		return x == y;
	if (j_is_number(a) && j_is_number(b))
		return j_number(a) >= j_number(b) && j_number(a) <= j_number(b);
	if (a.kind != b.kind)
		return false;
	if (a.kind == J_UNDEFINED || a.kind == J_NONE)
		return true;
	if (a.kind == J_STRING)
		return bytes_equal(a.s, b.s);
	if (a.kind == J_CALLABLE)
		return a.call == b.call;
	if (r->depth >= JINJA_NEST_MAX * 4 || !run_spend(r, 1))
		return false;
	r->depth++;
	if (a.kind == J_LIST)
		equal = a.list == b.list || lists_equal(r, a.list, b.list);
	else if (a.kind == J_DICT)
		equal = a.dict == b.dict || dicts_equal(r, a.dict, b.dict);
	r->depth--;
	return equal;
}

int j_order(struct jrun *r, struct jvalue a, struct jvalue b)
{
	int64_t x, y;
	if (j_as_int(a, &x) && j_as_int(b, &y))
		return x < y ? -1 : x > y;
	if (j_is_number(a) && j_is_number(b))
		return j_number(a) < j_number(b) ? -1 : j_number(a) > j_number(b);
	if (a.kind == J_STRING && b.kind == J_STRING) {
		/* The order of UTF-8 is the order of code points. */
		size_t n = a.s.n < b.s.n ? a.s.n : b.s.n;
		run_spend(r, n / 64);
		int order = n ? memcmp(a.s.p, b.s.p, n) : 0;
		return order ? order : a.s.n < b.s.n ? -1 : a.s.n > b.s.n;
	}
	if (a.kind != J_LIST || b.kind != J_LIST || r->depth >= JINJA_NEST_MAX * 4) {
		run_fail(r, E_FORMAT, "%s and %s have no order", j_kind_name(a), j_kind_name(b));
		return 0;
	}
	r->depth++;
	int order = 0;
	for (size_t i = 0; order == 0 && i < a.list->n && i < b.list->n && run_ok(r); i++)
		if (!j_equal(r, a.list->items[i], b.list->items[i]))
			order = j_order(r, a.list->items[i], b.list->items[i]);
	r->depth--;
	return order ? order : a.list->n < b.list->n ? -1 : a.list->n > b.list->n;
}

const char *j_kind_name(struct jvalue v)
{
	switch (v.kind) {
	case J_UNDEFINED:
		return "an undefined value";
	case J_NONE:
		return "none";
	case J_BOOL:
		return "a boolean";
	case J_INT:
		return "an integer";
	case J_FLOAT:
		return "a float";
	case J_STRING:
		return "a string";
	case J_LIST:
		return v.list->tuple ? "a tuple" : "a list";
	case J_DICT:
		return "a mapping";
	case J_CALLABLE:
		return "a function";
	}
	return "a value";
}

static size_t char_size(const uint8_t *p, size_t n)
{
	uint32_t cp;
	size_t used = utf8_decode(p, n, &cp);
	return used ? used : 1;
}

size_t chars_count(struct bytes s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; n++)
		i += char_size(s.p + i, s.n - i);
	return n;
}

struct bytes chars_slice(struct bytes s, size_t from, size_t to)
{
	size_t at = 0, i = 0;
	for (; i < from && at < s.n; i++)
		at += char_size(s.p + at, s.n - at);
	size_t start = at;
	for (; i < to && at < s.n; i++)
		at += char_size(s.p + at, s.n - at);
	return bytes_of(s.p + start, at - start);
}

struct jlist *j_iterate(struct jrun *r, struct jvalue v)
{
	if (v.kind == J_LIST)
		return v.list;
	struct jvalue list = j_new_list(r, 0, false);
	if (!run_ok(r))
		return NULL;
	if (v.kind == J_DICT) {
		for (size_t i = 0; i < v.dict->n && run_ok(r); i++)
			j_append(r, list, v.dict->items[i].key);
	} else if (v.kind == J_STRING) {
		for (size_t i = 0; i < v.s.n && run_ok(r);) {
			size_t n = char_size(v.s.p + i, v.s.n - i);
			j_append(r, list, j_str(bytes_of(v.s.p + i, n)));
			i += n;
		}
	} else if (v.kind != J_UNDEFINED) {
		run_fail(r, E_FORMAT, "%s cannot be iterated", j_kind_name(v));
	}
	return run_ok(r) ? list.list : NULL;
}

bool jargs_get(const struct jargs *a, size_t i, const char *name, struct jvalue *out)
{
	if (i < a->n) {
		*out = a->pos[i];
		return true;
	}
	for (size_t k = 0; k < a->n_named; k++)
		if (is_name(a->named[k].name, name)) {
			*out = a->named[k].value;
			return true;
		}
	return false;
}
