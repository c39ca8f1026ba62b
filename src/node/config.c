/* Settings: one table, four sources. */
#include "node/config.h"

#include "base/encode.h"
#include "cluster/cluster.h"
#include "control/home.h"
#include "engine/engine.h"
#include "node/toml_priv.h"
#include "p2p/multiaddr.h"
#include "p2p/pnet.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE_MAX (256u << 10)

enum kind {
	TEXT,
	NAME, /* a text that must not be empty */
	LABEL,
	CLUSTER_NAME,
	KEY,
	TOKEN,
	KERNELS,
	PORT,
	ADDRESS,
	NUMBER,
	POSITIVE,
	THREADS,
	SWITCH,
	ADDRESSES, /* of nodes */
	ORIGINS,
	SHARE,
	ALIASES,
	STRATEGY,
	DHT_MODE,
	LOG_LEVEL,
	LOG_FORMAT
};

struct setting {
	const char *flag; /* without dashes; the environment variable is GATE_ + upper case */
	const char *toml;
	enum kind kind;
	size_t offset, size;  /* in struct config */
	const char *fallback; /* as text; NULL: worked out later */
	const char *metavar;
	const char *help;
};

#define AT(member) offsetof(struct config, member), sizeof((struct config *)0)->member

static const struct setting settings[] = {
    {"node-id", "node.id", LABEL, AT(node_id), NULL, "LABEL",
	"name of this node for people; its data folder is named after it"},
    {"data-dir", "node.data_dir", NAME, AT(data_dir), NULL, "DIR", "where keys and state are kept"},
    {"config", NULL, NAME, AT(config_file), NULL, "FILE",
	"TOML file with settings (default: gate.toml in the data folder, if there is one)"},
    {"cluster", "cluster.name", CLUSTER_NAME, AT(cluster), "", "NAME",
	"join the cluster of this name; without a key, anyone who knows the name can"},
    {"cluster-key", "cluster.key", KEY, AT(cluster_key), "", "HEX",
	"the cluster's key, 64 hex digits (better in the environment or a file)"},
    {"bootstrap", "cluster.bootstrap", ADDRESSES, AT(bootstrap), NULL, "MULTIADDR",
	"address of a node to start from; may be repeated"},
    {"auto-accept-peers", "cluster.auto_accept_peers", SWITCH, AT(auto_accept_peers), "false", NULL,
	"let every node join that asks"},
    {"join", "cluster.join", TOKEN, AT(join), "", "TOKEN",
	"join with an invitation (better in the environment or a file)"},
    {"mdns", "network.mdns", SWITCH, AT(mdns), "true", NULL, "find nodes on the local network"},
    {"dht", "network.dht", SWITCH, AT(dht), "true", NULL,
	"meet members through a hash table that the nodes keep together"},
    {"dht-mode", "network.dht_mode", DHT_MODE, AT(dht_mode), "auto", "MODE",
	"server (keeps a part of the table), client (only asks), or auto: server if others can "
	"dial this node"},
    {"relay", "network.relay", SWITCH, AT(relay), "true", NULL,
	"carry connections between members that cannot reach each other"},
    {"map-port", "network.map_port", SWITCH, AT(map_port), "false", NULL,
	"ask the router (NAT-PMP, UPnP) to forward the P2P port"},
    {"port", "network.port", PORT, AT(port), "41145", "PORT", "P2P port; 0 picks a free one"},
    {"listen", "network.listen", ADDRESS, AT(listen), "0.0.0.0", "IP", "P2P address"},
    {"swarm-key", "network.swarm_key", TEXT, AT(swarm_key), "", "FILE",
	"key file of a private libp2p network: only nodes with the same one can connect"},
    {"max-connections", "network.max_connections", POSITIVE, AT(max_connections), "512", "N",
	"connections that others may have opened to this node; a fifth is kept for members and for "
	"peers that it dialled"},
    {"network-memory", "network.memory_mib", POSITIVE, AT(network_memory_mib), "256", "MIB",
	"memory for what peers send and for what waits to be sent to them"},
    {"bandwidth", "network.bandwidth_kib", NUMBER, AT(bandwidth_kib), "0", "KIB",
	"KiB a second in each direction, at least 64, a fifth of it kept like connections; 0: no "
	"limit"},
    {"http-port", "http.port", PORT, AT(http_port), "31145", "PORT",
	"port of the OpenAI-compatible API"},
    {"http-listen", "http.listen", ADDRESS, AT(http_listen), "127.0.0.1", "IP",
	"address of the API"},
    {"cors-origin", "http.cors_origins", ORIGINS, AT(cors_origins), NULL, "ORIGIN",
	"web pages that may use the API besides those of this machine; may be repeated"},
    {"control-port", "control.port", PORT, AT(control_port), "8145", "PORT",
	"port of the control API"},
    {"control-listen", "control.listen", ADDRESS, AT(control_listen), "127.0.0.1", "IP",
	"address of the control API"},
    {"model", "model.path", NAME, AT(model), "embedded", "FILE",
	"GGUF file to serve, \"embedded\" for the built-in model, \"none\" for no model"},
    {"kernels", "model.kernels", KERNELS, AT(kernels), "auto", "SET",
	"compute kernels: auto, ref, avx2, avx512"},
    {"threads", "model.threads", THREADS, AT(threads), "0", "N", "compute threads; 0: one a core"},
    {"context", "model.context", NUMBER, AT(context), "0", "TOKENS",
	"context length; 0: the model's, at most 4096"},
    {"max-queue", "jobs.max_queue", NUMBER, AT(max_queue), "100", "N",
	"requests that may wait for this node's model"},
    {"request-timeout", "jobs.request_timeout_s", POSITIVE, AT(request_timeout_s), "600", "SECONDS",
	"limit for a whole answer"},
    {"require-key", "access.require_key", SWITCH, AT(require_key), "false", NULL,
	"programs on this machine need a key even while there is none"},
    {"keyless-remote", "access.keyless_remote", SWITCH, AT(keyless_remote), "false", NULL,
	"programs on other machines need no key either while there is none"},
    {"rate-limit", "access.requests_per_minute", NUMBER, AT(requests_per_min), "0", "N",
	"requests a minute from one address without a key; 0: no limit"},
    {"token-limit", "access.tokens_per_minute", NUMBER, AT(tokens_per_min), "0", "N",
	"tokens a minute for one address without a key; 0: no limit"},
    {"share", "peers.share", SHARE, AT(share), "friends", "WITH",
	"who of the network may use this node: private (nobody), friends (members and trusted "
	"peers), public (everybody)"},
    {"member-rate-limit", "peers.requests_per_minute", NUMBER, AT(member_requests_per_min), "0",
	"N", "requests a minute from one member; 0: no limit"},
    {"member-token-limit", "peers.tokens_per_minute", NUMBER, AT(member_tokens_per_min), "0", "N",
	"tokens a minute for one member; 0: no limit"},
    {"public-rate-limit", "peers.public_requests_per_minute", NUMBER, AT(public_requests_per_min),
	"10", "N", "requests a minute from one stranger, with --share public; 0: no limit"},
    {"public-token-limit", "peers.public_tokens_per_minute", NUMBER, AT(public_tokens_per_min),
	"20000", "N", "tokens a minute for one stranger, with --share public; 0: no limit"},
    {"keep-requests", "requests.keep", NUMBER, AT(keep_requests), "100000", "N",
	"request records that are kept on disk; 0: none"},
    {"keep-requests-days", "requests.keep_days", POSITIVE, AT(keep_requests_days), "30", "DAYS",
	"how long they are kept"},
    {"strategy", "jobs.strategy", STRATEGY, AT(strategy), "prefer-local", "NAME",
	"who answers: prefer-local, local-only, load-balance, cheapest or fastest"},
    {"hedge-ms", "jobs.hedge_ms", NUMBER, AT(hedge_ms), "0", "MS",
	"ask a second node when the first has not begun by then; 0: never"},
    {"alias", "models.aliases", ALIASES, AT(aliases), NULL, "NAME=MODEL",
	"another name for a model, or for the first that can be asked of several with bars "
	"between; "
	"may be repeated"},
    {"discover-providers", "providers.discover", SWITCH, AT(discover_providers), "true", NULL,
	"find Ollama, LM Studio, llama.cpp, vLLM and exo on this machine"},
    {"log-level", "log.level", LOG_LEVEL, AT(log_level), "info", "LEVEL",
	"trace, debug, info, warn or error"},
    {"log-format", "log.format", LOG_FORMAT, AT(log_format), "text", "FORMAT", "text or json"},
};

