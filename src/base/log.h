/* Logging: levels, a sink per node, one line per event, for people or (JSON) for machines.
 * There is no global logger: a sink hangs from its node and reaches code through its fiber
 * (rt_log in rt/rt.h) or as an argument. Secrets and prompts are never logged. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

#include <stdint.h>
#include <stdio.h>

enum log_level {
	LOG_TRACE,
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR
};
enum log_format {
	LOG_TEXT,
	LOG_JSON
};

struct log;

/* One finished line, without newline. `level` so that a sink may colour or filter. */
typedef void (*log_write_fn)(void *arg, enum log_level level, const char *line, size_t n);

/* Wall-clock milliseconds since the Unix epoch, from the node's world. */
typedef int64_t (*log_clock_fn)(void *arg);

/* A sink. `write` and `clock` are called on the loop thread. Owned by the caller; freed with
 * log_free. `name` (the node's label) is copied and may be "". NULL only without memory. */
struct log *log_new(const char *name, enum log_level least, enum log_format format,
    log_write_fn write, void *write_arg, log_clock_fn clock, void *clock_arg);
void log_free(struct log *log);

/* A write function for log_new: arg is a FILE *, flushed after each line. */
void log_write_file(void *arg, enum log_level level, const char *line, size_t n);

bool log_enabled(const struct log *log, enum log_level level);
void log_set_name(struct log *log, const char *name);

/* Writes one event. `room` is where it comes from ("p2p"). Control characters and invalid UTF-8 in
 * the text (which may come from peers) are escaped. A NULL log drops the event. */
void log_event(struct log *log, enum log_level level, const char *room, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void log_eventv(
    struct log *log, enum log_level level, const char *room, const char *fmt, va_list ap);

/* "trace" … "error" to a level; E_INVALID with the choices otherwise. */
int log_level_parse(const char *text, enum log_level *out, struct err *err) WARN_UNUSED;
int log_format_parse(const char *text, enum log_format *out, struct err *err) WARN_UNUSED;

#endif
