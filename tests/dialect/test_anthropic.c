/* The Anthropic dialect: vectors of requests and answers, then both sides against each other. */
#include "dialect/anthropic.h"

#include "codec_help.h"

static void test_full_request(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &anthropic_messages,
	    "{\"model\":\"claude-x\",\"max_tokens\":512,\"system\":[{\"type\":\"text\","
	    "\"text\":\"You are\",\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"text\","
	    "\"text\":\"short.\"}],\"messages\":["
	    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Look:\"},"
	    "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
	    "\"data\":\"iVBO\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\","
	    "\"url\":\"https://x/y.jpg\"}}]},"
	    "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\","
	    "\"signature\":\"s\"},{\"type\":\"redacted_thinking\",\"data\":\"..\"},"
	    "{\"type\":\"text\",\"text\":\"I ask.\"},{\"type\":\"tool_use\",\"id\":\"t1\","
	    "\"name\":\"get\",\"input\":{\"a\":1}},{\"type\":\"tool_use\",\"id\":\"t2\","
	    "\"name\":\"put\",\"input\":{}}]},"
	    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Go on.\"},"
	    "{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"42\"},"
	    "{\"type\":\"tool_result\",\"tool_use_id\":\"t2\",\"is_error\":true,"
	    "\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}]}],"
	    "\"tools\":[{\"name\":\"get\",\"description\":\"gets\",\"input_schema\":{\"type\":"
	    "\"object\"}},{\"type\":\"custom\",\"name\":\"put\",\"input_schema\":{},"
	    "\"strict\":true}],\"tool_choice\":{\"type\":\"any\","
	    "\"disable_parallel_tool_use\":true},\"stop_sequences\":[\"END\"],"
	    "\"temperature\":0.25,\"top_p\":0.5,\"top_k\":7,\"stream\":true,"
	    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096},"
	    "\"metadata\":{\"user_id\":\"u\"},\"service_tier\":\"auto\",\"new_field\":[1]}");

	assert_string_equal(r->model, "claude-x");
	assert_int_equal(r->max_tokens, 512);
	assert_int_equal(r->n_messages, 6);
	assert_string_equal(r->messages[0].role, "system");
	assert_string_equal((const char *)r->messages[0].content.p, "You are\n\nshort.");
	assert_int_equal(r->messages[1].n_parts, 3);
	assert_string_equal(
	    (const char *)r->messages[1].parts[1].text.p, "data:image/png;base64,iVBO");
	assert_string_equal((const char *)r->messages[1].parts[2].text.p, "https://x/y.jpg");
	assert_string_equal((const char *)r->messages[2].reasoning.p, "hm");
	assert_string_equal((const char *)r->messages[2].reasoning_seal.p, "s");
	assert_string_equal((const char *)r->messages[2].content.p, "I ask.");
	assert_int_equal(r->messages[2].n_tool_calls, 2);
	assert_string_equal((const char *)r->messages[2].tool_calls[0].arguments.p, "{\"a\":1}");
	assert_string_equal(r->messages[3].role, "tool");
	assert_string_equal(r->messages[3].tool_call_id, "t1");
	assert_false(r->messages[3].failed);
	assert_true(r->messages[4].failed);
	assert_string_equal((const char *)r->messages[4].content.p, "no");
	assert_string_equal(r->messages[5].role, "user");
	assert_int_equal(r->n_tools, 2);
	assert_true(r->tools[1].strict);
	assert_int_equal(r->tool_choice, TOOL_CHOICE_REQUIRED);
	assert_true(r->no_parallel_tool_calls && r->stream);
	assert_string_equal(r->reasoning_effort, "medium");
	assert_int_equal(r->n_stop, 1);
	assert_true(r->sampling.temperature == 0.25 && r->sampling.top_k == 7);
	assert_int_equal(talloc_total_blocks(mem), talloc_total_blocks(r) + 1);
	talloc_free(mem);
}

