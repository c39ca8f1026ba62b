/* The message parser: what it accepts, in every split; what it refuses, whatever the split. */
#include "http/parser_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum kind {
	REQUEST,
	RESPONSE,
	RESPONSE_TO_HEAD
};

static void start(struct http_parser *p, struct http_head *h, enum kind kind)
{
	if (kind == REQUEST)
		http_parser_request(p, h);
	else
		http_parser_response(p, h, kind == RESPONSE_TO_HEAD);
}

static void note_head(struct buf *out, const struct http_head *h, enum kind kind)
{
	if (kind == REQUEST)
		buf_printf(out, "%s %s|%s|%s", h->method, http_head_target(h), http_head_path(h),
		    http_head_query(h));
	else
		buf_printf(out, "%d", h->status);
	buf_printf(
	    out, " 1.%d len=%lld ka=%d\n", h->minor, (long long)h->content_length, h->keep_alive);
	for (size_t i = 0; i < h->n_fields; i++)
		buf_printf(out, "%s=[%s]\n", http_field_name(h, i), http_field_value(h, i));
	buf_str(out, "body=");
}

/* Parses all messages in `in`, fed in pieces: the first of `first` bytes, the others of `step`.
 * 0, or the parser's error (then *status). The transcript goes to `out`. */
static int transcribe(
    struct bytes in, enum kind kind, size_t first, size_t step, struct buf *out, int *status)
{
	struct http_parser p;
	struct http_head h;
	size_t at = 0, fed = first < in.n ? first : in.n, used;
	struct bytes body;
	int rc = 0;

	http_head_init(&h);
	start(&p, &h, kind);
	for (;;) {
		/* An exact copy: AddressSanitizer then sees any read outside the piece. */
		uint8_t *piece = malloc(fed > at ? fed - at : 1);

		assert_non_null(piece);
		memcpy(piece, in.p + at, fed - at);
		rc = http_parser_step(&p, bytes_of(piece, fed - at), &used, &body, NULL);
		if (rc == HTTP_PARSE_HEAD)
			note_head(out, &h, kind);
		if (rc == HTTP_PARSE_BODY)
			buf_bytes(out, body);
		free(piece);
		at += used;
		if (rc < 0)
			break;
		if (rc == HTTP_PARSE_DONE) {
			buf_str(out, "\n--\n");
			start(&p, &h, kind);
			if (at == in.n)
				break;
		}
		if (rc == HTTP_PARSE_MORE && at == fed) {
			if (fed == in.n)
				break;
			fed = fed + step < in.n ? fed + step : in.n;
		}
	}
	if (rc == HTTP_PARSE_MORE && http_parser_end(&p, NULL) == 0) {
		buf_str(out, "\n--\n");
		rc = HTTP_PARSE_DONE;
	}
	*status = p.status;
	http_head_free(&h);
	return rc;
}

static void check_accepted(const char *text, enum kind kind, const char *expected)
{
	struct bytes in = bytes_str(text);
	struct buf out = BUF_INIT(1 << 20);
	int status;

	for (size_t first = 1; first <= in.n; first++) {
		assert_int_equal(transcribe(in, kind, first, in.n, &out, &status), HTTP_PARSE_DONE);
		assert_string_equal(buf_cstr(&out), expected);
		buf_reset(&out);
	}
	assert_int_equal(transcribe(in, kind, 1, 1, &out, &status), HTTP_PARSE_DONE);
	assert_string_equal(buf_cstr(&out), expected);
	buf_free(&out);
}

