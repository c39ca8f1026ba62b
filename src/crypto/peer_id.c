/* One value, one form: whatever text an id came in, equal ids have equal bytes. */
#include "crypto/peer_id.h"

#include "base/encode.h"
#include "crypto/hash.h"

#define MH_IDENTITY  0x00
#define MH_SHA256    0x12
#define INLINE_MAX   42 /* longest key encoding that is not hashed */
#define CID_V1       0x01
#define CODEC_KEY    0x72 /* multicodec libp2p-key */
#define CID_TEXT_MAX 128

bool peer_id_equal(const struct peer_id *a, const struct peer_id *b)
{
	return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

int peer_id_compare(const struct peer_id *a, const struct peer_id *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	int order = memcmp(a->bytes, b->bytes, n);

	return order ? order : (int)a->n - (int)b->n;
}

static void fill(struct peer_id *out, uint8_t code, struct bytes digest)
{
	memset(out, 0, sizeof(*out));
	out->bytes[0] = code;
	out->bytes[1] = (uint8_t)digest.n;
	memcpy(out->bytes + 2, digest.p, digest.n);
	out->n = (uint8_t)(digest.n + 2);
}

void peer_id_of_key(const struct public_key *key, struct peer_id *out)
{
	uint8_t raw[PUBLIC_KEY_MAX], digest[SHA256_SIZE];
	size_t n = public_key_encode(key, raw);

	if (n <= INLINE_MAX) {
		fill(out, MH_IDENTITY, bytes_of(raw, n));
		return;
	}
	sha256(bytes_of(raw, n), digest);
	fill(out, MH_SHA256, bytes_of(digest, sizeof(digest)));
}

int peer_id_from_bytes(struct bytes in, struct peer_id *out, struct err *err)
{
	struct bytes digest = {in.n > 2 ? in.p + 2 : NULL, in.n > 2 ? in.n - 2 : 0};
	struct public_key key;

	if (digest.n == 0 || in.p[1] != digest.n)
		return err_set(err, E_PROTOCOL, "malformed peer id");
	if (in.p[0] == MH_IDENTITY) {
		if (digest.n > INLINE_MAX || public_key_decode(digest, &key, NULL) != 0)
			return err_set(err, E_PROTOCOL, "a peer id with a malformed key");
	} else if (in.p[0] != MH_SHA256 || digest.n != SHA256_SIZE) {
		return err_set(err, E_PROTOCOL, "a peer id with an unknown hash");
	}
	fill(out, in.p[0], digest);
	return 0;
}

/* <version 1><codec libp2p-key><multihash>; both numbers are one-byte varints */
static int from_cid(struct bytes cid, struct peer_id *out, struct err *err)
{
	if (cid.n < 2 || cid.p[0] != CID_V1 || cid.p[1] != CODEC_KEY)
		return err_set(err, E_INVALID, "this CID is not a version 1 libp2p key");
	return peer_id_from_bytes(bytes_of(cid.p + 2, cid.n - 2), out, err);
}

static int decode_text(struct bytes text, struct peer_id *out, struct err *err)
{
	uint8_t raw[BASE58_MAX];
	struct bytes rest = {text.n ? text.p + 1 : NULL, text.n ? text.n - 1 : 0};
	size_t n;

	if (text.n == 0)
		return err_set(err, E_INVALID, "it is empty");
	if (text.n > CID_TEXT_MAX)
		return err_set(err, E_INVALID, "it is too long");
	if (text.p[0] == 'b') {
		if (base32_decode(rest, raw, sizeof(raw), &n) != 0)
			return err_set(err, E_INVALID, "it is not base32");
		return from_cid(bytes_of(raw, n), out, err);
	}
	if (text.p[0] == 'z') {
		if (base58_decode(rest, raw, sizeof(raw), &n) != 0)
			return err_set(err, E_INVALID, "it is not base58btc");
		return from_cid(bytes_of(raw, n), out, err);
	}
	if (base58_decode(text, raw, sizeof(raw), &n) != 0)
		return err_set(err, E_INVALID, "it is not base58btc");
	return peer_id_from_bytes(bytes_of(raw, n), out, err);
}

int peer_id_parse(struct bytes text, struct peer_id *out, struct err *err)
{
	struct err why = {0};

	if (decode_text(text, out, &why) == 0)
		return 0;
	return err_set(err, E_INVALID, "bad peer id \"%.*s\": %s",
	    (int)(text.n < CID_TEXT_MAX ? text.n : CID_TEXT_MAX), (const char *)text.p, why.text);
}

void peer_id_print(const struct peer_id *id, char out[PEER_ID_TEXT_MAX])
{
	/* 44 bytes are at most 61 digits. */
	INVARIANT(base58_encode(peer_id_bytes(id), out, PEER_ID_TEXT_MAX) == 0);
}

int peer_id_key(const struct peer_id *id, struct public_key *out, struct err *err)
{
	if (id->n < 2 || id->bytes[0] != MH_IDENTITY)
		return err_set(err, E_UNSUPPORTED, "this peer id does not contain its key");
	return public_key_decode(bytes_of(id->bytes + 2, id->n - 2u), out, err);
}

int node_id_parse(struct bytes text, struct peer_id *out, struct err *err)
{
	uint8_t key[ED25519_PUBLIC_SIZE];
	struct public_key pub = public_key_ed25519(key);

	if (hex_decode(text, key, sizeof(key)) != 0)
		return err_set(err, E_INVALID, "a node id is 64 hexadecimal digits");
	peer_id_of_key(&pub, out);
	return 0;
}

int node_id_print(const struct peer_id *id, char out[NODE_ID_TEXT_MAX], struct err *err)
{
	struct public_key key;
	int rc = peer_id_key(id, &key, err);

	if (rc != 0)
		return rc;
	if (key.type != KEY_ED25519)
		return err_set(err, E_UNSUPPORTED, "a peer with an %s key has no node id",
		    key_type_name(key.type));
	hex_encode(key.data, out);
	return 0;
}
