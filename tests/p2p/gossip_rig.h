/* What the tests of the gossip router share: one router, and peers whose every RPC is written by
 * the test. After each call the router's tables have been checked and what it sent been counted. */
#ifndef TESTS_P2P_GOSSIP_RIG_H
#define TESTS_P2P_GOSSIP_RIG_H

#include "suites.h"

#include "p2p/gossip_priv.h"

#define PEERS_MAX 40
#define TOPIC     "news"
#define OK(expr)  assert_int_equal((expr), 0)

struct rig {
	struct gossip_router *r;
	struct gossip_router_options opt;
	struct identity self, peers[PEERS_MAX];
	struct instant now;
	uint64_t seqno;
	/* since the last clear */
	unsigned sent[PEERS_MAX][GOSSIP_IDONTWANT + 1]; /* items of each kind sent to a peer */
	unsigned ids[PEERS_MAX];                        /* in IWANTs */
	uint64_t backoff[PEERS_MAX];
	unsigned px[PEERS_MAX];
	struct bytes last_id[PEERS_MAX];
	uint8_t last_id_bytes[PEERS_MAX][GOSSIP_ID_MAX];
	unsigned delivered, dialled;
	struct gossip_id last;
	enum gossip_verdict verdict;
	bool hold; /* verdicts are given by the test */
};

struct bytes rig_topic(void);
void rig_numbered_identity(unsigned n, struct identity *out);
struct rig *rig_new(void (*adjust)(struct gossip_router_options *opt));
void rig_free(struct rig *g);
void rig_take(struct rig *g);
void rig_clear(struct rig *g);
unsigned rig_total(const struct rig *g, enum gossip_item_kind kind);
void rig_pass(struct rig *g, int64_t ms);
void rig_beat(struct rig *g, unsigned n);
int rig_receive(struct rig *g, unsigned from, struct buf *rpc);
void rig_connect(struct rig *g, unsigned n, enum gossip_protocol protocol, enum p2p_direction d);
void rig_say_subscribed(struct rig *g, unsigned n, bool yes);
void rig_join(struct rig *g, unsigned first, unsigned last);
void rig_graft(struct rig *g, unsigned n);
void rig_prune(struct rig *g, unsigned n, uint64_t backoff);
uint64_t rig_message_from(struct rig *g, unsigned from, unsigned author, uint64_t seqno);
void rig_forgery_from(struct rig *g, unsigned from, unsigned author, uint64_t seqno);
double rig_score(const struct rig *g, unsigned n);
bool rig_meshed(const struct rig *g, unsigned n);
size_t rig_mesh_size(const struct rig *g);
void rig_subscribe(struct rig *g, const struct gossip_topic_params *params);
void assert_close(double a, double b);

#endif
