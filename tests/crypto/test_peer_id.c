/* Peer ids in all their forms. The text examples are those of the libp2p specification. */
#include "crypto/crypto.h"
#include "suites.h"

static const char ed_text[] = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

static void examples_round_trip(void **state)
{
	static const char *const ex[] = {
	    "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
	    "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
	};
	struct peer_id id, back;
	char text[PEER_ID_TEXT_MAX];

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(peer_id_parse(bytes_str(ex[i]), &id, NULL), 0);
		peer_id_print(&id, text);
		assert_string_equal(text, ex[i]);
		assert_int_equal(peer_id_from_bytes(peer_id_bytes(&id), &back, NULL), 0);
		assert_true(peer_id_equal(&id, &back));
		assert_memory_equal(&id, &back, sizeof(id));
	}
}

/* peer-ids.md, "Decoding": the CID and the base58 form of one id */
static void cid_form_is_the_same_id(void **state)
{
	struct peer_id a, b;

	assert_int_equal(
	    peer_id_parse(
		bytes_str("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"), &a, NULL),
	    0);
	assert_int_equal(
	    peer_id_parse(bytes_str("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"), &b, NULL),
	    0);
	assert_true(peer_id_equal(&a, &b));

	/* 'z': base58btc of 01 72 and the multihash */
	uint8_t cid[2 + PEER_ID_MAX] = {0x01, 0x72};
	char text[100] = "z";

	memcpy(cid + 2, b.bytes, b.n);
	assert_int_equal(base58_encode(bytes_of(cid, 2u + b.n), text + 1, sizeof(text) - 1), 0);
	assert_int_equal(peer_id_parse(bytes_str(text), &a, NULL), 0);
	assert_true(peer_id_equal(&a, &b));
	cid[1] = 0x70; /* dag-pb */
	assert_int_equal(base58_encode(bytes_of(cid, 2u + b.n), text + 1, sizeof(text) - 1), 0);
	assert_int_equal(peer_id_parse(bytes_str(text), &a, NULL), E_INVALID);
}

static void keys_give_ids(void **state)
{
	struct public_key key, back;
	struct peer_id id, again;
	char text[PEER_ID_TEXT_MAX], node[NODE_ID_TEXT_MAX];

	assert_int_equal(
	    public_key_decode(
		unhex(
		    0, "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"),
		&key, NULL),
	    0);
	peer_id_of_key(&key, &id);
	assert_true(bytes_equal(peer_id_bytes(&id),
	    unhex(1,
		"0024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")));
	peer_id_print(&id, text);
	assert_memory_equal(text, "12D3KooW", 8);
	assert_int_equal(node_id_print(&id, node, NULL), 0);
	assert_string_equal(
	    node, "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e");
	assert_int_equal(node_id_parse(bytes_str(node), &again, NULL), 0);
	assert_true(peer_id_equal(&id, &again));
	assert_int_equal(peer_id_key(&id, &back, NULL), 0);
	assert_true(back.type == KEY_ED25519 && bytes_equal(back.data, key.data));
}

static void other_keys(void **state)
{
	struct public_key key;
	struct peer_id id;
	char node[NODE_ID_TEXT_MAX];

	assert_int_equal(
	    public_key_decode(
		unhex(0,
		    "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"),
		&key, NULL),
	    0);
	peer_id_of_key(&key, &id);
	assert_int_equal(id.n, 39);
	assert_int_equal(node_id_print(&id, node, NULL), E_UNSUPPORTED);
	key = (struct public_key){KEY_RSA, unhex(1, "3000300030003000300030003000300030003000"
						    "3000300030003000300030003000300030003000")};
	peer_id_of_key(&key, &id);
	assert_int_equal(id.n, 34);
	assert_int_equal(id.bytes[0], 0x12);
	assert_int_equal(peer_id_key(&id, &key, NULL), E_UNSUPPORTED);
	assert_int_equal(node_id_print(&id, node, NULL), E_UNSUPPORTED);
}

static void bad_forms_are_refused(void **state)
{
	static const char *const texts[] = {"", "1", "Q", "12D3KooW", "hello world", "b", "z",
	    "bafz", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
	    "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N1",
	    "BAFZBEIE5745RPV2M6TJYUUGYWY4D5EWRQGQQHFNF445HE3OMZPJBX5XQXE",
	    "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA ", "QmY yQ"};
	static const char *const raws[] = {"00", "0000", "0024", "002408011220", "1220",
	    "121f00000000000000000000000000000000000000000000000000000000000000",
	    "112000000000000000000000000000000000000000000000000000000000000000ff",
	    "0026080212201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e0000"};
	char long_text[300];
	struct peer_id id;
	struct err err = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(peer_id_parse(bytes_str(texts[i]), &id, NULL), E_INVALID);
	for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++)
		assert_int_equal(peer_id_from_bytes(unhex(0, raws[i]), &id, NULL), E_PROTOCOL);
	memset(long_text, '1', sizeof(long_text));
	assert_int_equal(
	    peer_id_parse(bytes_of(long_text, sizeof(long_text)), &id, &err), E_INVALID);
	assert_non_null(strstr(err.text, "too long"));
	assert_int_equal(node_id_parse(bytes_str("1ed1"), &id, NULL), E_INVALID);
}

static void ids_have_an_order(void **state)
{
	struct peer_id a, b, none = {0};
	char text[PEER_ID_TEXT_MAX];

	assert_int_equal(peer_id_parse(bytes_str(ed_text), &a, NULL), 0);
	b = a;
	assert_int_equal(peer_id_compare(&a, &b), 0);
	b.bytes[20]++;
	assert_true(peer_id_compare(&a, &b) < 0 && peer_id_compare(&b, &a) > 0);
	assert_false(peer_id_equal(&a, &b));
	assert_true(peer_id_compare(&none, &a) < 0);
	peer_id_print(&none, text);
	assert_string_equal(text, "");
}

int run_peer_id_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(examples_round_trip),
	    cmocka_unit_test(cid_form_is_the_same_id),
	    cmocka_unit_test(keys_give_ids),
	    cmocka_unit_test(other_keys),
	    cmocka_unit_test(bad_forms_are_refused),
	    cmocka_unit_test(ids_have_an_order),
	};

	return cmocka_run_group_tests_name("crypto/peer_id", tests, NULL, NULL);
}
