/* A loaded GGUF file, answering. See gguf_backend.h.
 *
 * Must stay true: the loop thread never computes; a generator belongs to one worker at a time; text
 * waiting for a slow reader is bounded, the generator then waits. */
#include "provider/gguf_backend.h"

#include "base/encode.h"
#include "engine/generate.h"
#include "engine/gguf.h"
#include "engine/template.h"
#include "engine/tokenizer.h"
#include "rt/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TEMPERATURE 0.8f
#define DEFAULT_MIN_P       0.05f
#define PENDING_MAX         (64u << 10) /* bytes of text that wait for the reader */
#define RENDERED_MAX        (8u << 20)

enum load_state {
	LOAD_NOT_BEGUN,
	LOAD_UNDER_WAY,
	LOAD_DONE,
	LOAD_FAILED
};

struct gguf_backend {
	struct gguf_backend_options opt;
	enum load_state state;
	struct waitq loaded;
	struct err failure;
	struct sem turn; /* one generator: one answer at a time */
	struct engine_model *model;
	struct tokenizer *tokenizer;
	struct chat_template *template;
	struct generator *generator;
	struct sampler_params defaults;
	struct model_entry entry;
};

int gguf_backend_new(
    const struct gguf_backend_options *opt, struct gguf_backend **out, struct err *err)
{
	struct gguf_backend *b = calloc(1, sizeof *b);
	if (!b)
		return err_set(err, E_MEMORY, "no memory for the engine");
	b->opt = *opt;
	b->turn.free = 1;
	*out = b;
	return 0;
}

