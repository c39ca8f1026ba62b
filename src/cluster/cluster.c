/* What drives the cluster: events of the p2p host, the connector that dials and redials, the
 * catalog entries of members, and what is kept on disk. */
#include "cluster/cluster_priv.h"
#include "cluster/doctor_priv.h"
#include "dialect/json.h"
#include "p2p/relay.h"
#include "provider/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIALS_MAX         8    /* under way at once */
#define DIAL_LIMIT_MS     8000 /* one attempt */
#define REDIAL_FAST_MS    1500 /* between attempts, in the first minute after a loss */
#define REDIAL_FAST_TIME  60000
#define REDIAL_SLOW_MAX   60000
#define FOREIGN_REDIAL_MS 600000
#define CONNECTOR_TICK_MS 500
#define MEMBERS_KEPT      64 /* lost members that are dialled again, and saved */
#define PEERS_FILE_MAX    (256u << 10)
#define SAVE_LIMIT_MS     20000
/* A handler whose connection has ended may still be recording the use of an invitation, which it
 * finishes whatever happens. */
#define HANDLERS_END_MS (HELLO_LIMIT_MS + INVITES_SAVE_LIMIT_MS + 10000)
#define SWITCH_LIMIT_MS 30000

/* ---- who is a member ----------------------------------------------------------------------- */

const char *cluster_id(const struct cluster *c)
{
	return c->membership.id;
}

bool cluster_is_open(const struct cluster *c)
{
	return c->membership.open;
}

bool cluster_is_member(const struct cluster *c, const struct peer_id *id)
{
	const struct peer *p = table_find(c, id);
	return p && p->connected && p->proof;
}

void cluster_announce(struct cluster *c)
{
	c->version++;
	waitq_wake_all(&c->announce);
}

static void log_members(struct cluster *c)
{
	struct buf text = BUF_INIT(sizeof c->last_peers - 1);
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		if (!peer_is_member(p))
			continue;
		if (text.n + NODE_LABEL_MAX + 8 > text.max) {
			buf_str(&text, ", …");
			break;
		}
		buf_printf(&text, "%s%s", text.n ? ", " : "", p->label);
	}
	if (strcmp(buf_cstr(&text), c->last_peers) != 0) {
		snprintf(c->last_peers, sizeof c->last_peers, "%s", buf_cstr(&text));
		rt_log(LOG_INFO, "cluster", "Peers: [%s]", c->last_peers);
	}
	buf_free(&text);
}

/* What it told last, to those who choose between providers. It may have told before it became a
 * member here: the two directions are proved one after the other. */
static void show_state(struct cluster *c, struct peer *p)
{
	if (!p->entry || !p->state)
		return;
	peer_provider_set_models(p->entry->provider, p->state->models, p->state->n_models);
	catalog_models_changed(c->opt.catalog, p->entry);
	p->entry->node.running = p->state->running;
	p->entry->node.queued = p->state->queued;
}

static void enter_catalog(struct cluster *c, struct peer *p)
{
	struct err err = {0};
	struct provider *provider;
	int rc = peer_provider_new(c->opt.host, &p->id, p->label, &provider, &err);
	if (rc == 0) {
		struct catalog_node node = {.id = p->id};
		snprintf(node.label, sizeof node.label, "%s", p->label);
		rc = catalog_add(c->opt.catalog, provider, &node, &p->entry, &err);
		if (rc)
			provider_close(provider);
	}
	if (rc)
		rt_log(LOG_WARN, "cluster", "cannot use %s: %s", p->label, err_text(&err));
	else
		show_state(c, p);
}

static void leave_catalog(struct cluster *c, struct peer *p)
{
	struct catalog_entry *e = p->entry;
	p->entry = NULL;
	catalog_remove(c->opt.catalog, e);
	free(p->state);
	p->state = NULL;
}

