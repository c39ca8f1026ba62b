/* The parser: tokens to a syntax tree, by recursive descent with Jinja's own precedence. Filters
 * and tests bind tighter than arithmetic; "a if b else c" binds loosest. How deep anything nests is
 * counted, so that neither parsing nor running a template can exhaust the stack. */
#include "engine/jinja_priv.h"

#include <stdlib.h>

struct parser {
	struct jlexer lexer;
	struct jtoken now;
	struct arena *arena;
	unsigned depth;
	int rc;
	struct err *err;
};

static struct jnode *parse_expression(struct parser *p);
static struct jnode *parse_unary(struct parser *p, bool with_filters);
static struct jnode *parse_body(struct parser *p, const char *const *ends);

static struct jnode *fail(struct parser *p, int code, const char *what)
{
	if (p->rc == 0)
		p->rc = err_set(p->err, code, "template line %u: %s", p->now.line, what);
	return NULL;
}

static void next(struct parser *p)
{
	if (p->rc == 0)
		p->rc = jlexer_next(&p->lexer, &p->now, p->err);
	if (p->rc)
		p->now = (struct jtoken){.kind = T_END, .line = p->now.line};
}

static struct jnode *node(struct parser *p, enum jnode_kind kind)
{
	struct jnode *n = p->rc ? NULL : arena_alloc(p->arena, sizeof *n);
	if (!n)
		return fail(p, E_LIMIT, "the template is too large");
	n->kind = kind;
	n->line = p->now.line;
	return n;
}

static struct jnode *node_of(struct parser *p, enum jnode_kind kind, struct jnode *a)
{
	struct jnode *n = a ? node(p, kind) : NULL;
	if (n)
		n->a = a;
	return n;
}

/* False, and failed, when nesting goes too deep. Pair with leave. */
static bool enter(struct parser *p)
{
	if (p->depth++ < JINJA_NEST_MAX)
		return true;
	fail(p, E_LIMIT, "the template nests too deeply");
	return false;
}

static void leave(struct parser *p)
{
	p->depth--;
}

static bool at_op(const struct parser *p, const char *op)
{
	return p->now.kind == T_OP && is_name(p->now.text, op);
}

static bool at_name(const struct parser *p, const char *name)
{
	return p->now.kind == T_NAME && is_name(p->now.text, name);
}

static bool take_op(struct parser *p, const char *op)
{
	bool there = at_op(p, op);
	if (there)
		next(p);
	return there;
}

static bool take_name(struct parser *p, const char *name)
{
	bool there = at_name(p, name);
	if (there)
		next(p);
	return there;
}

static void want_op(struct parser *p, const char *op)
{
	char what[40] = "expected '";
	memcpy(what + 10, op, strlen(op));
	memcpy(what + 10 + strlen(op), "'", 2);
	if (!take_op(p, op))
		fail(p, E_FORMAT, what);
}

static void want_kind(struct parser *p, enum jtoken_kind kind, const char *what)
{
	if (p->now.kind != kind)
		fail(p, E_FORMAT, what);
	next(p);
}

static struct bytes want_name(struct parser *p)
{
	struct bytes name = p->now.text;
	want_kind(p, T_NAME, "expected a name");
	return name;
}

/* A list of siblings being built. */
struct chain {
	struct jnode *first;
	struct jnode **end;
};

static void chain_add(struct chain *c, struct jnode *n)
{
	if (!n)
		return;
	if (!c->end)
		c->end = &c->first;
	*c->end = n;
	c->end = &n->next;
}

/* Expressions */

static struct jnode *constant(struct parser *p, struct jvalue value)
{
	struct jnode *n = node(p, N_CONST);
	if (n)
		n->value = value;
	next(p);
	return n;
}

static struct jnode *parse_name(struct parser *p)
{
	static const struct {
		const char *name;
		enum jkind kind;
		bool b;
	} WORDS[] = {{"true", J_BOOL, true}, {"True", J_BOOL, true}, {"false", J_BOOL, false},
	    {"False", J_BOOL, false}, {"none", J_NONE, false}, {"None", J_NONE, false}};
	for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
		if (at_name(p, WORDS[i].name))
			return constant(p, (struct jvalue){.kind = WORDS[i].kind, .b = WORDS[i].b});
	struct jnode *n = node(p, N_NAME);
	if (n)
		n->name = p->now.text;
	next(p);
	return n;
}

