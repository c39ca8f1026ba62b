/* Schemas to rules: every schema that is met gets a rule, compiled in its turn, so recursion in a
 * schema is recursion among rules and costs no stack here. */
#include "engine/grammar_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_LEN 240
#define ENUM_MAX     4096
#define BRANCHES_MAX 512

/* ---- rules --------------------------------------------------------------------------------- */

static size_t memo_slot(const struct builder *b, const json_t *schema, const json_t *root)
{
	uint64_t h = ((uintptr_t)schema >> 4) * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h >> 20) & (b->memo_size - 1);
	while (b->memo[i]) {
		const struct rule_job *j = &b->rules[b->memo[i] - 1];
		if (j->schema == schema && j->root == root)
			break;
		i = (i + 1) & (b->memo_size - 1);
	}
	return i;
}

static bool more_rules(struct builder *b)
{
	struct grammar *g = b->g;
	if (g->n_rules < b->cap_rules)
		return true;
	size_t cap = b->cap_rules ? 2 * b->cap_rules : 64;
	uint32_t *starts = realloc(g->starts, cap * sizeof *starts);
	if (starts)
		g->starts = starts;
	struct rule_job *rules = realloc(b->rules, cap * sizeof *rules);
	if (rules)
		b->rules = rules;
	uint32_t *memo = calloc(4 * cap, sizeof *memo);
	if (!starts || !rules || !memo || cap > GRAMMAR_RULES_MAX) {
		free(memo);
		build_fail(b, cap > GRAMMAR_RULES_MAX ? E_TOO_LARGE : E_MEMORY,
		    "the schema has too many parts");
		return false;
	}
	free(b->memo);
	b->memo = memo;
	b->memo_size = 4 * cap;
	b->cap_rules = cap;
	for (uint32_t i = 0; i < g->n_rules; i++)
		if (b->rules[i].schema)
			memo[memo_slot(b, b->rules[i].schema, b->rules[i].root)] = i + 1;
	return true;
}

static char *join_path(const char *path, const char *step)
{
	char text[PATH_MAX_LEN];
	snprintf(text, sizeof text, "%s%s", path ? path : "", step);
	return strdup(text);
}

uint32_t rule_for(
    struct builder *b, const json_t *schema, const json_t *root, const char *path, const char *step)
{
	if (!built_ok(b) || !more_rules(b))
		return RULE_ANY;
	size_t slot = schema ? memo_slot(b, schema, root) : 0;
	if (schema && b->memo[slot])
		return b->memo[slot] - 1;
	uint32_t rule = (uint32_t)b->g->n_rules;
	char *joined = join_path(path, step);
	if (!joined) {
		build_fail(b, E_MEMORY, "no memory for the grammar");
		return RULE_ANY;
	}
	b->g->starts[rule] = G_DEAD;
	b->rules[rule] = (struct rule_job){schema, root, joined};
	b->g->n_rules++;
	if (schema)
		b->memo[slot] = rule + 1;
	return rule;
}

/* ---- values that are given ----------------------------------------------------------------- */

static uint32_t build_value(struct builder *b, const json_t *value, uint32_t next)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	if (!text)
		return build_fail(b, E_MEMORY, "no memory for the grammar");
	uint32_t at = build_literal(b, bytes_str(text), next);
	free(text);
	return at;
}

static bool is_type(const json_t *value, const char *type)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return strcmp(type, "object") == 0;
	case JSON_ARRAY:
		return strcmp(type, "array") == 0;
	case JSON_STRING:
		return strcmp(type, "string") == 0;
	case JSON_INTEGER:
		return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
	case JSON_REAL:
		return strcmp(type, "number") == 0 ||
		       (strcmp(type, "integer") == 0 &&
			   floor(json_real_value(value)) >= json_real_value(value));
	case JSON_TRUE:
	case JSON_FALSE:
		return strcmp(type, "boolean") == 0;
	case JSON_NULL:
		return strcmp(type, "null") == 0;
	}
	return false;
}

static bool type_allows(const json_t *schema, const json_t *value)
{
	const json_t *type = json_object_get(schema, "type");
	if (!type)
		return true;
	if (json_is_string(type))
		return is_type(value, json_string_value(type));
	size_t i;
	json_t *one;
	json_array_foreach(type, i,
	    one) if (json_is_string(one) && is_type(value, json_string_value(one))) return true;
	return false;
}

