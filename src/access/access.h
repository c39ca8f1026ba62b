/* Access: who may do what, and how much of it. One decision for every request, whoever asks:
 *
 *   a key     its scopes, models and limits, whatever address it comes from;
 *   a peer    its rights when it is trusted by name, those of members when it is a member of the
 *             cluster, those of strangers otherwise: none, unless the node is public;
 *   nobody    an address without a key: everything on this machine, as long as there is no key and
 *             none is required; from elsewhere nothing, or (where the owner says so) the usual.
 *
 * Keys are `og-`, eight characters by which they are known, a secret of 256 bits and a checksum
 * against slips of the pen. What is stored is the SHA-256 of the whole text: nobody can try out
 * 2^256 secrets, so a slow hash would only slow us down. A key is looked up by its public part and
 * compared in constant time; it is shown once.
 *
 * Requests and tokens are limited by token buckets, concurrent requests by a count. Tokens are
 * reserved by an estimate before the answer and settled after it; what an answer took beyond that
 * is a debt of at most one minute's tokens.
 *
 * Nothing here parks but what is marked. Loop thread. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include "base/bucket.h"
#include "crypto/peer_id.h"
#include "dialect/inference.h"
#include "store/store.h"

struct access;

#define ACCESS_KEYS_MAX     4096
#define ACCESS_PEERS_MAX    4096 /* trusted by name */
#define ACCESS_GUESTS_MAX   4096 /* addresses and peers without a record of their own, in memory */
#define ACCESS_NAME_MAX     64   /* bytes of a name, with its NUL */
#define ACCESS_MODELS_MAX   512  /* bytes of a list of patterns, with its NUL */
#define ACCESS_KEY_TEXT_MAX 64   /* of a key, with its NUL */
#define ACCESS_KEY_ID_MAX   9
#define ACCESS_OWNER_MAX    96
#define ACCESS_RETRY_MAX_MS 60000 /* longest advice when to come back */
#define ACCESS_USED_FLUSH_S 60    /* how much of "last used" a crash may lose */

/* What somebody may do. */
enum access_right {
	ACCESS_INFER = 1 << 0,   /* chat, completions, responses, messages */
	ACCESS_EMBED = 1 << 1,   /* embeddings */
	ACCESS_MODELS = 1 << 2,  /* list models */
	ACCESS_RECORDS = 1 << 3, /* read everybody's request records */
	ACCESS_ADMIN = 1 << 4    /* everything */
};
#define ACCESS_RIGHTS_USUAL (ACCESS_INFER | ACCESS_EMBED | ACCESS_MODELS)
#define ACCESS_RIGHTS_ALL   (ACCESS_RIGHTS_USUAL | ACCESS_RECORDS | ACCESS_ADMIN)

/* "inference,embeddings,models,records,admin", "none". */
void access_rights_print(unsigned rights, char out[ACCESS_NAME_MAX]);
/* E_INVALID with the choices. */
int access_rights_parse(const char *text, unsigned *out, struct err *err) WARN_UNUSED;

/* 0: no limit. */
struct access_limits {
	int64_t requests_per_min, tokens_per_min;
	uint32_t concurrent;
};

/* Who of the network may use this node. */
enum access_share {
	ACCESS_PRIVATE, /* nobody but this machine and who has a key */
	ACCESS_FRIENDS, /* and members of the cluster, and peers trusted by name */
	ACCESS_PUBLIC   /* and every peer, within the limits of strangers */
};
int access_share_parse(const char *text, enum access_share *out, struct err *err) WARN_UNUSED;

struct access_options {
	struct world *world;
	struct store *store; /* opened with access_schema */
	bool require_key;
	bool remote_keyless; /* other machines are as free as this one while there is no key */
	enum access_share share;
	struct access_limits address;  /* of each address without a key */
	struct access_limits member;   /* of each member that is not trusted by name */
	struct access_limits stranger; /* of each stranger, where the node is public */
};

extern const struct store_schema access_schema;

/* [parks] */
int access_new(const struct access_options *opt, struct access **out, struct err *err) WARN_UNUSED;
/* [parks] Nobody may hold a grant any more. */
void access_close(struct access *a);

/* ---- the decision --------------------------------------------------------------------------- */

/* Who asks. All borrowed. */
struct access_caller {
	const struct peer_id *peer; /* over libp2p; NULL: over TCP */
	bool member;                /* of the cluster: for peers */
	const struct netaddr *address;
	const char *bearer; /* of Authorization or x-api-key; NULL or "": none */
};

