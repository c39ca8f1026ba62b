/* What handlers call: the request's body, the watch for hang-ups, and the answer. An answer's
 * framing is decided once, in http_response_begin; after that the exchange holds the handler to
 * what it announced. */
#include "http/exchange_priv.h"

#include <stdio.h>
#include <strings.h>

struct duration http_limit(struct duration configured, int64_t default_ms)
{
	return configured.ns > 0 ? configured : duration_ms(default_ms);
}

const struct http_head *http_request(const struct http_exchange *x)
{
	return &x->server->head;
}

struct stream *http_exchange_stream(struct http_exchange *x)
{
	return x->server->in.stream;
}

bool http_exchange_hung_up(const struct http_exchange *x)
{
	return x->hung_up;
}

/* ---- the request's body -------------------------------------------------------------------- */

/* What is left of the time allowed for this body: a grace, and a second for each HTTP_BODY_RATE
 * bytes received, less the time already spent waiting. Time the handler takes does not count. */
static struct duration body_allowance(const struct http_exchange *x)
{
	struct duration grace = http_limit(x->server->service->body_grace, HTTP_BODY_GRACE_MS);
	uint64_t earned_ms = x->received / HTTP_BODY_RATE * 1000;
	struct duration total =
	    duration_ns(grace.ns + duration_ms((int64_t)(earned_ms % (1ull << 40))).ns);

	if (x->patience.ns > 0)
		return x->patience;
	return duration_ns(total.ns - x->waited.ns);
}

void http_exchange_patience(struct http_exchange *x, struct duration each)
{
	x->patience = each;
}

static struct duration write_allowance(const struct http_exchange *x)
{
	if (x->patience.ns > 0)
		return x->patience;
	return http_limit(x->server->service->write_limit, HTTP_WRITE_LIMIT_MS);
}

/* SPEC http: RFC 9110 section 10.1.1. Another fiber may be writing the answer, which needs no such
 * thing before it. */
static int ask_for_body(struct http_exchange *x, struct err *err)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	int rc;

	if (x->asked)
		return 0;
	x->asked = true;
	if (!x->server->head.expect_continue || http_reader_held(&x->server->in) > 0)
		return 0;
	rc = sem_acquire(&x->turn, err);
	if (rc != 0)
		return rc;
	if (!http_response_sent(x))
		rc = stream_write(x->server->in.stream, text, sizeof(text) - 1, err);
	sem_release(&x->turn);
	return rc;
}

static void body_failed(struct http_exchange *x, int rc)
{
	x->close = true;
	if (rc == E_TIMEOUT)
		x->fail_status = 408;
	else if (rc == E_PROTOCOL || rc == E_TOO_LARGE)
		x->fail_status = x->server->parser.status;
	else if (rc == E_CLOSED || rc == E_RESET)
		x->hung_up = true;
}

ssize_t http_body_read(struct http_exchange *x, void *buf, size_t cap, struct err *err)
{
	struct http_server *c = x->server;
	struct instant began = rt_now();
	struct scope limit;
	ssize_t n;

	INVARIANT(!x->watching || c->parser.done);
	if (c->parser.done && c->in.body.n == 0)
		return 0;
	scope_open(&limit, body_allowance(x));
	n = ask_for_body(x, err);
	if (n == 0)
		n = http_reader_body(&c->in, &c->parser, buf, cap, err);
	scope_close(&limit);
	x->waited = duration_ns(x->waited.ns + instant_since(rt_now(), began).ns);
	if (n > 0)
		x->received += (uint64_t)n;
	else if (n < 0)
		body_failed(x, (int)n);
	return n;
}

static int body_too_large(struct http_exchange *x, size_t limit, struct err *err)
{
	x->close = true;
	return err_set(err, E_TOO_LARGE, "the request body is larger than %zu bytes", limit);
}

