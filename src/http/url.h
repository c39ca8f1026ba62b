/* http and https URLs, as far as a client needs them. SPEC url: RFC 3986. */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include "base/bytes.h"

#define URL_HOST_MAX 256
#define URL_PATH_MAX 512

struct http_url {
	bool tls;
	uint16_t port;                    /* the scheme's default when the text has none */
	char host[URL_HOST_MAX];          /* a name or an IP address; IPv6 without its brackets */
	char authority[URL_HOST_MAX + 8]; /* as the Host header has it */
	char path[URL_PATH_MAX];          /* "" or "/…" without a slash at its end */
};

/* E_INVALID, saying what is wrong, for other schemes, user names or passwords (keys do not belong
 * there), queries, fragments, and characters that do not belong into a URL. */
int http_url_parse(const char *text, struct http_url *out, struct err *err) WARN_UNUSED;

#endif
