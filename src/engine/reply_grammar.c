/* Tools, told and enforced: see reply.h. */
#include "engine/grammar.h"
#include "engine/reply.h"

#include <stdio.h>
#include <stdlib.h>

int reply_tools_json(const struct reply_tool *tools, size_t n, json_t **out, struct err *err)
{
	json_t *list = json_array();
	int rc = list ? 0 : err_set(err, E_MEMORY, "no memory for the tools");
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct reply_tool *t = &tools[i];
		json_t *schema = t->parameters.n
				     ? json_loadb((const char *)t->parameters.p, t->parameters.n,
					   JSON_REJECT_DUPLICATES, NULL)
				     : json_object();
		if (!json_is_object(schema)) {
			json_decref(schema);
			rc = err_set_param(err, E_INVALID, t->path, "is no JSON object");
			break;
		}
		json_t *one = json_pack("{s:s, s:{s:s, s:s, s:o}}", "type", "function", "function",
		    "name", t->name, "description", t->description ? t->description : "",
		    "parameters", schema);
		if (json_array_append_new(list, one))
			rc = err_set(err, E_MEMORY, "no memory for the tools");
	}
	if (rc)
		json_decref(list);
	else
		*out = list;
	return rc;
}

void reply_describe_tools(const json_t *tools, bool must_call, struct buf *out)
{
	char *text = json_dumps(tools, JSON_COMPACT);
	buf_str(out, "You can call these tools: ");
	buf_str(out, text ? text : "[]");
	buf_str(out, must_call ? "\nAnswer with one call of a tool and nothing else, as JSON: "
			       : "\nTo call one, answer with nothing but the call as JSON: ");
	buf_str(out, "{\"name\": the tool's name, \"arguments\": an object with its arguments}");
	if (!must_call)
		buf_str(out, "\nOtherwise answer in plain text.");
	free(text);
}

/* ---- the grammar --------------------------------------------------------------------------- */

/* A form's frame around and between calls, and what stands around a call's name and arguments. */
struct form {
	const char *prefix, *separator, *suffix;
	const char *before_name, *before_arguments, *after;
};

#define DS(word) "<\xef\xbd\x9ctool\xe2\x96\x81" word "\xef\xbd\x9c>"
#define DS_CALLS(word)                                                                             \
	"<\xef\xbd\x9ctool\xe2\x96\x81"                                                            \
	"calls\xe2\x96\x81" word "\xef\xbd\x9c>"
#define DS_CALL(word)                                                                              \
	"<\xef\xbd\x9ctool\xe2\x96\x81"                                                            \
	"call\xe2\x96\x81" word "\xef\xbd\x9c>"

static const struct form FORMS[] = {
    [TOOL_FORM_JSON] = {"", "\n", "", "{\"name\": \"", "\", \"arguments\": ", "}"},
    [TOOL_FORM_HERMES] = {"<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>",
	"{\"name\": \"", "\", \"arguments\": ", "}"},
    [TOOL_FORM_LLAMA] = {"", "; ", "", "{\"name\": \"", "\", \"parameters\": ", "}"},
    [TOOL_FORM_MISTRAL] = {"[TOOL_CALLS][", ", ", "]", "{\"name\": \"", "\", \"arguments\": ", "}"},
    [TOOL_FORM_MISTRAL_ARGS] = {"[TOOL_CALLS]", "[TOOL_CALLS]", "", "", "[ARGS]", ""},
    [TOOL_FORM_DEEPSEEK] = {DS_CALLS("begin"), "\n", DS_CALLS("end"),
	DS_CALL("begin") "function" DS("sep"), "\n```json\n", "\n```" DS_CALL("end")},
};

#define PARTS 3

struct call_parts {
	struct grammar_part parts[PARTS];
	struct buf head; /* the literal before the arguments */
};

/* Names with quotes or backslashes, which no API allows, would need escaping. */
static bool is_plain(const char *name)
{
	for (; *name; name++)
		if (*name == '"' || *name == '\\' || (uint8_t)*name < 0x20)
			return false;
	return true;
}

static int check_tool(const struct reply_tool *t, const struct grammar_alphabet *alphabet,
    bool *as_object, struct err *err)
{
	struct grammar *g;
	struct err why = {0};
	*as_object = t->parameters.n == 0;
	if (!is_plain(t->name))
		return err_set_param(err, E_INVALID, t->path, "the tool's name is not usable");
	if (*as_object)
		return 0;
	int rc = grammar_of_document(t->parameters, t->path, alphabet, &g, &why);
	if (rc == 0)
		grammar_free(g);
	else if ((rc == E_UNSUPPORTED || rc == E_TOO_LARGE) && !t->strict)
		*as_object = true;
	else if (err)
		*err = why;
	return *as_object ? 0 : rc;
}

static int make_parts(struct call_parts *c, const struct reply_tool *t, const struct form *f,
    const struct grammar_alphabet *alphabet, struct err *err)
{
	bool as_object;
	int rc = check_tool(t, alphabet, &as_object, err);
	c->head = BUF_INIT(4096);
	buf_str(&c->head, f->before_name);
	buf_str(&c->head, t->name);
	buf_str(&c->head, f->before_arguments);
	c->parts[0] = (struct grammar_part){GRAMMAR_LITERAL, buf_view(&c->head), NULL};
	c->parts[1] = (struct grammar_part){
	    as_object ? GRAMMAR_OBJECT : GRAMMAR_SCHEMA, t->parameters, t->path};
	c->parts[2] = (struct grammar_part){GRAMMAR_LITERAL, bytes_str(f->after), NULL};
	return rc ? rc : buf_ok(&c->head, err);
}

int reply_call_grammar(const struct reply_tool *tools, size_t n,
    const struct reply_call_options *opt, const struct grammar_alphabet *alphabet,
    struct grammar **out, struct err *err)
{
	const struct form *f = &FORMS[opt->form];
	if (n == 0 || n > REPLY_TOOLS_MAX)
		return err_set(err, E_INVALID, "%zu tools", n);
	struct call_parts *calls = calloc(n, sizeof *calls);
	struct grammar_sequence *all = calloc(n, sizeof *all);
	int rc = calls && all ? 0 : err_set(err, E_MEMORY, "no memory for the tools");
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = make_parts(&calls[i], &tools[i], f, alphabet, err);
		all[i] = (struct grammar_sequence){calls[i].parts, PARTS};
	}
	struct grammar_shape shape = {.alternatives = all,
	    .n = n,
	    .prefix = bytes_str(f->prefix),
	    .separator = bytes_str(f->separator),
	    .suffix = bytes_str(f->suffix),
	    .max_items = opt->max_calls,
	    .optional = opt->optional,
	    .instead = opt->instead};
	if (rc == 0)
		rc = grammar_new(&shape, alphabet, out, err);
	for (size_t i = 0; calls && i < n; i++)
		buf_free(&calls[i].head);
	free(calls);
	free(all);
	return rc;
}
