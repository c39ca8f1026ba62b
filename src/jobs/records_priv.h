/* The inside of the book of request records: memory (records.c), the store (records_store.c), JSON
 * (records_json.c). */
#ifndef JOBS_RECORDS_PRIV_H
#define JOBS_RECORDS_PRIV_H

#include "dialect/json.h"
#include "jobs/records.h"

/* A batch on its way to the store; the records do not change any more. */
struct record_batch {
	const struct request_record *of[RECORDS_BATCH];
	size_t n;
};
int records_store_write(struct store_tx *tx, void *batch, struct err *err) WARN_UNUSED;

/* Records read from the store, newest first: with seq below `before`, or with an id. */
struct record_shelf {
	uint64_t before;
	const char *id; /* NULL: any */
	size_t limit;
	struct request_record *of; /* the caller frees all with record_shelf_free */
	size_t n;
};
int records_store_read(struct store_tx *tx, void *shelf, struct err *err) WARN_UNUSED;
void record_shelf_free(struct record_shelf *s);

int records_store_last(struct store_tx *tx, void *seq, struct err *err) WARN_UNUSED;

struct record_prune {
	uint64_t keep_count;
	int64_t before_ms; /* ended before that: goes */
	int64_t removed;
};
int records_store_prune(struct store_tx *tx, void *prune, struct err *err) WARN_UNUSED;

/* What was tried, as a JSON list and back. */
json_t *record_tried_json(const struct request_record *r);
void record_tried_read(const json_t *list, struct request_record *out);

#endif
