/* The command line: flags, help, exit statuses, and one fiber that runs the command. */
#include "cli/cli_priv.h"

#include "base/encode.h"
#include "rt/world_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- flags --------------------------------------------------------------------------------- */

enum flag_kind {
	FLAG_TEXT,
	FLAG_DIR,
	FLAG_SECONDS,
	FLAG_SWITCH
};

struct flag {
	const char *name;
	enum flag_kind kind;
	size_t offset;
	const char *metavar, *help;
	const char *command; /* NULL: of all */
};

#define AT(member) offsetof(struct cli_options, member)

static const struct flag flags[] = {
    {"node-id", FLAG_TEXT, AT(node_id), "LABEL", "the local node to talk to, by its label", NULL},
    {"data-dir", FLAG_DIR, AT(data_dir), "DIR", "the local node to talk to, by its data folder",
	NULL},
    {"json", FLAG_SWITCH, AT(json), NULL, "one JSON document on standard output", NULL},
    {"timeout", FLAG_SECONDS, AT(timeout_s), "SECONDS", "give up after so long", NULL},
    {"help", FLAG_SWITCH, AT(help), NULL, "this text", NULL},
    {"model", FLAG_TEXT, AT(model), "NAME", "the model to ask", "ask"},
    {"target", FLAG_TEXT, AT(target), "NODE", "the node to answer: label, node id or peer id",
	"ask"},
    {"system", FLAG_TEXT, AT(system), "TEXT", "a system message", "ask"},
    {"temperature", FLAG_TEXT, AT(temperature), "T", "0 (always the likeliest word) to 2", "ask"},
    {"seed", FLAG_TEXT, AT(seed), "N", "repeats an answer that chance had a part in", "ask"},
    {"max-tokens", FLAG_TEXT, AT(max_tokens), "N", "the longest answer", "ask"},
    {"expires", FLAG_TEXT, AT(expires), "TIME", "how long it holds: 90s, 30m, 24h, 7d [24h]",
	"invite"},
    {"uses", FLAG_TEXT, AT(uses), "N", "how many nodes may join with it [1]", "invite"},
    {"address", FLAG_TEXT, AT(address), "MULTIADDR,…",
	"where else this node can be reached: a DNS name, a forwarded port", "invite"},
    {"qr", FLAG_SWITCH, AT(qr), NULL, "a QR code too, even if the output is no terminal", "invite"},
    {"list", FLAG_SWITCH, AT(list), NULL, "lists the invitations made here", "invite"},
    {"revoke", FLAG_TEXT, AT(revoke), "ID", "makes an invitation void", "invite"},
    {"leave", FLAG_SWITCH, AT(leave), NULL, "leaves the present cluster for the new one", "join"},
    {"leave", FLAG_SWITCH, AT(leave), NULL, "leaves the present cluster for the new one", "pair"},
    {"all", FLAG_SWITCH, AT(all), NULL, "everyone ever heard of, with the last failure", "peers"},
};

#define N_FLAGS (sizeof flags / sizeof *flags)

static const struct flag *find_flag(const char *command, const char *name, size_t n)
{
	for (size_t i = 0; i < N_FLAGS; i++)
		if (strlen(flags[i].name) == n && strncmp(flags[i].name, name, n) == 0 &&
		    (!flags[i].command || strcmp(flags[i].command, command) == 0))
			return &flags[i];
	return NULL;
}

static int set_flag(struct cli_options *o, const struct flag *f, const char *value, struct err *err)
{
	void *at = (char *)o + f->offset;
	char *end;
	switch (f->kind) {
	case FLAG_SWITCH:
		*(bool *)at = true;
		return 0;
	case FLAG_TEXT:
		if (!value[0])
			return err_set(err, E_INVALID, "--%s: the value is empty", f->name);
		*(const char **)at = value;
		return 0;
	case FLAG_DIR:
		if (strlen(value) >= CLI_PATH_MAX)
			return err_set(err, E_INVALID, "--%s: too long", f->name);
		memcpy(at, value, strlen(value) + 1);
		return 0;
	case FLAG_SECONDS: {
		long v = strtol(value, &end, 10);
		if (end == value || *end || v < 1 || v > 86400)
			return err_set(err, E_INVALID, "--%s: \"%s\" is not 1 to 86400 seconds",
			    f->name, value);
		*(int *)at = (int)v;
		return 0;
	}
	}
	return E_INVALID;
}

static int read_flag(struct cli_options *o, int argc, char **argv, int *at, struct err *err)
{
	const char *name = argv[*at] + 2;
	size_t n = strcspn(name, "=");
	const struct flag *f = find_flag(o->command, name, n);
	if (!f)
		return err_set(err, E_INVALID, "unknown flag --%.*s (see gate %s --help)", (int)n,
		    name, o->command);
	const char *value = name[n] == '=' ? name + n + 1 : NULL;
	if (f->kind == FLAG_SWITCH && value)
		return err_set(err, E_INVALID, "--%s takes no value", f->name);
	if (f->kind != FLAG_SWITCH && !value) {
		if (*at + 1 >= argc)
			return err_set(err, E_INVALID, "--%s: the value is missing", f->name);
		value = argv[++*at];
	}
	return set_flag(o, f, value, err);
}

