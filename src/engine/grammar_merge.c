/* What schemas say together: references, allOf, and which keywords restrict anything. */
#include "engine/grammar_priv.h"

#include "base/encode.h"

#include <stdio.h>
#include <stdlib.h>

#define REF_MAX    512
#define WEIGHT_MAX (1u << 18) /* members of everything that merging makes */
#define MERGE_MAX  32         /* merges and references inside each other */

/* Keywords that restrict and cannot be enforced. */
static const char *const REFUSED[] = {"not", "if", "dependentRequired", "dependentSchemas",
    "dependencies", "contains", "propertyNames", "unevaluatedItems", "$dynamicRef",
    "$recursiveRef"};

/* Keywords that restrict and are understood. */
static const char *const KNOWN[] = {"type", "enum", "const", "$ref", "allOf", "anyOf", "oneOf",
    "properties", "required", "additionalProperties", "patternProperties", "items", "prefixItems",
    "additionalItems", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "pattern",
    "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minProperties", "maxProperties", "unevaluatedProperties"};

static bool listed(const char *key, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, list[i]) == 0)
			return true;
	return false;
}

#define LISTED(key, list) listed(key, list, sizeof(list) / sizeof *(list))

void check_keywords(struct builder *b, const json_t *schema)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)schema, key, value)
	{
		if (LISTED(key, REFUSED))
			build_refuse(b, key, "is not supported");
		if (strcmp(key, "unevaluatedProperties") == 0 && !json_is_boolean(value))
			build_refuse(b, key, "with a schema is not supported");
	}
}

bool restricts(const json_t *schema)
{
	const char *key;
	json_t *value;
	if (!json_is_object(schema))
		return !json_is_true(schema);
	json_object_foreach((json_t *)(uintptr_t)schema, key, value)
	{
		if (LISTED(key, KNOWN) || LISTED(key, REFUSED))
			return true;
	}
	return false;
}

const json_t *keep_owned(struct builder *b, json_t *value)
{
	b->weight += 1 + json_object_size(value);
	if (b->weight > WEIGHT_MAX) {
		json_decref(value);
		build_fail(b, E_TOO_LARGE, "the schema's parts combine to too many");
		return NULL;
	}
	if (value && json_array_append_new(b->owned, value) == 0)
		return value;
	build_fail(b, E_MEMORY, "no memory for the grammar");
	return NULL;
}

const json_t *without(struct builder *b, const json_t *schema, const char *key)
{
	if (!schema)
		return NULL;
	json_t *copy = json_copy((json_t *)(uintptr_t)schema);
	if (json_is_object(copy))
		json_object_del(copy, key);
	return keep_owned(b, copy);
}

/* ---- references ---------------------------------------------------------------------------- */

/* One step of a JSON pointer. SPEC RFC 6901: ~1 is "/", ~0 is "~"; a URI fragment also has %. */
static bool decode_step(const char *p, size_t n, char out[REF_MAX])
{
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)p[i];
		if (byte == '%') {
			if (n - i < 3 || hex_decode(bytes_of(p + i + 1, 2), &byte, 1))
				return false;
			i += 2;
		} else if (byte == '~') {
			if (n - i < 2 || (p[i + 1] != '0' && p[i + 1] != '1'))
				return false;
			byte = p[++i] == '1' ? '/' : '~';
		}
		if (used + 1 >= REF_MAX)
			return false;
		out[used++] = (char)byte;
	}
	out[used] = '\0';
	return true;
}

static const json_t *take_step(const json_t *at, const char *name)
{
	if (json_is_object(at))
		return json_object_get(at, name);
	size_t index = 0;
	for (const char *c = name; *c; c++) {
		if (*c < '0' || *c > '9' || index > json_array_size(at))
			return NULL;
		index = 10 * index + (size_t)(*c - '0');
	}
	return *name ? json_array_get(at, index) : NULL;
}

const json_t *resolve_ref(struct builder *b, const json_t *root, const char *ref)
{
	if (ref[0] != '#' || (ref[1] && ref[1] != '/')) {
		build_refuse(b, "$ref",
		    "to something other than a place in this schema is not "
		    "supported");
		return NULL;
	}
	const json_t *at = root;
	const char *p = ref + 1;
	while (at && *p == '/') {
		char name[REF_MAX];
		size_t n = strcspn(p + 1, "/");
		at = decode_step(p + 1, n, name) ? take_step(at, name) : NULL;
		p += n + 1;
	}
	if (!at)
		build_fail(b, E_INVALID, "'$ref' points to nothing: %.80s", ref);
	return at;
}

/* ---- merging ------------------------------------------------------------------------------- */

struct merge {
	struct builder *b;
	const json_t *root;
	const json_t *x, *y; /* objects */
	json_t *out;
};

static void put(struct merge *m, const char *key, json_t *value)
{
	if (json_object_set_new(m->out, key, value))
		build_fail(m->b, E_MEMORY, "no memory for the grammar");
}

/* {"allOf": [a, b]}, which is merged when its turn comes. */
static json_t *both(const json_t *a, const json_t *b)
{
	return json_pack("{s:[O,O]}", "allOf", a, b);
}

static const json_t *rest_of(const json_t *schema)
{
	return json_object_get(schema, "additionalProperties");
}

/* A property that the other side does not name is additional there. */
static void merge_properties(struct merge *m)
{
	const json_t *sides[2] = {m->x, m->y};
	json_t *all = json_object();
	for (int i = 0; i < 2 && all; i++) {
		const json_t *other = sides[1 - i], *value;
		const json_t *theirs = json_object_get(other, "properties");
		const json_t *rest = rest_of(other);
		const char *key;
		json_object_foreach(json_object_get(sides[i], "properties"), key, value)
		{
			const json_t *twin = json_object_get(theirs, key);
			if (!twin)
				twin = rest;
			if (!twin)
				json_object_set(all, key, (json_t *)(uintptr_t)value);
			else if (!json_object_get(all, key))
				json_object_set_new(all, key, both(value, twin));
		}
	}
	put(m, "properties", all);
}

