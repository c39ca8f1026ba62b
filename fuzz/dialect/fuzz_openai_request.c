/* Requests of every kind: an accepted one, written and read again, is the same. */
#include "dialect/openai.h"

#include <stdlib.h>
#include <talloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(int rc, const struct err *err)
{
	if (err->code != rc || err->text[0] == 0 || err_info(rc)->http_status != 400)
		abort();
}

static void check_again(void *mem, const struct dialect *d, const struct inference_request *req)
{
	struct buf once = BUF_INIT(64u << 20), twice = BUF_INIT(64u << 20);
	struct inference_request *back;

	if (openai_request_write(req, &once, NULL) != 0 ||
	    d->parse(mem, buf_view(&once), &back, NULL) != 0 ||
	    openai_request_write(back, &twice, NULL) != 0 ||
	    !bytes_equal(buf_view(&once), buf_view(&twice)))
		abort();
	buf_free(&once);
	buf_free(&twice);
}

static void check_inference(void *mem, const struct dialect *d, struct bytes in)
{
	struct inference_request *req;
	struct err err = {0};
	int rc = d->parse(mem, in, &req, &err);

	if (rc == 0)
		check_again(mem, d, req);
	else
		check_error(rc, &err);
}

static void check_embedding(void *mem, struct bytes in)
{
	struct embedding_request *req, *back;
	struct buf out = BUF_INIT(64u << 20);
	struct err err = {0};
	const char *path;
	int rc = openai_embeddings.parse(mem, in, &req, &err);

	if (rc != 0) {
		check_error(rc, &err);
		return;
	}
	if (openai_upstream.embed_request(req, &path, &out, NULL) != 0 ||
	    openai_embeddings.parse(mem, buf_view(&out), &back, NULL) != 0 ||
	    back->n_inputs != req->n_inputs || back->dimensions != req->dimensions)
		abort();
	for (size_t i = 0; i < req->n_inputs; i++)
		if (!bytes_equal(req->inputs[i], back->inputs[i]))
			abort();
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	void *mem = talloc_new(NULL);

	check_inference(mem, &openai_chat, in);
	check_inference(mem, &openai_completions, in);
	check_embedding(mem, in);
	talloc_free(mem);
	return 0;
}
