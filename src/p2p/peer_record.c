/* Peer records: nothing in one counts before its envelope's signature was checked. */
#include "p2p/peer_record_priv.h"

#include "p2p/envelope_priv.h"
#include "p2p/pb_priv.h"

#include <stdlib.h>

#define DOMAIN "libp2p-peer-record"

#define FIELD_PEER      1
#define FIELD_SEQ       2
#define FIELD_ADDRESS   3
#define FIELD_MULTIADDR 1 /* inside an address */

static const uint8_t payload_type[] = {0x03, 0x01};

int addr_list_add(struct addr_list *l, const struct multiaddr *a, size_t max)
{
	struct multiaddr *v;

	if (l->n >= max)
		return 0;
	v = realloc(l->v, (l->n + 1) * sizeof(*v));
	if (!v)
		return E_MEMORY;
	l->v = v;
	l->v[l->n++] = *a;
	return 0;
}

bool addr_list_has(const struct addr_list *l, const struct multiaddr *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (multiaddr_equal(&l->v[i], a))
			return true;
	return false;
}

int addr_list_add_once(struct addr_list *l, const struct multiaddr *a, size_t max)
{
	return addr_list_has(l, a) ? 0 : addr_list_add(l, a, max);
}

void addr_list_free(struct addr_list *l)
{
	free(l->v);
	*l = (struct addr_list){0};
}

void peer_record_free(struct peer_record *r)
{
	addr_list_free(&r->addrs);
}

static int decode_address(struct bytes in, struct peer_record *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct multiaddr a;
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (!pb_is(&f, FIELD_MULTIADDR, PB_BYTES) ||
		    multiaddr_from_bytes(f.data, &a, NULL) != 0)
			continue;
		if (addr_list_add(&out->addrs, &a, PEER_RECORD_ADDRS_MAX) != 0)
			return err_set(err, E_MEMORY, "no memory for a peer record");
	}
	return rc;
}

static int decode(struct bytes in, struct peer_record *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, FIELD_PEER, PB_BYTES))
			rc = peer_id_from_bytes(f.data, &out->peer, err);
		else if (pb_is(&f, FIELD_SEQ, PB_VARINT))
			out->seq = f.value;
		else if (pb_is(&f, FIELD_ADDRESS, PB_BYTES))
			rc = decode_address(f.data, out, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int peer_record_open(struct bytes envelope, struct peer_record *out, struct err *err)
{
	struct peer_id signer;
	struct bytes payload;
	int rc;

	*out = (struct peer_record){0};
	rc = envelope_open(
	    envelope, DOMAIN, bytes_of(payload_type, sizeof(payload_type)), &payload, &signer, err);
	if (rc == 0)
		rc = decode(payload, out, err);
	if (rc == 0 && !peer_id_equal(&out->peer, &signer))
		rc = err_set(err, E_WRONG_PEER, "a peer record signed by another peer");
	if (rc != 0)
		peer_record_free(out);
	return rc;
}

void peer_record_seal(const struct identity *id, uint64_t seq, const struct multiaddr *addrs,
    size_t n, struct buf *out)
{
	struct buf payload = BUF_INIT(ENVELOPE_MAX), inner = BUF_INIT(MULTIADDR_MAX + 8);

	pb_put_bytes(&payload, FIELD_PEER, peer_id_bytes(&id->peer_id));
	pb_put_varint(&payload, FIELD_SEQ, seq);
	for (size_t i = 0; i < n; i++) {
		buf_reset(&inner);
		pb_put_bytes(&inner, FIELD_MULTIADDR, multiaddr_bytes(&addrs[i]));
		pb_put_bytes(&payload, FIELD_ADDRESS, buf_view(&inner));
	}
	out->failed |= payload.failed || inner.failed;
	envelope_seal(
	    id, DOMAIN, bytes_of(payload_type, sizeof(payload_type)), buf_view(&payload), out);
	buf_free(&payload);
	buf_free(&inner);
}
