/* Inside of the GGUF backend: loading (gguf_backend.c), a request's way to tokens (gguf_prompt.c),
 * an answer's way back (gguf_answer.c). */
#ifndef PROVIDER_GGUF_PRIV_H
#define PROVIDER_GGUF_PRIV_H

#include "engine/generate.h"
#include "engine/reply.h"
#include "engine/template.h"
#include "engine/tokenizer.h"
#include "provider/gguf_backend.h"

enum load_state {
	LOAD_NOT_BEGUN,
	LOAD_UNDER_WAY,
	LOAD_DONE,
	LOAD_FAILED
};

/* Tokens that ask a model to fill a gap; TOKEN_NONE without. */
struct gap_tokens {
	int32_t before, after, gap;
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
	struct reply_style style;
	struct gap_tokens gap;
	struct model_entry entry;
	/* Written by a worker, read by the loop once it has ended. */
	struct scope hashing; /* only where the file is too large to hash while loading */
	char hash[MODEL_HASH_MAX];
};

/* A request, ready for the generator. Owns everything but what it borrows from the request. */
struct gguf_prompt {
	struct token_list tokens;
	struct token_list continued;
	size_t continued_text;
	struct grammar *grammar; /* or NULL */
	struct reply_options reply;
	bool plain; /* the answer's text needs no taking apart */
	int32_t visible[REPLY_VISIBLE_MAX];
	size_t n_visible;
	struct logit_bias *biases;
};

/* On a worker. E_INVALID, E_UNSUPPORTED (with err->param), E_CONTEXT_LENGTH, E_MEMORY … */
int gguf_prompt_make(struct gguf_backend *b, const struct inference_request *req, int64_t now_s,
    struct gguf_prompt *out, struct err *err) WARN_UNUSED;
void gguf_prompt_free(struct gguf_prompt *p);

/* What this engine cannot do, by name. Loop thread, before anything else. */
int gguf_refuse(const struct inference_request *req, struct err *err) WARN_UNUSED;

/* [parks] Answers; the caller holds the generator's turn. */
int gguf_answer(struct gguf_backend *b, const struct inference_request *req, inference_emit_fn emit,
    void *arg, struct err *err) WARN_UNUSED;

#endif