static void test_prefill_and_modes(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &anthropic_messages,
	    "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":"
	    "\"x\"},{\"role\":\"assistant\",\"content\":\"The answer is (\"}],"
	    "\"thinking\":{\"type\":\"disabled\"},\"output_config\":{\"effort\":\"high\","
	    "\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}}}");

	assert_int_equal(r->n_messages, 1);
	assert_string_equal((const char *)r->continuation.text.p, "The answer is (");
	assert_string_equal(r->reasoning_effort, "none");
	assert_int_equal(r->format, FORMAT_SCHEMA);
	assert_string_equal((const char *)r->schema.p, "{\"type\":\"object\"}");
	r = parse_ok(mem, &anthropic_messages,
	    "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
	    "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"max\"}}");
	assert_string_equal(r->reasoning_effort, "max");
	talloc_free(mem);
}

#define M        "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define T        "\"max_tokens\":5,"
#define C(block) "{" T "\"messages\":[{\"role\":\"user\",\"content\":[" block "]}]}"

static void test_refused(void **state)
{
	static const struct refused table[] = {
	    {"", E_SYNTAX, ""},
	    {"[]", E_INVALID, ""},
	    {"{" M "}", E_INVALID, "max_tokens"},
	    {"{\"max_tokens\":0," M "}", E_INVALID, "max_tokens"},
	    {"{\"max_tokens\":1.5," M "}", E_INVALID, "max_tokens"},
	    {"{\"max_tokens\":1}", E_INVALID, "messages"},
	    {"{" T "\"messages\":[]}", E_INVALID, "messages"},
	    {"{" T "\"messages\":[7]}", E_INVALID, "messages[0]"},
	    {"{" T "\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", E_INVALID,
		"messages[0].role"},
	    {"{" T "\"messages\":[{\"role\":\"user\"}]}", E_INVALID, "messages[0].content"},
	    {"{" T "\"messages\":[{\"role\":\"user\",\"content\":3}]}", E_INVALID,
		"messages[0].content"},
	    {C("3"), E_INVALID, "messages[0].content[0]"},
	    {C("{\"type\":\"text\"}"), E_INVALID, "messages[0].content[0].text"},
	    {C("{\"type\":\"document\",\"source\":{}}"), E_UNSUPPORTED,
		"messages[0].content[0].type"},
	    {C("{\"type\":\"image\",\"source\":{\"type\":\"file\"}}"), E_UNSUPPORTED,
		"messages[0].content[0].source.type"},
	    {C("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"a/b\","
	       "\"data\":\"\"}}"),
		E_INVALID, "messages[0].content[0].source.media_type"},
	    {C("{\"type\":\"tool_result\",\"content\":\"x\"}"), E_INVALID,
		"messages[0].content[0].tool_use_id"},
	    {"{" T "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\","
	     "\"id\":\"i\",\"name\":\"n\",\"input\":\"{}\"}]}]}",
		E_INVALID, "messages[0].content[0].input"},
	    {"{" T M ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}",
		E_UNSUPPORTED, "tools[0].type"},
	    {"{" T M ",\"tools\":[{\"name\":\"x\"}]}", E_INVALID, "tools[0].input_schema"},
	    {"{" T M ",\"tool_choice\":{\"type\":\"maybe\"}}", E_INVALID, "tool_choice.type"},
	    {"{" T M ",\"tool_choice\":{\"type\":\"tool\"}}", E_INVALID, "tool_choice.name"},
	    {"{" T M ",\"temperature\":1.1}", E_INVALID, "temperature"},
	    {"{" T M ",\"top_p\":-1}", E_INVALID, "top_p"},
	    {"{" T M ",\"top_k\":-1}", E_INVALID, "top_k"},
	    {"{" T M ",\"stop_sequences\":[\"\"]}", E_INVALID, "stop_sequences"},
	    {"{" T M ",\"stream\":1}", E_INVALID, "stream"},
	    {"{" T M ",\"thinking\":{\"type\":\"enabled\"}}", E_INVALID, "thinking.budget_tokens"},
	    {"{" T M ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":9}}", E_INVALID,
		"thinking.budget_tokens"},
	    {"{" T M ",\"output_config\":{\"format\":{\"type\":\"text\"}}}", E_INVALID,
		"output_config.format.type"},
	    {"{" T M ",\"mcp_servers\":[{\"url\":\"x\"}]}", E_UNSUPPORTED, "mcp_servers"},
	    {"{" T M ",\"container\":\"c\"}", E_UNSUPPORTED, "container"},
	    {"{" T M ",\"system\":[{\"type\":\"image\",\"source\":{\"type\":\"url\","
	     "\"url\":\"u\"}}]}",
		E_INVALID, "system"},
	};

	check_refused(&anthropic_messages, table, sizeof table / sizeof table[0]);
}