/* Only `type` may stand beside enum and const: whether each value obeys more is not looked at. */
static bool alone(struct builder *b, const json_t *schema, const char *what)
{
	const char *key;
	json_t *value;
	const json_t *rest = without(b, without(b, without(b, schema, "enum"), "const"), "type");
	if (!rest || !restricts(rest))
		return built_ok(b);
	json_object_foreach((json_t *)(uintptr_t)rest, key, value)
	{
		json_t *one = json_pack("{s:O}", key, value);
		bool it = one && restricts(one);
		json_decref(one);
		if (it) {
			char why[96];
			snprintf(why, sizeof why, "beside '%s' is not supported", what);
			build_refuse(b, key, why);
			return false;
		}
	}
	return false;
}

static uint32_t build_enum(struct builder *b, const json_t *schema, uint32_t next)
{
	const json_t *list = json_object_get(schema, "enum");
	const json_t *only = json_object_get(schema, "const");
	if (!alone(b, schema, list ? "enum" : "const"))
		return G_DEAD;
	if (!list)
		return type_allows(schema, only) ? build_value(b, only, next) : G_DEAD;
	if (!json_is_array(list) || json_array_size(list) > ENUM_MAX)
		return build_fail(b, E_INVALID, "'enum' must be a list of at most %d", ENUM_MAX);
	uint32_t at = G_DEAD;
	for (size_t i = json_array_size(list); i-- > 0 && built_ok(b);) {
		const json_t *value = json_array_get(list, i);
		if (type_allows(schema, value) && (!only || json_equal(value, only)))
			at = build_split(b, build_value(b, value, next), at);
	}
	return at;
}

/* ---- numbers ------------------------------------------------------------------------------- */

static bool get_bound(struct builder *b, const json_t *schema, const char *key, double *out)
{
	const json_t *v = json_object_get(schema, key);
	if (!v)
		return false;
	if (!json_is_number(v)) {
		build_fail(b, E_INVALID, "'%s' must be a number", key);
		return false;
	}
	*out = json_number_value(v);
	return true;
}

static uint32_t build_number(struct builder *b, const json_t *schema, bool integer, uint32_t next)
{
	struct number_bounds n = {0};
	double v;
	n.has_low = get_bound(b, schema, "minimum", &n.low);
	n.has_high = get_bound(b, schema, "maximum", &n.high);
	if (get_bound(b, schema, "exclusiveMinimum", &v) && (!n.has_low || v >= n.low)) {
		n.low = v;
		n.has_low = n.low_open = true;
	}
	if (get_bound(b, schema, "exclusiveMaximum", &v) && (!n.has_high || v <= n.high)) {
		n.high = v;
		n.has_high = n.high_open = true;
	}
	if (get_bound(b, schema, "multipleOf", &v)) {
		if (v < 1 || v > 1)
			return build_refuse(b, "multipleOf", "other than 1 is not supported");
		integer = true;
	}
	if (!built_ok(b))
		return G_DEAD;
	if (!n.has_low && !n.has_high)
		return build_call(b, integer ? RULE_INTEGER : RULE_NUMBER, next);
	return build_bounded(b, &n, integer, next);
}

/* ---- strings ------------------------------------------------------------------------------- */

static unsigned get_count(
    struct builder *b, const json_t *schema, const char *key, unsigned otherwise)
{
	const json_t *v = json_object_get(schema, key);
	if (!v)
		return otherwise;
	double n = json_number_value(v);
	if (!json_is_number(v) || n < 0 || floor(n) < n) {
		build_fail(b, E_INVALID, "'%s' must be a whole number", key);
		return otherwise;
	}
	return n > 1e9 ? 1000000000u : (unsigned)n;
}

/* *max is UINT_MAX without a bound; bounds beyond GRAMMAR_REPEAT_MAX are lowered to it. */
static bool get_range(struct builder *b, const json_t *schema, const char *min_key,
    const char *max_key, unsigned *min, unsigned *max)
{
	*min = get_count(b, schema, min_key, 0);
	*max = get_count(b, schema, max_key, UINT32_MAX);
	if (*min > GRAMMAR_REPEAT_MAX)
		build_fail(b, E_UNSUPPORTED, "'%s' of more than %u is not supported", min_key,
		    GRAMMAR_REPEAT_MAX);
	if (*max != UINT32_MAX && *max > GRAMMAR_REPEAT_MAX)
		*max = GRAMMAR_REPEAT_MAX;
	return built_ok(b);
}

