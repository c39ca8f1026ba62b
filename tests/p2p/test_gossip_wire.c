/* Gossip's RPCs: what is written is read again, what is broken is refused, signatures hold. */
#include "suites.h"

#include "p2p/gossip_wire_priv.h"

#include <stdlib.h>

#define OK(expr) assert_int_equal((expr), 0)

static void identity_of(uint8_t n, struct identity *out)
{
	uint8_t seed[ED25519_SEED_SIZE] = {n};

	identity_from_seed(seed, out);
}

static void build_rpc(struct buf *out)
{
	const struct bytes ids[2] = {bytes_str("first"), bytes_str("second")};
	const struct gossip_px px[2] = {{bytes_str("peer"), bytes_str("record")}, {ids[0], {0}}};

	gossip_put_subscription(out, GOSSIP_SUBSCRIBE, bytes_str("a"));
	gossip_put_subscription(out, GOSSIP_UNSUBSCRIBE, bytes_str("b"));
	gossip_put_ids(out, GOSSIP_IHAVE, bytes_str("c"), ids, 2);
	gossip_put_ids(out, GOSSIP_IWANT, (struct bytes){0}, ids, 2);
	gossip_put_graft(out, bytes_str("d"));
	gossip_put_prune(out, bytes_str("e"), 300, px, 2);
	gossip_put_prune(out, bytes_str("f"), 0, NULL, 0);
	gossip_put_ids(out, GOSSIP_IDONTWANT, (struct bytes){0}, ids, 2);
	assert_false(out->failed);
}

static void next_item(
    struct gossip_walk *w, struct gossip_item *out, enum gossip_item_kind kind, const char *topic)
{
	assert_int_equal(gossip_walk_next(w, out, NULL), 1);
	assert_int_equal(out->kind, kind);
	assert_true(bytes_equal(out->topic, bytes_str(topic)));
}

static void expect_ids(const struct gossip_item *item)
{
	struct cursor c = cursor_of(item->body);
	struct bytes id;

	assert_true(gossip_ids_next(&c, item->kind, &id) && bytes_equal(id, bytes_str("first")));
	assert_true(gossip_ids_next(&c, item->kind, &id) && bytes_equal(id, bytes_str("second")));
	assert_false(gossip_ids_next(&c, item->kind, &id));
}

static void test_round_trip(void **state)
{
	struct buf rpc = BUF_INIT(4096);
	struct gossip_item item;
	struct bytes peer, record;

	build_rpc(&rpc);
	struct gossip_walk w = gossip_walk_of(buf_view(&rpc));
	next_item(&w, &item, GOSSIP_SUBSCRIBE, "a");
	next_item(&w, &item, GOSSIP_UNSUBSCRIBE, "b");
	next_item(&w, &item, GOSSIP_IHAVE, "c");
	expect_ids(&item);
	next_item(&w, &item, GOSSIP_IWANT, "");
	expect_ids(&item);
	next_item(&w, &item, GOSSIP_GRAFT, "d");
	next_item(&w, &item, GOSSIP_PRUNE, "e");
	assert_int_equal(item.backoff, 300);
	struct cursor c = cursor_of(item.body);
	assert_true(gossip_px_next(&c, &peer, &record));
	assert_true(
	    bytes_equal(peer, bytes_str("peer")) && bytes_equal(record, bytes_str("record")));
	assert_true(gossip_px_next(&c, &peer, &record));
	assert_true(bytes_equal(peer, bytes_str("first")) && record.n == 0);
	assert_false(gossip_px_next(&c, &peer, &record));
	next_item(&w, &item, GOSSIP_PRUNE, "f");
	assert_int_equal(item.backoff, 0);
	next_item(&w, &item, GOSSIP_IDONTWANT, "");
	expect_ids(&item);
	assert_int_equal(gossip_walk_next(&w, &item, NULL), 0);
	buf_free(&rpc);
}

/* As others write it: one control part with several items, and a field from the future. */
static void test_merged_control(void **state)
{
	struct bytes rpc = unhex(0, "1a0c"       /* control of 12 */
				    "1a030a0161" /* graft a */
				    "1a030a0162" /* graft b */
				    "2a00"       /* idontwant, empty */
				    "f80601");   /* field 111 */
	struct gossip_walk w = gossip_walk_of(rpc);
	struct gossip_item item;

	OK(gossip_rpc_check(rpc, NULL));
	next_item(&w, &item, GOSSIP_GRAFT, "a");
	next_item(&w, &item, GOSSIP_GRAFT, "b");
	next_item(&w, &item, GOSSIP_IDONTWANT, "");
	assert_int_equal(gossip_walk_next(&w, &item, NULL), 0);
}

