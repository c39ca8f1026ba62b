/* Records and providers: two hash tables with a hard bound each. */
/* Running out of memory in a table is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#include "p2p/kad_store_priv.h"

#include "base/encode.h"

#include <stdlib.h>
#include <uthash.h>

struct kad_record_slot {
	UT_hash_handle hh;
	struct kad_key place;
	struct kad_stored rec;
	uint8_t bytes[]; /* key, then value */
};

struct kad_provided {
	UT_hash_handle hh;
	struct kad_provider v[KAD_PROVIDERS_PER_KEY_MAX];
	size_t n;
	struct kad_key place;
	size_t key_n;
	uint8_t key[KAD_KEY_MAX];
};

struct kad_provider_load {
	UT_hash_handle hh;
	struct peer_id id;
	size_t keys;
};

void kad_store_init(struct kad_store *s, const struct kad_key *self,
    const struct p2p_kad_validator *validators, size_t n_validators)
{
	*s = (struct kad_store){
	    .self = *self, .validators = validators, .n_validators = n_validators};
}

/* ---- validators ---------------------------------------------------------------------------- */

static const struct p2p_kad_validator *validator_of(const struct kad_store *s, struct bytes key)
{
	for (size_t i = 0; i < s->n_validators; i++) {
		size_t n = strlen(s->validators[i].prefix);
		if (key.n > n && memcmp(key.p, s->validators[i].prefix, n) == 0)
			return &s->validators[i];
	}
	return NULL;
}

bool kad_store_has_validator(const struct kad_store *s, struct bytes key)
{
	return validator_of(s, key) != NULL;
}

int kad_store_validate(
    const struct kad_store *s, struct bytes key, struct bytes value, struct err *err)
{
	const struct p2p_kad_validator *v = validator_of(s, key);

	if (!v)
		return err_set(err, E_UNSUPPORTED, "no validator for this key");
	if (key.n > KAD_KEY_MAX || value.n > KAD_VALUE_MAX)
		return err_set(err, E_TOO_LARGE, "a record of %zu and %zu bytes", key.n, value.n);
	return v->validate(v->arg, key, value, err);
}

bool kad_store_prefers(const struct kad_store *s, struct bytes key, struct bytes a, struct bytes b)
{
	const struct p2p_kad_validator *v = validator_of(s, key);

	return v && v->prefers && v->prefers(v->arg, key, a, b);
}

/* ---- records ------------------------------------------------------------------------------- */

static bool expired(struct instant since, struct instant now)
{
	return instant_since(now, since).ns >= duration_s(KAD_EXPIRE_S).ns;
}

static struct kad_record_slot *find_record(const struct kad_store *s, struct bytes key)
{
	struct kad_record_slot *r;

	HASH_FIND(hh, s->records, key.p, key.n, r);
	return r;
}

static void drop_record(struct kad_store *s, struct kad_record_slot *r)
{
	HASH_DEL(s->records, r);
	s->n_records--;
	s->record_bytes -= r->rec.key.n + r->rec.value.n;
	free(r);
}

static bool record_fits(const struct kad_store *s, size_t bytes)
{
	return s->n_records < KAD_RECORDS_MAX && s->record_bytes + bytes <= KAD_RECORD_BYTES_MAX;
}

/* The records farthest from us go, as long as they are farther than the new one. */
static bool make_room(struct kad_store *s, const struct kad_key *place, size_t bytes)
{
	struct kad_record_slot *r, *next, *farthest;

	while (!record_fits(s, bytes)) {
		farthest = NULL;
		HASH_ITER (hh, s->records, r, next)
			if (!farthest || kad_nearer(&farthest->place, &r->place, &s->self) < 0)
				farthest = r;
		if (!farthest || kad_nearer(&farthest->place, place, &s->self) < 0)
			return false;
		drop_record(s, farthest);
	}
	return true;
}

static int keep_record(struct kad_store *s, struct bytes key, struct bytes value,
    struct instant now, int64_t wall_ms, struct err *err)
{
	struct kad_key place = kad_key_of(key);
	struct kad_record_slot *r;