static void test_requests(void **state)
{
	check_accepted("GET / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST,
	    "GET /|/| 1.1 len=0 ka=1\nHost=[a]\nbody=\n--\n");
	check_accepted(
	    "GET /a?b=c HTTP/1.1\r\nhOST:\tlocalhost:8080 \t\r\nX-Empty:\r\nX-E2: \r\n\r\n",
	    REQUEST,
	    "GET /a?b=c|/a|b=c 1.1 len=0 ka=1\nhOST=[localhost:8080]\nX-Empty=[]\nX-E2=[]\n"
	    "body=\n--\n");
	check_accepted("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
		       "GET /y HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
	    REQUEST,
	    "POST /x|/x| 1.1 len=5 ka=1\nHost=[a]\nContent-Length=[5]\nbody=hello\n--\n"
	    "GET /y|/y| 1.1 len=0 ka=0\nHost=[a]\nConnection=[x, Close]\nbody=\n--\n");
	check_accepted("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "5\r\nhello\r\n1;ext=\"v\"\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: t\r\n\r\n",
	    REQUEST,
	    "POST /x|/x| 1.1 len=-1 ka=1\nHost=[a]\nTransfer-Encoding=[chunked]\n"
	    "body=hello world\n--\n");
	check_accepted("GET http://host:80?q HTTP/1.1\r\nHost: host\r\n\r\n", REQUEST,
	    "GET http://host:80?q|/|q 1.1 len=0 ka=1\nHost=[host]\nbody=\n--\n");
	check_accepted("GET https://h/p/%2F?u=http://x HTTP/1.1\r\nHost: h\r\n\r\n", REQUEST,
	    "GET https://h/p/%2F?u=http://x|/p/%2F|u=http://x 1.1 len=0 "
	    "ka=1\nHost=[h]\nbody=\n--\n");
	check_accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST,
	    "OPTIONS *|*| 1.1 len=0 ka=1\nHost=[a]\nbody=\n--\n");
	check_accepted("GET / HTTP/1.0\r\n\r\n", REQUEST, "GET /|/| 1.0 len=0 ka=0\nbody=\n--\n");
	check_accepted("GET /?a://b HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", REQUEST,
	    "GET /?a://b|/|a://b 1.0 len=0 ka=1\nConnection=[Keep-Alive]\nbody=\n--\n");
	check_accepted("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
		       "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	    REQUEST,
	    "GET /|/| 1.1 len=0 ka=1\nHost=[a]\nUpgrade=[h2c]\nConnection=[Upgrade]\nbody=\n--\n"
	    "GET /2|/2| 1.1 len=0 ka=1\nHost=[a]\nbody=\n--\n");
}

static void test_responses(void **state)
{
	check_accepted("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", RESPONSE,
	    "200 1.1 len=2 ka=1\nContent-Length=[2]\nbody=hi\n--\n");
	check_accepted("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n",
	    RESPONSE,
	    "204 1.1 len=0 ka=1\nbody=\n--\n304 1.1 len=0 ka=1\nContent-Length=[9]\nbody=\n--\n");
	check_accepted(
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	    "\r\n3\r\nabc\r\n0\r\n\r\n",
	    RESPONSE,
	    "100 1.1 len=0 ka=1\nbody=\n--\n"
	    "200 1.1 len=-1 ka=1\nTransfer-Encoding=[chunked]\nbody=abc\n--\n");
	check_accepted("HTTP/1.0 200 OK\r\n\r\nto the end", RESPONSE,
	    "200 1.0 len=-2 ka=0\nbody=to the end\n--\n");
	check_accepted("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", RESPONSE_TO_HEAD,
	    "200 1.1 len=0 ka=1\nContent-Length=[100]\nbody=\n--\n");
	check_accepted("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", RESPONSE,
	    "404 1.1 len=0 ka=1\nContent-Length=[0]\nbody=\n--\n");
}

#define R1 "POST / HTTP/1.1\r\nHost: a\r\n"
#define TE "Transfer-Encoding: chunked\r\n"

