/* The peer book: what is known of each peer, by id, with the least recently used dropped first. Who
 * is connected or protected stays, and does not count against the book's limit.
 * Everything in it came from peers or the network, and is bounded. */
#include "p2p/host_priv.h"

#include <talloc.h>

/* Peers choose their ids. */
static struct peer **bucket(const struct p2p_host *h, const struct peer_id *id)
{
	uint64_t hash = h->peers_seed;

	for (size_t i = 0; i < id->n; i++)
		hash = (hash ^ id->bytes[i]) * 0x100000001B3u;
	return (struct peer **)&h->buckets[(hash >> 32) % PEER_BUCKETS];
}

struct peer *peer_find(const struct p2p_host *h, const struct peer_id *id)
{
	struct peer *p = *bucket(h, id);

	while (p && !peer_id_equal(&p->id, id))
		p = p->hash_next;
	return p;
}

/* ---- by last use --------------------------------------------------------------------------- */

static void lru_unlink(struct p2p_host *h, struct peer *p)
{
	*(p->newer ? &p->newer->older : &h->newest) = p->older;
	*(p->older ? &p->older->newer : &h->oldest) = p->newer;
	p->newer = p->older = NULL;
	p->idle = false;
	h->n_idle--;
}

static void lru_link(struct p2p_host *h, struct peer *p)
{
	p->older = h->newest;
	p->newer = NULL;
	*(h->newest ? &h->newest->newer : &h->oldest) = p;
	h->newest = p;
	p->idle = true;
	h->n_idle++;
}

static void drop(struct p2p_host *h, struct peer *p)
{
	struct peer **at = bucket(h, &p->id);

	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
	lru_unlink(h, p);
	h->n_peers--;
	talloc_free(p);
}

/* Never the one that was used last. */
static void trim(struct p2p_host *h)
{
	while (h->n_idle > h->limits.peers && h->oldest != h->newest)
		drop(h, h->oldest);
}

static enum res_class class_of(const struct peer *p)
{
	const struct conn *c = p->conns;

	while (c && c->direction == P2P_INBOUND)
		c = c->peer_next;
	return c || peer_protected(p) ? RES_KNOWN : RES_STRANGER;
}

void peer_settle(struct p2p_host *h, struct peer *p)
{
	bool idle = !p->conns && p->n_tags == 0;
	enum res_class class = class_of(p);

	if (p->idle && !idle)
		lru_unlink(h, p);
	else if (!p->idle && idle)
		lru_link(h, p);
	trim(h);
	if (class == p->account.class)
		return;
	resources_set_class(&h->resources, &p->account, class);
	for (struct conn *c = p->conns; c; c = c->peer_next)
		account_settle(&c->account);
}

static int free_said(struct peer *p)
{
	identify_free(&p->said);
	return 0;
}

struct peer *peer_get(struct p2p_host *h, const struct peer_id *id)
{
	struct peer *p = peer_find(h, id);

	if (p && p->idle) {
		lru_unlink(h, p);
		lru_link(h, p);
	}
	if (p)
		return p;
	p = talloc_zero(h, struct peer);
	if (!p)
		return NULL;
	talloc_set_destructor(p, free_said);
	p->id = *id;
	p->hash_next = *bucket(h, id);
	*bucket(h, id) = p;
	lru_link(h, p);
	trim(h);
	h->n_peers++;
	return p;
}

/* ---- what is known ------------------------------------------------------------------------- */

static size_t find_addr(const struct peer *p, const struct multiaddr *bare)
{
	size_t at = 0;

	while (at < p->n_addrs && !multiaddr_equal(&p->addrs[at], bare))
		at++;
	return at;
}

bool peer_has_addr(const struct peer *p, const struct multiaddr *bare)
{
	return find_addr(p, bare) < p->n_addrs;
}

void peer_add_addr(struct peer *p, const struct multiaddr *addr)
{
	struct multiaddr bare = *addr;

	multiaddr_strip_peer(&bare);
	size_t at = find_addr(p, &bare);
	if (at == p->n_addrs && at < P2P_PEER_ADDRS_MAX) {
		struct multiaddr *more =
		    talloc_realloc(p, p->addrs, struct multiaddr, (unsigned)at + 1);
		if (!more)
			return;
		p->addrs = more;
		p->n_addrs++;
	} else if (at == p->n_addrs) {
		at--; /* the oldest goes */
	}
	memmove(p->addrs + 1, p->addrs, at * sizeof p->addrs[0]);
	p->addrs[0] = bare;
}

/* Whether the peer runs on this machine: connected through the loopback interface or from one of
 * our own addresses. */
static bool is_near(const struct peer *p)
{
	struct multiaddr_tcp theirs, ours;

	for (const struct conn *c = p->conns; c; c = c->peer_next) {
		if (c->relay.n > 0)
			continue; /* where the relay is says nothing of the peer */
		if (multiaddr_reach(&c->remote) == MA_REACH_LOOPBACK)
			return true;
		if (multiaddr_tcp(&c->remote, &theirs, NULL) != 0)
			continue;
		for (size_t i = 0; i < c->host->n_addrs; i++)
			if (multiaddr_tcp(&c->host->addrs[i], &ours, NULL) == 0 &&
			    strcmp(ours.host, theirs.host) == 0)
				return true;
	}
	return false;
}

