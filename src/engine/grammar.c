/* Grammars, from the outside: putting the parts together, and what a finished grammar needs to
 * promise that every beginning it lets through can be completed. */
#include "engine/grammar_priv.h"

#include <stdlib.h>

#define ITEMS_MAX 64

static void restrict_alphabet(struct grammar *g, const struct grammar_alphabet *alphabet)
{
	struct byte_set all = {0};
	for (unsigned c = 0; c < 256; c++)
		if (alphabet->has[c])
			all.bits[c >> 5] |= 1u << (c & 31);
	for (size_t i = 0; i < g->n_sets; i++)
		for (int w = 0; w < 8; w++)
			g->sets[i].bits[w] &= all.bits[w];
}

static unsigned height_of(const struct grammar *g, const struct gnode *n)
{
	static const struct byte_set none;
	switch ((enum node_kind)n->kind) {
	case NODE_DEAD:
		break;
	case NODE_RETURN:
		return 0;
	case NODE_BYTES:
		return memcmp(&g->sets[n->a], &none, sizeof none) ? g->nodes[n->b].height
								  : HEIGHT_NEVER;
	case NODE_SPLIT: {
		unsigned x = g->nodes[n->a].height, y = g->nodes[n->b].height;
		return x < y ? x : y;
	}
	case NODE_CALL: {
		unsigned in = g->nodes[g->starts[n->a]].height, after = g->nodes[n->b].height;
		in += in < HEIGHT_NEVER;
		return in > after ? in : after;
	}
	}
	return HEIGHT_NEVER;
}

/* Least fixed point, by sweeps: followers mostly have lower numbers than their node. A node that
 * stays at HEIGHT_NEVER leads to no complete document. */
static void measure_heights(struct grammar *g)
{
	for (size_t i = 0; i < g->n_nodes; i++)
		g->nodes[i].height = HEIGHT_NEVER;
	for (bool changed = true; changed;) {
		changed = false;
		for (size_t i = 0; i < g->n_nodes; i++) {
			unsigned h = height_of(g, &g->nodes[i]);
			if (h < g->nodes[i].height && h < GRAMMAR_DEPTH_MAX) {
				g->nodes[i].height = (uint8_t)h;
				changed = true;
			}
		}
	}
}

/* Splits the classes until every set is a union of them. */
static void find_classes(struct grammar *g)
{
	g->n_classes = 1;
	for (size_t i = 0; i < g->n_sets && g->n_classes < 256; i++) {
		int16_t split_to[256];
		bool seen_out[256] = {false};
		memset(split_to, -1, sizeof split_to);
		for (unsigned c = 0; c < 256; c++)
			if (!set_has(&g->sets[i], (uint8_t)c))
				seen_out[g->class_of[c]] = true;
		for (unsigned c = 0; c < 256; c++) {
			unsigned old = g->class_of[c];
			if (!set_has(&g->sets[i], (uint8_t)c) || !seen_out[old])
				continue;
			if (split_to[old] < 0)
				split_to[old] = (int16_t)g->n_classes++;
			g->class_of[c] = (uint8_t)split_to[old];
		}
	}
	for (unsigned c = 256; c-- > 0;)
		g->example[g->class_of[c]] = (uint8_t)c;
}

static uint32_t build_part(struct builder *b, const struct grammar_part *p, uint32_t next)
{
	switch (p->kind) {
	case GRAMMAR_LITERAL:
		return build_literal(b, p->text, next);
	case GRAMMAR_OBJECT:
		return build_call(b, RULE_OBJECT, next);
	case GRAMMAR_SCHEMA:
		break;
	}
	json_error_t why;
	b->path = p->name;
	if (p->text.n > GRAMMAR_SCHEMA_MAX)
		return build_fail(
		    b, E_TOO_LARGE, "the schema has more than %u bytes", GRAMMAR_SCHEMA_MAX);
	json_t *schema = json_loadb(
	    (const char *)p->text.p, p->text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	if (!schema)
		return build_fail(b, E_SYNTAX, "no JSON (line %d)", why.line);
	const json_t *kept = keep_owned(b, schema);
	return kept ? build_call(b, rule_for(b, kept, kept, p->name, ""), next) : G_DEAD;
}

/* jansson recurses: nesting is looked at first. */
static bool too_deep(struct bytes text)
{
	unsigned depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '['))
			depth++;
		else if (!quoted && depth && (c == '}' || c == ']'))
			depth--;
		if (depth > GRAMMAR_JSON_NEST)
			return true;
	}
	return false;
}

static uint32_t build_sequence(struct builder *b, const struct grammar_sequence *s, uint32_t next)
{
	for (size_t i = s->n; i-- > 0 && built_ok(b);) {
		b->path = s->parts[i].name;
		if (s->parts[i].kind == GRAMMAR_SCHEMA && too_deep(s->parts[i].text))
			return build_fail(b, E_TOO_LARGE, "the schema is nested more than %d deep",
			    GRAMMAR_JSON_NEST);
		next = build_part(b, &s->parts[i], next);
	}
	return next;
}

