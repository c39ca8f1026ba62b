/* Grammars: what they let through, what they refuse, and that whatever a blind writer writes under
 * one is valid, checked by a validator that knows nothing of grammars. */
#include "engine/constraint.h"
#include "engine/grammar.h"
#include "engine/tokenizer.h"
#include "text_test.h"
#include "validate.h"

#include "tiny.h"

struct fixture {
	struct tiny_vocab vocab;
	struct tokenizer *tokenizer;
	struct token_trie *trie;
};

static int setup(void **state)
{
	static struct fixture f;
	f.vocab = tiny_bpe("gpt-2");
	assert_int_equal(tokenizer_new(f.vocab.file, &f.tokenizer, NULL), 0);
	assert_int_equal(token_trie_new(f.tokenizer, &f.trie, NULL), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	token_trie_free(f->trie);
	tokenizer_free(f->tokenizer);
	tiny_vocab_free(&f->vocab);
	return 0;
}

static struct grammar *compile(const char *schema)
{
	struct grammar *g;
	struct err err = {0};
	if (grammar_of_document(bytes_str(schema), "schema", &GRAMMAR_ALL_BYTES, &g, &err))
		fail_msg("%s: %s", schema, err_text(&err));
	return g;
}

/* Whether the whole text is a document of the grammar. */
static bool lets_through(const struct fixture *f, const struct grammar *g, const char *text)
{
	struct constraint *c;
	assert_int_equal(constraint_new(g, f->trie, NULL, 0, &c, NULL), 0);
	int rc = constraint_accept_bytes(c, bytes_str(text), NULL);
	bool ok = rc == 0 && constraint_may_end(c);
	constraint_free(c);
	return ok;
}

struct sample {
	const char *schema;
	const char *yes[6], *no[6];
};

static const struct sample SAMPLES[] = {
    {"{}", {"1", "\"a\"", "[1, {\"a\":null}]", "true"}, {"", "{", "01", "[1,]", "nul"}},
    {"{\"type\":\"object\"}", {"{}", "{\"a\": [1]}", "{\n  \"a\": 1,\n  \"b\": 2\n}"},
	{"[]", "{\"a\"}", "{\"a\":1,}", "{}}", "{a:1}"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
	{"\"ab\"", "\"abc\"", "\"\\u00e9\\n\"", "\"\xc3\xa9\xc3\xa9\xc3\xa9\""},
	{"\"a\"", "\"abcd\"", "ab"}},
    {"{\"type\":\"string\"}", {"\"\"", "\"\\ud83d\\ude00\""},
	{"\"\\ud83d\"", "\"\\u0000\"", "\"\n\"", "\"\xff\"", "\"\xc0\x80\"", "\"\\x\""}},
    {"{\"type\":[\"integer\",\"null\"]}", {"0", "-17", "null", "123456789012345"},
	{"1.5", "1e3", "00", "-", "\"1\""}},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":12}", {"-5", "-1", "0", "9", "10", "12"},
	{"-6", "13", "100", "-10", "20"}},
    {"{\"type\":\"integer\",\"minimum\":100}", {"100", "999", "1000", "123456"},
	{"99", "0", "-100", "010"}},
    {"{\"type\":\"integer\",\"exclusiveMaximum\":0}", {"-1", "-99"}, {"0", "-0", "1"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":10}",
	{"0.5", "10", "9.99", "0.001", "1"}, {"0", "0.0", "10.1", "-1", "11"}},
    {"{\"type\":\"number\",\"minimum\":-1.5,\"maximum\":0.25}",
	{"-1.50", "-1.41", "0", "0.25", "0.10", "-0.5"}, {"-1.60", "-1.51", "0.26", "1", "-2"}},
    {"{\"enum\":[\"a\",\"ab\",1,null]}", {"\"a\"", "\"ab\"", "1", "null"},
	{"\"b\"", "\"abc\"", "11", ""}},
    {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\""}, {"1"}},
    {"{\"const\":{\"x\":[1,\"\\n\"]}}", {"{\"x\":[1,\"\\n\"]}"}, {"{\"x\":[1]}"}},
    {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"null\"}},"
     "\"required\":[\"b\"],\"additionalProperties\":false}",
	{"{\"a\":1,\"b\":null}", "{ \"b\": null }", "{\"b\":null}"},
	{"{}", "{\"a\":1}", "{\"b\":null,\"c\":1}", "{\"b\":null,\"a\":1}", "{\"b\":1}"}},
    {"{\"properties\":{\"a\":{},\"ab\":{\"type\":\"integer\"}},\"additionalProperties\":"
     "{\"type\":\"boolean\"}}",
	{"{}", "{\"x\":true}", "{\"a\":\"s\",\"aa\":true,\"abc\":false}", "{\"\":true}"},
	{"{\"x\":1}", "{\"x\":true,\"ab\":true}", "{\"ab\":true}", "{\"\\u0061b\":true}"}},
    {"{\"patternProperties\":{\"^x-[a-z]+$\":{\"type\":\"integer\"}},"
     "\"additionalProperties\":false}",
	{"{}", "{\"x-a\":1,\"x-bc\":2}"}, {"{\"y\":1}", "{\"x-\":1}", "{\"x-a\":true}"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}",
	{"[1,2]", "[1, 2, 3]", "[\n 1,\n 2\n]"}, {"[]", "[1]", "[1,2,3,4]", "[1,\"a\"]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}",
	{"[]", "[1]", "[1,\"a\"]"}, {"[\"a\"]", "[1,\"a\",2]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},"
     "\"minItems\":1}",
	{"[1]", "[1,null]", "[1,null,null]"}, {"[]", "[null]", "[1,1]"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}",
	{"1", "[]", "[1,[2,[3]]]"}, {"\"a\"", "[\"a\"]", "[1,[2]"}},
    {"{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"type\":\"null\"}]}},\"required\":[\"v\","
     "\"next\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/n\"}",
	{"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
	{"{\"v\":1}", "null", "{\"v\":1,\"next\":{\"v\":2}}"}},
    {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"}},\"required\":"
     "[\"a\"]},{\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3},\"b\":{\"type\":"
     "\"null\"}}}]}",
	{"{\"a\":3}", "{\"a\":4,\"b\":null}"}, {"{}", "{\"a\":2}", "{\"a\":3.5}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}},"
     "\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
	{"{\"a\":null}", "{\"b\":null}", "{\"a\":null,\"b\":null}"}, {"{}"}},
    {"{\"type\":\"string\",\"pattern\":\"^(a|bc)+[0-9]{2,3}$\"}", {"\"a12\"", "\"bca123\""},
	{"\"12\"", "\"a1\"", "\"a1234\"", "\"ba12\""}},
    {"{\"pattern\":\"b\"}", {"\"abc\"", "\"b\"", "\"\\nb\""}, {"\"ac\"", "\"\""}},
    {"{\"pattern\":\"^[^\\\"\\\\\\\\a-z]{2}$\"}", {"\"AB\"", "\"\xc3\xa9!\""},
	{"\"ab\"", "\"\\\"A\"", "\"A\""}},
    {"{\"pattern\":\"^\\\\w+\\\\s?\\\\d*$\",\"minLength\":2,\"maxLength\":4}",
	{"\"ab\"", "\"a 12\"", "\"a_1\""}, {"\"a\"", "\"abcde\"", "\"a  1\""}},
    {"{\"format\":\"date\"}", {"\"2024-02-28\"", "\"1999-12-31\""},
	{"\"2024-02-30\"", "\"2024-13-01\"", "\"24-01-01\"", "\"2024-04-31\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
	{"\"2024-02-28T23:59:59Z\"", "\"2024-02-28T00:00:00.125+02:00\""},
	{"\"2024-02-28\"", "\"2024-02-28T24:00:00Z\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""},
	{"\"123e4567\""}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}", {"\"192.168.0.1\"", "\"0.0.0.0\""},
	{"\"256.1.1.1\"", "\"1.1.1\"", "\"01.1.1.1\""}},
    {"true", {"1", "{}"}, {"x"}},
};

static void lets_through_what_is_valid_and_nothing_else(void **state)
{
	const struct fixture *f = *state;
	for (size_t i = 0; i < sizeof SAMPLES / sizeof SAMPLES[0]; i++) {
		struct grammar *g = compile(SAMPLES[i].schema);
		for (size_t k = 0; k < 6 && SAMPLES[i].yes[k]; k++)
			if (!lets_through(f, g, SAMPLES[i].yes[k]))
				fail_msg("%s must allow %s", SAMPLES[i].schema, SAMPLES[i].yes[k]);
		for (size_t k = 0; k < 6 && SAMPLES[i].no[k]; k++)
			if (lets_through(f, g, SAMPLES[i].no[k]))
				fail_msg(
				    "%s must not allow %s", SAMPLES[i].schema, SAMPLES[i].no[k]);
		grammar_free(g);
	}
}

static void refuses_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *word;
		int code;
	} CASES[] = {
	    {"{\"not\":{}}", "not", E_UNSUPPORTED},
	    {"{\"type\":\"array\",\"items\":{},\"uniqueItems\":true}", "uniqueItems",
		E_UNSUPPORTED},
	    {"{\"type\":\"object\",\"properties\":{\"a\":{\"if\":{}}}}", "if", E_UNSUPPORTED},
	    {"{\"type\":\"integer\",\"multipleOf\":3}", "multipleOf", E_UNSUPPORTED},
	    {"{\"type\":\"object\",\"minProperties\":1}", "minProperties", E_UNSUPPORTED},
	    {"{\"enum\":[1,2],\"minimum\":2}", "minimum", E_UNSUPPORTED},
	    {"{\"pattern\":\"(?=a)b\"}", "pattern", E_UNSUPPORTED},
	    {"{\"pattern\":\"a\\\\b\"}", "pattern", E_UNSUPPORTED},
	    {"{\"pattern\":\"a**\"}", "pattern", E_UNSUPPORTED},
	    {"{\"pattern\":\"a{9999}\"}", "pattern", E_TOO_LARGE},
	    {"{\"pattern\":\"(a{900}){900}\"}", "pattern", E_TOO_LARGE},
	    {"{\"$ref\":\"http://a/b\"}", "$ref", E_UNSUPPORTED},
	    {"{\"$ref\":\"#/nowhere\"}", "$ref", E_INVALID},
	    {"{\"$ref\":\"#\"}", "nothing", E_INVALID},
	    {"{\"type\":\"number\",\"minimum\":2,\"maximum\":1}", "nothing", E_INVALID},
	    {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "nothing",
		E_INVALID},
	    {"{\"type\":\"colour\"}", "colour", E_INVALID},
	    {"{\"type\":", "JSON", E_SYNTAX},
	    {"false", "nothing", E_INVALID},
	    {"7", "schema", E_INVALID},
	};
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		struct grammar *g = NULL;
		struct err err = {0};
		int rc = grammar_of_document(
		    bytes_str(CASES[i].schema), "schema", &GRAMMAR_ALL_BYTES, &g, &err);
		if (rc != CASES[i].code || !strstr(err_text(&err), CASES[i].word))
			fail_msg("%s: %d, %s", CASES[i].schema, rc, err_text(&err));
		assert_non_null(strstr(err.param, "schema"));
	}
	struct err err = {0};
	struct grammar *g;
	assert_int_equal(
	    grammar_of_document(bytes_str("{\"properties\":{\"a\":{\"items\":{\"not\":{}}}}}"),
		"response_format.schema", &GRAMMAR_ALL_BYTES, &g, &err),
	    E_UNSUPPORTED);
	assert_string_equal(err.param, "response_format.schema.properties.a.items");
}

/* ---- blind writing ------------------------------------------------------------------------- */

/* Picks uniformly among the allowed tokens until the document is complete; false when it took more
 * than `limit`. Past half of it, shorter texts are preferred by ending whenever possible. */
static bool write_blindly(const struct fixture *f, const struct grammar *g, uint64_t *random,
    size_t limit, struct buf *out)
{
	struct constraint *c;
	size_t n_vocab = tokenizer_n_vocab(f->tokenizer), steps = 0;
	assert_int_equal(constraint_new(g, f->trie, NULL, 0, &c, NULL), 0);
	while (steps++ < limit && !constraint_must_end(c)) {
		const uint32_t *mask = constraint_mask(c);
		assert_non_null(mask);
		size_t allowed = 0;
		for (size_t i = 0; i < n_vocab; i++)
			allowed += mask[i >> 5] >> (i & 31) & 1;
		if (constraint_may_end(c) && (allowed == 0 || tiny_random(random) % 4 == 0))
			break;
		assert_true(allowed > 0); /* never a dead end */
		size_t pick = tiny_random(random) % allowed;
		int32_t id = -1;
		for (size_t i = 0; i < n_vocab && id < 0; i++)
			if (mask[i >> 5] >> (i & 31) & 1 && pick-- == 0)
				id = (int32_t)i;
		assert_true(constraint_allows(c, id));
		assert_int_equal(constraint_accept(c, id, NULL), 0);
		buf_bytes(out, tokenizer_piece(f->tokenizer, id));
	}
	bool complete = constraint_may_end(c);
	constraint_free(c);
	return complete;
}

/* False when a key came twice, which grammars let through: nothing is to be checked then. */
static bool expect_valid(const char *schema, struct buf *text)
{
	json_error_t why;
	json_t *s = json_loads(schema, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	json_t *v = json_loadb(
	    (const char *)text->p, text->n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	bool twice = !v && json_error_code(&why) == json_error_duplicate_key;
	if (!twice && (!v || !json_is_valid(s, s, v)))
		fail_msg("%s\nwrote %s", schema, buf_cstr(text));
	json_decref(v);
	json_decref(s);
	return !twice;
}

static size_t write_many(
    const struct fixture *f, const char *schema, uint64_t *random, size_t n, size_t limit)
{
	struct grammar *g = compile(schema);
	size_t complete = 0;
	for (size_t i = 0; i < n; i++) {
		struct buf text = BUF_INIT(1 << 20);
		if (write_blindly(f, g, random, limit, &text))
			complete += expect_valid(schema, &text);
		buf_free(&text);
	}
	grammar_free(g);
	return complete;
}

static void the_blind_write_valid_documents(void **state)
{
	const struct fixture *f = *state;
	uint64_t random = 1;
	size_t complete = 0;
	for (size_t i = 0; i < sizeof SAMPLES / sizeof SAMPLES[0]; i++)
		complete += write_many(f, SAMPLES[i].schema, &random, 30, 2000);
	print_message("%zu complete documents\n", complete);
	assert_true(complete > 600);
}

/* A schema of random shape, over everything that is supported. */
static void random_schema(uint64_t *r, struct buf *out, int depth)
{
	static const char *const leaves[] = {
	    "{\"type\":\"integer\",\"minimum\":-7,\"maximum\":120}", "{\"type\":\"boolean\"}",
	    "{\"type\":\"null\"}", "{\"type\":\"string\",\"maxLength\":4}",
	    "{\"enum\":[\"red\",\"green\",3]}", "{\"type\":[\"null\",\"integer\"]}",
	    "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":30}",
	    "{\"type\":\"string\",\"pattern\":\"^[ab]+c?$\",\"minLength\":1,\"maxLength\":6}",
	    "{\"type\":\"string\",\"format\":\"time\"}", "{\"const\":[1,{\"k\":\"v\"}]}",
	    "{\"$ref\":\"#/$defs/leaf\"}"};
	uint64_t kind = tiny_random(r) % (depth > 0 ? 16 : 11);
	if (kind < 11) {
		buf_str(out, leaves[kind]);
	} else if (kind < 14) {
		size_t n = tiny_random(r) % 4;
		buf_str(out, "{\"type\":\"object\",\"properties\":{");
		for (size_t i = 0; i < n; i++) {
			buf_printf(out, "%s\"p%zu\":", i ? "," : "", i);
			random_schema(r, out, depth - 1);
		}
		buf_str(out, "},\"required\":[");
		if (n && tiny_random(r) % 2)
			buf_printf(out, "\"p%zu\"", (size_t)(tiny_random(r) % n));
		buf_str(out, "],\"additionalProperties\":");
		if (tiny_random(r) % 2)
			random_schema(r, out, 0);
		else
			buf_str(out, "false");
		buf_str(out, "}");
	} else if (kind < 15) {
		buf_printf(out, "{\"type\":\"array\",\"minItems\":%u,\"maxItems\":3,\"items\":",
		    (unsigned)(tiny_random(r) % 3));
		random_schema(r, out, depth - 1);
		buf_str(out, "}");
	} else {
		buf_str(out, "{\"anyOf\":[");
		random_schema(r, out, depth - 1);
		buf_str(out, ",");
		random_schema(r, out, depth - 1);
		buf_str(out, "]}");
	}
}

static void schemas_of_any_shape(void **state)
{
	const struct fixture *f = *state;
	uint64_t random = 42;
	size_t complete = 0;
	for (int i = 0; i < 250; i++) {
		struct buf schema = BUF_INIT(1 << 16);
		buf_str(&schema, "{\"$defs\":{\"leaf\":{\"type\":\"boolean\"}},\"allOf\":[");
		random_schema(&random, &schema, 3);
		buf_str(&schema, "]}");
		complete += write_many(f, buf_cstr(&schema), &random, 6, 1500);
		buf_free(&schema);
	}
	print_message("%zu complete documents\n", complete);
	assert_true(complete > 1200);
}

/* However deep a blind writer goes, the way back is always open. */
static void depth_is_bounded(void **state)
{
	const struct fixture *f = *state;
	struct grammar *g = compile("{\"type\":\"object\"}");
	struct constraint *c;
	size_t depth = 0;
	assert_int_equal(constraint_new(g, f->trie, NULL, 0, &c, NULL), 0);
	assert_int_equal(constraint_accept_bytes(c, bytes_str("{\"a\":"), NULL), 0);
	while (constraint_accept_bytes(c, bytes_str("["), NULL) == 0)
		depth++;
	assert_in_range(depth, 30, 60);
	for (size_t i = 0; i < depth; i++)
		assert_int_equal(constraint_accept_bytes(c, bytes_str("]"), NULL), 0);
	assert_int_equal(constraint_accept_bytes(c, bytes_str("}"), NULL), 0);
	assert_true(constraint_must_end(c));
	constraint_free(c);
	grammar_free(g);
}

/* A vocabulary without digits writes no numbers, and says so when there is nothing else. */
static void bytes_that_the_vocabulary_lacks_are_not_needed(void **state)
{
	const struct fixture *f = *state;
	struct grammar_alphabet letters = GRAMMAR_ALL_BYTES;
	struct grammar *g;
	struct err err = {0};
	for (int c = '0'; c <= '9'; c++)
		letters.has[c] = false;
	assert_int_equal(
	    grammar_of_document(bytes_str("{\"type\":\"integer\"}"), "s", &letters, &g, &err),
	    E_INVALID);
	assert_int_equal(grammar_of_document(bytes_str("{\"type\":[\"integer\",\"null\"]}"), "s",
			     &letters, &g, &err),
	    0);
	assert_true(lets_through(f, g, "null"));
	assert_false(lets_through(f, g, "1"));
	grammar_free(g);
}

static void items_and_their_frames(void **state)
{
	const struct fixture *f = *state;
	struct grammar_part one[] = {
	    {GRAMMAR_LITERAL, bytes_str("{\"name\":\"f\",\"arguments\":"), NULL},
	    {GRAMMAR_SCHEMA,
		bytes_str("{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"properties\":"
			  "{\"x\":{\"$ref\":\"#/$defs/n\"}},\"required\":[\"x\"]}"),
		"tools[0]"},
	    {GRAMMAR_LITERAL, bytes_str("}"), NULL}};
	struct grammar_part two[] = {{GRAMMAR_LITERAL, bytes_str("{\"name\":\"g\"}"), NULL}};
	struct grammar_sequence both[] = {{one, 3}, {two, 1}};
	struct grammar_shape shape = {
	    both, 2, bytes_str("<c>"), bytes_str("</c>\n<c>"), bytes_str("</c>"), 2};
	struct grammar *g;
	assert_int_equal(grammar_new(&shape, &GRAMMAR_ALL_BYTES, &g, NULL), 0);
	assert_true(lets_through(f, g, "<c>{\"name\":\"g\"}</c>"));
	assert_true(lets_through(
	    f, g, "<c>{\"name\":\"f\",\"arguments\":{\"x\":3}}</c>\n<c>{\"name\":\"g\"}</c>"));
	assert_false(lets_through(f, g, "<c>{\"name\":\"f\",\"arguments\":{}}</c>"));
	assert_false(lets_through(f, g, "<c>{\"name\":\"h\"}</c>"));
	assert_false(lets_through(
	    f, g, "<c>{\"name\":\"g\"}</c>\n<c>{\"name\":\"g\"}</c>\n<c>{\"name\":\"g\"}</c>"));
	grammar_free(g);
}

/* A mask has exactly the tokens that are allowed one by one. */
static void masks_agree_with_single_tokens(void **state)
{
	const struct fixture *f = *state;
	static const struct {
		const char *schema, *steps[5];
	} CASES[] = {
	    {"{\"properties\":{\"hello\":{\"enum\":[\"world\",\"wor\"]}}}",
		{"{", "\"he", "llo\"", ":", "\"w"}},
	    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":8}", {"\"", "a", "bc", "d", "ef"}},
	    {"{\"type\":\"array\",\"items\":{\"type\":\"string\"}}", {"[", "\"", "x", "\"", ","}},
	    {"{\"pattern\":\"^[a-l]{3}o?[a-w]*$\"}", {"\"", "h", "e", "l", "l"}},
	};
	for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
		struct grammar *g = compile(CASES[i].schema);
		struct constraint *c;
		assert_int_equal(constraint_new(g, f->trie, NULL, 0, &c, NULL), 0);
		for (size_t s = 0; s < 5; s++) {
			size_t n = tokenizer_n_vocab(f->tokenizer), count = 0;
			for (size_t id = 0; id < n; id++) {
				bool bit = constraint_mask(c)[id >> 5] >> (id & 31) & 1;
				assert_int_equal(bit, constraint_allows(c, (int32_t)id));
				count += bit;
			}
			assert_true(count > 0 && count < n);
			assert_int_equal(
			    constraint_accept_bytes(c, bytes_str(CASES[i].steps[s]), NULL), 0);
		}
		constraint_free(c);
		grammar_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lets_through_what_is_valid_and_nothing_else),
	    cmocka_unit_test(refuses_by_name),
	    cmocka_unit_test(the_blind_write_valid_documents),
	    cmocka_unit_test(schemas_of_any_shape),
	    cmocka_unit_test(depth_is_bounded),
	    cmocka_unit_test(bytes_that_the_vocabulary_lacks_are_not_needed),
	    cmocka_unit_test(items_and_their_frames),
	    cmocka_unit_test(masks_agree_with_single_tokens),
	};
	return cmocka_run_group_tests_name("grammar", tests, setup, teardown);
}