static void became_member(struct cluster *c, struct peer *p)
{
	struct err err = {0};
	p->was_member = true;
	p->failures = 0;
	p->failure[0] = '\0';
	if (p2p_protect(c->opt.host, &p->id, "member", &err) != 0)
		rt_log(LOG_WARN, "cluster", "%s: %s", p->label, err_text(&err));
	enter_catalog(c, p);
	if (c->opt.gossip)
		p2p_gossip_meet(c->opt.gossip, &p->id);
	cluster_announce(c); /* our list of members grew */
	c->save_due = true;
}

static void lost_member(struct cluster *c, struct peer *p)
{
	p2p_unprotect(c->opt.host, &p->id, "member");
	leave_catalog(c, p);
	p->announced = false;
	p->lost_at = rt_now();
	p->next_dial = rt_now();
	p->failures = 0;
	cluster_announce(c);
	waitq_wake_all(&c->dial);
}

void cluster_peer_changed(struct cluster *c, struct peer *p)
{
	if (peer_is_member(p) && !p->entry)
		became_member(c, p);
	else if (!peer_is_member(p) && p->entry)
		lost_member(c, p);
	enum cluster_peer_state state = peer_state(p);
	if (state != p->shown) {
		p->shown = state;
		p->since_ms = world_wall_ms(c->opt.world);
		if (state == PEER_ASKING)
			rt_log(LOG_WARN, "cluster",
			    "%s asks to join this cluster: let it in with "
			    "\"gate peers accept %s\"",
			    p->label, p->label);
		if (state == PEER_WAITING)
			rt_log(LOG_WARN, "cluster",
			    "%s has our request to join: its owner has to accept it there",
			    p->label[0] ? p->label : "the peer");
		log_members(c);
	}
	waitq_wake_all(&p->changed);
}

/* ---- what members tell --------------------------------------------------------------------- */

static void hear_of(struct cluster *c, const struct member_addr *told)
{
	struct peer *p = table_add(c, &told->id, SOURCE_EXCHANGE);
	for (size_t i = told->n_addrs; p && i-- > 0;)
		table_add_addr(p, &told->addrs[i]);
}

void cluster_peer_told(struct cluster *c, struct peer *p, struct member_state *st)
{
	p->last_seen_ms = world_wall_ms(c->opt.world);
	for (size_t i = st->n_addrs; i-- > 0;)
		table_add_addr(p, &st->addrs[i]);
	for (size_t i = 0; i < st->n_peers; i++)
		hear_of(c, &st->peers[i]);
	free(p->state);
	p->state = st;
	show_state(c, p);
	waitq_wake_all(&c->dial);
}

static bool is_told(const struct member_state *out, const char *model)
{
	for (size_t i = 0; i < out->n_models; i++)
		if (strcmp(out->models[i].id, model) == 0)
			return true;
	return false;
}

/* What members may use of one of this node's providers. */
static void tell_provider(const struct catalog_entry *e, struct member_state *out)
{
	size_t n;
	const struct model_entry *m = provider_models(e->provider, &n);
	for (size_t k = 0; k < n && out->n_models < MEMBER_MODELS_MAX; k++)
		if (!is_told(out, m[k].id))
			out->models[out->n_models++] = m[k];
	out->running += e->node.running;
	out->queued += e->node.queued;
}

static void local_models(struct cluster *c, struct member_state *out)
{
	for (size_t i = 0;; i++) {
		struct catalog_entry *e = catalog_own(c->opt.catalog, i);
		if (!e)
			break;
		if (!e->node.unshared && catalog_offers(e))
			tell_provider(e, out);
		catalog_release(e);
	}
}

void cluster_local_state(struct cluster *c, struct member_state *out)
{
	memset(out, 0, sizeof *out);
	local_models(c, out);
	size_t n = p2p_host_addrs(c->opt.host, out->addrs, MEMBER_ADDRS_MAX);
	out->n_addrs = n < MEMBER_ADDRS_MAX ? n : MEMBER_ADDRS_MAX;
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		if (!peer_is_member(p) || out->n_peers == MEMBER_PEERS_MAX)
			continue;
		struct member_addr *m = &out->peers[out->n_peers++];
		m->id = p->id;
		m->n_addrs = p->n_addrs;
		memcpy(m->addrs, p->addrs, p->n_addrs * sizeof *p->addrs);
	}
}

