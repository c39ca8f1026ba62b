/* The Ollama dialect: vectors of requests, answers and lists, then both sides against each other.
 */
#include "dialect/ollama.h"

#include "codec_help.h"

#define PNG "iVBORw0KGgoAAAA="

static void test_full_chat(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &ollama_chat,
	    "{\"model\":\"llama3:latest\",\"messages\":["
	    "{\"role\":\"system\",\"content\":\"s\"},"
	    "{\"role\":\"user\",\"content\":\"look\",\"images\":[\"" PNG "\",\"/9j/4AA\"]},"
	    "{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\",\"tool_calls\":["
	    "{\"function\":{\"name\":\"get\",\"arguments\":{\"a\":1}}},"
	    "{\"function\":{\"name\":\"put\",\"arguments\":{}}},"
	    "{\"id\":\"own\",\"function\":{\"name\":\"get\"}}]},"
	    "{\"role\":\"tool\",\"tool_name\":\"put\",\"content\":\"p\"},"
	    "{\"role\":\"tool\",\"tool_name\":\"get\",\"content\":\"g\"},"
	    "{\"role\":\"tool\",\"content\":\"o\"}],"
	    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"description\":"
	    "\"d\",\"parameters\":{\"type\":\"object\"}}}],"
	    "\"format\":\"json\",\"options\":{\"temperature\":0.5,\"top_k\":3,\"top_p\":0.9,"
	    "\"min_p\":0.1,\"repeat_penalty\":1.2,\"presence_penalty\":-1,"
	    "\"frequency_penalty\":1,\"seed\":42,\"num_predict\":9,\"stop\":[\"a\",\"b\"],"
	    "\"num_ctx\":4096,\"num_gpu\":1,\"mirostat\":0,\"typical_p\":1},"
	    "\"think\":\"high\",\"keep_alive\":\"1h30m\",\"stream\":false,\"logprobs\":true,"
	    "\"top_logprobs\":2}");

	assert_string_equal(r->model, "llama3");
	assert_int_equal(r->kind, INFERENCE_CHAT);
	assert_int_equal(r->n_messages, 6);
	assert_int_equal(r->messages[1].n_parts, 3);
	assert_string_equal(
	    (const char *)r->messages[1].parts[1].text.p, "data:image/png;base64," PNG);
	assert_string_equal(
	    (const char *)r->messages[1].parts[2].text.p, "data:image/jpeg;base64,/9j/4AA");
	assert_string_equal((const char *)r->messages[2].reasoning.p, "hm");
	assert_string_equal(r->messages[2].tool_calls[0].id, "call_2_0");
	assert_string_equal((const char *)r->messages[2].tool_calls[0].arguments.p, "{\"a\":1}");
	assert_string_equal(r->messages[2].tool_calls[2].id, "own");
	assert_string_equal(r->messages[3].tool_call_id, "call_2_1");
	assert_string_equal(r->messages[4].tool_call_id, "call_2_0");
	assert_string_equal(r->messages[5].tool_call_id, "own");
	assert_int_equal(r->n_tools, 1);
	assert_int_equal(r->format, FORMAT_JSON);
	assert_true(r->sampling.temperature == 0.5 && r->sampling.top_k == 3 &&
		    r->sampling.top_p == 0.9 && r->sampling.min_p == 0.1 &&
		    r->sampling.repeat_penalty == 1.2 && r->sampling.presence_penalty == -1 &&
		    r->sampling.frequency_penalty == 1 && r->sampling.seed == 42);
	assert_int_equal(r->max_tokens, 9);
	assert_int_equal(r->n_stop, 2);
	assert_string_equal(r->reasoning_effort, "high");
	assert_true(r->has_keep_alive && r->keep_alive_s == 5400);
	assert_true(!r->stream && r->logprobs && r->top_logprobs == 2);
	assert_int_equal(talloc_total_blocks(mem), talloc_total_blocks(r) + 1);
	talloc_free(mem);
}