int http_body_read_all(struct http_exchange *x, size_t limit, struct buf *out, struct err *err)
{
	const struct http_head *head = http_request(x);
	size_t total = 0;
	uint8_t beyond;
	ssize_t n;

	if (head->content_length > 0 && (uint64_t)head->content_length > limit)
		return body_too_large(x, limit, err);
	while (total < limit) {
		size_t want = limit - total < HTTP_READ_SIZE ? limit - total : HTTP_READ_SIZE;
		int rc = buf_reserve(out, want);

		if (rc != 0)
			return err_set(err, rc, "no room for the request body");
		n = http_body_read(x, out->p + out->n, want, err);
		if (n <= 0)
			return (int)n;
		out->n += (size_t)n;
		out->p[out->n] = 0;
		total += (size_t)n;
	}
	n = http_body_read(x, &beyond, 1, err);
	return n > 0 ? body_too_large(x, limit, err) : (int)n;
}

/* ---- the watch ----------------------------------------------------------------------------- */

/* On a one-shot stream the client's end is no hang-up, but a reset after it still is: reading again
 * tells, now and then, since nothing else would before the first byte of the answer. The same on
 * others, where the reset answers a probe; soon after it, the answer is looked for more often. */
#define WATCH_POLL_MS      50
#define WATCH_POLL_SOON_MS 5
#define WATCH_SOON_POLLS   20
#define PROBE_EVERY_POLLS  40 /* about a second */
/* Most answers are done before a fiber that watches would be worth its while. */
#define WATCH_AFTER_MS 5

static int send_body(struct http_exchange *x, struct bytes data, struct err *err);

/* Asks whether somebody is there. False when the client cannot be asked, or is gone. */
static bool probe_client(struct http_exchange *x)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_server *c = x->server;
	struct scope limit;
	int rc = 0;

	if (x->turn.free == 0 || x->answer == HTTP_ANSWER_DONE)
		return true; /* what is under way asks as well */
	if (!http_response_sent(x) ? c->head.minor == 0
				   : x->pulse.n == 0 || !(x->chunked || x->to_close))
		return false;
	if (sem_acquire(&x->turn, NULL) != 0)
		return true;
	scope_open(&limit, write_allowance(x));
	rc = http_response_sent(x) ? send_body(x, x->pulse, NULL)
				   : stream_write(c->in.stream, interim, sizeof(interim) - 1, NULL);
	scope_close(&limit);
	sem_release(&x->turn);
	return rc == 0;
}

/* After the client's end, the n-th time: how long to wait before the next look at it. 0: gone. */
static int64_t pause_after_end(struct http_exchange *x, unsigned n)
{
	if (x->server->service->mode == HTTP_ONE_SHOT)
		return WATCH_POLL_MS;
	if (n % PROBE_EVERY_POLLS == 0 && !probe_client(x))
		return 0;
	return n % PROBE_EVERY_POLLS < WATCH_SOON_POLLS ? WATCH_POLL_SOON_MS : WATCH_POLL_MS;
}

static void watch_client(void *arg)
{
	struct http_exchange *x = arg;
	struct http_server *c = x->server;
	unsigned ends = 0;
	ssize_t n;

	do {
		/* Nothing is expected: the big buffer would lie idle. */
		n = http_reader_held(&c->in) == 0 && c->in.body.n == 0
			? http_reader_rest(&c->in, NULL)
			: http_reader_fill(&c->in, NULL);
		if (n == 0) {
			int64_t pause = pause_after_end(x, ends++);

			if (pause > 0)
				n = fiber_sleep(duration_ms(pause)) == 0 ? 1 : E_CANCELLED;
		}
	} while (n > 0);
	/* A full buffer of pipelined requests: nothing more can be learnt by reading. */
	if (n == E_CANCELLED || n == E_TIMEOUT || n == E_LIMIT || n == E_MEMORY)
		return;
	x->hung_up = true;
	scope_cancel(&x->scope);
}

/* Without memory for it, the client is watched by what is written to it. */
static void begin_watch(void *arg)
{
	struct http_exchange *x = arg;

	(void)!fiber_spawn(&x->scope, "http watch", watch_client, x, NULL);
}

int http_exchange_watch(struct http_exchange *x, struct err *err)
{
	struct http_server *c = x->server;
	int rc;

	if (x->watching)
		return 0;
	rc = c->parser.done ? 0 : http_reader_poll(&c->in, &c->parser, err);
	if (rc < 0)
		body_failed(x, rc);
	if (rc < 0)
		return rc;
	if (!c->parser.done)
		return err_set(err, E_INVALID, "a client is watched after its body was read");
	rc = timer_set(&x->watch_timer, duration_ms(WATCH_AFTER_MS), begin_watch, x, err);
	x->watching = rc == 0;
	return rc;
}

