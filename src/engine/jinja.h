/* Jinja: an interpreter for the part of Jinja2 that chat templates in model files use. Templates
 * and data are untrusted: nesting, steps, memory and output of a run are bounded, and no template
 * can reach anything but its variables.
 *
 * Like the tool that writes these templates, it trims the newline after a block tag and the blanks
 * before one (trim_blocks, lstrip_blocks), never escapes HTML, and writes values as Python would.
 * Parsing and rendering recurse, up to half a MiB of stack: not for fibers.
 * SPEC: Jinja 3.1 template designer documentation; deviations are listed in jinja_priv.h. */
#ifndef ENGINE_JINJA_H
#define ENGINE_JINJA_H

#include "base/bytes.h"

#include <jansson.h>

struct jinja_program; /* immutable; shared by threads */

#define JINJA_SOURCE_MAX ((size_t)256 << 10)
#define JINJA_NODES_MAX  ((size_t)64 << 20) /* bytes of a parsed template */
#define JINJA_NEST_MAX   60                 /* brackets, blocks and operators inside each other */
#define JINJA_STEPS_MAX  10000000
#define JINJA_MEMORY_MAX ((size_t)128 << 20) /* bytes of values of one run */
#define JINJA_OUTPUT_MAX ((size_t)8 << 20)

/* E_FORMAT (what, and on which line) when the source is no template, E_UNSUPPORTED for a statement
 * that is not known, E_TOO_LARGE, E_LIMIT, E_MEMORY. The source is copied. */
int jinja_parse(struct bytes source, struct jinja_program **out, struct err *err) WARN_UNUSED;
void jinja_free(struct jinja_program *p); /* NULL is fine */

/* Renders with the members of `globals` (an object, borrowed) as variables and appends to `out`,
 * which is as it was on failure. `now_s` is what strftime_now reads (Unix seconds, shown in UTC).
 * E_INVALID with the template's own message when it calls raise_exception; E_FORMAT (with the line)
 * for an operation that fails, E_UNSUPPORTED for an unknown filter, test or method; E_LIMIT when a
 * bound is reached; E_MEMORY. */
int jinja_render(const struct jinja_program *p, const json_t *globals, int64_t now_s,
    struct buf *out, struct err *err) WARN_UNUSED;

#endif
