/* Chat completion requests: what is read, what is named in an error, and the way back. */
#include "dialect/openai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#include <cmocka.h>

static struct inference_request *parse_ok(void *mem, const char *body)
{
	struct inference_request *req = NULL;
	struct err err = {0};
	int rc = openai_request_parse(mem, bytes_str(body), &req, &err);

	if (rc != 0)
		fail_msg("%s\n%s", body, err.text);
	assert_string_equal(err.param, "");
	return req;
}

static void test_full(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem,
	    "{\"model\":\"m/1\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
	    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
	    "{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"b\\u00e9\"}],"
	    "\"name\":\"x\"},{\"role\":\"assistant\",\"content\":null}],"
	    "\"temperature\":0.5,\"top_p\":1,\"top_k\":40,\"min_p\":0.05,\"seed\":-7,"
	    "\"repetition_penalty\":1.1,\"frequency_penalty\":-2,\"presence_penalty\":2,"
	    "\"max_tokens\":5,\"max_completion_tokens\":6,\"stop\":[\"x\",\"yy\"],\"stream\":true,"
	    "\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false},"
	    "\"n\":3,\"tools\":[],\"tool_choice\":\"auto\",\"logprobs\":true,\"top_logprobs\":4,"
	    "\"logit_bias\":{\"7\":-100,\"0\":0.5},\"reasoning_effort\":\"low\","
	    "\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],\"user\":\"u\","
	    "\"store\":false,\"metadata\":{ \"k\":\"v\" },\"unheard_of\":[1,2.0],\"audio\":null}");

	assert_string_equal(r->model, "m/1");
	assert_int_equal(r->n_messages, 3);
	assert_string_equal(r->messages[0].role, "system");
	assert_true(bytes_equal(r->messages[1].content, bytes_str("ab\xc3\xa9")));
	assert_int_equal(r->messages[2].content.n, 0);
	assert_true(r->sampling.has_temperature && r->sampling.temperature == 0.5);
	assert_true(r->sampling.has_top_p && r->sampling.top_p == 1);
	assert_true(r->sampling.has_top_k && r->sampling.top_k == 40);
	assert_true(r->sampling.has_min_p && r->sampling.min_p == 0.05);
	assert_true(r->sampling.has_seed && r->sampling.seed == -7);
	assert_true(r->sampling.has_repeat_penalty && r->sampling.repeat_penalty == 1.1);
	assert_true(r->sampling.frequency_penalty == -2 && r->sampling.presence_penalty == 2);
	assert_int_equal(r->max_tokens, 6);
	assert_int_equal(r->n_stop, 2);
	assert_true(bytes_equal(r->stop[1], bytes_str("yy")));
	assert_true(r->stream && r->include_usage);
	assert_int_equal(r->choices, 3);
	assert_true(r->logprobs && r->top_logprobs == 4);
	assert_int_equal(r->n_biases, 2);
	assert_true(r->biases[0].token == 7 && r->biases[0].bias == -100);
	assert_true(r->biases[1].token == 0 && r->biases[1].bias == 0.5);
	assert_string_equal(r->reasoning_effort, "low");
	/* what is not ours to understand is kept in the client's own words */
	assert_string_equal((const char *)r->extra.p,
	    "\"modalities\":[\"text\"],\"user\":\"u\",\"store\":false,\"metadata\":{ \"k\":\"v\" },"
	    "\"unheard_of\":[1,2.0]");
	assert_int_equal(talloc_total_blocks(mem), talloc_total_blocks(r) + 1);
	talloc_free(mem);
}

