/* gate completion: scripts for shells, made from the tables of commands and flags. Names of models
 * and nodes are asked for when they are completed (gate completion models, gate completion peers),
 * one a line, so that a name may hold whatever it likes, colons included. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

/* What is completed behind a word (a flag, or the command itself). */
struct values {
	const char *command, *word;
	const char *list;  /* words, or NULL: */
	const char *names; /* what `gate completion NAMES` prints */
};

static const struct values values[] = {
    {"ask", "--model", NULL, "models"},
    {"ask", "--target", NULL, "peers"},
    {"route", "--model", NULL, "models"},
    {"route", "--target", NULL, "peers"},
    {"route", "--strategy", "prefer-local local-only load-balance cheapest fastest", NULL},
    {"providers", "providers", "list add remove refresh", NULL},
    {"providers", "--kind", "ollama lmstudio llamacpp vllm exo openai anthropic", NULL},
    {"start", "--log-level", "trace debug info warn error", NULL},
    {"start", "--log-format", "text json", NULL},
    {"start", "--kernels", "auto ref avx2 avx512", NULL},
    {"doctor", "doctor", NULL, "peers"},
    {"peers", "peers", "list accept reject trust untrust trusted", NULL},
    {"peers", "trust", NULL, "peers"},
    {"peers", "untrust", NULL, "peers"},
    {"keys", "keys", "list create revoke", NULL},
    {"start", "--share", "private friends public", NULL},
    {"peers", "accept", NULL, "peers"},
    {"peers", "reject", NULL, "peers"},
    {"completion", "completion", "bash zsh fish", NULL},
};

#define N_VALUES (sizeof values / sizeof *values)

static bool is_file(const char *metavar)
{
	return metavar && (strcmp(metavar, "FILE") == 0 || strcmp(metavar, "DIR") == 0);
}

static const struct values *values_of(const char *command, const char *flag)
{
	for (size_t i = 0; i < N_VALUES; i++)
		if (strcmp(values[i].command, command) == 0 &&
		    strncmp(values[i].word, "--", 2) == 0 && strcmp(values[i].word + 2, flag) == 0)
			return &values[i];
	return NULL;
}

/* In single quotes, for all three shells. */
static void put_quoted(const char *text)
{
	putchar('\'');
	for (const char *p = text; *p; p++)
		if (*p == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*p);
	putchar('\'');
}

/* ---- what there is to complete --------------------------------------------------------------- */

/* The flags of a command; those of all, too. */
static void each_flag(const struct cli *cli, const char *command,
    void (*fn)(void *arg, const char *flag, const char *metavar, const char *help), void *arg)
{
	size_t n;
	const struct cli_flag *flags = cli_flags(&n);
	if (strcmp(command, "start") == 0) {
		cli->start->each_flag(fn, arg);
		fn(arg, "help", NULL, "this text");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!flags[i].command || strcmp(flags[i].command, command) == 0)
			fn(arg, flags[i].name, flags[i].metavar, flags[i].help);
}

static void each_command(
    const struct cli *cli, void (*fn)(const struct cli *cli, const char *name, const char *about))
{
	size_t n;
	const struct cli_command *all = cli_commands(&n);
	fn(cli, "start", "starts a node");
	for (size_t i = 0; i < n; i++)
		fn(cli, all[i].name, all[i].about);
}

/* ---- bash and zsh ---------------------------------------------------------------------------- */

static void put_flag_word(void *arg, const char *flag, const char *metavar, const char *help)
{
	(void)arg;
	(void)metavar;
	(void)help;
	printf(" --%s", flag);
}

static void put_flags_case(const struct cli *cli, const char *name, const char *about)
{
	(void)about;
	printf("\t%s) flags='", name);
	each_flag(cli, name, put_flag_word, NULL);
	printf("' ;;\n");
}

static void put_command_word(const struct cli *cli, const char *name, const char *about)
{
	(void)cli;
	(void)about;
	printf(" %s", name);
}

