/* Replies taken apart, wherever the pieces are cut, and calls that must be made. */
#include "engine/reply.h"

#include "engine/constraint.h"
#include "engine/grammar.h"
#include "engine/tokenizer.h"
#include "text_test.h"

#include "tiny.h"

/* What came, written down: t'…' r'…' c'name|arguments', neighbours of a kind joined. */
struct log {
	struct buf text;
	int last;
};

static int note(void *arg, enum reply_part part, struct bytes text, struct bytes name)
{
	struct log *l = arg;
	assert_true(part == REPLY_CALL || text.n > 0);
	if (part == REPLY_CALL || l->last != (int)part)
		buf_printf(&l->text, "[%c]", "trc"[part]);
	l->last = part == REPLY_CALL ? -1 : (int)part;
	if (part == REPLY_CALL) {
		buf_bytes(&l->text, name);
		buf_u8(&l->text, '|');
	}
	buf_bytes(&l->text, text);
	return 0;
}

static void take_apart(
    const struct reply_options *opt, const char *reply, size_t piece, struct log *log)
{
	struct reply_parser p;
	size_t n = strlen(reply);
	*log = (struct log){.text = BUF_INIT(1 << 16), .last = -1};
	reply_parser_init(&p, opt, note, log);
	for (size_t at = 0; at < n; at += piece)
		assert_int_equal(
		    reply_parser_push(&p, bytes_of(reply + at, n - at < piece ? n - at : piece)),
		    0);
	assert_int_equal(reply_parser_finish(&p), 0);
	reply_parser_free(&p);
}

#define DS_BEGIN "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>"
#define DS_END   "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"

static const struct {
	struct reply_options opt;
	const char *reply, *want;
} REPLIES[] = {
    {{{TOOL_FORM_JSON, false, false}, false, false}, "Hello {\"name\":\"f\"}",
	"[t]Hello {\"name\":\"f\"}"},
    {{{TOOL_FORM_HERMES, true, true}, true, false},
	"<think>hm\n</think>\n\nI ask.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n"
	"</tool_call>\n<tool_call>\n{\"name\":\"g\",\"arguments\":{}}\n</tool_call>",
	"[r]hm\n[t]I ask.[c]f|{\"x\":1}[c]g|{}"},
    {{{TOOL_FORM_HERMES, true, true}, true, true}, "thought</think> 2 < 3 <tool",
	"[r]thought[t]2 < 3 <tool"},
    {{{TOOL_FORM_HERMES, true, false}, true, false}, "<tool_call>no call</tool_call> ok",
	"[t]<tool_call>no call</tool_call> ok"},
    {{{TOOL_FORM_HERMES, true, false}, true, false}, "<tool_call>{\"name\":\"f\"}", "[c]f|{}"},
    {{{TOOL_FORM_HERMES, true, false}, false, false}, "<tool_call>{\"name\":\"f\"}</tool_call>",
	"[t]<tool_call>{\"name\":\"f\"}</tool_call>"},
    {{{TOOL_FORM_LLAMA, true, false}, true, false},
	"\n{\"name\": \"f\", \"parameters\": {\"q\": \"a}b\"}}; {\"name\":\"g\",\"parameters\":{}}",
	"[c]f|{\"q\":\"a}b\"}[c]g|{}"},
    {{{TOOL_FORM_LLAMA, true, false}, true, false},
	"<|python_tag|>{\"name\":\"f\",\"parameters\":{}}", "[c]f|{}"},
    {{{TOOL_FORM_LLAMA, true, false}, true, false}, "{\"no\": \"call\"}", "[t]{\"no\": \"call\"}"},
    {{{TOOL_FORM_MISTRAL, true, false}, true, false},
	"Yes.[TOOL_CALLS] "
	"[{\"name\":\"f\",\"arguments\":{\"a\":[1]}},{\"name\":\"g\",\"arguments\":{}}]",
	"[t]Yes.[c]f|{\"a\":[1]}[c]g|{}"},
    {{{TOOL_FORM_MISTRAL_ARGS, true, false}, true, false},
	"Hm. [TOOL_CALLS]f[ARGS]{\"a\": \"[ARGS]\"}[TOOL_CALLS]g[ARGS]{}",
	"[t]Hm.[c]f|{\"a\": \"[ARGS]\"}[c]g|{}"},
    {{{TOOL_FORM_MISTRAL_ARGS, true, false}, true, false}, "[TOOL_CALLS]f{}", "[t][TOOL_CALLS]f{}"},
    {{{TOOL_FORM_DEEPSEEK, true, true}, true, false},
	"<think>a</think>b" DS_BEGIN "f\n```json\n{\"x\": 2}\n```" DS_END,
	"[r]a[t]b[c]f|{\"x\": 2}"},
    {{{TOOL_FORM_JSON, false, false}, true, false}, "{\"name\":\"f\",\"arguments\":{\"x\":1}}",
	"[c]f|{\"x\":1}"},
    {{{TOOL_FORM_JSON, false, false}, true, false}, "plain {\"name\":\"f\"}",
	"[t]plain {\"name\":\"f\"}"},
    {{{TOOL_FORM_JSON, false, false}, true, false}, "{\"name\":\"f\",\"arguments\":3}",
	"[t]{\"name\":\"f\",\"arguments\":3}"},
    {{{TOOL_FORM_JSON, false, false}, true, false}, "  ", "[t]  "},
};

