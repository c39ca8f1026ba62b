/* The OpenAI dialect: completions, embeddings, errors and model lists, to and from the neutral
 * terms of inference.h. Spoken with clients, between nodes, and with the engine process. Pure:
 * bytes in, structs out, and back.
 *
 * SPEC openai: the API reference of completions, embeddings and models. What clients rely on beyond
 * it is in comments beside the code. */
#ifndef DIALECT_OPENAI_H
#define DIALECT_OPENAI_H

#include "dialect/dialect.h"

/* POST /v1/chat/completions, and the older /v1/completions with its bare prompt. */
extern const struct dialect openai_chat, openai_completions;
/* POST /v1/embeddings. */
extern const struct embedding_dialect openai_embeddings;

/* Servers of this dialect: of others, such as vLLM, llama.cpp, LM Studio; OpenAI's own, which has
 * renamed max_tokens and refuses the old name; and nodes of ours, engines included, which are told
 * and tell more: token ids, and how far an answer has come that another node began. */
extern const struct upstream openai_upstream, openai_cloud_upstream, gate_upstream;

/* The first of these, or the second where the host is OpenAI's own or Azure's. */
const struct upstream *openai_upstream_at(const char *host);

/* ---- requests ------------------------------------------------------------------------------ */

/* Reads the body of POST /v1/chat/completions. *out is a talloc child of `mem`; freeing it frees
 * all it holds. Sizes follow from the body's, which the caller has bounded. E_SYNTAX (no JSON),
 * E_INVALID and E_UNSUPPORTED (with err->param), E_MEMORY. */
int openai_request_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err) WARN_UNUSED;

/* Appends the request as a body that openai_request_parse reads back to the same, as nodes of ours
 * tell each other. E_TOO_LARGE when `out` has no room. */
int openai_request_write(
    const struct inference_request *req, struct buf *out, struct err *err) WARN_UNUSED;

/* What of the request's `extra` would change the answer's meaning, refused by name: for those who
 * understand no more than this dialect does. E_UNSUPPORTED. */
int openai_refuse_extra(const struct inference_request *req, struct err *err) WARN_UNUSED;

/* ---- answers ------------------------------------------------------------------------------- */

/* "stop", "length", "tool_calls", "content_filter" */
const char *openai_finish_name(enum inference_finish finish);

/* ---- errors -------------------------------------------------------------------------------- */

/* Appends {"error":{message,type,param,code}}. */
void openai_error_write(const struct err *why, struct buf *out);

/* The error that an error answer carries: its code where it is one of ours and fits `status` (0:
 * unknown), else what the status means, E_UPSTREAM when nothing is known; and its parameter. Sets
 * *err and returns its code, never 0. An upstream cannot make us report a bug of our own. */
int openai_error_parse(struct bytes body, int status, struct err *err);

/* ---- models -------------------------------------------------------------------------------- */

#define OPENAI_MODELS_MAX 4096 /* entries of a list; longer ones are refused */

/* Appends the list of `models`, one element for each id: id, object, created, owned_by, and of our
 * own `ready`, `context_length`, `abilities`, `hash` (of the model's file, where all agree), `node`
 * (the first owner's NodeId) and `nodes` (all owners'). Without memory the buffer fails.
 * Entries of one id may stand anywhere in the array. */
void openai_models_write(struct buf *out, const struct model_entry *models, size_t n);
/* Appends one element: all of `models` that have this id (at least one). */
void openai_model_write(
    struct buf *out, const char *id, const struct model_entry *models, size_t n);

/* Reads a list: one entry for each (id, node), for lists of others one for each id. *out is a
 * talloc child of `mem`. E_UPSTREAM, or the error that it carries. */
int openai_models_parse(
    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err) WARN_UNUSED;

#endif
