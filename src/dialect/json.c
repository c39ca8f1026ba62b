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

/* Bytes at the front of `text` that stand for themselves. */
static size_t plain_prefix(struct bytes text)
{
	size_t n = 0, len;
	uint32_t cp;

	while (n < text.n) {
		uint8_t c = text.p[n];

		if (c < 0x20 || c == '"' || c == '\\')
			break;
		len = c < 0x80 ? 1 : utf8_decode(text.p + n, text.n - n, &cp);
		if (len == 0)
			break;
		n += len;
	}
	return n;
}

void json_put_text(struct buf *out, struct bytes text)
{
	buf_u8(out, '"');
	while (text.n > 0) {
		size_t n = plain_prefix(text);

		buf_put(out, text.p, n);
		text = bytes_of(text.p + n, text.n - n);
		if (text.n == 0)
			break;
		if (escape_of(text.p[0]))
			buf_str(out, escape_of(text.p[0]));
		else if (text.p[0] > 0 && text.p[0] < 0x20)
			buf_printf(out, "\\u%04x", text.p[0]);
		else
			buf_str(out, "\xef\xbf\xbd");
		text = bytes_of(text.p + 1, text.n - 1);
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
