/* Server-sent events: every split of a stream gives the same events. */
#include "http/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int parse(struct bytes in, size_t first, size_t step, size_t max, struct buf *out)
{
	struct sse_parser p;
	struct sse_event e;
	int rc = 0;

	sse_parser_init(&p, max);
	for (size_t at = 0, n = first; rc == 0 && at < in.n; at += n, n = step) {
		struct bytes piece;
		uint8_t *copy;

		if (n > in.n - at)
			n = in.n - at;
		copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, in.p + at, n);
		piece = bytes_of(copy, n);
		while ((rc = sse_parser_next(&p, &piece, &e, NULL)) == 1) {
			assert_int_equal(strlen((const char *)e.data.p), e.data.n);
			buf_printf(out, "%s[%s]", e.event, (const char *)e.data.p);
		}
		free(copy);
	}
	sse_parser_free(&p);
	return rc;
}

static void check(const char *text, const char *expected)
{
	struct bytes in = bytes_str(text);
	struct buf out = BUF_INIT(1 << 16);

	for (size_t first = 1; first <= in.n; first++)
		for (size_t step = 1; step <= in.n; step += step < 4 ? 1 : in.n) {
			assert_int_equal(parse(in, first, step, 1 << 16, &out), 0);
			assert_string_equal(buf_cstr(&out), expected);
			buf_reset(&out);
		}
	buf_free(&out);
}

static void test_parse(void **state)
{
	check("data: a\n\n", "message[a]");
	check("data:a\r\rdata: b\r\n\r\ndata:  c\n\n", "message[a]message[b]message[ c]");
	check("data: 1\ndata: 2\r\ndata:\rdata\n\n", "message[1\n2\n\n]");
	check("\xef\xbb\xbf"
	      "event: error\ndata: x\n\ndata: y\n\n",
	    "error[x]message[y]");
	check(": comment\n\n:\n\nevent: lost\n\nid: 7\nretry: 1\nx\ndata: z\n\n", "message[z]");
	check("data: {\"a\":1}\n\ndata: [DONE]\n\ndata: cut", "message[{\"a\":1}]message[[DONE]]");
	check("data\n\n", "message[]");
	check("data: a\n\r\n\ndata: b\n\n", "message[a]message[b]");
	check("event: 0123456789012345678901234567890123456789012345678901234567890123456789\n"
	      "data: a\n\n",
	    "message[a]");
}

static void test_limit(void **state)
{
	struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

	buf_str(&in, "data: 12345678\n\n");
	assert_int_equal(parse(buf_view(&in), 3, 3, 8, &out), 0);
	assert_string_equal(buf_cstr(&out), "message[12345678]");
	assert_int_equal(parse(buf_view(&in), 3, 3, 7, &out), E_TOO_LARGE);
	buf_reset(&in);
	for (int i = 0; i < 9; i++)
		buf_str(&in, "data: 1\n");
	assert_int_equal(parse(buf_view(&in), 3, 3, 8, &out), E_TOO_LARGE);
	buf_free(&in);
	in = BUF_INIT(4u << 20);
	buf_str(&in, "x");
	for (size_t i = 0; i < (1u << 20) + 8; i++)
		buf_u8(&in, 'x');
	assert_int_equal(parse(buf_view(&in), 65536, 65536, 8, &out), E_TOO_LARGE);
	buf_free(&in);
	buf_free(&out);
}

/* Whatever is written is read back, and nothing in the data becomes framing. */
static void test_write(void **state)
{
	static const char *const data[] = {"", "a", "a\nb", "a\rb\r\nc", "\n", "\r\n\r\n",
	    "x\n\nevent: evil\ndata: y\n\n", " lead", "tail\n"};
	static const char *const back[] = {"", "a", "a\nb", "a\nb\nc", "\n", "\n\n",
	    "x\n\nevent: evil\ndata: y\n\n", " lead", "tail\n"};
	struct buf wire = BUF_INIT(1 << 16), out = BUF_INIT(1 << 16), expected = BUF_INIT(1 << 16);

	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		sse_put_comment(&wire, "keep-alive");
		sse_put_event(&wire, i % 2 ? "odd" : NULL, bytes_str(data[i]));
		buf_printf(&expected, "%s[%s]", i % 2 ? "odd" : "message", back[i]);
	}
	for (size_t step = 1; step < 40; step++) {
		assert_int_equal(parse(buf_view(&wire), step, step, 1 << 16, &out), 0);
		assert_string_equal(buf_cstr(&out), buf_cstr(&expected));
		buf_reset(&out);
	}
	buf_free(&wire);
	buf_free(&out);
	buf_free(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
