/* Tokens, the issuer's record of its invitations, and the guard. */
#include "cluster/cluster_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), 0)
#define NOW      INT64_C(1795622400)

/* ---- tokens ---------------------------------------------------------------------------------- */

static struct identity issuer_of(uint8_t seed)
{
	struct identity id;
	uint8_t bytes[ED25519_SEED_SIZE];
	memset(bytes, seed, sizeof bytes);
	identity_from_seed(bytes, &id);
	return id;
}

static struct token sample(void)
{
	struct token t = {.expires_s = NOW + 86400, .cluster = "Büro", .n_addrs = 2};
	memset(t.id, 0x11, sizeof t.id);
	memset(t.secret, 0x22, sizeof t.secret);
	memset(t.fingerprint, 0x33, sizeof t.fingerprint);
	OK(multiaddr_parse(bytes_str("/ip4/192.0.2.1/tcp/41145"), &t.addrs[0], NULL));
	OK(multiaddr_parse(bytes_str("/dns4/gate.example/tcp/41145"), &t.addrs[1], NULL));
	return t;
}

static void sample_text(char out[TOKEN_TEXT_MAX])
{
	struct token t = sample();
	struct identity issuer = issuer_of(7);
	token_write(&t, &issuer, out);
}

static void there_and_back(void **state)
{
	char text[TOKEN_TEXT_MAX];
	struct token t = sample(), got;
	struct identity issuer = issuer_of(7);
	token_write(&t, &issuer, text);
	assert_int_equal(strncmp(text, "og1", 3), 0);
	OK(token_read(text, &got, NULL));
	assert_true(peer_id_equal(&got.issuer, &issuer.peer_id));
	assert_memory_equal(got.id, t.id, sizeof t.id);
	assert_memory_equal(got.secret, t.secret, sizeof t.secret);
	assert_memory_equal(got.fingerprint, t.fingerprint, sizeof t.fingerprint);
	assert_int_equal(got.expires_s, t.expires_s);
	assert_string_equal(got.cluster, "Büro");
	assert_int_equal(got.n_addrs, 2);
	assert_true(multiaddr_equal(&got.addrs[1], &t.addrs[1]));
}

/* As QR codes and mail programs change it: upper case, spaces, line breaks. */
static void other_shapes(void **state)
{
	char text[TOKEN_TEXT_MAX], shaped[2 * TOKEN_TEXT_MAX];
	struct token got;
	size_t n = 0;
	sample_text(text);
	for (size_t i = 0; text[i]; i++) {
		shaped[n++] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 32) : text[i];
		if (i % 40 == 39)
			n += (size_t)sprintf(shaped + n, i % 80 == 39 ? "\r\n" : " \t");
	}
	shaped[n] = '\0';
	OK(token_read(shaped, &got, NULL));
	shaped[0] = 'o';
	assert_int_equal(token_read(shaped, &got, NULL), E_INVALID);
}

/* No single wrong, missing, doubled or swapped character goes unseen. */
static void every_slip(void **state)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789ABZ-_.";
	char text[TOKEN_TEXT_MAX], bad[TOKEN_TEXT_MAX + 1];
	struct token got;
	sample_text(text);
	size_t n = strlen(text);
	for (size_t i = 0; i < n; i++) {
		memcpy(bad, text, n + 1);
		for (const char *a = alphabet; *a; a++) {
			bad[i] = *a;
			if (*a != text[i] && token_read(bad, &got, NULL) != E_INVALID)
				fail_msg("'%c' at %zu was taken for '%c'", *a, i, text[i]);
		}
		memmove(bad + i, text + i + 1, n - i);
		assert_int_equal(token_read(bad, &got, NULL), E_INVALID);
		memcpy(bad, text, i + 1);
		memcpy(bad + i + 1, text + i, n - i + 1);
		assert_int_equal(token_read(bad, &got, NULL), E_INVALID);
		memcpy(bad, text, n + 1);
		bad[i] = '\0'; /* cut off */
		assert_int_equal(token_read(bad, &got, NULL), E_INVALID);
		if (i + 1 == n || text[i] == text[i + 1])
			continue;
		bad[i] = text[i + 1];
		bad[i + 1] = text[i];
		assert_int_equal(token_read(bad, &got, NULL), E_INVALID);
	}
}

static void wrong_kinds(void **state)
{
	char text[TOKEN_TEXT_MAX], longer[TOKEN_TEXT_MAX + 64];
	struct token got;
	struct err err = {0};
	assert_int_equal(token_read("", &got, &err), E_INVALID);
	assert_int_equal(token_read("/ip4/127.0.0.1/tcp/1", &got, &err), E_INVALID);
	assert_non_null(strstr(err.text, "og1"));
	assert_int_equal(token_read("og1", &got, &err), E_INVALID);
	sample_text(text);
	text[2] = '2';
	assert_int_equal(token_read(text, &got, &err), E_INVALID);
	assert_non_null(strstr(err.text, "version 2"));
	memset(longer, 'a', sizeof longer);
	memcpy(longer, "og1", 3);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(token_read(longer, &got, &err), E_INVALID);
}

