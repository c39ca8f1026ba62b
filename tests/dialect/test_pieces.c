/* Small pieces that several dialects share: times, arguments, data: URLs, kinds of pictures. */
#include "dialect/read_priv.h"
#include "dialect/write_priv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} table[] = {
	    {"1970-01-01T00:00:01Z", 1},
	    {"2025-02-19T00:00:00Z", 1739923200},
	    {"2025-02-19T02:30:00.123456789+02:30", 1739923200},
	    {"2025-02-18T19:00:00-05:00", 1739923200},
	    {"2024-02-29T12:00:00Z", 1709208000},
	    {"1969-12-31T23:59:59Z", 0},
	    {"yesterday", 0},
	    {"2025-02-19", 0},
	    {"", 0},
	};
	struct buf out = BUF_INIT(1000);

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		assert_int_equal(time_of_text(table[i].text), table[i].s);
	put_time(&out, 1739923200 * 1000000LL + 42);
	assert_string_equal(buf_cstr(&out), "\"2025-02-19T00:00:00.000042Z\"");
	buf_reset(&out);
	put_time(&out, -1);
	assert_string_equal(buf_cstr(&out), "\"1970-01-01T00:00:00Z\"");
	buf_free(&out);
}

static void test_arguments(void **state)
{
	static const char *const table[][2] = {
	    {"", "{}"},
	    {"{}", "{}"},
	    {" {\"a\" : [1,\n2.5] }\n", "{\"a\":[1,2.5]}"},
	    {"[1]", "{\"_raw\":\"[1]\"}"},
	    {"\"x\"", "{\"_raw\":\"\\\"x\\\"\"}"},
	    {"{\"a\":", "{\"_raw\":\"{\\\"a\\\":\"}"},
	    {"{\"a\":1,\"a\":2}", "{\"_raw\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct buf out = BUF_INIT(1000);

		put_arguments_object(&out, bytes_str(table[i][0]));
		assert_string_equal(buf_cstr(&out), table[i][1]);
		buf_free(&out);
	}
}

static void test_data_urls(void **state)
{
	static const char *const bad[] = {"", "data:", "data:;base64,AA", "data:image/png,AA",
	    "https://x/;base64,", "Data:image/png;base64,AA"};
	struct bytes type, base64;

	assert_true(data_url_split(bytes_str("data:image/png;base64,AA=="), &type, &base64));
	assert_true(bytes_equal(type, bytes_str("image/png")));
	assert_true(bytes_equal(base64, bytes_str("AA==")));
	assert_true(data_url_split(bytes_str("data:a;base64,"), &type, &base64));
	assert_int_equal(base64.n, 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(data_url_split(bytes_str(bad[i]), &type, &base64));
}

static void test_pictures(void **state)
{
	assert_string_equal(image_type_of_base64(bytes_str("iVBORw0KGgoAAA")), "image/png");
	assert_string_equal(image_type_of_base64(bytes_str("/9j/4AAQ")), "image/jpeg");
	assert_string_equal(image_type_of_base64(bytes_str("R0lGODlh")), "image/gif");
	assert_string_equal(image_type_of_base64(bytes_str("UklGRgAA")), "image/webp");
	assert_null(image_type_of_base64(bytes_str("iVBOR")));
	assert_null(image_type_of_base64(bytes_str("")));
	assert_null(image_type_of_base64(bytes_str("JVBERi0x"))); /* a PDF */
}

/* Names of parameters are cut, never overrun. */
static void test_places(void **state)
{
	struct place at = place_at(NULL, "messages", 3);

	assert_string_equal(at.name, "messages[3]");
	at = place_of(&at, "content");
	assert_string_equal(at.name, "messages[3].content");
	at = place_at(&at, "", 0);
	assert_string_equal(at.name, "messages[3].content[0]");
	for (int i = 0; i < 20; i++)
		at = place_at(&at, "deeper", 4294967295u);
	assert_int_equal(strlen(at.name), ERR_PARAM_MAX - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_times),
	    cmocka_unit_test(test_arguments),
	    cmocka_unit_test(test_data_urls),
	    cmocka_unit_test(test_pictures),
	    cmocka_unit_test(test_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
