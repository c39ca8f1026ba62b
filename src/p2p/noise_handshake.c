/* What libp2p carries in the Noise handshake. Nothing in a payload is used before its signature
 * over the channel's static key was checked; the first message carries no payload at all. */
#include "p2p/noise_priv.h"
#include "p2p/pb_priv.h"

#include <stdlib.h>

#define FIELD_IDENTITY_KEY 1
#define FIELD_IDENTITY_SIG 2
#define FIELD_EXTENSIONS   4
#define FIELD_MUXERS       2 /* inside the extensions */

#define SIGNED_PREFIX  "noise-libp2p-static-key:"
#define SIGNED_SIZE    (sizeof(SIGNED_PREFIX) - 1 + X25519_SIZE)
#define EXTENSIONS_MAX (NOISE_MUXERS_MAX * (NOISE_MUXER_MAX + 4))

struct noise_handshake {
	struct noise_xx xx;
	const struct identity *identity;
	const char *const *muxers;
	size_t muxers_n;
	struct peer_id expected; /* empty when any peer will do */
	struct peer_id remote;
	uint8_t remote_key[PUBLIC_KEY_MAX];
	size_t remote_key_n;
	const char *muxer;
};

static int decode_extensions(struct bytes in, struct noise_payload *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (!pb_is(&f, FIELD_MUXERS, PB_BYTES) || f.data.n > NOISE_MUXER_MAX ||
		    out->muxers_n == NOISE_MUXERS_MAX)
			continue;
		out->muxers[out->muxers_n++] = f.data;
	}
	return rc;
}

