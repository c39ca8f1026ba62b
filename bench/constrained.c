/* See constrained.h. The model's weights are random, so what it writes under a schema is blind:
 * every string is full of other words, and nearly every value is of a new kind. That is the hardest
 * case for the sets of allowed tokens, which are remembered for each place in the grammar. */
#include "constrained.h"

#include "../tests/engine/tiny.h"
#include "../tests/engine/vocab.h"
#include "engine/constraint.h"
#include "engine/generate.h"
#include "engine/grammar.h"
#include "engine/tokenizer.h"

#include "base/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS_MAX 99
#define WORD_MAX   24

static const char RECORDS[] =
    "{\"type\":\"array\",\"minItems\":4000,\"items\":{\"type\":\"object\",\"properties\":{"
    "\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":120},"
    "\"kind\":{\"enum\":[\"person\",\"place\",\"thing\"]},\"tags\":{\"type\":\"array\",\"items\":{"
    "\"type\":\"string\",\"maxLength\":20}},\"score\":{\"type\":\"number\"}},\"required\":["
    "\"name\",\"age\",\"kind\",\"tags\",\"score\"],\"additionalProperties\":false}}";
static const char COUNTED[] = "{\"type\":\"string\",\"minLength\":4000}";

static const struct {
	const char *name, *schema; /* NULL: free */
	float temperature;
} CASES[] = {
    {"free, greedy", NULL, 0},
    {"records, greedy", RECORDS, 0},
    {"free, sampled", NULL, 0.8F},
    {"records, sampled", RECORDS, 0.8F},
    {"counted string, sampled", COUNTED, 0.8F},
};
#define N_CASES (sizeof CASES / sizeof CASES[0])

/* ---- a vocabulary -------------------------------------------------------------------------- */

/* Words of two to five syllables, half of them behind a space (U+0120 in byte-level BPE). */
static void invent(uint64_t *random, char out[WORD_MAX])
{
	static const char *const parts[] = {"a", "ba", "con", "de", "er", "fi", "gra", "ho", "in",
	    "ka", "li", "mo", "ne", "or", "pre", "qu", "re", "sta", "ti", "un", "ver", "wo", "y",
	    "z", "0", "1", "2", "_", "the", "ing"};
	static const char *const marks[] = {"\"", "\":", "\",", "{\"", "\"}", "},", "[", "]", "}}"};
	size_t n = 0;
	uint64_t kind = tiny_random(random) % 64;
	if (kind < 28)
		n += (size_t)snprintf(out, WORD_MAX, "\xc4\xa0");
	if (kind == 63)
		n += (size_t)snprintf(out, WORD_MAX, "%s",
		    marks[tiny_random(random) % (sizeof marks / sizeof marks[0])]);
	for (uint64_t i = 2 + tiny_random(random) % 4; i > 0; i--)
		n += (size_t)snprintf(out + n, WORD_MAX - n, "%s",
		    parts[tiny_random(random) % (sizeof parts / sizeof parts[0])]);
}

static void make_vocabulary(size_t n, struct tiny_vocab *out)
{
	const char **texts = calloc(n, sizeof *texts);
	char(*words)[WORD_MAX] = calloc(n, sizeof *words);
	int32_t *types = calloc(n, sizeof *types);
	static const char *const merges[] = {"a b"};
	struct vocab_writer w;
	uint64_t random = 7;
	uint32_t stand_in = 0x100;
	INVARIANT(texts && words && types && n > 512);
	for (size_t i = 0; i < n; i++) {
		bool itself = (i > 0x20 && i < 0x7f) || (i > 0xa0 && i != 0xad);
		if (i < 256)
			utf8_encode(itself ? (uint32_t)i : stand_in++, words[i]);
		else
			invent(&random, words[i]);
		texts[i] = words[i];
		types[i] = 1;
	}
	texts[n - 1] = "<|end|>";
	types[n - 1] = 3;
	vocab_writer_init(&w);
	vocab_put_str(&w, "general.architecture", "llama");
	vocab_put_str(&w, "tokenizer.ggml.model", "gpt2");
	vocab_put_strs(&w, "tokenizer.ggml.tokens", texts, n);
	vocab_put_i32s(&w, "tokenizer.ggml.token_type", types, n);
	vocab_put_strs(&w, "tokenizer.ggml.merges", merges, 1);
	vocab_put_u32(&w, "tokenizer.ggml.eos_token_id", (uint32_t)n - 1);
	out->bytes = vocab_writer_finish(&w);
	INVARIANT(gguf_open_memory(buf_view(&out->bytes), &out->file, NULL) == 0);
	free(texts);
	free(words);
	free(types);
}

