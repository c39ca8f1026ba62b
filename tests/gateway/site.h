/* A node without its engine, control and command line: a scripted provider, jobs, a cluster and a
 * gateway on a simulated host. */
#ifndef TESTS_GATEWAY_SITE_H
#define TESTS_GATEWAY_SITE_H

#include "fake.h"
#include "host_help.h"

#include "gateway/gateway.h"
#include "provider/peer.h"

#define SITE_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const char site_origins[1][CORS_ORIGIN_MAX] = {"https://chat.example"};

struct site {
	struct node node;
	struct catalog *catalog;
	struct cluster *cluster;
	struct jobs *jobs;
	struct store *store; /* with access and records: of guarded sites */
	struct access *access;
	struct records *records;
	struct gateway *gateway;
	struct fake fake;
	struct catalog_entry *entry;
	struct netaddr http;
};

static inline bool members_only(void *arg, const struct p2p_stream_info *info)
{
	struct site *t = arg;

	return strcmp(info->protocol, HTTP_OVER_P2P) != 0 ||
	       cluster_is_member(t->cluster, &info->peer);
}

static inline void ignore(void *arg)
{
}

enum site_kind {
	SITE_OPEN,
	SITE_GUARDED
};

static inline void site_guard(struct site *t)
{
	const struct store_schema schemas[] = {access_schema, records_schema};
	struct store_options store = {
	    .world = t->node.world, .path = "/data/gate.db", .schemas = schemas, .n_schemas = 2};
	OK(store_open(&store, &t->store, NULL));
	struct access_options access = {
	    .world = t->node.world, .store = t->store, .share = ACCESS_FRIENDS};
	OK(access_new(&access, &t->access, NULL));
	struct records_options records = {
	    .world = t->node.world, .store = t->store, .keep_count = 100, .keep_s = 3600};
	OK(records_new(&records, &t->records, NULL));
}

static inline void site_up_as(struct net *n, struct site *t, enum site_kind kind, const char *label,
    const char *model, const struct fake_step *script, const struct site *through)
{
	struct p2p_options opt;
	struct multiaddr listen, bootstrap;
	struct err err = {0};

	*t = (struct site){0};
	node_options(n, label, &t->node, &opt, &listen);
	node_start(&t->node, &opt);
	t->catalog = catalog_new();
	fake_init(&t->fake, model, script);
	struct catalog_node self = {.id = t->node.id.peer_id, .local = true, .slots = 1};
	snprintf(self.label, sizeof self.label, "%s", label);
	OK(catalog_add(t->catalog, &t->fake.base, &self, &t->entry, NULL));
	struct jobs_options jobs = {.world = t->node.world,
	    .catalog = t->catalog,
	    .self = self.id,
	    .label = label,
	    .max_queue = 10,
	    .changed = ignore};
	t->jobs = jobs_new(&jobs);
	OK(file_mkdirs(t->node.world, "/data", 0700, NULL));
	struct cluster_options cluster = {.world = t->node.world,
	    .identity = &t->node.id,
	    .host = t->node.host,
	    .catalog = t->catalog,
	    .label = label,
	    .data_dir = "/data",
	    .name = "house",
	    .key = SITE_KEY};
	if (through) {
		bootstrap = node_full_addr(&through->node);
		cluster.bootstrap = &bootstrap;
		cluster.n_bootstrap = 1;
	}
	OK(cluster_new(&cluster, &t->cluster, &err));
	p2p_set_gate(t->node.host, members_only, t);
	if (kind == SITE_GUARDED)
		site_guard(t);
	struct gateway_options gateway = {.world = t->node.world,
	    .access = t->access,
	    .records = t->records,
	    .jobs = t->jobs,
	    .catalog = t->catalog,
	    .cluster = t->cluster,
	    .host = t->node.host,
	    .label = label,
	    .max_connections = 3,
	    .cors_origins = site_origins,
	    .n_cors_origins = 1,
	    .request_limit = duration_s(600)};
	universe_host_addr(t->node.world, &gateway.listen);
	if (kind == SITE_GUARDED)
		gateway.listen = any_addr(0); /* to be reached from within, too */
	gateway.listen.port = 31145;
	OK(gateway_new(&gateway, &t->gateway, &err));
	universe_host_addr(t->node.world, &t->http);
	t->http.port = 31145;
}

static inline void site_up(struct net *n, struct site *t, const char *label, const char *model,
    const struct fake_step *script, const struct site *through)
{
	site_up_as(n, t, SITE_OPEN, label, model, script, through);
}

static inline void site_down(struct site *t)
{
	gateway_drain(t->gateway);
	jobs_stop(t->jobs, duration_ms(100));
	cluster_close(t->cluster);
	gateway_close(t->gateway);
	catalog_remove(t->catalog, t->entry);
	node_close(&t->node);
	jobs_free(t->jobs);
	catalog_free(t->catalog);
	records_close(t->records);
	access_close(t->access);
	store_close(t->store);
}

#endif