#define N_SETTINGS (sizeof settings / sizeof *settings)
_Static_assert(N_SETTINGS <= CONFIG_SETTINGS_MAX, "each setting has a place");

/* ---- one value ----------------------------------------------------------------------------- */

static int parse_number(const char *text, long min, long max, long *out, struct err *err)
{
	char *end;
	errno = 0;
	long v = strtol(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || v < min || v > max)
		return err_set(
		    err, E_INVALID, "\"%s\" is not a number from %ld to %ld", text, min, max);
	*out = v;
	return 0;
}

static int parse_switch(const char *text, bool *out, struct err *err)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i % 2 != 0;
			return 0;
		}
	return err_set(err, E_INVALID, "\"%s\" is neither true nor false", text);
}

static int parse_dht_mode(const char *text, enum p2p_kad_mode *out, struct err *err)
{
	static const char *const words[] = {
	    [P2P_KAD_CLIENT] = "client", [P2P_KAD_SERVER] = "server", [P2P_KAD_AUTO] = "auto"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = (enum p2p_kad_mode)i;
			return 0;
		}
	return err_set(err, E_INVALID, "\"%s\" is none of auto, server and client", text);
}

/* Labels are folder names and names in commands. */
static int check_label(const char *text, struct err *err)
{
	size_t n =
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	if (n == 0 || text[n] || text[0] == '.' || text[0] == '-')
		return err_set(err, E_INVALID,
		    "\"%s\" is no node id: letters, digits, '.', '_' and '-', not beginning with "
		    "'.' or '-'",
		    text);
	return 0;
}

