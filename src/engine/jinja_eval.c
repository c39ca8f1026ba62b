/* Expressions. Each returns a value; after a failure that value is undefined and nobody looks at
 * it. */
#include "engine/jinja_priv.h"

#include <math.h>
#include <stdlib.h>

#define DEPTH_MAX 200 /* nodes of the tree inside each other, macros called included */

struct jvalue j_attribute(struct jrun *r, struct jvalue v, struct bytes name)
{
	if (v.kind == J_UNDEFINED)
		return run_fail(r, E_FORMAT, "'%.*s' is undefined and has no '%.*s'",
		    (int)(v.s.n < 60 ? v.s.n : 60), v.s.n ? (const char *)v.s.p : "",
		    (int)(name.n < 60 ? name.n : 60), (const char *)name.p);
	struct jvalue *there = v.kind == J_DICT ? j_get_str(r, v.dict, name) : NULL;
	return there ? *there : j_undefined(name);
}

/* An index as Python reads it: negative ones count from the end. */
static bool resolve_index(int64_t i, size_t n, size_t *out)
{
	if (i < 0)
		i += (int64_t)n;
	*out = (size_t)i;
	return i >= 0 && (uint64_t)i < n;
}

struct jvalue j_item(struct jrun *r, struct jvalue v, struct jvalue key)
{
	int64_t i;
	size_t at;
	if (v.kind == J_UNDEFINED)
		return j_attribute(r, v, key.kind == J_STRING ? key.s : bytes_str("item"));
	if (v.kind == J_DICT) {
		struct jvalue *there = j_get(r, v.dict, key);
		return there ? *there
			     : j_undefined(key.kind == J_STRING ? key.s : bytes_str("item"));
	}
	if (v.kind == J_LIST && j_as_int(key, &i) && resolve_index(i, v.list->n, &at))
		return v.list->items[at];
	if (v.kind == J_STRING && j_as_int(key, &i) && run_spend(r, v.s.n / 16) &&
	    resolve_index(i, chars_count(v.s), &at))
		return j_str(chars_slice(v.s, at, at + 1));
	return j_undefined(key.kind == J_STRING ? key.s : bytes_str("item"));
}

static bool has_substring(struct bytes in, struct bytes what)
{
	return what.n == 0 || (in.n >= what.n && memmem(in.p, in.n, what.p, what.n));
}

bool j_contains(struct jrun *r, struct jvalue container, struct jvalue item)
{
	if (container.kind == J_STRING && item.kind == J_STRING)
		return run_spend(r, container.s.n / 16) && has_substring(container.s, item.s);
	if (container.kind == J_DICT)
		return j_get(r, container.dict, item) != NULL;
	if (container.kind == J_UNDEFINED)
		return false;
	if (container.kind != J_LIST) {
		run_fail(
		    r, E_FORMAT, "%s cannot be in %s", j_kind_name(item), j_kind_name(container));
		return false;
	}
	for (size_t i = 0; i < container.list->n && run_spend(r, 1); i++)
		if (j_equal(r, container.list->items[i], item))
			return true;
	return false;
}

bool j_compare(struct jrun *r, struct jvalue a, struct bytes op, struct jvalue b)
{
	if (is_name(op, "=="))
		return j_equal(r, a, b);
	if (is_name(op, "!="))
		return !j_equal(r, a, b);
	if (is_name(op, "in"))
		return j_contains(r, b, a);
	if (is_name(op, "not in"))
		return !j_contains(r, b, a);
	int order = j_order(r, a, b);
	if (op.p[0] == '<')
		return op.n == 1 ? order < 0 : order <= 0;
	return op.n == 1 ? order > 0 : order >= 0;
}

static struct jvalue bad_operands(struct jrun *r, struct jvalue a, struct bytes op, struct jvalue b)
{
	return run_fail(r, E_FORMAT, "%s %.*s %s is not possible", j_kind_name(a), (int)op.n,
	    (const char *)op.p, j_kind_name(b));
}

static struct jvalue int_overflow(struct jrun *r)
{
	return run_fail(r, E_FORMAT, "an integer is too large");
}

