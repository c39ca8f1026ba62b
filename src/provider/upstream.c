/* Exchanges with a server of some dialect: request out, events in. */
#include "provider/upstream.h"

#include "http/sse.h"

#include <stdio.h>
#include <talloc.h>

#define REQUEST_MAX    (32u << 20) /* bytes of a request's body */
#define ERROR_BODY_MAX (64u << 10)
#define MODELS_MAX     (4u << 20)
#define EMBEDDINGS_MAX (64u << 20)
#define EVENT_MAX      (4u << 20)  /* bytes of an event or a line … */
#define WHOLE_MAX      (32u << 20) /* … and of an answer that is no stream */
#define READ_SIZE      1024        /* it lies on a stack that may wait for long */
#define SILENT_MS      100
#define END_WAIT_MS    20 /* for the end of a body whose answer is complete */

/* ---- asking -------------------------------------------------------------------------------- */

struct asking {
	struct http_header headers[UPSTREAM_HEADERS_MAX + 5];
	size_t n;
	char path[UPSTREAM_PATH_MAX];
	char hops[16], deadline[32];
};

static void add_header(struct asking *a, const char *name, const char *value)
{
	a->headers[a->n++] = (struct http_header){name, value};
}

static int prepare(
    struct asking *a, const struct upstream_server *server, const char *path, struct err *err)
{
	int n = snprintf(a->path, sizeof a->path, "%s%s", server->base_path, path);
	if (n < 0 || (size_t)n >= sizeof a->path || server->n_headers > UPSTREAM_HEADERS_MAX)
		return err_set(err, E_INVALID, "the provider's address is too long");
	for (size_t i = 0; i < server->n_headers; i++)
		a->headers[a->n++] = server->headers[i];
	return 0;
}

/* What travels along from node to node; others get the request's id only. */
static void add_context(
    struct asking *a, const struct upstream_server *server, const struct request_context *ctx)
{
	add_header(a, HEADER_REQUEST_ID, ctx->request_id);
	if (!server->node)
		return;
	snprintf(a->hops, sizeof a->hops, "%u", ctx->hops + 1);
	add_header(a, HEADER_HOPS, a->hops);
	struct duration left = scope_remaining();
	if (left.ns == INT64_MAX)
		return;
	snprintf(a->deadline, sizeof a->deadline, "%lld", (long long)duration_to_ms(left));
	add_header(a, HEADER_DEADLINE, a->deadline);
}

static const char *stream_type(const struct upstream *u)
{
	return u->framing == UPSTREAM_SSE ? SSE_MEDIA_TYPE : "application/x-ndjson";
}

static int post(struct http_client *http, const struct upstream_server *server, const char *path,
    const char *accept, struct bytes body, const struct request_context *ctx, struct err *err)
{
	struct asking a = {.n = 0};
	int rc = prepare(&a, server, path, err);
	if (rc)
		return rc;
	add_header(&a, "content-type", "application/json");
	add_header(&a, "accept", accept);
	add_context(&a, server, ctx);
	struct http_call call = {
	    .method = "POST",
	    .target = a.path,
	    .host = server->host,
	    .headers = a.headers,
	    .n_headers = a.n,
	    .body = body,
	};
	return http_client_send(http, &call, err);
}

static int send_request(struct http_client *http, const struct upstream_server *server,
    const struct inference_request *req, const struct request_context *ctx, struct err *err)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	const char *path;
	bool whole = server->dialect->whole && !req->stream;
	const char *accept = whole ? "application/json" : stream_type(server->dialect);
	int rc = server->dialect->request(req, &path, &body, err);
	if (rc == 0)
		rc = post(http, server, path, accept, buf_view(&body), ctx, err);
	buf_free(&body);
	return rc;
}

/* The head of an answer; an error one becomes its error. */
static int read_head(struct http_client *http, const struct upstream_server *server,
    const struct http_head **head, struct err *err)
{
	int rc = http_client_head(http, head, err);
	if (rc == E_UNSUPPORTED) /* the stream itself was refused, not the request */
		rc = err_set(err, E_UNAVAILABLE, "it does not serve us at present");
	if (rc || (*head)->status == 200)
		return rc;
	int status = (*head)->status;
	struct buf body = BUF_INIT(ERROR_BODY_MAX);
	rc = http_client_read_all(http, ERROR_BODY_MAX, &body, err);
	if (rc != E_CANCELLED && rc != E_TIMEOUT)
		rc = server->dialect->error(buf_view(&body), status, err);
	buf_free(&body);
	return rc;
}