	if (!make_room(s, &place, key.n + value.n))
		return err_set(err, E_LIMIT, "full of records nearer to this node");
	if (!(r = malloc(sizeof *r + key.n + value.n)))
		return err_set(err, E_MEMORY, "no memory for a record");
	*r = (struct kad_record_slot){.place = place};
	memcpy(r->bytes, key.p, key.n);
	if (value.n > 0)
		memcpy(r->bytes + key.n, value.p, value.n);
	r->rec = (struct kad_stored){.key = bytes_of(r->bytes, key.n),
	    .value = bytes_of(r->bytes + key.n, value.n),
	    .received = now,
	    .received_wall_ms = wall_ms};
	HASH_ADD_KEYPTR(hh, s->records, r->bytes, key.n, r);
	if (!r->hh.tbl) {
		free(r);
		return err_set(err, E_MEMORY, "no memory for a record");
	}
	s->n_records++;
	s->record_bytes += key.n + value.n;
	return 0;
}

int kad_store_put(struct kad_store *s, struct bytes key, struct bytes value, struct instant now,
    int64_t wall_ms, struct err *err)
{
	struct kad_record_slot *old = find_record(s, key);
	int rc = kad_store_validate(s, key, value, err);

	if (rc != 0)
		return rc;
	if (old && !expired(old->rec.received, now)) {
		if (bytes_equal(old->rec.value, value)) {
			old->rec.received = now;
			old->rec.received_wall_ms = wall_ms;
			return 0;
		}
		/* SPEC kad-dht: overwritten only by what the validator selects. */
		if (!kad_store_prefers(s, key, old->rec.value, value))
			return err_set(err, E_EXISTS, "a better value is known");
	}
	if (old)
		drop_record(s, old);
	return keep_record(s, key, value, now, wall_ms, err);
}

bool kad_store_get(
    const struct kad_store *s, struct bytes key, struct instant now, struct kad_stored *out)
{
	const struct kad_record_slot *r = find_record(s, key);

	if (!r || expired(r->rec.received, now))
		return false;
	*out = r->rec;
	return true;
}

/* ---- providers ----------------------------------------------------------------------------- */

bool kad_is_multihash(struct bytes key)
{
	struct cursor c = cursor_of(key);
	uint64_t code, n;

	return key.n <= KAD_KEY_MAX && cursor_varint(&c, &code) && cursor_varint(&c, &n) && n > 0 &&
	       n == c.left;
}

static struct kad_provider_load *find_load(const struct kad_store *s, const struct peer_id *id)
{
	struct kad_provider_load *l;

	HASH_FIND(hh, s->loads, id, sizeof *id, l);
	return l;
}

static int load_add(struct kad_store *s, const struct peer_id *id, struct err *err)
{
	struct kad_provider_load *l = find_load(s, id);

	if (l && l->keys >= KAD_KEYS_PER_PROVIDER_MAX)
		return err_set(err, E_LIMIT, "this peer provides %zu keys already", l->keys);
	if (!l) {
		if (!(l = calloc(1, sizeof *l)))
			return err_set(err, E_MEMORY, "no memory for a provider");
		l->id = *id;
		HASH_ADD(hh, s->loads, id, sizeof l->id, l);
		if (!l->hh.tbl) {
			free(l);
			return err_set(err, E_MEMORY, "no memory for a provider");
		}
	}
	l->keys++;
	return 0;
}

static void load_drop(struct kad_store *s, const struct peer_id *id)
{
	struct kad_provider_load *l = find_load(s, id);

	INVARIANT(l && l->keys > 0);
	if (--l->keys > 0)
		return;
	HASH_DEL(s->loads, l);
	free(l);
}

static void drop_provider(struct kad_store *s, struct kad_provided *k, size_t i)
{
	load_drop(s, &k->v[i].id);
	addr_list_free(&k->v[i].addrs);
	k->n--;
	memmove(&k->v[i], &k->v[i + 1], (k->n - i) * sizeof k->v[0]);
	s->n_providers--;
}

static void drop_key(struct kad_store *s, struct kad_provided *k)
{
	while (k->n > 0)
		drop_provider(s, k, k->n - 1);
	HASH_DEL(s->provided, k);
	s->n_provided--;
	free(k);
}

static struct kad_provided *find_key(const struct kad_store *s, struct bytes key)
{
	struct kad_provided *k;

	HASH_FIND(hh, s->provided, key.p, key.n, k);
	return k;
}

/* As with records: the key farthest from us gives way to a nearer one. */
static bool room_for_key(struct kad_store *s, const struct kad_key *place)
{
	struct kad_provided *k, *next, *farthest = NULL;

	if (s->n_provided < KAD_PROVIDED_KEYS_MAX && s->n_providers < KAD_PROVIDERS_MAX)
		return true;
	HASH_ITER (hh, s->provided, k, next)
		if (!farthest || kad_nearer(&farthest->place, &k->place, &s->self) < 0)
			farthest = k;
	if (!farthest || kad_nearer(&farthest->place, place, &s->self) < 0)
		return false;
	drop_key(s, farthest);
	return true;
}

