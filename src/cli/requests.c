/* gate requests: what was asked of the node, and what became of it. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_MAX 1000

int cli_prepare_requests(struct cli *cli, struct err *err)
{
	const struct cli_options *o = cli->opt;
	int64_t n = 20;
	if (o->n_words > 1)
		return err_set(err, E_INVALID, "one request at a time: gate requests [ID]");
	if (o->n_words == 1 && (o->follow || o->limit))
		return err_set(err, E_INVALID, "one request has neither --follow nor --limit");
	int rc = o->limit ? cli_parse_count("limit", o->limit, 1, LIMIT_MAX, &n, err) : 0;
	if (rc)
		return rc;
	cli->params = o->n_words == 1 ? json_pack("{s:s}", "id", o->words[0])
				      : json_pack("{s:I}", "limit", (json_int_t)n);
	return 0;
}

static void print_ms(int64_t us, char *out, size_t cap)
{
	if (us < 0)
		snprintf(out, cap, "-");
	else if (us < 100000)
		snprintf(out, cap, "%.1f ms", (double)us / 1000);
	else
		snprintf(out, cap, "%.2f s", (double)us / 1e6);
}

static void print_tokens(const json_t *usage, char *out, size_t cap)
{
	int64_t in = json_get_int(usage, "prompt_tokens", -1);
	int64_t back = json_get_int(usage, "completion_tokens", -1);
	if (in < 0 && back < 0)
		snprintf(out, cap, "-");
	else
		snprintf(out, cap, "%lld+%lld", (long long)(in < 0 ? 0 : in),
		    (long long)(back < 0 ? 0 : back));
}

static void print_source(const json_t *r, char *out, size_t cap)
{
	const json_t *s = json_object_get(r, "source");
	const char *kind = cli_text_of(s, "kind"), *name = json_get_string(s, "name", "");
	snprintf(out, cap, "%s%s%.24s", kind, name[0] ? " " : "", name);
}

/* What was not said shows as what is not known. */
static const char *shown(const json_t *r, const char *key)
{
	const char *text = cli_text_of(r, key);
	return text[0] ? text : "-";
}

static void cell(const json_t *r, size_t column, char *out, size_t cap)
{
	const json_t *t = json_object_get(r, "timings_us"), *e = json_object_get(r, "error");
	switch (column) {
	case 0:
		cli_print_when(json_get_int(r, "received_ms", 0), out, cap);
		break;
	case 1:
		snprintf(out, cap, "%s", cli_text_of(r, "id"));
		break;
	case 2:
		print_source(r, out, cap);
		break;
	case 3:
		snprintf(out, cap, "%s",
		    shown(r, json_get_string(r, "served_model", "")[0] ? "served_model" : "model"));
		break;
	case 4:
		snprintf(out, cap, "%s", shown(r, "target"));
		break;
	case 5:
		print_ms(json_get_int(t, "total", -1), out, cap);
		break;
	case 6:
		print_tokens(json_object_get(r, "usage"), out, cap);
		break;
	default:
		snprintf(out, cap, "%s%s%s", cli_text_of(r, "outcome"),
		    json_is_object(e) ? ": " : "",
		    json_is_object(e) ? cli_text_of(e, "message") : "");
	}
}

#define COLUMNS 8

static void print_ended(struct cli *cli, const json_t *params)
{
	const json_t *r = json_object_get(params, "request");
	if (cli->opt->json) {
		cli_print_json(r);
	} else {
		for (size_t c = 0; c < COLUMNS; c++) {
			char text[512];
			cell(r, c, text, sizeof text);
			printf("%s%s", text, c + 1 < COLUMNS ? "  " : "\n");
		}
	}
	fflush(stdout);
}

static void print_line(const char *name, const char *text)
{
	printf("%-12s%s\n", name, text);
}

static void print_attempt(const json_t *a)
{
	char began[32], ended[32];
	const json_t *e = json_object_get(a, "error");
	print_ms(json_get_int(a, "began_us", -1), began, sizeof began);
	print_ms(json_get_int(a, "ended_us", -1), ended, sizeof ended);
	printf("%-12s%s, from %s to %s%s%s\n", "attempt", cli_text_of(a, "target"), began, ended,
	    json_is_object(e) ? ": " : "", json_is_object(e) ? cli_text_of(e, "message") : "");
}

/* Everything but the candidates, which --json has. */
static void print_one(const json_t *r)
{
	static const struct {
		const char *name;
		size_t column;
	} lines[] = {{"received", 0}, {"id", 1}, {"from", 2}, {"model", 3}, {"target", 4},
	    {"tokens", 6}, {"outcome", 7}};
	static const struct {
		const char *name, *key;
	} times[] = {{"queued", "queued"}, {"first event", "first_event"},
	    {"last event", "last_event"}, {"total", "total"}};
	const json_t *t = json_object_get(r, "timings_us"), *a;
	char text[512];
	size_t i;
	for (i = 0; i < sizeof lines / sizeof *lines; i++) {
		cell(r, lines[i].column, text, sizeof text);
		print_line(lines[i].name, text);
	}
	print_line("dialect", cli_text_of(r, "dialect"));
	for (i = 0; i < sizeof times / sizeof *times; i++) {
		print_ms(json_get_int(t, times[i].key, -1), text, sizeof text);
		print_line(times[i].name, text);
	}
	print_line("prompt", cli_text_of(r, "prompt_sha256"));
	json_array_foreach(json_object_get(r, "attempts"), i, a)
	{
		print_attempt(a);
	}
	printf("%-12s%zu decision%s looked at (--json has them)\n", "candidates",
	    json_array_size(json_object_get(r, "candidates")),
	    json_array_size(json_object_get(r, "candidates")) == 1 ? "" : "s");
}

static int show(struct cli *cli, const char *method, json_t **result, struct err *err)
{
	int rc = cli_call(cli, method, json_incref(cli->params), NULL, result, err);
	if (rc == 0 && cli->opt->json)
		cli_print_json(*result);
	return rc;
}

int cli_run_requests(struct cli *cli, struct err *err)
{
	static const char *const heads[COLUMNS] = {
	    "RECEIVED", "ID", "FROM", "MODEL", "TARGET", "TIME", "TOKENS", "OUTCOME"};
	const struct cli_options *o = cli->opt;
	json_t *result = NULL;
	int rc;
	if (o->follow) {
		rc = cli_call(cli, "requests.follow", NULL, print_ended, &result, err);
	} else if (o->n_words == 1) {
		rc = show(cli, "requests.get", &result, err);
		if (rc == 0 && !o->json)
			print_one(result);
	} else {
		rc = show(cli, "requests.list", &result, err);
		if (rc == 0 && !o->json && json_array_size(result) == 0)
			fprintf(stderr, "nothing was asked yet\n");
		else if (rc == 0 && !o->json)
			cli_print_list(result, heads, COLUMNS, cell);
	}
	json_decref(result);
	return rc;
}
