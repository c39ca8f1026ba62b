/* A loaded GGUF file, answering. See gguf_backend.h.
 *
 * Must stay true: the loop thread never computes; a generator belongs to one worker at a time. */
#include "provider/gguf_priv.h"

#include "base/encode.h"
#include "crypto/hash.h"
#include "engine/gguf.h"
#include "rt/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define DEFAULT_TEMPERATURE 0.8f
#define DEFAULT_MIN_P       0.05f
#define SEQUENCES_BYTES     (512ull << 20) /* for sequences that are kept */
#define SEQUENCES_MAX       8
#define SEQUENCE_SCRATCH    (32ull << 20)      /* what each needs besides, about */
#define HASH_AT_ONCE        ((size_t)64 << 20) /* larger files are hashed after loading */

int gguf_backend_new(
    const struct gguf_backend_options *opt, struct gguf_backend **out, struct err *err)
{
	struct gguf_backend *b = calloc(1, sizeof *b);
	if (!b)
		return err_set(err, E_MEMORY, "no memory for the engine");
	b->opt = *opt;
	b->turn.free = 1;
	if (opt->file.n > HASH_AT_ONCE)
		scope_init(&b->hashing, NULL);
	*out = b;
	return 0;
}

void gguf_backend_free(struct gguf_backend *b)
{
	if (!b)
		return;
	if (b->opt.file.n > HASH_AT_ONCE)
		scope_close(&b->hashing);
	generator_free(b->generator);
	chat_template_free(b->template);
	tokenizer_free(b->tokenizer);
	engine_model_free(b->model);
	free(b);
}

/* ---- loading ------------------------------------------------------------------------------- */

/* "models/Tiny.Q8_0.gguf" is called "Tiny.Q8_0". */
static void id_from_path(const char *path, char out[MODEL_ID_MAX])
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	size_t n = strlen(base);
	if (n > 5 && strcmp(base + n - 5, ".gguf") == 0)
		n -= 5;
	n = n < MODEL_ID_MAX ? n : MODEL_ID_MAX - 1;
	n = utf8_valid_prefix(bytes_of(base, n));
	for (size_t i = 0; i < n; i++) /* shown on terminals, logged, typed */
		out[i] = (unsigned char)base[i] < 0x20 || base[i] == 0x7f ? '_' : base[i];
	out[n] = '\0';
}

static void read_defaults(struct gguf_backend *b)
{
	const struct gguf *g = engine_model_gguf(b->model);
	struct sampler_params *d = &b->defaults;
	*d = SAMPLER_DEFAULTS;
	d->temperature = DEFAULT_TEMPERATURE;
	d->min_p = DEFAULT_MIN_P;
	gguf_get_f32(g, "general.sampling.temp", &d->temperature);
	gguf_get_f32(g, "general.sampling.top_p", &d->top_p);
	gguf_get_f32(g, "general.sampling.min_p", &d->min_p);
	gguf_get_u32(g, "general.sampling.top_k", &d->top_k);
	if (!(d->temperature >= 0 && d->temperature <= 2))
		d->temperature = DEFAULT_TEMPERATURE;
	if (!(d->top_p > 0 && d->top_p <= 1))
		d->top_p = 1;
	if (!(d->min_p >= 0 && d->min_p <= 1))
		d->min_p = DEFAULT_MIN_P;
}

/* Two names each: the newer first. SPEC ggml docs/gguf.md; llama.cpp reads both. */
static int32_t gap_token(const struct gguf *g, const char *key, const char *older)
{
	uint32_t id;
	if (!gguf_get_u32(g, key, &id) && !gguf_get_u32(g, older, &id))
		return TOKEN_NONE;
	return id <= INT32_MAX ? (int32_t)id : TOKEN_NONE;
}

static void read_style(struct gguf_backend *b)
{
	const struct gguf *g = engine_model_gguf(b->model);
	struct bytes source = {0};
	/* ChatML stands in for a template that cannot be used, and knows no tools. */
	if (!chat_template_warning(b->template)[0])
		gguf_get_str(g, "tokenizer.chat_template", &source);
	b->style = reply_style_of(source);
	b->gap = (struct gap_tokens){
	    .before =
		gap_token(g, "tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"),
	    .after =
		gap_token(g, "tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"),
	    .gap =
		gap_token(g, "tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"),
	};
}