static uint32_t build_counted_string(struct builder *b, unsigned min, unsigned max, uint32_t close)
{
	uint32_t at = close;
	if (max == UINT32_MAX) {
		at = build_node(b, NODE_SPLIT, G_DEAD, close);
		uint32_t body = build_call(b, RULE_CHAR, at);
		if (built_ok(b))
			b->g->nodes[at].a = body;
		max = min;
	}
	for (unsigned i = max; i-- > 0 && built_ok(b);) {
		at = build_call(b, RULE_CHAR, at);
		if (i >= min)
			at = build_split(b, at, close);
	}
	return at;
}

static uint32_t build_string(struct builder *b, const json_t *schema, uint32_t next)
{
	unsigned min, max;
	const json_t *pattern = json_object_get(schema, "pattern");
	const char *format = json_string_value(json_object_get(schema, "format"));
	const char *known = format ? format_pattern(format) : NULL;
	if (!get_range(b, schema, "minLength", "maxLength", &min, &max) || min > max)
		return G_DEAD;
	if (pattern && !json_is_string(pattern))
		return build_fail(b, E_INVALID, "'pattern' must be a string");
	if (pattern && known)
		return build_refuse(b, "format", "beside 'pattern' is not supported");
	if (!pattern && !known && min == 0 && max == UINT32_MAX)
		return build_call(b, RULE_STRING, next);
	uint32_t close = build_byte(b, '"', next);
	struct bytes source =
	    known ? bytes_str(known)
		  : bytes_of(json_string_value(pattern), json_string_length(pattern));
	uint32_t body = pattern || known ? build_pattern(b, source, min, max, close)
					 : build_counted_string(b, min, max, close);
	return build_byte(b, '"', body);
}

/* ---- types --------------------------------------------------------------------------------- */

static uint32_t build_type(
    struct builder *b, const json_t *schema, const json_t *root, const char *type, uint32_t next)
{
	if (strcmp(type, "object") == 0)
		return build_object(b, schema, root, next);
	if (strcmp(type, "array") == 0)
		return build_array(b, schema, root, next);
	if (strcmp(type, "string") == 0)
		return build_string(b, schema, next);
	if (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0)
		return build_number(b, schema, type[0] == 'i', next);
	if (strcmp(type, "null") == 0)
		return build_literal(b, bytes_str("null"), next);
	if (strcmp(type, "boolean") == 0)
		return build_split(b, build_literal(b, bytes_str("true"), next),
		    build_literal(b, bytes_str("false"), next));
	return build_fail(b, E_INVALID, "there is no type '%.32s'", type);
}

/* The type that the keywords speak of when none is given. */
static const char *implied_type(const json_t *schema)
{
	static const char *const pairs[][2] = {{"properties", "object"}, {"required", "object"},
	    {"additionalProperties", "object"}, {"patternProperties", "object"}, {"items", "array"},
	    {"prefixItems", "array"}, {"minItems", "array"}, {"maxItems", "array"},
	    {"pattern", "string"}, {"minLength", "string"}, {"maxLength", "string"},
	    {"minimum", "number"}, {"maximum", "number"}, {"exclusiveMinimum", "number"},
	    {"exclusiveMaximum", "number"}, {"multipleOf", "number"}, {"minProperties", "object"},
	    {"maxProperties", "object"}};
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		if (json_object_get(schema, pairs[i][0]))
			return pairs[i][1];
	const char *format = json_string_value(json_object_get(schema, "format"));
	return format && format_pattern(format) ? "string" : NULL;
}

static uint32_t build_types(
    struct builder *b, const json_t *schema, const json_t *root, uint32_t next)
{
	const json_t *type = json_object_get(schema, "type");
	const char *implied = type ? NULL : implied_type(schema);
	if (!type)
		return implied ? build_type(b, schema, root, implied, next)
			       : build_call(b, RULE_ANY, next);
	if (json_is_string(type))
		return build_type(b, schema, root, json_string_value(type), next);
	if (!json_is_array(type) || json_array_size(type) == 0 || json_array_size(type) > 7)
		return build_fail(b, E_INVALID, "'type' must be a name or a list of names");
	uint32_t at = G_DEAD;
	for (size_t i = json_array_size(type); i-- > 0 && built_ok(b);) {
		const char *one = json_string_value(json_array_get(type, i));
		if (!one)
			return build_fail(b, E_INVALID, "'type' must be a list of names");
		at = build_split(b, build_type(b, schema, root, one, next), at);
	}
	return at;
}