static void test_defaults(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &ollama_chat,
	    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},"
	    "{\"role\":\"assistant\",\"content\":\"The \"}],\"options\":{\"seed\":-1,"
	    "\"num_predict\":-1,\"repeat_penalty\":2,\"presence_penalty\":1,"
	    "\"repeat_last_n\":0},\"think\":true,\"format\":{\"type\":\"object\"}}");

	assert_true(r->stream); /* unlike everywhere else */
	assert_false(r->sampling.has_seed);
	assert_int_equal(r->max_tokens, 0);
	assert_true(r->sampling.repeat_penalty == 1 && r->sampling.presence_penalty == 0);
	assert_string_equal(r->reasoning_effort, "medium");
	assert_int_equal(r->format, FORMAT_SCHEMA);
	assert_int_equal(r->n_messages, 1);
	assert_string_equal((const char *)r->continuation.text.p, "The ");
	assert_false(ollama_is_load(r));
	talloc_free(mem);
}

static void test_generate(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r = parse_ok(mem, &ollama_generate,
	    "{\"model\":\"m\",\"prompt\":\"why\",\"system\":\"be short\",\"images\":[\"" PNG
	    "\"],\"context\":[]}");

	assert_int_equal(r->kind, INFERENCE_CHAT);
	assert_int_equal(r->n_messages, 2);
	assert_string_equal(r->messages[0].role, "system");
	assert_string_equal((const char *)r->messages[1].content.p, "why");
	assert_int_equal(r->messages[1].n_parts, 2);
	r = parse_ok(mem, &ollama_generate, "{\"model\":\"m\",\"prompt\":\"why\",\"raw\":true}");
	assert_int_equal(r->kind, INFERENCE_COMPLETION);
	assert_string_equal((const char *)r->prompt.p, "why");
	r = parse_ok(mem, &ollama_generate, "{\"model\":\"m\",\"prompt\":\"f(\",\"suffix\":\")\"}");
	assert_int_equal(r->kind, INFERENCE_COMPLETION);
	assert_string_equal((const char *)r->suffix.p, ")");
	talloc_free(mem);
}

static void test_load(void **state)
{
	void *mem = talloc_new(NULL);

	assert_true(ollama_is_load(parse_ok(mem, &ollama_chat, "{\"model\":\"m\"}")));
	assert_true(
	    ollama_is_load(parse_ok(mem, &ollama_chat, "{\"model\":\"m\",\"messages\":[]}")));
	assert_true(ollama_is_load(parse_ok(mem, &ollama_generate, "{\"model\":\"m\"}")));
	assert_true(
	    ollama_is_load(parse_ok(mem, &ollama_generate, "{\"model\":\"m\",\"raw\":true}")));
	assert_false(
	    ollama_is_load(parse_ok(mem, &ollama_generate, "{\"model\":\"m\",\"prompt\":\"x\"}")));
	talloc_free(mem);
}

static void test_keep_alive(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} table[] = {{"0", 0}, {"-1", -1}, {"300", 300}, {"1.5", 2}, {"\"0\"", 0}, {"\"5m\"", 300},
	    {"\"-1s\"", -1}, {"\"300ms\"", 1}, {"\"1.5h\"", 5400}, {"1e300", 1000000000}};
	static const char *const bad[] = {"\"\"", "\"5\"", "\"m\"", "\"5x\"", "\"inf\"", "true",
	    "\"0x5s\"", "\"1e5s\"", "\"5 m\"", "\"-\"", "\"1.2.3s\"", "\".s\""};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		void *mem = talloc_new(NULL);
		struct inference_request *r = parse_ok(
		    mem, &ollama_chat, talloc_asprintf(mem, "{\"keep_alive\":%s}", table[i].text));

		assert_true(r->has_keep_alive);
		assert_int_equal(r->keep_alive_s, table[i].s);
		talloc_free(mem);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char body[128];
		struct refused one = {body, E_INVALID, "keep_alive"};

		snprintf(body, sizeof body, "{\"keep_alive\":%s}", bad[i]);
		check_refused(&ollama_chat, &one, 1);
	}
}