static void test_least(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r =
	    parse_ok(mem, "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"stop\":null,"
			  "\"temperature\":null,\"seed\":null,\"stream\":null,\"max_tokens\":null,"
			  "\"stream_options\":null,\"tools\":null,\"model\":null}");

	assert_string_equal(r->model, "");
	assert_false(r->sampling.has_temperature || r->sampling.has_top_p ||
		     r->sampling.has_top_k || r->sampling.has_min_p || r->sampling.has_seed ||
		     r->sampling.has_repeat_penalty || r->stream || r->include_usage);
	assert_int_equal(r->max_tokens, 0);
	assert_int_equal(r->n_stop, 0);
	talloc_free(mem);
}

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define U "{\"role\":\"user\",\"content\":"
#define T "{\"type\":\"function\",\"function\":{\"name\":"

static const struct {
	const char *body;
	int code;
	const char *param;
} refused[] = {
    {"[]", E_INVALID, ""},
    {"{\"model\":", E_SYNTAX, ""},
    {"{\"model\":\"a\",\"model\":\"b\"," M "}", E_SYNTAX, ""},
    {"{" M ",\"seed\":9223372036854775808}", E_SYNTAX, ""},
    {"{}", E_INVALID, "messages"},
    {"{\"messages\":null}", E_INVALID, "messages"},
    {"{\"messages\":[]}", E_INVALID, "messages"},
    {"{\"messages\":\"x\"}", E_INVALID, "messages"},
    {"{\"messages\":[1]}", E_INVALID, "messages[0]"},
    {"{\"messages\":[{}]}", E_INVALID, "messages[0].role"},
    {"{\"messages\":[{\"role\":1,\"content\":\"\"}]}", E_INVALID, "messages[0].role"},
    {"{\"messages\":[{\"role\":\"wizard\",\"content\":\"\"}]}", E_INVALID, "messages[0].role"},
    {"{\"messages\":[{\"role\":\"user\"}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[" U "null}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[" U "5}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[" U "[5]}]}", E_INVALID, "messages[0].content[0]"},
    {"{\"messages\":[" U "[{}]}]}", E_INVALID, "messages[0].content[0].type"},
    {"{\"messages\":[" U "[{\"type\":\"text\"}]}]}", E_INVALID, "messages[0].content[0].text"},
    {"{\"messages\":[" U "[{\"type\":\"input_audio\"}]}]}", E_UNSUPPORTED,
	"messages[0].content[0].type"},
    {"{\"messages\":[" U "[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"image_url\"}]}]}",
	E_INVALID, "messages[0].content[1].image_url.url"},
    {"{\"messages\":[" U
     "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"file:///etc/passwd\"}}]}]}",
	E_INVALID, "messages[0].content[0].image_url.url"},
    {"{\"messages\":[{\"role\":\"tool\"}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":5}]}", E_INVALID,
	"messages[0].tool_call_id"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"\",\"name\":{}}]}", E_INVALID,
	"messages[0].name"},
    {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":{}}]}", E_INVALID,
	"messages[0].tool_calls"},
    {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[5]}]}", E_INVALID,
	"messages[0].tool_calls[0]"},
    {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}", E_INVALID,
	"messages[0].tool_calls[0].function.name"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"custom\"}]}]}",
	E_UNSUPPORTED, "messages[0].tool_calls[0].type"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
     "\"arguments\":5}}"
     "]}]}",
	E_INVALID, "messages[0].tool_calls[0].function.arguments"},
    {"{\"messages\":[{\"role\":\"assistant\",\"function_call\":{\"name\":5}}]}", E_INVALID,
	"messages[0].function_call.name"},
    {"{" M ",\"model\":5}", E_INVALID, "model"},
    {"{" M ",\"temperature\":99}", E_INVALID, "temperature"},
    {"{" M ",\"temperature\":-0.1}", E_INVALID, "temperature"},
    {"{" M ",\"temperature\":\"1\"}", E_INVALID, "temperature"},
    {"{" M ",\"top_p\":1.01}", E_INVALID, "top_p"},
    {"{" M ",\"min_p\":-1}", E_INVALID, "min_p"},
    {"{" M ",\"top_k\":-1}", E_INVALID, "top_k"},
    {"{" M ",\"top_k\":1.5}", E_INVALID, "top_k"},
    {"{" M ",\"top_k\":2147483648}", E_INVALID, "top_k"},
    {"{" M ",\"repeat_penalty\":0}", E_INVALID, "repeat_penalty"},
    {"{" M ",\"frequency_penalty\":2.5}", E_INVALID, "frequency_penalty"},
    {"{" M ",\"presence_penalty\":-3}", E_INVALID, "presence_penalty"},
    {"{" M ",\"seed\":1.5}", E_INVALID, "seed"},
    {"{" M ",\"max_tokens\":0}", E_INVALID, "max_tokens"},
    {"{" M ",\"max_tokens\":1.0}", E_INVALID, "max_tokens"},
    {"{" M ",\"max_completion_tokens\":-1}", E_INVALID, "max_completion_tokens"},
    {"{" M ",\"stream\":1}", E_INVALID, "stream"},
    {"{" M ",\"stream_options\":[]}", E_INVALID, "stream_options"},
    {"{" M ",\"stream_options\":{\"include_usage\":1}}", E_INVALID, "stream_options.include_usage"},
    {"{" M ",\"stop\":\"\"}", E_INVALID, "stop"},
    {"{" M ",\"stop\":5}", E_INVALID, "stop"},
    {"{" M ",\"stop\":[\"a\",1]}", E_INVALID, "stop"},
    {"{" M ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\","
     "\"d\",\"e\",\"f\",\"g\","
     "\"h\"]}",
	E_INVALID, "stop"},
    {"{" M ",\"n\":0}", E_INVALID, "n"},
    {"{" M ",\"n\":129}", E_INVALID, "n"},
    {"{" M ",\"tools\":{}}", E_INVALID, "tools"},
    {"{" M ",\"tools\":[5]}", E_INVALID, "tools[0]"},
    {"{" M ",\"tools\":[{}]}", E_INVALID, "tools[0].type"},
    {"{" M ",\"tools\":[{\"type\":\"web_search\"}]}", E_UNSUPPORTED, "tools[0].type"},
    {"{" M ",\"tools\":[" T "\"f\"}},{\"type\":\"function\",\"function\":{}}]}", E_INVALID,
	"tools[1].function.name"},
    {"{" M ",\"tools\":[" T "\"f\",\"parameters\":[]}}]}", E_INVALID,
	"tools[0].function.parameters"},
    {"{" M ",\"tools\":[" T "\"f\",\"strict\":1}}]}", E_INVALID, "tools[0].function.strict"},
    {"{" M ",\"tool_choice\":\"required\"}", E_INVALID, "tool_choice"},
    {"{" M ",\"tools\":[" T "\"f\"}}],\"tool_choice\":\"any\"}", E_INVALID, "tool_choice"},
    {"{" M ",\"tools\":[" T "\"f\"}}],\"tool_choice\":{\"type\":\"allowed_tools\"}}", E_UNSUPPORTED,
	"tool_choice"},
    {"{" M ",\"tools\":[" T
     "\"f\"}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}}",
	E_INVALID, "tool_choice"},
    {"{" M ",\"parallel_tool_calls\":1}", E_INVALID, "parallel_tool_calls"},
    {"{" M ",\"functions\":[{}]}", E_INVALID, "functions[0].name"},
    {"{" M ",\"functions\":[{\"name\":\"f\"}],\"function_call\":\"required\"}", E_INVALID,
	"function_call"},
    {"{" M ",\"logprobs\":5}", E_INVALID, "logprobs"},
    {"{" M ",\"top_logprobs\":3}", E_INVALID, "top_logprobs"},
    {"{" M ",\"logprobs\":true,\"top_logprobs\":21}", E_INVALID, "top_logprobs"},
    {"{" M ",\"logit_bias\":[]}", E_INVALID, "logit_bias"},
    {"{" M ",\"logit_bias\":{\"a\":2}}", E_INVALID, "logit_bias"},
    {"{" M ",\"logit_bias\":{\"1\":101}}", E_INVALID, "logit_bias"},
    {"{" M ",\"logit_bias\":{\"2147483648\":1}}", E_INVALID, "logit_bias"},
    {"{" M ",\"response_format\":\"json\"}", E_INVALID, "response_format"},
    {"{" M ",\"response_format\":{}}", E_INVALID, "response_format.type"},
    {"{" M ",\"response_format\":{\"type\":\"grammar\"}}", E_UNSUPPORTED, "response_format.type"},
    {"{" M ",\"response_format\":{\"type\":\"json_schema\"}}", E_INVALID,
	"response_format.json_schema.schema"},
    {"{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":[]}}}",
	E_INVALID, "response_format.json_schema.schema"},
    {"{" M ",\"reasoning_effort\":\"as much as you can\"}", E_INVALID, "reasoning_effort"},
    {"{" M ",\"return_token_ids\":1}", E_INVALID, "return_token_ids"},
    {"{" M ",\"gate_continue\":{}}", E_INVALID, "gate_continue"},
    {"{" M ",\"gate_continue\":{\"text\":\"\",\"token_ids\":[-1]}}", E_INVALID,
	"gate_continue.token_ids"},
};