/* Messages on which HTTP implementations disagree, or that are simply wrong. */
static const struct {
	const char *text;
	enum kind kind;
	int status;
} refused[] = {
    /* two ways to find the end */
    {R1 TE "Content-Length: 5\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Content-Length: 5\r\n" TE "\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: 5, 5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: +5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: -5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: 0x5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: 5 5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: \r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: 99999999999999999999\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length: 9223372036854775808\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length : 5\r\n\r\nhello", REQUEST, 400},
    {R1 "Content-Length\t: 5\r\n\r\nhello", REQUEST, 400},
    {R1 "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: identity\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding:\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: \x0b"
	"chunked\r\n\r\n0\r\n\r\n",
	REQUEST, 400},
    {R1 TE TE "\r\n0\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding: gzip\r\n" TE "\r\n0\r\n\r\n", REQUEST, 400},
    {"POST / HTTP/1.0\r\nHost: a\r\n" TE "\r\n0\r\n\r\n", REQUEST, 400},
    /* folds and line ends */
    {R1 "X: a\r\n b\r\n\r\n", REQUEST, 400},
    {R1 "X: a\r\n\tb\r\n\r\n", REQUEST, 400},
    {R1 "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\nHost: a\n\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n\rX", REQUEST, 400},
    /* hosts */
    {"GET / HTTP/1.1\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REQUEST, 400},
    /* names, values, start lines */
    {"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01"
     "b\r\n\r\n",
	REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f"
     "b\r\n\r\n",
	REQUEST, 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\x80: b\r\n\r\n", REQUEST, 400},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST, 400},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", REQUEST, 400},
    {"GET /\r\n\r\n", REQUEST, 505},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", REQUEST, 505},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", REQUEST, 505},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", REQUEST, 400},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST, 400},
    {"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST, 400},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REQUEST, 400},
    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", REQUEST, 400},
    {R1 "Expect: 200-ok\r\n\r\n", REQUEST, 417},
    /* chunks */
    {R1 TE "\r\n5\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5\rhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5\r\nhello\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5\r\nhelloX0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5\r\nhello0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5\r\nhello\r\n0\r\n\n", REQUEST, 400},
    {R1 TE "\r\n5\r\nhello\r\n0\r\n\rX", REQUEST, 400},
    {R1 TE "\r\n 5\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0x5\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n-5\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5g\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", REQUEST, 400},
    /* trailers */
    {R1 TE "\r\n0\r\nContent-Length: 5\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0\r\ntransfer-encoding: chunked\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0\r\nHost: b\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0\r\nX: a\r\n b\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0\r\nX: a\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0\r\nX Y: a\r\n\r\n", REQUEST, 400},
    {R1 TE "\r\n0\r\n: a\r\n\r\n", REQUEST, 400},
    /* responses */
    {"HTTP/1.1 200 OK\r\n" TE "Content-Length: 3\r\n\r\n0\r\n\r\n", RESPONSE, 400},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", RESPONSE, 400},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", RESPONSE, 400},
    {"HTTP/1.0 200 OK\r\n" TE "\r\n0\r\n\r\n", RESPONSE, 400},
    {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", RESPONSE, 400},
    {"HTTP/1.1 20 OK\r\n\r\n", RESPONSE, 400},
    {"HTTP/1.1 000 OK\r\n\r\n", RESPONSE, 400},
    {"HTTP/3.1 200 OK\r\n\r\n", RESPONSE, 400},
    {"ICY 200 OK\r\n\r\n", RESPONSE, 400},
};

static void check_refused(struct bytes in, enum kind kind, size_t first, size_t step, int status)
{
	struct buf out = BUF_INIT(1 << 20);
	int got = 0;
	int rc = transcribe(in, kind, first, step, &out, &got);

	if (rc >= 0)
		fail_msg("accepted: %.*s", (int)in.n, (const char *)in.p);
	assert_true(rc == E_PROTOCOL);
	assert_int_equal(got, status);
	buf_free(&out);
}

static void test_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct bytes in = bytes_str(refused[i].text);

		for (size_t first = 1; first <= in.n; first++)
			check_refused(in, refused[i].kind, first, in.n, refused[i].status);
		check_refused(in, refused[i].kind, 1, 1, refused[i].status);
	}
	static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
	check_refused(bytes_of(nul, sizeof(nul) - 1), REQUEST, 1, 1, 400);
	check_refused(bytes_of(nul, sizeof(nul) - 1), REQUEST, sizeof(nul), 1, 400);
}