static struct jvalue int_power(struct jrun *r, int64_t x, int64_t y)
{
	int64_t result = 1;
	if (y < 0)
		return j_float(pow((double)x, (double)y));
	if (x >= -1 && x <= 1)
		return j_int(x == -1 ? (y % 2 ? -1 : 1) : y == 0 ? 1 : x);
	for (; y > 0; y--)
		if (__builtin_mul_overflow(result, x, &result))
			return int_overflow(r);
	return j_int(result);
}

static struct jvalue int_divide(struct jrun *r, int64_t x, int64_t y, bool remainder)
{
	if (y == 0)
		return run_fail(r, E_FORMAT, "division by zero");
	if (y == -1)
		return x == INT64_MIN ? int_overflow(r) : j_int(remainder ? 0 : -x);
	int64_t quotient = x / y, rest = x % y;
	if (rest != 0 && (rest < 0) != (y < 0)) { /* towards minus infinity */
		quotient--;
		rest += y;
	}
	return j_int(remainder ? rest : quotient);
}

static struct jvalue int_arithmetic(struct jrun *r, int64_t x, struct bytes op, int64_t y)
{
	int64_t z;
	if (is_name(op, "+"))
		return __builtin_add_overflow(x, y, &z) ? int_overflow(r) : j_int(z);
	if (is_name(op, "-"))
		return __builtin_sub_overflow(x, y, &z) ? int_overflow(r) : j_int(z);
	if (is_name(op, "*"))
		return __builtin_mul_overflow(x, y, &z) ? int_overflow(r) : j_int(z);
	if (is_name(op, "**"))
		return int_power(r, x, y);
	if (is_name(op, "/"))
		return y == 0 ? int_divide(r, x, y, false) : j_float((double)x / (double)y);
	return int_divide(r, x, y, is_name(op, "%"));
}

static struct jvalue float_arithmetic(struct jrun *r, double x, struct bytes op, double y)
{
	if (is_name(op, "+"))
		return j_float(x + y);
	if (is_name(op, "-"))
		return j_float(x - y);
	if (is_name(op, "*"))
		return j_float(x * y);
	if (is_name(op, "**"))
		return j_float(pow(x, y));
	if (!(y < 0) && !(y > 0))
		return run_fail(r, E_FORMAT, "division by zero");
	if (is_name(op, "/"))
		return j_float(x / y);
	double floor_quotient = floor(x / y);
	return j_float(is_name(op, "//") ? floor_quotient : x - floor_quotient * y);
}

static struct jvalue join_strings(struct jrun *r, struct bytes a, struct bytes b)
{
	uint8_t *p = run_spend(r, (a.n + b.n) / 64) ? run_alloc(r, a.n + b.n) : NULL;
	if (!p)
		return j_undefined((struct bytes){0});
	if (a.n)
		memcpy(p, a.p, a.n);
	if (b.n)
		memcpy(p + a.n, b.p, b.n);
	return j_str(bytes_of(p, a.n + b.n));
}

static struct jvalue repeat_string(struct jrun *r, struct bytes s, int64_t times)
{
	size_t n = times < 0 ? 0 : (size_t)times;
	if (s.n && n > JINJA_MEMORY_MAX / s.n)
		return run_fail(r, E_LIMIT, "the template takes too much memory");
	uint8_t *p = run_spend(r, n) ? run_alloc(r, s.n * n) : NULL;
	for (size_t i = 0; p && s.n && i < n; i++)
		memcpy(p + i * s.n, s.p, s.n);
	return p ? j_str(bytes_of(p, s.n * n)) : j_undefined((struct bytes){0});
}

static struct jvalue join_lists(struct jrun *r, const struct jlist *a, const struct jlist *b)
{
	struct jvalue list = j_new_list(r, a->n + b->n, a->tuple);
	for (size_t i = 0; i < a->n && run_ok(r); i++)
		j_append(r, list, a->items[i]);
	for (size_t i = 0; i < b->n && run_ok(r); i++)
		j_append(r, list, b->items[i]);
	return list;
}

