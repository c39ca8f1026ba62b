/* Statements, and a run from its beginning to its end. A loop's body and a macro have scopes of
 * their own: what they set is gone afterwards, unless it is an attribute of a namespace. */
#include "engine/jinja_priv.h"

#include <stdlib.h>

#define DEPTH_MAX 200

static void bind(struct jrun *r, struct jscope *scope, struct bytes name, struct jvalue value)
{
	for (struct jvar *v = scope->vars; v; v = v->next)
		if (bytes_equal(v->name, name)) {
			v->value = value;
			return;
		}
	struct jvar *v = run_alloc(r, sizeof *v);
	if (!v)
		return;
	*v = (struct jvar){name, value, scope->vars};
	scope->vars = v;
}

static void assign_attribute(struct jrun *r, const struct jnode *target, struct jvalue value)
{
	struct jvalue of = j_eval(r, target->a);
	if (of.kind == J_DICT && of.dict->role == DICT_NAMESPACE)
		j_put(r, of, j_str(target->name), value);
	else
		run_fail(r, E_FORMAT, "only attributes of a namespace can be set");
}

static void assign_tuple(struct jrun *r, const struct jnode *target, struct jvalue value)
{
	struct jlist *items = j_iterate(r, value);
	size_t i = 0;
	for (const struct jnode *name = target->first; name && items && run_ok(r);
	     name = name->next, i++)
		if (i < items->n)
			j_assign(r, name, items->items[i]);
	if (items && i != items->n)
		run_fail(r, E_FORMAT, "%zu names for %zu values", i, items->n);
}

void j_assign(struct jrun *r, const struct jnode *target, struct jvalue value)
{
	if (!run_ok(r))
		return;
	if (target->kind == N_NAME)
		bind(r, r->scope, target->name, value);
	else if (target->kind == N_TUPLE)
		assign_tuple(r, target, value);
	else
		assign_attribute(r, target, value);
}

/* Runs statements with their output going to a buffer; returns it as a string. */
static struct bytes capture(struct jrun *r, const struct jnode *body)
{
	struct buf own = BUF_INIT(JINJA_OUTPUT_MAX), *outer = r->out;
	r->out = &own;
	j_exec(r, body);
	r->out = outer;
	struct jvalue text = j_copy(r, buf_view(&own));
	buf_free(&own);
	return text.kind == J_STRING ? text.s : (struct bytes){0};
}

/* The captured text of a body, through the filters of its block. */
static struct jvalue captured_value(struct jrun *r, const struct jnode *n)
{
	struct bytes outer = r->captured;
	r->captured = capture(r, n->first);
	struct jvalue v = j_eval(r, n->b);
	r->captured = outer;
	return v;
}

struct jvalue j_call_macro(struct jrun *r, const struct jnode *macro, const struct jargs *args)
{
	struct jscope *own = run_alloc(r, sizeof *own), *outer = r->scope;
	enum jsignal signal = r->signal;
	size_t i = 0;
	if (!own)
		return j_undefined((struct bytes){0});
	own->parent = r->top;
	r->scope = own;
	r->signal = SIGNAL_NONE;
	for (const struct jnode *p = macro->params; p && run_ok(r); p = p->next, i++) {
		struct jvalue v = j_undefined(p->name);
		char name[64];
		size_t n = p->name.n < sizeof name - 1 ? p->name.n : sizeof name - 1;
		memcpy(name, p->name.p, n);
		name[n] = '\0';
		if (!jargs_get(args, i, name, &v) && p->a)
			v = j_eval(r, p->a);
		bind(r, own, p->name, v);
	}
	struct bytes text = capture(r, macro->first);
	r->scope = outer;
	r->signal = signal;
	return j_str(text);
}

static void exec_if(struct jrun *r, const struct jnode *n)
{
	for (const struct jnode *branch = n->first; branch && run_ok(r); branch = branch->next)
		if (!branch->a || j_is_true(j_eval(r, branch->a))) {
			j_exec(r, branch->first);
			return;
		}
}

/* The members of `loop`, in the order of update_loop. */
static struct jvalue new_loop(struct jrun *r)
{
	static const char *const NAMES[] = {"index", "index0", "revindex", "revindex0", "first",
	    "last", "length", "previtem", "nextitem", "depth", "depth0"};
	struct jvalue loop = j_new_dict(r, DICT_LOOP);
	for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
		j_put(r, loop, j_str(bytes_str(NAMES[i])), j_int(i == 9));
	return loop;
}

static void update_loop(struct jvalue loop, const struct jlist *items, size_t i)
{
	struct jvalue undefined = j_undefined(bytes_str("loop item"));
	struct jpair *m = loop.dict->items;
	int64_t at = (int64_t)i, n = (int64_t)items->n;
	m[0].value = j_int(at + 1);
	m[1].value = j_int(at);
	m[2].value = j_int(n - at);
	m[3].value = j_int(n - at - 1);
	m[4].value = j_bool(i == 0);
	m[5].value = j_bool(i + 1 == items->n);
	m[6].value = j_int(n);
	m[7].value = i ? items->items[i - 1] : undefined;
	m[8].value = i + 1 < items->n ? items->items[i + 1] : undefined;
}