static unsigned abilities(const struct gguf_backend *b)
{
	enum engine_pooling pooling;
	bool embeds = engine_model_pooling(b->model, &pooling, NULL) == 0;
	return MODEL_CHAT | MODEL_COMPLETION | MODEL_TOOLS | (embeds ? MODEL_EMBEDDING : 0);
}

static void hash_file(void *arg)
{
	struct gguf_backend *b = arg;
	uint8_t digest[SHA256_SIZE];
	sha256(b->opt.file, digest);
	hex_encode(bytes_of(digest, sizeof digest), b->hash);
}

/* As many sequences as fit into the memory set aside for them. */
static unsigned sequences(const struct gguf_backend *b, uint32_t n_ctx)
{
	uint64_t n = SEQUENCES_BYTES / (engine_model_kv_bytes(b->model, n_ctx) + SEQUENCE_SCRATCH);
	return n < 1 ? 1 : n > SEQUENCES_MAX ? SEQUENCES_MAX : (unsigned)n;
}

static int load_all(struct gguf_backend *b, struct err *err)
{
	int rc = engine_model_load_memory(b->opt.file, &b->opt.engine, &b->model, err);
	if (rc == 0)
		rc = tokenizer_new(engine_model_gguf(b->model), &b->tokenizer, err);
	if (rc == 0)
		rc = chat_template_of_file(engine_model_gguf(b->model), &b->template, err);
	uint32_t n_ctx = b->opt.n_ctx;
	if (rc == 0 && n_ctx == 0) {
		n_ctx = engine_model_n_ctx_train(b->model);
		n_ctx = n_ctx < CTX_DEFAULT_MAX ? n_ctx : CTX_DEFAULT_MAX;
	}
	if (rc == 0)
		rc = generator_new(
		    b->model, b->tokenizer, n_ctx, sequences(b, n_ctx), &b->generator, err);
	if (rc)
		return err_wrap(err, rc, "%s", b->opt.path);
	read_defaults(b);
	read_style(b);
	if (b->opt.file.n <= HASH_AT_ONCE)
		hash_file(b);
	id_from_path(b->opt.path, b->entry.id);
	b->entry.n_ctx = n_ctx;
	b->entry.ready = true;
	b->entry.abilities = abilities(b);
	memcpy(b->entry.hash, b->hash, sizeof b->entry.hash);
	return 0;
}

static void load_work(void *arg)
{
	struct gguf_backend *b = arg;
	b->failure.code = load_all(b, &b->failure);
}

static void log_warning(const char *warning)
{
	if (warning[0])
		rt_log(LOG_WARN, "engine", "%s", warning);
}

/* A large file's hash becomes known later; nobody waits for it. */
static void hash_fiber(void *arg)
{
	struct gguf_backend *b = arg;
	if (rt_work(hash_file, b, NULL, NULL) == 0)
		memcpy(b->entry.hash, b->hash, sizeof b->entry.hash);
}

static int load_once(struct gguf_backend *b, struct err *err)
{
	if (b->state == LOAD_NOT_BEGUN) {
		b->state = LOAD_UNDER_WAY;
		b->entry.created_s = world_wall_ms(b->opt.world) / 1000;
		int rc = rt_work(load_work, b, NULL, &b->failure);
		b->state = rc == 0 && b->failure.code == 0 ? LOAD_DONE : LOAD_FAILED;
		if (b->state == LOAD_DONE) {
			log_warning(tokenizer_warning(b->tokenizer));
			log_warning(chat_template_warning(b->template));
		}
		if (b->state == LOAD_DONE && !b->entry.hash[0] &&
		    fiber_spawn(&b->hashing, "hash", hash_fiber, b, NULL))
			rt_log(LOG_WARN, "engine", "no memory to hash the model's file");
		waitq_wake_all(&b->loaded);
	}
	while (b->state == LOAD_UNDER_WAY) {
		int rc = waitq_wait(&b->loaded, err);
		if (rc)
			return rc;
	}
	return b->state == LOAD_FAILED ? err_copy(err, &b->failure) : 0;
}

static int backend_ready(void *arg, struct model_entry *out, struct err *err)
{
	struct gguf_backend *b = arg;
	int rc = load_once(b, err);
	if (rc == 0)
		*out = b->entry;
	return rc;
}

/* ---- embeddings ---------------------------------------------------------------------------- */

