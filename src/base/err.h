/* Errors: one table gives each code its name, HTTP status, OpenAI error type, retry advice and
 * whose fault it is. The gateway, the RPC, the retry logic and reputation all read this table.
 *
 * A function that can fail returns 0 or a negative E_ code and takes a caller-owned
 * `struct err *` as its last parameter (NULL when the caller does not want the text). The message
 * is written where the failure is found and wrapped on the way up. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#define WARN_UNUSED       __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN          __attribute__((noreturn))

/* Whose fault an error is.
 * SELF: the caller asked for something wrong. PEER: the other side broke a rule (it is scored).
 * LOCAL: this machine failed (disk, memory, network). BUG: we did; the process may abort. */
enum err_blame {
	ERR_SELF,
	ERR_PEER,
	ERR_LOCAL,
	ERR_BUG
};

/* Whether trying the same thing again may help. ELSEWHERE: only with another target. */
enum err_retry {
	RETRY_NEVER,
	RETRY_ELSEWHERE,
	RETRY_LATER
};

/* X(name, value, HTTP status, OpenAI error type, OpenAI error code, retry, blame, text) */
#define ERR_TABLE(X)                                                                               \
	X(E_INVALID, 1, 400, "invalid_request_error", "invalid_value", RETRY_NEVER, ERR_SELF,      \
	    "invalid argument")                                                                    \
	X(E_SYNTAX, 2, 400, "invalid_request_error", "invalid_json", RETRY_NEVER, ERR_SELF,        \
	    "syntax error")                                                                        \
	X(E_TOO_LARGE, 3, 413, "invalid_request_error", "request_too_large", RETRY_NEVER,          \
	    ERR_SELF, "too large")                                                                 \
	X(E_UNAUTHORIZED, 4, 401, "authentication_error", "invalid_api_key", RETRY_NEVER,          \
	    ERR_SELF, "not authenticated")                                                         \
	X(E_FORBIDDEN, 5, 403, "permission_error", "forbidden", RETRY_ELSEWHERE, ERR_SELF,         \
	    "not allowed")                                                                         \
	X(E_NOT_FOUND, 6, 404, "invalid_request_error", "not_found", RETRY_ELSEWHERE, ERR_SELF,    \
	    "not found")                                                                           \
	X(E_MODEL_NOT_FOUND, 7, 404, "invalid_request_error", "model_not_found", RETRY_ELSEWHERE,  \
	    ERR_SELF, "model not found")                                                           \
	X(E_METHOD, 8, 405, "invalid_request_error", "method_not_allowed", RETRY_NEVER, ERR_SELF,  \
	    "method not allowed")                                                                  \
	X(E_CONTEXT_LENGTH, 9, 400, "invalid_request_error", "context_length_exceeded",            \
	    RETRY_NEVER, ERR_SELF, "prompt longer than the context")                               \
	X(E_BUSY, 10, 429, "rate_limit_error", "rate_limit_exceeded", RETRY_LATER, ERR_LOCAL,      \
	    "busy")                                                                                \
	X(E_UNAVAILABLE, 11, 503, "server_error", "unavailable", RETRY_LATER, ERR_LOCAL,           \
	    "unavailable")                                                                         \
	X(E_TIMEOUT, 12, 504, "server_error", "timeout", RETRY_ELSEWHERE, ERR_LOCAL, "timed out")  \
	X(E_CANCELLED, 13, 499, "server_error", "cancelled", RETRY_NEVER, ERR_SELF, "cancelled")   \
	X(E_CLOSED, 14, 502, "server_error", "connection_closed", RETRY_ELSEWHERE, ERR_PEER,       \
	    "closed by the other side")                                                            \
	X(E_RESET, 15, 502, "server_error", "connection_reset", RETRY_ELSEWHERE, ERR_PEER,         \
	    "reset by the other side")                                                             \
	X(E_PROTOCOL, 16, 502, "server_error", "protocol_error", RETRY_ELSEWHERE, ERR_PEER,        \
	    "protocol violation")                                                                  \
	X(E_BAD_SIGNATURE, 17, 502, "server_error", "bad_signature", RETRY_ELSEWHERE, ERR_PEER,    \
	    "bad signature")                                                                       \
	X(E_WRONG_PEER, 18, 502, "server_error", "wrong_peer", RETRY_ELSEWHERE, ERR_PEER,          \
	    "another peer answered")                                                               \
	X(E_UPSTREAM, 19, 502, "server_error", "upstream_error", RETRY_ELSEWHERE, ERR_PEER,        \
	    "the provider failed")                                                                 \
	X(E_REFUSED, 20, 502, "server_error", "connection_refused", RETRY_ELSEWHERE, ERR_LOCAL,    \
	    "connection refused")                                                                  \
	X(E_UNREACHABLE, 21, 502, "server_error", "unreachable", RETRY_ELSEWHERE, ERR_LOCAL,       \
	    "unreachable")                                                                         \
	X(E_IN_USE, 22, 500, "server_error", "address_in_use", RETRY_NEVER, ERR_LOCAL,             \
	    "already in use")                                                                      \
	X(E_IO, 23, 500, "server_error", "io_error", RETRY_NEVER, ERR_LOCAL, "input/output error") \
	X(E_MEMORY, 24, 503, "server_error", "out_of_memory", RETRY_LATER, ERR_LOCAL,              \
	    "out of memory")                                                                       \
	X(E_LIMIT, 25, 503, "server_error", "limit_reached", RETRY_LATER, ERR_LOCAL,               \
	    "a limit is reached")                                                                  \
	X(E_UNSUPPORTED, 26, 400, "invalid_request_error", "unsupported", RETRY_ELSEWHERE,         \
	    ERR_SELF, "not supported")                                                             \
	X(E_FORMAT, 27, 500, "server_error", "bad_file", RETRY_NEVER, ERR_LOCAL, "malformed file") \
	X(E_EXISTS, 28, 409, "invalid_request_error", "already_exists", RETRY_NEVER, ERR_SELF,     \
	    "already exists")                                                                      \
	X(E_LOOP, 29, 508, "server_error", "hop_limit", RETRY_NEVER, ERR_SELF, "too many hops")    \
	X(E_INTERNAL, 30, 500, "server_error", "internal_error", RETRY_NEVER, ERR_BUG,             \
	    "internal error")

