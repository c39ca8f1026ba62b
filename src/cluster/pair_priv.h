/* Pairing by a six-digit code: the code's window, and the four messages of one attempt. Pure.
 *
 *   guest -> host   version (1), nonce (16), CPace share (32)
 *   host  -> guest  status (1), CPace share (32)
 *   guest -> host   tag (64)
 *   host  -> guest  status (1), tag (64); when all is well an answer with the cluster follows
 *
 * The guest, who may be guessing, shows its tag first, so a host never tells a stranger anything
 * about the code but "wrong". The session id is the connection's binding and the nonce, the
 * channel both peer ids with their roles. */
#ifndef CLUSTER_PAIR_PRIV_H
#define CLUSTER_PAIR_PRIV_H

#include "cluster/cluster.h"
#include "crypto/crypto.h"

#define PAIR_PROTOCOL     "/opengateway/pair/1.0.0"
#define PAIR_VERSION      1
#define PAIR_NONCE_SIZE   16
#define PAIR_OFFER_SIZE   (1 + PAIR_NONCE_SIZE + CPACE_SHARE_SIZE)
#define PAIR_REPLY_SIZE   (1 + CPACE_SHARE_SIZE)
#define PAIR_VERDICT_SIZE (1 + CPACE_TAG_SIZE)
#define PAIR_WRONG_MAX    3

enum pair_status {
	PAIR_OK,
	PAIR_CLOSED, /* no code is shown (any more) */
	PAIR_WRONG,
	PAIR_BUSY /* another attempt is under way */
};

/* ---- the window ---- */

struct pair_window {
	char code[CLUSTER_PAIR_CODE_SIZE];
	struct instant ends;
	unsigned wrong;
	bool done;
};

enum pair_window_state {
	WINDOW_OPEN,
	WINDOW_DONE,
	WINDOW_WRONG, /* too many wrong codes */
	WINDOW_EXPIRED
};

void pair_window_open(struct pair_window *w, uint64_t random, struct instant now);
enum pair_window_state pair_window_state(const struct pair_window *w, struct instant now);
/* Every attempt counts as wrong from its beginning, so that breaking off costs one too. */
void pair_window_attempt(struct pair_window *w);
void pair_window_success(struct pair_window *w);

bool pair_code_valid(const char *code);

/* ---- one attempt ---- */

/* Secret: wipe it. */
struct pair_run {
	enum cpace_role role; /* the guest is the initiator */
	uint8_t session[P2P_BINDING_SIZE + PAIR_NONCE_SIZE];
	struct cpace cpace;
	uint8_t own_tag[CPACE_TAG_SIZE], peer_tag[CPACE_TAG_SIZE];
};

/* What both sides know of the connection. */
struct pair_channel {
	uint8_t binding[P2P_BINDING_SIZE];
	struct peer_id guest, host;
};

/* `random` makes nonce and scalar. */
int pair_guest_offer(struct pair_run *r, const char *code, const struct pair_channel *ch,
    const uint8_t random[PAIR_NONCE_SIZE + CPACE_RANDOM_SIZE], uint8_t out[PAIR_OFFER_SIZE],
    struct err *err) WARN_UNUSED;
/* E_PROTOCOL: another version, or no share. */
int pair_host_reply(struct pair_run *r, const char *code, const struct pair_channel *ch,
    const uint8_t offer[PAIR_OFFER_SIZE], const uint8_t random[CPACE_RANDOM_SIZE],
    uint8_t out[PAIR_REPLY_SIZE], struct err *err) WARN_UNUSED;
/* E_UNAVAILABLE: no code is shown there; E_BUSY; E_PROTOCOL. */
int pair_guest_confirm(struct pair_run *r, const uint8_t reply[PAIR_REPLY_SIZE],
    uint8_t out[CPACE_TAG_SIZE], struct err *err) WARN_UNUSED;
/* What the host answers to the guest's tag; E_FORBIDDEN with a verdict that says so. */
int pair_host_verdict(struct pair_run *r, const uint8_t tag[CPACE_TAG_SIZE],
    uint8_t out[PAIR_VERDICT_SIZE], struct err *err) WARN_UNUSED;
/* E_FORBIDDEN: the host says that the code is wrong; E_PROTOCOL: the host does not know it. */
int pair_guest_finish(const struct pair_run *r, const uint8_t verdict[PAIR_VERDICT_SIZE],
    struct err *err) WARN_UNUSED;

#endif
