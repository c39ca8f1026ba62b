/* The inside of the store: the queue and the migrations (store.c, migrate.c) above a backend. */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "store/store.h"

/* One connection to a database. Used by one worker at a time. */
struct store_tx {
	const struct store_backend *backend;
};

enum store_access {
	STORE_READ,
	STORE_WRITE
};

/* A database engine. All functions are for workers. */
struct store_backend {
	const char *begin_write, *begin_read;
	int (*open)(struct world *w, const char *path, enum store_access access,
	    struct store_tx **out, struct err *err);
	void (*close)(struct store_tx *tx);
	/* Statements without parameters or results. */
	int (*exec)(struct store_tx *tx, const char *sql, struct err *err);
	/* The text of the first damage found; 0 and "" when there is none. */
	int (*check)(struct store_tx *tx, char damage[ERR_TEXT_MAX / 2], struct err *err);
	/* Whether a transaction is under way: some errors end it. */
	bool (*in_transaction)(const struct store_tx *tx);
	int (*prepare)(struct store_tx *tx, const char *sql, void **statement, struct err *err);
	int (*bind_int)(struct store_query *q, int at, int64_t v);
	int (*bind_text)(struct store_query *q, int at, const char *text, size_t n);
	int (*bind_blob)(struct store_query *q, int at, struct bytes v);
	int (*step)(struct store_query *q, struct err *err);
	int64_t (*column_int)(struct store_query *q, int column);
	struct bytes (*column_bytes)(struct store_query *q, int column);
	const char *(*column_text)(struct store_query *q, int column);
	bool (*column_null)(struct store_query *q, int column);
	void (*end)(struct store_query *q);
	int64_t (*changed)(struct store_tx *tx);
};

extern const struct store_backend store_sqlite;

/* Worker: brings the tables to the schemas' versions, in one transaction. E_UNSUPPORTED. */
int store_migrate(
    struct store_tx *tx, const struct store_schema *schemas, size_t n, struct err *err) WARN_UNUSED;

/* ---- sqlite_vfs.c: SQLite's files in a world that has its own ---- */
struct sqlite_vfs;
/* The one of this world, made when there is none; each is given back. NULL without memory. */
struct sqlite_vfs *sqlite_vfs_hold(struct world *w);
const char *sqlite_vfs_name(const struct sqlite_vfs *v);
/* The last one frees it: after the connections that use it are closed. */
void sqlite_vfs_release(struct sqlite_vfs *v);

#endif
