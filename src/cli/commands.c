/* The commands: what they call and how they print it. Data goes to stdout, everything else to
 * stderr; with --json there is exactly one JSON document on stdout. */
#include "cli/cli_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
}

const char *cli_text_of(const json_t *object, const char *key)
{
	return json_get_string(object, key, "-");
}

void cli_print_when(int64_t ms, char *out, size_t cap)
{
	struct tm tm;
	time_t t = (time_t)(ms / 1000);
	if (ms == 0)
		snprintf(out, cap, "-");
	else if (!localtime_r(&t, &tm) || strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, cap, "%lld", (long long)t);
}

int cli_no_words(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	if (o->n_words == 0)
		return 0;
	return err_set(err, E_INVALID,
	    "\"%s\" is too much: gate %s takes flags only (see gate %s "
	    "--help)",
	    o->words[0], o->command, o->command);
}

/* ---- tables -------------------------------------------------------------------------------- */

#define COLUMNS_MAX 16

size_t cli_width(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_table(const char *const *heads, size_t columns, char ***rows, size_t n)
{
	size_t widest[COLUMNS_MAX];
	for (size_t c = 0; c < columns; c++) {
		widest[c] = cli_width(heads[c]);
		for (size_t r = 0; r < n; r++)
			if (cli_width(rows[r][c]) > widest[c])
				widest[c] = cli_width(rows[r][c]);
	}
	for (size_t r = 0; r <= n; r++)
		for (size_t c = 0; c < columns; c++) {
			const char *cell = r == 0 ? heads[c] : rows[r - 1][c];
			size_t pad = c + 1 < columns ? widest[c] - cli_width(cell) + 2 : 0;
			printf("%s%*s%s", cell, (int)pad, "", c + 1 < columns ? "" : "\n");
		}
}

/* `cell` writes the text of one cell of one element. */
void cli_print_list(const json_t *list, const char *const *heads, size_t columns,
    void (*cell)(const json_t *item, size_t column, char *out, size_t cap))
{
	size_t n = json_array_size(list);
	char ***rows = calloc(n + 1, sizeof *rows);
	for (size_t r = 0; rows && r < n; r++) {
		rows[r] = calloc(columns, sizeof **rows);
		for (size_t c = 0; rows[r] && c < columns; c++) {
			rows[r][c] = calloc(1, 512);
			if (rows[r][c])
				cell(json_array_get(list, r), c, rows[r][c], 512);
		}
	}
	if (rows)
		print_table(heads, columns, rows, n);
	for (size_t r = 0; rows && r < n; r++) {
		for (size_t c = 0; rows[r] && c < columns; c++)
			free(rows[r][c]);
		free(rows[r]);
	}
	free(rows);
}

/* ---- ask ----------------------------------------------------------------------------------- */

/* Without control characters (C0, DEL, C1), which could move the cursor or worse. */
static void print_tamed(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c == 0xc2 && i + 1 < n && ((unsigned char)p[i + 1] & 0xe0) == 0x80)
			i++;
		else if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f))
			putchar(c);
	}
}

static void print_text(struct cli *cli, const json_t *params)
{
	const json_t *text = json_object_get(params, "text");
	size_t n = json_string_length(text);
	if (n == 0)
		return;
	const char *p = json_string_value(text);
	if (cli->terminal)
		print_tamed(p, n);
	else
		fwrite(p, 1, n, stdout);
	fflush(stdout);
	cli->at_line_start = p[n - 1] == '\n';
}

/* The words of the command line, or standard input when there are none (or "-"). */
static int read_prompt(const struct cli_options *o, struct buf *out, struct err *err)
{
	bool from_input = o->n_words == 0 || (o->n_words == 1 && strcmp(o->words[0], "-") == 0);
	for (size_t i = 0; i < o->n_words && !from_input; i++)
		buf_printf(out, "%s%s", i ? " " : "", o->words[i]);
	if (from_input) {
		int rc = cli_read_input(o, out, err);
		if (rc && rc != E_TOO_LARGE)
			return rc;
		while (out->n > 0 && out->p[out->n - 1] == '\n')
			out->n--;
		if (out->p)
			out->p[out->n] = '\0';
	}
	if (out->failed)
		return err_set(err, E_INVALID, "the prompt is longer than %zu bytes", out->max);
	if (out->n == 0)
		return err_set(err, E_INVALID, "nothing to ask: gate ask \"your question\"");
	if (memchr(out->p, '\0', out->n))
		return err_set(err, E_INVALID, "the prompt holds a NUL byte: it is no text");
	return 0;
}

