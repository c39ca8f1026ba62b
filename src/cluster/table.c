/* The peer table: one row per peer heard of, from whatever source. When it is full, rows of
 * strangers give way, then those of members lost long ago; present members and requests to join
 * never do. */
#include "cluster/cluster_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer *table_find(const struct cluster *c, const struct peer_id *id)
{
	struct peer *p;
	HASH_FIND(hh, c->peers, id, sizeof *id, p);
	return p;
}

static bool forgettable(const struct peer *p)
{
	return !p->connected && !p->dialing && !p->speaking && p->holds == 0 && !p->entry;
}

static bool goes_before(const struct peer *a, const struct peer *b)
{
	return a->was_member != b->was_member ? b->was_member : a->since_ms < b->since_ms;
}

static void forget(struct cluster *c, struct peer *p)
{
	HASH_DEL(c->peers, p);
	free(p->state);
	free(p);
}

static bool make_room(struct cluster *c)
{
	if (HASH_COUNT(c->peers) < CLUSTER_PEERS_MAX)
		return true;
	struct peer *p, *next, *victim = NULL;
	HASH_ITER (hh, c->peers, p, next)
		if (forgettable(p) && (!victim || goes_before(p, victim)))
			victim = p;
	if (!victim)
		return false;
	forget(c, victim);
	return true;
}

struct peer *table_add(struct cluster *c, const struct peer_id *id, enum cluster_source source)
{
	if (id->n == 0 || peer_id_equal(id, &c->self))
		return NULL;
	struct peer *p = table_find(c, id);
	if (!p) {
		if (!make_room(c) || !(p = calloc(1, sizeof *p)))
			return NULL;
		p->id = *id;
		p->since_ms = world_wall_ms(c->opt.world);
		HASH_ADD(hh, c->peers, id, sizeof p->id, p);
	}
	p->sources |= (unsigned)source;
	return p;
}

/* Newest first; the oldest falls off. */
void table_add_addr(struct peer *p, const struct multiaddr *addr)
{
	struct multiaddr bare = *addr;
	multiaddr_strip_peer(&bare);
	size_t i = 0;
	while (i < p->n_addrs && !multiaddr_equal(&p->addrs[i], &bare))
		i++;
	if (i == p->n_addrs) {
		if (p->n_addrs < MEMBER_ADDRS_MAX)
			p->n_addrs++;
		else
			i--;
	}
	memmove(&p->addrs[1], &p->addrs[0], i * sizeof *p->addrs);
	p->addrs[0] = bare;
}

void table_forget_passing(
    struct cluster *c, bool (*keep)(const struct cluster *c, const struct peer *p))
{
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next)
		if (p->sources == SOURCE_INBOUND && p->n_addrs == 0 && !p->was_member &&
		    p->decision == UNDECIDED && forgettable(p) && !keep(c, p))
			forget(c, p);
}

void table_free(struct cluster *c)
{
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next)
		forget(c, p);
}

