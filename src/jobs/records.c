/* The book of request records: see records.h.
 *
 * Open records hang in one list, ended ones in another, oldest first; `unwritten` is the first of
 * these that no batch has taken yet. What a batch holds is counted, so that forgetting a record
 * while a worker reads it is harmless.
 *
 * Must stay true: an ended record never changes. */
#include "jobs/records_priv.h"

#include "crypto/hash.h"

#include "base/encode.h"

#include <stdlib.h>
#include <utlist.h>

#define MEMORY_MAX  (32u << 20) /* of ended records, with their candidates */
#define LIST_MAX    1000
#define SAME_ID_MAX 16
#define WARN_EVERY  60 /* seconds between complaints about the store */

struct record {
	struct request_record view; /* first */
	struct records *book;
	struct instant began;
	struct record *next, *prev;
	size_t size;
	unsigned refs;
};

struct records {
	struct records_options opt;
	struct scope scope;
	struct record *open, *ended; /* utlist, DL */
	struct record *unwritten;
	size_t n_open, n_ended, n_pending, memory;
	uint64_t seq;
	struct waitq work, followers;
	struct instant pruned, warned;
	struct records_stats stats;
	bool closing;
};

static int64_t since_us(const struct record *r)
{
	return instant_since(world_now(r->book->opt.world), r->began).ns / 1000;
}

static void copy(char *out, size_t cap, const char *text)
{
	size_t n = strlen(text);
	if (n >= cap)
		n = utf8_valid_prefix(bytes_of(text, cap - 1));
	memcpy(out, text, n);
	out[n] = '\0';
}

#define COPY(member, text) copy(r->view.member, sizeof r->view.member, text)

static void release(struct record *r)
{
	if (--r->refs > 0)
		return;
	free(r->view.candidates);
	free(r->view.tried);
	free(r);
}

/* ---- what happens to a request ------------------------------------------------------------- */

struct record *records_begin(struct records *book, const struct record_origin *origin,
    const char *id, const char *dialect, const char *model)
{
	struct record *r = book && !book->closing ? calloc(1, sizeof *r) : NULL;
	if (!r)
		return NULL;
	r->book = book;
	r->began = world_now(book->opt.world);
	r->refs = 1;
	r->view.received_ms = world_wall_ms(book->opt.world);
	r->view.started_us = r->view.first_us = r->view.last_us = r->view.ended_us = -1;
	r->view.tokens_in = r->view.tokens_out = -1;
	r->view.source = origin->source;
	COPY(source_name, origin->name ? origin->name : "");
	COPY(owner, origin->owner ? origin->owner : "");
	COPY(id, id);
	COPY(dialect, dialect);
	COPY(model, model);
	DL_APPEND(book->open, r);
	book->n_open++;
	return r;
}

/* Hashes lengths with the texts, so that no two conversations look alike; no more than `left`. */
static void hash_text(struct sha256 *h, struct bytes text, size_t *left)
{
	uint8_t n[8];
	size_t part = text.n < *left ? text.n : *left;
	put_u64be(n, text.n);
	sha256_add(h, bytes_of(n, sizeof n));
	if (part > 0)
		sha256_add(h, bytes_of(text.p, part));
	*left -= part;
}

void record_prompt(struct record *r, const struct inference_request *req)
{
	uint8_t sum[SHA256_SIZE];
	struct sha256 h;
	size_t left = RECORD_PROMPT_MAX;
	if (!r)
		return;
	sha256_begin(&h);
	for (size_t i = 0; i < req->n_messages; i++) {
		const struct inference_message *m = &req->messages[i];
		hash_text(&h, bytes_str(m->role), &left);
		hash_text(&h, m->content, &left);
		for (size_t k = 0; k < m->n_parts; k++)
			hash_text(&h, m->parts[k].text, &left);
	}
	hash_text(&h, req->prompt, &left);
	sha256_end(&h, sum);
	hex_encode(bytes_of(sum, sizeof sum), r->view.prompt_sha256);
}

void record_candidates(struct record *r, struct bytes json)
{
	if (!r)
		return;
	free(r->view.candidates);
	r->view.candidates = json.n > 0 && json.n <= RECORD_CANDIDATES_MAX
				 ? strndup((const char *)json.p, json.n)
				 : NULL;
}

unsigned record_attempt(
    struct record *r, const char *target, const char *provider, const char *model)
{
	if (!r)
		return 0;
	int64_t now = since_us(r);
	if (r->view.started_us < 0)
		r->view.started_us = now;
	COPY(served_model, model);
	unsigned i = r->view.n_tried;
	struct record_tried *all =
	    i < RECORD_ATTEMPTS_MAX ? realloc(r->view.tried, (i + 1) * sizeof *all) : NULL;
	if (!all)
		return RECORD_ATTEMPTS_MAX;
	r->view.tried = all;
	struct record_tried *t = &r->view.tried[r->view.n_tried++];
	*t = (struct record_tried){.began_us = now, .ended_us = -1};
	copy(t->target, sizeof t->target, target);
	copy(t->provider, sizeof t->provider, provider);
	return i;
}