/* Adjacent strings are one. */
static struct jnode *parse_string(struct parser *p)
{
	struct bytes text = p->now.text;
	next(p);
	while (p->now.kind == T_STRING) {
		uint8_t *both = arena_alloc(p->arena, text.n + p->now.text.n + 1);
		if (!both)
			return fail(p, E_LIMIT, "the template is too large");
		memcpy(both, text.p, text.n);
		memcpy(both + text.n, p->now.text.p, p->now.text.n);
		text = bytes_of(both, text.n + p->now.text.n);
		next(p);
	}
	struct jnode *n = node(p, N_CONST);
	if (n)
		n->value = j_str(text);
	return n;
}

/* Elements up to the closing bracket. */
static struct jnode *parse_elements(struct parser *p, enum jnode_kind kind, const char *close)
{
	struct jnode *n = node(p, kind);
	struct chain elements = {0};
	while (p->rc == 0 && !at_op(p, close)) {
		chain_add(&elements, parse_expression(p));
		if (!take_op(p, ","))
			break;
	}
	want_op(p, close);
	if (n)
		n->first = elements.first;
	return n;
}

static struct jnode *parse_dict(struct parser *p)
{
	struct jnode *n = node(p, N_DICT);
	struct chain pairs = {0};
	while (p->rc == 0 && !at_op(p, "}")) {
		struct jnode *pair = node_of(p, N_PAIR, parse_expression(p));
		want_op(p, ":");
		if (pair)
			pair->b = parse_expression(p);
		chain_add(&pairs, pair);
		if (!take_op(p, ","))
			break;
	}
	want_op(p, "}");
	if (n)
		n->first = pairs.first;
	return n;
}

/* "(a)" is a, "(a, b)", "(a,)" and "()" are tuples. */
static struct jnode *parse_parenthesis(struct parser *p)
{
	struct jnode *n = node(p, N_TUPLE);
	struct chain elements = {0};
	bool comma = at_op(p, ")");
	while (p->rc == 0 && !at_op(p, ")")) {
		chain_add(&elements, parse_expression(p));
		if (!take_op(p, ","))
			break;
		comma = true;
	}
	want_op(p, ")");
	if (!n || !comma)
		return elements.first;
	n->first = elements.first;
	return n;
}

static struct jnode *parse_primary(struct parser *p)
{
	if (p->now.kind == T_NAME)
		return parse_name(p);
	if (p->now.kind == T_STRING)
		return parse_string(p);
	if (p->now.kind == T_INT || p->now.kind == T_FLOAT)
		return constant(p, p->now.value);
	if (take_op(p, "("))
		return parse_parenthesis(p);
	if (take_op(p, "["))
		return parse_elements(p, N_LIST, "]");
	if (take_op(p, "{"))
		return parse_dict(p);
	return fail(p, E_FORMAT, "expected an expression");
}

/* Arguments after "(": positional ones and name=value. */
static struct jnode *parse_arguments(struct parser *p)
{
	struct chain args = {0};
	size_t n = 0;
	while (p->rc == 0 && !at_op(p, ")")) {
		struct jnode *value = parse_expression(p), *arg = node(p, N_ARG);
		if (!value || !arg)
			return NULL;
		arg->a = value;
		if (at_op(p, "=") && value->kind == N_NAME) {
			next(p);
			arg->name = value->name;
			arg->a = parse_expression(p);
		}
		chain_add(&args, arg);
		if (++n > JARGS_MAX)
			return fail(p, E_LIMIT, "too many arguments");
		if (!take_op(p, ","))
			break;
	}
	want_op(p, ")");
	return args.first;
}

static struct jnode *parse_call(struct parser *p, struct jnode *callee)
{
	struct jnode *n = node_of(p, N_CALL, callee);
	struct jnode *args = parse_arguments(p);
	if (n)
		n->first = args;
	return n;
}

static bool at_slice_end(const struct parser *p)
{
	return at_op(p, ":") || at_op(p, "]");
}

/* After "[": an index or a slice. */
static struct jnode *parse_subscript(struct parser *p, struct jnode *of)
{
	struct jnode *from = at_op(p, ":") ? NULL : parse_expression(p);
	struct jnode *n = node_of(p, at_op(p, ":") ? N_SLICE : N_INDEX, of);
	if (!n)
		return NULL;
	n->b = from;
	if (take_op(p, ":")) {
		n->c = at_slice_end(p) ? NULL : parse_expression(p);
		if (take_op(p, ":"))
			n->d = at_slice_end(p) ? NULL : parse_expression(p);
	}
	want_op(p, "]");
	return n;
}

