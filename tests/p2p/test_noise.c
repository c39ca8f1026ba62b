/* Noise: published vectors for the protocol, and libp2p's handshake against itself, against wrong
 * peers and against every damaged byte. */
#include "noise_vectors.h"
#include "p2p/noise_priv.h"
#include "suites.h"

#include <stdlib.h>

/* One record: sealed by `tx`, compared with the vector, opened by `rx`. */
static void check_record(
    struct noise_cipher *tx, struct noise_cipher *rx, struct bytes plain, struct bytes want)
{
	uint8_t record[256];
	size_t n;

	memcpy(record + NOISE_PREFIX, plain.p, plain.n);
	assert_int_equal(noise_seal(tx, record, plain.n, NULL), 0);
	assert_int_equal(get_u16be(record), want.n);
	assert_memory_equal(record + NOISE_PREFIX, want.p, want.n);
	assert_int_equal(noise_open(rx, record + NOISE_PREFIX, want.n, &n, NULL), 0);
	assert_true(bytes_equal(bytes_of(record + NOISE_PREFIX, n), plain));
}

static void check_handshake_message(
    struct noise_xx *from, struct noise_xx *to, struct bytes plain, struct bytes want)
{
	struct buf message = BUF_INIT(NOISE_RECORD_MAX), payload = BUF_INIT(NOISE_RECORD_MAX);

	assert_int_equal(noise_xx_turn(from), NOISE_SEND);
	assert_int_equal(noise_xx_turn(to), NOISE_RECEIVE);
	assert_int_equal(noise_xx_write(from, plain, &message, NULL), 0);
	assert_true(bytes_equal(buf_view(&message), want));
	assert_int_equal(noise_xx_read(to, want, &payload, NULL), 0);
	assert_true(bytes_equal(buf_view(&payload), plain));
	buf_free(&message);
	buf_free(&payload);
}

static void run_vector(const struct vector *v)
{
	struct noise_xx i, r;
	struct noise_cipher itx, irx, rtx, rrx;

	noise_xx_begin(&i, NOISE_INITIATOR, unhex(0, v->prologue), unhex(1, v->i_static).p,
	    unhex(2, v->i_ephemeral).p);
	noise_xx_begin(&r, NOISE_RESPONDER, unhex(0, v->prologue), unhex(1, v->r_static).p,
	    unhex(2, v->r_ephemeral).p);
	for (int m = 0; m < 3; m++)
		check_handshake_message(m == 1 ? &r : &i, m == 1 ? &i : &r,
		    unhex(3, v->messages[m].payload), unhex(4, v->messages[m].ciphertext));
	assert_memory_equal(i.h, r.h, sizeof(i.h));
	if (v->handshake_hash)
		assert_memory_equal(i.h, unhex(5, v->handshake_hash).p, sizeof(i.h));
	assert_memory_equal(i.rs, r.s, X25519_SIZE);
	assert_memory_equal(r.rs, i.s, X25519_SIZE);
	assert_int_equal(noise_xx_split(&i, &itx, &irx, NULL), 0);
	assert_int_equal(noise_xx_split(&r, &rtx, &rrx, NULL), 0);
	for (int m = 3; m < v->count; m++)
		check_record(m % 2 ? &rtx : &itx, m % 2 ? &irx : &rrx,
		    unhex(3, v->messages[m].payload), unhex(4, v->messages[m].ciphertext));
	noise_cipher_close(&itx);
	noise_cipher_close(&irx);
	noise_cipher_close(&rtx);
	noise_cipher_close(&rrx);
	noise_xx_wipe(&i);
	noise_xx_wipe(&r);
}

static void published_vectors(void **state)
{
	run_vector(&cacophony);
	run_vector(&snow);
}

/* A pair of libp2p handshakes and what became of them. */
struct pair {
	struct identity ids[2];
	struct noise_handshake *hs[2];
	struct noise_result results[2];
	int rc;
	struct err err;
};

