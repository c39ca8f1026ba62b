/* Lists of models, embeddings and errors of Anthropic and Ollama servers. */
#include "dialect/anthropic.h"
#include "dialect/ollama.h"

#include "codec_fuzz.h"

static void check_models(void *mem, const struct upstream *u, struct bytes in)
{
	struct buf out = BUF_INIT(FUZZ_ROOM);
	struct model_entry *models, *back;
	struct err err = {0};
	size_t n, m;
	int rc = u->models(mem, in, &models, &n, &err);

	hold(rc == 0 || (err.code == rc && err.text[0]));
	if (rc == 0) {
		ollama_tags_write(&out, models, n);
		hold(ollama_upstream.models(mem, buf_view(&out), &back, &m, NULL) == 0);
		hold(m <= n);
		buf_reset(&out);
		ollama_ps_write(&out, models, n);
		hold(ollama_upstream.models(mem, buf_view(&out), &back, &m, NULL) == 0);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	void *mem = talloc_new(NULL);
	struct embedding_result result;
	struct err err = {0};

	check_models(mem, &anthropic_upstream, in);
	check_models(mem, &ollama_upstream, in);
	if (ollama_upstream.embed_answer(mem, in, &result, &err) == 0)
		hold(result.values && result.n > 0 && result.dims > 0);
	for (int status = 0; status < 600; status += 100 + (size > 0 ? data[0] % 32 : 0)) {
		hold(anthropic_upstream.error(in, status, &err) < 0 && err.text[0]);
		hold(ollama_upstream.error(in, status, &err) < 0 && err.text[0]);
	}
	talloc_free(mem);
	return 0;
}
