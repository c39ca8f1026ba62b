/* Invitations: the token that a person passes on (token.c), the issuer's record of what it has
 * given out (invite.c), and how often strangers may be wrong (guard.c). All pure: time, randomness
 * and keys are arguments; files are read and written by their callers. */
#ifndef CLUSTER_INVITE_PRIV_H
#define CLUSTER_INVITE_PRIV_H

#include "base/encode.h"
#include "cluster/cluster.h"
#include "crypto/crypto.h"
#include "dialect/json.h"

#define INVITE_ID_SIZE     8
#define INVITE_SECRET_SIZE 16
#define FINGERPRINT_SIZE   8

/* ---- token.c: what is passed on --------------------------------------------------------------
 *
 *   og1<base32 of: body, signature (64), checksum (4)>
 *   body: issuer's Ed25519 key (32), invitation id (8), secret (16), expiry in Unix seconds (u32),
 *         key fingerprint (8), cluster id (u8 + bytes), n addresses (u8), each varint + multiaddr
 *
 * The checksum, a truncated SHA-256 over prefix and all before it, finds slips of the pen; the
 * signature finds everything else. Letters are all lower or all upper case (QR codes are smaller
 * in upper case), white space is ignored. */

#define TOKEN_PREFIX   "og1"
#define TOKEN_BODY_MAX 560 /* so that the text fits into a setting */
#define TOKEN_TEXT_MAX CLUSTER_TOKEN_TEXT_MAX

struct token {
	uint8_t issuer_key[ED25519_PUBLIC_SIZE];
	struct peer_id issuer;
	uint8_t id[INVITE_ID_SIZE];
	uint8_t secret[INVITE_SECRET_SIZE];
	int64_t expires_s;
	uint8_t
	    fingerprint[FINGERPRINT_SIZE]; /* of the cluster's id and key: which cluster it is */
	char cluster[CLUSTER_ID_MAX];
	struct multiaddr addrs[CLUSTER_INVITE_ADDRS_MAX]; /* without /p2p */
	size_t n_addrs;
};

/* Signs with `issuer` and writes the text. Addresses that no longer fit are left out. */
void token_write(struct token *t, const struct identity *issuer, char out[TOKEN_TEXT_MAX]);
/* E_INVALID: no token, of a newer version, mistyped or cut off. E_BAD_SIGNATURE: tampered with.
 * The text says which, and never quotes the token. */
int token_read(const char *text, struct token *out, struct err *err) WARN_UNUSED;

/* ---- invite.c: what was given out ------------------------------------------------------------ */

struct invitation {
	uint8_t id[INVITE_ID_SIZE];
	uint8_t secret[INVITE_SECRET_SIZE];
	int64_t created_s, expires_s;
	uint32_t uses; /* 1 to INVITE_USES_MAX */
	uint32_t used;
	struct peer_id used_by[CLUSTER_INVITE_USES_MAX];
	bool revoked;
};

/* The invitations of one cluster, oldest first. Those that ended are kept for a while, so that
 * whoever comes too late is told why; they give way to new ones. */
struct invites {
	struct invitation *list[CLUSTER_INVITES_MAX];
	size_t n;
};

void invites_free(struct invites *v);
/* `random` makes id and secret. E_INVALID: uses or lifetime out of bounds. E_LIMIT: too many are
 * open. E_MEMORY. */
int invites_add(struct invites *v, const uint8_t random[INVITE_ID_SIZE + INVITE_SECRET_SIZE],
    int64_t now_s, int64_t lifetime_s, uint32_t uses, struct invitation **out,
    struct err *err) WARN_UNUSED;
struct invitation *invites_find(struct invites *v, const uint8_t id[INVITE_ID_SIZE]);
enum cluster_invite_state invitation_state(const struct invitation *i, int64_t now_s);
/* Counts a use by `who` and answers whether it may join: INVITE_OPEN when so. Whoever has used it
 * before may do so again as long as it is neither expired nor revoked: its answer may be lost. */
enum cluster_invite_state invitation_use(
    struct invitation *i, const struct peer_id *who, int64_t now_s);
/* Takes the use back: it could not be recorded. */
void invitation_unuse(struct invitation *i, const struct peer_id *who);

/* As JSON. Reading: E_FORMAT for anything that was not written here; the whole file or nothing. */
json_t *invites_json(const struct invites *v);
int invites_read(const json_t *j, struct invites *out, struct err *err) WARN_UNUSED;

/* ---- guard.c: wrong attempts ----------------------------------------------------------------- */

#define GUARD_SOURCES  64 /* remembered; the one longest quiet gives way */
#define GUARD_FAILURES 5  /* at once, from one source */
#define GUARD_EVERY_S  12 /* one more allowed after so long */

/* Failures per source (an IP address as text, cut to fit). Who fails too often is not even
 * listened to for a while. Zero-initialised is empty. */
struct guard {
	struct guard_source {
		char name[48];
		unsigned failures;
		int64_t since_s; /* of the last change */
	} sources[GUARD_SOURCES];
};

bool guard_allows(struct guard *g, const char *source, int64_t now_s);
void guard_failed(struct guard *g, const char *source, int64_t now_s);

#endif
