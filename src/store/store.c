/* Transactions on workers: see store.h.
 *
 * Writers take turns in leading: who finds nobody at work takes what waits as a group, has it
 * written, and leaves the rest to the first who still waits. So there is no fiber of the store's
 * own, one group is under way at a time, and a lone writer is not delayed.
 *
 * Must stay true: 0 is told to a writer only after the commit of its group has returned. */
#include "store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_LENGTH_MAX 1024
#define TURN_WAIT_S     3600 /* of a wait that goes on in any case */

/* One writer's transaction, on its fiber's stack. */
struct pending {
	struct pending *next;
	store_fn fn;
	void *arg;
	struct err err;
	int rc;
	bool done, leads;
	struct waitq turn;
};

struct store {
	struct world *world;
	const struct store_backend *backend;
	char path[PATH_LENGTH_MAX];
	struct store_tx *writer;
	struct store_tx *readers[STORE_READERS]; /* opened when first needed */
	bool reading[STORE_READERS];
	struct sem free_readers;
	struct pending *first, **last;
	bool leading, closing;
	struct store_stats stats;
};

/* ---- a group, on the worker ---------------------------------------------------------------- */

struct group {
	struct store *store;
	struct pending *of[STORE_GROUP_MAX];
	size_t n;
};

static int exec(struct store_tx *tx, const char *sql, struct err *err)
{
	return tx->backend->exec(tx, sql, err);
}

static void fail_all(struct group *g, int rc, const struct err *why)
{
	for (size_t i = 0; i < g->n; i++) {
		struct pending *p = g->of[i];
		if (p->rc == 0)
			p->rc = err_set(&p->err, rc, "%s", err_text(why));
	}
}

/* Runs one function; what it did is undone when it fails. False when the whole transaction is lost:
 * a full disk, for one, ends it. */
static bool run_one(struct store_tx *tx, struct pending *p, struct err *why)
{
	int rc = exec(tx, "SAVEPOINT one", why);

	if (rc == 0) {
		p->rc = p->fn(tx, p->arg, &p->err);
		if (!tx->backend->in_transaction(tx)) {
			*why = p->err;
			why->code = p->rc ? p->rc : E_INTERNAL;
			return false;
		}
		if (p->rc)
			rc = exec(tx, "ROLLBACK TO one", why);
	}
	if (rc == 0)
		rc = exec(tx, "RELEASE one", why);
	return rc == 0;
}