/* "GET /" + n bytes + rest; returns the parser's result and status. */
static int sized(size_t target_n, size_t fields, size_t value_n, int *status)
{
	struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	int rc;

	buf_str(&in, "GET /");
	for (size_t i = 0; i < target_n; i++)
		buf_u8(&in, 'a');
	buf_str(&in, " HTTP/1.1\r\nHost: a\r\n");
	for (size_t i = 0; i < fields; i++) {
		buf_printf(&in, "X%zu: ", i);
		for (size_t k = 0; k < value_n; k++)
			buf_u8(&in, 'v');
		buf_str(&in, "\r\n");
	}
	buf_str(&in, "\r\n");
	rc = transcribe(buf_view(&in), REQUEST, 4096, 4096, &out, status);
	buf_free(&in);
	buf_free(&out);
	return rc;
}

static void test_limits(void **state)
{
	int status;

	assert_int_equal(sized(HTTP_TARGET_MAX - 2, 0, 0, &status), HTTP_PARSE_DONE);
	assert_int_equal(sized(HTTP_TARGET_MAX, 0, 0, &status), E_TOO_LARGE);
	assert_int_equal(status, 414);
	assert_int_equal(sized(0, HTTP_FIELDS_MAX - 1, 10, &status), HTTP_PARSE_DONE);
	assert_int_equal(sized(0, HTTP_FIELDS_MAX, 10, &status), E_TOO_LARGE);
	assert_int_equal(status, 431);
	assert_int_equal(sized(0, 1, 31000, &status), HTTP_PARSE_DONE);
	assert_int_equal(sized(0, 1, HTTP_HEAD_MAX, &status), E_TOO_LARGE);
	assert_int_equal(status, 431);
	/* the largest head of all: every limit nearly reached at once */
	assert_int_equal(sized(8000, 120, 190, &status), HTTP_PARSE_DONE);
}

/* Endless chunk extensions and endless tiny chunks. */
static void test_framing_weight(void **state)
{
	struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
	int status;

	buf_str(&in, R1 TE "\r\n1;");
	while (in.n < HTTP_FRAMING_SLACK + 4096)
		buf_u8(&in, 'x');
	assert_int_equal(
	    transcribe(buf_view(&in), REQUEST, 1000, 1000, &out, &status), E_TOO_LARGE);
	assert_int_equal(status, 413);
	buf_reset(&in);
	buf_reset(&out);
	buf_str(&in, R1 TE "\r\n");
	for (int i = 0; i < 50000; i++)
		buf_str(&in, "1\r\nx\r\n");
	buf_str(&in, "0\r\n\r\n");
	assert_int_equal(
	    transcribe(buf_view(&in), REQUEST, 1000, 1000, &out, &status), HTTP_PARSE_DONE);
	buf_free(&in);
	buf_free(&out);
}

static void test_early_end(void **state)
{
	static const char *const cut[] = {"", "GET", "GET / HTTP/1.1\r\nHost: a\r\n",
	    R1 "Content-Length: 5\r\n\r\nhell", R1 TE "\r\n5\r\nhello\r\n0\r\n"};
	struct buf out = BUF_INIT(1 << 16);
	int status;

	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++)
		assert_int_equal(
		    transcribe(bytes_str(cut[i]), REQUEST, 1, 1, &out, &status), HTTP_PARSE_MORE);
	assert_int_equal(transcribe(bytes_str("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
			     RESPONSE, 1, 1, &out, &status),
	    HTTP_PARSE_MORE);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_responses),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_framing_weight),
	    cmocka_unit_test(test_early_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