static int copy_text(const char *text, char *out, size_t cap, struct err *err)
{
	if (strlen(text) >= cap)
		return err_set(err, E_INVALID, "longer than %zu bytes", cap - 1);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int check_name(const char *text, struct err *err)
{
	return text[0] ? 0 : err_set(err, E_INVALID, "the value is empty");
}

/* The cluster's room says the same, once it is too late for the setting's name. */
static int check_cluster_name(const char *text, struct err *err)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(
			    err, E_INVALID, "a cluster's name has no control characters");
	if (utf8_valid_prefix(bytes_str(text)) != strlen(text))
		return err_set(err, E_INVALID, "a cluster's name is valid UTF-8");
	return 0;
}

/* Never quotes it: it is a secret. */
static int check_key(const char *text, struct err *err)
{
	uint8_t key[CLUSTER_KEY_SIZE];
	bool ok =
	    strlen(text) == 2 * sizeof key && hex_decode(bytes_str(text), key, sizeof key) == 0;
	explicit_bzero(key, sizeof key);
	if (ok || !text[0])
		return 0;
	return err_set(err, E_INVALID,
	    "a cluster's key is %zu hex digits (these are %zu characters)", 2 * sizeof key,
	    strlen(text));
}

static int check_token(const char *text, struct err *err)
{
	return text[0] ? cluster_token_check(text, err) : 0;
}

static int check_kernels(const char *text, struct err *err)
{
	enum engine_kernel_choice choice;
	return engine_kernel_choice_parse(text, &choice, err);
}

static int check_ip(const char *text, struct err *err)
{
	struct netaddr ip;
	if (netaddr_parse_ip(text, &ip, NULL) == 0)
		return 0;
	return err_set(
	    err, E_INVALID, "\"%s\" is no IP address, like 127.0.0.1, 0.0.0.0 or ::1", text);
}

/* What can be dialled: TCP, or through a relay that is. */
static int check_node_address(const char *text, struct err *err)
{
	struct multiaddr addr, relay;
	struct multiaddr_tcp tcp;
	struct peer_id target;
	struct err why = {0};
	int rc = multiaddr_parse(bytes_str(text), &addr, &why);
	if (rc == 0)
		rc = multiaddr_tcp(
		    multiaddr_circuit(&addr, &relay, &target) ? &relay : &addr, &tcp, &why);
	if (rc == 0)
		return 0;
	return err_set(err, E_INVALID,
	    "\"%.128s\": %.128s; the form is /ip4/192.0.2.7/tcp/41145 or "
	    "/dns4/NAME/tcp/41145/p2p/ID",
	    text, err_text(&why));
}

/* A value that is kept as its text; NULL: nothing to check. */
typedef int check_fn(const char *text, struct err *err);