static void run_group(void *arg)
{
	struct group *g = arg;
	struct store_tx *tx = g->store->writer;
	struct err why = {0};
	int rc = exec(tx, tx->backend->begin_write, &why);

	for (size_t i = 0; i < g->n && rc == 0; i++)
		if (!run_one(tx, g->of[i], &why))
			rc = why.code;
	if (rc == 0)
		rc = exec(tx, "COMMIT", &why);
	if (rc == 0)
		return;
	fail_all(g, rc, &why);
	if (tx->backend->in_transaction(tx))
		(void)!exec(tx, "ROLLBACK", NULL);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void take_group(struct store *s, struct group *g)
{
	g->store = s;
	g->n = 0;
	while (s->first && g->n < STORE_GROUP_MAX) {
		g->of[g->n++] = s->first;
		s->first = s->first->next;
	}
	if (!s->first)
		s->last = &s->first;
	s->stats.waiting -= g->n;
}

static void count(struct store *s, const struct group *g)
{
	s->stats.groups++;
	for (size_t i = 0; i < g->n; i++)
		*(g->of[i]->rc ? &s->stats.failed : &s->stats.transactions) += 1;
}

/* Writes one group, the caller's own among it. */
static void lead(struct store *s)
{
	struct group g;
	struct err err = {0};

	take_group(s, &g);
	int rc = rt_work(run_group, &g, NULL, &err);
	if (rc)
		fail_all(&g, rc, &err);
	count(s, &g);
	for (size_t i = 0; i < g.n; i++) {
		g.of[i]->done = true;
		waitq_wake_all(&g.of[i]->turn);
	}
	s->leading = s->first != NULL;
	if (s->first) {
		s->first->leads = true;
		waitq_wake_all(&s->first->turn);
	}
}

/* Nobody gives up waiting: the group holds what lies on this stack. */
static void wait_turn(struct pending *p)
{
	while (!p->done && !p->leads) {
		struct scope sc;
		scope_open_shielded(&sc, duration_s(TURN_WAIT_S));
		(void)!waitq_wait(&p->turn, NULL);
		scope_close(&sc);
	}
}

int store_run(struct store *s, store_fn fn, void *arg, struct err *err)
{
	struct pending p = {.fn = fn, .arg = arg};

	if (s->closing)
		return err_set(err, E_UNAVAILABLE, "the database is being closed");
	if (s->stats.waiting >= STORE_QUEUE_MAX)
		return err_set(
		    err, E_LIMIT, "%s: %zu transactions wait", s->path, s->stats.waiting);
	*s->last = &p;
	s->last = &p.next;
	s->stats.waiting++;
	if (!s->leading)
		s->leading = p.leads = true;
	wait_turn(&p);
	if (!p.done)
		lead(s);
	return p.rc ? err_set(err, p.rc, "%s", err_text(&p.err)) : 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reading {
	struct store *store;
	struct store_tx **tx;
	store_fn fn;
	void *arg;
	int rc;
	struct err err;
};

static void run_reading(void *arg)
{
	struct reading *r = arg;

	if (!*r->tx)
		r->rc = r->store->backend->open(
		    r->store->world, r->store->path, STORE_READ, r->tx, &r->err);
	if (r->rc == 0)
		r->rc = exec(*r->tx, (*r->tx)->backend->begin_read, &r->err);
	if (r->rc)
		return;
	r->rc = r->fn(*r->tx, r->arg, &r->err);
	if ((*r->tx)->backend->in_transaction(*r->tx))
		(void)!exec(*r->tx, "ROLLBACK", NULL);
}

int store_read(struct store *s, store_fn fn, void *arg, struct err *err)
{
	struct reading r = {.store = s, .fn = fn, .arg = arg};
	size_t i = 0;
	int rc = sem_acquire(&s->free_readers, err);

	if (rc)
		return rc;
	while (s->reading[i])
		i++;
	s->reading[i] = true;
	r.tx = &s->readers[i];
	rc = rt_work(run_reading, &r, NULL, err);
	s->reading[i] = false;
	sem_release(&s->free_readers);
	if (rc == 0 && r.rc)
		rc = err_set(err, r.rc, "%s", err_text(&r.err));
	return rc;
}

/* ---- opening and closing ------------------------------------------------------------------- */

struct opening {
	const struct store_options *opt;
	struct store *store;
	bool unclean;
	int rc;
	struct err err;
};

static void run_opening(void *arg)
{
	struct opening *o = arg;
	struct store *s = o->store;
	char damage[ERR_TEXT_MAX / 2] = "";

	o->rc = s->backend->open(s->world, s->path, STORE_WRITE, &s->writer, &o->err);
	if (o->rc == 0 && o->unclean)
		o->rc = s->backend->check(s->writer, damage, &o->err);
	if (damage[0])
		o->rc = err_set(&o->err, E_FORMAT,
		    "%s: damaged (%s). Move it away, or put a copy from before in its place",
		    s->path, damage);
	if (o->rc == 0)
		o->rc = store_migrate(s->writer, o->opt->schemas, o->opt->n_schemas, &o->err);
}

static void run_closing(void *arg)
{
	struct store *s = arg;

	for (size_t i = 0; i < STORE_READERS; i++)
		if (s->readers[i])
			s->backend->close(s->readers[i]);
	if (s->writer)
		s->backend->close(s->writer);
}

static void close_connections(struct store *s)
{
	struct err err = {0};

	if (rt_work(run_closing, s, NULL, &err) != 0)
		run_closing(s); /* no memory for a worker: the loop has to wait for it */
}

/* The file itself is made here, so that nobody else can read it; SQLite's others follow it. */
static int prepare_file(struct store *s, bool *unclean, struct err *err)
{
	char log[PATH_LENGTH_MAX + 8];
	struct file_info info;
	int rc = file_stat(s->world, s->path, &info, err);

	if (rc == E_NOT_FOUND)
		return file_write(s->world, s->path, bytes_of(NULL, 0), 0600, err);
	if (rc == 0 && info.is_dir)
		return err_set(err, E_INVALID, "%s: is a folder", s->path);
	if (rc == 0 && (info.mode & 077))
		return err_set(err, E_FORBIDDEN,
		    "%s can be read by others (mode %04o): make it private with chmod 600", s->path,
		    info.mode);
	snprintf(log, sizeof(log), "%s-wal", s->path);
	*unclean = rc == 0 && file_stat(s->world, log, &info, NULL) == 0 && info.size > 0;
	return rc;
}

int store_open(const struct store_options *opt, struct store **out, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	struct opening o = {.opt = opt, .store = s};
	int n = s ? snprintf(s->path, sizeof(s->path), "%s", opt->path) : 0;

	INVARIANT(opt->n_schemas <= STORE_ROOMS_MAX);
	if (!s)
		return err_set(err, E_MEMORY, "no memory for a database");
	s->world = opt->world;
	s->backend = &store_sqlite;
	s->last = &s->first;
	s->free_readers.free = STORE_READERS;
	int rc = n < 0 || n >= PATH_LENGTH_MAX ? err_set(err, E_INVALID, "too long a path")
					       : prepare_file(s, &o.unclean, err);
	if (rc == 0)
		rc = rt_work(run_opening, &o, NULL, err);
	if (rc == 0 && o.rc)
		rc = err_set(err, o.rc, "%s", err_text(&o.err));
	if (rc) {
		store_close(s);
		return rc;
	}
	if (o.unclean)
		rt_log(LOG_INFO, "store", "%s: not closed in order; looked through, and whole",
		    s->path);
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	s->closing = true;
	INVARIANT(!s->first && !s->leading);
	if (s->writer)
		close_connections(s);
	free(s);
}

void store_stats(const struct store *s, struct store_stats *out)
{
	*out = s->stats;
}

/* ---- statements ---------------------------------------------------------------------------- */

void store_query(struct store_tx *tx, struct store_query *q, const char *sql)
{
	*q = (struct store_query){.tx = tx};
	q->rc = tx->backend->prepare(tx, sql, &q->statement, &q->err);
}

void store_bind_int(struct store_query *q, int at, int64_t v)
{
	if (q->rc == 0)
		q->rc = q->tx->backend->bind_int(q, at, v);
}

void store_bind_text(struct store_query *q, int at, const char *text)
{
	if (q->rc == 0)
		q->rc = q->tx->backend->bind_text(q, at, text, text ? strlen(text) : 0);
}

void store_bind_blob(struct store_query *q, int at, struct bytes v)
{
	if (q->rc == 0)
		q->rc = q->tx->backend->bind_blob(q, at, v);
}

void store_bind_null(struct store_query *q, int at)
{
	store_bind_text(q, at, NULL);
}

int store_step(struct store_query *q, struct err *err)
{
	if (q->rc)
		return err_set(err, q->rc, "%s", err_text(&q->err));
	return q->tx->backend->step(q, err);
}

int64_t store_int(struct store_query *q, int column)
{
	return q->tx->backend->column_int(q, column);
}

struct bytes store_blob(struct store_query *q, int column)
{
	return q->tx->backend->column_bytes(q, column);
}

const char *store_text(struct store_query *q, int column)
{
	return q->tx->backend->column_text(q, column);
}

bool store_is_null(struct store_query *q, int column)
{
	return q->tx->backend->column_null(q, column);
}

void store_end(struct store_query *q)
{
	if (q->statement)
		q->tx->backend->end(q);
	q->statement = NULL;
}

int store_finish(struct store_query *q, struct err *err)
{
	int rc;

	while ((rc = store_step(q, err)) == STORE_ROW) {
	}
	store_end(q);
	return rc;
}

int64_t store_changed(struct store_tx *tx)
{
	return tx->backend->changed(tx);
}
