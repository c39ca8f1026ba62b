/* One exchange passed on: see passage_priv.h. One fiber carries the request's body, while the
 * handler's own waits for the answer and carries it back: a service may answer before it has read
 * all, and then nobody waits for the rest. */
#include "gateway/passage_priv.h"

#include <stdlib.h>
#include <string.h>

#define PIECE (16u << 10)
/* A body whose sender waits to be asked for it goes out after so long without a word from the next
 * hop, which may know nothing of that. SPEC RFC 9110, section 10.1.1. */
#define CONTINUE_MS 1000

struct passage {
	struct http_exchange *x;
	struct http_client *client;
	const struct passage_options *opt;
	struct scope scope;
	struct instant moved; /* the last sign of life */
	bool wanted;          /* the body may go */
	struct waitq want;
	int rc; /* of the body, when that ended it all */
	struct err why;
};

bool passage_repeatable(const struct http_exchange *x)
{
	static const char *const safe[] = {"GET", "HEAD", "OPTIONS"};
	const struct http_head *head = http_request(x);
	for (size_t i = 0; i < sizeof safe / sizeof *safe; i++)
		if (strcmp(head->method, safe[i]) == 0)
			return head->content_length == 0;
	return false;
}

/* ---- the request's body -------------------------------------------------------------------- */

/* What the client does wrong ends the passage; what the next hop does not take any more leaves its
 * answer to be read. */
static int carry_body(struct passage *p, uint8_t *piece)
{
	ssize_t n;
	while ((n = http_body_read(p->x, piece, PIECE, &p->why)) > 0) {
		struct scope sc;
		scope_open(&sc, p->opt->idle_limit);
		int rc = http_client_write(p->client, bytes_of(piece, (size_t)n), NULL);
		scope_close(&sc);
		if (rc)
			return 0;
		p->moved = rt_now();
	}
	if (n < 0)
		return (int)n;
	if (http_client_finish(p->client, NULL) != 0)
		return 0;
	return http_exchange_watch(p->x, &p->why);
}

static int wait_wanted(struct passage *p)
{
	int rc = 0;
	while (!p->wanted && rc == 0)
		rc = waitq_wait_for(&p->want, duration_ms(CONTINUE_MS), NULL);
	return rc == E_TIMEOUT ? 0 : rc;
}

static void body_fiber(void *arg)
{
	struct passage *p = arg;
	uint8_t *piece = malloc(PIECE);
	p->rc = piece ? wait_wanted(p) : err_set(&p->why, E_MEMORY, "no memory for a body");
	if (p->rc == 0)
		p->rc = carry_body(p, piece);
	free(piece);
	if (p->rc)
		scope_cancel(&p->scope);
}

/* ---- the answer's head --------------------------------------------------------------------- */

/* The next hop's mistakes are not the client's. */
static int next_hop_failed(int rc, struct err *err)
{
	if (rc == E_TOO_LARGE)
		return err_set(err, E_PROTOCOL, "its answer's head is too large");
	return rc;
}

static int read_head(struct passage *p, const struct http_head **head, struct err *err)
{
	for (;;) {
		struct instant moved = p->moved;
		struct scope sc;
		scope_open(&sc, p->opt->head_limit);
		int rc = http_client_next_head(p->client, head, err);
		scope_close(&sc);
		if (rc != E_TIMEOUT || scope_check(NULL) != 0)
			return next_hop_failed(rc, err);
		if (moved.ns == p->moved.ns)
			return err_set(err, E_TIMEOUT, "no answer within %lld s",
			    (long long)duration_to_ms(p->opt->head_limit) / 1000);
	}
}

/* Early hints and the like go on; 100 is each hop's own. */
static int take_interim(struct passage *p, const struct http_head *head, struct err *err)
{
	p->moved = rt_now();
	if (head->status == 100) {
		p->wanted = true;
		waitq_wake_all(&p->want);
		return 0;
	}
	struct forward_headers *out = malloc(sizeof *out);
	if (!out)
		return err_set(err, E_MEMORY, "no memory for headers");
	forward_answer(head, p->opt->hop, out);
	int rc = http_response_interim(p->x, head->status, out->list, out->n, err);
	free(out);
	return rc;
}

static int await_head(struct passage *p, const struct http_head **head, struct err *err)
{
	int rc;
	do {
		rc = read_head(p, head, err);
		if (rc == 0 && (*head)->status < 200 && (*head)->status != 101)
			rc = take_interim(p, *head, err);
	} while (rc == 0 && (*head)->status < 200 && (*head)->status != 101);
	return rc;
}

static int put_headers(struct passage *p, const struct http_head *head, struct err *err)
{
	struct forward_headers *out = malloc(sizeof *out);
	if (!out)
		return err_set(err, E_MEMORY, "no memory for headers");
	forward_answer(head, p->opt->hop, out);
	for (size_t i = 0; i < out->n; i++)
		http_response_header(p->x, out->list[i].name, out->list[i].value);
	free(out);
	return 0;
}

/* ---- the answer's body --------------------------------------------------------------------- */

