/* Kademlia, libp2p's distributed hash table: finding peers, who provides what, and small values,
 * over the machines that take part. SPEC libp2p kad-dht.
 *
 *   protocol: <prefix>/kad/1.0.0     k 20, alpha 10     distance: XOR of SHA-256
 *
 * A server answers others and is in their tables; a client only asks. Peers enter the routing table
 * when identify lists the protocol and they answered a request.
 *
 * Everything here is for fibers of the host's loop thread; [parks] as in p2p.h. What strangers say
 * is bounded everywhere and believed nowhere: values count when their validator says so, addresses
 * are only tried, and the peer at the other end is whoever the handshake proves it is. */
#ifndef P2P_KAD_H
#define P2P_KAD_H

#include "p2p/p2p.h"

struct p2p_kad;

enum p2p_kad_mode {
	P2P_KAD_CLIENT,
	P2P_KAD_SERVER,
	/* A server as long as others can dial us, else a client: AutoNAT (p2p/reach.h) says so, and
	 * while it does not know, that somebody has dialled us within the hour. Others are told of
	 * each change. */
	P2P_KAD_AUTO
};

#define P2P_KAD_PREFIX_DEFAULT "/opengateway"
#define P2P_KAD_KEY_MAX        256
#define P2P_KAD_VALUE_MAX      32768
#define P2P_KAD_MULTIHASH_SIZE 34 /* of SHA-256 */

/* The values under keys that begin with `prefix`; without a validator a key is neither stored nor
 * believed. Neither function may park. */
struct p2p_kad_validator {
	const char *prefix; /* "/og/"; copied */
	/* 0, or an error that says what is wrong. */
	int (*validate)(void *arg, struct bytes key, struct bytes value, struct err *err);
	/* Whether `b` is better than `a`; both are valid. NULL: the one that was there first stays.
	 */
	bool (*prefers)(void *arg, struct bytes key, struct bytes a, struct bytes b);
	void *arg;
};

struct p2p_kad_options {
	enum p2p_kad_mode mode;
	const char *prefix; /* of the protocol's name; copied */
	const struct p2p_kad_validator *validators;
	size_t n_validators;           /* at most 8 */
	unsigned alpha;                /* requests under way in a lookup */
	unsigned paths;                /* disjoint ones, 1..8 */
	unsigned quorum;               /* answers with a value that end p2p_kad_get */
	struct duration request;       /* one request, dialling included */
	struct duration lookup;        /* a whole lookup */
	struct duration refresh_every; /* the table's upkeep */
};

/* Server, default prefix, no validators, SPEC's figures. */
void p2p_kad_options_default(struct p2p_kad_options *opt);

/* Begins to take part. `h` must outlive it. E_INVALID (prefix), E_LIMIT (validators), E_EXISTS (the
 * protocol is served already), E_MEMORY. */
int p2p_kad_new(struct p2p_host *h, const struct p2p_kad_options *opt, struct p2p_kad **out,
    struct err *err) WARN_UNUSED;
/* [parks] Ends its streams and fibers and frees. Before p2p_host_close; no other fiber may be
 * inside a call. NULL is nothing to do. */
void p2p_kad_close(struct p2p_kad *k);

/* "<prefix>/kad/1.0.0" */
const char *p2p_kad_protocol(const struct p2p_kad *k);
/* Changes sides. Connected peers are told. E_LIMIT, E_EXISTS. */
int p2p_kad_set_mode(struct p2p_kad *k, enum p2p_kad_mode mode, struct err *err) WARN_UNUSED;

struct p2p_kad_info {
	enum p2p_kad_mode mode;                   /* as it is now: client or server */
	size_t peers;                             /* in the routing table */
	size_t candidates;                        /* that are to be checked */
	size_t records, provided_keys, providers; /* kept for others and ourselves */
	uint64_t requests_in, requests_out, refused_in, lookups;
};
void p2p_kad_info(const struct p2p_kad *k, struct p2p_kad_info *out);

/* [parks] Fills the table: looks for ourselves and into each part of the key space that was not
 * visited lately. Runs by itself when the first peer is known and every `refresh_every`.
 * E_UNAVAILABLE: no peer is known. */
int p2p_kad_bootstrap(struct p2p_kad *k, struct err *err) WARN_UNUSED;

/* [parks] Addresses of a peer, which are also remembered for dialling. At most `cap`; *n is how
 * many were written. E_NOT_FOUND; E_UNAVAILABLE: no peer to ask is known. */
int p2p_kad_find_peer(struct p2p_kad *k, const struct peer_id *peer, struct multiaddr *addrs,
    size_t cap, size_t *n, struct err *err) WARN_UNUSED;

/* [parks] The peers nearest to a key that answered, nearest first; at most min(cap, 20). */
int p2p_kad_closest(struct p2p_kad *k, struct bytes key, struct peer_id *out, size_t cap, size_t *n,
    struct err *err) WARN_UNUSED;

/* The key under which the holders of something are listed: its SHA-256 multihash. */
void p2p_kad_multihash(struct bytes of, uint8_t out[P2P_KAD_MULTIHASH_SIZE]);

/* [parks] Announces that we provide `key`, a multihash, and again every 22 hours until
 * p2p_kad_unprovide (what others keep then expires). At most 256 keys. E_INVALID, E_LIMIT;
 * E_UNAVAILABLE: nobody took it now, it is tried again at the next refresh. */
int p2p_kad_provide(struct p2p_kad *k, struct bytes key, struct err *err) WARN_UNUSED;
void p2p_kad_unprovide(struct p2p_kad *k, struct bytes key);

/* [parks] Who provides a key: at most `cap`, the search ends when so many are found. Their
 * addresses are remembered (p2p_peer_info, p2p_dial). None found is no error: *n is 0. E_INVALID;
 * E_UNAVAILABLE. */
int p2p_kad_find_providers(struct p2p_kad *k, struct bytes key, struct peer_id *out, size_t cap,
    size_t *n, struct err *err) WARN_UNUSED;

/* [parks] Stores a value with the peers nearest to the key, and here; again every 22 hours until
 * another is put. At most 64 keys. What the validator says, E_UNSUPPORTED without one, E_LIMIT,
 * E_EXISTS (a better value is known here); E_UNAVAILABLE: nobody else took it now, it is tried
 * again at the next refresh. */
int p2p_kad_put(
    struct p2p_kad *k, struct bytes key, struct bytes value, struct err *err) WARN_UNUSED;

/* [parks] The best valid value, appended to `out`. Peers among the nearest that had a worse one, or
 * none, are given it. E_NOT_FOUND; E_UNSUPPORTED; E_UNAVAILABLE. */
int p2p_kad_get(struct p2p_kad *k, struct bytes key, struct buf *out, struct err *err) WARN_UNUSED;

#endif