struct setup {
	const char *muxers[2][3];
	size_t muxers_n[2];
	const struct peer_id *expected[2];
	int flip_message; /* 1..3: this message is damaged */
	size_t flip_at;
	int cut_message; /* 1..3: this one loses its end */
	size_t cut_by;
};

static void pair_open(struct pair *p, const struct setup *s)
{
	*p = (struct pair){0};
	for (int i = 0; i < 2; i++) {
		uint8_t seed[32] = {(uint8_t)(i + 1)};
		struct noise_config config = {
		    .role = i == 0 ? NOISE_INITIATOR : NOISE_RESPONDER,
		    .identity = &p->ids[i],
		    .muxers = s->muxers[i],
		    .muxers_n = s->muxers_n[i],
		    .expected = s->expected[i],
		};

		identity_from_seed(seed, &p->ids[i]);
		memset(config.static_secret, 0x10 + i, X25519_SIZE);
		memset(config.ephemeral_secret, 0x20 + i, X25519_SIZE);
		assert_int_equal(noise_handshake_new(&config, &p->hs[i], NULL), 0);
	}
}

/* Passes one message; returns its length without prefix. */
static size_t pass_message(struct pair *p, const struct setup *s, int number)
{
	struct noise_handshake *from = p->hs[number == 2], *to = p->hs[number != 2];
	struct buf out = BUF_INIT(NOISE_RECORD_MAX + NOISE_PREFIX);
	size_t n;

	assert_int_equal(noise_handshake_turn(from), NOISE_SEND);
	assert_int_equal(noise_handshake_turn(to), NOISE_RECEIVE);
	assert_int_equal(noise_handshake_send(from, &out, NULL), 0);
	assert_int_equal(get_u16be(out.p), out.n - NOISE_PREFIX);
	buf_consume(&out, NOISE_PREFIX);
	n = out.n;
	if (s->flip_message == number)
		out.p[s->flip_at] ^= 0x01;
	if (s->cut_message == number)
		out.n -= s->cut_by;
	p->rc = noise_handshake_receive(to, buf_view(&out), &p->err);
	buf_free(&out);
	return n;
}

/* Runs to the end or to the first error; the length of the last message passed. */
static size_t pair_run(struct pair *p, const struct setup *s)
{
	size_t n = 0;

	pair_open(p, s);
	for (int m = 1; m <= 3 && p->rc == 0; m++)
		n = pass_message(p, s, m);
	for (int i = 0; i < 2 && p->rc == 0; i++)
		assert_int_equal(noise_handshake_finish(p->hs[i], &p->results[i], NULL), 0);
	return n;
}

static void pair_close(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		noise_handshake_free(p->hs[i]);
		noise_cipher_close(&p->results[i].tx);
		noise_cipher_close(&p->results[i].rx);
	}
}

static void peers_meet(void **state)
{
	struct setup s = {0};
	struct pair p;

	pair_run(&p, &s);
	assert_int_equal(p.rc, 0);
	for (int i = 0; i < 2; i++) {
		struct noise_result *r = &p.results[i];
		struct public_key key;

		assert_true(peer_id_equal(&r->remote, &p.ids[!i].peer_id));
		assert_null(r->muxer);
		assert_int_equal(
		    public_key_decode(bytes_of(r->remote_key, r->remote_key_n), &key, NULL), 0);
		assert_memory_equal(key.data.p, p.ids[!i].public_key, 32);
	}
	assert_memory_equal(p.results[0].handshake_hash, p.results[1].handshake_hash, 32);
	pair_close(&p);
}