/* ---- schemas ------------------------------------------------------------------------------- */

/* `base` and one of the branches of anyOf or oneOf. */
static uint32_t build_branches(
    struct builder *b, const json_t *schema, const json_t *root, const char *key, uint32_t next)
{
	const json_t *list = json_object_get(schema, key);
	const json_t *base = without(b, schema, key);
	if (!base)
		return G_DEAD;
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > BRANCHES_MAX)
		return build_fail(
		    b, E_INVALID, "'%s' must be a list of 1 to %d schemas", key, BRANCHES_MAX);
	if (json_object_get(base, "anyOf") || json_object_get(base, "oneOf"))
		return build_refuse(b, "oneOf", "beside 'anyOf' is not supported");
	uint32_t at = G_DEAD;
	for (size_t i = json_array_size(list); i-- > 0 && built_ok(b);) {
		const json_t *branch = json_array_get(list, i);
		char step[48];
		snprintf(step, sizeof step, ".%s[%zu]", key, i);
		if (restricts(base))
			branch = merge_schemas(b, root, base, branch);
		if (branch)
			at = build_split(
			    b, build_call(b, rule_for(b, branch, root, b->path, step), next), at);
	}
	return at;
}

static uint32_t build_all_of(
    struct builder *b, const json_t *schema, const json_t *root, uint32_t next)
{
	const json_t *list = json_object_get(schema, "allOf");
	const json_t *merged = without(b, schema, "allOf");
	if (!json_is_array(list) || json_array_size(list) > BRANCHES_MAX)
		return build_fail(b, E_INVALID, "'allOf' must be a list");
	for (size_t i = 0; merged && i < json_array_size(list) && built_ok(b); i++)
		merged = merge_schemas(b, root, merged, json_array_get(list, i));
	return merged ? build_call(b, rule_for(b, merged, root, b->path, ""), next) : G_DEAD;
}

static uint32_t build_ref(
    struct builder *b, const json_t *schema, const json_t *root, uint32_t next)
{
	const json_t *ref = json_object_get(schema, "$ref");
	if (!json_is_string(ref))
		return build_fail(b, E_INVALID, "'$ref' must be a string");
	const json_t *target = resolve_ref(b, root, json_string_value(ref));
	const json_t *rest = without(b, schema, "$ref");
	if (target && rest && restricts(rest))
		target = merge_schemas(b, root, rest, target);
	return target ? build_call(b, rule_for(b, target, root, b->path, ""), next) : G_DEAD;
}

static uint32_t build_schema(
    struct builder *b, const json_t *schema, const json_t *root, uint32_t next)
{
	if (json_is_boolean(schema))
		return json_is_true(schema) ? build_call(b, RULE_ANY, next) : G_DEAD;
	if (!json_is_object(schema))
		return build_fail(b, E_INVALID, "a schema must be an object or a boolean");
	check_keywords(b, schema);
	if (!built_ok(b))
		return G_DEAD;
	if (json_object_get(schema, "$ref"))
		return build_ref(b, schema, root, next);
	if (json_object_get(schema, "allOf"))
		return build_all_of(b, schema, root, next);
	if (json_object_get(schema, "anyOf"))
		return build_branches(b, schema, root, "anyOf", next);
	if (json_object_get(schema, "oneOf"))
		return build_branches(b, schema, root, "oneOf", next);
	if (json_object_get(schema, "enum") || json_object_get(schema, "const"))
		return build_enum(b, schema, next);
	return build_types(b, schema, root, next);
}

void build_rules(struct builder *b)
{
	for (uint32_t i = RULES_BUILTIN; i < b->g->n_rules && built_ok(b); i++) {
		struct rule_job job = b->rules[i];
		if (!job.schema)
			continue;
		b->path = job.path;
		uint32_t start = build_schema(b, job.schema, job.root, G_RETURN);
		b->g->starts[i] = start;
	}
}
