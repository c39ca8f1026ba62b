/* The flat tree reads what json_read reads, no more and no less, and finds the same in it. */
#include "dialect/jtree.h"

#include <stdlib.h>
#include <talloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct jnode *v, const json_t *j, struct bytes text);

static void same_members(const struct jnode *v, const json_t *j, struct bytes text)
{
	for (const struct jnode *m = jfirst(v); m; m = jnext(v, m))
		same(m, json_object_getn(j, (const char *)m->key, m->key_n), text);
	if (json_object_size(j) != jsize(v))
		abort();
}

static void same_elements(const struct jnode *v, const json_t *j, struct bytes text)
{
	size_t i = 0;

	for (const struct jnode *e = jfirst(v); e; e = jnext(v, e))
		same(e, json_array_get(j, i++), text);
	if (json_array_size(j) != i || jsize(v) != i)
		abort();
}

static bool same_scalar(const struct jnode *v, const json_t *j)
{
	switch (v->kind) {
	case J_NULL:
		return json_is_null(j);
	case J_FALSE:
		return json_is_false(j);
	case J_TRUE:
		return json_is_true(j);
	case J_INT:
		return json_is_integer(j) && json_integer_value(j) == v->v.i;
	case J_REAL:
		return json_is_real(j) && json_real_value(j) == v->v.d;
	case J_TEXT:
		return json_is_string(j) &&
		       bytes_equal(jtext(v), bytes_of(json_string_value(j), json_string_length(j)));
	default:
		return false;
	}
}

static void same(const struct jnode *v, const json_t *j, struct bytes text)
{
	if (v->end <= v->at || v->end > text.n)
		abort();
	if (v->kind == J_OBJECT && json_is_object(j))
		same_members(v, j, text);
	else if (v->kind == J_ARRAY && json_is_array(j))
		same_elements(v, j, text);
	else if (!same_scalar(v, j))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_of(data, size);
	struct jtree *t = jtree_new(NULL);
	const struct jnode *root;
	struct err err = {0};
	json_t *j;
	int rc = jtree_read(t, text, &root, &err);

	if (json_read(text, &j, NULL) != rc || err.code != rc)
		abort();
	if (rc == 0)
		same(root, j, text);
	json_decref(j);
	talloc_free(t);
	return 0;
}