static void muxers_are_agreed_on(void **state)
{
	static const struct {
		struct setup s;
		const char *muxer;
		int rc;
	} ex[] = {
	    {{.muxers = {{"/yamux/1.0.0"}, {"/yamux/1.0.0"}}, .muxers_n = {1, 1}}, "/yamux/1.0.0",
		0},
	    {{.muxers = {{"/a", "/b"}, {"/b", "/a"}}, .muxers_n = {2, 2}}, "/a", 0},
	    {{.muxers = {{"/x", "/b"}, {"/y", "/b"}}, .muxers_n = {2, 2}}, "/b", 0},
	    {{.muxers = {{"/a"}, {NULL}}, .muxers_n = {1, 0}}, NULL, 0},
	    {{.muxers = {{NULL}, {"/a"}}, .muxers_n = {0, 1}}, NULL, 0},
	    {{.muxers = {{"/a"}, {"/b"}}, .muxers_n = {1, 1}}, NULL, E_UNSUPPORTED},
	};

	for (size_t i = 0; i < sizeof(ex) / sizeof(ex[0]); i++) {
		struct pair p;

		pair_run(&p, &ex[i].s);
		assert_int_equal(p.rc, ex[i].rc);
		for (int side = 0; side < 2 && p.rc == 0; side++) {
			if (ex[i].muxer)
				assert_string_equal(p.results[side].muxer, ex[i].muxer);
			else
				assert_null(p.results[side].muxer);
		}
		pair_close(&p);
	}
}

static void the_dialled_peer_must_answer(void **state)
{
	struct setup s = {0};
	struct pair p;
	struct identity ids[2];

	for (int i = 0; i < 2; i++) {
		uint8_t seed[32] = {(uint8_t)(i + 1)};

		identity_from_seed(seed, &ids[i]);
	}
	s.expected[0] = &ids[1].peer_id;
	pair_run(&p, &s);
	assert_int_equal(p.rc, 0);
	pair_close(&p);
	s.expected[0] = &ids[0].peer_id;
	pair_run(&p, &s);
	assert_int_equal(p.rc, E_WRONG_PEER);
	assert_non_null(strstr(p.err.text, "12D3KooW"));
	pair_close(&p);
}

/* One bit anywhere in any message, or any bytes missing at its end, and nobody is authenticated. In
 * the first message that shows with the second, since it is not encrypted. */
static void damage_is_always_noticed(void **state)
{
	size_t lengths[4] = {0, 32, 0, 0};
	struct setup s = {0};
	struct pair p;

	pair_open(&p, &s);
	for (int m = 1; m <= 3; m++)
		lengths[m] = pass_message(&p, &s, m);
	pair_close(&p);
	for (int m = 1; m <= 3; m++) {
		for (size_t at = 0; at < lengths[m]; at++) {
			s = (struct setup){.flip_message = m, .flip_at = at};
			/* the top bit of an X25519 key is ignored by the curve, not by the hash */
			pair_run(&p, &s);
			assert_true(p.rc == E_BAD_SIGNATURE || p.rc == E_PROTOCOL);
			pair_close(&p);
			s = (struct setup){.cut_message = m, .cut_by = at + 1};
			pair_run(&p, &s);
			assert_true(p.rc == E_BAD_SIGNATURE || p.rc == E_PROTOCOL);
			pair_close(&p);
		}
	}
}

static void first_message_carries_nothing(void **state)
{
	struct setup s = {0};
	struct pair p;
	uint8_t message[33] = {9};

	pair_open(&p, &s);
	assert_int_equal(noise_handshake_receive(p.hs[1], bytes_of(message, 33), NULL), E_PROTOCOL);
	pair_close(&p);
	uint8_t *big = calloc(1, NOISE_HANDSHAKE_MAX + 1);

	pair_open(&p, &s);
	assert_int_equal(
	    noise_handshake_receive(p.hs[1], bytes_of(big, NOISE_HANDSHAKE_MAX + 1), NULL),
	    E_PROTOCOL);
	pair_close(&p);
	free(big);
}

