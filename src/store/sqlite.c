/* SQLite behind the store.
 *
 * Must stay true: a transaction that was committed is on the disk (WAL with synchronous=FULL: the
 * log is synced at each commit); nothing here runs on the loop thread. A connection is used by one
 * worker at a time, so SQLite's own mutexes are off. */
#include "store/store_priv.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define APPLICATION_ID  0x4f477731 /* "OGw1", in the file's header */
#define PROGRESS_STEPS  100000
#define CACHE_KIB       1024
#define LOG_SIZE_LIMIT  (16 << 20) /* what the log shrinks to when it is reset */
#define LOOKASIDE_BYTES 256
#define LOOKASIDE_SLOTS 64

struct statement {
	const char *sql; /* by which it is known */
	sqlite3_stmt *stmt;
	bool busy;
	uint64_t used;
};

struct sqlite_conn {
	struct store_tx tx; /* first */
	sqlite3 *db;
	struct sqlite_vfs *vfs;
	char *path;
	struct statement statements[STORE_STATEMENTS_MAX];
	uint64_t clock;
	int steps; /* since the transaction's beginning, in PROGRESS_STEPS */
};

static struct sqlite_conn *of(struct store_tx *tx)
{
	return (struct sqlite_conn *)tx;
}

static bool conn_busy(const struct sqlite_conn *c)
{
	return sqlite3_get_autocommit(c->db) == 0;
}

/* ---- errors -------------------------------------------------------------------------------- */

static int code_of(int extended)
{
	switch (extended & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return E_IN_USE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return E_FORMAT;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return E_FORBIDDEN;
	case SQLITE_FULL:
	case SQLITE_IOERR:
		return E_IO;
	case SQLITE_CONSTRAINT:
		return extended == SQLITE_CONSTRAINT_UNIQUE ||
			       extended == SQLITE_CONSTRAINT_PRIMARYKEY
			   ? E_EXISTS
			   : E_INVALID;
	case SQLITE_NOMEM:
		return E_MEMORY;
	case SQLITE_INTERRUPT:
		return E_LIMIT;
	case SQLITE_TOOBIG:
		return E_TOO_LARGE;
	default:
		return E_INTERNAL; /* SQL that is wrong, or used wrongly */
	}
}

static int fail(struct sqlite_conn *c, int rc, struct err *err)
{
	int extended = c->db ? sqlite3_extended_errcode(c->db) : rc;
	int code = code_of(extended);

	if (extended == SQLITE_OK || (extended & 0xff) != (rc & 0xff))
		extended = rc, code = code_of(rc);
	switch (code) {
	case E_IN_USE:
		return err_set(err, code, "%s: another process keeps it locked", c->path);
	case E_FORMAT:
		return err_set(err, code,
		    "%s: damaged, or no database (%s). Move it away, or put a copy from before in "
		    "its place",
		    c->path, sqlite3_errstr(extended));
	case E_FORBIDDEN:
		return err_set(err, code, "%s: cannot be written here (%s)", c->path,
		    sqlite3_errstr(extended));
	case E_LIMIT:
		return err_set(err, code, "%s: a query that goes on for too long", c->path);
	case E_IO:
		if ((extended & 0xff) == SQLITE_FULL)
			return err_set(err, code, "%s: the disk is full", c->path);
		break;
	default:
		break;
	}
	return err_set(err, code, "%s: %s", c->path, c->db ? sqlite3_errmsg(c->db) : "no memory");
}

/* ---- connections --------------------------------------------------------------------------- */

static int progress(void *arg)
{
	struct sqlite_conn *c = arg;

	return ++c->steps > STORE_STEPS_MAX / PROGRESS_STEPS;
}

static int conn_exec(struct store_tx *tx, const char *sql, struct err *err)
{
	struct sqlite_conn *c = of(tx);
	int rc;

	c->steps = 0;
	rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(c, rc, err);
}

static void conn_close(struct store_tx *tx)
{
	struct sqlite_conn *c = of(tx);

	for (int i = 0; i < STORE_STATEMENTS_MAX; i++)
		sqlite3_finalize(c->statements[i].stmt);
	if (c->db && sqlite3_close(c->db) != SQLITE_OK)
		BUG("%s: statements are left open", c->path);
	sqlite_vfs_release(c->vfs);
	free(c->path);
	free(c);
}

