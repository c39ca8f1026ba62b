/* gate invite, gate join, gate pair. */
#include "cli/cli_priv.h"
#include "cluster/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- invite -------------------------------------------------------------------------------- */

int cli_prepare_invite(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	int64_t seconds = 0, uses = 0;
	int rc = cli_no_words(cli, err);
	if (rc == 0 && o->list && o->revoke)
		rc = err_set(err, E_INVALID, "either --list or --revoke");
	if (rc == 0 && (o->list || o->revoke) && (o->expires || o->uses || o->address))
		rc = err_set(err, E_INVALID,
		    "--%s makes no invitation: it goes without --expires, "
		    "--uses and --address",
		    o->list ? "list" : "revoke");
	if (rc == 0 && o->expires)
		rc = cli_parse_span("expires", o->expires, &seconds, err);
	if (rc == 0 && o->uses)
		rc = cli_parse_count("uses", o->uses, 1, CLUSTER_INVITE_USES_MAX, &uses, err);
	if (rc)
		return rc;
	json_t *params = cli->params = json_object(), *addrs = json_array();
	if (o->expires)
		json_object_set_new(params, "expires_s", json_integer(seconds));
	if (o->uses)
		json_object_set_new(params, "uses", json_integer(uses));
	for (const char *p = o->address ? o->address : ""; *p;) {
		size_t n = strcspn(p, ",");
		json_array_append_new(addrs, json_stringn(p, n));
		p += n + (p[n] == ',');
	}
	json_object_set_new(params, "addresses", addrs);
	return 0;
}

static int create(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	json_t *invite;
	char when[32];
	int rc = cli_call(cli, "invite.create", json_incref(cli->params), NULL, &invite, err);
	if (rc)
		return rc;
	cli_print_when(json_get_int(invite, "expires_ms", 0), when, sizeof when);
	if (o->json) {
		cli_print_json(invite);
	} else {
		printf("%s\n", cli_text_of(invite, "token"));
		if (o->qr || isatty(STDOUT_FILENO))
			rc = cli_print_qr(cli_text_of(invite, "token"), err);
		fflush(stdout);
		fprintf(stderr,
		    "Invitation %s to the cluster %s, for %lld node%s, until %s.\n"
		    "On the other machine: gate join TOKEN. Whoever has the token can use it.\n",
		    cli_text_of(invite, "id"), cli_text_of(invite, "cluster"),
		    (long long)json_get_int(invite, "uses", 0),
		    json_get_int(invite, "uses", 0) == 1 ? "" : "s", when);
	}
	json_decref(invite);
	return rc;
}

static void invite_cell(const json_t *i, size_t column, char *out, size_t cap)
{
	char when[32];
	switch (column) {
	case 0:
		snprintf(out, cap, "%s", cli_text_of(i, "id"));
		break;
	case 1:
		snprintf(out, cap, "%s", cli_text_of(i, "state"));
		break;
	case 2:
		snprintf(out, cap, "%lld of %lld", (long long)json_get_int(i, "used", 0),
		    (long long)json_get_int(i, "uses", 0));
		break;
	default:
		cli_print_when(json_get_int(i, column == 3 ? "created_ms" : "expires_ms", 0), when,
		    sizeof when);
		snprintf(out, cap, "%s", when);
	}
}

