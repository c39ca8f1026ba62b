/* Parsing the messages of an input in pieces: what the fuzz targets of requests and responses
 * share. The property: how the bytes are cut makes no difference to what is understood. */
#ifndef FUZZ_HTTP_SPLIT_H
#define FUZZ_HTTP_SPLIT_H

#include "http/parser_priv.h"

#include <stdlib.h>

#define SPLIT_MESSAGES_MAX 64

struct understood {
	struct buf text; /* heads and bodies, in order */
	int result;      /* 0 in between, or the parser's error */
	size_t messages;
};

static void note_head(struct buf *out, const struct http_head *h)
{
	buf_printf(out, "%s %d 1.%d %lld %d %d\n", h->method, h->status, h->minor,
	    (long long)h->content_length, h->keep_alive, h->expect_continue);
	buf_printf(out, "%s|%s|%s\n", http_head_target(h), http_head_path(h), http_head_query(h));
	for (size_t i = 0; i < h->n_fields; i++)
		buf_printf(out, "%s=%s\n", http_field_name(h, i), http_field_value(h, i));
}

static void understand(struct bytes in, size_t step, bool response, struct understood *u)
{
	struct http_parser p;
	struct http_head h;
	struct bytes body;
	size_t at = 0, end = 0, used;
	int rc = HTTP_PARSE_DONE;

	*u = (struct understood){.text = BUF_INIT(64u << 20)};
	http_head_init(&h);
	for (;;) {
		if (rc == HTTP_PARSE_DONE) {
			if (at == in.n || u->messages == SPLIT_MESSAGES_MAX)
				break;
			u->messages++;
			if (response)
				http_parser_response(&p, &h, false);
			else
				http_parser_request(&p, &h);
		}
		if (rc == HTTP_PARSE_MORE && at == end && end == in.n)
			break;
		if (at == end)
			end = in.n - at < step ? in.n : at + step;
		rc = http_parser_step(&p, bytes_of(in.p + at, end - at), &used, &body, NULL);
		if (used > end - at || rc > HTTP_PARSE_DONE)
			abort();
		if (rc == HTTP_PARSE_HEAD)
			note_head(&u->text, &h);
		buf_bytes(&u->text, body);
		at += used;
		if (rc < 0) {
			u->result = rc;
			break;
		}
	}
	http_head_free(&h);
}

/* Whole, in thirds, and byte by byte. */
static void check_splits(struct bytes in, bool response)
{
	const size_t steps[] = {in.n + 1, in.n / 3 + 1, 1};
	struct understood first, other;

	understand(in, steps[0], response, &first);
	for (size_t i = 1; i < sizeof(steps) / sizeof(steps[0]); i++) {
		understand(in, steps[i], response, &other);
		/* A limit may strike earlier in smaller pieces; before that all is equal. */
		if (first.result == 0 && other.result == 0 &&
		    (first.messages != other.messages ||
			!bytes_equal(buf_view(&first.text), buf_view(&other.text))))
			abort();
		if ((first.result == E_PROTOCOL) != (other.result == E_PROTOCOL) &&
		    first.result != E_TOO_LARGE && other.result != E_TOO_LARGE)
			abort();
		buf_free(&other.text);
	}
	buf_free(&first.text);
}

#endif
