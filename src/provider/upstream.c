/* One streamed chat completion at an OpenAI-compatible server: request out, SSE events in. */
#include "provider/upstream.h"

#include "dialect/openai.h"
#include "http/client.h"
#include "http/sse.h"

#include <stdio.h>
#include <talloc.h>

#define REQUEST_MAX    (32u << 20) /* bytes of a request's body */
#define ERROR_BODY_MAX (64u << 10)
#define EVENT_MAX      (4u << 20)
#define READ_SIZE      4096

/* What the events so far amount to. */
struct progress {
	inference_emit_fn emit;
	void *arg;
	bool started, finished, done;
	struct inference_event last; /* FINISHED, held back until usage has come */
};

static int send_request(struct http_client *http, const char *host,
    const struct inference_request *req, const struct request_context *ctx, struct err *err)
{
	char hops[16], deadline[32];
	snprintf(hops, sizeof hops, "%u", ctx->hops + 1);
	struct duration left = scope_remaining();
	bool limited = left.ns != INT64_MAX;
	snprintf(deadline, sizeof deadline, "%lld", (long long)duration_to_ms(left));
	struct http_header headers[] = {
	    {"content-type", "application/json"},
	    {"accept", SSE_MEDIA_TYPE},
	    {HEADER_REQUEST_ID, ctx->request_id},
	    {HEADER_HOPS, hops},
	    {HEADER_DEADLINE, deadline},
	};
	struct inference_request streamed = *req;
	streamed.stream = streamed.include_usage = true;
	struct buf body = BUF_INIT(REQUEST_MAX);
	int rc = openai_request_write(&streamed, &body, err);
	if (rc == 0) {
		struct http_call call = {
		    .method = "POST",
		    .target = "/v1/chat/completions",
		    .host = host,
		    .headers = headers,
		    .n_headers = limited ? 5 : 4,
		    .body = buf_view(&body),
		};
		rc = http_client_send(http, &call, err);
	}
	buf_free(&body);
	return rc;
}

static int read_error(struct http_client *http, int status, struct err *err)
{
	struct buf body = BUF_INIT(ERROR_BODY_MAX);
	int rc = http_client_read_all(http, ERROR_BODY_MAX, &body, err);
	if (rc == E_CANCELLED || rc == E_TIMEOUT) {
		buf_free(&body);
		return rc;
	}
	rc = openai_error_parse(buf_view(&body), status, err);
	buf_free(&body);
	return rc;
}

static int emit(struct progress *p, const struct inference_event *e, struct err *err)
{
	return p->emit(p->arg, e, err);
}

static int take_chunk(struct progress *p, struct bytes data, struct err *err)
{
	void *mem = talloc_new(NULL);
	struct openai_piece piece;
	int rc = openai_chunk_parse(mem, data, &piece, err);
	if (rc == 0 && !p->started) {
		p->started = true;
		rc = emit(p, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	}
	if (rc == 0 && piece.text.n > 0)
		rc = emit(
		    p, &(struct inference_event){.kind = INFERENCE_TEXT, .text = piece.text}, err);
	if (rc == 0 && piece.has_finish) {
		p->finished = true;
		p->last.finish = piece.finish;
	}
	if (rc == 0 && piece.has_usage)
		p->last.usage = piece.usage;
	talloc_free(mem);
	return rc;
}

static int take_event(struct progress *p, const struct sse_event *e, struct err *err)
{
	p->done = openai_is_done(e->data);
	return p->done ? 0 : take_chunk(p, e->data, err);
}

static int read_events(
    struct http_client *http, struct sse_parser *sse, struct progress *p, struct err *err)
{
	while (!p->done) {
		char piece[READ_SIZE];
		ssize_t n = http_client_read(http, piece, sizeof piece, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		struct bytes in = bytes_of(piece, (size_t)n);
		struct sse_event e;
		int rc = 0;
		while (!p->done && (rc = sse_parser_next(sse, &in, &e, err)) == 1) {
			rc = take_event(p, &e, err);
			if (rc)
				return rc;
		}
		if (rc < 0) /* an event beyond all measure: not the client's fault */
			return err_set(err, rc == E_TOO_LARGE ? E_UPSTREAM : rc, "%s",
			    err ? err_text(err) : "");
	}
	if (!p->finished)
		return err_set(err, E_CLOSED, "the answer broke off before its end");
	return emit(p, &p->last, err);
}

static int exchange(struct http_client *http, const char *host, const struct inference_request *req,
    const struct request_context *ctx, struct progress *p, struct err *err)
{
	const struct http_head *head;
	int rc = send_request(http, host, req, ctx, err);
	if (rc == 0)
		rc = http_client_head(http, &head, err);
	if (rc == E_UNSUPPORTED) /* the stream itself was refused, not the request */
		rc = err_set(err, E_UNAVAILABLE, "it does not serve us at present");
	if (rc)
		return rc;
	if (head->status != 200)
		return read_error(http, head->status, err);
	if (!http_head_is_type(head, SSE_MEDIA_TYPE))
		return err_set(
		    err, E_UPSTREAM, "answered with something other than an event stream");
	struct sse_parser sse;
	sse_parser_init(&sse, EVENT_MAX);
	rc = read_events(http, &sse, p, err);
	sse_parser_free(&sse);
	return rc;
}

int upstream_infer(struct stream *s, const char *host, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit_fn, void *arg, struct err *err)
{
	struct http_client *http;
	int rc = http_client_new(s, &http, err);
	if (rc)
		return rc;
	struct progress p = {
	    .emit = emit_fn,
	    .arg = arg,
	    .last = {.kind = INFERENCE_FINISHED, .usage = {-1, -1}},
	};
	rc = exchange(http, host, req, ctx, &p, err);
	http_client_free(http);
	return rc;
}