/* Who changes the content has to make the checksum anew, and cannot make the signature. */
static void tampered(void **state)
{
	char text[TOKEN_TEXT_MAX];
	uint8_t raw[TOKEN_TEXT_MAX], hash[SHA256_SIZE];
	size_t n;
	struct token got;
	struct err err = {0};
	sample_text(text);
	OK(base32_decode(bytes_str(text + 3), raw, sizeof raw, &n));
	for (size_t i = 0; i + 4 < n; i++) {
		struct sha256 h;
		struct buf out = BUF_INIT(TOKEN_TEXT_MAX);
		raw[i] ^= 0x10;
		sha256_begin(&h);
		sha256_add(&h, bytes_str("og1"));
		sha256_add(&h, bytes_of(raw, n - 4));
		sha256_end(&h, hash);
		memcpy(raw + n - 4, hash, 4);
		buf_str(&out, "og1");
		base32_encode(bytes_of(raw, n), &out);
		assert_int_equal(token_read(buf_cstr(&out), &got, &err), E_BAD_SIGNATURE);
		assert_non_null(strstr(err.text, "tampered"));
		buf_free(&out);
		raw[i] ^= 0x10;
	}
}

/* Long names and addresses: what does not fit is left out, the rest is whole. */
static void large(void **state)
{
	char text[TOKEN_TEXT_MAX], addr[300] = "/dns4/";
	struct token t = sample(), got;
	struct identity issuer = issuer_of(9);
	memset(t.cluster, 'c', CLUSTER_ID_MAX - 1);
	memset(addr + 6, 'n', 60);
	memcpy(addr + 66, ".example/tcp/41145", 19);
	t.n_addrs = CLUSTER_INVITE_ADDRS_MAX;
	for (size_t i = 0; i < t.n_addrs; i++) {
		addr[6] = (char)('a' + i);
		OK(multiaddr_parse(bytes_str(addr), &t.addrs[i], NULL));
	}
	token_write(&t, &issuer, text);
	assert_true(strlen(text) < TOKEN_TEXT_MAX);
	OK(token_read(text, &got, NULL));
	assert_int_equal(strlen(got.cluster), CLUSTER_ID_MAX - 1);
	assert_in_range(got.n_addrs, 3, CLUSTER_INVITE_ADDRS_MAX - 1);
}

/* ---- the record ------------------------------------------------------------------------------ */

static struct invitation *make(struct invites *v, uint8_t tag, int64_t lifetime, uint32_t uses)
{
	uint8_t random[INVITE_ID_SIZE + INVITE_SECRET_SIZE];
	struct invitation *i = NULL;
	memset(random, tag, sizeof random);
	OK(invites_add(v, random, NOW, lifetime, uses, &i, NULL));
	return i;
}

static struct peer_id peer_of(uint8_t seed)
{
	return issuer_of(seed).peer_id;
}

static void uses(void **state)
{
	struct invites v = {0};
	struct invitation *i = make(&v, 1, 100, 2);
	struct peer_id a = peer_of(1), b = peer_of(2), c = peer_of(3);
	assert_int_equal(invitation_state(i, NOW), INVITE_OPEN);
	assert_int_equal(invitation_use(i, &a, NOW), INVITE_OPEN);
	assert_int_equal(invitation_use(i, &a, NOW), INVITE_OPEN); /* its answer was lost */
	assert_int_equal(i->used, 1);
	assert_int_equal(invitation_use(i, &b, NOW + 99), INVITE_OPEN);
	assert_int_equal(invitation_use(i, &c, NOW + 99), INVITE_USED_UP);
	assert_int_equal(invitation_use(i, &b, NOW + 99), INVITE_OPEN);
	assert_int_equal(invitation_use(i, &b, NOW + 100), INVITE_EXPIRED);
	invitation_unuse(i, &a);
	invitation_unuse(i, &c);
	assert_int_equal(i->used, 1);
	assert_int_equal(invitation_use(i, &c, NOW), INVITE_OPEN);
	i->revoked = true;
	assert_int_equal(invitation_use(i, &c, NOW), INVITE_REVOKED);
	assert_int_equal(invitation_state(i, NOW + 1000), INVITE_REVOKED);
	invites_free(&v);
}

