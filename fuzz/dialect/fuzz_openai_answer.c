/* What providers answer: completions, chunks, errors and model lists, whatever the bytes are. */
#include "dialect/openai.h"

#include "base/encode.h"

#include <stdlib.h>
#include <talloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_piece(int rc, const struct openai_piece *p, const struct err *err)
{
	if (rc != 0 && (rc != err->code || p->text.p))
		abort();
	if (rc == 0 && utf8_valid_prefix(p->text) != p->text.n)
		abort();
}

static void check_models(void *mem, struct bytes in)
{
	struct buf out = BUF_INIT(64u << 20);
	struct model_entry *models, *back;
	size_t n, m;

	if (openai_models_parse(mem, in, &models, &n, NULL) == 0) {
		openai_models_write(&out, models, n);
		if (out.failed || openai_models_parse(mem, buf_view(&out), &back, &m, NULL) != 0)
			abort();
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	void *mem = talloc_new(NULL);
	struct openai_piece p;
	struct err err = {0};
	int rc;

	if (size > 65536)
		goto out;
	rc = openai_chunk_parse(mem, in, &p, &err);
	check_piece(rc, &p, &err);
	rc = openai_completion_parse(mem, in, &p, &err);
	check_piece(rc, &p, &err);
	if (openai_error_parse(in, size > 0 ? data[0] * 4 : 0, &err) >= 0 || !err.text[0])
		abort();
	check_models(mem, in);
out:
	talloc_free(mem);
	return 0;
}
