/* The template interpreter: what it computes, what it refuses, and that nothing makes it run away.
 */
#include "engine/jinja.h"

#include "text_test.h"

#include "jinja_cases.h"

#include <stdio.h>
#include <stdlib.h>

static int render(struct bytes source, const json_t *globals, struct buf *out, struct err *err)
{
	struct jinja_program *p;
	int rc = jinja_parse(source, &p, err);
	if (rc == 0) {
		rc = jinja_render(p, globals, 1700000000, out, err);
		jinja_free(p);
	}
	return rc;
}

static void computes_what_jinja_does(void **state)
{
	(void)state;
	json_t *globals = json_loads(GLOBALS, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(globals);
	int bad = 0;
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		struct buf out = BUF_INIT(1 << 20);
		struct err err = {0};
		int rc = render(bytes_str(CASES[i].source), globals, &out, &err);
		if (rc || strcmp(buf_cstr(&out), CASES[i].text) != 0) {
			print_error("%s\n got  %s%s\n want %s\n", CASES[i].source,
			    rc ? err.text : "", buf_cstr(&out), CASES[i].text);
			bad++;
		}
		buf_free(&out);
	}
	json_decref(globals);
	assert_int_equal(bad, 0);
}

static void check_fails(struct bytes source, int code, const char *says)
{
	json_t *globals = json_loads(GLOBALS, JSON_REJECT_DUPLICATES, NULL);
	struct buf out = BUF_INIT(1 << 24);
	struct err err = {0};
	buf_str(&out, "kept");
	int rc = render(source, globals, &out, &err);
	if (rc != code || !strstr(err.text, says))
		print_error("%.*s: %d %s\n", source.n < 100 ? (int)source.n : 100,
		    (const char *)source.p, rc, err.text);
	assert_int_equal(rc, code);
	assert_non_null(strstr(err.text, says));
	assert_string_equal(buf_cstr(&out), "kept");
	buf_free(&out);
	json_decref(globals);
}

static void says_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *source;
		int code;
		const char *says;
	} BAD[] = {
	    {"a\nb\n{{ nope.x }}", E_FORMAT, "line 3: 'nope' is undefined"},
	    {"{{ 1 + 'a' }}", E_FORMAT, "an integer + a string"},
	    {"{{ 1 / 0 }}", E_FORMAT, "division by zero"},
	    {"{{ 1 // 0 }}", E_FORMAT, "division by zero"},
	    {"{{ 9223372036854775807 + 1 }}", E_FORMAT, "too large"},
	    {"{{ -9223372036854775807 - 2 }}", E_FORMAT, "too large"},
	    {"{{ 99999999999999999999 }}", E_FORMAT, "too large"},
	    {"{{ (-9223372036854775807 - 1) // -1 }}", E_FORMAT, "too large"},
	    {"{{ 3 ** 99 }}", E_FORMAT, "too large"},
	    {"{{ nope() }}", E_UNSUPPORTED, "'nope' is an undefined value"},
	    {"{{ l.append(1) }}", E_UNSUPPORTED, "a list has no method 'append'"},
	    {"{{ 1 | frobnicate }}", E_UNSUPPORTED, "unknown filter 'frobnicate'"},
	    {"{{ 1 is frobnic }}", E_UNSUPPORTED, "unknown test 'frobnic'"},
	    {"{% frobnicate %}", E_UNSUPPORTED, "unknown statement 'frobnicate'"},
	    {"{% set d.a = 1 %}", E_FORMAT, "namespace"},
	    {"{% for a, b in [[1, 2, 3]] %}{% endfor %}", E_FORMAT, "2 names for 3 values"},
	    {"{% for a in 5 %}{% endfor %}", E_FORMAT, "cannot be iterated"},
	    {"{{ l < 1 }}", E_FORMAT, "have no order"},
	    {"{{ nope | tojson }}", E_FORMAT, "JSON"},
	    {"{{ l[::0] }}", E_FORMAT, "step"},
	    {"{% if 1 %}", E_FORMAT, "does not end"},
	    {"{{ 1", E_FORMAT, "does not end"},
	    {"{{ 'a }}", E_FORMAT, "a string does not end"},
	    {"{# a", E_FORMAT, "a comment does not end"},
	    {"{{ ) }}", E_FORMAT, "bracket"},
	    {"{{ 1 ! 2 }}", E_FORMAT, "unexpected character"},
	    {"{{ }}", E_FORMAT, "expected an expression"},
	    {"{{ 1 2 }}", E_FORMAT, "expected"},
	    {"{{ raise_exception('roles must ' ~ 'alternate') }}", E_INVALID,
		"roles must alternate"},
	};
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		check_fails(bytes_str(BAD[i].source), BAD[i].code, BAD[i].says);
}

