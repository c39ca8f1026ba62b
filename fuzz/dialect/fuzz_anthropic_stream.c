/* Streams of Anthropic servers, read into events and written again in every form. */
#include "dialect/anthropic.h"
#include "dialect/openai.h"
#include "http/sse.h"

#include "codec_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dialect *const forms[] = {&anthropic_messages, &openai_chat};
	struct inference_request req = {.choices = 1};
	struct bytes in = bytes_of(data, size);
	void *mem = talloc_new(NULL);
	struct upstream_reader *r;
	struct sse_parser p;
	struct sse_event e;
	struct err err = {0};
	struct order o;
	int rc = 0;

	order_begin(&o, mem, forms, sizeof forms / sizeof forms[0], &req);
	hold(upstream_reader_new(mem, &anthropic_upstream, &req, take_in_order, &o, &r, NULL) == 0);
	sse_parser_init(&p, 1 << 20);
	while (rc == 0 && sse_parser_next(&p, &in, &e, &err) == 1)
		rc = anthropic_upstream.take(r, e.event, e.data, &err);
	if (rc == 0)
		rc = anthropic_upstream.end(r, &err);
	hold((rc == 0) == o.finished && (rc == 0 || err.code == rc));
	sse_parser_free(&p);
	order_end(&o);
	talloc_free(mem);
	return 0;
}