/* ---- joining ------------------------------------------------------------------------------- */

static int save_peers(struct cluster *c, struct err *err);

static void announce_membership(struct cluster *c)
{
	rt_log(LOG_INFO, "cluster", "Joined cluster %s", c->membership.id);
	if (c->membership.open)
		rt_log(LOG_WARN, "cluster",
		    "cluster %s has no key: everyone who knows its name can join and use it",
		    c->membership.id);
}

int cluster_joined(struct cluster *c, const struct answer *a, struct err *err)
{
	if (c->membership.id[0])
		return 0; /* another peer was faster */
	int rc = membership_set(&c->membership, a->id, a->key, MEMBERSHIP_JOINED, err);
	if (rc)
		return err_wrap(err, rc, "admitted to a cluster that cannot be used");
	c->membership.open = a->open;
	announce_membership(c);
	c->save_due = true;
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		p->foreign = false;
		waitq_wake_all(&p->changed);
	}
	return 0;
}

/* As if all were strangers: connections are ended and made anew, under the new membership. */
static void forget_company(struct cluster *c, const struct peer *issuer)
{
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		p->proof = 0;
		p->welcomed = p->foreign = p->announced = false;
		p->decision = UNDECIDED;
		if (p != issuer)
			p->was_member = false;
		cluster_peer_changed(c, p);
		if (p->connected)
			p2p_disconnect(c->opt.host, &p->id, "joined another cluster");
	}
}

/* The new membership holds here before anyone else may write: what is written next is newer. */
static int save_new(struct cluster *c, struct peer *p, const struct membership *m, struct err *err)
{
	int rc = sem_acquire(&c->state_turn, err);
	if (rc)
		return rc;
	/* Addresses first: a membership without them would be a lonely one. */
	bool was_member = p->was_member;
	p->was_member = true;
	p->lost_at = p->next_dial = rt_now();
	rc = save_peers(c, err);
	if (rc == 0)
		rc = membership_save(c->opt.world, c->data_dir, m, err);
	if (rc == 0) {
		c->membership = *m;
	} else {
		p->was_member = was_member;
		c->save_due = true; /* the half that may be on disk */
	}
	sem_release(&c->state_turn);
	return rc;
}

static int enter(struct cluster *c, const struct membership *m, const struct peer_id *issuer,
    const struct multiaddr *addrs, size_t n_addrs, struct err *err)
{
	struct peer *p = table_add(c, issuer, SOURCE_INVITATION);
	if (!p)
		return err_set(err, E_LIMIT, "the peer table is full");
	for (size_t i = n_addrs; i-- > 0;)
		table_add_addr(p, &addrs[i]);
	p->holds++;
	int rc = save_new(c, p, m, err);
	p->holds--;
	if (rc)
		return rc;
	forget_company(c, p);
	announce_membership(c);
	invites_forget(c);
	c->save_due = true;
	waitq_wake_all(&c->dial);
	return 0;
}

int cluster_switch(struct cluster *c, const struct membership *m, const struct peer_id *issuer,
    const struct multiaddr *addrs, size_t n_addrs, struct err *err)
{
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(SWITCH_LIMIT_MS));
	int rc = enter(c, m, issuer, addrs, n_addrs, err);
	scope_close(&sc);
	return rc;
}

static int decide(struct cluster *c, const char *who, enum decision decision, struct err *err)
{
	struct peer *p;
	int rc = table_named(c, who, &p, err);
	if (rc)
		return rc;
	if (!p->asking && p->decision == UNDECIDED)
		return err_set(err, E_NOT_FOUND, "%s does not ask to join", who);
	p->decision = decision;
	waitq_wake_all(&p->changed);
	return 0;
}

