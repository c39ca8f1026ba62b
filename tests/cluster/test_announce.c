/* Announcements over gossip in a simulated universe: members that cannot connect see each other,
 * changes arrive at once, and what no member made, or what was made long ago, goes nowhere. */
#include "member_help.h"

#include "crypto/aead.h"

#include <stdio.h>

#define MANY    50
#define ALL     ((size_t)MANY * (MANY - 1))
#define NEAR    3
#define CONTEXT "opengateway announce 1"

/* In a ring, where each reaches the next three on either side alone. */
static struct member *ring(struct net *n, size_t count, size_t near)
{
	struct member *m = calloc(count, sizeof *m);
	char(*names)[8] = calloc(count, sizeof *names);
	struct how how = {.name = "house", .key = KEY_1, .gossip = true};

	for (size_t i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof names[i], "m%zu", i);
		host_up(n, &m[i], names[i], &how);
		serve_model(&m[i]);
	}
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < i; k++)
			if (i - k > near && k + count - i > near)
				universe_partition(n->u, m[i].node.world, m[k].node.world, true);
	for (size_t i = 0; i < count; i++) {
		how.through = i > 0 ? &m[i - 1] : NULL;
		OK(member_join(&m[i], &how, NULL));
	}
	return m;
}

static void ring_end(struct member *m, size_t count)
{
	const char *names = m[0].label;

	for (size_t i = 0; i < count; i++)
		down(&m[i]);
	free((void *)(uintptr_t)names);
	free(m);
}

static bool hears(const struct member *m, const struct member *of)
{
	struct cluster_peer row = row_of(m, of);

	return (row.state == PEER_MEMBER || row.state == PEER_ANNOUNCED) && row.n_models == 1;
}

static size_t heard(const struct member *m, size_t count)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count; k++)
			n += i != k && hears(&m[i], &m[k]);
	return n;
}

static bool ready_there(const struct member *m, const struct member *of)
{
	const struct peer *p = table_find(m->cluster, &of->node.id.peer_id);

	return p && p->state && p->state->n_models == 1 && p->state->models[0].ready;
}

/* Each of fifty sees all others, though it is connected to six. */
static void far_away(struct net *n)
{
	struct member *m = ring(n, MANY, NEAR);

	for (int i = 0; i < 18 && heard(m, MANY) < ALL; i++)
		OK(fiber_sleep(duration_s(10)));
	assert_int_equal(heard(m, MANY), ALL);
	const struct member *across = &m[MANY / 2];
	assert_int_equal(row_of(&m[0], across).state, PEER_ANNOUNCED);
	assert_true(row_of(&m[0], across).sources & SOURCE_GOSSIP);
	assert_string_equal(row_of(&m[0], across).label, across->label);
	assert_true(ready_there(&m[0], across));
	/* A change arrives at once, not with the next round. */
	one_model.ready = false;
	cluster_announce(across->cluster);
	eventually(10, !ready_there(&m[0], across));
	one_model.ready = true;
	/* It stays so, and who falls silent is gone after three minutes. */
	OK(fiber_sleep(duration_s(130)));
	assert_int_equal(heard(m, MANY), ALL);
	cluster_close(m[MANY / 2].cluster);
	m[MANY / 2].cluster = NULL;
	OK(fiber_sleep(duration_s(200)));
	assert_int_not_equal(row_of(&m[0], across).state, PEER_ANNOUNCED);
	assert_int_equal(row_of(&m[0], &m[10]).state, PEER_ANNOUNCED);
	assert_int_equal(net_logged(n, "cannot announce"), 0);
	ring_end(m, MANY);
}

/* ---- a member that has turned ---------------------------------------------------------------- */

/* Sealed with a cluster's key, in an author's name. */
static void sealed(
    const char *key_hex, const struct member *author, const char *text, struct buf *out)
{
	struct buf ad = BUF_INIT(256);
	struct membership ms;
	uint8_t key[SHA256_SIZE], tag[AEAD_TAG_SIZE];
	uint8_t nonce[AEAD_NONCE_SIZE] = {1, 2, 3};
	struct aead *a;

	OK(membership_named(&ms, "house", key_hex, NULL));
	hmac_sha256(bytes_of(ms.key, sizeof ms.key), bytes_str(CONTEXT), key);
	OK(aead_new(key, &a, NULL));
	buf_str(&ad, CONTEXT);
	buf_bytes(&ad, peer_id_bytes(&author->node.id.peer_id));
	buf_reset(out);
	buf_put(out, nonce, sizeof nonce);
	OK(buf_reserve(out, strlen(text)));
	OK(aead_seal(a, nonce, buf_view(&ad), (const uint8_t *)text, strlen(text), out->p + out->n,
	    tag, NULL));
	out->n += strlen(text);
	buf_put(out, tag, sizeof tag);
	aead_free(a);
	buf_free(&ad);
}

static void publish(
    struct member *m, const char *key, const struct member *author, const char *text)
{
	struct buf out = BUF_INIT(65536);
	struct membership ms;
	char topic[128], hash[2 * SHA256_SIZE + 1];

