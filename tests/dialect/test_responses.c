/* The Responses form: vectors, and a client's view of random streams: the events, put together as
 * the SDK does it, are the response that the last of them carries. */
#include "dialect/responses.h"

#include "codec_help.h"

static void test_full_request(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &openai_responses,
	    "{\"model\":\"m\",\"instructions\":\"be short\",\"input\":["
	    "{\"role\":\"user\",\"content\":\"hi\"},"
	    "{\"type\":\"message\",\"role\":\"developer\",\"content\":[{\"type\":\"input_text\","
	    "\"text\":\"d\"}]},"
	    "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
	    "\"text\":\"look\"},{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,"
	    "iVBO\",\"detail\":\"low\"}]},"
	    "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":\"summary_text\","
	    "\"text\":\"hm\"}],\"encrypted_content\":null},"
	    "{\"type\":\"message\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":["
	    "{\"type\":\"output_text\",\"text\":\"I ask.\",\"annotations\":[]}]},"
	    "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"get\",\"arguments\":"
	    "\"{\\\"a\\\":1}\"},"
	    "{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"put\",\"arguments\":\"\"},"
	    "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"42\"},"
	    "{\"type\":\"function_call_output\",\"call_id\":\"c2\",\"output\":[{\"type\":"
	    "\"input_text\",\"text\":\"ok\"}]},"
	    "{\"type\":\"reasoning\",\"summary\":[{\"text\":\"s\"}],\"content\":[{\"type\":"
	    "\"reasoning_text\",\"text\":\"full\"}]},"
	    "{\"type\":\"function_call\",\"call_id\":\"c3\",\"name\":\"get\",\"arguments\":"
	    "\"{}\"},"
	    "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"xx\"},"
	    "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"not-encrypted\"}],"
	    "\"tools\":[{\"type\":\"function\",\"name\":\"get\",\"description\":null,"
	    "\"parameters\":{\"type\":\"object\"},\"strict\":true},{\"type\":\"function\","
	    "\"name\":\"put\",\"parameters\":null,\"strict\":null}],"
	    "\"tool_choice\":{\"type\":\"function\",\"name\":\"get\"},"
	    "\"parallel_tool_calls\":false,\"text\":{\"format\":{\"type\":\"json_schema\","
	    "\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true},\"verbosity\":"
	    "\"low\"},\"reasoning\":{\"effort\":\"high\",\"summary\":\"auto\"},"
	    "\"max_output_tokens\":100,\"temperature\":0.5,\"top_p\":0.9,\"top_logprobs\":3,"
	    "\"include\":[\"reasoning.encrypted_content\"],\"metadata\":{\"k\":\"v\"},"
	    "\"store\":true,\"truncation\":\"auto\",\"stream\":true,\"stream_options\":"
	    "{\"include_obfuscation\":false},\"prompt_cache_key\":\"p\",\"background\":false,"
	    "\"previous_response_id\":null}");

	assert_int_equal(r->n_messages, 8);
	assert_string_equal(r->messages[0].role, "system");
	assert_string_equal((const char *)r->messages[0].content.p, "be short");
	assert_string_equal(r->messages[2].role, "developer");
	assert_int_equal(r->messages[3].n_parts, 2);
	assert_string_equal(r->messages[3].parts[1].detail, "low");
	assert_string_equal(r->messages[4].role, "assistant");
	assert_string_equal((const char *)r->messages[4].reasoning.p, "hm");
	assert_string_equal((const char *)r->messages[4].content.p, "I ask.");
	assert_int_equal(r->messages[4].n_tool_calls, 2);
	assert_string_equal((const char *)r->messages[4].tool_calls[0].arguments.p, "{\"a\":1}");
	assert_string_equal(r->messages[6].tool_call_id, "c2");
	assert_string_equal((const char *)r->messages[6].content.p, "ok");
	assert_string_equal((const char *)r->messages[7].reasoning.p, "full");
	assert_int_equal(r->messages[7].n_tool_calls, 1);
	assert_int_equal(r->n_tools, 2);
	assert_true(r->tools[0].strict && !r->tools[1].strict);
	assert_int_equal(r->tools[1].parameters.n, 0);
	assert_int_equal(r->tool_choice, TOOL_CHOICE_NAMED);
	assert_true(r->no_parallel_tool_calls && r->stream && r->logprobs);
	assert_int_equal(r->format, FORMAT_SCHEMA);
	assert_string_equal(r->schema_name, "n");
	assert_true(r->schema_strict && r->sealed_reasoning);
	assert_string_equal(r->reasoning_effort, "high");
	assert_int_equal(r->max_tokens, 100);
	assert_int_equal(r->top_logprobs, 3);
	assert_non_null(strstr((const char *)r->repeated.p, "\"metadata\":{\"k\":\"v\"}"));
	assert_non_null(strstr((const char *)r->repeated.p, "\"instructions\":\"be short\""));
	assert_non_null(strstr((const char *)r->repeated.p, "\"store\":false"));
	assert_int_equal(talloc_total_blocks(mem), talloc_total_blocks(r) + 1);
	talloc_free(mem);
}