static int list_invites(struct cli *cli, struct err *err)
{
	static const char *const heads[] = {"ID", "STATE", "USED", "MADE", "EXPIRES"};
	json_t *invites;
	int rc = cli_call(cli, "invite.list", NULL, NULL, &invites, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(invites);
	else if (json_array_size(invites) == 0)
		fprintf(stderr, "no invitations were made here\n");
	else
		cli_print_list(invites, heads, 5, invite_cell);
	json_decref(invites);
	return 0;
}

static int revoke_invite(struct cli *cli, struct err *err)
{
	json_t *result;
	int rc = cli_call(
	    cli, "invite.revoke", json_pack("{s:s}", "id", cli->opt->revoke), NULL, &result, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(result);
	else
		fprintf(stderr, "revoked\n");
	json_decref(result);
	return 0;
}

int cli_run_invite(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	return o->list     ? list_invites(cli, err)
	       : o->revoke ? revoke_invite(cli, err)
			   : create(cli, err);
}

/* ---- calls that take their time ------------------------------------------------------------- */

#define QUIET_S      1 /* what is done by then needs no words */
#define TICK_S       1 /* on a terminal one line counts the seconds, … */
#define PLAIN_LINE_S 5 /* … elsewhere there is a line now and then */

/* Says `arg`, and then that it goes on, until it is cancelled. */
static void tick(void *arg)
{
	const char *text = arg;
	bool terminal = isatty(STDERR_FILENO);
	int step = terminal ? TICK_S : PLAIN_LINE_S, seconds = QUIET_S;
	if (fiber_sleep(duration_s(QUIET_S)) != 0)
		return;
	fprintf(stderr, terminal ? "%s" : "%s\n", text);
	while (fiber_sleep(duration_s(step)) == 0) {
		seconds += step;
		if (terminal)
			fprintf(stderr, "\r%s %d s", text, seconds);
		else
			fprintf(stderr, "Still looking after %d s\n", seconds);
	}
	fputs(terminal ? "\n" : "", stderr);
}

/* cli_call, while standard error says `text` and how long it has taken. */
static int call_slow(struct cli *cli, char *text, const char *method, json_t *params,
    json_t **result, struct err *err)
{
	struct scope sc;
	scope_open(&sc, DURATION_FOREVER);
	int rc = fiber_spawn(&sc, "progress", tick, text, err);
	if (rc == 0)
		rc = cli_call(cli, method, params, NULL, result, err);
	else
		json_decref(params);
	scope_close(&sc);
	return rc;
}

/* ---- join ---------------------------------------------------------------------------------- */

/* The token, which a terminal may have broken into several words; "-" reads standard input, so that
 * it need not stand in the list of processes. */
int cli_prepare_join(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	struct buf *out = &cli->prompt;
	bool from_input = o->n_words == 1 && strcmp(o->words[0], "-") == 0;
	for (size_t i = 0; i < o->n_words && !from_input; i++)
		buf_str(out, o->words[i]);
	int rc = from_input ? cli_read_input(o, out, err) : 0;
	if (rc && rc != E_TOO_LARGE)
		return rc;
	if (out->failed || out->n >= 4 * CLUSTER_TOKEN_TEXT_MAX)
		return err_set(err, E_INVALID, "this is no join token: it is too long");
	if (out->n == 0)
		return err_set(err, E_INVALID,
		    "which cluster? gate join TOKEN (gate invite makes one, on a member)");
	return 0;
}

static void print_joined(struct cli *cli, const json_t *result)
{
	const json_t *through = json_object_get(result, "through");
	const char *label = cli_text_of(through, "label");
	if (cli->opt->json)
		cli_print_json(result);
	else
		printf("Joined the cluster %s through %s.\n", cli_text_of(result, "cluster"),
		    label[0] ? label : cli_text_of(through, "peer_id"));
}

int cli_run_join(struct cli *cli, struct err *err)
{
	char text[] = "Looking for the node that made the invitation…";
	json_t *result;
	int rc = call_slow(cli, text, "cluster.join",
	    json_pack("{s:s, s:b}", "token", buf_cstr(&cli->prompt), "leave", cli->opt->leave),
	    &result, err);
	if (rc == E_UNREACHABLE)
		fprintf(stderr,
		    "Only the node that made an invitation can honour it. Start it there and try "
		    "again,\nor ask another member for a new one (gate invite).\n");
	if (rc)
		return rc;
	print_joined(cli, result);
	json_decref(result);
	return 0;
}

int cli_offline_join(struct cli *cli, struct err *err)
{
	char dir[CLI_PATH_MAX];
	struct cluster_join_result r;
	int rc = cli_data_dir(cli->opt, dir, err);
	if (rc == 0)
		rc = cluster_join_later(cli->world, dir, buf_cstr(&cli->prompt),
		    cli->opt->leave ? CLUSTER_LEAVE : CLUSTER_STAY, &r, err);
	if (rc)
		return rc;
	if (cli->opt->json) {
		json_t *j = json_pack(
		    "{s:s, s:s, s:s}", "status", "stored", "cluster", r.cluster, "data_dir", dir);
		cli_print_json(j);
		json_decref(j);
	} else {
		printf("No node is running in %s: its next start joins the cluster %s.\n", dir,
		    r.cluster);
	}
	return 0;
}

/* ---- pair ---------------------------------------------------------------------------------- */

static void print_code(struct cli *cli, const json_t *params)
{
	FILE *out = cli->opt->json ? stderr : stdout;
	const char *code = cli_text_of(params, "code");
	fprintf(out, "%s\n", code);
	fflush(out);
	fprintf(stderr,
	    "On the other machine, within %lld seconds: gate pair %s\nWaiting… (Ctrl-C ends it)\n",
	    (long long)json_get_int(params, "seconds", 0), code);
}

static int show(struct cli *cli, struct err *err)
{
	json_t *result;
	int rc = cli_call(cli, "pair.show", NULL, print_code, &result, err);
	if (rc)
		return rc;
	const json_t *guest = json_object_get(result, "through");
	const char *label = cli_text_of(guest, "label");
	if (cli->opt->json)
		cli_print_json(result);
	else
		fprintf(stderr, "%s has joined the cluster %s.\n",
		    label[0] ? label : cli_text_of(guest, "peer_id"),
		    cli_text_of(result, "cluster"));
	json_decref(result);
	return 0;
}

/* "123 456" is how people read six digits. */
int cli_prepare_pair(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	for (size_t i = 0; i < o->n_words; i++)
		buf_str(&cli->prompt, o->words[i]);
	const char *code = buf_cstr(&cli->prompt);
	size_t n = strspn(code, "0123456789");
	if (o->n_words > 0 && (n != CLUSTER_PAIR_CODE_SIZE - 1 || code[n]))
		return err_set(err, E_INVALID, "a pairing code has six digits: gate pair 123456");
	return 0;
}

int cli_run_pair(struct cli *cli, struct err *err)
{
	json_t *result;
	if (cli->opt->n_words == 0)
		return show(cli, err);
	char text[] = "Looking for the node nearby that shows this code…";
	int rc = call_slow(cli, text, "pair.enter",
	    json_pack("{s:s, s:b}", "code", buf_cstr(&cli->prompt), "leave", cli->opt->leave),
	    &result, err);
	if (rc)
		return rc;
	print_joined(cli, result);
	json_decref(result);
	return 0;
}
