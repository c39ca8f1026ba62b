/* Circuit relay messages in and out. */
#include "p2p/relay_wire_priv.h"

#include "p2p/envelope_priv.h"
#include "p2p/pb_priv.h"

#define FIELD_TYPE 1
#define FIELD_PEER 2

#define HOP_RESERVATION 3
#define HOP_LIMIT       4
#define HOP_STATUS      5
#define STOP_LIMIT      3
#define STOP_STATUS     4

#define PEER_ID_FIELD 1 /* inside a peer */

#define RESERVATION_EXPIRE  1
#define RESERVATION_ADDR    2
#define RESERVATION_VOUCHER 3

#define LIMIT_DURATION 1
#define LIMIT_BYTES    2

#define VOUCHER_DOMAIN "libp2p-relay-rsvp"
#define VOUCHER_RELAY  1
#define VOUCHER_PEER   2
#define VOUCHER_EXPIRE 3

static const uint8_t voucher_type[] = {0x03, 0x02};

const char *relay_status_text(uint32_t status)
{
	static const struct {
		enum relay_status status;
		const char *text;
	} known[] = {
	    {RELAY_OK, "accepted"},
	    {RELAY_RESERVATION_REFUSED, "the relay refuses reservations"},
	    {RELAY_RESOURCE_LIMIT, "the relay is at its limits"},
	    {RELAY_PERMISSION_DENIED, "the relay does not permit it"},
	    {RELAY_CONNECTION_FAILED, "the relay cannot reach the peer"},
	    {RELAY_NO_RESERVATION, "the peer has no reservation at the relay"},
	    {RELAY_MALFORMED, "the message is malformed"},
	    {RELAY_UNEXPECTED, "the message is out of place"},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if ((uint32_t)known[i].status == status)
			return known[i].text;
	return "an unknown status";
}

/* ---- in ------------------------------------------------------------------------------------ */

/* Messages within messages share the reader's limit: they borrow from it. */

static int decode_peer(struct bytes in, struct peer_id *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0)
		if (pb_is(&f, PEER_ID_FIELD, PB_BYTES) && peer_id_from_bytes(f.data, out, err) != 0)
			return err_set(err, E_PROTOCOL, "a relay message with a bad peer id");
	return rc;
}

static int decode_limit(struct bytes in, struct relay_limit *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	int rc;

	*out = (struct relay_limit){0};
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, LIMIT_DURATION, PB_VARINT))
			out->duration_s = f.value > UINT32_MAX ? UINT32_MAX : (uint32_t)f.value;
		else if (pb_is(&f, LIMIT_BYTES, PB_VARINT))
			out->bytes = f.value;
	}
	return rc;
}

static int decode_reservation(struct bytes in, struct relay_hop *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct multiaddr a;
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, RESERVATION_EXPIRE, PB_VARINT))
			out->expire_s = f.value;
		else if (pb_is(&f, RESERVATION_VOUCHER, PB_BYTES))
			out->voucher = f.data;
		else if (pb_is(&f, RESERVATION_ADDR, PB_BYTES) &&
			 multiaddr_from_bytes(f.data, &a, NULL) == 0 && a.n > 0 &&
			 addr_list_add(&out->addrs, &a, RELAY_ADDRS_MAX) != 0)
			return err_set(err, E_MEMORY, "no memory for a reservation");
	}
	out->has_reservation = rc == 0;
	return rc;
}

static int hop_field(struct relay_hop *m, const struct pb_field *f, bool *typed, struct err *err)
{
	if (pb_is(f, FIELD_TYPE, PB_VARINT)) {
		if (f->value > RELAY_HOP_STATUS)
			return err_set(err, E_PROTOCOL, "a hop message of an unknown type");
		m->type = (enum relay_hop_type)f->value;
		*typed = true;
	} else if (pb_is(f, FIELD_PEER, PB_BYTES)) {
		return decode_peer(f->data, &m->peer, err);
	} else if (pb_is(f, HOP_RESERVATION, PB_BYTES)) {
		return decode_reservation(f->data, m, err);
	} else if (pb_is(f, HOP_LIMIT, PB_BYTES)) {
		m->has_limit = true;
		return decode_limit(f->data, &m->limit, err);
	} else if (pb_is(f, HOP_STATUS, PB_VARINT)) {
		m->status = f->value > UINT32_MAX ? UINT32_MAX : (uint32_t)f->value;
	}
	return 0;
}

int relay_hop_decode(struct bytes in, struct relay_hop *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	bool typed = false;
	int rc;

	*out = (struct relay_hop){0};
	if (in.n > RELAY_MESSAGE_MAX)
		return err_set(err, E_PROTOCOL, "a hop message of %zu bytes", in.n);
	while ((rc = pb_next(&c, &f, err)) > 0)
		if ((rc = hop_field(out, &f, &typed, err)) != 0)
			break;
	if (rc == 0 && !typed)
		rc = err_set(err, E_PROTOCOL, "a hop message without a type");
	if (rc != 0)
		relay_hop_free(out);
	return rc;
}

void relay_hop_free(struct relay_hop *m)
{
	addr_list_free(&m->addrs);
}

static int stop_field(struct relay_stop *m, const struct pb_field *f, bool *typed, struct err *err)
{
	if (pb_is(f, FIELD_TYPE, PB_VARINT)) {
		if (f->value > RELAY_STOP_STATUS)
			return err_set(err, E_PROTOCOL, "a stop message of an unknown type");
		m->type = (enum relay_stop_type)f->value;
		*typed = true;
	} else if (pb_is(f, FIELD_PEER, PB_BYTES)) {
		return decode_peer(f->data, &m->peer, err);
	} else if (pb_is(f, STOP_LIMIT, PB_BYTES)) {
		m->has_limit = true;
		return decode_limit(f->data, &m->limit, err);
	} else if (pb_is(f, STOP_STATUS, PB_VARINT)) {
		m->status = f->value > UINT32_MAX ? UINT32_MAX : (uint32_t)f->value;
	}
	return 0;
}

