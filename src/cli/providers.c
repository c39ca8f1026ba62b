/* gate providers, gate route. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX   1024
#define PRICE_MAX 1e15

/* ---- providers ------------------------------------------------------------------------------- */

static int read_key(const struct cli_options *o, json_t *params, struct err *err)
{
	struct buf in = BUF_INIT(KEY_MAX);
	const char *key = NULL;
	if (!o->key_env)
		return 0;
	int rc = 0;
	if (strcmp(o->key_env, "-") == 0) {
		rc = cli_read_input(o, &in, err);
		while (rc == 0 && in.n > 0 && strchr("\r\n", in.p[in.n - 1]))
			in.p[--in.n] = '\0';
		key = rc == 0 && in.n ? buf_cstr(&in) : NULL;
	} else {
		key = getenv(o->key_env);
	}
	if (rc == 0 && (!key || !key[0]))
		rc = err_set(err, E_INVALID, "--key-env: there is no key in %s",
		    strcmp(o->key_env, "-") == 0 ? "standard input" : o->key_env);
	if (rc == 0)
		json_object_set_new(params, "key", json_string(key));
	if (in.p)
		explicit_bzero(in.p, in.n);
	buf_free(&in);
	return rc;
}

static int prepare_add(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	json_t *params = cli->params = json_pack("{s:s, s:s, s:b}", "name", o->words[1], "kind",
	    o->kind ? o->kind : "openai", "shared", o->share);
	if (!params)
		return err_set(err, E_INVALID, "the name is not valid UTF-8");
	if (o->url)
		json_object_set_new(params, "url", json_string(o->url));
	const struct cli_number in = {
	    o->price_in, "--price-in", "price_in_msat", true, 0, PRICE_MAX};
	const struct cli_number out = {
	    o->price_out, "--price-out", "price_out_msat", true, 0, PRICE_MAX};
	int rc = cli_put_number(&in, params, err);
	if (rc == 0)
		rc = cli_put_number(&out, params, err);
	return rc ? rc : read_key(o, params, err);
}

int cli_prepare_providers(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	const char *verb = o->n_words ? o->words[0] : "list";
	bool named = strcmp(verb, "add") == 0 || strcmp(verb, "remove") == 0;
	if (!named && strcmp(verb, "list") != 0 && strcmp(verb, "refresh") != 0)
		return err_set(err, E_INVALID,
		    "\"%s\": gate providers [list | add NAME | remove NAME | refresh]", verb);
	if (named && o->n_words != 2)
		return err_set(err, E_INVALID, "gate providers %s takes the provider's name", verb);
	if (!named && o->n_words > 1)
		return err_set(err, E_INVALID, "gate providers %s takes no more words", verb);
	if (strcmp(verb, "add") != 0 &&
	    (o->kind || o->url || o->key_env || o->share || o->price_in || o->price_out))
		return err_set(err, E_INVALID,
		    "--kind, --url, --key-env, --share and prices go with gate providers add");
	if (strcmp(verb, "add") == 0)
		return prepare_add(cli, err);
	if (named)
		cli->params = json_pack("{s:s}", "name", o->words[1]);
	return 0;
}

static void provider_cell(const json_t *p, size_t column, char *out, size_t cap)
{
	static const char *const keys[] = {"name", "kind", "url", "health", "breaker"};
	const char *tail = json_get_string(p, "key", "");
	if (column < 5)
		snprintf(out, cap, "%s", cli_text_of(p, keys[column]));
	else if (column == 5)
		snprintf(out, cap, "%zu", json_array_size(json_object_get(p, "models")));
	else if (column == 6)
		snprintf(out, cap, "%s%s", tail[0] ? "…" : "-", tail);
	else
		snprintf(out, cap, "%s%s%s", json_get_bool(p, "shared", false) ? "shared" : "own",
		    json_get_string(p, "reason", "")[0] ? ": " : "",
		    json_get_string(p, "reason", ""));
}

