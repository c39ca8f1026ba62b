/* The inside of the DHT: what kad_service.c (life and upkeep), kad_server.c (answers) and
 * kad_client.c (questions) share. The cores in kad_table, kad_lookup, kad_store and kad_wire
 * decide; these drive them.
 *
 * Ownership: the object is a talloc child of its host and its shell stays until the host ends,
 * since a stream may be about to reach its handler when it closes; everything in it goes with
 * p2p_kad_close. Fibers of its own live in kad->scope; those of inbound streams in their
 * connection's scope, listed in kad->serving so that closing can end them. */
#ifndef P2P_KAD_PRIV_H
#define P2P_KAD_PRIV_H

#include "p2p/host_priv.h"
#include "p2p/kad.h"
#include "p2p/kad_lookup_priv.h"
#include "p2p/kad_store_priv.h"
#include "p2p/kad_table_priv.h"

#define KAD_PREFIX_MAX           96
#define KAD_CHECKERS             3   /* fibers that check candidates */
#define KAD_SERVING_MAX          256 /* inbound streams in all; then the longest idle give way */
#define KAD_SERVING_PER_PEER_MAX 8
#define KAD_OWN_PROVIDED_MAX     256 /* keys that we provide */
#define KAD_OWN_VALUES_MAX       64  /* values that we renew */

/* An inbound stream; lives on its handler's stack. */
struct kad_serving {
	struct res_idle idle; /* since its last request */
	struct stream *stream;
	struct peer_id peer;
	bool ending; /* gave way */
};

/* Something of our own that is published again and again. */
struct kad_own {
	struct kad_own *next;
	bool is_value;
	struct instant published; /* ns 0: not yet */
	struct instant tried;
	struct buf key, value;
};

struct p2p_kad {
	struct p2p_host *host;
	struct scope scope;
	char protocol[P2P_PROTOCOL_MAX + 1];
	enum p2p_kad_mode mode; /* client or server */
	bool automatic;
	struct instant dialled; /* by others, last; ns 0: never */
	bool closed;
	struct p2p_kad_options options;
	struct p2p_kad_validator validators[KAD_VALIDATORS_MAX];
	struct kad_table table;
	struct kad_store store;
	struct waitq suggested;  /* candidates or members came */
	struct res_list serving; /* the longest idle first */
	size_t n_serving, n_ending;
	struct waitq served; /* one of them ended */
	struct kad_own *own;
	uint64_t requests_in, requests_out, refused_in, lookups;
};

/* ---- kad_service.c ---- */
/* The network that a connected peer is seen in. */
struct kad_net kad_net_of_peer(const struct p2p_kad *k, const struct peer_id *id);
/* The address that a peer is connected from, or NULL. */
const struct multiaddr *kad_remote(const struct p2p_kad *k, const struct peer_id *id);
/* Whether somebody seen at `other` (may be NULL) can use the address, or can be believed about it:
 * loopback among neighbours, private ones not to the public. */
bool kad_addr_fits(const struct multiaddr *addr, const struct multiaddr *other);
/* Outcomes of requests, for the table. */
void kad_note_answer(struct p2p_kad *k, const struct peer_id *id);
void kad_note_failure(struct p2p_kad *k, const struct peer_id *id, int code);

/* ---- kad_server.c ---- */
void kad_serve(void *kad, struct stream *s, const struct p2p_stream_info *info);
/* Resets all that is served: their handlers end. */
void kad_end_serving(struct p2p_kad *k);

/* ---- kad_client.c ---- */
/* [parks] One request; the table hears of its outcome. The caller frees *answer, which borrows from
 * `in`; to ADD_PROVIDER it is only the sign that it was taken. */
int kad_request(struct p2p_kad *k, const struct peer_id *peer, struct bytes request,
    enum kad_type type, struct buf *in, struct kad_message *answer, struct err *err) WARN_UNUSED;
/* [parks] Asks a peer for those nearest to us, to see whether it is there. */
void kad_check_peer(struct p2p_kad *k, const struct peer_id *peer);
/* [parks] A lookup for a peer id, for the sake of the table. */
int kad_visit(struct p2p_kad *k, const struct peer_id *target, struct err *err) WARN_UNUSED;
/* [parks] Sends it to the nearest peers. It may be gone when this returns. */
int kad_publish(struct p2p_kad *k, struct kad_own *own, struct err *err) WARN_UNUSED;

#endif