static struct kad_provided *add_key(struct kad_store *s, struct bytes key)
{
	struct kad_key place = kad_key_of(key);
	struct kad_provided *k;

	if (!room_for_key(s, &place) || !(k = calloc(1, sizeof *k)))
		return NULL;
	memcpy(k->key, key.p, key.n);
	k->key_n = key.n;
	k->place = place;
	HASH_ADD_KEYPTR(hh, s->provided, k->key, k->key_n, k);
	if (!k->hh.tbl) {
		free(k);
		return NULL;
	}
	s->n_provided++;
	return k;
}

/* Room in the key's list: whoever missed its renewal (22 h) gives way, nobody else. */
static bool room_for_provider(struct kad_store *s, struct kad_provided *k, struct instant now)
{
	if (k->n < KAD_PROVIDERS_PER_KEY_MAX)
		return s->n_providers < KAD_PROVIDERS_MAX;
	if (instant_since(now, k->v[0].renewed).ns < duration_s(KAD_REPUBLISH_S + 3600).ns)
		return false;
	drop_provider(s, k, 0);
	return true;
}

/* The list is ordered by renewal: a renewed one goes to the end. */
static int list_provider(struct kad_store *s, struct kad_provided *k, const struct peer_id *id,
    const struct multiaddr *addrs, size_t n, struct instant now, struct err *err)
{
	struct kad_provider *p;
	int rc;

	for (size_t i = 0; i < k->n; i++) {
		if (peer_id_equal(&k->v[i].id, id)) {
			drop_provider(s, k, i);
			break;
		}
	}
	if (!room_for_provider(s, k, now))
		return err_set(err, E_LIMIT, "enough providers are known");
	if ((rc = load_add(s, id, err)) != 0)
		return rc;
	p = &k->v[k->n++];
	s->n_providers++;
	*p = (struct kad_provider){.id = *id, .renewed = now};
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = addr_list_add(&p->addrs, &addrs[i], KAD_PEER_ADDRS_MAX);
	return rc == 0 ? 0 : err_set(err, rc, "no memory for a provider's addresses");
}

int kad_store_provide(struct kad_store *s, struct bytes key, const struct peer_id *id,
    const struct multiaddr *addrs, size_t n, struct instant now, struct err *err)
{
	struct kad_provided *k;
	int rc;

	if (!kad_is_multihash(key))
		return err_set(err, E_INVALID, "a provider's key is a multihash");
	k = find_key(s, key);
	if (!k && !(k = add_key(s, key)))
		return err_set(err, E_LIMIT, "no room for another key");
	rc = list_provider(s, k, id, addrs, n, now, err);
	if (k->n == 0)
		drop_key(s, k);
	return rc;
}

void kad_store_providers(const struct kad_store *s, struct bytes key, struct instant now,
    void (*fn)(void *arg, const struct kad_provider *p), void *arg)
{
	const struct kad_provided *k = find_key(s, key);

	for (size_t i = 0; k && i < k->n; i++) {
		struct kad_provider p = k->v[i];
		if (expired(p.renewed, now))
			continue;
		if (instant_since(now, p.renewed).ns >= duration_s(KAD_ADDRESS_EXPIRE_S).ns)
			p.addrs = (struct addr_list){0};
		fn(arg, &p);
	}
}

/* ---- time ---------------------------------------------------------------------------------- */

void kad_store_sweep(struct kad_store *s, struct instant now)
{
	struct kad_record_slot *r, *next_record;
	struct kad_provided *k, *next_key;

	HASH_ITER (hh, s->records, r, next_record)
		if (expired(r->rec.received, now))
			drop_record(s, r);
	HASH_ITER (hh, s->provided, k, next_key) {
		while (k->n > 0 && expired(k->v[0].renewed, now))
			drop_provider(s, k, 0);
		if (k->n == 0)
			drop_key(s, k);
	}
}

void kad_store_free(struct kad_store *s)
{
	struct kad_record_slot *r, *next_record;
	struct kad_provided *k, *next_key;

	HASH_ITER (hh, s->records, r, next_record)
		drop_record(s, r);
	HASH_ITER (hh, s->provided, k, next_key)
		drop_key(s, k);
	*s = (struct kad_store){0};
}
