/* The composition root: makes the rooms' objects in order and ends them in reverse. */
#include "node/node.h"

#include "access/access.h"
#include "cluster/cluster.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "gateway/gateway.h"
#include "jobs/jobs.h"
#include "jobs/records.h"
#include "node/network_priv.h"
#include "p2p/p2p.h"
#include "p2p/pnet.h"
#include "p2p/relay.h"
#include "provider/engine.h"
#include "provider/fleet.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PING_EVERY_MS  3000 /* a member that falls silent is gone within 8 s */
#define PING_ANSWER_MS 5000
#define PORT_FILE_MAX  16

struct node {
	struct world *world;
	const struct config *config;
	struct log *log;
	struct identity identity;
	struct file_lock *lock;
	struct catalog *catalog;
	struct catalog_entry *engine;
	struct store *store;
	struct alias *aliases;
	size_t n_aliases;
	struct fleet *fleet;
	struct p2p_host *host;
	struct network network;
	struct access *access;
	struct records *records;
	struct jobs *jobs;
	struct cluster *cluster;
	struct gateway *gateway;
	struct control *control;
	bool stopping;
	struct waitq stop;
};

void node_stop(struct node *n)
{
	n->stopping = true;
	waitq_wake_all(&n->stop);
}

int node_wait(struct node *n, struct err *err)
{
	int rc = 0;
	while (!n->stopping && rc == 0)
		rc = waitq_wait(&n->stop, err);
	return rc;
}

/* ---- the data folder ----------------------------------------------------------------------- */

static void in_data_dir(const struct node *n, const char *name, char out[CONFIG_TEXT_MAX + 32])
{
	snprintf(out, CONFIG_TEXT_MAX + 32, "%s/%s", n->config->data_dir, name);
}

static int open_data_dir(struct node *n, struct err *err)
{
	char path[CONFIG_TEXT_MAX + 32];
	int rc = file_mkdirs(n->world, n->config->data_dir, 0700, err);
	if (rc)
		return err_wrap(err, rc, "data folder %s", n->config->data_dir);
	in_data_dir(n, "lock", path);
	rc = file_lock(n->world, path, &n->lock, err);
	if (rc == E_IN_USE)
		return err_set(err, rc,
		    "another node uses the data folder %s: give this one a name of its own with "
		    "--node-id",
		    n->config->data_dir);
	struct err why = {0};
	if (rc == 0 && file_tidy(n->world, n->config->data_dir, &why) != 0)
		log_event(n->log, LOG_WARN, "node", "cannot tidy %s: %s", n->config->data_dir,
		    err_text(&why));
	return rc;
}

static int make_identity(struct node *n, const char *path, struct err *err)
{
	uint8_t seed[ED25519_SEED_SIZE];
	char pem[IDENTITY_PEM_MAX];
	world_random(n->world, seed, sizeof seed);
	identity_from_seed(seed, &n->identity);
	size_t length = identity_to_pem(&n->identity, pem);
	int rc = file_write(n->world, path, bytes_of(pem, length), 0600, err);
	secret_wipe(seed, sizeof seed);
	secret_wipe(pem, sizeof pem);
	if (rc == 0)
		log_event(n->log, LOG_INFO, "node", "made a new identity: %s", path);
	return rc;
}

static int load_identity(struct node *n, struct err *err)
{
	char path[CONFIG_TEXT_MAX + 32];
	struct file_info info;
	in_data_dir(n, "identity.pem", path);
	int rc = file_stat(n->world, path, &info, err);
	if (rc == E_NOT_FOUND)
		return make_identity(n, path, err);
	if (rc)
		return rc;
	if (info.mode & 077)
		return err_set(err, E_FORBIDDEN,
		    "%s can be read by others (mode %04o): make it private with chmod 600", path,
		    info.mode);
	struct buf pem = BUF_INIT(PEM_INPUT_MAX);
	rc = file_read(n->world, path, PEM_INPUT_MAX, &pem, err);
	if (rc == 0)
		rc = identity_from_pem(buf_view(&pem), &n->identity, err);
	if (pem.p)
		secret_wipe(pem.p, pem.n);
	buf_free(&pem);
	return rc ? err_wrap(err, rc, "%s", path) : 0;
}

