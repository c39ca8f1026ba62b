/* Bare prompts and embeddings: what is read, what is refused by name, the exact bytes of answers,
 * and reading them back. */
#include "dialect/json.h"
#include "dialect/openai.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#include <cmocka.h>

static bool is(struct bytes b, const char *s)
{
	return bytes_equal(b, bytes_str(s));
}

/* ---- completions --------------------------------------------------------------------------- */

static void test_prompt(void **state)
{
	void *mem = talloc_new(NULL);
	struct inference_request *r;
	struct buf out = BUF_INIT(4096);
	const char *path;
	struct err err;

	assert_int_equal(
	    openai_completions.parse(mem,
		bytes_str(
		    "{\"model\":\"m\",\"prompt\":[\"once \\\"\"],\"suffix\":\"end\",\"echo\":true,"
		    "\"logprobs\":0,\"n\":2,\"best_of\":2,\"max_tokens\":5,\"stream\":true,"
		    "\"messages\":[1]}"),
		&r, &err),
	    0);
	assert_int_equal(r->kind, INFERENCE_COMPLETION);
	assert_true(is(r->prompt, "once \"") && is(r->suffix, "end") && r->echo && r->stream);
	assert_true(r->logprobs && r->top_logprobs == 0 && r->choices == 2 && r->max_tokens == 5);
	assert_true(is(r->extra, "\"messages\":[1]"));
	assert_int_equal(openai_upstream.request(r, &path, &out, &err), 0);
	assert_string_equal(path, "/v1/completions");
	assert_string_equal(buf_cstr(&out),
	    "{\"model\":\"m\",\"prompt\":\"once "
	    "\\\"\",\"suffix\":\"end\",\"echo\":true,\"max_tokens\":5,"
	    "\"n\":2,\"logprobs\":0,\"stream\":true,\"stream_options\":{\"include_usage\":true},"
	    "\"messages\":[1]}");
	assert_int_equal(openai_completions.parse(
			     mem, bytes_str("{\"prompt\":\"\",\"logprobs\":null}"), &r, &err),
	    0);
	assert_true(r->prompt.n == 0 && !r->logprobs && r->choices == 1);
	buf_free(&out);
	talloc_free(mem);
}

static void test_prompt_refused(void **state)
{
	static const struct {
		const char *body;
		int code;
		const char *param;
	} cases[] = {
	    {"{}", E_INVALID, "prompt"},
	    {"{\"prompt\":5}", E_INVALID, "prompt"},
	    {"{\"prompt\":[]}", E_INVALID, "prompt"},
	    {"{\"prompt\":[1,2]}", E_UNSUPPORTED, "prompt"},
	    {"{\"prompt\":[[1,2]]}", E_UNSUPPORTED, "prompt"},
	    {"{\"prompt\":[\"a\",\"b\"]}", E_UNSUPPORTED, "prompt"},
	    {"{\"prompt\":\"a\",\"suffix\":1}", E_INVALID, "suffix"},
	    {"{\"prompt\":\"a\",\"echo\":1}", E_INVALID, "echo"},
	    {"{\"prompt\":\"a\",\"logprobs\":true}", E_INVALID, "logprobs"},
	    {"{\"prompt\":\"a\",\"logprobs\":21}", E_INVALID, "logprobs"},
	    {"{\"prompt\":\"a\",\"best_of\":3}", E_UNSUPPORTED, "best_of"},
	    {"{\"prompt\":\"a\",\"n\":2,\"best_of\":1}", E_UNSUPPORTED, "best_of"},
	    {"{\"prompt\":\"a\",\"temperature\":3}", E_INVALID, "temperature"},
	};
	void *mem = talloc_new(NULL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct inference_request *r;
		struct err err = {0};
		int rc = openai_completions.parse(mem, bytes_str(cases[i].body), &r, &err);

		if (rc != cases[i].code || strcmp(err.param, cases[i].param) != 0)
			fail_msg("%s: %d %s", cases[i].body, rc, err.text);
	}
	assert_int_equal(talloc_total_blocks(mem), 1);
	talloc_free(mem);
}

#define ID                                                                                         \
	"{\"id\":\"cmpl-000000000000000000000000\",\"object\":\"text_completion\",\"created\":7,"  \
	"\"model\":\"m\",\"choices\":["
#define CHUNK(c) "data: " ID c "]}\n\n"