void record_attempt_end(struct record *r, unsigned attempt, int code, const char *text)
{
	if (!r || attempt >= r->view.n_tried)
		return;
	struct record_tried *t = &r->view.tried[attempt];
	t->ended_us = since_us(r);
	t->code = code;
	copy(t->text, sizeof t->text, code ? text : "");
	if (code == 0)
		COPY(target, t->target);
}

void record_event(struct record *r)
{
	if (!r)
		return;
	r->view.last_us = since_us(r);
	if (r->view.first_us < 0)
		r->view.first_us = r->view.last_us;
}

void record_usage(struct record *r, const struct inference_usage *usage)
{
	if (!r)
		return;
	r->view.tokens_in = usage->prompt_tok;
	r->view.tokens_out = usage->completion_tok;
}

void record_cost(struct record *r, int64_t msat)
{
	if (r)
		r->view.cost_msat = msat;
}

/* ---- the ended ones ------------------------------------------------------------------------ */

static bool is_pending(const struct records *book, const struct record *r)
{
	return book->unwritten && r->view.seq >= book->unwritten->view.seq;
}

static void forget_oldest(struct records *book)
{
	struct record *r = book->ended;
	if (is_pending(book, r)) {
		book->stats.lost++;
		book->n_pending--;
		book->unwritten = r->next;
	}
	DL_DELETE(book->ended, r);
	book->n_ended--;
	book->memory -= r->size;
	release(r);
}

static void trim(struct records *book)
{
	while (book->n_ended > 0 &&
	       (book->memory > MEMORY_MAX || book->n_pending > RECORDS_PENDING_MAX ||
		   (book->n_ended > RECORDS_KEPT && !is_pending(book, book->ended))))
		forget_oldest(book);
}

