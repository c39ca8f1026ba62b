/* Requests of the Anthropic dialect, and those for counting. */
#include "dialect/anthropic.h"

#include "codec_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *mem = talloc_new(NULL);
	struct inference_request *req, *counted;
	struct err err = {0};
	int rc = anthropic_messages.parse(mem, bytes_of(data, size), &req, &err);

	if (parsed(rc, &err)) {
		hold(anthropic_count_tokens.parse(mem, bytes_of(data, size), &counted, NULL) == 0);
		check_rounds(&anthropic_messages, &anthropic_upstream, mem, req);
	}
	talloc_free(mem);
	return 0;
}