/* Two pieces with their probabilities, of which one is no text: what clients see, streamed and
 * whole, and what another node reads from it. */
static void test_completion_answer(void **state)
{
	static const struct inference_logprob top[] = {
	    {{(const uint8_t *)"\xc3", 1}, -0.5, NULL, 0},
	    {{(const uint8_t *)"\xc3", 1}, -0.75, NULL, 0},
	    {{(const uint8_t *)"b", 1}, -1, NULL, 0},
	};
	static const struct inference_logprob probs[] = {
	    {{(const uint8_t *)"\xc3", 1}, -0.5, top, 3},
	    {{(const uint8_t *)"\xa9", 1}, -0.25, NULL, 0},
	};
	const struct inference_event events[] = {
	    {.kind = INFERENCE_STARTED},
	    {.kind = INFERENCE_TEXT, .text = bytes_str("h\xc3\xa4")},
	    {.kind = INFERENCE_TEXT,
		.text = bytes_str("\xc3\xa9"),
		.logprobs = probs,
		.n_logprobs = 2},
	    {.kind = INFERENCE_NOTICE, .text = bytes_str("hm")},
	    {.kind = INFERENCE_CHOICE_END, .finish = FINISH_LENGTH},
	    {.kind = INFERENCE_FINISHED, .usage = {1, 2, -1, -1}},
	};
	struct inference_request req = {
	    .kind = INFERENCE_COMPLETION, .choices = 1, .include_usage = true};
	struct dialect_answer answer = {.model = "m", .created_s = 7, .req = &req};
	struct inference_result *result = inference_result_new(NULL, 1, 4096);
	struct buf out = BUF_INIT(1 << 16);
	struct dialect_writer *w;
	json_t *check;

	assert_int_equal(dialect_writer_new(result, &openai_completions, &answer, &w, NULL), 0);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		openai_completions.event(w, &events[i], &out);
		assert_int_equal(inference_collect(result, &events[i], NULL), 0);
	}
#define PROBS(first, second)                                                                       \
	"\"logprobs\":{\"tokens\":[\"bytes:\\\\xc3\",\"bytes:\\\\xa9\"],\"token_logprobs\":[-0.5," \
	"-0.25],"                                                                                  \
	"\"top_logprobs\":[{\"bytes:\\\\xc3\":-0.5,\"b\":-1},{}],\"text_offset\":[" first          \
	"," second "]}"
	assert_string_equal(buf_cstr(&out),
	    CHUNK("{\"index\":0,\"text\":\"h\xc3\xa4\",\"logprobs\":null,\"finish_reason\":null}")
		CHUNK("{\"index\":0,\"text\":\"\xc3\xa9\"," PROBS("2",
		    "3") ",\"finish_reason\":null}") ": hm\n\n" CHUNK("{\"index\":0,\"text\":"
								      "\"\",\"logprobs\":null,"
								      "\"finish_reason\":"
								      "\"length\"}") "data: " ID
										     "],"
										     "\"usage\""
										     ":{"
										     "\"prompt_"
										     "tokens\":"
										     "1,"
										     "\"complet"
										     "ion_"
										     "tokens\":"
										     "2,"
										     "\"total_"
										     "tokens\":"
										     "3}}"
										     "\n\ndata:"
										     " [DONE]"
										     "\n\n");
	buf_reset(&out);
	openai_completions.whole(w, result, &out);
	assert_string_equal(buf_cstr(&out),
	    ID "{\"index\":0,\"text\":\"h\xc3\xa4\xc3\xa9\"," PROBS("0",
		"1") ",\"finish_reason\":\"length\"}],"
		     "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}");
	assert_int_equal(json_read(buf_view(&out), &check, NULL), 0);
	json_decref(check);
	talloc_free(result);
	buf_free(&out);
}

static int collect(void *arg, const struct inference_event *e, struct err *err)
{
	return inference_collect(arg, e, err);
}

