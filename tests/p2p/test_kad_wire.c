/* Kademlia's messages: exact bytes, bounds, and whatever goes out comes back. */
#include "base/encode.h"
#include "kad_help.h"

static struct bytes from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	OK(hex_decode(bytes_str(hex), out, n));
	return bytes_of(out, n);
}

static void check_encoding(const struct kad_message *m, const char *hex)
{
	struct buf out = BUF_INIT(KAD_ANSWER_MAX);
	char text[1024];

	kad_message_encode(m, &out);
	assert_false(out.failed);
	assert_true(out.n * 2 < sizeof text);
	hex_encode(buf_view(&out), text);
	assert_string_equal(text, hex);
	buf_free(&out);
}

/* Field numbers and types of the specification's protobuf, byte for byte. */
static void test_bytes(void **state)
{
	struct kad_message m = {.type = KAD_FIND_NODE, .key = bytes_str("key")};
	struct peer_id id = peer_of(1);
	struct multiaddr a = addr_of("/ip4/1.2.3.4/tcp/5");

	check_encoding(&m, "080412036b6579");
	m = (struct kad_message){.type = KAD_PUT_VALUE,
	    .key = bytes_str("k"),
	    .has_record = true,
	    .record = {bytes_str("k"), bytes_str("v"), bytes_str("t")}};
	check_encoding(&m, "080012016b1a090a016b1201762a0174");
	m = (struct kad_message){.type = KAD_GET_PROVIDERS, .key = bytes_str("k")};
	kad_peers_add(&m.closer, &id)->connection = KAD_CONNECTED;
	struct kad_peer *p = kad_peers_add(&m.providers, &id);
	OK(addr_list_add(&p->addrs, &a, KAD_PEER_ADDRS_MAX));
#define PEER1 "12200000000000000001000000000000000000000000000000000000000000000000"
	check_encoding(&m, "080312016b"
			   "42260a22" PEER1 "1801"
			   "4a300a22" PEER1 "120804010203040600051800");
	kad_message_free(&m);
}

static void test_type_may_be_absent(void **state)
{
	uint8_t raw[64];
	struct kad_message m;

	OK(kad_message_decode(from_hex("12016b", raw), &m, NULL));
	assert_int_equal(m.type, KAD_PUT_VALUE);
	assert_true(bytes_equal(m.key, bytes_str("k")));
	assert_false(m.has_record);
	kad_message_free(&m);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
	    "0806", "08ffffffffffffffffff01", "12ff", "0a", "1a020a05", "42020a05", "4a0112"};
	uint8_t raw[64];
	struct kad_message m;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(kad_message_decode(from_hex(bad[i], raw), &m, NULL), E_PROTOCOL);
}

static int decode_size(enum kad_type type, size_t key, size_t value, size_t received)
{
	uint8_t *zeros = calloc(1, KAD_ANSWER_MAX);
	struct kad_message m = {.type = type,
	    .key = bytes_of(zeros, key),
	    .has_record = true,
	    .record = {bytes_of(zeros, 1), bytes_of(zeros, value), bytes_of(zeros, received)}};
	struct kad_message back;
	struct buf out = BUF_INIT(2 * KAD_ANSWER_MAX);

	kad_message_encode(&m, &out);
	int rc = kad_message_decode(buf_view(&out), &back, NULL);
	if (rc == 0)
		kad_message_free(&back);
	buf_free(&out);
	free(zeros);
	return rc;
}

static void test_bounds(void **state)
{
	OK(decode_size(KAD_PUT_VALUE, KAD_KEY_MAX, KAD_VALUE_MAX, KAD_TIME_MAX));
	assert_int_equal(decode_size(KAD_PUT_VALUE, KAD_KEY_MAX + 1, 1, 1), E_TOO_LARGE);
	assert_int_equal(decode_size(KAD_PUT_VALUE, 1, KAD_VALUE_MAX + 1, 1), E_TOO_LARGE);
	assert_int_equal(decode_size(KAD_PUT_VALUE, 1, 1, KAD_TIME_MAX + 1), E_TOO_LARGE);
}

/* Too many peers, too many addresses: the rest is left out. */
static void test_lists_are_cut(void **state)
{
	struct buf one = BUF_INIT(8192), all = BUF_INIT(KAD_ANSWER_MAX);
	struct kad_message m = {.type = KAD_FIND_NODE}, back;
	struct peer_id id = peer_of(7);
	struct multiaddr a = addr_of("/ip4/1.2.3.4/tcp/5");

	OK(addr_list_add(&kad_peers_add(&m.closer, &id)->addrs, &a, 1));
	for (int i = 0; i < 3 * KAD_PEER_ADDRS_MAX; i++)
		OK(addr_list_add(&m.closer.v[0].addrs, &a, 1000));
	kad_message_encode(&m, &one);
	for (int i = 0; i < 3 * KAD_PEERS_MAX; i++)
		buf_put(&all, one.p + 2, one.n - 2); /* without its type */
	OK(kad_message_decode(buf_view(&all), &back, NULL));
	assert_int_equal(back.closer.n, KAD_PEERS_MAX);
	assert_int_equal(back.closer.v[KAD_PEERS_MAX - 1].addrs.n, KAD_PEER_ADDRS_MAX);
	kad_message_free(&back);
	kad_message_free(&m);
	buf_free(&one);
	buf_free(&all);
}

