/* Answers, chunks, errors and model lists: the exact bytes that clients see, and reading them. */
#include "dialect/json.h"
#include "dialect/openai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#include <cmocka.h>

static void check_text(struct buf *out, const char *expected)
{
	json_t *v;

	assert_string_equal(buf_cstr(out), expected);
	assert_int_equal(json_read(buf_view(out), &v, NULL), 0);
	json_decref(v);
	buf_reset(out);
}

#define HEAD(object)                                                                               \
	"{\"id\":\"chatcmpl-000102030405060708090aff\",\"object\":\"" object                       \
	"\",\"created\":1700000000,\"model\":\"m\\\"1\""
#define WHOLE         HEAD("chat.completion") ",\"choices\":[{\"index\":0,\"message\":"
#define CHUNK(choice) "data: " HEAD("chat.completion.chunk") ",\"choices\":[" choice "]}\n\n"
#define DELTA(i, d)   "{\"index\":" i ",\"delta\":{" d "},\"logprobs\":null,\"finish_reason\":null}"
#define ROLE(i)       CHUNK(DELTA(i, "\"role\":\"assistant\",\"content\":\"\""))
#define END(i, reason)                                                                             \
	"{\"index\":" i ",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"" reason "\"}"

static const struct inference_usage usage = {3, 2, -1, -1};

/* An answer of some events, as a client sees it. */
struct telling {
	void *mem;
	struct inference_request req;
	struct dialect_answer answer;
	struct dialect_writer *writer;
	struct inference_result *result;
	struct buf out;
};

static void tell_begin(struct telling *t)
{
	static const uint8_t random[DIALECT_ID_RANDOM] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255};

	t->mem = talloc_new(NULL);
	t->out = BUF_INIT(1 << 16);
	t->answer =
	    (struct dialect_answer){.model = "m\"1", .created_s = 1700000000, .req = &t->req};
	memcpy(t->answer.random, random, sizeof(random));
	t->result = inference_result_new(t->mem, t->req.choices, 1 << 16);
	assert_int_equal(dialect_writer_new(t->mem, &openai_chat, &t->answer, &t->writer, NULL), 0);
}

static void tell(struct telling *t, const struct inference_event *e)
{
	struct err err;

	openai_chat.event(t->writer, e, &t->out);
	if (inference_collect(t->result, e, &err) != 0)
		fail_msg("%s", err.text);
}

static void tell_text(struct telling *t, enum inference_event_kind kind, const char *text)
{
	tell(t, &(struct inference_event){.kind = kind, .text = bytes_str(text)});
}

static void tell_end(struct telling *t, unsigned choice, enum inference_finish finish)
{
	tell(t, &(struct inference_event){
		    .kind = INFERENCE_CHOICE_END, .choice = choice, .finish = finish});
}

static void tell_finished(struct telling *t, struct inference_usage u)
{
	tell(t, &(struct inference_event){.kind = INFERENCE_FINISHED, .usage = u});
}

static void told(struct telling *t, const char *stream, const char *whole)
{
	assert_string_equal(buf_cstr(&t->out), stream);
	buf_reset(&t->out);
	openai_chat.whole(t->writer, t->result, &t->out);
	check_text(&t->out, whole);
	buf_free(&t->out);
	talloc_free(t->mem);
}

static void test_text(void **state)
{
	struct telling t = {.req = {.choices = 1}};

	tell_begin(&t);
	tell(&t, &(struct inference_event){.kind = INFERENCE_STARTED});
	tell_text(&t, INFERENCE_TEXT, "h\xc3\xa9");
	tell_text(&t, INFERENCE_TEXT, "\n");
	tell_end(&t, 0, FINISH_STOP);
	tell_finished(&t, usage);
	told(&t,
	    ROLE("0") CHUNK(DELTA("0", "\"content\":\"h\xc3\xa9\""))
		CHUNK(DELTA("0", "\"content\":\"\\n\"")) CHUNK(END("0", "stop")) "data: [DONE]\n\n",
	    WHOLE "{\"role\":\"assistant\",\"content\":\"h\xc3\xa9\\n\",\"refusal\":null},"
		  "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
		  "\"completion_tokens\":2,\"total_tokens\":5}}");
}