/* The elements of a list. */
struct list {
	char *items;
	size_t item_size, cap, *n;
	check_fn *check;
};

static int check_alias(const char *text, struct err *err)
{
	struct alias alias;
	return alias_parse(text, &alias, err);
}

static struct list list_of(struct config *c, enum kind kind)
{
	if (kind == ALIASES)
		return (struct list){
		    c->aliases[0], ALIAS_TEXT_MAX, ALIASES_MAX, &c->n_aliases, check_alias};
	if (kind == ORIGINS)
		return (struct list){c->cors_origins[0], CORS_ORIGIN_MAX, CORS_ORIGINS_MAX,
		    &c->n_cors_origins, cors_origin_check};
	return (struct list){c->bootstrap[0], CONFIG_TEXT_MAX, CONFIG_BOOTSTRAP_MAX,
	    &c->n_bootstrap, check_node_address};
}

/* Takes what stands between commas. */
static int add_to_list(const struct list *l, const char *text, struct err *err)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		char *item = l->items + *l->n * l->item_size;
		if (*l->n == l->cap)
			return err_set(err, E_INVALID, "more than %zu of them", l->cap);
		if (n >= l->item_size)
			return err_set(err, E_INVALID, "longer than %zu bytes", l->item_size - 1);
		memcpy(item, text, n);
		item[n] = '\0';
		int rc = n > 0 ? l->check(item, err) : 0;
		if (rc)
			return rc;
		*l->n += n > 0;
		text += n;
		text += *text == ',';
	}
	return 0;
}

static int parse_strategy(const char *text, enum schedule_strategy *out, struct err *err)
{
	if (schedule_strategy_parse(text, out))
		return 0;
	return err_set(err, E_INVALID,
	    "\"%.32s\" is no strategy: prefer-local, local-only, load-balance, cheapest or fastest",
	    text);
}

static int put_number(const char *text, long min, long max, uint32_t *out, struct err *err)
{
	long v = 0;
	int rc = parse_number(text, min, max, &v, err);
	if (rc == 0)
		*out = (uint32_t)v;
	return rc;
}

static int put_port(
    const char *text, enum config_origin origin, struct config_port *out, struct err *err)
{
	long v = 0;
	int rc = parse_number(text, 0, 65535, &v, err);
	if (rc == 0)
		*out = (struct config_port){(uint16_t)v, origin != CONFIG_DEFAULT};
	return rc;
}

static int put_text(
    const struct setting *s, const char *text, void *at, check_fn *check, struct err *err)
{
	int rc = check ? check(text, err) : 0;
	return rc ? rc : copy_text(text, at, s->size, err);
}

static int put_value(struct config *c, const struct setting *s, const char *text,
    enum config_origin origin, struct err *err)
{
	void *at = (char *)c + s->offset;
	struct list list;
	switch (s->kind) {
	case TEXT:
		return put_text(s, text, at, NULL, err);
	case NAME:
		return put_text(s, text, at, check_name, err);
	case LABEL:
		return put_text(s, text, at, check_label, err);
	case CLUSTER_NAME:
		return put_text(s, text, at, check_cluster_name, err);
	case KEY:
		return put_text(s, text, at, check_key, err);
	case TOKEN:
		return put_text(s, text, at, check_token, err);
	case KERNELS:
		return put_text(s, text, at, check_kernels, err);
	case ADDRESS:
		return put_text(s, text, at, check_ip, err);
	case PORT:
		return put_port(text, origin, at, err);
	case NUMBER:
		return put_number(text, 0, INT32_MAX, at, err);
	case POSITIVE:
		return put_number(text, 1, INT32_MAX, at, err);
	case THREADS:
		return put_number(text, 0, ENGINE_THREADS_MAX, at, err);
	case SWITCH:
		return parse_switch(text, at, err);
	case DHT_MODE:
		return parse_dht_mode(text, at, err);
	case STRATEGY:
		return parse_strategy(text, at, err);
	case ADDRESSES:
	case ALIASES:
	case ORIGINS:
		list = list_of(c, s->kind);
		return add_to_list(&list, text, err);
	case SHARE:
		return access_share_parse(text, at, err);
	case LOG_LEVEL:
		return log_level_parse(text, at, err);
	case LOG_FORMAT:
		return log_format_parse(text, at, err);
	}
	return E_INVALID;
}

static bool is_list(enum kind kind)
{
	return kind == ADDRESSES || kind == ALIASES || kind == ORIGINS;
}

