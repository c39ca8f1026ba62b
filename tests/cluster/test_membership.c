/* Which cluster a node is in: names, keys, the file, and proofs. */
#include "fiber_test.h"

#include "cluster/cluster_priv.h"

#include <stdio.h>

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct world *the_world;

/* ---- names and keys ------------------------------------------------------------------------- */

static void ids(void **state)
{
	static const uint8_t key[CLUSTER_KEY_SIZE] = {1};
	struct membership m;
	struct err err = {0};
	char longest[CLUSTER_ID_MAX + 1];

	memset(longest, 'x', sizeof longest);
	longest[CLUSTER_ID_MAX] = '\0';
	assert_int_equal(membership_set(&m, "", key, MEMBERSHIP_OWN, &err), E_INVALID);
	assert_int_equal(membership_set(&m, longest, key, MEMBERSHIP_OWN, &err), E_INVALID);
	longest[CLUSTER_ID_MAX - 1] = '\0';
	OK(membership_set(&m, longest, key, MEMBERSHIP_OWN, &err));
	assert_int_equal(membership_set(&m, "a\nb", key, MEMBERSHIP_OWN, &err), E_INVALID);
	assert_int_equal(membership_set(&m, "a\x7f", key, MEMBERSHIP_OWN, &err), E_INVALID);
	assert_int_equal(membership_set(&m, "a\xff", key, MEMBERSHIP_OWN, &err), E_INVALID);
	OK(membership_set(&m, "Küche 7", key, MEMBERSHIP_JOINED, &err));
	assert_string_equal(m.id, "Küche 7");
	assert_int_equal(m.origin, MEMBERSHIP_JOINED);
	assert_memory_equal(m.key, key, sizeof key);
	uint8_t hash[SHA256_SIZE];
	sha256(bytes_str("Küche 7"), hash);
	assert_memory_equal(m.hash, hash, sizeof hash);
}

static void named(void **state)
{
	struct membership open, again, other, closed;
	struct err err = {0};

	OK(membership_named(&open, "poc", NULL, &err));
	OK(membership_named(&again, "poc", NULL, &err));
	OK(membership_named(&other, "poc2", NULL, &err));
	OK(membership_named(&closed, "poc", KEY_HEX, &err));
	assert_true(open.open);
	assert_false(closed.open);
	assert_memory_equal(open.key, again.key, sizeof open.key);
	assert_memory_not_equal(open.key, other.key, sizeof open.key);
	assert_memory_not_equal(open.key, closed.key, sizeof open.key);
	assert_int_equal(closed.key[31], 0x1f);
	assert_int_equal(membership_named(&closed, "poc", "", &err), E_INVALID);
	assert_int_equal(membership_named(&closed, "poc", KEY_HEX "00", &err), E_INVALID);
	assert_int_equal(membership_named(&closed, "poc", "zz" KEY_HEX, &err), E_INVALID);
	assert_int_equal(membership_named(&closed, "", NULL, &err), E_INVALID);
}

/* ---- the file ------------------------------------------------------------------------------- */

static void write_text(struct world *w, const char *text)
{
	OK(file_write(w, "/data/cluster.json", bytes_str(text), 0600, NULL));
}

static void there_and_back(void *arg)
{
	struct world *w = the_world;
	struct membership m, got;
	struct file_info info;
	struct err err = {0};

	OK(file_mkdirs(w, "/data", 0700, NULL));
	assert_int_equal(membership_load(w, "/data", &got, &err), E_NOT_FOUND);
	OK(membership_named(&m, "poc \"x\"", KEY_HEX, &err));
	OK(membership_save(w, "/data", &m, &err));
	OK(membership_load(w, "/data", &got, &err));
	assert_memory_equal(&got, &m, sizeof m);
	OK(file_stat(w, "/data/cluster.json", &info, NULL));
	assert_int_equal(info.mode, 0600);

	OK(membership_named(&m, "poc", NULL, &err));
	OK(membership_save(w, "/data", &m, &err));
	OK(membership_load(w, "/data", &got, &err));
	assert_true(got.open);
}

#define FILE_OF(id, key, origin)                                                                   \
	"{\"id\":" id ",\"key\":" key ",\"origin\":" origin ",\"open\":false}"

static void damaged(void *arg)
{
	struct world *w = the_world;
	struct membership m;
	char big[6000];
	static const char *const files[] = {
	    "",
	    "{",
	    "[]",
	    "null",
	    "{}",
	    "\xff\xfe",
	    FILE_OF("\"c\"", "\"" KEY_HEX "0\"", "\"own\""),
	    FILE_OF("\"c\"", "\"nonsense\"", "\"own\""),
	    FILE_OF("\"c\"", "1", "\"own\""),
	    FILE_OF("\"\"", "\"" KEY_HEX "\"", "\"own\""),
	    FILE_OF("7", "\"" KEY_HEX "\"", "\"own\""),
	    FILE_OF("\"a\\nb\"", "\"" KEY_HEX "\"", "\"own\""),
	    FILE_OF("\"c\"", "\"" KEY_HEX "\"", "\"borrowed\""),
	};

	OK(file_mkdirs(w, "/data", 0700, NULL));
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct err err = {0};
		write_text(w, files[i]);
		if (membership_load(w, "/data", &m, &err) != E_FORMAT)
			fail_msg("taken: %s", files[i]);
		if (!strstr(err.text, "/data/cluster.json is damaged") ||
		    !strstr(err.text, "remove it"))
			fail_msg("says not what to do: %s", err.text);
		if (strstr(err.text, KEY_HEX))
			fail_msg("shows the key: %s", err.text);
	}
	memset(big, ' ', sizeof big);
	big[sizeof big - 1] = '\0';
	write_text(w, big);
	assert_int_equal(membership_load(w, "/data", &m, NULL), E_FORMAT);
	write_text(w, FILE_OF("\"c\"", "\"" KEY_HEX "\"", "\"own\""));
	OK(membership_load(w, "/data", &m, NULL));
}

