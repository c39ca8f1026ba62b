/* The client, against our server and against scripted ones. */
#include "http/client.h"

#include "rig.h"

static const struct http_call hello = {.method = "GET", .target = "/hello", .host = "a"};

static struct http_client *client_of(struct rig *r)
{
	struct http_client *c;

	rig_start(r);
	assert_int_equal(http_client_new(r->client, &c, NULL), 0);
	return c;
}

static void finish(struct rig *r, struct http_client *c)
{
	http_client_free(c);
	assert_int_equal(scope_join(&r->scope), 0);
	scope_close(&r->scope);
	assert_true(r->done);
}

static void check_call(
    struct http_client *c, const struct http_call *call, int status, const char *body)
{
	const struct http_head *head;
	struct buf out = BUF_INIT(1 << 20);

	assert_int_equal(http_client_send(c, call, NULL), 0);
	assert_false(http_client_began(c));
	assert_int_equal(http_client_head(c, &head, NULL), 0);
	assert_true(http_client_began(c));
	assert_int_equal(head->status, status);
	assert_int_equal(http_client_read_all(c, 1 << 20, &out, NULL), 0);
	assert_string_equal(buf_cstr(&out), body);
	buf_free(&out);
}

static void reuse(void)
{
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	const struct http_header type = {"Content-Type", "text/plain"};
	struct http_call call = {.method = "POST",
	    .target = "/echo",
	    .host = "a",
	    .headers = &type,
	    .n_headers = 1,
	    .body = bytes_str("abc")};

	check_call(c, &hello, 200, "hello");
	assert_true(http_client_reusable(c));
	check_call(c, &call, 200, "abc");
	call.body = bytes_str("");
	check_call(c, &call, 200, "");
	call.method = "GET";
	call.target = "/stream";
	check_call(c, &call, 200, "abcbcc");
	call.method = "HEAD";
	check_call(c, &call, 200, "");
	assert_true(http_client_reusable(c));
	assert_int_equal(r.requests, 5);
	finish(&r, c);
	assert_int_equal(r.serve_rc, 0);
}

static void refuses_to_send(void)
{
	static const char *const targets[] = {"", "x", "/a b", "/a\r\nX: y", "/\x7f", "http://a/"};
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	struct http_header evil = {"X", "a\r\nY: b"};
	struct http_call call = hello;
	const struct http_head *head;
	char byte;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		call.target = targets[i];
		assert_int_equal(http_client_send(c, &call, NULL), E_INVALID);
	}
	call = hello;
	call.method = "GET /x";
	assert_int_equal(http_client_send(c, &call, NULL), E_INVALID);
	call = hello;
	call.headers = &evil;
	call.n_headers = 1;
	assert_int_equal(http_client_send(c, &call, NULL), E_INVALID);
	assert_int_equal(http_client_head(c, &head, NULL), E_INVALID);
	assert_int_equal(http_client_read(c, &byte, 1, NULL), E_INVALID);
	check_call(c, &hello, 200, "hello"); /* nothing was sent before */
	assert_int_equal(http_client_send(c, &hello, NULL), 0);
	assert_int_equal(http_client_send(c, &hello, NULL), E_INVALID); /* one at a time */
	finish(&r, c);
}

/* An abandoned call is a hang-up at the server. */
static void abandon(void)
{
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	struct http_call call = hello;
	const struct http_head *head;
	struct scope limit;

	call.target = "/slow?20000";
	assert_int_equal(http_client_send(c, &call, NULL), 0);
	scope_open(&limit, duration_ms(40));
	assert_int_equal(http_client_head(c, &head, NULL), E_TIMEOUT);
	scope_close(&limit);
	finish(&r, c);
	assert_true(r.hung_up);
}

static void broken_server(void)
{
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	struct http_call call = hello;
	const struct http_head *head;
	char body[32];

	call.target = "/late";
	assert_int_equal(http_client_send(c, &call, NULL), 0);
	assert_int_equal(http_client_head(c, &head, NULL), E_RESET);
	assert_false(http_client_reusable(c));
	assert_true(http_client_read(c, body, sizeof(body), NULL) < 0);
	finish(&r, c);
}

/* A server that sends `script` and ends, whatever it is asked. */
struct scripted {
	struct stream *end;
	struct bytes script;
	size_t step;
	bool at_once; /* answers and leaves without reading */
};

static void play(void *arg)
{
	struct scripted *s = arg;
	char request[4096];

	if (!s->at_once)
		assert_true(stream_read(s->end, request, sizeof(request), NULL) > 0);
	for (size_t at = 0; at < s->script.n; at += s->step) {
		size_t n = s->script.n - at < s->step ? s->script.n - at : s->step;

		if (stream_write(s->end, s->script.p + at, n, NULL) != 0)
			break;
		fiber_yield();
	}
	stream_close(s->end);
}

struct outcome {
	int head_rc, body_rc, status;
	bool began, reusable;
	struct buf body;
};

