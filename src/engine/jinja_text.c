/* Operations on strings that filters and methods share. Letters change case in ASCII only: prompts
 * are data, and templates change the case of role names. */
#include "engine/jinja_priv.h"

static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool strips(uint8_t c, struct bytes chars, bool given)
{
	return given ? chars.n && memchr(chars.p, c, chars.n) : is_blank(c);
}

/* Characters to strip are single bytes in every template seen; a longer one would strip its bytes,
 * so it is refused. */
struct jvalue j_strip(struct jrun *r, struct bytes s, const struct jargs *args, int sides)
{
	struct jvalue chars = {0};
	bool given = jargs_get(args, 0, "chars", &chars) && chars.kind == J_STRING;
	for (size_t i = 0; given && i < chars.s.n; i++)
		if (chars.s.p[i] >= 0x80)
			return run_fail(r, E_UNSUPPORTED, "only ASCII characters can be stripped");
	while (sides & STRIP_LEFT && s.n && strips(s.p[0], chars.s, given))
		s = bytes_of(s.p + 1, s.n - 1);
	while (sides & STRIP_RIGHT && s.n && strips(s.p[s.n - 1], chars.s, given))
		s.n--;
	return j_str(s);
}

static bool is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_lower(uint8_t c)
{
	return c >= 'a' && c <= 'z';
}

struct jvalue j_recase(struct jrun *r, struct bytes s, enum jcase how)
{
	struct jvalue copy = j_copy(r, s);
	uint8_t *p = (uint8_t *)(uintptr_t)copy.s.p;
	bool in_word = false;
	for (size_t i = 0; copy.kind == J_STRING && i < s.n; i++) {
		bool first = how == CASE_TITLE ? !in_word : i == 0;
		bool up = how == CASE_UPPER || (how != CASE_LOWER && first);
		in_word = is_upper(p[i]) || is_lower(p[i]) || p[i] >= 0x80;
		if (up ? is_lower(p[i]) : is_upper(p[i]))
			p[i] ^= 0x20;
	}
	return copy;
}

struct jvalue j_replace(struct jrun *r, struct bytes s, const struct jargs *args)
{
	struct jvalue from, to, count = j_int(-1);
	int64_t left;
	jargs_get(args, 2, "count", &count);
	if (!jargs_get(args, 0, "old", &from) || !jargs_get(args, 1, "new", &to) ||
	    from.kind != J_STRING || to.kind != J_STRING || !j_as_int(count, &left))
		return run_fail(r, E_FORMAT, "replace needs two strings");
	if (from.s.n == 0)
		return run_fail(r, E_UNSUPPORTED, "replace needs something to replace");
	struct buf b = BUF_INIT(JINJA_OUTPUT_MAX);
	size_t at = 0;
	while (left-- != 0 && at < s.n && run_spend(r, 1)) {
		const uint8_t *hit = memmem(s.p + at, s.n - at, from.s.p, from.s.n);
		if (!hit)
			break;
		buf_put(&b, s.p + at, (size_t)(hit - s.p) - at);
		buf_bytes(&b, to.s);
		at = (size_t)(hit - s.p) + from.s.n;
	}
	buf_put(&b, s.p + at, s.n - at);
	if (b.failed)
		run_fail(r, E_LIMIT, "a string grows too large");
	struct jvalue result = j_copy(r, buf_view(&b));
	buf_free(&b);
	return result;
}

struct jvalue j_join(
    struct jrun *r, struct jvalue value, struct bytes between, struct bytes attribute)
{
	struct jlist *list = j_iterate(r, value);
	struct buf b = BUF_INIT(JINJA_OUTPUT_MAX);
	for (size_t i = 0; list && i < list->n && run_ok(r); i++) {
		if (i)
			buf_bytes(&b, between);
		struct jvalue item = list->items[i];
		j_write(r, attribute.n ? j_attribute(r, item, attribute) : item, &b);
	}
	if (b.failed)
		run_fail(r, E_LIMIT, "a string grows too large");
	struct jvalue result = j_copy(r, buf_view(&b));
	buf_free(&b);
	return result;
}

struct jvalue j_items(struct jrun *r, struct jvalue dict)
{
	struct jvalue list = j_new_list(r, 0, false);
	if (dict.kind == J_UNDEFINED)
		return list;
	if (dict.kind != J_DICT)
		return run_fail(r, E_FORMAT, "%s has no items", j_kind_name(dict));
	for (size_t i = 0; i < dict.dict->n && run_ok(r); i++) {
		struct jvalue pair = j_new_list(r, 2, true);
		j_append(r, pair, dict.dict->items[i].key);
		j_append(r, pair, dict.dict->items[i].value);
		j_append(r, list, pair);
	}
	return list;
}
