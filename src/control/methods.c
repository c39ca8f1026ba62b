/* The methods of control. */
#include "control/control_priv.h"

#include "base/encode.h"
#include "cluster/doctor.h"
#include "dialect/openai.h"
#include "provider/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>
#include <unistd.h>

#define MODELS_MAX      1024
#define ADDRS_MAX       32
#define ANSWER_TEXT_MAX (8u << 20)

json_t *control_node_json(const struct peer_id *id, const char *label)
{
	char node_id[NODE_ID_TEXT_MAX] = "", peer_id[PEER_ID_TEXT_MAX];
	if (node_id_print(id, node_id, NULL) != 0)
		node_id[0] = '\0';
	peer_id_print(id, peer_id);
	return json_pack("{s:s, s:s, s:s}", "label", label, "node_id", node_id, "peer_id", peer_id);
}

/* ---- models -------------------------------------------------------------------------------- */

static json_t *models_json(struct control *c)
{
	json_t *list = json_array();
	struct model_entry *models = calloc(MODELS_MAX, sizeof *models);
	size_t n = models ? catalog_models(c->opt.catalog, models, MODELS_MAX) : 0;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:b, s:I, s:{s:s, s:s}}", "id", models[i].id, "ready",
			      models[i].ready, "context_length", (json_int_t)models[i].n_ctx,
			      "node", "node_id", models[i].owner, "label", models[i].owner_label));
	free(models);
	return list;
}

static int models_list(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)params;
	(void)notify;
	(void)err;
	*result = models_json(c);
	return 0;
}

/* ---- peers --------------------------------------------------------------------------------- */

static json_t *sources_json(unsigned sources)
{
	static const struct {
		enum cluster_source source;
		const char *name;
	} names[] = {{SOURCE_BOOTSTRAP, "bootstrap"}, {SOURCE_MDNS, "mdns"},
	    {SOURCE_EXCHANGE, "members"}, {SOURCE_INBOUND, "inbound"}, {SOURCE_SAVED, "saved"},
	    {SOURCE_DHT, "dht"}, {SOURCE_INVITATION, "invitation"}, {SOURCE_GOSSIP, "gossip"}};
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (sources & names[i].source)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

static json_t *conduct_json(const struct p2p_conduct *c)
{
	json_t *counts = json_object();
	for (int i = 0; i < P2P_OFFENCES; i++)
		if (c->counts[i])
			json_object_set_new(counts, p2p_offence_name((enum p2p_offence)i),
			    json_integer((json_int_t)c->counts[i]));
	return json_pack("{s:I, s:b, s:f, s:o, s:s}", "points", (json_int_t)c->points, "banned",
	    c->banned, "ban_left_s", (double)c->left.ns / 1e9, "offences", counts, "last", c->why);
}

struct listing {
	json_t *list;
	bool all;
};

/* Members, lost ones too, whoever waits for a decision or broke rules; with `all`, everyone heard
 * of. */
static void list_peer(void *arg, const struct cluster_peer *p)
{
	struct listing *l = arg;
	if (!l->all && !p->offended && p->state != PEER_MEMBER && p->state != PEER_ANNOUNCED &&
	    p->state != PEER_LOST && p->state != PEER_ASKING && p->state != PEER_WAITING)
		return;
	json_t *j = control_node_json(&p->id, p->label);
	json_object_set_new(j, "state", json_string(cluster_peer_state_name(p->state)));
	json_object_set_new(j, "address", json_string(p->address));
	json_object_set_new(j, "path", json_string(cluster_path_name(p->path)));
	json_object_set_new(j, "direction", json_string(p->inbound ? "inbound" : "outbound"));
	json_object_set_new(j, "connections", json_integer((json_int_t)p->n_conns));
	json_object_set_new(j, "sources", sources_json(p->sources));
	json_object_set_new(j, "models", json_integer((json_int_t)p->n_models));
	json_object_set_new(
	    j, "rtt_ms", p->rtt.ns ? json_real((double)p->rtt.ns / 1e6) : json_null());
	json_object_set_new(j, "since_ms", json_integer(p->since_ms));
	json_object_set_new(
	    j, "last_seen_ms", p->last_seen_ms ? json_integer(p->last_seen_ms) : json_null());
	json_object_set_new(
	    j, "last_failure", p->failure[0] ? json_string(p->failure) : json_null());
	json_object_set_new(
	    j, "gossip_score", p->gossips ? json_real(p->gossip_score) : json_null());
	json_object_set_new(
	    j, "misbehaviour", p->offended ? conduct_json(&p->conduct) : json_null());
	json_array_append_new(l->list, j);
}

static int peers_list(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	(void)err;
	struct listing l = {json_array(), json_get_bool(params, "all", false)};
	cluster_each(c->opt.cluster, list_peer, &l);
	*result = l.list;
	return 0;
}

static int peers_accept(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	int rc = cluster_accept(c->opt.cluster, json_get_string(params, "peer", ""), err);
	*result = json_true();
	return rc;
}

static int peers_reject(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)notify;
	int rc = cluster_reject(c->opt.cluster, json_get_string(params, "peer", ""), err);
	*result = json_true();
	return rc;
}

