/* gate keys, and gate peers trust, untrust, trusted. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_MAX 1000000000

/* ---- what they share ------------------------------------------------------------------------ */

static int put_limit(
    json_t *params, const char *key, const char *flag, const char *text, struct err *err)
{
	int64_t n;
	int rc = text ? cli_parse_count(flag, text, 0, LIMIT_MAX, &n, err) : 0;
	if (rc == 0 && text)
		json_object_set_new(params, key, json_integer(n));
	return rc;
}

static int grant_params(const struct cli_options *o, json_t *params, struct err *err)
{
	if (o->scopes)
		json_object_set_new(params, "scopes", json_string(o->scopes));
	if (o->models)
		json_object_set_new(params, "models", json_string(o->models));
	int rc = put_limit(params, "requests_per_min", "requests-per-minute", o->requests, err);
	if (rc == 0)
		rc = put_limit(params, "tokens_per_min", "tokens-per-minute", o->tokens, err);
	if (rc == 0)
		rc = put_limit(params, "concurrent", "concurrent", o->concurrent, err);
	return rc;
}

static bool has_grant_flags(const struct cli_options *o)
{
	return o->scopes || o->models || o->requests || o->tokens || o->concurrent || o->expires;
}

/* One of `words`, each with what must follow it (NULL: nothing). Which it is, or E_INVALID. */
struct verb {
	const char *word, *argument;
};

static int verb_of(const struct cli_options *o, const struct verb *verbs, size_t n, struct err *err)
{
	const char *word = o->n_words > 0 ? o->words[0] : verbs[0].word;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(verbs[i].word, word) != 0)
			continue;
		size_t wanted = verbs[i].argument ? 2 : 1;
		if (o->n_words < wanted && verbs[i].argument)
			return err_set(err, E_INVALID, "which? gate %s %s %s", o->command, word,
			    verbs[i].argument);
		if (o->n_words > wanted)
			return err_set(err, E_INVALID, "too much: gate %s %s … %s", o->command,
			    word, o->words[wanted]);
		return (int)i;
	}
	struct buf list = BUF_INIT(256);
	for (size_t i = 0; i < n; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", verbs[i].word);
	int rc =
	    err_set(err, E_INVALID, "unknown: gate %s %s (%s)", o->command, word, buf_cstr(&list));
	buf_free(&list);
	return rc;
}

static void join(const json_t *list, const char *empty, char *out, size_t cap)
{
	struct buf text = BUF_INIT(cap - 1);
	size_t i;
	const json_t *v;
	json_array_foreach(list, i, v)
	{
		buf_printf(&text, "%s%s", i ? "," : "", json_string_value(v));
	}
	snprintf(out, cap, "%s", text.n ? buf_cstr(&text) : empty);
	buf_free(&text);
}

static void print_limits(const json_t *of, char *out, size_t cap)
{
	static const struct {
		const char *key, *unit;
	} all[] = {{"requests_per_min", "requests/min"}, {"tokens_per_min", "tokens/min"},
	    {"concurrent", "at once"}};
	const json_t *l = json_object_get(of, "limits");
	size_t n = 0;
	snprintf(out, cap, "-");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		int64_t v = json_get_int(l, all[i].key, 0);
		if (v > 0 && n < cap)
			n += (size_t)snprintf(out + n, cap - n, "%s%lld %s", n ? ", " : "",
			    (long long)v, all[i].unit);
	}
}

