/* Tokenizers on vocabularies small enough to follow by hand, and on hostile ones. */
#include "engine/tokenizer.h"

#include "text_test.h"

#include <stdio.h>
#include <stdlib.h>

static struct tokenizer *open_tokenizer(const struct tiny_vocab *v)
{
	struct tokenizer *t;
	struct err err = {0};
	int rc = tokenizer_new(v->file, &t, &err);
	if (rc)
		print_error("%s\n", err_text(&err));
	assert_int_equal(rc, 0);
	return t;
}

/* The pieces of the ids, each between bars: "|he|llo|". */
static char *shown(
    const struct tokenizer *t, struct bytes text, enum tokenize_flags flags, char *out, size_t cap)
{
	struct token_list ids = {0};
	assert_int_equal(tokenizer_encode(t, text, flags, &ids, NULL), 0);
	size_t n = (size_t)snprintf(out, cap, "|");
	for (size_t i = 0; i < ids.n && n < cap; i++) {
		struct bytes piece = tokenizer_piece(t, ids.ids[i]);
		n += (size_t)snprintf(
		    out + n, cap - n, "%.*s|", (int)piece.n, (const char *)piece.p);
	}
	token_list_free(&ids);
	return out;
}

#define assert_pieces(t, text, flags, want)                                                        \
	do {                                                                                       \
		char out_[400];                                                                    \
		assert_string_equal(shown(t, bytes_str(text), flags, out_, sizeof out_), want);    \
	} while (0)