/* ---- proofs --------------------------------------------------------------------------------- */

static struct peer_id some_peer(uint8_t n)
{
	uint8_t seed[ED25519_SEED_SIZE] = {n};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

/* Whatever it is bound to, changes it: a proof overheard or passed on is worth nothing. */
static void proofs(void **state)
{
	struct membership m, wrong_key, wrong_id;
	struct peer_id a = some_peer(1), b = some_peer(2);
	uint8_t binding[P2P_BINDING_SIZE] = {7}, other[P2P_BINDING_SIZE] = {8};
	uint8_t proof[SHA256_SIZE], p[SHA256_SIZE];

	OK(membership_named(&m, "poc", KEY_HEX, NULL));
	wrong_key = wrong_id = m;
	wrong_key.key[31] ^= 1;
	OK(membership_set(&wrong_id, "poc2", m.key, MEMBERSHIP_NAMED, NULL));
	membership_proof(&m, binding, &a, &b, proof);
	membership_proof(&m, binding, &a, &b, p);
	assert_memory_equal(p, proof, sizeof p);
	membership_proof(&m, other, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	membership_proof(&m, binding, &b, &a, p); /* reflected */
	assert_memory_not_equal(p, proof, sizeof p);
	membership_proof(&m, binding, &a, &a, p);
	assert_memory_not_equal(p, proof, sizeof p);
	membership_proof(&wrong_key, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	membership_proof(&wrong_id, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
}

/* Each thing that an invitation's proof is about counts, and the two sides' differ. */
static void invitation_proofs(void **state)
{
	uint8_t secret[INVITE_SECRET_SIZE] = {1}, key[CLUSTER_KEY_SIZE] = {2};
	uint8_t binding[P2P_BINDING_SIZE] = {3}, p[SHA256_SIZE], proof[SHA256_SIZE];
	struct peer_id a = some_peer(1), b = some_peer(2);

	invitation_proof(secret, "c", key, binding, &a, &b, proof);
	invitation_proof(secret, "c", NULL, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	invitation_proof(secret, "d", key, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	invitation_proof(secret, "c", key, binding, &b, &a, p);
	assert_memory_not_equal(p, proof, sizeof p);
	key[31] ^= 1;
	invitation_proof(secret, "c", key, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	key[31] ^= 1;
	secret[15] ^= 1;
	invitation_proof(secret, "c", key, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	secret[15] ^= 1;
	binding[31] ^= 1;
	invitation_proof(secret, "c", key, binding, &a, &b, p);
	assert_memory_not_equal(p, proof, sizeof p);
	binding[31] ^= 1;
	invitation_proof(secret, "c", key, binding, &a, &b, p);
	assert_memory_equal(p, proof, sizeof p);
}

/* Clusters of one name and different keys are told apart, and of different names. */
static void fingerprints(void **state)
{
	struct membership m, other;
	uint8_t key[CLUSTER_KEY_SIZE] = {1}, a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE];

	OK(membership_set(&m, "home", key, MEMBERSHIP_OWN, NULL));
	membership_fingerprint(&m, a);
	OK(membership_set(&other, "home", key, MEMBERSHIP_JOINED, NULL));
	membership_fingerprint(&other, b);
	assert_memory_equal(a, b, sizeof a);
	OK(membership_set(&other, "hone", key, MEMBERSHIP_OWN, NULL));
	membership_fingerprint(&other, b);
	assert_memory_not_equal(a, b, sizeof a);
	key[0] = 2;
	OK(membership_set(&other, "home", key, MEMBERSHIP_OWN, NULL));
	membership_fingerprint(&other, b);
	assert_memory_not_equal(a, b, sizeof a);
}

static void on_host(void **state)
{
	struct universe *u = universe_of_seed(1);
	void (*const *fn)(void *) = *state;

	the_world = universe_host(u, "alone");
	OK(universe_boot(u, the_world, NULL, *fn, NULL, NULL));
	assert_int_equal(universe_run(u), UNIVERSE_DONE);
	universe_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ids),
	    cmocka_unit_test(named),
	    {"there_and_back", on_host, NULL, NULL, &(void (*[1])(void *)){there_and_back}},
	    {"damaged", on_host, NULL, NULL, &(void (*[1])(void *)){damaged}},
	    cmocka_unit_test(proofs),
	    cmocka_unit_test(invitation_proofs),
	    cmocka_unit_test(fingerprints),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
