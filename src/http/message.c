/* Heads of messages and helpers for their parts. Nothing here decides about framing: parser.c
 * does. */
#include "http/message.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

void http_head_init(struct http_head *h)
{
	memset(h, 0, sizeof(*h));
	/* Every byte of the head, the path once more, and a NUL for each string. */
	h->text = BUF_INIT(HTTP_HEAD_MAX + HTTP_TARGET_MAX + 2 * HTTP_FIELDS_MAX + 16);
}

void http_head_reset(struct http_head *h)
{
	struct buf text = h->text;

	buf_reset(&text);
	h->method = "";
	h->status = h->minor = 0;
	h->content_length = 0;
	h->keep_alive = h->expect_continue = false;
	h->target = h->path = h->query = 0;
	h->n_fields = 0;
	h->text = text;
}

void http_head_free(struct http_head *h)
{
	buf_free(&h->text);
	http_head_reset(h);
}

static const char *text_at(const struct http_head *h, uint32_t offset)
{
	return h->text.p ? (const char *)h->text.p + offset : "";
}

const char *http_head_target(const struct http_head *h)
{
	return text_at(h, h->target);
}

const char *http_head_path(const struct http_head *h)
{
	return text_at(h, h->path);
}

const char *http_head_query(const struct http_head *h)
{
	return text_at(h, h->query);
}

const char *http_field_name(const struct http_head *h, size_t i)
{
	return text_at(h, h->fields[i].name);
}

const char *http_field_value(const struct http_head *h, size_t i)
{
	return text_at(h, h->fields[i].value);
}

const char *http_head_get(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (strcasecmp(http_field_name(h, i), name) == 0)
			return http_field_value(h, i);
	return NULL;
}

size_t http_head_count(const struct http_head *h, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		n += strcasecmp(http_field_name(h, i), name) == 0;
	return n;
}

/* Whether a comma-separated list holds `token`. */
static bool list_has(const char *list, const char *token)
{
	size_t n = strlen(token);

	for (const char *p = list; *p;) {
		size_t len;

		p += strspn(p, ", \t");
		len = strcspn(p, ",");
		while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
			len--;
		if (len == n && strncasecmp(p, token, n) == 0)
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

bool http_head_has_token(const struct http_head *h, const char *name, const char *token)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (strcasecmp(http_field_name(h, i), name) == 0 &&
		    list_has(http_field_value(h, i), token))
			return true;
	return false;
}

bool http_head_is_type(const struct http_head *h, const char *type)
{
	const char *value = http_head_get(h, "content-type");
	size_t n;

	if (!value)
		return false;
	n = strcspn(value, "; \t");
	return n == strlen(type) && strncasecmp(value, type, n) == 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_percent_decode(const char *in, char *out, size_t out_cap)
{
	size_t n = 0;

	for (; *in; in++) {
		char c = *in;

		if (c == '%') {
			int hi = hex_digit(in[1]), lo = hi < 0 ? -1 : hex_digit(in[2]);

			if (lo < 0 || hi + lo == 0)
				return E_SYNTAX;
			c = (char)(hi << 4 | lo);
			in += 2;
		}
		if (n + 1 >= out_cap)
			return E_TOO_LARGE;
		out[n++] = c;
	}
	if (out_cap == 0)
		return E_TOO_LARGE;
	out[n] = 0;
	return 0;
}

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} table[] = {
	    {100, "Continue"},
	    {101, "Switching Protocols"},
	    {200, "OK"},
	    {201, "Created"},
	    {202, "Accepted"},
	    {204, "No Content"},
	    {206, "Partial Content"},
	    {301, "Moved Permanently"},
	    {302, "Found"},
	    {303, "See Other"},
	    {304, "Not Modified"},
	    {307, "Temporary Redirect"},
	    {308, "Permanent Redirect"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {402, "Payment Required"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {408, "Request Timeout"},
	    {409, "Conflict"},
	    {411, "Length Required"},
	    {413, "Content Too Large"},
	    {414, "URI Too Long"},
	    {415, "Unsupported Media Type"},
	    {416, "Range Not Satisfiable"},
	    {417, "Expectation Failed"},
	    {421, "Misdirected Request"},
	    {422, "Unprocessable Content"},
	    {426, "Upgrade Required"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {499, "Client Closed Request"},
	    {500, "Internal Server Error"},
	    {501, "Not Implemented"},
	    {502, "Bad Gateway"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	    {508, "Loop Detected"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].status == status)
			return table[i].reason;
	return "Unknown";
}

void http_date(int64_t wall_ms, char out[HTTP_DATE_MAX])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (wall_ms < 0 || !gmtime_r(&s, &tm) || tm.tm_year > 9999 - 1900) {
		s = 0;
		gmtime_r(&s, &tm);
	}
	snprintf(out, HTTP_DATE_MAX, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
	    (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
	    (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* SPEC http: RFC 9110 section 5.6.2, tchar. */
static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
			continue;
		if (!strchr("!#$%&'*+-.^_`|~", c))
			return false;
	}
	return true;
}

static bool is_field_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

int http_put_header(struct buf *out, const char *name, const char *value, struct err *err)
{
	if (!is_token(name))
		return err_set(err, E_INVALID, "\"%.64s\" is no header name", name);
	if (!is_field_value(value))
		return err_set(err, E_INVALID, "the value of %.64s has control characters", name);
	buf_str(out, name);
	buf_put(out, ": ", 2);
	buf_str(out, value);
	buf_put(out, "\r\n", 2);
	return 0;
}