static struct jlist *filter_items(struct jrun *r, const struct jnode *n, struct jlist *items)
{
	struct jvalue kept = j_new_list(r, 0, false);
	struct jscope *outer = r->scope;
	for (size_t i = 0; i < items->n && run_ok(r); i++) {
		struct jscope own = {.parent = outer};
		r->scope = &own;
		j_assign(r, n->a, items->items[i]);
		if (j_is_true(j_eval(r, n->c)))
			j_append(r, kept, items->items[i]);
		r->scope = outer;
	}
	return run_ok(r) ? kept.list : NULL;
}

static void exec_for(struct jrun *r, const struct jnode *n)
{
	struct jlist *items = j_iterate(r, j_eval(r, n->b));
	struct jscope *outer = r->scope;
	if (items && n->c)
		items = filter_items(r, n, items);
	if (!items)
		return;
	if (items->n == 0) {
		j_exec(r, n->other);
		return;
	}
	struct jvalue loop = new_loop(r);
	for (size_t i = 0; i < items->n && run_ok(r) && r->signal != SIGNAL_BREAK; i++) {
		struct jscope own = {.parent = outer};
		r->scope = &own;
		r->signal = SIGNAL_NONE;
		update_loop(loop, items, i);
		bind(r, &own, bytes_str("loop"), loop);
		j_assign(r, n->a, items->items[i]);
		j_exec(r, n->first);
		r->scope = outer;
	}
	r->signal = SIGNAL_NONE;
}

static void exec_macro(struct jrun *r, const struct jnode *n)
{
	struct jcallable *call = run_alloc(r, sizeof *call);
	if (!call)
		return;
	call->macro = n;
	call->name = n->name;
	bind(r, r->scope, n->name, (struct jvalue){.kind = J_CALLABLE, .call = call});
}

static void exec_one(struct jrun *r, const struct jnode *n)
{
	switch (n->kind) {
	case N_TEXT:
		buf_bytes(r->out, n->name);
		break;
	case N_OUTPUT:
		j_write(r, j_eval(r, n->a), r->out);
		break;
	case N_IF:
		exec_if(r, n);
		break;
	case N_FOR:
		exec_for(r, n);
		break;
	case N_SET:
		j_assign(r, n->a, j_eval(r, n->b));
		break;
	case N_SET_BLOCK:
		j_assign(r, n->a, captured_value(r, n));
		break;
	case N_FILTER_BLOCK:
		j_write(r, captured_value(r, n), r->out);
		break;
	case N_MACRO:
		exec_macro(r, n);
		break;
	case N_BLOCK:
		j_exec(r, n->first);
		break;
	case N_BREAK:
		r->signal = SIGNAL_BREAK;
		break;
	case N_CONTINUE:
		r->signal = SIGNAL_CONTINUE;
		break;
	case N_BRANCH:
	case N_CONST:
	case N_NAME:
	case N_LIST:
	case N_TUPLE:
	case N_DICT:
	case N_PAIR:
	case N_ATTR:
	case N_INDEX:
	case N_SLICE:
	case N_CALL:
	case N_ARG:
	case N_PARAM:
	case N_FILTER:
	case N_TEST:
	case N_NOT:
	case N_NEGATIVE:
	case N_POSITIVE:
	case N_AND:
	case N_OR:
	case N_BINARY:
	case N_COMPARE:
	case N_CONCAT:
	case N_CHOICE:
	case N_CAPTURED:
		run_fail(r, E_INTERNAL, "not a statement (%d)", (int)n->kind);
		break;
	}
	if (r->out->failed)
		run_fail(r, E_LIMIT, "the template writes too much");
}

void j_exec(struct jrun *r, const struct jnode *list)
{
	if (r->depth >= DEPTH_MAX) {
		run_fail(r, E_LIMIT, "the template nests too deeply");
		return;
	}
	r->depth++;
	for (const struct jnode *n = list; n && run_spend(r, 1) && r->signal == SIGNAL_NONE;
	     n = n->next) {
		r->line = n->line;
		exec_one(r, n);
	}
	r->depth--;
}

static void set_globals(struct jrun *r, const json_t *globals)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)globals, key, value)
	{
		if (!run_ok(r))
			return;
		bind(r, r->top, bytes_str(key), j_from_json(r, value));
	}
}

int jinja_render(const struct jinja_program *p, const json_t *globals, int64_t now_s,
    struct buf *out, struct err *err)
{
	struct buf text = BUF_INIT(JINJA_OUTPUT_MAX);
	struct jscope top = {0};
	struct jrun r = {.err = err, .out = &text, .top = &top, .scope = &top, .now_s = now_s};
	r.arena.limit = JINJA_MEMORY_MAX;
	r.line = 1;
	set_globals(&r, globals);
	j_exec(&r, p->body);
	if (r.rc == 0) {
		r.rc = buf_reserve(out, text.n);
		if (r.rc == 0)
			buf_bytes(out, buf_view(&text));
		else
			err_set(err, r.rc, "no room for %zu bytes of rendered template", text.n);
	}
	arena_free(&r.arena);
	buf_free(&text);
	return r.rc;
}
