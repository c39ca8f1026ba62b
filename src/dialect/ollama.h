/* The Ollama dialect: chat, generate, embeddings, and what its clients ask about models; and the
 * client's side, for Ollama servers. Streams are lines of JSON. Pure.
 *
 * SPEC ollama: the API page of its documentation. Options that only place work on a machine
 * (num_gpu, num_thread, num_ctx, …) are accepted and have no effect: this node decides them. Those
 * that would change the answer and that we do not implement are refused by name. */
#ifndef DIALECT_OLLAMA_H
#define DIALECT_OLLAMA_H

#include "dialect/dialect.h"

#define OLLAMA_LINES_TYPE "application/x-ndjson"

/* POST /api/chat and /api/generate. Both stream unless told otherwise. A prompt that goes through
 * the model's template is a request of the kind CHAT, a raw one or one with a suffix COMPLETION. A
 * last message of the assistant becomes the request's continuation. */
extern const struct dialect ollama_chat, ollama_generate;

/* Whether a request of these asks for no answer: it only loads the model, or, with a keep_alive of
 * 0, unloads it. Whoever runs it emits STARTED, CHOICE_END and FINISHED. */
bool ollama_is_load(const struct inference_request *req);

/* "model:latest" is "model": takes the tag away, where it stands. */
void ollama_name_normalise(char *name);

/* {"error":"text"} */
void ollama_error_write(const struct err *why, struct buf *out);

/* ---- models -------------------------------------------------------------------------------- */

/* The version whose interface this is: clients compare it. */
#define OLLAMA_VERSION "0.13.0"

/* GET /api/version, /api/tags, /api/ps (of those that are ready). One element for each id; entries
 * of one id may stand anywhere in the array. */
void ollama_version_write(struct buf *out);
void ollama_tags_write(struct buf *out, const struct model_entry *models, size_t n);
void ollama_ps_write(struct buf *out, const struct model_entry *models, size_t n);

/* POST /api/show: which model. E_SYNTAX, E_INVALID. */
int ollama_show_parse(struct bytes body, char model[MODEL_ID_MAX], struct err *err) WARN_UNUSED;
/* Its answer: all entries of one id, at least one. */
void ollama_show_write(struct buf *out, const struct model_entry *models, size_t n);

/* ---- embeddings ---------------------------------------------------------------------------- */

/* POST /api/embed, and the older /api/embeddings with one prompt. */
extern const struct embedding_dialect ollama_embed, ollama_embeddings;

/* ---- the client's side --------------------------------------------------------------------- */

extern const struct upstream ollama_upstream;

#endif
