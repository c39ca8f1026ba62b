/* The doctor's judgement, apart from how it comes to its facts: pure functions. */
#ifndef CLUSTER_DOCTOR_PRIV_H
#define CLUSTER_DOCTOR_PRIV_H

#include "cluster/cluster_priv.h"
#include "cluster/doctor.h"

#define DOCTOR_PROTOCOL "/opengateway/doctor/1.0.0"

/* What is sent along, and wanted back, to see whether large messages pass: many full packets. */
#define DOCTOR_PAD (32u << 10)

/* Envelopes are valid for five minutes around their time; some way before that is worth a word. */
#define SKEW_FAULT_MS 300000
#define SKEW_NOTE_MS  30000

/* Discovery asks again after at most a minute: before that, silence means nothing. */
#define MDNS_SETTLED_MS 65000

/* An attempt at one socket address of `addr`. */
void judge_probe(const struct p2p_probe *probe, const struct multiaddr *addr,
    const struct peer_id *self, const struct peer_id *expected, struct doctor_finding *out);

/* What the table says about a connected peer. */
void judge_membership(const struct cluster_peer *row, struct doctor_finding *out);

/* How far the peer's clock is ahead of ours. */
void judge_clock(int64_t ahead_ms, struct doctor_finding *out);

/* Whether DOCTOR_PAD came and went: `code` is 0, or why not. */
void judge_size(int code, const char *why, struct doctor_finding *out);

/* Who has heard whom through mDNS. False: nothing to say about it. */
struct mdns_facts {
	bool we_listen, they_listen;
	bool we_heard, they_heard;
	int64_t connected_ms; /* for so long */
};
bool judge_mdns_pair(const struct mdns_facts *facts, struct doctor_finding *out);

/* Why a relay has to carry the connection to a member: what the routers in front of both ends do.
 */
void judge_relayed(enum p2p_mapping ours, enum p2p_mapping theirs, struct doctor_finding *out);

/* The router in front of this node. `dialable`: others can dial it all the same. False: nothing to
 * say. */
bool judge_router(const struct p2p_mapping_info *router, bool dialable, struct doctor_finding *out);

/* This node's own state. */
void judge_listening(const struct multiaddr *addrs, size_t n, struct doctor_finding *out);
void judge_mdns(const struct p2p_mdns_info *info, int64_t up_ms, struct doctor_finding *out);

#endif
