/* Answers, chunks, errors and model lists: the exact bytes that clients see, and reading them. */
#include "dialect/json.h"
#include "dialect/openai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#include <cmocka.h>

static const struct openai_answer answer = {
    .id = "chatcmpl-1", .model = "m\"1", .created_s = 1700000000};
static const struct inference_usage usage = {3, 2};

static void check_text(struct buf *out, const char *expected)
{
	json_t *v;

	assert_string_equal(buf_cstr(out), expected);
	assert_int_equal(json_read(buf_view(out), &v, NULL), 0);
	json_decref(v);
	buf_reset(out);
}

#define HEAD(object)                                                                               \
	"{\"id\":\"chatcmpl-1\",\"object\":\"" object "\",\"created\":1700000000,"                 \
	"\"model\":\"m\\\"1\""

static void test_writing(void **state)
{
	struct buf out = BUF_INIT(1 << 16);
	struct openai_answer printed = answer;
	char id[OPENAI_ID_MAX];

	openai_completion_write(&out, &answer, bytes_str("4\n"), FINISH_STOP, &usage);
	check_text(&out, HEAD("chat.completion") ",\"choices\":[{\"index\":0,\"message\":{\"role\":"
						 "\"assistant\",\"content\":\"4\\n\","
						 "\"refusal\":null},\"logprobs\":null,\"finish_"
						 "reason\":\"stop\"}],"
						 "\"usage\":{\"prompt_tokens\":3,\"completion_"
						 "tokens\":2,\"total_tokens\":5}}");
	openai_completion_write(
	    &out, &answer, bytes_str(""), FINISH_LENGTH, &(struct inference_usage){-1, 5});
	check_text(&out, HEAD("chat.completion") ",\"choices\":[{\"index\":0,\"message\":{\"role\":"
						 "\"assistant\",\"content\":\"\","
						 "\"refusal\":null},\"logprobs\":null,\"finish_"
						 "reason\":\"length\"}]}");
	openai_chunk_role(&out, &answer);
	check_text(&out,
	    HEAD("chat.completion.chunk") ",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
					  "\"assistant\",\"content\":\"\"},"
					  "\"logprobs\":null,\"finish_reason\":null}]}");
	openai_chunk_text(&out, &answer, bytes_str("h\xc3\xa9"));
	check_text(&out,
	    HEAD("chat.completion.chunk") ",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
					  "\"h\xc3\xa9\"},"
					  "\"logprobs\":null,\"finish_reason\":null}]}");
	openai_chunk_finish(&out, &answer, FINISH_LENGTH);
	check_text(&out,
	    HEAD("chat.completion.chunk") ",\"choices\":[{\"index\":0,\"delta\":{},"
					  "\"logprobs\":null,\"finish_reason\":\"length\"}]}");
	printed.fingerprint = "fp";
	openai_chunk_usage(&out, &printed, &usage);
	check_text(&out,
	    HEAD("chat.completion.chunk") ",\"system_fingerprint\":\"fp\",\"choices\":[],"
					  "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,"
					  "\"total_tokens\":5}}");
	openai_id((const uint8_t *)"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\xff", id);
	assert_string_equal(id, "chatcmpl-000102030405060708090aff");
	assert_true(openai_is_done(bytes_str("[DONE]")));
	assert_false(openai_is_done(bytes_str("[DONE")));
	buf_free(&out);
}

static void test_reading_own(void **state)
{
	void *mem = talloc_new(NULL);
	struct buf out = BUF_INIT(1 << 16);
	struct openai_piece p;

	openai_completion_write(
	    &out, &answer, bytes_str("a\"\xf0\x9f\x98\x80"), FINISH_LENGTH, &usage);
	assert_int_equal(openai_completion_parse(mem, buf_view(&out), &p, NULL), 0);
	assert_true(bytes_equal(p.text, bytes_str("a\"\xf0\x9f\x98\x80")));
	assert_true(p.has_finish && p.finish == FINISH_LENGTH);
	assert_true(p.has_usage && p.usage.prompt_tok == 3 && p.usage.completion_tok == 2);
	buf_reset(&out);
	openai_chunk_text(&out, &answer, bytes_str("x"));
	assert_int_equal(openai_chunk_parse(mem, buf_view(&out), &p, NULL), 0);
	assert_true(bytes_equal(p.text, bytes_str("x")));
	assert_false(p.has_finish || p.has_usage);
	buf_reset(&out);
	openai_chunk_role(&out, &answer);
	assert_int_equal(openai_chunk_parse(mem, buf_view(&out), &p, NULL), 0);
	assert_int_equal(p.text.n, 0);
	buf_reset(&out);
	openai_chunk_finish(&out, &answer, FINISH_STOP);
	assert_int_equal(openai_chunk_parse(mem, buf_view(&out), &p, NULL), 0);
	assert_true(p.has_finish && p.finish == FINISH_STOP);
	buf_reset(&out);
	openai_chunk_usage(&out, &answer, &usage);
	assert_int_equal(openai_chunk_parse(mem, buf_view(&out), &p, NULL), 0);
	assert_true(p.has_usage && !p.has_finish && p.usage.completion_tok == 2);
	buf_free(&out);
	talloc_free(mem);
}