static struct jvalue arithmetic(struct jrun *r, struct jvalue a, struct bytes op, struct jvalue b)
{
	int64_t x, y;
	if (!run_ok(r))
		return j_undefined((struct bytes){0});
	if (j_as_int(a, &x) && j_as_int(b, &y))
		return int_arithmetic(r, x, op, y);
	if (j_is_number(a) && j_is_number(b))
		return float_arithmetic(r, j_number(a), op, j_number(b));
	if (is_name(op, "+") && a.kind == J_STRING && b.kind == J_STRING)
		return join_strings(r, a.s, b.s);
	if (is_name(op, "+") && a.kind == J_LIST && b.kind == J_LIST)
		return join_lists(r, a.list, b.list);
	if (is_name(op, "*") && a.kind == J_STRING && j_as_int(b, &y))
		return repeat_string(r, a.s, y);
	if (is_name(op, "*") && b.kind == J_STRING && j_as_int(a, &x))
		return repeat_string(r, b.s, x);
	return bad_operands(r, a, op, b);
}

static struct jvalue negative(struct jrun *r, struct jvalue v)
{
	int64_t i;
	if (j_as_int(v, &i))
		return i == INT64_MIN ? int_overflow(r) : j_int(-i);
	if (v.kind == J_FLOAT)
		return j_float(-v.f);
	return run_fail(r, E_FORMAT, "%s has no negative", j_kind_name(v));
}

/* A bound of a slice, clamped to [low, high]; `otherwise` when it is left out. */
static bool slice_bound(struct jrun *r, const struct jnode *n, size_t count, int64_t low,
    int64_t high, int64_t otherwise, int64_t *out)
{
	*out = otherwise;
	if (!n)
		return true;
	struct jvalue v = j_eval(r, n);
	if (v.kind == J_NONE)
		return true;
	if (!j_as_int(v, out)) {
		run_fail(r, E_FORMAT, "a slice needs integers, not %s", j_kind_name(v));
		return false;
	}
	if (*out < 0)
		*out += (int64_t)count;
	*out = *out < low ? low : *out > high ? high : *out;
	return true;
}

static struct jvalue slice_list(
    struct jrun *r, const struct jlist *l, int64_t from, int64_t to, int64_t step)
{
	struct jvalue list = j_new_list(r, 0, l->tuple);
	for (int64_t i = from; (step > 0 ? i < to : i > to) && run_ok(r); i += step)
		j_append(r, list, l->items[i]);
	return list;
}

static struct jvalue slice_string(
    struct jrun *r, struct bytes s, int64_t from, int64_t to, int64_t step)
{
	if (step == 1)
		return j_str(
		    to > from ? chars_slice(s, (size_t)from, (size_t)to) : bytes_of(s.p, 0));
	struct jlist *chars = j_iterate(r, j_str(s));
	if (!chars)
		return j_undefined((struct bytes){0});
	struct jvalue list = slice_list(r, chars, from, to, step);
	return j_join(r, list, (struct bytes){0}, (struct bytes){0});
}

static struct jvalue eval_slice(struct jrun *r, const struct jnode *n)
{
	struct jvalue v = j_eval(r, n->a);
	int64_t step = 1, from, to;
	if (n->d && !j_as_int(j_eval(r, n->d), &step))
		return run_fail(r, E_FORMAT, "a slice needs integers");
	if (step == 0 || step > INT32_MAX || step < INT32_MIN)
		return run_fail(r, E_FORMAT, "a slice cannot step by %lld", (long long)step);
	if (v.kind != J_LIST && v.kind != J_STRING)
		return run_fail(r, E_FORMAT, "%s cannot be sliced", j_kind_name(v));
	run_spend(r, v.kind == J_STRING ? v.s.n / 16 : 1);
	size_t n_items = v.kind == J_LIST ? v.list->n : chars_count(v.s);
	int64_t count = (int64_t)n_items, low = step > 0 ? 0 : -1,
		high = step > 0 ? count : count - 1;
	if (!slice_bound(r, n->b, n_items, low, high, step > 0 ? 0 : count - 1, &from) ||
	    !slice_bound(r, n->c, n_items, low, high, step > 0 ? count : -1, &to))
		return j_undefined((struct bytes){0});
	return v.kind == J_LIST ? slice_list(r, v.list, from, to, step)
				: slice_string(r, v.s, from, to, step);
}

