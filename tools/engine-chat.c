/* engine-chat: asks a model every line of standard input and prints what it answers.
 *
 *     engine-chat [OPTIONS] MODEL < prompts
 *
 * Each line is one conversation of one user turn, or, with --messages, a JSON array of messages as
 * the OpenAI API has them; it is put through the file's chat template and decoded greedily (unless
 * --temperature says otherwise). For each comes one line of JSON:
 *     {"prompt","answer","finish","prompt_tokens","completion_tokens"}
 * or {"prompt","error"} when it cannot be answered. Exit status: 0, 1 for an error of the file or
 * of any prompt, 2 for wrong usage. */
#include "base/encode.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/template.h"
#include "engine/tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_MAX_BYTES ((size_t)1 << 20)

struct arguments {
	const char *model;
	const char *system; /* or NULL */
	bool messages;      /* each line is an array of messages */
	size_t max_tokens;
	uint32_t context; /* 0: what the model was trained for */
	struct sampler_params sampling;
	struct engine_options engine;
};

struct chat {
	const struct arguments *args;
	struct engine_model *model;
	struct tokenizer *tokenizer;
	struct chat_template *template;
	struct generator *generator;
};

static void usage(FILE *out)
{
	fputs(
	    "usage: engine-chat [--messages | --system TEXT] [--max-tokens N] [--temperature T] "
	    "[--seed N]\n"
	    "                   [--context N] [--threads N] [--kernels auto|ref|avx2|avx512] "
	    "MODEL\n"
	    "Reads a prompt, or with --messages a JSON list of messages, and prints the answer.\n",
	    out);
}

static bool parse_number(const char *text, double low, double high, double *out)
{
	char *end;
	errno = 0;
	*out = text ? strtod(text, &end) : 0;
	return text && !errno && end != text && !*end && *out >= low && *out <= high;
}

static bool parse_option(struct arguments *a, const char *name, const char *value)
{
	double n;
	if (strcmp(name, "--system") == 0) {
		a->system = value;
		return value != NULL;
	}
	if (strcmp(name, "--kernels") == 0)
		return value && engine_kernel_choice_parse(value, &a->engine.kernels, NULL) == 0;
	if (strcmp(name, "--temperature") == 0) {
		bool good = parse_number(value, 0, 100, &n);
		a->sampling.temperature = (float)n;
		return good;
	}
	if (!parse_number(value, 0, 1e9, &n))
		return false;
	if (strcmp(name, "--max-tokens") == 0)
		a->max_tokens = (size_t)n;
	else if (strcmp(name, "--seed") == 0)
		a->sampling.seed = (uint64_t)n;
	else if (strcmp(name, "--context") == 0)
		a->context = (uint32_t)n;
	else if (strcmp(name, "--threads") == 0)
		a->engine.threads = (unsigned)n;
	else
		return false;
	return true;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
	*a = (struct arguments){.max_tokens = 256, .sampling = SAMPLER_DEFAULTS};
	a->sampling.temperature = 0;
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-') {
			if (a->model)
				return false;
			a->model = argv[i];
		} else if (strcmp(argv[i], "--messages") == 0) {
			a->messages = true;
		} else {
			if (!parse_option(a, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
				return false;
			i++;
		}
	}
	return a->model != NULL && !(a->messages && a->system);
}

static int open_chat(struct chat *c, struct err *err)
{
	int rc = engine_model_load(c->args->model, &c->args->engine, &c->model, err);
	if (rc == 0)
		rc = tokenizer_new(engine_model_gguf(c->model), &c->tokenizer, err);
	if (rc == 0)
		rc = chat_template_of_file(engine_model_gguf(c->model), &c->template, err);
	if (rc)
		return rc;
	if (*tokenizer_warning(c->tokenizer))
		fprintf(stderr, "engine-chat: warning: %s\n", tokenizer_warning(c->tokenizer));
	if (*chat_template_warning(c->template))
		fprintf(stderr, "engine-chat: warning: %s\n", chat_template_warning(c->template));
	uint32_t n_ctx = c->args->context ? c->args->context : engine_model_n_ctx_train(c->model);
	return generator_new(c->model, c->tokenizer, n_ctx, 1, &c->generator, err);
}

static void close_chat(struct chat *c)
{
	generator_free(c->generator);
	chat_template_free(c->template);
	tokenizer_free(c->tokenizer);
	engine_model_free(c->model);
}

static int append(void *arg, const struct generate_piece *piece)
{
	struct buf *answer = arg;
	buf_put(answer, piece->utf8, piece->n);
	return 0;
}

