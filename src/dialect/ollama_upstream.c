/* Asking Ollama servers, and reading their lines. */
#include "dialect/json.h"
#include "dialect/ollama.h"
#include "dialect/ollama_priv.h"
#include "dialect/openai.h"
#include "dialect/refuse_priv.h"
#include "dialect/write_priv.h"

#include <stdio.h>
#include <talloc.h>

#define CALLS_MAX    1024 /* of one answer */
#define LOGPROBS_MAX 4096 /* of one line */
#define CALL_ID_MAX  64

/* ---- requests: messages -------------------------------------------------------------------- */

/* Pictures go as bare base64: an address is nothing that the server would fetch. */
static int put_images(
    struct buf *out, const struct inference_message *m, size_t index, struct err *err)
{
	struct bytes type, base64;
	bool any = false;

	for (size_t i = 0; i < m->n_parts; i++) {
		char param[ERR_PARAM_MAX];

		if (m->parts[i].kind != INFERENCE_PART_IMAGE)
			continue;
		if (!data_url_split(m->parts[i].text, &type, &base64)) {
			if (snprintf(param, sizeof param, "messages[%zu].content", index) < 0)
				param[0] = 0;
			return err_set_param(err, E_UNSUPPORTED, param,
			    "an Ollama server takes pictures as data: URLs only");
		}
		buf_str(out, any ? "," : ",\"images\":[");
		json_put_text(out, base64);
		any = true;
	}
	if (any)
		buf_u8(out, ']');
	return 0;
}

static void put_calls(struct buf *out, const struct inference_message *m)
{
	if (m->n_tool_calls == 0)
		return;
	buf_str(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		buf_str(out, i ? ",{\"id\":" : "{\"id\":");
		json_put_text(out, bytes_str(m->tool_calls[i].id));
		buf_str(out, ",\"function\":{\"name\":");
		json_put_text(out, bytes_str(m->tool_calls[i].name));
		buf_str(out, ",\"arguments\":");
		put_arguments_object(out, m->tool_calls[i].arguments);
		buf_str(out, "}}");
	}
	buf_u8(out, ']');
}

/* The tool whose call a result answers: named by it, or found in the turn before. */
static const char *tool_of(const struct inference_request *req, size_t index)
{
	const struct inference_message *m = &req->messages[index];
	size_t i = index;

	if (m->name || !m->tool_call_id)
		return m->name;
	while (i > 0 && req->messages[i - 1].n_tool_calls == 0)
		i--;
	for (size_t k = 0; i > 0 && k < req->messages[i - 1].n_tool_calls; k++)
		if (strcmp(req->messages[i - 1].tool_calls[k].id, m->tool_call_id) == 0)
			return req->messages[i - 1].tool_calls[k].name;
	return NULL;
}

static int put_message(
    struct buf *out, const struct inference_request *req, size_t index, struct err *err)
{
	const struct inference_message *m = &req->messages[index];
	bool tool = strcmp(m->role, "tool") == 0;
	const char *name = tool ? tool_of(req, index) : NULL;

	buf_str(out, index ? ",{\"role\":" : "{\"role\":");
	json_put_text(out, bytes_str(strcmp(m->role, "developer") == 0 ? "system" : m->role));
	put_member_text(out, "content", m->content);
	if (m->reasoning.n > 0)
		put_member_text(out, "thinking", m->reasoning);
	put_calls(out, m);
	if (name)
		put_member_text(out, "tool_name", bytes_str(name));
	if (tool && m->tool_call_id)
		put_member_text(out, "tool_call_id", bytes_str(m->tool_call_id));
	int rc = put_images(out, m, index, err);
	buf_u8(out, '}');
	return rc;
}

static int put_messages(struct buf *out, const struct inference_request *req, struct err *err)
{
	int rc = 0;

	buf_str(out, ",\"messages\":[");
	for (size_t i = 0; rc == 0 && i < req->n_messages; i++)
		rc = put_message(out, req, i, err);
	if (req->continuation.text.n > 0) {
		buf_str(
		    out, req->n_messages ? ",{\"role\":\"assistant\"" : "{\"role\":\"assistant\"");
		put_member_text(out, "content", req->continuation.text);
		buf_u8(out, '}');
	}
	buf_u8(out, ']');
	return rc;
}