/* Two choices, thoughts, usage in detail, a notice that is no part of the answer. */
static void test_more(void **state)
{
	struct telling t = {.req = {.choices = 2, .include_usage = true}};

	tell_begin(&t);
	tell(&t, &(struct inference_event){.kind = INFERENCE_STARTED});
	tell_text(&t, INFERENCE_REASONING, "hm");
	tell_text(&t, INFERENCE_NOTICE, "on\nward");
	tell(&t,
	    &(struct inference_event){.kind = INFERENCE_TEXT, .choice = 1, .text = bytes_str("b")});
	tell_end(&t, 1, FINISH_LENGTH);
	tell_end(&t, 0, FINISH_CONTENT_FILTER);
	tell_finished(&t, (struct inference_usage){3, 2, 1, 0});
	told(&t,
	    ROLE("0") ROLE("1") CHUNK(
		DELTA("0", "\"reasoning_content\":\"hm\"")) ": on ward\n\n" CHUNK(DELTA("1",
		"\"content\":\"b\"")) CHUNK(END("1", "length"))
		CHUNK(END("0", "content_filter")) "data: " HEAD(
		    "chat.completion.chunk") ",\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
					     "\"completion_tokens\":2,\"total_tokens\":5,"
					     "\"prompt_tokens_details\":{\"cached_tokens\":1},"
					     "\"completion_tokens_details\":{\"reasoning_tokens\":"
					     "0}}}\n\ndata: [DONE]\n\n",
	    WHOLE "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null,\"reasoning_content\":"
		  "\"hm\"},\"logprobs\":null,\"finish_reason\":\"content_filter\"},{\"index\":1,"
		  "\"message\":{\"role\":\"assistant\",\"content\":\"b\",\"refusal\":null},"
		  "\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,"
		  "\"completion_tokens\":2,\"total_tokens\":5,\"prompt_tokens_details\":{"
		  "\"cached_tokens\":1},\"completion_tokens_details\":{\"reasoning_tokens\":0}}}");
}

static void tell_call(
    struct telling *t, unsigned index, const char *id, const char *name, const char *text)
{
	tell(t, &(struct inference_event){.kind = INFERENCE_TOOL_CALL,
		    .tool_index = index,
		    .tool_id = id,
		    .tool_name = name,
		    .text = bytes_str(text)});
}

static void test_calls(void **state)
{
	struct telling t = {.req = {.choices = 1}},
		       old = {.req = {.choices = 1, .function_call = true}};

	tell_begin(&t);
	tell(&t, &(struct inference_event){.kind = INFERENCE_STARTED});
	tell_call(&t, 0, "c1", "f", "");
	tell_call(&t, 0, NULL, NULL, "{\"a\":");
	tell_call(&t, 1, "c2", "g", "{}");
	tell_call(&t, 0, NULL, NULL, "1}");
	tell_end(&t, 0, FINISH_TOOL_CALLS);
	tell_finished(&t, INFERENCE_USAGE_UNKNOWN);
#define CALL(d) CHUNK(DELTA("0", "\"tool_calls\":[{" d "}]"))
	told(&t,
	    ROLE("0") CALL("\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":"
			   "\"f\",\"arguments\":\"\"}")
		CALL("\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}")
		    CALL("\"index\":1,\"id\":\"c2\",\"type\":\"function\",\"function\":{"
			 "\"name\":\"g\",\"arguments\":\"{}\"}")
			CALL("\"index\":0,\"function\":{\"arguments\":\"1}\"}")
			    CHUNK(END("0", "tool_calls")) "data: [DONE]\n\n",
	    WHOLE
	    "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":"
	    "\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
	    "\"{\\\"a\\\":1}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":"
	    "\"g\",\"arguments\":\"{}\"}}]},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]"
	    "}");

	tell_begin(&old);
	tell(&old, &(struct inference_event){.kind = INFERENCE_STARTED});
	tell_call(&old, 0, "c1", "f", "{");
	tell_call(&old, 0, NULL, NULL, "}");
	tell_end(&old, 0, FINISH_TOOL_CALLS);
	tell_finished(&old, INFERENCE_USAGE_UNKNOWN);
	told(&old,
	    ROLE("0") CHUNK(DELTA("0", "\"function_call\":{\"name\":\"f\",\"arguments\":\"{\"}"))
		CHUNK(DELTA("0", "\"function_call\":{\"arguments\":\"}\"}"))
		    CHUNK(END("0", "function_call")) "data: [DONE]\n\n",
	    WHOLE "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"function_call\":{"
		  "\"name\":\"f\",\"arguments\":\"{}\"}},\"logprobs\":null,\"finish_reason\":"
		  "\"function_call\"}]}");
}

