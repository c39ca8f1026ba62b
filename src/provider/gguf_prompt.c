/* A request on its way to tokens: the chat template with its tools, a bare prompt, a gap to fill;
 * what was answered already; and the grammar that the answer must obey. */
#include "provider/gguf_priv.h"

#include "engine/constraint.h"
#include "engine/grammar.h"

#include <stdio.h>
#include <stdlib.h>

#define RENDERED_MAX   (8u << 20)
#define PARALLEL_CALLS 16

/* ---- what it does not do ------------------------------------------------------------------- */

static int refuse(struct err *err, const char *param, const char *what)
{
	return err_set_param(err, E_UNSUPPORTED, param, "this engine does not do %s", what);
}

static int refuse_parts(const struct inference_message *m, size_t i, struct err *err)
{
	char param[ERR_PARAM_MAX];
	for (size_t k = 0; k < m->n_parts; k++) {
		snprintf(param, sizeof param, "messages[%zu].content[%zu]", i, k);
		if (m->parts[k].kind == INFERENCE_PART_IMAGE)
			return refuse(err, param, "images");
	}
	return 0;
}

int gguf_refuse(const struct inference_request *req, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; i < req->n_messages && rc == 0; i++)
		rc = refuse_parts(&req->messages[i], i, err);
	if (rc == 0 && req->echo && req->logprobs)
		rc = refuse(err, "logprobs", "log probabilities of a prompt");
	bool going_on = req->continuation.text.n > 0 || req->continuation.n_tokens > 0;
	if (rc == 0 && going_on && req->choices > 1)
		rc = refuse(err, "gate_continue", "going on with several choices");
	return rc;
}

/* ---- tools --------------------------------------------------------------------------------- */

static bool has_tools(const struct inference_request *req)
{
	return req->kind == INFERENCE_CHAT && req->n_tools > 0 &&
	       req->tool_choice != TOOL_CHOICE_NONE;
}

static bool must_call(const struct inference_request *req)
{
	return has_tools(req) && req->tool_choice != TOOL_CHOICE_AUTO;
}

/* The tools as the engine takes them; the named one alone when one is named. NULL without memory.
 */
static struct reply_tool *tools_of(
    const struct inference_request *req, bool only_named, size_t *n, struct err *err)
{
	struct reply_tool *tools = calloc(req->n_tools + 1, sizeof *tools);
	*n = 0;
	if (!tools)
		err_set(err, E_MEMORY, "no memory for the tools");
	for (size_t i = 0; tools && i < req->n_tools; i++) {
		const struct inference_tool *t = &req->tools[i];
		if (only_named && req->tool_choice == TOOL_CHOICE_NAMED &&
		    strcmp(t->name, req->tool_name) != 0)
			continue;
		struct reply_tool *to = &tools[(*n)++];
		*to = (struct reply_tool){.name = t->name,
		    .description = t->description,
		    .parameters = t->parameters,
		    .strict = t->strict};
		snprintf(to->path, sizeof to->path, "tools[%zu].function.parameters", i);
	}
	return tools;
}

/* ---- messages ------------------------------------------------------------------------------ */

struct rendering {
	const struct gguf_backend *b;
	const struct inference_request *req;
	json_t *tools; /* or NULL */
	struct err *err;
};

static json_t *text(struct bytes b)
{
	return json_stringn(b.n ? (const char *)b.p : "", b.n);
}

/* Most templates write arguments with a filter of their own; DeepSeek's takes them as text. */
static json_t *arguments_json(const struct rendering *r, struct bytes arguments)
{
	if (r->b->style.form == TOOL_FORM_DEEPSEEK)
		return text(arguments);
	json_t *v = json_loadb(
	    (const char *)arguments.p, arguments.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	return v ? v : text(arguments);
}

static json_t *calls_json(const struct rendering *r, const struct inference_message *m)
{
	json_t *list = json_array();
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		const struct inference_tool_call *c = &m->tool_calls[i];
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", c->id ? c->id : "", "type",
			      "function", "function", "name", c->name, "arguments",
			      arguments_json(r, c->arguments)));
	}
	return list;
}

/* For templates that know of no calls: the call as the text that it was. */
static json_t *calls_as_text(const struct inference_message *m)
{
	struct buf out = BUF_INIT(RENDERED_MAX);
	buf_bytes(&out, m->content);
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		json_t *name = json_string(m->tool_calls[i].name);
		char *quoted = json_dumps(name, JSON_ENCODE_ANY);
		buf_printf(&out, "%s{\"name\": %s, \"arguments\": ", out.n ? "\n" : "",
		    quoted ? quoted : "\"\"");
		buf_bytes(&out, m->tool_calls[i].arguments);
		buf_str(&out, "}");
		free(quoted);
		json_decref(name);
	}
	json_t *all = out.failed ? NULL : text(buf_view(&out));
	buf_free(&out);
	return all;
}

