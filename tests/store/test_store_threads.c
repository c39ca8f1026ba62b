/* The store's workers beside the loop, for the sanitizers: writers and readers at the same time. */
#include "store_help.h"

#include "rt/world_uv.h"

#include <unistd.h>

#define FIBERS 12
#define EACH   25

struct crowd {
	struct world *world;
	struct store *s;
	char path[128];
	int64_t next, written;
	unsigned reads;
};

static void write_some(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < EACH; i++) {
		int64_t id = c->next++;
		OK(store_run(c->s, put_item, &id, NULL));
		c->written++;
	}
}

/* A reader sees whole transactions, at least those told before it began. */
static void read_some(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < EACH; i++) {
		int64_t told = c->written;
		assert_true(count_of(c->s, ITEMS_WHOLE) >= told);
		c->reads++;
	}
}

static void crowd_fiber(void *arg)
{
	struct crowd *c = arg;
	struct scope sc;

	OK(items_open(c->world, c->path, 2, &c->s, NULL));
	scope_init(&sc, NULL);
	for (int i = 0; i < FIBERS; i++)
		OK(fiber_spawn(&sc, "crowd", i % 3 ? write_some : read_some, c, NULL));
	OK(scope_join(&sc));
	scope_close(&sc);
	assert_int_equal(c->written, EACH * FIBERS * 2 / 3);
	assert_int_equal(count_of(c->s, ITEMS_WHOLE), c->written);
	store_close(c->s);
}

static void beside_the_loop(void **state)
{
	char folder[] = "/tmp/og-store-XXXXXX";
	struct crowd c = {0};

	assert_non_null(mkdtemp(folder));
	snprintf(c.path, sizeof c.path, "%s/gate.db", folder);
	OK(world_uv_new(&c.world, NULL));
	OK(rt_start(c.world->rt, "test", NULL, crowd_fiber, &c, NULL));
	rt_run(c.world->rt);
	world_uv_free(c.world);
	assert_int_equal(c.reads, EACH * FIBERS / 3);
	OK(unlink(c.path));
	OK(rmdir(folder)); /* a close in order leaves nothing else */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(beside_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
