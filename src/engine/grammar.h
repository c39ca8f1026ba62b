/* Grammars: which byte strings an answer may be, compiled from JSON Schemas.
 *
 * A grammar is a pushdown automaton over bytes; engine/constraint.h walks it token by token. Every
 * document that it lets through is valid under its schema; it need not let through all that are.
 * What is left out, by choice: properties come in the schema's order, keys that the schema does not
 * name appear only where additionalProperties (or patternProperties) says so in words, white space
 * is bounded, numbers have at most 15 digits before and after the point, strings no lone
 * surrogates. `oneOf` is read as `anyOf`: that a second branch does not match too is not checked.
 *
 * Keywords that would make such documents invalid and cannot be enforced (`not`, `if`,
 * `uniqueItems` …) are refused by name, never ignored. Annotations and unknown keywords, which by
 * the specification restrict nothing, are ignored, `format` among them unless it is one of those
 * below. SPEC: JSON Schema 2020-12; the array form of `items` and `definitions` of draft 7.
 *
 * Formats enforced: date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, uri. */
#ifndef ENGINE_GRAMMAR_H
#define ENGINE_GRAMMAR_H

#include "base/bytes.h"

struct grammar; /* immutable; shared by threads */

#define GRAMMAR_SCHEMA_MAX       (256u << 10) /* bytes of one schema */
#define GRAMMAR_JSON_NEST        64           /* nesting of a schema's JSON */
#define GRAMMAR_NODES_MAX        (1u << 18)
#define GRAMMAR_RULES_MAX        (1u << 15)
#define GRAMMAR_REPEAT_MAX       4096u /* minItems, minLength; larger maxima are lowered to this */
#define GRAMMAR_DEPTH_MAX        60u   /* rules inside each other: at most so many levels of JSON */
#define GRAMMAR_PATTERN_MAX      1024u /* bytes of a `pattern` */
#define GRAMMAR_ALTERNATIVES_MAX 1024u

/* Bytes that the vocabulary can write one by one; a grammar uses no others. */
struct grammar_alphabet {
	bool has[256];
};
extern const struct grammar_alphabet GRAMMAR_ALL_BYTES;

enum grammar_part_kind {
	GRAMMAR_LITERAL, /* `text`, byte by byte */
	GRAMMAR_SCHEMA,  /* a document valid under the schema `text` */
	GRAMMAR_OBJECT,  /* any JSON object */
};

struct grammar_part {
	enum grammar_part_kind kind;
	struct bytes text; /* borrowed for the call */
	const char *name;  /* SCHEMA: what errors call it: "response_format.json_schema.schema" */
};

struct grammar_sequence {
	const struct grammar_part *parts;
	size_t n;
};

/* prefix item (separator item)* suffix, where an item is any one of the alternatives. With
 * `optional`, free text may come before or instead: whatever does not contain the first line of the
 * prefix; or, when there is no prefix, whatever does not begin with a bracket. */
struct grammar_shape {
	const struct grammar_sequence *alternatives;
	size_t n;
	struct bytes prefix, separator, suffix;
	unsigned max_items; /* 1 … 64 */
	bool optional;
	const struct grammar_part *instead; /* a document that may come instead, or NULL */
};

/* E_SYNTAX, E_INVALID (no schema, or one that nothing is valid under), E_UNSUPPORTED (the keyword,
 * with err->param where it stands), E_TOO_LARGE, E_MEMORY. Recurses, up to 256 KiB of stack. */
int grammar_new(const struct grammar_shape *shape, const struct grammar_alphabet *alphabet,
    struct grammar **out, struct err *err) WARN_UNUSED;
/* One document under `schema`, or any JSON object when that is empty. */
int grammar_of_document(struct bytes schema, const char *name,
    const struct grammar_alphabet *alphabet, struct grammar **out, struct err *err) WARN_UNUSED;
void grammar_free(struct grammar *g); /* NULL is fine */

size_t grammar_nodes(const struct grammar *g);

#endif
