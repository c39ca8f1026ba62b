/* Requests of the Responses form: what the answer repeats of an accepted one is JSON, and the
 * request itself can be passed on. */
#include "dialect/openai.h"
#include "dialect/responses.h"

#include "codec_fuzz.h"

static const struct inference_event script[] = {
    {.kind = INFERENCE_STARTED},
    {.kind = INFERENCE_REASONING, .text = {(const uint8_t *)"r", 1}},
    {.kind = INFERENCE_TEXT, .text = {(const uint8_t *)"t", 1}},
    {.kind = INFERENCE_CHOICE_END},
    {.kind = INFERENCE_FINISHED, .usage = {1, 1, 1, 1}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dialect *const forms[] = {&openai_responses};
	void *mem = talloc_new(NULL);
	struct inference_request *req;
	struct err err = {0};
	struct order o;
	int rc = openai_responses.parse(mem, bytes_of(data, size), &req, &err);

	if (parsed(rc, &err)) {
		order_begin(&o, mem, forms, 1, req);
		for (size_t i = 0; i < sizeof script / sizeof script[0]; i++)
			hold(take_in_order(&o, &script[i], NULL) == 0);
		order_end(&o);
	}
	talloc_free(mem);
	return 0;
}