/* ---- measuring ----------------------------------------------------------------------------- */

struct bench {
	struct engine_model *model;
	struct tokenizer *tokenizer;
	struct generator *generator;
	struct grammar *grammars[N_CASES];
	unsigned n;
	double first_mask_ms;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int swallow(void *arg, const struct generate_piece *p)
{
	(void)arg;
	(void)p;
	return 0;
}

/* Tokens per second of one answer, its first token left out. */
static int run_case(struct bench *b, size_t i, unsigned round, double *out, struct err *err)
{
	int32_t prompt[16];
	struct logit_bias no_end = {
	    (int32_t)tokenizer_n_vocab(b->tokenizer) - 1, -__builtin_inff()};
	for (int32_t k = 0; k < 16; k++)
		prompt[k] = 300 + k;
	struct generate_job job = {.prompt = prompt,
	    .n_prompt = 16,
	    .max_tokens = 1,
	    .sampling = SAMPLER_DEFAULTS,
	    .grammar = b->grammars[i],
	    .emit = swallow};
	struct generate_result r;
	job.sampling.temperature = CASES[i].temperature;
	job.sampling.seed = round;
	job.sampling.biases = &no_end;
	job.sampling.n_biases = 1;
	int rc = generator_run(b->generator, &job, &r, err);
	job.max_tokens = b->n;
	double start = now();
	if (rc == 0)
		rc = generator_run(b->generator, &job, &r, err);
	*out = (double)r.completion_tokens / (now() - start);
	return rc;
}

static int measure_mask(struct bench *b, struct err *err)
{
	struct constraint *c;
	int rc = constraint_new(b->grammars[1], generator_trie(b->generator), NULL, 0, &c, err);
	if (rc)
		return rc;
	rc = constraint_accept_bytes(c, bytes_str("[{\"name\": \"a"), err);
	double start = now();
	INVARIANT(rc || constraint_mask(c));
	b->first_mask_ms = (now() - start) * 1e3;
	constraint_free(c);
	return rc;
}

static int open_bench(struct bench *b, const struct tiny_vocab *v, struct err *err)
{
	int rc = tokenizer_new(v->file, &b->tokenizer, err);
	if (rc == 0)
		rc = generator_new(b->model, b->tokenizer, 64 + b->n, 1, &b->generator, err);
	for (size_t i = 0; i < N_CASES && rc == 0; i++)
		if (CASES[i].schema)
			rc = grammar_of_document(bytes_str(CASES[i].schema), "schema",
			    token_trie_alphabet(generator_trie(b->generator)), &b->grammars[i],
			    err);
	return rc ? rc : measure_mask(b, err);
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_table(struct bench *b, double v[N_CASES][ROUNDS_MAX], unsigned rounds)
{
	double base = 0;
	printf("%zu tokens; a set of allowed ones, made anew: %.2f ms\n",
	    tokenizer_n_vocab(b->tokenizer), b->first_mask_ms);
	for (size_t i = 0; i < N_CASES; i++) {
		qsort(v[i], rounds, sizeof v[i][0], order);
		double median = v[i][rounds / 2];
		if (!CASES[i].schema)
			base = median;
		printf("%-24s %9.1f tok/s  [%.1f, %.1f]  %3.0f %% of free\n", CASES[i].name, median,
		    v[i][0], v[i][rounds - 1], 100 * median / base);
	}
}

int measure_constrained(struct engine_model *m, unsigned rounds, unsigned n, struct err *err)
{
	static double v[N_CASES][ROUNDS_MAX];
	struct tiny_vocab vocab;
	struct bench b = {.model = m, .n = n};
	make_vocabulary(engine_model_n_vocab(m), &vocab);
	int rc = open_bench(&b, &vocab, err);
	for (unsigned round = 0; round < rounds && rc == 0; round++)
		for (size_t i = 0; i < N_CASES && rc == 0; i++)
			rc = run_case(&b, i, round, &v[i][round], err);
	if (rc == 0)
		print_table(&b, v, rounds);
	for (size_t i = 0; i < N_CASES; i++)
		grammar_free(b.grammars[i]);
	generator_free(b.generator);
	tokenizer_free(b.tokenizer);
	tiny_vocab_free(&vocab);
	return rc;
}