static const char *called_name(const struct inference_request *req, const char *id)
{
	for (size_t i = req->n_messages; id && i-- > 0;)
		for (size_t k = 0; k < req->messages[i].n_tool_calls; k++) {
			const struct inference_tool_call *c = &req->messages[i].tool_calls[k];
			if (c->id && strcmp(c->id, id) == 0)
				return c->name;
		}
	return "the tool";
}

static json_t *result_as_text(
    const struct inference_request *req, const struct inference_message *m)
{
	struct buf out = BUF_INIT(RENDERED_MAX);
	buf_printf(&out, "Result of %.256s: ", called_name(req, m->tool_call_id));
	buf_bytes(&out, m->content);
	json_t *all = out.failed ? NULL : text(buf_view(&out));
	buf_free(&out);
	return all;
}

static json_t *message_json(const struct rendering *r, const struct inference_message *m)
{
	bool knows = r->b->style.knows_tools, is_tool = strcmp(m->role, "tool") == 0;
	const char *role = strcmp(m->role, "developer") == 0 ? "system" : m->role;
	json_t *one = json_object();
	json_object_set_new(one, "role", json_string(is_tool && !knows ? "user" : role));
	json_object_set_new(one, "content",
	    is_tool && !knows           ? result_as_text(r->req, m)
	    : m->n_tool_calls && !knows ? calls_as_text(m)
					: text(m->content));
	if (m->n_tool_calls && knows)
		json_object_set_new(one, "tool_calls", calls_json(r, m));
	if (m->reasoning.n)
		json_object_set_new(one, "reasoning_content", text(m->reasoning));
	if (m->tool_call_id)
		json_object_set_new(one, "tool_call_id", json_string(m->tool_call_id));
	if (m->name || is_tool)
		json_object_set_new(one, "name",
		    json_string(m->name ? m->name : called_name(r->req, m->tool_call_id)));
	return one;
}

/* A model whose template takes no tools hears of them in its system text. */
static int describe_tools(const struct rendering *r, json_t *messages, struct err *err)
{
	struct buf out = BUF_INIT(RENDERED_MAX);
	json_t *first = json_array_get(messages, 0);
	const char *role = json_string_value(json_object_get(first, "role"));
	bool system = role && strcmp(role, "system") == 0;
	if (system) {
		const json_t *content = json_object_get(first, "content");
		buf_put(&out, json_string_value(content), json_string_length(content));
		buf_str(&out, "\n\n");
	}
	reply_describe_tools(r->tools, must_call(r->req), &out);
	int rc = buf_ok(&out, err);
	if (rc == 0 && system)
		json_object_set_new(first, "content", text(buf_view(&out)));
	else if (rc == 0)
		json_array_insert_new(messages, 0,
		    json_pack("{s:s, s:o}", "role", "system", "content", text(buf_view(&out))));
	buf_free(&out);
	return rc;
}

static json_t *extra_variables(const struct rendering *r)
{
	const char *effort = r->req->reasoning_effort;
	json_t *extra = json_object();
	if (r->tools && r->b->style.knows_tools)
		json_object_set(extra, "tools", r->tools);
	if (effort[0])
		json_object_set_new(extra, "reasoning_effort", json_string(effort));
	if (strcmp(effort, "none") == 0)
		json_object_set_new(extra, "enable_thinking", json_false());
	return extra;
}

static int render_messages(struct rendering *r, int64_t now_s, struct buf *out)
{
	json_t *messages = json_array(), *extra = extra_variables(r);
	int rc = 0;
	for (size_t i = 0; i < r->req->n_messages; i++)
		json_array_append_new(messages, message_json(r, &r->req->messages[i]));
	if (!extra || json_array_size(messages) < r->req->n_messages)
		rc = err_set(r->err, E_MEMORY, "no memory for %zu messages", r->req->n_messages);
	if (rc == 0 && r->tools && !r->b->style.knows_tools)
		rc = describe_tools(r, messages, r->err);
	struct chat_options options = chat_options_for(r->b->tokenizer, now_s);
	options.extra = extra;
	if (rc == 0)
		rc = chat_template_render_json(
		    r->b->template, messages, &options, out, NULL, r->err);
	json_decref(messages);
	json_decref(extra);
	return rc;
}

