/* The store: SQL on a database file of the node, for what has to survive a power cut.
 *
 * Work is done in transactions: functions that run on a worker with one, while the fiber that asked
 * is parked; the loop never waits for a disk. Writers queue: what has gathered while one group was
 * being written is written as the next group, with one sync for all of it. Each function of a group
 * is a transaction of its own all the same: one that fails is undone alone. Readers see the
 * state of the last commit and wait for no writer.
 *
 * store_run returns 0 only when the transaction is on the disk. The SQL is what SQLite and
 * PostgreSQL have in common; parameters are `?`. SPEC sqlite: "Write-Ahead Logging", "PRAGMA
 * synchronous". */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/bytes.h"
#include "rt/world.h"

struct store;
struct store_tx;

#define STORE_ROOMS_MAX      16
#define STORE_NAME_MAX       32 /* of a room, with its NUL */
#define STORE_GROUP_MAX      64 /* transactions with one sync */
#define STORE_QUEUE_MAX      4096
#define STORE_READERS        2           /* readers at the same time */
#define STORE_STATEMENTS_MAX 32          /* kept prepared, a connection */
#define STORE_BUSY_MS        5000        /* how long another process may hold the database */
#define STORE_TEXT_MAX       (16u << 20) /* bytes of one value */
/* Steps of the database's machine that one transaction may take: about a second of work. */
#define STORE_STEPS_MAX 40000000

/* The tables of one room. Step i is SQL (one statement or several) that leads from version i to
 * version i + 1; steps that were ever released do not change. */
struct store_schema {
	const char *room;
	const char *const *steps;
	size_t n_steps;
};

struct store_options {
	struct world *world;
	const char *path; /* made with mode 0600 when it is not there */
	const struct store_schema *schemas;
	size_t n_schemas; /* ≤ STORE_ROOMS_MAX */
};

/* [parks] Opens the database: looks for damage after an unclean end, then brings all tables to the
 * versions of `schemas` in one transaction. All of the options may go after it.
 * E_FORMAT: damaged, or no database of ours; E_FORBIDDEN: readable by others, or not ours to write;
 * E_UNSUPPORTED: a newer program has been here; E_IN_USE: another process keeps it busy; E_IO. */
int store_open(const struct store_options *opt, struct store **out, struct err *err) WARN_UNUSED;
/* [parks] Writes what waits, and closes. Nobody may be inside a call, nor begin one. */
void store_close(struct store *s);

/* Runs on a worker, at most once: touches only `arg` and the transaction. An error undoes it. */
typedef int (*store_fn)(struct store_tx *tx, void *arg, struct err *err);

/* [parks] Runs fn in a transaction that may write. The wait is not interruptible, so that `arg` may
 * lie on the caller's stack, and nobody has to guess whether it took place. 0: committed and
 * synced. E_UNAVAILABLE when closing, E_LIMIT when too much waits or fn goes on for too long, E_IO
 * (the text says so for a full disk), E_IN_USE, E_EXISTS (a unique value that is there already),
 * or what fn returned. */
int store_run(struct store *s, store_fn fn, void *arg, struct err *err) WARN_UNUSED;

/* [parks] The same for reading: writing fails. Beside writers and other readers. */
int store_read(struct store *s, store_fn fn, void *arg, struct err *err) WARN_UNUSED;

struct store_stats {
	uint64_t transactions, groups, failed; /* written; with how many syncs; undone */
	size_t waiting;
};
void store_stats(const struct store *s, struct store_stats *out);

/* ---- statements: on the worker, in a transaction -------------------------------------------- */

/* One statement being run. Lives on the stack of the transaction's function. An error in preparing
 * or binding shows in the next step. Values are bound from 1 on, columns read from 0 on. */
struct store_query {
	struct store_tx *tx;
	void *statement; /* the backend's */
	int rc;
	struct err err;
};

/* Begins it; the text must live as long as the program: statements are kept prepared by it. */
void store_query(struct store_tx *tx, struct store_query *q, const char *sql);
/* Texts and blobs are borrowed until store_end. */
void store_bind_int(struct store_query *q, int at, int64_t v);
void store_bind_text(struct store_query *q, int at, const char *text); /* NULL: SQL's NULL */
void store_bind_blob(struct store_query *q, int at, struct bytes v);
void store_bind_null(struct store_query *q, int at);

#define STORE_ROW 1
/* STORE_ROW when there is a row, 0 when there are no more, or an error. */
int store_step(struct store_query *q, struct err *err) WARN_UNUSED;

/* Of the present row, until the next step. NULL reads as 0 and as empty. */
int64_t store_int(struct store_query *q, int column);
struct bytes store_blob(struct store_query *q, int column);
/* Never NULL. */
const char *store_text(struct store_query *q, int column);
bool store_is_null(struct store_query *q, int column);

/* Ends it; always. */
void store_end(struct store_query *q);

/* Steps to the end, leaving out rows, and ends it. */
int store_finish(struct store_query *q, struct err *err) WARN_UNUSED;
/* Rows that the last finished statement of the transaction changed. */
int64_t store_changed(struct store_tx *tx);

#endif