int cli_run_providers(struct cli *cli, struct err *err)
{
	static const char *const heads[] = {
	    "NAME", "KIND", "URL", "HEALTH", "BREAKER", "MODELS", "KEY", "USE"};
	const struct cli_options *o = cli->opt;
	char method[32];
	json_t *list;
	snprintf(method, sizeof method, "providers.%s", o->n_words ? o->words[0] : "list");
	int rc = cli_call(cli, method, json_incref(cli->params), NULL, &list, err);
	if (rc)
		return rc;
	if (o->json)
		cli_print_json(list);
	else if (json_is_object(list))
		fprintf(stderr, "removed %s\n", o->words[1]);
	else if (json_array_size(list) == 0)
		fprintf(stderr, "no providers yet: gate providers add NAME --kind KIND --url URL; "
				"servers on the "
				"usual ports of this machine are found by themselves\n");
	else
		cli_print_list(list, heads, 8, provider_cell);
	json_decref(list);
	return 0;
}

/* ---- route ----------------------------------------------------------------------------------- */

int cli_prepare_route(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	json_t *params = cli->params = json_object();
	const struct {
		const char *key, *value;
	} texts[] = {{"model", o->model}, {"target", o->target}, {"strategy", o->strategy},
	    {"prompt", o->n_words ? o->words[0] : NULL}};
	if (o->n_words > 1)
		return err_set(err, E_INVALID, "one prompt, in quotes");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i].value)
			json_object_set_new(params, texts[i].key, json_string(texts[i].value));
	const struct cli_number limit = {
	    o->max_tokens, "--max-tokens", "max_tokens", true, 1, INT32_MAX};
	return cli_put_number(&limit, params, err);
}

static void print_ms(int64_t us, char *out, size_t cap)
{
	snprintf(out, cap, "%.1f", (double)us / 1000);
}

static void candidate_cell(const json_t *c, size_t column, char *out, size_t cap)
{
	static const char *const terms[] = {
	    "queue", "network", "load", "prefill", "decode", "risk", "away", "price"};
	long long rank = (long long)json_get_int(c, "rank", 0);
	const json_t *us = json_object_get(c, "terms_us");
	if (column == 0 && rank > 0)
		snprintf(out, cap, "%lld", rank);
	else if (column == 0)
		snprintf(out, cap, "-");
	else if (column == 1)
		snprintf(out, cap, "%s", cli_text_of(c, "label"));
	else if (column == 2)
		snprintf(out, cap, "%s", cli_text_of(c, "provider"));
	else if (column == 3)
		print_ms(json_get_int(c, "total_us", 0), out, cap);
	else if (column < 12)
		print_ms(json_get_int(us, terms[column - 4], 0), out, cap);
	else
		snprintf(out, cap, "%s", cli_text_of(c, "why"));
}

/* The whole table with --explain; the choice alone without. */
int cli_run_route(struct cli *cli, struct err *err)
{
	static const char *const heads[] = {"RANK", "NODE", "PROVIDER", "TOTAL MS", "QUEUE",
	    "NETWORK", "LOAD", "PREFILL", "DECODE", "RISK", "AWAY", "PRICE", "WHY"};
	json_t *decision;
	int rc = cli_call(cli, "route.explain", json_incref(cli->params), NULL, &decision, err);
	if (rc)
		return rc;
	const json_t *list = json_object_get(decision, "candidates");
	const json_t *best = json_array_get(list, 0);
	bool chosen = json_get_int(best, "rank", 0) == 1;
	if (cli->opt->json) {
		cli_print_json(decision);
	} else if (cli->opt->explain) {
		cli_print_list(list, heads, 13, candidate_cell);
		fprintf(stderr, "%s, about %lld tokens in, %lld out; %zu of %lld candidates\n",
		    cli_text_of(decision, "strategy"),
		    (long long)json_get_int(decision, "prompt_tok", 0),
		    (long long)json_get_int(decision, "answer_tok", 0), json_array_size(list),
		    (long long)json_get_int(decision, "known", 0));
	} else if (chosen) {
		printf("%s (%s), about %.1f s\n", cli_text_of(best, "label"),
		    cli_text_of(best, "provider"),
		    (double)json_get_int(best, "total_us", 0) / 1000000);
	} else {
		printf("nobody: %s: %s\n", cli_text_of(best, "label"), cli_text_of(best, "why"));
		cli->outcome = CLI_FAILED;
	}
	json_decref(decision);
	return 0;
}
