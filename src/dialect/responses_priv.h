/* What the files of the Responses dialect share. */
#ifndef DIALECT_RESPONSES_PRIV_H
#define DIALECT_RESPONSES_PRIV_H

#include "dialect/inference.h"

/* Clients that keep nothing with the server give thoughts back only together with their sealed
 * form. Thoughts of makers that do not seal them are readable as they are: this says so. */
#define RESPONSES_NO_SEAL "not-encrypted"

int responses_parse(void *mem, struct bytes body, struct inference_request **out, struct err *err);

#endif