static json_t *type_list(const json_t *type)
{
	return json_is_string(type) ? json_pack("[O]", type)
				    : json_incref((json_t *)(uintptr_t)type);
}

static bool contains(const json_t *list, const json_t *value)
{
	size_t i;
	json_t *one;
	json_array_foreach(
	    (json_t *)(uintptr_t)list, i, one) if (json_equal(one, value)) return true;
	return false;
}

/* What is in both lists; an integer is a number, too. */
static json_t *common(const json_t *x, const json_t *y)
{
	json_t *out = json_array(), *a = type_list(x), *b = type_list(y), *one;
	json_t *number = json_string("number"), *integer = json_string("integer");
	size_t i;
	json_array_foreach(a, i, one)
	{
		bool is_integer = json_equal(one, integer) && contains(b, number);
		if (contains(b, one) || is_integer)
			json_array_append(out, one);
		else if (json_equal(one, number) && contains(b, integer))
			json_array_append(out, integer);
	}
	json_decref(number);
	json_decref(integer);
	json_decref(a);
	json_decref(b);
	return out;
}

static json_t *joined(const json_t *x, const json_t *y)
{
	json_t *out = json_copy((json_t *)(uintptr_t)x);
	size_t i;
	json_t *one;
	json_array_foreach((json_t *)(uintptr_t)y, i, one) if (!contains(out, one))
	    json_array_append(out, one);
	return out;
}

static bool starts_with(const char *key, const char *prefix)
{
	return strncmp(key, prefix, strlen(prefix)) == 0;
}

/* A keyword that both have, with different values. */
static void merge_keyword(struct merge *m, const char *key, const json_t *x, const json_t *y)
{
	double a = json_number_value(x), c = json_number_value(y);
	if (strcmp(key, "type") == 0 || strcmp(key, "enum") == 0)
		put(m, key, common(x, y));
	else if (strcmp(key, "required") == 0)
		put(m, key, joined(x, y));
	else if (starts_with(key, "min") || strcmp(key, "exclusiveMinimum") == 0)
		put(m, key, json_incref((json_t *)(uintptr_t)(a > c ? x : y)));
	else if (starts_with(key, "max") || strcmp(key, "exclusiveMaximum") == 0)
		put(m, key, json_incref((json_t *)(uintptr_t)(a < c ? x : y)));
	else if (strcmp(key, "additionalProperties") == 0 ||
		 (strcmp(key, "items") == 0 && !json_is_array(x) && !json_is_array(y)))
		put(m, key, both(x, y));
	else if (strcmp(key, "uniqueItems") == 0)
		put(m, key, json_true());
	else if (strcmp(key, "unevaluatedProperties") == 0)
		put(m, key, json_false());
	else if (strcmp(key, "const") == 0)
		put(m, "enum", json_array()); /* two constants: nothing is both */
	else if (LISTED(key, KNOWN))
		build_refuse(m->b, key, "twice, in parts that hold together, is not supported");
}

static void merge_objects(struct merge *m)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)m->y, key, value)
	{
		json_t *mine = json_object_get(m->x, key);
		if (strcmp(key, "properties") == 0)
			continue;
		if (!mine || json_equal(mine, value))
			json_object_set(m->out, key, value);
		else
			merge_keyword(m, key, mine, value);
	}
	if (json_object_get(m->x, "properties") || json_object_get(m->y, "properties"))
		merge_properties(m);
}

/* Additional properties of one part are known to the other when that has a pattern for them. */
static void check_merge(struct builder *b, const json_t *x, const json_t *y)
{
	const json_t *sides[2] = {x, y};
	for (int i = 0; i < 2; i++)
		if (json_object_get(sides[i], "patternProperties") &&
		    (rest_of(sides[1 - i]) || json_object_get(sides[1 - i], "properties")))
			build_refuse(b, "patternProperties", "within allOf is not supported");
}

static const json_t *follow(struct builder *b, const json_t *root, const json_t *s)
{
	for (int i = 0; json_is_object(s) && json_object_get(s, "$ref") && built_ok(b); i++) {
		const json_t *ref = json_object_get(s, "$ref");
		const json_t *rest = without(b, s, "$ref");
		if (i == MERGE_MAX || !json_is_string(ref)) {
			build_fail(b, E_INVALID, "'$ref' leads in a circle");
			return NULL;
		}
		const json_t *target = resolve_ref(b, root, json_string_value(ref));
		if (!target || !rest)
			return NULL;
		s = restricts(rest) ? merge_schemas(b, root, rest, target) : target;
	}
	return s;
}

const json_t *merge_schemas(struct builder *b, const json_t *root, const json_t *x, const json_t *y)
{
	if (b->depth == MERGE_MAX) {
		build_fail(b, E_UNSUPPORTED, "the parts of 'allOf' go round in a circle");
		return NULL;
	}
	b->depth++;
	x = follow(b, root, x);
	y = follow(b, root, y);
	b->depth--;
	if (!x || !y || !built_ok(b))
		return NULL;
	if (json_is_boolean(x))
		return json_is_true(x) ? y : x;
	if (json_is_boolean(y))
		return json_is_true(y) ? x : y;
	if (!json_is_object(x) || !json_is_object(y)) {
		build_fail(b, E_INVALID, "a schema must be an object or a boolean");
		return NULL;
	}
	struct merge m = {b, root, x, y, json_copy((json_t *)(uintptr_t)x)};
	check_merge(b, x, y);
	merge_objects(&m);
	return keep_owned(b, m.out);
}
