/* PKCS#8 PEM for Ed25519 keys. The DER reader knows this one structure and refuses the rest:
 *
 *   OneAsymmetricKey ::= SEQUENCE { version INTEGER (0 or 1), SEQUENCE { OID 1.3.101.112 },
 *     OCTET STRING { OCTET STRING seed }, [0] attributes OPTIONAL, [1] BIT STRING public OPTIONAL }
 *
 * SPEC RFC 5958 section 2, RFC 8410 sections 3 and 7, RFC 7468 section 10. */
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/identity.h"

#include <stdio.h>

#define PEM_BEGIN "-----BEGIN PRIVATE KEY-----"
#define PEM_END   "-----END PRIVATE KEY-----"

#define DER_INTEGER      0x02
#define DER_OCTET_STRING 0x04
#define DER_OID          0x06
#define DER_SEQUENCE     0x30
#define DER_ATTRIBUTES   0xa0 /* [0], constructed */
#define DER_PUBLIC_KEY   0x81 /* [1] IMPLICIT BIT STRING */

static const uint8_t oid_ed25519[] = {0x2b, 0x65, 0x70};

/* Everything of version 1 before the 32 seed bytes. */
static const uint8_t pkcs8_prefix[] = {
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

/* One element with the given tag; lengths in DER's shortest form, up to 65,535. */
static bool der_take(struct cursor *c, uint8_t tag, struct bytes *out)
{
	uint8_t got, len;
	uint16_t n;

	if (!cursor_u8(c, &got) || got != tag || !cursor_u8(c, &len))
		return false;
	if (len < 0x80) {
		n = len;
	} else if (len == 0x81) {
		if (!cursor_u8(c, &len) || len < 0x80)
			return false;
		n = len;
	} else if (len != 0x82 || !cursor_u16be(c, &n) || n < 0x100) {
		return false;
	}
	return cursor_take(c, n, out);
}

static int malformed(struct err *err)
{
	return err_set(err, E_FORMAT, "the private key is malformed");
}

/* The optional tail: attributes are skipped, a public key must be the seed's own. */
static bool tail_fits(struct cursor *c, uint8_t version, const struct identity *id)
{
	struct bytes part;

	if (c->left && c->p[0] == DER_ATTRIBUTES && !der_take(c, DER_ATTRIBUTES, &part))
		return false;
	if (c->left == 0)
		return true;
	return version == 1 && der_take(c, DER_PUBLIC_KEY, &part) && c->left == 0 &&
	       part.n == ED25519_PUBLIC_SIZE + 1 && part.p[0] == 0 &&
	       memcmp(part.p + 1, id->public_key, ED25519_PUBLIC_SIZE) == 0;
}

static int parse_der(struct bytes der, struct identity *out, struct err *err)
{
	struct cursor c = cursor_of(der), alg;
	struct bytes seq, version, algorithm, oid, wrapped, seed;

	if (!der_take(&c, DER_SEQUENCE, &seq) || c.left != 0)
		return malformed(err);
	c = cursor_of(seq);
	if (!der_take(&c, DER_INTEGER, &version) || version.n != 1 || version.p[0] > 1 ||
	    !der_take(&c, DER_SEQUENCE, &algorithm) || !der_take(&c, DER_OCTET_STRING, &wrapped))
		return malformed(err);
	alg = cursor_of(algorithm);
	if (!der_take(&alg, DER_OID, &oid))
		return malformed(err);
	if (!bytes_equal(oid, bytes_of(oid_ed25519, sizeof(oid_ed25519))))
		return err_set(err, E_UNSUPPORTED, "the private key is not an Ed25519 key");
	if (alg.left != 0)
		return malformed(err);
	alg = cursor_of(wrapped);
	if (!der_take(&alg, DER_OCTET_STRING, &seed) || alg.left != 0 ||
	    seed.n != ED25519_SEED_SIZE)
		return malformed(err);
	identity_from_seed(seed.p, out);
	if (tail_fits(&c, version.p[0], out))
		return 0;
	identity_wipe(out);
	return malformed(err);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands where "PRIVATE KEY" was looked for. */
static int explain_missing(struct bytes text, struct err *err)
{
	static const struct {
		const char *label, *text;
	} known[] = {
	    {"-----BEGIN ENCRYPTED PRIVATE KEY-----", "the private key is encrypted"},
	    {"-----BEGIN OPENSSH PRIVATE KEY-----", "this is an OpenSSH key, not PKCS#8"},
	    {"-----BEGIN RSA PRIVATE KEY-----", "this is an RSA key, not Ed25519"},
	    {"-----BEGIN EC PRIVATE KEY-----", "this is an EC key, not Ed25519"},
	    {"-----BEGIN PUBLIC KEY-----", "this is a public key, not a private one"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (memmem(text.p, text.n, known[i].label, strlen(known[i].label)))
			return err_set(err, E_UNSUPPORTED, "%s", known[i].text);
	return err_set(err, E_FORMAT, "no PEM block \"PRIVATE KEY\"");
}

/* The base64 between the two lines, white space removed. False when a line is missing. */
static bool pem_body(struct bytes text, struct buf *out)
{
	const uint8_t *begin, *end;

	begin = memmem(text.p, text.n, PEM_BEGIN, strlen(PEM_BEGIN));
	if (!begin)
		return false;
	begin += strlen(PEM_BEGIN);
	end = memmem(begin, (size_t)(text.p + text.n - begin), PEM_END, strlen(PEM_END));
	if (!end)
		return false;
	for (; begin < end; begin++)
		if (!is_space(*begin))
			buf_u8(out, *begin);
	return true;
}

static int parse_body(const struct buf *body, struct identity *out, struct err *err)
{
	uint8_t der[PEM_INPUT_MAX];
	size_t n;
	int rc = buf_ok(body, err);

	if (rc != 0)
		return rc;
	if (base64_decode(buf_view(body), der, sizeof(der), &n) != 0)
		rc = err_set(err, E_FORMAT, "the private key is not valid base64");
	else
		rc = parse_der(bytes_of(der, n), out, err);
	secret_wipe(der, sizeof(der));
	return rc;
}

int identity_from_pem(struct bytes text, struct identity *out, struct err *err)
{
	struct buf body = BUF_INIT(PEM_INPUT_MAX);
	int rc;

	if (text.n > PEM_INPUT_MAX)
		return err_set(err, E_FORMAT, "too long for a private key: %zu bytes", text.n);
	/* All memory at once: growing would leave copies of the secret behind. */
	rc = buf_reserve(&body, text.n);
	if (rc != 0)
		return err_set(err, rc, "no memory for a private key");
	if (pem_body(text, &body))
		rc = parse_body(&body, out, err);
	else
		rc = explain_missing(text, err);
	secret_wipe(body.p, body.cap);
	buf_free(&body);
	return rc;
}

size_t identity_to_pem(const struct identity *id, char out[IDENTITY_PEM_MAX])
{
	uint8_t der[sizeof(pkcs8_prefix) + ED25519_SEED_SIZE];
	char b64[4 * ((sizeof(der) + 2) / 3) + 1];
	int n;

	memcpy(der, pkcs8_prefix, sizeof(pkcs8_prefix));
	memcpy(der + sizeof(pkcs8_prefix), id->seed, ED25519_SEED_SIZE);
	base64_encode(bytes_of(der, sizeof(der)), b64);
	n = snprintf(out, IDENTITY_PEM_MAX, PEM_BEGIN "\n%s\n" PEM_END "\n", b64);
	secret_wipe(der, sizeof(der));
	secret_wipe(b64, sizeof(b64));
	return (size_t)n;
}