static void put_tools(struct buf *out, const struct inference_request *req)
{
	if (req->n_tools == 0 || req->tool_choice == TOOL_CHOICE_NONE)
		return;
	buf_str(out, ",\"tools\":[");
	for (size_t i = 0; i < req->n_tools; i++) {
		const struct inference_tool *t = &req->tools[i];

		buf_str(out, i ? "," : "");
		buf_str(out, "{\"type\":\"function\",\"function\":{\"name\":");
		json_put_text(out, bytes_str(t->name));
		put_member_text(
		    out, "description", bytes_str(t->description ? t->description : ""));
		buf_str(out, ",\"parameters\":");
		if (t->parameters.n > 0)
			buf_bytes(out, t->parameters);
		else
			buf_str(out, "{\"type\":\"object\",\"properties\":{}}");
		buf_str(out, "}}");
	}
	buf_u8(out, ']');
}

/* ---- requests: the rest -------------------------------------------------------------------- */

static void put_options(struct buf *out, const struct inference_request *req)
{
	const struct inference_sampling *s = &req->sampling;
	size_t begin;

	buf_str(out, ",\"options\":{");
	begin = out->n;
	put_member_number(out, "temperature", s->has_temperature, s->temperature);
	put_member_number(out, "top_p", s->has_top_p, s->top_p);
	put_member_number(out, "min_p", s->has_min_p, s->min_p);
	put_member_number(out, "repeat_penalty", s->has_repeat_penalty, s->repeat_penalty);
	put_member_number(
	    out, "frequency_penalty", s->frequency_penalty != 0, s->frequency_penalty);
	put_member_number(out, "presence_penalty", s->presence_penalty != 0, s->presence_penalty);
	if (s->has_top_k)
		put_member_int(out, "top_k", s->top_k);
	if (s->has_seed)
		put_member_int(out, "seed", s->seed);
	if (req->max_tokens > 0)
		put_member_int(out, "num_predict", req->max_tokens);
	for (size_t i = 0; i < req->n_stop; i++) {
		buf_str(out, i ? "," : ",\"stop\":[");
		json_put_text(out, req->stop[i]);
	}
	if (req->n_stop > 0)
		buf_u8(out, ']');
	if (out->n > begin) /* the comma before the first */
		out->p[begin] = ' ';
	buf_u8(out, '}');
}

/* Levels are for few models there, and refused for the others: the middle one is a plain yes. */
static void put_think(struct buf *out, const char *effort)
{
	if (!*effort)
		return;
	if (strcmp(effort, "none") == 0)
		buf_str(out, ",\"think\":false");
	else if (strcmp(effort, "medium") == 0)
		buf_str(out, ",\"think\":true");
	else
		put_member_text(out, "think", bytes_str(effort));
}

static void put_rest(struct buf *out, const struct inference_request *req)
{
	put_think(out, req->reasoning_effort);
	if (req->format == FORMAT_JSON)
		buf_str(out, ",\"format\":\"json\"");
	if (req->format == FORMAT_SCHEMA) {
		buf_str(out, ",\"format\":");
		buf_bytes(out, req->schema);
	}
	if (req->has_keep_alive)
		put_member_int(out, "keep_alive", req->keep_alive_s);
	if (req->logprobs)
		buf_printf(out, ",\"logprobs\":true,\"top_logprobs\":%u", req->top_logprobs);
	put_options(out, req);
	buf_str(out, ",\"stream\":true}");
}

static int write_request(
    const struct inference_request *req, const char **path, struct buf *out, struct err *err)
{
	bool chat = req->kind == INFERENCE_CHAT;
	int rc = refuse_parameters(req,
	    REFUSE_CHOICES | REFUSE_BIASES | REFUSE_FORCED_TOOLS | REFUSE_ONE_CALL | REFUSE_ECHO,
	    "an Ollama server", err);

	if (rc != 0)
		return rc;
	*path = chat ? "/api/chat" : "/api/generate";
	buf_str(out, "{\"model\":");
	json_put_text(out, bytes_str(req->model));
	if (chat) {
		rc = put_messages(out, req, err);
		put_tools(out, req);
	} else {
		struct buf prompt = BUF_INIT(SIZE_MAX / 2);

		buf_bytes(&prompt, req->prompt);
		buf_bytes(&prompt, req->continuation.text);
		put_member_text(out, "prompt", buf_view(&prompt));
		buf_free(&prompt);
		if (req->suffix.n > 0) /* goes through the template that the model has for it */
			put_member_text(out, "suffix", req->suffix);
		else
			buf_str(out, ",\"raw\":true");
	}
	put_rest(out, req);
	return rc ? rc : buf_ok(out, err);
}

