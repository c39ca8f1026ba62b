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
	    "\"n\":1,\"tools\":[],\"tool_choice\":\"auto\",\"logprobs\":false,\"logit_bias\":{},"
	    "\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],\"user\":\"u\","
	    "\"store\":false,\"metadata\":{\"k\":\"v\"},\"unheard_of\":[1,2],\"audio\":null}");

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
    {"{\"messages\":[" U "\"x\"},{\"role\":\"tool\",\"content\":\"\"}]}", E_UNSUPPORTED,
	"messages[1].role"},
    {"{\"messages\":[{\"role\":\"user\"}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[" U "null}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[" U "5}]}", E_INVALID, "messages[0].content"},
    {"{\"messages\":[" U "[5]}]}", E_INVALID, "messages[0].content[0]"},
    {"{\"messages\":[" U "[{}]}]}", E_INVALID, "messages[0].content[0].type"},
    {"{\"messages\":[" U "[{\"type\":\"text\"}]}]}", E_INVALID, "messages[0].content[0].text"},
    {"{\"messages\":[" U "[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"image_url\"}]}]}",
	E_UNSUPPORTED, "messages[0].content[1].type"},
    {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}",
	E_UNSUPPORTED, "messages[0].tool_calls"},
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
    {"{" M ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}", E_INVALID, "stop"},
    {"{" M ",\"n\":2}", E_UNSUPPORTED, "n"},
    {"{" M ",\"tools\":[{}]}", E_UNSUPPORTED, "tools"},
    {"{" M ",\"tool_choice\":\"required\"}", E_UNSUPPORTED, "tool_choice"},
    {"{" M ",\"functions\":[{}]}", E_UNSUPPORTED, "functions"},
    {"{" M ",\"logprobs\":true}", E_UNSUPPORTED, "logprobs"},
    {"{" M ",\"top_logprobs\":3}", E_UNSUPPORTED, "top_logprobs"},
    {"{" M ",\"logit_bias\":{\"1\":2}}", E_UNSUPPORTED, "logit_bias"},
    {"{" M ",\"response_format\":{\"type\":\"json_object\"}}", E_UNSUPPORTED, "response_format"},
    {"{" M ",\"modalities\":[\"text\",\"audio\"]}", E_UNSUPPORTED, "modalities"},
    {"{" M ",\"audio\":{}}", E_UNSUPPORTED, "audio"},
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
	buf_free(&b);
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
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
