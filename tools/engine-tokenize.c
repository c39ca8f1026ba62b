/* engine-tokenize: the tokenizer of a GGUF file, from the command line.
 *
 *     engine-tokenize [--special] MODEL < text           the ids, on one line
 *     engine-tokenize [--special] MODEL --detokenize ID… the text, exactly, without a newline
 *
 * --special adds BOS and EOS as the file asks and recognises control tokens written in the text;
 * with --detokenize it writes control tokens by name. Exit status: 0, 1 for an error of the file or
 * the text, 2 for wrong usage. */
#include "engine/gguf.h"
#include "engine/tokenizer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct arguments {
	const char *model;
	bool special;
	bool detokenize;
	char **ids;
	int n_ids;
};

static void usage(FILE *out)
{
	fputs("usage: engine-tokenize [--special] MODEL < TEXT\n"
	      "       engine-tokenize [--special] MODEL --detokenize ID...\n"
	      "Prints the tokens of a text, or the text of tokens.\n",
	    out);
}

static bool parse(int argc, char **argv, struct arguments *a)
{
	for (int i = 1; i < argc && !a->detokenize; i++) {
		if (strcmp(argv[i], "--special") == 0)
			a->special = true;
		else if (strcmp(argv[i], "--detokenize") == 0)
			a->detokenize = true;
		else if (argv[i][0] == '-' || a->model)
			return false;
		else
			a->model = argv[i];
		a->ids = argv + i + 1;
		a->n_ids = argc - i - 1;
	}
	if (!a->model && a->n_ids > 0) { /* --detokenize MODEL ID… */
		a->model = *a->ids++;
		a->n_ids--;
	}
	return a->model != NULL;
}

static int read_all(FILE *in, struct buf *out, struct err *err)
{
	char block[65536];
	size_t n;
	while ((n = fread(block, 1, sizeof block, in)) > 0)
		buf_put(out, block, n);
	if (ferror(in))
		return err_errno(err, errno, "standard input");
	return buf_ok(out, err);
}

static int print_ids(const struct tokenizer *t, const struct arguments *a, struct err *err)
{
	struct buf text = BUF_INIT(TOKENIZER_TEXT_MAX);
	struct token_list ids = {0};
	int rc = read_all(stdin, &text, err);
	if (rc == 0)
		rc = tokenizer_encode(t, buf_view(&text),
		    a->special ? TOKENIZE_ADD_SPECIAL | TOKENIZE_PARSE_SPECIAL : TOKENIZE_PLAIN,
		    &ids, err);
	for (size_t i = 0; i < ids.n && rc == 0; i++)
		printf(i ? " %d" : "%d", ids.ids[i]);
	if (rc == 0)
		putchar('\n');
	token_list_free(&ids);
	buf_free(&text);
	return rc;
}

static int print_text(const struct tokenizer *t, const struct arguments *a, struct err *err)
{
	struct token_list ids = {0};
	int rc = 0;
	for (int i = 0; i < a->n_ids && rc == 0; i++) {
		char *end;
		errno = 0;
		long id = strtol(a->ids[i], &end, 10);
		if (errno || end == a->ids[i] || *end || id < 0 || id > INT32_MAX)
			rc = err_set(err, E_INVALID, "'%.40s' is no token id", a->ids[i]);
		else
			rc = token_list_push(&ids, (int32_t)id, err);
	}
	struct buf text = BUF_INIT((size_t)1 << 30);
	if (rc == 0)
		rc = tokenizer_detokenize(t, ids.ids, ids.n,
		    a->special ? DETOKENIZE_SPECIAL : DETOKENIZE_PLAIN, &text, err);
	if (rc == 0)
		fwrite(text.p, 1, text.n, stdout);
	buf_free(&text);
	token_list_free(&ids);
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	if (!parse(argc, argv, &a)) {
		usage(stderr);
		return 2;
	}
	struct err err = {0};
	struct gguf *file = NULL;
	struct tokenizer *t = NULL;
	int rc = gguf_open(a.model, &file, &err);
	if (rc == 0)
		rc = tokenizer_new(file, &t, &err);
	if (rc == 0 && *tokenizer_warning(t))
		fprintf(stderr, "engine-tokenize: warning: %s\n", tokenizer_warning(t));
	if (rc == 0)
		rc = a.detokenize ? print_text(t, &a, &err) : print_ids(t, &a, &err);
	if (rc == 0 && fflush(stdout) != 0)
		rc = err_errno(&err, errno, "standard output");
	if (rc)
		fprintf(stderr, "engine-tokenize: %s\n", err_text(&err));
	tokenizer_free(t);
	gguf_close(file);
	return rc ? 1 : 0;
}