static void test_details(void **state)
{
	static const struct inference_logprob top = {{(const uint8_t *)"\"", 1}, -1e30, NULL, 0};
	static const struct inference_logprob p = {{(const uint8_t *)"\xc3", 1}, -0.5, &top, 1};
	static const int32_t tokens[] = {7, 0};
	struct telling t = {.req = {.choices = 1, .want_tokens = true}};

	tell_begin(&t);
	tell(&t, &(struct inference_event){.kind = INFERENCE_TEXT,
		     .logprobs = &p,
		     .n_logprobs = 1,
		     .tokens = tokens,
		     .n_tokens = 2});
	tell(&t, &(struct inference_event){.kind = INFERENCE_CHOICE_END,
		     .finish = FINISH_STOP,
		     .stop = bytes_str("\n"),
		     .tokens = tokens,
		     .n_tokens = 1});
	tell_finished(&t, INFERENCE_USAGE_UNKNOWN);
#define PROBS                                                                                      \
	"\"logprobs\":{\"content\":[{\"token\":\"\xef\xbf\xbd\",\"logprob\":-0.5,\"bytes\":[195]," \
	"\"top_logprobs\":[{\"token\":\"\\\"\",\"logprob\":-9999,\"bytes\":[34]}]}],\"refusal\":"  \
	"null}"
	told(&t,
	    ROLE("0") CHUNK("{\"index\":0,\"delta\":{\"content\":\"\"}," PROBS
			    ",\"token_ids\":[7,0],\"finish_reason\":null}")
		CHUNK(
		    "{\"index\":0,\"delta\":{},\"logprobs\":null,\"token_ids\":[7],\"stop_reason\":"
		    "\"\\n\",\"finish_reason\":\"stop\"}") "data: [DONE]\n\n",
	    WHOLE "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}," PROBS
		  ",\"token_ids\":[7,0,7],\"stop_reason\":\"\\n\",\"finish_reason\":\"stop\"}]}");
}

static void test_side(void **state)
{
	struct telling t = {.req = {.choices = 1}};
	struct err err;

	tell_begin(&t);
	openai_chat.pulse(t.writer, &t.out);
	assert_string_equal(buf_cstr(&t.out), ": keep-alive\n\n");
	buf_reset(&t.out);
	err_set(&err, E_RESET, "gone");
	openai_chat.failure(t.writer, &err, &t.out);
	assert_string_equal(buf_cstr(&t.out),
	    "data: {\"error\":{\"message\":\"gone\",\"type\":\"server_error\",\"param\":null,"
	    "\"code\":\"connection_reset\"}}\n\n");
	buf_free(&t.out);
	talloc_free(t.mem);
}

/* What is too much, or fits no answer, is an error of the one who tells it. */
static void test_collect(void **state)
{
	static const struct inference_event bad[] = {
	    {.kind = INFERENCE_TEXT, .choice = 2},
	    {.kind = INFERENCE_TOOL_CALL, .tool_index = 0},
	    {.kind = INFERENCE_TOOL_CALL, .tool_index = 1, .tool_id = "", .tool_name = ""},
	};
	static const struct inference_event end = {.kind = INFERENCE_CHOICE_END};
	struct inference_event e = {.kind = INFERENCE_TEXT, .text = bytes_str("123456")};
	struct inference_result *r = inference_result_new(NULL, 2, 10);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(inference_collect(r, &bad[i], NULL), E_UPSTREAM);
	assert_int_equal(inference_collect(r, &end, NULL), 0);
	assert_int_equal(inference_collect(r, &end, NULL), E_UPSTREAM);
	assert_int_equal(inference_collect(r, &e, NULL), 0);
	e.choice = 1; /* the limit is of all choices together */
	assert_int_equal(inference_collect(r, &e, NULL), E_TOO_LARGE);
	e.text.n = 4;
	e.kind = INFERENCE_REASONING;
	assert_int_equal(inference_collect(r, &e, NULL), 0);
	assert_false(r->finished);
	talloc_free(r);
}