/* Calls, and prints the result: as JSON, or a table, or by what is said of it. */
static int print_list(struct cli *cli, const char *method, const char *const *heads, size_t columns,
    void (*cell)(const json_t *item, size_t column, char *out, size_t cap), const char *nothing,
    struct err *err)
{
	json_t *list;
	int rc = cli_call(cli, method, NULL, NULL, &list, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(list);
	else if (json_array_size(list) == 0)
		fprintf(stderr, "%s\n", nothing);
	else
		cli_print_list(list, heads, columns, cell);
	json_decref(list);
	return 0;
}

static int do_call(
    struct cli *cli, const char *method, json_t *params, const char *done, struct err *err)
{
	json_t *result;
	int rc = cli_call(cli, method, params, NULL, &result, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(result);
	else
		fprintf(stderr, "%s\n", done);
	json_decref(result);
	return 0;
}

/* ---- keys ----------------------------------------------------------------------------------- */

enum keys_verb {
	KEYS_LIST,
	KEYS_CREATE,
	KEYS_REVOKE
};

static const struct verb keys_verbs[] = {{"list", NULL}, {"create", "NAME"}, {"revoke", "ID"}};

int cli_prepare_keys(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	int64_t seconds = 0;
	int verb = verb_of(o, keys_verbs, 3, err);
	if (verb < 0)
		return verb;
	if (verb != KEYS_CREATE && has_grant_flags(o))
		return err_set(err, E_INVALID, "only gate keys create takes flags");
	if (verb != KEYS_CREATE)
		return 0;
	cli->params = json_pack("{s:s}", "name", o->words[1]);
	int rc = grant_params(o, cli->params, err);
	if (rc == 0 && o->expires)
		rc = cli_parse_span("expires", o->expires, &seconds, err);
	if (rc == 0 && o->expires)
		json_object_set_new(cli->params, "expires_s", json_integer(seconds));
	return rc;
}

static int create_key(struct cli *cli, struct err *err)
{
	json_t *key;
	int rc = cli_call(cli, "keys.create", json_incref(cli->params), NULL, &key, err);
	if (rc)
		return rc;
	if (cli->opt->json) {
		cli_print_json(key);
	} else {
		printf("%s\n", cli_text_of(key, "key"));
		fflush(stdout);
		fprintf(stderr,
		    "Key \"%s\" (%s). It is shown this once. From now on the API wants a key of "
		    "everybody, on this machine too.\n",
		    cli_text_of(key, "name"), cli_text_of(key, "id"));
	}
	json_decref(key);
	return 0;
}

static void key_cell(const json_t *k, size_t column, char *out, size_t cap)
{
	switch (column) {
	case 0:
	case 1:
	case 2:
		snprintf(out, cap, "%s",
		    cli_text_of(k, column == 0   ? "id"
				   : column == 1 ? "name"
						 : "state"));
		break;
	case 3:
		join(json_object_get(k, "scopes"), "-", out, cap);
		break;
	case 4:
		join(json_object_get(k, "models"), "all", out, cap);
		break;
	case 5:
		print_limits(k, out, cap);
		break;
	default:
		cli_print_when(
		    json_get_int(k, column == 6 ? "expires_ms" : "used_ms", 0), out, cap);
	}
}

static int revoke_key(struct cli *cli, struct err *err)
{
	json_t *result;
	int rc = cli_call(
	    cli, "keys.revoke", json_pack("{s:s}", "id", cli->opt->words[1]), NULL, &result, err);
	if (rc)
		return rc;
	if (cli->opt->json)
		cli_print_json(result);
	else
		fprintf(stderr, "revoked%s\n",
		    json_get_bool(result, "key_required", true)
			? ""
			: "; no key is left: programs on this machine need none again");
	json_decref(result);
	return 0;
}

int cli_run_keys(struct cli *cli, struct err *err)
{
	static const char *const heads[] = {
	    "ID", "NAME", "STATE", "SCOPES", "MODELS", "LIMITS", "EXPIRES", "LAST USED"};
	switch ((enum keys_verb)verb_of(cli->opt, keys_verbs, 3, err)) {
	case KEYS_CREATE:
		return create_key(cli, err);
	case KEYS_REVOKE:
		return revoke_key(cli, err);
	case KEYS_LIST:
		break;
	}
	return print_list(cli, "keys.list", heads, 8, key_cell,
	    "there are no keys: programs on this machine need none", err);
}

/* ---- trusted peers -------------------------------------------------------------------------- */

bool cli_is_trust(const char *word)
{
	return strcmp(word, "trust") == 0 || strcmp(word, "untrust") == 0 ||
	       strcmp(word, "trusted") == 0;
}

int cli_prepare_trust(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	const char *word = o->words[0];
	size_t wanted = strcmp(word, "trusted") == 0 ? 1 : 2;
	if (o->n_words < wanted)
		return err_set(err, E_INVALID, "which peer? gate peers %s NODE", word);
	if (o->n_words > wanted)
		return err_set(
		    err, E_INVALID, "too much: gate peers %s … %s", word, o->words[wanted]);
	if (strcmp(word, "trust") != 0 && has_grant_flags(o))
		return err_set(err, E_INVALID, "only gate peers trust takes these flags");
	if (wanted == 1)
		return 0;
	cli->params = json_pack("{s:s}", "peer", o->words[1]);
	if (o->name)
		json_object_set_new(cli->params, "name", json_string(o->name));
	return grant_params(o, cli->params, err);
}

static void trusted_cell(const json_t *p, size_t column, char *out, size_t cap)
{
	switch (column) {
	case 0:
		snprintf(
		    out, cap, "%s", cli_text_of(p, "label")[0] ? cli_text_of(p, "label") : "-");
		break;
	case 1:
		join(json_object_get(p, "scopes"), "none", out, cap);
		break;
	case 2:
		join(json_object_get(p, "models"), "all", out, cap);
		break;
	case 3:
		print_limits(p, out, cap);
		break;
	case 4:
		cli_print_when(json_get_int(p, "since_ms", 0), out, cap);
		break;
	default:
		snprintf(out, cap, "%s", cli_text_of(p, "node_id"));
	}
}

int cli_run_trust(struct cli *cli, struct err *err)
{
	static const char *const heads[] = {
	    "NAME", "SCOPES", "MODELS", "LIMITS", "SINCE", "NODE ID"};
	const char *word = cli->opt->words[0];
	if (strcmp(word, "trust") == 0)
		return do_call(cli, "peers.trust", json_incref(cli->params), "trusted", err);
	if (strcmp(word, "untrust") == 0)
		return do_call(cli, "peers.untrust", json_incref(cli->params),
		    "this peer has no rights of its own any more", err);
	return print_list(cli, "peers.trusted", heads, 6, trusted_cell,
	    "no peer has rights of its own: members may use this node", err);
}