static int render_chat(struct gguf_backend *b, const struct inference_request *req, int64_t now_s,
    struct buf *out, struct err *err)
{
	struct rendering r = {.b = b, .req = req, .err = err};
	int rc = 0;
	if (has_tools(req)) {
		size_t n;
		struct reply_tool *tools = tools_of(req, false, &n, err);
		rc = tools ? reply_tools_json(tools, n, &r.tools, err) : E_MEMORY;
		free(tools);
	}
	if (rc == 0)
		rc = render_messages(&r, now_s, out);
	json_decref(r.tools);
	return rc;
}

/* ---- grammars ------------------------------------------------------------------------------ */

static bool any_strict(const struct inference_request *req)
{
	for (size_t i = 0; i < req->n_tools; i++)
		if (req->tools[i].strict)
			return true;
	return false;
}

static struct grammar_part format_part(const struct inference_request *req)
{
	return (struct grammar_part){req->format == FORMAT_SCHEMA ? GRAMMAR_SCHEMA : GRAMMAR_OBJECT,
	    req->schema, "response_format.json_schema.schema"};
}

static int call_grammar(struct gguf_backend *b, const struct inference_request *req,
    const struct grammar_alphabet *alphabet, struct grammar **out, struct err *err)
{
	struct grammar_part document = format_part(req);
	bool single = req->no_parallel_tool_calls || req->tool_choice == TOOL_CHOICE_NAMED;
	struct reply_call_options opt = {
	    .form = b->style.form,
	    .optional = !must_call(req),
	    .max_calls = single ? 1 : PARALLEL_CALLS,
	    .instead = req->format != FORMAT_TEXT && !must_call(req) ? &document : NULL,
	};
	size_t n;
	struct reply_tool *tools = tools_of(req, true, &n, err);
	int rc = tools ? 0 : E_MEMORY;
	if (rc == 0 && n == 0)
		rc = err_set_param(err, E_INVALID, "tool_choice", "names no tool");
	if (rc == 0)
		rc = reply_call_grammar(tools, n, &opt, alphabet, out, err);
	free(tools);
	return rc;
}

/* Sets *out to NULL where the answer is free. */
static int make_grammar(struct gguf_backend *b, const struct inference_request *req,
    struct grammar **out, struct err *err)
{
	*out = NULL;
	bool format = req->format != FORMAT_TEXT;
	bool calls = must_call(req) || (has_tools(req) && (any_strict(req) || format));
	if (!format && !calls)
		return 0;
	const struct token_trie *trie = generator_trie(b->generator);
	if (!trie)
		return err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	const struct grammar_alphabet *alphabet = token_trie_alphabet(trie);
	if (calls)
		return call_grammar(b, req, alphabet, out, err);
	struct grammar_part document = format_part(req);
	return grammar_of_document(req->format == FORMAT_SCHEMA ? req->schema : (struct bytes){0},
	    document.name, alphabet, out, err);
}

/* ---- tokens -------------------------------------------------------------------------------- */

static int encode(const struct gguf_backend *b, struct bytes s, enum tokenize_flags flags,
    struct token_list *out, struct err *err)
{
	return tokenizer_encode(b->tokenizer, s, flags, out, err);
}

static bool ends_in_thought(const struct buf *rendered)
{
	static const char open[] = "<think>";
	size_t n = rendered->n;
	while (n && strchr(" \n", rendered->p[n - 1]))
		n--;
	return n >= 7 && memcmp(rendered->p + n - 7, open, 7) == 0;
}

static int chat_tokens(struct gguf_backend *b, const struct inference_request *req, int64_t now_s,
    struct gguf_prompt *p, struct err *err)
{
	struct buf rendered = BUF_INIT(RENDERED_MAX);
	int rc = render_chat(b, req, now_s, &rendered, err);
	p->reply.thinking = b->style.thinks && ends_in_thought(&rendered);
	/* What must be written from the first byte on leaves no room for thoughts. */
	if (rc == 0 && p->grammar && p->reply.thinking) {
		buf_str(&rendered, "\n</think>\n\n");
		p->reply.thinking = false;
		rc = buf_ok(&rendered, err);
	}
	if (rc == 0)
		rc = encode(b, buf_view(&rendered), TOKENIZE_PARSE_SPECIAL | TOKENIZE_BOS_ONCE,
		    &p->tokens, err);
	buf_free(&rendered);
	return rc;
}