#define I          "\"input\":\"x\""
#define ITEM(item) "{\"input\":[" item "]}"

static void test_refused(void **state)
{
	static const struct refused table[] = {
	    {"", E_SYNTAX, ""},
	    {"[]", E_INVALID, ""},
	    {"{}", E_INVALID, "input"},
	    {"{\"input\":[]}", E_INVALID, "input"},
	    {"{\"input\":7}", E_INVALID, "input"},
	    {"{" I ",\"instructions\":7}", E_INVALID, "instructions"},
	    {ITEM("7"), E_INVALID, "input[0]"},
	    {ITEM("{\"role\":\"wizard\",\"content\":\"\"}"), E_INVALID, "input[0].role"},
	    {ITEM("{\"role\":\"user\"}"), E_INVALID, "input[0].content"},
	    {ITEM("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}"), E_UNSUPPORTED,
		"input[0].content[0].type"},
	    {ITEM("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\"}]}"), E_INVALID,
		"input[0].content[0].text"},
	    {ITEM("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"file_id\":\"f\"}]}"),
		E_UNSUPPORTED, "input[0].content[0].file_id"},
	    {ITEM("{\"type\":\"item_reference\",\"id\":\"x\"}"), E_UNSUPPORTED, "input[0].type"},
	    {ITEM("{\"type\":\"web_search_call\"}"), E_UNSUPPORTED, "input[0].type"},
	    {ITEM("{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"n\"}"), E_INVALID,
		"input[0].arguments"},
	    {ITEM("{\"type\":\"function_call_output\",\"output\":\"\"}"), E_INVALID,
		"input[0].call_id"},
	    {ITEM("{\"type\":\"reasoning\",\"summary\":[{}]}"), E_INVALID,
		"input[0].summary[0].text"},
	    {"{" I ",\"tools\":[{\"type\":\"web_search\"}]}", E_UNSUPPORTED, "tools[0].type"},
	    {"{" I ",\"tools\":[{\"type\":\"custom\",\"name\":\"x\"}]}", E_UNSUPPORTED,
		"tools[0].type"},
	    {"{" I ",\"tools\":[{\"type\":\"function\"}]}", E_INVALID, "tools[0].name"},
	    {"{" I ",\"tools\":[{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":"
	     "\"custom\"}]}]}",
		E_UNSUPPORTED, "tools[0].tools[0].type"},
	    {"{" I ",\"tools\":[{\"type\":\"namespace\",\"name\":\"n\"}]}", E_UNSUPPORTED,
		"tools[0].type"},
	    {"{" I ",\"tool_choice\":\"any\"}", E_INVALID, "tool_choice"},
	    {"{" I ",\"tool_choice\":{\"type\":\"allowed_tools\"}}", E_UNSUPPORTED,
		"tool_choice.type"},
	    {"{" I ",\"parallel_tool_calls\":1}", E_INVALID, "parallel_tool_calls"},
	    {"{" I ",\"text\":{\"format\":{\"type\":\"grammar\"}}}", E_INVALID, "text.format.type"},
	    {"{" I ",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\"}}}", E_INVALID,
		"text.format.schema"},
	    {"{" I ",\"reasoning\":{\"effort\":1}}", E_INVALID, "reasoning.effort"},
	    {"{" I ",\"include\":[1]}", E_INVALID, "include"},
	    {"{" I ",\"top_logprobs\":21}", E_INVALID, "top_logprobs"},
	    {"{" I ",\"temperature\":3}", E_INVALID, "temperature"},
	    {"{" I ",\"max_output_tokens\":0}", E_INVALID, "max_output_tokens"},
	    {"{" I ",\"previous_response_id\":\"r\"}", E_UNSUPPORTED, "previous_response_id"},
	    {"{" I ",\"conversation\":\"c\"}", E_UNSUPPORTED, "conversation"},
	    {"{" I ",\"background\":true}", E_UNSUPPORTED, "background"},
	    {"{" I ",\"prompt\":{\"id\":\"p\"}}", E_UNSUPPORTED, "prompt"},
	    {"{" I ",\"stream\":\"yes\"}", E_INVALID, "stream"},
	};

	check_refused(&openai_responses, table, sizeof table / sizeof table[0]);
}

