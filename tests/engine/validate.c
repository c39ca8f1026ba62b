/* See validate.h. Patterns are checked with PCRE2, formats by taking them apart. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "validate.h"

#include "base/encode.h"

#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

static bool has_type(const json_t *v, const char *t)
{
	double n = json_number_value(v);
	return (strcmp(t, "object") == 0 && json_is_object(v)) ||
	       (strcmp(t, "array") == 0 && json_is_array(v)) ||
	       (strcmp(t, "string") == 0 && json_is_string(v)) ||
	       (strcmp(t, "null") == 0 && json_is_null(v)) ||
	       (strcmp(t, "boolean") == 0 && json_is_boolean(v)) ||
	       (strcmp(t, "number") == 0 && json_is_number(v)) ||
	       (strcmp(t, "integer") == 0 && json_is_number(v) && floor(n) >= n);
}

static bool type_ok(const json_t *type, const json_t *v)
{
	if (json_is_string(type))
		return has_type(v, json_string_value(type));
	for (size_t i = 0; i < json_array_size(type); i++)
		if (has_type(v, json_string_value(json_array_get(type, i))))
			return true;
	return false;
}

static bool matches(const char *pattern, const json_t *v)
{
	int code;
	PCRE2_SIZE at;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
	if (!re)
		abort();
	pcre2_match_data *m = pcre2_match_data_create_from_pattern(re, NULL);
	int rc =
	    pcre2_match(re, (PCRE2_SPTR)json_string_value(v), json_string_length(v), 0, 0, m, NULL);
	pcre2_match_data_free(m);
	pcre2_code_free(re);
	return rc >= 0;
}

static bool date_ok(const char *s)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int y, m, d, n = 0;
	return sscanf(s, "%4d-%2d-%2d%n", &y, &m, &d, &n) == 3 && n == 10 && m >= 1 && m <= 12 &&
	       d >= 1 && d <= days[m - 1] + (m == 2 && y % 4 == 0);
}

static bool time_ok(const char *s)
{
	int h, m, sec, n = 0, zh, zm;
	if (sscanf(s, "%2d:%2d:%2d%n", &h, &m, &sec, &n) != 3 || n != 8 || h > 23 || m > 59 ||
	    sec > 59)
		return false;
	s += n;
	if (*s == '.')
		s += 1 + strspn(s + 1, "0123456789");
	if (strcmp(s, "Z") == 0)
		return true;
	return (*s == '+' || *s == '-') && sscanf(s + 1, "%2d:%2d%n", &zh, &zm, &n) == 2 &&
	       n == 5 && s[6] == '\0' && zh < 24 && zm < 60;
}

static bool format_ok(const char *f, const json_t *v)
{
	const char *s = json_string_value(v);
	if (!s)
		return true;
	if (strcmp(f, "date") == 0)
		return strlen(s) == 10 && date_ok(s);
	if (strcmp(f, "time") == 0)
		return time_ok(s);
	if (strcmp(f, "date-time") == 0)
		return strlen(s) > 11 && date_ok(s) && s[10] == 'T' && time_ok(s + 11);
	if (strcmp(f, "uuid") == 0)
		return strlen(s) == 36 && strspn(s, "0123456789abcdef-") == 36;
	if (strcmp(f, "ipv4") == 0) {
		unsigned a, b, c, d;
		return sscanf(s, "%3u.%3u.%3u.%3u", &a, &b, &c, &d) == 4 && a < 256 && b < 256 &&
		       c < 256 && d < 256;
	}
	abort();
}

static size_t characters(const json_t *v)
{
	size_t n = 0;
	for (const char *s = json_string_value(v); *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static bool object_ok(const json_t *root, const json_t *s, const json_t *v)
{
	const char *key, *pattern;
	json_t *value, *sub;
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		bool known = false;
		json_t *name = json_string(key);
		sub = json_object_get(json_object_get(s, "properties"), key);
		bool ok = !sub || json_is_valid(root, sub, value);
		known |= sub != NULL;
		json_object_foreach(json_object_get(s, "patternProperties"), pattern,
		    sub) if (matches(pattern, name))
		{
			known = true;
			ok &= json_is_valid(root, sub, value);
		}
		json_decref(name);
		sub = json_object_get(s, "additionalProperties");
		if (!ok || (!known && sub && !json_is_valid(root, sub, value)))
			return false;
	}
	for (size_t i = 0; i < json_array_size(json_object_get(s, "required")); i++)
		if (!json_object_get(
			v, json_string_value(json_array_get(json_object_get(s, "required"), i))))
			return false;
	return true;
}

static bool array_ok(const json_t *root, const json_t *s, const json_t *v)
{
	size_t n = json_array_size(v);
	const json_t *prefix = json_object_get(s, "prefixItems"), *min, *max;
	const json_t *items = json_object_get(s, "items");
	min = json_object_get(s, "minItems");
	max = json_object_get(s, "maxItems");
	if ((min && (double)n < json_number_value(min)) ||
	    (max && (double)n > json_number_value(max)))
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *sub = i < json_array_size(prefix) ? json_array_get(prefix, i) : items;
		if (sub && !json_is_valid(root, sub, json_array_get(v, i)))
			return false;
	}
	return true;
}

static bool bounds_ok(const json_t *s, const json_t *v)
{
	double n = json_number_value(v);
	const json_t *b;
	return (!(b = json_object_get(s, "minimum")) || n >= json_number_value(b)) &&
	       (!(b = json_object_get(s, "maximum")) || n <= json_number_value(b)) &&
	       (!(b = json_object_get(s, "exclusiveMinimum")) || n > json_number_value(b)) &&
	       (!(b = json_object_get(s, "exclusiveMaximum")) || n < json_number_value(b));
}

static bool string_ok(const json_t *s, const json_t *v)
{
	const json_t *min = json_object_get(s, "minLength"), *max = json_object_get(s, "maxLength");
	const json_t *pattern = json_object_get(s, "pattern");
	size_t n = characters(v);
	return (!min || (double)n >= json_number_value(min)) &&
	       (!max || (double)n <= json_number_value(max)) &&
	       (!pattern || matches(json_string_value(pattern), v));
}

static const json_t *follow(const json_t *root, const char *ref)
{
	char path[256];
	const json_t *at = root;
	snprintf(path, sizeof path, "%s", ref);
	for (char *save, *step = strtok_r(path + 1, "/", &save); step;
	     step = strtok_r(NULL, "/", &save))
		at = json_object_get(at, step);
	if (!at)
		abort();
	return at;
}

static size_t count_valid(const json_t *root, const json_t *list, const json_t *v)
{
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		n += json_is_valid(root, json_array_get(list, i), v);
	return n;
}

static bool in_list(const json_t *list, const json_t *v)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), v))
			return true;
	return false;
}

bool json_is_valid(const json_t *root, const json_t *s, const json_t *v)
{
	if (json_is_boolean(s))
		return json_is_true(s);
	const json_t *k;
	if ((k = json_object_get(s, "$ref")) &&
	    !json_is_valid(root, follow(root, json_string_value(k)), v))
		return false;
	if ((k = json_object_get(s, "type")) && !type_ok(k, v))
		return false;
	if ((k = json_object_get(s, "const")) && !json_equal(k, v))
		return false;
	if ((k = json_object_get(s, "enum")) && !in_list(k, v))
		return false;
	if ((k = json_object_get(s, "allOf")) && count_valid(root, k, v) < json_array_size(k))
		return false;
	if ((k = json_object_get(s, "anyOf")) && count_valid(root, k, v) == 0)
		return false;
	if ((k = json_object_get(s, "format")) && !format_ok(json_string_value(k), v))
		return false;
	return (!json_is_object(v) || object_ok(root, s, v)) &&
	       (!json_is_array(v) || array_ok(root, s, v)) &&
	       (!json_is_number(v) || bounds_ok(s, v)) && (!json_is_string(v) || string_ok(s, v));
}