/* A stronger source replaces the list of a weaker one; within one source it grows. */
static int set_value(struct config *c, const struct setting *s, const char *text,
    struct config_place place, struct err *err)
{
	struct config_place *known = &c->places[s - settings];
	if (is_list(s->kind) && known->origin != place.origin)
		*list_of(c, s->kind).n = 0;
	*known = place;
	int rc = put_value(c, s, text, place.origin, err);
	return rc ? err_set(err, E_INVALID, "%s", err ? err_text(err) : "") : 0;
}

/* ---- places -------------------------------------------------------------------------------- */

static void environment_name(const struct setting *s, char out[64])
{
	int n = snprintf(out, 64, "GATE_%s", s->flag);
	for (int i = 5; i < n; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* Puts where the setting stands before the error: its flag, its variable, or its line. */
static int wrap_place(
    const struct config *c, const struct setting *s, const char *file, int rc, struct err *err)
{
	struct config_place at = c->places[s - settings];
	char name[64];
	if (rc == 0)
		return 0;
	switch (at.origin) {
	case CONFIG_FILE:
		return err_wrap(
		    err, rc, "%s, line %u, column %u: %s", file, at.line, at.column, s->toml);
	case CONFIG_ENVIRONMENT:
		environment_name(s, name);
		return err_wrap(err, rc, "environment %s", name);
	case CONFIG_FLAG:
	case CONFIG_DEFAULT:
		break;
	}
	return err_wrap(err, rc, "--%s", s->flag);
}

/* ---- defaults ------------------------------------------------------------------------------ */

static void host_label(char *out, size_t cap)
{
	char name[256] = "";
	gethostname(name, sizeof name - 1);
	size_t n = 0;
	for (const char *p = name; *p && n + 1 < cap; p++)
		if (isalnum((unsigned char)*p) || ((*p == '-' || *p == '_') && n > 0))
			out[n++] = *p;
	out[n] = '\0';
	if (n == 0)
		snprintf(out, cap, "node");
}

void config_defaults(struct config *out)
{
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].fallback &&
		    set_value(out, &settings[i], settings[i].fallback,
			(struct config_place){.origin = CONFIG_DEFAULT}, NULL) != 0)
			BUG("the default of --%s is not valid", settings[i].flag);
}

/* ---- command line -------------------------------------------------------------------------- */

static const struct setting *find_flag(const char *name, size_t n)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strlen(settings[i].flag) == n && strncmp(settings[i].flag, name, n) == 0)
			return &settings[i];
	return NULL;
}

/* Reads --name value, --name=value, --switch and --no-switch. */
static int read_flag(struct config *c, int argc, char **argv, int *at, struct err *err)
{
	const char *word = argv[*at];
	const char *name = word + 2;
	size_t n = strcspn(name, "=");
	const char *value = name[n] == '=' ? name + n + 1 : NULL;
	const struct setting *s = find_flag(name, n);
	bool negated = false;
	if (!s && strncmp(name, "no-", 3) == 0) {
		s = find_flag(name + 3, n - 3);
		negated = s && s->kind == SWITCH && !value;
		if (!negated)
			s = NULL;
	}
	if (!s)
		return err_set(
		    err, E_INVALID, "unknown flag --%.*s (see gate start --help)", (int)n, name);
	if (s->kind == SWITCH && !value)
		value = negated ? "false" : "true";
	if (!value) {
		if (*at + 1 >= argc)
			return err_set(err, E_INVALID, "--%s: the value is missing", s->flag);
		value = argv[++*at];
	}
	int rc = set_value(c, s, value, (struct config_place){.origin = CONFIG_FLAG}, err);
	return wrap_place(c, s, NULL, rc, err);
}

static int read_flags(struct config *c, int argc, char **argv, bool *help, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*help = true;
			return 0;
		}
		if (strncmp(argv[i], "--", 2) != 0 || !argv[i][2])
			return err_set(err, E_INVALID,
			    "unexpected argument \"%s\" (see gate start "
			    "--help)",
			    argv[i]);
		int rc = read_flag(c, argc, argv, &i, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- environment and file ------------------------------------------------------------------ */

static int read_environment(struct config *c, struct err *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		char name[64];
		environment_name(&settings[i], name);
		const char *value = getenv(name);
		if (!value || !value[0])
			continue;
		int rc = set_value(c, &settings[i], value,
		    (struct config_place){.origin = CONFIG_ENVIRONMENT}, err);
		if (rc)
			return wrap_place(c, &settings[i], NULL, rc, err);
	}
	return 0;
}