/* Groups of functions, there and back; and a search through nothing. */
static void test_groups(void **state)
{
	static const struct inference_event call = {.kind = INFERENCE_TOOL_CALL,
	    .tool_id = "c1",
	    .tool_name = "agents__spawn",
	    .text = {(const uint8_t *)"{}", 2}};
	static const struct inference_event end = {
	    .kind = INFERENCE_CHOICE_END, .finish = FINISH_TOOL_CALLS};
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &openai_responses,
	    "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"c0\",\"name\":\"spawn\","
	    "\"namespace\":\"agents\",\"arguments\":\"{}\"}],\"tools\":[{\"type\":\"web_search\","
	    "\"external_web_access\":false},{\"type\":\"namespace\",\"name\":\"agents\","
	    "\"tools\":[{\"type\":\"function\",\"name\":\"spawn\"},{\"type\":\"function\","
	    "\"name\":\"close\"}]},{\"type\":\"function\",\"name\":\"plain\"}]}");
	struct writing t = {new_writer(mem, &openai_responses, r), BUF_INIT(1 << 20)};

	assert_int_equal(r->n_tools, 3);
	assert_string_equal(r->tools[0].name, "agents__spawn");
	assert_string_equal(r->tools[1].group, "agents");
	assert_string_equal(r->tools[2].name, "plain");
	assert_string_equal(r->messages[0].tool_calls[0].name, "agents__spawn");
	write_event(&t, &call, NULL);
	write_event(&t, &end, NULL);
	assert_non_null(strstr(buf_cstr(&t.out), "\"status\":\"completed\",\"call_id\":\"c1\","
						 "\"name\":\"spawn\",\"namespace\":\"agents\""));
	assert_null(strstr(buf_cstr(&t.out), "\"name\":\"agents__spawn\""));
	buf_free(&t.out);
	talloc_free(mem);
}

/* ---- answers ------------------------------------------------------------------------------- */

static const struct inference_logprob probs[] = {{{(const uint8_t *)"H", 1}, -0.5, NULL, 0}};

static const struct inference_event script[] = {
    {.kind = INFERENCE_STARTED},
    {.kind = INFERENCE_REASONING, .text = {(const uint8_t *)"hm", 2}},
    {.kind = INFERENCE_TEXT,
	.text = {(const uint8_t *)"H\xc3\xa9", 3},
	.logprobs = probs,
	.n_logprobs = 1},
    {.kind = INFERENCE_NOTICE, .text = {(const uint8_t *)"moved", 5}},
    {.kind = INFERENCE_TOOL_CALL, .tool_id = "t1", .tool_name = "get"},
    {.kind = INFERENCE_TOOL_CALL, .tool_id = "t2", .tool_name = "put", .tool_index = 1},
    {.kind = INFERENCE_TOOL_CALL, .text = {(const uint8_t *)"{}", 2}},
    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_TOOL_CALLS},
    {.kind = INFERENCE_FINISHED, .usage = {10, 5, 4, -1}},
};

