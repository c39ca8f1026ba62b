/* Loading a model: every tensor the forward pass will touch is found by name, and its type and
 * shape are compared with the hyperparameters. What the file has beyond that is refused too: an
 * unknown tensor means a model that we would compute wrongly. */
#include "engine/model_priv.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LEN 96

/* While loading: the model, and which tensors of the file were asked for. */
struct loader {
	struct engine_model *m;
	bool *used;
	struct err *err;
};

static const struct gguf_tensor *take(struct loader *l, const char *name)
{
	const struct gguf_tensor *t = gguf_tensor(l->m->gguf, name);
	if (t)
		l->used[t - gguf_tensor_at(l->m->gguf, 0)] = true;
	return t;
}

static int check_shape(
    struct loader *l, const struct gguf_tensor *t, const char *name, uint64_t cols, uint64_t rows)
{
	if (t->dims[0] == cols && t->dims[1] == rows && t->dims[2] == 1 && t->dims[3] == 1)
		return 0;
	return err_set(l->err, E_FORMAT,
	    "tensor '%s' is %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64
	    ", the hyperparameters say %" PRIu64 " x %" PRIu64,
	    name, t->dims[0], t->dims[1], t->dims[2], t->dims[3], cols, rows);
}

static int read_matrix(
    struct loader *l, const char *name, uint32_t cols, uint32_t rows, struct matrix *out)
{
	const struct gguf_tensor *t = take(l, name);
	if (!t)
		return err_set(l->err, E_FORMAT, "tensor '%s' is missing", name);
	const struct ggml_type *type = ggml_type_info(t->type);
	if (!type->computable)
		return err_set(l->err, E_UNSUPPORTED,
		    "tensor '%s' has type %s, which is not supported", name, type->name);
	int rc = check_shape(l, t, name, cols, rows);
	if (rc)
		return rc;
	*out = (struct matrix){.type = t->type,
	    .rows = rows,
	    .cols = cols,
	    .row_bytes = (size_t)cols / type->elems * type->bytes,
	    .data = t->data.p};
	return 0;
}

/* A vector of floats; when `optional` and absent, *out is NULL. */
static int read_vector(
    struct loader *l, const char *name, uint32_t n, bool optional, const float **out)
{
	*out = NULL;
	const struct gguf_tensor *t = take(l, name);
	if (!t)
		return optional ? 0 : err_set(l->err, E_FORMAT, "tensor '%s' is missing", name);
	if (t->type != GGML_F32)
		return err_set(l->err, E_UNSUPPORTED, "tensor '%s' has type %s, not F32", name,
		    ggml_type_info(t->type)->name);
	*out = (const float *)(const void *)t->data.p;
	return check_shape(l, t, name, n, 1);
}

static int read_layer_matrix(struct loader *l, uint32_t i, const char *part, uint32_t cols,
    uint32_t rows, struct matrix *w, const float **bias)
{
	char name[NAME_MAX_LEN];
	snprintf(name, sizeof name, "blk.%u.%s.weight", i, part);
	int rc = read_matrix(l, name, cols, rows, w);
	snprintf(name, sizeof name, "blk.%u.%s.bias", i, part);
	return rc ? rc : read_vector(l, name, rows, true, bias);
}

static int read_layer_norm(struct loader *l, uint32_t i, const char *part, const float **out)
{
	char name[NAME_MAX_LEN];
	snprintf(name, sizeof name, "blk.%u.%s.weight", i, part);
	return read_vector(l, name, l->m->h.n_embd, false, out);
}