void http_exchange_pulse(struct http_exchange *x, struct bytes pulse)
{
	x->pulse = pulse;
}

/* ---- the answer ---------------------------------------------------------------------------- */

bool http_response_begun(const struct http_exchange *x)
{
	return x->answer != HTTP_ANSWER_NONE;
}

bool http_response_sent(const struct http_exchange *x)
{
	return x->answer != HTTP_ANSWER_NONE && x->answer != HTTP_ANSWER_HELD;
}

void http_response_header(struct http_exchange *x, const char *name, const char *value)
{
	int rc = http_put_header(&x->headers, name, value, NULL);

	if (x->header_rc == 0)
		x->header_rc = rc;
	x->dated |= strcasecmp(name, "date") == 0;
}

/* Whether the connection can serve another request after this answer, as far as is known now. */
static bool may_persist(const struct http_exchange *x)
{
	const struct http_server *c = x->server;
	const struct http_head *h = &c->head;

	if (x->close || !h->keep_alive || c->service->mode == HTTP_ONE_SHOT)
		return false;
	if (c->service->group && c->service->group->draining)
		return false;
	if (c->parser.done && c->in.body.n == 0)
		return true;
	if (!x->asked && h->expect_continue)
		return false;
	return h->content_length >= 0 && h->content_length - (int64_t)x->received <= HTTP_SKIP_MAX;
}

static void put_framing(struct http_exchange *x, int status, int64_t length, struct buf *out)
{
	const struct http_head *h = &x->server->head;
	bool bodiless = status < 200 || status == 204 || status == 304;

	x->no_body = bodiless || (h->method && strcmp(h->method, "HEAD") == 0);
	x->chunked = length < 0 && h->minor == 1 && !bodiless;
	x->left = length > 0 ? (uint64_t)length : 0;
	x->to_close = length < 0 && !x->chunked && !bodiless;
	if (x->to_close)
		x->close = true;
	if (x->chunked)
		buf_str(out, "Transfer-Encoding: chunked\r\n");
	else if (length >= 0 && !bodiless)
		buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
	if (!may_persist(x)) {
		x->close = true;
		buf_str(out, "Connection: close\r\n");
	} else if (h->minor == 0) {
		buf_str(out, "Connection: keep-alive\r\n");
	}
}

/* The date has seconds: it is printed once for all answers of a second. */
static void put_date(struct http_server *c, struct buf *out)
{
	int64_t ms = world_wall_ms(c->service->world);

	if (!c->date[0] || c->date_s != ms / 1000)
		http_date(ms, c->date);
	c->date_s = ms / 1000;
	buf_str(out, "Date: ");
	buf_str(out, c->date);
	buf_put(out, "\r\n", 2);
}

int http_response_begin(
    struct http_exchange *x, int status, const char *type, int64_t length, struct err *err)
{
	struct http_server *c = x->server;
	struct buf *out = &c->out;
	int rc;

	if (x->answer != HTTP_ANSWER_NONE)
		return err_set(err, E_INVALID, "a second answer to one request");
	if (x->header_rc != 0)
		return err_set(err, x->header_rc, "a malformed header in an answer");
	buf_reset(out);
	buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	if (c->service->world && !x->dated)
		put_date(c, out);
	if (type && (rc = http_put_header(out, "Content-Type", type, err)) != 0)
		return rc;
	buf_bytes(out, buf_view(&x->headers));
	put_framing(x, status, length, out);
	buf_put(out, "\r\n", 2);
	rc = buf_ok(out, err);
	if (rc == 0)
		x->answer = HTTP_ANSWER_HELD;
	return rc;
}

/* Sends the held head, if any, and `count` more pieces (at most 3) in one write. */
static int send_pieces(
    struct http_exchange *x, const struct bytes *v, size_t count, struct err *err)
{
	struct http_server *c = x->server;
	struct bytes all[4];
	size_t n = 0;
	struct scope limit;
	int rc;

