/* Replies: what the text of a model consists of. Models were trained to wrap their thoughts and
 * their tool calls in marks of their family; here a reply is taken apart as it comes, and for
 * calls that must be made, the grammar of the family's form is built.
 *
 * Families (told by the chat template): Hermes and Qwen (<tool_call>{"name", "arguments"}
 * </tool_call>), Llama 3 ({"name", "parameters"}, or after <|python_tag|>), Mistral ([TOOL_CALLS]
 * and a list, later [TOOL_CALLS]name[ARGS]{…} for each), DeepSeek (its own tokens around a name and
 * JSON). Any other model is told in a
 * system text to write {"name", "arguments"} and nothing else. */
#ifndef ENGINE_REPLY_H
#define ENGINE_REPLY_H

#include "base/bytes.h"

#include <jansson.h>

struct grammar;
struct grammar_alphabet;
struct grammar_part;
struct tokenizer;

enum tool_form {
	TOOL_FORM_JSON,
	TOOL_FORM_HERMES,
	TOOL_FORM_LLAMA,
	TOOL_FORM_MISTRAL,
	TOOL_FORM_MISTRAL_ARGS,
	TOOL_FORM_DEEPSEEK,
};

/* How a model writes and reads, as its chat template shows. */
struct reply_style {
	enum tool_form form;
	bool knows_tools; /* the template takes `tools` and tool messages */
	bool thinks;      /* thoughts stand between <think> and </think> */
};

struct reply_style reply_style_of(struct bytes template_source);

#define REPLY_VISIBLE_MAX 8

/* The control tokens of the form's marks in this vocabulary: generate_job.visible. */
size_t reply_visible_tokens(const struct reply_style *style, const struct tokenizer *tokenizer,
    int32_t out[REPLY_VISIBLE_MAX]);

/* ---- taking apart -------------------------------------------------------------------------- */

enum reply_part {
	REPLY_TEXT,
	REPLY_REASONING,
	REPLY_CALL, /* a whole call: name, and arguments in `text` */
};

/* Any result but 0 stops. Views live as long as the call. */
typedef int (*reply_fn)(void *arg, enum reply_part part, struct bytes text, struct bytes name);

struct reply_options {
	struct reply_style style;
	bool calls;    /* look for tool calls */
	bool thinking; /* the prompt ended inside the thoughts */
};

#define REPLY_HELD_MAX ((size_t)4 << 20) /* bytes of one call */

/* Owns `held`. */
struct reply_parser {
	struct reply_options opt;
	int state;
	struct buf held;
	unsigned n_calls;
	reply_fn emit;
	void *arg;
};

void reply_parser_init(
    struct reply_parser *p, const struct reply_options *opt, reply_fn emit, void *arg);
void reply_parser_free(struct reply_parser *p);
/* 0, what `emit` returned, E_TOO_LARGE or E_MEMORY. Text is whole UTF-8. */
int reply_parser_push(struct reply_parser *p, struct bytes text) WARN_UNUSED;
/* The reply ends: what was held back comes out, a call cut short as text. */
int reply_parser_finish(struct reply_parser *p) WARN_UNUSED;

/* ---- calls that must be made --------------------------------------------------------------- */

#define REPLY_TOOLS_MAX 512

struct reply_tool {
	const char *name;
	const char *description; /* or NULL */
	struct bytes parameters; /* a JSON Schema; empty: none */
	bool strict;
	char path[64]; /* what errors call it: "tools[0].function.parameters" */
};

struct reply_call_options {
	enum tool_form form;
	bool optional;                      /* plain text may come instead, and before */
	unsigned max_calls;                 /* 1 … 64 */
	const struct grammar_part *instead; /* a document that may come instead, or NULL */
};

/* The grammar of replies that call these tools. Parameters that a grammar cannot express become any
 * object, except those of strict tools: E_UNSUPPORTED then. E_INVALID, E_TOO_LARGE, E_MEMORY. */
int reply_call_grammar(const struct reply_tool *tools, size_t n,
    const struct reply_call_options *opt, const struct grammar_alphabet *alphabet,
    struct grammar **out, struct err *err) WARN_UNUSED;

/* The tools as chat templates take them: [{"type":"function","function":{…}}]. NULL without memory.
 * E_INVALID (the tool's path) for parameters that are no JSON object. */
int reply_tools_json(
    const struct reply_tool *tools, size_t n, json_t **out, struct err *err) WARN_UNUSED;

/* Appends what a model whose template knows no tools is told about them. */
void reply_describe_tools(const json_t *tools, bool must_call, struct buf *out);

#endif