int cluster_accept(struct cluster *c, const char *who, struct err *err)
{
	return decide(c, who, ADMITTED, err);
}

int cluster_reject(struct cluster *c, const char *who, struct err *err)
{
	return decide(c, who, REJECTED, err);
}

/* ---- events of the host -------------------------------------------------------------------- */

static void peer_connected(struct cluster *c, const struct peer_id *id, p2p_conn_id conn_id)
{
	struct p2p_conn_info conn;
	bool known = p2p_conn_info(c->opt.host, conn_id, &conn);
	bool inbound = known && conn.direction == P2P_INBOUND;
	struct peer *p = inbound ? table_add(c, id, SOURCE_INBOUND) : table_add(c, id, 0);
	if (!p || p->connected)
		return;
	p->connected = true;
	p->conn = conn_id;
	p->inbound = inbound;
	p->last_seen_ms = p->connected_ms = world_wall_ms(c->opt.world);
	if (known && !inbound)
		table_add_addr(p, &conn.remote);
	cluster_peer_changed(c, p);
	session_start(c, p);
}

/* Those who were faster than we: connections made before we listened to events. */
static int meet_connected(struct cluster *c, struct err *err)
{
	struct p2p_conn_info *conns = malloc(CLUSTER_PEERS_MAX * sizeof *conns);
	if (!conns)
		return err_set(err, E_MEMORY, "no memory for the cluster");
	size_t n = p2p_conns(c->opt.host, conns, CLUSTER_PEERS_MAX);
	for (size_t i = 0; i < n && i < CLUSTER_PEERS_MAX; i++)
		peer_connected(c, &conns[i].peer, conns[i].id);
	free(conns);
	return 0;
}

static void on_disconnected(struct cluster *c, const struct p2p_event *e)
{
	struct peer *p = table_find(c, &e->peer);
	if (!p)
		return;
	if (p->was_member) /* its sessions may have ended before */
		rt_log(LOG_INFO, "cluster", "lost %s: %s", p->label, e->text ? e->text : "");
	snprintf(p->failure, sizeof p->failure, "%s", e->text ? e->text : "");
	p->connected = p->welcomed = false;
	p->proof = 0;
	cluster_peer_changed(c, p);
}

static void on_event(void *arg, const struct p2p_event *e)
{
	struct cluster *c = arg;
	switch (e->kind) {
	case P2P_PEER_CONNECTED:
		peer_connected(c, &e->peer, e->conn);
		break;
	case P2P_PEER_DISCONNECTED:
		on_disconnected(c, e);
		break;
	case P2P_PEER_DISCOVERED: {
		struct peer *p = table_add(c, &e->peer, SOURCE_MDNS);
		for (size_t i = e->n_addrs; p && i-- > 0;)
			table_add_addr(p, &e->addrs[i]);
		waitq_wake_all(&c->dial);
		break;
	}
	case P2P_KEEP_FAILED: {
		char *text = malloc(MULTIADDR_TEXT_MAX);
		if (text && e->n_addrs > 0) {
			multiaddr_print(&e->addrs[0], text);
			rt_log(LOG_WARN, "cluster",
			    "cannot reach bootstrap peer %s: %s; still trying", text, e->text);
		}
		free(text);
		break;
	}
	case P2P_CONN_OPENED: {
		struct peer *p = table_find(c, &e->peer);
		if (p)
			p->conn = e->conn;
		break;
	}
	case P2P_PEER_IDENTIFIED: {
		/* It may have begun to serve us only now: a node that is just starting. */
		struct peer *p = table_find(c, &e->peer);
		if (p && p2p_peer_speaks(c->opt.host, &e->peer, MEMBER_PROTOCOL))
			waitq_wake_all(&p->changed);
		break;
	}
	case P2P_CONN_CLOSED:
		waitq_wake_all(&c->announce); /* sessions on it end */
		break;
	}
}