static void replies_come_apart_wherever_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof REPLIES / sizeof REPLIES[0]; i++)
		for (size_t piece = 1; piece <= strlen(REPLIES[i].reply); piece++) {
			struct log log;
			take_apart(&REPLIES[i].opt, REPLIES[i].reply, piece, &log);
			if (strcmp(buf_cstr(&log.text), REPLIES[i].want) != 0)
				fail_msg("case %zu by %zu: %s", i, piece, buf_cstr(&log.text));
			buf_free(&log.text);
		}
}

static void styles_follow_the_template(void **state)
{
	(void)state;
	static const struct {
		const char *source;
		struct reply_style want;
	} CASES[] = {
	    {"", {TOOL_FORM_JSON, false, false}},
	    {"{% if tools %}<tool_call>{% endif %}<think>", {TOOL_FORM_HERMES, true, true}},
	    {"tools [TOOL_CALLS]", {TOOL_FORM_MISTRAL, true, false}},
	    {"tools [TOOL_CALLS] [ARGS]", {TOOL_FORM_MISTRAL_ARGS, true, false}},
	    {"tools <|python_tag|>", {TOOL_FORM_LLAMA, true, false}},
	    {"tools <｜tool▁calls▁begin｜> <tool_call>", {TOOL_FORM_DEEPSEEK, true, false}},
	    {"tools", {TOOL_FORM_JSON, true, false}},
	};
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		struct reply_style s = reply_style_of(bytes_str(CASES[i].source));
		assert_int_equal(s.form, CASES[i].want.form);
		assert_int_equal(s.knows_tools, CASES[i].want.knows_tools);
		assert_int_equal(s.thinks, CASES[i].want.thinks);
	}
}

/* ---- forced calls -------------------------------------------------------------------------- */

static const char WEATHER[] =
    "{\"type\":\"object\",\"properties\":{\"city\":{\"enum\":[\"Bonn\",\"Rom\"]},"
    "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},"
    "\"required\":[\"city\"],\"additionalProperties\":false}";

struct counted {
	unsigned calls, others;
};

static int count_valid(void *arg, enum reply_part part, struct bytes text, struct bytes name)
{
	struct counted *c = arg;
	if (part != REPLY_CALL) {
		c->others++;
		return 0;
	}
	json_t *v = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_object(v));
	if (bytes_equal(name, bytes_str("weather")))
		assert_true(json_is_string(json_object_get(v, "city")));
	else
		assert_true(bytes_equal(name, bytes_str("now")));
	c->calls++;
	json_decref(v);
	return 0;
}

static void write_blindly(
    struct constraint *c, const struct tokenizer *t, uint64_t *random, struct buf *out)
{
	for (int i = 0; i < 400 && !constraint_must_end(c); i++) {
		int32_t id;
		if (constraint_may_end(c) && tiny_random(random) % 8 == 0)
			return;
		do
			id = (int32_t)(tiny_random(random) % tokenizer_n_vocab(t));
		while (!constraint_allows(c, id));
		assert_int_equal(constraint_accept(c, id, NULL), 0);
		buf_bytes(out, tokenizer_piece(t, id));
	}
}