static struct jnode *parse_attribute(struct parser *p, struct jnode *of)
{
	bool number = p->now.kind == T_INT; /* a.0 is a[0] */
	struct jnode *n = node_of(p, number ? N_INDEX : N_ATTR, of);
	if (n && number) {
		n->b = constant(p, p->now.value);
		return n;
	}
	struct bytes name = want_name(p);
	if (n)
		n->name = name;
	return n;
}

static struct jnode *parse_postfix(struct parser *p, struct jnode *n)
{
	unsigned links = 0;
	while (n && p->rc == 0) {
		if (take_op(p, "."))
			n = parse_attribute(p, n);
		else if (take_op(p, "["))
			n = parse_subscript(p, n);
		else if (take_op(p, "("))
			n = parse_call(p, n);
		else
			break;
		if (++links > JINJA_NEST_MAX)
			return fail(p, E_LIMIT, "the template nests too deeply");
	}
	return n;
}

static struct jnode *parse_one_filter(struct parser *p, struct jnode *of)
{
	struct jnode *n = node_of(p, N_FILTER, of);
	struct bytes name = want_name(p);
	if (!n)
		return NULL;
	n->name = name;
	if (take_op(p, "("))
		n->first = parse_arguments(p);
	return n;
}

static bool begins_test_argument(const struct parser *p)
{
	if (p->now.kind == T_NAME)
		return !at_name(p, "else") && !at_name(p, "or") && !at_name(p, "and") &&
		       !at_name(p, "if") && !at_name(p, "is") && !at_name(p, "not") &&
		       !at_name(p, "in");
	return p->now.kind == T_STRING || p->now.kind == T_INT || p->now.kind == T_FLOAT ||
	       at_op(p, "[") || at_op(p, "{");
}

static struct jnode *parse_one_test(struct parser *p, struct jnode *of)
{
	bool negated = take_name(p, "not");
	struct jnode *n = node_of(p, N_TEST, of);
	struct bytes name = want_name(p);
	if (!n)
		return NULL;
	n->name = name;
	if (take_op(p, "(")) {
		n->first = parse_arguments(p);
	} else if (begins_test_argument(p)) {
		n->first = node(p, N_ARG);
		if (n->first)
			n->first->a = parse_postfix(p, parse_primary(p));
	}
	return negated ? node_of(p, N_NOT, n) : n;
}

static struct jnode *parse_filters(struct parser *p, struct jnode *n)
{
	unsigned links = 0;
	while (n && p->rc == 0) {
		if (take_op(p, "|"))
			n = parse_one_filter(p, n);
		else if (take_name(p, "is"))
			n = parse_one_test(p, n);
		else if (take_op(p, "("))
			n = parse_call(p, n);
		else
			break;
		if (++links > JINJA_NEST_MAX)
			return fail(p, E_LIMIT, "the template nests too deeply");
	}
	return n;
}

static struct jnode *parse_unary(struct parser *p, bool with_filters)
{
	struct jnode *n;
	if (!enter(p))
		return NULL;
	if (take_op(p, "-"))
		n = node_of(p, N_NEGATIVE, parse_unary(p, false));
	else if (take_op(p, "+"))
		n = node_of(p, N_POSITIVE, parse_unary(p, false));
	else
		n = parse_primary(p);
	n = parse_postfix(p, n);
	if (with_filters)
		n = parse_filters(p, n);
	leave(p);
	return n;
}

/* Left-associative operators of one level. */
static struct jnode *binary(
    struct parser *p, struct jnode *left, struct jnode *right, struct bytes op)
{
	struct jnode *n = right ? node_of(p, N_BINARY, left) : NULL;
	if (n) {
		n->name = op;
		n->b = right;
	}
	return n;
}

static bool at_any(const struct parser *p, const char *const *ops)
{
	for (; *ops; ops++)
		if (at_op(p, *ops))
			return true;
	return false;
}

static struct jnode *parse_level(struct parser *p, unsigned level);

static struct jnode *parse_concat(struct parser *p)
{
	struct jnode *first = parse_level(p, 1);
	if (!at_op(p, "~"))
		return first;
	struct jnode *n = node(p, N_CONCAT);
	struct chain parts = {0};
	chain_add(&parts, first);
	while (take_op(p, "~"))
		chain_add(&parts, parse_level(p, 1));
	if (n)
		n->first = parts.first;
	return n;
}