	if (x->answer == HTTP_ANSWER_HELD)
		all[n++] = buf_view(&c->out);
	for (size_t i = 0; i < count; i++)
		if (v[i].n > 0)
			all[n++] = v[i];
	if (n == 0)
		return 0;
	rc = scope_check(err); /* too late to begin, but nothing is broken by it */
	if (rc != 0)
		return rc;
	x->answer = HTTP_ANSWER_BODY;
	scope_open(&limit, write_allowance(x));
	rc = stream_writev(c->in.stream, all, n, err);
	scope_close(&limit);
	if (rc != 0)
		x->answer = HTTP_ANSWER_BROKEN;
	return rc;
}

static int check_open(const struct http_exchange *x, struct err *err)
{
	if (x->answer == HTTP_ANSWER_HELD || x->answer == HTTP_ANSWER_BODY)
		return 0;
	return err_set(err, x->answer == HTTP_ANSWER_BROKEN ? E_CLOSED : E_INVALID,
	    x->answer == HTTP_ANSWER_BROKEN ? "the answer is broken off" : "no answer is open");
}

/* Whoever calls has the turn. */
static int send_body(struct http_exchange *x, struct bytes data, struct err *err)
{
	char size[24];
	int rc = 0;

	while (rc == 0 && data.n > 0) {
		size_t n = data.n < HTTP_WRITE_PIECE ? data.n : HTTP_WRITE_PIECE;
		struct bytes v[3] = {{0}, bytes_of(data.p, n), {0}};

		if (x->chunked) {
			snprintf(size, sizeof(size), "%zx\r\n", n);
			v[0] = bytes_str(size);
			v[2] = bytes_str("\r\n");
		}
		rc = send_pieces(x, v, 3, err);
		x->left -= n < x->left ? n : x->left;
		data = bytes_of(data.p + n, data.n - n);
	}
	return rc;
}

int http_response_write(struct http_exchange *x, struct bytes data, struct err *err)
{
	int rc = check_open(x, err);

	if (rc != 0 || data.n == 0)
		return rc;
	if (x->no_body)
		return 0;
	if (!x->chunked && !x->to_close && data.n > x->left)
		return err_set(err, E_INVALID, "an answer longer than announced");
	rc = sem_acquire(&x->turn, err);
	if (rc != 0)
		return rc;
	rc = send_body(x, data, err);
	sem_release(&x->turn);
	return rc;
}

/* In turn, what is held and one more piece (which may be empty). */
static int send_in_turn(struct http_exchange *x, struct bytes piece, struct err *err)
{
	int rc = sem_acquire(&x->turn, err);

	if (rc != 0)
		return rc;
	rc = send_pieces(x, &piece, 1, err);
	sem_release(&x->turn);
	return rc;
}

int http_response_flush(struct http_exchange *x, struct err *err)
{
	int rc = check_open(x, err);

	return rc != 0 ? rc : send_in_turn(x, (struct bytes){0}, err);
}

/* The last chunk with what ends them all. */
static int send_last(struct http_exchange *x, struct bytes data, struct err *err)
{
	char size[24];
	struct bytes v[3] = {{0}, data, bytes_str("\r\n0\r\n\r\n")};
	int rc = sem_acquire(&x->turn, err);

	if (rc != 0)
		return rc;
	snprintf(size, sizeof(size), "%zx\r\n", data.n);
	v[0] = bytes_str(size);
	rc = send_pieces(x, v, 3, err);
	if (rc == 0)
		x->answer = HTTP_ANSWER_DONE;
	sem_release(&x->turn);
	return rc;
}

int http_response_last(struct http_exchange *x, struct bytes data, struct err *err)
{
	int rc = check_open(x, err);

	if (rc != 0)
		return rc;
	if (x->chunked && !x->no_body && data.n > 0 && data.n <= HTTP_WRITE_PIECE)
		return send_last(x, data, err);
	rc = http_response_write(x, data, err);
	return rc != 0 ? rc : http_response_end(x, err);
}