int cli_put_number(const struct cli_number *n, json_t *params, struct err *err)
{
	if (!n->text)
		return 0;
	char *end;
	errno = 0;
	json_t *v =
	    n->whole ? json_integer(strtoll(n->text, &end, 10)) : json_real(strtod(n->text, &end));
	double value = json_number_value(v);
	int rc = 0;
	if (end == n->text || *end || errno || !v) /* json_real knows neither nan nor inf */
		rc = err_set(err, E_INVALID, "%s: \"%s\" is not a %snumber", n->flag, n->text,
		    n->whole ? "whole " : "");
	else if (value < n->min || value > n->max)
		rc = err_set(err, E_INVALID, "%s: %s is not from %.0f to %.0f", n->flag, n->text,
		    n->min, n->max);
	else
		json_object_set(params, n->key, v);
	json_decref(v);
	return rc;
}

static int put_numbers(const struct cli_options *o, json_t *params, struct err *err)
{
	const struct cli_number numbers[] = {
	    {o->temperature, "--temperature", "temperature", false, 0, 2},
	    {o->seed, "--seed", "seed", true, (double)INT64_MIN, (double)INT64_MAX},
	    {o->max_tokens, "--max-tokens", "max_tokens", true, 1, INT32_MAX},
	};
	int rc = 0;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers && rc == 0; i++)
		rc = cli_put_number(&numbers[i], params, err);
	return rc;
}

static int prepare_ask(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	json_t *params = cli->params = json_object();
	int rc = put_numbers(o, params, err); /* before anybody has to type a prompt */
	if (rc == 0)
		rc = read_prompt(o, &cli->prompt, err);
	if (rc)
		return rc;
	json_t *text = json_stringn(buf_cstr(&cli->prompt), cli->prompt.n);
	if (!text)
		return err_set(err, E_INVALID, "the prompt is not valid UTF-8");
	json_object_set_new(params, "prompt", text);
	if (o->model)
		json_object_set_new(params, "model", json_string(o->model));
	if (o->target)
		json_object_set_new(params, "target", json_string(o->target));
	if (o->system)
		json_object_set_new(params, "system", json_string(o->system));
	return 0;
}

/* Who answered, and how fast; not every server counts its tokens. */
static void print_origin(const json_t *result)
{
	int64_t tokens = json_get_int(json_object_get(result, "usage"), "completion_tokens", -1);
	fprintf(stderr, "— %s on %s, ", cli_text_of(result, "model"),
	    cli_text_of(json_object_get(result, "node"), "label"));
	if (tokens >= 0)
		fprintf(stderr, "%lld tokens in ", (long long)tokens);
	fprintf(stderr, "%lld ms, request %s\n", (long long)json_get_int(result, "duration_ms", 0),
	    cli_text_of(result, "request_id"));
}

static int run_ask(struct cli *cli, struct err *err)
{
	json_t *result;
	cli->at_line_start = true;
	cli->terminal = isatty(STDOUT_FILENO);
	int rc = cli_call(cli, "chat.ask", json_incref(cli->params),
	    cli->opt->json ? NULL : print_text, &result, err);
	if (!cli->at_line_start)
		putchar('\n');
	fflush(stdout);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(result);
	else
		print_origin(result);
	json_decref(result);
	return 0;
}

/* ---- peers --------------------------------------------------------------------------------- */

static void peer_cell(const json_t *p, size_t column, char *out, size_t cap)
{
	static const char *const keys[] = {
	    "label", "state", "path", NULL, NULL, "address", "node_id"};
	if (column == 3) {
		const json_t *rtt = json_object_get(p, "rtt_ms");
		if (json_is_real(rtt))
			snprintf(out, cap, "%.1f ms", json_real_value(rtt));
		else
			snprintf(out, cap, "-");
	} else if (column == 4) {
		snprintf(out, cap, "%lld", (long long)json_get_int(p, "models", 0));
	} else {
		snprintf(out, cap, "%s", cli_text_of(p, keys[column]));
	}
}

static bool is_decision(const char *word)
{
	return strcmp(word, "accept") == 0 || strcmp(word, "reject") == 0;
}

