/* Strict JSON in; text out that is always valid. */
#include "dialect/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int read_text(struct bytes text, struct err *err)
{
	json_t *v;
	uint8_t *exact = malloc(text.n ? text.n : 1);
	int rc;

	assert_non_null(exact);
	if (text.n > 0)
		memcpy(exact, text.p, text.n);
	rc = json_read(bytes_of(exact, text.n), &v, err);
	free(exact);
	if (rc == 0)
		json_decref(v);
	else
		assert_null(v);
	return rc;
}

static void test_refused(void **state)
{
	static const char *const texts[] = {"", " ", "1", "\"a\"", "null", "{", "{}x", "{\"a\":1,}",
	    "{\"a\":1,\"a\":1}", "{'a':1}", "[NaN]", "[1e999]", "[9223372036854775808]", "[01]",
	    "[\"\\u0000\"]", "[\"\xff\"]", "[\"\xc0\xaf\"]", "[\"\xed\xa0\x80\"]", "[\"\\ud800\"]",
	    "[\"a\nb\"]", "{\"a\"", "[\"\\\"]", "[\"\\"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err = {0};

		if (read_text(bytes_str(texts[i]), &err) != E_SYNTAX)
			fail_msg("accepted: %s", texts[i]);
		assert_true(strlen(err.text) > 0);
	}
	assert_int_equal(read_text(bytes_of("[\"a\0\"]", 6), NULL), E_SYNTAX);
	assert_int_equal(read_text(bytes_of(NULL, 0), NULL), E_SYNTAX);
}

static void test_accepted(void **state)
{
	static const char *const texts[] = {"{}", "[]", " [1] ", "[9223372036854775807]",
	    "[-9223372036854775808,1.5e3,true,null]", "{\"a\":{\"b\":\"[[[[\\\"{{{\"}}",
	    "[\"\xf0\x9f\x98\x80 \\ud83d\\ude00\"]"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(read_text(bytes_str(texts[i]), NULL), 0);
}

static int read_nested(size_t depth, bool close)
{
	struct buf b = BUF_INIT(1 << 24);
	int rc;

	for (size_t i = 0; i < depth; i++)
		buf_str(&b, i % 2 ? "[" : "[{\"\\\"\":");
	for (size_t i = depth; close && i-- > 0;)
		buf_str(&b, i % 2 ? "]" : "}]");
	rc = read_text(buf_view(&b), NULL);
	buf_free(&b);
	return rc;
}

static void test_depth(void **state)
{
	/* an even step opens two levels */
	assert_int_equal(read_nested(42, true), 0);        /* 63 */
	assert_int_equal(read_nested(44, true), E_SYNTAX); /* 66 */
	assert_int_equal(read_nested(1000000, true), E_SYNTAX);
	assert_int_equal(read_nested(1000000, false), E_SYNTAX);
}

/* What could not be read is not quoted: it may be a prompt. */
static void test_no_quotes(void **state)
{
	struct err err = {0};

	assert_int_equal(read_text(bytes_str("{\"messages\": secret prompt}"), &err), E_SYNTAX);
	assert_null(strstr(err.text, "secret"));
	assert_non_null(strstr(err.text, "line 1"));
}

static void test_put_text(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", "\"\""},
	    {"a\"b\\c/\n\r\t\x01\x1f\x7f", "\"a\\\"b\\\\c/\\n\\r\\t\\u0001\\u001f\x7f\""},
	    {"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
	    {"a\xff"
	     "b\xc3",
		"\"a\xef\xbf\xbd"
		"b\xef\xbf\xbd\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = BUF_INIT(256);

		json_put_text(&b, bytes_str(cases[i].in));
		assert_string_equal(buf_cstr(&b), cases[i].out);
		buf_free(&b);
	}
	struct buf b = BUF_INIT(64);
	json_put_text(&b, bytes_of("a\0b", 3));
	assert_string_equal(buf_cstr(&b), "\"a\xef\xbf\xbd"
					  "b\"");
	buf_free(&b);
}

/* Any bytes, NUL among them, become a string that reads back. */
static void test_put_any(void **state)
{
	uint32_t x = 12345;

	for (int round = 0; round < 2000; round++) {
		struct buf b = BUF_INIT(4096);
		uint8_t raw[40];
		json_t *v;

		for (size_t i = 0; i < sizeof(raw); i++) {
			x = x * 1664525 + 1013904223;
			raw[i] = (uint8_t)(x >> 24);
		}
		buf_u8(&b, '[');
		json_put_text(&b, bytes_of(raw, (size_t)(round % 41)));
		buf_u8(&b, ']');
		assert_int_equal(json_read(buf_view(&b), &v, NULL), 0);
		json_decref(v);
		buf_free(&b);
	}
}

static void test_members(void **state)
{
	struct buf b = BUF_INIT(256), small = BUF_INIT(3);
	json_t *v;

	assert_int_equal(
	    json_read(bytes_str("{\"s\":\"x\",\"i\":-5,\"b\":true,\"n\":null}"), &v, NULL), 0);
	assert_string_equal(json_get_string(v, "s", "?"), "x");
	assert_string_equal(json_get_string(v, "i", "?"), "?");
	assert_null(json_get_string(v, "no", NULL));
	assert_int_equal(json_get_int(v, "i", 0), -5);
	assert_int_equal(json_get_int(v, "s", 7), 7);
	assert_true(json_get_bool(v, "b", false));
	assert_true(json_get_bool(v, "n", true));
	assert_int_equal(json_write(v, &b, NULL), 0);
	assert_string_equal(buf_cstr(&b), "{\"s\":\"x\",\"i\":-5,\"b\":true,\"n\":null}");
	assert_int_equal(json_write(v, &small, NULL), E_TOO_LARGE);
	assert_int_equal(json_write(NULL, &b, NULL), E_MEMORY);
	json_decref(v);
	buf_free(&b);
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_accepted),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_no_quotes),
	    cmocka_unit_test(test_put_text),
	    cmocka_unit_test(test_put_any),
	    cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
