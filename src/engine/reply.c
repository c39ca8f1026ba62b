/* Taking replies apart: see reply.h. A mark may be cut anywhere by the pieces that the text comes
 * in, so what could begin one is held back. */
#include "engine/reply.h"

#include "engine/tokenizer.h"

#include <stdlib.h>

#define THINK_OPEN  "<think>"
#define THINK_CLOSE "</think>"
#define ARGS_MARK   "[ARGS]"

enum parser_state {
	AT_START, /* nothing but white space so far */
	IN_THOUGHT,
	AFTER_THOUGHT, /* white space that belongs to nobody */
	IN_TEXT,
	IN_CALL /* `held` begins with the mark that opened it */
};

/* The marks of a form: before and after each call, or "" where the end of the reply ends it. */
struct marks {
	const char *open, *close;
};

static const struct marks MARKS[] = {
    [TOOL_FORM_JSON] = {"", ""},
    [TOOL_FORM_HERMES] = {"<tool_call>", "</tool_call>"},
    [TOOL_FORM_LLAMA] = {"<|python_tag|>", ""},
    [TOOL_FORM_MISTRAL] = {"[TOOL_CALLS]", ""},
    [TOOL_FORM_MISTRAL_ARGS] = {"[TOOL_CALLS]", ""},
    [TOOL_FORM_DEEPSEEK] = {"<\xef\xbd\x9ctool\xe2\x96\x81"
			    "calls\xe2\x96\x81"
			    "begin\xef\xbd\x9c>",
	"<\xef\xbd\x9ctool\xe2\x96\x81"
	"calls\xe2\x96\x81"
	"end\xef\xbd\x9c>"},
};

static bool mentions(struct bytes source, const char *word)
{
	return source.p && source.n && memmem(source.p, source.n, word, strlen(word));
}

struct reply_style reply_style_of(struct bytes source)
{
	struct reply_style s = {.form = TOOL_FORM_JSON};
	s.knows_tools = mentions(source, "tools");
	s.thinks = mentions(source, THINK_OPEN) || mentions(source, THINK_CLOSE);
	if (!s.knows_tools)
		return s;
	if (mentions(source, MARKS[TOOL_FORM_DEEPSEEK].open))
		s.form = TOOL_FORM_DEEPSEEK;
	else if (mentions(source, MARKS[TOOL_FORM_HERMES].open))
		s.form = TOOL_FORM_HERMES;
	else if (mentions(source, MARKS[TOOL_FORM_MISTRAL].open))
		s.form = mentions(source, ARGS_MARK) ? TOOL_FORM_MISTRAL_ARGS : TOOL_FORM_MISTRAL;
	else if (mentions(source, MARKS[TOOL_FORM_LLAMA].open) || mentions(source, "ipython"))
		s.form = TOOL_FORM_LLAMA;
	return s;
}

size_t reply_visible_tokens(const struct reply_style *style, const struct tokenizer *tokenizer,
    int32_t out[REPLY_VISIBLE_MAX])
{
	static const char *const inside[] = {"<\xef\xbd\x9ctool\xe2\x96\x81"
					     "call\xe2\x96\x81"
					     "begin\xef\xbd\x9c>",
	    "<\xef\xbd\x9ctool\xe2\x96\x81"
	    "call\xe2\x96\x81"
	    "end\xef\xbd\x9c>",
	    "<\xef\xbd\x9ctool\xe2\x96\x81"
	    "sep\xef\xbd\x9c>"};
	const char *names[REPLY_VISIBLE_MAX] = {THINK_OPEN, THINK_CLOSE, MARKS[style->form].open,
	    MARKS[style->form].close, inside[0], inside[1], inside[2], ARGS_MARK};
	size_t n = 0;
	for (size_t i = 0; i < REPLY_VISIBLE_MAX; i++) {
		int32_t id =
		    *names[i] ? tokenizer_find(tokenizer, bytes_str(names[i])) : TOKEN_NONE;
		if (id != TOKEN_NONE && tokenizer_is_control(tokenizer, id) &&
		    !tokenizer_is_end_of_generation(tokenizer, id))
			out[n++] = id;
	}
	return n;
}

/* ---- calls --------------------------------------------------------------------------------- */

