/* Values as text: as Python's str and repr show them, and as json.dumps writes them. */
#include "engine/jinja_priv.h"

#include <math.h>
#include <stdlib.h>

static void write_repr(struct jrun *r, struct jvalue v, struct buf *out);

/* The shortest digits that read back as the same number, as in Python. */
static void write_float(double f, struct buf *out, bool json)
{
	char text[40];
	if (isnan(f) || isinf(f)) {
		const char *inf = json ? "Infinity" : "inf";
		if (f < 0)
			buf_str(out, "-");
		buf_str(out, isnan(f) ? (json ? "NaN" : "nan") : inf);
		return;
	}
	int decimals = 0;
	for (double back = NAN; decimals <= 16 && !(back >= f && back <= f); decimals++) {
		snprintf(text, sizeof text, "%.*e", decimals, f);
		back = strtod(text, NULL);
	}
	int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	if (exponent >= -4 && exponent < 16) {
		decimals = decimals - 1 > exponent ? decimals - 1 - exponent : 0;
		snprintf(text, sizeof text, "%.*f", decimals ? decimals : 1, f);
	}
	buf_str(out, text);
}

static void write_string_repr(struct bytes s, struct buf *out)
{
	bool has_single = s.n && memchr(s.p, '\'', s.n), has_double = s.n && memchr(s.p, '"', s.n);
	char quote = has_single && !has_double ? '"' : '\'';
	buf_u8(out, (uint8_t)quote);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c == '\\' || c == quote)
			buf_printf(out, "\\%c", c);
		else if (c == '\n' || c == '\r' || c == '\t')
			buf_str(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else
			buf_u8(out, c);
	}
	buf_u8(out, (uint8_t)quote);
}

static void write_list(struct jrun *r, const struct jlist *l, struct buf *out)
{
	buf_str(out, l->tuple ? "(" : "[");
	for (size_t i = 0; i < l->n && run_ok(r); i++) {
		if (i)
			buf_str(out, ", ");
		write_repr(r, l->items[i], out);
	}
	buf_str(out, l->tuple ? (l->n == 1 ? ",)" : ")") : "]");
}

static void write_dict(struct jrun *r, const struct jdict *d, struct buf *out)
{
	buf_str(out, "{");
	for (size_t i = 0; i < d->n && run_ok(r); i++) {
		if (i)
			buf_str(out, ", ");
		write_repr(r, d->items[i].key, out);
		buf_str(out, ": ");
		write_repr(r, d->items[i].value, out);
	}
	buf_str(out, "}");
}

static void write_repr(struct jrun *r, struct jvalue v, struct buf *out)
{
	if (v.kind == J_STRING && run_spend(r, v.s.n / 64))
		write_string_repr(v.s, out);
	else
		j_write(r, v, out);
}

/* False, and failed, when values nest too deeply to show. Pair with leave. */
static bool enter(struct jrun *r)
{
	if (r->depth >= JINJA_NEST_MAX * 4)
		run_fail(r, E_LIMIT, "a value nests too deeply to be shown");
	if (!run_spend(r, 1))
		return false;
	r->depth++;
	return true;
}

void j_write(struct jrun *r, struct jvalue v, struct buf *out)
{
	if (!enter(r))
		return;
	switch (v.kind) {
	case J_UNDEFINED:
		break;
	case J_NONE:
		buf_str(out, "None");
		break;
	case J_BOOL:
		buf_str(out, v.b ? "True" : "False");
		break;
	case J_INT:
		buf_printf(out, "%lld", (long long)v.i);
		break;
	case J_FLOAT:
		write_float(v.f, out, false);
		break;
	case J_STRING:
		if (run_spend(r, v.s.n / 64))
			buf_bytes(out, v.s);
		break;
	case J_LIST:
		write_list(r, v.list, out);
		break;
	case J_DICT:
		write_dict(r, v.dict, out);
		break;
	case J_CALLABLE:
		buf_str(out, "<function>");
		break;
	}
	r->depth--;
}

struct bytes j_text(struct jrun *r, struct jvalue v)
{
	if (v.kind == J_STRING)
		return v.s;
	struct buf b = BUF_INIT(JINJA_OUTPUT_MAX);
	j_write(r, v, &b);
	if (b.failed)
		run_fail(r, E_LIMIT, "a value is too large to be shown");
	struct jvalue copy = j_copy(r, buf_view(&b));
	buf_free(&b);
	return copy.kind == J_STRING ? copy.s : (struct bytes){0};
}

static void write_json_string(struct bytes s, struct buf *out)
{
	static const char ESCAPED[] = "\"\\\n\r\t\b\f", NAMES[] = "\"\\nrtbf";
	buf_u8(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		const char *known = c ? strchr(ESCAPED, c) : NULL;
		if (known)
			buf_printf(out, "\\%c", NAMES[known - ESCAPED]);
		else if (c < 0x20)
			buf_printf(out, "\\u%04x", c);
		else
			buf_u8(out, c);
	}
	buf_u8(out, '"');
}

static void new_line(struct buf *out, int indent, int level)
{
	if (indent < 0)
		return;
	buf_u8(out, '\n');
	for (int i = 0; i < indent * level; i++)
		buf_u8(out, ' ');
}

struct json_style {
	int indent;
	int level;
};

static void write_json(struct jrun *r, struct jvalue v, struct json_style style, struct buf *out);

static void write_json_key(struct jrun *r, struct jvalue key, struct buf *out)
{
	struct buf text = BUF_INIT(JINJA_OUTPUT_MAX);
	if (key.kind == J_STRING)
		buf_bytes(&text, key.s);
	else
		write_json(r, key, (struct json_style){-1, 0}, &text);
	write_json_string(buf_view(&text), out);
	buf_free(&text);
}

static void write_json_members(
    struct jrun *r, struct jvalue v, struct json_style style, struct buf *out)
{
	bool dict = v.kind == J_DICT;
	size_t n = dict ? v.dict->n : v.list->n;
	struct json_style inner = {style.indent, style.level + 1};
	buf_u8(out, dict ? '{' : '[');
	for (size_t i = 0; i < n && run_ok(r); i++) {
		if (i)
			buf_str(out, style.indent < 0 ? ", " : ",");
		new_line(out, style.indent, inner.level);
		if (dict) {
			write_json_key(r, v.dict->items[i].key, out);
			buf_str(out, ": ");
		}
		write_json(r, dict ? v.dict->items[i].value : v.list->items[i], inner, out);
	}
	if (n)
		new_line(out, style.indent, style.level);
	buf_u8(out, dict ? '}' : ']');
}

static void write_json(struct jrun *r, struct jvalue v, struct json_style style, struct buf *out)
{
	if (!enter(r))
		return;
	switch (v.kind) {
	case J_NONE:
		buf_str(out, "null");
		break;
	case J_BOOL:
		buf_str(out, v.b ? "true" : "false");
		break;
	case J_INT:
		buf_printf(out, "%lld", (long long)v.i);
		break;
	case J_FLOAT:
		write_float(v.f, out, true);
		break;
	case J_STRING:
		if (run_spend(r, v.s.n / 64))
			write_json_string(v.s, out);
		break;
	case J_LIST:
	case J_DICT:
		write_json_members(r, v, style, out);
		break;
	case J_UNDEFINED:
	case J_CALLABLE:
		run_fail(r, E_FORMAT, "%s cannot be written as JSON", j_kind_name(v));
		break;
	}
	r->depth--;
}

void j_write_json(struct jrun *r, struct jvalue v, int indent, struct buf *out)
{
	write_json(r, v, (struct json_style){indent, 0}, out);
}