static void limits(void **state)
{
	static const struct {
		int64_t lifetime;
		uint32_t uses;
	} bad[] = {{0, 1}, {-1, 1}, {CLUSTER_INVITE_LIFETIME_MAX_S + 1, 1}, {60, 0},
	    {60, CLUSTER_INVITE_USES_MAX + 1}};
	uint8_t random[INVITE_ID_SIZE + INVITE_SECRET_SIZE] = {0};
	struct invites v = {0};
	struct invitation *i;
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		assert_int_equal(
		    invites_add(&v, random, NOW, bad[k].lifetime, bad[k].uses, &i, NULL),
		    E_INVALID);
	for (uint8_t k = 0; k < CLUSTER_INVITES_MAX; k++)
		make(&v, k, k == 5 ? 10 : 1000, 1);
	assert_int_equal(invites_add(&v, random, NOW, 60, 1, &i, NULL), E_LIMIT);
	/* One that has ended gives way. */
	memset(random, 200, sizeof random);
	OK(invites_add(&v, random, NOW + 10, 60, 1, &i, NULL));
	assert_int_equal(v.n, CLUSTER_INVITES_MAX);
	uint8_t gone[INVITE_ID_SIZE];
	memset(gone, 5, sizeof gone);
	assert_null(invites_find(&v, gone));
	assert_ptr_equal(invites_find(&v, random), i);
	invites_free(&v);
}

static void on_disk(void **state)
{
	struct invites v = {0}, back;
	struct peer_id a = peer_of(1);
	make(&v, 1, 100, 3);
	make(&v, 2, 200, 1)->revoked = true;
	assert_int_equal(invitation_use(v.list[0], &a, NOW), INVITE_OPEN);
	json_t *j = invites_json(&v);
	OK(invites_read(j, &back, NULL));
	assert_int_equal(back.n, 2);
	for (size_t k = 0; k < 2; k++)
		assert_memory_equal(back.list[k], v.list[k], sizeof *v.list[k]);
	invites_free(&back);
	/* The whole file or nothing. */
	static const char *const keys[] = {"id", "secret", "created_s", "expires_s", "uses"};
	for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
		json_t *bad = json_deep_copy(j);
		json_object_set_new(json_array_get(bad, 1), keys[k], json_string("x"));
		assert_int_equal(invites_read(bad, &back, NULL), E_FORMAT);
		assert_int_equal(back.n, 0);
		json_decref(bad);
	}
	json_array_append(j, json_array_get(j, 0)); /* the same id twice */
	assert_int_equal(invites_read(j, &back, NULL), E_FORMAT);
	assert_int_equal(invites_read(NULL, &back, NULL), E_FORMAT);
	json_decref(j);
	invites_free(&v);
}

/* ---- the guard ------------------------------------------------------------------------------- */

static void allowance(void **state)
{
	struct guard g = {0};
	for (int i = 0; i < GUARD_FAILURES; i++) {
		assert_true(guard_allows(&g, "192.0.2.1", NOW));
		guard_failed(&g, "192.0.2.1", NOW);
	}
	assert_false(guard_allows(&g, "192.0.2.1", NOW));
	assert_true(guard_allows(&g, "192.0.2.2", NOW));
	assert_false(guard_allows(&g, "192.0.2.1", NOW + GUARD_EVERY_S - 1));
	assert_true(guard_allows(&g, "192.0.2.1", NOW + GUARD_EVERY_S));
	guard_failed(&g, "192.0.2.1", NOW + GUARD_EVERY_S);
	assert_false(guard_allows(&g, "192.0.2.1", NOW + GUARD_EVERY_S));
	/* A clock that jumps back neither forgives nor holds for ever. */
	assert_false(guard_allows(&g, "192.0.2.1", NOW - 100000));
	assert_true(guard_allows(&g, "192.0.2.1", NOW - 100000 + GUARD_EVERY_S));
}

/* However many sources fail, the table stays as it is and the newest are remembered. */
static void many_sources(void **state)
{
	static struct guard g;
	char name[32];
	for (int i = 0; i < 10 * GUARD_SOURCES; i++) {
		snprintf(name, sizeof name, "source %d", i);
		for (int k = 0; k < GUARD_FAILURES; k++)
			guard_failed(&g, name, NOW + i);
		assert_false(guard_allows(&g, name, NOW + i));
	}
	assert_true(guard_allows(&g, "source 0", NOW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(there_and_back),
	    cmocka_unit_test(other_shapes),
	    cmocka_unit_test(every_slip),
	    cmocka_unit_test(wrong_kinds),
	    cmocka_unit_test(tampered),
	    cmocka_unit_test(large),
	    cmocka_unit_test(uses),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(on_disk),
	    cmocka_unit_test(allowance),
	    cmocka_unit_test(many_sources),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
