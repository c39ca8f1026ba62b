/* The life of one connection: wait, read a head, let the handler answer, and decide whether to go
 * on. Whatever goes wrong with framing ends the connection: after a request whose end is in doubt
 * no later byte can be trusted. */
#include "http/exchange_priv.h"

/* A client that is still sending needs time to notice that we are done: closing at once would reset
 * the connection and destroy the answer. For how long it may be silent, how long it may take in
 * all, and how much of what it sends is read. */
#define LINGER_SILENCE_MS 1000
#define LINGER_MS         10000
#define LINGER_MAX        (64u << 20)
/* For saying that the server is going away, when the handler's scope was cancelled. */
#define GOODBYE_MS 1000

/* ---- groups -------------------------------------------------------------------------------- */

void http_group_drain(struct http_group *g)
{
	g->draining = true;
	for (struct http_server *c = g->idle; c; c = c->next_idle)
		scope_cancel(c->idle);
}

static void idle_enter(struct http_server *c, struct scope *sc)
{
	struct http_group *g = c->service->group;

	c->idle = sc;
	if (!g)
		return;
	c->next_idle = g->idle;
	c->prev_idle = &g->idle;
	if (g->idle)
		g->idle->prev_idle = &c->next_idle;
	g->idle = c;
}

static void idle_leave(struct http_server *c)
{
	c->idle = NULL;
	if (!c->service->group)
		return;
	*c->prev_idle = c->next_idle;
	if (c->next_idle)
		c->next_idle->prev_idle = c->prev_idle;
}

static bool draining(const struct http_server *c)
{
	return c->service->group && c->service->group->draining;
}

/* ---- waiting for a request ----------------------------------------------------------------- */

/* Waits for bytes for at most `limit`, with the big buffer or (resting) the small one. The count,
 * 0 at the peer's end, E_TIMEOUT after the limit, or an error. */
static ssize_t wait_bytes(
    struct http_server *c, bool resting, struct duration limit, struct err *err)
{
	struct scope sc;
	ssize_t n;

	scope_open(&sc, limit);
	idle_enter(c, &sc);
	n = resting ? http_reader_rest(&c->in, err) : http_reader_fill(&c->in, err);
	idle_leave(c);
	scope_close(&sc);
	return n;
}

/* A connection that was busy a moment ago keeps its buffer for this long. */
#define WARM_MS 200

/* Parks until the next request begins: 1, or 0 when the connection ended in order (the client left,
 * nothing came, the server drains), or an error. */
