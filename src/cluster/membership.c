/* Which cluster this node belongs to: made, named or joined; kept on disk; proved to peers. */
#include "cluster/cluster_priv.h"
#include "dialect/json.h"

#include <stdio.h>
#include <string.h>

#define CLUSTER_FILE_MAX    4096
#define PROOF_CONTEXT       "opengateway member proof 1"
#define OPEN_CONTEXT        "opengateway open cluster 1"
#define JOIN_CONTEXT        "opengateway invitation join 1"
#define ADMIT_CONTEXT       "opengateway invitation admit 1"
#define FINGERPRINT_CONTEXT "opengateway cluster fingerprint 1"

int membership_set(struct membership *m, const char *id, const uint8_t key[CLUSTER_KEY_SIZE],
    enum membership_origin origin, struct err *err)
{
	size_t n = strlen(id);
	if (n == 0 || n >= CLUSTER_ID_MAX)
		return err_set(
		    err, E_INVALID, "a cluster's id has 1 to %d bytes", CLUSTER_ID_MAX - 1);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)id[i] < 0x20 || id[i] == 0x7f)
			return err_set(err, E_INVALID, "a cluster's id has no control characters");
	if (utf8_valid_prefix(bytes_str(id)) != n)
		return err_set(err, E_INVALID, "a cluster's id is UTF-8");
	*m = (struct membership){.origin = origin};
	memcpy(m->id, id, n + 1);
	memcpy(m->key, key, CLUSTER_KEY_SIZE);
	sha256(bytes_str(id), m->hash);
	return 0;
}

int membership_named(struct membership *m, const char *name, const char *key_hex, struct err *err)
{
	uint8_t key[CLUSTER_KEY_SIZE];
	if (key_hex) {
		if (strlen(key_hex) != 2 * CLUSTER_KEY_SIZE ||
		    hex_decode(bytes_str(key_hex), key, sizeof key) != 0)
			return err_set(err, E_INVALID, "a cluster's key is %d hex digits",
			    2 * CLUSTER_KEY_SIZE);
	} else {
		struct sha256 h;
		sha256_begin(&h);
		sha256_add(&h, bytes_str(OPEN_CONTEXT));
		sha256_add(&h, bytes_str(name));
		sha256_end(&h, key);
	}
	int rc = membership_set(m, name, key, MEMBERSHIP_NAMED, err);
	secret_wipe(key, sizeof key);
	m->open = rc == 0 && !key_hex;
	return rc;
}

/* ---- on disk ------------------------------------------------------------------------------- */

static const char *const origins[] = {"own", "named", "joined"};

static void file_path(const char *data_dir, struct buf *out)
{
	buf_printf(out, "%s/cluster.json", data_dir);
}

static int parse(const json_t *j, struct membership *m, struct err *err)
{
	uint8_t key[CLUSTER_KEY_SIZE];
	const char *id = json_get_string(j, "id", "");
	const char *hex = json_get_string(j, "key", "");
	const char *origin = json_get_string(j, "origin", "");
	if (strlen(hex) != 2 * CLUSTER_KEY_SIZE || hex_decode(bytes_str(hex), key, sizeof key) != 0)
		return err_set(err, E_FORMAT, "its key is not %d hex digits", 2 * CLUSTER_KEY_SIZE);
	int rc = membership_set(m, id, key, MEMBERSHIP_OWN, err);
	secret_wipe(key, sizeof key);
	if (rc)
		return rc;
	m->open = json_get_bool(j, "open", false);
	for (size_t i = 0; i < sizeof origins / sizeof *origins; i++)
		if (strcmp(origin, origins[i]) == 0) {
			m->origin = (enum membership_origin)i;
			return 0;
		}
	return err_set(err, E_FORMAT, "its origin is none that we know");
}