static void test_refused(void **state)
{
	void *mem = talloc_new(NULL);

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct inference_request *req = NULL;
		struct err err = {0};
		int rc = openai_request_parse(mem, bytes_str(refused[i].body), &req, &err);

		if (rc != refused[i].code || err.code != rc)
			fail_msg("%s: %d %s", refused[i].body, rc, err.text);
		assert_string_equal(err.param, refused[i].param);
		if (err.param[0])
			assert_memory_equal(err.text, err.param, strlen(err.param));
		assert_int_equal(err_info(rc)->http_status, 400);
		assert_null(req);
	}
	assert_int_equal(talloc_total_blocks(mem), 1); /* nothing is left behind */
	talloc_free(mem);
}

static void test_limits(void **state)
{
	void *mem = talloc_new(NULL);
	struct buf b = BUF_INIT(1 << 20);
	struct inference_request *req = NULL;
	struct err err = {0};

	buf_str(&b, "{\"messages\":[");
	for (int i = 0; i <= INFERENCE_MESSAGES_MAX; i++)
		buf_str(&b, i ? ",{\"role\":\"user\",\"content\":\"\"}"
			      : "{\"role\":\"user\",\"content\":\"\"}");
	buf_str(&b, "]}");
	assert_int_equal(openai_request_parse(mem, buf_view(&b), &req, &err), E_INVALID);
	assert_string_equal(err.param, "messages");
	buf_reset(&b);
	buf_printf(&b, "{" M ",\"model\":\"%0*d\"}", MODEL_ID_MAX, 0);
	assert_int_equal(openai_request_parse(mem, buf_view(&b), &req, &err), E_INVALID);
	assert_string_equal(err.param, "model");
	buf_reset(&b);
	buf_printf(&b, "{" M ",\"model\":\"%0*d\",\"stop\":\"%0*d\"}", MODEL_ID_MAX - 1, 0,
	    INFERENCE_STOP_MAX, 0);
	assert_int_equal(openai_request_parse(mem, buf_view(&b), &req, &err), 0);
	buf_reset(&b);
	buf_printf(&b, "{" M ",\"stop\":\"%0*d\"}", INFERENCE_STOP_MAX + 1, 0);
	assert_int_equal(openai_request_parse(mem, buf_view(&b), &req, &err), E_INVALID);
	buf_reset(&b);
	buf_str(&b, "{" M);
	for (int i = 0; i < 1024; i++)
		buf_printf(&b, ",\"x%d\":1", i);
	buf_str(&b, "}");
	assert_int_equal(openai_request_parse(mem, buf_view(&b), &req, &err), E_INVALID);
	buf_free(&b);
	talloc_free(mem);
}

