/* The error table and the caller-owned error text. A message is one line: control characters,
 * which may come from a peer, never reach it. */
#include "base/err.h"

#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct err_info table[] = {
#define X(name, value, status, type, ocode, retry, blame, text)                                    \
	{name, #name, status, type, ocode, retry, blame, text},
    ERR_TABLE(X)
#undef X
};

#define TABLE_N (sizeof(table) / sizeof(table[0]))

const struct err_info *err_info(int code)
{
	for (size_t i = 0; i < TABLE_N; i++)
		if (table[i].code == code)
			return &table[i];
	return err_info(E_INTERNAL);
}

int err_code_of(const char *name, int otherwise)
{
	for (size_t i = 0; i < TABLE_N; i++)
		if (strcmp(table[i].name, name) == 0 || strcmp(table[i].openai_code, name) == 0)
			return table[i].code;
	return otherwise;
}

static void one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
}

/* The arguments may point into err->text, so the new text is made beside it and copied. */
int err_set(struct err *err, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX] = {0};
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	one_line(text);
	memcpy(err->text, text, sizeof(text));
	err->param[0] = 0;
	err->retry_ms = 0;
	err->code = code;
	return code;
}

/* "prefix: text" in place; the end of the old text gives way when both do not fit. */
static void prepend(struct err *err, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX] = {0};
	size_t n;

	vsnprintf(text, sizeof(text), fmt, ap);
	n = strlen(text);
	snprintf(text + n, sizeof(text) - n, ": %s", err_text(err));
	one_line(text);
	memcpy(err->text, text, sizeof(text));
}

int err_wrap(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	if (err->code == 0)
		err->code = code;
	va_start(ap, fmt);
	prepend(err, fmt, ap);
	va_end(ap);
	return err->code;
}

int err_set_param(struct err *err, int code, const char *param, const char *fmt, ...)
{
	char why[ERR_TEXT_MAX];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	err_set(err, code, "%s: %s", param, why);
	snprintf(err->param, sizeof(err->param), "%s", param);
	return code;
}

static int code_of_errno(int errnum)
{
	switch (errnum) {
	case EINVAL:
	case ENAMETOOLONG:
		return E_INVALID;
	case EACCES:
	case EPERM:
	case EROFS:
		return E_FORBIDDEN;
	case ENOENT:
	case ENOTDIR:
		return E_NOT_FOUND;
	case EEXIST:
		return E_EXISTS;
	case EADDRINUSE:
		return E_IN_USE;
	case ECONNREFUSED:
		return E_REFUSED;
	case ECONNRESET:
		return E_RESET;
	case ECONNABORTED:
	case EPIPE:
	case ENOTCONN:
	case ESHUTDOWN:
		return E_CLOSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return E_UNREACHABLE;
	case ETIMEDOUT:
		return E_TIMEOUT;
	case ECANCELED:
		return E_CANCELLED;
	case ENOMEM:
	case ENOBUFS:
		return E_MEMORY;
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case EDQUOT:
		return E_LIMIT;
	case EFBIG:
	case EMSGSIZE:
		return E_TOO_LARGE;
	case ENOSYS:
	case EOPNOTSUPP:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return E_UNSUPPORTED;
	default:
		return E_IO;
	}
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
	int code = code_of_errno(errnum);
	char why[128];
	va_list ap;

	if (!err)
		return code;
	err_set(err, code, "%s", strerror_r(errnum, why, sizeof(why)));
	va_start(ap, fmt);
	prepend(err, fmt, ap);
	va_end(ap);
	return code;
}

int err_copy(struct err *err, const struct err *from)
{
	if (err)
		*err = *from;
	return from->code;
}

void err_clear(struct err *err)
{
	err->code = 0;
	err->text[0] = 0;
	err->param[0] = 0;
	err->retry_ms = 0;
}

const char *err_text(const struct err *err)
{
	if (err->text[0])
		return err->text;
	return err->code == 0 ? "no error" : err_info(err->code)->text;
}

void bug(const char *file, int line, const char *fmt, ...)
{
	void *frames[64];
	va_list ap;

	fprintf(stderr, "BUG at %s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
	backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
	abort();
}
