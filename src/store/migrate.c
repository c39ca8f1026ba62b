/* Bringing the tables of all rooms to the versions that this program knows. */
#include "store/store_priv.h"

static int version_of(struct store_tx *tx, const char *room, int64_t *out, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "SELECT version FROM store_versions WHERE room = ?");
	store_bind_text(&q, 1, room);
	int rc = store_step(&q, err);
	*out = rc == STORE_ROW ? store_int(&q, 0) : 0;
	store_end(&q);
	return rc < 0 ? rc : 0;
}

static int set_version(struct store_tx *tx, const char *room, int64_t version, struct err *err)
{
	struct store_query q;

	store_query(tx, &q,
	    "INSERT INTO store_versions (room, version) VALUES (?, ?)"
	    " ON CONFLICT (room) DO UPDATE SET version = excluded.version");
	store_bind_text(&q, 1, room);
	store_bind_int(&q, 2, version);
	return store_finish(&q, err);
}

static int migrate_room(struct store_tx *tx, const struct store_schema *s, struct err *err)
{
	int64_t version;
	int rc = version_of(tx, s->room, &version, err);

	if (rc)
		return rc;
	if (version < 0 || (uint64_t)version > s->n_steps)
		return err_set(err, E_UNSUPPORTED,
		    "a newer gate has written this database (%s: version %lld, this program knows "
		    "%zu): use that program, or another data folder",
		    s->room, (long long)version, s->n_steps);
	if ((uint64_t)version == s->n_steps)
		return 0;
	for (size_t i = (size_t)version; i < s->n_steps && rc == 0; i++) {
		rc = tx->backend->exec(tx, s->steps[i], err);
		if (rc)
			rc = err_wrap(err, rc, "tables of %s, step %zu", s->room, i + 1);
	}
	return rc ? rc : set_version(tx, s->room, (int64_t)s->n_steps, err);
}

int store_migrate(
    struct store_tx *tx, const struct store_schema *schemas, size_t n, struct err *err)
{
	int rc = tx->backend->exec(tx, tx->backend->begin_write, err);

	if (rc)
		return rc;
	rc = tx->backend->exec(tx,
	    "CREATE TABLE IF NOT EXISTS store_versions"
	    " (room TEXT PRIMARY KEY, version BIGINT NOT NULL)",
	    err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = migrate_room(tx, &schemas[i], err);
	if (rc == 0)
		rc = tx->backend->exec(tx, "COMMIT", err);
	if (rc && tx->backend->in_transaction(tx))
		(void)!tx->backend->exec(tx, "ROLLBACK", NULL);
	return rc;
}