int membership_load(struct world *w, const char *data_dir, struct membership *m, struct err *err)
{
	struct buf path = BUF_INIT(8192), text = BUF_INIT(CLUSTER_FILE_MAX);
	file_path(data_dir, &path);
	struct err why = {0};
	json_t *j = NULL;
	int rc = file_read(w, buf_cstr(&path), CLUSTER_FILE_MAX, &text, &why);
	bool whole = rc == 0;
	if (whole)
		rc = json_read(buf_view(&text), &j, &why);
	if (whole && rc == 0)
		rc = parse(j, m, &why);
	if (rc && (whole || rc == E_TOO_LARGE))
		rc = err_set(err, E_FORMAT,
		    "%s is damaged (%s): repair it, or remove it to start a new cluster",
		    buf_cstr(&path), err_text(&why));
	else if (rc)
		rc = err_set(err, rc, "%s", err_text(&why));
	json_decref(j);
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

int membership_save(
    struct world *w, const char *data_dir, const struct membership *m, struct err *err)
{
	char hex[2 * CLUSTER_KEY_SIZE + 1];
	hex_encode(bytes_of(m->key, sizeof m->key), hex);
	json_t *j = json_pack("{s:s, s:s, s:s, s:b}", "id", m->id, "key", hex, "origin",
	    origins[m->origin], "open", m->open);
	struct buf path = BUF_INIT(8192), text = BUF_INIT(CLUSTER_FILE_MAX);
	file_path(data_dir, &path);
	int rc = json_write(j, &text, err);
	if (rc == 0)
		rc = file_write(w, buf_cstr(&path), buf_view(&text), 0600, err);
	json_decref(j);
	secret_wipe(hex, sizeof hex);
	if (text.p)
		secret_wipe(text.p, text.n);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

/* ---- proofs -------------------------------------------------------------------------------- */

/* HMAC over a context, the connection and both ids in order, so that no proof serves in another
 * place. */
static void proof_over(struct bytes key, const char *context, struct bytes extra,
    const uint8_t binding[P2P_BINDING_SIZE], const struct peer_id *prover,
    const struct peer_id *verifier, uint8_t out[SHA256_SIZE])
{
	struct buf text = BUF_INIT(512);
	buf_str(&text, context);
	buf_put(&text, binding, P2P_BINDING_SIZE);
	buf_bytes(&text, extra);
	buf_u8(&text, prover->n);
	buf_bytes(&text, peer_id_bytes(prover));
	buf_u8(&text, verifier->n);
	buf_bytes(&text, peer_id_bytes(verifier));
	INVARIANT(!text.failed);
	hmac_sha256(key, buf_view(&text), out);
	buf_free(&text);
}

void membership_proof(const struct membership *m, const uint8_t binding[P2P_BINDING_SIZE],
    const struct peer_id *prover, const struct peer_id *verifier, uint8_t out[SHA256_SIZE])
{
	proof_over(bytes_of(m->key, sizeof m->key), PROOF_CONTEXT,
	    bytes_of(m->hash, sizeof m->hash), binding, prover, verifier, out);
}

void invitation_proof(const uint8_t secret[INVITE_SECRET_SIZE], const char *cluster,
    const uint8_t *key, const uint8_t binding[P2P_BINDING_SIZE], const struct peer_id *prover,
    const struct peer_id *verifier, uint8_t out[SHA256_SIZE])
{
	uint8_t hash[SHA256_SIZE];
	struct sha256 h;
	sha256_begin(&h);
	sha256_add(&h, bytes_str(cluster));
	if (key)
		sha256_add(&h, bytes_of(key, CLUSTER_KEY_SIZE));
	sha256_end(&h, hash);
	proof_over(bytes_of(secret, INVITE_SECRET_SIZE), key ? ADMIT_CONTEXT : JOIN_CONTEXT,
	    bytes_of(hash, sizeof hash), binding, prover, verifier, out);
}

void membership_fingerprint(const struct membership *m, uint8_t out[FINGERPRINT_SIZE])
{
	uint8_t hash[SHA256_SIZE];
	struct buf text = BUF_INIT(256);
	buf_str(&text, FINGERPRINT_CONTEXT);
	buf_str(&text, m->id);
	INVARIANT(!text.failed);
	hmac_sha256(bytes_of(m->key, sizeof m->key), buf_view(&text), hash);
	memcpy(out, hash, FINGERPRINT_SIZE);
	buf_free(&text);
}