struct file_reader {
	struct config *config;
	const char *path;
	struct err *err;
};

static bool kind_fits(enum kind kind, enum toml_kind found)
{
	switch (kind) {
	case PORT:
	case NUMBER:
	case POSITIVE:
	case THREADS:
		return found == TOML_INTEGER;
	case SWITCH:
		return found == TOML_BOOLEAN;
	case TEXT:
	case NAME:
	case LABEL:
	case CLUSTER_NAME:
	case KEY:
	case TOKEN:
	case KERNELS:
	case ADDRESS:
	case DHT_MODE:
	case SHARE:
	case LOG_LEVEL:
	case LOG_FORMAT:
	case STRATEGY:
		return found == TOML_STRING;
	case ADDRESSES:
	case ALIASES:
	case ORIGINS:
		return found == TOML_STRING || found == TOML_LIST;
	}
	return false;
}

static const char *kind_wants(enum kind kind)
{
	if (kind_fits(kind, TOML_INTEGER))
		return "a whole number";
	if (kind_fits(kind, TOML_BOOLEAN))
		return "true or false";
	return kind_fits(kind, TOML_LIST) ? "a list of strings" : "a string";
}

static int file_value(void *arg, const char *path, unsigned line, unsigned column,
    enum toml_kind kind, const char *text)
{
	struct file_reader *r = arg;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];
		if (!s->toml || strcmp(s->toml, path) != 0)
			continue;
		struct config_place place = {CONFIG_FILE, line, column};
		int rc = kind_fits(s->kind, kind)
			     ? set_value(r->config, s, text, place, r->err)
			     : err_set(r->err, E_INVALID, "wants %s", kind_wants(s->kind));
		r->config->places[i] = place;
		return wrap_place(r->config, s, r->path, rc, r->err);
	}
	return err_set(r->err, E_INVALID, "%s, line %u, column %u: unknown setting %.128s", r->path,
	    line, column, path);
}

int config_read_document(
    struct config *c, const char *path, const char *text, size_t n, struct err *err)
{
	struct file_reader r = {c, path, err};
	char why[160] = "";
	unsigned line, column;
	int rc = toml_walk(text, n, file_value, &r, why, sizeof why, &line, &column);
	if (rc == 1)
		return err_set(
		    err, E_INVALID, "%s, line %u, column %u: %s", path, line, column, why);
	return rc == 2 ? E_INVALID : 0;
}

/* Before any world exists: plain files, read once at the start. */
static int read_file(struct config *c, const char *path, bool optional, struct err *err)
{
	FILE *f = fopen(path, "r");
	if (!f && optional && errno == ENOENT)
		return 0;
	if (!f)
		return err_errno(err, errno, "cannot read the configuration %s", path);
	char *text = malloc(CONFIG_FILE_MAX + 1);
	size_t n = text ? fread(text, 1, CONFIG_FILE_MAX + 1, f) : 0;
	int failed = ferror(f);
	fclose(f);
	int rc = 0;
	if (!text)
		rc = err_set(err, E_MEMORY, "no memory for %s", path);
	else if (failed)
		rc = err_set(err, E_IO, "cannot read the configuration %s", path);
	else if (n > CONFIG_FILE_MAX)
		rc = err_set(err, E_INVALID, "%s: larger than %u bytes", path, CONFIG_FILE_MAX);
	else
		rc = config_read_document(c, path, text, n, err);
	free(text);
	return rc;
}

/* ---- all together -------------------------------------------------------------------------- */

static int derive_places(struct config *c, struct err *err)
{
	char home[CONFIG_TEXT_MAX];
	if (!c->data_dir[0]) {
		int rc = control_home(home, sizeof home, err);
		if (rc)
			return rc;
		int n = snprintf(c->data_dir, sizeof c->data_dir, "%s/%s", home,
		    c->node_id[0] ? c->node_id : "default");
		if (n < 0 || (size_t)n >= sizeof c->data_dir)
			return err_set(err, E_INVALID, "the path to the data is too long");
	}
	if (!c->node_id[0])
		host_label(c->node_id, sizeof c->node_id);
	return 0;
}

