/* engine-bench [--model FILE | --shape DIM,LAYERS,FF,HEADS,KV_HEADS,VOCAB] [--type NAME]
 *     [--threads N] [--kernels NAME] [--prefill N] [--decode N] [--rounds N] [--constrained]
 *
 * Tokens per second of prefill and decode, and how much of the memory bandwidth decoding reaches.
 * The bandwidth is measured in the same rounds, with as many threads, by summing memory that is
 * larger than the caches. Medians over the rounds, least and most in brackets. Without a file, the
 * model has random weights of the given shape (default: TinyLlama's, in Q4_K). With --constrained:
 * what schemas cost, see constrained.h. */
#include "../tests/engine/tiny.h"
#include "constrained.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS_MAX   99
#define STREAM_BYTES ((size_t)512 << 20)

struct args {
	const char *model;
	struct tiny_spec shape;
	struct engine_options opts;
	unsigned prefill, decode, rounds;
	bool constrained;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- Memory bandwidth
 * ----------------------------------------------------------------------------- */

struct reader {
	pthread_t id;
	const uint64_t *p;
	size_t n;
	uint64_t sum;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	uint64_t s[8] = {0};
	for (size_t i = 0; i + 8 <= r->n; i += 8)
		for (size_t j = 0; j < 8; j++)
			s[j] ^= r->p[i + j];
	for (size_t j = 0; j < 8; j++)
		r->sum ^= s[j];
	return NULL;
}

/* GB/s of reading, the memory divided among the threads. */
static double bandwidth(const uint64_t *memory, unsigned threads)
{
	struct reader r[ENGINE_THREADS_MAX] = {0};
	size_t each = STREAM_BYTES / 8 / threads;
	double start = now();
	for (unsigned i = 0; i < threads; i++) {
		r[i].p = memory + i * each;
		r[i].n = each;
		if (pthread_create(&r[i].id, NULL, read_all, &r[i]) != 0)
			abort();
	}
	uint64_t sum = 0;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(r[i].id, NULL);
		sum ^= r[i].sum;
	}
	double seconds = now() - start;
	INVARIANT(sum != 1); /* the reads are used */
	return (double)STREAM_BYTES / seconds * 1e-9;
}

/* --- One round
 * -------------------------------------------------------------------------------------- */

struct samples {
	size_t n;
	double v[ROUNDS_MAX];
};

