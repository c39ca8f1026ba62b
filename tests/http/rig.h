/* What the tests of server and client share: a fiber that serves one end of a pipe with a small
 * set of handlers, while the test's own fiber holds the other end. */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include "http/route.h"
#include "rt/world_uv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ECHO_LIMIT 1000

struct rig {
	struct scope scope;
	struct stream *client, *server;
	struct http_service service;
	struct http_group group;
	bool done;
	int serve_rc;   /* what http_serve returned */
	int handler_rc; /* what the last handler's wait or write returned */
	int requests;
	bool hung_up;
};

static int h_hello(struct http_exchange *x, void *arg, struct err *err)
{
	http_response_header(x, "X-Request-Id", "7");
	return http_respond(x, 200, "text/plain", bytes_str("hello"), err);
}

static int h_echo(struct http_exchange *x, void *arg, struct err *err)
{
	struct buf body = BUF_INIT(1 << 20);
	struct rig *r = arg;
	int rc = http_body_read_all(x, ECHO_LIMIT, &body, err);

	r->handler_rc = rc;
	if (rc == 0)
		rc = http_respond(x, 200, NULL, buf_view(&body), err);
	buf_free(&body);
	return rc;
}

static int h_stream(struct http_exchange *x, void *arg, struct err *err)
{
	int rc = http_response_begin(x, 200, "text/plain", HTTP_LENGTH_CHUNKED, err);

	for (int i = 0; rc == 0 && i < 3; i++)
		rc = http_response_write(x, bytes_str(&"abc\0bc\0c"[i]), err);
	return rc; /* the server ends it */
}

/* Chunked with HTTP/1.1, to the connection's end with 1.0. */
static int h_last(struct http_exchange *x, void *arg, struct err *err)
{
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	if (rc == 0)
		rc = http_response_write(x, bytes_str("abc"), err);
	return rc != 0 ? rc : http_response_last(x, bytes_str("end"), err);
}

static int h_short(struct http_exchange *x, void *arg, struct err *err)
{
	struct rig *r = arg;
	int rc = http_response_begin(x, 200, NULL, 5, err);

	if (rc == 0)
		rc = http_response_write(x, bytes_str("hi"), err);
	if (rc == 0)
		r->handler_rc = http_response_write(x, bytes_str("four"), NULL);
	return rc;
}

static int h_late(struct http_exchange *x, void *arg, struct err *err)
{
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	if (rc == 0)
		rc = http_response_write(x, bytes_str("first"), err);
	return rc != 0 ? rc : err_set(err, E_UPSTREAM, "broke in the middle");
}

static int h_held(struct http_exchange *x, void *arg, struct err *err)
{
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	return rc != 0 ? rc : err_set(err, E_UPSTREAM, "broke before the first byte");
}

static int h_busy(struct http_exchange *x, void *arg, struct err *err)
{
	http_response_header(x, "Retry-After", "1");
	return err_set(err, E_BUSY, "too many requests");
}

static int h_none(struct http_exchange *x, void *arg, struct err *err)
{
	return 0;
}

static int h_inject(struct http_exchange *x, void *arg, struct err *err)
{
	http_response_header(x, "X", "a\r\nY: b");
	return http_respond(x, 200, NULL, bytes_str("x"), err);
}

/* Ignores the request's body. */
static int h_ignore(struct http_exchange *x, void *arg, struct err *err)
{
	return http_respond(x, 200, NULL, bytes_str("ok"), err);
}

/* Works for `?ms` under watch, then answers. */
static int h_slow(struct http_exchange *x, void *arg, struct err *err)
{
	struct rig *r = arg;
	int rc = http_exchange_watch(x, err);

	if (rc != 0)
		return rc;
	rc = fiber_sleep(duration_ms(atoi(http_head_query(http_request(x)))));
	r->handler_rc = rc;
	r->hung_up = http_exchange_hung_up(x);
	if (rc != 0)
		return err_set(err, rc, "cut short");
	return http_respond(x, 200, NULL, bytes_str("slow"), err);
}

/* Begins an answer that has a pulse, works for `?ms` under watch, then ends it. */
static int h_pulse(struct http_exchange *x, void *arg, struct err *err)
{
	struct rig *r = arg;
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	http_exchange_pulse(x, bytes_str(":\n\n"));
	if (rc == 0)
		rc = http_response_write(x, bytes_str("a"), err);
	if (rc == 0)
		rc = http_exchange_watch(x, err);
	if (rc == 0)
		r->handler_rc = rc =
		    fiber_sleep(duration_ms(atoi(http_head_query(http_request(x)))));
	r->hung_up = http_exchange_hung_up(x);
	return rc != 0 ? err_set(err, rc, "cut short") : http_response_end(x, err);
}

/* Its time is up between two pieces; what has to be said after that still goes out. */
static int h_cut(struct http_exchange *x, void *arg, struct err *err)
{
	struct rig *r = arg;
	struct scope sc;
	int rc = http_response_begin(x, 200, NULL, HTTP_LENGTH_CHUNKED, err);

	if (rc == 0)
		rc = http_response_write(x, bytes_str("a"), err);
	scope_open(&sc, DURATION_FOREVER);
	scope_cancel(&sc);
	r->handler_rc = http_response_write(x, bytes_str("b"), NULL);
	scope_close(&sc);
	if (rc == 0)
		rc = http_response_write(x, bytes_str("c"), err);
	return rc;
}