/* ---- the connector ------------------------------------------------------------------------- */

/* 1.5 s in the first minute after a loss, then 2 s, 4 s … 60 s; a quarter of it by chance. */
static struct duration pause_before_redial(struct cluster *c, struct peer *p)
{
	int64_t ms = REDIAL_FAST_MS;
	bool fast =
	    p->was_member && duration_to_ms(instant_since(rt_now(), p->lost_at)) < REDIAL_FAST_TIME;
	if (!fast) {
		unsigned doublings = p->failures < 6 ? p->failures : 6;
		ms = INT64_C(1000) << doublings;
		ms = ms < REDIAL_SLOW_MAX ? ms : REDIAL_SLOW_MAX;
		ms -= (int64_t)(world_random_u64(c->opt.world) % (uint64_t)(ms / 4));
	}
	return duration_ms(p->foreign ? FOREIGN_REDIAL_MS : ms);
}

struct dial {
	struct cluster *c;
	struct peer *p;
};

static void dial_fiber(void *arg)
{
	struct dial d = *(struct dial *)arg;
	struct cluster *c = d.c;
	struct peer *p = d.p;
	free(arg);
	struct err err = {0};
	struct scope sc;
	scope_open(&sc, duration_ms(DIAL_LIMIT_MS));
	int rc = p2p_dial(c->opt.host, &p->id, p->addrs, p->n_addrs, NULL, &err);
	scope_close(&sc);
	p->dialing = false;
	c->dials--;
	p->failures = rc ? p->failures + 1 : 0;
	if (rc && rc != E_CANCELLED) {
		if (strncmp(p->failure, err_text(&err), sizeof p->failure - 1) != 0)
			rt_log(LOG_DEBUG, "cluster", "cannot reach %s: %s",
			    p->label[0] ? p->label : "a peer", err_text(&err));
		snprintf(p->failure, sizeof p->failure, "%s", err_text(&err));
	}
	p->next_dial = instant_add(rt_now(), pause_before_redial(c, p));
	cluster_peer_changed(c, p);
	waitq_wake_all(&c->dial);
}

static bool wants_dial(const struct peer *p, struct instant now)
{
	return !p->connected && !p->dialing && p->n_addrs > 0 && !instant_before(now, p->next_dial);
}

static void dial_due(struct cluster *c)
{
	struct instant now = rt_now();
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		if (c->dials >= DIALS_MAX)
			return;
		if (!wants_dial(p, now))
			continue;
		struct dial *d = malloc(sizeof *d);
		if (!d)
			return;
		*d = (struct dial){c, p};
		p->dialing = true;
		c->dials++;
		if (fiber_spawn(&c->scope, "dial", dial_fiber, d, NULL) != 0) {
			p->dialing = false;
			c->dials--;
			free(d);
			return;
		}
	}
}

/* ---- what is kept on disk ------------------------------------------------------------------ */

static json_t *saved_peer(const struct peer *p)
{
	char id[PEER_ID_TEXT_MAX];
	peer_id_print(&p->id, id);
	json_t *addrs = json_array();
	char *text = malloc(MULTIADDR_TEXT_MAX);
	for (size_t i = 0; text && i < p->n_addrs; i++) {
		multiaddr_print(&p->addrs[i], text);
		json_array_append_new(addrs, json_string(text));
	}
	free(text);
	return json_pack("{s:s, s:s, s:o}", "id", id, "label", p->label, "addrs", addrs);
}

static int save_peers(struct cluster *c, struct err *err)
{
	json_t *list = json_array();
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next)
		if (p->was_member && json_array_size(list) < MEMBERS_KEPT)
			json_array_append_new(list, saved_peer(p));
	struct buf path = BUF_INIT(8192), text = BUF_INIT(PEERS_FILE_MAX);
	buf_printf(&path, "%s/peers.json", c->data_dir);
	int rc = json_write(list, &text, err);
	json_decref(list);
	if (rc == 0)
		rc = file_write(c->opt.world, buf_cstr(&path), buf_view(&text), 0600, err);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