	OK(membership_named(&ms, "house", KEY_1, NULL));
	hex_encode(bytes_of(ms.hash, sizeof ms.hash), hash);
	(void)snprintf(topic, sizeof topic, "/opengateway/%s/announce/1", hash);
	sealed(key, author, text, &out);
	OK(p2p_gossip_publish(m->gossip, topic, buf_view(&out), NULL));
	buf_free(&out);
	OK(fiber_sleep(duration_ms(500)));
}

static uint32_t count(const struct member *at, const struct member *of, enum p2p_offence kind)
{
	struct p2p_conduct c;

	return p2p_conduct(at->node.host, &of->node.id.peer_id, &c) ? c.counts[kind] : 0;
}

static const char *dated(const struct member *m, int64_t ahead_ms, const char *label)
{
	static char text[256];

	(void)snprintf(text, sizeof text,
	    "{\"seq\":%lld,\"label\":\"%s\",\"models\":[{\"id\":\"tiny\"},{\"id\":\"big\"}]}",
	    (long long)(world_wall_ms(m->node.world) + ahead_ms), label);
	return text;
}

/* m0 - m1 - m2: what m0 says reaches m2 only if m1 passes it on. */
static struct member *chain(struct net *n)
{
	struct member *m = ring(n, 3, 3);

	eventually(60, heard(m, 3) == 6);
	universe_partition(n->u, m[0].node.world, m[2].node.world, true);
	eventually(60, row_of(&m[2], &m[0]).state == PEER_ANNOUNCED);
	return m;
}

/* Nothing bad came as far as m2, so nothing is held against those who passed it on. */
static void chain_end(struct member *m)
{
	for (int k = 0; k < P2P_OFFENCES; k++)
		assert_int_equal(count(&m[2], &m[0], (enum p2p_offence)k) +
				     count(&m[2], &m[1], (enum p2p_offence)k),
		    0);
	ring_end(m, 3);
}

static double score(const struct member *at, const struct member *of)
{
	struct p2p_gossip_peer peers[8];
	size_t n = p2p_gossip_peers(at->gossip, peers, 8);

	for (size_t i = 0; i < n && i < 8; i++)
		if (peer_id_equal(&peers[i].id, &of->node.id.peer_id))
			return peers[i].score;
	fail_msg("no gossip with %s", of->label);
	return 0;
}

static void forger(struct net *n)
{
	struct member *m = chain(n);
	char *large = malloc(20000);

	memset(large, ' ', 19999);
	large[19999] = '\0';
	/* Under another key, in another's name, and too long. */
	publish(&m[0], KEY_2, &m[0], dated(&m[0], 0, "x"));
	assert_int_equal(count(&m[1], &m[0], P2P_FORGED), 1);
	publish(&m[0], KEY_1, &m[2], dated(&m[0], 0, "x"));
	assert_int_equal(count(&m[1], &m[0], P2P_FORGED), 2);
	publish(&m[0], KEY_1, &m[0], large);
	assert_int_equal(count(&m[1], &m[0], P2P_OVERSIZED), 1);
	/* After three of those nobody listens to its gossip any more. */
	assert_true(score(&m[1], &m[0]) < -80);
	assert_true(row_of(&m[1], &m[0]).gossips && row_of(&m[1], &m[0]).gossip_score < -80);
	publish(&m[0], KEY_2, &m[0], dated(&m[0], 0, "x"));
	assert_int_equal(count(&m[1], &m[0], P2P_FORGED), 2);
	assert_true(together(&m[0], &m[1]));
	free(large);
	chain_end(m);
}

static void out_of_time(struct net *n)
{
	struct member *m = chain(n);

	publish(&m[0], KEY_1, &m[0], "[1,2");
	assert_int_equal(count(&m[1], &m[0], P2P_MALFORMED), 1);
	/* Of tomorrow: neither believed nor passed on. Of long ago: a replay. */
	publish(&m[0], KEY_1, &m[0], dated(&m[0], 86400000, "x"));
	assert_int_not_equal(row_of(&m[2], &m[0]).n_models, 2);
	publish(&m[0], KEY_1, &m[0], dated(&m[0], -3600000, "x"));
	assert_int_equal(count(&m[1], &m[0], P2P_REPLAYED), 1);
	/* A good one after that counts. */
	publish(&m[0], KEY_1, &m[0], dated(&m[0], 0, "x"));
	eventually(5, row_of(&m[2], &m[0]).n_models == 2);
	chain_end(m);
}

/* A member that announces all the time is heard now and then. */
static void chatter(struct net *n)
{
	struct member *m = ring(n, 3, 3);
	const struct peer *seen;
	unsigned changes = 0;
	int64_t last = 0;

	eventually(60, heard(m, 3) == 6);
	OK(fiber_sleep(duration_s(20)));
	for (int i = 0; i < 60; i++) {
		publish(&m[0], KEY_1, &m[0], dated(&m[0], i + 1, "x"));
		seen = table_find(m[1].cluster, &m[0].node.id.peer_id);
		changes += seen->announce_seq != last;
		last = seen->announce_seq;
	}
	/* 30 s: five at once, and one each two seconds. */
	assert_in_range(changes, 15, 22);
	assert_true(together(&m[0], &m[1]));
	ring_end(m, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORY(far_away), STORY(forger), STORY(out_of_time), STORY(chatter)};

	if (crypto_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
