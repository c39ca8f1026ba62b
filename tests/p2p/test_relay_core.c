/* Relay messages, vouchers, and the relay's book. */
#include "p2p/relay_core_priv.h"
#include "suites.h"

static struct peer_id peer_no(uint8_t i)
{
	uint8_t seed[ED25519_SEED_SIZE] = {i, 1};
	struct identity id;

	identity_from_seed(seed, &id);
	return id.peer_id;
}

static struct instant at_s(int64_t s)
{
	return (struct instant){s * 1000000000};
}

/* ---- messages ------------------------------------------------------------------------------ */

static void zero_types_are_written(void **state)
{
	struct relay_hop hop = {.type = RELAY_HOP_RESERVE};
	struct relay_stop stop = {.type = RELAY_STOP_CONNECT};
	struct buf out = BUF_INIT(64);

	relay_hop_encode(&hop, &out);
	assert_true(bytes_equal(buf_view(&out), unhex(0, "0800")));
	buf_reset(&out);
	relay_stop_encode(&stop, &out);
	assert_true(bytes_equal(buf_view(&out), unhex(0, "0800")));
	buf_reset(&out);
	hop = (struct relay_hop){.type = RELAY_HOP_STATUS,
	    .status = RELAY_OK,
	    .has_limit = true,
	    .limit = {.duration_s = 120, .bytes = 131072}};
	relay_hop_encode(&hop, &out);
	assert_true(bytes_equal(buf_view(&out), unhex(0, "08022206087810808008"
							 "2864")));
	buf_free(&out);
}

