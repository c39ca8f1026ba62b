/* Identify messages, signed envelopes and peer records. */
#include "p2p/envelope_priv.h"
#include "p2p/identify_priv.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>

static void make_identity(uint8_t n, struct identity *id)
{
	uint8_t seed[32] = {n};

	identity_from_seed(seed, id);
}

static struct multiaddr ma(const char *text)
{
	struct multiaddr a;

	assert_int_equal(multiaddr_parse(bytes_str(text), &a, NULL), 0);
	return a;
}

static void fill(struct identify *m, const struct identity *id)
{
	struct public_key key = public_key_ed25519(id->public_key);
	struct multiaddr a = ma("/ip4/192.0.2.1/tcp/4001"), b = ma("/ip6/::1/udp/1/quic-v1");

	*m = (struct identify){.record = BUF_INIT(IDENTIFY_MESSAGE_MAX)};
	m->public_key_n = public_key_encode(&key, m->public_key);
	strcpy(m->protocol_version, "ipfs/0.1.0");
	strcpy(m->agent_version, "opengateway/1");
	assert_int_equal(addr_list_add(&m->listen, &a, 10), 0);
	assert_int_equal(addr_list_add(&m->listen, &b, 10), 0);
	m->observed = ma("/ip4/198.51.100.7/tcp/5");
	assert_int_equal(identify_add_protocol(m, bytes_str("/a/1")), 0);
	assert_int_equal(identify_add_protocol(m, bytes_str("/b/1")), 0);
	peer_record_seal(id, 77, m->listen.v, m->listen.n, &m->record);
	assert_int_equal(buf_ok(&m->record, NULL), 0);
}

static void check_filled(const struct identify *m)
{
	assert_string_equal(m->protocol_version, "ipfs/0.1.0");
	assert_string_equal(m->agent_version, "opengateway/1");
	assert_int_equal(m->listen.n, 2);
	assert_int_equal(m->protocols_n, 2);
	assert_true(identify_speaks(m, "/a/1") && identify_speaks(m, "/b/1"));
	assert_false(identify_speaks(m, "/a/") || identify_speaks(m, ""));
}

static void messages_round_trip(void **state)
{
	struct buf out = BUF_INIT(IDENTIFY_MESSAGE_MAX);
	struct identify m, back = {0};
	struct identity id, other;
	struct peer_record record;

	make_identity(1, &id);
	make_identity(2, &other);
	fill(&m, &id);
	identify_encode(&m, &out);
	assert_int_equal(buf_ok(&out, NULL), 0);
	assert_int_equal(identify_add_message(&back, buf_view(&out), NULL), 0);
	check_filled(&back);
	assert_true(multiaddr_equal(&back.observed, &m.observed));
	assert_int_equal(identify_check(&back, &id.peer_id, NULL), 0);
	assert_int_equal(identify_check(&back, &other.peer_id, NULL), E_WRONG_PEER);
	assert_int_equal(peer_record_open(buf_view(&back.record), &record, NULL), 0);
	assert_true(record.seq == 77 && record.addrs.n == 2);
	assert_true(peer_id_equal(&record.peer, &id.peer_id));
	peer_record_free(&record);
	identify_free(&m);
	identify_free(&back);
	buf_free(&out);
}

/* A large answer comes in pieces: single fields replace, lists grow. */
static void pieces_are_merged(void **state)
{
	struct identify m = {0};

	assert_int_equal(identify_add_message(&m,
			     unhex(0, "1a022f61"
				      "32017a"),
			     NULL),
	    0);
	assert_int_equal(identify_add_message(&m,
			     unhex(0, "1a022f62"
				      "320179"
				      "38051a022f63"),
			     NULL),
	    0);
	assert_int_equal(m.protocols_n, 3);
	assert_string_equal(m.agent_version, "y");
	identify_free(&m);
}

static void pushes_replace_what_they_carry(void **state)
{
	struct identify m, update = {0};
	struct identity id;

	make_identity(1, &id);
	fill(&m, &id);
	assert_int_equal(identify_add_message(&update,
			     unhex(0, "1a022f63"
				      "32026e77"),
			     NULL),
	    0);
	identify_apply_push(&m, &update);
	assert_int_equal(m.protocols_n, 1);
	assert_true(identify_speaks(&m, "/c"));
	assert_string_equal(m.agent_version, "nw");
	assert_string_equal(m.protocol_version, "ipfs/0.1.0");
	assert_int_equal(m.listen.n, 2);
	assert_true(m.record.n > 0 && m.observed.n > 0);
	assert_int_equal(update.protocols_n, 0);
	/* the rest, field by field */
	struct identify all;

	fill(&all, &id);
	identify_apply_push(&m, &all);
	check_filled(&m);
	identify_free(&m);
}