/* ---- reading ------------------------------------------------------------------------------- */

struct heard {
	char log[4096];
	size_t n;
};

static void note(struct heard *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct heard *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	h->n += (size_t)vsnprintf(h->log + h->n, sizeof(h->log) - h->n, fmt, ap);
	va_end(ap);
}

/* Events as short words: "<", "t0:text", "r0:thoughts", "c0.1:id=name(arguments", "e0:stop", ">".
 */
static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct heard *h = arg;

	(void)err;
	if (e->kind == INFERENCE_STARTED)
		note(h, "<");
	if (e->kind == INFERENCE_TEXT || e->kind == INFERENCE_REASONING)
		note(h, " %c%u:%.*s", e->kind == INFERENCE_TEXT ? 't' : 'r', e->choice,
		    (int)e->text.n, (const char *)e->text.p);
	if (e->kind == INFERENCE_TOOL_CALL && e->tool_id)
		note(h, " c%u.%u:%s=%s(%.*s", e->choice, e->tool_index, e->tool_id, e->tool_name,
		    (int)e->text.n, (const char *)e->text.p);
	else if (e->kind == INFERENCE_TOOL_CALL)
		note(h, " c%u.%u(%.*s", e->choice, e->tool_index, (int)e->text.n,
		    (const char *)e->text.p);
	for (size_t i = 0; i < e->n_logprobs; i++)
		note(h, " p%zu/%zu:%g", e->logprobs[i].token.n, e->logprobs[i].n_top,
		    e->logprobs[i].logprob);
	for (size_t i = 0; i < e->n_tokens; i++)
		note(h, " #%d", (int)e->tokens[i]);
	if (e->kind == INFERENCE_CHOICE_END)
		note(h, " e%u:%s%.*s", e->choice, openai_finish_name(e->finish), (int)e->stop.n,
		    (const char *)e->stop.p);
	if (e->kind == INFERENCE_FINISHED)
		note(h, " >%d,%d,%d,%d", (int)e->usage.prompt_tok, (int)e->usage.completion_tok,
		    (int)e->usage.cached_tok, (int)e->usage.reasoning_tok);
	return 0;
}

/* Lines of data, each an event, then the end. */
static int read_lines(const char *lines, unsigned choices, struct heard *h, struct err *err)
{
	struct inference_request req = {.choices = choices, .want_tokens = true, .n_messages = 3};
	struct upstream_reader *r;
	int rc;

	*h = (struct heard){.n = 0};
	assert_int_equal(upstream_reader_new(NULL, &openai_upstream, &req, hear, h, &r, err), 0);
	for (rc = 0; rc == 0 && *lines;) {
		size_t n = strcspn(lines, "\n");

		rc = openai_upstream.take(r, "message", bytes_of(lines, n), err);
		lines += n + (lines[n] != 0);
	}
	if (rc == 0)
		rc = openai_upstream.end(r, err);
	assert_true(rc != 0 || r->finished);
	talloc_free(r);
	return rc;
}

#define C(i, d, more) "{\"choices\":[{\"index\":" i ",\"delta\":{" d "}" more "}]}\n"
#define D(d)          C("0", d, "")
#define F(reason)     C("0", "", ",\"finish_reason\":\"" reason "\"")