/* Beyond all measure, and so not the client's fault. */
static int too_much(int rc, struct err *err)
{
	if (rc != E_TOO_LARGE)
		return rc;
	return err_set(err, E_UPSTREAM, "%s", err ? err_text(err) : "");
}

/* ---- the answer ---------------------------------------------------------------------------- */

struct framing {
	struct upstream_reader *reader;
	struct sse_parser sse;
	struct buf line;
};

static int take_sse(struct framing *f, struct bytes in, struct err *err)
{
	struct sse_event e;
	int rc = 0;
	while (!f->reader->finished && (rc = sse_parser_next(&f->sse, &in, &e, err)) == 1) {
		rc = f->reader->upstream->take(f->reader, e.event, e.data, err);
		if (rc)
			return rc;
	}
	return rc < 0 ? too_much(rc, err) : 0;
}

static int take_line(struct framing *f, struct bytes line, struct err *err)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
		line.n--;
	return line.n ? f->reader->upstream->take(f->reader, "", line, err) : 0;
}

/* A line that is whole in what was read is taken where it lies. */
static int take_lines(struct framing *f, struct bytes in, struct err *err)
{
	int rc = 0;
	while (rc == 0 && in.n > 0 && !f->reader->finished) {
		const uint8_t *end = memchr(in.p, '\n', in.n);
		size_t n = end ? (size_t)(end - in.p) : in.n;
		if (!end || f->line.n > 0) {
			buf_put(&f->line, in.p, n);
			rc = too_much(buf_ok(&f->line, err), err);
		}
		if (rc == 0 && end) {
			rc = take_line(
			    f, f->line.n > 0 ? buf_view(&f->line) : bytes_of(in.p, n), err);
			buf_reset(&f->line);
		}
		in = bytes_of(in.p + n + (end ? 1 : 0), in.n - n - (end ? 1 : 0));
	}
	return rc;
}

/* A silent answer gives back the memory that its beginning needed. */
static ssize_t read_patiently(struct http_client *http, void *piece, size_t cap, struct err *err)
{
	struct scope sc;
	scope_open(&sc, duration_ms(SILENT_MS));
	ssize_t n = http_client_read(http, piece, cap, err);
	scope_close(&sc);
	if (n != E_TIMEOUT || scope_check(NULL) != 0)
		return n;
	fiber_trim();
	int rc = http_client_wait(http, err);
	return rc ? rc : http_client_read(http, piece, cap, err);
}

