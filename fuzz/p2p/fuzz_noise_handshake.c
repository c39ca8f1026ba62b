/* The Noise handshake against hostile messages. The first byte chooses what is attacked:
 *   bit 0    an initiator (else a responder)
 *   bit 1    the rest is a payload that the other side, a genuine Noise implementation, encrypts
 *            and sends (so that the payload parser behind the cipher is reached); otherwise
 *            it is two raw messages, each with a 2-byte length
 *   bit 2    ... and with a genuine signature in front of it */
#include "p2p/noise_priv.h"
#include "p2p/pb_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const muxers[] = {"/yamux/1.0.0", "/mplex/6.7.0"};

static struct noise_handshake *victim_new(enum noise_role role, const struct identity *id)
{
	struct noise_config config = {
	    .role = role, .identity = id, .muxers = muxers, .muxers_n = 2};
	struct noise_handshake *hs;

	memset(config.static_secret, 7, X25519_SIZE);
	memset(config.ephemeral_secret, 8, X25519_SIZE);
	INVARIANT(noise_handshake_new(&config, &hs, NULL) == 0);
	return hs;
}

/* Sends whatever the victim has to say; false when it must listen or is done. */
static bool send(struct noise_handshake *hs, struct buf *out)
{
	buf_reset(out);
	return noise_handshake_turn(hs) == NOISE_SEND && noise_handshake_send(hs, out, NULL) == 0;
}

static void attack_raw(struct noise_handshake *hs, struct bytes in)
{
	struct buf out = BUF_INIT(NOISE_RECORD_MAX);
	struct cursor c = cursor_of(in);
	struct bytes message;
	uint16_t n;

	for (;;) {
		send(hs, &out);
		if (noise_handshake_turn(hs) != NOISE_RECEIVE || !cursor_u16be(&c, &n) ||
		    !cursor_take(&c, n, &message) ||
		    noise_handshake_receive(hs, message, NULL) != 0)
			break;
	}
	INVARIANT(noise_handshake_turn(hs) != NOISE_DONE);
	buf_free(&out);
}

/* The payload that the attacker sends: the input, perhaps behind a genuine identity. */
static void make_payload(const struct noise_xx *x, bool genuine, struct bytes in, struct buf *out)
{
	static const char prefix[] = "noise-libp2p-static-key:";
	uint8_t raw_key[PUBLIC_KEY_MAX], sig[64], text[56], seed[32] = {5};
	struct noise_payload p = {0};
	struct public_key key;
	struct identity id;

	if (genuine) {
		identity_from_seed(seed, &id);
		key = public_key_ed25519(id.public_key);
		memcpy(text, prefix, 24);
		memcpy(text + 24, x->s, 32);
		identity_sign(&id, bytes_of(text, sizeof(text)), sig);
		p.identity_key = bytes_of(raw_key, public_key_encode(&key, raw_key));
		p.identity_sig = bytes_of(sig, sizeof(sig));
		noise_payload_encode(&p, out);
	}
	buf_bytes(out, in);
}

static void attack_payload(
    struct noise_handshake *hs, enum noise_role attacker, bool genuine, struct bytes in)
{
	struct buf out = BUF_INIT(NOISE_RECORD_MAX), payload = BUF_INIT(NOISE_RECORD_MAX);
	struct buf nothing = BUF_INIT(NOISE_RECORD_MAX);
	uint8_t s[32] = {1}, e[32] = {2};
	struct noise_result result;
	struct noise_xx x;
	int rc = 0;

	noise_xx_begin(&x, attacker, bytes_of(NULL, 0), s, e);
	while (rc == 0 && noise_xx_turn(&x) != NOISE_DONE) {
		if (noise_xx_turn(&x) == NOISE_RECEIVE) {
			INVARIANT(send(hs, &out));
			buf_consume(&out, NOISE_PREFIX);
			INVARIANT(noise_xx_read(&x, buf_view(&out), &nothing, NULL) == 0);
			continue;
		}
		buf_reset(&payload);
		if (x.step > 0)
			make_payload(&x, genuine, in, &payload);
		buf_reset(&out);
		if (noise_xx_write(&x, buf_view(&payload), &out, NULL) != 0)
			break;
		rc = noise_handshake_receive(hs, buf_view(&out), NULL);
	}
	if (rc == 0 && noise_handshake_turn(hs) == NOISE_DONE) {
		INVARIANT(noise_handshake_finish(hs, &result, NULL) == 0);
		INVARIANT(memcmp(result.handshake_hash, x.h, sizeof(x.h)) == 0);
		noise_cipher_close(&result.tx);
		noise_cipher_close(&result.rx);
	}
	buf_free(&out);
	buf_free(&payload);
	buf_free(&nothing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t seed[32] = {9};
	struct identity id;
	struct noise_handshake *hs;
	enum noise_role role;

	if (size == 0)
		return 0;
	identity_from_seed(seed, &id);
	role = data[0] & 1 ? NOISE_INITIATOR : NOISE_RESPONDER;
	hs = victim_new(role, &id);
	if (data[0] & 2)
		attack_payload(hs, role == NOISE_INITIATOR ? NOISE_RESPONDER : NOISE_INITIATOR,
		    data[0] & 4, bytes_of(data + 1, size - 1));
	else
		attack_raw(hs, bytes_of(data + 1, size - 1));
	noise_handshake_free(hs);
	return 0;
}
