/* Reading requests of the OpenAI dialect: the members that we know, found in one pass, and readers
 * for their kinds of values. Every error names its parameter. null means absent everywhere, as
 * clients send it so. */
#ifndef DIALECT_OPENAI_READ_PRIV_H
#define DIALECT_OPENAI_READ_PRIV_H

#include "dialect/jtree.h"
#include "dialect/openai_priv.h"

/* X(name, kinds): the members of requests, for chat (1), completions (2) or both (3). */
#define OPENAI_FIELDS(X)                                                                           \
	X(model, 3)                                                                                \
	X(messages, 1)                                                                             \
	X(tools, 1)                                                                                \
	X(tool_choice, 1)                                                                          \
	X(parallel_tool_calls, 1)                                                                  \
	X(functions, 1)                                                                            \
	X(function_call, 1)                                                                        \
	X(response_format, 3)                                                                      \
	X(prompt, 2)                                                                               \
	X(suffix, 2)                                                                               \
	X(echo, 2)                                                                                 \
	X(best_of, 2)                                                                              \
	X(temperature, 3)                                                                          \
	X(top_p, 3)                                                                                \
	X(top_k, 3)                                                                                \
	X(min_p, 3)                                                                                \
	X(repeat_penalty, 3)                                                                       \
	X(repetition_penalty, 3)                                                                   \
	X(frequency_penalty, 3)                                                                    \
	X(presence_penalty, 3)                                                                     \
	X(seed, 3)                                                                                 \
	X(logit_bias, 3)                                                                           \
	X(logprobs, 3)                                                                             \
	X(top_logprobs, 1)                                                                         \
	X(n, 3)                                                                                    \
	X(max_tokens, 3)                                                                           \
	X(max_completion_tokens, 1)                                                                \
	X(stop, 3)                                                                                 \
	X(stream, 3)                                                                               \
	X(stream_options, 3)                                                                       \
	X(reasoning_effort, 1)                                                                     \
	X(return_token_ids, 3)                                                                     \
	X(gate_continue, 3)

enum openai_field {
#define X(name, kinds) F_##name,
	OPENAI_FIELDS(X)
#undef X
	OPENAI_FIELDS_N
};

/* A request being read. */
struct openai_reading {
	struct bytes text;
	const struct jnode *root;
	const struct jnode *f[OPENAI_FIELDS_N]; /* the members; NULL for those absent or null */
	struct inference_request *req;
	struct err *err;
};

/* Sets the error about the parameter that the format names. */
int openai_bad(struct openai_reading *r, int code, const char *why, const char *name_fmt, ...)
    PRINTF_LIKE(4, 5);
int openai_no_memory(struct openai_reading *r);

/* Copies, children of the request. */
int openai_copy_text(struct openai_reading *r, struct bytes from, struct bytes *to) WARN_UNUSED;
int openai_copy_str(struct openai_reading *r, struct bytes from, char **to) WARN_UNUSED;

/* A member that is absent, null or true/false. */
int openai_read_flag(
    struct openai_reading *r, const struct jnode *v, const char *name, bool *out) WARN_UNUSED;
/* An integer member; *out stays as it is without one. `has` may be NULL. */
int openai_read_int(struct openai_reading *r, enum openai_field f, int64_t min, int64_t max,
    bool *has, int64_t *out) WARN_UNUSED;

/* response_format, with its schema. */
int openai_read_format(struct openai_reading *r) WARN_UNUSED;

/* Reads a body of the kind: what both kinds have in common, and with `own` the rest. */
int openai_read_request(void *mem, struct bytes body, enum inference_kind kind,
    int (*own)(struct openai_reading *r), struct inference_request **out,
    struct err *err) WARN_UNUSED;

#endif