#define RANDOM "010203000000000000000000"
#define OUTPUT                                                                                     \
	"[{\"id\":\"rs_" RANDOM                                                                    \
	"0000\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"hm\"}]"  \
	"},{\"id\":\"msg_" RANDOM                                                                  \
	"0001\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\","             \
	"\"content\":[{\"type\":\"output_text\",\"text\":\"H\xc3\xa9\",\"annotations\":[],"        \
	"\"logprobs\":[{\"token\":\"H\",\"logprob\":-0.5,\"bytes\":[72],\"top_logprobs\":[]}]}]}," \
	"{\"id\":\"fc_" RANDOM                                                                     \
	"0002\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"t1\",\"name\":"  \
	"\"get\",\"arguments\":\"{}\"},{\"id\":\"fc_" RANDOM                                       \
	"0003\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"t2\",\"name\":"  \
	"\"put\",\"arguments\":\"\"}]"
#define USAGE                                                                                      \
	"\"usage\":{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":4},"           \
	"\"output_tokens\":5,\"output_tokens_details\":{\"reasoning_tokens\":0},"                  \
	"\"total_tokens\":15}"

static void test_stream(void **state)
{
	static const char *const types[] = {"response.created", "response.in_progress",
	    "response.output_item.added", "response.reasoning_summary_part.added",
	    "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
	    "response.reasoning_summary_part.done", "response.output_item.done",
	    "response.output_item.added", "response.content_part.added",
	    "response.output_text.delta", "response.output_text.done", "response.content_part.done",
	    "response.output_item.done", "response.output_item.added", "response.output_item.added",
	    "response.function_call_arguments.delta", "response.function_call_arguments.done",
	    "response.output_item.done", "response.function_call_arguments.done",
	    "response.output_item.done", "response.completed"};
	void *mem = talloc_new(NULL);
	struct inference_request *req = parse_ok(mem, &openai_responses, "{" I "}");
	struct writing t = {new_writer(mem, &openai_responses, req), BUF_INIT(1 << 20)};
	struct sse_parser p;
	struct sse_event e;
	struct bytes in;
	size_t n = 0;

	for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
		write_event(&t, &script[i], NULL);
	sse_parser_init(&p, 1 << 20);
	in = buf_view(&t.out);
	while (sse_parser_next(&p, &in, &e, NULL) == 1) {
		assert_true(n < sizeof types / sizeof types[0]);
		assert_string_equal(e.event, types[n++]);
	}
	assert_int_equal(n, sizeof types / sizeof types[0]);
	sse_parser_free(&p);
	assert_non_null(strstr(buf_cstr(&t.out), "\n: moved\n"));
	assert_non_null(strstr(buf_cstr(&t.out),
	    "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":10,\"item_id\":"
	    "\"msg_" RANDOM "0001\",\"output_index\":1,\"content_index\":0,\"delta\":"
	    "\"H\xc3\xa9\",\"logprobs\":[{\"token\":\"H\",\"logprob\":-0.5,\"bytes\":[72],"
	    "\"top_logprobs\":[]}]}\n"));
	assert_non_null(strstr(buf_cstr(&t.out),
	    "{\"type\":\"response.completed\",\"sequence_number\":21,\"response\":{\"id\":"
	    "\"resp_" RANDOM
	    "\",\"object\":\"response\",\"created_at\":1700000000,\"status\":\"completed\","
	    "\"completed_at\":1700000000,\"error\":null,\"incomplete_details\":null,"
	    "\"model\":\"m\",\"output\":" OUTPUT ","));
	assert_non_null(strstr(buf_cstr(&t.out), USAGE "}}\n\n"));
	buf_free(&t.out);
	talloc_free(mem);
}