static void test_completion_reading(void **state)
{
	static const char *const lines[] = {
	    "{\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\",\"b\"],"
	    "\"token_logprobs\":"
	    "[null,-2],\"top_logprobs\":[null,{\"b\":-2,\"c\":-3}],\"text_offset\":[0,1]}}]}",
	    "{\"choices\":[{\"index\":0,\"text\":\"b\",\"finish_reason\":\"stop\"}],\"usage\":{"
	    "\"prompt_tokens\":1,"
	    "\"completion_tokens\":2}}",
	};
	struct inference_request req = {.kind = INFERENCE_COMPLETION, .choices = 1};
	struct inference_result *result = inference_result_new(NULL, 1, 4096);
	const struct inference_choice *c = &result->choices[0];
	struct upstream_reader *r;
	struct err err = {0};

	assert_int_equal(
	    upstream_reader_new(result, &openai_upstream, &req, collect, result, &r, &err), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(openai_upstream.take(r, "", bytes_str(lines[i]), &err), 0);
	assert_int_equal(openai_upstream.end(r, &err), 0);
	assert_true(is(buf_view(&c->text), "ab") && c->finish == FINISH_STOP && result->finished);
	assert_int_equal(c->n_logprobs, 2);
	assert_true(c->logprobs[0].logprob == 0 && c->logprobs[1].logprob == -2);
	assert_int_equal(c->logprobs[1].n_top, 2);
	assert_true(is(c->logprobs[1].top[1].token, "c"));
	talloc_free(result);
	result = inference_result_new(NULL, 1, 4096);
	assert_int_equal(
	    upstream_reader_new(result, &openai_upstream, &req, collect, result, &r, &err), 0);
	assert_int_equal(
	    openai_upstream.take(r, "",
		bytes_str("{\"choices\":[{\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"]}}]}"),
		&err),
	    E_UPSTREAM);
	talloc_free(result);
}

/* ---- embeddings ---------------------------------------------------------------------------- */

static void test_inputs(void **state)
{
	static const struct {
		const char *body;
		int code;
		const char *param;
	} refused[] = {
	    {"[]", E_INVALID, ""},
	    {"{\"input\":\"a\"", E_SYNTAX, ""},
	    {"{}", E_INVALID, "input"},
	    {"{\"input\":[]}", E_INVALID, "input"},
	    {"{\"input\":{}}", E_INVALID, "input"},
	    {"{\"input\":[1]}", E_UNSUPPORTED, "input"},
	    {"{\"input\":[[1]]}", E_UNSUPPORTED, "input"},
	    {"{\"input\":[\"a\",null]}", E_INVALID, "input"},
	    {"{\"input\":\"a\",\"model\":5}", E_INVALID, "model"},
	    {"{\"input\":\"a\",\"dimensions\":0}", E_INVALID, "dimensions"},
	    {"{\"input\":\"a\",\"encoding_format\":\"int8\"}", E_INVALID, "encoding_format"},
	};
	void *mem = talloc_new(NULL);
	struct embedding_request *r;
	struct buf out = BUF_INIT(4096);
	const char *path;
	struct err err;

	assert_int_equal(openai_embeddings.parse(mem,
			     bytes_str("{\"model\":\"m\",\"input\":[\"a\",\"\"],\"dimensions\":3,"
				       "\"encoding_format\":\"base64\",\"user\":\"u\"}"),
			     &r, &err),
	    0);
	assert_true(r->n_inputs == 2 && is(r->inputs[0], "a") && r->dimensions == 3 && r->base64);
	assert_int_equal(openai_upstream.embed_request(r, &path, &out, &err), 0);
	assert_string_equal(path, "/v1/embeddings");
	assert_string_equal(buf_cstr(&out),
	    "{\"model\":\"m\",\"input\":[\"a\",\"\"],\"encoding_format\":"
	    "\"base64\",\"dimensions\":3}");
	talloc_free(r);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		int rc = openai_embeddings.parse(mem, bytes_str(refused[i].body), &r, &err);

		if (rc != refused[i].code || strcmp(err.param, refused[i].param) != 0)
			fail_msg("%s: %d %s", refused[i].body, rc, err.text);
	}
	assert_int_equal(talloc_total_blocks(mem), 1);
	buf_free(&out);
	talloc_free(mem);
}