/* What may come before the items, or instead of them. */
static uint32_t build_root(struct builder *b, const struct grammar_shape *s, uint32_t items)
{
	const uint8_t *line = s->prefix.n ? memchr(s->prefix.p, '\n', s->prefix.n) : NULL;
	size_t mark = line ? (size_t)(line - s->prefix.p) : s->prefix.n;
	struct bytes tail = {s->prefix.n ? s->prefix.p + mark : NULL, s->prefix.n - mark};
	struct grammar_sequence instead = {s->instead, 1};
	if (s->instead)
		return build_split(
		    b, build_sequence(b, &instead, G_RETURN), build_literal(b, s->prefix, items));
	if (!s->optional)
		return build_literal(b, s->prefix, items);
	if (mark == 0)
		return build_split(b, build_plain_text(b), items);
	return build_until(b, bytes_of(s->prefix.p, mark), build_literal(b, tail, items));
}

/* Literals that several alternatives begin with stay apart: the automaton walks them together. */
static void build_shape(struct builder *b, const struct grammar_shape *s)
{
	uint32_t end = build_literal(b, s->suffix, G_RETURN);
	uint32_t item = G_DEAD;
	if (s->n == 0 || s->n > GRAMMAR_ALTERNATIVES_MAX || s->max_items < 1 ||
	    s->max_items > ITEMS_MAX) {
		build_fail(b, E_INVALID, "a grammar of %zu alternatives", s->n);
		return;
	}
	for (size_t i = 0; i < s->n && built_ok(b); i++)
		item = build_split(b, item, build_sequence(b, &s->alternatives[i], G_RETURN));
	if (!built_ok(b))
		return;
	uint32_t rule = rule_for(b, NULL, NULL, "", "");
	if (!built_ok(b))
		return;
	b->g->starts[rule] = item;
	uint32_t at = end;
	for (unsigned i = s->max_items; i-- > 0;) {
		at = build_call(b, rule, at);
		if (i)
			at = build_split(b, build_literal(b, s->separator, at), end);
	}
	b->g->starts[RULE_ROOT] = build_root(b, s, at);
}

static void builder_free(struct builder *b)
{
	for (size_t i = 0; b->rules && i < b->g->n_rules; i++)
		free(b->rules[i].path);
	free(b->rules);
	free(b->memo);
	json_decref(b->owned);
}

static void build_all(struct builder *b, const struct grammar_shape *shape)
{
	b->owned = json_array();
	for (int i = 0; i < RULES_BUILTIN && built_ok(b); i++)
		rule_for(b, NULL, NULL, "", "");
	if (!b->owned)
		build_fail(b, E_MEMORY, "no memory for the grammar");
	if (!built_ok(b))
		return;
	build_node(b, NODE_DEAD, 0, 0);
	build_node(b, NODE_RETURN, 0, 0);
	build_builtin_rules(b);
	build_shape(b, shape);
	if (built_ok(b))
		build_rules(b);
}

static void finish(struct builder *b, const struct grammar_alphabet *alphabet, const char *name)
{
	struct grammar *g = b->g;
	if (!built_ok(b))
		return;
	b->path = name;
	restrict_alphabet(g, alphabet);
	measure_heights(g);
	find_classes(g);
	if (g->nodes[g->starts[RULE_ROOT]].height == HEIGHT_NEVER)
		build_fail(b, E_INVALID,
		    "nothing that this schema allows can be written: it contradicts itself, never "
		    "ends, or needs bytes that the model's vocabulary lacks");
}

int grammar_new(const struct grammar_shape *shape, const struct grammar_alphabet *alphabet,
    struct grammar **out, struct err *err)
{
	struct grammar *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(err, E_MEMORY, "no memory for the grammar");
	struct builder b = {.g = g, .err = err};
	const char *name = "";
	for (size_t i = 0; i < shape->n; i++)
		for (size_t k = 0; k < shape->alternatives[i].n; k++)
			if (shape->alternatives[i].parts[k].name)
				name = shape->alternatives[i].parts[k].name;
	build_all(&b, shape);
	finish(&b, alphabet, name);
	builder_free(&b);
	if (b.rc)
		grammar_free(g);
	else
		*out = g;
	return b.rc;
}

int grammar_of_document(struct bytes schema, const char *name,
    const struct grammar_alphabet *alphabet, struct grammar **out, struct err *err)
{
	struct grammar_part part = {schema.n ? GRAMMAR_SCHEMA : GRAMMAR_OBJECT, schema, name};
	struct grammar_sequence one = {&part, 1};
	struct grammar_shape shape = {.alternatives = &one, .n = 1, .max_items = 1};
	return grammar_new(&shape, alphabet, out, err);
}

void grammar_free(struct grammar *g)
{
	if (!g)
		return;
	free(g->nodes);
	free(g->sets);
	free(g->starts);
	free(g);
}

size_t grammar_nodes(const struct grammar *g)
{
	return g->n_nodes;
}
