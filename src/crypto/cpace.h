/* CPace: two parties who share a short password agree on a strong key, so that whoever listens or
 * takes part learns at most whether one guess was right. SPEC draft-irtf-cfrg-cpace, the suite
 * CPACE-RISTR255-SHA512, initiator and responder. Pure: randomness is an argument. */
#ifndef CRYPTO_CPACE_H
#define CRYPTO_CPACE_H

#include "base/bytes.h"

#define CPACE_RANDOM_SIZE 32
#define CPACE_SHARE_SIZE  32
#define CPACE_KEY_SIZE    64
#define CPACE_TAG_SIZE    64
#define CPACE_INPUT_MAX   256 /* bytes of each input, and of each party's associated data */

enum cpace_role {
	CPACE_INITIATOR,
	CPACE_RESPONDER
};

/* What both sides have to agree on beforehand. All borrowed. */
struct cpace_input {
	struct bytes password;
	struct bytes channel; /* CI: who speaks to whom */
	struct bytes session; /* sid: never the same twice */
};

/* One party's run. Secret: wipe it. */
struct cpace {
	uint8_t scalar[CPACE_SHARE_SIZE];
	uint8_t share[CPACE_SHARE_SIZE]; /* Y: to be sent */
};

/* Inputs longer than CPACE_INPUT_MAX are a bug. E_INTERNAL for randomness that is all zero. */
int cpace_begin(struct cpace *c, const struct cpace_input *in,
    const uint8_t random[CPACE_RANDOM_SIZE], struct err *err) WARN_UNUSED;

/* The intermediate session key. `ad` and `peer_ad` are what each party bound to its share; may be
 * empty. E_PROTOCOL for a share that is no element of the group, or its neutral one. */
int cpace_finish(const struct cpace *c, enum cpace_role role, struct bytes session, struct bytes ad,
    const uint8_t peer_share[CPACE_SHARE_SIZE], struct bytes peer_ad, uint8_t key[CPACE_KEY_SIZE],
    struct err *err) WARN_UNUSED;

/* The tag by which the sender of `share` shows that it has the key (section "Key confirmation",
 * with HMAC-SHA-512). `ad` has at most 127 bytes. */
void cpace_tag(struct bytes session, const uint8_t key[CPACE_KEY_SIZE],
    const uint8_t share[CPACE_SHARE_SIZE], struct bytes ad, uint8_t out[CPACE_TAG_SIZE]);

#endif