/* 2: + -, 1: * / // %, 0: **; between the first two sits ~. */
static struct jnode *parse_level(struct parser *p, unsigned level)
{
	static const char *const OPS[3][5] = {{"**"}, {"*", "/", "//", "%"}, {"+", "-"}};
	struct jnode *left = level == 2   ? parse_concat(p)
			     : level == 1 ? parse_level(p, 0)
					  : parse_unary(p, true);
	unsigned links = 0;
	while (left && at_any(p, OPS[level])) {
		struct bytes op = p->now.text;
		next(p);
		struct jnode *right = level == 2   ? parse_concat(p)
				      : level == 1 ? parse_level(p, 0)
						   : parse_unary(p, true);
		left = binary(p, left, right, op);
		if (++links > JINJA_NEST_MAX)
			return fail(p, E_LIMIT, "the template nests too deeply");
	}
	return left;
}

/* The comparison operator here, consumed; empty when there is none. "not in" is one. */
static struct bytes take_comparison(struct parser *p)
{
	static const char *const OPS[] = {"==", "!=", "<=", ">=", "<", ">", NULL};
	struct bytes op = p->now.text;
	if (p->now.kind == T_OP && at_any(p, OPS)) {
		next(p);
		return op;
	}
	if (take_name(p, "in"))
		return bytes_str("in");
	if (!at_name(p, "not"))
		return (struct bytes){0};
	struct parser before = *p;
	next(p);
	if (take_name(p, "in"))
		return bytes_str("not in");
	*p = before;
	return (struct bytes){0};
}

static struct jnode *parse_compare(struct parser *p)
{
	struct jnode *left = parse_level(p, 2);
	struct bytes op = take_comparison(p);
	if (op.n == 0)
		return left;
	struct jnode *n = node_of(p, N_COMPARE, left);
	struct chain rest = {0};
	while (op.n && p->rc == 0) {
		struct jnode *arg = node_of(p, N_ARG, parse_level(p, 2));
		if (arg)
			arg->name = op;
		chain_add(&rest, arg);
		op = take_comparison(p);
	}
	if (n)
		n->first = rest.first;
	return n;
}

static struct jnode *parse_not(struct parser *p)
{
	unsigned nots = 0;
	while (take_name(p, "not"))
		nots++;
	struct jnode *n = parse_compare(p);
	/* an even number still makes it a bool */
	for (nots = nots > 1 ? 2 - nots % 2 : nots; nots; nots--)
		n = node_of(p, N_NOT, n);
	return n;
}

static struct jnode *parse_logic(struct parser *p, enum jnode_kind kind)
{
	struct jnode *left = kind == N_OR ? parse_logic(p, N_AND) : parse_not(p);
	unsigned links = 0;
	while (left && take_name(p, kind == N_OR ? "or" : "and")) {
		left = node_of(p, kind, left);
		struct jnode *right = kind == N_OR ? parse_logic(p, N_AND) : parse_not(p);
		if (left)
			left->b = right;
		if (++links > JINJA_NEST_MAX)
			return fail(p, E_LIMIT, "the template nests too deeply");
	}
	return left;
}

static struct jnode *parse_expression(struct parser *p)
{
	if (!enter(p))
		return NULL;
	struct jnode *n = parse_logic(p, N_OR);
	unsigned links = 0;
	while (n && take_name(p, "if")) {
		n = node_of(p, N_CHOICE, n);
		struct jnode *condition = parse_logic(p, N_OR);
		struct jnode *otherwise = take_name(p, "else") ? parse_expression(p) : NULL;
		if (n) {
			n->b = condition;
			n->c = otherwise;
		}
		if (++links > JINJA_NEST_MAX)
			n = fail(p, E_LIMIT, "the template nests too deeply");
	}
	leave(p);
	return n;
}

/* "a" or "a, b": an expression, or a tuple without parentheses. */
static struct jnode *parse_tuple(struct parser *p)
{
	struct jnode *first = parse_expression(p);
	if (!at_op(p, ","))
		return first;
	struct jnode *n = node(p, N_TUPLE);
	struct chain elements = {0};
	chain_add(&elements, first);
	while (take_op(p, ",") && p->now.kind != T_BLOCK_END)
		chain_add(&elements, parse_expression(p));
	if (n)
		n->first = elements.first;
	return n;
}

/* Statements */

