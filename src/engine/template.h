/* Chat templates: a conversation to the text that a model was trained to continue. The template
 * comes with the model file (Jinja, see engine/jinja.h); a file without a usable one gets ChatML.
 */
#ifndef ENGINE_TEMPLATE_H
#define ENGINE_TEMPLATE_H

#include "base/bytes.h"

#include <jansson.h>

struct gguf;
struct tokenizer;
struct chat_template; /* immutable once made; shared by threads */

#define CHAT_MESSAGES_MAX 10000

/* One turn; both views are borrowed and UTF-8 (ill-formed bytes become U+FFFD). */
struct chat_message {
	struct bytes role; /* "system", "user", "assistant" */
	struct bytes content;
};

struct chat_options {
	bool add_generation_prompt; /* ends with the opening of the assistant's turn */
	struct bytes bos, eos;      /* what the template's bos_token and eos_token write */
	int64_t now_s;              /* the time a template may ask for (Unix seconds) */
	/* More variables (tools, enable_thinking …): an object, borrowed, or NULL. */
	const json_t *extra;
};

/* Of a Jinja source. Errors of jinja_parse. */
int chat_template_new(struct bytes source, struct chat_template **out, struct err *err) WARN_UNUSED;

/* Of a model file: its tokenizer.chat_template, or ChatML when there is none or it cannot be parsed
 * (chat_template_warning says so). E_MEMORY. */
int chat_template_of_file(
    const struct gguf *file, struct chat_template **out, struct err *err) WARN_UNUSED;
void chat_template_free(struct chat_template *t); /* NULL is fine */

/* Why ChatML stands in for the file's own template, or "". Never NULL. */
const char *chat_template_warning(const struct chat_template *t);

/* Options with BOS and EOS as the tokenizer has them, generation prompt on. */
struct chat_options chat_options_for(const struct tokenizer *tokenizer, int64_t now_s);

/* Appends the conversation. E_INVALID when the template itself refuses it (its message), when there
 * are no messages or too many; when a template fails for any other reason, ChatML is written
 * instead and *fell_back (may be NULL) is set. E_MEMORY, E_TOO_LARGE. */
int chat_template_render(const struct chat_template *t, const struct chat_message *messages,
    size_t n, const struct chat_options *options, struct buf *out, bool *fell_back,
    struct err *err) WARN_UNUSED;

/* The same for messages as JSON: an array of objects with at least "role", each with whatever else
 * the template may read (content as a string, null or parts; tool_calls …). Borrowed. */
int chat_template_render_json(const struct chat_template *t, const json_t *messages,
    const struct chat_options *options, struct buf *out, bool *fell_back,
    struct err *err) WARN_UNUSED;

#endif