static ssize_t read_piece(struct passage *p, uint8_t *piece, struct err *err)
{
	for (;;) {
		struct instant moved = p->moved;
		struct scope sc;
		scope_open(&sc, p->opt->idle_limit);
		ssize_t n = http_client_read(p->client, piece, PIECE, err);
		scope_close(&sc);
		if (n != E_TIMEOUT || scope_check(NULL) != 0 || moved.ns == p->moved.ns) {
			p->moved = rt_now();
			return n;
		}
	}
}

static int carry_answer(struct passage *p, struct err *err)
{
	uint8_t *piece = malloc(PIECE);
	if (!piece)
		return err_set(err, E_MEMORY, "no memory for an answer");
	ssize_t n;
	int rc = 0;
	while (rc == 0 && (n = read_piece(p, piece, err)) != 0)
		rc = n < 0 ? (int)n : http_response_write(p->x, bytes_of(piece, (size_t)n), err);
	free(piece);
	return rc ? rc : http_response_end(p->x, err);
}

static int answer(struct passage *p, const struct http_head *head, struct err *err)
{
	bool to_head = strcmp(http_request(p->x)->method, "HEAD") == 0;
	int64_t length = to_head ? forward_told_length(head) : head->content_length;
	int rc = put_headers(p, head, err);
	if (rc == 0 && http_request(p->x)->content_length == 0)
		rc = http_exchange_watch(p->x, err);
	if (rc == 0)
		rc = http_response_begin(
		    p->x, head->status, NULL, length >= 0 ? length : HTTP_LENGTH_CHUNKED, err);
	if (rc == 0)
		rc = http_response_flush(p->x, err);
	return rc ? rc : carry_answer(p, err);
}

/* ---- another protocol ---------------------------------------------------------------------- */

static int join(struct passage *p, struct stream *there, const char *protocol, struct err *err)
{
	struct stream *here;
	struct bytes rest;
	int rc = http_response_switch(p->x, protocol, &here, &rest, err);
	if (rc)
		return rc;
	if (rest.n > 0)
		rc = stream_write(there, rest.p, rest.n, err);
	if (rc)
		stream_reset(here, rc);
	else
		rc = stream_splice_until_idle(here, there, p->opt->idle_limit, err);
	return rc;
}

/* SPEC RFC 9110, section 15.2.2: only to what was asked for. */
static int switch_protocols(
    struct passage *p, const struct http_head *head, struct http_client **client, struct err *err)
{
	char protocol[FORWARD_UPGRADE_MAX];
	struct stream *there;
	if (!forward_upgrade_agreed(head, p->opt->hop->upgrade))
		return err_set(err, E_PROTOCOL, "an unasked change of protocols");
	const char *value = http_head_get(head, "upgrade");
	memcpy(protocol, value, strlen(value) + 1); /* no longer than what was asked for */
	int rc = put_headers(p, head, err);
	if (rc)
		return rc;
	*client = NULL;
	rc = http_client_switch(p->client, &there, err);
	if (rc)
		return rc;
	rc = join(p, there, protocol, err);
	stream_close(there);
	return rc;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int send_head(struct passage *p, struct err *err)
{
	const struct http_head *head = http_request(p->x);
	struct forward_headers *out = malloc(sizeof *out);
	struct buf target = BUF_INIT(HTTP_TARGET_MAX + 2);
	if (!out)
		return err_set(err, E_MEMORY, "no memory for headers");
	forward_request(head, p->opt->hop, out);
	const char *query = http_head_query(head);
	buf_printf(&target, "%s%s%s", http_head_path(head), query[0] ? "?" : "", query);
	struct http_call call = {.method = head->method,
	    .target = buf_cstr(&target),
	    .host = p->opt->host,
	    .headers = out->list,
	    .n_headers = out->n};
	struct scope sc;
	scope_open(&sc, p->opt->head_limit);
	int rc = http_client_begin(p->client, &call, head->content_length, err);
	scope_close(&sc);
	buf_free(&target);
	free(out);
	return rc;
}

/* Whoever only waits is watched; a stream that may change protocols is not read ahead. */
static int attend_client(struct passage *p, struct err *err)
{
	if (http_request(p->x)->content_length != 0)
		return fiber_spawn(&p->scope, "body", body_fiber, p, err);
	return p->opt->hop->upgrade[0] ? 0 : http_exchange_watch(p->x, err);
}

static int run(struct passage *p, struct http_client **client, struct err *err)
{
	const struct http_head *head;
	int rc = send_head(p, err);
	if (rc == 0)
		rc = attend_client(p, err);
	if (rc == 0)
		rc = await_head(p, &head, err);
	if (rc)
		return rc;
	if (head->status == 101)
		return switch_protocols(p, head, client, err);
	return answer(p, head, err);
}

int passage_run(struct http_exchange *x, struct http_client **client,
    const struct passage_options *opt, struct err *err)
{
	struct passage p = {.x = x,
	    .client = *client,
	    .opt = opt,
	    .moved = rt_now(),
	    .wanted = !http_request(x)->expect_continue};
	http_exchange_patience(x, opt->idle_limit);
	scope_open(&p.scope, DURATION_FOREVER);
	int rc = run(&p, client, err);
	scope_close(&p.scope);
	if (rc == E_CANCELLED && p.rc && p.rc != E_CANCELLED)
		rc = err_copy(err, &p.why);
	return rc;
}
