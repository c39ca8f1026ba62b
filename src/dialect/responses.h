/* OpenAI's Responses: the form that Codex and the Vercel SDK speak. Stateless: a request brings its
 * whole conversation, nothing of it is kept. Pure.
 *
 * SPEC openai: the API reference of Responses. Refused by name (E_UNSUPPORTED): what needs a memory
 * on our side (previous_response_id, conversation, background, prompt, item references), tools that
 * the server itself would run, files and audio. Groups of functions ("namespace") are functions.
 * Answers repeat their request's parameters. */
#ifndef DIALECT_RESPONSES_H
#define DIALECT_RESPONSES_H

#include "dialect/dialect.h"

/* POST /v1/responses. */
extern const struct dialect openai_responses;

#endif