/* ---- the node ------------------------------------------------------------------------------ */

/* Direct ones first: people take the first. */
static json_t *addresses_json(struct control *c)
{
	json_t *list = json_array(), *relayed = json_array();
	struct multiaddr *addrs = calloc(ADDRS_MAX, sizeof *addrs);
	char *text = malloc(MULTIADDR_TEXT_MAX);
	size_t n = addrs ? p2p_host_addrs(c->opt.host, addrs, ADDRS_MAX) : 0;
	for (size_t i = 0; text && i < n && i < ADDRS_MAX; i++) {
		if (multiaddr_append_peer(&addrs[i], p2p_host_id(c->opt.host), NULL) != 0)
			continue;
		multiaddr_print(&addrs[i], text);
		json_array_append_new(
		    multiaddr_is_relayed(&addrs[i]) ? relayed : list, json_string(text));
	}
	json_array_extend(list, relayed);
	json_decref(relayed);
	free(text);
	free(addrs);
	return list;
}

static void count_members(void *arg, const struct cluster_peer *p)
{
	if (p->state == PEER_MEMBER)
		(*(json_int_t *)arg)++;
}

static json_t *url_json(const struct netaddr *at, const char *path)
{
	char address[NETADDR_TEXT_MAX], url[NETADDR_TEXT_MAX + 32];
	netaddr_print(at, address);
	snprintf(url, sizeof url, "http://%s%s", address, path);
	return json_string(url);
}

static json_t *usage_json(const struct p2p_usage *u)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "used", (json_int_t)u->used, "limit",
	    (json_int_t)u->limit, "by_strangers", (json_int_t)u->by_strangers, "for_strangers",
	    (json_int_t)u->for_strangers, "refused", (json_int_t)u->refused, "gave_way",
	    (json_int_t)u->evicted);
}

static json_t *network_json(const struct p2p_host *h)
{
	struct p2p_resources r;
	p2p_resources(h, &r);
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I}", "connections", usage_json(&r.conns_in),
	    "streams", usage_json(&r.streams_in), "memory", usage_json(&r.memory),
	    "outbound_connections", (json_int_t)r.conns_out, "handshakes",
	    (json_int_t)r.handshakes_in, "bandwidth", (json_int_t)r.rate_total);
}

static int node_status(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)params;
	(void)notify;
	(void)err;
	struct jobs_stats stats;
	jobs_stats(c->opt.jobs, &stats);
	json_int_t members = 0;
	cluster_each(c->opt.cluster, count_members, &members);
	const char *id = cluster_id(c->opt.cluster);
	json_t *j = control_node_json(p2p_host_id(c->opt.host), c->opt.label);
	json_object_set_new(j, "version", json_string(GATE_VERSION));
	json_object_set_new(j, "pid", json_integer(getpid()));
	json_object_set_new(j, "uptime_s",
	    json_integer(duration_to_ms(instant_since(rt_now(), c->started)) / 1000));
	json_object_set_new(j, "cluster",
	    json_pack("{s:s, s:b, s:b}", "id", id, "joined", id[0] != '\0', "open",
		cluster_is_open(c->opt.cluster)));
	const char *failure, *joining = cluster_joining(c->opt.cluster, &failure);
	if (joining)
		json_object_set_new(
		    j, "joining", json_pack("{s:s, s:s}", "cluster", joining, "failure", failure));
	json_object_set_new(j, "addresses", addresses_json(c));
	json_object_set_new(j, "http", url_json(&c->opt.http, "/v1"));
	json_object_set_new(
	    j, "key_required", json_boolean(c->opt.access && access_guarded(c->opt.access)));
	json_object_set_new(j, "control", url_json(&c->addr, "/rpc"));
	json_object_set_new(j, "data_dir", json_string(c->opt.data_dir));
	json_object_set_new(j, "peers", json_integer(members));
	json_object_set_new(j, "models", models_json(c));
	json_object_set_new(j, "network", network_json(c->opt.host));
	json_object_set_new(j, "jobs",
	    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "running", (json_int_t)stats.running,
		"queued", (json_int_t)stats.queued, "completed", (json_int_t)stats.completed,
		"failed", (json_int_t)stats.failed, "cancelled", (json_int_t)stats.cancelled,
		"retried", (json_int_t)stats.retried));
	*result = j;
	return 0;
}

