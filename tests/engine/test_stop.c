/* Stop strings: nothing of one ever comes out, however the text is cut, and nothing else is lost.
 */
#include "engine/stop.h"

#include "text_test.h"

static const struct {
	const char *text;
	const char *stops[3];
	const char *out;
	bool stopped;
} CASES[] = {
    {"hello world", {"wor"}, "hello ", true},
    {"hello world", {"xyz"}, "hello world", false},
    {"hello wor", {"world"}, "hello wor", false},
    {"aaab", {"aab"}, "a", true},
    {"abababc", {"ababc"}, "ab", true},
    {"one two", {"two", "one"}, "", true},
    {"one two", {"two", "e t"}, "on", true},
    {"a\n\nUser:", {"\n\nUser:", "\nUser"}, "a\n", true},
    {"a\n\nUser:", {"\n\nUser", "\nUser"}, "a", true},
    {"caf\xc3\xa9 noir", {"\xc3\xa9 n"}, "caf", true},
    {"caf\xc3\xa9", {"\xc3\xa8"}, "caf\xc3\xa9", false},
    {"</s", {"</s>", "<"}, "", true},
    {"", {"x"}, "", false},
    {"anything", {NULL}, "anything", false},
};

static void check(size_t i, size_t first, size_t second)
{
	struct bytes stops[3];
	size_t n_stops = 0, n = strlen(CASES[i].text);
	for (; n_stops < 3 && CASES[i].stops[n_stops]; n_stops++)
		stops[n_stops] = bytes_str(CASES[i].stops[n_stops]);
	struct stop_filter f;
	struct buf out = BUF_INIT(1000);
	const char *t = CASES[i].text;
	assert_int_equal(stop_filter_init(&f, stops, n_stops, NULL), 0);
	bool stopped = stop_filter_push(&f, bytes_of(t, first), &out);
	if (!stopped)
		stopped = stop_filter_push(&f, bytes_of(t + first, second - first), &out);
	if (!stopped)
		stopped = stop_filter_push(&f, bytes_of(t + second, n - second), &out);
	if (!stopped)
		stop_filter_finish(&f, &out);
	assert_int_equal(stopped, CASES[i].stopped);
	assert_string_equal(buf_cstr(&out), CASES[i].out);
	stop_filter_free(&f);
	buf_free(&out);
}

static void every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		size_t n = strlen(CASES[i].text);
		for (size_t a = 0; a <= n; a++)
			for (size_t b = a; b <= n; b++)
				check(i, a, b);
	}
}

static void text_goes_out_as_soon_as_it_may(void **state)
{
	(void)state;
	struct bytes stop = bytes_str("END");
	struct stop_filter f;
	struct buf out = BUF_INIT(100);
	assert_int_equal(stop_filter_init(&f, &stop, 1, NULL), 0);
	assert_false(stop_filter_push(&f, bytes_str("abcE"), &out));
	assert_string_equal(buf_cstr(&out), "abc");
	assert_false(stop_filter_push(&f, bytes_str("N"), &out));
	assert_string_equal(buf_cstr(&out), "abc");
	assert_false(stop_filter_push(&f, bytes_str("E"), &out));
	assert_string_equal(buf_cstr(&out), "abcEN");
	stop_filter_finish(&f, &out);
	assert_string_equal(buf_cstr(&out), "abcENE");
	stop_filter_free(&f);
	buf_free(&out);
}

static void bad_stop_strings_are_refused(void **state)
{
	(void)state;
	static char long_one[STOP_STRING_MAX + 2];
	struct bytes many[STOP_STRINGS_MAX + 1];
	struct stop_filter f;
	memset(long_one, 'x', sizeof long_one - 1);
	for (size_t i = 0; i < STOP_STRINGS_MAX + 1; i++)
		many[i] = bytes_str("x");
	assert_int_equal(stop_filter_init(&f, many, STOP_STRINGS_MAX, NULL), 0);
	assert_int_equal(stop_filter_init(&f, many, STOP_STRINGS_MAX + 1, NULL), E_INVALID);
	struct bytes bad[] = {bytes_str(""), bytes_str(long_one), bytes_str("\xff")};
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(stop_filter_init(&f, &bad[i], 1, NULL), E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_cut),
	    cmocka_unit_test(text_goes_out_as_soon_as_it_may),
	    cmocka_unit_test(bad_stop_strings_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