static int save_state(struct cluster *c, struct err *err)
{
	int rc = sem_acquire(&c->state_turn, err);
	if (rc)
		return rc;
	c->save_due = false;
	if (c->membership.id[0])
		rc = membership_save(c->opt.world, c->data_dir, &c->membership, err);
	if (rc == 0)
		rc = save_peers(c, err);
	sem_release(&c->state_turn);
	return rc;
}

/* Not cut short: a write that nobody waits for could still reach the disk after a newer one. */
static void save(struct cluster *c)
{
	struct err err = {0};
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(SAVE_LIMIT_MS));
	int rc = save_state(c, &err);
	scope_close(&sc);
	if (rc == E_TIMEOUT)
		c->save_due = true;
	if (rc)
		rt_log(LOG_ERROR, "cluster", "cannot save the cluster's state: %s", err_text(&err));
}

static void load_peer(struct cluster *c, const json_t *v)
{
	struct peer_id id;
	const char *text = json_get_string(v, "id", "");
	if (peer_id_parse(bytes_str(text), &id, NULL) != 0)
		return;
	struct peer *p = table_add(c, &id, SOURCE_SAVED);
	if (!p)
		return;
	p->was_member = true;
	p->lost_at = rt_now();
	peer_set_label(p, json_get_string(v, "label", ""));
	size_t i;
	json_t *a;
	json_array_foreach(json_object_get(v, "addrs"), i, a)
	{
		struct multiaddr addr;
		if (json_is_string(a) &&
		    multiaddr_parse(bytes_str(json_string_value(a)), &addr, NULL) == 0)
			table_add_addr(p, &addr);
	}
}

int cluster_read_peers(struct world *w, const char *data_dir, json_t **out, struct err *err)
{
	struct buf path = BUF_INIT(8192), text = BUF_INIT(PEERS_FILE_MAX);
	buf_printf(&path, "%s/peers.json", data_dir);
	int rc = file_read(w, buf_cstr(&path), PEERS_FILE_MAX, &text, err);
	if (rc == 0)
		rc = json_read(buf_view(&text), out, err);
	if (rc && rc != E_NOT_FOUND)
		rc = err_wrap(err, rc, "%s is unusable", buf_cstr(&path));
	buf_free(&text);
	buf_free(&path);
	return rc;
}

/* A damaged peers.json costs some time, not the start. */
static void load_peers(struct cluster *c)
{
	json_t *list = NULL;
	struct err err = {0};
	int rc = cluster_read_peers(c->opt.world, c->data_dir, &list, &err);
	if (rc && rc != E_NOT_FOUND)
		rt_log(LOG_WARN, "cluster", "%s", err_text(&err));
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v) load_peer(c, v);
	json_decref(list);
}

/* What is held against somebody is to be seen for a while. */
static bool is_offender(const struct cluster *c, const struct peer *p)
{
	struct p2p_conduct conduct;
	return p2p_conduct(c->opt.host, &p->id, &conduct);
}

static void connector(void *arg)
{
	struct cluster *c = arg;
	int rc = 0;
	while (rc != E_CANCELLED) {
		dial_due(c);
		table_forget_passing(c, is_offender);
		if (c->save_due)
			save(c);
		rc = waitq_wait_for(&c->dial, duration_ms(CONNECTOR_TICK_MS), NULL);
	}
}

/* ---- making and ending --------------------------------------------------------------------- */

static int own_cluster(struct cluster *c, struct err *err)
{
	uint8_t random[8], key[CLUSTER_KEY_SIZE];
	world_random(c->opt.world, random, sizeof random);
	world_random(c->opt.world, key, sizeof key);
	char id[3 + 2 * sizeof random] = "c-";
	hex_encode(bytes_of(random, sizeof random), id + 2);
	int rc = membership_set(&c->membership, id, key, MEMBERSHIP_OWN, err);
	secret_wipe(key, sizeof key);
	return rc;
}