static int node_stop(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	(void)params;
	(void)notify;
	(void)err;
	c->opt.stop(c->opt.arg);
	*result = json_true();
	return 0;
}

/* ---- asking -------------------------------------------------------------------------------- */

struct asking {
	const struct rpc_notify *notify;
	struct buf text;
	enum inference_finish finish;
	struct inference_usage usage;
};

static int take_event(void *arg, const struct inference_event *e, struct err *err)
{
	struct asking *a = arg;
	if (e->kind == INFERENCE_CHOICE_END)
		a->finish = e->finish;
	if (e->kind == INFERENCE_FINISHED)
		a->usage = e->usage;
	if (e->kind != INFERENCE_TEXT)
		return 0;
	buf_bytes(&a->text, e->text);
	int rc = buf_ok(&a->text, err);
	if (rc || !a->notify)
		return rc;
	json_t *text = json_stringn((const char *)e->text.p, e->text.n);
	return a->notify->send(a->notify->arg,
	    json_pack("{s:s, s:s, s:{s:O?, s:o}}", "jsonrpc", "2.0", "method", "chat.text",
		"params", "id", a->notify->id, "text", text),
	    err);
}

/* The parameters as an OpenAI request, so that one parser judges them. */
int control_read_request(const json_t *params, struct inference_request **req, struct err *err)
{
	const char *prompt = json_get_string(params, "prompt", NULL);
	const char *system = json_get_string(params, "system", NULL);
	if (!prompt)
		return err_set(err, E_INVALID, "the parameter \"prompt\" is missing");
	json_t *messages = json_array();
	if (system)
		json_array_append_new(
		    messages, json_pack("{s:s, s:s}", "role", "system", "content", system));
	json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", prompt));
	json_t *body = json_pack("{s:o, s:s, s:b}", "messages", messages, "model",
	    json_get_string(params, "model", ""), "stream", 1);
	static const char *const passed[] = {"max_tokens", "temperature", "seed", "top_p", "stop"};
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		if (json_object_get(params, passed[i]))
			json_object_set(body, passed[i], json_object_get(params, passed[i]));
	struct buf text = BUF_INIT(SERVE_BODY_MAX);
	int rc = json_write(body, &text, err);
	json_decref(body);
	if (rc == 0)
		rc = openai_request_parse(NULL, buf_view(&text), req, err);
	buf_free(&text);
	return rc;
}

static json_t *ask_result(const struct job *job, const struct asking *a, int64_t ms)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:s, s:{s:I, s:I}, s:i, s:I}", "request_id",
	    job->ctx.request_id, "model", job->model, "node",
	    control_node_json(&job->served_by, job->served_by_label), "answer",
	    json_stringn(buf_cstr(&a->text), a->text.n), "finish_reason",
	    openai_finish_name(a->finish), "usage", "prompt_tokens",
	    (json_int_t)a->usage.prompt_tok, "completion_tokens",
	    (json_int_t)a->usage.completion_tok, "attempts", (int)job->attempts, "duration_ms",
	    (json_int_t)ms);
}

