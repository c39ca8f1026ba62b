/* Log lines: levels, both formats, and nothing from outside that breaks a line. */
#include "base/log.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

struct sink {
	char line[65536];
	size_t n;
	int lines;
	enum log_level level;
};

static void keep(void *arg, enum log_level level, const char *line, size_t n)
{
	struct sink *sink = arg;

	assert_true(n < sizeof(sink->line));
	assert_int_equal(strlen(line), n);
	memcpy(sink->line, line, n + 1);
	sink->n = n;
	sink->lines++;
	sink->level = level;
}

static int64_t fixed_clock(void *arg)
{
	return 1714979289123;
}

static struct log *open_log(struct sink *sink, enum log_format format)
{
	struct log *log = log_new("alpha", LOG_INFO, format, keep, sink, fixed_clock, NULL);

	assert_non_null(log);
	return log;
}

static void text_line(void **state)
{
	struct sink sink = {0};
	struct log *log = open_log(&sink, LOG_TEXT);

	log_event(log, LOG_WARN, "p2p", "lost %s", "peer");
	assert_string_equal(sink.line, "2024-05-06T07:08:09.123Z warn  [alpha] p2p: lost peer");
	assert_int_equal(sink.level, LOG_WARN);
	log_set_name(log, "");
	log_event(log, LOG_ERROR, "rt", "a\nb\x1b[2Jc\xff \xe2\x80\xae!");
	assert_string_equal(
	    sink.line, "2024-05-06T07:08:09.123Z error rt: a\\nb\\u001b[2Jc\\xff \\u202e!");
	log_free(log);
}

static void json_line(void **state)
{
	struct sink sink = {0};
	struct log *log = open_log(&sink, LOG_JSON);

	log_event(log, LOG_INFO, "p2p", "say \"hi\\\" %c caf\xc3\xa9 \xc3(", 1);
	assert_string_equal(sink.line,
	    "{\"time\":\"2024-05-06T07:08:09.123Z\",\"level\":\"info\",\"node\":\"alpha\","
	    "\"room\":\"p2p\",\"message\":\"say \\\"hi\\\\\\\" \\u0001 caf\xc3\xa9 \\ufffd(\"}");
	log_free(log);
}

static void levels_filter(void **state)
{
	struct sink sink = {0};
	struct log *log = open_log(&sink, LOG_TEXT);

	log_event(log, LOG_DEBUG, "x", "hidden");
	assert_int_equal(sink.lines, 0);
	assert_false(log_enabled(log, LOG_TRACE));
	assert_true(log_enabled(log, LOG_INFO));
	assert_false(log_enabled(NULL, LOG_ERROR));
	log_event(NULL, LOG_ERROR, "x", "dropped");
	log_free(log);
}

static void long_text_is_cut_between_characters(void **state)
{
	struct sink sink = {0};
	struct log *log = open_log(&sink, LOG_TEXT);
	char *big = malloc(20001);

	assert_non_null(big);
	for (size_t i = 0; i < 20000; i += 2)
		memcpy(big + i, "\xc3\xa9", 2);
	big[20000] = 0;
	log_event(log, LOG_INFO, "x", "%s", big);
	assert_true(sink.n > 4000 && sink.n < 5000);
	assert_null(strstr(sink.line, "\\x"));
	memset(big, 1, 20000);
	log_event(log, LOG_INFO, "x", "%s", big);
	assert_true(sink.n > 20000);
	log_free(log);
	free(big);
}

static void names_parse(void **state)
{
	struct err err = {0};
	enum log_level level;
	enum log_format format;

	assert_int_equal(log_level_parse("debug", &level, NULL), 0);
	assert_int_equal(level, LOG_DEBUG);
	assert_int_equal(log_level_parse("loud", &level, &err), E_INVALID);
	assert_non_null(strstr(err.text, "\"loud\""));
	assert_int_equal(log_format_parse("json", &format, NULL), 0);
	assert_int_equal(format, LOG_JSON);
	assert_int_equal(log_format_parse("text", &format, NULL), 0);
	assert_int_equal(format, LOG_TEXT);
	assert_int_equal(log_format_parse("xml", &format, &err), E_INVALID);
}

static void file_writer_ends_lines(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	log_write_file(f, LOG_INFO, "one", 3);
	log_write_file(f, LOG_INFO, "two", 3);
	fclose(f);
	assert_string_equal(text, "one\ntwo\n");
	free(text);
}

int run_log_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_line),
	    cmocka_unit_test(json_line),
	    cmocka_unit_test(levels_filter),
	    cmocka_unit_test(long_text_is_cut_between_characters),
	    cmocka_unit_test(names_parse),
	    cmocka_unit_test(file_writer_ends_lines),
	};

	return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
