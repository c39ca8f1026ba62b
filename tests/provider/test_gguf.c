/* The engine behind its face, with the model inside the program: every parameter by its effect. */
#include "crypto/hash.h"
#include "dialect/json.h"
#include "dialect/openai.h"
#include "provider/embedded_model.h"
#include "provider/gguf_backend.h"
#include "rt/world_uv.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

#include <cmocka.h>

#define ANSWER_MAX (1u << 20)
#define KEPT       512

static struct world *world;
static struct gguf_backend *gguf;
static struct engine_backend engine;

/* What came: the collected answer, and the cuts where another engine could go on. */
struct heard {
	struct inference_result *result;
	struct inference_request *req;
	int rc;
	struct err err;
	int32_t tokens[KEPT];
	size_t n_tokens, n_text;
	struct {
		size_t tokens, text;
	} cuts[KEPT];
	size_t n_cuts, text_events;
	char text[65536];
};

static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct heard *h = arg;
	if (e->kind == INFERENCE_TEXT && e->choice == 0) {
		h->text_events++;
		assert_true(h->n_text + e->text.n < sizeof h->text);
		memcpy(h->text + h->n_text, e->text.p, e->text.n);
		h->n_text += e->text.n;
		for (size_t i = 0; i < e->n_tokens && h->n_tokens < KEPT; i++)
			h->tokens[h->n_tokens++] = e->tokens[i];
		h->cuts[h->n_cuts].tokens = h->n_tokens;
		h->cuts[h->n_cuts++].text = h->n_text;
		assert_true(h->n_cuts < KEPT);
	}
	return inference_collect(h->result, e, err);
}

static void run_request(void *arg)
{
	struct heard *h = arg;
	h->result = inference_result_new(h->req, h->req->choices, ANSWER_MAX);
	h->rc = engine.infer(engine.arg, h->req, hear, h, &h->err);
}

static void in_rt(void (*fn)(void *), void *arg)
{
	assert_int_equal(rt_start(world->rt, "test", NULL, fn, arg, NULL), 0);
	rt_run(world->rt);
}

static void parse(struct heard *h, const char *body)
{
	struct err err = {0};
	*h = (struct heard){0};
	if (openai_request_parse(NULL, bytes_str(body), &h->req, &err))
		fail_msg("%s: %s", body, err_text(&err));
}

/* Asks in the OpenAI form; the answer must succeed. Freed with done(). */
static struct heard *ask(const char *fmt, ...) PRINTF_LIKE(1, 2);
static struct heard *ask(const char *fmt, ...)
{
	static struct heard kept[32];
	static unsigned next;
	struct heard *h = &kept[next++ % 32];
	char body[16384];
	va_list args;
	va_start(args, fmt);
	vsnprintf(body, sizeof body, fmt, args);
	va_end(args);
	parse(h, body);
	in_rt(run_request, h);
	return h;
}

static const char *said(struct heard *h)
{
	if (h->rc)
		fail_msg("%s", err_text(&h->err));
	return buf_cstr(&h->result->choices[0].text);
}

static const struct inference_choice *choice(struct heard *h, unsigned i)
{
	if (h->rc)
		fail_msg("%s", err_text(&h->err));
	return &h->result->choices[i];
}

static void refused(struct heard *h, int code, const char *param)
{
	assert_int_equal(h->rc, code);
	assert_string_equal(h->err.param, param);
	talloc_free(h->req);
}

static void done(struct heard *h)
{
	talloc_free(h->req);
}

#define USER(text) "\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"
#define GREEDY     "\"temperature\":0"
/* Very sure of its sentences, this model is at a loss for meaningless letters. */
#define LOST                                                                                       \
	"\"max_tokens\":60,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"        \
	"\"name\":\"l\",\"schema\":{\"type\":\"string\",\"pattern\":\"^[a-j]{24}$\"}}}"
#define WILD LOST ",\"temperature\":2,\"min_p\":0"

/* ---- sampling ------------------------------------------------------------------------------ */