static void test_refused(void **state)
{
	static const struct refused chat[] = {
	    {"{", E_SYNTAX, ""},
	    {"[]", E_INVALID, ""},
	    {"{\"model\":3}", E_INVALID, "model"},
	    {"{\"messages\":{}}", E_INVALID, "messages"},
	    {"{\"messages\":[{\"role\":\"narrator\"}]}", E_INVALID, "messages[0].role"},
	    {"{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", E_INVALID,
		"messages[0].content"},
	    {"{\"messages\":[{\"role\":\"user\",\"images\":[\"aGk=\"]}]}", E_INVALID,
		"messages[0].images[0]"},
	    {"{\"messages\":[{\"role\":\"user\",\"tool_calls\":[{}]}]}", E_INVALID,
		"messages[0].tool_calls[0].function.name"},
	    {"{\"messages\":[{\"role\":\"user\",\"tool_calls\":[{\"function\":{\"name\":\"n\","
	     "\"arguments\":\"{}\"}}]}]}",
		E_INVALID, "messages[0].tool_calls[0].function.arguments"},
	    {"{\"tools\":[{\"type\":\"search\"}]}", E_UNSUPPORTED, "tools[0].type"},
	    {"{\"tools\":[{}]}", E_INVALID, "tools[0].function"},
	    {"{\"options\":[]}", E_INVALID, "options"},
	    {"{\"options\":{\"temperature\":3}}", E_INVALID, "options.temperature"},
	    {"{\"options\":{\"top_k\":1.5}}", E_INVALID, "options.top_k"},
	    {"{\"options\":{\"num_predict\":-3}}", E_INVALID, "options.num_predict"},
	    {"{\"options\":{\"mirostat\":2}}", E_UNSUPPORTED, "options.mirostat"},
	    {"{\"options\":{\"typical_p\":0.5}}", E_UNSUPPORTED, "options.typical_p"},
	    {"{\"options\":{\"repeat_last_n\":128}}", E_UNSUPPORTED, "options.repeat_last_n"},
	    {"{\"options\":{\"stop\":[1]}}", E_INVALID, "options.stop"},
	    {"{\"format\":\"yaml\"}", E_INVALID, "format"},
	    {"{\"format\":3}", E_INVALID, "format"},
	    {"{\"think\":\"very\"}", E_INVALID, "think"},
	    {"{\"stream\":\"no\"}", E_INVALID, "stream"},
	    {"{\"top_logprobs\":21}", E_INVALID, "top_logprobs"},
	};
	static const struct refused generate[] = {
	    {"{\"prompt\":1}", E_INVALID, "prompt"},
	    {"{\"raw\":1}", E_INVALID, "raw"},
	    {"{\"prompt\":\"x\",\"context\":[1,2]}", E_UNSUPPORTED, "context"},
	    {"{\"prompt\":\"x\",\"template\":\"{{ .Prompt }}\"}", E_UNSUPPORTED, "template"},
	    {"{\"prompt\":\"x\",\"raw\":true,\"system\":\"s\"}", E_UNSUPPORTED, "system"},
	    {"{\"prompt\":\"x\",\"suffix\":\"y\",\"images\":[\"" PNG "\"]}", E_UNSUPPORTED,
		"images"},
	};

	check_refused(&ollama_chat, chat, sizeof chat / sizeof chat[0]);
	check_refused(&ollama_generate, generate, sizeof generate / sizeof generate[0]);
}

/* ---- answers ------------------------------------------------------------------------------- */

static const struct inference_logprob top = {{(const uint8_t *)"\xc3", 1}, -1.5, NULL, 0};
static const struct inference_logprob probs[] = {{{(const uint8_t *)"H", 1}, -0.25, &top, 1}};

static const struct inference_event script[] = {
    {.kind = INFERENCE_STARTED},
    {.kind = INFERENCE_REASONING, .text = {(const uint8_t *)"hm", 2}},
    {.kind = INFERENCE_NOTICE, .text = {(const uint8_t *)"moved", 5}},
    {.kind = INFERENCE_TEXT,
	.text = {(const uint8_t *)"H\xc3\xa9\n", 4},
	.logprobs = probs,
	.n_logprobs = 1},
    {.kind = INFERENCE_TOOL_CALL, .tool_id = "t1", .tool_name = "get"},
    {.kind = INFERENCE_TOOL_CALL, .tool_id = "t2", .tool_name = "put", .tool_index = 1},
    {.kind = INFERENCE_TOOL_CALL, .text = {(const uint8_t *)"{\"a\": 1}\n", 9}},
    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_TOOL_CALLS},
    {.kind = INFERENCE_FINISHED, .usage = {10, 5, 4, 2}},
};

