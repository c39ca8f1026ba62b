/* An OpenAI-compatible server that answers well, badly, or not to the end, as an upstream sees it:
 * a fiber at the other end of a pipe sends fixed bytes, cut into pieces. */
#include "fake.h"

#include "dialect/openai.h"
#include "provider/upstream.h"

#include <talloc.h>

#define HEAD                                                                                       \
	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNK(delta, finish)                                                                       \
	"data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{" delta  \
	"},\"finish_reason\":" finish "}]}\n\n"
#define ROLE   CHUNK("\"role\":\"assistant\"", "null")
#define SAY(t) CHUNK("\"content\":\"" t "\"", "null")
#define STOP   CHUNK("", "\"stop\"")
#define USAGE  "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}\n\n"
#define DONE   "data: [DONE]\n\n"

struct server {
	struct stream *s;
	const char *body; /* of a chunked answer, or the whole answer when it begins with "HTTP" */
	size_t piece;     /* bytes at a time */
	bool hold;        /* keep the stream open afterwards */
	bool document;    /* asked without a stream */
	char request[8192];
	bool reset;
};

static void serve(void *arg)
{
	struct server *v = arg;
	struct buf out = BUF_INIT(1 << 20);
	size_t have = 0;

	/* The request ends with its JSON body. */
	while (have < sizeof v->request - 1 &&
	       !strstr(v->request, v->document ? "\"2+2?\"}]}" : "\"stream\":true")) {
		ssize_t n =
		    stream_read(v->s, v->request + have, sizeof v->request - 1 - have, NULL);
		if (n <= 0)
			break;
		have += (size_t)n;
		v->request[have] = '\0';
	}
	if (strncmp(v->body, "HTTP", 4) == 0) {
		buf_str(&out, v->body);
	} else {
		buf_str(&out, HEAD);
		buf_printf(&out, "%zx\r\n%s\r\n", strlen(v->body), v->body);
		if (!v->hold)
			buf_str(&out, "0\r\n\r\n");
	}
	int rc = 0;
	for (size_t at = 0; at < out.n && rc == 0; at += v->piece) {
		rc = stream_write(
		    v->s, out.p + at, out.n - at < v->piece ? out.n - at : v->piece, NULL);
		fiber_yield();
	}
	buf_free(&out);
	char end;
	if (v->hold)
		v->reset = stream_read(v->s, &end, 1, NULL) <= 0;
	stream_close(v->s);
}

struct heard {
	char text[1024];
	unsigned started, finished;
	enum inference_finish finish;
	struct inference_usage usage;
	int fail_at_text;
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct heard *h = arg;

	assert_int_equal(h->finished, 0); /* nothing after the end */
	if (e->kind == INFERENCE_STARTED)
		h->started++;
	if (e->kind == INFERENCE_TEXT) {
		assert_int_equal(h->started, 1);
		snprintf(h->text + strlen(h->text), sizeof h->text - strlen(h->text), "%.*s",
		    (int)e->text.n, (const char *)e->text.p);
		if (h->fail_at_text)
			return err_set(err, h->fail_at_text, "enough");
	}
	if (e->kind == INFERENCE_CHOICE_END)
		h->finish = e->finish;
	if (e->kind == INFERENCE_FINISHED) {
		h->finished++;
		h->usage = e->usage;
	}
	return 0;
}

static const struct upstream_server server = {
    .dialect = &openai_upstream, .host = "host", .base_path = "", .node = true};
static struct inference_message question = {"user", {(const uint8_t *)"2+2?", 4}};

static int ask(struct server *v, struct heard *h, struct duration limit, struct err *err)
{
	struct inference_request req = {
	    .model = "tiny", .messages = &question, .n_messages = 1, .stream = true};
	struct request_context ctx = {"req_test", 1};
	struct stream *mine;
	struct scope sc;

	OK(stream_pipe("pipe", 4096, &mine, &v->s, NULL));
	scope_open(&sc, limit);
	OK(fiber_spawn(NULL, "server", serve, v, NULL));
	int rc = upstream_infer_once(mine, &server, &req, &ctx, hear, h, err);
	if (rc != E_TIMEOUT)
		OK(scope_join(&sc));
	scope_close(&sc);
	return rc;
}