int noise_payload_decode(struct bytes in, struct noise_payload *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	*out = (struct noise_payload){0};
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, FIELD_IDENTITY_KEY, PB_BYTES))
			out->identity_key = f.data;
		else if (pb_is(&f, FIELD_IDENTITY_SIG, PB_BYTES))
			out->identity_sig = f.data;
		else if (pb_is(&f, FIELD_EXTENSIONS, PB_BYTES))
			rc = decode_extensions(f.data, out, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

void noise_payload_encode(const struct noise_payload *p, struct buf *out)
{
	struct buf extensions = BUF_INIT(EXTENSIONS_MAX);

	pb_put_bytes(out, FIELD_IDENTITY_KEY, p->identity_key);
	pb_put_bytes(out, FIELD_IDENTITY_SIG, p->identity_sig);
	for (size_t i = 0; i < p->muxers_n; i++)
		pb_put_bytes(&extensions, FIELD_MUXERS, p->muxers[i]);
	if (p->muxers_n)
		pb_put_bytes(out, FIELD_EXTENSIONS, buf_view(&extensions));
	out->failed |= extensions.failed;
	buf_free(&extensions);
}

static void signed_text(const uint8_t static_key[X25519_SIZE], uint8_t out[SIGNED_SIZE])
{
	size_t n = sizeof(SIGNED_PREFIX) - 1;

	memcpy(out, SIGNED_PREFIX, n);
	memcpy(out + n, static_key, X25519_SIZE);
}

int noise_handshake_new(
    const struct noise_config *config, struct noise_handshake **out, struct err *err)
{
	struct noise_handshake *hs = calloc(1, sizeof(*hs));

	INVARIANT(config->muxers_n <= NOISE_MUXERS_MAX);
	if (!hs)
		return err_set(err, E_MEMORY, "no memory for a Noise handshake");
	noise_xx_begin(&hs->xx, config->role, config->prologue, config->static_secret,
	    config->ephemeral_secret);
	hs->identity = config->identity;
	hs->muxers = config->muxers;
	hs->muxers_n = config->muxers_n;
	if (config->expected)
		hs->expected = *config->expected;
	*out = hs;
	return 0;
}

void noise_handshake_free(struct noise_handshake *hs)
{
	if (!hs)
		return;
	secret_wipe(hs, sizeof(*hs));
	free(hs);
}

enum noise_turn noise_handshake_turn(const struct noise_handshake *hs)
{
	return noise_xx_turn(&hs->xx);
}

/* Who we are: key, signature over our static key, and our muxers. */
static void put_payload(const struct noise_handshake *hs, struct buf *out)
{
	uint8_t raw_key[PUBLIC_KEY_MAX], sig[ED25519_SIGNATURE_SIZE], text[SIGNED_SIZE];
	struct public_key key = public_key_ed25519(hs->identity->public_key);
	struct noise_payload p = {.muxers_n = hs->muxers_n};

	signed_text(hs->xx.s, text);
	identity_sign(hs->identity, bytes_of(text, sizeof(text)), sig);
	p.identity_key = bytes_of(raw_key, public_key_encode(&key, raw_key));
	p.identity_sig = bytes_of(sig, sizeof(sig));
	for (size_t i = 0; i < hs->muxers_n; i++)
		p.muxers[i] = bytes_str(hs->muxers[i]);
	noise_payload_encode(&p, out);
}

int noise_handshake_send(struct noise_handshake *hs, struct buf *out, struct err *err)
{
	struct buf payload = BUF_INIT(NOISE_HANDSHAKE_MAX);
	struct buf message = BUF_INIT(NOISE_HANDSHAKE_MAX);
	int rc;

	if (hs->xx.step > 0)
		put_payload(hs, &payload);
	rc = buf_ok(&payload, err);
	if (rc == 0)
		rc = noise_xx_write(&hs->xx, buf_view(&payload), &message, err);
	if (rc == 0)
		rc = buf_ok(&message, err);
	if (rc == 0) {
		buf_u16be(out, (uint16_t)message.n);
		buf_bytes(out, buf_view(&message));
		rc = buf_ok(out, err);
	}
	buf_free(&message);
	buf_free(&payload);
	return rc;
}

static bool remote_has(const struct noise_payload *p, const char *muxer)
{
	for (size_t i = 0; i < p->muxers_n; i++)
		if (bytes_equal(p->muxers[i], bytes_str(muxer)))
			return true;
	return false;
}

static const char *own_muxer(const struct noise_handshake *hs, struct bytes name)
{
	for (size_t i = 0; i < hs->muxers_n; i++)
		if (bytes_equal(name, bytes_str(hs->muxers[i])))
			return hs->muxers[i];
	return NULL;
}

/* The first of the INITIATOR's list that both have; no choice when one side is silent. */
static int choose_muxer(struct noise_handshake *hs, const struct noise_payload *p, struct err *err)
{
	if (hs->muxers_n == 0 || p->muxers_n == 0)
		return 0;
	if (hs->xx.role == NOISE_INITIATOR) {
		for (size_t i = 0; i < hs->muxers_n && !hs->muxer; i++)
			if (remote_has(p, hs->muxers[i]))
				hs->muxer = hs->muxers[i];
	} else {
		for (size_t i = 0; i < p->muxers_n && !hs->muxer; i++)
			hs->muxer = own_muxer(hs, p->muxers[i]);
	}
	if (!hs->muxer)
		return err_set(err, E_UNSUPPORTED, "no stream muxer in common");
	return 0;
}

static int check_expected(const struct noise_handshake *hs, struct err *err)
{
	char want[PEER_ID_TEXT_MAX], got[PEER_ID_TEXT_MAX];

	if (hs->expected.n == 0 || peer_id_equal(&hs->expected, &hs->remote))
		return 0;
	peer_id_print(&hs->expected, want);
	peer_id_print(&hs->remote, got);
	return err_set(err, E_WRONG_PEER, "expected peer %s, but %s answered", want, got);
}

static int accept_payload(struct noise_handshake *hs, struct bytes in, struct err *err)
{
	uint8_t text[SIGNED_SIZE];
	struct noise_payload p;
	struct public_key key;
	int rc = noise_payload_decode(in, &p, err);

	if (rc == 0)
		rc = public_key_decode(p.identity_key, &key, err);
	if (rc != 0)
		return err_wrap(err, rc, "bad Noise payload");
	signed_text(hs->xx.rs, text);
	rc = public_key_verify(&key, bytes_of(text, sizeof(text)), p.identity_sig, err);
	if (rc != 0)
		return err_wrap(err, rc, "the peer's identity");
	peer_id_of_key(&key, &hs->remote);
	memcpy(hs->remote_key, p.identity_key.p, p.identity_key.n);
	hs->remote_key_n = p.identity_key.n;
	rc = check_expected(hs, err);
	return rc == 0 ? choose_muxer(hs, &p, err) : rc;
}

int noise_handshake_receive(struct noise_handshake *hs, struct bytes message, struct err *err)
{
	struct buf payload = BUF_INIT(NOISE_HANDSHAKE_MAX);
	bool first = hs->xx.step == 0;
	int rc;

	if (message.n > NOISE_HANDSHAKE_MAX)
		return err_set(
		    err, E_PROTOCOL, "a Noise handshake message of %zu bytes", message.n);
	rc = noise_xx_read(&hs->xx, message, &payload, err);
	if (rc == 0 && first && payload.n)
		rc = err_set(err, E_PROTOCOL, "the first Noise message carries a payload");
	if (rc == 0 && !first)
		rc = accept_payload(hs, buf_view(&payload), err);
	buf_free(&payload);
	return rc;
}

int noise_handshake_finish(struct noise_handshake *hs, struct noise_result *out, struct err *err)
{
	INVARIANT(noise_handshake_turn(hs) == NOISE_DONE && hs->remote.n > 0);
	*out = (struct noise_result){.remote = hs->remote, .muxer = hs->muxer};
	memcpy(out->remote_key, hs->remote_key, hs->remote_key_n);
	out->remote_key_n = hs->remote_key_n;
	memcpy(out->handshake_hash, hs->xx.h, sizeof(out->handshake_hash));
	return noise_xx_split(&hs->xx, &out->tx, &out->rx, err);
}