static void test_count(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r =
	    parse_ok(mem, &anthropic_count_tokens, "{" M ",\"stream\":true}");
	struct dialect_writer *w = new_writer(mem, &anthropic_count_tokens, r);
	struct inference_result *result = inference_result_new(mem, 1, 1000);
	struct buf out = BUF_INIT(100);

	assert_int_equal(r->n_messages, 1);
	assert_int_equal(r->max_tokens, 1);
	assert_false(r->stream);
	result->usage.prompt_tok = 2095;
	anthropic_count_tokens.whole(w, result, &out);
	assert_string_equal(buf_cstr(&out), "{\"input_tokens\":2095}");
	buf_free(&out);
	talloc_free(mem);
}

/* ---- answers ------------------------------------------------------------------------------- */

static const struct inference_event script[] = {
    {.kind = INFERENCE_STARTED},
    {.kind = INFERENCE_REASONING, .text = {(const uint8_t *)"hm", 2}},
    {.kind = INFERENCE_REASONING, .seal = {(const uint8_t *)"sig", 3}},
    {.kind = INFERENCE_NOTICE, .text = {(const uint8_t *)"moved\nhouse", 11}},
    {.kind = INFERENCE_TEXT, .text = {(const uint8_t *)"H\xc3\xa9", 3}},
    {.kind = INFERENCE_TEXT, .text = {(const uint8_t *)"\"\n", 2}},
    {.kind = INFERENCE_TOOL_CALL, .tool_id = "t1", .tool_name = "get"},
    {.kind = INFERENCE_TOOL_CALL, .text = {(const uint8_t *)"{\"a\":", 5}},
    {.kind = INFERENCE_TOOL_CALL, .text = {(const uint8_t *)"1}", 2}},
    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_TOOL_CALLS},
    {.kind = INFERENCE_FINISHED, .usage = {10, 5, 4, 2}},
};

#define E(name, data) "event: " name "\ndata: {\"type\":\"" name "\"" data "}\n\n"
#define ID            "msg_010203000000000000000000"