static int parse(int argc, char **argv, struct cli_options *o, struct err *err)
{
	const char *env = getenv("GATE_DATA_DIR");
	if (env && strlen(env) < CLI_PATH_MAX)
		memcpy(o->data_dir, env, strlen(env) + 1);
	o->node_id = getenv("GATE_NODE_ID");
	o->command = argv[0];
	bool only_words = false;
	for (int i = 1; i < argc; i++) {
		if (utf8_valid_prefix(bytes_str(argv[i])) != strlen(argv[i]))
			return err_set(err, E_INVALID, "argument %d is not valid UTF-8", i);
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (!only_words && strcmp(argv[i], "-h") == 0) {
			o->help = true;
		} else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
			int rc = read_flag(o, argc, argv, &i, err);
			if (rc)
				return rc;
		} else if (o->n_words == CLI_WORDS_MAX) {
			return err_set(err, E_INVALID, "too many words: put the prompt in quotes");
		} else {
			o->words[o->n_words++] = argv[i];
		}
	}
	return 0;
}

/* ---- help ---------------------------------------------------------------------------------- */

static void print_command_help(const struct cli_command *c)
{
	printf("gate %s %s\n\n%s.\n\nFlags:\n", c->name, c->arguments, c->about);
	for (size_t i = 0; i < N_FLAGS; i++) {
		const struct flag *f = &flags[i];
		if (f->command && strcmp(f->command, c->name) != 0)
			continue;
		char left[48];
		snprintf(left, sizeof left, "--%s %s", f->name, f->metavar ? f->metavar : "");
		printf("  %-22s %s\n", left, f->help);
	}
}

void cli_print_help(void)
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
	    "  %-10s %s\n  %-10s %s\n\n"
	    "gate COMMAND --help tells more. The API is at http://127.0.0.1:31145/v1 once a node "
	    "runs.\n",
	    "version", "prints the version", "help", "this text");
}

/* ---- running ------------------------------------------------------------------------------- */

static enum cli_status status_of(int code)
{
	switch (code) {
	case 0:
		return CLI_OK;
	case E_INVALID:
		return CLI_USAGE;
	case E_REFUSED:
		return CLI_NO_NODE;
	case E_NOT_FOUND:
	case E_MODEL_NOT_FOUND:
		return CLI_NOT_FOUND;
	case E_TIMEOUT:
		return CLI_TIMEOUT;
	default:
		return CLI_FAILED;
	}
}

static void report(struct cli *cli, int code, const struct err *err)
{
	cli->status = code == 0 ? cli->outcome : status_of(code);
	if (code == 0)
		return;
	const char *text = code == E_TIMEOUT && !err->text[0] ? "timed out" : err_text(err);
	fprintf(stderr, "gate %s: %s\n", cli->opt->command, text);
	if (!cli->opt->json)
		return;
	json_t *j = json_pack(
	    "{s:{s:s, s:s}}", "error", "code", err_info(code)->openai_code, "message", text);
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

static void command_fiber(void *arg)
{
	struct cli *cli = arg;
	struct err err = {0};
	struct duration limit =
	    cli->opt->timeout_s ? duration_s(cli->opt->timeout_s) : DURATION_FOREVER;
	scope_open(&cli->scope, limit);
	const struct cli_command *command = cli_find_command(cli->opt->command);
	int rc = cli_connect(cli, &err);
	if (rc == 0)
		rc = command->run(cli, &err);
	else if (rc == E_REFUSED && command->offline)
		rc = command->offline(cli, &err);
	if (rc == E_CANCELLED)
		cli->status = CLI_INTERRUPTED;
	else
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

static int run(const struct cli_options *o)
{
	struct cli cli = {.opt = o,
	    .in = BUF_INIT(64u << 20),
	    .prompt = BUF_INIT(4u << 20),
	    .status = CLI_FAILED};
	struct err err = {0};
	const struct cli_command *command = cli_find_command(o->command);
	int rc = command->prepare ? command->prepare(&cli, &err) : 0;
	if (rc) {
		report(&cli, rc, &err);
		buf_free(&cli.prompt);
		return (int)cli.status;
	}
	rc = world_uv_new(&cli.world, &err);
	if (rc == 0)
		rc = world_uv_on_signal(cli.world, SIGINT, interrupted, &cli, &err);
	if (rc == 0)
		rc = rt_start(cli.world->rt, "command", NULL, command_fiber, &cli, &err);
	if (rc == 0)
		rt_run(cli.world->rt);
	else
		fprintf(stderr, "gate %s: %s\n", o->command, err_text(&err));
	world_uv_free(cli.world);
	buf_free(&cli.in);
	buf_free(&cli.prompt);
	return (int)cli.status;
}

int cli_main(int argc, char **argv)
{
	const struct cli_command *command = cli_find_command(argv[0]);
	if (!command) {
		fprintf(stderr, "gate: unknown command \"%s\" (see gate help)\n", argv[0]);
		return CLI_USAGE;
	}
	struct cli_options o = {0};
	struct err err = {0};
	if (parse(argc, argv, &o, &err) != 0) {
		fprintf(stderr, "gate %s: %s\n", argv[0], err_text(&err));
		return CLI_USAGE;
	}
	if (o.help) {
		print_command_help(command);
		return CLI_OK;
	}
	return run(&o);
}
