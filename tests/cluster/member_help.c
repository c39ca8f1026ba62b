/* See member_help.h. */
#include "member_help.h"

#include <stdio.h>

/* ---- a provider that has models and answers nothing ------------------------------------------ */

static int no_infer(struct provider *p, const struct inference_request *req,
    const struct request_context *ctx, inference_emit_fn emit, void *arg, struct err *err)
{
	return err_set(err, E_UNAVAILABLE, "no engine");
}

static void no_status(struct provider *p, struct provider_status *out)
{
	*out = (struct provider_status){0};
}

struct model_entry one_model = {.id = "tiny", .n_ctx = 128, .ready = true};

static const struct model_entry *its_models(struct provider *p, size_t *n)
{
	*n = 1;
	return &one_model;
}

static void no_close(struct provider *p)
{
}

static const struct provider_ops fake_ops = {"fake", no_infer, no_status, its_models, no_close};

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool with_members(void *arg, const struct peer_id *peer)
{
	const struct member *m = arg;

	return m->cluster && cluster_is_member(m->cluster, peer);
}

void host_up(struct net *n, struct member *m, const char *label, const struct how *how)
{
	struct p2p_options opt;
	struct multiaddr listen;
	struct netaddr at;

	*m = (struct member){.label = label};
	node_options(n, label, &m->node, &opt, &listen);
	if (how->machine)
		m->node.world = universe_host(n->u, how->machine);
	universe_host_addr(m->node.world, &at);
	multiaddr_from_tcp(bytes_of(at.ip, 4), how->port ? how->port : NET_PORT, &listen);
	m->node.addr = listen;
	opt.timeouts.ping_every = duration_ms(3000);
	opt.timeouts.ping_answer = duration_ms(5000);
	opt.mdns = how->mdns;
	node_start(&m->node, &opt);
	if (how->dht) {
		struct p2p_kad_options kad;
		p2p_kad_options_default(&kad);
		OK(p2p_kad_new(m->node.host, &kad, &m->kad, NULL));
	}
	if (how->gossip) {
		struct p2p_gossip_options gossip;
		p2p_gossip_options_default(&gossip);
		gossip.with = with_members;
		gossip.with_arg = m;
		OK(p2p_gossip_new(m->node.host, &gossip, &m->gossip, NULL));
	}
	snprintf(m->dir, sizeof m->dir, "/%s", label);
	OK(file_mkdirs(m->node.world, m->dir, 0700, NULL));
	m->catalog = catalog_new();
}

int member_join(struct member *m, const struct how *how, struct err *err)
{
	struct multiaddr bootstrap;
	struct cluster_options opt = {
	    .world = m->node.world,
	    .host = m->node.host,
	    .kad = m->kad,
	    .gossip = m->gossip,
	    .catalog = m->catalog,
	    .label = m->label,
	    .data_dir = m->dir,
	    .name = how->name,
	    .key = how->key,
	    .auto_accept = how->auto_accept,
	    .identity = &m->node.id,
	    .join = how->token,
	};

	if (how->through) {
		bootstrap =
		    how->bare ? how->through->node.addr : node_full_addr(&how->through->node);
		opt.bootstrap = &bootstrap;
		opt.n_bootstrap = 1;
	}
	return cluster_new(&opt, &m->cluster, err);
}

void up(struct net *n, struct member *m, const char *label, struct how how)
{
	struct err err = {0};

	host_up(n, m, label, &how);
	if (member_join(m, &how, &err) != 0)
		fail_msg("%s has no cluster: %s", label, err_text(&err));
}

void serve_model(struct member *m)
{
	struct catalog_node self = {.id = m->node.id.peer_id, .local = true};

	m->fake.ops = &fake_ops;
	OK(catalog_add(m->catalog, &m->fake, &self, &m->local, NULL));
}

void down(struct member *m)
{
	cluster_close(m->cluster);
	if (m->local)
		catalog_remove(m->catalog, m->local);
	catalog_free(m->catalog);
	p2p_gossip_close(m->gossip);
	p2p_kad_close(m->kad);
	node_close(&m->node);
}

static void take_row(void *arg, const struct cluster_peer *p)
{
	struct cluster_peer *row = arg;

	if (peer_id_equal(&p->id, &row->id))
		*row = *p;
}

struct cluster_peer row_of(const struct member *m, const struct member *of)
{
	struct cluster_peer row = {.id = of->node.id.peer_id};

	cluster_each(m->cluster, take_row, &row);
	return row;
}

bool sees(const struct member *m, const struct member *of)
{
	return row_of(m, of).state == PEER_MEMBER;
}

bool together(const struct member *a, const struct member *b)
{
	return sees(a, b) && sees(b, a);
}

void in_net(void **state)
{
	void (*const *story)(struct net *) = *state;

	net_run(1, duration_ms(10), *story);
}