static bool is(struct bytes b, const char *s)
{
	return bytes_equal(b, bytes_str(s));
}

static void test_messages(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem,
	    "{\"messages\":[{\"role\":\"developer\",\"content\":\"d\",\"weight\":1},"
	    "{\"role\":\"user\",\"name\":\"joe\",\"content\":[{\"type\":\"text\",\"text\":\"what\"}"
	    ","
	    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y\",\"detail\":\"low\"}},"
	    "{\"type\":\"image_url\",\"image_url\":\"data:image/png;base64,AA\"},"
	    "{\"type\":\"text\",\"text\":\" is it\"}]},"
	    "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"refusal\":"
	    "null,"
	    "\"annotations\":[],\"audio\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"
	    "\"function\","
	    "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},"
	    "{\"function\":{\"name\":\"g\",\"arguments\":{\"b\": 2}}}]},"
	    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":[{\"type\":\"text\",\"text\":"
	    "\"ok\"}]},"
	    "{\"role\":\"assistant\",\"reasoning\":\"so\",\"refusal\":\"no\"},"
	    "{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"never\"}]}]"
	    "}");
	const struct inference_message *m = r->messages;

	assert_string_equal(m[0].role, "developer");
	assert_string_equal(m[1].name, "joe");
	assert_true(is(m[1].content, "what is it"));
	assert_int_equal(m[1].n_parts, 4);
	assert_int_equal(m[1].parts[1].kind, INFERENCE_PART_IMAGE);
	assert_true(is(m[1].parts[1].text, "https://x/y"));
	assert_string_equal(m[1].parts[1].detail, "low");
	assert_true(is(m[1].parts[2].text, "data:image/png;base64,AA"));
	assert_null(m[1].parts[2].detail);
	assert_true(is(m[1].parts[3].text, " is it"));
	assert_true(is(m[2].reasoning, "hm") && m[2].content.n == 0);
	assert_int_equal(m[2].n_tool_calls, 2);
	assert_string_equal(m[2].tool_calls[0].id, "c1");
	assert_string_equal(m[2].tool_calls[0].name, "f");
	assert_true(is(m[2].tool_calls[0].arguments, "{\"a\":1}"));
	assert_string_equal(m[2].tool_calls[1].id, "call_2_1");
	assert_true(is(m[2].tool_calls[1].arguments, "{\"b\": 2}"));
	assert_string_equal(m[3].tool_call_id, "c1");
	assert_true(is(m[3].content, "ok") && m[3].n_parts == 0);
	assert_true(is(m[4].content, "no") && is(m[4].reasoning, "so"));
	assert_true(is(m[5].content, "never"));
	talloc_free(mem);
}

