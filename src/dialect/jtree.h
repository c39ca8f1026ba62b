/* JSON documents on the hot path: read once, where they lie, into one flat array. As strict as
 * json_read and of the same language, for about a tenth of its time; text without escapes is
 * borrowed from the document. For bodies of requests, events of answers. SPEC json: RFC 8259. */
#ifndef DIALECT_JTREE_H
#define DIALECT_JTREE_H

#include "dialect/json.h"

#define JTREE_VALUES_MAX (2u << 20) /* of one document */

enum jkind {
	J_NULL,
	J_FALSE,
	J_TRUE,
	J_INT,
	J_REAL,
	J_TEXT,
	J_ARRAY,
	J_OBJECT
};

/* One value. Its children follow it, each with all its own. */
struct jnode {
	const uint8_t *key; /* of a member, in UTF-8 */
	union {
		const uint8_t *text; /* J_TEXT, in UTF-8: not NUL-terminated, without NUL */
		int64_t i;           /* J_INT */
		double d;            /* J_REAL: finite */
	} v;
	uint32_t key_n;
	uint32_t n;       /* bytes of the text, or number of children */
	uint32_t span;    /* nodes that it is made of, itself included */
	uint32_t at, end; /* where it stands in the document */
	enum jkind kind;
};

/* Room for documents, one at a time. */
struct jtree;
struct jtree *jtree_new(void *mem); /* NULL without memory; a talloc child of `mem` */

/* A whole document, an object or an array. *root is valid until the next read, and as long as
 * `text` is. E_SYNTAX as json_read says, and for more than JTREE_VALUES_MAX values; E_MEMORY. */
int jtree_read(
    struct jtree *t, struct bytes text, const struct jnode **root, struct err *err) WARN_UNUSED;

/* The document's own words for a value. `text` is what was read. */
static inline struct bytes jsource(const struct jnode *v, struct bytes text)
{
	return bytes_of(text.p + v->at, v->end - v->at);
}

/* All of these take NULL for a value that is not there. */

static inline bool jis(const struct jnode *v, enum jkind kind)
{
	return v && v->kind == kind;
}

/* Whether it is there and not null. */
static inline bool jhas(const struct jnode *v)
{
	return v && v->kind != J_NULL;
}

static inline bool jis_bool(const struct jnode *v)
{
	return v && (v->kind == J_TRUE || v->kind == J_FALSE);
}

static inline bool jis_number(const struct jnode *v)
{
	return v && (v->kind == J_INT || v->kind == J_REAL);
}

static inline double jnumber(const struct jnode *v)
{
	return v->kind == J_INT ? (double)v->v.i : v->v.d;
}

/* Empty when it is no text. */
static inline struct bytes jtext(const struct jnode *v)
{
	return jis(v, J_TEXT) ? bytes_of(v->v.text, v->n) : bytes_of("", 0);
}

static inline bool jtext_is(const struct jnode *v, const char *s)
{
	return jis(v, J_TEXT) && bytes_equal(jtext(v), bytes_str(s));
}

static inline struct bytes jkey(const struct jnode *v)
{
	return bytes_of(v->key, v->key_n);
}

/* Number of elements or members; 0 of anything else. */
static inline size_t jsize(const struct jnode *v)
{
	return v && (v->kind == J_ARRAY || v->kind == J_OBJECT) ? v->n : 0;
}

/* for (v = jfirst(list); v; v = jnext(list, v)) */
static inline const struct jnode *jfirst(const struct jnode *of)
{
	return jsize(of) ? of + 1 : NULL;
}

static inline const struct jnode *jnext(const struct jnode *of, const struct jnode *v)
{
	return v + v->span < of + of->span ? v + v->span : NULL;
}

/* The member of an object; NULL when it has none, or is none. */
const struct jnode *jmember(const struct jnode *object, const char *key, size_t n);
static inline const struct jnode *jget(const struct jnode *object, const char *key)
{
	return jmember(object, key, strlen(key));
}

/* The integer, when it is one. */
int64_t jget_int(const struct jnode *object, const char *key, int64_t otherwise);

/* A NUL-terminated copy, talloc child of `mem`; NULL without memory. */
char *jdup(void *mem, struct bytes text);

#endif
