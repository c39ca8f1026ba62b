/* Hostile GGUF files: parse, load as a model, decode a few tokens. Seeds: tests/engine/tiny_write.
 */
#include "engine/engine.h"
#include "engine/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct bytes file)
{
	struct gguf *g;
	if (gguf_open_memory(file, &g, NULL))
		return;
	uint64_t sum = 0;
	for (size_t i = 0; i < gguf_tensor_count(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		INVARIANT(t->data.n > 0 && t->name.n > 0);
		sum += t->data.p[0] + t->data.p[t->data.n - 1];
	}
	struct gguf_array a;
	if (gguf_get_array(g, "tokenizer.ggml.tokens", &a) && a.type == GGUF_STRING)
		for (uint64_t i = 0; i < a.n; i++)
			sum += a.strings[i].n ? a.strings[i].p[a.strings[i].n - 1] : 0;
	INVARIANT(sum < UINT64_MAX);
	gguf_close(g);
}

static void decode(struct bytes file)
{
	struct engine_options opts = {.threads = 1};
	struct engine_model *m;
	struct engine_context *c;
	if (engine_model_load_memory(file, &opts, &m, NULL))
		return;
	if (engine_context_new(m, 16, &c, NULL) == 0) {
		float *logits;
		int32_t tokens[5] = {0};
		tokens[2] = (int32_t)engine_model_n_vocab(m) - 1;
		if (engine_decode(c, tokens, 5, &logits, NULL) == 0 &&
		    engine_decode(c, tokens, 1, &logits, NULL) == 0)
			INVARIANT(engine_context_pos(c) == 6);
		engine_context_free(c);
	}
	engine_model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The engine wants aligned memory; an exact copy shows reads past the end. */
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	walk(bytes_of(copy, size));
	decode(bytes_of(copy, size));
	free(copy);
	return 0;
}
