/* The command line: help, exit statuses, and one fiber that runs the command.
 *
 * Must stay true: usage is judged before the node is looked for; with --json every failure, of
 * usage and by Ctrl-C too, is exactly one document on standard output. */
#include "cli/cli_priv.h"

#include "rt/world_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- help ---------------------------------------------------------------------------------- */

#define FLAG_MAX 48 /* bytes of a flag with the name of its value */

static bool of_command(const struct cli_flag *f, const struct cli_command *c)
{
	return !f->command || strcmp(f->command, c->name) == 0;
}

static size_t flag_width(const struct cli_flag *f, char left[FLAG_MAX])
{
	const char *value = f->metavar ? f->metavar : "";
	snprintf(left, FLAG_MAX, "--%s%s%s", f->name, value[0] ? " " : "", value);
	return cli_width(left);
}

static void print_command_help(const struct cli_command *c)
{
	size_t n, widest = 0;
	char left[FLAG_MAX];
	const struct cli_flag *flags = cli_flags(&n);
	printf("gate %s%s%s\n\n%s.\n\nFlags:\n", c->name, c->arguments[0] ? " " : "", c->arguments,
	    c->about);
	for (size_t i = 0; i < n; i++)
		if (of_command(&flags[i], c) && flag_width(&flags[i], left) > widest)
			widest = flag_width(&flags[i], left);
	for (size_t i = 0; i < n; i++)
		if (of_command(&flags[i], c)) {
			int pad = (int)(widest - flag_width(&flags[i], left));
			printf("  %s%*s  %s\n", left, pad, "", flags[i].help);
		}
}

static void print_help(void)
{
	printf("gate — pool your machines into one OpenAI-compatible inference network\n\n"
	       "Usage: gate COMMAND [flags]\n\nCommands:\n"
	       "  %-10s %s\n",
	    "start", "starts a node");
	size_t n;
	const struct cli_command *all = cli_commands(&n);
	for (size_t i = 0; i < n; i++)
		printf("  %-10s %s\n", all[i].name, all[i].about);
	printf(
	    "\ngate COMMAND --help tells more. The API is at http://127.0.0.1:31145/v1 once a node "
	    "runs.\n");
}

/* `gate help [COMMAND]`. */
int cli_prepare_help(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	cli->done = true;
	if (o->n_words > 1)
		return err_set(err, E_INVALID, "one command at a time: gate help [COMMAND]");
	if (o->n_words == 0) {
		print_help();
	} else if (strcmp(o->words[0], "start") == 0) {
		cli->start->print_help(stdout);
	} else {
		const struct cli_command *c = cli_find_command(o->words[0]);
		if (!c)
			return err_set(err, E_INVALID, "unknown command \"%s\"", o->words[0]);
		print_command_help(c);
	}
	return 0;
}

