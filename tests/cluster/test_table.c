/* The peer table: who gives way when it is full, whose address comes first, and whom a name means.
 */
#include "fiber_test.h"

#include "cluster/cluster_priv.h"

static struct peer_id some_peer(unsigned n)
{
	uint8_t seed[ED25519_SEED_SIZE] = {(uint8_t)n, (uint8_t)(n >> 8)};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

static struct multiaddr some_addr(uint8_t n)
{
	struct multiaddr a;
	uint8_t ip[4] = {10, 0, 0, n};

	multiaddr_from_tcp(bytes_of(ip, 4), 4001, &a);
	return a;
}

static struct universe *u;

static int make(void **state)
{
	struct cluster *c = calloc(1, sizeof *c);

	u = universe_of_seed(1);
	c->opt.world = universe_host(u, "alone");
	c->self = some_peer(9999);
	*state = c;
	return 0;
}

static int drop(void **state)
{
	struct cluster *c = *state;

	table_free(c);
	free(c);
	universe_free(u);
	return 0;
}

static void adding(void **state)
{
	struct cluster *c = *state;
	struct peer_id id = some_peer(1), nobody = {0};

	assert_null(table_add(c, &c->self, SOURCE_MDNS));
	assert_null(table_add(c, &nobody, SOURCE_MDNS));
	assert_null(table_find(c, &id));
	struct peer *p = table_add(c, &id, SOURCE_MDNS);
	assert_non_null(p);
	assert_ptr_equal(table_add(c, &id, SOURCE_SAVED), p);
	assert_int_equal(p->sources, SOURCE_MDNS | SOURCE_SAVED);
	assert_ptr_equal(table_find(c, &id), p);
}

static void addresses(void **state)
{
	struct cluster *c = *state;
	struct peer_id id = some_peer(1);
	struct peer *p = table_add(c, &id, SOURCE_MDNS);

	for (uint8_t i = 0; i < 20; i++) {
		struct multiaddr a = some_addr(i);
		OK(multiaddr_append_peer(&a, &id, NULL));
		table_add_addr(p, &a);
	}
	assert_int_equal(p->n_addrs, MEMBER_ADDRS_MAX);
	for (uint8_t i = 0; i < MEMBER_ADDRS_MAX; i++) {
		struct multiaddr a = some_addr((uint8_t)(19 - i)); /* without /p2p */
		assert_true(multiaddr_equal(&p->addrs[i], &a));
	}
	/* Told again: to the front, not twice. */
	struct multiaddr again = some_addr(15);
	table_add_addr(p, &again);
	assert_int_equal(p->n_addrs, MEMBER_ADDRS_MAX);
	assert_true(multiaddr_equal(&p->addrs[0], &again));
	for (size_t i = 1; i < p->n_addrs; i++)
		assert_false(multiaddr_equal(&p->addrs[i], &again));
}

/* A full table forgets the stranger it has known longest, then who was lost first, never somebody
 * it needs. */
static void eviction(void **state)
{
	struct cluster *c = *state;
	struct peer *kept[7];

	for (unsigned i = 0; i < CLUSTER_PEERS_MAX; i++) {
		struct peer_id id = some_peer(i);
		struct peer *p = table_add(c, &id, SOURCE_EXCHANGE);
		p->since_ms = 1000 + i;
		if (i < 7)
			kept[i] = p;
	}
	kept[0]->connected = true;
	kept[1]->dialing = true;
	kept[2]->was_member = true;
	kept[3]->speaking = true;
	kept[4]->holds = 1;
	kept[5]->entry = (struct catalog_entry *)c; /* any */
	struct peer_id oldest = kept[6]->id, fresh = some_peer(5000);
	assert_non_null(table_add(c, &fresh, SOURCE_EXCHANGE));
	assert_int_equal(HASH_COUNT(c->peers), CLUSTER_PEERS_MAX);
	assert_null(table_find(c, &oldest));
	for (unsigned i = 0; i < 6; i++) {
		struct peer_id id = some_peer(i);
		assert_ptr_equal(table_find(c, &id), kept[i]);
	}
	/* No strangers left: a flood of one-time members does not close the table for ever. */
	struct peer *lost = NULL;
	for (struct peer *p = c->peers; p; p = p->hh.next) {
		p->was_member = true;
		if (p->since_ms == 1500)
			lost = p;
		else if (p != kept[2])
			p->since_ms += 100000;
	}
	kept[2]->since_ms = 1400;
	oldest = lost->id;
	struct peer_id newer = some_peer(5002), newest = some_peer(5003);
	struct peer_id first = kept[2]->id;
	assert_non_null(table_add(c, &newer, SOURCE_INBOUND));
	assert_null(table_find(c, &first));
	table_find(c, &newer)->was_member = true;
	table_find(c, &newer)->since_ms = 200000;
	assert_non_null(table_add(c, &newest, SOURCE_INBOUND));
	assert_null(table_find(c, &oldest));
	/* Everyone is needed: the newcomer is not remembered. */
	for (struct peer *p = c->peers; p; p = p->hh.next)
		p->holds = 1;
	struct peer_id another = some_peer(5001);
	assert_null(table_add(c, &another, SOURCE_EXCHANGE));
}

static void names(void **state)
{
	struct cluster *c = *state;
	struct peer_id ids[4];
	struct peer *p[4], *found;
	struct err err = {0};
	char node_id[NODE_ID_TEXT_MAX], peer_id[PEER_ID_TEXT_MAX];

	for (unsigned i = 0; i < 4; i++) {
		ids[i] = some_peer(i); /* the last has not told its label yet */
		p[i] = table_add(c, &ids[i], SOURCE_INBOUND);
	}
	peer_set_label(p[0], "alpha");
	peer_set_label(p[1], "twin");
	peer_set_label(p[2], "twin");
	OK(table_named(c, "alpha", &found, &err));
	assert_ptr_equal(found, p[0]);
	OK(node_id_print(&ids[1], node_id, NULL));
	OK(table_named(c, node_id, &found, &err));
	assert_ptr_equal(found, p[1]);
	peer_id_print(&ids[2], peer_id);
	OK(table_named(c, peer_id, &found, &err));
	assert_ptr_equal(found, p[2]);
	assert_int_equal(table_named(c, "twin", &found, &err), E_INVALID);
	assert_non_null(strstr(err.text, "node id"));
	assert_int_equal(table_named(c, "nobody", &found, &err), E_NOT_FOUND);
	assert_int_equal(table_named(c, "", &found, &err), E_NOT_FOUND);
	struct peer_id unknown = some_peer(77);
	peer_id_print(&unknown, peer_id);
	assert_int_equal(table_named(c, peer_id, &found, &err), E_NOT_FOUND);
}

/* Labels stand in log lines and in commands that people copy from them. */
static void labels(void **state)
{
	struct peer p = {0};
	char longest[200];

	peer_set_label(&p, "kitchen-2_b.x");
	assert_string_equal(p.label, "kitchen-2_b.x");
	peer_set_label(&p, "$(rm -rf ~)");
	assert_string_equal(p.label, "__rm_-rf___");
	peer_set_label(&p, "--all");
	assert_string_equal(p.label, "_-all");
	peer_set_label(&p, "a\x1b[2Jé");
	assert_string_equal(p.label, "a__2J__");
	peer_set_label(&p, "");
	assert_string_equal(p.label, "unnamed");
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	peer_set_label(&p, longest);
	assert_int_equal(strlen(p.label), NODE_LABEL_MAX - 1);
}

static void states(void **state)
{
	struct peer p = {0};

	assert_int_equal(peer_state(&p), PEER_KNOWN);
	p.dialing = true;
	assert_int_equal(peer_state(&p), PEER_CONNECTING);
	p.was_member = true;
	assert_int_equal(peer_state(&p), PEER_LOST);
	p.connected = true;
	assert_int_equal(peer_state(&p), PEER_CONNECTED);
	p.proof = 1;
	assert_int_equal(peer_state(&p), PEER_CONNECTED); /* one direction is not enough */
	p.welcomed = true;
	assert_int_equal(peer_state(&p), PEER_MEMBER);
	p.proof = 0;
	p.asking = true;
	assert_int_equal(peer_state(&p), PEER_ASKING);
	p.asking = false;
	p.waiting = true;
	assert_int_equal(peer_state(&p), PEER_WAITING);
	p.waiting = false;
	p.foreign = true;
	assert_int_equal(peer_state(&p), PEER_FOREIGN);
}

static bool keep_all(const struct cluster *c, const struct peer *p)
{
	return true;
}

static bool keep_none(const struct cluster *c, const struct peer *p)
{
	return false;
}

/* Who came and went is forgotten; whom one could meet again, or who is in use, is not. */
static void passers_by(void **state)
{
	struct cluster *c = *state;
	struct multiaddr at = some_addr(1);
	struct peer_id id[7];
	struct peer *p[7];

	for (unsigned i = 0; i < 7; i++) {
		id[i] = some_peer(i + 1);
		p[i] = table_add(c, &id[i], SOURCE_INBOUND);
		assert_non_null(p[i]);
	}
	table_add_addr(p[1], &at);
	p[2]->was_member = true;
	p[3]->decision = REJECTED;
	p[4]->connected = true;
	p[5]->holds = 1;
	assert_ptr_equal(table_add(c, &id[6], SOURCE_MDNS), p[6]);
	table_forget_passing(c, keep_all);
	assert_ptr_equal(table_find(c, &id[0]), p[0]);
	table_forget_passing(c, keep_none);
	assert_null(table_find(c, &id[0]));
	for (unsigned i = 1; i < 7; i++)
		assert_ptr_equal(table_find(c, &id[i]), p[i]);
	p[4]->connected = false;
	p[5]->holds = 0;
	table_forget_passing(c, keep_none);
	assert_null(table_find(c, &id[4]));
	assert_null(table_find(c, &id[5]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(adding, make, drop),
	    cmocka_unit_test_setup_teardown(addresses, make, drop),
	    cmocka_unit_test_setup_teardown(eviction, make, drop),
	    cmocka_unit_test_setup_teardown(names, make, drop),
	    cmocka_unit_test_setup_teardown(passers_by, make, drop),
	    cmocka_unit_test(labels),
	    cmocka_unit_test(states),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
