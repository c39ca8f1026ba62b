/* See parser_priv.h. llhttp finds the parts; `scan_lines` watches the raw bytes around them,
 * because llhttp still accepts folded lines and lone CR or LF in places; `finish_head` decides
 * framing from the headers alone and refuses every doubtful combination. */
#include "http/parser_priv.h"

#include <strings.h>

static struct http_parser *parser_of(llhttp_t *ll)
{
	return ll->data;
}

/* Ends the parse with a reason of ours. */
static int refuse(struct http_parser *p, int status, const char *why)
{
	p->status = status;
	p->why = why;
	llhttp_set_error_reason(&p->ll, why);
	return HPE_USER;
}

/* Every line ends with CRLF, none starts with white space (a fold), none has a NUL.
 * SPEC http: RFC 9112 sections 2.2 and 5.2. */
static int scan_lines(struct http_parser *p, const char *end)
{
	uint8_t prev = p->prev;

	for (const char *s = p->unscanned; s < end; s++) {
		uint8_t c = (uint8_t)*s;

		if ((c == '\n') != (prev == '\r'))
			return refuse(p, 400, "a line does not end with CR LF");
		if (prev == '\n' && (c == ' ' || c == '\t'))
			return refuse(p, 400, "a header line is folded");
		if (c == 0)
			return refuse(p, 400, "a NUL byte in a header");
		prev = c;
	}
	p->prev = prev;
	p->unscanned = end;
	return 0;
}

/* ---- the head ------------------------------------------------------------------------------ */

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = parser_of(ll);

	if (p->head->text.n + n > HTTP_TARGET_MAX)
		return refuse(p, 414, "the request target is too long");
	buf_put(&p->head->text, at, n);
	return 0;
}

static int on_url_complete(llhttp_t *ll)
{
	buf_u8(&parser_of(ll)->head->text, 0);
	return 0;
}

static int on_field(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = parser_of(ll);
	struct http_head *h = p->head;

	if (p->head_done) {
		for (; n > 0 && p->trailer_n < sizeof(p->trailer); n--)
			p->trailer[p->trailer_n++] = *at++;
		return 0;
	}
	if (h->n_fields == HTTP_FIELDS_MAX)
		return refuse(p, 431, "too many headers");
	if (h->fields[h->n_fields].name == 0)
		h->fields[h->n_fields].name = (uint32_t)h->text.n;
	buf_put(&h->text, at, n); /* an empty name leaves name == text.n */
	return 0;
}

/* Fields that say where a message ends or to whom it goes have no business behind the body.
 * SPEC http: RFC 9110 section 6.5.1. */
static bool may_be_trailer(const char *name, size_t n)
{
	static const char *const refused[] = {"content-length", "transfer-encoding", "host",
	    "connection", "keep-alive", "trailer", "te", "upgrade", "expect", "authorization",
	    "cookie", "set-cookie", "content-encoding", "content-type", "content-range"};

	if (n == 0)
		return false;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strlen(refused[i]) == n && strncasecmp(name, refused[i], n) == 0)
			return false;
	return true;
}

static int on_field_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);
	struct http_head *h = p->head;
	uint32_t name;

	if (p->head_done) {
		if (!may_be_trailer(p->trailer, p->trailer_n))
			return refuse(p, 400, "a framing header among the trailers");
		p->trailer_n = 0;
		return 0;
	}
	name = h->n_fields < HTTP_FIELDS_MAX ? h->fields[h->n_fields].name : 0;
	if (name == 0 || name == h->text.n)
		return refuse(p, 400, "a header without a name");
	buf_u8(&h->text, 0);
	h->fields[h->n_fields].value = (uint32_t)h->text.n;
	return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = parser_of(ll);

	if (!p->head_done)
		buf_put(&p->head->text, at, n);
	return 0;
}

static int on_value_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);
	struct http_head *h = p->head;
	struct buf *t = &h->text;

	if (p->head_done || t->failed)
		return 0;
	while (t->n > h->fields[h->n_fields].value &&
	       (t->p[t->n - 1] == ' ' || t->p[t->n - 1] == '\t'))
		t->n--;
	buf_u8(t, 0);
	h->n_fields++;
	if (h->n_fields < HTTP_FIELDS_MAX)
		h->fields[h->n_fields] = (struct http_field){0, 0};
	return 0;
}

/* Path and query of the target; the absolute form loses its scheme and authority.
 * SPEC http: RFC 9112 section 3.2. */
