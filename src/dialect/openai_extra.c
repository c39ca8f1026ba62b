/* Members of requests that some servers understand and that nobody may pass over in silence: the
 * answer would be another one than was asked for. All others are hints, labels, and orders to the
 * server that do not concern the answer (user, metadata, store, service_tier, prediction, …). */
#include "dialect/jtree.h"
#include "dialect/openai_priv.h"

#include <talloc.h>

static bool is_text_only(const struct jnode *v)
{
	return jis(v, J_ARRAY) && v->n == 1 && jtext_is(jfirst(v), "text");
}

static bool is_false(const struct jnode *v)
{
	return v->kind == J_FALSE;
}

static bool is_zero(const struct jnode *v)
{
	return jis_number(v) && jnumber(v) == 0;
}

static bool is_one(const struct jnode *v)
{
	return jis_number(v) && jnumber(v) == 1;
}

static bool is_empty(const struct jnode *v)
{
	return (v->kind == J_ARRAY || v->kind == J_OBJECT || v->kind == J_TEXT) && v->n == 0;
}

static const struct {
	const char *key, *what;
	bool (*harmless)(const struct jnode *v);
} table[] = {
    {"audio", "audio", is_empty},
    {"modalities", "anything but text", is_text_only},
    {"web_search_options", "web search", NULL},
    /* constraints of vLLM and llama.cpp */
    {"structured_outputs", "constraints in this form", is_empty},
    {"guided_json", "constraints in this form", NULL},
    {"guided_regex", "constraints in this form", is_empty},
    {"guided_choice", "constraints in this form", is_empty},
    {"guided_grammar", "constraints in this form", is_empty},
    {"grammar", "constraints in this form", is_empty},
    {"json_schema", "constraints in this form", NULL},
    /* and their samplers */
    {"bad_words", "excluded words", is_empty},
    {"ignore_eos", "answers beyond their end", is_false},
    {"min_tokens", "a least length", is_zero},
    {"stop_token_ids", "tokens that end the answer", is_empty},
    {"use_beam_search", "beam search", is_false},
    {"length_penalty", "beam search", is_one},
    {"mirostat", "this sampler", is_zero},
    {"typical_p", "this sampler", is_one},
    {"xtc_probability", "this sampler", is_zero},
    {"dry_multiplier", "this sampler", is_zero},
    {"dynatemp_range", "this sampler", is_zero},
    {"chat_template", "templates of the client", is_empty},
    {"chat_template_kwargs", "variables of templates", is_empty},
};

static int refuse_member(const struct jnode *v, struct err *err)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!bytes_equal(jkey(v), bytes_str(table[i].key)))
			continue;
		if (table[i].harmless && table[i].harmless(v))
			return 0;
		return err_set_param(
		    err, E_UNSUPPORTED, table[i].key, "this engine does not do %s", table[i].what);
	}
	return 0;
}

int openai_refuse_extra(const struct inference_request *req, struct err *err)
{
	struct buf text = BUF_INIT(req->extra.n + 2);
	struct jtree *tree = jtree_new(NULL);
	const struct jnode *root;
	int rc = 0;

	buf_u8(&text, '{');
	buf_bytes(&text, req->extra);
	buf_u8(&text, '}');
	if (!tree || text.failed)
		rc = err_set(err, E_MEMORY, "no memory for a request");
	else if (req->extra.n > 0)
		rc = jtree_read(tree, buf_view(&text), &root, err);
	if (rc == 0 && req->extra.n > 0)
		for (const struct jnode *v = jfirst(root); rc == 0 && v; v = jnext(root, v))
			rc = refuse_member(v, err);
	talloc_free(tree);
	buf_free(&text);
	return rc;
}
