/* Keys: made, listed, revoked; in memory, and each change in the store before it holds. */
#include "access/access_priv.h"

#include "base/encode.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows: on workers ----------------------------------------------------------------------- */

struct key_row {
	struct access_key key;
	uint8_t hash[SHA256_SIZE];
};

struct key_rows {
	struct key_row *of;
	size_t n;
};

static void take_text(struct store_query *q, int column, char *out, size_t cap)
{
	snprintf(out, cap, "%s", store_text(q, column));
}

static int take_row(struct store_query *q, struct key_row *out, struct err *err)
{
	struct access_key *k = &out->key;
	take_text(q, 0, k->id, sizeof k->id);
	take_text(q, 1, k->name, sizeof k->name);
	if (store_blob(q, 2).n != 2 * SHA256_SIZE ||
	    hex_decode(store_blob(q, 2), out->hash, SHA256_SIZE) != 0)
		return err_set(
		    err, E_FORMAT, "the key \"%s\" in the database is malformed", k->name);
	k->rights = (unsigned)store_int(q, 3) & ACCESS_RIGHTS_ALL;
	take_text(q, 4, k->models, sizeof k->models);
	k->limits =
	    (struct access_limits){store_int(q, 5), store_int(q, 6), (uint32_t)store_int(q, 7)};
	k->created_ms = store_int(q, 8);
	k->expires_ms = store_int(q, 9);
	k->used_ms = store_int(q, 10);
	k->revoked_ms = store_int(q, 11);
	return 0;
}

static int read_keys(struct store_tx *tx, void *arg, struct err *err)
{
	struct key_rows *rows = arg;
	struct store_query q;
	int rc;
	store_query(tx, &q,
	    "SELECT id, name, hash, rights, models, requests_per_min, tokens_per_min, concurrent,"
	    " created_ms, expires_ms, used_ms, revoked_ms FROM access_keys"
	    " ORDER BY created_ms, id");
	while ((rc = store_step(&q, err)) == STORE_ROW && rows->n < ACCESS_KEYS_MAX) {
		rc = take_row(&q, &rows->of[rows->n], err);
		if (rc)
			break;
		rows->n++;
	}
	store_end(&q);
	return rc == STORE_ROW ? 0 : rc;
}

static int insert_key(struct store_tx *tx, void *arg, struct err *err)
{
	const struct key_row *r = arg;
	const struct access_key *k = &r->key;
	char hash[2 * SHA256_SIZE + 1];
	struct store_query q;
	hex_encode(bytes_of(r->hash, sizeof r->hash), hash);
	store_query(tx, &q,
	    "INSERT INTO access_keys (id, name, hash, rights, models, requests_per_min,"
	    " tokens_per_min, concurrent, created_ms, expires_ms, used_ms, revoked_ms)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)");
	store_bind_text(&q, 1, k->id);
	store_bind_text(&q, 2, k->name);
	store_bind_text(&q, 3, hash);
	store_bind_int(&q, 4, k->rights);
	store_bind_text(&q, 5, k->models);
	store_bind_int(&q, 6, k->limits.requests_per_min);
	store_bind_int(&q, 7, k->limits.tokens_per_min);
	store_bind_int(&q, 8, k->limits.concurrent);
	store_bind_int(&q, 9, k->created_ms);
	store_bind_int(&q, 10, k->expires_ms);
	return store_finish(&q, err);
}

static int revoke_key(struct store_tx *tx, void *arg, struct err *err)
{
	const struct access_key *k = arg;
	struct store_query q;
	store_query(tx, &q, "UPDATE access_keys SET revoked_ms = ? WHERE id = ?");
	store_bind_int(&q, 1, k->revoked_ms);
	store_bind_text(&q, 2, k->id);
	return store_finish(&q, err);
}

static int write_used(struct store_tx *tx, void *arg, struct err *err)
{
	const struct key_rows *rows = arg;
	int rc = 0;
	for (size_t i = 0; i < rows->n && rc == 0; i++) {
		struct store_query q;
		store_query(tx, &q, "UPDATE access_keys SET used_ms = ? WHERE id = ?");
		store_bind_int(&q, 1, rows->of[i].key.used_ms);
		store_bind_text(&q, 2, rows->of[i].key.id);
		rc = store_finish(&q, err);
	}
	return rc;
}

/* ---- in memory ------------------------------------------------------------------------------ */

static void key_free(struct access_party *p)
{
	free(p);
}

struct key_entry *key_find(struct access *a, const char *id)
{
	struct key_entry *k;
	HASH_FIND_STR(a->keys, id, k);
	return k;
}

static struct key_entry *key_add(struct access *a, const struct key_row *row)
{
	struct key_entry *k = calloc(1, sizeof *k);
	if (!k)
		return NULL;
	k->key = row->key;
	memcpy(k->hash, row->hash, sizeof k->hash);
	k->party = (struct access_party){.rights = k->key.rights,
	    .models = k->key.models,
	    .limits = k->key.limits,
	    .listed = true,
	    .free = key_free};
	HASH_ADD_KEYPTR(hh, a->keys, k->key.id, strlen(k->key.id), k);
	a->n_valid += k->key.revoked_ms == 0;
	return k;
}

