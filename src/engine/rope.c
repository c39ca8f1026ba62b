/* Rotary position embedding: the turning speed of every value pair, with the ways of stretching a
 * model's context that llama files use. Positions enter linearly, so that one frequency per pair
 * says everything:
 *   plain   freq = base^(-2i/n) / factor[i]    (factor: rope_freqs.weight, else 1)
 *   linear  freq / s
 *   YaRN    between freq / s (slow pairs) and freq (fast pairs), by a ramp over the pairs;
 *           attention grows by 1 + 0.1 ln s.
 * SPEC: YaRN (arXiv 2309.00071), sections 3.2-3.4, with the constants that llama.cpp uses. */
#include "engine/model_priv.h"

#include <math.h>

enum rope_scaling {
	SCALING_NONE,
	SCALING_LINEAR,
	SCALING_YARN
};

struct rope_params {
	enum rope_scaling scaling;
	float base;
	float factor;      /* s, how far the context is stretched */
	float attn_factor; /* multiplies YaRN's own */
	float ext_factor;  /* how much of the ramp applies, 0 … 1 */
	float beta_fast;
	float beta_slow;
	uint32_t ctx_orig;
};

/* An absent key leaves *out as it is; what is there must be a finite float within the bounds. */
static int optional_f32(
    const struct gguf *g, const char *key, float least, float most, float *out, struct err *err)
{
	if (!gguf_has(g, key))
		return 0;
	if (!gguf_get_f32(g, key, out))
		return err_set(err, E_FORMAT, "%s is no float", key);
	if (!(*out >= least && *out <= most))
		return err_set(err, E_FORMAT, "%s is %g, not from %g to %g", key, (double)*out,
		    (double)least, (double)most);
	return 0;
}

static int read_scaling_type(const struct gguf *g, struct rope_params *p, struct err *err)
{
	struct bytes type;
	p->scaling = SCALING_NONE;
	if (!gguf_has(g, "llama.rope.scaling.type"))
		return 0;
	if (!gguf_get_str(g, "llama.rope.scaling.type", &type))
		return err_set(err, E_FORMAT, "llama.rope.scaling.type is no string");
	if (bytes_equal(type, bytes_str("linear")))
		p->scaling = SCALING_LINEAR;
	else if (bytes_equal(type, bytes_str("yarn")))
		p->scaling = SCALING_YARN;
	else if (!bytes_equal(type, bytes_str("none")))
		return err_set(err, E_UNSUPPORTED,
		    "llama.rope.scaling.type '%.*s' is not supported (none, linear and yarn are)",
		    (int)(type.n < 64 ? type.n : 64), (const char *)type.p);
	return 0;
}

static int read_params(
    const struct gguf *g, const struct hparams *h, struct rope_params *p, struct err *err)
{
	*p = (struct rope_params){.base = 10000,
	    .factor = 1,
	    .attn_factor = 1,
	    .ext_factor = 1,
	    .beta_fast = 32,
	    .beta_slow = 1,
	    .ctx_orig = h->n_ctx_train};
	int rc = read_scaling_type(g, p, err);
	/* The older name of linear scaling comes first, so that the newer one wins. */
	if (!rc)
		rc = optional_f32(g, "llama.rope.scale_linear", 0, 1e6f, &p->factor, err);
	if (!rc && gguf_has(g, "llama.rope.scale_linear") && p->scaling == SCALING_NONE)
		p->scaling = SCALING_LINEAR;
	if (!rc)
		rc = optional_f32(g, "llama.rope.freq_base", 1.0001f, 1e30f, &p->base, err);
	if (!rc)
		rc = optional_f32(g, "llama.rope.scaling.factor", 0, 1e6f, &p->factor, err);
	if (!rc)
		rc = optional_f32(
		    g, "llama.rope.scaling.attn_factor", 1e-3f, 1e3f, &p->attn_factor, err);
	if (!rc)
		rc = optional_f32(
		    g, "llama.rope.scaling.yarn_ext_factor", 0, 1, &p->ext_factor, err);
	if (!rc)
		rc = optional_f32(
		    g, "llama.rope.scaling.yarn_beta_fast", 1e-3f, 1e6f, &p->beta_fast, err);
	if (!rc)
		rc = optional_f32(
		    g, "llama.rope.scaling.yarn_beta_slow", 1e-3f, 1e6f, &p->beta_slow, err);
	if (rc)
		return rc;
	if (p->factor == 0) /* some files write 0 for "not stretched" */
		p->factor = 1;
	static const char orig_key[] = "llama.rope.scaling.original_context_length";
	if (gguf_has(g, orig_key) && (!gguf_get_u32(g, orig_key, &p->ctx_orig) || p->ctx_orig == 0))
		return err_set(err, E_FORMAT, "%s is no positive whole number", orig_key);
	return 0;
}

/* The pair that turns `turns` times within the original context (not rounded). */
static double yarn_pair(const struct rope_params *p, uint32_t n_rot, float turns)
{
	double full = (double)p->ctx_orig / ((double)turns * 2 * M_PI);
	return (double)n_rot * log(full) / (2 * log((double)p->base));
}

/* 1 for pairs that keep their speed, 0 for those slowed down by the factor. */
static double yarn_mix(const struct rope_params *p, uint32_t n_rot, uint32_t pair)
{
	double low = fmax(0, floor(yarn_pair(p, n_rot, p->beta_fast)));
	double high = fmin(n_rot - 1, ceil(yarn_pair(p, n_rot, p->beta_slow)));
	double ramp = ((double)pair - low) / fmax(0.001, high - low);
	return (1 - fmin(1, fmax(0, ramp))) * (double)p->ext_factor;
}

static double pair_speed(const struct rope_params *p, uint32_t n_rot, uint32_t pair)
{
	double slow = 1 / (double)p->factor;
	double mix;
	switch (p->scaling) {
	case SCALING_NONE:
		return 1;
	case SCALING_LINEAR:
		return slow;
	case SCALING_YARN:
		mix = yarn_mix(p, n_rot, pair);
		return slow * (1 - mix) + mix;
	}
	return 1;
}

int rope_read(const struct gguf *g, const struct hparams *h, const float *factors, struct rope *out,
    struct err *err)
{
	struct rope_params p;
	int rc = read_params(g, h, &p, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < h->n_rot / 2; i++) {
		float factor = factors ? factors[i] : 1;
		if (!isfinite(factor) || factor <= 0)
			return err_set(
			    err, E_FORMAT, "rope_freqs.weight: value %u is %g", i, (double)factor);
		double freq = pow((double)p.base, -2.0 * i / h->n_rot) / (double)factor *
			      pair_speed(&p, h->n_rot, i);
		if (!(freq <= 1e9))
			return err_set(err, E_FORMAT,
			    "rotary frequency %u is %g: check llama.rope.* and rope_freqs.weight",
			    i, freq);
		out->freq[i] = (float)freq;
	}
	bool grows = p.scaling == SCALING_YARN && p.ext_factor > 0 && p.factor > 1;
	out->mscale = p.attn_factor * (grows ? 1 + 0.1f * logf(p.factor) : 1);
	return 0;
}
