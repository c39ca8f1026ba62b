/* Objects and arrays of a schema. */
#include "engine/grammar_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define PROPERTIES_MAX 1024

struct member {
	const char *key; /* NULL: the additional ones */
	size_t key_n;
	uint32_t rule;
	bool required;
};

struct object_job {
	const json_t *schema, *root;
	struct member *members;
	size_t n;
	/* Which other keys there may be. */
	bool others;
	uint32_t other_rule;
	const char *pattern; /* their keys', or NULL */
};

static bool is_required(const json_t *schema, const char *key)
{
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(schema, "required"), i,
	    one) if (json_is_string(one) && strcmp(json_string_value(one), key) == 0) return true;
	return false;
}

static void add_member(
    struct builder *b, struct object_job *o, const char *key, const json_t *schema, bool required)
{
	char step[96];
	if (o->n >= PROPERTIES_MAX) {
		build_fail(b, E_TOO_LARGE, "more than %d properties", PROPERTIES_MAX);
		return;
	}
	snprintf(step, sizeof step, ".properties.%s", key);
	o->members[o->n++] = (struct member){.key = key,
	    .key_n = strlen(key),
	    .rule = schema ? rule_for(b, schema, o->root, b->path, step) : (uint32_t)RULE_ANY,
	    .required = required};
}

/* Of patternProperties one pattern is possible, and none of the named properties may match it. */
static const json_t *take_pattern(struct builder *b, struct object_job *o, const json_t *others)
{
	const json_t *patterns = json_object_get(o->schema, "patternProperties");
	const json_t *properties = json_object_get(o->schema, "properties");
	if (json_object_size(patterns) == 0)
		return others;
	if (json_object_size(patterns) > 1) {
		build_refuse(b, "patternProperties", "with several patterns is not supported");
		return NULL;
	}
	void *it = json_object_iter((json_t *)(uintptr_t)patterns);
	const char *key;
	json_t *value;
	o->pattern = json_object_iter_key(it);
	json_object_foreach((json_t *)(uintptr_t)properties, key, value)
	{
		if (pattern_matches(b, bytes_str(o->pattern), bytes_str(key)))
			build_refuse(b, "patternProperties",
			    "that match a named property are not supported");
	}
	return json_object_iter_value(it);
}

/* Keys without a schema of their own are written only where the schema asks for them in words. */
static void take_others(struct builder *b, struct object_job *o)
{
	const json_t *others = json_object_get(o->schema, "additionalProperties");
	if (!others && json_is_false(json_object_get(o->schema, "unevaluatedProperties")))
		others = json_object_get(o->schema, "unevaluatedProperties");
	const json_t *rest = others;
	others = take_pattern(b, o, others);
	bool bare =
	    !json_object_get(o->schema, "properties") && !json_object_get(o->schema, "required");
	o->others = others ? !json_is_false(others) : bare;
	if (o->others)
		o->other_rule =
		    others ? rule_for(b, others, o->root, b->path,
				 o->pattern ? ".patternProperties" : ".additionalProperties")
			   : (uint32_t)RULE_ANY;
	/* Required keys without a schema take that of additional ones. */
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(o->schema, "required"), i, one)
	{
		const char *key = json_string_value(one);
		if (!key)
			build_fail(b, E_INVALID, "'required' must be a list of names");
		if (!key || json_object_get(json_object_get(o->schema, "properties"), key))
			continue;
		if (o->pattern && pattern_matches(b, bytes_str(o->pattern), bytes_str(key)))
			rest = others;
		bool twice = false;
		for (size_t k = 0; k < o->n; k++)
			twice |= strcmp(o->members[k].key, key) == 0;
		if (!twice)
			add_member(b, o, key, rest, true);
	}
}

static void take_members(struct builder *b, struct object_job *o)
{
	const json_t *properties = json_object_get(o->schema, "properties");
	const char *key;
	json_t *value;
	if (properties && !json_is_object(properties))
		build_fail(b, E_INVALID, "'properties' must be an object");
	json_object_foreach((json_t *)(uintptr_t)properties, key, value)
	{
		if (!json_is_false(value) || is_required(o->schema, key))
			add_member(b, o, key, value, is_required(o->schema, key));
	}
}

