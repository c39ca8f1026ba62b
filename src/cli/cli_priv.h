/* The inside of the command line: options (options.c), running a command (cli.c), the connection to
 * the node (client.c), and what commands print (commands.c, join.c, completion.c,
 * providers.c, proxy.c). */
#ifndef CLI_CLI_PRIV_H
#define CLI_CLI_PRIV_H

#include "cli/cli.h"
#include "dialect/json.h"
#include "rt/world.h"

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NO_NODE = 3,
	CLI_DENIED = 4,
	CLI_NOT_FOUND = 5,
	CLI_TIMEOUT = 124,
	CLI_INTERRUPTED = 130
};

#define CLI_WORDS_MAX 64
#define CLI_PATH_MAX  1024

/* What was on the command line. Texts are borrowed from argv. */
struct cli_options {
	const char *command;
	const char *words[CLI_WORDS_MAX]; /* arguments that are no flags */
	size_t n_words;
	char data_dir[CLI_PATH_MAX]; /* "" until found */
	const char *node_id;
	const char *model, *target, *system, *temperature, *seed, *max_tokens;
	const char *expires, *uses, *address, *revoke;           /* of invite */
	const char *kind, *url, *key_env, *price_in, *price_out; /* of providers */
	const char *strategy;                                    /* of route */
	const char *to, *listen, *service;                       /* of proxy */
	bool any_host;                                           /* of proxy */
	/* Of keys and peers trust. */
	const char *scopes, *models, *requests, *tokens, *concurrent, *name;
	const char *limit; /* of requests */
	bool share, explain;
	int timeout_s;
	bool json, all, help;
	bool qr, list; /* of invite */
	bool leave;    /* of join and pair */
	bool follow;   /* of requests */
};

enum cli_flag_kind {
	FLAG_TEXT,
	FLAG_DIR,
	FLAG_SECONDS,
	FLAG_SWITCH
};

struct cli_flag {
	const char *name;
	enum cli_flag_kind kind;
	size_t offset; /* in struct cli_options */
	const char *metavar, *help;
	const char *command; /* NULL: of all */
};

struct cli {
	struct world *world;
	const struct cli_options *opt;
	const struct cli_start *start;
	struct stream *control;
	struct buf in; /* bytes read and not yet used */
	int next_id;
	enum cli_status status;
	enum cli_status outcome; /* of a command that succeeded with bad news */
	json_t *params;          /* of the call to come, made and checked before connecting */
	struct buf prompt;       /* what was read from standard input, or said in words */
	bool listening;          /* proxy: the port is open, and Ctrl-C the way to close it */
	bool done;               /* prepare has done it all: no node is needed */
	bool out_of_reach;       /* no connection to the node came about, or it broke */
	bool at_line_start;      /* of stdout, for what is streamed */
	bool terminal;           /* stdout is one: what a model writes must not control it */
	struct scope scope;
};

/* ---- options.c ---- */

/* Reads the command line behind argv[0], and the environment. E_INVALID. */
int cli_parse(
    const char *command, int argc, char **argv, struct cli_options *o, struct err *err) WARN_UNUSED;
const struct cli_flag *cli_flags(size_t *n);
/* "90s", "24h", "7d" in seconds; a whole number of a range. E_INVALID with the flag's name. */
int cli_parse_span(const char *flag, const char *text, int64_t *out, struct err *err) WARN_UNUSED;
int cli_parse_count(const char *flag, const char *text, int64_t min, int64_t max, int64_t *out,
    struct err *err) WARN_UNUSED;

/* ---- input.c ---- */

/* Appends standard input, to its end, to `out` (whose limit holds). Blocks, before there is a
 * world, with SIGINT blocked: E_CANCELLED when it comes, E_TIMEOUT after --timeout; E_TOO_LARGE,
 * E_IO. */
int cli_read_input(const struct cli_options *o, struct buf *out, struct err *err) WARN_UNUSED;

/* ---- client.c ---- */

/* [parks] Finds the node that the options mean and connects to it. The text of a failure says what
 * to do. */
