/* The key file and the cipher of private networks. */
#include "p2p/pnet_priv.h"

#include "base/encode.h"
#include "crypto/hash.h"

#define HEADER "/key/swarm/psk/1.0.0/"

/* ---- the key file -------------------------------------------------------------------------- */

/* The next line without its end and without white space behind it. */
static struct bytes next_line(struct bytes *text)
{
	const uint8_t *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	size_t n = end ? (size_t)(end - text->p) : text->n;
	struct bytes line = bytes_of(text->p, n);
	size_t used = end ? n + 1 : n;
	text->p = text->n > 0 ? text->p + used : text->p;
	text->n -= used;
	while (line.n > 0 && strchr(" \t\r", line.p[line.n - 1]) && line.p[line.n - 1])
		line.n--;
	return line;
}

static bool decode(struct bytes encoding, struct bytes value, struct pnet_key *out)
{
	uint8_t raw[PNET_KEY_SIZE + 3];
	size_t n = 0;
	bool ok = false;
	if (bytes_equal(encoding, bytes_str("/base16/"))) {
		ok = value.n == 2 * PNET_KEY_SIZE && hex_decode(value, raw, PNET_KEY_SIZE) == 0;
	} else if (bytes_equal(encoding, bytes_str("/base64/"))) {
		ok = base64_decode(value, raw, sizeof raw, &n) == 0 && n == PNET_KEY_SIZE;
	}
	if (ok)
		memcpy(out->bytes, raw, PNET_KEY_SIZE);
	secret_wipe(raw, sizeof raw);
	return ok;
}

int pnet_key_parse(struct bytes text, struct pnet_key *out, struct err *err)
{
	struct bytes header = next_line(&text);
	if (!bytes_equal(header, bytes_str(HEADER)))
		return err_set(err, E_FORMAT, "no swarm key: the first line is not \"" HEADER "\"");
	struct bytes encoding = next_line(&text), value = next_line(&text);
	if (!decode(encoding, value, out))
		return err_set(err, E_FORMAT,
		    "no swarm key: \"/base16/\" and %d hex digits (or \"/base64/\" and the like) "
		    "have to follow",
		    2 * PNET_KEY_SIZE);
	while (text.n > 0)
		if (next_line(&text).n > 0)
			return err_set(err, E_FORMAT, "no swarm key: something follows the key");
	return 0;
}

/* ---- the cipher ---------------------------------------------------------------------------- */

/* XSalsa20 is Salsa20 under a key derived from key and nonce: derived once. */
void pnet_cipher_init(
    struct pnet_cipher *c, const struct pnet_key *key, const uint8_t nonce[PNET_NONCE_SIZE])
{
	*c = (struct pnet_cipher){0};
	crypto_core_hsalsa20(c->key, nonce, key->bytes, NULL);
	memcpy(c->nonce, nonce + 16, sizeof c->nonce);
}

/* What is left of a block that an earlier call began. */
static size_t apply_rest(struct pnet_cipher *c, uint8_t *p, size_t n)
{
	size_t i = 0;
	for (; i < n && c->at % PNET_BLOCK != 0; i++)
		p[i] ^= c->block[c->at++ % PNET_BLOCK];
	return i;
}

void pnet_cipher_apply(struct pnet_cipher *c, uint8_t *p, size_t n)
{
	size_t done = apply_rest(c, p, n);
	size_t whole = (n - done) / PNET_BLOCK * PNET_BLOCK;
	if (whole > 0)
		crypto_stream_salsa20_xor_ic(
		    p + done, p + done, whole, c->nonce, c->at / PNET_BLOCK, c->key);
	c->at += whole;
	done += whole;
	if (done == n)
		return;
	memset(c->block, 0, sizeof c->block);
	crypto_stream_salsa20_xor_ic(
	    c->block, c->block, sizeof c->block, c->nonce, c->at / PNET_BLOCK, c->key);
	for (; done < n; done++)
		p[done] ^= c->block[c->at++ % PNET_BLOCK];
}
