/* The error table is complete and its texts wrap in order. */
#include "base/err.h"
#include "suites.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const int all_codes[] = {
#define X(name, ...) name,
    ERR_TABLE(X)
#undef X
};

static void every_code_is_described(void **state)
{
	for (size_t i = 0; i < sizeof(all_codes) / sizeof(all_codes[0]); i++) {
		const struct err_info *info = err_info(all_codes[i]);

		assert_int_equal(info->code, all_codes[i]);
		assert_true(info->code < 0);
		assert_true(info->http_status >= 400 && info->http_status < 600);
		assert_true(strncmp(info->name, "E_", 2) == 0);
		assert_int_equal(err_code_of(info->name, 0), info->code);
		assert_int_equal(err_code_of(info->openai_code, 0), info->code);
	}
	assert_int_equal(err_info(-9999)->code, E_INTERNAL);
	assert_int_equal(err_info(0)->code, E_INTERNAL);
	assert_int_equal(err_code_of("nonsense", E_IO), E_IO);
}

static void texts_are_set_and_wrapped(void **state)
{
	struct err err = {0};

	assert_string_equal(err_text(&err), "no error");
	assert_int_equal(err_set(&err, E_TIMEOUT, "no answer in %d ms", 50), E_TIMEOUT);
	assert_string_equal(err_text(&err), "no answer in 50 ms");
	assert_int_equal(err_wrap(&err, E_IO, "dialling %s", "x"), E_TIMEOUT);
	assert_string_equal(err_text(&err), "dialling x: no answer in 50 ms");
	assert_int_equal(err_set(&err, E_IO, "again: %s", err.text), E_IO);
	assert_string_equal(err_text(&err), "again: dialling x: no answer in 50 ms");
	err_clear(&err);
	assert_int_equal(err_wrap(&err, E_BUSY, "queue"), E_BUSY);
	assert_int_equal(err.code, E_BUSY);
	assert_string_equal(err_text(&err), "queue: busy");
	assert_int_equal(err_set(NULL, E_IO, "x"), E_IO);
	assert_int_equal(err_wrap(NULL, E_IO, "x"), E_IO);
	err_clear(&err);
	err.code = E_LOOP;
	assert_string_equal(err_text(&err), "too many hops");
}

static void texts_stay_one_bounded_line(void **state)
{
	char big[2 * ERR_TEXT_MAX];
	struct err err = {0};

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	(void)err_set(&err, E_IO, "%s", big);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	(void)err_wrap(&err, E_IO, "first");
	assert_true(strncmp(err.text, "first: xxx", 10) == 0);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	(void)err_set(&err, E_IO, "a\nb\x1b[31mc\x7f");
	assert_string_equal(err.text, "a b [31mc ");
}

static void errno_values_map(void **state)
{
	struct err err = {0};

	assert_int_equal(err_errno(&err, EADDRINUSE, "binding %d", 80), E_IN_USE);
	assert_string_equal(err.text, "binding 80: Address already in use");
	assert_int_equal(err_errno(NULL, ECONNREFUSED, "x"), E_REFUSED);
	assert_int_equal(err_errno(NULL, ECONNRESET, "x"), E_RESET);
	assert_int_equal(err_errno(NULL, EHOSTUNREACH, "x"), E_UNREACHABLE);
	assert_int_equal(err_errno(NULL, ETIMEDOUT, "x"), E_TIMEOUT);
	assert_int_equal(err_errno(NULL, ENOENT, "x"), E_NOT_FOUND);
	assert_int_equal(err_errno(NULL, EACCES, "x"), E_FORBIDDEN);
	assert_int_equal(err_errno(NULL, EEXIST, "x"), E_EXISTS);
	assert_int_equal(err_errno(NULL, EMFILE, "x"), E_LIMIT);
	assert_int_equal(err_errno(NULL, ENOMEM, "x"), E_MEMORY);
	assert_int_equal(err_errno(NULL, EIO, "x"), E_IO);
}

int run_err_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_code_is_described),
	    cmocka_unit_test(texts_are_set_and_wrapped),
	    cmocka_unit_test(texts_stay_one_bounded_line),
	    cmocka_unit_test(errno_values_map),
	};

	return cmocka_run_group_tests_name("base/err", tests, NULL, NULL);
}