static void end_block(struct parser *p)
{
	want_kind(p, T_BLOCK_END, "expected the end of the block");
}

static void end_statement(struct parser *p)
{
	next(p); /* the name that parse_body stopped at */
	end_block(p);
}

/* What is assigned to: names, "a, b" or namespace.attribute. */
static struct jnode *parse_target(struct parser *p)
{
	struct chain names = {0};
	struct jnode *n = node(p, N_TUPLE);
	bool tuple = false, parenthesis = take_op(p, "(");
	do {
		struct jnode *name = node(p, N_NAME);
		struct bytes text = want_name(p);
		if (name)
			name->name = text;
		if (take_op(p, "."))
			name = parse_attribute(p, name);
		chain_add(&names, name);
		tuple = tuple || at_op(p, ",");
	} while (p->rc == 0 && take_op(p, ","));
	if (parenthesis)
		want_op(p, ")");
	if (!n || !tuple)
		return names.first;
	n->first = names.first;
	return n;
}

static struct jnode *parse_if(struct parser *p)
{
	static const char *const ENDS[] = {"elif", "else", "endif", NULL};
	struct jnode *n = node(p, N_IF);
	struct chain branches = {0};
	bool more = true;
	while (more && p->rc == 0) {
		struct jnode *branch = node(p, N_BRANCH);
		bool last = at_name(p, "else");
		next(p);
		if (!branch)
			break;
		branch->a = last ? NULL : parse_tuple(p);
		end_block(p);
		branch->first = parse_body(p, ENDS);
		chain_add(&branches, branch);
		more = !at_name(p, "endif") && !last;
	}
	if (!at_name(p, "endif"))
		fail(p, E_FORMAT, "expected endif");
	end_statement(p);
	if (n)
		n->first = branches.first;
	return n;
}

static struct jnode *parse_for(struct parser *p)
{
	static const char *const ENDS[] = {"else", "endfor", NULL};
	struct jnode *n = node(p, N_FOR);
	next(p);
	if (!n)
		return NULL;
	n->a = parse_target(p);
	if (!take_name(p, "in"))
		fail(p, E_FORMAT, "expected 'in'");
	/* The iterable must not swallow the filter's "if". */
	n->b = enter(p) ? parse_logic(p, N_OR) : NULL;
	leave(p);
	if (take_name(p, "if"))
		n->c = parse_expression(p);
	if (at_name(p, "recursive"))
		fail(p, E_UNSUPPORTED, "recursive loops are not supported");
	end_block(p);
	n->first = parse_body(p, ENDS);
	if (at_name(p, "else")) {
		end_statement(p);
		n->other = parse_body(p, ENDS + 1);
	}
	end_statement(p);
	return n;
}

static struct jnode *parse_block_filters(struct parser *p)
{
	struct jnode *captured = node(p, N_CAPTURED);
	return parse_filters(p, captured);
}

static struct jnode *parse_set(struct parser *p)
{
	static const char *const ENDS[] = {"endset", NULL};
	struct jnode *n = node(p, N_SET);
	next(p);
	if (!n)
		return NULL;
	n->a = parse_target(p);
	if (take_op(p, "=")) {
		n->b = parse_tuple(p);
		end_block(p);
		return n;
	}
	n->kind = N_SET_BLOCK;
	n->b = parse_block_filters(p);
	end_block(p);
	n->first = parse_body(p, ENDS);
	end_statement(p);
	return n;
}

static struct jnode *parse_filter_block(struct parser *p)
{
	static const char *const ENDS[] = {"endfilter", NULL};
	struct jnode *n = node(p, N_FILTER_BLOCK);
	next(p);
	struct jnode *filter = parse_one_filter(p, node(p, N_CAPTURED));
	if (!n)
		return NULL;
	n->b = parse_filters(p, filter);
	end_block(p);
	n->first = parse_body(p, ENDS);
	end_statement(p);
	return n;
}

static struct jnode *parse_macro(struct parser *p)
{
	static const char *const ENDS[] = {"endmacro", NULL};
	struct jnode *n = node(p, N_MACRO);
	struct chain params = {0};
	size_t count = 0;
	next(p);
	struct bytes name = want_name(p);
	want_op(p, "(");
	while (p->rc == 0 && !at_op(p, ")")) {
		struct jnode *param = node(p, N_PARAM);
		struct bytes param_name = want_name(p);
		if (param) {
			param->name = param_name;
			param->a = take_op(p, "=") ? parse_expression(p) : NULL;
		}
		chain_add(&params, param);
		if (++count > JARGS_MAX)
			fail(p, E_LIMIT, "too many parameters");
		if (!take_op(p, ","))
			break;
	}
	want_op(p, ")");
	end_block(p);
	struct jnode *body = parse_body(p, ENDS);
	end_statement(p);
	if (n) {
		n->name = name;
		n->params = params.first;
		n->first = body;
	}
	return n;
}

