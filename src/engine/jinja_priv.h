/* Inside of the Jinja interpreter: values, syntax tree, a run.
 *
 * Everything lives in arenas: the tree in the program's, values in the run's; nothing is freed one
 * by one, and a run that goes too far hits its arena's limit. A failure is noted in the run (the
 * first one stays) and execution falls through to the end: every loop asks run_ok.
 *
 * Left out, because no chat template was seen to use it: template inheritance, include and import,
 * macros with varargs, call blocks, recursive loops, raw blocks, integers beyond 64 bits, changing
 * a list or dict in place (the original forbids that, too). */
#ifndef ENGINE_JINJA_PRIV_H
#define ENGINE_JINJA_PRIV_H

#include "engine/jinja.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used;
	size_t limit;
};

void *arena_alloc(struct arena *a, size_t n); /* zeroed; NULL beyond the limit or without memory */
void arena_free(struct arena *a);

enum jkind {
	J_UNDEFINED,
	J_NONE,
	J_BOOL,
	J_INT,
	J_FLOAT,
	J_STRING,
	J_LIST,
	J_DICT,
	J_CALLABLE
};

struct jvalue {
	enum jkind kind;
	union {
		bool b;
		int64_t i;
		double f;
		struct bytes s; /* J_STRING; J_UNDEFINED: what it was called */
		struct jlist *list;
		struct jdict *dict;
		struct jcallable *call;
	};
};

struct jlist {
	struct jvalue *items;
	size_t n;
	size_t cap;
	bool tuple;
};

struct jpair {
	struct jvalue key;
	struct jvalue value;
};

enum jdict_role {
	DICT_PLAIN,
	DICT_NAMESPACE,
	DICT_LOOP
};

struct jdict {
	struct jpair *items; /* in order of insertion */
	size_t n;
	size_t cap;
	enum jdict_role role;
};

/* A macro, or a built-in function by name. */
struct jcallable {
	const struct jnode *macro;
	struct bytes name;
};

enum jnode_kind {
	/* statements */
	N_TEXT,         /* name */
	N_OUTPUT,       /* a */
	N_IF,           /* first: N_BRANCH … */
	N_BRANCH,       /* a: condition or NULL for else; first: body */
	N_FOR,          /* target a, iterable b, filter c; first: body; other: else */
	N_SET,          /* target a, value b */
	N_SET_BLOCK,    /* target a, filters around a N_CAPTURED in b; first: body */
	N_MACRO,        /* name; params: N_PARAM; first: body */
	N_BLOCK,        /* first: a body without meaning of its own */
	N_FILTER_BLOCK, /* b as in N_SET_BLOCK; first: body */
	N_BREAK,
	N_CONTINUE,
	/* expressions */
	N_CONST,    /* value */
	N_NAME,     /* name */
	N_LIST,     /* first: elements */
	N_TUPLE,    /* first: elements */
	N_DICT,     /* first: N_PAIR … */
	N_PAIR,     /* a: b */
	N_ATTR,     /* a.name */
	N_INDEX,    /* a[b] */
	N_SLICE,    /* a[b:c:d] */
	N_CALL,     /* a(first: arguments) */
	N_ARG,      /* name = a; a positional one has no name */
	N_PARAM,    /* name, default a or NULL */
	N_FILTER,   /* a | name(first: arguments) */
	N_TEST,     /* a is name(first: arguments) */
	N_NOT,      /* not a */
	N_NEGATIVE, /* -a */
	N_POSITIVE, /* +a */
	N_AND,
	N_OR,
	N_BINARY,   /* a name b */
	N_COMPARE,  /* a, then first: N_ARG with the operator as name */
	N_CONCAT,   /* first: operands of ~ */
	N_CHOICE,   /* a if b else c */
	N_CAPTURED, /* the text of the enclosing block */
};

struct jnode {
	enum jnode_kind kind;
	unsigned line;
	struct bytes name;
	struct jvalue value;
	struct jnode *a, *b, *c, *d;
	struct jnode *first;  /* children, linked by next */
	struct jnode *other;  /* N_FOR: else */
	struct jnode *params; /* N_MACRO */
	struct jnode *next;
};

struct jinja_program {
	struct arena arena;
	struct jnode *body; /* linked by next */
};

/* Lexer */

enum jtoken_kind {
	T_TEXT,
	T_OUTPUT_BEGIN,
	T_OUTPUT_END,
	T_BLOCK_BEGIN,
	T_BLOCK_END,
	T_NAME,
	T_STRING, /* unescaped */
	T_INT,
	T_FLOAT,
	T_OP,
	T_END,
};

struct jtoken {
	enum jtoken_kind kind;
	struct bytes text;
	struct jvalue value; /* T_INT, T_FLOAT */
	unsigned line;
};

struct jlexer {
	struct arena *arena;
	struct bytes source; /* newlines are \n */
	size_t at;
	unsigned line;
	unsigned nested;   /* open brackets */
	bool in_tag;       /* between tag delimiters */
	bool tag_is_block; /* and it is {% %} */
	bool line_start;   /* the text that follows begins a line */
	bool strip_next;   /* … and loses its leading white space */
};

int jlexer_init(
    struct jlexer *l, struct arena *a, struct bytes source, struct err *err) WARN_UNUSED;
int jlexer_next(struct jlexer *l, struct jtoken *out, struct err *err) WARN_UNUSED;

/* Runs */

struct jvar {
	struct bytes name;
	struct jvalue value;
	struct jvar *next;
};

struct jscope {
	struct jvar *vars;
	struct jscope *parent;
};

enum jsignal {
	SIGNAL_NONE,
	SIGNAL_BREAK,
	SIGNAL_CONTINUE
};