static int chat_ask(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct inference_request *req;
	int rc = control_read_request(params, &req, err);
	if (rc)
		return rc;
	struct asking a = {.notify = notify, .text = BUF_INIT(ANSWER_TEXT_MAX)};
	struct job job = {.req = req, .target_node = json_get_string(params, "target", NULL)};
	serve_new_request_id(c->opt.world, job.ctx.request_id);
	struct record_origin origin = {RECORD_COMMAND, NULL, NULL};
	struct buf decisions = BUF_INIT(RECORD_CANDIDATES_MAX);
	job.decisions = &decisions;
	job.record =
	    records_begin(c->opt.records, &origin, job.ctx.request_id, "command", req->model);
	record_prompt(job.record, req);
	struct instant began = rt_now();
	struct scope sc;
	scope_open(&sc, c->opt.request_limit);
	rc = jobs_run(c->opt.jobs, &job, take_event, &a, err);
	scope_close(&sc);
	if (!decisions.failed)
		record_candidates(job.record, buf_view(&decisions));
	record_usage(job.record, &job.usage);
	records_end(c->opt.records, job.record, rc, err_text(err));
	buf_free(&decisions);
	int64_t ms = duration_to_ms(instant_since(rt_now(), began));
	rt_log(LOG_INFO, "control", "%s from a command: %s by %s in %lld ms", job.ctx.request_id,
	    rc == 0 ? "answered" : err_info(rc)->text,
	    job.served_by_label[0] ? job.served_by_label : "nobody", (long long)ms);
	if (rc == 0)
		*result = ask_result(&job, &a, ms);
	buf_free(&a.text);
	talloc_free(req);
	return rc;
}

/* ---- the doctor ---------------------------------------------------------------------------- */

struct examination {
	const struct rpc_notify *notify;
	json_t *findings;
	int faults;
};

static const char *verdict_name(enum doctor_verdict v)
{
	switch (v) {
	case DOCTOR_OK:
		return "ok";
	case DOCTOR_NOTE:
		return "note";
	case DOCTOR_FAULT:
		return "fault";
	}
	return "unknown";
}

/* Each finding goes out as it is made: some take seconds. */
static int take_finding(void *arg, const struct doctor_finding *f, struct err *err)
{
	struct examination *x = arg;
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "verdict", verdict_name(f->verdict),
	    "hop", f->hop, "fault", f->fault, "seen", f->seen, "fix", f->fix);
	x->faults += f->verdict == DOCTOR_FAULT;
	json_array_append_new(x->findings, j);
	if (!x->notify)
		return 0;
	return x->notify->send(x->notify->arg,
	    json_pack("{s:s, s:s, s:{s:O?, s:O?}}", "jsonrpc", "2.0", "method", "doctor.finding",
		"params", "id", x->notify->id, "finding", j),
	    err);
}

static int doctor_run(struct control *c, const json_t *params, const struct rpc_notify *notify,
    json_t **result, struct err *err)
{
	struct examination x = {notify, json_array(), 0};
	int rc = cluster_doctor(
	    c->opt.cluster, json_get_string(params, "peer", NULL), take_finding, &x, err);
	if (rc == 0)
		*result = json_pack("{s:i, s:o}", "faults", x.faults, "findings", x.findings);
	else
		json_decref(x.findings);
	return rc;
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int (*call)(struct control *c, const json_t *params, const struct rpc_notify *notify,
	    json_t **result, struct err *err);
} methods[] = {
    {"node.status", node_status},
    {"node.stop", node_stop},
    {"peers.list", peers_list},
    {"peers.accept", peers_accept},
    {"peers.reject", peers_reject},
    {"models.list", models_list},
    {"invite.create", control_invite_create},
    {"invite.list", control_invite_list},
    {"invite.revoke", control_invite_revoke},
    {"cluster.join", control_cluster_join},
    {"pair.show", control_pair_show},
    {"pair.enter", control_pair_enter},
    {"keys.create", control_keys_create},
    {"keys.list", control_keys_list},
    {"keys.revoke", control_keys_revoke},
    {"peers.trust", control_peers_trust},
    {"peers.untrust", control_peers_untrust},
    {"peers.trusted", control_peers_trusted},
    {"requests.list", control_requests_list},
    {"requests.get", control_requests_get},
    {"requests.follow", control_requests_follow},
    {"chat.ask", chat_ask},
    {"doctor.run", doctor_run},
    {"route.explain", control_route_explain},
    {"providers.list", control_providers_list},
    {"providers.add", control_providers_add},
    {"providers.remove", control_providers_remove},
    {"providers.refresh", control_providers_refresh},
};

int control_call(struct control *c, const char *method, const json_t *params,
    const struct rpc_notify *notify, json_t **result, struct err *err)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (strcmp(methods[i].name, method) == 0)
			return methods[i].call(c, params, notify, result, err);
	return err_set(err, E_METHOD, "no method \"%.64s\"", method);
}
