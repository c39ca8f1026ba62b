/* A chat completion as a client sees it on the wire: whole and streamed, failing early and late,
 * silent, abandoned, out of time. */
#include "http_talk.h"

#include "dialect/openai.h"
#include "provider/serve.h"

struct rig {
	struct scope scope;
	struct world *world;
	struct fake fake;
	struct serve_service service;
	struct stream *client, *server;
	enum http_mode mode;
	int rc; /* of http_serve */
};

static int infer(
    void *arg, struct serve_call *call, inference_emit_fn emit, void *emit_arg, struct err *err)
{
	struct rig *r = arg;

	snprintf(call->served_by, sizeof call->served_by, "abcd");
	snprintf(call->served_by_label, sizeof call->served_by_label, "alpha");
	if (!call->model[0])
		snprintf(call->model, sizeof call->model, "chosen");
	return provider_infer(&r->fake.base, call->req, &call->ctx, emit, emit_arg, err);
}

static int embed(
    void *arg, struct serve_call *call, void *mem, struct embedding_result *out, struct err *err)
{
	struct rig *r = arg;

	snprintf(call->served_by, sizeof call->served_by, "abcd");
	return provider_embed(&r->fake.base, call->embed, &call->ctx, mem, out, err);
}

static int handle(struct http_exchange *x, void *arg, struct err *err)
{
	struct rig *r = arg;
	const char *path = http_head_path(http_request(x));

	if (strcmp(path, "/v1/embeddings") == 0)
		return serve_embeddings(x, &openai_embeddings, &r->service, err);
	return serve_inference(x,
	    strcmp(path, "/v1/completions") == 0 ? &openai_completions : &openai_chat, &r->service,
	    err);
}

static void serve(void *arg)
{
	struct rig *r = arg;
	struct http_service service = {.handle = handle, .mode = r->mode};

	r->rc = http_serve(r->server, &service, r, NULL);
	stream_close(r->server);
}

static void start(struct rig *r, const struct fake_step *script)
{
	*r = (struct rig){.world = host_world};
	fake_init(&r->fake, "tiny", script);
	r->service = (struct serve_service){.world = host_world,
	    .infer = infer,
	    .embed = embed,
	    .arg = r,
	    .limit = duration_s(600)};
	OK(stream_pipe("pipe", 65536, &r->client, &r->server, NULL));
	scope_init(&r->scope, NULL);
	OK(fiber_spawn(&r->scope, "server", serve, r, NULL));
}

static void finish(struct rig *r)
{
	OK(scope_join(&r->scope));
	scope_close(&r->scope);
}

#define QUESTION    "\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"}]"
#define PLAIN       "{\"model\":\"tiny\"," QUESTION "}"
#define STREAMED    "{\"model\":\"tiny\",\"stream\":true," QUESTION "}"
#define WITH_USAGE  "{\"stream\":true,\"stream_options\":{\"include_usage\":true}," QUESTION "}"
#define COMPLETIONS "POST /v1/chat/completions"

static struct reply *to(const char *line, const struct fake_step *script, const char *headers,
    const char *body, struct fake *seen)
{
	static struct reply reply;
	struct rig r;

	start(&r, script);
	talk(r.client, line, headers, body, &reply);
	finish(&r);
	if (seen)
		*seen = r.fake;
	return &reply;
}

static struct reply *one(
    const struct fake_step *script, const char *headers, const char *body, struct fake *seen)
{
	return to(COMPLETIONS, script, headers, body, seen);
}

static const struct fake_step good[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_TEXT, 0, "ur"}, {FAKE_FINISH}};
static const struct fake_step fails_early[] = {{FAKE_FAIL, E_UNAVAILABLE, "the engine is gone"}};
static const struct fake_step fails_late[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_FAIL, E_RESET, "the engine died"}};
static const struct fake_step silent[] = {
    {FAKE_WAIT, 35000}, {FAKE_STARTED}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};
static const struct fake_step begins_then_fails[] = {
    {FAKE_STARTED}, {FAKE_FAIL, E_UNAVAILABLE, "the engine is gone"}};
static const struct fake_step begins_silently[] = {
    {FAKE_STARTED}, {FAKE_WAIT, 15000}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};
static const struct fake_step silent_then_fails[] = {
    {FAKE_WAIT, 15000}, {FAKE_FAIL, E_RESET, "oh"}};
static const struct fake_step empty[] = {{FAKE_STARTED}, {FAKE_FINISH}};
static const struct fake_step endless[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_WAIT, 3600000}};
static const struct fake_step hangs[] = {{FAKE_WAIT, 3600000}};

