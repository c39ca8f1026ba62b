/* The Anthropic dialect: messages, their streams, token counts, errors and model lists, to and from
 * the neutral terms of inference.h; and the client's side, for servers that speak it. Pure.
 *
 * SPEC anthropic: the API reference of Messages (version 2023-06-01). Unknown fields are ignored;
 * those that would change what the answer means and that we do not implement are refused by name
 * (E_UNSUPPORTED): documents, tools that the server itself would run, containers. */
#ifndef DIALECT_ANTHROPIC_H
#define DIALECT_ANTHROPIC_H

#include "dialect/dialect.h"

#define ANTHROPIC_VERSION "2023-06-01" /* of the header anthropic-version */

/* POST /v1/messages. A last message of the assistant becomes the request's continuation. */
extern const struct dialect anthropic_messages;

/* POST /v1/messages/count_tokens: the same body, in which max_tokens may be missing. It is read as
 * a request for one token, not streamed: whoever answers it knows how many its prompt has. An
 * answer whose usage does not say must not come this far. */
extern const struct dialect anthropic_count_tokens;

/* Servers of this form. Their streams are server-sent events. */
extern const struct upstream anthropic_upstream;

/* max_tokens is mandatory there: what a request without one asks for. */
#define ANTHROPIC_MAX_TOKENS 8192

/* "invalid_request_error" and the like for one of our codes. */
const char *anthropic_error_type(int code);

#endif