static void test_vectors(void **state)
{
	float values[] = {0.5f, -1, 0.1f, INFINITY};
	struct embedding_result result = {.values = values, .n = 2, .dims = 2, .prompt_tok = 3},
				back;
	struct embedding_request req = {.n_inputs = 2};
	struct buf out = BUF_INIT(4096);
	void *mem = talloc_new(NULL);

	openai_embeddings.write(&req, &result, "m", 0, &out);
	assert_string_equal(buf_cstr(&out),
	    "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0."
	    "5,-1]},"
	    "{\"object\":\"embedding\",\"index\":1,\"embedding\":[0.100000001,0]}],\"model\":\"m\","
	    "\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}");
	buf_reset(&out);
	values[3] = 1e-30f;
	req.base64 = true;
	openai_embeddings.write(&req, &result, "m", 0, &out);
	assert_non_null(
	    strstr(buf_cstr(&out), "\"embedding\":\"AAAAPwAAgL8=\"")); /* little-endian */
	assert_int_equal(openai_upstream.embed_answer(mem, buf_view(&out), &back, NULL), 0);
	assert_true(back.n == 2 && back.dims == 2 && back.prompt_tok == 3);
	assert_memory_equal(back.values, values, sizeof(values));
	talloc_free(mem);
	buf_free(&out);
}

static void test_vectors_read(void **state)
{
	static const struct {
		const char *body;
		int code;
	} bad[] = {
	    {"<html>", E_UPSTREAM},
	    {"{}", E_UPSTREAM},
	    {"{\"data\":[]}", E_UPSTREAM},
	    {"{\"data\":[{}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":[]}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,2]}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":[1,\"2\"]}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":[1e39]}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":\"AAAA\"}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":\"!!!!!!!!\"}]}", E_UPSTREAM},
	    {"{\"data\":[{\"embedding\":\"AADAfw==\"}]}", E_UPSTREAM}, /* no number */
	    {"{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}",
		E_UPSTREAM},
	    {"{\"data\":[{\"index\":2,\"embedding\":[1]}]}", E_UPSTREAM},
	    {"{\"error\":{\"message\":\"m\",\"code\":\"model_not_found\"}}", E_MODEL_NOT_FOUND},
	};
	void *mem = talloc_new(NULL);
	struct embedding_result r;

	assert_int_equal(
	    openai_upstream.embed_answer(mem,
		bytes_str(
		    "{\"data\":[{\"index\":1,\"embedding\":[1,2.5]},{\"index\":0,\"embedding\":"
		    "\"AAAAPwAAgL8=\"}]}"),
		&r, NULL),
	    0);
	assert_true(r.n == 2 && r.dims == 2 && r.prompt_tok == -1);
	assert_true(
	    r.values[0] == 0.5f && r.values[1] == -1 && r.values[2] == 1 && r.values[3] == 2.5f);
	talloc_free(r.values);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {0};
		int rc = openai_upstream.embed_answer(mem, bytes_str(bad[i].body), &r, &err);

		if (rc != bad[i].code || err.code != rc || r.values)
			fail_msg("%s: %d", bad[i].body, rc);
	}
	assert_int_equal(talloc_total_blocks(mem), 1);
	talloc_free(mem);
}

/* ---- what nobody may pass over ------------------------------------------------------------- */

static void test_extra(void **state)
{
	static const struct {
		const char *extra, *param;
	} cases[] = {
	    {"", ""},
	    {"\"user\":\"u\",\"metadata\":{},\"store\":true,\"prediction\":{\"type\":\"content\"}",
		""},
	    {"\"modalities\":[\"text\"],\"ignore_eos\":false,\"min_tokens\":0,\"guided_regex\":"
	     "\"\"",
		""},
	    {"\"modalities\":[\"text\",\"audio\"]", "modalities"},
	    {"\"user\":\"u\",\"audio\":{\"voice\":\"x\"}", "audio"},
	    {"\"web_search_options\":{}", "web_search_options"},
	    {"\"guided_regex\":\"a+\"", "guided_regex"},
	    {"\"ignore_eos\":true", "ignore_eos"},
	    {"\"min_tokens\":5", "min_tokens"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct inference_request req = {.extra = bytes_str(cases[i].extra)};
		struct err err = {0};
		int rc = openai_refuse_extra(&req, &err);

		assert_int_equal(rc, cases[i].param[0] ? E_UNSUPPORTED : 0);
		assert_string_equal(err.param, cases[i].param);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_prompt),
	    cmocka_unit_test(test_prompt_refused),
	    cmocka_unit_test(test_completion_answer),
	    cmocka_unit_test(test_completion_reading),
	    cmocka_unit_test(test_inputs),
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_vectors_read),
	    cmocka_unit_test(test_extra),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