int cli_connect(struct cli *cli, struct err *err) WARN_UNUSED;
/* The data folder that the options mean when no node runs there. */
int cli_data_dir(const struct cli_options *o, char out[CLI_PATH_MAX], struct err *err) WARN_UNUSED;

/* [parks] Calls a method; takes `params` over (may be NULL). Notifications go to `notify` (may be
 * NULL) as they come. *result is the caller's. The node's error becomes *err. */
int cli_call(struct cli *cli, const char *method, json_t *params,
    void (*notify)(struct cli *cli, const json_t *params), json_t **result,
    struct err *err) WARN_UNUSED;

/* ---- commands.c ---- */

/* One command. */
struct cli_command {
	const char *name;
	const char *arguments; /* shown in help */
	const char *about;
	/* Checks the words and reads standard input, before there is a world. */
	int (*prepare)(struct cli *cli, struct err *err);
	int (*run)(struct cli *cli, struct err *err); /* [parks]; NULL: prepare does it all */
	/* [parks] Instead of run, when no node is running; NULL: that is an error. */
	int (*offline)(struct cli *cli, struct err *err);
};

/* A `prepare`: refuses words behind the command. */
int cli_no_words(struct cli *cli, struct err *err) WARN_UNUSED;
/* A flag that takes a number, and the parameter that it becomes. */
struct cli_number {
	const char *text; /* NULL: the flag was not given */
	const char *flag, *key;
	bool whole;
	double min, max;
};
/* E_INVALID, naming the flag. */
int cli_put_number(const struct cli_number *n, json_t *params, struct err *err) WARN_UNUSED;
void cli_print_json(const json_t *value);
/* A member's text, "-" when there is none. */
const char *cli_text_of(const json_t *object, const char *key);
/* Characters, not bytes: labels may be UTF-8. */
size_t cli_width(const char *s);
/* A table; `cell` writes the text of one cell of one element. */
void cli_print_list(const json_t *list, const char *const *heads, size_t columns,
    void (*cell)(const json_t *item, size_t column, char *out, size_t cap));

/* A wall-clock time for people; "-" for 0. */
void cli_print_when(int64_t ms, char *out, size_t cap);

/* ---- keys.c ---- */
int cli_prepare_keys(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_keys(struct cli *cli, struct err *err) WARN_UNUSED;
/* Whether this word of `gate peers` is about trust: then the rest of it is here. */
bool cli_is_trust(const char *word);
int cli_prepare_trust(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_trust(struct cli *cli, struct err *err) WARN_UNUSED;

/* ---- requests.c ---- */
int cli_prepare_requests(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_requests(struct cli *cli, struct err *err) WARN_UNUSED;

/* ---- colour.c ---- */
/* Whether to colour what goes to standard output: NO_COLOR, CLICOLOR_FORCE, TERM=dumb, else whether
 * it is a terminal. */
bool cli_colour(void);

/* ---- qr.c ---- */
/* To standard output. E_TOO_LARGE. */
int cli_print_qr(const char *text, struct err *err) WARN_UNUSED;

/* ---- completion.c ---- */
int cli_prepare_completion(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_completion(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_offline_completion(struct cli *cli, struct err *err) WARN_UNUSED;

/* ---- join.c ---- */
int cli_prepare_invite(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_prepare_pair(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_invite(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_prepare_join(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_join(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_offline_join(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_pair(struct cli *cli, struct err *err) WARN_UNUSED;

/* ---- proxy.c ---- */
int cli_prepare_proxy(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_proxy(struct cli *cli, struct err *err) WARN_UNUSED;

/* ---- providers.c ---- */
int cli_prepare_providers(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_providers(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_prepare_route(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_run_route(struct cli *cli, struct err *err) WARN_UNUSED;

/* ---- cli.c ---- */
int cli_prepare_help(struct cli *cli, struct err *err) WARN_UNUSED;
int cli_prepare_version(struct cli *cli, struct err *err) WARN_UNUSED;

const struct cli_command *cli_find_command(const char *name);
const struct cli_command *cli_commands(size_t *n);

#endif