/* ---- what is kept -------------------------------------------------------------------------- */

static int open_store(struct node *n, struct err *err)
{
	const struct store_schema schemas[] = {access_schema, fleet_schema, records_schema};
	char path[CONFIG_TEXT_MAX + 32];
	in_data_dir(n, "gate.db", path);
	struct store_options opt = {.world = n->world,
	    .path = path,
	    .schemas = schemas,
	    .n_schemas = sizeof schemas / sizeof *schemas};
	return store_open(&opt, &n->store, err);
}

static struct access_limits limits_of(uint32_t requests, uint32_t tokens)
{
	return (struct access_limits){.requests_per_min = requests, .tokens_per_min = tokens};
}

static int start_access(struct node *n, struct err *err)
{
	const struct config *c = n->config;
	struct access_options opt = {
	    .world = n->world,
	    .store = n->store,
	    .require_key = c->require_key,
	    .remote_keyless = c->keyless_remote,
	    .share = c->share,
	    .address = limits_of(c->requests_per_min, c->tokens_per_min),
	    .member = limits_of(c->member_requests_per_min, c->member_tokens_per_min),
	    .stranger = limits_of(c->public_requests_per_min, c->public_tokens_per_min),
	};
	return access_new(&opt, &n->access, err);
}

static int start_records(struct node *n, struct err *err)
{
	struct records_options opt = {
	    .world = n->world,
	    .store = n->store,
	    .keep_count = n->config->keep_requests,
	    .keep_s = INT64_C(86400) * n->config->keep_requests_days,
	};
	return records_new(&opt, &n->records, err);
}

/* ---- ports --------------------------------------------------------------------------------- */

/* Starts a server through `start_at`; a port that nobody chose gives way to a free one. */
static int bind_port(struct node *n, const char *what, const char *flag, struct config_port wanted,
    int (*start_at)(struct node *n, uint16_t port, struct err *err), struct err *err)
{
	int rc = start_at(n, wanted.port, err);
	if (rc == E_IN_USE && !wanted.chosen) {
		rc = start_at(n, 0, err);
		if (rc == 0)
			log_event(n->log, LOG_INFO, "node", "%s port %u is taken: using a free one",
			    what, wanted.port);
	}
	if (rc == E_IN_USE || (rc == E_FORBIDDEN && wanted.port > 0 && wanted.port < 1024))
		return err_set(err, rc,
		    "Failed to bind to port %u (%s): %s. Choose another with %s, or 0 for any "
		    "free one",
		    wanted.port, what,
		    rc == E_IN_USE ? "another program listens there" : "not allowed for this user",
		    flag);
	return rc;
}

static int parse_listen(const char *ip, uint16_t port, struct netaddr *out, struct err *err)
{
	int rc = netaddr_parse_ip(ip, out, err);
	out->port = port;
	return rc;
}

/* ---- the rooms, in order ------------------------------------------------------------------- */

static int read_swarm_key(struct node *n, struct pnet_key *out, struct err *err)
{
	const char *path = n->config->swarm_key;
	struct buf text = BUF_INIT(PNET_FILE_MAX);
	struct file_info info;
	struct err why = {0};
	int rc = file_read(n->world, path, PNET_FILE_MAX, &text, &why);
	if (rc == 0) {
		rc = pnet_key_parse(buf_view(&text), out, &why);
		if (rc)
			rc = err_wrap(&why, rc, "%s", path);
	}
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	if (rc == 0 && file_stat(n->world, path, &info, NULL) == 0 && (info.mode & 077))
		log_event(n->log, LOG_WARN, "node", "%s can be read by others (mode %04o)", path,
		    info.mode);
	if (rc == 0 || rc == E_CANCELLED)
		return rc;
	return err_set(err, E_INVALID, "--swarm-key: %s", err_text(&why));
}