#define AT(us) "{\"model\":\"m\",\"created_at\":\"2023-11-14T22:13:20." us "Z\""
#define CALLS                                                                                      \
	"\"tool_calls\":[{\"id\":\"t1\",\"function\":{\"index\":0,\"name\":\"get\","               \
	"\"arguments\":{\"a\":1}}},{\"id\":\"t2\",\"function\":{\"index\":1,\"name\":\"put\","     \
	"\"arguments\":{}}}]"
#define LOGPROBS                                                                                   \
	"\"logprobs\":[{\"token\":\"H\",\"logprob\":-0.25,\"bytes\":[72],\"top_logprobs\":["       \
	"{\"token\":\"\xef\xbf\xbd\",\"logprob\":-1.5,\"bytes\":[195]}]}]"

static void run(struct writing *t)
{
	for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
		write_event(t, &script[i], NULL);
}

static void test_stream(void **state)
{
	void *mem = talloc_new(NULL);
	struct writing t = {new_writer(mem, &ollama_chat, NULL), BUF_INIT(1 << 20)};

	run(&t);
	assert_string_equal(buf_cstr(&t.out),
	    AT("002000") ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
			 "\"hm\"},\"done\":false}\n" AT(
			     "004000") ",\"message\":{\"role\":\"assistant\",\"content\":"
				       "\"H\xc3\xa9\\n\"}," LOGPROBS ",\"done\":false}\n" AT(
					   "008000") ",\"message\":{\"role\":\"assistant\","
						     "\"content\":\"\"," CALLS
						     "},\"done\":false}\n" AT(
							 "009000") ",\"message\":{\"role\":"
								   "\"assistant\",\"content\":\"\"}"
								   ",\"done\":true,"
								   "\"done_reason\":\"stop\","
								   "\"total_duration\":9000000,"
								   "\"load_duration\":1000000,"
								   "\"prompt_eval_count\":10,"
								   "\"prompt_eval_duration\":"
								   "1000000,\"eval_count\":5,"
								   "\"eval_duration\":7000000}\n");
	buf_reset(&t.out);
	ollama_chat.pulse(t.w, &t.out);
	assert_string_equal(buf_cstr(&t.out), AT("009000") ",\"message\":{\"role\":\"assistant\","
							   "\"content\":\"\"},\"done\":false}\n");
	buf_reset(&t.out);
	ollama_chat.failure(t.w, &(struct err){.code = E_UPSTREAM, .text = "go\"ne"}, &t.out);
	assert_string_equal(buf_cstr(&t.out), "{\"error\":\"go\\\"ne\"}\n");
	buf_free(&t.out);
	talloc_free(mem);
}

static void test_generate_stream(void **state)
{
	static const struct inference_event two[] = {
	    {.kind = INFERENCE_TEXT, .text = {(const uint8_t *)"hi", 2}},
	    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_LENGTH},
	    {.kind = INFERENCE_FINISHED, .usage = {-1, -1, -1, -1}},
	};
	void *mem = talloc_new(NULL);
	struct writing t = {new_writer(mem, &ollama_generate, NULL), BUF_INIT(1 << 20)};

	for (size_t i = 0; i < 3; i++)
		write_event(&t, &two[i], NULL);
	assert_string_equal(buf_cstr(&t.out),
	    AT("001000") ",\"response\":\"hi\",\"done\":false}\n" AT(
		"003000") ",\"response\":\"\",\"done\":true,\"done_reason\":\"length\","
			  "\"total_duration\":3000000,\"load_duration\":1000000,"
			  "\"prompt_eval_duration\":0,\"eval_duration\":2000000}\n");
	buf_free(&t.out);
	talloc_free(mem);
}

static void test_whole(void **state)
{
	void *mem = talloc_new(NULL);
	struct dialect_writer *w = new_writer(mem, &ollama_chat, NULL);
	struct inference_result *r = inference_result_new(mem, 1, 1 << 20);
	struct buf out = BUF_INIT(1 << 20);

	for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
		assert_int_equal(inference_collect(r, &script[i], NULL), 0);
	ollama_chat.whole(w, r, &out);
	assert_non_null(strstr(buf_cstr(&out),
	    AT("000000") ",\"message\":{\"role\":\"assistant\",\"content\":\"H\xc3\xa9\\n\","
			 "\"thinking\":\"hm\"," CALLS "}," LOGPROBS
			 ",\"done\":true,\"done_reason\":\"stop\""));
	buf_free(&out);
	talloc_free(mem);
}