struct embedding {
	struct gguf_backend *b;
	const struct embedding_request *req;
	struct embedding_result *out;
	struct feed *feed; /* for its flag: cut when nobody waits any more */
	float *row;
	int rc;
	struct err err;
};

static int embed_input(struct embedding *e, size_t i, struct err *err)
{
	struct token_list tokens = {0};
	char param[ERR_PARAM_MAX];
	snprintf(param, sizeof param, "input[%zu]", i);
	int rc = tokenizer_encode(
	    e->b->tokenizer, e->req->inputs[i], TOKENIZE_ADD_SPECIAL, &tokens, err);
	if (rc == 0 && tokens.n == 0)
		rc = err_set_param(err, E_INVALID, param, "has no tokens");
	if (rc == 0)
		rc = generator_embed(
		    e->b->generator, tokens.ids, tokens.n, feed_cut_flag(e->feed), e->row, err);
	e->out->prompt_tok += (int64_t)tokens.n;
	token_list_free(&tokens);
	return rc;
}

static void embed_work(void *arg)
{
	struct embedding *e = arg;
	for (size_t i = 0; i < e->out->n && e->rc == 0; i++) {
		e->rc = embed_input(e, i, &e->err);
		memcpy(e->out->values + i * e->out->dims, e->row, e->out->dims * sizeof *e->row);
	}
}

static void embed_fiber(void *arg)
{
	struct embedding *e = arg;
	int rc = rt_work(embed_work, e, NULL, &e->err);
	if (rc)
		e->rc = rc;
	feed_end(e->feed);
}

/* Waits for the worker; leaving early stops it. */
static int run_embedding(struct embedding *e, struct err *err)
{
	struct buf none;
	struct scope sc;
	int rc = feed_new(1, &e->feed, err);
	if (rc)
		return rc;
	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(NULL, "embed", embed_fiber, e, err);
	if (rc == 0) {
		rc = feed_take(e->feed, &none, err);
		rc = rc == E_CLOSED ? 0 : rc;
	}
	feed_cut(e->feed);
	scope_close(&sc);
	feed_free(e->feed);
	if (rc == 0 && e->rc) {
		e->err.code = e->rc;
		rc = err_copy(err, &e->err);
	}
	return rc;
}

static int embed(struct gguf_backend *b, void *mem, const struct embedding_request *req,
    struct embedding_result *out, struct err *err)
{
	enum engine_pooling pooling;
	int rc = engine_model_pooling(b->model, &pooling, err);
	uint32_t dims = engine_model_n_embd(b->model);
	if (rc == 0 && req->dimensions && req->dimensions != (int32_t)dims)
		rc = err_set_param(err, E_UNSUPPORTED, "dimensions",
		    "this model's vectors have %u dimensions", dims);
	if (rc)
		return rc;
	*out = (struct embedding_result){.n = req->n_inputs, .dims = dims};
	out->values = talloc_array(mem, float, (unsigned)(req->n_inputs * dims));
	struct embedding e = {.b = b, .req = req, .out = out, .row = calloc(dims, sizeof(float))};
	if (!out->values || !e.row)
		rc = err_set(err, E_MEMORY, "no memory for %zu vectors", req->n_inputs);
	if (rc == 0)
		rc = run_embedding(&e, err);
	free(e.row);
	return rc;
}

static int backend_embed(void *arg, void *mem, const struct embedding_request *req,
    struct embedding_result *out, struct err *err)
{
	struct gguf_backend *b = arg;
	int rc = load_once(b, err);
	if (rc == 0)
		rc = sem_acquire(&b->turn, err);
	if (rc)
		return rc;
	rc = embed(b, mem, req, out, err);
	sem_release(&b->turn);
	return rc;
}

/* ---- answers ------------------------------------------------------------------------------- */

static int backend_infer(void *arg, const struct inference_request *req, inference_emit_fn emit,
    void *emit_arg, struct err *err)
{
	struct gguf_backend *b = arg;
	int rc = gguf_refuse(req, err);
	if (rc == 0)
		rc = load_once(b, err);
	if (rc == 0)
		rc = sem_acquire(&b->turn, err);
	if (rc)
		return rc;
	rc = gguf_answer(b, req, emit, emit_arg, err);
	sem_release(&b->turn);
	return rc;
}

struct engine_backend gguf_backend_interface(struct gguf_backend *b)
{
	return (struct engine_backend){
	    .ready = backend_ready, .infer = backend_infer, .embed = backend_embed, .arg = b};
}