static void test_stream(void **state)
{
	static const char expected[] = E("message_start",
	    ",\"message\":{\"id\":\"" ID "\",\"type\":\"message\",\"role\":\"assistant\","
	    "\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
	    "\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":0,"
	    "\"cache_read_input_tokens\":0,\"output_tokens\":0}}") E("content_block_start",
	    ",\"index\":0,\"content_block\":{\"type\":\"thinking\","
	    "\"thinking\":\"\",\"signature\":\"\"}") E("content_block_delta",
	    ",\"index\":0,\"delta\":{\"type\":\"thinking_delta\","
	    "\"thinking\":\"hm\"}") E("content_block_delta",
	    ",\"index\":0,\"delta\":{\"type\":\"signature_delta\","
	    "\"signature\":\"sig\"}") ": moved house\n\n" E("content_block_stop",
	    ",\"index\":0") E("content_block_start",
	    ",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
	    E("content_block_delta",
		",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"H\xc3\xa9\"}")
		E("content_block_delta",
		    ",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"\\n\"}")
		    E("content_block_stop", ",\"index\":1") E("content_block_start",
			",\"index\":2,\"content_block\":{\"type\":\"tool_use\","
			"\"id\":\"t1\",\"name\":\"get\",\"input\":{}}") E("content_block_delta",
			",\"index\":2,\"delta\":{\"type\":\"input_json_delta\","
			"\"partial_json\":\"{\\\"a\\\":\"}") E("content_block_delta",
			",\"index\":2,\"delta\":{\"type\":\"input_json_delta\","
			"\"partial_json\":\"1}\"}") E("content_block_stop", ",\"index\":2")
			E("message_delta", ",\"delta\":{\"stop_reason\":\"tool_use\","
					   "\"stop_sequence\":null},\"usage\":{\"input_tokens\":6,"
					   "\"cache_creation_input_tokens\":0,"
					   "\"cache_read_input_tokens\":4,\"output_tokens\":5,"
					   "\"output_tokens_details\":{\"thinking_tokens\":2}}")
			    E("message_stop", "");
	void *mem = talloc_new(NULL);
	struct writing t = {new_writer(mem, &anthropic_messages, NULL), BUF_INIT(1 << 20)};

	for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
		write_event(&t, &script[i], NULL);
	assert_string_equal(buf_cstr(&t.out), expected);
	buf_reset(&t.out);
	anthropic_messages.pulse(t.w, &t.out);
	assert_string_equal(buf_cstr(&t.out), E("ping", ""));
	buf_reset(&t.out);
	anthropic_messages.failure(t.w, &(struct err){.code = E_UPSTREAM, .text = "gone"}, &t.out);
	assert_string_equal(
	    buf_cstr(&t.out), E("error", ",\"error\":{\"type\":\"api_error\",\"message\":\"gone\"},"
					 "\"request_id\":null"));
	buf_free(&t.out);
	talloc_free(mem);
}

static void test_whole(void **state)
{
	void *mem = talloc_new(NULL);
	struct dialect_writer *w = new_writer(mem, &anthropic_messages, NULL);
	struct inference_result *r = inference_result_new(mem, 1, 1 << 20);
	struct buf out = BUF_INIT(1 << 20);

	for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
		assert_int_equal(inference_collect(r, &script[i], NULL), 0);
	anthropic_messages.whole(w, r, &out);
	assert_string_equal(buf_cstr(&out),
	    "{\"id\":\"" ID "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
	    "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"sig\"},"
	    "{\"type\":\"text\",\"text\":\"H\xc3\xa9\\\"\\n\"},{\"type\":\"tool_use\","
	    "\"id\":\"t1\",\"name\":\"get\",\"input\":{\"a\":1}}],"
	    "\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":6,"
	    "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":4,"
	    "\"output_tokens\":5,\"output_tokens_details\":{\"thinking_tokens\":2}}}");
	buf_free(&out);
	talloc_free(mem);
}

/* What a model's slip in its arguments becomes. */
static void test_whole_bad_arguments(void **state)
{
	static const struct inference_event slip[] = {
	    {.kind = INFERENCE_TOOL_CALL,
		.tool_id = "t",
		.tool_name = "f",
		.text = {(const uint8_t *)"{\"a\"", 4}},
	    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP, .stop = {NULL, 0}},
	};
	void *mem = talloc_new(NULL);
	struct dialect_writer *w = new_writer(mem, &anthropic_messages, NULL);
	struct inference_result *r = inference_result_new(mem, 1, 1 << 20);
	struct buf out = BUF_INIT(1 << 20);

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(inference_collect(r, &slip[i], NULL), 0);
	anthropic_messages.whole(w, r, &out);
	assert_non_null(strstr(buf_cstr(&out), "\"input\":{\"_raw\":\"{\\\"a\\\"\"}"));
	assert_non_null(strstr(buf_cstr(&out), "\"stop_reason\":\"tool_use\""));
	buf_free(&out);
	talloc_free(mem);
}

