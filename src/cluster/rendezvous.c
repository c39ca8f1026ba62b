/* Meeting members through the hash table: each provides a key that only members can compute, and
 * looks for the others who do. What is found there is an address to try, no more: whoever answers
 * at it has to prove its membership like everybody. */
#include "cluster/cluster_priv.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_EAGER_MS  20000 /* while no member is connected */
#define LOOK_CALM_MS   600000
#define LOOK_WAIT_MS   2000 /* before there is a cluster, or a table to ask */
#define FOUND_MAX      64
#define ADDRS_KEPT_MAX MEMBER_ADDRS_MAX

struct rendezvous {
	uint8_t key[P2P_KAD_MULTIHASH_SIZE];
	bool provided; /* under `key`, and somebody has taken it */
};

/* Strangers who know the cluster's name cannot tell who is in it. */
static void key_of(const struct membership *m, uint8_t out[P2P_KAD_MULTIHASH_SIZE])
{
	uint8_t mac[SHA256_SIZE];
	hmac_sha256(bytes_of(m->key, sizeof m->key), bytes_str("opengateway rendezvous 1"), mac);
	p2p_kad_multihash(bytes_of(mac, sizeof mac), out);
}

static bool any_member(const struct cluster *c)
{
	struct peer *p, *next;
	HASH_ITER (hh, c->peers, p, next)
		if (peer_is_member(p))
			return true;
	return false;
}

/* The one we are in now: it changes when we join another. */
static void follow_membership(struct cluster *c, struct rendezvous *r)
{
	uint8_t key[P2P_KAD_MULTIHASH_SIZE];
	key_of(&c->membership, key);
	if (memcmp(key, r->key, sizeof key) == 0)
		return;
	if (r->key[0])
		p2p_kad_unprovide(c->opt.kad, bytes_of(r->key, sizeof r->key));
	memcpy(r->key, key, sizeof key);
	r->provided = false;
}

/* Those who told of a provider may have forgotten its addresses: they are asked for, then. */
static void found(struct cluster *c, const struct peer_id *id)
{
	struct multiaddr *addrs = calloc(ADDRS_KEPT_MAX, sizeof *addrs);
	struct p2p_peer_info info;
	size_t n = 0;
	if (addrs && p2p_peer_info(c->opt.host, id, &info)) {
		n = info.n_addrs < ADDRS_KEPT_MAX ? info.n_addrs : ADDRS_KEPT_MAX;
		memcpy(addrs, info.addrs, n * sizeof *addrs);
	}
	if (addrs && n == 0 &&
	    p2p_kad_find_peer(c->opt.kad, id, addrs, ADDRS_KEPT_MAX, &n, NULL) != 0)
		n = 0;
	struct peer *p = table_add(c, id, SOURCE_DHT);
	while (p && n-- > 0)
		table_add_addr(p, &addrs[n]);
	free(addrs);
}

/* E_UNAVAILABLE: there is nobody to ask yet. That nobody takes our own entry (a key has room for
 * some providers only) does not keep us from finding those who have one. */
static int look(struct cluster *c, struct rendezvous *r, struct err *err)
{
	struct bytes key = bytes_of(r->key, sizeof r->key);
	struct peer_id *ids = calloc(FOUND_MAX, sizeof *ids);
	size_t n = 0;
	if (!ids)
		return err_set(err, E_MEMORY, "no memory to look for members");
	int rc = r->provided ? 0 : p2p_kad_provide(c->opt.kad, key, err);
	r->provided = rc == 0;
	if (rc != E_CANCELLED)
		rc = p2p_kad_find_providers(c->opt.kad, key, ids, FOUND_MAX, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		found(c, &ids[i]);
	if (rc == 0)
		waitq_wake_all(&c->dial);
	free(ids);
	return rc;
}

static int64_t pause_ms(const struct cluster *c, int rc)
{
	if (rc == E_UNAVAILABLE)
		return LOOK_WAIT_MS;
	return any_member(c) ? LOOK_CALM_MS : LOOK_EAGER_MS;
}

void rendezvous_fiber(void *arg)
{
	struct cluster *c = arg;
	struct rendezvous r = {0};
	int rc = 0;
	while (rc != E_CANCELLED) {
		struct err err = {0};
		rc = E_UNAVAILABLE;
		if (c->membership.id[0]) {
			follow_membership(c, &r);
			rc = look(c, &r, &err);
			if (rc && rc != E_UNAVAILABLE && rc != E_CANCELLED)
				rt_log(LOG_DEBUG, "cluster", "looking for members: %s",
				    err_text(&err));
		}
		if (rc != E_CANCELLED)
			rc = fiber_sleep(duration_ms(pause_ms(c, rc)));
	}
}
