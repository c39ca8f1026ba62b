/* Noise_XX_25519_ChaChaPoly_SHA256 and its transport records. The three messages of XX:
 *
 *	-> e
 *	<- e, ee, s, es
 *	-> s, se
 *
 * Key order matters everywhere: ck before h, the initiator's key before the responder's. */
#include "p2p/noise_priv.h"

#include <sodium.h>

#define TAG AEAD_TAG_SIZE

/* Exactly 32 bytes, so it is used as h without hashing (section 5.2). */
static const char protocol_name[] = "Noise_XX_25519_ChaChaPoly_SHA256";

static const char *const message_names[] = {"first", "second", "third"};

static void mix_hash(struct noise_xx *x, struct bytes data)
{
	struct sha256 hash;

	sha256_begin(&hash);
	sha256_add(&hash, bytes_of(x->h, sizeof(x->h)));
	sha256_add(&hash, data);
	sha256_end(&hash, x->h);
}

/* HKDF with two outputs (section 4.3): out1 = HMAC(temp, 1), out2 = HMAC(temp, out1 | 2). */
static void hkdf2(const uint8_t ck[SHA256_SIZE], struct bytes ikm, uint8_t out1[SHA256_SIZE],
    uint8_t out2[SHA256_SIZE])
{
	uint8_t prk[SHA256_SIZE], okm[2 * SHA256_SIZE];

	hkdf_sha256_extract(bytes_of(ck, SHA256_SIZE), ikm, prk);
	hkdf_sha256_expand(prk, bytes_of(NULL, 0), okm, sizeof(okm));
	memcpy(out1, okm, SHA256_SIZE);
	memcpy(out2, okm + SHA256_SIZE, SHA256_SIZE);
	secret_wipe(prk, sizeof(prk));
	secret_wipe(okm, sizeof(okm));
}

/* MixKey(DH(secret, public)) */
static int mix_dh(struct noise_xx *x, const uint8_t secret[X25519_SIZE],
    const uint8_t public[X25519_SIZE], struct err *err)
{
	uint8_t dh[X25519_SIZE];
	int rc = x25519(secret, public, dh, err);

	if (rc != 0)
		return rc;
	hkdf2(x->ck, bytes_of(dh, sizeof(dh)), x->ck, x->k);
	secret_wipe(dh, sizeof(dh));
	x->has_key = true;
	x->nonce = 0;
	return 0;
}

/* SPEC noise: ChaChaPoly nonces are 32 zero bits and the counter in little-endian. */
static void nonce_bytes(uint64_t nonce, uint8_t out[AEAD_NONCE_SIZE])
{
	memset(out, 0, 4);
	for (int i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(nonce >> (8 * i));
}

/* EncryptAndHash: plain until there is a key. */
static int put_sealed(struct noise_xx *x, struct bytes plain, struct buf *out, struct err *err)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	size_t n = plain.n + (x->has_key ? TAG : 0);
	uint8_t *at;

	if (out->failed || buf_reserve(out, n) != 0)
		return err_set(err, E_TOO_LARGE, "a Noise message beyond %zu bytes", out->max);
	at = out->p + out->n;
	if (x->has_key) {
		nonce_bytes(x->nonce++, nonce);
		crypto_aead_chacha20poly1305_ietf_encrypt(
		    at, NULL, plain.p, plain.n, x->h, sizeof(x->h), NULL, nonce, x->k);
	} else if (plain.n) {
		memcpy(at, plain.p, plain.n);
	}
	out->n += n;
	out->p[out->n] = 0;
	mix_hash(x, bytes_of(at, n));
	return 0;
}

/* DecryptAndHash: n plain bytes from the cursor to out. */
static int take_sealed(
    struct noise_xx *x, struct cursor *c, size_t n, uint8_t *out, struct err *err)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	struct bytes in;

	if (!cursor_take(c, n + (x->has_key ? TAG : 0), &in))
		return err_set(
		    err, E_PROTOCOL, "the %s Noise message is too short", message_names[x->step]);
	if (x->has_key) {
		nonce_bytes(x->nonce++, nonce);
		if (crypto_aead_chacha20poly1305_ietf_decrypt(
			out, NULL, NULL, in.p, in.n, x->h, sizeof(x->h), nonce, x->k) != 0)
			return err_set(err, E_BAD_SIGNATURE,
			    "the %s Noise message fails authentication", message_names[x->step]);
	} else if (n) {
		memcpy(out, in.p, n);
	}
	mix_hash(x, in);
	return 0;
}

void noise_xx_begin(struct noise_xx *x, enum noise_role role, struct bytes prologue,
    const uint8_t s_secret[X25519_SIZE], const uint8_t e_secret[X25519_SIZE])
{
	*x = (struct noise_xx){.role = role};
	memcpy(x->h, protocol_name, sizeof(x->h));
	memcpy(x->ck, x->h, sizeof(x->ck));
	mix_hash(x, prologue); /* mixed in even when empty */
	memcpy(x->s_secret, s_secret, X25519_SIZE);
	memcpy(x->e_secret, e_secret, X25519_SIZE);
	x25519_public(x->s_secret, x->s);
	x25519_public(x->e_secret, x->e);
}

void noise_xx_wipe(struct noise_xx *x)
{
	secret_wipe(x, sizeof(*x));
}

enum noise_turn noise_xx_turn(const struct noise_xx *x)
{
	if (x->step == 3)
		return NOISE_DONE;
	return (x->step % 2 == 0) == (x->role == NOISE_INITIATOR) ? NOISE_SEND : NOISE_RECEIVE;
}