static void test_reading(void **state)
{
	static const struct {
		const char *lines, *log;
	} cases[] = {
	    {D("\"role\":\"assistant\",\"content\":\"\"") D("\"content\":\"a\"")
		    D("\"content\":null") F("stop") "{\"choices\":[],\"usage\":{\"prompt_tokens\":"
						    "3,\"completion_tokens\":2}}\n"
						    "[DONE]",
		"< t0:a e0:stop >3,2,-1,-1"},
	    {D("\"reasoning_content\":\"x\"") D("\"reasoning\":\"y\",\"reasoning_content\":\"y\"")
		    D("\"reasoning\":\"z\",\"content\":\"t\"") F("length") F("length"),
		"< r0:x r0:y r0:z t0:t e0:length >-1,-1,-1,-1"},
	    {D("\"refusal\":\"no\",\"annotations\":[]") F("stop"), "< t0:no e0:stop >-1,-1,-1,-1"},
	    /* a call in pieces, another beside it, the end in words of a model */
	    {D("\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{"
	       "\"name\":\"f\",\"arguments\":\"\"}}]")
		    D("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}},{\"index\":"
		      "1,"
		      "\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"1\"}}]")
			D("\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"arguments\":"
			  "\"}"
			  "\"}}]") F("tool_use"),
		"< c0.0:a=f( c0.0({ c0.1:b=g(1 c0.0(} e0:tool_calls >-1,-1,-1,-1"},
	    /* no index, no id, arguments as an object; an index that begins at 1; always 0 */
	    {D("\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]")
		    F("tool_calls"),
		"< c0.0:call_3_0_0=f({\"a\":1} e0:tool_calls >-1,-1,-1,-1"},
	    {D("\"tool_calls\":[{\"index\":1,\"id\":\"a\",\"function\":{\"name\":\"f\"}}]")
		    D("\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]")
			F("tool_calls"),
		"< c0.0:a=f( c0.0({} e0:tool_calls >-1,-1,-1,-1"},
	    {D("\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\"}}]")
		    D("\"tool_calls\":[{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\"}}]")
			F("tool_calls"),
		"< c0.0:a=f( c0.1:b=g( e0:tool_calls >-1,-1,-1,-1"},
	    {D("\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}")
		    D("\"function_call\":{\"arguments\":\"{}\"}") F("function_call"),
		"< c0.0:call_3_0_0=f( c0.0({} e0:tool_calls >-1,-1,-1,-1"},
	    /* a whole answer in one */
	    {"{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_"
	     "reason\":"
	     "\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,"
	     "\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{"
	     "\"reasoning_tokens\":5}}}",
		"< t0:hi e0:stop >1,2,4,5"},
	    /* details */
	    {C("0", "\"content\":\"a\"",
		 ",\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.25,\"bytes\":[97,98],"
		 "\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-1}]}]},\"token_ids\":[5,6]")
		    C("0", "",
			",\"finish_reason\":\"stop\",\"stop_reason\":\"##\",\"token_ids\":[7]"),
		"< t0:a p2/1:-0.25 #5 #6 #7 e0:stop## >-1,-1,-1,-1"},
	    {"{\"choices\":[],\"error\":null,\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":"
	     "99999999999}}\n" F("stop"),
		"< e0:stop >-1,-1,-1,-1"},
	};
	struct err err = {0};
	struct heard h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (read_lines(cases[i].lines, 1, &h, &err) != 0)
			fail_msg("%s: %s", cases[i].lines, err.text);
		assert_string_equal(h.log, cases[i].log);
	}
	assert_int_equal(
	    read_lines(C("1", "\"content\":\"b\"", "") C("0", "\"content\":\"a\"", "") F("stop")
			   C("1", "", ",\"finish_reason\":\"stop\"") "[DONE]",
		2, &h, &err),
	    0);
	assert_string_equal(h.log, "< t1:b t0:a e0:stop e1:stop >-1,-1,-1,-1");
}