static int emit_call(struct reply_parser *p, struct bytes name, struct bytes arguments)
{
	p->n_calls++;
	return p->emit(p->arg, REPLY_CALL, arguments, name);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static struct bytes trim(struct bytes b)
{
	while (b.n && is_space(b.p[0]))
		b = bytes_of(b.p + 1, b.n - 1);
	while (b.n && is_space(b.p[b.n - 1]))
		b.n--;
	return b;
}

#define CALL_NEST_MAX 64

/* Bytes of the JSON value that the text begins with, found by its brackets; 0: none is complete. */
static size_t json_extent(struct bytes text)
{
	size_t depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '['))
			depth++;
		else if (!quoted && depth && (c == '}' || c == ']') && --depth == 0)
			return i + 1;
		if (depth == 0 || depth > CALL_NEST_MAX)
			return 0;
	}
	return 0;
}

static json_t *read_json(struct bytes text)
{
	return json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
}

/* A call has a name, and arguments or parameters that are an object (or none at all). */
static const json_t *arguments_of(const json_t *call)
{
	const json_t *a = json_object_get(call, "arguments");
	if (!a)
		a = json_object_get(call, "parameters");
	return a;
}

static bool is_call(const json_t *call)
{
	const json_t *name = json_object_get(call, "name"), *a = arguments_of(call);
	return json_is_string(name) && json_string_length(name) > 0 && (!a || json_is_object(a));
}

static int take_call(struct reply_parser *p, const json_t *call)
{
	const json_t *name = json_object_get(call, "name"), *a = arguments_of(call);
	char *text = a ? json_dumps(a, JSON_COMPACT) : strdup("{}");
	if (!text)
		return E_MEMORY;
	int rc = emit_call(
	    p, bytes_of(json_string_value(name), json_string_length(name)), bytes_str(text));
	free(text);
	return rc;
}

static bool all_calls(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!is_call(json_array_get(list, i)))
			return false;
	return json_array_size(list) > 0;
}

/* One value: a call, or a list of calls. Sets *taken. */
static int take_value(struct reply_parser *p, struct bytes text, bool *taken)
{
	json_t *v = read_json(text);
	int rc = 0;
	*taken = is_call(v) || all_calls(v);
	if (is_call(v))
		rc = take_call(p, v);
	else if (*taken)
		for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
			rc = take_call(p, json_array_get(v, i));
	json_decref(v);
	return rc;
}

/* Values one after another, with white space, ";" or "," between them. What remains is in *text. */
static int take_values(struct reply_parser *p, struct bytes *text)
{
	int rc = 0;
	for (bool taken = true; taken && rc == 0;) {
		*text = trim(*text);
		while (p->n_calls && text->n && (text->p[0] == ';' || text->p[0] == ','))
			*text = trim(bytes_of(text->p + 1, text->n - 1));
		size_t n = json_extent(*text);
		taken = false;
		if (n)
			rc = take_value(p, bytes_of(text->p, n), &taken);
		if (taken)
			*text = bytes_of(text->p + n, text->n - n);
	}
	return rc;
}

/* DeepSeek: type, separator, name, a fence, JSON, a fence; each between marks of its own. */
static int take_deepseek(struct reply_parser *p, struct bytes *text)
{
	static const char sep[] = "<\xef\xbd\x9ctool\xe2\x96\x81"
				  "sep\xef\xbd\x9c>";
	int rc = 0;
	for (;;) {
		const uint8_t *at = text->n ? memmem(text->p, text->n, sep, sizeof sep - 1) : NULL;
		const uint8_t *end = text->p + text->n;
		if (!at || rc)
			return rc;
		at += sizeof sep - 1;
		const uint8_t *brace = memchr(at, '{', (size_t)(end - at));
		const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
		const uint8_t *stop = line && brace && line < brace ? line : brace;
		size_t n = brace ? json_extent(bytes_of(brace, (size_t)(end - brace))) : 0;
		struct bytes name = stop ? trim(bytes_of(at, (size_t)(stop - at))) : *text;
		json_t *v = n ? read_json(bytes_of(brace, n)) : NULL;
		if (!json_is_object(v) || name.n == 0) {
			json_decref(v);
			return 0;
		}
		json_decref(v);
		rc = emit_call(p, name, bytes_of(brace, n));
		*text = bytes_of(brace + n, (size_t)(end - brace) - n);
	}
}