static void answers(void **state)
{
	struct heard *h = ask("{" USER("What is 2 plus 2?") "," GREEDY "}");
	assert_non_null(strstr(said(h), "4"));
	assert_int_equal(choice(h, 0)->finish, FINISH_STOP);
	assert_true(h->result->usage.prompt_tok > 3);
	assert_true(h->result->usage.completion_tok > 0);
	done(h);
	h = ask("{" USER("What is 2 plus 2?") "," GREEDY ",\"max_tokens\":2}");
	assert_int_equal(h->result->usage.completion_tok, 2);
	assert_int_equal(choice(h, 0)->finish, FINISH_LENGTH);
	/* the same prompt is not computed again */
	assert_int_equal(h->result->usage.cached_tok, h->result->usage.prompt_tok);
	done(h);
}

static void the_seed_decides(void **state)
{
	const char *body = "{" USER("Tell me a tale") "," WILD ",\"seed\":%d}";
	struct heard *a = ask(body, 1), *b = ask(body, 1), *c = ask(body, 2);
	assert_string_equal(said(a), said(b));
	assert_string_not_equal(said(a), said(c));
	done(a);
	done(b);
	done(c);
}

static void filters_narrow_to_the_best(void **state)
{
	static const char *const filters[] = {"\"top_k\":1", "\"top_p\":0", "\"min_p\":1"};
	struct heard *best = ask("{" USER("Tell me a tale") "," GREEDY "," LOST "}");
	unsigned others = 0;
	for (int seed = 0; seed < 8; seed++) {
		struct heard *wild = ask("{" USER("Tell me a tale") "," WILD ",\"seed\":%d}", seed);
		others += strcmp(said(wild), said(best)) != 0;
		done(wild);
	}
	assert_true(others > 0);
	for (size_t i = 0; i < 3; i++) {
		struct heard *h = ask("{" USER("Tell me a tale") "," LOST ",\"temperature\":2,"
								 "\"seed\":5,%s}",
		    filters[i]);
		assert_string_equal(said(h), said(best));
		done(h);
	}
	done(best);
}

static void choices_differ(void **state)
{
	struct heard *h = ask("{" USER("Tell me a tale") ",\"n\":3," WILD ",\"seed\":9}");
	assert_int_equal(h->result->n_choices, 3);
	const char *a = buf_cstr(&choice(h, 0)->text), *b = buf_cstr(&choice(h, 1)->text);
	assert_true(strcmp(a, b) != 0 || strcmp(b, buf_cstr(&choice(h, 2)->text)) != 0);
	struct heard *one = ask("{" USER("Tell me a tale") "," WILD ",\"seed\":9}");
	assert_string_equal(said(one), a);
	assert_true(h->result->usage.completion_tok > one->result->usage.completion_tok);
	done(one);
	done(h);
	h = ask("{" USER("Hello") ",\"n\":2," GREEDY "}");
	assert_string_equal(buf_cstr(&choice(h, 0)->text), buf_cstr(&choice(h, 1)->text));
	done(h);
}

static void biases_and_penalties_bend_it(void **state)
{
	struct heard *plain =
	    ask("{" USER("What is 2 plus 2?") "," GREEDY ",\"logprobs\":true,\"top_logprobs\":3}");
	const struct inference_choice *c = choice(plain, 0);
	assert_true(c->n_logprobs > 0);
	assert_int_equal(c->logprobs[0].n_top, 3);
	assert_true(c->logprobs[0].logprob <= 0);
	assert_true(c->logprobs[0].top[0].logprob >= c->logprobs[0].top[1].logprob);
	assert_memory_equal(
	    c->logprobs[0].token.p, c->logprobs[0].top[0].token.p, c->logprobs[0].token.n);
	/* what the tokens say is what the text says */
	struct buf all = BUF_INIT(ANSWER_MAX);
	for (size_t i = 0; i < c->n_logprobs; i++)
		buf_bytes(&all, c->logprobs[i].token);
	assert_string_equal(buf_cstr(&all), said(plain));
	buf_free(&all);
	struct heard *forced =
	    ask("{" USER("What is 2 plus 2?") "," GREEDY ",\"logit_bias\":{\"65\":100},\"max_"
					      "tokens\":3,\"logprobs\":true}");
	assert_int_equal(forced->result->usage.completion_tok, 3);
	assert_memory_equal(choice(forced, 0)->logprobs[0].token.p,
	    choice(forced, 0)->logprobs[1].token.p, choice(forced, 0)->logprobs[0].token.n);
	assert_true(choice(forced, 0)->logprobs[0].logprob < -1); /* the model's own opinion */
	struct heard *lost = ask("{" USER("Tell me a tale") "," GREEDY "," LOST "}");
	struct heard *tired =
	    ask("{" USER("Tell me a tale") "," GREEDY "," LOST
					   ",\"frequency_penalty\":2,\"presence_penalty\":2}");
	struct heard *never =
	    ask("{" USER("Tell me a tale") "," GREEDY "," LOST ",\"repeat_penalty\":50}");
	assert_string_not_equal(said(tired), said(lost));
	assert_string_not_equal(said(never), said(lost));
	assert_string_not_equal(said(never), said(tired));
	done(lost);
	done(plain);
	done(forced);
	done(tired);
	done(never);
	refused(ask("{" USER("a") ",\"logit_bias\":{\"99999\":1}}"), E_INVALID, "logit_bias");
}

