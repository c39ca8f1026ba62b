/* Strict JSON in, compact JSON out. */
#include "dialect/json.h"

#include "base/encode.h"

/* Depth without recursion: brackets outside strings. jansson judges everything else. */
static bool too_deep(struct bytes text)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

int json_read(struct bytes text, json_t **out, struct err *err)
{
	json_error_t why;
	char *quote;

	*out = NULL;
	if (text.n > 0 && memchr(text.p, 0, text.n)) /* jansson passes over some of them */
		return err_set(err, E_SYNTAX, "not valid JSON: a NUL character");
	if (too_deep(text))
		return err_set(
		    err, E_SYNTAX, "not valid JSON here: nested deeper than %d", JSON_DEPTH_MAX);
	*out = json_loadb(text.n ? (const char *)text.p : "", text.n, JSON_REJECT_DUPLICATES, &why);
	if (*out)
		return 0;
	quote = strstr(why.text, " near '"); /* what follows is the document's, maybe a prompt's */
	if (quote)
		*quote = 0;
	return err_set(err, E_SYNTAX, "not valid JSON: %s (line %d, column %d)", why.text, why.line,
	    why.column);
}

static int append(const char *p, size_t n, void *arg)
{
	struct buf *b = arg;
	buf_put(b, p, n);
	return b->failed ? -1 : 0;
}

int json_write(const json_t *value, struct buf *out, struct err *err)
{
	if (value && json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
		return 0;
	int rc = buf_ok(out, err);
	return rc ? rc : err_set(err, E_MEMORY, "no room for a JSON text");
}

/* The escape of an ASCII character that JSON cannot hold as it is, or NULL. */
static const char *escape_of(uint8_t c)
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	default:
		return NULL;
	}
}

#define EACH(byte) (0x0101010101010101u * (byte))

static uint64_t zero_bytes(uint64_t x)
{
	return (x - EACH(0x01)) & ~x & EACH(0x80);
}

/* Eight at a time while they all are: any mark in a word means that one of its bytes is not. */
const uint8_t *json_plain_run(const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 8) {
		uint64_t x, marks;

		memcpy(&x, p, 8);
		marks = zero_bytes(x ^ EACH('"')) | zero_bytes(x ^ EACH('\\')) |
			((x - EACH(0x20)) & ~x & EACH(0x80)) | (x & EACH(0x80));
		if (marks != 0)
			break;
		p += 8;
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* The first byte that does not stand for itself. */
static const uint8_t *plain_text(const uint8_t *p, const uint8_t *end)
{
	for (;;) {
		uint32_t cp;
		size_t n;

		p = json_plain_run(p, end);
		n = p < end && *p >= 0x80 ? utf8_decode(p, (size_t)(end - p), &cp) : 0;
		if (n == 0)
			return p;
		p += n;
	}
}

static void put_escaped(struct buf *out, uint8_t c)
{
	const char *escape = escape_of(c);

	if (escape)
		buf_put(out, escape, 2);
	else if (c > 0 && c < 0x20)
		buf_printf(out, "\\u%04x", c);
	else
		buf_put(out, "\xef\xbf\xbd", 3);
}

void json_put_text(struct buf *out, struct bytes text)
{
	const uint8_t *p = text.p, *end = text.n ? text.p + text.n : text.p;

	buf_u8(out, '"');
	while (p < end) {
		const uint8_t *run = p;

		p = plain_text(p, end);
		if (p > run)
			buf_put(out, run, (size_t)(p - run));
		if (p < end)
			put_escaped(out, *p++);
	}
	buf_u8(out, '"');
}

const char *json_get_string(const json_t *object, const char *key, const char *otherwise)
{
	const char *s = json_string_value(json_object_get(object, key));
	return s ? s : otherwise;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(object, key);
	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(object, key);
	return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

bool json_get_hex(const json_t *object, const char *key, uint8_t *out, size_t n)
{
	const char *hex = json_get_string(object, key, "");
	return strlen(hex) == 2 * n && hex_decode(bytes_str(hex), out, n) == 0;
}

void json_set_hex(json_t *object, const char *key, struct bytes value)
{
	char hex[2 * JSON_HEX_MAX + 1];
	INVARIANT(value.n <= JSON_HEX_MAX);
	hex_encode(value, hex);
	json_object_set_new(object, key, json_string(hex));
	explicit_bzero(hex, sizeof hex);
}