/* name[ARGS]{…}, and before the next one its mark again. */
static int take_named(struct reply_parser *p, struct bytes *text)
{
	const char *open = MARKS[TOOL_FORM_MISTRAL_ARGS].open;
	for (int rc = 0;;) {
		*text = trim(*text);
		if (text->n >= strlen(open) && memcmp(text->p, open, strlen(open)) == 0)
			*text = bytes_of(text->p + strlen(open), text->n - strlen(open));
		const uint8_t *at =
		    text->n ? memmem(text->p, text->n, ARGS_MARK, strlen(ARGS_MARK)) : NULL;
		if (!at || rc)
			return rc;
		struct bytes name = trim(bytes_of(text->p, (size_t)(at - text->p)));
		at += strlen(ARGS_MARK);
		struct bytes rest = trim(bytes_of(at, (size_t)(text->p + text->n - at)));
		size_t n = json_extent(rest);
		json_t *v = n ? read_json(bytes_of(rest.p, n)) : NULL;
		bool good = json_is_object(v) && name.n > 0;
		json_decref(v);
		if (!good)
			return 0;
		rc = emit_call(p, name, bytes_of(rest.p, n));
		*text = bytes_of(rest.p + n, rest.n - n);
	}
}

/* The calls of a stretch between marks; `whole` has the marks. What is no call comes out as text.
 */
static int take_calls(struct reply_parser *p, struct bytes inner, struct bytes whole)
{
	unsigned before = p->n_calls;
	enum tool_form form = p->opt.style.form;
	int rc = form == TOOL_FORM_DEEPSEEK       ? take_deepseek(p, &inner)
		 : form == TOOL_FORM_MISTRAL_ARGS ? take_named(p, &inner)
						  : take_values(p, &inner);
	if (rc || p->n_calls > before || whole.n == 0)
		return rc;
	return p->emit(p->arg, REPLY_TEXT, whole, (struct bytes){0});
}

/* ---- the stream ---------------------------------------------------------------------------- */

void reply_parser_init(
    struct reply_parser *p, const struct reply_options *opt, reply_fn emit, void *arg)
{
	*p = (struct reply_parser){.opt = *opt,
	    .state = opt->thinking ? IN_THOUGHT : AT_START,
	    .held = BUF_INIT(REPLY_HELD_MAX),
	    .emit = emit,
	    .arg = arg};
}

void reply_parser_free(struct reply_parser *p)
{
	buf_free(&p->held);
}

static int emit_front(struct reply_parser *p, enum reply_part part, size_t n)
{
	struct bytes text = bytes_of(p->held.p, n);
	int rc = n ? p->emit(p->arg, part, text, (struct bytes){0}) : 0;
	buf_consume(&p->held, n);
	return rc;
}

/* Bytes at the end of the text that may begin `mark`. */
static size_t beginning_of(struct bytes text, const char *mark)
{
	size_t n = strlen(mark);
	n = n && n - 1 < text.n ? n - 1 : n ? text.n : 0;
	while (n && memcmp(text.p + text.n - n, mark, n) != 0)
		n--;
	return n;
}

static const uint8_t *find(const struct buf *held, const char *mark)
{
	return held->n && *mark ? memmem(held->p, held->n, mark, strlen(mark)) : NULL;
}

static size_t leading_space(const struct buf *b)
{
	size_t n = 0;
	while (n < b->n && is_space(b->p[n]))
		n++;
	return n;
}

/* True when what is held could still become `mark`, or is it (then *is). */
static bool may_be(struct bytes text, const char *mark, bool *is)
{
	size_t n = strlen(mark);
	*is = n && text.n >= n && memcmp(text.p, mark, n) == 0;
	return *is || (text.n < n && (text.n == 0 || memcmp(text.p, mark, text.n) == 0));
}

/* Whether the form's calls stand without a mark, so that the reply's first character tells. */
static bool is_bare(const struct reply_parser *p)
{
	return p->opt.calls &&
	       (p->opt.style.form == TOOL_FORM_JSON || p->opt.style.form == TOOL_FORM_LLAMA);
}

