/* Inside of the grammars: nodes, and the builder that makes them.
 *
 * A grammar is a set of rules; a rule is a graph of nodes that ends in NODE_RETURN. Nodes are built
 * backwards: each builder function takes the node that follows and returns the node to enter. */
#ifndef ENGINE_GRAMMAR_PRIV_H
#define ENGINE_GRAMMAR_PRIV_H

#include "engine/grammar.h"

#include <jansson.h>

enum node_kind {
	NODE_DEAD,   /* nothing goes on from here */
	NODE_RETURN, /* the rule is complete */
	NODE_BYTES,  /* one byte of set `a`, then `b` */
	NODE_SPLIT,  /* `a` or `b` */
	NODE_CALL,   /* rule `a`, then `b` */
};

struct gnode {
	uint8_t kind;
	uint8_t height; /* how many more rules must be entered inside each other; HEIGHT_NEVER */
	uint32_t a, b;
};

#define HEIGHT_NEVER 255u

/* Node ids that every grammar has. */
#define G_DEAD   0u
#define G_RETURN 1u

struct byte_set {
	uint32_t bits[8];
};

static inline bool set_has(const struct byte_set *s, uint8_t byte)
{
	return s->bits[byte >> 5] >> (byte & 31) & 1;
}

struct grammar {
	struct gnode *nodes;
	size_t n_nodes;
	struct byte_set *sets;
	size_t n_sets;
	uint32_t *starts; /* by rule */
	size_t n_rules;
	/* Bytes that all sets treat alike share a class. */
	uint8_t class_of[256];
	uint16_t n_classes;
	uint8_t example[256]; /* by class: one of its bytes */
};

/* Rules that are there from the beginning. */
enum builtin_rule {
	RULE_ROOT,
	RULE_WS,     /* bounded white space */
	RULE_CHAR,   /* one character inside a string */
	RULE_STRING, /* any string */
	RULE_NUMBER,
	RULE_INTEGER,
	RULE_ANY,
	RULE_OBJECT, /* any object */
	RULE_ARRAY,  /* any array */
	RULES_BUILTIN
};

struct rule_job {
	const json_t *schema; /* NULL: built in */
	const json_t *root;   /* what its references are relative to */
	char *path;           /* for errors; owned */
};

struct builder {
	struct grammar *g;
	size_t cap_nodes, cap_sets, cap_rules;
	struct rule_job *rules; /* by rule; compiled in order */
	uint32_t *memo;         /* open addressing: schema to rule + 1 */
	size_t memo_size;
	json_t *owned;    /* what merging made */
	size_t weight;    /* of that */
	const char *path; /* of the schema under way */
	unsigned depth;
	int rc;
	struct err *err;
};

static inline bool built_ok(const struct builder *b)
{
	return b->rc == 0;
}

/* Notes the first failure; returns G_DEAD, so that `return build_fail(…)` reads well. */
uint32_t build_fail(struct builder *b, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* E_UNSUPPORTED about a keyword of the schema under way. */
uint32_t build_refuse(struct builder *b, const char *keyword, const char *why);

/* grammar_build.c */
uint32_t build_node(struct builder *b, enum node_kind kind, uint32_t x, uint32_t y);
uint32_t build_set(struct builder *b, const struct byte_set *set, uint32_t next);
uint32_t build_range(struct builder *b, uint8_t low, uint8_t high, uint32_t next);
uint32_t build_byte(struct builder *b, char c, uint32_t next);
uint32_t build_literal(struct builder *b, struct bytes text, uint32_t next);
uint32_t build_any_of(struct builder *b, const char *bytes, uint32_t next);
/* Either; drops what is dead. */
uint32_t build_split(struct builder *b, uint32_t x, uint32_t y);
uint32_t build_call(struct builder *b, uint32_t rule, uint32_t next);
uint32_t build_ws(struct builder *b, uint32_t next);
/* Between low and high digits. */
uint32_t build_digits(struct builder *b, unsigned low, unsigned high, uint32_t next);
/* Code points low … high in UTF-8, written as they are inside a JSON string. */
uint32_t build_code_points(struct builder *b, uint32_t low, uint32_t high, uint32_t next);
/* One character of a string: anything that JSON allows there. */
uint32_t build_char(struct builder *b, uint32_t next);
/* A key of an additional property: any string without escapes but these (sorted or not). */
uint32_t build_other_key(struct builder *b, const struct bytes *names, size_t n, uint32_t next);
/* Any bytes without `mark`, then the end; or up to and with the mark's first occurrence, then
 * `next`.
 */
uint32_t build_until(struct builder *b, struct bytes mark, uint32_t next);
/* Any bytes that do not begin, after white space, with a bracket; then the end. */
uint32_t build_plain_text(struct builder *b);
void build_builtin_rules(struct builder *b);

/* grammar_number.c: integers and numbers between bounds, as minimum … say. */
struct number_bounds {
	bool has_low, has_high;
	bool low_open, high_open; /* exclusive */
	double low, high;
};
uint32_t build_bounded(
    struct builder *b, const struct number_bounds *bounds, bool integer, uint32_t next);

/* grammar_regex.c: a string (without its quotes) that matches, of min … max characters. */
uint32_t build_pattern(
    struct builder *b, struct bytes pattern, unsigned min, unsigned max, uint32_t next);
/* Whether `text` matches. E_UNSUPPORTED and others as build_pattern; the failure is b's. */
bool pattern_matches(struct builder *b, struct bytes pattern, struct bytes text);
/* The pattern of a format, or NULL when it is only an annotation. */
const char *format_pattern(const char *format);

/* grammar_merge.c */
/* What `schema` points to; NULL (failed) when there is nothing there. */
const json_t *resolve_ref(struct builder *b, const json_t *root, const char *ref);
/* A schema that allows what both allow; owned by the builder. NULL when failed. */
const json_t *merge_schemas(
    struct builder *b, const json_t *root, const json_t *x, const json_t *y);
/* A copy without some keywords; owned by the builder. */
const json_t *without(struct builder *b, const json_t *schema, const char *key);
const json_t *keep_owned(struct builder *b, json_t *value);
/* Does anything in it restrict? (Annotations and definitions do not.) */
bool restricts(const json_t *schema);
/* Refuses what cannot be enforced. */
void check_keywords(struct builder *b, const json_t *schema);

/* grammar_schema.c */
uint32_t rule_for(struct builder *b, const json_t *schema, const json_t *root, const char *path,
    const char *step);
void build_rules(struct builder *b);

/* grammar_object.c */
uint32_t build_object(struct builder *b, const json_t *schema, const json_t *root, uint32_t next);
uint32_t build_array(struct builder *b, const json_t *schema, const json_t *root, uint32_t next);

#endif
