/* Chat templates: see template.h. */
#include "engine/template.h"

#include "engine/detokenize.h"
#include "engine/gguf.h"
#include "engine/jinja.h"
#include "engine/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

struct chat_template {
	struct jinja_program *program; /* NULL: ChatML alone */
	struct jinja_program *chatml;
	char warning[ERR_TEXT_MAX + 64];
};

static const char CHATML[] =
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' ~ message.role ~ '\\n' -}}\n"
    "{%- if message.content is string -%}{{- message.content -}}\n"
    "{%- elif message.content -%}\n"
    "{%- for part in message.content -%}{{- part.text | default('') -}}{%- endfor -%}\n"
    "{%- endif -%}\n"
    "{{- '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

static int new_chatml(struct chat_template **out, struct err *err)
{
	struct chat_template *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(err, E_MEMORY, "no memory for a chat template");
	int rc = jinja_parse(bytes_str(CHATML), &t->chatml, err);
	if (rc)
		chat_template_free(t);
	else
		*out = t;
	return rc;
}

int chat_template_new(struct bytes source, struct chat_template **out, struct err *err)
{
	struct chat_template *t;
	int rc = new_chatml(&t, err);
	if (rc)
		return rc;
	rc = jinja_parse(source, &t->program, err);
	if (rc)
		chat_template_free(t);
	else
		*out = t;
	return rc;
}

int chat_template_of_file(const struct gguf *file, struct chat_template **out, struct err *err)
{
	struct bytes source;
	struct err why = {0};
	bool given = gguf_get_str(file, "tokenizer.chat_template", &source);
	if (given && chat_template_new(source, out, &why) == 0)
		return 0;
	int rc = new_chatml(out, err);
	if (rc == 0)
		snprintf((*out)->warning, sizeof(*out)->warning,
		    given ? "the file's chat template cannot be used, ChatML stands in: %s"
			  : "the file has no chat template, ChatML stands in%s",
		    given ? err_text(&why) : "");
	return rc;
}

void chat_template_free(struct chat_template *t)
{
	if (!t)
		return;
	jinja_free(t->program);
	jinja_free(t->chatml);
	free(t);
}

const char *chat_template_warning(const struct chat_template *t)
{
	return t->warning;
}

static struct bytes name_of(const struct tokenizer *t, int32_t id)
{
	return id == TOKEN_NONE ? (struct bytes){0} : tokenizer_piece(t, id);
}

struct chat_options chat_options_for(const struct tokenizer *tokenizer, int64_t now_s)
{
	return (struct chat_options){
	    .add_generation_prompt = true,
	    .bos = name_of(tokenizer, tokenizer_bos(tokenizer)),
	    .eos = name_of(tokenizer, tokenizer_eos(tokenizer)),
	    .now_s = now_s,
	};
}

/* A JSON string of text whose ill-formed bytes are replaced; NULL without memory. */
static json_t *json_text(struct bytes text)
{
	json_t *s = json_stringn(text.n ? (const char *)text.p : "", text.n);
	if (s || text.n > JINJA_OUTPUT_MAX)
		return s;
	struct detokenizer d = {0};
	struct buf mended = BUF_INIT(3 * text.n + 4);
	detokenizer_push(&d, text, &mended);
	detokenizer_finish(&d, &mended);
	if (!mended.failed)
		s = json_stringn(buf_cstr(&mended), mended.n);
	buf_free(&mended);
	return s;
}

/* The variables of a template, over borrowed messages. */
static json_t *globals_of(const json_t *messages, const struct chat_options *options)
{
	json_t *globals =
	    options->extra ? json_copy((json_t *)(uintptr_t)options->extra) : json_object();
	if (!globals)
		return NULL;
	int bad = json_object_set(globals, "messages", (json_t *)(uintptr_t)messages);
	bad |= json_object_set_new(globals, "bos_token", json_text(options->bos));
	bad |= json_object_set_new(globals, "eos_token", json_text(options->eos));
	bad |= json_object_set_new(
	    globals, "add_generation_prompt", json_boolean(options->add_generation_prompt));
	if (!bad)
		return globals;
	json_decref(globals);
	return NULL;
}

static int check_messages(const json_t *messages, struct err *err)
{
	size_t n = json_array_size(messages);
	if (n == 0)
		return err_set(err, E_INVALID, "there are no messages");
	if (n > CHAT_MESSAGES_MAX)
		return err_set(err, E_INVALID, "%zu messages; at most %d", n, CHAT_MESSAGES_MAX);
	for (size_t i = 0; i < n; i++)
		if (!json_is_string(json_object_get(json_array_get(messages, i), "role")))
			return err_set(err, E_INVALID, "message %zu has no role", i);
	return 0;
}

int chat_template_render_json(const struct chat_template *t, const json_t *messages,
    const struct chat_options *options, struct buf *out, bool *fell_back, struct err *err)
{
	int rc = check_messages(messages, err);
	if (rc)
		return rc;
	json_t *globals = globals_of(messages, options);
	if (!globals)
		return err_set(err, E_MEMORY, "no memory for the messages");
	struct err why = {0};
	rc = t->program ? jinja_render(t->program, globals, options->now_s, out, &why)
			: E_UNSUPPORTED;
	bool fall_back = rc && rc != E_INVALID && rc != E_MEMORY;
	if (fall_back)
		rc = jinja_render(t->chatml, globals, options->now_s, out, err);
	if (fall_back && rc == E_LIMIT) /* of ours, which a sane prompt does not exhaust */
		rc = err_set(err, E_CONTEXT_LENGTH, "the messages are too long for any context");
	else if (rc && !fall_back)
		err_set(err, rc, "%s", err_text(&why));
	if (fell_back)
		*fell_back = fall_back;
	json_decref(globals);
	return rc;
}

static json_t *messages_as_json(const struct chat_message *messages, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < n; i++) {
		json_t *one = json_object();
		int bad = json_object_set_new(one, "role", json_text(messages[i].role));
		bad |= json_object_set_new(one, "content", json_text(messages[i].content));
		bad |= json_array_append_new(list, one);
		if (bad) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int chat_template_render(const struct chat_template *t, const struct chat_message *messages,
    size_t n, const struct chat_options *options, struct buf *out, bool *fell_back, struct err *err)
{
	size_t total = 0;
	if (n > CHAT_MESSAGES_MAX)
		return err_set(err, E_INVALID, "%zu messages; at most %d", n, CHAT_MESSAGES_MAX);
	for (size_t i = 0; i < n; i++)
		total += messages[i].role.n + messages[i].content.n;
	if (total > JINJA_OUTPUT_MAX)
		return err_set(err, E_TOO_LARGE, "the messages are too long");
	json_t *list = messages_as_json(messages, n);
	if (!list)
		return err_set(err, E_MEMORY, "no memory for the messages");
	int rc = chat_template_render_json(t, list, options, out, fell_back, err);
	json_decref(list);
	return rc;
}