/* Whether an address that the peer calls its own may lead to it from here: another machine's
 * loopback address would lead back to us. */
static bool may_lead_to(const struct peer *p, const struct multiaddr *addr)
{
	enum multiaddr_reach reach = multiaddr_reach(addr);

	return reach != MA_REACH_UNSPECIFIED && (reach != MA_REACH_LOOPBACK || is_near(p));
}

/* A signed record weighs more than the bare list beside it. */
static int learn_addrs(struct peer *p, struct err *err)
{
	const struct addr_list *list = &p->said.listen;
	struct peer_record record = {0};
	int rc = 0;

	if (p->said.record.n > 0)
		rc = peer_record_open(buf_view(&p->said.record), &record, err);
	if (rc == 0 && p->said.record.n > 0 && !peer_id_equal(&record.peer, &p->id))
		rc = err_set(err, E_WRONG_PEER, "a peer record of another peer");
	if (rc == 0 && p->said.record.n > 0)
		list = &record.addrs;
	for (size_t i = list->n < P2P_PEER_ADDRS_MAX ? list->n : P2P_PEER_ADDRS_MAX; i > 0; i--)
		if (may_lead_to(p, &list->v[i - 1]))
			peer_add_addr(p, &list->v[i - 1]);
	peer_record_free(&record);
	return rc;
}

int peer_learn(struct peer *p, struct identify *msg, bool push, struct err *err)
{
	if (push) {
		identify_apply_push(&p->said, msg);
	} else {
		identify_free(&p->said);
		p->said = *msg;
		*msg = (struct identify){0};
	}
	p->identified = true;
	return learn_addrs(p, err);
}

bool peer_speaks(const struct peer *p, const char *protocol)
{
	return identify_speaks(&p->said, protocol);
}

bool peer_protected(const struct peer *p)
{
	return p->n_tags > 0;
}

/* ---- public -------------------------------------------------------------------------------- */

void p2p_add_addrs(
    struct p2p_host *h, const struct peer_id *peer, const struct multiaddr *addrs, size_t n)
{
	struct peer *p = peer_id_equal(peer, &h->identity.peer_id) ? NULL : peer_get(h, peer);

	for (size_t i = n; p && i > 0; i--)
		peer_add_addr(p, &addrs[i - 1]);
}

static size_t find_tag(const struct peer *p, const char *tag)
{
	size_t i = 0;

	while (i < p->n_tags && strcmp(p->tags[i], tag) != 0)
		i++;
	return i;
}

int p2p_protect(struct p2p_host *h, const struct peer_id *peer, const char *tag, struct err *err)
{
	struct peer *p = peer_get(h, peer);
	size_t n = strlen(tag);

	if (n == 0 || n >= TAG_SIZE)
		return err_set(err, E_INVALID, "a tag has 1 to %d bytes", TAG_SIZE - 1);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for a peer");
	if (find_tag(p, tag) < p->n_tags)
		return 0;
	if (p->n_tags == TAGS_MAX)
		return err_set(err, E_LIMIT, "a peer has at most %d tags", TAGS_MAX);
	memcpy(p->tags[p->n_tags++], tag, n + 1);
	peer_settle(h, p);
	return 0;
}

void p2p_unprotect(struct p2p_host *h, const struct peer_id *peer, const char *tag)
{
	struct peer *p = peer_find(h, peer);
	size_t i = p ? find_tag(p, tag) : 0;

	if (p && i < p->n_tags) {
		p->n_tags--;
		memmove(p->tags[i], p->tags[p->n_tags], TAG_SIZE);
		peer_settle(h, p);
	}
}

bool p2p_connected(const struct p2p_host *h, const struct peer_id *peer)
{
	const struct peer *p = peer_find(h, peer);

	return p && p->conns;
}

bool p2p_peer_info(const struct p2p_host *h, const struct peer_id *peer, struct p2p_peer_info *out)
{
	const struct peer *p = peer_find(h, peer);

	if (!p)
		return false;
	*out = (struct p2p_peer_info){
	    .agent = p->said.agent_version,
	    .protocols = (const char *const *)p->said.protocols,
	    .n_protocols = p->said.protocols_n,
	    .addrs = p->addrs,
	    .n_addrs = p->n_addrs,
	    .identified = p->identified,
	    .connected = p->conns != NULL,
	};
	for (const struct conn *c = p->conns; c; c = c->peer_next)
		out->n_conns++;
	return true;
}

bool p2p_peer_speaks(const struct p2p_host *h, const struct peer_id *peer, const char *protocol)
{
	const struct peer *p = peer_find(h, peer);

	return p && peer_speaks(p, protocol);
}