static int read_layer(struct loader *l, uint32_t i)
{
	const struct hparams *h = &l->m->h;
	struct layer *y = &l->m->layers[i];
	uint32_t q = h->n_head * h->head_dim;
	uint32_t kv = h->n_head_kv * h->head_dim;
	int rc = read_layer_norm(l, i, "attn_norm", &y->attn_norm);
	if (!rc)
		rc = read_layer_matrix(l, i, "attn_q", h->n_embd, q, &y->wq, &y->bq);
	if (!rc)
		rc = read_layer_matrix(l, i, "attn_k", h->n_embd, kv, &y->wk, &y->bk);
	if (!rc)
		rc = read_layer_matrix(l, i, "attn_v", h->n_embd, kv, &y->wv, &y->bv);
	if (!rc)
		rc = read_layer_matrix(l, i, "attn_output", q, h->n_embd, &y->wo, &y->bo);
	if (!rc)
		rc = read_layer_norm(l, i, "ffn_norm", &y->ffn_norm);
	if (!rc)
		rc = read_layer_matrix(l, i, "ffn_gate", h->n_embd, h->n_ff, &y->gate, &y->b_gate);
	if (!rc)
		rc = read_layer_matrix(l, i, "ffn_up", h->n_embd, h->n_ff, &y->up, &y->b_up);
	if (!rc)
		rc = read_layer_matrix(l, i, "ffn_down", h->n_ff, h->n_embd, &y->down, &y->b_down);
	return rc;
}

/* The vocabulary is as large as the embedding says; everything else that says so must agree. */
static int read_vocabulary(struct loader *l)
{
	struct hparams *h = &l->m->h;
	const struct gguf_tensor *t = gguf_tensor(l->m->gguf, "token_embd.weight");
	if (!t)
		return err_set(l->err, E_FORMAT, "tensor 'token_embd.weight' is missing");
	if (t->dims[1] > HPARAM_VOCAB_MAX)
		return err_set(l->err, E_FORMAT,
		    "tensor 'token_embd.weight' has %" PRIu64 " tokens, more than %u", t->dims[1],
		    HPARAM_VOCAB_MAX);
	h->n_vocab = (uint32_t)t->dims[1];
	struct gguf_array tokens;
	if (gguf_get_array(l->m->gguf, "tokenizer.ggml.tokens", &tokens) && tokens.n != h->n_vocab)
		return err_set(l->err, E_FORMAT,
		    "tokenizer.ggml.tokens has %" PRIu64 " tokens, token_embd.weight %u", tokens.n,
		    h->n_vocab);
	return read_matrix(l, "token_embd.weight", h->n_embd, h->n_vocab, &l->m->embd);
}

static int read_output(struct loader *l)
{
	struct engine_model *m = l->m;
	int rc = read_vector(l, "output_norm.weight", m->h.n_embd, false, &m->output_norm);
	if (rc)
		return rc;
	if (!gguf_tensor(m->gguf, "output.weight")) { /* tied: the embedding serves twice */
		m->output = m->embd;
		return 0;
	}
	return read_matrix(l, "output.weight", m->h.n_embd, m->h.n_vocab, &m->output);
}

static int refuse_unused(struct loader *l)
{
	const struct gguf *g = l->m->gguf;
	for (size_t i = 0; i < gguf_tensor_count(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		if (!l->used[i])
			return err_set(l->err, E_UNSUPPORTED,
			    "tensor '%.*s' is no part of a dense llama model", (int)t->name.n,
			    (const char *)t->name.p);
	}
	return 0;
}

static int read_rope(struct loader *l)
{
	const float *factors;
	int rc = read_vector(l, "rope_freqs.weight", l->m->h.n_rot / 2, true, &factors);
	return rc ? rc : rope_read(l->m->gguf, &l->m->h, factors, &l->m->rope, l->err);
}

static int read_weights(struct loader *l)
{
	struct engine_model *m = l->m;
	int rc = read_vocabulary(l);
	if (!rc)
		rc = read_output(l);
	if (!rc)
		rc = read_rope(l);
	if (rc)
		return rc;
	m->layers = calloc(m->h.n_layer, sizeof *m->layers);
	if (!m->layers)
		return err_set(l->err, E_MEMORY, "no memory for %u layers", m->h.n_layer);
	for (uint32_t i = 0; i < m->h.n_layer; i++)
		if ((rc = read_layer(l, i)) != 0)
			return rc;
	return refuse_unused(l);
}

static void count_sizes(struct engine_model *m)
{
	for (size_t i = 0; i < gguf_tensor_count(m->gguf); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);
		m->n_params += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
		m->bytes_per_token += t->data.n;
	}
	/* Only one row of the embedding is read, unless it is the output matrix as well. */
	if (m->embd.data != m->output.data)
		m->bytes_per_token -= (uint64_t)m->embd.row_bytes * (m->embd.rows - 1);
}