static void whole(void *arg)
{
	static const size_t pieces[] = {1, 2, 7, 100, 100000};

	for (size_t i = 0; i < 5; i++) {
		struct server v = {
		    .body = ": hi\n\n" ROLE SAY("Fo") SAY("ur \\u00e9") STOP USAGE DONE,
		    .piece = pieces[i]};
		struct heard h = {0};
		struct err err = {0};
		OK(ask(&v, &h, duration_s(10), &err));
		assert_string_equal(h.text, "Four é");
		assert_int_equal(h.finished, 1);
		assert_int_equal(h.finish, FINISH_STOP);
		assert_int_equal(h.usage.prompt_tok, 11);
		assert_int_equal(h.usage.completion_tok, 3);
		assert_non_null(strstr(v.request, "POST /v1/chat/completions HTTP/1.1\r\n"));
		assert_non_null(strstr(v.request, "x-request-id: req_test\r\n"));
		assert_non_null(strstr(v.request, "x-gate-hops: 2\r\n"));
		assert_non_null(strstr(v.request, "x-gate-deadline-ms: 10000\r\n"));
		assert_non_null(strstr(v.request, "\"include_usage\":true"));
	}
}

/* Without an end nothing is invented; with one, a missing [DONE] or usage is forgiven. */
static void ends(void *arg)
{
	struct heard h = {0};
	struct err err = {0};
	struct server cut = {.body = ROLE SAY("Fo"), .piece = 4096};

	assert_int_equal(ask(&cut, &h, duration_s(10), &err), E_CLOSED);
	assert_string_equal(h.text, "Fo");
	assert_int_equal(h.finished, 0);

	struct server no_done = {.body = ROLE SAY("Four") STOP, .piece = 4096};
	h = (struct heard){0};
	OK(ask(&no_done, &h, duration_s(10), &err));
	assert_int_equal(h.usage.prompt_tok, -1);

	struct server only_done = {.body = ROLE SAY("Four") DONE, .piece = 4096};
	h = (struct heard){0};
	assert_int_equal(ask(&only_done, &h, duration_s(10), &err), E_CLOSED);
	assert_int_equal(h.finished, 0);

	struct server length = {
	    .body = ROLE SAY("Four") CHUNK("", "\"length\"") DONE, .piece = 4096};
	h = (struct heard){0};
	OK(ask(&length, &h, duration_s(10), &err));
	assert_int_equal(h.finish, FINISH_LENGTH);

	/* Cut off within the chunked coding. */
	struct server broken = {.body = HEAD "999\r\n" ROLE SAY("Fo"), .piece = 4096};
	h = (struct heard){0};
	assert_int_equal(ask(&broken, &h, duration_s(10), &err), E_CLOSED);
	struct server silent = {.body = "HTTP/1.1 200 OK\r\n", .piece = 4096};
	assert_int_equal(ask(&silent, &h, duration_s(10), &err), E_CLOSED);
}

static void errors(void *arg)
{
	static const struct {
		const char *body;
		int code;
	} cases[] = {
	    /* An error answer, with our code, with a status alone, and in the middle. */
	    {"HTTP/1.1 404 Not Found\r\nContent-Length: 80\r\n\r\n"
	     "{\"error\":{\"message\":\"no tiny\",\"type\":\"x\",\"param\":null,"
	     "\"code\":\"model_not_found\"}}",
		E_MODEL_NOT_FOUND},
	    {"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nsorry", E_UNAVAILABLE},
	    {"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", 1},
	    {"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n",
		E_UPSTREAM},
	    {ROLE SAY("Fo") "data: {\"error\":{\"message\":\"died\",\"code\":\"unavailable\"}}\n\n",
		E_UNAVAILABLE},
	    /* No event stream, no HTTP, no JSON, no chunk. */
	    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<a/>",
		E_UPSTREAM},
	    {"HTTP/9 what\r\n\r\n", E_PROTOCOL},
	    {"data: {\"choices\":\n\n", E_UPSTREAM},
	    {"data: [1,2]\n\n", E_UPSTREAM},
	    {"data: {\"choices\":[{\"delta\":{\"content\":5}}]}\n\n", E_UPSTREAM},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct server v = {.body = cases[i].body, .piece = 4096};
		struct heard h = {0};
		struct err err = {0};
		int rc = ask(&v, &h, duration_s(10), &err);
		if (cases[i].code == 1 ? rc >= 0 : rc != cases[i].code)
			fail_msg("case %zu: %s (%s)", i, err_info(rc)->name, err_text(&err));
		assert_int_equal(h.finished, 0);
		/* Never as if the client's JSON were wrong or its request too large. */
		assert_int_not_equal(rc, E_SYNTAX);
		assert_int_not_equal(rc, E_TOO_LARGE);
	}
}

