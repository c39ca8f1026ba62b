/* Envelopes. The signed text is length-prefixed piece by piece, so no two envelopes share it. */
#include "p2p/envelope_priv.h"

#include "p2p/pb_priv.h"

#define FIELD_PUBLIC_KEY   1
#define FIELD_PAYLOAD_TYPE 2
#define FIELD_PAYLOAD      3
#define FIELD_SIGNATURE    5

#define SIGNED_MAX (ENVELOPE_MAX + 1024)

static void put_piece(struct buf *b, struct bytes piece)
{
	pb_put_raw_varint(b, piece.n);
	buf_bytes(b, piece);
}

static void put_signed(
    struct buf *b, const char *domain, struct bytes payload_type, struct bytes payload)
{
	put_piece(b, bytes_str(domain));
	put_piece(b, payload_type);
	put_piece(b, payload);
}

struct parts {
	struct bytes key, type, payload, signature;
};

static int decode(struct bytes in, struct parts *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	if (in.n > ENVELOPE_MAX)
		return err_set(err, E_PROTOCOL, "a signed envelope of %zu bytes", in.n);
	*out = (struct parts){0};
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, FIELD_PUBLIC_KEY, PB_BYTES))
			out->key = f.data;
		else if (pb_is(&f, FIELD_PAYLOAD_TYPE, PB_BYTES))
			out->type = f.data;
		else if (pb_is(&f, FIELD_PAYLOAD, PB_BYTES))
			out->payload = f.data;
		else if (pb_is(&f, FIELD_SIGNATURE, PB_BYTES))
			out->signature = f.data;
	}
	return rc;
}

int envelope_open(struct bytes in, const char *domain, struct bytes payload_type,
    struct bytes *payload, struct peer_id *signer, struct err *err)
{
	struct buf text = BUF_INIT(SIGNED_MAX);
	struct public_key key;
	struct parts parts;
	int rc = decode(in, &parts, err);

	if (rc == 0 && !bytes_equal(parts.type, payload_type))
		rc = err_set(err, E_PROTOCOL, "a signed envelope of another type");
	if (rc == 0)
		rc = public_key_decode(parts.key, &key, err);
	if (rc != 0)
		return rc;
	put_signed(&text, domain, parts.type, parts.payload);
	rc = buf_ok(&text, err);
	if (rc == 0)
		rc = public_key_verify(&key, buf_view(&text), parts.signature, err);
	buf_free(&text);
	if (rc != 0)
		return rc;
	*payload = parts.payload;
	peer_id_of_key(&key, signer);
	return 0;
}

void envelope_seal(const struct identity *id, const char *domain, struct bytes payload_type,
    struct bytes payload, struct buf *out)
{
	uint8_t raw_key[PUBLIC_KEY_MAX], sig[ED25519_SIGNATURE_SIZE];
	struct public_key key = public_key_ed25519(id->public_key);
	struct buf text = BUF_INIT(SIGNED_MAX);

	put_signed(&text, domain, payload_type, payload);
	out->failed |= text.failed;
	identity_sign(id, buf_view(&text), sig);
	buf_free(&text);
	pb_put_bytes(out, FIELD_PUBLIC_KEY, bytes_of(raw_key, public_key_encode(&key, raw_key)));
	pb_put_bytes(out, FIELD_PAYLOAD_TYPE, payload_type);
	pb_put_bytes(out, FIELD_PAYLOAD, payload);
	pb_put_bytes(out, FIELD_SIGNATURE, bytes_of(sig, sizeof(sig)));
}