/* {% generation %} only marks what the assistant said, for training. */
static struct jnode *parse_generation(struct parser *p)
{
	static const char *const ENDS[] = {"endgeneration", NULL};
	struct jnode *n = node(p, N_BLOCK);
	end_statement(p);
	struct jnode *body = parse_body(p, ENDS);
	end_statement(p);
	if (n)
		n->first = body;
	return n;
}

static struct jnode *parse_jump(struct parser *p, enum jnode_kind kind)
{
	struct jnode *n = node(p, kind);
	end_statement(p);
	return n;
}

static struct jnode *parse_statement(struct parser *p)
{
	if (at_name(p, "if"))
		return parse_if(p);
	if (at_name(p, "for"))
		return parse_for(p);
	if (at_name(p, "set"))
		return parse_set(p);
	if (at_name(p, "macro"))
		return parse_macro(p);
	if (at_name(p, "filter"))
		return parse_filter_block(p);
	if (at_name(p, "generation"))
		return parse_generation(p);
	if (at_name(p, "break"))
		return parse_jump(p, N_BREAK);
	if (at_name(p, "continue"))
		return parse_jump(p, N_CONTINUE);
	if (p->now.kind != T_NAME)
		return fail(p, E_FORMAT, "expected a statement");
	char what[80] = "unknown statement '";
	size_t n = p->now.text.n < 40 ? p->now.text.n : 40, at = strlen(what);
	memcpy(what + at, p->now.text.p, n);
	what[at + n] = '\'';
	return fail(p, E_UNSUPPORTED, what);
}

static struct jnode *parse_output(struct parser *p)
{
	next(p);
	struct jnode *n = node_of(p, N_OUTPUT, parse_tuple(p));
	want_kind(p, T_OUTPUT_END, "expected '}}'");
	return n;
}

static struct jnode *parse_text(struct parser *p)
{
	struct jnode *n = node(p, N_TEXT);
	if (n)
		n->name = p->now.text;
	next(p);
	return n;
}

static bool at_end(const struct parser *p, const char *const *ends)
{
	for (; *ends; ends++)
		if (at_name(p, *ends))
			return true;
	return false;
}

/* Statements up to a block that begins with one of `ends`, whose name is then the present token; up
 * to the end of the template when `ends` is empty. */
static struct jnode *parse_body(struct parser *p, const char *const *ends)
{
	struct chain body = {0};
	bool done = !enter(p);
	while (!done && p->rc == 0) {
		switch (p->now.kind) {
		case T_TEXT:
			chain_add(&body, parse_text(p));
			break;
		case T_OUTPUT_BEGIN:
			chain_add(&body, parse_output(p));
			break;
		case T_BLOCK_BEGIN:
			next(p);
			done = at_end(p, ends);
			if (!done)
				chain_add(&body, parse_statement(p));
			break;
		case T_OUTPUT_END:
		case T_BLOCK_END:
		case T_NAME:
		case T_STRING:
		case T_INT:
		case T_FLOAT:
		case T_OP:
			fail(p, E_FORMAT, "unexpected token");
			break;
		case T_END:
			done = true;
			if (*ends)
				fail(p, E_FORMAT, "a block does not end");
			break;
		}
	}
	leave(p);
	return body.first;
}

int jinja_parse(struct bytes source, struct jinja_program **out, struct err *err)
{
	static const char *const NO_ENDS[] = {NULL};
	struct jinja_program *program = calloc(1, sizeof *program);
	if (!program)
		return err_set(err, E_MEMORY, "no memory for a template");
	program->arena.limit = JINJA_NODES_MAX;
	struct parser p = {.arena = &program->arena, .err = err};
	p.rc = jlexer_init(&p.lexer, p.arena, source, err);
	next(&p);
	program->body = parse_body(&p, NO_ENDS);
	if (p.rc)
		jinja_free(program);
	else
		*out = program;
	return p.rc;
}

void jinja_free(struct jinja_program *p)
{
	if (p)
		arena_free(&p->arena);
	free(p);
}
