/* Embeddings: the final states of a sequence's tokens, pooled into one vector. */
#include "engine/context_priv.h"

#include <math.h>
#include <stdio.h>

/* SPEC ggml docs/gguf.md does not list it; these are llama.cpp's numbers. */
enum pooling_type {
	POOLING_NONE = 0,
	POOLING_MEAN = 1,
	POOLING_CLS = 2,
	POOLING_LAST = 3,
	POOLING_RANK = 4,
};

int engine_model_pooling(const struct engine_model *m, enum engine_pooling *out, struct err *err)
{
	uint32_t type = POOLING_NONE;
	gguf_get_u32(m->gguf, "llama.pooling_type", &type);
	*out = type == POOLING_LAST ? ENGINE_POOLING_LAST : ENGINE_POOLING_MEAN;
	if (type == POOLING_NONE || type == POOLING_MEAN || type == POOLING_LAST)
		return 0;
	return err_set(err, E_UNSUPPORTED, "llama.pooling_type %u is not supported", type);
}

uint32_t engine_model_n_embd(const struct engine_model *m)
{
	return m->h.n_embd;
}

/* Adds the states of a batch's tokens, or keeps the last. */
static void pool_states(
    const struct engine_context *c, uint32_t n, enum engine_pooling pooling, float *out)
{
	size_t width = c->m->h.n_embd;
	if (pooling == ENGINE_POOLING_LAST) {
		memcpy(out, c->h + (n - 1) * width, width * sizeof *out);
		return;
	}
	for (uint32_t t = 0; t < n; t++)
		for (size_t i = 0; i < width; i++)
			out[i] += c->h[t * width + i];
}

static int normalise(float *v, size_t n, struct err *err)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)v[i] * (double)v[i];
	if (!isfinite(sum) || sum <= 0)
		return err_set(err, E_FORMAT, "the model's weights yield no finite vector");
	float scale = (float)(1 / sqrt(sum));
	for (size_t i = 0; i < n; i++)
		v[i] *= scale;
	return 0;
}

int engine_embed(struct engine_context *c, const int32_t *tokens, size_t n,
    enum engine_pooling pooling, float *out, struct err *err)
{
	engine_context_truncate(c, 0);
	memset(out, 0, c->m->h.n_embd * sizeof *out);
	int rc = context_check_tokens(c, tokens, n, err);
	for (size_t done = 0; !rc && done < n;) {
		uint32_t some = n - done < c->n_batch ? (uint32_t)(n - done) : c->n_batch;
		rc = context_states(c, tokens + done, some, (uint32_t)done, err);
		if (!rc)
			pool_states(c, some, pooling, out);
		done += some;
	}
	return rc ? rc : normalise(out, c->m->h.n_embd, err);
}