static void test_tools(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r =
	    parse_ok(mem, "{" M ",\"tools\":[" T
			  "\"f\",\"description\":\"does\",\"parameters\":{\"type\": \"object\"},"
			  "\"strict\":true}}," T
			  "\"g\"}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"
			  "\"g\"}},\"parallel_tool_calls\":false}");

	assert_int_equal(r->n_tools, 2);
	assert_string_equal(r->tools[0].name, "f");
	assert_string_equal(r->tools[0].description, "does");
	assert_true(is(r->tools[0].parameters, "{\"type\": \"object\"}"));
	assert_true(r->tools[0].strict && !r->tools[1].strict);
	assert_null(r->tools[1].description);
	assert_int_equal(r->tools[1].parameters.n, 0);
	assert_int_equal(r->tool_choice, TOOL_CHOICE_NAMED);
	assert_string_equal(r->tool_name, "g");
	assert_true(r->no_parallel_tool_calls && !r->function_call);
	r = parse_ok(mem, "{" M ",\"tools\":[" T "\"f\"}}],\"tool_choice\":\"required\"}");
	assert_int_equal(r->tool_choice, TOOL_CHOICE_REQUIRED);
	assert_false(r->no_parallel_tool_calls);
	r = parse_ok(mem, "{" M ",\"tools\":[" T "\"f\"}}],\"tool_choice\":\"none\"}");
	assert_int_equal(r->tool_choice, TOOL_CHOICE_NONE);
	talloc_free(mem);
}