static void test_load_answer(void **state)
{
	static const struct {
		const char *body, *reason;
	} table[] = {
	    {"{\"model\":\"m\",\"messages\":[]}", "\"done_reason\":\"load\""},
	    {"{\"model\":\"m\",\"messages\":[],\"keep_alive\":0}", "\"done_reason\":\"unload\""},
	};

	for (size_t i = 0; i < 2; i++) {
		void *mem = talloc_new(NULL);
		struct writing t = {
		    new_writer(mem, &ollama_chat, parse_ok(mem, &ollama_chat, table[i].body)),
		    BUF_INIT(1 << 20)};

		write_event(&t, &(struct inference_event){.kind = INFERENCE_STARTED}, NULL);
		write_event(&t, &(struct inference_event){.kind = INFERENCE_CHOICE_END}, NULL);
		write_event(&t, &(struct inference_event){.kind = INFERENCE_FINISHED}, NULL);
		assert_non_null(strstr(buf_cstr(&t.out), table[i].reason));
		assert_ptr_equal(strchr(buf_cstr(&t.out), '\n'), (char *)t.out.p + t.out.n - 1);
		buf_free(&t.out);
		talloc_free(mem);
	}
}

/* ---- models -------------------------------------------------------------------------------- */

static void test_lists(void **state)
{
	static const struct model_entry models[] = {
	    {.id = "a",
		.created_s = 1700000000,
		.n_ctx = 4096,
		.abilities = MODEL_CHAT | MODEL_TOOLS},
	    {.id = "org/b:7b", .ready = true, .n_ctx = 2048, .hash = "0123"},
	    {.id = "a", .ready = true, .n_ctx = 8192},
	};
	struct buf out = BUF_INIT(1 << 20);
	struct model_entry *back;
	void *mem = talloc_new(NULL);
	size_t n;

	ollama_tags_write(&out, models, 3);
	assert_int_equal(ollama_upstream.models(mem, buf_view(&out), &back, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(back[0].id, "a");
	assert_int_equal(back[0].created_s, 1700000000);
	assert_int_equal(back[0].abilities, MODEL_CHAT | MODEL_COMPLETION | MODEL_TOOLS);
	assert_int_equal(strlen(back[0].hash), 64);
	assert_string_equal(back[1].id, "org/b:7b");
	assert_non_null(strstr(buf_cstr(&out), "\"name\":\"a:latest\""));
	assert_non_null(strstr(buf_cstr(&out), "\"digest\":\"0123\""));
	buf_reset(&out);
	ollama_ps_write(&out, models, 3);
	assert_int_equal(ollama_upstream.models(mem, buf_view(&out), &back, &n, NULL), 0);
	assert_int_equal(n, 2); /* "a" is ready somewhere */
	assert_non_null(strstr(buf_cstr(&out), "\"expires_at\":\"2318-"));
	buf_reset(&out);
	ollama_show_write(&out, (const struct model_entry[]){models[0], models[2]}, 2);
	assert_non_null(strstr(buf_cstr(&out), ".context_length\":8192"));
	assert_non_null(strstr(buf_cstr(&out), "\"capabilities\":[\"completion\",\"tools\"]"));
	buf_reset(&out);
	ollama_version_write(&out);
	assert_string_equal(buf_cstr(&out), "{\"version\":\"" OLLAMA_VERSION "\"}");
	buf_free(&out);
	talloc_free(mem);
}

static void test_show_request(void **state)
{
	static const char *const bad[] = {"{}", "{\"model\":\"\"}", "{\"model\":3}"};
	char model[MODEL_ID_MAX];
	struct err err = {0};

	assert_int_equal(ollama_show_parse(bytes_str("{\"model\":\"x:latest\"}"), model, NULL), 0);
	assert_string_equal(model, "x");
	assert_int_equal(ollama_show_parse(bytes_str("{\"name\":\"y\"}"), model, NULL), 0);
	assert_string_equal(model, "y");
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ollama_show_parse(bytes_str(bad[i]), model, &err), E_INVALID);
		assert_string_equal(err.param, "model");
	}
	assert_int_equal(ollama_show_parse(bytes_str("{"), model, NULL), E_SYNTAX);
}