/* The file in the data folder may name the node but not send it elsewhere. */
static int stay_in(struct config *c, const char *data_dir, const char *path, struct err *err)
{
	if (c->data_dir[0] && strcmp(c->data_dir, data_dir) != 0)
		return err_set(err, E_INVALID,
		    "%s: node.data_dir cannot be another folder than the file's own (name the file "
		    "with --config)",
		    path);
	return copy_text(data_dir, c->data_dir, sizeof c->data_dir, err);
}

/* The key file is read again by whoever uses it; a wrong one is known before anything starts. */
static int check_swarm_key(const struct config *c, struct err *err)
{
	char text[PNET_FILE_MAX];
	struct pnet_key key;
	struct err why = {0};
	FILE *f = fopen(c->swarm_key, "r");
	size_t n = f ? fread(text, 1, sizeof text, f) : 0;
	int rc = 0;
	if (!f || ferror(f))
		rc = err_set(&why, E_IO, "%s", strerror(errno));
	else
		rc = pnet_key_parse(bytes_of(text, n), &key, &why);
	if (f)
		fclose(f);
	explicit_bzero(text, sizeof text);
	explicit_bzero(&key, sizeof key);
	return rc ? err_set(err, E_INVALID, "%s: %s", c->swarm_key, err_text(&why)) : 0;
}

/* What only shows once all sources have been read. */
static int check_together(const struct config *c, const char *file, struct err *err)
{
	int rc = 0;
	if (c->cluster_key[0] && !c->cluster[0]) {
		rc = err_set(err, E_INVALID,
		    "a cluster key without a cluster name: give that with --cluster");
		return wrap_place(c, find_flag("cluster-key", 11), file, rc, err);
	}
	if (c->swarm_key[0])
		rc = check_swarm_key(c, err);
	return wrap_place(c, find_flag("swarm-key", 9), file, rc, err);
}

/* Flags and environment say where the file is; its values come below theirs. So they are read
 * twice: first to find it, then again over it. */
int config_read(int argc, char **argv, struct config *out, bool *help, struct err *err)
{
	*help = false;
	struct config *first = malloc(sizeof *first);
	if (!first)
		return err_set(err, E_MEMORY, "no memory for the configuration");
	config_defaults(first);
	int rc = read_environment(first, err);
	if (rc == 0)
		rc = read_flags(first, argc, argv, help, err);
	if (rc || *help) {
		free(first);
		return rc;
	}
	bool named = first->config_file[0] != '\0';
	char path[CONFIG_TEXT_MAX + 16];
	rc = derive_places(first, err);
	snprintf(path, sizeof path, named ? "%s" : "%s/gate.toml",
	    named ? first->config_file : first->data_dir);
	config_defaults(out);
	if (rc == 0)
		rc = read_file(out, path, !named, err);
	if (rc == 0)
		rc = read_environment(out, err);
	if (rc == 0)
		rc = read_flags(out, argc, argv, help, err);
	if (rc == 0 && !named)
		rc = stay_in(out, first->data_dir, path, err);
	free(first);
	if (rc == 0)
		rc = derive_places(out, err);
	return rc ? rc : check_together(out, path, err);
}

void config_each_flag(
    void (*fn)(void *arg, const char *flag, const char *metavar, const char *help), void *arg)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		fn(arg, settings[i].flag, settings[i].metavar, settings[i].help);
}

/* ---- help ---------------------------------------------------------------------------------- */

void config_print_help(FILE *out)
{
	fprintf(out, "Starts a node and runs it until SIGINT or SIGTERM.\n\n"
		     "Usage: gate start [flags]\n\nFlags:\n");
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];
		char left[64];
		snprintf(left, sizeof left, s->kind == SWITCH ? "--[no-]%s" : "--%s %s", s->flag,
		    s->metavar ? s->metavar : "");
		fprintf(out, "  %-28s %s", left, s->help);
		if (s->fallback && s->fallback[0])
			fprintf(out, " [%s]", s->fallback);
		fprintf(out, "\n");
	}
	fprintf(out,
	    "  %-28s %s\n\n"
	    "Each flag is also an environment variable (--http-port is GATE_HTTP_PORT) and a line\n"
	    "of the TOML file (docs/configuration.md). Flags win over the environment, that over "
	    "the\n"
	    "file.\n",
	    "--help", "this text");
}