static void eval_args(struct jrun *r, const struct jnode *list, struct jargs *out)
{
	out->n = out->n_named = 0;
	for (const struct jnode *arg = list; arg && run_ok(r); arg = arg->next) {
		struct jvalue v = j_eval(r, arg->a);
		if (arg->name.n) {
			out->named[out->n_named].name = arg->name;
			out->named[out->n_named++].value = v;
		} else {
			out->pos[out->n++] = v;
		}
	}
}

static struct jvalue call_value(
    struct jrun *r, struct jvalue callee, struct bytes name, const struct jargs *args)
{
	if (!run_ok(r))
		return j_undefined((struct bytes){0});
	if (callee.kind != J_CALLABLE)
		return run_fail(r, callee.kind == J_UNDEFINED ? E_UNSUPPORTED : E_FORMAT,
		    "'%.*s' is %s, not a function", (int)(name.n < 60 ? name.n : 60),
		    name.n ? (const char *)name.p : "", j_kind_name(callee));
	if (callee.call->macro)
		return j_call_macro(r, callee.call->macro, args);
	return j_call_function(r, callee.call->name, args);
}

static struct jvalue call_method(struct jrun *r, const struct jnode *n, const struct jargs *args)
{
	struct jvalue self = j_eval(r, n->a), result;
	if (!run_ok(r) || j_method(r, self, n->name, args, &result))
		return run_ok(r) ? result : j_undefined((struct bytes){0});
	struct jvalue member = j_attribute(r, self, n->name);
	if (member.kind == J_UNDEFINED)
		return run_fail(r, E_UNSUPPORTED, "%s has no method '%.*s'", j_kind_name(self),
		    (int)(n->name.n < 60 ? n->name.n : 60), (const char *)n->name.p);
	return call_value(r, member, n->name, args);
}

static struct jvalue eval_call(struct jrun *r, const struct jnode *n)
{
	struct jargs args;
	eval_args(r, n->first, &args);
	if (n->a->kind == N_ATTR)
		return call_method(r, n->a, &args);
	return call_value(r, j_eval(r, n->a), n->a->name, &args);
}

static struct jvalue eval_filter(struct jrun *r, const struct jnode *n)
{
	struct jargs args;
	struct jvalue v = j_eval(r, n->a);
	eval_args(r, n->first, &args);
	return run_ok(r) ? j_filter(r, n->name, v, &args) : v;
}

static struct jvalue eval_test(struct jrun *r, const struct jnode *n)
{
	struct jargs args;
	struct jvalue v = j_eval(r, n->a);
	eval_args(r, n->first, &args);
	return j_bool(run_ok(r) && j_test(r, n->name, v, &args));
}

static struct jvalue eval_name(struct jrun *r, const struct jnode *n)
{
	for (const struct jscope *s = r->scope; s; s = s->parent)
		for (const struct jvar *v = s->vars; v; v = v->next)
			if (bytes_equal(v->name, n->name))
				return v->value;
	if (!j_is_function(n->name))
		return j_undefined(n->name);
	struct jcallable *call = run_alloc(r, sizeof *call);
	if (!call)
		return j_undefined(n->name);
	call->name = n->name;
	return (struct jvalue){.kind = J_CALLABLE, .call = call};
}

static struct jvalue eval_list(struct jrun *r, const struct jnode *n)
{
	struct jvalue list = j_new_list(r, 0, n->kind == N_TUPLE);
	for (const struct jnode *e = n->first; e && run_ok(r); e = e->next)
		j_append(r, list, j_eval(r, e));
	return list;
}

static struct jvalue eval_dict(struct jrun *r, const struct jnode *n)
{
	struct jvalue dict = j_new_dict(r, DICT_PLAIN);
	for (const struct jnode *pair = n->first; pair && run_ok(r); pair = pair->next) {
		struct jvalue key = j_eval(r, pair->a);
		j_put(r, dict, key, j_eval(r, pair->b));
	}
	return dict;
}