static void test_names(void **state)
{
	static const char *const table[][2] = {{"m:latest", "m"}, {"m", "m"},
	    {":latest", ":latest"}, {"m:latest2", "m:latest2"}, {"a/b:7b", "a/b:7b"}};

	for (size_t i = 0; i < 5; i++) {
		char name[MODEL_ID_MAX];

		snprintf(name, sizeof name, "%s", table[i][0]);
		ollama_name_normalise(name);
		assert_string_equal(name, table[i][1]);
	}
}

/* ---- embeddings ---------------------------------------------------------------------------- */

static void test_embed(void **state)
{
	void *mem = talloc_new(NULL);
	struct embedding_request *req, *back;
	float values[] = {0.1f, -2.5e-8f, 3.0f, 4.0f};
	struct embedding_result result = {values, 2, 2, 7}, read;
	struct buf out = BUF_INIT(1 << 16);
	const char *path;

	assert_int_equal(ollama_embed.parse(mem,
			     bytes_str("{\"model\":\"e:latest\",\"input\":[\"a\",\"\xc3\xa9\"],"
				       "\"dimensions\":2,\"truncate\":true}"),
			     &req, NULL),
	    0);
	assert_string_equal(req->model, "e");
	assert_int_equal(req->n_inputs, 2);
	assert_int_equal(req->dimensions, 2);
	assert_int_equal(ollama_upstream.embed_request(req, &path, &out, NULL), 0);
	assert_int_equal(ollama_embed.parse(mem, buf_view(&out), &back, NULL), 0);
	assert_true(bytes_equal(back->inputs[1], bytes_str("\xc3\xa9")) && back->n_inputs == 2);
	buf_reset(&out);
	ollama_embed.write(req, &result, "e", 1500, &out);
	assert_non_null(strstr(buf_cstr(&out), "\"total_duration\":1500000"));
	assert_int_equal(ollama_upstream.embed_answer(mem, buf_view(&out), &read, NULL), 0);
	assert_true(read.n == 2 && read.dims == 2 && read.prompt_tok == 7);
	assert_memory_equal(read.values, values, sizeof values); /* to the last bit */
	buf_reset(&out);
	ollama_embeddings.write(req, &result, "e", 1500, &out);
	assert_string_equal(buf_cstr(&out), "{\"embedding\":[0.100000001,-2.50000003e-08]}");
	assert_int_equal(
	    ollama_embeddings.parse(mem, bytes_str("{\"prompt\":\"p\"}"), &req, NULL), 0);
	assert_true(req->n_inputs == 1 && bytes_equal(req->inputs[0], bytes_str("p")));
	assert_int_equal(ollama_embed.parse(mem, bytes_str("{\"input\":\"p\"}"), &req, NULL), 0);
	assert_int_equal(req->n_inputs, 1);
	buf_free(&out);
	talloc_free(mem);
}

static void test_embed_refused(void **state)
{
	static const char *const requests[] = {"{}", "{\"input\":[]}", "{\"input\":3}",
	    "{\"input\":[1]}", "{\"input\":\"x\",\"dimensions\":0}", "[]"};
	static const char *const answers[] = {"{}", "[", "{\"embeddings\":[]}",
	    "{\"embeddings\":[[]]}", "{\"embeddings\":[[1],[1,2]]}", "{\"embeddings\":[[\"1\"]]}",
	    "{\"embeddings\":[1]}", "{\"error\":\"no\"}"};
	void *mem = talloc_new(NULL);
	struct embedding_request *req;
	struct embedding_result result;

	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
		assert_int_equal(
		    ollama_embed.parse(mem, bytes_str(requests[i]), &req, NULL), E_INVALID);
	assert_int_equal(ollama_embeddings.parse(mem, bytes_str("{}"), &req, NULL), E_INVALID);
	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
		assert_int_equal(
		    ollama_upstream.embed_answer(mem, bytes_str(answers[i]), &result, NULL),
		    E_UPSTREAM);
	assert_int_equal(talloc_total_blocks(mem), 1);
	talloc_free(mem);
}

/* ---- the upstream -------------------------------------------------------------------------- */