static int read_stream(struct http_client *http, struct framing *f, struct err *err)
{
	while (!f->reader->finished) {
		char piece[READ_SIZE];
		ssize_t n = read_patiently(http, piece, sizeof piece, err);
		if (n < 0)
			return (int)n;
		struct bytes in = bytes_of(piece, (size_t)n);
		int rc;
		if (f->reader->upstream->framing == UPSTREAM_SSE)
			rc = take_sse(f, in, err);
		else
			rc = n > 0 ? take_lines(f, in, err) : take_line(f, buf_view(&f->line), err);
		if (rc == 0 && n == 0)
			return f->reader->upstream->end(f->reader, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* A server that does not stream gives the answer as one document. */
static int read_whole(struct http_client *http, struct upstream_reader *reader, struct err *err)
{
	struct buf body = BUF_INIT(WHOLE_MAX);
	int rc = too_much(http_client_read_all(http, WHOLE_MAX, &body, err), err);
	if (rc == 0)
		rc = reader->upstream->take(reader, "", buf_view(&body), err);
	if (rc == 0)
		rc = reader->upstream->end(reader, err);
	buf_free(&body);
	return rc;
}

/* The answer is complete, its body usually too: read to the end, so that the connection can serve
 * again. */
static void read_rest(struct http_client *http)
{
	struct scope sc;
	scope_open(&sc, duration_ms(END_WAIT_MS));
	char piece[256];
	if (http_client_read(http, piece, sizeof piece, NULL) > 0)
		(void)!http_client_read(http, piece, sizeof piece, NULL);
	scope_close(&sc);
}

static int read_answer(struct http_client *http, const struct http_head *head,
    struct upstream_reader *reader, struct err *err)
{
	if (http_head_is_type(head, stream_type(reader->upstream))) {
		struct framing f = {.reader = reader, .line = BUF_INIT(EVENT_MAX)};
		sse_parser_init(&f.sse, EVENT_MAX);
		int rc = read_stream(http, &f, err);
		sse_parser_free(&f.sse);
		buf_free(&f.line);
		if (rc == 0)
			read_rest(http);
		return rc;
	}
	if (http_head_is_type(head, "application/json"))
		return read_whole(http, reader, err);
	return err_set(err, E_UPSTREAM, "answered with something other than an event stream");
}

int upstream_infer(struct http_client *http, const struct upstream_server *server,
    const struct inference_request *req, const struct request_context *ctx, inference_emit_fn emit,
    void *arg, struct err *err)
{
	const struct http_head *head;
	struct upstream_reader *reader;
	int rc = send_request(http, server, req, ctx, err);
	if (rc == 0)
		rc = read_head(http, server, &head, err);
	if (rc == 0)
		rc = upstream_reader_new(NULL, server->dialect, req, emit, arg, &reader, err);
	if (rc)
		return rc;
	rc = read_answer(http, head, reader, err);
	talloc_free(reader);
	return rc;
}

int upstream_infer_once(struct stream *s, const struct upstream_server *server,
    const struct inference_request *req, const struct request_context *ctx, inference_emit_fn emit,
    void *arg, struct err *err)
{
	struct http_client *http;
	int rc = http_client_new(s, &http, err);
	if (rc)
		return rc;
	rc = upstream_infer(http, server, req, ctx, emit, arg, err);
	http_client_free(http);
	return rc;
}

/* ---- embeddings ---------------------------------------------------------------------------- */

static int send_embed(struct http_client *http, const struct upstream_server *server,
    const struct embedding_request *req, const struct request_context *ctx, struct err *err)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	const char *path;
	int rc = server->dialect->embed_request(req, &path, &body, err);
	if (rc == 0)
		rc = post(http, server, path, "application/json", buf_view(&body), ctx, err);
	buf_free(&body);
	return rc;
}

int upstream_embed(struct http_client *http, const struct upstream_server *server,
    const struct embedding_request *req, const struct request_context *ctx, void *mem,
    struct embedding_result *out, struct err *err)
{
	if (!server->dialect->embed_request)
		return err_set(err, E_UNSUPPORTED, "the provider makes no embeddings");
	const struct http_head *head;
	struct buf body = BUF_INIT(EMBEDDINGS_MAX);
	int rc = send_embed(http, server, req, ctx, err);
	if (rc == 0)
		rc = read_head(http, server, &head, err);
	if (rc == 0)
		rc = too_much(http_client_read_all(http, EMBEDDINGS_MAX, &body, err), err);
	if (rc == 0)
		rc = server->dialect->embed_answer(mem, buf_view(&body), out, err);
	buf_free(&body);
	if (rc == 0 && out->n != req->n_inputs) {
		talloc_free(out->values);
		rc = err_set(err, E_UPSTREAM, "the provider made %zu embeddings of %zu inputs",
		    out->n, req->n_inputs);
	}
	return rc;
}

int upstream_embed_once(struct stream *s, const struct upstream_server *server,
    const struct embedding_request *req, const struct request_context *ctx, void *mem,
    struct embedding_result *out, struct err *err)
{
	struct http_client *http;
	int rc = http_client_new(s, &http, err);
	if (rc)
		return rc;
	rc = upstream_embed(http, server, req, ctx, mem, out, err);
	http_client_free(http);
	return rc;
}

/* ---- models -------------------------------------------------------------------------------- */

int upstream_models(struct http_client *http, const struct upstream_server *server, void *mem,
    struct model_entry **out, size_t *n, struct err *err)
{
	struct asking a = {.n = 0};
	const struct http_head *head;
	struct buf body = BUF_INIT(MODELS_MAX);
	int rc = prepare(&a, server, server->dialect->models_path, err);
	if (rc == 0) {
		struct http_call call = {
		    .method = "GET",
		    .target = a.path,
		    .host = server->host,
		    .headers = a.headers,
		    .n_headers = a.n,
		};
		rc = http_client_send(http, &call, err);
	}
	if (rc == 0)
		rc = read_head(http, server, &head, err);
	if (rc == 0)
		rc = too_much(http_client_read_all(http, MODELS_MAX, &body, err), err);
	if (rc == 0)
		rc = server->dialect->models(mem, buf_view(&body), out, n, err);
	buf_free(&body);
	return rc;
}