static void lists_and_texts_are_bounded(void **state)
{
	struct buf b = BUF_INIT(IDENTIFY_MESSAGE_MAX);
	struct identify m = {0};
	char text[16];

	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "\x1a\x05/p%03d", i);
		buf_str(&b, text);
		buf_put(&b, "\x12\x08\x04\x7f\x00\x00\x01\x06\x00\x01", 10);
	}
	assert_int_equal(identify_add_message(&m, buf_view(&b), NULL), 0);
	assert_int_equal(m.protocols_n, IDENTIFY_PROTOCOLS_MAX);
	assert_int_equal(m.listen.n, IDENTIFY_ADDRS_MAX);
	/* unreadable addresses, bad UTF-8, NUL, an empty name, too long a text: left out */
	identify_free(&m);
	assert_int_equal(identify_add_message(&m,
			     unhex(0, "12020504"
				      "1203047f00"
				      "1200"
				      "1a02ff61"
				      "1a02610a"
				      "1a03610062"
				      "1a00"
				      "3202c328"
				      "0800"
				      "32026f6b"),
			     NULL),
	    0);
	assert_int_equal(m.listen.n, 0);
	assert_int_equal(m.protocols_n, 1); /* "a\n" is odd but a text */
	assert_string_equal(m.agent_version, "ok");
	identify_free(&m);
	uint8_t *big = calloc(1, IDENTIFY_MESSAGE_MAX + 1);

	assert_int_equal(
	    identify_add_message(&m, bytes_of(big, IDENTIFY_MESSAGE_MAX + 1), NULL), E_PROTOCOL);
	assert_int_equal(identify_add_message(&m, unhex(0, "0a05"), NULL), E_PROTOCOL);
	identify_free(&m);
	free(big);
	buf_free(&b);
}

static void absent_or_broken_keys(void **state)
{
	struct identify m = {0};
	struct identity id;

	make_identity(1, &id);
	assert_int_equal(identify_check(&m, &id.peer_id, NULL), 0);
	assert_int_equal(identify_add_message(&m, unhex(0, "0a03080112"), NULL), 0);
	assert_int_equal(identify_check(&m, &id.peer_id, NULL), E_PROTOCOL);
	identify_free(&m);
}

static void envelopes(void **state)
{
	struct bytes type = bytes_str("\x03\x02"), payload;
	struct buf b = BUF_INIT(ENVELOPE_MAX);
	struct identity id;
	struct peer_id signer;
	uint8_t copy[512];

	make_identity(3, &id);
	envelope_seal(&id, "a-domain", type, bytes_str("payload"), &b);
	assert_int_equal(buf_ok(&b, NULL), 0);
	assert_int_equal(envelope_open(buf_view(&b), "a-domain", type, &payload, &signer, NULL), 0);
	assert_true(bytes_equal(payload, bytes_str("payload")));
	assert_true(peer_id_equal(&signer, &id.peer_id));
	assert_int_equal(envelope_open(buf_view(&b), "b-domain", type, &payload, &signer, NULL),
	    E_BAD_SIGNATURE);
	assert_int_equal(
	    envelope_open(buf_view(&b), "a-domain", bytes_str("\x03\x01"), &payload, &signer, NULL),
	    E_PROTOCOL);
	for (size_t i = 0; i < b.n; i++) {
		memcpy(copy, b.p, b.n);
		copy[i] ^= 0x40;
		assert_true(envelope_open(bytes_of(copy, b.n), "a-domain", type, &payload, &signer,
				NULL) < 0);
		assert_true(
		    envelope_open(bytes_of(b.p, i), "a-domain", type, &payload, &signer, NULL) < 0);
	}
	buf_free(&b);
}

/* Another's addresses under one's own signature. */
static void records_speak_for_their_signer(void **state)
{
	struct buf payload = BUF_INIT(1000), b = BUF_INIT(2000);
	struct identity id, victim;
	struct peer_record record;

	make_identity(1, &id);
	make_identity(2, &victim);
	buf_u8(&payload, 0x0a);
	buf_varint(&payload, victim.peer_id.n);
	buf_bytes(&payload, peer_id_bytes(&victim.peer_id));
	buf_put(&payload, "\x10\x05", 2);
	buf_put(&payload, "\x1a\x0a\x0a\x08\x04\x7f\x00\x00\x01\x06\x00\x01", 12);
	buf_put(&payload, "\x1a\x04\x0a\x02\x05\x04", 6); /* an unknown protocol: left out */
	envelope_seal(&id, "libp2p-peer-record", bytes_str("\x03\x01"), buf_view(&payload), &b);
	assert_int_equal(peer_record_open(buf_view(&b), &record, NULL), E_WRONG_PEER);
	buf_reset(&b);
	envelope_seal(&victim, "libp2p-peer-record", bytes_str("\x03\x01"), buf_view(&payload), &b);
	assert_int_equal(peer_record_open(buf_view(&b), &record, NULL), 0);
	assert_int_equal(record.addrs.n, 1);
	assert_true(record.seq == 5);
	peer_record_free(&record);
	buf_free(&payload);
	buf_free(&b);
}

int run_identify_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_round_trip),
	    cmocka_unit_test(pieces_are_merged),
	    cmocka_unit_test(pushes_replace_what_they_carry),
	    cmocka_unit_test(lists_and_texts_are_bounded),
	    cmocka_unit_test(absent_or_broken_keys),
	    cmocka_unit_test(envelopes),
	    cmocka_unit_test(records_speak_for_their_signer),
	};

	return cmocka_run_group_tests_name("p2p/identify", tests, NULL, NULL);
}