/* The form from before tools says the same, and is answered in its own form. */
static void test_functions(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem,
	    "{\"functions\":[{\"name\":\"f\",\"parameters\":{}}],\"function_call\":{\"name\":\"f\"}"
	    ","
	    "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":"
	    "\"f\","
	    "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"5\"}]}");

	assert_int_equal(r->n_tools, 1);
	assert_true(r->function_call && r->no_parallel_tool_calls);
	assert_int_equal(r->tool_choice, TOOL_CHOICE_NAMED);
	assert_int_equal(r->messages[0].n_tool_calls, 1);
	assert_string_equal(r->messages[1].role, "tool");
	assert_string_equal(r->messages[1].tool_call_id, r->messages[0].tool_calls[0].id);
	talloc_free(mem);
}

static void test_format(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem,
	    "{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
	    "\"description\":\"d\",\"strict\":true,\"schema\":{\"type\":\"object\"}}}}");

	assert_int_equal(r->format, FORMAT_SCHEMA);
	assert_true(is(r->schema, "{\"type\":\"object\"}"));
	assert_string_equal(r->schema_name, "n");
	assert_string_equal(r->schema_description, "d");
	assert_true(r->schema_strict);
	r = parse_ok(mem, "{" M ",\"response_format\":{\"type\":\"json_object\"}}");
	assert_int_equal(r->format, FORMAT_JSON);
	r = parse_ok(mem, "{" M ",\"max_tokens\":-1}"); /* LM Studio's way to say none */
	assert_int_equal(r->max_tokens, 0);
	talloc_free(mem);
}

