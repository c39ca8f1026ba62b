/* gate invite, gate join, gate pair. */
#include "cli/cli_priv.h"
#include "cluster/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- invite -------------------------------------------------------------------------------- */

/* "24h" in seconds. */
static int parse_span(const char *text, int64_t *out, struct err *err)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (end != text && !errno && n > 0 && n <= INT32_MAX &&
		    strcmp(end, units[i].unit) == 0) {
			*out = n * units[i].seconds;
			return 0;
		}
	return err_set(
	    err, E_INVALID, "--expires: \"%s\" is no time like 90s, 30m, 24h or 7d", text);
}

static int invite_params(const struct cli_options *o, json_t **out, struct err *err)
{
	int64_t seconds = 0;
	int rc = o->expires ? parse_span(o->expires, &seconds, err) : 0;
	if (rc)
		return rc;
	json_t *params = json_object(), *addrs = json_array();
	if (o->expires)
		json_object_set_new(params, "expires_s", json_integer(seconds));
	if (o->uses) {
		char *end;
		errno = 0;
		long long n = strtoll(o->uses, &end, 10);
		if (end == o->uses || *end || errno)
			rc = err_set(err, E_INVALID, "--uses: \"%s\" is not a number", o->uses);
		json_object_set_new(params, "uses", json_integer(n));
	}
	for (const char *p = o->address ? o->address : ""; *p;) {
		size_t n = strcspn(p, ",");
		json_array_append_new(addrs, json_stringn(p, n));
		p += n + (p[n] == ',');
	}
	json_object_set_new(params, "addresses", addrs);
	if (rc)
		json_decref(params);
	else
		*out = params;
	return rc;
}

static void print_when(int64_t ms, char out[32])
{
	struct tm tm;
	time_t t = (time_t)(ms / 1000);
	if (!localtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, 32, "%lld", (long long)t);
}

static int create(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	json_t *params, *invite;
	char when[32];
	int rc = invite_params(o, &params, err);
	if (rc == 0)
		rc = cli_call(cli, "invite.create", params, NULL, &invite, err);
	if (rc)
		return rc;
	print_when(json_get_int(invite, "expires_ms", 0), when);
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
		print_when(json_get_int(i, column == 3 ? "created_ms" : "expires_ms", 0), when);
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
	if (o->n_words > 0)
		return err_set(err, E_INVALID, "unknown: gate invite %s", o->words[0]);
	if (o->list && o->revoke)
		return err_set(err, E_INVALID, "either --list or --revoke");
	return o->list     ? list_invites(cli, err)
	       : o->revoke ? revoke_invite(cli, err)
			   : create(cli, err);
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
	char piece[1024];
	size_t n;
	while (from_input && !out->failed && (n = fread(piece, 1, sizeof piece, stdin)) > 0)
		buf_put(out, piece, n);
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
	json_t *result;
	int rc = cli_call(cli, "cluster.join",
	    json_pack("{s:s, s:b}", "token", buf_cstr(&cli->prompt), "leave", cli->opt->leave),
	    NULL, &result, err);
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

int cli_run_pair(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	if (o->n_words == 0)
		return show(cli, err);
	/* "123 456" is how people read six digits. */
	char code[16];
	snprintf(code, sizeof code, "%.7s%.7s", o->words[0], o->n_words > 1 ? o->words[1] : "");
	json_t *result;
	int rc = cli_call(cli, "pair.enter",
	    json_pack("{s:s, s:b}", "code", o->n_words > 2 ? "" : code, "leave", o->leave), NULL,
	    &result, err);
	if (rc)
		return rc;
	print_joined(cli, result);
	json_decref(result);
	return 0;
}