static int bind_host(struct node *n, uint16_t port, struct err *err)
{
	struct netaddr at;
	int rc = parse_listen(n->config->listen, port, &at, err);
	if (rc)
		return rc;
	struct multiaddr listen;
	multiaddr_from_tcp(bytes_of(at.ip, at.family == NET_IP4 ? 4 : 16), port, &listen);
	struct p2p_options opt;
	p2p_options_default(&opt);
	opt.identity = &n->identity;
	opt.agent = "opengateway/" GATE_VERSION;
	opt.listen = &listen;
	opt.n_listen = 1;
	opt.mdns = n->config->mdns;
	opt.timeouts.ping_every = duration_ms(PING_EVERY_MS);
	opt.timeouts.ping_answer = duration_ms(PING_ANSWER_MS);
	struct pnet_key key;
	rc = network_limits(n->config, &opt.limits, err);
	if (rc == 0 && n->config->swarm_key[0]) {
		rc = read_swarm_key(n, &key, err);
		opt.swarm_key = &key;
	}
	if (rc == 0)
		rc = p2p_host_new(n->world, &opt, &n->host, err);
	secret_wipe(&key, sizeof key);
	return rc;
}

/* The port that this node was given the last time, when nobody chose one: invitations and other
 * people's notes name it. 0: unknown. */