void peer_set_label(struct peer *p, const char *label)
{
	static const char harmless[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = 0;
	for (; label[n] && n < sizeof p->label - 1; n++)
		p->label[n] = strchr(harmless, label[n]) ? label[n] : '_';
	p->label[n] = '\0';
	if (p->label[0] == '-')
		p->label[0] = '_';
	if (n == 0)
		snprintf(p->label, sizeof p->label, "unnamed");
}

void peer_set_foreign(struct peer *p)
{
	p->foreign = true;
	p->was_member = false;
}

bool peer_is_member(const struct peer *p)
{
	return p->connected && p->proof && p->welcomed;
}

enum cluster_peer_state peer_state(const struct peer *p)
{
	if (peer_is_member(p))
		return PEER_MEMBER;
	if (p->connected && p->asking)
		return PEER_ASKING;
	if (p->connected && p->waiting)
		return PEER_WAITING;
	if (p->foreign)
		return PEER_FOREIGN;
	if (p->connected)
		return PEER_CONNECTED;
	if (p->announced &&
	    duration_to_ms(instant_since(rt_now(), p->announced_at)) < ANNOUNCED_FOR_MS)
		return PEER_ANNOUNCED;
	if (p->was_member)
		return PEER_LOST;
	return p->dialing ? PEER_CONNECTING : PEER_KNOWN;
}

const char *cluster_peer_state_name(enum cluster_peer_state s)
{
	switch (s) {
	case PEER_KNOWN:
		return "known";
	case PEER_CONNECTING:
		return "connecting";
	case PEER_CONNECTED:
		return "connected";
	case PEER_ASKING:
		return "asks to join";
	case PEER_WAITING:
		return "waiting for acceptance";
	case PEER_MEMBER:
		return "member";
	case PEER_ANNOUNCED:
		return "announced";
	case PEER_FOREIGN:
		return "other cluster";
	case PEER_LOST:
		return "lost";
	}
	return "unknown";
}

const char *cluster_path_name(enum cluster_path p)
{
	switch (p) {
	case PATH_NONE:
		return "-";
	case PATH_DIRECT:
		return "direct";
	case PATH_PUNCHED:
		return "hole-punched";
	case PATH_RELAYED:
		return "relayed";
	}
	return "unknown";
}

bool table_is_self(const struct cluster *c, const char *who)
{
	struct peer_id id;
	struct bytes text = bytes_str(who);
	if (node_id_parse(text, &id, NULL) == 0 || peer_id_parse(text, &id, NULL) == 0)
		return peer_id_equal(&id, &c->self);
	return strcmp(who, c->opt.label) == 0;
}

int cluster_absent(const struct cluster *c, const char *who, struct err *err)
{
	struct peer *p;
	if (table_is_self(c, who) || table_named(c, who, &p, NULL) != 0)
		return 0;
	const char *name = p->label[0] ? p->label : who;
	const char *why = cluster_peer_state_name(peer_state(p));
	switch (peer_state(p)) {
	case PEER_MEMBER:
		return 0;
	case PEER_ASKING:
		return err_set(err, E_NOT_FOUND,
		    "%s is known, but no member of this cluster: it asks to join (gate peers "
		    "accept "
		    "%s)",
		    name, name);
	case PEER_WAITING:
		return err_set(err, E_NOT_FOUND,
		    "%s is known, but no member of this cluster: this node waits for its "
		    "acceptance "
		    "there",
		    name);
	case PEER_ANNOUNCED:
		return err_set(err, E_UNAVAILABLE,
		    "%s is a member, but not connected%s%s (gate doctor %s says more)", name,
		    p->failure[0] ? ": " : "", p->failure, name);
	case PEER_LOST:
		return err_set(err, E_UNAVAILABLE,
		    "%s is a member, but lost%s%s: it is being dialled "
		    "again (gate doctor %s says more)",
		    name, p->failure[0] ? ": " : "", p->failure, name);
	case PEER_CONNECTING:
	case PEER_CONNECTED:
	case PEER_KNOWN:
	case PEER_FOREIGN:
		break;
	}
	return err_set(err, E_NOT_FOUND,
	    "%s is known, but no member of this cluster: %s%s%s (gate doctor %s says more)", name,
	    why, p->failure[0] ? ": " : "", p->failure, name);
}

int cluster_find(const struct cluster *c, const char *who, struct peer_id *out, struct err *err)
{
	struct peer *p;
	if (table_is_self(c, who)) {
		*out = c->self;
		return 0;
	}
	int rc = table_named(c, who, &p, err);
	if (rc == 0)
		*out = p->id;
	return rc;
}

const char *cluster_label(const struct cluster *c, const struct peer_id *peer)
{
	const struct peer *p = table_find(c, peer);
	return p ? p->label : "";
}

int table_named(const struct cluster *c, const char *who, struct peer **out, struct err *err)
{
	struct peer_id id;
	struct bytes text = bytes_str(who);
	*out = NULL;
	if (node_id_parse(text, &id, NULL) == 0 || peer_id_parse(text, &id, NULL) == 0) {
		*out = table_find(c, &id);
		return *out ? 0 : err_set(err, E_NOT_FOUND, "no peer %s is known", who);
	}
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next) {
		if (!who[0] || strcmp(p->label, who) != 0)
			continue;
		if (*out)
			return err_set(err, E_INVALID,
			    "several peers are called \"%s\": use the node id instead", who);
		*out = p;
	}
	return *out ? 0 : err_set(err, E_NOT_FOUND, "no peer called \"%s\" is known", who);
}
