/* Configuration of a node. Every setting has one row in one table (config.c): its flag, environment
 * variable, place in the TOML file, default and help come from there, and so does `gate start
 * --help`. Precedence: flag, environment, file, default. */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include "access/access.h"
#include "base/log.h"
#include "gateway/cors.h"
#include "jobs/alias.h"
#include "p2p/kad.h"
#include "rt/world.h"
#include "schedule/schedule.h"

#define CONFIG_BOOTSTRAP_MAX 64
#define CONFIG_TEXT_MAX      1024

/* Where a value came from, weakest first. */
enum config_origin {
	CONFIG_DEFAULT,
	CONFIG_FILE,
	CONFIG_ENVIRONMENT,
	CONFIG_FLAG
};

#define CONFIG_SETTINGS_MAX 48

/* Where a value stands. */
struct config_place {
	enum config_origin origin;
	unsigned line, column; /* in the file */
};

struct config_port {
	uint16_t port;
	bool chosen; /* by the user: then it is that port or an error */
};

struct config {
	char node_id[64]; /* the node's label */
	char data_dir[CONFIG_TEXT_MAX];
	char config_file[CONFIG_TEXT_MAX];
	struct config_port port, http_port, control_port;
	char listen[64], http_listen[64], control_listen[64]; /* IP addresses */
	char bootstrap[CONFIG_BOOTSTRAP_MAX][CONFIG_TEXT_MAX];
	size_t n_bootstrap;
	char cluster[128];
	char cluster_key[80];
	bool auto_accept_peers;
	char join[CONFIG_TEXT_MAX]; /* a join token */
	bool mdns, dht, relay, map_port;
	enum p2p_kad_mode dht_mode;
	uint32_t max_connections, network_memory_mib, bandwidth_kib;
	char swarm_key[CONFIG_TEXT_MAX]; /* a file */
	char model[CONFIG_TEXT_MAX];     /* a path, "embedded" or "none" */
	char kernels[16];
	char cors_origins[CORS_ORIGINS_MAX][CORS_ORIGIN_MAX];
	size_t n_cors_origins;
	char aliases[ALIASES_MAX][ALIAS_TEXT_MAX]; /* see jobs/alias.h */
	size_t n_aliases;
	enum schedule_strategy strategy;
	uint32_t hedge_ms; /* 0: off */
	bool discover_providers;
	uint32_t threads, context;
	uint32_t max_queue;
	uint32_t request_timeout_s;
	bool require_key, keyless_remote;
	enum access_share share;
	uint32_t requests_per_min, tokens_per_min;               /* of an address without a key */
	uint32_t member_requests_per_min, member_tokens_per_min; /* of a member */
	uint32_t public_requests_per_min, public_tokens_per_min; /* of a stranger */
	uint32_t keep_requests, keep_requests_days;
	enum log_level log_level;
	enum log_format log_format;
	struct config_place places[CONFIG_SETTINGS_MAX]; /* private */
};

/* Fills *out from the command line (argv[0] is "start"), the environment and the file. E_INVALID
 * with the place in the text: "--port: …", "environment GATE_PORT: …", "gate.toml, line 3: …". What
 * can be judged without a node is judged here, before anything starts.
 * *help is set, and nothing checked, when --help was given. */
int config_read(int argc, char **argv, struct config *out, bool *help, struct err *err) WARN_UNUSED;

/* Reads settings from TOML over what *c has; `path` is for messages. E_INVALID with path, line and
 * column. */
int config_read_document(
    struct config *c, const char *path, const char *text, size_t n, struct err *err) WARN_UNUSED;

/* The defaults, for programs that make nodes (the simulation). */
void config_defaults(struct config *out);

void config_print_help(FILE *out);
/* Calls fn for each setting's flag; metavar is NULL for a switch. */
void config_each_flag(
    void (*fn)(void *arg, const char *flag, const char *metavar, const char *help), void *arg);

#endif