static int read_int(struct sqlite_conn *c, const char *sql, int64_t *out, struct err *err)
{
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(s);
		*out = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
		rc = sqlite3_finalize(s);
	}
	return rc == SQLITE_OK ? 0 : fail(c, rc, err);
}

/* A file system without what the log needs leaves the mode as it was. */
static int use_log(struct sqlite_conn *c, struct err *err)
{
	sqlite3_stmt *s;
	bool is_log = false;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA journal_mode=WAL", -1, &s, NULL);

	if (rc == SQLITE_OK) {
		if (sqlite3_step(s) == SQLITE_ROW)
			is_log = strcmp((const char *)sqlite3_column_text(s, 0), "wal") == 0;
		rc = sqlite3_finalize(s);
	}
	if (rc != SQLITE_OK)
		return fail(c, rc, err);
	return is_log ? 0
		      : err_set(err, E_IO, "%s: no write-ahead log is possible on this file system",
			    c->path);
}

/* A file of somebody else's is left as it is. */
static int recognise(struct sqlite_conn *c, struct err *err)
{
	int64_t id = 0, tables = 0;
	int rc = read_int(c, "PRAGMA application_id", &id, err);

	if (rc == 0)
		rc = read_int(c, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (rc == 0 && id != APPLICATION_ID && (id != 0 || tables > 0))
		rc = err_set(err, E_FORMAT, "%s: another program's database", c->path);
	return rc;
}

static int configure(struct sqlite_conn *c, enum store_access access, struct err *err)
{
	char sql[256];
	int64_t id = 0;
	int rc;

	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, STORE_BUSY_MS);
	sqlite3_progress_handler(c->db, PROGRESS_STEPS, progress, c);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, LOOKASIDE_BYTES, LOOKASIDE_SLOTS);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, STORE_TEXT_MAX);
	sqlite3_limit(c->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_snprintf(sizeof(sql), sql,
	    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%d; PRAGMA foreign_keys=ON;"
	    "PRAGMA cell_size_check=ON; PRAGMA synchronous=FULL;",
	    CACHE_KIB);
	rc = conn_exec(&c->tx, sql, err);
	if (rc == 0)
		rc = recognise(c, err);
	if (rc || access == STORE_READ)
		return rc ? rc : conn_exec(&c->tx, "PRAGMA query_only=ON", err);
	if (sqlite3_db_readonly(c->db, "main"))
		return fail(c, SQLITE_READONLY, err);
	rc = use_log(c, err);
	sqlite3_snprintf(sizeof(sql), sql, "PRAGMA journal_size_limit=%d", LOG_SIZE_LIMIT);
	if (rc == 0)
		rc = conn_exec(&c->tx, sql, err);
	if (rc == 0)
		rc = read_int(c, "PRAGMA application_id", &id, err);
	sqlite3_snprintf(sizeof(sql), sql, "PRAGMA application_id=%d", APPLICATION_ID);
	return rc == 0 && id != APPLICATION_ID ? conn_exec(&c->tx, sql, err) : rc;
}

static int conn_open(struct world *w, const char *path, enum store_access access,
    struct store_tx **out, struct err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
	struct sqlite_conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c || !(c->path = strdup(path))) {
		free(c);
		return err_set(err, E_MEMORY, "no memory for a database");
	}
	c->tx.backend = &store_sqlite;
	if (world_disk(w) && !(c->vfs = sqlite_vfs_hold(w))) {
		conn_close(&c->tx);
		return err_set(err, E_MEMORY, "no memory for a database");
	}
	rc = sqlite3_open_v2(path, &c->db, flags, c->vfs ? sqlite_vfs_name(c->vfs) : NULL);
	rc = rc == SQLITE_OK ? configure(c, access, err) : fail(c, rc, err);
	if (rc) {
		conn_close(&c->tx);
		return rc;
	}
	*out = &c->tx;
	return 0;
}

static bool conn_in_transaction(const struct store_tx *tx)
{
	return conn_busy((const struct sqlite_conn *)tx);
}

static int conn_check(struct store_tx *tx, char damage[ERR_TEXT_MAX / 2], struct err *err)
{
	struct sqlite_conn *c = of(tx);
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &s, NULL);

	damage[0] = '\0';
	c->steps = INT32_MIN; /* as long as it takes */
	if (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(s, 0);
		if (text && strcmp(text, "ok") != 0)
			snprintf(damage, ERR_TEXT_MAX / 2, "%s", text);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_finalize(s);
	c->steps = 0;
	return rc == SQLITE_OK ? 0 : fail(c, rc, err);
}