static uint16_t last_port(struct node *n)
{
	char path[CONFIG_TEXT_MAX + 32];
	struct buf text = BUF_INIT(PORT_FILE_MAX);
	unsigned long port = 0;
	in_data_dir(n, "p2p_port", path);
	if (file_read(n->world, path, PORT_FILE_MAX, &text, NULL) == 0)
		port = strtoul(buf_cstr(&text), NULL, 10);
	buf_free(&text);
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static void keep_port(struct node *n, uint16_t before)
{
	char path[CONFIG_TEXT_MAX + 32], text[PORT_FILE_MAX];
	struct multiaddr addr;
	struct multiaddr_tcp tcp;
	struct err err = {0};
	if (p2p_host_addrs(n->host, &addr, 1) == 0 || multiaddr_tcp(&addr, &tcp, NULL) != 0 ||
	    tcp.port == before)
		return;
	in_data_dir(n, "p2p_port", path);
	int length = snprintf(text, sizeof text, "%u\n", tcp.port);
	if (file_write(n->world, path, bytes_of(text, (size_t)length), 0600, &err) != 0)
		log_event(n->log, LOG_WARN, "node",
		    "cannot note the P2P port for the next start: %s", err_text(&err));
}

static int bind_p2p(struct node *n, struct err *err)
{
	struct config_port wanted = n->config->port;
	if (wanted.chosen)
		return bind_port(n, "P2P", "--port", wanted, bind_host, err);
	uint16_t last = last_port(n);
	int rc = last == 0 || last == wanted.port ? E_IN_USE : bind_host(n, last, err);
	if (rc == E_IN_USE)
		rc = bind_port(n, "P2P", "--port", wanted, bind_host, err);
	if (rc == 0)
		keep_port(n, last);
	return rc;
}

static void load_changed(void *arg)
{
	(void)arg; /* members hear of the load with the next heartbeat */
}

static void models_changed(void *arg)
{
	struct node *n = arg;
	if (n->engine)
		catalog_models_changed(n->catalog, n->engine);
	if (n->cluster)
		cluster_announce(n->cluster);
}

static int start_engine(struct node *n, struct err *err)
{
	const struct config *c = n->config;
	if (strcmp(c->model, "none") == 0)
		return 0;
	struct engine_provider_options opt = {
	    .world = n->world,
	    .model = c->model,
	    .kernels = c->kernels,
	    .threads = c->threads,
	    .n_ctx = c->context,
	    .changed = models_changed,
	    .arg = n,
	};
	struct provider *engine;
	int rc = engine_provider_new(&opt, &engine, err);
	if (rc)
		return err_wrap(err, rc, "cannot serve the model");
	struct catalog_node self = {.id = n->identity.peer_id, .local = true, .slots = 1};
	snprintf(self.label, sizeof self.label, "%s", c->node_id);
	rc = catalog_add(n->catalog, engine, &self, &n->engine, err);
	if (rc)
		provider_close(engine);
	return rc;
}

static int node_absent(void *arg, const char *name, struct err *err)
{
	struct node *n = arg;
	return n->cluster ? cluster_absent(n->cluster, name, err) : 0;
}

static int start_fleet(struct node *n, struct err *err)
{
	struct netaddr http;
	gateway_addr(n->gateway, &http);
	struct fleet_options opt = {
	    .world = n->world,
	    .catalog = n->catalog,
	    .identity = &n->identity,
	    .label = n->config->node_id,
	    .store = n->store,
	    .discover = n->config->discover_providers,
	    .own_port = http.port,
	    .changed = models_changed,
	    .arg = n,
	};
	return fleet_new(&opt, &n->fleet, err);
}

/* One name means one thing, and not by way of another alias. */
static int read_alias(struct node *n, const char *text, struct err *err)
{
	struct alias *a = &n->aliases[n->n_aliases];
	const struct alias *through = NULL;
	int rc = alias_parse(text, a, err);
	if (rc == 0 && alias_find(n->aliases, n->n_aliases, a->name))
		rc = err_set(err, E_INVALID, "\"%.64s\" is there twice", a->name);
	for (size_t i = 0; rc == 0 && !through && i < a->n_targets; i++)
		through = alias_find(n->aliases, n->n_aliases, a->targets[i]);
	for (size_t i = 0; rc == 0 && !through && i < n->n_aliases; i++)
		for (size_t k = 0; k < n->aliases[i].n_targets; k++)
			if (strcmp(n->aliases[i].targets[k], a->name) == 0)
				through = a;
	if (through)
		rc = err_set(
		    err, E_INVALID, "\"%.64s\" is an alias itself: name its models", through->name);
	return rc ? err_wrap(err, rc, "--alias") : 0;
}

static int read_aliases(struct node *n, struct err *err)
{
	const struct config *c = n->config;
	n->aliases = calloc(c->n_aliases + 1, sizeof *n->aliases);
	if (!n->aliases)
		return err_set(err, E_MEMORY, "no memory for aliases");
	int rc = 0;
	for (; rc == 0 && n->n_aliases < c->n_aliases; n->n_aliases++)
		rc = read_alias(n, c->aliases[n->n_aliases], err);
	return rc;
}

static int start_jobs(struct node *n, struct err *err)
{
	int rc = read_aliases(n, err);
	if (rc)
		return rc;
	struct jobs_options opt = {
	    .world = n->world,
	    .catalog = n->catalog,
	    .strategy = n->config->strategy,
	    .hedge = duration_ms(n->config->hedge_ms),
	    .aliases = n->aliases,
	    .n_aliases = n->n_aliases,
	    .self = n->identity.peer_id,
	    .label = n->config->node_id,
	    .max_queue = n->config->max_queue,
	    .changed = load_changed,
	    .absent = node_absent,
	    .arg = n,
	};
	n->jobs = jobs_new(&opt);
	return n->jobs ? 0 : err_set(err, E_MEMORY, "no memory for jobs");
}

static const char *const for_members[] = {
    P2P_RELAY_HOP, GOSSIP_PROTOCOL_11, GOSSIP_PROTOCOL_10, GOSSIP_PROTOCOL_FLOOD};

/* Who may use this node is a matter of access; its bandwidth, and hearing who else is a member, one
 * of membership. */
static bool may_open(void *arg, const struct p2p_stream_info *info)
{
	struct node *n = arg;
	bool member = n->cluster && cluster_is_member(n->cluster, &info->peer);
	if (strcmp(info->protocol, "/http/1.1") == 0)
		return access_admits_peer(n->access, &info->peer, member);
	for (size_t i = 0; i < sizeof for_members / sizeof *for_members && !member; i++)
		if (strcmp(info->protocol, for_members[i]) == 0)
			return false;
	return true;
}

/* Only members may be our relays: who relays sees when we talk, and with whom. The same goes for
 * gossip. */
static bool is_member(void *arg, const struct peer_id *peer)
{
	struct node *n = arg;
	return n->cluster && cluster_is_member(n->cluster, peer);
}

static int start_cluster(struct node *n, struct err *err)
{
	const struct config *c = n->config;
	struct multiaddr *bootstrap = calloc(CONFIG_BOOTSTRAP_MAX, sizeof *bootstrap);
	if (!bootstrap)
		return err_set(err, E_MEMORY, "no memory for the bootstrap peers");
	int rc = 0;
	for (size_t i = 0; i < c->n_bootstrap && rc == 0; i++) {
		rc = multiaddr_parse(bytes_str(c->bootstrap[i]), &bootstrap[i], err);
		if (rc)
			rc = err_wrap(err, E_INVALID, "--bootstrap");
	}
	struct cluster_options opt = {
	    .world = n->world,
	    .host = n->host,
	    .catalog = n->catalog,
	    .label = c->node_id,
	    .data_dir = c->data_dir,
	    .name = c->cluster[0] ? c->cluster : NULL,
	    .key = c->cluster_key[0] ? c->cluster_key : NULL,
	    .bootstrap = bootstrap,
	    .n_bootstrap = c->n_bootstrap,
	    .auto_accept = c->auto_accept_peers,
	    .identity = &n->identity,
	    .join = c->join[0] ? c->join : NULL,
	};
	if (rc == 0) {
		p2p_set_gate(n->host, may_open, n);
		rc = p2p_relay_trust(n->host, is_member, n, err);
	}
	if (rc == 0) {
		rc = network_services(n->host, c, is_member, n, &n->network, err);
		opt.kad = n->network.kad;
		opt.gossip = n->network.gossip;
	}
	if (rc == 0) {
		rc = cluster_new(&opt, &n->cluster, err);
	}
	free(bootstrap);
	return rc;
}

static int bind_gateway(struct node *n, uint16_t port, struct err *err)
{
	struct gateway_options opt = {
	    .world = n->world,
	    .jobs = n->jobs,
	    .catalog = n->catalog,
	    .cluster = n->cluster,
	    .host = n->host,
	    .access = n->access,
	    .records = n->records,
	    .label = n->config->node_id,
	    .max_connections = GATEWAY_CONNECTIONS_DEFAULT,
	    .request_limit = duration_s(n->config->request_timeout_s),
	    .cors_origins = n->config->cors_origins,
	    .n_cors_origins = n->config->n_cors_origins,
	    .exposed = n->config->exposed,
	    .n_exposed = n->config->n_exposed,
	};
	int rc = parse_listen(n->config->http_listen, port, &opt.listen, err);
	return rc ? rc : gateway_new(&opt, &n->gateway, err);
}

static void stop_asked(void *arg)
{
	node_stop(arg);
}

static int forward(void *arg, const struct control_forward *what,
    int (*ready)(void *arg, const struct netaddr *at, struct err *err), void *ready_arg,
    struct err *err)
{
	struct node *n = arg;
	struct proxy_forward f = {.listen = what->listen,
	    .node = what->node,
	    .service = what->service,
	    .any_host = what->any_host};
	return proxy_forward(gateway_proxy(n->gateway), &f, ready, ready_arg, err);
}

static int bind_control(struct node *n, uint16_t port, struct err *err)
{
	struct control_options opt = {
	    .world = n->world,
	    .data_dir = n->config->data_dir,
	    .label = n->config->node_id,
	    .host = n->host,
	    .cluster = n->cluster,
	    .catalog = n->catalog,
	    .jobs = n->jobs,
	    .access = n->access,
	    .records = n->records,
	    .fleet = n->fleet,
	    .request_limit = duration_s(n->config->request_timeout_s),
	    .stop = stop_asked,
	    .forward = forward,
	    .arg = n,
	};
	gateway_addr(n->gateway, &opt.http);
	int rc = parse_listen(n->config->control_listen, port, &opt.listen, err);
	return rc ? rc : control_new(&opt, &n->control, err);
}

/* This node's own ports are no services. */
static int forbid_own_ports(struct node *n, struct err *err)
{
	struct netaddr control;
	struct multiaddr addrs[1];
	struct multiaddr_tcp tcp;
	control_addr(n->control, &control);
	int rc = proxy_forbid(gateway_proxy(n->gateway), &control, err);
	if (rc || p2p_host_addrs(n->host, addrs, 1) == 0 ||
	    multiaddr_tcp(&addrs[0], &tcp, NULL) != 0)
		return rc;
	struct netaddr p2p = {.family = NET_IP4, .port = tcp.port};
	return proxy_forbid(gateway_proxy(n->gateway), &p2p, err);
}

static void announce(struct node *n)
{
	struct multiaddr addrs[8];
	char text[MULTIADDR_TEXT_MAX], at[NETADDR_TEXT_MAX];
	size_t count = p2p_host_addrs(n->host, addrs, 8);
	for (size_t i = 0; i < count && i < 8; i++) {
		if (multiaddr_append_peer(&addrs[i], &n->identity.peer_id, NULL) != 0)
			continue;
		multiaddr_print(&addrs[i], text);
		log_event(n->log, LOG_INFO, "node", "Listening for peers on %s", text);
	}
	struct netaddr http;
	gateway_addr(n->gateway, &http);
	netaddr_print(&http, at);
	log_event(n->log, LOG_INFO, "node", "OpenAI-compatible API on http://%s/v1", at);
}

static int start(struct node *n, struct err *err)
{
	const struct config *c = n->config;
	int rc = crypto_init(err);
	if (rc == 0)
		rc = open_data_dir(n, err);
	if (rc == 0)
		rc = load_identity(n, err);
	if (rc == 0)
		rc = open_store(n, err);
	if (rc == 0)
		rc = start_access(n, err);
	if (rc == 0)
		rc = start_records(n, err);
	if (rc == 0 && !(n->catalog = catalog_new()))
		rc = err_set(err, E_MEMORY, "no memory for the catalog");
	if (rc == 0)
		rc = start_engine(n, err);
	if (rc == 0)
		rc = start_jobs(n, err);
	if (rc == 0)
		rc = bind_p2p(n, err);
	if (rc == 0)
		rc = start_cluster(n, err);
	if (rc == 0)
		rc = bind_port(n, "HTTP", "--http-port", c->http_port, bind_gateway, err);
	if (rc == 0)
		rc = start_fleet(n, err);
	if (rc == 0)
		rc = bind_port(n, "control", "--control-port", c->control_port, bind_control, err);
	if (rc == 0)
		rc = forbid_own_ports(n, err);
	if (rc == 0)
		announce(n);
	return rc;
}

int node_new(struct world *w, const struct config *config, struct log *log, struct node **out,
    struct err *err)
{
	struct node *n = calloc(1, sizeof *n);
	if (!n)
		return err_set(err, E_MEMORY, "no memory for a node");
	n->world = w;
	n->config = config;
	n->log = log;
	int rc = start(n, err);
	if (rc) {
		node_close(n);
		return rc;
	}
	*out = n;
	return 0;
}

void node_close(struct node *n)
{
	if (n->gateway)
		gateway_drain(n->gateway);
	if (n->jobs)
		jobs_stop(n->jobs, duration_ms(NODE_GRACE_MS));
	control_close(n->control);
	cluster_close(n->cluster);
	n->cluster = NULL;
	gateway_close(n->gateway);
	fleet_close(n->fleet);
	if (n->engine)
		catalog_remove(n->catalog, n->engine);
	network_close(&n->network);
	p2p_host_close(n->host);
	jobs_free(n->jobs);
	catalog_free(n->catalog);
	free(n->aliases);
	records_close(n->records);
	access_close(n->access);
	store_close(n->store);
	if (n->lock)
		file_unlock(n->lock);
	identity_wipe(&n->identity);
	free(n);
}