static void check_counts(struct builder *b, const struct object_job *o)
{
	const json_t *min = json_object_get(o->schema, "minProperties");
	const json_t *max = json_object_get(o->schema, "maxProperties");
	size_t required = 0;
	for (size_t i = 0; i < o->n; i++)
		required += o->members[i].required;
	if (min && json_number_value(min) > (double)required)
		build_refuse(b, "minProperties", "beyond the required ones is not supported");
	if (max && (o->others || json_number_value(max) < (double)o->n))
		build_refuse(b, "maxProperties", "below the number of properties is not supported");
}

static uint32_t build_member(
    struct builder *b, const struct member *m, uint32_t rule, uint32_t next)
{
	uint32_t value = build_call(b, rule, next);
	uint32_t colon = build_byte(b, ':', build_split(b, build_byte(b, ' ', value), value));
	json_t *key = json_stringn(m->key, m->key_n);
	char *text = key ? json_dumps(key, JSON_ENCODE_ANY) : NULL;
	uint32_t at = text ? build_literal(b, bytes_str(text), colon)
			   : build_fail(b, E_MEMORY, "no memory for the grammar");
	free(text);
	json_decref(key);
	return at;
}

static uint32_t build_other(struct builder *b, const struct object_job *o, uint32_t next)
{
	uint32_t value = build_call(b, o->other_rule, next);
	uint32_t colon = build_byte(b, ':', build_split(b, build_byte(b, ' ', value), value));
	if (o->pattern) {
		uint32_t close = build_byte(b, '"', colon);
		return build_byte(
		    b, '"', build_pattern(b, bytes_str(o->pattern), 0, UINT32_MAX, close));
	}
	json_t *properties = json_object_get(o->schema, "properties"), *unused;
	struct bytes *names = calloc(o->n + json_object_size(properties) + 1, sizeof *names);
	size_t n = 0;
	const char *key;
	if (!names)
		return build_fail(b, E_MEMORY, "no memory for the grammar");
	for (; n < o->n; n++)
		names[n] = bytes_of(o->members[n].key, o->members[n].key_n);
	json_object_foreach(properties, key, unused) names[n++] = bytes_str(key);
	uint32_t at = build_other_key(b, names, n, colon);
	free(names);
	return at;
}

/* "," and then one more other, any number of times, then the end. */
static uint32_t build_more_others(struct builder *b, const struct object_job *o, uint32_t close)
{
	uint32_t again = build_node(b, NODE_SPLIT, G_DEAD, close);
	uint32_t one = build_byte(b, ',', build_ws(b, build_other(b, o, again)));
	if (built_ok(b))
		b->g->nodes[again].a = one;
	return again;
}

/* Two chains, one for when nothing was written yet and one for after that. */
static uint32_t build_members(struct builder *b, const struct object_job *o, uint32_t next)
{
	uint32_t end = build_byte(b, '}', next);
	uint32_t spaced = build_ws(b, end);
	uint32_t rest = o->others ? build_more_others(b, o, spaced) : spaced;
	uint32_t first = end;
	if (o->others)
		first = build_split(b, build_other(b, o, rest), end);
	for (size_t i = o->n; i-- > 0 && built_ok(b);) {
		const struct member *m = &o->members[i];
		uint32_t one = build_member(b, m, m->rule, rest);
		uint32_t after = build_byte(b, ',', build_ws(b, one));
		first = m->required ? one : build_split(b, one, first);
		rest = m->required ? after : build_split(b, after, rest);
	}
	return build_byte(b, '{', build_ws(b, first));
}

uint32_t build_object(struct builder *b, const json_t *schema, const json_t *root, uint32_t next)
{
	struct object_job o = {.schema = schema, .root = root};
	o.members = calloc(PROPERTIES_MAX, sizeof *o.members);
	if (!o.members)
		return build_fail(b, E_MEMORY, "no memory for the grammar");
	take_members(b, &o);
	take_others(b, &o);
	check_counts(b, &o);
	uint32_t at = G_DEAD;
	bool any = o.others && o.n == 0 && o.other_rule == RULE_ANY && !o.pattern;
	if (built_ok(b))
		at = any ? build_call(b, RULE_OBJECT, next) : build_members(b, &o, next);
	free(o.members);
	return at;
}