static void spm_merges_by_score(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_spm();
	struct tokenizer *t = open_tokenizer(&v);
	assert_pieces(t, "hello world", TOKENIZE_PLAIN, "| hello| world|");
	assert_pieces(t, "hello world", TOKENIZE_ADD_SPECIAL, "|<s>| hello| world|");
	assert_pieces(t, "helloworld", TOKENIZE_PLAIN, "| hello|wor|ld|");
	assert_pieces(t, "", TOKENIZE_ADD_SPECIAL, "|<s>|");
	assert_pieces(t, "", TOKENIZE_PLAIN, "|");
	assert_pieces(t, " ", TOKENIZE_PLAIN, "| | |");
	assert_pieces(t, "d\xc3\xa9", TOKENIZE_PLAIN, "| |d|\xc3\xa9|");
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void spm_falls_back_to_bytes(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_spm();
	struct tokenizer *t = open_tokenizer(&v);
	struct token_list ids = {0};
	/* U+1F999, then a stray continuation byte and a cut-off sequence */
	assert_int_equal(
	    tokenizer_encode(t, bytes_str("\xf0\x9f\xa6\x99\x80\xe2"), 0, &ids, NULL), 0);
	static const uint8_t RAW[] = {0xf0, 0x9f, 0xa6, 0x99, 0x80, 0xe2};
	assert_int_equal(ids.n, 1 + sizeof RAW);
	for (size_t i = 0; i < sizeof RAW; i++)
		assert_int_equal(ids.ids[i + 1], 3 + RAW[i]);
	token_list_free(&ids);
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void special_tokens_are_found_when_asked(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_spm();
	struct tokenizer *t = open_tokenizer(&v);
	assert_pieces(t, "<s>hello", TOKENIZE_PARSE_SPECIAL, "|<s>| hello|");
	assert_pieces(t, "<|im_start|>hello<|im_end|>", TOKENIZE_PARSE_SPECIAL,
	    "|<|im_start|>| hello|<|im_end|>|");
	assert_pieces(t, "<tool>hello", TOKENIZE_PLAIN, "|<tool>| hello|");
	assert_pieces(t, "<s>", TOKENIZE_PLAIN, "| |<|s|>|");
	assert_pieces(
	    t, "<s>hello", TOKENIZE_PARSE_SPECIAL | TOKENIZE_ADD_SPECIAL, "|<s>|<s>| hello|");
	assert_pieces(t, "<s>hello", TOKENIZE_PARSE_SPECIAL | TOKENIZE_BOS_ONCE, "|<s>| hello|");
	assert_pieces(t, "hello", TOKENIZE_PARSE_SPECIAL | TOKENIZE_BOS_ONCE, "|<s>| hello|");
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void bpe_merges_by_rank(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_bpe("gpt-2");
	struct tokenizer *t = open_tokenizer(&v);
	assert_string_equal(tokenizer_warning(t), "");
	assert_pieces(t, "hello world", TOKENIZE_PLAIN, "|hello| world|");
	assert_pieces(t, "hel", TOKENIZE_PLAIN, "|he|l|");
	assert_pieces(t, "xel", TOKENIZE_PLAIN, "|x|el|");
	assert_pieces(t, "\xc3\xa9", TOKENIZE_PLAIN, "|\xc3\xa9|");
	/* "low" is a merge, but no token: it comes out byte by byte */
	assert_pieces(t, "low", TOKENIZE_PLAIN, "|l|o|w|");
	assert_pieces(t, " def", TOKENIZE_PLAIN, "| |d|e|f|");
	assert_pieces(t, "<|im_end|>hello", TOKENIZE_PARSE_SPECIAL, "|<|im_end|>|hello|");
	assert_pieces(t, "a\xff", TOKENIZE_PLAIN, "|a|\xef|\xbf|\xbd|");
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void llama3_takes_whole_words_first(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_bpe("llama-bpe");
	struct tokenizer *t = open_tokenizer(&v);
	assert_true(tokenizer_adds_bos(t));
	assert_pieces(t, " def", TOKENIZE_PLAIN, "| def|");
	assert_pieces(t, "1234", TOKENIZE_PLAIN, "|1|2|3|4|");
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void an_unknown_pre_tokenizer_is_reported(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_bpe("no\nsuch");
	struct tokenizer *t = open_tokenizer(&v);
	assert_non_null(strstr(tokenizer_warning(t), "unknown pre-tokenizer 'no?such'"));
	assert_pieces(t, "hello world", TOKENIZE_PLAIN, "|hello| world|");
	tokenizer_free(t);
	tiny_vocab_free(&v);
	v = tiny_bpe(NULL);
	t = open_tokenizer(&v);
	assert_non_null(strstr(tokenizer_warning(t), "names no pre-tokenizer"));
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void ends_of_generation(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_bpe("qwen2");
	struct tokenizer *t = open_tokenizer(&v);
	int32_t eos = tokenizer_eos(t), turn = tokenizer_find(t, bytes_str("<|im_end|>"));
	assert_true(tokenizer_is_end_of_generation(t, eos));
	assert_true(tokenizer_is_end_of_generation(t, turn));
	assert_int_equal(tokenizer_eot(t), turn);
	assert_false(
	    tokenizer_is_end_of_generation(t, tokenizer_find(t, bytes_str("<|im_start|>"))));
	assert_true(tokenizer_is_control(t, turn));
	assert_false(tokenizer_is_control(t, 0));
	assert_false(tokenizer_is_end_of_generation(t, TOKEN_NONE));
	assert_false(tokenizer_is_end_of_generation(t, 1 << 30));
	assert_int_equal(tokenizer_piece(t, -5).n, 0);
	assert_int_equal(tokenizer_piece(t, 1 << 30).n, 0);
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void detokenizing_restores_text(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_spm();
	struct tokenizer *t = open_tokenizer(&v);
	static const char *const TEXTS[] = {
	    "hello world", " hello", "d\xc3\xa9j\xc3\xa0 vu \xf0\x9f\xa6\x99", "", "a\nb\t"};
	for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
		struct token_list ids = {0};
		struct buf out = BUF_INIT(1000);
		assert_int_equal(
		    tokenizer_encode(t, bytes_str(TEXTS[i]), TOKENIZE_ADD_SPECIAL, &ids, NULL), 0);
		assert_int_equal(tokenizer_detokenize(t, ids.ids, ids.n, 0, &out, NULL), 0);
		assert_string_equal(buf_cstr(&out), TEXTS[i]);
		token_list_free(&ids);
		buf_free(&out);
	}
	struct buf out = BUF_INIT(1000);
	const int32_t outside = 100000;
	assert_int_equal(tokenizer_detokenize(t, &outside, 1, 0, &out, NULL), E_INVALID);
	const int32_t bos = 1;
	assert_int_equal(tokenizer_detokenize(t, &bos, 1, DETOKENIZE_SPECIAL, &out, NULL), 0);
	assert_string_equal(buf_cstr(&out), "<s>");
	buf_free(&out);
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

static void some_families_clean_spaces(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_bpe("gpt-2");
	struct tokenizer *t = open_tokenizer(&v);
	struct token_list ids = {0};
	struct buf out = BUF_INIT(1000);
	const char *text = "so ? yes , I 'm ' x ' they 're .";
	assert_int_equal(tokenizer_encode(t, bytes_str(text), 0, &ids, NULL), 0);
	assert_int_equal(tokenizer_detokenize(t, ids.ids, ids.n, 0, &out, NULL), 0);
	assert_string_equal(buf_cstr(&out), "so? yes, I'm'x'they're.");
	token_list_free(&ids);
	buf_free(&out);
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

/* 128 KiB take milliseconds; a quadratic step would take minutes. */
static void hostile_texts_stay_cheap(void **state)
{
	(void)state;
	static const char *const UNITS[] = {"a", " ", "7", "A", " \n", "<|", "<|im_start|", "l",
	    "hello ", "'", "\xff", "\xcc\x81", "a "};
	static const char *const PRES[] = {"default", "llama-bpe", "tekken", "gpt-4o", "superbpe",
	    "deepseek-v3", "deepseek-llm", "falcon", "kimi-k2", "viking", "bailingmoe"};
	const size_t n = 1 << 17;
	char *text = malloc(n);
	assert_non_null(text);
	for (size_t p = 0; p <= sizeof PRES / sizeof PRES[0]; p++) {
		bool spm = p == sizeof PRES / sizeof PRES[0];
		struct tiny_vocab v = spm ? tiny_spm() : tiny_bpe(PRES[p]);
		struct tokenizer *t = open_tokenizer(&v);
		for (size_t u = 0; u < sizeof UNITS / sizeof UNITS[0]; u++) {
			size_t unit = strlen(UNITS[u]);
			for (size_t i = 0; i < n; i++)
				text[i] = UNITS[u][i % unit];
			text[n - 1] = 'x';
			struct token_list ids = {0};
			assert_int_equal(tokenizer_encode(t, bytes_of(text, n),
					     TOKENIZE_PARSE_SPECIAL, &ids, NULL),
			    0);
			assert_true(ids.n > 1000);
			token_list_free(&ids);
		}
		tokenizer_free(t);
		tiny_vocab_free(&v);
	}
	free(text);
}

static void too_much_text_is_refused(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_spm();
	struct tokenizer *t = open_tokenizer(&v);
	struct token_list ids = {0};
	struct err err = {0};
	static uint8_t text[TOKENIZER_TEXT_MAX + 1];
	assert_int_equal(
	    tokenizer_encode(t, bytes_of(text, sizeof text), 0, &ids, &err), E_TOO_LARGE);
	assert_int_equal(ids.n, 0);
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

/* Files that are no vocabulary: the code and what the message must name. */
static void check_refused(struct vocab_writer *w, int code, const char *names)
{
	struct buf file = vocab_writer_finish(w);
	struct gguf *g;
	struct tokenizer *t = NULL;
	struct err err = {0};
	assert_int_equal(gguf_open_memory(buf_view(&file), &g, NULL), 0);
	assert_int_equal(tokenizer_new(g, &t, &err), code);
	assert_null(t);
	assert_non_null(strstr(err.text, names));
	gguf_close(g);
	buf_free(&file);
}

static void broken_vocabularies_are_refused(void **state)
{
	(void)state;
	static const char *const TOKENS[] = {"a", "b"};
	static const char *const BAD_MERGE[] = {"ab"};
	static const int32_t SHORT[] = {1};
	static const float NAN_SCORES[] = {0, __builtin_nanf("")};
	struct vocab_writer w;
	vocab_writer_init(&w);
	check_refused(&w, E_FORMAT, "tokenizer.ggml.model");
	vocab_writer_init(&w);
	vocab_put_str(&w, "tokenizer.ggml.model", "bert");
	check_refused(&w, E_UNSUPPORTED, "bert");
	vocab_writer_init(&w);
	vocab_put_str(&w, "tokenizer.ggml.model", "llama");
	check_refused(&w, E_FORMAT, "tokenizer.ggml.tokens");
	vocab_writer_init(&w);
	vocab_put_str(&w, "tokenizer.ggml.model", "llama");
	vocab_put_strs(&w, "tokenizer.ggml.tokens", TOKENS, 2);
	vocab_put_i32s(&w, "tokenizer.ggml.token_type", SHORT, 1);
	check_refused(&w, E_FORMAT, "tokenizer.ggml.token_type");
	vocab_writer_init(&w);
	vocab_put_str(&w, "tokenizer.ggml.model", "llama");
	vocab_put_strs(&w, "tokenizer.ggml.tokens", TOKENS, 2);
	vocab_put_f32s(&w, "tokenizer.ggml.scores", NAN_SCORES, 2);
	check_refused(&w, E_FORMAT, "tokenizer.ggml.scores");
	vocab_writer_init(&w);
	vocab_put_str(&w, "tokenizer.ggml.model", "gpt2");
	vocab_put_strs(&w, "tokenizer.ggml.tokens", TOKENS, 2);
	check_refused(&w, E_FORMAT, "tokenizer.ggml.merges");
	vocab_writer_init(&w);
	vocab_put_str(&w, "tokenizer.ggml.model", "gpt2");
	vocab_put_strs(&w, "tokenizer.ggml.tokens", TOKENS, 2);
	vocab_put_strs(&w, "tokenizer.ggml.merges", BAD_MERGE, 1);
	check_refused(&w, E_FORMAT, "merge 0");
}

/* A vocabulary without bytes, unknown or BOS: what it lacks is left out, nothing breaks. */
static void a_bare_vocabulary_works(void **state)
{
	(void)state;
	static const char *const TOKENS[] = {"a", "b", "ab", "a", ""};
	static const char *const MERGES[] = {"a b", "a b", "b ", "c d"};
	for (int bpe = 0; bpe < 2; bpe++) {
		struct vocab_writer w;
		vocab_writer_init(&w);
		vocab_put_str(&w, "tokenizer.ggml.model", bpe ? "gpt2" : "llama");
		vocab_put_str(&w, "tokenizer.ggml.pre", "gpt-2");
		vocab_put_strs(&w, "tokenizer.ggml.tokens", TOKENS, 5);
		vocab_put_strs(&w, "tokenizer.ggml.merges", MERGES, 4);
		vocab_put_u32(&w, "tokenizer.ggml.unknown_token_id", 99);
		vocab_put_u32(&w, "tokenizer.ggml.bos_token_id", 99);
		vocab_put_bool(&w, "tokenizer.ggml.add_space_prefix", false);
		struct tiny_vocab v = {.bytes = vocab_writer_finish(&w)};
		assert_int_equal(gguf_open_memory(buf_view(&v.bytes), &v.file, NULL), 0);
		struct tokenizer *t = open_tokenizer(&v);
		assert_pieces(t, "abzcdab", TOKENIZE_PLAIN, bpe ? "|ab|ab|" : "|ab|a|a|a|ab|");
		tokenizer_free(t);
		tiny_vocab_free(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(spm_merges_by_score),
	    cmocka_unit_test(spm_falls_back_to_bytes),
	    cmocka_unit_test(special_tokens_are_found_when_asked),
	    cmocka_unit_test(bpe_merges_by_rank),
	    cmocka_unit_test(llama3_takes_whole_words_first),
	    cmocka_unit_test(an_unknown_pre_tokenizer_is_reported),
	    cmocka_unit_test(ends_of_generation),
	    cmocka_unit_test(detokenizing_restores_text),
	    cmocka_unit_test(some_families_clean_spaces),
	    cmocka_unit_test(hostile_texts_stay_cheap),
	    cmocka_unit_test(too_much_text_is_refused),
	    cmocka_unit_test(broken_vocabularies_are_refused),
	    cmocka_unit_test(a_bare_vocabulary_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
