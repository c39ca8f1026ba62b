/* What providers answer: chunks, whole answers, embeddings, errors and model lists, whatever the
 * bytes are. The first byte says what is asked for, the rest are server-sent data, one event a
 * line. */
#include "dialect/openai.h"

#include "base/encode.h"

#include <stdlib.h>
#include <talloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct hearing {
	struct inference_result *result;
	bool started, finished;
};

/* What every consumer relies on. */
static int hear(void *arg, const struct inference_event *e, struct err *err)
{
	struct hearing *h = arg;

	if (h->finished || (e->kind != INFERENCE_STARTED) != h->started)
		abort();
	h->started = true;
	h->finished = e->kind == INFERENCE_FINISHED;
	if (utf8_valid_prefix(e->text) != e->text.n)
		abort();
	/* Nothing but a lack of room is wrong with what the reader passes on. */
	if (inference_collect(h->result, e, err) != 0 && err->code != E_TOO_LARGE)
		abort();
	return err->code;
}

static void check_written(const struct inference_request *req, const struct inference_result *r)
{
	const struct dialect *d = req->kind == INFERENCE_CHAT ? &openai_chat : &openai_completions;
	struct dialect_answer a = {.model = "m", .req = req};
	struct buf out = BUF_INIT(16u << 20);
	struct dialect_writer *w;
	struct upstream_reader *reader;
	struct hearing h = {.result = inference_result_new(NULL, req->choices, 1u << 20)};
	struct err err = {0};

	if (dialect_writer_new(h.result, d, &a, &w, &err) != 0 ||
	    upstream_reader_new(h.result, &openai_upstream, req, hear, &h, &reader, &err) != 0)
		abort();
	d->whole(w, r, &out);
	if (openai_upstream.take(reader, "", buf_view(&out), &err) != 0 && err.code != E_TOO_LARGE)
		abort();
	talloc_free(h.result);
	buf_free(&out);
}

static void check_answer(struct bytes in)
{
	struct inference_request req = {
	    .kind = in.n && in.p[0] % 8 > 4 ? INFERENCE_COMPLETION : INFERENCE_CHAT,
	    .choices = in.n ? 1 + in.p[0] % 3 : 1,
	    .want_tokens = true,
	};
	struct hearing h = {.result = inference_result_new(NULL, req.choices, 1u << 20)};
	struct upstream_reader *reader;
	struct err err = {0};
	int rc = upstream_reader_new(h.result, &openai_upstream, &req, hear, &h, &reader, &err);

	in = bytes_of(in.p + (in.n > 0), in.n - (in.n > 0));
	while (rc == 0 && in.n > 0 && !reader->finished) {
		const uint8_t *end = memchr(in.p, '\n', in.n);
		size_t n = end ? (size_t)(end - in.p) : in.n;

		rc = openai_upstream.take(reader, "message", bytes_of(in.p, n), &err);
		in = bytes_of(in.p + n + (end ? 1 : 0), in.n - n - (end ? 1 : 0));
	}
	if (rc == 0)
		rc = openai_upstream.end(reader, &err);
	if (rc != err.code || h.finished != (rc == 0))
		abort();
	if (rc == 0)
		check_written(&req, h.result);
	talloc_free(h.result);
}

static void check_embeddings(void *mem, struct bytes in)
{
	struct embedding_request req = {.base64 = in.n % 2};
	struct embedding_result result, back;
	struct buf out = BUF_INIT(64u << 20);
	struct err err = {0};
	int rc = openai_upstream.embed_answer(mem, in, &result, &err);

	if (rc != err.code || (rc != 0) != !result.values)
		abort();
	if (rc != 0)
		return;
	openai_embeddings.write(&req, &result, "m", 0, &out);
	if (openai_upstream.embed_answer(mem, buf_view(&out), &back, &err) != 0 ||
	    back.n != result.n || back.dims != result.dims ||
	    memcmp(back.values, result.values, result.n * result.dims * sizeof(float)) != 0)
		abort();
	buf_free(&out);
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
	struct err err = {0};

	if (size <= 65536) {
		check_answer(in);
		if (openai_error_parse(in, size > 0 ? data[0] * 4 : 0, &err) >= 0 || !err.text[0])
			abort();
		check_embeddings(mem, in);
		check_models(mem, in);
	}
	talloc_free(mem);
	return 0;
}