static void plain(void *arg)
{
	struct fake seen;
	struct reply *r = one(good, "", PLAIN, &seen);

	assert_int_equal(r->status, 200);
	has(r, "\"object\":\"chat.completion\"");
	has(r, "\"content\":\"Four\"");
	has(r, "\"finish_reason\":\"stop\"");
	has(r, "\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7");
	has(r, "\"model\":\"tiny\"");
	has(r, "x-served-by: abcd\r\n");
	has(r, "x-served-by-label: alpha\r\n");
	has(r, "x-request-id: req_");
	assert_string_equal(seen.prompt, "2+2?");
	assert_int_equal(strlen(seen.ctx.request_id), 28);
	r = one(empty, "", PLAIN, NULL);
	assert_int_equal(r->status, 200);
	has(r, "\"content\":\"\"");
}

/* The order that clients rely on: role, text, finish, [DONE]; usage only when asked for. */
static void streamed(void *arg)
{
	static const char *const order[] = {"text/event-stream", "\"role\":\"assistant\"",
	    "\"content\":\"Fo\"", "\"content\":\"ur\"", "\"finish_reason\":\"stop\"",
	    "data: [DONE]\n\n", "\r\n0\r\n\r\n"};
	struct reply *r = one(good, "", STREAMED, NULL);
	const char *at = r->all;

	assert_int_equal(r->status, 200);
	has(r, "x-served-by: abcd\r\n");
	has(r, "cache-control: no-cache\r\n");
	has_not(r, "\"usage\":{");
	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		at = strstr(at, order[i]);
		if (!at)
			fail_msg("no %s in its place:\n%s", order[i], r->all);
	}
	r = one(good, "", WITH_USAGE, NULL);
	has(r, "\"prompt_tokens\":5");
	has(r, "\"model\":\"chosen\""); /* the model left open is filled in */
	r = one(empty, "", STREAMED, NULL);
	has(r, "\"role\":\"assistant\"");
	has(r, "data: [DONE]\n\n");
}

/* Before the first event: the true status, no stream. */
static void early_failure(void *arg)
{
	static const char *const bodies[] = {PLAIN, STREAMED};

	for (size_t i = 0; i < 2; i++) {
		struct reply *r = one(fails_early, "x-request-id: mine-1\r\n", bodies[i], NULL);
		assert_int_equal(r->status, 503);
		has(r, "application/json");
		has(r, "\"error\":{\"message\":\"the engine is gone\",\"type\":\"server_error\"");
		has(r, "\"code\":\"unavailable\"");
		has(r, "x-request-id: mine-1\r\n");
		has_not(r, "x-served-by");
		has_not(r, "data:");
	}
	/* That it had begun changes nothing, as long as nothing of the answer is there. */
	assert_int_equal(one(begins_then_fails, "", STREAMED, NULL)->status, 503);
	static const struct fake_step busy[] = {{FAKE_FAIL, E_BUSY}};
	struct reply *r = one(busy, "", PLAIN, NULL);
	assert_int_equal(r->status, 429);
	has(r, "retry-after: 1\r\n");
}

/* After it: an error event, no [DONE], no invented end, and a connection that ends in order. */
static void late_failure(void *arg)
{
	struct reply *r = one(fails_late, "", STREAMED, NULL);

	assert_int_equal(r->status, 200);
	has(r, "\"content\":\"Fo\"");
	has(r, "data: {\"error\":{\"message\":\"the engine died\"");
	has_not(r, "[DONE]");
	has_not(r, "\"finish_reason\":\"");
	has(r, "\r\n0\r\n\r\n");
	r = one(fails_late, "", PLAIN, NULL);
	assert_int_equal(r->status, 502);
	has_not(r, "Fo\"");
}

