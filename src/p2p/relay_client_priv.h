/* What relay_client.c (circuits) and relay_slots.c (reservations) share. */
#ifndef P2P_RELAY_CLIENT_PRIV_H
#define P2P_RELAY_CLIENT_PRIV_H

#include "p2p/host_priv.h"
#include "p2p/relay_wire_priv.h"

#define SLOTS_MAX           8
#define CANDIDATE_ADDRS_MAX 4 /* of ours through one relay */

/* A relay that we may use. */
struct candidate {
	bool used; /* this place of the table is taken */
	bool busy; /* a slot has it */
	bool given, forgotten;
	struct peer_id relay;
	struct multiaddr addr; /* with /p2p; n 0: known from the peer book */
	bool reserved;
	struct instant until;
	struct multiaddr addrs[CANDIDATE_ADDRS_MAX];
	size_t n_addrs;
	unsigned failures; /* in a row */
	struct instant retry_at;
	char failure[160];
};

struct slot {
	struct relay_listening *l;
	size_t index;
	bool running;
};

struct relay_listening {
	struct p2p_host *host;
	struct candidate v[P2P_RELAYS_MAX];
	struct slot slots[SLOTS_MAX];
	size_t want;
	bool discover;
	p2p_relay_trust_fn trust; /* asked about those that were discovered; NULL: all are */
	void *trust_arg;
	unsigned n_incoming;
	struct waitq changed; /* candidates or wishes */
};

/* [parks] One request and its answer on a hop stream: 0 when it is STATUS OK; `answer` is then to
 * be freed and borrows from `in`. E_REFUSED, E_BUSY (the relay is full), E_PROTOCOL… */
int relay_ask(struct stream *s, const struct relay_hop *ask, struct buf *in,
    struct relay_hop *answer, struct err *err) WARN_UNUSED;

/* Whether we hold a reservation with this relay. */
bool relay_is_ours(const struct relay_listening *l, const struct peer_id *relay);

/* The handler of the stop protocol; its argument is the host's relay_listening. */
void relay_stop_serve(void *arg, struct stream *s, const struct p2p_stream_info *info);

#endif