static void split_target(struct http_head *h)
{
	const char *target = http_head_target(h);
	const char *rest = strstr(target, "://");
	const char *query;
	size_t n, from;

	if (rest && target[0] != '/' && strcspn(target, "/?#") == (size_t)(rest + 1 - target))
		target = rest + 3 + strcspn(rest + 3, "/?#");
	n = strcspn(target, "?#");
	query = target[n] == '?' ? target + n + 1 : "";
	h->query = (uint32_t)(*query ? query - (const char *)h->text.p : 0);
	from = (size_t)(target - (const char *)h->text.p);
	h->path = (uint32_t)h->text.n;
	if (buf_reserve(&h->text, n + 2) != 0) {
		h->text.failed = true;
		return;
	}
	if (n > 0)
		buf_put(&h->text, h->text.p + from, n); /* reserved: does not move */
	else
		buf_u8(&h->text, '/');
	buf_u8(&h->text, 0);
}

/* SPEC http: RFC 9112 section 6.1-6.3. The body's length from the headers; HTTP_LENGTH_TO_CLOSE
 * when they say nothing. */
static int body_length(struct http_parser *p, int64_t *out)
{
	const struct http_head *h = p->head;
	size_t te = http_head_count(h, "transfer-encoding");
	size_t cl = http_head_count(h, "content-length");
	const char *digits = http_head_get(h, "content-length");
	int64_t v = 0;

	*out = HTTP_LENGTH_TO_CLOSE;
	if (te > 0) {
		*out = HTTP_LENGTH_CHUNKED;
		if (cl > 0)
			return refuse(p, 400, "both Transfer-Encoding and Content-Length");
		if (h->minor == 0)
			return refuse(p, 400, "Transfer-Encoding in HTTP/1.0");
		if (te > 1 || strcasecmp(http_head_get(h, "transfer-encoding"), "chunked") != 0)
			return refuse(p, 400, "a Transfer-Encoding other than chunked");
		return 0;
	}
	if (cl == 0)
		return 0;
	if (cl > 1)
		return refuse(p, 400, "two Content-Length headers");
	for (const char *s = digits; *s; s++) {
		if (*s < '0' || *s > '9' || v > (INT64_MAX - 9) / 10)
			return refuse(p, 400, "the Content-Length is no length");
		v = v * 10 + (*s - '0');
	}
	if (!*digits)
		return refuse(p, 400, "the Content-Length is empty");
	*out = v;
	return 0;
}

/* SPEC http: RFC 9112 section 3.2: one Host, in HTTP/1.1 always. */
static int check_host(struct http_parser *p)
{
	const struct http_head *h = p->head;
	size_t n = http_head_count(h, "host");
	const char *host = http_head_get(h, "host");

	if (n > 1)
		return refuse(p, 400, "two Host headers");
	if (n == 0)
		return h->minor == 0 ? 0 : refuse(p, 400, "no Host header");
	if (host[strcspn(host, " \t,/?#@\\\"<>{}|^`")] != 0)
		return refuse(p, 400, "the Host header is no host");
	return 0;
}

static int finish_request(struct http_parser *p)
{
	struct http_head *h = p->head;
	const char *expect;
	int rc = check_host(p);

	if (rc != 0)
		return rc;
	h->method = llhttp_method_name((llhttp_method_t)p->ll.method);
	split_target(h); /* may move the text */
	rc = body_length(p, &h->content_length);
	if (rc != 0)
		return rc;
	if (h->content_length == HTTP_LENGTH_TO_CLOSE)
		h->content_length = 0;
	expect = http_head_get(h, "expect");
	if (expect && h->minor == 1) {
		if (strcasecmp(expect, "100-continue") != 0)
			return refuse(p, 417, "an expectation other than 100-continue");
		h->expect_continue = true;
	}
	return 0;
}

static int finish_response(struct http_parser *p)
{
	struct http_head *h = p->head;
	int rc = body_length(p, &h->content_length);

	if (rc != 0)
		return rc;
	h->status = p->ll.status_code;
	if (h->status < 100)
		return refuse(p, 400, "a status below 100");
	if (p->no_body || h->status < 200 || h->status == 204 || h->status == 304) {
		p->ll.flags |= F_SKIPBODY;
		h->content_length = 0;
	}
	if (h->content_length == HTTP_LENGTH_TO_CLOSE)
		h->keep_alive = false;
	return 0;
}

static int on_headers_complete(llhttp_t *ll)
{
	struct http_parser *p = parser_of(ll);
	struct http_head *h = p->head;
	int rc;

	if (h->text.failed)
		return refuse(p, 431, "the head is too large");
	if (ll->http_major != 1 || ll->http_minor > 1)
		return refuse(p, 505, "an HTTP version other than 1.0 and 1.1");
	h->minor = ll->http_minor;
	h->keep_alive = h->minor == 1 ? !http_head_has_token(h, "connection", "close")
				      : http_head_has_token(h, "connection", "keep-alive");
	rc = ll->type == HTTP_REQUEST ? finish_request(p) : finish_response(p);
	if (rc != 0)
		return rc;
	if (h->text.failed)
		return refuse(p, 431, "the head is too large");
	ll->upgrade = 0; /* upgrades are answered by handlers, not by the parser */
	p->head_done = true;
	return HPE_PAUSED;
}

