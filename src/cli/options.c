/* The flags of the commands: one table for parsing, help and completion. */
#include "cli/cli_priv.h"

#include "base/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct cli_options, member)

static const struct cli_flag flags[] = {
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
    {"scopes", FLAG_TEXT, AT(scopes), "LIST",
	"what it is for: inference, embeddings, models, records, admin [the first three]", "keys"},
    {"models", FLAG_TEXT, AT(models), "PATTERN,…", "the models it may use, with * and ? [all]",
	"keys"},
    {"requests-per-minute", FLAG_TEXT, AT(requests), "N", "a limit [none]", "keys"},
    {"tokens-per-minute", FLAG_TEXT, AT(tokens), "N", "a limit [none]", "keys"},
    {"concurrent", FLAG_TEXT, AT(concurrent), "N", "requests at once [no limit]", "keys"},
    {"expires", FLAG_TEXT, AT(expires), "TIME", "how long it holds: 24h, 90d [for ever]", "keys"},
    {"scopes", FLAG_TEXT, AT(scopes), "LIST",
	"of trust: inference, embeddings, models, records, admin, or none [the first three]",
	"peers"},
    {"models", FLAG_TEXT, AT(models), "PATTERN,…", "of trust: models, with * and ? [all]", "peers"},
    {"requests-per-minute", FLAG_TEXT, AT(requests), "N", "of trust: a limit [none]", "peers"},
    {"tokens-per-minute", FLAG_TEXT, AT(tokens), "N", "of trust: a limit [none]", "peers"},
    {"concurrent", FLAG_TEXT, AT(concurrent), "N", "of trust: requests at once [no limit]",
	"peers"},
    {"name", FLAG_TEXT, AT(name), "NAME", "of trust: what you call the peer", "peers"},
    {"follow", FLAG_SWITCH, AT(follow), NULL, "goes on with those that end (-f)", "requests"},
    {"limit", FLAG_TEXT, AT(limit), "N", "how many, newest first [20]", "requests"},
    {"kind", FLAG_TEXT, AT(kind), "KIND",
	"ollama, lmstudio, llamacpp, vllm, exo, openai or anthropic [openai]", "providers"},
    {"url", FLAG_TEXT, AT(url), "URL", "its address, where the kind has no usual one", "providers"},
    {"key-env", FLAG_TEXT, AT(key_env), "VARIABLE",
	"the environment variable that has its key (\"-\": standard input)", "providers"},
    {"share", FLAG_SWITCH, AT(share), NULL, "members of the cluster may use it too", "providers"},
    {"price-in", FLAG_TEXT, AT(price_in), "MSAT", "for a million tokens of prompts", "providers"},
    {"price-out", FLAG_TEXT, AT(price_out), "MSAT", "for a million tokens of answers", "providers"},
    {"model", FLAG_TEXT, AT(model), "NAME", "the model that would be asked", "route"},
    {"target", FLAG_TEXT, AT(target), "NODE", "the node that would be asked", "route"},
    {"strategy", FLAG_TEXT, AT(strategy), "NAME",
	"prefer-local, local-only, load-balance, cheapest or fastest", "route"},
    {"max-tokens", FLAG_TEXT, AT(max_tokens), "N", "the longest answer", "route"},
    {"explain", FLAG_SWITCH, AT(explain), NULL, "every candidate, with each term of its score",
	"route"},
    {"all", FLAG_SWITCH, AT(all), NULL, "everyone ever heard of, with the last failure", "peers"},
};

#define N_FLAGS (sizeof flags / sizeof *flags)

const struct cli_flag *cli_flags(size_t *n)
{
	*n = N_FLAGS;
	return flags;
}

static const struct cli_flag *find_flag(const char *command, const char *name, size_t n)
{
	for (size_t i = 0; i < N_FLAGS; i++)
		if (strlen(flags[i].name) == n && strncmp(flags[i].name, name, n) == 0 &&
		    (!flags[i].command || strcmp(flags[i].command, command) == 0))
			return &flags[i];
	return NULL;
}

int cli_parse_span(const char *flag, const char *text, int64_t *out, struct err *err)
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
	    err, E_INVALID, "--%s: \"%s\" is no time like 90s, 30m, 24h or 7d", flag, text);
}

int cli_parse_count(
    const char *flag, const char *text, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (end == text || *end || errno || n < min || n > max)
		return err_set(err, E_INVALID, "--%s: \"%s\" is not a number from %lld to %lld",
		    flag, text, (long long)min, (long long)max);
	*out = n;
	return 0;
}

static int set_flag(
    struct cli_options *o, const struct cli_flag *f, const char *value, struct err *err)
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
		if (!value[0] || strlen(value) >= CLI_PATH_MAX)
			return err_set(err, E_INVALID, "--%s: the value is %s", f->name,
			    value[0] ? "too long" : "empty");
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
	const struct cli_flag *f = find_flag(o->command, name, n);
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

int cli_parse(const char *command, int argc, char **argv, struct cli_options *o, struct err *err)
{
	const char *env = getenv("GATE_DATA_DIR");
	if (env && strlen(env) >= CLI_PATH_MAX)
		return err_set(err, E_INVALID, "environment GATE_DATA_DIR: too long");
	if (env)
		memcpy(o->data_dir, env, strlen(env) + 1);
	o->node_id = getenv("GATE_NODE_ID");
	o->command = command;
	bool only_words = false;
	for (int i = 1; i < argc; i++) {
		if (utf8_valid_prefix(bytes_str(argv[i])) != strlen(argv[i]))
			return err_set(err, E_INVALID, "argument %d is not valid UTF-8", i);
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (!only_words && strcmp(argv[i], "-h") == 0) {
			o->help = true;
		} else if (!only_words && strcmp(argv[i], "-f") == 0 &&
			   strcmp(command, "requests") == 0) {
			o->follow = true;
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
