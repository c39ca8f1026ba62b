/* What the files of the Responses dialect share. */
#ifndef DIALECT_RESPONSES_PRIV_H
#define DIALECT_RESPONSES_PRIV_H

#include "dialect/inference.h"

int responses_parse(void *mem, struct bytes body, struct inference_request **out, struct err *err);

#endif