static void messages_survive_the_wire(void **state)
{
	struct relay_hop m = {.type = RELAY_HOP_STATUS,
	    .peer = peer_no(1),
	    .has_reservation = true,
	    .expire_s = 1900000000,
	    .voucher = unhex(1, "0102"),
	    .has_limit = true,
	    .limit = {.duration_s = 7, .bytes = UINT64_MAX},
	    .status = RELAY_MALFORMED};
	struct relay_hop back;
	struct multiaddr a;
	struct buf out = BUF_INIT(RELAY_MESSAGE_MAX);

	assert_int_equal(multiaddr_parse(bytes_str("/ip4/1.2.3.4/tcp/5"), &a, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(addr_list_add(&m.addrs, &a, 9), 0);
	relay_hop_encode(&m, &out);
	assert_int_equal(relay_hop_decode(buf_view(&out), &back, NULL), 0);
	assert_true(back.type == m.type && peer_id_equal(&back.peer, &m.peer));
	assert_true(back.has_reservation && back.expire_s == m.expire_s && back.addrs.n == 3);
	assert_true(multiaddr_equal(&back.addrs.v[2], &a));
	assert_true(bytes_equal(back.voucher, m.voucher));
	assert_true(back.has_limit && back.limit.duration_s == 7);
	assert_true(back.limit.bytes == UINT64_MAX && back.status == RELAY_MALFORMED);
	relay_hop_free(&back);
	relay_hop_free(&m);
	buf_free(&out);
}

static void bad_messages_are_refused(void **state)
{
	static const char *const bad[] = {
	    "",               /* no type */
	    "2864",           /* a status without a type */
	    "0803",           /* no such type */
	    "08001203aabbcc", /* not a peer */
	    "080012040a02aabb",
	    "08001a05aabbccdd", /* cut short */
	    "080022020880",     /* a limit cut short */
	    "08ffffffffffffffffffff01",
	};
	struct relay_hop hop;
	struct relay_stop stop;
	uint8_t large[RELAY_MESSAGE_MAX + 1] = {8, 0};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(relay_hop_decode(unhex(0, bad[i]), &hop, NULL), E_PROTOCOL);
	assert_int_equal(relay_hop_decode(bytes_of(large, sizeof large), &hop, NULL), E_PROTOCOL);
	assert_int_equal(relay_stop_decode(unhex(0, "2064"), &stop, NULL), E_PROTOCOL);
	assert_int_equal(relay_stop_decode(unhex(0, "0802"), &stop, NULL), E_PROTOCOL);
	assert_int_equal(relay_stop_decode(bytes_of(large, sizeof large), &stop, NULL), E_PROTOCOL);
	/* Unknown fields, and a duration that is too long for us, are fine. */
	assert_int_equal(relay_stop_decode(unhex(0, "08011a0608ffffffff7f"
						    "20647a0141"),
			     &stop, NULL),
	    0);
	assert_true(stop.status == RELAY_OK && stop.limit.duration_s == UINT32_MAX);
}

static void vouchers(void **state)
{
	uint8_t seed[ED25519_SEED_SIZE] = {9};
	struct identity relay;
	struct relay_voucher v, back;
	struct buf out = BUF_INIT(RELAY_VOUCHER_MAX);

	identity_from_seed(seed, &relay);
	v = (struct relay_voucher){.relay = relay.peer_id, .peer = peer_no(1), .expire_s = 77};
	relay_voucher_seal(&relay, &v, &out);
	assert_int_equal(relay_voucher_open(buf_view(&out), &back, NULL), 0);
	assert_true(peer_id_equal(&back.peer, &v.peer) && back.expire_s == 77);
	out.p[out.n - 1] ^= 1;
	assert_int_equal(relay_voucher_open(buf_view(&out), &back, NULL), E_BAD_SIGNATURE);
	buf_reset(&out);
	v.relay = peer_no(2); /* in another relay's name */
	relay_voucher_seal(&relay, &v, &out);
	assert_int_equal(relay_voucher_open(buf_view(&out), &back, NULL), E_WRONG_PEER);
	buf_free(&out);
}

/* ---- the book ------------------------------------------------------------------------------ */

static struct relay_core *core_new(void)
{
	struct p2p_relay_limits l = {.reservations = 4,
	    .reservations_per_ip = 2,
	    .circuits = 3,
	    .circuits_per_peer = 2,
	    .reservation = duration_s(60),
	    .circuit_bytes = 100};
	struct relay_core *r;

	assert_int_equal(relay_core_new(&l, &r, NULL), 0);
	return r;
}

static enum relay_status reserve(struct relay_core *r, uint8_t peer, uint8_t ip, int64_t now_s)
{
	struct relay_client c = {.peer = peer_no(peer), .conn = peer, .ip = {ip}};
	struct instant until = {0};
	enum relay_status status = relay_reserve(r, &c, at_s(now_s), &until);

	if (status == RELAY_OK)
		assert_true(until.ns == at_s(now_s + 60).ns);
	return status;
}

static enum relay_status connect(
    struct relay_core *r, uint8_t from, uint8_t to, int64_t now_s, uint64_t *circuit)
{
	struct peer_id source = peer_no(from), target = peer_no(to);
	p2p_conn_id conn = 0;
	enum relay_status status = relay_connect(r, &source, &target, at_s(now_s), circuit, &conn);

	if (status == RELAY_OK)
		assert_int_equal(conn, to);
	return status;
}

static void reservations_are_counted(void **state)
{
	struct relay_core *r = core_new();
	struct p2p_relay_stats st;
	uint64_t circuit;

	assert_int_equal(reserve(r, 1, 1, 0), RELAY_OK);
	assert_int_equal(reserve(r, 2, 1, 0), RELAY_OK);
	assert_int_equal(reserve(r, 3, 1, 0), RELAY_RESERVATION_REFUSED);
	assert_int_equal(reserve(r, 1, 1, 10), RELAY_OK); /* renewed, not counted twice */
	assert_int_equal(reserve(r, 3, 2, 10), RELAY_OK);
	assert_int_equal(reserve(r, 4, 3, 10), RELAY_OK);
	assert_int_equal(reserve(r, 5, 4, 10), RELAY_RESOURCE_LIMIT);
	/* The second runs out, which makes room. */
	assert_int_equal(connect(r, 9, 2, 59, &circuit), RELAY_OK);
	assert_int_equal(connect(r, 9, 2, 60, &circuit), RELAY_NO_RESERVATION);
	assert_int_equal(reserve(r, 5, 4, 60), RELAY_OK);
	relay_conn_gone(r, 5);
	assert_int_equal(connect(r, 9, 5, 61, &circuit), RELAY_NO_RESERVATION);
	relay_expire(r, at_s(1000));
	relay_core_stats(r, &st);
	assert_int_equal(st.reservations, 0);
	assert_int_equal(st.circuits, 1); /* it outlives the reservation */
	assert_int_equal(st.refused, 4);
	relay_core_free(r);
}

static void circuits_are_counted(void **state)
{
	struct relay_core *r = core_new();
	uint64_t c[4];

	for (uint8_t i = 1; i <= 3; i++)
		assert_int_equal(reserve(r, i, i, 0), RELAY_OK);
	assert_int_equal(connect(r, 1, 1, 1, &c[0]), RELAY_PERMISSION_DENIED);
	assert_int_equal(connect(r, 9, 1, 1, &c[0]), RELAY_OK);
	assert_int_equal(connect(r, 9, 2, 1, &c[1]), RELAY_OK);
	assert_int_equal(connect(r, 9, 3, 1, &c[2]), RELAY_RESOURCE_LIMIT); /* the source's */
	assert_int_equal(connect(r, 8, 1, 1, &c[2]), RELAY_OK);
	assert_int_equal(connect(r, 7, 1, 1, &c[3]), RELAY_RESOURCE_LIMIT); /* all */
	relay_circuit_end(r, c[1]);
	assert_int_equal(connect(r, 7, 1, 1, &c[3]), RELAY_RESOURCE_LIMIT); /* the target's */
	assert_int_equal(connect(r, 7, 3, 1, &c[3]), RELAY_OK);
	/* Bytes are counted per circuit and direction. */
	relay_spend(r, c[0], RELAY_FROM_SOURCE, 100);
	assert_int_equal(relay_left(r, c[0], RELAY_FROM_SOURCE), 0);
	assert_int_equal(relay_left(r, c[0], RELAY_FROM_TARGET), 100);
	relay_spend(r, c[3], RELAY_FROM_TARGET, 1);
	assert_int_equal(relay_left(r, c[3], RELAY_FROM_TARGET), 99);
	relay_core_free(r);
}

static void limits_have_ranges(void **state)
{
	struct p2p_relay_limits l;
	struct relay_core *r;

	p2p_relay_limits_default(&l);
	l.reservations = 0;
	assert_int_equal(relay_core_new(&l, &r, NULL), E_INVALID);
	p2p_relay_limits_default(&l);
	l.circuits = P2P_RELAY_CIRCUITS_MAX + 1;
	assert_int_equal(relay_core_new(&l, &r, NULL), E_INVALID);
	p2p_relay_limits_default(&l);
	l.reservation = duration_s(59);
	assert_int_equal(relay_core_new(&l, &r, NULL), E_INVALID);
	p2p_relay_limits_default(&l);
	l.circuit = duration_ms(1500);
	assert_int_equal(relay_core_new(&l, &r, NULL), E_INVALID);
}

int run_relay_core_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(zero_types_are_written),
	    cmocka_unit_test(messages_survive_the_wire),
	    cmocka_unit_test(bad_messages_are_refused),
	    cmocka_unit_test(vouchers),
	    cmocka_unit_test(reservations_are_counted),
	    cmocka_unit_test(circuits_are_counted),
	    cmocka_unit_test(limits_have_ranges),
	};

	return cmocka_run_group_tests_name("p2p/relay", tests, NULL, NULL);
}
