/* The surfaces of the other dialects over TCP, in a simulated universe: answers, streams and errors
 * each in their own form, and what the gateway itself adds to them. */
#include "http_talk.h"
#include "site.h"

static const struct fake_step good[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_TEXT, 0, "ur \xe2\x82\xac"}, {FAKE_FINISH}};
static const struct fake_step dies[] = {
    {FAKE_STARTED}, {FAKE_TEXT, 0, "Fo"}, {FAKE_FAIL, E_UPSTREAM, "gone"}};
static const struct fake_step late[] = {
    {FAKE_STARTED}, {FAKE_WAIT, 25000}, {FAKE_TEXT, 0, "Four"}, {FAKE_FINISH}};

static struct reply *ask(
    struct net *n, struct site *t, const char *line, const char *headers, const char *body)
{
	static struct reply r;
	struct stream *s;

	OK(world_tcp_dial(universe_host(n->u, "client"), &t->http, &s, NULL));
	talk(s, line, headers, body, &r);
	return &r;
}

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"}]"
#define CLAUDE   "{\"model\":\"tiny\",\"max_tokens\":9," MESSAGES
#define LLAMA    "{\"model\":\"tiny:latest\"," MESSAGES

/* ---- Anthropic ------------------------------------------------------------------------------ */

static void anthropic(struct net *n)
{
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	r = ask(n, &a, "POST /v1/messages?beta=true", "X-Request-Id: abc\r\n", CLAUDE "}");
	assert_int_equal(r->status, 200);
	has(r, "\"content\":[{\"type\":\"text\",\"text\":\"Four \xe2\x82\xac\"}]");
	has(r, "\"stop_reason\":\"end_turn\"");
	has(r, "\"input_tokens\":5");
	has(r, "request-id: abc\r\n");
	has(r, "x-served-by-label: alpha\r\n");
	r = ask(n, &a, "POST /v1/messages", "", CLAUDE ",\"stream\":true}");
	assert_int_equal(r->status, 200);
	has(r, "Content-Type: text/event-stream");
	has(r, "event: message_start\n");
	has(r, "\"text\":\"ur \xe2\x82\xac\"");
	has(r, "event: message_stop\n");
	r = ask(n, &a, "POST /v1/messages/count_tokens", "", "{\"model\":\"tiny\"," MESSAGES "}");
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "{\"input_tokens\":5}");
	site_down(&a);
}

static void anthropic_errors(struct net *n)
{
	static const struct {
		const char *line, *body;
		int status;
		const char *expected;
	} cases[] = {
	    {"POST /v1/messages", "{", 400, "\"type\":\"invalid_request_error\""},
	    {"POST /v1/messages", "{\"model\":\"tiny\"," MESSAGES "}", 400,
		"max_tokens: is required"},
	    {"POST /v1/messages", "{\"model\":\"big\",\"max_tokens\":9," MESSAGES "}", 404,
		"\"type\":\"not_found_error\""},
	    {"GET /v1/messages", NULL, 405, "\"type\":\"invalid_request_error\""},
	    {"POST /v1/messages/batches", "{}", 404, "\"type\":\"not_found_error\""},
	    {"POST /v1/messages/count_tokens", "{}", 400, "messages: is required"},
	};
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		r = ask(n, &a, cases[i].line, "", cases[i].body);
		if (r->status != cases[i].status)
			fail_msg("%s: %s", cases[i].line, r->all);
		has(r, "{\"type\":\"error\",\"error\":{");
		has(r, cases[i].expected);
	}
	a.fake.script = dies;
	r = ask(n, &a, "POST /v1/messages", "", CLAUDE ",\"stream\":true}");
	assert_int_equal(r->status, 200);
	has(r, "event: error\n");
	has(r, "\"type\":\"api_error\"");
	has_not(r, "message_stop");
	a.fake.script = late;
	r = ask(n, &a, "POST /v1/messages", "", CLAUDE ",\"stream\":true}");
	has(r, "event: ping\n");
	has(r, "event: message_stop\n");
	site_down(&a);
}

/* ---- Ollama --------------------------------------------------------------------------------- */

static void ollama(struct net *n)
{
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	r = ask(n, &a, "GET /", "", NULL);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "Ollama is running");
	r = ask(n, &a, "HEAD /", "", NULL);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "");
	r = ask(n, &a, "POST /api/chat", "", LLAMA "}");
	assert_int_equal(r->status, 200);
	has(r, "Content-Type: application/x-ndjson");
	has(r, "\"content\":\"Fo\"},\"done\":false}\n");
	has(r, "\"done\":true,\"done_reason\":\"stop\"");
	assert_string_equal(a.fake.asked_model, "tiny");
	r = ask(n, &a, "POST /api/chat", "", LLAMA ",\"stream\":false}");
	has(r, "Content-Type: application/json");
	has(r, "\"content\":\"Four \xe2\x82\xac\"},\"done\":true");
	has(r, "\"prompt_eval_count\":5");
	r = ask(n, &a, "POST /api/generate", "",
	    "{\"model\":\"tiny\",\"prompt\":\"2+2?\",\"stream\":false}");
	has(r, "\"response\":\"Four \xe2\x82\xac\"");
	assert_string_equal(a.fake.prompt, "2+2?");
	r = ask(
	    n, &a, "POST /api/embed", "", "{\"model\":\"tiny:latest\",\"input\":[\"abc\",\"a\"]}");
	assert_int_equal(r->status, 200);
	has(r, "\"model\":\"tiny\",\"embeddings\":[[3,0.5],[1,0.5]]");
	has(r, "\"prompt_eval_count\":4");
	r = ask(n, &a, "POST /api/embeddings", "", "{\"model\":\"tiny\",\"prompt\":\"abc\"}");
	assert_string_equal(r->body, "{\"embedding\":[3,0.5]}");
	r = ask(n, &a, "GET /api/tags", "", NULL);
	has(r, "\"name\":\"tiny:latest\"");
	r = ask(n, &a, "GET /api/ps", "", NULL);
	has(r, "\"model\":\"tiny:latest\"");
	r = ask(n, &a, "GET /api/version", "", NULL);
	has(r, "{\"version\":\"");
	r = ask(n, &a, "POST /api/show", "", "{\"model\":\"tiny:latest\"}");
	assert_int_equal(r->status, 200);
	has(r, "\"capabilities\":[");
	site_down(&a);
}

