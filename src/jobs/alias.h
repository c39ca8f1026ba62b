/* Other names for models: an alias means one model, a virtual model the first of several that can
 * be asked. "gpt-4o=llama3.2:3b", "fast=qwen3:0.6b|llama3.2:1b". */
#ifndef JOBS_ALIAS_H
#define JOBS_ALIAS_H

#include "dialect/inference.h"

#define ALIASES_MAX       64
#define ALIAS_TARGETS_MAX 8
#define ALIAS_TEXT_MAX    1024

struct alias {
	char name[MODEL_ID_MAX];
	char targets[ALIAS_TARGETS_MAX][MODEL_ID_MAX];
	size_t n_targets;
};

/* E_INVALID, saying what is wrong, for anything but NAME=MODEL[|MODEL…]. */
int alias_parse(const char *text, struct alias *out, struct err *err) WARN_UNUSED;

/* NULL: none is called that. */
const struct alias *alias_find(const struct alias *aliases, size_t n, const char *name);

#endif