static void run_script(struct bytes script, size_t step, size_t limit, struct outcome *out)
{
	struct scripted s = {.script = script, .step = step};
	struct stream *mine;
	struct http_client *c;
	const struct http_head *head;
	struct scope sc;

	*out = (struct outcome){.body = BUF_INIT(1 << 20)};
	assert_int_equal(stream_pipe("script", 65536, &mine, &s.end, NULL), 0);
	scope_open(&sc, duration_s(5));
	assert_int_equal(fiber_spawn(&sc, "script", play, &s, NULL), 0);
	assert_int_equal(http_client_new(mine, &c, NULL), 0);
	assert_int_equal(http_client_send(c, &hello, NULL), 0);
	out->head_rc = http_client_head(c, &head, NULL);
	out->status = out->head_rc == 0 ? head->status : 0;
	out->body_rc = out->head_rc == 0 ? http_client_read_all(c, limit, &out->body, NULL) : 0;
	out->began = http_client_began(c);
	out->reusable = http_client_reusable(c);
	http_client_free(c);
	assert_int_equal(scope_join(&sc), 0);
	scope_close(&sc);
}

#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

static void scripts(void)
{
	static const struct {
		const char *script;
		int head_rc, body_rc;
		const char *body;
		bool began, reusable;
	} cases[] = {
	    {OK5 "hello", 0, 0, "hello", true, true},
	    {OK5 "hello!", 0, 0, "hello", true, false},
	    {OK5 "hell", 0, E_CLOSED, "hell", true, false},
	    {"", E_CLOSED, 0, "", false, false},
	    {"HTTP/1.1 200", E_CLOSED, 0, "", true, false},
	    {"garbage\r\n\r\n", E_PROTOCOL, 0, "", true, false},
	    {"HTTP/1.1 200 OK\r\n\r\nto the end", 0, 0, "to the end", true, false},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, E_CLOSED,
		"abc", true, false},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX", 0, E_PROTOCOL, "abc",
		true, false},
	    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK5 "hello", 0, 0,
		"hello", true, true},
	    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		E_PROTOCOL, 0, "", true, false},
	    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 0, 0, "x", true,
		false},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", 0, E_TOO_LARGE,
		"0123456789", true, false},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 0, 0, "0123456789", true,
		true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 120; step = step * 3 + 1) {
			struct outcome out;

			run_script(bytes_str(cases[i].script), step, 10, &out);
			assert_int_equal(out.head_rc, cases[i].head_rc);
			assert_int_equal(out.body_rc, cases[i].body_rc);
			assert_string_equal(buf_cstr(&out.body), cases[i].body);
			assert_int_equal(out.began, cases[i].began);
			/* bytes behind the answer may still be on their way */
			if (!(i == 1 && step < 20))
				assert_int_equal(out.reusable, cases[i].reusable);
			buf_free(&out.body);
		}
	}
}

static void endless_interim(void)
{
	struct buf script = BUF_INIT(1 << 16);
	struct outcome out;

	for (int i = 0; i < 100; i++)
		buf_str(&script, "HTTP/1.1 100 Continue\r\n\r\n");
	run_script(buf_view(&script), 4096, 10, &out);
	assert_int_equal(out.head_rc, E_PROTOCOL);
	buf_free(&script);
	buf_free(&out.body);
}

