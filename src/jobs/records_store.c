/* Request records in the store: one row each. Runs on workers. */
#include "jobs/records_priv.h"

#include <stdlib.h>

static const char *const steps[] = {
    "CREATE TABLE requests ("
    " seq BIGINT PRIMARY KEY, id TEXT NOT NULL, source BIGINT NOT NULL, source_name TEXT NOT NULL,"
    " owner TEXT NOT NULL, dialect TEXT NOT NULL, model TEXT NOT NULL, served_model TEXT NOT NULL,"
    " prompt_sha256 TEXT NOT NULL, target TEXT NOT NULL, tried TEXT NOT NULL, candidates TEXT,"
    " received_ms BIGINT NOT NULL, started_us BIGINT NOT NULL, first_us BIGINT NOT NULL,"
    " last_us BIGINT NOT NULL, ended_us BIGINT NOT NULL, tokens_in BIGINT NOT NULL,"
    " tokens_out BIGINT NOT NULL, cost_msat BIGINT NOT NULL, code TEXT, text TEXT NOT NULL);"
    "CREATE INDEX requests_by_id ON requests (id)",
};

const struct store_schema records_schema = {"requests", steps, sizeof steps / sizeof *steps};

#define COLUMNS                                                                                    \
	"seq, id, source, source_name, owner, dialect, model, served_model, prompt_sha256, "       \
	"target,"                                                                                  \
	" tried, candidates, received_ms, started_us, first_us, last_us, ended_us, tokens_in,"     \
	" tokens_out, cost_msat, code, text"

/* ---- writing ------------------------------------------------------------------------------- */

static int write_one(struct store_tx *tx, const struct request_record *r, struct err *err)
{
	json_t *list = record_tried_json(r);
	char *tried = list ? json_dumps(list, JSON_COMPACT) : NULL;
	struct store_query q;
	int at = 0;

	json_decref(list);
	if (!tried)
		return err_set(err, E_MEMORY, "no memory for a request record");
	store_query(tx, &q,
	    "INSERT INTO requests (" COLUMNS ")"
	    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	store_bind_int(&q, ++at, (int64_t)r->seq);
	store_bind_text(&q, ++at, r->id);
	store_bind_int(&q, ++at, r->source);
	const char *const texts[] = {r->source_name, r->owner, r->dialect, r->model,
	    r->served_model, r->prompt_sha256, r->target, tried, r->candidates};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		store_bind_text(&q, ++at, texts[i]);
	const int64_t numbers[] = {r->received_ms, r->started_us, r->first_us, r->last_us,
	    r->ended_us, r->tokens_in, r->tokens_out, r->cost_msat};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		store_bind_int(&q, ++at, numbers[i]);
	store_bind_text(&q, ++at, r->code ? err_info(r->code)->name : NULL);
	store_bind_text(&q, ++at, r->text);
	int rc = store_finish(&q, err);
	free(tried);
	return rc;
}

int records_store_write(struct store_tx *tx, void *arg, struct err *err)
{
	const struct record_batch *b = arg;
	int rc = 0;

	for (size_t i = 0; i < b->n && rc == 0; i++)
		rc = write_one(tx, b->of[i], err);
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void take_text(struct store_query *q, int column, char *out, size_t cap)
{
	snprintf(out, cap, "%s", store_text(q, column));
}

#define TAKE(member) take_text(q, at++, out->member, sizeof out->member)

static int take_row(struct store_query *q, struct request_record *out, struct err *err)
{
	int at = 0;
	json_t *tried = NULL;

	out->seq = (uint64_t)store_int(q, at++);
	TAKE(id);
	out->source = (enum record_source)store_int(q, at++);
	TAKE(source_name);
	TAKE(owner);
	TAKE(dialect);
	TAKE(model);
	TAKE(served_model);
	TAKE(prompt_sha256);
	TAKE(target);
	int rc = json_read(store_blob(q, at++), &tried, err);
	if (rc)
		return rc;
	record_tried_read(tried, out);
	json_decref(tried);
	out->candidates = store_is_null(q, at) ? NULL : strdup(store_text(q, at));
	at++;
	int64_t *const numbers[] = {&out->received_ms, &out->started_us, &out->first_us,
	    &out->last_us, &out->ended_us, &out->tokens_in, &out->tokens_out, &out->cost_msat};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		*numbers[i] = store_int(q, at++);
	out->code = store_is_null(q, at) ? 0 : err_code_of(store_text(q, at), E_INTERNAL);
	at++;
	TAKE(text);
	return 0;
}

int records_store_read(struct store_tx *tx, void *arg, struct err *err)
{
	struct record_shelf *s = arg;
	struct store_query q;
	int rc;

	s->of = calloc(s->limit + 1, sizeof *s->of);
	if (!s->of)
		return err_set(err, E_MEMORY, "no memory for request records");
	if (s->id)
		store_query(tx, &q,
		    "SELECT " COLUMNS " FROM requests WHERE id = ? ORDER BY seq DESC LIMIT ?");
	else
		store_query(tx, &q,
		    "SELECT " COLUMNS " FROM requests WHERE seq < ? ORDER BY seq DESC LIMIT ?");
	if (s->id)
		store_bind_text(&q, 1, s->id);
	else
		store_bind_int(&q, 1, (int64_t)s->before);
	store_bind_int(&q, 2, (int64_t)s->limit);
	while ((rc = store_step(&q, err)) == STORE_ROW) {
		rc = take_row(&q, &s->of[s->n], err);
		if (rc)
			break;
		s->n++;
	}
	store_end(&q);
	return rc;
}

void record_shelf_free(struct record_shelf *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->of[i].candidates);
		free(s->of[i].tried);
	}
	free(s->of);
}

int records_store_last(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "SELECT coalesce(max(seq), 0) FROM requests");
	int rc = store_step(&q, err);
	*(uint64_t *)arg = rc == STORE_ROW ? (uint64_t)store_int(&q, 0) : 0;
	store_end(&q);
	return rc < 0 ? rc : 0;
}

/* ---- retention ----------------------------------------------------------------------------- */

/* A batch at a time, so that a long neglect does not hold up the writers behind it. */
int records_store_prune(struct store_tx *tx, void *arg, struct err *err)
{
	struct record_prune *p = arg;
	struct store_query q;

	store_query(tx, &q,
	    "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE seq <="
	    " (SELECT coalesce(max(seq), 0) FROM requests) - ? OR received_ms < ?"
	    " ORDER BY seq LIMIT ?)");
	store_bind_int(&q, 1, (int64_t)p->keep_count);
	store_bind_int(&q, 2, p->before_ms);
	store_bind_int(&q, 3, RECORDS_PRUNE_BATCH);
	int rc = store_finish(&q, err);
	p->removed = store_changed(tx);
	return rc;
}