void gguf_backend_free(struct gguf_backend *b)
{
	if (!b)
		return;
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
		rc = generator_new(b->model, b->tokenizer, n_ctx, &b->generator, err);
	if (rc)
		return err_wrap(err, rc, "%s", b->opt.path);
	read_defaults(b);
	id_from_path(b->opt.path, b->entry.id);
	b->entry.n_ctx = n_ctx;
	b->entry.ready = true;
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

/* ---- one answer: the worker's side --------------------------------------------------------- */

/* Shared by the worker that generates and the fiber that reads. */
struct answer {
	struct gguf_backend *backend;
	const struct inference_request *req;
	uint64_t seed;
	int64_t now_s;
	struct feed *text;
	/* The outcome, once the feed has ended. */
	struct generate_result result;
	int rc;
	struct err err;
};

static int emit_piece(void *arg, const char *utf8, size_t n)
{
	struct answer *a = arg;
	return feed_put(a->text, utf8, n) ? 0 : -1;
}

static int render(struct answer *a, struct buf *out, struct err *err)
{
	const struct inference_request *req = a->req;
	struct chat_message *messages = calloc(req->n_messages + 1, sizeof *messages);
	if (!messages)
		return err_set(err, E_MEMORY, "no memory for %zu messages", req->n_messages);
	for (size_t i = 0; i < req->n_messages; i++)
		messages[i] = (struct chat_message){
		    bytes_str(req->messages[i].role), req->messages[i].content};
	struct chat_options options = chat_options_for(a->backend->tokenizer, a->now_s);
	int rc = chat_template_render(
	    a->backend->template, messages, req->n_messages, &options, out, NULL, err);
	free(messages);
	return rc;
}

static struct sampler_params sampling_of(const struct answer *a)
{
	const struct inference_sampling *s = &a->req->sampling;
	struct sampler_params p = a->backend->defaults;
	if (s->has_temperature)
		p.temperature = (float)s->temperature;
	if (s->has_top_p)
		p.top_p = (float)s->top_p;
	if (s->has_top_k)
		p.top_k = (uint32_t)s->top_k;
	if (s->has_min_p)
		p.min_p = (float)s->min_p;
	if (s->has_repeat_penalty)
		p.repeat_penalty = (float)s->repeat_penalty;
	p.frequency_penalty = (float)s->frequency_penalty;
	p.presence_penalty = (float)s->presence_penalty;
	p.seed = s->has_seed ? (uint64_t)s->seed : a->seed;
	return p;
}

static int generate(struct answer *a, struct err *err)
{
	struct buf text = BUF_INIT(RENDERED_MAX);
	struct token_list tokens = {0};
	int rc = render(a, &text, err);
	if (rc == 0)
		rc = tokenizer_encode(a->backend->tokenizer, buf_view(&text),
		    TOKENIZE_PARSE_SPECIAL | TOKENIZE_BOS_ONCE, &tokens, err);
	buf_free(&text);
	if (rc == 0) {
		struct generate_job job = {
		    .prompt = tokens.ids,
		    .n_prompt = tokens.n,
		    .max_tokens =
			a->req->max_tokens > 0 ? (size_t)a->req->max_tokens : GENERATE_UNLIMITED,
		    .sampling = sampling_of(a),
		    .stops = a->req->stop,
		    .n_stops = a->req->n_stop,
		    .emit = emit_piece,
		    .arg = a,
		    .cancel = feed_cut_flag(a->text),
		};
		rc = generator_run(a->backend->generator, &job, &a->result, err);
	}
	token_list_free(&tokens);
	return rc;
}

static void generate_work(void *arg)
{
	struct answer *a = arg;
	a->rc = generate(a, &a->err);
}

/* ---- one answer: the reader's side --------------------------------------------------------- */

static void generate_fiber(void *arg)
{
	struct answer *a = arg;
	int rc = rt_work(generate_work, a, NULL, &a->err);
	if (rc)
		a->rc = rc;
	feed_end(a->text);
}

static int pass_on(struct answer *a, inference_emit_fn emit, void *arg, struct err *err)
{
	bool started = false;
	for (;;) {
		struct buf text;
		int rc = feed_take(a->text, &text, err);
		if (rc)
			return rc == E_CLOSED ? 0 : rc;
		if (!started)
			rc = emit(arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
		started = true;
		if (rc == 0)
			rc = emit(arg,
			    &(struct inference_event){
				.kind = INFERENCE_TEXT, .text = buf_view(&text)},
			    err);
		buf_free(&text);
		if (rc)
			return rc;
	}
}

static int finish(struct answer *a, inference_emit_fn emit, void *arg, struct err *err)
{
	if (a->rc) {
		a->err.code = a->rc;
		return err_copy(err, &a->err);
	}
	if (a->result.finish == GENERATE_CANCELLED)
		return err_set(err, E_CANCELLED, "cancelled");
	struct inference_event end = {
	    .kind = INFERENCE_CHOICE_END,
	    .finish = a->result.finish == GENERATE_LENGTH ? FINISH_LENGTH : FINISH_STOP,
	};
	struct inference_event e = {.kind = INFERENCE_FINISHED, .usage = INFERENCE_USAGE_UNKNOWN};
	e.usage.prompt_tok = (int64_t)a->result.prompt_tokens;
	e.usage.completion_tok = (int64_t)a->result.completion_tokens;
	int rc = emit(arg, &end, err);
	return rc ? rc : emit(arg, &e, err);
}

static int answer(struct gguf_backend *b, const struct inference_request *req,
    inference_emit_fn emit, void *arg, struct err *err)
{
	struct answer a = {
	    .backend = b,
	    .req = req,
	    .seed = world_random_u64(b->opt.world),
	    .now_s = world_wall_ms(b->opt.world) / 1000,
	};
	int rc = feed_new(PENDING_MAX, &a.text, err);
	if (rc)
		return rc;
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	rc = fiber_spawn(NULL, "generate", generate_fiber, &a, err);
	if (rc == 0)
		rc = pass_on(&a, emit, arg, err);
	feed_cut(a.text);
	scope_close(&sc); /* waits for the worker: it ends within a token */
	if (rc == 0)
		rc = finish(&a, emit, arg, err);
	feed_free(a.text);
	return rc;
}

static int backend_infer(void *arg, const struct inference_request *req, inference_emit_fn emit,
    void *emit_arg, struct err *err)
{
	struct gguf_backend *b = arg;
	int rc = load_once(b, err);
	if (rc == 0)
		rc = sem_acquire(&b->turn, err);
	if (rc)
		return rc;
	rc = answer(b, req, emit, emit_arg, err);
	sem_release(&b->turn);
	return rc;
}

struct engine_backend gguf_backend_interface(struct gguf_backend *b)
{
	return (struct engine_backend){.ready = backend_ready, .infer = backend_infer, .arg = b};
}
