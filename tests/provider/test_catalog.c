/* The catalog: who serves what, and entries that go while they are in use. */
#include "fake.h"

static const struct fake_step nothing[] = {{FAKE_END}};

static void finding(void *arg)
{
	struct catalog *c = catalog_new();
	struct fake a, b, none;
	struct catalog_entry *found[4];

	fake_init(&a, "tiny", nothing);
	fake_init(&b, "org/big", nothing);
	fake_init(&none, "", nothing);
	uint64_t before = catalog_generation(c);
	struct catalog_entry *ea = fake_add(c, &a, 1, "alpha", true);
	struct catalog_entry *eb = fake_add(c, &b, 2, "beta", false);
	fake_add(c, &none, 3, "gamma", false);
	assert_int_not_equal(catalog_generation(c), before);
	assert_int_equal(catalog_find(c, "tiny", false, found, 4), 1);
	assert_ptr_equal(found[0], ea);
	catalog_release(found[0]);
	assert_int_equal(catalog_find(c, "org/big", false, found, 4), 1);
	assert_ptr_equal(found[0], eb);
	catalog_release(found[0]);
	assert_int_equal(catalog_find(c, "org/big", true, found, 4), 0); /* not ours */
	assert_int_equal(catalog_find(c, "tin", false, found, 4), 0);
	/* Any model: whoever has one. */
	assert_int_equal(catalog_find(c, "", false, found, 4), 2);
	catalog_release(found[0]);
	catalog_release(found[1]);
	assert_int_equal(catalog_find(c, "", false, found, 1), 1);
	catalog_release(found[0]);
	catalog_free(c);
	assert_int_equal(a.closed + b.closed + none.closed, 3);
}

/* It leaves the lists at once and is closed when the last user lets go. */
static void removal_in_use(void *arg)
{
	struct catalog *c = catalog_new();
	struct fake a;
	struct catalog_entry *held[1];
	struct model_entry models[4];

	fake_init(&a, "tiny", nothing);
	struct catalog_entry *e = fake_add(c, &a, 1, "alpha", false);
	assert_int_equal(catalog_find(c, "tiny", false, held, 1), 1);
	catalog_remove(c, e);
	assert_false(e->listed);
	assert_int_equal(catalog_models(c, models, 4), 0);
	assert_int_equal(a.closed, 0);
	catalog_release(held[0]);
	assert_int_equal(a.closed, 1);
	catalog_free(c);
}

static void names(void *arg)
{
	struct catalog *c = catalog_new();
	struct fake a, a2, b, twin;
	struct peer_id id, one = fake_peer(1), absent = fake_peer(9);
	struct err err = {0};
	char text[NODE_ID_TEXT_MAX];

	fake_init(&a, "tiny", nothing);
	fake_init(&a2, "other", nothing);
	fake_init(&b, "tiny", nothing);
	fake_init(&twin, "tiny", nothing);
	fake_add(c, &a, 1, "alpha", false);
	fake_add(c, &a2, 1, "alpha", false); /* two providers of one node */
	fake_add(c, &b, 2, "twin", false);
	fake_add(c, &twin, 3, "twin", false);
	OK(catalog_node(c, "alpha", &id, &err));
	assert_true(peer_id_equal(&id, &one));
	OK(node_id_print(&absent, text, NULL));
	OK(catalog_node(c, text, &id, &err)); /* an id needs no entry */
	assert_true(peer_id_equal(&id, &absent));
	peer_id_print(&one, text);
	OK(catalog_node(c, text, &id, &err));
	assert_true(peer_id_equal(&id, &one));
	assert_int_equal(catalog_node(c, "twin", &id, &err), E_INVALID);
	assert_int_equal(catalog_node(c, "nobody", &id, &err), E_NOT_FOUND);
	catalog_free(c);
}

static void owners(void *arg)
{
	struct catalog *c = catalog_new();
	struct fake a;
	struct model_entry models[2];
	struct peer_id one = fake_peer(1);
	char text[NODE_ID_TEXT_MAX];

	fake_init(&a, "m0", nothing);
	a.n_models = 3;
	snprintf(a.models[1].id, MODEL_ID_MAX, "m1");
	snprintf(a.models[2].id, MODEL_ID_MAX, "m2");
	fake_add(c, &a, 1, "alpha", false);
	assert_int_equal(catalog_models(c, models, 2), 2); /* no more than there is room */
	OK(node_id_print(&one, text, NULL));
	assert_string_equal(models[0].owner, text);
	assert_string_equal(models[1].owner_label, "alpha");
	assert_string_equal(models[1].id, "m1");
	catalog_free(c);
}

/* The index says what a look at every provider would say, whatever comes, changes and goes. */
static void index_holds(void *arg)
{
	enum {
		FAKES = 40
	};
	static struct fake fakes[FAKES];
	struct catalog_entry *entries[FAKES] = {NULL}, *found[FAKES];
	struct catalog *c = catalog_new();
	uint32_t rng = 1;

	for (unsigned round = 0; round < 3000; round++) {
		rng = rng * 1664525u + 1013904223u;
		unsigned i = (rng >> 8) % FAKES, n = (rng >> 16) % 4;
		struct fake *f = &fakes[i];
		if (entries[i] && n == 0) {
			catalog_remove(c, entries[i]);
			entries[i] = NULL;
			continue;
		}
		if (!entries[i]) {
			fake_init(f, "", nothing);
			entries[i] = fake_add(c, f, i, "x", i % 3 == 0);
		}
		f->n_models = n;
		for (unsigned k = 0; k < n; k++)
			snprintf(f->models[k].id, MODEL_ID_MAX, "m%u", (rng >> (4 * k)) % 5);
		catalog_models_changed(c, entries[i]);
		for (unsigned m = 0; m < 6; m++) {
			char id[8] = "";
			size_t all = 0, own = 0;
			if (m < 5)
				snprintf(id, sizeof id, "m%u", m);
			for (unsigned k = 0; k < FAKES; k++) {
				bool has = entries[k] && m == 5 && fakes[k].n_models > 0;
				for (size_t j = 0; entries[k] && j < fakes[k].n_models; j++)
					has |= strcmp(fakes[k].models[j].id, id) == 0;
				all += has;
				own += has && k % 3 == 0;
			}
			assert_int_equal(catalog_count(c, id), all);
			assert_int_equal(catalog_find(c, id, false, found, FAKES), all);
			for (size_t k = 0; k < all; k++) {
				struct catalog_entry *same = catalog_at(c, id, k);
				assert_ptr_equal(same, found[k]);
				catalog_release(same);
				catalog_release(found[k]);
			}
			assert_null(catalog_at(c, id, all));
			assert_int_equal(catalog_find(c, id, true, found, FAKES), own);
			for (size_t k = 0; k < own; k++) {
				assert_true(found[k]->node.local);
				catalog_release(found[k]);
			}
		}
	}
	catalog_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {FIBER_TEST(finding), FIBER_TEST(removal_in_use),
	    FIBER_TEST(names), FIBER_TEST(owners), FIBER_TEST(index_holds)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