void records_end(struct records *book, struct record *r, int code, const char *text)
{
	if (!r)
		return;
	r->view.ended_us = since_us(r);
	r->view.code = code;
	COPY(text, code ? text : "");
	r->view.seq = ++book->seq;
	r->size = sizeof *r + r->view.n_tried * sizeof *r->view.tried +
		  (r->view.candidates ? strlen(r->view.candidates) : 0);
	DL_DELETE(book->open, r);
	book->n_open--;
	DL_APPEND(book->ended, r);
	book->n_ended++;
	book->memory += r->size;
	book->stats.ended++;
	if (book->opt.store && book->opt.keep_count > 0) {
		book->n_pending++;
		if (!book->unwritten)
			book->unwritten = r;
		waitq_wake_all(&book->work);
	}
	trim(book);
	waitq_wake_all(&book->followers);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void complain(struct records *book, const struct err *err, size_t n)
{
	struct instant now = rt_now();
	book->stats.lost += n;
	if (book->warned.ns && instant_since(now, book->warned).ns < duration_s(WARN_EVERY).ns)
		return;
	book->warned = now;
	rt_log(LOG_WARN, "jobs", "%llu request records are lost: %s",
	    (unsigned long long)book->stats.lost, err_text(err));
}

static void write_batch(struct records *book)
{
	struct record_batch batch = {.n = 0};
	struct record *held[RECORDS_BATCH];
	struct err err = {0};
	while (book->unwritten && batch.n < RECORDS_BATCH) {
		struct record *r = book->unwritten;
		r->refs++;
		held[batch.n] = r;
		batch.of[batch.n++] = &r->view;
		book->unwritten = r->next;
		book->n_pending--;
	}
	if (store_run(book->opt.store, records_store_write, &batch, &err) == 0)
		book->stats.written += batch.n;
	else
		complain(book, &err, batch.n);
	for (size_t i = 0; i < batch.n; i++)
		release(held[i]);
	trim(book);
}

static void prune(struct records *book)
{
	struct instant now = rt_now();
	struct record_prune p = {.keep_count = book->opt.keep_count,
	    .before_ms = world_wall_ms(book->opt.world) - book->opt.keep_s * 1000};
	struct err err = {0};
	if (book->pruned.ns && instant_since(now, book->pruned).ns < duration_s(RECORDS_PRUNE_S).ns)
		return;
	do {
		if (store_run(book->opt.store, records_store_prune, &p, &err) != 0) {
			rt_log(LOG_WARN, "jobs", "old request records stay: %s", err_text(&err));
			break;
		}
	} while (p.removed == RECORDS_PRUNE_BATCH && scope_check(NULL) == 0);
	book->pruned = now;
}

static void write_fiber(void *arg)
{
	struct records *book = arg;
	for (;;) {
		int rc = 0;
		prune(book);
		if (!book->unwritten)
			rc = waitq_wait_for(&book->work, duration_s(RECORDS_PRUNE_S), NULL);
		if (rc == E_CANCELLED || fiber_sleep(duration_ms(RECORDS_FLUSH_MS)) != 0)
			return;
		while (book->unwritten)
			write_batch(book);
	}
}

/* ---- reading ------------------------------------------------------------------------------- */

static int list_stored(
    struct records *book, struct record_shelf *shelf, record_fn fn, void *arg, struct err *err)
{
	if (!book->opt.store || shelf->limit == 0)
		return 0;
	int rc = store_read(book->opt.store, records_store_read, shelf, err);
	for (size_t i = 0; rc == 0 && i < shelf->n; i++)
		rc = fn(arg, &shelf->of[i], err);
	record_shelf_free(shelf);
	return rc;
}

int records_list(struct records *book, size_t limit, record_fn fn, void *arg, struct err *err)
{
	struct record_shelf shelf = {.before = INT64_MAX};
	int rc = 0;
	if (limit > LIST_MAX)
		limit = LIST_MAX;
	for (struct record *r = book->open ? book->open->prev : NULL; r && limit > 0 && rc == 0;
	     r = r == book->open ? NULL : r->prev, limit--)
		rc = fn(arg, &r->view, err);
	for (struct record *r = book->ended ? book->ended->prev : NULL; r && limit > 0 && rc == 0;
	     r = r == book->ended ? NULL : r->prev, limit--) {
		rc = fn(arg, &r->view, err);
		shelf.before = r->view.seq;
	}
	shelf.limit = limit;
	return rc ? rc : list_stored(book, &shelf, fn, arg, err);
}

static int get_from(struct record *list, const char *id, record_fn fn, void *arg, struct err *err)
{
	for (struct record *r = list ? list->prev : NULL; r; r = r == list ? NULL : r->prev) {
		int rc = strcmp(r->view.id, id) == 0 ? fn(arg, &r->view, err) : E_NOT_FOUND;
		if (rc != E_NOT_FOUND)
			return rc;
	}
	return E_NOT_FOUND;
}

int records_get(struct records *book, const char *id, record_fn fn, void *arg, struct err *err)
{
	struct record_shelf shelf = {.id = id, .limit = SAME_ID_MAX};
	int rc = get_from(book->open, id, fn, arg, err);
	if (rc == E_NOT_FOUND)
		rc = get_from(book->ended, id, fn, arg, err);
	if (rc != E_NOT_FOUND)
		return rc;
	if (book->opt.store) {
		int failed = store_read(book->opt.store, records_store_read, &shelf, err);
		for (size_t i = 0; !failed && rc == E_NOT_FOUND && i < shelf.n; i++)
			rc = fn(arg, &shelf.of[i], err);
		record_shelf_free(&shelf);
		if (failed)
			return failed;
	}
	return rc == E_NOT_FOUND ? err_set(err, rc, "no request \"%.64s\" is known", id) : rc;
}

uint64_t records_seq(const struct records *book)
{
	return book->seq;
}

int records_follow(struct records *book, uint64_t *seq, record_fn fn, void *arg, struct err *err)
{
	int rc = 0;
	while (rc == 0 && book->seq <= *seq)
		rc = waitq_wait(&book->followers, err);
	if (rc)
		return rc;
	struct record *first = book->ended ? book->ended->prev : NULL;
	while (first && first != book->ended && first->prev->view.seq > *seq)
		first = first->prev;
	*seq = book->seq;
	for (struct record *r = first; r && rc == 0; r = r->next)
		rc = fn(arg, &r->view, err);
	return rc;
}

void records_stats(const struct records *book, struct records_stats *out)
{
	*out = book->stats;
	out->open = book->n_open;
	out->pending = book->n_pending;
}

/* ---- making and ending --------------------------------------------------------------------- */

int records_new(const struct records_options *opt, struct records **out, struct err *err)
{
	struct records *book = calloc(1, sizeof *book);
	int rc = 0;
	if (!book)
		return err_set(err, E_MEMORY, "no memory for request records");
	book->opt = *opt;
	scope_init(&book->scope, NULL);
	if (opt->store)
		rc = store_read(opt->store, records_store_last, &book->seq, err);
	if (rc == 0 && opt->store && opt->keep_count > 0)
		rc = fiber_spawn(&book->scope, "records", write_fiber, book, err);
	if (rc) {
		records_close(book);
		return rc;
	}
	*out = book;
	return 0;
}

void records_close(struct records *book)
{
	if (!book)
		return;
	book->closing = true;
	scope_close(&book->scope);
	INVARIANT(!book->open);
	while (book->unwritten)
		write_batch(book);
	while (book->ended)
		forget_oldest(book);
	free(book);
}