/* Cut anywhere, it is either whole items or refused; nothing is read beyond the cut. */
static void test_cut_anywhere(void **state)
{
	struct buf rpc = BUF_INIT(4096);
	unsigned refused = 0;

	build_rpc(&rpc);
	for (size_t n = 0; n < rpc.n; n++) {
		uint8_t *copy = malloc(n + 1);
		memcpy(copy, rpc.p, n);
		refused += gossip_rpc_check(bytes_of(copy, n), NULL) == E_PROTOCOL;
		free(copy);
	}
	assert_true(refused > rpc.n / 2);
	OK(gossip_rpc_check(buf_view(&rpc), NULL));
	buf_free(&rpc);
}

/* ---- signatures ---------------------------------------------------------------------------- */

static int verify(struct bytes raw)
{
	struct gossip_message m;
	int rc = gossip_message_decode(raw, &m, NULL);

	return rc != 0 ? rc : gossip_verify(&m, NULL);
}

static void signed_by(const struct identity *id, struct buf *out)
{
	const uint8_t seqno[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	gossip_sign(id, bytes_str("topic"), bytes_str("data"), seqno, out);
	assert_false(out->failed);
}

static void test_every_byte_is_signed(void **state)
{
	struct identity id;
	struct buf raw = BUF_INIT(4096);

	identity_of(1, &id);
	signed_by(&id, &raw);
	OK(verify(buf_view(&raw)));
	for (size_t i = 0; i < raw.n; i++) {
		raw.p[i] ^= 1;
		assert_int_not_equal(verify(buf_view(&raw)), 0);
		raw.p[i] ^= 1;
	}
	OK(verify(buf_view(&raw)));
	buf_free(&raw);
}

/* A message by hand: the signature covers `covered`, the key is added when asked for. */
static void by_hand(
    const struct identity *id, const struct identity *key_of, bool key_signed, struct buf *raw)
{
	struct buf text = BUF_INIT(4096);
	uint8_t signature[ED25519_SIGNATURE_SIZE], key[PUBLIC_KEY_MAX];
	struct public_key public = public_key_ed25519(key_of->public_key);
	struct bytes key_bytes = bytes_of(key, public_key_encode(&public, key));

	buf_str(&text, "libp2p-pubsub:");
	size_t prefix = text.n;
	pb_put_bytes(&text, 1, peer_id_bytes(&id->peer_id));
	pb_put_bytes(&text, 2, bytes_str("data"));
	pb_put_bytes(&text, 3, bytes_str("12345678"));
	pb_put_bytes(&text, 4, bytes_str("topic"));
	pb_put_bytes(&text, 99, bytes_str("from the future"));
	if (key_signed)
		pb_put_bytes(&text, 6, key_bytes);
	identity_sign(id, buf_view(&text), signature);
	buf_put(raw, text.p + prefix, text.n - prefix);
	pb_put_bytes(raw, 5, bytes_of(signature, sizeof signature));
	if (!key_signed)
		pb_put_bytes(raw, 6, key_bytes);
	assert_false(raw->failed || text.failed);
	buf_free(&text);
}

static void test_keys_and_unknown_fields(void **state)
{
	struct identity id, other;
	struct buf raw = BUF_INIT(4096);

	identity_of(1, &id);
	identity_of(2, &other);
	by_hand(&id, &id, false, &raw); /* as go and js sign */
	OK(verify(buf_view(&raw)));
	buf_reset(&raw);
	by_hand(&id, &id, true, &raw); /* as the spec reads */
	OK(verify(buf_view(&raw)));
	buf_reset(&raw);
	by_hand(&id, &other, false, &raw);
	assert_int_equal(verify(buf_view(&raw)), E_WRONG_PEER);
	buf_free(&raw);
}

static void test_what_strict_sign_requires(void **state)
{
	struct identity id;
	struct buf raw = BUF_INIT(4096), less = BUF_INIT(4096);

	identity_of(1, &id);
	signed_by(&id, &raw);
	for (uint32_t without = 1; without <= 5; without++) {
		struct cursor c = cursor_of(buf_view(&raw));
		struct pb_field f;
		buf_reset(&less);
		while (pb_next(&c, &f, NULL) > 0)
			if (f.number != without)
				pb_put_bytes(&less, f.number, f.data);
		assert_int_not_equal(verify(buf_view(&less)), 0);
		if (without != 2 && without != 4)
			assert_int_equal(verify(buf_view(&less)), E_PROTOCOL);
	}
	buf_free(&raw);
	buf_free(&less);
}

int run_gossip_wire_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_merged_control),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_every_byte_is_signed),
	    cmocka_unit_test(test_keys_and_unknown_fields),
	    cmocka_unit_test(test_what_strict_sign_requires),
	};

	return cmocka_run_group_tests_name("gossip wire", tests, NULL, NULL);
}
