/* Requests, written: as a node of ours reads them back, or as other servers know them. */
#include "dialect/openai_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* A member after others. `key` is of ours: plain. */
static void put_key(struct buf *out, const char *key)
{
	buf_str(out, ",\"");
	buf_str(out, key);
	buf_str(out, "\":");
}

static void put_str(struct buf *out, const char *key, const char *value)
{
	if (!value)
		return;
	put_key(out, key);
	json_put_text(out, bytes_str(value));
}

static void put_int(struct buf *out, const char *key, int64_t v)
{
	put_key(out, key);
	openai_put_int(out, v);
}

/* In as many digits as it takes to read the same number back. */
static void put_real(struct buf *out, const char *key, double v)
{
	char digits[40];

	v = v == 0 ? 0 : v; /* no −0, which reads back as the integer 0 */
	(void)snprintf(digits, sizeof(digits), "%.15g", v);
	if (strtod(digits, NULL) != v)
		(void)snprintf(digits, sizeof(digits), "%.17g", v);
	put_key(out, key);
	buf_str(out, digits);
}

static void put_flag(struct buf *out, const char *key, bool v)
{
	if (!v)
		return;
	put_key(out, key);
	buf_str(out, "true");
}

/* JSON text as it is. */
static void put_raw(struct buf *out, const char *key, struct bytes json)
{
	if (json.n == 0)
		return;
	put_key(out, key);
	buf_bytes(out, json);
}

/* ---- messages ------------------------------------------------------------------------------ */

static void put_part(struct buf *out, const struct inference_part *p)
{
	if (p->kind == INFERENCE_PART_TEXT) {
		buf_str(out, "{\"type\":\"text\",\"text\":");
		json_put_text(out, p->text);
		buf_u8(out, '}');
		return;
	}
	buf_str(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
	json_put_text(out, p->text);
	put_str(out, "detail", p->detail);
	buf_str(out, "}}");
}

static void put_content(struct buf *out, const struct inference_message *m)
{
	if (m->n_parts == 0 && m->content.n == 0 && m->n_tool_calls > 0) {
		buf_str(out, "null");
		return;
	}
	if (m->n_parts == 0) {
		json_put_text(out, m->content);
		return;
	}
	for (size_t i = 0; i < m->n_parts; i++) {
		buf_u8(out, i ? ',' : '[');
		put_part(out, &m->parts[i]);
	}
	buf_u8(out, ']');
}

static void put_calls(struct buf *out, const struct inference_message *m)
{
	if (m->n_tool_calls == 0)
		return;
	put_key(out, "tool_calls");
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		buf_str(out, i ? ",{\"id\":" : "[{\"id\":");
		json_put_text(out, bytes_str(m->tool_calls[i].id));
		buf_str(out, ",\"type\":\"function\",\"function\":{\"name\":");
		json_put_text(out, bytes_str(m->tool_calls[i].name));
		put_key(out, "arguments");
		json_put_text(out, m->tool_calls[i].arguments);
		buf_str(out, "}}");
	}
	buf_u8(out, ']');
}

/* The original refuses what it does not know, and thoughts of a turn that is over change nothing.
 */
static void put_message(struct buf *out, const struct inference_message *m, enum openai_form form)
{
	buf_str(out, "{\"role\":");
	json_put_text(out, bytes_str(m->role));
	put_key(out, "content");
	put_content(out, m);
	put_str(out, "name", m->name);
	put_str(out, "tool_call_id", m->tool_call_id);
	if (m->reasoning.n > 0 && form != OPENAI_FORM_CLOUD) {
		put_key(out, "reasoning_content");
		json_put_text(out, m->reasoning);
	}
	put_calls(out, m);
	buf_u8(out, '}');
}

/* ---- tools --------------------------------------------------------------------------------- */

static void put_tool(struct buf *out, const struct inference_tool *t)
{
	buf_str(out, "{\"type\":\"function\",\"function\":{\"name\":");
	json_put_text(out, bytes_str(t->name));
	put_str(out, "description", t->description);
	put_raw(out, "parameters", t->parameters);
	put_flag(out, "strict", t->strict);
	buf_str(out, "}}");
}

static void put_tool_choice(struct buf *out, const struct inference_request *req)
{
	switch (req->tool_choice) {
	case TOOL_CHOICE_AUTO:
		break;
	case TOOL_CHOICE_NONE:
		put_str(out, "tool_choice", "none");
		break;
	case TOOL_CHOICE_REQUIRED:
		put_str(out, "tool_choice", "required");
		break;
	case TOOL_CHOICE_NAMED:
		put_key(out, "tool_choice");
		buf_str(out, "{\"type\":\"function\",\"function\":{\"name\":");
		json_put_text(out, bytes_str(req->tool_name));
		buf_str(out, "}}");
		break;
	}
}

static void put_tools(struct buf *out, const struct inference_request *req)
{
	for (size_t i = 0; i < req->n_tools; i++) {
		buf_str(out, i ? "," : ",\"tools\":[");
		put_tool(out, &req->tools[i]);
	}
	if (req->n_tools > 0)
		buf_u8(out, ']');
	put_tool_choice(out, req);
	if (req->no_parallel_tool_calls && req->n_tools > 0) {
		put_key(out, "parallel_tool_calls");
		buf_str(out, "false");
	}
}

