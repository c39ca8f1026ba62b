/* Secrets at rest: see sealed.h. The form: one byte of version, the salt, ciphertext, tag. */
#include "crypto/sealed.h"

#include "crypto/aead.h"
#include "crypto/hash.h"

#define VERSION 1

static const char info[] = "opengateway sealed secret 1";
static const uint8_t nonce[AEAD_NONCE_SIZE]; /* each key is used once */

static int key_of(const struct identity *id, const uint8_t salt[SEALED_SALT_SIZE],
    struct aead **out, struct err *err)
{
	uint8_t prk[SHA256_SIZE], key[AEAD_KEY_SIZE];

	hkdf_sha256_extract(
	    bytes_of(salt, SEALED_SALT_SIZE), bytes_of(id->seed, sizeof id->seed), prk);
	hkdf_sha256_expand(prk, bytes_of(info, sizeof info - 1), key, sizeof key);
	int rc = aead_new(key, out, err);
	secret_wipe(prk, sizeof prk);
	secret_wipe(key, sizeof key);
	return rc;
}

int sealed_close(const struct identity *id, const char *name, struct bytes secret,
    const uint8_t salt[SEALED_SALT_SIZE], struct buf *out, struct err *err)
{
	uint8_t text[SEALED_MAX], tag[AEAD_TAG_SIZE];
	struct aead *a;

	if (secret.n > SEALED_MAX)
		return err_set(err, E_TOO_LARGE, "a secret of more than %d bytes", SEALED_MAX);
	int rc = key_of(id, salt, &a, err);
	if (rc)
		return rc;
	rc = aead_seal(a, nonce, bytes_str(name), secret.p, secret.n, text, tag, err);
	aead_free(a);
	if (rc)
		return rc;
	buf_u8(out, VERSION);
	buf_put(out, salt, SEALED_SALT_SIZE);
	buf_put(out, text, secret.n);
	buf_put(out, tag, sizeof tag);
	return buf_ok(out, err);
}

int sealed_open(const struct identity *id, const char *name, struct bytes sealed, struct buf *out,
    struct err *err)
{
	uint8_t text[SEALED_MAX];
	struct aead *a;

	if (sealed.n < SEALED_OVERHEAD || sealed.n > SEALED_OVERHEAD + SEALED_MAX ||
	    sealed.p[0] != VERSION)
		return err_set(err, E_FORMAT, "this is no sealed secret");
	const uint8_t *salt = sealed.p + 1, *in = salt + SEALED_SALT_SIZE;
	size_t n = sealed.n - SEALED_OVERHEAD;
	int rc = key_of(id, salt, &a, err);
	if (rc)
		return rc;
	rc = aead_open(a, nonce, bytes_str(name), in, n, text, in + n, err);
	aead_free(a);
	if (rc == 0)
		buf_put(out, text, n);
	secret_wipe(text, sizeof text);
	if (rc == E_BAD_SIGNATURE)
		return err_set(err, rc,
		    "the secret \"%s\" was sealed by another identity, or changed: set it anew",
		    name);
	return rc ? rc : buf_ok(out, err);
}