static void test_reading_bad(void **state)
{
	static const struct {
		const char *lines;
		int code;
	} cases[] = {
	    {"", E_CLOSED},
	    {"[DONE]", E_CLOSED},
	    {D("\"content\":\"a\""), E_CLOSED},
	    {D("\"content\":\"a\"") "[DONE]", E_CLOSED},
	    {"<html>", E_UPSTREAM},
	    {"[]", E_UPSTREAM},
	    {"{}", E_UPSTREAM},
	    {"{\"choices\":{}}", E_UPSTREAM},
	    {"{\"choices\":[5]}", E_UPSTREAM},
	    {D("\"content\":5"), E_UPSTREAM},
	    {F("because"), E_UPSTREAM},
	    {C("0", "", ",\"finish_reason\":5"), E_UPSTREAM},
	    {C("1", "", ""), E_UPSTREAM},
	    {C("-1", "", ""), E_UPSTREAM},
	    {F("stop") D("\"content\":\"more\""), E_UPSTREAM},
	    {F("stop") "[DONE]\n" D(""), E_UPSTREAM},
	    {D("\"tool_calls\":5"), E_UPSTREAM},
	    {D("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"x\"}}]"), E_UPSTREAM},
	    {D("\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":5}}]"), E_UPSTREAM},
	    {C("0", "", ",\"token_ids\":[-1],\"finish_reason\":\"stop\""), E_UPSTREAM},
	    {C("0", "\"content\":\"a\"", ",\"logprobs\":{\"content\":[{}]}"), E_UPSTREAM},
	    {"{\"error\":{\"message\":\"m\",\"code\":\"unavailable\"}}", E_UNAVAILABLE},
	    {"{\"error\":{\"message\":\"m\",\"code\":\"internal_error\"}}", E_UPSTREAM},
	    {"{\"error\":\"out of memory\",\"choices\":[]}", E_UPSTREAM},
	};
	struct heard h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = {0};
		int rc = read_lines(cases[i].lines, 1, &h, &err);

		if (rc != cases[i].code || err.code != rc)
			fail_msg("%s: %d %s", cases[i].lines, rc, err.text);
		if (!strstr(cases[i].lines, "[DONE]\n"))
			assert_null(strstr(h.log, ">"));
	}
}