/* Silence: comments from the tenth second on, so that proxies and clients keep waiting. */
static void pulse(void *arg)
{
	struct rig r;
	struct reply reply = {0};
	struct buf out = BUF_INIT(4096);

	start(&r, silent);
	struct instant began = rt_now();
	request_put(&out, COMPLETIONS, "", STREAMED);
	OK(stream_write(r.client, out.p, out.n, NULL));
	assert_true(reply_read(r.client, &reply, ": keep-alive"));
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 9000, 11000);
	assert_int_equal(reply.status, 200);
	has_not(&reply, "data:");
	assert_false(reply_read(r.client, &reply, NULL));
	has(&reply, "\"content\":\"Four\"");
	has(&reply, "[DONE]");
	unsigned pulses = 0;
	for (const char *p = reply.all; (p = strstr(p, ": keep-alive")); p++)
		pulses++;
	assert_in_range(pulses, 3, 3);
	stream_close(r.client);
	finish(&r);
	/* What came without any text counts as silence. */
	struct rig b;
	static struct reply begun;
	start(&b, begins_silently);
	began = rt_now();
	buf_reset(&out);
	request_put(&out, COMPLETIONS, "", STREAMED);
	OK(stream_write(b.client, out.p, out.n, NULL));
	assert_true(reply_read(b.client, &begun, ": keep-alive"));
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 9000, 11000);
	has(&begun, "\"role\":\"assistant\"");
	assert_false(reply_read(b.client, &begun, NULL));
	has(&begun, "[DONE]");
	stream_close(b.client);
	finish(&b);
	/* After a pulse the status is spent: a failure is an event. */
	struct reply *late = one(silent_then_fails, "", STREAMED, NULL);
	assert_int_equal(late->status, 200);
	has(late, "data: {\"error\":");
	/* Not streamed, the status waits. */
	late = one(silent_then_fails, "", PLAIN, NULL);
	assert_int_equal(late->status, 502);
	buf_free(&out);
}

/* A client that hangs up stops the work, streamed or not, begun or not. */
static void hang_up(void *arg)
{
	static const struct {
		const struct fake_step *script;
		const char *body;
	} cases[] = {{endless, STREAMED}, {endless, PLAIN}, {hangs, STREAMED}, {hangs, PLAIN}};

	for (size_t i = 0; i < 4; i++) {
		struct rig r;
		struct buf out = BUF_INIT(4096);
		start(&r, cases[i].script);
		request_put(&out, COMPLETIONS, "", cases[i].body);
		OK(stream_write(r.client, out.p, out.n, NULL));
		OK(fiber_sleep(duration_s(2)));
		assert_int_equal(r.fake.running, 1);
		stream_close(r.client);
		OK(fiber_sleep(duration_ms(100)));
		assert_int_equal(r.fake.running, 0);
		assert_int_equal(r.fake.cancelled, 1);
		finish(&r);
		buf_free(&out);
	}
}

static void deadlines(void *arg)
{
	struct fake seen;
	struct instant began = rt_now();
	struct reply *r = one(hangs, "x-gate-deadline-ms: 1500\r\n", PLAIN, &seen);

	assert_int_equal(r->status, 504);
	has(r, "\"code\":\"timeout\"");
	assert_in_range(duration_to_ms(instant_since(rt_now(), began)), 1500, 1700);
	r = one(endless, "x-gate-deadline-ms: 1500\r\n", STREAMED, NULL);
	assert_int_equal(r->status, 200);
	has(r, "data: {\"error\":");
	has_not(r, "[DONE]");
	/* A longer one does not stretch the node's own. */
	static const char *const headers[] = {"x-gate-deadline-ms: 99999999999\r\n", ""};
	for (size_t i = 0; i < 2; i++) {
		r = one(good, headers[i], PLAIN, &seen);
		assert_int_equal(r->status, 200);
		assert_int_equal(duration_to_ms(seen.left), 600000);
	}
	r = one(hangs, "x-gate-deadline-ms: 0\r\n", PLAIN, &seen);
	assert_int_equal(r->status, 504);
}

/* What travels along: the request's id when it is harmless, and the hops. */
static void context(void *arg)
{
	struct fake seen;
	struct reply *r =
	    one(good, "x-request-id: req_abc-1.2:3\r\nx-gate-hops: 2\r\n", PLAIN, &seen);

	has(r, "x-request-id: req_abc-1.2:3\r\n");
	assert_string_equal(seen.ctx.request_id, "req_abc-1.2:3");
	assert_int_equal(seen.ctx.hops, 2);
	static const char *const bad[] = {"x-request-id: a b\r\n", "x-request-id: \"x\"\r\n",
	    "x-request-id: 0123456789012345678901234567890123456789012345678901234567890123\r\n"};
	for (size_t i = 0; i < 3; i++) {
		r = one(good, bad[i], PLAIN, &seen);
		assert_int_equal(strncmp(seen.ctx.request_id, "req_", 4), 0);
	}
	r = one(good, "x-gate-hops: 99999\r\n", PLAIN, &seen);
	assert_int_equal(seen.ctx.hops, HOPS_MAX + 1);
	r = one(good, "x-gate-hops: many\r\n", PLAIN, &seen); /* it could go in circles */
	assert_int_equal(r->status, 400);
	has(r, "x-gate-hops");
}

