/* A validator of JSON Schemas, for tests: written from the specification, knowing nothing of
 * grammars, slow and simple. Aborts on keywords that it does not know. */
#ifndef TESTS_ENGINE_VALIDATE_H
#define TESTS_ENGINE_VALIDATE_H

#include <jansson.h>
#include <stdbool.h>

bool json_is_valid(const json_t *root, const json_t *schema, const json_t *value);

#endif
