/* What the tests of everything that stores share: one table, written and read by its number. */
#ifndef TESTS_STORE_STORE_HELP_H
#define TESTS_STORE_STORE_HELP_H

#include "fiber_test.h"

#include "store/store.h"

#include <stdio.h>

static const char *const item_steps[] = {
    "CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT, body BLOB);"
    "CREATE TABLE marks (item BIGINT NOT NULL REFERENCES items (id), n BIGINT NOT NULL);",
    "ALTER TABLE items ADD COLUMN rank BIGINT NOT NULL DEFAULT 7",
};

static inline int items_open(
    struct world *w, const char *path, size_t version, struct store **out, struct err *err)
{
	struct store_schema schema = {"items", item_steps, version};
	struct store_options opt = {.world = w, .path = path, .schemas = &schema, .n_schemas = 1};

	return store_open(&opt, out, err);
}

/* An item and its mark, or none of both. */
static inline int put_item(struct store_tx *tx, void *arg, struct err *err)
{
	const int64_t *id = arg;
	struct store_query q;
	char name[32];

	snprintf(name, sizeof name, "item %lld", (long long)*id);
	store_query(tx, &q, "INSERT INTO items (id, name) VALUES (?, ?)");
	store_bind_int(&q, 1, *id);
	store_bind_text(&q, 2, name);
	int rc = store_finish(&q, err);
	if (rc)
		return rc;
	store_query(tx, &q, "INSERT INTO marks (item, n) VALUES (?, ?)");
	store_bind_int(&q, 1, *id);
	store_bind_int(&q, 2, *id * 3);
	return store_finish(&q, err);
}

struct count {
	const char *sql;
	int64_t n;
};

static inline int get_count(struct store_tx *tx, void *arg, struct err *err)
{
	struct count *c = arg;
	struct store_query q;

	store_query(tx, &q, c->sql);
	int rc = store_step(&q, err);
	if (rc == STORE_ROW)
		c->n = store_int(&q, 0);
	store_end(&q);
	return rc < 0 ? rc : 0;
}

static inline int64_t count_of(struct store *s, const char *sql)
{
	struct count c = {sql, -1};
	struct err err = {0};

	if (store_read(s, get_count, &c, &err) != 0)
		fail_msg("%s: %s", sql, err_text(&err));
	return c.n;
}

#define ITEMS_WHOLE                                                                                \
	"SELECT count(*) FROM items i JOIN marks m ON m.item = i.id WHERE m.n = 3 * i.id"

#endif
