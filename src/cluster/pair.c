/* Pairing, the pure part. See pair_priv.h. */
#include "cluster/pair_priv.h"

#include <stdio.h>
#include <string.h>

#define CHANNEL_CONTEXT "opengateway pair 1"
#define CODES           1000000u

/* Different for the two roles, so that nothing of one serves as the other's. */
static struct bytes role_data(enum cpace_role role)
{
	return bytes_str(role == CPACE_INITIATOR ? "guest" : "host");
}

/* ---- the window ---------------------------------------------------------------------------- */

void pair_window_open(struct pair_window *w, uint64_t random, struct instant now)
{
	*w = (struct pair_window){.ends = instant_add(now, duration_s(CLUSTER_PAIR_SECONDS))};
	/* Of 2^64 values; the first codes are likelier by less than one in 10^13. */
	snprintf(w->code, sizeof w->code, "%06u", (unsigned)(random % CODES));
}

enum pair_window_state pair_window_state(const struct pair_window *w, struct instant now)
{
	if (w->done)
		return WINDOW_DONE;
	if (w->wrong >= PAIR_WRONG_MAX)
		return WINDOW_WRONG;
	return instant_before(now, w->ends) ? WINDOW_OPEN : WINDOW_EXPIRED;
}

void pair_window_attempt(struct pair_window *w)
{
	w->wrong++;
}

void pair_window_success(struct pair_window *w)
{
	w->done = true;
}

bool pair_code_valid(const char *code)
{
	return strlen(code) == CLUSTER_PAIR_CODE_SIZE - 1 &&
	       strspn(code, "0123456789") == CLUSTER_PAIR_CODE_SIZE - 1;
}

/* ---- one attempt --------------------------------------------------------------------------- */

static int begin(struct pair_run *r, enum cpace_role role, const char *code,
    const struct pair_channel *ch, const uint8_t *nonce, const uint8_t *random, struct err *err)
{
	struct buf channel = BUF_INIT(CPACE_INPUT_MAX);
	*r = (struct pair_run){.role = role};
	memcpy(r->session, ch->binding, P2P_BINDING_SIZE);
	memcpy(r->session + P2P_BINDING_SIZE, nonce, PAIR_NONCE_SIZE);
	buf_str(&channel, CHANNEL_CONTEXT);
	buf_u8(&channel, ch->guest.n);
	buf_bytes(&channel, peer_id_bytes(&ch->guest));
	buf_u8(&channel, ch->host.n);
	buf_bytes(&channel, peer_id_bytes(&ch->host));
	INVARIANT(!channel.failed);
	struct cpace_input in = {.password = bytes_str(code),
	    .channel = buf_view(&channel),
	    .session = bytes_of(r->session, sizeof r->session)};
	int rc = cpace_begin(&r->cpace, &in, random, err);
	buf_free(&channel);
	return rc;
}

static int meet(struct pair_run *r, const uint8_t *peer_share, struct err *err)
{
	enum cpace_role other = r->role == CPACE_INITIATOR ? CPACE_RESPONDER : CPACE_INITIATOR;
	struct bytes session = bytes_of(r->session, sizeof r->session);
	uint8_t key[CPACE_KEY_SIZE];
	int rc = cpace_finish(&r->cpace, r->role, session, role_data(r->role), peer_share,
	    role_data(other), key, err);
	if (rc)
		return rc;
	cpace_tag(session, key, r->cpace.share, role_data(r->role), r->own_tag);
	cpace_tag(session, key, peer_share, role_data(other), r->peer_tag);
	secret_wipe(key, sizeof key);
	return 0;
}

int pair_guest_offer(struct pair_run *r, const char *code, const struct pair_channel *ch,
    const uint8_t random[PAIR_NONCE_SIZE + CPACE_RANDOM_SIZE], uint8_t out[PAIR_OFFER_SIZE],
    struct err *err)
{
	int rc = begin(r, CPACE_INITIATOR, code, ch, random, random + PAIR_NONCE_SIZE, err);
	if (rc)
		return rc;
	out[0] = PAIR_VERSION;
	memcpy(out + 1, random, PAIR_NONCE_SIZE);
	memcpy(out + 1 + PAIR_NONCE_SIZE, r->cpace.share, CPACE_SHARE_SIZE);
	return 0;
}

int pair_host_reply(struct pair_run *r, const char *code, const struct pair_channel *ch,
    const uint8_t offer[PAIR_OFFER_SIZE], const uint8_t random[CPACE_RANDOM_SIZE],
    uint8_t out[PAIR_REPLY_SIZE], struct err *err)
{
	if (offer[0] != PAIR_VERSION)
		return err_set(err, E_PROTOCOL, "pairing of version %u", offer[0]);
	int rc = begin(r, CPACE_RESPONDER, code, ch, offer + 1, random, err);
	if (rc == 0)
		rc = meet(r, offer + 1 + PAIR_NONCE_SIZE, err);
	if (rc)
		return rc;
	out[0] = PAIR_OK;
	memcpy(out + 1, r->cpace.share, CPACE_SHARE_SIZE);
	return 0;
}

static int status_error(uint8_t status, struct err *err)
{
	switch (status) {
	case PAIR_OK:
		return 0;
	case PAIR_CLOSED:
		return err_set(err, E_UNAVAILABLE, "no code is shown there any more");
	case PAIR_WRONG:
		return err_set(err, E_FORBIDDEN, "wrong code");
	case PAIR_BUSY:
		return err_set(err, E_BUSY, "another machine is pairing there just now");
	default:
		return err_set(err, E_PROTOCOL, "an unknown answer to pairing");
	}
}

int pair_guest_confirm(struct pair_run *r, const uint8_t reply[PAIR_REPLY_SIZE],
    uint8_t out[CPACE_TAG_SIZE], struct err *err)
{
	int rc = status_error(reply[0], err);
	if (rc == 0)
		rc = meet(r, reply + 1, err);
	if (rc == 0)
		memcpy(out, r->own_tag, CPACE_TAG_SIZE);
	return rc;
}

int pair_host_verdict(struct pair_run *r, const uint8_t tag[CPACE_TAG_SIZE],
    uint8_t out[PAIR_VERDICT_SIZE], struct err *err)
{
	memset(out, 0, PAIR_VERDICT_SIZE);
	if (!secret_equal(tag, r->peer_tag, CPACE_TAG_SIZE)) {
		out[0] = PAIR_WRONG;
		return err_set(err, E_FORBIDDEN, "wrong code");
	}
	out[0] = PAIR_OK;
	memcpy(out + 1, r->own_tag, CPACE_TAG_SIZE);
	return 0;
}

int pair_guest_finish(
    const struct pair_run *r, const uint8_t verdict[PAIR_VERDICT_SIZE], struct err *err)
{
	int rc = status_error(verdict[0], err);
	if (rc == 0 && !secret_equal(verdict + 1, r->peer_tag, CPACE_TAG_SIZE))
		rc = err_set(err, E_PROTOCOL, "the other side does not know the code itself");
	return rc;
}