static void put_file_case(void *arg, const char *flag, const char *metavar, const char *help)
{
	const char *command = arg;
	(void)help;
	if (is_file(metavar))
		printf("\t'%s --%s') files=1 ;;\n", command, flag);
}

static void put_file_cases(const struct cli *cli, const char *name, const char *about)
{
	char command[32];
	(void)about;
	snprintf(command, sizeof command, "%s", name);
	each_flag(cli, name, put_file_case, command);
}

/* Sets `names`, a line each, or `files`, from the word before. Common to both shells. */
static void put_values(const struct cli *cli)
{
	printf("\tcase \"$command $prev\" in\n");
	for (size_t i = 0; i < N_VALUES; i++) {
		const struct values *v = &values[i];
		printf("\t'%s %s') ", v->command, v->word);
		if (v->list)
			printf("names=$(printf '%%s\\n' %s)", v->list);
		else
			printf("names=$(gate completion %s --timeout 2 2>/dev/null)", v->names);
		printf(" ;;\n");
	}
	printf("\t'help help') names=$(printf '%%s\\n'");
	each_command(cli, put_command_word);
	printf(") ;;\n");
	each_command(cli, put_file_cases);
	printf("\tesac\n\tcase $command in\n");
	each_command(cli, put_flags_case);
	printf("\tesac\n");
}

/* Words are taken from the line itself: bash breaks names at colons, and replaces only what stands
 * behind the last one. */
static void print_bash(const struct cli *cli)
{
	printf("# Completion of gate's words in bash: source <(gate completion bash)\n"
	       "_gate() {\n"
	       "\tlocal line=${COMP_LINE:0:COMP_POINT} cur prev command flags= names= files= name\n"
	       "\tlocal -a words\n"
	       "\tread -ra words <<< \"$line\"\n"
	       "\t[[ $line == *[[:space:]] ]] && words+=('')\n"
	       "\tcur=${words[${#words[@]}-1]} prev=${words[${#words[@]}-2]} command=${words[1]}\n"
	       "\tif [[ $cur == --*=* ]]; then prev=${cur%%%%=*} cur=${cur#*=}; fi\n"
	       "\tCOMPREPLY=()\n"
	       "\tif (( ${#words[@]} <= 2 )); then\n"
	       "\t\tnames=$(printf '%%s\\n'");
	each_command(cli, put_command_word);
	printf(")\n\telse\n");
	put_values(cli);
	printf("\tfi\n"
	       "\tif [[ $files ]]; then\n"
	       "\t\tcompopt -o filenames 2>/dev/null\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	       "\t\treturn\n"
	       "\tfi\n"
	       "\t[[ $cur == -* ]] && names=$(printf '%%s\\n' $flags)\n"
	       "\twhile IFS= read -r name; do\n"
	       "\t\t[[ $name && $name == \"$cur\"* ]] || continue\n"
	       "\t\tname=$(printf '%%q' \"$name\")\n"
	       "\t\t[[ $cur == *:* && $COMP_WORDBREAKS == *:* ]] && name=${name#\"${cur%%:*}:\"}\n"
	       "\t\tCOMPREPLY+=(\"$name\")\n"
	       "\tdone <<< \"$names\"\n"
	       "}\n"
	       "complete -F _gate gate\n");
}

static void print_zsh(const struct cli *cli)
{
	printf("#compdef gate\n"
	       "# Completion of gate's words in zsh: source <(gate completion zsh)\n"
	       "_gate() {\n"
	       "\tlocal cur=${words[CURRENT]} prev=${words[CURRENT-1]} command=${words[2]}\n"
	       "\tlocal flags= names= files=\n"
	       "\tif [[ $cur == --*=* ]]; then\n"
	       "\t\tprev=${cur%%%%=*} cur=${cur#*=}\n"
	       "\t\tcompset -P '*='\n"
	       "\tfi\n"
	       "\tif (( CURRENT <= 2 )); then\n"
	       "\t\tnames=$(printf '%%s\\n'");
	each_command(cli, put_command_word);
	printf(")\n\telse\n");
	put_values(cli);
	printf(
	    "\tfi\n"
	    "\tif [[ -n $files ]]; then _files; return; fi\n"
	    "\t[[ $cur == -* ]] && names=$(printf '%%s\\n' ${=flags})\n"
	    "\tcompadd -- ${(f)names}\n"
	    "}\n"
	    "if [[ ${funcstack[1]} == _gate ]]; then _gate \"$@\"; else compdef _gate gate; fi\n");
}