/* A zero ephemeral key makes every shared secret zero: refused before anything is encrypted. */
static void low_order_keys_are_refused(void **state)
{
	struct setup s = {0};
	struct pair p;
	uint8_t zero[32] = {0};
	struct buf out = BUF_INIT(1000);

	pair_open(&p, &s);
	assert_int_equal(noise_handshake_receive(p.hs[1], bytes_of(zero, 32), NULL), 0);
	assert_int_equal(noise_handshake_send(p.hs[1], &out, NULL), E_PROTOCOL);
	assert_int_equal(out.n, 0);
	buf_free(&out);
	pair_close(&p);
}

/* An impostor: the channel is its own, but the identity it shows is another's. */
static void stolen_identities_are_refused(void **state)
{
	struct noise_xx r;
	struct noise_payload stolen = {0};
	struct identity victim;
	struct buf out = BUF_INIT(4096), payload = BUF_INIT(4096);
	uint8_t a[32] = {1}, b[32] = {2}, c[32] = {3}, sig[64], raw_key[PUBLIC_KEY_MAX];
	struct public_key key;
	struct setup s = {0};
	struct pair p;
	struct err err = {0};

	identity_from_seed(a, &victim);
	key = public_key_ed25519(victim.public_key);
	stolen.identity_key = bytes_of(raw_key, public_key_encode(&key, raw_key));
	/* a genuine signature of the victim's, over another static key */
	identity_sign(
	    &victim, bytes_str("noise-libp2p-static-key:01234567890123456789012345678901"), sig);
	stolen.identity_sig = bytes_of(sig, sizeof(sig));
	noise_payload_encode(&stolen, &payload);

	pair_open(&p, &s);
	noise_xx_begin(&r, NOISE_RESPONDER, bytes_of(NULL, 0), b, c);
	assert_int_equal(noise_handshake_send(p.hs[0], &out, NULL), 0);
	struct buf nothing = BUF_INIT(16);

	assert_int_equal(noise_xx_read(&r, bytes_of(out.p + NOISE_PREFIX, 32), &nothing, NULL), 0);
	buf_reset(&out);
	assert_int_equal(noise_xx_write(&r, buf_view(&payload), &out, NULL), 0);
	assert_int_equal(noise_handshake_receive(p.hs[0], buf_view(&out), &err), E_BAD_SIGNATURE);
	assert_non_null(strstr(err.text, "identity"));
	pair_close(&p);
	buf_free(&nothing);
	buf_free(&out);
	buf_free(&payload);
	noise_xx_wipe(&r);
}

static void payload_examples(void **state)
{
	struct noise_payload p;

	assert_int_equal(noise_payload_decode(bytes_of(NULL, 0), &p, NULL), 0);
	assert_int_equal(p.identity_key.n, 0);
	/* field 3 (the old data field) and unknown ones are ignored, certhashes skipped */
	assert_int_equal(noise_payload_decode(unhex(0, "0a0141"
						       "120142"
						       "1a0143"
						       "220a"
						       "0a0158"
						       "12022f61"
						       "18012a00"
						       "0a0144"),
			     &p, NULL),
	    E_PROTOCOL);
	assert_int_equal(noise_payload_decode(unhex(0, "0a0141"
						       "120142"
						       "1a0143"
						       "2207"
						       "0a0158"
						       "12022f61"
						       "4801"),
			     &p, NULL),
	    0);
	assert_true(bytes_equal(p.identity_key, bytes_str("A")));
	assert_true(bytes_equal(p.identity_sig, bytes_str("B")));
	assert_int_equal(p.muxers_n, 1);
	assert_true(bytes_equal(p.muxers[0], bytes_str("/a")));
	assert_int_equal(noise_payload_decode(unhex(0, "2203120561"), &p, NULL), E_PROTOCOL);
	assert_int_equal(noise_payload_decode(unhex(0, "0a05"), &p, NULL), E_PROTOCOL);
}