/* More than any buffer holds. */
static int h_flood(struct http_exchange *x, void *arg, struct err *err)
{
	static const char piece[100000];
	struct rig *r = arg;
	int rc = http_response_begin(x, 200, NULL, 40 * (int64_t)sizeof(piece), err);

	for (int i = 0; rc == 0 && i < 40; i++)
		rc = http_response_write(x, bytes_of(piece, sizeof(piece)), err);
	r->handler_rc = rc;
	return rc;
}

/* Says two things before its answer, and when that was made. */
static int h_hints(struct http_exchange *x, void *arg, struct err *err)
{
	const struct http_header link = {"Link", "</a>"};
	int rc = http_response_interim(x, 103, &link, 1, err);

	if (rc == 0)
		rc = http_response_interim(x, 102, NULL, 0, err);
	http_response_header(x, "Date", "yesterday");
	return rc != 0 ? rc : http_respond(x, 200, NULL, bytes_str("answer"), err);
}

/* Another protocol: what comes in goes out, twice. */
static int h_switch(struct http_exchange *x, void *arg, struct err *err)
{
	struct stream *s;
	struct bytes rest;
	char piece[64];
	ssize_t n = 0;
	int rc = http_response_switch(x, "twice", &s, &rest, err);

	if (rc == 0)
		rc = stream_write(s, rest.p, rest.n, err);
	while (rc == 0 && (n = stream_read(s, piece, sizeof piece, err)) > 0) {
		struct bytes v[2] = {bytes_of(piece, (size_t)n), bytes_of(piece, (size_t)n)};
		rc = stream_writev(s, v, 2, err);
	}
	return rc;
}

static const struct http_route routes[] = {
    {"GET", "/hints", h_hints},
    {"GET", "/switch", h_switch},
    {"GET", "/hello", h_hello},
    {"POST", "/echo", h_echo},
    {"GET", "/stream", h_stream},
    {"GET", "/last", h_last},
    {"GET", "/short", h_short},
    {"GET", "/late", h_late},
    {"GET", "/held", h_held},
    {"GET", "/busy", h_busy},
    {"GET", "/none", h_none},
    {"GET", "/inject", h_inject},
    {"POST", "/ignore", h_ignore},
    {"GET", "/slow*", h_slow},
    {"POST", "/slow*", h_slow},
    {"GET", "/pulse*", h_pulse},
    {"GET", "/cut", h_cut},
    {"GET", "/flood", h_flood},
};

static int rig_handle(struct http_exchange *x, void *arg, struct err *err)
{
	struct rig *r = arg;

	r->requests++;
	return http_route(x, routes, sizeof(routes) / sizeof(routes[0]), arg, err);
}

static void rig_serve(void *arg)
{
	struct rig *r = arg;

	r->serve_rc = http_serve(r->server, &r->service, r, NULL);
	stream_close(r->server);
	r->done = true;
}

/* Sets `service` fields in r->service before, if any. */
static void rig_start(struct rig *r)
{
	r->service.handle = rig_handle;
	r->service.group = &r->group;
	assert_int_equal(stream_pipe("test", 65536, &r->client, &r->server, NULL), 0);
	scope_init(&r->scope, NULL);
	assert_int_equal(fiber_spawn(&r->scope, "serve", rig_serve, r, NULL), 0);
}

/* Waits for the server to end by itself. */
static inline void rig_stop(struct rig *r)
{
	stream_close(r->client);
	assert_int_equal(scope_join(&r->scope), 0);
	scope_close(&r->scope);
	assert_true(r->done);
	assert_int_equal(r->group.connections, 0);
	assert_int_equal(r->group.busy, 0);
	assert_null(r->group.idle);
}

static inline void rig_write(struct rig *r, const char *text)
{
	assert_int_equal(stream_write(r->client, text, strlen(text), NULL), 0);
}

/* Everything until the end or an error, appended to `out`; the last read's result. */
static inline ssize_t rig_read(struct rig *r, struct buf *out)
{
	char chunk[4096];
	ssize_t n;

	while ((n = stream_read(r->client, chunk, sizeof(chunk), NULL)) > 0)
		buf_put(out, chunk, (size_t)n);
	return n;
}

static struct world *rig_world; /* of the running test */

struct rig_job {
	void (*fn)(void);
	bool ran;
};

static void rig_job_main(void *arg)
{
	struct rig_job *job = arg;
	struct scope limit;

	scope_open(&limit, duration_s(30));
	job->fn();
	scope_close(&limit);
	job->ran = true;
}

/* Runs a test's body in a fiber of the real world. */
static void in_fiber(void (*fn)(void))
{
	struct rig_job job = {.fn = fn};
	struct world *w;

	assert_int_equal(world_uv_new(&w, NULL), 0);
	rig_world = w;
	assert_int_equal(rt_start(w->rt, "test", NULL, rig_job_main, &job, NULL), 0);
	rt_run(w->rt);
	world_uv_free(w);
	assert_true(job.ran);
}

#endif