/* In every form, what a blind writer is made to write is taken apart as valid calls. */
static void forced_calls_are_calls(void **state)
{
	(void)state;
	struct tiny_vocab vocab = tiny_bpe("gpt-2");
	struct tokenizer *t;
	struct token_trie *trie;
	struct reply_tool tools[] = {
	    {"weather", "of a city", bytes_str(WEATHER), true, "tools[0].function.parameters"},
	    {"now", NULL, {0}, false, "tools[1].function.parameters"}};
	uint64_t random = 3;
	assert_int_equal(tokenizer_new(vocab.file, &t, NULL), 0);
	assert_int_equal(token_trie_new(t, &trie, NULL), 0);
	for (int form = TOOL_FORM_JSON; form <= TOOL_FORM_DEEPSEEK; form++) {
		struct reply_call_options opt = {(enum tool_form)form, false, 3};
		struct grammar *g;
		assert_int_equal(
		    reply_call_grammar(tools, 2, &opt, &GRAMMAR_ALL_BYTES, &g, NULL), 0);
		unsigned complete = 0;
		for (int i = 0; i < 40; i++) {
			struct constraint *c;
			struct buf text = BUF_INIT(1 << 16);
			struct reply_parser p;
			struct counted counted = {0};
			struct reply_options how = {
			    {(enum tool_form)form, true, true}, true, false};
			assert_int_equal(constraint_new(g, trie, NULL, 0, &c, NULL), 0);
			write_blindly(c, t, &random, &text);
			reply_parser_init(&p, &how, count_valid, &counted);
			assert_int_equal(reply_parser_push(&p, buf_view(&text)), 0);
			assert_int_equal(reply_parser_finish(&p), 0);
			if (constraint_may_end(c)) {
				assert_in_range(counted.calls, 1, 3);
				assert_int_equal(counted.others, 0);
				complete++;
			}
			reply_parser_free(&p);
			constraint_free(c);
			buf_free(&text);
		}
		assert_true(complete > 20);
		grammar_free(g);
	}
	token_trie_free(trie);
	tokenizer_free(t);
	tiny_vocab_free(&vocab);
}

/* Text is free until a call begins; then it is held to the schema. */
static void optional_calls_are_valid_calls(void **state)
{
	(void)state;
	static const struct {
		enum tool_form form;
		const char *text;
		bool allowed;
	} CASES[] = {
	    {TOOL_FORM_HERMES, "Just text < tool <tool", true},
	    {TOOL_FORM_HERMES,
		"Hm.<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rom\"}}\n"
		"</tool_call>",
		true},
	    {TOOL_FORM_HERMES, "Hm.<tool_call>\n{\"name\": \"storm\"", false},
	    {TOOL_FORM_HERMES, "Hm.<<tool_call>x", false},
	    {TOOL_FORM_JSON, "Just text {", true},
	    {TOOL_FORM_JSON, " {\"name\": \"weather\", \"arguments\": {\"city\": \"Rom\"}}", false},
	    {TOOL_FORM_JSON, "{\"name\": \"weather\", \"arguments\": {\"city\": \"Rom\"}}", true},
	    {TOOL_FORM_JSON, "{\"name\": \"weather\", \"arguments\": {\"city\": \"Ulm\"", false},
	};
	struct tiny_vocab vocab = tiny_bpe("gpt-2");
	struct tokenizer *t;
	struct token_trie *trie;
	struct reply_tool tool = {"weather", NULL, bytes_str(WEATHER), true, "tools[0]"};
	assert_int_equal(tokenizer_new(vocab.file, &t, NULL), 0);
	assert_int_equal(token_trie_new(t, &trie, NULL), 0);
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		struct reply_call_options opt = {CASES[i].form, true, 1};
		struct grammar *g;
		struct constraint *c;
		assert_int_equal(
		    reply_call_grammar(&tool, 1, &opt, &GRAMMAR_ALL_BYTES, &g, NULL), 0);
		assert_int_equal(constraint_new(g, trie, NULL, 0, &c, NULL), 0);
		int rc = constraint_accept_bytes(c, bytes_str(CASES[i].text), NULL);
		if ((rc == 0 && constraint_may_end(c)) != CASES[i].allowed)
			fail_msg("case %zu", i);
		constraint_free(c);
		grammar_free(g);
	}
	token_trie_free(trie);
	tokenizer_free(t);
	tiny_vocab_free(&vocab);
}

static void strict_tools_must_be_expressible(void **state)
{
	(void)state;
	struct reply_tool tool = {"f", NULL,
	    bytes_str("{\"type\":\"object\",\"properties\":{\"a\":{\"not\":{}}}}"), true,
	    "tools[0].function.parameters"};
	struct reply_call_options opt = {TOOL_FORM_JSON, false, 1};
	struct grammar *g;
	struct err err = {0};
	assert_int_equal(
	    reply_call_grammar(&tool, 1, &opt, &GRAMMAR_ALL_BYTES, &g, &err), E_UNSUPPORTED);
	assert_non_null(strstr(err.param, "tools[0].function.parameters.properties.a"));
	tool.strict = false;
	assert_int_equal(reply_call_grammar(&tool, 1, &opt, &GRAMMAR_ALL_BYTES, &g, &err), 0);
	grammar_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replies_come_apart_wherever_they_are_cut),
	    cmocka_unit_test(styles_follow_the_template),
	    cmocka_unit_test(forced_calls_are_calls),
	    cmocka_unit_test(optional_calls_are_valid_calls),
	    cmocka_unit_test(strict_tools_must_be_expressible),
	};
	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