/* Named on the command line, else the saved one, else joining through a bootstrap peer, else our
 * own. A cluster that we merely made for ourselves gives way to a bootstrap peer's. The saved
 * cluster's name alone means the saved one with its key: forgetting to repeat the key must not
 * turn a closed cluster into an open one. */
static int choose_membership(struct cluster *c, struct err *err)
{
	const struct cluster_options *o = &c->opt;
	if (o->name && o->key)
		return membership_named(&c->membership, o->name, o->key, err);
	int rc = membership_load(o->world, c->data_dir, &c->membership, err);
	if (rc && rc != E_NOT_FOUND)
		return rc;
	if (o->name && (rc || strcmp(o->name, c->membership.id) != 0))
		return membership_named(&c->membership, o->name, NULL, err);
	if (rc == 0 &&
	    (o->name || o->n_bootstrap == 0 || c->membership.origin == MEMBERSHIP_JOINED))
		return 0;
	c->membership = (struct membership){0};
	return o->n_bootstrap > 0 ? 0 : own_cluster(c, err);
}

static int keep_bootstrap(struct cluster *c, struct err *err)
{
	for (size_t i = 0; i < c->opt.n_bootstrap; i++) {
		const struct multiaddr *a = &c->opt.bootstrap[i];
		struct peer_id id;
		if (multiaddr_peer(a, &id)) {
			if (peer_id_equal(&id, &c->self))
				return err_set(
				    err, E_INVALID, "the bootstrap peer is this node itself");
			struct peer *p = table_add(c, &id, SOURCE_BOOTSTRAP);
			if (p)
				table_add_addr(p, a);
		}
		int rc = p2p_keep(c->opt.host, a, err);
		if (rc && rc != E_EXISTS)
			return rc;
	}
	return 0;
}

static int start(struct cluster *c, struct err *err)
{
	int rc = choose_membership(c, err);
	if (rc)
		return rc;
	if (c->membership.id[0])
		announce_membership(c);
	else
		rt_log(LOG_INFO, "cluster", "asking a bootstrap peer to let us join its cluster");
	c->save_due = true;
	load_peers(c);
	invites_load(c);
	rc = p2p_handle(c->opt.host, MEMBER_PROTOCOL, session_serve, c, err);
	if (rc == 0)
		rc = p2p_handle(c->opt.host, DOCTOR_PROTOCOL, doctor_serve, c, err);
	if (rc == 0)
		rc = p2p_allow_limited(c->opt.host, MEMBER_PROTOCOL, err);
	if (rc == 0)
		rc = p2p_allow_limited(c->opt.host, DOCTOR_PROTOCOL, err);
	if (rc)
		return rc;
	p2p_on_event(c->opt.host, on_event, c);
	rc = meet_connected(c, err);
	if (rc)
		return rc;
	rc = fiber_spawn(&c->scope, "connector", connector, c, err);
	if (rc == 0 && c->opt.kad)
		rc = fiber_spawn(&c->scope, "rendezvous", rendezvous_fiber, c, err);
	if (rc == 0)
		rc = announce_start(c, err);
	if (rc == 0)
		rc = keep_bootstrap(c, err);
	return rc ? rc : join_start(c, err);
}