/* The id may come last; an address that names another peer, or none that we know, is left out. */
static void test_addresses_are_the_peers_own(void **state)
{
	struct peer_id id = peer_of(1), other = peer_of(2);
	struct multiaddr a = addr_of("/ip4/1.2.3.4/tcp/5"), own = a, foreign = a;
	struct buf body = BUF_INIT(4096), all = BUF_INIT(4096);
	struct kad_message m;

	OK(multiaddr_append_peer(&own, &id, NULL));
	OK(multiaddr_append_peer(&foreign, &other, NULL));
	const struct bytes list[] = {
	    multiaddr_bytes(&own), multiaddr_bytes(&foreign), bytes_str("\xff\xff"), bytes_str("")};
	for (int i = 0; i < 4; i++) {
		buf_u8(&body, 0x12);
		buf_u8(&body, (uint8_t)list[i].n);
		buf_bytes(&body, list[i]);
	}
	buf_u8(&body, 0x0a);
	buf_u8(&body, id.n);
	buf_bytes(&body, peer_id_bytes(&id));
	buf_u8(&all, 0x42);
	buf_varint(&all, body.n);
	buf_bytes(&all, buf_view(&body));
	OK(kad_message_decode(buf_view(&all), &m, NULL));
	assert_int_equal(m.closer.n, 1);
	assert_true(peer_id_equal(&m.closer.v[0].id, &id));
	assert_int_equal(m.closer.v[0].addrs.n, 1);
	assert_true(multiaddr_equal(&m.closer.v[0].addrs.v[0], &a));
	kad_message_free(&m);
	buf_free(&body);
	buf_free(&all);
}

static void test_a_peer_without_a_readable_id_is_left_out(void **state)
{
	uint8_t raw[64];
	struct kad_message m;

	OK(kad_message_decode(from_hex("0804"
				       "42040a02ffff"
				       "4200",
				  raw),
	    &m, NULL));
	assert_int_equal(m.closer.n, 0);
	kad_message_free(&m);
}

static void random_message(uint64_t *seed, uint8_t *noise, struct kad_message *m)
{
	*m = (struct kad_message){.type = (enum kad_type)(draw(seed) % 6),
	    .key = bytes_of(noise, draw(seed) % KAD_KEY_MAX),
	    .has_record = draw(seed) % 2};
	if (m->has_record)
		m->record = (struct kad_record){bytes_of(noise, draw(seed) % KAD_KEY_MAX),
		    bytes_of(noise, draw(seed) % KAD_VALUE_MAX),
		    bytes_of(noise, draw(seed) % KAD_TIME_MAX)};
	for (uint64_t i = draw(seed) % KAD_PEERS_MAX; i > 0; i--) {
		struct peer_id id = peer_of(draw(seed));
		struct kad_peer *p =
		    kad_peers_add(draw(seed) % 2 ? &m->closer : &m->providers, &id);
		p->connection = (enum kad_connection)(draw(seed) % 4);
		for (uint64_t j = draw(seed) % KAD_PEER_ADDRS_MAX; j > 0; j--) {
			struct multiaddr a;
			multiaddr_from_tcp(bytes_of(noise + j, 4), (uint16_t)draw(seed), &a);
			OK(addr_list_add(&p->addrs, &a, KAD_PEER_ADDRS_MAX));
		}
	}
}

static void test_round_trips(void **state)
{
	uint8_t *noise = malloc(KAD_VALUE_MAX);
	uint64_t seed = 1;

	for (size_t i = 0; i < KAD_VALUE_MAX; i++)
		noise[i] = (uint8_t)draw(&seed);
	for (int round = 0; round < 300; round++) {
		struct buf first = BUF_INIT(KAD_ANSWER_MAX), second = BUF_INIT(KAD_ANSWER_MAX);
		struct kad_message m, back;
		random_message(&seed, noise, &m);
		kad_message_encode(&m, &first);
		assert_false(first.failed);
		OK(kad_message_decode(buf_view(&first), &back, NULL));
		assert_int_equal(back.closer.n, m.closer.n);
		assert_int_equal(back.providers.n, m.providers.n);
		kad_message_encode(&back, &second);
		assert_true(bytes_equal(buf_view(&first), buf_view(&second)));
		kad_message_free(&m);
		kad_message_free(&back);
		buf_free(&first);
		buf_free(&second);
	}
	free(noise);
}

/* SPEC kad-dht: the distance is that of the hashes. SHA-256("abc") begins with ba 78 16 bf. */
static void test_key_space(void **state)
{
	struct kad_key abc = kad_key_of(bytes_str("abc")), near = abc, far = abc;

	assert_int_equal(get_u32be(abc.b), 0xba7816bf);
	near.b[31] ^= 1;
	far.b[0] ^= 0x10;
	assert_int_equal(kad_shared_bits(&abc, &abc), 256);
	assert_int_equal(kad_shared_bits(&abc, &near), 255);
	assert_int_equal(kad_shared_bits(&abc, &far), 3);
	assert_true(kad_nearer(&near, &far, &abc) < 0);
	assert_true(kad_nearer(&far, &near, &abc) > 0);
	assert_int_equal(kad_nearer(&far, &far, &abc), 0);
}

int run_kad_wire_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_type_may_be_absent),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_lists_are_cut),
	    cmocka_unit_test(test_addresses_are_the_peers_own),
	    cmocka_unit_test(test_a_peer_without_a_readable_id_is_left_out),
	    cmocka_unit_test(test_round_trips),
	    cmocka_unit_test(test_key_space),
	};

	return cmocka_run_group_tests_name("kad messages", tests, NULL, NULL);
}