struct jrun {
	struct arena arena;
	struct err *err;
	int rc;
	size_t steps;
	unsigned depth;
	unsigned line; /* of what is being evaluated */
	struct jscope *scope;
	struct jscope *top;
	struct bytes captured; /* what N_CAPTURED reads */
	struct buf *out;
	enum jsignal signal;
	int64_t now_s;
};

static inline bool run_ok(const struct jrun *r)
{
	return r->rc == 0;
}

/* Notes a failure, with the line before it, unless there is one already. Returns undefined. */
struct jvalue run_fail(struct jrun *r, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Takes `cost` from the budget of steps; false (failed) when it is used up. */
bool run_spend(struct jrun *r, size_t cost);
void *run_alloc(struct jrun *r, size_t n); /* NULL: failed */

/* Values: jinja_value.c */

struct jvalue j_none(void);
struct jvalue j_bool(bool b);
struct jvalue j_int(int64_t i);
struct jvalue j_float(double f);
struct jvalue j_str(struct bytes s); /* borrowed */
struct jvalue j_undefined(struct bytes name);
struct jvalue j_copy(struct jrun *r, struct bytes s); /* a string of its own */
struct jvalue j_new_list(struct jrun *r, size_t cap, bool tuple);
struct jvalue j_new_dict(struct jrun *r, enum jdict_role role);
void j_append(struct jrun *r, struct jvalue list, struct jvalue item);
void j_put(struct jrun *r, struct jvalue dict, struct jvalue key, struct jvalue value);
struct jvalue *j_get(struct jrun *r, const struct jdict *d, struct jvalue key); /* NULL: absent */
struct jvalue *j_get_str(struct jrun *r, const struct jdict *d, struct bytes key);
struct jvalue j_from_json(struct jrun *r, const json_t *json);

bool j_is_true(struct jvalue v);
bool j_is_number(struct jvalue v); /* bool counts, as in Python */
double j_number(struct jvalue v);
bool j_as_int(struct jvalue v, int64_t *out); /* an int or a bool */
bool j_equal(struct jrun *r, struct jvalue a, struct jvalue b);
/* <0, 0, >0 for numbers, strings and lists of them; other pairs fail. */
int j_order(struct jrun *r, struct jvalue a, struct jvalue b);
const char *j_kind_name(struct jvalue v);
/* The value as {{ }} shows it; strings as they are, everything else as Python's str does. */
void j_write(struct jrun *r, struct jvalue v, struct buf *out);
struct bytes j_text(struct jrun *r, struct jvalue v); /* the same as a string */
/* JSON as Python's json.dumps with ensure_ascii=False; indent < 0 is one line. */
void j_write_json(struct jrun *r, struct jvalue v, int indent, struct buf *out);
/* The elements of anything iterable: a list, the keys of a dict, the characters of a string. */
struct jlist *j_iterate(struct jrun *r, struct jvalue v);

size_t chars_count(struct bytes s);
/* The part from character `from` to before character `to`. */
struct bytes chars_slice(struct bytes s, size_t from, size_t to);

/* Arguments of a call, filter or test. */

#define JARGS_MAX 16

struct jargs {
	struct jvalue pos[JARGS_MAX];
	size_t n;
	struct {
		struct bytes name;
		struct jvalue value;
	} named[JARGS_MAX];
	size_t n_named;
};

/* The i-th argument or the one of that name; false when neither is given. */
bool jargs_get(const struct jargs *a, size_t i, const char *name, struct jvalue *out);

/* Evaluation: jinja_eval.c, jinja_exec.c */
struct jvalue j_eval(struct jrun *r, const struct jnode *n);
void j_exec(struct jrun *r, const struct jnode *list);
struct jvalue j_call_macro(struct jrun *r, const struct jnode *macro, const struct jargs *args);
struct jvalue j_attribute(struct jrun *r, struct jvalue v, struct bytes name);
struct jvalue j_item(struct jrun *r, struct jvalue v, struct jvalue key);
bool j_contains(struct jrun *r, struct jvalue container, struct jvalue item);
bool j_compare(struct jrun *r, struct jvalue a, struct bytes op, struct jvalue b);
/* Binds a name, or unpacks into a tuple of names, in the present scope. */
void j_assign(struct jrun *r, const struct jnode *target, struct jvalue value);

/* Library: jinja_filters.c, jinja_tests.c, jinja_methods.c */
struct jvalue j_filter(
    struct jrun *r, struct bytes name, struct jvalue v, const struct jargs *args);
bool j_test(struct jrun *r, struct bytes name, struct jvalue v, const struct jargs *args);
/* False when the value has no such method. */
bool j_method(struct jrun *r, struct jvalue self, struct bytes name, const struct jargs *args,
    struct jvalue *out);
/* A built-in function; false when there is none of that name. */
bool j_is_function(struct bytes name);
struct jvalue j_call_function(struct jrun *r, struct bytes name, const struct jargs *args);

/* What filters share with methods. */
struct jvalue j_strip(struct jrun *r, struct bytes s, const struct jargs *args, int sides);
enum {
	STRIP_LEFT = 1,
	STRIP_RIGHT = 2,
	STRIP_BOTH = 3
};
enum jcase {
	CASE_UPPER,
	CASE_LOWER,
	CASE_TITLE,
	CASE_CAPITALIZE
};
struct jvalue j_recase(struct jrun *r, struct bytes s, enum jcase how);
struct jvalue j_replace(struct jrun *r, struct bytes s, const struct jargs *args);
struct jvalue j_join(
    struct jrun *r, struct jvalue list, struct bytes between, struct bytes attribute);
struct jvalue j_items(struct jrun *r, struct jvalue dict);

static inline bool is_name(struct bytes s, const char *name)
{
	return bytes_equal(s, bytes_str(name));
}

#endif
