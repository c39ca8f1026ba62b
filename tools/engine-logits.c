/* engine-logits MODEL TOKENS.txt LINE OUT.f32 [--kernels auto|ref|avx2|avx512] [--threads N]
 *
 * Feeds the token ids on the zero-based LINE of the file in one batch, writes the last position's
 * logits as little-endian float32, and prints 32 greedy continuations on one line. Keys and values
 * are kept in F32. For comparing the engine with other implementations. */
#include "engine/engine.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define GREEDY_TOKENS 32

struct args {
	const char *model, *tokens, *out;
	unsigned long line;
	struct engine_options opts;
};

static const char usage_text[] =
    "usage: engine-logits MODEL TOKENS.txt LINE OUT.f32 [--kernels auto|ref|avx2|avx512] "
    "[--threads N]\n"
    "Writes the logits behind each token of a line of token ids, as 32-bit floats.\n";

static int usage(const char *why)
{
	fprintf(stderr, "engine-logits: %s\n%s", why, usage_text);
	return 2;
}

static bool parse_number(const char *text, unsigned long most, unsigned long *out)
{
	char *end;
	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *out <= most;
}

static int parse_args(int argc, char **argv, struct args *a)
{
	static const struct option options[] = {{"kernels", required_argument, NULL, 'k'},
	    {"threads", required_argument, NULL, 't'}, {0}};
	struct err err = {0};
	unsigned long n;
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k' && engine_kernel_choice_parse(optarg, &a->opts.kernels, &err))
			return usage(err_text(&err));
		if (c == 't' && (!parse_number(optarg, ENGINE_THREADS_MAX, &n) || n == 0))
			return usage("--threads needs a number from 1 to 64");
		if (c == 't')
			a->opts.threads = (unsigned)n;
		if (c == '?')
			return usage("unknown option");
	}
	if (argc - optind != 4)
		return usage("four arguments are needed");
	a->model = argv[optind];
	a->tokens = argv[optind + 1];
	a->out = argv[optind + 3];
	a->opts.kv = ENGINE_KV_F32;
	if (!parse_number(argv[optind + 2], 1000000, &a->line))
		return usage("LINE must be a number, the first line being 0");
	return 0;
}

/* The ids on the wanted line; the caller frees. NULL after saying why. */
static int32_t *read_tokens(const struct args *a, size_t *n)
{
	FILE *f = fopen(a->tokens, "r");
	if (!f) {
		fprintf(stderr, "engine-logits: %s: %s\n", a->tokens, strerror(errno));
		return NULL;
	}
	char *line = NULL;
	size_t cap = 0;
	ssize_t len = -1;
	for (unsigned long i = 0; i <= a->line; i++)
		if ((len = getline(&line, &cap, f)) < 0)
			break;
	fclose(f);
	int32_t *ids = len < 0 ? NULL : calloc((size_t)len + 1, sizeof *ids);
	*n = 0;
	char *save = NULL;
	for (char *w = ids ? strtok_r(line, " \t\r\n", &save) : NULL; w;
	     w = strtok_r(NULL, " \t\r\n", &save)) {
		unsigned long id;
		if (!parse_number(w, INT32_MAX, &id)) {
			fprintf(stderr, "engine-logits: '%s' is no token id\n", w);
			free(ids);
			ids = NULL;
			break;
		}
		ids[(*n)++] = (int32_t)id;
	}
	if (len < 0)
		fprintf(stderr, "engine-logits: %s has no line %lu\n", a->tokens, a->line);
	free(line);
	return ids;
}

static int write_logits(const char *path, const float *logits, uint32_t n)
{
	FILE *f = fopen(path, "wb");
	if (!f)
		return -1;
	size_t wrote = fwrite(logits, sizeof *logits, n, f);
	return fclose(f) == 0 && wrote == n ? 0 : -1;
}

static int32_t argmax(const float *logits, uint32_t n)
{
	uint32_t best = 0;
	for (uint32_t i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return (int32_t)best;
}

static int compute(const struct args *a, struct engine_context *c, uint32_t n_vocab,
    const int32_t *ids, size_t n, struct err *err)
{
	float *logits;
	int rc = engine_decode(c, ids, n, &logits, err);
	if (rc)
		return rc;
	if (write_logits(a->out, logits, n_vocab) != 0)
		return err_errno(err, errno, "%s", a->out);
	for (int i = 0; i < GREEDY_TOKENS; i++) {
		int32_t id = argmax(logits, n_vocab);
		printf("%s%d", i ? " " : "", id);
		if (i + 1 < GREEDY_TOKENS && (rc = engine_decode(c, &id, 1, &logits, err)) != 0)
			return rc;
	}
	printf("\n");
	return 0;
}

static int run(const struct args *a, const int32_t *ids, size_t n, struct err *err)
{
	struct engine_model *m;
	struct engine_context *c;
	if (n > ENGINE_CTX_MAX - GREEDY_TOKENS)
		return err_set(err, E_TOO_LARGE, "%zu tokens are too many", n);
	int rc = engine_model_load(a->model, &a->opts, &m, err);
	if (rc)
		return rc;
	rc = engine_context_new(m, (uint32_t)n + GREEDY_TOKENS, &c, err);
	if (!rc) {
		rc = compute(a, c, engine_model_n_vocab(m), ids, n, err);
		engine_context_free(c);
	}
	engine_model_free(m);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {0};
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage_text, stdout);
		return 0;
	}
	int rc = parse_args(argc, argv, &a);
	if (rc)
		return rc;
	size_t n;
	int32_t *ids = read_tokens(&a, &n);
	if (!ids)
		return 1;
	struct err err = {0};
	rc = run(&a, ids, n, &err);
	free(ids);
	if (rc)
		fprintf(stderr, "engine-logits: %s\n", err_text(&err));
	return rc ? 1 : 0;
}
