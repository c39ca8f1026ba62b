/* What the files of the Ollama dialect share. */
#ifndef DIALECT_OLLAMA_PRIV_H
#define DIALECT_OLLAMA_PRIV_H

#include "dialect/inference.h"

/* As the members of struct dialect and struct upstream. */
int ollama_chat_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err);
int ollama_generate_parse(
    void *mem, struct bytes body, struct inference_request **out, struct err *err);
int ollama_models_parse(
    void *mem, struct bytes body, struct model_entry **out, size_t *n, struct err *err);
int ollama_embed_request(
    const struct embedding_request *req, const char **path, struct buf *out, struct err *err);
int ollama_embed_answer(
    void *mem, struct bytes body, struct embedding_result *out, struct err *err);
int ollama_error_parse(struct bytes body, int status, struct err *err);

#endif
