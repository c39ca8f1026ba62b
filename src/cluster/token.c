/* Join tokens: writing and reading. See invite_priv.h for the form. */
#include "cluster/invite_priv.h"

#include <assert.h>

#define SIGNED_CONTEXT   "opengateway invitation 1"
#define CHECKSUM_SIZE    4
#define TOKEN_SEALED_MAX (TOKEN_BODY_MAX + ED25519_SIGNATURE_SIZE + CHECKSUM_SIZE)
#define DIGITS_MAX       ((TOKEN_SEALED_MAX * 8 + 4) / 5)

static_assert(DIGITS_MAX + sizeof TOKEN_PREFIX <= TOKEN_TEXT_MAX, "a token fits");

static void checksum(struct bytes sealed, uint8_t out[CHECKSUM_SIZE])
{
	uint8_t hash[SHA256_SIZE];
	struct sha256 h;
	sha256_begin(&h);
	sha256_add(&h, bytes_str(TOKEN_PREFIX));
	sha256_add(&h, sealed);
	sha256_end(&h, hash);
	memcpy(out, hash, CHECKSUM_SIZE);
}

static void signed_text(struct bytes body, struct buf *out)
{
	buf_str(out, SIGNED_CONTEXT);
	buf_bytes(out, body);
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put_body(struct token *t, struct buf *out)
{
	size_t id_n = strlen(t->cluster), room = TOKEN_BODY_MAX;
	buf_put(out, t->issuer_key, sizeof t->issuer_key);
	buf_put(out, t->id, sizeof t->id);
	buf_put(out, t->secret, sizeof t->secret);
	buf_u32be(out, (uint32_t)t->expires_s);
	buf_put(out, t->fingerprint, sizeof t->fingerprint);
	buf_u8(out, (uint8_t)id_n);
	buf_put(out, t->cluster, id_n);
	size_t kept = 0;
	room -= out->n + 1;
	for (size_t i = 0; i < t->n_addrs; i++) {
		if (t->addrs[i].n + 2u > room)
			continue;
		room -= t->addrs[i].n + 2u;
		t->addrs[kept++] = t->addrs[i];
	}
	t->n_addrs = kept;
	buf_u8(out, (uint8_t)kept);
	for (size_t i = 0; i < kept; i++) {
		buf_varint(out, t->addrs[i].n);
		buf_bytes(out, multiaddr_bytes(&t->addrs[i]));
	}
}

void token_write(struct token *t, const struct identity *issuer, char out[TOKEN_TEXT_MAX])
{
	struct buf sealed = BUF_INIT(TOKEN_SEALED_MAX), text = BUF_INIT(TOKEN_TEXT_MAX);
	struct buf message = BUF_INIT(TOKEN_BODY_MAX + sizeof SIGNED_CONTEXT);
	uint8_t signature[ED25519_SIGNATURE_SIZE], sum[CHECKSUM_SIZE];
	memcpy(t->issuer_key, issuer->public_key, sizeof t->issuer_key);
	t->issuer = issuer->peer_id;
	put_body(t, &sealed);
	signed_text(buf_view(&sealed), &message);
	identity_sign(issuer, buf_view(&message), signature);
	buf_put(&sealed, signature, sizeof signature);
	checksum(buf_view(&sealed), sum);
	buf_put(&sealed, sum, sizeof sum);
	buf_str(&text, TOKEN_PREFIX);
	base32_encode(buf_view(&sealed), &text);
	INVARIANT(!sealed.failed && !message.failed && !text.failed && text.n < TOKEN_TEXT_MAX);
	memcpy(out, buf_cstr(&text), text.n + 1);
	secret_wipe(text.p, text.n);
	secret_wipe(sealed.p, sealed.n);
	secret_wipe(message.p, message.n);
	buf_free(&text);
	buf_free(&sealed);
	buf_free(&message);
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Without white space, in lower case; mixed case is somebody's slip. */
static int tidy(const char *text, char out[TOKEN_TEXT_MAX], struct err *err)
{
	size_t n = 0;
	bool lower = false, upper = false;
	for (; *text; text++) {
		char c = *text;
		if (is_space(c))
			continue;
		if (n == TOKEN_TEXT_MAX - 1)
			return err_set(err, E_INVALID, "this is no join token: it is too long");
		lower = lower || (c >= 'a' && c <= 'z');
		upper = upper || (c >= 'A' && c <= 'Z');
		out[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out[n] = '\0';
	if (strncmp(out, "og", 2) != 0 || n < sizeof TOKEN_PREFIX)
		return err_set(
		    err, E_INVALID, "this is no join token: one begins with \"" TOKEN_PREFIX "\"");
	if (lower && upper)
		return err_set(
		    err, E_INVALID, "the join token is damaged: large and small letters are mixed");
	return 0;
}

static int unseal(const char *text, uint8_t *out, size_t *n, struct err *err)
{
	uint8_t sum[CHECKSUM_SIZE];
	struct bytes digits = bytes_str(text + strlen(TOKEN_PREFIX));
	bool ours = strncmp(text, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) == 0;
	int rc = base32_decode(digits, out, TOKEN_SEALED_MAX, n);
	if (rc == 0 && *n > ED25519_SIGNATURE_SIZE + CHECKSUM_SIZE && ours) {
		*n -= CHECKSUM_SIZE;
		checksum(bytes_of(out, *n), sum);
		if (memcmp(sum, out + *n, sizeof sum) == 0)
			return 0;
	}
	if (!ours && text[2] >= '2' && text[2] <= '9')
		return err_set(err, E_INVALID,
		    "the join token is of version %c, which this gate does not know (or it is "
		    "mistyped)",
		    text[2]);
	return err_set(err, E_INVALID,
	    "the join token is damaged: mistyped, or not copied from beginning to end");
}

static bool get_addrs(struct cursor *c, struct token *t)
{
	uint8_t n;
	uint64_t size;
	struct bytes raw;
	if (!cursor_u8(c, &n) || n > CLUSTER_INVITE_ADDRS_MAX)
		return false;
	for (; t->n_addrs < n; t->n_addrs++)
		if (!cursor_varint(c, &size) || size > MULTIADDR_MAX ||
		    !cursor_take(c, (size_t)size, &raw) ||
		    multiaddr_from_bytes(raw, &t->addrs[t->n_addrs], NULL) != 0)
			return false;
	return c->left == 0;
}

static bool get_body(struct bytes body, struct token *t)
{
	struct cursor c = cursor_of(body);
	struct bytes key, id, secret, fingerprint, cluster;
	uint32_t expires;
	uint8_t n;
	if (!cursor_take(&c, sizeof t->issuer_key, &key) || !cursor_take(&c, sizeof t->id, &id) ||
	    !cursor_take(&c, sizeof t->secret, &secret) || !cursor_u32be(&c, &expires) ||
	    !cursor_take(&c, sizeof t->fingerprint, &fingerprint) || !cursor_u8(&c, &n) || n == 0 ||
	    n >= CLUSTER_ID_MAX || !cursor_take(&c, n, &cluster))
		return false;
	memcpy(t->issuer_key, key.p, key.n);
	memcpy(t->id, id.p, id.n);
	memcpy(t->secret, secret.p, secret.n);
	memcpy(t->fingerprint, fingerprint.p, fingerprint.n);
	memcpy(t->cluster, cluster.p, n);
	t->expires_s = expires;
	for (size_t i = 0; i < n; i++)
		if (cluster.p[i] < 0x20 || cluster.p[i] == 0x7f)
			return false;
	return utf8_valid_prefix(cluster) == n && get_addrs(&c, t);
}

static int check_signature(struct bytes sealed, const struct token *t, struct err *err)
{
	struct bytes body = bytes_of(sealed.p, sealed.n - ED25519_SIGNATURE_SIZE);
	struct buf message = BUF_INIT(TOKEN_BODY_MAX + sizeof SIGNED_CONTEXT);
	struct public_key key = public_key_ed25519(t->issuer_key);
	signed_text(body, &message);
	int rc = buf_ok(&message, NULL);
	if (rc == 0)
		rc = public_key_verify(&key, buf_view(&message),
		    bytes_of(sealed.p + body.n, ED25519_SIGNATURE_SIZE), NULL);
	if (message.p)
		secret_wipe(message.p, message.n);
	buf_free(&message);
	return rc == 0 ? 0
		       : err_set(err, E_BAD_SIGNATURE,
			     "the join token has been tampered with: its signature does not fit");
}

int token_read(const char *text, struct token *out, struct err *err)
{
	char tidied[TOKEN_TEXT_MAX];
	uint8_t sealed[TOKEN_SEALED_MAX];
	size_t n = 0;
	*out = (struct token){0};
	int rc = tidy(text, tidied, err);
	if (rc == 0)
		rc = unseal(tidied, sealed, &n, err);
	if (rc == 0 && !get_body(bytes_of(sealed, n - ED25519_SIGNATURE_SIZE), out))
		rc = err_set(err, E_BAD_SIGNATURE,
		    "the join token has been tampered with: it makes no sense");
	if (rc == 0)
		rc = check_signature(bytes_of(sealed, n), out, err);
	if (rc == 0) {
		struct public_key key = public_key_ed25519(out->issuer_key);
		peer_id_of_key(&key, &out->issuer);
	} else {
		secret_wipe(out, sizeof *out);
	}
	secret_wipe(tidied, sizeof tidied);
	secret_wipe(sealed, sizeof sealed);
	return rc;
}

int cluster_token_check(const char *text, struct err *err)
{
	struct token token;
	int rc = token_read(text, &token, err);
	secret_wipe(&token, sizeof token);
	return rc;
}