static void test_errors(void **state)
{
	struct buf out = BUF_INIT(4096);
	struct err err = {0}, back;

	err_set_param(&err, E_INVALID, "messages[0].role", "\"no\"");
	openai_error_write(&err, &out);
	assert_int_equal(openai_error_parse(buf_view(&out), 400, &back), E_INVALID);
	assert_string_equal(back.param, "messages[0].role");
	assert_string_equal(back.text, err.text);
	check_text(&out, "{\"error\":{\"message\":\"messages[0].role: \\\"no\\\"\","
			 "\"type\":\"invalid_request_error\",\"param\":\"messages[0].role\","
			 "\"code\":\"invalid_value\"}}");
	err_clear(&err);
	err.code = E_BUSY;
	openai_error_write(&err, &out);
	check_text(&out, "{\"error\":{\"message\":\"busy\",\"type\":\"rate_limit_error\","
			 "\"param\":null,\"code\":\"rate_limit_exceeded\"}}");
	/* every code that an upstream may claim survives the way over the wire */
#define X(name, ...)                                                                               \
	err_set(&err, name, "text of " #name);                                                     \
	openai_error_write(&err, &out);                                                            \
	if (name == E_INTERNAL || name == E_CANCELLED) {                                           \
		assert_int_equal(                                                                  \
		    openai_error_parse(buf_view(&out), err_info(name)->http_status, &back),        \
		    E_UPSTREAM);                                                                   \
	} else {                                                                                   \
		assert_int_equal(                                                                  \
		    openai_error_parse(buf_view(&out), err_info(name)->http_status, &back), name); \
		assert_int_equal(openai_error_parse(buf_view(&out), 0, &back), name);              \
	}                                                                                          \
	assert_string_equal(back.text, "text of " #name);                                          \
	buf_reset(&out);
	ERR_TABLE(X)
#undef X
	buf_free(&out);
}

static void test_error_status(void **state)
{
	static const struct {
		const char *body;
		int status, code;
	} cases[] = {
	    {"", 404, E_NOT_FOUND},
	    {"gateway", 502, E_UPSTREAM},
	    {"{}", 429, E_BUSY},
	    {"[]", 503, E_UNAVAILABLE},
	    {"{\"error\":{\"code\":\"model_not_found\"}}", 404, E_MODEL_NOT_FOUND},
	    {"{\"error\":{\"code\":\"model_not_found\"}}", 500, E_UPSTREAM}, /* does not fit */
	    {"{\"error\":{\"code\":42,\"message\":7}}", 400, E_INVALID},
	    {"{\"error\":{\"code\":\"E_INVALID\"}}", 500, E_UPSTREAM}, /* not a wire name */
	    {"{\"error\":\"no such model\"}", 404, E_NOT_FOUND},
	    {"", 0, E_UPSTREAM},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = {0};

		assert_int_equal(
		    openai_error_parse(bytes_str(cases[i].body), cases[i].status, &err),
		    cases[i].code);
		assert_int_equal(err.code, cases[i].code);
		assert_true(err.text[0] != 0);
	}
}

static void test_models(void **state)
{
	static const struct model_entry models[] = {
	    {.id = "a", .created_s = 20, .n_ctx = 100, .owner = "n1", .owner_label = "one"},
	    {.id = "b\"", .created_s = 5, .ready = true},
	    {.id = "a", .created_s = 10, .n_ctx = 200, .ready = true, .owner = "n2"},
	    {.id = "a", .created_s = 30, .owner = "n1"}, /* another provider of the same node */
	};
	void *mem = talloc_new(NULL);
	struct buf out = BUF_INIT(1 << 16);
	struct model_entry *back;
	size_t n;

	openai_models_write(&out, models, 4);
	assert_int_equal(openai_models_parse(mem, buf_view(&out), &back, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_string_equal(back[0].id, "a");
	assert_string_equal(back[0].owner, "n1");
	assert_string_equal(back[1].id, "a");
	assert_string_equal(back[1].owner, "n2");
	assert_true(back[1].ready);
	assert_int_equal(back[1].n_ctx, 200);
	assert_int_equal(back[1].created_s, 10);
	assert_string_equal(back[2].id, "b\"");
	assert_string_equal(back[2].owner, "");
	check_text(&out,
	    "{\"object\":\"list\",\"data\":["
	    "{\"id\":\"a\",\"object\":\"model\",\"created\":10,\"owned_by\":\"one\",\"ready\":true,"
	    "\"context_length\":200,\"node\":\"n1\",\"nodes\":[\"n1\",\"n2\"]},"
	    "{\"id\":\"b\\\"\",\"object\":\"model\",\"created\":5,\"owned_by\":\"opengateway\","
	    "\"ready\":true,\"nodes\":[]}]}");
	openai_models_write(&out, NULL, 0);
	check_text(&out, "{\"object\":\"list\",\"data\":[]}");
	talloc_free(mem);
	buf_free(&out);
}

#define HASH_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* What peers learn from each other's lists; a hash only where all nodes have the same file. */
static void test_models_abilities(void **state)
{
	static const struct model_entry models[] = {
	    {.id = "z", .abilities = MODEL_CHAT | MODEL_TOOLS, .hash = HASH_A, .owner = "n1"},
	    {.id = "a", .abilities = MODEL_EMBEDDING, .hash = HASH_A, .owner = "n1"},
	    {.id = "z", .abilities = MODEL_VISION, .owner = "n2"},
	    {.id = "a", .hash = HASH_B, .owner = "n2"},
	};
	void *mem = talloc_new(NULL);
	struct buf out = BUF_INIT(1 << 16);
	struct model_entry *back;
	size_t n;

	openai_models_write(&out, models, 4);
	assert_int_equal(openai_models_parse(mem, buf_view(&out), &back, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_string_equal(back[1].id, "z");
	assert_string_equal(back[1].hash, HASH_A);
	assert_int_equal(back[1].abilities, MODEL_CHAT | MODEL_TOOLS | MODEL_VISION);
	assert_string_equal(back[2].id, "a");
	assert_string_equal(back[2].hash, "");
	assert_int_equal(back[2].abilities, MODEL_EMBEDDING);
	buf_reset(&out);
	openai_model_write(&out, "z", models, 4);
	check_text(&out, "{\"id\":\"z\",\"object\":\"model\",\"created\":0,\"owned_by\":"
			 "\"opengateway\",\"ready\":"
			 "false,\"abilities\":[\"chat\",\"tools\",\"vision\"],\"hash\":\"" HASH_A
			 "\",\"node\":\"n1\",\"nodes\":[\"n1\",\"n2\"]}");
	buf_free(&out);
	talloc_free(mem);
}

/* The lists of vLLM, LM Studio, llama.cpp, OpenRouter, Groq and Mistral. */
static void test_models_contexts(void **state)
{
	static const struct {
		const char *model;
		uint32_t n_ctx;
		unsigned abilities;
	} cases[] = {
	    {"\"max_model_len\":4096,\"root\":\"x\",\"permission\":[]", 4096, 0},
	    {"\"type\":\"vlm\",\"loaded_context_length\":2048,\"max_context_length\":8192", 2048,
		MODEL_CHAT | MODEL_COMPLETION | MODEL_VISION},
	    {"\"type\":\"embeddings\",\"max_context_length\":512", 512, MODEL_EMBEDDING},
	    {"\"meta\":{\"n_vocab\":5,\"n_ctx_train\":131072},\"capabilities\":[\"completion\","
	     "\"multimodal\",5]",
		131072, MODEL_COMPLETION | MODEL_VISION},
	    {"\"meta\":{\"n_ctx\":8192,\"n_ctx_train\":131072}", 8192, 0},
	    {"\"context_length\":200000", 200000, 0},
	    {"\"context_window\":32768,\"active\":true", 32768, 0},
	    {"\"max_context_length\":9,\"capabilities\":{\"completion_chat\":true,"
	     "\"function_calling\":true,\"vision\":false}",
		9, MODEL_CHAT | MODEL_TOOLS},
	    {"\"max_model_len\":null,\"hash\":\"zz\"", 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf body = BUF_INIT(4096);
		struct model_entry *m;
		size_t n;

		buf_printf(&body, "{\"data\":[{\"id\":\"m\",%s}]}", cases[i].model);
		assert_int_equal(openai_models_parse(NULL, buf_view(&body), &m, &n, NULL), 0);
		assert_int_equal(n, 1);
		assert_int_equal(m->n_ctx, cases[i].n_ctx);
		assert_int_equal(m->abilities, cases[i].abilities);
		assert_string_equal(m->hash, "");
		talloc_free(m);
		buf_free(&body);
	}
}

static void test_models_foreign(void **state)
{
	void *mem = talloc_new(NULL);
	struct buf big = BUF_INIT(1 << 20);
	struct model_entry *m;
	size_t n;
	struct err err;

	assert_int_equal(
	    openai_models_parse(mem,
		bytes_str("{\"data\":[{\"id\":\"x\",\"created\":1,\"owned_by\":\"lab\"},"
			  "{\"id\":5},7,{\"id\":\"\"},{\"id\":\"y\",\"context_length\":-1,"
			  "\"nodes\":[5,\"n\"],\"ready\":false}]}"),
		&m, &n, NULL),
	    0);
	assert_int_equal(n, 3);
	assert_true(m[0].ready);
	assert_string_equal(m[0].owner_label, "lab");
	assert_string_equal(m[1].owner, "");
	assert_string_equal(m[2].owner, "n");
	assert_false(m[2].ready);
	assert_int_equal(openai_models_parse(mem, bytes_str("{}"), &m, &n, NULL), E_UPSTREAM);
	assert_int_equal(openai_models_parse(mem, bytes_str("x"), &m, &n, NULL), E_UPSTREAM);
	assert_int_equal(
	    openai_models_parse(mem,
		bytes_str("{\"error\":{\"message\":\"m\",\"code\":\"invalid_api_key\"}}"), &m, &n,
		&err),
	    E_UNAUTHORIZED);
	buf_str(&big, "{\"data\":[{\"id\":\"x\",\"nodes\":[0");
	for (int i = 0; i < OPENAI_MODELS_MAX; i++)
		buf_str(&big, ",0");
	buf_str(&big, "]}]}");
	assert_int_equal(openai_models_parse(mem, buf_view(&big), &m, &n, NULL), E_UPSTREAM);
	buf_free(&big);
	talloc_free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_more),
	    cmocka_unit_test(test_calls),
	    cmocka_unit_test(test_details),
	    cmocka_unit_test(test_side),
	    cmocka_unit_test(test_collect),
	    cmocka_unit_test(test_reading),
	    cmocka_unit_test(test_reading_bad),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_error_status),
	    cmocka_unit_test(test_models),
	    cmocka_unit_test(test_models_abilities),
	    cmocka_unit_test(test_models_contexts),
	    cmocka_unit_test(test_models_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
