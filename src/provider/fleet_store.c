/* How the fleet is kept: one row a server, its key sealed under the server's name. */
#include "crypto/hash.h"
#include "crypto/sealed.h"
#include "provider/fleet_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const steps[] = {
    "CREATE TABLE provider_servers ("
    " name TEXT PRIMARY KEY, kind TEXT NOT NULL, url TEXT NOT NULL, sealed_key BLOB,"
    " shared INTEGER NOT NULL, price_in_msat BIGINT NOT NULL, price_out_msat BIGINT NOT NULL)",
};

const struct store_schema fleet_schema = {"provider", steps, sizeof steps / sizeof *steps};

struct loading {
	const struct identity *id;
	struct fleet_spec *specs;
	size_t n;
};

static void read_text(struct store_query *q, int column, char *out, size_t cap)
{
	snprintf(out, cap, "%s", store_text(q, column));
}

static int read_key(
    struct store_query *q, const struct identity *id, struct fleet_spec *spec, struct err *err)
{
	struct buf key = BUF_INIT(REMOTE_KEY_MAX);
	if (store_is_null(q, 3))
		return 0;
	int rc = sealed_open(id, spec->name, store_blob(q, 3), &key, err);
	if (rc == 0)
		memcpy(spec->key, key.p, key.n);
	if (key.p)
		secret_wipe(key.p, key.n);
	buf_free(&key);
	return rc ? err_wrap(err, rc, "the key of provider %s", spec->name) : 0;
}

static int read_rows(struct store_tx *tx, void *arg, struct err *err)
{
	struct loading *l = arg;
	struct store_query q;
	int rc;
	store_query(tx, &q,
	    "SELECT name, kind, url, sealed_key, shared, price_in_msat, price_out_msat"
	    " FROM provider_servers ORDER BY name");
	while ((rc = store_step(&q, err)) == STORE_ROW && l->n < FLEET_SERVERS_MAX) {
		struct fleet_spec *s = &l->specs[l->n++];
		read_text(&q, 0, s->name, sizeof s->name);
		read_text(&q, 1, s->kind, sizeof s->kind);
		read_text(&q, 2, s->url, sizeof s->url);
		s->shared = store_int(&q, 4) != 0;
		s->price_in_msat = store_int(&q, 5);
		s->price_out_msat = store_int(&q, 6);
		rc = read_key(&q, l->id, s, err);
		if (rc)
			break;
	}
	store_end(&q);
	return rc == STORE_ROW ? 0 : rc;
}

int fleet_load(struct store *store, const struct identity *id,
    int (*fn)(void *arg, struct fleet_spec *spec, struct err *err), void *arg, struct err *err)
{
	struct loading l = {.id = id, .specs = calloc(FLEET_SERVERS_MAX, sizeof *l.specs)};
	if (!l.specs)
		return err_set(err, E_MEMORY, "no memory for providers");
	int rc = store_read(store, read_rows, &l, err);
	for (size_t i = 0; i < l.n && rc == 0; i++)
		rc = fn(arg, &l.specs[i], err);
	secret_wipe(l.specs, FLEET_SERVERS_MAX * sizeof *l.specs);
	free(l.specs);
	return rc;
}

struct saving {
	const struct fleet_spec *spec;
	struct buf sealed;
};

static int write_row(struct store_tx *tx, void *arg, struct err *err)
{
	const struct saving *s = arg;
	struct store_query q;
	store_query(tx, &q, "INSERT INTO provider_servers VALUES (?, ?, ?, ?, ?, ?, ?)");
	store_bind_text(&q, 1, s->spec->name);
	store_bind_text(&q, 2, s->spec->kind);
	store_bind_text(&q, 3, s->spec->url);
	if (s->spec->key[0])
		store_bind_blob(&q, 4, buf_view(&s->sealed));
	else
		store_bind_null(&q, 4);
	store_bind_int(&q, 5, s->spec->shared);
	store_bind_int(&q, 6, s->spec->price_in_msat);
	store_bind_int(&q, 7, s->spec->price_out_msat);
	return store_finish(&q, err);
}

int fleet_save(struct store *store, struct world *w, const struct identity *id,
    const struct fleet_spec *spec, struct err *err)
{
	struct saving s = {.spec = spec, .sealed = BUF_INIT(SEALED_MAX + SEALED_OVERHEAD)};
	uint8_t salt[SEALED_SALT_SIZE];
	world_random(w, salt, sizeof salt);
	int rc = sealed_close(id, spec->name, bytes_str(spec->key), salt, &s.sealed, err);
	if (rc == 0)
		rc = store_run(store, write_row, &s, err);
	buf_free(&s.sealed);
	return rc;
}

static int delete_row(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;
	store_query(tx, &q, "DELETE FROM provider_servers WHERE name = ?");
	store_bind_text(&q, 1, arg);
	return store_finish(&q, err);
}

int fleet_forget(struct store *store, const char *name, struct err *err)
{
	char copy[REMOTE_NAME_MAX];
	snprintf(copy, sizeof copy, "%s", name);
	return store_run(store, delete_row, copy, err);
}