int cluster_new(const struct cluster_options *opt, struct cluster **out, struct err *err)
{
	struct cluster *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, E_MEMORY, "no memory for the cluster");
	c->opt = *opt;
	c->started = rt_now();
	c->self = *p2p_host_id(opt->host);
	c->label = strdup(opt->label);
	c->data_dir = strdup(opt->data_dir);
	c->save_turn.free = 1;
	c->state_turn.free = 1;
	INVARIANT(opt->identity);
	scope_init(&c->scope, NULL);
	int rc = c->label && c->data_dir ? start(c, err)
					 : err_set(err, E_MEMORY, "no memory for the cluster");
	if (rc) {
		cluster_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

/* They belong to the host's connections, which were told to close. */
static void wait_for_handlers(struct cluster *c)
{
	struct scope sc;
	scope_open_shielded(&sc, duration_ms(HANDLERS_END_MS));
	while (c->serving > 0)
		if (waitq_wait(&c->served, NULL) != 0)
			BUG("%d member sessions did not end", c->serving);
	scope_close(&sc);
}

void cluster_close(struct cluster *c)
{
	if (!c)
		return;
	c->closing = true;
	p2p_off_event(c->opt.host, on_event, c);
	p2p_unhandle(c->opt.host, MEMBER_PROTOCOL);
	p2p_unhandle(c->opt.host, DOCTOR_PROTOCOL);
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next)
		if (p->connected)
			p2p_disconnect(c->opt.host, &p->id, "shutting down");
	scope_close(&c->scope);
	announce_end(c);
	wait_for_handlers(c);
	HASH_ITER (hh, c->peers, p, next)
		if (p->entry)
			leave_catalog(c, p);
	if (c->save_due)
		save(c);
	table_free(c);
	join_free(c);
	secret_wipe(&c->membership, sizeof c->membership);
	free(c->label);
	free(c->data_dir);
	free(c);
}

/* ---- the table, shown ---------------------------------------------------------------------- */

static void shown_address(const struct cluster *c, const struct peer *p, struct cluster_peer *row)
{
	struct p2p_conn_info conn;
	struct p2p_peer_info info;
	if (p2p_peer_info(c->opt.host, &p->id, &info))
		row->n_conns = info.n_conns;
	if (p->connected && p2p_preferred(c->opt.host, &p->id, &conn)) {
		multiaddr_print(&conn.remote, row->address);
		row->rtt = conn.rtt;
		row->inbound = conn.direction == P2P_INBOUND;
		row->path = conn.relay.n > 0 ? PATH_RELAYED
			    : conn.punched   ? PATH_PUNCHED
					     : PATH_DIRECT;
	} else if (p->n_addrs > 0) {
		multiaddr_print(&p->addrs[0], row->address);
	}
}

/* NULL without gossip, or memory. */
static struct p2p_gossip_peer *gossip_peers(const struct cluster *c, size_t *n)
{
	struct p2p_gossip_peer *list =
	    c->opt.gossip ? calloc(CLUSTER_PEERS_MAX, sizeof *list) : NULL;
	*n = list ? p2p_gossip_peers(c->opt.gossip, list, CLUSTER_PEERS_MAX) : 0;
	*n = *n < CLUSTER_PEERS_MAX ? *n : CLUSTER_PEERS_MAX;
	return list;
}

static void shown_score(const struct p2p_gossip_peer *list, size_t n, struct cluster_peer *row)
{
	for (size_t i = 0; i < n; i++)
		if (peer_id_equal(&list[i].id, &row->id)) {
			row->gossips = true;
			row->gossip_score = list[i].score;
		}
}

void cluster_each(
    const struct cluster *c, void (*fn)(void *arg, const struct cluster_peer *p), void *arg)
{
	size_t n_gossip;
	struct p2p_gossip_peer *gossip = gossip_peers(c, &n_gossip);
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		struct cluster_peer row = {
		    .id = p->id,
		    .state = peer_state(p),
		    .sources = p->sources,
		    .since_ms = p->since_ms,
		    .last_seen_ms = p->last_seen_ms,
		    .n_models = p->state ? p->state->n_models : 0,
		};
		memcpy(row.label, p->label, sizeof row.label);
		memcpy(row.failure, p->failure, sizeof row.failure);
		shown_address(c, p, &row);
		row.offended = p2p_conduct(c->opt.host, &p->id, &row.conduct);
		shown_score(gossip, n_gossip, &row);
		fn(arg, &row);
	}
	free(gossip);
}