static struct jvalue eval_concat(struct jrun *r, const struct jnode *n)
{
	struct jvalue list = j_new_list(r, 0, false);
	for (const struct jnode *part = n->first; part && run_ok(r); part = part->next)
		j_append(r, list, j_eval(r, part));
	return j_join(r, list, (struct bytes){0}, (struct bytes){0});
}

static struct jvalue eval_compare(struct jrun *r, const struct jnode *n)
{
	struct jvalue left = j_eval(r, n->a);
	for (const struct jnode *arg = n->first; arg && run_ok(r); arg = arg->next) {
		struct jvalue right = j_eval(r, arg->a);
		if (!run_ok(r) || !j_compare(r, left, arg->name, right))
			return j_bool(false);
		left = right;
	}
	return j_bool(true);
}

static struct jvalue eval_binary(struct jrun *r, const struct jnode *n)
{
	struct jvalue left = j_eval(r, n->a);
	return arithmetic(r, left, n->name, j_eval(r, n->b));
}

static struct jvalue eval_logic(struct jrun *r, const struct jnode *n)
{
	struct jvalue left = j_eval(r, n->a);
	return j_is_true(left) == (n->kind == N_OR) ? left : j_eval(r, n->b);
}

static struct jvalue eval_choice(struct jrun *r, const struct jnode *n)
{
	if (j_is_true(j_eval(r, n->b)))
		return j_eval(r, n->a);
	return n->c ? j_eval(r, n->c) : j_undefined((struct bytes){0});
}

static struct jvalue eval_item(struct jrun *r, const struct jnode *n)
{
	struct jvalue of = j_eval(r, n->a);
	return j_item(r, of, j_eval(r, n->b));
}

static struct jvalue eval_sign(struct jrun *r, const struct jnode *n)
{
	struct jvalue v = j_eval(r, n->a);
	if (n->kind == N_NEGATIVE)
		return negative(r, v);
	return j_is_number(v) ? v : run_fail(r, E_FORMAT, "%s is no number", j_kind_name(v));
}

static struct jvalue dispatch(struct jrun *r, const struct jnode *n)
{
	switch (n->kind) {
	case N_CONST:
		return n->value;
	case N_NAME:
		return eval_name(r, n);
	case N_LIST:
	case N_TUPLE:
		return eval_list(r, n);
	case N_DICT:
		return eval_dict(r, n);
	case N_ATTR:
		return j_attribute(r, j_eval(r, n->a), n->name);
	case N_INDEX:
		return eval_item(r, n);
	case N_SLICE:
		return eval_slice(r, n);
	case N_CALL:
		return eval_call(r, n);
	case N_FILTER:
		return eval_filter(r, n);
	case N_TEST:
		return eval_test(r, n);
	case N_NOT:
		return j_bool(!j_is_true(j_eval(r, n->a)));
	case N_NEGATIVE:
	case N_POSITIVE:
		return eval_sign(r, n);
	case N_AND:
	case N_OR:
		return eval_logic(r, n);
	case N_BINARY:
		return eval_binary(r, n);
	case N_COMPARE:
		return eval_compare(r, n);
	case N_CONCAT:
		return eval_concat(r, n);
	case N_CHOICE:
		return eval_choice(r, n);
	case N_CAPTURED:
		return j_str(r->captured);
	case N_TEXT:
	case N_OUTPUT:
	case N_IF:
	case N_BRANCH:
	case N_FOR:
	case N_SET:
	case N_SET_BLOCK:
	case N_MACRO:
	case N_BLOCK:
	case N_FILTER_BLOCK:
	case N_BREAK:
	case N_CONTINUE:
	case N_PAIR:
	case N_ARG:
	case N_PARAM:
		break;
	}
	return run_fail(r, E_INTERNAL, "not an expression (%d)", (int)n->kind);
}

struct jvalue j_eval(struct jrun *r, const struct jnode *n)
{
	if (!run_spend(r, 1))
		return j_undefined((struct bytes){0});
	if (r->depth >= DEPTH_MAX)
		return run_fail(r, E_LIMIT, "the template nests too deeply");
	unsigned line = r->line;
	r->line = n->line;
	r->depth++;
	struct jvalue v = dispatch(r, n);
	r->depth--;
	r->line = line;
	return run_ok(r) ? v : j_undefined((struct bytes){0});
}