static int read_lines(const char *lines, struct record *rec, struct err *err)
{
	struct inference_request req = {.choices = 1, .n_messages = 3};
	void *mem = talloc_new(NULL);
	struct upstream_reader *r;
	int rc = 0;

	assert_int_equal(
	    upstream_reader_new(mem, &ollama_upstream, &req, record_event, rec, &r, NULL), 0);
	while (rc == 0 && *lines) {
		size_t n = strcspn(lines, "\n");

		rc = ollama_upstream.take(r, "", bytes_of(lines, n), err);
		lines += n + 1;
	}
	if (rc == 0)
		rc = ollama_upstream.end(r, err);
	talloc_free(mem);
	return rc;
}

#define DONE "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n"

static void test_reading(void **state)
{
	static const struct {
		const char *lines;
		int code;
		const char *record;
	} table[] = {
	    {"{\"message\":{\"content\":\"a\",\"thinking\":\"t\"},\"done\":false}\n" DONE, 0,
		"started\nthoughts t\ntext a\nend 0 0\nfinished -1 -1 -1 -1"},
	    {"{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":"
	     "[1]}}},{\"function\":{\"name\":\"g\"}}]}}\n" DONE,
		0,
		"started\ncall 0 call_3_0 f {\"x\":[1]}\ncall 1 call_3_1 g {}\nend 0 2\n"
		"finished -1 -1 -1 -1"},
	    {"{\"response\":\"a\",\"done\":false}\n{\"response\":\"b\",\"done\":true,"
	     "\"done_reason\":\"length\",\"prompt_eval_count\":4,\"eval_count\":2}\n",
		0, "started\ntext ab\nend 0 1\nfinished 4 2 -1 -1"},
	    {DONE "after the end\n", 0, "started\nend 0 0\nfinished -1 -1 -1 -1"},
	    {"{\"message\":{\"content\":\"a\"}}\n", E_CLOSED, "started\ntext a"},
	    {"{\"error\":\"out of paper\"}\n", E_UPSTREAM, ""},
	    {"{\"message\":{\"content\":\"a\"}}\n{\"error\":\"x\"}\n", E_UPSTREAM,
		"started\ntext a"},
	    {"{}\n", E_UPSTREAM, ""},
	    {"[1]\n", E_UPSTREAM, ""},
	    {"nonsense\n", E_UPSTREAM, ""},
	    {"{\"message\":{\"tool_calls\":[{}]}}\n", E_UPSTREAM, "started"},
	    {"", E_CLOSED, ""},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct record rec = {.text = BUF_INIT(1 << 20)};
		struct err err = {0};

		assert_int_equal(read_lines(table[i].lines, &rec, &err), table[i].code);
		assert_string_equal(buf_cstr(&rec.text), table[i].record);
		buf_free(&rec.text);
	}
}

static int keep_logprobs(void *arg, const struct inference_event *e, struct err *err)
{
	struct buf *out = arg;

	for (size_t i = 0; i < e->n_logprobs; i++) {
		buf_printf(out, "%g %u", e->logprobs[i].logprob, e->logprobs[i].token.p[0]);
		for (size_t k = 0; k < e->logprobs[i].n_top; k++)
			buf_printf(out, " %g %u", e->logprobs[i].top[k].logprob,
			    e->logprobs[i].top[k].token.p[0]);
	}
	return 0;
}

static void test_logprobs(void **state)
{
	static const char line[] = "{\"message\":{\"content\":\"H\"}," LOGPROBS ",\"done\":false}";
	struct inference_request req = {.choices = 1};
	struct buf seen = BUF_INIT(1000);
	struct upstream_reader *r;

	assert_int_equal(
	    upstream_reader_new(NULL, &ollama_upstream, &req, keep_logprobs, &seen, &r, NULL), 0);
	assert_int_equal(ollama_upstream.take(r, "", bytes_str(line), NULL), 0);
	assert_string_equal(buf_cstr(&seen), "-0.25 72 -1.5 195");
	buf_free(&seen);
	talloc_free(r);
}