static void put_format(struct buf *out, const struct inference_request *req)
{
	if (req->format == FORMAT_TEXT)
		return;
	put_key(out, "response_format");
	if (req->format == FORMAT_JSON) {
		buf_str(out, "{\"type\":\"json_object\"}");
		return;
	}
	buf_str(out, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
	json_put_text(out, bytes_str(req->schema_name ? req->schema_name : "answer"));
	put_str(out, "description", req->schema_description);
	put_raw(out, "schema", req->schema);
	put_flag(out, "strict", req->schema_strict);
	buf_str(out, "}}");
}

/* ---- sampling and the answer's form -------------------------------------------------------- */

static void put_sampling(struct buf *out, const struct inference_sampling *s, enum openai_form form)
{
	if (s->has_temperature)
		put_real(out, "temperature", s->temperature);
	if (s->has_top_p)
		put_real(out, "top_p", s->top_p);
	if (s->has_min_p)
		put_real(out, "min_p", s->min_p);
	if (s->has_repeat_penalty)
		put_real(out, "repeat_penalty", s->repeat_penalty);
	if (s->has_repeat_penalty && form != OPENAI_FORM_NODE) /* each knows one of the names */
		put_real(out, "repetition_penalty", s->repeat_penalty);
	if (s->frequency_penalty != 0)
		put_real(out, "frequency_penalty", s->frequency_penalty);
	if (s->presence_penalty != 0)
		put_real(out, "presence_penalty", s->presence_penalty);
	if (s->has_top_k)
		put_int(out, "top_k", s->top_k);
	if (s->has_seed)
		put_int(out, "seed", s->seed);
}

static void put_biases(struct buf *out, const struct inference_request *req)
{
	char token[16];

	if (req->n_biases == 0)
		return;
	put_key(out, "logit_bias");
	buf_u8(out, '{');
	for (size_t i = 0; i < req->n_biases; i++) {
		/* put_real begins with a comma, which the first has no use for */
		struct buf one = BUF_INIT(64);

		(void)snprintf(token, sizeof(token), "%d", (int)req->biases[i].token);
		put_real(&one, token, req->biases[i].bias);
		buf_put(out, one.p + (i == 0), one.n - (i == 0));
		buf_free(&one);
	}
	buf_u8(out, '}');
}

static void put_stops(struct buf *out, const struct inference_request *req)
{
	for (size_t i = 0; i < req->n_stop; i++) {
		buf_str(out, i ? "," : ",\"stop\":[");
		json_put_text(out, req->stop[i]);
	}
	if (req->n_stop > 0)
		buf_u8(out, ']');
}

static void put_logprobs(struct buf *out, const struct inference_request *req)
{
	if (!req->logprobs)
		return;
	if (req->kind == INFERENCE_COMPLETION) {
		put_int(out, "logprobs", req->top_logprobs);
		return;
	}
	put_flag(out, "logprobs", true);
	if (req->top_logprobs > 0)
		put_int(out, "top_logprobs", req->top_logprobs);
}

static void put_answer_form(
    struct buf *out, const struct inference_request *req, enum openai_form form)
{
	if (req->max_tokens > 0)
		put_int(out,
		    form == OPENAI_FORM_CLOUD && req->kind == INFERENCE_CHAT
			? "max_completion_tokens"
			: "max_tokens",
		    req->max_tokens);
	if (req->choices > 1)
		put_int(out, "n", req->choices);
	put_stops(out, req);
	put_logprobs(out, req);
	put_format(out, req);
	if (req->reasoning_effort[0])
		put_str(out, "reasoning_effort", req->reasoning_effort);
	put_flag(out, "stream", req->stream);
	if (req->include_usage)
		buf_str(out, ",\"stream_options\":{\"include_usage\":true}");
}

/* What only nodes of ours understand. */
static void put_own(struct buf *out, const struct inference_request *req)
{
	const struct inference_continuation *c = &req->continuation;

	put_flag(out, "return_token_ids", req->want_tokens);
	if (c->text.n == 0 && c->n_tokens == 0)
		return;
	buf_str(out, ",\"gate_continue\":{\"text\":");
	json_put_text(out, c->text);
	openai_put_ids(out, c->tokens, c->n_tokens);
	buf_u8(out, '}');
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void put_input(struct buf *out, const struct inference_request *req, enum openai_form form)
{
	if (req->kind == INFERENCE_COMPLETION) {
		put_key(out, "prompt");
		json_put_text(out, req->prompt);
		if (req->suffix.n > 0) {
			put_key(out, "suffix");
			json_put_text(out, req->suffix);
		}
		put_flag(out, "echo", req->echo);
		return;
	}
	put_key(out, "messages");
	for (size_t i = 0; i < req->n_messages; i++) {
		buf_u8(out, i ? ',' : '[');
		put_message(out, &req->messages[i], form);
	}
	buf_u8(out, ']');
	put_tools(out, req);
}

int openai_put_request(
    const struct inference_request *req, enum openai_form form, struct buf *out, struct err *err)
{
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(req->model));
	put_input(out, req, form);
	put_sampling(out, &req->sampling, form);
	put_biases(out, req);
	put_answer_form(out, req, form);
	if (form == OPENAI_FORM_NODE)
		put_own(out, req);
	if (req->extra.n > 0) {
		buf_u8(out, ',');
		buf_bytes(out, req->extra);
	}
	buf_u8(out, '}');
	return buf_ok(out, err);
}

int openai_request_write(const struct inference_request *req, struct buf *out, struct err *err)
{
	return openai_put_request(req, OPENAI_FORM_NODE, out, err);
}