/* n times the same text, between two others. */
static void check_repeated(
    const char *head, const char *unit, const char *tail, size_t n, int code, const char *says)
{
	struct buf b = BUF_INIT(1 << 20);
	buf_str(&b, head);
	for (size_t i = 0; i < n; i++)
		buf_str(&b, unit);
	buf_str(&b, tail);
	assert_int_equal(buf_ok(&b, NULL), 0);
	check_fails(buf_view(&b), code, says);
	buf_free(&b);
}

static void nothing_runs_away(void **state)
{
	(void)state;
	static const struct {
		const char *source;
		const char *says;
	} GREEDY[] = {
	    {"{% for a in range(999999999) %}{% endfor %}", "memory"},
	    {"{% set s = 'x' * 999999 %}{% for i in range(999) %}{% if 'y' in s %}{% endif %}{% "
	     "endfor %}",
		"steps"},
	    {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nests too deeply"},
	    {"{{ 'x' * 999999999999 }}", "memory"},
	    {"{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% "
	     "endfor %}",
		"memory"},
	    {"{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "writes too much"},
	    {"{% set n = namespace() %}{% set n.n = n %}{{ n }}", "nests too deeply"},
	    {"{% set n = namespace() %}{% set n.a = [n, n] %}{{ n | tojson }}", "t"},
	    {"{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s.replace('a', "
	     "n.s) "
	     "%}{% endfor %}",
		"too"},
	};
	for (size_t i = 0; i < sizeof GREEDY / sizeof GREEDY[0]; i++)
		check_fails(bytes_str(GREEDY[i].source), E_LIMIT, GREEDY[i].says);
	check_repeated("{{ ", "(", "1", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ ", "-", "1 }}", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ ", "[", "", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ a", ".a", " }}", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ a", "|e", " }}", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ 1", "+1", " }}", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ 1", " if 1 else 1", " }}", 1000, E_LIMIT, "nests too deeply");
	check_repeated("", "{% if 1 %}", "", 1000, E_LIMIT, "nests too deeply");
	check_repeated("{{ f(", "1,", ") }}", 1000, E_LIMIT, "too many arguments");
	uint8_t *huge = calloc(1, JINJA_SOURCE_MAX + 1);
	check_fails(bytes_of(huge, JINJA_SOURCE_MAX + 1), E_TOO_LARGE, "a template of");
	free(huge);
}

static void deep_data_is_refused(void **state)
{
	(void)state;
	json_t *value = json_string("x");
	for (int i = 0; i < 1000; i++)
		value = json_pack("[o]", value);
	json_t *globals = json_pack("{so}", "v", value);
	struct buf out = BUF_INIT(1000);
	struct err err = {0};
	assert_int_equal(render(bytes_str("{{ v }}"), globals, &out, &err), E_LIMIT);
	json_decref(globals);
	buf_free(&out);
}

static void output_has_the_callers_limit(void **state)
{
	(void)state;
	json_t *globals = json_object();
	struct buf out = BUF_INIT(10);
	struct err err = {0};
	assert_int_equal(render(bytes_str("{{ 'x' * 100 }}"), globals, &out, &err), E_TOO_LARGE);
	json_decref(globals);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(computes_what_jinja_does),
	    cmocka_unit_test(says_what_is_wrong),
	    cmocka_unit_test(nothing_runs_away),
	    cmocka_unit_test(deep_data_is_refused),
	    cmocka_unit_test(output_has_the_callers_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