/* What for. */
struct access_ask {
	unsigned rights;   /* of enum access_right, all of them; 0: whoever is known */
	const char *model; /* NULL: not known yet, see access_reserve */
	int64_t tokens;    /* estimated; 0: not known yet */
};

/* A request that may go on, until access_done. Fields are private but those of the first part. */
struct access_grant {
	char
	    name[ACCESS_OWNER_MAX]; /* for people and records: the key's, the peer's, the address */
	char owner[ACCESS_OWNER_MAX]; /* "key:…", "peer:…", "" */
	enum access_source {
		ACCESS_BY_ADDRESS,
		ACCESS_BY_KEY,
		ACCESS_BY_PEER
	} source;
	unsigned rights;
	/* After E_BUSY: when to come back, and which limit it was ("requests per minute"). */
	int64_t retry_after_ms;
	const char *limit;

	struct access *access;
	struct access_party *party;
	int64_t reserved; /* tokens */
	bool counts;      /* against limits */
};

/* Whether it may be. On 0 the grant must be given back with access_done; on an error there is
 * nothing to give back. E_UNAUTHORIZED (no key, or none that is good), E_FORBIDDEN (not this),
 * E_BUSY (too much of it; the grant and err->retry_ms say when to come back), E_UNAVAILABLE. Only
 * requests that ask for inference or embeddings count against limits. */
int access_check(struct access *a, const struct access_caller *who, const struct access_ask *what,
    struct access_grant *out, struct err *err) WARN_UNUSED;

/* What access_check was not told yet: the model and an estimate of the tokens. E_FORBIDDEN, E_BUSY;
 * the grant stays the caller's to give back. */
int access_reserve(
    struct access_grant *g, const char *model, int64_t tokens, struct err *err) WARN_UNUSED;

/* Gives it back; `tokens` is what it took, −1 when that is not known. Repeats do nothing. */
void access_done(struct access_grant *g, int64_t tokens);

/* Whether its bearer may see and use a model. A NULL grant may. */
bool access_allows_model(const struct access_grant *g, const char *model);

/* Whether its bearer may read what belongs to `owner` (as in grants). */
bool access_may_read(const struct access_grant *g, const char *owner);

/* The tokens that a request may take: its text by four bytes a token, and the answer's limit. */
int64_t access_estimate(const struct inference_request *req);

/* Whether a peer may open streams for requests at all. */
bool access_admits_peer(struct access *a, const struct peer_id *peer, bool member);

/* Whether requests from this machine need a key. */
bool access_guarded(const struct access *a);

/* ---- keys ----------------------------------------------------------------------------------- */

struct access_key {
	char id[ACCESS_KEY_ID_MAX]; /* the public part */
	char name[ACCESS_NAME_MAX];
	unsigned rights;
	char models[ACCESS_MODELS_MAX]; /* patterns with * and ?, separated by commas; "": all */
	struct access_limits limits;
	int64_t created_ms, expires_ms, used_ms, revoked_ms; /* 0: never */
};

/* [parks] Makes a key as `*key` says (name, rights, models, limits, expires_ms), fills in the rest,
 * and writes its text: the caller shows it once and wipes it. E_INVALID, E_LIMIT, E_EXISTS (a key
 * that holds has this name). */
int access_key_create(struct access *a, struct access_key *key, char text[ACCESS_KEY_TEXT_MAX],
    struct err *err) WARN_UNUSED;
/* [parks] By id or name. E_NOT_FOUND. Requests under way go on. */
int access_key_revoke(struct access *a, const char *id, struct err *err) WARN_UNUSED;
void access_each_key(
    struct access *a, void (*fn)(void *arg, const struct access_key *k), void *arg);
/* "valid", "expired", "revoked". */
const char *access_key_state(const struct access *a, const struct access_key *k);

/* ---- peers ---------------------------------------------------------------------------------- */

struct access_peer {
	struct peer_id id;
	char name[ACCESS_NAME_MAX]; /* for people */
	unsigned rights;            /* 0: none, be it a member */
	char models[ACCESS_MODELS_MAX];
	struct access_limits limits;
	int64_t since_ms;
};

/* [parks] From now on these rights are the peer's, instead of what it had. E_INVALID, E_LIMIT. */
int access_peer_trust(struct access *a, const struct access_peer *p, struct err *err) WARN_UNUSED;
/* [parks] E_NOT_FOUND. */
int access_peer_untrust(struct access *a, const struct peer_id *id, struct err *err) WARN_UNUSED;
void access_each_peer(
    struct access *a, void (*fn)(void *arg, const struct access_peer *p), void *arg);

#endif