static int prepare_peers(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	const char *word = o->n_words > 0 ? o->words[0] : "list";
	if (cli_is_trust(word))
		return cli_prepare_trust(cli, err);
	if (!is_decision(word) && strcmp(word, "list") != 0)
		return err_set(err, E_INVALID,
		    "unknown: gate peers %s (list, accept, reject, trust, untrust, trusted)", word);
	if (is_decision(word) && (o->n_words == 1 || !o->words[1][0]))
		return err_set(err, E_INVALID, "which peer? gate peers %s NODE", word);
	size_t most = is_decision(word) ? 2 : 1;
	if (o->n_words > most)
		return err_set(
		    err, E_INVALID, "too much: gate peers %s … %s", word, o->words[most]);
	return 0;
}

static int decide(struct cli *cli, const char *method, struct err *err)
{
	json_t *result;
	int rc = cli_call(
	    cli, method, json_pack("{s:s}", "peer", cli->opt->words[1]), NULL, &result, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(result);
	json_decref(result);
	return 0;
}

/* Nodes that are near and no members are worth a word: why is the question of the day. */
static int no_peers(struct cli *cli, struct err *err)
{
	json_t *all;
	int rc = cli_call(cli, "peers.list", json_pack("{s:b}", "all", 1), NULL, &all, err);
	if (rc)
		return rc;
	size_t n = json_array_size(all);
	json_decref(all);
	if (n == 0)
		fprintf(stderr, "no peers yet\n");
	else
		fprintf(stderr,
		    "no members yet; %zu other node%s known (\"gate peers --all\" lists, \"gate "
		    "doctor NODE\" says what is wrong)\n",
		    n, n == 1 ? " is" : "s are");
	return 0;
}

/* "raw: banned for another 120 s: 3 malformed, 1 forged; the last: …" */
static void print_offender(const json_t *p)
{
	const json_t *m = json_object_get(p, "misbehaviour"), *count;
	const char *label = cli_text_of(p, "label"), *why = cli_text_of(m, "last"), *kind;
	const char *comma = "";
	if (!json_is_object(m))
		return;
	printf("%s", label[0] ? label : cli_text_of(p, "peer_id"));
	if (json_get_bool(m, "banned", false))
		printf(", banned for another %.0f s",
		    json_number_value(json_object_get(m, "ban_left_s")));
	printf(": bad input (");
	json_object_foreach(json_object_get(m, "offences"), kind, count)
	{
		printf("%s%lld %s", comma, (long long)json_integer_value(count), kind);
		comma = ", ";
	}
	printf(")");
	if (json_number_value(json_object_get(p, "gossip_score")) < 0)
		printf(
		    ", gossip score %.0f", json_number_value(json_object_get(p, "gossip_score")));
	printf(", last: ");
	print_tamed(why, strlen(why));
	putchar('\n');
}

static void print_offenders(const json_t *list)
{
	size_t i;
	json_t *p;
	json_array_foreach(list, i, p) print_offender(p);
}

static int run_peers(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	if (o->n_words > 0 && cli_is_trust(o->words[0]))
		return cli_run_trust(cli, err);
	if (o->n_words > 0 && is_decision(o->words[0]))
		return decide(cli, o->words[0][0] == 'a' ? "peers.accept" : "peers.reject", err);
	json_t *list;
	int rc = cli_call(cli, "peers.list", json_pack("{s:b}", "all", o->all), NULL, &list, err);
	if (rc)
		return rc;
	static const char *const heads[] = {
	    "PEER", "STATE", "PATH", "RTT", "MODELS", "ADDRESS", "NODE ID"};
	if (o->json)
		cli_print_json(list);
	else if (json_array_size(list) == 0)
		rc = no_peers(cli, err);
	else
		cli_print_list(list, heads, 7, peer_cell);
	if (!o->json)
		print_offenders(list);
	json_decref(list);
	return rc;
}

/* ---- doctor -------------------------------------------------------------------------------- */

static void print_finding(struct cli *cli, const json_t *params)
{
	const json_t *f = json_object_get(params, "finding");
	const char *seen = cli_text_of(f, "seen"), *fix = json_get_string(f, "fix", "");
	const char *verdict = cli_text_of(f, "verdict");
	printf("%-5s  %-9s  ", strcmp(verdict, "fault") == 0 ? "FAULT" : verdict,
	    cli_text_of(f, "hop"));
	print_tamed(seen, strlen(seen));
	if (fix[0]) {
		printf("\n%19s-> ", "");
		print_tamed(fix, strlen(fix));
	}
	putchar('\n');
	fflush(stdout);
	(void)cli;
}

static int prepare_doctor(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	if (o->n_words > 1)
		return err_set(err, E_INVALID, "one peer at a time: gate doctor [PEER]");
	if (o->n_words == 1 && !o->words[0][0])
		return err_set(err, E_INVALID, "the peer's name is empty");
	return 0;
}

static int run_doctor(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	json_t *result;
	int rc =
	    cli_call(cli, "doctor.run", json_pack("{s:s}", "peer", o->n_words ? o->words[0] : ""),
		o->json ? NULL : print_finding, &result, err);
	if (rc)
		return rc;
	long long faults = (long long)json_get_int(result, "faults", 0);
	if (o->json)
		cli_print_json(result);
	json_decref(result);
	if (faults > 0)
		cli->outcome = CLI_FAILED;
	return 0;
}

/* ---- models -------------------------------------------------------------------------------- */

static void model_cell(const json_t *m, size_t column, char *out, size_t cap)
{
	const json_t *node = json_object_get(m, "node");
	switch (column) {
	case 0:
		snprintf(out, cap, "%s", cli_text_of(m, "id"));
		break;
	case 1:
		snprintf(out, cap, "%s", json_get_bool(m, "ready", false) ? "ready" : "not ready");
		break;
	case 2:
		snprintf(out, cap, "%lld", (long long)json_get_int(m, "context_length", 0));
		break;
	case 3:
		snprintf(out, cap, "%s", cli_text_of(node, "label"));
		break;
	default:
		snprintf(out, cap, "%s", cli_text_of(node, "node_id"));
	}
}

static int run_models(struct cli *cli, struct err *err)
{
	json_t *list;
	int rc = cli_call(cli, "models.list", NULL, NULL, &list, err);
	if (rc)
		return rc;
	static const char *const heads[] = {"MODEL", "STATE", "CONTEXT", "NODE", "NODE ID"};
	if (cli->opt->json)
		cli_print_json(list);
	else if (json_array_size(list) == 0)
		fprintf(stderr, "no node of the cluster serves a model\n");
	else
		cli_print_list(list, heads, 5, model_cell);
	json_decref(list);
	return 0;
}

/* ---- the node ------------------------------------------------------------------------------ */

/* Those that a relay stands for are many and long: --json has them. */
static void print_addresses(const json_t *addresses)
{
	size_t i, direct = 0, relayed = 0;
	json_t *a;
	json_array_foreach(addresses, i, a)
	{
		bool circuit = strstr(json_string_value(a), "/p2p-circuit") != NULL;
		if (!circuit)
			printf("%s%s\n", direct == 0 ? "address   " : "          ",
			    json_string_value(a));
		direct += !circuit;
		relayed += circuit;
	}
	if (relayed > 0)
		printf("relayed   reachable through other nodes, at %zu address%s more\n", relayed,
		    relayed == 1 ? "" : "es");
}

static void print_status(const json_t *s)
{
	const json_t *cluster = json_object_get(s, "cluster"), *jobs = json_object_get(s, "jobs");
	bool joined = json_get_bool(cluster, "joined", false);
	printf("node      %s (gate %s, process %lld, up %lld s)\n", cli_text_of(s, "label"),
	    cli_text_of(s, "version"), (long long)json_get_int(s, "pid", 0),
	    (long long)json_get_int(s, "uptime_s", 0));
	printf("node id   %s\n", cli_text_of(s, "node_id"));
	printf("peer id   %s\n", cli_text_of(s, "peer_id"));
	printf("cluster   %s%s\n", joined ? cli_text_of(cluster, "id") : "none yet: asking to join",
	    json_get_bool(cluster, "open", false) ? " (open: it has no key)" : "");
	const json_t *joining = json_object_get(s, "joining");
	if (joining)
		printf("joining   %s%s%s\n", cli_text_of(joining, "cluster"),
		    cli_text_of(joining, "failure")[0] ? ": " : "",
		    cli_text_of(joining, "failure"));
	print_addresses(json_object_get(s, "addresses"));
	printf("api       %s%s\n", cli_text_of(s, "http"),
	    json_get_bool(s, "key_required", false) ? " (wants a key)" : "");
	printf("control   %s\n", cli_text_of(s, "control"));
	printf("data      %s\n", cli_text_of(s, "data_dir"));
	printf("peers     %lld\n", (long long)json_get_int(s, "peers", 0));
	printf("models    %zu\n", json_array_size(json_object_get(s, "models")));
	printf("jobs      %lld running, %lld queued, %lld answered, %lld failed, %lld cancelled\n",
	    (long long)json_get_int(jobs, "running", 0), (long long)json_get_int(jobs, "queued", 0),
	    (long long)json_get_int(jobs, "completed", 0),
	    (long long)json_get_int(jobs, "failed", 0),
	    (long long)json_get_int(jobs, "cancelled", 0));
}

static int run_status(struct cli *cli, struct err *err)
{
	json_t *status;
	int rc = cli_call(cli, "node.status", NULL, NULL, &status, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(status);
	else
		print_status(status);
	json_decref(status);
	return 0;
}

static int run_id(struct cli *cli, struct err *err)
{
	json_t *status;
	int rc = cli_call(cli, "node.status", NULL, NULL, &status, err);
	if (rc)
		return rc;
	json_t *id = json_pack("{s:O, s:O, s:O, s:O}", "node_id",
	    json_object_get(status, "node_id"), "peer_id", json_object_get(status, "peer_id"),
	    "label", json_object_get(status, "label"), "addresses",
	    json_object_get(status, "addresses"));
	if (cli->opt->json)
		cli_print_json(id);
	else
		printf("%s\n", cli_text_of(id, "node_id"));
	json_decref(id);
	json_decref(status);
	return 0;
}

static int run_stop(struct cli *cli, struct err *err)
{
	json_t *result;
	int rc = cli_call(cli, "node.stop", NULL, NULL, &result, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(result);
	json_decref(result);
	return 0;
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct cli_command commands[] = {
    {"ask", "[PROMPT]", "asks a question (from standard input without one) and prints the answer",
	prepare_ask, run_ask, NULL},
    {"peers", "[list | accept NODE | reject NODE | trust NODE | untrust NODE | trusted]",
	"shows the members of the cluster and who asks to join; lets them in or not; gives peers "
	"rights of their own",
	prepare_peers, run_peers, NULL},
    {"models", "", "shows the models of the cluster and the nodes that serve them", cli_no_words,
	run_models, NULL},
    {"providers", "[list | add NAME | remove NAME | refresh]",
	"shows the servers that this node may ask; adds and removes them", cli_prepare_providers,
	cli_run_providers, NULL},
    {"route", "[PROMPT]", "shows who would answer, without asking", cli_prepare_route,
	cli_run_route, NULL},
    {"proxy", "",
	"opens a port on this machine that stands for a service of a member, until Ctrl-C",
	cli_prepare_proxy, cli_run_proxy, NULL},
    {"doctor", "[PEER]",
	"says why nodes do not connect, and what to do; PEER: a node, or an address",
	prepare_doctor, run_doctor, NULL},
    {"status", "", "shows how the node is", cli_no_words, run_status, NULL},
    {"invite", "",
	"makes an invitation to the cluster and prints its token; lists and revokes them",
	cli_prepare_invite, cli_run_invite, NULL},
    {"join", "TOKEN", "joins the cluster that an invitation's token is for", cli_prepare_join,
	cli_run_join, cli_offline_join},
    {"pair", "[CODE]",
	"shows a code for a machine on the same network to join with, or joins with it",
	cli_prepare_pair, cli_run_pair, NULL},
    {"keys", "[list | create NAME | revoke ID]", "shows, makes and revokes keys of the API",
	cli_prepare_keys, cli_run_keys, NULL},
    {"requests", "[ID]", "shows what was asked of the node, and what became of it",
	cli_prepare_requests, cli_run_requests, NULL},
    {"id", "", "prints the node's id", cli_no_words, run_id, NULL},
    {"stop", "", "ends the node politely", cli_no_words, run_stop, NULL},
    {"completion", "bash | zsh | fish", "prints a script that completes gate's words in a shell",
	cli_prepare_completion, cli_run_completion, cli_offline_completion},
    {"version", "", "prints the version", cli_prepare_version, NULL, NULL},
    {"help", "[COMMAND]", "tells about a command, or lists them all", cli_prepare_help, NULL, NULL},
};

const struct cli_command *cli_commands(size_t *n)
{
	*n = sizeof commands / sizeof *commands;
	return commands;
}

const struct cli_command *cli_find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}
