/* Reading the hyperparameters of a llama-architecture file and refusing what makes no sense or is
 * not supported, by name. SPEC: ggml docs/gguf.md, "LLaMA". */
#include "engine/model_priv.h"

#include <math.h>

static int require_u32(const struct gguf *g, const char *key, uint32_t least, uint32_t most,
    uint32_t *out, struct err *err)
{
	if (!gguf_get_u32(g, key, out))
		return gguf_has(g, key) ? err_set(err, E_UNSUPPORTED,
					      "%s is no single whole number of 32 bits", key)
					: err_set(err, E_FORMAT, "%s is missing", key);
	if (*out < least || *out > most)
		return err_set(
		    err, E_FORMAT, "%s is %u, not from %u to %u", key, *out, least, most);
	return 0;
}

/* An absent key leaves *out as it is. */
static int optional_u32(const struct gguf *g, const char *key, uint32_t least, uint32_t most,
    uint32_t *out, struct err *err)
{
	return gguf_has(g, key) ? require_u32(g, key, least, most, out, err) : 0;
}

static int check_architecture(const struct gguf *g, struct err *err)
{
	struct bytes arch;
	if (!gguf_get_str(g, "general.architecture", &arch))
		return err_set(err, E_FORMAT, "general.architecture is missing");
	if (!bytes_equal(arch, bytes_str("llama")))
		return err_set(err, E_UNSUPPORTED,
		    "architecture '%.*s' is not supported (supported: llama)",
		    (int)(arch.n < 64 ? arch.n : 64), (const char *)arch.p);
	uint32_t experts = 0;
	gguf_get_u32(g, "llama.expert_count", &experts);
	if (experts > 0)
		return err_set(err, E_UNSUPPORTED,
		    "llama.expert_count is %u: mixtures of experts are not supported", experts);
	bool causal = true;
	gguf_get_bool(g, "llama.attention.causal", &causal);
	if (!causal)
		return err_set(err, E_UNSUPPORTED,
		    "llama.attention.causal is false: only causal models are supported");
	return 0;
}

static int read_heads(const struct gguf *g, struct hparams *h, struct err *err)
{
	int rc = require_u32(g, "llama.attention.head_count", 1, HPARAM_HEAD_MAX, &h->n_head, err);
	h->n_head_kv = h->n_head;
	if (!rc)
		rc = optional_u32(
		    g, "llama.attention.head_count_kv", 1, HPARAM_HEAD_MAX, &h->n_head_kv, err);
	if (rc)
		return rc;
	if (h->n_head % h->n_head_kv != 0)
		return err_set(err, E_FORMAT,
		    "llama.attention.head_count %u is no multiple of head_count_kv %u", h->n_head,
		    h->n_head_kv);
	if (!gguf_has(g, "llama.attention.key_length") && h->n_embd % h->n_head != 0)
		return err_set(err, E_FORMAT,
		    "llama.embedding_length %u is no multiple of head_count %u", h->n_embd,
		    h->n_head);
	h->head_dim = h->n_embd / h->n_head;
	rc = optional_u32(
	    g, "llama.attention.key_length", 1, HPARAM_HEAD_DIM_MAX, &h->head_dim, err);
	uint32_t value_dim = h->head_dim;
	if (!rc)
		rc = optional_u32(
		    g, "llama.attention.value_length", 1, HPARAM_HEAD_DIM_MAX, &value_dim, err);
	if (rc)
		return rc;
	if (value_dim != h->head_dim)
		return err_set(err, E_UNSUPPORTED,
		    "keys of %u and values of %u per head: different lengths are not supported",
		    h->head_dim, value_dim);
	if (h->head_dim < 2 || h->head_dim > HPARAM_HEAD_DIM_MAX)
		return err_set(err, E_FORMAT, "heads have %u values, not from 2 to %u", h->head_dim,
		    HPARAM_HEAD_DIM_MAX);
	return 0;
}

static int read_rotation(const struct gguf *g, struct hparams *h, struct err *err)
{
	h->n_rot = h->head_dim;
	int rc = optional_u32(g, "llama.rope.dimension_count", 2, h->head_dim, &h->n_rot, err);
	if (!rc && h->n_rot % 2 != 0)
		rc = err_set(err, E_FORMAT, "llama.rope.dimension_count %u is odd", h->n_rot);
	return rc;
}

static int read_floats(const struct gguf *g, struct hparams *h, struct err *err)
{
	static const char eps_key[] = "llama.attention.layer_norm_rms_epsilon";
	if (!gguf_get_f32(g, eps_key, &h->rms_eps))
		return err_set(err, E_FORMAT, "%s is missing or no float", eps_key);
	if (!(h->rms_eps > 0 && h->rms_eps < 1))
		return err_set(
		    err, E_FORMAT, "%s is %g, not between 0 and 1", eps_key, (double)h->rms_eps);
	h->attn_scale = 1 / sqrtf((float)h->head_dim);
	gguf_get_f32(g, "llama.attention.scale", &h->attn_scale);
	if (!isfinite(h->attn_scale) || h->attn_scale <= 0)
		return err_set(err, E_FORMAT, "llama.attention.scale is %g", (double)h->attn_scale);
	return 0;
}

int hparams_read(const struct gguf *g, struct hparams *h, struct err *err)
{
	int rc = check_architecture(g, err);
	if (!rc)
		rc =
		    require_u32(g, "llama.context_length", 1, HPARAM_CTX_MAX, &h->n_ctx_train, err);
	if (!rc)
		rc = require_u32(g, "llama.embedding_length", 1, HPARAM_EMBD_MAX, &h->n_embd, err);
	if (!rc)
		rc = require_u32(g, "llama.block_count", 1, HPARAM_LAYER_MAX, &h->n_layer, err);
	if (!rc)
		rc = require_u32(g, "llama.feed_forward_length", 1, HPARAM_FF_MAX, &h->n_ff, err);
	if (!rc)
		rc = read_heads(g, h, err);
	if (!rc)
		rc = read_rotation(g, h, err);
	return rc ? rc : read_floats(g, h, err);
}