static void muxer_lists_are_bounded(void **state)
{
	struct buf ext = BUF_INIT(8192), b = BUF_INIT(8192);
	struct noise_payload p;

	buf_u8(&ext, 0x12);
	buf_varint(&ext, 100); /* too long a name: left out */
	for (int i = 0; i < 100; i++)
		buf_u8(&ext, 'x');
	for (int i = 0; i < 100; i++)
		buf_str(&ext, "\x12\x02/a");
	buf_u8(&b, 0x22);
	buf_varint(&b, ext.n);
	buf_bytes(&b, buf_view(&ext));
	assert_int_equal(noise_payload_decode(buf_view(&b), &p, NULL), 0);
	assert_int_equal(p.muxers_n, NOISE_MUXERS_MAX);
	assert_int_equal(p.muxers[0].n, 2);
	buf_free(&ext);
	buf_free(&b);
}

static void records_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 65518, NOISE_PLAIN_MAX};
	uint8_t *record = malloc(NOISE_PREFIX + NOISE_RECORD_MAX);
	struct setup s = {0};
	struct pair p;
	size_t n;

	assert_non_null(record);
	pair_run(&p, &s);
	for (size_t i = 0; i < 5; i++) {
		for (size_t at = 0; at < sizes[i]; at++)
			record[NOISE_PREFIX + at] = (uint8_t)(at * 7);
		assert_int_equal(noise_seal(&p.results[0].tx, record, sizes[i], NULL), 0);
		assert_int_equal(get_u16be(record), sizes[i] + AEAD_TAG_SIZE);
		assert_int_equal(noise_open(&p.results[1].rx, record + NOISE_PREFIX,
				     get_u16be(record), &n, NULL),
		    0);
		assert_int_equal(n, sizes[i]);
		for (size_t at = 0; at < n; at++)
			assert_int_equal(record[NOISE_PREFIX + at], (uint8_t)(at * 7));
	}
	/* short, replayed, damaged */
	assert_int_equal(noise_open(&p.results[1].rx, record, 15, &n, NULL), E_BAD_SIGNATURE);
	assert_int_equal(noise_seal(&p.results[0].tx, record, 4, NULL), 0);
	uint8_t copy[22], again[22];

	memcpy(copy, record, 22);
	memcpy(again, record, 22);
	assert_int_equal(noise_open(&p.results[1].rx, copy + 2, 20, &n, NULL), 0);
	assert_int_equal(noise_open(&p.results[1].rx, again + 2, 20, &n, NULL), E_BAD_SIGNATURE);
	pair_close(&p);
	free(record);
}

static void the_counter_ends_before_it_wraps(void **state)
{
	struct setup s = {0};
	struct pair p;
	uint8_t record[64];
	size_t n;

	pair_run(&p, &s);
	p.results[0].tx.nonce = p.results[1].rx.nonce = UINT64_MAX - 1;
	assert_int_equal(noise_seal(&p.results[0].tx, record, 4, NULL), 0);
	assert_int_equal(noise_open(&p.results[1].rx, record + 2, 20, &n, NULL), 0);
	assert_int_equal(noise_seal(&p.results[0].tx, record, 4, NULL), E_LIMIT);
	assert_int_equal(noise_open(&p.results[1].rx, record + 2, 20, &n, NULL), E_LIMIT);
	pair_close(&p);
}

int run_noise_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(published_vectors),
	    cmocka_unit_test(peers_meet),
	    cmocka_unit_test(muxers_are_agreed_on),
	    cmocka_unit_test(the_dialled_peer_must_answer),
	    cmocka_unit_test(damage_is_always_noticed),
	    cmocka_unit_test(first_message_carries_nothing),
	    cmocka_unit_test(low_order_keys_are_refused),
	    cmocka_unit_test(stolen_identities_are_refused),
	    cmocka_unit_test(payload_examples),
	    cmocka_unit_test(muxer_lists_are_bounded),
	    cmocka_unit_test(records_round_trip),
	    cmocka_unit_test(the_counter_ends_before_it_wraps),
	};

	return cmocka_run_group_tests_name("p2p/noise", tests, NULL, NULL);
}