/* ---- fish ------------------------------------------------------------------------------------ */

struct fish_command {
	const char *command;
};

static void put_fish_values(const struct values *v)
{
	if (v && v->list)
		printf(" -x -a '%s'", v->list);
	else if (v)
		printf(" -x -a '(gate completion %s --timeout 2 2>/dev/null)'", v->names);
}

static void put_fish_flag(void *arg, const char *flag, const char *metavar, const char *help)
{
	const struct fish_command *f = arg;
	const struct values *v = values_of(f->command, flag);
	printf("complete -c gate -n '__fish_seen_subcommand_from %s' -l %s", f->command, flag);
	if (v)
		put_fish_values(v);
	else if (is_file(metavar))
		printf(" -r -F");
	else if (metavar)
		printf(" -x");
	printf(" -d ");
	put_quoted(help);
	putchar('\n');
}

static void put_fish_command(const struct cli *cli, const char *name, const char *about)
{
	struct fish_command f = {name};
	printf("complete -c gate -n __fish_use_subcommand -a %s -d ", name);
	put_quoted(about);
	putchar('\n');
	each_flag(cli, name, put_fish_flag, &f);
}

static void print_fish(const struct cli *cli)
{
	printf("# Completion of gate's words in fish: gate completion fish | source\n"
	       "complete -c gate -f\n");
	each_command(cli, put_fish_command);
	for (size_t i = 0; i < N_VALUES; i++) {
		if (strncmp(values[i].word, "--", 2) == 0)
			continue;
		printf("complete -c gate -n '__fish_seen_subcommand_from %s'", values[i].word);
		put_fish_values(&values[i]);
		putchar('\n');
	}
}

/* ---- the command ----------------------------------------------------------------------------- */

int cli_prepare_completion(struct cli *cli, struct err *err)
{
	static const struct {
		const char *name;
		void (*print)(const struct cli *cli); /* NULL: names of the node's */
	} kinds[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish},
	    {"models", NULL}, {"peers", NULL}};
	const struct cli_options *o = cli->opt;
	for (size_t i = 0; o->n_words == 1 && i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(o->words[0], kinds[i].name) != 0)
			continue;
		cli->done = kinds[i].print != NULL;
		if (cli->done)
			kinds[i].print(cli);
		return 0;
	}
	return err_set(err, E_INVALID, "for which shell? gate completion bash, zsh or fish");
}

/* What is called the same, or breaks lines, is of no use in a list of lines. */
static bool worth_a_line(const json_t *list, size_t at, const char *key)
{
	const char *name = json_get_string(json_array_get(list, at), key, "");
	for (size_t i = 0; i < at; i++)
		if (strcmp(json_get_string(json_array_get(list, i), key, ""), name) == 0)
			return false;
	return name[0] && !strpbrk(name, "\r\n");
}

/* gate completion models, gate completion peers: names, a line each. */
int cli_run_completion(struct cli *cli, struct err *err)
{
	bool models = strcmp(cli->opt->words[0], "models") == 0;
	const char *key = models ? "id" : "label";
	json_t *list;
	int rc = models
		     ? cli_call(cli, "models.list", NULL, NULL, &list, err)
		     : cli_call(cli, "peers.list", json_pack("{s:b}", "all", 1), NULL, &list, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (worth_a_line(list, i, key))
			printf("%s\n", json_get_string(json_array_get(list, i), key, ""));
	json_decref(list);
	return 0;
}

/* Without a node there are no names. */
int cli_offline_completion(struct cli *cli, struct err *err)
{
	(void)cli;
	(void)err;
	return 0;
}