/* ---- the body ------------------------------------------------------------------------------ */

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
	struct http_parser *p = parser_of(ll);
	int rc;

	p->framing_bytes += (uint64_t)(at - p->unscanned);
	rc = scan_lines(p, at);
	if (rc != 0)
		return rc;
	p->body_bytes += n;
	p->span = bytes_of(at, n);
	p->unscanned = at + n;
	p->prev = 0;
	return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *ll)
{
	parser_of(ll)->done = true;
	return HPE_PAUSED;
}

/* ---- steps --------------------------------------------------------------------------------- */

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void parser_init(struct http_parser *p, struct http_head *head, llhttp_type_t type)
{
	memset(p, 0, sizeof(*p));
	llhttp_init(&p->ll, type, &settings);
	p->ll.data = p;
	p->head = head;
	http_head_reset(head);
	buf_u8(&head->text, 0); /* offset 0 is the empty string */
	head->target = type == HTTP_REQUEST ? 1 : 0;
	head->fields[0] = (struct http_field){0, 0};
}

void http_parser_request(struct http_parser *p, struct http_head *head)
{
	parser_init(p, head, HTTP_REQUEST);
}

void http_parser_response(struct http_parser *p, struct http_head *head, bool to_head_request)
{
	parser_init(p, head, HTTP_RESPONSE);
	p->no_body = to_head_request;
}

static int failed(struct http_parser *p, llhttp_errno_t rc, struct err *err)
{
	const char *why = p->why;
	bool large;

	if (p->status == 0)
		p->status = 400;
	if (!why)
		why = llhttp_get_error_reason(&p->ll);
	if (!why || !*why)
		why = llhttp_errno_name(rc);
	large = p->status == 413 || p->status == 414 || p->status == 431;
	return err_set(err, large ? E_TOO_LARGE : E_PROTOCOL, "%s HTTP %s: %s",
	    large ? "oversized" : "malformed", p->ll.type == HTTP_REQUEST ? "request" : "response",
	    why);
}

/* Limits on what a step used: `n` raw bytes, of which p->span were data. */
static int account(struct http_parser *p, bool was_head, size_t n)
{
	if (was_head) {
		p->head_bytes += n;
		if (p->head_bytes > HTTP_HEAD_MAX)
			return refuse(p, 431, "the head is too large");
		return 0;
	}
	if (p->framing_bytes > HTTP_FRAMING_SLACK + HTTP_FRAMING_RATIO * p->body_bytes)
		return refuse(p, 413, "more chunk framing than data");
	return 0;
}

int http_parser_step(
    struct http_parser *p, struct bytes in, size_t *used, struct bytes *body, struct err *err)
{
	const char *start = in.n ? (const char *)in.p : "";
	const char *end = start + in.n;
	bool was_head = !p->head_done;
	llhttp_errno_t rc;

	*used = 0;
	*body = bytes_of(NULL, 0);
	if (p->done)
		return HTTP_PARSE_DONE;
	p->unscanned = start;
	p->span = bytes_of(NULL, 0);
	rc = llhttp_execute(&p->ll, start, in.n);
	if (rc != HPE_OK && rc != HPE_PAUSED)
		return failed(p, rc, err);
	if (rc == HPE_PAUSED) {
		end = llhttp_get_error_pos(&p->ll);
		llhttp_resume(&p->ll);
	}
	*used = (size_t)(end - start);
	if (!was_head)
		p->framing_bytes += (uint64_t)(end - p->unscanned);
	if (scan_lines(p, end) != 0 || account(p, was_head, *used) != 0)
		return failed(p, HPE_USER, err);
	*body = p->span;
	if (was_head && p->head_done)
		return HTTP_PARSE_HEAD;
	if (p->done && p->span.n == 0)
		return HTTP_PARSE_DONE;
	return p->span.n > 0 ? HTTP_PARSE_BODY : HTTP_PARSE_MORE;
}

int http_parser_end(struct http_parser *p, struct err *err)
{
	if (p->done)
		return 0;
	if (p->head_done && p->head->content_length == HTTP_LENGTH_TO_CLOSE) {
		p->done = true;
		return 0;
	}
	return err_set(err, E_CLOSED, "the connection ended %s",
	    p->head_done        ? "within a body"
	    : p->head_bytes > 0 ? "within a message head"
				: "before a message");
}