static void written(const struct upstream *u, struct inference_request *r, const char *expected)
{
	struct buf out = BUF_INIT(1 << 16);
	const char *path;
	struct err err;

	if (u->request(r, &path, &out, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(path, "/v1/chat/completions");
	assert_string_equal(buf_cstr(&out), expected);
	buf_free(&out);
}

/* Who is asked decides what is said: our own understand more, OpenAI's own has other names. */
static void test_forms(void **state)
{
#define ASKED "{\"model\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define REST  ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem,
	    "{" M
	    ",\"max_tokens\":5,\"repetition_penalty\":1.1,\"top_k\":3,\"return_token_ids\":true,"
	    "\"user\": \"u\",\"temperature\":0.7}");
	struct buf out = BUF_INIT(1 << 16);
	const char *path;
	struct err err;

	written(&gate_upstream, r,
	    ASKED ",\"temperature\":0.7,\"repeat_penalty\":1.1,\"top_k\":3,\"max_tokens\":5" REST
		  ",\"return_token_ids\":true,\"user\":\"u\"}");
	/* Others stream when the client does. */
	written(&openai_upstream, parse_ok(mem, "{" M "}"), ASKED "}");
	r->stream = true;
	written(&openai_upstream, r,
	    ASKED
	    ",\"temperature\":0.7,\"repeat_penalty\":1.1,\"repetition_penalty\":1.1,\"top_k\":3,"
	    "\"max_tokens\":5" REST ",\"user\":\"u\"}");
	written(&openai_cloud_upstream, r,
	    ASKED
	    ",\"temperature\":0.7,\"repeat_penalty\":1.1,\"repetition_penalty\":1.1,\"top_k\":3,"
	    "\"max_completion_tokens\":5" REST ",\"user\":\"u\"}");
	written(&openai_cloud_upstream,
	    parse_ok(mem, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\","
			  "\"reasoning_content\":\"hm\"}]}"),
	    "{\"model\":\"\",\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}");
	r = parse_ok(mem, "{" M ",\"gate_continue\":{\"text\":\"Fo\",\"token_ids\":[1,2]}}");
	assert_true(is(r->continuation.text, "Fo") && r->continuation.n_tokens == 2);
	written(&gate_upstream, r,
	    ASKED REST ",\"gate_continue\":{\"text\":\"Fo\",\"token_ids\":[1,2]}}");
	assert_ptr_equal(openai_upstream_at("api.openai.com"), &openai_cloud_upstream);
	assert_ptr_equal(openai_upstream_at("Mine.OpenAI.Azure.com"), &openai_cloud_upstream);
	assert_ptr_equal(openai_upstream_at("xapi.openai.com"), &openai_upstream);
	assert_ptr_equal(openai_upstream_at("localhost"), &openai_upstream);
	assert_int_equal(openai_upstream.request(r, &path, &out, &err), E_UNSUPPORTED);
	assert_string_equal(err.param, "gate_continue");
	talloc_free(mem);
}

/* Written and read back, a request is the same, to the last bit of its numbers. */
static void test_round_trip(void **state)
{
	static const char *const bodies[] = {
	    "{" M "}",
	    "{\"model\":\"a\\\"b\",\"messages\":[" U "\"\\n\\u0001\\\"\\ud83d\\ude00\"},"
	    "{\"role\":\"assistant\",\"content\":\"\"}],\"temperature\":0.1,\"top_p\":0."
	    "30000000000000004,"
	    "\"top_k\":0,\"min_p\":1e-300,\"repeat_penalty\":1.7,\"frequency_penalty\":0.1,"
	    "\"presence_penalty\":-0.2,\"seed\":-9223372036854775808,\"max_tokens\":"
	    "9223372036854775807,"
	    "\"stop\":[\"a\",\"\\n\",\"\\\"\"],\"stream\":true,\"stream_options\":{\"include_"
	    "usage\":true}}",
	    "{\"messages\":[" U
	    "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{"
	    "\"url\":\"data:x\",\"detail\":\"auto\"}}],\"name\":\"n\"},{\"role\":\"assistant\","
	    "\"reasoning\":\"r\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]}"
	    ","
	    "{\"role\":\"tool\",\"content\":\"t\",\"tool_call_id\":\"x\"}],\"tools\":[" T "\"f\","
	    "\"parameters\":{ \"a\" : [1.0] },\"strict\":true,\"description\":\"\"}}],"
	    "\"parallel_tool_calls\":false,\"tool_choice\":\"required\",\"n\":2,\"logprobs\":true,"
	    "\"top_logprobs\":2,\"logit_bias\":{\"5\":-0.1,\"6\":1},\"reasoning_effort\":\"high\","
	    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"x\":"
	    "\"\\u00e9\"}}},"
	    "\"return_token_ids\":true,\"gate_continue\":{\"text\":\"t\",\"token_ids\":[0]},"
	    "\"ex\\u0074ra\":{\"deep\":[null,{}]}}",
	};
	void *mem = talloc_new(NULL);

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct inference_request *a = parse_ok(mem, bodies[i]), *b;
		struct buf once = BUF_INIT(1 << 16), twice = BUF_INIT(1 << 16),
			   small = BUF_INIT(20);

		assert_int_equal(openai_request_write(a, &once, NULL), 0);
		b = parse_ok(mem, buf_cstr(&once));
		assert_int_equal(openai_request_write(b, &twice, NULL), 0);
		assert_string_equal(buf_cstr(&once), buf_cstr(&twice));
		assert_memory_equal(&a->sampling, &b->sampling, sizeof(a->sampling));
		assert_int_equal(a->n_messages, b->n_messages);
		for (size_t k = 0; k < a->n_messages; k++)
			assert_true(bytes_equal(a->messages[k].content, b->messages[k].content));
		assert_int_equal(a->max_tokens, b->max_tokens);
		assert_int_equal(a->n_stop, b->n_stop);
		assert_int_equal(a->stream, b->stream);
		assert_int_equal(openai_request_write(a, &small, NULL), E_TOO_LARGE);
		buf_free(&once);
		buf_free(&twice);
		buf_free(&small);
	}
	talloc_free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_least),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_tools),
	    cmocka_unit_test(test_functions),
	    cmocka_unit_test(test_format),
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