/* An event beyond all measure is the server's fault, not a request that is too large. */
static void endless_event(void *arg)
{
	size_t n = 5u << 20;
	char *body = malloc(n + 1);
	struct heard h = {0};
	struct err err = {0};

	memset(body, 'x', n);
	memcpy(body, HEAD, strlen(HEAD));
	int at = snprintf(body + strlen(HEAD), 32, "%x\r\ndata: ", 0x7fffffff);
	body[strlen(HEAD) + (size_t)at] = 'x';
	body[n] = '\0';
	struct stream *mine, *theirs;
	struct inference_request req = {.messages = &question, .n_messages = 1};
	struct request_context ctx = {"r", 0};
	OK(stream_pipe("pipe", n + 1, &mine, &theirs, NULL));
	OK(stream_write(theirs, body, n, NULL));
	assert_int_equal(
	    upstream_infer_once(mine, &server, &req, &ctx, hear, &h, &err), E_UPSTREAM);
	stream_close(theirs);
	free(body);
}

/* Whoever stops listening, for whatever reason, ends the work at its source at once. */
static void stopping(void *arg)
{
	struct server v = {.body = ROLE SAY("Fo"), .piece = 4096, .hold = true};
	struct heard h = {0};
	struct err err = {0};
	struct instant began = rt_now();

	h.fail_at_text = E_CANCELLED;
	assert_int_equal(ask(&v, &h, duration_s(100), &err), E_CANCELLED);
	assert_true(v.reset);
	assert_true(duration_to_ms(instant_since(rt_now(), began)) < 1000);

	struct server slow = {.body = ROLE SAY("Fo"), .piece = 4096, .hold = true};
	h = (struct heard){0};
	assert_int_equal(ask(&slow, &h, duration_s(3), &err), E_TIMEOUT);
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 3000, 3500);
}

/* A server that does not stream gives the answer as one document; one that keeps the connection can
 * be asked again on it. */
static void serve_twice(void *arg)
{
	struct server *v = arg;

	for (int i = 0; i < 2; i++) {
		char request[8192] = "";
		size_t have = 0;

		/* The document is asked for as such. */
		while (!strstr(request, v->document ? "\"2+2?\"}]}" : "include_usage\":true}}")) {
			ssize_t n =
			    stream_read(v->s, request + have, sizeof request - 1 - have, NULL);
			assert_true(n > 0);
			have += (size_t)n;
			request[have] = '\0';
		}
		assert_non_null(strstr(request, "POST /base/v1/chat/completions HTTP/1.1\r\n"));
		assert_non_null(strstr(request, "authorization: Bearer k\r\n"));
		assert_null(strstr(request, "x-gate-hops"));
		assert_true(v->document == !!strstr(request, "accept: application/json\r\n"));
		assert_null(strstr(request, "x-gate-deadline"));
		OK(stream_write(v->s, v->body, strlen(v->body), NULL));
	}
	stream_close(v->s);
}

#define DOCUMENT "{\"choices\":[{\"message\":{\"content\":\"Four\"},\"finish_reason\":\"stop\"}]}"