/* A line of --messages: an array of messages, already valid UTF-8. */
static int render_messages(const struct chat *c, struct bytes line,
    const struct chat_options *options, struct buf *text, struct err *err)
{
	json_error_t where;
	json_t *messages = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, &where);
	int rc = messages
		     ? chat_template_render_json(c->template, messages, options, text, NULL, err)
		     : err_set(err, E_FORMAT, "no JSON: %s", where.text);
	json_decref(messages);
	return rc;
}

static int render_turn(const struct chat *c, struct bytes prompt,
    const struct chat_options *options, struct buf *text, struct err *err)
{
	struct chat_message messages[2] = {{.role = bytes_str("user"), .content = prompt}};
	size_t n = 1;
	if (c->args->system) {
		messages[n++] = messages[0];
		messages[0] =
		    (struct chat_message){bytes_str("system"), bytes_str(c->args->system)};
	}
	return chat_template_render(c->template, messages, n, options, text, NULL, err);
}

/* The prompt as the model wants it, in tokens. */
static int encode(
    const struct chat *c, struct bytes prompt, struct token_list *ids, struct err *err)
{
	struct buf text = BUF_INIT(TOKENIZER_TEXT_MAX);
	struct chat_options options = chat_options_for(c->tokenizer, (int64_t)time(NULL));
	int rc = c->args->messages ? render_messages(c, prompt, &options, &text, err)
				   : render_turn(c, prompt, &options, &text, err);
	if (rc == 0)
		rc = tokenizer_encode(c->tokenizer, buf_view(&text),
		    TOKENIZE_PARSE_SPECIAL | TOKENIZE_BOS_ONCE, ids, err);
	buf_free(&text);
	return rc;
}

static int answer(const struct chat *c, struct bytes prompt, struct buf *text,
    struct generate_result *result, struct err *err)
{
	struct token_list ids = {0};
	int rc = encode(c, prompt, &ids, err);
	const struct generate_job job = {.prompt = ids.ids,
	    .n_prompt = ids.n,
	    .max_tokens = c->args->max_tokens,
	    .sampling = c->args->sampling,
	    .emit = append,
	    .arg = text};
	if (rc == 0)
		rc = generator_run(c->generator, &job, result, err);
	if (rc == 0)
		rc = buf_ok(text, err);
	token_list_free(&ids);
	return rc;
}

static int print_answer(const struct chat *c, struct bytes prompt)
{
	struct buf text = BUF_INIT((size_t)64 << 20);
	struct generate_result result;
	struct err err = {0};
	const char *p = prompt.n ? (const char *)prompt.p : "";
	json_t *line = NULL;
	int rc = utf8_valid_prefix(prompt) == prompt.n
		     ? answer(c, prompt, &text, &result, &err)
		     : err_set(&err, E_INVALID, "a prompt is not valid UTF-8");
	if (rc == 0)
		line = json_pack("{s:s%, s:s%, s:s, s:I, s:I}", "prompt", p, prompt.n, "answer",
		    buf_cstr(&text), text.n, "finish", generate_finish_name(result.finish),
		    "prompt_tokens", (json_int_t)result.prompt_tokens, "completion_tokens",
		    (json_int_t)result.completion_tokens);
	else
		line = json_pack(
		    "{s:s%, s:s}", "prompt", p, utf8_valid_prefix(prompt), "error", err_text(&err));
	if (!line || json_dumpf(line, stdout, JSON_COMPACT) != 0)
		rc = E_IO;
	putchar('\n');
	if (fflush(stdout) != 0)
		rc = E_IO;
	json_decref(line);
	buf_free(&text);
	return rc;
}

static int ask_all(const struct chat *c)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int worst = 0;
	while ((n = getline(&line, &cap, stdin)) >= 0) {
		size_t length = (size_t)n - (n > 0 && line[n - 1] == '\n');
		int rc =
		    length > LINE_MAX_BYTES ? E_TOO_LARGE : print_answer(c, bytes_of(line, length));
		if (rc == E_TOO_LARGE)
			fprintf(stderr, "engine-chat: a prompt of %zu bytes is too long\n", length);
		worst = rc ? rc : worst;
	}
	free(line);
	return worst;
}

int main(int argc, char **argv)
{
	struct arguments args;
	struct err err = {0};
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	if (!parse(argc, argv, &args)) {
		usage(stderr);
		return 2;
	}
	struct chat c = {.args = &args};
	int rc = open_chat(&c, &err);
	if (rc)
		fprintf(stderr, "engine-chat: %s\n", err_text(&err));
	else
		rc = ask_all(&c);
	close_chat(&c);
	return rc ? 1 : 0;
}