static void test_whole(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *req = parse_ok(
	    mem, &openai_responses, "{" I ",\"temperature\":1,\"metadata\":{\"a\":\"b\"}}");
	struct dialect_writer *w = new_writer(mem, &openai_responses, req);
	struct inference_result *r = inference_result_new(mem, 1, 1 << 20);
	struct buf out = BUF_INIT(1 << 20);

	for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
		assert_int_equal(inference_collect(r, &script[i], NULL), 0);
	openai_responses.whole(w, r, &out);
	assert_string_equal(buf_cstr(&out),
	    "{\"id\":\"resp_" RANDOM "\",\"object\":\"response\",\"created_at\":1700000000,"
	    "\"status\":\"completed\",\"completed_at\":1700000000,\"error\":null,"
	    "\"incomplete_details\":null,\"model\":\"m\",\"output\":" OUTPUT
	    ",\"background\":false,\"previous_response_id\":null,\"store\":false,"
	    "\"service_tier\":\"default\",\"truncation\":\"disabled\",\"instructions\":null,"
	    "\"max_output_tokens\":null,\"metadata\":{\"a\":\"b\"},\"parallel_tool_calls\":true,"
	    "\"reasoning\":{\"effort\":null,\"summary\":null},\"temperature\":1,"
	    "\"tool_choice\":\"auto\",\"tools\":[],\"top_logprobs\":0,\"top_p\":null,"
	    "\"user\":null,\"safety_identifier\":null,\"prompt_cache_key\":null,"
	    "\"text\":{\"format\":{\"type\":\"text\"}}," USAGE "}");
	buf_free(&out);
	talloc_free(mem);
}

static void test_ends(void **state)
{
	static const struct {
		enum inference_finish finish;
		const char *expected;
	} table[] = {
	    {FINISH_LENGTH, "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"},
	    {FINISH_CONTENT_FILTER, "\"incomplete_details\":{\"reason\":\"content_filter\"}"},
	};
	void *mem = talloc_new(NULL);
	struct inference_request *req = parse_ok(mem, &openai_responses, "{" I "}");

	for (size_t i = 0; i < 2; i++) {
		struct writing t = {new_writer(mem, &openai_responses, req), BUF_INIT(1 << 20)};

		write_event(&t, &script[2], NULL);
		write_event(&t,
		    &(struct inference_event){
			.kind = INFERENCE_CHOICE_END, .finish = table[i].finish},
		    NULL);
		write_event(&t,
		    &(struct inference_event){
			.kind = INFERENCE_FINISHED, .usage = INFERENCE_USAGE_UNKNOWN},
		    NULL);
		assert_non_null(strstr(buf_cstr(&t.out), "event: response.incomplete\n"));
		assert_non_null(strstr(buf_cstr(&t.out), table[i].expected));
		assert_non_null(strstr(buf_cstr(&t.out), "\"usage\":null}}\n"));
		assert_non_null(strstr(buf_cstr(&t.out), "\"message\",\"status\":\"incomplete\""));
		buf_free(&t.out);
	}
	talloc_free(mem);
}

static void test_failure(void **state)
{
	static const struct {
		int code;
		const char *name;
	} table[] = {{E_UPSTREAM, "server_error"}, {E_BUSY, "rate_limit_exceeded"},
	    {E_CONTEXT_LENGTH, "invalid_prompt"}};
	void *mem = talloc_new(NULL);
	struct inference_request *req = parse_ok(mem, &openai_responses, "{" I "}");

	for (size_t i = 0; i < 3; i++) {
		struct writing t = {new_writer(mem, &openai_responses, req), BUF_INIT(1 << 20)};
		struct err why = {.code = table[i].code, .text = "gone"};
		char expected[128];

		write_event(&t, &script[2], NULL);
		openai_responses.failure(t.w, &why, &t.out);
		snprintf(expected, sizeof expected,
		    "\"status\":\"failed\",\"completed_at\":null,\"error\":{\"code\":\"%s\","
		    "\"message\":\"gone\"}",
		    table[i].name);
		assert_non_null(strstr(buf_cstr(&t.out), "event: response.failed\n"));
		assert_non_null(strstr(buf_cstr(&t.out), expected));
		assert_non_null(strstr(buf_cstr(&t.out), "\"text\":\"H\xc3\xa9\""));
		buf_free(&t.out);
	}
	talloc_free(mem);
}

/* ---- a client's view ----------------------------------------------------------------------- */

static json_t *at(json_t *list, int64_t index)
{
	json_t *v = json_array_get(list, (size_t)index);

	assert_non_null(v);
	return v;
}