int keys_load(struct access *a, struct err *err)
{
	struct key_rows rows = {calloc(ACCESS_KEYS_MAX, sizeof *rows.of), 0};
	int rc = rows.of ? store_read(a->opt.store, read_keys, &rows, err)
			 : err_set(err, E_MEMORY, "no memory for keys");
	for (size_t i = 0; i < rows.n && rc == 0; i++)
		if (!key_add(a, &rows.of[i]))
			rc = err_set(err, E_MEMORY, "no memory for keys");
	free(rows.of);
	return rc;
}

void keys_free(struct access *a)
{
	struct key_entry *k, *next;
	HASH_ITER (hh, a->keys, k, next) {
		HASH_DEL(a->keys, k);
		party_unlist(&k->party);
	}
}

void keys_flush(struct access *a)
{
	struct key_rows rows = {0};
	struct key_entry *k, *next;
	struct err err = {0};
	if (!a->dirty)
		return;
	rows.of = calloc(HASH_COUNT(a->keys), sizeof *rows.of);
	a->dirty = rows.of == NULL;
	HASH_ITER (hh, a->keys, k, next)
		if (rows.of && k->used) {
			rows.of[rows.n++].key = k->key;
			k->used = false;
		}
	if (rows.n > 0 && store_run(a->opt.store, write_used, &rows, &err) != 0)
		rt_log(LOG_WARN, "access", "when keys were used is not kept: %s", err_text(&err));
	free(rows.of);
}

/* ---- what owners do ------------------------------------------------------------------------- */

static struct key_entry *holding_name(struct access *a, const char *name)
{
	struct key_entry *k, *next;
	HASH_ITER (hh, a->keys, k, next)
		if (!k->key.revoked_ms && strcmp(k->key.name, name) == 0)
			return k;
	return NULL;
}

static int check_new(struct access *a, const struct access_key *key, struct err *err)
{
	int rc = name_check("a key", key->name, err);
	if (rc == 0)
		rc = models_check(key->models, err);
	if (rc == 0)
		rc = limits_check(&key->limits, err);
	if (rc == 0 && key->rights == 0)
		rc = err_set(err, E_INVALID, "a key without any right");
	if (rc == 0 && key->expires_ms && key->expires_ms <= world_wall_ms(a->opt.world))
		rc = err_set(err, E_INVALID, "a key that has expired already");
	if (rc == 0 && holding_name(a, key->name))
		rc = err_set(err, E_EXISTS, "there is a key \"%s\" already", key->name);
	if (rc == 0 && HASH_COUNT(a->keys) >= ACCESS_KEYS_MAX)
		rc = err_set(err, E_LIMIT, "there are %d keys already", ACCESS_KEYS_MAX);
	return rc;
}

static void random_of(void *arg, void *buf, size_t n)
{
	world_random(arg, buf, n);
}

static int create(
    struct access *a, struct access_key *key, char text[ACCESS_KEY_TEXT_MAX], struct err *err)
{
	struct key_row row = {.key = *key};
	int rc = check_new(a, key, err);
	if (rc)
		return rc;
	do {
		key_make(random_of, a->opt.world, text, row.key.id);
	} while (key_find(a, row.key.id));
	key_hash(text, row.hash);
	row.key.created_ms = world_wall_ms(a->opt.world);
	row.key.used_ms = row.key.revoked_ms = 0;
	rc = store_run(a->opt.store, insert_key, &row, err);
	if (rc == 0 && !key_add(a, &row))
		rc = err_set(err, E_MEMORY, "no memory for a key");
	if (rc)
		secret_wipe(text, ACCESS_KEY_TEXT_MAX);
	else
		*key = row.key;
	return rc;
}

int access_key_create(
    struct access *a, struct access_key *key, char text[ACCESS_KEY_TEXT_MAX], struct err *err)
{
	int rc = sem_acquire(&a->turn, err);
	if (rc)
		return rc;
	rc = create(a, key, text, err);
	sem_release(&a->turn);
	return rc;
}

int access_key_revoke(struct access *a, const char *id, struct err *err)
{
	struct key_entry *k = key_find(a, id);
	if (!k)
		k = holding_name(a, id);
	if (!k)
		return err_set(err, E_NOT_FOUND, "there is no key \"%.64s\"", id);
	if (k->key.revoked_ms)
		return 0;
	/* It holds no longer from this moment on, whatever becomes of the row. */
	k->key.revoked_ms = world_wall_ms(a->opt.world);
	a->n_valid--;
	struct access_key copy = k->key;
	int rc = store_run(a->opt.store, revoke_key, &copy, err);
	return rc ? err_wrap(err, rc, "revoked until the node ends, but not kept") : 0;
}

void access_each_key(struct access *a, void (*fn)(void *arg, const struct access_key *k), void *arg)
{
	struct key_entry *k, *next;
	HASH_ITER (hh, a->keys, k, next)
		fn(arg, &k->key);
}

const char *access_key_state(const struct access *a, const struct access_key *k)
{
	return k->revoked_ms                                                   ? "revoked"
	       : k->expires_ms && world_wall_ms(a->opt.world) >= k->expires_ms ? "expired"
									       : "valid";
}