/* A model listed with the tag is found without it, and the other way round. */
static void ollama_names(struct net *n)
{
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tagged:latest", good, NULL);
	r = ask(n, &a, "POST /api/generate", "", "{\"model\":\"tagged\",\"prompt\":\"x\"}");
	assert_int_equal(r->status, 200);
	assert_string_equal(a.fake.asked_model, "tagged:latest");
	r = ask(n, &a, "POST /api/show", "", "{\"model\":\"tagged\"}");
	assert_int_equal(r->status, 200);
	site_down(&a);
}

/* Loading asks no provider, and only for models that there are. */
static void ollama_load(struct net *n)
{
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	r = ask(n, &a, "POST /api/generate", "", "{\"model\":\"tiny:latest\"}");
	assert_int_equal(r->status, 200);
	has(r, "\"done\":true,\"done_reason\":\"load\"");
	r = ask(n, &a, "POST /api/chat", "",
	    "{\"model\":\"tiny\",\"messages\":[],\"keep_alive\":0,\"stream\":false}");
	has(r, "\"done_reason\":\"unload\"");
	r = ask(n, &a, "POST /api/chat", "", "{\"model\":\"big\"}");
	assert_int_equal(r->status, 404);
	has(r, "{\"error\":\"model \\\"big\\\" not found\"}");
	assert_int_equal(a.fake.calls, 0);
	site_down(&a);
}

static void ollama_errors(struct net *n)
{
	static const struct {
		const char *line, *body;
		int status;
	} cases[] = {
	    {"POST /api/chat", "{", 400},
	    {"POST /api/chat", "{\"model\":\"big\"," MESSAGES "}", 404},
	    {"POST /api/show", "{\"model\":\"big\"}", 404},
	    {"POST /api/embed", "{\"model\":\"big\",\"input\":\"x\"}", 404},
	    {"POST /api/embed", "{\"model\":\"tiny\"}", 400},
	    {"POST /api/show", "{}", 400},
	    {"GET /api/chat", NULL, 405},
	    {"POST /api/pull", "{}", 404},
	};
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		r = ask(n, &a, cases[i].line, "", cases[i].body);
		if (r->status != cases[i].status)
			fail_msg("%s: %s", cases[i].line, r->all);
		assert_int_equal(strncmp(r->body, "{\"error\":\"", 10), 0);
	}
	a.fake.script = dies;
	r = ask(n, &a, "POST /api/chat", "", LLAMA "}");
	has(r, "\"content\":\"Fo\"");
	has(r, "{\"error\":\"");
	has_not(r, "\"done\":true");
	site_down(&a);
}

/* ---- Responses ------------------------------------------------------------------------------ */

static void responses(struct net *n)
{
	struct site a;
	struct reply *r;

	site_up(n, &a, "alpha", "tiny", good, NULL);
	r = ask(n, &a, "POST /v1/responses", "", "{\"model\":\"tiny\",\"input\":\"2+2?\"}");
	assert_int_equal(r->status, 200);
	has(r, "\"type\":\"output_text\",\"text\":\"Four \xe2\x82\xac\"");
	has(r, "\"total_tokens\":7");
	r = ask(n, &a, "POST /v1/responses", "",
	    "{\"model\":\"tiny\",\"input\":\"2+2?\",\"stream\":true}");
	has(r, "event: response.created\n");
	has(r, "event: response.completed\n");
	r = ask(n, &a, "POST /v1/responses", "",
	    "{\"model\":\"tiny\",\"input\":\"x\",\"previous_response_id\":\"resp_1\"}");
	assert_int_equal(r->status, 400);
	has(r, "\"param\":\"previous_response_id\",\"code\":\"unsupported\"");
	a.fake.script = dies;
	r = ask(n, &a, "POST /v1/responses", "",
	    "{\"model\":\"tiny\",\"input\":\"2+2?\",\"stream\":true}");
	has(r, "event: response.failed\n");
	has_not(r, "response.completed");
	site_down(&a);
}

static void in_net(void **state)
{
	void (*const *story)(struct net *) = *state;

	net_run(1, duration_ms(10), *story);
}

#define STORY(fn)                                                                                  \
	{                                                                                          \
#fn, in_net, NULL, NULL, &(void (*[1])(struct net *))                              \
		{                                                                                  \
			fn                                                                         \
		}                                                                                  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {STORY(anthropic), STORY(anthropic_errors), STORY(ollama),
	    STORY(ollama_names), STORY(ollama_load), STORY(ollama_errors), STORY(responses)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