static void append_to(json_t *object, const char *key, const char *delta)
{
	const char *before = json_string_value(json_object_get(object, key));
	char *joined;

	assert_non_null(before);
	joined = talloc_asprintf(NULL, "%s%s", before, delta);
	json_object_set_new(object, key, json_string(joined));
	talloc_free(joined);
}

/* One event, applied to what the client has of the output so far. */
static void apply(json_t *output, const char *type, json_t *e)
{
	int64_t index = json_get_int(e, "output_index", -1);
	json_t *item, *part = json_object_get(e, "part"), *list;
	const char *delta = json_get_string(e, "delta", "");

	if (strcmp(type, "response.output_item.added") == 0) {
		assert_int_equal(json_array_size(output), index);
		json_array_append_new(output, json_deep_copy(json_object_get(e, "item")));
		return;
	}
	item = at(output, index);
	assert_string_equal(json_get_string(item, "id", ""),
	    json_get_string(e, "item_id", json_get_string(json_object_get(e, "item"), "id", "-")));
	list = json_object_get(item, strstr(type, "summary") ? "summary" : "content");
	if (strstr(type, "part.added"))
		json_array_append_new(list, json_deep_copy(part));
	else if (strstr(type, "_text.delta"))
		append_to(at(list, 0), "text", delta);
	else if (strstr(type, "arguments.delta"))
		append_to(item, "arguments", delta);
	else if (strstr(type, "_text.done"))
		assert_string_equal(
		    json_get_string(at(list, 0), "text", ""), json_get_string(e, "text", "-"));
	else if (strstr(type, "arguments.done"))
		assert_string_equal(
		    json_get_string(item, "arguments", ""), json_get_string(e, "arguments", "-"));
	else if (strstr(type, "part.done"))
		assert_string_equal(
		    json_get_string(at(list, 0), "text", ""), json_get_string(part, "text", "-"));
	else if (strcmp(type, "response.output_item.done") == 0)
		json_array_set_new(
		    output, (size_t)index, json_deep_copy(json_object_get(e, "item")));
	else
		fail_msg("an event that no client knows: %s", type);
}

static void check_stream(struct bytes in)
{
	json_t *output = json_array();
	struct sse_parser p;
	struct sse_event e;
	int64_t sequence = 0;
	bool completed = false;

	sse_parser_init(&p, 4 << 20);
	while (sse_parser_next(&p, &in, &e, NULL) == 1) {
		json_t *root, *response;

		assert_false(completed);
		assert_int_equal(json_read(e.data, &root, NULL), 0);
		assert_string_equal(json_get_string(root, "type", ""), e.event);
		assert_int_equal(json_get_int(root, "sequence_number", -1), sequence++);
		response = json_object_get(root, "response");
		if (!response) {
			apply(output, e.event, root);
		} else if (sequence > 2) {
			completed = true;
			assert_true(json_equal(json_object_get(response, "output"), output));
		} else {
			assert_int_equal(json_array_size(json_object_get(response, "output")), 0);
		}
		json_decref(root);
	}
	assert_true(completed);
	sse_parser_free(&p);
	json_decref(output);
}

static void test_random_streams(void **state)
{
	static const struct answer_abilities can = {.reasoning = true,
	    .seals = true,
	    .cached = true,
	    .reasoning_count = true,
	    .filter = true};
	void *mem = talloc_new(NULL);
	struct inference_request *req = parse_ok(
	    mem, &openai_responses, "{" I ",\"include\":[\"reasoning.encrypted_content\"]}");
	struct chance c = {6};

	for (int i = 0; i < 2000; i++) {
		void *one = talloc_new(NULL);
		struct record ignored = {.text = BUF_INIT(4 << 20)};
		struct writing t = {new_writer(one, &openai_responses, req), BUF_INIT(16 << 20)};
		struct answering a = {
		    &c, &can, {write_event, record_event}, {&t, &ignored}, 0, one};

		random_answer(&a);
		check_stream(buf_view(&t.out));
		buf_free(&t.out);
		buf_free(&ignored.text);
		talloc_free(one);
	}
	talloc_free(mem);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_request),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_groups),
	    cmocka_unit_test(test_stream),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_failure),
	    cmocka_unit_test(test_random_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