static void add(struct samples *s, double v)
{
	s->v[s->n++] = v;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(struct samples *s)
{
	qsort(s->v, s->n, sizeof s->v[0], order);
	return s->v[s->n / 2];
}

struct figures {
	struct samples bandwidth, prefill, decode;
};

static int round_of(const struct args *a, struct engine_context *c, uint32_t n_vocab,
    const uint64_t *memory, struct figures *f, struct err *err)
{
	int32_t *tokens = calloc(a->prefill, sizeof *tokens);
	if (!tokens)
		return err_set(err, E_MEMORY, "no memory");
	uint64_t rnd = 1;
	for (unsigned i = 0; i < a->prefill; i++)
		tokens[i] = (int32_t)(tiny_random(&rnd) % n_vocab);
	engine_context_truncate(c, 0);
	float *logits;
	double t0 = now();
	int rc = engine_decode(c, tokens, a->prefill, &logits, err);
	double t1 = now();
	for (unsigned i = 0; !rc && i < a->decode; i++)
		rc = engine_decode(c, tokens + i % a->prefill, 1, &logits, err);
	double t2 = now();
	free(tokens);
	if (rc)
		return rc;
	add(&f->prefill, a->prefill / (t1 - t0));
	add(&f->decode, a->decode / (t2 - t1));
	add(&f->bandwidth, bandwidth(memory, a->opts.threads));
	return 0;
}

static void print_figures(const struct engine_model *m, struct figures *f)
{
	double prefill = median(&f->prefill);
	double decode = median(&f->decode);
	double memory = median(&f->bandwidth);
	size_t last = f->decode.n - 1;
	double used = decode * (double)engine_model_bytes_per_token(m) * 1e-9;
	printf(
	    "prefill    %9.1f tok/s  [%.1f, %.1f]\n", prefill, f->prefill.v[0], f->prefill.v[last]);
	printf("decode     %9.1f tok/s  [%.1f, %.1f]  %.1f GB/s of weights\n", decode,
	    f->decode.v[0], f->decode.v[last], used);
	printf("bandwidth  %9.1f GB/s   [%.1f, %.1f]  decode reaches %.0f %%\n", memory,
	    f->bandwidth.v[0], f->bandwidth.v[last], 100 * used / memory);
}

static int measure(const struct args *a, struct engine_model *m, struct err *err)
{
	struct engine_context *c;
	uint64_t *memory = malloc(STREAM_BYTES);
	int rc = memory ? engine_context_new(m, a->prefill + a->decode, &c, err)
			: err_set(err, E_MEMORY, "no memory");
	if (rc) {
		free(memory);
		return rc;
	}
	memset(memory, 1, STREAM_BYTES);
	printf("%.1f M parameters, %.1f MB read per token, %s, %u threads\n",
	    (double)engine_model_n_params(m) * 1e-6, (double)engine_model_bytes_per_token(m) * 1e-6,
	    engine_model_kernels(m), engine_model_threads(m));
	struct figures f = {{0}, {0}, {0}};
	for (unsigned i = 0; !rc && i < a->rounds; i++)
		rc = round_of(a, c, engine_model_n_vocab(m), memory, &f, err);
	if (!rc)
		print_figures(m, &f);
	engine_context_free(c);
	free(memory);
	return rc;
}

/* --- Arguments
 * ---------------------------------------------------------------------------------------- */

static bool parse_type(const char *name, uint32_t *out)
{
	for (uint32_t id = 0; id < 64; id++) {
		const struct ggml_type *t = ggml_type_info(id);
		if (t && t->computable && strcmp(t->name, name) == 0) {
			*out = id;
			return true;
		}
	}
	return false;
}

static bool parse_shape(const char *text, struct tiny_spec *s)
{
	return sscanf(text, "%u,%u,%u,%u,%u,%u", &s->n_embd, &s->n_layer, &s->n_ff, &s->n_head,
		   &s->n_head_kv, &s->n_vocab) == 6;
}

static bool parse_option(struct args *a, int option, const char *value)
{
	unsigned n = value ? (unsigned)strtoul(value, NULL, 10) : 0;
	switch (option) {
	case 'm':
		a->model = value;
		return true;
	case 's':
		return parse_shape(value, &a->shape);
	case 'y':
		return parse_type(value, &a->shape.type);
	case 'k':
		return engine_kernel_choice_parse(value, &a->opts.kernels, NULL) == 0;
	case 't':
		a->opts.threads = n;
		return n > 0 && n <= ENGINE_THREADS_MAX;
	case 'p':
		a->prefill = n;
		return n > 0;
	case 'd':
		a->decode = n;
		return n > 0;
	case 'r':
		a->rounds = n;
		return n > 0 && n <= ROUNDS_MAX;
	case 'c':
		a->constrained = true;
		return true;
	default:
		return false;
	}
}

static bool parse_args(int argc, char **argv, struct args *a)
{
	static const struct option options[] = {{"model", 1, NULL, 'm'}, {"shape", 1, NULL, 's'},
	    {"type", 1, NULL, 'y'}, {"kernels", 1, NULL, 'k'}, {"threads", 1, NULL, 't'},
	    {"prefill", 1, NULL, 'p'}, {"decode", 1, NULL, 'd'}, {"rounds", 1, NULL, 'r'},
	    {"constrained", 0, NULL, 'c'}, {0}};
	int c;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c == '?' || !parse_option(a, c, optarg))
			return false;
	return optind == argc;
}

static int run(const struct args *a, struct err *err)
{
	struct buf file = BUF_INIT(0);
	struct engine_model *m;
	int rc;
	if (a->model) {
		rc = engine_model_load(a->model, &a->opts, &m, err);
	} else {
		tiny_model(&a->shape, &file);
		rc = engine_model_load_memory(buf_view(&file), &a->opts, &m, err);
	}
	if (!rc) {
		rc = a->constrained ? measure_constrained(m, a->rounds, a->decode, err)
				    : measure(a, m, err);
		engine_model_free(m);
	}
	buf_free(&file);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {.shape = {.name = "bench",
			     .type = GGML_Q4_K,
			     .n_vocab = 32000,
			     .n_embd = 2048,
			     .n_layer = 22,
			     .n_ff = 5632,
			     .n_head = 32,
			     .n_head_kv = 4},
	    .opts = {.threads = 2},
	    .prefill = 512,
	    .decode = 64,
	    .rounds = 5};
	struct err err = {0};
	if (!parse_args(argc, argv, &a)) {
		fprintf(stderr,
		    "usage: engine-bench [--model FILE | --shape "
		    "DIM,LAYERS,FF,HEADS,KV_HEADS,VOCAB]\n"
		    "    [--type NAME] [--threads N] [--kernels NAME] [--prefill N] [--decode N]"
		    " [--rounds N] [--constrained]\n");
		return 2;
	}
	if (run(&a, &err)) {
		fprintf(stderr, "engine-bench: %s\n", err_text(&err));
		return 1;
	}
	return 0;
}