/* The server answers 413 and leaves while the request is still being sent. */
static void early_answer(void)
{
	struct scripted s = {.step = 4096, .at_once = true};
	static const char big[200000];
	struct http_call call = {.method = "POST", .target = "/", .host = "a"};
	struct stream *mine;
	struct http_client *c;
	const struct http_head *head;
	struct scope sc;

	s.script = bytes_str("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	call.body = bytes_of(big, sizeof(big));
	assert_int_equal(stream_pipe("early", 65536, &mine, &s.end, NULL), 0);
	scope_open(&sc, duration_s(5));
	assert_int_equal(fiber_spawn(&sc, "early", play, &s, NULL), 0);
	assert_int_equal(http_client_new(mine, &c, NULL), 0);
	assert_int_equal(http_client_send(c, &call, NULL), 0);
	assert_int_equal(http_client_head(c, &head, NULL), 0);
	assert_int_equal(head->status, 413);
	assert_false(http_client_reusable(c));
	http_client_free(c);
	scope_close(&sc);
}

/* ---- in pieces --------------------------------------------------------------------------------
 */

static void send_pieces(struct http_client *c, int64_t length, int n_pieces)
{
	const struct http_call call = {.method = "POST", .target = "/echo", .host = "a"};

	assert_int_equal(http_client_begin(c, &call, length, NULL), 0);
	for (int i = 0; i < n_pieces; i++) {
		assert_false(http_client_reusable(c));
		assert_int_equal(http_client_write(c, bytes_str("abc"), NULL), 0);
	}
}

static void check_echo(struct http_client *c, const char *body)
{
	const struct http_head *head;
	struct buf out = BUF_INIT(1 << 20);

	assert_int_equal(http_client_head(c, &head, NULL), 0);
	assert_int_equal(head->status, 200);
	assert_int_equal(http_client_read_all(c, 1 << 20, &out, NULL), 0);
	assert_string_equal(buf_cstr(&out), body);
	assert_true(http_client_reusable(c));
	buf_free(&out);
}

static void pieces(void)
{
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	const struct http_head *head;
	struct scope sc;

	send_pieces(c, HTTP_LENGTH_CHUNKED, 2);
	scope_open(&sc, duration_ms(10)); /* nothing yet, and nothing lost */
	assert_int_equal(http_client_next_head(c, &head, NULL), E_TIMEOUT);
	scope_close(&sc);
	assert_int_equal(http_client_write(c, bytes_str(""), NULL), 0); /* is not the end */
	assert_int_equal(http_client_write(c, bytes_str("d"), NULL), 0);
	assert_int_equal(http_client_finish(c, NULL), 0);
	check_echo(c, "abcabcd");
	send_pieces(c, 7, 2);
	assert_int_equal(http_client_write(c, bytes_str("de"), NULL), E_INVALID);
	assert_int_equal(http_client_finish(c, NULL), E_INVALID);
	assert_int_equal(http_client_write(c, bytes_str("d"), NULL), 0);
	assert_int_equal(http_client_finish(c, NULL), 0);
	check_echo(c, "abcabcd");
	assert_int_equal(http_client_write(c, bytes_str("d"), NULL), E_INVALID);
	send_pieces(c, 0, 0);
	check_echo(c, "");
	finish(&r, c);
}

static void interim(void)
{
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	const struct http_head *head;
	struct http_call call = hello;
	char body[16];

	call.target = "/hints";
	assert_int_equal(http_client_begin(c, &call, 0, NULL), 0);
	assert_int_equal(http_client_next_head(c, &head, NULL), 0);
	assert_int_equal(head->status, 103);
	assert_string_equal(http_head_get(head, "link"), "</a>");
	assert_true(http_client_began(c));
	assert_false(http_client_reusable(c));
	assert_int_equal(http_client_next_head(c, &head, NULL), 0);
	assert_int_equal(head->status, 102);
	assert_int_equal(http_client_next_head(c, &head, NULL), 0);
	assert_int_equal(head->status, 200);
	assert_int_equal(http_head_count(head, "date"), 1);
	assert_string_equal(http_head_get(head, "date"), "yesterday");
	assert_int_equal(http_client_next_head(c, &head, NULL), E_INVALID);
	assert_int_equal(http_client_read(c, body, sizeof body, NULL), 6);
	assert_memory_equal(body, "answer", 6);
	assert_int_equal(http_client_read(c, body, sizeof body, NULL), 0);
	check_call(c, &call, 200, "answer"); /* skips them */
	finish(&r, c);
}

static void switched(void)
{
	struct rig r = {0};
	struct http_client *c = client_of(&r);
	const struct http_head *head;
	const struct http_header upgrade[] = {{"Connection", "Upgrade"}, {"Upgrade", "twice"}};
	struct http_call call = {
	    .method = "GET", .target = "/switch", .host = "a", .headers = upgrade, .n_headers = 2};
	struct stream *s;
	char got[8] = "";

	assert_int_equal(http_client_begin(c, &call, 0, NULL), 0);
	assert_int_equal(stream_write(r.client, "one", 3, NULL), 0); /* behind the head already */
	assert_int_equal(http_client_next_head(c, &head, NULL), 0);
	assert_int_equal(head->status, 101);
	assert_string_equal(http_head_get(head, "upgrade"), "twice");
	assert_int_equal(http_client_switch(c, &s, NULL), 0);
	assert_int_equal(stream_read_full(s, got, 3, NULL), 0);
	assert_memory_equal(got, "one", 3);
	assert_int_equal(stream_write(s, "xy", 2, NULL), 0);
	assert_int_equal(stream_read_full(s, got, 4, NULL), 0);
	assert_memory_equal(got, "xyxy", 4);
	assert_int_equal(stream_close_write(s, NULL), 0);
	assert_int_equal(stream_read(s, got, 1, NULL), 0);
	stream_close(s);
	assert_int_equal(scope_join(&r.scope), 0);
	scope_close(&r.scope);
	assert_true(r.done);
	assert_int_equal(r.serve_rc, 0);
}

#define FIBER_TEST(name)                                                                           \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		in_fiber(name);                                                                    \
	}

FIBER_TEST(reuse)
FIBER_TEST(refuses_to_send)
FIBER_TEST(abandon)
FIBER_TEST(broken_server)
FIBER_TEST(scripts)
FIBER_TEST(endless_interim)
FIBER_TEST(early_answer)
FIBER_TEST(pieces)
FIBER_TEST(interim)
FIBER_TEST(switched)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reuse),
	    cmocka_unit_test(test_refuses_to_send),
	    cmocka_unit_test(test_abandon),
	    cmocka_unit_test(test_broken_server),
	    cmocka_unit_test(test_scripts),
	    cmocka_unit_test(test_endless_interim),
	    cmocka_unit_test(test_early_answer),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_interim),
	    cmocka_unit_test(test_switched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
