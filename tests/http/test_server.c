/* The server over in-memory pipes: answers byte for byte, ends, deadlines, hang-ups, drains. */
#include "rig.h"

/* Sends `text` in two pieces, ends, and returns all that came back in `out`. */
static void converse(struct rig *r, const char *text, size_t split, struct buf *out)
{
	size_t n = strlen(text);

	rig_start(r);
	if (split > 0) {
		assert_int_equal(stream_write(r->client, text, split, NULL), 0);
		for (int i = 0; i < 3; i++)
			fiber_yield();
	}
	assert_int_equal(stream_write(r->client, text + split, n - split, NULL), 0);
	assert_int_equal(stream_close_write(r->client, NULL), 0);
	rig_read(r, out);
	rig_stop(r);
}

static void check(const char *text, const char *expected)
{
	struct buf out = BUF_INIT(1 << 20);

	for (size_t split = 0; split < strlen(text); split++) {
		struct rig r = {0};

		converse(&r, text, split, &out);
		assert_string_equal(buf_cstr(&out), expected);
		buf_reset(&out);
	}
	buf_free(&out);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void answers(void)
{
	check(GET("/hello") GET("/stream"),
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Request-Id: 7\r\n"
	    "Content-Length: 5\r\n\r\nhello"
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n2\r\nbc\r\n1\r\nc\r\n0\r\n\r\n");
	check(GET("/last") "GET /last HTTP/1.0\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n3\r\nend\r\n0\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcend");
	check("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	      "2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n"
	      "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET("/busy"),
	    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
	    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz"
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	    "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Retry-After: 1\r\nContent-Length: 18\r\n\r\ntoo many requests\n");
	check("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n"
	      "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /stream HTTP/1.0\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Request-Id: 7\r\n"
	    "Content-Length: 5\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Request-Id: 7\r\n"
	    "Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nabcbcc");
}

static void errors(void)
{
	check(GET("/nothing") "PUT /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET(
		  "/hello"),
	    "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: 23\r\n\r\nno such path: /nothing\n"
	    "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Allow: GET, HEAD\r\nContent-Length: 30\r\nConnection: close\r\n\r\n"
	    "PUT is not allowed for /hello\n");
	check(GET("/none") GET("/inject") GET("/held"),
	    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: 27\r\n\r\nthe handler gave no answer\n"
	    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: 32\r\n\r\na malformed header in an answer\n"
	    "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: 28\r\n\r\nbroke before the first byte\n");
}

/* Expects `text` to be answered with `status`, and the connection to end with `serve_rc`. */
static void check_end(struct rig *r, const char *text, const char *status, int serve_rc)
{
	struct buf out = BUF_INIT(1 << 20);

	rig_start(r);
	rig_write(r, text);
	rig_read(r, &out);
	if (strncmp(buf_cstr(&out), status, strlen(status)) != 0)
		fail_msg("%s\n... was answered with\n%s", text, buf_cstr(&out));
	rig_stop(r);
	assert_int_equal(r->serve_rc, serve_rc);
	buf_free(&out);
}

static void refusals(void)
{
	static const struct {
		const char *text, *status;
		int rc;
	} cases[] = {
	    {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", E_PROTOCOL},
	    {"\x16\x03\x01", "HTTP/1.1 400 ", E_PROTOCOL},
	    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", E_PROTOCOL},
	    {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\nx", "HTTP/1.1 413 ", 0},
	    {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx",
		"HTTP/1.1 400 ", E_PROTOCOL},
	    {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
		"HTTP/1.1 400 ", E_PROTOCOL},
	    {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: x\r\n\r\n",
		"HTTP/1.1 417 ", E_PROTOCOL},
	    {"POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n", 0},
	    {"POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n", 0},
	    {"POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: "
	     "100-continue\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig r = {0};

		check_end(&r, cases[i].text, cases[i].status, cases[i].rc);
	}
}

/* A chunked body beyond the limit is noticed while it is read. */
static void chunked_too_large(void)
{
	struct buf text = BUF_INIT(1 << 20);
	struct rig r = {0};

	buf_str(&text, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 101; i++)
		buf_str(&text, "a\r\n0123456789\r\n");
	check_end(&r, buf_cstr(&text), "HTTP/1.1 413 ", 0);
	assert_int_equal(r.handler_rc, E_TOO_LARGE);
	buf_free(&text);
}

static void broken_answers(void)
{
	struct rig late = {0}, brief = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&late);
	rig_write(&late, GET("/late"));
	assert_int_equal(rig_read(&late, &out), E_RESET);
	rig_stop(&late);
	assert_int_equal(late.serve_rc, E_UPSTREAM);

	rig_start(&brief);
	rig_write(&brief, GET("/short"));
	assert_int_equal(rig_read(&brief, &out), E_RESET);
	rig_stop(&brief);
	assert_int_equal(brief.handler_rc, E_INVALID); /* longer than announced */
	assert_int_equal(brief.serve_rc, E_INVALID);   /* and then shorter */
	buf_free(&out);
}

static void expect_continue(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);
	char line[25];

	rig_start(&r);
	rig_write(&r,
	    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n");
	assert_int_equal(stream_read_full(r.client, line, sizeof(line), NULL), 0);
	assert_memory_equal(line, "HTTP/1.1 100 Continue\r\n\r\n", sizeof(line));
	rig_write(&r, "abc");
	assert_int_equal(stream_close_write(r.client, NULL), 0);
	assert_int_equal(rig_read(&r, &out), 0);
	assert_string_equal(buf_cstr(&out), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	rig_stop(&r);
	buf_free(&out);
}

static int64_t elapsed_ms(struct instant since)
{
	return duration_to_ms(instant_since(rt_now(), since));
}

static void slow_clients(void)
{
	const struct duration limit = duration_ms(60);
	struct rig head = {.service = {.head_limit = limit}}, silent = head,
		   body = {.service = {.body_grace = limit}},
		   idle = {.service = {.idle_limit = limit}},
		   longer = {.service = {.idle_limit = duration_ms(300)}};
	struct instant began = rt_now();

	check_end(&head, "GET / HT", "HTTP/1.1 408 ", E_TIMEOUT);
	check_end(&silent, "", "", 0);
	assert_int_equal(silent.requests, 0);
	check_end(&body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
	    "HTTP/1.1 408 ", E_TIMEOUT);
	assert_int_equal(body.handler_rc, E_TIMEOUT);
	check_end(&idle, GET("/hello"), "HTTP/1.1 200 ", 0);
	check_end(&longer, GET("/hello"), "HTTP/1.1 200 ", 0);
	assert_true(elapsed_ms(began) >= 4 * 60 + 300);
	assert_true(elapsed_ms(began) < 5000);
}

/* A request that comes after the connection has gone to rest. */
static void rested(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&r);
	rig_write(&r, GET("/hello"));
	assert_int_equal(fiber_sleep(duration_ms(350)), 0);
	rig_write(&r,
	    "POST /echo HTTP/1.1\r\nHost: a\r\nX: 0123456789012345678901234567890123456789"
	    "012345678901234567890123456789\r\nContent-Length: 3\r\n\r\nabc");
	assert_int_equal(stream_close_write(r.client, NULL), 0);
	assert_int_equal(rig_read(&r, &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "hello"));
	assert_non_null(strstr(buf_cstr(&out), "\r\n\r\nabc"));
	rig_stop(&r);
	buf_free(&out);
}

/* A client that does not read its answer. */
static void slow_reader(void)
{
	struct rig r = {.service = {.write_limit = duration_ms(60)}};

	rig_start(&r);
	rig_write(&r, GET("/flood"));
	assert_int_equal(fiber_sleep(duration_ms(300)), 0);
	assert_int_equal(r.handler_rc, E_TIMEOUT);
	rig_stop(&r);
	assert_int_equal(r.serve_rc, E_TIMEOUT);
}

static void flood(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(8u << 20);

	rig_start(&r);
	rig_write(&r, "GET /flood HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(rig_read(&r, &out), 0);
	assert_true(out.n > 4000000);
	rig_stop(&r);
	assert_int_equal(r.serve_rc, 0);
	buf_free(&out);
}

static void hang_up(void)
{
	struct rig fin = {0}, reset = {0};

	rig_start(&fin);
	rig_write(&fin, GET("/slow?20000"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	assert_false(fin.hung_up);
	rig_stop(&fin);
	assert_true(fin.hung_up);
	assert_int_equal(fin.handler_rc, E_CANCELLED);
	assert_int_equal(fin.serve_rc, E_CANCELLED);

	rig_start(&reset);
	rig_write(&reset, GET("/slow?20000"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	stream_reset(reset.client, E_CANCELLED);
	rig_stop(&reset);
	assert_true(reset.hung_up);
}

/* A write that was cancelled before it began breaks nothing. */
static void cut_short(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&r);
	rig_write(&r, GET("/cut"));
	assert_int_equal(stream_close_write(r.client, NULL), 0);
	assert_int_equal(rig_read(&r, &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\r\n\r\n1\r\na\r\n1\r\nc\r\n0\r\n\r\n"));
	assert_int_equal(r.handler_rc, E_CANCELLED);
	rig_stop(&r);
	buf_free(&out);
}

/* What comes back to a client that ends after its request, and reads on. */
static void half_closed(const char *request, const char *expected)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&r);
	rig_write(&r, request);
	assert_int_equal(stream_close_write(r.client, NULL), 0);
	assert_int_equal(rig_read(&r, &out), 0);
	assert_string_equal(buf_cstr(&out), expected);
	assert_false(r.hung_up);
	rig_stop(&r);
	assert_int_equal(r.serve_rc, 0);
	buf_free(&out);
}

/* A client that has finished sending is served; one that is gone refuses the probe. */
static void half_close(void)
{
	struct rig old = {0}, gone = {0};
	struct buf out = BUF_INIT(1 << 16);

	half_closed("POST /slow?150 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
	half_closed(GET("/slow?20") GET("/hello"),
	    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Request-Id: 7\r\n"
	    "Content-Length: 5\r\n\r\nhello");
	half_closed(GET("/pulse?150"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				       "1\r\na\r\n3\r\n:\n\n\r\n0\r\n\r\n");

	/* HTTP/1.0 knows no interim answers. */
	rig_start(&old);
	rig_write(&old, "GET /slow?20000 HTTP/1.0\r\n\r\n");
	assert_int_equal(stream_close_write(old.client, NULL), 0);
	assert_int_equal(rig_read(&old, &out), E_RESET);
	rig_stop(&old);
	assert_true(old.hung_up);

	rig_start(&gone);
	rig_write(&gone, GET("/pulse?20000"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	struct instant left = rt_now();
	rig_stop(&gone);
	assert_true(gone.hung_up);
	assert_true(duration_to_ms(instant_since(rt_now(), left)) < 100);
	buf_free(&out);
}

/* Over TCP: the same, where a probe is answered by the kernel of the client. */
static void half_close_tcp(void)
{
	struct netaddr at = {.family = NET_IP4, .ip = {127, 0, 0, 1}};
	struct listener *l;
	char text[256] = "";

	assert_int_equal(world_tcp_listen(rig_world, &at, &l, NULL), 0);
	listener_addr(l, &at);
	for (int half = 0; half <= 1; half++) {
		struct rig r = {.service = {.handle = rig_handle}};
		struct instant left;

		r.service.group = &r.group;
		scope_init(&r.scope, NULL);
		assert_int_equal(world_tcp_dial(rig_world, &at, &r.client, NULL), 0);
		assert_int_equal(listener_accept(l, &r.server, NULL, NULL), 0);
		assert_int_equal(fiber_spawn(&r.scope, "serve", rig_serve, &r, NULL), 0);
		rig_write(&r, half ? GET("/slow?300") : GET("/slow?20000"));
		assert_int_equal(fiber_sleep(duration_ms(50)), 0);
		left = rt_now();
		if (half) {
			struct buf out = BUF_INIT(1 << 16);

			assert_int_equal(stream_close_write(r.client, NULL), 0);
			assert_int_equal(rig_read(&r, &out), 0);
			snprintf(text, sizeof(text), "%s", buf_cstr(&out));
			buf_free(&out);
		}
		rig_stop(&r);
		assert_int_equal(r.hung_up, !half);
		if (!half)
			assert_true(duration_to_ms(instant_since(rt_now(), left)) < 100);
	}
	assert_string_equal(text, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
				  "Content-Length: 4\r\n\r\nslow");
	listener_close(l);
}

/* Whoever sends too much, and takes its time, still gets to read why it is refused. */
static void too_much(void)
{
	static const char piece[100000];
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&r);
	rig_write(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
	for (int i = 0; i < 6; i++) {
		assert_int_equal(stream_write(r.client, piece, sizeof(piece), NULL), 0);
		assert_int_equal(fiber_sleep(duration_ms(300)), 0);
	}
	assert_int_equal(rig_read(&r, &out), 0);
	assert_memory_equal(buf_cstr(&out), "HTTP/1.1 413 ", 13);
	rig_stop(&r);
	buf_free(&out);
}

/* The watcher reads ahead; what it reads is served next. */
static void watched_pipeline(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&r);
	rig_write(&r, GET("/slow?50"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	rig_write(&r, "GET /hello HTT");
	assert_int_equal(fiber_sleep(duration_ms(50)), 0);
	rig_write(&r, "P/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(rig_read(&r, &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\r\n\r\nslowHTTP/1.1 200 OK"));
	assert_non_null(strstr(buf_cstr(&out), "\r\n\r\nhello"));
	rig_stop(&r);
	assert_int_equal(r.requests, 2);
	buf_free(&out);
}

/* More pipelined bytes than the buffer holds do not disturb the handler. */
static void watched_flood(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 20);

	rig_start(&r);
	rig_write(&r, GET("/slow?80"));
	for (int i = 0; i < 500; i++)
		rig_write(&r, GET("/hello"));
	rig_write(&r, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(rig_read(&r, &out), 0);
	rig_stop(&r);
	assert_int_equal(r.requests, 502);
	assert_int_equal(r.handler_rc, 0);
	buf_free(&out);
}

static void watch_needs_body(void)
{
	struct rig r = {0};

	check_end(&r,
	    "POST /slow?1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\n",
	    "HTTP/1.1 400 ", 0);
}

/* On a stream of its own the client's end is no hang-up; a reset is, even after it. */
static void one_shot(void)
{
	struct rig fin = {.service = {.mode = HTTP_ONE_SHOT}}, reset = fin;
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&fin);
	rig_write(&fin, GET("/slow?50"));
	assert_int_equal(stream_close_write(fin.client, NULL), 0);
	assert_int_equal(rig_read(&fin, &out), 0);
	assert_string_equal(buf_cstr(&out),
	    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow");
	rig_stop(&fin);
	assert_int_equal(fin.serve_rc, 0);

	rig_start(&reset);
	rig_write(&reset, GET("/slow?20000"));
	assert_int_equal(stream_close_write(reset.client, NULL), 0);
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	stream_reset(reset.client, E_CANCELLED);
	rig_stop(&reset);
	assert_true(reset.hung_up);
	buf_free(&out);
}

/* A drain ends idle connections at once and busy ones after their answer. */
static void drain(void)
{
	struct rig idle = {0}, busy = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&idle);
	rig_write(&idle, GET("/hello"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	assert_int_equal(idle.group.connections, 1);
	http_group_drain(&idle.group);
	assert_int_equal(rig_read(&idle, &out), 0);
	rig_stop(&idle);
	assert_int_equal(idle.serve_rc, 0);

	buf_reset(&out);
	rig_start(&busy);
	rig_write(&busy, GET("/slow?60") GET("/hello"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	assert_int_equal(busy.group.busy, 1);
	http_group_drain(&busy.group);
	assert_int_equal(rig_read(&busy, &out), 0);
	assert_string_equal(buf_cstr(&out),
	    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow");
	rig_stop(&busy);
	assert_int_equal(busy.requests, 1);
	buf_free(&out);
}

/* Cancelling the server's scope tells the client why. */
static void shutdown_tells(void)
{
	struct rig r = {0};
	struct buf out = BUF_INIT(1 << 16);

	rig_start(&r);
	rig_write(&r, GET("/slow?20000"));
	assert_int_equal(fiber_sleep(duration_ms(20)), 0);
	scope_cancel(&r.scope);
	assert_int_equal(rig_read(&r, &out), 0);
	assert_memory_equal(buf_cstr(&out), "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(buf_cstr(&out), "the server is shutting down"));
	assert_false(r.hung_up);
	rig_stop(&r);
	buf_free(&out);
}

/* With a world, answers are dated. */
static void dated(void)
{
	struct rig r = {.service = {.world = rig_world}};
	struct buf out = BUF_INIT(1 << 16);
	char before[HTTP_DATE_MAX], after[HTTP_DATE_MAX];
	const char *found;

	http_date(world_wall_ms(rig_world), before);
	rig_start(&r);
	rig_write(&r, GET("/hello") "GET /busy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	assert_int_equal(rig_read(&r, &out), 0);
	http_date(world_wall_ms(rig_world), after);
	rig_stop(&r);
	found = buf_cstr(&out);
	for (int i = 0; i < 2; i++) {
		found = strstr(found, "\r\nDate: ");
		assert_non_null(found);
		found += 8;
		assert_true(memcmp(found, before, HTTP_DATE_MAX - 1) == 0 ||
			    memcmp(found, after, HTTP_DATE_MAX - 1) == 0);
	}
	buf_free(&out);
}

#define FIBER_TEST(name)                                                                           \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		in_fiber(name);                                                                    \
	}

FIBER_TEST(answers)
FIBER_TEST(errors)
FIBER_TEST(refusals)
FIBER_TEST(chunked_too_large)
FIBER_TEST(broken_answers)
FIBER_TEST(expect_continue)
FIBER_TEST(slow_clients)
FIBER_TEST(rested)
FIBER_TEST(slow_reader)
FIBER_TEST(flood)
FIBER_TEST(hang_up)
FIBER_TEST(cut_short)
FIBER_TEST(half_close)
FIBER_TEST(half_close_tcp)
FIBER_TEST(too_much)
FIBER_TEST(watched_pipeline)
FIBER_TEST(watched_flood)
FIBER_TEST(watch_needs_body)
FIBER_TEST(one_shot)
FIBER_TEST(drain)
FIBER_TEST(shutdown_tells)
FIBER_TEST(dated)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_chunked_too_large),
	    cmocka_unit_test(test_broken_answers),
	    cmocka_unit_test(test_expect_continue),
	    cmocka_unit_test(test_slow_clients),
	    cmocka_unit_test(test_rested),
	    cmocka_unit_test(test_slow_reader),
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_hang_up),
	    cmocka_unit_test(test_cut_short),
	    cmocka_unit_test(test_half_close),
	    cmocka_unit_test(test_half_close_tcp),
	    cmocka_unit_test(test_too_much),
	    cmocka_unit_test(test_watched_pipeline),
	    cmocka_unit_test(test_watched_flood),
	    cmocka_unit_test(test_watch_needs_body),
	    cmocka_unit_test(test_one_shot),
	    cmocka_unit_test(test_drain),
	    cmocka_unit_test(test_shutdown_tells),
	    cmocka_unit_test(test_dated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