static void stop_strings_are_told(void **state)
{
	struct heard *h =
	    ask("{" USER("What is 2 plus 2?") "," GREEDY ",\"stop\":[\"zebra\",\" = \"]}");
	assert_null(strstr(said(h), "="));
	assert_true(bytes_equal(choice(h, 0)->stop, bytes_str(" = ")));
	done(h);
}

/* ---- formats ------------------------------------------------------------------------------- */

static json_t *read_answer(struct heard *h)
{
	struct err err = {0};
	json_t *v;
	if (json_read(bytes_str(said(h)), &v, &err))
		fail_msg("%s: %s", said(h), err_text(&err));
	return v;
}

static void json_comes_when_json_is_asked(void **state)
{
	unsigned complete = 0;
	for (int seed = 0; seed < 12; seed++) {
		struct heard *h =
		    ask("{" USER("Hello") ",\"response_format\":{\"type\":"
					  "\"json_object\"},\"temperature\":%d,\"seed\":%d,"
					  "\"max_tokens\":300}",
			seed % 3, seed);
		if (choice(h, 0)->finish == FINISH_STOP) {
			json_t *v = read_answer(h);
			assert_true(json_is_object(v));
			json_decref(v);
			complete++;
		}
		done(h);
	}
	assert_true(complete > 3);
}

#define SCHEMA                                                                                     \
	"{\"type\":\"object\",\"properties\":{\"answer\":{\"type\":\"integer\",\"minimum\":0,"     \
	"\"maximum\":99},\"sure\":{\"type\":\"boolean\"},\"why\":{\"enum\":[\"sum\",\"guess\"]}}," \
	"\"required\":[\"answer\",\"sure\",\"why\"],\"additionalProperties\":false}"

static void a_schema_is_kept(void **state)
{
	for (int seed = 0; seed < 12; seed++) {
		struct heard *h =
		    ask("{" USER("What is 2 plus 2?") ",\"response_format\":{\"type\":"
						      "\"json_schema\",\"json_schema\":{\"name\":"
						      "\"a\",\"schema\":" SCHEMA
						      "}},\"temperature\":%d,\"seed\":%d}",
			seed % 3, seed);
		json_t *v = read_answer(h);
		assert_int_equal(json_object_size(v), 3);
		assert_in_range(json_integer_value(json_object_get(v, "answer")), 0, 99);
		assert_true(json_is_boolean(json_object_get(v, "sure")));
		assert_int_equal(choice(h, 0)->finish, FINISH_STOP);
		json_decref(v);
		done(h);
	}
	refused(ask("{" USER(
		    "a") ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
			 "{\"name\":\"a\",\"schema\":{\"properties\":{\"x\":{\"not\":{}}}}}}}"),
	    E_UNSUPPORTED, "response_format.json_schema.schema.properties.x");
}

/* ---- tools --------------------------------------------------------------------------------- */