static void test_reading_bad(void **state)
{
	static const struct {
		const char *body;
		int code;
	} cases[] = {
	    {"", E_UPSTREAM},
	    {"<html>", E_UPSTREAM},
	    {"[]", E_UPSTREAM},
	    {"{}", E_UPSTREAM},
	    {"{\"choices\":{}}", E_UPSTREAM},
	    {"{\"choices\":[5]}", E_UPSTREAM},
	    {"{\"choices\":[{\"delta\":{\"content\":5}}]}", E_UPSTREAM},
	    {"{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"because\"}]}",
		E_UPSTREAM},
	    {"{\"choices\":[{\"delta\":{},\"finish_reason\":5}]}", E_UPSTREAM},
	    {"{\"error\":{\"message\":\"m\",\"code\":\"unavailable\"}}", E_UNAVAILABLE},
	    {"{\"error\":{\"message\":\"m\",\"code\":\"internal_error\"}}", E_UPSTREAM},
	    {"{\"error\":\"out of memory\",\"choices\":[]}", E_UPSTREAM},
	};
	void *mem = talloc_new(NULL);
	struct openai_piece p;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = {0};

		assert_int_equal(
		    openai_chunk_parse(mem, bytes_str(cases[i].body), &p, &err), cases[i].code);
		assert_int_equal(err.code, cases[i].code);
		assert_null(p.text.p);
	}
	/* a whole answer needs its end */
	assert_int_equal(
	    openai_completion_parse(
		mem, bytes_str("{\"choices\":[{\"message\":{\"content\":\"x\"}}]}"), &p, NULL),
	    E_UPSTREAM);
	assert_int_equal(talloc_total_blocks(mem), 1);
	/* usage out of range is unknown */
	assert_int_equal(
	    openai_chunk_parse(mem,
		bytes_str("{\"choices\":[],\"error\":null,\"usage\":{\"prompt_tokens\":-4,"
			  "\"completion_tokens\":99999999999}}"),
		&p, NULL),
	    0);
	assert_true(p.has_usage && p.usage.prompt_tok == -1 && p.usage.completion_tok == -1);
	talloc_free(mem);
}

static void test_errors(void **state)
{
	struct buf out = BUF_INIT(4096);
	struct openai_param param = {"messages[0].role"};
	struct err err = {0}, back;

	err_set(&err, E_INVALID, "messages[0].role: \"no\"");
	openai_error_write(&out, &err, &param);
	check_text(&out, "{\"error\":{\"message\":\"messages[0].role: \\\"no\\\"\","
			 "\"type\":\"invalid_request_error\",\"param\":\"messages[0].role\","
			 "\"code\":\"invalid_value\"}}");
	err_clear(&err);
	err.code = E_BUSY;
	openai_error_write(&out, &err, NULL);
	check_text(&out, "{\"error\":{\"message\":\"busy\",\"type\":\"rate_limit_error\","
			 "\"param\":null,\"code\":\"rate_limit_exceeded\"}}");
	/* every code that an upstream may claim survives the way over the wire */
#define X(name, ...)                                                                               \
	err_set(&err, name, "text of " #name);                                                     \
	openai_error_write(&out, &err, NULL);                                                      \
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
	};
	void *mem = talloc_new(NULL);
	struct buf out = BUF_INIT(1 << 16);
	struct model_entry *back;
	size_t n;

	openai_models_write(&out, models, 3);
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
	buf_free(&out);
	talloc_free(mem);
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
	    cmocka_unit_test(test_writing),
	    cmocka_unit_test(test_reading_own),
	    cmocka_unit_test(test_reading_bad),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_error_status),
	    cmocka_unit_test(test_models),
	    cmocka_unit_test(test_models_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
