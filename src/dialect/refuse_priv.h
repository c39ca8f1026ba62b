/* What some upstreams cannot say, refused by the parameter's name. */
#ifndef DIALECT_REFUSE_PRIV_H
#define DIALECT_REFUSE_PRIV_H

#include "dialect/inference.h"

enum refusal {
	REFUSE_CHOICES = 1 << 0,
	REFUSE_BIASES = 1 << 1,
	REFUSE_LOGPROBS = 1 << 2,
	REFUSE_PENALTIES = 1 << 3,
	REFUSE_MIN_P = 1 << 4,
	REFUSE_SEED = 1 << 5,
	REFUSE_ANY_JSON = 1 << 6, /* "json_object": some object, no schema */
	REFUSE_COMPLETION = 1 << 7,
	REFUSE_FORCED_TOOLS = 1 << 8,
	REFUSE_ONE_CALL = 1 << 9, /* not several calls at once */
	REFUSE_ECHO = 1 << 10
};

/* 0 when the request asks for none of `what` (a set of enum refusal); else E_UNSUPPORTED with the
 * parameter's name, as the OpenAI dialect calls it. `who` cannot do it: "an Ollama server". */
int refuse_parameters(
    const struct inference_request *req, unsigned what, const char *who, struct err *err);

#endif