int cli_prepare_version(struct cli *cli, struct err *err)
{
	cli->done = true;
	int rc = cli_no_words(cli, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		printf("{\"version\":\"%s\"}\n", GATE_VERSION);
	else
		printf("gate %s\n", GATE_VERSION);
	return 0;
}

/* ---- failures ------------------------------------------------------------------------------ */

static enum cli_status status_of(const struct cli *cli, int code)
{
	switch (code) {
	case 0:
		return cli->outcome;
	case E_INVALID:
		return CLI_USAGE;
	case E_REFUSED:
	case E_CLOSED:
	case E_RESET:
		return cli->out_of_reach ? CLI_NO_NODE : CLI_FAILED;
	case E_FORBIDDEN:
		return cli->out_of_reach ? CLI_DENIED : CLI_FAILED;
	case E_UNAUTHORIZED:
		return CLI_DENIED;
	case E_NOT_FOUND:
	case E_MODEL_NOT_FOUND:
		return CLI_NOT_FOUND;
	case E_TIMEOUT:
		return CLI_TIMEOUT;
	case E_CANCELLED:
		return CLI_INTERRUPTED;
	default:
		return CLI_FAILED;
	}
}

/* A failure: for people on standard error, for programs on standard output. */
static void tell(const char *command, bool json, int code, const char *text)
{
	fprintf(stderr, "gate%s%s: %s\n", command[0] ? " " : "", command, text);
	if (!json)
		return;
	json_t *j = json_pack(
	    "{s:{s:s, s:s}}", "error", "code", err_info(code)->openai_code, "message", text);
	if (!j) /* what was on the command line is no UTF-8 */
		j = json_pack("{s:{s:s, s:s}}", "error", "code", err_info(code)->openai_code,
		    "message", "the command line is not valid UTF-8");
	cli_print_json(j);
	json_decref(j);
}

static void report(struct cli *cli, int code, const struct err *err)
{
	cli->status = status_of(cli, code);
	if (code == 0)
		return;
	const char *text = err_text(err);
	if (code == E_CANCELLED)
		text = "interrupted";
	else if (code == E_TIMEOUT && !err->text[0])
		text = "timed out";
	tell(cli->opt->command, cli->opt->json, code, text);
}

/* Whether --json is there, in a command line that cannot be read as a whole. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

/* ---- running ------------------------------------------------------------------------------- */

static int connect_and_run(struct cli *cli, struct err *err)
{
	const struct cli_command *command = cli_find_command(cli->opt->command);
	int rc = cli_connect(cli, err);
	if (rc == 0)
		return command->run(cli, err);
	if (rc == E_REFUSED && command->offline)
		return command->offline(cli, err);
	cli->out_of_reach = true;
	return rc;
}

static void command_fiber(void *arg)
{
	struct cli *cli = arg;
	struct err err = {0};
	struct duration limit =
	    cli->opt->timeout_s ? duration_s(cli->opt->timeout_s) : DURATION_FOREVER;
	scope_open(&cli->scope, limit);
	int rc = connect_and_run(cli, &err);
	report(cli, rc, &err);
	stream_close(cli->control);
	scope_close(&cli->scope);
}

static void interrupted(void *arg, int signum)
{
	(void)signum;
	struct cli *cli = arg;
	scope_cancel(&cli->scope);
}

/* The signal is seen by the loop alone, after the fiber has begun and opened its scope. */
static int run_in_world(struct cli *cli, const sigset_t *before, struct err *err)
{
	int rc = world_uv_new(&cli->world, err);
	if (rc == 0)
		rc = world_uv_on_signal(cli->world, SIGINT, interrupted, cli, err);
	sigprocmask(SIG_SETMASK, before, NULL);
	if (rc == 0)
		rc = rt_start(cli->world->rt, "command", NULL, command_fiber, cli, err);
	if (rc == 0)
		rt_run(cli->world->rt);
	world_uv_free(cli->world);
	return rc;
}

static int run(struct cli *cli, const struct cli_command *command)
{
	struct err err = {0};
	sigset_t interrupt, before;
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, &before); /* until somebody listens to it */
	int rc = command->prepare(cli, &err);
	if (rc == 0 && !cli->done)
		rc = run_in_world(cli, &before, &err);
	else
		cli->status = CLI_OK;
	if (rc)
		report(cli, rc, &err);
	json_decref(cli->params);
	buf_free(&cli->in);
	buf_free(&cli->prompt);
	return (int)cli->status;
}

static const struct cli_command *command_of(const char *word)
{
	if (!word[0] || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	else if (strcmp(word, "--version") == 0)
		word = "version";
	return cli_find_command(word);
}

int cli_main(int argc, char **argv, const struct cli_start *start)
{
	struct cli_options o = {0};
	struct err err = {0};
	const struct cli_command *command = command_of(argv[0]);
	if (!command) {
		err_set(&err, E_INVALID,
		    argv[0][0] == '-' ? "%s: flags come after the command (see gate help)"
				      : "unknown command \"%s\" (see gate help)",
		    argv[0]);
		tell("", wants_json(argc, argv), E_INVALID, err_text(&err));
		return CLI_USAGE;
	}
	int rc = cli_parse(command->name, argc, argv, &o, &err);
	if (rc) {
		tell(command->name, wants_json(argc, argv), rc, err_text(&err));
		return CLI_USAGE;
	}
	if (o.help && command->prepare != cli_prepare_help) {
		print_command_help(command);
		return CLI_OK;
	}
	struct cli cli = {.opt = &o,
	    .start = start,
	    .in = BUF_INIT(64u << 20),
	    .prompt = BUF_INIT(4u << 20),
	    .status = CLI_FAILED};
	int status = run(&cli, command);
	return status == CLI_OK && !argv[0][0] ? CLI_USAGE : status;
}