enum err_code {
#define X(name, value, ...) name = -(value),
	ERR_TABLE(X)
#undef X
};

#define ERR_TEXT_MAX  320
#define ERR_PARAM_MAX 64

struct err {
	int code;                  /* 0 or an E_ code */
	char text[ERR_TEXT_MAX];   /* one line, no newline; safe to show to a user */
	char param[ERR_PARAM_MAX]; /* what it is about: "messages[0].role"; "" when nothing */
	unsigned retry_ms;         /* when trying again may help; 0: nobody knows */
};

/* What the table says about a code. Unknown codes read as E_INTERNAL. Never NULL. */
struct err_info {
	int code;
	const char *name; /* "E_INVALID" */
	int http_status;
	const char *openai_type;
	const char *openai_code;
	enum err_retry retry;
	enum err_blame blame;
	const char *text;
};
const struct err_info *err_info(int code);

/* The code whose name ("E_INVALID") or OpenAI code ("invalid_value") this is, or `otherwise`. */
int err_code_of(const char *name, int otherwise);

/* Sets code and text; returns code, so that `return err_set(err, E_INVALID, "…")` reads well.
 * `err` may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set, about one parameter of a request: the text becomes "param: why", and err->param is
 * the name alone, for answers that give it a field of its own. Wrapping keeps it. */
int err_set_param(struct err *err, int code, const char *param, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Puts "prefix: " before the present text; returns err->code (or `code` when err is NULL). */
int err_wrap(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* E_IO, E_IN_USE, E_REFUSED … from an errno value, with "what: strerror". */
int err_errno(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The whole of `from`, its parameter too; returns its code. `err` may be NULL. */
int err_copy(struct err *err, const struct err *from);

void err_clear(struct err *err);

/* The text of `err`, or the table's text for its code when it is empty. */
const char *err_text(const struct err *err);

/* A broken invariant of ours: prints file, line and text to stderr with a stack trace and aborts.
 */
void bug(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4) NORETURN;
#define BUG(...)        bug(__FILE__, __LINE__, __VA_ARGS__)
#define INVARIANT(cond) ((cond) ? (void)0 : bug(__FILE__, __LINE__, "broken invariant: %s", #cond))

#endif