static void test_errors(void **state)
{
	struct err err = {0};

	assert_int_equal(ollama_upstream.error(
			     bytes_str("{\"error\":\"model \\\"x\\\" not found\"}"), 404, &err),
	    E_MODEL_NOT_FOUND);
	assert_string_equal(err.text, "model \"x\" not found");
	assert_int_equal(
	    ollama_upstream.error(bytes_str("{\"error\":\"x does not support tools\"}"), 400, &err),
	    E_UNSUPPORTED);
	assert_int_equal(ollama_upstream.error(bytes_str("?"), 500, &err), E_UPSTREAM);
}

static void test_unsayable(void **state)
{
	struct inference_tool tool = {.name = (char *)"t"};
	struct inference_part picture = {
	    INFERENCE_PART_IMAGE, {(const uint8_t *)"https://x", 9}, NULL};
	struct inference_message m = {.role = (char *)"user", .parts = &picture, .n_parts = 1};
	struct inference_request base = {.choices = 1}, r[6];
	static const char *const params[] = {
	    "n", "logit_bias", "tool_choice", "parallel_tool_calls", "echo", "messages[0].content"};

	for (size_t i = 0; i < 6; i++)
		r[i] = base;
	r[0].choices = 2;
	r[1].n_biases = 1;
	r[2].tool_choice = TOOL_CHOICE_REQUIRED;
	r[3].tools = &tool;
	r[3].n_tools = 1;
	r[3].no_parallel_tool_calls = true;
	r[4].echo = true;
	r[5].messages = &m;
	r[5].n_messages = 1;
	for (size_t i = 0; i < 6; i++) {
		struct buf out = BUF_INIT(1 << 16);
		struct err err = {0};
		const char *path;

		assert_int_equal(ollama_upstream.request(&r[i], &path, &out, &err), E_UNSUPPORTED);
		assert_string_equal(err.param, params[i]);
		buf_free(&out);
	}
}

/* ---- both sides ---------------------------------------------------------------------------- */

static void test_requests_there_and_back(void **state)
{
	static const struct abilities can = {.penalties = true,
	    .seed = true,
	    .min_p = true,
	    .logprobs = true,
	    .any_json = true,
	    .reasoning = true,
	    .keep_alive = true,
	    .tool_names = true,
	    .max_temperature = 2,
	    .between = ""};
	struct chance c = {3};

	for (int i = 0; i < 2000; i++) {
		struct inference_request *r = random_request(NULL, &c, &can);

		for (size_t k = 0; k < r->n_tools; k++)
			if (!r->tools[k].description)
				r->tools[k].description = talloc_strdup(r, "");
		check_request(&ollama_chat, &ollama_upstream, r);
		talloc_free(r);
	}
}

static void test_prompts_there_and_back(void **state)
{
	struct chance c = {4};

	for (int i = 0; i < 500; i++) {
		struct inference_request *r = talloc_zero(NULL, struct inference_request);

		r->kind = INFERENCE_COMPLETION;
		r->choices = 1;
		r->stream = r->include_usage = true;
		r->prompt = random_bytes(r, &c, 30);
		if (one_in(&c, 2))
			r->suffix = random_bytes(r, &c, 9);
		check_request(&ollama_generate, &ollama_upstream, r);
		talloc_free(r);
	}
}

static void test_answers_there_and_back(void **state)
{
	static const struct answer_abilities can = {
	    .reasoning = true, .filter = true, .whole_calls = true};
	struct inference_request chat = {.choices = 1, .n_messages = 1};
	struct inference_request prompt = {
	    .choices = 1, .kind = INFERENCE_COMPLETION, .prompt = {(const uint8_t *)"x", 1}};
	struct chance c = {5};

	for (int i = 0; i < 2000; i++)
		check_answer(&c, &ollama_chat, &ollama_upstream, &chat, &can);
	for (int i = 0; i < 2000; i++)
		check_answer(&c, &ollama_generate, &ollama_upstream, &prompt,
		    &(const struct answer_abilities){.reasoning = true, .no_calls = true});
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_chat),
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_generate),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_keep_alive),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_stream),
	    cmocka_unit_test(test_generate_stream),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_load_answer),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_show_request),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_embed),
	    cmocka_unit_test(test_embed_refused),
	    cmocka_unit_test(test_reading),
	    cmocka_unit_test(test_logprobs),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_unsayable),
	    cmocka_unit_test(test_requests_there_and_back),
	    cmocka_unit_test(test_prompts_there_and_back),
	    cmocka_unit_test(test_answers_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