static void bad_requests(void *arg)
{
	static const struct {
		const char *body, *expected;
	} cases[] = {
	    {"", "\"invalid_json\""},
	    {"{", "\"invalid_json\""},
	    {"[]", "\"error\":"},
	    {"{}", "\"param\":\"messages\""},
	    {"{\"messages\":[]}", "\"param\":\"messages\""},
	    {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0]"},
	    {"{\"temperature\":\"hot\"," QUESTION "}", "\"param\":\"temperature\""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fake seen;
		struct reply *r = one(good, "", cases[i].body, &seen);
		if (r->status != 400)
			fail_msg("%s: %s", cases[i].body, r->all);
		has(r, cases[i].expected);
		has(r, "\"type\":\"invalid_request_error\"");
		has(r, "x-request-id: req_");
		assert_int_equal(seen.calls, 0);
	}
	/* Announced too large: refused before a byte of it is read. */
	struct rig r;
	struct reply reply = {0};
	start(&r, good);
	const char *head = COMPLETIONS " HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n";
	OK(stream_write(r.client, head, strlen(head), NULL));
	reply_read(r.client, &reply, "\r\n\r\n");
	assert_int_equal(reply.status, 413);
	stream_close(r.client);
	OK(scope_join(&r.scope));
	scope_close(&r.scope);
}

/* A failed request leaves the connection good for the next one. */
static void keep_alive(void *arg)
{
	struct rig r;
	struct reply reply = {0};
	struct buf out = BUF_INIT(8192);

	start(&r, good);
	for (int i = 0; i < 3; i++)
		buf_printf(&out,
		    COMPLETIONS " HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n%s",
		    i == 2 ? "Connection: close\r\n" : "", strlen(i == 1 ? PLAIN : "{}"),
		    i == 1 ? PLAIN : "{}");
	OK(stream_write(r.client, out.p, out.n, NULL));
	reply_read(r.client, &reply, NULL);
	assert_int_equal(reply.status, 400);
	has(&reply, "\"content\":\"Four\"");
	unsigned answers = 0;
	for (const char *p = reply.all; (p = strstr(p, "HTTP/1.1 ")); p++)
		answers++;
	assert_int_equal(answers, 3);
	stream_close(r.client);
	finish(&r);
	buf_free(&out);
}

/* Any dialect is served the same way. */
static void other_dialect(void *arg)
{
	struct reply *r = to("POST /v1/completions", good, "", "{\"prompt\":\"2+2?\"}", NULL);

	assert_int_equal(r->status, 200);
	has(r, "\"object\":\"text_completion\"");
	has(r, "\"text\":\"Four\"");
	r = to("POST /v1/completions", good, "", "{\"prompt\":\"2+2?\",\"stream\":true}", NULL);
	has(r, "\"text\":\"Fo\"");
	has(r, "data: [DONE]\n\n");
	r = to("POST /v1/completions", good, "", "{\"prompt\":[1]}", NULL);
	assert_int_equal(r->status, 400);
	has(r, "\"param\":\"prompt\"");
}

static void embeddings(void *arg)
{
#define EMBED "POST /v1/embeddings"
	struct fake seen;
	struct reply *r = to(EMBED, good, "x-request-id: mine-2\r\n",
	    "{\"model\":\"tiny\",\"input\":[\"abc\",\"\"]}", &seen);

	assert_int_equal(r->status, 200);
	has(r, "\"index\":0,\"embedding\":[3,0.5]}");
	has(r, "\"index\":1,\"embedding\":[0,0.5]}");
	has(r, "\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":4");
	has(r, "x-served-by: abcd\r\n");
	has(r, "x-request-id: mine-2\r\n");
	assert_string_equal(seen.asked_model, "tiny");
	r = to(EMBED, good, "", "{\"input\":[1]}", &seen);
	assert_int_equal(r->status, 400);
	has(r, "\"param\":\"input\"");
	assert_int_equal(seen.calls, 0);
	r = to(EMBED, fails_early, "", "{\"input\":\"a\"}", NULL);
	assert_int_equal(r->status, 503);
	has(r, "\"code\":\"unavailable\"");
	r = to(EMBED, hangs, "x-gate-deadline-ms: 500\r\n", "{\"input\":\"a\"}", NULL);
	assert_int_equal(r->status, 504);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(plain), FIBER_TEST(streamed),
	    FIBER_TEST(early_failure), FIBER_TEST(late_failure), FIBER_TEST(pulse),
	    FIBER_TEST(hang_up), FIBER_TEST(deadlines), FIBER_TEST(context),
	    FIBER_TEST(bad_requests), FIBER_TEST(other_dialect), FIBER_TEST(embeddings),
	    FIBER_TEST(keep_alive)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
