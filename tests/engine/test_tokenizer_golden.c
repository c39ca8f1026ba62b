/* Every golden tokenisation of the vocabularies at hand: what llama.cpp makes of 68 texts, for each
 * vocabulary and each pre-tokenizer. Runs where OG_GOLDEN_DIR names the folder. */
#include "base/encode.h"
#include "engine/tokenizer.h"
#include "text_test.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_LEN 1024

/* Names of golden files whose vocabulary is not part of the data, or of no family we read. */
static const char *const ABSENT[] = {"vocab-baichuan", "vocab-bert-bge", "vocab-deepseek-coder",
    "vocab-falcon", "vocab-gpt-neox", "vocab-mpt", "vocab-refact"};

static bool is_absent(const char *name)
{
	for (size_t i = 0; i < sizeof ABSENT / sizeof ABSENT[0]; i++)
		if (strcmp(name, ABSENT[i]) == 0)
			return true;
	return false;
}

/* "vocab-X", "gpt2vocab-pre-P", "tiny-…" to a vocabulary and the pre-tokenizer to force, if any. */
static void locate(const char *dir, const char *name, char path[PATH_LEN], const char **pre)
{
	static const char OVERRIDE[] = "gpt2vocab-pre-";
	*pre = NULL;
	if (strncmp(name, OVERRIDE, sizeof OVERRIDE - 1) == 0) {
		*pre = name + sizeof OVERRIDE - 1;
		snprintf(path, PATH_LEN, "%s/tokenizer/ggml-vocab-gpt-2.gguf", dir);
	} else if (strncmp(name, "vocab-", 6) == 0) {
		snprintf(path, PATH_LEN, "%s/tokenizer/ggml-%s.gguf", dir, name);
	} else {
		bool spm = strcmp(name, "tiny-spm320") == 0;
		snprintf(path, PATH_LEN, "%s/models/%s-F32.gguf", dir, spm ? "llama" : "qwen2");
	}
}

static struct buf from_hex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	struct buf b = BUF_INIT(n + 1);
	assert_int_equal(buf_reserve(&b, n + 1), 0);
	assert_int_equal(hex_decode(bytes_str(hex), b.p, n), 0);
	b.n = n;
	return b;
}

static int differs(const struct token_list *got, const json_t *want)
{
	if (got->n != json_array_size(want))
		return 1;
	for (size_t i = 0; i < got->n; i++)
		if (got->ids[i] != json_integer_value(json_array_get(want, i)))
			return 1;
	return 0;
}

static int check_ids(const struct tokenizer *t, struct bytes text, enum tokenize_flags flags,
    const json_t *want, const char *name, size_t i)
{
	struct token_list got = {0};
	assert_int_equal(tokenizer_encode(t, text, flags, &got, NULL), 0);
	int bad = differs(&got, want);
	if (bad) {
		print_error("%s case %zu flags %d: '%.*s'\n got ", name, i, flags, (int)text.n,
		    (const char *)text.p);
		for (size_t k = 0; k < got.n; k++)
			print_error(" %d", got.ids[k]);
		char *dump = json_dumps(want, JSON_COMPACT);
		print_error("\n want %s\n", dump);
		free(dump);
	}
	token_list_free(&got);
	return bad;
}

static int check_text(
    const struct tokenizer *t, const json_t *ids, struct bytes want, const char *name, size_t i)
{
	struct token_list list = {0};
	for (size_t k = 0; k < json_array_size(ids); k++)
		assert_int_equal(token_list_push(&list,
				     (int32_t)json_integer_value(json_array_get(ids, k)), NULL),
		    0);
	struct buf got = BUF_INIT(1 << 20);
	assert_int_equal(
	    tokenizer_detokenize(t, list.ids, list.n, DETOKENIZE_SPECIAL, &got, NULL), 0);
	int bad = !bytes_equal(buf_view(&got), want);
	if (bad)
		print_error("%s case %zu: detokenized '%.*s', want '%.*s'\n", name, i, (int)got.n,
		    (const char *)got.p, (int)want.n, (const char *)want.p);
	buf_free(&got);
	token_list_free(&list);
	return bad;
}

static int check_file(const char *dir, const char *name)
{
	char path[PATH_LEN];
	const char *pre;
	snprintf(path, sizeof path, "%s/tokenizer/ids-%s.json", dir, name);
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	locate(dir, name, path, &pre);
	struct gguf *file;
	struct tokenizer *t;
	assert_int_equal(gguf_open(path, &file, NULL), 0);
	if (pre)
		assert_int_equal(tokenizer_new_with_pre(file, bytes_str(pre), &t, NULL), 0);
	else
		assert_int_equal(tokenizer_new(file, &t, NULL), 0);
	assert_string_equal(tokenizer_warning(t), "");
	assert_int_equal(tokenizer_n_vocab(t), json_integer_value(json_object_get(doc, "n_vocab")));
	assert_int_equal(tokenizer_bos(t), json_integer_value(json_object_get(doc, "bos")));
	assert_int_equal(tokenizer_eos(t), json_integer_value(json_object_get(doc, "eos")));
	size_t i;
	json_t *one;
	int bad = 0;
	json_array_foreach(json_object_get(doc, "cases"), i, one)
	{
		struct buf text = from_hex(json_string_value(json_object_get(one, "text_hex")));
		struct buf back = from_hex(json_string_value(json_object_get(one, "detok_hex")));
		const json_t *ids = json_object_get(one, "ids");
		bad += check_ids(t, buf_view(&text), TOKENIZE_PLAIN, ids, name, i);
		bad += check_ids(t, buf_view(&text), TOKENIZE_ADD_SPECIAL | TOKENIZE_PARSE_SPECIAL,
		    json_object_get(one, "ids_special"), name, i);
		bad += check_text(t, ids, buf_view(&back), name, i);
		buf_free(&text);
		buf_free(&back);
	}
	assert_true(i >= 60);
	tokenizer_free(t);
	gguf_close(file);
	json_decref(doc);
	return bad;
}

static void golden(void **state)
{
	(void)state;
	const char *dir = getenv("OG_GOLDEN_DIR");
	if (!dir)
		skip();
	char path[PATH_LEN];
	snprintf(path, sizeof path, "%s/tokenizer", dir);
	DIR *d = opendir(path);
	assert_non_null(d);
	struct dirent *entry;
	int files = 0, bad = 0;
	while ((entry = readdir(d))) {
		char name[256];
		size_t n = strlen(entry->d_name);
		if (strncmp(entry->d_name, "ids-", 4) != 0 || n < 10)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(n - 4 - 5), entry->d_name + 4);
		if (is_absent(name))
			continue;
		int wrong = check_file(dir, name);
		if (wrong)
			print_error("%s: %d wrong\n", name, wrong);
		bad += wrong;
		files++;
	}
	closedir(d);
	assert_int_equal(bad, 0);
	assert_true(files >= 40);
	print_message("%d golden files\n", files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(golden)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