/* ---- streams ------------------------------------------------------------------------------- */

struct progress {
	unsigned n_calls;
};

static int bad(struct err *err, const char *why)
{
	return err_set(err, E_UPSTREAM, "the provider's answer is none: %s", why);
}

static int no_memory(struct err *err)
{
	return err_set(err, E_MEMORY, "no memory for an answer");
}

/* A token's bytes: told as such, or as its text. */
static int read_token(void *mem, const json_t *v, struct inference_logprob *to, struct err *err)
{
	const json_t *p = json_object_get(v, "logprob"), *list = json_object_get(v, "bytes");
	const json_t *token = json_object_get(v, "token");
	size_t n = json_array_size(list);
	uint8_t *copy = n > 0 ? talloc_size(mem, n) : NULL;

	if (!json_is_number(p))
		return bad(err, "a log probability that is none");
	if (n > 0 && !copy)
		return no_memory(err);
	to->logprob = json_number_value(p);
	to->token = bytes_of(json_string_value(token), json_string_length(token));
	for (size_t i = 0; i < n; i++)
		copy[i] = (uint8_t)json_integer_value(json_array_get(list, i));
	if (n > 0)
		to->token = bytes_of(copy, n);
	return 0;
}

/* `max` elements at most; those of `top` have none themselves. */
static int read_logprobs(void *mem, const json_t *list, size_t max,
    const struct inference_logprob **out, size_t *n, struct err *err)
{
	size_t count = json_array_size(list) < max ? json_array_size(list) : max;
	struct inference_logprob *all;
	int rc = 0;

	if (count == 0)
		return 0;
	all = talloc_zero_array(mem, struct inference_logprob, (unsigned)count);
	if (!all)
		return no_memory(err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const json_t *v = json_array_get(list, i);

		rc = read_token(mem, v, &all[i], err);
		if (rc == 0 && max > INFERENCE_TOP_LOGPROBS)
			rc = read_logprobs(mem, json_object_get(v, "top_logprobs"),
			    INFERENCE_TOP_LOGPROBS, &all[i].top, &all[i].n_top, err);
	}
	*out = all;
	*n = count;
	return rc;
}

static int emit_piece(struct upstream_reader *r, enum inference_event_kind kind, const json_t *text,
    const json_t *logprobs, struct err *err)
{
	struct inference_event e = {.kind = kind};
	void *mem;
	int rc;

	if (json_string_length(text) == 0 && json_array_size(logprobs) == 0)
		return 0;
	mem = talloc_new(r);
	if (!mem)
		return no_memory(err);
	e.text = bytes_of(json_string_value(text), json_string_length(text));
	rc = read_logprobs(mem, logprobs, LOGPROBS_MAX, &e.logprobs, &e.n_logprobs, err);
	if (rc == 0)
		rc = r->emit(r->arg, &e, err);
	talloc_free(mem);
	return rc;
}

/* Older servers give calls no ids: their place in the conversation makes one. */
static int emit_call(
    struct upstream_reader *r, struct progress *p, const json_t *v, struct err *err)
{
	const json_t *function = json_object_get(v, "function");
	const json_t *arguments = json_object_get(function, "arguments");
	char id[CALL_ID_MAX];
	struct inference_event e = {
	    .kind = INFERENCE_TOOL_CALL,
	    .tool_index = p->n_calls,
	    .tool_id = json_get_string(v, "id", id),
	    .tool_name = json_get_string(function, "name", NULL),
	};
	struct buf text = BUF_INIT(SIZE_MAX / 2);
	int rc = 0;

	if (!e.tool_name || p->n_calls >= CALLS_MAX)
		return bad(err, e.tool_name ? "too many tool calls" : "a tool call without a name");
	if (snprintf(id, sizeof id, "call_%zu_%u", r->req->n_messages, p->n_calls) < 0)
		id[0] = 0;
	if (!*e.tool_id)
		e.tool_id = id;
	p->n_calls++;
	if (json_is_string(arguments))
		buf_str(&text, json_string_value(arguments));
	else if (json_is_object(arguments))
		rc = json_write(arguments, &text, err);
	else
		buf_str(&text, "{}");
	e.text = buf_view(&text);
	if (rc == 0)
		rc = r->emit(r->arg, &e, err);
	buf_free(&text);
	return rc;
}