static int write_e(struct noise_xx *x, struct buf *out)
{
	buf_put(out, x->e, X25519_SIZE);
	mix_hash(x, bytes_of(x->e, X25519_SIZE));
	return 0;
}

static int write_keys(struct noise_xx *x, struct buf *out, struct err *err)
{
	int rc = 0;

	if (x->step == 0)
		return write_e(x, out);
	if (x->step == 1) {
		rc = write_e(x, out);
		if (rc == 0)
			rc = mix_dh(x, x->e_secret, x->re, err); /* ee */
		if (rc == 0)
			rc = put_sealed(x, bytes_of(x->s, X25519_SIZE), out, err);
		if (rc == 0)
			rc = mix_dh(x, x->s_secret, x->re, err); /* es, seen by the responder */
		return rc;
	}
	rc = put_sealed(x, bytes_of(x->s, X25519_SIZE), out, err);
	if (rc == 0)
		rc = mix_dh(x, x->s_secret, x->re, err); /* se */
	return rc;
}

int noise_xx_write(struct noise_xx *x, struct bytes payload, struct buf *out, struct err *err)
{
	int rc;

	INVARIANT(noise_xx_turn(x) == NOISE_SEND);
	rc = write_keys(x, out, err);
	if (rc == 0)
		rc = put_sealed(x, payload, out, err);
	if (rc == 0)
		x->step++;
	return rc;
}

static int read_e(struct noise_xx *x, struct cursor *c, struct err *err)
{
	struct bytes e;

	if (!cursor_take(c, X25519_SIZE, &e))
		return err_set(
		    err, E_PROTOCOL, "the %s Noise message is too short", message_names[x->step]);
	memcpy(x->re, e.p, X25519_SIZE);
	mix_hash(x, e);
	return 0;
}

static int read_keys(struct noise_xx *x, struct cursor *c, struct err *err)
{
	int rc = 0;

	if (x->step == 0)
		return read_e(x, c, err);
	if (x->step == 1) {
		rc = read_e(x, c, err);
		if (rc == 0)
			rc = mix_dh(x, x->e_secret, x->re, err); /* ee */
		if (rc == 0)
			rc = take_sealed(x, c, X25519_SIZE, x->rs, err);
		if (rc == 0)
			rc = mix_dh(x, x->e_secret, x->rs, err); /* es, seen by the initiator */
		return rc;
	}
	rc = take_sealed(x, c, X25519_SIZE, x->rs, err);
	if (rc == 0)
		rc = mix_dh(x, x->e_secret, x->rs, err); /* se */
	return rc;
}

int noise_xx_read(struct noise_xx *x, struct bytes message, struct buf *payload, struct err *err)
{
	struct cursor c = cursor_of(message);
	size_t tag, n;
	int rc;

	INVARIANT(noise_xx_turn(x) == NOISE_RECEIVE);
	rc = read_keys(x, &c, err);
	if (rc != 0)
		return rc;
	tag = x->has_key ? TAG : 0;
	n = c.left < tag ? 0 : c.left - tag;
	if (payload->failed || buf_reserve(payload, n) != 0)
		return err_set(err, E_TOO_LARGE, "a Noise payload of %zu bytes", n);
	rc = take_sealed(x, &c, n, payload->p + payload->n, err);
	if (rc != 0)
		return rc;
	payload->n += n;
	payload->p[payload->n] = 0;
	x->step++;
	return 0;
}

int noise_xx_split(
    struct noise_xx *x, struct noise_cipher *tx, struct noise_cipher *rx, struct err *err)
{
	uint8_t initiator[SHA256_SIZE], responder[SHA256_SIZE];
	bool first = x->role == NOISE_INITIATOR;
	int rc;

	INVARIANT(noise_xx_turn(x) == NOISE_DONE);
	*tx = *rx = (struct noise_cipher){0};
	hkdf2(x->ck, bytes_of(NULL, 0), initiator, responder);
	rc = aead_new(first ? initiator : responder, &tx->aead, err);
	if (rc == 0)
		rc = aead_new(first ? responder : initiator, &rx->aead, err);
	if (rc != 0)
		noise_cipher_close(tx);
	secret_wipe(initiator, sizeof(initiator));
	secret_wipe(responder, sizeof(responder));
	return rc;
}

void noise_cipher_close(struct noise_cipher *c)
{
	aead_free(c->aead);
	*c = (struct noise_cipher){0};
}

static int next_nonce(struct noise_cipher *c, uint8_t out[AEAD_NONCE_SIZE], struct err *err)
{
	if (c->nonce == NOISE_NONCE_END)
		return err_set(err, E_LIMIT, "the channel's record counter is used up");
	nonce_bytes(c->nonce++, out);
	return 0;
}

int noise_seal(struct noise_cipher *c, uint8_t *record, size_t n, struct err *err)
{
	uint8_t nonce[AEAD_NONCE_SIZE], *text = record + NOISE_PREFIX;
	int rc = next_nonce(c, nonce, err);

	INVARIANT(n <= NOISE_PLAIN_MAX);
	if (rc != 0)
		return rc;
	put_u16be(record, (uint16_t)(n + TAG));
	return aead_seal(c->aead, nonce, bytes_of(NULL, 0), text, n, text, text + n, err);
}

int noise_open(struct noise_cipher *c, uint8_t *record, size_t n, size_t *plain_n, struct err *err)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	int rc;

	if (n < TAG)
		return err_set(err, E_BAD_SIGNATURE, "a Noise record of only %zu bytes", n);
	rc = next_nonce(c, nonce, err);
	if (rc != 0)
		return rc;
	*plain_n = n - TAG;
	return aead_open(
	    c->aead, nonce, bytes_of(NULL, 0), record, *plain_n, record, record + *plain_n, err);
}
