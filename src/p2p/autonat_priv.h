/* AutoNAT's messages, the count of the answers, and the server's rates: pure. SPEC autonat v1. */
#ifndef P2P_AUTONAT_PRIV_H
#define P2P_AUTONAT_PRIV_H

#include "p2p/peer_record_priv.h"
#include "p2p/reach.h"

#define AUTONAT_PROTOCOL    "/libp2p/autonat/1.0.0"
#define AUTONAT_MESSAGE_MAX 4096
#define AUTONAT_ADDRS_MAX   16 /* of a request; more are ignored */

/* ---- messages ------------------------------------------------------------------------------ */

enum autonat_status {
	AUTONAT_OK = 0,
	AUTONAT_DIAL_ERROR = 100,
	AUTONAT_DIAL_REFUSED = 101,
	AUTONAT_BAD_REQUEST = 200,
	AUTONAT_INTERNAL_ERROR = 300,
};

struct autonat_dial {
	struct peer_id peer; /* empty when absent */
	struct addr_list addrs;
};

struct autonat_response {
	uint32_t status;
	const char *text;      /* when writing: a literal, or NULL */
	struct multiaddr addr; /* n 0: none */
};

/* E_PROTOCOL, E_MEMORY; nothing to free then. */
int autonat_dial_decode(struct bytes in, struct autonat_dial *out, struct err *err) WARN_UNUSED;
void autonat_dial_free(struct autonat_dial *m);
void autonat_dial_encode(const struct autonat_dial *m, struct buf *out);
int autonat_response_decode(
    struct bytes in, struct autonat_response *out, struct err *err) WARN_UNUSED;
void autonat_response_encode(const struct autonat_response *m, struct buf *out);

/* ---- the count ----------------------------------------------------------------------------- */

#define AUTONAT_VOTERS_MAX 16
#define AUTONAT_AGREE      3 /* SPEC: more than so many decide */
#define AUTONAT_VOTE_AGE_S 3600

/* Each peer has one vote, its last. Zero-initialised is empty. */
struct autonat_votes {
	struct {
		struct peer_id peer;
		struct instant at;
		bool dialled;
	} v[AUTONAT_VOTERS_MAX];
	size_t n;
	enum p2p_reach reach;
};
/* Counts an answer and decides anew. The oldest vote makes room. */
void autonat_vote(
    struct autonat_votes *v, const struct peer_id *peer, bool dialled, struct instant now);
/* Drops old votes; then `dialled` and `failed` are how many say so. */
void autonat_count(
    struct autonat_votes *v, struct instant now, unsigned *dialled, unsigned *failed);
/* When the peer answered last; ns 0: never. */
struct instant autonat_voted(const struct autonat_votes *v, const struct peer_id *peer);

/* ---- the server's rates -------------------------------------------------------------------- */

#define AUTONAT_ASKERS_MAX 64

/* Zero-initialised, but for the limits, is empty. */
struct autonat_rate {
	uint32_t per_peer, per_minute;
	struct instant began; /* the minute */
	struct {
		struct peer_id peer;
		uint32_t n;
	} asked[AUTONAT_ASKERS_MAX];
	size_t n_asked;
	uint32_t n;
};
/* Whether one more request may be served now, which it then counts. */
bool autonat_admit(struct autonat_rate *r, const struct peer_id *peer, struct instant now);

/* ---- whom to dial -------------------------------------------------------------------------- */

/* SPEC autonat, "Security Considerations": only where the request comes from. Those of `addrs` that
 * are TCP on that IP address, as socket addresses; at most `cap`. */
size_t autonat_targets(
    const struct addr_list *addrs, const struct netaddr *observed, struct netaddr *out, size_t cap);

#endif