static int64_t count_of(const json_t *root, const char *key)
{
	int64_t n = json_get_int(root, key, -1);

	return n >= 0 && n <= INT32_MAX ? n : -1;
}

static int finish(
    struct upstream_reader *r, struct progress *p, const json_t *root, struct err *err)
{
	const char *reason = json_get_string(root, "done_reason", "stop");
	struct inference_event end = {.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP};
	struct inference_event last = {
	    .kind = INFERENCE_FINISHED, .usage = INFERENCE_USAGE_UNKNOWN};
	int rc;

	if (strcmp(reason, "length") == 0)
		end.finish = FINISH_LENGTH;
	else if (strcmp(reason, "content_filter") == 0)
		end.finish = FINISH_CONTENT_FILTER;
	else if (p->n_calls > 0)
		end.finish = FINISH_TOOL_CALLS;
	last.usage.prompt_tok = count_of(root, "prompt_eval_count");
	last.usage.completion_tok = count_of(root, "eval_count");
	rc = r->emit(r->arg, &end, err);
	if (rc == 0)
		rc = r->emit(r->arg, &last, err);
	r->finished = rc == 0;
	return rc;
}

static int take_object(struct upstream_reader *r, const json_t *root, struct err *err)
{
	const json_t *message = json_object_get(root, "message"), *calls;
	const json_t *from = message ? message : root;
	struct progress *p = r->state;
	int rc = 0;

	if (!json_is_object(root) ||
	    (!message && !json_object_get(root, "response") && !json_object_get(root, "done")))
		return bad(err, "a line that says nothing");
	if (!r->started) {
		r->started = true;
		rc = r->emit(r->arg, &(struct inference_event){.kind = INFERENCE_STARTED}, err);
	}
	if (rc == 0)
		rc = emit_piece(
		    r, INFERENCE_REASONING, json_object_get(from, "thinking"), NULL, err);
	if (rc == 0)
		rc = emit_piece(r, INFERENCE_TEXT,
		    json_object_get(from, message ? "content" : "response"),
		    json_object_get(root, "logprobs"), err);
	calls = json_object_get(message, "tool_calls");
	for (size_t i = 0; rc == 0 && i < json_array_size(calls); i++)
		rc = emit_call(r, p, json_array_get(calls, i), err);
	if (rc == 0 && json_is_true(json_object_get(root, "done")))
		rc = finish(r, p, root, err);
	return rc;
}

static int take(struct upstream_reader *r, const char *name, struct bytes data, struct err *err)
{
	json_t *root;
	int rc;

	if (r->finished || data.n == 0)
		return 0;
	if (!r->state && !(r->state = talloc_zero(r, struct progress)))
		return no_memory(err);
	if (json_read(data, &root, err) != 0)
		return bad(err, "not valid JSON");
	if (json_object_get(root, "error"))
		rc = ollama_error_parse(data, 0, err);
	else
		rc = take_object(r, root, err);
	json_decref(root);
	return rc;
}

static int end(struct upstream_reader *r, struct err *err)
{
	return r->finished ? 0 : err_set(err, E_CLOSED, "the answer broke off before its end");
}

int ollama_error_parse(struct bytes body, int status, struct err *err)
{
	struct err why = {0};
	int code = openai_error_parse(body, status, &why);

	/* SPEC ollama: errors are words alone */
	if (code == E_NOT_FOUND && strstr(why.text, "model"))
		code = E_MODEL_NOT_FOUND;
	if (code == E_INVALID && strstr(why.text, "does not support"))
		code = E_UNSUPPORTED;
	return err_set(err, code, "%s", why.text);
}

const struct upstream ollama_upstream = {
    .name = "ollama",
    .framing = UPSTREAM_LINES,
    .request = write_request,
    .take = take,
    .end = end,
    .error = ollama_error_parse,
    .models_path = "/api/tags",
    .models = ollama_models_parse,
    .embed_request = ollama_embed_request,
    .embed_answer = ollama_embed_answer,
};
