/* The inside of access: the decision (access.c), parties and their limits (party.c), the text of
 * keys (key.c), keys and peers with their rows (keys.c, peers.c). */
#ifndef ACCESS_ACCESS_PRIV_H
#define ACCESS_ACCESS_PRIV_H

#include "access/access.h"
#include "crypto/hash.h"

#include <uthash.h>

/* Whoever limits are kept for: a key, a peer, an address. */
struct access_party {
	struct token_bucket requests, tokens;
	uint32_t refs;    /* grants */
	uint32_t running; /* those of them that count */
	unsigned rights;
	const char *models; /* patterns; "": all */
	struct access_limits limits;
	bool listed; /* false: its record is gone, and the last grant frees it */
	void (*free)(struct access_party *p);
};

struct key_entry {
	struct access_party party; /* first */
	struct access_key key;
	uint8_t hash[SHA256_SIZE];
	bool used;         /* since it was last written */
	UT_hash_handle hh; /* by key.id */
};

struct peer_entry {
	struct access_party party; /* first */
	struct access_peer peer;
	UT_hash_handle hh; /* by peer.id */
};

#define GUEST_ID_MAX (1 + PEER_ID_MAX)

/* An address or a peer without a record of its own: forgotten when it was long gone. */
struct guest {
	struct access_party party; /* first */
	uint8_t id[GUEST_ID_MAX];
	UT_hash_handle hh;
	struct guest *next, *prev; /* least lately seen first */
};

struct access {
	struct access_options opt;
	struct scope scope;
	struct key_entry *keys;
	struct peer_entry *peers;
	struct guest *guests, *order;
	size_t n_guests;
	size_t n_valid;  /* keys that are not revoked */
	bool dirty;      /* some key was used */
	struct sem turn; /* one change of keys or peers at a time */
};

/* ---- key.c: pure ---- */

/* Writes a key's text and its public part from random bytes. */
void key_make(void (*draw)(void *arg, void *buf, size_t n), void *arg,
    char text[ACCESS_KEY_TEXT_MAX], char id[ACCESS_KEY_ID_MAX]);
/* The public part of a text that has the form of a key, with a good checksum. E_UNAUTHORIZED. */
int key_parse(const char *text, char id[ACCESS_KEY_ID_MAX], struct err *err) WARN_UNUSED;
void key_hash(const char *text, uint8_t out[SHA256_SIZE]);
/* Whether one of the patterns fits; "" fits all. */
bool models_fit(const char *patterns, const char *model);
/* E_INVALID for a list that is none. */
int models_check(const char *patterns, struct err *err) WARN_UNUSED;
/* E_INVALID for a name with characters that do not belong in one. */
int name_check(const char *what, const char *name, struct err *err) WARN_UNUSED;
int limits_check(const struct access_limits *l, struct err *err) WARN_UNUSED;

/* ---- party.c ---- */

/* Takes one request, and `tokens`, or says when to come back, in the grant. */
int party_take(struct access_party *p, struct access_grant *g, int64_t tokens, struct instant now,
    struct err *err) WARN_UNUSED;
int party_take_tokens(struct access_party *p, struct access_grant *g, int64_t tokens,
    struct instant now, struct err *err) WARN_UNUSED;
void party_settle(struct access_party *p, int64_t reserved, int64_t tokens, struct instant now);
void party_unlist(struct access_party *p);
void party_release(struct access_party *p);
/* The party of an address or a peer without a record. E_UNAVAILABLE when all have requests under
 * way. */
int guest_of(
    struct access *a, const uint8_t *id, size_t n, struct guest **out, struct err *err) WARN_UNUSED;
void guests_free(struct access *a);

/* ---- keys.c, peers.c ---- */

int keys_load(struct access *a, struct err *err) WARN_UNUSED;
void keys_free(struct access *a);
struct key_entry *key_find(struct access *a, const char *id);
/* Writes when keys were last used. */
void keys_flush(struct access *a);
int trusted_load(struct access *a, struct err *err) WARN_UNUSED;
void trusted_free(struct access *a);
struct peer_entry *trusted_find(struct access *a, const struct peer_id *id);

#endif
