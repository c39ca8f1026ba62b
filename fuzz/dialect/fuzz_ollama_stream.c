/* Lines of Ollama servers, read into events and written again in every form. */
#include "dialect/ollama.h"
#include "dialect/responses.h"

#include "codec_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dialect *const forms[] = {
	    &ollama_chat, &ollama_generate, &openai_responses};
	struct inference_request req = {.choices = 1};
	void *mem = talloc_new(NULL);
	struct upstream_reader *r;
	struct err err = {0};
	struct order o;
	int rc = 0;

	order_begin(&o, mem, forms, sizeof forms / sizeof forms[0], &req);
	hold(upstream_reader_new(mem, &ollama_upstream, &req, take_in_order, &o, &r, NULL) == 0);
	while (rc == 0 && size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) : size;

		rc = ollama_upstream.take(r, "", bytes_of(data, n), &err);
		n += end ? 1 : 0;
		data += n;
		size -= n;
	}
	if (rc == 0)
		rc = ollama_upstream.end(r, &err);
	hold((rc == 0) == o.finished && (rc == 0 || err.code == rc));
	order_end(&o);
	talloc_free(mem);
	return 0;
}