static int wait_request(struct http_server *c, bool first, struct err *err)
{
	struct duration limit = first ? http_limit(c->service->head_limit, HTTP_HEAD_LIMIT_MS)
				      : http_limit(c->service->idle_limit, HTTP_IDLE_LIMIT_MS);
	bool resting = first;
	ssize_t n;

	if (http_reader_held(&c->in) > 0)
		return 1;
	if (draining(c) || c->in.ended)
		return 0;
	if (!first && limit.ns > duration_ms(WARM_MS).ns) {
		n = wait_bytes(c, false, duration_ms(WARM_MS), err);
		if (n != E_TIMEOUT || scope_check(NULL) != 0)
			goto out;
		limit = duration_ns(limit.ns - duration_ms(WARM_MS).ns);
		resting = true;
	}
	http_head_free(&c->head);
	buf_free(&c->out);
	n = wait_bytes(c, resting, limit, err);
out:
	if (n >= 0)
		return n > 0;
	if (draining(c) || (n == E_TIMEOUT && scope_check(NULL) == 0))
		return 0;
	return !first && (n == E_RESET || n == E_CLOSED) ? 0 : (int)n;
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* Reads what is left of a body, so that the next request can be found. False when it is too much,
 * too slow or broken. */
static bool skip_body(struct http_exchange *x)
{
	struct http_server *c = x->server;
	uint8_t junk[1024];
	size_t total = 0;
	ssize_t n = 1;

	while (n > 0 && total <= HTTP_SKIP_MAX) {
		n = http_body_read(x, junk, sizeof(junk), NULL);
		total += n > 0 ? (size_t)n : 0;
	}
	return n == 0 && c->parser.done;
}

/* Reads and drops what the client sends, until its end, its silence, or the scope's. Whether it
 * seems to go on. */
static bool drop_input(struct http_server *c, size_t *total)
{
	uint8_t junk[8192];
	size_t before = *total;
	struct scope sc;
	ssize_t n = 1;

	while (n > 0 && *total < LINGER_MAX) {
		scope_open(&sc, duration_ms(LINGER_SILENCE_MS));
		n = stream_read(c->in.stream, junk, sizeof(junk), NULL);
		scope_close(&sc);
		*total += n > 0 ? (size_t)n : 0;
	}
	return n == E_TIMEOUT && *total > before;
}

/* Lets the client receive the last answer before the connection goes; a shutdown waits for a short
 * part of it only. */
static void linger(struct http_server *c)
{
	size_t total = 0;
	struct scope sc;
	bool sends;

	scope_open_shielded(&sc, duration_ms(LINGER_SILENCE_MS));
	sends = stream_close_write(c->in.stream, NULL) == 0 &&
		(c->service->mode == HTTP_PERSISTENT || !c->parser.done) && drop_input(c, &total);
	scope_close(&sc);
	if (!sends)
		return;
	scope_open(&sc, duration_ms(LINGER_MS));
	(void)drop_input(c, &total);
	scope_close(&sc);
}

/* ---- one exchange -------------------------------------------------------------------------- */

/* What an error of ours at the parser's level looks like to the client. */
static int code_for_status(int status)
{
	switch (status) {
	case 408:
		return E_TIMEOUT;
	case 413:
	case 414:
	case 431:
		return E_TOO_LARGE;
	default:
		return E_INVALID;
	}
}

/* Answers a request that never reached the handler, or that failed in its body. */
static void answer_refusal(struct http_exchange *x, int status, const struct err *why)
{
	struct err told = *why;

	told.code = code_for_status(status);
	x->close = true;
	if (http_answer_error(x, status, &told, NULL) != 0)
		x->answer = HTTP_ANSWER_BROKEN;
}

/* The server goes away before the handler could answer: says so in the little time that is left. */
static int say_goodbye(struct http_exchange *x, struct err *err)
{
	struct scope goodbye;
	struct err why;
	int rc;

	err_set(&why, E_UNAVAILABLE, "the server is shutting down");
	x->close = true;
	scope_open_shielded(&goodbye, duration_ms(GOODBYE_MS));
	rc = http_answer_error(x, 0, &why, err);
	scope_close(&goodbye);
	return rc;
}

/* After the handler: makes sure that the answer is complete, or the connection visibly broken. */
static int complete_answer(struct http_exchange *x, int rc, struct err *err)
{
	struct err why = {0};

	if (x->answer == HTTP_ANSWER_DONE)
		return 0;
	if (x->hung_up)
		return err_set(err, E_CANCELLED, "the client hung up");
	if (rc == 0 && (x->answer == HTTP_ANSWER_HELD || x->answer == HTTP_ANSWER_BODY))
		return http_response_end(x, err);
	if (x->answer == HTTP_ANSWER_BODY || x->answer == HTTP_ANSWER_BROKEN)
		return rc != 0 ? rc : err_set(err, E_CLOSED, "the answer could not be written");
	x->answer = HTTP_ANSWER_NONE; /* a held head is replaced */
	if (rc == 0)
		rc = err_set(err, E_INTERNAL, "the handler gave no answer");
	why = *err;
	why.code = rc;
	if (x->fail_status != 0) {
		answer_refusal(x, x->fail_status, &why);
		return rc;
	}
	if (rc == E_CANCELLED && scope_check(NULL) == E_CANCELLED)
		return say_goodbye(x, err);
	return http_answer_error(x, 0, &why, err);
}

static void exchange_init(struct http_exchange *x, struct http_server *c)
{
	*x = (struct http_exchange){
	    .server = c,
	    .headers = BUF_INIT(HTTP_RESPONSE_HEAD_MAX),
	    .turn = {.free = 1},
	};
}

/* Reads a head; answers when it is refused or too slow. */
static int read_head(struct http_server *c, struct http_exchange *x, struct err *err)
{
	struct scope sc;
	struct err own = {0};
	int rc;

	if (!err)
		err = &own;
	http_parser_request(&c->parser, &c->head);
	scope_open(&sc, http_limit(c->service->head_limit, HTTP_HEAD_LIMIT_MS));
	rc = http_reader_head(&c->in, &c->parser, err);
	scope_close(&sc);
	if (rc == E_PROTOCOL || rc == E_TOO_LARGE) {
		c->head.minor = 1;
		answer_refusal(x, c->parser.status, err);
	} else if (rc == E_TIMEOUT && scope_check(NULL) == 0) {
		c->head.minor = 1;
		err_set(err, E_TIMEOUT, "the request did not arrive in time");
		answer_refusal(x, 408, err);
	}
	return rc;
}

/* Moves the parser on over what is held, so that a request without body is complete. */
static int settle_head(struct http_server *c, struct http_exchange *x, struct err *err)
{
	int rc = c->head.content_length == 0 ? http_reader_poll(&c->in, &c->parser, err) : 0;

	if (rc < 0)
		answer_refusal(x, c->parser.status, err);
	return rc < 0 ? rc : 0;
}

static int run_handler(struct http_server *c, struct http_exchange *x, struct err *err)
{
	struct http_group *g = c->service->group;
	struct err own = {0};
	int rc;

	if (!err)
		err = &own;
	rc = settle_head(c, x, err);
	if (rc != 0)
		return rc;
	if (g)
		g->busy++;
	err_clear(err);
	scope_open(&x->scope, DURATION_FOREVER);
	rc = c->service->handle(x, c->arg, err);
	timer_stop(&x->watch_timer);
	scope_close(&x->scope); /* the watch ends here */
	rc = complete_answer(x, rc, err);
	if (g)
		g->busy--;
	return rc;
}

/* One request and its answer: 1 when the connection can go on, 0 when it ends in order. */
static int serve_one(struct http_server *c, struct err *err)
{
	struct http_exchange x;
	int rc;

	exchange_init(&x, c);
	rc = read_head(c, &x, err);
	if (rc == 0)
		rc = run_handler(c, &x, err);
	if (rc == 0 && !x.close && !skip_body(&x))
		x.close = true;
	if (x.answer == HTTP_ANSWER_DONE && (rc != 0 || x.close) && !x.switched)
		linger(c);
	else if (rc != 0)
		stream_reset(c->in.stream, rc);
	buf_free(&x.headers);
	if (rc != 0)
		return rc;
	return !x.close;
}

int http_serve(struct stream *s, const struct http_service *service, void *arg, struct err *err)
{
	struct http_server c = {.service = service, .arg = arg};
	bool first = true;
	int rc;

	http_reader_init(&c.in, s);
	http_head_init(&c.head);
	c.out = BUF_INIT(HTTP_RESPONSE_HEAD_MAX + 1024);
	if (service->group)
		service->group->connections++;
	do {
		rc = wait_request(&c, first, err);
		if (rc > 0)
			rc = serve_one(&c, err);
		first = false;
	} while (rc > 0);
	if (service->group)
		service->group->connections--;
	http_reader_free(&c.in);
	http_head_free(&c.head);
	buf_free(&c.out);
	return rc;
}
