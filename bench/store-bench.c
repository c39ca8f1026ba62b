/* What keeping costs: on a real disk, in the folder named on the command line.
 *
 * lone      transactions one after the other: each with its sync
 * crowd     the same from 64 fibers: groups share a sync
 * records   request records told and ended, and written in batches meanwhile
 * tell      what a record costs the loop: begun, one attempt, two events, ended
 * check     what the decision about a key costs the loop: checked, reserved, given back */
#include "access/access.h"
#include "crypto/hash.h"
#include "jobs/records.h"
#include "rt/world_uv.h"

#include <stdio.h>
#include <stdlib.h>

#define LONE    2000
#define CROWD   64
#define EACH    300
#define RECORDS 20000
#define CHECKS  200000

#define MUST(expr)                                                                                 \
	do {                                                                                       \
		struct err err = {0};                                                              \
		if ((expr) != 0) {                                                                 \
			fprintf(stderr, "store-bench: %s: %s\n", #expr, err_text(&err));           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

struct bench {
	struct world *world;
	const char *path;
	struct store *store;
};

static double since(struct instant begin)
{
	return (double)instant_since(rt_now(), begin).ns / 1e9;
}

static int put(struct store_tx *tx, void *arg, struct err *err)
{
	struct store_query q;

	store_query(tx, &q, "INSERT INTO numbers (n) VALUES (?)");
	store_bind_int(&q, 1, *(int64_t *)arg);
	return store_finish(&q, err);
}

static void put_some(void *arg)
{
	struct bench *b = arg;

	for (int64_t i = 0; i < EACH; i++)
		MUST(store_run(b->store, put, &i, &err));
}

static void bench_transactions(struct bench *b)
{
	struct instant begin = rt_now();
	struct store_stats before, after;
	struct scope sc;

	for (int64_t i = 0; i < LONE; i++)
		MUST(store_run(b->store, put, &i, &err));
	printf("lone     %8.0f transactions/s\n", LONE / since(begin));
	store_stats(b->store, &before);
	begin = rt_now();
	scope_init(&sc, NULL);
	for (int i = 0; i < CROWD; i++)
		MUST(fiber_spawn(&sc, "crowd", put_some, b, &err));
	MUST(scope_join(&sc));
	scope_close(&sc);
	double s = since(begin);
	store_stats(b->store, &after);
	printf("crowd    %8.0f transactions/s, %.1f with one sync\n", CROWD * EACH / s,
	    (double)(CROWD * EACH) / (double)(after.groups - before.groups));
}

static void tell(struct records *book, unsigned i)
{
	struct record_origin origin = {RECORD_KEY, "laptop", "key:abcdefgh"};
	struct inference_usage usage = {100, 200, -1, -1};
	char id[64];

	snprintf(id, sizeof id, "req_%024x", i);
	struct record *r = records_begin(book, &origin, id, "openai.chat", "llama-3.2-3b");
	record_candidates(r, bytes_str("{\"strategy\":\"prefer-local\",\"candidates\":[]}"));
	unsigned a = record_attempt(r, "attic", "ollama", "llama-3.2-3b");
	record_event(r);
	record_event(r);
	record_attempt_end(r, a, 0, NULL);
	record_usage(r, &usage);
	records_end(book, r, 0, NULL);
}

static void bench_records(struct bench *b)
{
	struct records_options opt = {
	    .world = b->world, .store = b->store, .keep_count = 1000000, .keep_s = 86400};
	struct records_stats stats;
	struct records *book;
	double telling = 0;

	MUST(records_new(&opt, &book, &err));
	struct instant begin = rt_now();
	for (unsigned i = 0; i < RECORDS; i++) {
		struct instant now = rt_now();
		tell(book, i);
		telling += since(now);
		records_stats(book, &stats);
		while (stats.pending > RECORDS_PENDING_MAX / 2) {
			MUST(fiber_sleep(duration_ms(1)));
			records_stats(book, &stats);
		}
	}
	records_close(book);
	printf("records  %8.0f records/s written\n", RECORDS / since(begin));
	printf("tell     %8.2f us a record\n", telling / RECORDS * 1e6);
}

static void bench_access(struct bench *b)
{
	struct identity identity = {0};
	struct access_options opt = {.world = b->world, .store = b->store, .identity = &identity};
	struct access_key key = {.name = "laptop",
	    .rights = ACCESS_RIGHTS_USUAL,
	    .models = "llama*",
	    .limits = {BUCKET_RATE_MAX, BUCKET_RATE_MAX, 100}};
	struct access *a;
	char text[ACCESS_KEY_TEXT_MAX];

	MUST(access_new(&opt, &a, &err));
	MUST(access_key_create(a, &key, text, &err));
	struct access_caller who = {.bearer = text};
	struct access_ask what = {.rights = ACCESS_INFER};
	struct instant begin = rt_now();
	for (int i = 0; i < CHECKS; i++) {
		struct access_grant g;
		MUST(access_check(a, &who, &what, &g, &err));
		MUST(access_reserve(&g, "llama-3.2-3b", 300, &err));
		access_done(&g, 300);
	}
	printf("check    %8.2f us a request\n", since(begin) / CHECKS * 1e6);
	access_close(a);
}

static void run(void *arg)
{
	static const char *const steps[] = {"CREATE TABLE numbers (n BIGINT NOT NULL)"};
	const struct store_schema schemas[] = {{"bench", steps, 1}, access_schema, records_schema};
	struct bench *b = arg;
	struct store_options opt = {
	    .world = b->world, .path = b->path, .schemas = schemas, .n_schemas = 3};

	MUST(store_open(&opt, &b->store, &err));
	bench_transactions(b);
	bench_records(b);
	bench_access(b);
	store_close(b->store);
}

int main(int argc, char **argv)
{
	char path[1024];
	struct bench b = {.path = path};

	if (argc != 2) {
		fprintf(stderr, "usage: store-bench FOLDER\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/store-bench.db", argv[1]);
	MUST(crypto_init(&err));
	MUST(world_uv_new(&b.world, &err));
	MUST(rt_start(b.world->rt, "bench", NULL, run, &b, &err));
	rt_run(b.world->rt);
	world_uv_free(b.world);
	remove(path);
	return 0;
}