static unsigned usable_processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return n < 1 ? 1 : n > ENGINE_THREADS_MAX ? ENGINE_THREADS_MAX : (unsigned)n;
}

static int choose_means(struct engine_model *m, const struct engine_options *opts, struct err *err)
{
	m->kv = opts->kv;
	m->n_threads = opts->threads ? opts->threads : usable_processors();
	if (m->n_threads > ENGINE_THREADS_MAX)
		return err_set(
		    err, E_INVALID, "%u threads: at most %d", m->n_threads, ENGINE_THREADS_MAX);
	int rc = engine_kernels_choose(opts->kernels, &m->kernels, err);
	if (rc || m->n_threads == 1)
		return rc;
	return pool_new(m->n_threads, &m->pool, err);
}

static int load_checked(struct engine_model *m, const struct engine_options *opts, struct err *err)
{
	int rc = hparams_read(m->gguf, &m->h, err);
	if (rc)
		return rc;
	size_t n = gguf_tensor_count(m->gguf);
	struct loader l = {m, calloc(n + 1, sizeof(bool)), err};
	if (!l.used)
		return err_set(err, E_MEMORY, "no memory for %zu tensors", n);
	rc = read_weights(&l);
	free(l.used);
	if (rc)
		return rc;
	count_sizes(m);
	return choose_means(m, opts, err);
}

/* Takes over the file object, also on failure. */
static int load(
    struct gguf *g, const struct engine_options *opts, struct engine_model **out, struct err *err)
{
	static const struct engine_options defaults;
	struct engine_model *m = calloc(1, sizeof *m);
	if (!m) {
		gguf_close(g);
		return err_set(err, E_MEMORY, "no memory for a model");
	}
	m->gguf = g;
	int rc = load_checked(m, opts ? opts : &defaults, err);
	if (rc) {
		engine_model_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

int engine_model_load(
    const char *path, const struct engine_options *opts, struct engine_model **out, struct err *err)
{
	struct gguf *g;
	int rc = gguf_open(path, &g, err);
	if (rc)
		return rc;
	rc = load(g, opts, out, err);
	return rc ? err_wrap(err, rc, "%s", path) : 0;
}

int engine_model_load_memory(struct bytes file, const struct engine_options *opts,
    struct engine_model **out, struct err *err)
{
	struct gguf *g;
	int rc = gguf_open_memory(file, &g, err);
	return rc ? rc : load(g, opts, out, err);
}

void engine_model_free(struct engine_model *m)
{
	if (!m)
		return;
	pool_free(m->pool);
	free(m->layers);
	gguf_close(m->gguf);
	free(m);
}

const struct gguf *engine_model_gguf(const struct engine_model *m)
{
	return m->gguf;
}

uint32_t engine_model_n_vocab(const struct engine_model *m)
{
	return m->h.n_vocab;
}

uint32_t engine_model_n_ctx_train(const struct engine_model *m)
{
	return m->h.n_ctx_train;
}

uint64_t engine_model_n_params(const struct engine_model *m)
{
	return m->n_params;
}

uint64_t engine_model_file_size(const struct engine_model *m)
{
	return gguf_size(m->gguf);
}

struct bytes engine_model_arch(const struct engine_model *m)
{
	struct bytes arch = {0};
	gguf_get_str(m->gguf, "general.architecture", &arch);
	return arch;
}

struct bytes engine_model_name(const struct engine_model *m)
{
	struct bytes name = {0};
	gguf_get_str(m->gguf, "general.name", &name);
	return name;
}

const char *engine_model_kernels(const struct engine_model *m)
{
	return m->kernels->name;
}

unsigned engine_model_threads(const struct engine_model *m)
{
	return m->n_threads;
}

uint64_t engine_model_bytes_per_token(const struct engine_model *m)
{
	return m->bytes_per_token;
}
