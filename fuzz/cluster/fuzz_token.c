/* Join tokens and the record of invitations. The first byte chooses: a token's text as it comes; a
 * body that is properly signed and sealed, to get behind the signature; invites.json. What was
 * read must be written and read back the same. */
#include "cluster/cluster_priv.h"

#include <stdlib.h>
#include <string.h>

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void round_trip(struct token *t)
{
	struct token again;
	struct identity issuer;
	uint8_t seed[ED25519_SEED_SIZE] = {5};
	char text[TOKEN_TEXT_MAX];
	size_t n = t->n_addrs;
	check(t->cluster[0] && n <= CLUSTER_INVITE_ADDRS_MAX);
	identity_from_seed(seed, &issuer);
	token_write(t, &issuer, text);
	check(token_read(text, &again, NULL) == 0);
	check(again.n_addrs <= n && again.expires_s == t->expires_s);
	check(memcmp(again.secret, t->secret, sizeof t->secret) == 0);
	check(strcmp(again.cluster, t->cluster) == 0);
}

static void text(const uint8_t *data, size_t size)
{
	struct token t;
	char *copy = malloc(size + 1);
	check(copy != NULL);
	memcpy(copy, data, size);
	copy[size] = '\0';
	int rc = token_read(copy, &t, NULL);
	check(rc == 0 || rc == E_INVALID || rc == E_BAD_SIGNATURE);
	if (rc == 0)
		round_trip(&t);
	free(copy);
}

/* As token.c seals it. */
static void body(const uint8_t *data, size_t size)
{
	struct buf sealed = BUF_INIT(2048), signed_text = BUF_INIT(2048), out = BUF_INIT(8192);
	struct identity issuer;
	uint8_t seed[ED25519_SEED_SIZE] = {5}, signature[64], hash[SHA256_SIZE];
	struct sha256 h;
	if (size < ED25519_PUBLIC_SIZE || size > 1024)
		return;
	identity_from_seed(seed, &issuer);
	buf_put(&sealed, issuer.public_key, ED25519_PUBLIC_SIZE);
	buf_put(&sealed, data + ED25519_PUBLIC_SIZE, size - ED25519_PUBLIC_SIZE);
	buf_str(&signed_text, "opengateway invitation 1");
	buf_bytes(&signed_text, buf_view(&sealed));
	identity_sign(&issuer, buf_view(&signed_text), signature);
	buf_put(&sealed, signature, sizeof signature);
	sha256_begin(&h);
	sha256_add(&h, bytes_str("og1"));
	sha256_add(&h, buf_view(&sealed));
	sha256_end(&h, hash);
	buf_put(&sealed, hash, 4);
	buf_str(&out, "og1");
	base32_encode(buf_view(&sealed), &out);
	text(out.p, out.n);
	buf_free(&out);
	buf_free(&sealed);
	buf_free(&signed_text);
}

static void record(const uint8_t *data, size_t size)
{
	struct invites v, again;
	json_t *j = NULL;
	if (json_read(bytes_of(data, size), &j, NULL) != 0)
		return;
	int rc = invites_read(j, &v, NULL);
	json_decref(j);
	check(rc == 0 || rc == E_FORMAT);
	if (rc)
		return;
	json_t *written = invites_json(&v);
	check(invites_read(written, &again, NULL) == 0 && again.n == v.n);
	for (size_t i = 0; i < v.n; i++)
		check(memcmp(v.list[i], again.list[i], sizeof *v.list[i]) == 0 &&
		      v.list[i]->used <= v.list[i]->uses);
	json_decref(written);
	invites_free(&again);
	invites_free(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] % 3 == 0)
		text(data + 1, size - 1);
	else if (data[0] % 3 == 1)
		body(data + 1, size - 1);
	else
		record(data + 1, size - 1);
	return 0;
}