/* ---- arrays -------------------------------------------------------------------------------- */

struct array_job {
	const json_t *root;
	const json_t *prefix; /* an array, or NULL */
	size_t n_prefix;
	const json_t *items; /* after the prefix; NULL: anything */
	unsigned min, max;   /* UINT32_MAX: no bound */
};

static unsigned item_count(struct builder *b, const json_t *schema, const char *key, unsigned none)
{
	const json_t *v = json_object_get(schema, key);
	if (!v)
		return none;
	double n = json_number_value(v);
	if (!json_is_number(v) || n < 0)
		build_fail(b, E_INVALID, "'%s' must be a whole number", key);
	return n > 1e9 ? 1000000000u : (unsigned)n;
}

static void read_array(struct builder *b, const json_t *schema, struct array_job *a)
{
	a->items = json_object_get(schema, "items");
	a->prefix = json_object_get(schema, "prefixItems");
	if (json_is_array(a->items)) { /* draft 7 */
		a->prefix = a->items;
		a->items = json_object_get(schema, "additionalItems");
	}
	a->n_prefix = json_array_size(a->prefix);
	a->min = item_count(b, schema, "minItems", 0);
	a->max = item_count(b, schema, "maxItems", UINT32_MAX);
	if (json_is_false(a->items) && a->max > a->n_prefix)
		a->max = (unsigned)a->n_prefix;
	/* A tuple that says nothing of more items gets none. */
	if (!a->items && a->n_prefix && a->max > a->n_prefix && a->min <= a->n_prefix)
		a->max = (unsigned)a->n_prefix;
	if (a->min > GRAMMAR_REPEAT_MAX)
		build_refuse(b, "minItems", "of more than 4096 is not supported");
	if (a->max != UINT32_MAX && a->max > GRAMMAR_REPEAT_MAX)
		a->max = GRAMMAR_REPEAT_MAX;
}

static uint32_t item_rule(struct builder *b, const struct array_job *a, size_t i)
{
	char step[48];
	if (i < a->n_prefix) {
		snprintf(step, sizeof step, ".prefixItems[%zu]", i);
		return rule_for(b, json_array_get(a->prefix, i), a->root, b->path, step);
	}
	return a->items ? rule_for(b, a->items, a->root, b->path, ".items") : (uint32_t)RULE_ANY;
}

static uint32_t build_items(struct builder *b, const struct array_job *a, uint32_t next)
{
	uint32_t end = build_byte(b, ']', next);
	uint32_t spaced = build_ws(b, end), at = spaced;
	size_t fixed = a->max;
	if (a->max == UINT32_MAX) {
		fixed = a->min > a->n_prefix ? a->min : a->n_prefix;
		at = build_node(b, NODE_SPLIT, G_DEAD, spaced);
		uint32_t more =
		    build_byte(b, ',', build_ws(b, build_call(b, item_rule(b, a, fixed), at)));
		if (built_ok(b))
			b->g->nodes[at].a = more;
		if (fixed == 0) {
			uint32_t first = build_call(b, item_rule(b, a, 0), at);
			return build_byte(b, '[', build_ws(b, build_split(b, first, end)));
		}
	}
	uint32_t first = end;
	for (size_t i = fixed; i-- > 0 && built_ok(b);) {
		uint32_t one = build_call(b, item_rule(b, a, i), at);
		uint32_t after = build_byte(b, ',', build_ws(b, one));
		/* `at` is what may follow item i - 1. */
		at = i >= a->min ? build_split(b, after, spaced) : after;
		first = a->min == 0 ? build_split(b, one, end) : one;
	}
	return build_byte(b, '[', build_ws(b, first));
}

uint32_t build_array(struct builder *b, const json_t *schema, const json_t *root, uint32_t next)
{
	struct array_job a = {.root = root};
	read_array(b, schema, &a);
	if (!built_ok(b) || a.min > a.max)
		return G_DEAD;
	if (json_is_true(json_object_get(schema, "uniqueItems")) && a.max > 1) {
		if (a.min > 1)
			return build_refuse(b, "uniqueItems", "is not supported");
		return build_refuse(b, "uniqueItems", "is not supported beyond one item");
	}
	return build_items(b, &a, next);
}
