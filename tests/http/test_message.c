/* Helpers for heads: lookup, lists, dates, escapes, injection. */
#include "http/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void add(struct http_head *h, const char *name, const char *value)
{
	h->fields[h->n_fields].name = (uint32_t)h->text.n;
	buf_put(&h->text, name, strlen(name) + 1);
	h->fields[h->n_fields++].value = (uint32_t)h->text.n;
	buf_put(&h->text, value, strlen(value) + 1);
}

static void test_lookup(void **state)
{
	struct http_head h;

	http_head_init(&h);
	add(&h, "Connection", "keep-alive , Upgrade");
	add(&h, "Content-Type", "Application/JSON; charset=utf-8");
	add(&h, "connection", ",,x,");
	assert_string_equal(http_head_get(&h, "CONTENT-TYPE"), "Application/JSON; charset=utf-8");
	assert_null(http_head_get(&h, "Content"));
	assert_int_equal(http_head_count(&h, "connection"), 2);
	assert_true(http_head_has_token(&h, "Connection", "upgrade"));
	assert_true(http_head_has_token(&h, "Connection", "keep-alive"));
	assert_true(http_head_has_token(&h, "Connection", "x"));
	assert_false(http_head_has_token(&h, "Connection", "keep"));
	assert_false(http_head_has_token(&h, "Connection", "close"));
	assert_true(http_head_is_type(&h, "application/json"));
	assert_false(http_head_is_type(&h, "application/jso"));
	http_head_free(&h);
	assert_null(http_head_get(&h, "Connection"));
}

static void test_date(void **state)
{
	char out[HTTP_DATE_MAX];

	http_date(784111777000, out);
	assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 5.6.7 */
	http_date(951782400999, out);
	assert_string_equal(out, "Tue, 29 Feb 2000 00:00:00 GMT");
	http_date(INT64_MIN, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date(INT64_MAX, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void test_percent(void **state)
{
	char out[8];

	assert_int_equal(http_percent_decode("a%2Fb%c3", out, sizeof(out)), 0);
	assert_string_equal(out, "a/b\xc3");
	assert_int_equal(http_percent_decode("%0", out, sizeof(out)), E_SYNTAX);
	assert_int_equal(http_percent_decode("%", out, sizeof(out)), E_SYNTAX);
	assert_int_equal(http_percent_decode("%zz", out, sizeof(out)), E_SYNTAX);
	assert_int_equal(http_percent_decode("%00", out, sizeof(out)), E_SYNTAX);
	assert_int_equal(http_percent_decode("12345678", out, sizeof(out)), E_TOO_LARGE);
	assert_int_equal(http_percent_decode("1234567", out, sizeof(out)), 0);
	assert_int_equal(http_percent_decode("", out, 0), E_TOO_LARGE);
}

static void test_injection(void **state)
{
	struct buf out = BUF_INIT(256);
	struct err err;

	assert_int_equal(http_put_header(&out, "X", "a\r\nSet-Cookie: b", &err), E_INVALID);
	assert_int_equal(http_put_header(&out, "X", "a\nb", &err), E_INVALID);
	assert_int_equal(http_put_header(&out, "X:", "a", &err), E_INVALID);
	assert_int_equal(http_put_header(&out, "X Y", "a", &err), E_INVALID);
	assert_int_equal(http_put_header(&out, "", "a", &err), E_INVALID);
	assert_int_equal(out.n, 0);
	assert_int_equal(http_put_header(&out, "X-1_a", "a\tb \xc3\xa9", &err), 0);
	assert_string_equal(buf_cstr(&out), "X-1_a: a\tb \xc3\xa9\r\n");
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lookup),
	    cmocka_unit_test(test_date),
	    cmocka_unit_test(test_percent),
	    cmocka_unit_test(test_injection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
