/* The one C++ shim: toml++ behind a C function that walks a document's values. */
#ifndef NODE_TOML_PRIV_H
#define NODE_TOML_PRIV_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum toml_kind {
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOLEAN,
	TOML_LIST, /* its elements follow */
	TOML_OTHER
};

/* Called for each value in order; for an array first with TOML_LIST, then for each element with the
 * array's path ("network.bootstrap"). `text` is the string itself or the number or "true"/"false"
 * as text. A result other than 0 ends the walk. */
typedef int (*toml_value_fn)(void *arg, const char *path, unsigned line, unsigned column,
    enum toml_kind kind, const char *text);

/* 0; 1 when the document is no TOML (with `why`, `line` and `column` filled in); 2 when fn ended
 * it. */
int toml_walk(const char *document, size_t n, toml_value_fn fn, void *arg, char *why,
    size_t why_cap, unsigned *line, unsigned *column);

#ifdef __cplusplus
}
#endif

#endif