int http_response_end(struct http_exchange *x, struct err *err)
{
	struct bytes last = bytes_str("0\r\n\r\n");
	int rc = check_open(x, err);

	if (rc != 0)
		return rc;
	if (x->left > 0 && !x->no_body)
		return err_set(err, E_INVALID, "an answer shorter than announced");
	rc = send_in_turn(x, x->chunked && !x->no_body ? last : (struct bytes){0}, err);
	if (rc == 0)
		x->answer = HTTP_ANSWER_DONE;
	return rc;
}

int http_response_interim(struct http_exchange *x, int status, const struct http_header *headers,
    size_t n, struct err *err)
{
	struct buf out = BUF_INIT(HTTP_RESPONSE_HEAD_MAX);
	struct scope limit;
	int rc = x->answer == HTTP_ANSWER_NONE && status >= 100 && status < 200 && status != 101
		     ? 0
		     : err_set(err, E_INVALID, "no place for an interim answer");

	if (rc != 0 || x->server->head.minor == 0)
		return rc;
	buf_printf(&out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = http_put_header(&out, headers[i].name, headers[i].value, err);
	buf_str(&out, "\r\n");
	if (rc == 0)
		rc = buf_ok(&out, err);
	if (rc == 0)
		rc = sem_acquire(&x->turn, err);
	if (rc == 0) {
		scope_open(&limit, write_allowance(x));
		rc = stream_write(x->server->in.stream, out.p, out.n, err);
		scope_close(&limit);
		sem_release(&x->turn);
	}
	if (rc != 0)
		x->answer = HTTP_ANSWER_BROKEN;
	buf_free(&out);
	return rc;
}

/* SPEC http: RFC 9110 section 7.8. */
int http_response_switch(struct http_exchange *x, const char *protocol, struct stream **out,
    struct bytes *rest, struct err *err)
{
	struct http_reader *in = &x->server->in;
	struct buf *head = &x->server->out;
	int rc = 0;

	if (x->answer != HTTP_ANSWER_NONE || x->watching || !x->server->parser.done)
		return err_set(err, E_INVALID, "no place to change protocols");
	if (x->header_rc != 0)
		return err_set(err, x->header_rc, "a malformed header in an answer");
	buf_reset(head);
	buf_printf(head, "HTTP/1.1 101 %s\r\n", http_reason(101));
	rc = http_put_header(head, "Upgrade", protocol, err);
	buf_str(head, "Connection: Upgrade\r\n");
	buf_bytes(head, buf_view(&x->headers));
	buf_str(head, "\r\n");
	if (rc == 0)
		rc = buf_ok(head, err);
	if (rc != 0)
		return rc;
	x->answer = HTTP_ANSWER_HELD;
	rc = send_in_turn(x, (struct bytes){0}, err);
	if (rc != 0)
		return rc;
	x->answer = HTTP_ANSWER_DONE;
	x->switched = x->close = true;
	*out = in->stream;
	*rest = bytes_of(in->buf ? in->buf + in->start : NULL, http_reader_held(in));
	return 0;
}

int http_respond(
    struct http_exchange *x, int status, const char *type, struct bytes body, struct err *err)
{
	int rc = http_response_begin(x, status, type, (int64_t)body.n, err);

	if (rc == 0)
		rc = http_response_write(x, body, err);
	return rc != 0 ? rc : http_response_end(x, err);
}

#define ERROR_BODY_MAX (16u << 10)

int http_answer_error(struct http_exchange *x, int status, const struct err *why, struct err *err)
{
	const struct http_service *service = x->server->service;
	struct buf body = BUF_INIT(ERROR_BODY_MAX);
	const char *type = "text/plain; charset=utf-8";
	int rc;

	if (status == 0)
		status = err_info(why->code)->http_status;
	if (service->error_body)
		service->error_body(x->server->arg, status, why, &body, &type);
	else
		buf_printf(&body, "%s\n", err_text(why));
	if (x->header_rc != 0) {
		buf_reset(&x->headers);
		x->header_rc = 0;
	}
	rc = http_respond(x, status, type, buf_view(&body), err);
	buf_free(&body);
	return rc;
}

int http_respond_error(struct http_exchange *x, const struct err *why, struct err *err)
{
	return http_answer_error(x, 0, why, err);
}