int relay_stop_decode(struct bytes in, struct relay_stop *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	bool typed = false;
	int rc;

	*out = (struct relay_stop){0};
	if (in.n > RELAY_MESSAGE_MAX)
		return err_set(err, E_PROTOCOL, "a stop message of %zu bytes", in.n);
	while ((rc = pb_next(&c, &f, err)) > 0)
		if ((rc = stop_field(out, &f, &typed, err)) != 0)
			return rc;
	if (rc == 0 && !typed)
		rc = err_set(err, E_PROTOCOL, "a stop message without a type");
	return rc;
}

/* ---- out ----------------------------------------------------------------------------------- */

static void put_peer(struct buf *out, const struct peer_id *peer)
{
	struct buf inner = BUF_INIT(PEER_ID_MAX + 8);

	if (peer->n == 0)
		return;
	pb_put_bytes(&inner, PEER_ID_FIELD, peer_id_bytes(peer));
	out->failed |= inner.failed;
	pb_put_bytes(out, FIELD_PEER, buf_view(&inner));
	buf_free(&inner);
}

static void put_limit(struct buf *out, uint32_t number, const struct relay_limit *limit)
{
	struct buf inner = BUF_INIT(32);

	if (limit->duration_s > 0)
		pb_put_varint(&inner, LIMIT_DURATION, limit->duration_s);
	if (limit->bytes > 0)
		pb_put_varint(&inner, LIMIT_BYTES, limit->bytes);
	out->failed |= inner.failed;
	pb_put_bytes(out, number, buf_view(&inner));
	buf_free(&inner);
}

static void put_reservation(struct buf *out, const struct relay_hop *m)
{
	struct buf inner = BUF_INIT(RELAY_MESSAGE_MAX);

	pb_put_varint(&inner, RESERVATION_EXPIRE, m->expire_s);
	for (size_t i = 0; i < m->addrs.n; i++)
		pb_put_bytes(&inner, RESERVATION_ADDR, multiaddr_bytes(&m->addrs.v[i]));
	if (m->voucher.n > 0)
		pb_put_bytes(&inner, RESERVATION_VOUCHER, m->voucher);
	out->failed |= inner.failed;
	pb_put_bytes(out, HOP_RESERVATION, buf_view(&inner));
	buf_free(&inner);
}

/* SPEC circuit-v2: types are required fields, so that RESERVE and CONNECT, which are 0, are written
 * as well. */

void relay_hop_encode(const struct relay_hop *m, struct buf *out)
{
	pb_put_varint(out, FIELD_TYPE, (uint64_t)m->type);
	put_peer(out, &m->peer);
	if (m->has_reservation)
		put_reservation(out, m);
	if (m->has_limit)
		put_limit(out, HOP_LIMIT, &m->limit);
	if (m->status != RELAY_NO_STATUS)
		pb_put_varint(out, HOP_STATUS, m->status);
}

void relay_stop_encode(const struct relay_stop *m, struct buf *out)
{
	pb_put_varint(out, FIELD_TYPE, (uint64_t)m->type);
	put_peer(out, &m->peer);
	if (m->has_limit)
		put_limit(out, STOP_LIMIT, &m->limit);
	if (m->status != RELAY_NO_STATUS)
		pb_put_varint(out, STOP_STATUS, m->status);
}

/* ---- vouchers ------------------------------------------------------------------------------ */

void relay_voucher_seal(
    const struct identity *relay, const struct relay_voucher *v, struct buf *out)
{
	struct buf payload = BUF_INIT(2 * PEER_ID_MAX + 32);

	pb_put_bytes(&payload, VOUCHER_RELAY, peer_id_bytes(&v->relay));
	pb_put_bytes(&payload, VOUCHER_PEER, peer_id_bytes(&v->peer));
	pb_put_varint(&payload, VOUCHER_EXPIRE, v->expire_s);
	out->failed |= payload.failed;
	envelope_seal(relay, VOUCHER_DOMAIN, bytes_of(voucher_type, sizeof voucher_type),
	    buf_view(&payload), out);
	buf_free(&payload);
}

int relay_voucher_open(struct bytes envelope, struct relay_voucher *out, struct err *err)
{
	struct peer_id signer;
	struct bytes payload = {0};
	struct pb_field f;
	int rc = envelope_open(envelope, VOUCHER_DOMAIN,
	    bytes_of(voucher_type, sizeof voucher_type), &payload, &signer, err);
	struct cursor c = cursor_of(payload);

	*out = (struct relay_voucher){0};
	if (rc != 0)
		return rc;
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, VOUCHER_RELAY, PB_BYTES))
			rc = peer_id_from_bytes(f.data, &out->relay, err);
		else if (pb_is(&f, VOUCHER_PEER, PB_BYTES))
			rc = peer_id_from_bytes(f.data, &out->peer, err);
		else if (pb_is(&f, VOUCHER_EXPIRE, PB_VARINT))
			out->expire_s = f.value;
		if (rc < 0)
			return rc;
	}
	if (rc == 0 && !peer_id_equal(&out->relay, &signer))
		rc = err_set(err, E_WRONG_PEER, "a voucher that its relay did not sign");
	return rc;
}