/* Each state's step: true in *again when there is more to do. */
static int step_start(struct reply_parser *p, bool *again)
{
	size_t space = leading_space(&p->held);
	struct bytes rest = bytes_of(p->held.p + space, p->held.n - space);
	bool is = false, maybe = p->opt.style.thinks && may_be(rest, THINK_OPEN, &is);
	if (is) {
		buf_consume(&p->held, space + strlen(THINK_OPEN));
		p->state = IN_THOUGHT;
	} else if (maybe || rest.n == 0) {
		*again = false; /* not known yet */
	} else {
		p->state = is_bare(p) && (rest.p[0] == '{' || rest.p[0] == '[') ? IN_CALL : IN_TEXT;
	}
	return 0;
}

static int step_thought(struct reply_parser *p, bool *again)
{
	const uint8_t *end = find(&p->held, THINK_CLOSE);
	if (end) {
		int rc = emit_front(p, REPLY_REASONING, (size_t)(end - p->held.p));
		buf_consume(&p->held, strlen(THINK_CLOSE));
		p->state = AFTER_THOUGHT;
		return rc;
	}
	*again = false;
	return emit_front(
	    p, REPLY_REASONING, p->held.n - beginning_of(buf_view(&p->held), THINK_CLOSE));
}

static int step_after(struct reply_parser *p, bool *again)
{
	buf_consume(&p->held, leading_space(&p->held));
	*again = p->held.n > 0;
	if (*again)
		p->state =
		    is_bare(p) && (p->held.p[0] == '{' || p->held.p[0] == '[') ? IN_CALL : IN_TEXT;
	return 0;
}

static int step_text(struct reply_parser *p, bool *again)
{
	const char *open = p->opt.calls ? MARKS[p->opt.style.form].open : "";
	const uint8_t *at = find(&p->held, open);
	if (at) {
		size_t before = (size_t)(at - p->held.p), n = before;
		while (n && is_space(p->held.p[n - 1]))
			n--;
		int rc = emit_front(p, REPLY_TEXT, n);
		buf_consume(&p->held, before - n);
		p->state = IN_CALL;
		return rc;
	}
	*again = false;
	size_t hold = beginning_of(buf_view(&p->held), open);
	/* White space before a call is not part of the text. */
	while (*open && p->held.n - hold > 0 && is_space(p->held.p[p->held.n - hold - 1]))
		hold++;
	return emit_front(p, REPLY_TEXT, p->held.n - hold);
}

static int step_call(struct reply_parser *p, bool *again)
{
	const struct marks *m = &MARKS[p->opt.style.form];
	const uint8_t *end = find(&p->held, m->close);
	*again = end != NULL;
	if (!end)
		return 0;
	size_t open = strlen(m->open), n = (size_t)(end - p->held.p);
	struct bytes whole = bytes_of(p->held.p, n + strlen(m->close));
	int rc = take_calls(p, bytes_of(p->held.p + open, n - open), whole);
	buf_consume(&p->held, whole.n);
	p->state = IN_TEXT;
	return rc;
}

static int step(struct reply_parser *p, bool *again)
{
	switch ((enum parser_state)p->state) {
	case AT_START:
		return step_start(p, again);
	case IN_THOUGHT:
		return step_thought(p, again);
	case AFTER_THOUGHT:
		return step_after(p, again);
	case IN_TEXT:
		return step_text(p, again);
	case IN_CALL:
		return step_call(p, again);
	}
	return 0;
}

int reply_parser_push(struct reply_parser *p, struct bytes text)
{
	int rc = 0;
	buf_bytes(&p->held, text);
	if (p->held.failed)
		return E_TOO_LARGE;
	for (bool again = p->held.n > 0; again && rc == 0;)
		rc = step(p, &again);
	return rc;
}

int reply_parser_finish(struct reply_parser *p)
{
	struct bytes whole = buf_view(&p->held), inner = whole;
	const char *open = MARKS[p->opt.style.form].open;
	bool is = false;
	if (p->state == IN_THOUGHT)
		return emit_front(p, REPLY_REASONING, p->held.n);
	if (p->state == IN_CALL) {
		if (may_be(whole, open, &is) && is)
			inner = bytes_of(whole.p + strlen(open), whole.n - strlen(open));
		int rc = take_calls(p, inner, whole);
		buf_reset(&p->held);
		return rc;
	}
	/* White space that waited for a call that did not come, unless calls came before. */
	if (p->n_calls && trim(whole).n == 0)
		return 0;
	return emit_front(p, REPLY_TEXT, p->held.n);
}