/* ---- statements ---------------------------------------------------------------------------- */

/* The one that is known by this text, or the place of the one least lately used. */
static struct statement *find_statement(struct sqlite_conn *c, const char *sql)
{
	struct statement *best = NULL;

	for (int i = 0; i < STORE_STATEMENTS_MAX; i++) {
		struct statement *s = &c->statements[i];
		if (s->busy)
			continue;
		if (s->stmt && (s->sql == sql || strcmp(s->sql, sql) == 0))
			return s;
		if (!best || s->used < best->used)
			best = s;
	}
	return best;
}

static int conn_prepare(struct store_tx *tx, const char *sql, void **out, struct err *err)
{
	struct sqlite_conn *c = of(tx);
	struct statement *s = find_statement(c, sql);
	int rc;

	if (!s)
		return err_set(
		    err, E_INTERNAL, "more than %d statements at once", STORE_STATEMENTS_MAX);
	if (!s->stmt || strcmp(s->sql, sql) != 0) {
		sqlite3_finalize(s->stmt);
		*s = (struct statement){.sql = sql};
		rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
		if (rc != SQLITE_OK)
			return fail(c, rc, err);
	}
	s->busy = true;
	s->used = ++c->clock;
	*out = s;
	return 0;
}

static sqlite3_stmt *stmt_of(const struct store_query *q)
{
	return ((struct statement *)q->statement)->stmt;
}

static int bound(struct store_query *q, int rc)
{
	return rc == SQLITE_OK ? 0 : fail(of(q->tx), rc, &q->err);
}

static int query_bind_int(struct store_query *q, int at, int64_t v)
{
	return bound(q, sqlite3_bind_int64(stmt_of(q), at, v));
}

static int query_bind_text(struct store_query *q, int at, const char *text, size_t n)
{
	return bound(q, sqlite3_bind_text64(stmt_of(q), at, text, n, SQLITE_STATIC, SQLITE_UTF8));
}

/* An empty one is no NULL. */
static int query_bind_blob(struct store_query *q, int at, struct bytes v)
{
	return bound(q,
	    sqlite3_bind_blob64(stmt_of(q), at, v.n ? v.p : (const void *)"", v.n, SQLITE_STATIC));
}

static int query_step(struct store_query *q, struct err *err)
{
	int rc = sqlite3_step(stmt_of(q));

	return rc == SQLITE_ROW ? STORE_ROW : rc == SQLITE_DONE ? 0 : fail(of(q->tx), rc, err);
}

static int64_t query_int(struct store_query *q, int column)
{
	return sqlite3_column_int64(stmt_of(q), column);
}

static struct bytes query_bytes(struct store_query *q, int column)
{
	const void *p = sqlite3_column_type(stmt_of(q), column) == SQLITE_BLOB
			    ? sqlite3_column_blob(stmt_of(q), column)
			    : (const void *)sqlite3_column_text(stmt_of(q), column);

	return bytes_of(p, (size_t)sqlite3_column_bytes(stmt_of(q), column));
}

static const char *query_text(struct store_query *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(stmt_of(q), column);

	return text ? text : "";
}

static bool query_null(struct store_query *q, int column)
{
	return sqlite3_column_type(stmt_of(q), column) == SQLITE_NULL;
}

static void query_end(struct store_query *q)
{
	struct statement *s = q->statement;

	sqlite3_reset(s->stmt);
	sqlite3_clear_bindings(s->stmt);
	s->busy = false;
}

static int64_t conn_changed(struct store_tx *tx)
{
	return sqlite3_changes64(of(tx)->db);
}

const struct store_backend store_sqlite = {
    .begin_write = "BEGIN IMMEDIATE",
    .begin_read = "BEGIN",
    .open = conn_open,
    .close = conn_close,
    .exec = conn_exec,
    .check = conn_check,
    .in_transaction = conn_in_transaction,
    .prepare = conn_prepare,
    .bind_int = query_bind_int,
    .bind_text = query_bind_text,
    .bind_blob = query_bind_blob,
    .step = query_step,
    .column_int = query_int,
    .column_bytes = query_bytes,
    .column_text = query_text,
    .column_null = query_null,
    .end = query_end,
    .changed = conn_changed,
};