/* before PROMPT after SUFFIX gap: the model writes what is missing. */
static int gap_tokens(const struct gguf_backend *b, const struct inference_request *req,
    struct gguf_prompt *p, struct err *err)
{
	const struct gap_tokens *g = &b->gap;
	if (g->before == TOKEN_NONE || g->after == TOKEN_NONE || g->gap == TOKEN_NONE)
		return err_set_param(
		    err, E_UNSUPPORTED, "suffix", "this model has no tokens for filling a gap");
	int rc = 0;
	if (tokenizer_adds_bos(b->tokenizer))
		rc = token_list_push(&p->tokens, tokenizer_bos(b->tokenizer), err);
	if (rc == 0)
		rc = token_list_push(&p->tokens, g->before, err);
	if (rc == 0)
		rc = encode(b, req->prompt, TOKENIZE_PLAIN, &p->tokens, err);
	if (rc == 0)
		rc = token_list_push(&p->tokens, g->after, err);
	if (rc == 0)
		rc = encode(b, req->suffix, TOKENIZE_PLAIN, &p->tokens, err);
	return rc ? rc : token_list_push(&p->tokens, g->gap, err);
}

static int bare_tokens(const struct gguf_backend *b, const struct inference_request *req,
    struct gguf_prompt *p, struct err *err)
{
	if (req->suffix.n)
		return gap_tokens(b, req, p, err);
	int rc =
	    encode(b, req->prompt, TOKENIZE_PARSE_SPECIAL | TOKENIZE_BOS_ONCE, &p->tokens, err);
	if (rc || p->tokens.n)
		return rc;
	/* A text from nothing begins where texts begin. */
	int32_t start = tokenizer_bos(b->tokenizer);
	start = start == TOKEN_NONE ? tokenizer_eos(b->tokenizer) : start;
	return start == TOKEN_NONE ? err_set_param(err, E_INVALID, "prompt", "is empty")
				   : token_list_push(&p->tokens, start, err);
}

static int continued_tokens(const struct gguf_backend *b, const struct inference_request *req,
    struct gguf_prompt *p, struct err *err)
{
	const struct inference_continuation *c = &req->continuation;
	int rc = 0;
	p->continued_text = p->plain ? c->text.n : 0;
	if (c->n_tokens == 0)
		return c->text.n ? encode(b, c->text, TOKENIZE_PLAIN, &p->continued, err) : 0;
	for (size_t i = 0; i < c->n_tokens && rc == 0; i++)
		rc = token_list_push(&p->continued, c->tokens[i], err);
	return rc;
}

/* The ends of the scale mean never and always, however far apart a model's logits are (a grammar
 * wins over both). SPEC openai: logit_bias. */
static float bias_of(double bias)
{
	return bias >= 100 ? 1e6f : bias <= -100 ? -1e6f : (float)bias;
}

static int copy_biases(const struct gguf_backend *b, const struct inference_request *req,
    struct gguf_prompt *p, struct err *err)
{
	p->biases = calloc(req->n_biases + 1, sizeof *p->biases);
	if (!p->biases)
		return err_set(err, E_MEMORY, "no memory for biases");
	for (size_t i = 0; i < req->n_biases; i++) {
		int32_t id = req->biases[i].token;
		if (id < 0 || (size_t)id >= tokenizer_n_vocab(b->tokenizer))
			return err_set_param(
			    err, E_INVALID, "logit_bias", "this model has no token %d", id);
		p->biases[i] = (struct logit_bias){id, bias_of(req->biases[i].bias)};
	}
	return 0;
}

int gguf_prompt_make(struct gguf_backend *b, const struct inference_request *req, int64_t now_s,
    struct gguf_prompt *p, struct err *err)
{
	*p = (struct gguf_prompt){.reply = {.style = b->style, .calls = has_tools(req)}};
	bool chat = req->kind == INFERENCE_CHAT;
	p->plain = !chat || (!p->reply.calls && !b->style.thinks);
	if (!p->plain)
		p->n_visible = reply_visible_tokens(&b->style, b->tokenizer, p->visible);
	int rc = make_grammar(b, req, &p->grammar, err);
	if (rc == 0)
		rc = chat ? chat_tokens(b, req, now_s, p, err) : bare_tokens(b, req, p, err);
	if (rc == 0)
		rc = continued_tokens(b, req, p, err);
	if (rc == 0)
		rc = copy_biases(b, req, p, err);
	if (rc)
		gguf_prompt_free(p);
	return rc;
}

void gguf_prompt_free(struct gguf_prompt *p)
{
	token_list_free(&p->tokens);
	token_list_free(&p->continued);
	grammar_free(p->grammar);
	free(p->biases);
	*p = (struct gguf_prompt){0};
}
