/* What a DHT server keeps for others, pure: records under validated keys, and who provides what.
 * SPEC libp2p kad-dht, "Content provider advertisement and discovery", "Entry validation".
 *
 * Everything in it came from strangers: keys are accepted in the namespaces that have a validator,
 * and each table is bounded. When the records are full, the one whose key is farthest from our own
 * gives way to a nearer one: those are ours to keep, the far ones others'. A full list of providers
 * keeps those that renew themselves.
 *
 * Must stay true: the counts and sums in struct kad_store are those of the tables, within limits.
 */
#ifndef P2P_KAD_STORE_PRIV_H
#define P2P_KAD_STORE_PRIV_H

#include "base/units.h"
#include "p2p/kad.h"
#include "p2p/kad_wire_priv.h"

#define KAD_RECORDS_MAX           1024
#define KAD_RECORD_BYTES_MAX      ((size_t)8 << 20) /* keys and values together */
#define KAD_PROVIDED_KEYS_MAX     2048
#define KAD_PROVIDERS_PER_KEY_MAX 32
#define KAD_PROVIDERS_MAX         8192 /* in all */
#define KAD_KEYS_PER_PROVIDER_MAX 256  /* one peer's entries */
#define KAD_VALIDATORS_MAX        8

#define KAD_EXPIRE_S         (48 * 3600) /* SPEC kad-dht: records of providers live 48 h */
#define KAD_ADDRESS_EXPIRE_S (30 * 60)   /* their addresses, about 30 min */
#define KAD_REPUBLISH_S      (22 * 3600) /* SPEC kad-dht: renewed every 22 h */

/* One record as it is kept. */
struct kad_stored {
	struct bytes key, value; /* own memory of the store */
	struct instant received;
	int64_t received_wall_ms; /* for timeReceived */
};

struct kad_provider {
	struct peer_id id;
	struct instant renewed;
	struct addr_list addrs;
};

struct kad_record_slot;
struct kad_provided;
struct kad_provider_load;

struct kad_store {
	struct kad_key self;
	const struct p2p_kad_validator *validators; /* the caller's */
	size_t n_validators;
	struct kad_record_slot *records; /* hash by key */
	size_t n_records, record_bytes;
	struct kad_provided *provided; /* hash by key */
	size_t n_provided, n_providers;
	struct kad_provider_load *loads; /* hash by peer: how many keys it is listed for */
};

void kad_store_init(struct kad_store *s, const struct kad_key *self,
    const struct p2p_kad_validator *validators, size_t n_validators);
void kad_store_free(struct kad_store *s);

bool kad_store_has_validator(const struct kad_store *s, struct bytes key);
/* Whether a value may stand under a key: 0, E_UNSUPPORTED (no validator), E_TOO_LARGE, E_INVALID,
 * or what the validator says. */
int kad_store_validate(
    const struct kad_store *s, struct bytes key, struct bytes value, struct err *err) WARN_UNUSED;
/* Whether `b` is to be preferred to `a`, both valid. */
bool kad_store_prefers(const struct kad_store *s, struct bytes key, struct bytes a, struct bytes b);

/* Validates and keeps. The same value again renews it. E_EXISTS: a better value is there. E_LIMIT:
 * full of records nearer to us. */
int kad_store_put(struct kad_store *s, struct bytes key, struct bytes value, struct instant now,
    int64_t wall_ms, struct err *err) WARN_UNUSED;
/* False when there is none or it expired. */
bool kad_store_get(
    const struct kad_store *s, struct bytes key, struct instant now, struct kad_stored *out);

/* Whether `key` is a multihash: code, length, and as many bytes. */
bool kad_is_multihash(struct bytes key);
/* E_INVALID: not a multihash. E_LIMIT. */
int kad_store_provide(struct kad_store *s, struct bytes key, const struct peer_id *id,
    const struct multiaddr *addrs, size_t n, struct instant now, struct err *err) WARN_UNUSED;
/* Calls `fn` for each that has not expired, the freshest last; addresses that are too old are left
 * out. */
void kad_store_providers(const struct kad_store *s, struct bytes key, struct instant now,
    void (*fn)(void *arg, const struct kad_provider *p), void *arg);

/* Drops what expired. Now and then. */
void kad_store_sweep(struct kad_store *s, struct instant now);

#endif