static void test_stop_reasons(void **state)
{
	static const struct {
		enum inference_finish finish;
		const char *stop, *expected;
	} table[] = {
	    {FINISH_STOP, "", "\"stop_reason\":\"end_turn\",\"stop_sequence\":null"},
	    {FINISH_STOP, "a\"b", "\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"a\\\"b\""},
	    {FINISH_LENGTH, "", "\"stop_reason\":\"max_tokens\",\"stop_sequence\":null"},
	    {FINISH_CONTENT_FILTER, "", "\"stop_reason\":\"refusal\",\"stop_sequence\":null"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		void *mem = talloc_new(NULL);
		struct writing t = {new_writer(mem, &anthropic_messages, NULL), BUF_INIT(1 << 20)};

		write_event(&t,
		    &(struct inference_event){.kind = INFERENCE_CHOICE_END,
			.finish = table[i].finish,
			.stop = bytes_str(table[i].stop)},
		    NULL);
		write_event(&t,
		    &(struct inference_event){
			.kind = INFERENCE_FINISHED, .usage = INFERENCE_USAGE_UNKNOWN},
		    NULL);
		assert_non_null(strstr(buf_cstr(&t.out), table[i].expected));
		assert_null(strstr(buf_cstr(&t.out), "-1"));
		buf_free(&t.out);
		talloc_free(mem);
	}
}

/* ---- the upstream -------------------------------------------------------------------------- */

static int read_stream(const char *stream, struct record *rec, struct err *err)
{
	struct inference_request req = {.choices = 1};
	void *mem = talloc_new(NULL);
	struct upstream_reader *r;
	struct bytes in = bytes_str(stream);
	struct sse_parser p;
	struct sse_event e;
	int rc = 0;

	assert_int_equal(
	    upstream_reader_new(mem, &anthropic_upstream, &req, record_event, rec, &r, NULL), 0);
	sse_parser_init(&p, 1 << 20);
	while (rc == 0 && sse_parser_next(&p, &in, &e, err) == 1)
		rc = anthropic_upstream.take(r, e.event, e.data, err);
	if (rc == 0)
		rc = anthropic_upstream.end(r, err);
	sse_parser_free(&p);
	talloc_free(mem);
	return rc;
}

#define START                                                                                      \
	E("message_start",                                                                         \
	    ",\"message\":{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":2,"           \
	    "\"cache_creation_input_tokens\":1,\"output_tokens\":1}}")
#define STOP                                                                                       \
	E("message_delta",                                                                         \
	    ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}")           \
	E("message_stop", "")

static void test_reading(void **state)
{
	static const struct {
		const char *stream;
		int code;
		const char *record;
	} table[] = {
	    {START E("ping", "") STOP, 0, "started\nend 0 0\nfinished 6 9 2 -1"},
	    /* a call without arguments, one told at once, blocks that nobody asked for */
	    {START E("content_block_start",
		 ",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\","
		 "\"name\":\"f\",\"input\":{}}") E("content_block_stop", ",\"index\":0")
		    E("content_block_start",
			",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"b\","
			"\"name\":\"g\",\"input\":{\"x\":1}}")
			E("content_block_stop", ",\"index\":1") E("content_block_start",
			    ",\"index\":2,\"content_block\":{\"type\":\"server_tool_use\"}")
			    E("content_block_delta",
				",\"index\":2,\"delta\":{\"type\":\"input_json_delta\","
				"\"partial_json\":\"{}\"}") E("unheard_of", ",\"x\":1") STOP,
		0, "started\ncall 0 a f {}\ncall 1 b g {\"x\":1}\nend 0 0\nfinished 6 9 2 -1"},
	    {START E("content_block_start",
		 ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"hi\"}"),
		E_CLOSED, "started\ntext hi"},
	    {START E("message_stop", ""), E_UPSTREAM, "started"},
	    {START E("content_block_delta", ",\"index\":0,\"delta\":{}"), E_UPSTREAM, "started"},
	    {START E("content_block_start", ",\"index\":5,\"content_block\":{}"), E_UPSTREAM,
		"started"},
	    {START E("message_delta", ",\"delta\":{\"stop_reason\":\"mood\"}"), E_UPSTREAM,
		"started"},
	    {"data: {\n\n", E_UPSTREAM, ""},
	    {E("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}"),
		E_UNAVAILABLE, ""},
	    {"", E_CLOSED, ""},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct record rec = {.text = BUF_INIT(1 << 20)};
		struct err err = {0};

		assert_int_equal(read_stream(table[i].stream, &rec, &err), table[i].code);
		assert_string_equal(buf_cstr(&rec.text), table[i].record);
		buf_free(&rec.text);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *body;
		int status, code;
		const char *text;
	} table[] = {
	    {"{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\","
	     "\"message\":\"model: x\"}}",
		404, E_MODEL_NOT_FOUND, "model: x"},
	    {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
	     "\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}}",
		400, E_CONTEXT_LENGTH, "prompt is too long: 9 tokens > 8 maximum"},
	    {"{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
	     "\"message\":\"slow\"}}",
		429, E_BUSY, "slow"},
	    {"<html>", 529, E_UPSTREAM, "the provider answered with HTTP status 529"},
	    {"", 401, E_UNAUTHORIZED, "the provider answered with HTTP status 401"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct err err = {0};

		assert_int_equal(
		    anthropic_upstream.error(bytes_str(table[i].body), table[i].status, &err),
		    table[i].code);
		assert_int_equal(err.code, table[i].code);
		assert_string_equal(err.text, table[i].text);
	}
	/* each of our errors has a type that its status allows */
	for (int code = -30; code < 0; code++)
		assert_true(strstr(anthropic_error_type(code), "error") || code == E_TOO_LARGE);
	assert_string_equal(anthropic_error_type(E_BUSY), "rate_limit_error");
	assert_string_equal(anthropic_error_type(E_UNSUPPORTED), "invalid_request_error");
}

static void test_models(void **state)
{
	void *mem = talloc_new(NULL);
	struct model_entry *m;
	size_t n;

	assert_int_equal(anthropic_upstream.models(mem,
			     bytes_str("{\"data\":[{\"type\":\"model\",\"id\":\"c\",\"created_at\":"
				       "\"2025-02-19T00:00:00Z\"},{\"id\":\"\"},7],"
				       "\"has_more\":false}"),
			     &m, &n, NULL),
	    0);
	assert_int_equal(n, 1);
	assert_string_equal(m[0].id, "c");
	assert_int_equal(m[0].created_s, 1739923200);
	assert_int_equal(anthropic_upstream.models(mem, bytes_str("{}"), &m, &n, NULL), E_UPSTREAM);
	talloc_free(mem);
}

/* What the form cannot say is refused by name, not left out. */
static void test_unsayable(void **state)
{
	struct inference_request base = {.choices = 1}, r[9];
	static const char *const params[] = {"n", "logit_bias", "logprobs", "frequency_penalty",
	    "repeat_penalty", "min_p", "seed", "response_format", "temperature"};

	for (size_t i = 0; i < 9; i++)
		r[i] = base;
	r[0].choices = 2;
	r[1].n_biases = 1;
	r[2].logprobs = true;
	r[3].sampling.frequency_penalty = 1;
	r[4].sampling.has_repeat_penalty = true;
	r[5].sampling.has_min_p = true;
	r[5].sampling.min_p = 0.1;
	r[6].sampling.has_seed = true;
	r[7].format = FORMAT_JSON;
	r[8].sampling.has_temperature = true;
	r[8].sampling.temperature = 1.5;
	for (size_t i = 0; i < 9; i++) {
		struct buf out = BUF_INIT(1 << 16);
		struct err err = {0};
		const char *path;

		assert_int_equal(
		    anthropic_upstream.request(&r[i], &path, &out, &err), E_UNSUPPORTED);
		assert_string_equal(err.param, params[i]);
		buf_free(&out);
	}
}

/* ---- both sides ---------------------------------------------------------------------------- */

static void test_requests_there_and_back(void **state)
{
	static const struct abilities can = {.reasoning = true,
	    .seals = true,
	    .image_urls = true,
	    .mixed_parts = true,
	    .forced_tools = true,
	    .failed_tools = true,
	    .strict = true,
	    .max_temperature = 1,
	    .between = "\n\n"};
	struct chance c = {1};

	for (int i = 0; i < 2000; i++) {
		struct inference_request *r = random_request(NULL, &c, &can);

		if (strcmp(r->reasoning_effort, "none") == 0)
			r->reasoning_effort[0] = 0; /* not to think is what it does unasked */
		check_request(&anthropic_messages, &anthropic_upstream, r);
		talloc_free(r);
	}
}

static void test_answers_there_and_back(void **state)
{
	static const struct answer_abilities can = {.reasoning = true,
	    .seals = true,
	    .cached = true,
	    .reasoning_count = true,
	    .stop_strings = true,
	    .filter = true};
	struct inference_request req = {.choices = 1};
	struct chance c = {2};

	for (int i = 0; i < 2000; i++)
		check_answer(&c, &anthropic_messages, &anthropic_upstream, &req, &can);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_request),
	    cmocka_unit_test(test_prefill_and_modes),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_count),
	    cmocka_unit_test(test_stream),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_whole_bad_arguments),
	    cmocka_unit_test(test_stop_reasons),
	    cmocka_unit_test(test_reading),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_models),
	    cmocka_unit_test(test_unsayable),
	    cmocka_unit_test(test_requests_there_and_back),
	    cmocka_unit_test(test_answers_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