static void kept_connection(void *arg)
{
	static const struct http_header key = {"authorization", "Bearer k"};
	const struct upstream_server foreign = {.dialect = &openai_upstream,
	    .host = "host",
	    .base_path = "/base",
	    .headers = &key,
	    .n_headers = 1};
	struct inference_request req = {.model = "tiny", .messages = &question, .n_messages = 1};
	struct request_context ctx = {"req_test", 1};

	for (size_t k = 0; k < 2; k++) {
		struct buf body = BUF_INIT(4096);
		struct server v = {.document = k == 0};
		struct http_client *http;
		struct stream *mine;
		struct scope sc;

		req.stream = k > 0;
		if (k == 0)
			buf_printf(&body,
			    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
			    "Content-Length: %zu\r\n\r\n" DOCUMENT,
			    strlen(DOCUMENT));
		else
			buf_printf(&body, HEAD "%zx\r\n%s\r\n0\r\n\r\n",
			    strlen(SAY("Four") STOP DONE), SAY("Four") STOP DONE);
		v.body = buf_cstr(&body);
		OK(stream_pipe("pipe", 4096, &mine, &v.s, NULL));
		scope_open(&sc, duration_s(10));
		OK(fiber_spawn(NULL, "server", serve_twice, &v, NULL));
		OK(http_client_new(mine, &http, NULL));
		for (int i = 0; i < 2; i++) {
			struct heard h = {0};
			struct err err = {0};
			if (upstream_infer(http, &foreign, &req, &ctx, hear, &h, &err) != 0)
				fail_msg("%zu: %s", k, err.text);
			assert_string_equal(h.text, "Four");
			assert_int_equal(h.finished, 1);
			assert_true(http_client_reusable(http));
		}
		http_client_free(http);
		OK(scope_join(&sc));
		scope_close(&sc);
		buf_free(&body);
	}
}

static void serve_once(void *arg)
{
	struct server *v = arg;

	while (!strstr(v->request, v->hold ? "\r\n\r\n" : "base64\"}")) {
		size_t have = strlen(v->request);
		ssize_t n =
		    stream_read(v->s, v->request + have, sizeof v->request - 1 - have, NULL);
		assert_true(n > 0);
	}
	OK(stream_write(v->s, v->body, strlen(v->body), NULL));
	stream_close(v->s);
}

#define JSON(body)                                                                                 \
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" body

static void embeddings(void *arg)
{
	static const struct {
		const char *body;
		int code;
	} cases[] = {
	    {JSON("{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[3,4]}]}"), 0},
	    {JSON("{\"data\":[{\"embedding\":[1,2]}]}"), E_UPSTREAM}, /* fewer than inputs */
	    {JSON("no"), E_UPSTREAM},
	    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", E_NOT_FOUND},
	    {"HTTP/1.1 200 OK\r\n", E_CLOSED},
	};
	struct bytes inputs[] = {bytes_str("a"), bytes_str("b")};
	struct embedding_request req = {.inputs = inputs, .n_inputs = 2};
	struct request_context ctx = {"req_test", 1};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct server v = {.body = cases[i].body};
		struct embedding_result result;
		struct stream *mine;
		struct scope sc;
		void *mem = talloc_new(NULL);

		OK(stream_pipe("pipe", 4096, &mine, &v.s, NULL));
		scope_open(&sc, duration_s(10));
		OK(fiber_spawn(NULL, "server", serve_once, &v, NULL));
		assert_int_equal(upstream_embed_once(mine, &server, &req, &ctx, mem, &result, NULL),
		    cases[i].code);
		if (i == 0)
			assert_true(result.n == 2 && result.dims == 2 && result.values[3] == 4);
		OK(scope_join(&sc));
		scope_close(&sc);
		assert_non_null(strstr(v.request, "POST /v1/embeddings HTTP/1.1\r\n"));
		assert_int_equal(talloc_total_blocks(mem), i == 0 ? 2 : 1);
		talloc_free(mem);
	}
}

static void models(void *arg)
{
	struct server v = {.body = JSON("{\"data\":[{\"id\":\"a/b\"}]}"), .hold = true};
	struct http_client *http;
	struct model_entry *found;
	struct stream *mine;
	struct scope sc;
	size_t n;
	void *mem = talloc_new(NULL);

	OK(stream_pipe("pipe", 4096, &mine, &v.s, NULL));
	scope_open(&sc, duration_s(10));
	OK(fiber_spawn(NULL, "server", serve_once, &v, NULL));
	OK(http_client_new(mine, &http, NULL));
	OK(upstream_models(http, &server, mem, &found, &n, NULL));
	assert_int_equal(n, 1);
	assert_string_equal(found[0].id, "a/b");
	assert_non_null(strstr(v.request, "GET /v1/models HTTP/1.1\r\n"));
	http_client_free(http);
	OK(scope_join(&sc));
	scope_close(&sc);
	talloc_free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(whole), FIBER_TEST(ends), FIBER_TEST(errors),
	    FIBER_TEST(endless_event), FIBER_TEST(kept_connection), FIBER_TEST(embeddings),
	    FIBER_TEST(models), FIBER_TEST(stopping)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
