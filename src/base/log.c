/* Log lines. What a peer said may stand in a message, so every byte that could break a line, a
 * terminal or a JSON parser is escaped here, in one place. */
#include "base/log.h"

#include "base/bytes.h"
#include "base/encode.h"

#include <stdlib.h>
#include <time.h>

#define LOG_TEXT_MAX 4096 /* bytes of one message before escaping; the rest is cut */
#define LOG_LINE_MAX (LOG_TEXT_MAX * 6 + 1024)
#define LOG_NAME_MAX 64

struct log {
	enum log_level least;
	enum log_format format;
	log_write_fn write;
	void *write_arg;
	log_clock_fn clock;
	void *clock_arg;
	char name[LOG_NAME_MAX];
};

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error"};

struct log *log_new(const char *name, enum log_level least, enum log_format format,
    log_write_fn write, void *write_arg, log_clock_fn clock, void *clock_arg)
{
	struct log *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->least = least;
	log->format = format;
	log->write = write;
	log->write_arg = write_arg;
	log->clock = clock;
	log->clock_arg = clock_arg;
	log_set_name(log, name);
	return log;
}

void log_free(struct log *log)
{
	free(log);
}

void log_write_file(void *arg, enum log_level level, const char *line, size_t n)
{
	FILE *f = arg;

	/* A log that cannot be written has nowhere to say so. */
	if (fwrite(line, 1, n, f) == n && fputc('\n', f) != EOF)
		fflush(f);
}

bool log_enabled(const struct log *log, enum log_level level)
{
	return log && level >= log->least;
}

void log_set_name(struct log *log, const char *name)
{
	size_t n = strlen(name);

	if (n >= sizeof(log->name))
		n = sizeof(log->name) - 1;
	n -= utf8_incomplete_tail(bytes_of(name, n));
	memcpy(log->name, name, n);
	log->name[n] = 0;
}

/* Escapes for a JSON string and, with the same rules, for a terminal line: controls become \uXXXX
 * (or \n, \t …), C1 controls and bytes that are no UTF-8 become \ufffd or \xNN. Quotes and
 * backslashes are escaped in JSON only. */
static void escape(struct buf *out, struct bytes in, enum log_format format)
{
	uint32_t cp;

	for (size_t i = 0, n; i < in.n; i += n) {
		n = utf8_decode(in.p + i, in.n - i, &cp);
		if (n == 0) {
			n = 1;
			if (format == LOG_JSON)
				buf_str(out, "\\ufffd");
			else
				buf_printf(out, "\\x%02x", in.p[i]);
		} else if (cp == '\n') {
			buf_str(out, "\\n");
		} else if (cp == '\t') {
			buf_str(out, "\\t");
		} else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029 ||
			   (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069)) {
			buf_printf(out, "\\u%04x", (unsigned)cp);
		} else {
			if (format == LOG_JSON && (cp == '"' || cp == '\\'))
				buf_u8(out, '\\');
			buf_put(out, in.p + i, n);
		}
	}
}

/* "2024-05-06T07:08:09.123Z" */
static void put_time(struct buf *out, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	int frac = (int)(ms % 1000);
	struct tm tm;

	if (frac < 0) {
		frac += 1000;
		s--;
	}
	if (!gmtime_r(&s, &tm))
		memset(&tm, 0, sizeof(tm));
	buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, frac);
}

static void put_text(struct buf *out, const struct log *log, enum log_level level, const char *room,
    struct bytes text)
{
	put_time(out, log->clock(log->clock_arg));
	buf_printf(out, " %-5s ", level_names[level]);
	if (log->name[0]) {
		buf_u8(out, '[');
		escape(out, bytes_str(log->name), LOG_TEXT);
		buf_str(out, "] ");
	}
	buf_printf(out, "%s: ", room);
	escape(out, text, LOG_TEXT);
}

static void put_json(struct buf *out, const struct log *log, enum log_level level, const char *room,
    struct bytes text)
{
	buf_str(out, "{\"time\":\"");
	put_time(out, log->clock(log->clock_arg));
	buf_printf(out, "\",\"level\":\"%s\",\"node\":\"", level_names[level]);
	escape(out, bytes_str(log->name), LOG_JSON);
	buf_str(out, "\",\"room\":\"");
	escape(out, bytes_str(room), LOG_JSON);
	buf_str(out, "\",\"message\":\"");
	escape(out, text, LOG_JSON);
	buf_str(out, "\"}");
}

void log_eventv(
    struct log *log, enum log_level level, const char *room, const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT(LOG_TEXT_MAX);
	struct buf line = BUF_INIT(LOG_LINE_MAX);
	int n;

	if (!log_enabled(log, level))
		return;
	if (buf_reserve(&text, LOG_TEXT_MAX) != 0)
		return;
	n = vsnprintf((char *)text.p, LOG_TEXT_MAX, fmt, ap);
	if (n > 0)
		text.n = (size_t)n < LOG_TEXT_MAX ? (size_t)n : LOG_TEXT_MAX - 1;
	if (n >= LOG_TEXT_MAX)
		text.n -= utf8_incomplete_tail(buf_view(&text));
	if (log->format == LOG_JSON)
		put_json(&line, log, level, room, buf_view(&text));
	else
		put_text(&line, log, level, room, buf_view(&text));
	if (!line.failed)
		log->write(log->write_arg, level, buf_cstr(&line), line.n);
	buf_free(&line);
	buf_free(&text);
}

void log_event(struct log *log, enum log_level level, const char *room, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_eventv(log, level, room, fmt, ap);
	va_end(ap);
}

int log_level_parse(const char *text, enum log_level *out, struct err *err)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return err_set(err, E_INVALID,
	    "unknown log level \"%s\" (choose trace, debug, info, warn or error)", text);
}

int log_format_parse(const char *text, enum log_format *out, struct err *err)
{
	if (strcmp(text, "text") == 0)
		*out = LOG_TEXT;
	else if (strcmp(text, "json") == 0)
		*out = LOG_JSON;
	else
		return err_set(
		    err, E_INVALID, "unknown log format \"%s\" (choose text or json)", text);
	return 0;
}