#define TOOLS(strict)                                                                              \
	"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"strict\":" strict      \
	",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":" \
	"{"                                                                                        \
	"\"type\":\"integer\"}},\"required\":[\"a\",\"b\"],\"additionalProperties\":false}}},"     \
	"{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}]"

static void check_call(const struct inference_tool_call *call, const char *name)
{
	json_t *v;
	assert_int_equal(json_read(call->arguments, &v, NULL), 0);
	assert_true(strncmp(call->id, "call_", 5) == 0 && strlen(call->id) > 20);
	if (name)
		assert_string_equal(call->name, name);
	if (strcmp(call->name, "add") == 0) {
		assert_true(json_is_integer(json_object_get(v, "a")));
		assert_true(json_is_integer(json_object_get(v, "b")));
	} else {
		assert_string_equal(call->name, "clock");
	}
	json_decref(v);
}

/* This model was never told of tools: it is the grammar that makes calls of what it writes. */
static void required_calls_come(void **state)
{
	static const char *const wanted[] = {
	    "\"required\"", "{\"type\":\"function\",\"function\":{\"name\":\"add\"}}"};
	unsigned complete = 0;
	for (int i = 0; i < 16; i++) {
		struct heard *h = ask("{" USER("What is 2 plus 2?") "," TOOLS(
					  "false") ",\"tool_choice\":%s,\"temperature\":%d,"
						   "\"seed\":%d,\"max_tokens\":800,"
						   "\"parallel_tool_calls\":%s}",
		    wanted[i % 2], i % 3, i, i % 4 < 2 ? "false" : "true");
		const struct inference_choice *c = choice(h, 0);
		if (c->finish != FINISH_LENGTH) {
			assert_int_equal(c->finish, FINISH_TOOL_CALLS);
			assert_int_equal(c->text.n, 0);
			assert_true(c->n_tool_calls > 0);
			assert_true(i % 2 == 0 || c->n_tool_calls == 1);
			for (size_t k = 0; k < c->n_tool_calls; k++)
				check_call(&c->tool_calls[k], i % 2 ? "add" : NULL);
			complete++;
		}
		done(h);
	}
	assert_true(complete > 8);
}

static void tools_are_heard_of(void **state)
{
	/* the tools' description is part of the prompt, and so are calls and results */
	struct heard *without = ask("{" USER("Hello") "," GREEDY ",\"max_tokens\":1}");
	struct heard *with =
	    ask("{" USER("Hello") "," TOOLS("false") "," GREEDY ",\"max_tokens\":1}");
	struct heard *none = ask("{" USER("Hello") "," TOOLS(
	    "false") "," GREEDY ",\"tool_choice\":\"none\",\"max_tokens\":1}");
	assert_int_equal(with->rc, 0);
	assert_true(with->result->usage.prompt_tok > without->result->usage.prompt_tok + 50);
	assert_int_equal(none->result->usage.prompt_tok, without->result->usage.prompt_tok);
	struct heard *history = ask(
	    "{\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"},{\"role\":\"assistant\","
	    "\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":"
	    "{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":2,\\\"b\\\":2}\"}}]},{\"role\":\"tool\","
	    "\"tool_call_id\":\"c1\",\"content\":\"4\"}]," GREEDY ",\"max_tokens\":4}");
	assert_int_equal(history->rc, 0);
	assert_true(history->result->usage.prompt_tok > without->result->usage.prompt_tok + 20);
	done(without);
	done(with);
	done(none);
	done(history);
}

/* Where both are asked for, it is the one or the other. */
static void a_format_beside_tools_leaves_the_choice(void **state)
{
	for (int seed = 0; seed < 6; seed++) {
		struct heard *h =
		    ask("{" USER("What is 2 plus 2?") "," TOOLS(
			    "false") ",\"seed\":%d,"
				     "\"temperature\":2,\"response_format\":{\"type\":"
				     "\"json_schema\",\"json_schema\":{\"name\":\"a\","
				     "\"schema\":" SCHEMA
				     "}},\"max_tokens\":900,\"parallel_tool_calls\":false}",
			seed);
		const struct inference_choice *c = choice(h, 0);
		if (c->finish == FINISH_STOP) {
			json_t *v = read_answer(h);
			assert_int_equal(json_object_size(v), 3);
			json_decref(v);
		} else if (c->finish == FINISH_TOOL_CALLS) {
			assert_int_equal(c->n_tool_calls, 1);
			check_call(&c->tool_calls[0], NULL);
		}
		done(h);
	}
}

static void strict_tools_leave_text_free(void **state)
{
	struct heard *h = ask("{" USER("What is 2 plus 2?") "," TOOLS("true") "," GREEDY "}");
	const struct inference_choice *c = choice(h, 0);
	assert_true(c->text.n > 0 || c->n_tool_calls > 0);
	for (size_t k = 0; k < c->n_tool_calls; k++)
		check_call(&c->tool_calls[k], NULL);
	done(h);
	refused(
	    ask("{" USER(
		"a") ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
		     "\"strict\":true,\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{"
		     "\"not\":{}}}}}}]}"),
	    E_UNSUPPORTED, "tools[0].function.parameters.properties.a");
}

/* ---- going on ------------------------------------------------------------------------------ */

static void goes_on(const char *body)
{
	struct heard *whole = malloc(sizeof *whole);
	assert_non_null(whole);
	parse(whole, body);
	whole->req->want_tokens = true;
	in_rt(run_request, whole);
	const char *text = said(whole);
	assert_true(whole->n_cuts > 2);
	for (size_t i = 0; i < whole->n_cuts; i++) {
		struct heard *rest = ask("%s", "{" USER("x") "}");
		done(rest);
		parse(rest, body);
		rest->req->want_tokens = true;
		rest->req->continuation.text = bytes_of(whole->text, whole->cuts[i].text);
		rest->req->continuation.tokens = whole->tokens;
		rest->req->continuation.n_tokens = whole->cuts[i].tokens;
		in_rt(run_request, rest);
		assert_string_equal(said(rest), text + whole->cuts[i].text);
		assert_int_equal(
		    rest->result->usage.completion_tok, whole->result->usage.completion_tok);
		assert_int_equal(choice(rest, 0)->finish, choice(whole, 0)->finish);
		done(rest);
	}
	done(whole);
	free(whole);
}

static void a_cut_answer_goes_on(void **state)
{
	goes_on("{" USER("What is OpenGateway?") "," GREEDY "}");
	goes_on("{" USER("Tell me about peers") ",\"temperature\":1.2,\"seed\":4}");
	goes_on("{" USER("Tell me about peers") ",\"temperature\":1,\"seed\":4,"
						"\"frequency_penalty\":1,\"max_tokens\":12}");
	goes_on("{" USER("What is 2 plus 2?") ",\"temperature\":2,\"seed\":3,\"response_format\":{"
					      "\"type\":\"json_schema\",\"json_schema\":{\"name\":"
					      "\"a\",\"schema\":" SCHEMA "}}}");
	goes_on("{" USER("Tell me about peers") "," TOOLS("false") ",\"temperature\":0}");
}

/* With the text alone it goes on as nearly as its tokenizer allows; here: exactly. */
static void text_alone_will_do(void **state)
{
	struct heard *whole = ask("{" USER("What is OpenGateway?") "," GREEDY "}");
	struct heard *rest = ask("{" USER("x") "}");
	done(rest);
	parse(rest, "{" USER("What is OpenGateway?") "," GREEDY "}");
	size_t cut = strcspn(said(whole), ",. ") + 1;
	rest->req->continuation.text = bytes_of(said(whole), cut);
	in_rt(run_request, rest);
	assert_string_equal(said(rest), said(whole) + cut);
	done(rest);
	done(whole);
	rest = ask("{" USER("a") ",\"n\":2}");
	done(rest);
	parse(rest, "{" USER("a") ",\"n\":2}");
	rest->req->continuation.text = bytes_str("a");
	in_rt(run_request, rest);
	refused(rest, E_UNSUPPORTED, "gate_continue");
}

/* ---- bare prompts, refusals ---------------------------------------------------------------- */

static void bare_prompts_and_gaps(void **state)
{
	struct heard *h = ask("{" USER("x") "," GREEDY ",\"max_tokens\":5}");
	done(h);
	parse(h, "{" USER("x") "," GREEDY ",\"max_tokens\":5}");
	h->req->kind = INFERENCE_COMPLETION;
	h->req->prompt = bytes_str("OpenGateway is");
	h->req->echo = true;
	in_rt(run_request, h);
	assert_int_equal(strncmp(said(h), "OpenGateway is", 14), 0);
	assert_true(h->result->choices[0].text.n > 14);
	h->req->echo = false;
	h->req->suffix = bytes_str(" end");
	in_rt(run_request, h);
	refused(h, E_UNSUPPORTED, "suffix");
}

static void images_are_refused_by_name(void **state)
{
	refused(
	    ask("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
		"\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b.png\"}}]}]}"),
	    E_UNSUPPORTED, "messages[0].content[1]");
}

/* ---- facts and vectors --------------------------------------------------------------------- */

static void look(void *arg)
{
	struct model_entry m;
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	assert_int_equal(engine.ready(engine.arg, &m, NULL), 0);
	sha256(embedded_model(), digest);
	for (size_t i = 0; i < SHA256_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(m.hash, hex);
	assert_int_equal(
	    m.abilities, MODEL_CHAT | MODEL_COMPLETION | MODEL_EMBEDDING | MODEL_TOOLS);
}

static void the_model_is_described(void **state)
{
	in_rt(look, NULL);
}

static double product(const struct embedding_result *r, size_t a, size_t b)
{
	double sum = 0;
	for (size_t i = 0; i < r->dims; i++)
		sum += (double)r->values[a * r->dims + i] * (double)r->values[b * r->dims + i];
	return sum;
}

static void embed(void *arg)
{
	struct bytes inputs[3] = {bytes_str("What is 2 plus 2?"), bytes_str("What is 3 plus 2?"),
	    bytes_str("Tell me about privacy")};
	struct embedding_request req = {.inputs = inputs, .n_inputs = 3};
	struct embedding_result out;
	struct err err = {0};
	void *mem = talloc_new(NULL);
	assert_int_equal(engine.embed(engine.arg, mem, &req, &out, &err), 0);
	assert_int_equal(out.n, 3);
	assert_int_equal(out.dims, 128);
	assert_true(out.prompt_tok > 6);
	for (size_t i = 0; i < 3; i++)
		assert_true(fabs(product(&out, i, i) - 1) < 1e-4);
	assert_true(product(&out, 0, 1) > product(&out, 0, 2));
	req.dimensions = 64;
	assert_int_equal(engine.embed(engine.arg, mem, &req, &out, &err), E_UNSUPPORTED);
	assert_string_equal(err.param, "dimensions");
	req.dimensions = 128;
	inputs[1].n = 0;
	assert_int_equal(engine.embed(engine.arg, mem, &req, &out, &err), E_INVALID);
	assert_string_equal(err.param, "input[1]");
	talloc_free(mem);
}

static void texts_become_vectors(void **state)
{
	in_rt(embed, NULL);
}

/* ---- */

static void make(void *arg)
{
	struct gguf_backend_options opt = {.world = world,
	    .file = embedded_model(),
	    .path = EMBEDDED_MODEL_ID,
	    .engine = {.threads = 1}};
	assert_int_equal(gguf_backend_new(&opt, &gguf, NULL), 0);
	engine = gguf_backend_interface(gguf);
}

static int setup(void **state)
{
	if (world_uv_new(&world, NULL))
		return -1;
	in_rt(make, NULL);
	return 0;
}

static void unmake(void *arg)
{
	gguf_backend_free(gguf);
}

static int teardown(void **state)
{
	in_rt(unmake, NULL);
	world_uv_free(world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers),
	    cmocka_unit_test(the_seed_decides),
	    cmocka_unit_test(filters_narrow_to_the_best),
	    cmocka_unit_test(choices_differ),
	    cmocka_unit_test(biases_and_penalties_bend_it),
	    cmocka_unit_test(stop_strings_are_told),
	    cmocka_unit_test(json_comes_when_json_is_asked),
	    cmocka_unit_test(a_schema_is_kept),
	    cmocka_unit_test(required_calls_come),
	    cmocka_unit_test(tools_are_heard_of),
	    cmocka_unit_test(a_format_beside_tools_leaves_the_choice),
	    cmocka_unit_test(strict_tools_leave_text_free),
	    cmocka_unit_test(a_cut_answer_goes_on),
	    cmocka_unit_test(text_alone_will_do),
	    cmocka_unit_test(bare_prompts_and_gaps),
	    cmocka_unit_test(images_are_refused_by_name),
	    cmocka_unit_test(the_model_is_described),
	    cmocka_unit_test(texts_become_vectors),
	};
	return cmocka_run_group_tests_name("gguf backend", tests, setup, teardown);
}
